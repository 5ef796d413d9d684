//! Sorted sets against a naive model, in both encodings, with snapshots held under random writes.

use std::collections::BTreeMap;

use super::*;
use crate::collections::testing::Rng;

const SMALL: Limits = Limits {
    entries: 16,
    value: 8,
    seed: 7,
};
const NONE: Limits = Limits {
    entries: 0,
    ..SMALL
};
const LARGE: Limits = Limits {
    entries: 1 << 20,
    value: 64,
    seed: 7,
};

/// Members and scores; the order is made when asked for.
#[derive(Clone, Default)]
struct Model(BTreeMap<Vec<u8>, f64>);

impl Model {
    fn sorted(&self) -> Vec<(Vec<u8>, f64)> {
        let mut all: Vec<_> = self.0.clone().into_iter().collect();
        all.sort_by(|a, b| {
            a.1.partial_cmp(&b.1)
                .expect("no NaN")
                .then_with(|| a.0.cmp(&b.0))
        });
        all
    }
}

fn contents(zset: &Zset) -> Vec<(Vec<u8>, f64)> {
    zset.iter().map(|s| (s.member.to_vec(), s.score)).collect()
}

fn random_member(rng: &mut Rng, space: usize) -> Vec<u8> {
    let n = rng.below(space);
    match n % 5 {
        0 => n.to_string().into_bytes(),
        1 => format!("{n:0>12}").into_bytes(),
        _ => format!("m{n}").into_bytes(),
    }
}

fn random_score(rng: &mut Rng) -> f64 {
    match rng.below(9) {
        0 => f64::INFINITY,
        1 => f64::NEG_INFINITY,
        2 => rng.below(1000) as f64 / 7.0,
        3 => rng.below(8) as f64 * 0.5,
        4 => rng.next() as f64,
        5 => 0.0,
        _ => rng.below(20) as f64 - 10.0,
    }
}

fn check(zset: &Zset, model: &Model, rng: &mut Rng) {
    let sorted = model.sorted();
    let len = sorted.len() as u64;
    assert_eq!(zset.len(), sorted.len());
    assert_eq!(contents(zset), sorted);
    for _ in 0..4 {
        let (a, b) = (rng.below(sorted.len() + 2), rng.below(sorted.len() + 2));
        let ranks = a.min(b) as u64..(a.max(b) as u64).min(len);
        let part = &sorted[(ranks.start as usize).min(sorted.len())..ranks.end as usize];
        if ranks.start <= ranks.end {
            let up: Vec<_> = zset.range(ranks.clone(), Direction::Up).collect();
            assert!(
                up.iter()
                    .map(|s| s.member.to_vec())
                    .eq(part.iter().map(|p| p.0.clone()))
            );
            let down: Vec<_> = zset.range(ranks, Direction::Down).collect();
            let back = part.iter().rev().map(|p| p.0.clone());
            assert!(down.iter().map(|s| s.member.to_vec()).eq(back));
        }
        let bound = |rng: &mut Rng| ScoreBound {
            score: random_score(rng),
            exclusive: rng.below(2) == 0,
        };
        let (min, max) = (bound(rng), bound(rng));
        let within = |score: f64| {
            (score > min.score || (score == min.score && !min.exclusive))
                && (score < max.score || (score == max.score && !max.exclusive))
        };
        let ranks = zset.score_range(min, max);
        let found: Vec<_> = zset.range(ranks, Direction::Up).map(|s| s.score).collect();
        let expected: Vec<_> = sorted.iter().map(|p| p.1).filter(|s| within(*s)).collect();
        assert_eq!(found, expected, "{min:?} {max:?}");
    }
    for (rank, (member, score)) in sorted.iter().enumerate() {
        assert_eq!(zset.score(member), Some(*score));
        assert_eq!(zset.rank(member), Some((rank as u64, *score)));
    }
    let mut scanned = Vec::new();
    let mut cursor = 0;
    loop {
        cursor = zset.scan(cursor, 3, &mut |s| {
            scanned.push((s.member.to_vec(), s.score))
        });
        if cursor == 0 {
            break;
        }
    }
    scanned.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(scanned.into_iter().eq(model.0.clone()));
}

