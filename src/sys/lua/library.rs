//! Functions of Lua's library that take the place of LuaJIT's own.
//!
//! | functions | because |
//! |---|---|
//! | `find`, `match`, `gmatch`, `gsub` | a pattern may take for ever: these ask whether to go on |
//! | `gsub`, `sort` | they call back: C's stack is measured |
//! | `insert`, `remove`, `sort`, `rawset` | a protected table stays as it is; a loop over 2^31 places can be ended |
//! | `rawget`, `next` | a protected table shows the real one's fields |
//! | `tohex` | no more than eight digits, as in Redis |
//! | `loadstring` | text only: the loader of compiled chunks trusts what it reads |
//!
//! Each is a C function whose first upvalue is the address of the [`Host`], the second LuaJIT's own function of the table
//! library, if it has one of that name in C. A function owns nothing at a moment when Lua may
//! raise an error; `gsub` leaves its text with the host while it calls back.
//!
//! Mirrors: lstrlib.c, ltablib.c and lbaselib.c of Lua 5.1, as the reference manual describes them.

use std::mem::ManuallyDrop;
use std::os::raw::c_int;
use std::rc::Rc;

use mlua::{Lua, Table, ffi};

use super::host::{STRING_MAX, is_protected};
use super::pattern::{Captured, Fault, Matcher, is_special};
use super::values::bytes_at;
use super::{Host, State, without_panic};
use crate::sys::bytes;

/// Moved elements between two questions whether to go on; a power of two.
const PERIOD: i64 = 1 << 16;

const FUNCTIONS: [(&str, ffi::lua_CFunction); 13] = [
    ("find", find),
    ("match", first_match),
    ("gmatch", gmatch),
    ("gsub", gsub),
    ("insert", insert),
    ("remove", remove),
    ("sort", sort),
    ("rawget", rawget),
    ("rawset", rawset),
    ("next", next),
    ("loadstring", loadstring),
    ("tohex", tohex),
    // Raises when C's stack is deep.
    ("check_stack", check_stack),
];

/// A table of the functions. The host lives as long as the interpreter from now on.
pub fn library(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let address: *const Host = Rc::as_ptr(host);
    lua.set_app_data(host.clone());
    let library = lua.create_table()?;
    for (name, function) in FUNCTIONS {
        let make = |state| {
            // SAFETY: two values are pushed and become upvalues of the one that is left.
            unsafe {
                ffi::lua_pushlightuserdata(state, address.cast_mut().cast());
                ffi::lua_getglobal(state, c"table".as_ptr());
                ffi::lua_pushlstring(state, name.as_ptr().cast(), name.len());
                ffi::lua_rawget(state, -2);
                ffi::lua_remove(state, -2);
                ffi::lua_pushcclosure(state, function, 2);
            }
        };
        // SAFETY: the closure owns nothing.
        let function: mlua::Function = unsafe { lua.exec_raw((), make)? };
        library.raw_set(name, function)?;
    }
    Ok(library)
}

/// The host of the function that runs.
///
/// SAFETY, for those who call it: the function was made by [`library`].
unsafe fn host<'a>(state: State) -> &'a Host {
    // SAFETY: the interpreter's data holds the host for as long as there are functions.
    unsafe { &*ffi::lua_touserdata(state, ffi::lua_upvalueindex(1)).cast::<Host>() }
}

/// Raises the error of a script that must end.
unsafe fn stop(state: State, host: &Host, text: String) -> c_int {
    // SAFETY: what is owned is dropped before the error is raised.
    unsafe {
        host.push_kill(state, &text);
        drop(text);
        ffi::lua_error(state)
    }
}

/// Ends a script that was killed.
unsafe fn poll(state: State) {
    // SAFETY: nothing is owned when an error is raised.
    unsafe {
        let host = host(state);
        if let Some(text) = without_panic(|| host.poll()) {
            stop(state, host, text);
        }
    }
}

unsafe extern "C-unwind" fn check_stack(state: State) -> c_int {
    // SAFETY: nothing is owned.
    unsafe {
        if host(state).is_deep() {
            return ffi::luaL_error(state, c"C stack overflow".as_ptr());
        }
    }
    0
}

