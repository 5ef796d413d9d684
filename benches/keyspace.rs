//! The cost of a key: `cargo bench --bench keyspace -- [millions of keys]`.
//!
//! Bytes per key as the allocator hands them out, nanoseconds per operation, the worst insert while growing from
//! nothing (thread CPU time, so that what else the machine does stays out), and what a snapshot costs at its start
//! and to the writes under it. Numbers vary with the machine; read them as ratios.

// A benchmark measures real time on the real machine.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::alloc::{GlobalAlloc, Layout};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use oxidis::collections::shared::good_size;
use oxidis::keyspace::{DbId, Keyspace, NewValue};

/// mimalloc, counting the bytes of the size classes it hands out.
struct Counting(mimalloc::MiMalloc);

static USED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to mimalloc as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        USED.fetch_add(good_size(layout.size()), Ordering::Relaxed);
        unsafe { self.0.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        USED.fetch_add(good_size(layout.size()), Ordering::Relaxed);
        unsafe { self.0.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        USED.fetch_sub(good_size(layout.size()), Ordering::Relaxed);
        unsafe { self.0.dealloc(ptr, layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        USED.fetch_add(good_size(size), Ordering::Relaxed);
        USED.fetch_sub(good_size(layout.size()), Ordering::Relaxed);
        unsafe { self.0.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting(mimalloc::MiMalloc);

const DB: DbId = DbId(0);

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

/// Our hash for the standard library's table.
#[derive(Default, Clone)]
struct Keyed(u64);

impl Hasher for Keyed {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = oxidis::collections::table::hash(0x5EED, bytes);
    }
    fn write_usize(&mut self, _: usize) {}
    fn finish(&self) -> u64 {
        self.0
    }
}

impl BuildHasher for Keyed {
    type Hasher = Keyed;
    fn build_hasher(&self) -> Keyed {
        Keyed(0)
    }
}

/// Sixteen bytes.
fn key(i: usize) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    let (mut at, mut rest) = (16, i);
    while rest > 0 {
        at -= 1;
        key[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

fn resident_kb() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmRSS"));
    line.and_then(|l| l.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}

fn per_op(what: &str, n: usize, work: impl FnOnce()) {
    let start = cpu_ns();
    work();
    println!(
        "{what:<44} {:>9.1} ns",
        (cpu_ns() - start) as f64 / n as f64
    );
}

fn quantiles(what: &str, mut ns: Vec<u32>) {
    ns.sort_unstable();
    let at = |q: f64| ns[((ns.len() - 1) as f64 * q) as usize];
    println!(
        "{what:<44} p50 {} ns, p99 {} ns, p99.9 {} ns, p99.99 {} ns, worst {} us",
        at(0.5),
        at(0.99),
        at(0.999),
        at(0.9999),
        at(1.0) / 1000
    );
}

fn fill(n: usize, value: &[u8]) -> Keyspace {
    let mut ks = Keyspace::new(1, false, 0x5EED, 1);
    for i in 0..n {
        ks[DB].set(&key(i), NewValue::Bytes(value), None);
    }
    ks
}

fn main() {
    let millions = std::env::args()
        .skip(1)
        .find_map(|a| a.parse::<f64>().ok())
        .unwrap_or(1.0);
    let n = (millions * 1e6) as usize;
    println!("-- {n} keys of 16 bytes");
    for len in [3, 32, 100] {
        let (before, rss) = (USED.load(Ordering::Relaxed), resident_kb());
        let value = vec![b'v'; len];
        let start = Instant::now();
        let ks = fill(n, &value);
        let load = start.elapsed().as_nanos() as f64 / n as f64;
        let bytes = (USED.load(Ordering::Relaxed) - before) as f64 / n as f64;
        let table = ks[DB].mem().table_bytes as f64 / n as f64;
        let rss = (resident_kb() - rss) as f64 * 1024.0 / n as f64;
        println!(
            "values of {len:>3} B: {bytes:.1} B/key ({table:.1} of it table, {rss:.1} resident), insert {load:.0} ns"
        );
        drop(ks);
    }

    // The same growth three times over: what is slow in each of them is the table's doing, the rest is the machine's.
    let mut took = vec![u32::MAX; n];
    let mut ks = Keyspace::new(1, false, 0x5EED, 1);
    for _ in 0..3 {
        ks = Keyspace::new(1, false, 0x5EED, 1);
        for (i, took) in took.iter_mut().enumerate() {
            let start = cpu_ns();
            ks[DB].set(&key(i), NewValue::Bytes(&[b'v'; 32]), None);
            *took = (*took).min((cpu_ns() - start) as u32);
        }
    }
    quantiles("insert while growing, CPU with clock", took);
    println!("{:?}", ks[DB].table_stats());

    let ops = 2_000_000;
    let mut rng = Rng(88_172_645_463_325_252);
    let picks: Vec<usize> = (0..ops).map(|_| rng.below(n)).collect();
    let db = &mut ks[DB];
    per_op("get, one at a time", ops, || {
        // Each key depends on the last answer, so that lookups do not overlap.
        let mut carry = 0;
        for &i in &picks {
            carry = db.get(&key(i ^ carry)).map_or(0, |e| e.key().len() & 1);
        }
        black_box(carry);
    });
    per_op("set, one at a time", ops, || {
        let mut carry = 0;
        for &i in &picks {
            carry = usize::from(
                db.set(&key(i ^ carry), NewValue::Bytes(&[b'w'; 32]), None)
                    .is_some(),
            );
        }
        black_box(carry);
    });
    per_op("miss", ops, || {
        for &i in &picks {
            black_box(db.get(&key(i + n)).is_some());
        }
    });
    for batch in [4, 16] {
        per_op(&format!("get, prefetched by {batch}"), ops, || {
            for picks in picks.chunks(batch) {
                let hashes: Vec<_> = picks.iter().map(|&i| db.hash(&key(i))).collect();
                db.prefetch(&hashes);
                for &i in picks {
                    black_box(db.get(&key(i)).is_some());
                }
            }
        });
    }
    per_op("set, prefetched by 16", ops, || {
        for picks in picks.chunks(16) {
            let hashes: Vec<_> = picks.iter().map(|&i| db.hash(&key(i))).collect();
            db.prefetch(&hashes);
            for &i in picks {
                db.set(&key(i), NewValue::Bytes(&[b'x'; 32]), None);
            }
        }
    });
    for count in [10, 100, 1000] {
        per_op(&format!("scan, COUNT {count}, per key"), n.min(ops), || {
            let (mut cursor, mut seen) = (0, 0);
            while seen < n.min(ops) {
                cursor = db.scan(cursor, count, &mut |_| seen += 1);
            }
        });
    }
    per_op("random key", 200_000, || {
        for _ in 0..200_000 {
            black_box(
                db.random(&mut || (rng.below(1 << 32) << 32 | rng.below(1 << 32)) as u64)
                    .is_some(),
            );
        }
    });
    per_op("iterate, per key", n, || {
        black_box(db.iter().map(|e| e.key().len()).sum::<usize>());
    });

    {
        let mut map: HashMap<Box<[u8]>, Box<[u8]>, Keyed> = HashMap::default();
        for i in 0..n {
            map.insert(key(i).into(), Box::new([b'v'; 32]));
        }
        per_op("for comparison: std HashMap, get", ops, || {
            let mut carry = 0;
            for &i in &picks {
                carry = map.get(&key(i ^ carry)[..]).map_or(0, |v| v.len() & 1);
            }
            black_box(carry);
        });
        per_op("for comparison: std HashMap, miss", ops, || {
            for &i in &picks {
                black_box(map.contains_key(&key(i + n)[..]));
            }
        });
    }

    let mut base = Vec::with_capacity(ops);
    for &i in &picks {
        let start = Instant::now();
        ks[DB].set(&key(i), NewValue::Bytes(&[b'y'; 32]), None);
        base.push(start.elapsed().as_nanos() as u32);
    }
    quantiles("set, no snapshot, with clock", base);

    for round in 0..3 {
        let start = Instant::now();
        let snapshot = ks.snapshot();
        let began = start.elapsed();
        let start = Instant::now();
        ks[DB].set(&key(round), NewValue::Bytes(&[b'z'; 32]), None);
        println!(
            "snapshot: taken in {:?}, first write {:?}",
            began,
            start.elapsed()
        );
        let used = USED.load(Ordering::Relaxed);
        let reader = std::thread::spawn(move || {
            let start = Instant::now();
            let bytes: usize = snapshot
                .iter_db(DB)
                .map(|e| e.key().len() + e.string().map_or(0, |s| s.len()))
                .sum();
            let read = start.elapsed();
            drop(snapshot);
            (bytes, read, start.elapsed())
        });
        let mut under = Vec::with_capacity(ops);
        let copied = ks.snapshot_cost();
        let (mut peak, start) = (used, Instant::now());
        for &i in &picks {
            let start = Instant::now();
            ks[DB].set(&key(i), NewValue::Bytes(&[b'0' + round as u8; 32]), None);
            under.push(start.elapsed().as_nanos() as u32);
            if ks.env().live_snapshots() == 0 {
                break;
            }
            peak = peak.max(USED.load(Ordering::Relaxed));
        }
        let (writes, took) = (under.len(), start.elapsed());
        let (bytes, read, freed) = reader.join().expect("the reader reads");
        quantiles("set under the snapshot, with clock", under);
        println!(
            "  reader: {} MB in {read:?}, freed after {freed:?}; {writes} writes in {took:?} meanwhile, {} MB of nodes \
             copied, memory +{:.1} %",
            bytes >> 20,
            (ks.snapshot_cost() - copied) >> 20,
            (peak - used) as f64 * 100.0 / used as f64
        );
    }

    per_op("remove", n, || {
        for i in 0..n {
            black_box(ks[DB].remove(&key(i)).is_some());
        }
    });
}
