//! A cluster of real processes under faults, one at a time: what was acknowledged with WAIT 1 is never lost.
//!
//! ```text
//!   client ──▶ proxy of clients ──▶ node 0 ◀── proxy of the bus ◀── node 1, node 2, …
//! ```
//!
//! Every node announces two proxies in place of its own ports, so that clients, replicas and other nodes reach it through
//! them alone. A node that is *cut off* keeps its connections, and nothing moves on them, as when packets are dropped; a
//! *slow* node gets and gives every piece late. Clients append numbers to lists and note those that a replica has
//! confirmed. In the end each list must hold all of them, in their order, and nothing that nobody wrote.
//!
//! It takes minutes: `cargo test --test it cluster::faults -- --ignored --nocapture`; `OXIDIS_FAULTS=n` sets the number of
//! faults.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, BufReader, ErrorKind};
use std::net::{Shutdown, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::*;
use crate::support::client::encode;
use crate::support::random::Random;

const PRIMARIES: usize = 3;
const CLIENTS: usize = 4;
/// Lists of each client, so that it writes to all shards.
const LISTS: usize = 6;
/// A client gives up a request after this time.
const REQUEST_PATIENCE: Duration = Duration::from_millis(1500);
const NAME_AT: std::ops::Range<usize> = 40..80;

/// The state of all connections, which the test changes while they live.
#[derive(Default)]
struct Network {
    cut: Mutex<BTreeSet<usize>>,
    slow: Mutex<BTreeSet<usize>>,
    /// Nodes by the names in the messages of the bus.
    names: Mutex<HashMap<Vec<u8>, usize>>,
    ended: AtomicBool,
}

impl Network {
    fn is(&self, set: &Mutex<BTreeSet<usize>>, ends: [Option<usize>; 2]) -> bool {
        let set = set.lock().expect("no panic");
        ends.iter().flatten().any(|end| set.contains(end))
    }

    /// Carries bytes of one direction until an end closes. `of_bus`: the bytes tell who sends them.
    fn carry(
        &self,
        node: usize,
        from: &mut TcpStream,
        to: &mut TcpStream,
        of_bus: bool,
    ) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        let mut peer = None;
        from.set_read_timeout(Some(Duration::from_millis(200)))?;
        loop {
            let n = match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => n,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    if self.ended.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            if of_bus && n >= NAME_AT.end {
                let names = self.names.lock().expect("no panic");
                peer = names.get(&buffer[NAME_AT]).copied().or(peer);
            }
            while self.is(&self.cut, [Some(node), peer]) && !self.ended.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(5));
            }
            if self.is(&self.slow, [Some(node), peer]) {
                thread::sleep(Duration::from_millis(100));
            }
            to.write_all(&buffer[..n])?;
        }
    }
}

/// A listener in front of a port of a node. The port may change when the node starts again.
struct Proxy {
    port: u16,
    target: Arc<AtomicU16>,
}

