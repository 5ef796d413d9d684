//! A fixed row of slots, filled from the left: the body of a node, inside its allocation.
//!
//! Safe where a row of `MaybeUninit` would not be: what a node holds begins with a pointer that is never null, so
//! the `Option` around it takes no room, and the test it costs hides behind the cache misses of a tree.
//!
//! Mirrors: no file of Redis: a node of a skiplist or of a rax holds one element.

use std::ops::{Deref, DerefMut};

/// At most `N` items; dereferences to the slice of those present.
#[derive(Clone)]
pub(super) struct Slots<T, const N: usize> {
    len: u16,
    slots: [Slot<T>; N],
}

/// A slot of the row; dereferences to what it holds.
#[derive(Clone)]
#[repr(transparent)]
pub(crate) struct Slot<T>(Option<T>);

impl<T> Deref for Slot<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        self.0.as_ref().expect("slots below the length are full")
    }
}

impl<T> DerefMut for Slot<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("slots below the length are full")
    }
}

/// Number of items that stand `before` a place; they are the first ones of the row.
///
/// Looks at every fourth item, all of them, then at the three behind the last hit. More comparisons than a binary
/// search, but none waits for another: on a node that is not in the cache its lines are fetched together, on one
/// that is, no branch is guessed wrong. A rank among a million costs 0.8 us instead of 1.1 (`benches/packed.rs`).
#[inline]
pub(super) fn partition<T>(row: &[Slot<T>], before: impl Fn(&T) -> bool) -> usize {
    const STRIDE: usize = 4;
    let mut hits = 0;
    let mut i = 0;
    while i < row.len() {
        hits += usize::from(before(&row[i]));
        i += STRIDE;
    }
    let Some(full) = hits.checked_sub(1) else {
        return 0;
    };
    let from = full * STRIDE + 1;
    let group = row[from..].iter().take(STRIDE - 1);
    from + group.filter(|item| before(item)).count()
}

impl<T, const N: usize> Slots<T, N> {
    pub(super) fn new() -> Self {
        Slots {
            len: 0,
            slots: [const { Slot(None) }; N],
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() == N
    }

    /// Panics when full: the caller splits first.
    pub(super) fn insert(&mut self, at: usize, item: T) {
        let len = self.len();
        self.slots[len].0 = Some(item);
        self.slots[at..=len].rotate_right(1);
        self.len += 1;
    }

    pub(super) fn push(&mut self, item: T) {
        self.insert(self.len(), item);
    }

    pub(super) fn remove(&mut self, at: usize) -> T {
        let mut removed = None;
        self.drain(at, 1, &mut |item| removed = Some(item));
        removed.expect("one was removed")
    }

    /// Removes `n` items from `at` on and hands them out in order.
    pub(super) fn drain(&mut self, at: usize, n: usize, sink: &mut impl FnMut(T)) {
        let len = self.len();
        for slot in &mut self.slots[at..at + n] {
            sink(slot.0.take().expect("slots below the length are full"));
        }
        self.slots[at..len].rotate_left(n);
        self.len -= n as u16;
    }

    /// The items from `at` on, moved out.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        let len = self.len();
        let mut tail = Slots::new();
        tail.slots[..len - at].swap_with_slice(&mut self.slots[at..len]);
        tail.len = (len - at) as u16;
        self.len = at as u16;
        tail
    }

    /// Puts the items of `other` behind ours. Panics when they are too many.
    pub(super) fn append(&mut self, mut other: Self) {
        let (len, more) = (self.len(), other.len());
        self.slots[len..len + more].swap_with_slice(&mut other.slots[..more]);
        self.len += more as u16;
    }
}

impl<T, const N: usize> Deref for Slots<T, N> {
    type Target = [Slot<T>];
    #[inline]
    fn deref(&self) -> &[Slot<T>] {
        &self.slots[..usize::from(self.len)]
    }
}

impl<T, const N: usize> DerefMut for Slots<T, N> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Slot<T>] {
        &mut self.slots[..usize::from(self.len)]
    }
}
