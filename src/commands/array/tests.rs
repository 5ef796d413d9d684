//! Tests: replies and errors of the array commands, and the commands that they propagate.

use super::super::tests::Server;
use crate::resp::Value;

/// A reply on one line: `-` is nothing, `[…]` an array.
fn shown(reply: &Value) -> String {
    match reply {
        Value::Null => "-".into(),
        Value::Integer(n) => n.to_string(),
        Value::Error(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(shown).collect();
            format!("[{}]", items.join(" "))
        }
        other => match other.as_bytes() {
            Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            None => format!("{other:?}"),
        },
    }
}

fn transcript(lines: &[(&str, &str)]) {
    let mut server = Server::new();
    for (line, answer) in lines {
        assert_eq!(shown(&server.run(line)), *answer, "{line}");
    }
}

#[test]
fn values_come_and_go() {
    transcript(&[
        ("ARSET a 0 hello", "1"),
        ("ARSET a 0 world", "0"),
        ("ARSET a 1 12345 3.14159 abc", "3"),
        ("ARGETRANGE a 0 5", "[world 12345 3.14159 abc - -]"),
        ("ARGETRANGE a 3 1", "[abc 3.14159 12345]"),
        ("ARGETRANGE nothing 0 1", "[- -]"),
        ("ARMSET a 100 x 1 y", "1"),
        ("ARMGET a 100 1 7", "[x y -]"),
        ("ARLEN a", "101"),
        ("ARCOUNT a", "5"),
        ("ARDEL a 1 1 50", "1"),
        ("ARDELRANGE a 200 3 2 2", "3"),
        ("ARSCAN a 0 18446744073709551614", "[[0 world]]"),
        ("TYPE a", "array"),
        ("OBJECT ENCODING a", "sliced-array"),
        ("ARDEL a 0", "1"),
        ("EXISTS a", "0"),
        ("ARLEN a", "0"),
        ("ARSET a 18446744073709551614 x", "1"),
        ("ARLEN a", "18446744073709551615"),
    ]);
}

