//! A machine's beginning, its file, its options, and the two places where slots change hands and nodes are forgotten.
//!
//! Invariant: [`Machine::bind`] and [`Machine::unbind`] alone write the owners' table and the nodes' sets of slots;
//! [`Machine::bury`] alone removes nodes, and clears every reference to them.
//!
//! Mirrors: `clusterInit`, `clusterLoadConfig`, `clusterAddSlot`, `clusterDelSlot`, `clusterDelNode`
//! (cluster_legacy.c).
//! Differs: a node is removed at the end of a step, never while a message of it is read.

use std::collections::BTreeMap;

use super::out::Keep;
use super::{Act, Counts, Facts, Level, Machine, Options, Out, Todo};
use crate::cluster::bus::SECRET_LEN;
use crate::cluster::file::{Entry, File};
use crate::cluster::id::NodeId;
use crate::cluster::node::{Flags, Node, NodeKey, Nodes};
use crate::cluster::owners::Owners;
use crate::cluster::slots::SlotSet;
use crate::util::rng::Rng;

impl Machine {
    /// A new node, unknown to every other one. Its first step asks for a save.
    pub fn new(options: Options, seed: u64, facts: &Facts) -> Machine {
        let mut rng = Rng::new(seed);
        let (id, shard) = (NodeId::random(&mut rng), NodeId::random(&mut rng));
        let flags = Flags::MYSELF.and(Flags::PRIMARY);
        let me = Node::new(id, shard, flags, facts.now_ms);
        let mut machine = Machine::with(me, options, rng, facts);
        machine.keep(Keep::Claimed);
        machine
    }

