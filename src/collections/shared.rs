//! Counted nodes: cloned by raising a count, written in place while they have one owner.
//!
//! Everything large in the house is a tree of these. A snapshot clones the few at the top; from then on a
//! writer walks down with `make_mut`, which hands out the node itself while it has one owner and a private copy
//! otherwise. That one rule replaces `fork()`.
//!
//! ```text
//!   Shared<T>   [ count u32 | T ]                      a node of fixed shape: tree nodes, tables, shells
//!   Blob        [ count u32 | len u32 | bytes... ]     packed encodings: small, exact, no spare stored
//!   BigStr      [ count u32 | len | cap | bytes... ]   long strings: grow by doubling, may be filled slowly
//! ```
//!
//! All three are one pointer wide, never null (so `Option` costs nothing), and [`Send`] to another thread,
//! which is how a background job reads or frees what the main thread has let go of.
//!
//! Invariants: (1) bytes or a `T` behind a pointer with count > 1 are never written; the only doors to a
//! `&mut` are [`Shared::get_mut`], [`Shared::make_mut`] and the two byte twins, which look at the count first.
//! (2) There are no weak pointers, so a count of 1 seen by its owner stays 1 until that owner clones.
//! (3) A [`Blob`] of `len` bytes always lives in an allocation of `good_size(header + len)` bytes: its capacity
//! follows from its length and is not stored.
//!
//! A write under a snapshot copies one path. Here it changes leaf 3 of a tree with four leaves:
//!
//! ```text
//!   before   live and snapshot ─► root ┬► A ┬► 1          after   snapshot ─► root ┬► A ┬► 1
//!                                      │    └► 2                                   │    └► 2
//!                                      └► B ┬► 3                                   └► B ┬► 3
//!                                           └► 4                                        └► 4
//!                                                                 live ─► root' ┬► A
//!                                                                               └► B' ┬► 3'
//!                                                                                     └► 4
//! ```
//!
//! Three nodes were copied; A with all below it and leaf 4 have two owners now.
//!
//! Mirrors: `incrRefCount()` / `decrRefCount()` (object.c) and the sds header (sds.h); for snapshots, the
//! kernel's copy-on-write pages under `rdbSaveBackground()` (rdb.c).
//! Differs: `std::sync::Arc` would do for `Shared`, but carries a weak count (8 more bytes per node) whose
//! lock-step makes `make_mut` a compare-and-swap; ours is one load. `Arc<[u8]>` is two words wide.
//! Unsafe: raw layout with inline bytes; the keeper of each invariant is named at its block.
#![allow(unsafe_code)]

use std::alloc::{self, Layout, handle_alloc_error};
use std::cell::Cell;
use std::fmt;
use std::io;
use std::mem::{self, MaybeUninit};
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering, fence};

/// The bytes asked for are more than the structure can address or the allocator will give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("allocation too large")
    }
}

impl std::error::Error for TooLarge {}

/// The size of the block the allocator really hands out for `size` bytes.
///
/// Mirrors mimalloc's classes: 8, then steps of 16 to 64 bytes, then four steps per doubling (12.5 % wasted on
/// average), and whole 4 KiB pages above 128 KiB. A class guessed wrong costs a little memory, nothing else: the
/// number returned is also the size we ask for. Monotonic; O(1).
pub const fn good_size(size: usize) -> usize {
    if size <= 8 {
        8
    } else if size <= 64 {
        (size + 15) & !15
    } else if size <= 128 << 10 {
        let top = usize::BITS - 1 - (size - 1).leading_zeros();
        let step = 1usize << (top - 2);
        (size + step - 1) & !(step - 1)
    } else {
        match size.checked_add(4095) {
            Some(n) => n & !4095,
            None => size,
        }
    }
}

thread_local! {
    static COPIED: Cell<u64> = const { Cell::new(0) };
}

/// Bytes this thread has copied so far because it wrote to a node that had another owner too: take the difference.
///
/// Per thread, as the bytes in use are (`sys/alloc.rs`): the places that copy are deep inside values, far from whoever
/// asks, and a thread that owns data is the only one that writes to it.
pub fn copied_bytes() -> u64 {
    COPIED.get()
}

/// A copy of so many bytes is being made for that reason. Costs nothing beside the copy.
#[cold]
pub(crate) fn count_copied(bytes: usize) {
    COPIED.set(COPIED.get() + bytes as u64);
}

/// A reference count: one u32, no weak half.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Count(AtomicU32);

impl Count {
    pub(crate) const fn one() -> Count {
        Count(AtomicU32::new(1))
    }

    /// One owner more. Relaxed is enough: whoever clones already holds a reference, handed to it with the
    /// ordering that handing things between threads has.
    #[inline]
    pub(crate) fn acquire(&self) {
        if self.0.fetch_add(1, Ordering::Relaxed) > u32::MAX / 2 {
            // Only leaked clones can get here; a wrapped count would free memory in use.
            std::process::abort();
        }
    }

