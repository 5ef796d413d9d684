//! BGREWRITEAOF: a snapshot becomes the base, and commands go to a new increment from the same moment on. And the
//! append-only file switched on and off.
//!
//! ```text
//!   start   next increment opened, manifest written, snapshot taken; thread "bgrewriteaof": temp file
//!   end     temp file renamed to the next base, older files become history, manifest written, history deleted
//! ```
//!
//! The steps that change which files there are, and their order, are in `aof/order.rs`.
//! Invariant: whatever fails and whenever the power goes, the manifest that is in force names files that together are
//! the data set up to some moment, and commands are appended to a file that it names, or that the next one will.
//!
//! `aof/manifest.rs` shows the manifest at each of these steps.
//!
//! Mirrors: rewriteAppendOnlyFileBackground(), backgroundRewriteDoneHandler(), startAppendOnly(), stopAppendOnly() of
//! aof.c.
//! Differs: a thread writes the base from a snapshot, and no file is deleted before the manifest without it is safe
//! on disk.

use std::path::{Path, PathBuf};

use super::{append, backup, saving};
use crate::background::Job;
use crate::config::disk;
use crate::keyspace::Snapshot;
use crate::modules::kinds;
use crate::persistence::aof::manifest::{Manifest, Names};
use crate::persistence::aof::order::{NotInForce, Order};
use crate::persistence::aof::{Mode, commands, order};
use crate::persistence::files::{FileSink, SaveError};
use crate::persistence::rdb;
use crate::persistence::rdb::Reason;
use crate::persistence::rdb::save::Options;
use crate::persistence::saving::{Purpose, Running};
use crate::replication;
use crate::state::State;
use crate::sys::files::Disk;

/// A manifest that may not survive a power cut is written again after so many milliseconds.
const SETTLE_EVERY_MS: i64 = 1000;

/// From so many failures in a row on, the next attempt waits.
const LIMIT_FROM: u64 = 3;

const LIMIT_MAX_MINUTES: i64 = 60;

/// The parameters of writing a base: where it goes, its format, and the options of the format.
struct BasePlan {
    disk: Disk,
    temporary: PathBuf,
    as_rdb: bool,
    incremental_sync: bool,
    timestamp_s: Option<i64>,
    options: Options,
}

impl BasePlan {
    /// Writes the base under its temporary name. The error is the line for the log.
    #[doc(alias = "rewriteAppendOnlyFile")]
    fn write(&self, snapshot: Snapshot, job: &Job) -> Result<(), SaveError> {
        self.try_write(snapshot, job).inspect_err(|_| {
            // The error that counts is the first one.
            let _ = self.disk.remove_file(&self.temporary);
        })
    }

    fn try_write(&self, snapshot: Snapshot, job: &Job) -> Result<(), SaveError> {
        let failed = |line: String| SaveError {
            line,
            cancelled: job.is_cancelled(),
        };
        let file = self.disk.create(&self.temporary).map_err(|error| {
            failed(format!(
                "Opening the temp file for AOF rewrite in rewriteAppendOnlyFile(): {}",
                disk::reason(&error)
            ))
        })?;
        let mut sink = FileSink::new(file, self.incremental_sync, job);
        let written = if self.as_rdb {
            rdb::save::save(snapshot, &self.options, &mut sink, job)
                .map(drop)
                .map_err(|error| match error.reason {
                    Reason::Io(error) => disk::reason(&error),
                    reason => reason.to_string(),
                })
        } else {
            commands::write(
                snapshot,
                &self.options.functions,
                self.timestamp_s,
                &mut sink,
                job,
            )
            .map_err(|error| disk::reason(&error))
        };
        written
            .and_then(|()| sink.finish().map_err(|error| disk::reason(&error)))
            .map_err(|reason| {
                failed(format!(
                    "Write error writing append only file on disk: {reason}"
                ))
            })
    }
}

fn base_plan(state: &mut State) -> BasePlan {
    let options = saving::save_options(state, true);
    let config = &state.config;
    let name = format!(
        "temp-rewriteaof-bg-{}-{}.aof",
        std::process::id(),
        state.persistence.next_job
    );
    BasePlan {
        disk: state.disk.clone(),
        temporary: config.dir.join(name),
        as_rdb: config.aof_use_rdb_preamble,
        incremental_sync: config.aof_rewrite_incremental_fsync,
        timestamp_s: config
            .aof_timestamp_enabled
            .then(|| state.clock.unix_seconds()),
        options,
    }
}

