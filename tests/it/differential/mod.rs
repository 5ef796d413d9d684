//! The same random commands to Oxidis and to real Redis, and every reply compared, errors included.
//!
//! ```text
//!   groups.rs ─ tables of shapes ─→ shape.rs ─ random commands ─┬→ Oxidis ─┐
//!                                                               └→ Redis  ─┴→ compare, command by command
//! ```
//!
//! Commands go out in batches of random size, so pipelining is part of it; half of a stream speaks RESP3. From
//! time to time, and at the end, all keys are compared by content, encoding and deadline. A difference is
//! reported with its seed and with the latest commands that touched the same keys.
//!
//! Without a `redis-server` in PATH the streams run against Oxidis alone, which must then answer every
//! command with well-formed RESP.
//!
//! - `OXIDIS_DIFF_COMMANDS`: commands per stream (default 10,000; a million takes some minutes)
//! - `OXIDIS_DIFF_SEED`: repeat a run
//! - `OXIDIS_TEST_REDIS`: another Redis than the one in PATH

pub mod groups;
pub mod newer;
pub mod shape;
pub mod wrong;

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::client::encode;
use crate::support::random::Random;
use crate::support::{Client, Reply, Server};
use groups::{
    BITMAP, GENERIC, GEO, Group, HASH, HYPERLOGLOG, LIST, SET, SORT, SORT_ZSET, STREAM, STRING,
    ZSET, ZSET_BY_NAME,
};
use newer::{NEWER_HASH, NEWER_MIXED, NEWER_STREAM, NEWER_STRING, VECTOR};
use shape::{Check, Maker, Row, Shape};

#[test]
fn strings() {
    run(&[&STRING, &GENERIC]);
}

#[test]
fn lists() {
    run(&[&LIST, &GENERIC]);
}

#[test]
fn sets() {
    run(&[&SET, &GENERIC]);
}

#[test]
fn hashes() {
    run(&[&HASH, &GENERIC]);
}

#[test]
fn sorted_sets() {
    run(&[&ZSET, &SET, &GENERIC]);
}

#[test]
fn sorted_sets_by_name() {
    run(&[&ZSET_BY_NAME, &GENERIC]);
}

#[test]
fn bitmaps() {
    run(&[&BITMAP, &STRING, &GENERIC]);
}

#[test]
fn hyperloglogs() {
    run(&[&HYPERLOGLOG, &HASH, &GENERIC]);
}

#[test]
fn geo() {
    run(&[&GEO, &GENERIC]);
}

#[test]
fn sorting() {
    run(&[&SET, &LIST, &HASH, &STRING, &SORT, &GENERIC]);
}

#[test]
fn sorting_sorted_sets() {
    run(&[&SORT_ZSET, &HASH, &STRING, &GENERIC]);
}

#[test]
fn streams() {
    run(&[&STREAM, &GENERIC]);
}

/// All groups on each other's keys: every WRONGTYPE, every overwriting of one type by another. HyperLogLog alone
/// is kept apart from those who write into the middle of a string: what a broken one counts is nobody's promise.
#[test]
fn everything() {
    run(&[
        &STRING, &LIST, &SET, &HASH, &ZSET, &BITMAP, &GEO, &STREAM, &GENERIC,
    ]);
}

#[test]
fn newer_strings() {
    run_newer(&[&NEWER_STRING, &STRING, &GENERIC]);
}

#[test]
fn newer_hashes() {
    run_newer(&[&NEWER_HASH, &HASH, &GENERIC]);
}

#[test]
fn newer_streams() {
    run_newer(&[&NEWER_STREAM, &STREAM, &GENERIC]);
}

#[test]
fn newer_mixed() {
    run_newer(&[&NEWER_MIXED, &ZSET, &SET, &LIST, &GENERIC]);
}

#[test]
fn vector_sets() {
    run_newer(&[&VECTOR, &GENERIC]);
}

/// As [`run`], for commands that only a Redis 8.6 or later knows; an older one is left alone.
fn run_newer(groups: &[&Group]) {
    match Server::redis().map(|builder| version(&mut builder.start().client())) {
        Some(version) if version < NEWEST => {
            eprintln!(
                "skipped: the redis-server in PATH, or that of OXIDIS_TEST_REDIS, is older than 8.6"
            );
        }
        _ => run(groups),
    }
}

/// The release from which on a real server is the measure: before it, older behaviour is explained.
const NEWEST: (u32, u32) = (8, 6);

