//! The groups: what is sent, one row per form of a command. Only what Redis 7.0 knows, for that is what the
//! distributions install; `newer.rs` has what a Redis 8 is sent besides.

use super::shape::{Row, alike, exact, near, scan, unordered, unordered_pairs, untimed};

/// A group of commands, and the letter its keys begin with.
#[derive(Clone, Copy, Debug)]
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

/// Lists and sets in order; weights come from strings and hashes.
pub const SORT: Group = Group {
    name: "sort",
    letter: GENERIC.letter,
    rows: &[
        exact("(SORT|SORT_RO) sortable [BY lookup] [LIMIT index count] [GET lookup] [GET lookup] [ASC|DESC]")
            .weight(30),
        exact("SORT sortable [BY lookup] [LIMIT index count] [GET lookup] [GET lookup] [ASC|DESC] STORE key")
            .weight(15),
        exact("(SORT|SORT_RO) sortable ALPHA [BY lookup] [LIMIT index count] [GET lookup] [ASC|DESC]")
            .weight(20),
        exact("SORT sortable ALPHA [LIMIT index count] [GET lookup] [ASC|DESC] STORE key"),
    ],
};

/// Sorted sets in another order. Apart from the rest, because Redis changes the encoding of what it sorts.
pub const SORT_ZSET: Group = Group {
    name: "sorted-set sort",
    letter: 'z',
    rows: &[
        // No -0, whose sign only a skiplist keeps.
        exact("ZADD key (score (name|integer))+").always_whole().weight(60),
        exact("ZREM key (name|integer)+"),
        exact("(SORT|SORT_RO) key [BY lookup] [LIMIT index count] [GET lookup] [GET lookup] [ASC|DESC]")
            .weight(30),
        exact("SORT key BY NOSORT [LIMIT index count] [GET lookup] [ASC|DESC] [STORE key]")
            .weight(20),
        exact("SORT key [BY lookup] [LIMIT index count] [GET lookup] [GET lookup] [ASC|DESC] STORE key"),
    ],
};

pub const LIST: Group = Group {
    name: "list",
    letter: 'l',
    rows: &[
        exact("(LPUSH|RPUSH) key (name|value)+").weight(60),
        exact("(LPUSHX|RPUSHX) key (name|value)+"),
        exact("(LPOP|RPOP) key [count]").weight(20),
        exact("LLEN key"),
        exact("LRANGE key index index").weight(20),
        exact("LINDEX key index"),
        exact("LSET key index (name|value)"),
        exact("LINSERT key (BEFORE|AFTER) name (name|value)"),
        exact("LREM key integer name"),
        exact("LTRIM key index index").weight(4),
        exact("RPOPLPUSH key key"),
        exact("LMOVE key key (LEFT|RIGHT) (LEFT|RIGHT)"),
        exact("LPOS key name [RANK integer] [COUNT count] [MAXLEN count]").weight(20),
        exact("LMPOP (1 key|2 key key|count key) (LEFT|RIGHT) [COUNT count]"),
        // A pop that blocks without an element times out after a millisecond; no other timeout ever takes that place.
        exact("(BLPOP|BRPOP) key+ 0.001").always_whole().weight(1),
        exact("BLMOVE key key (LEFT|RIGHT) (LEFT|RIGHT) 0.001")
            .always_whole()
            .weight(1),
        exact("BRPOPLPUSH key key 0.001").always_whole().weight(1),
        exact("BLMPOP 0.001 (1 key|2 key key) (LEFT|RIGHT) [COUNT count]")
            .always_whole()
            .weight(1),
    ],
};

pub const SET: Group = Group {
    name: "set",
    letter: 'e',
    rows: &[
        exact("SADD key (name|value|integer)+").weight(60),
        exact("SADD key integer+").weight(20),
        exact("SREM key (name|integer)+").weight(20),
        exact("SCARD key"),
        exact("SISMEMBER key (name|integer)"),
        exact("SMISMEMBER key (name|integer)+"),
        unordered("SMEMBERS key"),
        exact("SMOVE key key (name|integer)"),
        unordered("(SINTER|SUNION|SDIFF) key+").weight(30),
        exact("(SINTERSTORE|SUNIONSTORE|SDIFFSTORE) key key+"),
        exact("SINTERCARD (1 key|2 key key|3 key key key|count key) [LIMIT count]"),
        alike("SRANDMEMBER key"),
        // SPOP chooses members at random, so only popping all of them can be compared.
        unordered("SPOP key 100000").always_whole().weight(2),
        scan("SSCAN key cursor [MATCH pattern] [COUNT count]"),
    ],
};

