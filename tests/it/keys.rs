//! Keys from outside: renaming, copying, walking, emptying, and the events that tell of it.

use crate::support::{Client, Reply, Server, has_to_live};

#[test]
fn keys_move_with_their_deadlines() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("SET a 1 EX 100").ok();
    c.cmd("SET b 2").ok();
    c.cmd("RENAMENX a b").is(0);
    c.cmd("RENAME a b").ok();
    has_to_live(&mut c, "b", 100);
    c.cmd("RENAME a b").error("ERR no such key");
    c.cmd("RENAME b b").ok();
    c.cmd("COPY b c").is(1);
    c.cmd("COPY b c").is(0);
    c.cmd("COPY b c REPLACE").is(1);
    has_to_live(&mut c, "c", 100);
    c.cmd("COPY b b")
        .error("ERR source and destination objects are the same");
    c.cmd("COPY b c DB 99")
        .error("ERR DB index is out of range");
    c.cmd("MOVE c 3").is(1);
    c.cmd("MOVE c 3").is(0);
    c.cmd("MOVE b 0")
        .error("ERR source and destination objects are the same");
    c.cmd("SELECT 3").ok();
    has_to_live(&mut c, "c", 100);
    c.cmd("SWAPDB 0 3").ok();
    c.cmd("EXISTS b c").is(1);
    c.cmd("SWAPDB 0 x").error("ERR invalid second DB index");
    c.cmd("SWAPDB 0 16").error("ERR DB index is out of range");
}

/// A key that is there all the while comes exactly once, whatever is added and deleted meanwhile.
#[test]
fn scan_returns_everything_once() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    for i in 0..3000 {
        c.cmd(&format!("SET stays:{i} x")).ok();
    }
    let (mut cursor, mut seen, mut round) = ("0".to_owned(), Vec::new(), 0);
    loop {
        let reply = c.cmd(&format!("SCAN {cursor} MATCH stays:* COUNT 50 TYPE string"));
        cursor = reply.items()[0].text();
        seen.extend(reply.items()[1].items().iter().map(Reply::text));
        for i in 0..100 {
            c.cmd(&format!("SET comes:{round}:{i} x")).ok();
            if round > 0 {
                c.cmd(&format!("DEL comes:{}:{i}", round - 1)).is(1);
            }
        }
        round += 1;
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 3000);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 3000);
    c.cmd("SCAN x").error("ERR invalid cursor");
    c.cmd("SCAN 0 COUNT 0").error("ERR syntax error");
    // No key is of a type that does not exist.
    let page = c.cmd("SCAN 0 COUNT 10000 TYPE nothing");
    assert_eq!(page.items()[1], Reply::Array(vec![]));
}

#[test]
fn a_flush_that_waits_is_answered_in_turn() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    for i in 0..2000 {
        c.cmd(&format!("SET k{i} x")).ok();
    }
    c.send(b"FLUSHALL SYNC\r\nDBSIZE\r\nSET a 1\r\nFLUSHDB ASYNC\r\nFLUSHALL\r\nPING\r\n")
        .expect("sent");
    let mut next = || c.read().expect("a reply");
    next().ok();
    next().is(0);
    next().ok();
    next().ok();
    next().ok();
    next().status("PONG");
    c.cmd("FLUSHALL NOW").error("ERR syntax error");
    c.cmd("FLUSHALL SYNC now").error("ERR syntax error");
}

/// The events of a few commands, in order, as `event key`.
fn events(listener: &mut Client, n: usize) -> Vec<String> {
    let message = |reply: Reply| {
        let items = reply.items();
        let event = items[2].text();
        let event = event.rsplit(':').next().unwrap_or_default().to_owned();
        format!("{event} {}", items[3].text())
    };
    (0..n)
        .map(|_| message(listener.read().expect("an event")))
        .collect()
}

#[test]
fn events_tell_what_became_of_keys() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("CONFIG SET notify-keyspace-events KEAnmoc").ok();
    let mut listener = server.client();
    listener.cmd("PSUBSCRIBE __keyevent@*");
    let mut expect = |command: &str, expected: &[&str]| {
        c.cmd(command);
        assert_eq!(events(&mut listener, expected.len()), expected, "{command}");
    };
    expect("SET a 1", &["new a", "set a"]);
    expect("SET a 2 EX 100", &["overwritten a", "set a", "expire a"]);
    expect("INCR a", &["incrby a"]);
    expect("GET nothing", &["keymiss nothing"]);
    expect("APPEND b x", &["new b", "append b"]);
    expect(
        "RENAME a b",
        &["new b", "rename_from a", "rename_to b", "overwritten b"],
    );
    expect("COPY b c", &["new c", "copy_to c"]);
    expect("PERSIST b", &["persist b"]);
    expect("GETDEL b", &["del b"]);
    expect("EXPIRE c -1", &["del c"]);
    expect("SET d 1 PXAT 1", &[]);
    expect("MSETEX 1 d 1 PXAT 1", &["new d", "expire d", "set d"]);
    expect("SET d 2", &["expired d", "new d", "set d"]);
    expect("SET d 3 PXAT 1", &["del d"]);
    expect("SET d 2", &["new d", "set d"]);
    expect(
        "MSET d 1 e 2",
        &["overwritten d", "set d", "new e", "set e"],
    );
    expect("PEXPIRE e 1", &["expire e"]);
    expect("PING", &["expired e"]);
}

