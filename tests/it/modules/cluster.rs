//! Modules of the nodes of a cluster write to each other, over the cluster bus.

use super::server;
use crate::support::fleet::wait_for;
use crate::support::{Client, Reply, Server};

/// Nodes with a module, which know each other.
fn nodes(count: usize, module: &str) -> Option<Vec<(Server, Client)>> {
    let mut nodes = Vec::new();
    for _ in 0..count {
        let builder = server(&[module], "cluster-enabled yes")?;
        let node = builder.start();
        let client = node.client();
        nodes.push((node, client));
    }
    let known = |c: &mut Client| {
        let info = c.cmd("CLUSTER INFO").text();
        info.contains(&format!("cluster_known_nodes:{count}\r\n"))
    };
    for at in 1..count {
        let (port, bus) = {
            let (node, client) = &mut nodes[at];
            let bus = client.cmd("CONFIG GET cluster-port").items()[1].text();
            (node.port(), bus)
        };
        let first = &mut nodes[0].1;
        first
            .cmd(&format!("CLUSTER MEET 127.0.0.1 {port} {bus}"))
            .ok();
    }
    wait_for("the nodes to meet", || {
        nodes.iter_mut().all(|(_, client)| {
            let text = client.cmd("CLUSTER NODES").text();
            known(client) && !text.contains("handshake") && !text.contains("disconnected")
        })
    });
    Some(nodes)
}

fn id(c: &mut Client) -> String {
    c.cmd("CLUSTER MYID").text()
}

/// The messages that a node got, once there are as many as expected.
fn messages(c: &mut Client, expected: usize) -> Vec<(String, Reply, String)> {
    let mut got = Vec::new();
    wait_for("the messages", || {
        let reply = c.cmd("MSG.LIST");
        let parts = reply.items().chunks(3);
        got = parts
            .map(|part| (part[0].text(), part[1].clone(), part[2].text()))
            .collect();
        got.len() >= expected
    });
    got
}

#[test]
fn a_message_reaches_the_receiver_of_its_kind_on_one_node_or_on_all() {
    let Some(mut nodes) = nodes(3, "messenger") else {
        return;
    };
    let ids: Vec<String> = nodes.iter_mut().map(|(_, c)| id(c)).collect();
    let from = |at: usize, kind: i64, text: &str| (ids[at].clone(), kind.into(), text.to_owned());

    // To one, each way.
    nodes[0].1.cmd(&format!("MSG.SEND {} 1 there", ids[1])).ok();
    assert_eq!(messages(&mut nodes[1].1, 1), [from(0, 1, "there")]);
    nodes[1].1.cmd(&format!("MSG.SEND {} 2 back", ids[0])).ok();
    assert_eq!(messages(&mut nodes[0].1, 1), [from(1, 2, "back")]);
    // To all others.
    nodes[2].1.cmd("MSG.SEND all 1 everybody").ok();
    let all = from(2, 1, "everybody");
    assert_eq!(messages(&mut nodes[0].1, 2)[1], all);
    assert_eq!(messages(&mut nodes[1].1, 2)[1], all);
    // A kind without a receiver is dropped; the message behind it arrives.
    nodes[0].1.cmd(&format!("MSG.SEND {} 9 lost", ids[2])).ok();
    nodes[0].1.cmd(&format!("MSG.SEND {} 1 found", ids[2])).ok();
    assert_eq!(messages(&mut nodes[2].1, 1), [from(0, 1, "found")]);
    // A receiver that went, and one that came.
    nodes[2].1.cmd("MSG.LISTEN off 1").ok();
    nodes[2].1.cmd("MSG.LISTEN on 9").ok();
    nodes[0].1.cmd(&format!("MSG.SEND {} 1 lost", ids[2])).ok();
    nodes[0].1.cmd(&format!("MSG.SEND {} 9 found", ids[2])).ok();
    assert_eq!(messages(&mut nodes[2].1, 2)[1], from(0, 9, "found"));
    // Nobody's name, no name at all.
    let nobody = "0".repeat(40);
    nodes[0]
        .1
        .cmd(&format!("MSG.SEND {nobody} 1 x"))
        .error("ERR not sent");
    nodes[0].1.cmd("MSG.SEND nobody 1 x").error("ERR not sent");
}

