//! Hashes: fields with values, each with a deadline of its own if HEXPIRE gave it one.
//!
//! ```text
//!   Packed   [field value][field value] ...                 "listpack"     few short fields, in order of arrival
//!   Timed    [field value ms][field value ms] ... [.. 0]    "listpackex"   the same once a field got a deadline:
//!                                                                          the earliest first, those without (0) last
//!   Table    field -> value, deadline                       "hashtable"    one allocation per field
//! ```
//!
//! A hash grows from packed (or timed) to table by [`Limits`] and never shrinks back; a timed one never loses its third
//! column. Fields past their deadline are still there: this room hides nothing, its callers compare [`Field::deadline`]
//! with the time they go by ([`is_past`]) and delete through [`Hash::expire`] or [`Hash::remove`].
//!
//! Invariant: in a timed hash the deadlines ascend, so that what is due stands in front.
//!
//! `deadlines.rs` has the deadlines of fields; all else is here.
//!
//! Mirrors: the upper half of t_hash.c and entry.c.
//! Differs: Redis keeps the deadlines of a big hash in a structure beside it (ebuckets.c); here they lie in the table's
//! entries and the table knows per segment which is first, as for keys. A listpack that came damaged from outside
//! shows fewer fields and fails no command.
//! Cost: packed and timed O(bytes) per operation, table O(1). A small hash is its listpack and 24 bytes in the key's
//! entry; in a big one a field of 8 bytes with a value of 8 takes a 32-byte block and 11 bytes of table.

mod deadlines;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use super::value::tag;
use crate::collections::listpack::{Check, Corrupt, Iter as LpIter, Listpack, LpEntry, LpPos};
use crate::collections::shared::Shared;
use crate::collections::table::{self, Deadline, Inserted, NoObject, StrRef, Table};
use crate::util::num::{IntBuf, MAX_INT_LEN, parse_i64};

/// A value on its way into a hash.
pub type NewValue<'a> = table::NewValue<'a, NoObject>;

/// In a timed hash: no deadline.
const NEVER: i64 = 0;

/// A scan's cursor is this many bits of a field's hash; a double holds them.
const CURSOR_BITS: u32 = 48;

/// How large a packed hash may get, and the seed of the table it then becomes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// `hash-max-listpack-entries`.
    pub entries: usize,
    /// `hash-max-listpack-value`: bytes of a field or a value.
    pub value: usize,
    /// Keys the table's hash function; secret.
    pub seed: u64,
}

/// One field.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    /// Its name.
    pub name: StrRef<'a>,
    /// Its value.
    pub value: StrRef<'a>,
    /// Its last millisecond, in unix time.
    pub deadline: Option<i64>,
}

/// Whether a field with this deadline is over. A deadline is the last millisecond of a life.
#[inline]
pub fn is_past(deadline: Option<i64>, now_ms: i64) -> bool {
    deadline.is_some_and(|ms| ms < now_ms)
}

/// A hash.
#[derive(Debug, Clone)]
#[repr(transparent)]
pub struct Hash(Repr);

#[derive(Debug, Clone)]
#[repr(u8)]
enum Repr {
    Packed(Listpack) = tag::HASH,
    Timed(Listpack) = tag::HASH + 1,
    Table(Shared<Table<NoObject>>) = tag::HASH + 2,
}

use Repr::{Packed, Timed};

impl Default for Hash {
    fn default() -> Hash {
        Hash::new()
    }
}

impl Hash {
    /// An empty one.
    pub fn new() -> Hash {
        Hash(Packed(Listpack::new()))
    }

    /// Takes a listpack from outside: pairs, or with `timed` triples in order of their deadlines. A deep check also
    /// refuses repeated fields. Grows to a table beyond the limit of entries, as Redis does on loading.
    pub fn from_listpack(
        listpack: Listpack,
        timed: bool,
        check: Check,
        limits: &Limits,
    ) -> Result<Hash, Corrupt> {
        let columns = if timed { 3 } else { 2 };
        if !listpack.len().is_multiple_of(columns) {
            return Err(Corrupt);
        }
        let mut hash = Hash(if timed {
            Timed(listpack)
        } else {
            Packed(listpack)
        });
        if check == Check::Deep && !hash.is_sound() {
            return Err(Corrupt);
        }
        if hash.len() > limits.entries {
            hash.become_table(limits.seed);
        }
        Ok(hash)
    }

