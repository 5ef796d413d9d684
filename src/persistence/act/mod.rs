//! The acting half of [`crate::persistence`]: files written, read and replaced.
//!
//! Each function takes the whole [`State`](crate::state::State) as its first argument and is called by its path.
//!
//! Mirrors: rdb.c, aof.c. Differs: decisions that need no state stand in the parent, [`crate::persistence`].

pub mod append;
pub mod backup;
pub mod info;
pub mod loading;
pub mod receiving;
pub mod replay;
pub mod rewrite;
pub mod saving;
pub mod standing;
pub mod tails;
pub mod upgrade;
