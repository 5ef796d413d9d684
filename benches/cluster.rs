//! Clusters of Oxidis and of real Redis side by side: failover, growth, rest, moving slots.
//!
//! ```text
//!   cargo bench --bench cluster -- [--only kill,manual,create,slot,rest,reshard,migration] [--redis PATH]
//!                                  [--runs 5] [--nodes 30] [--seconds 20] [--megabytes 200] [--ours-only]
//!
//!   kill       3 + 3 nodes, node timeout 1000 ms, kill -9 of a primary: until its replica takes a write
//!   manual     CLUSTER FAILOVER: the longest time between two acknowledged writes of one client
//!   create     redis-cli --cluster create of 30 nodes: until it is done, until all nodes say ok
//!   slot       SETSLOT NODE on the target: until all nodes redirect to it
//!   rest       processor time and bytes on the bus of all nodes that do nothing, for 6 nodes and for 30
//!   reshard    redis-cli --cluster reshard of 1000 slots with 6000 keys
//!   migration  CLUSTER MIGRATION IMPORT of 100 slots with so many megabytes, under writes, beside MIGRATE of as much
//! ```
//!
//! Both kinds run in turns. `redis-cli` has to be in PATH, and `ss` for the bytes. Processor times are those that the
//! scheduler counts, in nanoseconds, from /proc, so this is for Linux.

// A benchmark starts processes and reads clocks as anybody would.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "../tests/it/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use more of it")]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use getopts::{Matches, Options};
use oxidis::util::crc16::key_hash_slot;
use support::fleet;
use support::{Client, Reply, Server};

fn main() {
    let mut options = Options::new();
    options.optopt("", "only", "parts to run (default: all)", "NAME,…");
    options.optopt("", "redis", "the real server", "PATH");
    options.optopt("", "runs", "failovers and slot changes (default: 5)", "N");
    options.optopt("", "nodes", "nodes to create (default: 30)", "N");
    options.optopt("", "seconds", "length of a rest (default: 20)", "N");
    options.optopt("", "megabytes", "data to move (default: 200)", "N");
    options.optflag("", "ours-only", "leave the real server out");
    options.optflag("", "bench", "given by cargo");
    let given = match options.parse(std::env::args().skip(1)) {
        Ok(given) => given,
        Err(error) => {
            eprintln!("{}", options.usage(&error.to_string()));
            std::process::exit(2);
        }
    };
    let named = given.opt_str("redis").map(PathBuf::from);
    let real = named.or_else(fleet::redis);
    let real = real.filter(|_| !given.opt_present("ours-only"));
    let mut kinds = vec![Kind {
        name: "oxidis",
        program: fleet::oxidis(),
    }];
    kinds.extend(real.map(|program| Kind {
        name: "redis",
        program,
    }));
    let only = given.opt_str("only");
    let parts: [(&str, Part); 7] = [
        ("kill", kill),
        ("manual", manual),
        ("create", create),
        ("slot", slot),
        ("rest", rest),
        ("reshard", reshard),
        ("migration", migration),
    ];
    for (name, part) in parts {
        if only
            .as_deref()
            .is_none_or(|only| only.split(',').any(|word| word == name))
        {
            println!("{name}");
            kinds.iter().for_each(|kind| part(kind, &given));
        }
    }
}

type Part = fn(&Kind, &Matches);

struct Kind {
    name: &'static str,
    program: PathBuf,
}

impl Kind {
    fn says(&self, text: impl std::fmt::Display) {
        println!("  {:8} {text}", self.name);
    }
}

fn number(given: &Matches, name: &str, default: u64) -> u64 {
    given.opt_get_default(name, default).unwrap_or(default)
}

/// The nodes of a cluster, primaries first.
struct Cluster {
    nodes: Vec<Server>,
    /// Seconds until redis-cli was done, and until all nodes said ok.
    created: (f64, f64),
}

