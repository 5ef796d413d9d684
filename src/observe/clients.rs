//! A client in one line, for CLIENT LIST, CLIENT INFO and the log.
//!
//! Mirrors: `catClientInfoString` and `getClientMemoryUsage` of networking.c.

use crate::clients::{Client, ClientKey};
use crate::resp::Output;

/// What is known only of the client whose command runs: its reply and its request are not in the client.
#[derive(Clone, Copy, Debug)]
pub struct Running<'a> {
    /// Which client.
    pub client: ClientKey,
    /// Its reply so far, when it goes to a socket.
    pub output: Option<&'a Output>,
    /// Bytes of its arguments.
    pub argv_bytes: usize,
}

/// What a client costs, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientMemory {
    /// The list of what is still to be sent (`omem`).
    pub output: usize,
    /// Everything (`tot-mem`).
    pub total: usize,
}

impl Client {
    /// What it costs; `output` is its reply while its command runs, `argv_bytes` what of its request is not in its
    /// query buffer. O(1).
    #[doc(alias = "getClientMemoryUsage")]
    pub fn memory(&self, output: Option<&Output>, argv_bytes: usize) -> ClientMemory {
        let list = self.out.list_memory() + output.map_or(0, Output::list_memory);
        let out = self.out.memory() + output.map_or(0, Output::memory);
        let (query, room) = self.query_bytes();
        let queued = self.transaction.as_ref().map_or(0, |t| t.memory());
        let waiting = self.waiting.as_ref().map_or(0, |w| w.memory());
        let channels = self.subscriptions.as_ref().map_or(0, |s| s.memory());
        let tracking = self.tracking.as_ref().map_or(0, |t| t.memory());
        let fieldsets = self.fieldsets.as_ref().map_or(0, |f| f.memory());
        ClientMemory {
            output: list,
            total: out
                + query
                + room
                + argv_bytes
                + queued
                + waiting
                + channels
                + tracking
                + fieldsets
                + size_of::<Client>(),
        }
    }
}
