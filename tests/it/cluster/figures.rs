//! Figures of slots (CLUSTER SLOT-STATS), and the keys of slots deleted at once (SFLUSH).

use super::*;

fn alone(more: &str) -> Node {
    let mut node = Node::start(Server::oxidis().config(&format!("cluster-enabled yes\n{more}")));
    node.client.cmd("CLUSTER ADDSLOTSRANGE 0 16383").ok();
    await_that("the cluster is up", || {
        node.field("CLUSTER INFO", "cluster_state") == "ok"
    });
    node
}

/// The figures of a slot, name by name.
fn figures(node: &mut Node, slot: u16) -> Vec<(String, i64)> {
    let line = format!("CLUSTER SLOT-STATS SLOTSRANGE {slot} {slot}");
    let reply = node.client.cmd(&line);
    let items = reply.items()[0].items()[1].items().to_vec();
    let pairs = items.chunks(2).map(|pair| match &pair[1] {
        Reply::Integer(number) => (pair[0].text(), *number),
        other => panic!("{other}"),
    });
    pairs.collect()
}

fn figure(node: &mut Node, slot: u16, name: &str) -> i64 {
    let all = figures(node, slot);
    let found = all.iter().find(|(word, _)| word == name);
    found.unwrap_or_else(|| panic!("no {name} in {all:?}")).1
}

fn bytes(node: &mut Node, slot: u16) -> (i64, i64) {
    (
        figure(node, slot, "network-bytes-in"),
        figure(node, slot, "network-bytes-out"),
    )
}

/// What requests cost is counted for the slot of their keys, as a real 8.6 counts it.
#[test]
fn requests_are_counted_for_their_slots() {
    let mut node = alone("cluster-slot-stats-enabled cpu net\n");
    let slot = |node: &mut Node, key: &str| match node.client.cmd(&format!("CLUSTER KEYSLOT {key}"))
    {
        Reply::Integer(slot) => slot as u16,
        other => panic!("{other}"),
    };
    let (key, other) = (slot(&mut node, "key"), slot(&mut node, "key2"));
    node.client.cmd("SET key value").ok();
    assert_eq!(bytes(&mut node, key), (33, 5));
    assert_eq!(bytes(&mut node, other), (0, 0));
    let cpu = figure(&mut node, key, "cpu-usec");
    let stat = node.field("INFO commandstats", "cmdstat_set");
    assert!(stat.contains(&format!("usec={cpu},")), "{stat}");

    // An inline request counts as it came.
    node.client.cmd("CONFIG RESETSTAT").ok();
    node.client.send(b"GET key\r\n").expect("sent");
    node.client.read().expect("a reply");
    assert_eq!(bytes(&mut node, key), (9, 11));

    // A transaction counts once, with its MULTI and EXEC.
    node.client.cmd("CONFIG RESETSTAT").ok();
    node.client.cmd("MULTI").ok();
    node.client.cmd("SET key value");
    let mut own = std::mem::replace(&mut node.client, node.server.client());
    assert_eq!(bytes(&mut node, key), (0, 0));
    own.cmd("EXEC");
    assert_eq!(bytes(&mut node, key).0, 15 + 33 + 14);

    // A blocked command counts when it is served.
    node.client.cmd("DEL key");
    node.client.cmd("CONFIG RESETSTAT").ok();
    let mut blocked = node.server.client();
    blocked
        .send(b"*3\r\n$5\r\nBLPOP\r\n$3\r\nkey\r\n$1\r\n0\r\n")
        .expect("sent");
    await_that("a client is blocked", || {
        node.field("INFO clients", "blocked_clients") == "1"
    });
    assert_eq!(bytes(&mut node, key), (0, 0));
    node.client.cmd("LPUSH key value").is(1);
    blocked.read().expect("a reply");
    assert_eq!(bytes(&mut node, key), (31 + 35, 4 + 24));

    // A script counts for the slot of the keys that it used; one of several slots for none.
    node.client.cmd("CONFIG RESETSTAT").ok();
    let script = "EVAL \"#!lua\nredis.call('set', 'key', 1)\" 0";
    node.client.cmd(script);
    assert!(figure(&mut node, key, "cpu-usec") > 0);
    node.client.cmd("CONFIG RESETSTAT").ok();
    let script = "EVAL \"#!lua flags=allow-cross-slot-keys\nredis.call('set', 'key', 1) redis.call('get', 'key2')\" 0";
    node.client.cmd(script);
    assert_eq!(figure(&mut node, key, "cpu-usec"), 0);
    assert_eq!(figure(&mut node, other, "cpu-usec"), 0);

    // A slot that leaves begins anew, and so it is with its subscribers.
    node.client.cmd("CONFIG RESETSTAT").ok();
    let mut subscriber = node.server.client();
    subscriber.cmd("SSUBSCRIBE key");
    let before = bytes(&mut node, key);
    node.client.cmd("SPUBLISH key hello").is(1);
    let after = bytes(&mut node, key);
    assert_eq!((after.0 - before.0, after.1 - before.1), (38, 4 + 38));
    node.client.cmd(&format!("CLUSTER DELSLOTS {key}")).ok();
    node.client.cmd(&format!("CLUSTER ADDSLOTS {key}")).ok();
    assert_eq!(bytes(&mut node, key), (0, 0));
}

