//! Connected clients: identity, buffers, and the state of each. No sockets here.
//!
//! ```text
//!   server/io  --bytes-->  Client.query --Parser--> dispatch --Reply--> Client.out  --bytes--> server/io
//! ```
//!
//! A client is a plain state machine: the event loop, an I/O thread or a test may feed it bytes and take its output.
//! Fake clients (AOF loading, scripts, in-process commands) are entries of the same slab without a socket behind
//! them.
//!
//! Mirrors: `struct client` (server.h) and the client half of networking.c.
//! Differs: parts that only some clients have (transactions, subscriptions, tracking, blocking) hang behind one
//! pointer each, so that an idle client stays small.

pub mod act;
pub mod blocked;
mod client;
pub(crate) mod cron;
mod fieldsets;
mod list;
mod pause;
pub mod subscriptions;
pub mod tracking;
pub mod transaction;
pub mod usage;

pub use blocked::{Acks, Blocked, CancelOnDrop, WaitKind, Waiting};
pub use client::{Announced, Client, ClientFlags, ClientId, ClientKind};
pub use fieldsets::Fieldsets;
pub use list::{ClientKey, Clients};
pub use pause::{PauseMode, PausePurpose, Pauses};
pub use usage::Usage;
