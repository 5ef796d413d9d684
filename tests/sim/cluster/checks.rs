//! The conditions that must hold after every event, and when a world has come to rest.
//!
//! 1. A vote, an epoch and a claim leave a node only when its disk has them.
//! 2. One vote per node and epoch, for ever, over every crash.
//! 3. A winner has the votes of a majority, given in its epoch, by different nodes.
//! 4. A node never asks for votes in an epoch it asked in before.
//! 5. Nodes that are honest never refuse each other's messages.
//! 6. At rest: all see the same, every slot with a living heir is served, nobody living is called dead.
//! 7. A write that was acknowledged is there, unless its primary was hit by a fault.

use std::collections::{BTreeMap, BTreeSet};

use oxidis::cluster::bus::{self, Body, Kind};
use oxidis::cluster::id::NodeId;
use oxidis::cluster::machine::Machine;
use oxidis::cluster::node::{Flags, LinkId};

use super::data::{Ack, KEYS};
use super::world::{HostId, World};

/// The history of a world, as far as the checks need it.
#[derive(Default)]
pub struct Record {
    pub acks: Vec<Ack>,
    pub writes: u32,
    pub bad_frames: u32,
    pub silent: BTreeSet<HostId>,
    pub wins: Vec<(HostId, u64)>,
    pub promotions: Vec<(HostId, u64)>,
    pub timed_out: usize,
    pub published: BTreeMap<HostId, usize>,
    /// Whether garbage was sent on purpose.
    pub hostile: bool,
    votes: BTreeMap<(NodeId, u64), NodeId>,
    asked: BTreeMap<NodeId, u64>,
    /// Faults of a host: from when to when.
    faults: BTreeMap<HostId, Vec<(u64, u64)>>,
    /// Cuts that are not mended yet.
    cuts: Vec<(HostId, u64)>,
    broken: Vec<String>,
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

impl Record {
    pub fn fault(&mut self, id: HostId, at: u64, ms: u64) {
        self.faults.entry(id).or_default().push((at, at + ms));
    }

    pub fn cut(&mut self, id: HostId, at: u64) {
        if !self.cuts.contains(&(id, at)) {
            self.cuts.push((id, at));
        }
    }

    pub fn healed(&mut self, at: u64) {
        for (id, since) in std::mem::take(&mut self.cuts) {
            self.faults.entry(id).or_default().push((since, at));
        }
    }

    pub fn promoted(&mut self, id: HostId, at: u64) {
        self.promotions.push((id, at));
    }

    pub fn published(&mut self, id: HostId, _text: Vec<u8>) {
        *self.published.entry(id).or_default() += 1;
    }

    pub fn logged(&mut self, id: HostId, text: &str) {
        if text.starts_with("Manual failover timed out") {
            self.timed_out += 1;
        }
        let refused = text.starts_with("Received") && text.contains("packet")
            || text.starts_with("Bad message");
        if refused && !self.hostile {
            self.broken.push(format!("n{id} refused a message: {text}"));
        }
    }

    fn breaks(&mut self, text: String) {
        self.broken.push(text);
    }
}

impl World {
    /// A message leaves a host.
    pub fn check_sent(&mut self, id: HostId, link: LinkId, bytes: &[u8]) {
        let number = u16::from_be_bytes([bytes[12], bytes[13]]);
        let epoch = u64_at(bytes, 16);
        let Some(machine) = &self.hosts[id].machine else {
            return;
        };
        let me = machine.myself().id;
        let disk = &self.hosts[id].disk;
        // A message that waited for the disk may be older than the node's present role: the file of a replica has no claim.
        let said = bytes[2128..2168].iter().all(|byte| *byte == 0);
        let primary = said && machine.myself().is_primary();
        let claim = u64_at(bytes, 24);
        let mut broken = Vec::new();
        if primary && claim > disk.claim {
            broken.push(format!(
                "claims with epoch {claim}, its disk has {}",
                disk.claim
            ));
        }
        let words = bytes[80..2128]
            .chunks_exact(8)
            .zip(disk.slots.chunks_exact(8));
        if primary
            && words
                .into_iter()
                .any(|(said, kept)| u64_at(said, 0) & !u64_at(kept, 0) != 0)
        {
            broken.push("claims slots that its disk does not know of".to_owned());
        }
        if number == Kind::AuthRequest as u16 {
            if disk.epoch < epoch {
                broken.push(format!(
                    "asks in epoch {epoch}, its disk has {}",
                    disk.epoch
                ));
            }
            let asked = self.record.asked.entry(me).or_default();
            if epoch < *asked {
                broken.push(format!("asked in epoch {asked} and now in {epoch}"));
            }
            *asked = epoch;
        }
        for text in broken {
            self.record.breaks(format!("n{id} {text}"));
        }
        if number == Kind::AuthAck as u16 {
            let to = self.other_end(id, link);
            let disk = &self.hosts[id].disk;
            if disk.vote < epoch {
                let text = format!("n{id} votes in {epoch}, its disk knows of {}", disk.vote);
                self.record.breaks(text);
            }
            let Some(to) = to else { return };
            let first = *self.record.votes.entry((me, epoch)).or_insert(to);
            if first != to {
                let text = format!("n{id} votes twice in epoch {epoch}");
                self.record.breaks(text);
            }
        }
    }

