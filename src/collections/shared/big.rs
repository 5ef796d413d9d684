//! BigStr: a counted string of bytes that grows by doubling and may be filled slowly.
//!
//! ```text
//!   [ count u32 | len usize | cap usize | bytes... ]     `cap` bytes follow, of which the first `len` mean something
//! ```
//!
//! Invariants: (1) and (2) of [`super`] hold, and: the block is `head + cap` bytes long, `len <= cap`, and the first `len`
//! bytes are initialised. `reallocate` alone changes `cap`; `set_len` and `push_fitting` alone change `len`.
//!
//! Mirrors: `sdshdr64` and `sdsMakeRoomFor()` (sds.c).
//! Unsafe: raw layout with inline bytes.
#![allow(unsafe_code)]

use std::alloc::{self, Layout, handle_alloc_error};
use std::fmt;
use std::io;
use std::mem::{self, MaybeUninit};
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};

use super::{Count, TooLarge, count_copied, good_size};

/// A counted, growable string of bytes; one pointer.
pub struct BigStr {
    node: NonNull<BigHead>,
}

#[repr(C)]
struct BigHead {
    count: Count,
    len: usize,
    cap: usize,
    // `cap` bytes follow, the first `len` of them initialised.
}

const BIG_HEAD: usize = size_of::<BigHead>();

// SAFETY: plain bytes behind an atomic count; writes need &mut of a sole owner (invariant 1).
unsafe impl Send for BigStr {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for BigStr {}

fn big_layout(cap: usize) -> Option<Layout> {
    Layout::from_size_align(BIG_HEAD.checked_add(cap)?, align_of::<BigHead>()).ok()
}

/// The capacity that fills the size class holding `cap` bytes.
fn big_capacity(cap: usize) -> Option<usize> {
    Some(good_size(BIG_HEAD.checked_add(cap)?) - BIG_HEAD)
}

impl BigStr {
    /// An empty string with room for `cap` bytes.
    pub fn try_with_capacity(cap: usize) -> Result<BigStr, TooLarge> {
        let cap = big_capacity(cap).ok_or(TooLarge)?;
        let layout = big_layout(cap).ok_or(TooLarge)?;
        // SAFETY: the layout is never of size zero (there is a header).
        let raw = unsafe { alloc::alloc(layout) };
        let node = NonNull::new(raw.cast::<BigHead>()).ok_or(TooLarge)?;
        // SAFETY: freshly allocated, large and aligned enough for the head.
        unsafe {
            node.write(BigHead {
                count: Count::one(),
                len: 0,
                cap,
            })
        };
        Ok(BigStr { node })
    }

    /// A string of `len` zero bytes. Of a long one the system gives pages that are zero already and costs nothing until
    /// they are written to.
    pub fn try_zeros(len: usize) -> Result<BigStr, TooLarge> {
        let cap = big_capacity(len).ok_or(TooLarge)?;
        let layout = big_layout(cap).ok_or(TooLarge)?;
        // SAFETY: the layout is never of size zero (there is a header).
        let raw = unsafe { alloc::alloc_zeroed(layout) };
        let node = NonNull::new(raw.cast::<BigHead>()).ok_or(TooLarge)?;
        let count = Count::one();
        // SAFETY: freshly allocated, large and aligned enough for the head; the `len` bytes behind it are zero.
        unsafe { node.write(BigHead { count, len, cap }) };
        Ok(BigStr { node })
    }

    /// As [`BigStr::try_with_capacity`]; aborts the process when out of memory.
    pub fn with_capacity(cap: usize) -> BigStr {
        BigStr::try_with_capacity(cap).unwrap_or_else(|_| {
            handle_alloc_error(big_layout(cap).unwrap_or(Layout::new::<BigHead>()))
        })
    }

    /// A copy of `bytes`, without spare room beyond the size class.
    pub fn from_slice(bytes: &[u8]) -> BigStr {
        let mut s = BigStr::with_capacity(bytes.len());
        s.push_fitting(bytes);
        s
    }

    /// A copy of `bytes`, or an error when there is no room for it.
    pub fn try_from_slice(bytes: &[u8]) -> Result<BigStr, TooLarge> {
        let mut s = BigStr::try_with_capacity(bytes.len())?;
        s.push_fitting(bytes);
        Ok(s)
    }

    #[inline]
    fn data(&self) -> *mut u8 {
        // SAFETY: the bytes follow the head inside one allocation.
        unsafe { self.node.as_ptr().cast::<u8>().add(BIG_HEAD) }
    }

