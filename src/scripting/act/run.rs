//! A run of a script or function: checks, the run itself, the reply, the cleaning up.
//!
//! Mirrors: `scriptPrepareForRun`, `scriptResetRun` and the `scriptVerify*` checks of script.c;
//! `evalGenericCommand` of eval.c; `fcallCommandGeneric` of functions.c.
//! Differs: the state is lent to the interpreter for the run; Redis's callbacks reach a global.

use super::clients;
use crate::acl::Context;
use crate::clients::{ClientFlags, ClientKey};
use crate::cluster::Refusal;
use crate::command::table::CommandId;
use crate::dispatch::{CallOrigin, Ctx};
use crate::keyspace::DbId;
use crate::resp::argv::Argv;
use crate::resp::{Error, Protocol};
use crate::scripting::engine::Core;
use crate::scripting::reply::Answer;
use crate::scripting::{Engine, LibraryFunction, Run, SPARE_MAX, ScriptFlags, describe};
use crate::state::State;
use crate::sys::lua::{Chunk, Ended, Words};
use crate::util::crc16::key_hash_slot;
use crate::{acl, cluster, persistence, replication};

/// The request to run a script or function.
#[derive(Clone, Copy, Debug)]
pub struct Invocation<'a> {
    /// The whole request.
    pub argv: Argv<'a>,
    /// Where its keys begin.
    pub first: usize,
    /// How many words are keys; the rest are arguments.
    pub keys: usize,
    /// A read-only form of the command.
    pub read_only: bool,
}

type Result<T = ()> = std::result::Result<T, Error>;

/// The error of EVALSHA for a script that is not in the cache. A word that is no SHA-1 gets it before anything else
/// is checked.
pub const NO_SCRIPT: Error = Error::Coded(std::borrow::Cow::Borrowed(
    "NOSCRIPT No matching script. Please use EVAL.",
));

/// Whether writes are refused because we are a replica.
fn is_read_only_replica(state: &State) -> bool {
    state.config.replicaof.is_some() && state.config.replica_read_only
}

/// Whether memory was exhausted when the current request began: what a script itself takes since does not end
/// it half way.
fn out_of_memory(state: &State) -> bool {
    state.config.maxmemory > 0 && state.eviction.out_of_memory
}

/// Whether the running script may call a command; otherwise the words, without their code.
pub(in crate::scripting) fn script_may_call(
    state: &mut State,
    id: CommandId,
    argv: Argv<'_>,
) -> std::result::Result<(), String> {
    let flags = state.commands[id].flags;
    if flags.has(crate::command::Flag::NoScript) && !state.debug.disable_deny_scripts {
        return Err("This Redis command is not allowed from script".into());
    }
    let client = clients::script_client(state);
    if let Err(denied) = acl::act::check_rights(state, client, id, argv) {
        let text = acl::act::deny(state, client, id, argv, denied, Context::Lua);
        let text = String::from_utf8_lossy(&text);
        return Err(format!("ACL failure in script: {text}"));
    }
    let Some(run) = &state.scripts.run else {
        return Err("no script is running".into());
    };
    if state.config.is_replica()
        && replication::act::standing::is_stale(state)
        && !flags.has(crate::command::Flag::Stale)
    {
        return Err("Can not execute the command on a stale replica".into());
    }
    if run.read_only
        && (flags.has(crate::command::Flag::Write) || flags.has(crate::command::Flag::MayReplicate))
    {
        return Err("Write commands are not allowed from read-only scripts.".into());
    }
    let obeyed = state
        .clients
        .get(run.caller)
        .is_some_and(|c| c.flags.has(ClientFlags::MUST_OBEY));
    // A script that has written cannot be stopped half way.
    let (begun, allow_oom) = (run.wrote || obeyed, run.allow_oom);
    if !begun && flags.has(crate::command::Flag::Write) {
        let refused = |error| format!("-{error}");
        replication::act::standing::may_write(state, ClientFlags::NONE).map_err(refused)?;
        if persistence::act::standing::cannot_persist(state) {
            return Err(refused(persistence::act::standing::persist_error(state)));
        }
    }
    let needs_memory = flags.has(crate::command::Flag::DenyOom);
    if !begun && needs_memory && !allow_oom && out_of_memory(state) {
        return Err(format!("-{}", Error::OutOfMemory));
    }
    if state.config.cluster_enabled && !obeyed {
        script_may_reach(state, id, argv)?;
    }
    if state.scripts.request_slot.is_some() {
        cluster::act::compatible::note_script_call(state, id, argv);
    }
    Ok(())
}