pub const HASH: Group = Group {
    name: "hash",
    letter: 'h',
    rows: &[
        exact("(HSET|HMSET) key (name (name|value))+").weight(60),
        exact("HSETNX key name value"),
        exact("HGET key name"),
        exact("HMGET key name+"),
        exact("HDEL key name+").weight(20),
        exact("HLEN key"),
        exact("HEXISTS key name"),
        exact("HSTRLEN key name"),
        exact("HINCRBY key name integer").weight(20),
        exact("HINCRBYFLOAT key name float").weight(20),
        unordered_pairs("HGETALL key"),
        unordered("(HKEYS|HVALS) key"),
        alike("HRANDFIELD key"),
        scan("HSCAN key cursor [MATCH pattern] [COUNT count]"),
    ],
};

pub const ZSET: Group = Group {
    name: "zset",
    letter: 'z',
    rows: &[
        exact("ZADD key [NX|XX|GT|LT] [CH] [INCR] (float name)+").weight(60),
        exact("ZADD key (integer (name|value))+").weight(20),
        exact("ZINCRBY key float name").weight(20),
        exact("ZREM key name+").weight(20),
        exact("ZCARD key"),
        exact("ZSCORE key name"),
        exact("ZMSCORE key name+"),
        exact("(ZRANK|ZREVRANK) key name"),
        exact("(ZCOUNT) key border border"),
        exact("ZRANGE key index index [REV] [WITHSCORES]").weight(20),
        exact("ZRANGE key border border BYSCORE [REV] [LIMIT index index] [WITHSCORES]").weight(20),
        exact("ZRANGESTORE key key border border BYSCORE [REV] [LIMIT index index]"),
        exact("ZRANGESTORE key key index index [REV]"),
        exact("ZREVRANGE key index index [WITHSCORES]"),
        exact(
            "(ZRANGEBYSCORE|ZREVRANGEBYSCORE) key border border [WITHSCORES] [LIMIT index index]",
        ),
        exact("ZREMRANGEBYSCORE key border border").weight(3),
        exact("ZREMRANGEBYRANK key index index").weight(3),
        exact("(ZPOPMIN|ZPOPMAX) key [count]"),
        exact("ZMPOP (1 key|2 key key|count key) (MIN|MAX) [COUNT count]"),
        exact("(BZPOPMIN|BZPOPMAX) key+ 0.001")
            .always_whole()
            .weight(1),
        exact("BZMPOP 0.001 (1 key|2 key key) (MIN|MAX) [COUNT count]")
            .always_whole()
            .weight(1),
        exact(
            "(ZUNION|ZINTER) (1 key|2 key key|count key) [WEIGHTS float float] [AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]",
        ),
        exact(
            "(ZUNIONSTORE|ZINTERSTORE) key 2 key key [WEIGHTS float float] [AGGREGATE (SUM|MIN|MAX)]",
        ),
        exact("ZDIFF (1 key|2 key key|count key) [WITHSCORES]"),
        exact("ZDIFFSTORE key 2 key key"),
        exact("ZINTERCARD (1 key|2 key key|count key) [LIMIT count]"),
        alike("ZRANDMEMBER key"),
        scan("ZSCAN key cursor [MATCH pattern] [COUNT count]"),
    ],
};

/// Ranges by name mean something only where all scores are equal; so never together with [`ZSET`].
pub const ZSET_BY_NAME: Group = Group {
    name: "zset by name",
    letter: 'x',
    rows: &[
        exact("ZADD key (0 (name|value))+")
            .always_whole()
            .weight(60),
        exact("ZREM key name+").weight(20),
        exact("ZLEXCOUNT key lex lex").weight(20),
        exact("ZRANGE key lex lex BYLEX [REV] [LIMIT index index]").weight(20),
        exact("(ZRANGEBYLEX|ZREVRANGEBYLEX) key lex lex [LIMIT index index]").weight(20),
        exact("ZRANGESTORE key key lex lex BYLEX [REV] [LIMIT index index]"),
        exact("ZREMRANGEBYLEX key lex lex"),
    ],
};

pub const BITMAP: Group = Group {
    name: "bitmap",
    letter: 'b',
    rows: &[
        exact("SET key value").weight(20),
        exact("SETBIT key offset bit").weight(40),
        exact("GETBIT key offset").weight(20),
        exact("BITCOUNT key [index index [BYTE|BIT]]").weight(20),
        exact("BITPOS key bit [index [index [BYTE|BIT]]]").weight(20),
        exact("BITOP (AND|OR|XOR) key key+").weight(20),
        exact("BITOP NOT key key"),
        exact(
            "BITFIELD key ([OVERFLOW (WRAP|SAT|FAIL)] \
             (GET field-type offset|SET field-type offset integer|INCRBY field-type offset integer))+",
        )
        .weight(40),
        exact("BITFIELD_RO key (GET field-type offset)+"),
    ],
};

