//! Building clusters, and stories of random faults.

use std::collections::BTreeSet;

use oxidis::cluster::machine::{Command, FailoverKind, Input, SlotOrder};
use oxidis::cluster::slots::SlotSet;
use oxidis::util::crc16::SLOTS;

use super::data::KEYS;
use super::world::{HostId, World};

/// How a cluster is built.
pub struct Plan {
    pub primaries: usize,
    pub replicas: usize,
    pub timeout_ms: u64,
}

impl World {
    /// A cluster that is up, every replica in step. Hosts `0..primaries` are primaries, host `primaries + i` is a replica
    /// of host `i % primaries`.
    pub fn build(&mut self, plan: &Plan) {
        let count = plan.primaries + plan.replicas;
        for id in 0..count {
            self.add_host(plan.timeout_ms);
            self.order(id, Command::SetConfigEpoch(id as i64 + 1))
                .expect("a new node");
        }
        let share = usize::from(SLOTS) / plan.primaries;
        for id in 0..plan.primaries {
            let first = (id * share) as u16;
            let last = match id + 1 == plan.primaries {
                true => SLOTS - 1,
                false => ((id + 1) * share - 1) as u16,
            };
            let range = [first..=last];
            self.order(id, Command::AddSlots(&range))
                .expect("free slots");
        }
        let ip = self.hosts[0].ip;
        for id in 1..count {
            let meet = Command::Meet {
                ip,
                port: 7000,
                bus_port: 17000,
            };
            self.order(id, meet).expect("an address");
        }
        let met = |world: &World| {
            (0..count).all(|id| {
                let nodes = world.machine(id).nodes();
                let named = nodes.iter().filter(|(_, node)| !node.in_handshake());
                named.count() == count
            })
        };
        let took = self.until(plan.timeout_ms * 10 + 20_000, met);
        took.unwrap_or_else(|| panic!("{count} nodes meet"));
        for replica in 0..plan.replicas {
            self.make_replica(plan.primaries + replica, replica % plan.primaries);
        }
        let rested = self.until(plan.timeout_ms * 10 + 20_000, |world| {
            let synced = world
                .hosts
                .iter()
                .all(|host| host.data.down_since.is_none());
            synced && world.disagreement().is_none()
        });
        if rested.is_none() {
            self.fail(&format!("a new cluster of {count} does not come to rest"));
        }
    }

    pub fn make_replica(&mut self, id: HostId, primary: HostId) {
        let name = self.machine(primary).myself().id;
        let command = Command::Replicate {
            id: name.as_bytes(),
            empty: true,
        };
        self.order(id, command).expect("an empty node");
    }

    /// Ends a test, with all that is known.
    pub fn fail(&self, text: &str) -> ! {
        panic!("{text}; {:?}", self.disagreement());
    }

    /// Mends everything and asserts what must hold at rest.
    pub fn settle(&mut self) {
        self.heal();
        for id in 0..self.hosts.len() {
            self.hosts[id].disk.delay_ms = 5;
            self.start(id);
        }
        self.note("everything is mended".to_owned());
        let timeout = self.hosts[0].options.node_timeout_ms;
        // A cut that has just ended may be noticed only now.
        self.run(timeout);
        let rested = self.until(timeout * 12 + 15_000, |world| {
            let awake = (0..world.hosts.len()).all(|id| world.is_running(id));
            let synced = world
                .hosts
                .iter()
                .all(|host| host.data.down_since.is_none());
            awake && synced && world.disagreement().is_none()
        });
        if rested.is_none() {
            self.fail("the cluster does not come to rest");
        }
        for client in &mut self.clients {
            client.on = false;
        }
        self.run(timeout);
        if let Some(text) = self.disagreement() {
            self.fail(&format!("the cluster does not stay at rest: {text}"));
        }
        self.assert_rules();
        let lost = self.lost_writes();
        if !lost.is_empty() {
            self.fail(&format!(
                "writes are lost: {:?}",
                &lost[..lost.len().min(5)]
            ));
        }
    }

    pub fn assert_rules(&self) {
        if let Some(text) = self.broken().first() {
            self.fail(&format!("a rule is broken: {text}"));
        }
    }

