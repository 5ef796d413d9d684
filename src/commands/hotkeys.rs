//! HOTKEYS: which keys cost the most, found in a session that is begun and ended by hand.
//!
//! ```text
//!   HOTKEYS START METRICS 2 CPU NET COUNT 5 DURATION 60     for a minute, the five heaviest keys
//!   HOTKEYS GET                                             … by-cpu-time-us [cart:17, 48210, user:3, 977, …] …
//!   HOTKEYS STOP                                            earlier than that; GET still answers
//!   HOTKEYS RESET                                           forgets it, so that another can begin
//! ```
//!
//! Mirrors: `hotkeysCommand()` of hotkeys.c (Redis 8.6 and later); the counting is in `observe/hotkeys.rs`.
//! Differs: the weight of a key is the part that is certain, where Redis estimates.

use super::prelude::*;
use crate::observe::hotkeys::{Session, Wanted};
use crate::sys::process::{self, Whose};
use crate::util::crc16::SLOTS;

pub const COMMANDS: &[&Command] = &[&HOTKEYS];

const HOTKEYS: Command = Command {
    name: "hotkeys",
    arity: Arity::AtLeast(2),
    docs: Docs {
        group: Group::Server,
        since: "8.6.0",
        complexity: "Depends on the subcommand",
        summary: "What concerns the search for hot keys.",
        ..Docs::BASE
    },
    subcommands: &[
        &HOTKEYS_GET,
        &HOTKEYS_HELP,
        &HOTKEYS_RESET,
        &HOTKEYS_START,
        &HOTKEYS_STOP,
    ],
    ..Command::BASE
};

const HOTKEYS_START: Command = Command {
    name: "start",
    arity: Arity::AtLeast(2),
    flags: &[Admin, NoScript],
    args: &[
        arg::block(
            "metrics",
            &[
                arg::integer("count"),
                arg::word("cpu", "CPU").optional(),
                arg::word("net", "NET").optional(),
            ],
        )
        .token("METRICS"),
        arg::integer("k").token("COUNT").optional(),
        arg::integer("seconds").token("DURATION").optional(),
        arg::integer("ratio").token("SAMPLE").optional(),
        arg::block(
            "slots",
            &[arg::integer("count"), arg::integer("slot").multiple()],
        )
        .token("SLOTS")
        .optional(),
    ],
    tips: &["request_policy:special"],
    docs: Docs {
        group: Group::Server,
        since: "8.6.0",
        complexity: "O(1)",
        summary: "Begins to look for hot keys.",
        ..Docs::BASE
    },
    run: hotkeys_start,
    ..Command::BASE
};

const DEFAULT_COUNT: usize = 10;

/// Begins a session that measures the time (CPU) or the bytes (NET) of commands and attributes them to their keys; an
/// ended session is replaced. SAMPLE measures one command of so many; SLOTS, in a cluster, only keys of these slots.
///
/// Fails while a session is active, and if a parameter is missing, out of range or given twice. Not propagated.
fn hotkeys_start(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let now = ctx.state.clock.unix_ms();
    if ctx
        .state
        .hotkeys
        .as_mut()
        .is_some_and(|session| session.is_active(now))
    {
        return Err(Error::once("hotkey tracking session already in progress"));
    }
    if !args.word_with("METRICS", 1) {
        return Err(Error::once("METRICS parameter is required"));
    }
    let metrics = within(&mut args, 1, 2, "METRICS count must be > 0 and <= 2")?;
    let mut wanted = Wanted {
        cpu: false,
        net: false,
        count: DEFAULT_COUNT,
        duration_ms: None,
        ratio: 1,
        slots: None,
    };
    for _ in 0..metrics {
        if args.is_empty() {
            return Err(Error::once(
                "METRICS count does not match number of metric types provided",
            ));
        }
        let twice = |name: &str| {
            Err(Error::once(format!(
                "METRICS {name} defined more than once!"
            )))
        };
        match args.bytes()?.to_ascii_uppercase().as_slice() {
            b"CPU" if wanted.cpu => return twice("CPU"),
            b"NET" if wanted.net => return twice("NET"),
            b"CPU" => wanted.cpu = true,
            b"NET" => wanted.net = true,
            // A metric of a later release is ignored.
            _ => {}
        }
    }
    if !wanted.cpu && !wanted.net {
        return Err(Error::once(
            "METRICS no valid metrics passed. Supported: CPU|NET",
        ));
    }
    while !args.is_empty() {
        if args.word_with("COUNT", 1) {
            wanted.count = within(&mut args, 1, 64, "COUNT must be between 1 and 64")? as usize;
        } else if args.word_with("DURATION", 1) {
            let text = "DURATION must be between 1 and 1000000";
            wanted.duration_ms = Some(within(&mut args, 1, 1_000_000, text)? * 1000);
        } else if args.word_with("SAMPLE", 1) {
            let ratio = within(
                &mut args,
                1,
                i32::MAX.into(),
                "SAMPLE ratio must be positive",
            )?;
            wanted.ratio = ratio as u32;
        } else if args.word_with("SLOTS", 1) {
            wanted.slots = Some(slots(ctx, &mut args, wanted.slots.is_some())?);
        } else {
            return Err(Error::once("syntax error"));
        }
    }
    let cpu = process::cpu_time(Whose::Process).unwrap_or_default();
    ctx.state.hotkeys = Some(Box::new(Session::new(wanted, now, cpu)));
    ctx.reply.ok();
    Ok(())
}

