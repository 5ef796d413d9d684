//! The cost of a snapshot while it is out, as INFO tells it.

use std::thread::sleep;
use std::time::Duration;

use crate::support::{Client, Server};

fn figure(client: &mut Client, name: &str) -> u64 {
    let info = client.cmd("INFO persistence").text();
    let line = info.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|rest| rest.strip_prefix(':'));
    let value = value.and_then(|value| value.trim().parse().ok());
    value.unwrap_or_else(|| panic!("INFO has no figure {name}"))
}

/// Copies made inside of large values were left out: a hash of a million fields could be rewritten whole during a
/// save, and `current_cow_size` spoke of the few hundred bytes around it.
#[test]
fn copies_inside_of_large_values_are_counted() {
    const KEYS: usize = 10;
    let server = Server::oxidis().start();
    let mut c = server.client();
    let makers = [
        "for i = 1, 20000 do redis.call('HSET', KEYS[1], 'field:' .. i, 'value') end",
        "for i = 1, 20000 do redis.call('ZADD', KEYS[1], i, 'member:' .. i) end",
        "for i = 1, 20000 do redis.call('RPUSH', KEYS[1], 'element:' .. i .. string.rep('x', 50)) end",
    ];
    let changes = [
        "for i = 1, 20000, 100 do redis.call('HSET', KEYS[1], 'field:' .. i, 'other') end",
        "for i = 1, 20000, 100 do redis.call('ZADD', KEYS[1], i + 0.5, 'member:' .. i) end",
        "for i = 1, 19999, 100 do redis.call('LSET', KEYS[1], i, 'other') end",
    ];
    c.cmd("CONFIG SET rdb-key-save-delay 1000000").ok();
    for (make, change) in makers.iter().zip(changes) {
        c.cmd("FLUSHALL").ok();
        for key in 0..KEYS {
            c.call(&["EVAL", make, "1", &format!("k{key}")]);
        }
        c.cmd("BGSAVE").status("Background saving started");
        // Keys that the save has written are not shared any more: one key at most, so far.
        for key in 0..KEYS {
            c.call(&["EVAL", change, "1", &format!("k{key}")]);
        }
        // Looked at by the cron.
        sleep(Duration::from_millis(300));
        assert_eq!(figure(&mut c, "rdb_bgsave_in_progress"), 1);
        let cow = figure(&mut c, "current_cow_size");
        // Each of the two hundred places lies in a node of its own, of at least some hundred bytes.
        let least = (KEYS as u64 - 3) * 200 * 200;
        assert!(cow > least, "{cow} bytes copied after {change}");
        c.cmd("BGSAVE CANCEL").status("Background saving cancelled");
        assert!(figure(&mut c, "rdb_last_cow_size") >= cow);
    }
}
