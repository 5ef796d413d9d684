//! The data set as files: RDB snapshots, the append-only file, and their loading.
//!
//! ```text
//!   keyspace.snapshot() ──► a helper thread ──► rdb/  dump.rdb, the base of the AOF, DUMP, a full sync
//!   the stream of effects ──► aof/ ──► appendonlydir/…incr.aof ──► fsync on a helper thread
//!   start ──► load ──► rdb/ and aof/ back into the keyspace, clients being told -LOADING meanwhile
//! ```
//!
//! | file | |
//! |---|---|
//! | [`rdb`] | the format |
//! | [`aof`] | the append-only file |
//! | [`backup`] | BACKUP: the append-only file as of a moment, kept aside |
//! | [`files`] | written aside, forced to disk, renamed |
//! | [`saving`] | SAVE, BGSAVE, save points: what the owner of the data does for them |
//! | [`loading`] | a file into the keyspace, slice by slice between turns of the loop |
//! | `tails` | files that end too soon |
//! | [`receiving`] | the same for a data set that comes through a connection |
//!
//! Mirrors: rdb.c, aof.c, rio.c.
//! Differs: no child process. A save is a thread that reads a frozen keyspace; cancelling it is a flag. Loading is a
//! state of the server, not a function that calls the event loop from inside.

pub mod act;
pub mod aof;
pub mod backup;
pub mod files;
pub mod loading;
pub mod rdb;
pub mod receiving;
pub mod saving;
mod tails;

use self::aof::Aof;
use self::backup::Backup;
use self::loading::{Loading, Progress};
use self::saving::Running;

/// The state of a server's persistence: jobs, loads, the append-only file.
#[derive(Debug)]
pub struct Persistence {
    pub stats: PersistenceStats,
    /// The save or rewrite in the background; there is one at a time.
    pub running: Option<Running>,
    /// A BGSAVE that waits for a rewrite to end.
    pub save_scheduled: bool,
    /// The load in progress; absent while a slice of it runs.
    pub loading: Option<Box<Loading>>,
    /// How far it is; there is a load as long as this is there.
    pub progress: Option<Progress>,
    pub aof: Aof,
    pub backup: Backup,
    /// The data set came from `preload-file`: the append-only file holds another one.
    preloaded: bool,
    /// Writes that a reply would promise to be safe could not be made safe: no further reply may leave.
    pub failed: bool,
    /// DEBUG SET-SKIP-CHECKSUM-VALIDATION.
    pub skip_checksum: bool,
    /// Tells one job's answer from another's.
    next_job: u64,
}

/// Figures of persistence for INFO.
#[derive(Debug, Clone, Default)]
pub struct PersistenceStats {
    /// Unix time in seconds of the last good save; at first, of the start.
    pub last_save_s: i64,
    pub last_save_try_s: i64,
    pub last_bgsave_failed: bool,
    pub last_bgsave_seconds: Option<i64>,
    pub saves: u64,
    /// Saves that failed since the last good one.
    pub consecutive_failures: u64,
    pub last_cow_bytes: u64,
    /// Bytes copied for the job in the background so far, the most ever for one, and when that was looked at.
    pub cow_bytes: u64,
    pub cow_peak_bytes: u64,
    pub cow_looked_ms: i64,
    pub load_keys_expired: u64,
    pub load_keys_loaded: u64,
    /// Microseconds the last snapshot took.
    pub last_snapshot_us: u64,
}

impl Persistence {
    pub fn new(now_s: i64) -> Persistence {
        Persistence {
            stats: PersistenceStats {
                last_save_s: now_s,
                ..PersistenceStats::default()
            },
            running: None,
            save_scheduled: false,
            loading: None,
            progress: None,
            aof: Aof::default(),
            backup: Backup::default(),
            preloaded: false,
            failed: false,
            skip_checksum: false,
            next_job: 0,
        }
    }

    /// Whether the data set is being loaded: most commands are refused.
    #[inline]
    pub fn is_loading(&self) -> bool {
        self.progress.is_some()
    }

    /// Whether a data set is being loaded while clients are served from the old one.
    #[inline]
    pub fn is_loading_beside(&self) -> bool {
        let progress = self.progress.as_ref();
        progress.is_some_and(Progress::serves_old)
    }
}
