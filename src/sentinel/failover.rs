//! A failover, from the first doubt to the last replica.
//!
//! ```text
//!   None ─ o_down, not tried lately ─► WaitStart ─ elected ─► SelectReplica ─► SendReplicaOfNoOne ─► WaitPromotion
//!                                          │ not elected            │ none fits        │ not reachable     │ INFO says
//!                                          ▼                        ▼                  ▼ in time           │ "master"
//!                                         None ◄────────────────────┴──────────────────┘                   ▼
//!                                          ▲                                                         ReconfReplicas
//!                                          └── +switch-master ── UpdateConfig ◄── all follow, or time is up ┘
//! ```
//!
//! Only a leader goes beyond `WaitStart`; the other sentinels learn the new address from its hellos. Until the promotion
//! a failover may be given up; afterwards it is carried through.
//!
//! Mirrors: sentinelStartFailoverIfNeeded(), sentinelFailoverStateMachine(), sentinelSelectSlave(),
//! sentinelFailoverReconfNextSlave(), sentinelFailoverDetectEnd(), sentinelResetMasterAndChangeAddress() of sentinel.c.
//! Differs: why each replica was not chosen is logged; INFO is asked for right before a choice, behind a promotion and
//! behind each SLAVEOF; a stage that needs no answer is left at once, where Redis leaves one stage in each tick.

use super::instance::{Kind, Reconf};
use super::links::Tag;
use super::{Address, Core, Group, Instance, Level, Ms, Output, Sentinel, Who};
use crate::util::time::Civil;

/// How far a failover is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    #[default]
    None,
    WaitStart,
    SelectReplica,
    SendReplicaOfNoOne,
    WaitPromotion,
    ReconfReplicas,
    UpdateConfig,
}

impl Stage {
    /// The word in `failover-state`.
    pub fn word(self) -> &'static str {
        match self {
            Stage::None => "none",
            Stage::WaitStart => "wait_start",
            Stage::SelectReplica => "select_slave",
            Stage::SendReplicaOfNoOne => "send_slaveof_noone",
            Stage::WaitPromotion => "wait_promotion",
            Stage::ReconfReplicas => "reconf_slaves",
            Stage::UpdateConfig => "update_config",
        }
    }

    /// Whether the promoted replica is the primary for everybody.
    pub(super) fn is_past_promotion(self) -> bool {
        self >= Stage::ReconfReplicas
    }
}

/// A group's failover.
#[derive(Clone, Debug, Default)]
pub struct Failover {
    pub stage: Stage,
    /// The epoch it is made in.
    pub epoch: u64,
    pub(super) changed_at: Ms,
    /// When the last one began, or when we voted for somebody else's; the next begins two timeouts later.
    pub(super) started_at: Option<Ms>,
    /// SENTINEL FAILOVER: nobody is asked.
    pub(super) forced: bool,
    /// SENTINEL FAILOVER COORDINATED: the primary itself hands its role over.
    pub(super) coordinated: bool,
    /// The key of the replica that becomes the primary.
    pub promoted: Option<String>,
    /// The `started_at` that a delay was logged for.
    told_delay: Option<Ms>,
}

impl Failover {
    /// Whether one is under way.
    pub fn is_running(&self) -> bool {
        self.stage != Stage::None
    }
}

/// Milliseconds that a choice waits for the INFO of other replicas when one could be chosen: real sentinels leave that
/// time between two ticks.
const PATIENCE_FOR_A_BETTER_ONE: Ms = 100;
/// Milliseconds that a choice waits for INFO when none can be chosen yet.
const PATIENCE_FOR_ANY: Ms = 1000;

/// Why a replica is not chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyNot {
    Down,
    Disconnected,
    NeverPromote,
    Silent,
    OldInfo,
    LongWithoutPrimary,
}

impl WhyNot {
    fn text(self) -> &'static str {
        match self {
            WhyNot::Down => "it is down",
            WhyNot::Disconnected => "there is no connection to it",
            WhyNot::NeverPromote => "its priority is 0",
            WhyNot::Silent => "it did not answer PING lately",
            WhyNot::OldInfo => "its INFO is too old",
            WhyNot::LongWithoutPrimary => "its link to the primary was down for too long",
        }
    }
}

