//! A data set as commands: the base of an append-only file without an RDB in it.
//!
//! The keys of slots that move to another node are written the same way ([`write_slots`]), with small values as RESTORE.
//!
//! Mirrors: rewriteAppendOnlyFileRio() of aof.c; slotSnapshotSaveRio() of cluster_asm.c.
//! Differs: a value that no command can bring back to the bit (a vector set) is written as RESTORE.

use std::io;
use std::io::Write as _;
use std::ops::ControlFlow;

use crate::background::Job;
use crate::collections::listpack::LpEntry;
use crate::keyspace::{DbId, Entry, Metas, SlotTable, Snapshot, StrRef, ValueRef};
use crate::persistence::rdb::encoder::Sink;
use crate::persistence::rdb::{self, dump};
use crate::types::foreign::Place;
use crate::types::stream::{Group, IdBuf, IdmpLimits, StreamId};
use crate::types::{Array, Hash, List, Set, Stream, Typed, Zset};
use crate::util::num::{IntBuf, format_f64};

/// Elements in one command, at most.
#[doc(alias = "AOF_REWRITE_ITEMS_PER_CMD")]
const ITEMS: usize = 64;
const FULL: usize = 256 * 1024;
/// A collection of at most so many elements goes to another node as one payload.
const MOVED_WHOLE: usize = 512;

/// Writes commands as RESP.
struct Writer<'a> {
    buf: Vec<u8>,
    sink: &'a mut dyn Sink,
    /// The database whose keys are being written.
    db: DbId,
    /// The metadata of its keys.
    metas: Metas,
    /// Words that the last command still lacks.
    lacking: usize,
}

impl Writer<'_> {
    fn count(&mut self, words: usize) {
        self.lacking = words;
        let _ = write!(self.buf, "*{words}\r\n");
    }

    fn word(&mut self, word: &[u8]) {
        self.lacking = self.lacking.saturating_sub(1);
        let _ = write!(self.buf, "${}\r\n", word.len());
        self.buf.extend_from_slice(word);
        self.buf.extend_from_slice(b"\r\n");
    }

    fn words(&mut self, words: &[&[u8]]) {
        self.count(words.len());
        words.iter().for_each(|word| self.word(word));
    }

    fn id(&mut self, id: StreamId) {
        self.word(IdBuf::new().format(id));
    }

    fn number(&mut self, n: i64) {
        self.word(IntBuf::new().format(n));
    }

    fn text(&mut self, text: StrRef<'_>) {
        match text {
            StrRef::Int(n) => self.number(n),
            _ => self.word(text.stored_bytes().unwrap_or_default()),
        }
    }

    fn element(&mut self, element: LpEntry<'_>) {
        match element {
            LpEntry::Int(n) => self.number(n),
            LpEntry::Str(text) => self.word(text),
        }
    }

    /// Gives a full buffer to the sink, which so gets whole commands.
    fn spill(&mut self) -> io::Result<()> {
        if self.buf.len() >= FULL && self.lacking == 0 {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.put(&self.buf)?;
        self.buf.clear();
        Ok(())
    }
}

