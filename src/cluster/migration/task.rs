//! A migration task as people see it: CLUSTER MIGRATION STATUS has one map for each.
//!
//! Mirrors: asmTask of cluster_asm.c.

use std::fmt::Write as _;

use crate::cluster::id::NodeId;
use crate::cluster::slots::SlotSet;

/// A task's name: as a node's, forty characters that the destination made up.
pub type TaskId = NodeId;

/// The part of this node in a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It is the destination.
    Import,
    /// It is the source.
    Migrate,
}

impl Operation {
    /// The word in STATUS and, with a capital, in the log.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Import => "import",
            Operation::Migrate => "migrate",
        }
    }
}

/// A task and how far it is. Times are milliseconds since 1970.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its name.
    pub id: TaskId,
    /// The slots that move.
    pub slots: SlotSet,
    /// Their owner at the start.
    pub source: NodeId,
    /// The node that wants them.
    pub dest: NodeId,
    /// The part of this node.
    pub operation: Operation,
    /// The state in one word.
    pub state: &'static str,
    /// The last failure, empty if there was none.
    pub last_error: String,
    /// How often it began anew.
    pub retries: u64,
    /// When it was asked for.
    pub created: u64,
    /// When the present try began.
    pub started: Option<u64>,
    /// When it ended.
    pub ended: Option<u64>,
    /// How long writes were paused for it, in milliseconds.
    pub write_pause_ms: u64,
}

impl Task {
    /// A task that nothing has been done for.
    pub fn new(
        id: TaskId,
        slots: SlotSet,
        source: NodeId,
        dest: NodeId,
        operation: Operation,
    ) -> Task {
        Task {
            id,
            slots,
            source,
            dest,
            operation,
            state: "none",
            last_error: String::new(),
            retries: 0,
            created: 0,
            started: None,
            ended: None,
            write_pause_ms: 0,
        }
    }

    /// Its slots as text: `0-100 200-200`.
    pub fn slots_text(&self) -> String {
        let mut text = String::new();
        for range in self.slots.ranges() {
            let gap = if text.is_empty() { "" } else { " " };
            let _ = write!(text, "{gap}{}-{}", range.start(), range.end());
        }
        text
    }
}
