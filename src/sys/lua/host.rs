//! The questions Lua's functions ask of the server: whether the script must end, whether there is stack left.
//!
//! Mirrors: `luaMaskCountHook()` of script_lua.c. Differs: functions of the library ask as well, so that a pattern
//! that backtracks for hours can be killed.

use std::cell::{Cell, RefCell};
use std::os::raw::c_int;
use std::rc::Rc;
use std::{fmt, ptr};

use mlua::{Lua, Table, ffi};

use super::State;

/// Bytes of C's stack that a script may take by calls from C to Lua to C: a function that `gsub` calls and
/// that calls `gsub`, a coroutine that resumes a coroutine. The smallest stack a server runs on has 2 MiB.
const STACK_MAX: usize = 512 * 1024;
/// Room that is kept from one use to the next, in bytes at most.
const SPARE_MAX: usize = 64 * 1024;
/// The longest string that a function of ours makes.
pub(super) const STRING_MAX: usize = 1 << 30;

/// The address of this in a metatable says that its table cannot be changed.
static PROTECTED: u8 = 0;

/// State that all functions of one interpreter share.
pub struct Host {
    /// Where C's stack was when the interpreter was entered; 0 while it is not.
    base: Cell<usize>,
    /// Asked now and then: the words of the script's end, if it must come to one.
    poll: Box<dyn Fn() -> Option<String>>,
    /// Where the registry has the table whose field `why` says that the script was killed.
    killed: Cell<c_int>,
    /// Where the registry has [`push_reason`].
    reason: Cell<c_int>,
    /// The words of the script's end, between the loop that learns of it and the error it raises.
    end: RefCell<Option<String>>,
    /// Room for a string that is being made.
    spare: RefCell<Vec<u8>>,
    /// Texts of functions of ours that are calling a script's function just now, the innermost last.
    parked: RefCell<Vec<Parked>>,
}