/// Starts a rewrite in the background. Whether it started; the log has the reason if not.
#[doc(alias = "rewriteAppendOnlyFileBackground")]
pub fn rewrite_aof(state: &mut State) -> bool {
    if state.persistence.running.is_some() {
        return false;
    }
    if let Err(line) = prepare_rewrite(state) {
        state.log.warning(line);
        state.persistence.aof.last_rewrite_failed = true;
        return false;
    }
    state.persistence.aof.rewrites += 1;
    state.persistence.aof.rewrite_scheduled = false;
    saving::tell(state, kinds::persistence::AOF_START);
    let plan = base_plan(state);
    let temporary = plan.temporary.clone();
    let (mut running, snapshot) = saving::enter_job(state, Purpose::Rewrite);
    running.temporary = temporary.clone();
    let (job, id, mailbox) = (running.job.clone(), running.id, state.mailbox.clone());
    let started = state.helpers.begin("bgrewriteaof", move || {
        let as_rdb = plan.as_rdb;
        let result = plan.write(snapshot, &job);
        drop(plan);
        mailbox.send(move |state| rewrite_done(state, id, &temporary, as_rdb, result));
    });
    match started {
        Ok(()) => {
            state.log.notice(format_args!(
                "Background append only file rewriting started by pid {}",
                std::process::id()
            ));
            state.persistence.running = Some(running);
            true
        }
        Err(error) => {
            state.persistence.aof.last_rewrite_failed = true;
            let reason = disk::reason(&error);
            state.log.warning(format_args!(
                "Can't rewrite append only file in background: thread: {reason}"
            ));
            saving::tell(state, kinds::persistence::FAILED);
            false
        }
    }
}

/// Ends the present increment with all commands so far, and opens the next one.
#[doc(alias = "openNewIncrAofForAppend")]
fn prepare_rewrite(state: &mut State) -> Result<(), String> {
    let names = state.config.aof_names();
    order(state, &names).make_directory()?;
    require_settled(state)?;
    append::flush(state, true);
    let aof = &mut state.persistence.aof;
    match aof.mode {
        Mode::Off => {}
        Mode::AwaitsRewrite => open_temporary_increment(state, &names)?,
        Mode::On if aof.unfinished.is_some() => aof.keep_increment(),
        Mode::On => open_next_increment(state, "on background rewrite")?,
    }
    state.persistence.aof.rewritten_upto = state.persistence.aof.fed;
    Ok(())
}

fn order<'a>(state: &'a State, names: &'a Names) -> Order<'a> {
    Order {
        disk: &state.disk,
        names,
    }
}

/// Opens the temporary increment: commands gather there until their base is written, and no manifest names it.
fn open_temporary_increment(state: &mut State, names: &Names) -> Result<(), String> {
    let name = names.temporary_increment();
    let path = names.path(&name);
    // A temporary increment that is still there belongs to an earlier attempt.
    let _ = state.closer.remove_file(&path);
    let file = state.disk.append_new(&path);
    let file = file.map_err(|error| order::cannot_open(&name, &error))?;
    state.log.notice(format_args!(
        "Creating AOF incr file {name} on background rewrite"
    ));
    let start = state.replication.offset;
    let aof = &mut state.persistence.aof;
    aof.let_go();
    aof.temporary_start = start;
    aof.switch_to(file, 0, state.mailbox.clone());
    Ok(())
}

/// Opens a new increment, to which commands are appended from now on. On error they go on being appended to the old
/// one; the error is the line for the log.
pub(in crate::persistence) fn open_next_increment(
    state: &mut State,
    occasion: &str,
) -> Result<(), String> {
    if state.persistence.aof.mode != Mode::On {
        return Ok(());
    }
    require_settled(state)?;
    let names = state.config.aof_names();
    let mut manifest = state.persistence.aof.manifest.clone();
    let order = order(state, &names);
    let (name, file) = order.new_increment(&mut manifest, state.replication.offset)?;
    match order.persist(&manifest) {
        Ok(()) => {}
        Err(NotInForce::No(line)) => {
            remove_file(state, names.path(&name));
            return Err(line);
        }
        Err(NotInForce::Maybe(line)) => {
            // The empty file stays until a manifest is in force that does not name it.
            manifest.retire_last_increment();
            state.persistence.aof.manifest = manifest;
            leave_unsettled(state);
            return Err(line);
        }
    }
    state
        .log
        .notice(format_args!("Creating AOF incr file {name} {occasion}"));
    let aof = &mut state.persistence.aof;
    aof.manifest = manifest;
    aof.switch_to(file, 0, state.mailbox.clone());
    Ok(())
}

