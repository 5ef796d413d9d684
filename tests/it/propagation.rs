//! Propagation, word by word: to replicas, files, other servers and subscribers; each test names the report it comes
//! from. The whole kind is in `effects.rs`.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use crate::support::client::encode;
use crate::support::{Client, Reply, Server};

fn with_file() -> Server {
    Server::oxidis()
        .config("appendonly yes\nenable-debug-command yes\nsave \"\"\n")
        .args(["--appendonly", "yes"])
        .start()
}

/// The commands in the increment of the append-only file, without SELECT and the bounds of transactions.
fn said(server: &Server) -> Vec<String> {
    let dir = server.dir().join("appendonlydir");
    let files = fs::read_dir(dir).expect("a directory of files");
    let mut increment = Vec::new();
    for file in files {
        let path = file.expect("an entry").path();
        if path.to_string_lossy().ends_with(".incr.aof") {
            increment = fs::read(path).expect("a file");
        }
    }
    let mut rest = increment.as_slice();
    let mut commands = Vec::new();
    while !rest.is_empty() {
        let command = Reply::read(&mut rest).expect("a whole command");
        let words: Vec<String> = command.items().iter().map(Reply::text).collect();
        let line = words.join(" ");
        let first = words[0].to_ascii_uppercase();
        if !["SELECT", "MULTI", "EXEC"].contains(&first.as_str()) {
            commands.push(line);
        }
    }
    commands
}

/// The commands added to the file since `before`, and XINFO's words about the group; the same after the file was
/// replayed.
fn replayed(server: &Server, c: &mut Client, ask: &str) {
    let before = c.cmd(ask).to_string();
    c.cmd("DEBUG LOADAOF").ok();
    assert_eq!(c.cmd(ask).to_string(), before, "{:?}", said(server));
}

/// redis 14963: a consumer that XREADGROUP created without reading anything was lost in the file and on replicas.
#[test]
fn a_consumer_that_reads_nothing_is_propagated() {
    let server = with_file();
    let mut c = server.client();
    c.cmd("XADD s 1-1 a 1").is("1-1");
    c.cmd("XGROUP CREATE s g $").ok();
    for (consumer, line) in [
        ("reader", "XREADGROUP GROUP g reader STREAMS s >".to_owned()),
        ("blocked", "XREADGROUP GROUP g blocked BLOCK 1 STREAMS s >".to_owned()),
        ("history", "XREADGROUP GROUP g history STREAMS s 0".to_owned()),
        ("hasty", "XREADGROUP GROUP g hasty NOACK STREAMS s >".to_owned()),
        ("claimer", "XCLAIM s g claimer 0 1-1".to_owned()),
        ("automatic", "XAUTOCLAIM s g automatic 0 0".to_owned()),
        ("late", "XREADGROUP GROUP g late CLAIM 0 STREAMS s >".to_owned()),
        ("scripted", "EVAL \"return redis.call('XREADGROUP', 'GROUP', 'g', 'scripted', 'STREAMS', 's', '>')\" 0".to_owned()),
    ] {
        let reply = c.cmd(&line);
        assert!(!reply.is_error(), "{line}: {reply}");
        assert_eq!(said(&server).last().expect("something"), &format!("XGROUP CREATECONSUMER s g {consumer}"));
    }
    let names = |c: &mut Client| {
        let told = c.cmd("XINFO CONSUMERS s g");
        let names: Vec<String> = told
            .items()
            .iter()
            .map(|one| one.items()[1].text())
            .collect();
        names
    };
    let before = names(&mut c);
    assert_eq!(before.len(), 8);
    c.cmd("DEBUG LOADAOF").ok();
    assert_eq!(names(&mut c), before);
    // The propagated XCLAIM names a consumer that got an entry.
    c.cmd("XADD s 2-1 a 1").is("2-1");
    c.cmd("XREADGROUP GROUP g busy STREAMS s >");
    assert!(
        !said(&server)
            .iter()
            .any(|line| line.contains("CREATECONSUMER s g busy"))
    );
    replayed(&server, &mut c, "XPENDING s g");
}

