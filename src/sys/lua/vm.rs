//! Scripts that Lua keeps, calls into them, calls out of them.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::os::raw::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::{fmt, slice};

use mlua::{Function, Lua, Table, Value, ffi};

type State = *mut ffi::lua_State;

/// An interpreter, as it is called.
pub struct Vm {
    lua: Lua,
    /// The main thread of `lua`, and as alive.
    state: State,
    /// Where the registry keeps what a call needs.
    places: Places,
    /// Chunks that nobody holds any more.
    freed: Rc<RefCell<Vec<c_int>>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Places {
    enter: c_int,
    chunks: c_int,
    handler: c_int,
    globals: c_int,
    raised: c_int,
}

/// A function kept by an interpreter. When the last clone goes the interpreter may forget it.
#[derive(Clone, Debug)]
pub struct Chunk(Rc<Kept>);

#[derive(Debug)]
struct Kept {
    place: c_int,
    freed: Rc<RefCell<Vec<c_int>>>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.freed.borrow_mut().push(self.place);
    }
}

/// What a function of Lua's is called with.
#[derive(Clone, Copy)]
pub struct Words<'a> {
    /// How many there are.
    pub count: usize,
    /// How many of them, at the beginning, are keys.
    pub keys: usize,
    /// Each by its number.
    pub get: &'a dyn Fn(usize) -> &'a [u8],
    /// They become the globals KEYS and ARGV rather than two arguments.
    pub as_globals: bool,
}

impl fmt::Debug for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Words({}, {} keys)", self.count, self.keys)
    }
}

/// A call that came to no result.
#[derive(Debug)]
pub enum Ended {
    /// With an error that the handler has seen.
    Raised(Value),
    /// Before or after: memory, or a result that cannot be read.
    Broken(String),
}

struct Job<'a, 'r> {
    places: Places,
    chunk: c_int,
    words: Words<'a>,
    read: &'r mut dyn FnMut(View<'_>),
    raised: bool,
}

impl fmt::Debug for Vm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vm").finish_non_exhaustive()
    }
}