impl Cluster {
    fn new(program: &Path, nodes: usize, replicas: usize, timeout_ms: u64) -> Cluster {
        let timeout = timeout_ms.to_string();
        let start = |_| {
            Server::program(program)
                .args([
                    "--cluster-enabled",
                    "yes",
                    "--cluster-node-timeout",
                    &timeout,
                ])
                .args(["--repl-diskless-sync-delay", "0"])
                .start()
        };
        let nodes: Vec<Server> = (0..nodes).map(start).collect();
        let mut words: Vec<String> = ["--cluster", "create"].map(str::to_owned).into();
        words.extend(
            nodes
                .iter()
                .map(|node| format!("127.0.0.1:{}", node.port())),
        );
        words.extend(
            ["--cluster-replicas", &replicas.to_string(), "--cluster-yes"].map(str::to_owned),
        );
        let started = Instant::now();
        cli(&words);
        let done = started.elapsed().as_secs_f64();
        let mut cluster = Cluster {
            nodes,
            created: (done, 0.0),
        };
        let mut clients = cluster.clients();
        wait_for("all nodes are up", || {
            clients.iter_mut().all(|client| {
                let info = client.cmd("CLUSTER INFO").text();
                info.contains("cluster_state:ok")
            })
        });
        cluster.created.1 = started.elapsed().as_secs_f64();
        wait_for("replicas have their data", || {
            clients.iter_mut().all(|client| {
                let info = client.cmd("INFO replication").text();
                info.contains("role:master") || info.contains("master_link_status:up")
            })
        });
        cluster
    }

    fn clients(&self) -> Vec<Client> {
        self.nodes.iter().map(Server::client).collect()
    }

    /// The node that serves a key, and a replica of it if there is one.
    fn shard_of(&self, key: &str) -> (usize, Option<usize>) {
        let line = format!("GET {key}");
        let find = |port: u16| self.nodes.iter().position(|node| node.port() == port);
        let primary = match moved_to(&self.nodes[0].client().cmd(&line)) {
            Some(port) => find(port).expect("a node of the cluster"),
            None => 0,
        };
        let role = self.nodes[primary].client().cmd("ROLE");
        let replicas = role.items()[2].items();
        let replica = replicas
            .first()
            .and_then(|one| find(one.items()[1].text().parse().ok()?));
        (primary, replica)
    }

    fn id(&self, node: usize) -> String {
        self.nodes[node].client().cmd("CLUSTER MYID").text()
    }
}

/// The port that a redirection names.
fn moved_to(reply: &Reply) -> Option<u16> {
    let Reply::Error(text) = reply else {
        return None;
    };
    let text = String::from_utf8_lossy(text);
    let address = text.strip_prefix("MOVED ")?.rsplit_once(':')?;
    address.1.trim().parse().ok()
}

fn cli(words: &[String]) {
    let output = Command::new("redis-cli").args(words).output();
    let output = output.expect("redis-cli is in PATH");
    assert!(
        output.status.success(),
        "redis-cli {words:?}:\n{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(
            started.elapsed() < Duration::from_secs(120),
            "never: {what}"
        );
        thread::sleep(Duration::from_millis(2));
    }
}

fn spread(mut all: Vec<f64>) -> String {
    all.sort_by(f64::total_cmp);
    let at = |n: usize| all.get(n).copied().unwrap_or(f64::NAN);
    let last = all.len().saturating_sub(1);
    format!("{:.1} / {:.1} / {:.1}", at(0), at(all.len() / 2), at(last))
}

/// Milliseconds from kill -9 of a primary to the first write that its replica acknowledges.
fn kill(kind: &Kind, given: &Matches) {
    let mut times = Vec::new();
    for run in 0..number(given, "runs", 5) {
        let mut cluster = Cluster::new(&kind.program, 6, 1, 1000);
        let (primary, replica) = cluster.shard_of("key");
        let mut client = cluster.nodes[replica.expect("a replica")].client();
        // Not in step with the pings that the cluster began with.
        thread::sleep(Duration::from_millis(1500 + run * 173 % 1000));
        let killed = Instant::now();
        cluster.nodes[primary].kill();
        wait_for("the replica takes writes", || {
            client.cmd("SET key value") == Reply::Status(b"OK".to_vec())
        });
        times.push(killed.elapsed().as_secs_f64() * 1000.0);
    }
    kind.says(format_args!(
        "ms until a write is taken again: {}",
        spread(times)
    ));
}

