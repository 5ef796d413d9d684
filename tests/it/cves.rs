//! Published holes of Redis and Valkey, tried one by one; scripts have theirs elsewhere. `docs/SECURITY.md` has the list.

use std::time::{Duration, Instant};

use crate::support::{Reply, Server};

/// CVE-2022-31144, CVE-2022-35951: XAUTOCLAIM with deleted entries, and with a COUNT whose product overflows.
#[test]
fn xautoclaim_keeps_within_its_reply() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    for i in 1..=20 {
        c.cmd(&format!("XADD s {i}-1 f v"));
    }
    c.cmd("XGROUP CREATE s g 0").ok();
    c.cmd("XREADGROUP GROUP g a STREAMS s >");
    c.cmd("XTRIM s MAXLEN 2");
    c.cmd("XAUTOCLAIM s g b 0 0 COUNT 9223372036854775807")
        .error("ERR COUNT must be > 0");
    c.cmd("XAUTOCLAIM s g b 0 0 COUNT 1152921504606846976")
        .error("ERR COUNT must be > 0");
    let reply = c.cmd("XAUTOCLAIM s g b 0 0 COUNT 1");
    assert_eq!(reply.items().len(), 3, "{reply:?}");
    let reply = c.cmd("XAUTOCLAIM s g b 0 0 COUNT 1000");
    assert!(reply.items()[2].items().len() >= 8, "{reply:?}");
    // CVE-2022-33105: the edges of a stream whose ends are deleted.
    c.cmd("XDEL s 19-1").is(1);
    c.cmd("XDEL s 20-1").is(1);
    assert!(!c.cmd("XINFO STREAM s").is_error());
    c.cmd("XRANGE s - +").is(Reply::Array(Vec::new()));
}

/// CVE-2022-35977, CVE-2022-36021 and CVE-2024-31228: sums that overflow, patterns that take for ever or go too deep.
#[test]
fn lengths_and_patterns_have_bounds() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("SETRANGE k 4611686018427387904 x")
        .error("ERR string exceeds maximum allowed size");
    c.cmd("SETRANGE k 9223372036854775807 x")
        .error("ERR string exceeds maximum allowed size");
    c.cmd("SETBIT k 4294967296 1").error("ERR bit offset");
    c.cmd("RPUSH l a b c").is(3);
    for limit in [
        "LIMIT 9223372036854775807 9223372036854775807",
        "LIMIT 4611686018427387904 4611686018427387904",
        "LIMIT -1 -9223372036854775807",
    ] {
        let reply = c.cmd(&format!("SORT l ALPHA {limit}"));
        assert!(!reply.is_error(), "{limit}: {reply:?}");
    }

    let name = "a".repeat(1000);
    c.call(&["SET", &name, "v"]).ok();
    let begun = Instant::now();
    let stars = "a*".repeat(200) + "b";
    let deep = "*a".repeat(100_000) + "b";
    for pattern in [&stars, &deep, &"[".repeat(100_000), &"\\".repeat(100_001)] {
        c.call(&["KEYS", pattern]).is(Reply::Array(Vec::new()));
        assert!(!c.call(&["SCAN", "0", "MATCH", pattern]).is_error());
        assert!(
            !c.call(&["FUNCTION", "LIST", "LIBRARYNAME", pattern])
                .is_error()
        );
        assert!(
            !c.call(&["COMMAND", "LIST", "FILTERBY", "PATTERN", pattern])
                .is_error()
        );
        assert!(!c.call(&["PUBSUB", "CHANNELS", pattern]).is_error());
        c.call(&["ACL", "SETUSER", "u", &format!("~{pattern}")]);
        c.call(&["ACL", "DRYRUN", "u", "get", &name]);
    }
    assert!(begun.elapsed() < Duration::from_secs(60));
    c.cmd("PING").status("PONG");
}

