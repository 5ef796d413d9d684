//! The server is killed as by `kill -9` at random moments under load, again and again, and must come back with what it
//! acknowledged.
//!
//! ```text
//!   three writers     MULTI; SET key:<s % 40> s; SET last s; INCR, APPEND, XADD, XREADGROUP, SWAPDB …; EXEC
//!                     s = 1, 2, 3, … of their own, pipelined
//!   the killer        when so many have been acknowledged as chance wants
//!   after the start   the keys of each writer are those of some prefix 1 … m of what it sent, whole transactions,
//!                     and m reaches what the policy promises
//! ```
//!
//! | policy | must be there |
//! |---|---|
//! | `appendfsync always`, `no` | all that was acknowledged: who dies is the process, what it gave the kernel stays |
//! | `appendfsync everysec` | the same, but for what waited for an fsync under way: two seconds at most |
//! | save points only | all that was acknowledged before the last SAVE or finished BGSAVE began |
//!
//! Most of the commands cannot be repeated, and some are in other databases: a command that is replayed twice, or in the
//! wrong database, leaves what no prefix leaves.
//!
//! Rewrites, saves and backups run all the while, so that the moments hit them, too. A backup that was sealed in time holds
//! whole transactions up to some point, like everything else.
//!
//! - `OXIDIS_CRASHES`: how often each policy (default: 5)
//! - `OXIDIS_CRASH_SEED`: repeat a run, as far as threads can be repeated

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::support::client::encode;
use crate::support::random::Random;
use crate::support::server::until;
use crate::support::{Client, Reply, Server};

const WRITERS: usize = 3;
const KEYS: u64 = 40;
/// Transactions on the way at once.
const DEPTH: u64 = 8;
/// A file of this test is loaded long before.
const PATIENCE: Duration = Duration::from_secs(60);
/// An fsync that is under way lets a write wait so long (two seconds), and a machine under load may oversleep.
const POSTPONED: Duration = Duration::from_secs(4);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Policy {
    Always,
    Everysec,
    No,
    SavesOnly,
}

#[test]
fn always_loses_nothing() {
    crash(Policy::Always);
}

#[test]
fn everysec_loses_what_waited_for_the_disk_at_most() {
    crash(Policy::Everysec);
}

#[test]
fn no_fsync_loses_nothing_that_the_kernel_has() {
    crash(Policy::No);
}

#[test]
fn a_save_keeps_what_was_there_when_it_began() {
    crash(Policy::SavesOnly);
}

/// State shared by the threads of a round.
struct Round {
    /// The last transaction that was acknowledged, of each writer.
    acknowledged: [AtomicU64; WRITERS],
    dead: AtomicBool,
}

