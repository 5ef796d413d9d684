//! The tables of a database: one, or in a cluster one per hash slot.
//!
//! ```text
//!   standalone   Shared<Table>
//!   cluster      64 pages of 256 slots, each slot nothing or a Shared<Table>; a Fenwick tree of lengths beside it
//! ```
//!
//! A slot's keys are a table's, so counting, listing, giving away or dropping a slot is about that table and never a
//! search. The pages are counted like everything below them: a snapshot raises 64 counts, not 16 384.
//!
//! A scan's cursor is the next position: 48 bits of the hash, in a cluster the slot above 39 of them. Both fit a double.
//!
//! Mirrors: kvstore.c, and `slotToKey*()` of cluster.c.
//! Differs: no slot in the hash itself; a hot hash tag would make one table's directory as deep as the hash.

use std::array;
use std::ops::ControlFlow;

use super::fields::FieldIndex;
use crate::collections::shared::Shared;
use crate::collections::table::{self, PrefetchStage, SegmentStats, Table};
use crate::types::Value;
use crate::util::crc16::{SLOTS, key_hash_slot};

pub(super) type Entries = Table<Value>;

/// Where a key is: computed once per key, good until the keyspace ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyHash {
    pub(super) hash: u64,
    /// 0 outside of a cluster.
    pub(super) slot: u16,
}

const SINGLE_BITS: u32 = 48;
const SLOT_BITS: u32 = 39;
const PAGE: usize = 256;

#[derive(Debug, Clone)]
pub(super) enum Tables {
    Single(Shared<Entries>),
    Slots(Box<SlotTables>),
}

#[derive(Debug, Clone)]
pub(super) struct SlotTables {
    pages: [Shared<Page>; SLOTS as usize / PAGE],
    seed: u64,
    totals: Totals,
}

#[derive(Debug, Clone)]
struct Page([Option<Shared<Entries>>; PAGE]);

/// Sums over all slots, kept by each function that changes a slot.
#[derive(Debug, Clone)]
pub(super) struct Totals {
    len: usize,
    volatile: usize,
    /// Fenwick tree (P. Fenwick, 1994): prefix sums of the slots' lengths in 14 steps.
    lengths: Vec<u64>,
}

impl Totals {
    fn new() -> Totals {
        Totals {
            len: 0,
            volatile: 0,
            lengths: vec![0; SLOTS as usize + 1],
        }
    }

    pub(super) fn book(&mut self, slot: u16, len: isize, volatile: isize) {
        self.volatile = self.volatile.wrapping_add_signed(volatile);
        if len != 0 {
            self.len = self.len.wrapping_add_signed(len);
            let mut i = usize::from(slot) + 1;
            while i < self.lengths.len() {
                self.lengths[i] = self.lengths[i].wrapping_add_signed(len as i64);
                i += i & i.wrapping_neg();
            }
        }
    }

    /// The slot of the key of this rank, counting through the slots.
    fn slot_of(&self, mut rank: u64) -> u16 {
        let mut at = 0;
        let mut step = SLOTS as usize;
        while step > 0 {
            if let Some(&sum) = self.lengths.get(at + step)
                && sum <= rank
            {
                rank -= sum;
                at += step;
            }
            step /= 2;
        }
        at as u16
    }
}

impl Tables {
    pub(super) fn new(cluster: bool, seed: u64) -> Tables {
        if !cluster {
            return Tables::Single(Shared::new(Table::new(seed)));
        }
        let empty = Shared::new(Page([const { None }; PAGE]));
        let pages = array::from_fn(|_| empty.clone());
        Tables::Slots(Box::new(SlotTables {
            pages,
            seed,
            totals: Totals::new(),
        }))
    }

    /// The tables of some slots and no others, shared with this database. O(slots named): no key is copied. Outside of a
    /// cluster there are none.
    pub(super) fn only(&self, wanted: &[u16]) -> Tables {
        let mut tables = self.emptied();
        if let (Tables::Slots(from), Tables::Slots(to)) = (self, &mut tables) {
            for slot in wanted {
                let (page, place) = (usize::from(*slot) / PAGE, usize::from(*slot) % PAGE);
                let shared = from.pages.get(page).and_then(|page| page.0[place].clone());
                if let Some(table) = shared {
                    let (len, volatile) = (table.len() as isize, table.volatile_len() as isize);
                    to.totals.book(*slot, len, volatile);
                    to.pages[page].make_mut().0[place] = Some(table);
                }
            }
        } else {
            tables = Tables::new(false, 0);
        }
        tables
    }

    /// Empty tables with the same seed.
    pub(super) fn emptied(&self) -> Tables {
        match self {
            Tables::Single(table) => Tables::new(false, table.seed()),
            Tables::Slots(slots) => Tables::new(true, slots.seed),
        }
    }

