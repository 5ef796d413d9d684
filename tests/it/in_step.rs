//! Every request has exactly one reply: every command, in the shapes that COMMAND DOCS tells, with keys of every type
//! at every place and numbers that are none; alone, in EXEC and in a script, in RESP2 and RESP3. After each, a PING
//! with an echo of its own must be the very next reply.
//!
//! The report behind it: `SET s1 x`, `XDELEX s1 IDS 3 1-1 1-2 1-3` sent `*3` and then one error, and the connection read
//! every later reply as the answer to another request.
//!
//! - `OXIDIS_STEP_SEED`: repeat a run

use crate::differential::show;
use crate::support::client::{encode, split};
use crate::support::random::Random;
use crate::support::{Client, Reply, Server};

/// Requests for each command and protocol.
const DRAWS: usize = 25;

/// Commands that end the connection or the server, change how it answers, answer more than once, or take seconds.
const LEFT_OUT: &[&str] = &[
    "acl",
    "auth",
    "client",
    "config",
    "debug",
    "discard",
    "exec",
    "failover",
    "hello",
    "migrate",
    "module",
    "monitor",
    "multi",
    "pfselftest",
    "psubscribe",
    "psync",
    "punsubscribe",
    "quit",
    "replconf",
    "replicaof",
    "reset",
    "restore-asking",
    "shutdown",
    "slaveof",
    "ssubscribe",
    "subscribe",
    "sunsubscribe",
    "sync",
    "unsubscribe",
];

/// An argument, as COMMAND DOCS describes it.
#[derive(Debug, Default)]
struct Argument {
    name: String,
    kind: String,
    token: Option<String>,
    optional: bool,
    multiple: bool,
    parts: Vec<Argument>,
}

#[derive(Debug)]
struct Command {
    words: Vec<String>,
    blocks: bool,
    arguments: Vec<Argument>,
}

fn field<'a>(map: &'a Reply, name: &str) -> Option<&'a Reply> {
    let pairs = map.items().chunks(2);
    let mut found = pairs.filter(|pair| pair[0].text() == name);
    found.next().map(|pair| &pair[1])
}

fn arguments(docs: &Reply) -> Vec<Argument> {
    let one = |told: &Reply| {
        let flags = field(told, "flags");
        let has =
            |flag: &str| flags.is_some_and(|flags| flags.items().iter().any(|f| f.text() == flag));
        Argument {
            name: field(told, "name").map(Reply::text).unwrap_or_default(),
            kind: field(told, "type").expect("a type").text(),
            token: field(told, "token").map(Reply::text),
            optional: has("optional"),
            multiple: has("multiple"),
            parts: arguments(told),
        }
    };
    let list = field(docs, "arguments");
    list.map_or(Vec::new(), |list| list.items().iter().map(one).collect())
}

fn commands(client: &mut Client) -> Vec<Command> {
    let mut all = Vec::new();
    for entry in client.cmd("COMMAND").items() {
        let name = entry.items()[0].text();
        if LEFT_OUT.contains(&name.as_str()) {
            continue;
        }
        let docs = client.call(&["COMMAND", "DOCS", &name]);
        let docs = &docs.items()[1];
        let blocks = |entry: &Reply| {
            entry.items()[2]
                .items()
                .iter()
                .any(|flag| flag.text() == "blocking")
        };
        match field(docs, "subcommands") {
            Some(subcommands) => {
                for pair in subcommands.items().chunks(2) {
                    let name = pair[0].text();
                    // The next EVAL would begin a dialogue, which ends the connection.
                    if name == "script|debug" {
                        continue;
                    }
                    let words: Vec<String> = name.split('|').map(str::to_owned).collect();
                    all.push(Command {
                        words,
                        blocks: false,
                        arguments: arguments(&pair[1]),
                    });
                }
            }
            None => all.push(Command {
                words: vec![name],
                blocks: blocks(entry),
                arguments: arguments(docs),
            }),
        }
    }
    assert!(all.len() > 250, "COMMAND tells of {} commands", all.len());
    all
}

fn word(random: &mut Random, kind: &str, name: &str) -> Vec<u8> {
    let keys = [
        "s1", "l1", "e1", "h1", "z1", "t1", "a1", "n1", "hll", "none",
    ];
    let numbers = [
        "0",
        "1",
        "2",
        "3",
        "-1",
        "100",
        "9223372036854775807",
        "abc",
        "",
    ];
    let text = match (kind, random.below(10)) {
        (_, 0) => *random.pick(&["", "x", "-", "+", "(", "*", "1-1", "1 ", "g1", "nan"]),
        ("key", _) => *random.pick(&keys),
        (_, 3..) if name == "id" => *random.pick(&["1-1", "1-2", "0", "5"]),
        ("integer" | "double" | "unix-time", _) => *random.pick(&numbers),
        (_, 1) => *random.pick(&keys),
        (_, 2) => *random.pick(&numbers),
        _ => *random.pick(&[
            "a", "b", "g1", "c1", "1-1", "0", "5", "[a", "(b", "-", "+", "$", ">", "u8", "1.5",
        ]),
    };
    text.as_bytes().to_vec()
}

