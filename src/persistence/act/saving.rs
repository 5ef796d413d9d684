//! SAVE, BGSAVE and save points carried out: a snapshot is taken, a thread writes it, its end is noted.
//!
//! Mirrors: rdbSaveBackground() and backgroundSaveDoneHandler() of rdb.c.
//! Differs: the thread reads a snapshot; cancelling sets a flag that it looks at, where Redis kills a child.
//! Cost: microseconds for the snapshot, whatever the number of keys; afterwards a copy of each page that a write
//! touches.

use std::path::PathBuf;

use super::{backup, rewrite};
use crate::background::Job;
use crate::config::{MaxmemoryPolicy, ShutdownFlags};
use crate::keyspace::Snapshot;
use crate::modules::{EventData, EventId, kinds};
use crate::persistence::aof::Mode;
use crate::persistence::files;
use crate::persistence::files::{Place, SaveError};
use crate::persistence::rdb::save::{Clock, Options};
use crate::persistence::rdb::{OLDEST_WRITTEN, VERSION};
use crate::persistence::saving::{Purpose, Running};
use crate::state::State;
use crate::{cluster, replication};

/// After a failed save, the next one waits for so many seconds.
#[doc(alias = "CONFIG_BGSAVE_RETRY_DELAY")]
const RETRY_AFTER_S: i64 = 5;

/// The options of an RDB file of the whole data set: version, AUX fields, function libraries, access clocks.
#[doc(alias = "rdbSaveInfoAuxFields")]
pub fn save_options(state: &mut State, aof_base: bool) -> Options {
    let foreign = match state.module_doors {
        Some(doors) => [(doors.save_aux)(state, 1), (doors.save_aux)(state, 2)],
        None => Default::default(),
    };
    let config = &state.config;
    let clock = match config.maxmemory_policy {
        MaxmemoryPolicy::AllkeysLfu | MaxmemoryPolicy::VolatileLfu => Clock::Frequency,
        MaxmemoryPolicy::AllkeysLru
        | MaxmemoryPolicy::VolatileLru
        | MaxmemoryPolicy::AllkeysLrm
        | MaxmemoryPolicy::VolatileLrm => Clock::Idle(state.keyspace.env().clock_for_idle(0)),
        _ => Clock::Dropped,
    };
    Options {
        version: written_version(state),
        compress: config.rdbcompression,
        checksum: config.rdbchecksum,
        aof_base,
        redis_version: crate::REDIS_VERSION,
        created_s: state.clock.unix_seconds(),
        used_memory: crate::sys::alloc::used() as u64,
        replication: replication::act::stream::stream_position(state),
        slot_task: match aof_base {
            true => None,
            false => cluster::act::saved_task::text(state),
        },
        without_keys: false,
        functions: state
            .scripts
            .libraries
            .iter()
            .map(|library| library.code.clone())
            .collect(),
        foreign,
        cluster: config.cluster_enabled,
        clock,
    }
}

/// For DUMP: the version written, and whether it compresses.
pub fn dump_options(state: &State) -> (u32, bool) {
    (written_version(state), state.config.rdbcompression)
}

fn written_version(state: &State) -> u32 {
    match state.config.rdb_version {
        0 => VERSION,
        wanted => wanted.clamp(OLDEST_WRITTEN, VERSION),
    }
}

/// Where an RDB goes; a job in the background has a number in the name of its temporary file, because one that was
/// cancelled may still be there.
fn place(state: &State, job: Option<u64>) -> Place {
    let pid = std::process::id();
    Place {
        directory: state.config.dir.clone(),
        temporary: match job {
            Some(number) => format!("temp-{pid}-{number}.rdb"),
            None => format!("temp-{pid}.rdb"),
        },
        name: state.config.dbfilename.clone(),
        incremental_sync: state.config.rdb_save_incremental_fsync,
        // SAVE blocks its client, who probably copies the file next or restarts from it: it stays in the page cache.
        keeps_cache: job.is_none(),
    }
}