/// Major and minor version of a real server.
fn version(client: &mut Client) -> (u32, u32) {
    let text = client.cmd("INFO server").text();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"));
    let mut numbers = line
        .unwrap_or_default()
        .split('.')
        .map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Redis counts the bytes of the key for the encoding of a string, and SORT makes a skiplist of a sorted set.
fn same_encoding_as_newest(theirs: &str, ours: &str) -> bool {
    matches!((theirs, ours), ("raw", "embstr") | ("skiplist", "listpack"))
}

/// Where Oxidis differs from the newest Redis: docs/DIFFERENCES.md has each of these.
fn explained_newest(command: &[Vec<u8>], theirs: &Reply, ours: &Reply) -> bool {
    // The encodings that differ: see `same_encoding_as_newest`.
    let told = |reply: &Reply| match reply {
        Reply::Bulk(text) => String::from_utf8_lossy(text).into_owned(),
        _ => String::new(),
    };
    match command[0].to_ascii_uppercase().as_slice() {
        b"OBJECT" => {
            // Small numbers answer as if keys shared them, as up to Redis 8.0.
            let counts = matches!((theirs, ours), (Reply::Integer(1), Reply::Integer(n)) if *n == i64::from(i32::MAX));
            counts || same_encoding_as_newest(&told(theirs), &told(ours))
        }
        // Scores of a large sorted set, with 17 digits.
        b"ZSCAN" => sorted_numbers(theirs) == sorted_numbers(ours),
        // Redis takes memory for as many entries as COUNT says.
        b"XAUTOCLAIM" => theirs.text().starts_with("ERR Insufficient memory"),
        // When two servers read their clocks.
        b"XPENDING" | b"XINFO" => untimed(theirs) == untimed(ours),
        b"SORT" | b"SORT_RO" => sorts_otherwise(command, theirs, ours),
        _ => false,
    }
}

/// Whether replies to SORT differ for a reason that is known.
fn sorts_otherwise(command: &[Vec<u8>], theirs: &Reply, ours: &Reply) -> bool {
    let by_nothing = command
        .windows(2)
        .any(|two| two[0].eq_ignore_ascii_case(b"BY") && !two[1].contains(&b'*'));
    let alpha = has_word(command, b"ALPHA");
    match (theirs, ours) {
        // The locale's order of texts, up to a zero byte, is not that of bytes; a set has no order at all.
        (Reply::Array(theirs), Reply::Array(ours)) => {
            (alpha || by_nothing) && theirs.len() == ours.len()
        }
        // Redis skips white space before a weight. A result stored from it would differ from then on. It also asks whether
        // a weight was out of range, and may hear of a number that an earlier command read.
        (Reply::Array(_), refusal) | (refusal, Reply::Array(_)) => {
            let words = "ERR One or more scores can't be converted";
            !alpha && refusal.is_error() && refusal.text().starts_with(words)
        }
        _ => false,
    }
}

/// Where the newest Redis is right to differ from the older one that we are compared with. Every arm says why; an
/// error as such is never excused.
fn explained(group: &Group, command: &[Vec<u8>], theirs: &Reply, ours: &Reply) -> bool {
    let name = command[0].to_ascii_uppercase();
    let refused = |reply: &Reply, start: &str| reply.is_error() && reply.text().starts_with(start);
    let has = |word: &[u8]| command.iter().any(|arg| arg == word);
    // Before Redis 8.6 an unknown command without arguments was told with an empty list of them.
    let unknown = "ERR unknown command";
    if command.len() == 1 && refused(theirs, unknown) && refused(ours, unknown) {
        return true;
    }
    match name.as_slice() {
        // A cursor that no server ever gave out (-5, "") was read by another function, so it may be refused.
        b"SCAN" | b"SSCAN" | b"HSCAN" | b"ZSCAN" if strange_cursor(command) => {
            refused(theirs, "ERR invalid cursor") || refused(ours, "ERR invalid cursor")
        }
        b"OBJECT" => match (theirs, ours) {
            (Reply::Bulk(theirs), Reply::Bulk(ours)) => same_encoding(
                group,
                &String::from_utf8_lossy(theirs),
                &String::from_utf8_lossy(ours),
            ),
            // A copy of a shared number is no longer shared there; here the number alone decides.
            (Reply::Integer(1), Reply::Integer(ours)) => *ours == i64::from(i32::MAX),
            _ => false,
        },
        b"SORT" | b"SORT_RO" => sorts_otherwise(command, theirs, ours),
        // Up to 7.0 the number that cannot be negated was taken.
        b"LPOS" => has(b"-9223372036854775808") && refused(ours, "ERR value is out of range"),
        // Up to 7.0 the key was looked at before the other arguments, and not those if it did not exist.
        b"BITCOUNT" | b"BITPOS" => ours.is_error(),
        // WITHSCORE is of 7.2.
        b"ZRANK" | b"ZREVRANK" if command.len() == 4 => {
            refused(theirs, "ERR wrong number of arguments") && refused(ours, "ERR syntax error")
        }
        // Since 7.4 there is a third special ID, and the error names it.
        b"XREAD" | b"XREADGROUP" => {
            refused(theirs, "ERR Unbalanced") && refused(ours, "ERR Unbalanced")
                || has(b"+") && refused(theirs, "ERR Invalid stream ID")
        }
        // Up to 7.0 a consumer that claims nothing is not created.
        b"XGROUP" => matches!((theirs, ours), (Reply::Integer(1), Reply::Integer(0))),
        b"ZSCAN" => sorted_numbers(theirs) == sorted_numbers(ours),
        // Up to 7.0 scores and coordinates had 17 digits, which is not always the shortest way to write a number.
        _ if [&b"Z"[..], b"BZ", b"GEO"]
            .iter()
            .any(|start| name.starts_with(start)) =>
        {
            same_doubles(theirs, ours)
        }
        _ => false,
    }
}

/// Commands that are not sent, because the servers accept them with different effects: from then on the keys would
/// differ.
fn parts_the_servers(command: &[Vec<u8>], newest: bool) -> bool {
    let word = |word: &[u8]| has_word(command, word);
    match command[0].to_ascii_uppercase().as_slice() {
        // A digest that is none, behind GET: Redis 8.6 answers twice. Until it looks for keys that have expired, it also
        // counts one that was set with a deadline in the past.
        b"SET" => {
            let digest = word(b"IFDEQ") || word(b"IFDNE");
            return word(b"GET") && digest || has_past(command);
        }
        // A field named twice ends Redis 8.6.2.
        b"HSETEX" => {
            let mut names: Vec<_> = command.iter().skip(2).collect();
            names.sort();
            return names.windows(2).any(|two| two[0] == two[1]);
        }
        b"LREM" | b"XSETID" if newest => return false,
        // The table of all commands has more rows than in Redis 8.6.
        b"COMMAND" => return command.len() == 1,
        // Redis keeps the low 32 bits of the number of replicas, so that it does not wait.
        b"WAIT" => return command.get(1).is_some_and(|count| count.len() > 9),
        // A vector set is copied here.
        b"COPY" if newest => return command.iter().any(|arg| arg.starts_with(b"v:")),
        // How much `~` trims hangs on blocks, which references divide otherwise.
        b"XTRIM" | b"XADD" if newest => return word(b"~") && (word(b"DELREF") || word(b"ACKED")),
        // Infinite and enormous components are refused here; a count of 2^63 components ends Redis 8.6.2.
        b"VADD" | b"VSIM" => {
            let enormous = |arg: &Vec<u8>| {
                let number = str::from_utf8(arg)
                    .ok()
                    .and_then(|arg| arg.trim().parse::<f64>().ok());
                number.is_some_and(|number| number.is_nan() || number.abs() > 1e12)
            };
            // An empty attribute of a new element is none here.
            let empty = command
                .windows(2)
                .any(|two| two[0].eq_ignore_ascii_case(b"SETATTR") && two[1].is_empty());
            return word(b"FP32") || empty || command.iter().any(enormous);
        }
        // A count of -2^63 ends Redis 8.6.2; so many members with repetition are not worth reading.
        b"VRANDMEMBER" => return command.get(2).is_some_and(|count| count.len() > 6),
        // Redis keeps the low 32 bits of the index.
        b"LSET" if newest => {
            let index = command
                .get(2)
                .and_then(|arg| str::from_utf8(arg).ok()?.parse::<i64>().ok());
            return index.is_some_and(|index| i32::try_from(index).is_err());
        }
        _ => {}
    }
    let smallest = command.iter().any(|arg| arg == b"-9223372036854775808");
    match command[0].to_ascii_uppercase().as_slice() {
        // Redis 7.0 takes the number that cannot be negated, later ones refuse.
        b"LREM" => smallest,
        // Elements of equal weight come in any order, and would be stored in that order.
        b"SORT" => {
            let word = |word| has_word(command, word);
            word(b"ALPHA") && word(b"BY") && word(b"STORE")
        }
        // Since 7.2 an ID below that of a deleted entry is refused.
        b"XSETID" => {
            let id = command.get(2).map_or(&b""[..], Vec::as_slice);
            id.first().is_some_and(|b| b.is_ascii_digit() || *b == b'+')
                && !id.starts_with(b"18446744073709551615-")
        }
        // Up to 7.4 a border could begin with white space, as " 88".
        b"ZCOUNT" | b"ZRANGE" | b"ZRANGESTORE" | b"ZRANGEBYSCORE" | b"ZREVRANGEBYSCORE"
        | b"ZREMRANGEBYSCORE" => {
            let blank_first = |arg: &Vec<u8>| {
                let number = arg.strip_prefix(b"(").unwrap_or(arg);
                matches!(number.first(), Some(b' ' | b'\t'..=b'\r'))
            };
            command.iter().skip(2).any(blank_first)
        }
        // Redis saturates it to the largest number of the field, we to the smallest.
        b"BITFIELD" => smallest && command.iter().any(|arg| arg.eq_ignore_ascii_case(b"SAT")),
        _ => false,
    }
}

/// Whether a command names a moment that has passed, behind EXAT or PXAT.
fn has_past(command: &[Vec<u8>]) -> bool {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis());
    command.windows(2).any(|two| {
        let unit = match two[0].to_ascii_uppercase().as_slice() {
            b"EXAT" => 1000,
            b"PXAT" => 1,
            _ => return false,
        };
        let moment = str::from_utf8(&two[1])
            .ok()
            .and_then(|moment| moment.parse::<u64>().ok());
        moment.is_some_and(|moment| u128::from(moment) * unit <= now)
    })
}

