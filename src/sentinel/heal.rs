//! Reactions to a server's INFO: new replicas, restarts, promotions, and servers that follow the wrong one.
//!
//! ```text
//!   a replica calls itself a primary, and
//!       it is the promoted one of our failover  ──► +promoted-slave
//!       the primary is well, for 8 seconds      ──► SLAVEOF, +convert-to-slave      (an old primary that came back)
//!   a replica follows another address           ──► SLAVEOF, +fix-slave-config      (after failover-timeout)
//! ```
//!
//! Mirrors: the second half of sentinelRefreshInstanceInfo() of sentinel.c.

use super::instance::{Kind, Reconf};
use super::report::{Report, Role};
use super::{Address, Core, Group, Instance, Level, Ms, Stage, Who};

/// Replicas of a group at most. A server that lists more is not believed.
const MOST_REPLICAS: usize = 4096;

impl Core {
    /// Takes in an instance's report about itself, and acts on it.
    #[doc(alias = "sentinelRefreshInstanceInfo")]
    pub(super) fn take_report(&mut self, group: &mut Group, who: &Who, report: Report) {
        let now = self.now.ms;
        let rebooted = self.take_run_id(group, who, &report);
        if *who == Who::Primary && rebooted && group.reboot_down_after > 0 {
            group.primary.reboot_since = Some(now);
        }
        if *who == Who::Primary {
            for (host, port) in &report.replicas {
                let address = Address::new(host, *port);
                if self.add_replica(group, &address) {
                    self.changed();
                }
            }
        }
        let Some(one) = group.get_mut(who) else {
            return;
        };
        one.info_at = Some(now);
        one.link_down_ms = report.link_down_ms;
        one.knows_failover = report.knows_failover;
        let role = report.role.unwrap_or(one.role_reported);
        let new_role = role != one.role_reported;
        if new_role {
            one.role_reported = role;
            one.role_reported_at = now;
            if role == Role::Replica {
                one.primary_changed_at = now;
            }
        }
        if role == Role::Replica {
            take_link(one, &report, now);
        }
        if new_role {
            let expected = role == Role::expected(one.kind);
            let name = if expected {
                "+role-change"
            } else {
                "-role-change"
            };
            let more = format!("new reported role is {}", role.word());
            if let Some(one) = group.get(who) {
                self.event_of(Level::Verbose, name, group, one, &more);
            }
        }
        if self.tilt_since.is_some() {
            return;
        }
        if let Who::Replica(key) = who {
            self.heal(group, key);
        }
    }

    /// Notes the run id; true if it is another one than before.
    fn take_run_id(&mut self, group: &mut Group, who: &Who, report: &Report) -> bool {
        let (Some(id), Some(one)) = (report.run_id.clone(), group.get_mut(who)) else {
            return false;
        };
        let rebooted = one.run_id.as_ref().is_some_and(|old| *old != id);
        one.run_id = Some(id);
        if rebooted && let Some(one) = group.get(who) {
            self.event_of(Level::Notice, "+reboot", group, one, "");
        }
        rebooted
    }

    /// A replica we did not know; false if we did, or the address leads nowhere.
    pub(super) fn add_replica(&mut self, group: &mut Group, address: &Address) -> bool {
        let key = address.key(self);
        let usable = address.ip.is_some() || self.settings.resolve_hostnames;
        let known = |one: &Instance| one.address.is(address);
        if !usable || group.replicas.len() >= MOST_REPLICAS || group.replicas.values().any(known) {
            return false;
        }
        let mut one = Instance::new(self, Kind::Replica, key.clone(), address.clone());
        one.down_after = group.primary.down_after;
        self.event_of(Level::Notice, "+slave", group, &one, "");
        group.replicas.insert(key, one);
        true
    }

