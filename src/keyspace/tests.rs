//! Databases against a model, standalone and in a cluster.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::collections::shared::BigStr;
use crate::collections::table::{Deadline, Inserted};
use crate::collections::testing::Rng;
use crate::types::set::SetLimits;
use crate::types::{Held, Set};

const DB: DbId = DbId(0);

fn text(entry: Entry<'_>) -> Vec<u8> {
    entry.string().expect("a string").to_vec()
}

#[test]
fn lookups_count_touch_and_hide() {
    let mut ks = Keyspace::new(2, false, 1, 1);
    ks.env().set_now(5_000);
    ks[DB].set(b"k", NewValue::Bytes(b"v"), Some(7_000));
    assert_eq!(ks[DB].get(b"k").map(text), Some(b"v".to_vec()));
    assert!(ks[DB].get(b"no").is_none());
    assert_eq!(ks.env().hits_and_misses(), (1, 1));

    // At its deadline a key is still there, after it it is not.
    ks.env().set_now(7_000);
    assert_eq!(ks[DB].get(b"k").map(|e| e.clock()), Some(7));
    ks.env().set_no_touch(true);
    ks.env().set_now(7_001);
    assert!(
        !ks[DB].contains(b"k") && ks[DB].get_mut(b"k").is_none() && ks[DB].take(b"k").is_none()
    );
    assert!(!ks[DB].set_deadline(b"k", None));
    assert!(ks[DB].peek_raw(b"k").is_some_and(|e| e.is_expired(7_001)));
    assert!(
        ks.env()
            .take_expired()
            .iter()
            .all(|(db, key)| (*db, &**key) == (DB, b"k"))
    );
    assert!(!ks.env().has_expired());

    ks.env().set_hide_only(true);
    assert!(ks[DB].get(b"k").is_none() && !ks.env().has_expired());
    ks.env().set_see_expired(true);
    assert!(ks[DB].get(b"k").is_some());
    assert!(ks[DB].remove(b"k").is_some() && ks[DB].is_empty());
}

#[test]
fn reads_leave_the_clock_alone_under_a_snapshot() {
    let mut ks = Keyspace::new(1, false, 1, 1);
    ks[DB].set(b"k", NewValue::Int(1), None);
    let snapshot = ks.snapshot();
    let before = ks.snapshot_cost();
    ks.env().set_now(50_000);
    assert_eq!(ks[DB].get(b"k").map(|e| e.clock()), Some(0));
    ks[DB].get_mut(b"k").expect("there").set_int(2);
    assert_eq!(ks.env().live_snapshots(), 1);
    let frozen: Vec<_> = snapshot.iter_db(DB).map(text).collect();
    assert_eq!(frozen, [b"1"]);
    assert!(ks.snapshot_cost() > before);
    std::thread::spawn(move || drop(snapshot))
        .join()
        .expect("a snapshot may be dropped anywhere");
    assert_eq!(ks.env().live_snapshots(), 0);
    assert_eq!(ks[DB].get(b"k").map(|e| e.clock()), Some(50));
}

/// Two encodings of one type: changed through `&mut Value`, converted, frozen in both.
#[test]
fn objects_change_in_place_and_freeze() {
    let mut ks = Keyspace::new(1, false, 1, 1);
    let limits = SetLimits {
        intset_entries: 2,
        listpack_entries: 0,
        listpack_value: 0,
        seed: 3,
    };
    let mut ints = Set::intset();
    ints.add(b"7", limits);
    let value = NewValue::Object(ints.into());
    assert!(ks[DB].set(b"s", value, None).is_none());
    let first = ks.snapshot();
    let value = ks[DB].get_mut(b"s").and_then(EntryMut::into_value_mut);
    let Some(set) = value.and_then(Set::of_mut) else {
        panic!("a set")
    };
    set.add(b"8", limits);
    let second = ks.snapshot();
    let mut entry = ks[DB].get_mut(b"s").expect("there");
    let Some(set) = entry.value_mut().and_then(Set::of_mut) else {
        panic!("a set")
    };
    set.add(b"x", limits);
    assert_eq!((entry.kind(), entry.encoding()), (Kind::Set, "hashtable"));
    assert!(entry.entry().mem_bytes(5) > 100);
    let third = ks.snapshot();
    let mut entry = ks[DB].get_mut(b"s").expect("there");
    assert!(
        entry
            .value_mut()
            .and_then(Set::of_mut)
            .expect("a set")
            .remove(b"x")
    );
    let seen = |snapshot: &Snapshot| {
        let entry = snapshot.iter_db(DB).next().expect("one key");
        let Some(set) = entry.value().as_object().and_then(Set::of) else {
            panic!("a set")
        };
        (entry.encoding(), set.len())
    };
    assert_eq!(
        [seen(&first), seen(&second), seen(&third)],
        [("intset", 1), ("intset", 2), ("hashtable", 3)]
    );
    let removed = ks[DB].remove(b"s").expect("there");
    let Some(Moved::Object(value)) = removed.into_payload() else {
        panic!("an object")
    };
    assert_eq!(Set::of(&value).expect("a set").len(), 2);
}

