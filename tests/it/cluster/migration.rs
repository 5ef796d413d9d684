//! Slots move as a whole: between nodes of ours, and with real Redis from 8.4 on in either direction, where
//! `OXIDIS_TEST_REDIS` names one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{Node, await_that, form};
use crate::support::{Reply, Server};

/// A key of slot 0 for each name.
pub(super) fn key(name: &str) -> String {
    format!("{name}{{06S}}")
}

fn field(map: &Reply, name: &str) -> Reply {
    let items = map.items();
    let at = items.iter().step_by(2).position(|item| item.text() == name);
    items[2 * at.expect("the field is there") + 1].clone()
}

/// The state of the newest task.
pub(super) fn state(node: &mut Node) -> String {
    let tasks = node.client.cmd("CLUSTER MIGRATION STATUS ALL");
    let newest = tasks
        .items()
        .first()
        .map(|task| field(task, "state").text());
    newest.unwrap_or_default()
}

pub(super) fn fill(node: &mut Node) {
    let client = &mut node.client;
    for n in 0..2000 {
        client.call(&["SET", &key(&format!("k{n}")), "v"]).ok();
    }
    client.call(&["RPUSH", &key("list"), "a", "b", "c"]).is(3);
    client
        .call(&["HSET", &key("hash"), "f", "v", "g", "w"])
        .is(2);
    client
        .call(&["ZADD", &key("zset"), "1", "a", "2", "b"])
        .is(2);
    client.call(&["SADD", &key("set"), "x", "y"]).is(2);
    client.call(&["XADD", &key("stream"), "1-1", "a", "b"]);
    client.call(&["SET", &key("timed"), "v", "EX", "1000"]).ok();
    for n in 0..600 {
        client
            .call(&["RPUSH", &key("long"), &n.to_string()])
            .is(n + 1);
    }
}

fn check(node: &mut Node) {
    let client = &mut node.client;
    assert_eq!(
        client
            .call(&["LRANGE", &key("list"), "0", "-1"])
            .items()
            .len(),
        3
    );
    assert_eq!(client.call(&["HGET", &key("hash"), "g"]).text(), "w");
    assert_eq!(client.call(&["ZSCORE", &key("zset"), "b"]).text(), "2");
    client.call(&["SCARD", &key("set")]).is(2);
    client.call(&["XLEN", &key("stream")]).is(1);
    client.call(&["LLEN", &key("long")]).is(600);
    let Reply::Integer(ttl) = client.call(&["TTL", &key("timed")]) else {
        panic!("a number");
    };
    assert!((900..=1000).contains(&ttl), "{ttl}");
}

/// Moves slot 0 from the first node to the second while a client counts, and looks that nothing acknowledged is lost.
fn moves_under_writes(mut nodes: [Node; 2]) {
    form(&mut nodes, 2);
    fill(&mut nodes[0]);
    let mut writer = nodes[0].server.client();
    let stop = AtomicBool::new(false);
    let (acknowledged, refusal) = thread::scope(|scope| {
        let counting = scope.spawn(|| {
            let (mut acknowledged, counter) = (0, key("counter"));
            while !stop.load(Ordering::Relaxed) {
                match writer.call(&["INCR", &counter]) {
                    Reply::Integer(n) => acknowledged = n,
                    other => return (acknowledged, Some(other)),
                }
                writer.call(&["DEL", &key(&format!("k{acknowledged}"))]);
            }
            (acknowledged, None)
        });
        await_that("the counter counts", || {
            nodes[0].client.call(&["EXISTS", &key("counter")]) == Reply::Integer(1)
        });
        let task = nodes[1].client.cmd("CLUSTER MIGRATION IMPORT 0 0").text();
        assert_eq!(task.len(), 40);
        await_that("the slot has moved", || state(&mut nodes[1]) == "completed");
        await_that("the source knows", || state(&mut nodes[0]) == "completed");
        await_that("the writer is sent away", || counting.is_finished());
        stop.store(true, Ordering::Relaxed);
        counting.join().expect("the writer ends")
    });
    let refusal = refusal.expect("the slot is elsewhere now").text();
    assert!(refusal.starts_with("MOVED 0 "), "{refusal}");
    let there = nodes[1].client.call(&["GET", &key("counter")]).text();
    assert_eq!(there, acknowledged.to_string());
    nodes[1].client.call(&["EXISTS", &key("k1")]).is(0);
    check(&mut nodes[1]);
    let left = || nodes[0].client.cmd("DBSIZE") == Reply::Integer(0);
    await_that("the source has no key left", left);
}

