//! Hot keys: which keys take the most processor time, and which move the most bytes, for HOTKEYS.
//!
//! A session adds the cost of each command to the keys it names. No server can keep a counter per key, so each metric
//! has a fixed number of counters, for the keys that seem heaviest:
//!
//! ```text
//!   a key with a counter      its counter grows
//!   a new key, no room        takes over the smallest counter, its value included, and remembers that as error
//!   TOP                       by what is certain: counter - error
//! ```
//!
//! Invariant: a key whose true share is more than one counter's even share of the total has a counter, and its true
//! weight lies between `counter - error` and `counter`.
//!
//! Mirrors: hotkeys.c and chk.c of Redis 8.6.
//! Differs: the structure is Space-Saving (Metwally, Agrawal and El Abbadi, 2005), whose bound holds for every
//! stream, instead of a cuckoo heavy keeper, whose counters decay by chance. Weights are kept in nanoseconds, so that
//! commands of less than a microsecond count.

use std::collections::{BTreeSet, HashMap};

use crate::keyspace::Ms;
use crate::sys::process::CpuTime;

/// Counters for each key that HOTKEYS GET shows.
const COUNTERS_PER_KEY: usize = 10;
/// Keys with longer names are left out: 640 counters must not hold gigabytes.
const NAME_MAX: usize = 64 * 1024;

#[derive(Clone, Copy, Debug)]
struct Counter {
    weight: u64,
    error: u64,
    /// Among equals, which came first: makes the order total.
    serial: u64,
}

/// The heaviest of a stream of weighted names.
#[derive(Debug)]
pub struct Heaviest {
    room: usize,
    counters: HashMap<Box<[u8]>, Counter>,
    /// By weight, for the smallest.
    order: BTreeSet<(u64, u64, Box<[u8]>)>,
    next_serial: u64,
    /// Of all names.
    pub total: u64,
}

impl Heaviest {
    /// Counters for so many names.
    pub fn new(room: usize) -> Self {
        Heaviest {
            room,
            counters: HashMap::new(),
            order: BTreeSet::new(),
            next_serial: 0,
            total: 0,
        }
    }

    /// A name weighs so much more. O(log counters).
    pub fn add(&mut self, name: &[u8], weight: u64) {
        self.total += weight;
        if weight == 0 || name.len() > NAME_MAX {
            return;
        }
        if let Some(counter) = self.counters.get_mut(name) {
            let entry = (counter.weight, counter.serial, Box::from(name));
            self.order.remove(&entry);
            counter.weight += weight;
            self.order.insert((counter.weight, entry.1, entry.2));
            return;
        }
        let mut error = 0;
        if self.counters.len() == self.room
            && let Some((weight, _, smallest)) = self.order.pop_first()
        {
            self.counters.remove(&smallest);
            error = weight;
        }
        let serial = self.next_serial;
        self.next_serial += 1;
        let counter = Counter {
            weight: error + weight,
            error,
            serial,
        };
        self.order.insert((counter.weight, serial, name.into()));
        self.counters.insert(name.into(), counter);
    }

    /// The heaviest, with the weight that is certain, heaviest first.
    pub fn top(&self, n: usize) -> Vec<(&[u8], u64)> {
        let mut all: Vec<(&[u8], u64, u64)> = self
            .counters
            .iter()
            .map(|(name, counter)| (&**name, counter.weight - counter.error, counter.serial))
            .collect();
        all.sort_unstable_by_key(|(_, weight, serial)| (std::cmp::Reverse(*weight), *serial));
        all.truncate(n);
        all.into_iter()
            .map(|(name, weight, _)| (name, weight))
            .collect()
    }

    fn memory(&self) -> usize {
        let names: usize = self.counters.keys().map(|name| 2 * name.len()).sum();
        names + self.counters.len() * (size_of::<Counter>() + 4 * size_of::<Box<[u8]>>())
    }
}

/// The options of a session (HOTKEYS START).
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Processor time, bytes.
    pub cpu: bool,
    /// Bytes to and from clients.
    pub net: bool,
    /// Keys to tell.
    pub count: usize,
    /// Milliseconds after which it ends by itself.
    pub duration_ms: Option<Ms>,
    /// One of so many commands is looked at.
    pub ratio: u32,
    /// Only keys of these slots: ranges, both ends included, in order.
    pub slots: Option<Vec<(u16, u16)>>,
}

/// The cost of a command: nanoseconds, bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Time.
    pub ns: u64,
    /// Bytes of the request and the reply.
    pub bytes: u64,
}

impl Cost {
    fn add(&mut self, other: Cost) {
        self.ns += other.ns;
        self.bytes += other.bytes;
    }

    fn share(self, keys: usize) -> Cost {
        Cost {
            ns: self.ns / keys as u64,
            bytes: self.bytes / keys as u64,
        }
    }
}

