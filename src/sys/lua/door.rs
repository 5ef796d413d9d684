//! Calls out of a script: Lua functions that run a Rust closure.
//!
//! Mirrors: the C functions that scriptingInit() (eval.c) and `luaRegisterRedisAPI()` (script_lua.c) register.
//! Differs: such a function is a Rust closure that returns a value or a fault; raising Lua's error is left to one
//! place.

use std::borrow::Cow;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::os::raw::{c_int, c_void};
use std::rc::Rc;

use mlua::{Function, Lua, ffi};

use super::values::{Push, Pusher, Seen, View};
use super::{Host, State, without_panic};
use crate::util::num;

/// The arguments of a call from Lua to one of our functions.
#[derive(Debug)]
pub struct Args<'a> {
    state: State,
    count: c_int,
    life: PhantomData<&'a ()>,
}

/// One of them.
#[derive(Debug)]
pub enum Arg<'a> {
    /// A string.
    Bytes(&'a [u8]),
    /// A number.
    Number(f64),
    /// Anything else.
    Other,
}

impl Args<'_> {
    /// How many.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The `i`-th, counted from 0; "no value" behind the last.
    #[inline]
    pub fn view(&self, i: usize) -> View<'_> {
        View {
            state: self.state,
            // Behind the last one C functions see what they pushed; they have not pushed anything.
            index: c_int::try_from(i + 1).map_or(self.count + 1, |i| i.min(self.count + 1)),
            life: PhantomData,
        }
    }

    /// The same, seen.
    #[inline]
    pub fn see(&self, i: usize) -> Seen<'_> {
        self.view(i).see()
    }

    /// Whether the `i`-th is nil, or is not there.
    #[inline]
    pub fn is_nil(&self, i: usize) -> bool {
        i >= self.len() || matches!(self.see(i), Seen::Nil)
    }

    /// The `i`-th as a number; the error is Lua's sentence.
    #[inline]
    pub fn number(&self, i: usize) -> Result<f64, String> {
        let view = self.view(i);
        view.as_number().ok_or_else(|| bad_type(i, "number", view))
    }

    /// The `i`-th as a string. A number becomes one where it lies, for which Lua may have no memory and leave.
    #[doc(alias = "luaL_checklstring")]
    #[inline]
    pub fn text(&self, i: usize) -> Result<&[u8], String> {
        let View { state, index, .. } = self.view(i);
        let mut len = 0;
        // SAFETY: of a string, and of a number that it makes one, `lua_tolstring` gives the place and the length; the
        // arguments stay on the stack.
        unsafe {
            let start = ffi::lua_tolstring(state, index, &mut len);
            match start.is_null() {
                true => Err(bad_type(i, "string", self.view(i))),
                false => Ok(std::slice::from_raw_parts(start.cast(), len)),
            }
        }
    }

    /// The `i`-th as a string; numbers are written as Lua writes them.
    pub fn bytes(&self, i: usize) -> Result<Cow<'_, [u8]>, String> {
        match self.see(i) {
            Seen::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
            Seen::Number(n) => {
                let mut text = Vec::new();
                num::write_g(&mut text, n, 14);
                Ok(Cow::Owned(text))
            }
            _ => Err(bad_type(i, "string", self.view(i))),
        }
    }

    /// Each, in order.
    pub fn iter(&self) -> impl Iterator<Item = Arg<'_>> {
        (0..self.len()).map(|i| match self.see(i) {
            Seen::Bytes(bytes) => Arg::Bytes(bytes),
            Seen::Number(n) => Arg::Number(n),
            _ => Arg::Other,
        })
    }
}

/// The name shown in a complaint until the name by which the script called the function is known.
const CALLED: &str = "'?'";

/// Lua's complaint about an argument, counted from 0. The name of the function is put in when it is raised.
#[doc(alias = "luaL_argerror")]
pub fn bad_argument(i: usize, reason: &str) -> String {
    format!("bad argument #{} to {CALLED} ({reason})", i + 1)
}

#[cold]
fn bad_type(i: usize, wanted: &str, view: View<'_>) -> String {
    let got = view.type_name();
    bad_argument(i, &format!("{wanted} expected, got {got}"))
}

/// Why a function of ours fails.
#[derive(Debug)]
pub enum Fault<P> {
    /// The caller's place and these words are raised.
    Text(String),
    /// This value is raised.
    Value(P),
    /// The script must end: nothing it does catches this.
    Killed(String),
}

impl<P> From<String> for Fault<P> {
    fn from(text: String) -> Self {
        Fault::Text(text)
    }
}

