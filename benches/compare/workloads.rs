//! The tables of `benches/compare.rs`: requests whose cost is measured, and shapes of values whose memory is.

/// The requests measured at each depth. In a request, `{key}` is a random key of 16 bytes out of `--keys`, `{number}` a
/// random number of 12 digits below that, `{value}` as many bytes as `value_len` says; quotes as in `redis-cli`. A
/// request of several commands, separated by ` ; `, is one request. `prepare` is sent for every key (in which case
/// `{key}` and `{number}` count up), or once if it names neither.
pub struct Workload {
    pub name: &'static str,
    pub prepare: &'static [&'static str],
    pub request: &'static str,
    pub value_len: usize,
    /// Connections that subscribe to `channel` and read what comes; with many, fewer requests are sent.
    pub listeners: usize,
}

const FILL: &[&str] = &["SET {key} {value}"];

pub const WORKLOADS: &[Workload] = &[
    Workload {
        name: "GET",
        prepare: FILL,
        request: "GET {key}",
        value_len: 3,
        listeners: 0,
    },
    Workload {
        name: "SET",
        prepare: FILL,
        request: "SET {key} {value}",
        value_len: 3,
        listeners: 0,
    },
    Workload {
        name: "INCR",
        prepare: &["SET {key} 1000000"],
        request: "INCR {key}",
        value_len: 0,
        listeners: 0,
    },
    Workload {
        name: "MSET 10",
        prepare: FILL,
        request: "MSET {key} {value} {key} {value} {key} {value} {key} {value} {key} {value} \
                  {key} {value} {key} {value} {key} {value} {key} {value} {key} {value}",
        value_len: 3,
        listeners: 0,
    },
    Workload {
        name: "LPUSH LPOP",
        prepare: &[],
        request: "LPUSH list {value} ; LPOP list",
        value_len: 3,
        listeners: 0,
    },
    Workload {
        name: "LRANGE 100",
        prepare: &["RPUSH list {key}"],
        request: "LRANGE list 0 99",
        value_len: 0,
        listeners: 0,
    },
    Workload {
        name: "HSET small",
        prepare: &["HSET {key} one {value} two {value} three {value} four {value} five {value}"],
        request: "HSET {key} three {value}",
        value_len: 3,
        listeners: 0,
    },
    Workload {
        name: "HGET small",
        prepare: &["HSET {key} one {value} two {value} three {value} four {value} five {value}"],
        request: "HGET {key} three",
        value_len: 3,
        listeners: 0,
    },
    Workload {
        name: "HSET in one hash",
        prepare: &["HSET hash {key} {value}"],
        request: "HSET hash {key} {value}",
        value_len: 3,
        listeners: 0,
    },
    Workload {
        name: "HGET in one hash",
        prepare: &["HSET hash {key} {value}"],
        request: "HGET hash {key}",
        value_len: 3,
        listeners: 0,
    },
    Workload {
        name: "SADD SPOP",
        prepare: &["SADD set {key}"],
        request: "SADD set {key} ; SPOP set",
        value_len: 0,
        listeners: 0,
    },
    Workload {
        name: "ZADD",
        prepare: &["ZADD zset {number} {key}"],
        request: "ZADD zset {number} {key}",
        value_len: 0,
        listeners: 0,
    },
    Workload {
        name: "ZRANK",
        prepare: &["ZADD zset {number} {key}"],
        request: "ZRANK zset {key}",
        value_len: 0,
        listeners: 0,
    },
    Workload {
        name: "ZRANGEBYSCORE",
        prepare: &["ZADD zset {number} {key}"],
        request: "ZRANGEBYSCORE zset {number} +inf LIMIT 0 10",
        value_len: 0,
        listeners: 0,
    },
    Workload {
        name: "EVALSHA INCR",
        prepare: &["SCRIPT LOAD \"return redis.call('incr',KEYS[1])\""],
        request: "EVALSHA 6f5ade10a69975e903c6d07b10ea44c6382381a5 1 {key}",
        value_len: 0,
        listeners: 0,
    },
    Workload {
        name: "EVALSHA 100",
        prepare: &["SCRIPT LOAD \"for i=1,100 do redis.call('set',KEYS[1],i) end\""],
        request: "EVALSHA f0bd4c2190498dcf2fe03a7bda79759346bdb2b5 1 {key}",
        value_len: 0,
        listeners: 0,
    },
    Workload {
        name: "EVALSHA cjson",
        prepare: &[
            "SCRIPT LOAD \"local t = cjson.decode(ARGV[1]) t.n = t.n + 1 return cjson.encode(t)\"",
        ],
        request: r#"EVALSHA 8f1ebb583ed349d60bb6ef6b2d23528d80f88b98 0 '{"n":1,"name":"item","price":12.5,"tags":["a","b","c"],"ok":true,"none":null,"owner":{"id":77,"mail":"someone@example.org"}}'"#,
        value_len: 0,
        listeners: 0,
    },
    Workload {
        name: "EVALSHA loop",
        prepare: &["SCRIPT LOAD \"local n = 0 for i = 1, 10000 do n = n + i % 7 end return n\""],
        request: "EVALSHA 0ef0811870d9aebd69c0c3b38cf978634ccf4459 0",
        value_len: 0,
        listeners: 0,
    },
    Workload {
        name: "FCALL INCR",
        prepare: &[
            "FUNCTION LOAD REPLACE \"#!lua name=bench\\nredis.register_function('add', \
                    function(k) return redis.call('incr', k[1]) end)\"",
        ],
        request: "FCALL add 1 {key}",
        value_len: 0,
        listeners: 0,
    },
    Workload {
        name: "MULTI 10",
        prepare: FILL,
        request: "MULTI ; SET {key} {value} ; GET {key} ; SET {key} {value} ; GET {key} ; SET {key} {value} ; \
                  GET {key} ; SET {key} {value} ; GET {key} ; SET {key} {value} ; GET {key} ; EXEC",
        value_len: 3,
        listeners: 0,
    },
    Workload {
        name: "PUBLISH 1",
        prepare: &[],
        request: "PUBLISH channel {value}",
        value_len: 16,
        listeners: 1,
    },
    Workload {
        name: "PUBLISH 1000",
        prepare: &[],
        request: "PUBLISH channel {value}",
        value_len: 16,
        listeners: 1000,
    },
    Workload {
        name: "PUBLISH 10000",
        prepare: &[],
        request: "PUBLISH channel {value}",
        value_len: 16,
        listeners: 10_000,
    },
    Workload {
        name: "XADD",
        prepare: &[],
        request: "XADD stream * name {value} number {number}",
        value_len: 3,
        listeners: 0,
    },
    Workload {
        name: "XRANGE",
        prepare: &["XADD stream {number}-1 name {value} number {number}"],
        request: "XRANGE stream {number} + COUNT 10",
        value_len: 3,
        listeners: 0,
    },
];