#[doc(alias = "backgroundRewriteDoneHandler")]
fn rewrite_done(
    state: &mut State,
    id: u64,
    temporary: &Path,
    as_rdb: bool,
    result: Result<(), SaveError>,
) {
    let Some(running) = saving::leave_job(state, id) else {
        // The rewrite was given up while it ran, so its base is of no use.
        let _ = state.disk.remove_file(temporary);
        return;
    };
    let cow = std::mem::take(&mut state.persistence.stats.cow_bytes);
    state.persistence.aof.last_cow_bytes = cow;
    let ok = match result {
        Ok(()) => {
            state
                .log
                .notice("Background AOF rewrite terminated with success");
            adopt_base(state, temporary, as_rdb)
                .map_err(|line| state.log.warning(line))
                .is_ok()
        }
        Err(error) => {
            state.log.warning(error.line);
            state
                .log
                .warning("Background AOF rewrite terminated with error");
            false
        }
    };
    let aof = &mut state.persistence.aof;
    aof.last_rewrite_failed = !ok;
    if ok {
        aof.consecutive_failures = 0;
        state
            .log
            .notice("Background AOF rewrite finished successfully");
        if aof.mode == Mode::AwaitsRewrite {
            aof.mode = Mode::On;
        }
    } else {
        aof.consecutive_failures += 1;
        let _ = state.disk.remove_file(temporary);
    }
    saving::tell(state, kinds::persistence::end(ok));
    backup::backup_rewritten(state, ok);
    let now = state.clock.unix_seconds();
    let aof = &mut state.persistence.aof;
    aof.last_rewrite_seconds = Some(now - running.started_s);
    if aof.mode == Mode::AwaitsRewrite {
        aof.rewrite_scheduled = true;
        drop_temporary_increment(state);
    }
}

/// Deletes the temporary increment: commands in it belong behind a base that was never finished.
#[doc(alias = "aofDelTempIncrAofFile")]
fn drop_temporary_increment(state: &mut State) {
    let names = state.config.aof_names();
    let name = names.temporary_increment();
    state.log.notice(format_args!(
        "Removing the temp incr aof file {name} in the background"
    ));
    state.persistence.aof.let_go();
    remove_file(state, names.path(&name));
}

/// Puts a new base in its place. The error is the line for the log: the old manifest is then in force, or may be after
/// a power cut.
fn adopt_base(state: &mut State, temporary: &Path, as_rdb: bool) -> Result<(), String> {
    let names = state.config.aof_names();
    let mode = state.persistence.aof.mode;
    let mut manifest = state.persistence.aof.manifest.clone();
    let from = names.temporary_increment();
    let start = state.persistence.aof.temporary_start;
    let awaited = (mode == Mode::AwaitsRewrite).then_some((from.as_str(), start));
    let order = order(state, &names);
    let (base, increment) = order.new_base(&mut manifest, temporary, as_rdb, awaited)?;
    state.log.notice(format_args!(
        "Successfully renamed the temporary AOF base file {} into {base}",
        temporary.display()
    ));
    if let Some(to) = &increment {
        state.log.notice(format_args!(
            "Successfully renamed the temporary AOF incr file {from} into {to}"
        ));
    }
    manifest.retire_increments(usize::from(mode != Mode::Off));
    let persisted = order.persist(&manifest);
    if let Err(NotInForce::No(line)) = persisted {
        for name in increment.iter().chain([&base]) {
            remove_file(state, names.path(name));
        }
        return Err(line);
    }
    let base_size = file_size(state, &names.path(&base));
    let aof = &mut state.persistence.aof;
    aof.manifest = manifest;
    if mode != Mode::Off {
        aof.current_size = base_size + aof.increment_size;
        aof.rewrite_base_size = aof.current_size;
    }
    leave_unsettled(state);
    persisted.map_err(NotInForce::line)?;
    settled(state);
    Ok(())
}

