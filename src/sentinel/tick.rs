//! A tick: what a sentinel does ten to nineteen times a second, in this order.
//!
//! ```text
//!   TILT?   for each group: for the primary, each replica, each sentinel:
//!               connect what is missing ─► INFO, PING, hello as they fall due ─► is it down?
//!           of the primary also: do enough agree? begin a failover? ask the others; go on with the failover
//!   switch at most one group to its promoted replica      start, watch and kill scripts
//! ```
//!
//! Mirrors: sentinelTimer(), sentinelCheckTiltCondition(), sentinelHandleRedisInstance(),
//! sentinelSendPeriodicCommands(), and the reply callbacks of sentinel.c.

use super::failover::Stage;
use super::hello::{self, Hello};
use super::instance::Kind;
use super::links::Tag;
use super::report::{Report, Role};
use super::{Core, Group, Instance, Level, Ms, Output, Sentinel, Who, WireId};
use crate::resp::Value;

/// Bytes of an INFO reply that are kept.
const LONGEST_INFO: usize = 1 << 20;

impl Sentinel {
    pub(super) fn tick(&mut self) {
        self.core.check_tilt();
        let tilt = self.core.tilt_since.is_some();
        for group in self.groups.values_mut() {
            for who in self.core.need_care(group) {
                self.core.reconnect(group, &who);
                self.core.say_periodically(group, &who);
                if !tilt {
                    self.core.check_s_down(group, &who);
                }
            }
            if !tilt {
                self.core.judge(group);
            }
        }
        self.switch_one();
        self.core.tend_scripts();
    }

    /// The file was written, or not. Messages that had to wait for it are sent now.
    pub(super) fn saved(&mut self, generation: u64, result: Result<(), &str>) {
        let ok = result.is_ok();
        self.core.saved(generation, result);
        if !ok {
            return;
        }
        for group in self.groups.values_mut() {
            for who in group.everybody() {
                self.core.say_hello_if_due(group, &who);
            }
            if self.core.tilt_since.is_none() {
                self.core.ask_others(group);
            }
        }
    }

    /// A reply, or a message of the hello channel.
    pub(super) fn reply(&mut self, wire: WireId, reply: &Value) {
        let Some(key) = self.core.wires.get(&wire).copied() else {
            return;
        };
        let now = self.core.now.ms;
        let link = &mut self.core.links[key];
        if link.pubsub.is_some_and(|pubsub| pubsub.id == wire) {
            link.heard_at = now;
            if link.before_subscribed > 0 {
                link.before_subscribed -= 1;
            } else if let Some(message) = hello_of(reply) {
                self.hear(message);
            } else if let Value::Error(text) = reply {
                // A subscription that was refused, for want of a password perhaps: without it the connection is none.
                self.core.out.push(Output::Close(wire));
                self.wire_down(wire, text);
            }
            return;
        }
        match self.core.next_tag(key) {
            None | Some(Tag::Ignored) => {}
            Some(Tag::Ping { group }) => self.ponged(&group, key, reply),
            Some(Tag::Info { group, who }) => self.informed(&group, &who, reply),
            Some(Tag::Hello { group, who }) => {
                let one = self.groups.get_mut(&group).and_then(|g| g.get_mut(&who));
                if let Some(one) = one.filter(|_| !reply.is_error()) {
                    one.last_hello_sent = now;
                }
            }
            Some(Tag::Ask { group, peer }) => self.answered(&group, &peer, reply),
        }
    }

