//! Streams and groups against naive models, with snapshots.

use std::collections::BTreeMap;

use super::*;
use crate::collections::listpack::Check;
use crate::util::rng::Rng;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// The content a stream should have.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    entries: Vec<(StreamId, Fields)>,
    added: u64,
    max_deleted: StreamId,
    groups: BTreeMap<Vec<u8>, ModelGroup>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct ModelGroup {
    last_id: StreamId,
    pel: BTreeMap<StreamId, (i64, u64, Option<Vec<u8>>)>,
    consumers: Vec<Vec<u8>>,
}

fn read(mut entries: Entries<'_>) -> Vec<(StreamId, Fields)> {
    let mut all = Vec::new();
    while let Some(entry) = entries.next() {
        let mut fields = Vec::new();
        // Some are passed over.
        let wanted = entry.fields;
        for _ in 0..wanted {
            let (field, value) = entries.field().expect("as many as it says");
            fields.push((field.to_vec(), value.to_vec()));
        }
        assert!(entries.field().is_none());
        all.push((entry.id, fields));
    }
    all
}

fn word(rng: &mut Rng) -> Vec<u8> {
    match rng.below(6) {
        0 => rng.below(300).to_string().into_bytes(),
        1 => (rng.next_u64() as i64).to_string().into_bytes(),
        2 => vec![b'v'; rng.below(200) as usize],
        _ => format!("word:{}", rng.below(20)).into_bytes(),
    }
}

fn fields(rng: &mut Rng) -> Fields {
    if rng.below(4) > 0 {
        return vec![(b"name".to_vec(), word(rng)), (b"7".to_vec(), word(rng))];
    }
    let pairs = 1 + rng.below(4);
    (0..pairs).map(|_| (word(rng), word(rng))).collect()
}

fn some_id(rng: &mut Rng, model: &Model) -> StreamId {
    match rng.below(8) {
        0 => StreamId::MIN,
        1 => StreamId::MAX,
        2 => StreamId::new(rng.below(60), rng.below(4)),
        _ if model.entries.is_empty() => StreamId::MIN,
        _ => model.entries[rng.below(model.entries.len() as u64) as usize].0,
    }
}

fn compare(stream: &Stream, model: &Model, at: &str) {
    let all = stream.entries(StreamId::MIN, StreamId::MAX, false);
    assert_eq!(read(all), model.entries, "{at}");
    assert_eq!(stream.len(), model.entries.len() as u64, "{at}");
    let first = model.entries.first().map_or(StreamId::MIN, |e| e.0);
    assert_eq!(stream.counters().first_id, first, "{at}");
    assert_eq!(stream.counters().entries_added, model.added, "{at}");
    assert_eq!(stream.counters().max_deleted_id, model.max_deleted, "{at}");
    assert_eq!(stream.last_valid_id(), model.entries.last().map(|e| e.0));
    for (_, block) in stream.blocks() {
        assert!(block.is_sound(), "{at}");
    }
    assert_eq!(stream.groups_len(), model.groups.len(), "{at}");
    for ((name, group), (model_name, model)) in stream.groups().zip(&model.groups) {
        assert_eq!(&name[..], model_name);
        group.check();
        assert_eq!(group.last_id, model.last_id, "{at}");
        let pel: BTreeMap<_, _> = group
            .pel()
            .iter()
            .map(|pair| {
                let owner = pair.value.owner().map(|name| name.to_vec());
                let pending = (pair.value.delivered_ms, pair.value.deliveries(), owner);
                (pair.key, pending)
            })
            .collect();
        assert_eq!(pel, model.pel, "{at}");
        let names: Vec<_> = group.consumers().map(|(name, _)| name.to_vec()).collect();
        assert_eq!(names, model.consumers, "{at}");
    }
}

/// Deletes the entry at an index of the model.
fn forget(model: &mut Model, index: usize) {
    model.entries.remove(index);
}

