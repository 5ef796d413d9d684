//! The link between layouts and our types: the one file that knows which constructor takes which bytes.
//!
//! ```text
//!   reading   Type::ZsetListpack + its bytes ──► Zset     (with the limits of this server: it may become a table)
//!   writing   Zset, version 12 ──► type_of() ──► Type::ZsetListpack ──► its bytes
//! ```
//!
//! The layout follows the encoding in memory and the version asked for. Of the layouts for streams it is the oldest
//! that holds all of the stream, so that an older Redis can read most files.
//!
//! Mirrors: rdbSaveObjectType(), rdbSaveObject(), rdbLoadObject() of rdb.c, where layouts and types are one switch.
//! Differs: the layouts themselves are in `read_value`, `write_value` and `stream`, which know no type.

use std::collections::HashMap;

use super::read_value::{self as layout, Reading};
use super::stream::{self, GroupParts, PendingParts, StreamParts};
use super::template::{self, Fields, Templates};
use super::write_value::{self as out, Unwritten};
use super::{Decoder, Encoder, Error, Reason, Type};
use crate::collections::listpack::{Check, Listpack, LpEntry};
use crate::collections::shared::BigStr;
use crate::config::Config;
use crate::types::foreign::Place;
use crate::types::list::{End, List, ListLimits, Node};
use crate::types::set::SetLimits;
use crate::types::stream::{Counters, Group, Idmp, IdmpLimits, UNKNOWN};
use crate::types::zset::{self, Direction, Scored};
use crate::types::{Foreign, Hash, Set, Stream, Typed, Value, Zset, hash};
use crate::util::num::{self, IntBuf};

/// The first version that has sets as listpacks: Redis 7.2's.
const WITH_SET_LISTPACKS: u32 = 11;
/// The first version whose consumers know when they were active: Redis 7.2's.
const WITH_ACTIVE_TIMES: u32 = 11;
/// The first version whose hashes have fields with deadlines: Redis 7.4's.
const WITH_FIELD_DEADLINES: u32 = 12;

/// How small values must be for their small encodings, for each type.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    hash: hash::Limits,
    list: ListLimits,
    set: SetLimits,
    zset: zset::Limits,
}

impl Limits {
    /// DEBUG QUICKLIST-PACKED-THRESHOLD.
    pub fn with_plain_from(mut self, bytes: usize) -> Limits {
        self.list.plain_from = bytes;
        self
    }

    /// Keys the hashes of values that are read.
    pub(super) fn seed(&self) -> u64 {
        self.zset.seed
    }

    pub fn of(config: &Config, seed: u64) -> Limits {
        Limits {
            hash: hash::Limits {
                entries: config.hash_max_listpack_entries,
                value: config.hash_max_listpack_value,
                seed,
            },
            list: ListLimits {
                fill: config.list_max_listpack_size,
                compress_depth: config.list_compress_depth,
                plain_from: 0,
            },
            set: SetLimits {
                intset_entries: config.set_max_intset_entries,
                listpack_entries: config.set_max_listpack_entries,
                listpack_value: config.set_max_listpack_value,
                seed,
            },
            zset: zset::Limits {
                entries: config.zset_max_listpack_entries,
                value: config.zset_max_listpack_value,
                seed,
            },
        }
    }
}

/// Reads a value that is no string.
pub(super) fn read(
    dec: &mut Decoder<'_>,
    ty: Type,
    reading: &Reading,
    templates: &Templates,
) -> Result<Value, Error> {
    match ty {
        Type::Set | Type::SetIntset | Type::SetListpack => {
            read_set(dec, ty, reading).map(Value::from)
        }
        Type::List | Type::ListZiplist | Type::ListQuicklist | Type::ListQuicklist2 => {
            read_list(dec, ty, reading).map(Value::from)
        }
        Type::Hash
        | Type::HashZipmap
        | Type::HashZiplist
        | Type::HashListpack
        | Type::HashMetadataPreGa
        | Type::HashListpackExPreGa
        | Type::HashMetadata
        | Type::HashListpackEx => read_hash(dec, ty, reading).map(Value::from),
        Type::HashTemplateListpack
        | Type::HashTemplateListpackRef
        | Type::HashTemplateArray
        | Type::HashTemplateArrayRef => {
            read_templated(dec, ty, reading, templates).map(Value::from)
        }
        Type::Zset | Type::Zset2 | Type::ZsetZiplist | Type::ZsetListpack => {
            read_zset(dec, ty, reading).map(Value::from)
        }
        Type::StreamListpacks
        | Type::StreamListpacks2
        | Type::StreamListpacks3
        | Type::StreamListpacks4
        | Type::StreamListpacks5 => {
            let parts = stream::read(dec, ty, reading.deep)?;
            Ok(stream_of(parts).into())
        }
        Type::Array => super::array::read(dec).map(Value::from),
        // Neither strings nor modules come here.
        _ => Err(dec.corrupt("Unknown RDB encoding type")),
    }
}