/// An entry that nobody owns (XNACK) and that was deleted is no longer pending once somebody claims; that is no reason
/// to create a consumer without a name elsewhere.
#[test]
fn what_nobody_owns_is_acknowledged_without_a_consumer() {
    let server = with_file();
    let mut c = server.client();
    c.cmd("XADD s 1-1 a 1").is("1-1");
    c.cmd("XGROUP CREATE s g 0").ok();
    c.cmd("XREADGROUP GROUP g c STREAMS s >");
    c.cmd("XNACK s g FAIL IDS 1 1-1").is(1);
    c.cmd("XDEL s 1-1").is(1);
    c.cmd("XAUTOCLAIM s g c 0 0");
    assert_eq!(said(&server).last().expect("something"), "XACK s g 1-1");
    replayed(&server, &mut c, "XINFO GROUPS s");
}

/// redis 13957: after a trim past the group, what it reads next counts on from there, not from where it was.
#[test]
fn a_group_that_a_trim_overtook_counts_on_behind_it() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    for i in 1..=5 {
        c.cmd(&format!("XADD s {i}-1 a 1"));
        if i == 3 {
            c.cmd("XGROUP CREATE s g 0").ok();
            c.cmd("XREADGROUP GROUP g c COUNT 1 STREAMS s >");
        }
    }
    c.cmd("XTRIM s MAXLEN 2").is(3);
    let mut progress = |read: bool| {
        if read {
            c.cmd("XREADGROUP GROUP g c COUNT 1 STREAMS s >");
        }
        let told = c.cmd("XINFO GROUPS s");
        let group = told.items()[0].items();
        (group[9].clone(), group[11].clone())
    };
    let pair = |read: i64, lag: i64| (Reply::Integer(read), Reply::Integer(lag));
    assert_eq!(progress(false), pair(1, 2));
    assert_eq!(progress(true), pair(4, 1));
    assert_eq!(progress(true), pair(5, 0));
}

/// Propagated commands are understood by replicas of Redis 7.0, as far as the type allows: a hash with deadlines of
/// fields they could not hold anyway.
#[test]
fn old_words_are_propagated_where_there_are_any() {
    let server = with_file();
    let mut c = server.client();
    for (line, told) in [
        ("HINCRBYFLOAT plain f 1.5", &["HSET plain f 1.5"][..]),
        ("HSET timed f 1 g 1", &["HSET timed f 1 g 1"]),
        (
            "HPEXPIREAT timed 4102444800000 FIELDS 1 f",
            &["HPEXPIREAT timed 4102444800000 FIELDS 1 f"],
        ),
        (
            "HINCRBYFLOAT timed f 1.5",
            &["HSETEX timed KEEPTTL FIELDS 1 f 2.5"],
        ),
        (
            "HINCRBYFLOAT timed g 1.5",
            &["HSETEX timed KEEPTTL FIELDS 1 g 2.5"],
        ),
        (
            "MSETEX 2 a 1 b 2 PXAT 4102444800000",
            &["SET a 1 PXAT 4102444800000", "SET b 2 PXAT 4102444800000"],
        ),
        ("MSETEX 1 a 3 KEEPTTL", &["SET a 3 KEEPTTL"]),
        ("MSETEX 1 new 3 NX", &["SET new 3"]),
        ("SET a 4 IFEQ 3", &["SET a 4"]),
        ("SET a 5 IFEQ 4 KEEPTTL", &["SET a 5 KEEPTTL"]),
        (
            "SET a 6 IFEQ 5 PXAT 4102444800000",
            &["SET a 6 PXAT 4102444800000"],
        ),
        ("DELEX a IFEQ 6", &["DEL a"]),
        ("SET a 6", &["SET a 6"]),
        ("BITOP ONE t a none", &["SET t 6"]),
        ("BITOP DIFF t none none2", &["DEL t"]),
        ("XADD s IDMP p i 1-* a 1", &[]),
        ("XADD s 1-1 a 1", &["XADD s 1-1 a 1"]),
        ("XCFGSET s IDMP-DURATION 100", &[]),
        (
            "XCFGSET s IDMP-DURATION 50",
            &["XCFGSET s IDMP-DURATION 50"],
        ),
        ("XCFGSET s IDMP-DURATION 50", &[]),
        ("INCREX n BYINT 5", &["SET n 5 KEEPTTL"]),
        ("RPUSH l a b c d e", &["RPUSH l a b c d e"]),
        (
            "LMOVEM l to LEFT RIGHT COUNT 2 OBO",
            &["LPOP l 2", "RPUSH to a b"],
        ),
        (
            "LMOVEM l to RIGHT RIGHT COUNT 2 OBO",
            &["RPOP l 2", "RPUSH to e d"],
        ),
        (
            "BLMOVEM to to LEFT LEFT 0 EXACTLY 3 BULK",
            &["LPOP to 3", "LPUSH to e b a"],
        ),
        (
            "LMOVEM to to LEFT LEFT COUNT 9 OBO",
            &["RPUSH to d e b a", "LPOP to 4"],
        ),
        ("LMOVEM none to LEFT LEFT COUNT 9 OBO", &[]),
        ("ZADD z 1 x 2 y", &["ZADD z 1 x 2 y"]),
        (
            "ZUNIONSTORE u 2 z to2 WEIGHTS 1.5 2 AGGREGATE COUNT",
            &["DEL u", "ZADD u 1.5 x 1.5 y"],
        ),
        ("ZINTERSTORE u 2 z none AGGREGATE COUNT", &["DEL u"]),
        ("ZINTERSTORE u 2 z none AGGREGATE COUNT", &[]),
    ] {
        let before = said(&server).len();
        c.cmd(line);
        assert_eq!(said(&server)[before..], *told, "{line}");
    }
}

