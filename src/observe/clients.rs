//! A client in one line, for CLIENT LIST, CLIENT INFO and the log.
//!
//! Mirrors: `catClientInfoString` and `getClientMemoryUsage` of networking.c.
//! Differs: sizes are computed without looking at each watched key or prefix, so that CLIENT LIST is O(clients).

use crate::clients::{Client, ClientKey};
use crate::resp::Output;

/// Facts about the client whose command runs: its reply and its request are lent out, so the client itself does not
/// have them.
#[derive(Clone, Copy, Debug)]
pub struct Running<'a> {
    /// Which client.
    pub client: ClientKey,
    /// Its reply so far, when it goes to a socket.
    pub output: Option<&'a Output>,
    /// Bytes of its arguments.
    pub argv_bytes: usize,
}

/// The memory of a client, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientMemory {
    /// The list of replies that are still to be sent (`omem`).
    pub output: usize,
    /// Everything (`tot-mem`).
    pub total: usize,
}

impl Client {
    /// Its memory. `output` is its reply while its command runs; `argv_bytes` are the bytes of its request outside of
    /// its query buffer. O(1).
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
