//! Full synchronisations over two connections (`repl-rdb-channel`), with real Redis 8 on the other end where that is
//! installed (`OXIDIS_TEST_REDIS`).

use std::time::Duration;

use crate::support::server::{Builder, until};
use crate::support::{Client, Server};

/// How long servers may take to agree.
const PATIENCE: Duration = Duration::from_secs(30);

const QUICK: &str = "repl-diskless-sync-delay 0\nsave \"\"\nenable-debug-command yes\n";

fn start(builder: Builder, lines: &str) -> Server {
    builder.config(&format!("{QUICK}{lines}")).start()
}

fn follow(replica: &mut Client, primary: &Server) {
    let line = format!("REPLICAOF 127.0.0.1 {}", primary.port());
    replica.cmd(&line).ok();
}

/// A field of INFO.
fn info(client: &mut Client, field: &str) -> String {
    let text = client.cmd("INFO everything").text();
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(name, _)| *name == field);
    found.map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

fn wait_for(client: &mut Client, field: &str, wanted: impl Fn(&str) -> bool) {
    let mut last = String::new();
    let came = until(PATIENCE, || {
        last = info(client, field);
        wanted(&last).then_some(())
    });
    assert!(came.is_some(), "{field} stayed {last}");
}

fn in_sync(primary: &mut Client, replica: &mut Client) {
    wait_for(replica, "master_link_status", |status| status == "up");
    let offset = info(primary, "master_repl_offset");
    let reached = |now: &str| now.parse::<u64>().ok() >= offset.parse().ok();
    wait_for(replica, "slave_repl_offset", reached);
}

fn fill(client: &mut Client, keys: usize, bytes: usize) {
    let value = "x".repeat(bytes);
    for i in 0..keys {
        client.cmd(&format!("SET key:{i} {value}{i}")).ok();
    }
}

fn assert_same(primary: &mut Client, replica: &mut Client) {
    in_sync(primary, replica);
    let digest = primary.cmd("DEBUG DIGEST");
    assert_eq!(digest, replica.cmd("DEBUG DIGEST"));
}

/// Synchronises a replica while its primary is written to. `channel`: whether both are known to use a second
/// connection.
fn synchronised_under_writes(primary: &Server, replica: &Server, channel: bool) {
    let (mut p, mut r) = (primary.client(), replica.client());
    fill(&mut p, 500, 1000);
    p.cmd("CONFIG SET rdb-key-save-delay 5000").ok();
    follow(&mut r, primary);
    let phase = match channel {
        true => "send_bulk_and_stream",
        false => "wait_bgsave",
    };
    wait_for(&mut p, "slave0", |line| line.contains(phase));
    for i in 0..300 {
        p.cmd(&format!("INCRBY counter {i}"));
        p.cmd(&format!("RPUSH list {i}"));
    }
    p.cmd("CONFIG SET rdb-key-save-delay 0").ok();
    assert_same(&mut p, &mut r);
    p.cmd("SET after 1").ok();
    assert_same(&mut p, &mut r);
    wait_for(&mut p, "connected_slaves", |n| n == "1");
    wait_for(&mut p, "slave0", |line| line.contains("state=online"));
    assert_eq!(info(&mut p, "sync_full"), "1");
}

/// Whether a real server is of the releases that know second connections.
fn knows_channels(server: &Server) -> bool {
    let version = info(&mut server.client(), "redis_version");
    let major = version.split('.').next().and_then(|n| n.parse().ok());
    major.is_some_and(|major: u32| major >= 8)
}

#[test]
fn ours_under_ours() {
    for load in ["disabled", "swapdb", "flush-before-load"] {
        let primary = start(Server::oxidis(), "");
        let replica = start(Server::oxidis(), &format!("repl-diskless-load {load}\n"));
        synchronised_under_writes(&primary, &replica, true);
        assert!(primary.log().contains("replicas sockets (rdb-channel)"));
        assert!(
            replica
                .log()
                .contains("Successfully streamed replication buffer")
        );
    }
}

#[test]
fn ours_under_redis() {
    let Some(redis) = Server::redis() else {
        return;
    };
    let (primary, replica) = (start(redis, ""), start(Server::oxidis(), ""));
    let channel = knows_channels(&primary);
    synchronised_under_writes(&primary, &replica, channel);
    let streamed = "Successfully streamed replication buffer";
    assert_eq!(replica.log().contains(streamed), channel);
}

#[test]
fn redis_under_ours() {
    let Some(redis) = Server::redis() else {
        return;
    };
    let primary = start(Server::oxidis(), "rdb-version 10\n");
    let replica = start(redis, "");
    let channel = knows_channels(&replica);
    synchronised_under_writes(&primary, &replica, channel);
    assert_eq!(primary.log().contains("(rdb-channel)"), channel);
}

