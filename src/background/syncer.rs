//! The thread that forces the append-only file to disk, so that no command waits for the disk.
//!
//! Files are numbered by their place in the stream. A file that failed is in doubt, even when a later attempt succeeds:
//! the system may have forgotten by then what it could not write. From there on nothing counts as safe until a new base
//! replaces the file ([`Syncer::replaced`]).
//!
//! ```text
//!   files     1 ────► 2 ─────────► 3             a rewrite began with 3
//!   fsync     ok      failed       ok
//!   safe      all of 1 ─────────────────────     what is in 3 follows what may be lost
//!   the base replaces 1 and 2 ──► safe: 3, too
//! ```
//!
//! Mirrors: BIO_AOF_FSYNC and BIO_CLOSE_AOF of bio.c.
//! Differs: there any fsync that succeeds makes good for one that failed before, of whatever file.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Helpers;
use super::worker::Worker;
use crate::sys::files::File;

/// One file to force to disk; it is closed afterwards if this was the last to hold it.
struct Task {
    file: Arc<File>,
    /// Its place in the stream.
    number: u64,
    /// How far the stream is safe when this is done.
    upto: u64,
    /// Whether the writer waits for this fsync before its next write.
    counted: bool,
}

/// Called on the thread after each task: WAITAOF may be blocked on it.
pub type Done = Box<dyn Fn() + Send>;

#[derive(Default)]
struct Shared {
    /// Tasks the writer waits for, and others.
    pending: AtomicU64,
    pending_older: AtomicU64,
    safe: AtomicU64,
    /// Whether `record` has an error: read before every write command.
    failed: AtomicBool,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    /// The file written to now.
    current: u64,
    /// Files before this one are replaced.
    needed_from: u64,
    /// The last attempt at the current file failed.
    error: Option<String>,
    /// One at a file before it did.
    older_error: Option<String>,
    /// The same, whatever was tried since: files in which bytes may be lost.
    doubt: bool,
    older_doubt: bool,
}

impl Record {
    /// A file could not be forced to disk.
    fn note_failure(&mut self, number: u64, error: &io::Error) {
        let reason = Some(crate::config::disk::reason(error));
        if number == self.current {
            (self.error, self.doubt) = (reason, true);
        } else if number >= self.needed_from {
            (self.older_error, self.older_doubt) = (reason, true);
        }
    }
}

/// The way to the thread, which starts with the first task unless it did before, and ends with this.
pub struct Syncer {
    worker: Worker,
    shared: Arc<Shared>,
}

impl Default for Syncer {
    fn default() -> Self {
        Syncer::new(Helpers::threads())
    }
}

impl std::fmt::Debug for Syncer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Syncer ({} pending)", self.pending())
    }
}

impl Syncer {
    /// A syncer whose work is done by `helpers`.
    pub fn new(helpers: Helpers) -> Syncer {
        Syncer {
            worker: Worker::new("bio_aof", helpers),
            shared: Arc::default(),
        }
    }

    /// Starts the thread, which the first task would start otherwise.
    pub fn start(&mut self) {
        self.worker.start();
    }

    /// Forces the file that is written to now to disk.
    #[doc(alias = "bioCreateFsyncJob")]
    pub fn sync(&mut self, file: Arc<File>, upto: u64, done: impl FnOnce() -> Done) {
        let number = self.shared.record().current;
        self.shared.pending.fetch_add(1, Ordering::Relaxed);
        let task = Task {
            file,
            number,
            upto,
            counted: true,
        };
        self.submit(task, done);
    }

    /// Forces the file before it to disk, which is not written to any more.
    #[doc(alias = "bioCreateCloseAofJob")]
    pub fn sync_older(&mut self, file: Arc<File>, upto: u64, done: impl FnOnce() -> Done) {
        let number = self.shared.record().current.saturating_sub(1);
        self.shared.pending_older.fetch_add(1, Ordering::Relaxed);
        let task = Task {
            file,
            number,
            upto,
            counted: false,
        };
        self.submit(task, done);
    }

    fn submit(&mut self, task: Task, done: impl FnOnce() -> Done) {
        let (shared, done) = (Arc::clone(&self.shared), done());
        self.worker.submit(move || {
            perform(&task, &shared);
            drop(task);
            done();
        });
    }

    /// Tasks the writer waits for.
    #[doc(alias = "bioPendingJobsOfType")]
    pub fn pending(&self) -> u64 {
        self.shared.pending.load(Ordering::Acquire)
    }

    /// Tasks for files that are not written to any more.
    pub fn pending_older(&self) -> u64 {
        self.shared.pending_older.load(Ordering::Acquire)
    }

    /// How far the stream is safe.
    pub fn safe(&self) -> u64 {
        self.shared.safe.load(Ordering::Acquire)
    }

    /// The writer made it safe itself.
    pub fn made_safe(&self, upto: u64) {
        let record = self.shared.record();
        if !record.doubt && !record.older_doubt {
            self.shared.safe.fetch_max(upto, Ordering::Release);
        }
    }

    /// From now on the next file is written to.
    pub fn switched(&self) {
        let mut record = self.shared.record();
        record.current += 1;
        let error = record.error.take();
        record.older_error = error.or(record.older_error.take());
        record.older_doubt |= std::mem::take(&mut record.doubt);
    }

    /// A base is in force that holds all before the current file, the stream up to `upto`.
    pub fn replaced(&self, upto: u64) {
        let mut record = self.shared.record();
        record.needed_from = record.current;
        record.older_error = None;
        record.older_doubt = false;
        let failed = record.error.is_some();
        self.shared.failed.store(failed, Ordering::Release);
        self.shared.safe.fetch_max(upto, Ordering::Release);
    }

    /// Why the last attempt failed, if it did.
    pub fn error(&self) -> Option<String> {
        let record = self.shared.record();
        let error = record.error.as_ref().or(record.older_error.as_ref());
        error.cloned()
    }

    /// Whether the last attempt failed. Costs one read of memory.
    #[inline]
    pub fn has_failed(&self) -> bool {
        self.shared.failed.load(Ordering::Acquire)
    }

    /// Whether a file failed that is not written to any more: only a new base helps.
    pub fn has_lost(&self) -> bool {
        self.shared.record().older_error.is_some()
    }

    /// Forgets all failures: another stream begins.
    pub fn forgive(&self) {
        let mut record = self.shared.record();
        *record = Record {
            current: record.current + 1,
            needed_from: record.current + 1,
            ..Record::default()
        };
        self.shared.failed.store(false, Ordering::Release);
    }
}

impl Shared {
    fn record(&self) -> MutexGuard<'_, Record> {
        // No code panics while it holds this lock, so the record is whole.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn perform(task: &Task, shared: &Shared) {
    let result = task.file.sync_data();
    if result.is_ok() {
        let len = task.file.len().unwrap_or(0);
        task.file.forget_cache(0, len);
    }
    let mut record = shared.record();
    match result {
        Ok(()) => {
            if task.number == record.current {
                record.error = None;
            }
            if !record.doubt && !record.older_doubt {
                shared.safe.fetch_max(task.upto, Ordering::Release);
            }
        }
        Err(error) => record.note_failure(task.number, &error),
    }
    let failed = record.error.is_some() || record.older_error.is_some();
    shared.failed.store(failed, Ordering::Release);
    drop(record);
    let pending = match task.counted {
        true => &shared.pending,
        false => &shared.pending_older,
    };
    pending.fetch_sub(1, Ordering::Release);
}
