//! The counters a stream keeps over its life, and the lag of a group that follows from them.
//!
//! A group counts the entries it was given. Where it loses count (XGROUP SETID, entries deleted ahead of it), the count
//! can still be told for an ID at either end of the stream, as long as nothing is missing on the way:
//!
//! ```text
//!   entries ever added   [ gone ][ first … last ]       before the first: added - length
//!                                                       the last: added
//! ```
//!
//! Mirrors: `streamEstimateDistanceFromFirstEverEntry()`, `streamReplyWithCGLag()`, `streamRangeHasTombstones()` of
//! t_stream.c.

use super::{Group, StreamId, UNKNOWN};

/// The counters a stream keeps over its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// The greatest ID it ever had.
    pub last_id: StreamId,
    /// The ID of the first entry that is there; the smallest ID if none is.
    pub first_id: StreamId,
    /// The greatest ID that was deleted.
    pub max_deleted_id: StreamId,
    /// Entries added in its life.
    pub entries_added: u64,
}

/// The same, and how many entries there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// Number of entries.
    pub length: u64,
    /// The stream's counters.
    pub counters: Counters,
}

impl Life {
    /// Number of entries between a group and the end, if that is known.
    #[doc(alias = "streamReplyWithCGLag")]
    pub fn lag(&self, last_id: StreamId, entries_read: i64) -> Option<i64> {
        let Counters {
            first_id,
            max_deleted_id,
            entries_added,
            ..
        } = self.counters;
        if entries_added == 0 || self.length == 0 {
            return Some(0);
        }
        if last_id < first_id && max_deleted_id < first_id {
            // The group has read no entry, and none is missing.
            return Some(self.length as i64);
        }
        let read = match entries_read {
            read if read != UNKNOWN && !self.has_holes_behind(last_id) => read,
            _ => self.estimate_read(last_id)?,
        };
        Some((entries_added as i64).wrapping_sub(read))
    }

    /// Whether an entry at or behind an ID was deleted.
    #[doc(alias = "streamRangeHasTombstones")]
    fn has_holes_behind(&self, id: StreamId) -> bool {
        let deleted = self.counters.max_deleted_id;
        self.length > 0 && deleted != StreamId::MIN && id <= deleted
    }

    /// How many entries of the stream's life an ID lies behind, itself included, where that follows from what is
    /// known: at the ends, and nowhere if there are holes on the way.
    #[doc(alias = "streamEstimateDistanceFromFirstEverEntry")]
    pub fn estimate_read(&self, id: StreamId) -> Option<i64> {
        let Counters {
            last_id,
            first_id,
            max_deleted_id,
            entries_added,
        } = self.counters;
        let (added, len) = (entries_added as i64, self.length as i64);
        if added == 0 {
            return Some(0);
        }
        if len == 0 && id <= last_id {
            return Some(added);
        }
        if id != StreamId::MIN && id < max_deleted_id || id > last_id {
            return None;
        }
        if id == last_id {
            return Some(added);
        }
        if max_deleted_id != StreamId::MIN && max_deleted_id >= first_id || id > first_id {
            return None;
        }
        let before = added.wrapping_sub(len);
        Some(before.wrapping_add(i64::from(id == first_id)))
    }
}

impl Group {
    /// An entry was delivered: the group is that far, unless it was farther already. The count goes on by one only
    /// while nothing is missing between the group and the entry: entries that were trimmed before the group read them
    /// count as read, too (redis 13957).
    pub fn advance(&mut self, id: StreamId, life: Life) {
        if id <= self.last_id {
            return;
        }
        let counters = &life.counters;
        if self.entries_read != UNKNOWN
            && self.last_id >= counters.first_id
            && !life.has_holes_behind(self.last_id)
        {
            self.entries_read = self.entries_read.wrapping_add(1);
        } else if counters.entries_added > 0 {
            self.entries_read = life.estimate_read(id).unwrap_or(UNKNOWN);
        }
        self.last_id = id;
    }
}