/// Redis 8.6 ends when it meets VADD with CAS in an append-only file, its own included: "(fakeClient->flags &
/// CLIENT_BLOCKED) == 0".
#[test]
fn neighbours_looked_for_on_a_thread_are_no_matter_of_the_file() {
    let server = with_file();
    let mut c = server.client();
    c.cmd("VADD v VALUES 2 1 2 CAS cas SETATTR CAS EF 50 CAS")
        .is(1);
    c.cmd("MULTI").ok();
    c.cmd("VADD v VALUES 2 1 3 b CAS").status("QUEUED");
    c.cmd("EXEC");
    let expected = [
        "VADD v VALUES 2 1 2 CAS SETATTR CAS EF 50",
        "VADD v VALUES 2 1 3 b",
    ];
    assert_eq!(said(&server), expected);
}

/// What XDELEX, XACKDEL and the words KEEPREF, DELREF and ACKED do is said in words of Redis 7.0, and the file replayed
/// gives the same counters, entries and lists of pending entries.
#[test]
fn deletions_that_look_at_references_are_propagated_in_old_words() {
    let server = with_file();
    let mut c = server.client();
    c.cmd("CONFIG SET stream-node-max-entries 4").ok();
    for (line, told) in [
        ("XADD s KEEPREF 1-1 a 1", &["XADD s 1-1 a 1"][..]),
        ("XADD s ACKED MAXLEN ~ 5 2-1 a 1", &["XADD s 2-1 a 1"]),
        (
            "XADD s KEEPREF MAXLEN = 1 3-1 a 1",
            &["XADD s MAXLEN = 1 3-1 a 1"],
        ),
        ("XGROUP CREATE s g 0", &["XGROUP CREATE s g 0"]),
        ("XGROUP CREATE s h 0", &["XGROUP CREATE s h 0"]),
    ] {
        let before = said(&server).len();
        c.cmd(line);
        assert_eq!(said(&server)[before..], *told, "{line}");
    }
    for id in 4..=12 {
        c.cmd(&format!("XADD s {id}-1 a 1"));
    }
    for group in ["g", "h"] {
        c.cmd(&format!("XREADGROUP GROUP {group} c COUNT 9 STREAMS s >"));
    }
    // Pending in both groups: 3-1 to 11-1.
    for (line, told) in [
        ("XDELEX s ACKED IDS 2 3-1 12-1", &[][..]),
        ("XDELEX s IDS 2 5-1 77-1", &["XDEL s 5-1"]),
        (
            "XDELEX s DELREF IDS 2 6-1 5-1",
            &["XACK s g 6-1 5-1", "XACK s h 6-1 5-1", "XDEL s 6-1"],
        ),
        ("XDELEX s DELREF IDS 1 6-1", &[]),
        ("XACKDEL s g ACKED IDS 1 7-1", &["XACK s g 7-1"]),
        (
            "XACKDEL s h ACKED IDS 1 7-1",
            &["XACK s h 7-1", "XDEL s 7-1"],
        ),
        (
            "XACKDEL s h KEEPREF IDS 2 8-1 9-9",
            &["XACK s h 8-1", "XDEL s 8-1"],
        ),
        (
            "XACKDEL s h DELREF IDS 1 9-1",
            &["XACK s g 9-1", "XACK s h 9-1", "XDEL s 9-1"],
        ),
        // In front of the trimmed entries 3-1 stays, and the greatest ID deleted is 9-1 as before.
        ("XACK s g 4-1 10-1", &["XACK s g 4-1 10-1"]),
        ("XACK s h 4-1 10-1", &["XACK s h 4-1 10-1"]),
        (
            "XTRIM s MAXLEN ~ 2 ACKED",
            &[
                "XDEL s 4-1 10-1",
                "XSETID s 12-1 MAXDELETEDID 9-1 MAXDELETEDID 9-1",
            ],
        ),
        ("XTRIM s MAXLEN ~ 2 ACKED", &[]),
        (
            "XTRIM s DELREF MINID 4",
            &["XACK s g 3-1", "XACK s h 3-1", "XTRIM s MAXLEN = 2"],
        ),
        (
            "XADD s DELREF MAXLEN = 1 13-1 a 1",
            &[
                "XACK s g 11-1",
                "XACK s h 11-1",
                "XADD s MAXLEN = 1 13-1 a 1",
            ],
        ),
    ] {
        let before = said(&server).len();
        let reply = c.cmd(line);
        assert!(!reply.is_error(), "{line}: {reply}");
        assert_eq!(said(&server)[before..], *told, "{line}");
    }
    for ask in [
        "XINFO STREAM s",
        "XINFO GROUPS s",
        "XPENDING s g",
        "XPENDING s h",
    ] {
        replayed(&server, &mut c, ask);
    }

    // A stream of which nothing was ever deleted by its ID stays one.
    for id in 1..=4 {
        c.cmd(&format!("XADD t {id}-1 a 1"));
    }
    c.cmd("XGROUP CREATE t g 0").ok();
    c.cmd("XREADGROUP GROUP g c STREAMS t >");
    c.cmd("XACK t g 2-1 3-1").is(2);
    let before = said(&server).len();
    c.cmd("XADD t ACKED MAXLEN 1 5-1 a 1");
    assert_eq!(
        said(&server)[before..],
        [
            "XADD t 5-1 a 1",
            "XDEL t 2-1 3-1",
            "XSETID t 5-1 MAXDELETEDID 0-0 MAXDELETEDID 0-0"
        ]
    );
    replayed(&server, &mut c, "XINFO STREAM t");
}

