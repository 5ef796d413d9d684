//! The tree against naive models: tiny nodes, so that few items make it deep, and snapshots taken on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::seek::{At, Boundary, ByKey, Sorted};
use super::*;
use crate::collections::shared::Blob;
use crate::collections::testing::Rng;

/// An item with a key and a weight that changes.
#[derive(Debug, Clone, PartialEq)]
struct Keyed(u32, u64);

impl Item for Keyed {
    type Key = u32;
    fn key(&self) -> &u32 {
        &self.0
    }
    fn weight(&self) -> u64 {
        self.1
    }
}

/// An item without a key: a block of a list.
#[derive(Debug, Clone, PartialEq)]
struct Block(Vec<u32>);

impl Item for Block {
    type Key = ();
    fn key(&self) -> &() {
        &()
    }
    fn weight(&self) -> u64 {
        self.0.len() as u64
    }
}

/// The addresses of all nodes, after asserting every invariant.
fn audit<I: Item, const L: usize, const M: usize>(
    tree: &Tree<I, L, M>,
    mut same_key: impl FnMut(&I::Key, &I::Key),
) -> Vec<usize> {
    let mut nodes = Vec::new();
    let Some(root) = &tree.root else {
        assert_eq!((tree.len, tree.weight), (0, 0));
        return nodes;
    };
    let items = Node::audit(root, true, &mut nodes).1;
    assert_eq!(items, tree.len());
    let weight: u64 = tree.forward(0).map(Item::weight).sum();
    assert_eq!(weight, tree.weight());
    root.audit_order(&mut same_key);
    assert_eq!(nodes.len(), root.count_nodes());
    nodes
}

#[test]
fn an_ordered_tree_races_a_map() {
    for seed in 1..25 {
        let mut rng = Rng::new(seed);
        let mut tree: Tree<Keyed, 4, 4> = Tree::new();
        let mut model: BTreeMap<u32, u64> = BTreeMap::new();
        let mut snapshots = Vec::new();
        let keys = [30, 100, 300][rng.below(3)];
        for step in 0..600 {
            let key = rng.below(keys) as u32;
            let find = || ByKey(move |k: &u32| k.cmp(&key));
            let before: u64 = model.range(..key).map(|(_, w)| w).sum();
            let growing = step % 300 < 200;
            match rng.below(if growing { 8 } else { 14 }) {
                0..=3 if !model.contains_key(&key) => {
                    let weight = 1 + rng.below(5) as u64;
                    tree.insert(Keyed(key, weight), &mut Sorted);
                    model.insert(key, weight);
                }
                4 => {
                    let weight = rng.below(4) as u64;
                    let old = tree.update(&mut find(), |item, _| {
                        std::mem::replace(&mut item.1, weight)
                    });
                    assert_eq!(old, model.get(&key).copied());
                    if old.is_some() {
                        model.insert(key, weight);
                        model.retain(|_, w| *w > 0);
                    }
                }
                5 => snapshots.push((tree.clone(), model.clone())),
                6 => {
                    assert_eq!(
                        tree.position(|k| *k < key),
                        before,
                        "seed {seed} step {step}"
                    );
                    let found = tree.get(&mut find()).map(|item| item.1);
                    assert_eq!(found, model.get(&key).copied());
                    let mut at = At(before);
                    let covering = tree.get(&mut at).map(|item| item.0);
                    assert_eq!(covering, model.range(key..).next().map(|(k, _)| *k));
                    if let Some(item) = tree.get_mut(&mut find()) {
                        item.0 = key;
                    }
                }
                7 if rng.below(4) == 0 => {
                    let end = before + rng.below(30) as u64;
                    let mut expected = Vec::new();
                    let mut sum = before;
                    for (k, w) in model.range(key..) {
                        sum += w;
                        if sum > end {
                            break;
                        }
                        expected.push(Keyed(*k, *w));
                    }
                    let mut removed = Vec::new();
                    tree.remove_range(before, end, &mut |item| removed.push(item));
                    assert_eq!(removed, expected, "seed {seed} step {step}");
                    model.retain(|k, _| !removed.iter().any(|r| r.0 == *k));
                }
                _ => {
                    let removed = tree.remove(&mut find()).map(|item| item.1);
                    assert_eq!(removed, model.remove(&key), "seed {seed} step {step}");
                }
            }
            if step % 7 == 0 {
                audit(&tree, |a, b| assert_eq!(a, b));
            }
        }
        snapshots.push((tree, model));
        for (tree, model) in &snapshots {
            audit(tree, |a, b| assert_eq!(a, b));
            let expected: Vec<Keyed> = model.iter().map(|(k, w)| Keyed(*k, *w)).collect();
            assert!(tree.forward(0).eq(&expected), "seed {seed}");
            assert!(
                tree.backward(tree.weight()).eq(expected.iter().rev()),
                "seed {seed}"
            );
            // A cursor set down anywhere, walking a few steps each way.
            let position = rng.below(tree.weight() as usize + 2) as u64;
            let (mut cursor, mut at, mut sum) = (tree.cursor(position), 0, 0);
            while at < expected.len() && sum + expected[at].1 <= position {
                sum += expected[at].1;
                at += 1;
            }
            for _ in 0..50 {
                assert_eq!(cursor.position(), sum);
                assert_eq!(cursor.peek(), expected.get(at));
                if rng.below(2) == 0 {
                    assert_eq!(cursor.next(), expected.get(at));
                    sum += expected.get(at).map_or(0, |item| item.1);
                    at = (at + 1).min(expected.len());
                } else {
                    assert_eq!(cursor.prev(), at.checked_sub(1).map(|i| &expected[i]));
                    at = at.saturating_sub(1);
                    sum = expected[..at].iter().map(|item| item.1).sum();
                }
            }
        }
    }
}

