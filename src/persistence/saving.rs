//! SAVE, BGSAVE and save points, as the owner of the data sees them.
//!
//! ```text
//!   snapshot ──► thread "bgsave": temp file, fsync, rename ──► letter ──► save_done(), between two commands
//! ```
//!
//! Mirrors: rdbSaveBackground(), backgroundSaveDoneHandler() of rdb.c; the save points of serverCron().

use std::path::PathBuf;
use std::time::Instant;

use super::aof::Mode;
use super::files::{self, Place, SaveError};
use super::rdb::save::{Clock, Options};
use super::rdb::{OLDEST_WRITTEN, VERSION};
use crate::background::Job;
use crate::config::{MaxmemoryPolicy, ShutdownFlags};
use crate::keyspace::Snapshot;
use crate::resp::Error;
use crate::state::State;

/// After a failed save, the next one waits for so many seconds.
#[doc(alias = "CONFIG_BGSAVE_RETRY_DELAY")]
const RETRY_AFTER_S: i64 = 5;

/// A job in the background.
#[derive(Debug)]
pub struct Running {
    pub job: Job,
    pub id: u64,
    pub purpose: Purpose,
    pub started_s: i64,
    pub keys_total: u64,
    /// The file it writes, under the name it has while it is not whole.
    pub temporary: PathBuf,
    cost_before: u64,
    dirty_before: u64,
}

/// What a job writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// BGSAVE.
    Save,
    /// BGREWRITEAOF.
    Rewrite,
    /// For replicas, to the file or to their sockets.
    Sync,
}

impl Running {
    pub fn is_save(&self) -> bool {
        self.purpose != Purpose::Rewrite
    }
}

impl State {
    /// What a file of the whole data set is to say besides the keys.
    #[doc(alias = "rdbSaveInfoAuxFields")]
    pub fn save_options(&self, aof_base: bool) -> Options {
        let config = &self.config;
        let clock = match config.maxmemory_policy {
            MaxmemoryPolicy::AllkeysLfu | MaxmemoryPolicy::VolatileLfu => Clock::Frequency,
            MaxmemoryPolicy::AllkeysLru
            | MaxmemoryPolicy::VolatileLru
            | MaxmemoryPolicy::AllkeysLrm
            | MaxmemoryPolicy::VolatileLrm => Clock::Idle(self.keyspace.env().clock_for_idle(0)),
            _ => Clock::Dropped,
        };
        Options {
            version: self.written_version(),
            compress: config.rdbcompression,
            checksum: config.rdbchecksum,
            aof_base,
            redis_version: crate::REDIS_VERSION,
            created_s: self.clock.unix_seconds(),
            used_memory: crate::sys::alloc::used() as u64,
            replication: self.stream_position(),
            without_keys: false,
            functions: self
                .scripts
                .libraries
                .iter()
                .map(|library| library.code.clone())
                .collect(),
            cluster: config.cluster_enabled,
            clock,
        }
    }

    /// For DUMP: the version written, and whether it compresses.
    pub fn dump_options(&self) -> (u32, bool) {
        (self.written_version(), self.config.rdbcompression)
    }

    fn written_version(&self) -> u32 {
        match self.config.rdb_version {
            0 => VERSION,
            wanted => wanted.clamp(OLDEST_WRITTEN, VERSION),
        }
    }

    /// Where an RDB goes; a job in the background has a number in the name of its temporary file, because one that was
    /// cancelled may still be there.
    fn place(&self, job: Option<u64>) -> Place {
        let pid = std::process::id();
        Place {
            directory: self.config.dir.clone(),
            temporary: match job {
                Some(number) => format!("temp-{pid}-{number}.rdb"),
                None => format!("temp-{pid}.rdb"),
            },
            name: self.config.dbfilename.clone(),
            incremental_sync: self.config.rdb_save_incremental_fsync,
            // Who waits for a save means to copy the file, or to start from it again.
            keeps_cache: job.is_none(),
        }
    }

    /// Freezes the keyspace, counts and times it.
    fn take_snapshot(&mut self) -> Snapshot {
        let start = Instant::now();
        let snapshot = self.keyspace.snapshot();
        self.persistence.stats.last_snapshot_us = start.elapsed().as_micros() as u64;
        self.stats.snapshots += 1;
        snapshot
    }

    /// Enters a job as the one that runs.
    pub(crate) fn enter_job(&mut self, purpose: Purpose) -> (Running, Snapshot) {
        let keys_total = self.keyspace.keys() as u64;
        let snapshot = self.take_snapshot();
        let cost_before = self.keyspace.snapshot_cost();
        self.persistence.next_job += 1;
        let running = Running {
            job: Job::default(),
            id: self.persistence.next_job,
            purpose,
            started_s: self.clock.unix_seconds(),
            keys_total,
            temporary: PathBuf::new(),
            cost_before,
            dirty_before: self.dirty,
        };
        running.job.set_delay(self.config.rdb_key_save_delay);
        (running, snapshot)
    }

