//! Runs one command: time, count, log, propagate. EXEC, scripts and the loading of an AOF re-enter here, behind the
//! gate.
//!
//! ```text
//!   INCR n
//!     handler                        changes the keyspace, adds 1 to `dirty`, writes the reply
//!     MONITOR, slow log, latency     see the command with the time it took
//!     effects.say(db, INCR n)        if `dirty` grew: the command is propagated, as it came or rewritten
//!     effects.leave()                the outermost call ends the unit: AOF and replicas get all of it at once
//! ```
//!
//! Mirrors: call() and afterCommand() of server.c.
//! Differs: a handler names its effect in [`super::Ctx`] instead of rewriting the client's argument vector.

use super::context::Effect;
use crate::clients::{Client, ClientFlags, ClientKey};
use crate::cluster;
use crate::command::args::Args;
use crate::command::keys::{Keys, Search};
use crate::command::table::{CommandId, Flags};
use crate::command::{self, Flag, Redacted, Targets};
use crate::dispatch::Ctx;
use crate::keyspace::{self, DbId};
use crate::observe;
use crate::observe::hotkeys::Cost;
use crate::replication;
use crate::resp::argv::Argv;

use crate::resp::{Begun, Error, Output, Reply};
use crate::state::State;
use crate::util::crc16::key_hash_slot;

/// The origin of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOrigin {
    /// A client's request.
    Client,
    /// EXEC, for one of its queued commands.
    Exec,
    /// `redis.call` or a function.
    Script,
    /// A module's call.
    Module,
    /// A file being loaded or a primary's stream: not propagated, not slow-logged.
    Replay,
    /// A blocked command that is served, or run again.
    Unblocked,
}

/// One call: the command, its words, and the client that it runs for.
struct Call<'a> {
    client: ClientKey,
    id: CommandId,
    argv: Argv<'a>,
    /// The database selected before it ran; SELECT changes the client's.
    db: DbId,
    flags: Flags,
    origin: CallOrigin,
}

/// Runs a command; returns whether it succeeded. Its reply, errors included, is in `reply`.
pub fn call(
    state: &mut State,
    client: ClientKey,
    id: CommandId,
    argv: Argv<'_>,
    reply: &mut Reply,
    origin: CallOrigin,
) -> bool {
    let entry = &state.commands[id];
    let (run, words, flags) = (entry.decl.run, entry.words(), entry.flags);
    let caller = &state.clients[client];
    let db = caller.db;
    let no_touch = match state.current_client {
        Some(current) if current != client => &state.clients[current],
        _ => caller,
    }
    .flags
    .has(ClientFlags::NO_TOUCH);
    let call = Call {
        client,
        id,
        argv,
        db,
        flags,
        origin,
    };
    let dirty_before = state.dirty;

    if no_touch {
        let touches = flags.has(Flag::TouchesKeys);
        state.keyspace.env().set_no_touch(!touches);
    }

    let metered = (state.hotkeys.is_some() || state.cluster.stats.on)
        .then(|| reply.output().map_or(0, Output::len));
    state.effects.enter();
    // Requests of one batch follow each other closely: one reading is the end of one and the start of the next.
    let started = match (origin, state.lap_ns) {
        (CallOrigin::Client | CallOrigin::Exec, Some(ended)) => ended,
        _ => state.clock.monotonic_ns(),
    };
    let errors_before = reply.errors();
    let begun = reply.begin_command();
    let mut ctx = Ctx {
        state,
        client,
        db,
        reply,
        command: id,
        effect: Effect::AsReceived,
        forced: Targets::NONE,
        origin,
        redacted: Redacted::default(),
    };
    let result = run(&mut ctx, Args::new(argv, words));
    if no_touch {
        let outermost = ctx.state.effects.depth() == 1;
        ctx.state.keyspace.env().set_no_touch(!outermost);
    }
    let Ctx {
        effect,
        forced,
        redacted,
        ..
    } = ctx;
    let ended = state.clock.monotonic_ns();
    state.lap_ns = state.lap_ns.map(|_| ended);
    let elapsed = ended.saturating_sub(started);

    let mut ok = result.is_ok();
    if let Err(error) = result {
        refuse(state, &call, reply, &begun, &error);
    }
    // A module writes its errors itself.
    ok &= !(flags.has(Flag::Module) && reply.errors() > errors_before);
    reply.end_command(begun);

    show(state, &call, redacted, elapsed, ok);
    if let Some(reply_before) = metered {
        let replied = reply.output().map_or(0, Output::len);
        meter(state, &call, elapsed, replied.saturating_sub(reply_before));
    }
    if state.tracking.clients() > 0 && flags.has(Flag::ReadOnly) {
        remember_reads(state, id, argv);
    }

    if state.dirty > dirty_before && state.config.is_replica() {
        replication::act::writable::remember_own_keys(state, client, db, id, argv);
    }
    // Keys that the command found expired are deleted before its own effect is propagated.
    keyspace::act::expire::reap_expired(state);
    // A save sets the count back, which is no change.
    let changed = state.dirty > dirty_before;
    if (changed || forced != Targets::NONE) && origin != CallOrigin::Replay {
        propagate(state, &call, effect, forced, changed);
    }
    if state.effects.leave() {
        if flags.has(Flag::ArbitraryKeys) {
            state.effects.do_not_wrap();
        }
        command::act::after_unit(state);
    }
    ok
}

