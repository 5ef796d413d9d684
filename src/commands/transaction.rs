//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.
//!
//! The gate queues what a client sends between MULTI and EXEC (`dispatch/gate.rs`); the queue and the watches are in
//! `clients/transaction.rs`. EXEC runs the queue through the same `call` as everything else, one unit of execution
//! around all of it, so that its effects are propagated between MULTI and EXEC.
//!
//! ```text
//!   client 1   WATCH stock                      client 2
//!   client 1   GET stock           "7"
//!                                               SET stock 6
//!   client 1   MULTI               OK
//!   client 1   SET stock 6         QUEUED
//!   client 1   EXEC                null: stock changed after WATCH; nothing ran
//! ```
//!
//! Mirrors: the commands of multi.c.

use super::prelude::*;
use crate::acl;
use crate::acl::{Context, Denied, Reason};
use crate::clients;
use crate::clients::ClientFlags;
use crate::command::table::CommandId;
use crate::dispatch::{CallOrigin, call};
use crate::resp::argv::Argv;

pub const COMMANDS: &[&Command] = &[&DISCARD, &EXEC, &MULTI, &UNWATCH, &WATCH];

const MULTI: Command = Command {
    name: "multi",
    arity: Arity::Exactly(1),
    flags: &[NoScript, Loading, Stale, Fast, AllowBusy, InsideMulti],
    acl: &[Category::Transaction],
    docs: Docs {
        group: Group::Transactions,
        since: "1.2.0",
        complexity: "O(1)",
        summary: "Begins a transaction: what follows is queued until EXEC.",
        ..Docs::BASE
    },
    run: multi,
    ..Command::BASE
};

/// Begins a transaction. Fails inside of one.
#[doc(alias = "multiCommand")]
fn multi(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    let client = ctx.client();
    if client.flags.has(ClientFlags::MULTI) {
        return Err(Error::once("MULTI calls can not be nested"));
    }
    client.flags.set(ClientFlags::MULTI);
    ctx.reply.ok();
    Ok(())
}

const EXEC: Command = Command {
    name: "exec",
    arity: Arity::Exactly(1),
    flags: &[
        NoScript,
        Loading,
        Stale,
        SkipSlowlog,
        InsideMulti,
        QueueRunner,
    ],
    acl: &[Category::Transaction],
    docs: Docs {
        group: Group::Transactions,
        since: "1.2.0",
        complexity: "That of the queued commands",
        summary: "Runs the queued commands, unless a watched key changed.",
        ..Docs::BASE
    },
    run: exec,
    ..Command::BASE
};

/// Runs the queued commands and answers an array with the reply of each. A command that fails does not stop the others,
/// and nothing is undone.
///
/// | state of the transaction | answer |
/// |---|---|
/// | a command was refused when it was queued | `EXECABORT`; nothing runs |
/// | a watched key was changed, or has expired since | null; nothing runs |
/// | otherwise | the replies |
///
/// Rights are checked again for each command, since they may have changed. A command that would block answers as after
/// a timeout. The effects are propagated between MULTI and EXEC.
#[doc(alias = "execCommand")]
fn exec(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    let (client, state) = (ctx.client, &mut *ctx.state);
    if !state.clients[client].flags.has(ClientFlags::MULTI) {
        return Err(Error::once("EXEC without MULTI"));
    }
    let expired = state
        .watches
        .expired_since(&state.clients, &state.keyspace, client);
    let flags = state.clients[client].flags;
    if flags.has(ClientFlags::DIRTY_EXEC) {
        clients::act::transaction::end_transaction(state, client);
        return Err(Error::ExecAbort);
    }
    if expired || flags.has(ClientFlags::DIRTY_CAS) {
        clients::act::transaction::end_transaction(state, client);
        ctx.reply.null_array();
        return Ok(());
    }

    // From here on changes of watched keys do not concern this client.
    state.watches.unwatch_all(&mut state.clients, client);
    let who = &mut state.clients[client];
    let queue = who
        .transaction
        .as_mut()
        .map(|t| t.take_queue())
        .unwrap_or_default();
    let could_block = !who.flags.has(ClientFlags::IN_EXEC);
    who.flags.set(ClientFlags::IN_EXEC);
    ctx.reply.array(queue.len());
    // A transaction that is replayed from a file is not checked again and not propagated.
    let origin = match ctx.origin {
        CallOrigin::Replay => CallOrigin::Replay,
        _ => CallOrigin::Exec,
    };
    for queued in &queue {
        let argv = queued.argv.as_argv();
        // A command that was allowed when it was queued may be forbidden by now.
        if let Err(denied) = acl::act::check_rights(ctx.state, client, queued.id, argv) {
            refuse(ctx, queued.id, argv, denied);
            continue;
        }
        call(ctx.state, client, queued.id, argv, ctx.reply, origin);
        let protocol = ctx.state.clients[client].protocol;
        if protocol != ctx.reply.protocol() {
            ctx.reply.set_protocol(protocol);
        }
    }
    if could_block {
        ctx.client().flags.clear(ClientFlags::IN_EXEC);
    }
    clients::act::transaction::end_transaction(ctx.state, client);
    // The queued commands have propagated themselves; the stream of effects wraps them in MULTI and EXEC.
    ctx.suppress();
    Ok(())
}

