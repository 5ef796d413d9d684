//! BGREWRITEAOF: a snapshot becomes the base, and commands go to a new increment from the same moment on. And the
//! append-only file switched on and off.
//!
//! ```text
//!   start   next increment opened, manifest written, snapshot taken; thread "bgrewriteaof": temp file
//!   end     temp file renamed to the next base, older files become history, manifest written, history deleted
//! ```
//!
//! The steps that change which files there are, and their order, are in [`order`]. Invariant: whatever fails and whenever
//! the power goes, the manifest that is in force names files that together are the data set up to some moment, and
//! commands are appended to a file that it names, or that the next one will.
//!
//! Mirrors: rewriteAppendOnlyFileBackground(), backgroundRewriteDoneHandler(), startAppendOnly(), stopAppendOnly() of
//! aof.c.

use std::path::{Path, PathBuf};

use super::manifest::{Manifest, Names};
use super::order::{self, NotInForce, Order};
use super::{Mode, commands};
use crate::background::Job;
use crate::command::Targets;
use crate::config::disk;
use crate::keyspace::Snapshot;
use crate::persistence::files::{FileSink, SaveError};
use crate::persistence::rdb::save::Options;
use crate::persistence::rdb::{self, Reason};
use crate::persistence::saving::{Purpose, Running};
use crate::state::State;
use crate::sys::files::Disk;

/// A manifest that may not survive a power cut is written again after so many milliseconds.
const SETTLE_EVERY_MS: i64 = 1000;
/// From so many failures in a row on, the next attempt waits.
const LIMIT_FROM: u64 = 3;
const LIMIT_MAX_MINUTES: i64 = 60;

/// What a base is written from, and how.
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