/// A text that nobody owns while its maker may be left by `longjmp`.
struct Parked {
    /// Where the maker's frame is on C's stack, which grows downwards.
    frame: usize,
    text: Vec<u8>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

impl Host {
    /// `killed` is the table in which the reason of a script's end is put, as `why`.
    pub fn new(
        lua: &Lua,
        killed: &Table,
        poll: impl Fn() -> Option<String> + 'static,
    ) -> mlua::Result<Rc<Host>> {
        let host = Host {
            base: Cell::new(0),
            poll: Box::new(poll),
            killed: Cell::new(0),
            reason: Cell::new(0),
            end: RefCell::default(),
            spare: RefCell::default(),
            parked: RefCell::default(),
        };
        let keep = |state| {
            // SAFETY: the table is on the stack, and each `luaL_ref` takes one value.
            unsafe {
                host.killed
                    .set(ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX));
                ffi::lua_pushcclosure(state, push_reason, 0);
                host.reason
                    .set(ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX));
            }
        };
        // SAFETY: the closure owns nothing; inside `exec_raw` the stack is its own.
        unsafe { lua.exec_raw::<()>(killed, keep)? };
        Ok(Rc::new(host))
    }

    /// A key that marks the metatables of tables that cannot be changed.
    pub fn protected() -> mlua::Value {
        let address = ptr::from_ref(&PROTECTED).cast_mut();
        mlua::Value::LightUserData(mlua::LightUserData(address.cast()))
    }

    /// The words of the script's end, if it must come to one. For loops of ours, now and then.
    pub fn poll(&self) -> Option<String> {
        (self.poll)()
    }

    /// The same as an answer; the words are kept for [`Host::take_end`].
    pub(super) fn must_end(&self) -> bool {
        let end = self.poll();
        let must = end.is_some();
        if must {
            self.end.replace(end);
        }
        must
    }

    /// The words that [`Host::must_end`] kept.
    pub(super) fn take_end(&self) -> String {
        self.end.take().unwrap_or_default()
    }

    /// Runs `f`, in which the interpreter is called, with C's stack measured from here.
    pub fn entered<R>(&self, f: impl FnOnce() -> R) -> R {
        let here = 0_u8;
        let before = self.base.get();
        if before == 0 {
            self.base.set(ptr::from_ref(&here).addr());
        }
        let result = f();
        self.base.set(before);
        if before == 0 {
            self.parked.borrow_mut().clear();
        }
        result
    }

    /// Whether C's stack is deeper than it may be.
    pub(super) fn is_deep(&self) -> bool {
        let here = 0_u8;
        let base = self.base.get();
        base != 0 && ptr::from_ref(&here).addr().abs_diff(base) > STACK_MAX
    }

    /// Room for a string; to be given back, by [`Pusher::spare`](super::Pusher::spare) or [`Host::give_spare`].
    pub fn take_spare(&self) -> Vec<u8> {
        let mut spare = self.spare.take();
        spare.clear();
        spare
    }

    /// Takes the room back and pushes what is in it. When Lua has no memory for it nothing is lost.
    ///
    /// SAFETY, for those who call it: there is room on the stack, and they own nothing.
    pub(super) unsafe fn push_spare(&self, state: State, spare: Vec<u8>) {
        let (start, len) = (spare.as_ptr(), spare.len());
        self.spare.replace(spare);
        // SAFETY: the bytes stay where they are: nobody takes the room while Lua copies them.
        unsafe { ffi::lua_pushlstring(state, start.cast(), len) };
        self.trim_spare();
    }

    /// Takes room back that is not needed any more.
    pub fn give_spare(&self, spare: Vec<u8>) {
        self.spare.replace(spare);
        self.trim_spare();
    }

    /// Keeps a text while a script's function runs, which may raise an error. Texts of frames that are no more, as an
    /// error ended them, are dropped here: those that are as deep as this one or deeper.
    pub(super) fn park(&self, frame: usize, text: Vec<u8>) {
        let mut parked = self.parked.borrow_mut();
        while parked.last().is_some_and(|last| last.frame <= frame) {
            parked.pop();
        }
        parked.push(Parked { frame, text });
    }

    /// The text that this frame parked, once the function has returned.
    pub(super) fn unpark(&self, frame: usize) -> Vec<u8> {
        let mut parked = self.parked.borrow_mut();
        while parked.last().is_some_and(|last| last.frame < frame) {
            parked.pop();
        }
        let own = parked.pop().filter(|last| last.frame == frame);
        own.expect("a frame that is alive parked it").text
    }

    #[inline]
    fn trim_spare(&self) {
        let mut spare = self.spare.borrow_mut();
        if spare.capacity() > SPARE_MAX {
            *spare = Vec::new();
        }
    }

    /// Pushes the error of a script that was killed, and notes it where those who catch errors look.
    ///
    /// SAFETY, for callers: there must be room on the stack. This function raises no error itself.
    pub(super) unsafe fn push_kill(&self, state: State, text: &str) {
        // SAFETY: `push_reason` is called protected, with the address of what is held here meanwhile.
        unsafe {
            let job = (self.killed.get(), text);
            let address: *const (c_int, &str) = &job;
            ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, self.reason.get().into());
            ffi::lua_pushlightuserdata(state, address.cast_mut().cast());
            ffi::lua_pcall(state, 1, 1, 0);
        }
    }
}

unsafe extern "C-unwind" fn push_reason(state: State) -> c_int {
    // SAFETY: called by `push_kill` alone. The table of the registry lives as long as the interpreter.
    unsafe {
        let (killed, text) = *ffi::lua_touserdata(state, 1).cast::<(c_int, &str)>();
        ffi::lua_createtable(state, 0, 1);
        ffi::lua_pushlstring(state, text.as_ptr().cast(), text.len());
        ffi::lua_setfield(state, -2, c"err".as_ptr());
        ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, killed.into());
        ffi::lua_pushvalue(state, -2);
        ffi::lua_setfield(state, -2, c"why".as_ptr());
        ffi::lua_settop(state, -2);
    }
    1
}

/// Whether the table at a place says that it cannot be changed.
///
/// SAFETY, for those who call it: a table is there, and there is room for two values.
pub(super) unsafe fn is_protected(state: State, index: c_int) -> bool {
    // SAFETY: the pushes allocate nothing, and what is pushed is taken off again.
    unsafe {
        if ffi::lua_getmetatable(state, index) == 0 {
            return false;
        }
        ffi::lua_pushlightuserdata(state, ptr::from_ref(&PROTECTED).cast_mut().cast());
        ffi::lua_rawget(state, -2);
        let protected = ffi::lua_toboolean(state, -1) != 0;
        ffi::lua_settop(state, -3);
        protected
    }
}