    #[inline]
    pub(super) fn hash(&self, key: &[u8]) -> KeyHash {
        match self {
            Tables::Single(table) => KeyHash {
                hash: table.hash(key),
                slot: 0,
            },
            Tables::Slots(slots) => KeyHash {
                hash: table::hash(slots.seed, key),
                slot: key_hash_slot(key),
            },
        }
    }

    #[inline]
    pub(super) fn table(&self, slot: u16) -> Option<&Entries> {
        match self {
            Tables::Single(table) => Some(table),
            Tables::Slots(slots) => slots.table(slot),
        }
    }

    /// The slot's table if it has one, and the totals to book changes in, if there are any.
    pub(super) fn table_mut(&mut self, slot: u16) -> Option<(&mut Entries, Option<&mut Totals>)> {
        match self {
            Tables::Single(table) => Some((table.make_mut(), None)),
            Tables::Slots(slots) => {
                slots.table(slot)?;
                let page = slots.pages[usize::from(slot) / PAGE].make_mut();
                let table = page.0[usize::from(slot) % PAGE].as_mut()?;
                Some((table.make_mut(), Some(&mut slots.totals)))
            }
        }
    }

    /// Changes the slot's table, made for it if need be, and books what that did.
    #[inline]
    pub(super) fn change<R>(&mut self, slot: u16, change: impl FnOnce(&mut Entries) -> R) -> R {
        match self {
            Tables::Single(table) => change(table.make_mut()),
            Tables::Slots(slots) => {
                let page = slots.pages[usize::from(slot) / PAGE].make_mut();
                let place = &mut page.0[usize::from(slot) % PAGE];
                let table = place
                    .get_or_insert_with(|| Shared::new(Table::new(slots.seed)))
                    .make_mut();
                let (len, volatile) = (table.len() as isize, table.volatile_len() as isize);
                let result = change(table);
                let (len, volatile) = (
                    table.len() as isize - len,
                    table.volatile_len() as isize - volatile,
                );
                slots.totals.book(slot, len, volatile);
                result
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Tables::Single(table) => table.len(),
            Tables::Slots(slots) => slots.totals.len,
        }
    }

    pub(super) fn volatile_len(&self) -> usize {
        match self {
            Tables::Single(table) => table.volatile_len(),
            Tables::Slots(slots) => slots.totals.volatile,
        }
    }

    /// All tables, with their slots.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u16, &Entries)> {
        let (single, slots) = match self {
            Tables::Single(table) => (Some((0, &**table)), None),
            Tables::Slots(slots) => (None, Some(slots)),
        };
        let slots = slots
            .into_iter()
            .flat_map(|s| (0..SLOTS).filter_map(|i| Some((i, s.table(i)?))));
        single.into_iter().chain(slots)
    }

    pub(super) fn prefetch(&self, hashes: &[KeyHash]) {
        for stage in PrefetchStage::ALL {
            for h in hashes {
                if let Some(table) = self.table(h.slot) {
                    table.prefetch_stage(stage, h.hash);
                }
            }
        }
    }

    /// See [`super::Db::scan`].
    pub(super) fn scan(
        &self,
        cursor: u64,
        count: usize,
        f: &mut dyn FnMut(table::Entry<'_, Value>),
    ) -> u64 {
        match self {
            Tables::Single(table) => table.scan(cursor, SINGLE_BITS, count, f).unwrap_or(0),
            Tables::Slots(slots) => slots.scan(cursor, count.max(1), f),
        }
    }

    pub(super) fn random(&self, rng: &mut dyn FnMut() -> u64) -> Option<table::Entry<'_, Value>> {
        match self {
            Tables::Single(table) => table.random(rng),
            Tables::Slots(slots) => slots.table(slots.random_slot(rng)?)?.random(rng),
        }
    }

