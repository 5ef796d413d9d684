//! Strings as rows of bits: SETBIT, BITCOUNT, BITPOS, BITOP, BITFIELD.
//!
//! ```text
//!   bytes   │ 0       │ 1       │ 2       │          bit 0 is the highest of byte 0, so numbers
//!   bits    │ 01234567│ 89…   15│ 16…     │          in a BITFIELD are big-endian, at any bit
//!                  └──i5 at 7──┘
//! ```
//!
//! Everything works on slices, whatever holds them; what lies behind the end reads as zero. Whole bytes are
//! taken by eight in a word, and in blocks that stay in the cache.
//!
//! Invariant: an index given by a client is only used after it was cut to the slice; the writers
//! ([`set_bit`], [`Field::write`]) want room made before, as the commands do.
//!
//! Mirrors: bitops.c; BITOP's DIFF, DIFF1, ANDOR and ONE are those of Redis 8.2.
//! Differs: BITFIELD computes in 128 bits, so that overflow is a comparison and not a case analysis. (In Redis
//! a SET with OVERFLOW SAT of a number close to -2^63 stores the field's largest number; here its smallest.)

use crate::util::num::parse_i64;

/// The unit of a range's start and end (BITCOUNT, BITPOS).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Byte,
    Bit,
}

/// The bit at `offset`; false behind the end.
#[inline]
pub fn get_bit(bytes: &[u8], offset: u64) -> bool {
    let byte = usize::try_from(offset >> 3)
        .ok()
        .and_then(|at| bytes.get(at));
    byte.is_some_and(|byte| byte >> (7 - (offset & 7)) & 1 == 1)
}

/// Writes the bit at `offset` and returns what it was. Panics if the slice does not reach so far.
#[inline]
pub fn set_bit(bytes: &mut [u8], offset: u64, on: bool) -> bool {
    let byte = &mut bytes[(offset >> 3) as usize];
    let mask = 0x80 >> (offset & 7);
    let was = *byte & mask != 0;
    if on {
        *byte |= mask;
    } else {
        *byte &= !mask;
    }
    was
}

/// How many bits are set. O(bytes).
#[doc(alias = "redisPopcount")]
pub fn count(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let (groups, words) = words.as_chunks::<4>();
    let ones = |word: &[u8; 8]| u64::from(u64::from_ne_bytes(*word).count_ones());
    let grouped: u64 = groups
        .iter()
        .map(|group| group.iter().map(ones).sum::<u64>())
        .sum();
    let single: u64 = words.iter().map(ones).sum();
    let last: u64 = rest.iter().map(|byte| u64::from(byte.count_ones())).sum();
    grouped + single + last
}

/// BITCOUNT with a range: both ends included, negative ones from the end of the string.
#[doc(alias = "bitcountCommand")]
pub fn count_range(bytes: &[u8], start: i64, end: i64, unit: Unit) -> u64 {
    if start < 0 && end < 0 && start > end {
        return 0;
    }
    let Some((first, last)) = bit_range(bytes, start, end, unit) else {
        return 0;
    };
    let (first_byte, last_byte) = ((first >> 3) as usize, (last >> 3) as usize);
    let outside_left = bytes[first_byte] & !left_mask(first);
    let outside_right = bytes[last_byte] & !right_mask(last);
    count(&bytes[first_byte..=last_byte])
        - u64::from(outside_left.count_ones() + outside_right.count_ones())
}

/// The bits of a byte from the one `offset` falls on, to the right.
fn left_mask(offset: u64) -> u8 {
    0xff >> (offset & 7)
}

/// The bits of a byte up to the one `offset` falls on.
fn right_mask(offset: u64) -> u8 {
    0xff << (7 - (offset & 7))
}

/// First and last bit of a range as a client gives it; `None` if it holds nothing.
fn bit_range(bytes: &[u8], start: i64, end: i64, unit: Unit) -> Option<(u64, u64)> {
    let total = match unit {
        Unit::Byte => bytes.len() as i64,
        Unit::Bit => bytes.len() as i64 * 8,
    };
    let from_end = |index: i64| {
        if index < 0 {
            total.saturating_add(index).max(0)
        } else {
            index
        }
    };
    let (start, end) = (from_end(start), from_end(end).min(total - 1));
    if start > end {
        return None;
    }
    let (start, end) = (start as u64, end as u64);
    Some(match unit {
        Unit::Byte => (start * 8, end * 8 + 7),
        Unit::Bit => (start, end),
    })
}