impl Core {
    /// Begins a failover if the group needs one and none was tried lately.
    #[doc(alias = "sentinelStartFailoverIfNeeded")]
    pub(super) fn start_failover_if_needed(&mut self, group: &mut Group) {
        let now = self.now.ms;
        if group.primary.o_down_since.is_none() || group.failover.is_running() {
            return;
        }
        let wait = group.failover_timeout.saturating_mul(2);
        if let Some(started) = group.failover.started_at
            && now - started < wait
        {
            if group.failover.told_delay != Some(started) {
                group.failover.told_delay = Some(started);
                let at = self
                    .now
                    .unix_ms
                    .saturating_add(wait.saturating_add(started - now));
                let line = format!(
                    "Next failover delay: I will not start a failover before {}",
                    Civil::from_unix(at / 1000, 0).iso8601()
                );
                self.log(Level::Notice, line);
            }
            return;
        }
        self.start_failover(group);
    }

    #[doc(alias = "sentinelStartFailover")]
    fn start_failover(&mut self, group: &mut Group) {
        let now = self.now.ms;
        // A hello may have brought the greatest epoch there is.
        self.epoch = self.epoch.saturating_add(1);
        self.changed();
        let failover = &mut group.failover;
        failover.stage = Stage::WaitStart;
        failover.epoch = self.epoch;
        failover.started_at = Some(now + self.rng.below(1000) as Ms);
        failover.changed_at = now;
        failover.coordinated = false;
        let epoch = self.epoch.to_string();
        self.event(Level::Warning, "+new-epoch", Some(group), epoch);
        self.event_of_group(Level::Warning, "+try-failover", group, "");
    }

    /// Lets a failover that is under way go on, as far as it gets without waiting for anybody.
    #[doc(alias = "sentinelFailoverStateMachine")]
    pub(super) fn go_on(&mut self, group: &mut Group) {
        loop {
            let before = group.failover.stage;
            self.go_one_stage_on(group);
            let stage = group.failover.stage;
            if stage <= before || stage > Stage::SendReplicaOfNoOne {
                return;
            }
        }
    }

    fn go_one_stage_on(&mut self, group: &mut Group) {
        match group.failover.stage {
            Stage::None | Stage::UpdateConfig => {}
            Stage::WaitStart => self.await_election(group),
            Stage::SelectReplica => self.select(group),
            Stage::SendReplicaOfNoOne => self.promote(group),
            Stage::WaitPromotion => {
                // The primary waits for the replica to catch up; how long that takes is not known.
                if group.failover.coordinated
                    && let Some(key) = group.failover.promoted.clone()
                {
                    self.ask_info(group, &Who::Replica(key));
                }
                if self.is_late(group) {
                    self.event_of_group(Level::Warning, "-failover-abort-slave-timeout", group, "");
                    self.abort(group);
                }
            }
            Stage::ReconfReplicas => {
                self.reconf_next(group);
                self.detect_end(group);
            }
        }
    }

    fn is_late(&self, group: &Group) -> bool {
        self.now.ms - group.failover.changed_at > group.failover_timeout
    }

    fn enter(&self, group: &mut Group, stage: Stage) {
        group.failover.stage = stage;
        group.failover.changed_at = self.now.ms;
    }

    fn await_election(&mut self, group: &mut Group) {
        let epoch = group.failover.epoch;
        let winner = self.winner(group, epoch);
        let is_leader = winner.as_deref() == Some(self.my_id.as_str());
        if !is_leader && !group.failover.forced {
            let patience = self.periods.election_timeout.min(group.failover_timeout);
            let started = group.failover.started_at.unwrap_or(self.now.ms);
            if self.now.ms - started > patience {
                self.event_of_group(Level::Warning, "-failover-abort-not-elected", group, "");
                self.abort(group);
            }
            return;
        }
        self.event_of_group(Level::Warning, "+elected-leader", group, "");
        if self.crash_after_election {
            return self.crash("election");
        }
        self.enter(group, Stage::SelectReplica);
        self.event_of_group(Level::Warning, "+failover-state-select-slave", group, "");
    }

    fn crash(&mut self, after: &str) {
        let line = "Sentinel CRASH because of SENTINEL simulate-failure";
        self.log(Level::Warning, format!("{line} ({after})"));
        self.out.push(Output::Exit(99));
    }

