//! EVAL and its kin, and the cache of scripts.
//!
//! Mirrors: the commands of eval.c; scripts are run by `scripting/act`.

use super::prelude::*;
use crate::command::ScriptFrom;
use crate::scripting;
use crate::scripting::act::run::Invocation;

pub const COMMANDS: &[&Command] = &[&EVAL, &EVALSHA, &EVALSHA_RO, &EVAL_RO, &SCRIPT];

const DOCS: Docs = Docs {
    group: Group::Scripting,
    ..Docs::BASE
};

const EVAL: Command = Command {
    name: "eval",
    arity: Arity::AtLeast(3),
    flags: &[
        NoScript,
        Stale,
        SkipMonitor,
        NoMandatoryKeys,
        MayReplicate,
        ScriptRunner,
    ],
    acl: &[Category::Scripting],
    keys: &[KeySpec::at(2, &[Rw, Access, Update]).counted(0, 1, 1)],
    args: &[
        arg::string("script"),
        arg::integer("numkeys"),
        arg::key("key").optional().multiple(),
        arg::string("arg").optional().multiple(),
    ],
    docs: Docs {
        since: "2.6.0",
        complexity: "Depends on the script",
        summary: "Runs a Lua script.",
        ..DOCS
    },
    run: eval,
    ..Command::BASE
};
#[doc(alias = "evalCommand")]
fn eval(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    run(ctx, args, false, false)
}

const EVAL_RO: Command = Command {
    name: "eval_ro",
    arity: Arity::AtLeast(3),
    flags: &[
        ReadOnly,
        NoScript,
        Stale,
        SkipMonitor,
        NoMandatoryKeys,
        ScriptRunner,
    ],
    acl: &[Category::Scripting],
    keys: &[KeySpec::at(2, &[Ro, Access]).counted(0, 1, 1)],
    args: &[
        arg::string("script"),
        arg::integer("numkeys"),
        arg::key("key").optional().multiple(),
        arg::string("arg").optional().multiple(),
    ],
    docs: Docs {
        since: "7.0.0",
        complexity: "Depends on the script",
        summary: "Runs a Lua script that may not write.",
        ..DOCS
    },
    run: eval_ro,
    ..Command::BASE
};
#[doc(alias = "evalRoCommand")]
fn eval_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    run(ctx, args, false, true)
}

const EVALSHA: Command = Command {
    name: "evalsha",
    arity: Arity::AtLeast(3),
    flags: &[
        NoScript,
        Stale,
        SkipMonitor,
        NoMandatoryKeys,
        MayReplicate,
        ScriptRunner,
    ],
    acl: &[Category::Scripting],
    keys: &[KeySpec::at(2, &[Rw, Access, Update]).counted(0, 1, 1)],
    args: &[
        arg::string("sha1"),
        arg::integer("numkeys"),
        arg::key("key").optional().multiple(),
        arg::string("arg").optional().multiple(),
    ],
    docs: Docs {
        since: "2.6.0",
        complexity: "Depends on the script",
        summary: "Runs a Lua script of the cache, named by its SHA-1.",
        ..DOCS
    },
    script: ScriptFrom::Digest,
    run: evalsha,
    ..Command::BASE
};
#[doc(alias = "evalShaCommand")]
fn evalsha(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    run(ctx, args, true, false)
}

const EVALSHA_RO: Command = Command {
    name: "evalsha_ro",
    arity: Arity::AtLeast(3),
    flags: &[
        ReadOnly,
        NoScript,
        Stale,
        SkipMonitor,
        NoMandatoryKeys,
        ScriptRunner,
    ],
    acl: &[Category::Scripting],
    keys: &[KeySpec::at(2, &[Ro, Access]).counted(0, 1, 1)],
    args: &[
        arg::string("sha1"),
        arg::integer("numkeys"),
        arg::key("key").optional().multiple(),
        arg::string("arg").optional().multiple(),
    ],
    docs: Docs {
        since: "7.0.0",
        complexity: "Depends on the script",
        summary: "Runs a Lua script of the cache that may not write.",
        ..DOCS
    },
    script: ScriptFrom::Digest,
    run: evalsha_ro,
    ..Command::BASE
};
#[doc(alias = "evalShaRoCommand")]
fn evalsha_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    run(ctx, args, true, true)
}