/// A client that writes all the time and follows the redirections.
struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Writer {
    /// Adds one to a key over and over. In the end it tells the longest time between two acknowledged writes, and that no
    /// write was lost.
    fn start(port: u16, key: &str) -> Writer {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, line) = (stop.clone(), format!("INCR {key}"));
        let thread = thread::spawn(move || {
            let mut client = Client::tcp(port).expect("a node");
            let (mut count, mut longest, mut last) = (None, Duration::ZERO, Instant::now());
            while !stopped.load(Ordering::Relaxed) {
                match client.cmd(&line) {
                    Reply::Integer(n) => {
                        let before = count.replace(n);
                        assert!(
                            before.is_none_or(|before| n == before + 1),
                            "a write was lost"
                        );
                        longest = longest.max(last.elapsed());
                        last = Instant::now();
                    }
                    reply => match moved_to(&reply) {
                        Some(port) => client = Client::tcp(port).expect("a node"),
                        None => thread::sleep(Duration::from_micros(100)),
                    },
                }
            }
            longest
        });
        Writer { stop, thread }
    }

    fn stop(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the writer ends")
    }
}

/// Milliseconds without an acknowledged write in a manual failover.
fn manual(kind: &Kind, given: &Matches) {
    let cluster = Cluster::new(&kind.program, 6, 1, 1000);
    let mut times = Vec::new();
    for _ in 0..number(given, "runs", 5) {
        let (primary, replica) = cluster.shard_of("key");
        let replica = replica.expect("a replica");
        let writer = Writer::start(cluster.nodes[primary].port(), "key");
        thread::sleep(Duration::from_millis(300));
        let mut client = cluster.nodes[replica].client();
        client.cmd("CLUSTER FAILOVER").ok();
        wait_for("the roles have changed", || {
            client.cmd("ROLE").items()[0].text() == "master"
        });
        thread::sleep(Duration::from_millis(300));
        times.push(writer.stop().as_secs_f64() * 1000.0);
        let mut old = cluster.nodes[primary].client();
        wait_for("the old primary follows", || {
            old.cmd("INFO replication")
                .text()
                .contains("master_link_status:up")
        });
        // Real Redis counts votes of its last election for a while.
        thread::sleep(Duration::from_secs(3));
    }
    kind.says(format_args!("ms between two writes: {}", spread(times)));
}

/// Seconds to make a cluster of many nodes.
fn create(kind: &Kind, given: &Matches) {
    let count = number(given, "nodes", 30) as usize;
    let cluster = Cluster::new(&kind.program, count, 1, 15_000);
    let (done, up) = cluster.created;
    kind.says(format_args!(
        "{count} nodes: redis-cli {done:.2} s, all ok after {up:.2} s"
    ));
}

/// Milliseconds until all nodes redirect to the new owner of a slot.
fn slot(kind: &Kind, given: &Matches) {
    let count = number(given, "nodes", 30) as usize;
    let cluster = Cluster::new(&kind.program, count, 1, 15_000);
    let mut clients = cluster.clients();
    let mut times = Vec::new();
    for run in 0..number(given, "runs", 5) {
        let key = format!("key{run}");
        let slot = key_hash_slot(key.as_bytes());
        let (source, _) = cluster.shard_of(&key);
        let target = (source + 1) % (count / 2);
        let (from, to) = (cluster.id(source), cluster.id(target));
        let port = cluster.nodes[target].port();
        clients[target]
            .cmd(&format!("CLUSTER SETSLOT {slot} IMPORTING {from}"))
            .ok();
        clients[source]
            .cmd(&format!("CLUSTER SETSLOT {slot} MIGRATING {to}"))
            .ok();
        let line = format!("GET {key}");
        let started = Instant::now();
        clients[target]
            .cmd(&format!("CLUSTER SETSLOT {slot} NODE {to}"))
            .ok();
        let mut open: Vec<usize> = (0..count).filter(|node| *node != target).collect();
        wait_for("all redirect", || {
            open.retain(|node| moved_to(&clients[*node].cmd(&line)) != Some(port));
            open.is_empty()
        });
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    kind.says(format_args!(
        "ms until {count} nodes know: {}",
        spread(times)
    ));
}

/// Processor time and bytes on the bus at rest.
fn rest(kind: &Kind, given: &Matches) {
    let seconds = number(given, "seconds", 20);
    for (count, timeout_ms) in [(6, 15_000), (30, 15_000)] {
        let cluster = Cluster::new(&kind.program, count, 1, timeout_ms);
        // The news of the beginning are over.
        thread::sleep(Duration::from_secs(15));
        let before = (cpu_ns(&cluster), bus_bytes(&cluster), messages(&cluster));
        let started = Instant::now();
        thread::sleep(Duration::from_secs(seconds));
        let took = started.elapsed().as_secs_f64();
        let cpu = (cpu_ns(&cluster) - before.0) as f64 / 1e9 / took / count as f64;
        let sent = (messages(&cluster) - before.2) as f64 / took;
        let bytes = bus_bytes(&cluster).saturating_sub(before.1) as f64 / took;
        kind.says(format_args!(
            "{count} nodes, timeout {timeout_ms}: {:.3} % of a processor each, {sent:.1} messages/s, {bytes:.0} bytes/s",
            cpu * 100.0
        ));
    }
}

/// Nanoseconds on a processor, of all threads of all nodes.
fn cpu_ns(cluster: &Cluster) -> u64 {
    let of_node = |node: &Server| -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", node.pid()));
        let times = tasks.into_iter().flatten().flatten().map(|task| {
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let first = text.split(' ').next();
            first.and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0)
        });
        times.sum()
    };
    cluster.nodes.iter().map(of_node).sum()
}

