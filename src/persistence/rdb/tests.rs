//! What goes out comes back in; what Redis wrote is read; no bytes do harm.

use super::load::{Item, Loader};
use super::read_value::{self, Limits, Reading};
use super::*;
use crate::background::Job;
use crate::config::Config;
use crate::keyspace::{DbId, Keyspace, NewValue, ValueRef};
use crate::util::rng::Rng;

fn reading(deep: bool) -> Reading {
    Reading {
        deep,
        limits: Limits::of(&Config::default(), 1),
    }
}

#[test]
fn lengths_round_trip() {
    let all = [
        0,
        1,
        63,
        64,
        16_383,
        16_384,
        0xFFFF_FFFF,
        0x1_0000_0000,
        u64::MAX,
    ];
    let mut enc = Encoder::to_memory(false);
    all.iter().for_each(|n| enc.length(*n));
    let bytes = enc.into_bytes();
    assert_eq!(bytes.len(), 1 + 1 + 1 + 2 + 2 + 5 + 5 + 9 + 9);
    let mut dec = Decoder::from_slice(&bytes);
    for n in all {
        assert_eq!(dec.length().expect("written above"), n);
    }
    assert!(dec.is_at_end());
}

#[test]
fn strings_round_trip_in_every_form() {
    let long = b"abcdefgh".repeat(100);
    let noise: Vec<u8> = (0..5000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let all: [&[u8]; 12] = [
        b"",
        b"a",
        b"12",
        b"-129",
        b"70000",
        b"-2147483648",
        b"2147483648",
        b"012",
        b"+1",
        b"-0",
        &long,
        &noise,
    ];
    for compress in [false, true] {
        let mut enc = Encoder::to_memory(compress);
        all.iter().for_each(|s| enc.string(s));
        let bytes = enc.into_bytes();
        assert_eq!(bytes.len() < 5500, compress);
        let mut dec = Decoder::from_slice(&bytes);
        for s in all {
            assert_eq!(dec.string().expect("written above"), s);
        }
    }
}

/// As Redis 7.0.15 writes it: `SET key 10`, `PEXPIREAT key 1700000000000`, in database 3.
fn sample() -> Vec<u8> {
    let mut keyspace = Keyspace::new(16, false, 1);
    let db = &mut keyspace[DbId(3)];
    db.set(b"key", NewValue::Int(10), Some(1_700_000_000_000));
    db.set(b"text", NewValue::Bytes(&b"x".repeat(1000)), None);
    keyspace[DbId(0)].set(b"0", NewValue::Bytes(b"zero"), None);
    let options = save::Options {
        version: VERSION,
        compress: true,
        checksum: true,
        redis_version: "7.4.0",
        functions: vec![b"#!lua name=x".to_vec()],
        ..save::Options::default()
    };
    let mut out = Vec::new();
    let saved = save::save(keyspace.snapshot(), &options, &mut out, &Job::default());
    assert_eq!(saved.expect("memory does not fail"), out.len() as u64);
    out
}

fn load(bytes: &[u8], deep: bool) -> Result<Vec<String>, Error> {
    let dec = Decoder::new(bytes, Some(bytes.len() as u64), true);
    let mut loader = Loader::new(dec, reading(deep))?;
    let mut said = Vec::new();
    loop {
        match loader.next()? {
            Item::End(_) => return Ok(said),
            item => said.extend(told(&item)),
        }
    }
}

/// A key or a function in words.
fn told(item: &Item<'_>) -> Option<String> {
    match item {
        Item::Key(key) => {
            let value = match &key.value {
                NewValue::Int(n) => n.to_string(),
                NewValue::Bytes(b) | NewValue::RawBytes(b) => String::from_utf8_lossy(b).into(),
                NewValue::Big(b) => String::from_utf8_lossy(b).into(),
                NewValue::Object(v) => v.encoding().to_owned(),
            };
            let name = String::from_utf8_lossy(key.key);
            Some(format!("{}:{name}={value}:{:?}", key.db.0, key.deadline))
        }
        Item::Function(code) => Some(String::from_utf8_lossy(code).into()),
        _ => None,
    }
}

/// As [`load`], from pieces that come one after the other, and perhaps no end.
fn load_pieces<'p>(
    pieces: impl Iterator<Item = &'p [u8]>,
    ends: bool,
) -> Result<Vec<String>, Error> {
    let mut loader = Loader::fed(Decoder::fed(true), reading(true));
    let mut said = Vec::new();
    let mut pieces = pieces.map(Some).chain(ends.then_some(None));
    loop {
        let error = match loader.next() {
            Ok(Item::End(_)) => return Ok(said),
            Ok(item) => {
                said.extend(told(&item));
                continue;
            }
            Err(error) => error,
        };
        if !matches!(error.reason, Reason::Starved) {
            return Err(error);
        }
        loader.begin_item_again();
        loop {
            match pieces.next() {
                Some(piece) if loader.feed(piece) => break,
                Some(_) => {}
                None => return Err(error),
            }
        }
    }
}

#[test]
fn a_file_that_comes_in_pieces_is_the_same_file() {
    let bytes = sample();
    let whole = load(&bytes, true).expect("whole");
    for size in [1, 2, 7, 64, 1000, bytes.len()] {
        let said = load_pieces(bytes.chunks(size), true).expect("all came");
        assert_eq!(said, whole, "pieces of {size}");
    }
    let mut rng = Rng::new(11);
    for _ in 0..200 {
        let (mut rest, mut pieces) = (&bytes[..], Vec::new());
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(rest.len().min(1 + rng.below(40) as usize));
            pieces.push(piece);
            rest = later;
        }
        let said = load_pieces(pieces.into_iter(), true).expect("all came");
        assert_eq!(said, whole);
    }
}

