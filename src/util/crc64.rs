//! CRC-64, Jones polynomial: the checksum at the end of RDB files and DUMP payloads.
//!
//! ```text
//!   16 bytes at a time:   crc' = T15[b0 ^ crc0] ^ T14[b1 ^ crc1] ^ … ^ T0[b15]
//!   Tk[b]: what byte b does to the checksum when k more bytes follow it
//! ```
//!
//! The tables turn a chain of sixteen dependent steps into sixteen independent look-ups ("slicing",
//! Kounavis and Berry, 2005). They are 32 KB, computed at compile time.
//!
//! Mirrors: crc64.c and crcspeed.c: reflected polynomial 0xad93d23594c935a9, start 0, no final xor.
//! Differs: sixteen bytes per step instead of eight (or three streams of eight in newer Redis).

/// The polynomial with its bits reversed.
const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;

const SLICES: usize = 16;

static TABLES: [[u64; 256]; SLICES] = tables();

const fn tables() -> [[u64; 256]; SLICES] {
    let mut tables = [[0; 256]; SLICES];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut slice = 1;
    while slice < SLICES {
        let mut byte = 0;
        while byte < 256 {
            let shorter = tables[slice - 1][byte];
            tables[slice][byte] = tables[0][(shorter & 0xff) as usize] ^ (shorter >> 8);
            byte += 1;
        }
        slice += 1;
    }
    tables
}

/// Carries the checksum `crc` (0 at the start) over `bytes`. O(bytes), several GB/s.
pub fn crc64(mut crc: u64, bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<SLICES>();
    for block in blocks {
        let mixed = u128::from_le_bytes(*block) ^ u128::from(crc);
        crc = 0;
        for (table, byte) in TABLES.iter().rev().zip(mixed.to_le_bytes()) {
            crc ^= table[usize::from(byte)];
        }
    }
    for &byte in rest {
        crc = TABLES[0][usize::from(crc as u8 ^ byte)] ^ (crc >> 8);
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One bit at a time.
    fn naive(mut crc: u64, bytes: &[u8]) -> u64 {
        for &byte in bytes {
            crc ^= u64::from(byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 };
            }
        }
        crc
    }

    #[test]
    fn known_values() {
        assert_eq!(crc64(0, b""), 0);
        assert_eq!(crc64(0, b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    }

    #[test]
    fn agrees_with_the_definition_in_any_pieces() {
        let mut rng = crate::util::rng::Rng::new(1);
        for _ in 0..500 {
            let mut bytes = vec![0; rng.below(200) as usize];
            rng.fill(&mut bytes);
            let start = rng.next_u64();
            let expected = naive(start, &bytes);
            assert_eq!(crc64(start, &bytes), expected);
            let (head, tail) = bytes.split_at(rng.below(bytes.len() as u64 + 1) as usize);
            assert_eq!(crc64(crc64(start, head), tail), expected);
        }
    }
}
