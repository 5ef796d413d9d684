//! A whole keyspace as one RDB.
//!
//! Mirrors: rdbSaveRio(), rdbSaveDb(), rdbSaveKeyValuePair() of rdb.c.
//! Differs: keys come from a snapshot, which is let go piece by piece as they are written.

use std::ops::ControlFlow;

use super::encoder::Sink;
use super::write_value::{self, Unwritten};
use super::{Encoder, Error, Reason, metadata, opcode};
use crate::background::Job;
use crate::keyspace::{DbId, Entry, Metas, Ms, Snapshot, ValueRef};
use crate::types::foreign::Place;
use crate::types::{Foreign, Held};

/// The contents of a file besides the keys, and its format.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// See [`super::VERSION`].
    pub version: u32,
    pub compress: bool,
    pub checksum: bool,
    /// The base of an AOF.
    pub aof_base: bool,
    pub redis_version: &'static str,
    /// Unix time in seconds.
    pub created_s: i64,
    pub used_memory: u64,
    /// Where the stream of effects stands: database selected, ID, offset.
    pub replication: Option<(i64, String, u64)>,
    /// The slot migration that is under way.
    pub slot_task: Option<String>,
    /// The code of function libraries.
    pub functions: Vec<Vec<u8>>,
    /// The parts that foreign types save before the keys, and behind them: the number of the type, and its bytes.
    pub foreign: [Vec<(u64, Vec<u8>)>; 2],
    pub cluster: bool,
    /// The file holds functions only.
    pub without_keys: bool,
    /// Whether and how the access clock is worth keeping.
    pub clock: Clock,
}

/// The form in which access clocks are saved.
#[derive(Debug, Clone, Copy, Default)]
pub enum Clock {
    #[default]
    Dropped,
    /// Idle time; the clock (unix seconds, 24 bits) of now.
    Idle(u32),
    /// The frequency as stored.
    Frequency,
}

/// Writes a snapshot, and lets go of it piece by piece. Returns how many bytes that were. The sink's errors, and
/// values that the version cannot hold.
#[doc(alias = "rdbSaveRio")]
pub fn save(
    mut snapshot: Snapshot,
    options: &Options,
    sink: &mut dyn Sink,
    job: &Job,
) -> Result<u64, Error> {
    let mut enc = Encoder::to_sink(sink, options.compress, options.checksum);
    enc.version = options.version;
    let result = write_all(&mut enc, &mut snapshot, options, job);
    let written = enc.written();
    result.map(|()| written).map_err(|why| {
        let reason = match why {
            Unwritten::Io(_) if job.is_cancelled() => Reason::Cancelled,
            Unwritten::Io(error) => Reason::Io(error),
            Unwritten::NotInVersion(what) => Reason::NotInVersion(what, options.version),
        };
        Error::new(written, reason)
    })
}

fn write_all(
    enc: &mut Encoder<'_>,
    snapshot: &mut Snapshot,
    options: &Options,
    job: &Job,
) -> write_value::Result {
    enc.raw(format!("REDIS{:04}", options.version).as_bytes());
    write_aux_fields(enc, options);
    write_foreign_aux(enc, &options.foreign[0], 1)?;
    for code in &options.functions {
        enc.byte(opcode::FUNCTION2);
        enc.string(code);
        enc.spill()?;
    }
    let dbs: Vec<DbId> = match options.without_keys {
        true => Vec::new(),
        false => snapshot.dbs().collect(),
    };
    for db in dbs {
        write_db(enc, snapshot, db, options, job)?;
    }
    write_foreign_aux(enc, &options.foreign[1], 2)?;
    enc.byte(opcode::EOF);
    let checksum = enc.checksum();
    enc.raw(&checksum.to_le_bytes());
    enc.flush()?;
    Ok(())
}