/// The manifest in memory may not be the one that a power cut leaves: until it is, no file is deleted.
fn leave_unsettled(state: &mut State) {
    state.persistence.aof.unsettled = Some(state.clock.unix_ms());
}

/// The manifest is in force, so files and bytes outside of it are not needed any more: bytes left over for an
/// increment that a base replaced, and the files of history.
fn settled(state: &mut State) {
    let aof = &mut state.persistence.aof;
    if aof.unsettled.take().is_none() {
        return;
    }
    let only_one = aof.manifest.increments.len() == 1;
    if aof.mode != Mode::Off && only_one {
        aof.syncer.replaced(aof.rewritten_upto);
        if let Some(older) = aof.unfinished.take() {
            aof.current_size = aof.current_size.saturating_sub(older.size);
            aof.write_error = None;
            state.log.notice(
                "AOF write error looks solved, the rewritten AOF has what could not be written.",
            );
        }
    }
    delete_history(state);
}

/// Writes a manifest again that may not be in force.
fn settle(state: &mut State) {
    let now = state.clock.unix_ms();
    let due = |tried: i64| now - tried >= SETTLE_EVERY_MS;
    if state.persistence.aof.unsettled.is_some_and(due) {
        // A failure is in the log already, and the cron tries again.
        let _ = require_settled(state);
    }
}

/// Makes sure that the manifest is in force before the next step begins, so that no step builds on one that a power
/// cut may undo.
fn require_settled(state: &mut State) -> Result<(), String> {
    if state.persistence.aof.unsettled.is_none() {
        return Ok(());
    }
    let names = state.config.aof_names();
    match order(state, &names).persist(&state.persistence.aof.manifest) {
        Ok(()) => {
            settled(state);
            Ok(())
        }
        Err(why) => {
            leave_unsettled(state);
            Err(why.line())
        }
    }
}

/// Deletes the files that a rewrite replaced.
#[doc(alias = "aofDelHistoryFiles")]
pub fn delete_history(state: &mut State) {
    let aof = &mut state.persistence.aof;
    let unsettled = aof.unsettled.is_some();
    if state.config.aof_disable_auto_gc || unsettled || aof.manifest.history.is_empty() {
        return;
    }
    let history = aof.manifest.take_history();
    let names = state.config.aof_names();
    for file in history {
        state.log.notice(format_args!(
            "Removing the history file {} in the background",
            file.name
        ));
        remove_file(state, names.path(&file.name));
    }
    // Names of files that are gone do no harm in the manifest: their numbers are not used again.
    let persisted = order(state, &names).persist(&state.persistence.aof.manifest);
    if let Err(why) = persisted {
        state.log.warning(why.line());
    }
}

fn remove_file(state: &mut State, path: PathBuf) {
    // The file may be gone already.
    let _ = state.closer.remove_file(&path);
}

/// Ends the rewrite in the background, if there is one.
#[doc(alias = "killAppendOnlyChild")]
pub fn cancel_rewrite(state: &mut State) {
    let rewriting = |running: &mut Running| !running.is_save();
    if let Some(running) = state.persistence.running.take_if(rewriting) {
        running.job.cancel();
        state.log.notice(format_args!(
            "Killing running AOF rewrite child: {}",
            std::process::id()
        ));
        saving::tell(state, kinds::persistence::FAILED);
    }
}

/// The part of the cron for the append-only file: fsyncs that failed, a manifest that may not be in force, automatic
/// rewrites.
pub(crate) fn cron(state: &mut State) {
    settle(state);
    if state.persistence.aof.sync_failed || !state.persistence.aof.is_well() {
        append::look_at_fsyncs(state);
    }
    if state.persistence.aof.mode != Mode::Off
        && (state.persistence.aof.postponed_since.is_some()
            || state.persistence.aof.write_error.is_some())
    {
        append::flush(state, false);
    }
    if state.persistence.running.is_some() || state.persistence.backup.postpones_rewrites() {
        return;
    }
    if state.persistence.aof.rewrite_scheduled {
        if !is_rewrite_limited(state) {
            rewrite_aof(state);
        }
        return;
    }
    let (config, aof) = (&state.config, &state.persistence.aof);
    let percentage = u64::from(config.auto_aof_rewrite_percentage);
    if aof.mode == Mode::On && percentage > 0 && aof.current_size > config.auto_aof_rewrite_min_size
    {
        let base = aof.rewrite_base_size.max(1);
        let growth = (aof.current_size * 100 / base).saturating_sub(100);
        if growth >= percentage && !is_rewrite_limited(state) {
            state.log.notice(format_args!(
                "Starting automatic rewriting of AOF on {growth}% growth"
            ));
            rewrite_aof(state);
        }
    }
}

