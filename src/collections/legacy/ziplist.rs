//! Ziplist: what listpack replaced in Redis 7.0.
//!
//! ```text
//!   total bytes u32 | offset of last entry u32 | count u16 | entry | entry | … | 0xFF
//!
//!   entry = length of the entry before (1 byte, or 0xFE and u32) | encoding | string, or integer
//!
//!   00xxxxxx           string below 64 bytes           11000000   i16        11110000   i24
//!   01xxxxxx L         string below 16 KiB, big-endian 11010000   i32        11111110   i8
//!   10______ L L L L   longer string, big-endian       11100000   i64        1111nnnn   n - 1, for n = 1 to 13
//! ```
//!
//! An entry knows the length of its predecessor, so one that grew past 253 bytes could make every entry behind it
//! grow too: the cascade that listpack was made to end.
//!
//! Mirrors: ziplist.c, the reading half; its `ziplistValidateIntegrity()` with `deep` set.

use super::{take, take_array};
use crate::collections::listpack::{Corrupt, LpEntry};

/// A ziplist found whole. Borrowed from the bytes it was read from.
#[derive(Debug, Clone, Copy)]
pub struct Ziplist<'a> {
    /// The entries, without header and terminator.
    entries: &'a [u8],
    len: usize,
}

const HEADER: usize = 10;
const END: u8 = 0xFF;
/// In the header's count: more entries than it can hold.
const UNKNOWN: usize = u16::MAX as usize;

