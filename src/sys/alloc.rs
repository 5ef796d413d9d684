//! A counting allocator: how many bytes are in use, without asking the allocator.
//!
//! Each thread counts for itself in a block of its own; [`used`] sums the blocks. Sizes are rounded
//! to the allocator's classes, so that the sum is what memory really costs.
//!
//! The library installs nothing: a program that wants `used_memory` to be true writes
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: oxidis::sys::alloc::Counting = oxidis::sys::alloc::Counting;
//! ```
//!
//! Mirrors: zmalloc.c. Differs: counters per thread instead of one contended atomic (Redis moved to
//! the same idea in 8.0).
#![allow(unsafe_code)] // A global allocator is unsafe by its trait.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ffi::c_void;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed};

use crate::collections::shared::good_size;

/// mimalloc, counted.
#[derive(Debug)]
pub struct Counting;

const BLOCKS: usize = 64;

/// One cache line per block, so that threads do not disturb each other.
#[repr(align(64))]
struct Block(AtomicIsize);

/// The allocator is one per process by nature, and so are its counters: the one exception to "no
/// global state", with [`std::alloc`] itself.
static USED: [Block; BLOCKS] = [const { Block(AtomicIsize::new(0)) }; BLOCKS];
static NEXT: AtomicUsize = AtomicUsize::new(0);
static INSTALLED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
}

#[inline]
fn count(bytes: isize) {
    // Threads beyond BLOCKS share blocks, hence the atomic add; it is uncontended for the first ones.
    let block = MINE.try_with(|mine| {
        if mine.get() == usize::MAX {
            INSTALLED.store(1, Relaxed);
            mine.set(NEXT.fetch_add(1, Relaxed) % BLOCKS);
        }
        mine.get()
    });
    USED[block.unwrap_or(0)].0.fetch_add(bytes, Relaxed);
}

/// Bytes in use by the whole process; 0 while the allocator is not installed. O(threads ever started), a few
/// nanoseconds: cheap enough to ask before every command.
#[inline]
pub fn used() -> usize {
    // A thread whose thread-local memory is gone counts in the first block.
    let blocks = NEXT.load(Relaxed).clamp(1, BLOCKS);
    let sum: isize = USED[..blocks]
        .iter()
        .map(|block| block.0.load(Relaxed))
        .sum();
    sum.max(0) as usize
}

/// Whether the program installed [`Counting`].
pub fn installed() -> bool {
    INSTALLED.load(Relaxed) != 0
}

/// The name for INFO's `mem_allocator`.
pub fn name() -> &'static str {
    if installed() { "mimalloc" } else { "libc" }
}

unsafe extern "C" {
    // Of mimalloc, which is linked for the sake of [`INNER`].
    fn mi_collect(force: bool);
    fn mi_malloc(size: usize) -> *mut c_void;
    fn mi_zalloc(size: usize) -> *mut c_void;
    fn mi_realloc(ptr: *mut c_void, size: usize) -> *mut c_void;
}

/// Alignments that every block of mimalloc has. Asked for one in so many words it takes a larger class when the
/// size is no power of two (64 bytes for 48), so for these we do not say.
const NATURAL: usize = 8;

/// Gives memory that is not in use back to the system, as far as it can be had.
pub fn purge() {
    if installed() {
        // SAFETY: mimalloc allows this call at any time, from any thread.
        unsafe { mi_collect(true) }
    }
}

const INNER: mimalloc::MiMalloc = mimalloc::MiMalloc;

// SAFETY: every call is passed on to mimalloc, whose blocks all come from one pool and are freed by one function;
// counting touches no memory of the caller.
unsafe impl GlobalAlloc for Counting {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(good_size(layout.size()) as isize);
        // SAFETY: the caller's promise is passed on.
        unsafe {
            match layout.align() {
                ..=NATURAL => mi_malloc(layout.size()).cast(),
                _ => INNER.alloc(layout),
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-(good_size(layout.size()) as isize));
        // SAFETY: the caller's promise is passed on.
        unsafe { INNER.dealloc(ptr, layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(good_size(layout.size()) as isize);
        // SAFETY: the caller's promise is passed on.
        unsafe {
            match layout.align() {
                ..=NATURAL => mi_zalloc(layout.size()).cast(),
                _ => INNER.alloc_zeroed(layout),
            }
        }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(good_size(new_size) as isize - good_size(layout.size()) as isize);
        // SAFETY: the caller's promise is passed on.
        unsafe {
            match layout.align() {
                ..=NATURAL => mi_realloc(ptr.cast(), new_size).cast(),
                _ => INNER.realloc(ptr, layout, new_size),
            }
        }
    }
}
