//! Manual failover: an operator orders it, and the primary is well.
//!
//! ```text
//!   replica                                   primary
//!   CLUSTER FAILOVER
//!   MFSTART ───────────────────────────────▶  pauses writes of clients
//!   notes the offset  ◀──────── PING, PAUSED, offset 1234
//!   has processed 1234: asks for votes, FORCEACK
//!   wins, claims the slots ─────────────────▶ is a replica now, goes on
//! ```
//!
//! Mirrors: `clusterHandleManualFailover`, `resetManualFailover`, `manualFailoverCheckTimeout` (cluster_legacy.c).
//! Differs: an order drops any election that runs and starts its own (valkey 1274). The primary goes on as soon as it
//! sees the claim, and at the latest when its own time is up.

use super::{Act, Level, Machine, Sync};
use crate::cluster::bus::{Body, Kind};
use crate::cluster::node::{LinkId, NodeKey};

/// The time that a manual failover may take.
#[doc(alias = "CLUSTER_MF_TIMEOUT")]
pub(super) const MANUAL_MS: u64 = 5000;

/// The longest pause of the primary's clients.
const PAUSE_MS: u64 = 2 * MANUAL_MS;

/// A manual failover under way.
#[derive(Debug)]
pub(super) struct Manual {
    ends_ms: u64,
    side: Side,
}

#[derive(Debug)]
enum Side {
    /// This primary pauses for one of its replicas.
    Primary { replica: NodeKey },
    /// This replica has yet to process the primary's last byte.
    Replica {
        /// The offset at which the primary paused.
        offset: Option<u64>,
        may_start: bool,
    },
}

impl Machine {
    /// Starts on the replica. `forced`: without asking the primary.
    pub(super) fn start_manual(&mut self, forced: bool) {
        self.end_manual();
        self.election = None;
        self.election_after_ms = 0;
        let ends_ms = self.now() + MANUAL_MS;
        let side = Side::Replica {
            offset: None,
            may_start: forced,
        };
        self.manual = Some(Manual { ends_ms, side });
        if forced {
            self.todo.election = true;
            return;
        }
        let primary = self.myself().primary.map(|primary| &self.nodes[primary]);
        if let Some(link) = primary.and_then(|node| node.link) {
            let start = self.message(0, Body::MfStart);
            self.send(link, Kind::MfStart, start);
        }
    }

    /// A replica asks this primary to pause.
    pub(super) fn asked_to_pause(&mut self, sender: NodeKey, link: LinkId) {
        if !self.myself().is_primary() || self.nodes[sender].primary != Some(self.me) {
            return;
        }
        if self.is_handing_over() {
            // The replica would take the slots back with an epoch above the claim's.
            self.pause_asked = Some((sender, link, self.now()));
            return;
        }
        self.end_manual();
        let now = self.now();
        self.manual = Some(Manual {
            ends_ms: now + MANUAL_MS,
            side: Side::Primary { replica: sender },
        });
        let until_ms = now + PAUSE_MS;
        self.out.acts.push(Act::Pause { until_ms });
        let called = self.nodes[sender].called();
        let text = format!("Manual failover requested by replica {called}.");
        self.log(Level::Notice, text);
        match self.nodes[sender].link {
            Some(_) => self.ask(sender, Kind::Ping),
            None => self.answer(link, Some(sender)),
        }
    }

    /// Does what a replica asked for while slots were being handed over.
    pub(super) fn tend_pause(&mut self) {
        let Some((sender, link, at_ms)) = self.pause_asked else {
            return;
        };
        let late = self.since(at_ms) > MANUAL_MS;
        if late || !self.is_handing_over() {
            self.pause_asked = None;
            if !late && self.nodes.get(sender).is_some() {
                self.asked_to_pause(sender, link);
            }
        }
    }

    /// Whether this primary pauses for a replica that has to hear its offset.
    pub(super) fn pauses_for(&self, key: NodeKey) -> bool {
        matches!(&self.manual, Some(Manual { side: Side::Primary { replica }, .. }) if *replica == key)
    }

    /// The primary said where it paused.
    pub(super) fn heard_paused(&mut self, sender: NodeKey, at: u64) {
        if self.myself().primary != Some(sender) {
            return;
        }
        if let Some(Manual {
            side:
                Side::Replica {
                    offset: offset @ None,
                    ..
                },
            ..
        }) = &mut self.manual
        {
            *offset = Some(at);
            self.todo.manual = true;
            self.log(
                Level::Notice,
                format!("Received replication offset for paused master manual failover: {at}"),
            );
        }
    }

    /// Starts the election when all that the primary wrote has been processed. The offset alone does not tell: an old
    /// primary that comes back may have written as much before, and has none of its new primary's data yet.
    #[doc(alias = "clusterHandleManualFailover")]
    pub(super) fn tend_manual(&mut self) {
        let own = self.facts.offset;
        let in_step = matches!(self.facts.sync, Sync::Up { .. });
        if let Some(Manual {
            side:
                Side::Replica {
                    offset: Some(offset),
                    may_start: may_start @ false,
                },
            ..
        }) = &mut self.manual
            && *offset == own
            && in_step
        {
            *may_start = true;
            self.election = None;
            self.todo.election = true;
            self.log(
                Level::Notice,
                "All master replication stream processed, manual failover can start.".to_owned(),
            );
        }
    }

    /// Whether an operator's order lets this replica ask for votes now.
    pub(super) fn manual_may_start(&self) -> bool {
        let side = self.manual.as_ref().map(|manual| &manual.side);
        matches!(
            side,
            Some(Side::Replica {
                may_start: true,
                ..
            })
        )
    }

    #[doc(alias = "manualFailoverCheckTimeout")]
    pub(super) fn check_manual(&mut self) {
        let now = self.now();
        if self
            .manual
            .as_ref()
            .is_some_and(|manual| manual.ends_ms < now)
        {
            self.log(Level::Warning, "Manual failover timed out.".to_owned());
            self.end_manual();
            self.election = None;
        }
    }

    /// Ends a manual failover, however it went: the primary's clients go on.
    #[doc(alias = "resetManualFailover")]
    pub(super) fn end_manual(&mut self) {
        if let Some(manual) = self.manual.take()
            && matches!(manual.side, Side::Primary { .. })
        {
            self.out.acts.push(Act::Unpause);
        }
    }

    /// Drops a manual failover with a node that is forgotten.
    pub(super) fn manual_forgets(&mut self, gone: NodeKey) {
        if self.pauses_for(gone) {
            self.end_manual();
        }
    }
}
