//! Operations on whole sets: union, intersection, difference, random members.
//!
//! Mirrors: the algorithms of `sinterGenericCommand`, `sunionDiffGenericCommand`, `srandmemberWithCountCommand` and
//! `spopWithCountCommand`. Differs: results are handed on as they are found. A union needs a table of what it has
//! seen only from four sets on; a difference is never built to be whittled down again.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::{Body, Member, Probe, Set, SetLimits, choose};
use crate::util::num::IntBuf;
use crate::util::rng::Rng;

/// The receiver of each member found; it may end the operation.
pub type Found<'a> = dyn FnMut(Member<'_>) -> ControlFlow<()> + 'a;

/// Up to so many sets a member of the union is known to be new by looking into those before.
const LOOK_BACK: usize = 3;

/// Hands the members of all sets to `f`, each once, in the order of the sets. O(members).
pub fn union(sets: &[&Set], seed: u64, f: &mut Found<'_>) {
    let limits = SetLimits {
        intset_entries: 0,
        listpack_entries: 0,
        listpack_value: 0,
        seed,
    };
    let mut seen = Set::table(seed);
    for (i, set) in sets.iter().enumerate() {
        for member in set.iter() {
            let mut buf = IntBuf::new();
            let probe = Probe::of(member, &mut buf);
            let new = if sets.len() <= LOOK_BACK {
                !sets[..i].iter().any(|earlier| earlier.holds(&probe))
            } else {
                seen.add_probe(&probe, limits)
            };
            if new && f(member).is_break() {
                return;
            }
        }
    }
}

/// Hands the members that all sets have to `f`. `sets` is brought in order of size. O(smallest · sets).
pub fn intersection(sets: &mut [&Set], f: &mut Found<'_>) {
    sets.sort_by_key(|set| set.len());
    let Some((smallest, others)) = sets.split_first() else {
        return;
    };
    for member in smallest.iter() {
        let mut buf = IntBuf::new();
        let probe = Probe::of(member, &mut buf);
        if others.iter().all(|other| other.holds(&probe)) && f(member).is_break() {
            return;
        }
    }
}

/// Hands the members of the first set that no other has to `f`. O(first · others), or O(all members) where that
/// is less.
pub fn difference(first: &Set, others: &mut [&Set], seed: u64, f: &mut Found<'_>) {
    let each = first.len() * (others.len() + 1) / 2;
    let all = first.len() + others.iter().map(|set| set.len()).sum::<usize>();
    let limits = SetLimits {
        intset_entries: 0,
        listpack_entries: 0,
        listpack_value: 0,
        seed,
    };
    let mut unwanted = Set::table(seed);
    let pooled;
    let others = if each <= all || others.len() < 2 {
        // The largest first: it is the likeliest to have it.
        others.sort_by_key(|set| std::cmp::Reverse(set.len()));
        &*others
    } else {
        for member in others.iter().flat_map(|set| set.iter()) {
            unwanted.add_member(member, limits);
        }
        pooled = [&unwanted];
        &pooled[..]
    };
    // A listpack that came unchecked from outside may have a member twice.
    let unsure = matches!(first.0, Body::Packed(_));
    let mut seen = Set::table(seed);
    for member in first.iter() {
        let mut buf = IntBuf::new();
        let probe = Probe::of(member, &mut buf);
        let wanted = !others.iter().any(|other| other.holds(&probe));
        if wanted && (!unsure || seen.add_probe(&probe, limits)) && f(member).is_break() {
            return;
        }
    }
}

/// Above this share (one in so many) of the members, choosing the others is cheaper.
const CHOOSE_FROM_ALL: usize = 3;

impl Set {
    /// Hands `count` different members, or all, to `f`: each subset is equally likely.
    #[doc(alias = "srandmemberWithCountCommand")]
    pub fn sample(&self, count: usize, rng: &mut Rng, f: &mut dyn FnMut(Member<'_>)) {
        let len = self.len();
        if count >= len {
            self.iter().for_each(f);
        } else if let Body::Packed(pack) = &self.0 {
            let places = choose(pack, count, rng);
            places.iter().filter_map(|pos| pack.entry(*pos)).for_each(f);
        } else if count.saturating_mul(CHOOSE_FROM_ALL) > len {
            let mut all: Vec<Member<'_>> = self.iter().collect();
            for i in 0..count.min(all.len()) {
                let pick = i + rng.below((all.len() - i) as u64) as usize;
                all.swap(i, pick);
                f(all[i]);
            }
        } else {
            self.sample_few(count, rng, f);
        }
    }

    fn sample_few(&self, count: usize, rng: &mut Rng, f: &mut dyn FnMut(Member<'_>)) {
        let mut seen = BTreeSet::new();
        while seen.len() < count {
            let Some(member) = self.random(rng) else {
                return;
            };
            // Members are distinguished by their value, or by their place.
            let id = match member {
                Member::Int(number) => (0, number as u64),
                Member::Str(text) => (text.len(), text.as_ptr() as u64),
            };
            if seen.insert(id) {
                f(member);
            }
        }
    }

    /// Removes `count` members (fewer than there are) after handing them to `f`: each subset is equally likely.
    #[doc(alias = "spopWithCountCommand")]
    pub fn pop_sample(
        &mut self,
        count: usize,
        limits: SetLimits,
        rng: &mut Rng,
        f: &mut dyn FnMut(Member<'_>),
    ) {
        /// One in so many may stay before it is cheaper to choose those that go.
        const CHOOSE_THOSE_THAT_GO: usize = 5;

        let left = self.len().saturating_sub(count);
        if left.saturating_mul(CHOOSE_THOSE_THAT_GO) > count {
            if matches!(self.0, Body::Packed(_)) {
                return self.remove_chosen(count, rng, f);
            }
            for _ in 0..count {
                self.pop_random(rng, &mut *f);
            }
            return;
        }
        let mut kept = match self.0 {
            Body::Intset(_) => Set::intset(),
            Body::Packed(_) | Body::Table(_) => Set::packed(),
        };
        let mut keep = |member: Member<'_>| _ = kept.add_member(member, limits);
        if matches!(self.0, Body::Packed(_)) {
            self.remove_chosen(left, rng, &mut keep);
        } else {
            for _ in 0..left {
                self.pop_random(rng, &mut keep);
            }
        }
        std::mem::replace(self, kept).iter().for_each(f);
    }
}
