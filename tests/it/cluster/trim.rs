//! Keys of slots that left are deleted: as whole tables where every reader of the stream understands TRIMSLOTS, else one by
//! one.

use std::fs;

use super::migration::{
    check_portrait, every_type, move_three, open_node, portrait, real_with_migration, state, tag_of,
};
use super::{Node, await_that, form};
use crate::support::Reply;
use crate::support::client::encode;

const WITH_FILE: [&str; 2] = ["--appendonly", "yes"];

/// The text of a node's append-only file since its base.
fn file(node: &Node) -> String {
    let dir = node.server.dir().join("appendonlydir");
    let parts = fs::read_dir(dir).expect("a directory of files");
    let parts = parts.map(|part| part.expect("a file").path());
    let grown = parts.filter(|path| path.to_string_lossy().ends_with(".incr.aof"));
    let texts = grown.map(|path| fs::read(path).expect("a file"));
    texts
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .collect()
}

#[track_caller]
fn has_keys(node: &mut Node, keys: i64) {
    await_that("the keys that left are deleted", || {
        node.client.cmd("DBSIZE") == Reply::Integer(keys)
    });
}

/// Redis 8.4 propagates TRIMSLOTS once for the slots of a task, and so does a source whose replicas are of this kind.
#[test]
fn slots_that_left_are_trimmed_by_one_command() {
    let mut nodes = [&WITH_FILE[..], &[], &WITH_FILE[..]].map(open_node);
    form(&mut nodes, 2);
    let names: Vec<String> = [0, 1, 2]
        .into_iter()
        .flat_map(|slot| every_type(&mut nodes[0], slot))
        .collect();
    let stays = format!("stays{{{}}}", tag_of(5));
    nodes[0].client.call(&["SET", &stays, "here"]).ok();
    let before = portrait(&mut nodes[0], &names);
    move_three(&mut nodes);
    has_keys(&mut nodes[0], 1);
    has_keys(&mut nodes[2], 1);
    nodes[0].client.call(&["SET", &stays, "still"]).ok();
    nodes[0].client.cmd("WAITAOF 1 1 10000");
    for node in [0, 2] {
        let text = file(&nodes[node]);
        assert_eq!(text.matches("TRIMSLOTS").count(), 1, "node {node}");
        assert!(text.contains("RANGES\r\n$1\r\n1\r\n$1\r\n0\r\n$1\r\n2\r\n"));
        assert!(!text.contains("\r\nDEL\r\n"), "node {node}");
    }
    nodes[0].client.cmd("DEBUG LOADAOF").ok();
    has_keys(&mut nodes[0], 1);
    // The slots come back. What the file tells of their first time here is over, and the command stands in between.
    nodes[0].client.cmd("CLUSTER MIGRATION IMPORT 0 2");
    await_that("the slots are back", || state(&mut nodes[0]) == "completed");
    check_portrait(&mut nodes[0], &names, &before);
    nodes[0].client.cmd("WAIT 1 10000").is(1);
    nodes[0].client.cmd("DEBUG LOADAOF").ok();
    check_portrait(&mut nodes[0], &names, &before);
    let digest = nodes[0].client.cmd("DEBUG DIGEST").text();
    assert_eq!(nodes[2].client.cmd("DEBUG DIGEST").text(), digest);
}

/// A reader of the stream that may not understand TRIMSLOTS gets a DEL for each key: a file that an older Redis is to read,
/// and a replica that did not say that it does.
#[test]
fn readers_of_any_age_hear_of_keys_that_left() {
    let older = ["--appendonly", "yes", "--rdb-version", "10"];
    let mut nodes = [&older[..], &WITH_FILE[..], &WITH_FILE[..]].map(open_node);
    form(&mut nodes, 2);
    for n in 0..500 {
        let name = format!("k{n}{{{}}}", tag_of(1));
        nodes[0].client.call(&["SET", &name, "v"]).ok();
    }
    let deletions = |node: &Node| file(node).matches("\r\nDEL\r\n").count();
    move_three(&mut nodes);
    has_keys(&mut nodes[0], 0);
    has_keys(&mut nodes[2], 0);
    await_that("each deletion is told", || deletions(&nodes[0]) == 500);
    let mut replica = nodes[1].server.client();
    replica.cmd("REPLCONF capa eof capa psync2").ok();
    replica.send(&encode(&["PSYNC", "?", "-1"])).expect("sent");
    await_that("the primary has a replica", || {
        nodes[1].field("INFO replication", "connected_slaves") == "1"
    });
    nodes[0].client.cmd("CLUSTER MIGRATION IMPORT 0 2");
    await_that("the slots are back", || state(&mut nodes[0]) == "completed");
    has_keys(&mut nodes[1], 0);
    await_that("each deletion is told", || deletions(&nodes[1]) == 500);
    for node in &nodes {
        assert!(!file(node).contains("TRIMSLOTS"));
    }
}

/// TRIMSLOTS of a real primary, at a replica of this kind.
#[test]
fn a_replica_of_real_redis_trims() {
    let Some(real) = real_with_migration() else {
        return;
    };
    let mut nodes = [real, open_node(&[]), open_node(&WITH_FILE)];
    form(&mut nodes, 2);
    for n in 0..500 {
        let name = format!("k{n}{{{}}}", tag_of(1));
        nodes[0].client.call(&["SET", &name, "v"]).ok();
    }
    nodes[0].client.cmd("WAIT 1 10000").is(1);
    move_three(&mut nodes);
    has_keys(&mut nodes[0], 0);
    has_keys(&mut nodes[2], 0);
    await_that("the file has it", || file(&nodes[2]).contains("TRIMSLOTS"));
}
