//! The layout of streams: nodes, counters, groups, pending entries, consumers.
//!
//! ```text
//!   nodes  n × (16-byte ID, listpack)       length, last ID
//!   v2 on  first ID, greatest deleted ID, entries added
//!   groups n × name, last ID, [v2 on: entries read], pending n × (16-byte ID, ms, count),
//!              consumers n × name, seen ms, [v3 on: active ms], pending n × 16-byte ID,
//!              [v5 on: pending without an owner n × 16-byte ID]
//! v4 on  seconds, messages a producer may have, producers n × name, messages n × (iid, ID),
//!        messages ever added, ever sent again
//! ```
//!
//! Reading yields [`StreamParts`]: checked as far as its own parts tell, and not yet a stream.
//!
//! Mirrors: rdbSaveStreamPEL(), rdbSaveStreamConsumers() and the streams' arm of rdbLoadObject() in rdb.c.
//! Differs: reading and building are apart; Redis builds the stream while it reads.

use std::collections::{HashMap, HashSet};

use super::read_value::listpack;
use super::{Decoder, Encoder, Error, Type};
use crate::collections::listpack::{Listpack, LpEntry};

/// An entry's ID: milliseconds above, sequence number below.
pub type Id = u128;

/// A stream, taken apart.
#[derive(Debug, Default)]
pub struct StreamParts {
    /// In the order of the file, which is that of the IDs unless somebody lies.
    pub nodes: Vec<(Id, Listpack)>,
    pub length: u64,
    pub last_id: Id,
    /// Counters that version 1 lacks.
    pub counters: Option<Counters>,
    pub groups: Vec<GroupParts>,
    /// Messages of producers, new in version 4.
    pub idmp: Option<IdmpParts>,
}

/// The messages of all producers.
#[derive(Debug, Default)]
pub struct IdmpParts {
    pub duration_s: u64,
    pub max_size: u64,
    pub producers: Vec<ProducerParts>,
    pub added: u64,
    pub duplicates: u64,
}

/// The messages of one producer, oldest first.
#[derive(Debug, Default)]
pub struct ProducerParts {
    pub name: Vec<u8>,
    pub messages: Vec<(Vec<u8>, Id)>,
}

/// The counters that version 2 added.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counters {
    pub first_id: Id,
    pub max_deleted_id: Id,
    pub entries_added: u64,
}

/// A consumer group.
#[derive(Debug, Default)]
pub struct GroupParts {
    pub name: Vec<u8>,
    pub last_id: Id,
    /// All bits set: unknown. `None`: version 1, to be estimated.
    pub entries_read: Option<u64>,
    pub pending: Vec<PendingParts>,
    pub consumers: Vec<ConsumerParts>,
    /// Pending entries without an owner.
    pub unowned: Vec<Id>,
}

/// A delivery that nobody acknowledged.
#[derive(Debug, Clone, Copy)]
pub struct PendingParts {
    pub id: Id,
    pub delivered_ms: i64,
    pub deliveries: u64,
}

/// A consumer.
#[derive(Debug, Default)]
pub struct ConsumerParts {
    pub name: Vec<u8>,
    pub seen_ms: i64,
    /// -1: never.
    pub active_ms: i64,
    pub pending: Vec<Id>,
}

type Result<T> = std::result::Result<T, Error>;

fn split_id(dec: &mut Decoder<'_>) -> Result<Id> {
    Ok(u128::from(dec.length()?) << 64 | u128::from(dec.length()?))
}

/// Reads a stream of any version. `deep`: every entry of every node is walked, and everything pending has an owner.
pub fn read(dec: &mut Decoder<'_>, ty: Type, deep: bool) -> Result<StreamParts> {
    let mut parts = StreamParts::default();
    let mut seen = HashSet::new();
    let mut text = Vec::new();
    // Unknown once a node cannot be walked.
    let mut entries = Some(0);
    for _ in 0..dec.length()? {
        dec.string_into(&mut text)?;
        let Ok(id) = <[u8; 16]>::try_from(&text[..]) else {
            return Err(dec.corrupt("Stream node key entry is not the size of a stream ID"));
        };
        let id = Id::from_be_bytes(id);
        dec.string_into(&mut text)?;
        const BAD: &str = "Stream listpack integrity check failed.";
        let node = listpack(dec, &text, deep, BAD)?;
        match sound_entries(&node) {
            Some(n) => entries = entries.map(|entries| entries + n),
            None if deep => return Err(dec.corrupt(BAD)),
            None => {
                entries = None;
                dec.remark(BAD);
            }
        }
        if node.first().is_none() {
            return Err(dec.corrupt("Empty listpack inside stream"));
        }
        if !seen.insert(id) {
            return Err(dec.corrupt("Listpack re-added with existing key"));
        }
        parts.nodes.push((id, node));
    }
    parts.length = dec.length()?;
    parts.last_id = split_id(dec)?;
    if ty != Type::StreamListpacks {
        parts.counters = Some(Counters {
            first_id: split_id(dec)?,
            max_deleted_id: split_id(dec)?,
            entries_added: dec.length()?,
        });
    }
    if parts.length > 0 && parts.nodes.is_empty() {
        return Err(dec.corrupt("Stream length inconsistent with rax entries"));
    }
    if let Some(entries) = entries
        && entries != parts.length
    {
        dec.remark("The length of the stream is not the number of its entries");
        parts.length = entries;
    }
    let mut names = HashSet::new();
    for _ in 0..dec.length()? {
        let group = read_group(dec, ty, deep)?;
        if !names.insert(group.name.clone()) {
            return Err(dec.corrupt("Duplicated consumer group name"));
        }
        parts.groups.push(group);
    }
    if ty as u8 >= Type::StreamListpacks4 as u8 {
        parts.idmp = Some(read_idmp(dec)?);
    }
    Ok(parts)
}

