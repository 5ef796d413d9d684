//! Tasks that a replica hears of from its primary: a replica that takes over ends what its primary had begun.
//!
//! ```text
//!   CLUSTER SYNCSLOTS CONF ASM-TASK <id>:<source>:<destination>:import:<state>:0-99 200-200
//! ```
//!
//! The primary says it in its stream when a task begins and when it ends. Until then the replica hides the keys that
//! come, as its primary does. When it is promoted in between, an import has failed: its keys go.
//!
//! Mirrors: asmTaskSerialize(), asmReplicaHandleMasterTask() and asmFinalizeMasterTask() of cluster_asm.c.

use super::{Migrations, Operation, Task, TaskId};
use crate::cluster::id::NodeId;
use crate::cluster::slots::SlotSet;
use crate::util::crc16::SLOTS;
use crate::util::num;

/// The states that a primary names.
const STATES: [&str; 22] = [
    "connecting",
    "auth-reply",
    "send-handshake",
    "handshake-reply",
    "send-syncslots",
    "syncslots-reply",
    "init-rdbchannel",
    "rdbchannel-request",
    "rdbchannel-reply",
    "accumulate-buffer",
    "ready-to-stream",
    "streaming-buffer",
    "wait-stream-eof",
    "takeover",
    "wait-rdbchannel",
    "wait-bgsave-start",
    "send-bulk-and-stream",
    "send-stream",
    "handoff-prep",
    "handoff",
    "stream-eof",
    "none",
];

/// The states in which a task has ended.
const ENDS: [&str; 3] = ["completed", "failed", "canceled"];

impl Task {
    /// The task in one word, for replicas.
    pub fn told(&self) -> String {
        let (id, source, dest) = (self.id, self.source, self.dest);
        let (operation, state) = (self.operation.name(), self.state);
        let slots = self.slots_text();
        format!("{id}:{source}:{dest}:{operation}:{state}:{slots}")
    }

    /// Reads [`Task::told`]; `None` if it is something else.
    pub fn of_text(text: &[u8]) -> Option<Task> {
        let mut parts = text.splitn(6, |byte| *byte == b':');
        let mut next = || parts.next();
        let id = TaskId::parse(next()?)?;
        let source = NodeId::parse(next()?)?;
        let dest = NodeId::parse(next()?)?;
        let operation = match next()? {
            b"import" => Operation::Import,
            b"migrate" => Operation::Migrate,
            _ => return None,
        };
        let word = next()?;
        let known = STATES.iter().chain(&ENDS);
        let state = known.copied().find(|state| state.as_bytes() == word)?;
        let slots = slots_of_text(next()?)?;
        let mut task = Task::new(id, slots, source, dest, operation);
        task.state = state;
        Some(task)
    }

    pub(super) fn has_ended(&self) -> bool {
        ENDS.contains(&self.state)
    }
}

/// Reads `0-99 200-200`.
fn slots_of_text(text: &[u8]) -> Option<SlotSet> {
    let mut slots = SlotSet::new();
    for range in text.split(|byte| *byte == b' ') {
        let mut ends = range.splitn(2, |byte| *byte == b'-');
        let mut end = || num::parse_u64(ends.next()?).filter(|slot| *slot < u64::from(SLOTS));
        let (first, last) = (end()?, end()?);
        if first > last {
            return None;
        }
        for slot in first..=last {
            if !slots.insert(slot as u16) {
                return None;
            }
        }
    }
    (!slots.is_empty()).then_some(slots)
}

impl Migrations {
    /// The primary tells of its task.
    pub fn heard(&mut self, wall: u64, mut task: Task) {
        let before = self.heard.take().filter(|old| old.id == task.id);
        task.created = before.map_or(wall, |old| old.created);
        task.started = Some(task.created);
        self.ended.retain(|old| old.id != task.id);
        match task.has_ended() {
            true => {
                task.ended = Some(wall);
                self.archive(task);
            }
            false => self.heard = Some(task),
        }
    }

    /// The task of the primary.
    pub fn heard_task(&self) -> Option<&Task> {
        self.heard.as_ref()
    }

    /// This replica is the primary now, or follows another: the task of the old primary has ended. Returns it.
    pub fn end_heard(&mut self, wall: u64) -> Option<Task> {
        self.end_heard_as(wall, "failed", "the primary that ran the task has gone")
    }

    /// The slots of the primary's import are the primary's: whatever it has told, the import is over.
    pub fn complete_heard(&mut self, wall: u64) {
        self.end_heard_as(wall, "completed", "");
    }

    fn end_heard_as(&mut self, wall: u64, state: &'static str, error: &str) -> Option<Task> {
        let mut task = self.heard.take()?;
        task.state = state;
        error.clone_into(&mut task.last_error);
        task.ended = Some(wall);
        self.archive(task.clone());
        Some(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = "7d7aecb8dd2aeb132005a256871ce5c16b5d5e5d:02424b4f25ea40d67df64b92906281a06bf0029e:\
                        dc8b582fad2bb837a1d2bc149a90076a9bc51822:import:connecting:0-99 200-200";

    /// As a real 8.6 writes it.
    #[test]
    fn a_task_is_told_in_redis_words() {
        let task = Task::of_text(TOLD.as_bytes()).expect("a task");
        assert_eq!((task.operation, task.slots.len()), (Operation::Import, 101));
        assert_eq!(task.told(), TOLD);
        for (from, to) in [
            ("import", "export"),
            ("connecting", "dreaming"),
            ("0-99", "99-0"),
            ("200-200", "200-16384"),
            ("200-200", "50-60"),
            ("200-200", "200"),
            ("7d7aecb8", "7D7AECB8"),
        ] {
            let damaged = TOLD.replace(from, to);
            assert!(Task::of_text(damaged.as_bytes()).is_none(), "{damaged}");
        }
        for end in 0..TOLD.len() {
            // Shorter texts are no panic.
            let _ = Task::of_text(&TOLD.as_bytes()[..end]);
        }
    }

    #[test]
    fn a_task_of_the_primary_ends_with_it() {
        let mut migrations = Migrations::default();
        let task = || Task::of_text(TOLD.as_bytes()).expect("a task");
        migrations.heard(5, task());
        assert!(migrations.hidden().is_some_and(|slots| slots.has(200)));
        assert_eq!(migrations.tasks().count(), 1);
        let ended = migrations.end_heard(7).expect("it was under way");
        assert_eq!(
            (ended.state, ended.created, ended.ended),
            ("failed", 5, Some(7))
        );
        assert!(migrations.hidden().is_none() && migrations.end_heard(8).is_none());
        migrations.heard(9, task());
        let mut completed = task();
        completed.state = "completed";
        migrations.heard(11, completed);
        assert!(migrations.hidden().is_none());
        // One entry for one task, however often it was told.
        assert_eq!(migrations.tasks().count(), 1);
    }
}
