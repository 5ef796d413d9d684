//! A data set that comes through a connection, into memory: the loop feeds what it reads, slices of the load take it.
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

use super::loading::{Flags, Hold};
use super::rdb::load::Loader;
use super::rdb::{Decoder, Error, Reason};
use crate::keyspace::{Keyspace, RemovedTable};
use crate::scripting::Libraries;
use crate::state::State;

/// A data set under construction, while the old one is there.
#[derive(Debug)]
pub struct Beside {
    pub(super) keyspace: Keyspace,
    pub(super) libraries: Libraries,
}

impl State {
    /// Begins to load what will be fed, `total` bytes if that was said; with `beside` into a data set of its own.
    pub fn begin_receiving(&mut self, total: Option<u64>, flags: Flags, beside: bool) {
        let checksum = self.config.rdbchecksum && !self.persistence.skip_checksum;
        let loader = Loader::fed(Decoder::fed(checksum), self.reading(None));
        let beside = beside.then(|| Beside {
            keyspace: self.keyspace.twin(),
            libraries: self.scripts.libraries.twin(),
        });
        let flags = Flags {
            received: true,
            ..flags
        };
        self.begin_loading_stream(loader, total.unwrap_or(0), flags, beside);
    }

    /// Whether the load has use for more bytes now.
    pub fn load_is_hungry(&self) -> bool {
        let loading = self.persistence.loading.as_ref();
        loading.is_some_and(|loading| loading.hold == Hold::Bytes)
    }

    /// More bytes came.
    pub fn feed_load(&mut self, bytes: &[u8]) {
        self.feed(Some(bytes));
    }

    /// All came.
    pub fn feed_no_more(&mut self) {
        self.feed(None);
    }

    fn feed(&mut self, bytes: Option<&[u8]>) {
        if let Some(loading) = &mut self.persistence.loading
            && let Some(loader) = loading.rdb()
            && loader.feed(bytes)
            && loading.hold == Hold::Bytes
        {
            loading.hold = Hold::Nothing;
        }
    }

    /// The load waits until what was left to the thread that frees is freed. Who asks is told that it is loading.
    #[doc(alias = "replicationEmptyDbCallback")]
    pub fn load_when_freed(&mut self, gone: Vec<RemovedTable>) {
        if let Some(loading) = &mut self.persistence.loading {
            loading.hold = Hold::Room;
        }
        let mailbox = self.mailbox.clone();
        self.lazyfree.then(move || {
            drop(gone);
            mailbox.send(|state| {
                // Should it be the next load already, that one has no reason to wait either.
                if let Some(loading) = &mut state.persistence.loading
                    && loading.hold == Hold::Room
                {
                    loading.hold = Hold::Nothing;
                }
            });
        });
    }

    /// The connection ended in the middle of it.
    pub fn abandon_receiving(&mut self) {
        let received = |loading: &mut Box<super::loading::Loading>| loading.flags().received;
        let Some(mut loading) = self.persistence.loading.take_if(received) else {
            return;
        };
        let flags = loading.flags();
        if let Some(loader) = loading.rdb() {
            let error = Error::new(loader.position(), Reason::ShortRead);
            self.explain(&error, "the data set received", flags, Some(loader));
        }
        self.end_loading(&loading);
        self.drop_received(loading.beside.take());
    }

    /// A data set could not be loaded, or half of it: nobody is to see it.
    pub fn drop_received(&mut self, beside: Option<Beside>) {
        match beside {
            Some(mut beside) => {
                self.log
                    .notice("MASTER <-> REPLICA sync: Discarding temporary DB in background");
                let gone = beside.keyspace.clear();
                self.lazyfree.then(move || drop(gone));
            }
            None => {
                let gone = self.forget_data();
                self.lazyfree.then(move || drop(gone));
            }
        }
    }

    /// What was loaded takes the place of the old data set.
    pub fn take_over(&mut self, beside: Beside) {
        self.log
            .notice("MASTER <-> REPLICA sync: Swapping active DB with loaded DB");
        self.replication.own_keys = Default::default();
        let gone = self.replace_all(beside.keyspace);
        self.scripts.libraries = beside.libraries;
        self.log
            .notice("MASTER <-> REPLICA sync: Discarding old DB in background");
        self.lazyfree.then(move || drop(gone));
    }

    /// Empties all databases, and forgets all functions. The keys are the caller's to drop.
    pub fn forget_data(&mut self) -> Vec<RemovedTable> {
        self.replication.own_keys = Default::default();
        self.scripts.libraries = self.scripts.libraries.twin();
        self.empty(None)
    }
}
