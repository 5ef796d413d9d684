//! The ID of a stream's entry: milliseconds, and a number that tells entries of one millisecond apart.
//!
//! ```text
//!   1526919030474-55    both parts          1526919030474      the second one is what the command takes it for
//!   1526919030474-*     XADD only: the next free one
//!   -  +                the smallest and the greatest ID there can be, where a range is asked for
//! ```
//!
//! Mirrors: `streamID`, `streamGenericParseIDOrReply()`, `streamIncrID()`, `streamDecrID()` of t_stream.c.

use crate::util::num::{IntBuf, parse_u64};

/// Where an entry stands in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StreamId {
    /// Unix time in milliseconds, by default.
    pub ms: u64,
    /// Position among the entries of that millisecond.
    pub seq: u64,
}

/// The longest text that is looked at.
const LONGEST: usize = 127;

impl StreamId {
    /// The smallest; no entry has it.
    pub const MIN: StreamId = StreamId { ms: 0, seq: 0 };
    /// The greatest.
    pub const MAX: StreamId = StreamId {
        ms: u64::MAX,
        seq: u64::MAX,
    };

    /// From its two parts.
    pub const fn new(ms: u64, seq: u64) -> StreamId {
        StreamId { ms, seq }
    }

    /// The ID that follows; none behind the greatest.
    #[doc(alias = "streamIncrID")]
    pub fn next(self) -> Option<StreamId> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(StreamId { seq, ..self }),
            None => Some(StreamId::new(self.ms.checked_add(1)?, 0)),
        }
    }

    /// The ID before; none before the smallest.
    #[doc(alias = "streamDecrID")]
    pub fn prev(self) -> Option<StreamId> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(StreamId { seq, ..self }),
            None => Some(StreamId::new(self.ms.checked_sub(1)?, u64::MAX)),
        }
    }

    /// An ID as a client writes it, `missing` standing in for a second part that is not there. Neither `-` nor `+`.
    #[doc(alias = "streamParseStrictIDOrReply")]
    pub fn parse(text: &[u8], missing: u64) -> Option<StreamId> {
        let text = Some(text).filter(|text| text.len() <= LONGEST)?;
        let text = up_to_zero(text);
        match text.iter().position(|byte| *byte == b'-') {
            Some(dash) => Some(StreamId::new(
                number(&text[..dash])?,
                number(&text[dash + 1..])?,
            )),
            None => Some(StreamId::new(number(text)?, missing)),
        }
    }

    /// As [`StreamId::parse`], and `-` and `+` as well.
    #[doc(alias = "streamParseIDOrReply")]
    pub fn parse_bound(text: &[u8], missing: u64) -> Option<StreamId> {
        match up_to_zero(text) {
            b"-" if text.len() <= LONGEST => Some(StreamId::MIN),
            b"+" if text.len() <= LONGEST => Some(StreamId::MAX),
            _ => StreamId::parse(text, missing),
        }
    }

    /// The first part of `ms-*`.
    pub fn parse_open(text: &[u8]) -> Option<u64> {
        if text.len() > LONGEST {
            return None;
        }
        number(up_to_zero(text).strip_suffix(b"-*")?)
    }
}

impl From<u128> for StreamId {
    fn from(id: u128) -> StreamId {
        StreamId::new((id >> 64) as u64, id as u64)
    }
}

impl From<StreamId> for u128 {
    fn from(id: StreamId) -> u128 {
        u128::from(id.ms) << 64 | u128::from(id.seq)
    }
}

/// White space before the digits is no mistake.
#[doc(alias = "string2ull")]
fn number(digits: &[u8]) -> Option<u64> {
    parse_u64(digits.trim_ascii_start())
}

/// The text as C reads it: up to the first zero byte.
fn up_to_zero(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or(text)
}

/// A buffer to write an ID into.
#[derive(Debug, Clone)]
pub struct IdBuf([u8; 41]);

impl Default for IdBuf {
    fn default() -> Self {
        IdBuf::new()
    }
}

impl IdBuf {
    /// An empty one; any number of IDs may be written into it, one at a time.
    pub fn new() -> IdBuf {
        IdBuf([0; 41])
    }

    /// The ID as clients read it.
    pub fn format(&mut self, id: StreamId) -> &[u8] {
        let mut digits = IntBuf::new();
        let ms = digits.format_u64(id.ms);
        let mut len = ms.len();
        self.0[..len].copy_from_slice(ms);
        self.0[len] = b'-';
        len += 1;
        let seq = digits.format_u64(id.seq);
        self.0[len..len + seq.len()].copy_from_slice(seq);
        &self.0[..len + seq.len()]
    }
}

impl std::fmt::Display for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let id = StreamId::new;
        assert_eq!(StreamId::parse(b"5-7", 9), Some(id(5, 7)));
        assert_eq!(StreamId::parse(b"5", 9), Some(id(5, 9)));
        assert_eq!(StreamId::parse(b"5\0x", 9), Some(id(5, 9)));
        assert_eq!(StreamId::parse(b" 5-\t7", 9), Some(id(5, 7)));
        for bad in [
            &b""[..],
            b"-",
            b"+",
            b"5-",
            b"-5",
            b"5--1",
            b"5-6-7",
            b"x",
            b"5-*",
        ] {
            assert_eq!(StreamId::parse(bad, 0), None, "{}", bad.escape_ascii());
        }
        assert_eq!(StreamId::parse(&[b'0'; 128], 0), None);
        assert_eq!(StreamId::parse_bound(b"-", 0), Some(StreamId::MIN));
        assert_eq!(StreamId::parse_bound(b"+", 0), Some(StreamId::MAX));
        assert_eq!(StreamId::parse_open(b"12-*"), Some(12));
        assert_eq!(StreamId::parse_open(b"12-1"), None);
        let greatest = b"18446744073709551615-18446744073709551615";
        assert_eq!(StreamId::parse(greatest, 0), Some(StreamId::MAX));
        assert_eq!(IdBuf::new().format(StreamId::MAX), greatest);
        assert_eq!(IdBuf::new().format(id(0, 1)), b"0-1");
    }

    #[test]
    fn neighbours() {
        assert_eq!(StreamId::MAX.next(), None);
        assert_eq!(StreamId::MIN.prev(), None);
        let edge = StreamId::new(4, u64::MAX);
        assert_eq!(edge.next(), Some(StreamId::new(5, 0)));
        assert_eq!(StreamId::new(5, 0).prev(), Some(edge));
        assert_eq!(StreamId::from(u128::from(edge)), edge);
    }
}
