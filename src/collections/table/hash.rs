//! The hash of a key: 64 good bits, a random seed, one function.
//!
//! Folded multiplication (64 × 64 → 128, halves xored), the construction of wyhash, rapidhash and foldhash: one
//! multiplication per 16 bytes. Keyed, because position in the table follows from the hash, and an attacker who could
//! predict it could fill one place on purpose. Not for anything that must stay the same between two runs.
//!
//! Mirrors: siphash.c. Differs: another function, faster and weaker; `docs/decisions/keys-with-one-hash.md` says what
//! happens if an attacker finds keys with one hash all the same.

const K0: u64 = 0x2d35_8dcc_aa6c_78a5;
pub(super) const K1: u64 = 0x8bb8_4b93_962e_acc9;
const K2: u64 = 0x4b33_a62e_d433_d4a3;

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    wide as u64 ^ (wide >> 64) as u64
}

#[inline]
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[inline]
fn u32_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32::from_le_bytes(
        bytes[at..at + 4].try_into().expect("four bytes"),
    ))
}

/// 64 bits that depend on every bit of `bytes` and of `seed`. O(len).
#[inline]
pub fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let len = bytes.len();
    let mut state = fold(seed ^ K0, seed.rotate_left(32) ^ K1) ^ seed;
    // The last up to 16 bytes, read as two words that may overlap.
    let (a, b) = if len > 16 {
        let mut at = 0;
        while len - at > 16 {
            state = fold(u64_at(bytes, at) ^ state, u64_at(bytes, at + 8) ^ seed ^ K1);
            at += 16;
        }
        (u64_at(bytes, len - 16), u64_at(bytes, len - 8))
    } else if len >= 8 {
        (u64_at(bytes, 0), u64_at(bytes, len - 8))
    } else if len >= 4 {
        (u32_at(bytes, 0), u32_at(bytes, len - 4))
    } else if len > 0 {
        (
            u64::from(bytes[0]) << 16 | u64::from(bytes[len / 2]) << 8 | u64::from(bytes[len - 1]),
            0,
        )
    } else {
        (0, 0)
    };
    // The length in the state tells apart inputs whose overlapping words are equal.
    let mixed = fold(a ^ state, b ^ seed ^ K2);
    fold(mixed ^ K0, state ^ (len as u64).wrapping_mul(K1) ^ K2)
}

#[cfg(test)]
mod tests {
    use super::hash;

    /// Each input bit flips each output bit about half of the time, at every length.
    #[test]
    fn avalanche() {
        for len in [1usize, 3, 4, 7, 8, 12, 16, 17, 32, 40] {
            let rounds = if cfg!(miri) { 4u64 } else { 400 };
            let mut flips = [0u32; 64];
            let mut trials = 0;
            for round in 0..rounds {
                let mut bytes: Vec<u8> = (0..len).map(|i| hash(round, &[i as u8]) as u8).collect();
                let h = hash(7, &bytes);
                for bit in 0..len * 8 {
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    let d = h ^ hash(7, &bytes);
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    trials += 1;
                    (0..64).for_each(|b| flips[b] += (d >> b & 1) as u32);
                }
            }
            if !cfg!(miri) {
                for f in flips {
                    let share = f64::from(f) / f64::from(trials);
                    assert!((0.45..0.55).contains(&share), "length {len}: {share}");
                }
            }
        }
    }

    #[test]
    fn seeds_and_lengths_matter() {
        assert_ne!(hash(1, b"a"), hash(2, b"a"));
        assert_ne!(hash(1, b""), hash(1, b"\0"));
        assert_ne!(hash(1, b"\0\0\0\0"), hash(1, b"\0\0\0\0\0"));
        let mut all: Vec<u64> = (0u32..10_000)
            .map(|i| hash(3, i.to_string().as_bytes()) >> 40)
            .collect();
        all.sort_unstable();
        all.dedup();
        assert!(all.len() > 9_985, "top bits spread: {}", all.len());
    }
}
