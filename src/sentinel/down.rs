//! Is it down? Our own opinion of any instance (s_down), and the agreement about a primary (o_down).
//!
//! ```text
//!   PING unanswered for longer than down-after            ┐
//!   or no connection, and no valid answer for that long   ├─► +sdown
//!   or a primary that calls itself a replica for long     ┘
//!   our s_down + fresh "yes, down" of others >= quorum     ──► +odown
//! ```
//!
//! Mirrors: sentinelCheckSubjectivelyDown(), sentinelCheckObjectivelyDown(),
//! sentinelAskMasterStateToOtherSentinels() and the reply to SENTINEL IS-MASTER-DOWN-BY-ADDR of sentinel.c.

use super::instance::Kind;
use super::links::{Tag, Wire};
use super::report::Role;
use super::{Address, Channel, Core, Group, Instance, Level, Sentinel, Who};
use crate::resp::Value;

/// The answer to SENTINEL IS-MASTER-DOWN-BY-ADDR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub is_down: bool,
    /// Whom we voted for, and in which epoch; `None` where no vote was asked for.
    pub leader: Option<(String, u64)>,
    /// The answer may leave once this generation is saved ([`Core::is_saved`]).
    pub after: u64,
}

impl Core {
    /// Whether an instance did not answer for so long that we think it is down.
    pub(super) fn looks_down(&self, group: &Group, one: &Instance) -> bool {
        let (now, patience) = (self.now.ms, one.down_after);
        let link = &self.links[one.link];
        let silent = match link.unanswered_since {
            Some(at) => now - at,
            None if link.is_disconnected(one.kind) => now - link.available_at,
            None => 0,
        };
        let wrong_role = one.kind == Kind::Primary
            && one.role_reported == Role::Replica
            && now - one.role_reported_at > patience + self.periods.info * 2;
        let rebooting = one
            .reboot_since
            .is_some_and(|at| now - at > group.reboot_down_after);
        silent > patience || wrong_role || rebooting
    }

    /// Which connections of an instance, for commands and for hellos, are broken without the system knowing it.
    pub(super) fn broken_channels(&self, one: &Instance) -> (bool, bool) {
        let (now, half) = (self.now.ms, one.down_after / 2);
        let link = &self.links[one.link];
        let old = |wire: Wire| now - wire.since > self.periods.min_link_reconnect;
        let mute =
            link.unanswered_since.is_some_and(|at| now - at > half) && now - link.ponged_at > half;
        let deaf = now - link.heard_at > self.periods.publish * 3;
        (
            mute && link.commands.is_some_and(old),
            deaf && link.pubsub.is_some_and(old),
        )
    }

    #[doc(alias = "sentinelCheckSubjectivelyDown")]
    pub(super) fn check_s_down(&mut self, group: &mut Group, who: &Who) {
        let Some(one) = group.get(who) else {
            return;
        };
        let (now, key) = (self.now.ms, one.link);
        let is_down = self.looks_down(group, one);
        let (commands, pubsub) = self.broken_channels(one);
        if commands {
            self.close_channel(key, Channel::Commands);
        }
        if pubsub {
            self.close_channel(key, Channel::Pubsub);
        }
        let was_down = one.s_down_since.is_some();
        if is_down == was_down {
            return;
        }
        let name = if is_down { "+sdown" } else { "-sdown" };
        self.event_of(Level::Warning, name, group, one, "");
        if let Some(one) = group.get_mut(who) {
            one.s_down_since = is_down.then_some(now);
            if is_down {
                one.went_down_at = Some(now);
            }
            one.script_kill_sent &= is_down;
        }
    }

    #[doc(alias = "sentinelCheckObjectivelyDown")]
    pub(super) fn check_o_down(&mut self, group: &mut Group) {
        let mut agree = 0;
        if group.primary.s_down_since.is_some() {
            agree = 1 + group.peers.values().filter(|peer| peer.says_down).count() as u32;
        }
        let is_down = agree > 0 && agree >= group.quorum;
        if is_down == group.primary.o_down_since.is_some() {
            return;
        }
        if is_down {
            let more = format!("#quorum {agree}/{}", group.quorum);
            self.event_of_group(Level::Warning, "+odown", group, &more);
        } else {
            self.event_of_group(Level::Warning, "-odown", group, "");
        }
        group.primary.o_down_since = is_down.then_some(self.now.ms);
    }

