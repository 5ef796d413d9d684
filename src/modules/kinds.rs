//! The kinds ("sub-events") of server events, as numbers of the interface.
//!
//! Mirrors: the REDISMODULE_SUBEVENT_ numbers of redismodule.h.

/// Kinds of [`EventId::Persistence`](super::EventId::Persistence). A save in the background is a thread here, so all of
/// them are told in the one process there is; Redis tells of a background save's beginning in its child alone.
pub mod persistence {
    /// A save in the background begins.
    pub const RDB_START: u64 = 0;
    /// A rewrite of the append-only file in the background begins.
    pub const AOF_START: u64 = 1;
    /// A save that blocks the server begins.
    pub const SYNC_RDB_START: u64 = 2;
    /// A save or rewrite is complete.
    pub const ENDED: u64 = 3;
    /// A save or rewrite failed, or was cancelled.
    pub const FAILED: u64 = 4;
    /// A rewrite that blocks the server begins: the first base at start-up.
    pub const SYNC_AOF_START: u64 = 5;

    /// The kind of a save's end.
    pub fn end(ok: bool) -> u64 {
        if ok { ENDED } else { FAILED }
    }
}

/// Kinds of [`EventId::Loading`](super::EventId::Loading).
pub mod loading {
    /// An RDB file begins to be loaded.
    pub const RDB_START: u64 = 0;
    /// The append-only files begin to be loaded.
    pub const AOF_START: u64 = 1;
    /// The data set of a primary begins to be loaded.
    pub const REPLICATION_START: u64 = 2;
    /// The data set is loaded.
    pub const ENDED: u64 = 3;
    /// Loading failed.
    pub const FAILED: u64 = 4;
}

/// Kinds of [`EventId::AsyncLoad`](super::EventId::AsyncLoad): a primary's data set is loaded beside the old one.
pub mod async_load {
    /// It begins.
    pub const STARTED: u64 = 0;
    /// It failed; the old data set stays.
    pub const ABORTED: u64 = 1;
    /// The new data set is in the place of the old one.
    pub const COMPLETED: u64 = 2;
}

/// Kinds of [`EventId::ReplicationRole`](super::EventId::ReplicationRole).
pub mod role {
    /// The server is a primary from now on.
    pub const PRIMARY: u64 = 0;
    /// The server is a replica from now on.
    pub const REPLICA: u64 = 1;
}

/// Kinds of [`EventId::Replica`](super::EventId::Replica).
pub mod replica {
    /// A replica has its data set and reads the stream.
    pub const ONLINE: u64 = 0;
    /// An online replica is gone.
    pub const OFFLINE: u64 = 1;
}

/// Kinds of [`EventId::PrimaryLink`](super::EventId::PrimaryLink).
pub mod primary_link {
    /// The link to the primary is up.
    pub const UP: u64 = 0;
    /// The link to the primary is down.
    pub const DOWN: u64 = 1;
}

/// Kinds of [`EventId::ForkChild`](super::EventId::ForkChild).
pub mod fork {
    /// A module's child was forked.
    pub const BORN: u64 = 0;
    /// A module's child has ended.
    pub const DIED: u64 = 1;
}

/// Kinds of [`EventId::SlotMigration`](super::EventId::SlotMigration).
pub mod slot_migration {
    /// This node begins to take slots over.
    pub const IMPORT_STARTED: u64 = 0;
    /// It could not; it may try again.
    pub const IMPORT_FAILED: u64 = 1;
    /// The slots are this node's.
    pub const IMPORT_COMPLETED: u64 = 2;
    /// This node begins to hand slots over.
    pub const MIGRATE_STARTED: u64 = 3;
    /// It could not.
    pub const MIGRATE_FAILED: u64 = 4;
    /// The slots are another node's.
    pub const MIGRATE_COMPLETED: u64 = 5;
    /// Modules may add commands to what is sent.
    pub const MODULE_PROPAGATE: u64 = 6;
}

/// Kinds of [`EventId::SlotTrim`](super::EventId::SlotTrim).
pub mod slot_trim {
    /// Keys of slots that left begin to be deleted.
    pub const STARTED: u64 = 0;
    /// All of them are deleted.
    pub const COMPLETED: u64 = 1;
}
