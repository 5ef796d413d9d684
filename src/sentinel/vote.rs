//! Votes: one for each epoch and group, first come, first served.
//!
//! ```text
//!   A asks B in epoch 7     B: leader_epoch 6 < 7  ─► votes for A, remembers 7, waits for the disk, answers A
//!   C asks B in epoch 7     B: leader_epoch 7      ─► answers "A", the vote it has given
//! ```
//!
//! A candidate wins with the votes of more than half of all sentinels it knows, itself included, and of at least
//! `quorum` of them. So two candidates cannot both win one epoch, however small the quorum is.
//!
//! Mirrors: sentinelVoteLeader(), sentinelGetLeader(), sentinelLeaderIncr() of sentinel.c.

use std::collections::BTreeMap;

use super::{Core, Group, Level};

impl Core {
    /// Votes for who asks, if we have not voted in that epoch or a later one. The vote there is afterwards.
    #[doc(alias = "sentinelVoteLeader")]
    pub(super) fn vote(
        &mut self,
        group: &mut Group,
        epoch: u64,
        asker: &str,
    ) -> Option<(String, u64)> {
        self.adopt_epoch(epoch, Some(group));
        if group.leader_epoch < epoch && self.epoch <= epoch {
            group.leader = Some(asker.to_owned());
            group.leader_epoch = self.epoch;
            self.changed();
            let more = format!("{asker} {}", group.leader_epoch);
            self.event_of_group(Level::Warning, "+vote-for-leader", group, &more);
            // A sentinel that voted for another gives it time before it tries a failover itself.
            if asker != self.my_id {
                group.failover.started_at = Some(self.now.ms + self.rng.below(1000) as i64);
            }
        }
        group
            .leader
            .clone()
            .map(|leader| (leader, group.leader_epoch))
    }

    /// The winner of an epoch's election, as far as we know. Casts our own vote if it is not cast yet.
    #[doc(alias = "sentinelGetLeader")]
    pub(super) fn winner(&mut self, group: &mut Group, epoch: u64) -> Option<String> {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for peer in group.peers.values() {
            if let Some(leader) = peer
                .leader
                .clone()
                .filter(|_| peer.leader_epoch == self.epoch)
            {
                *counts.entry(leader).or_default() += 1;
            }
        }
        let ahead = front_runner(&counts).map(|(leader, _)| leader.to_owned());
        let favourite = ahead.unwrap_or_else(|| self.my_id.clone());
        let mine = self.vote(group, epoch, &favourite);
        // A vote that a restart would forget does not count yet.
        if let Some((mine, of)) = mine.filter(|_| self.is_saved(self.generation()))
            && of == epoch
        {
            *counts.entry(mine).or_default() += 1;
        }
        let voters = group.peers.len() as u32 + 1;
        let (leader, votes) = front_runner(&counts)?;
        let wins = votes > voters / 2 && votes >= group.quorum;
        wins.then(|| leader.to_owned())
    }
}

/// The candidate with the most votes; of several, the first by run id.
fn front_runner(counts: &BTreeMap<String, u32>) -> Option<(&str, u32)> {
    let mut best: Option<(&str, u32)> = None;
    for (leader, votes) in counts {
        if best.is_none_or(|(_, most)| *votes > most) {
            best = Some((leader, *votes));
        }
    }
    best
}
