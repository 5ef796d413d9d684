//! The slowest single write to a large value: `cargo bench --bench collections -- [thousands of elements] [shape]`.
//!
//! Each shape is filled, then written to at random places (inserts, changes, deletions), alone and under a held
//! snapshot. The same writes are done three times over on equal values, and of each write the fastest time counts: a
//! write that is slow all three times is slow by its structure; a single slow one may be the machine's (a page fault,
//! an interrupt). The slowest of all times, before that choice, stands behind it. Thread CPU time, the clock's own
//! share included. The bar is 1 ms for a write to a million elements under a snapshot.

use std::hint::black_box;

use oxidis::collections::table::NewValue;
use oxidis::keyspace::{DbId, Keyspace, NewValue as NewKey};
use oxidis::types::stream::{StreamId, StreamLimits};
use oxidis::types::{Array, Hash, List, Set, Stream, Zset, hash, list, set, zset};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SEED: u64 = 0x5EED;
const ROUNDS: usize = 3;
/// Microseconds that one write may take under a snapshot, at most.
const BAR_US: f64 = 1000.0;

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % n as u64) as usize
    }
}

fn cpu_ns() -> u64 {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes the timespec it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// The subject of a measurement: a value, how it is filled, how it is written to.
trait Shape: Clone {
    const NAME: &'static str;
    /// Of `n` elements, numbered from 0.
    fn filled(n: usize) -> Self;
    /// Element `i` comes, or becomes another.
    fn put(&mut self, i: usize);
    /// Element `i` goes, if it is there.
    fn take(&mut self, i: usize);
}

/// The times of the same writes, round after round.
struct Times {
    best: Vec<u64>,
    slowest: u64,
}

impl Times {
    fn of(writes: usize) -> Times {
        Times {
            best: vec![u64::MAX; writes],
            slowest: 0,
        }
    }

    fn time(&mut self, write: usize, work: impl FnOnce()) {
        let start = cpu_ns();
        work();
        let took = cpu_ns() - start;
        self.best[write] = self.best[write].min(took);
        self.slowest = self.slowest.max(took);
    }
}

/// Writes to `start()`.
fn written<S: Shape>(n: usize, writes: usize, start: impl Fn() -> S) -> Times {
    let mut times = Times::of(writes);
    for _ in 0..ROUNDS {
        let mut value = start();
        let mut rng = Rng(88_172_645_463_325_252);
        for write in 0..writes {
            // One in five places is beyond what was filled.
            let (i, take) = (rng.below(n + n / 4), rng.below(4) == 0);
            times.time(write, || {
                if take {
                    value.take(i);
                } else {
                    value.put(i);
                }
            });
        }
        black_box(&value);
    }
    times
}

fn show(what: &str, times: Times) {
    let Times {
        best: mut ns,
        slowest,
    } = times;
    ns.sort_unstable();
    let at = |q: f64| ns[((ns.len() - 1) as f64 * q) as usize] as f64 / 1000.0;
    let worst = at(1.0);
    let verdict = if worst < BAR_US {
        ""
    } else {
        "  ABOVE THE BAR"
    };
    println!(
        "{what:<38} p50 {:>5.1}, p99.9 {:>5.1}, p99.99 {:>5.1}, worst {worst:>6.1} us (of all {:.1}){verdict}",
        at(0.5),
        at(0.999),
        at(0.9999),
        slowest as f64 / 1000.0
    );
}

/// The growth from nothing, the writes alone, the writes under a snapshot.
fn measure<S: Shape>(n: usize, only: Option<&str>) {
    if only.is_some_and(|only| only != S::NAME) {
        return;
    }
    let writes = 200_000;
    let name = S::NAME;
    let mut grown = Times::of(n);
    for _ in 0..ROUNDS {
        let mut value = S::filled(0);
        (0..n).for_each(|i| grown.time(i, || value.put(i)));
    }
    show(&format!("{name}, growing"), grown);
    show(
        &format!("{name}, alone"),
        written(n, writes, || S::filled(n)),
    );
    let held = S::filled(n);
    let under = written(n, writes, || held.clone());
    show(&format!("{name}, under a snapshot"), under);
}

fn text(i: usize) -> [u8; 16] {
    let mut text = *b"element:00000000";
    let (mut at, mut rest) = (16, i);
    while rest > 0 {
        at -= 1;
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    text
}

fn hash_limits() -> hash::Limits {
    hash::Limits {
        entries: 512,
        value: 64,
        seed: SEED,
    }
}

#[derive(Clone)]
struct Fields(Hash);

impl Shape for Fields {
    const NAME: &'static str = "hash";
    fn filled(n: usize) -> Self {
        let mut this = Fields(Hash::new());
        (0..n).for_each(|i| this.put(i));
        this
    }
    fn put(&mut self, i: usize) {
        let value = text(i / 7);
        self.0
            .set(&text(i), NewValue::Bytes(&value), false, &hash_limits());
    }
    fn take(&mut self, i: usize) {
        self.0.remove(&text(i));
    }
}

/// Every field dies some time.
#[derive(Clone)]
struct Mortal(Hash);

impl Shape for Mortal {
    const NAME: &'static str = "hash-with-deadlines";
    fn filled(n: usize) -> Self {
        let mut this = Mortal(Hash::new());
        (0..n).for_each(|i| this.put(i));
        this
    }
    fn put(&mut self, i: usize) {
        self.0.allow_deadlines();
        self.0
            .set(&text(i), NewValue::Int(i as i64), false, &hash_limits());
        let ms = 1_700_000_000_000 + (i as i64 * 7919) % 100_000_000;
        self.0.set_deadline(&text(i), Some(ms));
    }
    fn take(&mut self, i: usize) {
        self.0.remove(&text(i));
    }
}

fn set_limits(intset_entries: usize) -> set::SetLimits {
    set::SetLimits {
        intset_entries,
        listpack_entries: 128,
        listpack_value: 64,
        seed: SEED,
    }
}

#[derive(Clone)]
struct Members(Set);

impl Shape for Members {
    const NAME: &'static str = "set";
    fn filled(n: usize) -> Self {
        let mut this = Members(Set::packed());
        (0..n).for_each(|i| this.put(i));
        this
    }
    fn put(&mut self, i: usize) {
        self.0.add(&text(i), set_limits(512));
    }
    fn take(&mut self, i: usize) {
        self.0.remove(&text(i));
    }
}

#[derive(Clone)]
struct Numbers(Set);

impl Shape for Numbers {
    const NAME: &'static str = "set-of-numbers";
    fn filled(n: usize) -> Self {
        let mut this = Numbers(Set::intset());
        (0..n).for_each(|i| this.put(i));
        this
    }
    fn put(&mut self, i: usize) {
        self.0.add(i.to_string().as_bytes(), set_limits(512));
    }
    fn take(&mut self, i: usize) {
        self.0.remove(i.to_string().as_bytes());
    }
}

#[derive(Clone)]
struct Scores(Zset);

const ZSET: zset::Limits = zset::Limits {
    entries: 128,
    value: 64,
    seed: SEED,
};

impl Shape for Scores {
    const NAME: &'static str = "zset";
    fn filled(n: usize) -> Self {
        let mut this = Scores(Zset::new(0, 0, ZSET));
        (0..n).for_each(|i| this.put(i));
        this
    }
    fn put(&mut self, i: usize) {
        // Another score each time, so that what is there moves.
        let score = (self.0.len() * 31 + i * 7919) % 1_000_003;
        let _ = self
            .0
            .add(&text(i), score as f64, zset::Conditions::default(), ZSET);
    }
    fn take(&mut self, i: usize) {
        self.0.remove(&text(i));
    }
}

#[derive(Clone)]
struct Queue(List);

impl Queue {
    fn push(&mut self, end: list::End, i: usize) {
        let limits = list::ListLimits::default();
        self.0.grow_for(16, 1, limits);
        self.0.push(end, &text(i), limits);
    }
}

impl Shape for Queue {
    const NAME: &'static str = "list";
    fn filled(n: usize) -> Self {
        let mut this = Queue(List::new());
        (0..n).for_each(|i| this.push(list::End::Tail, i));
        this
    }
    fn put(&mut self, i: usize) {
        let limits = list::ListLimits::default();
        match i % 4 {
            0 => self.push(list::End::Head, i),
            1 => self.push(list::End::Tail, i),
            2 => {
                self.0.grow_for(16, 1, limits);
                self.0.insert(i.min(self.0.len()), &text(i), limits);
            }
            _ => {
                self.0.grow_for(20, 0, limits);
                self.0.replace(i, b"another element here", limits);
            }
        }
    }
    fn take(&mut self, i: usize) {
        let limits = list::ListLimits::default();
        match i % 3 {
            0 => drop(self.0.pop(list::End::Head, limits, |_| ())),
            1 => drop(self.0.pop(list::End::Tail, limits, |_| ())),
            _ => self.0.remove_range(i, i + 1, limits),
        }
    }
}

/// Entries come at the end and go anywhere.
#[derive(Clone)]
struct Log(Stream);

impl Shape for Log {
    const NAME: &'static str = "stream";
    fn filled(n: usize) -> Self {
        let mut this = Log(Stream::new());
        (0..n).for_each(|i| this.put(i));
        this
    }
    fn put(&mut self, i: usize) {
        let id = StreamId::new(self.0.last_id().ms + 1, 0);
        let value = text(i);
        let words: [&[u8]; 4] = [b"field", &value, b"other", b"value"];
        let limits = StreamLimits::default();
        self.0
            .append(id, words.into_iter(), 2, limits)
            .expect("a short entry");
    }
    fn take(&mut self, i: usize) {
        self.0.delete(StreamId::new(i as u64 + 1, 0));
    }
}

#[derive(Clone)]
struct Slots(Array);

impl Shape for Slots {
    const NAME: &'static str = "array";
    fn filled(n: usize) -> Self {
        let mut this = Slots(Array::new());
        (0..n).for_each(|i| this.put(i));
        this
    }
    fn put(&mut self, i: usize) {
        self.0.set(i as u64, &text(i));
    }
    fn take(&mut self, i: usize) {
        self.0.remove(i as u64);
    }
}

/// Indexes all over the place: a block for each element.
#[derive(Clone)]
struct SparseSlots(Array);

impl Shape for SparseSlots {
    const NAME: &'static str = "array-of-holes";
    fn filled(n: usize) -> Self {
        let mut this = SparseSlots(Array::new());
        (0..n).for_each(|i| this.put(i));
        this
    }
    fn put(&mut self, i: usize) {
        self.0.set(
            (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 1,
            &text(i),
        );
    }
    fn take(&mut self, i: usize) {
        self.0
            .remove((i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 1);
    }
}

/// Not a collection, so without a bar: a string is copied whole before the first write.
fn string(bytes: usize) {
    let db = DbId(0);
    let mut worst = [u64::MAX; 2];
    for _ in 0..ROUNDS {
        let mut keyspace = Keyspace::new(1, false, SEED, 1);
        keyspace[db].set(b"bits", NewKey::Bytes(&vec![b'x'; bytes]), None);
        let write = |keyspace: &mut Keyspace, i: usize| {
            let start = cpu_ns();
            let string = keyspace[db].string_mut(b"bits").expect("a string");
            let mut string = string.expect("it is there");
            string.bytes_mut(bytes).expect("as long as it was")[i] ^= 1;
            cpu_ns() - start
        };
        let alone = (0..1000)
            .map(|i| write(&mut keyspace, i * 71 % bytes))
            .max();
        let snapshot = keyspace.snapshot();
        let under = (0..1000)
            .map(|i| write(&mut keyspace, i * 71 % bytes))
            .max();
        drop(snapshot);
        for (worst, this) in worst.iter_mut().zip([alone, under]) {
            *worst = (*worst).min(this.unwrap_or(0));
        }
    }
    println!(
        "string of {bytes} bytes, one changed: worst {:.1} us alone, {:.1} us under a snapshot",
        worst[0] as f64 / 1000.0,
        worst[1] as f64 / 1000.0
    );
}

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    let thousands = args.iter().find_map(|arg| arg.parse::<usize>().ok());
    let only = args.iter().find(|arg| arg.parse::<usize>().is_err());
    let only = only.map(String::as_str);
    let n = thousands.unwrap_or(1000) * 1000;
    println!("-- {n} elements");
    measure::<Fields>(n, only);
    measure::<Mortal>(n, only);
    measure::<Members>(n, only);
    measure::<Numbers>(n, only);
    measure::<Scores>(n, only);
    measure::<Queue>(n, only);
    measure::<Log>(n, only);
    measure::<Slots>(n, only);
    measure::<SparseSlots>(n, only);
    if only.is_none_or(|only| only == "string") {
        string(n / 8);
        string(n);
        string(n * 16);
    }
}