    /// No field twice, deadlines that ascend and are numbers.
    fn is_sound(&self) -> bool {
        let (Packed(listpack) | Timed(listpack)) = &self.0 else {
            return true;
        };
        if !listpack.is_sound() {
            return false;
        }
        let columns = self.columns();
        let mut seen = HashSet::with_capacity(self.len());
        let mut last = NEVER;
        let mut entries = listpack.iter();
        while let Some(name) = entries.next() {
            if !seen.insert(name.to_vec()) || entries.next().is_none() {
                return false;
            }
            if columns == 3 {
                let Some(LpEntry::Int(ms)) = entries.next() else {
                    return false;
                };
                let ascends = ms == NEVER || ms >= last && (last != NEVER || seen.len() == 1);
                if ms < 0 || !ascends {
                    return false;
                }
                last = ms;
            }
        }
        true
    }

    /// Fields, those past their deadline included.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Packed(listpack) => listpack.len() / 2,
            Timed(listpack) => listpack.len() / 3,
            Repr::Table(table) => table.len(),
        }
    }

    /// No fields.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fields that are not over at `now_ms`. O(1) unless fields have deadlines.
    pub fn live_len(&self, now_ms: i64) -> usize {
        if !self.has_deadlines() {
            return self.len();
        }
        self.iter()
            .filter(|field| !is_past(field.deadline, now_ms))
            .count()
    }

    /// The hash table, while the hash is one: for DEBUG HTSTATS-KEY.
    pub fn as_table(&self) -> Option<&Table<NoObject>> {
        match &self.0 {
            Repr::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The name OBJECT ENCODING answers with.
    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Packed(_) => "listpack",
            Timed(_) => "listpackex",
            Repr::Table(_) => "hashtable",
        }
    }

    /// The listpack of a small hash, and whether its fields come with deadlines: what RDB and DUMP write.
    pub fn as_listpack(&self) -> Option<(&Listpack, bool)> {
        match &self.0 {
            Packed(listpack) => Some((listpack, false)),
            Timed(listpack) => Some((listpack, true)),
            Repr::Table(_) => None,
        }
    }

    pub(super) fn allocated_bytes(&self, samples: usize) -> usize {
        match &self.0 {
            Packed(listpack) | Timed(listpack) => listpack.blob().allocated_bytes(),
            Repr::Table(table) => {
                let looked_at = if samples == 0 { usize::MAX } else { samples };
                let (mut seen, mut bytes) = (0, 0);
                for entry in table.iter().take(looked_at) {
                    seen += 1;
                    bytes += entry.entry_bytes()
                        + entry
                            .value()
                            .as_string()
                            .and_then(|value| value.big())
                            .map_or(0, |big| big.allocated_bytes());
                }
                let fields = (bytes * table.len()).checked_div(seen).unwrap_or(0);
                Shared::<Table<NoObject>>::node_bytes() + table.node_bytes() + fields
            }
        }
    }

    pub(super) fn free_effort(&self) -> usize {
        match &self.0 {
            Packed(_) | Timed(_) => 1,
            Repr::Table(table) => table.len(),
        }
    }

    fn columns(&self) -> usize {
        if matches!(self.0, Timed(_)) { 3 } else { 2 }
    }

    // ------------------------------------------------------------------------------------------ reading

    /// The field of this name, over or not. O(1) in a table, else O(bytes).
    #[doc(alias = "hashTypeGetValue")]
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<Found<'_>> {
        match &self.0 {
            Packed(listpack) => {
                let mut at = listpack.positions_from(listpack.find(name, 1)?).skip(1);
                Some(Found {
                    value: str_ref(at.next()?.1),
                    deadline: None,
                })
            }
            Timed(listpack) => {
                let mut at = listpack.positions_from(listpack.find(name, 2)?).skip(1);
                Some(Found {
                    value: str_ref(at.next()?.1),
                    deadline: deadline_of(at.next()?.1),
                })
            }
            Repr::Table(table) => {
                let entry = table.find(name)?;
                Some(Found {
                    value: entry.value().as_string()?,
                    deadline: entry.deadline(),
                })
            }
        }
    }

    /// Whether there is a field of this name, over or not.
    pub fn contains(&self, name: &[u8]) -> bool {
        match &self.0 {
            Packed(listpack) => listpack.find(name, 1).is_some(),
            Timed(listpack) => listpack.find(name, 2).is_some(),
            Repr::Table(table) => table.find(name).is_some(),
        }
    }

    /// All fields. A listpack's in its order, a table's in that of a scan as far as segments go.
    pub fn iter(&self) -> Iter<'_> {
        Iter(match &self.0 {
            Packed(listpack) => Source::Packed(listpack.iter()),
            Timed(listpack) => Source::Timed(listpack.iter()),
            Repr::Table(table) => Source::Table(table.iter()),
        })
    }

    /// Calls `f` for up to `count` fields of a table, or for all of a small hash, and returns the cursor to go on with, 0
    /// at the end. A field that is there during a whole scan is returned exactly once.
    pub fn scan(&self, cursor: u64, count: usize, f: &mut dyn FnMut(Field<'_>)) -> u64 {
        match &self.0 {
            Packed(_) | Timed(_) => {
                self.iter().for_each(f);
                0
            }
            Repr::Table(table) => table
                .scan(cursor, CURSOR_BITS, count, &mut |entry| {
                    if let Some(field) = table_field(entry) {
                        f(field);
                    }
                })
                .unwrap_or(0),
        }
    }

    /// One field, each with the same probability.
    #[doc(alias = "hashTypeRandomElement")]
    pub fn random(&self, rng: &mut dyn FnMut() -> u64) -> Option<Field<'_>> {
        match &self.0 {
            Packed(listpack) | Timed(listpack) => {
                let index = below(rng(), self.len()) * self.columns();
                let at = listpack.seek(index as i64)?;
                self.field_at(listpack, at)
            }
            Repr::Table(table) => table_field(table.random(rng)?),
        }
    }

    /// `n` fields, each drawn from all of them.
    pub fn draw(&self, n: usize, rng: &mut dyn FnMut() -> u64, f: &mut dyn FnMut(Field<'_>)) {
        match &self.0 {
            Packed(listpack) | Timed(listpack) => {
                let places: Vec<LpPos> = listpack
                    .positions()
                    .step_by(self.columns())
                    .map(|(pos, _)| pos)
                    .collect();
                for _ in 0..n {
                    let Some(&at) = places.get(below(rng(), places.len())) else {
                        return;
                    };
                    if let Some(field) = self.field_at(listpack, at) {
                        f(field);
                    }
                }
            }
            Repr::Table(table) => {
                for _ in 0..n {
                    if let Some(field) = table.random(rng).and_then(table_field) {
                        f(field);
                    }
                }
            }
        }
    }

    /// `n` different fields, every choice equally likely; all of them if there are no more.
    ///
    /// A listpack is walked once (selection sampling, Knuth vol. 2, 3.4.2 S); so is a table when more than a third of it
    /// is wanted, otherwise fields are drawn until enough different ones came.
    pub fn choose(&self, n: usize, rng: &mut dyn FnMut() -> u64, f: &mut dyn FnMut(Field<'_>)) {
        let len = self.len();
        if let Repr::Table(table) = &self.0
            && n.saturating_mul(3) <= len
        {
            let mut seen = HashSet::with_capacity(n);
            while seen.len() < n {
                let Some(entry) = table.random(rng) else {
                    return;
                };
                if seen.insert(entry.address())
                    && let Some(field) = table_field(entry)
                {
                    f(field);
                }
            }
            return;
        }
        let (mut left, mut wanted) = (len, n.min(len));
        for field in self.iter() {
            if wanted == 0 || left == 0 {
                return;
            }
            if below(rng(), left) < wanted {
                wanted -= 1;
                f(field);
            }
            left -= 1;
        }
    }

    fn field_at<'a>(&self, listpack: &'a Listpack, at: LpPos) -> Option<Field<'a>> {
        let mut entries = listpack.positions_from(at).map(|(_, entry)| entry);
        Some(Field {
            name: str_ref(entries.next()?),
            value: str_ref(entries.next()?),
            deadline: match &self.0 {
                Timed(_) => deadline_of(entries.next()?),
                _ => None,
            },
        })
    }

    // ------------------------------------------------------------------------------------------ writing

    /// To be called before `fields` fields are set: `words` are their names and values. Becomes a table if they would not fit the
    /// limits, so that it need not do so in the middle.
    #[doc(alias = "hashTypeTryConversion")]
    pub fn prepare<'a>(
        &mut self,
        fields: usize,
        words: impl Iterator<Item = &'a [u8]>,
        limits: &Limits,
    ) {
        let (Packed(listpack) | Timed(listpack)) = &self.0 else {
            return;
        };
        let mut fits = fields <= limits.entries;
        if fits {
            let mut sum = 0usize;
            for word in words {
                fits &= word.len() <= limits.value;
                sum = sum.saturating_add(word.len());
            }
            fits &= listpack.would_fit(sum);
        }
        if !fits {
            self.become_table(limits.seed);
        }
    }

    /// Fills a small hash that is empty with fields and values, to be called after [`Hash::prepare`]: one pass and one
    /// allocation, where setting them one by one would search and grow the listpack for each. A field given twice has
    /// the last value in the first place. Returns how many there are now; nothing, and does nothing, in another state.
    #[doc(alias = "hashTypeBuildFreshListpack")]
    pub fn fill<'a>(
        &mut self,
        mut words: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> Option<usize> {
        let Packed(listpack) = &mut self.0 else {
            return None;
        };
        if !listpack.is_empty() {
            return None;
        }
        let mut entries: Vec<LpEntry<'a>> = Vec::with_capacity(words.len());
        let mut places = HashMap::new();
        let few = words.len() <= 32;
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            let next = entries.len();
            let place = if few {
                let same = |pair: &[LpEntry<'_>]| matches!(pair[0], LpEntry::Str(n) if n == name);
                entries
                    .chunks_exact(2)
                    .position(same)
                    .map_or(next, |pair| pair * 2)
            } else {
                *places.entry(name).or_insert(next)
            };
            if place == next {
                entries.push(LpEntry::Str(name));
                entries.push(LpEntry::Str(value));
            } else {
                entries[place + 1] = LpEntry::Str(value);
            }
        }
        listpack.extend(entries.iter().copied());
        Some(entries.len() / 2)
    }

    /// Gives a field a value; true if the field is new. `keep`: a deadline it has stays.
    #[doc(alias = "hashTypeSet")]
    pub fn set(&mut self, name: &[u8], value: NewValue<'_>, keep: bool, limits: &Limits) -> bool {
        if let Packed(listpack) | Timed(listpack) = &mut self.0 {
            let entry = lp_entry(&value);
            let len = entry.text_len();
            if name.len() <= limits.value
                && len <= limits.value
                && listpack.would_fit(name.len() + len)
            {
                let new = self.set_packed(name, entry, keep);
                // The limit may have been lowered since the fields came.
                if self.len() > limits.entries {
                    self.become_table(limits.seed);
                }
                return new;
            }
            self.become_table(limits.seed);
        }
        let Repr::Table(table) = &mut self.0 else {
            return false;
        };
        let table = table.make_mut();
        let deadline = if keep {
            Deadline::Keep
        } else {
            Deadline::Set(None)
        };
        let hash = table.hash(name);
        matches!(
            table.set(hash, name, compact(value), deadline, |_| 0),
            Inserted::New
        )
    }

    fn set_packed(&mut self, name: &[u8], value: LpEntry<'_>, keep: bool) -> bool {
        match &mut self.0 {
            Packed(listpack) => {
                if let Some(at) = listpack.find(name, 1) {
                    if let Some(at) = listpack.next(at) {
                        listpack.replace(at, value);
                    }
                    return false;
                }
                listpack.extend([LpEntry::Str(name), value]);
                true
            }
            Timed(listpack) => {
                let Some(at) = listpack.find(name, 2) else {
                    listpack.extend([LpEntry::Str(name), value, LpEntry::Int(NEVER)]);
                    return true;
                };
                let mut places = listpack.positions_from(at).skip(1);
                let (second, third) = (places.next(), places.next());
                let timed = third.is_some_and(|(_, ms)| deadline_of(ms).is_some());
                if timed && !keep {
                    listpack.delete_from(at, 3);
                    listpack.extend([LpEntry::Str(name), value, LpEntry::Int(NEVER)]);
                } else if let Some((at, _)) = second {
                    listpack.replace(at, value);
                }
                false
            }
            Repr::Table(_) => false,
        }
    }

    /// Takes a field out; whether there was one.
    #[doc(alias = "hashTypeDelete")]
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let columns = self.columns();
        match &mut self.0 {
            Packed(listpack) | Timed(listpack) => match listpack.find(name, columns - 1) {
                Some(at) => {
                    listpack.delete_from(at, columns);
                    true
                }
                None => false,
            },
            Repr::Table(table) => {
                // A miss must not copy a table that a snapshot shares.
                table.find(name).is_some() && table.make_mut().delete(name).is_some()
            }
        }
    }

    #[cold]
    fn become_table(&mut self, seed: u64) {
        let mut table = Table::new(seed);
        for field in self.iter() {
            let mut scratch = IntBuf::new();
            let name = field.name.as_bytes(&mut scratch);
            let value = match field.value {
                StrRef::Int(n) => NewValue::Int(n),
                other => NewValue::Bytes(other.stored_bytes().unwrap_or_default()),
            };
            let hash = table.hash(name);
            table.set(hash, name, value, Deadline::Set(field.deadline), |_| 0);
        }
        self.0 = Repr::Table(Shared::new(table));
    }
}

