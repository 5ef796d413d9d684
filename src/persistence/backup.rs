//! BACKUP: a copy of the data set that is complete at a moment of one's choosing, made while clients are served.
//!
//! ```text
//!   START   idle ──► pending ──► snapshotting ──► incrementing   a rewrite of the AOF runs; its base is pinned
//!   SEAL    incrementing ──► sealed                              the increment is pinned, a manifest written beside
//!   ABORT   pending, snapshotting, incrementing ──► failed       nothing is left of it
//!   CLEANUP sealed, failed ──► idle                              the files are let go
//! ```
//!
//! No format of its own: base, increment and manifest of the append-only file are the backup. Pinned means a hard link
//! in `backupdirname`, so that rewrites may go on as they like. Where `appendonly` is off, the append-only file runs for
//! the backup alone, and whatever befalls it is the backup's trouble, not the clients'.
//!
//! Invariant: what a sealed manifest names is complete, on disk, and never written to again.
//!
//! Mirrors: backup.c (of Redis 8.10; by its documentation and tests).
//! Differs: a backup that a failing disk or a shutdown interrupts ends as failed and leaves no file behind.

use std::path::PathBuf;

use super::aof::Mode;
use super::aof::manifest::Names;
use super::aof::order::{NotInForce, Order};
use super::saving::Purpose;
use crate::config::disk;
use crate::resp::Error;
use crate::state::State;

/// How far a backup is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Phase {
    #[default]
    Idle,
    /// Waits until a rewrite can begin.
    Pending,
    /// The rewrite that makes its base runs.
    Snapshotting,
    /// Changes are appended to its increment.
    Incrementing,
    Sealed,
    Failed,
}

impl Phase {
    pub fn name(self) -> &'static str {
        match self {
            Phase::Idle => "idle",
            Phase::Pending => "pending",
            Phase::Snapshotting => "snapshotting",
            Phase::Incrementing => "incrementing",
            Phase::Sealed => "sealed",
            Phase::Failed => "failed",
        }
    }
}

/// The backup under way, or the last one.
#[derive(Debug, Default)]
pub struct Backup {
    phase: Phase,
    error: String,
    /// Unix time in seconds; 0 for never.
    started_s: i64,
    sealed_s: i64,
    /// Where its files are.
    directory: PathBuf,
    /// What is pinned, in the order in which it is read.
    files: Vec<PathBuf>,
    /// The append-only file runs for this backup alone.
    own_stream: bool,
    /// And so does its directory exist.
    own_directory: bool,
}

impl Backup {
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Why it failed; empty otherwise.
    pub fn error(&self) -> &str {
        &self.error
    }

    pub fn started_s(&self) -> i64 {
        self.started_s
    }

    /// When it was sealed; 0 if it was not.
    pub fn sealed_s(&self) -> i64 {
        self.sealed_s
    }

    /// The files it has so far, by their absolute paths.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    pub fn is_in_progress(&self) -> bool {
        matches!(
            self.phase,
            Phase::Pending | Phase::Snapshotting | Phase::Incrementing
        )
    }

    /// Whether the append-only file runs for it alone.
    pub fn has_own_stream(&self) -> bool {
        self.own_stream
    }

    /// Whether another rewrite would take away the increment it needs.
    pub fn postpones_rewrites(&self) -> bool {
        matches!(self.phase, Phase::Snapshotting | Phase::Incrementing)
    }

    /// `appendonly` was switched on: the append-only file stays when the backup is over.
    pub(super) fn stream_stays(&mut self) {
        self.own_stream = false;
        self.own_directory = false;
    }
}

