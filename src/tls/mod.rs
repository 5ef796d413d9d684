//! The settings of TLS connections: certificates, keys, ciphers, whom to trust.
//!
//! ```text
//!   tls-* options, PEM files ─► settings ─► ServerConfig   for who connects to us    (server/tls.rs)
//!                                      └──► ClientConfig   for whom we connect to    (server/wires.rs, sys/peer.rs)
//! ```
//!
//! Invariant: settings are never changed. CONFIG SET makes new ones, for connections to come.
//!
//! Mirrors: the context half of tls.c; the connections are in `server/tls.rs`.

mod keys;
mod settings;

pub use keys::common_name;
pub use settings::{client_settings, server_settings};

#[cfg(test)]
mod tests;
