//! A watched server or another sentinel as we know it, and the group it belongs to.
//!
//! Mirrors: `sentinelRedisInstance`, `sentinelAddr` of sentinel.c.
//! Differs: a group is a type of its own that holds its primary, so that fields of the group (quorum, epochs, the
//! failover) are not fields of every replica and sentinel.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::failover::Failover;
use super::report::Role;
use super::{Core, Ms};

/// Where an instance is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A host name or an IP address, as it was given.
    pub host: String,
    /// The IP address, once known.
    pub ip: Option<IpAddr>,
    pub port: u16,
}

impl Address {
    /// An address; a host that is an IP address is known at once.
    pub fn new(host: &str, port: u16) -> Address {
        Address {
            host: host.to_owned(),
            ip: host.parse().ok(),
            port,
        }
    }

    /// Whether the two lead to the same server: same port, and same IP address or same name.
    pub fn is(&self, other: &Address) -> bool {
        let same_ip = self.ip.is_some() && self.ip == other.ip;
        self.port == other.port && (same_ip || self.host.eq_ignore_ascii_case(&other.host))
    }

    /// The IP address as text, or the name while there is none.
    pub fn ip_text(&self) -> String {
        self.ip
            .map_or_else(|| self.host.clone(), |ip| ip.to_string())
    }

    /// The address told to others: the name if names are announced, else the IP address.
    pub fn announced(&self, core: &Core) -> String {
        match core.settings.announce_hostnames {
            true => self.host.clone(),
            false => self.ip_text(),
        }
    }

    /// The name that a replica is found by: `10.0.0.2:6380`, `[::1]:6380`.
    pub fn key(&self, core: &Core) -> String {
        let host = self.announced(core);
        match host.contains(':') {
            true => format!("[{host}]:{}", self.port),
            false => format!("{host}:{}", self.port),
        }
    }
}

/// Which instance of a group is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    Primary,
    /// By its key in [`Group::replicas`].
    Replica(String),
    /// Another sentinel, by its run id.
    Peer(String),
}

/// The kind of an instance: primary, replica or sentinel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Primary,
    Replica,
    Peer,
}

impl Kind {
    /// The word in events and flags.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Primary => "master",
            Kind::Replica => "slave",
            Kind::Peer => "sentinel",
        }
    }
}

/// How far a replica is with following the promoted one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reconf {
    #[default]
    No,
    /// The replica was sent SLAVEOF.
    Sent,
    /// It follows, its link is not up yet.
    InProgress,
    Done,
}

/// A watched server or another sentinel.
#[derive(Clone, Debug)]
pub struct Instance {
    pub kind: Kind,
    /// The group's name, a replica's key, or a sentinel's run id.
    pub name: String,
    pub run_id: Option<String>,
    pub address: Address,
    /// Key of its link in [`Core::links`].
    pub(super) link: usize,
    pub(super) last_hello_sent: Ms,
    /// A sentinel's last hello about this group.
    pub last_hello: Ms,
    /// When a sentinel last said whether the primary is down.
    pub(super) last_verdict: Option<Ms>,
    /// When we last asked it.
    pub(super) last_asked: Option<Ms>,
    /// The epoch of the last failover of ours that it was asked to vote in.
    pub(super) asked_in: u64,
    /// A sentinel's fresh word that the primary is down.
    pub says_down: bool,
    pub s_down_since: Option<Ms>,
    /// When it last went down, though it may be up again.
    pub(super) went_down_at: Option<Ms>,
    pub o_down_since: Option<Ms>,
    pub down_after: Ms,
    pub info_at: Option<Ms>,
    /// The last INFO reply.
    pub info: Vec<u8>,
    pub role_reported: Role,
    pub role_reported_at: Ms,
    pub(super) primary_changed_at: Ms,
    pub link_down_ms: Ms,
    pub link_up: bool,
    pub priority: u32,
    pub announced: bool,
    /// It knows FAILOVER, so that it can hand its role over without losing a write.
    pub knows_failover: bool,
    pub primary_host: Option<String>,
    pub primary_port: u16,
    pub offset: u64,
    pub(super) reconf: Reconf,
    pub(super) reconf_sent_at: Ms,
    pub(super) script_kill_sent: bool,
    /// A primary that was restarted and does not answer PING yet.
    pub(super) reboot_since: Option<Ms>,
    /// A sentinel's vote in its epoch.
    pub leader: Option<String>,
    pub leader_epoch: u64,
}

impl Instance {
    /// An instance nobody has spoken to yet, with a link of its own.
    pub(super) fn new(core: &mut Core, kind: Kind, name: String, address: Address) -> Instance {
        let now = core.now.ms;
        Instance {
            kind,
            name,
            run_id: None,
            link: core.new_link(),
            address,
            last_hello_sent: now,
            last_hello: now,
            last_verdict: None,
            last_asked: None,
            asked_in: 0,
            says_down: false,
            s_down_since: None,
            went_down_at: None,
            o_down_since: None,
            down_after: core.periods.default_down_after,
            info_at: None,
            info: Vec::new(),
            role_reported: match kind {
                Kind::Replica => Role::Replica,
                Kind::Primary | Kind::Peer => Role::Primary,
            },
            role_reported_at: now,
            primary_changed_at: now,
            link_down_ms: 0,
            link_up: false,
            priority: 100,
            announced: true,
            knows_failover: false,
            primary_host: None,
            primary_port: 0,
            offset: 0,
            reconf: Reconf::No,
            reconf_sent_at: 0,
            script_kill_sent: false,
            reboot_since: None,
            leader: None,
            leader_epoch: 0,
        }
    }

