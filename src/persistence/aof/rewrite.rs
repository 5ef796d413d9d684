//! BGREWRITEAOF: a snapshot becomes the base, and commands go to a new increment from the same moment on. And the
//! append-only file switched on and off.
//!
//! ```text
//!   start   next increment opened, manifest written, snapshot taken; thread "bgrewriteaof": temp file
//!   end     temp file renamed to the next base, older files become history, manifest written, history deleted
//! ```
//!
//! Invariant: at every moment the manifest on disk names files that together are the data set. A step that fails
//! leaves the manifest as it was.
//!
//! Mirrors: rewriteAppendOnlyFileBackground(), backgroundRewriteDoneHandler(), startAppendOnly(), stopAppendOnly() of
//! aof.c.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{Mode, commands};
use crate::background::Job;
use crate::config::disk;
use crate::dispatch::Targets;
use crate::keyspace::Snapshot;
use crate::persistence::files::{self, FileSink, SaveError};
use crate::persistence::rdb::save::Options;
use crate::persistence::rdb::{self, Reason};
use crate::persistence::saving::{Purpose, Running};
use crate::state::State;

/// From so many failures in a row on, the next attempt waits.
const LIMIT_FROM: u64 = 3;
const LIMIT_MAX_MINUTES: i64 = 60;