#[test]
fn a_sequence_races_a_vector() {
    for seed in 1..25 {
        let mut rng = Rng::new(seed);
        let mut tree: Tree<Block, 3, 4> = Tree::new();
        let mut list: Sequence<Block> = Sequence::new();
        let mut model: Vec<Vec<u32>> = Vec::new();
        let mut snapshots = Vec::new();
        for step in 0..400u32 {
            let block = Block(
                (0..1 + rng.below(4) as u32)
                    .map(|i| step * 10 + i)
                    .collect(),
            );
            let index = rng.below(model.len());
            let start: u64 = model[..index].iter().map(|b| b.len() as u64).sum();
            let inside = model.get(index).map_or(0, |b| rng.below(b.len()));
            let position = start + inside as u64;
            match rng.below(if step % 200 < 120 { 7 } else { 10 }) {
                0 => {
                    tree.push_back(block.clone());
                    model.push(block.0.clone());
                    list.push_back(block);
                }
                1 => {
                    tree.push_front(block.clone());
                    model.insert(0, block.0.clone());
                    list.push_front(block);
                }
                2 | 3 => {
                    tree.insert(block.clone(), &mut Boundary(start));
                    model.insert(index, block.0.clone());
                    list.insert(start, block);
                }
                4 => {
                    let add = |b: &mut Block, at: usize| {
                        assert_eq!(at, inside);
                        b.0.insert(at, step);
                    };
                    let done = tree.update(&mut At(position), |b, at| add(b, at.0 as usize));
                    assert_eq!(done.is_some(), index < model.len());
                    assert_eq!(list.update(position, add), done);
                    if done.is_some() {
                        model[index].insert(inside, step);
                    }
                }
                5 => snapshots.push((tree.clone(), list.clone(), model.clone())),
                6 if !model.is_empty() => {
                    let cut = |b: &mut Block, at: usize| b.0.remove(at);
                    let a = tree.update(&mut At(position), |b, at| cut(b, at.0 as usize));
                    let b = list.update(position, cut);
                    assert_eq!((a, b), (Some(model[index][inside]), a));
                    model[index].remove(inside);
                    model.retain(|b| !b.is_empty());
                }
                7 => {
                    list.update_first(|b| b.0[0] = step);
                    list.update_last(|b| b.0.push(step));
                    tree.update(&mut At(0), |b, _| b.0[0] = step);
                    let last = tree.weight().saturating_sub(1);
                    tree.update(&mut At(last), |b, _| b.0.push(step));
                    if !model.is_empty() {
                        model[0][0] = step;
                        model.last_mut().unwrap().push(step);
                    }
                }
                8 if rng.below(3) == 0 => {
                    let n = rng.below(8).min(model.len() - index);
                    let gone: u64 = model.drain(index..index + n).map(|b| b.len() as u64).sum();
                    tree.remove_range(start, start + gone, &mut drop);
                    list.remove_range(start, start + gone);
                }
                _ => {
                    let removed = tree.remove(&mut At(position));
                    assert_eq!(removed, list.remove(position));
                    assert_eq!(removed.is_some(), index < model.len());
                    if index < model.len() {
                        assert_eq!(removed.unwrap().0, model.remove(index));
                    }
                }
            }
            if step % 5 == 0 {
                audit(&tree, |_, _| ());
            }
        }
        snapshots.push((tree, list, model));
        for (tree, list, model) in &snapshots {
            audit(tree, |_, _| ());
            assert!(tree.forward(0).map(|b| &b.0).eq(model), "seed {seed}");
            assert!(list.forward(0).map(|b| &b.0).eq(model), "seed {seed}");
            assert!(
                list.backward(list.len())
                    .map(|b| &b.0)
                    .eq(model.iter().rev())
            );
            assert_eq!(list.blocks(), model.len() as u64);
            assert_eq!(list.first().map(|b| &b.0), model.first());
            assert_eq!(list.last().map(|b| &b.0), model.last());
            let mut position = 0;
            for block in model {
                for at in 0..block.len() {
                    assert_eq!(list.get(position), Some((&Block(block.clone()), at)));
                    position += 1;
                }
            }
            assert_eq!((list.get(position), list.len()), (None, position));
        }
    }
}