    /// The live node that takes a slot for its own; `None` if no node or several do.
    fn sole_owner(&self, slot: u16) -> Option<HostId> {
        let live = self.live().into_iter();
        let mut owners = live.filter(|id| self.machine(*id).myself().slots.has(slot));
        owners.next().filter(|_| owners.next().is_none())
    }

    /// Moves a slot with its keys from its owner to another primary, as redis-cli does.
    pub fn reshard(&mut self, slot: u16, to: HostId) {
        let Some(from) = self.sole_owner(slot) else {
            return;
        };
        let reach = |world: &World, id| world.is_running(id);
        if from == to || !reach(self, from) || !reach(self, to) {
            return;
        }
        let (source, target) = (self.machine(from).myself().id, self.machine(to).myself().id);
        self.note(format!("slot {slot} moves from n{from} to n{to}"));
        let order = |order| Command::SetSlot {
            slot,
            order,
            keys: 0,
        };
        let importing = order(SlotOrder::Importing(source.as_bytes()));
        let migrating = order(SlotOrder::Migrating(target.as_bytes()));
        if self.order(to, importing).is_err() || self.order(from, migrating).is_err() {
            return;
        }
        if self.is_cut(from, to) || self.is_cut(to, from) {
            return;
        }
        // MIGRATE: the keys are at the target before they are gone at the source.
        let keys: Vec<u32> = {
            let writes = self.hosts[from].data.writes.iter();
            writes
                .filter(|(_, of)| **of == slot)
                .map(|(id, _)| *id)
                .collect()
        };
        for key in keys {
            self.hosts[to].data.write(key, slot);
        }
        self.hosts[from]
            .data
            .drop_slots(&[slot].into_iter().collect());
        self.run(5);
        for id in [to, from] {
            if self.is_running(id) && !self.hosts[id].data.has_slot(slot) || id == to {
                let _ = self.order(id, order(SlotOrder::Node(target.as_bytes())));
            }
        }
        // The operator's tool closes the slot wherever it stayed open.
        for id in self.live() {
            let _ = self.order(id, order(SlotOrder::Stable));
        }
    }
}

impl World {
    /// Moves a slot with its keys from its owner to another primary as a whole (CLUSTER MIGRATION), up to the claim. The
    /// rest is in the hands of the nodes. Writes that were acknowledged are the new owner's to keep from then on.
    pub fn migrate(&mut self, slot: u16, to: HostId) {
        let Some(from) = self.sole_owner(slot) else {
            return;
        };
        let apart = self.is_cut(from, to) || self.is_cut(to, from);
        if from == to || apart || !self.is_running(from) || !self.is_running(to) {
            return;
        }
        self.note(format!("slot {slot} migrates from n{from} to n{to}"));
        let slots: SlotSet = [slot].into_iter().collect();
        if self.machine(from).in_manual_failover() {
            // That ends a migration.
            return;
        }
        // What is left of an earlier migration the other way goes first.
        self.order(to, Command::EndHandOver(&slots))
            .expect("no refusal");
        let until = self.now + 10_000;
        for id in [from, to] {
            self.hosts[id].held = Some((slots.clone(), until));
        }
        let writes = self.hosts[from].data.writes.iter();
        let keys = writes.filter(|(_, of)| **of == slot).map(|(id, _)| *id);
        for key in keys.collect::<Vec<u32>>() {
            self.hosts[to].data.write(key, slot);
        }
        let now = self.now;
        for ack in self.record.acks.iter_mut().filter(|ack| ack.slot == slot) {
            if ack.by == from {
                (ack.by, ack.at) = (to, now);
            }
        }
        let source = self.hosts[from].machine.as_mut().expect("it runs");
        source.await_claim(true);
        if self.order(to, Command::Claim(&slots)).is_err() {
            let source = self.hosts[from].machine.as_mut().expect("it runs");
            source.await_claim(false);
            self.hosts[to].held = None;
            self.hosts[to].data.drop_slots(&slots);
        }
    }
}

