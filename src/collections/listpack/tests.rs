//! Listpacks beside vectors, beside bytes that Redis made, and under nonsense.

use super::*;
use crate::collections::testing::Rng;

/// Texts of all encodings, among them numbers, near-numbers, and few enough to be found again.
fn text(rng: &mut Rng) -> Vec<u8> {
    match rng.below(8) {
        0 => rng.below(200).to_string().into_bytes(),
        1 => ((rng.next() as i64) >> rng.below(64))
            .to_string()
            .into_bytes(),
        2 => format!("0{}", rng.below(10)).into_bytes(),
        3 => vec![b'x'; [0, 1, 62, 63, 64, 65, 125, 126, 127][rng.below(9)]],
        4 => vec![b'y'; [4090, 4095, 4096, 4097][rng.below(4)] / (1 + 50 * rng.below(2))],
        _ => (0..rng.below(12)).map(|_| rng.next() as u8).collect(),
    }
}

fn texts(listpack: &Listpack) -> Vec<Vec<u8>> {
    listpack.iter().map(LpEntry::to_vec).collect()
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect()
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &b| {
        (hash ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
    })
}

#[test]
fn same_bytes_as_redis() {
    // The bytes Redis 7.0.15 dumped for a hash of these fields and values.
    let texts = "0|127|128|-1|-4096|4095|4096|-4097|32767|-32768|32768|-32769|8388607|-8388608|8388608|\
                 -8388609|2147483647|-2147483648|2147483648|-2147483649|9223372036854775807|\
                 -9223372036854775808|9223372036854775808||a|-0|007|+5|hello world|end";
    let texts: Vec<&[u8]> = texts.split('|').map(str::as_bytes).collect();
    let dumped = unhex(concat!(
        "b40000001e0000017f01c08002dfff02d00002cfff02f1001003f1ffef03f1ff7f03f1008003f200800004f2ff7fff04",
        "f2ffff7f04f200008004f30000800005f3ffff7fff05f3ffffff7f05f30000008005f4000000800000000009f4ffffff",
        "7fffffffff09f4ffffffffffffff7f09f4000000000000008009933932323333373230333638353437373538303814",
        "8001816102822d30038330303704822b35038b68656c6c6f20776f726c640c83656e6404ff",
    ));
    let listpack = Listpack::from_entries(texts.iter().copied());
    assert_eq!(listpack.as_bytes(), dumped);
    assert_eq!(
        listpack,
        Listpack::from_bytes(&dumped, Check::Deep).unwrap()
    );
    assert!(listpack.iter().eq(texts.iter().map(|t| LpEntry::Str(t))));
}

#[test]
fn same_bytes_as_redis_around_every_length_limit() {
    // Likewise, of a hash k0..k21 with values of these lengths; only a checksum is kept.
    let lengths = [
        62, 63, 64, 65, 124, 125, 126, 127, 128, 4095, 4096, 16376, 16377, 16378, 16379, 16383,
        16384, 2_097_144, 2_097_145, 2_097_146, 2_097_147, 2_097_152,
    ];
    let mut listpack = Listpack::new();
    for (i, len) in lengths.into_iter().enumerate() {
        listpack.push_back(&format!("k{i}").into_bytes());
        listpack.push_back(&vec![b'x'; len]);
    }
    assert_eq!(listpack.byte_len(), 10_593_321);
    assert_eq!(fnv(listpack.as_bytes()), 0x993e_c700_2f11_01e2);
    assert!(listpack.is_sound());
}

