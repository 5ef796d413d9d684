//! SAVE, BGSAVE and save points, as the owner of the data sees them.
//!
//! ```text
//!   snapshot ──► thread "bgsave": temp file, fsync, rename ──► letter ──► save_done(), between two commands
//! ```
//!
//! Mirrors: rdbSaveBackground(), backgroundSaveDoneHandler() of rdb.c; the save points of serverCron().
//! Differs: a job is a thread with a flag to cancel it, not a child with a process id.

use std::path::PathBuf;

use crate::background::Job;

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
    pub(super) cost_before: u64,
    pub(super) dirty_before: u64,
}

/// The purpose of a job: which file it writes, and for whom.
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