#[test]
fn a_module_learns_of_the_nodes() {
    let Some(mut nodes) = nodes(2, "messenger") else {
        return;
    };
    let ids: Vec<String> = nodes.iter_mut().map(|(_, c)| id(c)).collect();
    let ports: Vec<i64> = nodes.iter().map(|(node, _)| node.port().into()).collect();
    let reply = nodes[0].1.cmd("MSG.NODES");
    let items = reply.items();
    assert_eq!(items[0], 2.into());
    assert_eq!(items[1].text(), ids[0]);
    let mut told: Vec<(String, Reply)> = items[2..]
        .chunks(3)
        .map(|part| (part[0].text(), part[1].clone()))
        .collect();
    let mut expected: Vec<(String, Reply)> = ids
        .iter()
        .zip(&ports)
        .map(|(id, port)| (id.clone(), (*port).into()))
        .collect();
    told.sort_by(|a, b| a.0.cmp(&b.0));
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(told, expected);
}

#[test]
fn without_a_cluster_no_message_is_sent() {
    let Some(builder) = server(&["messenger"], "") else {
        return;
    };
    let server = builder.start();
    let mut c = server.client();
    c.cmd("MSG.SEND all 1 x").error("ERR not sent");
    c.cmd("MSG.NODES").error("ERR no cluster");
}

/// Slot 0 moves. Both modules hear of it; that of the source adds a command, and holds back the deletion of the keys.
#[test]
fn modules_hear_of_slots_that_move_and_hold_back_the_deletion_of_keys() {
    let Some(mut nodes) = nodes(2, "newer") else {
        return;
    };
    let [(_source, s), (_dest, d)] = &mut nodes[..] else {
        panic!("two nodes");
    };
    s.cmd("CLUSTER ADDSLOTSRANGE 0 16383").ok();
    wait_for("the cluster", || {
        d.cmd("CLUSTER INFO").text().contains("cluster_state:ok")
    });
    for n in 0..50 {
        s.cmd(&format!("SET k{n}{{06S}} v")).ok();
    }
    // Not the moment for it: EBADF.
    s.cmd("NEWER.CLUSTER extra extra{06S}").is(9);
    s.cmd("NEWER.CLUSTER hold").is(0);
    assert_eq!(d.cmd("CLUSTER MIGRATION IMPORT 0 0").text().len(), 40);
    let events = |c: &mut Client| c.cmd("NEWER.CLUSTER events").text();
    wait_for("the slot", || events(d).ends_with("2 "));
    assert_eq!(events(d), "0 2 ");
    wait_for("the source", || events(s).ends_with("t0 "));
    // A key of another slot, a command that is none, keys of several slots: ERANGE, ENOENT, ENOTSUP.
    assert_eq!(events(s), "3 6 e34 e2 e95 5 t0 ");
    d.cmd("GET extra{06S}").is("1");
    d.cmd("GET k7{06S}").is("v");
    d.cmd("DBSIZE").is(51);
    s.cmd("NEWER.CLUSTER can 0").is(0);
    d.cmd("NEWER.CLUSTER can 0").is(1);
    d.cmd("NEWER.CLUSTER mine").is([0, 0]);
    s.cmd("NEWER.CLUSTER mine").is([1, 16383]);
    // Nothing is deleted until the module allows it.
    for _ in 0..20 {
        s.cmd("CLUSTER COUNTKEYSINSLOT 0").is(50);
    }
    s.cmd("NEWER.CLUSTER trimmed").is(0);
    s.cmd("NEWER.CLUSTER release").is(0);
    wait_for("the keys to go", || events(s).ends_with("t1 "));
    s.cmd("CLUSTER COUNTKEYSINSLOT 0").is(0);
    s.cmd("NEWER.CLUSTER trimmed").is(50);
}