    fn select(&mut self, group: &mut Group) {
        let (best, excluded) = self.best_replica(group);
        if self.awaits_info(group, best.is_some(), &excluded) {
            return;
        }
        for (key, why) in &excluded {
            let line = format!(
                "Replica {key} of {} is not promoted: {}",
                group.name,
                why.text()
            );
            self.log(Level::Notice, line);
        }
        let Some(best) = best else {
            self.event_of_group(Level::Warning, "-failover-abort-no-good-slave", group, "");
            return self.abort(group);
        };
        self.event_of(
            Level::Warning,
            "+selected-slave",
            group,
            &group.replicas[&best],
            "",
        );
        group.failover.promoted = Some(best);
        self.enter(group, Stage::SendReplicaOfNoOne);
        self.event_of_promoted(Level::Notice, "+failover-state-send-slaveof-noone", group);
    }

    /// Whether the choice waits for the INFO of replicas, and asks for it. Sentinels agree within milliseconds, but INFO is
    /// asked for only every ten seconds before: without a pause the answers of all replicas may be too old, and the next
    /// failover would begin after twice the failover timeout.
    fn awaits_info(
        &mut self,
        group: &mut Group,
        found: bool,
        excluded: &[(String, WhyNot)],
    ) -> bool {
        let waited = self.now.ms - group.failover.changed_at;
        let patience = match found {
            true => PATIENCE_FOR_A_BETTER_ONE,
            false => PATIENCE_FOR_ANY,
        };
        let old = excluded.iter().filter(|(_, why)| *why == WhyNot::OldInfo);
        let old: Vec<Who> = old.map(|(key, _)| Who::Replica(key.clone())).collect();
        if old.is_empty() || waited >= patience {
            return false;
        }
        if waited == 0 {
            for who in &old {
                self.ask_info(group, who);
            }
        }
        true
    }

    fn event_of_promoted(&mut self, level: Level, name: &'static str, group: &Group) {
        let key = group.failover.promoted.as_ref();
        if let Some(one) = key.and_then(|key| group.replicas.get(key)) {
            self.event_of(level, name, group, one, "");
        }
    }

    /// The replica that would be the best primary, and why each other one cannot be.
    #[doc(alias = "sentinelSelectSlave")]
    pub(super) fn best_replica(&self, group: &Group) -> (Option<String>, Vec<(String, WhyNot)>) {
        let mut excluded = Vec::new();
        let mut fit: Vec<&Instance> = Vec::new();
        for (key, one) in &group.replicas {
            match self.why_not(group, one) {
                Some(why) => excluded.push((key.clone(), why)),
                None => fit.push(one),
            }
        }
        let rank = |one: &&Instance| {
            let id = one.run_id.as_ref().map(|id| id.to_ascii_lowercase());
            (one.priority, u64::MAX - one.offset, id.is_none(), id)
        };
        (
            fit.into_iter().min_by_key(rank).map(|one| one.name.clone()),
            excluded,
        )
    }

    fn why_not(&self, group: &Group, one: &Instance) -> Option<WhyNot> {
        let now = self.now.ms;
        let link = &self.links[one.link];
        let primary = &group.primary;
        let ping = self.periods.ping;
        let info_age = match primary.s_down_since {
            Some(_) => ping * 5,
            None => self.periods.info * 3,
        };
        let down_for = primary.s_down_since.map_or(0, |at| now - at);
        let unlinked = down_for + primary.down_after.saturating_mul(10);
        let is = [
            (one.s_down_since.is_some(), WhyNot::Down),
            (link.is_disconnected(Kind::Replica), WhyNot::Disconnected),
            (now - link.available_at > ping * 5, WhyNot::Silent),
            (one.priority == 0, WhyNot::NeverPromote),
            (
                one.info_at.is_none_or(|at| now - at > info_age),
                WhyNot::OldInfo,
            ),
            (one.link_down_ms > unlinked, WhyNot::LongWithoutPrimary),
        ];
        is.into_iter().find(|(holds, _)| *holds).map(|(_, why)| why)
    }