impl State {
    /// BACKUP START. In a transaction it begins behind it: a snapshot does not cut one in two.
    pub fn start_backup(&mut self) -> Result<(), Error> {
        let backup = &self.persistence.backup;
        if backup.is_in_progress() {
            return Err(Error::once("Backup already in progress"));
        }
        if backup.phase == Phase::Sealed {
            return Err(Error::once(
                "The last backup is sealed. Use BACKUP CLEANUP before the next one",
            ));
        }
        let directory = self.config.dir.join(&self.config.backupdirname);
        let made = self.disk.make_dir(&directory);
        let names = made.and_then(|()| self.disk.list(&directory));
        match names.map(|names| !names.is_empty()) {
            Ok(false) => {}
            Ok(true) => return Err(Error::once("Backup directory is not empty")),
            Err(error) => {
                let why = disk::reason(&error);
                return Err(Error::once(format!(
                    "Can't use the backup directory: {why}"
                )));
            }
        }
        self.persistence.backup = Backup {
            phase: Phase::Pending,
            started_s: self.clock.unix_seconds(),
            directory,
            ..Backup::default()
        };
        if !self.in_transaction() {
            self.advance_backup();
        }
        match self.persistence.backup.phase {
            Phase::Failed => Err(Error::once(
                "Can't start the backup. Please check the server logs for more information.",
            )),
            _ => Ok(()),
        }
    }

    /// Goes from pending to snapshotting, if that is possible now.
    fn advance_backup(&mut self) {
        if self.persistence.backup.phase != Phase::Pending {
            return;
        }
        let purpose = self.persistence.running.as_ref().map(|job| job.purpose);
        let began = match (self.persistence.aof.mode, purpose) {
            // It has an increment of its own, from its beginning on: as good as one of ours.
            (Mode::On | Mode::AwaitsRewrite, Some(Purpose::Rewrite)) => true,
            (_, Some(_)) => return,
            (Mode::On | Mode::AwaitsRewrite, None) => self.rewrite_aof(),
            (Mode::Off, None) => {
                let directory = self.config.aof_names().directory;
                let backup = &mut self.persistence.backup;
                backup.own_stream = true;
                backup.own_directory = !self.disk.exists(&directory);
                self.start_aof()
            }
        };
        match began {
            true => self.persistence.backup.phase = Phase::Snapshotting,
            false => self.fail_backup("the rewrite of the AOF can't start"),
        }
    }

    /// The rewrite that runs has ended.
    pub(super) fn backup_rewritten(&mut self, ok: bool) {
        if self.persistence.backup.phase != Phase::Snapshotting {
            return;
        }
        if !ok {
            self.fail_backup("the rewrite of the AOF failed");
            return;
        }
        let base = self.persistence.aof.manifest.base.as_ref();
        let name = base.map(|base| base.name.clone());
        match name.map_or(Err("no base".to_owned()), |name| self.pin(&name)) {
            Ok(()) => {
                self.persistence.backup.phase = Phase::Incrementing;
                self.log.notice("Backup: the base is pinned");
            }
            Err(why) => self.fail_backup(&why),
        }
    }

    /// Links a file of the append-only directory into the backup's.
    fn pin(&mut self, name: &str) -> Result<(), String> {
        let from = self.config.aof_names().path(name);
        let to = self.persistence.backup.directory.join(name);
        self.disk
            .hard_link(&from, &to)
            .map_err(|error| format!("Can't link {name}: {}", disk::reason(&error)))?;
        self.persistence.backup.files.push(to);
        Ok(())
    }

    /// BACKUP SEAL.
    pub fn seal_backup(&mut self) -> Result<(), Error> {
        if self.persistence.backup.phase != Phase::Incrementing {
            return Err(Error::once("No backup ready to seal"));
        }
        if let Err(why) = self.try_seal() {
            self.fail_backup(&why);
            return Err(Error::once(format!("Can't seal the backup: {why}")));
        }
        let now = self.clock.unix_seconds();
        let backup = &mut self.persistence.backup;
        backup.phase = Phase::Sealed;
        backup.sealed_s = now;
        self.log.notice("Backup: sealed");
        self.end_own_stream();
        Ok(())
    }