/// Whether the keys of a script's command are served here, and of the slot its others are of.
#[doc(alias = "scriptVerifyClusterState")]
fn script_may_reach(
    state: &mut State,
    id: CommandId,
    argv: Argv<'_>,
) -> std::result::Result<(), String> {
    let Some(caller) = state.scripts.run.as_ref().map(|run| run.caller) else {
        return Ok(());
    };
    let words = |refusal: Refusal| {
        let name = state.commands[id].name.to_string();
        refusal.script_words(&name)
    };
    let slot = cluster::act::route::route_call(state, caller, id, argv).map_err(words)?;
    let Some(run) = state.scripts.run.as_mut().filter(|run| run.one_slot) else {
        return Ok(());
    };
    match (run.slot, slot) {
        (Some(before), Some(now)) if before != now => {
            Err("Script attempted to access keys that do not hash to the same slot".to_owned())
        }
        (None, Some(_)) => {
            run.slot = slot;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// SCRIPT KILL and FUNCTION KILL: asks the running script to end.
#[doc(alias = "scriptKill")]
pub fn kill_script(state: &mut State, is_eval: bool) -> Result {
    let busy = state.scripts.busy_error();
    let Some(run) = &mut state.scripts.run else {
        return Err(Error::coded("NOTBUSY No scripts in execution right now."));
    };
    let obeyed = state
        .clients
        .get(run.caller)
        .is_some_and(|c| c.flags.has(ClientFlags::MUST_OBEY));
    if obeyed {
        return Err(Error::coded(
            "UNKILLABLE The busy script was sent by a master instance in the context of \
             replication and cannot be killed.",
        ));
    }
    if run.wrote {
        return Err(Error::coded(
            "UNKILLABLE Sorry the script already executed write commands against the dataset. \
             You can either wait the script termination or kill the server in a hard way using \
             the SHUTDOWN NOSAVE command.",
        ));
    }
    if run.is_eval != is_eval {
        return Err(busy);
    }
    run.killed = true;
    Ok(())
}

/// The database that scripts' commands work on now.
pub fn script_db(state: &State) -> Option<DbId> {
    let client = state.scripts.client?;
    state.clients.get(client).map(|c| c.db)
}

/// EVAL with a text, or EVALSHA with a SHA-1.
pub fn eval(ctx: &mut Ctx<'_>, what: Invocation<'_>, by_sha: bool) -> Result {
    if ctx.state.scripts.debugger.is_armed_apart(ctx.client) {
        return crate::scripting::act::apart::debugged_apart(ctx, what, by_sha);
    }
    if ctx.state.scripts.debugger.is_armed(ctx.client) && ctx.origin == CallOrigin::Client {
        return crate::scripting::act::console::debugged(ctx, what, by_sha);
    }
    eval_now(ctx, what, by_sha)
}

pub(super) fn eval_now(ctx: &mut Ctx<'_>, what: Invocation<'_>, by_sha: bool) -> Result {
    let word = what.argv.get(1);
    let sha = if by_sha {
        let mut sha: [u8; 40] = word.try_into().map_err(|_| NO_SCRIPT)?;
        sha.make_ascii_lowercase();
        sha
    } else {
        let (sha, evicted) = ctx.state.scripts.load(word, false)?;
        ctx.state.stats.evicted_scripts += evicted as u64;
        sha
    };
    let script = ctx.state.scripts.get_folded(&sha).ok_or(NO_SCRIPT)?;
    let (chunk, flags, evictable) = (script.chunk.clone(), script.flags, script.used.is_some());
    let core = ctx.state.scripts.engine()?.core();
    let name = std::str::from_utf8(&sha).map_err(|_| NO_SCRIPT)?;
    prepare(ctx, what, name, flags, true)?;
    let result = run(ctx, &core, &chunk, what);
    if evictable {
        ctx.state.scripts.touch(&sha);
    }
    if let Some(engine) = &mut ctx.state.scripts.engine {
        engine.collect();
    }
    result
}

/// FCALL of a function that is there.
pub fn call_function(
    ctx: &mut Ctx<'_>,
    what: Invocation<'_>,
    function: &LibraryFunction,
) -> Result {
    let core = ctx.state.scripts.libraries.engine()?.core();
    prepare(ctx, what, &function.name, function.flags, false)?;
    let result = run(ctx, &core, &function.function, what);
    if let Ok(engine) = ctx.state.scripts.libraries.engine() {
        Engine::collect(engine);
    }
    result
}

/// Checks what a script's own flags allow, and sets the scene.
#[doc(alias = "scriptPrepareForRun")]
fn prepare(
    ctx: &mut Ctx<'_>,
    what: Invocation<'_>,
    name: &str,
    flags: ScriptFlags,
    is_eval: bool,
) -> Result {
    let state = &mut *ctx.state;
    if state.scripts.run.is_some() {
        // Only DEBUG lets a script get here.
        return Err(Error::once("a script cannot run another"));
    }
    let compat = flags.has(ScriptFlags::COMPAT);
    may_run(state, ctx.client, what.read_only, flags)?;
    let own = clients::script_client(state);
    let db = ctx.db;
    let caller = &state.clients[ctx.client];
    let (user, standing) = (caller.user.clone(), caller.flags);
    let client = &mut state.clients[own];
    client.db = db;
    client.user = user;
    for kept in [ClientFlags::MULTI, ClientFlags::RESTRICTED] {
        client.flags.put(kept, standing.has(kept));
    }
    let debugged = state.scripts.debugger.is_active();
    let (mut run_name, mut request) = std::mem::take(&mut state.scripts.spare_run);
    run_name.clear();
    run_name.push_str(name);
    request.clear();
    // FUNCTION STATS shows it; of a script it only says that one runs.
    if !is_eval {
        for i in 0..what.argv.len() {
            request.push_word(what.argv, i);
        }
    }
    state.scripts.run = Some(Run {
        caller: ctx.client,
        name: run_name,
        request,
        is_eval,
        read_only: what.read_only || !compat && flags.has(ScriptFlags::NO_WRITES),
        one_slot: !compat && !flags.has(ScriptFlags::ALLOW_CROSS_SLOT),
        slot: (state.config.cluster_enabled && what.keys > 0)
            .then(|| key_hash_slot(what.argv.get(what.first))),
        allow_oom: !compat && flags.has(ScriptFlags::ALLOW_OOM)
            || state.clients[ctx.client].flags.has(ClientFlags::ALLOW_OOM),
        wrote: false,
        killed: false,
        timed_out: false,
        debugged,
        // Of a request in a batch, the end of the one before it.
        started_ns: state.lap_ns.unwrap_or_else(|| state.clock.monotonic_ns()),
        protocol: Protocol::Resp2,
        targets: crate::command::Targets::ALL,
    });
    Ok(())
}

/// Whether the server's state and the script's own flags let it run: a replica, a stale one, a disk that failed, memory
/// over the limit, the cluster.
fn may_run(state: &mut State, client: ClientKey, read_only: bool, flags: ScriptFlags) -> Result {
    let compat = flags.has(ScriptFlags::COMPAT);
    let standing = state.clients[client].flags;
    let obeyed = standing.has(ClientFlags::MUST_OBEY);
    let stale = state.config.is_replica() && replication::act::standing::is_stale(state);
    if compat && stale {
        return Err(Error::MasterDown);
    }
    if !compat {
        if flags.has(ScriptFlags::NO_CLUSTER) && state.config.cluster_enabled {
            return Err(Error::once(
                "Can not run script on cluster, 'no-cluster' flag is set.",
            ));
        }
        state.stats.cluster_incompatible_ops += u64::from(flags.has(ScriptFlags::NO_CLUSTER));
        if stale && !flags.has(ScriptFlags::ALLOW_STALE) {
            return Err(Error::coded(
                "MASTERDOWN Link with MASTER is down, replica-serve-stale-data is set to 'no' and 'allow-stale' \
                 flag is not set on the script.",
            ));
        }
        if !flags.has(ScriptFlags::NO_WRITES) {
            if is_read_only_replica(state) && !obeyed {
                return Err(Error::coded(
                    "READONLY Can not run script with write flag on readonly replica",
                ));
            }
            if persistence::act::standing::cannot_persist(state) && !obeyed {
                return Err(persistence::act::standing::persist_error_of_script(state));
            }
            if read_only {
                return Err(Error::once(
                    "Can not execute a script with write flag using *_ro command.",
                ));
            }
            replication::act::standing::may_write(state, standing)?;
        }
        let oom_allowed = flags.has(ScriptFlags::ALLOW_OOM)
            || flags.has(ScriptFlags::NO_WRITES)
            || standing.has(ClientFlags::ALLOW_OOM);
        if out_of_memory(state) && !oom_allowed {
            return Err(Error::coded(
                "OOM allow-oom flag is not set on the script, can not run it when used memory > \
                 'maxmemory'",
            ));
        }
    }
    Ok(())
}

/// Runs the script, replies with its result, and ends the run.
fn run(ctx: &mut Ctx<'_>, core: &Core, chunk: &Chunk, what: Invocation<'_>) -> Result {
    let as_globals = ctx.state.scripts.run.as_ref().is_some_and(|r| r.is_eval);
    let argv = what.argv.skip(what.first);
    let words = Words {
        count: argv.len(),
        keys: what.keys,
        get: &|i| argv.get(i),
        as_globals,
    };
    let (state, reply) = (&mut *ctx.state, &mut *ctx.reply);
    let (before, errors) = (reply.mark(), reply.errors());
    let (mut error, mut stopped) = (None, None);
    let ended = core.loan.lend(state, || {
        core.vm.call(chunk, words, &mut |value| {
            let run = core
                .loan
                .with(|state| state.scripts.run.as_ref().map(|r| r.protocol));
            let protocol = run.flatten().unwrap_or_default();
            let mut answer = Answer::new(reply, protocol, core.vm.host());
            answer.value(value, 0);
            (error, stopped) = (answer.error, answer.stopped);
        })
    });
    let ran = end(ctx)?;
    if ran.killed || ended.is_err() {
        core.forget_kill();
    }
    if let Some(text) = stopped {
        ctx.reply.rewind(before);
        let text = format!("{text} script: {}", ran.name);
        ctx.state.stats.count_error_text(&text);
        ctx.reply.error_text(&text);
        return Err(Error::AlreadySaid);
    }
    if let Some(text) = error {
        ctx.state.stats.count_error_text(&text);
    }
    let raised = match ended {
        Ok(()) => {
            if ran.request.memory() <= SPARE_MAX {
                ctx.state.scripts.spare_run = (ran.name, ran.request);
            }
            // A script that returns an error reply has failed.
            return match ctx.reply.errors() == errors {
                true => Ok(()),
                false => Err(Error::AlreadySaid),
            };
        }
        Err(Ended::Raised(raised)) => raised,
        Err(Ended::Broken(text)) => {
            ctx.reply.rewind(before);
            let text = format!("ERR Error running script {}, {text}", ran.name);
            return Err(Error::coded(text));
        }
    };
    let (text, counted) = describe(&raised, &ran.name);
    ctx.reply.error_text(&text);
    if !counted {
        ctx.state.stats.count_error_text(&text);
    }
    Err(Error::AlreadySaid)
}

/// Ends the run.
#[doc(alias = "scriptResetRun")]
fn end(ctx: &mut Ctx<'_>) -> Result<Run> {
    let Some(run) = ctx.state.scripts.run.take() else {
        return Err(Error::AlreadySaid);
    };
    let own = clients::script_client(ctx.state);
    let client = &mut ctx.state.clients[own];
    client.flags.clear(ClientFlags::MULTI);
    client.fieldsets = None;
    if run.timed_out {
        // Requests that its client sent while the script ran wait in its query buffer or its socket.
        ctx.client().flags.clear(ClientFlags::BUSY);
        ctx.state.clients.resume(run.caller);
    }
    // The script itself is not propagated: each command that it calls propagates its own effect.
    ctx.suppress();
    Ok(run)
}
