//! Values and files with bytes changed at random: each is refused, or taken and then stands all commands, whether
//! `sanitize-dump-payload` asks for a look inside or not. The fuzz targets do this for as long as one likes.
//!
//! - `OXIDIS_PAYLOADS`: how many (default: 2000)
//! - `OXIDIS_PAYLOADS_SEED`: repeat a run

use std::fs;

use crate::files;
use crate::support::random::Random;
use crate::support::{Client, Reply, Server};

/// What the changed value of each type is asked; `k` is the key.
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
    client.cmd("SAVE").ok();
    client.cmd("DEBUG SET-SKIP-CHECKSUM-VALIDATION 1").ok();
    let file = server.dir().join("dump.rdb");
    let whole = fs::read(&file).expect("saved");

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