    fn try_seal(&mut self) -> Result<(), String> {
        self.settle_aof()?;
        let sealed = self.persistence.aof.manifest.without_history();
        // From here on nobody writes to what is being sealed.
        if !self.persistence.backup.own_stream {
            self.open_next_increment("on backup")?;
        }
        for increment in &sealed.increments {
            self.pin(&increment.name)?;
        }
        let names = Names {
            directory: self.persistence.backup.directory.clone(),
            stem: self.config.appendfilename.clone(),
        };
        self.persistence.backup.files.push(names.manifest());
        let order = Order {
            disk: &self.disk,
            names: &names,
        };
        order.persist(&sealed).map_err(NotInForce::line)
    }

    /// BACKUP ABORT.
    pub fn abort_backup(&mut self) -> Result<(), Error> {
        if !self.persistence.backup.is_in_progress() {
            return Err(Error::once("No backup in progress"));
        }
        self.fail_backup("aborted by user");
        Ok(())
    }

    /// BACKUP CLEANUP.
    pub fn clean_up_backup(&mut self) -> Result<(), Error> {
        if self.persistence.backup.is_in_progress() {
            return Err(Error::once(
                "Backup is in progress. Use BACKUP ABORT to cancel it",
            ));
        }
        self.unpin();
        self.persistence.backup = Backup::default();
        Ok(())
    }

    /// Ends a backup that is under way; nothing is left of it.
    pub(super) fn fail_backup(&mut self, why: &str) {
        if !self.persistence.backup.is_in_progress() {
            return;
        }
        self.log.warning(format_args!("Backup failed: {why}"));
        self.unpin();
        let backup = &mut self.persistence.backup;
        backup.phase = Phase::Failed;
        backup.error = why.to_owned();
        self.end_own_stream();
    }

    fn unpin(&mut self) {
        // The manifest goes first: it never names what is not there.
        let files = std::mem::take(&mut self.persistence.backup.files);
        self.remove_in_order(files.into_iter().rev());
    }

    /// Removes files, the first, which names the others, for good before them.
    fn remove_in_order(&mut self, files: impl Iterator<Item = PathBuf>) {
        for (at, file) in files.enumerate() {
            // Who copied it may have removed it, too.
            let removed = self.closer.remove_file(&file).is_ok();
            if at == 0
                && removed
                && let Some(directory) = file.parent()
            {
                // Nobody counts on the files that are left behind should it fail.
                let _ = self.disk.sync_dir(directory);
            }
        }
    }

    /// The append-only file that ran for the backup alone stops, and leaves nothing where nothing was before.
    fn end_own_stream(&mut self) {
        let backup = &mut self.persistence.backup;
        let own_directory = std::mem::take(&mut backup.own_directory);
        if !std::mem::take(&mut backup.own_stream) {
            return;
        }
        // Somebody asked for it while the backup stood in the way.
        let scheduled = self.persistence.aof.rewrite_scheduled;
        self.abandon_aof();
        self.persistence.aof.rewrite_scheduled = scheduled;
        let names = self.config.aof_names();
        let mut files = Vec::new();
        if own_directory {
            files.push(names.manifest());
            let manifest = std::mem::take(&mut self.persistence.aof.manifest);
            let named = manifest.in_order().chain(&manifest.history);
            files.extend(named.map(|file| names.path(&file.name)));
        }
        self.remove_in_order(files.into_iter());
        let _ = self
            .closer
            .remove_file(&names.path(&names.temporary_increment()));
        if own_directory {
            // It stays if somebody else put something into it.
            let _ = self.disk.remove_dir(&names.directory);
        }
    }

    /// What a backup does at every turn of the cron.
    pub(super) fn backup_cron(&mut self) {
        self.advance_backup();
        let (ttl, backup) = (self.config.backup_sealed_ttl, &self.persistence.backup);
        let age = self.clock.unix_seconds() - backup.sealed_s;
        if backup.phase == Phase::Sealed && ttl > 0 && age >= ttl.cast_signed() {
            self.log.notice("Backup: the sealed files are let go");
            // Only one under way could not be.
            let _ = self.clean_up_backup();
        }
    }
}
