//! Clients that are a burden: who never reads, who sends one byte at a time, who come in crowds.

use std::time::Duration;

use crate::support::client::encode;
use crate::support::server::until;
use crate::support::{Client, Reply, Server};

/// How long the server may take to notice.
const PATIENCE: Duration = Duration::from_secs(20);
/// More than the sockets of both ends hold, and of this the client never reads a byte.
const ANSWERS: usize = 400;
const ANSWER: usize = 100_000;

/// A field of INFO.
fn info(client: &mut Client, field: &str) -> i64 {
    let text = client.cmd("INFO everything").text();
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let mut found = lines.filter(|(name, _)| *name == field);
    let (_, value) = found
        .next()
        .unwrap_or_else(|| panic!("INFO has no {field}"));
    value.trim().parse().expect("a number")
}

fn await_info(client: &mut Client, field: &str, wanted: impl Fn(i64) -> bool) {
    let met = until(PATIENCE, || wanted(info(client, field)).then_some(()));
    assert!(met.is_some(), "{field} is {}", info(client, field));
}

/// Lines of CLIENT LIST about clients of this name.
fn listed(client: &mut Client, name: &str) -> Vec<String> {
    let text = client.cmd("CLIENT LIST").text();
    let wanted = format!(" name={name} ");
    let lines = text.lines().filter(|line| line.contains(&wanted));
    lines.map(str::to_owned).collect()
}

/// The bytes of output that wait for a client, from CLIENT LIST.
fn waiting_output(client: &mut Client, name: &str) -> usize {
    let lines = listed(client, name);
    let words = lines.first().expect("it is connected").split(' ');
    let mut found = words.filter_map(|word| word.strip_prefix("omem="));
    found.next().and_then(|n| n.parse().ok()).expect("a number")
}

/// A client that asks for more than its socket holds, and does not read.
fn one_who_never_reads(server: &Server) -> Client {
    let mut c = server.client();
    c.cmd("CLIENT SETNAME deaf").ok();
    c.call(&["SET", "big", &"x".repeat(ANSWER)]).ok();
    let requests = encode(&["GET", "big"]).repeat(ANSWERS);
    c.send(&requests).expect("the server reads");
    c
}

/// The limit holds for the first command of a connection, whose reply would not end.
#[test]
fn the_first_reply_of_a_connection_is_limited_too() {
    let server = Server::oxidis()
        .config("client-output-buffer-limit normal 2mb 0 0\n")
        .start();
    let mut other = server.client();
    other.cmd("SADD s x").is(1);
    other.cmd("HSET h f x").is(1);
    other.cmd("VADD v VALUES 1 1 x").is(1);
    let field = "client_output_buffer_limit_disconnections";
    let endless = [
        ("SRANDMEMBER", "s"),
        ("HRANDFIELD", "h"),
        ("VRANDMEMBER", "v"),
    ];
    for (ended, (command, key)) in (1..).zip(endless) {
        let mut c = server.client();
        c.send(&encode(&[command, key, "-4000000000000000000"]))
            .expect("the server listens");
        await_info(&mut other, field, |clients| clients == ended);
    }
    let peak = info(&mut other, "used_memory_peak");
    assert!(peak < 64 << 20, "{peak}");
}

#[test]
fn who_never_reads_is_ended_at_the_hard_limit() {
    let server = Server::oxidis()
        .config("client-output-buffer-limit normal 2mb 0 0\n")
        .start();
    let mut other = server.client();
    other.cmd("CLIENT SETNAME other").ok();
    let mut deaf = one_who_never_reads(&server);
    let field = "client_output_buffer_limit_disconnections";
    let ended = until(PATIENCE, || {
        other.cmd("INCR served");
        listed(&mut other, "deaf").is_empty().then_some(())
    });
    assert!(ended.is_some(), "still connected");
    assert_eq!(info(&mut other, field), 1);
    let log = server.log();
    assert!(
        log.contains("overcoming of output buffer limits"),
        "nothing in the log:\n{log}"
    );
    // The reply is cut: its first part was on the way already and arrives.
    let mut whole = 0;
    while let Ok(reply) = deaf.read() {
        assert_eq!(reply.bytes().len(), ANSWER);
        whole += 1;
    }
    assert!(whole < ANSWERS, "all {whole} answers arrived");
}

#[test]
fn who_never_reads_is_ended_at_the_soft_limit_after_its_time() {
    let server = Server::oxidis()
        .config("client-output-buffer-limit normal 0 1mb 1\n")
        .start();
    let mut other = server.client();
    let _deaf = one_who_never_reads(&server);
    let field = "client_output_buffer_limit_disconnections";
    await_info(&mut other, field, |n| n == 1);
    assert!(listed(&mut other, "deaf").is_empty());
}

