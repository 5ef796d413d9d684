//! Replica migration: a replica moves to a primary that has none left (`cluster-migration-barrier`).
//!
//! ```text
//!   A ── a1 a2      B ── b1      C (its replica died 5 s ago)   barrier 1: A keeps at least one
//!   a1 moves, since A has the most replicas and a1 has the smallest name:
//!   A ── a2         B ── b1      C ── a1
//! ```
//!
//! Mirrors: `clusterHandleSlaveMigration` and the statistics of `clusterCron` (cluster_legacy.c).
//! Differs: the move comes out as an act; the caller changes the replication.

use super::{Level, Machine};
use crate::cluster::node::{Flags, NodeKey};

/// So long a primary must have been without a replica.
#[doc(alias = "CLUSTER_SLAVE_MIGRATION_DELAY")]
const ORPHANED_MS: u64 = 5000;

impl Machine {
    /// Moves this replica to an orphaned primary, if it is the one that should.
    #[doc(alias = "clusterHandleSlaveMigration")]
    pub(super) fn consider_orphans(&mut self) {
        let now = self.now();
        let mut target: Option<NodeKey> = None;
        let mut most = 0;
        let mut working: Vec<(NodeKey, usize)> = Vec::new();
        for key in self.nodes.keys() {
            let node = &self.nodes[key];
            if !node.is_primary() || node.failed() {
                self.nodes[key].orphaned_ms = 0;
                continue;
            }
            let good = self.nodes.good_replicas(key);
            most = most.max(good);
            working.push((key, good));
            let node = &mut self.nodes[key];
            let orphan = good == 0 && node.votes() && node.flags.any(Flags::MIGRATE_TO);
            match (orphan, node.orphaned_ms) {
                (true, 0) => node.orphaned_ms = now,
                (true, _) => {}
                (false, _) => node.orphaned_ms = 0,
            }
            if orphan && target.is_none() {
                target = Some(key);
            }
        }
        let (Some(target), Some(mine)) = (target, self.myself().primary) else {
            return;
        };
        let allowed = self.options.allow_replica_migration && self.health.up;
        if !allowed || most < 2 || self.manual.is_some() || self.nodes[mine].failed() {
            return;
        }
        let healthy = self.nodes.replicas(mine);
        let healthy = healthy.filter(|(_, node)| !node.ailing()).count();
        if healthy <= self.options.migration_barrier || !working.contains(&(mine, most)) {
            return;
        }
        // Among the replicas of all primaries that have the most, the one with the smallest name moves.
        let rich = working.iter().filter(|(_, good)| *good == most);
        let names = rich.flat_map(|(key, _)| self.nodes.replicas(*key));
        let first = names.map(|(_, node)| node.id).min();
        let waited = self.since(self.nodes[target].orphaned_ms) > ORPHANED_MS;
        if first == Some(self.myself().id) && waited {
            let id = self.nodes[target].id;
            self.log(Level::Notice, format!("Migrating to orphaned master {id}"));
            self.replicate(target);
        }
    }
}