/// Raises an error unless there is a table at 1 that may be changed.
unsafe fn check_changeable(state: State) {
    // SAFETY: nothing is owned, and a C function has room for 20 values.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        if is_protected(state, 1) {
            ffi::lua_pushstring(state, c"Attempt to modify a readonly table".as_ptr());
            ffi::lua_error(state);
        }
    }
}

/// Raises an error unless there are so many arguments, and takes off those that are too many.
#[inline]
unsafe fn exactly(state: State, count: c_int) {
    // SAFETY: nothing is owned.
    unsafe {
        if ffi::lua_gettop(state) == count {
            return;
        }
        (1..=count).for_each(|i| ffi::luaL_checkany(state, i));
        ffi::lua_settop(state, count);
    }
}

/// Puts the real table in the place of a protected one, which has it in its metatable as `__index`; whether it did.
#[inline]
unsafe fn look_behind(state: State) -> bool {
    // SAFETY: nothing is owned; a table is at 1.
    unsafe {
        let protected =
            is_protected(state, 1) && ffi::luaL_getmetafield(state, 1, c"__index".as_ptr()) != 0;
        if protected {
            ffi::lua_replace(state, 1);
        }
        protected
    }
}

/// `rawget(t, k)`; of a protected table it reads the real one.
unsafe extern "C-unwind" fn rawget(state: State) -> c_int {
    // SAFETY: nothing is owned.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        exactly(state, 2);
        look_behind(state);
        ffi::lua_rawget(state, 1);
    }
    1
}

/// `rawset(t, k, v)`
unsafe extern "C-unwind" fn rawset(state: State) -> c_int {
    // SAFETY: nothing is owned.
    unsafe {
        check_changeable(state);
        exactly(state, 3);
        ffi::lua_rawset(state, 1);
    }
    1
}

/// `next(t [, k])`; of a protected table it shows the real one, without the names that only the parser knows.
unsafe extern "C-unwind" fn next(state: State) -> c_int {
    // SAFETY: nothing is owned. A key and a value take the place of the key before.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        match ffi::lua_gettop(state) {
            1 => ffi::lua_pushnil(state),
            2 => {}
            _ => ffi::lua_settop(state, 2),
        }
        let protected = look_behind(state);
        while ffi::lua_next(state, 1) != 0 {
            let hidden =
                protected && bytes_at(state, 2).is_some_and(|key| key.starts_with(b"\x01"));
            if !hidden {
                return 2;
            }
            ffi::lua_settop(state, 2);
        }
        ffi::lua_pushnil(state);
    }
    1
}

/// `table.insert(t, [at,] value)`. LuaJIT's own does it where few elements move.
unsafe extern "C-unwind" fn insert(state: State) -> c_int {
    // SAFETY: nothing is owned. LuaJIT's own function has no upvalues: it needs this frame with its arguments alone.
    unsafe {
        check_changeable(state);
        let end = ffi::lua_objlen(state, 1) as i64 + 1;
        let is_short =
            end <= PERIOD && (ffi::lua_gettop(state) == 2 || ffi::lua_tointeger(state, 2) >= 1);
        if is_short && let Some(own) = ffi::lua_tocfunction(state, ffi::lua_upvalueindex(2)) {
            return own(state);
        }
        let at = match ffi::lua_gettop(state) {
            2 => end,
            3 => {
                let at = i64::from(ffi::luaL_checkinteger(state, 2) as i32);
                for i in (at + 1..=end.max(at)).rev() {
                    ffi::lua_rawgeti(state, 1, i - 1);
                    ffi::lua_rawseti(state, 1, i);
                    if i % PERIOD == 0 {
                        poll(state);
                    }
                }
                at
            }
            _ => {
                let words = c"wrong number of arguments to 'insert'";
                return ffi::luaL_error(state, words.as_ptr());
            }
        };
        ffi::lua_rawseti(state, 1, at);
    }
    0
}