    #[inline]
    fn head(&self) -> &BigHead {
        // SAFETY: alive while we hold a count.
        unsafe { self.node.as_ref() }
    }

    /// Appends to a string known to be unique and to have the room.
    fn push_fitting(&mut self, bytes: &[u8]) {
        let len = self.len();
        assert!(self.is_unique() && self.capacity() - len >= bytes.len());
        // SAFETY: sole owner and enough room, both just asserted; `bytes` cannot alias what &mut self owns alone.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), self.data().add(len), bytes.len());
            (*self.node.as_ptr()).len = len + bytes.len();
        }
    }

    /// The bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: `len` bytes are initialised and stay unwritten while this borrow lasts.
        unsafe { std::slice::from_raw_parts(self.data(), self.head().len) }
    }

    /// Number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.head().len
    }

    /// No bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that fit before the next `realloc`, those in use included.
    pub fn capacity(&self) -> usize {
        self.head().cap
    }

    /// Bytes the block occupies in the allocator.
    pub fn allocated_bytes(&self) -> usize {
        good_size(BIG_HEAD + self.capacity())
    }

    /// No other owner exists.
    #[inline]
    pub fn is_unique(&self) -> bool {
        self.head().count.is_one()
    }

    /// Two pointers to one block.
    pub fn ptr_eq(a: &BigStr, b: &BigStr) -> bool {
        a.node == b.node
    }

    /// A writer on the string: in place while unshared, else on a private copy put in its stead, O(len).
    #[inline]
    pub fn make_mut(&mut self) -> BigStrMut<'_> {
        if !self.is_unique() {
            *self = BigStr::from_slice(self.as_slice());
            count_copied(self.allocated_bytes());
        }
        BigStrMut { string: self }
    }

    /// As [`BigStr::make_mut`], but reports a copy that does not fit in memory.
    pub fn try_make_mut(&mut self) -> Result<BigStrMut<'_>, TooLarge> {
        if !self.is_unique() {
            *self = BigStr::try_from_slice(self.as_slice())?;
            count_copied(self.allocated_bytes());
        }
        Ok(BigStrMut { string: self })
    }

    /// Gives the count away as an untyped word; [`BigStr::from_raw`] takes it back.
    pub fn into_raw(self) -> NonNull<()> {
        let raw = self.node.cast();
        mem::forget(self);
        raw
    }

    /// # Safety
    /// `raw` came from [`BigStr::into_raw`] and is given back once.
    pub unsafe fn from_raw(raw: NonNull<()>) -> BigStr {
        BigStr { node: raw.cast() }
    }
}

impl Clone for BigStr {
    #[inline]
    fn clone(&self) -> BigStr {
        self.head().count.acquire();
        BigStr { node: self.node }
    }
}

impl Drop for BigStr {
    fn drop(&mut self) {
        if self.head().count.release() {
            let layout = big_layout(self.capacity()).expect("the layout it was allocated with");
            // SAFETY: last owner; allocated with this very layout.
            unsafe { alloc::dealloc(self.node.as_ptr().cast(), layout) };
        }
    }
}

impl Deref for BigStr {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsRef<[u8]> for BigStr {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl PartialEq for BigStr {
    fn eq(&self, other: &BigStr) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for BigStr {}

impl fmt::Debug for BigStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BigStr({} bytes)", self.len())
    }
}

/// Writes to a [`BigStr`] that has no other owner.
#[derive(Debug)]
pub struct BigStrMut<'a> {
    /// Unique for as long as this borrow lasts: nobody can clone it through us.
    string: &'a mut BigStr,
}