#[test]
fn the_end_of_what_comes_in_pieces_is_seen() {
    let bytes = sample();
    for end in 0..bytes.len() {
        let error = load_pieces(bytes[..end].chunks(16), true).expect_err("cut off");
        assert!(matches!(error.reason, Reason::ShortRead), "{end}: {error}");
        let error = load_pieces(bytes[..end].chunks(16), false).expect_err("not all there");
        assert!(matches!(error.reason, Reason::Starved), "{end}: {error}");
    }
    let mut broken = bytes.clone();
    *broken.last_mut().expect("not empty") ^= 1;
    let error = load_pieces(broken.chunks(16), true).expect_err("another checksum");
    assert!(matches!(error.reason, Reason::Checksum { .. }), "{error}");
    // Whatever comes behind the end is no RDB, and not kept until it ends.
    let longer = [&bytes[..], &b"more".repeat(100)].concat();
    for ends in [false, true] {
        let error = load_pieces(longer.chunks(16), ends).expect_err("too long");
        assert!(matches!(error.reason, Reason::Corrupt(_)), "{error}");
    }
}

#[test]
fn a_file_round_trips() {
    let mut said = load(&sample(), true).expect("whole");
    said.sort();
    let text = "x".repeat(1000);
    assert_eq!(
        said,
        [
            "#!lua name=x".to_owned(),
            "0:0=zero:None".to_owned(),
            "3:key=10:Some(1700000000000)".to_owned(),
            format!("3:text={text}:None"),
        ]
    );
}

#[test]
fn a_wrong_checksum_is_told() {
    let mut bytes = sample();
    *bytes.last_mut().expect("not empty") ^= 1;
    let error = load(&bytes, false).expect_err("changed");
    assert!(matches!(error.reason, Reason::Checksum { .. }));
    let end = bytes.len();
    bytes[end - 8..].fill(0);
    load(&bytes, false).expect("0 means: none was computed");
}

#[test]
fn every_cut_and_every_flip_is_survived() {
    let bytes = sample();
    for end in 0..bytes.len() {
        assert!(load(&bytes[..end], true).is_err(), "cut at {end}");
    }
    let mut rng = Rng::new(7);
    for _ in 0..20_000 {
        let mut bytes = bytes.clone();
        for _ in 0..=rng.below(3) {
            let at = rng.below(bytes.len() as u64) as usize;
            bytes[at] = rng.next_u64() as u8;
        }
        // Anything but a panic.
        let _ = load(&bytes, rng.below(2) == 0);
    }
}

#[test]
fn random_payloads_do_no_harm() {
    let mut rng = Rng::new(11);
    for round in 0..60_000u64 {
        let ty = (round % 26) as u8;
        let mut payload = vec![ty];
        for _ in 0..rng.below(64) {
            // Small numbers make lengths that fit.
            let byte = match rng.below(3) {
                0 => rng.below(8) as u8,
                1 => rng.below(64) as u8,
                _ => rng.next_u64() as u8,
            };
            payload.push(byte);
        }
        let mut dec = Decoder::from_slice(&payload[1..]);
        let Some(ty) = Type::from_byte(ty) else {
            continue;
        };
        let mut scratch = Vec::new();
        let _ = read_value::read(&mut dec, ty, &reading(round % 2 == 0), &mut scratch);
    }
}

#[test]
fn payloads_round_trip_and_are_verified() {
    let mut keyspace = Keyspace::new(1, false, 1);
    let db = &mut keyspace[DbId(0)];
    db.set(b"n", NewValue::Int(-5), None);
    let entry = db.peek_raw(b"n").expect("set above");
    let payload = dump::dump(entry.value(), VERSION, true).expect("a string");
    // What Redis 7 says of -5, but for its version.
    assert_eq!(payload[..2], [0, 0xC0]);
    assert!(dump::is_intact(&payload, false));
    let mut scratch = Vec::new();
    let (value, remark) = dump::restore(&payload, &reading(true), &mut scratch);
    assert_eq!(remark, None);
    let value = value.expect("intact");
    assert!(matches!(value, NewValue::Int(-5)));
    let mut broken = payload.clone();
    broken[1] ^= 0x10;
    assert!(!dump::is_intact(&broken, false));
    assert!(dump::is_intact(&broken, true));
    assert!(!dump::is_intact(b"short", true));
    let _ = ValueRef::<'_>::as_string(entry.value());
}

#[test]
fn a_cancelled_save_says_so() {
    let mut keyspace = Keyspace::new(1, false, 1);
    keyspace[DbId(0)].set(b"n", NewValue::Int(1), None);
    let job = Job::default();
    job.cancel();
    let options = save::Options {
        version: VERSION,
        ..save::Options::default()
    };
    let saved = save::save(keyspace.snapshot(), &options, &mut Vec::new(), &job);
    assert!(matches!(
        saved.expect_err("cancelled").reason,
        Reason::Cancelled
    ));
}

#[test]
fn names_of_modules_are_in_their_numbers() {
    // "testrdb__" and version 1, as redis-check-rdb prints it.
    assert_eq!(module_name(u64::MAX), "_________");
    assert_eq!(module_name(0), "AAAAAAAAA");
}