/// BITPOS on an existing key: the first bit that is `on`, within a range, counted from the string's start.
///
/// With no `end`, the string is thought to go on in zeros: if all its bits from `start` are set, the first
/// clear one is the one behind the end. (A missing key answers by itself: 0 for a clear bit, -1 for a set one.)
#[doc(alias = "bitposCommand")]
pub fn position(bytes: &[u8], on: bool, start: i64, end: Option<i64>, unit: Unit) -> Option<u64> {
    let (first, last) = bit_range(bytes, start, end.unwrap_or(i64::MAX), unit)?;
    let found = first_in(bytes, on, first, last);
    match found {
        None if !on && end.is_none() => Some(bytes.len() as u64 * 8),
        _ => found,
    }
}

/// The first bit that is `on` between two positions inside the slice.
#[doc(alias = "redisBitpos")]
fn first_in(bytes: &[u8], on: bool, first: u64, last: u64) -> Option<u64> {
    let (first_byte, last_byte) = ((first >> 3) as usize, (last >> 3) as usize);
    // With the other sense all bits are flipped, and the search is always for a one.
    let flip = if on { 0u8 } else { 0xff };
    let seek = |byte: usize, mask: u8| {
        let candidates = (bytes[byte] ^ flip) & mask;
        (candidates != 0).then(|| byte as u64 * 8 + u64::from(candidates.leading_zeros()))
    };
    if first_byte == last_byte {
        return seek(first_byte, left_mask(first) & right_mask(last));
    }
    let between = || {
        let inner = &bytes[first_byte + 1..last_byte];
        let idle = [flip; 8];
        let words = inner.as_chunks::<8>().0;
        let skipped = 8 * words.iter().take_while(|word| **word == idle).count();
        let rest = inner[skipped..].iter().position(|&byte| byte != flip)?;
        seek(first_byte + 1 + skipped + rest, 0xff)
    };
    seek(first_byte, left_mask(first))
        .or_else(between)
        .or_else(|| seek(last_byte, right_mask(last)))
}

/// A BITOP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    And,
    Or,
    Xor,
    /// Every bit of the only source, inverted.
    Not,
    /// In the first source, but in none of the others.
    Diff,
    /// In one of the others, but not in the first.
    Diff1,
    /// In the first, and in one of the others at least.
    AndOr,
    /// Bits set in exactly one source.
    One,
}

impl Operation {
    /// The operation with this name, in any letter case.
    pub fn parse(name: &[u8]) -> Option<Self> {
        let known: [(&[u8], Operation); 8] = [
            (b"and", Operation::And),
            (b"or", Operation::Or),
            (b"xor", Operation::Xor),
            (b"not", Operation::Not),
            (b"diff", Operation::Diff),
            (b"diff1", Operation::Diff1),
            (b"andor", Operation::AndOr),
            (b"one", Operation::One),
        ];
        let found = known
            .iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known))?;
        Some(found.1)
    }

    /// Whether it can be asked of so many sources.
    pub fn accepts(self, sources: usize) -> bool {
        match self {
            Operation::Not => sources == 1,
            Operation::Diff | Operation::Diff1 | Operation::AndOr => sources >= 2,
            _ => sources >= 1,
        }
    }
}

/// All sources are walked together in blocks of this many bytes, so that the result stays in the L1 cache.
const BLOCK: usize = 4096;

/// The result of a BITOP, as long as the longest source; a shorter one goes on in zeros. O(all bytes).
#[doc(alias = "bitopCommand")]
pub fn combine(operation: Operation, sources: &[&[u8]]) -> Vec<u8> {
    let length = sources.iter().map(|source| source.len()).max().unwrap_or(0);
    let mut result = vec![0; length];
    for (index, block) in result.chunks_mut(BLOCK).enumerate() {
        let reach = index * BLOCK..index * BLOCK + block.len();
        let mut parts = sources.iter().map(|source| {
            let end = source.len().min(reach.end);
            source.get(reach.start..end).unwrap_or_default()
        });
        combine_block(operation, block, &mut parts);
    }
    result
}

