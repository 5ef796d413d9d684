//! Data, replication and clients: enough to count writes that were acknowledged and are gone.
//!
//! A write is a number in a slot. A primary appends it to its stream; a replica that reaches its primary copies the
//! stream after a while, or the whole data set if the streams do not fit. Clients write, follow MOVED and ASK, and note
//! what was acknowledged by whom and when.

use std::collections::BTreeMap;

use oxidis::cluster::decide::{Missing, Route, Want, WhenDown, decide};
use oxidis::cluster::slots::SlotSet;
use oxidis::util::rng::Rng;

use super::world::{Event, Host, HostId, World};

/// Slots that clients write to.
pub const KEYS: [u16; 12] = [
    0, 1, 99, 2500, 5000, 5461, 8000, 9999, 10922, 12000, 14000, 16383,
];

#[derive(Clone, Copy, Debug)]
enum Entry {
    Write(u32, u16),
    Drop(u16),
}

/// The data of a host.
#[derive(Clone, Default)]
pub struct Data {
    pub writes: BTreeMap<u32, u16>,
    pub offset: u64,
    stream: Vec<Entry>,
    base: u64,
    id: u64,
    /// The stream before a promotion, and how far it is the same.
    second: Option<(u64, u64)>,
    pub following: Option<HostId>,
    pub heard_ms: u64,
    pub down_since: Option<u64>,
    /// A full synchronisation that is under way ends then.
    full_until: Option<u64>,
}

impl Host {
    fn holds(&self, slot: u16, now: u64) -> bool {
        let held = self.held.as_ref();
        held.is_some_and(|(slots, until)| slots.has(slot) && now < *until)
    }
}

/// Offsets count bytes; an entry has so many.
const ENTRY: u64 = 10;

impl Data {
    pub fn reset(&mut self, rng: &mut Rng) {
        *self = Data {
            id: rng.next_u64(),
            offset: 1,
            base: 1,
            ..Data::default()
        };
    }

    pub fn follow(&mut self, primary: Option<HostId>) {
        if self.following != primary {
            self.following = primary;
            self.full_until = None;
            // Data that never came from this primary is of any age.
            self.down_since = Some(0);
        }
    }

    pub fn promote(&mut self, rng: &mut Rng) {
        self.second = Some((self.id, self.offset));
        self.id = rng.next_u64();
        self.following = None;
        self.down_since = None;
        self.full_until = None;
    }

    pub fn restarted(&mut self, replica: bool, rng: &mut Rng) {
        // The data set is on disk (AOF); the stream's name is not.
        if !replica {
            self.second = None;
            self.id = rng.next_u64();
        }
        self.following = None;
        self.full_until = None;
        // How old it is nobody knows: too old for an election.
        self.down_since = replica.then_some(0);
    }

    fn push(&mut self, entry: Entry) {
        self.apply(entry);
        self.stream.push(entry);
        self.offset += ENTRY;
    }

    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Write(id, slot) => {
                self.writes.insert(id, slot);
            }
            Entry::Drop(slot) => self.writes.retain(|_, of| *of != slot),
        }
    }

    pub fn drop_slots(&mut self, slots: &SlotSet) {
        let mine: Vec<u16> = self
            .writes
            .values()
            .copied()
            .filter(|s| slots.has(*s))
            .collect();
        for slot in mine {
            self.push(Entry::Drop(slot));
        }
    }

    pub fn write(&mut self, id: u32, slot: u16) {
        self.push(Entry::Write(id, slot));
    }

    pub fn has_any(&self, slots: &SlotSet) -> bool {
        self.writes.values().any(|of| slots.has(*of))
    }

    pub fn has_slot(&self, slot: u16) -> bool {
        self.writes.values().any(|of| *of == slot)
    }
}

/// A program that writes.
pub struct Client {
    /// It stands beside this host and shares its cuts.
    pub beside: HostId,
    pub table: BTreeMap<u16, HostId>,
    pub every_ms: u64,
    pub on: bool,
}

/// A write that was acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Ack {
    pub id: u32,
    pub slot: u16,
    pub by: HostId,
    pub at: u64,
}

impl World {
    pub fn add_client(&mut self, beside: HostId, every_ms: u64) {
        let index = self.clients.len();
        self.clients.push(Client {
            beside,
            table: BTreeMap::new(),
            every_ms,
            on: true,
        });
        self.after(every_ms, Event::Client(index));
    }

