//! Elections: a primary is down, and one of its replicas asks the other primaries for their votes.
//!
//! ```text
//!   scheduled ──delay──▶ asked: epoch + 1, saved, AUTH_REQUEST to all ──votes of a majority──▶ won: slots taken, kept,
//!       ▲                  │  request repeated to silent primaries                              PONG to all
//!       └──── again ◀──────┴─ epoch overtaken, or time is up
//! ```
//!
//! An election is one value. It is made when it is scheduled and dropped when it is won, lost, overtaken, or the
//! primary changes; a vote counts once, and for its own epoch only. In Redis votes outlived their election, so that a
//! second manual failover could win with the votes of the first (redis 8753, the upstream test
//! `failover-stale-votes`).
//!
//! **When to ask.** Redis waits 500 ms, a random half of a second more, and a second for each replica of the same
//! primary with more data. Here a replica asks its siblings for their offsets when the primary is down, and when every
//! living one has answered and none has more data, it starts at once: the offsets of a dead primary's replicas stand
//! still. If several primaries died, their replicas start one after another, for two elections in one epoch split the
//! votes (redis 5857, valkey 1018).
//!
//! Mirrors: `clusterHandleSlaveFailover`, `clusterSendFailoverAuthIfNeeded`, `clusterGetSlaveRank`,
//! `clusterLogCantFailover`, `clusterFailoverReplaceYourMaster` (cluster_legacy.c).
//! Differs: also, a primary that voted for a replica votes for the same replica again in a later epoch. Redis refuses
//! any second vote about the same primary for two timeouts, so an election that was split stays lost that long.

use super::out::Keep;
use super::{Act, Level, Machine, Sync};
use crate::cluster::bus::{Body, FORCE_ACK, Header, Kind};
use crate::cluster::node::{Flags, NodeKey};
use crate::cluster::slots;

/// Redis's delay before an election, of which half is random, and what a replica with less data waits more.
const DELAY_MS: u64 = 500;
const RANK_MS: u64 = 1000;

/// How long after the request a silent primary is asked again, doubled each time.
const REPEAT_MS: u64 = 50;

/// An election that another epoch overtook is given up after so long without a majority.
const OVERTAKEN_MS: u64 = 200;

/// Elections of several failed primaries start so far apart, all of them within so long.
const APART_MS: u64 = 100;
const SPREAD_MS: u64 = 2000;

/// Interval at which the log repeats the same hindrance.
const RELOG_MS: u64 = 10_000;

/// An election of this node.
#[derive(Debug)]
pub(super) struct Election {
    /// The primary to be replaced.
    pub(super) primary: NodeKey,
    manual: bool,
    rank: usize,
    scheduled_ms: u64,
    starts_ms: u64,
    pub(super) asked: Option<Asked>,
}

/// A request for votes that was sent.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) epoch: u64,
    at_ms: u64,
    again_ms: u64,
    pause_ms: u64,
    pub(super) voters: Vec<NodeKey>,
    /// Another replica asks for votes in the same epoch.
    contested: bool,
}

/// The reason why a replica does not take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excuse {
    DataAge,
    Delay,
    Expired,
    Votes,
}

impl Election {
    /// The time at which the election wants to be looked at again.
    pub(super) fn wake_ms(&self) -> Option<u64> {
        Some(match &self.asked {
            None => self.starts_ms,
            Some(asked) => asked.again_ms,
        })
    }
}

impl Machine {
    /// Goes on with an election, or starts one.
    #[doc(alias = "clusterHandleSlaveFailover")]
    pub(super) fn tend_election(&mut self) {
        let manual = self.manual_may_start();
        let Some(primary) = self.candidate_for(manual) else {
            self.election = None;
            self.excuse = None;
            return;
        };
        if self
            .election
            .as_ref()
            .is_some_and(|election| election.primary != primary)
        {
            self.election = None;
        }
        if !manual && self.data_too_old() {
            self.election = None;
            return self.excuse(Excuse::DataAge, None);
        }
        let now = self.now();
        let Some(election) = &self.election else {
            if !manual && now < self.election_after_ms {
                return self.excuse(Excuse::Delay, None);
            }
            return self.schedule(primary, manual);
        };
        if election.asked.is_none() {
            let starts = self.reconsider_start();
            match now < starts {
                true => self.excuse(Excuse::Delay, None),
                false => self.ask_for_votes(),
            }
            return;
        }
        self.wait_for_votes();
    }