/// A transaction in a file was judged anew when it was replayed: XADD with IDMP and the ID it had got was refused there, and
/// so was a string longer than `proto-max-bulk-len` allows by now.
#[test]
fn a_transaction_in_a_file_is_replayed_without_being_judged() {
    let server = with_file();
    let mut c = server.client();
    let long = "x".repeat(2 << 20);
    c.cmd("MULTI").ok();
    c.cmd("XADD s IDMP p i * a 1").status("QUEUED");
    c.call(&["APPEND", "long", &long]).status("QUEUED");
    c.call(&["APPEND", "long", &long]).status("QUEUED");
    c.cmd("EXEC");
    c.cmd("CONFIG SET proto-max-bulk-len 1048576").ok();
    c.cmd("DEBUG LOADAOF").ok();
    c.cmd("XLEN s").is(1);
    c.cmd("STRLEN long").is(4 << 20);
}

/// BITFIELD of a key that is not there made it, and said nothing of it if every step failed (OVERFLOW FAIL).
#[test]
fn a_bitfield_that_only_grows_its_string_is_propagated() {
    let server = with_file();
    let mut c = server.client();
    c.cmd("BITFIELD b OVERFLOW FAIL INCRBY u8 48 1000");
    c.cmd("STRLEN b").is(7);
    replayed(&server, &mut c, "STRLEN b");
}

/// DEBUG DIGEST of a score of 5000000000 was not that of Redis, which writes it as 5e+9 there. The digest of each was
/// taken from Redis 8.2.
#[test]
fn digests_of_large_scores() {
    let server = Server::oxidis()
        .args(["--enable-debug-command", "yes"])
        .start();
    let mut c = server.client();
    for (score, digest) in DIGESTS {
        c.cmd("FLUSHALL").ok();
        c.cmd(&format!("ZADD z {score} m")).is(1);
        assert_eq!(c.cmd("DEBUG DIGEST").text(), *digest, "{score}");
    }
}