    pub fn client_acts(&mut self, index: usize) {
        let client = &self.clients[index];
        let (every, beside, on) = (client.every_ms, client.beside, client.on);
        self.after(every, Event::Client(index));
        if !on {
            return;
        }
        let slot = KEYS[self.rng.below(KEYS.len() as u64) as usize];
        let somebody = self.rng.below(self.hosts.len() as u64) as usize;
        let known = self.clients[index].table.get(&slot).copied();
        let mut target = known.unwrap_or(somebody);
        let mut asking = false;
        for _ in 0..5 {
            let reachable = self.is_running(target)
                && !self.is_cut(beside, target)
                && !self.is_cut(target, beside);
            if !reachable {
                self.clients[index].table.remove(&slot);
                return;
            }
            match self.request(target, slot, asking) {
                Answer::Acknowledged => {
                    self.clients[index].table.insert(slot, target);
                    return;
                }
                Answer::Moved(to) => {
                    self.clients[index].table.insert(slot, to);
                    (target, asking) = (to, false);
                }
                Answer::Ask(to) => (target, asking) = (to, true),
                Answer::Refused => {
                    self.clients[index].table.remove(&slot);
                    return;
                }
            }
        }
    }

    fn request(&mut self, id: HostId, slot: u16, asking: bool) -> Answer {
        let machine = self.machine(id);
        let want = Want {
            slot,
            several_keys: false,
            write: true,
            channels: false,
            migrate: false,
            asking,
            readonly: false,
        };
        let when_down = WhenDown {
            reads: false,
            channels: true,
        };
        // A write of a new key: while the slot leaves, it goes to the target.
        let route = decide(machine, &want, when_down, || Missing::All);
        let host_of = |key| {
            let node = machine.nodes().get(key);
            node.and_then(|node| self.host_at(node.ip?))
        };
        match route {
            Route::Here if machine.myself().is_replica() => Answer::Refused,
            Route::Here if self.now < self.hosts[id].paused_until => Answer::Refused,
            Route::Here if self.hosts[id].holds(slot, self.now) => Answer::Refused,
            Route::Here => {
                self.record.writes += 1;
                let write = self.record.writes;
                self.hosts[id].data.write(write, slot);
                self.record.acks.push(Ack {
                    id: write,
                    slot,
                    by: id,
                    at: self.now,
                });
                Answer::Acknowledged
            }
            Route::Moved(key) => host_of(key).map_or(Answer::Refused, Answer::Moved),
            Route::Ask(key) => host_of(key).map_or(Answer::Refused, Answer::Ask),
            _ => Answer::Refused,
        }
    }

    /// Every replica that reaches its primary takes what is new there.
    pub fn replicate(&mut self) {
        for id in 0..self.hosts.len() {
            let Some(primary) = self.hosts[id].data.following else {
                continue;
            };
            if self.hosts[id].machine.is_none() || primary == id {
                continue;
            }
            let reachable = self.is_running(id)
                && self.is_running(primary)
                && !self.is_cut(primary, id)
                && !self.is_cut(id, primary);
            let now = self.now;
            if !reachable {
                let data = &mut self.hosts[id].data;
                data.down_since = data.down_since.or(Some(now));
                data.full_until = None;
                continue;
            }
            if self.rng.below(4) == 0 {
                continue;
            }
            let theirs = &self.hosts[primary].data;
            let mine = &self.hosts[id].data;
            let offset = mine.offset;
            let same = mine.id == theirs.id && offset <= theirs.offset
                || theirs
                    .second
                    .is_some_and(|(old, at)| mine.id == old && offset <= at);
            let kept = offset >= theirs.base;
            if same && kept {
                let (from, new_id) = (((offset - theirs.base) / ENTRY) as usize, theirs.id);
                let news: Vec<Entry> = theirs.stream[from..].to_vec();
                let data = &mut self.hosts[id].data;
                data.id = new_id;
                for entry in news {
                    data.push(entry);
                }
                data.down_since = None;
                data.full_until = None;
                data.heard_ms = now;
                continue;
            }
            match mine.full_until {
                None => {
                    let wait = 20 + self.rng.below(150);
                    self.hosts[id].data.full_until = Some(now + wait);
                }
                Some(at) if now < at => {}
                Some(_) => {
                    let mut copy = theirs.clone();
                    copy.base = copy.offset;
                    copy.stream.clear();
                    copy.second = None;
                    copy.following = Some(primary);
                    copy.down_since = None;
                    copy.full_until = None;
                    copy.heard_ms = now;
                    self.hosts[id].data = copy;
                }
            }
        }
    }
}

enum Answer {
    Acknowledged,
    Moved(HostId),
    Ask(HostId),
    Refused,
}