impl Vm {
    /// An interpreter whose scripts read their globals from `globals`, and whose errors pass through
    /// `handler`. The error is Lua's: no memory.
    pub fn new(lua: Lua, globals: &Table, handler: &Function) -> mlua::Result<Vm> {
        let mut places = Places::default();
        let mut main = std::ptr::null_mut();
        let keep = |state| {
            main = state;
            // SAFETY: the two arguments are on the stack, the last on top; each `luaL_ref` takes one value.
            unsafe {
                let kept = || ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX);
                places.handler = kept();
                places.globals = kept();
                ffi::lua_createtable(state, 0, 0);
                places.chunks = kept();
                ffi::lua_pushcclosure(state, enter, 0);
                places.enter = kept();
                ffi::lua_pushboolean(state, 0);
                places.raised = kept();
            }
        };
        // SAFETY: the closure owns nothing and leaves the stack empty. No callback is running, so what it
        // is given is the main thread, which lives as long as the interpreter.
        unsafe { lua.exec_raw::<()>((globals, handler), keep)? };
        Ok(Vm {
            lua,
            state: main,
            places,
            freed: Rc::default(),
        })
    }

    /// The interpreter.
    pub fn lua(&self) -> &Lua {
        &self.lua
    }

    /// Whether nobody holds a chunk of this interpreter.
    pub fn is_alone(&self) -> bool {
        Rc::strong_count(&self.freed) == 1
    }

    /// Has the interpreter keep a function. Amortised O(1).
    pub fn keep(&self, function: &Function) -> mlua::Result<Chunk> {
        self.forget_freed()?;
        let mut place = 0;
        let chunks = self.places.chunks;
        let keep = |state| {
            // SAFETY: the function is on the stack; the table goes below it, and `luaL_ref` takes it.
            unsafe {
                ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, chunks.into());
                ffi::lua_insert(state, -2);
                place = ffi::luaL_ref(state, -2);
                ffi::lua_settop(state, 0);
            }
        };
        // SAFETY: the closure owns nothing; inside `exec_raw` the stack is its own.
        unsafe { self.lua.exec_raw::<()>(function, keep)? };
        Ok(Chunk(Rc::new(Kept {
            place,
            freed: self.freed.clone(),
        })))
    }

    /// Lets the interpreter forget the chunks that nobody holds.
    pub fn forget_freed(&self) -> mlua::Result<()> {
        if self.freed.borrow().is_empty() {
            return Ok(());
        }
        let freed = self.freed.take();
        let (chunks, places) = (self.places.chunks, freed.as_slice());
        let forget = |state| {
            // SAFETY: only the table of chunks is pushed, and entries of it are given back that `luaL_ref`
            // handed out; each is in the list once, when its last holder is gone.
            unsafe {
                ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, chunks.into());
                for place in places {
                    ffi::luaL_unref(state, -1, *place);
                }
                ffi::lua_settop(state, 0);
            }
        };
        // SAFETY: the closure owns nothing; inside `exec_raw` the stack is its own.
        unsafe { self.lua.exec_raw::<()>((), forget) }
    }

    /// Lets the garbage collector work off so much debt; whether that ended one of its cycles.
    #[doc(alias = "lua_gc")]
    pub fn collect_some(&self, kilobytes: u16) -> mlua::Result<bool> {
        let mut ended = false;
        let step = |state| {
            // SAFETY: a finaliser of a script's may raise; nothing here is owned.
            ended = unsafe { ffi::lua_gc(state, ffi::LUA_GCSTEP, kilobytes.into()) } != 0;
        };
        // SAFETY: the closure owns nothing and leaves the stack as it was.
        unsafe { self.lua.exec_raw::<()>((), step)? };
        Ok(ended)
    }

    /// Calls a function and shows `read` what it returned. Not from within a call: that would use the
    /// main thread under it. O(words) besides what the function does.
    pub fn call(
        &self,
        chunk: &Chunk,
        words: Words<'_>,
        read: &mut dyn FnMut(View<'_>),
    ) -> Result<(), Ended> {
        let mut job = Job {
            places: self.places,
            chunk: chunk.0.place,
            words,
            read,
            raised: false,
        };
        let state = self.state;
        // SAFETY: the interpreter is alive and nothing runs in it. The two pushes fit into the room that
        // is always there; they allocate nothing, so they cannot raise. `job` outlives the call, and
        // `enter` is the only one to be given it.
        let failed = unsafe {
            ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, self.places.enter.into());
            ffi::lua_pushlightuserdata(state, (&raw mut job).cast());
            if ffi::lua_pcall(state, 1, 0, 0) == ffi::LUA_OK {
                None
            } else {
                let text = bytes_at(state, -1);
                let text = text.unwrap_or(b"not enough memory");
                let text = String::from_utf8_lossy(text).into_owned();
                ffi::lua_settop(state, -2);
                Some(text)
            }
        };
        match failed {
            Some(text) => Err(Ended::Broken(text)),
            None if job.raised => Err(self.take_raised()),
            None => Ok(()),
        }
    }

    #[cold]
    fn take_raised(&self) -> Ended {
        let place = self.places.raised;
        let take = |state| {
            // SAFETY: one value is pushed and left; the place is emptied behind it.
            unsafe {
                ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, place.into());
                ffi::lua_pushboolean(state, 0);
                ffi::lua_rawseti(state, ffi::LUA_REGISTRYINDEX, place.into());
            }
        };
        // SAFETY: the closure owns nothing.
        match unsafe { self.lua.exec_raw::<Value>((), take) } {
            Ok(raised) => Ended::Raised(raised),
            Err(error) => Ended::Broken(error.to_string()),
        }
    }
}

/// Runs Rust code that Lua called. A panic must not pass through Lua; it has said what it has to say.
fn without_panic<R>(f: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|_| std::process::abort())
}

/// The C function behind [`Vm::call`]; owns nothing, as Lua may leave it at any call.
unsafe extern "C-unwind" fn enter(state: State) -> c_int {
    // SAFETY: `Vm::call` passes the address of its job, which nobody else uses until this returns. The
    // pushes stay below the 20 places that every C function has, the words' tables take two at a time.
    unsafe {
        let job = &mut *ffi::lua_touserdata(state, 1).cast::<Job<'_, '_>>();
        let registered = |place: c_int| {
            ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, place.into());
        };
        ffi::lua_settop(state, 0);
        registered(job.places.handler);
        registered(job.places.chunks);
        ffi::lua_rawgeti(state, 2, job.chunk.into());
        let mut to = Pusher {
            state,
            life: PhantomData,
        };
        let words = job.words;
        let mut list = |from: usize, until: usize| {
            to.table(until - from, 0);
            for i in from..until {
                to.bytes((words.get)(i));
                to.set_nth(i - from + 1);
            }
        };
        let keys = words.keys.min(words.count);
        let arguments = if words.as_globals {
            registered(job.places.globals);
            for (name, from, until) in [(c"KEYS", 0, keys), (c"ARGV", keys, words.count)] {
                ffi::lua_pushlstring(state, name.as_ptr(), 4);
                list(from, until);
                ffi::lua_rawset(state, -3);
            }
            ffi::lua_settop(state, 3);
            0
        } else {
            list(0, keys);
            list(keys, words.count);
            2
        };
        if ffi::lua_pcall(state, arguments, 1, 1) == ffi::LUA_OK {
            let result = View::at_top(state);
            without_panic(|| (job.read)(result));
        } else {
            job.raised = true;
            ffi::lua_rawseti(state, ffi::LUA_REGISTRYINDEX, job.places.raised.into());
        }
        0
    }
}