#[test]
fn races_a_model() {
    for seed in 1..40u64 {
        let mut rng = Rng::new(seed);
        let mut listpack = Listpack::new();
        let mut model: Vec<Vec<u8>> = Vec::new();
        let mut snapshots = Vec::new();
        for step in 0..150 {
            let fresh = text(&mut rng);
            let at = rng.below(model.len());
            let pos = listpack.seek(at as i64);
            assert_eq!(pos.is_some(), at < model.len(), "seed {seed} step {step}");
            match (rng.below(16), pos) {
                (0 | 1, _) => {
                    listpack.push_back(&fresh);
                    model.push(fresh);
                }
                (2, _) => {
                    listpack.push_front(&fresh);
                    model.insert(0, fresh);
                }
                (3 | 4, Some(pos)) => {
                    let new = listpack.insert_before(pos, &fresh);
                    assert_eq!(new, pos);
                    model.insert(at, fresh);
                }
                (5, Some(pos)) => {
                    let new = listpack.insert_after(pos, &fresh);
                    assert_eq!(listpack.prev(new), Some(pos));
                    model.insert(at + 1, fresh);
                }
                (6, Some(pos)) => {
                    listpack.replace(pos, &fresh);
                    model[at] = fresh;
                }
                (7, Some(pos)) => {
                    let next = listpack.delete(pos);
                    assert_eq!(next.is_some(), at + 1 < model.len());
                    model.remove(at);
                }
                (8, Some(_)) => {
                    let n = rng.below(4);
                    let end = (at + n).min(model.len());
                    listpack.delete_range(at as i64 - model.len() as i64, n);
                    model.drain(at..end);
                }
                (9, Some(_)) => {
                    let chosen: Vec<bool> = model.iter().map(|_| rng.below(4) == 0).collect();
                    let positions: Vec<LpPos> = listpack
                        .positions()
                        .zip(&chosen)
                        .filter_map(|((pos, _), &chosen)| chosen.then_some(pos))
                        .collect();
                    listpack.delete_many(&positions);
                    let mut chosen = chosen.into_iter();
                    model.retain(|_| !chosen.next().unwrap());
                }
                (10, Some(pos)) => {
                    let more = [text(&mut rng), text(&mut rng), text(&mut rng)];
                    listpack.insert_many(pos, &more);
                    model.splice(at..at, more);
                }
                (11, _) => {
                    let more = [text(&mut rng), text(&mut rng)];
                    listpack.extend(&more);
                    model.extend(more);
                }
                (12, Some(pos)) => {
                    let tail = listpack.split_off(pos);
                    let tail_model = model.split_off(at);
                    assert_eq!(texts(&tail), tail_model);
                    if rng.below(2) == 0 {
                        listpack.append(&tail);
                        model.extend(tail_model);
                    } else {
                        listpack.prepend(&tail);
                        model.splice(0..0, tail_model);
                    }
                }
                (13, _) => snapshots.push((listpack.clone(), model.clone())),
                _ => {
                    for skip in 0..3 {
                        let needle = model.get(at).unwrap_or(&fresh);
                        let expected = model.iter().step_by(skip + 1).position(|t| t == needle);
                        let expected = expected.map(|i| (i * (skip + 1)) as i64);
                        let found = listpack.find(needle, skip);
                        assert_eq!(found, expected.and_then(|i| listpack.seek(i)));
                    }
                }
            }
            assert!(listpack.is_sound(), "seed {seed} step {step}");
            assert_eq!(listpack.len(), model.len(), "seed {seed} step {step}");
            if model.len() > 60 {
                listpack.delete_range(0, 30);
                model.drain(..30);
            }
        }
        snapshots.push((listpack, model));
        for (listpack, model) in snapshots {
            assert_eq!(texts(&listpack), model, "seed {seed}");
            assert!(
                listpack
                    .iter()
                    .rev()
                    .eq(model.iter().rev().map(LpEntry::from))
            );
            let rebuilt = Listpack::from_entries(&model);
            assert_eq!(rebuilt.as_bytes(), listpack.as_bytes(), "seed {seed}");
            for i in 0..model.len() {
                let pos = listpack.seek(i as i64).unwrap();
                assert!(
                    listpack
                        .positions_from(pos)
                        .map(|e| e.1)
                        .eq(listpack.iter().skip(i))
                );
                let back = listpack.positions_through(pos).rev().map(|e| e.1.to_vec());
                assert!(back.eq(model[..=i].iter().rev().cloned()));
                assert_eq!(
                    listpack
                        .get(i as i64 - model.len() as i64)
                        .unwrap()
                        .to_vec(),
                    model[i]
                );
            }
            assert_eq!(listpack.get(model.len() as i64), None);
            assert_eq!(listpack.get(-(model.len() as i64) - 1), None);
        }
    }
}