/// Freezes the keyspace, counts and times it.
fn take_snapshot(state: &mut State) -> Snapshot {
    let started_ns = state.clock.monotonic_ns();
    let snapshot = state.keyspace.snapshot();
    state.persistence.stats.last_snapshot_us = (state.clock.monotonic_ns() - started_ns) / 1000;
    state.stats.snapshots += 1;
    snapshot
}

/// Notes a job as the one that runs.
pub(crate) fn enter_job(state: &mut State, purpose: Purpose) -> (Running, Snapshot) {
    let keys_total = state.keyspace.keys() as u64;
    let snapshot = take_snapshot(state);
    let cost_before = state.keyspace.snapshot_cost();
    state.persistence.next_job += 1;
    let running = Running {
        job: Job::default(),
        id: state.persistence.next_job,
        purpose,
        started_s: state.clock.unix_seconds(),
        keys_total,
        temporary: PathBuf::new(),
        cost_before,
        dirty_before: state.dirty,
    };
    running.job.set_delay(state.config.rdb_key_save_delay);
    (running, snapshot)
}

/// Tells modules of a save or a rewrite: its beginning or its end ([`kinds::persistence`]).
pub(crate) fn tell(state: &mut State, kind: u64) {
    state.tell_modules(EventId::Persistence, kind, EventData::None);
}

/// Saves now, while no client is served. Returns whether it worked; the log has the reason if not.
#[doc(alias = "rdbSave")]
pub fn save_now(state: &mut State) -> bool {
    state.persistence.stats.saves += 1;
    tell(state, kinds::persistence::SYNC_RDB_START);
    let (options, place) = (save_options(state, false), place(state, None));
    let job = Job::default();
    job.set_delay(state.config.rdb_key_save_delay);
    let snapshot = state.keyspace.snapshot();
    crate::sys::signal::remove_when_interrupted(Some(&place.directory.join(&place.temporary)));
    let saved = files::write_rdb(&state.disk, &place, snapshot, &options, &job);
    crate::sys::signal::remove_when_interrupted(None);
    tell(state, kinds::persistence::end(saved.is_ok()));
    match saved {
        Ok(_) => {
            state.log.notice("DB saved on disk");
            state.dirty = 0;
            state.clock.refresh();
            state.persistence.stats.last_save_s = state.clock.unix_seconds();
            state.persistence.stats.last_bgsave_failed = false;
            state.persistence.stats.consecutive_failures = 0;
            true
        }
        Err(error) => {
            state.log.warning(error.line);
            false
        }
    }
}

