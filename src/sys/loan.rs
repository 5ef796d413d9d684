//! Lends a `&mut` to callbacks that cannot carry a lifetime.
//!
//! Lua calls back into the server while the server waits for Lua. The callbacks are made once, when
//! the interpreter is, and outlive every request; the state they work on is borrowed for one request.
//! A [`Loan`] is the place where the two meet: the caller lends the state for the duration of a call,
//! the callback takes it from there.
//!
//! ```text
//!   command -- lend(&mut state) --> Lua --> callback -- with(|state| …) --> state
//! ```
//!
//! Invariant: a pointer is in the cell only while [`Loan::lend`] holds the `&mut` it was made from,
//! and is taken out of the cell while [`Loan::with`] uses it, so that no two references exist at once.
//!
//! Unsafe: the pointer is turned back into a reference; no safe type of the standard library lends
//! across a callback that must be `'static`.
//!
//! Mirrors: no file of Redis, whose callbacks reach the server through the global `server`.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ptr;

/// A place where a `&mut T` can be borrowed from while somebody up the stack lends it.
#[derive(Debug)]
pub struct Loan<T> {
    lent: Cell<*mut T>,
}

impl<T> Default for Loan<T> {
    fn default() -> Self {
        Loan {
            lent: Cell::new(ptr::null_mut()),
        }
    }
}

/// Puts back what was in the cell, also when a panic passes.
struct Restore<'a, T>(&'a Cell<*mut T>, *mut T);

impl<T> Drop for Restore<'_, T> {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

impl<T> Loan<T> {
    /// Lends `value` while `f` runs.
    pub fn lend<R>(&self, value: &mut T, f: impl FnOnce() -> R) -> R {
        let before = self.lent.replace(value);
        let _restore = Restore(&self.lent, before);
        f()
    }

    /// Lends what a pointer points to, until another one, or null, is put in its place: for callers whose loan is no
    /// scope.
    ///
    /// # Safety
    /// The pointer is null, or valid and used by nobody else until it is replaced.
    pub unsafe fn put(&self, value: *mut T) {
        self.lent.set(value);
    }

    /// Uses what is lent; `None` when nothing is, or when it is in use further up the stack.
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        let lent = self.lent.replace(ptr::null_mut());
        let _restore = Restore(&self.lent, lent);
        // SAFETY: a pointer in the cell comes from the `&mut` that `lend` holds for as long as it is
        // there; that `&mut` is not used meanwhile, and the cell is empty until this use ends.
        unsafe { lent.as_mut() }.map(f)
    }
}

#[cfg(test)]
mod tests {
    use super::Loan;

    #[test]
    fn what_is_lent_can_be_used_once_at_a_time_and_only_while_it_is_lent() {
        let loan = Loan::default();
        assert_eq!(loan.with(|n: &mut i32| *n), None);
        let mut number = 1;
        loan.lend(&mut number, || {
            let inner = loan.with(|n| {
                *n += 1;
                loan.with(|n| *n)
            });
            assert_eq!(inner, Some(None));
            assert_eq!(loan.with(|n| *n), Some(2));
        });
        assert_eq!(loan.with(|n| *n), None);
        assert_eq!(number, 2);
    }
}
