//! The `redis` table of scripts.
//!
//! Mirrors: the `luaRedis*Command` functions of script_lua.c, and `scriptCall` of script.c.
//! Differs: a reply becomes Lua values as a tree; Redis parses RESP text that it has just written.

use std::rc::Rc;

use mlua::{Lua, MultiValue, Table, Value};

use super::{clients, run};
use crate::acl;
use crate::clients::ClientFlags;
use crate::collections::shared::BigStr;
use crate::command::Targets;
use crate::dispatch::{CallOrigin, call};
use crate::resp::argv::{Argv, OwnedArgv};
use crate::resp::{Protocol, Reply};
use crate::scripting::engine::EngineKind;
use crate::scripting::error::ScriptError;
use crate::scripting::functions::Registration;
use crate::scripting::reply::Passed;
use crate::scripting::{Interrupt, SPARE_MAX};
use crate::state::State;
use crate::sys::loan::Loan;
use crate::sys::log::Level;
use crate::sys::lua::{Arg, Args, Fault, Host, Seen, door};
use crate::util::num;
use crate::util::sha1::sha1_hex;

const NOT_NOW: &str = "redis functions are only available while a script runs";

/// A word from this size on is not copied again when it becomes a value.
const BIG_WORD: usize = 32 * 1024;

const NO_WORDS: &str = "Please specify at least one argument for this redis lib call";

const NO_WORD: &str = "Lua redis lib command arguments must be strings or integers";

/// Called now and then while a script runs: lets others be served when it takes long, and says
/// whether it must end.
#[doc(alias = "scriptInterrupt")]
pub(in crate::scripting) fn script_interrupt(state: &mut State) -> Interrupt {
    let now = state.clock.monotonic_ns();
    if let Some(registering) = &state.scripts.registering {
        return if registering.is_late(now) {
            Interrupt::Stop(ScriptError::of_redis("FUNCTION LOAD timeout"))
        } else {
            Interrupt::Continue
        };
    }
    let threshold_ms = state.config.busy_reply_threshold;
    let Some(run) = &mut state.scripts.run else {
        return Interrupt::Continue;
    };
    let elapsed_ms = now.saturating_sub(run.started_ns) / 1_000_000;
    if !run.timed_out {
        if threshold_ms == 0 || elapsed_ms < threshold_ms || run.debugged {
            return Interrupt::Continue;
        }
        run.timed_out = true;
        let caller = run.caller;
        let text = format!(
            "Slow script detected: still in execution after {elapsed_ms} milliseconds. You can \
             try killing the script using the {} command. Script name is: {}.",
            run.kill_command(),
            run.name
        );
        state.log.write(Level::Warning, &text);
        if let Some(client) = state.clients.get_mut(caller) {
            client.flags.set(ClientFlags::BUSY);
        }
    }
    serve_while_busy(state);
    let killed = state.scripts.run.as_ref().is_some_and(|run| run.killed);
    if !killed {
        return Interrupt::Continue;
    }
    state.log.write(
        Level::Notice,
        &"Lua script killed by user with SCRIPT KILL.",
    );
    Interrupt::Stop(ScriptError::of_redis(
        "Script killed by user with SCRIPT KILL...",
    ))
}

/// Serves other clients while a script runs: they learn that the server is busy.
fn serve_while_busy(state: &mut State) {
    if !state.serve_meanwhile()
        && let Some(run) = &mut state.scripts.run
    {
        // SHUTDOWN NOSAVE: nothing the script did matters any more.
        run.killed = true;
    }
}

/// The table for scripts or functions.
#[doc(alias = "luaRegisterRedisAPI")]
pub fn open(
    lua: &Lua,
    host: &Rc<Host>,
    loan: &Rc<Loan<State>>,
    kind: EngineKind,
) -> mlua::Result<Table> {
    let redis = lua.create_table()?;
    open_calls(lua, host, loan, &redis)?;
    open_run(lua, loan, &redis)?;
    open_rights(lua, loan, &redis)?;
    open_replies(lua, host, &redis)?;
    open_log(lua, loan, &redis)?;
    if kind == EngineKind::Scripts {
        open_debugger(lua, loan, &redis)?;
    }
    Ok(redis)
}

