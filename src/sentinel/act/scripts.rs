//! Scripts of the operator as processes.
//!
//! Mirrors: sentinelRunPendingScripts(), sentinelCollectTerminatedScripts(), sentinelKillTimedoutScripts() of sentinel.c.
//! Differs: the standard library starts the process, and none of our descriptors is open in it.

use super::step;
use crate::sentinel::{Exit, Input};
use crate::state::State;
use crate::sys::process::{self, Ended};

/// Starts a script: the path with these arguments, no shell in between, in our environment and in the directory `dir`.
pub(super) fn run(state: &mut State, script: u64, path: &str, argv: &[String]) {
    match process::start(&state.config.dir, path, argv) {
        Ok(child) => {
            let pid = child.id();
            if let Some(watch) = &mut state.sentinel {
                watch.children.insert(script, child);
            }
            step(state, Input::Started { script, pid });
        }
        Err(_) => {
            let exit = Exit::NotStarted;
            step(state, Input::Ended { script, exit });
        }
    }
}

/// Kills a script that ran for too long; its end is seen at the next tick.
pub(super) fn kill(state: &mut State, script: u64) {
    let children = state.sentinel.as_mut().map(|watch| &mut watch.children);
    if let Some(child) = children.and_then(|children| children.get_mut(&script)) {
        // One that has ended meanwhile needs no killing.
        let _ = child.kill();
    }
}

/// Looks which scripts have ended.
pub(super) fn collect(state: &mut State) {
    let Some(watch) = &mut state.sentinel else {
        return;
    };
    let mut ended = Vec::new();
    watch.children.retain(|script, child| {
        let exit = match process::ended(child) {
            None => return true,
            Some(Ended::Code(code)) => Exit::Code(code),
            Some(Ended::Signal(signal)) => Exit::Signal(signal),
        };
        ended.push((*script, exit));
        false
    });
    for (script, exit) in ended {
        step(state, Input::Ended { script, exit });
    }
}
