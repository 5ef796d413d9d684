//! Any payload is restored or refused, and what was restored stands being asked about, saved, changed and deleted.
//! The first byte says how it is checked; the last ten, version and checksum, are not looked at.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use oxidis::Server;

thread_local! {
    static SERVER: RefCell<Option<oxidis::Handle>> = const { RefCell::new(None) };
}

const QUESTIONS: &[&[&str]] = &[
    &["TYPE", "k"],
    &["OBJECT", "ENCODING", "k"],
    &["DEBUG", "DIGEST-VALUE", "k"],
    &["MEMORY", "USAGE", "k", "SAMPLES", "0"],
    &["DUMP", "k"],
    &["COPY", "k", "k2", "REPLACE"],
    &["GET", "k"],
    &["APPEND", "k", "x"],
    &["PFCOUNT", "k"],
    &["BITCOUNT", "k"],
    &["LRANGE", "k", "0", "-1"],
    &["LINDEX", "k", "-1"],
    &["LPOS", "k", "a", "COUNT", "0"],
    &["LINSERT", "k", "BEFORE", "a", "b"],
    &["LPUSH", "k", "x"],
    &["LTRIM", "k", "1", "-2"],
    &["LPOP", "k"],
    &["RPOP", "k"],
    &["SMEMBERS", "k"],
    &["SSCAN", "k", "0"],
    &["SISMEMBER", "k", "a"],
    &["SDIFF", "k", "k2"],
    &["SADD", "k", "x"],
    &["SPOP", "k"],
    &["SRANDMEMBER", "k", "-5"],
    &["HGETALL", "k"],
    &["HSCAN", "k", "0"],
    &["HGET", "k", "a"],
    &["HRANDFIELD", "k", "-5", "WITHVALUES"],
    &["HPEXPIRE", "k", "100000", "FIELDS", "1", "a"],
    &["HSET", "k", "a", "b"],
    &["HINCRBY", "k", "n", "1"],
    &["HDEL", "k", "a"],
    &["ZRANGE", "k", "0", "-1", "WITHSCORES"],
    &["ZRANGEBYSCORE", "k", "-inf", "+inf"],
    &["ZRANGEBYLEX", "k", "-", "+"],
    &["ZRANK", "k", "a"],
    &["ZSCAN", "k", "0"],
    &["ZADD", "k", "1", "x"],
    &["ZREMRANGEBYRANK", "k", "0", "0"],
    &["ZPOPMIN", "k"],
    &["ZPOPMAX", "k"],
    &["XRANGE", "k", "-", "+"],
    &["XREVRANGE", "k", "+", "-"],
    &["XINFO", "STREAM", "k", "FULL"],
    &["XREAD", "STREAMS", "k", "0-0"],
    &["XADD", "k", "*", "a", "b"],
    &["XTRIM", "k", "MAXLEN", "1"],
    &["XDEL", "k", "1-1"],
    &["VSIM", "k", "ELE", "a"],
    &["VRANDMEMBER", "k", "-5"],
    &["VREM", "k", "a"],
    &["DUMP", "k"],
    &["DEL", "k", "k2"],
];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, body)) = bytes.split_first() else {
        return;
    };
    SERVER.with_borrow_mut(|server| {
        let server = server.get_or_insert_with(|| {
            let server = Server::builder()
                .directive("enable-debug-command", "yes")
                .no_tcp()
                .start();
            let server = server.expect("it starts");
            server.execute(["DEBUG", "SET-SKIP-CHECKSUM-VALIDATION", "1"]);
            server
        });
        let check = if first & 1 == 0 { "no" } else { "yes" };
        server.execute(["CONFIG", "SET", "sanitize-dump-payload", check]);
        let mut payload = body.to_vec();
        payload.extend_from_slice(&[12, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let words: [&[u8]; 5] = [b"RESTORE", b"k", b"0", &payload, b"REPLACE"];
        server.execute(words);
        for question in QUESTIONS {
            server.execute(question.iter().copied());
        }
    });
});