fn trim(rng: &mut Rng, stream: &mut Stream, model: &mut Model, at: &str) {
    let to = match rng.below(2) {
        0 => TrimTo::Length(rng.below(model.entries.len() as u64 + 3)),
        _ => TrimTo::MinId(some_id(rng, model)),
    };
    let references =
        [References::Keep, References::Drop, References::Respect][rng.below(3) as usize];
    let trim = Trim {
        to,
        approximate: rng.below(2) == 0,
        limit: [0, 0, 5][rng.below(3) as usize],
        references,
    };
    let before = model.entries.clone();
    let went = stream.trim(&trim).entries as usize;
    let left = read(stream.entries(StreamId::MIN, StreamId::MAX, false));
    assert_eq!(before.len() - left.len(), went, "{at} {trim:?}");
    let gone: Vec<StreamId> = before
        .iter()
        .filter(|entry| !left.contains(entry))
        .map(|entry| entry.0)
        .collect();
    let referenced = |model: &Model, id: StreamId| {
        let mut groups = model.groups.values();
        groups.any(|group| group.last_id < id || group.pel.contains_key(&id))
    };
    if let TrimTo::MinId(min) = to {
        assert!(gone.iter().all(|id| *id < min), "{at}");
    }
    match references {
        References::Respect => assert!(gone.iter().all(|id| !referenced(model, *id)), "{at}"),
        _ => assert!(before.ends_with(&left), "{at} {trim:?}"),
    }
    if !trim.approximate && trim.limit == 0 && references != References::Respect {
        match to {
            TrimTo::Length(most) => assert!(left.len() as u64 <= most, "{at}"),
            TrimTo::MinId(min) => assert!(left.iter().all(|entry| entry.0 >= min), "{at}"),
        }
    }
    if references == References::Drop {
        for group in model.groups.values_mut() {
            gone.iter().for_each(|id| drop(group.pel.remove(id)));
        }
    }
    model.entries = left;
}

fn change_group(rng: &mut Rng, stream: &mut Stream, model: &mut Model) {
    let name = format!("group{}", rng.below(3)).into_bytes();
    let who = format!("consumer{}", rng.below(4)).into_bytes();
    let id = some_id(rng, model);
    let ms = rng.below(1000) as i64;
    if rng.below(12) == 0 {
        let created = stream.create_group(&name, Group::new(id, UNKNOWN));
        assert_eq!(created, !model.groups.contains_key(&name));
        model.groups.entry(name).or_insert(ModelGroup {
            last_id: id,
            ..ModelGroup::default()
        });
        return;
    }
    if rng.below(60) == 0 {
        assert_eq!(
            stream.remove_group(&name),
            model.groups.remove(&name).is_some()
        );
        return;
    }
    let Some(model) = model.groups.get_mut(&name) else {
        assert!(stream.group_mut(&name).is_none());
        return;
    };
    let life = stream.life();
    let group = stream.group_mut(&name).expect("the model has it");
    match rng.below(10) {
        0 => {
            let created = group.create_consumer(&who, ms, -1);
            assert_eq!(created, !model.consumers.contains(&who));
            if created {
                model.consumers.push(who);
                model.consumers.sort();
            }
        }
        1 => {
            let removed = group.remove_consumer(&who);
            assert_eq!(removed.is_some(), model.consumers.contains(&who));
            let before = model.pel.len();
            model
                .pel
                .retain(|_, pending| pending.2.as_ref() != Some(&who));
            model.consumers.retain(|name| *name != who);
            assert_eq!(removed.unwrap_or(0), (before - model.pel.len()) as u64);
        }
        2..6 => {
            let Some(to) = group.consumer_name(&who).cloned() else {
                return;
            };
            group.advance(id, life);
            group.deliver(id, &to, ms, 3);
            model.last_id = model.last_id.max(id);
            model.pel.insert(id, (ms, 3, Some(who)));
        }
        6 => {
            assert_eq!(group.ack(id), model.pel.remove(&id).is_some());
        }
        7 => {
            group.release(id, 9);
            model.pel.insert(id, (0, 9, None));
        }
        8 => {
            group.redeliver(id, ms, 4);
            if let Some(pending) = model.pel.get_mut(&id) {
                (pending.0, pending.1) = (ms, 4);
            }
        }
        _ => {
            let mut old: Vec<_> = model.pel.iter().map(|(id, p)| (p.0, *id)).collect();
            old.retain(|(delivered, _)| *delivered <= ms);
            old.sort();
            let old: Vec<_> = old.into_iter().map(|(_, id)| id).take(5).collect();
            assert_eq!(group.oldest(ms, 5), old);
        }
    }
}