/// EVAL, EVALSHA and their read-only forms: runs a script of the request or of the cache with its keys and arguments,
/// and answers what it returns. EVALSHA fails with NOSCRIPT if the cache lacks the script.
///
/// The script itself is not propagated; its writing commands are, in one transaction if there are several. No other
/// client is served until it ends or is overdue (`busy-reply-threshold`).
#[doc(alias = "evalGenericCommand")]
fn run(ctx: &mut Ctx<'_>, mut args: Args<'_>, by_sha: bool, read_only: bool) -> Result {
    let argv = args.argv();
    // MONITOR shows the EVAL before the commands of its script.
    crate::observe::act::monitor::feed(
        ctx.state,
        ctx.client,
        ctx.db,
        argv,
        crate::command::Redacted::default(),
    );
    const SHA_LEN: usize = 40;
    if args.bytes()?.len() != SHA_LEN && by_sha {
        return Err(scripting::act::run::NO_SCRIPT);
    }
    let keys = args.integer()?;
    let keys = count_of_keys(keys, args.len())?;
    let what = Invocation {
        argv,
        first: args.position(),
        keys,
        read_only,
    };
    scripting::act::run::eval(ctx, what, by_sha)
}

/// Checks the number of keys against the number of words that follow.
pub(super) fn count_of_keys(keys: i64, words: usize) -> Result<usize> {
    if keys > words as i64 {
        return Err(Error::once(
            "Number of keys can't be greater than number of args",
        ));
    }
    usize::try_from(keys).map_err(|_| Error::once("Number of keys can't be negative"))
}

const SCRIPT: Command = Command {
    name: "script",
    arity: Arity::AtLeast(2),
    docs: Docs {
        since: "2.6.0",
        complexity: "Depends on subcommand",
        summary: "Keeps the cache of scripts.",
        ..DOCS
    },
    subcommands: &[
        &SCRIPT_DEBUG,
        &SCRIPT_EXISTS,
        &SCRIPT_FLUSH,
        &SCRIPT_HELP,
        &SCRIPT_KILL,
        &SCRIPT_LOAD,
        &SCRIPT_SHOW,
    ],
    ..Command::BASE
};
const SCRIPT_DEBUG: Command = Command {
    name: "debug",
    arity: Arity::Exactly(3),
    flags: &[NoScript],
    acl: &[Category::Scripting],
    args: &[arg::one_of(
        "mode",
        &[
            arg::word("yes", "YES"),
            arg::word("sync", "SYNC"),
            arg::word("no", "NO"),
        ],
    )],
    docs: Docs {
        since: "3.2.0",
        complexity: "O(1)",
        summary: "Sets the debug mode of the following scripts.",
        ..DOCS
    },
    run: script_debug,
    ..Command::BASE
};
/// Debugs the next scripts of this connection, on a copy of the data set (YES) or on the data set itself (SYNC), or no
/// more (NO). Fails if replies are waiting to be sent, for the debugger takes the connection over.
fn script_debug(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    if ctx.reply.output().is_some_and(|queued| !queued.is_empty()) {
        return Err(Error::once(
            "SCRIPT DEBUG must be called outside a pipeline",
        ));
    }
    let debugger = &mut ctx.state.scripts.debugger;
    if args.word("NO") {
        debugger.disarm(ctx.client);
    } else if args.word("SYNC") {
        debugger.arm(ctx.client);
    } else if args.word("YES") {
        debugger.arm_apart(ctx.client);
    } else {
        return Err(Error::once("Use SCRIPT DEBUG YES/SYNC/NO"));
    }
    ctx.reply.ok();
    Ok(())
}

const SCRIPT_EXISTS: Command = Command {
    name: "exists",
    arity: Arity::AtLeast(3),
    flags: &[NoScript],
    acl: &[Category::Scripting],
    args: &[arg::string("sha1").multiple()],
    tips: &[
        "request_policy:all_shards",
        "response_policy:agg_logical_and",
    ],
    docs: Docs {
        since: "2.6.0",
        complexity: "O(N) where N is the number of scripts asked for",
        summary: "Tells which scripts are in the cache.",
        ..DOCS
    },
    run: script_exists,
    ..Command::BASE
};
fn script_exists(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    ctx.reply.array(args.len());
    for sha in args {
        let there = ctx.state.scripts.get(sha).is_some();
        ctx.reply.integer(there.into());
    }
    Ok(())
}

