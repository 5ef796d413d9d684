//! Strings from outside.

use crate::support::{Reply, Server, has_to_live};

#[test]
fn set_obeys_its_conditions() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("SET k v1 XX").nil();
    c.cmd("SET k v1 NX").ok();
    c.cmd("SET k v2 NX").nil();
    c.cmd("SET k v2 XX GET").is("v1");
    c.cmd("SET k v3 NX GET").is("v2");
    c.cmd("SET k v3 IFEQ no").nil();
    c.cmd("SET k v3 IFEQ v2 GET").is("v2");
    c.cmd("SET k v4 IFNE v3").nil();
    c.cmd("SET new v IFNE v").ok();
    c.cmd("SET newer v IFEQ v").nil();
    c.cmd("EXISTS new newer").is(1);
    let digest = c.cmd("DIGEST k").text();
    c.cmd(&format!("SET k v4 IFDNE {digest}")).nil();
    c.cmd(&format!("SET k v4 IFDEQ {}", digest.to_uppercase()))
        .ok();
    c.cmd("SET k v5 IFDEQ abc")
        .error("ERR must be exactly 16 hexadecimal characters");
    c.cmd("SET k v NX XX").error("ERR syntax error");
    c.cmd("SET k v NX IFEQ x").error("ERR syntax error");
    c.cmd("SET k v EX 5 KEEPTTL").error("ERR syntax error");
    c.cmd("SET k v EX 0")
        .error("ERR invalid expire time in 'set' command");
    c.cmd("SET k v PX 9223372036854775807")
        .error("ERR invalid expire time in 'set' command");
    c.cmd("GET k").is("v4");
}

#[test]
fn several_keys_at_once() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("MSET a 1 b 2 a 3").ok();
    c.cmd("MGET a b c")
        .is(Reply::Array(vec!["3".into(), "2".into(), Reply::NilBulk]));
    c.cmd("MSETNX c 1 a 2").is(0);
    c.cmd("MSETNX c 1 d 2").is(1);
    c.cmd("MSET a 1 b")
        .error("ERR wrong number of arguments for 'mset' command");
    c.cmd("MSETEX 2 a x b y EX 100 XX").is(1);
    has_to_live(&mut c, "b", 100);
    c.cmd("MSETEX 2 a x e y NX").is(0);
    c.cmd("MSETEX 1 b z KEEPTTL").is(1);
    has_to_live(&mut c, "b", 100);
    c.cmd("MSETEX 1 b z").is(1);
    c.cmd("TTL b").is(-1);
    c.cmd("MSETEX 0 a 1").error("ERR invalid numkeys value");
    c.cmd("MSETEX 2147483647 a 1")
        .error("ERR wrong number of key-value pairs");
    c.cmd("MSETEX 1 a 1 GET").error("ERR syntax error");
}

#[test]
fn increx_counts_within_bounds() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    let pair = |new: i64, added: i64| Reply::Array(vec![new.into(), added.into()]);
    c.cmd("INCREX n").is(pair(1, 1));
    c.cmd("INCREX n BYINT 10 UBOUND 5").is(pair(1, 0));
    c.cmd("INCREX n BYINT 10 UBOUND 5 SATURATE").is(pair(5, 4));
    c.cmd("INCREX n EX 100 ENX").is(pair(6, 1));
    c.cmd("INCREX n EX 500 ENX").is(pair(7, 1));
    has_to_live(&mut c, "n", 100);
    c.cmd("INCREX n BYFLOAT 0.5").is(["7.5", "0.5"]);
    c.cmd("INCREX n").error("ERR value is not an integer");
    c.cmd("INCREX n BYINT 1 LBOUND 5 UBOUND 1")
        .error("ERR LBOUND can't be greater than UBOUND");
    c.cmd("INCREX n ENX")
        .error("ERR ENX flag requires an expiration");
    c.cmd("INCREX n BYINT 1 BYINT 2").error("ERR syntax error");
    c.cmd("INCREX n EXAT 1 BYFLOAT 1").is(["8.5", "1"]);
    c.cmd("EXISTS n").is(0);
    c.cmd("HELLO 3");
    c.cmd("INCREX f BYFLOAT 2.5").is(Reply::Array(vec![
        Reply::Double(b"2.5".into()),
        Reply::Double(b"2.5".into()),
    ]));
}

#[test]
fn the_longest_common_subsequence_is_bounded_in_memory() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("MSET a ohmytext b mynewtext").ok();
    c.cmd("LCS a b").is("mytext");
    c.cmd("LCS a b LEN").is(6);
    c.cmd("LCS a b LEN IDX")
        .error("ERR If you want both the length and indexes, please just use IDX.");
    c.call(&[b"SET", b"long".as_slice(), &[b'x'; 20_000]]).ok();
    c.call(&[b"SET", b"longer".as_slice(), &[b'x'; 20_000]])
        .ok();
    c.cmd("LCS long longer LEN")
        .error("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
}

/// Values around the sizes at which they change their place: inline, counted, read straight from the socket.
#[test]
fn values_of_every_size_come_back() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    for len in [
        0, 1, 20, 44, 45, 191, 192, 193, 16_383, 16_384, 32_767, 32_768, 65_536, 300_000,
    ] {
        let value: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        c.call(&[b"SET".as_slice(), b"k", &value]).ok();
        assert_eq!(c.cmd("GET k").bytes(), value, "{len} bytes");
        c.cmd("STRLEN k").is(len as i64);
        c.cmd("APPEND k tail").is(len as i64 + 4);
        c.cmd("GETRANGE k -4 -1").is("tail");
        c.cmd("COPY k copy REPLACE").is(1);
        c.cmd("SETRANGE k 0 HEAD").is((len as i64 + 4).max(4));
        c.cmd("GETRANGE copy -4 -1").is("tail");
        // An end before the first byte is the first byte.
        if len > 0 {
            assert_eq!(c.cmd("GETRANGE copy 0 -5").bytes(), value, "{len} bytes");
        }
        c.cmd("OBJECT ENCODING k").is("raw");
    }
    c.cmd("SETRANGE new 200 x").is(201);
    c.cmd("SETRANGE new 536870911 xy")
        .error("ERR string exceeds maximum allowed size");
    c.cmd("SETRANGE new -1 x")
        .error("ERR offset is out of range");
}
