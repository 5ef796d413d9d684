//! The context that each function of a module is given, and the loan of the state behind it.
//!
//! ```text
//!   server -- enter(state, context, |ctx| f(ctx)) --> C -- API function(ctx) --> with(|state| …) --> state
//! ```
//!
//! A context lives on the stack of the one who calls the module, or on the heap for threads. Its first word is the
//! address of `GetApi`; that word is all of it that a module knows.
//!
//! Invariant: a reference to the state exists in one place at a time. [`enter`] puts the state into this thread's
//! [`Loan`] for the time of the callback; [`with`] takes it out for the time of one API function. An API function that
//! calls a module again does so through `enter`, with the state that it has in hand.
//!
//! Invariant: nothing borrowed from the state is kept in a context or any other handle: a key is a name, a client a key.
//!
//! Mirrors: RedisModuleCtx, moduleCreateContext() and moduleFreeContext() of module.c.
//! Differs: the loan belongs to the thread, so that functions without a context find the state as well.

use std::cell::Cell;
use std::ffi::{c_char, c_int};
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use super::calls::CallReply;
use super::dicts::Dict;
use super::keys::Key;
use super::strings::{self, RString};
use crate::acl::User;
use crate::clients::ClientKey;
use crate::command::act::after_unit;
use crate::command::table::CommandId;
use crate::keyspace::DbId;
use crate::modules::{Module, Opaque};
use crate::resp::{Mark, Reply};
use crate::state::State;
use crate::sys::loan::Loan;

thread_local! {
    /// The state of the server whose module runs on this thread.
    static LOAN: Loan<State> = Loan::default();
    /// Whether the state was lent by [`begin_thread`].
    static GUEST: Cell<bool> = const { Cell::new(false) };
}

/// Uses the state that this thread was lent; `None` when it was lent none, or when it is in use further up.
pub fn with<R>(f: impl FnOnce(&mut State) -> R) -> Option<R> {
    LOAN.with(|loan| loan.with(f))
}

/// Lends the state to API functions that are called on this thread while `f` runs.
pub fn lend<R>(state: &mut State, f: impl FnOnce() -> R) -> R {
    LOAN.with(|loan| loan.lend(state, f))
}

/// Lends the state to this thread, which is not its owner, until [`end_thread`].
///
/// # Safety
/// No other thread uses the state before [`end_thread`] is called.
pub unsafe fn begin_thread(state: *mut State) {
    GUEST.set(true);
    // SAFETY: as promised by the caller.
    LOAN.with(|loan| unsafe { loan.put(state) });
}

/// Whether this thread was lent a state.
pub fn is_lent() -> bool {
    with(|_| ()).is_some()
}

/// Whether this thread has the state although it is not its owner.
pub fn is_guest() -> bool {
    GUEST.get()
}

/// The end of what [`begin_thread`] began.
pub fn end_thread() {
    GUEST.set(false);
    // SAFETY: nothing is lent from here on.
    LOAN.with(|loan| unsafe { loan.put(std::ptr::null_mut()) });
}

/// The occasion on which a module is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Occasion {
    /// A client's command.
    #[default]
    Command,
    /// The module is being loaded: it may register.
    Load,
    /// A timer, an event, a notification.
    Callback,
    /// A blocked client is to be answered.
    BlockedReply,
    /// A blocked client's time is over.
    BlockedTimeout,
    /// A thread of the module's own.
    Thread,
    /// The module is to tell the keys of a request.
    KeysPosition,
    /// The module is to tell the channels of a request.
    ChannelsPosition,
}

/// A context. Only its first word is known to modules.
#[repr(C)]
#[derive(Debug)]
pub struct Context {
    get_api: unsafe extern "C" fn(*const c_char, *mut Opaque) -> c_int,
    /// The module; none until it has said its name.
    pub module: Option<Arc<Module>>,
    /// The client whose command runs.
    pub client: Option<ClientKey>,
    /// The database, where there is no client.
    pub db: DbId,
    /// The command, where there is one.
    pub command: Option<CommandId>,
    /// Why the module is called.
    pub occasion: Occasion,
    /// Where replies go.
    pub reply: Reply,
    /// Places of lengths that are given later, innermost last.
    pub postponed: Vec<Mark>,
    /// Errors replied.
    pub failed: bool,
    /// Objects that automatic memory frees when the context ends; `None` while automatic memory is off.
    pub auto: Option<Vec<Auto>>,
    /// Small allocations that live as long as this.
    pub pool: Vec<Box<[u64]>>,
    /// Positions that a module told: of keys or channels, with flags.
    pub positions: Vec<(usize, i32)>,
    /// The user that `Call` runs as, when it is asked for.
    pub user: Option<Rc<User>>,
    /// The module's handle of that user.
    pub user_handle: *mut super::users::ModuleUser,
    /// The words of the request, for `ReplicateVerbatim`.
    pub words: Vec<*mut RString>,
    /// Positions of words that are not to be shown.
    pub redacted: Vec<usize>,
    /// The blocked client that this is about.
    pub blocked: Opaque,
    /// Its private data.
    pub private: Opaque,
    /// The key that became ready.
    pub ready_key: *mut RString,
    /// The blocked client is gone.
    pub disconnected: bool,
    /// The name of the running command, once it was asked for.
    pub name: Option<Box<[u8]>>,
    /// When `Yield` lets others be served next, monotonic; none before its first call.
    pub next_yield_ns: Option<u64>,
}

