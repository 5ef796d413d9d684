//! Slots that come as tables: their bytes go to a thread, its tables into the keyspace.
//! [`crate::cluster::migration::arrivals`] has the way and what holds on it.
//!
//! Mirrors: no file of Redis, where a destination runs a command for each key.

use std::io::Read;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, OnceLock};

use super::moving::import_step;
use crate::background::Job;
use crate::cluster::migration::arrivals::{Arrivals, News, QUEUED, Source, Telling};
use crate::cluster::migration::import;
use crate::command::{self, Targets};
use crate::config::{SanitizeDumpPayload, disk};
use crate::keyspace::eviction::Memory;
use crate::keyspace::{self, DbId, SlotTable};
use crate::persistence::act::{append, loading, saving};
use crate::persistence::aof::commands;
use crate::persistence::rdb::read_value::Reading;
use crate::persistence::rdb::slots::{self, Part, Wanted};
use crate::persistence::rdb::{self, NEWEST_READ};
use crate::replication::act::full_sync::PipeSink;
use crate::replication::act::stream;
use crate::resp::Error;
use crate::resp::argv::OwnedArgv;
use crate::scripting::RestorePolicy;
use crate::scripting::act::functions;
use crate::state::{Mailbox, State};

/// Slots made into tables ahead of those that are attached.
const AHEAD: usize = 4;
/// Pieces of commands written ahead.
const PIECES: usize = 4;
/// Bytes told between two looks at the clients.
const TOLD_AT_ONCE: usize = 1 << 20;
/// Slots attached between two looks at the clients.
const ATTACHED_AT_ONCE: usize = 64;
/// No slot is told while a replica, or the append-only file, has so many bytes of the stream still before it.
const BEHIND: u64 = 16 << 20;

/// The newest RDB of which this node takes slots as tables; `None` if it wants commands. Modules hear of commands and of
/// keys that they make, and subscribers of keyspace events do; a table is attached without a word of its keys.
pub(super) fn reads_rdb(state: &State) -> Option<u32> {
    let modules = &state.modules;
    let foreign =
        !modules.is_empty() || !modules.types.is_empty() || !modules.native_types.is_empty();
    let heard = state.config.notify_keyspace_events.bits() != 0;
    (!foreign && !heard).then_some(NEWEST_READ)
}

/// Begins to read what comes on the second channel. `came`: the bytes of it that are here already.
pub(super) fn begin(state: &mut State, came: Vec<u8>) {
    let import = state.cluster.migrations.import.as_ref();
    let parts = import.zip(state.keyspace.slot_builder());
    let Some((import, builder)) = parts else {
        return;
    };
    let asked = import.slots().clone();
    let wanted = Wanted {
        builder,
        reading: Reading {
            deep: state.config.sanitize_dump_payload != SanitizeDumpPayload::No,
            foreign: false,
            ..loading::reading(state, None)
        },
        checksum: state.config.rdbchecksum,
        databases: state.keyspace.len_dbs(),
        slot: move |slot| asked.has(slot),
    };
    let (bytes, pieces) = channel();
    let (tell, news) = sync_channel(AHEAD);
    let queued = Arc::new(AtomicUsize::new(0));
    let mailbox = state.mailbox.clone();
    let source = Source::new(pieces, queued.clone(), wakes(&mailbox));
    let started = Job::begin_equal("slotload", move || {
        read(source, &wanted, &tell, &mailbox);
    });
    state.cluster.channels.arrivals = Some(Arrivals {
        bytes,
        queued,
        news,
        telling: None,
    });
    match started {
        Ok(()) => received(state, &came),
        Err(error) => fail(state, &disk::reason(&error)),
    }
}

/// A letter without words, which wakes the loop.
fn wakes(mailbox: &Mailbox) -> impl Fn() + Send + use<> {
    let mailbox = mailbox.clone();
    move || {
        mailbox.send(|_| {});
    }
}

