//! Helper threads, and the mailbox through which they answer.
//!
//! One thread owns the data. Other threads get only values they can own (a snapshot to write, garbage to drop) and
//! leave their answer as a closure that the owning thread runs between two commands.
//!
//! | file | thread | work |
//! |---|---|---|
//! | `lazyfree` | `bio_lazy_free` | drops values |
//! | `syncer` | `bio_aof` | fsyncs of the append-only file |
//! | `closer` | `bio_close_file` | closes files, and drops them from the page cache |
//! | `keeper` | `bio_keeper` | writes `nodes.conf` |
//! | `searchers` | `vset_search`, up to four, and 64 while long searches hold up others | searches in large vector sets |
//! | `job` | one for each job | saves and rewrites, seen from outside |
//!
//! Mirrors: bio.c.
//! Differs: a job is a closure, not a number that a switch interprets; answers come through a mailbox, not through
//! shared variables.

mod closer;
mod helpers;
mod job;
mod keeper;
mod lazyfree;
mod searchers;
mod syncer;
mod worker;

pub use self::closer::Closer;
pub use self::helpers::Helpers;
pub use self::job::Job;
pub use self::keeper::Keeper;
pub use self::lazyfree::LazyFree;
pub use self::searchers::Searchers;
pub use self::syncer::Syncer;

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use mio::Waker;

/// Work for the thread that owns the data.
pub type Letter<S> = Box<dyn FnOnce(&mut S) + Send>;

/// The sending end; cheap to clone, usable from any thread.
pub struct Mailbox<S> {
    letters: Sender<Letter<S>>,
    waker: Option<Arc<Waker>>,
}

impl<S> Clone for Mailbox<S> {
    fn clone(&self) -> Self {
        Mailbox {
            letters: self.letters.clone(),
            waker: self.waker.clone(),
        }
    }
}

impl<S> Mailbox<S> {
    /// A mailbox whose letters wake a poll; without a waker (tests) the owner looks by itself.
    pub fn new(waker: Option<Arc<Waker>>) -> (Mailbox<S>, Receiver<Letter<S>>) {
        let (letters, inbox) = channel();
        (Mailbox { letters, waker }, inbox)
    }

    /// Leaves a letter. Returns false when the server has ended.
    pub fn send(&self, letter: impl FnOnce(&mut S) + Send + 'static) -> bool {
        let sent = self.letters.send(Box::new(letter)).is_ok();
        if sent && let Some(waker) = &self.waker {
            // A failed wake can only mean a closed poll; then no loop reads the letter.
            let _ = waker.wake();
        }
        sent
    }
}

impl<S> fmt::Debug for Mailbox<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailbox")
    }
}