fn stream_of(mut parts: StreamParts) -> Stream {
    parts.nodes.sort_by_key(|(id, _)| *id);
    let nodes = parts.nodes.into_iter().map(|(id, node)| (id.into(), node));
    let told = parts.counters.unwrap_or(stream::Counters {
        entries_added: parts.length,
        ..stream::Counters::default()
    });
    let counters = Counters {
        last_id: parts.last_id.into(),
        first_id: told.first_id.into(),
        max_deleted_id: told.max_deleted_id.into(),
        entries_added: told.entries_added,
    };
    let mut stream = Stream::of_blocks(nodes, parts.length, counters);
    if parts.counters.is_none() {
        stream.find_first();
    }
    for told in parts.groups {
        let last_id = told.last_id.into();
        let read = match told.entries_read {
            Some(read) => read as i64,
            None => stream.estimate_read(last_id).unwrap_or(UNKNOWN),
        };
        stream.create_group(&told.name, group_of(&told, Group::new(last_id, read)));
    }
    if let Some(told) = parts.idmp {
        let idmp = stream.idmp_mut(IdmpLimits {
            duration_s: told.duration_s,
            max_size: told.max_size,
        });
        for producer in told.producers {
            for (iid, id) in producer.messages {
                idmp.insert(&producer.name, &iid, id.into());
            }
        }
        (idmp.added, idmp.duplicates) = (told.added, told.duplicates);
    }
    stream
}

fn group_of(told: &GroupParts, mut group: Group) -> Group {
    let pending: HashMap<u128, &PendingParts> =
        told.pending.iter().map(|told| (told.id, told)).collect();
    for consumer in &told.consumers {
        group.create_consumer(&consumer.name, consumer.seen_ms, consumer.active_ms);
        let Some(name) = group.consumer_name(&consumer.name).cloned() else {
            continue;
        };
        for id in &consumer.pending {
            if let Some(told) = pending.get(id) {
                group.deliver((*id).into(), &name, told.delivered_ms, told.deliveries);
            }
        }
    }
    for id in &told.unowned {
        if let Some(told) = pending.get(id) {
            group.release((*id).into(), told.deliveries);
        }
    }
    group
}

fn read_list(dec: &mut Decoder<'_>, ty: Type, reading: &Reading) -> Result<List, Error> {
    let limits = reading.limits.list;
    let mut list = List::builder(limits);
    match ty {
        Type::List => layout::elements(dec, "", |element| {
            list.push(End::Tail, element, limits);
            true
        })?,
        Type::ListZiplist => {
            let bytes = dec.string()?;
            let elements = layout::from_ziplist(&bytes)
                .ok_or_else(|| dec.corrupt("List ziplist integrity check failed."))?;
            let mut digits = IntBuf::new();
            for element in elements.iter() {
                list.push(End::Tail, element.as_bytes(&mut digits), limits);
            }
        }
        _ => layout::quicklist(dec, ty, reading.deep, |node| match node {
            // Checked as far as wanted when it was read; and not empty.
            layout::Node::Packed(pack) => {
                let _ = list.append_listpack(pack.blob().clone(), Check::Shallow);
            }
            layout::Node::Plain(element) => list.append_plain(BigStr::from_slice(&element)),
        })?,
    }
    if list.is_empty() {
        return Err(dec.error(Reason::EmptyKey));
    }
    list.finish(limits);
    Ok(list)
}

