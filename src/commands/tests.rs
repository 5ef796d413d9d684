//! Tests: commands run against a state without sockets, by a clock that stands still; what they propagate, and when
//! keys expire.

use crate::clients::ClientKey;
use crate::config::Config;
use crate::dispatch::{CallOrigin, call};
use crate::resp::{Protocol, Reply, Value};
use crate::server;
use crate::state::State;
use crate::sys::clock::Clock;

pub(super) const START_MS: i64 = 1_700_000_000_000;

pub(super) struct Server {
    pub(super) state: State,
    client: ClientKey,
}

impl Server {
    pub(super) fn new() -> Server {
        let clock = Clock::manual(START_MS * 1000);
        let mut state = State::new(
            Config::default(),
            clock,
            1,
            crate::state::Mailbox::new(None).0,
            crate::commands::GROUPS,
        );
        state.refresh_clock();
        state.effects.listening = crate::command::Targets::ALL;
        let client = state.clients.insert_fake(START_MS, Protocol::Resp2);
        Server { state, client }
    }

    pub(super) fn run(&mut self, line: &str) -> Value {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.call(&words)
    }

    pub(super) fn call(&mut self, words: &[&[u8]]) -> Value {
        let argv = crate::resp::argv::OwnedArgv::from_words(words);
        let argv = argv.as_argv();
        let id = self.state.commands.lookup(argv).expect("a command");
        let mut reply = Reply::to_value(Protocol::Resp2);
        let origin = CallOrigin::Client;
        call(&mut self.state, self.client, id, argv, &mut reply, origin);
        reply.take_values().pop().expect("a reply")
    }

    /// Runs commands and returns the requests that they propagate.
    pub(super) fn says(&mut self, lines: &[&str]) -> Vec<String> {
        // One level deeper than the commands, so that their effects stay here.
        self.state.effects.enter();
        for line in lines {
            self.run(line);
        }
        self.state.effects.leave();
        let unit = self.state.effects.take_unit();
        let words = |said: &crate::command::Said| {
            let words = said.argv.as_argv();
            let words: Vec<_> = words.iter().map(String::from_utf8_lossy).collect();
            words.join(" ")
        };
        let inside = |line: &String| line != "MULTI" && line != "EXEC";
        unit.iter().map(words).filter(inside).collect()
    }

    pub(super) fn later(&mut self, ms: u64) {
        self.state.clock.advance(ms * 1000);
        self.state.refresh_clock();
    }
}

#[test]
fn deadlines_are_said_as_moments() {
    let mut server = Server::new();
    let said = server.says(&[
        "SET a 1 EX 10",
        "SETEX a 10 2",
        "PSETEX a 10 3",
        "SET a 4 GET PX 100",
        "SET a 5 EXAT 1800000000",
        "SET a 6 PXAT 1800000000000 XX",
        "GETEX a EX 100",
        "GETEX a",
        "GETEX a PERSIST",
        "GETEX a PERSIST",
        "EXPIRE a 100 NX",
        "PEXPIRE a 5 LT",
        "EXPIREAT a 1800000000",
        "PEXPIREAT a 1800000000001 GT",
        "PERSIST a",
        "MSETEX 2 a 1 b 2 NX",
        "MSETEX 2 a 1 b 2 EX 5 XX",
        "MSETEX 1 c 2 NX EX 5",
    ]);
    assert_eq!(
        said,
        [
            "SET a 1 PXAT 1700000010000",
            "SET a 2 PXAT 1700000010000",
            "SET a 3 PXAT 1700000000010",
            "SET a 4 PXAT 1700000000100",
            "SET a 5 PXAT 1800000000000",
            "SET a 6 PXAT 1800000000000 XX",
            "PEXPIREAT a 1700000100000",
            "PERSIST a",
            "PEXPIREAT a 1700000100000 NX",
            "PEXPIREAT a 1700000000005 LT",
            "PEXPIREAT a 1800000000000",
            "PEXPIREAT a 1800000000001 GT",
            "PERSIST a",
            "SET c 2 PXAT 1700000005000",
        ]
    );
}

#[test]
fn what_depends_on_the_moment_is_said_as_it_came_out() {
    let mut server = Server::new();
    let said = server.says(&[
        "SET a 1 GET",
        "SET a 2 GET NX",
        "SET a get GET XX get",
        "SET a x IFEQ get GET",
        "GETSET a 10",
        "GETDEL a",
        "GETDEL a",
        "INCRBYFLOAT f 1.5",
        "SETNX a b",
        "SETNX a c",
        "DELEX a IFEQ c",
        "DELEX a IFEQ b",
        "INCREX n BYINT 3",
        "INCREX n BYINT 3 UBOUND 4",
        "INCREX n BYINT 3 UBOUND 4 SATURATE EX 1",
        "INCREX n ENX EX 50",
        "INCREX n BYFLOAT 0.5 PERSIST",
        "INCREX n EXAT 1 BYFLOAT 1",
        "INCREX n EXAT 1",
    ]);
    assert_eq!(
        said,
        [
            "SET a 1",
            "SET a get XX",
            "SET a x",
            "SET a 10",
            "DEL a",
            "SET f 1.5 KEEPTTL",
            "SETNX a b",
            "DEL a",
            "SET n 3 KEEPTTL",
            "SET n 4 PXAT 1700000001000",
            "SET n 5 KEEPTTL",
            "SET n 5.5",
            "DEL n",
        ]
    );
}

