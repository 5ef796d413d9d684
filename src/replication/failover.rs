//! FAILOVER: a primary and one of its replicas change places, without losing a write.
//!
//! ```text
//!   No ─ FAILOVER ─► WaitForSync: writes are paused until a replica has everything
//!                         ├─ it has, or FORCE and the time is over ─► InProgress: REPLICAOF it, PSYNC … FAILOVER
//!                         │                                               ├─ +CONTINUE ─► No, as its replica
//!                         └─ the time is over, ABORT ─► No                └─ refused, ABORT ─► No, as a primary
//! ```
//!
//! Mirrors: failoverCommand(), updateFailoverStatus(), abortFailover() of replication.c.

use crate::clients::{PauseMode, PausePurpose};
use crate::config::Primary;
use crate::keyspace::Ms;
use crate::state::State;

/// How far a failover is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stage {
    #[default]
    No,
    WaitForSync,
    InProgress,
}

/// A failover.
#[derive(Debug, Default)]
pub struct Failover {
    pub stage: Stage,
    /// When it has taken too long, unix time.
    end_ms: Option<Ms>,
    /// Then it takes place all the same.
    force: bool,
    /// To which replica; none yet for whichever has everything first.
    target: Option<Primary>,
}

impl Stage {
    /// The words in INFO.
    #[doc(alias = "getFailoverStateString")]
    pub fn name(self) -> &'static str {
        match self {
            Stage::No => "no-failover",
            Stage::WaitForSync => "waiting-for-sync",
            Stage::InProgress => "failover-in-progress",
        }
    }
}

impl State {
    /// Begins a failover, which the caller saw to be possible.
    pub fn begin_failover(&mut self, target: Option<Primary>, timeout_ms: Option<Ms>, force: bool) {
        match &target {
            Some(Primary { host, port }) => self
                .log
                .notice(format_args!("FAILOVER requested to {host}:{port}.")),
            None => self.log.notice("FAILOVER requested to any replica."),
        }
        let now = self.clock.unix_ms();
        self.replication.failover = Failover {
            stage: Stage::WaitForSync,
            end_ms: timeout_ms.map(|ms| now.saturating_add(ms)),
            force,
            target,
        };
        self.pause_clients(PausePurpose::Failover, PauseMode::Write, Ms::MAX);
    }

    /// Whether a failover is under way that will not wait for ever: then the stream must not grow by itself.
    pub(super) fn failover_holds_stream(&self) -> bool {
        self.replication.failover.end_ms.is_some() && self.pauses.mode() != PauseMode::None
    }

    /// A replica by where it listens.
    #[doc(alias = "findReplica")]
    pub fn find_replica(&self, host: &str, port: i64) -> Option<&super::Replica> {
        self.replication.replicas.iter().find(|replica| {
            let (ip, its_port) = self.replica_listens(replica.client);
            ip.eq_ignore_ascii_case(host) && i64::from(its_port) == port
        })
    }

    /// Goes on with a failover, if there is one.
    #[doc(alias = "updateFailoverStatus")]
    pub(crate) fn update_failover(&mut self) {
        if self.replication.failover.stage != Stage::WaitForSync {
            return;
        }
        let now = self.clock.unix_ms();
        let failover = &self.replication.failover;
        let late = failover.end_ms.is_some_and(|end| end <= now);
        if late && !failover.force {
            return self.abort_failover("Replica never caught up before timeout");
        }
        let offset = self.replication.offset;
        let target = match &failover.target {
            Some(target) => {
                let replica = self.find_replica(&target.host, i64::from(target.port));
                let synced = replica.is_some_and(|replica| replica.acked == offset);
                (synced || late).then(|| target.clone())
            }
            None => {
                let replicas = self.replication.replicas.iter();
                replicas
                    .filter(|replica| replica.acked == offset)
                    .map(|replica| {
                        let (host, port) = self.replica_listens(replica.client);
                        Primary { host, port }
                    })
                    .next()
            }
        };
        let Some(target) = target else {
            return;
        };
        let Primary { host, port } = &target;
        if late {
            self.log.notice(format_args!(
                "FAILOVER to {host}:{port} time out exceeded, failing over."
            ));
        } else {
            self.log.notice(format_args!(
                "Failover target {host}:{port} is synced, failing over."
            ));
        }
        self.replication.failover.stage = Stage::InProgress;
        self.replication.failover.target = Some(target.clone());
        self.follow(target);
    }

    /// Everything is as it was, or as the failover left it.
    #[doc(alias = "clearFailoverState")]
    pub(super) fn clear_failover(&mut self) {
        self.replication.failover = Failover::default();
        self.pause_clients(PausePurpose::Failover, PauseMode::None, 0);
    }

    /// Gives a failover up; a server that became a replica for it is a primary again.
    #[doc(alias = "abortFailover")]
    pub fn abort_failover(&mut self, why: &str) {
        let failover = &self.replication.failover;
        if failover.stage == Stage::No {
            return;
        }
        match &failover.target {
            Some(Primary { host, port }) => self
                .log
                .notice(format_args!("FAILOVER to {host}:{port} aborted: {why}")),
            None => self
                .log
                .notice(format_args!("FAILOVER to any replica aborted: {why}")),
        }
        if failover.stage == Stage::InProgress {
            self.follow_nobody();
        }
        self.clear_failover();
    }
}
