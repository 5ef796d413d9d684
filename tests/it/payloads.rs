//! Values and files with bytes changed at random: each is refused, or taken and then stands all commands, whether
//! `sanitize-dump-payload` asks for a look inside or not. The fuzz targets do this for as long as one likes.
//!
//! - `OXIDIS_PAYLOADS`: how many (default: 2000)
//! - `OXIDIS_PAYLOADS_SEED`: repeat a run

use std::fs;

use crate::files;
use crate::support::random::Random;
use crate::support::{Client, Reply, Server};

/// Commands sent to the changed value of each type; `k` is the key.
const QUESTIONS: &[(&str, &[&str])] = &[
    (
        "string",
        &["GET k", "PFCOUNT k", "BITCOUNT k", "APPEND k x"],
    ),
    (
        "list",
        &[
            "LRANGE k 0 -1",
            "LINDEX k -2",
            "LPOS k a",
            "LINSERT k AFTER a b",
            "LPOP k",
            "RPOP k 3",
        ],
    ),
    (
        "set",
        &[
            "SMEMBERS k",
            "SSCAN k 0",
            "SISMEMBER k a",
            "SADD k new 7",
            "SRANDMEMBER k -3",
            "SPOP k 2",
        ],
    ),
    (
        "hash",
        &[
            "HGETALL k",
            "HSCAN k 0",
            "HGET k field",
            "HSET k new x field y",
            "HRANDFIELD k -3",
            "HDEL k field",
        ],
    ),
    (
        "zset",
        &[
            "ZRANGE k 0 -1 WITHSCORES",
            "ZSCAN k 0",
            "ZRANGEBYSCORE k -inf 3",
            "ZRANK k one",
            "ZADD k 3.5 new",
            "ZPOPMIN k",
            "ZPOPMAX k 2",
        ],
    ),
    (
        "stream",
        &[
            "XRANGE k - +",
            "XREVRANGE k + -",
            "XINFO STREAM k FULL",
            "XADD k * a b",
            "XREADGROUP GROUP group x STREAMS k >",
            "XAUTOCLAIM k group y 0 0",
            "XTRIM k MAXLEN 1",
        ],
    ),
];

const OF_ALL: &[&str] = &[
    "OBJECT ENCODING k",
    "DEBUG DIGEST-VALUE k",
    "MEMORY USAGE k SAMPLES 0",
    "COPY k k2 REPLACE",
    "DUMP k",
];

/// Hashes as Redis 8.10 dumps those that HIMPORT made: names of fields as a listpack or one by one, the number of their
/// template (7) and values as a listpack, or values one by one.
const TEMPLATED: [&[u8]; 3] = [
    b"\x1d\x00\x0e\x0e\0\0\0\x02\0\x81a\x02\x82bb\x03\xff\x0e\x0e\0\0\0\x03\0\x07\x01\x81x\x02\x0c\x01\xff",
    b"\x1d\x01\x02\x01a\x02bb\x0e\x0e\0\0\0\x03\0\x07\x01\x81x\x02\x0c\x01\xff",
    b"\x1f\x01\x02\x01a\x02bb\x01x\xc0\x0c",
];

/// In a file: a template, and a key of each kind that refers to it.
const TEMPLATE_AND_KEYS: &[u8] = b"\xf2\x07\x02\x01a\x02bb\
    \x1e\x0ctemplated:lp\x0e\x0e\0\0\0\x03\0\x07\x01\x81x\x02\x0c\x01\xff\
    \x20\x0ftemplated:array\x07\x01x\xc0\x0c";