#[test]
fn a_slot_moves_as_a_whole_under_writes() {
    moves_under_writes([Node::ours(), Node::ours()]);
}

pub(super) fn real_with_migration() -> Option<Node> {
    let mut node = Node::start(Server::redis()?);
    let refusal = node.client.cmd("CLUSTER MIGRATION STATUS ALL");
    let known = !refusal.is_error();
    if !known {
        println!("skipped: this Redis has no CLUSTER MIGRATION");
    }
    known.then_some(node)
}

#[test]
fn a_slot_moves_from_real_redis() {
    if let Some(real) = real_with_migration() {
        moves_under_writes([real, Node::ours()]);
    }
}

#[test]
fn a_slot_moves_to_real_redis() {
    if let Some(real) = real_with_migration() {
        moves_under_writes([Node::ours(), real]);
    }
}

/// Two nodes, of which the second imports a slot from the first so slowly that it does not get to the end: each key takes
/// a second to save.
fn slow_import() -> [Node; 2] {
    let mut nodes = [Node::ours(), Node::ours()];
    form(&mut nodes, 2);
    fill(&mut nodes[0]);
    nodes[0]
        .client
        .cmd("CONFIG SET rdb-key-save-delay 1000000")
        .ok();
    nodes[1].client.cmd("CLUSTER MIGRATION IMPORT 0 0");
    nodes
}

#[test]
fn keys_on_their_way_are_not_seen() {
    let mut nodes = slow_import();
    await_that("keys come", || {
        let keyspace = nodes[1].client.cmd("INFO keyspace").text();
        state(&mut nodes[1]) == "accumulate-buffer" || keyspace.contains("db0")
    });
    nodes[1].client.cmd("DBSIZE").is(0);
    assert!(nodes[1].client.cmd("KEYS *").items().is_empty());
    nodes[1].client.cmd("RANDOMKEY").nil();
    let refusal = nodes[1].client.call(&["GET", &key("k1")]).text();
    assert!(refusal.starts_with("MOVED 0 "), "{refusal}");
    nodes[1].client.cmd("CLUSTER MIGRATION CANCEL ALL").is(1);
    assert_eq!(state(&mut nodes[1]), "canceled");
    await_that("the source goes on", || state(&mut nodes[0]) == "failed");
    assert_eq!(nodes[0].client.call(&["GET", &key("k1")]).text(), "v");
    check(&mut nodes[0]);
}

#[test]
fn a_destination_that_dies_costs_the_source_nothing() {
    let mut nodes = slow_import();
    await_that("it has begun", || {
        state(&mut nodes[0]) == "send-bulk-and-stream"
    });
    nodes[1].server.kill();
    await_that("the source gives up", || state(&mut nodes[0]) == "failed");
    nodes[0]
        .client
        .cmd("CONFIG SET cluster-require-full-coverage no")
        .ok();
    await_that("the source serves", || {
        nodes[0].client.call(&["SET", &key("after"), "1"]) == Reply::Status(b"OK".to_vec())
    });
    check(&mut nodes[0]);
}

