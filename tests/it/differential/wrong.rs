//! Wrong arguments of every command, to Oxidis and to a Redis of 8.6 or later: the same error, or none, from both.
//!
//! ```text
//!   COMMAND DOCS ─→ grammar of each command ─→ a call by the rules ─→ spoilt in one to three places
//!     SETEX key seconds value                    SETEX list 10 a         SETEX list 1.5 a a
//! ```
//!
//! The contents of replies that are no errors are the business of the other streams; here their kind is compared.

use std::collections::BTreeMap;

use super::{NEWEST, has_word, version};
use crate::support::random::Random;
use crate::support::{Client, Reply, Server};

/// Keys, one of each type and two that are missing.
const KEYS: &[&str] = &[
    "str", "num", "list", "set", "zset", "hash", "stream", "hll", "geo", "vset", "none", "none2",
    "",
];
const FILL: &[&str] = &[
    "FLUSHALL",
    "SELECT 0",
    "SET str hello",
    "SET num 10",
    "RPUSH list a b c d",
    "SADD set a b c",
    "ZADD zset 1 a 2 b 3 c",
    "HSET hash f1 v1 f2 2 a 1",
    "XADD stream 1-1 a 1",
    "XADD stream 2-1 b 2",
    "XGROUP CREATE stream a 0",
    "PFADD hll a b c",
    "GEOADD geo 13.361389 38.115556 Palermo 15.087269 37.502669 Catania",
    "VADD vset VALUES 3 1 2 3 a",
];
const INTEGERS: &[&str] = &["0", "1", "-1", "2", "3", "10", "100", "-2", "5"];
const DOUBLES: &[&str] = &["0", "1.5", "-3", "inf", "-inf", "2e1", "0.1"];
const IDS: &[&str] = &[
    "1-1", "0-0", "$", "*", "-", "+", "2-1", "1-*", ">", "(1-1", "0", "[a",
];
const TEXTS: &[&str] = &["a", "b", "1", "f1", "x", "hello", "3.5", "-1"];
/// Words that are nearly right somewhere.
const BAD: &[&str] = &[
    "",
    "a",
    "1.5",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "+1",
    "01",
    " 1",
    "1 ",
    "1e3",
    "4294967296",
    "2147483648",
    "99999999999999999999999",
    "-0",
    "inf",
    "nan",
    "0x10",
    "*",
    "x",
    "count",
    "COUNT",
    "limit",
    "-",
    "+",
    "$",
    ">",
    "(1",
    "[a",
    "(",
    "[",
    "1-1",
    "0-0",
    "1-",
    "-1-1",
    "1-*",
    "-inf",
    "1e400",
    "ex",
    "NX",
    "XX",
    "GT",
    "KEEPTTL",
    "\r\n",
];

/// Commands that end the server or the connection, change what later requests may do, wait, or answer with the state of
/// one machine.
const LEFT_OUT: &[&str] = &[
    "acl",
    "asking",
    "auth",
    "backup",
    "bgrewriteaof",
    "bgsave",
    "client",
    "cluster",
    "command",
    "commandlog",
    "config",
    "debug",
    "discard",
    "exec",
    "failover",
    "flushall",
    "flushdb",
    "hello",
    "hotkeys",
    "info",
    "latency",
    "lolwut",
    "memory",
    "migrate",
    "module",
    "monitor",
    "multi",
    "pfdebug",
    "pfselftest",
    "psubscribe",
    "psync",
    "punsubscribe",
    "quit",
    "replconf",
    "replicaof",
    "reset",
    "restore-asking",
    "role",
    "save",
    "script",
    "select",
    "sentinel",
    "shutdown",
    "slaveof",
    "slowlog",
    "ssubscribe",
    "subscribe",
    "sunsubscribe",
    "swapdb",
    "sync",
    "unsubscribe",
    "wait",
    "waitaof",
];

