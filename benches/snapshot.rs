//! Oxidis and real Redis while they save: what a client notices, what it takes, how long it lasts, and loading it again.
//!
//! ```text
//!   cargo bench --bench snapshot -- [--keys 5000000] [--value 100] [--writes 20000] [--idle 10] [--rounds 3] …
//!
//!   writer    random SETs at a fixed rate, pipelined      all the while
//!   prober    one GET after another, each timed           without a save; during BGSAVE; beside a stranger
//!   watcher   resident memory of the server and its child, a few times a second
//! ```
//!
//! Each server is its own measure: the worst GET during the save is compared with its worst without one, in each round,
//! and the median over the rounds counts. Growth of memory is what the server and its child have together beyond what
//! the server had before: resident memory of the one, and what is not shared of the other (Redis says itself how much
//! it copied). Figures come from /proc, so this is for Linux.
//!
//! A save keeps a processor busy, and on a machine with few, or with a host that shares them out, that alone delays
//! whoever else wants one. So there is a third time: nobody saves, and a stranger of low priority counts for as long
//! as the save took. Only a delay of GETs beyond the stranger's is the server's doing.

// A benchmark measures real time on the real machine.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "../tests/it/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use more of it")]
mod support;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use getopts::Options;
use oxidis::sys::process;
use support::client::encode;
use support::random::Random;
use support::server::until;
use support::{Client, Reply, Server};

/// SETs sent at once while filling, and while writing.
const FILL_DEPTH: u64 = 500;
const WRITE_DEPTH: u64 = 20;
const WATCH_EVERY: Duration = Duration::from_millis(100);
/// A save or load of millions of keys on a slow machine.
const PATIENCE: Duration = Duration::from_secs(600);

struct Plan {
    keys: u64,
    value: usize,
    writes: u64,
    idle: Duration,
    rounds: u64,
}

/// A client's observations in a stretch of time.
#[derive(Clone, Default)]
struct Noticed {
    gets: usize,
    worst_us: u64,
    /// One in a thousand took longer.
    high_us: u64,
    seconds: f64,
    writes: u64,
}

/// A client's observations in each stretch of a round.
struct Round {
    idle: Noticed,
    saving: Noticed,
    beside: Noticed,
}

struct Measured {
    name: &'static str,
    rounds: Vec<Round>,
    snapshot_us: u64,
    before_kb: u64,
    grown_kb: u64,
    load_seconds: f64,
}

fn main() {
    let mut options = Options::new();
    options.optopt("", "keys", "how many (default: 5000000)", "N");
    options.optopt("", "value", "bytes of each value (default: 100)", "N");
    options.optopt("", "writes", "random SETs a second (default: 20000)", "N");
    options.optopt(
        "",
        "idle",
        "seconds measured without a save (default: 10)",
        "N",
    );
    options.optopt("", "rounds", "of all of it (default: 3)", "N");
    options.optopt(
        "",
        "oxidis",
        "our server (default: the one just built)",
        "PATH",
    );
    options.optopt(
        "",
        "redis",
        "Redis's server (default: redis-server in PATH)",
        "PATH",
    );
    options.optflag("", "bench", "");
    let given = match options.parse(std::env::args().skip(1)) {
        Ok(given) => given,
        Err(error) => return eprintln!("{}", options.usage(&error.to_string())),
    };
    let number = |name: &str, default: u64| -> u64 {
        given
            .opt_str(name)
            .map_or(default, |n| n.parse().expect("a number"))
    };
    let plan = Plan {
        keys: number("keys", 5_000_000),
        value: number("value", 100) as usize,
        writes: number("writes", 20_000),
        idle: Duration::from_secs(number("idle", 10)),
        rounds: number("rounds", 3).max(1),
    };
    let oxidis = match given.opt_str("oxidis") {
        Some(path) => Server::program(PathBuf::from(path)),
        None => Server::oxidis(),
    };
    let redis = match given.opt_str("redis") {
        Some(path) => Some(Server::program(PathBuf::from(path))),
        None => Server::redis(),
    };
    let ours = measure("Oxidis", oxidis, &plan);
    show_whole(&ours);
    let Some(redis) = redis else {
        return println!("no redis-server in PATH to compare with");
    };
    let theirs = measure("Redis", redis, &plan);
    show_whole(&theirs);
    compare(&ours, &theirs);
}