    /// Saves now; nobody is served meanwhile. Whether it worked; the log has the reason if not.
    #[doc(alias = "rdbSave")]
    pub fn save_now(&mut self) -> bool {
        self.persistence.stats.saves += 1;
        let (options, place) = (self.save_options(false), self.place(None));
        let job = Job::default();
        job.set_delay(self.config.rdb_key_save_delay);
        let snapshot = self.keyspace.snapshot();
        crate::sys::signal::remove_when_interrupted(Some(&place.directory.join(&place.temporary)));
        let saved = files::write_rdb(&self.disk, &place, snapshot, &options, &job);
        crate::sys::signal::remove_when_interrupted(None);
        match saved {
            Ok(_) => {
                self.log.notice("DB saved on disk");
                self.dirty = 0;
                self.clock.refresh();
                self.persistence.stats.last_save_s = self.clock.unix_seconds();
                self.persistence.stats.last_bgsave_failed = false;
                self.persistence.stats.consecutive_failures = 0;
                true
            }
            Err(error) => {
                self.log.warning(error.line);
                false
            }
        }
    }

    /// Starts a save in the background. Whether it started.
    #[doc(alias = "rdbSaveBackground")]
    pub fn save_in_background(&mut self) -> bool {
        self.run_save(Purpose::Save)
    }

    /// As [`State::save_in_background`], for whoever wants it.
    pub(crate) fn run_save(&mut self, purpose: Purpose) -> bool {
        if self.persistence.running.is_some() {
            return false;
        }
        self.persistence.stats.saves += 1;
        self.persistence.stats.last_save_try_s = self.clock.unix_seconds();
        let number = self.persistence.next_job;
        let (options, mut place) = (self.save_options(false), self.place(Some(number)));
        place.keeps_cache |= purpose == Purpose::Sync;
        let (mut running, snapshot) = self.enter_job(purpose);
        running.temporary = place.directory.join(&place.temporary);
        let (job, id, mailbox) = (running.job.clone(), running.id, self.mailbox.clone());
        let disk = self.disk.clone();
        let started = self.helpers.begin("bgsave", move || {
            let result = files::write_rdb(&disk, &place, snapshot, &options, &job);
            mailbox.send(move |state| state.save_done(id, result));
        });
        match started {
            Ok(()) => {
                self.log.notice(format_args!(
                    "Background saving started by pid {}",
                    std::process::id()
                ));
                self.persistence.running = Some(running);
                true
            }
            Err(error) => {
                self.persistence.stats.last_bgsave_failed = true;
                self.persistence.stats.consecutive_failures += 1;
                let reason = crate::config::disk::reason(&error);
                self.log
                    .warning(format_args!("Can't save in background: thread: {reason}"));
                false
            }
        }
    }

    #[doc(alias = "backgroundSaveDoneHandler")]
    fn save_done(&mut self, id: u64, result: Result<u64, SaveError>) {
        let Some(running) = self.leave_job(id) else {
            return;
        };
        let for_replicas = running.purpose == Purpose::Sync;
        let ok = result.is_ok();
        let now = self.clock.unix_seconds();
        let stats = &mut self.persistence.stats;
        stats.last_bgsave_seconds = Some(now - running.started_s);
        stats.last_cow_bytes = std::mem::take(&mut stats.cow_bytes);
        match result {
            Ok(_) => {
                stats.last_save_s = now;
                stats.last_bgsave_failed = false;
                stats.consecutive_failures = 0;
                self.dirty = self.dirty.saturating_sub(running.dirty_before);
                self.log.notice("DB saved on disk");
                self.log.notice("Background saving terminated with success");
            }
            // Whoever cancelled it did so on purpose: no reason to refuse writes.
            Err(error) if error.cancelled => {
                self.log
                    .warning("Background saving terminated by a cancellation");
            }
            Err(error) => {
                stats.last_bgsave_failed = true;
                stats.consecutive_failures += 1;
                self.log.warning(error.line);
                self.log.warning("Background saving error");
            }
        }
        match for_replicas {
            true => self.sync_file_written(ok),
            false => self.start_due_full_sync(),
        }
    }

    /// Ends the job of this number, unless it was forgotten already.
    pub(crate) fn leave_job(&mut self, id: u64) -> Option<Running> {
        self.look_at_copies();
        self.persistence.running.take_if(|running| running.id == id)
    }

    /// Reads the cost of the job that runs.
    fn look_at_copies(&mut self) {
        if let Some(running) = &self.persistence.running {
            let cost = self.keyspace.snapshot_cost();
            let bytes = cost.saturating_sub(running.cost_before);
            let stats = &mut self.persistence.stats;
            stats.cow_bytes = bytes;
            stats.cow_peak_bytes = stats.cow_peak_bytes.max(bytes);
            stats.cow_looked_ms = self.clock.unix_ms();
        }
    }