/// `redis.call()` and `redis.pcall()`.
fn open_calls(
    lua: &Lua,
    host: &Rc<Host>,
    loan: &Rc<Loan<State>>,
    redis: &Table,
) -> mlua::Result<()> {
    for (name, raise) in [("call", true), ("pcall", false)] {
        let loan = loan.clone();
        let run = door(lua, host, move |args| {
            let called = loan.with(|state| redis_call(state, args));
            match called.unwrap_or_else(|| Err(ScriptError::of_redis(NOT_NOW))) {
                Ok((value, resp3)) => Ok(Passed::Answer(value, resp3)),
                Err(error) if raise => Err(Fault::Value(Passed::Error(error))),
                Err(error) => Ok(Passed::Error(error)),
            }
        })?;
        redis.raw_set(name, run)?;
    }
    Ok(())
}

/// The functions that change the run: `redis.setresp()` and `redis.set_repl()`.
fn open_run(lua: &Lua, loan: &Rc<Loan<State>>, redis: &Table) -> mlua::Result<()> {
    let state = loan.clone();
    redis.raw_set(
        "setresp",
        lua.create_function(move |_, args: MultiValue| {
            let [version] = exactly(args, "redis.setresp() requires one argument.")?;
            let protocol = match number(&version) as i64 {
                2 => Protocol::Resp2,
                3 => Protocol::Resp3,
                _ => return Err(raised("RESP version must be 2 or 3.")),
            };
            lent(&state, |state| {
                if let Some(run) = &mut state.scripts.run {
                    run.protocol = protocol;
                }
            })
        })?,
    )?;
    let state = loan.clone();
    redis.raw_set(
        "set_repl",
        lua.create_function(move |_, args: MultiValue| {
            let [flags] = exactly(args, "redis.set_repl() requires one argument.")?;
            let flags = number(&flags) as i64;
            if flags & !3 != 0 {
                return Err(raised(
                    "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.",
                ));
            }
            let of = |bit, targets| {
                if flags & bit != 0 {
                    targets
                } else {
                    Targets::NONE
                }
            };
            let targets = of(1, Targets::AOF).or(of(2, Targets::REPLICAS));
            lent(&state, |state| {
                if let Some(run) = &mut state.scripts.run {
                    run.targets = targets;
                }
            })
        })?,
    )?;
    for (name, targets) in [
        ("REPL_NONE", 0),
        ("REPL_AOF", 1),
        ("REPL_SLAVE", 2),
        ("REPL_REPLICA", 2),
        ("REPL_ALL", 3),
    ] {
        redis.raw_set(name, targets)?;
    }
    Ok(())
}

/// `redis.acl_check_cmd()`.
fn open_rights(lua: &Lua, loan: &Rc<Loan<State>>, redis: &Table) -> mlua::Result<()> {
    let state = loan.clone();
    let check = lua.create_function(move |_, args: MultiValue| {
        let argv = words(args).map_err(ScriptError::raise)?;
        lent(&state, |state| {
            match state.commands.lookup(argv.as_argv()) {
                Ok(id) => {
                    let client = clients::script_client(state);
                    let checked = acl::act::check_rights(state, client, id, argv.as_argv());
                    Ok(checked.is_ok())
                }
                Err(_) => Err(raised("Invalid command passed to redis.acl_check_cmd()")),
            }
        })?
    })?;
    redis.raw_set("acl_check_cmd", check)
}

/// The functions that only make values: `redis.sha1hex()`, `redis.error_reply()` and `redis.status_reply()`.
fn open_replies(lua: &Lua, host: &Rc<Host>, redis: &Table) -> mlua::Result<()> {
    redis.raw_set(
        "sha1hex",
        door(lua, host, |args| {
            if args.len() != 1 {
                let error = ScriptError::of_redis("wrong number of arguments");
                return Err(Fault::Value(Passed::Error(error)));
            }
            let text = args.bytes(0).unwrap_or_default();
            Ok(Passed::Digest(sha1_hex(&text)))
        })?,
    )?;
    for (name, is_error) in [("error_reply", true), ("status_reply", false)] {
        let make = door(lua, host, move |args| {
            let text = match (args.len(), args.see(0)) {
                (1, Seen::Bytes(text)) => text,
                _ => {
                    let error = ScriptError::of_redis("wrong number or type of arguments");
                    return Ok::<_, Fault<Passed>>(Passed::Error(error));
                }
            };
            if !is_error {
                return Ok(Passed::Status);
            }
            let text = String::from_utf8_lossy(text);
            let text = match text.strip_prefix('-') {
                Some(_) => text.into_owned(),
                None => format!("-{text}"),
            };
            Ok(Passed::Error(ScriptError::of_redis(&text)))
        })?;
        redis.raw_set(name, make)?;
    }
    Ok(())
}

