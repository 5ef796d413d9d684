//! Loading carried out, slice by slice between turns of the loop: keys into the keyspace, commands through the
//! dispatcher. [`crate::persistence::loading`] has the parts of a load and how far it is.
//!
//! ```text
//!   begin.rs     which files there are, in which order; the first is opened      loadDataFromDisk()
//!   mod.rs       a slice: so many items and commands, then the clients again     loadSingleAppendOnlyFile()
//!   item.rs      one item of an RDB: a key, a library, an auxiliary field        rdbLoadRioWithLoadingCtx()
//!   reload.rs    a whole load within one command                                 DEBUG RELOAD, DEBUG LOADAOF
//! ```
//!
//! Mirrors: loadDataFromDisk() of server.c, loadAppendOnlyFiles() of aof.c, rdbLoadRioWithLoadingCtx() of rdb.c.

mod begin;
mod item;
pub mod metadata;
mod reload;

use super::{rewrite, tails};
use crate::config::disk;
use crate::modules::{EventData, EventId, kinds};
use crate::persistence::aof::reader::{CommandReader, Line, Trouble};
use crate::persistence::loading::{Fatal, Hold, Loading, Part, Slice, Source, What};
use crate::persistence::rdb::Reason;
use crate::replication;
use crate::state::State;

pub(in crate::persistence) use begin::begin_loading_stream;
pub use begin::{begin_loading, begin_loading_aof, begin_loading_rdb, reading};
pub(in crate::persistence) use item::explain;
pub use item::log_broken_value;
pub use reload::{load_all, reload, reload_aof};

/// Commands replayed in one slice, at most.
const COMMANDS: usize = 1024;

/// Whether there is a load that waits for nothing.
pub fn can_load(state: &State) -> bool {
    let loading = state.persistence.loading.as_ref();
    loading.is_some_and(|loading| loading.hold == Hold::Nothing)
}

/// Loads until enough was read for a look at the clients, or to the end.
pub fn load_slice(state: &mut State) -> Slice {
    let Some(mut loading) = state.persistence.loading.take() else {
        return Slice::Done;
    };
    let interval = state.config.loading_process_events_interval_bytes.max(1);
    let position = |loading: &Loading| {
        let current = loading.current.as_ref();
        loading.done_bytes + current.map_or(0, |(_, source)| source.position())
    };
    let turn = position(&loading) / interval;
    let mut commands = 0;
    let result = loop {
        match load_step(state, &mut loading, &mut commands) {
            Ok(true)
                if loading.hold == Hold::Nothing
                    && commands < COMMANDS
                    && position(&loading) / interval == turn => {}
            other => break other,
        }
    };
    if let Some(progress) = &mut state.persistence.progress {
        progress.loaded_bytes = position(&loading);
        progress.used_memory = loading.used_memory;
    }
    tell_progress(state, &mut loading);
    match result {
        Ok(true) => {
            state.persistence.loading = Some(loading);
            Slice::More
        }
        Ok(false) => {
            end_loading(state, &loading, true);
            loading_done(state, &loading);
            if loading.flags.from_primary {
                return Slice::OfPrimary(Box::new(loading.come_to(true)));
            }
            match loading.flags.leaves_aof || rewrite::open_aof_at_start(state) {
                true => Slice::Done,
                false => Slice::Failed,
            }
        }
        Err(Fatal) => {
            end_loading(state, &loading, false);
            if loading.flags.from_primary {
                return Slice::OfPrimary(Box::new(loading.come_to(false)));
            }
            Slice::Failed
        }
    }
}