/// The bytes of a string on the stack, alive as long as it stays there.
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
    state: State,
    index: c_int,
    life: PhantomData<&'a ()>,
}

/// What a value is.
#[derive(Debug)]
pub enum Seen<'a> {
    /// Nothing.
    Nil,
    /// Yes or no.
    Boolean(bool),
    /// A number.
    Number(f64),
    /// A string.
    Bytes(&'a [u8]),
    /// A table.
    Table(TableView<'a>),
    /// A function, a thread, what the host put there.
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
    unsafe fn at_top(state: State) -> View<'a> {
        View {
            state,
            // SAFETY: asks for a number.
            index: unsafe { ffi::lua_gettop(state) },
            life: PhantomData,
        }
    }

    /// What it is. O(1).
    pub fn see(self) -> Seen<'a> {
        let (state, index) = (self.state, self.index);
        // SAFETY: the value is there for `'a`; each function is asked for the type the value has.
        unsafe {
            match ffi::lua_type(state, index) {
                ffi::LUA_TNIL | ffi::LUA_TNONE => Seen::Nil,
                ffi::LUA_TBOOLEAN => Seen::Boolean(ffi::lua_toboolean(state, index) != 0),
                ffi::LUA_TNUMBER => Seen::Number(ffi::lua_tonumber(state, index)),
                ffi::LUA_TSTRING => Seen::Bytes(bytes_at(state, index).unwrap_or_default()),
                ffi::LUA_TTABLE => Seen::Table(TableView(self)),
                _ => Seen::Other,
            }
        }
    }
}

impl TableView<'_> {
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

    /// Shows each pair, in no particular order. `see` must leave the table as it is.
    pub fn each(&self, see: &mut dyn FnMut(View<'_>, View<'_>)) {
        let View { state, index, .. } = self.0;
        // SAFETY: as in `field`; the key stays on the stack, as `lua_next` wants it.
        unsafe {
            if ffi::lua_checkstack(state, 6) == 0 {
                return;
            }
            ffi::lua_pushnil(state);
            while ffi::lua_next(state, index) != 0 {
                let value = Held(View::at_top(state));
                let key = View {
                    index: value.0.index - 1,
                    ..value.0
                };
                see(key, value.view());
            }
        }
    }
}

/// What a function of ours is called with.
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

    /// Each, in order.
    pub fn iter(&self) -> impl Iterator<Item = Arg<'_>> {
        (1..=self.count).map(|index| {
            let view = View {
                state: self.state,
                index,
                life: PhantomData,
            };
            match view.see() {
                Seen::Bytes(bytes) => Arg::Bytes(bytes),
                Seen::Number(n) => Arg::Number(n),
                _ => Arg::Other,
            }
        })
    }
}

/// A value for Lua.
pub trait Push {
    /// The number, when it is just one: it needs no protection.
    fn number(&self) -> Option<f64>;

    /// Pushes exactly one value. Lua may leave this at any call of the pusher, without destructors being
    /// run: it must own nothing then.
    fn push(&self, to: &mut Pusher<'_>);
}

/// Lua's stack, to be written to.
#[derive(Debug)]
pub struct Pusher<'a> {
    state: State,
    life: PhantomData<&'a mut ()>,
}