#[test]
fn does_what_a_vector_does() {
    let rounds = if cfg!(miri) { 2 } else { 60 };
    for seed in 0..rounds {
        let mut rng = Rng::new(seed);
        let limits = StreamLimits {
            block_bytes: [0, 200, 4096][rng.below(3) as usize],
            block_entries: [0, 1, 3, 10][rng.below(4) as usize],
        };
        let (mut stream, mut model) = (Stream::new(), Model::default());
        let mut snapshots = Vec::new();
        let steps = if cfg!(miri) { 60 } else { 500 };
        for step in 0..steps {
            let at = format!("seed {seed} step {step}");
            match rng.below(20) {
                0..8 => {
                    let last = stream.last_id();
                    let id = match rng.below(3) {
                        0 => StreamId::new(last.ms, last.seq + 1 + rng.below(3)),
                        _ => StreamId::new(last.ms + 1 + rng.below(3), rng.below(3)),
                    };
                    let fields = fields(&mut rng);
                    let words = fields
                        .iter()
                        .flat_map(|(f, v)| [f.as_slice(), v.as_slice()]);
                    stream
                        .append(id, words, fields.len(), limits)
                        .expect("small");
                    model.entries.push((id, fields));
                    model.added += 1;
                }
                8..11 => {
                    let id = some_id(&mut rng, &model);
                    let index = model.entries.iter().position(|entry| entry.0 == id);
                    assert_eq!(stream.contains(id), index.is_some(), "{at}");
                    assert_eq!(stream.delete(id), index.is_some(), "{at}");
                    if let Some(index) = index {
                        forget(&mut model, index);
                        model.max_deleted = model.max_deleted.max(id);
                    }
                }
                11 => trim(&mut rng, &mut stream, &mut model, &at),
                12 => snapshots.push((stream.clone(), model.clone())),
                13 => {
                    let (from, to) = (some_id(&mut rng, &model), some_id(&mut rng, &model));
                    let mut range = model.entries.clone();
                    range.retain(|entry| (from..=to).contains(&entry.0));
                    assert_eq!(read(stream.entries(from, to, false)), range, "{at}");
                    range.reverse();
                    assert_eq!(read(stream.entries(from, to, true)), range, "{at}");
                }
                _ => change_group(&mut rng, &mut stream, &mut model),
            }
            if step % 20 == 0 {
                compare(&stream, &model, &at);
            }
        }
        snapshots.push((stream, model));
        for (i, (stream, model)) in snapshots.iter().enumerate() {
            compare(stream, model, &format!("seed {seed} snapshot {i}"));
        }
    }
}

#[test]
fn nonsense_never_panics() {
    let mut rng = Rng::new(7);
    let limits = StreamLimits {
        block_bytes: 0,
        block_entries: 6,
    };
    for _ in 0..2000 {
        let mut stream = Stream::new();
        for i in 0..1 + rng.below(12) {
            let fields = fields(&mut rng);
            let words = fields
                .iter()
                .flat_map(|(f, v)| [f.as_slice(), v.as_slice()]);
            let id = StreamId::new(1 + i, 0);
            stream
                .append(id, words, fields.len(), limits)
                .expect("small");
        }
        let damaged: Vec<(StreamId, Listpack)> = stream
            .blocks()
            .map(|(id, block)| {
                let mut bytes = block.as_bytes().to_vec();
                for _ in 0..1 + rng.below(4) {
                    let at = 6 + rng.below(bytes.len() as u64 - 7) as usize;
                    bytes[at] = rng.next_u64() as u8;
                }
                let block =
                    Listpack::from_bytes(&bytes, Check::Shallow).expect("the frame is right");
                (id, block)
            })
            .collect();
        let length = match rng.below(8) {
            0 => u64::MAX,
            _ => stream.len(),
        };
        let mut stream = Stream::of_blocks(damaged, length, stream.counters());
        for back in [false, true] {
            let mut entries = stream.entries(StreamId::MIN, StreamId::MAX, back);
            let mut fields = 0;
            while let Some(entry) = entries.next() {
                fields += entry.fields;
                for _ in 0..entry.fields {
                    let _ = entries.field();
                }
            }
            assert!(fields < 100_000);
        }
        let id = StreamId::new(1 + rng.below(12), 0);
        let _ = (
            stream.delete(id),
            stream.contains(id),
            stream.last_valid_id(),
        );
        let _ = (stream.first_flagged_id(), stream.allocated_bytes(2));
        let mut other = stream.clone();
        let to = [TrimTo::Length(2), TrimTo::MinId(id)][rng.below(2) as usize];
        other.trim(&Trim {
            to,
            approximate: rng.below(2) == 0,
            limit: 0,
            references: References::Respect,
        });
        stream.trim(&Trim {
            to,
            approximate: false,
            limit: 0,
            references: References::Keep,
        });
        // A length without blocks is what no file may have.
        for stream in [&stream, &other] {
            assert!(stream.is_empty() || stream.blocks().next().is_some());
        }
        let words = [&b"a"[..], b"b"];
        let next = StreamId::new(100, 0);
        stream
            .append(next, words.into_iter(), 1, limits)
            .expect("small");
    }
}