/// The functions of scripts alone: those of the debugger, and `redis.replicate_commands()`, which is always on.
fn open_debugger(lua: &Lua, loan: &Rc<Loan<State>>, redis: &Table) -> mlua::Result<()> {
    let state = loan.clone();
    redis.raw_set(
        "breakpoint",
        lua.create_function(move |_, _: MultiValue| {
            lent(&state, |state| state.scripts.debugger.break_here())
        })?,
    )?;
    let state = loan.clone();
    redis.raw_set(
        "debug",
        lua.create_function(move |_, args: MultiValue| {
            lent(&state, |state| state.scripts.debugger.say(&args))
        })?,
    )?;
    redis.raw_set(
        "replicate_commands",
        lua.create_function(|_, _: MultiValue| Ok(true))?,
    )
}

/// The table for libraries while they register their functions.
pub fn open_registering(lua: &Lua, loan: &Rc<Loan<State>>) -> mlua::Result<Table> {
    let redis = lua.create_table()?;
    let state = loan.clone();
    redis.raw_set(
        "register_function",
        lua.create_function(move |lua, args: MultiValue| {
            let registered = lent(&state, |state| {
                let scripts = &mut state.scripts;
                let engine = scripts.libraries.engine().map(|engine| engine.core());
                match (&mut scripts.registering, engine) {
                    (Some(registering), Ok(core)) => Registration::read(lua, args)
                        .and_then(|registration| registering.add(registration, &core.vm)),
                    _ => {
                        let when = "on FUNCTION LOAD command";
                        Err(format!("redis.register_function can only be called {when}"))
                    }
                }
            })?;
            registered.map_err(|text| raised(&text))
        })?,
    )?;
    open_log(lua, loan, &redis)?;
    Ok(redis)
}

fn open_log(lua: &Lua, loan: &Rc<Loan<State>>, redis: &Table) -> mlua::Result<()> {
    let levels = ["LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING"];
    for (level, name) in levels.into_iter().enumerate() {
        redis.raw_set(name, level)?;
    }
    redis.raw_set("REDIS_VERSION", crate::REDIS_VERSION)?;
    redis.raw_set("REDIS_VERSION_NUM", version_number())?;
    let state = loan.clone();
    let log = lua.create_function(move |lua, mut args: MultiValue| {
        if args.len() < 2 {
            return Err(raised("redis.log() requires two arguments or more."));
        }
        let level = args.pop_front().unwrap_or_default();
        let Some(level) = lua.coerce_number(level)? else {
            return Err(raised("First argument must be a number (log level)."));
        };
        let level = match level as i64 {
            0 => Level::Debug,
            1 => Level::Verbose,
            2 => Level::Notice,
            3 => Level::Warning,
            _ => return Err(raised("Invalid log level.")),
        };
        let mut line = Vec::new();
        for arg in args {
            if let Some(text) = lua.coerce_string(arg)? {
                if !line.is_empty() {
                    line.push(b' ');
                }
                line.extend_from_slice(&text.as_bytes());
            }
        }
        lent(&state, |state| {
            let line = String::from_utf8_lossy(&line);
            state.log.write(level, &line);
        })
    })?;
    redis.raw_set("log", log)
}

/// The version as one number: 0x00MMmmpp.
fn version_number() -> i64 {
    let parts = crate::REDIS_VERSION.split('.');
    parts.fold(0, |n, part| n << 8 | part.parse().unwrap_or(0))
}

fn raised(text: &str) -> mlua::Error {
    ScriptError::of_redis(text).raise()
}

fn lent<R>(loan: &Loan<State>, f: impl FnOnce(&mut State) -> R) -> mlua::Result<R> {
    loan.with(f).ok_or_else(|| raised(NOT_NOW))
}

fn exactly<const N: usize>(args: MultiValue, complaint: &str) -> mlua::Result<[Value; N]> {
    let args: Vec<Value> = args.into_iter().collect();
    args.try_into().map_err(|_| raised(complaint))
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Integer(n) => *n as f64,
        Value::Number(n) => *n,
        Value::String(text) => num::parse_f64(&text.as_bytes()).unwrap_or(0.0),
        _ => 0.0,
    }
}

/// As [`words`], from where they lie on Lua's stack.
#[doc(alias = "luaArgsToRedisArgv")]
fn words_of(args: &Args<'_>, argv: &mut OwnedArgv) -> Result<(), ScriptError> {
    if args.is_empty() {
        return Err(ScriptError::of_redis(NO_WORDS));
    }
    for arg in args.iter() {
        match arg {
            Arg::Bytes(bytes) if bytes.len() >= BIG_WORD => {
                argv.push_big(BigStr::from_slice(bytes));
            }
            Arg::Bytes(bytes) => argv.push(bytes),
            Arg::Number(n) => push_number(argv, n),
            Arg::Other => return Err(ScriptError::of_redis(NO_WORD)),
        }
    }
    Ok(())
}

