//! XXH3, 64 bits: the digest of a value that DIGEST tells and `SET … IFDEQ` compares (Redis 8.4).
//!
//! ```text
//!   length    0 | 1–3 | 4–8 | 9–16    a few words against the secret, one strong finish each
//!            17–128                   16 bytes from both ends inwards, each 128-bit product folded
//!           129–240                   16 bytes at a time, the secret walked once, then again shifted
//!             >240                    8 lanes × 64 bits over stripes of 64 bytes; 16 stripes make a
//!                                     block, then the lanes are scrambled; at the end all is merged
//! ```
//!
//! The algorithm and its constants are Yann Collet's, from the public specification of xxHash
//! (`doc/xxhash_spec.md`); seed 0 and the default secret, which is all Redis uses.
//!
//! Mirrors: `XXH3_64bits()` as called in t_string.c of Redis 8.4.

const PRIME32_1: u64 = 0x9e37_79b1;
const PRIME32_2: u64 = 0x85eb_ca77;
const PRIME32_3: u64 = 0xc2b2_ae3d;
const PRIME64_1: u64 = 0x9e37_79b1_85eb_ca87;
const PRIME64_2: u64 = 0xc2b2_ae3d_27d4_eb4f;
const PRIME64_3: u64 = 0x1656_67b1_9e37_79f9;
const PRIME64_4: u64 = 0x85eb_ca77_c2b2_ae63;
const PRIME64_5: u64 = 0x27d4_eb2f_1656_67c5;
const PRIME_MX1: u64 = 0x1656_6791_9e37_79f9;
const PRIME_MX2: u64 = 0x9fb2_1c65_1e98_df25;

/// The default secret: 192 bytes without a pattern.
#[rustfmt::skip]
const SECRET: [u8; 192] = [
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
];

const STRIPE: usize = 64;
/// After each stripe the secret moves on by 8 bytes; after this many it is used up.
const STRIPES_PER_BLOCK: usize = (SECRET.len() - STRIPE) / 8;

/// The hash of `bytes`. O(bytes), no memory.
#[doc(alias = "XXH3_64bits")]
pub fn xxh3_64(bytes: &[u8]) -> u64 {
    match bytes.len() {
        0 => avalanche_64(secret(56) ^ secret(64)),
        1..=3 => hash_1_to_3(bytes),
        4..=8 => hash_4_to_8(bytes),
        9..=16 => hash_9_to_16(bytes),
        17..=128 => hash_17_to_128(bytes),
        129..=240 => hash_129_to_240(bytes),
        _ => hash_long(bytes),
    }
}

/// As DIGEST prints it: 16 lower-case hex digits.
pub fn xxh3_64_hex(bytes: &[u8]) -> [u8; 16] {
    let hash = xxh3_64(bytes);
    std::array::from_fn(|index| b"0123456789abcdef"[(hash >> (60 - 4 * index)) as usize & 15])
}

#[inline]
fn read64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|index| bytes[at + index]))
}

#[inline]
fn read32(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32::from_le_bytes(std::array::from_fn(|index| {
        bytes[at + index]
    })))
}

#[inline]
fn secret(at: usize) -> u64 {
    read64(&SECRET, at)
}

/// The two halves of the 128-bit product, xored.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

fn avalanche(mut h: u64) -> u64 {
    h ^= h >> 37;
    h = h.wrapping_mul(PRIME_MX1);
    h ^ (h >> 32)
}

/// The finish of the older XXH64.
fn avalanche_64(mut h: u64) -> u64 {
    h ^= h >> 33;
    h = h.wrapping_mul(PRIME64_2);
    h ^= h >> 29;
    h = h.wrapping_mul(PRIME64_3);
    h ^ (h >> 32)
}

fn hash_1_to_3(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    let (first, middle, last) = (bytes[0], bytes[length >> 1], bytes[length - 1]);
    let combined = u64::from(u32::from_le_bytes([last, length as u8, first, middle]));
    avalanche_64(combined ^ read32(&SECRET, 0) ^ read32(&SECRET, 4))
}

