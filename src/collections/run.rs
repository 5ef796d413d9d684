//! Runs of like items behind a counted pointer, and vectors built of them.
//!
//! ```text
//!   Run<T>      [ count u32 | len u32 | T T T … ]        one pointer; exact, no spare stored
//!   Pages<T>    root -> folders -> chunks -> rows         row = a fixed number of T, found by its number
//!
//!               row 70 of 15 to a chunk:  chunk 4 = folder 0, place 4;  row 10 of the chunk
//! ```
//!
//! A [`Pages`] is a vector of rows whose length is known only when it is made: the links of a node, the bytes of a
//! vector. `clone()` copies one pointer, and that clone is a snapshot; a write to a row copies the chunk, the folder and
//! the root while a snapshot shares them, and nothing else.
//!
//! Invariants: (1) items behind a pointer with count > 1 are never written; [`Run::make_mut`] and [`Run::push`] are the
//! only doors, and they look first. (2) A run of `len` items lives in an allocation of `good_size(8 + len * size)`
//! bytes: its capacity follows from its length. (3) All chunks of a [`Pages`] but the last are full.
//!
//! Mirrors: no file of Redis; `Blob` of `shared/blob.rs` is the same for bytes.
//! Unsafe: raw layout with items inline. `Shared<Vec<T>>` would do, at two hops instead of one and 24 bytes more: in a
//! graph search every hop is a cache line, and a row is reached through three.
#![allow(unsafe_code)]

use std::alloc::{self, Layout, handle_alloc_error};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::{self, NonNull};

use super::shared::{Count, count_copied, good_size};

/// An item of a [`Run`].
pub trait Part: Clone + Send + Sync {
    /// Reads the memory that `clone` will write to (a count), so that the misses of many overlap. Only for speed.
    #[inline]
    fn warm(&self) {}
}

impl Part for u8 {}
impl Part for u32 {}
impl Part for f32 {}

impl<T: Part> Part for Run<T> {
    #[inline]
    fn warm(&self) {
        std::hint::black_box(self.is_unique());
    }
}

/// Items behind one counted pointer.
pub struct Run<T> {
    node: NonNull<Head>,
    items: PhantomData<T>,
}

#[repr(C, align(8))]
struct Head {
    count: Count,
    len: u32,
    // `len` items follow.
}

const HEAD: usize = size_of::<Head>();

// SAFETY: as for Arc: owners on several threads read the items (Sync), any of them may drop them (Send).
unsafe impl<T: Send + Sync> Send for Run<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Run<T> {}

fn layout<T>(len: usize) -> Layout {
    const { assert!(align_of::<T>() <= align_of::<Head>() && size_of::<T>() > 0) };
    let bytes = len
        .checked_mul(size_of::<T>())
        .and_then(|n| n.checked_add(HEAD));
    let size = good_size(bytes.expect("a run fits the address space"));
    Layout::from_size_align(size, align_of::<Head>()).expect("a run fits the address space")
}

impl<T> Run<T> {
    /// A run without items that has room for so many. O(1).
    fn with_room(len: usize) -> Run<T> {
        assert!(len < u32::MAX as usize, "a run has fewer than 2^32 items");
        let layout = layout::<T>(len);
        // SAFETY: the layout is never of size zero (there is a head).
        let raw = unsafe { alloc::alloc(layout) };
        let Some(node) = NonNull::new(raw.cast::<Head>()) else {
            handle_alloc_error(layout)
        };
        // SAFETY: freshly allocated, large and aligned enough for the head.
        unsafe {
            node.write(Head {
                count: Count::one(),
                len: 0,
            });
        }
        Run {
            node,
            items: PhantomData,
        }
    }

    /// A run without items.
    pub fn new() -> Run<T> {
        Run::with_room(0)
    }

    #[inline]
    fn head(&self) -> &Head {
        // SAFETY: alive while we hold a count.
        unsafe { self.node.as_ref() }
    }

    #[inline]
    fn data(&self) -> *mut T {
        // SAFETY: the items follow the head inside one allocation.
        unsafe { self.node.as_ptr().cast::<u8>().add(HEAD).cast() }
    }

    /// The items.
    #[inline]
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: `len` items were written and stay unwritten while this borrow lasts (invariant 1).
        unsafe { std::slice::from_raw_parts(self.data(), self.head().len as usize) }
    }

    /// No other owner exists.
    #[inline]
    pub fn is_unique(&self) -> bool {
        self.head().count.is_one()
    }

    /// Bytes the run occupies in the allocator, without what its items point to.
    pub fn allocated_bytes(&self) -> usize {
        layout::<T>(self.len()).size()
    }

    /// Writes an item behind the last.
    ///
    /// # Safety
    /// The run is unique, and its allocation has room for one item more.
    unsafe fn append(&mut self, item: T) {
        // SAFETY: room by the caller's word; the slot is behind all items that exist.
        unsafe {
            let at = (*self.node.as_ptr()).len;
            self.data().add(at as usize).write(item);
            (*self.node.as_ptr()).len = at + 1;
        }
    }
}