/// CVE-2023-22458, CVE-2023-25155: counts at the edge of what fits.
#[test]
fn random_members_by_the_most_negative_count() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("SADD s a").is(1);
    c.cmd("ZADD z 1 a").is(1);
    c.cmd("HSET h a 1").is(1);
    for command in ["SRANDMEMBER s", "ZRANDMEMBER z", "HRANDFIELD h"] {
        c.cmd(&format!("{command} -9223372036854775808"))
            .error("ERR value is out of range");
        c.cmd(&format!("{command} 9223372036854775807")).is(["a"]);
    }
    for command in ["ZRANDMEMBER z", "HRANDFIELD h"] {
        for count in [
            "-9223372036854775808",
            "-4611686018427387905",
            "4611686018427387904",
        ] {
            c.cmd(&format!(
                "{command} {count} WITH{}",
                match &command[..1] {
                    "Z" => "SCORES",
                    _ => "VALUES",
                }
            ))
            .error("ERR value is out of range");
        }
    }
}

/// CVE-2023-28425, CVE-2023-28856: the same key twice, and a field that is not what it seems.
#[test]
fn msetnx_and_hincrbyfloat() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("MSETNX k 1 k 2 k 3").is(1);
    c.cmd("GET k").is("3");
    c.cmd("MSETEX 3 j 1 j 2 j 3 NX").is(1);
    c.cmd("HINCRBYFLOAT h f NaN").error("ERR");
    c.cmd("HINCRBYFLOAT h f inf").error("ERR");
    c.cmd("EXISTS h").is(0);
    c.cmd("HSET h f text").is(1);
    c.cmd("HINCRBYFLOAT h f 1")
        .error("ERR hash value is not a float");
    c.cmd("DEBUG RELOAD");
    c.cmd("HGET h f").is("text");
}

/// CVE-2023-36824, CVE-2023-41053: keys of requests with many of them, and of SORT_RO.
#[test]
fn keys_are_found_in_any_request() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    let keys: Vec<String> = (0..5000).map(|i| format!("k{i}")).collect();
    let count = keys.len().to_string();
    let mut words: Vec<&str> = ["COMMAND", "GETKEYS", "EVAL", "return 1", &count].to_vec();
    words.extend(keys.iter().map(String::as_str));
    assert_eq!(c.call(&words).items().len(), 5000);
    for request in [
        "EVAL x 2147483647 a",
        "EVAL x -1 a",
        "ZUNION 9223372036854775807 a",
        "ZUNIONSTORE d 4294967297 a",
        "MSETEX 4611686018427387905 a 1",
        "XREAD STREAMS a",
        "MIGRATE h 1 \"\" 0 1 KEYS",
        "SORT a STORE",
        "GEORADIUS a 1 1 1 m STORE",
    ] {
        c.cmd(&format!("COMMAND GETKEYS {request}"));
        c.cmd(&format!("COMMAND GETKEYSANDFLAGS {request}"));
        c.cmd(&format!("ACL DRYRUN default {request}"));
    }
    c.cmd("ACL SETUSER u on nopass ~own +@all").ok();
    c.cmd("ACL DRYRUN u SORT_RO secret")
        .is("User u has no permissions to access the 'secret' key");
    c.cmd("ACL DRYRUN u SORT_RO own").ok();
    c.cmd("AUTH u x").ok();
    c.cmd("SORT_RO secret").error("NOPERM");
    c.cmd("SORT_RO own BY secret*")
        .error("ERR BY option of SORT denied");
    c.cmd("SORT_RO own GET secret*")
        .error("ERR GET option of SORT denied");
    c.cmd("PING").status("PONG");
}

/// CVE-2024-31227, CVE-2024-51741: selectors without what should be in them.
#[test]
fn broken_selectors_are_refused() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    for rules in [
        "%", "%~", "%R", "(%)", "(%~)", "(%R)", "(", "()", "(()", "(~a", "%W~", "(%RW", "%%",
        "%RWR~a",
    ] {
        c.call(&["ACL", "SETUSER", "u", rules]);
        c.cmd("ACL LIST");
        c.cmd("ACL GETUSER u");
        c.cmd("ACL DRYRUN u get x");
    }
    c.cmd("PING").status("PONG");
}

