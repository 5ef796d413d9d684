//! Lua's values where they lie: looked at on Lua's stack, and written to it.
//!
//! Mirrors: no file of Redis, which calls `lua_to…` and `lua_push…` wherever it needs them (script_lua.c).
//! Differs: a value is viewed on Lua's stack and copied only where its bytes must outlive the call.

use std::marker::PhantomData;
use std::os::raw::c_int;
use std::slice;

use mlua::ffi;

use super::{Host, State};

/// The bytes of a string on the stack, alive as long as it stays there.
///
/// SAFETY, for those who call it: `index` is a place of the stack, and the value stays there for `'a`.
pub(super) unsafe fn bytes_at<'a>(state: State, index: c_int) -> Option<&'a [u8]> {
    // SAFETY: of a string, `lua_tolstring` gives the place and the length and changes nothing.
    unsafe {
        if ffi::lua_type(state, index) != ffi::LUA_TSTRING {
            return None;
        }
        let mut len = 0;
        let start = ffi::lua_tolstring(state, index, &mut len);
        Some(slice::from_raw_parts(start.cast(), len))
    }
}

/// A value on Lua's stack.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub(super) state: State,
    pub(super) index: c_int,
    pub(super) life: PhantomData<&'a ()>,
}

/// A Lua value as it was found on the stack, by type.
#[derive(Debug)]
pub enum Seen<'a> {
    /// `nil`, or no value at all.
    Nil,
    /// Yes or no.
    Boolean(bool),
    /// A number.
    Number(f64),
    /// A string.
    Bytes(&'a [u8]),
    /// A table.
    Table(TableView<'a>),
    /// The address 0, which stands for JSON's `null`.
    Null,
    /// A function, a thread, a value of the host's.
    Other,
}

/// A table on Lua's stack, looked at without its metatable.
#[derive(Clone, Copy, Debug)]
pub struct TableView<'a>(View<'a>);

/// A value that is on the stack only to be looked at; it goes with this.
#[derive(Debug)]
pub struct Held<'a>(View<'a>);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // SAFETY: takes off the value and whatever was left above it.
        unsafe { ffi::lua_settop(self.0.state, self.0.index - 1) };
    }
}

impl Held<'_> {
    /// The value.
    pub fn see(&self) -> Seen<'_> {
        self.0.see()
    }

    /// The value's place.
    pub fn view(&self) -> View<'_> {
        self.0
    }
}

impl<'a> View<'a> {
    /// SAFETY, for those who call it: a value is at the top and stays for `'a`.
    pub(super) unsafe fn at_top(state: State) -> View<'a> {
        View {
            state,
            // SAFETY: asks for a number.
            index: unsafe { ffi::lua_gettop(state) },
            life: PhantomData,
        }
    }

    /// The value itself. O(1).
    #[inline]
    pub fn see(self) -> Seen<'a> {
        let (state, index) = (self.state, self.index);
        // SAFETY: the value is there for `'a`; each function is asked for the type the value has.
        unsafe {
            match ffi::lua_type(state, index) {
                ffi::LUA_TNIL | ffi::LUA_TNONE => Seen::Nil,
                ffi::LUA_TBOOLEAN => Seen::Boolean(ffi::lua_toboolean(state, index) != 0),
                ffi::LUA_TNUMBER => Seen::Number(ffi::lua_tonumber(state, index)),
                ffi::LUA_TSTRING => {
                    let mut len = 0;
                    let start = ffi::lua_tolstring(state, index, &mut len);
                    Seen::Bytes(slice::from_raw_parts(start.cast(), len))
                }
                ffi::LUA_TTABLE => Seen::Table(TableView(self)),
                ffi::LUA_TLIGHTUSERDATA if ffi::lua_touserdata(state, index).is_null() => {
                    Seen::Null
                }
                _ => Seen::Other,
            }
        }
    }

    /// The name of its type, as `type` and error texts have it.
    pub fn type_name(self) -> &'static str {
        // SAFETY: asks for a number.
        match unsafe { ffi::lua_type(self.state, self.index) } {
            ffi::LUA_TNONE => "no value",
            ffi::LUA_TNIL => "nil",
            ffi::LUA_TBOOLEAN => "boolean",
            ffi::LUA_TNUMBER => "number",
            ffi::LUA_TSTRING => "string",
            ffi::LUA_TTABLE => "table",
            ffi::LUA_TFUNCTION => "function",
            ffi::LUA_TTHREAD => "thread",
            _ => "userdata",
        }
    }

    /// The value as a number: a string that reads as one is one.
    #[inline]
    pub fn as_number(self) -> Option<f64> {
        // SAFETY: neither call changes the value. Values that are no number read as 0.
        unsafe {
            let n = ffi::lua_tonumber(self.state, self.index);
            (n != 0.0 || ffi::lua_isnumber(self.state, self.index) != 0).then_some(n)
        }
    }
}

