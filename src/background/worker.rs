//! A thread that takes jobs from a queue, in order.
//!
//! Mirrors: bioProcessBackgroundJobs() and bioSubmitJob() of bio.c.
//! Differs: a thread per purpose with its own queue, started by the first job.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::Helpers;
use crate::sys::crash::SpareStack;
use crate::sys::threads;

type Job = Box<dyn FnOnce() + Send>;

/// The way to the thread, which starts with the first job, or before if that is wanted, and ends when this is dropped
/// and the queue is empty.
#[derive(Debug)]
pub(super) struct Worker {
    name: &'static str,
    jobs: Option<Sender<Job>>,
    helpers: Helpers,
}

impl Worker {
    /// The name is the thread's: 15 letters at most.
    pub(super) fn new(name: &'static str, helpers: Helpers) -> Worker {
        Worker {
            name,
            jobs: None,
            helpers,
        }
    }

    /// Starts the thread if it does not run, and waits until it is ready for jobs.
    pub(super) fn start(&mut self) {
        let (tell, told) = channel();
        self.submit(move || {
            // The caller of `start` waits below for this message.
            let _ = tell.send(());
        });
        let _ = told.recv();
    }

    /// The queue. If no thread can be started there is none, and jobs run on the caller's thread.
    fn queue(&mut self) -> Option<&Sender<Job>> {
        if self.jobs.is_none() {
            let (jobs, queue) = channel();
            let started = threads::spawn(self.name, move || {
                let _spare = SpareStack::new();
                bioProcessBackgroundJobs(&queue);
            });
            self.jobs = started.is_ok().then_some(jobs);
        }
        self.jobs.as_ref()
    }

    /// Leaves a job to the thread.
    #[doc(alias = "bioSubmitJob")]
    pub(super) fn submit(&mut self, job: impl FnOnce() + Send + 'static) {
        let Err(job) = self.helpers.put(self.name, Box::new(job)) else {
            return;
        };
        match self.queue() {
            Some(jobs) => {
                if let Err(back) = jobs.send(job) {
                    (back.0)();
                }
            }
            None => job(),
        }
    }
}

/// The loop of the thread. A stack trace shows this function at the root of each idle helper, so it has the name by
/// which it is known from Redis.
#[allow(non_snake_case)]
#[inline(never)]
fn bioProcessBackgroundJobs(queue: &Receiver<Job>) {
    while let Ok(job) = queue.recv() {
        job();
    }
}
