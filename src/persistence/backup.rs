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
//! in `backupdirname`, so that rewrites may go on as they like. Where `appendonly` is off, the append-only file runs
//! for the backup alone, and whatever befalls it is the backup's trouble, not the clients'.
//!
//! Invariant: every file that a sealed manifest names is complete, on disk, and never written to again.
//!
//! Mirrors: backup.c (of Redis 8.10; by its documentation and tests).
//! Differs: a backup that a failing disk or a shutdown interrupts ends as failed and leaves no file behind.

use std::path::PathBuf;

/// The phase of a backup.
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
    pub(super) phase: Phase,
    pub(super) error: String,
    /// Unix time in seconds; 0 for never.
    pub(super) started_s: i64,
    pub(super) sealed_s: i64,
    /// Where its files are.
    pub(super) directory: PathBuf,
    /// The pinned files, in the order in which they are loaded.
    pub(super) files: Vec<PathBuf>,
    /// The append-only file runs for this backup alone.
    pub(super) own_stream: bool,
    /// The directory of the append-only file was made for this backup alone, too.
    pub(super) own_directory: bool,
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