/// Loads one key or command. Returns whether there may be more.
fn load_step(
    state: &mut State,
    loading: &mut Loading,
    commands: &mut usize,
) -> Result<bool, Fatal> {
    let Some((part, mut source)) = loading.current.take() else {
        return Ok(false);
    };
    let more = match &mut source {
        Source::Rdb(loader) => match item::load_item(state, loading, loader) {
            Ok(more) => more,
            Err(error) if matches!(error.reason, Reason::Starved) => {
                loader.begin_item_again();
                loading.hold = Hold::Bytes;
                true
            }
            Err(error) => {
                explain(state, &error, &part.name, loading.flags, Some(loader));
                let name = &part.name;
                match part.what {
                    What::Rdb | What::Stream => {}
                    What::OldStyle => state.log.warning(format_args!(
                        "Error reading the RDB preamble of the AOF file {name}, AOF loading aborted"
                    )),
                    _ => state.log.warning(format_args!(
                        "Error reading the RDB base file {name}, AOF loading aborted"
                    )),
                }
                return Err(Fatal);
            }
        },
        Source::Commands {
            reader,
            valid,
            valid_before_multi,
        } => {
            *commands += 1;
            let marks = (valid, valid_before_multi);
            load_command(state, loading, &part, reader, marks)?
        }
    };
    if more {
        loading.current = Some((part, source));
        return Ok(true);
    }
    if let Source::Rdb(loader) = source
        && !matches!(part.what, What::Rdb | What::Stream)
    {
        if part.what == What::OldStyle {
            state.log.notice("Reading the remaining AOF tail...");
        }
        let end = loader.position();
        let (read, input) = loader.into_decoder().into_rest();
        let source = Source::Commands {
            reader: CommandReader::new(input, read, end),
            valid: end,
            valid_before_multi: end,
        };
        loading.current = Some((part, source));
        return Ok(true);
    }
    part_done(state, loading, &part);
    loading.note_before(&part);
    if part.what != What::Stream {
        state.closer.forget_cache(&part.path);
    }
    loading.done_bytes += part.size;
    begin::next_part(state, loading)?;
    Ok(loading.current.is_some())
}

fn part_done(state: &mut State, loading: &Loading, part: &Part) {
    let seconds = seconds_since(state, loading.part_started_ns);
    let kind = match part.what {
        What::Rdb | What::Stream => return,
        What::Base | What::OldStyle => "base",
        What::Increment => "incr",
    };
    state.log.notice(format_args!(
        "DB loaded from {kind} file {}: {seconds:.3} seconds",
        part.name
    ));
}

/// Runs one command of a file. Returns whether there may be more.
fn load_command(
    state: &mut State,
    loading: &mut Loading,
    part: &Part,
    reader: &mut CommandReader,
    (valid, valid_before_multi): (&mut u64, &mut u64),
) -> Result<bool, Fatal> {
    let Some(replayer) = &loading.replayer else {
        return Ok(false);
    };
    let is_last = loading.parts.iter().all(|part| part.size == 0);
    match reader.next() {
        Ok(Line::Timestamp(_) | Line::Remark) => Ok(true),
        Ok(Line::Follows(bytes)) if loading.lacks(bytes) && *valid == 0 => {
            tails::drop_from(state, part, loading)
        }
        Ok(Line::Follows(_)) => Ok(true),
        Ok(Line::Command(argv)) => {
            if argv.as_argv().get(0).eq_ignore_ascii_case(b"multi") {
                *valid_before_multi = *valid;
            }
            if let Err(unknown) = replayer.run(state, &argv) {
                state.log.warning(format_args!(
                    "Unknown command '{}' reading the append only file {}",
                    unknown.0, part.name
                ));
                return Err(Fatal);
            }
            *valid = reader.position();
            delay_loading(state, *valid);
            Ok(true)
        }
        Ok(Line::End) if replayer.in_transaction(state) => {
            state.log.warning(format_args!(
                "Revert incomplete MULTI/EXEC transaction in AOF file {}",
                part.name
            ));
            let is_last =
                is_last || tails::is_cut_by_power(state, part, *valid_before_multi, loading);
            tails::cut_off(state, part, *valid_before_multi, is_last, loading)
        }
        Ok(Line::End) => Ok(false),
        Err(Trouble::Truncated) => {
            let to = replayer.whole(state, valid, valid_before_multi);
            let is_last = is_last || tails::is_cut_by_power(state, part, to, loading);
            tails::cut_off(state, part, to, is_last, loading)
        }
        Err(Trouble::Io(error)) => {
            state.log.warning(format_args!(
                "Unrecoverable error reading the append only file {}: {}",
                part.name,
                disk::reason(&error)
            ));
            Err(Fatal)
        }
        Err(Trouble::Format) => {
            let to = replayer.whole(state, valid, valid_before_multi);
            let tail = part.size.saturating_sub(to);
            if tail <= state.config.aof_load_corrupt_tail_max_size && is_last {
                return tails::cut_off(state, part, to, is_last, loading);
            }
            let knows = is_last || tails::follower(state, loading).is_some();
            if knows && state.config.aof_load_truncated && tails::is_torn(state, part, to) {
                return tails::cut_off(state, part, to, true, loading);
            }
            state.log.warning(format_args!(
                "Bad file format reading the append only file {}: make a backup of your AOF file, \
                 then use ./redis-check-aof --fix <filename.manifest>",
                part.name
            ));
            Err(Fatal)
        }
    }
}