    pub(super) fn sample(
        &self,
        rng: &mut dyn FnMut() -> u64,
        n: usize,
        volatile_only: bool,
        f: &mut dyn FnMut(table::Entry<'_, Value>),
    ) -> usize {
        match self {
            Tables::Single(table) => table.sample(rng, n, volatile_only, f),
            Tables::Slots(slots) => {
                let Some(first) = slots.random_slot(rng) else {
                    return 0;
                };
                let mut found = 0;
                for i in 0..SLOTS {
                    if let Some(table) = slots.table((first + i) % SLOTS) {
                        found += table.sample(rng, n - found, volatile_only, f);
                        if found == n {
                            break;
                        }
                    }
                }
                found
            }
        }
    }

    /// See [`super::Snapshot::consume_db`].
    pub(super) fn consume(
        &mut self,
        f: &mut dyn FnMut(u16, super::Entry<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self {
            Tables::Single(table) => consume(table, 0, f),
            Tables::Slots(slots) => {
                for page in 0..slots.pages.len() {
                    for i in 0..PAGE {
                        let slot = page * PAGE + i;
                        let place = match slots.pages[page].get_mut() {
                            // Shared: the table is read where it is, behind a count of its own.
                            None => &mut slots.pages[page].0[i].clone(),
                            Some(page) => &mut page.0[i],
                        };
                        if let Some(table) = place {
                            consume(table, slot as u16, f)?;
                        }
                    }
                }
                ControlFlow::Continue(())
            }
        }
    }

    /// The seed of all slots' tables; none outside of a cluster.
    pub(super) fn slot_seed(&self) -> Option<u64> {
        match self {
            Tables::Single(_) => None,
            Tables::Slots(slots) => Some(slots.seed),
        }
    }

    /// Makes a table that of a slot which has no key.
    pub(super) fn put_slot(&mut self, slot: u16, table: Shared<Entries>) {
        if let Tables::Slots(slots) = self {
            let (len, volatile) = (table.len() as isize, table.volatile_len() as isize);
            slots.totals.book(slot, len, volatile);
            let page = slots.pages[usize::from(slot) / PAGE].make_mut();
            page.0[usize::from(slot) % PAGE] = Some(table);
        }
    }

    /// Takes a slot's table away.
    pub(super) fn take_slot(&mut self, slot: u16) -> RemovedTable {
        let mut removed = RemovedTable {
            tables: Vec::new(),
            _fields: None,
            metas: None,
            len: 0,
        };
        if let Tables::Slots(slots) = self
            && slots.table(slot).is_some()
        {
            let page = slots.pages[usize::from(slot) / PAGE].make_mut();
            if let Some(table) = page.0[usize::from(slot) % PAGE].take() {
                removed.len = table.len();
                slots.totals.book(
                    slot,
                    -(table.len() as isize),
                    -(table.volatile_len() as isize),
                );
                removed.tables.push(Tables::Single(table));
            }
        }
        removed
    }

    /// O(segments): for DEBUG HTSTATS.
    pub(super) fn stats(&self) -> SegmentStats {
        let mut sum = SegmentStats::default();
        for (_, table) in self.iter() {
            let one = table.stats();
            sum.top += one.top;
            sum.blocks += one.blocks;
            sum.segments += one.segments;
            sum.slots += one.slots;
            sum.depths.resize(sum.depths.len().max(one.depths.len()), 0);
            sum.depths
                .iter_mut()
                .zip(&one.depths)
                .for_each(|(a, b)| *a += b);
        }
        sum
    }
}

fn consume(
    table: &mut Shared<Entries>,
    slot: u16,
    f: &mut dyn FnMut(u16, super::Entry<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    match table.get_mut() {
        Some(table) => table.consume(&mut |entry| f(slot, super::Entry(entry))),
        None => table
            .iter()
            .try_for_each(|entry| f(slot, super::Entry(entry))),
    }
}

impl SlotTables {
    fn table(&self, slot: u16) -> Option<&Entries> {
        let page = self.pages.get(usize::from(slot) / PAGE)?;
        page.0[usize::from(slot) % PAGE].as_deref()
    }

    /// A slot, the likelier the more keys it has.
    fn random_slot(&self, rng: &mut dyn FnMut() -> u64) -> Option<u16> {
        let rank = (u128::from(rng()) * self.totals.len as u128) >> 64;
        (self.totals.len > 0).then(|| self.totals.slot_of(rank as u64))
    }

    fn scan(&self, cursor: u64, count: usize, f: &mut dyn FnMut(table::Entry<'_, Value>)) -> u64 {
        let mut position = cursor & ((1 << SLOT_BITS) - 1);
        let mut left = count;
        for slot in cursor >> SLOT_BITS..u64::from(SLOTS) {
            if let Some(table) = self.table(slot as u16).filter(|t| !t.is_empty()) {
                if left == 0 {
                    return slot << SLOT_BITS;
                }
                let next = table.scan(position, SLOT_BITS, left, &mut |entry| {
                    left = left.saturating_sub(1);
                    f(entry);
                });
                if let Some(next) = next {
                    return slot << SLOT_BITS | next;
                }
            }
            position = 0;
        }
        0
    }
}

/// Tables taken out of a database. Dropping them frees all their keys: for many, on a helper thread.
#[derive(Debug)]
pub struct RemovedTable {
    tables: Vec<Tables>,
    /// Goes with them: dropping it takes time, too.
    _fields: Option<FieldIndex>,
    /// As above.
    pub(super) metas: Option<super::Metas>,
    len: usize,
}

impl RemovedTable {
    pub(super) fn of(tables: Tables, fields: Option<FieldIndex>) -> RemovedTable {
        RemovedTable {
            len: tables.len(),
            _fields: fields,
            metas: None,
            tables: vec![tables],
        }
    }

    /// Keys in it.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Entries that were removed, so that clients which track them can be notified.
    pub fn iter(&self) -> impl Iterator<Item = super::Entry<'_>> {
        self.tables
            .iter()
            .flat_map(|t| t.iter().flat_map(|(_, table)| table.iter()))
            .map(super::Entry)
    }
}
