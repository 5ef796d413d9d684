//! Sets: distinct byte strings, in no order.
//!
//! ```text
//!   intset      integers only, sorted, 2, 4 or 8 bytes each        up to set-max-intset-entries
//!   listpack    a few short members of any kind                    up to set-max-listpack-entries and -value
//!   hashtable   everything else: members are keys without values
//! ```
//!
//! A set only moves down this table, intset to listpack to hashtable; what the store commands build starts anew.
//! All hash tables of a server share one seed, so that a member is hashed once, however many sets it is looked up in.
//!
//! Invariant: the keyspace holds no empty set.
//!
//! Mirrors: the upper half of t_set.c; [`ops`] the algorithms of its lower half.

pub mod ops;
#[cfg(test)]
mod tests;

use std::cell::Cell;

use super::value::tag;
use crate::collections::intset::Intset;
use crate::collections::listpack::{self, Check, Corrupt, Listpack, LpEntry, LpPos};
use crate::collections::shared::{Blob, Shared};
use crate::collections::table::{self, Deadline, NewValue, NoObject, Table};
use crate::util::num::{IntBuf, digits10, parse_i64};
use crate::util::rng::Rng;

/// A member, as it is stored.
pub type Member<'a> = LpEntry<'a>;

/// The configured limits of a set's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetLimits {
    /// `set-max-intset-entries`.
    pub intset_entries: usize,
    /// `set-max-listpack-entries`.
    pub listpack_entries: usize,
    /// `set-max-listpack-value`, in bytes.
    pub listpack_value: usize,
    /// Keys the hash of all sets of a server; random.
    pub seed: u64,
}

impl SetLimits {
    /// An intset cannot count further.
    const INTSET_MOST: usize = 1 << 30;

    fn fits_intset(&self, len: usize) -> bool {
        len <= self.intset_entries.min(Self::INTSET_MOST)
    }
}

/// Positions that SSCAN hands out as cursors are so many bits of a hash.
const CURSOR_BITS: u32 = 48;

/// A set of byte strings.
#[derive(Debug, Clone)]
#[repr(transparent)]
pub struct Set(Body);

#[derive(Debug, Clone)]
#[repr(u8)]
enum Body {
    Intset(Intset) = tag::SET,
    Packed(Listpack) = tag::SET + 1,
    Table(Shared<Table<NoObject>>) = tag::SET + 2,
}

/// A member being looked for: what it takes to compare and hash it is worked out once.
#[derive(Debug)]
pub struct Probe<'a> {
    text: &'a [u8],
    number: Cell<Option<Option<i64>>>,
    hash: Cell<Option<(u64, u64)>>,
}

impl<'a> Probe<'a> {
    /// Any bytes.
    pub fn new(text: &'a [u8]) -> Self {
        Probe {
            text,
            number: Cell::new(None),
            hash: Cell::new(None),
        }
    }

    /// A member of some set; `buf` is where a number is spelled.
    pub fn of(member: Member<'a>, buf: &'a mut IntBuf) -> Self {
        let number = match member {
            LpEntry::Int(number) => Some(Some(number)),
            LpEntry::Str(_) => None,
        };
        Probe {
            text: member.as_bytes(buf),
            number: Cell::new(number),
            hash: Cell::new(None),
        }
    }

    fn number(&self) -> Option<i64> {
        if let Some(number) = self.number.get() {
            return number;
        }
        let number = parse_i64(self.text);
        self.number.set(Some(number));
        number
    }

    #[inline]
    fn hash(&self, table: &Table<NoObject>) -> u64 {
        match self.hash.get() {
            Some((seed, hash)) if seed == table.seed() => hash,
            _ => {
                let hash = table.hash(self.text);
                self.hash.set(Some((table.seed(), hash)));
                hash
            }
        }
    }
}

impl Set {
    /// An empty set in the encoding that suits `hint` members of which this is the first.
    #[doc(alias = "setTypeCreate")]
    pub fn for_members(first: &[u8], hint: usize, limits: SetLimits) -> Set {
        if hint <= limits.intset_entries && parse_i64(first).is_some() {
            Set::intset()
        } else if hint <= limits.listpack_entries {
            Set::packed()
        } else {
            Set::table(limits.seed)
        }
    }

    /// An empty intset.
    pub fn intset() -> Set {
        Set(Body::Intset(Intset::new()))
    }

    /// An empty listpack.
    pub fn packed() -> Set {
        Set(Body::Packed(Listpack::new()))
    }