#[test]
fn who_never_reads_delays_nobody_and_loses_nothing_without_a_limit() {
    let server = Server::oxidis().start();
    let mut other = server.client();
    let mut deaf = one_who_never_reads(&server);
    let full = until(PATIENCE, || {
        (waiting_output(&mut other, "deaf") > ANSWER).then_some(())
    });
    assert!(full.is_some(), "its output does not wait");
    for n in 1..=1000 {
        other.cmd("INCR served").is(n);
    }
    assert!(waiting_output(&mut other, "deaf") > ANSWER);
    // It was only slow: all is there, in order.
    for _ in 0..ANSWERS {
        let reply = deaf.read().expect("an answer");
        assert_eq!(reply.bytes().len(), ANSWER);
    }
    deaf.cmd("PING").status("PONG");
    assert_eq!(waiting_output(&mut other, "deaf"), 0);
}

#[test]
fn a_subscriber_who_never_reads_has_a_limit_of_its_own() {
    let server = Server::oxidis()
        .config("client-output-buffer-limit pubsub 2mb 0 0\n")
        .start();
    let mut deaf = server.client();
    deaf.cmd("SUBSCRIBE news");
    let mut other = server.client();
    let message = "x".repeat(ANSWER);
    let ended = until(PATIENCE, || {
        for _ in 0..20 {
            other.call(&["PUBLISH", "news", &message]);
        }
        let nobody = other.cmd("PUBLISH news end") == Reply::from(0);
        nobody.then_some(())
    });
    assert!(ended.is_some(), "still subscribed");
    let field = "client_output_buffer_limit_disconnections";
    assert_eq!(info(&mut other, field), 1);
}