/// Answers with an error, in place of what the handler had written, and counts it. An error to the primary or a replica
/// is told to the log, because nobody reads their replies.
#[cold]
fn refuse(state: &mut State, call: &Call<'_>, reply: &mut Reply, begun: &Begun, error: &Error) {
    if *error != Error::AlreadySaid {
        reply.take_back(begun);
    }
    reply.error(error);
    // An error of a module's call is counted if the module passes it on.
    if call.origin != CallOrigin::Module {
        state.stats.count_error(error);
    }
    let client = state.clients.get(call.client);
    if client.is_some_and(|client| client.flags.has(ClientFlags::IMPORTS)) {
        cluster::act::moving::command_refused(state, call.client, &error.to_string());
    }
    let client = state.clients.get(call.client);
    if client.is_some_and(Client::is_peer) && *error != Error::AlreadySaid {
        let name = state.commands[call.id].name.to_string();
        replication::act::trouble::peer_was_refused(state, call.client, &name, &error.to_string());
    }
}

/// Shows the command that ran to MONITOR, the slow log, the latency monitor and the statistics.
#[inline]
fn show(state: &mut State, call: &Call<'_>, redacted: Redacted, elapsed_ns: u64, ok: bool) {
    let caller = state.clients.get(call.client).map(|c| c.flags);
    if !state.monitors.is_empty() && !call.flags.any(&[Flag::SkipMonitor, Flag::Admin]) {
        // MONITOR already showed this command when it first blocked.
        let again = call.origin == CallOrigin::Unblocked;
        let loaded = call.origin == CallOrigin::Replay
            && !caller.is_some_and(|flags| flags.has(ClientFlags::PRIMARY));
        if !again && !loaded {
            let (client, db, argv) = (call.client, call.db, call.argv);
            match call.flags.has(Flag::OnlyInternal) {
                true => observe::act::monitor::feed_internal(state, client, db, argv, redacted),
                false => observe::act::monitor::feed(state, client, db, argv, redacted),
            }
        }
    }
    // A command that blocked is timed and counted when it is served. One of an append-only file is not counted, nor are
    // those that it calls.
    let uncounted = caller.is_some_and(|flags| {
        let fed = flags.has(ClientFlags::MUST_OBEY) || state.persistence.is_loading();
        flags.has(ClientFlags::BLOCKED) || flags.has(ClientFlags::FAKE) && fed
    });
    if !uncounted {
        let ran = observe::Ran {
            client: call.client,
            id: call.id,
            argv: call.argv,
            redacted,
            elapsed_ns,
            ok,
            outermost: state.effects.depth() == 1,
            replayed: call.origin == CallOrigin::Replay,
        };
        observe::act::calls::after_call(state, ran);
    }
}