/// What a base is written from, and how.
struct BasePlan {
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
            let _ = fs::remove_file(&self.temporary);
        })
    }

    fn try_write(&self, snapshot: Snapshot, job: &Job) -> Result<(), SaveError> {
        let failed = |line: String| SaveError {
            line,
            cancelled: job.is_cancelled(),
        };
        let file = files::create(&self.temporary).map_err(|error| {
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

impl State {
    fn base_plan(&self) -> BasePlan {
        let config = &self.config;
        let name = format!(
            "temp-rewriteaof-bg-{}-{}.aof",
            std::process::id(),
            self.persistence.next_job
        );
        BasePlan {
            temporary: config.dir.join(name),
            as_rdb: config.aof_use_rdb_preamble,
            incremental_sync: config.aof_rewrite_incremental_fsync,
            timestamp_s: config
                .aof_timestamp_enabled
                .then(|| self.clock.unix_seconds()),
            options: self.save_options(true),
        }
    }

    /// Starts a rewrite in the background. Whether it started; the log has the reason if not.
    #[doc(alias = "rewriteAppendOnlyFileBackground")]
    pub fn rewrite_aof(&mut self) -> bool {
        if self.persistence.running.is_some() {
            return false;
        }
        if let Err(line) = self.prepare_rewrite() {
            self.log.warning(line);
            self.persistence.aof.last_rewrite_failed = true;
            return false;
        }
        self.persistence.aof.rewrites += 1;
        self.persistence.aof.rewrite_scheduled = false;
        let plan = self.base_plan();
        let temporary = plan.temporary.clone();
        let (mut running, snapshot) = self.enter_job(Purpose::Rewrite);
        running.temporary = temporary.clone();
        let (job, id, mailbox) = (running.job.clone(), running.id, self.mailbox.clone());
        let started = Job::begin("bgrewriteaof", move || {
            let as_rdb = plan.as_rdb;
            let result = plan.write(snapshot, &job);
            drop(plan);
            mailbox.send(move |state| state.rewrite_done(id, &temporary, as_rdb, result));
        });
        match started {
            Ok(()) => {
                self.log.notice(format_args!(
                    "Background append only file rewriting started by pid {}",
                    std::process::id()
                ));
                self.persistence.running = Some(running);
                true
            }
            Err(error) => {
                self.persistence.aof.last_rewrite_failed = true;
                let reason = disk::reason(&error);
                self.log.warning(format_args!(
                    "Can't rewrite append only file in background: thread: {reason}"
                ));
                false
            }
        }
    }

    /// Everything so far goes to the increment there is; the next one is opened.
    #[doc(alias = "openNewIncrAofForAppend")]
    fn prepare_rewrite(&mut self) -> Result<(), String> {
        let names = self.config.aof_names();
        fs::create_dir_all(&names.directory).map_err(|error| {
            format!(
                "Can't open or create append-only dir {}: {}",
                self.config.appenddirname,
                disk::reason(&error)
            )
        })?;
        self.flush_aof(true);
        match self.persistence.aof.mode {
            Mode::Off => Ok(()),
            _ => self.open_next_increment("on background rewrite"),
        }
    }

    /// What follows goes to a new increment. The error is the line for the log; all is then as it was.
    pub(in crate::persistence) fn open_next_increment(
        &mut self,
        occasion: &str,
    ) -> Result<(), String> {
        let names = self.config.aof_names();
        let aof = &mut self.persistence.aof;
        let mut manifest = aof.manifest.clone();
        let name = match aof.mode {
            Mode::Off => return Ok(()),
            Mode::AwaitsRewrite => names.temporary_increment(),
            Mode::On => manifest.next_increment(&names.stem),
        };
        let file = files::create(&names.path(&name)).map_err(|error| {
            format!(
                "Can't open the append-only file {name}: {}",
                disk::reason(&error)
            )
        })?;
        if aof.mode == Mode::On {
            manifest.persist(&names)?;
            aof.manifest = manifest;
        }
        self.log
            .notice(format_args!("Creating AOF incr file {name} {occasion}"));
        aof.switch_to(file, 0, self.mailbox.clone());
        Ok(())
    }

    #[doc(alias = "backgroundRewriteDoneHandler")]
    fn rewrite_done(
        &mut self,
        id: u64,
        temporary: &Path,
        as_rdb: bool,
        result: Result<(), SaveError>,
    ) {
        let Some(running) = self.leave_job(id) else {
            // Forgotten while it ran: its base is of no use.
            let _ = fs::remove_file(temporary);
            return;
        };
        let cow = std::mem::take(&mut self.persistence.stats.cow_bytes);
        self.persistence.aof.last_cow_bytes = cow;
        let result = match result {
            Ok(()) => {
                self.log
                    .notice("Background AOF rewrite terminated with success");
                self.adopt_base(temporary, as_rdb).map_err(Some)
            }
            Err(error) => {
                self.log.warning(error.line);
                self.log
                    .warning("Background AOF rewrite terminated with error");
                Err(None)
            }
        };
        let aof = &mut self.persistence.aof;
        match result {
            Ok(()) => {
                aof.last_rewrite_failed = false;
                aof.consecutive_failures = 0;
                self.log
                    .notice("Background AOF rewrite finished successfully");
                if aof.mode == Mode::AwaitsRewrite {
                    aof.mode = Mode::On;
                }
            }
            Err(line) => {
                aof.last_rewrite_failed = true;
                aof.consecutive_failures += 1;
                if let Some(line) = line {
                    self.log.warning(line);
                }
                let _ = fs::remove_file(temporary);
            }
        }
        let ok = !self.persistence.aof.last_rewrite_failed;
        self.backup_rewritten(ok);
        let now = self.clock.unix_seconds();
        let aof = &mut self.persistence.aof;
        aof.last_rewrite_seconds = Some(now - running.started_s);
        if aof.mode == Mode::AwaitsRewrite {
            aof.rewrite_scheduled = true;
            self.drop_temporary_increment();
        }
    }

    /// What was appended since the rewrite began has no base.
    #[doc(alias = "aofDelTempIncrAofFile")]
    fn drop_temporary_increment(&mut self) {
        let names = self.config.aof_names();
        let name = names.temporary_increment();
        self.log.notice(format_args!(
            "Removing the temp incr aof file {name} in the background"
        ));
        self.persistence.aof.buf = Vec::new();
        self.remove_file(names.path(&name));
    }

    /// Puts a new base in its place. The error is the line for the log; the manifest is then as it was.
    fn adopt_base(&mut self, temporary: &Path, as_rdb: bool) -> Result<(), String> {
        let names = self.config.aof_names();
        let mut manifest = self.persistence.aof.manifest.clone();
        let base = manifest.next_base(&names.stem, as_rdb);
        let rename = |from: &Path, to: &str, what: &str| {
            fs::rename(from, names.path(to)).map_err(|error| {
                format!(
                    "Error trying to rename the temporary AOF {what} file {} into {to}: {}",
                    from.display(),
                    disk::reason(&error)
                )
            })
        };
        rename(temporary, &base, "base")?;
        self.log.notice(format_args!(
            "Successfully renamed the temporary AOF base file {} into {base}",
            temporary.display()
        ));
        let awaited = self.persistence.aof.mode == Mode::AwaitsRewrite;
        let mut increment = None;
        if awaited {
            let from = names.temporary_increment();
            let to = manifest.next_increment(&names.stem);
            if let Err(line) = rename(&names.path(&from), &to, "incr") {
                self.remove_file(names.path(&base));
                return Err(line);
            }
            self.log.notice(format_args!(
                "Successfully renamed the temporary AOF incr file {from} into {to}"
            ));
            increment = Some(to);
        }
        let writing = self.persistence.aof.mode != Mode::Off;
        manifest.retire_increments(usize::from(writing));
        if let Err(line) = manifest.persist(&names) {
            self.remove_file(names.path(&base));
            if let Some(increment) = increment {
                self.remove_file(names.path(&increment));
            }
            return Err(line);
        }
        let aof = &mut self.persistence.aof;
        aof.manifest = manifest;
        if writing {
            let base_size = file_size(&names.path(&base));
            aof.current_size = base_size + aof.increment_size;
            aof.rewrite_base_size = aof.current_size;
        }
        self.delete_history();
        Ok(())
    }

    /// Deletes the files that a rewrite replaced.
    #[doc(alias = "aofDelHistoryFiles")]
    pub fn delete_history(&mut self) {
        if self.config.aof_disable_auto_gc || self.persistence.aof.manifest.history.is_empty() {
            return;
        }
        let names = self.config.aof_names();
        let history = std::mem::take(&mut self.persistence.aof.manifest.history);
        for file in history {
            self.log.notice(format_args!(
                "Removing the history file {} in the background",
                file.name
            ));
            self.remove_file(names.path(&file.name));
        }
        // Names of files that are gone do no harm in the manifest.
        if let Err(line) = self.persistence.aof.manifest.persist(&names) {
            self.log.warning(line);
        }
    }

    fn remove_file(&mut self, path: PathBuf) {
        // It may be gone already.
        let _ = self.closer.remove_file(&path);
    }

    /// Ends the rewrite in the background, if there is one.
    #[doc(alias = "killAppendOnlyChild")]
    pub fn cancel_rewrite(&mut self) {
        let rewriting = |running: &mut Running| !running.is_save();
        if let Some(running) = self.persistence.running.take_if(rewriting) {
            running.job.cancel();
            self.log.notice(format_args!(
                "Killing running AOF rewrite child: {}",
                std::process::id()
            ));
        }
    }

    /// What the append-only file does at every turn of the cron.
    pub(crate) fn aof_cron(&mut self) {
        if self.persistence.aof.sync_failed || !self.persistence.aof.is_well() {
            self.look_at_fsyncs();
        }
        if self.persistence.aof.mode != Mode::Off
            && (self.persistence.aof.postponed_since.is_some()
                || self.persistence.aof.write_error.is_some())
        {
            self.flush_aof(false);
        }
        if self.persistence.running.is_some() || self.persistence.backup.postpones_rewrites() {
            return;
        }
        if self.persistence.aof.rewrite_scheduled {
            if !self.is_rewrite_limited() {
                self.rewrite_aof();
            }
            return;
        }
        let (config, aof) = (&self.config, &self.persistence.aof);
        let percentage = u64::from(config.auto_aof_rewrite_percentage);
        if aof.mode == Mode::On
            && percentage > 0
            && aof.current_size > config.auto_aof_rewrite_min_size
        {
            let base = aof.rewrite_base_size.max(1);
            let growth = (aof.current_size * 100 / base).saturating_sub(100);
            if growth >= percentage && !self.is_rewrite_limited() {
                self.log.notice(format_args!(
                    "Starting automatic rewriting of AOF on {growth}% growth"
                ));
                self.rewrite_aof();
            }
        }
    }

    /// After failures in a row, attempts of our own wait: one minute, two, four, up to an hour.
    #[doc(alias = "aofRewriteLimited")]
    fn is_rewrite_limited(&mut self) -> bool {
        let now = self.clock.unix_seconds();
        let aof = &mut self.persistence.aof;
        if aof.consecutive_failures < LIMIT_FROM {
            aof.limit = super::Limit::default();
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
        self.log.warning(format_args!(
            "Background AOF rewrite has repeatedly failed and triggered the limit, will retry in {} \
             minutes",
            aof.limit.delay_minutes
        ));
        true
    }

    /// `appendonly` was set. Whether the server could follow.
    #[doc(alias = "applyAppendOnlyConfig")]
    pub fn follow_appendonly(&mut self) -> bool {
        match (self.config.appendonly, self.persistence.aof.mode) {
            // A backup keeps it going, for itself.
            (false, _) if self.persistence.backup.has_own_stream() => {}
            (false, Mode::On | Mode::AwaitsRewrite) => self.stop_aof(),
            (true, mode) => {
                self.persistence.backup.stream_stays();
                if mode == Mode::Off {
                    return self.start_aof();
                }
            }
            (false, Mode::Off) => {}
        }
        true
    }

    /// Writes what was fed and forces it to disk, now.
    pub(in crate::persistence) fn settle_aof(&mut self) -> Result<(), String> {
        self.flush_aof(true);
        let aof = &self.persistence.aof;
        let (unwritten, file) = (!aof.buf.is_empty(), aof.file.clone());
        let file = file.ok_or("the AOF is not open")?;
        if unwritten {
            return Err("the AOF can't be written".to_owned());
        }
        file.sync_all().map_err(|error| disk::reason(&error))
    }

    /// Stops appending; what was not written yet nobody needs.
    pub(in crate::persistence) fn abandon_aof(&mut self) {
        self.persistence.aof.buf = Vec::new();
        self.persistence.aof.file = None;
        self.stop_aof();
    }

    #[doc(alias = "stopAppendOnly")]
    pub(crate) fn stop_aof(&mut self) {
        self.fail_backup("appendonly is stopped");
        self.flush_aof(true);
        if let Some(file) = self.persistence.aof.file.take()
            && let Err(error) = file.sync_data()
        {
            let reason = disk::reason(&error);
            self.log
                .warning(format_args!("Fail to fsync the AOF file: {reason}"));
        }
        self.cancel_rewrite();
        let aof = &mut self.persistence.aof;
        aof.mode = Mode::Off;
        aof.rewrite_scheduled = false;
        aof.selected = None;
        aof.increment_size = 0;
        aof.sync_asked_size = 0;
        aof.buf = Vec::new();
        self.listen_for_aof();
    }

    #[doc(alias = "startAppendOnly")]
    pub(in crate::persistence) fn start_aof(&mut self) -> bool {
        self.persistence.aof.mode = Mode::AwaitsRewrite;
        self.note_aof_start();
        self.listen_for_aof();
        let saving = self.persistence.running.as_ref().map(Running::is_save);
        if saving == Some(true) {
            self.persistence.aof.rewrite_scheduled = true;
            self.log.notice(
                "AOF was enabled but there is already another background operation. An AOF background \
                 was scheduled to start when possible.",
            );
        } else if self.in_transaction() {
            self.persistence.aof.rewrite_scheduled = true;
            self.log.notice(
                "AOF was enabled during a transaction. An AOF background was scheduled to start when \
                 possible.",
            );
        } else {
            if saving == Some(false) {
                self.log.notice(
                    "AOF was enabled but there is already an AOF rewriting in background. Stopping \
                     background AOF and starting a rewrite now.",
                );
                self.cancel_rewrite();
            }
            if !self.rewrite_aof() {
                self.persistence.aof.mode = Mode::Off;
                self.listen_for_aof();
                self.log.warning(
                    "Redis needs to enable the AOF but can't trigger a background AOF rewrite \
                     operation. Check the above logs for more info about the error.",
                );
                return false;
            }
        }
        let now = self.clock.unix_ms();
        let aof = &mut self.persistence.aof;
        aof.last_sync_ms = now;
        if aof.syncer.error().is_some() {
            aof.syncer.forgive();
            aof.sync_failed = false;
            self.log
                .warning("AOF reopen, just ignore the AOF fsync error in bio job");
        }
        if aof.write_error.take().is_some() {
            self.log.warning("AOF reopen, just ignore the last error.");
        }
        true
    }

    /// Whether a transaction is being executed.
    pub(in crate::persistence) fn in_transaction(&self) -> bool {
        self.effects.depth() > 1
    }

    /// The stream of effects learns whether the file wants to hear it.
    pub(crate) fn listen_for_aof(&mut self) {
        let listening = self.effects.listening;
        self.effects.listening = match self.persistence.aof.mode {
            Mode::Off => listening.without(Targets::AOF),
            _ => listening.or(Targets::AOF),
        };
    }

    /// Opens the increment to write to, once the data set is loaded; makes a base if there is none.
    /// Whether it worked; the log has the reason if not.
    #[doc(alias = "aofOpenIfNeededOnServerStart")]
    pub(crate) fn open_aof_at_start(&mut self) -> bool {
        // Reloading while the server runs changes nothing about the file.
        if !self.config.appendonly || self.persistence.aof.mode != Mode::Off {
            return true;
        }
        match self.try_open_aof() {
            Ok(()) => {
                self.persistence.aof.mode = Mode::On;
                self.listen_for_aof();
                true
            }
            Err(line) => {
                self.log.warning(line);
                false
            }
        }
    }

    fn try_open_aof(&mut self) -> Result<(), String> {
        let names = self.config.aof_names();
        let reason = |error: &io::Error| disk::reason(error);
        fs::create_dir_all(&names.directory).map_err(|error| {
            let directory = &self.config.appenddirname;
            let why = reason(&error);
            format!("Can't open or create append-only dir {directory}: {why}")
        })?;
        let mut manifest = self.persistence.aof.manifest.clone();
        let mut changed = false;
        let replaced = std::mem::take(&mut self.persistence.preloaded) && !manifest.is_empty();
        if manifest.is_empty() || replaced {
            let plan = self.base_plan();
            let base = manifest.next_base(&names.stem, plan.as_rdb);
            let snapshot = self.keyspace.snapshot();
            plan.write(snapshot, &Job::default())
                .map_err(|error| error.line)?;
            fs::rename(&plan.temporary, names.path(&base)).map_err(|error| {
                let why = reason(&error);
                format!("Error moving temp append only file on the final destination: {why}")
            })?;
            self.log.notice(format_args!(
                "Creating AOF base file {base} on server start"
            ));
            // What was there before is of another data set.
            manifest.retire_increments(0);
            self.persistence.aof.rewrites += u64::from(replaced);
            changed = true;
        }
        let (name, verb) = match manifest.increments.last() {
            Some(last) => (last.name.clone(), "Opening"),
            None => {
                changed = true;
                (manifest.next_increment(&names.stem), "Creating")
            }
        };
        let path = names.path(&name);
        let file = File::options()
            .append(true)
            .create(true)
            .open(&path)
            .map_err(|error| {
                let why = reason(&error);
                format!("Can't open the append-only file {name}: {why}")
            })?;
        if changed {
            manifest.persist(&names)?;
        }
        let size = file_size(&path);
        let base_size = manifest
            .base
            .as_ref()
            .map(|f| file_size(&names.path(&f.name)));
        let sizes = manifest.in_order().map(|f| file_size(&names.path(&f.name)));
        let current_size = sizes.sum();
        let aof = &mut self.persistence.aof;
        aof.manifest = manifest;
        aof.switch_to(file, size, self.mailbox.clone());
        aof.current_size = current_size;
        aof.rewrite_base_size = base_size.unwrap_or(0);
        aof.last_sync_ms = self.clock.unix_ms();
        self.log
            .notice(format_args!("{verb} AOF incr file {name} on server start"));
        self.delete_history();
        Ok(())
    }

    /// The last word before the process ends: what was fed is on disk.
    pub fn close_aof(&mut self) {
        self.flush_aof(true);
        if self.persistence.aof.mode == Mode::On
            && let Some(file) = &self.persistence.aof.file
            && let Err(error) = file.sync_all()
        {
            let reason = disk::reason(&error);
            self.log
                .warning(format_args!("Fail to fsync the AOF file: {reason}."));
        }
    }
}

fn file_size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}
