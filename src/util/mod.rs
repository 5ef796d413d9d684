//! Pure helpers: bytes in, bytes out; no clock, no I/O, no state of their own.
//!
//! Everything above may use this room; this room uses nothing of ours.
//!
//! Mirrors: util.c, the checksums (crc16.c, crc64.c, sha1.c, sha256.c) and lzf_c.c, each named in its file.

pub mod args;
pub mod crc16;
pub mod crc64;
pub mod glob;
mod grisu;
pub mod histogram;
pub mod long_double;
pub mod lzf;
pub mod num;
pub mod regex;
pub mod rng;
pub mod sha1;
pub mod sha256;
pub mod time;
pub mod xxh3;
