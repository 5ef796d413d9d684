//! The debugger at work: it stops a script at a line, reads the user's orders, and obeys them.
//!
//! Lua calls the hook before each line. The state is lent to it as to every callback, but only for a
//! moment at a time: an `eval` order runs Lua code, and that code may call `redis.call`.
//!
//! Mirrors: `luaLdbLineHook` and `ldbRepl` of eval.c.
//! Differs: see `scripting/debugger/mod.rs`.

use std::rc::Rc;

use mlua::debug::{Debug, DebugEvent};
use mlua::{Function, Lua, Table, Value as LuaValue, VmState};

use crate::clients::{ClientFlags, ClientKey};
use crate::dispatch::Ctx;
use crate::resp::Error;
use crate::resp::request::{Limits, Parsed, Parser};
use crate::scripting::act::run::Invocation;
use crate::scripting::debugger::{Session, show_value};
use crate::scripting::describe;
use crate::scripting::error::{ScriptError, first_line};
use crate::state::State;
use crate::sys::loan::Loan;
use crate::sys::lua::locals;

/// The longest word of an order, in bytes.
const WORD_MAX: u64 = 1024;

/// Bytes that orders not yet obeyed may take.
const INPUT_MAX: usize = 1 << 20;

/// Lines around the current one that `list` shows.
const CONTEXT: usize = 5;

/// Without a limit for scripts, one that does not come to an end is stopped after this.
const TIMEOUT_MS: u64 = 5000;

const HELP: &[&str] = &[
    "Redis Lua debugger help:",
    "[h]elp               These lines.",
    "[s]tep               Run the current line and stop before the next.",
    "[n]ext               The same as step.",
    "[c]ontinue           Run until a breakpoint.",
    "[l]ist               The script around the current line.",
    "[l]ist [line]        The script around a line; 0 is the current one.",
    "[l]ist [line] [ctx]  As many lines before and after it as ctx says.",
    "[w]hole              All of the script.",
    "[p]rint              All local variables.",
    "[p]rint <var>        One variable, of this function or of those that called it;",
    "                     KEYS and ARGV too.",
    "[b]reak              All breakpoints.",
    "[b]reak <line>       Stop at a line from now on.",
    "[b]reak -<line>      Do not stop there any more.",
    "[b]reak 0            Do not stop anywhere.",
    "[t]race              The functions that are being run.",
    "[e]val <code>        Run Lua code; it does not see the script's local variables.",
    "[r]edis <cmd>        Run a command.",
    "[m]axlen [len]       Show no more than len bytes of values and replies; 0 shows all.",
    "[a]bort              End the script. What it changed stays changed, in a sync session.",
    "",
    "Functions for the script itself:",
    "redis.debug(...)     Shows values here.",
    "redis.breakpoint()   Stops before the next line.",
];

/// The parts of the interpreter that the hook needs.
#[derive(Debug)]
pub(in crate::scripting) struct Console {
    pub(in crate::scripting) loan: Rc<Loan<State>>,
    pub(in crate::scripting) killed: Table,
    pub(in crate::scripting) globals: Table,
    /// Runs a function behind the last error handler.
    pub(in crate::scripting) run: Function,
}

/// Why the script stands.
enum Reason {
    Step,
    Breakpoint,
    Asked,
    Timeout,
}

/// The state of the session after an order.
enum Then {
    /// The next order.
    Wait,
    /// The script goes on.
    Go,
}

impl Console {
    /// Called before each line, and now and then within one.
    #[doc(alias = "luaLdbLineHook")]
    pub(in crate::scripting) fn look(&self, lua: &Lua, frame: &Debug<'_>) -> mlua::Result<VmState> {
        let source = frame.source();
        let of_script = source
            .short_src
            .as_deref()
            .is_some_and(|name| name.contains("user_script"));
        let (Some(line), true) = (frame.current_line(), of_script) else {
            return Ok(VmState::Continue);
        };
        let between = frame.event() == DebugEvent::Count;
        let Some(reason) = self
            .with(|state| debug_stop(state, line, between))
            .flatten()
        else {
            return Ok(VmState::Continue);
        };
        let timed_out = matches!(reason, Reason::Timeout);
        let stays = self.with(|state| debug_show(state, &reason)) == Some(true);
        let ended = if stays {
            self.obey(lua)
        } else if timed_out {
            let text = "timeout during Lua debugging with client closing connection";
            Err(ScriptError::of_redis(text))
        } else {
            Ok(())
        };
        if let Err(error) = ended {
            // Not to be caught by the script.
            self.killed.raw_set("why", error.to_table(lua)?)?;
            return Err(error.raise());
        }
        self.with(|state| {
            let now = state.clock.monotonic_ns();
            if let Some(run) = &mut state.scripts.run {
                run.started_ns = now;
            }
        });
        Ok(VmState::Continue)
    }

    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> Option<R> {
        self.loan.with(f)
    }

