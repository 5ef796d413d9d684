//! One item of an RDB taken into the server, and the words that the log has about it.
//!
//! Mirrors: the loop of `rdbLoadRioWithLoadingCtx()` and `rdbReportError()` of rdb.c.

use super::delay_loading;
use crate::keyspace::act::keys::{self, KeyLeft};
use crate::keyspace::act::notify;
use crate::keyspace::events::Class;
use crate::keyspace::{DbId, Deadline, Inserted, Keyspace, NewValue};
use crate::persistence::loading::{Flags, Loading};
use crate::persistence::rdb::check::circumstances;
use crate::persistence::rdb::load::{Item, Key, Loader};
use crate::persistence::rdb::{Error, Reason, module_name};
use crate::state::State;
use crate::types::Typed;
use crate::types::foreign::Raw;
use crate::types::meta::Meta;
use crate::util::num::parse_u64;
use crate::{cluster, replication, scripting};

/// Loads one item of an RDB. Returns whether there are more.
pub(super) fn load_item(
    state: &mut State,
    loading: &mut Loading,
    loader: &mut Loader<'static>,
) -> Result<bool, Error> {
    match loader.next()? {
        Item::End(_) => {
            rdb_done(state, loading);
            return Ok(false);
        }
        Item::Aux(name, value) => load_aux(state, loading, &name, &value),
        Item::Db(db) => {
            if db >= state.keyspace.len_dbs() as u64 {
                state.log.warning(format_args!(
                    "FATAL: Data file was created with a Redis server configured to handle more \
                     than {} databases. Exiting",
                    state.keyspace.len_dbs()
                ));
                let at = loader.position();
                return Err(Error::new(at, Reason::TooManyDatabases));
            }
        }
        Item::Expect(db, keys) => {
            if let Some(db) = loading.target(&mut state.keyspace).get_mut(db) {
                db.expect(keys);
            }
        }
        Item::Function(code) => {
            let replace = loading.flags.allow_duplicates;
            if let Err(reason) = load_library_of(state, loading, &code, replace) {
                state
                    .log
                    .warning(format_args!("Failed creating function, {reason}"));
                let reason = Reason::Corrupt("Failed loading library");
                return Err(Error::new(loader.position(), reason));
            }
        }
        Item::ModuleAux(_) => {}
        Item::ForeignAux { id, when, bytes } => {
            let loaded = match state.module_doors {
                Some(doors) => (doors.load_aux)(state, id, when, bytes),
                None => false,
            };
            if !loaded {
                let reason = Reason::Module(module_name(id));
                return Err(Error::new(loader.position(), reason));
            }
        }
        Item::EmptyKey(key) => {
            loading.empty_keys += 1;
            if loading.empty_keys <= 10 {
                state.log.notice(format_args!(
                    "rdbLoadObject skipping empty key: {}",
                    String::from_utf8_lossy(&key)
                ));
            }
        }
        Item::Key(mut key) => {
            let db_id = key.db;
            if let Err(reason) = realise(state, &mut key) {
                return Err(Error::new(loader.position(), reason));
            }
            let raw = std::mem::take(&mut key.metas);
            let meta = match raw.is_empty() {
                true => Ok(None),
                false => {
                    let told = &mut loading.metas_told;
                    super::metadata::realise(state, raw, key.db, key.key, told)
                }
            };
            let loaded = meta.and_then(|meta| load_key(state, loading, key, meta));
            if let Err(reason) = loaded {
                return Err(Error::new(loader.position(), reason));
            }
            delay_loading(state, loading.keys_loaded + loading.keys_expired);
            // While its value is being read, its place comes into the cache.
            if let Some(upcoming) = loader.upcoming_key()
                && let Some(db) = loading.target(&mut state.keyspace).get(db_id)
            {
                db.prefetch_place(upcoming);
            }
        }
    }
    Ok(true)
}