/// After several failures in a row, automatic rewrites wait: one minute, two, four, up to an hour.
#[doc(alias = "aofRewriteLimited")]
fn is_rewrite_limited(state: &mut State) -> bool {
    let now = state.clock.unix_seconds();
    let aof = &mut state.persistence.aof;
    if aof.consecutive_failures < LIMIT_FROM {
        aof.limit = crate::persistence::aof::Limit::default();
        return false;
    }
    if aof.limit.next_s != 0 {
        if now < aof.limit.next_s {
            return true;
        }
        aof.limit.next_s = 0;
        return false;
    }
    aof.limit.delay_minutes = (aof.limit.delay_minutes * 2).clamp(1, LIMIT_MAX_MINUTES);
    aof.limit.next_s = now + aof.limit.delay_minutes * 60;
    state.log.warning(format_args!(
        "Background AOF rewrite has repeatedly failed and triggered the limit, will retry in {} \
         minutes",
        aof.limit.delay_minutes
    ));
    true
}

/// Follows a change of the option `appendonly`. Returns whether the server could.
#[doc(alias = "applyAppendOnlyConfig")]
pub fn follow_appendonly(state: &mut State) -> bool {
    match (state.config.appendonly, state.persistence.aof.mode) {
        // A backup keeps it going, for itself.
        (false, _) if state.persistence.backup.has_own_stream() => {}
        (false, Mode::On | Mode::AwaitsRewrite) => stop_aof(state),
        (true, mode) => {
            state.persistence.backup.stream_stays();
            if mode == Mode::Off {
                return start_aof(state);
            }
        }
        (false, Mode::Off) => {}
    }
    true
}

/// Writes the buffer and forces the file to disk, now.
pub(in crate::persistence) fn settle_aof(state: &mut State) -> Result<(), String> {
    append::flush(state, true);
    let aof = &state.persistence.aof;
    let (written, file) = (aof.is_written(), aof.file.clone());
    let file = file.ok_or("the AOF is not open")?;
    if !written {
        return Err("the AOF can't be written".to_owned());
    }
    file.sync_all().map_err(|error| disk::reason(&error))
}

/// Stops appending, and drops commands that are not written yet.
pub(in crate::persistence) fn abandon_aof(state: &mut State) {
    state.persistence.aof.let_go();
    stop_aof(state);
}

/// As `stop_aof`, where it may be off already.
pub fn stop_aof_if_on(state: &mut State) {
    if state.persistence.aof.mode != Mode::Off {
        stop_aof(state);
    }
}

#[doc(alias = "stopAppendOnly")]
pub(crate) fn stop_aof(state: &mut State) {
    backup::fail_backup(state, "appendonly is stopped");
    append::flush(state, true);
    if let Some(file) = state.persistence.aof.file.take()
        && let Err(error) = file.sync_data()
    {
        let reason = disk::reason(&error);
        state
            .log
            .warning(format_args!("Fail to fsync the AOF file: {reason}"));
    }
    cancel_rewrite(state);
    note_end(state);
    if state.persistence.aof.mode == Mode::AwaitsRewrite {
        let names = state.config.aof_names();
        remove_file(state, names.path(&names.temporary_increment()));
    }
    let aof = &mut state.persistence.aof;
    aof.let_go();
    aof.mode = Mode::Off;
    aof.rewrite_scheduled = false;
    aof.increment_size = 0;
    aof.sync_asked_size = 0;
    listen_for_aof(state);
}

