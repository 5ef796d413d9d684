//! Sets against ordered sets, with snapshots; chance against expectation.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::{Set, SetLimits, ops};
use crate::util::rng::Rng;

const LIMITS: SetLimits = SetLimits {
    intset_entries: 30,
    listpack_entries: 20,
    listpack_value: 12,
    seed: 11,
};

type Texts = BTreeSet<Vec<u8>>;

fn contents(set: &Set) -> Texts {
    let members: Vec<_> = set.iter().map(|member| member.to_vec()).collect();
    let distinct = BTreeSet::from_iter(members.iter().cloned());
    assert_eq!((distinct.len(), members.len()), (set.len(), set.len()));
    distinct
}

/// Numbers until step 150, then other texts as well, long ones at the end.
fn member(rng: &mut Rng, step: usize) -> Vec<u8> {
    match rng.below(10) {
        0..4 if step > 150 => format!("m{}", rng.below(40)).into_bytes(),
        4 if step > 300 => format!("a long member {}", rng.below(9)).into_bytes(),
        5 => (rng.next_u64() as i64 >> rng.below(60))
            .to_string()
            .into_bytes(),
        _ => rng.below(40).to_string().into_bytes(),
    }
}

#[test]
fn does_what_an_ordered_set_does() {
    let rounds = if cfg!(miri) { 2 } else { 60 };
    for seed in 0..rounds {
        let mut rng = Rng::new(seed);
        let (mut set, mut model) = (Set::intset(), BTreeSet::new());
        let mut snapshots = Vec::new();
        for step in 0..if cfg!(miri) { 80 } else { 500 } {
            match rng.below(12) {
                0..6 => {
                    let new = member(&mut rng, step);
                    assert_eq!(set.add(&new, LIMITS), model.insert(new));
                }
                6..8 => {
                    let old = member(&mut rng, step);
                    assert_eq!(set.contains(&old), model.contains(&old));
                    assert_eq!(set.remove(&old), model.remove(&old));
                }
                8 => {
                    let popped = set.pop_random(&mut rng, |member| member.to_vec());
                    assert_eq!(popped.is_none(), model.is_empty());
                    assert!(popped.is_none_or(|member| model.remove(&member)));
                }
                9 if model.len() > 1 => {
                    let count = 1 + rng.below(model.len() as u64 - 1) as usize;
                    if rng.below(3) > 0 {
                        let mut seen = BTreeSet::new();
                        set.sample(count, &mut rng, &mut |m| assert!(seen.insert(m.to_vec())));
                        assert!(seen.len() == count && seen.is_subset(&model));
                    } else {
                        let mut gone = 0;
                        set.pop_sample(count, LIMITS, &mut rng, &mut |member| {
                            assert!(model.remove(&member.to_vec()));
                            gone += 1;
                        });
                        assert_eq!(gone, count);
                    }
                }
                10 => snapshots.push((set.clone(), model.clone())),
                _ => drop(snapshots.pop()),
            }
            assert_eq!(set.len(), model.len());
        }
        assert_eq!(contents(&set), model);
        for (set, model) in snapshots {
            assert_eq!(contents(&set), model);
        }
    }
}

#[test]
fn encodings_change_where_they_should() {
    let mut set = Set::for_members(b"1", 5, LIMITS);
    for i in 0..30 {
        set.add(i.to_string().as_bytes(), LIMITS);
    }
    assert_eq!(set.encoding(), "intset");
    set.add(b"30", LIMITS);
    assert_eq!(set.encoding(), "hashtable");

    let mut set = Set::for_members(b"1", 5, LIMITS);
    set.add(b"1", LIMITS);
    set.add(b"x", LIMITS);
    assert_eq!(set.encoding(), "listpack");
    set.add(b"thirteen byte", LIMITS);
    assert_eq!(set.encoding(), "hashtable");

    assert_eq!(Set::for_members(b"x", 20, LIMITS).encoding(), "listpack");
    assert_eq!(Set::for_members(b"x", 21, LIMITS).encoding(), "hashtable");
}

#[test]
fn whole_sets_are_combined() {
    let collect = |run: &dyn Fn(&mut ops::Found<'_>)| {
        let mut found = Vec::new();
        run(&mut |member| {
            found.push(member.to_vec());
            ControlFlow::Continue(())
        });
        let distinct = BTreeSet::from_iter(found.iter().cloned());
        assert_eq!(distinct.len(), found.len());
        distinct
    };
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let sets: Vec<Set> = (0..1 + rng.below(7))
            .map(|_| {
                let mut set = Set::intset();
                let step = [0, 200, 400][rng.below(3) as usize];
                for _ in 0..rng.below(80) {
                    set.add(&member(&mut rng, step), LIMITS);
                }
                set
            })
            .collect();
        let models: Vec<_> = sets.iter().map(contents).collect();
        let refs: Vec<&Set> = sets.iter().collect();
        let fold = |f: fn(&Texts, &Texts) -> Texts| {
            models[1..].iter().fold(models[0].clone(), |a, b| f(&a, b))
        };
        assert_eq!(
            collect(&|f| ops::union(&refs, LIMITS.seed, f)),
            fold(|a, b| a | b)
        );
        assert_eq!(
            collect(&|f| ops::intersection(&mut refs.clone(), f)),
            fold(|a, b| a & b)
        );
        assert_eq!(
            collect(&|f| ops::difference(refs[0], &mut refs[1..].to_vec(), LIMITS.seed, f)),
            fold(|a, b| a - b)
        );
    }
}

/// Each member of a small set is drawn about equally often, in every encoding and every way of drawing.
#[test]
fn chance_is_even() {
    const MEMBERS: usize = 12;
    const DRAWS: usize = 24_000;
    let mut rng = Rng::new(5);
    for prefix in ["", "m", "a long member "] {
        let mut set = Set::intset();
        for i in 0..MEMBERS {
            set.add(format!("{prefix}{i}").as_bytes(), LIMITS);
        }
        for count in [0, 1, 3, 7, 11] {
            let mut drawn = BTreeMap::<Vec<u8>, usize>::new();
            for _ in 0..DRAWS / count.max(1) {
                let mut note = |m: super::Member<'_>| *drawn.entry(m.to_vec()).or_default() += 1;
                match count {
                    0 => set.random(&mut rng).into_iter().for_each(note),
                    11 => set.clone().pop_sample(count, LIMITS, &mut rng, &mut note),
                    count => set.sample(count, &mut rng, &mut note),
                }
            }
            let expected = DRAWS / MEMBERS;
            assert_eq!(drawn.len(), MEMBERS);
            for n in drawn.values() {
                assert!(n.abs_diff(expected) < expected / 8, "{n} of {expected}");
            }
        }
    }
}
