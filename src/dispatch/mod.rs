//! How a command runs; what one is, [`crate::command`] says.
//!
//! ```text
//!   Argv -> table::lookup -> gate (may it run now?) -> call (run, time, log) -> handler
//!                                                        ^ EXEC, scripts re-enter here
//! ```

mod call;
mod context;
pub(crate) mod gate;
mod unblock;

pub use call::{CallOrigin, call};
pub use context::{Ctx, Effect};
pub use gate::{Outcome, process};
pub use unblock::{answer_search, serve_ready};
