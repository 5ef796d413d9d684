//! Deadlines of a hash's fields: given, taken away, asked for, and carried out.
//!
//! ```text
//!   [a 1 20][d 1 30][b 1 0]      HPEXPIREAT k 25 FIELDS 1 b      [a 1 20][b 1 25][d 1 30]
//! ```
//!
//! A small hash keeps its fields in order of their deadlines (the invariant at the top of [`super`]), so giving one moves
//! its triple, and what is due is a prefix. In a table an entry holds its own deadline.
//!
//! Mirrors: `hashTypeSetEx()`, `hashTypeExpire()` and `hashTypeGetMinExpire()` of t_hash.c; ebuckets.c.
//! Cost: in a small hash O(bytes); in a table O(1) to give one, O(segments) to find those that are due.

use super::Repr::{self, Packed, Timed};
use super::{Hash, NEVER, deadline_of, is_past};
use crate::collections::listpack::{Listpack, LpEntry, LpPos};
use crate::collections::table::{NoObject, Removed};
use crate::util::num::IntBuf;

impl Hash {
    /// Whether a field has a deadline. O(1).
    #[doc(alias = "hashTypeIsFieldsWithExpire")]
    #[inline]
    pub fn has_deadlines(&self) -> bool {
        match &self.0 {
            Packed(_) => false,
            Timed(_) => self.earliest_bound().is_some(),
            Repr::Table(table) => table.volatile_len() > 0,
        }
    }

    /// No field's deadline is earlier than this. Exact for a small hash; for a table up to an hour and a half early,
    /// but not in the past once [`Hash::expire`] has been there. O(1), or O(fields / 20 000).
    #[doc(alias = "hashTypeGetMinExpire")]
    pub fn earliest_bound(&self) -> Option<i64> {
        match &self.0 {
            Packed(_) => None,
            Timed(listpack) => deadline_of(listpack.iter().nth(2)?),
            Repr::Table(table) if table.volatile_len() == 0 => None,
            Repr::Table(table) => table.earliest_deadline(),
        }
    }

    /// The first deadline of all. O(1) for a small hash, O(fields) for a table.
    pub fn earliest(&self) -> Option<i64> {
        match &self.0 {
            Repr::Table(table) if table.volatile_len() > 0 => {
                table.iter().filter_map(|entry| entry.deadline()).min()
            }
            _ => self.earliest_bound(),
        }
    }

    /// From here on fields can have deadlines; Redis changes a listpack's encoding at the first attempt.
    pub fn allow_deadlines(&mut self) {
        if let Packed(listpack) = &self.0 {
            let mut entries = Vec::with_capacity(listpack.len() / 2 * 3);
            let mut pairs = listpack.iter();
            while let (Some(name), Some(value)) = (pairs.next(), pairs.next()) {
                entries.extend([name, value, LpEntry::Int(NEVER)]);
            }
            let timed = Listpack::from_entries(entries.iter().copied());
            self.0 = Timed(timed);
        }
    }

    /// Gives a field a deadline or takes it away; false if there is no such field.
    #[doc(alias = "hashTypeSetEx")]
    pub fn set_deadline(&mut self, name: &[u8], deadline: Option<i64>) -> bool {
        if deadline.is_some() {
            self.allow_deadlines();
        }
        match &mut self.0 {
            Packed(listpack) => listpack.find(name, 1).is_some(),
            Timed(listpack) => {
                let Some(at) = listpack.find(name, 2) else {
                    return false;
                };
                let mut entries = listpack.positions_from(at).skip(1);
                let Some((_, value)) = entries.next() else {
                    return true;
                };
                if entries.next().map(|(_, ms)| deadline_of(ms)) == Some(deadline) {
                    return true;
                }
                let text;
                let value = match value {
                    LpEntry::Int(n) => LpEntry::Int(n),
                    LpEntry::Str(bytes) => {
                        text = bytes.to_vec();
                        LpEntry::Str(&text)
                    }
                };
                listpack.delete_from(at, 3);
                let ms = deadline.unwrap_or(NEVER);
                let triple = [LpEntry::Str(name), value, LpEntry::Int(ms)];
                match deadline.and_then(|ms| first_not_before(listpack, ms)) {
                    Some(at) => listpack.insert_many(at, triple),
                    None => listpack.extend(triple),
                }
                true
            }
            Repr::Table(table) => {
                if table.find(name).is_none() {
                    return false;
                }
                if let Some(mut entry) = table.make_mut().find_mut(name) {
                    entry.set_deadline(deadline);
                }
                true
            }
        }
    }

    /// Takes out fields that are over at `now_ms`, those with the earliest deadline first, and names them to `on`. Ends
    /// when `at_most` have gone (in a table, when a block of them has); returns how many.
    #[doc(alias = "hashTypeExpire")]
    pub fn expire(&mut self, now_ms: i64, at_most: usize, on: &mut dyn FnMut(&[u8])) -> usize {
        match &mut self.0 {
            Packed(_) => 0,
            Timed(listpack) => {
                let mut gone = 0;
                let mut entries = listpack.iter();
                while gone < at_most
                    && let (Some(name), Some(_), Some(ms)) =
                        (entries.next(), entries.next(), entries.next())
                    && is_past(deadline_of(ms), now_ms)
                {
                    on(name.as_bytes(&mut IntBuf::new()));
                    gone += 1;
                }
                if let (true, Some(at)) = (gone > 0, listpack.first()) {
                    listpack.delete_from(at, gone * 3);
                }
                gone
            }
            Repr::Table(table) => {
                if !table
                    .earliest_deadline()
                    .is_some_and(|ms| is_past(Some(ms), now_ms))
                {
                    return 0;
                }
                let table = table.make_mut();
                let mut gone: Vec<Removed<NoObject>> = Vec::new();
                let mut cursor = 0;
                while gone.len() < at_most {
                    let step = table.expire_step(&mut cursor, now_ms - 1, &mut |field| {
                        gone.push(field);
                    });
                    if step.wrapped {
                        break;
                    }
                }
                gone.sort_by_key(Removed::deadline);
                gone.iter().for_each(|field| on(field.key()));
                gone.len()
            }
        }
    }
}

/// The first triple with no deadline or one not before `ms`.
fn first_not_before(listpack: &Listpack, ms: i64) -> Option<LpPos> {
    let mut entries = listpack.positions();
    while let (Some((at, _)), Some(_), Some((_, deadline))) =
        (entries.next(), entries.next(), entries.next())
    {
        if deadline_of(deadline).is_none_or(|other| other >= ms) {
            return Some(at);
        }
    }
    None
}