/// What is not counted is neither told nor sorted by.
#[test]
fn figures_that_are_switched_off_are_not_told() {
    let mut node = alone("");
    node.client.cmd("SET key value").ok();
    let names = |node: &mut Node| -> Vec<String> {
        figures(node, 12539)
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    };
    assert_eq!(names(&mut node), ["key-count"]);
    let unknown = "ERR Unrecognized sort metric for ORDERBY.";
    node.client
        .cmd("CLUSTER SLOT-STATS ORDERBY cpu-usec")
        .error(unknown);
    node.client
        .cmd("CONFIG SET cluster-slot-stats-enabled net")
        .ok();
    assert_eq!(
        names(&mut node),
        ["key-count", "network-bytes-in", "network-bytes-out"]
    );
    node.client.cmd("GET key").is("value");
    let most = node
        .client
        .cmd("CLUSTER SLOT-STATS ORDERBY network-bytes-out LIMIT 1");
    most.items()[0].items()[0].clone().is(12539);
    node.client
        .cmd("CLUSTER SLOT-STATS ORDERBY cpu-usec")
        .error(unknown);
    // What was counted is shown again after a pause.
    node.client
        .cmd("CONFIG SET cluster-slot-stats-enabled no")
        .ok();
    node.client.cmd("GET key").is("value");
    node.client
        .cmd("CONFIG SET cluster-slot-stats-enabled net")
        .ok();
    assert_eq!(bytes(&mut node, 12539), (22, 11));
}

/// The memory of slots is told if it was asked for at the start, and then never again once it was switched off.
#[test]
fn the_memory_of_slots_is_told() {
    let mut node = alone("cluster-slot-stats-enabled mem\n");
    let memory = |node: &mut Node| figure(node, 12539, "memory-bytes");
    assert_eq!(memory(&mut node), 0);
    node.client.cmd("SET key value").ok();
    let usage = |node: &mut Node, key: &str| match node.client.cmd(&format!("MEMORY USAGE {key}")) {
        Reply::Integer(bytes) => bytes,
        other => panic!("{other:?}"),
    };
    let one = usage(&mut node, "key");
    assert_eq!(memory(&mut node), one);
    for n in 0..100 {
        node.client.cmd(&format!("RPUSH {{key}}list {n}"));
    }
    let both = one + usage(&mut node, "{key}list");
    assert_eq!(memory(&mut node), both);
    let most = "CLUSTER SLOT-STATS ORDERBY MEMORY-BYTES LIMIT 1";
    let most = node.client.cmd(most);
    let of_slot = most.items()[0].items();
    of_slot[0].clone().is(12539);
    let names: Vec<String> = of_slot[1]
        .items()
        .iter()
        .step_by(2)
        .map(Reply::text)
        .collect();
    assert_eq!(names, ["key-count", "memory-bytes"]);
    node.client.cmd("FLUSHALL").ok();
    assert_eq!(memory(&mut node), 0);
    node.client
        .cmd("CONFIG SET cluster-slot-stats-enabled cpu")
        .ok();
    node.client
        .cmd("CONFIG SET cluster-slot-stats-enabled mem")
        .error("ERR CONFIG SET failed (possibly related to argument 'cluster-slot-stats-enabled') - memory tracking cannot be enabled at runtime");
    node.client
        .cmd("CLUSTER SLOT-STATS ORDERBY memory-bytes")
        .error("ERR Unrecognized sort metric for ORDERBY.");
}

