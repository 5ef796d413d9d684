//! Whether writes may go on when the data set could not be saved. The gate asks before each write.
//!
//! Mirrors: writeCommandsDeniedByDiskError() of server.c.
//! Differs: in nothing; the words are Redis's.

use crate::resp::Error;
use crate::state::State;

/// Whether writes must be refused because nothing could be saved.
#[doc(alias = "writeCommandsDeniedByDiskError")]
#[inline]
pub fn cannot_persist(state: &State) -> bool {
    let persistence = &state.persistence;
    save_failed(state) || !persistence.aof.is_well() && !persistence.backup.has_own_stream()
}

#[inline]
pub fn save_failed(state: &State) -> bool {
    state.persistence.stats.last_bgsave_failed
        && state.config.stop_writes_on_bgsave_error
        && !state.config.save.is_empty()
}

/// The error for a client that writes while the data set cannot be saved.
pub fn persist_error(state: &State) -> Error {
    match state.persistence.aof.error() {
        Some(reason) if !save_failed(state) => {
            Error::coded(format!("MISCONF Errors writing to the AOF file: {reason}"))
        }
        _ => Error::MisConf,
    }
}

/// The error for a script that may write while the data set cannot be saved.
pub fn persist_error_of_script(state: &State) -> Error {
    let (how, reason) = match state.persistence.aof.error() {
        Some(reason) if !save_failed(state) => {
            ("persist data to AOF", format!(" AOF error: {reason}"))
        }
        _ => ("save RDB snapshots", String::new()),
    };
    Error::coded(format!(
        "MISCONF Redis is configured to {how}, but it's currently unable to persist to disk. \
         Writable scripts are blocked. Use 'no-writes' flag for read only scripts.{reason}"
    ))
}
