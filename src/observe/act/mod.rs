//! The acting half of [`crate::observe`]: what an operator sees, noted and shown.
//!
//! Each function takes the whole [`State`](crate::state::State) as its first argument and is called by its path.

pub mod calls;
pub mod clients;
pub mod monitor;
pub mod title;
pub mod watchdog;