fn has_word(command: &[Vec<u8>], word: &[u8]) -> bool {
    command.iter().any(|arg| arg.eq_ignore_ascii_case(word))
}

/// The same but for the way in which numbers are written.
fn same_doubles(theirs: &Reply, ours: &Reply) -> bool {
    match (theirs, ours) {
        (Reply::Array(theirs), Reply::Array(ours)) => {
            theirs.len() == ours.len() && theirs.iter().zip(ours).all(|(a, b)| same_doubles(a, b))
        }
        (Reply::Bulk(_), Reply::Bulk(_)) | (Reply::Double(_), Reply::Double(_)) => {
            let number = |reply: &Reply| reply.text().parse::<f64>().ok();
            let close = |a: f64, b: f64| a == b || (a - b).abs() < 1e-17;
            theirs == ours
                || number(theirs)
                    .zip(number(ours))
                    .is_some_and(|(a, b)| close(a, b))
        }
        _ => theirs == ours,
    }
}

fn sorted_numbers(reply: &Reply) -> Vec<String> {
    let mut pairs: Vec<String> = match reply {
        Reply::Array(items) => items
            .chunks(2)
            .map(|pair| number_or_text(&Reply::Array(pair.to_vec())))
            .collect(),
        other => vec![other.to_string()],
    };
    pairs.sort();
    pairs
}