fn measure(name: &'static str, program: support::server::Builder, plan: &Plan) -> Measured {
    let mut server = program.start();
    let mut client = server.client();
    fill(&mut client, plan);
    let before_kb = resident_kb(server.pid());

    let peak_kb = AtomicU64::new(before_kb);
    let rounds = (0..plan.rounds).map(|_| {
        let idle = notice(&server, plan, |_, passed| passed < plan.idle);
        let mut started = false;
        let saving = notice(&server, plan, |control, _| {
            if !started {
                control.cmd("BGSAVE");
                started = true;
            }
            let now = resident_kb(server.pid());
            peak_kb.fetch_max(now, Relaxed);
            std::thread::sleep(WATCH_EVERY);
            info(control, "persistence", "rdb_bgsave_in_progress") == 1
        });
        let as_long = Duration::from_secs_f64(saving.seconds);
        let beside = beside_stranger(|| notice(&server, plan, |_, passed| passed < as_long));
        let round = Round {
            idle,
            saving,
            beside,
        };
        show(name, &round);
        round
    });
    let rounds = rounds.collect();
    let snapshot_us = info(&mut client, "stats", "latest_fork_usec");
    let own_kb = peak_kb.into_inner().saturating_sub(before_kb);
    // A child is another process: what it alone still has is what its parent copied.
    let copied_kb = match name {
        "Redis" => info(&mut client, "persistence", "rdb_last_cow_size") / 1024,
        _ => 0,
    };

    client.cmd("SAVE").ok();
    drop(client);
    server.restart();
    let mut client = server.client();
    let loaded = until(PATIENCE, || {
        (client.cmd("PING") == Reply::Status(b"PONG".to_vec())).then_some(())
    });
    loaded.expect("what was saved is loaded");
    Measured {
        name,
        rounds,
        snapshot_us,
        before_kb,
        grown_kb: own_kb + copied_kb,
        load_seconds: load_seconds(&server.log()),
    }
}

fn key(number: u64) -> String {
    format!("key:{number:012}")
}

fn fill(client: &mut Client, plan: &Plan) {
    let value = vec![b'v'; plan.value];
    let mut random = Random::new(1);
    let mut next = 0;
    while next < plan.keys {
        let depth = FILL_DEPTH.min(plan.keys - next);
        let mut batch = Vec::new();
        for number in next..next + depth {
            // Unlike each other, so that nothing compresses away.
            let mut value = value.clone();
            let start = random.bytes(plan.value.min(32));
            value[..start.len()].copy_from_slice(&start);
            batch.extend(encode(&[b"SET", key(number).as_bytes(), &value[..]]));
        }
        client.send(&batch).expect("it reads");
        (0..depth).for_each(|_| drop(client.read().expect("it answers")));
        next += depth;
    }
}

/// Observes while `goes_on` says so, as a client with a connection of its own.
fn notice(
    server: &Server,
    plan: &Plan,
    mut goes_on: impl FnMut(&mut Client, Duration) -> bool,
) -> Noticed {
    let (over, writes) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut control = server.client();
    let started = Instant::now();
    let mut taken: Vec<u32> = std::thread::scope(|scope| {
        scope.spawn(|| write(server.port(), plan, &over, &writes));
        let prober = scope.spawn(|| probe(server.port(), plan, &over));
        while goes_on(&mut control, started.elapsed()) {
            std::thread::sleep(Duration::from_millis(1));
        }
        over.store(true, Relaxed);
        prober.join().expect("it does not panic")
    });
    let seconds = started.elapsed().as_secs_f64();
    taken.sort_unstable();
    let at = |share: f64| {
        let at = (taken.len() as f64 * share) as usize;
        u64::from(taken.get(at).copied().unwrap_or(0))
    };
    Noticed {
        gets: taken.len(),
        worst_us: u64::from(taken.last().copied().unwrap_or(0)),
        high_us: at(0.999),
        seconds,
        writes: writes.into_inner(),
    }
}

fn write(port: u16, plan: &Plan, over: &AtomicBool, writes: &AtomicU64) {
    let mut client = Client::tcp(port).expect("it listens");
    let mut random = Random::new(2);
    let started = Instant::now();
    let mut sent = 0;
    while !over.load(Relaxed) {
        let due = (started.elapsed().as_secs_f64() * plan.writes as f64) as u64;
        if sent >= due {
            std::thread::sleep(Duration::from_micros(200));
            continue;
        }
        let mut batch = Vec::new();
        for _ in 0..WRITE_DEPTH {
            let value = random.bytes(plan.value);
            let key = key(random.next() % plan.keys);
            batch.extend(encode(&[b"SET", key.as_bytes(), &value[..]]));
        }
        client.send(&batch).expect("it reads");
        (0..WRITE_DEPTH).for_each(|_| drop(client.read().expect("it answers")));
        sent += WRITE_DEPTH;
    }
    writes.store(sent, Relaxed);
}