    fn heal(&mut self, group: &mut Group, key: &str) {
        let who = Who::Replica(key.to_owned());
        let Some(one) = group.replicas.get(key) else {
            return;
        };
        let is_promoted = group.failover.promoted.as_deref() == Some(key);
        match one.role_reported {
            Role::Primary if is_promoted && group.failover.stage == Stage::WaitPromotion => {
                self.promoted(group);
            }
            Role::Primary if is_promoted => {}
            Role::Primary => {
                let wait = self.periods.publish * 4;
                let long = self.now.ms - one.role_reported_at > wait;
                if long && self.looks_sane(group) && self.was_well(one, wait) {
                    self.correct(group, &who, "+convert-to-slave");
                }
            }
            Role::Replica => {
                let wait = group.failover_timeout;
                let wrong = !is_promoted
                    && one.primary_host.is_some()
                    && !one.follows(&group.primary.address);
                let long = self.now.ms - one.primary_changed_at > wait;
                if wrong && long && self.looks_sane(group) && self.was_well(one, wait) {
                    self.correct(group, &who, "+fix-slave-config");
                }
                self.follow_reconf(group, key);
            }
        }
    }

    /// How far a replica is with following the promoted one.
    fn follow_reconf(&mut self, group: &mut Group, key: &str) {
        if !group.failover.stage.is_past_promotion() {
            return;
        }
        let address = group.current_address().clone();
        let stage = |group: &Group| {
            group
                .replicas
                .get(key)
                .map(|one| (one.reconf, one.follows(&address), one.link_up))
        };
        if let Some((Reconf::Sent, true, _)) = stage(group) {
            self.set_reconf(group, key, Reconf::InProgress);
            self.event_of(
                Level::Notice,
                "+slave-reconf-inprog",
                group,
                &group.replicas[key],
                "",
            );
        }
        if let Some((Reconf::InProgress, _, true)) = stage(group) {
            self.set_reconf(group, key, Reconf::Done);
            self.event_of(
                Level::Notice,
                "+slave-reconf-done",
                group,
                &group.replicas[key],
                "",
            );
        }
    }

    /// Whether the primary is one beyond doubt, so that others may be made to follow it.
    #[doc(alias = "sentinelMasterLooksSane")]
    fn looks_sane(&self, group: &Group) -> bool {
        let primary = &group.primary;
        let fresh = |at: Ms| self.now.ms - at < self.periods.info * 2;
        primary.role_reported == Role::Primary
            && primary.s_down_since.is_none()
            && primary.o_down_since.is_none()
            && primary.info_at.is_some_and(fresh)
            && !group.failover.is_running()
    }

    /// Whether an instance did not go down within the last `ms`.
    #[doc(alias = "sentinelRedisInstanceNoDownFor")]
    fn was_well(&self, one: &Instance, ms: Ms) -> bool {
        one.went_down_at.is_none_or(|at| self.now.ms - at > ms)
    }

    /// Makes a replica follow the primary.
    fn correct(&mut self, group: &mut Group, who: &Who, event: &'static str) {
        let Some(link) = group.get(who).map(|one| one.link) else {
            return;
        };
        let address = group.primary.address.clone();
        if self.send_replicaof(group, link, Some(&address))
            && let Some(one) = group.get(who)
        {
            self.event_of(Level::Notice, event, group, one, "");
            self.ask_info(group, who);
        }
    }
}

/// Takes in a replica's report about the link to its primary.
fn take_link(one: &mut Instance, report: &Report, now: Ms) {
    let moved = report.primary_host.is_some() && report.primary_host != one.primary_host
        || report
            .primary_port
            .is_some_and(|port| port != one.primary_port);
    if moved {
        one.primary_host = report.primary_host.clone().or(one.primary_host.take());
        one.primary_port = report.primary_port.unwrap_or(one.primary_port);
        one.primary_changed_at = now;
    }
    one.link_up = report.link_up.unwrap_or(false);
    one.priority = report.priority.unwrap_or(one.priority);
    one.offset = report.offset.unwrap_or(one.offset);
    one.announced = report.announced.unwrap_or(one.announced);
}