#[test]
fn keys_move_with_their_value_deadline_and_clock() {
    let mut ks = Keyspace::new(2, false, 1, 1);
    ks.env().set_now(9_000);
    let big = BigStr::from_slice(&[b'x'; 5_000]);
    ks[DB].set(b"a", NewValue::Big(big.clone()), Some(99_000));
    ks.env().set_now(20_000);
    let removed = ks[DB].take(b"a").expect("there");
    assert!(ks[DbId(1)].put(b"longer name", removed).is_none());
    let entry = ks[DbId(1)].peek(b"longer name").expect("moved");
    assert!(
        entry
            .string()
            .and_then(|s| s.big())
            .is_some_and(|b| BigStr::ptr_eq(b, &big))
    );
    assert_eq!(
        (entry.deadline(), entry.clock(), entry.encoding()),
        (Some(99_000), 9, "raw")
    );
    ks.swap(DB, DbId(1));
    assert_eq!(
        (ks[DB].len(), ks[DB].volatile_len(), ks[DbId(1)].len()),
        (1, 1, 0)
    );
}

/// The same random operations on a database and a model, standalone and by slot, with snapshots.
#[test]
fn races_a_model() {
    for (seed, cluster) in [(1, false), (2, true), (3, true)] {
        let mut rng = Rng::new(seed);
        let mut ks = Keyspace::new(1, cluster, seed, 1);
        let mut model: BTreeMap<Vec<u8>, (Vec<u8>, Option<Ms>)> = BTreeMap::new();
        let mut kept = Vec::new();
        let ops = if cfg!(miri) { 200 } else { 20_000 };
        for i in 0..ops {
            // Few tags, so that slots fill.
            let key = format!("{{{}}}:{}", rng.below(40), rng.below(ops / 20 + 1)).into_bytes();
            let deadline = (rng.below(4) == 0).then(|| 1 + rng.below(1000) as Ms);
            let db = &mut ks[DB];
            match rng.below(10) {
                0..4 => {
                    let value = vec![b'v'; rng.below(300)];
                    let found = db.insert(&key, NewValue::Bytes(&value), Deadline::Set(deadline));
                    let old = model.insert(key, (value, deadline));
                    assert_eq!(matches!(found, Inserted::New), old.is_none());
                }
                4 | 5 => assert_eq!(db.remove(&key).is_some(), model.remove(&key).is_some()),
                6 => {
                    if let Some(mut entry) = db.get_mut(&key) {
                        entry.set_deadline(deadline);
                        entry.append(b"+").expect("small");
                        let old = model.get_mut(&key).expect("both have it");
                        old.1 = deadline;
                        old.0.push(b'+');
                    }
                }
                7 => {
                    if rng.below(3) == 0
                        && let Some(entry) = db.get_mut(&key)
                    {
                        entry.remove();
                        model.remove(&key);
                    }
                }
                8 => assert_eq!(
                    db.peek(&key).map(text),
                    model.get(&key).map(|v| v.0.clone())
                ),
                _ => {
                    db.prefetch(&[db.hash(&key), db.hash(b"other")]);
                    assert_eq!(db.set_deadline(&key, deadline), model.contains_key(&key));
                    model.entry(key).and_modify(|v| v.1 = deadline);
                }
            }
            if i % (ops / 10) == ops / 20 {
                kept.push((ks.snapshot(), model.clone()));
                if kept.len() > 3 {
                    kept.remove(0);
                }
            }
        }
        let db = &ks[DB];
        assert_eq!(db.len(), model.len());
        assert_eq!(
            db.volatile_len(),
            model.values().filter(|v| v.1.is_some()).count()
        );
        for (snapshot, model) in &kept {
            let all: BTreeMap<_, _> = snapshot
                .iter_db(DB)
                .map(|e| (e.key().to_vec(), (text(e), e.deadline())))
                .collect();
            assert_eq!(&all, model, "seed {seed}");
            assert_eq!(snapshot.len(DB), model.len());
        }

        // Scan, random, sample.
        let mut seen = BTreeSet::new();
        let (mut cursor, mut calls) = (0, 0);
        loop {
            cursor = db.scan(cursor, 7, &mut |e| {
                assert!(seen.insert(e.key().to_vec()), "twice")
            });
            calls += 1;
            if cursor == 0 {
                break;
            }
            assert!(cursor < 1 << 53);
        }
        assert!(seen.iter().eq(model.keys()));
        assert!(calls <= model.len() / 7 * 2 + 2);
        for _ in 0..100 {
            let entry = db.random(&mut || rng.next()).expect("not empty");
            assert!(model.contains_key(entry.key()));
        }
        let mut sampled = 0;
        db.sample(&mut || rng.next(), 10, true, &mut |e| {
            sampled += usize::from(e.deadline().is_some())
        });
        assert_eq!(sampled, 10);

        // Expiry, slots, clearing.
        drop(kept);
        let due = model
            .values()
            .filter(|v| v.1.is_some_and(|ms| ms < 500))
            .count();
        let mut gone = 0;
        let stats = ks[DB].expire_cycle(500, &mut |_| true, &mut |r| {
            assert!(model.remove(r.key()).is_some());
            gone += 1;
        });
        assert_eq!((stats.expired, gone, stats.complete), (due, due, true));
        assert_eq!(ks[DB].len(), model.len());
        if cluster {
            let slot = crate::util::crc16::key_hash_slot(b"{7}");
            let keys: BTreeSet<_> = ks[DB]
                .slot_keys(slot, usize::MAX)
                .into_iter()
                .map(Vec::from)
                .collect();
            assert!(
                keys.iter()
                    .eq(model.keys().filter(|k| k.starts_with(b"{7}")))
            );
            assert_eq!(ks[DB].slot_len(slot), keys.len());
            assert_eq!(ks[DB].take_slot(slot).len(), keys.len());
            assert_eq!(
                (ks[DB].len(), ks[DB].slot_len(slot)),
                (model.len() - keys.len(), 0)
            );
        }
        for written in [false, true] {
            let mut snapshot = ks.snapshot();
            if written {
                ks[DB].set(b"{1}:new", NewValue::Int(1), None);
            }
            let mut left: BTreeSet<_> = snapshot.iter_db(DB).map(|e| e.key().to_vec()).collect();
            let flow = snapshot.consume_db(DB, &mut |_, e| {
                assert!(left.remove(e.key()));
                std::ops::ControlFlow::Continue(())
            });
            assert!(flow.is_continue() && left.is_empty());
        }
        let (len, removed) = (ks[DB].len(), ks[DB].clear());
        assert_eq!(
            (removed.len(), removed.iter().count(), ks[DB].len()),
            (len, len, 0)
        );
    }
}

