//! One Lua interpreter: its libraries, its sandbox, its limits.
//!
//! Scripts and functions have one each, as in Redis; both are made when first needed. The interpreter is LuaJIT's,
//! which runs Lua 5.1 (`docs/decisions/interpreter.md`). The globals are built by `prelude.lua`, which also explains
//! how they are kept from being changed.
//!
//! Invariant: a script changes no global variable, so none sees what an earlier one did, but in the data set.
//!
//! Mirrors: luaRegisterRedisAPI(), luaCallFunction() and scriptingInit() of Redis.
//! Differs: memory is bounded; a script that wants more gets "not enough memory".

use std::fmt;
use std::rc::Rc;

use mlua::chunk::ChunkMode;
use mlua::{Function, HookTriggers, Lua, LuaOptions, StdLib, Table, Value, VmState};

use super::error::{self, PRELUDE_NAME};
use super::{Drand48, Interrupt, cjson, cmsgpack, pack};
use crate::resp::Error;
use crate::scripting;
use crate::scripting::act::console::Console;
use crate::state::State;
use crate::sys::loan::Loan;
use crate::sys::lua::{
    Args, Chunk, Fault, Host, Push, Pusher, Seen, Vm, door, library, set_environment,
};

const PRELUDE: &str = include_str!("prelude.lua");

/// Calls, returns and turns of loops between two looks at the clock.
const HOOK_PERIOD: u32 = 10_000;
/// Scripts and functions run between two times that dropped chunks are forgotten.
#[doc(alias = "LUA_GC_CYCLE_PERIOD")]
const FORGET_PERIOD: u32 = 50;
/// The effort, in KiB, of one step of the garbage collector that it does not take by itself.
const GC_STEP: u16 = 50;
/// Bytes of memory that one interpreter may hold. Redis has no bound: a script that allocates for ever ends the
/// server.
const MEMORY_MAX: usize = 1 << 30;

/// The purpose of an interpreter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// EVAL.
    Scripts,
    /// FCALL.
    Functions,
}

/// An interpreter.
pub struct Engine {
    core: Rc<Core>,
    globals: Table,
    run: Function,
    register: Function,
    calls: u32,
    /// Cycles that the collector is to end before all garbage is gone. One under way when a script ends keeps what the
    /// script still held when it began: the next one frees it.
    cycles_due: u8,
}

/// The part that is missing of a variable's name: of `"\x01string.find"` the library, or its field when the environment
/// has the library (`prelude.lua` tells of such names).
fn unjoined<'a>(args: &Args<'_>, name: &'a str) -> &'a str {
    let joined = name
        .strip_prefix('\x01')
        .and_then(|name| name.split_once('.'));
    let (Some((library, field)), Seen::Table(environment)) = (joined, args.see(0)) else {
        return name;
    };
    match environment.field(library.as_bytes()) {
        Some(held) if !matches!(held.see(), Seen::Nil) => field,
        _ => library,
    }
}

/// The value of functions that always fail.
enum Never {}

impl Push for Never {
    fn push(&mut self, _: &mut Pusher<'_>) -> Result<usize, String> {
        match *self {}
    }
}