fn crash(policy: Policy) {
    let seed = Random::seed_from_env("OXIDIS_CRASH_SEED");
    let crashes = std::env::var("OXIDIS_CRASHES").map_or(5, |n| n.parse().expect("a number"));
    let mut random = Random::new(seed);
    let arguments: &[&str] = match policy {
        Policy::Always => &["--appendonly", "yes", "--appendfsync", "always"],
        Policy::Everysec => &["--appendonly", "yes", "--appendfsync", "everysec"],
        Policy::No => &["--appendonly", "yes", "--appendfsync", "no"],
        Policy::SavesOnly => &[],
    };
    let preamble = if random.percent(50) { "yes" } else { "no" };
    let mut server = Server::oxidis()
        .args(arguments)
        .args(["--aof-use-rdb-preamble", preamble])
        .start();
    let mut from = [0; WRITERS];
    for number in 0..crashes {
        let after = 1 + random.below(if number % 2 == 0 { 300 } else { 4000 }) as u64;
        let promised = one_crash(&mut server, policy, from, after);
        server.restart();
        let about = format!("OXIDIS_CRASH_SEED={seed}, crash {number}, {policy:?}, after {after}");
        let mut client = server.client();
        let loaded = until(PATIENCE, || {
            (client.cmd("PING") == Reply::Status(b"PONG".to_vec())).then_some(())
        });
        loaded.unwrap_or_else(|| panic!("{about}: not loaded\n{}", server.log()));
        for writer in 0..WRITERS {
            let sent = promised[writer].1;
            let there = check(&mut client, writer, sent, &about);
            let least = promised[writer].0;
            assert!(
                there >= least,
                "{about}: writer {writer} was promised {least}, {there} is there\n{}",
                server.log()
            );
            from[writer] = there;
        }
        drop(client);
        check_backup(&server, &promised, &about);
        // The disk is not ours alone.
        for entry in fs::read_dir(server.dir()).expect("its directory").flatten() {
            if entry.file_name().to_string_lossy().starts_with("temp-") {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Checks the content of a sealed backup, if there is one, and removes it.
fn check_backup(server: &Server, promised: &[(u64, u64); WRITERS], about: &str) {
    let directory = server.dir().join("backupdir");
    let manifest = directory.join("appendonly.aof.manifest");
    if manifest.exists() {
        let preload = format!("aof:{}", manifest.display());
        let copy = Server::oxidis().args(["--preload-file", &preload]).start();
        let mut client = copy.client();
        let loaded = until(PATIENCE, || {
            (client.cmd("PING") == Reply::Status(b"PONG".to_vec())).then_some(())
        });
        loaded.unwrap_or_else(|| panic!("{about}: backup not loaded\n{}", copy.log()));
        for (writer, (_, sent)) in promised.iter().enumerate() {
            check(&mut client, writer, *sent, about);
        }
    }
    let _ = fs::remove_dir_all(&directory);
}

/// Load, and the end of it. Of each writer: what must be there, what was sent.
fn one_crash(
    server: &mut Server,
    policy: Policy,
    from: [u64; WRITERS],
    after: u64,
) -> [(u64, u64); WRITERS] {
    let round = Round {
        acknowledged: from.map(AtomicU64::new),
        dead: AtomicBool::new(false),
    };
    let port = server.port();
    let killed = Instant::now();
    let (mut killed_at, mut sent) = (killed, from);
    let mut saved = from;
    let mut history = Vec::new();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let round = &round;
                scope.spawn(move || write(port, round, writer, from[writer]))
            })
            .collect();
        let keeper = scope.spawn(|| keep_busy(port, policy, &round));
        // How far each was, and when.
        let done = || -> u64 {
            let all = round.acknowledged.iter().zip(from);
            all.map(|(now, from)| now.load(SeqCst) - from).sum()
        };
        let stuck = Instant::now();
        while done() < after && stuck.elapsed() < PATIENCE {
            history.push((Instant::now(), load(&round)));
            std::thread::yield_now();
        }
        history.push((Instant::now(), load(&round)));
        server.kill();
        killed_at = Instant::now();
        round.dead.store(true, SeqCst);
        for (writer, thread) in writers.into_iter().enumerate() {
            sent[writer] = thread.join().expect("a writer does not panic");
        }
        if let Some(of_last_save) = keeper.join().expect("it does not panic") {
            saved = of_last_save;
        }
    });
    let acknowledged = load(&round);
    let least = match policy {
        Policy::Always | Policy::No => acknowledged,
        Policy::SavesOnly => saved,
        Policy::Everysec => {
            let old = history.iter().rev();
            let mut old = old.filter(|(when, _)| killed_at.duration_since(*when) > POSTPONED);
            old.next().map_or(from, |(_, then)| *then)
        }
    };
    std::array::from_fn(|writer| (least[writer], sent[writer]))
}

fn load(round: &Round) -> [u64; WRITERS] {
    std::array::from_fn(|writer| round.acknowledged[writer].load(SeqCst))
}

/// A function is loaded with so many transactions.
const LOADS: u64 = 25;

/// The databases of a writer: one for a counter, and two that it swaps.
fn databases(writer: usize) -> (usize, usize, usize) {
    (1 + writer, 4 + 2 * writer, 5 + 2 * writer)
}

/// The commands of a writer's transaction.
fn transaction(writer: usize, number: u64) -> Vec<Vec<String>> {
    let (counted, one, other) = databases(writer);
    let mut lines: Vec<String> = vec![
        format!("SET {writer}:{} {number}", number % KEYS),
        format!("SET {writer}:last {number}"),
        format!("INCR {writer}:count"),
        format!("APPEND {writer}:log {number},"),
        format!("XADD {writer}:stream * number {number}"),
        format!("XREADGROUP GROUP group one COUNT 1 STREAMS {writer}:stream >"),
        format!("SELECT {counted}"),
        "INCR count".to_owned(),
        format!("SELECT {one}"),
        "INCR count".to_owned(),
        format!("SWAPDB {one} {other}"),
        "SELECT 0".to_owned(),
    ];
    if number == 1 {
        lines.insert(5, format!("XGROUP CREATE {writer}:stream group 0"));
    }
    let words = |line: String| line.split(' ').map(str::to_owned).collect();
    let mut words: Vec<Vec<String>> = lines.into_iter().map(words).collect();
    if number.is_multiple_of(LOADS) {
        let code = format!(
            "#!lua name=lib{writer}\nredis.register_function('f{writer}', function() return {number} end)"
        );
        words.push(
            ["FUNCTION", "LOAD", "REPLACE", &code]
                .map(str::to_owned)
                .into(),
        );
    }
    words
}