impl TableView<'_> {
    /// Its length: a number of an element behind which there is none. O(log n).
    #[doc(alias = "lua_objlen")]
    pub fn length(&self) -> usize {
        // SAFETY: there is a table at `index`.
        unsafe { ffi::lua_objlen(self.0.state, self.0.index) }
    }

    /// The value under a name; none where Lua's stack is full. O(1).
    pub fn field(&self, name: &[u8]) -> Option<Held<'_>> {
        let View { state, index, .. } = self.0;
        // SAFETY: there is a table at `index`. Lua may raise at the push; whoever made the first view runs
        // inside `lua_pcall`, and nothing here owns anything.
        unsafe {
            if ffi::lua_checkstack(state, 4) == 0 {
                return None;
            }
            ffi::lua_pushlstring(state, name.as_ptr().cast(), name.len());
            ffi::lua_rawget(state, index);
            Some(Held(View::at_top(state)))
        }
    }

    /// The value at a number; none where Lua's stack is full. O(1).
    pub fn nth(&self, n: usize) -> Option<Held<'_>> {
        let View { state, index, .. } = self.0;
        let n = c_int::try_from(n).ok()?;
        // SAFETY: as in `field`.
        unsafe {
            if ffi::lua_checkstack(state, 4) == 0 {
                return None;
            }
            ffi::lua_rawgeti(state, index, n.into());
            Some(Held(View::at_top(state)))
        }
    }

    /// Whether its metatable has the address of `mark` among its keys. O(1).
    pub fn is_marked(&self, mark: &'static u8) -> bool {
        let View { state, index, .. } = self.0;
        // SAFETY: as in `field`; the pushes do not allocate.
        unsafe {
            if ffi::lua_checkstack(state, 4) == 0 || ffi::lua_getmetatable(state, index) == 0 {
                return false;
            }
            ffi::lua_pushlightuserdata(state, std::ptr::from_ref(mark).cast_mut().cast());
            ffi::lua_rawget(state, -2);
            let marked = ffi::lua_toboolean(state, -1) != 0;
            ffi::lua_settop(state, -3);
            marked
        }
    }

    /// Shows each pair, in no particular order, until `see` fails. `see` must leave the table as it is.
    pub fn each<E>(
        &self,
        mut see: impl FnMut(View<'_>, View<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let View { state, index, .. } = self.0;
        // SAFETY: as in `field`; the key stays on the stack, as `lua_next` wants it.
        unsafe {
            if ffi::lua_checkstack(state, 6) == 0 {
                return Ok(());
            }
            ffi::lua_pushnil(state);
            while ffi::lua_next(state, index) != 0 {
                let value = Held(View::at_top(state));
                let key = View {
                    index: value.0.index - 1,
                    ..value.0
                };
                let seen = see(key, value.view());
                drop(value);
                if seen.is_err() {
                    ffi::lua_settop(state, -2);
                    return seen;
                }
            }
        }
        Ok(())
    }
}

/// A value for Lua.
pub trait Push {
    /// The number, when it is just one: it needs no protection.
    fn number(&self) -> Option<f64> {
        None
    }

    /// Pushes its values and says how many there are, or why there are none: the words become an error with
    /// the caller's place before them. Lua may leave this at any call of the pusher, without destructors
    /// being run: nothing may be owned then, besides what `self` owns.
    fn push(&mut self, to: &mut Pusher<'_>) -> Result<usize, String>;
}

/// Lua's stack, to be written to.
#[derive(Debug)]
pub struct Pusher<'a> {
    pub(super) state: State,
    pub(super) life: PhantomData<&'a mut ()>,
}

