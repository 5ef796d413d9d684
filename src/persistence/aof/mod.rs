//! The append-only file: every change as the command that repeats it, on disk before the client hears of it.
//!
//! ```text
//!   feed_unit ──► buffer ──► before the loop sleeps: one write ──► fsync   always: at once
//!                                                                          everysec: on a thread
//!                                                                          no: the system's business
//! ```
//!
//! The file is many: a base that a rewrite made of a snapshot, and increments of commands behind it, listed in the
//! [`manifest`]. A rewrite opens the next increment at the moment its snapshot is taken, so that base and increment
//! fit together without copying anything.
//!
//! | file | |
//! |---|---|
//! | [`manifest`] | which files, in which order |
//! | `order` | what is on disk before what: each step that changes which files there are |
//! | [`append`] | the buffer, the write, the fsync |
//! | [`rewrite`](crate::persistence::act::rewrite) | BGREWRITEAOF, and switching the file on and off |
//! | [`commands`] | a data set as commands |
//! | [`reader`] | a file back to commands |
//! | [`replay`] | commands back to a data set |
//! | `upgrade` | the single file of older versions |
//! | [`check`] | `oxidis-check-aof` |
//!
//! Mirrors: aof.c.
//! Differs: the rewrite is a thread, and errors of writing are told to the loop instead of calling `exit()`.

pub mod append;
pub mod check;
pub mod commands;
pub mod manifest;
pub(super) mod order;
pub mod reader;
pub mod replay;

use std::sync::{Arc, Weak};

use self::manifest::{Manifest, Names};
use crate::background::Syncer;
use crate::keyspace::{DbId, Ms};
use crate::sys::files::File;

/// Whether commands are appended.
#[doc(alias = "AOF_WAIT_REWRITE")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Off,
    On,
    /// Switched on, but there is no base yet: the first rewrite makes it.
    AwaitsRewrite,
}

/// The append-only file.
#[derive(Debug, Default)]
pub struct Aof {
    pub mode: Mode,
    pub manifest: Manifest,
    /// The increment written to.
    pub(super) file: Option<Arc<File>>,
    /// Commands that are not written yet.
    pub(super) buf: Vec<u8>,
    /// The increment before, if it lacks bytes: until it is complete, no byte is written to this one.
    pub(super) unfinished: Option<Unfinished>,
    /// Increments before that the thread forces to disk.
    pub(super) older: Vec<Weak<File>>,
    /// Bytes of the increment before, to be noted at the beginning of this one.
    pub(super) follows: Option<u64>,
    /// When the manifest was written last, if the one on disk may not survive a power cut and is to be written again.
    pub(super) unsettled: Option<Ms>,
    /// The position of the stream where the temporary increment begins.
    pub(super) temporary_start: u64,
    /// The number of bytes fed when the last rewrite began.
    pub(super) rewritten_upto: u64,
    /// The database of the last command in the file.
    pub(super) selected: Option<DbId>,
    /// The last timestamp in the file, unix seconds.
    pub(super) timestamp_s: i64,
    /// Bytes of base and increments; of the same when the last rewrite ended; of the increment written to; and of
    /// those, what an fsync was asked for.
    pub current_size: u64,
    pub rewrite_base_size: u64,
    pub increment_size: u64,
    pub(super) sync_asked_size: u64,
    /// Bytes ever fed: how far the stream is. WAITAOF compares it with [`Aof::safe_offset`].
    pub fed: u64,
    pub(super) last_sync_ms: Ms,
    /// Since when the write waits for an fsync.
    pub(super) postponed_since: Option<Ms>,
    pub delayed_fsyncs: u64,
    /// Why the last write failed.
    pub write_error: Option<String>,
    pub(super) error_logged_s: i64,
    /// The last fsync on the thread failed, and that was logged.
    pub(super) sync_failed: bool,
    pub rewrite_scheduled: bool,
    pub rewrites: u64,
    pub last_rewrite_failed: bool,
    pub consecutive_failures: u64,
    pub last_rewrite_seconds: Option<i64>,
    pub last_cow_bytes: u64,
    pub(super) limit: Limit,
    pub(super) syncer: Syncer,
    /// DEBUG AOF-FLUSH-SLEEP, microseconds before each write.
    pub flush_sleep_us: u64,
}

/// An increment that is not complete: a rewrite began while the disk took nothing.
#[derive(Debug)]
pub(super) struct Unfinished {
    pub(super) file: Arc<File>,
    /// Bytes in it.
    pub(super) size: u64,
    /// The bytes that it lacks.
    pub(super) rest: Vec<u8>,
}

/// The delay after failed rewrites, which grows with each of them.
#[derive(Debug, Default)]
pub(super) struct Limit {
    pub(super) delay_minutes: i64,
    pub(super) next_s: i64,
}

impl Aof {
    /// Starts the thread that forces the file to disk before there is one.
    pub fn start_syncer(&mut self) {
        self.syncer.start();
    }

    /// Has another syncer force files to disk.
    pub fn use_syncer(&mut self, syncer: Syncer) {
        self.syncer = syncer;
    }

    /// The number of bytes fed that are safe on disk.
    pub fn safe_offset(&self) -> u64 {
        self.syncer.safe()
    }

    /// Whether commands are appended, or soon will be.
    pub fn is_on(&self) -> bool {
        self.mode != Mode::Off
    }

    /// Bytes waiting to be written.
    pub fn buffered(&self) -> usize {
        let rest = self.unfinished.as_ref();
        self.buf.len() + rest.map_or(0, |older| older.rest.len())
    }

    /// Bytes the buffer takes (not counted when keys are evicted).
    pub fn buffer_memory(&self) -> usize {
        self.buf.capacity()
    }

    /// Fsyncs under way.
    pub fn pending_fsyncs(&self) -> u64 {
        self.syncer.pending()
    }

    /// The reason to refuse writes, if there is one.
    pub fn error(&self) -> Option<String> {
        match self.mode {
            Mode::Off => None,
            _ => self.write_error.clone().or_else(|| self.syncer.error()),
        }
    }

    /// Whether writes are accepted. The cheap form of [`Aof::error`].
    pub fn is_well(&self) -> bool {
        self.mode == Mode::Off || self.write_error.is_none() && !self.syncer.has_failed()
    }
}

impl crate::config::Config {
    /// The names and the directory of the append-only files.
    pub fn aof_names(&self) -> Names {
        Names {
            directory: self.dir.join(&self.appenddirname),
            stem: self.appendfilename.clone(),
        }
    }
}