/// The replication stream is counted for each replica, and a replica counts what comes.
#[test]
fn the_stream_is_counted_for_replicas() {
    let stats = || Server::oxidis().args(["--cluster-slot-stats-enabled", "net"]);
    let mut nodes: Vec<Node> = (0..2).map(|_| Node::start(stats())).collect();
    form(&mut nodes, 1);
    nodes[0].client.cmd("CONFIG RESETSTAT").ok();
    nodes[0].client.cmd("SET key VALUE").ok();
    assert_eq!(bytes(&mut nodes[0], 12539), (33, 5 + 33));
    await_that("the replica has it", || bytes(&mut nodes[1], 12539).0 == 33);
    assert_eq!(bytes(&mut nodes[1], 12539).1, 0);
    // valkey 1912: a primary with replicas that becomes a replica, and counts, ended by an assertion.
    nodes[1].client.cmd("CLUSTER FAILOVER").ok();
    await_that("the roles have changed", || {
        nodes[1].role() == "master" && nodes[0].role() == "slave"
    });
    let before = bytes(&mut nodes[0], 12539).0;
    nodes[1].client.cmd("SET key VALUE").ok();
    await_that("the old primary counts what comes", || {
        bytes(&mut nodes[0], 12539).0 == before + 33
    });
}

#[test]
fn slots_are_flushed_when_all_are_named() {
    let mut node = alone("cluster-require-full-coverage no\n");
    node.client.cmd("CLUSTER DELSLOTSRANGE 1000 2000").ok();
    node.client.cmd("SET key value").ok();
    let arity = "ERR wrong number of arguments";
    for (request, refusal) in [
        ("SFLUSH 4", arity),
        ("SFLUSH 4 SYNC", arity),
        ("SFLUSH 4 8 10", arity),
        ("SFLUSH 0 999 2001 8191 ASYNCX", arity),
        ("SFLUSH x 4", "ERR Invalid or out of range slot"),
        ("SFLUSH 0 16384", "ERR Invalid or out of range slot"),
        ("SFLUSH 2 4 3 5", "ERR Slot 3 specified multiple times"),
        ("SFLUSH 8 4", "ERR start slot number 8 is greater than"),
    ] {
        node.client.cmd(request).error(refusal);
    }
    for request in ["SFLUSH 0 999", "SFLUSH 1 16383", "SFLUSH 0 999 2002 16383"] {
        assert!(node.client.cmd(request).items().is_empty(), "{request}");
    }
    node.client.cmd("DBSIZE").is(1);
    for request in [
        "SFLUSH 0 16383",
        "SFLUSH 0 999 2001 16383 SYNC",
        "SFLUSH 0 4000 4001 16383 ASYNC",
    ] {
        node.client.cmd("SET key value").ok();
        let flushed = node.client.cmd(request);
        let ranges: Vec<&[Reply]> = flushed.items().iter().map(Reply::items).collect();
        let expected = [[0, 999], [2001, 16383]].map(|pair| pair.map(Reply::Integer));
        assert_eq!(ranges, expected, "{request}");
        node.client.cmd("DBSIZE").is(0);
    }
}
