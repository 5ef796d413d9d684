//! Replicas of ours: how each of them comes to read the stream, and the periodic care of them.
//!
//! ```text
//!   PSYNC id position ─► in the backlog? ─► +CONTINUE, Online from there
//!                                      └──► Waits ─► Writing ─► Sending ─► Online        (full_sync.rs)
//! ```
//!
//! A replica's connection is never given more than a piece of the stream at a time: what it has not taken lies in the
//! backlog, where it costs nothing as long as the backlog is no longer than configured.
//!
//! Mirrors: replicationFeedSlaves(), syncCommand(), masterTryPartialResync() and the primary's half of
//! replicationCron() in replication.c.
//! Differs: the output buffer of a replica stays small; in Redis every replica's connection refers to all blocks it
//! has yet to send.

use crate::clients::ClientId;

/// How much of the stream or of a file is handed to a connection at a time.
pub(super) const PIECE: usize = 256 * 1024;

/// A request to read the stream.
#[derive(Debug, Clone, Copy)]
pub enum Asked<'a> {
    /// SYNC: a replica of a Redis before 2.8.
    Sync,
    /// PSYNC: the name of the stream it knows, and the number of the byte it wants next.
    Psync { id: &'a str, wanted: i64 },
}

/// The answer to PSYNC.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// It continues; the line is +CONTINUE and what belongs to it.
    Continue(String),
    /// It is sent the whole data set. +FULLRESYNC follows when the save begins.
    Full,
    /// It is to ask for the data set over a second connection, and to name this one there.
    OverChannel(ClientId),
}
