//! Sorted sets: members with a score each, in the order of scores.
//!
//! ```text
//!   Packed    [member score][member score] ...        "listpack"    few short members, in order
//!   Ordered   table: member -> score                  "skiplist"    finding a member by name
//!             tree:  (score, member), with ranks                    finding it by place
//! ```
//!
//! Every question to a sorted set comes down to ranks, from 0 for the lowest: a range of scores or of members is a
//! range of ranks ([`Zset::score_range`], [`Zset::lex_range`]), and a range of ranks can be counted, walked either way
//! ([`Zset::range`]) or removed ([`Zset::remove_range`]).
//!
//! A sorted set grows from packed to ordered by [`Limits`] and never shrinks back, except where a command builds a
//! new one ([`Zset::settle`]). Order is by score, then by the bytes of the member; scores are never NaN.
//!
//! Mirrors: the upper half of t_zset.c. Differs: what the C code does once per encoding and kind of range is done
//! once here, on ranks. A listpack that came damaged from outside shows fewer members and fails no command.
//! Cost: packed O(bytes) per operation; ordered O(1) by name, O(log n) by rank, score or lex, and for every change.

mod ordered;
mod packed;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::ops::Range;

use self::ordered::Ordered;
use self::packed::Pairs;
use super::value::tag;
pub use crate::collections::btree::{LexBound, ScoreBound};
use crate::collections::listpack::{Check, Corrupt, Listpack, LpEntry};
use crate::collections::shared::{Blob, Shared};
use crate::collections::table::{NoObject, Table};
use crate::util::num::IntBuf;

/// A scan's cursor is this many bits of a member's hash; a double holds them.
const CURSOR_BITS: u32 = 48;

/// How large a packed sorted set may get, and the seed of the table it then becomes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// `zset-max-listpack-entries`.
    pub entries: usize,
    /// `zset-max-listpack-value`: bytes of a member.
    pub value: usize,
    /// Keys the table's hash function; secret.
    pub seed: u64,
}

/// The conditions of a ZADD: NX, XX, GT, LT, INCR.
#[doc(alias = "ZADD_IN_NX")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Only members that are not there.
    pub only_new: bool,
    /// Only members that are there.
    pub only_old: bool,
    /// A member that is there only if its score grows.
    pub only_greater: bool,
    /// A member that is there only if its score shrinks.
    pub only_less: bool,
    /// The score given is added to the one that is there.
    pub increment: bool,
}

/// The result of [`Zset::add`].
#[doc(alias = "ZADD_OUT_ADDED")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Added {
    /// The member is new.
    New(f64),
    /// It has another score now.
    Moved(f64),
    /// It has the score it had.
    Same(f64),
    /// The conditions were against it.
    Refused,
}

/// Infinity and minus infinity have no sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotANumber;

/// A member with its score.
#[derive(Debug, Clone, Copy)]
pub struct Scored<'a> {
    /// The member.
    pub member: LpEntry<'a>,
    /// The score, never NaN.
    pub score: f64,
}

/// Which end of the order comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The lowest.
    Up,
    /// The highest.
    Down,
}

/// A sorted set.
#[derive(Debug, Clone)]
#[repr(transparent)]
pub struct Zset(Repr);

#[derive(Debug, Clone)]
#[repr(u8)]
enum Repr {
    Packed(Listpack) = tag::ZSET,
    Ordered(Shared<Ordered>) = tag::ZSET + 1,
}

use Repr::{Ordered as Big, Packed};

impl Zset {
    /// An empty one, for so many members of which the first is so long.
    #[doc(alias = "zsetTypeCreate")]
    pub fn new(members: usize, first_len: usize, limits: Limits) -> Zset {
        if members <= limits.entries && first_len <= limits.value {
            Zset(Packed(Listpack::new()))
        } else {
            Zset::building(limits)
        }
    }

    /// An empty one to be filled with many members through [`Zset::push`]; [`Zset::settle`] it at the end.
    pub fn building(limits: Limits) -> Zset {
        Zset(Big(Shared::new(Ordered::new(limits.seed))))
    }

    /// Takes a listpack from outside (RDB, RESTORE, a peer). `Deep` looks at every entry and for members that come
    /// twice; `Shallow` leaves it to the reader to see fewer members than the header counts.
    #[doc(alias = "lpValidateIntegrityAndDups")]
    pub fn from_listpack(blob: Blob, check: Check) -> Result<Zset, Corrupt> {
        let listpack = Listpack::from_blob(blob, check)?;
        if check == Check::Deep && !packed::is_sound(&listpack) {
            return Err(Corrupt);
        }
        Ok(Zset(Packed(listpack)))
    }

