//! Descriptors that modules watch: which are ready, and the calls.
//!
//! Mirrors: eventLoopCbReadable(), eventLoopCbWritable() of module.c.

use crate::modules::{Watched, abi};
use crate::state::State;
use crate::sys::ready;

/// Calls the modules whose descriptors are ready: for reading first. Returns whether any was.
pub fn serve(state: &mut State) -> bool {
    let asked: Vec<(i32, bool, bool)> = state
        .modules
        .watched
        .iter()
        .map(|(fd, watched)| (*fd, watched.read.is_some(), watched.write.is_some()))
        .collect();
    let found = ready::now(&asked);
    for (fd, reads, writes) in &found {
        if *reads {
            call(state, *fd, |watched| watched.read, 1);
        }
        if *writes {
            call(state, *fd, |watched| watched.write, 2);
        }
    }
    !found.is_empty()
}

/// Calls a function of a descriptor, if an earlier call of this turn did not take it away.
fn call(
    state: &mut State,
    fd: i32,
    which: impl FnOnce(&Watched) -> Option<crate::modules::WatchFn>,
    mask: i32,
) {
    let Some(watched) = state.modules.watched.get(&fd) else {
        return;
    };
    if let Some(run) = which(watched) {
        let data = watched.data;
        abi::callbacks::watch(state, run, fd, data, mask);
    }
}