struct Behind<P, F> {
    run: F,
    host: Rc<Host>,
    /// The value that is being pushed. When Lua has no memory for it and leaves, it stays here until the next
    /// one comes: nothing is lost.
    passing: RefCell<Option<P>>,
}

/// A Lua function that runs a closure: its values are returned, or raised.
pub fn door<P: Push + 'static, F>(lua: &Lua, host: &Rc<Host>, f: F) -> mlua::Result<Function>
where
    F: Fn(&Args<'_>) -> Result<P, Fault<P>> + 'static,
{
    const {
        // Lua aligns userdata for a double.
        assert!(align_of::<Behind<P, F>>() <= align_of::<f64>());
    }
    let mut behind = Some(Behind {
        run: f,
        host: host.clone(),
        passing: RefCell::new(None),
    });
    let make = |state| {
        // SAFETY: the userdata holds the closure from the moment it has a finaliser, which drops it once;
        // it is aligned, as was just checked. It is the door's upvalue, and alive as long as the door.
        unsafe {
            let place =
                ffi::lua_newuserdata(state, size_of::<Behind<P, F>>()).cast::<Behind<P, F>>();
            ffi::lua_createtable(state, 0, 1);
            ffi::lua_pushlstring(state, c"__gc".as_ptr(), 4);
            ffi::lua_pushcclosure(state, close_door::<P, F>, 0);
            ffi::lua_rawset(state, -3);
            if let Some(behind) = behind.take() {
                place.write(behind);
                ffi::lua_setmetatable(state, -2);
            }
            ffi::lua_pushcclosure(state, push_text, 0);
            ffi::lua_pushcclosure(state, through_door::<P, F>, 2);
        }
    };
    // SAFETY: what may raise comes before the closure is moved, or after Lua owns it.
    unsafe { lua.exec_raw::<Function>((), make) }
}

unsafe extern "C-unwind" fn close_door<P, F>(state: State) -> c_int {
    // SAFETY: the finaliser of a userdata made by `door`, called once.
    unsafe {
        ffi::lua_touserdata(state, 1)
            .cast::<Behind<P, F>>()
            .drop_in_place()
    };
    0
}

/// A function of a library that needs nothing but its arguments and the host: it costs no more than a C function.
///
/// `run` looks at the arguments, pushes its results and says how many they are. Lua may leave it at any call of the
/// pusher, and at [`Args::text`], without destructors being run: nothing may be owned then. An error comes after all
/// that was owned is dropped.
pub trait Work {
    /// The function.
    fn run(host: &Host, args: &Args<'_>, to: &mut Pusher<'_>) -> Result<usize, Failure>;
}

/// The reason why a [`Work`] fails.
#[derive(Debug)]
pub enum Failure {
    /// The caller's place and these words are raised.
    Text(String),
    /// The script must end: nothing it does catches this.
    Killed(String),
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Failure::Text(text)
    }
}

impl From<&str> for Failure {
    fn from(text: &str) -> Self {
        Failure::Text(text.to_owned())
    }
}