impl<'a> Pusher<'a> {
    /// The bytes of an argument of the function whose values these are, counted from 0, if it is a string.
    pub fn argument(&self, i: usize) -> Option<&'a [u8]> {
        let index = c_int::try_from(i + 1).ok()?;
        // SAFETY: a function's arguments stay on the stack below all that is pushed.
        unsafe { bytes_at(self.state, index) }
    }

    /// Values for which a C function has room anyway, besides its arguments.
    pub const ROOM: usize = 16;

    /// Makes room for a value more; whether there is any.
    pub fn room(&mut self) -> bool {
        // SAFETY: asks for it, and one place is left for the name of a field.
        unsafe { ffi::lua_checkstack(self.state, 4) != 0 }
    }

    /// Pushes nothing, as a value.
    pub fn nil(&mut self) {
        // SAFETY: as for all of these: there is room, made by `table` for what goes into one.
        unsafe { ffi::lua_pushnil(self.state) };
    }

    /// Pushes JSON's `null`.
    pub fn null(&mut self) {
        // SAFETY: there is room.
        unsafe { ffi::lua_pushlightuserdata(self.state, std::ptr::null_mut()) };
    }

    /// Pushes yes or no.
    pub fn boolean(&mut self, yes: bool) {
        // SAFETY: there is room.
        unsafe { ffi::lua_pushboolean(self.state, yes.into()) };
    }

    /// Pushes a number.
    pub fn number(&mut self, n: f64) {
        // SAFETY: there is room.
        unsafe { ffi::lua_pushnumber(self.state, n) };
    }

    /// Pushes a string.
    pub fn bytes(&mut self, bytes: &[u8]) {
        // SAFETY: there is room; Lua copies the bytes.
        unsafe {
            ffi::lua_pushlstring(self.state, bytes.as_ptr().cast(), bytes.len());
        }
    }

    /// Pushes a string made in room that [`Host::take_spare`] gave, and gives the room back.
    pub fn spare(&mut self, host: &Host, text: Vec<u8>) {
        // SAFETY: there is room on the stack, and the text is given back before Lua copies it.
        unsafe { host.push_spare(self.state, text) };
    }

    /// Pushes an empty table with room for so many elements and fields, and room on the stack for those.
    pub fn table(&mut self, elements: usize, fields: usize) {
        let hint = |n: usize| c_int::try_from(n).unwrap_or(c_int::MAX / 2);
        // SAFETY: raises where the stack cannot grow; the pusher's owner is protected.
        unsafe {
            ffi::luaL_checkstack(self.state, 4, c"too many nested values".as_ptr());
            ffi::lua_createtable(self.state, hint(elements), hint(fields));
        }
    }

    /// Makes room for so many values on the stack, besides those that are there; whether there is any.
    pub fn has_room(&mut self, values: usize) -> bool {
        // SAFETY: asks for it. Lua raises nothing here: it answers no.
        c_int::try_from(values).is_ok_and(|n| unsafe { ffi::lua_checkstack(self.state, n) != 0 })
    }

    /// Puts the topmost `values` into a table that replaces them, as its first elements. It has room for `capacity`.
    pub fn gather_values(&mut self, values: usize, capacity: usize) {
        self.table(capacity, 0);
        // SAFETY: the values are below the table, the last on top: each `lua_rawseti` takes the one on top of the
        // stack, once the table is below them all.
        unsafe {
            let table = ffi::lua_gettop(self.state) - values as c_int;
            ffi::lua_insert(self.state, table);
            for n in (1..=values).rev() {
                ffi::lua_rawseti(self.state, table, n as ffi::lua_Integer);
            }
        }
    }

    /// Puts the topmost `pairs` of keys and values into a table that replaces them. It has room for `capacity` fields.
    /// Of equal keys the last one counts.
    pub fn gather_pairs(&mut self, pairs: usize, capacity: usize) {
        self.table(0, capacity);
        // SAFETY: the table goes below the pairs; each key and value are copied to the top and taken from there, in
        // order, and at the end all pairs are taken off.
        unsafe {
            let state = self.state;
            let table = ffi::lua_gettop(state) - 2 * pairs as c_int;
            ffi::lua_insert(state, table);
            for pair in 0..pairs as c_int {
                ffi::lua_pushvalue(state, table + 1 + 2 * pair);
                ffi::lua_pushvalue(state, table + 2 + 2 * pair);
                ffi::lua_rawset(state, table);
            }
            ffi::lua_settop(state, table);
        }
    }

    /// Puts the value on top into the table below it, at a number.
    pub fn set_nth(&mut self, n: usize) {
        // SAFETY: a table was pushed before the value.
        unsafe { ffi::lua_rawseti(self.state, -2, n as ffi::lua_Integer) };
    }

    /// Puts the value on top into the table below it, under a name.
    pub fn set(&mut self, name: &[u8]) {
        self.bytes(name);
        // SAFETY: a table was pushed before the value; the name goes between them.
        unsafe {
            ffi::lua_insert(self.state, -2);
            ffi::lua_rawset(self.state, -3);
        }
    }

    /// Puts the value on top into the table, under the key that was pushed before it.
    pub fn set_pair(&mut self) {
        // SAFETY: a table was pushed before the two. A value that cannot be a key (nil, NaN) makes Lua raise an error.
        unsafe { ffi::lua_rawset(self.state, -3) };
    }

    /// Moves the value on top to the place of the one that was pushed `ago` values before it.
    pub fn replace(&mut self, ago: usize) {
        // SAFETY: so many values were pushed before it: more do not fit on the stack.
        unsafe { ffi::lua_replace(self.state, -1 - ago as c_int) };
    }

    /// Takes the value on top off again.
    pub fn pop(&mut self) {
        // SAFETY: a value was pushed.
        unsafe { ffi::lua_settop(self.state, -2) };
    }

    /// Gives the table on top a metatable that the registry holds.
    #[doc(alias = "lua_setmetatable")]
    pub fn set_metatable(&mut self, rooted: &super::Rooted) {
        // SAFETY: a table is on top, and the place holds a table for as long as the interpreter lives.
        unsafe {
            ffi::lua_rawgeti(self.state, ffi::LUA_REGISTRYINDEX, rooted.place().into());
            ffi::lua_setmetatable(self.state, -2);
        }
    }
}
