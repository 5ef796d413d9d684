//! The groups: what is sent, one row per form of a command. Only what Redis 7.0 knows, for that is what the
//! distributions install; newer commands and options are tested in the files of their themes.

use super::shape::{Row, alike, exact, near, scan, unordered};

/// A group of commands, and the letter its keys begin with.
#[derive(Debug)]
pub struct Group {
    pub name: &'static str,
    pub letter: char,
    pub rows: &'static [Row],
}

pub const STRING: Group = Group {
    name: "string",
    letter: 's',
    rows: &[
        exact("SET key value").weight(40),
        exact("SET key value [NX|XX] [GET] [EX seconds|PX milliseconds|EXAT unix-seconds|PXAT unix-milliseconds|KEEPTTL]")
            .weight(40),
        exact("SETNX key value"),
        exact("SETEX key seconds value"),
        exact("PSETEX key milliseconds value"),
        exact("GET key"),
        exact("GETSET key value"),
        exact("GETDEL key"),
        exact("GETEX key [EX seconds|PX milliseconds|EXAT unix-seconds|PXAT unix-milliseconds|PERSIST]"),
        exact("MSET (key value)+"),
        exact("MSETNX (key value)+"),
        exact("MGET key+"),
        exact("APPEND key value").weight(20),
        exact("STRLEN key"),
        exact("GETRANGE key index index").weight(20),
        exact("SUBSTR key index index"),
        exact("SETRANGE key offset value").weight(20),
        exact("INCR key"),
        exact("DECR key"),
        exact("INCRBY key integer").weight(20),
        exact("DECRBY key integer").weight(20),
        exact("INCRBYFLOAT key float").weight(30),
        exact("LCS key key [LEN] [IDX] [MINMATCHLEN integer] [WITHMATCHLEN]").weight(20),
    ],
};

/// On the keys of whichever group is run with it.
pub const GENERIC: Group = Group {
    name: "generic",
    letter: 'g',
    rows: &[
        exact("DEL key+"),
        exact("UNLINK key+"),
        exact("EXISTS key+"),
        exact("TOUCH key+"),
        exact("TYPE key"),
        exact("RENAME key key"),
        exact("RENAMENX key key"),
        exact("COPY key key [DB db] [REPLACE]"),
        exact("MOVE key db"),
        exact("DBSIZE"),
        unordered("KEYS pattern"),
        alike("RANDOMKEY").weight(2),
        scan("SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]"),
        exact("EXPIRE key seconds [NX|XX|GT|LT]"),
        exact("PEXPIRE key milliseconds [NX|XX|GT|LT]"),
        exact("EXPIREAT key unix-seconds [NX|XX|GT|LT]"),
        exact("PEXPIREAT key unix-milliseconds [NX|XX|GT|LT]"),
        exact("PERSIST key"),
        near("TTL key", 1),
        near("PTTL key", 2_000),
        near("EXPIRETIME key", 1),
        near("PEXPIRETIME key", 2_000),
        exact("OBJECT ENCODING key").weight(20),
        exact("OBJECT REFCOUNT key"),
        exact("OBJECT FREQ key").weight(2),
        alike("OBJECT IDLETIME key").weight(3),
        exact("SELECT db").weight(3),
        exact("SWAPDB db db").weight(2),
        exact("FLUSHDB [SYNC|ASYNC]").weight(1),
        exact("FLUSHALL [SYNC|ASYNC]").weight(1),
        exact("PING [value]").weight(2),
        exact("ECHO value").weight(2),
        exact("OBJECT NOSUCH key").weight(1),
        exact("NOSUCHCOMMAND value+").weight(1),
    ],
};