/// Since 7.2 small lists and small sets are listpacks. Redis makes a skiplist of a sorted set that SORT reads.
fn same_encoding(group: &Group, theirs: &str, ours: &str) -> bool {
    theirs == ours
        || matches!((theirs, ours), ("quicklist" | "hashtable", "listpack"))
        || group.name == SORT_ZSET.name && (theirs, ours) == ("skiplist", "listpack")
}

/// A stream over the rows of these groups, on keys of the first one.
fn run(groups: &[&Group]) {
    let seed = Random::seed_from_env("OXIDIS_DIFF_SEED");
    let commands = std::env::var("OXIDIS_DIFF_COMMANDS")
        .map_or(10_000, |n| n.parse().expect("a number of commands"));
    let redis = Server::redis().map(|builder| builder.start());
    if redis.is_none() {
        eprintln!("no redis-server in PATH: replies are not compared");
    }
    let oxidis = Server::oxidis().start();
    let mut stream = Stream::new(
        groups,
        seed,
        oxidis.client(),
        redis.as_ref().map(Server::client),
    );
    while stream.sent < commands {
        if stream.sent >= commands / 2 && !stream.resp3 {
            stream.switch_to_resp3();
        }
        stream.batch();
        if stream.sent / 2_000 != stream.last_comparison {
            stream.last_comparison = stream.sent / 2_000;
            stream.compare_contents();
        }
    }
    stream.compare_contents();
    let differ = &stream.errors_differ;
    assert!(
        differ.is_empty(),
        "{} stream, OXIDIS_DIFF_SEED={seed}: other words for the same errors\n{}",
        stream.name,
        differ.concat()
    );
}

