//! Loading of files into the keyspace, slice by slice: the loop serves clients in between, and most commands get
//! -LOADING.
//!
//! ```text
//!   parts    dump.rdb        or    base.rdb, incr.aof, incr.aof …
//!   source   an RDB          or    commands          or    an RDB and commands behind it (Redis before 7)
//! ```
//!
//! Mirrors: rdbLoad(), startLoading() of rdb.c, loadAppendOnlyFiles() of aof.c, loadDataFromDisk() of server.c.
//! Differs: the load is a value that is continued in slices; Redis's loader runs through, and calls the event loop
//! from inside.

use std::collections::VecDeque;
use std::path::PathBuf;

use super::aof::reader::CommandReader;
use super::aof::replay::Replayer;
use super::rdb::load::Loader;
use super::receiving::Beside;
use crate::command::Targets;
use crate::keyspace::{DbId, Keyspace};

/// A load in progress.
#[derive(Debug)]
pub struct Loading {
    pub(super) parts: VecDeque<Part>,
    pub(super) current: Option<(Part, Source)>,
    /// Commands run for this client.
    pub(super) replayer: Option<Replayer>,
    pub(super) aof: bool,
    pub(super) started_ns: u64,
    pub(super) part_started_ns: u64,
    /// Bytes of the parts that are done.
    pub(super) done_bytes: u64,
    pub(super) used_memory: u64,
    pub(super) keys_loaded: u64,
    pub(super) keys_expired: u64,
    pub(super) empty_keys: u64,
    /// Lines in the log about metadata of keys that is left out.
    pub(super) metas_told: u32,
    pub(super) flags: Flags,
    /// Bytes of the increment before the current one.
    pub(super) before: Option<u64>,
    /// The event that the load waits for before its next slice.
    pub(super) hold: Hold,
    /// The databases it goes to, if not those of the old data set.
    pub(super) beside: Option<Beside>,
    /// Where the stream of effects stood when the file was written: database, name, position.
    pub(super) stream: Stream,
    /// The slot migration that was under way when the file was written.
    pub(super) slot_task: Option<Vec<u8>>,
    /// When modules are told next how far it is, monotonic.
    pub(super) progress_due_ns: u64,
    /// The readers of the stream of effects before the load. During the load there are none: replayed commands are
    /// not propagated.
    pub(super) listening: Targets,
}

/// An event that a load waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    Nothing,
    /// Bytes that its connection did not bring yet.
    Bytes,
    /// The memory of the old data set, which another thread frees.
    Room,
}

/// One file.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) what: What,
    pub(super) size: u64,
}

/// The kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Rdb,
    /// An RDB that comes through a connection.
    Stream,
    Base,
    /// A base that a Redis before version 7 left: an RDB, perhaps, and commands.
    OldStyle,
    Increment,
}

#[derive(Debug)]
pub(super) enum Source {
    Rdb(Box<Loader<'static>>),
    Commands {
        reader: CommandReader,
        /// The end of the last whole command, and of the last before MULTI.
        valid: u64,
        valid_before_multi: u64,
    },
}

impl Source {
    pub(super) fn position(&self) -> u64 {
        match self {
            Source::Rdb(loader) => loader.position(),
            Source::Commands { reader, .. } => reader.position(),
        }
    }
}

/// A load failed. The log has the reason.
#[derive(Debug)]
pub(super) struct Fatal;

/// How a file differs from a plain `dump.rdb`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flags {
    /// Expired keys are loaded all the same: the commands behind the file count on them.
    pub keep_expired: bool,
    /// A key that exists already is overwritten (DEBUG RELOAD NOFLUSH MERGE).
    pub allow_duplicates: bool,
    /// This load is part of the start: the stream of effects goes on where the file says it stood.
    pub at_start: bool,
    /// The data set comes from our primary.
    pub from_primary: bool,
    /// The primary sent the data set with an end mark, so it waits for an acknowledgement before it sends the stream.
    pub marked: bool,
    /// The data set comes through the connection, not from a file.
    pub received: bool,
    /// Clients are served from the old data set meanwhile.
    pub serves_old: bool,
    /// The append-only file is none of its business: who began the load switches it on again.
    pub leaves_aof: bool,
}

