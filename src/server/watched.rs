//! Descriptors that modules watch: the loop waits for them beside its own sockets.
//!
//! A module expects to be called again and again while its descriptor is ready (level-triggered), whereas the loop's
//! poll tells of a change once (edge-triggered). So the poll only wakes the loop: which descriptors are ready is then
//! asked with `poll(2)`, and asked again in the next turn, without sleep, as long as one was.
//!
//! Invariant: the poll knows the descriptors of [`Modules::watched`](crate::modules::Modules::watched) as they were before
//! the last sleep.
//!
//! Mirrors: RM_EventLoopAdd() of module.c, aeProcessEvents() of ae.c.

use std::collections::BTreeMap;
use std::os::fd::RawFd;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::modules::{self, Watched};
use crate::state::State;

/// Tokens from here on are watched descriptors. There are never so many wires.
pub(super) const FIRST_WATCHED: usize = usize::MAX / 4 * 3;

/// The descriptors that the poll knows.
#[derive(Debug, Default)]
pub(super) struct WatchedFds {
    known: BTreeMap<RawFd, Interest>,
    /// One of them was ready when it was last asked.
    pub(super) ready: bool,
}

fn interest(watched: &Watched) -> Option<Interest> {
    let reads = watched.read.is_some().then_some(Interest::READABLE);
    let writes = watched.write.is_some().then_some(Interest::WRITABLE);
    match (reads, writes) {
        (Some(reads), Some(writes)) => Some(reads | writes),
        (reads, writes) => reads.or(writes),
    }
}

impl WatchedFds {
    /// Brings the poll up to date with what modules want.
    pub(super) fn follow(&mut self, registry: &Registry, state: &mut State) {
        if !std::mem::take(&mut state.modules.watched_changed) {
            return;
        }
        let wanted = &state.modules.watched;
        self.known.retain(|fd, _| {
            let stays = wanted.contains_key(fd);
            if !stays {
                // The module may have closed it already.
                let _ = registry.deregister(&mut SourceFd(fd));
            }
            stays
        });
        for (fd, watched) in wanted {
            let Some(interest) = interest(watched) else {
                continue;
            };
            let token = Token(FIRST_WATCHED + *fd as usize);
            // A descriptor that was closed is gone from the poll, even if another one has its number since.
            let mut source = SourceFd(fd);
            let added = registry
                .reregister(&mut source, token, interest)
                .or_else(|_| registry.register(&mut source, token, interest));
            if added.is_ok() {
                self.known.insert(*fd, interest);
            }
        }
        // What was ready before it was added is not told as a change.
        self.ready = true;
    }

    /// Calls modules for the descriptors that are ready now.
    pub(super) fn serve(&mut self, state: &mut State) {
        if std::mem::take(&mut self.ready) && !state.modules.watched.is_empty() {
            self.ready = modules::act::watches::serve(state);
        }
    }
}