/// A number that stands before arguments of which there may be several is mostly their count, as in `IDS 2 1-1 1-2`:
/// with another one most commands do not even look at the key.
fn draw(random: &mut Random, arguments: &[Argument], out: &mut Vec<Vec<u8>>) {
    let mut counted = None;
    for argument in arguments {
        if argument.optional && random.percent(55) {
            continue;
        }
        let before = out.len();
        let times = if argument.multiple {
            1 + random.below(3)
        } else {
            1
        };
        if let Some(token) = &argument.token {
            out.push(token.as_bytes().to_vec());
        }
        for _ in 0..times {
            match argument.kind.as_str() {
                "pure-token" => {}
                "oneof" => {
                    let choice = random.below(argument.parts.len());
                    draw(random, &argument.parts[choice..=choice], out);
                }
                "block" => draw(random, &argument.parts, out),
                kind => out.push(word(random, kind, &argument.name)),
            }
        }
        if let Some(place) = counted.take()
            && argument.multiple
            && random.percent(80)
        {
            out[place] = times.to_string().into_bytes();
        }
        if argument.kind == "integer" && !argument.multiple && out.len() > before {
            counted = Some(out.len() - 1);
        }
    }
}

/// One key of each type.
const FILL: &[&str] = &[
    "FLUSHALL",
    "SET s1 x",
    "SET n1 10",
    "RPUSH l1 a b c",
    "SADD e1 a b 1",
    "HSET h1 a 1 b 2",
    "ZADD z1 1 a 2 b",
    "XADD t1 1-1 a 1",
    "XADD t1 1-2 a 1",
    "XGROUP CREATE t1 g1 0",
    "XREADGROUP GROUP g1 c1 STREAMS t1 >",
    "ARSET a1 0 a b",
    "PFADD hll a b",
];

/// Some requests, and the word that PING echoes behind them.
struct Step {
    requests: Vec<Vec<Vec<u8>>>,
    echo: String,
}

impl Step {
    /// A drawn command alone, in a script, or in a transaction before a PING.
    fn new(random: &mut Random, words: Vec<Vec<u8>>, blocks: bool) -> Step {
        let echo = format!("echo {}", random.next());
        let one = |word: &str| vec![word.as_bytes().to_vec()];
        let requests = match random.below(3) {
            // Alone, a command that waits would answer when it is served.
            0 if !blocks => vec![words],
            1 => {
                let begin = ["EVAL", "return redis.call(unpack(ARGV))", "0"];
                let begin = begin.iter().map(|word| word.as_bytes().to_vec());
                vec![begin.chain(words).collect()]
            }
            _ => {
                let ping = vec![b"PING".to_vec(), b"inside".to_vec()];
                vec![one("MULTI"), words, ping, one("EXEC")]
            }
        };
        Step { requests, echo }
    }

    fn encoded(&self) -> Vec<u8> {
        let ping = encode(&["PING", &self.echo]);
        let requests = self.requests.iter().flat_map(|request| encode(request));
        requests.chain(ping).collect()
    }

    fn shown(&self) -> String {
        let shown: Vec<String> = self.requests.iter().map(|r| show(r)).collect();
        shown.join(" ; ")
    }

    /// Reads up to the echo, and looks at what came before it.
    fn check(&self, client: &mut Client, seed: u64) {
        let mut replies = Vec::new();
        loop {
            match client.read() {
                Ok(Reply::Bulk(text)) if text == self.echo.as_bytes() => break,
                Ok(Reply::Push(_)) => {}
                Ok(reply) => replies.push(reply),
                Err(error) => panic!(
                    "OXIDIS_STEP_SEED={seed} {}: {error} after {replies:?}",
                    self.shown()
                ),
            }
            assert!(
                replies.len() < 1000,
                "OXIDIS_STEP_SEED={seed} {}: no echo",
                self.shown()
            );
        }
        let fine = replies.len() == self.requests.len()
            && match (replies.len(), replies.last()) {
                // WATCH is refused there, and not queued.
                (4, Some(Reply::Array(inside))) => inside.last() == Some(&Reply::from("inside")),
                // A WATCH drawn before.
                (4, Some(Reply::NilArray | Reply::Null)) => true,
                (4, Some(Reply::Error(text))) => text.starts_with(b"EXECABORT"),
                (1, _) => true,
                _ => false,
            };
        assert!(
            fine,
            "OXIDIS_STEP_SEED={seed} {}: {replies:?}",
            self.shown()
        );
    }
}

