//! How well eviction chooses: the hit rate of a cache with room for half of the data, against real Redis.
//!
//! ```text
//!   cargo bench --bench eviction -- [--keys 100000] [--requests 2000000] [--rate 60000] [--skew 0.99] [--redis PATH]
//!
//!   one trace of Zipf-distributed keys ─┬─► oxidis-server   maxmemory = half of what all keys take there
//!                                       └─► redis-server    the same, of its own measure
//!   GET key ─► a miss? SET key value                        hits are counted in the second half
//! ```
//!
//! Both run at once, each at the same steady rate: access clocks count seconds and minutes, so a server that is asked
//! faster would be judged by coarser clocks. How popular a key is has nothing to do with its name or its age. Half
//! way, `shift` makes another tenth of the keys the popular ones: how soon does the old fame fade?

// A benchmark measures real time on the real machine.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "../tests/it/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use more of it")]
mod support;

use std::time::{Duration, Instant};
use std::{env, process, thread};

use getopts::Options;

use support::random::Random;
use support::{Client, Reply, Server};

const POLICIES: &[&str] = &["allkeys-lru", "allkeys-lfu", "allkeys-random"];
const VALUE: usize = 128;
/// Requests sent at once.
const BATCH: usize = 20;

#[derive(Clone, Copy)]
struct Load {
    keys: usize,
    requests: usize,
    /// Per second.
    rate: f64,
    skew: f64,
    /// Whether the popular keys change half way through the first half.
    shift: bool,
}

/// Ranks with probability proportional to `1 / rank ^ skew`, and which key has which rank.
struct Zipf {
    cumulative: Vec<f64>,
    key_of: Vec<usize>,
}

impl Zipf {
    fn new(load: Load, random: &mut Random) -> Zipf {
        let mut sum = 0.0;
        let weights = (1..=load.keys).map(|rank| {
            sum += 1.0 / (rank as f64).powf(load.skew);
            sum
        });
        let cumulative = weights.collect();
        let mut key_of: Vec<usize> = (0..load.keys).collect();
        random.shuffle(&mut key_of);
        Zipf { cumulative, key_of }
    }

    fn next(&self, random: &mut Random) -> usize {
        let total = self.cumulative.last().expect("there are keys");
        let at = random.next() as f64 / u64::MAX as f64 * total;
        self.key_of[self
            .cumulative
            .partition_point(|sum| *sum < at)
            .min(self.key_of.len() - 1)]
    }
}

fn key(i: usize) -> String {
    format!("key:{i:012}")
}

fn figure(client: &mut Client, section: &str, name: &str) -> u64 {
    let info = client.cmd(&format!("INFO {section}")).text();
    let value = info
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value
        .and_then(|value| value.trim().parse().ok())
        .expect("INFO has the figure")
}

fn request(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend(support::client::encode(words));
}

/// The hit rate of the second half, in percent, and the keys evicted.
fn hit_rate(server: &Server, policy: &str, load: Load) -> (f64, u64) {
    let mut client = server.client();
    let value = vec![b'v'; VALUE];
    client.cmd("FLUSHALL").ok();
    client.cmd("CONFIG SET maxmemory 0").ok();
    client
        .cmd(&format!("CONFIG SET maxmemory-policy {policy}"))
        .ok();
    let empty = figure(&mut client, "memory", "used_memory");
    let mut fill = Vec::new();
    for i in 0..load.keys {
        request(&mut fill, &[b"SET", key(i).as_bytes(), &value]);
        if i % 100 == 99 || i + 1 == load.keys {
            client.send(&fill).expect("it listens");
            fill.clear();
            for _ in 0..=i % 100 {
                client.read().expect("it answers");
            }
        }
    }
    let full = figure(&mut client, "memory", "used_memory");
    client.cmd("FLUSHALL").ok();
    client
        .cmd(&format!(
            "CONFIG SET maxmemory {}",
            empty + (full - empty) / 2
        ))
        .ok();
    client.cmd("CONFIG RESETSTAT").ok();

    let mut random = Random::new(42);
    let mut zipf = Zipf::new(load, &mut random);
    let (mut hits, mut asked) = (0u64, 0u64);
    let start = Instant::now();
    let mut done = 0;
    while done < load.requests {
        if load.shift && done == load.requests / 4 / BATCH * BATCH {
            zipf.key_of.rotate_left(load.keys / 10);
        }
        let keys: Vec<String> = (0..BATCH).map(|_| key(zipf.next(&mut random))).collect();
        let mut bytes = Vec::new();
        for key in &keys {
            request(&mut bytes, &[b"GET", key.as_bytes()]);
        }
        client.send(&bytes).expect("it listens");
        bytes.clear();
        let mut missed = 0;
        for key in &keys {
            let hit = matches!(client.read().expect("it answers"), Reply::Bulk(_));
            if !hit {
                missed += 1;
                request(&mut bytes, &[b"SET", key.as_bytes(), &value]);
            }
            if done >= load.requests / 2 {
                asked += 1;
                hits += u64::from(hit);
            }
        }
        client.send(&bytes).expect("it listens");
        for _ in 0..missed {
            client.read().expect("it answers").ok();
        }
        done += BATCH;
        let due = Duration::from_secs_f64(done as f64 / load.rate);
        thread::sleep(due.saturating_sub(start.elapsed()));
    }
    let evicted = figure(&mut client, "stats", "evicted_keys");
    (hits as f64 * 100.0 / asked.max(1) as f64, evicted)
}