/// `table.remove(t [, at])`.
unsafe extern "C-unwind" fn remove(state: State) -> c_int {
    // SAFETY: nothing is owned.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        let end = ffi::lua_objlen(state, 1) as i64;
        let at = match ffi::lua_type(state, 2) {
            ffi::LUA_TNONE | ffi::LUA_TNIL => end,
            _ => i64::from(ffi::luaL_checkinteger(state, 2) as i32),
        };
        if at < 1 || at > end {
            return 0;
        }
        check_changeable(state);
        ffi::lua_rawgeti(state, 1, at);
        for i in at..end {
            ffi::lua_rawgeti(state, 1, i + 1);
            ffi::lua_rawseti(state, 1, i);
            if i % PERIOD == 0 {
                poll(state);
            }
        }
        ffi::lua_pushnil(state);
        ffi::lua_rawseti(state, 1, end);
    }
    1
}

/// `table.sort(t [, less])`. Not stable; O(n log n), and O(n²) for a table made to that end.
unsafe extern "C-unwind" fn sort(state: State) -> c_int {
    // SAFETY: nothing is owned. The stack: the table, the order, then what `sort_range` pushes.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        check_stack(state);
        let len = ffi::lua_objlen(state, 1) as i64;
        if ffi::lua_type(state, 2) > ffi::LUA_TNIL {
            ffi::luaL_checktype(state, 2, ffi::LUA_TFUNCTION);
        }
        if len > 1 {
            check_changeable(state);
        }
        ffi::lua_settop(state, 2);
        ffi::luaL_checkstack(state, 200, c"array too big".as_ptr());
        if ffi::lua_type(state, 2) == ffi::LUA_TNIL
            && (2..=PERIOD).contains(&len)
            && without_panic(|| sort_plain(state, len as c_int))
        {
            return 0;
        }
        let mut steps = 0;
        sort_range(state, 1, len, &mut steps);
    }
    0
}

/// Sorts a table of numbers alone or of strings alone by what they are; whether it is one. At most [`PERIOD`]
/// elements, as nobody asks meanwhile whether to go on.
unsafe fn sort_plain(state: State, len: c_int) -> bool {
    // SAFETY: there is room for the values that are pushed. No function here raises an error: strings are looked at
    // where they lie, and only places of the table that have a value get one. While the strings are moved each is
    // in the table or on the stack.
    unsafe {
        ffi::lua_rawgeti(state, 1, 1);
        let kind = ffi::lua_type(state, -1);
        ffi::lua_settop(state, 2);
        match kind {
            ffi::LUA_TNUMBER => {
                let mut numbers = Vec::with_capacity(len as usize);
                for i in 1..=len {
                    ffi::lua_rawgeti(state, 1, i.into());
                    let is_number = ffi::lua_type(state, -1) == ffi::LUA_TNUMBER;
                    let number = ffi::lua_tonumber(state, -1);
                    ffi::lua_settop(state, 2);
                    if !is_number || number.is_nan() {
                        return false;
                    }
                    numbers.push(number);
                }
                numbers.sort_unstable_by(f64::total_cmp);
                for (i, number) in (1..).zip(numbers) {
                    ffi::lua_pushnumber(state, number);
                    ffi::lua_rawseti(state, 1, i);
                }
            }
            ffi::LUA_TSTRING => {
                let mut order = Vec::with_capacity(len as usize);
                for i in 1..=len {
                    ffi::lua_rawgeti(state, 1, i.into());
                    let bytes = bytes_at(state, -1);
                    ffi::lua_settop(state, 2);
                    let Some(bytes) = bytes else { return false };
                    order.push((bytes, i));
                }
                order.sort_unstable();
                let mut from: Vec<c_int> = order.into_iter().map(|(_, i)| i).collect();
                for first in 1..=len {
                    if from[first as usize - 1] != first {
                        move_round(state, first, &mut from);
                    }
                }
            }
            _ => return false,
        }
    }
    true
}

/// Gives the element at `first` the value it is to have, the place of that one its own, and so on round, until all
/// of the round have theirs: `from` says where the value of each comes from, and then that it is there.
///
/// SAFETY, for those who call it: as in [`sort_plain`].
unsafe fn move_round(state: State, first: c_int, from: &mut [c_int]) {
    // SAFETY: two values are pushed and taken.
    unsafe {
        ffi::lua_rawgeti(state, 1, first.into());
        let mut to = first;
        loop {
            let source = std::mem::replace(&mut from[to as usize - 1], to);
            if source == first {
                ffi::lua_rawseti(state, 1, to.into());
                return;
            }
            ffi::lua_rawgeti(state, 1, source.into());
            ffi::lua_rawseti(state, 1, to.into());
            to = source;
        }
    }
}