    /// The primary that this node should replace, if there is one.
    fn candidate_for(&self, manual: bool) -> Option<NodeKey> {
        let me = self.myself();
        let primary = me.primary.filter(|_| me.is_replica())?;
        let node = &self.nodes[primary];
        let wanted = manual || node.failed() && !self.options.no_failover;
        (wanted && !node.slots.is_empty()).then_some(primary)
    }

    /// Whether this replica heard of its primary too long ago to take its place.
    fn data_too_old(&self) -> bool {
        let age = match self.facts.sync {
            Sync::Up { silent_ms } => silent_ms,
            Sync::Down { for_ms } => for_ms,
            // A replica that never had a link to its primary has nothing of it.
            Sync::Nobody => u64::MAX,
        };
        let timeout = self.timeout();
        let age = if age > timeout { age - timeout } else { age };
        let factor = self.options.validity_factor;
        let most = timeout.saturating_mul(factor) + self.options.replica_ping_ms;
        factor != 0 && age > most
    }

    fn schedule(&mut self, primary: NodeKey, manual: bool) {
        let now = self.now();
        let rank = if manual { 0 } else { self.rank(primary) };
        let delay = match manual {
            true => 0,
            false => DELAY_MS + self.rng.below(DELAY_MS) + rank as u64 * RANK_MS,
        };
        self.election = Some(Election {
            primary,
            manual,
            rank,
            scheduled_ms: now,
            starts_ms: now + delay,
            asked: None,
        });
        // The question carries this node's offset, the answer the sibling's.
        for sibling in self.siblings(primary) {
            self.ask(sibling, Kind::Ping);
        }
        let starts = self.reconsider_start();
        let (delay, offset) = (starts.saturating_sub(now), self.facts.offset);
        self.log(
            Level::Notice,
            format!(
                "Start of election delayed for {delay} milliseconds (rank #{rank}, offset {offset})."
            ),
        );
        if starts <= now {
            self.ask_for_votes();
        }
    }

    /// Replicas of the same primary that may compete.
    fn siblings(&self, primary: NodeKey) -> Vec<NodeKey> {
        let hidden = Flags::NO_FAILOVER.and(Flags::FAIL).and(Flags::MAYBE_FAIL);
        let replicas = self.nodes.replicas(primary);
        let rivals = replicas.filter(|(key, node)| *key != self.me && !node.flags.any(hidden));
        rivals.map(|(key, _)| key).collect()
    }

    /// The rank of this replica: the number of replicas of the same primary with more data.
    #[doc(alias = "clusterGetSlaveRank")]
    fn rank(&self, primary: NodeKey) -> usize {
        let own = self.facts.offset;
        let replicas = self.nodes.replicas(primary);
        let better = replicas.filter(|(key, node)| {
            *key != self.me && !node.flags.any(Flags::NO_FAILOVER) && node.offset > own
        });
        better.count()
    }

    /// Looks again at when the election may start: sooner if this replica is known to be the best, later if a better
    /// one turned up.
    fn reconsider_start(&mut self) -> u64 {
        let Some(election) = &self.election else {
            return u64::MAX;
        };
        let (primary, scheduled) = (election.primary, election.scheduled_ms);
        if election.manual {
            return election.starts_ms;
        }
        let (own, id) = (self.facts.offset, self.myself().id);
        let siblings = self.siblings(primary);
        // A primary that was heard of since it was found dead may be back: Redis's delay lets that come out.
        let silent = self.nodes[primary].data_received_ms <= self.nodes[primary].fail_ms;
        let best = silent
            && siblings.iter().all(|key| {
                let node = &self.nodes[*key];
                let worse = node.offset < own || node.offset == own && node.id > id;
                node.offset_ms >= scheduled && worse
            });
        let head_start = scheduled + self.turn_ms(primary);
        let rank = self.rank(primary);
        let Some(election) = &mut self.election else {
            return u64::MAX;
        };
        if best {
            election.starts_ms = election.starts_ms.min(head_start);
        } else if rank > election.rank {
            let added = (rank - election.rank) as u64 * RANK_MS;
            election.rank = rank;
            election.starts_ms += added;
            self.log(
                Level::Notice,
                format!("Replica rank updated to #{rank}, added {added} milliseconds of delay."),
            );
        }
        self.election.as_ref().map_or(u64::MAX, |e| e.starts_ms)
    }

