//! A sorted set in a listpack: member, score, member, score, lowest first.
//!
//! A score that is a whole number is stored as that integer, any other as its shortest text. Minus zero becomes
//! zero on the way.
//!
//! Mirrors: the `zzl…()` functions of t_zset.c.

use std::cmp::Ordering;
use std::ops::Range;

use super::{Direction, LexBound, ScoreBound, above, below};
use crate::collections::listpack::{Listpack, LpEntry, LpPos, Positions};
use crate::util::num::{FloatBuf, IntBuf, as_whole, parse_f64};

/// A member, its score and where they begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) pos: LpPos,
    pub(super) member: LpEntry<'a>,
    pub(super) score: f64,
}

/// All pairs, from both ends.
#[derive(Clone)]
pub(super) struct Pairs<'a>(Positions<'a>);

impl<'a> Pairs<'a> {
    pub(super) fn of(listpack: &'a Listpack) -> Pairs<'a> {
        Pairs(listpack.positions())
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    #[inline]
    fn next(&mut self) -> Option<Pair<'a>> {
        let (pos, member) = self.0.next()?;
        let (_, score) = self.0.next()?;
        Some(Pair {
            pos,
            member,
            score: score_of(score),
        })
    }
}

impl DoubleEndedIterator for Pairs<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        let (_, score) = self.0.next_back()?;
        let (pos, member) = self.0.next_back()?;
        Some(Pair {
            pos,
            member,
            score: score_of(score),
        })
    }
}

/// The score an element stands for. An element of a damaged listpack that is no number counts as 0.
#[doc(alias = "zzlGetScore")]
#[inline]
fn score_of(entry: LpEntry<'_>) -> f64 {
    match entry {
        LpEntry::Int(number) => number as f64,
        LpEntry::Str(text) => parse_f64(text).unwrap_or(0.0),
    }
}

/// Compares a member with some bytes.
#[doc(alias = "zzlCompareElements")]
#[inline]
pub(super) fn compare(member: LpEntry<'_>, bytes: &[u8]) -> Ordering {
    match member {
        LpEntry::Str(text) => text.cmp(bytes),
        LpEntry::Int(number) => IntBuf::new().format(number).cmp(bytes),
    }
}

/// Where a member is, and its score.
#[doc(alias = "zzlFind")]
#[inline]
pub(super) fn find(listpack: &Listpack, member: &[u8]) -> Option<(LpPos, f64)> {
    let pos = listpack.find(member, 1)?;
    let score = listpack.entry(listpack.next(pos)?)?;
    Some((pos, score_of(score)))
}

/// Hands the two elements of a pair to `f`.
#[inline]
fn with_pair<R>(member: &[u8], score: f64, f: impl FnOnce([LpEntry<'_>; 2]) -> R) -> R {
    match as_whole(score) {
        Some(whole) => f([LpEntry::Str(member), LpEntry::Int(whole)]),
        None => {
            let mut text = FloatBuf::new();
            f([LpEntry::Str(member), LpEntry::Str(text.format(score))])
        }
    }
}

/// Adds a pair at the end.
pub(super) fn push(listpack: &mut Listpack, member: &[u8], score: f64) {
    with_pair(member, score, |pair| listpack.extend(pair));
}

/// Adds a pair, of a member that is not there, at its place.
#[doc(alias = "zzlInsert")]
pub(super) fn insert(listpack: &mut Listpack, member: &[u8], score: f64) {
    let behind = |pair: &Pair<'_>| {
        pair.score > score || (pair.score == score && compare(pair.member, member).is_gt())
    };
    match Pairs::of(listpack).find(behind).map(|pair| pair.pos) {
        Some(pos) => with_pair(member, score, |pair| listpack.insert_many(pos, pair)),
        None => push(listpack, member, score),
    }
}

/// The ranks of the pairs whose score lies between the bounds.
pub(super) fn score_range(listpack: &Listpack, min: ScoreBound, max: ScoreBound) -> Range<u64> {
    let (mut start, mut end) = (0, 0);
    for pair in Pairs::of(listpack) {
        let before = pair.score < min.score || (min.exclusive && pair.score == min.score);
        let behind = pair.score > max.score || (max.exclusive && pair.score == max.score);
        if behind {
            break;
        }
        start += u64::from(before);
        end += 1;
    }
    start.min(end)..end
}

/// The ranks of the pairs whose member lies between the bounds: from the first that reaches one bound, to the last
/// before one that passes the other.
pub(super) fn lex_range(
    listpack: &Listpack,
    min: LexBound<'_>,
    max: LexBound<'_>,
    direction: Direction,
) -> Range<u64> {
    let pairs = Pairs::of(listpack);
    let (Some(first), Some(last)) = (pairs.clone().next(), pairs.clone().next_back()) else {
        return 0..0;
    };
    if !above(last.member, min) || !below(first.member, max) {
        return 0..0;
    }
    match direction {
        Direction::Up => {
            let start = pairs.clone().take_while(|p| !above(p.member, min)).count();
            let within = pairs.skip(start).take_while(|p| below(p.member, max));
            let end = start + within.count();
            start as u64..end as u64
        }
        Direction::Down => {
            let len = pairs.clone().count();
            let back = pairs.rev();
            let behind = back.clone().take_while(|p| !below(p.member, max)).count();
            let within = back.skip(behind).take_while(|p| above(p.member, min));
            let end = len - behind;
            (end - within.count()) as u64..end as u64
        }
    }
}

/// Whether it holds pairs, and no member twice. The entries themselves were checked before.
pub(super) fn is_sound(listpack: &Listpack) -> bool {
    if !listpack.len().is_multiple_of(2) {
        return false;
    }
    let mut members: Vec<Vec<u8>> = Pairs::of(listpack).map(|p| p.member.to_vec()).collect();
    members.sort_unstable();
    members.windows(2).all(|pair| pair[0] != pair[1])
}
