//! A data set that comes through a connection is fed to the loader. [`crate::persistence::receiving`] explains the
//! forms.
//!
//! Mirrors: the diskless half of readSyncBulkPayload() in replication.c.
//! Differs: bytes are pushed into the loader as they come; Redis's loader pulls them and blocks.

use super::loading;
use crate::keyspace;
use crate::keyspace::RemovedTable;
use crate::modules::{EventData, EventId, kinds};
use crate::persistence::loading::{Flags, Hold};
use crate::persistence::rdb::load::Loader;
use crate::persistence::rdb::{Decoder, Error, Reason};
use crate::persistence::receiving::Beside;
use crate::state::State;

/// Begins to load a data set that will be fed, of `total` bytes if that is known; with `beside` into databases of its
/// own.
pub fn begin_receiving(state: &mut State, total: Option<u64>, flags: Flags, beside: bool) {
    let checksum = state.config.rdbchecksum && !state.persistence.skip_checksum;
    let loader = Loader::fed(Decoder::fed(checksum), loading::reading(state, None));
    let beside = beside.then(|| Beside {
        keyspace: state.keyspace.twin(),
        libraries: state.scripts.libraries.twin(),
    });
    let flags = Flags {
        received: true,
        ..flags
    };
    if beside.is_some() {
        tell(state, kinds::async_load::STARTED);
    }
    loading::begin_loading_stream(state, loader, total.unwrap_or(0), flags, beside);
}

/// Whether the load has use for more bytes now.
pub fn load_is_hungry(state: &State) -> bool {
    let loading = state.persistence.loading.as_ref();
    loading.is_some_and(|loading| loading.hold == Hold::Bytes)
}

/// Feeds the load with further bytes.
pub fn feed_load(state: &mut State, bytes: &[u8]) {
    feed(state, Some(bytes));
}

/// All came.
pub fn feed_no_more(state: &mut State) {
    feed(state, None);
}

fn feed(state: &mut State, bytes: Option<&[u8]>) {
    if let Some(loading) = &mut state.persistence.loading
        && let Some(loader) = loading.rdb()
        && loader.feed(bytes)
        && loading.hold == Hold::Bytes
    {
        loading.hold = Hold::Nothing;
    }
}

/// Makes the load wait until the helper thread has freed the old data set. Clients read -LOADING meanwhile.
#[doc(alias = "replicationEmptyDbCallback")]
pub fn load_when_freed(state: &mut State, gone: Vec<RemovedTable>) {
    if let Some(loading) = &mut state.persistence.loading {
        loading.hold = Hold::Room;
    }
    let mailbox = state.mailbox.clone();
    state.lazyfree.then(move || {
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
pub fn abandon_receiving(state: &mut State) {
    let received =
        |loading: &mut Box<crate::persistence::loading::Loading>| loading.flags().received;
    let Some(mut loading) = state.persistence.loading.take_if(received) else {
        return;
    };
    let flags = loading.flags();
    if let Some(loader) = loading.rdb() {
        let error = Error::new(loader.position(), Reason::ShortRead);
        loading::explain(state, &error, "the data set received", flags, Some(loader));
    }
    loading::end_loading(state, &loading, false);
    drop_received(state, loading.beside.take());
}

/// Drops a data set that could not be loaded as a whole, before any client sees a part of it.
pub fn drop_received(state: &mut State, beside: Option<Beside>) {
    match beside {
        Some(mut beside) => {
            tell(state, kinds::async_load::ABORTED);
            state
                .log
                .notice("MASTER <-> REPLICA sync: Discarding temporary DB in background");
            let gone = beside.keyspace.clear();
            state.lazyfree.then(move || drop(gone));
        }
        None => {
            let gone = forget_data(state);
            state.lazyfree.then(move || drop(gone));
        }
    }
}

/// Puts the loaded data set (`beside`) in the place of the old one.
pub fn take_over(state: &mut State, beside: Beside) {
    state
        .log
        .notice("MASTER <-> REPLICA sync: Swapping active DB with loaded DB");
    state.replication.own_keys = Default::default();
    let gone = keyspace::act::keys::replace_all(state, beside.keyspace);
    state.scripts.libraries = beside.libraries;
    tell(state, kinds::async_load::COMPLETED);
    state
        .log
        .notice("MASTER <-> REPLICA sync: Discarding old DB in background");
    state.lazyfree.then(move || drop(gone));
}

/// Tells modules of a data set that is loaded beside the old one ([`kinds::async_load`]).
fn tell(state: &mut State, kind: u64) {
    state.tell_modules(EventId::AsyncLoad, kind, EventData::None);
}

/// Empties all databases, and forgets all functions. The keys are the caller's to drop.
pub fn forget_data(state: &mut State) -> Vec<RemovedTable> {
    state.replication.own_keys = Default::default();
    state.scripts.libraries = state.scripts.libraries.twin();
    keyspace::act::keys::empty(state, None)
}