    /// An empty hash table.
    pub fn table(seed: u64) -> Set {
        Set(Body::Table(Shared::new(Table::new(seed))))
    }

    /// From an intset that came from outside (RDB, RESTORE). An empty one is refused.
    pub fn from_intset(blob: Blob, check: Check, limits: SetLimits) -> Result<Set, Corrupt> {
        let set = Intset::from_blob(blob, check)?;
        if set.is_empty() {
            return Err(Corrupt);
        }
        let fits = limits.fits_intset(set.len());
        let mut set = Set(Body::Intset(set));
        if !fits {
            set.become_table(limits.seed);
        }
        Ok(set)
    }

    /// From a listpack that came from outside. An empty one is refused, after a deep check also one with a member
    /// twice.
    pub fn from_listpack(blob: Blob, check: Check, limits: SetLimits) -> Result<Set, Corrupt> {
        let pack = Listpack::from_blob(blob, check)?;
        let count = pack.len();
        if pack.is_empty() || count == 0 {
            return Err(Corrupt);
        }
        let fits = count <= limits.listpack_entries;
        let mut set = Set(Body::Packed(pack));
        if check == Check::Deep || !fits {
            let mut table = set.clone();
            table.become_table(limits.seed);
            if check == Check::Deep && table.len() != count {
                return Err(Corrupt);
            }
            if !fits {
                set = table;
            }
        }
        Ok(set)
    }

