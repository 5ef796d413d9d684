//! Clusters of real processes: nodes meet, redirect, fail over, move slots; ours and real Redis in one cluster where that
//! is installed. How nodes decide is tested without processes, in `src/cluster/machine/tests.rs` and `tests/sim/cluster`.

mod bus;
mod faults;
mod figures;
mod migration;
mod saved;
mod trim;
mod words;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use crate::support::server::{Builder, until};
use crate::support::{Client, Reply, Server};

/// The time that nodes may take to agree.
const PATIENCE: Duration = Duration::from_secs(40);

/// Milliseconds without an answer after which a node is suspected: long enough for a busy machine.
const TIMEOUT: &str = "2000";

/// A node, and a client of it.
struct Node {
    server: Server,
    client: Client,
}

impl Node {
    fn start(builder: Builder) -> Node {
        let args = [
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            TIMEOUT,
        ];
        let server = builder.args(args).start();
        let client = server.client();
        Node { server, client }
    }

    fn ours() -> Node {
        Node::start(Server::oxidis().args(["--rdb-version", "10"]))
    }

    fn id(&mut self) -> String {
        self.client.cmd("CLUSTER MYID").text()
    }

    fn meet(&mut self, other: &mut Node) {
        let bus = other.client.cmd("CONFIG GET cluster-port");
        let bus = bus.items()[1].text();
        let port = other.server.port();
        self.client
            .cmd(&format!("CLUSTER MEET 127.0.0.1 {port} {bus}"))
            .ok();
    }

    /// A field of CLUSTER INFO or of INFO.
    fn field(&mut self, command: &str, name: &str) -> String {
        let text = self.client.cmd(command).text();
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        let mut found = lines.filter(|(field, _)| *field == name);
        found
            .next()
            .map(|(_, value)| value.to_owned())
            .unwrap_or_default()
    }

    fn role(&mut self) -> String {
        self.client.cmd("ROLE").items()[0].text()
    }

    /// Who serves what, in this node's view, in words that are the same on every node.
    fn view(&mut self) -> Vec<String> {
        let text = self.client.cmd("CLUSTER NODES").text();
        let mut lines: Vec<String> = text
            .lines()
            .map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                let flags = words[2].replace("myself,", "");
                format!("{} {flags} {} {}", words[0], words[3], words[8..].join(" "))
            })
            .collect();
        lines.sort();
        lines
    }

    fn restart(&mut self) {
        self.server.restart();
        self.client = self.server.client();
    }
}

/// Waits until something is so.
#[track_caller]
fn await_that(what: &str, mut is_so: impl FnMut() -> bool) {
    let came = until(PATIENCE, || is_so().then_some(()));
    assert!(came.is_some(), "never: {what}");
}

/// Makes the nodes a cluster in which the first `primaries` share the slots and the others are their replicas in turn.
fn form(nodes: &mut [Node], primaries: usize) {
    let (first, others) = nodes.split_first_mut().expect("a node");
    for (epoch, other) in others.iter_mut().enumerate() {
        other
            .client
            .cmd(&format!("CLUSTER SET-CONFIG-EPOCH {}", epoch + 2))
            .ok();
        first.meet(other);
    }
    let share = 16384 / primaries;
    for (index, node) in nodes[..primaries].iter_mut().enumerate() {
        let start = index * share;
        let end = if index + 1 == primaries {
            16383
        } else {
            start + share - 1
        };
        node.client
            .cmd(&format!("CLUSTER ADDSLOTSRANGE {start} {end}"))
            .ok();
    }
    let count = nodes.len();
    for node in nodes.iter_mut() {
        await_that("all nodes are known", || {
            node.view().len() == count && node.field("CLUSTER INFO", "cluster_state") == "ok"
        });
    }
    let ids: Vec<String> = nodes.iter_mut().map(Node::id).collect();
    for (index, node) in nodes.iter_mut().enumerate().skip(primaries) {
        let primary = &ids[index % primaries];
        node.client
            .cmd(&format!("CLUSTER REPLICATE {primary}"))
            .ok();
        await_that("the replica has its data", || {
            node.field("INFO replication", "master_link_status") == "up"
        });
    }
    agree(nodes);
}