/// Sorts a range by quicksort, around the median of three; pushes nothing that it leaves.
unsafe fn sort_range(state: State, mut low: i64, mut high: i64, steps: &mut i64) {
    // SAFETY: nothing is owned. The recursion takes the smaller half, so that it is at most 31 deep with two
    // values each.
    unsafe {
        while low < high {
            sort_pair(state, low, high, steps);
            if high - low == 1 {
                return;
            }
            let middle = low + (high - low) / 2;
            sort_pair(state, low, middle, steps);
            sort_pair(state, middle, high, steps);
            if high - low == 2 {
                return;
            }
            // The pivot stays on the stack; its place gets the last but one, which is looked at no more.
            ffi::lua_rawgeti(state, 1, middle);
            ffi::lua_pushvalue(state, -1);
            ffi::lua_rawgeti(state, 1, high - 1);
            ffi::lua_rawseti(state, 1, middle);
            ffi::lua_rawseti(state, 1, high - 1);
            let (mut up, mut down) = (low, high - 1);
            loop {
                up += 1;
                while beside_pivot(state, up, false, steps) {
                    if up >= high {
                        ffi::luaL_error(state, INVALID_ORDER.as_ptr());
                    }
                    up += 1;
                }
                down -= 1;
                while beside_pivot(state, down, true, steps) {
                    if down <= low {
                        ffi::luaL_error(state, INVALID_ORDER.as_ptr());
                    }
                    down -= 1;
                }
                if down < up {
                    break;
                }
                swap(state, up, down);
            }
            ffi::lua_settop(state, -2);
            swap(state, high - 1, up);
            if up - low < high - up {
                sort_range(state, low, up - 1, steps);
                low = up + 1;
            } else {
                sort_range(state, up + 1, high, steps);
                high = up - 1;
            }
        }
    }
}

const INVALID_ORDER: &std::ffi::CStr = c"invalid order function for sorting";

unsafe fn swap(state: State, i: i64, j: i64) {
    // SAFETY: two values are pushed and taken.
    unsafe {
        ffi::lua_rawgeti(state, 1, i);
        ffi::lua_rawgeti(state, 1, j);
        ffi::lua_rawseti(state, 1, i);
        ffi::lua_rawseti(state, 1, j);
    }
}

/// Has the lesser of two elements be the first.
unsafe fn sort_pair(state: State, i: i64, j: i64, steps: &mut i64) {
    // SAFETY: two values are pushed and taken.
    unsafe {
        ffi::lua_rawgeti(state, 1, i);
        ffi::lua_rawgeti(state, 1, j);
        let swaps = match begin_compare(state, steps) {
            false => ffi::lua_lessthan(state, -1, -2) != 0,
            true => {
                ffi::lua_pushvalue(state, -2);
                ffi::lua_pushvalue(state, -4);
                end_compare(state)
            }
        };
        if swaps {
            ffi::lua_rawseti(state, 1, i);
            ffi::lua_rawseti(state, 1, j);
        } else {
            ffi::lua_settop(state, -3);
        }
    }
}

/// Whether an element comes before the pivot, which is on top, or the pivot before it.
unsafe fn beside_pivot(state: State, i: i64, pivot_first: bool, steps: &mut i64) -> bool {
    // SAFETY: what is pushed is taken.
    unsafe {
        if begin_compare(state, steps) {
            if pivot_first {
                ffi::lua_pushvalue(state, -2);
                ffi::lua_rawgeti(state, 1, i);
            } else {
                ffi::lua_rawgeti(state, 1, i);
                ffi::lua_pushvalue(state, -3);
            }
            return end_compare(state);
        }
        ffi::lua_rawgeti(state, 1, i);
        let beside = match pivot_first {
            true => ffi::lua_lessthan(state, -2, -1),
            false => ffi::lua_lessthan(state, -1, -2),
        };
        ffi::lua_settop(state, -2);
        beside != 0
    }
}