#[test]
fn races_the_model() {
    for (seed, limits) in [(1, SMALL), (2, NONE), (3, LARGE), (4, SMALL), (5, NONE)] {
        let mut rng = Rng::new(seed);
        let space = if seed == 4 { 14 } else { 400 };
        let (mut zset, mut model) = (Zset::new(1, 0, limits), Model::default());
        let mut snapshots: Vec<(Zset, Model)> = Vec::new();
        for step in 0..3000 {
            let member = random_member(&mut rng, space);
            match rng.below(24) {
                0 => {
                    assert_eq!(zset.remove(&member), model.0.remove(&member).is_some());
                }
                1 => {
                    let sorted = model.sorted();
                    let from = rng.below(sorted.len() + 1);
                    let to = (from + rng.below(6)).min(sorted.len());
                    for (member, _) in &sorted[from..to] {
                        model.0.remove(member);
                    }
                    let ranks = from as u64..(to as u64 + u64::from(to == sorted.len()));
                    assert_eq!(
                        zset.remove_range(ranks),
                        to - from,
                        "seed {seed} step {step}"
                    );
                }
                2 if snapshots.len() < 5 => snapshots.push((zset.clone(), model.clone())),
                3 if !snapshots.is_empty() => {
                    let (old, expected) = snapshots.swap_remove(rng.below(snapshots.len()));
                    assert_eq!(contents(&old), expected.sorted(), "seed {seed} step {step}");
                }
                4 => {
                    zset.settle(limits);
                }
                5 => {
                    let conditions = Conditions {
                        increment: true,
                        ..Conditions::default()
                    };
                    let score = random_score(&mut rng);
                    let old = model.0.get(&member).copied();
                    let sum = old.unwrap_or(0.0) + score;
                    let added = zset.add(&member, score, conditions, limits);
                    if sum.is_nan() {
                        assert_eq!(added, Err(NotANumber));
                    } else {
                        model.0.insert(member, sum);
                        let expected = match old {
                            None => Added::New(sum),
                            Some(old) if old == sum => Added::Same(sum),
                            Some(_) => Added::Moved(sum),
                        };
                        assert_eq!(added, Ok(expected), "seed {seed} step {step}");
                    }
                }
                _ => {
                    let score = random_score(&mut rng);
                    let added = zset.add(&member, score, Conditions::default(), limits);
                    let expected = match model.0.get(&member) {
                        None => Added::New(score),
                        Some(old) if *old == score => Added::Same(score),
                        Some(_) => Added::Moved(score),
                    };
                    assert_eq!(added, Ok(expected), "seed {seed} step {step}");
                    model.0.insert(member, score);
                }
            }
            if step % 97 == 0 {
                check(&zset, &model, &mut rng);
            }
        }
        check(&zset, &model, &mut rng);
        for (old, expected) in snapshots {
            assert_eq!(contents(&old), expected.sorted(), "seed {seed}");
        }
    }
}

#[test]
fn conditions() {
    for limits in [SMALL, NONE] {
        let mut zset = Zset::new(1, 1, limits);
        let none = Conditions::default();
        let xx = Conditions {
            only_old: true,
            ..none
        };
        let nx = Conditions {
            only_new: true,
            ..none
        };
        let gt = Conditions {
            only_greater: true,
            ..none
        };
        let lt = Conditions {
            only_less: true,
            ..none
        };
        assert_eq!(zset.add(b"a", 1.0, xx, limits), Ok(Added::Refused));
        assert_eq!(zset.add(b"a", 1.0, gt, limits), Ok(Added::New(1.0)));
        assert_eq!(zset.add(b"a", 2.0, nx, limits), Ok(Added::Refused));
        assert_eq!(zset.add(b"a", 2.0, lt, limits), Ok(Added::Refused));
        assert_eq!(zset.add(b"a", 1.0, gt, limits), Ok(Added::Refused));
        assert_eq!(zset.add(b"a", 2.0, gt, limits), Ok(Added::Moved(2.0)));
        assert_eq!(zset.add(b"a", 2.0, none, limits), Ok(Added::Same(2.0)));
        assert_eq!(zset.add(b"a", f64::NAN, none, limits), Err(NotANumber));
    }
}

#[test]
fn encodings_change_at_the_limits() {
    let mut zset = Zset::new(1, 1, SMALL);
    for n in 0..16 {
        assert_eq!(zset.encoding(), "listpack");
        zset.add(format!("{n}").as_bytes(), 1.0, Conditions::default(), SMALL)
            .expect("a number");
    }
    zset.add(b"one more", 1.0, Conditions::default(), SMALL)
        .expect("a number");
    assert_eq!(zset.encoding(), "skiplist");
    zset.settle(SMALL);
    assert_eq!(zset.encoding(), "skiplist");
    zset.remove(b"one more");
    zset.settle(SMALL);
    assert_eq!(zset.encoding(), "listpack");
    zset.add(b"a long one", 1.0, Conditions::default(), SMALL)
        .expect("a number");
    assert_eq!(zset.encoding(), "skiplist");
    assert_eq!(Zset::new(17, 1, SMALL).encoding(), "skiplist");
    assert_eq!(Zset::new(1, 9, SMALL).encoding(), "skiplist");
}

