//! Slot migrations in RDB files: the task that is under way is written beside the keys, so that the keys of slots that are
//! still on their way are known for such wherever the file is loaded.
//!
//! ```text
//!   AUX  cluster-asm-task  <id>:<source>:<destination>:import:<state>:0-99
//!
//!   a replica, full synchronisation     hides the keys that came so far, as its primary does
//!   a primary that ended in the middle  deletes them when it starts again: the source has them all
//! ```
//!
//! Mirrors: asmDumpActiveImportTask() and asmReplicaHandleMasterTask() of cluster_asm.c.
//! Differs: the field is not written into the base of an append-only file, whose increments do not tell of the task's end.

use crate::cluster::migration::Task;
use crate::state::State;

/// The task under way, here or at this replica's primary, as a file tells of it.
pub fn text(state: &State) -> Option<String> {
    let machine = state.cluster.machine()?;
    let migrations = &state.cluster.migrations;
    match machine.myself().is_replica() {
        true => migrations.heard_task().map(|task| task.told()),
        false => migrations.told_tasks().next(),
    }
}

/// A data set was loaded; `text` is the task that its file told of. `from_primary`: it is the data set of the primary, who
/// would have told of a task that is under way.
pub fn loaded(state: &mut State, text: Option<&[u8]>, from_primary: bool) {
    let Some(machine) = state.cluster.machine() else {
        return;
    };
    // A primary learns nothing from a file that it loads later (DEBUG RELOAD): it knows its own tasks.
    if machine.myself().is_primary() && state.cluster.data_checked {
        return;
    }
    let wall = state.clock.unix_ms().max(0) as u64;
    match text.map(Task::of_text) {
        Some(Some(task)) => state.cluster.migrations.heard(wall, task),
        Some(None) => state
            .log
            .warning("The slot migration task of the data set cannot be read"),
        None if from_primary => _ = state.cluster.migrations.end_heard(wall),
        None => {}
    }
}