fn push_number(argv: &mut OwnedArgv, n: f64) {
    match num::as_whole(n) {
        Some(n) => argv.push_integer(n),
        None => argv.push(num::format_f64(n).as_bytes()),
    }
}

/// The words of a command. Numbers are written as Redis writes them, whole ones without a fraction.
#[doc(alias = "luaArgsToRedisArgv")]
fn words(args: MultiValue) -> Result<OwnedArgv, ScriptError> {
    if args.is_empty() {
        return Err(ScriptError::of_redis(NO_WORDS));
    }
    let mut argv = crate::resp::argv::OwnedArgv::default();
    for arg in args {
        match arg {
            Value::String(text) => argv.push(&text.as_bytes()),
            Value::Integer(n) => argv.push_integer(n),
            Value::Number(n) => push_number(&mut argv, n),
            _ => return Err(ScriptError::of_redis(NO_WORD)),
        }
    }
    Ok(argv)
}

/// `redis.call` and `redis.pcall`: runs a command for the script.
#[doc(alias = "luaRedisGenericCommand")]
fn redis_call(
    state: &mut State,
    args: &Args<'_>,
) -> Result<(crate::resp::Value, bool), ScriptError> {
    let mut argv = std::mem::take(&mut state.scripts.spare);
    let answered = words_of(args, &mut argv).and_then(|()| call_words(state, argv.as_argv()));
    argv.clear();
    if argv.memory() <= SPARE_MAX {
        state.scripts.spare = argv;
    }
    answered
}

/// Runs a command and returns its reply, and whether that is RESP3. The debugger shows both to its user.
pub(super) fn call_words(
    state: &mut State,
    argv: Argv<'_>,
) -> Result<(crate::resp::Value, bool), ScriptError> {
    state.scripts.debugger.note_command(argv);
    let (answer, resp3) = match script_call(state, argv) {
        Ok(answered) => answered,
        Err(error) => {
            state.scripts.debugger.note_error(&error.text);
            return Err(error);
        }
    };
    state.scripts.debugger.note_reply(&answer);
    if let crate::resp::Value::Error(text) = answer {
        return Err(ScriptError {
            text,
            counted: true,
        });
    }
    Ok((answer, resp3))
}

/// Checks a command of a script and runs it. The error is counted.
#[doc(alias = "scriptCall")]
fn script_call(
    state: &mut State,
    argv: Argv<'_>,
) -> Result<(crate::resp::Value, bool), ScriptError> {
    let filtered;
    let argv = match state.modules.filters.is_empty() {
        true => argv,
        false => {
            filtered = state
                .module_doors
                .and_then(|doors| (doors.filter)(state, None, argv));
            filtered.as_ref().map_or(argv, OwnedArgv::as_argv)
        }
    };
    let client = clients::script_client(state);
    let before = state.clients[client].last_command;
    let looked_up = state.commands.lookup_after(before, argv);
    let checked = match looked_up {
        Ok(id) if state.commands[id].accepts(argv.len()) => run::script_may_call(state, id, argv)
            .map(|()| id)
            .map_err(Some),
        Ok(_) => Err(Some(
            "Wrong number of args calling Redis command from script".into(),
        )),
        Err(_) => Err(Some("Unknown Redis command called from script".into())),
    };
    let id = match checked {
        Ok(id) => id,
        Err(text) => {
            let mut error = ScriptError::of_redis(&text.unwrap_or_default());
            error.counted = true;
            state.stats.count_error_text(&error.text);
            if let Ok(id) = looked_up {
                state.commands[id].stats.rejected += 1;
            }
            return Err(error);
        }
    };
    let writes = state.commands[id].flags.has(crate::command::Flag::Write);
    let Some(run) = &mut state.scripts.run else {
        return Err(ScriptError::of_redis("no script is running"));
    };
    run.wrote |= writes;
    let (protocol, targets) = (run.protocol, run.targets);
    let caller = &mut state.clients[client];
    (caller.protocol, caller.last_command) = (protocol, Some(id));
    let mut reply = state.scripts.spare_reply.take();
    let built = reply.get_or_insert_with(|| Box::new(Reply::to_value(protocol)));
    built.set_protocol(protocol);
    let allowed = state.effects.allow_only(targets);
    call(state, client, id, argv, built, CallOrigin::Script);
    state.effects.allow_only(allowed);
    let value = built.take_value().unwrap_or(crate::resp::Value::Null);
    state.scripts.spare_reply = reply;
    Ok((value, protocol == Protocol::Resp3))
}