/// The result of loading the data set of our primary.
#[derive(Debug)]
pub struct Loaded {
    pub ok: bool,
    pub flags: Flags,
    /// The database its stream has selected.
    pub stream_db: Option<DbId>,
    /// Where it was loaded to, if not in the old one's place.
    pub beside: Option<Beside>,
}

/// Where a stream of effects stood, as a file says.
#[derive(Debug, Clone, Default)]
pub(super) struct Stream {
    pub(super) db: Option<u32>,
    pub(super) id: Option<String>,
    pub(super) offset: Option<u64>,
}

/// The result of one slice of a load.
#[derive(Debug)]
pub enum Slice {
    /// There is more.
    More,
    /// All is loaded.
    Done,
    /// The file is bad, the log says how; the keyspace holds a part of it.
    Failed,
    /// The data set of our primary is loaded, or cannot be: the link to it goes on from here.
    OfPrimary(Box<Loaded>),
}

/// The result of opening a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    Yes,
    /// The file does not exist, which is no error.
    Missing,
    /// The log says why.
    Failed,
}

/// How far a load is, for INFO.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    pub(super) started_s: i64,
    pub(super) total_bytes: u64,
    pub(super) loaded_bytes: u64,
    /// `used_memory` of the server that wrote the file.
    pub(super) used_memory: u64,
    pub(super) serves_old: bool,
}

impl Loading {
    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// The RDB being read, unless it is commands.
    pub(super) fn rdb(&mut self) -> Option<&mut Loader<'static>> {
        match &mut self.current {
            Some((_, Source::Rdb(loader))) => Some(loader),
            _ => None,
        }
    }
}

impl Progress {
    /// The part that is loaded, of 1024; -1 when the length is not known.
    pub fn share_of_1024(&self) -> i32 {
        match self.total_bytes {
            0 => -1,
            total => (u128::from(self.loaded_bytes) * 1024 / u128::from(total)) as i32,
        }
    }

    /// Whether clients are served from the old data set.
    pub fn serves_old(&self) -> bool {
        self.serves_old
    }

    /// INFO's fields about it.
    pub fn info(&self, now_s: i64, info: &mut Vec<(&'static str, String)>) {
        // Where the length is not known, the memory that the data set took in the other server is a guess.
        let total = match self.total_bytes {
            0 => self.used_memory,
            total => total,
        };
        let percent = match total {
            0 => 0.0,
            total => self.loaded_bytes as f64 / total as f64 * 100.0,
        };
        let left = total.saturating_sub(self.loaded_bytes);
        let eta = match now_s - self.started_s {
            0 => 1,
            elapsed => elapsed.max(0) as u64 * left / (self.loaded_bytes + 1),
        };
        info.extend([
            ("loading_start_time", self.started_s.to_string()),
            ("loading_total_bytes", self.total_bytes.to_string()),
            ("loading_rdb_used_mem", self.used_memory.to_string()),
            ("loading_loaded_bytes", self.loaded_bytes.to_string()),
            ("loading_loaded_perc", format!("{percent:.2}")),
            ("loading_eta_seconds", eta.to_string()),
        ]);
    }
}

impl Loading {
    /// Where keys go: `serving` is the keyspace that clients are served from.
    pub(super) fn target<'k>(&'k mut self, serving: &'k mut Keyspace) -> &'k mut Keyspace {
        match &mut self.beside {
            Some(beside) => &mut beside.keyspace,
            None => serving,
        }
    }

    pub(super) fn come_to(self: Box<Self>, ok: bool) -> Loaded {
        Loaded {
            ok,
            flags: self.flags,
            stream_db: self.stream.db.map(DbId),
            beside: self.beside,
        }
    }
}