/// Has the module of a value's type make the value of its bytes. Other values stay as they are.
fn realise(state: &mut State, key: &mut Key<'_>) -> Result<(), Reason> {
    let NewValue::Object(value) = &key.value else {
        return Ok(());
    };
    let Typed::Foreign(raw) = value.typed() else {
        return Ok(());
    };
    let raw = raw.clone();
    let id = raw.get().rdb_id();
    let made = match (raw.downcast::<Raw>(), state.modules.native(id)) {
        (Some(bytes), Some(kind)) => (kind.load)(bytes),
        _ => state
            .module_doors
            .and_then(|doors| (doors.realise)(state, &raw, key.db, key.key)),
    };
    match made {
        Some(made) => key.value = NewValue::Object(made.into()),
        None if state.modules.knows_type(id) => {
            return Err(Reason::Corrupt("The value of a module could not be read"));
        }
        None => return Err(Reason::Module(module_name(id))),
    }
    Ok(())
}

/// Takes an auxiliary field. At a start, the fields about replication tell where the stream of a primary goes on.
fn load_aux(state: &mut State, loading: &mut Loading, name: &[u8], value: &[u8]) {
    let number = || parse_u64(value);
    match name {
        b"used-mem" => loading.used_memory = number().unwrap_or(0),
        b"repl-stream-db" => loading.stream.db = number().and_then(|n| n.try_into().ok()),
        b"repl-id" => loading.stream.id = String::from_utf8(value.to_vec()).ok(),
        b"repl-offset" => loading.stream.offset = number(),
        b"cluster-asm-task" => loading.slot_task = Some(value.to_vec()),
        _ => {}
    }
    if let (Some(id), Some(offset), true) = (
        &loading.stream.id,
        loading.stream.offset,
        loading.flags.at_start,
    ) {
        let db = DbId(loading.stream.db.unwrap_or(0));
        replication::act::resume::resume_stream(state, id, offset, db);
        loading.flags.at_start = false;
    }
    log_aux(state, name, value);
}

/// Takes a key into its database. A primary drops one that has expired, and tells its replicas; a replica keeps it until
/// the primary deletes it. A key that is there already is an error, unless the load may replace keys.
fn load_key(
    state: &mut State,
    loading: &mut Loading,
    key: Key<'_>,
    meta: Option<Meta>,
) -> Result<(), Reason> {
    if let Some(remark) = key.remark {
        log_broken_value(state, key.key, remark);
    }
    let now = state.keyspace.env().now_ms();
    let is_primary = state.config.replicaof.is_none();
    if is_primary
        && !loading.flags.keep_expired
        && key.deadline.is_some_and(|deadline| deadline < now)
    {
        loading.keys_expired += 1;
        replication::act::resume::say_expired_in_file(state, key.db, key.key);
        return Ok(());
    }
    loading.keys_loaded += 1;
    let flags = loading.flags;
    let (db, name) = (key.db, key.key);
    if flags.allow_duplicates && loading.beside.is_none() {
        // A key that is there already is replaced.
        keys::leaving(state, KeyLeft::Deleted, db, name);
    }
    if !store(loading.target(&mut state.keyspace), key) && !flags.allow_duplicates {
        state.log.warning(format_args!(
            "RDB has duplicated key '{}' in DB {}",
            String::from_utf8_lossy(name),
            db.0
        ));
        return Err(Reason::DuplicateKey);
    }
    if let Some(meta) = meta
        && let Some(db) = loading.target(&mut state.keyspace).get_mut(db)
    {
        db.set_meta(name, meta);
    }
    if state.modules.listened & Class::Loaded as u32 != 0 && loading.beside.is_none() {
        notify::notify_named(state, Class::Loaded as u32, b"loaded", db, name);
    }
    Ok(())
}

/// Loads a library to where the load goes.
fn load_library_of(
    state: &mut State,
    loading: &mut Loading,
    code: &[u8],
    replace: bool,
) -> Result<String, String> {
    let Some(beside) = &mut loading.beside else {
        return scripting::act::functions::load_library(state, code, replace, false);
    };
    std::mem::swap(&mut state.scripts.libraries, &mut beside.libraries);
    let result = scripting::act::functions::load_library(state, code, replace, false);
    std::mem::swap(&mut state.scripts.libraries, &mut beside.libraries);
    result
}

fn rdb_done(state: &mut State, loading: &mut Loading) {
    let task = loading.slot_task.take();
    cluster::act::saved_task::loaded(state, task.as_deref(), loading.flags.from_primary);
    let (loaded, expired) = (loading.keys_loaded, loading.keys_expired);
    let empty = match loading.empty_keys {
        0 => String::new(),
        n => format!(", empty keys skipped: {n}"),
    };
    state.log.notice(format_args!(
        "Done loading RDB, keys loaded: {loaded}, keys expired: {expired}{empty}."
    ));
}

