//! Vector sets without a server: `cargo bench --bench vset -- [elements] [dimension]`, by default 100000 of 100.
//!
//! Vectors are made of clusters: a direction of 24 numbers by chance for each of 400, a little noise for each vector, and a
//! fixed map to the dimension asked for. Recall is counted against an exact search over the vectors as they came. Thread
//! CPU time; for the best of two rounds. With a file name as the third argument, vectors and queries are written there, as
//! little-endian floats, for other libraries to be measured with.

// A benchmark measures real time on the real machine.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::io::Write as _;

use oxidis::types::Vset;
use oxidis::types::vset::{DEFAULT_M, Quant, Query, Shape};
use oxidis::util::rng::Rng;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CLUSTERS: usize = 400;
const INTRINSIC: usize = 24;
const QUERIES: usize = 1000;
const NEAREST: usize = 10;

fn cpu_s() -> f64 {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes the timespec it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) };
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}

/// About normal: the sum of four even ones.
fn normal(rng: &mut Rng) -> f32 {
    let sum: f64 = (0..4).map(|_| rng.unit()).sum();
    ((sum - 2.0) * 3f64.sqrt()) as f32
}

struct Source {
    centres: Vec<Vec<f32>>,
    map: Vec<Vec<f32>>,
    rng: Rng,
}

impl Source {
    fn new(dim: usize) -> Source {
        let mut rng = Rng::new(0x5EED);
        let mut rows = |n: usize, m: usize| -> Vec<Vec<f32>> {
            let row = |rng: &mut Rng| (0..m).map(|_| normal(rng)).collect();
            (0..n).map(|_| row(&mut rng)).collect()
        };
        Source {
            centres: rows(CLUSTERS, INTRINSIC),
            map: rows(dim, INTRINSIC),
            rng,
        }
    }

    /// A vector of length 1.
    fn next(&mut self) -> Vec<f32> {
        let rng = &mut self.rng;
        let centre = &self.centres[rng.below(CLUSTERS as u64) as usize];
        let inner: Vec<f32> = centre.iter().map(|x| x + 0.5 * normal(rng)).collect();
        let product = |row: &Vec<f32>| row.iter().zip(&inner).map(|(a, b)| a * b).sum::<f32>();
        let mut vector: Vec<f32> = self.map.iter().map(product).collect();
        for x in &mut vector {
            *x += 0.2 * normal(rng);
        }
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|x| *x /= length);
        vector
    }
}

fn write(path: &str, vectors: &[Vec<f32>]) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).expect("a file"));
    for x in vectors.iter().flatten() {
        file.write_all(&x.to_le_bytes()).expect("room");
    }
}

fn slots(set: &Vset, query: &Query) -> Vec<Vec<u8>> {
    let found = set.search(query, None);
    found
        .iter()
        .map(|near| set.name(near.slot).to_vec())
        .collect()
}

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let number = |at: usize, default: usize| {
        args.get(at)
            .map_or(default, |arg| arg.parse().expect("a number"))
    };
    let (elements, dim) = (number(0, 100_000), number(1, 100));
    let mut source = Source::new(dim);
    let vectors: Vec<_> = (0..elements).map(|_| source.next()).collect();
    let queries: Vec<_> = (0..QUERIES).map(|_| source.next()).collect();
    if let Some(path) = args.get(2) {
        write(path, &vectors);
        write(&format!("{path}.queries"), &queries);
    }
    let mut truth: Vec<Vec<Vec<u8>>> = vec![];
    for quant in [Quant::F32, Quant::Q8, Quant::Bin] {
        let shape = Shape {
            quant,
            dim: dim as u32,
            m: DEFAULT_M,
        };
        let mut set = Vset::new(shape, None, 1);
        let start = cpu_s();
        for (n, vector) in vectors.iter().enumerate() {
            set.add(n.to_string().as_bytes(), vector.clone(), 200, None);
        }
        let added = elements as f64 / (cpu_s() - start);
        let bytes = set.allocated_bytes(0) as f64 / elements as f64;
        println!(
            "{:5} {added:7.0} added/s, {bytes:.0} bytes each",
            quant.name()
        );
        let asked: Vec<Query> = queries
            .iter()
            .map(|query| set.query(query.clone()))
            .collect();
        let exact: Vec<_> = asked
            .iter()
            .map(|query| {
                let mut query = query.clone();
                query.exact = true;
                slots(&set, &query)
            })
            .collect();
        if quant == Quant::F32 {
            truth = exact.clone();
        }
        let recall = |found: &[Vec<Vec<u8>>]| {
            let hits = found
                .iter()
                .zip(&truth)
                .map(|(found, truth)| truth.iter().filter(|name| found.contains(name)).count());
            hits.sum::<usize>() as f64 / (NEAREST * QUERIES) as f64
        };
        println!("      exact: recall {:.4}", recall(&exact));
        for ef in [10, 20, 50, 100, 200, 400] {
            let mut best = f64::MAX;
            let mut found = vec![];
            for _ in 0..2 {
                let start = cpu_s();
                found = asked
                    .iter()
                    .map(|query| {
                        let mut query = query.clone();
                        query.ef = ef;
                        slots(&set, &query)
                    })
                    .collect();
                best = best.min(cpu_s() - start);
            }
            let rate = QUERIES as f64 / best;
            println!(
                "      ef {ef:3}: recall {:.4}, {rate:.0} searches/s",
                recall(&found)
            );
        }
        if quant != Quant::Q8 {
            continue;
        }
        let churn = elements / 5;
        let snapshot = set.clone();
        let start = cpu_s();
        for n in 0..churn {
            set.remove(n.to_string().as_bytes());
        }
        let removed = churn as f64 / (cpu_s() - start);
        let start = cpu_s();
        for (n, vector) in vectors.iter().enumerate().take(churn) {
            set.add(n.to_string().as_bytes(), vector.clone(), 200, None);
        }
        let again = churn as f64 / (cpu_s() - start);
        let found: Vec<_> = asked.iter().map(|query| slots(&set, query)).collect();
        println!(
            "      under a snapshot: {removed:.0} removed/s, {again:.0} added/s, then recall {:.4}",
            recall(&found)
        );
        drop(snapshot);
    }
}