#[test]
fn same_bytes_as_redis() {
    // The bytes Redis 7.0.15 keeps after XADD 5-1 name x n 1, XADD 5-2 name y n 2, XADD 6-0 other z, XDEL 5-2.
    let mut stream = Stream::new();
    let limits = StreamLimits::default();
    let entries: [(StreamId, &[&[u8]]); 3] = [
        (StreamId::new(5, 1), &[b"name", b"x", b"n", b"1"]),
        (StreamId::new(5, 2), &[b"name", b"y", b"n", b"2"]),
        (StreamId::new(6, 0), &[b"other", b"z"]),
    ];
    for (id, words) in entries {
        let pairs = words.len() / 2;
        stream
            .append(id, words.iter().copied(), pairs, limits)
            .expect("small");
    }
    assert!(stream.delete(StreamId::new(5, 2)));
    let (base, block) = stream.blocks().next().expect("one block");
    assert_eq!(base, StreamId::new(5, 1));
    let hex: String = block
        .as_bytes()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(hex, REDIS_BLOCK);
}

const REDIS_BLOCK: &str = "470000001900020101010201846e616d6505816e020001020100010001817802010105010301000101018179020201050100010101dfff020101856f7468657206817a020601ff";

/// XINFO's figures of a group's progress are true or not given: `entries-read` is the number of entries ever added up
/// to the group's ID, `lag` that of the entries behind it that are there. Trims (redis 13957), deletions and groups
/// that are set anywhere make it unknown, never wrong.
#[test]
fn progress_of_groups_is_true_or_unknown() {
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let mut stream = Stream::new();
        let limits = StreamLimits {
            block_entries: 1 + rng.below(5) as usize,
            ..StreamLimits::default()
        };
        // Every ID that was ever added, and those that are there.
        let (mut ever, mut live): (Vec<StreamId>, Vec<StreamId>) = (Vec::new(), Vec::new());
        let names: [&[u8]; 3] = [b"a", b"b", b"c"];
        for step in 0..200 {
            let name = names[rng.below(3) as usize];
            let any = |rng: &mut Rng, ever: &[StreamId]| match ever.len() {
                0 => StreamId::MIN,
                len => ever[rng.below(len as u64) as usize],
            };
            match rng.below(12) {
                0..=4 => {
                    let id = StreamId::new(step + 1, 0);
                    let words = [b"f".as_slice(), b"v"];
                    let added = stream.append(id, words.iter().copied(), 1, limits);
                    added.expect("short words");
                    ever.push(id);
                    live.push(id);
                }
                5 => {
                    let id = any(&mut rng, &ever);
                    stream.delete(id);
                    live.retain(|one| *one != id);
                }
                6 => {
                    let to = match rng.below(2) {
                        0 => TrimTo::Length(rng.below(10)),
                        _ => TrimTo::MinId(any(&mut rng, &ever)),
                    };
                    stream.trim(&Trim {
                        to,
                        approximate: rng.below(2) == 0,
                        limit: 0,
                        references: References::Keep,
                    });
                    let left = read(stream.entries(StreamId::MIN, StreamId::MAX, false));
                    live = left.into_iter().map(|(id, _)| id).collect();
                }
                7 => {
                    let last_id = match rng.below(3) {
                        0 => StreamId::MIN,
                        1 => stream.last_id(),
                        _ => any(&mut rng, &ever),
                    };
                    stream.remove_group(name);
                    stream.create_group(name, Group::new(last_id, UNKNOWN));
                }
                _ => {
                    let life = stream.life();
                    let count = 1 + rng.below(3) as usize;
                    if let Some(group) = stream.group_mut(name) {
                        let from = group.last_id;
                        let new = live.iter().filter(|id| **id > from).take(count);
                        new.for_each(|id| group.advance(*id, life));
                    }
                }
            }
            for (name, group) in stream.groups() {
                let at = format!("seed {seed}, step {step}, group {name:?}");
                if group.entries_read != UNKNOWN {
                    let read = ever.iter().filter(|id| **id <= group.last_id);
                    assert_eq!(group.entries_read, read.count() as i64, "{at}");
                }
                if let Some(lag) = stream.lag(group) {
                    let behind = live.iter().filter(|id| **id > group.last_id);
                    assert_eq!(lag, behind.count() as i64, "{at}");
                }
            }
        }
    }
}
