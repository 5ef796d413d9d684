//! Deadlines from outside.

use std::thread::sleep;
use std::time::Duration;

use crate::support::{Reply, Server, has_to_live};

#[test]
fn expire_and_its_conditions() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("EXPIRE k 100").is(0);
    c.cmd("TTL k").is(-2);
    c.cmd("SET k v").ok();
    c.cmd("TTL k").is(-1);
    c.cmd("EXPIRE k 100 XX").is(0);
    c.cmd("EXPIRE k 100 GT").is(0);
    c.cmd("EXPIRE k 100 LT").is(1);
    c.cmd("EXPIRE k 200 NX").is(0);
    c.cmd("EXPIRE k 200 LT").is(0);
    c.cmd("EXPIRE k 200 XX GT").is(1);
    has_to_live(&mut c, "k", 200);
    c.cmd("EXPIREAT k 99999999999").is(1);
    c.cmd("EXPIRETIME k").is(99_999_999_999);
    c.cmd("PEXPIRETIME k").is(99_999_999_999_000);
    c.cmd("PERSIST k").is(1);
    c.cmd("PERSIST k").is(0);
    c.cmd("EXPIRE k 1 NX GT")
        .error("ERR NX and XX, GT or LT options at the same time are not compatible");
    c.cmd("EXPIRE k 1 GT LT")
        .error("ERR GT and LT options at the same time are not compatible");
    c.cmd("EXPIRE k 1 AB").error("ERR Unsupported option AB");
    c.cmd("EXPIRE k 9223372036854775807")
        .error("ERR invalid expire time in 'expire' command");
    c.cmd("EXPIRE k -1").is(1);
    c.cmd("EXISTS k").is(0);
}

#[test]
fn keys_die_in_time_looked_up_or_not() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    for i in 0..500 {
        c.cmd(&format!("SET dies:{i} x PX 30")).ok();
        c.cmd(&format!("SET lives:{i} x EX 1000")).ok();
    }
    c.cmd("SET looked-up x PX 30").ok();
    sleep(Duration::from_millis(31));
    c.cmd("GET looked-up").nil();
    let cleaned = (0..100).any(|_| {
        sleep(Duration::from_millis(20));
        c.cmd("DBSIZE") == Reply::from(500)
    });
    assert!(cleaned, "the cycle must have found them all by now");
    c.cmd("EXISTS lives:0 lives:499 dies:0").is(2);
}