const SCRIPT_FLUSH: Command = Command {
    name: "flush",
    arity: Arity::AtLeast(2),
    flags: &[NoScript],
    acl: &[Category::Scripting],
    args: &[arg::one_of(
        "flush-type",
        &[arg::word("async", "ASYNC"), arg::word("sync", "SYNC")],
    )
    .optional()
    .since("6.2.0")],
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    docs: Docs {
        since: "2.6.0",
        complexity: "O(N) where N is the number of scripts in the cache",
        summary: "Empties the cache of scripts.",
        ..DOCS
    },
    run: script_flush,
    ..Command::BASE
};
/// Empties the cache of scripts; with ASYNC the interpreter's memory is freed later. Fails inside of a script.
fn script_flush(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let default = args.is_empty() && ctx.state.config.lazyfree_lazy_user_flush;
    let known = args.is_empty() || args.word("SYNC");
    let lazily = !known && args.word("ASYNC") || default;
    if !known && !lazily || !args.is_empty() {
        return Err(Error::once("SCRIPT FLUSH only support SYNC|ASYNC option"));
    }
    let state = &mut *ctx.state;
    if state.scripts.run.is_some() {
        return Err(Error::once("a script cannot flush the scripts"));
    }
    let objects = state.scripts.flush(lazily);
    state.lazyfree.put_off(objects);
    ctx.reply.ok();
    Ok(())
}

const SCRIPT_HELP: Command = Command {
    name: "help",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    acl: &[Category::Scripting],
    docs: Docs {
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Explains the subcommands.",
        ..DOCS
    },
    run: script_help,
    ..Command::BASE
};
fn script_help(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    ctx.reply.help(
        "SCRIPT",
        &[
            "DEBUG (YES|SYNC|NO)",
            "    Set the debug mode of the following scripts.",
            "EXISTS <sha1> [<sha1> ...]",
            "    Tell which of the scripts are in the cache.",
            "FLUSH [ASYNC|SYNC]",
            "    Empty the cache of scripts.",
            "KILL",
            "    End the script that runs.",
            "LOAD <script>",
            "    Put a script into the cache without running it.",
            "SHOW <sha1>",
            "    Show a script of the cache.",
        ],
    );
    Ok(())
}

const SCRIPT_KILL: Command = Command {
    name: "kill",
    arity: Arity::Exactly(2),
    flags: &[NoScript, AllowBusy],
    acl: &[Category::Scripting],
    tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
    docs: Docs {
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Ends the script that runs, if it has not written.",
        ..DOCS
    },
    run: script_kill,
    ..Command::BASE
};
/// Ends the running script of an EVAL. Fails with NOTBUSY if none runs, and with UNKILLABLE if it has written already
/// or comes from the primary.
fn script_kill(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    scripting::act::run::kill_script(ctx.state, true)?;
    ctx.reply.ok();
    Ok(())
}

const SCRIPT_LOAD: Command = Command {
    name: "load",
    arity: Arity::Exactly(3),
    flags: &[NoScript, Stale],
    acl: &[Category::Scripting],
    args: &[arg::string("script")],
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    docs: Docs {
        since: "2.6.0",
        complexity: "O(N) where N is the length of the script",
        summary: "Puts a script into the cache.",
        ..DOCS
    },
    run: script_load,
    ..Command::BASE
};
fn script_load(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (sha, _) = ctx.state.scripts.load(args.bytes()?, true)?;
    ctx.reply.bulk(&sha);
    Ok(())
}

const SCRIPT_SHOW: Command = Command {
    name: "show",
    arity: Arity::Exactly(3),
    flags: &[NoScript],
    acl: &[Category::Scripting],
    args: &[arg::string("sha1")],
    docs: Docs {
        since: "8.0.0",
        complexity: "O(1)",
        summary: "Shows a script of the cache.",
        ..DOCS
    },
    run: script_show,
    ..Command::BASE
};

fn script_show(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let script = ctx.state.scripts.get(args.bytes()?);
    let script = script.ok_or(Error::coded("NOSCRIPT No matching script."))?;
    ctx.reply.bulk(script.body());
    Ok(())
}
