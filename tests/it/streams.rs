//! Streams from outside: what neither the upstream suite nor Redis 7.0 knows, waiting, and what survives on disk.

use std::thread::sleep;
use std::time::Duration;

use crate::support::{Client, Server};

fn filled(c: &mut Client, entries: usize) {
    c.cmd("DEL s");
    for i in 1..=entries {
        c.cmd(&format!("XADD s {i}-0 n {i}"))
            .is(format!("{i}-0").as_str());
    }
}

#[test]
fn deleting_by_reference() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    filled(&mut c, 3);
    for group in ["g", "h"] {
        c.cmd(&format!("XGROUP CREATE s {group} 0")).ok();
    }
    c.cmd("XDELEX s IDS 2 1-0")
        .error("ERR The `numids` parameter must match the number of arguments");
    c.cmd("XDELEX s IDS 0 1-0")
        .error("ERR Number of IDs must be a positive integer");
    c.cmd("XDELEX s KEEPREF ACKED IDS 1 1-0")
        .error("ERR syntax error");
    // No consumer has read the entries, nor reached the ID of the one that does not exist.
    assert_eq!(
        c.cmd("XDELEX s ACKED IDS 3 1-0 9-9 0-5").to_string(),
        "[:2, :2, :2]"
    );
    for group in ["g", "h"] {
        c.cmd(&format!("XREADGROUP GROUP {group} c STREAMS s >"));
    }
    assert_eq!(
        c.cmd("XDELEX s ACKED IDS 2 0-5 9-9").to_string(),
        "[:-1, :2]"
    );
    assert_eq!(
        c.cmd("XACKDEL s g ACKED IDS 2 1-0 7-0").to_string(),
        "[:2, :-1]"
    );
    assert_eq!(c.cmd("XACKDEL s h ACKED IDS 1 1-0").to_string(), "[:1]");
    c.cmd("XLEN s").is(2);
    assert_eq!(c.cmd("XDELEX s DELREF IDS 1 2-0").to_string(), "[:1]");
    assert_eq!(c.cmd("XPENDING s g").items()[0].to_string(), ":1");
    assert_eq!(c.cmd("XACKDEL s g IDS 1 3-0").to_string(), "[:1]");
    c.cmd("XLEN s").is(0);
    assert_eq!(c.cmd("XPENDING s h").items()[0].to_string(), ":1");
}

/// With DELREF and ACKED `~` goes as far as `=`, entry by entry, as in Redis 8.6. The next node is looked at only after
/// one that could have gone as a whole.
#[test]
fn trims_that_look_at_references() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("CONFIG SET stream-node-max-entries 5").ok();
    let mut left = |pending: &[u32], unread: u32, line: &str| {
        c.cmd("DEL s");
        filled(&mut c, 12);
        if unread < 12 {
            c.cmd("XGROUP CREATE s g 0").ok();
            c.cmd(&format!(
                "XREADGROUP GROUP g c COUNT {} STREAMS s >",
                12 - unread
            ));
            for id in (1..=12).filter(|id| !pending.contains(id)) {
                c.cmd(&format!("XACK s g {id}-0"));
            }
        }
        let before: i64 = c.cmd("XLEN s").to_string()[1..].parse().expect("a length");
        let reply = c.cmd(line);
        let told = c.cmd("XRANGE s - +");
        let ids: Vec<String> = told
            .items()
            .iter()
            .map(|entry| entry.items()[0].text())
            .collect();
        reply.is(before - ids.len() as i64);
        let first = ids.iter().map(|id| id.trim_end_matches("-0").to_owned());
        first.collect::<Vec<String>>().join(" ")
    };
    let (none, all) = ([], "1 2 3 4 5 6 7 8 9 10 11 12");
    for (line, expected) in [
        ("XTRIM s MAXLEN ~ 9 KEEPREF", all),
        ("XTRIM s MAXLEN ~ 9 DELREF", "4 5 6 7 8 9 10 11 12"),
        ("XTRIM s MAXLEN ~ 6 ACKED", "7 8 9 10 11 12"),
        ("XTRIM s MINID ~ 8-0 DELREF", "8 9 10 11 12"),
        ("XTRIM s MINID ~ 3-0 LIMIT 3 ACKED", all),
        (
            "XTRIM s MINID ~ 3-0 LIMIT 5 ACKED",
            "3 4 5 6 7 8 9 10 11 12",
        ),
    ] {
        assert_eq!(left(&none, 12, line), expected, "{line}");
    }
    for (pending, line, expected) in [
        (&[3, 5][..], "XTRIM s MAXLEN ~ 6 ACKED", "3 5 9 10 11 12"),
        (&[3, 5], "XTRIM s MAXLEN = 9 ACKED", "3 5 6 7 8 9 10 11 12"),
        (&[3, 5], "XTRIM s MINID 8-0 ACKED", "3 5 8 9 10 11 12"),
        (&[1, 2, 3, 4, 5], "XTRIM s MAXLEN ~ 9 ACKED", all),
        (
            &[1, 2, 3, 4, 5],
            "XTRIM s MAXLEN ~ 7 ACKED",
            "1 2 3 4 5 10 11 12",
        ),
    ] {
        assert_eq!(left(pending, 3, line), expected, "{line}");
    }
}

