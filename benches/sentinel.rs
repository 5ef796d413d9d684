//! Sentinels of Oxidis and of real Redis side by side: how soon a failover is over, and what watching costs.
//!
//! ```text
//!   cargo bench --bench sentinel -- [--runs 5] [--groups 1,100] [--seconds 20]
//!
//!   failover   3 sentinels, quorum 2, down-after 1000 ms, kill -9 of the primary: until a replica says that it is a
//!              primary, until the first sentinel tells the new address, until all three do
//!   at rest    one sentinel, so many groups of a primary with two replicas: processor time and resident memory
//! ```
//!
//! Both kinds watch servers of the same kind (real ones where they are installed), in turns. Processor time and memory
//! come from /proc, so this is for Linux. Groups share three servers under different names.

// A benchmark starts servers and reads their files as anybody would.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "../tests/it/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use more of it")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use getopts::Options;
use support::fleet::{self, Fleet, Node};
use support::{Client, Reply};

fn main() {
    let mut options = Options::new();
    options.optopt("", "runs", "failovers of each kind (default: 5)", "N");
    options.optopt(
        "",
        "groups",
        "numbers of groups at rest (default: 1,100)",
        "N,…",
    );
    options.optopt(
        "",
        "seconds",
        "length of a measurement at rest (default: 20)",
        "N",
    );
    options.optflag("", "bench", "given by cargo");
    let given = match options.parse(std::env::args().skip(1)) {
        Ok(given) => given,
        Err(error) => {
            eprintln!("{}", options.usage(&error.to_string()));
            std::process::exit(2);
        }
    };
    let number = |name: &str, default: u64| given.opt_get_default(name, default).unwrap_or(default);
    let groups = given.opt_str("groups").unwrap_or_else(|| "1,100".into());
    let groups = groups.split(',').filter_map(|n| n.parse::<u32>().ok());
    let ours = ("oxidis", fleet::oxidis());
    let real = fleet::redis().map(|path| ("redis", path));
    let server = real.as_ref().map_or(&ours.1, |(_, path)| path).clone();
    let kinds: Vec<(&str, PathBuf)> = std::iter::once(ours).chain(real).collect();

    println!("failover, seconds after kill -9: min / median / max");
    let mut times: Vec<[Vec<f64>; 3]> = kinds.iter().map(|_| Default::default()).collect();
    for _ in 0..number("runs", 5) {
        for ((_, program), times) in kinds.iter().zip(&mut times) {
            let run = failover(&server, program);
            times
                .iter_mut()
                .zip(run)
                .for_each(|(all, one)| all.push(one));
        }
    }
    for ((name, _), times) in kinds.iter().zip(&mut times) {
        let [role, first, last] = times.each_mut().map(|all| spread(all));
        println!("  {name:8} replica is primary {role}   first tells {first}   all tell {last}");
    }

    let seconds = number("seconds", 20);
    println!("at rest, {seconds} s: processor, resident memory");
    for count in groups {
        for (name, program) in &kinds {
            let (percent, kb) = at_rest(&server, program, count, seconds);
            println!(
                "  {name:8} {count:4} groups   {percent:5.2} %   {:6.1} MB",
                kb as f64 / 1024.0
            );
        }
    }
}

fn spread(all: &mut [f64]) -> String {
    all.sort_by(f64::total_cmp);
    let at = |n: usize| all.get(n).copied().unwrap_or(f64::NAN);
    let (median, last) = (at(all.len() / 2), at(all.len().saturating_sub(1)));
    format!("{:.2} / {median:.2} / {last:.2}", at(0))
}

/// One failover: seconds until a replica is primary, until the first sentinel tells it, until all do.
fn failover(server: &Path, sentinel: &Path) -> [f64; 3] {
    let mut fleet = Fleet::start(server, &[sentinel, sentinel, sentinel]);
    let old = fleet.servers[0].port;
    let clients = |nodes: &[Node]| nodes.iter().map(Node::client).collect::<Vec<Client>>();
    let (mut replicas, mut sentinels) = (clients(&fleet.servers[1..]), clients(&fleet.sentinels));
    // Not in step with the PINGs that the fleet began with.
    sleep(Duration::from_millis(u64::from(old) % 1000));
    let killed = Instant::now();
    fleet.servers[0].kill();
    let (mut promoted, mut told) = (None, vec![None; sentinels.len()]);
    while promoted.is_none() || told.contains(&None) {
        assert!(killed.elapsed() < Duration::from_secs(60), "no failover");
        let now = killed.elapsed().as_secs_f64();
        for (number, replica) in replicas.iter_mut().enumerate() {
            // A promoted replica closes the connections of its clients.
            let asked = replica.send(b"ROLE\r\n").and_then(|()| replica.read());
            match asked {
                Ok(Reply::Array(role)) if role[0].text() == "master" => {
                    promoted.get_or_insert(now);
                }
                Ok(_) => {}
                Err(_) => *replica = fleet.servers[1 + number].client(),
            }
        }
        for (sentinel, told) in sentinels.iter_mut().zip(&mut told) {
            let address = sentinel.cmd("SENTINEL GET-MASTER-ADDR-BY-NAME m");
            if address.items()[1].text() != old.to_string() {
                told.get_or_insert(killed.elapsed().as_secs_f64());
            }
        }
        sleep(Duration::from_millis(5));
    }
    let told: Vec<f64> = told.into_iter().flatten().collect();
    let first = told.iter().copied().fold(f64::INFINITY, f64::min);
    let last = told.iter().copied().fold(0.0, f64::max);
    [promoted.unwrap_or(f64::NAN), first, last]
}

/// A sentinel that watches so many groups: percent of a processor, and resident memory in kB.
fn at_rest(server: &Path, program: &Path, count: u32, seconds: u64) -> (f64, u64) {
    let servers: Vec<Node> = (0..3).map(|_| Node::server(server)).collect();
    for replica in &servers[1..] {
        replica.cmd(&format!("REPLICAOF 127.0.0.1 {}", servers[0].port));
    }
    let line = |n| format!("sentinel monitor g{n} 127.0.0.1 {} 1\n", servers[0].port);
    let lines: String = (0..count).map(line).collect();
    let sentinel = Node::sentinel(program, &lines);
    let last = format!("SENTINEL MASTER g{}", count - 1);
    fleet::wait_for("the replicas are known", || {
        fleet::field(&sentinel.cmd(&last), "num-slaves") == "2"
    });
    sleep(Duration::from_secs(12));
    let pid = sentinel.pid().unwrap_or(0);
    let before = ticks(pid);
    sleep(Duration::from_secs(seconds));
    let used = ticks(pid) - before;
    // A tick is a hundredth of a second.
    (used as f64 / seconds as f64, resident_kb(pid))
}

fn ticks(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = text.rsplit(')').next().unwrap_or_default();
    let mut fields = after.split_whitespace().skip(11);
    let mut next = || {
        fields
            .next()
            .and_then(|n| n.parse::<u64>().ok())
            .unwrap_or(0)
    };
    next() + next()
}

fn resident_kb(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok())
        .unwrap_or(0)
}