    fn session<R>(&self, f: impl FnOnce(&mut Session) -> R) -> Option<R> {
        let found = |state: &mut State| state.scripts.debugger.session.as_deref_mut().map(f);
        self.with(found).flatten()
    }

    /// Takes orders until one lets the script go on, or ends it.
    #[doc(alias = "ldbRepl")]
    fn obey(&self, lua: &Lua) -> Result<(), ScriptError> {
        loop {
            let order = self.with(debug_order);
            let Some(words) = order.unwrap_or(Ok(None))? else {
                return Ok(());
            };
            let Some((name, args)) = words.split_first() else {
                continue;
            };
            match self.obey_one(lua, &name.to_ascii_lowercase(), args)? {
                Then::Go => return Ok(()),
                Then::Wait => self.with(debug_send),
            };
        }
    }

    fn obey_one(&self, lua: &Lua, name: &[u8], args: &[Vec<u8>]) -> Result<Then, ScriptError> {
        match name {
            b"s" | b"step" | b"n" | b"next" => {
                self.session(|session| session.step = true);
                return Ok(Then::Go);
            }
            b"c" | b"continue" => return Ok(Then::Go),
            b"a" | b"abort" => {
                return Err(ScriptError::of_redis("script aborted for user request"));
            }
            b"e" | b"eval" => self.eval(lua, &args.join(&b' ')),
            b"r" | b"redis" if !args.is_empty() => self.redis(args),
            b"p" | b"print" => self.print(lua, args.first().map(Vec::as_slice)),
            b"t" | b"trace" => self.trace(lua),
            _ => {
                self.session(|session| obey_simple(session, name, args));
            }
        }
        Ok(Then::Wait)
    }

    /// Compiles the code as an expression, or else as a statement, and shows its result.
    #[doc(alias = "ldbEval")]
    fn eval(&self, lua: &Lua, code: &[u8]) {
        let compile = |code: &[u8]| {
            let chunk = lua.load(code).set_name("@ldb_eval");
            chunk.set_mode(mlua::chunk::ChunkMode::Text).into_function()
        };
        let function = compile(&[b"return ", code].concat()).or_else(|_| compile(code));
        let ran = function.and_then(|f| self.run.call::<(bool, LuaValue)>(f));
        self.session(|session| match ran {
            Ok((true, value)) => session.say_value("<retval> ", &value),
            Ok((false, LuaValue::Table(raised))) => {
                let text = raised.raw_get::<mlua::LuaString>("err");
                let text = text.map_or_else(|_| b"?".to_vec(), |text| text.as_bytes().to_vec());
                session.say([b"<error> ", &text[..]].concat());
            }
            Ok((false, raised)) => session.say(format!("<error> {}", describe(&raised, "").0)),
            Err(error) => session.say(format!("<error> {}", first_line(&error))),
        });
    }

    /// Runs a command as the script would, so that it and its reply are shown.
    #[doc(alias = "ldbRedis")]
    fn redis(&self, words: &[Vec<u8>]) {
        self.session(|session| session.step = true);
        let argv = crate::resp::argv::OwnedArgv::from_words(words);
        // The result has been shown already.
        let _ = self.with(|state| crate::scripting::act::api::call_words(state, argv.as_argv()));
        self.session(|session| session.step = false);
    }