impl Pusher<'_> {
    /// Pushes nothing, as a value.
    pub fn nil(&mut self) {
        // SAFETY: as for all of these: there is room, made by `table` for what goes into one.
        unsafe { ffi::lua_pushnil(self.state) };
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

    /// Pushes an empty table with room for so many elements and fields, and room on the stack for those.
    pub fn table(&mut self, elements: usize, fields: usize) {
        let hint = |n: usize| c_int::try_from(n).unwrap_or(c_int::MAX / 2);
        // SAFETY: raises where the stack cannot grow; the pusher's owner is protected.
        unsafe {
            ffi::luaL_checkstack(self.state, 4, c"too many nested values".as_ptr());
            ffi::lua_createtable(self.state, hint(elements), hint(fields));
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
        // SAFETY: a table was pushed before the two. What is no key raises.
        unsafe { ffi::lua_rawset(self.state, -3) };
    }
}

type Behind<P> = Box<dyn Fn(&Args<'_>) -> Result<P, P>>;

/// A Lua function that runs a closure: its value is returned, or raised.
pub fn door<P: Push + 'static>(
    lua: &Lua,
    f: impl Fn(&Args<'_>) -> Result<P, P> + 'static,
) -> mlua::Result<Function> {
    let behind: Behind<P> = Box::new(f);
    let mut behind = Some(behind);
    let make = |state| {
        // SAFETY: the userdata holds the closure from the moment it has a finaliser, which drops it once;
        // Lua aligns userdata for pointers. It is the door's upvalue, and alive as long as the door.
        unsafe {
            let place = ffi::lua_newuserdata(state, size_of::<Behind<P>>()).cast::<Behind<P>>();
            ffi::lua_createtable(state, 0, 1);
            ffi::lua_pushlstring(state, c"__gc".as_ptr(), 4);
            ffi::lua_pushcclosure(state, close_door::<P>, 0);
            ffi::lua_rawset(state, -3);
            if let Some(behind) = behind.take() {
                place.write(behind);
                ffi::lua_setmetatable(state, -2);
            }
            ffi::lua_pushcclosure(state, push_value::<P>, 0);
            ffi::lua_pushcclosure(state, through_door::<P>, 2);
        }
    };
    // SAFETY: what may raise comes before the closure is moved, or after Lua owns it.
    unsafe { lua.exec_raw::<Function>((), make) }
}

unsafe extern "C-unwind" fn close_door<P>(state: State) -> c_int {
    // SAFETY: the finaliser of a userdata made by `door`, called once.
    unsafe {
        ffi::lua_touserdata(state, 1)
            .cast::<Behind<P>>()
            .drop_in_place()
    };
    0
}

unsafe extern "C-unwind" fn push_value<P: Push>(state: State) -> c_int {
    // SAFETY: called by `pass` alone, with the address of a value that it holds meanwhile.
    let value = unsafe { &*ffi::lua_touserdata(state, 1).cast::<P>() };
    let mut to = Pusher {
        state,
        life: PhantomData,
    };
    value.push(&mut to);
    1
}

unsafe extern "C-unwind" fn through_door<P: Push>(state: State) -> c_int {
    // SAFETY: Lua calls this with its arguments on the stack. When `pass` returns, all that was owned is
    // dropped, and only then Lua is told of an error.
    unsafe {
        if pass::<P>(state) {
            1
        } else {
            ffi::lua_error(state)
        }
    }
}

/// Runs the closure and pushes what came of it; whether that is a result.
unsafe fn pass<P: Push>(state: State) -> bool {
    // SAFETY: the first upvalue is the userdata of `door`, the second its `push_value`. Pushing allocates
    // nothing but inside `lua_pcall`; a C function has room for 20 values besides its arguments.
    unsafe {
        let behind = &*ffi::lua_touserdata(state, ffi::lua_upvalueindex(1)).cast::<Behind<P>>();
        let args = Args {
            state,
            count: ffi::lua_gettop(state),
            life: PhantomData,
        };
        let (value, returned) = match without_panic(|| behind(&args)) {
            Ok(value) => (value, true),
            Err(value) => (value, false),
        };
        if let Some(n) = value.number() {
            ffi::lua_pushnumber(state, n);
            return returned;
        }
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(2));
        let address: *const P = &value;
        ffi::lua_pushlightuserdata(state, address.cast_mut().cast::<c_void>());
        ffi::lua_pcall(state, 1, 1, 0) == ffi::LUA_OK && returned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Out {
        Number(f64),
        Text(&'static str),
    }

    impl Push for Out {
        fn number(&self) -> Option<f64> {
            match self {
                Out::Number(n) => Some(*n),
                Out::Text(_) => None,
            }
        }

        fn push(&self, to: &mut Pusher<'_>) {
            if let Out::Text(text) = self {
                to.table(1, 1);
                to.bytes(text.as_bytes());
                to.set(b"text");
                to.boolean(true);
                to.set_nth(1);
            }
        }
    }

    fn vm() -> Vm {
        let lua = Lua::new();
        let sum = door(&lua, |args| {
            let mut sum = 0.0;
            for arg in args.iter() {
                match arg {
                    Arg::Number(n) => sum += n,
                    Arg::Bytes(b"text") => return Ok(Out::Text("hello")),
                    _ => return Err(Out::Text("no number")),
                }
            }
            Ok(Out::Number(sum))
        });
        let globals = lua.globals();
        globals.set("sum", sum.expect("a door")).expect("memory");
        let handler = lua.create_function(|_, raised: Value| Ok(raised));
        let handler = handler.expect("memory");
        Vm::new(lua, &globals, &handler).expect("memory")
    }

    fn chunk(vm: &Vm, code: &str) -> Chunk {
        let function = vm.lua().load(code).into_function().expect("valid");
        vm.keep(&function).expect("memory")
    }

    fn run(vm: &Vm, chunk: &Chunk, words: &[&[u8]]) -> Result<String, Ended> {
        let mut shown = String::new();
        let words = Words {
            count: words.len(),
            keys: 1,
            get: &|i| words[i],
            as_globals: true,
        };
        vm.call(chunk, words, &mut |view| shown = show(view))?;
        Ok(shown)
    }

    fn show(view: View<'_>) -> String {
        match view.see() {
            Seen::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Seen::Table(table) => {
                let mut parts = Vec::new();
                table.each(&mut |key, value| parts.push(format!("{}={}", show(key), show(value))));
                parts.sort();
                format!("{{{}}}", parts.join(" "))
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn words_go_in_and_values_come_out() {
        let vm = vm();
        let code = "return {sum(1, 2), KEYS[1], #ARGV, sum('text').text, sum('text')[1], {a = {}}}";
        let chunk = chunk(&vm, code);
        for _ in 0..3 {
            let shown = run(&vm, &chunk, &[b"k", b"x", b"y"]).expect("no error");
            assert_eq!(
                shown,
                "{Number(1.0)=Number(3.0) Number(2.0)=k Number(3.0)=Number(2.0) Number(4.0)=hello \
                 Number(5.0)=Boolean(true) Number(6.0)={a={}}}"
            );
        }
    }

    #[test]
    fn errors_are_raised_and_can_be_caught() {
        let vm = vm();
        let caught = chunk(&vm, "local ok, e = pcall(sum, {}) return {ok, e.text}");
        let shown = run(&vm, &caught, &[]).expect("no error");
        assert_eq!(shown, "{Number(1.0)=Boolean(false) Number(2.0)=no number}");
        let raised = chunk(&vm, "sum(false)");
        assert!(matches!(
            run(&vm, &raised, &[]),
            Err(Ended::Raised(Value::Table(_)))
        ));
        let boom = chunk(&vm, "error('boom')");
        let Err(Ended::Raised(Value::String(text))) = run(&vm, &boom, &[]) else {
            panic!("raised");
        };
        assert!(text.to_string_lossy().ends_with("boom"));
    }

    #[test]
    fn memory_has_an_end_everywhere() {
        let vm = vm();
        let limit = vm.lua().used_memory() + 100_000;
        vm.lua().set_memory_limit(limit).expect("mlua's allocator");
        let grows = chunk(
            &vm,
            "local t = {} while true do t[#t + 1] = sum('text') end",
        );
        assert!(matches!(run(&vm, &grows, &[]), Err(Ended::Raised(_))));
        // Lua 5.1 does not collect when it runs out of memory.
        vm.lua().gc_collect().expect("no finaliser raises");
        let simple = chunk(&vm, "return 1");
        let big = vec![b'x'; 200_000];
        assert!(matches!(
            run(&vm, &simple, &[&big]),
            Err(Ended::Broken(text)) if text == "not enough memory"
        ));
        assert_eq!(run(&vm, &simple, &[]).expect("room"), "Number(1.0)");
    }

    #[test]
    fn more_chunks_than_mlua_has_references_and_forgotten_ones_give_their_memory_back() {
        let vm = vm();
        let chunks: Vec<Chunk> = (0..20_000)
            .map(|i| chunk(&vm, &format!("return {i}")))
            .collect();
        assert_eq!(
            run(&vm, &chunks[19_999], &[]).expect("kept"),
            "Number(19999.0)"
        );
        let before = vm.lua().used_memory();
        drop(chunks);
        vm.forget_freed().expect("memory");
        vm.lua().gc_collect().expect("no finaliser raises");
        assert!(vm.lua().used_memory() < before / 2);
        assert!(vm.is_alone());
    }

    #[test]
    fn what_is_behind_a_door_goes_with_the_interpreter() {
        let alive = Rc::new(());
        let lua = Lua::new();
        let held = alive.clone();
        let function = door(&lua, move |_| {
            let _held = &held;
            Ok(Out::Number(1.0))
        });
        drop(function);
        assert_eq!(Rc::strong_count(&alive), 2);
        drop(lua);
        assert_eq!(Rc::strong_count(&alive), 1);
    }
}
