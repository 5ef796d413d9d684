//! The words and the order of refusals, as a real 8.6 has them.

use super::{Node, await_that, form};
use crate::support::Reply;

#[test]
fn refusals_of_cluster_commands_are_redis() {
    let mut nodes = [Node::ours(), Node::ours()];
    form(&mut nodes, 2);
    let unknown = |word: &str| {
        format!(
            "ERR unknown subcommand or wrong number of arguments for '{word}'. Try CLUSTER HELP."
        )
    };
    let arity = |word: &str| format!("ERR wrong number of arguments for '{word}' command");
    let failover =
        "ERR FAILOVER not allowed in cluster mode. Use CLUSTER FAILOVER command instead.";
    let refused = [
        ("CLUSTER FAILOVER bad", "ERR syntax error".to_owned()),
        ("CLUSTER FAILOVER FORCE now", unknown("FAILOVER")),
        ("CLUSTER RESET bad", "ERR syntax error".to_owned()),
        ("CLUSTER reset HARD now", unknown("reset")),
        ("CLUSTER Slot-Stats bad worse", unknown("Slot-Stats")),
        ("CLUSTER MIGRATION STATUS ID", arity("cluster|migration")),
        ("CLUSTER MIGRATION CANCEL ID", arity("cluster|migration")),
        (
            "CLUSTER MIGRATION CANCEL ALL now",
            arity("cluster|migration"),
        ),
        (
            "CLUSTER MIGRATION CANCEL now",
            "ERR unknown argument".to_owned(),
        ),
        (
            "CLUSTER DELSLOTSRANGE 0 1 0 3 x y",
            "ERR Slot 0 specified multiple times".to_owned(),
        ),
        (
            "CLUSTER ADDSLOTSRANGE 0 1 x y",
            "ERR Slot 0 is already busy".to_owned(),
        ),
        ("FAILOVER", failover.to_owned()),
        ("FAILOVER ABORT", failover.to_owned()),
    ];
    for (line, words) in &refused {
        nodes[0].client.cmd(line).error(words);
    }
}

/// A client may leave a shard channel on any node, whoever serves its slot, and several at once.
#[test]
fn shard_channels_are_left_everywhere() {
    let mut nodes = [Node::ours(), Node::ours()];
    form(&mut nodes, 2);
    // foo is a channel of the second node.
    let refusal = nodes[0].client.cmd("SSUBSCRIBE foo").text();
    assert!(refusal.starts_with("MOVED 12182 "), "{refusal}");
    let left = nodes[0].client.cmd("SUNSUBSCRIBE foo");
    assert_eq!(left.items()[1].text(), "foo");
    left.items()[2].clone().is(0);
    let client = &mut nodes[0].client;
    client.cmd("SSUBSCRIBE bar");
    let both = client.cmd("SUNSUBSCRIBE foo bar");
    assert_eq!(both.items()[1].text(), "foo");
}

/// A script that writes on a replica is told that it is one, even if the cluster is down.
#[test]
fn a_replica_refuses_a_scripts_write_before_anything_else() {
    let mut nodes = [Node::ours(), Node::ours(), Node::ours(), Node::ours()];
    form(&mut nodes, 3);
    nodes[3].client.cmd("CLUSTER DELSLOTS 1").ok();
    await_that("the replica finds the cluster down", || {
        let script = "return redis.call('set', 'bar', 1)";
        let refusal = nodes[3].client.call(&["EVAL", script, "0"]);
        matches!(&refusal, Reply::Error(text) if text.starts_with(b"READONLY"))
    });
}

/// An address that is not known is told as an empty one.
#[test]
fn an_unknown_address_is_empty_in_slots() {
    let mut node = Node::ours();
    node.client.cmd("CLUSTER ADDSLOTSRANGE 0 16383").ok();
    node.client
        .cmd("CONFIG SET cluster-preferred-endpoint-type hostname")
        .ok();
    let slots = node.client.cmd("CLUSTER SLOTS");
    let server = slots.items()[0].items()[2].items();
    assert_eq!(server[0].text(), "?");
    let more: Vec<String> = server[3].items().iter().map(Reply::text).collect();
    assert_eq!(more, ["ip", ""]);
}
