//! Callbacks of modules that the server makes by itself: events, timers, jobs.
//!
//! Invariant: the module of each callback is loaded, because unloading it removes its callbacks from all tables first.
//!
//! Mirrors: moduleNotifyKeyspaceEvent(), moduleTimerHandler(), firePostExecutionUnitJobs() of module.c.

use std::ffi::{CString, c_int};

use super::context::{Context, Occasion, enter, lend, unit};
use super::strings;
use crate::keyspace::DbId;
use crate::modules::{ForkDoneFn, Listener, Opaque, PostJob, Timer, WatchFn};
use crate::state::State;

/// Tells a listener of a keyspace event.
pub fn notify(
    state: &mut State,
    listener: &Listener,
    class: u32,
    name: &[u8],
    db: DbId,
    key: &[u8],
) {
    let mut context = Context::new(Some(listener.module.clone()), Occasion::Callback);
    context.db = db;
    let name = CString::new(name).unwrap_or_default();
    let key = strings::new(key);
    unit(state, |state| {
        enter(state, &mut context, |address| {
            // SAFETY: the context, the name and the key outlive the call.
            unsafe { (listener.run)(address, class as c_int, name.as_ptr(), key.cast()) };
        });
    });
    // SAFETY: made above; the module retained it if it wanted more.
    unsafe { strings::release(key) };
}

/// Runs a job that was left for the end of a unit.
pub fn post_job(state: &mut State, job: &PostJob) {
    let mut context = Context::new(Some(job.module.clone()), Occasion::Callback);
    context.db = job.db;
    enter(state, &mut context, |address| {
        // SAFETY: the context outlives the call.
        unsafe { (job.run)(address, job.data) };
    });
    if let Some(free) = job.free {
        // SAFETY: the module's function for the module's pointer.
        unsafe { free(job.data) };
    }
}

/// Calls a module for a descriptor that is ready.
pub fn watch(state: &mut State, run: WatchFn, fd: c_int, data: Opaque, mask: c_int) {
    unit(state, |state| {
        lend(state, || {
            // SAFETY: the module's function for the module's pointer.
            unsafe { run(fd, data, mask) }
        });
    });
}

/// Tells a module of the end of its child.
pub fn child_ended(state: &mut State, run: ForkDoneFn, data: Opaque, code: c_int, signal: c_int) {
    unit(state, |state| {
        lend(state, || {
            // SAFETY: the module's function for the module's pointer.
            unsafe { run(code, signal, data) }
        });
    });
}

/// Runs a timer that is due.
pub fn timer(state: &mut State, timer: &Timer) {
    let mut context = Context::new(Some(timer.module.clone()), Occasion::Callback);
    context.db = timer.db;
    unit(state, |state| {
        enter(state, &mut context, |address| {
            // SAFETY: the context outlives the call.
            unsafe { (timer.run)(address, timer.data) };
        });
    });
}