/// A session: under way, or ended and still to be asked.
#[derive(Debug)]
pub struct Session {
    /// Its options.
    pub wanted: Wanted,
    /// Since when, unix time.
    pub started_ms: Ms,
    /// When it ended.
    pub ended_ms: Option<Ms>,
    /// The process's time when it began.
    pub cpu_at_start: CpuTime,
    /// By processor time, in nanoseconds.
    pub by_cpu: Option<Heaviest>,
    /// By bytes.
    pub by_net: Option<Heaviest>,
    /// Of all commands with keys.
    pub all: Cost,
    /// Of those, in the chosen slots.
    pub selected: Cost,
    /// Of those, looked at.
    pub sampled: Cost,
}

impl Session {
    /// Begins.
    #[doc(alias = "hotkeyStatsCreate")]
    pub fn new(wanted: Wanted, now: Ms, cpu: CpuTime) -> Self {
        let counters = || Heaviest::new(wanted.count * COUNTERS_PER_KEY);
        Session {
            by_cpu: wanted.cpu.then(counters),
            by_net: wanted.net.then(counters),
            wanted,
            started_ms: now,
            ended_ms: None,
            cpu_at_start: cpu,
            all: Cost::default(),
            selected: Cost::default(),
            sampled: Cost::default(),
        }
    }

    /// Whether it is under way; a session whose time is over ends here.
    pub fn is_active(&mut self, now: Ms) -> bool {
        if self.ended_ms.is_none()
            && let Some(duration) = self.wanted.duration_ms
            && now - self.started_ms >= duration
        {
            self.ended_ms = Some(self.started_ms + duration);
        }
        self.ended_ms.is_none()
    }

    /// A command is done. `slot` is its keys'; `chance` a random number.
    #[doc(alias = "hotkeyStatsUpdateCurrentCmd")]
    pub fn note(&mut self, keys: &[&[u8]], slot: u16, cost: Cost, chance: u64) {
        if keys.is_empty() {
            return;
        }
        self.all.add(cost);
        let in_slot =
            |slots: &Vec<(u16, u16)>| slots.iter().any(|(a, z)| (*a..=*z).contains(&slot));
        if !self.wanted.slots.as_ref().is_none_or(in_slot) {
            return;
        }
        self.selected.add(cost);
        if !chance.is_multiple_of(u64::from(self.wanted.ratio.max(1))) {
            return;
        }
        self.sampled.add(cost);
        let share = cost.share(keys.len());
        for key in keys {
            if let Some(heaviest) = &mut self.by_cpu {
                heaviest.add(key, share.ns);
            }
            if let Some(heaviest) = &mut self.by_net {
                heaviest.add(key, share.bytes);
            }
        }
    }

    /// Bytes it takes.
    pub fn memory(&self) -> usize {
        let of = |heaviest: &Option<Heaviest>| heaviest.as_ref().map_or(0, Heaviest::memory);
        size_of::<Session>() + of(&self.by_cpu) + of(&self.by_net)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::rng::Rng;

    #[test]
    fn heavy_names_are_found_among_many() {
        let (mut heaviest, mut rng) = (Heaviest::new(50), Rng::new(7));
        let mut truth: HashMap<Vec<u8>, u64> = HashMap::new();
        for _ in 0..100_000 {
            let name = match rng.below(10) {
                0..5 => format!("hot{}", rng.below(5)),
                _ => format!("cold{}", rng.below(20_000)),
            };
            let weight = 1 + rng.below(3);
            *truth.entry(name.clone().into_bytes()).or_default() += weight;
            heaviest.add(name.as_bytes(), weight);
        }
        assert_eq!(heaviest.total, truth.values().sum::<u64>());
        let top = heaviest.top(5);
        for (name, weight) in &top {
            assert!(name.starts_with(b"hot"), "{}", name.escape_ascii());
            assert!(*weight <= truth[*name], "no more than is certain");
        }
        for (name, counter) in &heaviest.counters {
            let real = truth[&**name];
            assert!((counter.weight - counter.error..=counter.weight).contains(&real));
        }
        assert_eq!((heaviest.counters.len(), heaviest.order.len()), (50, 50));
    }

    #[test]
    fn a_session_ends_by_itself_and_shares_costs() {
        let wanted = Wanted {
            cpu: true,
            net: true,
            count: 3,
            duration_ms: Some(100),
            ratio: 1,
            slots: Some(vec![(5, 7)]),
        };
        let mut session = Session::new(wanted, 1000, CpuTime::default());
        let cost = Cost { ns: 10, bytes: 8 };
        session.note(&[b"a", b"b"], 6, cost, 3);
        session.note(&[b"c"], 9, cost, 3);
        session.note(&[], 6, cost, 3);
        assert_eq!((session.all.ns, session.selected.ns), (20, 10));
        let net = session.by_net.as_ref().unwrap().top(9);
        assert_eq!(net, [(&b"a"[..], 4), (b"b", 4)]);
        assert!(session.is_active(1099) && !session.is_active(1100));
        assert_eq!(session.ended_ms, Some(1100));
    }
}
