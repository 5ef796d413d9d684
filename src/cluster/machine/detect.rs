//! Failure detection: from "I cannot reach it" to "it is down", and back.
//!
//! ```text
//! ```text
//!   ok ──silent for a timeout──▶ fail? ──a quorum of primaries says so──▶ fail ──reachable again──▶ ok
//!                                  │                                       (a primary whose slots no node took:
//!                                  └──────────any PONG──────────▶ ok        after two timeouts)
//! ```
//!
//! Reports of primaries *with slots* count, because the quorum counts those. A report is good for two timeouts.
//!
//! Mirrors: `markNodeAsFailingIfNeeded`, `clearNodeFailureIfNeeded`, `clusterNodeAddFailureReport` and kin.
//! Differs: there, reports of primaries without slots count as well, although the quorum leaves them out. And a primary
//! that suspects a node tells the other primaries at once, instead of waiting for its next PINGs to carry the news.

use super::out::Keep;
use super::{Level, Machine};
use crate::cluster::bus::Kind;
use crate::cluster::node::{Flags, NodeKey, Report};

impl Machine {
    /// A node says that another is down. Whether it is news.
    #[doc(alias = "clusterNodeAddFailureReport")]
    pub(super) fn report(&mut self, about: NodeKey, by: NodeKey) -> bool {
        let at_ms = self.now();
        let reports = &mut self.nodes[about].reports;
        match reports.iter_mut().find(|report| report.by == by) {
            Some(report) => {
                report.at_ms = at_ms;
                false
            }
            None => {
                reports.push(Report { by, at_ms });
                true
            }
        }
    }

    /// A node says that another is fine. Whether it said otherwise before.
    #[doc(alias = "clusterNodeDelFailureReport")]
    pub(super) fn withdraw(&mut self, about: NodeKey, by: NodeKey) -> bool {
        let reports = &mut self.nodes[about].reports;
        let place = reports.iter().position(|report| report.by == by);
        place.map(|place| reports.swap_remove(place)).is_some()
    }

    /// Reports about a node that are not too old.
    fn fresh_reports(&self, about: NodeKey) -> impl Iterator<Item = &Report> {
        let oldest = self.now().saturating_sub(self.timeout().saturating_mul(2));
        let reports = self.nodes[about].reports.iter();
        reports.filter(move |report| report.at_ms >= oldest)
    }

    /// The number of nodes that report a node as failing: CLUSTER COUNT-FAILURE-REPORTS.
    #[doc(alias = "clusterNodeFailureReportsCount")]
    pub fn failure_reports(&self, about: NodeKey) -> usize {
        self.fresh_reports(about).count()
    }

    /// Declares a suspected node down if a quorum agrees.
    #[doc(alias = "markNodeAsFailingIfNeeded")]
    pub(super) fn fail_if_agreed(&mut self, key: NodeKey) {
        let node = &self.nodes[key];
        if !node.flags.any(Flags::MAYBE_FAIL) || node.failed() {
            return;
        }
        let size = self.size();
        let reports = self.fresh_reports(key);
        let others = reports
            .filter(|report| self.nodes[report.by].votes())
            .count();
        let me = self.myself();
        let own = me.votes() || me.is_primary() && size <= 1;
        if others + usize::from(own) < size / 2 + 1 {
            return;
        }
        let text = format!(
            "Marking node {} as failing (quorum reached).",
            self.nodes[key].called()
        );
        self.log(Level::Notice, text);
        self.has_failed(key);
        let id = self.nodes[key].id;
        let fail = self.message(0, crate::cluster::bus::Body::Fail(id));
        self.broadcast(Kind::Fail, fail);
    }

    /// Notes that a node is down.
    pub(super) fn has_failed(&mut self, key: NodeKey) {
        let now = self.now();
        let node = &mut self.nodes[key];
        node.flags.clear(Flags::MAYBE_FAIL);
        node.flags.set(Flags::FAIL);
        node.fail_ms = now;
        self.todo.state = true;
        self.todo.election = true;
        self.keep(Keep::Soon);
    }

    /// A node answered on the connection to it.
    pub(super) fn has_answered(&mut self, key: NodeKey) {
        let now = self.now();
        let node = &mut self.nodes[key];
        node.pong_received_ms = now;
        node.ping_sent_ms = 0;
        if node.flags.any(Flags::MAYBE_FAIL) {
            node.flags.clear(Flags::MAYBE_FAIL);
            self.todo.state = true;
            self.keep(Keep::Soon);
        } else if node.failed() {
            self.revive(key);
        }
    }

    /// Takes back that a node is down, where that is safe.
    #[doc(alias = "clearNodeFailureIfNeeded")]
    fn revive(&mut self, key: NodeKey) {
        let node = &self.nodes[key];
        let called = node.called();
        let text = if !node.votes() {
            let role = match node.is_replica() {
                true => "replica",
                false => "master without slots",
            };
            format!("Clear FAIL state for node {called}:{role} is reachable again.")
        } else if self.since(node.fail_ms) > self.timeout().saturating_mul(2) {
            format!(
                "Clear FAIL state for node {called}: is reachable again and nobody is serving its slots after some time."
            )
        } else {
            return;
        };
        self.log(Level::Notice, text);
        self.nodes[key].flags.clear(Flags::FAIL);
        self.todo.state = true;
        self.keep(Keep::Soon);
    }

    /// Tells the voting primaries that a node is suspected, at most ten times in a timeout.
    pub(super) fn tell_voters(&mut self) {
        if self.since(self.told_fail_ms) < self.timeout() / 10 {
            return;
        }
        self.told_fail_ms = self.now();
        let voters = self.nodes.iter();
        let voters = voters.filter(|(_, node)| node.votes() && !node.ailing());
        let voters: Vec<NodeKey> = voters.map(|(key, _)| key).collect();
        self.spread(Kind::Pong, &voters);
    }
}
