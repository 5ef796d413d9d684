//! What mlua's safe interface does not offer: the local variables of a running Lua function.
//!
//! Unsafe: the calls go to Lua's own C interface, on the stack of an interpreter that mlua protects for
//! the time (`Lua::exec_raw`); nothing is kept beyond it.
#![allow(unsafe_code)]

use std::os::raw::c_int;

use mlua::{Lua, MultiValue, Value, ffi};

/// The local variables of the function `level` calls above the one that runs, in order of declaration;
/// none when there is no such function.
#[doc(alias = "lua_getlocal")]
pub fn locals(lua: &Lua, level: usize) -> Option<Vec<(Vec<u8>, Value)>> {
    // What mlua protects runs one call further down.
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