/// Counts a comparison. Pushes the script's own order, if there is one; whether there is.
unsafe fn begin_compare(state: State, steps: &mut i64) -> bool {
    // SAFETY: a value is pushed.
    unsafe {
        *steps += 1;
        if *steps % PERIOD == 0 {
            poll(state);
        }
        let own = ffi::lua_type(state, 2) != ffi::LUA_TNIL;
        if own {
            ffi::lua_pushvalue(state, 2);
        }
        own
    }
}

/// Asks the script's own order, which was pushed before the two values on top, whether the first comes before the
/// second, and takes all three.
unsafe fn end_compare(state: State) -> bool {
    // SAFETY: the call takes what was pushed for it, and its result is taken here.
    unsafe {
        ffi::lua_call(state, 2, 1);
        let less = ffi::lua_toboolean(state, -1) != 0;
        ffi::lua_settop(state, -2);
        less
    }
}

/// `loadstring(text [, name])`.
unsafe extern "C-unwind" fn loadstring(state: State) -> c_int {
    // SAFETY: nothing is owned; the text and the name stay on the stack.
    unsafe {
        let mut len = 0;
        let text = ffi::luaL_checklstring(state, 1, &mut len);
        let name = match ffi::lua_type(state, 2) {
            ffi::LUA_TNONE | ffi::LUA_TNIL => text,
            _ => ffi::luaL_checklstring(state, 2, std::ptr::null_mut()),
        };
        if ffi::luaL_loadbufferx(state, text, len, name, c"t".as_ptr()) == ffi::LUA_OK {
            return 1;
        }
        ffi::lua_pushnil(state);
        ffi::lua_insert(state, -2);
    }
    2
}

/// `bit.tohex(x [, n])`: the lowest `n` of eight hexadecimal digits, in capitals when `n` is negative.
unsafe extern "C-unwind" fn tohex(state: State) -> c_int {
    // Adding 2^52 + 2^51 leaves the rounded integer in the low bits of the mantissa.
    let bits = |n: f64| (n + 6_755_399_441_055_744.0).to_bits() as i32;
    // SAFETY: nothing is owned.
    unsafe {
        let x = bits(ffi::luaL_checknumber(state, 1));
        let digits = match ffi::lua_type(state, 2) {
            ffi::LUA_TNONE | ffi::LUA_TNIL => 8,
            _ => bits(ffi::luaL_checknumber(state, 2)),
        };
        let alphabet = match digits < 0 {
            true => b"0123456789ABCDEF",
            false => b"0123456789abcdef",
        };
        let text: [u8; 8] =
            std::array::from_fn(|i| alphabet[(x as u32 >> (28 - 4 * i)) as usize & 15]);
        let text = &text[8 - digits.unsigned_abs().min(8) as usize..];
        ffi::lua_pushlstring(state, text.as_ptr().cast(), text.len());
    }
    1
}

/// The string at a place; raises an error unless there is one, or a number.
unsafe fn check_bytes<'a>(state: State, index: c_int) -> &'a [u8] {
    // SAFETY: afterwards there is a string, which stays on the stack.
    unsafe {
        let mut len = 0;
        let start = ffi::luaL_checklstring(state, index, &mut len);
        std::slice::from_raw_parts(start.cast(), len)
    }
}

unsafe fn raise(state: State, host: &Host, fault: Fault) -> c_int {
    // SAFETY: nothing is owned.
    unsafe {
        match fault {
            // The words are no format: some of them have a `%`.
            Fault::Pattern(words) => ffi::luaL_error(state, c"%s".as_ptr(), words.as_ptr()),
            Fault::Stopped => {
                let text = host.take_end();
                stop(state, host, text)
            }
        }
    }
}

/// Captures for which a C function has room on the stack anyway, besides its arguments and two results.
const CAPTURES_WITH_ROOM: usize = 12;

