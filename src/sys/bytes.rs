//! Where bytes are in others, in time that grows with their lengths alone.
//!
//! The standard library looks for text in text so, but not for bytes in bytes; comparing at every place takes the
//! product of both lengths, and both may come from a client.
//!
//! Mirrors: `memmem()` and `memchr()` of the C library, which it calls.

#![allow(unsafe_code)] // memmem and memchr are functions of libc.

/// Places that begin like the bytes looked for, and are not the bytes, before the search changes to `memmem`.
const FALSE_STARTS: usize = 16;

/// Where bytes are in others. O(n) with any C library whose `memmem` is; those of glibc, musl and the BSDs are.
pub fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let Some((first, others)) = wanted.split_first() else {
        return Some(0);
    };
    let mut from = 0;
    for _ in 0..FALSE_STARTS {
        // The last place where there is room for all of them.
        let last = text.len().checked_sub(others.len())?;
        from += byte_position(text.get(from..last)?, *first)?;
        if text[from + 1..].starts_with(others) {
            return Some(from);
        }
        from += 1;
    }
    let rest = &text[from..];
    // SAFETY: both places and lengths are of slices; what is found is within the first.
    unsafe {
        let found = libc::memmem(
            rest.as_ptr().cast(),
            rest.len(),
            wanted.as_ptr().cast(),
            wanted.len(),
        );
        match found.is_null() {
            true => None,
            false => Some(found.addr() - text.as_ptr().addr()),
        }
    }
}

/// Bytes that are compared one by one before `memchr` is called.
const FEW: usize = 16;

/// Where a byte is. O(n)
#[inline]
pub fn byte_position(text: &[u8], wanted: u8) -> Option<usize> {
    let (few, rest) = text.split_at(text.len().min(FEW));
    if let Some(at) = few.iter().position(|byte| *byte == wanted) {
        return Some(at);
    }
    // SAFETY: the place and the length are of a slice; what is found is within it.
    unsafe {
        let found = libc::memchr(rest.as_ptr().cast(), wanted.into(), rest.len());
        (!found.is_null()).then(|| found.addr() - text.as_ptr().addr())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_found_where_a_look_at_each_place_finds_them() {
        let mut seed = 3_u64;
        let mut next = |n: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as usize % n
        };
        for _ in 0..if cfg!(miri) { 100 } else { 20_000 } {
            let text: Vec<u8> = (0..next(90)).map(|_| b"ab"[next(8) / 7]).collect();
            let wanted: Vec<u8> = (0..next(6)).map(|_| b"ab"[next(4) / 3]).collect();
            let naive = (0..=text.len()).find(|at| text[*at..].starts_with(&wanted));
            assert_eq!(position(&text, &wanted), naive, "{text:?} {wanted:?}");
        }
    }
}