    /// Number of members. O(1).
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Body::Intset(set) => set.len(),
            Body::Packed(pack) => pack.len(),
            Body::Table(table) => table.len(),
        }
    }

    /// No members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name OBJECT ENCODING answers with.
    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Body::Intset(_) => "intset",
            Body::Packed(_) => "listpack",
            Body::Table(_) => "hashtable",
        }
    }

    /// The intset, while the set is one.
    pub fn as_intset(&self) -> Option<&Intset> {
        match &self.0 {
            Body::Intset(set) => Some(set),
            _ => None,
        }
    }

    /// The listpack, while the set is one.
    pub fn as_listpack(&self) -> Option<&Listpack> {
        match &self.0 {
            Body::Packed(pack) => Some(pack),
            _ => None,
        }
    }

    /// The hash table, while the set is one: for DEBUG HTSTATS-KEY.
    pub fn as_table(&self) -> Option<&Table<NoObject>> {
        match &self.0 {
            Body::Table(table) => Some(table),
            _ => None,
        }
    }

    /// Bytes in the allocator; of a hash table estimated from `samples` members (0: all).
    pub fn allocated_bytes(&self, samples: usize) -> usize {
        match &self.0 {
            Body::Intset(set) => set.blob().allocated_bytes(),
            Body::Packed(pack) => pack.blob().allocated_bytes(),
            Body::Table(table) => {
                let looked_at = if samples == 0 { usize::MAX } else { samples };
                let (mut seen, mut bytes) = (0, 0);
                for entry in table.iter().take(looked_at) {
                    seen += 1;
                    bytes += entry.entry_bytes();
                }
                let members = (bytes * table.len()).checked_div(seen).unwrap_or(0);
                Shared::<Table<NoObject>>::node_bytes() + table.node_bytes() + members
            }
        }
    }

    /// How many steps freeing it takes.
    pub fn free_effort(&self) -> usize {
        match &self.0 {
            Body::Intset(_) | Body::Packed(_) => 1,
            Body::Table(table) => table.len(),
        }
    }

    // ---- Reading -------------------------------------------------------------------------------------

    /// Whether these bytes are a member. O(1), or O(log n) in an intset, O(n) in a listpack.
    #[doc(alias = "setTypeIsMember")]
    #[inline]
    pub fn contains(&self, member: &[u8]) -> bool {
        self.holds(&Probe::new(member))
    }

    /// As [`Set::contains`], for a member looked up in several sets.
    #[inline]
    pub fn holds(&self, probe: &Probe<'_>) -> bool {
        match &self.0 {
            Body::Intset(set) => probe.number().is_some_and(|number| set.contains(number)),
            Body::Packed(pack) => pack.find(probe.text, 0).is_some(),
            Body::Table(table) => table.get(probe.hash(table), probe.text).is_some(),
        }
    }

    /// All members, in no order.
    pub fn iter(&self) -> Iter<'_> {
        Iter(match &self.0 {
            Body::Intset(set) => Walk::Intset(set, 0),
            Body::Packed(pack) => Walk::Packed(pack.iter()),
            Body::Table(table) => Walk::Table(table.iter()),
        })
    }

    /// Some member, each with the same probability.
    #[doc(alias = "setTypeRandomElement")]
    pub fn random(&self, rng: &mut Rng) -> Option<Member<'_>> {
        match &self.0 {
            Body::Intset(set) => {
                let at = rng.below(set.len() as u64) as usize;
                set.get(at).map(LpEntry::Int)
            }
            Body::Packed(pack) => pack.get(rng.below(pack.len() as u64) as i64),
            Body::Table(table) => {
                let entry = table.random(&mut || rng.next_u64())?;
                Some(LpEntry::Str(entry.key()))
            }
        }
    }

    /// Hands up to `count` members from a cursor on to `f`; returns the next cursor, 0 at the end. A small encoding
    /// is handed out whole.
    #[doc(alias = "scanGenericCommand")]
    pub fn scan(&self, cursor: u64, count: usize, f: &mut dyn FnMut(Member<'_>)) -> u64 {
        match &self.0 {
            Body::Table(table) => {
                let mut show = |entry: table::Entry<'_, NoObject>| f(LpEntry::Str(entry.key()));
                table
                    .scan(cursor, CURSOR_BITS, count, &mut show)
                    .unwrap_or(0)
            }
            _ => {
                self.iter().for_each(f);
                0
            }
        }
    }

    // ---- Writing -------------------------------------------------------------------------------------

    /// Gets ready for `hint` new members: far too many of them are not added to a small encoding first.
    #[doc(alias = "setTypeMaybeConvert")]
    pub fn expect(&mut self, hint: usize, limits: SetLimits) {
        let small = match &self.0 {
            Body::Intset(_) => hint <= limits.intset_entries,
            Body::Packed(_) => hint <= limits.listpack_entries,
            Body::Table(_) => true,
        };
        if !small {
            self.become_table(limits.seed);
        }
    }

    /// Adds a member; whether it is new. O(1), or O(n) in the small encodings.
    #[doc(alias = "setTypeAdd")]
    #[inline]
    pub fn add(&mut self, member: &[u8], limits: SetLimits) -> bool {
        self.add_probe(&Probe::new(member), limits)
    }

    /// As [`Set::add`], for a member of some set.
    pub fn add_member(&mut self, member: Member<'_>, limits: SetLimits) -> bool {
        self.add_probe(&Probe::of(member, &mut IntBuf::new()), limits)
    }

    fn add_probe(&mut self, probe: &Probe<'_>, limits: SetLimits) -> bool {
        match &mut self.0 {
            Body::Table(table) => {
                let hash = probe.hash(table);
                // Looked for first: a member that is there already must not unshare anything.
                if table.get(hash, probe.text).is_some() {
                    return false;
                }
                let (value, deadline) = (NewValue::Bytes(b""), Deadline::Set(None));
                table
                    .make_mut()
                    .set(hash, probe.text, value, deadline, |_| 0);
                true
            }
            Body::Packed(pack) => {
                if pack.find(probe.text, 0).is_some() {
                    return false;
                }
                let len = probe.text.len();
                let fits = pack.len() < limits.listpack_entries
                    && len <= limits.listpack_value
                    && pack.would_fit(len);
                if fits {
                    pack.push_back(probe.text);
                    return true;
                }
                self.become_table(limits.seed);
                self.add_probe(probe, limits)
            }
            Body::Intset(set) => {
                if let Some(number) = probe.number() {
                    let new = set.insert(number);
                    if new && !limits.fits_intset(set.len()) {
                        self.become_table(limits.seed);
                    }
                    return new;
                }
                let longest = set.min().into_iter().chain(set.max()).map(spelled_len);
                let fits = set.len() < limits.listpack_entries
                    && probe.text.len() <= limits.listpack_value
                    && longest.max().unwrap_or(0) <= limits.listpack_value;
                if fits {
                    let mut pack = Listpack::from_entries(set.iter());
                    pack.push_back(probe.text);
                    self.0 = Body::Packed(pack);
                    return true;
                }
                self.become_table(limits.seed);
                self.add_probe(probe, limits)
            }
        }
    }

    /// Removes a member; whether it was one.
    #[doc(alias = "setTypeRemove")]
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match &mut self.0 {
            Body::Intset(set) => parse_i64(member).is_some_and(|number| set.remove(number)),
            Body::Packed(pack) => match pack.find(member, 0) {
                Some(pos) => {
                    pack.delete(pos);
                    true
                }
                None => false,
            },
            Body::Table(table) => {
                let hash = table.hash(member);
                table.get(hash, member).is_some() && table.make_mut().remove(hash, member).is_some()
            }
        }
    }

    /// Removes some member, each with the same probability, after showing it to `f`.
    #[doc(alias = "setTypePopRandom")]
    pub fn pop_random<R>(&mut self, rng: &mut Rng, f: impl FnOnce(Member<'_>) -> R) -> Option<R> {
        match &mut self.0 {
            Body::Intset(set) => {
                let number = set.get(rng.below(set.len() as u64) as usize)?;
                set.remove(number);
                Some(f(LpEntry::Int(number)))
            }
            Body::Packed(pack) => {
                let pos = pack.seek(rng.below(pack.len() as u64) as i64)?;
                let shown = f(pack.entry(pos)?);
                pack.delete(pos);
                Some(shown)
            }
            Body::Table(table) => {
                let entry = table.random(&mut || rng.next_u64())?;
                let mut name = [0; 64];
                let long;
                let key = match name.get_mut(..entry.key().len()) {
                    Some(name) => {
                        name.copy_from_slice(entry.key());
                        &*name
                    }
                    None => {
                        long = entry.key().to_vec();
                        &long
                    }
                };
                let hash = table.hash(key);
                table.make_mut().remove(hash, key)?;
                Some(f(LpEntry::Str(key)))
            }
        }
    }

    /// Keeps or hands out members of a listpack at random: `chosen` of them are shown to `f` and removed.
    fn remove_chosen(&mut self, chosen: usize, rng: &mut Rng, f: &mut dyn FnMut(Member<'_>)) {
        if let Body::Packed(pack) = &mut self.0 {
            let places = choose(pack, chosen, rng);
            for entry in places.iter().filter_map(|pos| pack.entry(*pos)) {
                f(entry);
            }
            pack.delete_many(&places);
        }
    }

    /// All members are numbers and few enough: an intset will do.
    #[doc(alias = "maybeConvertToIntset")]
    pub(crate) fn become_intset(&mut self, limits: SetLimits) {
        if !limits.fits_intset(self.len()) || matches!(self.0, Body::Intset(_)) {
            return;
        }
        let mut set = Intset::new();
        for member in self.iter() {
            match member.as_int() {
                Some(number) => set.insert(number),
                None => return,
            };
        }
        self.0 = Body::Intset(set);
    }

    fn become_table(&mut self, seed: u64) {
        let mut table = Table::new(seed);
        let mut buf = IntBuf::new();
        for member in self.iter() {
            let text = member.as_bytes(&mut buf);
            let hash = table.hash(text);
            table.set(hash, text, NewValue::Bytes(b""), Deadline::Set(None), |_| 0);
        }
        self.0 = Body::Table(Shared::new(table));
    }
}

/// Places of `count` different entries, each subset equally likely, in one walk.
///
/// Selection sampling: the next entry is taken with the probability (still wanted) / (still to come). Knuth,
/// vol. 2, 3.4.2, algorithm S.
#[doc(alias = "lpNextRandom")]
fn choose(pack: &Listpack, count: usize, rng: &mut Rng) -> Vec<LpPos> {
    let mut left = pack.len() as u64;
    let mut wanted = (count as u64).min(left);
    let mut places = Vec::with_capacity(wanted as usize);
    for (pos, _) in pack.positions() {
        if wanted == 0 || left == 0 {
            break;
        }
        if rng.below(left) < wanted {
            places.push(pos);
            wanted -= 1;
        }
        left -= 1;
    }
    places
}

fn spelled_len(number: i64) -> usize {
    digits10(number.unsigned_abs()) + usize::from(number < 0)
}

/// The members of a set.
#[derive(Debug)]
pub struct Iter<'a>(Walk<'a>);

#[derive(Debug)]
enum Walk<'a> {
    Intset(&'a Intset, usize),
    Packed(listpack::Iter<'a>),
    Table(table::Iter<'a, NoObject>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = Member<'a>;

    #[inline]
    fn next(&mut self) -> Option<Member<'a>> {
        match &mut self.0 {
            Walk::Intset(set, at) => {
                let number = set.get(*at)?;
                *at += 1;
                Some(LpEntry::Int(number))
            }
            Walk::Packed(iter) => iter.next(),
            Walk::Table(iter) => Some(LpEntry::Str(iter.next()?.key())),
        }
    }
}

impl<'a> IntoIterator for &'a Set {
    type Item = Member<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}