fn within(args: &mut Args<'_>, min: i64, max: i64, text: &'static str) -> Result<i64> {
    match args.integer() {
        Ok(n) if (min..=max).contains(&n) => Ok(n),
        _ => Err(Error::once(text)),
    }
}

/// Takes the slots after SLOTS and returns them as ranges in order.
fn slots(ctx: &Ctx<'_>, args: &mut Args<'_>, again: bool) -> Result<Vec<(u16, u16)>> {
    if !ctx.state.config.cluster_enabled {
        return Err(Error::once(
            "SLOTS parameter cannot be used in non-cluster mode",
        ));
    }
    if again {
        return Err(Error::once("SLOTS parameter already specified"));
    }
    let text = "SLOTS count must be between 1 and 16384";
    let count = within(args, 1, SLOTS.into(), text)? as usize;
    if args.len() < count {
        return Err(Error::once("not enough slot numbers provided"));
    }
    let mut named = Vec::with_capacity(count);
    for _ in 0..count {
        let last = i64::from(SLOTS) - 1;
        named.push(within(args, 0, last, "Invalid or out of range slot")? as u16);
    }
    named.sort_unstable();
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for slot in named {
        match ranges.last_mut() {
            Some((_, end)) if *end == slot => return Err(Error::once("duplicate slot number")),
            Some((_, end)) if *end + 1 == slot => *end = slot,
            _ => ranges.push((slot, slot)),
        }
    }
    Ok(ranges)
}

const HOTKEYS_STOP: Command = Command {
    name: "stop",
    arity: Arity::Exactly(2),
    flags: &[Admin, NoScript],
    tips: &["request_policy:special"],
    docs: Docs {
        group: Group::Server,
        since: "8.6.0",
        complexity: "O(1)",
        summary: "Ends the search for hot keys; what was found stays.",
        ..Docs::BASE
    },
    run: hotkeys_stop,
    ..Command::BASE
};

/// Ends the session; GET still answers for it. Null if none is active.
fn hotkeys_stop(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let now = ctx.state.clock.unix_ms();
    match &mut ctx.state.hotkeys {
        Some(session) => match session.is_active(now) {
            true => {
                session.ended_ms = Some(now);
                ctx.reply.ok();
            }
            false => ctx.reply.null(),
        },
        None => ctx.reply.null(),
    }
    Ok(())
}

const HOTKEYS_RESET: Command = Command {
    name: "reset",
    arity: Arity::Exactly(2),
    flags: &[Admin, NoScript],
    tips: &["request_policy:special"],
    docs: Docs {
        group: Group::Server,
        since: "8.6.0",
        complexity: "O(K) where K is the number of keys that were told apart",
        summary: "Forgets the hot keys that were found.",
        ..Docs::BASE
    },
    run: hotkeys_reset,
    ..Command::BASE
};

/// Forgets the session. Fails while it is active.
fn hotkeys_reset(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let now = ctx.state.clock.unix_ms();
    if ctx
        .state
        .hotkeys
        .as_mut()
        .is_some_and(|session| session.is_active(now))
    {
        return Err(Error::once(
            "hotkey tracking session in progress, stop tracking first",
        ));
    }
    ctx.state.hotkeys = None;
    ctx.reply.ok();
    Ok(())
}