    /// Ends the save in the background, if there is one; its file never appears. Whether there was one.
    #[doc(alias = "killRDBChild")]
    pub fn cancel_save(&mut self) -> bool {
        let Some(running) = self
            .persistence
            .running
            .take_if(|running| running.is_save())
        else {
            return false;
        };
        // Its thread ends by itself, and its answer finds nobody.
        running.job.cancel();
        let stats = &mut self.persistence.stats;
        stats.last_cow_bytes = std::mem::take(&mut stats.cow_bytes);
        self.log
            .warning("Background saving terminated by a cancellation");
        if running.purpose == Purpose::Sync {
            self.sync_save_cancelled();
        }
        true
    }

    /// All keys were deleted: what is being saved is of no use, and what is on disk must not come back.
    #[doc(alias = "flushAllDataAndResetRDB")]
    pub fn reset_rdb(&mut self) {
        self.cancel_save();
        if !self.config.save.is_empty() {
            // A failure is in the log, and in INFO.
            self.save_now();
        }
    }

    /// What persistence does at every turn of the cron.
    pub fn persistence_cron(&mut self) {
        if let Some(running) = &self.persistence.running {
            running.job.set_delay(self.config.rdb_key_save_delay);
            self.look_at_copies();
        }
        self.backup_cron();
        self.aof_cron();
        if self.persistence.running.is_some() {
            return;
        }
        let now = self.clock.unix_seconds();
        let stats = &self.persistence.stats;
        let may_try = now - stats.last_save_try_s > RETRY_AFTER_S || !stats.last_bgsave_failed;
        if self.persistence.save_scheduled && may_try {
            self.persistence.save_scheduled = false;
            self.save_in_background();
            return;
        }
        let since = now - stats.last_save_s;
        let due = self
            .config
            .save
            .iter()
            .find(|point| self.dirty >= point.changes && since > point.seconds as i64);
        if let Some(point) = due
            && may_try
        {
            self.log.notice(format_args!(
                "{} changes in {} seconds. Saving...",
                point.changes, point.seconds
            ));
            self.save_in_background();
        }
    }

    /// A running job learns of a new `rdb-key-save-delay`.
    pub fn save_delay_changed(&self) {
        if let Some(running) = &self.persistence.running {
            running.job.set_delay(self.config.rdb_key_save_delay);
        }
    }

    /// Whether writes must be refused because nothing could be saved.
    #[doc(alias = "writeCommandsDeniedByDiskError")]
    #[inline]
    pub fn cannot_persist(&self) -> bool {
        let persistence = &self.persistence;
        self.save_failed() || !persistence.aof.is_well() && !persistence.backup.has_own_stream()
    }

    #[inline]
    fn save_failed(&self) -> bool {
        self.persistence.stats.last_bgsave_failed
            && self.config.stop_writes_on_bgsave_error
            && !self.config.save.is_empty()
    }

    /// What a writing client is told then.
    pub fn persist_error(&self) -> Error {
        match self.persistence.aof.error() {
            Some(reason) if !self.save_failed() => {
                Error::coded(format!("MISCONF Errors writing to the AOF file: {reason}"))
            }
            _ => Error::MisConf,
        }
    }

    /// What the caller of a script that may write is told then.
    pub fn persist_error_of_script(&self) -> Error {
        let (how, reason) = match self.persistence.aof.error() {
            Some(reason) if !self.save_failed() => {
                ("persist data to AOF", format!(" AOF error: {reason}"))
            }
            _ => ("save RDB snapshots", String::new()),
        };
        Error::coded(format!(
            "MISCONF Redis is configured to {how}, but it's currently unable to persist to disk. \
             Writable scripts are blocked. Use 'no-writes' flag for read only scripts.{reason}"
        ))
    }

    /// Somebody asks the server to end: with save points, or if asked for, the data set is saved first. False: it
    /// could not be, and the server goes on.
    #[doc(alias = "finishShutdown")]
    pub fn save_before_end(&mut self, how: ShutdownFlags) -> bool {
        // The file that is to hold everything from now on is not written yet.
        let persistence = &self.persistence;
        if persistence.aof.mode == Mode::AwaitsRewrite
            && persistence.running.is_some()
            && !persistence.backup.has_own_stream()
        {
            if !how.force {
                self.log.warning("Writing initial AOF, can't exit.");
                return false;
            }
            self.log.warning("Writing initial AOF. Exit anyway.");
        }
        let wanted = how.save || !self.config.save.is_empty() && !how.nosave;
        // Half of a data set is not saved over the whole one.
        if !wanted || self.is_loading() {
            return true;
        }
        self.cancel_save();
        self.log
            .notice("Saving the final RDB snapshot before exiting.");
        if self.save_now() || how.force {
            return true;
        }
        self.log.warning("Error trying to save the DB, can't exit.");
        false
    }

    /// The process ends: jobs stop, their half files go, the append-only file is complete.
    pub fn end_persistence(&mut self) {
        if let Some(running) = self.persistence.running.take() {
            running.job.cancel();
            // Its thread may not come to it any more.
            let _ = self.disk.remove_file(&running.temporary);
        }
        self.fail_backup("the server ends");
        self.close_aof();
    }
}