/// The thread that reads. It ends early when nobody listens any more.
fn read(
    source: impl Read,
    wanted: &Wanted<impl Fn(u16) -> bool>,
    tell: &SyncSender<News>,
    mailbox: &Mailbox,
) {
    let say = |news: News| {
        let heard = tell.send(news).is_ok();
        mailbox.send(|_| {});
        match heard {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    };
    let result = slots::read(source, wanted, &mut |part| {
        say(match part {
            Part::Libraries(codes) => News::Libraries(codes),
            Part::Slot(table) => News::Slot(table),
            Part::Broken(key, what) => News::Broken(key, what),
        })
    });
    let result = result.map_err(|rdb::Error { offset, reason }| {
        format!("the slots' keys cannot be loaded: {reason} (offset {offset})")
    });
    let _ = say(News::End(result));
}

/// Bytes came on the second channel. They are the thread's; one that has ended has told why.
pub(super) fn received(state: &mut State, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    if let Some(arrivals) = &state.cluster.channels.arrivals {
        arrivals.queued.fetch_add(bytes.len(), Ordering::Relaxed);
        let _ = arrivals.bytes.send(bytes.to_vec());
    }
    import_step(state, import::Input::Alive);
}

/// Whether the second channel is to be read: few bytes wait for the thread.
pub(super) fn takes_bytes(arrivals: &Arrivals) -> bool {
    arrivals.queued.load(Ordering::Relaxed) < QUEUED
}

/// The keys are no longer wanted, or are all here. The rest is freed on another thread, and so those end.
pub(super) fn end(state: &mut State) {
    if let Some(arrivals) = state.cluster.channels.arrivals.take() {
        state.lazyfree.then(move || drop(arrivals));
    }
}

fn fail(state: &mut State, why: &str) {
    import_step(state, import::Input::Refused(why));
}

/// Attaches the slots that are ready, some at a time, and tells of those that have to be told.
pub(super) fn step(state: &mut State) {
    state.cluster.channels.arrivals_wait = false;
    if state.cluster.channels.arrivals.is_none() {
        return;
    }
    // As before each command that a client sends.
    if state.config.maxmemory != 0
        && !state.scripts.is_busy()
        && keyspace::act::evict::evict_keys(state) == Memory::Exhausted
    {
        return fail(state, &Error::OutOfMemory.to_string());
    }
    for _ in 0..ATTACHED_AT_ONCE {
        let Some(arrivals) = &state.cluster.channels.arrivals else {
            return;
        };
        if arrivals.telling.is_some() {
            if !tell(state) {
                return;
            }
            continue;
        }
        let news = match arrivals.news.try_recv() {
            Ok(news) => news,
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => return fail(state, "the loading thread has ended"),
        };
        import_step(state, import::Input::Alive);
        match news {
            News::Libraries(codes) => take_libraries(state, &codes),
            News::Slot(table) if state.effects.listening == Targets::NONE => attach(state, table),
            News::Slot(table) => begin_telling(state, table),
            News::Broken(key, what) => loading::log_broken_value(state, &key, what),
            News::End(Ok(())) => return import_step(state, import::Input::SnapshotEnd),
            News::End(Err(why)) => return fail(state, &why),
        }
    }
    state.cluster.channels.arrivals_wait = true;
}

/// Makes a table that of its slot, which nobody sees before it is claimed.
fn attach(state: &mut State, table: SlotTable) {
    if state.tracking.total_prefixes() > 0 {
        for entry in table.iter() {
            let changer = state.current_client;
            state
                .tracking
                .invalidate(&mut state.clients, changer, entry.key());
        }
    }
    let (slot, keys) = (table.slot(), table.len());
    match state.keyspace.attach(table) {
        Ok(()) => state.dirty += keys as u64,
        Err(table) => {
            state.lazyfree.free(table, keys);
            fail(state, &format!("slot {slot} has keys here already"));
        }
    }
}

/// Replaces function libraries by those of the source, as FUNCTION RESTORE does; the usual case is that both have the same.
fn take_libraries(state: &mut State, codes: &[Vec<u8>]) {
    let known = |code: &Vec<u8>| {
        let mut libraries = state.scripts.libraries.iter();
        libraries.any(|library| library.code == *code)
    };
    if codes.iter().all(known) {
        return;
    }
    if let Err(why) = functions::restore_libraries(state, codes, RestorePolicy::Replace) {
        return fail(state, &format!("the source's functions: {why}"));
    }
    state.dirty += 1;
    state.effects.enter();
    let payload = functions::dump(state);
    let words = [b"FUNCTION".as_slice(), b"RESTORE", &payload, b"REPLACE"];
    let argv = OwnedArgv::from_words(words);
    state.effects.say(DbId(0), argv.as_argv(), Targets::ALL);
    if state.effects.leave() {
        command::act::after_unit(state);
    }
}

/// Has a thread write the commands of a slot.
fn begin_telling(state: &mut State, table: SlotTable) {
    let (sender, pieces) = sync_channel(PIECES);
    let job = Job::default();
    let frozen = table.frozen();
    let (of_thread, mailbox) = (job.clone(), state.mailbox.clone());
    let result = Arc::new(OnceLock::new());
    let told = result.clone();
    let started = Job::begin("slottell", move || {
        let mut sink = PipeSink {
            pieces: sender,
            mailbox: mailbox.clone(),
            job: of_thread.clone(),
            piece_bytes: usize::MAX,
        };
        let written = commands::write_arrived(&frozen, &mut sink, &of_thread);
        // Before the end is told: the table's owner changes it without a copy.
        drop(frozen);
        let _ = told.set(written.map_err(|error| disk::reason(&error)));
        drop(sink);
        mailbox.send(|_| {});
    });
    if let Err(error) = started {
        return fail(state, &disk::reason(&error));
    }
    let since = saving::bases_taken(state);
    if let Some(arrivals) = &mut state.cluster.channels.arrivals {
        arrivals.telling = Some(Telling {
            table: Some(table),
            pieces,
            result,
            job,
            since,
        });
    }
}

/// Tells a part of a slot, and attaches it when it is told. Returns whether the next part can be looked at.
fn tell(state: &mut State) -> bool {
    let mut told = 0;
    loop {
        if stream::behind(state) > BEHIND || append::waiting_bytes(state) > BEHIND {
            // They are at work; that takes as long as it takes.
            import_step(state, import::Input::Alive);
            return false;
        }
        if told >= TOLD_AT_ONCE {
            state.cluster.channels.arrivals_wait = true;
            return false;
        }
        let channels = &mut state.cluster.channels;
        let arrivals = channels.arrivals.as_mut();
        let Some(telling) = arrivals.and_then(|arrivals| arrivals.telling.as_ref()) else {
            return true;
        };
        let db = telling.table.as_ref().map_or(DbId(0), SlotTable::db);
        match telling.pieces.try_recv() {
            Ok(piece) => {
                told += piece.len();
                command::act::feed_commands(state, db, &piece);
                import_step(state, import::Input::Alive);
            }
            Err(TryRecvError::Empty) => return false,
            Err(TryRecvError::Disconnected) => {
                end_telling(state);
                return true;
            }
        }
    }
}

/// A slot is told: it is attached, unless a snapshot was taken meanwhile, which has no key of it.
fn end_telling(state: &mut State) {
    let arrivals = state.cluster.channels.arrivals.as_mut();
    let telling = arrivals.and_then(|arrivals| arrivals.telling.take());
    let table = telling.and_then(|mut telling| Some((telling.table.take()?, telling)));
    let Some((table, telling)) = table else {
        return;
    };
    match telling.result.get() {
        Some(Ok(())) if telling.since == saving::bases_taken(state) => attach(state, table),
        Some(Ok(())) => begin_telling(state, table),
        other => {
            let why = other.and_then(|result| result.as_ref().err());
            let why = why.map_or("the thread has ended", String::as_str);
            let why = format!("slot {} cannot be told to replicas: {why}", table.slot());
            fail(state, &why);
        }
    }
}