/// CVE-2025-32023: a sparse HyperLogLog whose runs add up to more registers than there are.
#[test]
fn a_hyperloglog_stays_within_its_registers() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    let header = b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80";
    for runs in [
        b"\x7f\xff".repeat(40_000),
        b"\xff".repeat(70_000),
        [b"\x7f\xff".repeat(3), b"\xfc".repeat(9)].concat(),
        b"\x7f".to_vec(),
    ] {
        let value = [&header[..], &runs].concat();
        c.call(&[&b"SET"[..], b"h", &value]).ok();
        // Where the register is found, nothing behind it is looked at.
        c.cmd("PFADD h a b c");
        for command in ["PFCOUNT h", "PFMERGE d h", "PFCOUNT h d"] {
            c.cmd(command).error("INVALIDOBJ");
        }
    }
    c.cmd("PING").status("PONG");
}

/// CVE-2025-62507: XACKDEL and XDELEX with more ids than a small array holds.
#[test]
fn xackdel_takes_any_number_of_ids() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("XADD s 1-1 f v");
    c.cmd("XGROUP CREATE s g 0").ok();
    let ids: Vec<String> = (1..=3000).map(|i| format!("{i}-1")).collect();
    let count = ids.len().to_string();
    for start in [
        &["XACKDEL", "s", "g", "IDS", &count][..],
        &["XDELEX", "s", "IDS", &count],
    ] {
        let mut words = start.to_vec();
        words.extend(ids.iter().map(String::as_str));
        assert_eq!(c.call(&words).items().len(), 3000);
    }
}

/// CVE-2025-67733, kind of: text with line breaks where the protocol has room for one line.
#[test]
fn errors_and_states_are_one_line() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    for script in [
        "return redis.error_reply('a\\r\\n+forged')",
        "return {err='a\\r\\n+forged'}",
        "return {ok='a\\r\\n+forged'}",
        "return redis.status_reply('a\\r\\n+forged')",
        "error({err='a\\r\\n+forged'})",
        "error('a\\r\\n+forged')",
        "return redis.call('a\\r\\n+forged')",
    ] {
        c.call(&["EVAL", script, "0"]);
        c.cmd("ECHO next").is("next");
    }
    for words in [
        &["no\r\n+such"][..],
        &["CONFIG", "no\r\n+such"],
        &["ACL", "SETUSER", "u", "a\r\n+b"],
        &[
            "CLIENT", "TRACKING", "on", "BCAST", "PREFIX", "a\r\n", "PREFIX", "a\r\n+b",
        ],
        &["HELLO", "3", "a\r\n+b"],
        &["CONFIG", "SET", "a\r\n+b", "x"],
    ] {
        assert!(c.call(words).is_error(), "{words:?}");
        c.cmd("ECHO next").is("next");
    }
}

/// CVE-2025-67733, another kind of: the format of a verbatim string has three letters, and its length is counted.
#[test]
fn formats_of_verbatim_strings_have_three_letters() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("HELLO 3");
    for (format, reply) in [
        ("", "   :a"),
        ("t", "t  :a"),
        ("txt", "txt:a"),
        ("text", "tex:a"),
        ("ééé", "???:a"),
        ("\\r\\n", "\r\n :a"),
        ("\\255\\255\\255", "???:a"),
    ] {
        let script = format!("return {{verbatim_string = {{string = 'a', format = '{format}'}}}}");
        assert_eq!(c.call(&["EVAL", &script, "0"]).text(), reply, "{format}");
        c.cmd("ECHO next").is("next");
    }
}

/// CVE-2025-48367: connections that are gone before they are accepted; CVE-2025-46686 and CVE-2026-27623: requests that
/// never end or make no sense, before anybody has logged in.
#[test]
fn the_door_stays_open() {
    use std::io::Write;
    let server = Server::oxidis().config("requirepass pw\n").start();
    for i in 0..2000 {
        let mut stream =
            std::net::TcpStream::connect(("127.0.0.1", server.port())).expect("it listens");
        let bytes: &[u8] = match i % 8 {
            0 => b"*-2147483649\r\n",
            1 => b"*1\r\n$-1\r\n",
            2 => b"*0\r\n*-1\r\n*\r\n",
            3 => b"*1\r\n*1\r\n",
            4 => b"$5\r\nhello\r\n",
            5 => b"\r\n\r\n\0\0",
            6 => b"*10\r\n",
            _ => b"",
        };
        let _ = stream.write_all(bytes);
    }
    let mut c = server.client();
    c.cmd("AUTH pw").ok();
    c.cmd("PING").status("PONG");
}