fn hash_4_to_8(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    let combined = read32(bytes, length - 4) | read32(bytes, 0) << 32;
    let mut h = combined ^ secret(8) ^ secret(16);
    h ^= h.rotate_left(49) ^ h.rotate_left(24);
    h = h.wrapping_mul(PRIME_MX2);
    h ^= (h >> 35).wrapping_add(length as u64);
    h = h.wrapping_mul(PRIME_MX2);
    h ^ (h >> 28)
}

fn hash_9_to_16(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    let low = read64(bytes, 0) ^ secret(24) ^ secret(32);
    let high = read64(bytes, length - 8) ^ secret(40) ^ secret(48);
    let sum = (length as u64)
        .wrapping_add(low.swap_bytes())
        .wrapping_add(high);
    avalanche(sum.wrapping_add(fold(low, high)))
}

/// 16 bytes at `at` against the secret at `key`.
#[inline]
fn mix(bytes: &[u8], at: usize, key: usize) -> u64 {
    fold(
        read64(bytes, at) ^ secret(key),
        read64(bytes, at + 8) ^ secret(key + 8),
    )
}

fn hash_17_to_128(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    let mut acc = (length as u64).wrapping_mul(PRIME64_1);
    for pair in (0..=(length - 1) / 32).rev() {
        acc = acc.wrapping_add(mix(bytes, 16 * pair, 32 * pair));
        acc = acc.wrapping_add(mix(bytes, length - 16 * (pair + 1), 32 * pair + 16));
    }
    avalanche(acc)
}

fn hash_129_to_240(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    let mut acc = (length as u64).wrapping_mul(PRIME64_1);
    for round in 0..8 {
        acc = acc.wrapping_add(mix(bytes, 16 * round, 16 * round));
    }
    acc = avalanche(acc);
    for round in 8..length / 16 {
        acc = acc.wrapping_add(mix(bytes, 16 * round, 16 * (round - 8) + 3));
    }
    avalanche(acc.wrapping_add(mix(bytes, length - 16, 136 - 17)))
}

fn hash_long(bytes: &[u8]) -> u64 {
    let mut lanes = [
        PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3, PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1,
    ];
    // The last stripe is always taken from the end, so the stripes counted here stop short of it.
    let (stripes, _) = bytes[..bytes.len() - 1].as_chunks::<STRIPE>();
    let mut blocks = stripes.chunks_exact(STRIPES_PER_BLOCK);
    for block in &mut blocks {
        for (index, stripe) in block.iter().enumerate() {
            accumulate(&mut lanes, stripe, 8 * index);
        }
        scramble(&mut lanes);
    }
    for (index, stripe) in blocks.remainder().iter().enumerate() {
        accumulate(&mut lanes, stripe, 8 * index);
    }
    if let Some(last) = bytes.last_chunk::<STRIPE>() {
        accumulate(&mut lanes, last, SECRET.len() - STRIPE - 7);
    }

    let mut result = (bytes.len() as u64).wrapping_mul(PRIME64_1);
    for (index, pair) in lanes.as_chunks::<2>().0.iter().enumerate() {
        let key = 11 + 16 * index;
        result = result.wrapping_add(fold(pair[0] ^ secret(key), pair[1] ^ secret(key + 8)));
    }
    avalanche(result)
}

#[inline]
fn accumulate(lanes: &mut [u64; 8], stripe: &[u8; STRIPE], key: usize) {
    let (words, _) = stripe.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let value = u64::from_le_bytes(*word);
        let keyed = value ^ secret(key + 8 * index);
        lanes[index ^ 1] = lanes[index ^ 1].wrapping_add(value);
        lanes[index] = lanes[index].wrapping_add((keyed & 0xffff_ffff) * (keyed >> 32));
    }
}

