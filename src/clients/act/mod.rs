//! The acting half of [`crate::clients`]: what happens to clients beyond their own data.
//!
//! Each function takes the whole [`State`](crate::state::State) as its first argument and is called by its path.

pub mod cron;
pub mod evict;
pub mod forget;
pub mod leave;
pub mod pause;
pub mod tracking;
pub mod transaction;
pub mod waits;
