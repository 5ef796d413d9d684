//! A pointer and sixteen bits about what it points to, in one machine word.
//!
//! User-space addresses have 48 bits on the machines we run on; the constructor checks each one. The sixteen bits
//! above let a lookup reject a wrong entry, or index the next node, without touching it. Words keep the pointer's
//! provenance, so that Miri can follow them.
//!
//! Mirrors: the low bits of a `dictEntry` pointer that tell its kind (dict.c). Differs: the high bits, and more of
//! them.
#![allow(unsafe_code)]

use std::ptr::{self, NonNull};

const TAG_SHIFT: u32 = 48;
const ADDRESS: usize = (1 << TAG_SHIFT) - 1;

const _: () = assert!(usize::BITS == 64, "tagged words need 64-bit addresses");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Word(*mut u8);

impl Word {
    pub(super) const EMPTY: Word = Word(ptr::null_mut());

    #[inline]
    pub(super) fn new(to: NonNull<u8>, tag: u16) -> Word {
        assert!(
            to.addr().get() >> TAG_SHIFT == 0,
            "an address beyond 48 bits"
        );
        Word(to.as_ptr().map_addr(|a| a | (tag as usize) << TAG_SHIFT))
    }

    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self.0.is_null()
    }

    #[inline]
    pub(super) fn tag(self) -> u16 {
        (self.0.addr() >> TAG_SHIFT) as u16
    }

    #[inline]
    pub(super) fn with_tag(self, tag: u16) -> Word {
        Word(
            self.0
                .map_addr(|a| a & ADDRESS | (tag as usize) << TAG_SHIFT),
        )
    }

    /// The pointer; the word must not be empty.
    #[inline]
    pub(super) fn to(self) -> NonNull<u8> {
        debug_assert!(!self.is_empty());
        // SAFETY: a word is empty or was made from a NonNull whose address lies below the tag.
        unsafe { NonNull::new_unchecked(self.0.map_addr(|a| a & ADDRESS)) }
    }

    /// Asks the cache for what the word points to. A hint: never faults, whatever the address.
    #[inline]
    pub(super) fn prefetch(self) {
        prefetch(self.0.map_addr(|a| a & ADDRESS));
    }
}

/// Asks the cache for the line at `address`. A hint: never faults, whatever the address.
#[inline]
pub(super) fn prefetch(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch reads nothing the program can see.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = address;
}
