//! Modules hear of slots that move, add commands to what is sent, and may hold back the deletion of keys that left.
//!
//! Mirrors: asmNotifyStateChange(), the REDISMODULE_EVENT_CLUSTER_SLOT_MIGRATION events of cluster_asm.c.

use crate::cluster::migration::{Channel, Operation};
use crate::cluster::slots::SlotSet;
use crate::modules::kinds::{slot_migration, slot_trim};
use crate::modules::{EventData, EventId};
use crate::state::State;

/// Tells of the newest task, if it has begun, failed or ended since the last call.
pub(super) fn tell_of_tasks(state: &mut State) {
    if !state.modules.hears(EventId::SlotMigration) {
        return;
    }
    let Some(task) = state.cluster.migrations.tasks().next() else {
        return;
    };
    let sub = match (task.operation, task.state) {
        (Operation::Import, "failed" | "canceled") => slot_migration::IMPORT_FAILED,
        (Operation::Import, "completed") => slot_migration::IMPORT_COMPLETED,
        (Operation::Import, _) => slot_migration::IMPORT_STARTED,
        (Operation::Migrate, "failed" | "canceled") => slot_migration::MIGRATE_FAILED,
        (Operation::Migrate, "completed") => slot_migration::MIGRATE_COMPLETED,
        (Operation::Migrate, _) => slot_migration::MIGRATE_STARTED,
    };
    let told = Some((task.id, sub));
    let before = state.cluster.channels.modules_told;
    // A task that failed at once has begun as well.
    let started = match task.operation {
        Operation::Import => slot_migration::IMPORT_STARTED,
        Operation::Migrate => slot_migration::MIGRATE_STARTED,
    };
    if told == before {
        return;
    }
    let task = task.clone();
    state.cluster.channels.modules_told = told;
    if sub != started && before.is_none_or(|(id, _)| id != task.id) {
        state.tell_modules(EventId::SlotMigration, started, EventData::Moving(&task));
    }
    state.tell_modules(EventId::SlotMigration, sub, EventData::Moving(&task));
}

/// Asks modules for commands that the new owner of slots runs before it gets their keys, and sends them.
pub(super) fn send_commands(state: &mut State, slots: &SlotSet) {
    if !state.modules.hears(EventId::SlotMigration) {
        return;
    }
    let task = state.cluster.migrations.export.as_ref();
    let Some(task) = task.map(|export| export.task().clone()) else {
        return;
    };
    state.modules.slot_commands = Some((slots.clone(), Vec::new()));
    let sub = slot_migration::MODULE_PROPAGATE;
    state.tell_modules(EventId::SlotMigration, sub, EventData::Moving(&task));
    let Some((_, commands)) = state.modules.slot_commands.take() else {
        return;
    };
    let mut bytes = Vec::new();
    for command in &commands {
        command.as_argv().encode(&mut bytes);
    }
    if let Some(client) = state.cluster.channels.end(Channel::Rdb).client {
        state.clients.send(client, |reply| reply.raw(&bytes));
    }
}

/// Tells that the deletion of keys begins.
pub(super) fn trim_began(state: &mut State, slots: &SlotSet) {
    state.cluster.channels.trimmed = slots.clone();
    let data = EventData::Slots(slots);
    state.tell_modules(EventId::SlotTrim, slot_trim::STARTED, data);
}

/// Tells that all keys are deleted.
pub(super) fn trim_ended(state: &mut State) {
    let slots = std::mem::take(&mut state.cluster.channels.trimmed);
    let data = EventData::Slots(&slots);
    state.tell_modules(EventId::SlotTrim, slot_trim::COMPLETED, data);
}