pub const HYPERLOGLOG: Group = Group {
    name: "hyperloglog",
    letter: 'p',
    rows: &[
        exact("PFADD key (name|value|integer)+").weight(60),
        exact("PFADD key"),
        exact("PFCOUNT key+").weight(30),
        exact("PFMERGE key key+"),
        exact("SET key value").weight(1),
        exact("STRLEN key"),
    ],
};

pub const GEO: Group = Group {
    name: "geo",
    letter: 'o',
    rows: &[
        exact("GEOADD key [NX|XX] [CH] (longitude latitude name)+").weight(60),
        exact("GEODIST key name name [M|KM|FT|MI]").weight(20),
        exact("GEOPOS key name+"),
        exact("GEOHASH key name+"),
        exact(
            "GEOSEARCH key (FROMMEMBER name|FROMLONLAT longitude latitude) \
             (BYRADIUS distance (M|KM|FT|MI)|BYBOX distance distance (M|KM|FT|MI)) (ASC|DESC) \
             [COUNT count] [WITHCOORD] [WITHDIST] [WITHHASH]",
        )
        .weight(40),
        exact(
            "GEOSEARCHSTORE key key (FROMMEMBER name|FROMLONLAT longitude latitude) \
             BYRADIUS distance (M|KM|FT|MI) (ASC|DESC) [COUNT count] [STOREDIST]",
        ),
        exact(
            "GEORADIUS key longitude latitude distance (M|KM|FT|MI) (ASC|DESC) [COUNT count] [WITHDIST] [STORE key]",
        ),
        exact(
            "(GEORADIUSBYMEMBER|GEORADIUSBYMEMBER_RO) key name distance (M|KM|FT|MI) (ASC|DESC) [COUNT count] [WITHCOORD]",
        ),
    ],
};

/// Never `*` for an ID: clocks are read at different moments.
pub const STREAM: Group = Group {
    name: "stream",
    letter: 't',
    rows: &[
        exact("XADD key [NOMKSTREAM] [(MAXLEN|MINID) id] new-id (name value)+").weight(10),
        exact("XADD key new-id 1 value 2 value").weight(60),
        exact("XADD key [NOMKSTREAM] [MAXLEN [=|~] count [LIMIT count]] new-id (name value)+")
            .weight(20),
        exact("XADD key [MINID [=|~] id [LIMIT count]] new-id (7 value)+").weight(10),
        exact("XTRIM key (MAXLEN [=|~] count|MINID [=|~] id) [LIMIT count]").weight(6),
        exact("XTRIM key MAXLEN [=|~] integer [LIMIT integer]").weight(2),
        exact("XLEN key"),
        exact("XRANGE key id-bound id-bound [COUNT count]").weight(20),
        exact("XREVRANGE key id-bound id-bound [COUNT count]").weight(20),
        exact("XREAD [COUNT count] STREAMS (key (id|$)|key key id id)").weight(20),
        exact("XDEL key id+").weight(20),
        exact(
            "XSETID key 18446744073709551615-18446744073709551615 [ENTRIESADDED count] [MAXDELETEDID id]",
        )
        .weight(2),
        exact("XGROUP CREATE key group (id|$|0) [MKSTREAM] [ENTRIESREAD integer]").weight(15),
        exact("XGROUP SETID key group (id|$|0) [ENTRIESREAD integer]").weight(4),
        exact("XGROUP DESTROY key group").weight(2),
        exact("XGROUP CREATECONSUMER key group consumer"),
        exact("XGROUP DELCONSUMER key group consumer").weight(3),
        exact("XREADGROUP GROUP group consumer [COUNT count] [NOACK] STREAMS (key (>|id)|key key (>|0) >)")
            .weight(50),
        exact("XACK key group id+").weight(20),
        exact("XPENDING key group"),
        untimed("XPENDING key group [IDLE idle] id-bound id-bound count [consumer]").weight(20),
        exact(
            "XCLAIM key group consumer idle id+ [IDLE count|TIME unix-milliseconds] [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID id]",
        )
        .weight(20),
        exact("XAUTOCLAIM key group consumer idle id-bound [COUNT count] [JUSTID]").weight(20),
        untimed("XINFO STREAM key [FULL [COUNT count]]"),
        untimed("XINFO GROUPS key"),
        untimed("XINFO CONSUMERS key group"),
    ],
};
