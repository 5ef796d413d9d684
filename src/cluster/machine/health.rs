//! The state of the cluster (`cluster_state` in CLUSTER INFO), as this node sees it.
//!
//! ```text
//!   up   needs   every slot served by a node that is not down (cluster-require-full-coverage)
//!                a majority of the primaries with slots that can be reached, and were heard since the start
//!                as a primary: two seconds since the start, and a while since it was last cut off
//! ```
//!
//! The two delays give a primary that comes back the time to learn that it was replaced, before it takes a write. A node
//! that knows of no slots at all was not cut off from those who serve them: it is new, and becomes part of a cluster.
//!
//! Mirrors: `clusterUpdateState` (cluster_legacy.c).
//! Differs: the log says why the cluster is down. In Redis nodes that waited for `redis-cli --cluster create` count as cut
//! off until they get slots, so a new cluster is down for up to five seconds. Redis counts a primary that never answered
//! as reachable until it suspects it, so a primary that is restarted in isolation takes writes for a while.

use super::{Act, Level, Machine};
use crate::cluster::node::Flags;
use crate::util::crc16::SLOTS;

/// A primary does not take writes so soon after its start.
#[doc(alias = "CLUSTER_WRITABLE_DELAY")]
const WRITABLE_MS: u64 = 2000;

/// Bounds of the time a primary waits after it was cut off.
const REJOIN_MS: (u64, u64) = (500, 5000);

/// The state of the cluster, as this node sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct Health {
    pub(super) up: bool,
    /// The time at which the state was first computed.
    first_ms: u64,
    /// The time at which this node last reached only a minority of the primaries.
    minority_ms: Option<u64>,
    /// The reason in the log's last line about it.
    reason: Option<Ill>,
}

/// The reason why the cluster is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ill {
    NoSlots,
    Unassigned(usize),
    Failed(usize),
    Minority { reached: usize, needed: usize },
}

impl Ill {
    fn text(self) -> String {
        match self {
            Ill::NoSlots => {
                "The cluster is down for this node: it knows of no master with slots".to_owned()
            }
            Ill::Unassigned(slots) => format!(
                "The cluster is down for this node: {slots} hash slots are served by nobody (cluster-require-full-coverage is on)"
            ),
            Ill::Failed(slots) => format!(
                "The cluster is down for this node: {slots} hash slots belong to failed masters (cluster-require-full-coverage is on)"
            ),
            Ill::Minority { reached, needed } => format!(
                "The cluster is down for this node: {reached} masters with slots can be reached, {needed} are needed"
            ),
        }
    }
}

impl Machine {
    #[doc(alias = "clusterUpdateState")]
    pub(super) fn update_state(&mut self) {
        let now = self.now();
        if self.health.first_ms == 0 {
            self.health.first_ms = now;
        }
        let primary = self.myself().is_primary();
        if primary && !self.health.up && self.since(self.health.first_ms) < WRITABLE_MS {
            return;
        }
        let ill = self.diagnose();
        if matches!(ill, Some(Ill::Minority { .. })) {
            self.health.minority_ms = Some(now);
        }
        if ill != self.health.reason && !self.health.up {
            self.explain(ill);
        }
        if ill.is_none() == self.health.up {
            return;
        }
        let (least, most) = REJOIN_MS;
        let rejoin = self.timeout().clamp(least, most);
        let cut_off = self
            .health
            .minority_ms
            .is_some_and(|at| self.since(at) < rejoin);
        if ill.is_none() && primary && cut_off {
            return;
        }
        self.health.up = ill.is_none();
        let (level, word) = match ill {
            None => (Level::Notice, "ok"),
            Some(_) => (Level::Warning, "fail"),
        };
        self.log(level, format!("Cluster state changed: {word}"));
        self.explain(ill);
        let up = self.health.up;
        self.out.acts.push(Act::StateChanged { up });
    }

    fn explain(&mut self, ill: Option<Ill>) {
        if ill != self.health.reason {
            self.health.reason = ill;
            if let Some(ill) = ill {
                self.log(Level::Notice, ill.text());
            }
        }
    }

    fn diagnose(&self) -> Option<Ill> {
        let all = usize::from(SLOTS);
        let (mut size, mut reached, mut failed) = (0, 0, 0);
        for (key, node) in self.nodes.iter() {
            if node.flags.any(Flags::FAIL) {
                failed += node.slots.len();
            }
            if node.votes() {
                size += 1;
                // A node that was started in isolation suspects nobody yet, but has not heard of anybody either.
                let heard = key == self.me || node.data_received_ms != 0;
                reached += usize::from(heard && !node.ailing());
            }
        }
        if size == 0 {
            return Some(Ill::NoSlots);
        }
        let needed = size / 2 + 1;
        if reached < needed {
            return Some(Ill::Minority { reached, needed });
        }
        if self.options.full_coverage {
            if self.owners.assigned() < all {
                return Some(Ill::Unassigned(all - self.owners.assigned()));
            }
            if failed > 0 {
                return Some(Ill::Failed(failed));
            }
        }
        None
    }
}