#[test]
fn requests_one_byte_at_a_time() {
    let server = Server::oxidis().start();
    let mut other = server.client();
    let mut slow = server.client();
    let mut served = 0;
    let mut drip = |slow: &mut Client, bytes: &[u8]| {
        for byte in bytes {
            slow.send(&[*byte]).expect("sent");
            served += 1;
            // It is heard before the next byte is sent.
            other.cmd("INCR served").is(served);
        }
    };
    drip(&mut slow, &encode(&["SET", "slow", "\r\n and steady"]));
    slow.read().expect("a reply").ok();
    drip(&mut slow, b"get slow\r\n");
    slow.read().expect("a reply").is("\r\n and steady");
    // Two in one: the first is answered although the second has begun.
    drip(&mut slow, b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPI");
    slow.read().expect("a reply").status("PONG");
    drip(&mut slow, b"NG\r\n");
    slow.read().expect("a reply").status("PONG");
    // An error in a request is reported once its line is complete.
    drip(&mut slow, b"*1\r\n!\r\n");
    slow.read()
        .expect("a reply")
        .error("ERR Protocol error: expected '$', got '!'");
    assert!(slow.read().is_err(), "not closed");
}

#[test]
fn who_is_silent_is_closed_and_who_sends_slowly_is_not() {
    let server = Server::oxidis().config("timeout 2\n").start();
    let named = |name: &str| {
        let mut c = server.client();
        c.cmd(&format!("CLIENT SETNAME {name}")).ok();
        c
    };
    let (mut stalled, mut slow) = (named("stalled"), named("slow"));
    let (mut blocked, mut subscriber) = (named("blocked"), named("subscriber"));
    let (mut idle, mut other) = (named("idle"), named("other"));
    blocked.send(b"BLPOP list 0\r\n").expect("sent");
    subscriber.cmd("SUBSCRIBE news");
    stalled.send(b"*2\r\n$3\r\nGET\r\n$5\r\nha").expect("sent");
    slow.send(b"*2\r\n$4\r\nECHO\r\n$100000\r\n").expect("sent");
    let mut sent = 0;
    let closed = until(PATIENCE, || {
        slow.send(b"x").expect("the slow one is still connected");
        sent += 1;
        let gone = listed(&mut other, "stalled").is_empty();
        (gone && listed(&mut other, "idle").is_empty()).then_some(())
    });
    assert!(closed.is_some(), "the silent ones are still connected");
    assert!(stalled.read().is_err() && idle.read().is_err());
    let rest = [b"x".repeat(100_000 - sent), b"\r\n".to_vec()].concat();
    slow.send(&rest).expect("sent");
    assert_eq!(slow.read().expect("a reply").bytes(), b"x".repeat(100_000));
    // A blocked client does not count as idle.
    other.cmd("RPUSH list v").is(1);
    blocked.read().expect("a reply").is(["list", "v"]);
    other.cmd("PUBLISH news v").is(1);
    assert_eq!(subscriber.read().expect("a message").items().len(), 3);
}

#[test]
fn too_many_clients_are_told_so() {
    const MOST: usize = 20;
    const BURST: usize = 60;
    let server = Server::oxidis()
        .config(&format!("maxclients {MOST}\n"))
        .start();
    let mut first = server.client();
    // The client that asked whether the server is up has disconnected.
    await_info(&mut first, "connected_clients", |n| n == 1);
    let mut burst: Vec<Client> = (0..BURST).map(|_| server.client()).collect();
    let mut refused = burst.split_off(MOST - 1);
    for c in &mut refused {
        c.read()
            .expect("a word why")
            .is(Reply::Error(b"ERR max number of clients reached".into()));
        assert!(c.read().is_err(), "not closed");
    }
    for c in &mut burst {
        c.cmd("PING").status("PONG");
    }
    assert_eq!(info(&mut first, "connected_clients"), MOST as i64);
    assert_eq!(
        info(&mut first, "rejected_connections"),
        refused.len() as i64
    );
    // A place that is free is given to who comes next.
    drop(burst.pop());
    await_info(&mut first, "connected_clients", |n| n < MOST as i64);
    let mut late = server.client();
    late.cmd("PING").status("PONG");
    server.client().read().expect("a word why").error("ERR max");
    first
        .cmd(&format!("CONFIG SET maxclients {}", MOST + 1))
        .ok();
    server.client().cmd("PING").status("PONG");
}

#[test]
fn a_crowd_that_comes_and_goes_leaves_nothing() {
    let server = Server::oxidis().config("maxclients 10\n").start();
    let mut first = server.client();
    await_info(&mut first, "connected_clients", |n| n == 1);
    for _ in 0..20 {
        // Some are served, some refused, all are gone before they know.
        let crowd: Vec<Client> = (0..50).map(|_| server.client()).collect();
        for mut c in crowd {
            let _ = c.send(b"PING\r\n");
        }
        first.cmd("PING").status("PONG");
    }
    await_info(&mut first, "connected_clients", |n| n == 1);
    let refused = info(&mut first, "rejected_connections");
    assert!(refused > 0, "nobody was refused");
    server.client().cmd("PING").status("PONG");
}

/// Others are served between the requests of a long pipeline, whose replies keep their order. Requests that come while it
/// runs are behind it.
#[test]
fn a_long_pipeline_lets_others_in() {
    const SLOW: usize = 100;
    let server = Server::oxidis()
        .config("enable-debug-command yes\n")
        .start();
    let (mut long, mut other) = (server.client(), server.client());
    let pair: Vec<u8> = [encode(&["DEBUG", "SLEEP", "0.005"]), encode(&["INCR", "n"])].concat();
    let mut pipeline = pair.repeat(SLOW);
    for words in [&["MULTI"][..], &["INCR", "n"], &["INCR", "n"], &["EXEC"]] {
        pipeline.extend(encode(words));
    }
    long.send(&pipeline).expect("the server reads");
    // A reply of the beginning is here before the end has run, and another client gets its own in between.
    long.read().expect("a reply").ok();
    long.send(&encode(&["SET", "last", "x"]))
        .expect("the server reads");
    let done = other.cmd("GET n").text().parse::<usize>().unwrap_or(0);
    assert!(done < SLOW, "{done} of {SLOW} ran before anyone else");
    other.cmd("EXISTS last").is(0);
    long.read().expect("a reply").is(1);
    for n in 2..=SLOW as i64 {
        long.read().expect("a reply").ok();
        long.read().expect("a reply").is(n);
    }
    long.read().expect("a reply").ok();
    for _ in 0..2 {
        long.read().expect("a reply").status("QUEUED");
    }
    let (a, b) = (SLOW as i64 + 1, SLOW as i64 + 2);
    let both = long.read().expect("a reply");
    assert_eq!(both.items(), [Reply::Integer(a), Reply::Integer(b)]);
    long.read().expect("a reply").ok();
}

/// A client that sends a long pipeline and ends its side has all of it run.
#[test]
fn a_long_pipeline_of_who_says_goodbye_is_run() {
    let server = Server::oxidis()
        .config("enable-debug-command yes\n")
        .start();
    let mut long = server.client();
    let pair: Vec<u8> = [encode(&["DEBUG", "SLEEP", "0.005"]), encode(&["INCR", "n"])].concat();
    long.send(&pair.repeat(40)).expect("the server reads");
    let replies = long.finish().expect("the server closes");
    assert!(replies.ends_with(b":40\r\n"));
}