/// Waits until all nodes have one view.
fn agree(nodes: &mut [Node]) {
    await_that("one view", || {
        let views: Vec<Vec<String>> = nodes.iter_mut().map(Node::view).collect();
        views.windows(2).all(|two| two[0] == two[1])
            && !views[0].iter().any(|line| line.contains("fail"))
    });
}

/// Sends a command to the node that serves it, as a cluster client does. The reply may be an error of another kind.
fn call(nodes: &mut [Node], line: &str) -> Reply {
    let mut at = 0;
    for _ in 0..16 {
        let reply = nodes[at].client.cmd(line);
        let text = reply.text();
        let Some(address) = text.strip_prefix("MOVED ") else {
            return reply;
        };
        let (_, port) = address.rsplit_once(':').expect("an address");
        let port: u16 = port.parse().expect("a port");
        let target = nodes.iter().position(|node| node.server.port() == port);
        at = target.expect("a node of the cluster");
    }
    panic!("{line}: redirected in a circle");
}

#[test]
fn three_nodes_send_clients_where_their_keys_are() {
    let mut nodes: Vec<Node> = (0..3).map(|_| Node::ours()).collect();
    nodes[0]
        .client
        .cmd("SET foo 1")
        .error("CLUSTERDOWN Hash slot not served");
    form(&mut nodes, 3);
    // foo is in slot 12182, which the third node serves.
    let moved = format!("MOVED 12182 127.0.0.1:{}", nodes[2].server.port());
    let one = &mut nodes[0].client;
    one.cmd("SET foo 1").error(&moved);
    one.cmd("MGET foo bar").error("CROSSSLOT");
    one.cmd("EVAL 'return 1' 1 foo").error(&moved);
    one.cmd("MULTI").ok();
    one.cmd("GET foo").error(&moved);
    one.cmd("EXEC").error("EXECABORT");
    one.cmd("BLPOP foo 1").error(&moved);
    one.cmd("SSUBSCRIBE foo").error(&moved);
    one.cmd("EVAL \"return redis.call('GET', 'foo')\" 0")
        .error("ERR Script attempted to access a non local key in a cluster node");
    one.cmd("SELECT 1")
        .error("ERR SELECT is not allowed in cluster mode");
    for i in 0..100 {
        call(&mut nodes, &format!("SET key:{i} {i}")).ok();
    }
    for i in 0..100 {
        call(&mut nodes, &format!("GET key:{i}")).is(i.to_string().as_str());
    }
    let keys = nodes
        .iter_mut()
        .map(|node| match node.client.cmd("DBSIZE") {
            Reply::Integer(keys) => keys,
            other => panic!("{other}"),
        });
    assert_eq!(keys.sum::<i64>(), 100);
    // CLUSTER SLOTS tells the same to everybody; SHARDS has each node once.
    let slots = nodes[0].client.cmd("CLUSTER SLOTS");
    assert_eq!(nodes[2].client.cmd("CLUSTER SLOTS"), slots);
    assert_eq!(nodes[1].client.cmd("CLUSTER SHARDS").items().len(), 3);
    assert_eq!(nodes[1].client.cmd("CLUSTER LINKS").items().len(), 4);
    // Keys per slot: of this node's slots only.
    let most = nodes[2]
        .client
        .cmd("CLUSTER SLOT-STATS ORDERBY key-count LIMIT 1");
    assert!(matches!(
        most.items()[0].items()[0],
        Reply::Integer(10922..)
    ));
    let none = nodes[2].client.cmd("CLUSTER SLOT-STATS SLOTSRANGE 0 5");
    assert!(none.items().is_empty());
    // A message reaches the subscribers of every node.
    let mut listener = nodes[2].server.client();
    listener.cmd("SUBSCRIBE news");
    nodes[0].client.cmd("PUBLISH news hello").is(0);
    let message = listener.read().expect("a message");
    assert_eq!(message.items()[2].text(), "hello");
}

