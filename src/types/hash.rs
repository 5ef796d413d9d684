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
//! Mirrors: the upper half of t_hash.c and entry.c.
//! Differs: Redis keeps the deadlines of a big hash in a structure beside it (ebuckets.c); here they lie in the table's
//! entries and the table knows per segment which is first, as for keys. A listpack that came damaged from outside
//! shows fewer fields and fails no command.
//! Cost: packed and timed O(bytes) per operation, table O(1). A small hash is its listpack and 24 bytes in the key's
//! entry; in a big one a field of 8 bytes with a value of 8 takes a 32-byte block and 11 bytes of table.

use std::collections::{HashMap, HashSet};

use super::value::tag;
use crate::collections::listpack::{Check, Corrupt, Iter as LpIter, Listpack, LpEntry, LpPos};
use crate::collections::shared::Shared;
use crate::collections::table::{self, Deadline, Inserted, NoObject, Removed, StrRef, Table};
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
                if new && self.len() > limits.entries {
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

    // ------------------------------------------------------------------------------------------ deadlines

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

/// A number below `bound` from 64 random bits (Lemire's multiplication).
fn below(random: u64, bound: usize) -> usize {
    ((u128::from(random) * bound as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::collections::testing::Rng;

    type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<i64>)>;

    const SMALL: Limits = Limits {
        entries: 8,
        value: 16,
        seed: 7,
    };
    const NONE: Limits = Limits {
        entries: 0,
        ..SMALL
    };
    const LARGE: Limits = Limits {
        entries: 1 << 20,
        ..SMALL
    };

    fn bytes(text: &[u8]) -> NewValue<'_> {
        NewValue::Bytes(text)
    }

    fn content(hash: &Hash) -> Model {
        let fields = hash.iter();
        fields
            .map(|f| (f.name.to_vec(), (f.value.to_vec(), f.deadline)))
            .collect()
    }

    fn names_in_order(hash: &Hash) -> Vec<String> {
        hash.iter()
            .map(|f| String::from_utf8_lossy(&f.name.to_vec()).into_owned())
            .collect()
    }

    #[test]
    fn encodings_change_as_redis_has_them_do() {
        let mut hash = Hash::new();
        for i in 0..8 {
            assert!(hash.set(format!("f{i}").as_bytes(), bytes(b"1"), false, &SMALL));
            assert_eq!(hash.encoding(), "listpack");
        }
        let mut timed = hash.clone();
        assert!(hash.set(b"f8", bytes(b"1"), false, &SMALL));
        assert_eq!((hash.encoding(), hash.len()), ("hashtable", 9));

        assert!(timed.set_deadline(b"f3", Some(50)));
        assert_eq!(timed.encoding(), "listpackex");
        assert!(timed.set_deadline(b"f3", None));
        assert_eq!(timed.encoding(), "listpackex");
        assert!(!timed.has_deadlines());
        assert!(!timed.set(b"f1", bytes(b"a value of 17 ch."), false, &SMALL));
        assert_eq!((timed.encoding(), timed.len()), ("hashtable", 8));

        let mut prepared = Hash::new();
        prepared.prepare(9, std::iter::empty(), &SMALL);
        assert_eq!(prepared.encoding(), "hashtable");
    }

    #[test]
    fn filling_is_as_setting_one_by_one() {
        for n in [1usize, 3, 16, 17, 40] {
            let words: Vec<Vec<u8>> = (0..n)
                .flat_map(|i| [format!("f{}", i * 7 % 20), format!("{i}")])
                .map(String::into_bytes)
                .collect();
            let (mut filled, mut set) = (Hash::new(), Hash::new());
            let new = filled.fill(words.iter().map(|word| &**word));
            let mut expected = 0;
            for pair in words.chunks(2) {
                expected += usize::from(set.set(&pair[0], bytes(&pair[1]), false, &LARGE));
            }
            assert_eq!(new, Some(expected));
            let (filled_bytes, set_bytes) = (filled.as_listpack(), set.as_listpack());
            assert_eq!(filled_bytes, set_bytes);
            assert_eq!(filled.fill(words.iter().map(|word| &**word)), None);
        }
    }

    #[test]
    fn timed_fields_stand_in_order_of_their_deadlines() {
        let mut hash = Hash::new();
        for name in ["a", "b", "c", "d"] {
            hash.set(name.as_bytes(), bytes(b"12"), false, &SMALL);
        }
        hash.set_deadline(b"c", Some(30));
        hash.set_deadline(b"a", Some(20));
        hash.set_deadline(b"d", Some(30));
        assert_eq!(names_in_order(&hash), ["a", "d", "c", "b"]);
        // A new value takes the deadline away, unless it is to be kept.
        hash.set(b"a", bytes(b"x"), false, &SMALL);
        hash.set(b"c", bytes(b"y"), true, &SMALL);
        assert_eq!(names_in_order(&hash), ["d", "c", "b", "a"]);
        assert_eq!(hash.get(b"c").and_then(|f| f.deadline), Some(30));
        assert_eq!(hash.earliest_bound(), Some(30));

        let mut gone = Vec::new();
        assert_eq!(hash.expire(30, 9, &mut |name| gone.push(name.to_vec())), 0);
        assert_eq!(hash.expire(31, 1, &mut |name| gone.push(name.to_vec())), 1);
        assert_eq!(hash.expire(31, 9, &mut |name| gone.push(name.to_vec())), 1);
        assert_eq!(gone, [b"d", b"c"]);
        assert_eq!(hash.len(), 2);
    }

    #[test]
    fn listpacks_from_outside_are_checked() {
        let pairs = Listpack::from_entries([b"a", b"1", b"b", b"2"]);
        let take = |listpack: &Listpack, timed, limits| {
            Hash::from_listpack(listpack.clone(), timed, Check::Deep, limits)
        };
        assert_eq!(take(&pairs, false, &SMALL).map(|h| h.len()), Ok(2));
        assert!(take(&pairs, true, &SMALL).is_err());
        let table = take(&pairs, false, &NONE).expect("sound");
        assert_eq!(table.encoding(), "hashtable");

        let twice = Listpack::from_entries([b"a", b"1", b"a", b"2"]);
        assert!(take(&twice, false, &SMALL).is_err());
        let loose = Hash::from_listpack(twice, false, Check::Shallow, &SMALL);
        assert_eq!(loose.map(|h| h.len()), Ok(2));

        let triple =
            |name: &'static [u8], ms| [LpEntry::Str(name), LpEntry::Int(1), LpEntry::Int(ms)];
        let ordered = Listpack::from_entries([triple(b"a", 5), triple(b"b", 0)].concat());
        assert_eq!(
            take(&ordered, true, &SMALL).map(|h| h.earliest()),
            Ok(Some(5))
        );
        for wrong in [[0, 5], [6, 5], [-1, 0]] {
            let [first, second] = wrong;
            let wrong =
                Listpack::from_entries([triple(b"a", first), triple(b"b", second)].concat());
            assert!(take(&wrong, true, &SMALL).is_err());
        }
    }

    #[test]
    fn races_a_model() {
        for (seed, limits) in [(1, SMALL), (2, NONE), (3, LARGE), (4, SMALL), (5, LARGE)] {
            let mut rng = Rng::new(seed);
            let (mut hash, mut model) = (Hash::new(), Model::new());
            let mut frozen: Vec<(Hash, Model)> = Vec::new();
            for step in 0..3_000i64 {
                let name = format!("{}", rng.below(if seed == 4 { 12 } else { 200 })).into_bytes();
                match rng.below(12) {
                    0..=4 => {
                        let value = format!("{:x}", rng.below(1 << 20)).into_bytes();
                        let keep = rng.below(2) == 0;
                        let old = model.get(&name).cloned();
                        let deadline = old.clone().filter(|_| keep).and_then(|(_, at)| at);
                        let new = hash.set(&name, bytes(&value), keep, &limits);
                        assert_eq!(new, old.is_none(), "seed {seed} step {step}");
                        model.insert(name, (value, deadline));
                    }
                    5 | 6 => assert_eq!(hash.remove(&name), model.remove(&name).is_some()),
                    7 | 8 => {
                        let at = (rng.below(4) > 0).then(|| step + 1 + rng.below(500) as i64);
                        assert_eq!(hash.set_deadline(&name, at), model.contains_key(&name));
                        if let Some(field) = model.get_mut(&name) {
                            field.1 = at;
                        }
                    }
                    9 => {
                        let mut gone = Vec::new();
                        while hash.expire(step, 3, &mut |n| gone.push(n.to_vec())) > 0 {}
                        for name in &gone {
                            let field = model.remove(name).expect("a field of the model");
                            assert!(is_past(field.1, step));
                        }
                        assert!(model.values().all(|field| !is_past(field.1, step)));
                    }
                    10 if frozen.len() < 6 => frozen.push((hash.clone(), model.clone())),
                    10 => drop(frozen.swap_remove(rng.below(6))),
                    _ => {
                        let found = hash.get(&name).map(|f| (f.value.to_vec(), f.deadline));
                        assert_eq!(found.as_ref(), model.get(&name));
                        assert_eq!(hash.len(), model.len());
                        let first = model.values().filter_map(|field| field.1).min();
                        assert_eq!(hash.earliest(), first);
                        assert_eq!(hash.has_deadlines(), first.is_some());
                        assert!(hash.earliest_bound() <= first || first.is_none());
                    }
                }
            }
            assert_eq!(content(&hash), model);
            for (hash, model) in frozen {
                assert_eq!(content(&hash), model);
            }
        }
    }

    #[test]
    fn picks_are_fair() {
        for limits in [LARGE, NONE] {
            let mut hash = Hash::new();
            for i in 0..50 {
                hash.set(format!("{i}").as_bytes(), bytes(b"v"), false, &limits);
            }
            let mut rng = Rng::new(1);
            let mut random = || rng.next();
            for n in [3, 10, 30, 50, 60] {
                let mut counts = BTreeMap::new();
                for _ in 0..400 {
                    let mut seen = std::collections::BTreeSet::new();
                    hash.choose(n, &mut random, &mut |f| {
                        assert!(seen.insert(f.name.to_vec()), "no field twice");
                        *counts.entry(f.name.to_vec()).or_insert(0) += 1;
                    });
                    assert_eq!(seen.len(), n.min(50));
                }
                let expected = 400 * n.min(50) as i32 / 50;
                let fair = |count: &i32| (count - expected).abs() <= expected / 2 + 8;
                assert!(
                    counts.len() == 50 && counts.values().all(fair),
                    "{counts:?}"
                );
            }
            let mut drawn = 0;
            hash.draw(70, &mut random, &mut |_| drawn += 1);
            assert_eq!(drawn, 70);
            assert!(hash.random(&mut random).is_some());
        }
    }

    #[test]
    fn a_scan_sees_each_field_once() {
        let mut hash = Hash::new();
        for i in 0..1000 {
            hash.set(format!("{i}").as_bytes(), bytes(b"v"), false, &NONE);
        }
        let (mut cursor, mut seen) = (0, Vec::new());
        loop {
            cursor = hash.scan(cursor, 10, &mut |f| seen.push(f.name.to_vec()));
            if cursor == 0 {
                break;
            }
        }
        let unique: std::collections::BTreeSet<_> = seen.iter().collect();
        assert_eq!((seen.len(), unique.len()), (1000, 1000));
    }
}
