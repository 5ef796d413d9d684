//! A small random generator, seeded by its owner: same seed in, same numbers out.
//!
//! xoshiro256** (Blackman and Vigna, 2018), its 256 bits of state filled from 64 by splitmix64. Fast, even,
//! and no secret: a few numbers tell the state, and with it all numbers before and after. So hash seeds, names of servers
//! and passwords come from the operating system, through `sys/` (`sys/entropy.rs`), and never from a generator whose
//! numbers clients see.
//!
//! Mirrors: rand.c (`redisLrand48`, for scripts) and the libc `random()` that Redis calls elsewhere.
//! Differs: no global state; a bounded number is exactly uniform (Lemire, 2019), `random() % n` is not.

/// The generator. `Clone` copies its future, too.
#[derive(Debug, Clone)]
pub struct Rng {
    state: [u64; 4],
}

/// One step of splitmix64: moves `state` on and returns a well-mixed number. Also a good hash of an index.
pub fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng {
    /// Every seed is as good as any other.
    pub fn new(seed: u64) -> Self {
        let mut seed = seed;
        Rng {
            state: std::array::from_fn(|_| splitmix64(&mut seed)),
        }
    }

    /// A generator with all of its state from outside, of which some bit must be set.
    pub fn from_state(bytes: [u8; 32]) -> Self {
        let mut state = [0; 4];
        for (word, bytes) in state.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = bytes
                .iter()
                .rev()
                .fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        match state {
            [0, 0, 0, 0] => Rng::new(0),
            state => Rng { state },
        }
    }

    /// 64 random bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        let [_, s1, ..] = self.state;
        let result = s1.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let s = &mut self.state;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= s1 << 17;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number in `0..bound`, each equally likely; 0 for a bound of 0.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        let mut wide = u128::from(self.next_u64()) * u128::from(bound);
        if (wide as u64) < bound {
            // The first 2^64 mod bound low halves belong to no full round of the bound.
            let surplus = bound.wrapping_neg() % bound;
            while (wide as u64) < surplus {
                wide = u128::from(self.next_u64()) * u128::from(bound);
            }
        }
        (wide >> 64) as u64
    }

    /// A float in `0.0..1.0`, 53 random bits.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
    }

    /// Fills `text` with hex digits, as run ids, replication ids and node names are made.
    #[doc(alias = "getRandomHexChars")]
    pub fn fill_hex(&mut self, text: &mut [u8]) {
        self.fill(text);
        for byte in text {
            *byte = b"0123456789abcdef"[usize::from(*byte & 15)];
        }
    }

    /// Puts `items` in random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the authors' reference program.
    #[test]
    fn known_values() {
        let mut seed = 0;
        assert_eq!(splitmix64(&mut seed), 0xe220_a839_7b1d_cdaf);
        assert_eq!(splitmix64(&mut seed), 0x6e78_9e6a_a1b9_65f4);
        let mut rng = Rng {
            state: [1, 2, 3, 4],
        };
        let first: Vec<u64> = (0..4).map(|_| rng.next_u64()).collect();
        assert_eq!(first, [11520, 0, 1_509_978_240, 1_215_971_899_390_074_240]);
    }

    #[test]
    fn same_seed_same_numbers() {
        let (mut a, mut b, mut c) = (Rng::new(7), Rng::new(7), Rng::new(8));
        let numbers = |rng: &mut Rng| (0..8).map(|_| rng.next_u64()).collect::<Vec<_>>();
        let first = numbers(&mut a);
        assert_eq!(first, numbers(&mut b));
        assert_ne!(first, numbers(&mut c));
    }

    #[test]
    fn bounded_numbers_are_even() {
        let mut rng = Rng::new(1);
        let mut seen = [0u32; 6];
        for _ in 0..60_000 {
            seen[rng.below(6) as usize] += 1;
        }
        assert!(
            seen.iter().all(|&count| (9_500..10_500).contains(&count)),
            "{seen:?}"
        );
        assert_eq!((rng.below(0), rng.below(1)), (0, 0));
        for _ in 0..1000 {
            assert!(rng.below(u64::MAX) < u64::MAX);
            assert!((0.0..1.0).contains(&rng.unit()));
        }
    }

    #[test]
    fn filling_and_shuffling() {
        let mut rng = Rng::new(3);
        let mut bytes = [0; 1021];
        rng.fill(&mut bytes);
        let ones: u32 = bytes.iter().map(|byte| byte.count_ones()).sum();
        assert!((3_700..4_500).contains(&ones));
        let mut id = [0; 40];
        rng.fill_hex(&mut id);
        assert!(
            id.iter()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        );
        let mut items: Vec<u32> = (0..100).collect();
        rng.shuffle(&mut items);
        assert!(!items.is_sorted());
        items.sort_unstable();
        assert!(items.iter().copied().eq(0..100));
    }
}
