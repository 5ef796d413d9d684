//! Patterns that Lua can match on the stack it has.
//!
//! Lua 5.1 matches by recursion, as deep as the pattern is long, and does not count: a pattern of a
//! hundred thousand `a?` runs through the end of the stack. Here `string.find` and its kin look at the
//! pattern's length first. What takes their place calls the C function it replaces as its own body, so
//! that errors name and place themselves as before.
//!
//! Mirrors: nothing of Redis, which a script can end that way. Lua 5.2 counts (`MAXCCALLS` of lstrlib.c).

use std::os::raw::c_int;

use mlua::{Lua, Table, ffi};

use super::vm::bytes_at;

/// Bytes of a pattern that is matched as one; the deepest recursion takes a few hundred bytes for each.
const PATTERN_MAX: usize = 4096;

const GUARDED: [(&str, ffi::lua_CFunction); 5] = [
    ("find", guarded::<true>),
    ("match", guarded::<false>),
    ("gmatch", guarded::<false>),
    ("gfind", guarded::<false>),
    ("gsub", guarded::<false>),
];

/// Puts the limit on the functions of the `string` library that take a pattern.
pub fn limit_patterns(lua: &Lua, string: &Table) -> mlua::Result<()> {
    for (name, guard) in GUARDED {
        let original: mlua::Value = string.raw_get(name)?;
        let wrap = |state| {
            // SAFETY: the original is on the stack and becomes the upvalue of its guard.
            unsafe { ffi::lua_pushcclosure(state, guard, 1) };
        };
        if original.is_function() {
            // SAFETY: the closure owns nothing; the one value it leaves is the result.
            let guard: mlua::Function = unsafe { lua.exec_raw(original, wrap)? };
            string.raw_set(name, guard)?;
        }
    }
    Ok(())
}

unsafe extern "C-unwind" fn guarded<const FIND: bool>(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: Lua calls this with the arguments on the stack. The upvalue is a C function of the string
    // library, which has no upvalues of its own and reads the same arguments. Nothing here is owned.
    unsafe {
        if ffi::lua_objlen(state, 2) > PATTERN_MAX
            && let Some(pattern) = bytes_at(state, 2)
            && pattern.iter().any(|b| b"^$*+?.([%-".contains(b))
            && !(FIND && ffi::lua_toboolean(state, 4) != 0)
        {
            return ffi::luaL_error(state, c"pattern too complex".as_ptr());
        }
        match ffi::lua_tocfunction(state, ffi::lua_upvalueindex(1)) {
            Some(original) => original(state),
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use mlua::Lua;

    #[test]
    fn long_patterns_are_refused_and_all_else_is_as_it_was() {
        let lua = Lua::new();
        let string = lua.globals().get("string").expect("the library");
        super::limit_patterns(&lua, &string).expect("memory");
        let run = |code: &str| {
            lua.load(code)
                .set_name("@x")
                .eval::<String>()
                .unwrap_or_else(|error| error.to_string())
        };
        let refused = run("return ('a'):rep(9999):find(('a?'):rep(9999))");
        assert!(refused.contains("x:1: pattern too complex"), "{refused}");
        assert!(run("return ('x'):gsub(('(a'):rep(9999), '')").contains("too complex"));
        assert!(run("return ('x'):match(1, 2, 3) or 'none'").contains("none"));
        assert_eq!(
            run("return ('-a?'):rep(5000):find(('-a?'):rep(5000), 1, true)"),
            "1"
        );
        assert_eq!(run("return ('a'):rep(5000):find(('a'):rep(5000))"), "1");
        assert_eq!(
            run("local s = '' for w in ('a b'):gmatch('%a') do s = w .. s end return s"),
            "ba"
        );
        assert!(run("return string.find()").contains("bad argument #1 to 'find'"));
    }
}