/// The parts needed to run a chunk while the engine's owner is lent to it.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) vm: Vm,
    pub(super) loan: Rc<Loan<State>>,
    killed: Table,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// Makes an interpreter. The error is Lua's, and means that there is no memory for one.
    /// `deprecated` says whether scripts have the functions of `lua-enable-deprecated-api`.
    pub fn new(kind: EngineKind, deprecated: bool) -> mlua::Result<Engine> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::OS | StdLib::BIT;
        let lua = Lua::new_with(libraries, LuaOptions::new())?;
        let loan: Rc<Loan<State>> = Rc::new(Loan::default());

        let killed = lua.create_table()?;
        let asked = loan.clone();
        let host = Host::new(&lua, &killed, move || {
            match asked.with(scripting::act::api::script_interrupt) {
                Some(Interrupt::Stop(error)) => Some(error.text),
                _ => None,
            }
        })?;
        let native = lua.create_table()?;
        native.raw_set("killed", &killed)?;
        native.raw_set("deprecated", deprecated)?;
        native.raw_set("protected", Host::protected())?;
        native.raw_set("library", library(&lua, &host)?)?;
        native.raw_set("cjson", cjson::open(&lua, &host)?)?;
        native.raw_set("cmsgpack", cmsgpack::open(&lua, &host)?)?;
        native.raw_set("struct", pack::open(&lua, &host)?)?;
        native.raw_set(
            "redis",
            crate::scripting::act::api::open(&lua, &host, &loan, kind)?,
        )?;
        if kind == EngineKind::Functions {
            native.raw_set(
                "registering",
                crate::scripting::act::api::open_registering(&lua, &loan)?,
            )?;
        }
        let readonly = door(&lua, &host, |_| {
            Err::<Never, _>(Fault::Text("Attempt to modify a readonly table".into()))
        })?;
        native.raw_set("readonly", readonly)?;
        let missing = door(&lua, &host, |args| {
            let name = args.bytes(1);
            let name = name.map_or_else(
                |_| args.view(1).type_name().into(),
                |name| String::from_utf8_lossy(&name).into_owned(),
            );
            let name = unjoined(args, &name);
            Err::<Never, _>(Fault::Text(format!(
                "Script attempted to access nonexistent global variable '{name}'"
            )))
        })?;
        native.raw_set("missing", missing)?;
        native.raw_set(
            "raised",
            lua.create_function(|lua, raised: Value| match &raised {
                Value::Error(error) => error::seen(lua, error),
                _ => Ok(raised),
            })?,
        )?;
        let handler = lua.create_function(|lua, raised: Value| error::handle(lua, raised))?;
        native.raw_set("handler", &handler)?;
        let (random, seed) = Drand48::functions(&lua, &host)?;
        native.raw_set("random", random)?;
        native.raw_set("randomseed", seed)?;

        // Without its lines: an error that a function of the prelude passes on is not placed there.
        let prelude = lua.load(PRELUDE).set_name(PRELUDE_NAME);
        let prelude = prelude.set_mode(ChunkMode::Text).into_function()?;
        let string: Table = lua.globals().get("string")?;
        let dump: Function = string.get("dump")?;
        let stripped: mlua::LuaString = dump.call((prelude, true))?;
        let prelude: Table = lua
            .load(stripped.as_bytes().to_vec())
            .set_name(PRELUDE_NAME)
            .set_mode(ChunkMode::Binary)
            .call(native)?;
        lua.set_memory_limit(MEMORY_MAX)?;
        let globals: Table = prelude.get("globals")?;
        set_environment(&lua, &prelude.get("environment")?)?;
        let vm = Vm::new(lua, host, &globals, &handler)?;
        let engine = Engine {
            core: Rc::new(Core { vm, loan, killed }),
            globals,
            run: prelude.get("run")?,
            register: prelude.get("register")?,
            calls: 0,
            cycles_due: 2,
        };
        engine.watch_time()?;
        Ok(engine)
    }

    fn lua(&self) -> &Lua {
        self.core.vm.lua()
    }

    /// Looks at the clock now and then while scripts run.
    fn watch_time(&self) -> mlua::Result<()> {
        let hooked = self.core.loan.clone();
        let why = self.core.killed.clone();
        let every = HookTriggers::new().every_nth_instruction(HOOK_PERIOD);
        self.lua().set_global_hook(every, move |lua, _| {
            let told = hooked.with(scripting::act::api::script_interrupt);
            let Some(Interrupt::Stop(error)) = told else {
                return Ok(VmState::Continue);
            };
            why.raw_set("why", error.to_table(lua)?)?;
            Err(error.raise())
        })
    }

    /// Stops at the lines of scripts for the debugger, or no more.
    pub(super) fn watch_lines(&self, on: bool) -> Result<(), Error> {
        let watched = if on {
            let console = Console {
                loan: self.core.loan.clone(),
                killed: self.core.killed.clone(),
                globals: self.globals.clone(),
                run: self.run.clone(),
            };
            let lines = HookTriggers::new()
                .every_line()
                .every_nth_instruction(HOOK_PERIOD);
            self.lua()
                .set_global_hook(lines, move |lua, frame| console.look(lua, frame))
        } else {
            self.watch_time()
        };
        watched.map_err(|error| Error::once(error.to_string()))
    }

    /// The parts that run chunks.
    pub(super) fn core(&self) -> Rc<Core> {
        self.core.clone()
    }

    /// Compiles a chunk; the error is Lua's sentence.
    pub fn compile(&self, text: &[u8], name: &str) -> Result<Chunk, String> {
        let function = self.compile_function(text, name)?;
        let kept = self.core.vm.keep(&function);
        kept.map_err(|error| error::first_line(&error))
    }

    fn compile_function(&self, text: &[u8], name: &str) -> Result<Function, String> {
        let compile = || {
            let chunk = self.lua().load(text).set_name(name);
            chunk.set_mode(ChunkMode::Text).into_function()
        };
        let compiled = match compile() {
            Err(mlua::Error::MemoryError(_)) => {
                self.collect_all();
                compile()
            }
            compiled => compiled,
        };
        compiled.map_err(|error| error::first_line(&error))
    }

    /// Runs a library's code, the state lent to it, so that it registers its functions.
    pub(super) fn register(
        &self,
        text: &[u8],
        name: &str,
    ) -> Result<impl FnOnce(&mut State) -> Result<(), Value> + use<>, String> {
        let code = self.compile_function(text, name)?;
        let (core, register) = (self.core(), self.register.clone());
        Ok(move |state: &mut State| {
            let ran = core.loan.lend(state, || {
                let host = core.vm.host();
                host.entered(|| register.call::<(bool, Value)>(code))
            });
            core.forget_kill();
            match ran {
                Ok((true, _)) => Ok(()),
                Ok((false, raised)) => Err(raised),
                Err(error) => Err(Value::Error(Box::new(error))),
            }
        })
    }

    /// Bytes the interpreter holds.
    pub fn memory(&self) -> usize {
        self.lua().used_memory()
    }

    /// Forgets dropped chunks now and then, and collects when memory is nearly used up.
    ///
    /// All else is the collector's own pace: it begins a cycle when twice the memory is held that the last one
    /// left, and does a step of it at every few allocations. Redis forces a step after every 50 scripts, so that
    /// an interpreter that is small and fast to fill is collected from one end to the other all the time. The cron
    /// collects what is left (`Engine::tidy`).
    #[doc(alias = "luaGC")]
    pub fn collect(&mut self) {
        self.calls += 1;
        self.cycles_due = 2;
        if self.calls >= FORGET_PERIOD {
            self.calls = 0;
            // Fails for want of memory only, and is tried again later.
            let _ = self.core.vm.forget_freed();
        }
        // LuaJIT paces its collections by the bytes it holds, and does not hurry near its bound.
        if self.memory() > MEMORY_MAX / 2 {
            self.collect_all();
        }
    }

    /// Frees all there is to be freed. To make its tables smaller the collector needs memory: it gets it.
    fn collect_all(&self) {
        let _ = self.core.vm.forget_freed();
        let _ = self.lua().set_memory_limit(0);
        let _ = self.lua().gc_collect();
        let _ = self.lua().set_memory_limit(MEMORY_MAX);
    }

    /// Collects what scripts left behind, in small steps, until `enough` returns true or all garbage is gone. Not while a
    /// script runs.
    pub(super) fn tidy(&mut self, mut enough: impl FnMut() -> bool) {
        while self.cycles_due > 0 && !enough() {
            match self.core.vm.collect_some(GC_STEP) {
                Ok(false) => {}
                Ok(true) => self.cycles_due -= 1,
                Err(_) => self.cycles_due = 0,
            }
        }
    }

    /// Frees a share of an interpreter that was flushed. Returns whether there is more to free.
    pub(super) fn dismantle(&self) -> bool {
        let _ = self.core.vm.forget_freed();
        matches!(self.core.vm.collect_some(GC_STEP), Ok(false))
    }
}

