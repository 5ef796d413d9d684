//! The acting half of [`crate::clients`]: care, eviction, pauses, ends of waits, and leaving.
//!
//! Each function takes the whole [`State`](crate::state::State) as its first argument and is called by its path.
//!
//! Mirrors: networking.c, timeout.c. Differs: decisions that need no state stand in the parent, [`crate::clients`].

pub mod cron;
pub mod evict;
pub mod forget;
pub mod leave;
pub mod pause;
pub mod tracking;
pub mod transaction;
pub mod waits;