    fn promote(&mut self, group: &mut Group) {
        let Some(key) = group.failover.promoted.clone() else {
            return self.abort(group);
        };
        let Some(link) = group.replicas.get(&key).map(|one| one.link) else {
            return self.abort(group);
        };
        if self.links[link].is_disconnected(Kind::Replica) {
            if self.is_late(group) {
                self.event_of_group(Level::Warning, "-failover-abort-slave-timeout", group, "");
                self.abort(group);
            }
            return;
        }
        let sent = match group.failover.coordinated {
            true => self.send_failover(group, &key),
            false => self.send_replicaof(group, link, None),
        };
        if !sent {
            return;
        }
        // The transaction is done when this is answered: no need to wait for the next poll.
        self.ask_info(group, &Who::Replica(key));
        self.enter(group, Stage::WaitPromotion);
        self.event_of_promoted(Level::Notice, "+failover-state-wait-promotion", group);
    }

    /// Makes a server follow another, or nobody, remember it, and drop its clients, so that they ask again where the
    /// primary is. One transaction; what it did is seen in INFO.
    #[doc(alias = "sentinelSendSlaveOf")]
    pub(super) fn send_replicaof(
        &mut self,
        group: &Group,
        link: usize,
        to: Option<&Address>,
    ) -> bool {
        let (host, port) = match to {
            None => ("NO".to_owned(), "ONE".to_owned()),
            Some(address) => (address.announced(self), address.port.to_string()),
        };
        let kill = |kind: &str| {
            vec![
                group.command("CLIENT"),
                b"KILL".to_vec(),
                b"TYPE".to_vec(),
                kind.into(),
            ]
        };
        let commands = [
            vec![group.command("MULTI")],
            vec![group.command("SLAVEOF"), host.into(), port.into()],
            vec![group.command("CONFIG"), b"REWRITE".to_vec()],
            kill("normal"),
            kill("pubsub"),
            vec![group.command("EXEC")],
        ];
        // All or nothing: half a transaction would change nothing, and leave the connection inside of it.
        if !self.has_room(link, commands.len()) {
            return false;
        }
        for argv in commands {
            self.send(link, argv, Tag::Ignored);
        }
        true
    }

    /// Has the primary hand its role over to a replica: it holds writes back until the replica has all of them.
    fn send_failover(&mut self, group: &Group, key: &str) -> bool {
        let Some(to) = group.replicas.get(key).map(|one| &one.address) else {
            return false;
        };
        // The primary gives up before we do, so that both agree on what came of it.
        let patience_ms = group.failover_timeout / 4 * 3;
        let argv = vec![
            group.command("FAILOVER"),
            b"TO".to_vec(),
            to.announced(self).into_bytes(),
            to.port.to_string().into_bytes(),
            b"TIMEOUT".to_vec(),
            patience_ms.max(1).to_string().into_bytes(),
        ];
        self.send(group.primary.link, argv, Tag::Ignored)
    }

    /// Drops the clients of the old primary, so that they ask for the new one.
    fn drop_clients(&mut self, group: &Group) {
        for kind in ["normal", "pubsub"] {
            let words = [b"KILL".to_vec(), b"TYPE".to_vec(), kind.into()];
            let argv = std::iter::once(group.command("CLIENT")).chain(words);
            self.send(group.primary.link, argv.collect(), Tag::Ignored);
        }
    }

    /// Tells as many replicas at a time as `parallel-syncs` allows to follow the promoted one.
    #[doc(alias = "sentinelFailoverReconfNextSlave")]
    fn reconf_next(&mut self, group: &mut Group) {
        let now = self.now.ms;
        let Some(promoted) = group.failover.promoted.clone() else {
            return;
        };
        let address = group.current_address().clone();
        let busy = |one: &&Instance| matches!(one.reconf, Reconf::Sent | Reconf::InProgress);
        let mut under_way = group.replicas.values().filter(busy).count() as u32;
        let keys: Vec<String> = group.replicas.keys().cloned().collect();
        for key in keys {
            if under_way >= group.parallel_syncs {
                break;
            }
            let one = &group.replicas[&key];
            let (link, reconf, sent_at) = (one.link, one.reconf, one.reconf_sent_at);
            if key == promoted || reconf == Reconf::Done {
                continue;
            }
            if reconf == Reconf::Sent && now - sent_at > self.periods.slave_reconf_timeout {
                self.event_of(Level::Notice, "-slave-reconf-sent-timeout", group, one, "");
                self.set_reconf(group, &key, Reconf::Done);
                continue;
            }
            if reconf != Reconf::No || self.links[link].is_disconnected(Kind::Replica) {
                continue;
            }
            if self.send_replicaof(group, link, Some(&address)) {
                self.set_reconf(group, &key, Reconf::Sent);
                self.event_of(
                    Level::Notice,
                    "+slave-reconf-sent",
                    group,
                    &group.replicas[&key],
                    "",
                );
                self.ask_info(group, &Who::Replica(key));
                under_way += 1;
            }
        }
    }

