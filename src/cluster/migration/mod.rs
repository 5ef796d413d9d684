//! Atomic slot migration: slots move to another node as a whole, and change hands in one moment.
//!
//! The node that wants slots is the *destination*; it asks the *source*, their owner, over two connections to the
//! source's client port:
//!
//! ```text
//!   destination                                             source
//!   main  AUTH "internal connection" <secret>         ─►
//!                                                     ◄─    +OK
//!         CLUSTER SYNCSLOTS CONF NODE-ID <id>         ─►
//!                                                     ◄─    +OK
//!         CLUSTER SYNCSLOTS SYNC <task> 0 99          ─►
//!                                                     ◄─    +RDBCHANNELSYNCSLOTS
//!   rdb   AUTH …; CLUSTER SYNCSLOTS RDBCHANNEL <task> ─►
//!                                                     ◄─    +SLOTSSNAPSHOT, then the keys as commands: SET, RESTORE, …
//!                                                     ◄─    CLUSTER SYNCSLOTS SNAPSHOT-EOF
//!   main                                              ◄─    each write of those slots since the snapshot, from the
//!                                                           moment of the snapshot on; kept until the keys are here
//!         CLUSTER SYNCSLOTS ACK <state> <bytes>       ─►    … the rest is short: writes of those slots are paused
//!                                                     ◄─    CLUSTER SYNCSLOTS STREAM-EOF
//!   the destination claims the slots with a new epoch, saves it, and tells everybody
//!                                                           … the claim is seen: writes go on (MOVED), the keys go
//! ```
//!
//! Both ends are machines without sockets, clock or keys: [`import`] is the destination's, [`export`] the source's.
//! `cluster/act/migration.rs` carries their acts out.
//!
//! Invariants:
//! - A node takes part in one task at a time.
//! - The destination claims the slots only after it has applied every byte of the stream up to STREAM-EOF.
//! - The source deletes keys only after it has seen the claim; before, whatever fails, they are served here.
//!
//! Mirrors: cluster_asm.c (of Redis 8.4), with its words on the wire and in CLUSTER MIGRATION STATUS.
//! Differs: the snapshot is read by a thread, not a fork; only writes of the slots that move are paused.

pub mod channels;
pub mod export;
mod heard;
pub mod import;
mod task;

pub use task::{Operation, Task, TaskId};

use std::collections::VecDeque;

use super::id::NodeId;
use super::machine::Level;
use super::slots::SlotSet;
use export::Export;
use import::Import;

/// Finished tasks that are remembered unless an option says otherwise (`cluster-slot-migration-max-archived-tasks`).
pub const ARCHIVED: usize = 32;

/// One of the two connections of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The dialogue, and the stream of writes.
    Main,
    /// The snapshot of the keys.
    Rdb,
}

impl Channel {
    /// The channel's name in errors and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Channel::Main => "main",
            Channel::Rdb => "RDB",
        }
    }
}

/// An act that a task wants done, in the order given.
#[derive(Debug, PartialEq, Eq)]
pub enum Act {
    /// Destination: connect to the source's client port.
    Dial(Channel),
    /// Destination: say the secret of the cluster on a channel (`AUTH "internal connection" <secret>`).
    Auth(Channel),
    /// Destination: send `CLUSTER SYNCSLOTS` and these words on a channel.
    Send(Channel, Vec<Vec<u8>>),
    /// Destination: from here on a channel carries commands; a client of its own reads and applies them.
    Apply(Channel),
    /// Close a channel, whichever end it is, and the client behind it.
    Close(Channel),
    /// Destination: claim the slots; [`import::Input::Claimed`] says how it went.
    Claim(SlotSet),
    /// Delete the keys of slots that are not, or no longer, this node's.
    Trim(SlotSet),
    /// Source: answer a request.
    Reply(Channel, &'static str),
    /// Source: take a snapshot of the slots, stream their writes to the main channel from this moment on, and write
    /// the keys to the other.
    Snapshot(SlotSet),
    /// Source: stop the snapshot and the stream.
    Stop,
    /// Source: hold writes of the slots back until [`Act::Resume`].
    Pause(SlotSet),
    /// Source: writes go on.
    Resume,
    /// Source: the stream ends here.
    EndStream,
    /// Tell replicas of a task that began or ended.
    Tell(String),
    /// A line for the log.
    Log(Level, String),
}

/// The options of migrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// `cluster-slot-migration-handoff-max-lag-bytes`: the source pauses writes when so few bytes are not applied yet.
    pub max_lag: u64,
    /// `cluster-slot-migration-write-pause-timeout`, in milliseconds.
    pub pause_ms: u64,
    /// `cluster-slot-migration-sync-buffer-drain-timeout`, in milliseconds.
    pub drain_ms: u64,
    /// `repl-timeout`, in milliseconds: so long the other end may be silent.
    pub silence_ms: u64,
    /// `cluster-slot-migration-max-archived-tasks`.
    pub archived: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max_lag: 1 << 20,
            pause_ms: 10_000,
            drain_ms: 60_000,
            silence_ms: 60_000,
            archived: ARCHIVED,
        }
    }
}

/// The migrations of a node: the one under way and those that ended.
#[derive(Debug, Default)]
pub struct Migrations {
    /// The options in force.
    pub options: Options,
    /// The task in which this node is the destination.
    pub import: Option<Import>,
    /// The task in which this node is the source.
    pub export: Option<Export>,
    /// The task of the primary, on a replica.
    heard: Option<Task>,
    /// Tasks that ended, the newest first.
    ended: VecDeque<Task>,
    acts: Vec<Act>,
}