    #[doc(alias = "sentinelPingReplyCallback")]
    fn ponged(&mut self, group: &str, key: usize, reply: &Value) {
        let now = self.core.now.ms;
        let text = match reply {
            Value::Simple(text) => &text[..],
            Value::Error(text) => text,
            _ => "",
        };
        let starts = |word: &&str| text.starts_with(*word);
        let valid = ["PONG", "LOADING", "MASTERDOWN"].iter().any(starts);
        let link = &mut self.core.links[key];
        link.ponged_at = now;
        if valid {
            link.available_at = now;
            link.unanswered_since = None;
        }
        let Some(group) = self.groups.get_mut(group) else {
            return;
        };
        let kill = starts(&"BUSY").then(|| vec![group.command("SCRIPT"), b"KILL".to_vec()]);
        let servers = std::iter::once(&mut group.primary).chain(group.replicas.values_mut());
        // Only the links of sentinels are shared, so that this is one server at most.
        for one in servers.filter(|one| one.link == key) {
            if starts(&"PONG") {
                one.reboot_since = None;
            }
            // A script that never ends is the usual reason to be busy and down.
            if let Some(kill) = &kill
                && one.s_down_since.is_some()
                && !one.script_kill_sent
            {
                one.script_kill_sent = true;
                self.core.send(key, kill.clone(), Tag::Ignored);
            }
        }
    }

    fn informed(&mut self, group: &str, who: &Who, reply: &Value) {
        let (Some(text), false) = (reply.as_bytes(), reply.is_error()) else {
            return;
        };
        let text = &text[..text.len().min(LONGEST_INFO)];
        let report = Report::parse(text);
        if let Some(group) = self.groups.get_mut(group)
            && let Some(one) = group.get_mut(who)
        {
            one.info = text.to_vec();
            self.core.take_report(group, who, report);
            if group.failover.stage == Stage::SelectReplica {
                self.core.go_on(group);
            }
        }
    }
}

/// The payload of a message of the hello channel.
fn hello_of(reply: &Value) -> Option<&[u8]> {
    let (Value::Array(parts) | Value::Push(parts)) = reply else {
        return None;
    };
    match parts.as_slice() {
        [kind, channel, message]
            if kind.as_bytes() == Some(b"message")
                && channel.as_bytes() == Some(hello::CHANNEL.as_bytes()) =>
        {
            message.as_bytes()
        }
        _ => None,
    }
}

impl Core {
    /// TILT: a tick that comes much too late tells that this process, or the machine, stood still. Its beliefs about
    /// others are then not to be trusted for a while.
    #[doc(alias = "sentinelCheckTiltCondition")]
    fn check_tilt(&mut self) {
        let now = self.now.ms;
        let gap = self.ticked_at.map_or(0, |at| now - at);
        self.ticked_at = Some(now);
        if gap < 0 || gap > self.periods.tilt_trigger {
            self.tilt_since = Some(now);
            self.event(Level::Warning, "+tilt", None, "#tilt mode entered".into());
        } else if self
            .tilt_since
            .is_some_and(|at| now - at > self.periods.tilt)
        {
            self.tilt_since = None;
            self.event(Level::Warning, "-tilt", None, "#tilt mode exited".into());
        }
    }

    /// The instances of a group for which a tick has something to do: in most ticks none, so that watching many groups
    /// costs a few comparisons each.
    fn need_care(&self, group: &Group) -> Vec<Who> {
        let needs = |one: &&Instance| {
            self.links[one.link].is_disconnected(one.kind)
                || self.info_is_due(group, one)
                || self.ping_is_due(one)
                || self.hello_is_due(group, one)
                || self.looks_down(group, one) != one.s_down_since.is_some()
                || self.broken_channels(one) != (false, false)
        };
        let who = |one: &Instance| match one.kind {
            Kind::Primary => Who::Primary,
            Kind::Replica => Who::Replica(one.name.clone()),
            Kind::Peer => Who::Peer(one.name.clone()),
        };
        group.instances().filter(needs).map(who).collect()
    }

    fn info_is_due(&self, group: &Group, one: &Instance) -> bool {
        let in_trouble = group.failover.is_running() || group.primary.o_down_since.is_some();
        let closely = one.kind == Kind::Replica
            && (in_trouble || (one.info_at.is_some() && one.link_down_ms != 0));
        let period = if closely { 1000 } else { self.periods.info };
        let old = |at: Ms| self.now.ms - at > period;
        one.kind != Kind::Peer && one.info_at.is_none_or(old)
    }

