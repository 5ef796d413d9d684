//! A counting allocator: how many bytes are in use, without asking the allocator.
//!
//! Each thread counts for itself in a block of its own; [`used`] sums the blocks. Sizes are rounded
//! to the allocator's classes, so that the sum is what memory really costs.
//!
//! Memory comes from mimalloc, and from the system itself where a block is so large that to copy it would cost more
//! than to move its pages (`docs/decisions/mimalloc.md`).
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

/// Blocks from this size on are mappings of their own, which the system lengthens by moving pages instead of bytes: a
/// string that grows to 50 MiB by APPEND of 1 KiB costs half of what it costs where each block is copied to the next.
/// Smaller ones are worth keeping warm, which mimalloc does.
const MAPPED: usize = match cfg!(target_os = "linux") {
    true => 4 << 20,
    false => usize::MAX,
};

/// Whether a block of this layout is a mapping. It must depend on the layout alone, by which a block is freed.
#[inline]
fn is_mapped(layout: Layout) -> bool {
    const PAGE: usize = 4096;
    layout.size() >= MAPPED && layout.align() <= PAGE
}

#[cfg(target_os = "linux")]
mod mapped {
    //! Mappings of zero bytes. Each is a whole number of pages; the system rounds sizes up.

    use std::ffi::c_void;
    use std::ptr;

    fn or_null(mapped: *mut c_void) -> *mut u8 {
        match mapped == libc::MAP_FAILED {
            true => ptr::null_mut(),
            false => mapped.cast(),
        }
    }

    #[cold]
    pub(super) fn alloc(size: usize) -> *mut u8 {
        let (access, kind) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        // SAFETY: asks for new pages wherever there is room for them.
        or_null(unsafe { libc::mmap(ptr::null_mut(), size, access, kind, -1, 0) })
    }

    /// # Safety
    /// `block` is a mapping of `size` bytes that nobody uses any more.
    #[cold]
    pub(super) unsafe fn dealloc(block: *mut u8, size: usize) {
        // SAFETY: by the caller's promise.
        unsafe { libc::munmap(block.cast(), size) };
    }

    /// # Safety
    /// `block` is a mapping of `old` bytes; it is used at the place that is returned from here on, unless that is null.
    #[cold]
    pub(super) unsafe fn realloc(block: *mut u8, old: usize, new: usize) -> *mut u8 {
        // SAFETY: by the caller's promise.
        or_null(unsafe { libc::mremap(block.cast(), old, new, libc::MREMAP_MAYMOVE) })
    }
}

#[cfg(not(target_os = "linux"))]
mod mapped {
    //! Never called: no size is large enough.

    pub(super) fn alloc(_: usize) -> *mut u8 {
        std::ptr::null_mut()
    }

    pub(super) unsafe fn dealloc(_: *mut u8, _: usize) {}

    pub(super) unsafe fn realloc(_: *mut u8, _: usize, _: usize) -> *mut u8 {
        std::ptr::null_mut()
    }
}

// SAFETY: every block comes from where its layout says, mimalloc or the system, and goes back there; counting touches
// no memory of the caller.
unsafe impl GlobalAlloc for Counting {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(good_size(layout.size()) as isize);
        if is_mapped(layout) {
            return mapped::alloc(layout.size());
        }
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
        unsafe {
            match is_mapped(layout) {
                true => mapped::dealloc(ptr, layout.size()),
                false => INNER.dealloc(ptr, layout),
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(good_size(layout.size()) as isize);
        if is_mapped(layout) {
            return mapped::alloc(layout.size());
        }
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
        // SAFETY: the new size is not zero and no larger than the address space, by the caller's promise.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: the caller's promise is passed on. A block that moves between mimalloc and the system is copied as
        // far as both reach, and freed once the copy exists.
        unsafe {
            if is_mapped(layout) != is_mapped(new) {
                let moved = self.alloc(new);
                if !moved.is_null() {
                    ptr.copy_to_nonoverlapping(moved, layout.size().min(new_size));
                    self.dealloc(ptr, layout);
                }
                return moved;
            }
            count(good_size(new_size) as isize - good_size(layout.size()) as isize);
            if is_mapped(layout) {
                return mapped::realloc(ptr, layout.size(), new_size);
            }
            match layout.align() {
                ..=NATURAL => mi_realloc(ptr.cast(), new_size).cast(),
                _ => INNER.realloc(ptr, layout, new_size),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// APPEND of 1 KiB to a string of 50 MiB took twice Redis's time, most of it for copies of the string.
    #[test]
    fn a_block_keeps_its_bytes_when_it_grows_into_a_mapping_and_shrinks_back() {
        let sizes = [
            1 << 20,
            MAPPED - 1,
            MAPPED,
            MAPPED + 4097,
            9 << 20,
            5 << 20,
            MAPPED - 4096,
            100,
        ];
        for align in [1, 8, 64, 4096, 8192] {
            let mut layout = Layout::from_size_align(512, align).expect("a power of two");
            // SAFETY: each layout is that of the block it is used for, and bytes are read as far as they were written.
            unsafe {
                let mut block = Counting.alloc_zeroed(layout);
                let mut written = layout.size();
                for size in sizes {
                    block.write_bytes(align as u8, written);
                    block = Counting.realloc(block, layout, size);
                    layout = Layout::from_size_align(size, align).expect("a power of two");
                    assert!(!block.is_null() && block.addr().is_multiple_of(align));
                    written = written.min(size);
                    let bytes = std::slice::from_raw_parts(block, written);
                    assert!(bytes.iter().all(|byte| *byte == align as u8));
                    written = size;
                }
                Counting.dealloc(block, layout);
                let zeros = Layout::from_size_align(MAPPED, align).expect("a power of two");
                let block = Counting.alloc_zeroed(zeros);
                assert!(
                    std::slice::from_raw_parts(block, MAPPED)
                        .iter()
                        .all(|byte| *byte == 0)
                );
                Counting.dealloc(block, zeros);
            }
        }
    }
}