const DIGESTS: &[(&str, &str)] = &[
    ("5000000000", "8f1b9171c4b54279c8906dbb9fb2e2c3a43048dc"),
    ("10000000000", "899e14edac85e3e57f28c9cffb3ba8e220a97741"),
    ("30000000", "27b6883e9016be2f34da859d1c2f92ae349bdd4b"),
    ("1e17", "44f1442f88505571308b18758f4c8163892d30e4"),
    (
        "123456789012345678",
        "d905c69b453f14284b6dbc3cf8c2bf492cdae235",
    ),
    ("0.1", "b8a6a4c26f470f23f0847235935214a861a6937d"),
    ("-0", "c7b3446e491e42b8f5d5801fd845f37d20f82ef9"),
    ("inf", "04721f1c070abf18eaf899a3fa03e479e3c2540d"),
];

/// A server that answers every connection with these bytes, once something came.
fn stranger(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer);
        }
    });
    port
}

/// MIGRATE to something that is not a Redis said OK and deleted the key: an HTTP server answers with a line, too.
#[test]
fn migrate_believes_nothing_but_ok() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    let refused = "ERR Target instance replied with error: ";
    for (answer, error) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nx\r\nx\r\n"[..],
            "ERR Target instance replied with error: HTTP/1.1 400 Bad Request",
        ),
        (
            b"+OK\r\nHTTP/1.1 400 Bad Request\r\n\r\n",
            "ERR Target instance replied with error: HTTP/1.1",
        ),
        (b"+OK\r\n+OKAY\r\n", refused),
        (b"+OK\r\n+QUEUED\r\n", refused),
        (b"+OK\r\n:1\r\n", refused),
        (b"+OK\r\n$2\r\nOK\r\n", refused),
        (b"+OK\r\nOK\r\n", refused),
        (b"+OK\r\n\r\n", refused),
        (b"+PONG\r\n+OK\r\n", refused),
        (
            b"-ERR no\r\n+OK\r\n",
            "ERR Target instance replied with error: ERR no",
        ),
        (
            b"+OK\r\n-BUSYKEY there\r\n",
            "ERR Target instance replied with error: BUSYKEY there",
        ),
        (b"220 mail.example ESMTP\r\n", refused),
        (b"SSH-2.0-OpenSSH_9.2\r\n", refused),
        (b"+OK\r\n", "IOERR"),
        (b"", "IOERR"),
    ] {
        let port = stranger(answer);
        c.cmd("SET k v").ok();
        let shown = answer.escape_ascii().to_string();
        let reply = c.cmd(&format!("MIGRATE 127.0.0.1 {port} k 0 5000"));
        assert!(
            reply.is_error() && reply.text().starts_with(error),
            "{shown}: {reply}"
        );
        c.cmd("EXISTS k").is(1);
    }
    // AUTH is answered first; several keys: those that arrived before the nonsense are gone, the others are kept.
    c.cmd("MSET k1 v k2 v k3 v").ok();
    let port = stranger(b"+OK\r\n+OK\r\n+OK\r\nHTTP/1.1 400 Bad\r\n+OK\r\n");
    c.cmd(&format!(
        "MIGRATE 127.0.0.1 {port} \"\" 0 5000 AUTH pw KEYS k1 k2 k3"
    ))
    .error(refused);
    c.cmd("EXISTS k1").is(0);
    c.cmd("EXISTS k2 k3").is(2);
    let port = stranger(b"HTTP/1.1 400 Bad\r\n+OK\r\n+OK\r\n");
    c.cmd(&format!("MIGRATE 127.0.0.1 {port} k2 0 5000 AUTH pw"))
        .error(refused);
    c.cmd("EXISTS k2 k3").is(2);
    let port = stranger(b"+OK\r\n+OK\r\n");
    c.cmd(&format!("MIGRATE 127.0.0.1 {port} k2 0 5000")).ok();
    c.cmd("EXISTS k2").is(0);
}