#[test]
fn wrong_arguments() {
    let Some(redis) = Server::redis().map(|builder| builder.start()) else {
        eprintln!("skipped: no redis-server in PATH");
        return;
    };
    if version(&mut redis.client()) < NEWEST {
        eprintln!(
            "skipped: the redis-server in PATH, or that of OXIDIS_TEST_REDIS, is older than 8.6"
        );
        return;
    }
    let oxidis = Server::oxidis().start();
    let seed = Random::seed_from_env("OXIDIS_DIFF_SEED");
    let wanted = std::env::var("OXIDIS_DIFF_COMMANDS")
        .map_or(10_000, |n| n.parse().expect("a number of commands"));
    let (mut ours, mut theirs) = (oxidis.client(), redis.client());
    let grammar = grammar(&mut theirs, &mut ours);
    assert!(grammar.len() > 200, "only {} commands", grammar.len());

    let mut random = Random::new(seed);
    let mut differences: BTreeMap<String, String> = BTreeMap::new();
    let mut apart = false;
    for sent in 0..wanted {
        if sent % 40 == 0 || std::mem::take(&mut apart) {
            for line in FILL {
                ours.cmd(line);
                theirs.cmd(line);
            }
        }
        let (name, args) = random.pick(&grammar);
        let command = spoilt(&mut random, name, args);
        if left_out(name, &command) {
            continue;
        }
        // In a transaction nobody is blocked.
        let [a, b] = [&mut theirs, &mut ours].map(|client| {
            client.cmd("MULTI");
            let queued = client.call(&command);
            let replies = client.cmd("EXEC");
            match (&queued, replies) {
                (Reply::Error(_), _) => queued,
                (_, Reply::Array(mut replies)) if replies.len() == 1 => replies.remove(0),
                (_, other) => other,
            }
        });
        let alike = match a.is_error() || b.is_error() {
            true => a == b,
            false => std::mem::discriminant(&a) == std::mem::discriminant(&b),
        };
        // What only one of them did, or did to another element, the next requests would meet.
        apart = a != b;
        if !alike && !explained(name, &a, &b) {
            let shown: Vec<_> = command
                .iter()
                .map(|word| word.escape_ascii().to_string())
                .collect();
            let report = format!("{}\n  Redis:  {a}\n  Oxidis: {b}\n", shown.join(" "));
            differences
                .entry(format!("{name} {a} {b}"))
                .or_insert(report);
        }
    }
    let reports: String = differences.into_values().collect();
    assert!(reports.is_empty(), "OXIDIS_DIFF_SEED={seed}\n{reports}");
}

/// Commands that one of the servers survives and the other does not, or that lead the two apart for a reason told in
/// docs/DIFFERENCES.md.
fn left_out(name: &str, command: &[Vec<u8>]) -> bool {
    match name.to_ascii_lowercase().as_str() {
        // A digest that is none, behind GET: Redis 8.6 answers twice.
        "set" => {
            has_word(command, b"GET")
                && (has_word(command, b"IFDEQ") || has_word(command, b"IFDNE"))
        }
        // A field named twice ends Redis 8.6.2.
        "hsetex" => true,
        // Redis 8.6.2 ends on the smallest number.
        "vrandmember" => command
            .iter()
            .any(|word| word.starts_with(b"-9223372036854775808")),
        // Redis 8.6.2 ends on as many components as no memory holds.
        "vadd" | "vsim" => has_word(command, b"9223372036854775807"),
        // Redis keeps the low 32 bits of the index.
        "lset" => command.iter().any(|word| word.len() > 9),
        // How scores are added up by COUNT is of Redis 8.8.
        "zunion" | "zinter" | "zunionstore" | "zinterstore" => {
            has_word(command, b"AGGREGATE") && has_word(command, b"COUNT")
        }
        // Strings of gigabytes take their time.
        "setbit" | "setrange" | "bitfield" | "append" => command
            .iter()
            .any(|word| word.len() > 7 && word.iter().all(u8::is_ascii_digit)),
        _ => false,
    }
}

/// Where Oxidis differs: docs/DIFFERENCES.md has each of these.
fn explained(name: &str, theirs: &Reply, ours: &Reply) -> bool {
    match name {
        // A vector set is copied here.
        "copy" => theirs.text().contains("not supported for this module key"),
        // The parser's words are those of another Lua, and it knows letters beyond ASCII.
        "eval" | "eval_ro" | "function|load" | "script|load" => {
            let compiling = |reply: &Reply| reply.text().to_ascii_lowercase().contains("compiling");
            compiling(theirs) && compiling(ours)
        }
        // Redis shows a line break at the end of a word as two blanks, and a word as far as its first zero byte.
        "function|list" => {
            let start = |reply: &Reply| reply.text().starts_with("ERR Unknown argument");
            start(theirs) && start(ours)
        }
        // An operand is read before the options are, or after them.
        "VADD" => theirs.is_error() && ours.is_error(),
        _ => false,
    }
}

/// One argument of the grammar.
struct Part {
    kind: String,
    name: String,
    token: Option<String>,
    optional: bool,
    multiple: bool,
    token_each: bool,
    inner: Vec<Part>,
}

