//! The order of a sorted set: members by score, then by their bytes.
//!
//! Everything a sorted set is asked for comes down to ranks: a range of scores or of members is a range of ranks
//! ([`RankTree::score_range`], [`RankTree::lex_range`], two descents), and a range of ranks can be counted for
//! nothing, skipped into, walked either way, and removed. `LIMIT` far into a range costs O(log n) where the
//! skiplist walks.
//!
//! The tree does not own the members: it holds whatever cheap handle the set's table holds too. Where a member is
//! by name is the table's business; the tree needs the score to find it.
//!
//! Mirrors: the `zsl…()` functions of t_zset.c.

use std::cmp::Ordering;
use std::fmt;
use std::hint::black_box;
use std::ops::Range;

use super::seek::{At, ByKey, Sorted};
use super::{Item, Tree};

/// A member in its place.
#[derive(Debug, Clone)]
pub struct Ranked<M> {
    /// Never NaN.
    pub score: f64,
    /// Something cheap to clone whose bytes can be read, and do not change.
    pub member: M,
}

impl<M: AsRef<[u8]>> Ranked<M> {
    #[inline]
    fn order(&self, score: f64, member: &[u8]) -> Ordering {
        match self.score.partial_cmp(&score) {
            Some(Ordering::Equal) | None => self.member.as_ref().cmp(member),
            Some(unequal) => unequal,
        }
    }
}

impl<M: AsRef<[u8]>> PartialEq for Ranked<M> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<M: AsRef<[u8]>> Eq for Ranked<M> {}

impl<M: AsRef<[u8]>> PartialOrd for Ranked<M> {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<M: AsRef<[u8]>> Ord for Ranked<M> {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.order(other.score, other.member.as_ref())
    }
}

impl<M: Clone + AsRef<[u8]>> Item for Ranked<M> {
    type Key = Self;
    fn key(&self) -> &Self {
        self
    }
    fn warm(&self) {
        black_box(self.member.as_ref().len());
    }
}

/// One end of a range of scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreBound {
    /// Never NaN; may be infinite.
    pub score: f64,
    /// The score itself lies outside, `(5` in a command.
    pub exclusive: bool,
}

