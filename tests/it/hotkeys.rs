//! Hot keys and the sizes of keys, from outside.

use crate::support::{Client, Reply, Server};

/// The field of HOTKEYS GET, or nothing.
fn found(c: &mut Client, name: &str) -> Option<Reply> {
    let reply = c.cmd("HOTKEYS GET");
    let [session] = reply.items() else {
        panic!("one node, one session: {reply:?}");
    };
    let pairs = session.items().chunks(2);
    pairs
        .filter(|pair| pair[0].bytes() == name.as_bytes())
        .map(|pair| pair[1].clone())
        .next()
}

#[test]
fn a_session_finds_the_keys_that_move_most_bytes() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("HOTKEYS GET").nil();
    c.cmd("HOTKEYS START")
        .error("ERR METRICS parameter is required");
    c.cmd("HOTKEYS START METRICS 3 CPU NET")
        .error("ERR METRICS count must be > 0 and <= 2");
    c.cmd("HOTKEYS START METRICS 2 CPU")
        .error("ERR METRICS count does not match number of metric types provided");
    c.cmd("HOTKEYS START METRICS 1 CPU NET")
        .error("ERR syntax error");
    c.cmd("HOTKEYS START METRICS 2 NET NET")
        .error("ERR METRICS NET defined more than once!");
    c.cmd("HOTKEYS START METRICS 1 CPU COUNT 65")
        .error("ERR COUNT must be between 1 and 64");
    c.cmd("HOTKEYS START METRICS 1 CPU SLOTS 1 5")
        .error("ERR SLOTS parameter cannot be used in non-cluster mode");
    c.cmd("HOTKEYS START METRICS 2 CPU NET COUNT 2").ok();
    c.cmd("HOTKEYS START METRICS 1 CPU")
        .error("ERR hotkey tracking session already in progress");
    let long = "x".repeat(5000);
    for i in 0..50 {
        c.cmd(&format!("SET cold{i} 1")).ok();
        c.cmd(&format!("SET hot {long}")).ok();
        c.cmd("EVAL \"return redis.call('get', KEYS[1])\" 1 warm");
    }
    c.cmd("HOTKEYS RESET")
        .error("ERR hotkey tracking session in progress, stop tracking first");
    c.cmd("HOTKEYS STOP").ok();
    c.cmd("HOTKEYS STOP").nil();
    let by_net = found(&mut c, "by-net-bytes").expect("it was asked for");
    assert_eq!(by_net.items().len(), 4);
    assert_eq!(by_net.items()[0].bytes(), b"hot");
    assert_eq!(by_net.items()[2].bytes(), b"warm");
    assert_eq!(found(&mut c, "tracking-active"), Some(0.into()));
    assert!(found(&mut c, "all-commands-selected-slots-us").is_none());
    c.cmd("HOTKEYS RESET").ok();
    c.cmd("HOTKEYS GET").nil();
}

#[test]
fn sizes_of_keys_by_powers_of_two() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("SET a ''").ok();
    c.cmd("SET b 123").ok();
    c.cmd("SETRANGE c 1499 x").is(1500);
    c.cmd("RPUSH l 1 2 3 4 5").is(5);
    c.cmd("SELECT 3").ok();
    c.cmd("HSET h f v").is(1);
    let text = c.cmd("INFO keysizes").text();
    assert_eq!(
        text.replace('\r', ""),
        "# Keysizes\ndb0_distrib_strings_sizes:0=1,2=1,1K=1\ndb0_distrib_lists_items:4=1\n\
         db3_distrib_hashes_items:1=1\n"
    );
}
