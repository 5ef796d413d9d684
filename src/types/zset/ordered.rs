//! A large sorted set: a table that finds scores by name, a tree that keeps the order.
//!
//! ```text
//!   table   hash(member) -> [ entry: member, score ] <-+
//!   tree    (score, *) ... (score, *) --------------- -+  the entry itself, counted, not a copy of the member
//! ```
//!
//! The score in the entry takes 1, 2 or 4 bytes if it is a whole number that fits, 4 if it is an `f32`, else 8: next
//! to a member of 16 bytes that decides whether the entry fits the allocator's 32-byte class.
//!
//! Invariant: table and tree hold the same members with the same scores, and the tree's handle of a member is one of
//! the entry in the table, except in a table whose entry is just being changed.
//!
//! Mirrors: `zset` of server.h: its dict and its skiplist, which share the member's string.

use std::ops::Range;

use super::{CURSOR_BITS, Scored};
use crate::collections::btree::{self, RankTree};
use crate::collections::listpack::LpEntry;
use crate::collections::table::{
    Deadline, Entry, Handle, NewValue, NoObject, StrRef, Table, ValueRef,
};

/// A member in its place.
pub(super) type Ranked = btree::Ranked<Handle<NoObject>>;

/// Dropped before the table, so that an entry of the table with one owner may be written.
#[derive(Debug, Clone)]
pub(super) struct Ordered {
    tree: RankTree<Handle<NoObject>>,
    table: Table<NoObject>,
}

/// A score as an entry stores it.
struct Stored {
    bytes: [u8; 8],
    form: Form,
}

enum Form {
    Int(i32),
    /// A text that takes so many of the bytes.
    Bytes(usize),
}

impl Stored {
    #[inline]
    fn of(score: f64) -> Stored {
        // Saturating casts; what does not survive the way back, minus zero too, is stored in full.
        let (whole, short) = (score as i32, score as f32);
        if f64::from(whole).to_bits() == score.to_bits() {
            return Stored {
                bytes: [0; 8],
                form: Form::Int(whole),
            };
        }
        if f64::from(short).to_bits() == score.to_bits() {
            let mut bytes = [0; 8];
            bytes[..4].copy_from_slice(&short.to_le_bytes());
            return Stored {
                bytes,
                form: Form::Bytes(4),
            };
        }
        Stored {
            bytes: score.to_le_bytes(),
            form: Form::Bytes(8),
        }
    }

    #[inline]
    fn value(&self) -> NewValue<'_, NoObject> {
        match self.form {
            Form::Int(whole) => NewValue::Int(whole.into()),
            Form::Bytes(len) => NewValue::Bytes(&self.bytes[..len]),
        }
    }
}

#[inline]
fn score_of(entry: &Entry<'_, NoObject>) -> f64 {
    let ValueRef::String(stored) = entry.value() else {
        unreachable!("there are no objects")
    };
    match stored {
        StrRef::Int(whole) => whole as f64,
        other => {
            let bytes = other.stored_bytes().expect("not an integer");
            match <[u8; 8]>::try_from(bytes) {
                Ok(bytes) => f64::from_le_bytes(bytes),
                Err(_) => {
                    let short = bytes.try_into().expect("scores have 4 or 8 bytes");
                    f32::from_le_bytes(short).into()
                }
            }
        }
    }
}

