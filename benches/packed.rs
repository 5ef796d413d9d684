//! The cost of the packed encodings and the B+tree, in nanoseconds per operation: `cargo bench --bench packed`.
//! Figures quoted in module headers come from here. Numbers vary with the machine; read them as ratios.

// A benchmark measures real time on the real machine.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::hint::black_box;
use std::time::Instant;

use oxidis::collections::btree::{OrderedMap, RankTree, ScoreBound};
use oxidis::collections::intset::Intset;
use oxidis::collections::listpack::Listpack;
use oxidis::collections::shared::Blob;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

fn timed<R>(what: &str, n: usize, work: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let result = black_box(work());
    let ns = start.elapsed().as_nanos() as f64 / n as f64;
    println!("{what:<56} {ns:>9.1} ns");
    result
}

fn sorted_set(n: usize) {
    let mut rng = Rng(88_172_645_463_325_252);
    let member = |i: usize| Blob::from_slice(format!("member:{i:010}").as_bytes());
    let members: Vec<(f64, Blob)> = (0..n)
        .map(|i| ((rng.next() >> 20) as f64, member(i)))
        .collect();
    println!("-- sorted set order, {n} members");
    let mut tree = RankTree::new();
    timed("insert, random", n, || {
        for (score, member) in &members {
            tree.insert(*score, member.clone());
        }
    });
    let bytes = tree.allocated_bytes() as f64 / n as f64;
    println!("{:<56} {bytes:>9.1} bytes", "nodes, per member");
    let probes = 200_000;
    let mut pick = || &members[(rng.next() % n as u64) as usize];
    timed("rank", probes, || {
        (0..probes)
            .map(|_| {
                let (score, member) = pick();
                tree.rank(*score, member)
            })
            .sum::<u64>()
    });
    timed("by rank", probes, || {
        (0..probes)
            .map(|i| tree.get((i * 7919 % n) as u64).map_or(0.0, |r| r.score))
            .sum::<f64>()
    });
    timed("range of 100 by rank, reading members", 20_000, || {
        let mut sum = 0;
        for i in 0..20_000 {
            let from = (i * 104_729 % n) as u64;
            for ranked in tree.range(from..from + 100) {
                sum += ranked.member.as_ref().len();
            }
        }
        sum
    });
    timed("range of 100 by rank, backwards", 20_000, || {
        let mut sum = 0;
        for i in 0..20_000 {
            let from = (i * 104_729 % n) as u64;
            for ranked in tree.range_rev(from..from + 100) {
                sum += ranked.member.as_ref().len();
            }
        }
        sum
    });
    timed("ranks of a range of scores", probes, || {
        (0..probes)
            .map(|_| {
                let (score, _) = pick();
                let bound = |score, exclusive| ScoreBound { score, exclusive };
                tree.score_range(bound(*score, false), bound(*score + 1e9, true))
                    .end
            })
            .sum::<u64>()
    });
    timed("walk all", n, || tree.iter().map(|r| r.score).sum::<f64>());
    let mut moved = members.clone();
    timed("new score", probes, || {
        for i in 0..probes {
            let (score, member) = &mut moved[i * 31 % n];
            let new = (i * 2_654_435_761 % (1 << 44)) as f64;
            assert!(tree.rescore(*score, member, new));
            *score = new;
        }
    });
    let snapshot = timed("snapshot", 1, || tree.clone());
    timed("new score, beside a snapshot", 20_000, || {
        for i in 0..20_000 {
            let (score, member) = &mut moved[i * 7879 % n];
            let new = (i * 2_654_435_761 % (1 << 43)) as f64;
            assert!(tree.rescore(*score, member, new));
            *score = new;
        }
    });
    drop(snapshot);
    timed("remove, random", n / 2, || {
        for (score, member) in &moved[..n / 2] {
            assert!(tree.remove(*score, member).is_some());
        }
    });
    let rest = tree.len() as usize;
    timed("remove a range of all but 2000", rest - 2000, || {
        tree.remove_range(1000..rest as u64 - 1000, drop);
    });
    let mut tree = RankTree::new();
    timed("insert, ascending", n, || {
        for (i, (_, member)) in members.iter().enumerate() {
            tree.insert(i as f64, member.clone());
        }
    });
    let bytes = tree.allocated_bytes() as f64 / n as f64;
    println!("{:<56} {bytes:>9.1} bytes", "nodes, per member");
}

fn ordered_map(n: usize) {
    println!("-- ordered map, {n} entries");
    let mut rng = Rng(42);
    let value = Blob::from_slice(b"block");
    let mut map: OrderedMap<u128, Blob> = OrderedMap::new();
    timed("insert, ascending", n, || {
        for i in 0..n {
            map.insert((i as u128) << 64, value.clone());
        }
    });
    timed("floor, random", n, || {
        let mut found = 0;
        for _ in 0..n {
            let key = (u128::from(rng.next() % n as u64) << 64) + 5;
            found += usize::from(map.floor(&key).is_some());
        }
        found
    });
}

fn packed() {
    println!("-- listpack");
    let fields: Vec<Vec<u8>> = (0..128)
        .map(|i| format!("field:{i}").into_bytes())
        .collect();
    let pairs = fields.iter().flat_map(|f| [f, f]);
    let hash = Listpack::from_entries(pairs);
    timed("find the last of 128 fields", 100_000, || {
        (0..100_000)
            .filter(|_| black_box(&hash).find(&fields[127], 1).is_some())
            .count()
    });
    timed("walk 256 entries", 100_000, || {
        (0..100_000)
            .map(|_| black_box(&hash).iter().count())
            .sum::<usize>()
    });
    timed("read 256 entries", 100_000, || {
        let mut sum = 0;
        for _ in 0..100_000 {
            for entry in black_box(&hash) {
                sum += entry.as_int().unwrap_or(1);
            }
        }
        sum
    });
    let mut block = Listpack::new();
    timed("push_back 10 bytes, to 8 KB", 1_000_000, || {
        for _ in 0..1_000_000 {
            block.push_back(b"0123456789");
            if block.byte_len() > 8192 {
                block = Listpack::new();
            }
        }
    });
    timed("push_front 10 bytes, to 8 KB", 1_000_000, || {
        for _ in 0..1_000_000 {
            block.push_front(b"0123456789");
            if block.byte_len() > 8192 {
                block = Listpack::new();
            }
        }
    });
    println!("-- intset");
    let mut rng = Rng(7);
    timed("insert, 512 random", 512 * 100, || {
        for _ in 0..100 {
            let mut set = Intset::new();
            for _ in 0..512 {
                set.insert((rng.next() >> 40) as i64);
            }
            black_box(set);
        }
    });
}

fn main() {
    packed();
    ordered_map(100_000);
    sorted_set(10_000);
    sorted_set(1_000_000);
}
