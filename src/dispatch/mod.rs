//! How a command runs. [`crate::command`] says what a command is.
//!
//! ```text
//!   Argv -> table::lookup -> gate (may it run now?) -> call (run, time, log) -> handler
//!                                                        ^ EXEC, scripts re-enter here
//! ```
//!
//! Mirrors: processCommand(), call() of server.c, blocked.c.
//! Differs: the gate is a function of its own that returns a decision; a re-entered call skips it.

mod call;
mod context;
pub(crate) mod gate;
mod unblock;

pub use call::{CallOrigin, call};
pub use context::{Ctx, Effect};
pub use gate::{Outcome, process};
#[cfg(feature = "c-modules")]
pub(crate) use gate::{identify, unknown_command};
pub(crate) use unblock::run_again;
pub use unblock::serve_ready;
