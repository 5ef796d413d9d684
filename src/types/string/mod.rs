//! Strings: what can be done with their bytes. How they are stored is `collections/table/entry.rs`'s business.
//!
//! Mirrors: the algorithms inside t_string.c.

pub mod lcs;

use std::ops::Range;

/// The bytes from `start` to `end`, both included, negative ones counted from the end of `len` bytes; `None` if there
/// are none.
#[doc(alias = "getrangeCommand")]
pub fn range(start: i64, end: i64, len: usize) -> Option<Range<usize>> {
    let len = len as i64;
    if start < 0 && end < 0 && start > end {
        return None;
    }
    // An index before the first byte means the first byte, whether it is the start or the end.
    let from_end = |at: i64| {
        if at < 0 {
            at.saturating_add(len).max(0)
        } else {
            at
        }
    };
    let (start, end) = (from_end(start), from_end(end).min(len - 1));
    if len == 0 || start > end {
        return None;
    }
    Some(start as usize..end as usize + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_count_from_both_ends() {
        let of = |start, end| range(start, end, 11);
        assert_eq!(of(0, 3), Some(0..4));
        assert_eq!(of(0, -1), Some(0..11));
        assert_eq!(of(-4, -1), Some(7..11));
        assert_eq!(of(5, 5000), Some(5..11));
        assert_eq!(of(-5000, 10_000), Some(0..11));
        for (start, end) in [(0, -100), (0, -12), (-100, -100), (-12, -11)] {
            assert_eq!(of(start, end), Some(0..1), "{start}..{end}");
        }
        for (start, end) in [(5, 3), (1, -100), (-1, -100), (11, 12), (-100, -101)] {
            assert_eq!(of(start, end), None, "{start}..{end}");
        }
        assert_eq!(range(i64::MIN, i64::MAX, 3), Some(0..3));
        assert_eq!(range(0, -1, 0), None);
    }
}