    pub(super) fn set_reconf(&self, group: &mut Group, key: &str, reconf: Reconf) {
        if let Some(one) = group.replicas.get_mut(key) {
            one.reconf = reconf;
            if reconf == Reconf::Sent {
                one.reconf_sent_at = self.now.ms;
            }
        }
    }

    #[doc(alias = "sentinelFailoverDetectEnd")]
    fn detect_end(&mut self, group: &mut Group) {
        let promoted = group.failover.promoted.clone().unwrap_or_default();
        let healthy = |one: &Instance| one.s_down_since.is_none();
        // The failover does not end while the new primary itself cannot be reached.
        if !group.replicas.get(&promoted).is_some_and(healthy) {
            return;
        }
        let open = |(key, one): (&String, &Instance)| {
            *key != promoted && one.reconf != Reconf::Done && healthy(one)
        };
        let mut done = !group.replicas.iter().any(open);
        let late = self.is_late(group) && !done;
        if late {
            done = true;
            self.event_of_group(Level::Warning, "+failover-end-for-timeout", group, "");
        }
        if !done {
            return;
        }
        self.event_of_group(Level::Warning, "+failover-end", group, "");
        self.enter(group, Stage::UpdateConfig);
        if !late {
            return;
        }
        // The other replicas are reconfigured once more, without waiting for the result.
        let address = group.current_address().clone();
        for (key, one) in &group.replicas {
            let untold = *key != promoted && one.reconf == Reconf::No;
            if untold && self.send_replicaof(group, one.link, Some(&address)) {
                self.event_of(Level::Notice, "+slave-reconf-sent-be", group, one, "");
            }
        }
    }

    /// Gives a failover up, before the promotion.
    #[doc(alias = "sentinelAbortFailover")]
    fn abort(&mut self, group: &mut Group) {
        group.failover.forced = false;
        group.failover.coordinated = false;
        group.failover.promoted = None;
        self.enter(group, Stage::None);
    }

    /// The promoted replica says that it is a primary.
    pub(super) fn promoted(&mut self, group: &mut Group) {
        group.config_epoch = group.failover.epoch;
        self.enter(group, Stage::ReconfReplicas);
        self.changed();
        self.event_of_promoted(Level::Warning, "+promoted-slave", group);
        if self.crash_after_promotion {
            return self.crash("promotion");
        }
        self.event_of_group(Level::Warning, "+failover-state-reconf-slaves", group, "");
        if group.failover.coordinated {
            self.drop_clients(group);
        }
        let to = group.current_address().clone();
        self.call_reconfig_script(group, "leader", &to);
        group.announce_at = self.good_moment(group);
        self.hasten_hellos(group);
    }

    /// The moment at which other sentinels may hear of the promotion; none: now.
    ///
    /// A sentinel of Redis that switches to a new primary connects to it one ping period after its last attempt to reach
    /// the old one, and counts the time without an answer from the switch. With a `down-after` that is hardly longer than
    /// a ping period, and a switch right behind such an attempt, it finds the new primary down before it has asked it
    /// anything, and fails over once more. Its attempts began when the connection to the old primary broke, as ours
    /// did, so ours tell when its attempts are.
    fn good_moment(&self, group: &Group) -> Option<Ms> {
        /// Ticks of both sides, and the time to connect.
        const MARGIN: Ms = 300;
        let (now, ping) = (self.now.ms, self.periods.ping);
        let link = &self.links[group.primary.link];
        let tried = link.tried_at?;
        let attempts = link.is_disconnected(Kind::Primary) && now - tried < ping + MARGIN;
        if group.primary.down_after >= ping + 2 * MARGIN || !attempts {
            return None;
        }
        match now - tried {
            age if age < MARGIN => Some(tried + MARGIN),
            age if age < ping - MARGIN / 2 => None,
            _ => Some(tried + ping + MARGIN),
        }
    }

