//! FAILOVER carried out: writes are paused, the replica catches up, roles change. [`crate::replication::failover`]
//! has the stages.
//!
//! Mirrors: failoverCommand(), updateFailoverStatus(), abortFailover() of replication.c.
//! Differs: in nothing that an operator sees.

use super::{link, stream};
use crate::clients;
use crate::clients::{PauseMode, PausePurpose};
use crate::config::Primary;
use crate::keyspace::Ms;
use crate::replication::failover::{Failover, Stage};
use crate::state::State;

/// Begins a failover, which the caller saw to be possible.
pub fn begin_failover(
    state: &mut State,
    target: Option<Primary>,
    timeout_ms: Option<Ms>,
    force: bool,
) {
    match &target {
        Some(Primary { host, port }) => state
            .log
            .notice(format_args!("FAILOVER requested to {host}:{port}.")),
        None => state.log.notice("FAILOVER requested to any replica."),
    }
    let now = state.clock.unix_ms();
    state.replication.failover = Failover {
        stage: Stage::WaitForSync,
        end_ms: timeout_ms.map(|ms| now.saturating_add(ms)),
        force,
        target,
    };
    clients::act::pause::pause_clients(state, PausePurpose::Failover, PauseMode::Write, Ms::MAX);
}

/// Whether a failover is under way that will not wait for ever: then the stream must not grow by itself.
pub(in crate::replication) fn failover_holds_stream(state: &State) -> bool {
    let of_cluster = state.config.cluster_enabled
        && state.pauses.mode_of(PausePurpose::Failover) != PauseMode::None;
    of_cluster
        || state.replication.failover.end_ms.is_some() && state.pauses.mode() != PauseMode::None
}

/// A replica by where it listens.
#[doc(alias = "findReplica")]
pub fn find_replica<'s>(
    state: &'s State,
    host: &str,
    port: i64,
) -> Option<&'s crate::replication::Replica> {
    state.replication.replicas.iter().find(|replica| {
        let (ip, its_port) = stream::replica_listens(state, replica.client);
        ip.eq_ignore_ascii_case(host) && i64::from(its_port) == port
    })
}

/// Goes on with a failover, if there is one.
#[doc(alias = "updateFailoverStatus")]
pub(crate) fn update_failover(state: &mut State) {
    if state.replication.failover.stage != Stage::WaitForSync {
        return;
    }
    let now = state.clock.unix_ms();
    let failover = &state.replication.failover;
    let late = failover.end_ms.is_some_and(|end| end <= now);
    if late && !failover.force {
        return abort_failover(state, "Replica never caught up before timeout");
    }
    let offset = state.replication.offset;
    let target = match &failover.target {
        Some(target) => {
            let replica = find_replica(state, &target.host, i64::from(target.port));
            let synced = replica.is_some_and(|replica| replica.acked == offset);
            (synced || late).then(|| target.clone())
        }
        None => {
            let replicas = state.replication.replicas.iter();
            replicas
                .filter(|replica| replica.acked == offset)
                .map(|replica| {
                    let (host, port) = stream::replica_listens(state, replica.client);
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
        state.log.notice(format_args!(
            "FAILOVER to {host}:{port} time out exceeded, failing over."
        ));
    } else {
        state.log.notice(format_args!(
            "Failover target {host}:{port} is synced, failing over."
        ));
    }
    state.replication.failover.stage = Stage::InProgress;
    state.replication.failover.target = Some(target.clone());
    link::follow(state, target);
}

/// Everything is as it was, or as the failover left it.
#[doc(alias = "clearFailoverState")]
pub(in crate::replication) fn clear_failover(state: &mut State) {
    state.replication.failover = Failover::default();
    clients::act::pause::pause_clients(state, PausePurpose::Failover, PauseMode::None, 0);
}

/// Gives a failover up; a server that became a replica for it is a primary again.
#[doc(alias = "abortFailover")]
pub fn abort_failover(state: &mut State, why: &str) {
    let failover = &state.replication.failover;
    if failover.stage == Stage::No {
        return;
    }
    match &failover.target {
        Some(Primary { host, port }) => state
            .log
            .notice(format_args!("FAILOVER to {host}:{port} aborted: {why}")),
        None => state
            .log
            .notice(format_args!("FAILOVER to any replica aborted: {why}")),
    }
    if failover.stage == Stage::InProgress {
        link::follow_nobody(state);
    }
    clear_failover(state);
}
