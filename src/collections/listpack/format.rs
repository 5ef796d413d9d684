//! One entry of a listpack as bytes: written by [`Encoded`], read by [`decode`] and [`entry_before`]. The table of
//! encodings is at the top of [`super`].
//!
//! ```text
//!   "hi"     82 68 69  03        10|000010: a string of two bytes; three bytes stand before the 03
//!   1024     c4 00     02        110|00100 00000000: thirteen bits
//! ```
//!
//! Invariant: no function here reads outside the body that it is given, and each returns `None` for bytes that are no
//! entry.
//!
//! Mirrors: `lpEncodeGetType()`, `lpEncodeBacklen()`, `lpGetWithSize()` and `lpDecodeBacklen()` of listpack.c.

use super::LpEntry;
use crate::util::num::parse_i64;

/// Bytes before the first entry: the total and the count.
pub(super) const HEADER: usize = 6;
/// The last byte of a listpack.
pub(super) const EOF: u8 = 0xFF;

/// An entry about to be written: its encoding (or the whole of it, for a number), then the text.
pub(super) struct Encoded<'a> {
    head: [u8; 9],
    head_len: usize,
    text: &'a [u8],
}

impl<'a> Encoded<'a> {
    #[inline]
    pub(super) fn new(entry: LpEntry<'a>) -> Encoded<'a> {
        match entry {
            LpEntry::Int(number) => Encoded::number(number),
            LpEntry::Str(text) => match parse_i64(text) {
                Some(number) => Encoded::number(number),
                None => Encoded::text(text),
            },
        }
    }

    fn number(n: i64) -> Encoded<'a> {
        let le = n.to_le_bytes();
        let mut head = [0; 9];
        let head_len = match n {
            0..=127 => {
                head[0] = le[0];
                1
            }
            -4096..=4095 => {
                head[0] = 0xC0 | (le[1] & 0x1F);
                head[1] = le[0];
                2
            }
            _ => {
                let (tag, width) = match n {
                    -0x8000..=0x7FFF => (0xF1, 2),
                    -0x80_0000..=0x7F_FFFF => (0xF2, 3),
                    -0x8000_0000..=0x7FFF_FFFF => (0xF3, 4),
                    _ => (0xF4, 8),
                };
                head[0] = tag;
                head[1..=width].copy_from_slice(&le[..width]);
                1 + width
            }
        };
        Encoded {
            head,
            head_len,
            text: &[],
        }
    }

    fn text(text: &'a [u8]) -> Encoded<'a> {
        let le = (text.len() as u32).to_le_bytes();
        let mut head = [0; 9];
        let head_len = match text.len() {
            0..64 => {
                head[0] = 0x80 | le[0];
                1
            }
            64..4096 => {
                head[0] = 0xE0 | le[1];
                head[1] = le[0];
                2
            }
            _ => {
                head[0] = 0xF0;
                head[1..5].copy_from_slice(&le);
                5
            }
        };
        Encoded {
            head,
            head_len,
            text,
        }
    }

    fn forward_len(&self) -> usize {
        self.head_len + self.text.len()
    }

    pub(super) fn packed_len(&self) -> usize {
        self.forward_len() + backlen_size(self.forward_len())
    }

    /// Fills `room`, which is `packed_len` bytes.
    #[inline]
    pub(super) fn write(&self, room: &mut [u8]) {
        let (head, rest) = room.split_at_mut(self.head_len);
        head.copy_from_slice(&self.head[..self.head_len]);
        let (text, backlen) = rest.split_at_mut(self.text.len());
        text.copy_from_slice(self.text);
        // Seven bits a byte, the highest first; all but the first marked, so that they can be read backwards.
        let mut left = self.forward_len();
        for (i, byte) in backlen.iter_mut().enumerate().rev() {
            *byte = (left & 0x7F) as u8 | if i > 0 { 0x80 } else { 0 };
            left >>= 7;
        }
    }
}

/// Bytes of the backward length. The limits are Redis's, one less than seven bits a byte would allow.
#[inline]
fn backlen_size(forward_len: usize) -> usize {
    match forward_len {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// Length of encoding and text of an entry, if its encoding is one and fits.
#[inline]
fn forward_len(entry: &[u8]) -> Option<usize> {
    Some(match *entry.first()? {
        0x00..=0x7F => 1,
        tag @ 0x80..=0xBF => 1 + usize::from(tag & 0x3F),
        0xC0..=0xDF => 2,
        tag @ 0xE0..=0xEF => 2 + (usize::from(tag & 0x0F) << 8 | usize::from(*entry.get(1)?)),
        0xF0 => 5 + u32::from_le_bytes(*entry.get(1..)?.first_chunk()?) as usize,
        0xF1 => 3,
        0xF2 => 4,
        0xF3 => 5,
        0xF4 => 9,
        _ => return None,
    })
}

/// Offset behind the entry at `at`; `None` at the end, or when there is no whole entry.
#[inline]
pub(super) fn skip_entry(body: &[u8], at: usize) -> Option<usize> {
    let len = forward_len(body.get(at..)?)?;
    Some(at + len + backlen_size(len)).filter(|&end| end <= body.len())
}

/// The entry at `at` and the offset behind it; `None` at the end, or when there is no whole entry.
// Inlined by force: handed back through memory, the entry would cost more to pass than to decode (18 ns to 4).
#[inline(always)]
pub(super) fn decode(body: &[u8], at: usize) -> Option<(LpEntry<'_>, usize)> {
    let rest = body.get(at..)?;
    let len = forward_len(rest)?;
    let packed_len = len + backlen_size(len);
    if packed_len > rest.len() {
        return None;
    }
    let bytes = &rest[..len];
    let entry = match bytes[0] {
        tag @ 0x00..=0x7F => LpEntry::Int(i64::from(tag)),
        0x80..=0xBF => LpEntry::Str(&bytes[1..]),
        // Thirteen bits, shifted up and down again to repeat their sign.
        tag @ 0xC0..=0xDF => {
            let bits = u16::from_be_bytes([tag & 0x1F, bytes[1]]);
            LpEntry::Int(i64::from((bits << 3) as i16 >> 3))
        }
        0xE0..=0xEF => LpEntry::Str(&bytes[2..]),
        0xF0 => LpEntry::Str(&bytes[5..]),
        _ => {
            let mut le = [0; 8];
            let width = len - 1;
            le[8 - width..].copy_from_slice(&bytes[1..]);
            LpEntry::Int(i64::from_le_bytes(le) >> (8 * (8 - width)))
        }
    };
    Some((entry, at + packed_len))
}

/// Offset of the entry that ends at `end`; `None` at the front, or when the two lengths disagree.
#[inline]
pub(super) fn entry_before(body: &[u8], end: usize) -> Option<usize> {
    let mut len = 0;
    let mut shift = 0;
    for &byte in body.get(HEADER..end)?.iter().rev().take(5) {
        len |= usize::from(byte & 0x7F) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            let at = end.checked_sub(len + backlen_size(len))?;
            return (at >= HEADER && skip_entry(body, at) == Some(end)).then_some(at);
        }
    }
    None
}
