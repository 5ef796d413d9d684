//! A long job on a thread of its own, as seen from outside: how far it is, how slowly it should go, and a way to stop
//! it.
//!
//! Mirrors: childinfo.c, and the pid that Redis kills to end a save.
//! Differs: the counters are shared memory between threads, where a child of Redis sends them through a pipe.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::sys::crash::SpareStack;
use crate::sys::{clock, process, threads};

/// No sleep is longer than this before the orders are read again.
const NAP: Duration = Duration::from_millis(5);

/// Shared by the job's thread and the owner of the data.
#[derive(Debug, Clone, Default)]
pub struct Job(Arc<Orders>);

#[derive(Debug, Default)]
struct Orders {
    cancelled: AtomicBool,
    /// Microseconds to sleep after each key; negative, one after so many.
    delay: AtomicI32,
    keys: AtomicU64,
    bytes: AtomicU64,
    /// Held while the result is put in its place, and while the job is cancelled: one of the two comes first.
    result: Mutex<()>,
}

impl Job {
    /// Begins it, on a thread that stands back for the one that serves clients.
    pub fn begin(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let started = threads::spawn(name, move || {
            let _spare = SpareStack::new();
            process::stand_back();
            work();
        });
        started.map(drop)
    }

    /// As [`Job::begin`], on a thread that counts as much as the one that serves clients: the work is part of something
    /// that a client or another node waits for.
    pub fn begin_equal(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let started = threads::spawn(name, move || {
            let _spare = SpareStack::new();
            work();
        });
        started.map(drop)
    }

    /// It ends soon, with an error; whatever it had not put in its place before never gets there.
    pub fn cancel(&self) {
        let _first = self.0.result.lock();
        self.0.cancelled.store(true, Relaxed);
    }

    /// Puts the result in its place, which must not take long, unless the job was cancelled: then `None`.
    pub fn conclude<T>(&self, place: impl FnOnce() -> T) -> Option<T> {
        let _first = self.0.result.lock();
        (!self.is_cancelled()).then(place)
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Relaxed)
    }

    /// `rdb-key-save-delay`, in force from the next look on.
    pub fn set_delay(&self, delay: i32) {
        self.0.delay.store(delay, Relaxed);
    }

    /// Keys done.
    pub fn keys(&self) -> u64 {
        self.0.keys.load(Relaxed)
    }

    /// Bytes written.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Relaxed)
    }

    pub fn wrote(&self, bytes: u64) {
        self.0.bytes.fetch_add(bytes, Relaxed);
    }

    /// A key is done: counts it, sleeps if that is wanted. An error means: cancelled.
    #[inline]
    pub fn key_done(&self) -> io::Result<()> {
        let keys = self.0.keys.fetch_add(1, Relaxed) + 1;
        match self.0.delay.load(Relaxed) {
            0 => {}
            delay => self.sleep(delay, keys),
        }
        if self.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    }

    #[cold]
    fn sleep(&self, delay: i32, keys: u64) {
        if delay < 0 {
            if keys.is_multiple_of(u64::from(delay.unsigned_abs())) {
                clock::nap(Duration::from_micros(1));
            }
            return;
        }
        let start = clock::instant();
        while !self.is_cancelled() {
            // Read anew: lowering the delay wakes a job that sleeps.
            let delay = self.0.delay.load(Relaxed).max(0);
            let total = Duration::from_micros(delay as u64);
            match total.checked_sub(clock::since(start)) {
                Some(left) if !left.is_zero() => clock::nap(left.min(NAP)),
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeping_job_can_be_hurried_and_stopped() {
        let job = Job::default();
        job.set_delay(i32::MAX);
        let worker = job.clone();
        let thread =
            std::thread::spawn(move || (worker.key_done().is_ok(), worker.key_done().is_ok()));
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(job.keys(), 1);
        job.set_delay(0);
        while job.keys() < 2 {
            std::thread::yield_now();
        }
        job.set_delay(i32::MAX);
        job.cancel();
        let (first, _) = thread.join().expect("it does not panic");
        assert!(first);
        assert!(job.key_done().is_err());
    }
}
