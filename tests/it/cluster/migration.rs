//! Slots move as a whole: between nodes of ours, and with real Redis from 8.4 on in either direction, where
//! `OXIDIS_TEST_REDIS` names one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use oxidis::util::crc16::key_hash_slot;

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
    fill_with(node, 2000);
}

fn fill_with(node: &mut Node, strings: u32) {
    let client = &mut node.client;
    for n in 0..strings {
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

/// The reply of a node that serves a slot. On a busy machine it may suspect another node, and be down for a moment.
#[track_caller]
fn served(node: &mut Node, line: &[&str]) -> Reply {
    let mut last = Reply::NilBulk;
    await_that("the node serves its slots", || {
        last = node.client.call(line);
        !(last.is_error() && last.text().starts_with("CLUSTERDOWN"))
    });
    last
}

#[track_caller]
fn check(node: &mut Node) {
    let list = served(node, &["LRANGE", &key("list"), "0", "-1"]);
    assert_eq!(list.items().len(), 3);
    assert_eq!(served(node, &["HGET", &key("hash"), "g"]).text(), "w");
    assert_eq!(served(node, &["ZSCORE", &key("zset"), "b"]).text(), "2");
    served(node, &["SCARD", &key("set")]).is(2);
    served(node, &["XLEN", &key("stream")]).is(1);
    served(node, &["LLEN", &key("long")]).is(600);
    let Reply::Integer(ttl) = served(node, &["TTL", &key("timed")]) else {
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
    fill_with(&mut nodes[0], 20);
    // A slot is told as a whole: those of the first come long before the last of the second.
    let large = "x".repeat(40_000);
    for n in 0..200 {
        let client = &mut nodes[0].client;
        let name = format!("large{n}{{{}}}", tag_of(1));
        client.call(&["SET", &name, &large]).ok();
    }
    nodes[0]
        .client
        .cmd("CONFIG SET rdb-key-save-delay 20000")
        .ok();
    let id = nodes[1].client.cmd("CLUSTER MIGRATION IMPORT 0 1").text();
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
    await_that("all slots are served", || {
        nodes[0].field("CLUSTER INFO", "cluster_state") == "ok"
    });
    check(&mut nodes[0]);
    // A second try succeeds, and the replica of the source hears of its end.
    let again = nodes[4].client.cmd("CLUSTER MIGRATION IMPORT 0 1");
    assert!(!again.is_error(), "{again}");
    await_that("the slots have moved", || {
        state(&mut nodes[4]) == "completed"
    });
    await_that("the replica knows", || state(&mut nodes[3]) == "completed");
    check(&mut nodes[4]);
}

/// A hash tag of a slot.
pub(super) fn tag_of(slot: u16) -> String {
    let mut tags = (0..).map(|n: u32| n.to_string());
    let found = tags.find(|tag| key_hash_slot(tag.as_bytes()) == slot);
    found.expect("every slot has a tag")
}

/// One key of each type and encoding, in a slot, with deadlines where there can be any; their names.
pub(super) fn every_type(node: &mut Node, slot: u16) -> Vec<String> {
    let tag = tag_of(slot);
    let many = |n: u32| -> Vec<String> {
        let pairs = (0..n).flat_map(|i| [format!("f{i}"), format!("v{i}")]);
        pairs.collect()
    };
    let mut commands: Vec<Vec<String>> = [
        "SET string some-text",
        "SET integer 12345",
        "SET timed soon-over PXAT 33177117420000",
        "RPUSH list a b c",
        "SADD intset 1 2 3",
        "SADD set x y z",
        "ZADD zset 1.5 a 2 b inf c",
        "HSET hash f v g w",
        "HSET fields f v g w h x",
        "HPEXPIREAT fields 33177117420000 FIELDS 2 f g",
        "XADD stream 1-1 a b",
        "XADD stream 1-2 a c",
        "XGROUP CREATE stream group 0",
        "XREADGROUP GROUP group me COUNT 1 STREAMS stream >",
        "PFADD counter a b c",
        "ARMSET array 5 five 7 seven",
        "VADD vectors VALUES 3 1 2 3 one",
        "VADD vectors VALUES 3 3 2 1 two SETATTR {}",
    ]
    .into_iter()
    .map(|line| line.split(' ').map(str::to_owned).collect())
    .collect();
    for (command, name) in [
        ("RPUSH", "long-list"),
        ("SADD", "large-set"),
        ("HSET", "large-hash"),
    ] {
        let mut words = vec![command.to_owned(), name.to_owned()];
        words.extend(many(2000));
        commands.push(words);
    }
    let mut words = vec!["ZADD".to_owned(), "large-zset".to_owned()];
    words.extend((0..2000).flat_map(|i| [i.to_string(), format!("m{i}")]));
    commands.push(words);
    commands.push(vec![
        "SET".to_owned(),
        "large".to_owned(),
        "large ".repeat(50_000),
    ]);
    let mut names = Vec::new();
    for mut words in commands {
        let at = match words[0].as_str() {
            "XGROUP" => 2,
            "XREADGROUP" => 7,
            _ => 1,
        };
        words[at] = format!("{}{{{tag}}}", words[at]);
        let reply = node.client.call(&words);
        assert!(!reply.is_error(), "{words:?}: {reply}");
        if !names.contains(&words[at]) {
            names.push(words[at].clone());
        }
    }
    names
}

/// A node that answers DEBUG.
pub(super) fn open_node(args: &[&str]) -> Node {
    let server = Server::oxidis().args(["--enable-debug-command", "yes"]);
    Node::start(server.args(args))
}

/// Everything that can be asked about keys, in words that are the same on each node that has them.
pub(super) fn portrait(node: &mut Node, names: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    for name in names {
        let client = &mut node.client;
        let mut line = format!("{name}:");
        line += &format!(" {}", client.call(&["PEXPIRETIME", name]));
        let kind = client.call(&["TYPE", name]).text();
        // A string that was edited is one that was not, once it was saved.
        if kind != "string" {
            line += &format!(" {}", client.call(&["OBJECT", "ENCODING", name]));
        }
        line += &format!(" {kind}");
        if name.starts_with("fields") {
            let words = ["HPEXPIRETIME", name, "FIELDS", "3", "f", "g", "h"];
            line += &format!(" {}", client.call(&words));
        }
        line += &format!(" {}", client.call(&["DEBUG", "DIGEST-VALUE", name]));
        lines.push(line);
    }
    lines
}

/// Compares what a node says of keys with what another one said.
#[track_caller]
pub(super) fn check_portrait(node: &mut Node, names: &[String], expected: &[String]) {
    for (line, other) in portrait(node, names).iter().zip(expected) {
        assert_eq!(line, other);
    }
}

fn comes_as_tables(node: &Node) -> bool {
    node.server.log().contains("sends the slots as tables")
}

/// Moves slots 0 to 2 from the first node to the second.
pub(super) fn move_three(nodes: &mut [Node]) {
    nodes[1].client.cmd("CLUSTER MIGRATION IMPORT 0 2");
    await_that("the slots have moved", || {
        state(&mut nodes[1]) == "completed"
    });
}

#[test]
fn tables_carry_every_type_there_and_back() {
    let mut nodes = [open_node(&[]), open_node(&[])];
    form(&mut nodes, 2);
    let library = "#!lua name=mine\nredis.register_function('one', function() return 1 end)";
    for node in &mut nodes {
        node.client.call(&["FUNCTION", "LOAD", library]);
    }
    nodes[0].client.call(&[
        "FUNCTION",
        "LOAD",
        "#!lua name=more\nredis.register_function('two', function() return 2 end)",
    ]);
    let names: Vec<String> = [0, 2]
        .into_iter()
        .flat_map(|slot| every_type(&mut nodes[0], slot))
        .collect();
    let before = portrait(&mut nodes[0], &names);
    let fields = nodes[0].field("INFO keyspace", "db0");
    move_three(&mut nodes);
    assert!(comes_as_tables(&nodes[1]));
    check_portrait(&mut nodes[1], &names, &before);
    // Keys with deadlines and hashes with such fields are counted as they were.
    let counted = |text: &str| -> String {
        let counts = text.split(',').filter(|part| !part.starts_with("avg_ttl"));
        counts.collect::<Vec<_>>().join(",")
    };
    let there = nodes[1].field("INFO keyspace", "db0");
    assert_eq!(counted(&there), counted(&fields));
    nodes[1].client.cmd("FCALL two 0").is(2);
    await_that("the source has no key left", || {
        nodes[0].client.cmd("DBSIZE") == Reply::Integer(0)
    });
    // Keys that came in a table change as any others.
    let tag = tag_of(2);
    let list = format!("long-list{{{tag}}}");
    nodes[1].client.call(&["RPUSH", &list, "last"]).is(4001);
    let timed = format!("timed{{{tag}}}");
    nodes[1].client.call(&["PEXPIRE", &timed, "1"]).is(1);
    await_that("it expires", || {
        nodes[1].client.call(&["EXISTS", &timed]) == Reply::Integer(0)
    });
    let short = format!("fields{{{tag}}}");
    let words = ["HPEXPIRE", &short, "1", "FIELDS", "3", "f", "g", "h"];
    nodes[1].client.call(&words);
    await_that("its fields expire", || {
        nodes[1].client.call(&["EXISTS", &short]) == Reply::Integer(0)
    });
    let names: Vec<String> = names
        .into_iter()
        .filter(|name| *name != timed && *name != short)
        .collect();
    let before = portrait(&mut nodes[1], &names);
    nodes.swap(0, 1);
    move_three(&mut nodes);
    check_portrait(&mut nodes[1], &names, &before);
}

/// A destination's replica and its append-only file have the keys that came in tables, and what was written meanwhile.
#[test]
fn replicas_and_the_file_of_the_destination_have_the_keys() {
    let with_file = ["--appendonly", "yes"];
    let mut nodes = [&[][..], &with_file[..], &[], &[]].map(open_node);
    form(&mut nodes, 2);
    let mut names: Vec<String> = [0, 1, 2]
        .into_iter()
        .flat_map(|slot| every_type(&mut nodes[0], slot))
        .collect();
    let counter = format!("writes{{{}}}", tag_of(1));
    names.push(counter.clone());
    nodes[0].client.call(&["INCR", &counter]).is(1);
    // Slow enough for the file to be rewritten in the middle, more than once.
    nodes[0]
        .client
        .cmd("CONFIG SET rdb-key-save-delay 2000")
        .ok();
    nodes[1].client.cmd("CLUSTER MIGRATION IMPORT 0 2");
    let mut rewriter = nodes[1].server.client();
    await_that("the slots have moved", || {
        rewriter.cmd("BGREWRITEAOF");
        nodes[0].client.call(&["INCR", &counter]);
        state(&mut nodes[1]) == "completed"
    });
    assert!(comes_as_tables(&nodes[1]));
    nodes[1].client.call(&["INCR", &counter]);
    let there = portrait(&mut nodes[1], &names);
    nodes[1].client.cmd("WAIT 1 10000").is(1);
    nodes[3].client.cmd("READONLY").ok();
    check_portrait(&mut nodes[3], &names, &there);
    assert_eq!(
        nodes[3].client.cmd("DEBUG DIGEST").text(),
        nodes[1].client.cmd("DEBUG DIGEST").text()
    );
    await_that("no rewrite is under way", || {
        nodes[1].field("INFO persistence", "aof_rewrite_in_progress") == "0"
    });
    nodes[1].client.cmd("DEBUG LOADAOF").ok();
    check_portrait(&mut nodes[1], &names, &there);
}

#[test]
fn a_source_that_dies_leaves_nothing_behind() {
    let mut nodes = [Node::ours(), Node::ours()];
    form(&mut nodes, 2);
    every_type(&mut nodes[0], 0);
    let large = "x".repeat(40_000);
    for n in 0..100 {
        let name = format!("large{n}{{{}}}", tag_of(1));
        nodes[0].client.call(&["SET", &name, &large]).ok();
    }
    nodes[0]
        .client
        .cmd("CONFIG SET rdb-key-save-delay 50000")
        .ok();
    nodes[1].client.cmd("CLUSTER MIGRATION IMPORT 0 1");
    let has_keys = |node: &mut Node| node.client.cmd("INFO keyspace").text().contains("db0");
    await_that("the first slot is attached", || has_keys(&mut nodes[1]));
    nodes[1].client.cmd("DBSIZE").is(0);
    nodes[0].server.kill();
    await_that("the try has failed", || {
        state(&mut nodes[1]) != "accumulate-buffer"
    });
    await_that("its keys are gone", || !has_keys(&mut nodes[1]));
    nodes[1].client.cmd("CLUSTER MIGRATION CANCEL ALL").is(1);
    assert_eq!(state(&mut nodes[1]), "canceled");
}

/// Who listens to keyspace events hears of each key that comes, so keys come as commands there.
#[test]
fn keys_that_are_listened_for_come_as_commands() {
    let mut nodes = [Node::ours(), Node::ours()];
    form(&mut nodes, 2);
    nodes[0].client.call(&["SET", &key("k"), "v"]).ok();
    nodes[1]
        .client
        .cmd("CONFIG SET notify-keyspace-events KA")
        .ok();
    let mut listener = nodes[1].server.client();
    listener.call(&["SUBSCRIBE", &format!("__keyspace@0__:{}", key("k"))]);
    nodes[1].client.cmd("CLUSTER MIGRATION IMPORT 0 0");
    await_that("the slot has moved", || state(&mut nodes[1]) == "completed");
    assert!(!comes_as_tables(&nodes[1]));
    let heard = listener.read().expect("an event");
    assert_eq!(heard.items()[2].text(), "set");
}

/// A destination whose memory is full refuses keys in whatever form they come.
#[test]
fn tables_are_refused_when_memory_is_full() {
    let mut nodes = [Node::ours(), Node::ours()];
    form(&mut nodes, 2);
    every_type(&mut nodes[0], 0);
    nodes[1].client.cmd("CONFIG SET maxmemory 1mb").ok();
    nodes[1].client.cmd("CLUSTER MIGRATION IMPORT 0 0");
    await_that("the try has failed", || state(&mut nodes[1]) == "failed");
    let tasks = nodes[1].client.cmd("CLUSTER MIGRATION STATUS ALL");
    let error = field(&tasks.items()[0], "last_error").text();
    assert!(error.contains("OOM"), "{error}");
    nodes[1].client.cmd("CONFIG SET maxmemory 0").ok();
    await_that("the next try succeeds", || {
        state(&mut nodes[1]) == "completed"
    });
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
