//! Blob: a counted block of bytes that is always exactly as long as it says.
//!
//! ```text
//!   [ count u32 | len u32 | bytes... ]     "hello": 8 bytes of head and 5 of text live in a block of 16
//! ```
//!
//! Invariants: (1) and (2) of [`super`] hold, and (3): a blob of `len` bytes always lives in an allocation of
//! `good_size(head + len)` bytes, so its capacity follows from its length and is not stored. `allocate` makes it so, and
//! `BlobMut::reallocate`, which every change of the length goes through, keeps it so.
//!
//! Mirrors: the small sds headers (sds.h), and the bare blocks of listpack.c and intset.c.
//! Unsafe: raw layout with inline bytes.
#![allow(unsafe_code)]

use std::alloc::{self, Layout, handle_alloc_error};
use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};

use super::{Count, TooLarge, count_copied, good_size};

/// A counted block of bytes that is always exactly as long as it says; one pointer.
///
/// For packed encodings, which know their own length and change it a little at a time: growth within the
/// allocator's size class is free, across one is a `realloc`.
pub struct Blob {
    node: NonNull<BlobHead>,
}

#[repr(C)]
struct BlobHead {
    count: Count,
    len: u32,
    // `len` bytes follow.
}

const BLOB_HEAD: usize = size_of::<BlobHead>();

/// The longest blob, in bytes.
pub const BLOB_MAX: usize = u32::MAX as usize - 4096;

// SAFETY: plain bytes behind an atomic count; writes need &mut of a sole owner (invariant 1).
unsafe impl Send for Blob {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for Blob {}

fn blob_layout(len: usize) -> Layout {
    let size = good_size(BLOB_HEAD + len);
    Layout::from_size_align(size, align_of::<BlobHead>()).expect("a blob is below 4 GiB")
}

impl Blob {
    /// A block of `len` bytes of unknown content; the caller fills them all before anyone reads.
    fn allocate(len: usize) -> Result<Blob, TooLarge> {
        if len > BLOB_MAX {
            return Err(TooLarge);
        }
        // SAFETY: the layout is never of size zero (there is a header).
        let raw = unsafe { alloc::alloc(blob_layout(len)) };
        let node = NonNull::new(raw.cast::<BlobHead>()).ok_or(TooLarge)?;
        // SAFETY: freshly allocated, large and aligned enough for the head.
        unsafe {
            node.write(BlobHead {
                count: Count::one(),
                len: len as u32,
            })
        };
        Ok(Blob { node })
    }

    /// An empty block.
    pub fn new() -> Blob {
        Blob::from_slice(&[])
    }

    /// A copy of `bytes`. Aborts the process when out of memory; see [`Blob::try_from_slice`].
    pub fn from_slice(bytes: &[u8]) -> Blob {
        Blob::try_from_slice(bytes).unwrap_or_else(|_| handle_alloc_error(blob_layout(bytes.len())))
    }

    /// A copy of `bytes`, or an error when there is no room for it.
    pub fn try_from_slice(bytes: &[u8]) -> Result<Blob, TooLarge> {
        let blob = Blob::allocate(bytes.len())?;
        // SAFETY: the new block has room for exactly these bytes and nobody else knows it.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), blob.data(), bytes.len()) };
        Ok(blob)
    }

    #[inline]
    fn data(&self) -> *mut u8 {
        // SAFETY: the bytes follow the head inside one allocation.
        unsafe { self.node.as_ptr().cast::<u8>().add(BLOB_HEAD) }
    }

    #[inline]
    fn head(&self) -> &BlobHead {
        // SAFETY: alive while we hold a count.
        unsafe { self.node.as_ref() }
    }

    /// The bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: `len` bytes were initialised and stay unwritten while this borrow lasts.
        unsafe { std::slice::from_raw_parts(self.data(), self.head().len as usize) }
    }

    /// Number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.head().len as usize
    }

    /// No bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that fit before the next `realloc`, those in use included.
    pub fn capacity(&self) -> usize {
        good_size(BLOB_HEAD + self.len()) - BLOB_HEAD
    }

    /// Bytes the block occupies in the allocator.
    pub fn allocated_bytes(&self) -> usize {
        good_size(BLOB_HEAD + self.len())
    }

    /// No other owner exists.
    #[inline]
    pub fn is_unique(&self) -> bool {
        self.head().count.is_one()
    }

    /// Two pointers to one block.
    pub fn ptr_eq(a: &Blob, b: &Blob) -> bool {
        a.node == b.node
    }

    /// A writer on the block: in place while unshared, else on a private copy put in its stead, O(len).
    #[inline]
    pub fn make_mut(&mut self) -> BlobMut<'_> {
        if !self.is_unique() {
            count_copied(self.allocated_bytes());
            *self = Blob::from_slice(self.as_slice());
        }
        BlobMut { blob: self }
    }

    /// As [`Blob::make_mut`], but reports a copy that does not fit in memory.
    pub fn try_make_mut(&mut self) -> Result<BlobMut<'_>, TooLarge> {
        if !self.is_unique() {
            *self = Blob::try_from_slice(self.as_slice())?;
            count_copied(self.allocated_bytes());
        }
        Ok(BlobMut { blob: self })
    }

    /// Gives the count away as an untyped word; [`Blob::from_raw`] takes it back.
    pub fn into_raw(self) -> NonNull<()> {
        let raw = self.node.cast();
        mem::forget(self);
        raw
    }

    /// # Safety
    /// `raw` came from [`Blob::into_raw`] and is given back once.
    pub unsafe fn from_raw(raw: NonNull<()>) -> Blob {
        Blob { node: raw.cast() }
    }
}

impl Clone for Blob {
    #[inline]
    fn clone(&self) -> Blob {
        self.head().count.acquire();
        Blob { node: self.node }
    }
}