    /// The bytes as they are written to RDB, while packed.
    pub fn as_listpack(&self) -> Option<&Listpack> {
        match &self.0 {
            Packed(listpack) => Some(listpack),
            Big(_) => None,
        }
    }

    /// Number of members. (Of a listpack, the count in its header.)
    #[doc(alias = "zsetLength")]
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Packed(listpack) => listpack.len() / 2,
            Big(ordered) => ordered.len(),
        }
    }

    /// No members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The hash table, once there is one: for DEBUG HTSTATS-KEY.
    pub fn as_table(&self) -> Option<&Table<NoObject>> {
        match &self.0 {
            Packed(_) => None,
            Big(ordered) => Some(ordered.table()),
        }
    }

    /// The name OBJECT ENCODING answers with.
    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Packed(_) => "listpack",
            Big(_) => "skiplist",
        }
    }

    pub(super) fn allocated_bytes(&self, samples: usize) -> usize {
        match &self.0 {
            Packed(listpack) => listpack.byte_len(),
            Big(ordered) => Shared::<Ordered>::node_bytes() + ordered.allocated_bytes(samples),
        }
    }

    pub(super) fn free_effort(&self) -> usize {
        match &self.0 {
            Packed(_) => 1,
            Big(ordered) => ordered.len(),
        }
    }

    // ------------------------------------------------------------------------------------------ one member

    /// The score of a member.
    #[doc(alias = "zsetScore")]
    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.0 {
            Packed(listpack) => Some(packed::find(listpack, member)?.1),
            Big(ordered) => ordered.score(member),
        }
    }

    /// The rank and score of a member.
    #[doc(alias = "zsetRank")]
    pub fn rank(&self, member: &[u8]) -> Option<(u64, f64)> {
        match &self.0 {
            Packed(listpack) => {
                let (rank, pair) = Pairs::of(listpack)
                    .enumerate()
                    .find(|(_, pair)| packed::compare(pair.member, member).is_eq())?;
                Some((rank as u64, pair.score))
            }
            Big(ordered) => ordered.rank(member),
        }
    }

    /// Adds a member, or gives it another score.
    #[doc(alias = "zsetAdd")]
    #[inline]
    pub fn add(
        &mut self,
        member: &[u8],
        score: f64,
        conditions: Conditions,
        limits: Limits,
    ) -> Result<Added, NotANumber> {
        if score.is_nan() {
            return Err(NotANumber);
        }
        match &mut self.0 {
            Packed(listpack) => {
                if let Some((pos, old)) = packed::find(listpack, member) {
                    let (added, new) = judge(old, score, conditions)?;
                    if let Some(new) = new {
                        listpack.delete_from(pos, 2);
                        packed::insert(listpack, member, new);
                    }
                    return Ok(added);
                }
                if conditions.only_old {
                    return Ok(Added::Refused);
                }
                let fits = listpack.len() / 2 < limits.entries
                    && member.len() <= limits.value
                    && listpack.would_fit(member.len());
                if fits {
                    packed::insert(listpack, member, score);
                } else {
                    self.become_ordered(limits).insert(member, score);
                }
                Ok(Added::New(score))
            }
            Big(ordered) => {
                // Looked for first, so that what changes nothing copies nothing a snapshot shares.
                match ordered.score(member) {
                    Some(old) => {
                        let (added, new) = judge(old, score, conditions)?;
                        if let Some(new) = new {
                            ordered.make_mut().rescore(member, old, new);
                        }
                        Ok(added)
                    }
                    None if conditions.only_old => Ok(Added::Refused),
                    None => {
                        ordered.make_mut().insert(member, score);
                        Ok(Added::New(score))
                    }
                }
            }
        }
    }

    /// Removes a member; whether it was there.
    #[doc(alias = "zsetDel")]
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match &mut self.0 {
            Packed(listpack) => match packed::find(listpack, member) {
                Some((pos, _)) => {
                    listpack.delete_from(pos, 2);
                    true
                }
                None => false,
            },
            Big(ordered) => match ordered.score(member) {
                Some(score) => {
                    ordered.make_mut().remove(member, score);
                    true
                }
                None => false,
            },
        }
    }

    // ------------------------------------------------------------------------------------------ ranges

    /// The ranks of the members whose score lies between the bounds; empty if none does.
    #[doc(alias = "zslNthInRange")]
    pub fn score_range(&self, min: ScoreBound, max: ScoreBound) -> Range<u64> {
        match &self.0 {
            Packed(listpack) => packed::score_range(listpack, min, max),
            Big(ordered) => ordered.tree().score_range(min, max),
        }
    }

    /// The ranks of the members that lie between the bounds, provided that all scores are equal; otherwise some
    /// ranks, of a listpack those that Redis finds when it comes from this direction.
    #[doc(alias = "zslNthInLexRange")]
    pub fn lex_range(
        &self,
        min: LexBound<'_>,
        max: LexBound<'_>,
        direction: Direction,
    ) -> Range<u64> {
        match &self.0 {
            Packed(listpack) => packed::lex_range(listpack, min, max, direction),
            Big(ordered) => ordered.tree().lex_range(min, max),
        }
    }

    /// The members at these ranks, from either end. O(log n + members).
    pub fn range(
        &self,
        ranks: Range<u64>,
        direction: Direction,
    ) -> impl Iterator<Item = Scored<'_>> + '_ {
        match &self.0 {
            Packed(listpack) => {
                let pairs = Pairs::of(listpack);
                let missing = (self.len() as u64).saturating_sub(ranks.end) as usize;
                let len = ranks.end.saturating_sub(ranks.start) as usize;
                match direction {
                    Direction::Up => Walk::Up(pairs.skip(ranks.start as usize).take(len)),
                    Direction::Down => Walk::Down(pairs.rev().skip(missing).take(len)),
                }
            }
            Big(ordered) => match direction {
                Direction::Up => Walk::TreeUp(ordered.tree().range(ranks)),
                Direction::Down => Walk::TreeDown(ordered.tree().range_rev(ranks)),
            },
        }
    }

    /// All members, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = Scored<'_>> + '_ {
        self.range(0..self.len() as u64, Direction::Up)
    }

    /// The member at a rank.
    pub fn get(&self, rank: u64) -> Option<Scored<'_>> {
        self.range(rank..rank.checked_add(1)?, Direction::Up).next()
    }

    /// Removes the members at these ranks; how many there were.
    #[doc(alias = "zslDeleteRangeByRank")]
    pub fn remove_range(&mut self, ranks: Range<u64>) -> usize {
        let len = self.len() as u64;
        let ranks = ranks.start..ranks.end.min(len);
        if ranks.is_empty() {
            return 0;
        }
        let count = (ranks.end - ranks.start) as usize;
        match &mut self.0 {
            Packed(listpack) => listpack.delete_range(2 * ranks.start as i64, 2 * count),
            Big(ordered) => ordered.make_mut().remove_range(ranks),
        }
        count
    }

    /// Calls `f` for some `count` members from a place that `cursor` tells and returns the next cursor, 0 at the end.
    /// A member that is there all the while is met once. All members of a listpack are met at once.
    pub fn scan(&self, cursor: u64, count: usize, f: &mut dyn FnMut(Scored<'_>)) -> u64 {
        match &self.0 {
            Packed(_) => {
                self.iter().for_each(f);
                0
            }
            Big(ordered) => ordered.scan(cursor, count, f),
        }
    }

    // ------------------------------------------------------------------------------------------ building

    /// So many members are about to be added: becomes ordered at once if they will not fit a listpack.
    #[doc(alias = "zsetTypeMaybeConvert")]
    pub fn grow_for(&mut self, members: usize, limits: Limits) {
        if matches!(self.0, Packed(_)) && members > limits.entries {
            self.become_ordered(limits);
        }
    }

    /// Adds a member; `false` if it was there already. Cheapest in ascending or in descending order.
    pub fn push(&mut self, member: &[u8], score: f64, limits: Limits) -> bool {
        let ordered = match &mut self.0 {
            Packed(_) => self.become_ordered(limits),
            Big(ordered) => ordered.make_mut(),
        };
        ordered.push(member, score)
    }

    /// Becomes a listpack if it is small enough for one: the encoding of a value that a command made anew.
    #[doc(alias = "zsetConvertToListpackIfNeeded")]
    pub fn settle(&mut self, limits: Limits) {
        let Big(ordered) = &self.0 else { return };
        if ordered.len() > limits.entries {
            return;
        }
        let mut bytes = 0;
        for ranked in ordered.tree().iter() {
            let len = ranked.member.as_ref().len();
            if len > limits.value {
                return;
            }
            bytes += len;
        }
        let mut listpack = Listpack::new();
        if listpack.would_fit(bytes) {
            for ranked in ordered.tree().iter() {
                packed::push(&mut listpack, ranked.member.as_ref(), ranked.score);
            }
            self.0 = Packed(listpack);
        }
    }

    /// Members under construction, found by name and without order.
    pub fn collector(limits: Limits) -> Collector {
        Collector(Ordered::new(limits.seed))
    }

    #[doc(alias = "zsetConvertAndExpand")]
    fn become_ordered(&mut self, limits: Limits) -> &mut Ordered {
        if let Packed(listpack) = &self.0 {
            let mut ordered = Ordered::new(limits.seed);
            for pair in Pairs::of(listpack) {
                ordered.push(pair.member.as_bytes(&mut IntBuf::new()), pair.score);
            }
            self.0 = Big(Shared::new(ordered));
        }
        match &mut self.0 {
            Big(ordered) => ordered.make_mut(),
            Packed(_) => unreachable!("it has just become ordered"),
        }
    }
}