struct Stream {
    name: String,
    /// The first of its groups.
    group: Group,
    seed: u64,
    maker: Maker,
    /// With the letter of the group that each is of.
    rows: Vec<(Shape, Row, char)>,
    total_weight: usize,
    oxidis: Client,
    redis: Option<Client>,
    sent: usize,
    resp3: bool,
    /// The real server is of the newest release, so that little is explained.
    newest: bool,
    last_comparison: usize,
    /// Pairs of errors that differed: neither server changed anything, so the stream goes on.
    errors_differ: Vec<String>,
    /// The latest commands, for the report of a difference.
    history: Vec<Vec<Vec<u8>>>,
}

const HISTORY: usize = 4_000;

impl Stream {
    fn new(groups: &[&Group], seed: u64, oxidis: Client, mut redis: Option<Client>) -> Stream {
        let of_group = |group: &&Group| {
            let letter = group.letter;
            group
                .rows
                .iter()
                .map(move |row| (Shape::parse(row.shape), *row, letter))
        };
        let rows: Vec<_> = groups.iter().flat_map(of_group).collect();
        let letters = groups
            .iter()
            .map(|group| group.letter)
            .filter(|&letter| letter != GENERIC.letter);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a clock after 1970")
            .as_secs();
        Stream {
            name: groups
                .iter()
                .map(|group| group.name)
                .collect::<Vec<_>>()
                .join(", "),
            group: *groups[0],
            seed,
            maker: Maker {
                random: Random::new(seed),
                own: groups[0].letter,
                letters: letters.collect(),
                now,
                deadlines: 0,
                latest_id: 1,
            },
            total_weight: rows.iter().map(|(_, row, _)| row.weight as usize).sum(),
            rows,
            oxidis,
            newest: redis.as_mut().is_none_or(|redis| version(redis) >= NEWEST),
            redis,
            sent: 0,
            resp3: false,
            last_comparison: 0,
            errors_differ: Vec::new(),
            history: Vec::new(),
        }
    }

    fn random_command(&mut self) -> (Vec<Vec<u8>>, Check) {
        loop {
            let drawn = self.any_command();
            if !parts_the_servers(&drawn.0, self.newest) {
                return drawn;
            }
        }
    }

    fn any_command(&mut self) -> (Vec<Vec<u8>>, Check) {
        let mut at = self.maker.random.below(self.total_weight);
        let drawn = self.rows.iter().find(|(_, row, _)| {
            let found = at < row.weight as usize;
            at = at.saturating_sub(row.weight as usize);
            found
        });
        let (shape, row, letter) = drawn.expect("the weights add up to their total");
        let maker = &mut self.maker;
        maker.own = match *letter {
            letter if letter == GENERIC.letter => *maker.random.pick(&maker.letters),
            letter => letter,
        };
        (shape.make(maker, row.may_spoil), row.check)
    }

    fn switch_to_resp3(&mut self) {
        self.resp3 = true;
        for client in [Some(&mut self.oxidis), self.redis.as_mut()]
            .into_iter()
            .flatten()
        {
            client.cmd("HELLO 3");
        }
    }

    /// A few commands in one write to each server. A scan takes several, so it ends a batch.
    fn batch(&mut self) {
        let size = 1 + self.maker.random.below(40);
        let mut batch = Vec::new();
        let mut scan = None;
        while batch.len() < size && scan.is_none() {
            match self.random_command() {
                (command, Check::Scan) => scan = Some(command),
                other => batch.push(other),
            }
        }

        let bytes: Vec<u8> = batch
            .iter()
            .flat_map(|(command, _)| encode(command))
            .collect();
        self.oxidis.send(&bytes).expect("Oxidis takes commands");
        if let Some(redis) = &mut self.redis {
            redis.send(&bytes).expect("Redis takes commands");
        }
        for (command, check) in batch {
            let ours = self.oxidis.read();
            let ours =
                ours.unwrap_or_else(|error| self.fail(&command, &format!("no reply: {error}")));
            let theirs = self.redis.as_mut().map(Client::read);
            let theirs = theirs.map(|reply| {
                reply.unwrap_or_else(|error| self.fail(&command, &format!("Redis: {error}")))
            });
            self.judge(command, check, theirs, ours);
        }
        if let Some(command) = scan {
            let ours = follow_cursor(&mut self.oxidis, &command);
            let theirs = self
                .redis
                .as_mut()
                .map(|redis| follow_cursor(redis, &command));
            // From any other cursor than 0 on, what is found hangs on where the keys lie.
            let check = if command[cursor_position(&command)] == b"0" {
                Check::Unordered
            } else {
                Check::Alike
            };
            self.judge(command, check, theirs, ours);
        }
    }

