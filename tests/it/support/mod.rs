//! The base of the integration tests: a server process and a client that shows every byte of a reply.
//!
//! ```text
//!   let server = Server::oxidis().start();       a process, a free port, a directory of its own
//!   let mut c = server.client();
//!   c.cmd("INCRBY n 5").is(5);                   a transcript: what is sent, what comes back
//!   c.cmd("LPUSH n x").error("WRONGTYPE");
//! ```
//!
//! The `redis` crate is used where a real library's view matters; here nothing stands between the test and
//! the wire, so that a `$-1` is not a `*-1` and a malformed request can be sent at all.

pub mod client;
pub mod fleet;
pub mod folder;
pub mod random;
pub mod reply;
pub mod server;

pub use client::Client;
#[allow(unused_imports)] // Benchmarks take this module along, and need no folder.
pub use folder::Folder;
pub use reply::Reply;
pub use server::Server;

/// The key's time to live in seconds is this, or was a little while ago: machines that test may be slow.
#[track_caller]
pub fn has_to_live(client: &mut Client, key: &str, seconds: i64) {
    let ttl = client.cmd(&format!("TTL {key}"));
    let near = (seconds - 20..=seconds).any(|s| ttl == Reply::from(s));
    assert!(near, "expected about {seconds}, not {ttl}");
}
