//! Clients blocked until replicas have their writes (WAIT), or until their writes are safe on disk (WAITAOF).
//!
//! ```text
//!   write ─► Client.written = position of the stream
//!   WAIT ─► REPLCONF GETACK to all replicas ─► ACK position [FACK position on disk] ─► enough? answered
//! ```
//!
//! Our own append-only file counts bytes of its own, so positions of the stream are noted beside them whenever the
//! file was written: a position is safe once the bytes noted with it are.
//!
//! Mirrors: waitCommand(), waitaofCommand(), processClientsWaitingReplicas() of replication.c, `fsynced_reploff`.
//! Differs: the positions that wait for an fsync are a queue in [`SafePositions`]; Redis has room for one.

use std::collections::VecDeque;

/// Positions of the stream beside those of the append-only file.
#[derive(Debug, Default)]
pub struct SafePositions {
    /// Bytes fed to the file, and the stream's position then.
    pub(super) notes: VecDeque<(u64, u64)>,
    /// The last position known to be safe.
    pub(super) safe: u64,
    /// The position at which a file was begun: all before is in its base, once that is written.
    pub(super) begun: Option<u64>,
    /// Bytes fed to the files before that one: its base has what they say.
    pub(super) fed_before: u64,
}

/// The error of WAITAOF with `numlocal` where no append-only file is written.
pub const NEEDS_AOF: &str =
    "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
