//! The thread that writes small files which must be on disk before others may learn what is in them.
//!
//! Mirrors: no file of Redis, whose one thread writes `nodes.conf` by itself.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::Helpers;
use super::worker::Worker;

/// The way to the thread.
pub struct Keeper {
    worker: Worker,
    /// Held while a file is written; true once no more are to be written.
    closed: Arc<Mutex<bool>>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeper")
    }
}

impl Keeper {
    /// One whose thread starts with the first file.
    pub fn new(helpers: Helpers) -> Keeper {
        Keeper {
            worker: Worker::new("bio_keeper", helpers),
            closed: Arc::default(),
        }
    }

    /// Has a file written on the thread, after those before it.
    pub fn submit(&mut self, write: impl FnOnce() + Send + 'static) {
        let closed = self.closed.clone();
        self.worker.submit(move || {
            let closed = closed.lock().unwrap_or_else(PoisonError::into_inner);
            if !*closed {
                write();
            }
        });
    }

    /// Waits until the file is written that is being written now. Later ones are dropped.
    pub fn close(&self) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn nothing_is_written_after_the_end() {
        let mut keeper = Keeper::new(Helpers::threads());
        let (tell, told) = channel();
        let first = tell.clone();
        keeper.submit(move || first.send(1).expect("the test listens"));
        assert_eq!(told.recv(), Ok(1));
        keeper.close();
        keeper.submit(move || tell.send(2).expect("it is not run"));
        assert!(told.recv().is_err());
    }
}