#[test]
fn a_primary_that_is_killed_is_replaced_and_comes_back_as_a_replica() {
    let mut nodes: Vec<Node> = (0..4).map(|_| Node::ours()).collect();
    form(&mut nodes, 3);
    for i in 0..50 {
        call(&mut nodes, &format!("SET key:{i} {i}")).ok();
    }
    await_that("the replica has all", || {
        let (offset, name) = ("INFO replication", "master_repl_offset");
        nodes[0].field(offset, name) == nodes[3].field(offset, "slave_repl_offset")
    });
    nodes[3].client.cmd("READONLY").ok();
    let on_replica = nodes[3].client.cmd("DBSIZE");
    assert_eq!(nodes[0].client.cmd("DBSIZE"), on_replica);

    nodes[0].server.kill();
    let replica = &mut nodes[3];
    await_that("the replica takes over", || replica.role() == "master");
    assert!(replica.server.log().contains("Failover election won"));
    for node in &mut nodes[1..] {
        await_that("the cluster is up", || {
            node.field("CLUSTER INFO", "cluster_state") == "ok"
        });
    }
    for i in 0..50 {
        call(&mut nodes[1..], &format!("GET key:{i}")).is(i.to_string().as_str());
    }
    // It has another port now, and other nodes find that out; its file says who it is.
    nodes[0].restart();
    await_that("the old primary follows", || {
        nodes[0].role() == "slave"
            && nodes[0].field("INFO replication", "master_link_status") == "up"
    });
    agree(&mut nodes);
    assert_eq!(nodes[0].client.cmd("DBSIZE"), on_replica);
}

#[test]
fn a_manual_failover_loses_no_write() {
    let mut nodes: Vec<Node> = (0..4).map(|_| Node::ours()).collect();
    form(&mut nodes, 3);
    // Slot 5061 of `bar` is the first node's.
    let mut written = 0;
    for (from, to) in [(0, 3), (3, 0)] {
        nodes[to].client.cmd("CLUSTER FAILOVER").ok();
        await_that("the roles have changed", || {
            let reply = nodes[from].client.cmd("INCR bar");
            match &reply {
                Reply::Integer(count) => {
                    written += 1;
                    assert_eq!(*count, written);
                    false
                }
                _ => {
                    reply.clone().error("MOVED 5061");
                    nodes[to].role() == "master" && nodes[from].role() == "slave"
                }
            }
        });
        written += 1;
        nodes[to].client.cmd("INCR bar").is(written);
        await_that("the old primary follows", || {
            nodes[from].field("INFO replication", "master_link_status") == "up"
        });
    }
    nodes[0]
        .client
        .cmd("CLUSTER FAILOVER")
        .error("ERR You should send CLUSTER FAILOVER to a replica");
}

