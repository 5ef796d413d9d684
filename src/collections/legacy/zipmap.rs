//! Zipmap: how Redis before 2.6 kept small hashes.
//!
//! ```text
//!   count u8 | field length | field | value length | unused u8 | value | unused bytes | … | 0xFF
//! ```
//!
//! A length is one byte below 254, or 0xFE and a u32. A count of 254 means "that many or more". The unused bytes
//! are room that a shortened value left behind.
//!
//! Mirrors: zipmap.c, the reading half.

use super::{take, take_array};
use crate::collections::listpack::Corrupt;

/// A zipmap found whole. Borrowed from the bytes it was read from.
#[derive(Debug, Clone, Copy)]
pub struct Zipmap<'a> {
    /// The pairs, without count and terminator.
    pairs: &'a [u8],
    len: usize,
}

const END: u8 = 0xFF;
const BIG: u8 = 0xFE;

impl<'a> Zipmap<'a> {
    /// Checks all of `bytes`. As in Redis, an empty one does not pass. O(bytes).
    #[doc(alias = "zipmapValidateIntegrity")]
    pub fn new(bytes: &'a [u8]) -> Result<Zipmap<'a>, Corrupt> {
        Zipmap::check(bytes).ok_or(Corrupt)
    }

    fn check(bytes: &'a [u8]) -> Option<Zipmap<'a>> {
        let (end, rest) = bytes.split_last()?;
        let (stored, mut rest) = rest.split_first()?;
        let pairs = rest;
        let mut len = 0;
        while !rest.is_empty() {
            take_pair(&mut rest)?;
            len += 1;
        }
        let counted = *stored == BIG || usize::from(*stored) == len;
        (*end == END && counted && len > 0).then_some(Zipmap { pairs, len })
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: an empty zipmap is not one.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All fields with their values. A field may come twice: the format does not forbid it.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone + use<'a> {
        let mut rest = self.pairs;
        std::iter::from_fn(move || take_pair(&mut rest))
    }
}

fn take_pair<'a>(bytes: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let field_len = take_len(bytes)?;
    let field = take(bytes, field_len)?;
    let value_len = take_len(bytes)?;
    let [unused] = take_array(bytes)?;
    let value = take(bytes, value_len)?;
    take(bytes, usize::from(unused))?;
    Some((field, value))
}

fn take_len(bytes: &mut &[u8]) -> Option<usize> {
    match take_array(bytes)? {
        [END] => None,
        // Redis finds the next length by its value, so a wide one that could have been narrow leads it astray.
        [BIG] => Some(u32::from_le_bytes(take_array(bytes)?) as usize)
            .filter(|len| *len >= usize::from(BIG)),
        [len] => Some(usize::from(len)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collections::testing::Rng;

    fn write_len(bytes: &mut Vec<u8>, len: usize) {
        match len {
            0..254 => bytes.push(len as u8),
            _ => {
                bytes.push(BIG);
                bytes.extend((len as u32).to_le_bytes());
            }
        }
    }

    #[test]
    fn reads_what_redis_wrote() {
        // From an RDB file of version 3.
        let zipmap = Zipmap::new(b"\x02\x02f1\x02\0v1\x02f2\x02\0v2\xff").unwrap();
        let expected = [(&b"f1"[..], &b"v1"[..]), (b"f2", b"v2")];
        assert!(zipmap.iter().eq(expected) && zipmap.len() == 2);
    }

    #[test]
    fn reads_back_and_survives_nonsense() {
        let text = vec![b'x'; 300];
        let mut rng = Rng::new(6);
        for round in 0..2000 {
            let n = 1 + rng.below(if round % 100 == 0 { 300 } else { 6 });
            let mut bytes = vec![n.min(254) as u8];
            let mut pairs = Vec::new();
            for _ in 0..n {
                let lengths = [0, 1, 5, 252, 253, 254, 255, 300];
                let field = &text[..lengths[rng.below(8)]];
                let value = &text[..lengths[rng.below(8)]];
                let unused = rng.below(5);
                write_len(&mut bytes, field.len());
                bytes.extend(field);
                write_len(&mut bytes, value.len());
                bytes.push(unused as u8);
                bytes.extend(value);
                bytes.extend(vec![b'?'; unused]);
                pairs.push((field, value));
            }
            bytes.push(END);
            let read = Zipmap::new(&bytes).unwrap();
            assert!(read.iter().eq(pairs) && read.len() == n && !read.is_empty());
            let len = rng.below(bytes.len());
            assert!(Zipmap::new(&bytes[..len]).is_err() || bytes[len - 1] == END);
            for _ in 0..1 + rng.below(3) {
                let at = rng.below(bytes.len());
                bytes[at] = rng.next() as u8;
            }
            if let Ok(read) = Zipmap::new(&bytes) {
                assert_eq!(read.iter().count(), read.len());
            }
            let noise: Vec<u8> = (0..rng.below(40)).map(|_| rng.next() as u8).collect();
            let framed = [&[BIG][..], &noise, &[END]].concat();
            if let Ok(read) = Zipmap::new(&framed) {
                assert_eq!(read.iter().count(), read.len());
            }
        }
        assert!(Zipmap::new(b"").is_err() && Zipmap::new(b"\0\xff").is_err());
    }
}