/// A score as something a `BTreeSet` can order.
fn ordered(score: f64) -> i64 {
    let bits = (score + 0.0).to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

#[test]
fn a_rank_tree_races_a_set() {
    for seed in 1..8 {
        let mut rng = Rng::new(seed);
        let mut tree: RankTree<Blob> = RankTree::new();
        let mut model: BTreeSet<(i64, Vec<u8>)> = BTreeSet::new();
        let mut scores: BTreeMap<Vec<u8>, f64> = BTreeMap::new();
        let mut snapshots = Vec::new();
        let score = |rng: &mut Rng| match rng.below(20) {
            0 => f64::INFINITY,
            1 => f64::NEG_INFINITY,
            2 => -0.0,
            _ => (rng.below(40) as f64 - 20.0) / 4.0,
        };
        for step in 0..2500 {
            let member = format!("m{}", rng.below(900)).into_bytes();
            let new = score(&mut rng);
            match (scores.get(&member).copied(), rng.below(10)) {
                (None, _) => {
                    tree.insert(new, Blob::from_slice(&member));
                    model.insert((ordered(new), member.clone()));
                    scores.insert(member, new);
                }
                (Some(old), 0..4) => {
                    assert!(tree.remove(old, &member).is_some());
                    assert!(tree.remove(old, &member).is_none());
                    model.remove(&(ordered(old), member.clone()));
                    scores.remove(&member);
                }
                (Some(old), 4..8) => {
                    assert!(tree.rescore(old, &member, new));
                    model.remove(&(ordered(old), member.clone()));
                    model.insert((ordered(new), member.clone()));
                    scores.insert(member, new);
                }
                (Some(old), 8) => {
                    let rank = model.range(..(ordered(old), member.clone())).count() as u64;
                    assert_eq!(tree.rank(old, &member), rank, "seed {seed} step {step}");
                    let found = tree.get(rank).unwrap();
                    assert_eq!((&found.member[..], found.score), (&member[..], old));
                }
                _ if rng.below(20) == 0 => {
                    let start = rng.below(scores.len()) as u64;
                    let mut gone = Vec::new();
                    tree.remove_range(start..start + 40, |r| gone.push(r.member.to_vec()));
                    let all: Vec<_> = model.iter().cloned().collect();
                    let expected = all.iter().skip(start as usize).take(40);
                    assert!(expected.clone().map(|(_, m)| m).eq(&gone));
                    for (s, m) in expected {
                        model.remove(&(*s, m.clone()));
                        scores.remove(m);
                    }
                }
                _ => snapshots.push((tree.clone(), model.clone())),
            }
            if rng.below(40) == 0 {
                let popped = tree.pop_first().map(|r| r.member.to_vec());
                let first = model.pop_first();
                scores.remove(&popped.clone().unwrap_or_default());
                assert_eq!(popped, first.map(|(_, m)| m));
                let popped = tree.pop_last().map(|r| r.member.to_vec());
                let last = model.pop_last();
                scores.remove(&popped.clone().unwrap_or_default());
                assert_eq!(popped, last.map(|(_, m)| m));
            }
        }
        snapshots.push((tree, model));
        for (tree, model) in &snapshots {
            audit(&tree.0, |a, b| assert!(a == b));
            assert!(
                tree.iter()
                    .map(|r| (ordered(r.score), r.member.to_vec()))
                    .eq(model.iter().cloned())
            );
            assert_eq!(tree.len(), model.len() as u64);
            for _ in 0..10 {
                let bound = |rng: &mut Rng| ScoreBound {
                    score: score(rng),
                    exclusive: rng.below(2) == 0,
                };
                let (min, max) = (bound(&mut rng), bound(&mut rng));
                let inside = |s: i64| {
                    let (low, high) = (ordered(min.score), ordered(max.score));
                    (s > low || (s == low && !min.exclusive))
                        && (s < high || (s == high && !max.exclusive))
                };
                let expected: Vec<_> = model
                    .iter()
                    .filter(|(s, _)| inside(*s))
                    .map(|e| &e.1[..])
                    .collect();
                let ranks = tree.score_range(min, max);
                assert_eq!(ranks.end - ranks.start, expected.len() as u64);
                assert!(
                    tree.range(ranks.clone())
                        .map(|r| &r.member[..])
                        .eq(expected.iter().copied())
                );
                assert!(
                    tree.range_rev(ranks)
                        .map(|r| &r.member[..])
                        .eq(expected.iter().rev().copied())
                );
            }
            assert_eq!(
                tree.range(5..u64::MAX).count(),
                model.len().saturating_sub(5)
            );
            assert_eq!(
                tree.range_rev(5..u64::MAX).count(),
                model.len().saturating_sub(5)
            );
        }
    }
}

#[test]
fn lexical_ranges() {
    let mut tree: RankTree<Vec<u8>> = RankTree::new();
    for i in (0..100u8).rev() {
        tree.insert(0.0, vec![i]);
    }
    use LexBound::{Exclusive, Inclusive, Max, Min};
    assert_eq!(tree.lex_range(Min, Max), 0..100);
    assert_eq!(tree.lex_range(Max, Min), 100..100);
    assert_eq!(tree.lex_range(Inclusive(&[10]), Inclusive(&[20])), 10..21);
    assert_eq!(tree.lex_range(Exclusive(&[10]), Exclusive(&[20])), 11..20);
    assert_eq!(tree.lex_range(Exclusive(&[10]), Exclusive(&[10])), 11..11);
    assert_eq!(tree.lex_range(Inclusive(&[10, 0]), Max), 11..100);
    assert_eq!(tree.lex_range(Min, Inclusive(&[200])), 0..100);
}

#[test]
fn an_ordered_map_races_a_map() {
    for seed in 1..10 {
        let mut rng = Rng::new(seed);
        let mut map: OrderedMap<u128, Blob, 6> = OrderedMap::new();
        let mut model: BTreeMap<u128, Vec<u8>> = BTreeMap::new();
        let mut snapshots = Vec::new();
        for step in 0..800 {
            let key = (rng.below(5) as u128) << 64 | rng.below(60) as u128;
            let value = rng.next().to_be_bytes().to_vec();
            match rng.below(12) {
                0..=4 => {
                    let old = map
                        .insert(key, Blob::from_slice(&value))
                        .map(|b| b.to_vec());
                    assert_eq!(old, model.insert(key, value), "seed {seed} step {step}");
                }
                5 | 6 => {
                    let old = map.remove(&key).map(|b| b.to_vec());
                    assert_eq!(old, model.remove(&key));
                }
                7 => snapshots.push((map.clone(), model.clone())),
                8 if !model.is_empty() => {
                    map.last_mut().unwrap().make_mut()[0] = 1;
                    map.first_mut().unwrap().make_mut()[1] = 2;
                    model.last_entry().unwrap().get_mut()[0] = 1;
                    model.first_entry().unwrap().get_mut()[1] = 2;
                }
                9 if rng.below(10) == 0 => {
                    let indices =
                        map.index_range(Bound::Excluded(&key), Bound::Included(&(key + 9)));
                    let mut gone = Vec::new();
                    map.remove_range(indices, |pair| gone.push(pair.key));
                    model.retain(|k, _| !(*k > key && *k <= key + 9));
                    assert!(gone.iter().all(|k| *k > key && *k <= key + 9));
                }
                _ => {
                    let floor = map.floor(&key).map(|p| (p.key, p.value.to_vec()));
                    assert_eq!(
                        floor,
                        model
                            .range(..=key)
                            .next_back()
                            .map(|(k, v)| (*k, v.clone()))
                    );
                    let ceiling = map.ceiling(&key).map(|p| p.key);
                    assert_eq!(ceiling, model.range(key..).next().map(|(k, _)| *k));
                    assert_eq!(map.get(&key).map(|b| b.to_vec()), model.get(&key).cloned());
                    let indices =
                        map.index_range(Bound::Included(&key), Bound::Excluded(&(key + 20)));
                    let n = (indices.end - indices.start) as usize;
                    assert!(
                        map.forward(indices.start)
                            .take(n)
                            .map(|p| p.key)
                            .eq(model.range(key..key + 20).map(|(k, _)| *k))
                    );
                    assert_eq!(map.cursor(&key).next().map(|p| p.key), ceiling);
                }
            }
        }
        snapshots.push((map, model));
        for (map, model) in &snapshots {
            assert_eq!(map.len(), model.len() as u64);
            assert!(
                map.iter()
                    .map(|p| (p.key, p.value.to_vec()))
                    .eq(model.clone())
            );
            assert!(
                map.backward(map.len())
                    .map(|p| p.key)
                    .eq(model.keys().rev().copied())
            );
        }
    }
}

#[test]
fn a_write_beside_a_snapshot_copies_one_path() {
    let mut tree: Tree<Keyed, 8, 8> = Tree::new();
    for i in 0..2000 {
        tree.insert(Keyed(i * 2, 1), &mut Sorted);
    }
    let nodes =
        |tree: &Tree<Keyed, 8, 8>| BTreeSet::from_iter(audit(tree, |a, b| assert_eq!(a, b)));
    let snapshot = tree.clone();
    assert_eq!(nodes(&tree), nodes(&snapshot));
    tree.insert(Keyed(1001, 1), &mut Sorted);
    let height = 1 + Node::audit(tree.root.as_ref().unwrap(), true, &mut Vec::new()).0;
    let copied = nodes(&tree).difference(&nodes(&snapshot)).count();
    // The path, and a second node wherever one was full and cut.
    assert!(
        copied >= height && copied <= 2 * height,
        "{copied} of {height} levels"
    );
    tree.remove(&mut ByKey(|k: &u32| k.cmp(&1001)));
    assert!(tree.forward(0).eq(snapshot.forward(0)));
    assert_eq!(snapshot.len(), 2000);
}

#[test]
fn ordered_inserts_leave_full_nodes() {
    let n = 6200u32;
    let mut up: RankTree<Vec<u8>> = RankTree::new();
    let mut down = up.clone();
    for i in 0..n {
        up.insert(f64::from(i), vec![1]);
        down.insert(-f64::from(i), vec![1]);
    }
    let leaves = n as usize / 62;
    for tree in [up, down] {
        let nodes = audit(&tree.0, |a, b| assert!(a == b)).len();
        assert!(
            nodes <= leaves + leaves / 30 + 3,
            "{nodes} nodes for {leaves} leaves"
        );
    }
}

#[test]
fn nodes_are_the_size_they_are_meant_to_be() {
    assert_eq!(Shared::<Node<Ranked<Blob>, 62, 31>>::node_bytes(), 1024);
    assert_eq!(Shared::<Node<Pair<u128, Blob>, 30, 30>>::node_bytes(), 1024);
    assert_eq!(size_of::<RankTree<Blob>>(), 24);
}