impl Migrations {
    /// Whether a task is under way; one that failed at the source may be replaced.
    pub fn is_busy(&self) -> bool {
        let exports = self
            .export
            .as_ref()
            .is_some_and(|export| !export.has_failed());
        self.import.is_some() || exports
    }

    /// The acts since the last call.
    pub fn take_acts(&mut self) -> Vec<Act> {
        std::mem::take(&mut self.acts)
    }

    /// Begins to import slots. The caller has checked that nothing stands against it.
    pub fn begin_import(&mut self, now: u64, wall: u64, task: Task) {
        if let Some(failed) = self.export.take() {
            self.archive(failed.into_task(wall));
        }
        let (import, acts) = Import::begin(now, wall, task);
        self.acts.push(Act::Tell(import.task().told()));
        self.import = Some(import);
        self.acts.extend(acts);
    }

    /// An event of the task in which this node is the destination. Ignored without one.
    pub fn import_step(&mut self, now: u64, wall: u64, input: import::Input<'_>) {
        let Some(import) = &mut self.import else {
            return;
        };
        self.acts
            .extend(import.step(&self.options, now, wall, input));
        if import.is_over()
            && let Some(import) = self.import.take()
        {
            let task = import.into_task();
            self.acts.push(Act::Tell(task.told()));
            self.archive(task);
        }
    }

    /// Whether a destination may begin a task of this name: no other is under way.
    pub fn may_export(&self, id: TaskId) -> bool {
        let again = |export: &Export| export.has_failed() || export.task().id == id;
        self.import.is_none() && self.export.as_ref().is_none_or(again)
    }

    /// A destination asks for slots (SYNCSLOTS SYNC). The caller has checked that they are this node's, and that no other
    /// task is under way.
    pub fn begin_export(&mut self, now: u64, wall: u64, task: Task) {
        if let Some(old) = self.export.take() {
            let old = old.into_task(wall);
            if old.id != task.id {
                self.archive(old);
            }
        }
        let (export, acts) = Export::begin(now, wall, task);
        self.acts.push(Act::Tell(export.task().told()));
        self.export = Some(export);
        self.acts.extend(acts);
    }

    /// An event of the task in which this node is the source. Ignored without one.
    pub fn export_step(&mut self, now: u64, wall: u64, input: export::Input<'_>) {
        let Some(export) = &mut self.export else {
            return;
        };
        self.acts
            .extend(export.step(&self.options, now, wall, input));
        if export.is_over()
            && let Some(export) = self.export.take()
        {
            let task = export.into_task(wall);
            self.acts.push(Act::Tell(task.told()));
            self.archive(task);
        }
    }

    /// Tells replicas once more of the task that is under way: one of them has begun to follow.
    pub fn tell_again(&mut self) {
        let told: Vec<String> = self.told_tasks().collect();
        self.acts.extend(told.into_iter().map(Act::Tell));
    }

    /// The tasks of this node that are under way, in the words for replicas and files.
    pub fn told_tasks(&self) -> impl Iterator<Item = String> {
        let import = self.import.iter().map(Import::task);
        let export = self.export.iter().map(Export::task);
        let tasks = import.chain(export).filter(|task| !task.has_ended());
        tasks.map(Task::told)
    }

    /// Cancels the task of this name, or whatever runs. Returns how many there were.
    pub fn cancel(&mut self, now: u64, wall: u64, id: Option<&[u8]>, why: &str) -> usize {
        let named = |task: &Task| id.is_none_or(|id| task.id.as_bytes() == id);
        let mut cancelled = 0;
        if self
            .import
            .as_ref()
            .is_some_and(|import| named(import.task()))
        {
            self.import_step(now, wall, import::Input::Cancel(why));
            cancelled += 1;
        }
        if self
            .export
            .as_ref()
            .is_some_and(|export| named(export.task()))
        {
            self.export_step(now, wall, export::Input::Cancel(why));
            cancelled += 1;
        }
        cancelled
    }

    /// Whether a task is under way, or failed and may be tried again.
    pub fn wakes(&self) -> bool {
        self.import.is_some() || self.export.is_some()
    }

    /// All tasks, the newest first.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        let import = self.import.iter().map(Import::task);
        let export = self.export.iter().map(Export::task);
        import.chain(export).chain(&self.heard).chain(&self.ended)
    }

    /// The slots whose keys are here, but not yet this node's: clients do not see them.
    pub fn hidden(&self) -> Option<&SlotSet> {
        let heard = self.heard.as_ref();
        let heard = heard.filter(|task| task.operation == Operation::Import);
        let own = self.import.as_ref().map(Import::slots);
        own.or_else(|| heard.map(|task| &task.slots))
    }

    fn archive(&mut self, task: Task) {
        self.ended.push_front(task);
        self.ended.truncate(self.options.archived);
    }
}

/// The refusal of an import, in the order in which Redis looks. `owner`: whose a slot is.
pub fn refuse_import(
    slots: &SlotSet,
    me: NodeId,
    owner: impl Fn(u16) -> Option<NodeId>,
) -> Result<NodeId, String> {
    let mut source = None;
    for slot in slots.iter() {
        let Some(of) = owner(slot) else {
            return Err(format!("slot has no owner: {slot}"));
        };
        match source {
            None => source = Some(of),
            Some(other) if other != of => {
                return Err("slots belong to different source nodes".to_owned());
            }
            Some(_) => {}
        }
    }
    match source {
        Some(source) if source == me => {
            Err("this node is already the owner of the slot range".to_owned())
        }
        Some(source) => Ok(source),
        None => Err("no slots".to_owned()),
    }
}

#[cfg(test)]
mod tests;