/// The parts that foreign types save beside keys.
#[doc(alias = "rdbSaveModulesAux")]
fn write_foreign_aux(
    enc: &mut Encoder<'_>,
    all: &[(u64, Vec<u8>)],
    when: u64,
) -> write_value::Result {
    const NUMBER: u64 = 2;
    for (id, bytes) in all {
        enc.byte(opcode::MODULE_AUX);
        enc.length(*id);
        enc.length(NUMBER);
        enc.length(when);
        enc.raw(bytes);
        enc.spill()?;
    }
    Ok(())
}

#[doc(alias = "rdbSaveInfoAuxFields")]
fn write_aux_fields(enc: &mut Encoder<'_>, options: &Options) {
    let mut aux = |name: &str, value: &str| {
        enc.byte(opcode::AUX);
        enc.string(name.as_bytes());
        enc.string(value.as_bytes());
    };
    aux("redis-ver", options.redis_version);
    aux("redis-bits", "64");
    aux("ctime", &options.created_s.to_string());
    aux("used-mem", &options.used_memory.to_string());
    if let Some((db, id, offset)) = &options.replication {
        aux("repl-stream-db", &db.to_string());
        aux("repl-id", id);
        aux("repl-offset", &offset.to_string());
    }
    aux("aof-base", if options.aof_base { "1" } else { "0" });
    if let Some(task) = &options.slot_task {
        aux("cluster-asm-task", task);
    }
}

#[doc(alias = "rdbSaveDb")]
fn write_db(
    enc: &mut Encoder<'_>,
    snapshot: &mut Snapshot,
    db: DbId,
    options: &Options,
    job: &Job,
) -> write_value::Result {
    enc.byte(opcode::SELECTDB);
    enc.length(u64::from(db.0));
    enc.byte(opcode::RESIZEDB);
    enc.length(snapshot.len(db) as u64);
    enc.length(snapshot.volatile_len(db) as u64);
    let mut slots = Vec::new();
    if options.cluster && options.version >= 12 {
        slots.extend(
            snapshot
                .iter_slots(db)
                .map(|(slot, keys)| (slot, keys.len())),
        );
    }
    let mut slots = slots.into_iter().peekable();
    let metas = snapshot.metas(db);
    let mut result = Ok(());
    let flow = snapshot.consume_db(db, &mut |slot, entry| {
        if let Some((slot, keys)) = slots.next_if(|(first, _)| *first == slot) {
            enc.byte(opcode::SLOT_INFO);
            enc.length(u64::from(slot));
            enc.length(keys as u64);
            // How many of them have a deadline: a hint for servers with a table of deadlines.
            enc.length(0);
        }
        result = write_key(enc, db, &entry, &metas, options)
            .and_then(|()| job.key_done().map_err(Unwritten::Io));
        match result {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    let _ = flow; // `result` says the same, and why.
    result
}

#[doc(alias = "rdbSaveKeyValuePair")]
fn write_key(
    enc: &mut Encoder<'_>,
    db: DbId,
    entry: &Entry<'_>,
    metas: &Metas,
    options: &Options,
) -> write_value::Result {
    let value = entry.value();
    let ty = write_value::type_of(value, options.version)?;
    if let Some(ms) = entry.deadline() {
        enc.byte(opcode::EXPIRETIME_MS);
        enc.millis(ms as Ms);
    }
    match options.clock {
        Clock::Dropped => {}
        Clock::Idle(now) => {
            let idle = now.wrapping_sub(entry.clock()) & 0xFF_FFFF;
            enc.byte(opcode::IDLE);
            enc.length(u64::from(idle));
        }
        Clock::Frequency => {
            enc.byte(opcode::FREQ);
            enc.byte(entry.clock() as u8);
        }
    }
    let place = Place {
        db: db.0 as i32,
        key: Some(entry.key()),
    };
    metadata::write(enc, metas.get(entry.key()), place)?;
    enc.byte(ty as u8);
    enc.string(entry.key());
    let foreign = match value {
        ValueRef::Object(object) => Foreign::of(object),
        ValueRef::String(_) => None,
    };
    match foreign {
        Some(foreign) => super::connect::write_foreign(enc, foreign, place)?,
        None => write_value::write(enc, ty, value)?,
    }
    enc.spill()?;
    Ok(())
}