/// Without the option on both sides, and without diskless synchronisation, there is one connection.
#[test]
fn one_connection_does_as_well() {
    for (of_primary, of_replica) in [
        ("repl-rdb-channel no\n", ""),
        ("", "repl-rdb-channel no\n"),
        ("repl-diskless-sync no\n", ""),
    ] {
        let primary = start(Server::oxidis(), of_primary);
        let replica = start(Server::oxidis(), of_replica);
        synchronised_under_writes(&primary, &replica, false);
        assert!(!primary.log().contains("rdb-channel"));
    }
}

/// Lists what a primary knows of the connections of its replicas.
fn connections(primary: &mut Client) -> Vec<String> {
    let text = primary.cmd("CLIENT LIST TYPE replica").text();
    text.lines().map(str::to_owned).collect()
}

fn id_of(line: &str) -> &str {
    let fields = line.split(' ').filter_map(|field| field.split_once('='));
    let mut ids = fields.filter(|(name, _)| *name == "id");
    ids.next().map_or("", |(_, id)| id)
}

/// Either connection may be cut while the data set is on its way: the replica asks again.
#[test]
fn a_cut_connection_is_made_again() {
    for cut in [0, 1] {
        let primary = start(Server::oxidis(), "");
        let replica = start(Server::oxidis(), "");
        let (mut p, mut r) = (primary.client(), replica.client());
        fill(&mut p, 300, 100);
        p.cmd("CONFIG SET rdb-key-save-delay 10000").ok();
        follow(&mut r, &primary);
        wait_for(&mut p, "slave0", |line| {
            line.contains("send_bulk_and_stream")
        });
        let lines = connections(&mut p);
        assert!(
            lines.len() == 2 && lines[1].contains(" flags=SC "),
            "{lines:?}"
        );
        assert_eq!(info(&mut p, "connected_slaves"), "1");
        let id = id_of(&lines[cut]);
        p.cmd(&format!("CLIENT KILL ID {id}")).is(1);
        let mut stranger = primary.client();
        stranger
            .cmd(&format!("REPLCONF main-ch-client-id {id}"))
            .error("ERR Unrecognized RDB client id");
        p.cmd("CONFIG SET rdb-key-save-delay 0").ok();
        p.cmd("SET after 1").ok();
        assert_same(&mut p, &mut r);
    }
}

/// The main channel is lost while the file is loaded: the replica goes on from its end, without another full
/// synchronisation.
#[test]
fn a_main_channel_lost_during_the_load_costs_a_partial_synchronisation() {
    let primary = start(Server::oxidis(), "");
    let replica = start(
        Server::oxidis(),
        "repl-diskless-load disabled
key-load-delay 1000
loading-process-events-interval-bytes 1024
",
    );
    let (mut p, mut r) = (primary.client(), replica.client());
    fill(&mut p, 2000, 10);
    follow(&mut r, &primary);
    wait_for(&mut r, "loading", |n| n == "1");
    p.cmd("CLIENT KILL TYPE replica");
    p.cmd("SET after 1").ok();
    let noted = until(PATIENCE, || {
        let log = replica.log();
        log.contains("After loading RDB, replica will try psync")
            .then_some(())
    });
    assert!(noted.is_some(), "the replica did not notice");
    r.cmd("CONFIG SET key-load-delay 0").ok();
    assert_same(&mut p, &mut r);
    assert_eq!(info(&mut p, "sync_full"), "1");
    assert_eq!(info(&mut p, "sync_partial_ok"), "1");
}

/// The buffer has a bound, behind which the stream is kept by the primary.
#[test]
fn the_buffer_of_the_stream_is_bounded() {
    let primary = start(Server::oxidis(), "");
    let replica = start(Server::oxidis(), "replica-full-sync-buffer-limit 1mb\n");
    let (mut p, mut r) = (primary.client(), replica.client());
    fill(&mut p, 300, 10);
    p.cmd("CONFIG SET rdb-key-save-delay 10000").ok();
    follow(&mut r, &primary);
    wait_for(&mut p, "slave0", |line| {
        line.contains("send_bulk_and_stream")
    });
    fill(&mut p, 80, 100_000);
    let full = until(PATIENCE, || {
        let log = replica.log();
        log.contains("Replication buffer limit has been reached (1048576 bytes)")
            .then_some(())
    });
    assert!(full.is_some(), "8 MB were kept");
    let bytes: u64 = info(&mut r, "replica_full_sync_buffer_size")
        .parse()
        .expect("a number");
    assert!((1 << 20..4 << 20).contains(&bytes), "{bytes}");
    p.cmd("CONFIG SET rdb-key-save-delay 0").ok();
    assert_same(&mut p, &mut r);
    assert_eq!(info(&mut r, "replica_full_sync_buffer_size"), "0");
    assert_eq!(info(&mut p, "sync_full"), "1");
}
