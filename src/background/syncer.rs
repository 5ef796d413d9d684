//! The thread that forces the append-only file to disk, so that no command waits for the disk.
//!
//! Mirrors: BIO_AOF_FSYNC and BIO_CLOSE_AOF of bio.c.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::worker::Worker;
use crate::sys::cache;

/// One file to force to disk; it is closed afterwards if this was the last to hold it.
struct Task {
    file: Arc<File>,
    /// How far the stream is safe when this is done.
    upto: u64,
    /// Whether the writer waits for it before it writes on.
    counted: bool,
}

/// Called on the thread after each task: somebody may wait for it.
pub type Done = Box<dyn Fn() + Send>;

#[derive(Default)]
struct Shared {
    pending: AtomicU64,
    safe: AtomicU64,
    /// The last attempt failed.
    error: Mutex<Option<io::Error>>,
}

/// The way to the thread, which starts with the first task unless it did before, and ends with this.
pub struct Syncer {
    worker: Worker,
    shared: Arc<Shared>,
}

impl Default for Syncer {
    fn default() -> Self {
        Syncer {
            worker: Worker::new("bio_aof"),
            shared: Arc::default(),
        }
    }
}

impl std::fmt::Debug for Syncer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Syncer ({} pending)", self.pending())
    }
}

impl Syncer {
    /// Starts the thread, which the first task would start otherwise.
    pub fn start(&mut self) {
        self.worker.start();
    }

    /// Forces a file to disk.
    #[doc(alias = "bioCreateFsyncJob")]
    pub fn sync(&mut self, file: Arc<File>, upto: u64, done: impl FnOnce() -> Done) {
        self.submit(file, upto, true, done);
    }

    /// Forces a file to disk that is not written any more.
    #[doc(alias = "bioCreateCloseAofJob")]
    pub fn sync_and_close(&mut self, file: Arc<File>, upto: u64, done: impl FnOnce() -> Done) {
        self.submit(file, upto, false, done);
    }

    fn submit(&mut self, file: Arc<File>, upto: u64, counted: bool, done: impl FnOnce() -> Done) {
        if counted {
            self.shared.pending.fetch_add(1, Ordering::Relaxed);
        }
        let task = Task {
            file,
            upto,
            counted,
        };
        let (shared, done) = (Arc::clone(&self.shared), done());
        self.worker.submit(move || {
            perform(task, &shared);
            done();
        });
    }

    /// Tasks the writer waits for.
    #[doc(alias = "bioPendingJobsOfType")]
    pub fn pending(&self) -> u64 {
        self.shared.pending.load(Ordering::Acquire)
    }

    /// How far the stream is safe.
    pub fn safe(&self) -> u64 {
        self.shared.safe.load(Ordering::Acquire)
    }

    /// The writer made it safe itself.
    pub fn made_safe(&self, upto: u64) {
        self.shared.safe.fetch_max(upto, Ordering::Release);
    }

    /// Why the last attempt failed, if it did.
    pub fn error(&self) -> Option<String> {
        let error = self.shared.error.lock().ok()?;
        error.as_ref().map(crate::config::disk::reason)
    }

    pub fn has_failed(&self) -> bool {
        self.shared.error.lock().is_ok_and(|error| error.is_some())
    }

    /// Forgets a failure.
    pub fn forgive(&self) {
        if let Ok(mut error) = self.shared.error.lock() {
            *error = None;
        }
    }
}

fn perform(task: Task, shared: &Shared) {
    let result = task.file.sync_data();
    if result.is_ok() {
        shared.safe.fetch_max(task.upto, Ordering::Release);
        let len = task.file.metadata().map_or(0, |metadata| metadata.len());
        cache::forget(&task.file, 0, len);
    }
    if let Ok(mut error) = shared.error.lock() {
        *error = result.err();
    }
    if task.counted {
        shared.pending.fetch_sub(1, Ordering::Release);
    }
}