fn read_hash(dec: &mut Decoder<'_>, ty: Type, reading: &Reading) -> Result<Hash, Error> {
    const BAD: &str = "Hash listpack integrity check failed.";
    let limits = &reading.limits.hash;
    let timed = matches!(ty, Type::HashListpackEx | Type::HashListpackExPreGa);
    let packed = match ty {
        Type::HashListpack => layout::tuples(dec, 2, reading.deep, BAD)?,
        Type::HashListpackExPreGa => layout::tuples(dec, 3, reading.deep, BAD)?,
        Type::HashListpackEx => {
            // The earliest deadline of a field stands first, for readers that skip the fields.
            dec.millis()?;
            layout::tuples(dec, 3, reading.deep, BAD)?
        }
        Type::HashZiplist => layout::ziplist_pairs(dec, "Hash ziplist integrity check failed.")?,
        Type::HashZipmap => {
            let pairs = layout::zipmap(dec)?;
            let longest = pairs.iter().map(LpEntry::text_len).max().unwrap_or(0);
            if longest > limits.value {
                return Ok(hash_of_pairs(&pairs, limits));
            }
            pairs
        }
        _ => return read_fields(dec, ty, limits),
    };
    let fields = packed.len() / if timed { 3 } else { 2 };
    let hash = Hash::from_listpack(packed, timed, Check::Shallow, limits);
    let hash = hash.map_err(|_| dec.corrupt(BAD))?;
    if hash.len() != fields {
        dec.remark("Hash listpack with dup elements");
    }
    Ok(hash)
}

fn read_fields(dec: &mut Decoder<'_>, ty: Type, limits: &hash::Limits) -> Result<Hash, Error> {
    let mut hash = Hash::new();
    if ty != Type::Hash {
        hash.allow_deadlines();
    }
    layout::fields(dec, ty, |field, value, deadline| {
        let new = hash.set(field, hash::NewValue::Bytes(value), false, limits);
        if new && deadline.is_some() {
            hash.set_deadline(field, deadline);
        }
        new
    })?;
    Ok(hash)
}

/// Field by field, so that each is measured.
fn hash_of_pairs(pairs: &Listpack, limits: &hash::Limits) -> Hash {
    let mut hash = Hash::new();
    let mut entries = pairs.iter();
    while let (Some(field), Some(value)) = (entries.next(), entries.next()) {
        let (field, value) = (field.to_vec(), value.to_vec());
        hash.set(&field, hash::NewValue::Bytes(&value), false, limits);
    }
    hash
}

/// A hash whose fields have the names of a template; it gets copies of them.
fn read_templated(
    dec: &mut Decoder<'_>,
    ty: Type,
    reading: &Reading,
    templates: &Templates,
) -> Result<Hash, Error> {
    let (deep, limits) = (reading.deep, &reading.limits.hash);
    match ty {
        Type::HashTemplateListpackRef => {
            let values = template::values(dec, deep)?;
            let Some(LpEntry::Int(id)) = values.iter().next() else {
                return Err(dec.corrupt("Hash without the number of its template"));
            };
            // Listpacks have signed numbers only.
            let fields = templates.fields(dec, id as u64)?;
            hash_of_fields(dec, fields, &values, 1, limits)
        }
        Type::HashTemplateListpack => {
            let fields = template::fields(dec, deep)?;
            let values = template::values(dec, deep)?;
            // The number of the template where this comes from says nothing here, and may be missing.
            let (has_id, first) = (values.len() != fields.len(), values.iter().next());
            if has_id && !matches!(first, Some(LpEntry::Int(_))) {
                return Err(dec.corrupt("Hash without the number of its template"));
            }
            hash_of_fields(dec, &fields, &values, usize::from(has_id), limits)
        }
        Type::HashTemplateArray => {
            let fields = template::fields(dec, deep)?;
            read_values(dec, &fields, limits)
        }
        _ => {
            let id = dec.length()?;
            read_values(dec, templates.fields(dec, id)?, limits)
        }
    }
}

/// With one value for each field, behind `skip` entries.
fn hash_of_fields(
    dec: &Decoder<'_>,
    fields: &Fields,
    values: &Listpack,
    skip: usize,
    limits: &hash::Limits,
) -> Result<Hash, Error> {
    const BAD: &str = "Hash whose values are not as many as the fields of its template";
    if values.len() != fields.len() + skip {
        return Err(dec.corrupt(BAD));
    }
    let names = fields.iter().map(|name| LpEntry::Str(name));
    let values = values.iter().skip(skip);
    let lens = names.clone().chain(values.clone()).map(LpEntry::text_len);
    let (longest, sum) = lens.fold((0, 0usize), |(longest, sum), len| {
        (len.max(longest), sum.saturating_add(len))
    });
    let pairs = names.zip(values);
    let few = fields.len() <= limits.entries && longest <= limits.value;
    if few && Listpack::new().would_fit(sum) {
        let pairs = Listpack::from_entries(pairs.flat_map(|(name, value)| [name, value]));
        let hash = Hash::from_listpack(pairs, false, Check::Shallow, limits);
        return hash.map_err(|_| dec.corrupt(BAD));
    }
    let mut hash = empty_hash(usize::MAX, limits);
    let (mut name_buf, mut value_buf) = (IntBuf::new(), IntBuf::new());
    for (name, value) in pairs {
        let value = hash::NewValue::Bytes(value.as_bytes(&mut value_buf));
        hash.set(name.as_bytes(&mut name_buf), value, false, limits);
    }
    Ok(hash)
}