/// Answers a queued command that is forbidden by now, and enters it in the ACL log.
fn refuse(ctx: &mut Ctx<'_>, id: CommandId, argv: Argv<'_>, denied: Denied) {
    let (client, state) = (ctx.client, &mut *ctx.state);
    acl::act::deny(state, client, id, argv, denied, Context::Multi);
    let reason = match denied.reason {
        Reason::Command => "no permission to execute the command or subcommand",
        Reason::Key => "no permission to touch the specified keys",
        Reason::Channel => "no permission to access one of the channels used as arguments",
        Reason::Auth => "no permission",
    };
    let error = Error::coded(format!(
        "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. \
         This command is no longer allowed for the following reason: {reason}"
    ));
    state.stats.count_error(&error);
    ctx.reply.error(&error);
}

const DISCARD: Command = Command {
    name: "discard",
    arity: Arity::Exactly(1),
    flags: &[NoScript, Loading, Stale, Fast, AllowBusy, InsideMulti],
    acl: &[Category::Transaction],
    docs: Docs {
        group: Group::Transactions,
        since: "2.0.0",
        complexity: "O(N) where N is the number of queued commands",
        summary: "Ends a transaction without running it.",
        ..Docs::BASE
    },
    run: discard,
    ..Command::BASE
};

/// Ends a transaction without running it, and forgets all watches. Fails outside of one.
#[doc(alias = "discardCommand")]
fn discard(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    if !ctx.client().flags.has(ClientFlags::MULTI) {
        return Err(Error::once("DISCARD without MULTI"));
    }
    clients::act::transaction::end_transaction(ctx.state, ctx.client);
    ctx.reply.ok();
    Ok(())
}

const WATCH: Command = Command {
    name: "watch",
    arity: Arity::AtLeast(2),
    flags: &[NoScript, Loading, Stale, Fast, AllowBusy, InsideMulti],
    acl: &[Category::Transaction],
    keys: &[KeySpec::at(1, &[Ro]).to(-1, 1)],
    args: &[arg::key("key").multiple()],
    docs: Docs {
        group: Group::Transactions,
        since: "2.2.0",
        complexity: "O(1) for each key",
        summary: "Lets the next transaction fail if one of the keys changes before it runs.",
        ..Docs::BASE
    },
    run: watch,
    ..Command::BASE
};

/// Watches keys until EXEC, DISCARD or UNWATCH: EXEC runs nothing if one of them changes meanwhile. A missing key may
/// be watched. Fails between MULTI and EXEC.
#[doc(alias = "watchCommand")]
fn watch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let (client, db) = (ctx.client, ctx.db);
    let flags = ctx.client().flags;
    if flags.has(ClientFlags::MULTI) {
        return Err(Error::once("WATCH inside MULTI is not allowed"));
    }
    // A transaction that has failed already needs no further watches.
    if !flags.has(ClientFlags::DIRTY_CAS) {
        let state = &mut *ctx.state;
        for key in args {
            state
                .watches
                .watch(&mut state.clients, &state.keyspace, client, db, key);
        }
    }
    ctx.reply.ok();
    Ok(())
}

const UNWATCH: Command = Command {
    name: "unwatch",
    arity: Arity::Exactly(1),
    flags: &[NoScript, Loading, Stale, Fast, AllowBusy],
    acl: &[Category::Transaction],
    docs: Docs {
        group: Group::Transactions,
        since: "2.2.0",
        complexity: "O(1) for each watched key",
        summary: "Forgets all watched keys.",
        ..Docs::BASE
    },
    run: unwatch,
    ..Command::BASE
};

#[doc(alias = "unwatchCommand")]
fn unwatch(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    let state = &mut *ctx.state;
    state.watches.unwatch_all(&mut state.clients, ctx.client);
    ctx.client().flags.clear(ClientFlags::DIRTY_CAS);
    ctx.reply.ok();
    Ok(())
}