#[test]
fn deadlines_in_the_past_are_deletions() {
    let mut server = Server::new();
    let said = server.says(&["SET a 1", "SET b 2", "SET c 3"]);
    assert_eq!(said.len(), 3);
    let said = server.says(&["EXPIRE a -1", "PEXPIREAT b 5 NX", "GETEX c EXAT 5"]);
    assert_eq!(said, ["DEL a", "DEL b", "DEL c"]);
    server.state.config.lazyfree_lazy_expire = true;
    let said = server.says(&["SET a 1", "EXPIREAT a 1", "EXPIREAT a 1"]);
    assert_eq!(said, ["SET a 1", "UNLINK a"]);

    // redis 14046, 14784: SET left a key that was over already.
    let before = server.state.stats.expired_keys;
    let said = server.says(&["SET a 1", "SET a 2 GET PXAT 5", "SET a 3 EXAT 5", "GET a"]);
    assert_eq!(said, ["SET a 1", "UNLINK a"]);
    assert_eq!(server.state.stats.expired_keys, before + 2);
}

#[test]
fn the_dead_are_said_before_what_found_them() {
    let mut server = Server::new();
    server.says(&["MSET a 1 b 2 c 3 d 4 e 5 f 6"]);
    for key in ["a", "b", "c", "d", "e", "f"] {
        server.says(&[&format!("PEXPIRE {key} 10")]);
    }
    server.later(11);
    assert_eq!(server.says(&["GET a"]), ["DEL a"]);
    assert_eq!(server.says(&["SET b x"]), ["DEL b", "SET b x"]);
    assert_eq!(
        server.says(&["SET c y KEEPTTL"]),
        ["DEL c", "SET c y KEEPTTL"]
    );
    assert_eq!(server.says(&["INCR d"]), ["DEL d", "INCR d"]);
    assert_eq!(server.says(&["RENAME b e"]), ["DEL e", "RENAME b e"]);
    assert_eq!(server.says(&["DEL f"]), ["DEL f"]);
    assert_eq!(server.state.stats.expired_keys, 6);
    assert_eq!(server.run("TTL c"), Value::Integer(-1));
    assert_eq!(server.run("DBSIZE"), Value::Integer(3));
}

#[test]
fn the_slow_cycle_finds_what_nobody_looks_up() {
    let mut server = Server::new();
    for i in 0..1000 {
        let ms = if i % 2 == 0 { 10 } else { 100_000 };
        server.run(&format!("SET key:{i} x PX {ms}"));
    }
    server.later(11);
    server.state.active_expire = false;
    server::turn::cron(&mut server.state, 1, 10);
    assert_eq!(server.run("DBSIZE"), Value::Integer(1000));
    server.state.active_expire = true;
    server.state.keyspace.env().set_hide_only(true);
    server::turn::cron(&mut server.state, 2, 10);
    assert_eq!(server.run("DBSIZE"), Value::Integer(1000));
    server.state.keyspace.env().set_hide_only(false);
    server::turn::cron(&mut server.state, 3, 10);
    assert_eq!(server.run("DBSIZE"), Value::Integer(500));
    assert_eq!(server.state.stats.expired_keys, 500);
}

#[test]
fn scan_passes_over_the_dead_and_has_them_deleted() {
    let mut server = Server::new();
    server.run("MSET a 1 b 2 c 3");
    server.run("PEXPIRE b 5");
    server.later(6);
    let Value::Array(reply) = server.run("SCAN 0 COUNT 100") else {
        panic!("SCAN returns an array");
    };
    let Value::Array(keys) = &reply[1] else {
        panic!("and in it another");
    };
    assert_eq!(keys.len(), 2);
    assert_eq!(server.run("DBSIZE"), Value::Integer(2));
}

/// SAVE, SHUTDOWN and DEBUG RELOAD set the count of changes back; taken for a change, they were written to the AOF,
/// and a server that had been shut down shut itself down again at every start.
#[test]
fn a_count_set_back_is_no_change() {
    let (mailbox, _inbox) = crate::state::Mailbox::new(None);
    let clock = crate::sys::clock::Clock::manual(0);
    let config = crate::config::Config {
        dir: std::env::temp_dir(),
        dbfilename: format!("oxidis-count-{}.rdb", std::process::id()),
        ..Default::default()
    };
    let file = config.dir.join(&config.dbfilename);
    let mut state = crate::state::State::new(config, clock, 1, mailbox, crate::commands::GROUPS);
    state.effects.listening = crate::command::Targets::REPLICAS;
    let client = state.clients.insert_fake(0, crate::resp::Protocol::Resp2);
    let mut reply = crate::resp::Reply::discard();
    for words in [&["SET", "k", "v"][..], &["SAVE"]] {
        let argv = crate::resp::argv::OwnedArgv::from_words(words);
        crate::dispatch::process(&mut state, client, argv.as_argv(), &mut reply);
        if words[0] == "SET" {
            state.replication.offset = 0;
        }
    }
    let _ = std::fs::remove_file(file);
    assert_eq!(state.dirty, 0, "it saved");
    assert_eq!(state.replication.offset, 0, "nothing was said");
}