/// Ends the state of loading: the server's readers, clock and counters are as before.
#[doc(alias = "stopLoading")]
pub(in crate::persistence) fn end_loading(state: &mut State, loading: &Loading, ok: bool) {
    if let Some(replayer) = &loading.replayer {
        replayer.end(state);
        state.keyspace.env().set_see_expired(false);
    }
    state.effects.listening = loading.listening;
    state.persistence.progress = None;
    // The server's role may have changed meanwhile.
    replication::act::stream::listen_for_replicas(state);
    rewrite::listen_for_aof(state);
    // A data set received through a connection is in no file yet, so its changes keep counting towards the next save
    // point.
    if !loading.flags.received {
        state.dirty = 0;
    }
    let kind = match ok {
        true => kinds::loading::ENDED,
        false => kinds::loading::FAILED,
    };
    state.tell_modules(EventId::Loading, kind, EventData::None);
}

/// Tells modules how far the load is, `hz` times per second at most: the share loaded in parts of 1024, or -1 when the
/// length is not known.
#[doc(alias = "processModuleLoadingProgressEvent")]
fn tell_progress(state: &mut State, loading: &mut Loading) {
    const RDB: u64 = 0;
    const COMMANDS: u64 = 1;
    if !state.modules.hears(EventId::LoadingProgress) {
        return;
    }
    let now = state.clock.monotonic_ns();
    let Some(progress) = state
        .persistence
        .progress
        .filter(|_| now >= loading.progress_due_ns)
    else {
        return;
    };
    loading.progress_due_ns = now + 1_000_000_000 / u64::from(state.hz.max(1));
    let kind = match loading.current {
        Some((_, Source::Commands { .. })) => COMMANDS,
        _ => RDB,
    };
    let (hz, share) = (state.hz as i32, progress.share_of_1024());
    state.tell_modules(EventId::LoadingProgress, kind, EventData::Pair(hz, share));
}

fn loading_done(state: &mut State, loading: &Loading) {
    let stats = &mut state.persistence.stats;
    stats.load_keys_loaded = loading.keys_loaded;
    stats.load_keys_expired = loading.keys_expired;
    let seconds = seconds_since(state, loading.started_ns);
    if loading.flags.received {
        state
            .log
            .notice(format_args!("DB loaded from socket: {seconds:.3} seconds"));
    } else if loading.aof {
        state.log.notice(format_args!(
            "DB loaded from append only file: {seconds:.3} seconds"
        ));
    } else {
        state
            .log
            .notice(format_args!("DB loaded from disk: {seconds:.3} seconds"));
    }
}

/// The seconds that passed since a reading of the server's monotonic clock.
fn seconds_since(state: &State, ns: u64) -> f64 {
    state.clock.monotonic_ns().saturating_sub(ns) as f64 / 1e9
}

/// `key-load-delay`, for tests.
fn delay_loading(state: &mut State, keys: u64) {
    match state.config.key_load_delay {
        0 => {}
        delay @ 1.. => state.clock.sleep(delay as u64),
        delay => {
            if keys.is_multiple_of(u64::from(delay.unsigned_abs())) {
                state.clock.sleep(1);
            }
        }
    }
}
