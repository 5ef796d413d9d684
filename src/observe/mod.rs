//! Figures for an operator: counters, the slow log, latency, MONITOR, metrics.
//!
//! Mirrors: the `stat_*` fields of server.h, slowlog.c, latency.c.
//! Differs: nothing here is global; each part is a value that [`State`](crate::state::State) holds.

pub mod act;
mod clients;
pub mod exporter;
pub mod hotkeys;
pub mod latency;
pub mod metrics;
pub mod slowlog;
pub mod stats;
pub mod title;

pub use clients::{ClientMemory, Running};
pub use latency::Latency;
pub use slowlog::{Slowlog, SlowlogLimits};
pub use stats::Stats;

use crate::clients::ClientKey;
use crate::command::Redacted;
use crate::command::table::CommandId;
use crate::resp::argv::Argv;

/// A command that has run.
#[derive(Clone, Copy, Debug)]
pub struct Ran<'a> {
    /// The client that called it.
    pub client: ClientKey,
    /// Which command.
    pub id: CommandId,
    /// Its words.
    pub argv: Argv<'a>,
    /// Which of them are secrets.
    pub redacted: Redacted,
    /// How long it took.
    pub elapsed_ns: u64,
    /// Whether it succeeded.
    pub ok: bool,
    /// Whether it is part of no other one.
    pub outermost: bool,
    /// Whether it comes from a file or a primary, so no client felt its time.
    pub replayed: bool,
}
