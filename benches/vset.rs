//! Vector sets, most of it without a server: `cargo bench --bench vset -- [elements] [dimension]`, by default 100000 of 100.
//!
//! Vectors are made of clusters: a direction of 24 numbers by chance for each of 400, a little noise for each vector, and a
//! fixed map to the dimension asked for. Recall is counted against an exact search over the vectors as they came. Thread
//! CPU time; for the best of two rounds. With a file name as the third argument, vectors and queries are written there, as
//! little-endian floats, for other libraries to be measured with (`benches/ann.py`).
//!
//! With int8 vectors, it also shows deletion of all elements and their return, twice; the cost of an addition and of the
//! snapshot itself while a snapshot is held; the cost of a filter for each element; and, in turns with searches of the
//! library, what the same searches cost a server, asked with VSIM by many clients who send eight at a time.

// A benchmark measures real time on the real machine.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use oxidis::Server;
use oxidis::types::Vset;
use oxidis::types::vset::{DEFAULT_M, Filter, Quant, Query, Shape};
use oxidis::util::rng::Rng;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CLUSTERS: usize = 400;
const INTRINSIC: usize = 24;
const QUERIES: usize = 1000;
const NEAREST: usize = 10;

/// CPU time of this thread.
fn cpu_s() -> f64 {
    cpu_of(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn cpu_of(clock: libc::clockid_t) -> f64 {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes the timespec it is given.
    unsafe { libc::clock_gettime(clock, &mut t) };
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
        let names: usize = (0..elements).map(|n| n.to_string().len()).sum();
        let over = bytes - quant.bytes(dim) as f64 - names as f64 / elements as f64;
        println!(
            "{:5} {added:7.0} added/s, {bytes:.0} bytes each, {over:.0} over name and vector",
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
        if quant == Quant::Q8 {
            through_a_server(&set, &vectors, &queries);
            under_a_snapshot(&mut set, &mut source);
            filtered(&mut set, &asked);
            churn(&mut set, &vectors);
            let found: Vec<_> = asked.iter().map(|query| slots(&set, query)).collect();
            println!("      then recall {:.4}", recall(&found));
        }
    }
}

/// Searches of the library and through a server, in turns.
fn through_a_server(set: &Vset, vectors: &[Vec<f32>], queries: &[Vec<f32>]) {
    const CLIENTS: usize = 50;
    const PIPELINED: usize = 8;
    const ROUNDS: usize = 15;
    let server = Server::builder().start().expect("a server");
    let floats = |vector: &[f32]| -> Vec<u8> {
        let words = vector.iter().flat_map(|x| x.to_le_bytes());
        words.collect()
    };
    for (n, vector) in vectors.iter().enumerate() {
        let (name, vector) = (n.to_string(), floats(vector));
        server.execute([b"VADD", &b"v"[..], b"FP32", &vector, name.as_bytes()]);
    }
    let asked: Vec<Query> = queries
        .iter()
        .map(|query| set.query(query.clone()))
        .collect();
    let requests: Vec<Vec<u8>> = queries
        .iter()
        .map(|query| {
            let query = floats(query);
            let mut request = format!(
                "*7\r\n$4\r\nVSIM\r\n$1\r\nv\r\n$4\r\nFP32\r\n${}\r\n",
                query.len()
            )
            .into_bytes();
            request.extend(&query);
            request.extend(b"\r\n$2\r\nEF\r\n$3\r\n100\r\n$8\r\nNOTHREAD\r\n");
            request
        })
        .collect();
    let address = server.address().expect("it listens");
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|_| BufReader::new(TcpStream::connect(address).expect("a connection")))
        .collect();
    let mut taken = [vec![], vec![]];
    for _ in 0..ROUNDS {
        let start = cpu_s();
        for query in &asked {
            slots(set, query);
        }
        taken[0].push((cpu_s() - start) / asked.len() as f64);
        // What this process used beside this thread, the server used.
        let others = || cpu_of(libc::CLOCK_PROCESS_CPUTIME_ID) - cpu_s();
        let start = others();
        let mut line = vec![];
        for batch in requests.chunks(CLIENTS * PIPELINED) {
            let parts = || batch.chunks(PIPELINED);
            for (client, part) in clients.iter_mut().zip(parts()) {
                client.get_mut().write_all(&part.concat()).expect("room");
            }
            for (client, part) in clients.iter_mut().zip(parts()) {
                // An array of names: a line for itself, and two for each.
                for _ in 0..part.len() * (1 + 2 * NEAREST) {
                    line.clear();
                    client.read_until(b'\n', &mut line).expect("a reply");
                }
            }
        }
        taken[1].push((others() - start) / requests.len() as f64);
    }
    let [library, served] = taken.map(|mut seconds| {
        seconds.sort_by(f64::total_cmp);
        1.0 / seconds[ROUNDS / 2]
    });
    println!(
        "      through a server: {served:.0} searches/s, {library:.0} in the library: {:.2} of it (medians)",
        served / library
    );
    server.shutdown();
}

/// Additions one by one, alone and while a snapshot is held, in turns.
fn under_a_snapshot(set: &mut Vset, source: &mut Source) {
    const ROUNDS: usize = 4;
    const ADDED: usize = 500;
    let mut taken = [vec![], vec![]];
    let mut snapshots = vec![];
    for round in 0..ROUNDS {
        for (held, taken) in taken.iter_mut().enumerate() {
            let snapshot = (held == 1).then(|| {
                let start = cpu_s();
                let snapshot = set.clone();
                snapshots.push(cpu_s() - start);
                snapshot
            });
            for n in 0..ADDED {
                let (name, vector) = (format!("new {round} {held} {n}"), source.next());
                let start = cpu_s();
                set.add(name.as_bytes(), vector, 200, None);
                taken.push(cpu_s() - start);
            }
            drop(snapshot);
        }
    }
    let us = |times: &mut Vec<f64>, of_100: usize| {
        times.sort_by(f64::total_cmp);
        times[times.len() * of_100 / 100] * 1e6
    };
    let [alone, held] = &mut taken;
    for (what, part) in [("p50", 50), ("p99", 99)] {
        let (alone, held) = (us(alone, part), us(held, part));
        println!(
            "      an addition, {what}: {alone:.0} us alone, {held:.0} us with a snapshot, {:.2} times",
            held / alone
        );
    }
    let slowest = snapshots.iter().fold(0f64, |a, b| a.max(*b));
    println!("      a snapshot: {:.1} us at most", slowest * 1e6);
    for round in 0..ROUNDS {
        for n in (0..2 * ADDED).map(|n| (n / ADDED, n % ADDED)) {
            set.remove(format!("new {round} {} {}", n.0, n.1).as_bytes());
        }
    }
}

/// Exact searches with and without a filter, which is asked about nearly every element.
fn filtered(set: &mut Vset, asked: &[Query]) {
    for n in 0..set.len() {
        let genre = ["action", "drama", "x", "comedy"][n % 4];
        let text = format!(
            r#"{{"title": "number {n}", "year": {}, "genre": "{genre}"}}"#,
            1950 + n % 80
        );
        set.set_attribute(n.to_string().as_bytes(), Some(text.as_bytes()));
    }
    let mut seconds = [f64::MAX; 2];
    for _ in 0..3 {
        for (filter, best) in [None, Some(r#".year > 1980 and .genre == "x""#)]
            .iter()
            .zip(&mut seconds)
        {
            let start = cpu_s();
            for query in &asked[..20] {
                let mut query = query.clone();
                // As many as there are, so that no element is passed over for its distance.
                (query.exact, query.count) = (true, set.len());
                query.filter_ef = u64::MAX;
                query.filter =
                    filter.map(|text| Filter::compile(text.as_bytes()).expect("a filter"));
                set.search(&query, None);
            }
            *best = best.min(cpu_s() - start);
        }
    }
    let all = (20 * set.len()) as f64;
    let [without, with] = seconds.map(|s| s / all * 1e9);
    println!("      an exact search: {without:.0} ns an element, {with:.0} ns with a filter");
    let filter = Filter::compile(br#".year > 1980 and .genre == "x""#).expect("a filter");
    let texts: Vec<Vec<u8>> = (0..set.len())
        .filter_map(|n| Some(set.attribute(n.to_string().as_bytes())??.to_vec()))
        .collect();
    let start = cpu_s();
    let matched = texts.iter().filter(|text| filter.matches(text)).count();
    let each = (cpu_s() - start) / texts.len() as f64 * 1e9;
    println!("      a filter alone: {each:.0} ns, {matched} matched");
}

/// Everything deleted and added again, twice.
fn churn(set: &mut Vset, vectors: &[Vec<f32>]) {
    for round in 0..2 {
        let elements = vectors.len();
        let (mut removing, mut adding) = (0.0, 0.0);
        // In tenths, so that the set is never small.
        for tenth in 0..10 {
            let part = elements * tenth / 10..elements * (tenth + 1) / 10;
            let start = cpu_s();
            for n in part.clone() {
                set.remove(n.to_string().as_bytes());
            }
            let removed = cpu_s();
            for n in part {
                set.add(n.to_string().as_bytes(), vectors[n].clone(), 200, None);
            }
            removing += removed - start;
            adding += cpu_s() - removed;
        }
        let rate = |seconds: f64| elements as f64 / seconds;
        println!(
            "      round {round}: {:.0} removed/s, {:.0} added/s",
            rate(removing),
            rate(adding)
        );
    }
}