/// The keys stored, `--memory-keys` of them, in an empty server.
pub struct Shape {
    pub name: &'static str,
    pub request: &'static str,
    pub value_len: usize,
}

pub const SHAPES: &[Shape] = &[
    Shape {
        name: "3 bytes",
        request: "SET {key} {value}",
        value_len: 3,
    },
    Shape {
        name: "3 bytes, TTL",
        request: "SET {key} {value} EX 1000000",
        value_len: 3,
    },
    Shape {
        name: "32 bytes",
        request: "SET {key} {value}",
        value_len: 32,
    },
    Shape {
        name: "32 bytes, TTL",
        request: "SET {key} {value} EX 1000000",
        value_len: 32,
    },
    Shape {
        name: "100 bytes",
        request: "SET {key} {value}",
        value_len: 100,
    },
    Shape {
        name: "100 bytes, TTL",
        request: "SET {key} {value} EX 1000000",
        value_len: 100,
    },
    Shape {
        name: "in one list",
        request: "RPUSH list {key}",
        value_len: 0,
    },
    Shape {
        name: "hash of five fields",
        request: "HSET {key} one {value} two {value} three {value} four {value} five {value}",
        value_len: 3,
    },
    Shape {
        name: "in one hash",
        request: "HSET hash {key} {value}",
        value_len: 3,
    },
    Shape {
        name: "in one set",
        request: "SADD set {key}",
        value_len: 0,
    },
    Shape {
        name: "in one sorted set",
        request: "ZADD zset {number} {key}",
        value_len: 0,
    },
    Shape {
        name: "in one stream",
        request: "XADD stream * name {value} number {number}",
        value_len: 3,
    },
];