fn messages(cluster: &Cluster) -> u64 {
    let count = |client: &mut Client| {
        let text = client.cmd("CLUSTER INFO").text();
        let field = text
            .lines()
            .find_map(|line| line.strip_prefix("cluster_stats_messages_sent:"));
        field
            .and_then(|n| n.trim().parse::<u64>().ok())
            .unwrap_or(0)
    };
    cluster.clients().iter_mut().map(count).sum()
}

/// Bytes that the kernel sent on the connections of the bus; 0 without `ss`.
fn bus_bytes(cluster: &Cluster) -> u64 {
    let ports: Vec<String> = cluster
        .clients()
        .iter_mut()
        .map(|client| {
            format!(
                ":{}",
                client.cmd("CONFIG GET cluster-port").items()[1].text()
            )
        })
        .collect();
    let output = Command::new("ss")
        .args(["-tinH", "state", "established"])
        .output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let on_bus = |line: &str| {
        let mut words = line.split_whitespace();
        words.any(|word| ports.iter().any(|port| word.ends_with(port.as_str())))
    };
    let sent = |details: &str| -> Option<u64> {
        let mut words = details.split_whitespace();
        words.find_map(|word| word.strip_prefix("bytes_sent:")?.parse().ok())
    };
    let pairs = lines.windows(2).filter(|pair| on_bus(pair[0]));
    pairs.filter_map(|pair| sent(pair[1])).sum()
}

/// Fills slots 0 to `slots` with keys, which the first node serves.
fn fill(cluster: &Cluster, slots: u16, keys: usize, value_bytes: usize) {
    let mut client = cluster.nodes[0].client();
    let mut tags: BTreeMap<u16, String> = BTreeMap::new();
    for tag in 0.. {
        let tag = format!("{{{tag}}}");
        let slot = key_hash_slot(tag.as_bytes());
        if slot < slots {
            tags.entry(slot).or_insert(tag);
        }
        if tags.len() == usize::from(slots) {
            break;
        }
    }
    let tags: Vec<String> = tags.into_values().collect();
    let value = vec![b'x'; value_bytes];
    let keys: Vec<usize> = (0..keys).collect();
    for batch in keys.chunks(256) {
        for key in batch {
            let name = format!("{}:{key}", tags[key % tags.len()]);
            let request = support::client::encode(&[b"SET", name.as_bytes(), &value]);
            client.send(&request).expect("sent");
        }
        for _ in batch {
            client.read().expect("a reply").ok();
        }
    }
}