/// One block of the result, zero before. A part may be shorter than the block.
fn combine_block(operation: Operation, block: &mut [u8], parts: &mut dyn Iterator<Item = &[u8]>) {
    let Some(first) = parts.next() else { return };
    match operation {
        Operation::And => {
            block[..first.len()].copy_from_slice(first);
            for part in parts {
                zip(block, part, |result, byte| *result &= byte);
                block[part.len()..].fill(0);
            }
        }
        Operation::Or | Operation::Xor => {
            block[..first.len()].copy_from_slice(first);
            for part in parts {
                match operation {
                    Operation::Or => zip(block, part, |result, byte| *result |= byte),
                    _ => zip(block, part, |result, byte| *result ^= byte),
                }
            }
        }
        Operation::Not => {
            block.fill(0xff);
            zip(block, first, |result, byte| *result = !byte);
        }
        Operation::Diff | Operation::Diff1 | Operation::AndOr => {
            for part in parts {
                zip(block, part, |result, byte| *result |= byte);
            }
            match operation {
                Operation::Diff => {
                    zip(block, first, |result, byte| *result = byte & !*result);
                    block[first.len()..].fill(0);
                }
                Operation::Diff1 => zip(block, first, |result, byte| *result &= !byte),
                _ => {
                    zip(block, first, |result, byte| *result &= byte);
                    block[first.len()..].fill(0);
                }
            }
        }
        Operation::One => {
            let mut twice = [0; BLOCK];
            block[..first.len()].copy_from_slice(first);
            for part in parts {
                for ((result, twice), &byte) in block.iter_mut().zip(&mut twice).zip(part) {
                    *twice |= *result & byte;
                    *result |= byte;
                }
            }
            zip(block, &twice, |result, byte| *result &= !byte);
        }
    }
}

#[inline(always)]
fn zip(block: &mut [u8], part: &[u8], apply: impl Fn(&mut u8, u8)) {
    for (result, &byte) in block.iter_mut().zip(part) {
        apply(result, byte);
    }
}

/// The treatment of a number that does not fit its field (BITFIELD … OVERFLOW).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// Keep the low bits.
    #[default]
    Wrap,
    /// Keep the nearest number that fits.
    Saturate,
    /// Do nothing, answer nil.
    Fail,
}

impl Overflow {
    /// `WRAP`, `SAT` or `FAIL`, in any case.
    pub fn parse(name: &[u8]) -> Option<Self> {
        if name.eq_ignore_ascii_case(b"wrap") {
            Some(Overflow::Wrap)
        } else if name.eq_ignore_ascii_case(b"sat") {
            Some(Overflow::Saturate)
        } else if name.eq_ignore_ascii_case(b"fail") {
            Some(Overflow::Fail)
        } else {
            None
        }
    }
}

/// The type of a number in a bit field: `i1` to `i64`, `u1` to `u63`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    signed: bool,
    bits: u32,
}