fn main() {
    let mut options = Options::new();
    options.optopt("", "keys", "keys in all", "N");
    options.optopt("", "requests", "requests per policy", "N");
    options.optopt("", "rate", "requests per second", "N");
    options.optopt("", "skew", "exponent of the distribution", "X");
    options.optopt("", "redis", "the redis-server to compare with", "PATH");
    options.optopt("", "only", "policies, separated by commas", "NAMES");
    options.optflag("", "bench", "what cargo adds");
    let matches = options.parse(env::args().skip(1)).unwrap_or_else(|error| {
        eprintln!("{error}");
        process::exit(2)
    });
    let number = |name: &str, default: f64| match matches.opt_get_default(name, default) {
        Ok(number) if number > 0.0 => number,
        _ => {
            eprintln!("--{name} wants a number above 0");
            process::exit(2)
        }
    };
    let load = Load {
        keys: number("keys", 100_000.0) as usize,
        requests: number("requests", 2_000_000.0) as usize,
        rate: number("rate", 60_000.0),
        skew: number("skew", 0.99),
        shift: false,
    };
    let redis = match matches.opt_str("redis") {
        Some(path) => Some(Server::program(path)),
        None => Server::redis(),
    };
    let args = ["--save", "", "--appendonly", "no"];
    let servers: Vec<Server> = [Some(Server::oxidis()), redis]
        .into_iter()
        .flatten()
        .map(|server| server.args(args).start())
        .collect();
    println!(
        "{} keys of {VALUE} bytes, {} requests at {}/s, skew {}; hit rate in percent, keys evicted",
        load.keys, load.requests, load.rate, load.skew
    );
    println!(
        "{:<24} {:>8} {:>8} {:>8}   evicted",
        "", "oxidis", "redis", "diff"
    );
    let only = matches.opt_str("only");
    let wanted = |policy: &&&str| {
        only.as_ref()
            .is_none_or(|only| only.split(',').any(|p| p == **policy))
    };
    for policy in POLICIES.iter().filter(wanted) {
        for shift in [false, true] {
            let load = Load { shift, ..load };
            let rates: Vec<(f64, u64)> = thread::scope(|scope| {
                let runs: Vec<_> = servers
                    .iter()
                    .map(|server| scope.spawn(move || hit_rate(server, policy, load)))
                    .collect();
                runs.into_iter()
                    .map(|run| run.join().expect("a run ends"))
                    .collect()
            });
            let name = format!("{policy}{}", if shift { ", shift" } else { "" });
            let (ours, evicted) = rates[0];
            match rates.get(1) {
                Some((theirs, also)) => println!(
                    "{name:<24} {ours:>8.2} {theirs:>8.2} {:>+8.2}   {evicted} {also}",
                    ours - theirs
                ),
                None => println!("{name:<24} {ours:>8.2} {:>8} {:>8}   {evicted}", "-", "-"),
            }
        }
    }
}
