//! The executor of work for helper threads: real threads, or a test that runs it task by task.
//!
//! A simulation cannot have threads: their order would be chance that no seed decides. There the tasks wait in line
//! until the test runs them, those of one thread in their order, those of different threads in any.
//!
//! Mirrors: no file of Redis. There, helper threads are started once and for all, and tests run the whole server.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::job::Job;

type Task = Box<dyn FnOnce() + Send>;

/// Tasks in line, each with the name of the thread that would do it.
type Line = Mutex<VecDeque<(&'static str, Task)>>;

/// The executor; clones share one line of tasks.
#[derive(Clone, Default)]
pub struct Helpers(Option<Arc<Line>>);

impl fmt::Debug for Helpers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("Helpers (threads)"),
            Some(_) => write!(f, "Helpers ({} tasks wait)", self.waiting()),
        }
    }
}

impl Helpers {
    /// Threads.
    pub fn threads() -> Helpers {
        Helpers(None)
    }

    /// An executor that runs no task until [`Helpers::run_one`] is called.
    pub fn by_hand() -> Helpers {
        Helpers(Some(Arc::default()))
    }

    /// Tasks in line.
    pub fn waiting(&self) -> usize {
        let tasks = self.0.as_ref();
        tasks.map_or(0, |tasks| {
            tasks.lock().unwrap_or_else(PoisonError::into_inner).len()
        })
    }

    /// Runs the next task of one of the threads there would be; `choose` picks one of so many. Returns whether there
    /// was one.
    pub fn run_one(&self, choose: impl FnOnce(usize) -> usize) -> bool {
        let Some(tasks) = &self.0 else {
            return false;
        };
        let mut tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut threads: Vec<&str> = Vec::new();
        for (thread, _) in tasks.iter() {
            if !threads.contains(thread) {
                threads.push(thread);
            }
        }
        if threads.is_empty() {
            return false;
        }
        let thread = threads[choose(threads.len())];
        let at = tasks.iter().position(|(of, _)| *of == thread);
        let task = at.and_then(|at| tasks.remove(at));
        // It may leave tasks itself.
        drop(tasks);
        if let Some((_, task)) = task {
            task();
        }
        true
    }

    /// Begins a long job, on a thread of its own.
    pub fn begin(
        &self,
        name: &'static str,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        match self.put(name, Box::new(work)) {
            Ok(()) => Ok(()),
            Err(work) => Job::begin(name, work),
        }
    }

    /// Puts a task in line, unless there are threads: they get it back.
    pub(super) fn put(&self, thread: &'static str, task: Task) -> Result<(), Task> {
        match &self.0 {
            None => Err(task),
            Some(tasks) => {
                let mut tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
                tasks.push_back((thread, task));
                Ok(())
            }
        }
    }
}