    fn judge(&mut self, command: Vec<Vec<u8>>, check: Check, theirs: Option<Reply>, ours: Reply) {
        self.sent += 1;
        if let Some(theirs) = theirs
            && !agree(check, &theirs, &ours)
            && !match self.newest {
                true => explained_newest(&command, &theirs, &ours),
                false => explained(&self.group, &command, &theirs, &ours),
            }
        {
            let what = format!("Redis:  {theirs}\nOxidis: {ours}");
            if !theirs.is_error() || !ours.is_error() {
                self.fail(&command, &what);
            }
            if self.errors_differ.len() < 20 {
                self.errors_differ
                    .push(format!("> {}\n{what}\n", show(&command)));
            }
        }
        if self.history.len() == HISTORY {
            self.history.drain(..HISTORY / 2);
        }
        self.history.push(command);
    }

    fn fail(&self, command: &[Vec<u8>], what: &str) -> ! {
        let is_key = |arg: &&Vec<u8>| arg.get(1) == Some(&b':');
        let related = |past: &&Vec<Vec<u8>>| {
            past[1..]
                .iter()
                .filter(is_key)
                .any(|key| command[1..].contains(key))
        };
        let mut before: Vec<String> = self
            .history
            .iter()
            .rev()
            .filter(related)
            .take(25)
            .map(|c| show(c))
            .collect();
        before.reverse();
        panic!(
            "{}{} stream, command {} of OXIDIS_DIFF_SEED={}{}\n{}\n> {}\n{what}\n",
            self.errors_differ.concat(),
            self.name,
            self.sent,
            self.seed,
            if self.resp3 { ", RESP3" } else { "" },
            before.join("\n"),
            show(command),
        );
    }

    fn compare_contents(&mut self) {
        let ours = contents(&mut self.oxidis);
        let Some(redis) = &mut self.redis else { return };
        let theirs = contents(redis);
        let group = &self.group;
        let newest = self.newest;
        let same_encoding = |a: &str, b: &str| match newest {
            true => a == b || same_encoding_as_newest(a, b),
            false => same_encoding(group, a, b),
        };
        let near = |a: &Contents, b: &Contents| {
            a.deadline.abs_diff(b.deadline) < 5_000
                && a.kind == b.kind
                && same_encoding(&a.encoding, &b.encoding)
                && a.value == b.value
        };
        for key in theirs.keys().chain(ours.keys()) {
            let (theirs, ours) = (theirs.get(key), ours.get(key));
            if !matches!((theirs, ours), (Some(theirs), Some(ours)) if near(theirs, ours)) {
                let command = vec![b"(contents)".to_vec(), key.1.clone()];
                self.fail(
                    &command,
                    &format!("database {}\nRedis:  {theirs:?}\nOxidis: {ours:?}", key.0),
                );
            }
        }
    }
}

fn agree(check: Check, theirs: &Reply, ours: &Reply) -> bool {
    if theirs == ours {
        return true;
    }
    match (check, theirs, ours) {
        (Check::Near(tolerance), Reply::Integer(a), Reply::Integer(b)) => {
            *a >= 0 && *b >= 0 && a.abs_diff(*b) <= tolerance as u64
        }
        (Check::Unordered, Reply::Array(_), Reply::Array(_))
        | (Check::Unordered, Reply::Set(_), Reply::Set(_)) => {
            sorted(theirs.items()) == sorted(ours.items())
        }
        (Check::UnorderedPairs, Reply::Map(_), Reply::Map(_))
        | (Check::UnorderedPairs, Reply::Array(_), Reply::Array(_)) => {
            pairs(theirs.items()) == pairs(ours.items())
        }
        (Check::Untimed, theirs, ours) => {
            let (theirs, ours) = (untimed(theirs), untimed(ours));
            theirs == ours || theirs == without_producers(&ours)
        }
        (Check::Alike, theirs, ours) => {
            !theirs.is_error() && std::mem::discriminant(theirs) == std::mem::discriminant(ours)
        }
        _ => false,
    }
}

