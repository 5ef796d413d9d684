//! A walk over the entries of a stream, from one ID to another, either way.
//!
//! Mirrors: `streamIterator` of t_stream.c.

use super::block::{DELETED, Walk};
use super::{Blocks, StreamId};
use crate::collections::listpack::LpEntry;

/// The entries between two IDs, both included. One is taken with [`Entries::next`], its fields then with
/// [`Entries::field`]; those not taken are passed over.
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    blocks: &'a Blocks,
    from: StreamId,
    to: StreamId,
    back: bool,
    /// The block to be entered next.
    block: Option<u64>,
    walk: Option<Walk<'a>>,
}

/// An entry, without its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its ID.
    pub id: StreamId,
    /// Number of its fields.
    pub fields: usize,
}

impl<'a> Entries<'a> {
    pub(super) fn new(blocks: &'a Blocks, from: StreamId, to: StreamId, back: bool) -> Self {
        let block = match back {
            false => Some(blocks.floor(from).unwrap_or(0)),
            true => blocks.floor(to),
        };
        Entries {
            blocks,
            from,
            to,
            back,
            block: block.filter(|_| from <= to),
            walk: None,
        }
    }

    /// The next entry.
    #[allow(clippy::should_implement_trait)] // An entry's fields are read from the walk itself.
    pub fn next(&mut self) -> Option<Entry> {
        loop {
            let Some(walk) = &mut self.walk else {
                let (base, block) = self.blocks.nth(self.block?)?;
                self.block = match self.back {
                    false => self.block.map(|index| index + 1),
                    true => self.block.and_then(|index| index.checked_sub(1)),
                };
                self.walk = Walk::new(block, base, self.back);
                continue;
            };
            let Some(found) = walk.next() else {
                self.walk = None;
                continue;
            };
            if found.flags & DELETED != 0 {
                continue;
            }
            let (early, late) = match self.back {
                false => (found.id < self.from, found.id > self.to),
                true => (found.id > self.to, found.id < self.from),
            };
            if early {
                continue;
            }
            if late {
                self.block = None;
                self.walk = None;
                return None;
            }
            return Some(Entry {
                id: found.id,
                fields: found.pairs,
            });
        }
    }

    /// The next field of the entry, and its value. A damaged entry may have fewer than it counts.
    #[inline]
    pub fn field(&mut self) -> Option<(LpEntry<'a>, LpEntry<'a>)> {
        self.walk.as_mut()?.field()
    }
}
