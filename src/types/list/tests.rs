//! Lists against a vector, with snapshots.

use std::ops::ControlFlow;

use super::{End, List, ListLimits};
use crate::util::rng::Rng;

fn contents(list: &List) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    list.for_each(|entry| all.push(entry.to_vec()));
    all
}

fn range(list: &List, start: usize, end: usize, back: bool) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut take = |entry: crate::collections::listpack::LpEntry<'_>| {
        all.push(entry.to_vec());
        ControlFlow::<()>::Continue(())
    };
    let _ = match back {
        false => list.visit(start, end, &mut take),
        true => list.visit_back(start, end, &mut take),
    };
    if back {
        all.reverse();
    }
    all
}

fn element(rng: &mut Rng) -> Vec<u8> {
    match rng.below(12) {
        0..5 => rng.below(40).to_string().into_bytes(),
        5..8 => format!("element:{}", rng.below(30)).into_bytes(),
        8 => rng.next_u64().to_string().into_bytes(),
        9 => vec![b'a' + rng.below(3) as u8; rng.below(700) as usize],
        10 => {
            let mut noise = vec![0; rng.below(200) as usize];
            rng.fill(&mut noise);
            noise
        }
        _ => Vec::new(),
    }
}

fn end(rng: &mut Rng) -> End {
    if rng.below(2) == 0 {
        End::Head
    } else {
        End::Tail
    }
}

/// Depth of compression, limits of blocks and the fate of huge elements, each in a few sizes.
fn limits(rng: &mut Rng) -> ListLimits {
    ListLimits {
        fill: [-2, -1, 1, 2, 4, 16, 128, 0][rng.below(8) as usize],
        compress_depth: rng.below(4) as u32,
        plain_from: [0, 0, 1, 100, 500][rng.below(5) as usize],
    }
}

#[test]
fn does_what_a_vector_does() {
    let rounds = if cfg!(miri) { 3 } else { 120 };
    for seed in 0..rounds {
        let mut rng = Rng::new(seed);
        let mut limits = limits(&mut rng);
        let mut list = List::new();
        let mut model: Vec<Vec<u8>> = Vec::new();
        let mut snapshots = Vec::new();
        let steps = if cfg!(miri) { 60 } else { 600 };
        for step in 0..steps {
            let len = model.len();
            let at = rng.below(len.max(1) as u64) as usize;
            match rng.below(if step % 200 < 130 { 14 } else { 20 }) {
                0..6 => {
                    let (end, new) = (end(&mut rng), element(&mut rng));
                    list.grow_for(new.len(), 1, limits);
                    list.push(end, &new, limits);
                    match end {
                        End::Head => model.insert(0, new),
                        End::Tail => model.push(new),
                    }
                }
                6..9 => {
                    let new = element(&mut rng);
                    let at = rng.below(len as u64 + 1) as usize;
                    list.grow_for(new.len(), 1, limits);
                    list.insert(at, &new, limits);
                    model.insert(at, new);
                }
                9..11 => {
                    let new = element(&mut rng);
                    list.grow_for(new.len(), 1, limits);
                    assert_eq!(list.replace(at, &new, limits), at < len);
                    if at < len {
                        model[at] = new;
                    }
                }
                11 => {
                    let wanted = element(&mut rng);
                    assert_eq!(list.find(&wanted), model.iter().position(|e| *e == wanted));
                    let (from, to) = (at, at + rng.below(50) as usize);
                    let expected = &model[from..to.min(len)];
                    assert_eq!(range(&list, from, to, false), expected);
                    assert_eq!(range(&list, from, to, true), expected);
                    let shown = list.with(at, |e| e.to_vec());
                    assert_eq!(shown.as_ref(), model.get(at));
                }
                12 if rng.below(4) == 0 => snapshots.push((list.clone(), model.clone())),
                12 => limits.plain_from = [0, 1, 100, 500][rng.below(4) as usize],
                13 => drop(snapshots.pop()),
                14..17 => {
                    let end = end(&mut rng);
                    let popped = list.pop(end, limits, |e| e.to_vec());
                    let expected = match end {
                        End::Head if len > 0 => Some(model.remove(0)),
                        End::Head => None,
                        End::Tail => model.pop(),
                    };
                    assert_eq!(popped, expected);
                }
                17 => {
                    let to = at + rng.below(40) as usize;
                    list.remove_range(at, to, limits);
                    model.drain(at.min(len)..to.min(len));
                }
                _ => {
                    let unwanted = element(&mut rng);
                    let (from, most) = (end(&mut rng), rng.below(4) as usize + 1);
                    let gone = list.remove_equal(&unwanted, from, most, limits);
                    let mut left = most;
                    let mut keep = |e: &Vec<u8>| {
                        let go = left > 0 && *e == unwanted;
                        left -= usize::from(go);
                        !go
                    };
                    match from {
                        End::Head => model.retain(&mut keep),
                        End::Tail => {
                            model.reverse();
                            model.retain(&mut keep);
                            model.reverse();
                        }
                    }
                    assert_eq!(gone, len - model.len());
                }
            }
            assert_eq!(list.len(), model.len(), "seed {seed} step {step}");
        }
        assert_eq!(contents(&list), model, "seed {seed}");
        for (list, model) in snapshots {
            assert_eq!(contents(&list), model, "snapshot, seed {seed}");
        }
    }
}

#[test]
fn grows_at_the_limit_and_shrinks_at_half_of_it() {
    let limits = ListLimits {
        fill: 8,
        ..ListLimits::default()
    };
    let mut list = List::new();
    for i in 0..8 {
        list.grow_for(1, 1, limits);
        list.push(End::Tail, &[b'a' + i], limits);
    }
    assert_eq!(list.encoding(), "listpack");
    list.grow_for(1, 1, limits);
    list.push(End::Tail, b"z", limits);
    assert_eq!(list.encoding(), "quicklist");
    for _ in 0..4 {
        list.pop(End::Tail, limits, |_| ());
    }
    assert_eq!((list.len(), list.encoding()), (5, "quicklist"));
    list.pop(End::Tail, limits, |_| ());
    assert_eq!((list.len(), list.encoding()), (4, "listpack"));
}

#[test]
fn compresses_all_but_the_ends() {
    let limits = ListLimits {
        fill: 4,
        compress_depth: 1,
        plain_from: 0,
    };
    let mut list = List::new();
    for i in 0..40 {
        list.grow_for(100, 1, limits);
        list.push(End::Tail, &[b'a' + i % 20; 100], limits);
    }
    let squeezed: Vec<bool> = list
        .nodes()
        .map(|node| matches!(node, super::Node::Squeezed { .. }))
        .collect();
    let (first, last) = (squeezed[0], squeezed[squeezed.len() - 1]);
    assert!(!first && !last && squeezed.len() > 8);
    assert!(squeezed[1..squeezed.len() - 1].iter().all(|&s| s));
    // Opened to be written to, and closed again.
    assert!(list.replace(20, b"short", limits));
    assert_eq!(list.with(20, |e| e.to_vec()).unwrap(), b"short");
    let open = list
        .nodes()
        .filter(|node| !matches!(node, super::Node::Squeezed { .. }))
        .count();
    assert_eq!(open, 2);
}
