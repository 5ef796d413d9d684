//! LZF: the quick, light compression of long strings in RDB files and of inner quicklist nodes.
//!
//! ```text
//!   000LLLLL  byte × (L+1)           literals, 1 to 32 of them
//!   LLLooooo  oooooooo               L+2 bytes (L in 1..=6) once more, from o+1 bytes back
//!   111ooooo  LLLLLLLL  oooooooo     L+9 bytes once more, from o+1 bytes back, at most 8192
//! ```
//!
//! For example, 02 61 62 63 e0 00 02 is "abcabcabcabc": three literals, then nine bytes from three bytes back.
//!
//! The compressor remembers, by a hash of three bytes, where it saw them last, and looks only there.
//! The table of 65,536 places is the whole cost of starting, so a [`Compressor`] is kept and reused: places
//! are stored as a running count over all inputs, and what an earlier input left is too low to be believed.
//!
//! Mirrors: lzf_c.c, lzf_d.c (LibLZF by Marc Lehmann, as configured in Redis: `HLOG` 16, `VERY_FAST`).
//! For any input the output is that of LibLZF with a cleared table. (Redis does not clear it, and finds
//! the odd match more or less depending on what lay on its stack.)

/// log2 of the places remembered.
const HASH_BITS: u32 = 16;
const MAX_LITERALS: usize = 1 << 5;
const MAX_OFFSET: usize = 1 << 13;
const MAX_MATCH: usize = (1 << 8) + (1 << 3);

/// The memory of the compressor, 256 KB; reusable, and better reused.
#[derive(Debug, Clone)]
pub struct Compressor {
    /// `base` + position of the last three bytes with that hash, for the input numbered from `base`.
    table: Box<[u32]>,
    base: u32,
}

impl Default for Compressor {
    fn default() -> Self {
        Self::new()
    }
}

impl Compressor {
    /// Allocates the table.
    pub fn new() -> Self {
        Compressor {
            table: vec![0; 1 << HASH_BITS].into_boxed_slice(),
            base: 1,
        }
    }

    /// Compresses `input` into `out`; the compressed length, or `None` if it does not fit, in which case `out` holds
    /// rubbish. To get a result only where it saves space, give an `out` shorter than `input`. O(input).
    #[doc(alias = "lzf_compress")]
    pub fn compress(&mut self, input: &[u8], out: &mut [u8]) -> Option<usize> {
        if input.is_empty() || out.is_empty() {
            return None;
        }
        let base = self.claim(input.len())?;
        // `ip` and `op` are where we read and write; `op` starts behind the room for the literals' count.
        let (mut ip, mut op, mut literals) = (0, 1, 0);
        let end = input.len().saturating_sub(2);
        while ip < end {
            let slot = &mut self.table[hash(input, ip)];
            let seen = std::mem::replace(slot, base + ip as u32);
            // Position 0 is never matched, as in LibLZF: there it cannot be told from "never seen".
            let candidate = seen
                .checked_sub(base)
                .filter(|&position| position > 0)
                .map(|p| p as usize);
            let found = candidate.filter(|&place| {
                ip - place - 1 < MAX_OFFSET && input[place..place + 3] == input[ip..ip + 3]
            });
            let Some(place) = found else {
                *out.get_mut(op)? = input[ip];
                op += 1;
                ip += 1;
                literals += 1;
                if literals == MAX_LITERALS {
                    out[op - literals - 1] = literals as u8 - 1;
                    literals = 0;
                    op += 1;
                }
                continue;
            };

            let no_literals = usize::from(literals == 0);
            if op - no_literals + 3 + 1 >= out.len() {
                return None;
            }
            if literals > 0 {
                out[op - literals - 1] = literals as u8 - 1;
            }
            op -= no_literals;

            let length = match_length(input, place, ip);
            let (offset, code) = (ip - place - 1, length - 2);
            if code < 7 {
                out[op] = (offset >> 8) as u8 + ((code as u8) << 5);
            } else {
                out[op] = (offset >> 8) as u8 + (7 << 5);
                op += 1;
                out[op] = (code - 7) as u8;
            }
            out[op + 1] = offset as u8;
            literals = 0;
            op += 3;
            ip += length;
            if ip >= end {
                break;
            }
            // Of the places inside the match only the last two are remembered: faster, hardly worse.
            for place in [ip - 2, ip - 1] {
                self.table[hash(input, place)] = base + place as u32;
            }
        }
        if op + 3 > out.len() {
            return None;
        }
        for &byte in &input[ip..] {
            out[op] = byte;
            op += 1;
            literals += 1;
            if literals == MAX_LITERALS {
                out[op - literals - 1] = literals as u8 - 1;
                literals = 0;
                op += 1;
            }
        }
        if literals == 0 {
            return Some(op - 1);
        }
        out[op - literals - 1] = literals as u8 - 1;
        Some(op)
    }

