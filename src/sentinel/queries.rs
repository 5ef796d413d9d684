//! Replies about instances: the fields of SENTINEL MASTER, REPLICAS and SENTINELS, quorum, addresses.
//!
//! All values are text, numbers included, and their order is fixed: clients and tests read some by position.
//!
//! Mirrors: addReplySentinelRedisInstance(), sentinelIsQuorumReachable() of sentinel.c.

use super::instance::{Kind, Reconf};
use super::report::Role;
use super::{Core, Group, Instance, Ms};

impl Core {
    /// The words of `flags`, joined by commas, in Redis's order.
    pub fn flags(&self, group: &Group, one: &Instance) -> String {
        let is_primary = one.kind == Kind::Primary;
        let promoted = group.failover.promoted.as_deref() == Some(one.name.as_str());
        let words = [
            (one.s_down_since.is_some(), "s_down"),
            (one.o_down_since.is_some(), "o_down"),
            (is_primary, "master"),
            (one.kind == Kind::Replica, "slave"),
            (one.kind == Kind::Peer, "sentinel"),
            (
                self.links[one.link].is_disconnected(one.kind),
                "disconnected",
            ),
            (one.says_down, "master_down"),
            (
                is_primary && group.failover.is_running(),
                "failover_in_progress",
            ),
            (one.kind == Kind::Replica && promoted, "promoted"),
            (one.reconf == Reconf::Sent, "reconf_sent"),
            (one.reconf == Reconf::InProgress, "reconf_inprog"),
            (one.reconf == Reconf::Done, "reconf_done"),
            (is_primary && group.failover.forced, "force_failover"),
            (one.script_kill_sent, "script_kill_sent"),
            (one.reboot_since.is_some(), "master_reboot"),
        ];
        let set: Vec<&str> = words
            .iter()
            .filter(|(on, _)| *on)
            .map(|(_, word)| *word)
            .collect();
        set.join(",")
    }

    /// All fields of an instance, names and values.
    #[doc(alias = "addReplySentinelRedisInstance")]
    pub fn fields(&self, group: &Group, one: &Instance) -> Vec<(&'static str, String)> {
        let now = self.now.ms;
        let age = |at: Ms| (now - at).max(0).to_string();
        let link = &self.links[one.link];
        let mut fields = vec![
            ("name", one.name.clone()),
            ("ip", one.address.announced(self)),
            ("port", one.address.port.to_string()),
            ("runid", one.run_id.clone().unwrap_or_default()),
            ("flags", self.flags(group, one)),
            ("link-pending-commands", link.pending().to_string()),
            ("link-refcount", link.users.to_string()),
        ];
        if one.kind == Kind::Primary && group.failover.is_running() {
            fields.push(("failover-state", group.failover.stage.word().to_owned()));
        }
        fields.push((
            "last-ping-sent",
            link.unanswered_since.map_or("0".into(), age),
        ));
        fields.push(("last-ok-ping-reply", age(link.available_at)));
        fields.push(("last-ping-reply", age(link.ponged_at)));
        fields.extend(one.s_down_since.map(|at| ("s-down-time", age(at))));
        fields.extend(one.o_down_since.map(|at| ("o-down-time", age(at))));
        fields.push(("down-after-milliseconds", one.down_after.to_string()));
        if one.kind != Kind::Peer {
            fields.push(("info-refresh", one.info_at.map_or("0".into(), age)));
            fields.push(("role-reported", one.role_reported.word().to_owned()));
            fields.push(("role-reported-time", age(one.role_reported_at)));
        }
        match one.kind {
            Kind::Primary => {
                let scripts = [
                    ("notification-script", &group.notification_script),
                    ("client-reconfig-script", &group.reconfig_script),
                ];
                fields.extend([
                    ("config-epoch", group.config_epoch.to_string()),
                    ("num-slaves", group.replicas.len().to_string()),
                    ("num-other-sentinels", group.peers.len().to_string()),
                    ("quorum", group.quorum.to_string()),
                    ("failover-timeout", group.failover_timeout.to_string()),
                    ("parallel-syncs", group.parallel_syncs.to_string()),
                ]);
                for (name, script) in scripts {
                    fields.extend(script.clone().map(|path| (name, path)));
                }
            }
            Kind::Replica => fields.extend([
                ("master-link-down-time", one.link_down_ms.to_string()),
                (
                    "master-link-status",
                    if one.link_up { "ok" } else { "err" }.to_owned(),
                ),
                (
                    "master-host",
                    one.primary_host.clone().unwrap_or_else(|| "?".into()),
                ),
                ("master-port", one.primary_port.to_string()),
                ("slave-priority", one.priority.to_string()),
                ("slave-repl-offset", one.offset.to_string()),
                ("replica-announced", u8::from(one.announced).to_string()),
            ]),
            Kind::Peer => fields.extend([
                ("last-hello-message", age(one.last_hello)),
                (
                    "voted-leader",
                    one.leader.clone().unwrap_or_else(|| "?".into()),
                ),
                ("voted-leader-epoch", one.leader_epoch.to_string()),
            ]),
        }
        fields
    }

    /// The line of INFO about a group, after `master<i>:`.
    pub fn info_line(&self, group: &Group) -> String {
        let primary = &group.primary;
        let status = match (primary.o_down_since, primary.s_down_since) {
            (Some(_), _) => "odown",
            (None, Some(_)) => "sdown",
            (None, None) => "ok",
        };
        format!(
            "name={},status={status},address={}:{},slaves={},sentinels={}",
            group.name,
            primary.address.announced(self),
            primary.address.port,
            group.replicas.len(),
            group.peers.len() + 1
        )
    }
}

/// Whether a group has enough sentinels to agree on a failover and to authorise it (SENTINEL CKQUORUM).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// Sentinels that can be reached, ourselves included.
    pub usable: usize,
    /// They are as many as `quorum`.
    pub reaches_quorum: bool,
    /// They are more than half of all that are known.
    pub reaches_majority: bool,
}

impl Group {
    #[doc(alias = "sentinelIsQuorumReachable")]
    pub fn check_quorum(&self) -> Quorum {
        let reachable = self
            .peers
            .values()
            .filter(|peer| peer.s_down_since.is_none());
        let usable = 1 + reachable.count();
        let voters = 1 + self.peers.len();
        Quorum {
            usable,
            reaches_quorum: usable as u64 >= u64::from(self.quorum),
            reaches_majority: usable > voters / 2,
        }
    }

    /// The role that a group's primary reports.
    pub fn primary_role(&self) -> Role {
        self.primary.role_reported
    }
}
