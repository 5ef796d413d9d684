//! SLOWLOG: the commands that took long.
//!
//! Mirrors: `slowlogCommand` of slowlog.c; the log is in `observe/slowlog.rs`.

use super::prelude::*;

pub const COMMANDS: &[&Command] = &[&SLOWLOG];

const SLOWLOG: Command = Command {
    name: "slowlog",
    arity: Arity::AtLeast(2),
    docs: Docs {
        group: Group::Server,
        since: "2.2.12",
        complexity: "Depends on the subcommand",
        summary: "What concerns the slow log.",
        ..Docs::BASE
    },
    subcommands: &[&SLOWLOG_GET, &SLOWLOG_HELP, &SLOWLOG_LEN, &SLOWLOG_RESET],
    ..Command::BASE
};

const SLOWLOG_GET: Command = Command {
    name: "get",
    arity: Arity::AtLeast(2),
    flags: &[Admin, Loading, Stale],
    args: &[arg::integer("count").optional()],
    tips: &["request_policy:all_nodes", "nondeterministic_output"],
    docs: Docs {
        group: Group::Server,
        since: "2.2.12",
        complexity: "O(N) where N is the number of entries returned",
        summary: "Returns entries of the slow log, latest first.",
        ..Docs::BASE
    },
    run: slowlog_get,
    ..Command::BASE
};

/// Answers the latest entries (10, as many as asked for, or all for -1): id, unix time, duration in microseconds,
/// arguments, address and name of the client.
fn slowlog_get(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let log = &ctx.state.slowlog;
    let mut count = 10;
    args.at_most(1)?;
    if !args.is_empty() {
        let wrong = Error::once("count should be greater than or equal to -1");
        count = args.integer_or(wrong.clone())?;
        match count {
            ..-1 => return Err(wrong),
            -1 => count = i64::MAX,
            _ => {}
        }
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(log.len());
    let reply = &mut *ctx.reply;
    reply.array(count);
    for entry in log.iter().take(count) {
        let argv = entry.argv.as_argv();
        reply.array(6);
        reply.integer(entry.id as i64);
        reply.integer(entry.time);
        reply.integer(entry.duration_us as i64);
        reply.array(argv.len());
        for word in argv.iter() {
            reply.bulk(word);
        }
        reply.bulk(entry.address.as_bytes());
        reply.bulk(&entry.name);
    }
    Ok(())
}

const SLOWLOG_HELP: Command = Command {
    name: "help",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    docs: Docs {
        group: Group::Server,
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Tells what the subcommands do.",
        ..Docs::BASE
    },
    run: slowlog_help,
    ..Command::BASE
};

fn slowlog_help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.reply.help(
        "SLOWLOG",
        &[
            "GET [<count>]",
            "    The latest entries (default: 10, -1 for all), each made of:",
            "    id, unix time, duration in microseconds, arguments, client address, client name",
            "LEN",
            "    The number of entries.",
            "RESET",
            "    Forget all entries.",
        ],
    );
    Ok(())
}

const SLOWLOG_LEN: Command = Command {
    name: "len",
    arity: Arity::Exactly(2),
    flags: &[Admin, Loading, Stale],
    tips: &[
        "request_policy:all_nodes",
        "response_policy:agg_sum",
        "nondeterministic_output",
    ],
    docs: Docs {
        group: Group::Server,
        since: "2.2.12",
        complexity: "O(1)",
        summary: "Returns the number of entries in the slow log.",
        ..Docs::BASE
    },
    run: slowlog_len,
    ..Command::BASE
};

fn slowlog_len(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.reply.count(ctx.state.slowlog.len());
    Ok(())
}

const SLOWLOG_RESET: Command = Command {
    name: "reset",
    arity: Arity::Exactly(2),
    flags: &[Admin, Loading, Stale],
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    docs: Docs {
        group: Group::Server,
        since: "2.2.12",
        complexity: "O(N) where N is the number of entries",
        summary: "Empties the slow log.",
        ..Docs::BASE
    },
    run: slowlog_reset,
    ..Command::BASE
};

fn slowlog_reset(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.state.slowlog.clear();
    ctx.reply.ok();
    Ok(())
}