    /// The time for which replicas of this failed primary wait for replicas of other failed primaries.
    fn turn_ms(&self, primary: NodeKey) -> u64 {
        let id = self.nodes[primary].id;
        let nodes = self.nodes.iter();
        let (mut failed, mut before) = (0, 0);
        for (_, node) in nodes.filter(|(_, node)| node.failed() && node.votes()) {
            failed += 1;
            before += u64::from(node.id < id);
        }
        let step = SPREAD_MS / u64::max(failed, 1);
        before * step.min(APART_MS)
    }

    fn ask_for_votes(&mut self) {
        self.current_epoch = self.current_epoch.saturating_add(1);
        self.keep(Keep::Synced);
        let (now, epoch) = (self.now(), self.current_epoch);
        let Some(election) = &mut self.election else {
            return;
        };
        let manual = election.manual;
        election.asked = Some(Asked {
            epoch,
            at_ms: now,
            again_ms: now + REPEAT_MS,
            pause_ms: REPEAT_MS,
            voters: Vec::new(),
            contested: false,
        });
        self.log(
            Level::Notice,
            format!("Starting a failover election for epoch {epoch}."),
        );
        let request = self.message(if manual { FORCE_ACK } else { 0 }, Body::AuthRequest);
        for link in self.links_where(|_| true) {
            self.send_when_kept(link, Kind::AuthRequest, request.clone());
        }
        self.todo.state = true;
    }

    fn wait_for_votes(&mut self) {
        let (now, quorum) = (self.now(), self.quorum());
        let valid = self.timeout().saturating_mul(2).max(2000);
        let overtaken_by = self.current_epoch;
        let split_after = OVERTAKEN_MS.max(self.timeout() / 4);
        let highest = self.nodes.iter().filter(|(key, _)| *key != self.me);
        let highest = highest.map(|(_, node)| node.epoch).max();
        let Some(election) = &mut self.election else {
            return;
        };
        let (primary, manual) = (election.primary, election.manual);
        let Some(asked) = &mut election.asked else {
            return;
        };
        let (epoch, got) = (asked.epoch, asked.voters.len());
        let age = now.saturating_sub(asked.at_ms);
        if got >= quorum {
            return self.win(epoch);
        }
        if age > valid {
            self.excuse(Excuse::Expired, Some(got));
            self.election = None;
            self.election_after_ms = now + 100 + self.rng.below(DELAY_MS);
            return;
        }
        // Primaries that voted in a later epoch, or for another replica in this one, will not vote for this replica, so it
        // asks in a fresh epoch (valkey 1009).
        let why = if highest.is_some_and(|highest| highest >= epoch) {
            Some(format!("another node has won epoch {epoch} or a later one"))
        } else if overtaken_by > epoch && age > OVERTAKEN_MS {
            Some(format!("epoch {overtaken_by} has begun"))
        } else if asked.contested && age > split_after {
            Some("another replica asks in the same epoch".to_owned())
        } else {
            None
        };
        if let Some(why) = why {
            self.log(
                Level::Notice,
                format!(
                    "Failover election for epoch {epoch} lost: {got} of {quorum} votes, and {why}."
                ),
            );
            let wait = self.rng.below(OVERTAKEN_MS);
            self.election = Some(Election {
                primary,
                manual,
                rank: self.rank(primary),
                scheduled_ms: now,
                starts_ms: now + wait,
                asked: None,
            });
            return;
        }
        if now >= asked.again_ms {
            asked.pause_ms = asked.pause_ms.saturating_mul(2);
            asked.again_ms = now + asked.pause_ms;
            let voters = asked.voters.clone();
            self.ask_again(&voters, manual);
        }
        self.excuse(Excuse::Votes, Some(got));
    }