/// The description of a stream without the fields about producers, which Redis 8.6 was the first to tell.
fn without_producers(reply: &Reply) -> Reply {
    let Reply::Array(items) = reply else {
        return reply.clone();
    };
    let about_producers = |item: &Reply| {
        let starts = [&b"idmp-"[..], b"pids-", b"iids-"];
        matches!(item, Reply::Bulk(name) if starts.iter().any(|start| name.starts_with(start)))
    };
    let mut kept = Vec::new();
    let mut items = items.iter();
    while let Some(item) = items.next() {
        match about_producers(item) {
            true => {
                items.next();
            }
            false => kept.push(item.clone()),
        }
    }
    Reply::Array(kept)
}

/// The description of a stream without times, nodes of the tree, and facts that newer versions tell or count otherwise:
/// how far a group is, and consumers that have no entry.
fn untimed(reply: &Reply) -> Reply {
    const UNTOLD: [&[u8]; 9] = [
        b"idle",
        b"inactive",
        b"seen-time",
        b"active-time",
        b"radix-tree-nodes",
        b"lag",
        b"entries-read",
        b"consumers",
        b"pel",
    ];
    let items = match reply {
        Reply::Array(items) | Reply::Map(items) => items,
        other => return other.clone(),
    };
    let is_id = |item: &Reply| {
        let bytes = match item {
            Reply::Bulk(bytes) => bytes.as_slice(),
            _ => return false,
        };
        bytes.contains(&b'-') && bytes.iter().all(|b| b.is_ascii_digit() || *b == b'-')
    };
    let pending = matches!(items.len(), 3 | 4) && is_id(&items[0]);
    let time_at = items.len().wrapping_sub(2);
    let mut kept = Vec::new();
    let mut at = 0;
    while at < items.len() {
        if let Reply::Bulk(name) = &items[at]
            && UNTOLD.contains(&name.as_slice())
            && at + 1 < items.len()
        {
            // Of consumers those that have something.
            if let Reply::Array(consumers) = &items[at + 1]
                && name == b"consumers"
            {
                let mut busy: Vec<Reply> = consumers.iter().map(untimed).collect();
                busy.retain(|consumer| !consumer.to_string().contains("\"pel-count\", :0"));
                kept.push(Reply::Array(busy));
            }
            at += 2;
            continue;
        }
        match &items[at] {
            Reply::Integer(_) if pending && at == time_at => {}
            item => kept.push(untimed(item)),
        }
        at += 1;
    }
    // XINFO CONSUMERS.
    kept.retain(|item| match item {
        Reply::Array(told) | Reply::Map(told) => {
            told.len() != 4 || told[2] != Reply::from("pending") || told[3] != Reply::Integer(0)
        }
        _ => true,
    });
    Reply::Array(kept)
}

fn sorted(items: &[Reply]) -> Vec<String> {
    let mut items: Vec<String> = items.iter().map(Reply::to_string).collect();
    items.sort();
    items
}

fn pairs(items: &[Reply]) -> Vec<String> {
    let mut pairs: Vec<String> = items
        .chunks(2)
        .map(|pair| pair.iter().map(Reply::to_string).collect())
        .collect();
    pairs.sort();
    pairs
}

/// After the name, in SCAN, or after the key; the name's own place if the command ends before.
fn cursor_position(command: &[Vec<u8>]) -> usize {
    let at = if command[0].eq_ignore_ascii_case(b"scan") {
        1
    } else {
        2
    };
    if at < command.len() { at } else { 0 }
}

fn strange_cursor(command: &[Vec<u8>]) -> bool {
    let cursor = str::from_utf8(&command[cursor_position(command)]).unwrap_or_default();
    cursor.parse::<u64>().is_err()
}