const HOTKEYS_GET: Command = Command {
    name: "get",
    arity: Arity::Exactly(2),
    flags: &[Admin, NoScript],
    tips: &[
        "nondeterministic_output",
        "request_policy:special",
        "response_policy:special",
    ],
    docs: Docs {
        group: Group::Server,
        since: "8.6.0",
        complexity: "O(K) where K is the number of keys that are told apart",
        summary: "Returns the keys that cost the most.",
        ..Docs::BASE
    },
    run: hotkeys_get,
    ..Command::BASE
};

/// Answers the figures of the session, active or ended: its settings, the time and bytes of all commands and of the
/// measured ones, and the heaviest keys by either metric. Null without a session.
fn hotkeys_get(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let now = ctx.state.clock.unix_ms();
    let reply = &mut *ctx.reply;
    let Some(session) = &mut ctx.state.hotkeys else {
        reply.null();
        return Ok(());
    };
    let active = session.is_active(now);
    let wanted = &session.wanted;
    let sampled = wanted.ratio > 1 && wanted.slots.is_some();
    reply.array(1);
    let mark = reply.open();
    let mut pairs = 0;
    macro_rules! figures {
        ($($name:literal: $value:expr),* $(,)?) => {
            $( reply.bulk($name.as_bytes()); reply.unsigned($value as u64); pairs += 1; )*
        };
    }
    figures!("tracking-active": active, "sample-ratio": wanted.ratio);
    reply.bulk(b"selected-slots");
    pairs += 1;
    let all = [(0, SLOTS - 1)];
    let slots = wanted.slots.as_deref().unwrap_or(&all);
    reply.array(slots.len());
    for (first, last) in slots {
        let ends = if first == last { 1 } else { 2 };
        reply.array(ends);
        for end in [first, last].into_iter().take(ends) {
            reply.integer((*end).into());
        }
    }
    if sampled {
        figures!("sampled-commands-selected-slots-us": session.sampled.ns / 1000);
    }
    if wanted.slots.is_some() {
        figures!("all-commands-selected-slots-us": session.selected.ns / 1000);
    }
    figures!("all-commands-all-slots-us": session.all.ns / 1000);
    if sampled {
        figures!("net-bytes-sampled-commands-selected-slots": session.sampled.bytes);
    }
    if wanted.slots.is_some() {
        figures!("net-bytes-all-commands-selected-slots": session.selected.bytes);
    }
    figures!(
        "net-bytes-all-commands-all-slots": session.all.bytes,
        "collection-start-time-unix-ms": session.started_ms,
        "collection-duration-ms": session.ended_ms.unwrap_or(now) - session.started_ms,
    );
    if wanted.cpu {
        let cpu = process::cpu_time(Whose::Process).unwrap_or_default();
        let before = session.cpu_at_start;
        figures!(
            "total-cpu-time-user-ms": cpu.user.saturating_sub(before.user).as_millis(),
            "total-cpu-time-sys-ms": cpu.system.saturating_sub(before.system).as_millis(),
        );
    }
    if let Some(heaviest) = &session.by_net {
        figures!("total-net-bytes": heaviest.total);
    }
    for (name, heaviest, unit) in [
        ("by-cpu-time-us", &session.by_cpu, 1000),
        ("by-net-bytes", &session.by_net, 1),
    ] {
        let Some(heaviest) = heaviest else {
            continue;
        };
        let top = heaviest.top(wanted.count);
        reply.bulk(name.as_bytes());
        pairs += 1;
        reply.array(2 * top.len());
        for (key, weight) in top {
            reply.bulk(key);
            reply.unsigned(weight / unit);
        }
    }
    reply.close_map(mark, pairs);
    Ok(())
}

const HOTKEYS_HELP: Command = Command {
    name: "help",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    docs: Docs {
        group: Group::Server,
        since: "8.6.1",
        complexity: "O(1)",
        summary: "Explains the subcommands.",
        ..Docs::BASE
    },
    run: hotkeys_help,
    ..Command::BASE
};

fn hotkeys_help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.reply.help(
        "HOTKEYS",
        &[
            "START METRICS <count> [CPU] [NET] [COUNT <k>] [DURATION <seconds>] [SAMPLE <ratio>]",
            "      [SLOTS <count> <slot> ...]",
            "    Look for the <k> keys (10) whose commands take the most time, or move the most bytes;",
            "    until STOP, or for so many seconds; at one command of <ratio>; in a cluster, at keys of",
            "    these slots only.",
            "STOP",
            "    End the search. What was found can still be asked for.",
            "GET",
            "    What was found.",
            "RESET",
            "    Forget it.",
        ],
    );
    Ok(())
}