/// Writes until the server is gone; the last one sent.
fn write(port: u16, round: &Round, writer: usize, from: u64) -> u64 {
    let Ok(mut client) = Client::tcp(port) else {
        return from;
    };
    let (mut sent, mut acknowledged) = (from, from);
    loop {
        while sent < acknowledged + DEPTH {
            sent += 1;
            let mut request = encode(&["MULTI"]);
            for words in transaction(writer, sent) {
                request.extend(encode(&words));
            }
            request.extend(encode(&["EXEC"]));
            if client.send(&request).is_err() {
                return sent;
            }
        }
        for _ in 0..=transaction(writer, acknowledged + 1).len() {
            match client.read() {
                Ok(reply) => assert!(!reply.is_error(), "{reply}"),
                Err(_) => return sent,
            }
        }
        match client.read() {
            Ok(Reply::Array(replies)) => {
                acknowledged += 1;
                let failed = replies.iter().find(|reply| reply.is_error());
                assert!(failed.is_none(), "{failed:?}");
            }
            Ok(reply) => panic!("EXEC: {reply}"),
            Err(_) => return sent,
        }
        round.acknowledged[writer].store(acknowledged, SeqCst);
    }
}

/// Rewrites and saves as long as the server answers. Returns the writes acknowledged when the last finished save began.
fn keep_busy(port: u16, policy: Policy, round: &Round) -> Option<[u64; WRITERS]> {
    let mut client = Client::tcp(port).ok()?;
    let mut saved = None;
    let mut ask = |line: &[&str]| -> Option<Reply> {
        client.send(&encode(line)).ok()?;
        client.read().ok()
    };
    let mut turn = 0;
    while !round.dead.load(SeqCst) {
        turn += 1;
        let before = load(round);
        let line: &[&str] = match (policy, turn % 6) {
            (_, 1) => &["BACKUP", "START"],
            (_, 3) => &["BACKUP", "SEAL"],
            (_, 5) => &["BACKUP", "CLEANUP"],
            (Policy::SavesOnly, 0) => &["SAVE"],
            (Policy::SavesOnly, _) | (_, 0) => &["BGSAVE"],
            _ => &["BGREWRITEAOF"],
        };
        match ask(line) {
            Some(Reply::Status(text)) if line == ["SAVE"] && text == b"OK" => saved = Some(before),
            Some(_) => {}
            None => return saved,
        }
        loop {
            let Some(info) = ask(&["INFO", "persistence"]) else {
                return saved;
            };
            let info = info.text();
            let running = ["rdb_bgsave_in_progress:1", "aof_rewrite_in_progress:1"];
            if !running.iter().any(|field| info.contains(field)) {
                if line == ["BGSAVE"] && info.contains("rdb_last_bgsave_status:ok") {
                    saved = Some(before);
                }
                break;
            }
        }
    }
    saved
}

/// The writer's keys are those of a prefix of what it sent; how long that is.
fn check(client: &mut Client, writer: usize, sent: u64, about: &str) -> u64 {
    let number = |reply: Reply| match reply {
        Reply::NilBulk => 0,
        reply => reply.text().parse().expect("a number was written"),
    };
    let last: u64 = number(client.cmd(&format!("GET {writer}:last")));
    assert!(last <= sent, "{about}: {last} of {sent} sent");
    for key in 0..KEYS {
        // The latest up to `last` that went to this key; there is no zeroth.
        let back = (last + KEYS - key) % KEYS;
        let expected = last.saturating_sub(back);
        let there = number(client.cmd(&format!("GET {writer}:{key}")));
        assert_eq!(
            there, expected,
            "{about}: writer {writer}, last {last}, key {key}"
        );
    }
    check_once(client, writer, last, about);
    last
}

/// Each of the first `last` transactions took effect exactly once, in its own database: its commands cannot be
/// repeated.
fn check_once(client: &mut Client, writer: usize, last: u64, about: &str) {
    let (counted, one, other) = databases(writer);
    let log: usize = (1..=last).map(|n| n.to_string().len() + 1).sum();
    let mut expected = vec![
        (0, format!("GET {writer}:count"), last),
        (0, format!("STRLEN {writer}:log"), log as u64),
        (0, format!("XLEN {writer}:stream"), last),
        (counted, "GET count".to_owned(), last),
        // A database that has been counted in goes aside: the next one is counted in the other.
        (one, "GET count".to_owned(), last / 2),
        (other, "GET count".to_owned(), last.div_ceil(2)),
    ];
    if last >= LOADS {
        let loaded = last - last % LOADS;
        expected.push((0, format!("FCALL f{writer} 0"), loaded));
    }
    for (database, line, wanted) in expected {
        client.cmd(&format!("SELECT {database}")).ok();
        let there = match client.cmd(&line) {
            Reply::NilBulk => 0,
            Reply::Integer(there) => there as u64,
            reply => reply.text().parse().expect("a number"),
        };
        assert_eq!(
            there, wanted,
            "{about}: writer {writer}, last {last}, database {database}, {line}"
        );
    }
    client.cmd("SELECT 0").ok();
    if last > 0 {
        let pending = client.cmd(&format!("XPENDING {writer}:stream group"));
        let there = &pending.items()[0];
        assert_eq!(
            there,
            &Reply::Integer(last as i64),
            "{about}: pending of {writer}"
        );
    }
}
