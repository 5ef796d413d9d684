//! Lazy free: a thread that drops large values, so that the loop need not.
//!
//! ```text
//!   data thread -- garbage --> [ queue ] --> the thread: drop, count, next
//! ```
//!
//! Garbage is anything that may be dropped elsewhere: a key taken out of its table, a whole table, a cache. The
//! thread is started by the first garbage unless it was before, and ends when its [`LazyFree`] is dropped and the
//! queue is empty.
//!
//! Mirrors: lazyfree.c and the lazy-free worker of bio.c.
//! Differs: garbage is any value that may be dropped on another thread; Redis has a job type for each kind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::Helpers;
use super::worker::Worker;

/// Freeing that takes more steps than this is worth another thread's time, and a hand-over's.
#[doc(alias = "LAZYFREE_THRESHOLD")]
const WORTH_IT: usize = 64;

#[derive(Debug, Default)]
struct Counts {
    pending: AtomicU64,
    pending_bytes: AtomicUsize,
    freed: AtomicU64,
}

/// The way to the thread.
pub struct LazyFree {
    worker: Worker,
    counts: Arc<Counts>,
}

impl Default for LazyFree {
    fn default() -> Self {
        LazyFree {
            worker: Worker::new("bio_lazy_free", Helpers::threads()),
            counts: Arc::default(),
        }
    }
}

impl LazyFree {
    /// Whether freeing that takes so many steps should be left to the thread.
    pub fn is_worth_it(effort: usize) -> bool {
        effort > WORTH_IT
    }

    /// Starts the thread, which the first garbage would start otherwise.
    pub fn start(&mut self) {
        self.worker.start();
    }

    /// Leaves garbage to the thread; it counts as so many objects in INFO.
    #[doc(alias = "bioCreateLazyFreeJob")]
    pub fn free<T: Send + 'static>(&mut self, garbage: T, objects: usize) {
        self.free_bytes(garbage, objects, 0);
    }

    /// As [`LazyFree::free`], for garbage that takes so many bytes: until they are freed they are in
    /// [`LazyFree::pending_bytes`].
    pub fn free_bytes<T: Send + 'static>(&mut self, garbage: T, objects: usize, bytes: usize) {
        let objects = objects as u64;
        let counts = Arc::clone(&self.counts);
        counts.pending.fetch_add(objects, Ordering::Relaxed);
        counts.pending_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.worker.submit(move || {
            drop(garbage);
            counts.pending_bytes.fetch_sub(bytes, Ordering::Relaxed);
            // `freed` grows before `pending` falls, so a reader that sees nothing pending sees all of it freed.
            counts.freed.fetch_add(objects, Ordering::Relaxed);
            counts.pending.fetch_sub(objects, Ordering::Release);
        });
    }

    /// Has the thread do something after all that was left to it before.
    #[doc(alias = "bioCreateCompRq")]
    pub fn then(&mut self, job: impl FnOnce() + Send + 'static) {
        self.worker.submit(job);
    }

    /// Waits until the thread has done all that was left to it so far, for a second at most.
    pub fn settle(&mut self) {
        let (done, idle) = std::sync::mpsc::sync_channel(1);
        self.then(move || {
            // Sending fails when the caller's second is over.
            let _ = done.send(());
        });
        let _ = idle.recv_timeout(std::time::Duration::from_secs(1));
    }

    /// Counts objects that the data thread itself will free, bit by bit, when it has time.
    pub fn put_off(&self, objects: usize) {
        let pending = &self.counts.pending;
        pending.fetch_add(objects as u64, Ordering::Relaxed);
    }

    /// They are freed.
    pub fn done(&self, objects: usize) {
        let objects = objects as u64;
        self.counts.freed.fetch_add(objects, Ordering::Relaxed);
        self.counts.pending.fetch_sub(objects, Ordering::Release);
    }

    /// Objects put off and not freed yet.
    #[doc(alias = "lazyfreeGetPendingObjectsCount")]
    pub fn pending(&self) -> u64 {
        self.counts.pending.load(Ordering::Acquire)
    }

    /// Bytes of garbage left to the thread by [`LazyFree::free_bytes`] and not freed yet.
    pub fn pending_bytes(&self) -> usize {
        self.counts.pending_bytes.load(Ordering::Relaxed)
    }

    /// Objects freed since the last call.
    pub fn take_freed(&self) -> u64 {
        if self.counts.freed.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        self.counts.freed.swap(0, Ordering::Relaxed)
    }
}

impl std::fmt::Debug for LazyFree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LazyFree({} pending)", self.pending())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};
    use std::thread;

    #[test]
    fn garbage_is_dropped_elsewhere_in_order_and_counted() {
        struct Tattler(Sender<thread::ThreadId>);
        impl Drop for Tattler {
            fn drop(&mut self) {
                let _ = self.0.send(thread::current().id());
            }
        }
        let mut lazyfree = LazyFree::default();
        let (tell, told) = channel();
        lazyfree.free(Tattler(tell.clone()), 7);
        lazyfree.free(Tattler(tell), 5);
        let (done, wait) = channel();
        lazyfree.then(move || done.send(()).expect("the test waits"));
        wait.recv().expect("the thread answers");
        assert_eq!((lazyfree.pending(), lazyfree.take_freed()), (0, 12));
        assert_eq!(lazyfree.take_freed(), 0);
        let threads: Vec<_> = told.iter().collect();
        assert_eq!(threads.len(), 2);
        assert!(!threads.contains(&thread::current().id()));
    }
}
