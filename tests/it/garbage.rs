//! Random bytes thrown at a live server: it must answer with well-formed RESP, close what it must close, and
//! serve the next client as if nothing had been.
//!
//! Strings are of three kinds: bytes by chance, good requests with a few bytes changed, and the protocol's own
//! building blocks in random order with lengths that lie. Several go down one connection, until the server
//! closes it or we have sent enough; then our side is closed, and everything that comes back must be replies.
//!
//! - `OXIDIS_GARBAGE`: how many strings (default: half a million)
//! - `OXIDIS_GARBAGE_SEED`: repeat a run

use std::io::{BufReader, ErrorKind};
use std::time::{Duration, Instant};

use crate::support::client::encode;
use crate::support::random::Random;
use crate::support::{Reply, Server};

/// A machine under load throws fewer; what it has thrown is then enough for this time.
const TIME_LIMIT: Duration = Duration::from_secs(60);

#[test]
fn half_a_million_random_strings_leave_the_server_serving() {
    let seed = Random::seed_from_env("OXIDIS_GARBAGE_SEED");
    let wanted = std::env::var("OXIDIS_GARBAGE").map_or(500_000, |n| n.parse().expect("a number"));
    let mut random = Random::new(seed);
    let mut server = Server::oxidis().unix().start();
    let mut keeper = server.client();
    keeper.cmd("SET kept value").ok();

    let started = Instant::now();
    let mut thrown = 0;
    while thrown < wanted && started.elapsed() < TIME_LIMIT {
        let count = 1 + random.below(6);
        let strings: Vec<Vec<u8>> = (0..count).map(|_| garbage(&mut random)).collect();
        thrown += strings.len();
        let mut client = server.unix_client();
        let sent = client.send(&strings.concat());
        let replies = sent.and_then(|()| client.finish());
        let complaint = match replies {
            Ok(bytes) => not_replies(&bytes),
            // The server closed first, and something of ours was still on its way.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                ) =>
            {
                None
            }
            Err(error) => Some(error.to_string()),
        };
        if complaint.is_some() || !server.is_alive() {
            let shown: Vec<String> = strings
                .iter()
                .map(|string| string.escape_ascii().to_string())
                .collect();
            panic!(
                "OXIDIS_GARBAGE_SEED={seed}, after {thrown} strings; server alive: {}; {}\nlast sent:\n{}",
                server.is_alive(),
                complaint.unwrap_or_default(),
                shown.join("\n"),
            );
        }
    }
    keeper.cmd("GET kept").is("value");
    keeper.cmd("PING").status("PONG");
}

fn garbage(random: &mut Random) -> Vec<u8> {
    match random.below(3) {
        0 => {
            let len = random.below(60);
            random.bytes(len)
        }
        1 => {
            let mut bytes = request(random);
            for _ in 0..1 + random.below(3) {
                let at = random.below(bytes.len());
                match random.below(3) {
                    0 => bytes[at] = random.next() as u8,
                    1 => bytes.insert(at, *random.pick(b"\r\n$*-0\x009\"")),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            bytes
        }
        _ => (0..1 + random.below(8))
            .flat_map(|_| block(random))
            .collect(),
    }
}

/// A well-formed request for something harmless: the test is of the parser, not of SHUTDOWN.
fn request(random: &mut Random) -> Vec<u8> {
    let line: &[&str] = match random.below(8) {
        0 => &["PING"],
        1 => &["SET", "k", "v"],
        2 => &["GET", "k"],
        3 => &["MSET", "a", "1", "b", "2", "c", ""],
        4 => return b"PING\r\n".to_vec(),
        5 => return b"SET k \"quoted \\x41\\n\" \r\n".to_vec(),
        6 => &["HELLO", "3"],
        _ => &[
            "ECHO",
            "a somewhat longer argument, so that lengths have two digits",
        ],
    };
    encode(line)
}

/// A piece of a request; the numbers need not be true.
fn block(random: &mut Random) -> Vec<u8> {
    let number = |random: &mut Random| match random.below(4) {
        0 => random
            .pick(&[
                "-1",
                "-2",
                "",
                "00",
                "+1",
                "1048577",
                "536870913",
                "99999999999999999999",
            ])
            .to_string(),
        _ => random.below(5).to_string(),
    };
    let text = match random.below(6) {
        0 | 1 => format!("*{}\r\n", number(random)),
        2 | 3 => format!("${}\r\n", number(random)),
        4 => random
            .pick(&["\r\n", "\n", "\r", "\0", " ", "\"", "'", "PING", "abcd\r\n"])
            .to_string(),
        _ => format!(
            "$4\r\n{}\r\n",
            random.pick(&["PING", "ECHO", "QUIT", "GETX"])
        ),
    };
    text.into_bytes()
}

/// The fault in bytes that should be replies and nothing else.
fn not_replies(bytes: &[u8]) -> Option<String> {
    let mut rest = BufReader::new(bytes);
    loop {
        match Reply::read(&mut rest) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return None,
            Err(error) => return Some(format!("{error}, in: {}", bytes.escape_ascii())),
        }
    }
}
