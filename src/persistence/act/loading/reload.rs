//! A load from its beginning to its end within one command: DEBUG RELOAD, DEBUG LOADAOF, and servers that are embedded.
//!
//! Mirrors: the two branches of `debugCommand()` of debug.c.

use super::super::{append, saving};
use super::{begin_loading_aof, begin_loading_rdb, end_loading, load_slice};
use crate::clients::ClientFlags;
use crate::keyspace;
use crate::persistence::loading::{Flags, Opened, Slice};
use crate::state::State;

const LOADING_ALREADY: &str = "The data set is being loaded already";

/// DEBUG RELOAD: saves if wanted, empties the databases if wanted, and loads the file again. The error is for the
/// client; the log has the reason.
#[doc(alias = "debugCommand")]
pub fn reload(
    state: &mut State,
    save: bool,
    flush: bool,
    flags: Flags,
) -> Result<(), &'static str> {
    if state.persistence.is_loading() {
        return Err(LOADING_ALREADY);
    }
    if save && !saving::save_now(state) {
        return Err("Error trying to save the DB, check server logs");
    }
    if flush {
        drop(keyspace::act::keys::empty(state, None));
        state.scripts.flush_libraries(false);
    }
    let path = state.config.dir.join(&state.config.dbfilename);
    let opened = begin_loading_rdb(state, &path, flags);
    if opened != Opened::Yes || !load_all(state) {
        return Err("Error trying to load the RDB dump, check server logs");
    }
    state.log.warning("DB reloaded by DEBUG RELOAD");
    Ok(())
}

/// DEBUG LOADAOF: empties the databases and replays the append-only file.
pub fn reload_aof(state: &mut State) -> Result<(), &'static str> {
    if state.persistence.is_loading() {
        return Err(LOADING_ALREADY);
    }
    append::flush(state, true);
    drop(keyspace::act::keys::empty(state, None));
    state.scripts.flush_libraries(false);
    match begin_loading_aof(state) {
        Opened::Missing => {}
        Opened::Yes if load_all(state) => {}
        _ => return Err("Error trying to load the AOF files, check server logs"),
    }
    state.dirty = 0;
    state
        .log
        .warning("Append Only File loaded by DEBUG LOADAOF");
    Ok(())
}

/// Loads a whole data set for the client whose command this is; other clients are served now and then. Returns
/// whether it worked.
pub fn load_all(state: &mut State) -> bool {
    let caller = state.current_client;
    let mark = |state: &mut State, busy: bool| {
        if let Some(client) = caller.and_then(|caller| state.clients.get_mut(caller)) {
            client.flags.put(ClientFlags::BUSY, busy);
        }
    };
    mark(state, true);
    let loaded = loop {
        match load_slice(state) {
            Slice::More if state.serve_meanwhile() => {}
            Slice::More => {
                abort_loading(state);
                break false;
            }
            Slice::Done => break true,
            // A client's command loads no data set of a primary.
            Slice::Failed | Slice::OfPrimary(_) => break false,
        }
    };
    mark(state, false);
    if let Some(caller) = caller {
        // Requests that came meanwhile wait in its query buffer or its socket.
        state.clients.resume(caller);
    }
    loaded
}

/// Gives a load up because the server ends: the part loaded so far does not matter.
fn abort_loading(state: &mut State) {
    if let Some(loading) = state.persistence.loading.take() {
        end_loading(state, &loading, false);
    }
}