    /// Shows a variable, of the innermost function that has one of this name; or all of the current one.
    #[doc(alias = "ldbPrint")]
    fn print(&self, lua: &Lua, wanted: Option<&[u8]>) {
        let Some(wanted) = wanted else {
            let mut shown = 0;
            for (name, value) in locals(lua, 0).unwrap_or_default() {
                if !name.starts_with(b"(*temporary") {
                    let prefix = [b"<value> ", &name[..], b" = "].concat();
                    self.session(|session| session.say_value(prefix, &value));
                    shown += 1;
                }
            }
            if shown == 0 {
                let text = "No local variables in the current context.";
                self.session(|session| session.say(text));
            }
            return;
        };
        let mut level = 0;
        while let Some(found) = locals(lua, level) {
            level += 1;
            if let Some((_, value)) = found.iter().find(|(name, _)| name == wanted) {
                self.session(|session| session.say_value("<value> ", value));
                return;
            }
        }
        let global = match wanted {
            b"KEYS" | b"ARGV" => self
                .globals
                .raw_get::<LuaValue>(&*String::from_utf8_lossy(wanted)),
            _ => Ok(LuaValue::Nil),
        };
        self.session(|session| match global {
            Ok(value @ LuaValue::Table(_)) => session.say_value("<value> ", &value),
            _ => session.say("No such variable."),
        });
    }

    /// Shows which functions of the script are being run, the innermost first.
    #[doc(alias = "ldbTrace")]
    fn trace(&self, lua: &Lua) {
        let mut level = 0;
        while let Some(found) = lua.inspect_stack(level, |frame| {
            let source = frame.source();
            let name = source.short_src.as_deref()?;
            let of_script = name.contains("user_script");
            let called = frame.names().name.map(|name| name.into_owned());
            of_script.then_some((called, frame.current_line().unwrap_or(0)))
        }) {
            if let Some((name, line)) = found {
                let word = if level == 0 { "In" } else { "From" };
                let name = name.as_deref().unwrap_or("top level");
                self.session(|session| {
                    session.say(format!("{word} {name}:"));
                    session.say_source(line);
                });
            }
            level += 1;
        }
    }
}

impl Session {
    #[doc(alias = "ldbLogStackValue")]
    fn say_value(&mut self, prefix: impl Into<Vec<u8>>, value: &LuaValue) {
        let mut line = prefix.into();
        show_value(&mut line, value, 0);
        self.say_cut(line);
    }
}

/// Whether the script stops here, and why. `between` lines only one that does not end is stopped.
fn debug_stop(state: &mut State, line: usize, between: bool) -> Option<Reason> {
    let limit_ms = match state.config.busy_reply_threshold {
        0 => TIMEOUT_MS,
        ms => ms,
    };
    let now = state.clock.monotonic_ns();
    let started = state.scripts.run.as_ref()?.started_ns;
    let session = state.scripts.debugger.session.as_mut()?;
    session.line = line;
    let asked = std::mem::take(&mut session.break_now);
    let reason = if asked {
        Reason::Asked
    } else if session.breakpoints.contains(&line) {
        Reason::Breakpoint
    } else if session.step {
        Reason::Step
    } else if between && now.saturating_sub(started) / 1_000_000 >= limit_ms {
        Reason::Timeout
    } else {
        return None;
    };
    session.step = false;
    Some(reason)
}

/// Shows where the script stands. Returns whether the user's connection is there.
fn debug_show(state: &mut State, reason: &Reason) -> bool {
    if let Some(session) = &mut state.scripts.debugger.session {
        let reason = match reason {
            Reason::Step => "step over",
            Reason::Breakpoint => "break point",
            Reason::Asked => "redis.breakpoint() called",
            Reason::Timeout => "timeout reached, infinite loop?",
        };
        let line = session.line;
        session.say(format!("* Stopped at {line}, stop reason = {reason}"));
        session.say_source(line);
    }
    debug_send(state)
}

/// Sends the lines of the session. Returns whether the user's connection took them.
fn debug_send(state: &mut State) -> bool {
    let Some(session) = &mut state.scripts.debugger.session else {
        return false;
    };
    if session.deserted {
        session.log.clear();
        return false;
    }
    let (client, output) = (session.client, session.take_output());
    let sent = host_send(state, client, &output);
    if !sent {
        debug_desert(state);
    }
    sent
}

/// The connection of the user is gone: the script runs to its end without stops.
fn debug_desert(state: &mut State) {
    if let Some(session) = &mut state.scripts.debugger.session {
        session.deserted = true;
        session.step = false;
        session.breakpoints.clear();
    }
}

