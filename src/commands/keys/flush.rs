//! Whole databases: FLUSHDB, FLUSHALL, SWAPDB.
//!
//! Emptying a database swaps its table for a new one; freeing the old one takes as long as it takes, and happens on the
//! lazy-free thread. ASYNC answers at once. SYNC answers when that thread is done: the client is blocked, the server is
//! not. Where a client cannot be blocked (in a transaction or a script), SYNC frees on the spot.
//!
//! Mirrors: `flushCommandCommon()`, `flushallSyncBgDone()`, `swapdbCommand()` of db.c.

use super::super::prelude::*;
use crate::clients::{ClientFlags, ClientKey};
use crate::command::table::CommandId;
use crate::dispatch::CallOrigin;
use crate::keyspace;
use crate::keyspace::DbId;
use crate::observe;
use crate::persistence;
use crate::replication;
use crate::resp::argv::OwnedArgv;
use crate::state::State;

pub(super) const FLUSHDB: Command = Command {
    name: "flushdb",
    arity: Arity::AtLeast(1),
    flags: &[Write],
    acl: &[Category::Keyspace, Category::Dangerous],
    args: &[arg::one_of(
        "flush-type",
        &[
            arg::word("async", "ASYNC").since("4.0.0"),
            arg::word("sync", "SYNC").since("6.2.0"),
        ],
    )
    .optional()],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    docs: Docs {
        group: Group::Server,
        since: "1.0.0",
        complexity: "O(1); freeing N keys takes O(N) on another thread.",
        summary: "Deletes all keys of the database.",
        ..Docs::BASE
    },
    run: flushdb,
    ..Command::BASE
};

#[doc(alias = "flushdbCommand")]
fn flushdb(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let db = ctx.db;
    flush(ctx, args, Some(db))
}

pub(super) const FLUSHALL: Command = Command {
    name: "flushall",
    arity: Arity::AtLeast(1),
    flags: &[Write],
    acl: &[Category::Keyspace, Category::Dangerous],
    args: &[arg::one_of(
        "flush-type",
        &[
            arg::word("async", "ASYNC").since("4.0.0"),
            arg::word("sync", "SYNC").since("6.2.0"),
        ],
    )
    .optional()],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    docs: Docs {
        group: Group::Server,
        since: "1.0.0",
        complexity: "O(1); freeing N keys takes O(N) on another thread.",
        summary: "Deletes all keys of all databases.",
        ..Docs::BASE
    },
    run: flushall,
    ..Command::BASE
};

#[doc(alias = "flushallCommand")]
fn flushall(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    flush(ctx, args, None)
}

/// FLUSHDB and FLUSHALL: empties one database or all of them. FLUSHALL also ends a save in the background, whose data
/// is of no use any more, and if saving is configured writes an empty RDB file, so that a restart does not bring the
/// keys back. Always propagated as it came.
#[doc(alias = "flushCommandCommon")]
fn flush(ctx: &mut Ctx<'_>, mut args: Args<'_>, which: Option<DbId>) -> Result {
    let lazy = if args.is_empty() {
        ctx.state.config.lazyfree_lazy_user_flush
    } else if args.word("ASYNC") {
        true
    } else if args.word("SYNC") {
        false
    } else {
        return Err(Error::Syntax);
    };
    args.end()?;

    let gone = keyspace::act::keys::empty(ctx.state, which);
    let keys: usize = gone.iter().map(|table| table.len()).sum();
    ctx.state.dirty += keys as u64;
    // Propagated even if there was nothing to delete here, since a replica may have keys to delete.
    ctx.forced = crate::command::Targets::ALL;
    if which.is_none() {
        // The running save holds deleted keys.
        replication::act::full_sync::cancel_save(ctx.state);
        persistence::act::saving::reset_rdb(ctx.state);
    }

    const CANNOT_WAIT: ClientFlags = ClientFlags::FAKE;
    let flags = ctx.client().flags;
    let can_wait = ctx.origin == CallOrigin::Client
        && !flags.any(CANNOT_WAIT | ClientFlags::MULTI | ClientFlags::MUST_OBEY);
    if !lazy && !can_wait {
        drop(gone);
    } else if keys > 0 {
        ctx.state.lazyfree.free(gone, keys);
    }
    if lazy || !can_wait || keys == 0 {
        ctx.reply.ok();
    } else {
        wait(ctx, args);
    }
    Ok(())
}