/// One end of a range of members of equal score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// `-`: before every member.
    Min,
    /// `+`: behind every member.
    Max,
    /// `[member`: this one included.
    Inclusive(&'a [u8]),
    /// `(member`: this one not.
    Exclusive(&'a [u8]),
}

/// Members by (score, bytes), with ranks.
#[derive(Clone)]
pub struct RankTree<M: Clone + AsRef<[u8]>>(pub(super) Tree<Ranked<M>, 62, 31>);

impl<M: Clone + AsRef<[u8]>> Default for RankTree<M> {
    fn default() -> Self {
        RankTree(Tree::new())
    }
}

impl<M: Clone + AsRef<[u8]>> RankTree<M> {
    /// An empty order.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of members.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// No members.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of the nodes, without the members. O(n / 62).
    pub fn allocated_bytes(&self) -> usize {
        self.0.allocated_bytes()
    }

    /// Adds a member, which must not be there yet. O(log n).
    #[doc(alias = "zslInsert")]
    pub fn insert(&mut self, score: f64, member: M) {
        debug_assert!(!score.is_nan());
        self.0.insert(Ranked { score, member }, &mut Sorted);
    }

    /// Adds a member known to come behind all others, as when loading a sorted file. O(log n), without a comparison.
    pub fn push_back(&mut self, score: f64, member: M) {
        self.0.push_back(Ranked { score, member });
    }

    /// Removes a member that has this score. O(log n).
    #[doc(alias = "zslDelete")]
    pub fn remove(&mut self, score: f64, member: &[u8]) -> Option<M> {
        let removed = self
            .0
            .remove(&mut ByKey(|key: &Ranked<M>| key.order(score, member)))?;
        Some(removed.member)
    }

    /// Moves a member to a new score; `false` if it does not have the old one. O(log n).
    #[doc(alias = "zslUpdateScore")]
    pub fn rescore(&mut self, old: f64, member: &[u8], new: f64) -> bool {
        match self.remove(old, member) {
            Some(member) => {
                self.insert(new, member);
                true
            }
            None => false,
        }
    }

    /// The rank, from 0, that a member with this score has or would have. O(log n).
    #[doc(alias = "zslGetRank")]
    pub fn rank(&self, score: f64, member: &[u8]) -> u64 {
        self.0.position(|key| key.order(score, member).is_lt())
    }

    /// The member at `rank`, from 0. O(log n).
    #[doc(alias = "zslGetElementByRank")]
    pub fn get(&self, rank: u64) -> Option<&Ranked<M>> {
        self.0.get(&mut At(rank))
    }

    /// The lowest.
    pub fn first(&self) -> Option<&Ranked<M>> {
        self.0.first()
    }

    /// The highest.
    pub fn last(&self) -> Option<&Ranked<M>> {
        self.0.last()
    }

    /// Removes the lowest.
    pub fn pop_first(&mut self) -> Option<Ranked<M>> {
        self.0.remove(&mut At(0))
    }

    /// Removes the highest.
    pub fn pop_last(&mut self) -> Option<Ranked<M>> {
        let rank = self.len().checked_sub(1)?;
        self.0.remove(&mut At(rank))
    }

    /// The ranks of the members whose score lies between the bounds; empty if none does. O(log n).
    #[doc(alias = "zslNthInRange")]
    pub fn score_range(&self, min: ScoreBound, max: ScoreBound) -> Range<u64> {
        let below = |bound: ScoreBound, or_equal: bool| {
            self.0
                .position(|key| key.score < bound.score || (or_equal && key.score == bound.score))
        };
        let start = below(min, min.exclusive);
        start..below(max, !max.exclusive).max(start)
    }

    /// The ranks of the members that lie between the bounds, provided that all scores are equal. O(log n).
    #[doc(alias = "zslNthInLexRange")]
    pub fn lex_range(&self, min: LexBound<'_>, max: LexBound<'_>) -> Range<u64> {
        lex_range(&self.0, |key| key.member.as_ref(), min, max)
    }

    /// The members at these ranks, ascending. O(log n + members).
    pub fn range(&self, ranks: Range<u64>) -> impl Iterator<Item = &Ranked<M>> + Clone + '_ {
        let n = ranks.end.saturating_sub(ranks.start) as usize;
        self.0.forward(ranks.start).take(n)
    }

    /// The members at these ranks, descending. O(log n + members).
    pub fn range_rev(&self, ranks: Range<u64>) -> impl Iterator<Item = &Ranked<M>> + Clone + '_ {
        let end = ranks.end.min(self.len());
        let n = end.saturating_sub(ranks.start) as usize;
        self.0.backward(end).take(n)
    }

    /// All members, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &Ranked<M>> + Clone + '_ {
        self.0.forward(0)
    }

    /// Removes the members at these ranks, handing each to `sink`, ascending. O(log n + members).
    #[doc(alias = "zslDeleteRangeByRank")]
    pub fn remove_range(&mut self, ranks: Range<u64>, mut sink: impl FnMut(Ranked<M>)) {
        self.0.remove_range(ranks.start, ranks.end, &mut sink);
    }
}

/// The positions between two bounds in a tree that is ordered by these bytes of its keys. O(log n).
pub(super) fn lex_range<I: Item, const L: usize, const E: usize>(
    tree: &Tree<I, L, E>,
    bytes: impl Fn(&I::Key) -> &[u8],
    min: LexBound<'_>,
    max: LexBound<'_>,
) -> Range<u64> {
    let below = |bound: LexBound<'_>, is_min: bool| match bound {
        LexBound::Min => 0,
        LexBound::Max => tree.weight(),
        LexBound::Inclusive(at) | LexBound::Exclusive(at) => {
            let or_equal = is_min == matches!(bound, LexBound::Exclusive(_));
            tree.position(|key| match bytes(key).cmp(at) {
                Ordering::Less => true,
                Ordering::Equal => or_equal,
                Ordering::Greater => false,
            })
        }
    };
    let start = below(min, true);
    start..below(max, false).max(start)
}

impl<M: Clone + AsRef<[u8]>> fmt::Debug for RankTree<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |r: &Ranked<M>| r.member.as_ref().escape_ascii().to_string();
        f.debug_map()
            .entries(self.iter().map(|r| (text(r), r.score)))
            .finish()
    }
}