/// Pushes what a match captured; the match as a whole when `whole` and there are no captures.
unsafe fn push_captures(
    state: State,
    matcher: &Matcher<'_>,
    text: &[u8],
    (start, end): (usize, usize),
    whole: bool,
) -> Result<c_int, Fault> {
    let count = match matcher.captures() {
        0 if whole => 1,
        count => count,
    };
    if count > CAPTURES_WITH_ROOM {
        // SAFETY: raises where the stack is full; nobody owns anything.
        unsafe { ffi::luaL_checkstack(state, 34, c"too many captures".as_ptr()) };
    }
    for i in 0..count {
        // SAFETY: there is room, by what was just asked or because a C function has that much.
        unsafe { push_capture(state, text, matcher.capture(i, start, end)?) };
    }
    Ok(count as c_int)
}

unsafe fn push_capture(state: State, text: &[u8], captured: Captured) {
    // SAFETY: there is room, and nothing is owned.
    unsafe {
        match captured {
            Captured::Text(from, to) => {
                let part = &text[from..to];
                ffi::lua_pushlstring(state, part.as_ptr().cast(), part.len());
            }
            Captured::Position(at) => ffi::lua_pushnumber(state, at as f64),
        }
    }
}

unsafe extern "C-unwind" fn find(state: State) -> c_int {
    // SAFETY: as of `search`.
    unsafe { search(state, true) }
}

unsafe extern "C-unwind" fn first_match(state: State) -> c_int {
    // SAFETY: as of `search`.
    unsafe { search(state, false) }
}

/// `string.find(s, pattern [, init [, plain]])` and `string.match(s, pattern [, init])`.
#[doc(alias = "str_find_aux")]
unsafe fn search(state: State, finds: bool) -> c_int {
    // SAFETY: the strings stay on the stack.
    unsafe {
        let text = check_bytes(state, 1);
        let pattern = check_bytes(state, 2);
        let given = ffi::lua_gettop(state);
        let init = match given {
            ..=2 => 1,
            _ => ffi::luaL_optinteger(state, 3, 1),
        };
        let len = text.len();
        let init = match init {
            1.. => (init as usize - 1).min(len),
            0 => 0,
            _ => len.saturating_sub(init.unsigned_abs() as usize),
        };
        let plain = given > 3 && ffi::lua_toboolean(state, 4) != 0;
        if finds && (plain || !is_special(pattern)) {
            return match bytes::position(&text[init..], pattern) {
                Some(at) => {
                    ffi::lua_pushnumber(state, (init + at + 1) as f64);
                    ffi::lua_pushnumber(state, (init + at + pattern.len()) as f64);
                    2
                }
                None => {
                    ffi::lua_pushnil(state);
                    1
                }
            };
        }
        match_pattern(state, (text, pattern), init, finds)
    }
}

/// Searches for a pattern from a place on, and pushes what `find` or `match` returns.
#[inline(never)]
unsafe fn match_pattern(
    state: State,
    (text, pattern): (&[u8], &[u8]),
    init: usize,
    finds: bool,
) -> c_int {
    // SAFETY: the strings stay on the stack. The matcher owns nothing.
    unsafe {
        let host = host(state);
        let stop = || host.must_end();
        let anchored = pattern.first() == Some(&b'^');
        let mut matcher = Matcher::new(text, pattern, &stop);
        let mut start = init;
        while start <= text.len() {
            if !anchored {
                match matcher.candidate(start) {
                    Some(at) => start = at,
                    None => break,
                }
            }
            match matcher.at(start, anchored.into()) {
                Err(fault) => return raise(state, host, fault),
                Ok(Some(end)) => {
                    let mut count = 0;
                    if finds {
                        ffi::lua_pushnumber(state, (start + 1) as f64);
                        ffi::lua_pushnumber(state, end as f64);
                        count = 2;
                    }
                    return match push_captures(state, &matcher, text, (start, end), !finds) {
                        Ok(captures) => count + captures,
                        Err(fault) => raise(state, host, fault),
                    };
                }
                Ok(None) if anchored => break,
                Ok(None) => start += 1,
            }
        }
        ffi::lua_pushnil(state);
    }
    1
}

/// The state of an iterator of `gmatch`: a userdata of Lua's, which has no finaliser.
///
/// Lua does not move strings. The iterator holds the two it looks at, as its second and third upvalue.
struct Iteration {
    host: *const Host,
    text: *const [u8],
    pattern: *const [u8],
    /// Where the next match may begin; behind the end when there is none.
    from: usize,
}