/// Replicas of both ends hear of a task. The one of the destination hides the keys that come, and when it has to take over
/// it deletes them: they are still the source's.
#[test]
fn replicas_hear_of_a_task_and_end_it() {
    let mut nodes: Vec<Node> = (0..5).map(|_| Node::ours()).collect();
    form(&mut nodes, 3);
    fill(&mut nodes[0]);
    // Keys leave in large pieces: some come long before the last.
    let large = "x".repeat(40_000);
    for n in 0..200 {
        let client = &mut nodes[0].client;
        client
            .call(&["SET", &key(&format!("large{n}")), &large])
            .ok();
    }
    nodes[0]
        .client
        .cmd("CONFIG SET rdb-key-save-delay 20000")
        .ok();
    let id = nodes[1].client.cmd("CLUSTER MIGRATION IMPORT 0 0").text();
    for (replica, operation) in [(3, "migrate"), (4, "import")] {
        await_that("the replica hears of it", || {
            let tasks = nodes[replica].client.cmd("CLUSTER MIGRATION STATUS ALL");
            let newest = tasks.items().first();
            newest.is_some_and(|task| {
                field(task, "id").text() == id && field(task, "operation").text() == operation
            })
        });
    }
    await_that("keys come to the replica", || {
        let keyspace = nodes[4].client.cmd("INFO keyspace").text();
        keyspace.contains("db0:keys=")
    });
    nodes[4].client.cmd("DBSIZE").is(0);
    nodes[1].server.kill();
    let replica = &mut nodes[4];
    await_that("the replica takes over", || replica.role() == "master");
    await_that("the task has failed", || state(replica) == "failed");
    await_that("the keys are gone", || {
        let keyspace = replica.client.cmd("INFO keyspace").text();
        !keyspace.contains("db0")
    });
    let log = replica.server.log();
    assert!(log.contains("from old master failed"), "{log}");
    nodes[0].client.cmd("CONFIG SET rdb-key-save-delay 0").ok();
    await_that("the source gives up", || state(&mut nodes[0]) == "failed");
    check(&mut nodes[0]);
    // A second try succeeds, and the replica of the source hears of its end.
    nodes[4].client.cmd("CLUSTER MIGRATION IMPORT 0 0");
    await_that("the slot has moved", || state(&mut nodes[4]) == "completed");
    await_that("the replica knows", || state(&mut nodes[3]) == "completed");
    check(&mut nodes[4]);
}

#[test]
fn imports_are_refused_in_redis_words() {
    let mut nodes = [Node::ours(), Node::ours()];
    form(&mut nodes, 2);
    let client = &mut nodes[0].client;
    let refused = [
        (
            "CLUSTER MIGRATION IMPORT 1",
            "ERR wrong number of arguments",
        ),
        (
            "CLUSTER MIGRATION IMPORT 5 3",
            "ERR start slot number 5 is greater than end slot number 3",
        ),
        (
            "CLUSTER MIGRATION IMPORT 8192 8193 8193 8194",
            "ERR Slot 8193 specified multiple times",
        ),
        (
            "CLUSTER MIGRATION IMPORT 0 0",
            "ERR this node is already the owner of the slot range",
        ),
        (
            "CLUSTER MIGRATION IMPORT 0 9000",
            "ERR slots belong to different source nodes",
        ),
        (
            "CLUSTER MIGRATION IMPORT 99999 1",
            "ERR Invalid or out of range slot",
        ),
        ("CLUSTER MIGRATION CANCEL foo", "ERR unknown argument"),
        ("CLUSTER MIGRATION STATUS foo", "ERR unknown argument"),
        (
            "TRIMSLOTS RANGES 1 0 0",
            "ERR the slot 0 is served by this node",
        ),
        ("TRIMSLOTS RANGES 2 0 0", "ERR invalid number of ranges"),
    ];
    for (request, words) in refused {
        client.cmd(request).error(words);
    }
    client.cmd("CLUSTER MIGRATION CANCEL ALL").is(0);
    assert!(
        client
            .cmd("CLUSTER MIGRATION STATUS ALL")
            .items()
            .is_empty()
    );
}

#[test]
fn strangers_have_no_word_in_it() {
    let node = Node::ours();
    let mut stranger = node.server.client();
    let words = "ERR CLUSTER SYNCSLOTS subcommands are only allowed for internal clients";
    stranger
        .cmd("CLUSTER SYNCSLOTS CONF NODE-ID x")
        .error(words);
    assert!(
        stranger.send(b"PING\r\n").is_err() || stranger.read().is_err(),
        "it is closed"
    );
    let mut guesser = node.server.client();
    let secret = "0".repeat(40);
    for guess in ["", "x", &secret] {
        let reply = guesser.call(&["AUTH", "internal connection", guess]);
        reply.error("WRONGPASS invalid internal password");
    }
    let alone = Server::oxidis().start();
    let reply = alone
        .client()
        .call(&["AUTH", "internal connection", &secret]);
    reply.error("ERR Cannot authenticate as an internal connection on non-cluster instances");
}
