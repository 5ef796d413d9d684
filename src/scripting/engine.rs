//! One Lua interpreter: its libraries, its sandbox, its limits.
//!
//! Scripts and functions have one each, as in Redis; both are made when first needed. The globals
//! are built by `prelude.lua`, which also explains how they are kept from being changed.
//!
//! Mirrors: `luaRegisterRedisAPI`, `luaCallFunction` and `scriptingInit` of Redis.

use std::fmt;
use std::rc::Rc;

use mlua::chunk::ChunkMode;
use mlua::{Function, HookTriggers, Lua, LuaOptions, StdLib, Table, Value, VmState};

use super::debugger::Console;
use super::error::{self, PRELUDE_NAME, ScriptError};
use super::{Drand48, Interrupt, api, bit, cjson, cmsgpack, pack};
use crate::resp::Error;
use crate::state::State;
use crate::sys::loan::Loan;

const PRELUDE: &str = include_str!("prelude.lua");

/// Instructions between two looks at the clock.
const HOOK_PERIOD: u32 = 100_000;
/// Scripts and functions run between two steps of the garbage collector, and its effort then.
const GC_PERIOD: u32 = 50;
/// What one interpreter may hold. Redis has no bound: a script that allocates for ever ends the server.
const MEMORY_MAX: usize = 4 << 30;

/// What an interpreter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// EVAL.
    Scripts,
    /// FCALL.
    Functions,
}

/// An interpreter.
pub struct Engine {
    /// The interpreter itself; a handle.
    pub lua: Lua,
    loan: Rc<Loan<State>>,
    globals: Table,
    killed: Table,
    run: Function,
    apply: Function,
    register: Function,
    calls: u32,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// The parts needed to run something while the engine's owner is lent to it. Handles: cheap to clone.
#[derive(Clone)]
pub struct Runner {
    lua: Lua,
    loan: Rc<Loan<State>>,
    globals: Table,
    killed: Table,
    run: Function,
    apply: Function,
    register: Function,
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").finish_non_exhaustive()
    }
}

impl Engine {
    /// Makes an interpreter. The error is Lua's, and means that there is no memory for one.
    pub fn new(kind: EngineKind) -> mlua::Result<Engine> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::OS;
        let options = LuaOptions::new().catch_rust_panics(false);
        let lua = Lua::new_with(libraries, options)?;
        let loan = Rc::new(Loan::default());

        let killed = lua.create_table()?;
        let native = lua.create_table()?;
        native.raw_set("killed", &killed)?;
        native.raw_set("cjson", cjson::open(&lua)?)?;
        native.raw_set("cmsgpack", cmsgpack::open(&lua)?)?;
        native.raw_set("struct", pack::open(&lua)?)?;
        native.raw_set("bit", bit::open(&lua)?)?;
        native.raw_set("redis", api::open(&lua, &loan, kind)?)?;
        if kind == EngineKind::Functions {
            native.raw_set("registering", api::open_registering(&lua, &loan)?)?;
        }
        native.raw_set(
            "readonly",
            lua.create_function(|_, _: ()| -> mlua::Result<()> {
                Err(ScriptError::plain("Attempt to modify a readonly table"))
            })?,
        )?;
        native.raw_set(
            "missing",
            lua.create_function(|_, (_, name): (Value, Value)| -> mlua::Result<()> {
                let name = match &name {
                    Value::String(name) => name.to_string_lossy(),
                    other => other.to_string()?,
                };
                Err(ScriptError::plain(format!(
                    "Script attempted to access nonexistent global variable '{name}'"
                )))
            })?,
        )?;
        native.raw_set(
            "raised",
            lua.create_function(|lua, raised: Value| match &raised {
                Value::Error(error) => error::seen(lua, error),
                _ => Ok(raised),
            })?,
        )?;
        native.raw_set(
            "handler",
            lua.create_function(|lua, raised: Value| error::handle(lua, raised))?,
        )?;
        let (random, seed) = Drand48::functions(&lua)?;
        native.raw_set("random", random)?;
        native.raw_set("randomseed", seed)?;

