//! Hashes beside a model, in each encoding, with and without deadlines.

use std::collections::BTreeMap;

use super::*;
use crate::collections::testing::Rng;

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<i64>)>;

const SMALL: Limits = Limits {
    entries: 8,
    value: 16,
    seed: 7,
};
const NONE: Limits = Limits {
    entries: 0,
    ..SMALL
};
const LARGE: Limits = Limits {
    entries: 1 << 20,
    ..SMALL
};

fn bytes(text: &[u8]) -> NewValue<'_> {
    NewValue::Bytes(text)
}

fn content(hash: &Hash) -> Model {
    let fields = hash.iter();
    fields
        .map(|f| (f.name.to_vec(), (f.value.to_vec(), f.deadline)))
        .collect()
}

fn names_in_order(hash: &Hash) -> Vec<String> {
    hash.iter()
        .map(|f| String::from_utf8_lossy(&f.name.to_vec()).into_owned())
        .collect()
}

fn hash_of(fields: usize) -> Hash {
    let mut hash = Hash::new();
    for i in 0..fields {
        hash.set(format!("f{i}").as_bytes(), bytes(b"1"), false, &SMALL);
    }
    hash
}

#[test]
fn encodings_change_as_redis_has_them_do() {
    let mut hash = Hash::new();
    for i in 0..8 {
        assert!(hash.set(format!("f{i}").as_bytes(), bytes(b"1"), false, &SMALL));
        assert_eq!(hash.encoding(), "listpack");
    }
    let mut timed = hash.clone();
    assert!(hash.set(b"f8", bytes(b"1"), false, &SMALL));
    assert_eq!((hash.encoding(), hash.len()), ("hashtable", 9));

    assert!(timed.set_deadline(b"f3", Some(50)));
    assert_eq!(timed.encoding(), "listpackex");
    assert!(timed.set_deadline(b"f3", None));
    assert_eq!(timed.encoding(), "listpackex");
    assert!(!timed.has_deadlines());
    assert!(!timed.set(b"f1", bytes(b"a value of 17 ch."), false, &SMALL));
    assert_eq!((timed.encoding(), timed.len()), ("hashtable", 8));

    // A lower limit counts when a field is set the next time, also one that is there already.
    let mut lowered = hash_of(3);
    let limits = Limits {
        entries: 2,
        ..SMALL
    };
    assert!(!lowered.set(b"f1", bytes(b"2"), false, &limits));
    assert_eq!((lowered.encoding(), lowered.len()), ("hashtable", 3));

    let mut prepared = Hash::new();
    prepared.prepare(9, std::iter::empty(), &SMALL);
    assert_eq!(prepared.encoding(), "hashtable");
}

#[test]
fn filling_is_as_setting_one_by_one() {
    for n in [1usize, 3, 16, 17, 40] {
        let words: Vec<Vec<u8>> = (0..n)
            .flat_map(|i| [format!("f{}", i * 7 % 20), format!("{i}")])
            .map(String::into_bytes)
            .collect();
        let (mut filled, mut set) = (Hash::new(), Hash::new());
        let new = filled.fill(words.iter().map(|word| &**word));
        let mut expected = 0;
        for pair in words.chunks(2) {
            expected += usize::from(set.set(&pair[0], bytes(&pair[1]), false, &LARGE));
        }
        assert_eq!(new, Some(expected));
        let (filled_bytes, set_bytes) = (filled.as_listpack(), set.as_listpack());
        assert_eq!(filled_bytes, set_bytes);
        assert_eq!(filled.fill(words.iter().map(|word| &**word)), None);
    }
}

#[test]
fn timed_fields_stand_in_order_of_their_deadlines() {
    let mut hash = Hash::new();
    for name in ["a", "b", "c", "d"] {
        hash.set(name.as_bytes(), bytes(b"12"), false, &SMALL);
    }
    hash.set_deadline(b"c", Some(30));
    hash.set_deadline(b"a", Some(20));
    hash.set_deadline(b"d", Some(30));
    assert_eq!(names_in_order(&hash), ["a", "d", "c", "b"]);
    // A new value takes the deadline away, unless it is to be kept.
    hash.set(b"a", bytes(b"x"), false, &SMALL);
    hash.set(b"c", bytes(b"y"), true, &SMALL);
    assert_eq!(names_in_order(&hash), ["d", "c", "b", "a"]);
    assert_eq!(hash.get(b"c").and_then(|f| f.deadline), Some(30));
    assert_eq!(hash.earliest_bound(), Some(30));

    let mut gone = Vec::new();
    assert_eq!(hash.expire(30, 9, &mut |name| gone.push(name.to_vec())), 0);
    assert_eq!(hash.expire(31, 1, &mut |name| gone.push(name.to_vec())), 1);
    assert_eq!(hash.expire(31, 9, &mut |name| gone.push(name.to_vec())), 1);
    assert_eq!(gone, [b"d", b"c"]);
    assert_eq!(hash.len(), 2);
}