/// Notes in the manifest where the increment ends that is closed in good order. Without the note, the next start takes
/// the position where it begins and its size for it.
#[doc(alias = "updateCurIncrAofEndOffset")]
fn note_end(state: &mut State) {
    let offset = state.replication.offset;
    let aof = &mut state.persistence.aof;
    let whole = aof.mode == Mode::On && aof.unsettled.is_none() && aof.is_written();
    let Some(last) = aof.manifest.increments.last_mut().filter(|_| whole) else {
        return;
    };
    last.end = Some(offset);
    let known = last.start.is_some();
    let names = state.config.aof_names();
    if known && let Err(why) = order(state, &names).persist(&state.persistence.aof.manifest) {
        state.log.warning(why.line());
    }
}

/// The stream of effects goes on behind the increment that was loaded last, so that positions of a later increment are
/// never smaller. Its note of where it ends is taken back before anything is appended to it.
#[doc(alias = "updateReplOffsetAndResetEndOffset")]
fn resume_offset(state: &mut State) -> Result<(), String> {
    let names = state.config.aof_names();
    let Some(last) = state.persistence.aof.manifest.increments.last_mut() else {
        return Ok(());
    };
    if let Some(end) = last.end.take() {
        state.replication.offset = end;
        let persisted = order(state, &names).persist(&state.persistence.aof.manifest);
        return persisted.map_err(NotInForce::line);
    }
    let (start, path) = (last.start.unwrap_or(0), names.path(&last.name));
    state.replication.offset = start.saturating_add(file_size(state, &path));
    Ok(())
}

#[doc(alias = "startAppendOnly")]
pub(in crate::persistence) fn start_aof(state: &mut State) -> bool {
    state.persistence.aof.mode = Mode::AwaitsRewrite;
    replication::act::waiting::note_aof_start(state);
    listen_for_aof(state);
    let saving = state.persistence.running.as_ref().map(Running::is_save);
    if saving == Some(true) {
        state.persistence.aof.rewrite_scheduled = true;
        state.log.notice(
            "AOF was enabled but there is already another background operation. An AOF background \
             was scheduled to start when possible.",
        );
    } else if in_transaction(state) {
        state.persistence.aof.rewrite_scheduled = true;
        state.log.notice(
            "AOF was enabled during a transaction. An AOF background was scheduled to start when \
             possible.",
        );
    } else {
        if saving == Some(false) {
            state.log.notice(
                "AOF was enabled but there is already an AOF rewriting in background. Stopping \
                 background AOF and starting a rewrite now.",
            );
            cancel_rewrite(state);
        }
        if !rewrite_aof(state) {
            state.persistence.aof.let_go();
            state.persistence.aof.mode = Mode::Off;
            listen_for_aof(state);
            state.log.warning(
                "Redis needs to enable the AOF but can't trigger a background AOF rewrite \
                 operation. Check the above logs for more info about the error.",
            );
            return false;
        }
    }
    let now = state.clock.unix_ms();
    let aof = &mut state.persistence.aof;
    aof.last_sync_ms = now;
    let failed = aof.syncer.error().is_some();
    aof.syncer.forgive();
    if failed {
        aof.sync_failed = false;
        state
            .log
            .warning("AOF reopen, just ignore the AOF fsync error in bio job");
    }
    if aof.write_error.take().is_some() {
        state.log.warning("AOF reopen, just ignore the last error.");
    }
    true
}

/// Whether a transaction is being executed.
pub(in crate::persistence) fn in_transaction(state: &State) -> bool {
    state.effects.depth() > 1
}

/// Tells the stream of effects whether the append-only file wants effects.
pub(crate) fn listen_for_aof(state: &mut State) {
    let listening = state.effects.listening;
    state.effects.listening = match state.persistence.aof.mode {
        Mode::Off => listening.without(crate::command::Targets::AOF),
        _ => listening.or(crate::command::Targets::AOF),
    };
}

/// Opens the increment to write to, once the data set is loaded; makes a base if there is none.
/// Whether it worked; the log has the reason if not.
#[doc(alias = "aofOpenIfNeededOnServerStart")]
pub(crate) fn open_aof_at_start(state: &mut State) -> bool {
    // Reloading while the server runs changes nothing about the file.
    if !state.config.appendonly || state.persistence.aof.mode != Mode::Off {
        return true;
    }
    match try_open_aof(state) {
        Ok(()) => {
            state.persistence.aof.mode = Mode::On;
            listen_for_aof(state);
            true
        }
        Err(line) => {
            state.log.warning(line);
            false
        }
    }
}