/// Members whose scores are still being added up: the table without the tree.
#[derive(Debug)]
pub struct Collector(Ordered);

impl Collector {
    /// Gives a member a score: `new` if it had none, else what `merge` makes of the one it had. O(1).
    pub fn merge(&mut self, member: &[u8], new: f64, merge: impl FnOnce(f64) -> f64) {
        self.0.merge(member, new, merge);
    }

    /// Takes a member away. O(1).
    pub fn remove(&mut self, member: &[u8]) {
        self.0.forget(member);
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// No members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts them in order. O(n log n).
    pub fn finish(mut self) -> Zset {
        self.0.arrange();
        Zset(Big(Shared::new(self.0)))
    }
}

/// Judges a ZADD of a member that has a score: the answer, and the new score if it changes.
fn judge(old: f64, score: f64, conditions: Conditions) -> Result<(Added, Option<f64>), NotANumber> {
    if conditions.only_new {
        return Ok((Added::Refused, None));
    }
    let new = if conditions.increment {
        old + score
    } else {
        score
    };
    if new.is_nan() {
        return Err(NotANumber);
    }
    if (conditions.only_less && new >= old) || (conditions.only_greater && new <= old) {
        return Ok((Added::Refused, None));
    }
    // Zero and minus zero are the same.
    if new == old {
        return Ok((Added::Same(new), None));
    }
    Ok((Added::Moved(new), Some(new)))
}

/// Whether a member lies behind the lower bound.
fn above(member: LpEntry<'_>, min: LexBound<'_>) -> bool {
    match min {
        LexBound::Min => true,
        LexBound::Max => false,
        LexBound::Inclusive(at) => packed::compare(member, at) != Ordering::Less,
        LexBound::Exclusive(at) => packed::compare(member, at) == Ordering::Greater,
    }
}

/// Whether a member lies before the upper bound.
fn below(member: LpEntry<'_>, max: LexBound<'_>) -> bool {
    match max {
        LexBound::Min => false,
        LexBound::Max => true,
        LexBound::Inclusive(at) => packed::compare(member, at) != Ordering::Greater,
        LexBound::Exclusive(at) => packed::compare(member, at) == Ordering::Less,
    }
}

/// A walk over either encoding, either way.
enum Walk<A, B, C, D> {
    Up(A),
    Down(B),
    TreeUp(C),
    TreeDown(D),
}

impl<'a, A, B, C, D> Iterator for Walk<A, B, C, D>
where
    A: Iterator<Item = packed::Pair<'a>>,
    B: Iterator<Item = packed::Pair<'a>>,
    C: Iterator<Item = &'a ordered::Ranked>,
    D: Iterator<Item = &'a ordered::Ranked>,
{
    type Item = Scored<'a>;

    #[inline]
    fn next(&mut self) -> Option<Scored<'a>> {
        let of_pair = |pair: packed::Pair<'a>| Scored {
            member: pair.member,
            score: pair.score,
        };
        let of_rank = |ranked: &'a ordered::Ranked| Scored {
            member: LpEntry::Str(ranked.member.as_ref()),
            score: ranked.score,
        };
        match self {
            Walk::Up(walk) => walk.next().map(of_pair),
            Walk::Down(walk) => walk.next().map(of_pair),
            Walk::TreeUp(walk) => walk.next().map(of_rank),
            Walk::TreeDown(walk) => walk.next().map(of_rank),
        }
    }
}