#[test]
fn listpacks_from_outside_are_checked() {
    let pairs = Listpack::from_entries([b"a", b"1", b"b", b"2"]);
    let take = |listpack: &Listpack, timed, limits| {
        Hash::from_listpack(listpack.clone(), timed, Check::Deep, limits)
    };
    assert_eq!(take(&pairs, false, &SMALL).map(|h| h.len()), Ok(2));
    assert!(take(&pairs, true, &SMALL).is_err());
    let table = take(&pairs, false, &NONE).expect("sound");
    assert_eq!(table.encoding(), "hashtable");

    let twice = Listpack::from_entries([b"a", b"1", b"a", b"2"]);
    assert!(take(&twice, false, &SMALL).is_err());
    let loose = Hash::from_listpack(twice, false, Check::Shallow, &SMALL);
    assert_eq!(loose.map(|h| h.len()), Ok(2));

    let triple = |name: &'static [u8], ms| [LpEntry::Str(name), LpEntry::Int(1), LpEntry::Int(ms)];
    let ordered = Listpack::from_entries([triple(b"a", 5), triple(b"b", 0)].concat());
    assert_eq!(
        take(&ordered, true, &SMALL).map(|h| h.earliest()),
        Ok(Some(5))
    );
    for wrong in [[0, 5], [6, 5], [-1, 0]] {
        let [first, second] = wrong;
        let wrong = Listpack::from_entries([triple(b"a", first), triple(b"b", second)].concat());
        assert!(take(&wrong, true, &SMALL).is_err());
    }
}

#[test]
fn races_a_model() {
    for (seed, limits) in [(1, SMALL), (2, NONE), (3, LARGE), (4, SMALL), (5, LARGE)] {
        let mut rng = Rng::new(seed);
        let (mut hash, mut model) = (Hash::new(), Model::new());
        let mut frozen: Vec<(Hash, Model)> = Vec::new();
        for step in 0..3_000i64 {
            let name = format!("{}", rng.below(if seed == 4 { 12 } else { 200 })).into_bytes();
            match rng.below(12) {
                0..=4 => {
                    let value = format!("{:x}", rng.below(1 << 20)).into_bytes();
                    let keep = rng.below(2) == 0;
                    let old = model.get(&name).cloned();
                    let deadline = old.clone().filter(|_| keep).and_then(|(_, at)| at);
                    let new = hash.set(&name, bytes(&value), keep, &limits);
                    assert_eq!(new, old.is_none(), "seed {seed} step {step}");
                    model.insert(name, (value, deadline));
                }
                5 | 6 => assert_eq!(hash.remove(&name), model.remove(&name).is_some()),
                7 | 8 => {
                    let at = (rng.below(4) > 0).then(|| step + 1 + rng.below(500) as i64);
                    assert_eq!(hash.set_deadline(&name, at), model.contains_key(&name));
                    if let Some(field) = model.get_mut(&name) {
                        field.1 = at;
                    }
                }
                9 => {
                    let mut gone = Vec::new();
                    while hash.expire(step, 3, &mut |n| gone.push(n.to_vec())) > 0 {}
                    for name in &gone {
                        let field = model.remove(name).expect("a field of the model");
                        assert!(is_past(field.1, step));
                    }
                    assert!(model.values().all(|field| !is_past(field.1, step)));
                }
                10 if frozen.len() < 6 => frozen.push((hash.clone(), model.clone())),
                10 => drop(frozen.swap_remove(rng.below(6))),
                _ => {
                    let found = hash.get(&name).map(|f| (f.value.to_vec(), f.deadline));
                    assert_eq!(found.as_ref(), model.get(&name));
                    assert_eq!(hash.len(), model.len());
                    let first = model.values().filter_map(|field| field.1).min();
                    assert_eq!(hash.earliest(), first);
                    assert_eq!(hash.has_deadlines(), first.is_some());
                    assert!(hash.earliest_bound() <= first || first.is_none());
                }
            }
        }
        assert_eq!(content(&hash), model);
        for (hash, model) in frozen {
            assert_eq!(content(&hash), model);
        }
    }
}

#[test]
fn picks_are_fair() {
    for limits in [LARGE, NONE] {
        let mut hash = Hash::new();
        for i in 0..50 {
            hash.set(format!("{i}").as_bytes(), bytes(b"v"), false, &limits);
        }
        let mut rng = Rng::new(1);
        let mut random = || rng.next();
        for n in [3, 10, 30, 50, 60] {
            let mut counts = BTreeMap::new();
            for _ in 0..400 {
                let mut seen = std::collections::BTreeSet::new();
                hash.choose(n, &mut random, &mut |f| {
                    assert!(seen.insert(f.name.to_vec()), "no field twice");
                    *counts.entry(f.name.to_vec()).or_insert(0) += 1;
                });
                assert_eq!(seen.len(), n.min(50));
            }
            let expected = 400 * n.min(50) as i32 / 50;
            let fair = |count: &i32| (count - expected).abs() <= expected / 2 + 8;
            assert!(
                counts.len() == 50 && counts.values().all(fair),
                "{counts:?}"
            );
        }
        let mut drawn = 0;
        hash.draw(70, &mut random, &mut |_| drawn += 1);
        assert_eq!(drawn, 70);
        assert!(hash.random(&mut random).is_some());
    }
}

#[test]
fn a_scan_sees_each_field_once() {
    let mut hash = Hash::new();
    for i in 0..1000 {
        hash.set(format!("{i}").as_bytes(), bytes(b"v"), false, &NONE);
    }
    let (mut cursor, mut seen) = (0, Vec::new());
    loop {
        cursor = hash.scan(cursor, 10, &mut |f| seen.push(f.name.to_vec()));
        if cursor == 0 {
            break;
        }
    }
    let unique: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), unique.len()), (1000, 1000));
}