/// The values follow, each a string.
fn read_values(
    dec: &mut Decoder<'_>,
    fields: &Fields,
    limits: &hash::Limits,
) -> Result<Hash, Error> {
    let mut hash = empty_hash(fields.len(), limits);
    let mut value = Vec::new();
    for name in fields {
        dec.string_into(&mut value)?;
        hash.set(name, hash::NewValue::Bytes(&value), false, limits);
    }
    Ok(hash)
}

/// For so many fields: a table from the beginning if it will be one, so that no listpack is searched for each.
fn empty_hash(fields: usize, limits: &hash::Limits) -> Hash {
    let mut hash = Hash::new();
    hash.prepare(fields, std::iter::empty(), limits);
    hash
}

fn read_set(dec: &mut Decoder<'_>, ty: Type, reading: &Reading) -> Result<Set, Error> {
    const BAD: &str = "Set listpack integrity check failed.";
    let limits = reading.limits.set;
    match ty {
        Type::SetIntset => {
            let integers = layout::intset(dec, reading.deep)?;
            Set::from_intset(integers.blob().clone(), Check::Shallow, limits)
                .map_err(|_| dec.error(Reason::EmptyKey))
        }
        Type::SetListpack => {
            let packed = layout::tuples(dec, 1, reading.deep, BAD)?;
            let set = Set::from_listpack(packed.blob().clone(), Check::Shallow, limits);
            let set = set.map_err(|_| dec.corrupt(BAD))?;
            if set.len() != packed.len() {
                dec.remark("Set listpack with dup elements");
            }
            Ok(set)
        }
        _ => {
            let mut set = Set::intset();
            layout::elements(dec, "Duplicate set members detected", |member| {
                set.add(member, limits)
            })?;
            Ok(set)
        }
    }
}

/// Whether every second element of a listpack can be read as a score. One that cannot would count as 0.
fn has_scores(packed: &Listpack) -> bool {
    let mut scores = packed.iter().skip(1).step_by(2);
    scores.all(|score| match score {
        LpEntry::Int(_) => true,
        LpEntry::Str(text) => num::parse_f64(text).is_some_and(|score| !score.is_nan()),
    })
}

fn read_zset(dec: &mut Decoder<'_>, ty: Type, reading: &Reading) -> Result<Zset, Error> {
    const BAD: &str = "Zset listpack integrity check failed.";
    let limits = reading.limits.zset;
    let packed = match ty {
        Type::ZsetListpack => layout::tuples(dec, 2, reading.deep, BAD)?,
        Type::ZsetZiplist => layout::ziplist_pairs(dec, "Zset ziplist integrity check failed.")?,
        _ => {
            let mut zset = Zset::building(limits);
            layout::scored(dec, ty, |member, score| zset.push(member, score, limits))?;
            zset.settle(limits);
            return Ok(zset);
        }
    };
    if reading.deep && !has_scores(&packed) {
        return Err(dec.corrupt(BAD));
    }
    let packed = Zset::from_listpack(packed.blob().clone(), Check::Shallow);
    let mut zset = packed.map_err(|_| dec.corrupt(BAD))?;
    let members = zset.len();
    zset.grow_for(members, limits);
    if zset.len() != members {
        dec.remark("Zset listpack with dup elements");
    }
    Ok(zset)
}