impl Ordered {
    pub(super) fn new(seed: u64) -> Ordered {
        Ordered {
            tree: RankTree::new(),
            table: Table::new(seed),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn table(&self) -> &Table<NoObject> {
        &self.table
    }

    pub(super) fn tree(&self) -> &RankTree<Handle<NoObject>> {
        &self.tree
    }

    pub(super) fn allocated_bytes(&self, samples: usize) -> usize {
        let looked_at = if samples == 0 { usize::MAX } else { samples };
        let (mut seen, mut bytes) = (0, 0);
        for ranked in self.tree.iter().take(looked_at) {
            seen += 1;
            bytes += ranked.member.entry_bytes();
        }
        let entries = (bytes * self.len()).checked_div(seen).unwrap_or(0);
        self.table.node_bytes() + self.tree.allocated_bytes() + entries
    }

    #[inline]
    pub(super) fn score(&self, member: &[u8]) -> Option<f64> {
        Some(score_of(&self.table.find(member)?))
    }

    pub(super) fn rank(&self, member: &[u8]) -> Option<(u64, f64)> {
        let score = self.score(member)?;
        Some((self.tree.rank(score, member), score))
    }

    /// Adds a member that is not there.
    pub(super) fn insert(&mut self, member: &[u8], score: f64) {
        let handle = self.enter(member, score);
        self.tree.insert(score, handle);
    }

    fn enter(&mut self, member: &[u8], score: f64) -> Handle<NoObject> {
        let hash = self.table.hash(member);
        self.table.add(hash, member, Stored::of(score).value())
    }

    /// As [`Ordered::insert`], at an end if it belongs there; `false` if the member was there.
    pub(super) fn push(&mut self, member: &[u8], score: f64) -> bool {
        if self.table.find(member).is_some() {
            return false;
        }
        let handle = self.enter(member, score);
        let is_last = self.tree.last().is_none_or(|last| {
            last.score < score || (last.score == score && last.member.key() < member)
        });
        if is_last {
            self.tree.push_back(score, handle);
        } else {
            self.tree.insert(score, handle);
        }
        true
    }

    /// Moves a member that has the score `old`.
    pub(super) fn rescore(&mut self, member: &[u8], old: f64, new: f64) {
        // The tree lets go first: then the table may write the entry in place.
        drop(self.tree.remove(old, member));
        let Some(mut entry) = self.table.find_mut(member) else {
            return;
        };
        entry.set(Stored::of(new).value(), Deadline::Keep);
        let handle = entry.entry().handle();
        self.tree.insert(new, handle);
    }

    /// Removes a member that has this score.
    pub(super) fn remove(&mut self, member: &[u8], score: f64) {
        self.tree.remove(score, member);
        self.table.delete(member);
    }

    pub(super) fn remove_range(&mut self, ranks: Range<u64>) {
        let Ordered { tree, table } = self;
        if ranks.start == 0 && ranks.end >= tree.len() {
            *self = Ordered::new(table.seed());
            return;
        }
        tree.remove_range(ranks, |ranked| {
            table.delete(ranked.member.key());
        });
    }

    pub(super) fn scan(&self, cursor: u64, count: usize, f: &mut dyn FnMut(Scored<'_>)) -> u64 {
        let next = self.table.scan(cursor, CURSOR_BITS, count, &mut |entry| {
            f(Scored {
                member: LpEntry::Str(entry.key()),
                score: score_of(&entry),
            });
        });
        next.unwrap_or(0)
    }

    // ---- A table without its tree, while scores are collected.

    pub(super) fn merge(&mut self, member: &[u8], new: f64, merge: impl FnOnce(f64) -> f64) {
        let hash = self.table.hash(member);
        match self.table.get_mut(hash, member) {
            Some(mut entry) => {
                let merged = merge(score_of(&entry.entry()));
                entry.set(Stored::of(merged).value(), Deadline::Keep);
            }
            None => {
                self.table.add(hash, member, Stored::of(new).value());
            }
        }
    }

    pub(super) fn forget(&mut self, member: &[u8]) {
        self.table.delete(member);
    }

    /// Builds the tree.
    pub(super) fn arrange(&mut self) {
        let mut all: Vec<Ranked> = Vec::with_capacity(self.table.len());
        all.extend(self.table.iter().map(|entry| Ranked {
            score: score_of(&entry),
            member: entry.handle(),
        }));
        all.sort_unstable();
        for ranked in all {
            self.tree.push_back(ranked.score, ranked.member);
        }
    }
}
