//! The gate through which threads of modules reach the state: open while the loop that owns it waits for events.
//!
//! ```text
//!   loop     … commands … | open ---- poll ---- close | commands …
//!   thread                       lock … unlock
//! ```
//!
//! A thread that holds the lock is the only user of the state: the loop does not go on before it has the gate closed.
//!
//! Invariant: `lent` holds a pointer only between `Gate::open` and `Gate::close`, while the loop that owns the state
//! does not touch it. At most one thread is `busy` with it, and hands it back before `close` returns.
//!
//! So a `State`, which is not `Send`, is used by other threads. What makes that sound: the hand-over goes through a
//! mutex, so that each user sees all that the one before wrote; there is one user at a time; and nothing in a state
//! depends on the thread that uses it (reference counts are plain, but have one user; counters of the allocator are kept
//! per thread and added up).
//!
//! Mirrors: moduleGIL, moduleAcquireGIL(), moduleReleaseGIL() of module.c.
//! Differs: Redis has one mutex that its main thread holds all the time but for the poll; here the loop takes and gives
//! nothing while no module is loaded.

use std::ffi::c_int;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use super::codes::{ERR, OK};
use super::context::{begin_thread, end_thread, set_errno, with};
use crate::command::act::after_unit;
use crate::modules::Opaque;
use crate::state::{Letter, Mailbox, State};

/// The server that owns the modules of this process. A loaded file has one set of variables, so that two servers of one
/// process cannot share it: the first that loads a module owns them until it ends.
static OWNER: Mutex<Weak<Owner>> = Mutex::new(Weak::new());

/// How threads reach the server that owns the modules.
pub struct Owner {
    /// The gate.
    pub gate: Gate,
    /// How many databases the server has.
    pub databases: u32,
    mailbox: Mutex<Mailbox>,
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Owner")
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked has ended the process.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The owner, if there is one.
pub fn owner() -> Option<Arc<Owner>> {
    held(&OWNER).upgrade()
}

/// Makes this server the owner; false when another one is.
pub fn own(state: &mut State) -> bool {
    let mut place = held(&OWNER);
    if let Some(current) = place.upgrade() {
        let ours = state.modules.owner.as_ref();
        return ours.is_some_and(|ours| {
            let current: Arc<dyn std::any::Any + Send + Sync> = current;
            Arc::ptr_eq(ours, &current)
        });
    }
    let owner = Arc::new(Owner {
        gate: Gate::default(),
        databases: state.keyspace.len_dbs() as u32,
        mailbox: Mutex::new(state.mailbox.clone()),
    });
    *place = Arc::downgrade(&owner);
    state.modules.owner = Some(owner);
    true
}

/// Leaves work for the thread that owns the state, and wakes it. False when there is no owner any more.
pub fn post(letter: Letter) -> bool {
    match owner() {
        Some(owner) => {
            held(&owner.mailbox).send(letter);
            true
        }
        None => false,
    }
}

#[derive(Debug)]
struct Inside {
    lent: *mut State,
    busy: bool,
    wanted: bool,
}

// SAFETY: the pointer is used as the invariant at the top says: by one thread at a time, handed over through the mutex.
unsafe impl Send for Inside {}

/// See the top of this file.
#[derive(Debug)]
pub struct Gate {
    inside: Mutex<Inside>,
    changed: Condvar,
}

impl Default for Gate {
    fn default() -> Self {
        Gate {
            inside: Mutex::new(Inside {
                lent: std::ptr::null_mut(),
                busy: false,
                wanted: false,
            }),
            changed: Condvar::new(),
        }
    }
}

impl Gate {
    fn open(&self, state: *mut State) {
        held(&self.inside).lent = state;
        self.changed.notify_all();
    }

    fn close(&self) {
        let mut inside = held(&self.inside);
        // No further thread gets in, however many want to.
        inside.wanted = true;
        while inside.busy {
            inside = self
                .changed
                .wait(inside)
                .unwrap_or_else(PoisonError::into_inner);
        }
        inside.lent = std::ptr::null_mut();
        inside.wanted = false;
    }

    /// Waits until the gate is open, and takes the state.
    fn lock(&self) -> *mut State {
        let mut inside = held(&self.inside);
        while inside.lent.is_null() || inside.busy || inside.wanted {
            inside = self
                .changed
                .wait(inside)
                .unwrap_or_else(PoisonError::into_inner);
        }
        inside.busy = true;
        inside.lent
    }

    fn try_lock(&self) -> Option<*mut State> {
        let mut inside = held(&self.inside);
        if inside.lent.is_null() || inside.busy || inside.wanted {
            return None;
        }
        inside.busy = true;
        Some(inside.lent)
    }

    fn unlock(&self) {
        held(&self.inside).busy = false;
        self.changed.notify_all();
    }
}

/// Runs the wait of the loop with the gate open, if there are modules.
pub fn around<R>(state: &mut State, wait: impl FnOnce() -> R) -> R {
    let owner = match state.modules.is_empty() {
        true => None,
        false => owner(),
    };
    let Some(owner) = owner else {
        return wait();
    };
    let lent: *mut State = state;
    owner.gate.open(lent);
    let result = wait();
    owner.gate.close();
    result
}

/// A thread has the state: it begins a unit of execution.
fn entered(state: *mut State) {
    // SAFETY: the gate gave the pointer to this thread alone, until `unlock`.
    unsafe { begin_thread(state) };
    with(|state| {
        state.refresh_clock();
        state.effects.enter();
    });
}

pub unsafe extern "C" fn lock(_ctx: Opaque) {
    if let Some(owner) = owner() {
        entered(owner.gate.lock());
    }
}

pub unsafe extern "C" fn try_lock(_ctx: Opaque) -> c_int {
    let state = owner().and_then(|owner| owner.gate.try_lock());
    match state {
        Some(state) => {
            entered(state);
            OK
        }
        None => {
            set_errno(libc::EBUSY);
            ERR
        }
    }
}

/// A thread gives the state back: its unit of execution ends.
fn leave(owner: &Owner) {
    with(|state| {
        crate::keyspace::act::expire::reap_expired(state);
        if state.effects.leave() {
            after_unit(state);
        }
    });
    end_thread();
    owner.gate.unlock();
}

/// A thread that has the state lets the loop have it for a turn, if the loop waits for it; otherwise wakes the loop, for
/// the next time.
pub fn let_loop_run() {
    let Some(owner) = owner() else { return };
    if held(&owner.gate.inside).wanted {
        leave(&owner);
        std::thread::yield_now();
        entered(owner.gate.lock());
    } else {
        post(Box::new(|_| {}));
    }
}

pub unsafe extern "C" fn unlock(_ctx: Opaque) {
    let Some(owner) = owner() else { return };
    with(|state| state.modules.busy_reply = None);
    leave(&owner);
    // The loop sends what was written, and serves who waited for a key.
    post(Box::new(|_| {}));
}