impl Drop for Blob {
    #[inline]
    fn drop(&mut self) {
        if self.head().count.release() {
            let layout = blob_layout(self.len());
            // SAFETY: last owner; allocated with this very layout (invariant 3).
            unsafe { alloc::dealloc(self.node.as_ptr().cast(), layout) };
        }
    }
}

impl Default for Blob {
    fn default() -> Blob {
        Blob::new()
    }
}

impl Deref for Blob {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsRef<[u8]> for Blob {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl PartialEq for Blob {
    fn eq(&self, other: &Blob) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Blob {}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob(\"{}\")", self.as_slice().escape_ascii())
    }
}

/// Writes to a [`Blob`] that has no other owner. Every growth may fail; on failure nothing has changed.
#[derive(Debug)]
pub struct BlobMut<'a> {
    /// Unique for as long as this borrow lasts: nobody can clone it through us.
    blob: &'a mut Blob,
}

impl<'a> BlobMut<'a> {
    /// The bytes, for as long as the blob is borrowed.
    pub fn into_slice(self) -> &'a mut [u8] {
        // SAFETY: sole owner (checked by make_mut), all bytes initialised, and the unique borrow of the blob is given
        // up for this one.
        unsafe { std::slice::from_raw_parts_mut(self.blob.data(), self.blob.len()) }
    }

    /// Replaces `removed` bytes at `at` by `inserted`. O(bytes after `at`), at most one `realloc`.
    ///
    /// Panics when `at + removed` is beyond the end: offsets come from the structure that owns the bytes.
    pub fn splice(&mut self, at: usize, removed: usize, inserted: &[u8]) -> Result<(), TooLarge> {
        let gap = self.open(at, removed, inserted.len())?;
        // SAFETY: `open` left room for exactly these bytes at `gap`; `inserted` cannot overlap the block, which we
        // hold by unique reference.
        unsafe { ptr::copy_nonoverlapping(inserted.as_ptr(), gap, inserted.len()) };
        Ok(())
    }

    /// Inserts `bytes` at `at`.
    pub fn insert(&mut self, at: usize, bytes: &[u8]) -> Result<(), TooLarge> {
        self.splice(at, 0, bytes)
    }

    /// Inserts `len` zero bytes at `at`, to be written through the slice.
    pub fn insert_zeroed(&mut self, at: usize, len: usize) -> Result<(), TooLarge> {
        let gap = self.open(at, 0, len)?;
        // SAFETY: `open` left room for exactly `len` bytes at `gap`.
        unsafe { ptr::write_bytes(gap, 0, len) };
        Ok(())
    }

    /// Removes `len` bytes at `at`. Never fails: shrinking keeps the old block if the allocator has no other.
    pub fn remove(&mut self, at: usize, len: usize) {
        self.open(at, len, 0).expect("shrinking needs no memory");
    }

    /// Appends `bytes`.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        self.splice(self.blob.len(), 0, bytes)
    }

    /// Cuts the block, or lengthens it with `fill`.
    pub fn resize(&mut self, len: usize, fill: u8) -> Result<(), TooLarge> {
        let old = self.blob.len();
        if len <= old {
            self.remove(len, old - len);
            return Ok(());
        }
        let gap = self.open(old, 0, len - old)?;
        // SAFETY: `open` left room for exactly this many bytes at `gap`.
        unsafe { ptr::write_bytes(gap, fill, len - old) };
        Ok(())
    }

    /// Makes `removed` bytes at `at` into `inserted` bytes of unknown content and returns where they start.
    fn open(&mut self, at: usize, removed: usize, inserted: usize) -> Result<*mut u8, TooLarge> {
        let old_len = self.blob.len();
        let tail_from = at
            .checked_add(removed)
            .filter(|&end| end <= old_len)
            .expect("splice within the blob");
        let tail = old_len - tail_from;
        let new_len = (old_len - removed)
            .checked_add(inserted)
            .filter(|&n| n <= BLOB_MAX)
            .ok_or(TooLarge)?;
        if new_len > old_len {
            self.reallocate(old_len, new_len)?;
        }
        let data = self.blob.data();
        // SAFETY: both ranges lie within max(old_len, new_len) bytes, which the allocation now holds.
        unsafe { ptr::copy(data.add(tail_from), data.add(at + inserted), tail) };
        if new_len < old_len {
            self.reallocate(old_len, new_len)?;
        }
        // SAFETY: we are the sole owner, and the head is within the allocation.
        unsafe { (*self.blob.node.as_ptr()).len = new_len as u32 };
        // SAFETY: `at` <= new_len, within the block.
        Ok(unsafe { self.blob.data().add(at) })
    }

    /// Keeps invariant 3 across a change of length.
    #[inline]
    fn reallocate(&mut self, old_len: usize, new_len: usize) -> Result<(), TooLarge> {
        let (old, new) = (blob_layout(old_len), blob_layout(new_len));
        if old == new {
            return Ok(());
        }
        // SAFETY: allocated with `old` (invariant 3), sole owner, new size not zero.
        let raw = unsafe { alloc::realloc(self.blob.node.as_ptr().cast(), old, new.size()) };
        match NonNull::new(raw.cast::<BlobHead>()) {
            Some(node) => {
                self.blob.node = node;
                Ok(())
            }
            // Refusing to shrink would leave a block larger than its length says: not survivable.
            None if new_len < old_len => handle_alloc_error(new),
            None => Err(TooLarge),
        }
    }
}

impl Deref for BlobMut<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.blob.as_slice()
    }
}

impl DerefMut for BlobMut<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: sole owner (checked by make_mut), unique borrow, all bytes initialised.
        unsafe { std::slice::from_raw_parts_mut(self.blob.data(), self.blob.len()) }
    }
}
