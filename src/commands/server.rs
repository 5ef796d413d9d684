//! Commands about the server as a whole: LOLWUT, MONITOR, SHUTDOWN, TIME.
//!
//! Mirrors: the small commands of server.c, replication.c and lolwut.c.

use super::prelude::*;
use crate::clients::{ClientFlags, WaitKind};
use crate::config::ShutdownFlags;
use crate::shutdown;
use crate::shutdown::SHUTDOWN_FAILED;

pub const COMMANDS: &[&Command] = &[&LOLWUT, &MONITOR, &SHUTDOWN, &TIME];

const LOLWUT: Command = Command {
    name: "lolwut",
    arity: Arity::AtLeast(1),
    flags: &[ReadOnly, Fast],
    args: &[arg::integer("version").token("VERSION").optional()],
    docs: Docs {
        group: Group::Server,
        since: "5.0.0",
        complexity: "O(N) where N is the size of the picture",
        summary: "Draws a picture and tells the version.",
        ..Docs::BASE
    },
    run: lolwut,
    ..Command::BASE
};

const WIDTH: i64 = 64;
const HEIGHT: i64 = 24;

/// A plate of iron left in the rain: rust begins in a few spots and spreads downwards, each cell under
/// the influence of the three above it (an elementary cellular automaton, its rule drawn by lot).
#[doc(alias = "lolwutCommand")]
fn lolwut(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    if args.word_with("VERSION", 1) {
        args.integer()?;
    }
    let mut size = |default: i64, max: i64| match args.next() {
        None => Ok(default),
        Some(word) => match crate::util::num::parse_i64(word) {
            Some(n) => Ok(n.clamp(1, max)),
            None => Err(Error::NotInteger),
        },
    };
    let (width, height) = (size(WIDTH, 200)? as usize, size(HEIGHT, 100)? as usize);

    // Rules whose pictures are neither empty nor plain.
    const RULES: [u8; 8] = [18, 22, 30, 45, 60, 90, 105, 150];
    let rng = &mut ctx.state.rng;
    let rule = RULES[rng.below(RULES.len() as u64) as usize];
    let mut row: Vec<bool> = (0..width).map(|_| rng.below(12) == 0).collect();
    row[width / 2] = true;
    let mut text = String::new();
    for line in 0..height {
        let shade = ['░', '▒', '▓', '█'][line * 4 / height];
        text.extend(row.iter().map(|rusty| if *rusty { shade } else { ' ' }));
        text.truncate(text.trim_end().len());
        text.push('\n');
        let at = |i: usize| usize::from(row[i % width]);
        let cell = |i: usize| 4 * at(i + width - 1) + 2 * at(i) + at(i + 1);
        row = (0..width).map(|i| rule >> cell(i) & 1 == 1).collect();
    }
    let version = crate::REDIS_VERSION;
    let own = env!("CARGO_PKG_VERSION");
    text += &format!("\nIron oxide, rule {rule}. Oxidis {own}, Redis ver. {version}\n");
    ctx.reply.verbatim("txt", text);
    Ok(())
}

const MONITOR: Command = Command {
    name: "monitor",
    arity: Arity::Exactly(1),
    flags: &[Admin, NoScript, Loading, Stale],
    docs: Docs {
        group: Group::Server,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Shows the client every command from now on.",
        ..Docs::BASE
    },
    run: monitor,
    ..Command::BASE
};

/// Sends this connection every command that the server runs from now on. Refused where replies have no stream of their
/// own, in transactions and scripts.
#[doc(alias = "monitorCommand")]
fn monitor(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let flags = ctx.client().flags;
    if flags.any(ClientFlags::IN_EXEC | ClientFlags::SCRIPT | ClientFlags::FAKE) {
        return Err(Error::once(
            "MONITOR isn't allowed for DENY BLOCKING client",
        ));
    }
    // A replica receives the commands anyway.
    if flags.any(ClientFlags::REPLICA | ClientFlags::MONITOR) {
        return Ok(());
    }
    ctx.client().flags.set(ClientFlags::MONITOR);
    ctx.state.monitors.push(ctx.client);
    ctx.reply.ok();
    Ok(())
}

const SHUTDOWN: Command = Command {
    name: "shutdown",
    arity: Arity::AtLeast(1),
    flags: &[Admin, NoScript, Loading, Stale, NoMulti, AllowBusy],
    args: &[
        arg::one_of(
            "save-selector",
            &[arg::word("nosave", "NOSAVE"), arg::word("save", "SAVE")],
        )
        .optional(),
        arg::word("now", "NOW").optional().since("7.0.0"),
        arg::word("force", "FORCE").optional().since("7.0.0"),
        arg::word("abort", "ABORT").optional().since("7.0.0"),
    ],
    docs: Docs {
        group: Group::Server,
        since: "1.0.0",
        complexity: "O(N) where N is the number of keys, when a file is saved first; otherwise O(1)",
        summary: "Ends the server, the data set being saved first if there are save points or it is asked for.",
        ..Docs::BASE
    },
    run: shutdown,
    ..Command::BASE
};

/// Ends the server: replicas are given time to catch up, the AOF is fsynced, an RDB file is written if saving is
/// configured (SAVE: in any case, NOSAVE: not at all). NOW does not wait for replicas; FORCE ends also if saving fails.
///
/// The client is blocked meanwhile and never answered, unless the shutdown fails or SHUTDOWN ABORT ends it.
#[doc(alias = "shutdownCommand")]
fn shutdown(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let mut how = ShutdownFlags::default();
    let alone = args.len() == 1;
    while !args.is_empty() {
        if args.word("NOSAVE") && !how.save {
            how.nosave = true;
        } else if args.word("SAVE") && !how.nosave {
            how.save = true;
        } else if args.word("NOW") {
            how.now = true;
        } else if args.word("FORCE") {
            how.force = true;
        } else if args.word("ABORT") && alone {
            if !shutdown::act::abort(ctx.state) {
                return Err(Error::once("No shutdown in progress."));
            }
            ctx.reply.ok();
            return Ok(());
        } else {
            return Err(Error::Syntax);
        }
    }
    if !how.now && !ctx.may_block() {
        return Err(Error::once(
            "SHUTDOWN without NOW or ABORT isn't allowed for DENY BLOCKING client",
        ));
    }
    match shutdown::act::begin(ctx.state, how) {
        crate::shutdown::Ending::Over => ctx.client().flags.set(ClientFlags::CLOSE_AFTER_REPLY),
        crate::shutdown::Ending::Waits => {
            let words = args.argv().to_owned();
            ctx.block_on_keys(WaitKind::Shutdown, words, None, []);
        }
        crate::shutdown::Ending::Failed => return Err(Error::coded(SHUTDOWN_FAILED)),
    }
    Ok(())
}

const TIME: Command = Command {
    name: "time",
    arity: Arity::Exactly(1),
    flags: &[Loading, Stale, Fast],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Server,
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Returns the time: unix seconds and microseconds.",
        ..Docs::BASE
    },
    run: time,
    ..Command::BASE
};

#[doc(alias = "timeCommand")]
fn time(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    // The cached time is that of the loop's turn; a client that asks for the time gets the present.
    if ctx.origin == crate::dispatch::CallOrigin::Client {
        ctx.state.refresh_clock();
    }
    let us = ctx.state.clock.unix_us();
    ctx.reply.array(2);
    ctx.reply.bulk_integer(us / 1_000_000);
    ctx.reply.bulk_integer(us % 1_000_000);
    Ok(())
}