/// The layout of a value that is no string.
pub(super) fn type_of(value: &Value, version: u32) -> Result<Type, Unwritten> {
    match value.typed() {
        Typed::Array(_) if version < WITH_FIELD_DEADLINES => Err(Unwritten::NotInVersion("arrays")),
        // The type alone makes an older server refuse the value; the rest of the file stays readable for it.
        Typed::Array(_) => Ok(Type::Array),
        Typed::Hash(hash) => match hash.as_listpack() {
            Some((_, false)) => Ok(Type::HashListpack),
            Some((_, true)) if version >= WITH_FIELD_DEADLINES => Ok(Type::HashListpackEx),
            _ if !hash.has_deadlines() => Ok(Type::Hash),
            _ if version >= WITH_FIELD_DEADLINES => Ok(Type::HashMetadata),
            _ => Err(Unwritten::NotInVersion("hash fields with deadlines")),
        },
        Typed::Set(set) if set.as_intset().is_some() => Ok(Type::SetIntset),
        Typed::Set(set) if set.as_listpack().is_some() && version >= WITH_SET_LISTPACKS => {
            Ok(Type::SetListpack)
        }
        Typed::Set(_) => Ok(Type::Set),
        Typed::Stream(stream) => Ok(type_of_stream(stream, version)),
        Typed::List(_) => Ok(Type::ListQuicklist2),
        Typed::Vset(_) | Typed::Foreign(_) => Ok(Type::Module2),
        Typed::Zset(zset) if zset.as_listpack().is_some() => Ok(Type::ZsetListpack),
        Typed::Zset(_) => Ok(Type::Zset2),
    }
}

/// Writes a value that is no string in the layout [`type_of`] said.
pub(super) fn write(enc: &mut Encoder<'_>, ty: Type, value: &Value) -> out::Result {
    match value.typed() {
        Typed::Array(array) => super::array::write(enc, array)?,
        Typed::Set(set) => write_set(enc, ty, set)?,
        Typed::Hash(hash) => write_hash(enc, ty, hash)?,
        Typed::List(list) => write_list(enc, list)?,
        Typed::Stream(stream) => write_stream(enc, ty, stream)?,
        Typed::Vset(set) => super::vset::write(enc, set)?,
        Typed::Foreign(value) => write_foreign(enc, value, Place::NOWHERE)?,
        Typed::Zset(zset) => write_zset(enc, zset)?,
    }
    Ok(())
}

/// A value of a foreign type: the number of the type, and what the type's owner gives.
pub(super) fn write_foreign(
    enc: &mut Encoder<'_>,
    value: &Foreign,
    place: Place<'_>,
) -> out::Result {
    let bytes = value.get().save(place);
    let bytes = bytes.ok_or(Unwritten::NotInVersion("values of modules that are gone"))?;
    enc.length(value.get().rdb_id());
    enc.raw(&bytes);
    enc.spill()?;
    Ok(())
}

/// The oldest layout that holds all of it, so that an older Redis can read most of them.
fn type_of_stream(stream: &Stream, version: u32) -> Type {
    if version < WITH_ACTIVE_TIMES {
        return Type::StreamListpacks2;
    }
    let unowned = |group: &Group| group.pel().iter().any(|pair| pair.value.owner().is_none());
    if stream.groups().any(|(_, group)| unowned(group)) {
        Type::StreamListpacks5
    } else if stream.idmp().is_some() {
        Type::StreamListpacks4
    } else {
        Type::StreamListpacks3
    }
}

#[doc(alias = "rdbSaveStreamPEL")]
#[doc(alias = "rdbSaveStreamConsumers")]
fn write_stream(enc: &mut Encoder<'_>, ty: Type, stream: &Stream) -> std::io::Result<()> {
    enc.length(stream.blocks_len());
    for (id, block) in stream.blocks() {
        out::stream_node(enc, id.into(), block)?;
    }
    let counters = stream.counters();
    enc.length(stream.len());
    enc.id_numbers(counters.last_id.into());
    enc.id_numbers(counters.first_id.into());
    enc.id_numbers(counters.max_deleted_id.into());
    enc.length(counters.entries_added);
    enc.length(stream.groups_len() as u64);
    for (name, group) in stream.groups() {
        enc.string(name);
        enc.id_numbers(group.last_id.into());
        enc.length(group.entries_read as u64);
        // An entry without an owner (XNACK) exists only in the newest layout. Older layouts would be corrupt with it,
        // so it is left out.
        let told = group.pel().iter();
        let told = told.filter(|p| ty == Type::StreamListpacks5 || p.value.owner().is_some());
        enc.length(told.clone().count() as u64);
        for pair in told {
            enc.id_bytes(pair.key.into());
            enc.millis(pair.value.delivered_ms);
            enc.length(pair.value.deliveries());
            enc.spill()?;
        }
        enc.length(group.consumers_len() as u64);
        for (name, consumer) in group.consumers() {
            enc.string(name);
            enc.millis(consumer.seen_ms);
            if ty != Type::StreamListpacks2 {
                enc.millis(consumer.active_ms);
            }
            enc.length(consumer.pel().len());
            for pair in consumer.pel().iter() {
                enc.id_bytes(pair.key.into());
                enc.spill()?;
            }
        }
        if ty == Type::StreamListpacks5 {
            let unowned = group.pel().iter();
            let unowned = unowned.filter(|pair| pair.value.owner().is_none());
            enc.length(unowned.clone().count() as u64);
            for pair in unowned {
                enc.id_bytes(pair.key.into());
                enc.spill()?;
            }
        }
    }
    if matches!(ty, Type::StreamListpacks4 | Type::StreamListpacks5) {
        write_idmp(enc, stream)?;
    }
    enc.spill()
}