    /// Numbers for the positions of the next input, all above those of earlier ones. `None` for an input
    /// of 4 GB, which has none.
    fn claim(&mut self, length: usize) -> Option<u32> {
        let length = u32::try_from(length)
            .ok()
            .filter(|&length| length < u32::MAX)?;
        let base = match self.base.checked_add(length) {
            Some(_) => self.base,
            None => {
                self.table.fill(0);
                1
            }
        };
        self.base = base + length;
        Some(base)
    }
}

#[inline]
fn hash(input: &[u8], at: usize) -> usize {
    let bytes = &input[at..at + 3];
    let h = u32::from(bytes[0]) << 16 | u32::from(bytes[1]) << 8 | u32::from(bytes[2]);
    ((h >> (24 - HASH_BITS)).wrapping_sub(h.wrapping_mul(5)) & ((1 << HASH_BITS) - 1)) as usize
}

/// How far the input at `place` and at `ip` agree, given that the first three bytes do. LibLZF stops two
/// bytes before the end, unless its unrolled first steps have gone beyond that point already.
#[inline]
fn match_length(input: &[u8], place: usize, ip: usize) -> usize {
    let limit = (input.len() - ip - 2).min(MAX_MATCH);
    let checked = if limit > 16 {
        limit.max(19)
    } else {
        limit.max(3)
    };
    let (earlier, here) = (&input[place..], &input[ip..ip + checked]);
    earlier.iter().zip(here).take_while(|(a, b)| a == b).count()
}

