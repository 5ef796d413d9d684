//! Keys that die of memory, from outside.

use crate::support::client::encode;
use crate::support::{Client, Reply, Server};

fn figure(c: &mut Client, section: &str, name: &str) -> i64 {
    let info = c.cmd(&format!("INFO {section}")).text();
    let line = info.lines().find_map(|line| {
        let (known, value) = line.split_once(':')?;
        (known == name).then(|| value.to_owned())
    });
    line.and_then(|value| value.trim().parse().ok())
        .unwrap_or_else(|| panic!("INFO {section} has no figure {name}"))
}

fn integer(reply: &Reply) -> i64 {
    match reply {
        Reply::Integer(n) => *n,
        other => panic!("{other:?} is no integer"),
    }
}

fn fill(c: &mut Client, keys: usize, prefix: &str) {
    let value = "x".repeat(200);
    for i in 0..keys {
        c.cmd(&format!("SET {prefix}{i} {value}")).ok();
    }
}

/// Evicting what a snapshot shares frees nothing until it is over. Waiting for it emptied the database.
#[test]
fn a_snapshot_does_not_make_eviction_empty_the_database() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    fill(&mut c, 5000, "old");
    c.cmd("CONFIG SET rdb-key-save-delay 1000").ok();
    c.cmd("CONFIG SET maxmemory-policy allkeys-lru").ok();
    c.cmd("BGSAVE").status("Background saving started");
    // With the buffers of the thread that saves.
    std::thread::sleep(std::time::Duration::from_millis(200));
    let used = figure(&mut c, "memory", "used_memory");
    c.cmd(&format!("CONFIG SET maxmemory {used}")).ok();
    fill(&mut c, 2000, "new");
    assert_eq!(figure(&mut c, "persistence", "rdb_bgsave_in_progress"), 1);
    let keys = integer(&c.cmd("DBSIZE"));
    assert!((4500..5600).contains(&keys), "{keys} keys are left");
    assert!(figure(&mut c, "memory", "mem_not_counted_for_evict") > 200_000);
    // Deleted memory no longer counts, either: there is room to write.
    c.cmd("CONFIG SET maxmemory-policy noeviction").ok();
    for i in 0..200 {
        c.cmd(&format!("DEL old{i} new{i}"));
    }
    c.cmd("SET k v").ok();
}

/// What clients that track were told of the evictions of a command counted as memory for the next command of the turn,
/// which evicted more, and told more of it, until nothing was left.
#[test]
fn what_clients_are_told_of_evictions_evicts_no_more() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    let mut clients: Vec<Client> = (0..10).map(|_| server.client()).collect();
    for client in &mut clients {
        client.cmd("HELLO 3");
        client.cmd("CLIENT TRACKING on").ok();
    }
    for i in 0..300 {
        let key = format!("{i}{}", "x".repeat(1000));
        c.cmd(&format!("SET {key} x")).ok();
        for client in &mut clients {
            client.cmd(&format!("GET {key}")).is("x");
        }
    }
    c.cmd("CONFIG SET maxmemory-policy allkeys-lru maxmemory-eviction-tenacity 100")
        .ok();
    let limit = figure(&mut c, "memory", "used_memory") - 40_000;
    let mut pipeline = encode(&["CONFIG", "SET", "maxmemory", &limit.to_string()]);
    for _ in 0..20 {
        pipeline.extend(encode(&["PING"]));
    }
    c.send(&pipeline).expect("the server listens");
    for _ in 0..21 {
        assert!(!c.read().expect("a reply").is_error());
    }
    let keys = integer(&c.cmd("DBSIZE"));
    assert!((200..300).contains(&keys), "{keys} keys are left");
}

#[test]
fn memory_is_refused_without_a_policy_and_reads_go_on() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("SET k v").ok();
    c.cmd("CONFIG SET maxmemory 1").ok();
    const REFUSED: &str = "OOM command not allowed when used memory > 'maxmemory'.";
    c.cmd("SET k w").error(REFUSED);
    c.cmd("GET k").is("v");
    // redis 15171: a subscription takes memory, too.
    for command in ["SUBSCRIBE a", "PSUBSCRIBE a", "SSUBSCRIBE a"] {
        c.cmd(command).error(REFUSED);
    }
    c.cmd("PUBLISH a m").is(0);
    c.cmd("MULTI").ok();
    c.cmd("SET k w").error(REFUSED);
    c.cmd("EXEC")
        .error("EXECABORT Transaction discarded because of previous errors.");
    c.cmd("DEL k").is(1);
}

/// An LRM policy judges a key by its last change: reading it does not keep it.
#[test]
fn reading_does_not_keep_a_key_under_lrm() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("CONFIG SET maxmemory-policy allkeys-lrm").ok();
    c.cmd("SET read v").ok();
    c.cmd("SET written v").ok();
    std::thread::sleep(std::time::Duration::from_millis(2100));
    c.cmd("GET read").is("v");
    c.cmd("APPEND written w").is(2);
    assert!(integer(&c.cmd("OBJECT IDLETIME read")) >= 2);
    assert!(integer(&c.cmd("OBJECT IDLETIME written")) <= 1);
}
