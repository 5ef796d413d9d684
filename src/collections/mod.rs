//! Data structures. They have never heard of Redis: no keys, commands or replies, only bytes, nodes and order.
//!
//! Mirrors: dict.c, listpack.c, intset.c, quicklist.c, rax.c and the skiplist of t_zset.c, each named in its file.

pub mod btree;
pub mod byte_map;
pub mod intset;
pub mod kernels;
pub mod legacy;
pub mod listpack;
pub mod run;
pub mod shared;
pub mod table;

#[cfg(test)]
pub(crate) mod testing {
    /// xorshift64*: enough randomness for a race against a model, from a seed that a failure can print.
    pub struct Rng(u64);

    impl Rng {
        pub fn new(seed: u64) -> Rng {
            Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
        }

        pub fn next(&mut self) -> u64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
        }

        /// Below `n`, and 0 for an `n` of 0.
        pub fn below(&mut self, n: usize) -> usize {
            (self.next() % n.max(1) as u64) as usize
        }
    }
}