/// The commands that both servers know, subcommands by themselves, and their arguments as the first server tells them.
fn grammar(teller: &mut Client, other: &mut Client) -> Vec<(String, Vec<Part>)> {
    let mut found = Vec::new();
    let docs = teller.cmd("COMMAND DOCS");
    let known = |other: &mut Client, name: &str| match other.call(&["COMMAND", "INFO", name]) {
        Reply::Array(items) => matches!(items.first(), Some(Reply::Array(_))),
        _ => false,
    };
    for pair in docs.items().chunks(2) {
        let name = pair[0].text();
        if LEFT_OUT.contains(&name.to_ascii_lowercase().as_str()) || !known(other, &name) {
            continue;
        }
        match field(&pair[1], "subcommands") {
            Some(subcommands) => {
                for pair in subcommands.items().chunks(2) {
                    let name = pair[0].text();
                    if !name.ends_with("|help") && known(other, &name) {
                        found.push((name, parts(&pair[1])));
                    }
                }
            }
            None => found.push((name, parts(&pair[1]))),
        }
    }
    found
}

/// The value of a field in a flat map.
fn field<'a>(map: &'a Reply, name: &str) -> Option<&'a Reply> {
    let pair = map.items().chunks(2).find(|pair| pair[0].text() == name);
    pair.map(|pair| &pair[1])
}

fn parts(docs: &Reply) -> Vec<Part> {
    let arguments = field(docs, "arguments").map_or(&[][..], Reply::items);
    let text = |part: &Reply, name| field(part, name).map(Reply::text);
    let part = |part: &Reply| {
        let flags = field(part, "flags").map_or(&[][..], Reply::items);
        let has = |flag| flags.iter().any(|f| f.text() == flag);
        Part {
            kind: text(part, "type").unwrap_or_default(),
            name: text(part, "name").unwrap_or_default(),
            token: text(part, "token"),
            optional: has("optional"),
            multiple: has("multiple"),
            token_each: has("multiple_token"),
            inner: parts(part),
        }
    };
    arguments.iter().map(part).collect()
}

/// A call by the rules, and in two of three cases then spoilt.
fn spoilt(random: &mut Random, name: &str, args: &[Part]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    for part in args {
        make(random, part, &mut words);
    }
    if random.percent(65) {
        for _ in 0..*random.pick(&[1, 1, 1, 2, 3]) {
            spoil(random, &mut words);
        }
    }
    let name = name.split('|').map(str::to_owned);
    name.chain(words).map(String::into_bytes).collect()
}

fn make(random: &mut Random, part: &Part, words: &mut Vec<String>) {
    if part.optional && random.percent(55) {
        return;
    }
    let times = if part.multiple {
        *random.pick(&[1, 1, 2, 3])
    } else {
        1
    };
    for time in 0..times {
        if let Some(token) = &part.token
            && (time == 0 || part.token_each || part.kind == "pure-token")
        {
            words.push(token.clone());
        }
        match part.kind.as_str() {
            "pure-token" => {}
            "block" => part
                .inner
                .iter()
                .for_each(|inner| make(random, inner, words)),
            "oneof" => {
                let inner = random.pick(&part.inner);
                make(random, inner, words);
            }
            _ => words.push(scalar(random, part)),
        }
    }
}

fn scalar(random: &mut Random, part: &Part) -> String {
    let from = match part.kind.as_str() {
        _ if random.percent(12) => BAD,
        "key" => KEYS,
        "integer" => INTEGERS,
        "double" => DOUBLES,
        "unix-time" => &[
            "1",
            "0",
            "-1",
            "99999999999",
            "99999999999999",
            "4102444800",
        ],
        "pattern" => &["*", "a*", "[a-z]", "?"],
        _ if part.name.contains("id")
            || ["start", "end", "min", "max"].contains(&part.name.as_str()) =>
        {
            IDS
        }
        _ if part.name == "script" => &["return 1", "return KEYS", "error('x')", "return", "("],
        _ => TEXTS,
    };
    (*random.pick(from)).to_owned()
}

/// Changes, leaves out, adds or repeats one word.
fn spoil(random: &mut Random, words: &mut Vec<String>) {
    let at = random.below(words.len().max(1));
    match random.below(6) {
        0 => words.insert(at, (*random.pick(BAD)).to_owned()),
        1 => words.insert(at, (*random.pick(KEYS)).to_owned()),
        _ if words.is_empty() => {}
        2 => words[at] = (*random.pick(BAD)).to_owned(),
        3 => drop(words.remove(at)),
        4 => words.insert(at, words[at].clone()),
        _ => words[at] = (*random.pick(KEYS)).to_owned(),
    }
}