#[test]
fn one_request_one_reply() {
    let seed = Random::seed_from_env("OXIDIS_STEP_SEED");
    eprintln!("OXIDIS_STEP_SEED={seed}");
    let server = Server::oxidis().start();
    let mut random = Random::new(seed);
    let list = commands(&mut server.client());
    let fill: Vec<u8> = FILL.iter().flat_map(|line| encode(&split(line))).collect();
    for protocol in ["2", "3"] {
        let mut client = server.client();
        client.cmd(&format!("HELLO {protocol}"));
        for command in &list {
            client.send(&fill).expect("takes requests");
            let mut steps = Vec::new();
            for _ in 0..DRAWS {
                let mut words: Vec<Vec<u8>> = command
                    .words
                    .iter()
                    .map(|w| w.as_bytes().to_vec())
                    .collect();
                draw(&mut random, &command.arguments, &mut words);
                steps.push(Step::new(&mut random, words, command.blocks));
            }
            let bytes: Vec<u8> = steps.iter().flat_map(Step::encoded).collect();
            client.send(&bytes).expect("takes requests");
            for line in FILL {
                let reply = client.read().unwrap_or_else(|error| {
                    panic!(
                        "OXIDIS_STEP_SEED={seed} before {:?}: {line}: {error}",
                        command.words
                    )
                });
                assert!(!reply.is_error(), "OXIDIS_STEP_SEED={seed} {line}: {reply}");
            }
            for step in steps {
                step.check(&mut client, seed);
            }
        }
    }
}

/// The report, word by word, in both protocols, alone, in EXEC and in a script.
#[test]
fn a_reply_that_had_begun_is_taken_back() {
    let server = Server::oxidis().start();
    for protocol in ["2", "3"] {
        let mut c = server.client();
        c.cmd(&format!("HELLO {protocol}"));
        c.cmd("SET s1 x").ok();
        c.cmd("XDELEX s1 IDS 3 1-1 1-2 1-3").error("WRONGTYPE");
        c.cmd("PING echo").is("echo");
        c.cmd("MULTI").ok();
        c.cmd("XDELEX s1 IDS 3 1-1 1-2 1-3").status("QUEUED");
        c.cmd("PING echo").status("QUEUED");
        let told = c.cmd("EXEC");
        assert!(told.items()[0].is_error(), "{told}");
        assert_eq!(told.items()[1], Reply::from("echo"));
        c.cmd("EVAL \"return redis.call('XDELEX', 's1', 'IDS', '3', '1-1', '1-2', '1-3')\" 0")
            .error("WRONGTYPE");
        c.cmd("EVAL \"return redis.pcall('XDELEX', 's1', 'IDS', '2', '1-1', '1-2').err\" 0")
            .is("WRONGTYPE Operation against a key holding the wrong kind of value");
    }
}

/// valkey 1268: EXEC's reply tells how many replies it holds before CLIENT REPLY could hold any of them back.
#[test]
fn replies_are_not_turned_off_inside_of_a_transaction() {
    let server = Server::oxidis().start();
    for mode in ["OFF", "SKIP", "ON"] {
        let mut c = server.client();
        c.cmd("MULTI").ok();
        c.cmd("PING before").status("QUEUED");
        c.cmd(&format!("CLIENT REPLY {mode}"))
            .error("ERR Command not allowed inside a transaction");
        c.cmd("EXEC").error("EXECABORT");
        c.cmd("PING echo").is("echo");
    }
    // Around a transaction they are.
    let mut c = server.client();
    c.send(b"CLIENT REPLY OFF\r\nMULTI\r\nPING\r\nNOSUCH\r\nEXEC\r\nCLIENT REPLY ON\r\nPING\r\n")
        .expect("takes requests");
    c.read().expect("a reply").ok();
    c.read().expect("a reply").status("PONG");
    // RESET turns them on, and is answered.
    c.send(b"CLIENT REPLY OFF\r\nPING\r\nRESET\r\nPING\r\n")
        .expect("takes requests");
    c.read().expect("a reply").status("RESET");
    c.read().expect("a reply").status("PONG");
    c.send(b"CLIENT REPLY SKIP\r\nMULTI\r\nPING\r\nEXEC\r\nPING\r\n")
        .expect("takes requests");
    c.read().expect("a reply").status("QUEUED");
    let told = c.read().expect("a reply");
    assert_eq!(told, Reply::Array(vec![Reply::Status(b"PONG".to_vec())]));
    c.read().expect("a reply").status("PONG");
}