impl<T: Part> Run<T> {
    /// A run of clones. O(items).
    pub fn from_slice(items: &[T]) -> Run<T> {
        let mut run = Run::with_room(items.len());
        for item in items {
            // SAFETY: just made, with room for all of them.
            unsafe { run.append(item.clone()) };
        }
        run
    }

    /// Puts a private copy in the stead of a run that others hold, with room for `more` items.
    #[cold]
    fn copy(&mut self, more: usize) {
        count_copied(self.allocated_bytes());
        let items = self.as_slice();
        items.iter().for_each(Part::warm);
        let mut copy = Run::with_room(items.len() + more);
        for item in items {
            // SAFETY: just made, with room for all of them.
            unsafe { copy.append(item.clone()) };
        }
        *self = copy;
    }

    /// The items to write to: in place while unshared, else of a private copy, O(items).
    #[inline]
    pub fn make_mut(&mut self) -> &mut [T] {
        if !self.is_unique() {
            self.copy(0);
        }
        // SAFETY: unique by the test or by having just been made; `&mut self` keeps it from being cloned meanwhile.
        unsafe { std::slice::from_raw_parts_mut(self.data(), self.head().len as usize) }
    }

    /// Makes room for `more` items, in a run that is unique then.
    fn reserve(&mut self, more: usize) {
        if !self.is_unique() {
            return self.copy(more);
        }
        let (old, new) = (layout::<T>(self.len()), layout::<T>(self.len() + more));
        if old.size() == new.size() {
            return;
        }
        // SAFETY: allocated with this layout (invariant 2); the items are moved bit by bit, which is a move in Rust.
        let raw = unsafe { alloc::realloc(self.node.as_ptr().cast(), old, new.size()) };
        let Some(node) = NonNull::new(raw.cast::<Head>()) else {
            handle_alloc_error(new)
        };
        self.node = node;
    }

    /// Appends an item. O(1) while unshared, the `realloc` of each size class aside.
    pub fn push(&mut self, item: T) {
        self.reserve(1);
        // SAFETY: `reserve` left a unique run with room.
        unsafe { self.append(item) };
    }

    /// Appends clones of items.
    pub fn extend_from_slice(&mut self, items: &[T]) {
        self.reserve(items.len());
        for item in items {
            // SAFETY: `reserve` left a unique run with room for all of them.
            unsafe { self.append(item.clone()) };
        }
    }
}

impl<T> Clone for Run<T> {
    #[inline]
    fn clone(&self) -> Run<T> {
        self.head().count.acquire();
        Run {
            node: self.node,
            items: PhantomData,
        }
    }
}

impl<T> Drop for Run<T> {
    #[inline]
    fn drop(&mut self) {
        if self.head().count.release() {
            let (len, data) = (self.head().len as usize, self.data());
            // SAFETY: we were the last owner; the items are dropped once, then their allocation, which has the layout
            // that follows from its length (invariant 2). A copy with more room has been filled or grown to it.
            unsafe {
                ptr::drop_in_place(ptr::slice_from_raw_parts_mut(data, len));
                alloc::dealloc(self.node.as_ptr().cast(), layout::<T>(len));
            }
        }
    }
}

impl<T> Default for Run<T> {
    fn default() -> Run<T> {
        Run::new()
    }
}

impl<T> Deref for Run<T> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        self.as_slice()
    }
}

impl<T: fmt::Debug> fmt::Debug for Run<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

// ---------------------------------------------------------------------------------------------- Pages<T>

/// Chunks in a folder: small enough to copy before a write, and its counts to raise.
const FOLDER_BITS: u32 = 6;

/// A vector of rows of equal length.
#[derive(Clone)]
pub struct Pages<T> {
    root: Run<Run<Run<T>>>,
    /// Items to a row.
    width: u32,
    /// Rows.
    len: u32,
    /// Rows to a chunk,
    rows: u32,
    /// and 2^64 divided by that, rounded up, by which a row's chunk is found without a division.
    inverse: u64,
}