fn scramble(lanes: &mut [u64; 8]) {
    for (index, lane) in lanes.iter_mut().enumerate() {
        *lane ^= *lane >> 47;
        *lane ^= secret(SECRET.len() - STRIPE + 8 * index);
        *lane = lane.wrapping_mul(PRIME32_1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(length: usize) -> Vec<u8> {
        (0..length)
            .map(|i| ((i * 131) ^ ((i >> 8) * 7)) as u8)
            .collect()
    }

    /// The numbers are those of the reference implementation.
    #[test]
    fn known_values() {
        assert_eq!(&xxh3_64_hex(b""), b"2d06800538d394c2");
        assert_eq!(&xxh3_64_hex(b"hello"), b"9555e8555c62dcfd");
        let known: [(usize, u64); 43] = [
            (0, 0x2d06_8005_38d3_94c2),
            (1, 0xc44b_dff4_074e_ecdb),
            (2, 0x433c_e72a_5f67_ae52),
            (3, 0x6811_538b_444f_c6dc),
            (4, 0xed50_3340_c589_a28b),
            (7, 0xcf5c_7609_0b0b_ca8f),
            (8, 0xe5b4_3ab0_74c9_c13b),
            (9, 0x089b_8d25_b20f_b877),
            (15, 0x6174_4772_dcd3_c205),
            (16, 0x0a0e_c5ae_8679_cb7f),
            (17, 0x57c5_2d21_ce49_2c1e),
            (32, 0x8e62_a5f6_7100_f10d),
            (33, 0xbc16_fc6b_4257_1f75),
            (64, 0x7714_914b_0d79_4113),
            (65, 0xdd17_52f7_2380_1bbc),
            (96, 0x7f31_6343_f379_455b),
            (97, 0x0c5d_e558_2128_3dde),
            (127, 0x1efa_0b38_7293_9b86),
            (128, 0x6960_69c4_f1e6_a91a),
            (129, 0xb1ad_a522_8575_7beb),
            (130, 0xe578_8c63_c27d_7c30),
            (143, 0x9e0a_3a7f_8ef4_2c36),
            (144, 0x8d31_3a49_64e2_87f0),
            (192, 0xcf9f_ed89_41ed_886c),
            (239, 0x8a19_31b1_4a1b_ac40),
            (240, 0xb802_8483_7259_eee4),
            (241, 0x44db_d318_0a66_4e27),
            (255, 0x942a_b7e7_75f5_4aca),
            (256, 0x266a_2c81_6cbb_31c5),
            (257, 0x7e8b_76f1_ea82_34b8),
            (511, 0x1671_13fd_1303_f356),
            (512, 0xd01b_0ffd_eb0e_36ca),
            (1023, 0xc280_a0f6_5c2d_e57d),
            (1024, 0xa18e_8084_683c_76ca),
            (1025, 0xd8d4_4d3b_b067_9562),
            (1087, 0x9109_a0c7_0777_896c),
            (1088, 0x8284_76dd_2e4f_dbdf),
            (1089, 0xf062_190a_23bf_7225),
            (2048, 0xd130_bdc1_a958_974c),
            (2049, 0x7e82_13d8_a139_7ef2),
            (4096, 0xeec5_0d07_dc6c_a4a6),
            (10000, 0x7cd0_cf71_7ff0_1d81),
            (65537, 0x31d1_cf78_fc20_42d8),
        ];
        for (length, hash) in known {
            assert_eq!(xxh3_64(&pattern(length)), hash, "length {length}");
        }
    }

    /// Every length up to 3000, in one number, again from the reference implementation.
    #[test]
    fn every_length() {
        let sum = (0..3000).fold(0u64, |sum, length| {
            sum.wrapping_mul(31).wrapping_add(xxh3_64(&pattern(length)))
        });
        assert_eq!(sum, 0x0618_7977_7dc6_f02a);
    }
}