    /// Repeats the request for votes, in the same epoch: a primary that has not heard that the replica's primary is
    /// down does not answer.
    fn ask_again(&mut self, voters: &[NodeKey], manual: bool) {
        let silent = self.nodes.iter().filter(|(key, node)| {
            *key != self.me && node.votes() && !node.ailing() && !voters.contains(key)
        });
        let links: Vec<_> = silent.filter_map(|(_, node)| node.link).collect();
        let same_epoch = self.election.as_ref().and_then(|e| e.asked.as_ref());
        if same_epoch.is_none_or(|asked| asked.epoch != self.current_epoch) {
            return;
        }
        let request = self.message(if manual { FORCE_ACK } else { 0 }, Body::AuthRequest);
        for link in links {
            self.send_when_kept(link, Kind::AuthRequest, request.clone());
        }
    }

    /// A vote came in.
    pub(super) fn got_vote(&mut self, sender: NodeKey, epoch: u64) {
        let counts = self.nodes[sender].votes();
        let asked = self.election.as_mut().and_then(|e| e.asked.as_mut());
        match asked {
            Some(asked) if counts && asked.epoch == epoch => {
                if !asked.voters.contains(&sender) {
                    asked.voters.push(sender);
                }
                self.todo.election = true;
            }
            _ => {
                let called = self.nodes[sender].called();
                let text = format!("Vote of {called} for epoch {epoch} does not count any more");
                self.log(Level::Verbose, text);
            }
        }
    }

    fn win(&mut self, epoch: u64) {
        self.log(
            Level::Notice,
            "Failover election won: I'm the new master.".to_owned(),
        );
        if self.myself().epoch < epoch {
            self.nodes[self.me].epoch = epoch;
            self.log(
                Level::Notice,
                format!("configEpoch set to {epoch} after successful failover"),
            );
        }
        self.replace_primary();
    }

    /// Takes the primary's place and its slots. This node has a new epoch already.
    #[doc(alias = "clusterFailoverReplaceYourMaster")]
    pub(super) fn replace_primary(&mut self) {
        let me = self.myself();
        let Some(old) = me.primary.filter(|_| me.is_replica()) else {
            return;
        };
        self.becomes_primary(self.me);
        self.following = None;
        self.out.acts.push(Act::FollowNobody);
        let slots: Vec<u16> = self.nodes[old].slots.iter().collect();
        for slot in slots {
            self.bind(slot, self.me);
        }
        self.election = None;
        self.election_after_ms = 0;
        self.excuse = None;
        self.end_manual();
        self.keep(Keep::Claimed);
        self.todo.state = true;
        self.todo.announce = true;
    }

    /// A replica asks for this node's vote.
    #[doc(alias = "clusterSendFailoverAuthIfNeeded")]
    pub(super) fn asked_for_vote(&mut self, sender: NodeKey, header: &Header<'_>) {
        if !self.myself().votes() {
            let own = self
                .election
                .as_mut()
                .and_then(|election| election.asked.as_mut());
            if let Some(own) = own {
                own.contested |= own.epoch == header.current_epoch;
            }
            return;
        }
        let id = self.nodes[sender].id;
        let again = self.last_vote_epoch == header.current_epoch && self.last_vote_for == Some(id);
        if again && header.current_epoch == self.current_epoch {
            // The vote was given; the answer got lost, or is on its way.
            return self.send_vote(sender);
        }
        match self.refusal(sender, header) {
            Err(reason) => {
                let called = self.nodes[sender].called();
                let text = format!("Failover auth denied to {called}: {reason}");
                self.log(Level::Warning, text);
            }
            Ok(primary) => {
                let now = self.now();
                self.last_vote_epoch = self.current_epoch;
                self.last_vote_for = Some(id);
                self.nodes[primary].voted_ms = now;
                self.nodes[primary].voted_for = Some(id);
                self.keep(Keep::Synced);
                self.send_vote(sender);
                let (called, epoch) = (self.nodes[sender].called(), self.current_epoch);
                let text = format!("Failover auth granted to {called} for epoch {epoch}");
                self.log(Level::Notice, text);
            }
        }
    }