#[test]
fn counts_past_what_the_header_holds() {
    let mut listpack = Listpack::from_entries((0..65_534).map(|i| LpEntry::Int(i % 100)));
    assert_eq!(listpack.len(), 65_534);
    listpack.push_back(1);
    listpack.push_back(2);
    assert_eq!(listpack.as_bytes()[4..6], [0xFF, 0xFF]);
    assert_eq!(listpack.len(), 65_536);
    assert_eq!(listpack.get(65_535), Some(LpEntry::Int(2)));
    assert_eq!(listpack.get(-1), Some(LpEntry::Int(2)));
    assert_eq!(listpack.get(-65_536), Some(LpEntry::Int(0)));
    assert_eq!(listpack.get(-65_537), None);
    assert!(listpack.get(65_536).is_none() && listpack.get(i64::MIN).is_none());
    listpack.delete_range(-65_000, 65_000);
    assert_eq!(listpack.len(), 536);
    assert!(listpack.is_sound());
}

/// Calls everything there is on a listpack that may be nonsense; returning is the test.
fn exercise(mut listpack: Listpack, rng: &mut Rng) {
    let walk = listpack.positions().map(|(pos, _)| pos);
    let mut places: Vec<LpPos> = walk.collect();
    places.extend(listpack.positions().rev().map(|(pos, _)| pos));
    places.push(LpPos::new(HEADER + rng.below(listpack.byte_len() - HEADER)));
    let _ = (listpack.len(), listpack.is_sound(), listpack.find(b"12", 1));
    let _ = (listpack.get(3), listpack.get(-2), format!("{listpack:?}"));
    for _ in 0..4 {
        let pos = places[rng.below(places.len())];
        let mut other = listpack.clone();
        let _ = (other.next(pos), other.prev(pos), other.entry(pos));
        let _ = other.positions_from(pos).count() + other.positions_through(pos).rev().count();
        match rng.below(8) {
            0 => drop(other.replace(pos, b"replaced")),
            1 => drop(other.delete(pos)),
            2 => drop(other.insert_after(pos, 77)),
            3 => other.delete_many(&places),
            4 => drop(other.split_off(pos)),
            5 => other.append(&listpack),
            6 => other.delete_range(-3, 2),
            _ => drop(other.delete_from(pos, 3)),
        }
        let _ = (other.iter().count(), other.iter().rev().count());
    }
    listpack.push_front(1);
}

#[test]
fn nonsense_never_panics() {
    let mut rng = Rng::new(0xDEAD_BEEF);
    for round in 0..3000 {
        let mut bytes = if round % 2 == 0 {
            let body: Vec<u8> = (0..rng.below(60)).map(|_| rng.next() as u8).collect();
            [&[0, 0, 0, 0, 0, 0][..], &body, &[EOF]].concat()
        } else {
            let all: Vec<Vec<u8>> = (0..rng.below(12)).map(|_| text(&mut rng)).collect();
            Listpack::from_entries(&all).as_bytes().to_vec()
        };
        for _ in 0..1 + rng.below(3) {
            let at = 4 + rng.below(bytes.len() - 5);
            bytes[at] = rng.next() as u8;
        }
        let total = (bytes.len() as u32).to_le_bytes();
        bytes[..4].copy_from_slice(&total);
        let deep = Listpack::from_bytes(&bytes, Check::Deep);
        let shallow = Listpack::from_bytes(&bytes, Check::Shallow).expect("header is right");
        if let Ok(sound) = deep {
            assert!(sound.iter().rev().count() == sound.iter().count());
        }
        exercise(shallow, &mut rng);
    }
    for bytes in [
        &b""[..],
        &EMPTY[..6],
        b"\x07\0\0\0\0\0\0",
        b"\x08\0\0\0\0\0\xff",
    ] {
        assert_eq!(Listpack::from_bytes(bytes, Check::Shallow), Err(Corrupt));
    }
}

#[test]
fn knows_its_limit() {
    let listpack = Listpack::new();
    assert!(listpack.would_fit(SAFETY_LIMIT - 7));
    assert!(!listpack.would_fit(SAFETY_LIMIT - 6));
    assert!(!listpack.would_fit(usize::MAX));
    assert_eq!(LpEntry::Int(5).packed_len(), 2);
    assert_eq!(LpEntry::Str(b"5").packed_len(), 2);
    assert_eq!(LpEntry::Str(b"abc").packed_len(), 5);
}
