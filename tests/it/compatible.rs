//! INFO's `cluster_incompatible_ops`: requests that would fail in a cluster (`cluster-compatibility-sample-ratio`).

use crate::support::{Client, Server};

fn counted(client: &mut Client) -> u64 {
    let text = client.cmd("INFO stats").text();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("cluster_incompatible_ops:"));
    line.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
}

#[test]
fn requests_of_several_slots_are_counted() {
    let server = Server::oxidis()
        .config("cluster-compatibility-sample-ratio 100\n")
        .start();
    let mut c = server.client();
    c.cmd("SET {a}1 1").ok();
    c.cmd("RPUSH {a}list 1 2").is(2);
    for (line, counts) in [
        ("GET x", 0),
        ("MGET {a}x {a}y", 0),
        ("MGET x y", 1),
        ("SELECT 1", 1),
        ("SELECT 0", 0),
        ("SWAPDB 2 3", 1),
        ("MOVE nokey 4", 1),
        ("COPY {a}1 {a}2", 0),
        ("COPY {a}1 {a}2 DB 1", 1),
        ("SORT {a}list GET # GET {a}*", 0),
        ("SORT {a}list BY w*", 1),
        ("SORT {a}list GET w*", 1),
        ("EVAL \"return redis.call('get', 'y')\" 1 x", 0),
        ("EVAL \"return redis.call('mget', 'x', 'y')\" 0", 1),
        ("EVAL \"#!lua\\nreturn redis.call('get', 'y')\" 1 x", 1),
        (
            "EVAL \"#!lua flags=allow-cross-slot-keys\\nreturn redis.call('get', 'y')\" 1 x",
            0,
        ),
        ("EVAL \"#!lua flags=no-cluster\\nreturn 1\" 0", 1),
        ("MULTI", 0),
        ("GET x", 0),
        ("GET y", 0),
        ("EXEC", 1),
    ] {
        let before = counted_apart(&server);
        c.cmd(line);
        assert_eq!(counted_apart(&server) - before, counts, "{line}");
    }
    c.cmd("CONFIG SET cluster-compatibility-sample-ratio 0")
        .ok();
    let before = counted(&mut c);
    c.cmd("MGET x y");
    c.cmd("CONFIG SET cluster-compatibility-sample-ratio 1")
        .ok();
    assert!(counted(&mut c) >= before);
    c.cmd("CONFIG SET cluster-compatibility-sample-ratio 30")
        .ok();
    let before = counted(&mut c);
    for _ in 0..1000 {
        c.cmd("MGET x y");
    }
    let found = counted(&mut c) - before;
    assert!(
        (200..400).contains(&found),
        "{found} of 1000 were looked at"
    );
}

/// As [`counted`], over a connection of its own, since the other one may be inside a transaction.
fn counted_apart(server: &Server) -> u64 {
    counted(&mut server.client())
}
