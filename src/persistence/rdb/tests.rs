//! Round trips, files of real Redis, and hostile bytes: values that are written are read back, files that Redis wrote
//! are read, and no bytes do harm.

use super::load::{Item, Loader};
use super::read_value::{self, Limits, Reading};
use super::template::Templates;
use super::*;
use crate::background::Job;
use crate::collections::listpack::Listpack;
use crate::config::Config;
use crate::keyspace::{DbId, Keyspace, NewValue, ValueRef};
use crate::types::{Hash, Held};
use crate::util::crc64::crc64;
use crate::util::num::IntBuf;
use crate::util::rng::Rng;

fn reading(deep: bool) -> Reading {
    Reading {
        deep,
        limits: Limits::of(&Config::default(), 1),
        foreign: false,
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
    let mut keyspace = Keyspace::new(16, false, 1, 1);
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
                NewValue::Object(v) => match Hash::of(v) {
                    Some(hash) => contents(hash),
                    None => v.encoding().to_owned(),
                },
            };
            let name = String::from_utf8_lossy(key.key);
            Some(format!("{}:{name}={value}:{:?}", key.db.0, key.deadline))
        }
        Item::Function(code) => Some(String::from_utf8_lossy(code).into()),
        _ => None,
    }
}

/// A hash in words.
fn contents(hash: &Hash) -> String {
    let mut fields: Vec<String> = hash
        .iter()
        .map(|field| {
            let (mut name, mut value) = (IntBuf::new(), IntBuf::new());
            let (name, value) = (
                field.name.as_bytes(&mut name),
                field.value.as_bytes(&mut value),
            );
            format!("{}={}", name.escape_ascii(), value.escape_ascii())
        })
        .collect();
    fields.sort();
    format!("{}[{}]", hash.encoding(), fields.join(" "))
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
    for bytes in [sample(), templated()] {
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
}

#[test]
fn the_end_of_what_comes_in_pieces_is_seen() {
    for bytes in [sample(), templated()] {
        for end in 0..bytes.len() {
            let error = load_pieces(bytes[..end].chunks(16), true).expect_err("cut off");
            assert!(matches!(error.reason, Reason::ShortRead), "{end}: {error}");
            let error = load_pieces(bytes[..end].chunks(16), false).expect_err("not all there");
            assert!(matches!(error.reason, Reason::Starved), "{end}: {error}");
        }
    }
    let bytes = sample();
    let mut broken = bytes.clone();
    *broken.last_mut().expect("not empty") ^= 1;
    let error = load_pieces(broken.chunks(16), true).expect_err("another checksum");
    assert!(matches!(error.reason, Reason::Checksum { .. }), "{error}");
    // Bytes behind the end are no part of the RDB: they are refused at once, not kept until the connection ends.
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
    let samples = [sample(), templated()];
    for bytes in &samples {
        for end in 0..bytes.len() {
            assert!(load(&bytes[..end], true).is_err(), "cut at {end}");
        }
    }
    let mut rng = Rng::new(7);
    for round in 0..40_000 {
        let mut bytes = samples[round % 2].clone();
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
        let ty = (round % 34) as u8;
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
        let reading = reading(rng.below(2) == 0);
        let _ = read_value::read(&mut dec, ty, &reading, &Templates::default(), &mut scratch);
    }
}

#[test]
fn payloads_round_trip_and_are_verified() {
    let mut keyspace = Keyspace::new(1, false, 1, 1);
    let db = &mut keyspace[DbId(0)];
    db.set(b"n", NewValue::Int(-5), None);
    let entry = db.peek_raw(b"n").expect("set above");
    let payload = dump::dump(entry.value(), VERSION, true).expect("a string");
    // The bytes that Redis 7 writes for -5, apart from the version.
    assert_eq!(payload[..2], [0, 0xC0]);
    assert!(dump::is_intact(&payload, false));
    let mut scratch = Vec::new();
    let (value, remark) = dump::restore(&payload, &reading(true), &mut scratch);
    assert_eq!(remark, None);
    let value = value.expect("intact");
    assert!(matches!(value.value, NewValue::Int(-5)));
    let mut broken = payload.clone();
    broken[1] ^= 0x10;
    assert!(!dump::is_intact(&broken, false));
    assert!(dump::is_intact(&broken, true));
    assert!(!dump::is_intact(b"short", true));
    let _ = ValueRef::<'_>::as_string(entry.value());
}

#[test]
fn a_cancelled_save_says_so() {
    let mut keyspace = Keyspace::new(1, false, 1, 1);
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

// -------------------------------------------------------------------------------------------- version 15

/// A file of version 15.
fn file(build: impl FnOnce(&mut Encoder<'_>)) -> Vec<u8> {
    let mut enc = Encoder::to_memory(false);
    enc.raw(b"REDIS0015");
    build(&mut enc);
    enc.byte(opcode::EOF);
    let sum = enc.checksum();
    enc.raw(&sum.to_le_bytes());
    enc.into_bytes()
}

/// A payload of version 15, without a checksum.
fn payload(ty: Type, build: impl FnOnce(&mut Encoder<'_>)) -> Vec<u8> {
    let mut enc = Encoder::to_memory(false);
    enc.byte(ty as u8);
    build(&mut enc);
    enc.raw(&[15, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    enc.into_bytes()
}

fn names(enc: &mut Encoder<'_>, names: &[&str]) {
    enc.length(names.len() as u64);
    names.iter().for_each(|name| enc.string(name.as_bytes()));
}

fn template(enc: &mut Encoder<'_>, id: u64, fields: &[&str]) {
    enc.byte(opcode::HASH_TEMPLATE);
    enc.length(id);
    names(enc, fields);
}

/// An entry that spells a number becomes one, as in every listpack.
fn packed(enc: &mut Encoder<'_>, entries: &[&str]) {
    let listpack = Listpack::from_entries(entries.iter().map(|entry| entry.as_bytes()));
    enc.string(listpack.as_bytes());
}

fn packed_key(enc: &mut Encoder<'_>, key: &str, id_and_values: &[&str]) {
    enc.byte(Type::HashTemplateListpackRef as u8);
    enc.string(key.as_bytes());
    packed(enc, id_and_values);
}

fn array_key(enc: &mut Encoder<'_>, key: &str, id: u64, values: &[&str]) {
    enc.byte(Type::HashTemplateArrayRef as u8);
    enc.string(key.as_bytes());
    enc.length(id);
    values.iter().for_each(|value| enc.string(value.as_bytes()));
}

/// Templates, and hashes that refer to them.
fn templated() -> Vec<u8> {
    let long = "v".repeat(65);
    file(|enc| {
        template(enc, 7, &["b", "12", "a-1"]);
        template(enc, u64::MAX - 1, &["", "x"]);
        enc.byte(opcode::EXPIRETIME_MS);
        enc.millis(1_700_000_000_000);
        packed_key(enc, "packed", &["7", "1", "two", "-300"]);
        packed_key(enc, "packed, long", &["7", "1", &long, "3"]);
        array_key(enc, "array", u64::MAX - 1, &["1", "two"]);
        array_key(enc, "array, long", 7, &["1", &long, "3"]);
        packed_key(enc, "of a large number", &["-2", "5", ""]);
        // The format does not say that all templates come first.
        template(enc, 0, &["f"]);
        packed_key(enc, "later", &["0", "0"]);
    })
}

#[test]
fn hashes_that_share_a_template_are_ordinary_ones() {
    let long = "v".repeat(65);
    let wanted = [
        "0:packed=listpack[12=two a-1=-300 b=1]:Some(1700000000000)".to_owned(),
        format!("0:packed, long=hashtable[12={long} a-1=3 b=1]:None"),
        "0:array=listpack[=1 x=two]:None".to_owned(),
        format!("0:array, long=hashtable[12={long} a-1=3 b=1]:None"),
        "0:of a large number=listpack[=5 x=]:None".to_owned(),
        "0:later=listpack[f=0]:None".to_owned(),
    ];
    for deep in [false, true] {
        assert_eq!(load(&templated(), deep).expect("sound"), wanted);
    }
}

#[test]
fn large_hashes_with_templates_are_tables() {
    let all: Vec<String> = (1000..2000).map(|n| n.to_string()).collect();
    let mut all: Vec<&str> = all.iter().map(String::as_str).collect();
    let bytes = file(|enc| {
        template(enc, 1, &all);
        array_key(enc, "array", 1, &all);
        all.insert(0, "1");
        packed_key(enc, "packed", &all);
    });
    let same: Vec<String> = (1000..2000).map(|n| format!("{n}={n}")).collect();
    let same = format!("hashtable[{}]:None", same.join(" "));
    let said = load(&bytes, true).expect("sound");
    assert_eq!(
        said,
        [format!("0:array={same}"), format!("0:packed={same}")]
    );
}

#[test]
fn payloads_bring_the_fields_of_their_template() {
    let fields = ["b", "12", "a-1"];
    let values = ["1", "two", "-300"];
    let all = [
        payload(Type::HashTemplateListpack, |enc| {
            enc.length(0);
            packed(enc, &fields);
            packed(enc, &["99", "1", "two", "-300"]);
        }),
        payload(Type::HashTemplateListpack, |enc| {
            enc.length(1);
            names(enc, &fields);
            packed(enc, &["-1", "1", "two", "-300"]);
        }),
        payload(Type::HashTemplateListpack, |enc| {
            enc.length(1);
            names(enc, &fields);
            packed(enc, &values);
        }),
        payload(Type::HashTemplateArray, |enc| {
            enc.length(0);
            packed(enc, &fields);
            values.iter().for_each(|value| enc.string(value.as_bytes()));
        }),
        payload(Type::HashTemplateArray, |enc| {
            enc.length(1);
            names(enc, &fields);
            values.iter().for_each(|value| enc.string(value.as_bytes()));
        }),
    ];
    let mut rng = Rng::new(5);
    for payload in &all {
        assert!(dump::is_intact(payload, false));
        for deep in [false, true] {
            let hash = restored(payload, deep).expect("sound");
            assert_eq!(hash, "listpack[12=two a-1=-300 b=1]");
        }
        // A file may hold them as well.
        let in_file = file(|enc| {
            enc.byte(payload[0]);
            enc.string(b"k");
            enc.raw(&payload[1..payload.len() - 10]);
        });
        let said = load(&in_file, true).expect("sound");
        assert_eq!(said, ["0:k=listpack[12=two a-1=-300 b=1]:None"]);
        for _ in 0..10_000 {
            let mut payload = payload.clone();
            let body = payload.len() - 10;
            for _ in 0..=rng.below(3) {
                payload[rng.below(body as u64) as usize] = rng.next_u64() as u8;
            }
            // Anything but a panic.
            let _ = restored(&payload, rng.below(2) == 0);
        }
    }
}

/// The hash of a payload in words.
fn restored(payload: &[u8], deep: bool) -> Result<String, Error> {
    let mut scratch = Vec::new();
    match dump::restore(payload, &reading(deep), &mut scratch)
        .0?
        .value
    {
        NewValue::Object(value) => Ok(Hash::of(&value).map(contents).unwrap_or_default()),
        _ => Ok(String::new()),
    }
}

#[test]
fn what_templates_cannot_be_is_told() {
    type Build = fn(&mut Encoder<'_>);
    let files: [(&str, Build); 15] = [
        ("without fields", |enc| template(enc, 1, &[])),
        ("Duplicate hash template", |enc| {
            template(enc, 1, &["a"]);
            template(enc, 1, &["a"]);
        }),
        ("out of order", |enc| template(enc, 1, &["b", "a"])),
        ("out of order", |enc| template(enc, 1, &["a", "a"])),
        // Shorter ones come first.
        ("out of order", |enc| template(enc, 1, &["aa", "b"])),
        ("unknown template", |enc| packed_key(enc, "k", &["1", "x"])),
        ("unknown template", |enc| {
            template(enc, 2, &["a"]);
            array_key(enc, "k", 1, &["x"]);
        }),
        ("not as many", |enc| {
            template(enc, 1, &["a", "b"]);
            packed_key(enc, "k", &["1", "x"]);
        }),
        ("not as many", |enc| {
            template(enc, 1, &["a"]);
            packed_key(enc, "k", &["1", "x", "y"]);
        }),
        ("without the number", |enc| packed_key(enc, "k", &[])),
        ("without the number", |enc| {
            template(enc, 1, &["a"]);
            packed_key(enc, "k", &["one", "x"]);
        }),
        ("listpack integrity", |enc| {
            template(enc, 1, &["a"]);
            enc.byte(Type::HashTemplateListpackRef as u8);
            enc.string(b"k");
            enc.string(b"no listpack");
        }),
        ("a key was announced", |enc| {
            enc.raw(&[opcode::FREQ, 1]);
            template(enc, 1, &["a"]);
        }),
        // Values that are missing: what comes behind them is taken for one, and is none.
        ("Unknown", |enc| {
            template(enc, 1, &["a", "b"]);
            array_key(enc, "k", 1, &["x"]);
        }),
        ("Unknown RDB encoding type", |enc| {
            enc.byte(33);
            enc.string(b"k");
        }),
    ];
    for (what, build) in files {
        let bytes = file(build);
        for deep in [false, true] {
            let error = load(&bytes, deep).expect_err(what);
            assert!(matches!(error.reason, Reason::Corrupt(_)), "{error}");
            assert!(error.to_string().contains(what), "{what}: {error}");
        }
        load_pieces(bytes.chunks(1), true).expect_err(what);
    }
}

#[test]
fn what_payloads_with_templates_cannot_be_is_told() {
    use Type::{HashTemplateArray as Array, HashTemplateListpack as Packed};
    type Build = fn(&mut Encoder<'_>);
    let payloads: [(Type, &str, Build); 10] = [
        (Packed, "unknown format", |enc| {
            enc.length(2);
            names(enc, &["a"]);
            packed(enc, &["1", "x"]);
        }),
        (Array, "unknown format", |enc| {
            enc.length(2);
            names(enc, &["a"]);
            enc.string(b"x");
        }),
        (Packed, "without fields", |enc| {
            enc.length(0);
            packed(enc, &[]);
            packed(enc, &["1"]);
        }),
        (Array, "without fields", |enc| enc.raw(&[1, 0])),
        (Packed, "out of order", |enc| {
            enc.length(0);
            packed(enc, &["aa", "b"]);
            packed(enc, &["1", "x", "y"]);
        }),
        (Array, "out of order", |enc| {
            enc.length(1);
            names(enc, &["10", "9"]);
            packed(enc, &["x", "y"]);
        }),
        (Packed, "not as many", |enc| {
            enc.length(1);
            names(enc, &["a"]);
            packed(enc, &["1", "x", "y"]);
        }),
        (Packed, "without the number", |enc| {
            enc.length(1);
            names(enc, &["a"]);
            packed(enc, &["one", "x"]);
        }),
        // The types of files refer to templates, and a payload has none.
        (Type::HashTemplateListpackRef, "unknown template", |enc| {
            packed(enc, &["1", "x"]);
        }),
        (Type::HashTemplateArrayRef, "unknown template", |enc| {
            enc.length(0);
            enc.string(b"x");
        }),
    ];
    for (ty, what, build) in payloads {
        for deep in [false, true] {
            let error = restored(&payload(ty, build), deep).expect_err(what);
            assert!(error.to_string().contains(what), "{what}: {error}");
        }
    }
}

#[test]
fn the_claimed_size_of_a_template_is_not_believed() {
    let bytes = file(|enc| {
        enc.byte(opcode::HASH_TEMPLATE);
        enc.length(1);
        enc.length(1 << 60);
        enc.string(b"a");
    });
    let error = load(&bytes, true).expect_err("cut off");
    assert!(matches!(
        error.reason,
        Reason::ShortRead | Reason::Corrupt(_)
    ));
    let error = load_pieces(bytes.chunks(1), false).expect_err("cut off");
    assert!(matches!(error.reason, Reason::Starved | Reason::Corrupt(_)));
}

#[test]
fn long_names_are_not_repeated_for_next_to_nothing() {
    let long = "n".repeat(1 << 20);
    // Compressed, it takes some kilobytes, and would take gigabytes in memory.
    let mut enc = Encoder::to_memory(true);
    enc.raw(b"REDIS0015");
    template(&mut enc, 1, &[&long]);
    (0..2000).for_each(|i| array_key(&mut enc, &i.to_string(), 1, &["v"]));
    let error = load(&enc.into_bytes(), true).expect_err("out of proportion");
    assert!(error.to_string().contains("proportion"), "{error}");
}

#[test]
fn a_file_of_version_15_need_not_hold_anything_new() {
    let mut bytes = sample();
    for (version, known) in [(b"0015", true), (b"0016", false)] {
        bytes[5..9].copy_from_slice(version);
        let end = bytes.len() - 8;
        let sum = crc64(0, &bytes[..end]);
        bytes[end..].copy_from_slice(&sum.to_le_bytes());
        match load(&bytes, true) {
            Ok(said) => assert_eq!((said, known), (load(&sample(), true).expect("whole"), true)),
            Err(error) => assert!(matches!(error.reason, Reason::Version(16)) && !known),
        }
    }
}

#[test]
fn metadata_of_a_key_is_read_with_it() {
    // One class, its spec, a number and a string, the end mark; then the key.
    let meta = [opcode::KEY_META, 1, 1, 2, 3, 4, 2, 7, 5, 2, b'h', b'i', 0];
    let bytes = file(|enc| {
        enc.raw(&meta);
        enc.raw(&[Type::String as u8]);
        enc.string(b"k");
        enc.string(b"v");
    });
    let whole = load(&bytes, true).expect("it is whole");
    assert_eq!(whole.len(), 1, "{whole:?}");
    for (at, byte, why) in [
        (1, 8, "Too many metadata classes"),
        (6, 9, "Unknown module opcode"),
    ] {
        let mut broken = meta;
        broken[at] = byte;
        let bytes = file(|enc| enc.raw(&broken));
        let error = load(&bytes, true).expect_err("it is broken");
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn payloads_may_lack_a_checksum() {
    let mut payload = payload(Type::String, |enc| enc.string(b"x"));
    let version = payload.len() - 10;
    for (number, taken) in [(11, true), (14, true), (15, true), (16, false)] {
        payload[version] = number;
        assert_eq!(dump::is_intact(&payload, false), taken, "{number}");
    }
    payload[version] = 15;
    *payload.last_mut().expect("not empty") = 1;
    assert!(!dump::is_intact(&payload, false), "there is one, and wrong");
}

#[test]
fn the_check_tool_knows_templates() {
    let report = |bytes: &[u8]| {
        let mut out = Vec::new();
        let end = check::check(b"x.rdb", bytes, bytes.len() as u64, &mut out);
        let end = end.expect("memory does not fail");
        (end, String::from_utf8(out).expect("text"))
    };
    let bytes = templated();
    let (end, said) = report(&bytes);
    assert_eq!(end, Some(bytes.len() as u64), "{said}");
    assert!(said.contains("[info] 6 keys read"), "{said}");
    let (_, said) = report(&file(|enc| template(enc, 1, &["b", "a"])));
    assert!(said.contains("While doing: read-hash-template"), "{said}");
    let (_, said) = report(&file(|enc| array_key(enc, "k", 1, &[])));
    assert!(
        said.contains("Reading type 32 (hash-template-array-ref)"),
        "{said}"
    );
}

#[test]
fn types_stand_at_their_numbers() {
    let known = (0..=u8::MAX).filter_map(|byte| Some((byte, Type::from_byte(byte)?)));
    let known: Vec<(u8, Type)> = known.collect();
    assert_eq!(known.len(), 32);
    assert!(known.iter().all(|(byte, ty)| *ty as u8 == *byte));
}