/// Waits for the next order; none when the client is gone.
#[doc(alias = "ldbReplParseCommand")]
fn debug_order(state: &mut State) -> Result<Option<Vec<Vec<u8>>>, ScriptError> {
    let limits = Limits {
        max_bulk: WORD_MAX,
        unauthenticated: false,
        in_place: false,
    };
    loop {
        let Some(session) = state.scripts.debugger.session.as_deref_mut() else {
            return Ok(None);
        };
        if session.deserted {
            return Ok(None);
        }
        match session
            .parser
            .parse(&session.input, limits, &mut session.request)
        {
            Parsed::Request => {
                let argv = session.request.argv(&session.input);
                let words = argv.iter().map(<[u8]>::to_vec).collect();
                session.input.drain(..session.request.len);
                session.parser = Parser::default();
                return Ok(Some(words));
            }
            Parsed::Incomplete if session.input.len() < INPUT_MAX => {}
            Parsed::Incomplete => {
                return Err(ScriptError::of_redis("max client buffer reached"));
            }
            Parsed::Error(_) => return Err(ScriptError::of_redis("protocol error")),
        }
        let client = session.client;
        let mut buf = [0; 1024];
        match host_receive(state, client, &mut buf) {
            0 => debug_desert(state),
            n => {
                if let Some(session) = &mut state.scripts.debugger.session {
                    session.input.extend_from_slice(&buf[..n]);
                }
            }
        }
    }
}

/// Sends bytes to a client at once, waiting for its socket; false when that fails.
fn host_send(state: &mut State, client: ClientKey, bytes: &[u8]) -> bool {
    let Some(mut host) = state.host.take() else {
        return false;
    };
    let sent = host.send_now(client, bytes);
    state.host = Some(host);
    sent
}

/// Waits for bytes of a client; 0 when none will come.
fn host_receive(state: &mut State, client: ClientKey, buf: &mut [u8]) -> usize {
    let Some(mut host) = state.host.take() else {
        return 0;
    };
    let n = host.wait_for(client, buf);
    state.host = Some(host);
    n
}

/// EVAL or EVALSHA of a client that debugs: a session around it.
#[doc(alias = "evalGenericCommandWithDebugging")]
pub(in crate::scripting) fn debugged(
    ctx: &mut Ctx<'_>,
    what: Invocation<'_>,
    by_sha: bool,
) -> Result<(), Error> {
    let client = ctx.client;
    let scripts = &mut ctx.state.scripts;
    scripts.debugger.disarm(client);
    let word = what.argv.get(1);
    let script = match scripts.get(word) {
        Some(script) if by_sha => script.body.to_vec(),
        _ => word.to_vec(),
    };
    scripts.engine()?.watch_lines(true)?;
    scripts.debugger.begin(client, &script);
    let log = &ctx.state.log;
    let kind = match ctx.state.scripts.debugger.on_a_copy {
        true => "asynchronous",
        false => "synchronous",
    };
    log.notice(format_args!("Redis {kind} debugging eval session started"));

    let result = crate::scripting::act::run::eval_now(ctx, what, by_sha);

    let state = &mut *ctx.state;
    if let Some(mut session) = state.scripts.debugger.session.take() {
        session.say("<endsession>");
        let output = session.take_output();
        host_send(state, client, &output);
    }
    if let Ok(engine) = state.scripts.engine() {
        engine.watch_lines(false)?;
    }
    let log = &state.log;
    log.notice(format_args!("Redis {kind} debugging eval session ended"));
    if let Some(client) = state.clients.get_mut(client) {
        client.flags.set(ClientFlags::CLOSE_AFTER_REPLY);
    }
    result
}

/// Orders that need only the session.
fn obey_simple(session: &mut Session, name: &[u8], args: &[Vec<u8>]) {
    // As C's atoi: what is no number is 0.
    let number = |i: usize| {
        let text = args.get(i).and_then(|arg| std::str::from_utf8(arg).ok());
        text.and_then(|text| text.parse::<usize>().ok())
            .unwrap_or(0)
    };
    match name {
        b"h" | b"help" => HELP.iter().for_each(|line| session.say(*line)),
        b"m" | b"maxlen" => session.change_shown(args.first()),
        b"b" | b"break" => session.change_breakpoints(args),
        b"l" | b"list" => {
            let around = match number(0) {
                0 => session.line,
                line => line,
            };
            let context = if args.len() > 1 { number(1) } else { CONTEXT };
            session.say_lines(around, context);
        }
        b"w" | b"whole" => session.say_lines(1, usize::MAX),
        _ => {
            session.say("<error> Unknown Redis Lua debugger command or wrong number of arguments.")
        }
    }
}