/// A story of random faults. Two stories of the same seed are the same, event for event.
pub fn random(seed: u64) -> u64 {
    let mut world = World::new(seed);
    let primaries = 3 + world.rng.below(3) as usize;
    let replicas = primaries + world.rng.below(3) as usize;
    let timeout_ms = 500 << world.rng.below(3);
    world.latency_ms = 1 + world.rng.below(4);
    world.build(&Plan {
        primaries,
        replicas,
        timeout_ms,
    });
    let count = world.hosts.len();
    for beside in [0, count / 2, count - 1] {
        let every_ms = 20 + world.rng.below(30);
        world.add_client(beside, every_ms);
    }
    let faults = 3 + world.rng.below(8);
    for _ in 0..faults {
        fault(&mut world, timeout_ms);
        let wait = world.rng.below(timeout_ms * 3);
        world.run(wait);
        world.assert_rules();
    }
    world.settle();
    world.steps
}

fn fault(world: &mut World, timeout_ms: u64) {
    let count = world.hosts.len() as u64;
    let any = |world: &mut World| world.rng.below(count) as usize;
    match world.rng.below(18) {
        0..=2 => {
            let id = any(world);
            let (silent, forgets) = (world.rng.below(2) == 0, world.rng.below(2) == 0);
            world.crash(id, silent, forgets);
            let back = world.rng.below(timeout_ms * 5);
            world.after(back, super::world::Event::Power(id));
        }
        3..=4 => {
            let id = any(world);
            let ms = world.rng.below(timeout_ms * 3);
            world.stop(id, ms);
        }
        5..=7 => {
            // Two sides; sometimes only one direction.
            let one_way = world.rng.below(4) == 0;
            let size = 1 + world.rng.below(count - 1);
            let side: BTreeSet<HostId> = (0..size).map(|_| any(world)).collect();
            world.note(format!("cut: {side:?} from the others, one way {one_way}"));
            for a in side.iter().copied() {
                for b in (0..count as usize).filter(|b| !side.contains(b)) {
                    world.cut(a, b);
                    if !one_way {
                        world.cut(b, a);
                    }
                }
            }
        }
        8..=9 => world.heal(),
        10 => {
            for _ in 0..3 {
                let id = any(world);
                world.break_link(id);
            }
        }
        11 => {
            let id = any(world);
            world.hosts[id].disk.delay_ms = world.rng.below(timeout_ms / 3);
            world.note(format!("n{id} has a slow disk"));
        }
        12..=13 => {
            let id = any(world);
            let kind = match world.rng.below(8) {
                0 => FailoverKind::Takeover,
                1..=2 => FailoverKind::Force,
                _ => FailoverKind::Agreed,
            };
            if !world.is_running(id) {
                return;
            }
            // An order to go on without the primary is a fault of the primary. After TAKEOVER on a side that is cut off
            // the other side's writes go when the cut heals: nobody voted.
            let lasts = match kind {
                FailoverKind::Agreed => 0,
                FailoverKind::Force => timeout_ms,
                FailoverKind::Takeover => 1_000_000,
            };
            for other in (0..count as usize).filter(|_| lasts > 0) {
                let now = world.now;
                world.record.fault(other, now, lasts);
                if kind == FailoverKind::Takeover {
                    world.record.fault(other, now + lasts, 0);
                }
            }
            world.note(format!("n{id}: failover {kind:?}"));
            let _ = world.order(id, Command::Failover(kind));
        }
        14..=16 => {
            let to = any(world);
            let as_a_whole = world.rng.below(2) == 0;
            let which = world.rng.below(KEYS.len() as u64);
            let slot = KEYS[which as usize];
            let fit = world.is_running(to) && world.machine(to).myself().votes();
            match fit && world.cuts.is_empty() {
                true if as_a_whole => world.migrate(slot, to),
                true => world.reshard(slot, to),
                false => {}
            }
        }
        _ => {
            let id = any(world);
            let hour = 3_600_000;
            world.hosts[id].skew_ms = world.rng.below(2 * hour) as i64 - hour as i64;
            if world.is_running(id) {
                world.tell(id, Input::Tick);
            }
        }
    }
}
