//! The acting half of [`crate::observe`]: figures for an operator, noted and shown.
//!
//! Each function takes the whole [`State`](crate::state::State) as its first argument and is called by its path.
//!
//! Mirrors: server.c, latency.c, slowlog.c. Differs: decisions that need no state stand in the parent,
//! [`crate::observe`].

pub mod calls;
pub mod clients;
pub mod monitor;
pub mod title;
pub mod watchdog;