    fn other_end(&self, id: HostId, link: LinkId) -> Option<NodeId> {
        let machine = self.hosts[id].machine.as_ref()?;
        let mut nodes = machine.nodes().iter();
        let found = nodes.find(|(_, node)| node.link == Some(link) || node.inbound == Some(link));
        found.map(|(_, node)| node.id)
    }

    /// A node says it won.
    pub fn check_win(&mut self, id: HostId) {
        let machine = self.machine(id);
        let (epoch, me) = (machine.myself().epoch, machine.myself().id);
        let votes = self.record.votes.iter();
        let mine = votes
            .filter(|((_, of), to)| *of == epoch && **to == me)
            .count();
        // The slots of its primary are its own now: the number of voters is as before.
        let size = machine.size();
        self.record.wins.push((id, self.now));
        if mine < size / 2 + 1 {
            self.record.breaks(format!(
                "n{id} won epoch {epoch} with {mine} votes of {size} primaries"
            ));
        }
    }

    /// A host after a step.
    pub fn check_host(&mut self, id: HostId) {
        let Some(machine) = &self.hosts[id].machine else {
            return;
        };
        let me = machine.myself();
        let replica_with_slots = me.is_replica() && !me.slots.is_empty();
        let own_primary = me.primary == Some(machine.my_key());
        let both = me.is_primary() == me.is_replica();
        if replica_with_slots || own_primary || both {
            let text = format!(
                "n{id} is {} with {} slots",
                me.flags.words(),
                me.slots.len()
            );
            self.record.breaks(text);
        }
    }

    /// Whether every living node sees the same, and what stands against it.
    pub fn disagreement(&self) -> Option<String> {
        let live = self.live();
        let first = *live.first()?;
        let view = self.view(first);
        for id in &live {
            let machine = self.machine(*id);
            if !machine.is_up() {
                return Some(format!("n{id} finds the cluster down"));
            }
            if machine.nodes().len()
                != machine
                    .nodes()
                    .iter()
                    .filter(|(_, n)| !n.in_handshake())
                    .count()
            {
                return Some(format!("n{id} has handshakes"));
            }
            if machine.election().is_some() || machine.in_manual_failover() {
                return Some(format!("n{id} has an election"));
            }
            if let Some(text) = self.wrong_about(machine) {
                return Some(format!("n{id}: {text}"));
            }
            if self.view(*id) != view {
                return Some(format!(
                    "n{first} and n{id} see different clusters:\n{view}\n{}",
                    self.view(*id)
                ));
            }
            if let Some(primary) = machine.myself().primary {
                let target = machine
                    .nodes()
                    .get(primary)
                    .and_then(|node| self.host_at(node.ip?));
                if target != self.hosts[*id].data.following {
                    return Some(format!("n{id} replicates another than its primary"));
                }
            }
        }
        let mut epochs = BTreeSet::new();
        for id in &live {
            let me = self.machine(*id).myself();
            if me.is_primary() && !epochs.insert(me.epoch) {
                return Some(format!("epoch {} twice", me.epoch));
            }
        }
        None
    }

