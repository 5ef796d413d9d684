//! FCALL, and the libraries of functions.
//!
//! A dump of libraries is what an RDB file holds of them: for each the opcode and its text as a string, then the
//! version and a checksum.
//!
//! ```text
//!   F5  <length> #!lua name=mylib …   one library        then 2 bytes of version and 8 of CRC-64
//! ```
//!
//! Mirrors: the commands of functions.c; libraries are loaded and run by `scripting/act`.

use super::prelude::*;
use super::scripting::count_of_keys;
use crate::clients::ClientFlags;
use crate::command::ScriptFrom;
use crate::persistence::rdb::NEWEST_READ;
use crate::scripting;
use crate::scripting::act::run::Invocation;
use crate::scripting::{Library, RestorePolicy, ScriptFlags};
use crate::util::crc64::crc64;
use crate::util::{glob, lzf, num};

pub const COMMANDS: &[&Command] = &[&FCALL, &FCALL_RO, &FUNCTION];

const DOCS: Docs = Docs {
    group: Group::Scripting,
    ..Docs::BASE
};

const FCALL: Command = Command {
    name: "fcall",
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
        arg::string("function"),
        arg::integer("numkeys"),
        arg::key("key").optional().multiple(),
        arg::string("arg").optional().multiple(),
    ],
    docs: Docs {
        since: "7.0.0",
        complexity: "Depends on the function",
        summary: "Calls a function of a library.",
        ..DOCS
    },
    script: ScriptFrom::Library,
    run: fcall,
    ..Command::BASE
};
#[doc(alias = "fcallCommand")]
fn fcall(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    run(ctx, args, false)
}

const FCALL_RO: Command = Command {
    name: "fcall_ro",
    arity: Arity::AtLeast(3),
    flags: &[
        ReadOnly,
        NoScript,
        Stale,
        SkipMonitor,
        NoMandatoryKeys,
        MayReplicate,
        ScriptRunner,
    ],
    acl: &[Category::Scripting],
    keys: &[KeySpec::at(2, &[Ro, Access]).counted(0, 1, 1)],
    args: &[
        arg::string("function"),
        arg::integer("numkeys"),
        arg::key("key").optional().multiple(),
        arg::string("arg").optional().multiple(),
    ],
    docs: Docs {
        since: "7.0.0",
        complexity: "Depends on the function",
        summary: "Calls a function of a library that may not write.",
        ..DOCS
    },
    script: ScriptFrom::Library,
    run: fcall_ro,
    ..Command::BASE
};
#[doc(alias = "fcallroCommand")]
fn fcall_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    run(ctx, args, true)
}

/// FCALL and FCALL_RO: runs a function of a library with its keys and arguments, and answers what it returns. Its
/// writing commands are propagated, in one transaction if there are several. Fails if there is no such function.
#[doc(alias = "fcallCommandGeneric")]
fn run(ctx: &mut Ctx<'_>, mut args: Args<'_>, read_only: bool) -> Result {
    let argv = args.argv();
    crate::observe::act::monitor::feed(
        ctx.state,
        ctx.client,
        ctx.db,
        argv,
        crate::command::Redacted::default(),
    );
    let name = args.bytes()?;
    let function = ctx.state.scripts.libraries.function(name);
    let function = function.ok_or(Error::once("Function not found"))?.clone();
    let keys = num::parse_i64(args.bytes()?);
    let keys = keys.ok_or(Error::once("Bad number of keys provided"))?;
    let keys = count_of_keys(keys, args.len())?;
    let what = Invocation {
        argv,
        first: args.position(),
        keys,
        read_only,
    };
    scripting::act::run::call_function(ctx, what, &function)
}