impl<'a> BigStrMut<'a> {
    /// The bytes, for as long as the string is borrowed.
    pub fn into_slice(self) -> &'a mut [u8] {
        let (data, len) = (self.string.data(), self.string.len());
        // SAFETY: sole owner (checked by make_mut), and the unique borrow lasts for 'a.
        unsafe { std::slice::from_raw_parts_mut(data, len) }
    }

    /// Room for `more` bytes after the end: twice what is needed up to 1 MiB, an eighth more than is needed beyond
    /// 8 MiB. On failure nothing has changed.
    pub fn reserve(&mut self, more: usize) -> Result<(), TooLarge> {
        let (len, cap) = (self.string.len(), self.string.capacity());
        if cap - len >= more {
            return Ok(());
        }
        let needed = len.checked_add(more).ok_or(TooLarge)?;
        // sds's rule is never more than 1 MiB ahead. An allocator that cannot lengthen a block where it lies would copy
        // a string of 100 MiB a hundred times on its way there; an eighth keeps growth linear.
        let ahead = needed.min(1 << 20).max(needed / 8);
        self.reallocate(needed.checked_add(ahead).ok_or(TooLarge)?)
    }

    /// Room for `more` bytes after the end and none beyond the size class.
    pub fn reserve_exact(&mut self, more: usize) -> Result<(), TooLarge> {
        let (len, cap) = (self.string.len(), self.string.capacity());
        if cap - len >= more {
            return Ok(());
        }
        self.reallocate(len.checked_add(more).ok_or(TooLarge)?)
    }

    /// Gives spare room back to the allocator.
    pub fn shrink_to_fit(&mut self) {
        // A refused shrink leaves the string as it was, which is fine.
        let _ = self.reallocate(self.string.len());
    }

    fn reallocate(&mut self, cap: usize) -> Result<(), TooLarge> {
        let cap = big_capacity(cap).ok_or(TooLarge)?;
        if cap == self.string.capacity() {
            return Ok(());
        }
        let old = big_layout(self.string.capacity()).expect("the layout it was allocated with");
        let new = big_layout(cap).ok_or(TooLarge)?;
        // SAFETY: allocated with `old`, sole owner, new size not zero and within isize by `big_layout`.
        let raw = unsafe { alloc::realloc(self.string.node.as_ptr().cast(), old, new.size()) };
        self.string.node = NonNull::new(raw.cast::<BigHead>()).ok_or(TooLarge)?;
        // SAFETY: sole owner of the moved block.
        unsafe { (*self.string.node.as_ptr()).cap = cap };
        Ok(())
    }

    /// Appends `bytes`, amortised O(bytes).
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        self.reserve(bytes.len())?;
        self.string.push_fitting(bytes);
        Ok(())
    }

    /// Cuts the string, or lengthens it with `fill` (to exactly `len`, without room for more).
    pub fn resize(&mut self, len: usize, fill: u8) -> Result<(), TooLarge> {
        let old = self.string.len();
        if len > old {
            self.reserve_exact(len - old)?;
            // SAFETY: the room was just made, and we are the sole owner.
            unsafe { ptr::write_bytes(self.string.data().add(old), fill, len - old) };
        }
        // SAFETY: bytes up to `len` are initialised, before or just now.
        unsafe { self.set_len(len) };
        Ok(())
    }

    /// Cuts the string; longer than it is does nothing.
    pub fn truncate(&mut self, len: usize) {
        if len < self.string.len() {
            // SAFETY: a prefix of initialised bytes.
            unsafe { self.set_len(len) };
        }
    }

    /// One `read` of at most `max` bytes onto the end, within the room there is. Returns what was read.
    ///
    /// The room is zeroed first, because `Read` may look at what it is given; that is far cheaper than the copy
    /// which reading elsewhere would need.
    pub fn read_from(&mut self, source: &mut impl io::Read, max: usize) -> io::Result<usize> {
        let len = self.string.len();
        let room = (self.string.capacity() - len).min(max);
        // SAFETY: `room` bytes after `len` are within the allocation, solely ours, and initialised by this line.
        let spare = unsafe {
            let start = self.string.data().add(len);
            ptr::write_bytes(start, 0, room);
            std::slice::from_raw_parts_mut(start, room)
        };
        let n = source.read(spare)?;
        assert!(n <= room, "Read returned more than it was given room for");
        // SAFETY: zeroed or read above.
        unsafe { self.set_len(len + n) };
        Ok(n)
    }

    /// The room after the end, for callers in `sys/` that read from the kernel without zeroing first.
    pub fn spare_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        let (len, cap) = (self.string.len(), self.string.capacity());
        // SAFETY: within the allocation, solely ours, and MaybeUninit asks nothing of the content.
        unsafe { std::slice::from_raw_parts_mut(self.string.data().add(len).cast(), cap - len) }
    }

    /// # Safety
    /// `len` is within the capacity and all bytes before it are initialised.
    pub unsafe fn set_len(&mut self, len: usize) {
        debug_assert!(len <= self.string.capacity());
        // SAFETY: sole owner.
        unsafe { (*self.string.node.as_ptr()).len = len };
    }
}

impl Deref for BigStrMut<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.string.as_slice()
    }
}

impl DerefMut for BigStrMut<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: sole owner (checked by make_mut), unique borrow, all bytes up to len initialised.
        unsafe { std::slice::from_raw_parts_mut(self.string.data(), self.string.len()) }
    }
}
