//! What stands in the place of this room in a server that is built without the interface for compiled modules.

use crate::keyspace::Ms;
use crate::state::State;

/// There is nothing to install: whoever asks for a module is refused.
pub fn install(_: &mut State) {}

/// Runs the wait of the loop.
pub fn wait<R>(_: &mut State, wait: impl FnOnce() -> R) -> R {
    wait()
}

pub mod load {
    use super::State;

    /// False, and a line in the log, if the configuration asks for modules.
    pub fn load_configured(state: &mut State) -> bool {
        let directives = &state.config.directives;
        if directives.modules.is_empty() && directives.module_options.is_empty() {
            return true;
        }
        state
            .log
            .warning("This server is built without the interface for compiled modules: aborting");
        false
    }
}

pub mod watches {
    use super::State;

    /// No descriptor is ever watched.
    pub fn serve(_: &mut State) -> bool {
        false
    }
}

pub mod fork {
    use super::State;

    /// There is no child.
    pub fn cron(_: &mut State) {}

    /// There is no child.
    pub fn end(_: &mut State) {}
}

pub mod timers {
    use super::{Ms, State};

    /// No timer is ever due.
    pub fn fire(_: &mut State) {}

    /// No timer is ever due.
    pub fn next_deadline(_: &State) -> Option<Ms> {
        None
    }
}
