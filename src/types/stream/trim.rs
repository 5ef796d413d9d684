//! Trimming: entries go from the front until few enough, or none older than an ID, are left.
//!
//! ```text
//!   [100 live] [100 live] [100 live] [ 37 live ]      MAXLEN 150
//!    whole      whole?     flag 13 as deleted          ~ removes whole blocks only, and stops at the first it may not,
//!                                                     unless references to the entries are to go or to be respected
//! ```
//!
//! Mirrors: `streamTrim()` of t_stream.c.

use super::block::{self, DELETED};
use super::{Log, Name, Stream, StreamId};

/// How far to trim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrimTo {
    /// To so many entries.
    Length(u64),
    /// To entries from this ID on.
    MinId(StreamId),
}

/// The fate of the groups' references to an entry that is to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum References {
    /// They stay.
    #[default]
    Keep,
    /// They go too.
    Drop,
    /// An entry that a group has yet to read or to acknowledge is not deleted.
    Respect,
}

/// A trimming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trim {
    /// How far.
    pub to: TrimTo,
    /// Only as far as whole blocks can go.
    pub approximate: bool,
    /// Entries that may be deleted at most; 0 is all.
    pub limit: u64,
    /// The fate of references to deleted entries.
    pub references: References,
}

/// The result of a trimming.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trimmed {
    /// How many entries went.
    pub entries: u64,
    /// Their IDs, if references had to be looked at.
    pub ids: Vec<StreamId>,
    /// References that were dropped: the group, and the entry that it had delivered.
    pub dropped: Vec<(Name, StreamId)>,
}

impl Trim {
    /// Whether an entry, or a block that ends with it, may stay.
    fn keeps(&self, length: u64, id: StreamId) -> bool {
        match self.to {
            TrimTo::Length(most) => length <= most,
            TrimTo::MinId(min) => id >= min,
        }
    }
}

impl Stream {
    /// Trims, and returns what went. O(blocks removed · log n), plus one block.
    #[doc(alias = "streamTrim")]
    pub fn trim(&mut self, trim: &Trim) -> Trimmed {
        // Most calls find nothing to do, and should copy nothing then.
        let idle = match trim.to {
            TrimTo::Length(most) => self.len() <= most,
            TrimTo::MinId(min) => {
                let first = self.log.blocks.nth(0);
                first.is_none_or(|(id, _)| id >= min)
            }
        };
        if idle {
            return Trimmed::default();
        }
        self.log.make_mut().trim(trim)
    }
}

impl Log {
    fn trim(&mut self, trim: &Trim) -> Trimmed {
        let mut trimmed = Trimmed::default();
        let mut index = 0;
        while let Some((base, lp)) = self.blocks.nth(index) {
            if matches!(trim.to, TrimTo::Length(most) if self.length <= most) {
                break;
            }
            let live = block::live(lp);
            if trim.limit > 0 && trimmed.entries.saturating_add(live) > trim.limit {
                break;
            }
            let whole = match trim.to {
                TrimTo::Length(most) => self.length.saturating_sub(live) >= most,
                TrimTo::MinId(min) => {
                    let last = block::Walk::new(lp, base, true).and_then(|mut walk| walk.next());
                    last.is_none_or(|found| found.id < min)
                }
            };
            if whole && trim.references == References::Keep {
                self.remove_block(index);
                self.length = self.length.saturating_sub(live);
                trimmed.entries = trimmed.entries.saturating_add(live);
                continue;
            }
            // Where references count, Redis looks at each entry, and `~` goes as far as `=`.
            if !whole && trim.approximate && trim.references == References::Keep {
                break;
            }
            let went = self.trim_block(index, trim, &mut trimmed);
            trimmed.entries = trimmed.entries.saturating_add(went);
            if whole && went == live {
                self.remove_block(index);
                continue;
            }
            if !whole {
                break;
            }
            // Entries that groups still need stayed, so the next block has to make up for them.
            index += 1;
        }
        if self.length == 0 {
            self.counters.first_id = StreamId::MIN;
        } else if trimmed.entries > 0 {
            self.find_first();
        }
        trimmed
    }

    /// Removes a block, whose entries are taken from the length before or afterwards. What is left without blocks has no
    /// entries, whatever a broken block from outside claimed: no file may say otherwise.
    pub(super) fn remove_block(&mut self, index: u64) {
        self.blocks.remove(index);
        if self.blocks.len() == 0 {
            self.length = 0;
        }
    }

    /// Flags entries of a block as deleted, from the front, and returns how many. IDs and references are added to
    /// `trimmed`.
    fn trim_block(&mut self, index: u64, trim: &Trim, trimmed: &mut Trimmed) -> u64 {
        let Some((base, lp)) = self.blocks.nth(index) else {
            return 0;
        };
        let mut going = Vec::new();
        let before = trimmed.ids.len();
        let mut walk = block::Walk::new(lp, base, false);
        while let Some(found) = walk.as_mut().and_then(|walk| walk.next()) {
            if trim.keeps(self.length.saturating_sub(going.len() as u64), found.id) {
                break;
            }
            if found.flags & DELETED != 0 {
                continue;
            }
            match trim.references {
                References::Respect if self.is_referenced(found.id) => continue,
                References::Keep => {}
                _ => trimmed.ids.push(found.id),
            }
            going.push((found.at, found.flags));
        }
        if trim.references == References::Drop {
            for id in &trimmed.ids[before..] {
                let groups = self.drop_references(*id);
                trimmed
                    .dropped
                    .extend(groups.into_iter().map(|group| (group, *id)));
            }
        }
        if going.is_empty() {
            return 0;
        }
        if let Some(lp) = self.blocks.nth_mut(index) {
            block::delete(lp, &going);
        }
        self.length = self.length.saturating_sub(going.len() as u64);
        going.len() as u64
    }
}