    /// One owner less; `true` tells the caller that it was the last and must free.
    #[inline]
    pub(crate) fn release(&self) -> bool {
        if self.is_one() {
            return true;
        }
        if self.0.fetch_sub(1, Ordering::Release) != 1 {
            return false;
        }
        // Everything the other owners did happens before the free.
        fence(Ordering::Acquire);
        true
    }

    /// Acquire pairs with the release of the owner that went last: its reads are over before we write.
    #[inline]
    pub(crate) fn is_one(&self) -> bool {
        self.0.load(Ordering::Acquire) == 1
    }
}

// ---------------------------------------------------------------------------------------------- Shared<T>

/// A thin, strong-counted pointer to a `T`; `Arc` without the weak half.
pub struct Shared<T> {
    node: NonNull<Node<T>>,
}

#[repr(C)]
struct Node<T> {
    count: Count,
    value: T,
}

// SAFETY: as for Arc: owners on several threads read one T (Sync), and any of them may be the one to drop it (Send).
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above; a &Shared<T> can be cloned into an owner.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Moves `value` to the heap with a count of one.
    pub fn new(value: T) -> Shared<T> {
        let node = Box::new(Node {
            count: Count::one(),
            value,
        });
        // A Box is never null; `from` keeps its provenance.
        Shared {
            node: NonNull::from(Box::leak(node)),
        }
    }

    #[inline]
    fn node(&self) -> &Node<T> {
        // SAFETY: we hold one count, so the node is alive, and shared reads are all anybody does while count > 1.
        unsafe { self.node.as_ref() }
    }

    /// The value, if this is its only owner. O(1).
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        if self.is_unique() {
            // SAFETY: count is one, it is ours, and &mut self keeps it from being cloned meanwhile (invariants 1, 2).
            Some(unsafe { &mut (*self.node.as_ptr()).value })
        } else {
            None
        }
    }

    /// The value to write to: in place while unshared, else a private clone put in its stead.
    #[inline]
    pub fn make_mut(&mut self) -> &mut T
    where
        T: Clone,
    {
        if !self.is_unique() {
            count_copied(Self::node_bytes());
            *self = Shared::new((**self).clone());
        }
        // SAFETY: unique by the test, or by having just been made.
        unsafe { &mut (*self.node.as_ptr()).value }
    }

    /// No other owner exists.
    #[inline]
    pub fn is_unique(&self) -> bool {
        self.node().count.is_one()
    }

    /// Whether two pointers share one node.
    pub fn ptr_eq(a: &Shared<T>, b: &Shared<T>) -> bool {
        a.node == b.node
    }

    /// The value itself if this was its only owner, else the pointer back.
    pub fn try_unwrap(self) -> Result<T, Shared<T>> {
        if !self.is_unique() {
            return Err(self);
        }
        let node = self.node;
        mem::forget(self);
        // SAFETY: unique; the node came from a Box of this very type and we forgot the pointer that would free it.
        Ok(unsafe { Box::from_raw(node.as_ptr()) }.value)
    }

    /// The address of the node, for identity and for prefetching.
    pub fn address(&self) -> usize {
        self.node.as_ptr().addr()
    }

    /// Bytes the node occupies in the allocator.
    pub const fn node_bytes() -> usize {
        good_size(size_of::<Node<T>>())
    }

    /// Gives the count away as an untyped word; [`Shared::from_raw`] takes it back.
    pub fn into_raw(self) -> NonNull<()> {
        let raw = self.node.cast();
        mem::forget(self);
        raw
    }

    /// # Safety
    /// `raw` came from [`Shared::<T>::into_raw`] of the same `T`, and is given back once.
    pub unsafe fn from_raw(raw: NonNull<()>) -> Shared<T> {
        Shared { node: raw.cast() }
    }
}

impl<T> Clone for Shared<T> {
    #[inline]
    fn clone(&self) -> Shared<T> {
        self.node().count.acquire();
        Shared { node: self.node }
    }
}

impl<T> Drop for Shared<T> {
    #[inline]
    fn drop(&mut self) {
        if self.node().count.release() {
            // SAFETY: we were the last owner; the node came from a Box of this type.
            drop(unsafe { Box::from_raw(self.node.as_ptr()) });
        }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.node().value
    }
}

