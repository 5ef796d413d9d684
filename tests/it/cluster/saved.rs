//! A data set that is saved in the middle of an import tells of it: whoever loads it knows which keys are on their way.
//! With real Redis from 8.4 on as well, where `OXIDIS_TEST_REDIS` names one.

use super::migration::{fill, key, real_with_migration, state};
use super::{Node, await_that, form};

/// Three nodes: a source, a destination that has some of the keys of slot 0 and waits for the others, and a node that
/// belongs to neither.
fn in_the_middle(mut nodes: [Node; 3]) -> [Node; 3] {
    form(&mut nodes[..2], 2);
    fill(&mut nodes[0]);
    // Keys leave in large pieces: some come long before the last.
    let large = "x".repeat(40_000);
    for n in 0..200 {
        let name = key(&format!("large{n}"));
        nodes[0].client.call(&["SET", &name, &large]).ok();
    }
    nodes[0]
        .client
        .cmd("CONFIG SET rdb-key-save-delay 20000")
        .ok();
    // A node whose subscribers are to hear of keys takes them as commands, one by one.
    nodes[1]
        .client
        .cmd("CONFIG SET notify-keyspace-events KEA")
        .ok();
    nodes[1].client.cmd("CLUSTER MIGRATION IMPORT 0 0");
    await_that("keys come", || holds_keys(&mut nodes[1]));
    nodes
}

/// Whether there are keys, seen or not.
fn holds_keys(node: &mut Node) -> bool {
    let keyspace = node.client.cmd("INFO keyspace").text();
    keyspace.contains("db0:keys=")
}

fn a_new_replica_hides_keys(nodes: [Node; 3]) {
    let mut nodes = in_the_middle(nodes);
    let primary = nodes[1].id();
    let (old, new) = nodes.split_at_mut(2);
    old[1].meet(&mut new[0]);
    await_that("the node is known, and knows", || {
        new[0].client.cmd("CLUSTER NODES").text().contains(&primary) && new[0].view().len() == 3
    });
    new[0]
        .client
        .cmd(&format!("CLUSTER REPLICATE {primary}"))
        .ok();
    await_that("the replica has its data", || {
        new[0].field("INFO replication", "master_link_status") == "up"
    });
    await_that("keys are there", || holds_keys(&mut new[0]));
    new[0].client.cmd("DBSIZE").is(0);
    // It fails: the keys go everywhere but at the source.
    old[1].client.cmd("CLUSTER MIGRATION CANCEL ALL").is(1);
    await_that("the keys are gone", || !holds_keys(&mut new[0]));
    new[0].client.cmd("DBSIZE").is(0);
}

#[test]
fn a_new_replica_hides_keys_that_are_on_their_way() {
    a_new_replica_hides_keys([Node::ours(), Node::ours(), Node::ours()]);
}

#[test]
fn a_new_real_replica_hides_keys_that_are_on_their_way() {
    if let Some(real) = real_with_migration() {
        a_new_replica_hides_keys([Node::ours(), Node::ours(), real]);
    }
}

#[test]
fn a_new_replica_of_real_redis_hides_keys_that_are_on_their_way() {
    if let Some(real) = real_with_migration() {
        a_new_replica_hides_keys([Node::ours(), real, Node::ours()]);
    }
}

/// A destination that ends in the middle of an import, and starts from its last save: the keys are the source's.
#[test]
fn keys_of_an_import_that_was_cut_off_are_deleted() {
    let mut nodes = in_the_middle([Node::ours(), Node::ours(), Node::ours()]);
    nodes[1].client.cmd("SAVE").ok();
    nodes[1].server.kill();
    nodes[1].restart();
    let log = nodes[1].server.log();
    assert!(
        log.contains("was under way when this data set was saved: slots=0-0"),
        "{log}"
    );
    assert!(!holds_keys(&mut nodes[1]));
    let table = nodes[1].client.cmd("CLUSTER NODES").text();
    assert!(!table.contains("[0-<-"), "{table}");
    assert_eq!(state(&mut nodes[1]), "failed");
    let source = &mut nodes[0].client;
    source.cmd("CONFIG SET rdb-key-save-delay 0").ok();
    assert_eq!(source.call(&["GET", &key("k1")]).text(), "v");
}