/// A Lua function that does a [`Work`]. The host lives as long as the interpreter.
pub fn worker<W: Work>(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Function> {
    let address: *const Host = Rc::as_ptr(host);
    lua.set_app_data(host.clone());
    let make = |state| {
        // SAFETY: two values are pushed and become upvalues of the one that is left.
        unsafe {
            ffi::lua_pushlightuserdata(state, address.cast_mut().cast());
            ffi::lua_pushcclosure(state, push_text, 0);
            ffi::lua_pushcclosure(state, work::<W>, 2);
        }
    };
    // SAFETY: the closure owns nothing.
    unsafe { lua.exec_raw::<Function>((), make) }
}

unsafe extern "C-unwind" fn work<W: Work>(state: State) -> c_int {
    // SAFETY: the first upvalue is the host, which the interpreter's data holds, the second `push_text`. A work owns
    // nothing when Lua leaves it, and its failure is dropped before an error is raised.
    unsafe {
        let host = &*ffi::lua_touserdata(state, ffi::lua_upvalueindex(1)).cast::<Host>();
        let args = Args {
            state,
            count: ffi::lua_gettop(state),
            life: PhantomData,
        };
        let mut to = Pusher {
            state,
            life: PhantomData,
        };
        match without_panic(|| W::run(host, &args, &mut to)) {
            Ok(count) => return count as c_int,
            Err(failure) => {
                ffi::lua_settop(state, args.count);
                match &failure {
                    Failure::Text(text) => complain(state, text),
                    Failure::Killed(text) => host.push_kill(state, text),
                }
            }
        }
        ffi::lua_error(state)
    }
}

unsafe extern "C-unwind" fn push_text(state: State) -> c_int {
    // SAFETY: called by `complain` alone, with the address of a string that it holds meanwhile. The door is one
    // call up, its caller two. The frame is filled in before it is used; names live as long as functions.
    unsafe {
        let text = *ffi::lua_touserdata(state, 1).cast::<&str>();
        let push = |part: &str| ffi::lua_pushlstring(state, part.as_ptr().cast(), part.len());
        ffi::luaL_where(state, 2);
        let mut frame: ffi::lua_Debug = std::mem::zeroed();
        let (before, after) = match text.split_once(CALLED) {
            Some(parts) if text.starts_with("bad argument #") => parts,
            _ => {
                push(text);
                ffi::lua_concat(state, 2);
                return 1;
            }
        };
        push(before);
        push("'");
        if ffi::lua_getstack(state, 1, &mut frame) != 0
            && ffi::lua_getinfo(state, c"n".as_ptr(), &mut frame) != 0
            && !frame.name.is_null()
        {
            ffi::lua_pushstring(state, frame.name);
        } else {
            push("?");
        }
        push("'");
        push(after);
        ffi::lua_concat(state, 6);
    }
    1
}

unsafe extern "C-unwind" fn through_door<P, F>(state: State) -> c_int
where
    P: Push,
    F: Fn(&Args<'_>) -> Result<P, Fault<P>>,
{
    // SAFETY: Lua calls this with its arguments on the stack. When `pass` returns, all that was owned is
    // dropped, and only then Lua is told of an error.
    unsafe {
        match pass::<P, F>(state) {
            Some(count) => count,
            None => ffi::lua_error(state),
        }
    }
}

/// Runs the closure and pushes what came of it: how many values, or none and an error is on top.
#[inline]
unsafe fn pass<P, F>(state: State) -> Option<c_int>
where
    P: Push,
    F: Fn(&Args<'_>) -> Result<P, Fault<P>>,
{
    // SAFETY: the first upvalue is the userdata of `door`, the second its `push_text`. Lua may leave this while
    // a value is pushed: then nothing is owned here. A C function has room for 20 values besides its
    // arguments.
    unsafe {
        let behind = &*ffi::lua_touserdata(state, ffi::lua_upvalueindex(1)).cast::<Behind<P, F>>();
        let args = Args {
            state,
            count: ffi::lua_gettop(state),
            life: PhantomData,
        };
        match without_panic(|| (behind.run)(&args)) {
            Ok(value) => {
                if let Some(n) = value.number() {
                    ffi::lua_pushnumber(state, n);
                    return Some(1);
                }
                hand_over(state, &behind.passing, value)
            }
            Err(Fault::Text(text)) => {
                complain(state, &text);
                None
            }
            Err(Fault::Value(value)) => {
                hand_over(state, &behind.passing, value);
                None
            }
            Err(Fault::Killed(text)) => {
                behind.host.push_kill(state, &text);
                None
            }
        }
    }
}

/// Pushes a value and says how many it was, or pushes the error that it came to.
unsafe fn hand_over<P: Push>(
    state: State,
    passing: &RefCell<Option<P>>,
    value: P,
) -> Option<c_int> {
    // SAFETY: asks for a number.
    let before = unsafe { ffi::lua_gettop(state) };
    passing.replace(Some(value));
    // SAFETY: nobody else looks at the value meanwhile: pushing runs no code of a script's, and what the
    // collector runs are destructors. A borrow that is counted would count for ever when Lua leaves.
    let pushed = unsafe {
        let value = &mut *passing.as_ptr();
        let mut to = Pusher {
            state,
            life: PhantomData,
        };
        value.as_mut().map(|value| value.push(&mut to))
    };
    passing.replace(None);
    match pushed {
        Some(Ok(count)) => Some(count as c_int),
        Some(Err(text)) => {
            // SAFETY: as in `pass`; the values that were pushed before it failed are taken off, so that there
            // is room.
            unsafe {
                ffi::lua_settop(state, before);
                complain(state, &text);
            }
            None
        }
        None => None,
    }
}

/// Pushes words with the place of the door's caller before them, or the error that there is no memory.
unsafe fn complain(state: State, text: &str) {
    // SAFETY: as in `pass`; `push_text` is called protected.
    unsafe {
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(2));
        let address: *const &str = &text;
        ffi::lua_pushlightuserdata(state, address.cast_mut().cast::<c_void>());
        ffi::lua_pcall(state, 1, 1, 0);
    }
}