/// Seconds that redis-cli takes to move slots from the first node to the second.
fn reshard_seconds(cluster: &Cluster, slots: u16) -> f64 {
    let (from, to) = (cluster.id(0), cluster.id(1));
    let words = [
        "--cluster".to_owned(),
        "reshard".to_owned(),
        format!("127.0.0.1:{}", cluster.nodes[0].port()),
        "--cluster-from".to_owned(),
        from,
        "--cluster-to".to_owned(),
        to,
        "--cluster-slots".to_owned(),
        slots.to_string(),
        "--cluster-yes".to_owned(),
    ];
    let started = Instant::now();
    cli(&words);
    started.elapsed().as_secs_f64()
}

fn reshard(kind: &Kind, given: &Matches) {
    let (mut times, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..number(given, "runs", 5).min(3) {
        let cluster = Cluster::new(&kind.program, 3, 0, 15_000);
        fill(&cluster, 1000, 6000, 100);
        let before = cpu_ns(&cluster);
        times.push(reshard_seconds(&cluster, 1000));
        cpu.push((cpu_ns(&cluster) - before) as f64 / 1e6);
    }
    kind.says(format_args!(
        "1000 slots: s {}, processor ms of all nodes {}",
        spread(times),
        spread(cpu)
    ));
}

fn migration(kind: &Kind, given: &Matches) {
    const SLOTS: u16 = 100;
    const VALUE_BYTES: usize = 1000;
    let megabytes = number(given, "megabytes", 200) as usize;
    let keys = megabytes * 1_000_000 / VALUE_BYTES;
    let cluster = Cluster::new(&kind.program, 3, 0, 15_000);
    fill(&cluster, SLOTS, keys, VALUE_BYTES);
    let cpu_before = cpu_ns(&cluster);
    let by_keys = reshard_seconds(&cluster, SLOTS);
    let cpu_by_keys = (cpu_ns(&cluster) - cpu_before) as f64 / 1e9;
    drop(cluster);
    let cluster = Cluster::new(&kind.program, 3, 0, 15_000);
    fill(&cluster, SLOTS, keys, VALUE_BYTES);
    let mut target = cluster.nodes[1].client();
    let cpu_before = cpu_ns(&cluster);
    let started = Instant::now();
    let writer = Writer::start(cluster.nodes[0].port(), &writer_key(SLOTS));
    let task = target.cmd(&format!("CLUSTER MIGRATION IMPORT 0 {}", SLOTS - 1));
    if task.is_error() {
        writer.stop();
        return kind.says(format_args!(
            "{megabytes} MB by MIGRATE: {by_keys:.2} s; CLUSTER MIGRATION: {task}"
        ));
    }
    let status = format!("CLUSTER MIGRATION STATUS ID {}", task.text());
    let field = |node: &mut Client, name: &str| {
        let reply = node.cmd(&status);
        let tasks = reply.items();
        let fields = tasks.first().map(|task| task.items().to_vec());
        let fields = fields.unwrap_or_default();
        let pair = fields.chunks(2).find(|pair| pair[0].text() == name);
        match pair.map(|pair| pair[1].clone()) {
            Some(Reply::Integer(number)) => number.to_string(),
            Some(other) => other.text(),
            None => String::new(),
        }
    };
    wait_for("the slots have moved", || {
        field(&mut target, "state") == "completed"
    });
    let whole = started.elapsed().as_secs_f64();
    let cpu = (cpu_ns(&cluster) - cpu_before) as f64 / 1e9;
    let mut source = cluster.nodes[0].client();
    wait_for("the source knows", || {
        field(&mut source, "state") == "completed"
    });
    let pause = field(&mut source, "write_pause_ms");
    thread::sleep(Duration::from_millis(100));
    let gap = writer.stop().as_secs_f64() * 1000.0;
    kind.says(format_args!(
        "{megabytes} MB: by MIGRATE {by_keys:.2} s (processors {cpu_by_keys:.2} s), whole {whole:.2} s \
         ({cpu:.2} s with the writes): {:.1} times as fast, longest gap of a writer {gap:.1} ms, \
         pause told {pause} ms",
        by_keys / whole
    ));
}

/// A key in one of the first slots.
fn writer_key(slots: u16) -> String {
    let mut keys = (0..).map(|n| format!("writer:{n}"));
    let found = keys.find(|key| key_hash_slot(key.as_bytes()) < slots);
    found.expect("keys fall into every slot")
}