    /// Asks the other sentinels whether they think that the primary is down, and for their votes while we want to fail
    /// over. A new epoch is asked for once it is on disk, and then at once, whenever they were last asked.
    #[doc(alias = "sentinelAskMasterStateToOtherSentinels")]
    pub(super) fn ask_others(&mut self, group: &mut Group) {
        let now = self.now.ms;
        let fresh = 5 * self.periods.ask;
        let electing = group.failover.is_running();
        let address = &group.primary.address;
        let words = [
            group.command("SENTINEL"),
            b"is-master-down-by-addr".to_vec(),
            address.announced(self).into_bytes(),
            address.port.to_string().into_bytes(),
            self.epoch.to_string().into_bytes(),
            if electing {
                self.my_id.clone()
            } else {
                "*".into()
            }
            .into_bytes(),
        ];
        let may_speak = !electing || self.is_saved(self.generation());
        let s_down = group.primary.s_down_since.is_some();
        for (name, peer) in &mut group.peers {
            if peer.last_verdict.is_some_and(|at| now - at > fresh) {
                peer.says_down = false;
                peer.leader = None;
            }
            // The primary is well when an operator asks for a coordinated failover.
            let asks = s_down || (electing && group.failover.coordinated);
            let asks_vote = electing && peer.asked_in < group.failover.epoch;
            let connected = self.links[peer.link].commands.is_some();
            let recently = peer
                .last_asked
                .is_some_and(|at| now - at < self.periods.ask);
            if !asks || !connected || !may_speak || (recently && !asks_vote) {
                continue;
            }
            let tag = Tag::Ask {
                group: group.name.clone(),
                peer: name.clone(),
            };
            if self.send(peer.link, words.to_vec(), tag) {
                peer.last_asked = Some(now);
                if electing {
                    peer.asked_in = group.failover.epoch;
                }
            }
        }
    }
}

impl Sentinel {
    /// A sentinel's answer to our question.
    #[doc(alias = "sentinelReceiveIsMasterDownReply")]
    pub(super) fn answered(&mut self, group: &str, peer: &str, reply: &Value) {
        self.take_answer(group, peer, reply);
        self.judge_now(group);
    }

    fn take_answer(&mut self, group: &str, peer: &str, reply: &Value) {
        let now = self.core.now.ms;
        let Value::Array(parts) = reply else {
            return;
        };
        let [Value::Integer(down), leader, Value::Integer(epoch)] = parts.as_slice() else {
            return;
        };
        let Some(leader) = leader.as_bytes() else {
            return;
        };
        let one = self
            .groups
            .get_mut(group)
            .and_then(|g| g.peers.get_mut(peer));
        let Some(one) = one else {
            return;
        };
        one.last_verdict = Some(now);
        one.says_down = *down == 1;
        if leader == b"*" {
            return;
        }
        let leader = String::from_utf8_lossy(leader).into_owned();
        let epoch = u64::try_from(*epoch).unwrap_or(0);
        if one.leader_epoch != epoch {
            let line = format!("{} voted for {leader} {epoch}", one.name);
            self.core.log(Level::Notice, line);
        }
        one.leader = Some(leader);
        one.leader_epoch = epoch;
    }

    /// Goes on with a group right behind an answer, not at the next tick.
    fn judge_now(&mut self, group: &str) {
        if self.core.tilt_since.is_none()
            && let Some(group) = self.groups.get_mut(group)
        {
            self.core.judge(group);
        }
    }

    /// SENTINEL IS-MASTER-DOWN-BY-ADDR: is the primary at this address down, and whom do we vote for? `asker`: the run id
    /// of the one who wants our vote.
    pub fn is_down(&mut self, host: &str, port: u16, epoch: u64, asker: Option<&str>) -> Verdict {
        let address = Address::new(host, port);
        let tilt = self.core.tilt_since.is_some();
        let found = self
            .groups
            .values_mut()
            .find(|group| group.primary.address.is(&address));
        let Some(group) = found else {
            return Verdict {
                is_down: false,
                leader: None,
                after: 0,
            };
        };
        let is_down = !tilt && group.primary.s_down_since.is_some();
        let leader = asker.and_then(|asker| self.core.vote(group, epoch, asker));
        Verdict {
            is_down,
            leader,
            after: if asker.is_some() {
                self.core.generation()
            } else {
                0
            },
        }
    }
}