#[test]
fn what_is_wrong_is_refused_before_anything_happens() {
    transcript(&[
        ("SET s x", "OK"),
        (
            "ARSET s 0 x",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        (
            "ARGET s x",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        ("ARGET a -1", "ERR invalid array index"),
        ("ARGET a 18446744073709551615", "ERR invalid array index"),
        (
            "ARSET a 18446744073709551614 x y",
            "ERR array index overflow",
        ),
        (
            "ARMSET a 0 x 1",
            "ERR wrong number of arguments for 'armset' command",
        ),
        ("ARMSET a 0 x z y", "ERR invalid array index"),
        (
            "ARDELRANGE a 0",
            "ERR wrong number of arguments for 'ardelrange' command",
        ),
        (
            "ARGETRANGE a 0 1000000",
            "ERR range exceeds maximum of 1000000 items",
        ),
        ("ARSCAN a 0 1 LIMIT 0", "ERR LIMIT must be positive"),
        ("ARSCAN a 0 1 FOO 1", "ERR syntax error"),
        (
            "ARSCAN a 0 1 LIMIT",
            "ERR wrong number of arguments for 'arscan' command",
        ),
        ("ARRING a x y", "ERR invalid size"),
        ("ARRING a 0 y", "ERR size must be positive"),
        ("ARLASTITEMS a x", "ERR invalid COUNT"),
        ("ARINFO a", "ERR no such key"),
        ("ARINFO a HALF", "ERR syntax error"),
        ("AROP a 0 1 NONE", "ERR unknown operation"),
        ("AROP a 0 1 MATCH", "ERR MATCH requires a value argument"),
        (
            "AROP a 0 1 SUM 1",
            "ERR wrong number of arguments for 'arop' command",
        ),
        ("ARSEEK a 18446744073709551616", "ERR invalid array index"),
        ("EXISTS a", "0"),
    ]);
}

#[test]
fn insertions_follow_the_cursor() {
    transcript(&[
        ("ARNEXT a", "0"),
        ("ARSEEK a 5", "0"),
        ("ARINSERT a x", "0"),
        ("ARINSERT a y z", "2"),
        ("ARSEEK a 10", "1"),
        ("ARINSERT a w", "10"),
        ("ARNEXT a", "11"),
        ("ARLASTITEMS a 3", "[- - w]"),
        ("ARSEEK a 0", "1"),
        ("ARINSERT a v", "0"),
        ("ARLASTITEMS a 3 REV", "[v w -]"),
        ("ARSEEK a 18446744073709551615", "1"),
        ("ARNEXT a", "-"),
        ("ARINSERT a u", "ERR insert index overflow"),
        ("ARRING r 3 a", "0"),
        ("ARRING r 3 b c d", "0"),
        ("ARLASTITEMS r 9", "[b c d]"),
        ("ARRING r 4 e", "3"),
        ("ARGETRANGE r 0 3", "[b c d e]"),
        ("ARRING r 2 f", "0"),
        ("ARGETRANGE r 0 2", "[f e -]"),
    ]);
}

#[test]
fn searches_and_sums() {
    transcript(&[
        (
            "ARMSET a 0 RedisArray 1 redis-match 2 array-only 9 plain",
            "4",
        ),
        ("ARGREP a - + MATCH redis GLOB *array* AND NOCASE", "[0]"),
        (
            "ARGREP a + - MATCH a WITHVALUES LIMIT 2",
            "[[9 plain] [2 array-only]]",
        ),
        ("ARGREP a 0 2 EXACT plain EXACT array-only", "[2]"),
        ("ARGREP a - + RE ^(redis|array)-[a-z]{4,5}$", "[1 2]"),
        (
            "ARGREP a - + RE (",
            "ERR invalid regular expression: Missing ')'",
        ),
        (
            "ARGREP a - + RE (a)\\1",
            "ERR regular expression backreferences are not supported",
        ),
        ("ARGREP a - + LIMIT 1", "ERR syntax error"),
        ("ARGREP nothing - + MATCH x", "[]"),
        ("ARMSET n 0 10 1 20.5 2 x 3 -30", "4"),
        ("AROP n 0 9 SUM", "0.5"),
        ("AROP n 9 0 MIN", "-30"),
        ("AROP n 0 9 MAX", "20.5"),
        ("AROP n 0 1 AND", "0"),
        ("AROP n 0 1 OR", "30"),
        ("AROP n 0 1 XOR", "30"),
        ("AROP n 2 2 SUM", "-"),
        ("AROP n 0 9 USED", "4"),
        ("AROP n 0 9 MATCH x", "1"),
        ("AROP nothing 0 9 USED", "0"),
        ("AROP nothing 0 9 MIN", "-"),
    ]);
}

#[test]
fn commands_are_said_as_they_came_if_they_changed_anything() {
    let mut server = Server::new();
    let said = server.says(&[
        "ARSET a 3 x y",
        "ARDEL a 9",
        "ARRING a 2 z",
        "ARSEEK a 0",
        "ARSEEK b 0",
        "ARDELRANGE a 0 9",
    ]);
    assert_eq!(
        said,
        [
            "ARSET a 3 x y",
            "ARRING a 2 z",
            "ARSEEK a 0",
            "ARDELRANGE a 0 9"
        ]
    );
}

#[test]
fn payloads_hold_all_of_it() {
    let mut server = Server::new();
    server.run("ARMSET a 0 5 70 text 9000000 longer-than-seven 9000001 1.5");
    server.run("ARSEEK a 12");
    let Value::Bulk(payload) = server.run("DUMP a") else {
        panic!("a payload");
    };
    assert_eq!(payload[0], 28);
    let argv = [b"RESTORE", &b"b"[..], b"0", &payload];
    assert_eq!(shown(&server.call(&argv)), "OK");
    assert_eq!(shown(&server.run("ARNEXT b")), "12");
    assert_eq!(
        shown(&server.run("ARSCAN b 0 9000001")),
        shown(&server.run("ARSCAN a 0 9000001"))
    );
    let digests = server.run("DEBUG DIGEST-VALUE a b");
    let Value::Array(digests) = digests else {
        panic!("two digests");
    };
    assert_eq!(digests[0], digests[1]);
}