impl Proxy {
    fn start(network: &Arc<Network>, node: usize, of_bus: bool) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let target = Arc::new(AtomicU16::new(0));
        let (network, place) = (network.clone(), target.clone());
        thread::spawn(move || {
            for client in listener.incoming() {
                if network.ended.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(client) = client else { continue };
                let place = place.load(Ordering::Relaxed);
                let Ok(server) = TcpStream::connect(("127.0.0.1", place)) else {
                    continue;
                };
                for inward in [true, false] {
                    let network = network.clone();
                    let ends = (client.try_clone(), server.try_clone());
                    let (Ok(client), Ok(server)) = ends else {
                        continue;
                    };
                    thread::spawn(move || {
                        let (mut from, mut to) = match inward {
                            true => (client, server),
                            false => (server, client),
                        };
                        let _ = network.carry(node, &mut from, &mut to, of_bus && inward);
                        let _ = from.shutdown(Shutdown::Both);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Proxy { port, target }
    }
}

/// A node behind its proxies.
struct Member {
    node: Node,
    clients: Proxy,
    bus: Proxy,
}

impl Member {
    fn start(network: &Arc<Network>, number: usize) -> Member {
        let clients = Proxy::start(network, number, false);
        let bus = Proxy::start(network, number, true);
        let builder = Server::oxidis().args([
            "--cluster-announce-port",
            &clients.port.to_string(),
            "--cluster-announce-bus-port",
            &bus.port.to_string(),
            "--repl-diskless-sync-delay",
            "0",
        ]);
        let mut member = Member {
            node: Node::start(builder),
            clients,
            bus,
        };
        member.aim();
        let name = member.node.id().into_bytes();
        network.names.lock().expect("no panic").insert(name, number);
        member
    }

    /// Aims the proxies at the node's ports.
    fn aim(&mut self) {
        let bus = self.node.client.cmd("CONFIG GET cluster-port").items()[1].text();
        let bus = bus.parse().expect("a port");
        self.bus.target.store(bus, Ordering::Relaxed);
        let port = self.node.server.port();
        self.clients.target.store(port, Ordering::Relaxed);
    }
}

/// Waits until the cluster is whole: everybody up, every replica in step.
fn settle(members: &mut [Member], what: &str) {
    let whole = |members: &mut [Member]| {
        let views: Vec<_> = members
            .iter_mut()
            .map(|member| member.node.view())
            .collect();
        let healthy = |view: &Vec<String>| !view.iter().any(|line| line.contains("fail"));
        let primaries = views[0]
            .iter()
            .filter(|line| line.contains(" master "))
            .count();
        views.windows(2).all(|two| two[0] == two[1])
            && healthy(&views[0])
            && primaries == PRIMARIES
            && members.iter_mut().all(|member| {
                member.node.field("CLUSTER INFO", "cluster_state") == "ok"
                    && match member.node.role().as_str() {
                        "master" => {
                            member.node.field("INFO replication", "connected_slaves") == "1"
                        }
                        _ => member.node.field("INFO replication", "master_link_status") == "up",
                    }
            })
    };
    await_that(what, || whole(members));
}

/// The numbers that a client sent, by list.
#[derive(Default)]
struct Written {
    sent: BTreeMap<String, BTreeSet<i64>>,
    /// Those that a replica has confirmed, in their order.
    safe: BTreeMap<String, Vec<i64>>,
}

/// A client that knows the proxies of all nodes.
struct Writer {
    ports: Vec<u16>,
    open: BTreeMap<u16, BufReader<TcpStream>>,
    at: u16,
    random: Random,
}

impl Writer {
    fn ask(&mut self, words: &[&str]) -> io::Result<Reply> {
        let port = self.at;
        let stream = match self.open.entry(port) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(place) => {
                let stream = TcpStream::connect(("127.0.0.1", port))?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(REQUEST_PATIENCE))?;
                place.insert(BufReader::new(stream))
            }
        };
        let sent = stream.get_mut().write_all(&encode(words));
        let reply = sent.and_then(|()| Reply::read(stream));
        if reply.is_err() {
            self.open.remove(&port);
            self.at = *self.random.pick(&self.ports);
        }
        reply
    }

    /// Appends a number, once. Returns whether a replica has confirmed it.
    fn append(&mut self, list: &str, number: &str) -> bool {
        for _ in 0..20 {
            match self.ask(&["RPUSH", list, number]) {
                Ok(Reply::Integer(_)) => {
                    let waited = self.ask(&["WAIT", "1", "500"]);
                    return matches!(waited, Ok(Reply::Integer(1..)));
                }
                Ok(Reply::Error(text)) => {
                    let text = String::from_utf8_lossy(&text).into_owned();
                    let port = text
                        .rsplit_once(':')
                        .and_then(|(_, port)| port.parse().ok());
                    match port.filter(|_| text.starts_with("MOVED")) {
                        Some(port) => self.at = port,
                        None => thread::sleep(Duration::from_millis(20)),
                    }
                }
                // It may have been carried out, or may be yet.
                _ => return false,
            }
        }
        false
    }

    fn run(mut self, name: usize, network: &Network, until: &AtomicBool) -> Written {
        let mut written = Written::default();
        let mut number = 0;
        while !until.load(Ordering::Relaxed) && !network.ended.load(Ordering::Relaxed) {
            number += 1;
            let list = format!("list:{name}:{}", self.random.below(LISTS));
            written.sent.entry(list.clone()).or_default().insert(number);
            if self.append(&list, &number.to_string()) {
                written.safe.entry(list).or_default().push(number);
            }
        }
        written
    }
}

/// One fault, and its end.
fn break_something(
    members: &mut [Member],
    network: &Network,
    round: usize,
    random: &mut Random,
) -> String {
    let primary = |members: &mut [Member], random: &mut Random| {
        let roles = members.iter_mut().enumerate();
        let primaries =
            roles.filter_map(|(number, member)| (member.node.role() == "master").then_some(number));
        *random.pick(&primaries.collect::<Vec<_>>())
    };
    let victim = primary(members, random);
    let pid = members[victim].node.server.pid().to_string();
    let signal = |word: &str| {
        let status = Command::new("kill").args([word, &pid]).status();
        assert!(status.expect("kill is there").success());
    };
    let wait = Duration::from_millis(1500 + random.below(2500) as u64);
    match round % 4 {
        0 => {
            members[victim].node.server.kill();
            // A node without a file of its data would come back empty: its replica has to be the primary before.
            thread::sleep(Duration::from_millis(6000));
            members[victim].node.restart();
            members[victim].aim();
            format!("kill -9 of n{victim}")
        }
        1 => {
            signal("-STOP");
            thread::sleep(wait);
            signal("-CONT");
            format!("n{victim} stopped for {wait:?}")
        }
        2 => {
            network.cut.lock().expect("no panic").insert(victim);
            thread::sleep(wait);
            network.cut.lock().expect("no panic").clear();
            format!("n{victim} cut off for {wait:?}")
        }
        _ => {
            network.slow.lock().expect("no panic").insert(victim);
            thread::sleep(wait);
            network.slow.lock().expect("no panic").clear();
            format!("n{victim} slow for {wait:?}")
        }
    }
}

#[test]
#[ignore = "takes minutes"]
fn confirmed_writes_survive_single_faults() {
    let faults = std::env::var("OXIDIS_FAULTS")
        .ok()
        .and_then(|n| n.parse().ok());
    let faults: usize = faults.unwrap_or(12);
    let seed = Random::seed_from_env("OXIDIS_SEED");
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let network = Arc::new(Network::default());
    let mut members: Vec<Member> = (0..2 * PRIMARIES)
        .map(|number| Member::start(&network, number))
        .collect();
    for number in 1..members.len() {
        let (client, bus) = (members[number].clients.port, members[number].bus.port);
        let epoch = number + 1;
        let other = &mut members[number].node.client;
        other.cmd(&format!("CLUSTER SET-CONFIG-EPOCH {epoch}")).ok();
        let first = &mut members[0].node.client;
        first
            .cmd(&format!("CLUSTER MEET 127.0.0.1 {client} {bus}"))
            .ok();
    }
    for (number, range) in ["0 5460", "5461 10922", "10923 16383"].iter().enumerate() {
        let client = &mut members[number].node.client;
        client.cmd(&format!("CLUSTER ADDSLOTSRANGE {range}")).ok();
    }
    let count = members.len();
    for member in &mut members {
        await_that("all nodes are known", || {
            member.node.view().len() == count
                && member.node.field("CLUSTER INFO", "cluster_state") == "ok"
        });
    }
    for number in PRIMARIES..count {
        let primary = members[number - PRIMARIES].node.id();
        let client = &mut members[number].node.client;
        client.cmd(&format!("CLUSTER REPLICATE {primary}")).ok();
    }
    settle(&mut members, "the cluster stands");

    let stop = Arc::new(AtomicBool::new(false));
    let ports: Vec<u16> = members.iter().map(|member| member.clients.port).collect();
    let writers: Vec<_> = (0..CLIENTS)
        .map(|name| {
            let (network, stop) = (network.clone(), stop.clone());
            let writer = Writer {
                at: ports[name % ports.len()],
                ports: ports.clone(),
                open: BTreeMap::new(),
                random: Random::new(seed + name as u64),
            };
            thread::spawn(move || writer.run(name, &network, &stop))
        })
        .collect();
    for round in 0..faults {
        thread::sleep(Duration::from_millis(500));
        let told = break_something(&mut members, &network, round, &mut random);
        settle(&mut members, &format!("whole again after {told}"));
        println!("fault {round}: {told}");
    }
    stop.store(true, Ordering::Relaxed);
    let written: Vec<Written> = writers
        .into_iter()
        .map(|writer| writer.join().expect("a writer"))
        .collect();

    let mut reader = Writer {
        at: ports[0],
        ports,
        open: BTreeMap::new(),
        random: Random::new(seed),
    };
    let (mut sent, mut safe, mut missing) = (0, 0, 0);
    for written in &written {
        for (list, numbers) in &written.sent {
            let found = loop {
                match reader.ask(&["LRANGE", list, "0", "-1"]).expect("a reply") {
                    Reply::Array(items) => break items,
                    Reply::Error(text) => {
                        let text = String::from_utf8_lossy(&text).into_owned();
                        let (_, port) = text.rsplit_once(':').expect("a redirection");
                        reader.at = port.parse().expect("a port");
                    }
                    other => panic!("{other}"),
                }
            };
            let found: Vec<i64> = found
                .iter()
                .map(|item| item.text().parse().expect("a number"))
                .collect();
            let as_set: BTreeSet<i64> = found.iter().copied().collect();
            assert_eq!(as_set.len(), found.len(), "{list}: a number twice");
            assert!(
                as_set.is_subset(numbers),
                "{list}: a number that nobody sent"
            );
            let confirmed = written.safe.get(list).cloned().unwrap_or_default();
            let lost: Vec<&i64> = confirmed
                .iter()
                .filter(|number| !as_set.contains(number))
                .collect();
            assert!(
                lost.is_empty(),
                "seed {seed}, {list}: confirmed and lost: {lost:?}"
            );
            let wanted: BTreeSet<i64> = confirmed.iter().copied().collect();
            let kept: Vec<i64> = found
                .into_iter()
                .filter(|number| wanted.contains(number))
                .collect();
            assert_eq!(kept, confirmed, "seed {seed}, {list}: another order");
            (sent, safe) = (sent + numbers.len(), safe + confirmed.len());
            missing += numbers.len() - as_set.len();
        }
    }
    network.ended.store(true, Ordering::Relaxed);
    println!(
        "{sent} sent, {safe} confirmed by a replica and there, {missing} unconfirmed ones are not there"
    );
    assert!(safe > 100 * faults, "the clients wrote");
}