#[test]
fn scores_are_kept_to_the_bit() {
    let mut zset = Zset::building(NONE);
    let scores = [
        0.0,
        -0.0,
        1.0,
        -128.0,
        2_147_483_648.0,
        0.5,
        0.1,
        f64::MAX,
        f64::MIN_POSITIVE,
        5e-324,
        f64::INFINITY,
        f64::NEG_INFINITY,
        9_007_199_254_740_993.0,
    ];
    for (i, score) in scores.iter().enumerate() {
        let member = [b'a' + i as u8];
        assert!(zset.push(&member, *score, NONE));
        assert!(!zset.push(&member, *score, NONE));
        let found = zset.score(&member).expect("just added");
        assert_eq!(found.to_bits(), score.to_bits());
    }
}

#[test]
fn a_collector_becomes_a_sorted_set() {
    let mut rng = Rng::new(9);
    let (mut collector, mut model) = (Zset::collector(SMALL), Model::default());
    for _ in 0..2000 {
        let member = random_member(&mut rng, 300);
        if rng.below(5) == 0 {
            collector.remove(&member);
            model.0.remove(&member);
        } else {
            collector.merge(&member, 1.5, |old| old + 1.5);
            *model.0.entry(member).or_insert(0.0) += 1.5;
        }
    }
    assert_eq!(collector.len(), model.0.len());
    let mut zset = collector.finish();
    check(&zset, &model, &mut rng);
    zset.settle(LARGE);
    assert_eq!(zset.encoding(), "listpack");
    check(&zset, &model, &mut rng);
}

#[test]
fn lex_ranges() {
    for limits in [LARGE, NONE] {
        let mut zset = Zset::new(1, 1, limits);
        for member in ["a", "b", "c", "d", "e", "10", "9"] {
            zset.add(member.as_bytes(), 0.0, Conditions::default(), limits)
                .expect("a number");
        }
        let names = |min, max, direction| {
            let ranks = zset.lex_range(min, max, direction);
            let found = zset.range(ranks, direction);
            let found: Vec<_> = found.map(|s| s.member.to_vec()).collect();
            String::from_utf8(found.join(&b' ')).expect("text")
        };
        use Direction::{Down, Up};
        use LexBound::{Exclusive, Inclusive, Max, Min};
        assert_eq!(names(Min, Max, Up), "10 9 a b c d e");
        assert_eq!(names(Min, Max, Down), "e d c b a 9 10");
        assert_eq!(names(Max, Min, Up), "");
        assert_eq!(names(Inclusive(b"b"), Exclusive(b"d"), Up), "b c");
        assert_eq!(names(Exclusive(b"b"), Inclusive(b"d"), Down), "d c");
        assert_eq!(names(Exclusive(b"b"), Exclusive(b"b"), Up), "");
        assert_eq!(names(Inclusive(b"x"), Max, Up), "");
        assert_eq!(names(Min, Exclusive(b"1"), Up), "");
    }
}

#[test]
fn damaged_listpacks() {
    let twice = Listpack::from_entries([&b"a"[..], b"1", b"a", b"2"]);
    assert!(Zset::from_listpack(twice.blob().clone(), Check::Deep).is_err());
    assert!(Zset::from_listpack(twice.blob().clone(), Check::Shallow).is_ok());
    let odd = Listpack::from_entries([&b"a"[..], b"1", b"b"]);
    assert!(Zset::from_listpack(odd.blob().clone(), Check::Deep).is_err());
    let mut odd = Zset::from_listpack(odd.blob().clone(), Check::Shallow).expect("taken");
    assert_eq!(contents(&odd), [(b"a".to_vec(), 1.0)]);
    odd.grow_for(100, SMALL);
    assert_eq!(contents(&odd), [(b"a".to_vec(), 1.0)]);
    // Out of order: put in order when it grows.
    let tangled = Listpack::from_entries([&b"b"[..], b"2", b"a", b"1", b"b", b"3"]);
    let mut tangled = Zset::from_listpack(tangled.blob().clone(), Check::Shallow).expect("taken");
    tangled.grow_for(100, SMALL);
    assert_eq!(
        contents(&tangled),
        [(b"a".to_vec(), 1.0), (b"b".to_vec(), 2.0)]
    );
}
