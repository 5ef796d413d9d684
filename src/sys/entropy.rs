//! Seeds of hash tables and names of servers: secrets that must tell nothing of each other.
//!
//! ```text
//!   hash seeds ── own bytes of the system each, shown to nobody
//!   run id, replication id, node name ── own bytes of the system each, shown to everybody
//!   dice (SRANDMEMBER, sampling, LFU) ── a generator each, seeded by own bytes of the system
//! ```
//!
//! A generator like [`Rng`] can be computed backwards from what it gives. Were the run id (which INFO shows) and the
//! keyspace's seed two pieces of one stream, whoever reads the one would know the other, and could choose keys that
//! all fall into one place of the table. So nothing secret comes out of a generator that also gives something public.
//!
//! A simulation puts one seed in and gets the same server again; there nothing is secret.
//!
//! Mirrors: `getRandomBytes` of util.c, which makes run ids and hash seeds of one hashed secret.

use crate::util::rng::Rng;

/// Where seeds and names come from.
#[derive(Debug)]
pub enum Entropy {
    /// The system, anew for each.
    System,
    /// One seed, for simulations and tests: the same seed gives the same server.
    Seeded(Rng),
}

impl From<u64> for Entropy {
    fn from(seed: u64) -> Entropy {
        Entropy::Seeded(Rng::new(seed))
    }
}

impl Entropy {
    /// A seed.
    pub fn seed(&mut self) -> u64 {
        match self {
            Entropy::System => super::random_seed(),
            Entropy::Seeded(rng) => rng.next_u64(),
        }
    }

    /// A generator of numbers that clients may see.
    pub fn dice(&mut self) -> Rng {
        match self {
            Entropy::System => {
                let mut seeds = [0; 32];
                let seeds = super::random_bytes(&mut seeds).map(|()| seeds);
                seeds.map_or_else(|_| Rng::new(super::random_seed()), Rng::from_state)
            }
            Entropy::Seeded(rng) => Rng::new(rng.next_u64()),
        }
    }

    /// A name: 40 hex digits.
    #[doc(alias = "getRandomHexChars")]
    pub fn name(&mut self) -> [u8; 40] {
        let mut digits = [0; 40];
        if let Entropy::Seeded(rng) = self {
            rng.fill_hex(&mut digits);
        } else if super::random_bytes(&mut digits).is_ok() {
            for byte in &mut digits {
                *byte = b"0123456789abcdef"[usize::from(*byte & 15)];
            }
        } else {
            for digits in digits.chunks_mut(10) {
                Rng::new(super::random_seed()).fill_hex(digits);
            }
        }
        digits
    }

    /// As [`Entropy::name`], as text.
    pub fn name_text(&mut self) -> String {
        self.name().map(char::from).iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_gives_no_two_alike_and_a_seed_gives_the_same_again() {
        let mut system = Entropy::System;
        assert_ne!(system.seed(), system.seed());
        assert_ne!(system.name(), system.name());
        assert_ne!(system.dice().next_u64(), system.dice().next_u64());
        let run = |mut entropy: Entropy| {
            let (seed, name) = (entropy.seed(), entropy.name());
            (seed, name, entropy.dice().next_u64())
        };
        assert_eq!(run(Entropy::from(7)), run(Entropy::from(7)));
        assert_ne!(run(Entropy::from(7)), run(Entropy::from(8)));
        let digits = system.name_text();
        assert!(digits.len() == 40 && digits.bytes().all(|b| b.is_ascii_hexdigit()));
    }
}