    /// The node that a file describes.
    ///
    /// # Errors
    /// The reason why it describes none; [`File::read`] lets no such file through.
    #[doc(alias = "clusterLoadConfig")]
    pub fn load(
        file: &File,
        options: Options,
        seed: u64,
        facts: &Facts,
    ) -> Result<Machine, &'static str> {
        let mut rng = Rng::new(seed);
        let myself = file.nodes.iter().find(|node| node.flags.any(Flags::MYSELF));
        let myself = myself.ok_or("no line says which node this is")?;
        let shard = |entry: &Entry, rng: &mut Rng| match entry.shard {
            Some(shard) => shard,
            None => NodeId::random(rng),
        };
        let own_shard = shard(myself, &mut rng);
        let me = Node::new(myself.id, own_shard, myself.flags, facts.now_ms);
        let mut machine = Machine::with(me, options, rng, facts);
        for entry in &file.nodes {
            if entry.id != myself.id {
                let shard = shard(entry, &mut machine.rng);
                let node = Node::new(entry.id, shard, entry.flags, facts.now_ms);
                machine.nodes.insert(node);
            }
        }
        for entry in &file.nodes {
            machine.take_entry(entry);
        }
        // A replica is in its primary's shard, whatever its own line says (redis 12761, 13468; valkey 2171).
        for key in machine.nodes.keys() {
            let primary = machine.nodes[key].primary;
            if let Some(shard) = primary.map(|primary| machine.nodes[primary].shard) {
                machine.nodes[key].shard = shard;
            }
        }
        machine.current_epoch = file.current_epoch;
        machine.last_vote_epoch = file.last_vote_epoch;
        machine.todo.state = true;
        // No message leaves with facts of the file that a power cut could still take back.
        machine.keep(Keep::Claimed);
        Ok(machine)
    }

    fn with(me: Node, options: Options, mut rng: Rng, facts: &Facts) -> Machine {
        let mut nodes = Nodes::default();
        let me = nodes.insert(me).expect("an empty table has room");
        let mut secret = [0; SECRET_LEN];
        rng.fill_hex(&mut secret);
        let mut machine = Machine {
            facts: *facts,
            rng,
            nodes,
            me,
            owners: Owners::new(),
            current_epoch: 0,
            last_vote_epoch: 0,
            last_vote_for: None,
            links: BTreeMap::new(),
            next_link: 1,
            forgotten: BTreeMap::new(),
            election: None,
            election_after_ms: 0,
            manual: None,
            health: super::Health::default(),
            secret,
            counts: Counts::default(),
            next_cron_ms: facts.now_ms,
            round: 0,
            ailing: 0,
            told_fail_ms: 0,
            introduced: Vec::new(),
            handovers: Vec::new(),
            awaits_claim: false,
            pause_asked: None,
            following: None,
            knows_own_ip: false,
            excuse: None,
            out: Out::default(),
            todo: Todo::default(),
            doomed: Vec::new(),
            slots_left: SlotSet::new(),
            options: options.clone(),
        };
        machine.configure(options);
        machine
    }

    fn take_entry(&mut self, entry: &Entry) {
        let now = self.now();
        // A primary or a partner in a migration may be named without a line of its own.
        let known = |nodes: &mut Nodes, rng: &mut Rng, id: &NodeId| {
            nodes.find(id).or_else(|| {
                let shard = NodeId::random(rng);
                nodes.insert(Node::new(*id, shard, Flags::default(), now))
            })
        };
        let Some(key) = known(&mut self.nodes, &mut self.rng, &entry.id) else {
            return;
        };
        let primary = entry.primary.as_ref();
        let primary = primary.and_then(|id| known(&mut self.nodes, &mut self.rng, id));
        for (table, slots) in [
            (&mut self.owners.migrating, &entry.migrating),
            (&mut self.owners.importing, &entry.importing),
        ] {
            for (slot, id) in slots {
                if let Some(other) = known(&mut self.nodes, &mut self.rng, id) {
                    table.insert(*slot, other);
                }
            }
        }
        if let Some(primary) = primary.filter(|primary| *primary != key) {
            self.nodes[key].primary = Some(primary);
            self.nodes[primary].flags.set(Flags::MIGRATE_TO);
        }
        let node = &mut self.nodes[key];
        node.flags = entry.flags.and(node.flags);
        if node.flags.any(Flags::REPLICA) {
            node.flags.clear(Flags::PRIMARY);
        }
        if key == self.me {
            let others = Flags::FAIL.and(Flags::MAYBE_FAIL).and(Flags::HANDSHAKE);
            node.flags.clear(others.and(Flags::NO_ADDRESS));
        }
        node.ip = entry.ip;
        node.bus_port = entry.bus_port;
        (node.port, node.tls_port) = (entry.port, entry.tls_port);
        node.epoch = entry.epoch;
        if key != self.me {
            node.hostname.clone_from(&entry.hostname);
            node.nodename.clone_from(&entry.nodename);
        }
        if entry.ping_sent != 0 {
            node.ping_sent_ms = now;
        }
        if entry.pong_received != 0 {
            node.pong_received_ms = now;
        }
        if node.flags.any(Flags::FAIL) {
            node.fail_ms = now;
        }
        let replica = node.is_replica();
        for slot in entry.slots.iter() {
            if self.owners.of(slot).is_none() && !replica {
                self.bind(slot, key);
            }
        }
        self.slots_left.clear();
    }

    /// The cluster as the file has it: nodes in handshake are left out.
    #[doc(alias = "clusterSaveConfig")]
    pub fn file(&self) -> File {
        let known = self.nodes.by_id().filter(|(_, node)| !node.in_handshake());
        let entries = known.map(|(key, node)| {
            let mut entry = Entry::new(node.id, node.flags);
            entry.ip = node.ip;
            (entry.port, entry.tls_port) = (node.port, node.tls_port);
            entry.bus_port = node.bus_port;
            entry.hostname.clone_from(&node.hostname);
            entry.nodename.clone_from(&node.nodename);
            entry.shard = Some(node.shard);
            entry.primary = self.id_of(node.primary);
            entry.ping_sent = self.wall(node.ping_sent_ms);
            entry.pong_received = self.wall(node.pong_received_ms);
            entry.epoch = self.shown_epoch(key);
            entry.connected = self.connected_to(key);
            entry.slots = node.slots.clone();
            if key == self.me {
                let open = |table: &BTreeMap<u16, NodeKey>| {
                    let ids = table.iter();
                    ids.filter_map(|(slot, key)| Some((*slot, self.id_of(Some(*key))?)))
                        .collect()
                };
                entry.migrating = open(&self.owners.migrating);
                entry.importing = open(&self.owners.importing);
            }
            entry
        });
        File {
            nodes: entries.collect(),
            current_epoch: self.current_epoch,
            last_vote_epoch: self.last_vote_epoch,
            skipped: Vec::new(),
        }
    }

    /// The name of a node that is still there.
    pub(super) fn id_of(&self, key: Option<NodeKey>) -> Option<NodeId> {
        key.and_then(|key| self.nodes.get(key)).map(|node| node.id)
    }

    /// A time of the machine's clock as milliseconds since 1970; "never" stays 0.
    pub(super) fn wall(&self, at_ms: u64) -> u64 {
        match at_ms {
            0 => 0,
            at_ms => self.facts.wall_ms.saturating_sub(self.since(at_ms)),
        }
    }

    /// The epoch of a node's claims: a replica's are its primary's.
    pub(super) fn shown_epoch(&self, key: NodeKey) -> u64 {
        let node = &self.nodes[key];
        let primary = node.primary.filter(|_| node.is_replica());
        primary
            .and_then(|primary| self.nodes.get(primary))
            .map_or(node.epoch, |primary| primary.epoch)
    }

    /// Whether a connection to a node stands; to itself it always does.
    pub(super) fn connected_to(&self, key: NodeKey) -> bool {
        let link = self.nodes[key].link.and_then(|link| self.links.get(&link));
        key == self.me || link.is_some_and(|link| link.up)
    }

    /// Takes changed options over.
    pub(super) fn configure(&mut self, options: Options) {
        let before = std::mem::replace(&mut self.options, options);
        let options = &self.options;
        let me = &mut self.nodes[self.me];
        let old = (me.port, me.tls_port, me.bus_port, me.ip, me.flags);
        (me.port, me.tls_port) = (options.port, options.tls_port);
        me.bus_port = options.bus_port;
        match (options.announce_ip, before.announce_ip) {
            (Some(ip), _) => me.ip = Some(ip),
            // Until the next PING or MEET tells it.
            (None, Some(_)) => me.ip = None,
            (None, None) => {}
        }
        me.flags.clear(Flags::NO_FAILOVER);
        if options.no_failover {
            me.flags.set(Flags::NO_FAILOVER);
        }
        me.hostname.clone_from(&options.hostname);
        me.nodename.clone_from(&options.nodename);
        let names = before.hostname != options.hostname || before.nodename != options.nodename;
        if names || old != (me.port, me.tls_port, me.bus_port, me.ip, me.flags) {
            self.keep(Keep::Soon);
        }
        self.todo.state = true;
    }

    /// Gives a slot to a node.
    #[doc(alias = "clusterAddSlot")]
    pub(super) fn bind(&mut self, slot: u16, key: NodeKey) {
        self.unbind(slot);
        self.owners.put(slot, Some(key));
        let first = self.nodes[key].slots.is_empty();
        self.nodes[key].slots.insert(slot);
        if first && self.nodes.iter().any(|(_, node)| node.is_replica()) {
            self.nodes[key].flags.set(Flags::MIGRATE_TO);
        }
    }

    /// Takes a slot from its owner.
    #[doc(alias = "clusterDelSlot")]
    pub(super) fn unbind(&mut self, slot: u16) {
        let Some(owner) = self.owners.of(slot) else {
            return;
        };
        self.owners.put(slot, None);
        self.nodes[owner].slots.remove(slot);
        self.slot_left(slot);
    }

    /// Takes all slots from a node; how many it had.
    #[doc(alias = "clusterDelNodeSlots")]
    pub(super) fn unbind_all(&mut self, key: NodeKey) -> usize {
        let slots: Vec<u16> = self.nodes[key].slots.iter().collect();
        for slot in &slots {
            self.unbind(*slot);
        }
        slots.len()
    }

    /// Marks a node to be forgotten when the step ends.
    pub(super) fn doom(&mut self, key: NodeKey) {
        if key != self.me && !self.doomed.contains(&key) {
            self.doomed.push(key);
        }
    }

    /// Forgets the nodes that are to be forgotten, and every reference to them.
    #[doc(alias = "clusterDelNode")]
    pub(super) fn bury(&mut self) {
        for gone in std::mem::take(&mut self.doomed) {
            if self.nodes.get(gone).is_none() {
                continue;
            }
            self.unbind_all(gone);
            self.owners.migrating.retain(|_, key| *key != gone);
            self.owners.importing.retain(|_, key| *key != gone);
            let node = &self.nodes[gone];
            let (primary, handshake) = (node.primary, node.in_handshake());
            for link in [node.link, node.inbound].into_iter().flatten() {
                self.close(link);
            }
            if let Some(primary) = primary {
                self.detach(gone, primary);
            }
            self.nodes.remove(gone);
            for key in self.nodes.keys() {
                let node = &mut self.nodes[key];
                node.reports.retain(|report| report.by != gone);
                if node.primary == Some(gone) {
                    node.primary = None;
                }
            }
            if self.following == Some(gone) {
                self.following = None;
            }
            if self.election.as_ref().is_some_and(|e| e.primary == gone) {
                self.election = None;
            }
            self.manual_forgets(gone);
            if !handshake {
                self.keep(Keep::Soon);
                self.todo.state = true;
            }
        }
    }

    /// Notes and tells that this node follows another.
    pub(super) fn follow(&mut self, primary: NodeKey) {
        let node = &self.nodes[primary];
        let (port, tls_port) = (node.port, node.tls_port);
        match node.ip.filter(|_| node.has_address()) {
            Some(ip) => {
                self.following = Some(primary);
                self.out.acts.push(Act::Follow { ip, port, tls_port });
            }
            None => {
                self.following = None;
                let text = format!("The address of master {} is not known yet", node.called());
                self.log(Level::Notice, text);
            }
        }
    }
}
