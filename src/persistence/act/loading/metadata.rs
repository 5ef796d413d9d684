//! Metadata of keys that comes from a file or a payload is given to its classes.
//!
//! Mirrors: rdbLoadKeyMetadata() and rdbLoadSkipMetaIfAllowed() of keymeta.c.

use crate::keyspace::DbId;
use crate::persistence::rdb::Reason;
use crate::state::State;
use crate::types::meta::{Meta, RawMeta};

/// Lines in the log about metadata that was left out, for one file.
const NOTICES: u32 = 10;

/// Makes metadata of what a file has for a key; `None` when nothing of it is left. Without its class, or with one that does
/// not load, metadata is left out if the file says that it may be; `told` counts the lines in the log about that.
///
/// # Errors
/// Metadata that may not be left out, or that its class refuses. The log has the reason.
pub fn realise(
    state: &mut State,
    raw: Vec<RawMeta>,
    db: DbId,
    key: &[u8],
    told: &mut u32,
) -> Result<Option<Meta>, Reason> {
    let mut parts = Vec::with_capacity(raw.len());
    for raw in raw {
        if state.modules.loads_metadata(raw.name()) {
            parts.push(raw);
            continue;
        }
        let name = raw.name();
        let name = String::from_utf8_lossy(&name);
        if !raw.may_be_ignored() {
            state.log.warning(format_args!(
                "RDB load key metadata failed: Class '{name}' not registered or missing rdb_load()."
            ));
            return Err(Reason::Corrupt("The class of a key's metadata is missing"));
        }
        if *told < NOTICES {
            *told += 1;
            state.log.notice(format_args!(
                "Skipping metadata for class '{name}' (not registered or missing rdb_load)"
            ));
        }
    }
    if parts.is_empty() {
        return Ok(None);
    }
    let made = state
        .module_doors
        .and_then(|doors| (doors.realise_meta)(state, &parts, db, key));
    made.ok_or(Reason::Corrupt("The metadata of a key could not be read"))
}
