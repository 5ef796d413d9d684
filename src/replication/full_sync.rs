//! Full synchronisation: a data set on its way to replicas, one save for all that wait for one.
//!
//! ```text
//!   to a file   snapshot ─► thread "bgsave" ─► dump.rdb ─► each replica, piece by piece ($<length>)
//!   to sockets  snapshot ─► thread "rdbpipe" ─► bounded channel ─► all replicas, the slowest sets the pace
//!                                                                  ($EOF:<mark> … <mark>)
//! ```
//!
//! A replica that asks while a file is being written joins that save: the backlog still has everything since its
//! snapshot. A save to sockets cannot be joined once its first byte is sent. So it begins a little later
//! (`repl-diskless-sync-delay`), and replicas that ask in the meantime share it.
//!
//! Mirrors: startBgsaveForReplication(), updateSlavesWaitingBgsave(), sendBulkToSlave(), rdbPipeReadHandler() and
//! replicationStartPendingFork() of replication.c; rdbSaveToSlavesSockets() of rdb.c.
//! Differs: no child and no pipe; their log lines are kept, because operators and tools look for them.

use std::sync::mpsc::Receiver;

use crate::clients::Announced;
use crate::persistence::files::SaveError;

/// The save for replicas that is under way.
#[derive(Debug)]
pub struct SyncSave {
    /// Its number among the jobs of persistence.
    pub(super) job: u64,
    /// The position of its snapshot in the stream.
    pub(super) offset: u64,
    pub(super) wants: Wants,
    pub(super) pipe: Option<Pipe>,
}

/// The parts of the data set that a replica asked to leave out (REPLCONF rdb-filter-only), and the way it goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wants {
    pub(super) without_keys: bool,
    pub(super) without_functions: bool,
    /// It goes to second connections, whose first ones are sent the stream meanwhile.
    pub(super) over_channel: bool,
}

impl Wants {
    pub(super) fn of(announced: &Announced) -> Wants {
        Wants {
            without_keys: announced.without_keys,
            without_functions: announced.without_functions,
            over_channel: announced.rdb_channel,
        }
    }

    pub(super) fn is_filtered(self) -> bool {
        self.without_keys || self.without_functions
    }
}

/// The way from the thread to the sockets.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) pieces: Receiver<Vec<u8>>,
    pub(super) mark: [u8; 40],
    /// There may be a piece for replicas that have room for it.
    pub(super) may_have_more: bool,
    /// The thread wrote all it had.
    pub(super) drained: bool,
    /// The result that the thread reported, once it has ended.
    pub(super) result: Option<Result<(), SaveError>>,
}

impl SyncSave {
    /// Whether it goes to a file.
    pub(super) fn is_file(&self) -> bool {
        self.pipe.is_none()
    }
}
