//! The settings of TLS connections: certificates, keys, ciphers, trusted authorities.
//!
//! ```text
//!   tls-* options, PEM files ─► settings ─► ServerConfig   for connections to us     (server/tls.rs)
//!                                      └──► ClientConfig   for connections we open   (server/wires.rs, sys/peer.rs)
//! ```
//!
//! Invariant: settings are never changed. CONFIG SET makes new ones, for connections to come.
//!
//! Mirrors: the context half of tls.c; the connections are in `server/tls.rs`.

mod keys;
mod settings;

pub use keys::{common_name, pem};
pub use settings::{bus_settings, client_settings, server_settings};

#[cfg(test)]
mod tests;
