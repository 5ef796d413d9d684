//! Threads for searches in vector sets that would block the loop for too long: those of VSIM, and those of VADD with CAS
//! for the neighbours of a new element.
//!
//! Jobs come from one queue, and a free thread takes the next. The queue is no longer than the number of blocked
//! clients, for each is blocked on one job.
//!
//! Mirrors: the thread that the vector sets of Redis start for each search.
//! Differs: at most four threads, which leave a processor to the loop; Redis starts one for each search.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::sys::{process, threads};
use crate::types::vset::Prepared;

type Job = Box<dyn FnOnce() + Send>;

/// Threads at most: what is in the caches is shared by all of them.
const MOST: usize = 4;

/// The way to the threads, which start with the first job, and end when this is dropped and the queue is empty.
#[derive(Debug, Default)]
pub struct Searchers {
    jobs: Option<Sender<Job>>,
    last: u64,
    /// The neighbours that a thread found for the command that runs again now (VADD with CAS).
    pub prepared: Option<Prepared>,
}

impl Searchers {
    /// A number for a search, never used before.
    pub fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// One processor is left to the thread that serves clients.
    fn start() -> Option<Sender<Job>> {
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let mut started = false;
        for _ in 0..processors.saturating_sub(1).clamp(1, MOST) {
            let queue = Arc::clone(&queue);
            let thread = threads::spawn("vset_search", move || {
                process::stand_back();
                search(&queue);
            });
            started |= thread.is_ok();
        }
        started.then_some(jobs)
    }

    /// Submits a job. If no thread can be started, the job runs on the caller's thread.
    pub fn submit(&mut self, job: impl FnOnce() + Send + 'static) {
        if self.jobs.is_none() {
            self.jobs = Searchers::start();
        }
        match &self.jobs {
            Some(jobs) => {
                if let Err(back) = jobs.send(Box::new(job)) {
                    (back.0)();
                }
            }
            None => job(),
        }
    }
}

/// The loop of one thread.
fn search(queue: &Mutex<Receiver<Job>>) {
    loop {
        // An idle thread holds the lock while it waits for a job, and releases it before the job begins.
        let job = match queue.lock() {
            Ok(queue) => queue.recv(),
            Err(_) => return,
        };
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}