/// With a version, and a checksum of 0.
fn with_version(body: &[u8], version: u8) -> Vec<u8> {
    [body, &[version, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat()
}

/// A file of version 15 that holds the same as one of ours, and hashes with a template.
fn with_templates(file: &[u8]) -> Vec<u8> {
    [b"REDIS0015", TEMPLATE_AND_KEYS, &file[9..]].concat()
}

#[test]
fn hashes_with_templates_come_as_ordinary_hashes() {
    let server = Server::oxidis()
        .args(["--enable-debug-command", "yes"])
        .start();
    let mut client = server.client();
    let check = |client: &mut Client, key: &str| {
        let hash = client.cmd(&format!("HGETALL {key}"));
        hash.is(["a", "x", "bb", "12"]);
        let encoding = client.cmd(&format!("OBJECT ENCODING {key}"));
        encoding.is("listpack");
    };
    for body in TEMPLATED {
        let mut restore =
            |payload: Vec<u8>| client.call(&[&b"RESTORE"[..], b"k", b"0", &payload, b"REPLACE"]);
        restore(with_version(body, 15)).ok();
        check(&mut client, "k");
    }
    // A hash that refers to a template of a file cannot be read without that file.
    for body in [
        &b"\x1e\x0e\x0e\0\0\0\x03\0\x07\x01\x81x\x02\x0c\x01\xff"[..],
        b"\x20\x07\x01x\xc0\x0c",
    ] {
        let payload = with_version(body, 15);
        let restored = client.call(&[&b"RESTORE"[..], b"k", b"0", &payload, b"REPLACE"]);
        restored.error("ERR Bad data format");
    }
    client.cmd("SAVE").ok();
    let file = server.dir().join("dump.rdb");
    let mut bytes = with_templates(&fs::read(&file).expect("saved"));
    let checksum = bytes.len() - 8;
    bytes[checksum..].fill(0);
    fs::write(&file, bytes).expect("writable");
    client.cmd("DEBUG RELOAD NOSAVE").ok();
    for key in ["k", "templated:lp", "templated:array"] {
        check(&mut client, key);
    }
}

#[test]
fn changed_values_and_files_are_refused_or_stand_every_command() {
    let seed = Random::seed_from_env("OXIDIS_PAYLOADS_SEED");
    let rounds = std::env::var("OXIDIS_PAYLOADS").map_or(2000, |n| n.parse().expect("a number"));
    let mut random = Random::new(seed);
    let mut server = Server::oxidis()
        .args(["--enable-debug-command", "yes"])
        .start();
    let mut client = server.client();
    files::fill(&mut client);
    let mut payloads = Vec::new();
    for key in client.cmd("KEYS *").items() {
        let ty = client.call(&[b"TYPE", key.bytes()]).text();
        // Two hundred of them are alike.
        if !key.bytes().starts_with(b"many:") {
            let payload = client.call(&[b"DUMP", key.bytes()]).bytes().to_vec();
            payloads.push((ty, payload));
        }
    }
    payloads.retain(|(_, payload)| payload.len() < 4000);
    for body in TEMPLATED {
        payloads.push(("hash".to_owned(), with_version(body, 15)));
    }
    client.cmd("SAVE").ok();
    client.cmd("DEBUG SET-SKIP-CHECKSUM-VALIDATION 1").ok();
    let file = server.dir().join("dump.rdb");
    let whole = with_templates(&fs::read(&file).expect("saved"));

    for round in 0..rounds {
        let about = format!("OXIDIS_PAYLOADS_SEED={seed}, round {round}");
        let check = *random.pick(&["yes", "no"]);
        let set = client.cmd(&format!("CONFIG SET sanitize-dump-payload {check}"));
        assert!(!set.is_error(), "{set}");
        // Loading all takes its time.
        if round % 100 == 99 {
            let mut changed = whole.clone();
            change(&mut changed, &mut random);
            fs::write(&file, &changed).expect("writable");
            ask(&mut client, b"DEBUG RELOAD NOSAVE", &about);
            continue;
        }
        let (ty, payload) = random.pick(&payloads).clone();
        let mut changed = payload.clone();
        let body = changed.len() - 10;
        change(&mut changed[..body], &mut random);
        let restored = client.call(&[&b"RESTORE"[..], b"k", b"0", &changed, b"REPLACE"]);
        if restored.is_error() {
            continue;
        }
        let now = client.cmd("TYPE k").text();
        let of_type = QUESTIONS
            .iter()
            .filter(|(name, _)| *name == ty || *name == now);
        let of_type = of_type.flat_map(|(_, questions)| questions.iter());
        for question in OF_ALL.iter().chain(of_type).chain(OF_ALL) {
            ask(
                &mut client,
                question.as_bytes(),
                &format!("{about}: {}", changed.escape_ascii()),
            );
        }
    }
    client.cmd("PING").status("PONG");
    assert!(server.is_alive());
    let log = server.log();
    assert!(!log.contains("panicked"), "{log}");
}

fn change(bytes: &mut [u8], random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len());
        bytes[at] = match random.below(3) {
            0 => bytes[at].wrapping_add(1),
            1 => *random.pick(&[0, 1, 0x7f, 0x80, 0xff]),
            _ => random.next() as u8,
        };
    }
}

/// A reply must come, an error being one.
fn ask(client: &mut Client, line: &[u8], about: &str) {
    let mut request = line.to_vec();
    request.extend_from_slice(b"\r\n");
    let reply = client.send(&request).and_then(|()| client.read());
    let reply: Reply = reply.unwrap_or_else(|error| {
        panic!("{about}: {}: {error}", line.escape_ascii());
    });
    drop(reply);
}