/// `string.gmatch(s, pattern)`.
unsafe extern "C-unwind" fn gmatch(state: State) -> c_int {
    // SAFETY: the iterator's upvalues are its state and the two strings. Lua aligns userdata for a double.
    unsafe {
        let iteration = Iteration {
            host: host(state),
            text: check_bytes(state, 1),
            pattern: check_bytes(state, 2),
            from: 0,
        };
        ffi::lua_settop(state, 2);
        let place = ffi::lua_newuserdata(state, size_of::<Iteration>());
        place.cast::<Iteration>().write(iteration);
        ffi::lua_insert(state, 1);
        ffi::lua_pushcclosure(state, gmatch_next, 3);
    }
    1
}

unsafe extern "C-unwind" fn gmatch_next(state: State) -> c_int {
    // SAFETY: the upvalues are those that `gmatch` gave it, and scripts cannot reach them. The strings are alive, and
    // nobody else uses the state until this returns: a match calls no code of a script.
    unsafe {
        let iteration = ffi::lua_touserdata(state, ffi::lua_upvalueindex(1));
        let iteration = &mut *iteration.cast::<Iteration>();
        let (host, text) = (&*iteration.host, &*iteration.text);
        let stop = || host.must_end();
        let mut matcher = Matcher::new(text, &*iteration.pattern, &stop);
        let mut start = iteration.from;
        while let Some(at) = matcher.candidate(start) {
            match matcher.at(at, 0) {
                Err(fault) => return raise(state, host, fault),
                Ok(Some(end)) => {
                    iteration.from = if end == at { end + 1 } else { end };
                    return match push_captures(state, &matcher, text, (at, end), true) {
                        Ok(count) => count,
                        Err(fault) => raise(state, host, fault),
                    };
                }
                Ok(None) => start = at + 1,
            }
        }
    }
    0
}

/// The replacement that `gsub` puts in the place of a match.
#[derive(Clone, Copy)]
enum Instead<'a> {
    Text(&'a [u8]),
    /// The table or function that is the third argument is asked for each match.
    Asked,
}

struct Replacing<'a> {
    host: &'a Host,
    text: &'a [u8],
    pattern: &'a [u8],
    instead: Instead<'a>,
    max: usize,
    /// Parked with the host whenever Lua is called: an error leaves this function without a word.
    out: Vec<u8>,
    count: usize,
}

/// `string.gsub(s, pattern, repl [, n])`.
unsafe extern "C-unwind" fn gsub(state: State) -> c_int {
    // SAFETY: arguments are looked at before anything is owned. A text is put in without a call to Lua, and what is
    // owned is given back before an error is raised.
    unsafe {
        let host = host(state);
        let text = check_bytes(state, 1);
        let pattern = check_bytes(state, 2);
        let instead = match ffi::lua_type(state, 3) {
            ffi::LUA_TNUMBER | ffi::LUA_TSTRING => Instead::Text(check_bytes(state, 3)),
            ffi::LUA_TTABLE | ffi::LUA_TFUNCTION => Instead::Asked,
            _ => {
                let words = c"string/function/table expected";
                return ffi::luaL_argerror(state, 3, words.as_ptr());
            }
        };
        let max = match ffi::lua_type(state, 4) {
            ffi::LUA_TNONE | ffi::LUA_TNIL => text.len() + 1,
            _ => ffi::luaL_checkinteger(state, 4).max(0) as usize,
        };
        check_stack(state);
        // An error of the script's function jumps over this frame: no destructor must be due in it.
        let mut job = ManuallyDrop::new(Replacing {
            host,
            text,
            pattern,
            instead,
            max,
            out: host.take_spare(),
            count: 0,
        });
        let fault = without_panic(|| job.run(state)).err();
        let Replacing { out, count, .. } = ManuallyDrop::into_inner(job);
        if let Some(fault) = fault {
            host.give_spare(out);
            return raise(state, host, fault);
        }
        if count == 0 {
            // The text as it was, which is a string already.
            host.give_spare(out);
            ffi::lua_pushvalue(state, 1);
        } else {
            host.push_spare(state, out);
        }
        ffi::lua_pushnumber(state, count as f64);
    }
    2
}

