//! Scripts that Lua keeps, calls into them, calls out of them.
//!
//! Mirrors: the interpreter half of script_lua.c and eval.c (`luaCallFunction()`, `luaCreateFunction()`).
//! Differs: a chunk is kept under a number in Lua's registry, not under the name `f_<sha1>`.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::os::raw::c_int;
use std::rc::Rc;

use mlua::{Function, Lua, Table, Value, ffi};

use super::values::{Pusher, View, bytes_at};
use super::{Host, State, without_panic};

/// An interpreter, as it is called.
pub struct Vm {
    lua: Lua,
    /// The main thread of `lua`, and as alive.
    state: State,
    /// Where the registry keeps what a call needs.
    places: Places,
    /// Chunks that nobody holds any more.
    freed: Rc<RefCell<Vec<c_int>>>,
    host: Rc<Host>,
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

/// The keys and arguments with which a function of Lua's is called.
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
    /// The function itself runs, not what comes before and after it.
    running: bool,
}

impl fmt::Debug for Vm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vm").finish_non_exhaustive()
    }
}

impl Vm {
    /// An interpreter whose scripts read their globals from `globals`, and whose errors pass through
    /// `handler`. The error is Lua's: no memory.
    pub fn new(lua: Lua, host: Rc<Host>, globals: &Table, handler: &Function) -> mlua::Result<Vm> {
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
            host,
        })
    }

    /// The interpreter.
    pub fn lua(&self) -> &Lua {
        &self.lua
    }

    /// The host that the interpreter's functions ask about the server.
    pub fn host(&self) -> &Rc<Host> {
        &self.host
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
            // SAFETY: may raise for want of memory; nothing here is owned.
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
            running: false,
        };
        let state = self.state;
        let job = &raw mut job;
        // SAFETY: the interpreter is alive and nothing runs in it. The pushes fit into the room that is always
        // there; they allocate nothing, so they cannot raise. The job outlives the call, and `enter` is the only
        // one to use it meanwhile. The place of what was raised exists, so that to overwrite it takes no memory.
        let failed = self.host.entered(|| unsafe {
            let before = ffi::lua_gettop(state);
            ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, self.places.handler.into());
            ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, self.places.enter.into());
            ffi::lua_pushlightuserdata(state, job.cast());
            let ended = ffi::lua_pcall(state, 1, 0, before + 1);
            let failed = match (ended, (*job).running) {
                (ffi::LUA_OK, _) => None,
                (_, true) => {
                    ffi::lua_rawseti(state, ffi::LUA_REGISTRYINDEX, self.places.raised.into());
                    Some(None)
                }
                (_, false) => {
                    let text = bytes_at(state, -1);
                    let text = text.unwrap_or(b"not enough memory");
                    Some(Some(String::from_utf8_lossy(text).into_owned()))
                }
            };
            ffi::lua_settop(state, before);
            failed
        });
        match failed {
            Some(Some(text)) => Err(Ended::Broken(text)),
            Some(None) => Err(self.take_raised()),
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
        registered(job.places.chunks);
        ffi::lua_rawgeti(state, 1, job.chunk.into());
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
            ffi::lua_settop(state, 2);
            0
        } else {
            list(0, keys);
            list(keys, words.count);
            2
        };
        job.running = true;
        ffi::lua_call(state, arguments, 1);
        job.running = false;
        let result = View::at_top(state);
        without_panic(|| (job.read)(result));
        0
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Arg, Fault, Push, Seen, door};
    use super::*;

    enum Out {
        Number(f64),
        Text(&'static str),
        Wrong,
    }

    impl Push for Out {
        fn number(&self) -> Option<f64> {
            match self {
                Out::Number(n) => Some(*n),
                Out::Text(_) | Out::Wrong => None,
            }
        }

        fn push(&mut self, to: &mut Pusher<'_>) -> Result<usize, String> {
            let Out::Text(text) = self else {
                return Err("found out late".into());
            };
            to.table(1, 1);
            to.bytes(text.as_bytes());
            to.set(b"text");
            to.boolean(true);
            to.set_nth(1);
            Ok(1)
        }
    }

    fn host(lua: &Lua) -> Rc<Host> {
        let killed = lua.create_table().expect("memory");
        Host::new(lua, &killed, || None).expect("memory")
    }

    fn vm() -> Vm {
        let lua = Lua::new();
        let host = host(&lua);
        let sum = door(&lua, &host, |args| {
            let mut sum = 0.0;
            for arg in args.iter() {
                match arg {
                    Arg::Number(n) => sum += n,
                    Arg::Bytes(b"text") => return Ok(Out::Text("hello")),
                    Arg::Bytes(b"wrong") => return Ok(Out::Wrong),
                    Arg::Bytes(words) => {
                        return Err(Fault::Text(String::from_utf8_lossy(words).into_owned()));
                    }
                    Arg::Other => return Err(Fault::Value(Out::Text("no number"))),
                }
            }
            Ok(Out::Number(sum))
        });
        let globals = lua.globals();
        globals.set("sum", sum.expect("a door")).expect("memory");
        let handler = lua.create_function(|_, raised: Value| Ok(raised));
        let handler = handler.expect("memory");
        Vm::new(lua, host, &globals, &handler).expect("memory")
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
                let shown = table.each(|key, value| {
                    parts.push(format!("{}={}", show(key), show(value)));
                    Ok::<(), ()>(())
                });
                assert!(shown.is_ok());
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
        for (word, words) in [("wrong", "found out late"), ("boo", "boo")] {
            let code = format!("local ok, e = pcall(function() sum('{word}') end) return e");
            let caught = chunk(&vm, &code);
            let shown = run(&vm, &caught, &[]).expect("no error");
            assert!(shown.ends_with(&format!(":1: {words}")), "{shown}");
        }
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
        let host = host(&lua);
        let function = door(&lua, &host, move |_| {
            let _held = &held;
            Ok(Out::Number(1.0))
        });
        drop(function);
        assert_eq!(Rc::strong_count(&alive), 2);
        drop(lua);
        assert_eq!(Rc::strong_count(&alive), 1);
    }
}
