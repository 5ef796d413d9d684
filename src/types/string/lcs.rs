//! The longest common subsequence of two strings.
//!
//! The textbook table: cell (i, j) holds the length of the longest common subsequence of the first i bytes of one
//! string and the first j of the other.
//!
//! ```text
//!          -  m  y  t
//!       -  0  0  0  0       equal bytes:  the cell up and left, plus one
//!       m  0  1  1  1       others:       the larger of the cells above and to the left
//!       t  0  1  1  2       read back from the last corner, diagonals are the subsequence
//! ```
//!
//! Invariant: nothing is allocated before the caller has asked [`table_bytes`] and agreed.
//!
//! Mirrors: `lcsCommand()` of t_string.c, which reads the table back in the same order; so among several longest
//! subsequences ours is the one Redis names.
//! Differs: the length alone takes two rows.
//! Cost: O(a × b) time; as much memory, 4 bytes a cell, O(b) for the length alone.

use std::collections::TryReserveError;

/// First and last position of a run of bytes.
pub type Run = (u32, u32);

/// Memory of the whole table in bytes; `None` if that is no number.
pub fn table_bytes(a_len: usize, b_len: usize) -> Option<u64> {
    let cells = (a_len as u64 + 1).checked_mul(b_len as u64 + 1)?;
    cells.checked_mul(size_of::<u32>() as u64)
}

/// The length alone. An error means that there is no memory.
pub fn length(a: &[u8], b: &[u8]) -> Result<u32, TryReserveError> {
    let mut row = zeros(b.len() + 1)?;
    for &byte in a {
        let mut diagonal = 0;
        let mut left = 0;
        for (cell, &other) in row[1..].iter_mut().zip(b) {
            let above = *cell;
            left = next(byte == other, diagonal, above, left);
            *cell = left;
            diagonal = above;
        }
    }
    Ok(row[b.len()])
}

/// A filled table.
#[derive(Debug)]
pub struct Lcs<'a> {
    a: &'a [u8],
    b: &'a [u8],
    cells: Vec<u32>,
}

impl<'a> Lcs<'a> {
    /// Fills the table. An error means that there is no memory.
    pub fn new(a: &'a [u8], b: &'a [u8]) -> Result<Self, TryReserveError> {
        let width = b.len() + 1;
        let mut cells = zeros((a.len() + 1) * width)?;
        for (i, &byte) in a.iter().enumerate() {
            let (above, row) = cells[i * width..].split_at_mut(width);
            for (j, &other) in b.iter().enumerate() {
                row[j + 1] = next(byte == other, above[j], above[j + 1], row[j]);
            }
        }
        Ok(Lcs { a, b, cells })
    }

    /// The length of the subsequence.
    pub fn len(&self) -> u32 {
        self.at(self.a.len(), self.b.len())
    }

    /// Whether the strings have nothing in common.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The subsequence.
    pub fn text(&self) -> Vec<u8> {
        let mut text: Vec<u8> = self.matches().map(|(i, _)| self.a[i]).collect();
        text.reverse();
        text
    }

    /// Where it runs through both strings, from the end to the beginning; a run ends where either string has a gap.
    pub fn ranges(&self) -> impl Iterator<Item = (Run, Run)> {
        let mut matches = self.matches().peekable();
        std::iter::from_fn(move || {
            let last = matches.next()?;
            let mut first = last;
            while let Some(&(i, j)) = matches.peek()
                && (i + 1, j + 1) == first
            {
                first = (i, j);
                matches.next();
            }
            let run = |first: usize, last: usize| (first as u32, last as u32);
            Some((run(first.0, last.0), run(first.1, last.1)))
        })
    }

    /// Positions of the equal bytes that make it up, backwards.
    fn matches(&self) -> impl Iterator<Item = (usize, usize)> {
        let (mut i, mut j) = (self.a.len(), self.b.len());
        std::iter::from_fn(move || {
            while i > 0 && j > 0 {
                if self.a[i - 1] == self.b[j - 1] {
                    (i, j) = (i - 1, j - 1);
                    return Some((i, j));
                }
                if self.at(i - 1, j) > self.at(i, j - 1) {
                    i -= 1;
                } else {
                    j -= 1;
                }
            }
            None
        })
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        self.cells[i * (self.b.len() + 1) + j]
    }
}

#[inline]
fn next(equal: bool, diagonal: u32, above: u32, left: u32) -> u32 {
    if equal { diagonal + 1 } else { above.max(left) }
}

fn zeros(len: usize) -> Result<Vec<u32>, TryReserveError> {
    let mut cells = Vec::new();
    cells.try_reserve_exact(len)?;
    cells.resize(len, 0);
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::rng::Rng;

    #[test]
    fn finds_text_and_ranges() {
        let lcs = Lcs::new(b"ohmytext", b"mynewtext").expect("memory");
        assert_eq!(lcs.text(), b"mytext");
        let ranges: Vec<_> = lcs.ranges().collect();
        assert_eq!(ranges, [((4, 7), (5, 8)), ((2, 3), (0, 1))]);
        assert_eq!(length(b"ohmytext", b"mynewtext").expect("memory"), 6);
        let nothing = Lcs::new(b"", b"abc").expect("memory");
        assert!(nothing.is_empty() && nothing.ranges().next().is_none());
    }

    #[test]
    fn the_text_is_a_subsequence_of_both() {
        let mut rng = Rng::new(7);
        for _ in 0..200 {
            let mut string = || -> Vec<u8> {
                let len = rng.below(30);
                (0..len).map(|_| b'a' + rng.below(3) as u8).collect()
            };
            let (a, b) = (string(), string());
            let lcs = Lcs::new(&a, &b).expect("memory");
            let text = lcs.text();
            assert_eq!(text.len() as u32, lcs.len());
            assert_eq!(length(&a, &b).expect("memory"), lcs.len());
            for string in [&a, &b] {
                let mut rest = string.iter();
                assert!(text.iter().all(|byte| rest.any(|other| other == byte)));
            }
            let in_ranges: u32 = lcs
                .ranges()
                .map(|((first, last), _)| last - first + 1)
                .sum();
            assert_eq!(in_ranges, lcs.len());
        }
    }
}
