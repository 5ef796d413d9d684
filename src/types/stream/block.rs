//! A block of a stream: a listpack that begins with a master entry, and holds the others by what they differ in.
//!
//! ```text
//!   master   live | deleted | n | field … field | 0
//!   entry    flags | ms - block's | seq - block's | value … value | elements of the entry        fields as the master's
//!   entry    flags | ms - block's | seq - block's | n | field | value … | elements of the entry  others
//! ```
//!
//! For example, after XADD 5-1 name x n 1, XADD 5-2 name y n 2, XADD 6-0 other z and XDEL 5-2, under the ID 5-1:
//!
//! ```text
//!   master    2  1  2  name  n  0                two live, one deleted, two fields
//!   5-1       2  0  0  x  1            5         flags 2: the master's fields
//!   5-2       3  0  1  y  2            5         flags 3: these fields, and deleted
//!   6-0       0  1 -1  1  other  z     6         one ms later, one seq lower; a field of its own
//! ```
//!
//! The block's ID is the key it stands under, and that of its first entry. The number at the end of an entry lets a
//! walk go backwards; the master's 0 stops it. A deleted entry stays, with a flag; when the last live one goes, the
//! block goes.
//!
//! A block may come from outside with no more than its frame checked. A walk that meets an impossible entry ends
//! there, as if the block did; it never reads outside, never loops, and never promises more fields than there are
//! bytes.
//!
//! Mirrors: `streamAppendItem()` and `streamIteratorGetID()` of t_stream.c, byte for byte.

use std::iter;

use super::StreamId;
use crate::collections::listpack::{Listpack, LpEntry, LpPos, Positions};

/// The entry is deleted.
#[doc(alias = "STREAM_ITEM_FLAG_DELETED")]
pub(super) const DELETED: i64 = 1;
/// Flag of an entry whose field names are those of the master entry.
#[doc(alias = "STREAM_ITEM_FLAG_SAMEFIELDS")]
const SAME_FIELDS: i64 = 2;

/// The content of a block's master entry.
pub(super) struct Master<'a> {
    pub(super) live: i64,
    pub(super) deleted: i64,
    fields: usize,
    /// Before the first field.
    walk: Positions<'a>,
}

/// Reads the master entry; none if there is no such thing.
pub(super) fn master(block: &Listpack) -> Option<Master<'_>> {
    let mut walk = block.positions();
    let mut number = || walk.next()?.1.as_int();
    let (live, deleted, fields) = (number()?, number()?, number()?);
    let fields = usize::try_from(fields).ok()?;
    (fields <= block.byte_len()).then_some(Master {
        live,
        deleted,
        fields,
        walk,
    })
}

/// Live entries of a block, by its master entry.
pub(super) fn live(block: &Listpack) -> u64 {
    let first = block.positions().next();
    let live = first.and_then(|(_, live)| live.as_int());
    live.map_or(0, |live| live.max(0) as u64)
}

/// The fields and values of a new entry, in turn, and how many pairs they are.
pub(super) fn create<'f>(words: impl Iterator<Item = &'f [u8]> + Clone, pairs: usize) -> Listpack {
    let mut block = Listpack::new();
    let head = [0, 0, pairs as i64].map(LpEntry::Int);
    let fields = words.step_by(2).map(LpEntry::Str);
    block.extend(head.into_iter().chain(fields).chain([LpEntry::Int(0)]));
    block
}

/// Adds an entry, `words` being fields and values in turn.
pub(super) fn append<'f>(
    block: &mut Listpack,
    base: StreamId,
    id: StreamId,
    words: impl Iterator<Item = &'f [u8]> + Clone,
    pairs: usize,
) {
    let mut same = false;
    let mut live = 0;
    if let Some(master) = master(block) {
        live = master.live;
        same = master.fields == pairs && {
            let fields = master.walk.map(|(_, field)| field);
            words
                .clone()
                .step_by(2)
                .zip(fields)
                .all(|(new, old)| old == *new)
        };
    }
    let at = block.first().expect("a block has a master entry");
    block.replace(at, live.wrapping_add(1));
    let flags = if same { SAME_FIELDS } else { 0 };
    let head = [
        flags,
        id.ms.wrapping_sub(base.ms) as i64,
        id.seq.wrapping_sub(base.seq) as i64,
    ];
    let (count, elements) = match same {
        true => (None, 3 + pairs),
        false => (Some(LpEntry::Int(pairs as i64)), 4 + 2 * pairs),
    };
    let words = words.enumerate();
    let words = words.filter(move |(i, _)| !same || i % 2 == 1);
    block.extend(
        head.map(LpEntry::Int)
            .into_iter()
            .chain(count)
            .chain(words.map(|(_, word)| LpEntry::Str(word)))
            .chain(iter::once(LpEntry::Int(elements as i64))),
    );
}