/// Asks with the cursor of each reply until it is 0 again. Gives all elements, each once, or the error.
fn follow_cursor(client: &mut Client, command: &[Vec<u8>]) -> Reply {
    let cursor_at = if command[0].eq_ignore_ascii_case(b"scan") {
        1
    } else {
        2
    };
    let mut command = command.to_vec();
    let mut found = BTreeMap::new();
    loop {
        let reply = client.call(&command);
        if reply.is_error() {
            return reply;
        }
        let [cursor, page] = reply.items() else {
            panic!("not a page of a scan: {reply}")
        };
        // Fields and scores come in pairs; a pair is one element.
        let width = if command[0].eq_ignore_ascii_case(b"scan")
            || command[0].eq_ignore_ascii_case(b"sscan")
        {
            1
        } else {
            2
        };
        for element in page.items().chunks(width) {
            found.insert(sorted(element).concat(), element.to_vec());
        }
        if cursor.bytes() == b"0" {
            return Reply::Array(found.into_values().flatten().collect());
        }
        command[cursor_at] = cursor.bytes().to_vec();
    }
}

/// A key's content, as commands tell it.
#[derive(Debug)]
struct Contents {
    kind: String,
    encoding: String,
    value: Vec<String>,
    /// Milliseconds since 1970; -1: none.
    deadline: i64,
}

fn contents(client: &mut Client) -> BTreeMap<(usize, Vec<u8>), Contents> {
    let mut all = BTreeMap::new();
    let databases = 3;
    // SELECT is part of the streams: find the database again by a key that only it holds.
    let marker = "(the stream's database)";
    client.call(&["SET", marker, ""]).ok();
    let mut current = 0;
    for db in 0..databases {
        client.call(&["SELECT", &db.to_string()]).ok();
        for key in client.cmd("KEYS *").items() {
            let key = key.bytes();
            if key == marker.as_bytes() {
                current = db;
                continue;
            }
            let kind = client.call(&[b"TYPE", key]).text();
            let (read, order_matters): (&[&str], bool) = match kind.as_str() {
                "string" => (&["GET"], true),
                "list" => (&["LRANGE", "0", "-1"], true),
                "zset" => (&["ZRANGE", "0", "-1", "WITHSCORES"], true),
                "stream" => (&["XINFO", "STREAM", "FULL", "COUNT", "0"], true),
                "hash" => (&["HGETALL"], false),
                "set" => (&["SMEMBERS"], false),
                "vectorset" => (&["VRANGE", "-", "+"], true),
                other => panic!("a key of type {other}"),
            };
            let mut command: Vec<&[u8]> = read.iter().map(|word| word.as_bytes()).collect();
            command.insert(if kind == "stream" { 2 } else { 1 }, key);
            let value = match client.call(&command) {
                told if kind == "stream" => vec![without_producers(&untimed(&told)).to_string()],
                Reply::Map(items) => pairs(&items),
                Reply::Array(items) if kind == "hash" => pairs(&items),
                Reply::Array(items) | Reply::Set(items) if !order_matters => sorted(&items),
                // Scores by value: see `same_doubles`.
                Reply::Array(items) if kind == "zset" => items.iter().map(number_or_text).collect(),
                other => vec![other.to_string()],
            };
            let Reply::Integer(deadline) = client.call(&[b"PEXPIRETIME", key]) else {
                panic!("no deadline")
            };
            let encoding = client
                .call(&[b"OBJECT".as_slice(), b"ENCODING", key])
                .text();
            all.insert(
                (db, key.to_vec()),
                Contents {
                    kind,
                    encoding,
                    value,
                    deadline,
                },
            );
        }
    }
    client.call(&["SELECT", &current.to_string()]).ok();
    client.call(&["DEL", marker]).is(1);
    all
}

fn number_or_text(reply: &Reply) -> String {
    let elements = |items: &[Reply]| {
        items
            .iter()
            .map(number_or_text)
            .collect::<Vec<_>>()
            .join(" ")
    };
    match reply {
        Reply::Array(items) => elements(items),
        other => match other.text().parse::<f64>() {
            // Before 8.0 other scores than today lose the sign of zero on their way through a listpack.
            Ok(number) => (number + 0.0).to_string(),
            Err(_) => other.to_string(),
        },
    }
}

pub fn show(command: &[Vec<u8>]) -> String {
    let word = |arg: &Vec<u8>| {
        let (shown, rest) = arg.split_at(arg.len().min(100));
        let quote = if arg.is_empty() || shown.iter().any(|c| !c.is_ascii_graphic()) {
            "\""
        } else {
            ""
        };
        let more = if rest.is_empty() {
            String::new()
        } else {
            format!("…{} more", rest.len())
        };
        format!("{quote}{}{more}{quote}", shown.escape_ascii())
    };
    command.iter().map(word).collect::<Vec<_>>().join(" ")
}
