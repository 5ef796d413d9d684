//! Keyspace events for modules, and the work that they leave for the end of a unit of execution.
//!
//! A listener is called in the middle of the command that caused the event. It may write, and then belongs to that
//! command's unit; a listener that must not disturb the command leaves a job, which runs when the unit is over and
//! whose effects still belong to it.
//!
//! Mirrors: moduleNotifyKeyspaceEvent() and firePostExecutionUnitJobs() of module.c.

use crate::keyspace::DbId;
use crate::modules::abi;
use crate::state::State;

/// Tells listeners of an event. A listener does not hear what it causes itself, unless its module asked for that.
#[doc(alias = "moduleNotifyKeyspaceEvent")]
pub fn tell(state: &mut State, class: u32, name: &[u8], db: DbId, key: &[u8]) {
    for at in 0..state.modules.listeners.len() {
        let Some(listener) = state.modules.listeners.get(at) else {
            return;
        };
        let nested = listener
            .module
            .has(crate::modules::Module::NESTED_NOTIFICATIONS);
        if listener.classes & class == 0 || (listener.active && !nested) {
            continue;
        }
        let listener = listener.clone();
        state.modules.listeners[at].active = true;
        abi::callbacks::notify(state, &listener, class, name, db, key);
        if let Some(own) = state.modules.listeners.get_mut(at) {
            own.active = listener.active;
        }
    }
}

/// Runs the jobs that callbacks left for the end of the unit. Jobs may leave further ones.
#[doc(alias = "firePostExecutionUnitJobs")]
pub fn run_post_jobs(state: &mut State) {
    if state.modules.post_jobs.is_empty() {
        return;
    }
    // Effects of jobs belong to the unit whose end this is.
    state.effects.enter();
    while let Some(job) = state.modules.post_jobs.pop_front() {
        abi::callbacks::post_job(state, &job);
    }
    state.effects.leave();
}
