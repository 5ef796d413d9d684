//! The data set on its way from our primary to us.
//!
//! ```text
//!   "$<length>" or "$EOF:<mark>" ─► temp file ─► thread: forced to disk, renamed ─► loaded, slice by slice
//!                               └─► straight into memory (`repl-diskless-load`; persistence/receiving.rs)
//! ```
//!
//! Mirrors: readSyncBulkPayload() of replication.c.
//! Differs: neither forcing the file to disk nor freeing the old data set holds the loop up. A file that cannot be
//! loaded does not end the server.

use std::path::PathBuf;

use crate::sys::files::File;

/// The bytes a mark has.
pub(super) const MARK: usize = 40;

/// The data set on its way.
#[derive(Debug)]
pub struct Transfer {
    pub(super) length: Option<Length>,
    /// Bytes that came.
    pub read: u64,
    pub(super) target: Target,
    /// The last bytes that came, which may be the end mark. They are kept back until it is known that they are not.
    pub(super) tail: Vec<u8>,
    /// All came.
    pub(super) whole: bool,
}

/// Where it goes.
#[derive(Debug)]
pub(super) enum Target {
    File {
        file: Option<File>,
        path: PathBuf,
    },
    /// Straight into memory; the load is begun between two commands.
    Memory {
        begun: bool,
    },
}

/// The result of forcing the received file to disk.
#[derive(Debug)]
pub struct Secured {
    pub(super) attempt: u64,
    pub(super) has_mark: bool,
    /// On failure, the step that failed and the reason.
    pub(super) result: Result<(), (&'static str, String)>,
}

/// When it is whole.
#[derive(Debug, Clone, Copy)]
pub(super) enum Length {
    Bytes(u64),
    Mark([u8; MARK]),
}

impl Transfer {
    /// Its length in bytes, if the primary announced one.
    pub fn total(&self) -> Option<u64> {
        match self.length {
            Some(Length::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// The received bytes that are certainly no part of the end mark: some that were kept back before, and some of
    /// `bytes`.
    ///
    /// A stream of unknown length ends with a mark of 40 bytes, and a piece may end in the middle of it. So the last
    /// 40 bytes are always kept back: with a mark of 4 and pieces `abcdef`, `gh`, the first call returns `ab`, the
    /// second `cd`.
    pub(super) fn before_mark<'b>(&mut self, bytes: &'b [u8]) -> (Vec<u8>, &'b [u8]) {
        let (now, later) = bytes.split_at(bytes.len().saturating_sub(MARK));
        let old = (self.tail.len() + later.len()).saturating_sub(MARK);
        let first = self.tail.drain(..old).collect();
        self.tail.extend_from_slice(later);
        (first, now)
    }
}