/// Something that automatic memory frees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auto {
    String(*mut RString),
    Key(*mut Key),
    Reply(*mut CallReply),
    Dict(*mut Dict),
    Info(*mut super::info::ServerInfo),
}

impl Context {
    /// A context for a module.
    pub fn new(module: Option<Arc<Module>>, occasion: Occasion) -> Context {
        Context {
            get_api: super::table::get_api,
            module,
            client: None,
            db: DbId(0),
            command: None,
            occasion,
            reply: Reply::discard(),
            postponed: Vec::new(),
            failed: false,
            auto: None,
            pool: Vec::new(),
            positions: Vec::new(),
            user: None,
            user_handle: ptr::null_mut(),
            words: Vec::new(),
            redacted: Vec::new(),
            blocked: ptr::null_mut(),
            private: ptr::null_mut(),
            ready_key: ptr::null_mut(),
            disconnected: false,
            name: None,
            next_yield_ns: None,
        }
    }

    /// The database of this context's client, or its own.
    pub fn database(&self, state: &State) -> DbId {
        let client = self.client.and_then(|client| state.clients.get(client));
        client.map_or(self.db, |client| client.db)
    }

    /// Notes something for automatic memory.
    pub fn keep(&mut self, what: Auto) {
        if let Some(auto) = &mut self.auto {
            auto.push(what);
        }
    }

    /// Whether automatic memory knows of something.
    pub fn keeps(&self, what: Auto) -> bool {
        self.auto.as_ref().is_some_and(|auto| auto.contains(&what))
    }

    /// Something was freed by the module itself, or is to live longer. Whether it was noted.
    pub fn no_longer_keep(&mut self, what: Auto) -> bool {
        let Some(auto) = &mut self.auto else {
            return false;
        };
        let at = auto.iter().rposition(|kept| *kept == what);
        at.map(|at| auto.swap_remove(at)).is_some()
    }

    /// A fresh string that automatic memory knows of.
    pub fn string(&mut self, bytes: &[u8]) -> *mut RString {
        let string = strings::new(bytes);
        self.keep(Auto::String(string));
        string
    }

    /// Frees what automatic memory holds, newest first. The state must be lent.
    pub(super) fn free_auto(&mut self) {
        let Some(mut auto) = self.auto.take() else {
            return;
        };
        while let Some(kept) = auto.pop() {
            // SAFETY: what is noted was made by an API function for this context and not freed since: freeing takes
            // it off the list.
            unsafe {
                match kept {
                    Auto::String(string) => strings::release(string),
                    Auto::Key(key) => super::keys::free(key),
                    Auto::Reply(reply) => super::calls::free(reply),
                    Auto::Dict(dict) => super::dicts::free(dict),
                    Auto::Info(info) => drop(Box::from_raw(info)),
                }
            }
        }
    }
}

/// The context behind a module's pointer; `None` for NULL.
///
/// # Safety
/// The pointer is NULL, or one that this server gave to the module and that is still valid.
pub unsafe fn of<'a>(ctx: Opaque) -> Option<&'a mut Context> {
    // SAFETY: as promised by the caller.
    unsafe { ctx.cast::<Context>().as_mut() }
}

/// Calls a module with a context: the state is lent meanwhile, and what automatic memory holds is freed afterwards.
pub fn enter<R>(state: &mut State, context: &mut Context, f: impl FnOnce(Opaque) -> R) -> R {
    let address: *mut Context = context;
    lend(state, || {
        let result = f(address.cast());
        // SAFETY: the module has returned, so that this is the only pointer to the context in use.
        unsafe { (*address).free_auto() };
        result
    })
}

/// Runs something as a unit of execution of its own, or as a part of the one that runs.
pub fn unit<R>(state: &mut State, f: impl FnOnce(&mut State) -> R) -> R {
    state.effects.enter();
    let result = f(state);
    crate::keyspace::act::expire::reap_expired(state);
    if state.effects.leave() {
        after_unit(state);
    }
    result
}

/// Sets `errno`, through which several API functions say why they failed.
pub fn set_errno(code: c_int) {
    #[cfg(any(target_os = "linux", target_os = "emscripten"))]
    // SAFETY: the address of this thread's `errno` is valid for as long as the thread lives.
    unsafe {
        *libc::__errno_location() = code;
    }
    #[cfg(any(target_os = "macos", target_os = "ios", target_os = "freebsd"))]
    // SAFETY: as above.
    unsafe {
        *libc::__error() = code;
    }
}