#[test]
fn a_slot_moves_key_by_key() {
    let mut nodes: Vec<Node> = (0..3).map(|_| Node::ours()).collect();
    form(&mut nodes, 3);
    let (source, target) = (nodes[2].id(), nodes[0].id());
    let (port, to) = (
        nodes[0].server.port(),
        format!(":{}", nodes[0].server.port()),
    );
    for key in ["{foo}1", "{foo}2"] {
        nodes[2].client.cmd(&format!("SET {key} x")).ok();
    }
    let mut blocked = nodes[2].server.client();
    blocked.send(b"BLPOP {foo}list 0\r\n").expect("sent");
    let mut listener = nodes[2].server.client();
    listener.cmd("SSUBSCRIBE foo");
    await_that("a client is blocked", || {
        nodes[2].field("INFO clients", "blocked_clients") == "1"
    });
    nodes[0]
        .client
        .cmd(&format!("CLUSTER SETSLOT 12182 IMPORTING {source}"))
        .ok();
    let moving = &mut nodes[2].client;
    moving
        .cmd(&format!("CLUSTER SETSLOT 12182 MIGRATING {target}"))
        .ok();
    moving
        .cmd(&format!("MIGRATE 127.0.0.1 {port} {{foo}}1 0 5000"))
        .ok();
    moving.cmd("GET {foo}2").is("x");
    moving
        .cmd("GET {foo}1")
        .error(&format!("ASK 12182 127.0.0.1{to}"));
    moving.cmd("MGET {foo}1 {foo}2").error("TRYAGAIN");
    let importing = &mut nodes[0].client;
    importing.cmd("GET {foo}1").error("MOVED 12182");
    importing.cmd("ASKING").ok();
    importing.cmd("GET {foo}1").is("x");
    // It holds for one command, or for one transaction.
    importing.cmd("GET {foo}1").error("MOVED 12182");
    importing.cmd("ASKING").ok();
    importing.cmd("MULTI").ok();
    importing.cmd("GET {foo}1").status("QUEUED");
    assert_eq!(importing.cmd("EXEC").items()[0].text(), "x");
    importing.cmd("GET {foo}1").error("MOVED 12182");
    importing.cmd("ASKING").ok();
    importing.cmd("MGET {foo}1 {foo}2").error("TRYAGAIN");

    let give = format!("CLUSTER SETSLOT 12182 NODE {target}");
    let moving = &mut nodes[2].client;
    moving
        .cmd(&give)
        .error("ERR Can't assign hashslot 12182 to a different node while I still hold keys");
    moving
        .cmd(&format!("MIGRATE 127.0.0.1 {port} {{foo}}2 0 5000"))
        .ok();
    nodes[0].client.cmd(&give).ok();
    nodes[2].client.cmd(&give).ok();
    blocked.read().expect("an answer").error("MOVED 12182");
    let gone = listener.read().expect("a message");
    assert_eq!(gone.items()[0].text(), "sunsubscribe");
    nodes[0].client.cmd("MGET {foo}1 {foo}2").is(["x", "x"]);
    nodes[2].client.cmd("GET {foo}1").error("MOVED 12182");
    agree(&mut nodes);
}

/// redis 13789's neighbours 14137, 13353, 10924 and 3599, 3607, 13443: a damaged file was overwritten, or ended the
/// process by an assertion. Here the start fails with the line and the reason, and the file stays.
#[test]
fn a_damaged_file_stops_the_start_and_stays() {
    let mut node = Node::ours();
    let file = node.server.dir().join("nodes.conf");
    let good = fs::read_to_string(&file).expect("the node's file");
    let start = |dir: &std::path::Path| {
        let port = crate::support::server::free_port()
            .expect("a port")
            .to_string();
        let bus = crate::support::server::free_port()
            .expect("a port")
            .to_string();
        let words = [
            "--port",
            &port,
            "--cluster-port",
            &bus,
            "--cluster-enabled",
            "yes",
        ];
        Command::new(env!("CARGO_BIN_EXE_oxidis-server"))
            .args(words)
            .current_dir(dir)
            .output()
            .expect("it ends")
    };
    let dir = node.server.dir().to_owned();
    // The node runs, so its file is locked, also after the file was replaced.
    node.client.cmd("CLUSTER SAVECONFIG").ok();
    let refused = start(&dir);
    let text = String::from_utf8_lossy(&refused.stdout);
    assert_eq!(refused.status.code(), Some(1), "{text}");
    assert!(text.contains("is already used by a different"), "{text}");

    node.server.kill();
    for (damage, reason) in [
        ("oops\n", "(line 3: fewer than eight fields)"),
        (
            "vars currentEpoch\n",
            "(line 3: a variable without a value)",
        ),
        (good.as_str(), "(line 3: a node that is listed already)"),
    ] {
        let bad = format!("{good}{damage}");
        fs::write(&file, &bad).expect("written");
        let refused = start(&dir);
        let text = String::from_utf8_lossy(&refused.stdout);
        assert_eq!(refused.status.code(), Some(1), "{text}");
        assert!(
            text.contains("Unrecoverable error: corrupted cluster config file"),
            "{text}"
        );
        assert!(text.contains(reason), "{text}");
        assert_eq!(fs::read_to_string(&file).expect("it is there"), bad);
    }
}