/// Events of commands that look at several keys, as Redis 8.6.2 publishes them.
#[test]
fn events_of_commands_with_several_keys() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("CONFIG SET notify-keyspace-events KEAmnoc").ok();
    let mut heard = server.client();
    heard.cmd("PSUBSCRIBE __keyevent*");
    for (line, expected) in [
        ("SADD s a", "new(s) sadd(s)"),
        ("PFCOUNT no1", "keymiss(no1)"),
        ("PFCOUNT no1 no2", "keymiss(no1) keymiss(no2)"),
        ("PFADD h a", "new(h) pfadd(h)"),
        ("PFADD h a", ""),
        ("PFADD h b", "pfadd(h)"),
        ("PFCOUNT h", ""),
        ("PFCOUNT h no1", "keymiss(no1)"),
        ("PFMERGE d no1 h", "keymiss(d) keymiss(no1) new(d) pfadd(d)"),
        ("PFMERGE d h", "pfadd(d)"),
        ("SET a abc", "new(a) set(a)"),
        (
            "BITOP AND t a no1 no2",
            "keymiss(no1) keymiss(no2) new(t) set(t)",
        ),
        ("BITOP AND t no1 no2", "keymiss(no1) keymiss(no2) del(t)"),
        ("BITOP NOT t no1", "keymiss(no1)"),
        ("BITOP AND t no1 s", "keymiss(no1)"),
        ("LCS no1 s", "keymiss(no1)"),
        ("XACK no1 g 1-1", "keymiss(no1)"),
        ("XACKDEL no1 g IDS 1 1-1", "keymiss(no1)"),
        ("XREAD STREAMS no1 0", "keymiss(no1) keymiss(no1)"),
        ("MSETEX 1 k v EX 100", "new(k) expire(k) set(k)"),
        ("MSETEX 1 k v", "overwritten(k) set(k)"),
        ("XADD x 1-1 a 1", "new(x) xadd(x)"),
        ("XCFGSET x IDMP-DURATION 50", ""),
        ("XIDMPRECORD x p i 1-1", ""),
    ] {
        c.cmd(line);
        c.cmd("PUBLISH __keyevent@0__:end end");
        let mut events = Vec::new();
        loop {
            let message = heard.read().expect("a message");
            let parts = message.items();
            let (channel, key) = (parts[2].text(), parts[3].text());
            let event = channel.rsplit(':').next().unwrap_or_default().to_owned();
            if event == "end" {
                break;
            }
            events.push(format!("{event}({key})"));
        }
        assert_eq!(events.join(" "), expected, "{line}");
    }
}

/// The hits and misses of PFADD and PFMERGE's target are not counted: they are looked up to be written to.
#[test]
fn writing_lookups_count_no_hits() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    for line in ["PFADD h a", "PFADD h a", "PFADD h b", "PFDEBUG ENCODING h"] {
        c.cmd(line);
    }
    let stats = c.cmd("INFO stats").text();
    assert!(
        stats.contains("keyspace_hits:0\r\nkeyspace_misses:0\r\n"),
        "{stats}"
    );
    c.cmd("PFMERGE d h none").ok();
    let stats = c.cmd("INFO stats").text();
    assert!(
        stats.contains("keyspace_hits:1\r\nkeyspace_misses:2\r\n"),
        "{stats}"
    );
}

/// The processor time of the server so far, in seconds.
fn processor_seconds(c: &mut Client) -> f64 {
    let told = c.cmd("INFO cpu").text();
    let field = |name: &str| {
        let line = told.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|seconds| seconds.trim().parse::<f64>().ok())
            .expect("a number of seconds")
    };
    field("used_cpu_user:") + field("used_cpu_sys:")
}

