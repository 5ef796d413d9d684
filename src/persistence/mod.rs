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

pub mod aof;
pub mod backup;
pub mod files;
pub mod loading;
pub mod rdb;
pub mod receiving;
pub mod saving;
mod tails;

use self::aof::{Aof, Mode};
use self::backup::Backup;
use self::loading::{Loading, Progress};
use self::saving::Running;
use crate::state::State;

/// What a server knows about its files.
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
    /// What was promised to be safe could not be made so: nobody may be told of it any more.
    pub failed: bool,
    /// DEBUG SET-SKIP-CHECKSUM-VALIDATION.
    pub skip_checksum: bool,
    /// Tells one job's answer from another's.
    next_job: u64,
}

/// What INFO shows.
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
}

impl State {
    /// Whether the data set is being loaded: most commands are refused.
    #[inline]
    pub fn is_loading(&self) -> bool {
        self.persistence.progress.is_some()
    }

    /// Whether a data set is being loaded while clients are served from the old one.
    #[inline]
    pub fn is_loading_beside(&self) -> bool {
        let progress = self.persistence.progress.as_ref();
        progress.is_some_and(Progress::serves_old)
    }

    /// The fields of INFO's section about files, in Redis's order.
    pub fn persistence_info(&self) -> Vec<(&'static str, String)> {
        let (p, s) = (&self.persistence, &self.persistence.stats);
        let now_s = self.clock.unix_seconds();
        let flag = |on: bool| u8::from(on).to_string();
        let status = |failed: bool| if failed { "err" } else { "ok" }.to_owned();
        let seconds = |s: Option<i64>| s.unwrap_or(-1).to_string();
        let age = match s.cow_looked_ms {
            0 => 0,
            looked => (self.clock.unix_ms() - looked).max(0) / 1000,
        };
        let (mut done, mut total, mut current) = (0, 0, None);
        if let Some(running) = &p.running {
            done = running.job.keys();
            total = running.keys_total;
            if running.is_save() {
                current = Some(now_s - running.started_s);
            }
        }
        let percent = match total {
            0 => 0.0,
            _ => (done as f64 / total as f64).min(1.0) * 100.0,
        };
        let saving = p.running.as_ref().is_some_and(Running::is_save);
        let mut info = vec![
            (
                "loading",
                flag(self.is_loading() && !self.is_loading_beside()),
            ),
            ("async_loading", flag(self.is_loading_beside())),
            ("current_cow_peak", s.cow_peak_bytes.to_string()),
            ("current_cow_size", s.cow_bytes.to_string()),
            ("current_cow_size_age", age.to_string()),
            ("current_fork_perc", format!("{percent:.2}")),
            ("current_save_keys_processed", done.to_string()),
            ("current_save_keys_total", total.to_string()),
            ("rdb_changes_since_last_save", self.dirty.to_string()),
            ("rdb_bgsave_in_progress", flag(saving)),
            ("rdb_last_save_time", s.last_save_s.to_string()),
            ("rdb_last_bgsave_status", status(s.last_bgsave_failed)),
            ("rdb_last_bgsave_time_sec", seconds(s.last_bgsave_seconds)),
            ("rdb_current_bgsave_time_sec", seconds(current)),
            ("rdb_saves", s.saves.to_string()),
            (
                "rdb_saves_consecutive_failures",
                s.consecutive_failures.to_string(),
            ),
            ("rdb_last_cow_size", s.last_cow_bytes.to_string()),
            (
                "rdb_last_load_keys_expired",
                s.load_keys_expired.to_string(),
            ),
            ("rdb_last_load_keys_loaded", s.load_keys_loaded.to_string()),
        ];
        let aof = &p.aof;
        let rewriting = p.running.as_ref().filter(|running| !running.is_save());
        let since = rewriting.map(|running| now_s - running.started_s);
        info.extend([
            ("aof_enabled", flag(aof.mode != Mode::Off)),
            ("aof_rewrite_in_progress", flag(rewriting.is_some())),
            ("aof_rewrite_scheduled", flag(aof.rewrite_scheduled)),
            (
                "aof_last_rewrite_time_sec",
                seconds(aof.last_rewrite_seconds),
            ),
            ("aof_current_rewrite_time_sec", seconds(since)),
            ("aof_last_bgrewrite_status", status(aof.last_rewrite_failed)),
            ("aof_rewrites", aof.rewrites.to_string()),
            (
                "aof_rewrites_consecutive_failures",
                aof.consecutive_failures.to_string(),
            ),
            ("aof_last_write_status", status(!aof.is_well())),
            ("aof_last_cow_size", aof.last_cow_bytes.to_string()),
            ("module_fork_in_progress", flag(false)),
            ("module_fork_last_cow_size", flag(false)),
            ("backup_in_progress", flag(p.backup.is_in_progress())),
        ]);
        if aof.mode != Mode::Off {
            info.extend([
                ("aof_current_size", aof.current_size.to_string()),
                ("aof_base_size", aof.rewrite_base_size.to_string()),
                ("aof_pending_rewrite", flag(aof.rewrite_scheduled)),
                ("aof_buffer_length", aof.buffered().to_string()),
                ("aof_pending_bio_fsync", aof.pending_fsyncs().to_string()),
                ("aof_delayed_fsync", aof.delayed_fsyncs.to_string()),
            ]);
        }
        if let Some(progress) = &p.progress {
            progress.info(now_s, &mut info);
        }
        info
    }
}
