//! The periodic work of a node, ten times a second.
//!
//! ```text
//!   1  per node: give up handshakes, open missing connections
//!   2  once a second: PING the one of five that was silent longest
//!   3  per node: give up dead connections, PING the silent, suspect the dead
//!   4  a replica: start replication, go on with a failover, consider to move
//!   5  the state of the cluster, the file
//! ```
//!
//! Mirrors: `clusterCron` (cluster_legacy.c).
//! Differs: a tick takes the time from its input, so tests can skip hours.

use super::out::Keep;
use super::{CRON_MS, Level, Machine};
use crate::cluster::bus::Kind;
use crate::cluster::node::{Flags, LinkId, NodeKey};

impl Machine {
    pub(super) fn tick(&mut self) {
        let now = self.now();
        self.todo.election = self.myself().is_replica();
        // The last bytes of the primary may have been processed.
        self.todo.manual = self.manual.is_some() && self.myself().is_replica();
        if now < self.next_cron_ms {
            return;
        }
        self.next_cron_ms = now + CRON_MS;
        self.round += 1;
        self.tend_links();
        self.introduce();
        if self.round.is_multiple_of(10) {
            self.ping_a_silent_one();
        }
        self.check_nodes();
        let primary = self.myself().primary;
        if let Some(primary) = primary.filter(|_| self.following.is_none())
            && self.nodes[primary].has_address()
        {
            self.follow(primary);
        }
        self.check_manual();
        self.tell_owners();
        self.tend_handovers();
        self.tend_pause();
        if self.myself().is_replica() {
            self.mend_chain();
            self.todo.manual = true;
            self.consider_orphans();
        }
        if !self.health.up {
            self.todo.state = true;
        }
        self.start_save(true);
    }

    fn tend_links(&mut self) {
        let now = self.now();
        let handshake_ms = self.handshake_ms();
        self.ailing = 0;
        // The table of nodes stays as it is until the end of the step: a node that has to go is only noted (`doom`).
        for place in 0..self.nodes.len() {
            let Some(key) = self.nodes.nth(place) else {
                break;
            };
            let node = &self.nodes[key];
            if key == self.me || node.flags.any(Flags::NO_ADDRESS) {
                continue;
            }
            self.ailing += usize::from(node.flags.any(Flags::MAYBE_FAIL));
            let node = &self.nodes[key];
            if node.in_handshake() && self.since(node.created_ms) > handshake_ms {
                self.doom(key);
            } else if node.link.is_none() && node.has_address() {
                self.dial(key);
            }
        }
        if !self.round.is_multiple_of(10) {
            return;
        }
        // A peer that did not name itself in this time, or whose name is unknown, may connect again.
        let strangers = self.links.iter().filter(|(id, link)| {
            matches!(id, LinkId::In(_))
                && link.node.is_none()
                && now.saturating_sub(link.since_ms) > 2 * handshake_ms
        });
        let strangers: Vec<LinkId> = strangers.map(|(id, _)| *id).collect();
        for link in strangers {
            self.close(link);
        }
    }

    fn ping_a_silent_one(&mut self) {
        let mut chosen: Option<(u64, NodeKey)> = None;
        for _ in 0..5 {
            let place = self.rng.below(self.nodes.len() as u64) as usize;
            let Some(key) = self.nodes.nth(place) else {
                continue;
            };
            let node = &self.nodes[key];
            let skip = key == self.me || node.in_handshake();
            if skip || node.link.is_none() || node.ping_sent_ms != 0 {
                continue;
            }
            if chosen.is_none_or(|(pong, _)| node.pong_received_ms < pong) {
                chosen = Some((node.pong_received_ms, key));
            }
        }
        if let Some((_, key)) = chosen {
            self.ask(key, Kind::Ping);
        }
    }

    fn check_nodes(&mut self) {
        let timeout = self.timeout();
        let interval = match self.options.ping_interval_ms {
            0 => timeout / 2,
            interval => interval,
        };
        let skip = Flags::MYSELF.and(Flags::NO_ADDRESS).and(Flags::HANDSHAKE);
        for place in 0..self.nodes.len() {
            let Some(key) = self.nodes.nth(place) else {
                break;
            };
            if self.nodes[key].flags.any(skip) {
                continue;
            }
            self.repeat_meet(key);
            let node = &self.nodes[key];
            let asked_ms = self.since(node.ping_sent_ms);
            let silent_ms = self.since(node.data_received_ms);
            let open = node.ping_sent_ms != 0;
            let pong_ms = self.since(node.pong_received_ms);
            let asked_on = node.link.filter(|_| open);
            let link = asked_on.and_then(|id| Some((id, self.links.get(&id)?)));
            if let Some((id, link)) = link {
                // Maybe the connection is dead and not the node: the next tick opens another. A node that is heard of
                // on its own connection gets more time for its answer on this one.
                let old = self.since(link.since_ms) > timeout;
                let patience = match silent_ms > timeout / 2 {
                    true => timeout / 2,
                    false => timeout,
                };
                if old && asked_ms > patience && self.since(link.heard_ms) > patience {
                    self.close(id);
                }
            }
            if self.nodes[key].link.is_some() {
                if !open && pong_ms > interval {
                    self.ask(key, Kind::Ping);
                    continue;
                }
                if self.pauses_for(key) {
                    self.ask(key, Kind::Ping);
                    continue;
                }
            }
            if open && asked_ms.min(silent_ms) > timeout {
                self.suspect(key);
            }
        }
    }

    /// Greets a node again that was met and has not connected in turn.
    fn repeat_meet(&mut self, key: NodeKey) {
        let node = &self.nodes[key];
        if node.met_ms == 0 || self.since(node.met_ms) <= self.handshake_ms() {
            return;
        }
        let now = self.now();
        let waits = node.inbound.is_none();
        self.nodes[key].met_ms = if waits { now } else { 0 };
        if waits && self.connected_to(key) && !self.nodes[key].ailing() {
            self.ask(key, Kind::Meet);
            let called = self.nodes[key].called();
            self.log(
                Level::Verbose,
                format!("Node {called} has not connected to this node yet: greeting it again"),
            );
        }
    }

    /// Notes a node that cannot be reached from here.
    fn suspect(&mut self, key: NodeKey) {
        if self.nodes[key].ailing() {
            return;
        }
        self.nodes[key].flags.set(Flags::MAYBE_FAIL);
        self.ailing += 1;
        self.todo.state = true;
        self.keep(Keep::Soon);
        let text = format!("*** NODE {} possibly failing", self.nodes[key].called());
        self.log(Level::Debug, text);
        self.fail_if_agreed(key);
        if self.nodes[key].flags.any(Flags::MAYBE_FAIL) && self.myself().votes() {
            self.todo.tell_fail = true;
        }
    }
}