fn try_open_aof(state: &mut State) -> Result<(), String> {
    let names = state.config.aof_names();
    order(state, &names).make_directory()?;
    if !state.persistence.preloaded {
        resume_offset(state)?;
    }
    let mut manifest = state.persistence.aof.manifest.clone();
    let replaced = std::mem::take(&mut state.persistence.preloaded) && !manifest.is_empty();
    let fresh = manifest.is_empty() || replaced;
    let base = match fresh {
        true => Some(base_at_start(state, &mut manifest, &names)?),
        false => {
            // The process before this one may have ended before that.
            order(state, &names).sync_all(&manifest)?;
            None
        }
    };
    let order = order(state, &names);
    let (name, file, verb) = match manifest.increments.last() {
        Some(last) => {
            let name = last.name.clone();
            let file = state.disk.append(&names.path(&name));
            let file = file.map_err(|error| order::cannot_open(&name, &error))?;
            (name, file, "Opening")
        }
        None => {
            let (name, file) = order.new_increment(&mut manifest, state.replication.offset)?;
            (name, file, "Creating")
        }
    };
    if fresh || verb == "Creating" {
        if let Err(why) = order.persist(&manifest) {
            if let NotInForce::No(_) = why {
                for name in base.iter().chain([&name]) {
                    remove_file(state, names.path(name));
                }
            }
            return Err(why.line());
        }
    } else {
        let synced = state.disk.sync_dir(&names.directory);
        synced.map_err(|error| {
            let why = disk::reason(&error);
            format!(
                "Fail to fsync AOF directory {}: {why}.",
                names.directory.display()
            )
        })?;
    }
    state.persistence.aof.rewrites += u64::from(replaced);
    let size_of = |name: &str| file_size(state, &names.path(name));
    let size = size_of(&name);
    let base_size = manifest.base.as_ref().map(|f| size_of(&f.name));
    let current_size = manifest.in_order().map(|f| size_of(&f.name)).sum();
    let before = manifest.increments.iter().rev().nth(1);
    let before = before.map(|before| size_of(&before.name));
    let aof = &mut state.persistence.aof;
    aof.manifest = manifest;
    aof.switch_to(file, size, state.mailbox.clone());
    aof.follows = before.filter(|_| size == 0);
    aof.current_size = current_size;
    aof.rewrite_base_size = base_size.unwrap_or(0);
    aof.last_sync_ms = state.clock.unix_ms();
    state
        .log
        .notice(format_args!("{verb} AOF incr file {name} on server start"));
    delete_history(state);
    Ok(())
}

/// Writes a base of the data set as it is, in the place of all there was. Its name; the error is the line for the log.
fn base_at_start(
    state: &mut State,
    manifest: &mut Manifest,
    names: &Names,
) -> Result<String, String> {
    saving::tell(state, kinds::persistence::SYNC_AOF_START);
    let plan = base_plan(state);
    let snapshot = state.keyspace.snapshot();
    let written = plan.write(snapshot, &Job::default());
    saving::tell(state, kinds::persistence::end(written.is_ok()));
    written.map_err(|error| error.line)?;
    let order = order(state, names);
    let (base, _) = order
        .new_base(manifest, &plan.temporary, plan.as_rdb, None)
        .inspect_err(|_| {
            let _ = state.disk.remove_file(&plan.temporary);
        })?;
    state.log.notice(format_args!(
        "Creating AOF base file {base} on server start"
    ));
    // The increments so far belong to another data set.
    manifest.retire_increments(0);
    Ok(base)
}

/// Writes the buffer and forces it to disk, as the last thing before the process ends.
pub fn close_aof(state: &mut State) {
    append::flush(state, true);
    if state.persistence.aof.mode == Mode::On
        && !state.persistence.failed
        && let Some(file) = &state.persistence.aof.file
        && let Err(error) = file.sync_all()
    {
        let reason = disk::reason(&error);
        state
            .log
            .warning(format_args!("Fail to fsync the AOF file: {reason}."));
    }
    if !state.persistence.failed {
        note_end(state);
    }
}

fn file_size(state: &State, path: &Path) -> u64 {
    state.disk.metadata(path).map_or(0, |metadata| metadata.len)
}
