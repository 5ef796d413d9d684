//! The loop: the only room that polls or holds a socket.
//!
//! ```text
//!   before_sleep ── poll ── accept / read ── requests ── (replies gather) ── before_sleep ──
//!        └ timers, expiry, effects, then one write per client with something to send
//! ```
//!
//! Mirrors: ae.c, anet.c, networking.c's socket half, `serverCron` and `beforeSleep` of server.c.

mod builder;
mod connection;
mod cron;
mod debug_session;
mod event_loop;
mod io;
mod listener;
mod listeners;
mod metrics;
mod process;
mod report;
mod sentinel;
mod tls;
pub mod turn;
mod watched;
mod wires;

pub use builder::{Builder, Handle, StartError};
pub use event_loop::Server;
pub use process::run_process;