impl Replacing<'_> {
    fn run(&mut self, state: State) -> Result<(), Fault> {
        let host = self.host;
        let stop = || host.must_end();
        let (text, pattern) = (self.text, self.pattern);
        let anchored = pattern.first() == Some(&b'^');
        let mut matcher = Matcher::new(text, pattern, &stop);
        let mut at = 0;
        while self.count < self.max {
            if !anchored {
                let Some(next) = matcher.candidate(at) else {
                    break;
                };
                self.out.extend_from_slice(&text[at..next]);
                at = next;
            }
            let end = matcher.at(at, anchored.into())?;
            if let Some(end) = end {
                self.count += 1;
                self.put(state, &matcher, (at, end))?;
            }
            match end {
                Some(end) if end > at => at = end,
                _ => match text.get(at) {
                    Some(byte) => {
                        self.out.push(*byte);
                        at += 1;
                    }
                    None => break,
                },
            }
            if self.out.len() > STRING_MAX {
                return Err(Fault::Pattern(c"not enough memory"));
            }
            if anchored {
                break;
            }
        }
        self.out.extend_from_slice(&text[at..]);
        Ok(())
    }

    /// Appends what comes in the place of a match.
    #[doc(alias = "add_value")]
    fn put(
        &mut self,
        state: State,
        matcher: &Matcher<'_>,
        (start, end): (usize, usize),
    ) -> Result<(), Fault> {
        let text = self.text;
        match self.instead {
            Instead::Text(instead) => {
                let mut bytes = instead.iter();
                while let Some(&byte) = bytes.next() {
                    if byte != b'%' {
                        self.out.push(byte);
                        continue;
                    }
                    match bytes.next() {
                        Some(b'0') => self.out.extend_from_slice(&text[start..end]),
                        Some(digit @ b'1'..=b'9') => {
                            match matcher.capture(usize::from(digit - b'1'), start, end)? {
                                Captured::Text(from, to) => {
                                    self.out.extend_from_slice(&text[from..to]);
                                }
                                Captured::Position(at) => {
                                    self.out.extend_from_slice(at.to_string().as_bytes());
                                }
                            }
                        }
                        Some(own) => self.out.push(*own),
                        None => self.out.push(0),
                    }
                }
                Ok(())
            }
            // SAFETY: room is asked for, and nothing is owned while Lua is called: the matcher owns nothing, and the
            // text is parked, under an address that no other frame alive has.
            Instead::Asked => unsafe {
                let (asked, frame) = (3, (&raw const *self).addr());
                self.host.park(frame, std::mem::take(&mut self.out));
                ffi::luaL_checkstack(state, 36, c"too many captures".as_ptr());
                let faulty = if ffi::lua_type(state, asked) == ffi::LUA_TTABLE {
                    let whole = matcher.capture(0, start, end);
                    whole.map(|whole| {
                        push_capture(state, text, whole);
                        ffi::lua_gettable(state, asked);
                    })
                } else {
                    ffi::lua_pushvalue(state, asked);
                    let pushed = push_captures(state, matcher, text, (start, end), true);
                    pushed.map(|count| ffi::lua_call(state, count, 1))
                };
                if let Err(fault) = faulty {
                    self.out = self.host.unpark(frame);
                    return Err(fault);
                }
                let mut len = 0;
                // A number becomes a string here, for which there may be no memory.
                let bytes = ffi::lua_tolstring(state, -1, &mut len);
                if bytes.is_null() && ffi::lua_toboolean(state, -1) != 0 {
                    let words = c"invalid replacement value (a %s)";
                    let kind = ffi::lua_typename(state, ffi::lua_type(state, -1));
                    ffi::luaL_error(state, words.as_ptr(), kind);
                }
                self.out = self.host.unpark(frame);
                let put = match bytes.is_null() {
                    true => &text[start..end],
                    false => std::slice::from_raw_parts(bytes.cast(), len),
                };
                self.out.extend_from_slice(put);
                ffi::lua_settop(state, -2);
                Ok(())
            },
        }
    }
}
