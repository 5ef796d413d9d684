//! Groups of commands and options that Redis 7.0 lacks: sent where the real server is a Redis 8.6 or later.

use super::groups::Group;
use super::shape::{alike, exact, unordered, untimed};

pub const NEWER_STRING: Group = Group {
    name: "strings of Redis 8",
    letter: 's',
    rows: &[
        exact("SET key value [NX|XX|IFEQ value|IFNE value|IFDEQ digest|IFDNE digest] [KEEPTTL|EX seconds]").weight(40),
        exact("DELEX key [IFEQ value|IFNE value|IFDEQ digest|IFDNE digest]").weight(10),
        exact("DIGEST key").weight(20),
        exact("MSETEX 2 key value key value [NX|XX] [KEEPTTL|EX seconds|PX milliseconds|EXAT unix-seconds|PXAT unix-milliseconds]").weight(20),
        exact("MSETEX count (key value)+ [NX|XX]").weight(10),
        exact("BITOP (DIFF|DIFF1|ANDOR|ONE) key key+").weight(20),
        exact("OBJECT FREQ key"),
        exact("COMMAND GETKEYS (SET key value|MSETEX 2 key value key value|DELEX key IFEQ value|BITOP ONE key key key)"),
    ],
};

pub const NEWER_HASH: Group = Group {
    name: "hashes of Redis 8",
    letter: 'h',
    rows: &[
        exact("HEXPIRE key seconds [NX|XX|GT|LT] FIELDS 2 name name").weight(20),
        exact("HPEXPIRE key milliseconds [NX|XX|GT|LT] FIELDS count name+").weight(10),
        exact("HEXPIREAT key unix-seconds [NX|XX|GT|LT] FIELDS 1 name").weight(20),
        exact("HPEXPIREAT key unix-milliseconds FIELDS 3 name name name").weight(10),
        exact("HPERSIST key FIELDS 2 name name").weight(20),
        exact("HPERSIST key FIELDS count name+"),
        exact("HSETEX key [FNX|FXX] [EX seconds|PX milliseconds|EXAT unix-seconds|PXAT unix-milliseconds|KEEPTTL] FIELDS 1 name value").weight(30),
        exact("HSETEX key [FNX|FXX] [EX seconds|KEEPTTL] FIELDS 2 N1 value N2 value").weight(20),
        exact("HGETEX key [EX seconds|PX milliseconds|EXAT unix-seconds|PXAT unix-milliseconds|PERSIST] FIELDS 2 name name").weight(20),
        exact("HGETEX key [EX seconds|PERSIST] FIELDS count name+"),
        exact("HGETDEL key FIELDS 2 name name").weight(10),
        exact("HGETDEL key FIELDS count name+").weight(5),
    ],
};

pub const NEWER_STREAM: Group = Group {
    name: "streams of Redis 8",
    letter: 't',
    rows: &[
        exact("XADD key [NOMKSTREAM] [KEEPREF|DELREF|ACKED] [MAXLEN [=|~] count] new-id (name value)+").weight(40),
        exact("XADD key IDMP P1 name new-id 1 value").weight(20),
        exact("XADD key IDMPAUTO (P1|P2) new-id 1 value").weight(20),
        exact("XADD key [IDMP P2 name] [MAXLEN count] new-id name value").weight(10),
        exact("XTRIM key MAXLEN count [KEEPREF|DELREF|ACKED]").weight(6),
        exact("XTRIM key MINID id [LIMIT count] [KEEPREF|DELREF|ACKED]").weight(6),
        exact("XTRIM key (MAXLEN [=|~] count|MINID [=|~] id) [LIMIT count] [KEEPREF|DELREF|ACKED]").weight(10),
        exact("XADD key [KEEPREF|DELREF|ACKED] MINID [=|~] id new-id (name value)+").weight(10),
        exact("XREADGROUP GROUP group consumer [COUNT count] STREAMS key >").weight(20),
        exact("XSETID key id [ENTRIESADDED count] [MAXDELETEDID id]").weight(2),
        exact("XDELEX key [KEEPREF|DELREF|ACKED] IDS 2 id id").weight(20),
        exact("XDELEX key [KEEPREF|DELREF|ACKED] IDS count id+").weight(10),
        exact("XACKDEL key group [KEEPREF|DELREF|ACKED] IDS 2 id id").weight(20),
        exact("XACKDEL key group [KEEPREF|DELREF|ACKED] IDS count id+").weight(10),
        exact("XREADGROUP GROUP group consumer [CLAIM idle] [COUNT count] STREAMS key id").weight(5),
        exact("XCFGSET key [IDMP-DURATION count] [IDMP-MAXSIZE count]").weight(5),
        untimed("XINFO STREAM key"),
        exact("XINFO GROUPS key").weight(10),
    ],
};

/// What no stream of the other groups reaches: options of commands of all types that 7.0 lacks.
pub const NEWER_MIXED: Group = Group {
    name: "small things of Redis 8",
    letter: 'z',
    rows: &[
        exact("(ZRANK|ZREVRANK) key name [WITHSCORE]").weight(20),
        exact("(CLIENT|CONFIG|DEBUG|OBJECT|SCRIPT|FUNCTION|MEMORY|LATENCY|XINFO|XGROUP|PUBSUB|ACL) NOSUCH").weight(5),
        exact("EXPIRE key seconds [NX|XX|GT|LT]"),
        exact("PERSIST key"),
        exact("SINTERCARD 2 key key [LIMIT count]"),
        exact("ZINTERCARD 2 key key [LIMIT count]"),
        exact("LMPOP 2 key key (LEFT|RIGHT) [COUNT count]"),
        exact("ZMPOP 2 key key (MIN|MAX) [COUNT count]"),
        exact("BLMPOP 0.001 1 key LEFT [COUNT count]").weight(1),
        exact("EVALSHA value count key"),
        exact("FCALL name 1 key"),
        alike("TIME").weight(1),
        exact("WAIT 0 0").weight(1),
        unordered("KEYS pattern"),
    ],
};

/// Vector sets: their own key, values of three components, and everything but what chance decides.
pub const VECTOR: Group = Group {
    name: "vector sets",
    letter: 'v',
    rows: &[
        exact("VADD key VALUES 3 score score score name [NOQUANT]").weight(60),
        exact("VADD key VALUES 3 score score score name [SETATTR json] [M count]").weight(10),
        exact("VADD key VALUES count score+ name [Q8|BIN|NOQUANT]").weight(10),
        exact("VADD key FP32 value name").weight(5),
        exact("VREM key name").weight(20),
        exact("VCARD key"),
        exact("VDIM key"),
        exact("VISMEMBER key name").weight(20),
        exact("VEMB key name").weight(10),
        exact("VGETATTR key name").weight(20),
        exact("VSETATTR key name json").weight(20),
        exact("VRANGE key lex lex [count]").weight(20),
        alike("VRANDMEMBER key").weight(5),
        alike("VINFO key").weight(5),
        alike("VLINKS key name").weight(5),
        unordered("VSIM key ELE name COUNT 100 TRUTH").weight(20),
        unordered("VSIM key VALUES 3 score score score COUNT 100 TRUTH").weight(20),
        unordered("VSIM key ELE name COUNT 100 TRUTH FILTER filter").weight(20),
        alike(
            "VSIM key ELE name [WITHSCORES] [WITHATTRIBS] [COUNT count] [EPSILON 0.5] [EF count]",
        )
        .weight(10),
    ],
};