#[test]
fn given_back_and_claimed() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    filled(&mut c, 3);
    c.cmd("XGROUP CREATE s g 0").ok();
    c.cmd("XREADGROUP GROUP g a STREAMS s >");
    c.cmd("XNACK s g FAIL IDS 2 1-0 8-0").is(1);
    c.cmd("XNACK s g FATAL IDS 1 2-0").is(1);
    c.cmd("XNACK s none FAIL IDS 1 2-0")
        .error("NOGROUP No such key 's' or consumer group 'none'");
    let pending = c.cmd("XPENDING s g - + 10").to_string();
    assert!(pending.contains("[\"1-0\", \"\", :-1, :1]"), "{pending}");
    assert!(pending.contains(&i64::MAX.to_string()), "{pending}");
    // Entries given back come at once, whatever the idle time; new ones follow.
    c.cmd("XADD s 4-0 n 4").is("4-0");
    let read = c
        .cmd("XREADGROUP GROUP g b COUNT 3 CLAIM 100000 STREAMS s >")
        .to_string();
    assert!(
        read.contains("[\"1-0\", [\"n\", \"1\"], :-1, :1]"),
        "{read}"
    );
    assert!(read.contains("[\"4-0\", [\"n\", \"4\"], :0, :0]"), "{read}");
    assert!(!read.contains("3-0"), "{read}");
    let pending = c.cmd("XPENDING s g - + 10 b").to_string();
    assert!(
        pending.contains("1-0") && pending.contains("4-0"),
        "{pending}"
    );
}

#[test]
fn a_claim_waits_until_something_is_old_enough() {
    let server = Server::oxidis().start();
    let (mut c, mut waiting) = (server.client(), server.client());
    filled(&mut c, 1);
    c.cmd("XGROUP CREATE s g 0").ok();
    c.cmd("XREADGROUP GROUP g a STREAMS s >");
    let request = "*11\r\n$10\r\nXREADGROUP\r\n$5\r\nGROUP\r\n$1\r\ng\r\n$1\r\nb\r\n$5\r\nCLAIM\r\n$3\r\n200\r\n\
                   $5\r\nBLOCK\r\n$4\r\n5000\r\n$7\r\nSTREAMS\r\n$1\r\ns\r\n$1\r\n>\r\n";
    waiting.send(request.as_bytes()).expect("taken");
    sleep(Duration::from_millis(20));
    c.cmd("XLEN s").is(1);
    let read = waiting.read().expect("an answer").to_string();
    assert!(read.contains("1-0"), "{read}");
}

#[test]
fn producers_say_it_once() {
    let server = Server::oxidis()
        .args(["--enable-debug-command", "yes"])
        .start();
    let mut c = server.client();
    let first = c.cmd("XADD s IDMP p one * n 1").text();
    c.cmd("XADD s IDMP p one * n 2").is(first.as_str());
    let auto = c.cmd("XADD s IDMPAUTO q * a 1 b 2").text();
    c.cmd("XADD s IDMPAUTO q * b 2 a 1").is(auto.as_str());
    c.cmd("XLEN s").is(2);
    c.cmd("XADD s IDMP p one 5-5 n 1")
        .error("ERR syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs");
    c.cmd("XCFGSET s")
        .error("ERR At least one parameter must be specified");
    c.cmd("DEBUG RELOAD").ok();
    c.cmd("XADD s IDMP p one * n 3").is(first.as_str());
    c.cmd(&format!("XIDMPRECORD s p one {first}")).ok();
    c.cmd(&format!("XIDMPRECORD s p one {auto}")).error(
        "ERR The specified IDMP producer-id/idempotent-id pair maps to a different stream ID",
    );
    // Another limit begins with nothing.
    c.cmd("XCFGSET s IDMP-MAXSIZE 1").ok();
    c.cmd("XADD s IDMP p two * n 4");
    c.cmd("XADD s IDMP p three * n 5");
    let told = c.cmd("XINFO STREAM s").to_string();
    for part in [
        "\"idmp-maxsize\", :1",
        "\"iids-tracked\", :1",
        "\"iids-added\", :4",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
}

#[test]
fn less_than_all_is_read() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    for key in ["s", "t"] {
        for i in 1..=5 {
            c.cmd(&format!("XADD {key} {i}-0 n {i}"));
        }
    }
    let read = c
        .cmd("XREAD COUNT 3 MAXCOUNT 4 STREAMS s t 0 0")
        .to_string();
    assert_eq!(read.matches("-0").count(), 4, "{read}");
    let read = c.cmd("XREAD MAXSIZE 1 STREAMS s t 0 0").to_string();
    assert_eq!(read.matches("-0").count(), 1, "{read}");
}

#[test]
fn payloads_hold_all_of_it() {
    let server = Server::oxidis()
        .args(["--enable-debug-command", "yes"])
        .start();
    let mut c = server.client();
    filled(&mut c, 250);
    c.cmd("XADD s IDMP p one * n 1");
    c.cmd("XGROUP CREATE s g 0").ok();
    c.cmd("XREADGROUP GROUP g a COUNT 120 STREAMS s >");
    c.cmd("XREADGROUP GROUP g b COUNT 5 STREAMS s >");
    c.cmd("XDEL s 3-0 7-0").is(2);
    c.cmd("XNACK s g FAIL IDS 1 9-0").is(1);
    let before = c.cmd("XINFO STREAM s FULL COUNT 0").to_string();
    let payload = c.cmd("DUMP s");
    c.call(&[b"RESTORE".as_slice(), b"copy", b"0", payload.bytes()])
        .ok();
    assert_eq!(c.cmd("XINFO STREAM copy FULL COUNT 0").to_string(), before);
    c.cmd("COPY s other").is(1);
    c.cmd("XADD other * n 2");
    assert_eq!(c.cmd("XINFO STREAM s FULL COUNT 0").to_string(), before);
    c.cmd("DEBUG RELOAD").ok();
    assert_eq!(c.cmd("XINFO STREAM s FULL COUNT 0").to_string(), before);
}
