//! The whole value against a model, and under snapshots.

use std::collections::BTreeMap;

use super::build::{Builder, Farthest, Told, ToldLevel};
use super::*;
use crate::collections::testing::Rng;

fn vector(rng: &mut Rng, dim: usize) -> Vec<f32> {
    (0..dim)
        .map(|_| rng.next() as f32 / u64::MAX as f32 - 0.5)
        .collect()
}

type Model = BTreeMap<Vec<u8>, (Vec<f32>, Option<Vec<u8>>)>;

fn assert_equal(set: &Vset, model: &Model) {
    set.inner.graph.check();
    assert_eq!(set.len(), model.len());
    let names: Vec<&[u8]> = set.names(0..u64::MAX).collect();
    assert_eq!(names, model.keys().map(Vec::as_slice).collect::<Vec<_>>());
    let attributes = model.values().filter(|(_, attribute)| attribute.is_some());
    assert_eq!(set.attributes(), attributes.count() as u64);
    for (name, (vector, attribute)) in model {
        assert_eq!(set.attribute(name), Some(attribute.as_deref()));
        let row = encode(set.shape().quant, vector.clone());
        assert_eq!(set.stored(name).expect("it is there").to_row(), row);
    }
}

/// The same set, written to the form of a file and read back.
fn rebuilt(set: &Vset, seed: u64) -> Result<Vset, &'static str> {
    let mut builder = Builder::new(set.shape(), set.projection().cloned(), seed);
    let ids = set.ids();
    for node in set.nodes() {
        let told = |slot: &u32| ids[*slot as usize];
        let levels: Vec<ToldLevel> = (0..=node.level())
            .map(|level| ToldLevel {
                links: node.links(level).iter().map(told).collect(),
                capacity: node.capacity(level) as u64,
                // Told rightly, told wrongly, or not at all.
                farthest: [Some(node.worst(level)), Some((1, 3.0)), None][ids.len() % 3].map(
                    |(place, distance)| Farthest {
                        place: place as u32,
                        distance,
                    },
                ),
            })
            .collect();
        builder.node(Told {
            id: node.id(),
            name: node.name(),
            attribute: node.attribute().unwrap_or_default(),
            stored: node.stored(),
            levels: &levels,
        })?;
    }
    builder.finish()
}

#[test]
fn a_set_and_its_snapshots_equal_their_models() {
    for seed in 0..12u64 {
        let mut rng = Rng::new(seed);
        let quant = [Quant::F32, Quant::Q8, Quant::Bin][rng.below(3)];
        let dim = 1 + rng.below(40);
        let shape = Shape {
            quant,
            dim: dim as u32,
            m: 4 + rng.below(70) as u16,
        };
        let mut set = Vset::new(shape, None, seed);
        let mut model = Model::new();
        let mut held: Vec<(Vset, Model)> = vec![];
        for _ in 0..600 {
            let name = format!("member:{}", rng.below(150)).into_bytes();
            match rng.below(8) {
                0..=4 => {
                    let new = vector(&mut rng, dim);
                    let attribute = match rng.below(6) {
                        0 | 1 => Some(format!("{{\"n\":{}}}", rng.below(9)).into_bytes()),
                        2 => Some(vec![]),
                        _ => None,
                    };
                    let is_new = set.add(&name, new.clone(), 50, attribute.as_deref());
                    assert_eq!(is_new, !model.contains_key(&name));
                    let entry = model.entry(name).or_default();
                    entry.0 = new;
                    // An empty one takes away what there is.
                    let attribute = attribute.or(entry.1.take());
                    entry.1 = attribute.filter(|text| !text.is_empty());
                }
                5 => {
                    let attribute = (rng.below(2) == 0).then(|| b"{}".to_vec());
                    let found = set.set_attribute(&name, attribute.as_deref());
                    assert_eq!(found, model.contains_key(&name));
                    if let Some(entry) = model.get_mut(&name) {
                        entry.1 = attribute;
                    }
                }
                _ => assert_eq!(set.remove(&name), model.remove(&name).is_some()),
            }
            if rng.below(60) == 0 {
                held.push((set.clone(), model.clone()));
            }
        }
        let again = rebuilt(&set, seed + 1).expect("a set of ours is whole");
        assert_eq!(again.last_id(), set.last_id());
        for node in set.nodes() {
            let (old, new) = (set.links(node.name()), again.links(node.name()));
            let names = |set: &Vset, links: Option<Vec<Vec<Near>>>| -> Vec<Vec<Vec<u8>>> {
                let levels = links.expect("it is there").into_iter();
                levels
                    .map(|level| {
                        level
                            .iter()
                            .map(|near| set.name(near.slot).to_vec())
                            .collect()
                    })
                    .collect()
            };
            assert_eq!(names(&set, old), names(&again, new));
        }
        held.push((set, model.clone()));
        held.push((again, model));
        for (set, model) in &held {
            assert_equal(set, model);
        }
    }
}