#[test]
fn average_ttl_is_exact() {
    for cluster in [false, true] {
        let mut ks = Keyspace::new(1, cluster, 1, 1);
        assert_eq!(ks[DB].avg_ttl_ms(0), 0);
        for (i, ttl) in [100, 200, 600].into_iter().enumerate() {
            ks[DB].set(
                format!("k{i}").as_bytes(),
                NewValue::Int(0),
                Some(1_000 + ttl),
            );
        }
        assert_eq!(ks[DB].avg_ttl_ms(1_000), 300);
    }
}

/// A debugging session and the server write to what they share at the same time, each to its own copy.
#[test]
fn a_copy_on_another_thread_and_its_origin_change_apart() {
    const KEYS: usize = 300;
    const STEPS: usize = 3_000;
    let name = |i: usize| format!("key:{i}").into_bytes();
    // Random changes by one side, against a model.
    fn change(ks: &mut Keyspace, mut model: BTreeMap<Vec<u8>, Vec<u8>>, seed: u64) {
        let mut rng = Rng::new(seed);
        for step in 0..STEPS {
            let key = format!("key:{}", rng.below(KEYS * 2)).into_bytes();
            if rng.below(4) == 0 {
                assert_eq!(ks[DB].remove(&key).is_some(), model.remove(&key).is_some());
            } else {
                let value = format!("{seed}:{step}").into_bytes();
                ks[DB].set(&key, NewValue::Bytes(&value), None);
                model.insert(key, value);
            }
        }
        for (key, value) in &model {
            assert_eq!(ks[DB].get(key).map(text).as_ref(), Some(value));
        }
        assert_eq!(ks[DB].len(), model.len());
    }
    for cluster in [false, true] {
        let mut ks = Keyspace::new(1, cluster, 7, 1);
        let mut model = BTreeMap::new();
        for i in 0..KEYS {
            ks[DB].set(&name(i), NewValue::Bytes(b"before"), None);
            model.insert(name(i), b"before".to_vec());
        }
        let snapshot = ks.snapshot();
        let of_copy = model.clone();
        let session = std::thread::spawn(move || {
            // Another seed, and no slots: those of the snapshot come with it.
            let mut copy = Keyspace::new(1, false, 8, 1);
            copy.adopt(&snapshot);
            change(&mut copy, of_copy, 1);
        });
        change(&mut ks, model, 2);
        session.join().expect("its model holds");
        assert_eq!(ks.env().live_snapshots(), 0);
    }
}
