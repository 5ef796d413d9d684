//! Threads for searches in vector sets that would block the loop for too long: those of VSIM, and those of VADD with CAS
//! for the neighbours of a new element.
//!
//! Jobs come from one queue, and a free thread takes the next. The queue is no longer than the number of blocked
//! clients, for each is blocked on one job. While jobs wait and none begins, because those that run take long, another
//! thread starts every tenth of a second, and ends when the queue is empty: no client's search waits for the end of
//! another's.
//!
//! Mirrors: the thread that the vector sets of Redis start for each search.
//! Differs: at most four threads, which leave a processor to the loop, and 64 while long searches hold up others; Redis
//! starts one for each search.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::sys::{process, threads};
use crate::types::vset::Prepared;

type Job = Box<dyn FnOnce() + Send>;

/// Threads at most: what is in the caches is shared by all of them.
const MOST: usize = 4;
/// Threads beside these at most, while long searches hold up others.
const MOST_RELIEF: usize = 64 - MOST;

/// The way to the threads, which start with the first job, and end when this is dropped and the queue is empty.
#[derive(Debug, Default)]
pub struct Searchers {
    jobs: Option<Sender<Job>>,
    queue: Option<Arc<Queue>>,
    submitted: u64,
    /// Jobs that had begun when [`Searchers::relieve`] looked last.
    begun: u64,
    last: u64,
    /// The neighbours that a thread found for the command that runs again now (VADD with CAS).
    pub prepared: Option<Prepared>,
}

/// The end of the queue that the threads share.
#[derive(Debug)]
struct Queue {
    jobs: Mutex<Receiver<Job>>,
    begun: AtomicU64,
    relief: AtomicUsize,
}

impl Searchers {
    /// A number for a search, never used before.
    pub fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// One processor is left to the thread that serves clients.
    fn start() -> Option<(Sender<Job>, Arc<Queue>)> {
        let (jobs, queue) = channel();
        let queue = Arc::new(Queue {
            jobs: Mutex::new(queue),
            begun: AtomicU64::new(0),
            relief: AtomicUsize::new(0),
        });
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let mut started = false;
        for _ in 0..processors.saturating_sub(1).clamp(1, MOST) {
            let queue = Arc::clone(&queue);
            let thread = threads::spawn("vset_search", move || {
                process::stand_back();
                queue.search();
            });
            started |= thread.is_ok();
        }
        started.then_some((jobs, queue))
    }

    /// Submits a job. If no thread can be started, the job runs on the caller's thread.
    pub fn submit(&mut self, job: impl FnOnce() + Send + 'static) {
        if self.jobs.is_none()
            && let Some((jobs, queue)) = Searchers::start()
        {
            (self.jobs, self.queue) = (Some(jobs), Some(queue));
        }
        match &self.jobs {
            Some(jobs) => {
                self.submitted += 1;
                if let Err(back) = jobs.send(Box::new(job)) {
                    (back.0)();
                }
            }
            None => job(),
        }
    }

    /// Starts another thread if jobs wait and none has begun since this was called last.
    pub fn relieve(&mut self) {
        let Some(queue) = &self.queue else {
            return;
        };
        let begun = queue.begun.load(Relaxed);
        let stuck = begun == self.begun && begun < self.submitted;
        self.begun = begun;
        if stuck && queue.relief.load(Relaxed) < MOST_RELIEF {
            let shared = Arc::clone(queue);
            queue.relief.fetch_add(1, Relaxed);
            let thread = threads::spawn("vset_search", move || {
                process::stand_back();
                shared.drain();
                shared.relief.fetch_sub(1, Relaxed);
            });
            if thread.is_err() {
                queue.relief.fetch_sub(1, Relaxed);
            }
        }
    }
}

impl Queue {
    /// The loop of one thread.
    fn search(&self) {
        loop {
            // An idle thread holds the lock while it waits for a job, and releases it before the job begins.
            let job = match self.jobs.lock() {
                Ok(jobs) => jobs.recv(),
                Err(_) => return,
            };
            match job {
                Ok(job) => self.run(job),
                Err(_) => return,
            }
        }
    }

    /// Runs jobs until none waits.
    fn drain(&self) {
        // A lock that is held belongs to an idle thread, to which the next job goes, or for a moment to one that
        // takes a job; then more may wait, and another thread will be started for them.
        while let Ok(jobs) = self.jobs.try_lock() {
            let Ok(job) = jobs.try_recv() else {
                return;
            };
            drop(jobs);
            self.run(job);
        }
    }

    fn run(&self, job: Job) {
        self.begun.fetch_add(1, Relaxed);
        job();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One search without end must not keep those of other clients from being answered.
    #[test]
    fn long_jobs_do_not_hold_up_others() {
        let mut searchers = Searchers::default();
        let (release, held) = channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let (answers, answered) = channel();
        for _ in 0..2 * MOST {
            let held = Arc::clone(&held);
            searchers.submit(move || {
                let held = held
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                let _ = held.recv();
            });
        }
        searchers.submit(move || {
            let _ = answers.send(7);
        });
        let answer = std::iter::repeat_with(|| {
            searchers.relieve();
            thread::yield_now();
            answered.try_recv().ok()
        });
        assert_eq!(answer.flatten().next(), Some(7));
        drop(release);
    }
}