/// How long attributes are shows when the filter meets them: a search that is short but for that is given up.
#[test]
fn a_search_within_a_budget_says_the_same_or_nothing() {
    let shape = Shape {
        quant: Quant::Q8,
        dim: 4,
        m: 4,
    };
    let (mut set, mut rng) = (Vset::new(shape, None, 1), Rng::new(1));
    for i in 0..20u8 {
        let attribute = format!("{{\"n\": {i}, \"text\": \"{}\"}}", "x".repeat(1000));
        let new = vector(&mut rng, 4);
        set.add(&[b'a' + i], new, 50, Some(attribute.as_bytes()));
    }
    let mut query = set.query(vec![1.0, 2.0, 3.0, 4.0]);
    query.filter = Filter::compile(b".n > 5 and .m > 1 or .n > 7").ok();
    for exact in [true, false] {
        query.exact = exact;
        let found = set.search(&query, None);
        assert_eq!(set.search_within(&query, 20 * 4000), Some(found));
        assert_eq!(set.search_within(&query, 20 * 3000), None);
        query.filter = None;
        assert!(set.search_within(&query, 0).is_some());
        query.filter = Filter::compile(b".n > 5 and .n < 9 or .n > 17").ok();
    }
    let cancelled = AtomicBool::new(true);
    assert!(set.search(&query, Some(&cancelled)).is_empty());
}

#[test]
fn a_search_finds_what_a_scan_finds() {
    let mut rng = Rng::new(5);
    let shape = Shape {
        quant: Quant::Q8,
        dim: 20,
        m: DEFAULT_M,
    };
    let mut set = Vset::new(shape, None, 9);
    for n in 0..800 {
        let attribute = format!("{{\"n\": {n}}}");
        let name = format!("{n}");
        set.add(
            name.as_bytes(),
            vector(&mut rng, 20),
            200,
            Some(attribute.as_bytes()),
        );
    }
    let mut hits = 0;
    for n in 0..40 {
        let mut query = set.query(vector(&mut rng, 20));
        if n % 2 == 0 {
            query.filter = Some(Filter::compile(b".n % 3 == 0").expect("it is right"));
        }
        let found = set.search(&query, None);
        assert_eq!(found.len(), 10);
        if n % 2 == 0 {
            assert!(found.iter().all(|near| {
                let name = String::from_utf8_lossy(set.name(near.slot)).into_owned();
                name.parse::<u32>().expect("a number") % 3 == 0
            }));
        }
        query.exact = true;
        let exact = set.search(&query, None);
        hits += exact.iter().filter(|near| found.contains(near)).count();
        let cancelled = AtomicBool::new(true);
        assert!(set.search(&query, Some(&cancelled)).len() <= 10);
    }
    assert!(hits > 390, "{hits}");
    let query = set.query_of(b"17").expect("it is there");
    let nearest = set.search(&query, None)[0];
    assert_eq!(set.name(nearest.slot), b"17");
}

/// Number, name, and the numbers of the neighbours on each level.
type Said<'a> = (u64, &'a str, &'a [&'a [u64]]);