const FUNCTION: Command = Command {
    name: "function",
    arity: Arity::AtLeast(2),
    docs: Docs {
        since: "7.0.0",
        complexity: "Depends on subcommand",
        summary: "Keeps libraries of functions.",
        ..DOCS
    },
    subcommands: &[
        &FUNCTION_DELETE,
        &FUNCTION_DUMP,
        &FUNCTION_FLUSH,
        &FUNCTION_HELP,
        &FUNCTION_KILL,
        &FUNCTION_LIST,
        &FUNCTION_LOAD,
        &FUNCTION_RESTORE,
        &FUNCTION_STATS,
    ],
    ..Command::BASE
};
const FUNCTION_DELETE: Command = Command {
    name: "delete",
    arity: Arity::Exactly(3),
    flags: &[Write, NoScript],
    acl: &[Category::Scripting],
    args: &[arg::string("library-name")],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    docs: Docs {
        since: "7.0.0",
        complexity: "O(1)",
        summary: "Deletes a library and its functions.",
        ..DOCS
    },
    run: function_delete,
    ..Command::BASE
};
#[doc(alias = "functionDeleteCommand")]
fn function_delete(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    if !ctx.state.scripts.libraries.delete(args.bytes()?) {
        return Err(Error::once("Library not found"));
    }
    ctx.state.dirty += 1;
    ctx.reply.ok();
    Ok(())
}

const FUNCTION_DUMP: Command = Command {
    name: "dump",
    arity: Arity::Exactly(2),
    flags: &[NoScript],
    acl: &[Category::Scripting],
    docs: Docs {
        since: "7.0.0",
        complexity: "O(N) where N is the number of functions",
        summary: "Returns all libraries as one string.",
        ..DOCS
    },
    run: function_dump,
    ..Command::BASE
};
/// Answers all libraries as one payload for FUNCTION RESTORE.
#[doc(alias = "functionDumpCommand")]
fn function_dump(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    let out = scripting::act::functions::dump(ctx.state);
    ctx.reply.bulk(&out);
    Ok(())
}

const FUNCTION_FLUSH: Command = Command {
    name: "flush",
    arity: Arity::AtLeast(2),
    flags: &[Write, NoScript],
    acl: &[Category::Scripting],
    args: &[arg::one_of(
        "flush-type",
        &[arg::word("async", "ASYNC"), arg::word("sync", "SYNC")],
    )
    .optional()],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    docs: Docs {
        since: "7.0.0",
        complexity: "O(N) where N is the number of functions",
        summary: "Deletes all libraries.",
        ..DOCS
    },
    run: function_flush,
    ..Command::BASE
};
/// Deletes all libraries; with ASYNC the interpreter's memory is freed later. Propagated as it came. Fails inside of a
/// script.
#[doc(alias = "functionFlushCommand")]
fn function_flush(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let default = args.is_empty() && ctx.state.config.lazyfree_lazy_user_flush;
    let sync = args.is_empty() || args.word("SYNC");
    let lazily = !sync && args.word("ASYNC") || default;
    let known = sync || lazily;
    if args.len() > 1 || known && !args.is_empty() {
        return Err(args.wrong_subcommand());
    }
    if !known {
        return Err(Error::once(
            "FUNCTION FLUSH only supports SYNC|ASYNC option",
        ));
    }
    let state = &mut *ctx.state;
    if state.scripts.run.is_some() {
        return Err(Error::once("a script cannot flush the libraries"));
    }
    let objects = state.scripts.flush_libraries(lazily);
    state.lazyfree.put_off(objects);
    state.dirty += 1;
    ctx.reply.ok();
    Ok(())
}