    #[doc(alias = "sentinelCallClientReconfScript")]
    pub(super) fn call_reconfig_script(&mut self, group: &Group, role: &str, to: &Address) {
        if let Some(path) = group.reconfig_script.clone() {
            let from = &group.primary.address;
            let (from_ip, to_ip) = (from.announced(self), to.announced(self));
            let words = [
                &group.name,
                role,
                "start",
                &from_ip,
                &from.port.to_string(),
                &to_ip,
            ];
            let mut argv: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            argv.push(to.port.to_string());
            self.queue_script(path, argv);
        }
    }

    /// Forgets what is known of a group's servers, and with `with_peers` of its sentinels. Its name, address, epochs and
    /// options stay.
    #[doc(alias = "sentinelResetMaster")]
    pub(super) fn reset(&mut self, group: &mut Group, with_peers: bool) {
        for one in std::mem::take(&mut group.replicas).into_values() {
            self.release_link(one.link);
        }
        if with_peers {
            for one in std::mem::take(&mut group.peers).into_values() {
                self.release_link(one.link);
            }
        }
        self.release_link(group.primary.link);
        let (name, address) = (group.name.clone(), group.primary.address.clone());
        let patience = group.primary.down_after;
        group.primary = Instance::new(self, Kind::Primary, name, address);
        group.primary.down_after = patience;
        group.leader = None;
        group.failover = Failover::default();
    }

    /// The group has another primary: the old one and the other replicas are its replicas.
    #[doc(alias = "sentinelResetMasterAndChangeAddress")]
    pub(super) fn change_address(&mut self, group: &mut Group, to: &Address) {
        let old = group.primary.address.clone();
        let mut replicas: Vec<Address> = group
            .replicas
            .values()
            .map(|one| one.address.clone())
            .collect();
        replicas.push(old);
        let started = group.failover.started_at;
        group.primary.address = to.clone();
        self.reset(group, false);
        // Not reset: another failover right behind this one would be one too many.
        group.failover.started_at = started;
        for address in replicas {
            if !address.is(to) {
                self.add_replica(group, &address);
            }
        }
        self.changed();
    }
}

impl Sentinel {
    /// Switches at most one group to its promoted replica.
    #[doc(alias = "sentinelFailoverSwitchToPromotedSlave")]
    pub(super) fn switch_one(&mut self) {
        let ready = |group: &&mut Group| group.failover.stage == Stage::UpdateConfig;
        if let Some(group) = self.groups.values_mut().find(ready) {
            let to = group.current_address().clone();
            self.core.announce_switch(group, &to);
            self.core.change_address(group, &to);
        }
    }

    /// SENTINEL FAILOVER: fails over without asking anybody; `coordinated`: once elected, and the primary hands its
    /// role over, so that no write is lost. The error is the one to answer.
    pub fn force_failover(&mut self, name: &str, coordinated: bool) -> Result<(), &'static str> {
        let group = self.groups.get_mut(name);
        let group = group.ok_or("ERR No such master with that name")?;
        if group.failover.is_running() {
            return Err("INPROG Failover already in progress");
        }
        if self.core.best_replica(group).0.is_none() {
            return Err("NOGOODSLAVE No suitable replica to promote");
        }
        if coordinated && !group.primary.knows_failover {
            return Err("ERR The primary does not know FAILOVER");
        }
        let kind = if coordinated { "coordinated " } else { "" };
        let line = format!("Executing user requested {kind}FAILOVER of '{name}'");
        self.core.log(Level::Notice, line);
        self.core.start_failover(group);
        group.failover.forced = !coordinated;
        group.failover.coordinated = coordinated;
        Ok(())
    }

    /// SENTINEL RESET: forgets the servers and sentinels of a group, and asks its primary for them at once.
    pub fn reset_group(&mut self, name: &str) {
        if let Some(group) = self.groups.get_mut(name) {
            self.core.reset(group, true);
            self.core.changed();
            self.core
                .event_of_group(Level::Warning, "+reset-master", group, "");
        }
    }
}

impl Core {
    pub(super) fn announce_switch(&mut self, group: &Group, to: &Address) {
        let from = &group.primary.address;
        let text = format!(
            "{} {} {} {} {}",
            group.name,
            from.announced(self),
            from.port,
            to.announced(self),
            to.port
        );
        self.event(Level::Warning, "+switch-master", Some(group), text);
    }
}