/// A value is broken, but `sanitize-dump-payload` says that it is to be taken. In the words that Redis dies with,
/// because those are what logs are watched for.
pub fn log_broken_value(state: &State, key: &[u8], what: &str) {
    state.log.warning(format_args!(
        "=== ASSERTION FAILED === Guru Meditation: the value of key '{}' is broken, and taken as far as it can be read: {what} \
         (sanitize-dump-payload yes would refuse it)",
        String::from_utf8_lossy(&key[..key.len().min(128)])
    ));
}

fn log_aux(state: &State, name: &[u8], value: &[u8]) {
    let (name, value) = (
        String::from_utf8_lossy(name),
        String::from_utf8_lossy(value),
    );
    let log = &state.log;
    match &*name {
        "redis-ver" => log.notice(format_args!("Loading RDB produced by version {value}")),
        "ctime" => {
            let created: i64 = value.parse().unwrap_or(0);
            let age = state.clock.unix_seconds().saturating_sub(created).max(0);
            log.notice(format_args!("RDB age {age} seconds"));
        }
        "used-mem" => {
            let bytes: f64 = value.parse().unwrap_or(0.0);
            let mb = bytes / (1024.0 * 1024.0);
            log.notice(format_args!("RDB memory usage when created {mb:.2} Mb"));
        }
        "aof-preamble" if value != "0" => log.notice("RDB has an AOF tail"),
        "aof-base" if value != "0" => log.notice("RDB is base AOF"),
        "repl-stream-db" | "repl-id" | "repl-offset" | "lua" | "redis-bits" | "aof-preamble"
        | "aof-base" | "cluster-asm-task" => {}
        _ if name.starts_with('%') => log.notice(format_args!("RDB '{name}': {value}")),
        _ => log.debug(format_args!("Unrecognized RDB AUX field: '{name}'")),
    }
}

/// Logs why a file is not loaded; `loader` knows where it stopped.
#[doc(alias = "rdbReportError")]
pub(in crate::persistence) fn explain(
    state: &State,
    error: &Error,
    name: &str,
    flags: Flags,
    loader: Option<&Loader<'_>>,
) {
    match &error.reason {
        Reason::Signature | Reason::Version(_) => {
            state.log.warning(&error.reason);
            return;
        }
        Reason::Checksum { stored, computed } => state.log.warning(format_args!(
            "Wrong RDB checksum expected: ({computed:x}) but got ({stored:x}). Aborting now."
        )),
        Reason::ShortRead | Reason::Io(_) => state
            .log
            .warning("Short read or OOM loading DB. Unrecoverable error, aborting now."),
        _ => {}
    }
    let Error { offset, reason } = error;
    state.log.warning(format_args!(
        "Internal error in RDB reading offset {offset} of {name} -> {reason}"
    ));
    if flags.received {
        state.log.warning(
            "Failure loading rdb format from socket, assuming connection error, resuming operation.",
        );
    } else if !flags.from_primary {
        state
            .log
            .warning("Terminating server after rdb file reading failure.");
    }
    let Some(loader) = loader else {
        return;
    };
    state.log.warning("--- RDB ERROR DETECTED ---");
    state
        .log
        .warning(format_args!("[offset {offset}] {reason}"));
    let (key, ty) = loader.last_key();
    for line in circumstances(loader.doing(), key, ty) {
        state.log.warning(format_args!("[additional info] {line}"));
    }
}

/// Stores a key in its database. Returns whether the key is new.
fn store(keyspace: &mut Keyspace, key: Key<'_>) -> bool {
    let env = keyspace.env();
    let clock = match (key.frequency, key.idle_s) {
        (Some(frequency), _) if env.is_lfu() => Some(env.clock_for_frequency(frequency)),
        (_, Some(idle)) if !env.is_lfu() => Some(env.clock_for_idle(idle.saturating_mul(1000))),
        _ => None,
    };
    let Some(db) = keyspace.get_mut(key.db) else {
        return true;
    };
    let inserted = db.insert(key.key, key.value, Deadline::Set(key.deadline));
    if let Some(clock) = clock
        && let Some(entry) = db.peek_raw(key.key)
    {
        entry.set_clock(clock);
    }
    matches!(inserted, Inserted::New)
}