const FUNCTION_HELP: Command = Command {
    name: "help",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    acl: &[Category::Scripting],
    docs: Docs {
        since: "7.0.0",
        complexity: "O(1)",
        summary: "Explains the subcommands.",
        ..DOCS
    },
    run: function_help,
    ..Command::BASE
};
fn function_help(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    ctx.reply.help(
        "FUNCTION",
        &[
            "LOAD [REPLACE] <FUNCTION CODE>",
            "    Load a library from its code.",
            "DELETE <LIBRARY NAME>",
            "    Delete a library.",
            "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
            "    Tell about the libraries: name, engine, functions, and the code on request.",
            "STATS",
            "    Tell which function runs, by which command and for how long, and how many",
            "    libraries and functions each engine has.",
            "KILL",
            "    End the function that runs.",
            "FLUSH [ASYNC|SYNC]",
            "    Delete all libraries.",
            "DUMP",
            "    Return all libraries as one string for FUNCTION RESTORE.",
            "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
            "    Load the libraries of a dump. Those that are there go (FLUSH), stay (APPEND, an",
            "    error when a name is taken), or stay unless replaced (REPLACE).",
        ],
    );
    Ok(())
}

const FUNCTION_KILL: Command = Command {
    name: "kill",
    arity: Arity::Exactly(2),
    flags: &[NoScript, AllowBusy],
    acl: &[Category::Scripting],
    tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
    docs: Docs {
        since: "7.0.0",
        complexity: "O(1)",
        summary: "Ends the function that runs, if it has not written.",
        ..DOCS
    },
    run: function_kill,
    ..Command::BASE
};
/// Ends the running function, under the conditions of SCRIPT KILL.
#[doc(alias = "functionKillCommand")]
fn function_kill(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    scripting::act::run::kill_script(ctx.state, false)?;
    ctx.reply.ok();
    Ok(())
}

const FUNCTION_LIST: Command = Command {
    name: "list",
    arity: Arity::AtLeast(2),
    flags: &[NoScript],
    acl: &[Category::Scripting],
    args: &[
        arg::string("library-name-pattern")
            .token("LIBRARYNAME")
            .optional(),
        arg::word("withcode", "WITHCODE").optional(),
    ],
    tips: &["nondeterministic_output_order"],
    docs: Docs {
        since: "7.0.0",
        complexity: "O(N) where N is the number of functions",
        summary: "Tells about all libraries and their functions.",
        ..DOCS
    },
    run: function_list,
    ..Command::BASE
};
/// Answers all libraries, or those whose name matches a pattern: name, engine, functions with description and flags,
/// and with WITHCODE their text.
#[doc(alias = "functionListCommand")]
fn function_list(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (mut with_code, mut pattern) = (false, None);
    while !args.is_empty() {
        if !with_code && args.word("WITHCODE") {
            with_code = true;
        } else if pattern.is_none() && args.word("LIBRARYNAME") {
            let given = args.next();
            pattern = Some(given.ok_or(Error::once("library name argument was not given"))?);
        } else {
            let unknown = String::from_utf8_lossy(args.bytes()?).into_owned();
            return Err(Error::once(format!("Unknown argument {unknown}")));
        }
    }
    let reply = &mut *ctx.reply;
    let wanted = |library: &&Library| {
        let name = library.name.as_bytes();
        pattern.is_none_or(|p| glob::matches(p, name, glob::Case::Ignored))
    };
    let libraries: Vec<_> = ctx.state.scripts.libraries.iter().filter(wanted).collect();
    reply.array(libraries.len());
    for library in libraries {
        reply.map(3 + usize::from(with_code));
        reply.bulk(b"library_name");
        reply.bulk(library.name.as_bytes());
        reply.bulk(b"engine");
        reply.bulk(b"LUA");
        reply.bulk(b"functions");
        reply.array(library.functions.len());
        for function in library.functions.values() {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(function.name.as_bytes());
            reply.bulk(b"description");
            reply.bulk_or_null(function.description.as_deref());
            reply.bulk(b"flags");
            let own = ScriptFlags::NAMES
                .iter()
                .filter(|(_, flag)| function.flags.has(*flag));
            reply.set(own.clone().count());
            for (name, _) in own {
                reply.simple(name);
            }
        }
        if with_code {
            reply.bulk(b"library_code");
            reply.bulk(&library.code);
        }
    }
    Ok(())
}

