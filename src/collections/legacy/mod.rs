//! Encodings that only old files still hold: read, checked, and turned into something else on the spot.
//!
//! ```text
//!   RDB up to 2.4    hashes as zipmap                     zipmap.rs
//!   RDB up to 6.2    hashes, sorted sets, lists, and
//!                    the nodes of lists, as ziplist       ziplist.rs
//! ```
//!
//! Both readers check the whole block before they hand out anything: what passes is walked without surprises,
//! what does not is [`Corrupt`](super::listpack::Corrupt). They borrow; nothing is allocated.
//!
//! Mirrors: ziplist.c and zipmap.c, of which Redis, too, keeps what loading old files needs.

mod ziplist;
mod zipmap;

pub use ziplist::Ziplist;
pub use zipmap::Zipmap;

/// Takes `n` bytes off the front of `bytes`.
fn take<'a>(bytes: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(n)?;
    *bytes = rest;
    Some(taken)
}

/// Takes a fixed number of bytes off the front of `bytes`.
fn take_array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    take(bytes, N)?.try_into().ok()
}