fn write_idmp(enc: &mut Encoder<'_>, stream: &Stream) -> std::io::Result<()> {
    let none = Idmp::new(IdmpLimits::default());
    let idmp = stream.idmp().unwrap_or(&none);
    enc.length(idmp.limits().duration_s);
    enc.length(idmp.limits().max_size);
    enc.length(idmp.producers_len());
    for (name, producer) in idmp.producers() {
        enc.string(name);
        enc.length(producer.messages_len());
        for (iid, id) in producer.messages() {
            enc.string(iid);
            enc.id_numbers(id.into());
            enc.spill()?;
        }
    }
    enc.length(idmp.added);
    enc.length(idmp.duplicates);
    Ok(())
}

fn write_set(enc: &mut Encoder<'_>, ty: Type, set: &Set) -> std::io::Result<()> {
    match (ty, set.as_intset(), set.as_listpack()) {
        (Type::SetIntset, Some(integers), _) => out::intset(enc, integers),
        (Type::SetListpack, _, Some(members)) => out::packed(enc, members),
        _ => {
            enc.length(set.len() as u64);
            for member in set.iter() {
                match member {
                    LpEntry::Int(n) => enc.integer(n),
                    LpEntry::Str(text) => enc.string(text),
                }
                enc.spill()?;
            }
            Ok(())
        }
    }
}

fn write_hash(enc: &mut Encoder<'_>, ty: Type, hash: &Hash) -> std::io::Result<()> {
    match (ty, hash.as_listpack()) {
        (Type::HashListpack, Some((pairs, _))) => return out::packed(enc, pairs),
        (Type::HashListpackEx, Some((triples, _))) => {
            enc.millis(hash.earliest().unwrap_or(0));
            return out::packed(enc, triples);
        }
        _ => {}
    }
    let earliest = match ty {
        Type::Hash => None,
        _ => hash.earliest(),
    };
    let fields = hash.iter();
    let fields = fields.map(|field| (field.name, field.value, field.deadline));
    out::fields(enc, hash.len(), earliest, fields)
}

fn write_zset(enc: &mut Encoder<'_>, zset: &Zset) -> std::io::Result<()> {
    if let Some(pairs) = zset.as_listpack() {
        return out::packed(enc, pairs);
    }
    let members = zset.range(0..zset.len() as u64, Direction::Down);
    let members = members.filter_map(|Scored { member, score }| match member {
        LpEntry::Str(text) => Some((text, score)),
        // Only a listpack knows numbers.
        LpEntry::Int(_) => None,
    });
    out::scored(enc, zset.len(), members)
}

/// A list is its blocks; a small one is one.
fn write_list(enc: &mut Encoder<'_>, list: &List) -> std::io::Result<()> {
    if let Some(pack) = list.as_listpack() {
        enc.length(1);
        return out::packed_node(enc, pack);
    }
    enc.length(list.nodes().count() as u64);
    for node in list.nodes() {
        match node {
            Node::Packed { pack, .. } => out::packed_node(enc, pack)?,
            Node::Plain(element) => out::plain_node(enc, element.as_slice())?,
            Node::Squeezed { lzf, .. } => {
                enc.length(2);
                enc.squeezed(lzf.bytes.as_slice(), lzf.raw_len);
                enc.spill()?;
            }
        }
    }
    Ok(())
}