/// A field found by [`Hash::get`].
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The field's value.
    pub value: StrRef<'a>,
    /// The field's last millisecond.
    pub deadline: Option<i64>,
}

/// All fields of a hash; see [`Hash::iter`].
#[derive(Debug)]
pub struct Iter<'a>(Source<'a>);

enum Source<'a> {
    Packed(LpIter<'a>),
    Timed(LpIter<'a>),
    Table(table::Iter<'a, NoObject>),
}

impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("fields")
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        match &mut self.0 {
            Source::Packed(entries) => Some(Field {
                name: str_ref(entries.next()?),
                value: str_ref(entries.next()?),
                deadline: None,
            }),
            Source::Timed(entries) => Some(Field {
                name: str_ref(entries.next()?),
                value: str_ref(entries.next()?),
                deadline: deadline_of(entries.next()?),
            }),
            Source::Table(entries) => table_field(entries.next()?),
        }
    }
}

#[inline]
fn str_ref(entry: LpEntry<'_>) -> StrRef<'_> {
    match entry {
        LpEntry::Int(n) => StrRef::Int(n),
        LpEntry::Str(bytes) => StrRef::Embedded(bytes),
    }
}

fn table_field(entry: table::Entry<'_, NoObject>) -> Option<Field<'_>> {
    Some(Field {
        name: StrRef::Embedded(entry.key()),
        value: entry.value().as_string()?,
        deadline: entry.deadline(),
    })
}

fn deadline_of(entry: LpEntry<'_>) -> Option<i64> {
    entry.as_int().filter(|&ms| ms != NEVER)
}

fn lp_entry<'a>(value: &'a NewValue<'_>) -> LpEntry<'a> {
    match value {
        NewValue::Int(n) => LpEntry::Int(*n),
        NewValue::Bytes(bytes) | NewValue::RawBytes(bytes) => LpEntry::Str(bytes),
        NewValue::Big(big) => LpEntry::Str(big.as_slice()),
        NewValue::Object(nothing) => match *nothing {},
    }
}

/// An integer takes fewer bytes than its digits.
fn compact(value: NewValue<'_>) -> NewValue<'_> {
    match value {
        NewValue::Bytes(bytes) if bytes.len() <= MAX_INT_LEN => {
            parse_i64(bytes).map_or(value, NewValue::Int)
        }
        other => other,
    }
}

/// A number below `bound` from 64 random bits (Lemire's multiplication).
fn below(random: u64, bound: usize) -> usize {
    ((u128::from(random) * bound as u128) >> 64) as usize
}