impl<T: Part> Pages<T> {
    /// No rows yet; each will have `width` items, and a chunk takes about `chunk_bytes`, one row at least.
    ///
    /// A chunk has as many rows as leave least room unused in what the allocator hands out: 15 rows of 136 bytes fill
    /// 2048 bytes, where 16 would take 2560.
    pub fn new(width: usize, chunk_bytes: usize) -> Pages<T> {
        let most = (chunk_bytes / (width * size_of::<T>()).max(1)).clamp(1, 64);
        let share = |rows: usize| layout::<T>(rows * width).size() as f64 / rows as f64;
        let best = (most.div_ceil(2)..=most).min_by(|a, b| share(*a).total_cmp(&share(*b)));
        let rows = best.unwrap_or(1) as u32;
        Pages {
            root: Run::new(),
            width: width as u32,
            len: 0,
            rows,
            inverse: (u64::MAX / u64::from(rows)).wrapping_add(1),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// No rows.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    fn place(&self, row: u32) -> (usize, usize, usize) {
        // Exact for every row and two or more to a chunk (Lemire, Kaser, Kurz, "Faster remainder by direct computation",
        // 2019).
        let chunk = match self.rows {
            1 => row,
            _ => ((u128::from(self.inverse) * u128::from(row)) >> 64) as u32,
        };
        let at = row - chunk * self.rows;
        let (folder, place) = (chunk >> FOLDER_BITS, chunk & ((1 << FOLDER_BITS) - 1));
        let at = at as usize * self.width as usize;
        (folder as usize, place as usize, at)
    }

    /// A row. O(1), three hops. Panics when there is no such row.
    #[inline]
    pub fn row(&self, row: u32) -> &[T] {
        let (folder, place, at) = self.place(row);
        &self.root[folder][place][at..at + self.width as usize]
    }

    /// A row to write to; copies the way to it while a snapshot shares it.
    #[inline]
    pub fn row_mut(&mut self, row: u32) -> &mut [T] {
        let (folder, place, at) = self.place(row);
        let folder = &mut self.root.make_mut()[folder];
        let chunk = folder.make_mut()[place].make_mut();
        &mut chunk[at..at + self.width as usize]
    }

    /// Appends a row; its number.
    pub fn push(&mut self, items: &[T]) -> u32 {
        assert_eq!(items.len(), self.width as usize, "rows have one length");
        let row = self.len;
        let (folder, place, _) = self.place(row);
        if self.root.len() == folder {
            self.root.push(Run::new());
        }
        let folder = &mut self.root.make_mut()[folder];
        if folder.len() == place {
            folder.push(Run::new());
        }
        folder.make_mut()[place].extend_from_slice(items);
        self.len += 1;
        row
    }

    /// Bytes of all nodes, without what the items point to. O(folders).
    pub fn allocated_bytes(&self) -> usize {
        let mut bytes = self.root.allocated_bytes();
        for folder in self.root.iter() {
            bytes += folder.allocated_bytes();
            // All but the last are full.
            let (full, last) = (folder.len().saturating_sub(1), folder.last());
            bytes += folder.first().map_or(0, Run::allocated_bytes) * full;
            bytes += last.map_or(0, Run::allocated_bytes);
        }
        bytes
    }

    /// Number of nodes: how much work dropping the last owner is.
    pub fn nodes(&self) -> usize {
        (self.len / self.rows) as usize + self.root.len() + 1
    }
}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pages({} rows of {})", self.len, self.width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collections::testing::Rng;

    #[test]
    fn a_row_is_found_by_its_number_whatever_the_chunk() {
        let mut rng = Rng::new(3);
        for width in 1..200 {
            let pages = Pages::<u32>::new(width, 2048);
            assert!((1..=64).contains(&pages.rows));
            for _ in 0..200 {
                let row = rng.next() as u32;
                let (folder, place, at) = pages.place(row);
                let chunk = (folder << FOLDER_BITS | place) as u32;
                assert_eq!(chunk, row / pages.rows);
                assert_eq!(at, (row % pages.rows) as usize * width);
            }
        }
    }

    /// Pages and snapshots of them against vectors, over random pushes and writes.
    #[test]
    fn a_snapshot_stays_what_it_was() {
        let (seeds, steps) = if cfg!(miri) { (2, 400) } else { (20, 3000) };
        for seed in 0..seeds {
            let mut rng = Rng::new(seed);
            let width = 1 + rng.below(5);
            let mut pages = Pages::<u32>::new(width, 64);
            let mut model: Vec<Vec<u32>> = vec![];
            let mut held: Vec<(Pages<u32>, Vec<Vec<u32>>)> = vec![];
            for step in 0..steps {
                if model.is_empty() || rng.below(3) == 0 {
                    let row = vec![step; width];
                    assert_eq!(pages.push(&row) as usize, model.len());
                    model.push(row);
                } else {
                    let at = rng.below(model.len());
                    let item = rng.below(width);
                    pages.row_mut(at as u32)[item] = step;
                    model[at][item] = step;
                }
                if rng.below(200) == 0 {
                    held.push((pages.clone(), model.clone()));
                }
                if rng.below(400) == 0 && !held.is_empty() {
                    let at = rng.below(held.len());
                    drop(held.swap_remove(at));
                }
            }
            held.push((pages, model));
            for (pages, model) in &held {
                assert_eq!(pages.len() as usize, model.len(), "seed {seed}");
                for (at, row) in model.iter().enumerate() {
                    assert_eq!(pages.row(at as u32), &row[..], "seed {seed}");
                }
            }
        }
    }

    /// Items that own memory are cloned and dropped once each.
    #[test]
    fn nested_runs_are_freed_once() {
        let leaf = Run::from_slice(&[1u32, 2, 3]);
        let mut tree = Run::new();
        for _ in 0..100 {
            tree.push(leaf.clone());
        }
        let snapshot = tree.clone();
        tree.make_mut()[7].make_mut()[0] = 9;
        assert_eq!((snapshot[7][0], tree[7][0], tree[8][0]), (1, 9, 1));
        assert!(!leaf.is_unique());
        drop(tree);
        drop(snapshot);
        assert!(leaf.is_unique());
    }
}