    fn wrong_about(&self, machine: &Machine) -> Option<String> {
        for (key, node) in machine.nodes().iter() {
            let host = node.ip.and_then(|ip| self.host_at(ip))?;
            let lives = self.hosts[host].machine.is_some();
            if lives && node.ailing() {
                return Some(format!("n{host} is alive but {}", node.flags.words()));
            }
            if lives && node.flags.any(Flags::NO_ADDRESS) {
                return Some(format!("n{host} has no address"));
            }
            let linked = key == machine.my_key() || node.link.is_some() && node.inbound.is_some();
            if lives && !linked {
                return Some(format!("n{host} is not linked both ways"));
            }
            let chained = node
                .primary
                .and_then(|primary| machine.nodes().get(primary));
            if lives && chained.is_some_and(|primary| primary.is_replica()) {
                return Some(format!("n{host} is a replica of a replica"));
            }
        }
        None
    }

    /// A host's idea of who is what and who has what; of the dead only that they are there.
    pub fn view(&self, id: HostId) -> String {
        let machine = self.machine(id);
        let mut text = String::new();
        for (_, node) in machine.nodes().by_id() {
            let host = node.ip.and_then(|ip| self.host_at(ip));
            let dead = host.is_none_or(|host| self.hosts[host].machine.is_none());
            if dead {
                continue;
            }
            let primary = node.primary.and_then(|key| machine.nodes().get(key));
            let primary = primary.map(|node| node.id);
            let shard = node.shard;
            let epoch = if node.is_primary() { node.epoch } else { 0 };
            text.push_str(&format!(
                "n{} {:?} {} of {primary:?} shard {shard:?} epoch {epoch} slots {:?}\n",
                host.unwrap_or(99),
                node.id,
                if node.is_primary() {
                    "primary"
                } else {
                    "replica"
                },
                node.slots
            ));
        }
        text
    }

    /// Whether a write may be missing: its primary was hit, or was cut off and had not had the time to notice.
    fn excused(&self, ack: &Ack) -> bool {
        let timeout = self.hosts[ack.by].options.node_timeout_ms;
        // Detection by the majority's side takes a timeout and the pace of pings; so does the minority's.
        let window = timeout + timeout / 2 + 1000;
        let faults = self.record.faults.get(&ack.by);
        let mut faults = faults.into_iter().flatten();
        faults.any(|(from, to)| {
            let later = *from >= ack.at;
            let fresh = ack.at >= *from && ack.at <= *from + window;
            let waking = ack.at >= *to && ack.at <= *to + window;
            later || fresh || waking
        })
    }

    /// Writes that are gone without an excuse.
    pub fn lost_writes(&self) -> Vec<Ack> {
        let live = self.live();
        let Some(first) = live.first() else {
            return Vec::new();
        };
        let machine = self.machine(*first);
        let mut owner = BTreeMap::new();
        for slot in KEYS {
            let key = machine.owners().of(slot);
            let node = key.and_then(|key| machine.nodes().get(key));
            if let Some(host) = node.and_then(|node| self.host_at(node.ip?)) {
                owner.insert(slot, host);
            }
        }
        let acks = self.record.acks.iter();
        let gone = acks.filter(|ack| {
            let there = owner
                .get(&ack.slot)
                .is_some_and(|host| self.hosts[*host].data.writes.contains_key(&ack.id));
            !there && !self.excused(ack)
        });
        gone.copied().collect()
    }

    /// Rules that were broken so far.
    pub fn broken(&self) -> &[String] {
        &self.record.broken
    }

    /// Bytes of one message that a host would send, for tests that play a hostile peer.
    pub fn sample_header(&self, id: HostId) -> Vec<u8> {
        let machine = self.machine(id);
        let me = machine.myself();
        let header = bus::Header {
            current_epoch: machine.current_epoch(),
            config_epoch: me.epoch,
            offset: 0,
            sender: me.id,
            slots: me.slots.bitmap(),
            primary: None,
            ip: None,
            port: 7000,
            other_port: 0,
            bus_port: 17000,
            flags: me.flags.bits(),
            down: false,
            mflags: bus::EXT_DATA,
        };
        let body = Body::News {
            kind: Kind::Ping,
            gossip: Vec::new(),
            bad_ids: 0,
            extensions: Vec::new(),
        };
        bus::Message { header, body }.encode()
    }
}