/// Undoes [`Compressor::compress`] (and LibLZF): exactly `length` bytes, or `None` when `input` is not a
/// whole and sound compression of so many. Safe on any input: nothing is allocated that `input` could not
/// fill, and no byte is read that was not written. O(length).
#[doc(alias = "lzf_decompress")]
pub fn decompress(mut input: &[u8], length: usize) -> Option<Vec<u8>> {
    // Three bytes can stand for 264: a larger claim is a lie.
    if length / 88 > input.len() {
        return None;
    }
    let mut out = Vec::with_capacity(length);
    while let [control, rest @ ..] = input {
        let control = usize::from(*control);
        if control < MAX_LITERALS {
            let (literals, rest) = rest.split_at_checked(control + 1)?;
            if literals.len() > length - out.len() {
                return None;
            }
            out.extend_from_slice(literals);
            input = rest;
            continue;
        }
        let (code, rest) = match (control >> 5, rest) {
            (7, [more, rest @ ..]) => (7 + usize::from(*more), rest),
            (7, []) => return None,
            (code, rest) => (code, rest),
        };
        let (low, rest) = rest.split_first()?;
        let offset = ((control & 0x1f) << 8 | usize::from(*low)) + 1;
        let count = code + 2;
        let start = out.len().checked_sub(offset)?;
        if count > length - out.len() {
            return None;
        }
        if count <= offset {
            out.extend_from_within(start..start + count);
        } else {
            // The copy runs into what it writes: the period of `offset` bytes repeats.
            for index in start..start + count {
                out.push(out[index]);
            }
        }
        input = rest;
    }
    (out.len() == length).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::rng::Rng;

    fn round_trip(compressor: &mut Compressor, input: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; input.len() + input.len() / 16 + 8];
        let length = compressor.compress(input, &mut out)?;
        out.truncate(length);
        assert_eq!(decompress(&out, input.len()).as_deref(), Some(input));
        Some(out)
    }

    /// Made with LibLZF itself.
    #[test]
    fn known_values() {
        let mut compressor = Compressor::new();
        let mut same = |text: &[u8], expected: &[u8]| {
            let out = round_trip(&mut compressor, text).expect("there is room");
            assert_eq!(out, expected, "{}", text.escape_ascii());
        };
        same(b"a", b"\x00a");
        same(b"abcabcabcabc", b"\x03abca\x80\x02\x01bc");
        same(&[b'x'; 20], b"\x01xx\xe0\x07\x00\x01xx");
        same(&[b'x'; 400], b"\x01xx\xe0\xff\x00\xe0\x7b\x00\x01xx");
    }

    #[test]
    fn what_does_not_shrink_is_refused() {
        let mut compressor = Compressor::new();
        let mut out = [0; 16];
        assert_eq!(
            compressor.compress(b"0123456789abcdef", &mut out[..12]),
            None
        );
        assert_eq!(compressor.compress(b"", &mut out), None);
        assert_eq!(compressor.compress(b"abc", &mut []), None);
    }

    fn random_input(rng: &mut Rng) -> Vec<u8> {
        let alphabet = 1 + rng.below(256);
        let most = if rng.below(20) == 0 { 40_000 } else { 300 };
        let length = rng.below(most);
        let mut input: Vec<u8> = (0..length).map(|_| rng.below(alphabet) as u8).collect();
        for _ in 0..rng.below(8) {
            let half = input.len() as u64 / 2;
            let (from, to) = (rng.below(half + 1) as usize, rng.below(half + 1) as usize);
            let count = rng.below(half + 1) as usize;
            let count = count.min(input.len() - from.max(to));
            input.copy_within(from..from + count, to);
        }
        input
    }

    #[test]
    fn everything_comes_back() {
        let mut rng = Rng::new(1);
        let mut used = Compressor::new();
        for round in 0..2_000 {
            let input = random_input(&mut rng);
            let out = round_trip(&mut used, &input);
            assert_eq!(out.is_some(), !input.is_empty());
            if round % 50 == 0 {
                assert_eq!(
                    out,
                    round_trip(&mut Compressor::new(), &input),
                    "the past must not show"
                );
            }
            if let Some(out) = out {
                // A buffer too short by any amount is an answer, not a panic.
                for room in 0..out.len().min(80) {
                    assert_eq!(used.compress(&input, &mut vec![0; room]), None);
                }
            }
        }
    }

    #[test]
    fn positions_may_run_out() {
        let mut compressor = Compressor::new();
        compressor.base = u32::MAX - 100;
        let text = b"again and again and again and again and again";
        let fresh = round_trip(&mut Compressor::new(), text);
        for _ in 0..6 {
            assert_eq!(round_trip(&mut compressor, text), fresh);
        }
    }

    #[test]
    fn damaged_input_is_refused_or_wrong_but_harmless() {
        let bad: [(&[u8], usize); 10] = [
            (b"", 1),
            (b"\x00", 1),
            (b"\x01a", 2),
            (b"\x00a", 2),
            (b"\x01ab", 1),
            (b"\x20\x00", 3),
            (b"\x00a\x20\x01", 4),
            (b"\x00a\x20", 4),
            (b"\x00a\xe0", 10),
            (b"\x00a\xe0\x00", 10),
        ];
        for (input, length) in bad {
            assert_eq!(decompress(input, length), None, "{}", input.escape_ascii());
        }
        assert_eq!(decompress(b"\x00a\xe0\x00\x00", usize::MAX), None);
        let mut rng = Rng::new(2);
        let mut compressor = Compressor::new();
        for _ in 0..5_000 {
            let input = random_input(&mut rng);
            let mut out = vec![0; input.len() + input.len() / 16 + 8];
            let Some(length) = compressor.compress(&input, &mut out) else {
                continue;
            };
            out.truncate(length);
            for _ in 0..3 {
                out[rng.below(length as u64) as usize] = rng.next_u64() as u8;
            }
            let _ = decompress(&out, input.len());
            rng.fill(&mut out);
            let _ = decompress(&out, rng.below(10_000) as usize);
        }
    }
}