/// Which fields of a hash an event is about is told on four more kinds of channels.
#[test]
fn events_tell_of_fields() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    let mut listener = server.client();
    c.cmd("CONFIG SET notify-keyspace-events hSTIV").ok();
    listener.cmd("PSUBSCRIBE *");
    let mut expect = |command: &str, expected: &[&str]| {
        c.cmd(command);
        let told: Vec<String> = (0..expected.len())
            .map(|_| {
                let message = listener.read().expect("a message");
                let [_, _, channel, text] = message.items() else {
                    panic!("a message, not {message:?}");
                };
                format!("{} {}", channel.text(), text.text())
            })
            .collect();
        assert_eq!(told, expected, "{command}");
    };
    expect(
        "HSET h f 1 g,: 2",
        &[
            "__subkeyspace@0__:h hset|1:f,3:g,:",
            "__subkeyevent@0__:hset 1:h|1:f,3:g,:",
            "__subkeyspaceitem@0__:h\nf hset",
            "__subkeyspaceitem@0__:h\ng,: hset",
            "__subkeyspaceevent@0__:hset|h 1:f,3:g,:",
        ],
    );
    let all = |event: &str| {
        [
            format!("__subkeyspace@0__:h {event}|1:f"),
            format!("__subkeyevent@0__:{event} 1:h|1:f"),
            format!("__subkeyspaceitem@0__:h\nf {event}"),
            format!("__subkeyspaceevent@0__:{event}|h 1:f"),
        ]
    };
    for (command, event) in [
        ("HINCRBY h f 1", "hincrby"),
        ("HINCRBYFLOAT h f 0.5", "hincrbyfloat"),
        ("HEXPIRE h 100 FIELDS 2 f x", "hexpire"),
        ("HPERSIST h FIELDS 2 f x", "hpersist"),
        ("HGETEX h EX 100 FIELDS 1 f", "hexpire"),
        ("HGETEX h PERSIST FIELDS 1 f", "hpersist"),
        ("HDEL h f x f", "hdel"),
        ("HSETNX h f 1", "hset"),
        ("HGETDEL h FIELDS 3 f x f", "hdel"),
        ("HSET h f 1", "hset"),
        ("HEXPIREAT h 1 FIELDS 1 f", "hdel"),
        ("HMSET h f 1", "hset"),
        ("HPEXPIRE h 1 FIELDS 1 f", "hexpire"),
    ] {
        expect(command, &all(event).each_ref().map(String::as_str));
    }
    expect("PING", &all("hexpired").each_ref().map(String::as_str));
}

/// HSETEX FNX on a field that had expired deleted the hash in between: an event `del` that Redis does not send.
#[test]
fn a_hash_that_gets_its_field_back_is_not_deleted() {
    let server = Server::oxidis()
        .config("notify-keyspace-events Khg\nenable-debug-command yes\n")
        .start();
    let (mut c, mut listener) = (server.client(), server.client());
    listener.cmd("PSUBSCRIBE *");
    c.cmd("DEBUG SET-ACTIVE-EXPIRE 0").ok();
    c.cmd("HSET h f v").is(1);
    c.cmd("HPEXPIRE h 1 FIELDS 1 f");
    std::thread::sleep(std::time::Duration::from_millis(5));
    c.cmd("HSETEX h FNX PX 100000 FIELDS 1 f w").is(1);
    c.cmd("DEL h").is(1);
    for event in ["hset", "hexpire", "hexpired", "hset", "hexpire", "del"] {
        let message = listener.read().expect("a message");
        assert_eq!(message.items()[3].text(), event);
    }
}

/// SCAN TYPE of Redis 8.6 deletes expired keys of other types as well; SCAN MATCH leaves those that do not match.
#[test]
fn scan_deletes_expired_keys_whatever_their_type() {
    let server = Server::oxidis()
        .config("enable-debug-command yes\n")
        .start();
    let mut c = server.client();
    c.cmd("DEBUG SET-ACTIVE-EXPIRE 0").ok();
    c.cmd("SET string v PX 1").ok();
    c.cmd("HSET hash f v").is(1);
    c.cmd("PEXPIRE hash 1").is(1);
    std::thread::sleep(std::time::Duration::from_millis(5));
    c.cmd("SCAN 0 COUNT 100 MATCH x*");
    c.cmd("DBSIZE").is(2);
    c.cmd("SCAN 0 COUNT 100 TYPE string");
    c.cmd("DBSIZE").is(0);
}