/// Microseconds each GET took.
fn probe(port: u16, plan: &Plan, over: &AtomicBool) -> Vec<u32> {
    let mut client = Client::tcp(port).expect("it listens");
    let mut random = Random::new(3);
    let mut taken = Vec::new();
    while !over.load(Relaxed) {
        let key = key(random.next() % plan.keys);
        let asked = Instant::now();
        client.call(&[b"GET", key.as_bytes()]);
        taken.push(asked.elapsed().as_micros() as u32);
    }
    taken
}

/// Does it while a thread of low priority wants a processor all the time.
fn beside_stranger<T>(work: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            process::stand_back();
            while !over.load(Relaxed) {
                std::hint::spin_loop();
            }
        });
        let done = work();
        over.store(true, Relaxed);
        done
    })
}

fn info(client: &mut Client, section: &str, field: &str) -> u64 {
    let text = client.cmd(&format!("INFO {section}")).text();
    let prefix = format!("{field}:");
    let found = text.lines().find_map(|line| line.strip_prefix(&prefix));
    found
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

fn resident_kb(pid: u32) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0u64) * 4
}

/// The seconds that the log gives for the last load.
fn load_seconds(log: &str) -> f64 {
    let said = log.lines().rev().find_map(|line| {
        let (_, rest) = line.split_once("DB loaded from disk: ")?;
        rest.split(' ').next()?.parse().ok()
    });
    said.unwrap_or(f64::NAN)
}

fn show(name: &str, round: &Round) {
    let row = |what: &str, told: &Noticed| {
        println!(
            "{name:7} {what:7} GET worst {:8.2} ms, 99.9th {:7.2} ms; {:7.0} GET/s, {:6.0} SET/s; {:5.1} s",
            told.worst_us as f64 / 1000.0,
            told.high_us as f64 / 1000.0,
            told.gets as f64 / told.seconds,
            told.writes as f64 / told.seconds,
            told.seconds,
        );
    };
    row("idle", &round.idle);
    row("saving", &round.saving);
    row("beside", &round.beside);
}

fn show_whole(measured: &Measured) {
    println!(
        "{:7} snapshot {:.3} ms; memory {} MB, grown by {} MB ({:.1} %); loading {:.2} s\n",
        measured.name,
        measured.snapshot_us as f64 / 1000.0,
        measured.before_kb / 1024,
        measured.grown_kb / 1024,
        measured.grown_kb as f64 / measured.before_kb as f64 * 100.0,
        measured.load_seconds,
    );
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn compare(ours: &Measured, theirs: &Measured) {
    let over =
        |measured: &Measured, figure: fn(&Round) -> f64| median(measured.rounds.iter().map(figure));
    let to_idle = |round: &Round| round.saving.worst_us as f64 / round.idle.worst_us as f64;
    let to_beside = |round: &Round| round.saving.worst_us as f64 / round.beside.worst_us as f64;
    let seconds = |round: &Round| round.saving.seconds;
    println!(
        "taking the snapshot    {:.3} ms (bar 0.1), Redis {:.1} ms",
        ours.snapshot_us as f64 / 1000.0,
        theirs.snapshot_us as f64 / 1000.0
    );
    println!(
        "worst GET while saving {:.2} of its idle worst (bar 1.5), Redis {:.2}",
        over(ours, to_idle),
        over(theirs, to_idle)
    );
    println!(
        "                       {:.2} of its worst beside a stranger, Redis {:.2}",
        over(ours, to_beside),
        over(theirs, to_beside)
    );
    println!(
        "growth of memory       {:.2} of Redis's (bar 0.25)",
        ours.grown_kb as f64 / theirs.grown_kb as f64
    );
    println!(
        "time of the save       {:.2} of Redis's (bar 1.2)",
        over(ours, seconds) / over(theirs, seconds)
    );
    println!(
        "time of loading        {:.2} of Redis's (bar 0.7)",
        ours.load_seconds / theirs.load_seconds
    );
}