/// Bytes of strangers on the bus: damaged messages, endless ones, half ones. None of them ends the node or is kept.
#[test]
fn strangers_on_the_bus_are_cut_off() {
    let mut node = Node::ours();
    let bus = node.client.cmd("CONFIG GET cluster-port").items()[1].text();
    let bus: u16 = bus.parse().expect("a port");
    let mut endless = b"RCmb\xff\xff\xff\xff\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
    endless.resize(4096, b'x');
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"RCmb\0\0\0\x10aaaaaaaaaaaa",
        &endless,
    ] {
        let mut stranger = TcpStream::connect(("127.0.0.1", bus)).expect("it listens");
        stranger
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout");
        stranger.write_all(bytes).expect("sent");
        // The link is closed, at once or with an error for what was not read.
        let end = stranger.read(&mut [0; 16]);
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
    let _half = {
        let mut half = TcpStream::connect(("127.0.0.1", bus)).expect("it listens");
        half.write_all(b"RCmb").expect("sent");
        half
    };
    assert_eq!(node.field("CLUSTER INFO", "cluster_known_nodes"), "1");
    let log = node.server.log();
    let line = "Bad message length or signature received on the Cluster bus";
    assert!(log.contains(line), "{log}");
}

/// One cluster of Oxidis and of real Redis: each replicates the other, roles change in both directions, and a killed
/// primary of either kind is replaced by the other kind.
#[test]
fn real_redis_in_one_cluster_with_us() {
    let Some(redis) = Server::redis() else {
        eprintln!("no redis-server in PATH: skipped");
        return;
    };
    let real = || Node::start(redis.clone());
    // Primaries: ours, real, ours; then a real replica of ours and one of ours of a real one.
    let mut nodes = vec![Node::ours(), real(), Node::ours(), real(), Node::ours()];
    form(&mut nodes, 3);
    for i in 0..60 {
        call(&mut nodes, &format!("SET key:{i} {i}")).ok();
    }
    // A primary that is killed takes writes with it that no replica has yet.
    for node in &mut nodes[..2] {
        node.client.cmd("WAIT 1 20000").is(1);
    }
    // A replica of Redis 7 is asked once only: a second time, soon after, it counts its old votes.
    for (primary, replica) in [(0, 3), (1, 4)] {
        nodes[primary].server.kill();
        await_that("the replica takes over", || {
            nodes[replica].role() == "master"
        });
        nodes[primary].restart();
        await_that("the old primary follows", || {
            nodes[primary].role() == "slave"
                && nodes[primary].field("INFO replication", "master_link_status") == "up"
        });
        agree(&mut nodes);
        nodes[primary].client.cmd("CLUSTER FAILOVER").ok();
        await_that("the roles have changed back", || {
            nodes[primary].role() == "master" && nodes[replica].role() == "slave"
        });
        await_that("the replica follows again", || {
            nodes[replica].field("INFO replication", "master_link_status") == "up"
        });
        agree(&mut nodes);
    }
    for i in 0..60 {
        call(&mut nodes, &format!("GET key:{i}")).is(i.to_string().as_str());
    }

    // Each reads the file of the other, and is the node that the file describes.
    let mut file_of = |index: usize| {
        nodes[index].client.cmd("CLUSTER SAVECONFIG").ok();
        let file = nodes[index].server.dir().join("nodes.conf");
        (
            nodes[index].id(),
            nodes[index].view(),
            fs::read(file).expect("its file"),
        )
    };
    let (ours, reals) = (file_of(0), file_of(1));
    // Two live nodes of one name would disturb each other.
    nodes.iter_mut().for_each(|node| node.server.kill());
    for (mut reader, (id, view, text)) in [(Node::ours(), reals), (real(), ours)] {
        reader.server.kill();
        fs::write(reader.server.dir().join("nodes.conf"), text).expect("written");
        reader.restart();
        assert_eq!(reader.id(), id);
        let known = |view: &[String]| -> Vec<String> {
            let ids = view.iter().map(|line| line[..40].to_owned());
            ids.collect()
        };
        assert_eq!(known(&reader.view()), known(&view));
    }
}
