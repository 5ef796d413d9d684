//! Introspection: the server's description of itself and of its data, for programs that compare servers.

use crate::support::{Client, Server};

#[test]
fn keys_of_requests_can_be_asked_for() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("COMMAND GETKEYS XREAD COUNT 2 STREAMS a b 1 2")
        .is(["a", "b"]);
    c.cmd("COMMAND GETKEYS XREADGROUP GROUP streams c NOACK STREAMS a >")
        .is(["a"]);
    c.cmd("COMMAND GETKEYS GEORADIUS a 1 1 1 m STORE b")
        .is(["a", "b"]);
    c.cmd("COMMAND GETKEYS XREAD COUNT 2 a b")
        .error("ERR Invalid arguments specified for command");
}

/// Values of all types that both servers know.
fn fill(c: &mut Client) {
    for line in [
        "SET string value",
        "SET number 17 EX 1000",
        "RPUSH list a b 3 a",
        "SADD integers 1 2 3",
        "SADD members a b 3",
        "HSET hash f v g 2",
        "ZADD zset 1 a 2.5 b -3 7",
        "XADD stream 1-1 f v g w",
        "XADD stream 5-0 f v",
        "SELECT 3",
        "SETRANGE elsewhere 5 x",
    ] {
        assert!(!c.cmd(line).is_error(), "{line}");
    }
}

#[test]
fn a_data_set_has_the_digest_it_has_in_redis() {
    let start = |builder: crate::support::server::Builder| {
        builder.args(["--enable-debug-command", "yes"]).start()
    };
    let server = start(Server::oxidis());
    let mut c = server.client();
    c.cmd("DEBUG DIGEST").status(&"0".repeat(40));
    fill(&mut c);
    let ours = c.cmd("DEBUG DIGEST").text();
    c.cmd("DEBUG RELOAD").ok();
    c.cmd("DEBUG DIGEST").status(&ours);
    if let Some(redis) = Server::redis().map(start) {
        let mut other = redis.client();
        fill(&mut other);
        other.cmd("DEBUG DIGEST").status(&ours);
        other.cmd("SELECT 0").ok();
        c.cmd("SELECT 0").ok();
        let values = "DEBUG DIGEST-VALUE string number list integers members hash zset stream no";
        c.cmd(values).is(other.cmd(values));
    }
}