impl State {
    fn base_plan(&self) -> BasePlan {
        let config = &self.config;
        let name = format!(
            "temp-rewriteaof-bg-{}-{}.aof",
            std::process::id(),
            self.persistence.next_job
        );
        BasePlan {
            disk: self.disk.clone(),
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
        let started = self.helpers.begin("bgrewriteaof", move || {
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
        self.order(&names).make_directory()?;
        self.require_settled()?;
        self.flush_aof(true);
        let aof = &mut self.persistence.aof;
        match aof.mode {
            Mode::Off => {}
            Mode::AwaitsRewrite => self.open_temporary_increment(&names)?,
            Mode::On if aof.unfinished.is_some() => aof.keep_increment(),
            Mode::On => self.open_next_increment("on background rewrite")?,
        }
        self.persistence.aof.rewritten_upto = self.persistence.aof.fed;
        Ok(())
    }

    fn order<'a>(&'a self, names: &'a Names) -> Order<'a> {
        Order {
            disk: &self.disk,
            names,
        }
    }

    /// Commands wait for their base in a file that no manifest names.
    fn open_temporary_increment(&mut self, names: &Names) -> Result<(), String> {
        let name = names.temporary_increment();
        let path = names.path(&name);
        // One that was left is of another time.
        let _ = self.closer.remove_file(&path);
        let file = self.disk.append_new(&path);
        let file = file.map_err(|error| order::cannot_open(&name, &error))?;
        self.log.notice(format_args!(
            "Creating AOF incr file {name} on background rewrite"
        ));
        let aof = &mut self.persistence.aof;
        aof.let_go();
        aof.switch_to(file, 0, self.mailbox.clone());
        Ok(())
    }

    /// What follows goes to a new increment. The error is the line for the log; commands then go where they went.
    pub(in crate::persistence) fn open_next_increment(
        &mut self,
        occasion: &str,
    ) -> Result<(), String> {
        if self.persistence.aof.mode != Mode::On {
            return Ok(());
        }
        self.require_settled()?;
        let names = self.config.aof_names();
        let mut manifest = self.persistence.aof.manifest.clone();
        let order = self.order(&names);
        let (name, file) = order.new_increment(&mut manifest)?;
        match order.persist(&manifest) {
            Ok(()) => {}
            Err(NotInForce::No(line)) => {
                self.remove_file(names.path(&name));
                return Err(line);
            }
            Err(NotInForce::Maybe(line)) => {
                // It stays, empty, until a manifest is in force that does not name it.
                manifest.retire_last_increment();
                self.persistence.aof.manifest = manifest;
                self.leave_unsettled();
                return Err(line);
            }
        }
        self.log
            .notice(format_args!("Creating AOF incr file {name} {occasion}"));
        let aof = &mut self.persistence.aof;
        aof.manifest = manifest;
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
            let _ = self.disk.remove_file(temporary);
            return;
        };
        let cow = std::mem::take(&mut self.persistence.stats.cow_bytes);
        self.persistence.aof.last_cow_bytes = cow;
        let ok = match result {
            Ok(()) => {
                self.log
                    .notice("Background AOF rewrite terminated with success");
                self.adopt_base(temporary, as_rdb)
                    .map_err(|line| self.log.warning(line))
                    .is_ok()
            }
            Err(error) => {
                self.log.warning(error.line);
                self.log
                    .warning("Background AOF rewrite terminated with error");
                false
            }
        };
        let aof = &mut self.persistence.aof;
        aof.last_rewrite_failed = !ok;
        if ok {
            aof.consecutive_failures = 0;
            self.log
                .notice("Background AOF rewrite finished successfully");
            if aof.mode == Mode::AwaitsRewrite {
                aof.mode = Mode::On;
            }
        } else {
            aof.consecutive_failures += 1;
            let _ = self.disk.remove_file(temporary);
        }
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
        self.persistence.aof.let_go();
        self.remove_file(names.path(&name));
    }

    /// Puts a new base in its place. The error is the line for the log: the old manifest is then in force, or may be after
    /// a power cut.
    fn adopt_base(&mut self, temporary: &Path, as_rdb: bool) -> Result<(), String> {
        let names = self.config.aof_names();
        let mode = self.persistence.aof.mode;
        let mut manifest = self.persistence.aof.manifest.clone();
        let from = names.temporary_increment();
        let awaited = (mode == Mode::AwaitsRewrite).then_some(from.as_str());
        let order = self.order(&names);
        let (base, increment) = order.new_base(&mut manifest, temporary, as_rdb, awaited)?;
        self.log.notice(format_args!(
            "Successfully renamed the temporary AOF base file {} into {base}",
            temporary.display()
        ));
        if let Some(to) = &increment {
            self.log.notice(format_args!(
                "Successfully renamed the temporary AOF incr file {from} into {to}"
            ));
        }
        manifest.retire_increments(usize::from(mode != Mode::Off));
        let persisted = order.persist(&manifest);
        if let Err(NotInForce::No(line)) = persisted {
            for name in increment.iter().chain([&base]) {
                self.remove_file(names.path(name));
            }
            return Err(line);
        }
        let base_size = self.file_size(&names.path(&base));
        let aof = &mut self.persistence.aof;
        aof.manifest = manifest;
        if mode != Mode::Off {
            aof.current_size = base_size + aof.increment_size;
            aof.rewrite_base_size = aof.current_size;
        }
        self.leave_unsettled();
        persisted.map_err(NotInForce::line)?;
        self.settled();
        Ok(())
    }

    /// The manifest in memory may not be the one that a power cut leaves: until it is, no file is deleted.
    fn leave_unsettled(&mut self) {
        self.persistence.aof.unsettled = Some(self.clock.unix_ms());
    }

    /// The manifest is in force, so what it does not name is not needed any more: neither bytes that are left over for an
    /// increment that a base replaced, nor the files of history.
    fn settled(&mut self) {
        let aof = &mut self.persistence.aof;
        if aof.unsettled.take().is_none() {
            return;
        }
        let only_one = aof.manifest.increments.len() == 1;
        if aof.mode != Mode::Off && only_one {
            aof.syncer.replaced(aof.rewritten_upto);
            if let Some(older) = aof.unfinished.take() {
                aof.current_size = aof.current_size.saturating_sub(older.size);
                aof.write_error = None;
                self.log.notice(
                    "AOF write error looks solved, the rewritten AOF has what could not be written.",
                );
            }
        }
        self.delete_history();
    }

    /// Writes a manifest again that may not be in force.
    fn settle(&mut self) {
        let now = self.clock.unix_ms();
        let due = |tried: i64| now - tried >= SETTLE_EVERY_MS;
        if self.persistence.aof.unsettled.is_some_and(due) {
            // It is tried again, and the log said before that it failed.
            let _ = self.require_settled();
        }
    }

    /// No step is built on another that a power cut may undo.
    fn require_settled(&mut self) -> Result<(), String> {
        if self.persistence.aof.unsettled.is_none() {
            return Ok(());
        }
        let names = self.config.aof_names();
        match self.order(&names).persist(&self.persistence.aof.manifest) {
            Ok(()) => {
                self.settled();
                Ok(())
            }
            Err(why) => {
                self.leave_unsettled();
                Err(why.line())
            }
        }
    }

    /// Deletes the files that a rewrite replaced.
    #[doc(alias = "aofDelHistoryFiles")]
    pub fn delete_history(&mut self) {
        let aof = &mut self.persistence.aof;
        let unsettled = aof.unsettled.is_some();
        if self.config.aof_disable_auto_gc || unsettled || aof.manifest.history.is_empty() {
            return;
        }
        let history = aof.manifest.take_history();
        let names = self.config.aof_names();
        for file in history {
            self.log.notice(format_args!(
                "Removing the history file {} in the background",
                file.name
            ));
            self.remove_file(names.path(&file.name));
        }
        // Names of files that are gone do no harm in the manifest: their numbers are not used again.
        let persisted = self.order(&names).persist(&self.persistence.aof.manifest);
        if let Err(why) = persisted {
            self.log.warning(why.line());
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
        self.settle();
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
        let (written, file) = (aof.is_written(), aof.file.clone());
        let file = file.ok_or("the AOF is not open")?;
        if !written {
            return Err("the AOF can't be written".to_owned());
        }
        file.sync_all().map_err(|error| disk::reason(&error))
    }

    /// Stops appending; what was not written yet nobody needs.
    pub(in crate::persistence) fn abandon_aof(&mut self) {
        self.persistence.aof.let_go();
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
        if self.persistence.aof.mode == Mode::AwaitsRewrite {
            let names = self.config.aof_names();
            self.remove_file(names.path(&names.temporary_increment()));
        }
        let aof = &mut self.persistence.aof;
        aof.let_go();
        aof.mode = Mode::Off;
        aof.rewrite_scheduled = false;
        aof.increment_size = 0;
        aof.sync_asked_size = 0;
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
                self.persistence.aof.let_go();
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
        let failed = aof.syncer.error().is_some();
        aof.syncer.forgive();
        if failed {
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
            Mode::Off => listening.without(crate::command::Targets::AOF),
            _ => listening.or(crate::command::Targets::AOF),
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
        self.order(&names).make_directory()?;
        let mut manifest = self.persistence.aof.manifest.clone();
        let replaced = std::mem::take(&mut self.persistence.preloaded) && !manifest.is_empty();
        let fresh = manifest.is_empty() || replaced;
        let base = match fresh {
            true => Some(self.base_at_start(&mut manifest, &names)?),
            false => {
                // The process before this one may have ended before that.
                self.order(&names).sync_all(&manifest)?;
                None
            }
        };
        let order = self.order(&names);
        let (name, file, verb) = match manifest.increments.last() {
            Some(last) => {
                let name = last.name.clone();
                let file = self.disk.append(&names.path(&name));
                let file = file.map_err(|error| order::cannot_open(&name, &error))?;
                (name, file, "Opening")
            }
            None => {
                let (name, file) = order.new_increment(&mut manifest)?;
                (name, file, "Creating")
            }
        };
        if fresh || verb == "Creating" {
            if let Err(why) = order.persist(&manifest) {
                if let NotInForce::No(_) = why {
                    for name in base.iter().chain([&name]) {
                        self.remove_file(names.path(name));
                    }
                }
                return Err(why.line());
            }
        } else {
            let synced = self.disk.sync_dir(&names.directory);
            synced.map_err(|error| {
                let why = disk::reason(&error);
                format!(
                    "Fail to fsync AOF directory {}: {why}.",
                    names.directory.display()
                )
            })?;
        }
        self.persistence.aof.rewrites += u64::from(replaced);
        let size_of = |name: &str| self.file_size(&names.path(name));
        let size = size_of(&name);
        let base_size = manifest.base.as_ref().map(|f| size_of(&f.name));
        let current_size = manifest.in_order().map(|f| size_of(&f.name)).sum();
        let before = manifest.increments.iter().rev().nth(1);
        let before = before.map(|before| size_of(&before.name));
        let aof = &mut self.persistence.aof;
        aof.manifest = manifest;
        aof.switch_to(file, size, self.mailbox.clone());
        aof.follows = before.filter(|_| size == 0);
        aof.current_size = current_size;
        aof.rewrite_base_size = base_size.unwrap_or(0);
        aof.last_sync_ms = self.clock.unix_ms();
        self.log
            .notice(format_args!("{verb} AOF incr file {name} on server start"));
        self.delete_history();
        Ok(())
    }

    /// Writes a base of the data set as it is, in the place of all there was. Its name; the error is the line for the log.
    fn base_at_start(&mut self, manifest: &mut Manifest, names: &Names) -> Result<String, String> {
        let plan = self.base_plan();
        let snapshot = self.keyspace.snapshot();
        plan.write(snapshot, &Job::default())
            .map_err(|error| error.line)?;
        let order = self.order(names);
        let (base, _) = order
            .new_base(manifest, &plan.temporary, plan.as_rdb, None)
            .inspect_err(|_| {
                let _ = self.disk.remove_file(&plan.temporary);
            })?;
        self.log.notice(format_args!(
            "Creating AOF base file {base} on server start"
        ));
        // What was there before is of another data set.
        manifest.retire_increments(0);
        Ok(base)
    }

    /// The last word before the process ends: what was fed is on disk.
    pub fn close_aof(&mut self) {
        self.flush_aof(true);
        if self.persistence.aof.mode == Mode::On
            && !self.persistence.failed
            && let Some(file) = &self.persistence.aof.file
            && let Err(error) = file.sync_all()
        {
            let reason = disk::reason(&error);
            self.log
                .warning(format_args!("Fail to fsync the AOF file: {reason}."));
        }
    }

    fn file_size(&self, path: &Path) -> u64 {
        self.disk.metadata(path).map_or(0, |metadata| metadata.len)
    }
}