/// Saves now into a file of another name, for a module: save points and counters are not concerned. Returns whether it
/// worked; the log has the reason if not.
#[doc(alias = "rdbSaveToFile")]
pub fn save_to(state: &mut State, path: &std::path::Path) -> bool {
    tell(state, kinds::persistence::SYNC_RDB_START);
    let options = save_options(state, false);
    let path = state.config.dir.join(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let place = Place {
        directory: path.parent().unwrap_or(&state.config.dir).to_owned(),
        name: name.into_owned(),
        ..place(state, None)
    };
    let job = Job::default();
    job.set_delay(state.config.rdb_key_save_delay);
    let snapshot = state.keyspace.snapshot();
    let saved = files::write_rdb(&state.disk, &place, snapshot, &options, &job);
    tell(state, kinds::persistence::end(saved.is_ok()));
    saved
        .inspect_err(|error| state.log.warning(&error.line))
        .is_ok()
}

/// Starts a save in the background. Returns whether it started.
#[doc(alias = "rdbSaveBackground")]
pub fn save_in_background(state: &mut State, then: AfterSave) -> bool {
    run_save(state, Purpose::Save, then)
}

/// Called when a save in the background is over: for whom it was, and whether the file is there. Replication hands it
/// in, for replicas may wait for this file or for their turn.
pub type AfterSave = fn(&mut State, Purpose, bool);

/// As [`save_in_background`], for any purpose.
pub(crate) fn run_save(state: &mut State, purpose: Purpose, then: AfterSave) -> bool {
    if state.persistence.running.is_some() {
        return false;
    }
    state.persistence.stats.saves += 1;
    state.persistence.stats.last_save_try_s = state.clock.unix_seconds();
    tell(state, kinds::persistence::RDB_START);
    let number = state.persistence.next_job;
    let (options, mut place) = (save_options(state, false), place(state, Some(number)));
    place.keeps_cache |= purpose == Purpose::Sync;
    let (mut running, snapshot) = enter_job(state, purpose);
    running.temporary = place.directory.join(&place.temporary);
    let (job, id, mailbox) = (running.job.clone(), running.id, state.mailbox.clone());
    let disk = state.disk.clone();
    let started = state.helpers.begin("bgsave", move || {
        let result = files::write_rdb(&disk, &place, snapshot, &options, &job);
        mailbox.send(move |state| save_done(state, id, result, then));
    });
    match started {
        Ok(()) => {
            state.log.notice(format_args!(
                "Background saving started by pid {}",
                std::process::id()
            ));
            state.persistence.running = Some(running);
            true
        }
        Err(error) => {
            state.persistence.stats.last_bgsave_failed = true;
            state.persistence.stats.consecutive_failures += 1;
            let reason = crate::config::disk::reason(&error);
            state
                .log
                .warning(format_args!("Can't save in background: thread: {reason}"));
            tell(state, kinds::persistence::FAILED);
            false
        }
    }
}

#[doc(alias = "backgroundSaveDoneHandler")]
fn save_done(state: &mut State, id: u64, result: Result<u64, SaveError>, then: AfterSave) {
    let Some(running) = leave_job(state, id) else {
        return;
    };
    let ok = result.is_ok();
    let now = state.clock.unix_seconds();
    let stats = &mut state.persistence.stats;
    stats.last_bgsave_seconds = Some(now - running.started_s);
    stats.last_cow_bytes = std::mem::take(&mut stats.cow_bytes);
    match result {
        Ok(_) => {
            stats.last_save_s = now;
            stats.last_bgsave_failed = false;
            stats.consecutive_failures = 0;
            state.dirty = state.dirty.saturating_sub(running.dirty_before);
            state.log.notice("DB saved on disk");
            state
                .log
                .notice("Background saving terminated with success");
        }
        // A cancelled save was cancelled on purpose, so it gives no reason to refuse writes
        // (`stop-writes-on-bgsave-error`).
        Err(error) if error.cancelled => {
            state
                .log
                .warning("Background saving terminated by a cancellation");
        }
        Err(error) => {
            stats.last_bgsave_failed = true;
            stats.consecutive_failures += 1;
            state.log.warning(error.line);
            state.log.warning("Background saving error");
        }
    }
    tell(state, kinds::persistence::end(ok));
    then(state, running.purpose, ok);
}

/// Ends the job of this number, unless it was forgotten already.
pub(crate) fn leave_job(state: &mut State, id: u64) -> Option<Running> {
    look_at_copies(state);
    state
        .persistence
        .running
        .take_if(|running| running.id == id)
}

/// Reads the cost of the job that runs.
fn look_at_copies(state: &mut State) {
    if let Some(running) = &state.persistence.running {
        let cost = state.keyspace.snapshot_cost();
        let bytes = cost.saturating_sub(running.cost_before);
        let stats = &mut state.persistence.stats;
        stats.cow_bytes = bytes;
        stats.cow_peak_bytes = stats.cow_peak_bytes.max(bytes);
        stats.cow_looked_ms = state.clock.unix_ms();
    }
}

/// Cancels the save in the background, if there is one; its file never appears. Returns for whom it was:
/// `replication::act::full_sync::cancel_save` calls this and tells the replicas that waited for it.
#[doc(alias = "killRDBChild")]
pub fn cancel_save(state: &mut State) -> Option<Purpose> {
    let running = &mut state.persistence.running;
    let running = running.take_if(|running| running.is_save())?;
    // Its thread ends by itself, and its answer finds no job of that number.
    running.job.cancel();
    let stats = &mut state.persistence.stats;
    stats.last_cow_bytes = std::mem::take(&mut stats.cow_bytes);
    state
        .log
        .warning("Background saving terminated by a cancellation");
    let purpose = running.purpose;
    tell(state, kinds::persistence::FAILED);
    Some(purpose)
}

/// All keys were deleted (FLUSHALL). With save points, the empty data set is saved over the old file, so that they do
/// not come back.
#[doc(alias = "flushAllDataAndResetRDB")]
pub fn reset_rdb(state: &mut State) {
    if !state.config.save.is_empty() {
        // A failure is in the log, and in INFO.
        save_now(state);
    }
}

/// The part of the cron for persistence: the running job, BACKUP, the append-only file, save points.
pub fn cron(state: &mut State, after_save: AfterSave) {
    if let Some(running) = &state.persistence.running {
        running.job.set_delay(state.config.rdb_key_save_delay);
        look_at_copies(state);
    }
    backup::cron(state);
    rewrite::cron(state);
    if state.persistence.running.is_some() {
        return;
    }
    let now = state.clock.unix_seconds();
    let stats = &state.persistence.stats;
    let may_try = now - stats.last_save_try_s > RETRY_AFTER_S || !stats.last_bgsave_failed;
    if state.persistence.save_scheduled && may_try {
        state.persistence.save_scheduled = false;
        save_in_background(state, after_save);
        return;
    }
    let since = now - stats.last_save_s;
    let due = state
        .config
        .save
        .iter()
        .find(|point| state.dirty >= point.changes && since > point.seconds as i64);
    if let Some(point) = due
        && may_try
    {
        state.log.notice(format_args!(
            "{} changes in {} seconds. Saving...",
            point.changes, point.seconds
        ));
        save_in_background(state, after_save);
    }
}

/// Tells the running job of a new `rdb-key-save-delay`.
pub fn save_delay_changed(state: &State) {
    if let Some(running) = &state.persistence.running {
        running.job.set_delay(state.config.rdb_key_save_delay);
    }
}

/// Saves the data set before the server ends: with save points, or if SHUTDOWN SAVE asks for it. Returns false if the
/// save failed, and the server goes on. `cancel_save` ends a save that runs.
#[doc(alias = "finishShutdown")]
pub fn save_before_end(
    state: &mut State,
    how: ShutdownFlags,
    cancel_save: fn(&mut State) -> bool,
) -> bool {
    // The first rewrite runs: until its base is written, the append-only file holds no data set.
    let persistence = &state.persistence;
    if persistence.aof.mode == Mode::AwaitsRewrite
        && persistence.running.is_some()
        && !persistence.backup.has_own_stream()
    {
        if !how.force {
            state.log.warning("Writing initial AOF, can't exit.");
            return false;
        }
        state.log.warning("Writing initial AOF. Exit anyway.");
    }
    let wanted = how.save || !state.config.save.is_empty() && !how.nosave;
    // A data set that is only half loaded must not be saved over the whole one.
    if !wanted || state.persistence.is_loading() {
        return true;
    }
    cancel_save(state);
    state
        .log
        .notice("Saving the final RDB snapshot before exiting.");
    if save_now(state) || how.force {
        return true;
    }
    state
        .log
        .warning("Error trying to save the DB, can't exit.");
    false
}

/// Ends persistence with the process: jobs stop, their temporary files go, the append-only file is completed.
pub fn end_persistence(state: &mut State) {
    if let Some(running) = state.persistence.running.take() {
        running.job.cancel();
        // The thread of the job may not get to remove it any more.
        let _ = state.disk.remove_file(&running.temporary);
    }
    backup::fail_backup(state, "the server ends");
    rewrite::close_aof(state);
}