/// redis 15385, 15386, 15400: payloads that must be refused.
#[test]
fn links_that_break_the_graph_are_refused() {
    let shape = Shape {
        quant: Quant::F32,
        dim: 1,
        m: 4,
    };
    let one = 1f32.to_le_bytes();
    let stored = Stored {
        bytes: &one,
        l2: 1.0,
        range: 0.0,
    };
    let build = |nodes: &[Said<'_>]| -> Result<usize, &'static str> {
        let mut builder = Builder::new(shape, None, 1);
        for (id, name, levels) in nodes {
            let level = |links: &&[u64]| ToldLevel {
                links: links.to_vec(),
                capacity: 8,
                farthest: None,
            };
            let levels: Vec<_> = levels.iter().map(level).collect();
            builder.node(Told {
                id: *id,
                name: name.as_bytes(),
                attribute: b"",
                stored,
                levels: &levels,
            })?;
        }
        builder.finish().map(|set| {
            set.inner.graph.check();
            set.len()
        })
    };
    assert_eq!(build(&[(1, "a", &[&[2]]), (2, "b", &[&[1]])]), Ok(2));
    assert_eq!(
        build(&[(7, "a", &[&[9], &[9]]), (9, "b", &[&[7], &[7]])]),
        Ok(2)
    );
    // Numbers that need more than 31 bits, beside one that does not.
    let (large, larger) = (1 << 31, i64::MAX as u64);
    let links: [&[u64]; 3] = [&[larger, 7], &[7, large], &[large, larger]];
    let nodes: [Said<'_>; 3] = [
        (large, "a", &links[..1]),
        (larger, "b", &links[1..2]),
        (7, "c", &links[2..]),
    ];
    assert_eq!(build(&nodes), Ok(3));
    assert!(build(&nodes[..2]).is_err());
    let bad: &[&[Said<'_>]] = &[
        &[(large, "a", &[&[]]), (large, "b", &[&[]])],
        &[(large, "a", &[&[larger]]), (1, "b", &[&[]])],
        &[(0, "a", &[&[]])],
        &[(u64::MAX, "a", &[&[]])],
        &[(1, "a", &[&[]]), (1, "b", &[&[]])],
        &[(1, "a", &[&[]]), (2, "a", &[&[]])],
        &[(1, "a", &[])],
        &[(1, "a", &[&[] as &[u64]; 18])],
        &[(1, "a", &[&[1]])],
        &[(1, "a", &[&[2]])],
        &[(1, "a", &[&[2]]), (2, "b", &[&[]])],
        &[(1, "a", &[&[2, 2]]), (2, "b", &[&[1, 1]])],
        &[(1, "a", &[&[2, 2]]), (2, "b", &[&[1]])],
        &[(1, "a", &[&[], &[2]]), (2, "b", &[&[1]])],
        &[(1, "a", &[&[2], &[2]]), (2, "b", &[&[1]])],
        &[(1, "a", &[&[2, 3, 4, 5, 6, 7, 8, 9, 10]])],
    ];
    for nodes in bad {
        assert!(build(nodes).is_err(), "{nodes:?}");
    }
    for (bytes, l2, range) in [
        (f32::NAN.to_le_bytes(), 1.0, 0.0),
        (f32::INFINITY.to_le_bytes(), 1.0, 0.0),
        (one, f32::NAN, 0.0),
    ] {
        let mut builder = Builder::new(shape, None, 1);
        let stored = Stored {
            bytes: &bytes,
            l2,
            range,
        };
        let told = Told {
            id: 1,
            name: b"a",
            attribute: b"",
            stored,
            levels: &[ToldLevel::default()],
        };
        assert!(builder.node(told).is_err());
        let short = Told {
            stored: Stored {
                bytes: &one[..3],
                ..stored
            },
            ..told
        };
        assert!(builder.node(short).is_err());
    }
    // Only quantised vectors have a range: what Redis writes for others is what its memory held.
    for (quant, bytes, taken) in [(Quant::Q8, &one[..1], false), (Quant::F32, &one[..], true)] {
        for range in [f32::NAN, f32::INFINITY, -1.0] {
            let mut builder = Builder::new(Shape { quant, ..shape }, None, 1);
            let told = Told {
                id: 1,
                name: b"a",
                attribute: b"",
                stored: Stored {
                    bytes,
                    l2: 1.0,
                    range,
                },
                levels: &[ToldLevel::default()],
            };
            assert_eq!(builder.node(told).is_ok(), taken, "{quant:?} {range}");
        }
    }
}

/// Neighbours that were looked for in a clone serve the set while it only grows. After a removal, and in another set whose
/// vectors have another length, they are looked for again.
#[test]
fn prepared_neighbours_serve_only_the_set_they_are_of() {
    let mut rng = Rng::new(7);
    let shape = |dim| Shape {
        quant: Quant::Q8,
        dim,
        m: 16,
    };
    let mut set = Vset::new(shape(12), None, 1);
    let mut model = Model::new();
    for i in 0..50 {
        let (name, vector) = (format!("{i}").into_bytes(), vector(&mut rng, 12));
        set.add(&name, vector.clone(), 200, None);
        model.insert(name, (vector, None));
    }
    let never = AtomicBool::new(false);
    for act in ["grow", "shrink", "overwrite"] {
        let new = vector(&mut rng, 12);
        let prepared = set.clone().prepare(new.clone(), 200, 3, &never);
        let (name, other) = (act.as_bytes(), vector(&mut rng, 12));
        match act {
            "grow" => {
                set.add(b"another", other.clone(), 200, None);
                model.insert(b"another".to_vec(), (other, None));
            }
            "shrink" => {
                set.remove(b"3");
                model.remove(b"3".as_slice());
            }
            _ => _ = set.add(name, other, 200, None),
        }
        let is_new = set.add_prepared(name, new.clone(), &prepared, 200, Some(b"{}"));
        assert_eq!(is_new, act != "overwrite");
        model.insert(name.to_vec(), (new, Some(b"{}".to_vec())));
        assert_equal(&set, &model);
    }
    let prepared = set.prepare(vector(&mut rng, 12), 200, 3, &never);
    let mut shorter = Vset::new(shape(4), None, 1);
    let mut model = Model::new();
    for name in ["a", "b"] {
        let new = vector(&mut rng, 4);
        assert!(shorter.add_prepared(name.as_bytes(), new.clone(), &prepared, 200, None));
        model.insert(name.as_bytes().to_vec(), (new, None));
    }
    assert_equal(&shorter, &model);
}
