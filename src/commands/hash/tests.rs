//! Tests: the commands that hashes propagate, and the moments at which fields expire.

use super::super::tests::{START_MS, Server};
use crate::keyspace::DbId;
use crate::resp::Value;
use crate::server;

const DB: DbId = DbId(0);

/// Both encodings of a hash with deadlines.
fn both(test: impl Fn(&mut Server)) {
    for entries in [512, 0] {
        let mut server = Server::new();
        server.state.config.hash_max_listpack_entries = entries;
        test(&mut server);
    }
}

fn integers(numbers: &[i64]) -> Value {
    Value::Array(numbers.iter().map(|n| Value::Integer(*n)).collect())
}

fn words(reply: Value) -> Vec<String> {
    let Value::Array(items) = reply else {
        panic!("an array, not {reply:?}");
    };
    let text = |item: Value| match item {
        Value::Bulk(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => format!("{other:?}"),
    };
    let mut words: Vec<String> = items.into_iter().map(text).collect();
    words.sort_unstable();
    words
}

#[test]
fn deadlines_of_fields_are_said_as_moments() {
    both(|server| {
        let said = server.says(&[
            "HSET h a 1 b 2 c 3",
            "HEXPIRE h 10 NX FIELDS 2 a x",
            "HPEXPIRE h 5 FIELDS 3 a b c GT",
            "HEXPIREAT h 1800000000 FIELDS 1 b",
            "HPEXPIREAT h 1800000000001 LT FIELDS 3 a b x",
            "HPEXPIREAT h 1700000009999 lt fields 3 a b x",
            "HEXPIRE h 5 XX FIELDS 1 c",
            "HPERSIST h FIELDS 2 b x",
            "HPERSIST h FIELDS 1 b",
            "HGETEX h FIELDS 1 a",
            "HGETEX h EX 7 FIELDS 2 c x",
            "HGETEX h FIELDS 2 b c PERSIST",
            "HSETEX h PX 9 FIELDS 1 d 4",
            "HSETEX h FNX KEEPTTL FIELDS 1 d 5",
            "HSETEX h FXX KEEPTTL FIELDS 1 d 5",
            "HINCRBYFLOAT h d 0.5",
            "HINCRBYFLOAT h b 0.5",
            "HGETDEL h FIELDS 2 c x",
        ]);
        assert_eq!(
            said,
            [
                "HSET h a 1 b 2 c 3",
                "HPEXPIREAT h 1700000010000 NX FIELDS 1 a",
                "HPEXPIREAT h 1800000000000 FIELDS 1 b",
                "HPEXPIREAT h 1700000009999 lt fields 2 a b",
                "HPERSIST h FIELDS 2 b x",
                "HPEXPIREAT h 1700000007000 FIELDS 1 c",
                "HPERSIST h FIELDS 1 c",
                "HSETEX h PXAT 1700000000009 FIELDS 1 d 4",
                "HSETEX h FXX KEEPTTL FIELDS 1 d 5",
                "HSETEX h KEEPTTL FIELDS 1 d 5.5",
                // The hash has fields with deadlines, though this is none of them.
                "HSETEX h KEEPTTL FIELDS 1 b 2.5",
                "HDEL h c x",
            ],
        );
    });
}

#[test]
fn moments_in_the_past_are_deletions() {
    both(|server| {
        server.says(&["HSET h a 1 b 2 c 3 d 4"]);
        let said = server.says(&[
            "HPEXPIREAT h 1 FIELDS 2 a x",
            "HGETEX h EXAT 1 FIELDS 1 b",
            "HSETEX h PXAT 1 FIELDS 1 c 5",
            "HEXPIRE h 0 FIELDS 1 d",
        ]);
        assert_eq!(said, ["HDEL h a", "HDEL h b", "HDEL h c", "HDEL h d"]);
        assert_eq!(server.run("EXISTS h"), Value::Integer(0));
        assert_eq!(server.state.stats.expired_subkeys, 4);
        assert_eq!(
            server.says(&["HSETEX new PXAT 1 FIELDS 1 f v"]),
            ["HDEL new f"]
        );
        assert_eq!(server.run("EXISTS new"), Value::Integer(0));
    });
}

#[test]
fn fields_found_over_are_deleted_before_the_command_speaks() {
    both(|server| {
        server.says(&["HSET h a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8 i 9"]);
        server.says(&["HPEXPIRE h 10 FIELDS 8 a b c d e f g h"]);
        server.later(10);
        assert_eq!(server.says(&["HGET h a"]), Vec::<String>::new());
        server.later(1);
        assert_eq!(server.says(&["HLEN h", "HGETALL h"]), Vec::<String>::new());
        assert_eq!(server.says(&["HGET h a"]), ["HDEL h a"]);
        assert_eq!(server.says(&["HMGET h b i c"]), ["HDEL h b", "HDEL h c"]);
        assert_eq!(
            server.says(&["HINCRBY h d 1"]),
            ["HDEL h d", "HINCRBY h d 1"]
        );
        assert_eq!(server.says(&["HSETNX h e 1"]), ["HDEL h e", "HSETNX h e 1"]);
        let said = server.says(&["HSETEX h FNX EX 1 FIELDS 1 f 1"]);
        assert_eq!(
            said,
            ["HDEL h f", "HSETEX h FNX PXAT 1700000001011 FIELDS 1 f 1"]
        );
        let mut said = server.says(&["HRANDFIELD h 9"]);
        said.sort_unstable();
        assert_eq!(said, ["HDEL h g", "HDEL h h"]);
        assert_eq!(server.run("HLEN h"), Value::Integer(4));
        assert_eq!(server.state.stats.expired_subkeys, 8);
    });
}

/// valkey 4732: HEXPIRE brought a field back that nobody could read any more, and HPERSIST did so on replicas.
/// valkey 3036: HSETEX KEEPTTL gave a new value the deadline of the one that had expired.
#[test]
fn fields_found_over_do_not_come_back() {
    both(|server| {
        server.says(&["HSET h a 1 b 2 c 3 d 4"]);
        server.says(&["HPEXPIRE h 10 FIELDS 3 a b c"]);
        server.later(11);
        for command in [
            "HEXPIRE h 100 FIELDS 1 a",
            "HEXPIRE h 0 FIELDS 1 a",
            "HPEXPIREAT h 1800000000000 GT FIELDS 1 a",
            "HPERSIST h FIELDS 1 a",
            "HTTL h FIELDS 1 a",
        ] {
            assert_eq!(server.run(command), integers(&[-2]), "{command}");
            assert_eq!(server.says(&[command]), Vec::<String>::new());
        }
        assert_eq!(
            server.says(&[
                "HSETEX h PXAT 1800000000000 FIELDS 1 e 5",
                "HPERSIST h FIELDS 4 a d e x"
            ]),
            [
                "HSETEX h PXAT 1800000000000 FIELDS 1 e 5",
                "HPERSIST h FIELDS 1 e"
            ]
        );
        assert_eq!(
            server.says(&["HSETEX h KEEPTTL FIELDS 3 b 5 b 6 d 7"]),
            ["HDEL h b", "HSETEX h KEEPTTL FIELDS 3 b 5 b 6 d 7"]
        );
        assert_eq!(words(server.run("HMGET h b d")), ["6", "7"]);
        assert_eq!(server.run("HTTL h FIELDS 2 b d"), integers(&[-1, -1]));
        assert_eq!(
            server.says(&["HSETEX h KEEPTTL FXX FIELDS 1 c 5"]),
            ["HDEL h c"]
        );
    });
}

/// As in Redis, a deadline gives a hash room for deadlines, even one that has passed and deletes.
#[test]
fn a_deadline_in_the_past_makes_room_for_deadlines() {
    both(|server| {
        server.says(&["HSET h a 1", "HSETEX h PXAT 1 FIELDS 1 b 2"]);
        let encoding = server.run("OBJECT ENCODING h");
        server.says(&["HSET i a 1 b 2", "HPEXPIREAT i 1800000000000 FIELDS 1 a"]);
        assert_eq!(encoding, server.run("OBJECT ENCODING i"));
    });
}

#[test]
fn the_last_field_takes_the_key_along() {
    both(|server| {
        for command in [
            "HGET h f",
            "HINCRBY h f 5",
            "HSETNX h f 5",
            "HRANDFIELD h",
            "HGETDEL h FIELDS 1 f",
        ] {
            server.says(&["HSET h f 1", "HPEXPIRE h 10 FIELDS 1 f"]);
            assert_eq!(server.state.keyspace[DB].hashes_with_deadlines(), 1);
            server.later(11);
            let said = server.says(&[command]);
            assert_eq!(said[0], "HDEL h f", "{command}");
            assert_eq!(
                server.state.keyspace[DB].hashes_with_deadlines(),
                0,
                "{command}"
            );
            assert_eq!(said.len() == 2, server.run("EXISTS h") == Value::Integer(1));
            server.run("DEL h");
        }
    });
}

#[test]
fn the_cycle_deletes_in_order_and_only_where_it_may() {
    both(|server| {
        server.says(&["HSET h1 a 1 b 2", "HSET h2 a 1 b 2 c 3", "HSET h3 a 1"]);
        server.says(&["HPEXPIRE h1 20 FIELDS 1 a", "HPEXPIRE h1 30 FIELDS 1 b"]);
        server.says(&["HPEXPIRE h2 40 FIELDS 1 b", "HPEXPIRE h2 50 FIELDS 1 a"]);
        server.says(&["HPEXPIRE h3 100000 FIELDS 1 a"]);
        server.later(60);
        server.state.keyspace.env().set_hide_only(true);
        server::turn::cron(&mut server.state, 1, 10);
        assert_eq!(server.run("HGET h1 a"), Value::Null);
        assert_eq!(server.run("HLEN h1"), Value::Integer(2));
        server.state.keyspace.env().set_hide_only(false);
        server.state.effects.enter();
        server::turn::cron(&mut server.state, 2, 10);
        server.state.effects.leave();
        let said = server.says(&[]);
        assert_eq!(said, ["HDEL h1 a", "HDEL h1 b", "HDEL h2 b", "HDEL h2 a"]);
        assert_eq!(server.run("EXISTS h1 h2 h3"), Value::Integer(2));
        assert_eq!(server.state.keyspace[DB].hashes_with_deadlines(), 1);
    });
}

#[test]
fn the_index_follows_the_keys() {
    both(|server| {
        let tracked = |server: &Server, db| server.state.keyspace[DbId(db)].hashes_with_deadlines();
        server.run("HSET h a 1 b 2");
        server.run("HPEXPIRE h 100 FIELDS 1 a");
        assert_eq!(tracked(server, 0), 1);
        server.run("RENAME h g");
        server.run("COPY g f");
        assert_eq!(tracked(server, 0), 2);
        server.run("MOVE g 3");
        assert_eq!((tracked(server, 0), tracked(server, 3)), (1, 1));
        server.run("SWAPDB 0 3");
        server.run("SET g string");
        assert_eq!((tracked(server, 0), tracked(server, 3)), (0, 1));
        server.run("SWAPDB 0 3");
        server.run("HSET f a new");
        assert_eq!(tracked(server, 0), 0);
        server.run("HPEXPIRE f 100 FIELDS 2 a b");
        server.run("HPERSIST f FIELDS 1 a");
        assert_eq!(tracked(server, 0), 1);
        server.run("HDEL f b");
        assert_eq!(tracked(server, 0), 0);
        server.run("HPEXPIRE f 100 FIELDS 1 a");
        server.run("PEXPIRE f 50");
        server.later(60);
        server::turn::cron(&mut server.state, 1, 10);
        assert_eq!(
            (server.run("EXISTS f"), tracked(server, 0)),
            (Value::Integer(0), 0)
        );
        server.run("HSETEX h EX 9 FIELDS 1 a 1");
        server.run("FLUSHALL");
        assert_eq!(tracked(server, 0), 0);
    });
}

#[test]
fn deadlines_are_told_and_kept() {
    both(|server| {
        server.run("HSET h a 1 b 2 c 3");
        assert_eq!(
            server.run("HPEXPIRE h 1500 FIELDS 2 a x"),
            integers(&[1, -2])
        );
        assert_eq!(server.run("HTTL h FIELDS 3 a b x"), integers(&[2, -1, -2]));
        assert_eq!(server.run("HPTTL h FIELDS 1 a"), integers(&[1500]));
        assert_eq!(
            server.run("HPEXPIRETIME h FIELDS 1 a"),
            integers(&[START_MS + 1500])
        );
        assert_eq!(
            server.run("HEXPIRETIME h FIELDS 1 a"),
            integers(&[START_MS / 1000 + 2])
        );
        server.run("HINCRBY h a 1");
        assert_eq!(server.run("HPTTL h FIELDS 1 a"), integers(&[1500]));
        server.run("HSETEX h KEEPTTL FIELDS 1 a 7");
        assert_eq!(server.run("HPTTL h FIELDS 1 a"), integers(&[1500]));
        server.run("HSETEX h FIELDS 1 a 7");
        assert_eq!(server.run("HPTTL h FIELDS 1 a"), integers(&[-1]));
        assert_eq!(words(server.run("HGETEX h EX 5 FIELDS 2 a b")), ["2", "7"]);
        assert_eq!(words(server.run("HGETDEL h FIELDS 2 a a")), ["7", "Null"]);
        assert_eq!(words(server.run("HKEYS h")), ["b", "c"]);
    });
}

#[test]
fn imports_make_hashes() {
    let mut server = Server::new();
    server.run("HIMPORT PREPARE user name mail");
    assert_eq!(
        server.says(&["HIMPORT SET u:1 user ann a@x"]),
        ["HSET u:1 name ann mail a@x"]
    );
    server.run("HSET u:1 old field");
    server.run("EXPIRE u:1 100");
    assert_eq!(
        server.says(&["HIMPORT SET u:1 user bob b@x"]),
        ["DEL u:1", "HSET u:1 name bob mail b@x"]
    );
    assert_eq!(words(server.run("HVALS u:1")), ["b@x", "bob"]);
    assert_eq!(server.run("TTL u:1"), Value::Integer(-1));
    server.run("HIMPORT PREPARE other f");
    assert_eq!(server.run("HIMPORT DISCARD user"), Value::Integer(1));
    assert_eq!(server.run("HIMPORT DISCARD user"), Value::Integer(0));
    assert_eq!(server.run("HIMPORT DISCARDALL"), Value::Integer(1));
    assert_eq!(server.run("HIMPORT DISCARDALL"), Value::Integer(0));
}