impl Field {
    /// `i` or `u`, in lower case, and a width. (No `u64`: replies cannot carry it.)
    #[doc(alias = "getBitfieldTypeFromArgument")]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (signed, width) = match text {
            [b'i', width @ ..] => (true, width),
            [b'u', width @ ..] => (false, width),
            _ => return None,
        };
        let bits = u32::try_from(parse_i64(width)?).ok()?;
        let most = if signed { 64 } else { 63 };
        (1..=most).contains(&bits).then_some(Field { signed, bits })
    }

    /// The width in bits.
    pub fn bits(self) -> u32 {
        self.bits
    }

    /// A bit offset as BITFIELD takes it: `#n` counts in this type's width. The caller compares it with the
    /// largest string allowed.
    #[doc(alias = "getBitOffsetFromArgument")]
    pub fn parse_offset(self, text: &[u8]) -> Option<u64> {
        let offset = match text {
            [b'#', number @ ..] => parse_i64(number)?.checked_mul(i64::from(self.bits))?,
            _ => parse_i64(text)?,
        };
        u64::try_from(offset).ok()
    }

    /// The number at a bit offset.
    #[doc(alias = "getSignedBitfield")]
    #[doc(alias = "getUnsignedBitfield")]
    pub fn read(self, bytes: &[u8], offset: u64) -> i64 {
        self.of_low_bits((window(bytes, offset) >> self.shift(offset)) as u64)
    }

    /// Writes the low bits of a number. Panics if the slice does not hold them all.
    #[doc(alias = "setSignedBitfield")]
    #[doc(alias = "setUnsignedBitfield")]
    pub fn write(self, bytes: &mut [u8], offset: u64, value: i64) {
        let shift = self.shift(offset);
        let mask = u128::from(self.mask()) << shift;
        let window = window(bytes, offset) & !mask | (u128::from(value as u64) << shift) & mask;
        let at = (offset >> 3) as usize;
        let touched = ((offset & 7) as usize + self.bits as usize).div_ceil(8);
        bytes[at..at + touched].copy_from_slice(&window.to_be_bytes()[..touched]);
    }

    /// The number SET stores for `value`; `None` under OVERFLOW FAIL if it does not fit.
    pub fn fit(self, value: i64, overflow: Overflow) -> Option<i64> {
        // To an unsigned field a negative number is a large one.
        let value = if self.signed {
            i128::from(value)
        } else {
            i128::from(value as u64)
        };
        self.fit_wide(value, overflow)
    }

    /// The sum INCRBY stores; `None` under OVERFLOW FAIL if it does not fit.
    #[doc(alias = "checkSignedBitfieldOverflow")]
    #[doc(alias = "checkUnsignedBitfieldOverflow")]
    pub fn add(self, old: i64, increment: i64, overflow: Overflow) -> Option<i64> {
        self.fit_wide(i128::from(old) + i128::from(increment), overflow)
    }

    fn fit_wide(self, value: i128, overflow: Overflow) -> Option<i64> {
        let (min, max) = match self.signed {
            true => (-(1i128 << (self.bits - 1)), (1i128 << (self.bits - 1)) - 1),
            false => (0, (1i128 << self.bits) - 1),
        };
        if (min..=max).contains(&value) {
            return Some(value as i64);
        }
        match overflow {
            Overflow::Wrap => Some(self.of_low_bits(value as u64)),
            Overflow::Saturate => Some(value.clamp(min, max) as i64),
            Overflow::Fail => None,
        }
    }

    fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }

    /// How far the number's lowest bit is from the right end of its [`window`].
    fn shift(self, offset: u64) -> u32 {
        128 - (offset & 7) as u32 - self.bits
    }

    fn of_low_bits(self, bits: u64) -> i64 {
        let unused = 64 - self.bits;
        match self.signed {
            true => ((bits << unused) as i64) >> unused,
            false => (bits & self.mask()) as i64,
        }
    }
}

