//! The parts of Lua's interface that mlua's safe one lacks, or does not offer as fast as a server needs them.
//!
//! ```text
//!   EVALSHA --> Vm::call ---------> Lua, the script
//!                                    |  redis.call("incr", "x")
//!                              door  v      Args: the words where they lie on Lua's stack
//!                              closure --> the command --> Push: its reply, written to Lua's stack
//!   reply <-- View: the result where it lies on Lua's stack
//! ```
//!
//! mlua hands each value over as a reference that it keeps in a table of its own; such a reference costs
//! more than a small command does, and there can be 8,000 of them at most. So a script is kept in Lua
//! ([`Chunk`]), runs by [`Vm::call`], calls commands through a `door`, and its values are looked at where
//! they are ([`View`]). Functions of the library that could run for ever, or change what is protected, are
//! ours (`library`). All else about Lua is mlua's: the other libraries, hooks, errors, compiling. The
//! interpreter is LuaJIT's; `docs/decisions/interpreter.md` says why, and what is left out of it.
//!
//! Unsafe: the calls go to Lua's own C interface. The rules they keep: Lua leaves C by `longjmp` when it
//! raises an error, so whatever may raise one runs inside `lua_pcall` (or mlua's `exec_raw`), in functions
//! that own nothing; an error is raised on purpose only by the outermost function, after all it owned is
//! dropped; every reference into Lua's memory is bound to the value on the stack that keeps it alive.
//!
//! Mirrors: `luaCallFunction`, `luaRedisGenericCommand` of script_lua.c, which talk to Lua alike.
#![allow(unsafe_code)]

mod door;
mod host;
mod library;
mod pattern;
mod values;
mod vm;

pub use door::{Arg, Args, Failure, Fault, Work, bad_argument, door, worker};
pub use host::Host;
pub use library::library;
pub use values::{Held, Push, Pusher, Seen, TableView, View};
pub use vm::{Chunk, Ended, Vm, Words};

use std::os::raw::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mlua::{Lua, MultiValue, Table, Value, ffi};

type State = *mut ffi::lua_State;

/// mlua names this function, which the interpreter is built without. It is never called.
// SAFETY: no other library that is linked has a function of this name.
#[unsafe(no_mangle)]
extern "C-unwind" fn luaopen_ffi(_: State) -> c_int {
    0
}

/// Runs Rust code that Lua called. A panic must not pass through Lua; its message was printed already.
fn without_panic<R>(f: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|_| std::process::abort())
}

/// A table that lives as long as the interpreter.
#[derive(Clone, Copy, Debug)]
pub struct Rooted(c_int);

impl Rooted {
    /// Has the registry hold a table.
    pub fn new(lua: &Lua, table: &Table) -> mlua::Result<Rooted> {
        let mut place = 0;
        let keep = |state| {
            // SAFETY: the table is on the stack, and `luaL_ref` takes it.
            place = unsafe { ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX) };
        };
        // SAFETY: the closure owns nothing; inside `exec_raw` the stack is its own.
        unsafe { lua.exec_raw::<()>(table, keep)? };
        Ok(Rooted(place))
    }

    fn place(self) -> c_int {
        self.0
    }
}

/// Has chunks that are compiled from now on, and coroutines, read their globals from a table. Not from within a call.
#[doc(alias = "LUA_GLOBALSINDEX")]
pub fn set_environment(lua: &Lua, table: &Table) -> mlua::Result<()> {
    // SAFETY: the table is on the stack, which is that of the main thread, and is taken from there.
    let set = |state| unsafe { ffi::lua_replace(state, ffi::LUA_GLOBALSINDEX) };
    // SAFETY: the closure owns nothing; inside `exec_raw` the stack is its own.
    unsafe { lua.exec_raw::<()>(table, set) }
}

/// The local variables of the function `level` calls above the one that runs, in order of declaration;
/// none when there is no such function.
#[doc(alias = "lua_getlocal")]
pub fn locals(lua: &Lua, level: usize) -> Option<Vec<(Vec<u8>, Value)>> {
    // A function that mlua protects runs one call further down, so levels count from there.
    let level = c_int::try_from(level).ok()?.checked_add(1)?;
    let read = |state| {
        // SAFETY: `state` is the interpreter's, and mlua catches what Lua raises here. The frame is filled
        // in by `lua_getstack` before it is used, names live as long as their function, and each round
        // asks for the room of the two values it pushes.
        unsafe {
            let mut frame: ffi::lua_Debug = std::mem::zeroed();
            if ffi::lua_getstack(state, level, &mut frame) == 0 {
                return;
            }
            ffi::lua_pushboolean(state, 1);
            let mut place = 1;
            while ffi::lua_checkstack(state, 3) != 0 {
                let name = ffi::lua_getlocal(state, &frame, place);
                if name.is_null() {
                    break;
                }
                ffi::lua_pushstring(state, name);
                ffi::lua_insert(state, -2);
                place += 1;
            }
        }
    };
    // SAFETY: the closure keeps to what its own comment says, and leaves only values it pushed.
    let values: MultiValue = unsafe { lua.exec_raw((), read) }.ok()?;
    let mut values = values.into_iter();
    values.next()?;
    let mut found = Vec::new();
    while let (Some(name), Some(value)) = (values.next(), values.next()) {
        let name = name.as_string().map(|name| name.as_bytes().to_vec());
        found.push((name.unwrap_or_default(), value));
    }
    Some(found)
}