impl Core {
    /// A script that was killed could not catch its end; the next one may catch its own errors.
    pub(super) fn forget_kill(&self) {
        // Fails for want of memory only, and to overwrite a field takes none.
        let _ = self.killed.raw_set("why", Value::Nil);
    }
}

/// The words of what a run raised, as the client reads them, and whether they are counted already.
/// `script` is what the text calls the script: its SHA-1 or its function's name.
pub fn describe(raised: &Value, script: &str) -> (String, bool) {
    let text_of = |table: &Table, field: &str| -> Option<String> {
        match table.raw_get::<Value>(field).ok()? {
            Value::String(text) => Some(text.to_string_lossy()),
            Value::Integer(n) => Some(n.to_string()),
            Value::Number(n) => Some(n.to_string()),
            _ => None,
        }
    };
    match raised {
        Value::Table(table) => {
            let mut text = text_of(table, "err").unwrap_or_else(|| "ERR unknown error".into());
            if let (Some(source), Some(line)) = (text_of(table, "source"), text_of(table, "line")) {
                text.push_str(&format!(" script: {script}, on {source}:{line}."));
            }
            let counted = table.raw_get("ignore_error_stats_update").unwrap_or(false);
            (text, counted)
        }
        other => {
            let words = match other {
                Value::String(text) => text.to_string_lossy(),
                Value::Error(error) => error::first_line(error),
                _ => "execution failure".into(),
            };
            let cut: String = words.chars().take(100).collect();
            (format!("ERR Error running script {script}, {cut}"), false)
        }
    }
}