/// Blocks the client until the lazy-free thread has freed the tables that it was just given.
fn wait(ctx: &mut Ctx<'_>, args: Args<'_>) {
    ctx.client().flags.set(ClientFlags::BLOCKED);
    let (client, command) = (ctx.client, ctx.command);
    let argv = args.argv().to_owned();
    let started_ns = ctx.state.clock.monotonic_ns();
    let mailbox = ctx.state.mailbox.clone();
    ctx.state.lazyfree.then(move || {
        mailbox.send(move |state| flushed(state, client, command, &argv, started_ns));
    });
}

/// Runs when the tables of a client's FLUSHALL SYNC have been freed: answers, logs the call, and lets the client go on.
#[doc(alias = "flushallSyncBgDone")]
fn flushed(
    state: &mut State,
    client: ClientKey,
    command: CommandId,
    argv: &OwnedArgv,
    started_ns: u64,
) {
    state.stats.lazyfreed_objects += state.lazyfree.take_freed();
    let Some(waiting) = state.clients.get_mut(client) else {
        return;
    };
    waiting.flags.clear(ClientFlags::BLOCKED);
    if !waiting.silent() {
        state.clients.send(client, |reply| reply.ok());
    }
    let elapsed_ns = state.clock.monotonic_ns().saturating_sub(started_ns);
    let argv = argv.as_argv();
    let ran = observe::Ran {
        client,
        id: command,
        argv,
        redacted: crate::command::Redacted::default(),
        elapsed_ns,
        ok: true,
        outermost: false,
        replayed: false,
    };
    observe::act::calls::after_call(state, ran);
    state.clients.resume(client);
}

pub(super) const SWAPDB: Command = Command {
    name: "swapdb",
    arity: Arity::Exactly(3),
    flags: &[Write, Fast],
    acl: &[Category::Keyspace, Category::Dangerous],
    args: &[arg::integer("index1"), arg::integer("index2")],
    docs: Docs {
        group: Group::Server,
        since: "4.0.0",
        complexity: "O(1); O(N) in the number of clients that watch or wait for keys.",
        summary: "Exchanges the content of two databases.",
        ..Docs::BASE
    },
    run: swapdb,
    ..Command::BASE
};

/// Swaps the contents of two databases, in constant time: clients of either see the other's keys at once. Keys that are
/// watched or waited for count as changed. Refused in cluster mode. Propagated as it came.
#[doc(alias = "swapdbCommand")]
fn swapdb(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    if ctx.state.config.cluster_enabled {
        return Err(Error::once("SWAPDB is not allowed in cluster mode"));
    }
    let mut index = |which: &str| {
        let text = format!("invalid {which} DB index");
        let n = args.integer_or(Error::once(text.clone()))?;
        i32::try_from(n).map_err(|_| Error::once(text))
    };
    let (a, b) = (index("first")?, index("second")?);
    let known = 0..ctx.state.keyspace.len_dbs() as i32;
    if !known.contains(&a) || !known.contains(&b) {
        return Err(Error::DbIndexOutOfRange);
    }

    let (a, b) = (DbId(a as u32), DbId(b as u32));
    if a != b {
        keyspace::act::notify::swapping(ctx.state, a, b);
        ctx.state.keyspace.swap(a, b);
    }
    ctx.state.dirty += 1;
    ctx.state.stats.cluster_incompatible_ops += 1;
    ctx.reply.ok();
    Ok(())
}