fn read_idmp(dec: &mut Decoder<'_>) -> Result<IdmpParts> {
    let mut idmp = IdmpParts {
        duration_s: dec.length()?,
        max_size: dec.length()?,
        ..IdmpParts::default()
    };
    for _ in 0..dec.length()? {
        let mut producer = ProducerParts {
            name: dec.string()?,
            ..ProducerParts::default()
        };
        for _ in 0..dec.length()? {
            producer.messages.push((dec.string()?, split_id(dec)?));
        }
        idmp.producers.push(producer);
    }
    (idmp.added, idmp.duplicates) = (dec.length()?, dec.length()?);
    Ok(idmp)
}

/// The number of entries, if a listpack is what the streams make of one: a master entry, and as many entries as it
/// claims, deleted ones among them, each closed by the count of its own elements.
#[doc(alias = "streamValidateListpackIntegrity")]
fn sound_entries(node: &Listpack) -> Option<u64> {
    const DELETED: i64 = 1;
    const SAME_FIELDS: i64 = 2;
    let mut walk = node.iter();
    let int = |walk: &mut dyn Iterator<Item = LpEntry<'_>>| walk.next()?.as_int();
    let skip = |walk: &mut dyn Iterator<Item = LpEntry<'_>>, n: i64| {
        (0..n).try_for_each(|_| walk.next().map(drop))
    };
    let (live, deleted) = (int(&mut walk)?, int(&mut walk)?);
    let entries = live.checked_add(deleted)?;
    let master_fields = int(&mut walk)?;
    skip(&mut walk, master_fields)?;
    (int(&mut walk)? == 0).then_some(())?;
    (entries >= 0).then_some(())?;
    let mut counted = 0;
    for _ in 0..entries {
        let flags = int(&mut walk)?;
        counted += u64::from(flags & DELETED == 0);
        int(&mut walk)?;
        int(&mut walk)?;
        let (mut fields, mut own) = (master_fields, 3i64);
        if flags & SAME_FIELDS == 0 {
            fields = int(&mut walk)?;
            skip(&mut walk, fields)?;
            own = own.checked_add(fields)?.checked_add(1)?;
        }
        skip(&mut walk, fields)?;
        (int(&mut walk)? == fields.checked_add(own)?).then_some(())?;
    }
    (walk.next().is_none() && u64::try_from(live) == Ok(counted)).then_some(counted)
}

fn read_group(dec: &mut Decoder<'_>, ty: Type, deep: bool) -> Result<GroupParts> {
    let mut group = GroupParts {
        name: dec.string()?,
        last_id: split_id(dec)?,
        ..GroupParts::default()
    };
    if ty != Type::StreamListpacks {
        group.entries_read = Some(dec.length()?);
    }
    // Which consumer of the group has it.
    let mut owners: HashMap<Id, Option<usize>> = HashMap::new();
    for _ in 0..dec.length()? {
        let pending = PendingParts {
            id: Id::from_be_bytes(dec.array()?),
            delivered_ms: dec.millis()?,
            deliveries: dec.length()?,
        };
        if owners.insert(pending.id, None).is_some() {
            return Err(dec.corrupt("Duplicated global PEL entry loading stream consumer group"));
        }
        group.pending.push(pending);
    }
    let mut names = HashSet::new();
    for index in 0..dec.length()? as usize {
        let name = dec.string()?;
        if !names.insert(name.clone()) {
            return Err(dec.corrupt("Duplicate stream consumer detected."));
        }
        let seen_ms = dec.millis()?;
        let active_ms = match ty {
            Type::StreamListpacks | Type::StreamListpacks2 => seen_ms,
            _ => dec.millis()?,
        };
        let mut consumer = ConsumerParts {
            name,
            seen_ms,
            active_ms,
            pending: Vec::new(),
        };
        for _ in 0..dec.length()? {
            let id = Id::from_be_bytes(dec.array()?);
            match owners.get_mut(&id) {
                None => {
                    return Err(dec.corrupt("Consumer entry not found in group global PEL"));
                }
                Some(Some(owner)) if *owner == index => {
                    return Err(dec.corrupt(
                        "Stream consumer PEL entry already has a consumer assigned: duplicated consumer PEL entry",
                    ));
                }
                Some(Some(_)) => {
                    return Err(
                        dec.corrupt("Stream consumer PEL entry already has a consumer assigned")
                    );
                }
                Some(owner) => *owner = Some(index),
            }
            consumer.pending.push(id);
        }
        group.consumers.push(consumer);
    }
    if ty == Type::StreamListpacks5 {
        for _ in 0..dec.length()? {
            let id = Id::from_be_bytes(dec.array()?);
            // As if it had an owner: it may have none besides.
            match owners.insert(id, Some(usize::MAX)) {
                Some(None) => group.unowned.push(id),
                Some(Some(_)) => return Err(dec.corrupt("Stream NACK entry with a consumer")),
                None => return Err(dec.corrupt("Stream NACK entry not found in group global PEL")),
            }
        }
    }
    if deep && owners.values().any(Option::is_none) {
        return Err(dec.corrupt("Stream CG PEL entry without consumer"));
    }
    Ok(group)
}

impl Encoder<'_> {
    /// An ID as two numbers.
    pub fn id_numbers(&mut self, id: Id) {
        self.length((id >> 64) as u64);
        self.length(id as u64);
    }

    /// An ID as sixteen bytes.
    pub fn id_bytes(&mut self, id: Id) {
        self.raw(&id.to_be_bytes());
    }
}