impl<T: Default> Default for Shared<T> {
    fn default() -> Shared<T> {
        Shared::new(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

// ---------------------------------------------------------------------------------------------- Blob

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

// ---------------------------------------------------------------------------------------------- BigStr

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_one_word_even_when_optional() {
        assert_eq!(size_of::<Option<Shared<u64>>>(), 8);
        assert_eq!(size_of::<Option<Blob>>(), 8);
        assert_eq!(size_of::<Option<BigStr>>(), 8);
    }

    #[test]
    fn size_classes_are_monotonic_fixed_points() {
        let mut last = 0;
        for n in 0..(1 << 18) {
            let g = good_size(n);
            assert!(g >= n && g >= last && good_size(g) == g, "{n} -> {g}");
            last = g;
        }
        for (n, class) in [
            (1, 8),
            (9, 16),
            (32, 32),
            (33, 48),
            (65, 80),
            (129, 160),
            (1016, 1024),
            (4097, 5120),
        ] {
            assert_eq!(good_size(n), class);
        }
    }

    #[test]
    fn shared_copies_only_when_shared() {
        let mut a = Shared::new(vec![1, 2, 3]);
        let at = a.address();
        a.make_mut().push(4);
        assert_eq!(a.address(), at);
        let b = a.clone();
        assert!(a.get_mut().is_none());
        a.make_mut().push(5);
        assert!(!Shared::ptr_eq(&a, &b));
        assert_eq!((&*a, &*b), (&vec![1, 2, 3, 4, 5], &vec![1, 2, 3, 4]));
        assert_eq!(b.try_unwrap().ok(), Some(vec![1, 2, 3, 4]));
    }

    #[test]
    fn raw_round_trip_keeps_the_count() {
        let a = Shared::new(String::from("x"));
        let raw = a.clone().into_raw();
        assert!(!a.is_unique());
        // SAFETY: the word just made from a Shared<String>.
        drop(unsafe { Shared::<String>::from_raw(raw) });
        assert!(a.is_unique());
    }

    #[test]
    fn shared_is_freed_by_whichever_thread_is_last() {
        let a = Shared::new(Blob::from_slice(b"hello"));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let mine = a.clone();
                std::thread::spawn(move || mine.len())
            })
            .collect();
        drop(a);
        for t in threads {
            assert_eq!(t.join().unwrap(), 5);
        }
    }

    /// A blob and a BigStr race a Vec over random splices; clones taken on the way must not change.
    #[test]
    fn bytes_follow_a_vec() {
        for seed in 1..=if cfg!(miri) { 2u64 } else { 50 } {
            let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mut next = |n: usize| {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                (x % n as u64) as usize
            };
            let (mut blob, mut big, mut model) =
                (Blob::new(), BigStr::with_capacity(0), Vec::new());
            let mut kept: Vec<(Blob, BigStr, Vec<u8>)> = Vec::new();
            for _ in 0..if cfg!(miri) { 60 } else { 500 } {
                match next(7) {
                    0..3 => {
                        let bytes = vec![next(256) as u8; next(60)];
                        let at = next(model.len() + 1);
                        let gone = next(model.len() - at + 1).min(next(40));
                        blob.make_mut().splice(at, gone, &bytes).unwrap();
                        model.splice(at..at + gone, bytes);
                        big.make_mut().truncate(0);
                        big.make_mut().extend_from_slice(&model).unwrap();
                    }
                    3 => {
                        let len = next(300);
                        blob.make_mut().resize(len, 7).unwrap();
                        big.make_mut().resize(len, 7).unwrap();
                        model.resize(len, 7);
                    }
                    4 => {
                        let extra = vec![3; next(50)];
                        let mut w = big.make_mut();
                        w.reserve(50).unwrap();
                        assert_eq!(w.read_from(&mut &extra[..], 100).unwrap(), extra.len());
                        blob.make_mut().extend_from_slice(&extra).unwrap();
                        model.extend(extra);
                    }
                    5 => kept.push((blob.clone(), big.clone(), model.clone())),
                    _ => {
                        if let Some(first) = model.first_mut() {
                            *first ^= 1;
                            blob.make_mut()[0] ^= 1;
                            big.make_mut()[0] ^= 1;
                        }
                    }
                }
                assert_eq!(blob.as_slice(), &model[..], "seed {seed}");
                assert_eq!(big.as_slice(), &model[..], "seed {seed}");
            }
            for (blob, big, model) in kept {
                assert_eq!(blob.as_slice(), &model[..], "seed {seed}");
                assert_eq!(big.as_slice(), &model[..], "seed {seed}");
            }
        }
    }

    #[test]
    fn impossible_sizes_are_errors() {
        assert_eq!(
            BigStr::try_with_capacity(usize::MAX - 3).err(),
            Some(TooLarge)
        );
        assert_eq!(
            BigStr::try_with_capacity(isize::MAX as usize).err(),
            Some(TooLarge)
        );
        let mut b = Blob::from_slice(b"abc");
        assert_eq!(b.make_mut().resize(u32::MAX as usize, 0), Err(TooLarge));
        assert_eq!(b.as_slice(), b"abc");
    }
}
