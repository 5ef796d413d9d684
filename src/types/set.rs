//! Sets: the encodings.
//!
//! Mirrors: the upper half of t_set.c.

use crate::collections::intset::Intset;
use crate::collections::shared::Shared;
use crate::collections::table::{NoObject, Table};

/// A set of byte strings.
#[derive(Debug, Clone)]
pub enum Set {
    /// Integers only, few of them.
    Intset(Intset),
    /// Members are keys without values.
    Table(Shared<Table<NoObject>>),
}

impl Set {
    pub fn len(&self) -> usize {
        match self {
            Set::Intset(set) => set.len(),
            Set::Table(table) => table.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn encoding(&self) -> &'static str {
        match self {
            Set::Intset(_) => "intset",
            Set::Table(_) => "hashtable",
        }
    }

    pub(super) fn allocated_bytes(&self, samples: usize) -> usize {
        match self {
            Set::Intset(set) => set.as_bytes().len(),
            Set::Table(table) => {
                let looked_at = if samples == 0 { usize::MAX } else { samples };
                let (mut seen, mut bytes) = (0, 0);
                for entry in table.iter().take(looked_at) {
                    seen += 1;
                    bytes += entry.entry_bytes();
                }
                table.node_bytes() + (bytes * table.len()).checked_div(seen).unwrap_or(0)
            }
        }
    }

    pub(super) fn free_effort(&self) -> usize {
        match self {
            Set::Intset(_) => 1,
            Set::Table(table) => table.len(),
        }
    }
}
