//! Walks over a listpack, from entry to entry, from either end.
//!
//! Invariant: a walk never goes past its other end, and ends for good where the bytes make no sense.
//!
//! Mirrors: `lpNext()`, `lpPrev()` and `lpSeek()` of listpack.c.

use std::iter;

use super::format::{decode, entry_before, skip_entry};
use super::{LpEntry, LpPos};

/// Elements with their positions, from both ends. Ends early where the bytes make no sense.
#[derive(Debug, Clone)]
pub struct Positions<'a> {
    pub(super) body: &'a [u8],
    /// Offset of the next entry from the front, and of the end of the next one from the back.
    pub(super) front: usize,
    pub(super) back: usize,
}

impl Positions<'_> {
    /// Ends the walk for good, whether it met the end or nonsense.
    fn stop<T>(&mut self) -> Option<T> {
        self.front = self.back;
        None
    }
}

impl<'a> Iterator for Positions<'a> {
    type Item = (LpPos, LpEntry<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match decode(self.body, self.front) {
            Some((entry, next)) if next <= self.back => {
                let pos = LpPos::new(self.front);
                self.front = next;
                Some((pos, entry))
            }
            _ => self.stop(),
        }
    }

    fn nth(&mut self, n: usize) -> Option<Self::Item> {
        for _ in 0..n {
            match skip_entry(self.body, self.front) {
                Some(next) if next <= self.back => self.front = next,
                _ => return self.stop(),
            }
        }
        self.next()
    }

    fn count(mut self) -> usize {
        let mut n = 0;
        while let Some(next) = skip_entry(self.body, self.front)
            && next <= self.back
        {
            self.front = next;
            n += 1;
        }
        n
    }
}

impl DoubleEndedIterator for Positions<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        match entry_before(self.body, self.back).filter(|&at| at >= self.front) {
            Some(at) => {
                let (entry, _) = decode(self.body, at)?;
                self.back = at;
                Some((LpPos::new(at), entry))
            }
            None => self.stop(),
        }
    }
}

impl iter::FusedIterator for Positions<'_> {}

/// Elements, from both ends.
#[derive(Debug, Clone)]
pub struct Iter<'a>(Positions<'a>);

impl<'a> Iter<'a> {
    pub(super) fn new(positions: Positions<'a>) -> Iter<'a> {
        Iter(positions)
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = LpEntry<'a>;

    #[inline]
    fn next(&mut self) -> Option<LpEntry<'a>> {
        Some(self.0.next()?.1)
    }

    fn nth(&mut self, n: usize) -> Option<LpEntry<'a>> {
        Some(self.0.nth(n)?.1)
    }

    fn count(self) -> usize {
        self.0.count()
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        Some(self.0.next_back()?.1)
    }
}

impl iter::FusedIterator for Iter<'_> {}