    fn ping_is_due(&self, one: &Instance) -> bool {
        let (now, link) = (self.now.ms, &self.links[one.link]);
        let period = self.periods.ping.min(one.down_after);
        now - link.ponged_at > period && now - link.pinged_at > period / 2
    }

    fn hello_is_due(&self, group: &Group, one: &Instance) -> bool {
        let now = self.now.ms;
        group.announce_at.is_none_or(|at| now >= at)
            && now - one.last_hello_sent > self.periods.publish
    }

    /// INFO, PING and hello to one instance, as they fall due.
    #[doc(alias = "sentinelSendPeriodicCommands")]
    fn say_periodically(&mut self, group: &mut Group, who: &Who) {
        let Some(one) = group.get(who) else {
            return;
        };
        let key = one.link;
        if self.links[key].commands.is_none() {
            return;
        }
        let (informs, pings) = (self.info_is_due(group, one), self.ping_is_due(one));
        if informs {
            self.ask_info(group, who);
        }
        if pings {
            self.ping(group, key);
        }
        self.say_hello_if_due(group, who);
    }

    /// Asks a server for its INFO now.
    pub(super) fn ask_info(&mut self, group: &Group, who: &Who) {
        let Some(key) = group.get(who).map(|one| one.link) else {
            return;
        };
        let (name, who) = (group.name.clone(), who.clone());
        self.send(
            key,
            vec![group.command("INFO")],
            Tag::Info { group: name, who },
        );
    }

    /// Tells an instance who we are and where the primary is, every publish period. The facts in a hello must be on
    /// disk.
    pub(super) fn say_hello_if_due(&mut self, group: &mut Group, who: &Who) {
        let now = self.now.ms;
        let Some(one) = group.get(who).filter(|one| self.hello_is_due(group, one)) else {
            return;
        };
        let key = one.link;
        let Some(local) = self.links[key].local else {
            return;
        };
        if !self.is_saved(self.generation()) {
            return;
        }
        let settings = &self.settings;
        let address = group.current_address();
        let hello = Hello {
            ip: settings
                .announce_ip
                .clone()
                .unwrap_or_else(|| local.to_string()),
            port: match settings.announce_port {
                0 => settings.port,
                port => port,
            },
            run_id: self.my_id.clone(),
            epoch: self.epoch,
            group: group.name.clone(),
            primary_host: address.announced(self),
            primary_port: address.port,
            config_epoch: group.config_epoch,
        };
        let argv = vec![
            group.command("PUBLISH"),
            hello::CHANNEL.into(),
            hello.to_string().into_bytes(),
        ];
        let (name, of) = (group.name.clone(), who.clone());
        let sent = self.send(
            key,
            argv,
            Tag::Hello {
                group: name,
                who: of,
            },
        );
        if sent && let Some(one) = group.get_mut(who) {
            // The reply sets it again; until then the next tick must not send it once more.
            one.last_hello_sent = now;
        }
    }

    /// Makes the next hello to everybody due at once.
    #[doc(alias = "sentinelForceHelloUpdateForMaster")]
    pub(super) fn hasten_hellos(&self, group: &mut Group) {
        let long_ago = self.now.ms - self.periods.publish - 1;
        for who in group.everybody() {
            if let Some(one) = group.get_mut(&who) {
                one.last_hello_sent = one.last_hello_sent.min(long_ago);
            }
        }
    }

    /// Decides about a group: is its primary down for all, does a failover begin, how does it go on.
    #[doc(alias = "sentinelHandleRedisInstance")]
    pub(super) fn judge(&mut self, group: &mut Group) {
        self.check_o_down(group);
        self.start_failover_if_needed(group);
        self.go_on(group);
        self.ask_others(group);
    }
}

impl Role {
    /// The role that our view of a group gives to an instance.
    pub(super) fn expected(kind: Kind) -> Role {
        match kind {
            Kind::Replica => Role::Replica,
            Kind::Primary | Kind::Peer => Role::Primary,
        }
    }
}
