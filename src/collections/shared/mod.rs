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
//! The two blocks of bytes have one more each, kept in their own files: `blob.rs`, `big.rs`.
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

mod big;
mod blob;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::fmt;
use std::mem;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering, fence};

pub use big::{BigStr, BigStrMut};
pub use blob::{BLOB_MAX, Blob, BlobMut};

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
