//! A data set that comes through a connection, into memory: the loop feeds the bytes it reads, slices of the load use
//! them.
//!
//! ```text
//!   socket ─► transfer.rs ─► feed_load() ─► [ bytes of the item being read ] ─► load_slice() ─► the databases
//!                 ▲                                                                  │             or, beside the
//!                 '─── reads only while the load is hungry (load_is_hungry()) ◄──────'             old ones, twins
//! ```
//!
//! An item that is not all there yet is put back, and read again when there is more of it. So nothing waits for the
//! network: clients are answered in between, and a primary that falls silent is noticed like any other.
//!
//! With `repl-diskless-load swapdb` the new data set is built in databases of its own ([`Beside`]). The old one stays
//! until the last byte is checked, and for good if there is an error before. If both are states of one stream, clients
//! may go on reading the old one (`async_loading` in INFO).
//!
//! Mirrors: the diskless half of readSyncBulkPayload() in replication.c; rioConnRead() of rio.c.
//! Differs: Redis reads the socket from inside of the loader, which waits for it.

use crate::keyspace::Keyspace;
use crate::scripting::Libraries;

/// A data set under construction, while the old one is there.
#[derive(Debug)]
pub struct Beside {
    pub(super) keyspace: Keyspace,
    pub(super) libraries: Libraries,
}