/// Flags these entries, given by the positions of their flags in ascending order, as deleted, and counts them.
pub(super) fn delete(block: &mut Listpack, entries: &[(LpPos, i64)]) {
    let Some((live, deleted)) = master(block).map(|m| (m.live, m.deleted)) else {
        return;
    };
    // A flag takes the same two bytes with and without it, so positions stay good; from the back, should the bytes
    // have come from outside and be otherwise.
    for (at, flags) in entries.iter().rev() {
        block.replace(*at, flags | DELETED);
    }
    let n = entries.len() as i64;
    let Some(first) = block.first() else {
        return;
    };
    block.replace(first, live.wrapping_sub(n));
    if let Some(second) = block.next(first) {
        block.replace(second, deleted.wrapping_add(n));
    }
}

/// An entry that a walk has come to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) id: StreamId,
    pub(super) flags: i64,
    /// Where its flags stand.
    pub(super) at: LpPos,
    /// Number of its fields.
    pub(super) pairs: usize,
}

/// A walk over the entries of a block, either way; deleted ones too.
#[derive(Debug, Clone)]
pub(super) struct Walk<'a> {
    block: &'a Listpack,
    base: StreamId,
    back: bool,
    /// The elements not walked over yet: from the front, or, going back, from the back.
    rest: Positions<'a>,
    master: Positions<'a>,
    master_fields: usize,
    /// Inside the entry: its next value (and field), the master's next field, pairs not read yet.
    body: Positions<'a>,
    field: Option<Positions<'a>>,
    unread: usize,
    begun: bool,
}

impl<'a> Walk<'a> {
    /// Begins a walk; `None` if the listpack is no block of a stream.
    pub(super) fn new(block: &'a Listpack, base: StreamId, back: bool) -> Option<Walk<'a>> {
        let Master { walk, fields, .. } = master(block)?;
        let mut rest = walk.clone();
        if back {
            rest = block.positions();
        } else {
            // The fields, and the 0 behind them.
            rest.nth(fields)?;
        }
        Some(Walk {
            block,
            base,
            back,
            body: rest.clone(),
            rest,
            master: walk,
            master_fields: fields,
            field: None,
            unread: 0,
            begun: false,
        })
    }

    /// The next entry; what was not read of the one before is passed over.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Found> {
        let (at, flags) = if self.back {
            let elements = usize::try_from(self.rest.next_back()?.1.as_int()?).ok()?;
            let start = self.rest.nth_back(elements.checked_sub(1)?)?;
            self.body = self.block.positions_from(start.0);
            self.body.next();
            start
        } else {
            if self.begun {
                let skip = self.unread * if self.field.is_some() { 1 } else { 2 };
                // And the number at the end.
                self.body.nth(skip)?;
            }
            self.begun = true;
            self.body.next()?
        };
        let flags = flags.as_int()?;
        let mut number = || self.body.next()?.1.as_int();
        let id = StreamId {
            ms: self.base.ms.wrapping_add(number()? as u64),
            seq: self.base.seq.wrapping_add(number()? as u64),
        };
        let pairs = if flags & SAME_FIELDS != 0 {
            self.field = Some(self.master.clone());
            self.master_fields
        } else {
            self.field = None;
            let pairs = usize::try_from(self.body.next()?.1.as_int()?).ok()?;
            (pairs <= self.block.byte_len()).then_some(pairs)?
        };
        self.unread = pairs;
        Some(Found {
            id,
            flags,
            at,
            pairs,
        })
    }

    /// The next field of the entry, and its value.
    #[inline]
    pub(super) fn field(&mut self) -> Option<(LpEntry<'a>, LpEntry<'a>)> {
        self.unread = self.unread.checked_sub(1)?;
        let name = match &mut self.field {
            Some(field) => field.next()?.1,
            None => self.body.next()?.1,
        };
        Some((name, self.body.next()?.1))
    }
}
