//! What a command is, and how one runs.
//!
//! ```text
//!   Argv -> table::lookup -> gate (may it run now?) -> call (run, time, log) -> handler
//!                                                        ^ EXEC, scripts re-enter here
//! ```

pub mod args;
mod call;
pub mod command;
mod context;
pub(crate) mod gate;
pub mod keys;
mod propagate;
pub mod table;
mod unblock;

pub use call::{CallOrigin, call};
pub use context::{Ctx, Effect, Redacted};
pub use gate::{Outcome, process};
pub use propagate::{Effects, Said, Targets};
pub use unblock::{answer_search, serve_ready};
