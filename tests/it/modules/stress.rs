//! Threads of a module: locks, keys deleted while they are open, clients unblocked, timers.
//!
//! `OXIDIS_STRESS_MS` makes the run longer than two seconds.

use super::server;
use crate::support::fleet::wait_for;
use crate::support::{Client, Reply};

#[test]
fn threads_of_a_module_share_the_server_with_its_clients() {
    let ms: u64 = match std::env::var("OXIDIS_STRESS_MS") {
        Ok(text) => text.parse().expect("milliseconds"),
        Err(_) => 2000,
    };
    // Histograms of latency and the slow log grow with the slowest calls seen. Without them memory is even.
    let even = "latency-tracking no\nslowlog-log-slower-than -1";
    let Some(builder) = server(&["stress"], even) else {
        return;
    };
    let mut server = builder.start();
    let mut runner = server.client();
    runner
        .send(format!("STRESS.RUN 4 {ms}\r\n").as_bytes())
        .expect("the run begins");
    let mut c = server.client();
    wait_for("the run", || {
        c.cmd("INFO clients").text().contains("blocked_clients:1")
    });
    let memory = |c: &mut Client| -> u64 {
        let info = c.cmd("INFO memory").text();
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:"));
        line.and_then(|n| n.trim().parse().ok())
            .expect("used_memory")
    };
    let before = memory(&mut c);
    let mut served = 0u64;
    // The runner's own client is blocked until the threads have ended.
    while !c.cmd("INFO clients").text().contains("blocked_clients:0") {
        c.cmd("SET stress:1 x").ok();
        c.cmd("STRESS.WAIT").is(1);
        c.cmd("DEL stress:1 stress:2 stress:3");
        if served.is_multiple_of(16) {
            c.cmd("BGSAVE");
        }
        served += 1;
    }
    let turns = runner.read().expect("the run's reply");
    assert!(
        matches!(turns, Reply::Integer(turns) if turns > 0),
        "{turns}"
    );
    assert!(served > 0);
    assert!(server.is_alive());
    c.cmd("FLUSHALL").ok();
    // Refused while a timer is armed.
    wait_for("the module to go", || {
        c.cmd("MODULE UNLOAD stress") == Reply::Status(b"OK".to_vec())
    });
    // Nothing of the keys, handles and strings of the run stays.
    let after = memory(&mut c);
    assert!(
        after < before + (16 << 10),
        "{before} bytes before, {after} after"
    );
}
