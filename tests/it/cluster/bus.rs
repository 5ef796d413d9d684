//! The bus between real processes: under TLS, and under a flood of messages.

use super::*;
use crate::support::client::encode;

fn under_tls() -> Node {
    let path = |name: &str| {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        root.join("tests/it/tls").join(name).display().to_string()
    };
    let port = crate::support::server::free_port().expect("a port");
    let (certificate, key, ca) = (path("server.crt"), path("server.key"), path("ca.crt"));
    Node::start(Server::oxidis().config(&format!(
        "tls-port {port}\ntls-cert-file {certificate}\ntls-key-file {key}\ntls-ca-cert-file {ca}\n\
         tls-cluster yes\ntls-replication yes\ncluster-enabled yes\ncluster-bus-port-protected-mode yes\n"
    )))
}

/// Nodes of `tls-cluster yes` meet, agree, replicate and fail over; whoever speaks plainly is no node.
#[test]
fn nodes_under_tls_fail_over() {
    let mut nodes: Vec<Node> = (0..4).map(|_| under_tls()).collect();
    let tls: Vec<String> = nodes
        .iter_mut()
        .map(|node| node.client.cmd("CONFIG GET tls-port").items()[1].text())
        .collect();
    // MEET names the port that nodes connect to, which is that of TLS.
    let (first, others) = nodes.split_first_mut().expect("a node");
    for (at, other) in others.iter_mut().enumerate() {
        let epoch = at + 2;
        other
            .client
            .cmd(&format!("CLUSTER SET-CONFIG-EPOCH {epoch}"))
            .ok();
        let bus = other.client.cmd("CONFIG GET cluster-port").items()[1].text();
        let port = &tls[at + 1];
        first
            .client
            .cmd(&format!("CLUSTER MEET 127.0.0.1 {port} {bus}"))
            .ok();
    }
    for (at, range) in ["0 5460", "5461 10922", "10923 16383"].iter().enumerate() {
        nodes[at]
            .client
            .cmd(&format!("CLUSTER ADDSLOTSRANGE {range}"))
            .ok();
    }
    for node in &mut nodes {
        await_that("the cluster is up", || {
            node.view().len() == 4 && node.field("CLUSTER INFO", "cluster_state") == "ok"
        });
    }
    let primary = nodes[0].id();
    let replica = &mut nodes[3];
    replica
        .client
        .cmd(&format!("CLUSTER REPLICATE {primary}"))
        .ok();
    await_that("the replica has its data", || {
        replica.field("INFO replication", "master_link_status") == "up"
    });
    agree(&mut nodes);
    // A plain connection to the bus gets nowhere.
    let bus = nodes[1].client.cmd("CONFIG GET cluster-port").items()[1].text();
    let mut plain =
        TcpStream::connect(("127.0.0.1", bus.parse().expect("a port"))).expect("it listens");
    plain.write_all(&[b'R'; 3000]).expect("it takes bytes");
    plain
        .set_read_timeout(Some(PATIENCE))
        .expect("a time to wait");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"RCmb"));
    nodes[0].client.cmd("SET bar 1").ok();
    await_that("the write is on the replica", || {
        let (section, field) = ("INFO replication", "master_repl_offset");
        nodes[0].field(section, field) == nodes[3].field(section, "slave_repl_offset")
    });
    nodes[0].server.kill();
    let replica = &mut nodes[3];
    await_that("the replica takes over", || replica.role() == "master");
    await_that("it serves", || {
        replica.client.cmd("GET bar") == Reply::from("1")
    });
}

/// redis 7216, 12196: hundreds of megabytes of PUBLISH on the bus fail no node over. Answers of the nodes themselves go
/// ahead of what clients publish.
#[test]
fn a_flood_of_messages_fails_no_node_over() {
    const MESSAGES: usize = 300;
    let mut nodes: Vec<Node> = (0..4).map(|_| Node::ours()).collect();
    form(&mut nodes, 3);
    let epoch = nodes[1].field("CLUSTER INFO", "cluster_current_epoch");
    let mut listener = nodes[1].server.client();
    listener.cmd("SUBSCRIBE end");
    let request = encode(&[&b"PUBLISH"[..], b"flood", &vec![b'x'; 300_000]]);
    let publisher = &mut nodes[0].client;
    for _ in 0..MESSAGES {
        publisher.send(&request).expect("sent");
    }
    for _ in 0..MESSAGES {
        publisher.read().expect("a reply");
    }
    publisher.cmd("PUBLISH end now");
    // The last message arrives behind all others.
    let message = listener.read().expect("a message");
    assert_eq!(message.items()[2].text(), "now");
    for node in &mut nodes {
        assert_eq!(node.field("CLUSTER INFO", "cluster_current_epoch"), epoch);
        assert!(!node.server.log().contains("as failing"));
        await_that("nothing waits", || {
            node.field("INFO memory", "mem_cluster_links")
                .parse::<usize>()
                .is_ok_and(|bytes| bytes < 4 << 20)
        });
    }
    agree(&mut nodes);
}