/// WATCH looked for each key among all that the client watches already: 100,000 keys took a minute. So did many clients
/// with one key.
#[test]
fn many_watched_keys() {
    const KEYS: usize = 100_000;
    let server = Server::oxidis().start();
    let (mut c, mut other) = (server.client(), server.client());
    let names: Vec<String> = (0..KEYS).map(|i| format!("key:{i}")).collect();
    let watch = || std::iter::once("WATCH").chain(names.iter().map(String::as_str));
    let watch: Vec<&str> = watch().collect();
    let expect = |c: &mut Client, runs: bool| {
        c.cmd("MULTI").ok();
        c.cmd("PING").status("QUEUED");
        let reply = c.cmd("EXEC");
        assert_eq!(matches!(reply, Reply::Array(_)), runs, "{reply}");
    };
    let cost = |c: &mut Client, command: &str| {
        let words: Vec<&str> = std::iter::once(command)
            .chain(watch[1..].iter().copied())
            .collect();
        let before = processor_seconds(c);
        c.call(&words);
        processor_seconds(c) - before
    };
    // Quadratic, it takes a thousand times as long as to look each key up.
    let looked_up = cost(&mut c, "EXISTS").max(0.01);
    let watched = cost(&mut c, "WATCH") + cost(&mut c, "WATCH");
    assert!(watched < 50.0 * looked_up, "{watched} s, {looked_up} s");
    expect(&mut c, true);
    let watch = &watch[..5_000];
    c.call(watch).ok();
    other.cmd("SET key:1234 x").ok();
    expect(&mut c, false);
    c.call(watch).ok();
    other.cmd("SET key:5 x").ok();
    c.cmd("UNWATCH").ok();
    expect(&mut c, true);
    c.call(watch).ok();
    other.cmd("SWAPDB 0 1").ok();
    expect(&mut c, false);
    other.cmd("SET key:7 x").ok();
    c.call(watch).ok();
    other.cmd("FLUSHALL").ok();
    expect(&mut c, false);
    c.call(watch).ok();
    drop(c);
    // Many clients, one key; half of them leave, the rest fails at once.
    let mut crowd: Vec<Client> = (0..500).map(|_| server.client()).collect();
    for one in &mut crowd {
        one.cmd("WATCH k other").ok();
    }
    crowd.truncate(250);
    other.cmd("SET k 1").ok();
    for one in &mut crowd {
        expect(one, false);
    }
    let info = other.cmd("INFO clients").text();
    assert!(
        info.contains("watching_clients:0") && info.contains("total_watched_keys:0"),
        "{info}"
    );
}

/// The order in which arguments are looked at, and the words, of Redis 8.6.2.
#[test]
fn arguments_are_looked_at_in_order() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("SET s1 x").ok();
    c.cmd("XADD x 1-1 a 1").is("1-1");
    let gone = || Reply::Array(vec![Reply::Integer(-1)]);
    c.cmd("XDELEX nokey IDS 1 abc").is(gone());
    c.cmd("XACKDEL x nog IDS 1 abc").is(gone());
    for (line, error) in [
        ("XDELEX x IDS 2 1-1 abc", "ERR Invalid stream ID"),
        ("XACKDEL s1 nog IDS 1 abc", "WRONGTYPE"),
        (
            "XADD y IDMP p i 5-5 a 1",
            "ERR syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs",
        ),
        (
            "XADD y IDMP p i LIMIT 5 5-5 a 1",
            "ERR syntax error, IDMP/IDMPAUTO can be used only",
        ),
        ("XCFGSET nokey", "ERR no such key"),
        ("XCFGSET nokey IDMP-DURATION abc", "ERR no such key"),
        ("XCFGSET s1 FOO", "WRONGTYPE"),
        ("XCFGSET x", "ERR At least one parameter must be specified"),
        (
            "XREADGROUP GROUP g c CLAIM abc STREAMS x >",
            "ERR min-idle-time is not an integer or out of range",
        ),
        ("HEXPIRE h 10 FOO FIELDS 1 a", "ERR unknown argument: FOO"),
        (
            "HEXPIRE h 10 NX FOO FIELDS 1 a",
            "ERR unknown argument: FOO",
        ),
        (
            "HEXPIRE h 10 NX XX FIELDS 9 a",
            "ERR wrong number of arguments",
        ),
        (
            "HEXPIRE h 10 NX XX FIELDS 1 a",
            "ERR Multiple condition flags specified",
        ),
        ("HGETEX h FXX KEEPTTL FIELDS 1 a", "ERR unknown argument"),
        (
            "HSETEX h PERSIST EX 5 FIELDS 1 a b",
            "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
        ),
        ("RESTORE s1 0 junk", "BUSYKEY"),
        ("RESTORE s1 abc junk", "BUSYKEY"),
        ("ZCOUNT z 0x10 5", "ERR min or max is not a float"),
    ] {
        c.cmd(line).error(error);
    }
    for (range, bytes) in [
        ("0 -2", "x"),
        ("-5 -4", "x"),
        ("0 -100", "x"),
        ("1 -2", ""),
        ("-4 -5", ""),
    ] {
        c.cmd(&format!("GETRANGE s1 {range}")).is(bytes);
    }
    let page = c.cmd("SCAN 0 TYPE foo");
    assert_eq!(page.items()[1], Reply::Array(vec![]));
    c.send(&encode(&["PING", "end"])).expect("takes it");
    c.read().expect("a reply").is("end");
}