/// Propagates the command as it came, or as its handler rewrote it, if it changed anything (`changed`) or is to be
/// propagated all the same (`forced`). A script is propagated as the commands that it called.
#[inline]
fn propagate(state: &mut State, call: &Call<'_>, effect: Effect, forced: Targets, changed: bool) {
    let targets = if changed {
        Targets::ALL.or(forced)
    } else {
        forced
    };
    match effect {
        Effect::AsReceived if !call.flags.has(Flag::ScriptRunner) || forced != Targets::NONE => {
            state.effects.say(call.db, call.argv, targets);
        }
        Effect::Rewritten(rewritten) => state.effects.say(call.db, rewritten.as_argv(), targets),
        Effect::AsReceived | Effect::Suppressed => {}
    }
}

/// Remembers the keys of a reading command for client-side caching: the client may hold them now. Of a script, the
/// commands it calls count, not the script.
#[doc(alias = "trackingRememberKeys")]
fn remember_reads(state: &mut State, id: CommandId, argv: Argv<'_>) {
    let entry = &state.commands[id];
    let Some(client) = state.current_client else {
        return;
    };
    let wanted = state
        .clients
        .get(client)
        .and_then(|c| c.tracking.as_ref())
        .is_some_and(|own| own.remembers());
    if !wanted || entry.flags.has(Flag::ScriptRunner) {
        return;
    }
    let keys = Keys::of(entry.decl, argv, Search::default()).unwrap_or_default();
    for key in keys.iter() {
        state.tracking.remember(client, argv.get(key.position));
    }
}

/// Adds the cost of a command, its time and the bytes of its reply, to its keys while hot keys are looked for, and to its
/// slot while `cluster-slot-stats-enabled` says so.
#[cold]
fn meter(state: &mut State, call: &Call<'_>, elapsed_ns: u64, replied: usize) {
    // Of a script, its caller's keys count; of a transaction, each command's.
    if !matches!(call.origin, CallOrigin::Script | CallOrigin::Replay) {
        let cost = Cost {
            ns: elapsed_ns,
            bytes: (call.argv.bytes() + replied) as u64,
        };
        note_hot_keys(state, call.id, call.argv, cost);
    }
    if state.cluster.stats.on {
        count_for_slot(state, call, elapsed_ns, replied);
    }
}

/// Adds the cost of a command to its slot.
fn count_for_slot(state: &mut State, call: &Call<'_>, elapsed_ns: u64, replied: usize) {
    let &Call { id, argv, .. } = call;
    match call.origin {
        CallOrigin::Client | CallOrigin::Unblocked => {
            let ran = cluster::act::stats::Ran {
                client: call.client,
                id,
                argv,
                elapsed_ns,
                replied: replied as u64,
                again: call.origin == CallOrigin::Unblocked,
            };
            cluster::act::stats::command(state, ran);
        }
        CallOrigin::Exec | CallOrigin::Script | CallOrigin::Module => {
            let queued = call.origin == CallOrigin::Exec;
            cluster::act::stats::inner_command(state, id, argv, queued);
        }
        CallOrigin::Replay => {}
    }
}

/// Adds the cost of a command to its keys, if hot keys are looked for.
#[doc(alias = "hotkeyStatsPreCurrentCmd")]
fn note_hot_keys(state: &mut State, id: CommandId, argv: Argv<'_>, cost: Cost) {
    let now = state.clock.unix_ms();
    let decl = state.commands[id].decl;
    let Some(session) = &mut state.hotkeys else {
        return;
    };
    if !session.is_active(now) {
        return;
    }
    let keys = Keys::of(decl, argv, Search::default()).unwrap_or_default();
    let keys: Vec<&[u8]> = keys.iter().map(|key| argv.get(key.position)).collect();
    let slot = match &session.wanted.slots {
        Some(_) => keys.first().map_or(0, |key| key_hash_slot(key)),
        None => 0,
    };
    session.note(&keys, slot, cost, state.rng.next_u64());
}
