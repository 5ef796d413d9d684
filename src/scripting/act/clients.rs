//! The client without a socket that runs the commands of scripts, the collection of garbage between scripts, and the
//! disposal of interpreters that are not used any more.
//!
//! Mirrors: `lua_client` of eval.c and the client of each engine of functions.c. Differs: an interpreter that FLUSH
//! left behind is collected in small steps.

use crate::clients::{ClientFlags, ClientKey};
use crate::state::State;

/// Frees a share of what SCRIPT FLUSH and FUNCTION FLUSH left over.
pub(crate) fn free_scripts(state: &mut State) {
    const BUDGET_NS: u64 = 3_000_000;
    if state.scripts.leaving.is_empty() {
        return;
    }
    let (clock, until) = (&state.clock, state.clock.monotonic_ns() + BUDGET_NS);
    let freed = state.scripts.free_some(|| clock.monotonic_ns() > until);
    state.lazyfree.done(freed);
}

/// Collects the garbage of scripts and functions, a bit at a time: memory that INFO shows is then mostly in use, and an
/// interpreter that nobody calls for a while holds no more than it needs.
#[doc(alias = "luaGC")]
pub(crate) fn collect_garbage(state: &mut State) {
    const BUDGET_NS: u64 = 1_000_000;
    if state.scripts.run.is_some() || state.scripts.registering.is_some() {
        return;
    }
    let (clock, until) = (&state.clock, state.clock.monotonic_ns() + BUDGET_NS);
    let scripts = &mut state.scripts;
    let engines = [&mut scripts.engine, &mut scripts.libraries.engine];
    for engine in engines.into_iter().flatten() {
        engine.tidy(|| clock.monotonic_ns() > until);
    }
}

/// The client that runs scripts' commands.
pub(crate) fn script_client(state: &mut State) -> ClientKey {
    if let Some(client) = state.scripts.client {
        return client;
    }
    let now = state.clock.unix_ms();
    let flags = ClientFlags::FAKE | ClientFlags::SCRIPT | ClientFlags::AUTHENTICATED;
    let client = state.clients.insert(now, flags).key;
    state.scripts.client = Some(client);
    client
}
