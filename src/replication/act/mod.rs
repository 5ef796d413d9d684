//! The acting half of [`crate::replication`]: both ends of the stream.
//!
//! Each function takes the whole [`State`](crate::state::State) as its first argument and is called by its path.
//!
//! Mirrors: replication.c. Differs: decisions that need no state stand in the parent, [`crate::replication`].

pub mod acks;
pub mod channel;
pub mod failover;
pub mod full_sync;
pub mod info;
pub mod link;
pub mod primary;
pub mod resume;
pub mod standing;
pub mod stream;
pub mod transfer;
pub mod trouble;
pub mod waiting;
pub mod writable;