impl<'a> Ziplist<'a> {
    /// Checks all of `bytes`: totals, every entry, every link backwards. O(bytes).
    #[doc(alias = "ziplistValidateIntegrity")]
    pub fn new(bytes: &'a [u8]) -> Result<Ziplist<'a>, Corrupt> {
        Ziplist::check(bytes).ok_or(Corrupt)
    }

    fn check(bytes: &'a [u8]) -> Option<Ziplist<'a>> {
        let (end, mut rest) = bytes.split_last()?;
        let total = u32::from_le_bytes(take_array(&mut rest)?) as usize;
        let last = u32::from_le_bytes(take_array(&mut rest)?) as usize;
        let stored = usize::from(u16::from_le_bytes(take_array(&mut rest)?));
        if *end != END || total != bytes.len() || last >= total {
            return None;
        }
        let entries = rest;
        let (mut len, mut previous) = (0, 0);
        while !rest.is_empty() {
            let before = rest.len();
            if take_previous_len(&mut rest)? != previous {
                return None;
            }
            take_entry(&mut rest)?;
            previous = before - rest.len();
            len += 1;
        }
        let last_found = HEADER + entries.len() - previous;
        if (len > 0 && last != last_found) || (stored != UNKNOWN && stored != len) {
            return None;
        }
        Some(Ziplist { entries, len })
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// No elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All elements, from the front.
    pub fn iter(&self) -> impl Iterator<Item = LpEntry<'a>> + Clone + use<'a> {
        let mut rest = self.entries;
        std::iter::from_fn(move || {
            take_previous_len(&mut rest)?;
            take_entry(&mut rest)
        })
    }
}

/// The length of the entry before. 0xFF would be the terminator, which is not among the entries.
fn take_previous_len(bytes: &mut &[u8]) -> Option<usize> {
    match take_array(bytes)? {
        [END] => None,
        [0xFE] => Some(u32::from_le_bytes(take_array(bytes)?) as usize),
        [len] => Some(usize::from(len)),
    }
}

fn take_entry<'a>(bytes: &mut &'a [u8]) -> Option<LpEntry<'a>> {
    let [encoding] = take_array(bytes)?;
    Some(match encoding {
        0x00..=0x3F => LpEntry::Str(take(bytes, usize::from(encoding))?),
        0x40..=0x7F => {
            let [low] = take_array(bytes)?;
            let len = u16::from_be_bytes([encoding & 0x3F, low]);
            LpEntry::Str(take(bytes, usize::from(len))?)
        }
        0x80..=0xBF => {
            let len = u32::from_be_bytes(take_array(bytes)?);
            LpEntry::Str(take(bytes, len as usize)?)
        }
        0xC0 => LpEntry::Int(i16::from_le_bytes(take_array(bytes)?).into()),
        0xD0 => LpEntry::Int(i32::from_le_bytes(take_array(bytes)?).into()),
        0xE0 => LpEntry::Int(i64::from_le_bytes(take_array(bytes)?)),
        0xF0 => {
            let [a, b, c] = take_array(bytes)?;
            LpEntry::Int((i32::from_le_bytes([0, a, b, c]) >> 8).into())
        }
        0xFE => LpEntry::Int(i8::from_le_bytes(take_array(bytes)?).into()),
        0xF1..=0xFD => LpEntry::Int(i64::from(encoding & 0x0F) - 1),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collections::testing::Rng;

    /// A writer, for the tests alone.
    fn write(elements: &[LpEntry<'_>]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        let (mut previous, mut last) = (0, HEADER);
        for element in elements {
            last = bytes.len();
            match previous {
                0..254 => bytes.push(previous as u8),
                _ => {
                    bytes.push(0xFE);
                    bytes.extend((previous as u32).to_le_bytes());
                }
            }
            match *element {
                LpEntry::Str(text) => {
                    match text.len() {
                        n @ 0..64 => bytes.push(n as u8),
                        n @ 64..16384 => bytes.extend((n as u16 | 0x4000).to_be_bytes()),
                        n => {
                            bytes.push(0x80);
                            bytes.extend((n as u32).to_be_bytes());
                        }
                    }
                    bytes.extend(text);
                }
                LpEntry::Int(n) => {
                    let (encoding, width) = match n {
                        0..=12 => (0xF1 + n as u8, 0),
                        -0x80..=0x7F => (0xFE, 1),
                        -0x8000..=0x7FFF => (0xC0, 2),
                        -0x80_0000..=0x7F_FFFF => (0xF0, 3),
                        -0x8000_0000..=0x7FFF_FFFF => (0xD0, 4),
                        _ => (0xE0, 8),
                    };
                    bytes.push(encoding);
                    bytes.extend(&n.to_le_bytes()[..width]);
                }
            }
            previous = bytes.len() - last;
        }
        bytes.push(END);
        let total = bytes.len() as u32;
        bytes[..4].copy_from_slice(&total.to_le_bytes());
        bytes[4..8].copy_from_slice(&(last as u32).to_le_bytes());
        bytes[8..10].copy_from_slice(&(elements.len() as u16).to_le_bytes());
        bytes
    }

    #[test]
    fn reads_what_redis_wrote() {
        // From RDB files of Redis 4.0 to 6.2: a list, a sorted set.
        let list = b"\x0d\0\0\0\x0a\0\0\0\x01\0\0\xf8\xff";
        let list = Ziplist::new(list).unwrap();
        assert!(list.iter().eq([LpEntry::Int(7)]) && list.len() == 1);
        let zset = b"\x19\0\0\0\x16\0\0\0\x04\0\0\x03one\x05\xf2\x02\x03two\x05\xf3\xff";
        let expected = [&b"one"[..], b"1", b"two", b"2"].map(LpEntry::Str);
        assert!(Ziplist::new(zset).unwrap().iter().eq(expected));
        let none = b"\x0b\0\0\0\x0a\0\0\0\0\0\xff";
        assert!(Ziplist::new(none).unwrap().is_empty());
    }

    #[test]
    fn reads_back_and_survives_nonsense() {
        let text = vec![b'x'; 70_000];
        let mut rng = Rng::new(5);
        for round in 0..2000 {
            let n = rng.below(12);
            let elements: Vec<LpEntry<'_>> = (0..n)
                .map(|_| match rng.below(3) {
                    0 => LpEntry::Int((rng.next() as i64) >> rng.below(64)),
                    1 => LpEntry::Int(rng.below(14) as i64),
                    _ => {
                        let lengths = [0, 1, 63, 64, 250, 251, 252, 300, 16_383, 16_384, 70_000];
                        let few = if round % 50 == 0 { 11 } else { 8 };
                        LpEntry::Str(&text[..lengths[rng.below(few)]])
                    }
                })
                .collect();
            let mut bytes = write(&elements);
            let read = Ziplist::new(&bytes).unwrap();
            assert!(read.iter().eq(elements.iter().copied()) && read.len() == n);
            for _ in 0..1 + rng.below(3) {
                let at = rng.below(bytes.len());
                bytes[at] = rng.next() as u8;
            }
            if round % 3 == 0 {
                bytes.truncate(rng.below(bytes.len()));
            }
            if let Ok(read) = Ziplist::new(&bytes) {
                assert_eq!(read.iter().count(), read.len());
            }
            let noise: Vec<u8> = (0..rng.below(40)).map(|_| rng.next() as u8).collect();
            let mut framed = [&[0; 10][..], &noise, &[END]].concat();
            let total = framed.len() as u8;
            framed[0] = total;
            framed[4] = rng.below(total.into()) as u8;
            framed[8..10].fill(0xFF);
            if let Ok(read) = Ziplist::new(&framed) {
                assert_eq!(read.iter().count(), read.len());
            }
        }
    }

    #[test]
    fn every_field_of_the_header_counts() {
        let good = write(&[LpEntry::Int(1), LpEntry::Str(b"two"), LpEntry::Int(300)]);
        for at in 0..good.len() - 1 {
            let mut bad = good.clone();
            bad[at] ^= 1;
            // A changed bit in a string's bytes, or in an integer's value, leaves a valid ziplist.
            let harmless = Ziplist::new(&bad).is_ok();
            let content = [11, 14, 15, 16].contains(&at) || at >= good.len() - 3;
            assert_eq!(harmless, content, "byte {at}");
        }
        for len in 0..good.len() {
            assert!(Ziplist::new(&good[..len]).is_err());
        }
    }
}