        let prelude: Table = lua
            .load(PRELUDE)
            .set_name(PRELUDE_NAME)
            .set_mode(ChunkMode::Text)
            .call(native)?;
        lua.set_memory_limit(MEMORY_MAX)?;
        let engine = Engine {
            globals: prelude.get("globals")?,
            run: prelude.get("run")?,
            apply: prelude.get("apply")?,
            register: prelude.get("register")?,
            lua,
            loan,
            killed,
            calls: 0,
        };
        engine.watch_time()?;
        Ok(engine)
    }

    /// Looks at the clock now and then while scripts run.
    fn watch_time(&self) -> mlua::Result<()> {
        let hooked = self.loan.clone();
        let why = self.killed.clone();
        let every = HookTriggers::new().every_nth_instruction(HOOK_PERIOD);
        self.lua.set_global_hook(every, move |lua, _| {
            let told = hooked.with(|state| state.script_interrupt());
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
                loan: self.loan.clone(),
                killed: self.killed.clone(),
                globals: self.globals.clone(),
                run: self.run.clone(),
            };
            let lines = HookTriggers::new()
                .every_line()
                .every_nth_instruction(HOOK_PERIOD);
            self.lua
                .set_global_hook(lines, move |lua, frame| console.look(lua, frame))
        } else {
            self.watch_time()
        };
        watched.map_err(|error| Error::once(error.to_string()))
    }

    /// What runs things.
    pub fn runner(&self) -> Runner {
        Runner {
            lua: self.lua.clone(),
            loan: self.loan.clone(),
            globals: self.globals.clone(),
            killed: self.killed.clone(),
            run: self.run.clone(),
            apply: self.apply.clone(),
            register: self.register.clone(),
        }
    }

    /// Compiles a chunk; the error is Lua's sentence.
    pub fn compile(&self, text: &[u8], name: &str) -> Result<Function, String> {
        self.lua
            .load(text)
            .set_name(name)
            .set_mode(ChunkMode::Text)
            .into_function()
            .map_err(|error| error::first_line(&error))
    }

    /// Bytes the interpreter holds.
    pub fn memory(&self) -> usize {
        self.lua.used_memory()
    }

    /// Lets the garbage collector do its share, now and then.
    #[doc(alias = "luaGC")]
    pub fn collect(&mut self) {
        self.calls += 1;
        if self.calls >= GC_PERIOD {
            self.calls = 0;
            // An error in a finaliser: there are none that could raise one.
            let _ = self.lua.gc_step();
        }
    }
}

/// How a run ended: with a value, or with what was raised.
pub type Ran = Result<Value, Value>;

impl Runner {
    /// The interpreter.
    pub fn lua(&self) -> &Lua {
        &self.lua
    }

    /// Runs a script, the state lent to it, KEYS and ARGV set.
    pub fn run(&self, state: &mut State, f: &Function, keys: Table, args: Table) -> Ran {
        let called = self.prepare().and_then(|()| {
            self.globals.raw_set("KEYS", keys)?;
            self.globals.raw_set("ARGV", args)?;
            self.loan.lend(state, || self.run.call::<(bool, Value)>(f))
        });
        ran(called)
    }

    /// Calls a function with its keys and arguments, the state lent to it.
    pub fn apply(&self, state: &mut State, f: &Function, keys: Table, args: Table) -> Ran {
        let called = self.prepare().and_then(|()| {
            self.loan
                .lend(state, || self.apply.call::<(bool, Value)>((f, keys, args)))
        });
        ran(called)
    }

    /// Runs a library's code so that it registers its functions.
    pub fn register(&self, state: &mut State, f: &Function) -> Ran {
        let called = self.prepare().and_then(|()| {
            self.loan
                .lend(state, || self.register.call::<(bool, Value)>(f))
        });
        ran(called)
    }

    fn prepare(&self) -> mlua::Result<()> {
        self.killed.raw_set("why", Value::Nil)
    }

    /// An array of strings.
    pub fn strings<'a>(
        &self,
        words: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> mlua::Result<Table> {
        let table = self.lua.create_table_with_capacity(words.len(), 0)?;
        for (i, word) in words.enumerate() {
            table.raw_seti(i + 1, self.lua.create_string(word)?)?;
        }
        Ok(table)
    }
}

fn ran(called: mlua::Result<(bool, Value)>) -> Ran {
    match called {
        Ok((true, value)) => Ok(value),
        Ok((false, raised)) => Err(raised),
        Err(error) => Err(Value::Error(Box::new(error))),
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
