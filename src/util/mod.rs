//! Pure helpers: bytes in, bytes out; no clock, no I/O, no state of their own.
//!
//! Everything above may use this room; this room uses nothing of ours.

pub mod long_double;
pub mod num;
