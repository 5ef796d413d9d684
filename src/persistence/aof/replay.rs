//! Replay: the commands of a file run for a client without a socket, as if a primary had sent them.
//!
//! Mirrors: createAOFClient() and the running half of loadSingleAppendOnlyFile() in aof.c.
//! Differs: the client stays for the whole load; slices of it run between turns of the loop.

use crate::clients::ClientKey;

/// The client that runs them.
#[derive(Debug)]
pub struct Replayer {
    pub(in crate::persistence) client: ClientKey,
}
