//! The acting half of [`crate::scripting`]: scripts run.
//!
//! Each function takes the whole [`State`](crate::state::State) as its first argument and is called by its path.
//!
//! Mirrors: script.c, script_lua.c. Differs: decisions that need no state stand in the parent, [`crate::scripting`].

pub mod apart;
pub mod api;
pub mod clients;
pub mod console;
pub mod flags;
pub mod functions;
pub mod run;