const FUNCTION_LOAD: Command = Command {
    name: "load",
    arity: Arity::AtLeast(3),
    flags: &[Write, DenyOom, NoScript],
    acl: &[Category::Scripting],
    args: &[
        arg::word("replace", "REPLACE").optional(),
        arg::string("function-code"),
    ],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    docs: Docs {
        since: "7.0.0",
        complexity: "O(1), considering compilation time to be constant",
        summary: "Loads a library.",
        ..DOCS
    },
    run: function_load,
    ..Command::BASE
};
/// Runs the text of a library, which registers its functions, and answers its name. With REPLACE a library of that name
/// is replaced. Fails, and changes nothing, if a function's name is taken by another library. Propagated as it came.
#[doc(alias = "functionLoadCommand")]
fn function_load(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let mut replace = false;
    while args.len() > 1 {
        if !args.word("REPLACE") {
            let unknown = String::from_utf8_lossy(args.bytes()?).into_owned();
            return Err(Error::once(format!("Unknown option given: {unknown}")));
        }
        replace = true;
    }
    let code = args.next().ok_or(Error::once("Function code is missing"))?;
    let obeyed = ctx.client().flags.has(ClientFlags::MUST_OBEY);
    let name = scripting::act::functions::load_library(ctx.state, code, replace, !obeyed)
        .map_err(Error::once)?;
    ctx.state.dirty += 1;
    ctx.reply.bulk(name.as_bytes());
    Ok(())
}

const FUNCTION_RESTORE: Command = Command {
    name: "restore",
    arity: Arity::AtLeast(3),
    flags: &[Write, DenyOom, NoScript],
    acl: &[Category::Scripting],
    args: &[
        arg::string("serialized-value"),
        arg::one_of(
            "policy",
            &[
                arg::word("flush", "FLUSH"),
                arg::word("append", "APPEND"),
                arg::word("replace", "REPLACE"),
            ],
        )
        .optional(),
    ],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    docs: Docs {
        since: "7.0.0",
        complexity: "O(N) where N is the number of functions",
        summary: "Loads all libraries of a dump.",
        ..DOCS
    },
    run: function_restore,
    ..Command::BASE
};
/// Loads the libraries of a FUNCTION DUMP, all or none. A library whose name is taken is an error (APPEND, the default)
/// or replaces the old one (REPLACE); FLUSH deletes all old ones first. Propagated as it came.
#[doc(alias = "functionRestoreCommand")]
fn function_restore(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let payload = args.bytes()?;
    args.at_most(1)?;
    let policy = if args.is_empty() || args.word("APPEND") {
        RestorePolicy::Append
    } else if args.word("REPLACE") {
        RestorePolicy::Replace
    } else if args.word("FLUSH") {
        RestorePolicy::Flush
    } else {
        return Err(Error::once(
            "Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
        ));
    };
    let body = checked(payload).ok_or(Error::once("DUMP payload version or checksum are wrong"))?;
    let codes = libraries_of(body).map_err(Error::once)?;
    scripting::act::functions::restore_libraries(ctx.state, &codes, policy).map_err(Error::once)?;
    ctx.state.dirty += 1;
    ctx.reply.ok();
    Ok(())
}