    /// The address that a replica says it follows.
    pub(super) fn follows(&self, address: &Address) -> bool {
        let host = self.primary_host.as_deref();
        host.is_some_and(|host| Address::new(host, self.primary_port).is(address))
    }
}

/// Servers that are watched together.
#[derive(Clone, Debug)]
pub struct Group {
    pub name: String,
    pub primary: Instance,
    pub replicas: BTreeMap<String, Instance>,
    pub peers: BTreeMap<String, Instance>,
    pub quorum: u32,
    pub parallel_syncs: u32,
    pub failover_timeout: Ms,
    /// 0: a restart is not waited for.
    pub reboot_down_after: Ms,
    pub config_epoch: u64,
    /// Whom we voted for, and in which epoch.
    pub leader: Option<String>,
    pub leader_epoch: u64,
    pub failover: Failover,
    /// No hello before this moment; see `good_moment` in `failover.rs`.
    pub(super) announce_at: Option<Ms>,
    pub auth_pass: Option<String>,
    pub auth_user: Option<String>,
    pub notification_script: Option<String>,
    pub reconfig_script: Option<String>,
    /// Commands under other names, `rename-command`.
    pub renames: BTreeMap<String, String>,
}

impl Group {
    pub(super) fn new(core: &mut Core, name: &str, address: Address, quorum: u32) -> Group {
        let primary = Instance::new(core, Kind::Primary, name.to_owned(), address);
        Group {
            name: name.to_owned(),
            primary,
            replicas: BTreeMap::new(),
            peers: BTreeMap::new(),
            quorum,
            parallel_syncs: 1,
            failover_timeout: core.periods.default_failover_timeout,
            reboot_down_after: 0,
            config_epoch: 0,
            leader: None,
            leader_epoch: 0,
            failover: Failover::default(),
            announce_at: None,
            auth_pass: None,
            auth_user: None,
            notification_script: None,
            reconfig_script: None,
            renames: BTreeMap::new(),
        }
    }

    /// One instance of the group.
    pub fn get(&self, who: &Who) -> Option<&Instance> {
        match who {
            Who::Primary => Some(&self.primary),
            Who::Replica(key) => self.replicas.get(key),
            Who::Peer(id) => self.peers.get(id),
        }
    }

    pub(super) fn get_mut(&mut self, who: &Who) -> Option<&mut Instance> {
        match who {
            Who::Primary => Some(&mut self.primary),
            Who::Replica(key) => self.replicas.get_mut(key),
            Who::Peer(id) => self.peers.get_mut(id),
        }
    }

    /// Names of all instances: the primary, then replicas, then sentinels.
    pub(super) fn everybody(&self) -> Vec<Who> {
        let replicas = self.replicas.keys().cloned().map(Who::Replica);
        let peers = self.peers.keys().cloned().map(Who::Peer);
        let primary = std::iter::once(Who::Primary);
        primary.chain(replicas).chain(peers).collect()
    }

    pub(super) fn instances(&self) -> impl Iterator<Item = &Instance> {
        let primary = std::iter::once(&self.primary);
        primary
            .chain(self.replicas.values())
            .chain(self.peers.values())
    }

    pub(super) fn set_down_after(&mut self, ms: Ms) {
        self.primary.down_after = ms;
        self.replicas
            .values_mut()
            .for_each(|one| one.down_after = ms);
        self.peers.values_mut().for_each(|one| one.down_after = ms);
    }

    /// A command under the name that the group's servers know it by.
    pub(super) fn command(&self, name: &str) -> Vec<u8> {
        let renamed = self.renames.get(&name.to_ascii_lowercase());
        renamed.map_or(name, String::as_str).as_bytes().to_vec()
    }

    /// The address given to clients and sentinels: from the promotion on that of the promoted replica.
    #[doc(alias = "sentinelGetCurrentMasterAddress")]
    pub fn current_address(&self) -> &Address {
        let promoted = self.failover.promoted.as_ref();
        let promoted = promoted.filter(|_| self.failover.stage.is_past_promotion());
        let promoted = promoted.and_then(|key| self.replicas.get(key));
        promoted.map_or(&self.primary.address, |one| &one.address)
    }

    /// The `%@` of an event: `slave 10.0.0.2:6380 10.0.0.2 6380 @ mymaster 10.0.0.1 6379`.
    pub(super) fn describe(&self, core: &Core, one: &Instance) -> String {
        let address = &one.address;
        let (word, ip) = (one.kind.word(), address.announced(core));
        let mut text = format!("{word} {} {ip} {}", one.name, address.port);
        if one.kind != Kind::Primary {
            let primary = &self.primary.address;
            let ip = primary.announced(core);
            text += &format!(" @ {} {ip} {}", self.name, primary.port);
        }
        text
    }
}