/// Writes a snapshot as commands, and lets go of it piece by piece. `timestamp_s` goes before them, if there is one.
#[doc(alias = "rewriteAppendOnlyFileRio")]
pub fn write(
    mut snapshot: Snapshot,
    functions: &[Vec<u8>],
    timestamp_s: Option<i64>,
    sink: &mut dyn Sink,
    job: &Job,
) -> io::Result<()> {
    let mut out = Writer {
        buf: Vec::with_capacity(FULL + FULL / 4),
        sink,
        db: DbId(0),
        metas: Metas::none(),
        lacking: 0,
    };
    if let Some(seconds) = timestamp_s {
        let _ = write!(out.buf, "#TS:{seconds}\r\n");
    }
    for code in functions {
        out.count(3);
        out.word(b"FUNCTION");
        out.word(b"LOAD");
        out.word(code);
    }
    let dbs: Vec<DbId> = snapshot.dbs().collect();
    for db in dbs {
        out.count(2);
        out.word(b"SELECT");
        out.number(i64::from(db.0));
        out.db = db;
        out.metas = snapshot.metas(db);
        let mut result = Ok(());
        let _ = snapshot.consume_db(db, &mut |_, entry| {
            result = key(&mut out, &entry).and_then(|()| job.key_done());
            match result {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        result?;
    }
    out.flush()
}

/// Writes the keys of a snapshot for a node that takes their slots over: libraries first (the payload of FUNCTION DUMP),
/// then slot by slot how many keys follow and the keys. The caller ends it.
#[doc(alias = "slotSnapshotSaveRio")]
pub fn write_slots(
    mut snapshot: Snapshot,
    libraries: &[u8],
    sink: &mut dyn Sink,
    job: &Job,
) -> io::Result<()> {
    let mut out = Writer {
        buf: Vec::with_capacity(FULL + FULL / 4),
        sink,
        db: DbId(0),
        metas: Metas::none(),
        lacking: 0,
    };
    out.words(&[b"FUNCTION", b"RESTORE", libraries, b"REPLACE"]);
    let dbs: Vec<DbId> = snapshot.dbs().collect();
    for db in dbs {
        out.count(2);
        out.word(b"SELECT");
        out.number(i64::from(db.0));
        out.db = db;
        out.metas = snapshot.metas(db);
        let counts = snapshot.slot_counts(db);
        let (mut told, mut result) = (None, Ok(()));
        let _ = snapshot.consume_db(db, &mut |slot, entry| {
            if told.replace(slot) != Some(slot) {
                let (keys, volatile) = counts.get(&slot).copied().unwrap_or_default();
                let info = format!("{slot}:{keys}:{volatile}");
                out.words(&[
                    b"CLUSTER",
                    b"SYNCSLOTS",
                    b"CONF",
                    b"SLOT-INFO",
                    info.as_bytes(),
                ]);
            }
            result = moved_key(&mut out, &entry, false).and_then(|()| job.key_done());
            match result {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        result?;
    }
    out.flush()
}

/// Writes the keys of a slot that came as a table, for the readers of this server's stream of effects. The sink gets whole
/// commands, none of which names another database or depends on what a key held before: they may be written twice.
pub fn write_arrived(table: &SlotTable, sink: &mut dyn Sink, job: &Job) -> io::Result<()> {
    let mut out = Writer {
        buf: Vec::with_capacity(FULL + FULL / 4),
        sink,
        db: table.db(),
        metas: Metas::none(),
        lacking: 0,
    };
    for entry in table.iter() {
        moved_key(&mut out, &entry, true)?;
        job.key_done()?;
    }
    out.flush()
}

/// A key on its way to another node: small values as one RESTORE, large ones in pieces. With `replace` a key that is there
/// is replaced.
fn moved_key(out: &mut Writer<'_>, entry: &Entry<'_>, replace: bool) -> io::Result<()> {
    let ValueRef::Object(value) = entry.value() else {
        return key(out, entry);
    };
    let len = match value.typed() {
        Typed::Array(array) => array.count() as usize,
        Typed::List(list) => list.len(),
        Typed::Set(set) => set.len(),
        Typed::Hash(hash) => hash.len(),
        Typed::Stream(stream) => stream.len() as usize,
        Typed::Vset(_) | Typed::Foreign(_) => 0,
        Typed::Zset(zset) => zset.len(),
    };
    if len > MOVED_WHOLE {
        if replace {
            out.words(&[b"DEL", entry.key()]);
        }
        return key(out, entry);
    }
    let meta = match out.metas.get(entry.key()) {
        Some(meta) => meta.get().save(place(out, entry.key())),
        None => Some(Vec::new()),
    };
    let meta = meta.ok_or_else(metadata_is_gone)?;
    let payload = dump::dump_with(entry.value(), &meta, rdb::VERSION, false);
    let payload = payload.map_err(|unwritten| io::Error::other(format!("{unwritten:?}")))?;
    let mut digits = IntBuf::new();
    let deadline = digits.format(entry.deadline().unwrap_or(0));
    let words = [
        b"RESTORE".as_slice(),
        entry.key(),
        deadline,
        &payload,
        b"ABSTTL",
    ];
    out.count(words.len() + usize::from(replace));
    words.into_iter().for_each(|word| out.word(word));
    if replace {
        out.word(b"REPLACE");
    }
    out.spill()
}

fn key(out: &mut Writer<'_>, entry: &Entry<'_>) -> io::Result<()> {
    let name = entry.key();
    match entry.value() {
        ValueRef::String(string) => {
            out.count(3);
            out.word(b"SET");
            out.word(name);
            out.text(string);
        }
        ValueRef::Object(value) => match value.typed() {
            Typed::Array(array) => self::array(out, name, array)?,
            Typed::List(list) => self::list(out, name, list)?,
            Typed::Set(set) => self::set(out, name, set)?,
            Typed::Hash(hash) => self::hash(out, name, hash)?,
            Typed::Stream(stream) => self::stream(out, name, stream)?,
            // No command brings back a graph, nor a quantised vector to the bit.
            Typed::Vset(_) => restore(out, name, entry.value())?,
            Typed::Foreign(value) => match value.get().rewrite(place(out, name)) {
                Some(commands) => out.buf.extend_from_slice(&commands),
                None => restore(out, name, entry.value())?,
            },
            Typed::Zset(zset) => self::zset(out, name, zset)?,
        },
    }
    if let Some(deadline) = entry.deadline() {
        out.count(3);
        out.word(b"PEXPIREAT");
        out.word(name);
        out.number(deadline);
    }
    if let Some(meta) = out.metas.get(name) {
        let commands = meta.get().rewrite(place(out, name));
        out.buf
            .extend_from_slice(&commands.ok_or_else(metadata_is_gone)?);
    }
    out.spill()
}

fn place<'a>(out: &Writer<'_>, key: &'a [u8]) -> Place<'a> {
    Place {
        db: out.db.0 as i32,
        key: Some(key),
    }
}

fn metadata_is_gone() -> io::Error {
    io::Error::other("metadata of a module that is gone")
}

/// A value as the payload that DUMP makes, at once.
fn restore(out: &mut Writer<'_>, name: &[u8], value: ValueRef<'_>) -> io::Result<()> {
    let payload = dump::dump(value, rdb::VERSION, false);
    let payload = payload.map_err(|unwritten| io::Error::other(format!("{unwritten:?}")))?;
    out.words(&[b"RESTORE", name, b"0", &payload]);
    out.spill()
}

/// Values with their indexes, then the cursor if there is one.
#[doc(alias = "rewriteArrayObject")]
fn array(out: &mut Writer<'_>, name: &[u8], array: &Array) -> io::Result<()> {
    let (len, mut done) = (array.count() as usize, 0);
    let mut digits = IntBuf::new();
    let mut result = Ok(());
    array.for_each(|index, value| {
        if done % ITEMS == 0 {
            out.count(2 + 2 * ITEMS.min(len - done));
            out.word(b"ARMSET");
            out.word(name);
        }
        out.word(digits.format_u64(index));
        out.element(value);
        done += 1;
        if result.is_ok() {
            result = out.spill();
        }
    });
    if let Some(last) = array.last_insert() {
        out.count(3);
        out.word(b"ARSEEK");
        out.word(name);
        // One more than the largest index may be said there.
        out.word(digits.format_u64(last.saturating_add(1)));
    }
    result
}

/// Elements come in commands of up to [`ITEMS`].
#[doc(alias = "rewriteListObject")]
fn list(out: &mut Writer<'_>, name: &[u8], list: &List) -> io::Result<()> {
    let (len, mut done) = (list.len(), 0);
    let mut result = Ok(());
    list.for_each(|element| {
        if done % ITEMS == 0 {
            out.count(2 + ITEMS.min(len - done));
            out.word(b"RPUSH");
            out.word(name);
        }
        out.element(element);
        done += 1;
        if result.is_ok() {
            result = out.spill();
        }
    });
    result
}

#[doc(alias = "rewriteSetObject")]
fn set(out: &mut Writer<'_>, name: &[u8], set: &Set) -> io::Result<()> {
    let len = set.len();
    for (done, member) in set.iter().enumerate() {
        if done % ITEMS == 0 {
            out.count(2 + ITEMS.min(len - done.min(len)));
            out.word(b"SADD");
            out.word(name);
        }
        out.element(member);
        out.spill()?;
    }
    Ok(())
}

#[doc(alias = "rewriteSortedSetObject")]
fn zset(out: &mut Writer<'_>, name: &[u8], zset: &Zset) -> io::Result<()> {
    let len = zset.len();
    for (done, scored) in zset.iter().enumerate() {
        if done % ITEMS == 0 {
            out.count(2 + 2 * ITEMS.min(len - done.min(len)));
            out.word(b"ZADD");
            out.word(name);
        }
        out.word(format_f64(scored.score).as_bytes());
        out.element(scored.member);
        out.spill()?;
    }
    Ok(())
}

/// Fields first, then the deadlines of those that have one.
#[doc(alias = "rewriteHashObject")]
fn hash(out: &mut Writer<'_>, name: &[u8], hash: &Hash) -> io::Result<()> {
    let len = hash.len();
    for (done, field) in hash.iter().enumerate() {
        if done % ITEMS == 0 {
            out.count(2 + 2 * ITEMS.min(len - done.min(len)));
            out.word(b"HMSET");
            out.word(name);
        }
        out.text(field.name);
        out.text(field.value);
        out.spill()?;
    }
    for field in hash.iter() {
        if let Some(deadline) = field.deadline {
            out.count(6);
            out.word(b"HPEXPIREAT");
            out.word(name);
            out.number(deadline);
            out.word(b"FIELDS");
            out.word(b"1");
            out.text(field.name);
            out.spill()?;
        }
    }
    Ok(())
}

/// Every entry; then what the entries alone do not tell, as the commands that set it.
#[doc(alias = "rewriteStreamObject")]
fn stream(out: &mut Writer<'_>, name: &[u8], stream: &Stream) -> io::Result<()> {
    let mut entries = stream.entries(StreamId::MIN, StreamId::MAX, false);
    let mut some = false;
    while let Some(entry) = entries.next() {
        some = true;
        let mut pairs = Vec::with_capacity(entry.fields);
        while let Some(pair) = entries.field() {
            pairs.push(pair);
        }
        out.count(3 + 2 * pairs.len());
        out.word(b"XADD");
        out.word(name);
        out.id(entry.id);
        for (field, value) in pairs {
            out.element(field);
            out.element(value);
        }
        out.spill()?;
    }
    let counters = stream.counters();
    if !some {
        // An entry that is gone at once leaves an empty stream.
        out.words(&[b"XADD", name, b"MAXLEN", b"0", b"0-1", b"x", b"y"]);
    }
    out.count(7);
    out.word(b"XSETID");
    out.word(name);
    out.id(counters.last_id);
    out.word(b"ENTRIESADDED");
    out.number(counters.entries_added as i64);
    out.word(b"MAXDELETEDID");
    out.id(counters.max_deleted_id);
    for (group_name, group) in stream.groups() {
        stream_group(out, name, group_name, group)?;
    }
    stream_messages(out, name, stream)
}

/// A group, its consumers, and the entries that are pending.
fn stream_group(
    out: &mut Writer<'_>,
    name: &[u8],
    group_name: &[u8],
    group: &Group,
) -> io::Result<()> {
    out.count(7);
    out.word(b"XGROUP");
    out.word(b"CREATE");
    out.word(name);
    out.word(group_name);
    out.id(group.last_id);
    out.word(b"ENTRIESREAD");
    out.number(group.entries_read);
    for (consumer_name, consumer) in group.consumers() {
        if consumer.pel().is_empty() {
            out.words(&[
                b"XGROUP",
                b"CREATECONSUMER",
                name,
                group_name,
                consumer_name,
            ]);
            out.spill()?;
        }
    }
    for pair in group.pel().iter() {
        let deliveries = pair.value.deliveries() as i64;
        match pair.value.owner() {
            Some(owner) => {
                out.count(12);
                out.word(b"XCLAIM");
                out.word(name);
                out.word(group_name);
                out.word(owner);
                out.word(b"0");
                out.id(pair.key);
                out.word(b"TIME");
                out.number(pair.value.delivered_ms);
                out.word(b"RETRYCOUNT");
                out.number(deliveries);
                out.word(b"JUSTID");
                out.word(b"FORCE");
            }
            None => {
                out.count(10);
                out.word(b"XNACK");
                out.word(name);
                out.word(group_name);
                out.word(b"FAIL");
                out.word(b"IDS");
                out.word(b"1");
                out.id(pair.key);
                out.word(b"RETRYCOUNT");
                out.number(deliveries);
                out.word(b"FORCE");
            }
        }
        out.spill()?;
    }
    Ok(())
}

/// The limits of idempotent production and the messages that the stream knows (XADD IDMP).
fn stream_messages(out: &mut Writer<'_>, name: &[u8], stream: &Stream) -> io::Result<()> {
    let Some(idmp) = stream.idmp() else {
        return Ok(());
    };
    if idmp.limits() != IdmpLimits::default() {
        out.count(6);
        out.word(b"XCFGSET");
        out.word(name);
        out.word(b"IDMP-DURATION");
        out.number(idmp.limits().duration_s as i64);
        out.word(b"IDMP-MAXSIZE");
        out.number(idmp.limits().max_size as i64);
    }
    for (pid, producer) in idmp.producers() {
        // One whose entry is gone could not be said again.
        let messages = producer.messages().filter(|(_, id)| stream.contains(*id));
        for (iid, id) in messages {
            out.count(5);
            out.word(b"XIDMPRECORD");
            out.word(name);
            out.word(pid);
            out.word(iid);
            out.id(id);
            out.spill()?;
        }
    }
    Ok(())
}