/// The 16 bytes around a bit offset, its byte the highest; zeros where there are none. A field needs 9.
fn window(bytes: &[u8], offset: u64) -> u128 {
    let rest = usize::try_from(offset >> 3)
        .ok()
        .and_then(|at| bytes.get(at..));
    let rest = rest.unwrap_or_default();
    match rest.first_chunk() {
        Some(all) => u128::from_be_bytes(*all),
        None => {
            let mut padded = [0; 16];
            padded[..rest.len()].copy_from_slice(rest);
            u128::from_be_bytes(padded)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::rng::Rng;

    fn random(rng: &mut Rng, max: u64) -> Vec<u8> {
        let mut bytes = vec![0; rng.below(max + 1) as usize];
        match rng.below(4) {
            0 => bytes.fill(0xff),
            1 => {}
            _ => rng.fill(&mut bytes),
        }
        if !bytes.is_empty() {
            let bit = rng.below(bytes.len() as u64 * 8);
            set_bit(&mut bytes, bit, rng.below(2) == 1);
        }
        bytes
    }

    #[test]
    fn single_bits() {
        let mut bytes = vec![0; 3];
        assert!(!set_bit(&mut bytes, 7, true));
        assert!(!set_bit(&mut bytes, 8, true));
        assert_eq!(bytes, [1, 0x80, 0]);
        assert!(set_bit(&mut bytes, 7, false));
        assert!(get_bit(&bytes, 8) && !get_bit(&bytes, 7));
        assert!(!get_bit(&bytes, 24) && !get_bit(&bytes, u64::MAX));
    }

    /// Bit by bit over the same ranges.
    #[test]
    fn counting_and_finding_agree_with_the_definition() {
        let mut rng = Rng::new(1);
        for _ in 0..3_000 {
            let bytes = random(&mut rng, 40);
            let bits: Vec<bool> = (0..bytes.len() as u64 * 8)
                .map(|at| get_bit(&bytes, at))
                .collect();
            assert_eq!(count(&bytes), bits.iter().filter(|on| **on).count() as u64);
            for (unit, width) in [(Unit::Byte, 8), (Unit::Bit, 1)] {
                let total = (bits.len() / width) as i64;
                let mut index = || rng.below(3 * total as u64 + 4) as i64 - total - total / 2 - 2;
                let (start, end) = (index(), index());
                let absolute = |at: i64| if at < 0 { (total + at).max(0) } else { at };
                let (from, to) = (absolute(start), absolute(end).min(total - 1));
                let range = if from <= to {
                    from as usize * width..(to as usize + 1) * width
                } else {
                    0..0
                };
                let slice = &bits[range.clone()];
                let expected = match start < 0 && end < 0 && start > end {
                    true => 0,
                    false => slice.iter().filter(|on| **on).count() as u64,
                };
                assert_eq!(count_range(&bytes, start, end, unit), expected);
                for on in [false, true] {
                    let expected = slice
                        .iter()
                        .position(|bit| *bit == on)
                        .map(|at| (at + range.start) as u64);
                    assert_eq!(position(&bytes, on, start, Some(end), unit), expected);
                }
            }
        }
    }

    /// Replies of a real server.
    #[test]
    fn positions() {
        assert_eq!(
            position(b"\xff\xf0\x00", false, 0, None, Unit::Byte),
            Some(12)
        );
        assert_eq!(
            position(b"\x00\xff\xf0", true, 2, None, Unit::Byte),
            Some(16)
        );
        assert_eq!(
            position(b"\xff\xff\xff", false, 0, None, Unit::Byte),
            Some(24)
        );
        assert_eq!(
            position(b"\xff\xff\xff", false, 0, Some(-1), Unit::Byte),
            None
        );
        assert_eq!(position(b"\xff\xff\xff", false, 3, None, Unit::Byte), None);
        assert_eq!(
            position(b"\x00\xff\xf0", true, 7, Some(15), Unit::Bit),
            Some(8)
        );
        assert_eq!(position(b"", false, 0, None, Unit::Byte), None);
        assert_eq!(position(&[0; 100], true, 0, None, Unit::Byte), None);
        assert_eq!(count_range(b"foobar", 0, -1, Unit::Byte), 26);
        assert_eq!(count_range(b"foobar", 5, 30, Unit::Bit), 17);
        assert_eq!(count_range(b"foobar", i64::MIN, i64::MAX, Unit::Bit), 26);
        assert_eq!(count_range(b"foobar", i64::MAX, i64::MIN, Unit::Byte), 0);
    }

    #[test]
    fn operations_agree_with_the_definition() {
        let mut rng = Rng::new(2);
        let names = ["AND", "or", "Xor", "not", "diff", "DIFF1", "andor", "one"];
        for _ in 0..400 {
            let name = names[rng.below(8) as usize];
            let operation = Operation::parse(name.as_bytes()).expect("known");
            let max = if rng.below(10) == 0 { 10_000 } else { 20 };
            let wanted = 1 + rng.below(5) as usize;
            let sources: Vec<Vec<u8>> = (0..wanted).map(|_| random(&mut rng, max)).collect();
            if !operation.accepts(sources.len()) {
                continue;
            }
            let slices: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
            let result = combine(operation, &slices);
            assert_eq!(
                result.len(),
                sources.iter().map(Vec::len).max().unwrap_or(0)
            );
            for at in 0..result.len() as u64 * 8 {
                let bits: Vec<bool> = sources.iter().map(|source| get_bit(source, at)).collect();
                let others = bits[1..].iter().any(|on| *on);
                let expected = match operation {
                    Operation::And => bits.iter().all(|on| *on),
                    Operation::Or => bits[0] || others,
                    Operation::Xor => bits.iter().fold(false, |sum, on| sum ^ on),
                    Operation::Not => !bits[0],
                    Operation::Diff => bits[0] && !others,
                    Operation::Diff1 => !bits[0] && others,
                    Operation::AndOr => bits[0] && others,
                    Operation::One => bits.iter().filter(|on| **on).count() == 1,
                };
                assert_eq!(get_bit(&result, at), expected, "{name} {at}");
            }
        }
        assert_eq!(Operation::parse(b"nand"), None);
        assert!(
            !Operation::Not.accepts(2) && !Operation::Diff.accepts(1) && Operation::And.accepts(1)
        );
        assert_eq!(combine(Operation::Or, &[]), b"");
    }

    #[test]
    fn field_types_and_offsets() {
        let field = |text: &[u8]| Field::parse(text);
        for text in [
            &b"u0"[..],
            b"i0",
            b"u64",
            b"i65",
            b"I8",
            b"8",
            b"",
            b"u",
            b"u08",
            b"i-1",
            b"u8 ",
        ] {
            assert_eq!(field(text), None, "{}", text.escape_ascii());
        }
        let byte = field(b"u8").expect("a type");
        assert_eq!((byte.bits(), field(b"i64").map(Field::bits)), (8, Some(64)));
        assert_eq!(
            (byte.parse_offset(b"100"), byte.parse_offset(b"#100")),
            (Some(100), Some(800))
        );
        for text in [&b"-1"[..], b"#-1", b"#", b"x", b"#9223372036854775807"] {
            assert_eq!(byte.parse_offset(text), None);
        }
    }

    #[test]
    fn fields_are_where_they_should_be() {
        let mut bytes = vec![0; 2];
        Field::parse(b"u5")
            .expect("a type")
            .write(&mut bytes, 7, 23);
        assert_eq!(bytes, [0b0000_0001, 0b0111_0000]);
        assert_eq!(Field::parse(b"i5").expect("a type").read(&bytes, 7), -9);
        assert_eq!(
            Field::parse(b"u63").expect("a type").read(&bytes, u64::MAX),
            0
        );

        let mut rng = Rng::new(3);
        for _ in 0..20_000 {
            let signed = rng.below(2) == 0;
            let bits = 1 + rng.below(if signed { 64 } else { 63 }) as u32;
            let field = Field { signed, bits };
            let before = random(&mut rng, 30);
            let offset = rng.below(260);
            let bit = |bytes: &[u8], at: u32| get_bit(bytes, offset + u64::from(at));
            let unsigned =
                (0..bits).fold(0u64, |value, at| value << 1 | u64::from(bit(&before, at)));
            let expected = match signed && bit(&before, 0) {
                true => (unsigned | u64::MAX.checked_shl(bits).unwrap_or(0)) as i64,
                false => unsigned as i64,
            };
            assert_eq!(field.read(&before, offset), expected);

            let mut after = before.clone();
            after.resize(
                before
                    .len()
                    .max((offset + u64::from(bits)).div_ceil(8) as usize),
                0,
            );
            let value = rng.next_u64() as i64;
            field.write(&mut after, offset, value);
            assert_eq!(field.read(&after, offset), field.of_low_bits(value as u64));
            for at in (0..after.len() as u64 * 8)
                .filter(|at| !(offset..offset + u64::from(bits)).contains(at))
            {
                assert_eq!(get_bit(&after, at), get_bit(&before, at));
            }
        }
    }

    /// Replies of a real server.
    #[test]
    fn overflows() {
        let add = |ty: &str, old, increment| {
            let field = Field::parse(ty.as_bytes()).expect("a type");
            [b"wrap", &b"sat"[..], b"fail"]
                .map(|name| field.add(old, increment, Overflow::parse(name).expect("a name")))
        };
        assert_eq!(add("u8", 255, 1), [Some(0), Some(255), None]);
        assert_eq!(add("u8", 0, -1), [Some(255), Some(0), None]);
        assert_eq!(add("i8", 127, 1), [Some(-128), Some(127), None]);
        assert_eq!(add("i8", -128, -1), [Some(127), Some(-128), None]);
        assert_eq!(
            add("i64", i64::MAX, 1),
            [Some(i64::MIN), Some(i64::MAX), None]
        );
        assert_eq!(
            add("i64", i64::MIN, i64::MIN),
            [Some(0), Some(i64::MIN), None]
        );
        assert_eq!(
            add("u63", i64::MAX, i64::MAX),
            [Some(i64::MAX - 1), Some(i64::MAX), None]
        );
        assert_eq!(add("i1", 0, 1), [Some(-1), Some(0), None]);
        let field = Field::parse(b"u8").expect("a type");
        assert_eq!(field.fit(-1, Overflow::Saturate), Some(255));
        assert_eq!(field.fit(-1, Overflow::Wrap), Some(255));
        assert_eq!(field.fit(-1, Overflow::Fail), None);
        assert_eq!(Overflow::parse(b"nope"), None);
    }
}