    /// The primary that a replica may replace, or the reason why it does not get the vote.
    fn refusal(&self, sender: NodeKey, header: &Header<'_>) -> Result<NodeKey, String> {
        let (asked, current) = (header.current_epoch, self.current_epoch);
        if asked < current {
            return Err(format!("reqEpoch ({asked}) < curEpoch({current})"));
        }
        if self.last_vote_epoch == current {
            return Err(format!("already voted for epoch {current}"));
        }
        let node = &self.nodes[sender];
        if node.is_primary() {
            return Err("it is a master node".to_owned());
        }
        // The primary named in the request counts, not the one this node heard of before: the replica may have moved
        // to another primary in the meantime, which is no fault.
        let said = header.primary.as_ref().and_then(|id| self.nodes.find(id));
        let Some(primary) = node.primary.filter(|_| said.is_some()).and(said) else {
            return Err("I don't know its master".to_owned());
        };
        let master = &self.nodes[primary];
        if !master.failed() && header.mflags & FORCE_ACK == 0 {
            return Err("its master is up".to_owned());
        }
        let pause = self.timeout().saturating_mul(2);
        let since = self.since(master.voted_ms);
        let other = master.voted_for.is_some_and(|id| id != node.id);
        if master.voted_ms != 0 && other && since < pause {
            let left = pause - since;
            return Err(format!(
                "can't vote about this master before {left} milliseconds"
            ));
        }
        let claimed = header.config_epoch;
        for slot in slots::iter(header.slots) {
            let owner = self.owners.of(slot).filter(|_| !self.owners.is_free(slot));
            let epoch = owner.map_or(0, |owner| self.nodes[owner].epoch);
            if epoch > claimed {
                return Err(format!(
                    "slot {slot} epoch ({epoch}) > reqEpoch ({claimed})"
                ));
            }
        }
        Ok(primary)
    }

    fn send_vote(&mut self, to: NodeKey) {
        if let Some(link) = self.nodes[to].link {
            let vote = self.message(0, Body::AuthAck);
            self.send_when_kept(link, Kind::AuthAck, vote);
        }
    }

    /// Tells the log, seldom, what hinders a failover.
    #[doc(alias = "clusterLogCantFailover")]
    fn excuse(&mut self, excuse: Excuse, votes: Option<usize>) {
        let now = self.now();
        let told = self.excuse.filter(|(before, _)| *before == excuse);
        if told.is_some_and(|(_, at_ms)| now.saturating_sub(at_ms) < RELOG_MS) {
            return;
        }
        self.excuse = Some((excuse, now));
        let primary = self.myself().primary.map(|primary| &self.nodes[primary]);
        let soon = self.timeout() + 5000;
        let early = primary.is_some_and(|node| node.failed() && self.since(node.fail_ms) < soon);
        if early && excuse != Excuse::Expired {
            self.excuse = Some((excuse, now.saturating_sub(RELOG_MS)));
            return;
        }
        let reason = match excuse {
            Excuse::DataAge => {
                "Disconnected from master for longer than allowed. Please check the 'cluster-replica-validity-factor' configuration option."
            }
            Excuse::Delay => "Waiting the delay before I can start a new failover.",
            Excuse::Expired => "Failover attempt expired.",
            Excuse::Votes => "Waiting for votes, but majority still not reached.",
        };
        self.log(
            Level::Notice,
            format!("Currently unable to failover: {reason}"),
        );
        if let Some(votes) = votes {
            let quorum = self.quorum();
            self.log(
                Level::Notice,
                format!("Needed quorum: {quorum}. Number of votes received so far: {votes}"),
            );
        }
    }
}