const FUNCTION_STATS: Command = Command {
    name: "stats",
    arity: Arity::Exactly(2),
    flags: &[NoScript, AllowBusy],
    acl: &[Category::Scripting],
    tips: &[
        "nondeterministic_output",
        "request_policy:all_shards",
        "response_policy:special",
    ],
    docs: Docs {
        since: "7.0.0",
        complexity: "O(1)",
        summary: "Tells which function runs, and what libraries there are.",
        ..DOCS
    },
    run: function_stats,
    ..Command::BASE
};
/// Answers the function that runs now, with its request and milliseconds so far, and the number of libraries and
/// functions. Allowed while a function runs; BUSY while an EVAL does.
#[doc(alias = "functionStatsCommand")]
fn function_stats(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    let state = &*ctx.state;
    if state.scripts.run.as_ref().is_some_and(|run| run.is_eval) {
        return Err(state.scripts.busy_error());
    }
    ctx.reply.map(2);
    ctx.reply.bulk(b"running_script");
    match &state.scripts.run {
        None => ctx.reply.null(),
        Some(run) => {
            ctx.reply.map(3);
            ctx.reply.bulk(b"name");
            ctx.reply.bulk(run.name.as_bytes());
            ctx.reply.bulk(b"command");
            ctx.reply.array(run.request.as_argv().len());
            for word in run.request.as_argv().iter() {
                ctx.reply.bulk(word);
            }
            ctx.reply.bulk(b"duration_ms");
            let elapsed = state.clock.monotonic_ns().saturating_sub(run.started_ns);
            ctx.reply.integer((elapsed / 1_000_000) as i64);
        }
    }
    ctx.reply.bulk(b"engines");
    ctx.reply.map(1);
    ctx.reply.bulk(b"LUA");
    ctx.reply.map(2);
    ctx.reply.bulk(b"libraries_count");
    ctx.reply.count(state.scripts.libraries.iter().len());
    ctx.reply.bulk(b"functions_count");
    ctx.reply.count(state.scripts.libraries.functions());
    Ok(())
}

/// The opcode of libraries in earlier release candidates.
const OPCODE_FUNCTION_PRE_GA: u8 = 246;

/// The payload without its version and checksum, if they are right.
#[doc(alias = "verifyDumpPayload")]
fn checked(payload: &[u8]) -> Option<&[u8]> {
    let (rest, checksum) = payload.split_last_chunk::<8>()?;
    let (body, version) = rest.split_last_chunk::<2>()?;
    if u32::from(u16::from_le_bytes(*version)) > NEWEST_READ {
        return None;
    }
    let checksum = u64::from_le_bytes(*checksum);
    (checksum == 0 || checksum == crc64(0, rest)).then_some(body)
}

fn libraries_of(mut body: &[u8]) -> std::result::Result<Vec<Vec<u8>>, String> {
    let mut codes = Vec::new();
    while let Some((opcode, rest)) = body.split_first() {
        match *opcode {
            scripting::act::functions::OPCODE_FUNCTION => {}
            OPCODE_FUNCTION_PRE_GA => return Err("Pre-GA function format not supported".into()),
            _ => return Err("given type is not a function".into()),
        }
        body = rest;
        let code = take_string(&mut body);
        codes.push(code.ok_or("failed loading the given functions payload")?);
    }
    Ok(codes)
}

fn take<'a>(from: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(len)?;
    *from = rest;
    Some(taken)
}

/// Takes a length, or the number of a special encoding (`Err`).
fn take_length(from: &mut &[u8]) -> Option<std::result::Result<usize, u8>> {
    let first = take(from, 1)?[0];
    let wide = |bytes: &[u8]| bytes.iter().fold(0_u64, |n, b| n << 8 | u64::from(*b));
    let len = match first >> 6 {
        0 => (first & 63).into(),
        1 => u64::from(first & 63) << 8 | wide(take(from, 1)?),
        2 if first == 0x80 => wide(take(from, 4)?),
        2 if first == 0x81 => wide(take(from, 8)?),
        3 => return Some(Err(first & 63)),
        _ => return None,
    };
    usize::try_from(len).ok().map(Ok)
}

/// Takes a string, plain or compressed with LZF.
fn take_string(from: &mut &[u8]) -> Option<Vec<u8>> {
    const LZF: u8 = 3;
    match take_length(from)? {
        Ok(len) => take(from, len).map(<[u8]>::to_vec),
        Err(LZF) => {
            let compressed = take_length(from)?.ok()?;
            let len = take_length(from)?.ok()?;
            lzf::decompress(take(from, compressed)?, len)
        }
        Err(_) => None,
    }
}
