//! SENTINEL's orders: watch another primary, change options, fail over, forget.
//!
//! An order that changes the file is answered when the file is saved, or with the error that it could not be.
//!
//! Mirrors: the writing subcommands of sentinelCommand(), sentinelSetCommand(), sentinelConfigSetCommand(),
//! sentinelConfigGetCommand() of sentinel.c.

use super::ask::BASE;
use super::*;
use crate::config;
use crate::sentinel::{Address, Held, Refusal, admin::OPTIONS};
use crate::sys::process::is_executable;
use crate::util::glob::{self, Case};

const NAME: crate::command::Arg = arg::string("master-name");

fn refused(Refusal(text): Refusal) -> Error {
    Error::once(text)
}

/// Answers OK once everything up to now is in the file.
fn answer_when_saved(ctx: &mut Ctx<'_>, request: Args<'_>) -> Result {
    let (generation, saved) = tell(ctx, |sentinel| {
        let generation = sentinel.core.generation();
        (generation, sentinel.core.is_saved(generation))
    })?;
    if saved {
        ctx.reply.ok();
    } else {
        sentinel::act::hold(ctx.state, asker(ctx, request), generation, Held::Ok);
    }
    Ok(())
}

pub(super) const MONITOR: Command = Command {
    name: "monitor",
    arity: Arity::Exactly(6),
    args: &[
        arg::string("name"),
        arg::string("ip"),
        arg::integer("port"),
        arg::integer("quorum"),
    ],
    docs: Docs {
        summary: "Starts monitoring.",
        ..DOCS
    },
    run: monitor,
    ..BASE
};

/// Begins to watch a primary. A host name is looked up before the answer, without blocking others.
fn monitor(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let request = args;
    let (name, host) = (args.bytes()?, args.bytes()?);
    let port = args.integer_or(Error::once("Invalid port"))?;
    let quorum = args.integer_or(Error::once("Invalid quorum"))?;
    if quorum <= 0 {
        return Err(Error::once("Quorum must be 1 or greater."));
    }
    let quorum = u32::try_from(quorum).unwrap_or(u32::MAX);
    let invalid = || Error::once("Invalid IP address or hostname specified");
    let host = text(host).map_err(|_| invalid())?;
    let name = text(name).map_err(|_| Error::once("Invalid master name."))?;
    let by_name = tell(ctx, |sentinel| sentinel.core.settings.resolve_hostnames)?;
    let to = |port| Address::new(host, port);
    if !host_is_usable(host, by_name) {
        return Err(invalid());
    }
    let port = u16::try_from(port).map_err(|_| Error::once("Invalid port number."))?;
    let to = to(port);
    if to.ip.is_none() {
        let asker = asker(ctx, request);
        sentinel::act::monitor_by_name(ctx.state, asker, name.to_owned(), to, quorum);
        return Ok(());
    }
    tell(ctx, |sentinel| sentinel.monitor_now(name, to, quorum))?.map_err(refused)?;
    answer_when_saved(ctx, request)
}

fn host_is_usable(host: &str, by_name: bool) -> bool {
    let is_ip = host.parse::<std::net::IpAddr>().is_ok();
    let plain = !host.is_empty() && !host.bytes().any(|byte| byte <= b' ' || byte == 0x7f);
    is_ip || (by_name && plain)
}

pub(super) const REMOVE: Command = Command {
    name: "remove",
    arity: Arity::Exactly(3),
    args: &[NAME],
    docs: Docs {
        summary: "Stops monitoring.",
        ..DOCS
    },
    run: remove,
    ..BASE
};

fn remove(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let request = args;
    let name = text(args.bytes()?).map_err(|_| NO_SUCH_GROUP)?;
    tell(ctx, |sentinel| sentinel.remove(name))?.map_err(refused)?;
    answer_when_saved(ctx, request)
}

pub(super) const RESET: Command = Command {
    name: "reset",
    arity: Arity::Exactly(3),
    args: &[arg::pattern("pattern")],
    docs: Docs {
        complexity: "O(N) where N is the number of monitored masters",
        summary: "Resets Redis masters by name matching a pattern.",
        ..DOCS
    },
    run: reset,
    ..BASE
};

fn reset(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let pattern = args.bytes()?;
    let count = tell(ctx, |sentinel| sentinel.reset_matching(pattern))?;
    ctx.reply.count(count);
    Ok(())
}

pub(super) const FAILOVER: Command = Command {
    name: "failover",
    arity: Arity::AtLeast(3),
    args: &[NAME, arg::word("coordinated", "COORDINATED").optional()],
    docs: Docs {
        summary: "Forces a Redis Sentinel failover.",
        ..DOCS
    },
    run: failover,
    ..BASE
};

/// Begins a failover without asking the other sentinels. COORDINATED asks them for their votes, and then has the primary
/// hand its role over without losing a write. OK means that it has begun, not that it is over.
fn failover(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let name = text(args.bytes()?).map_err(|_| NO_SUCH_GROUP)?;
    let coordinated = args.word("COORDINATED");
    if !args.is_empty() {
        return Err(Error::Syntax);
    }
    tell(ctx, |sentinel| sentinel.force_failover(name, coordinated))?.map_err(Error::coded)?;
    ctx.reply.ok();
    Ok(())
}

pub(super) const FLUSHCONFIG: Command = Command {
    name: "flushconfig",
    arity: Arity::Exactly(2),
    docs: Docs {
        summary: "Rewrites the Redis Sentinel configuration file.",
        ..DOCS
    },
    run: flushconfig,
    ..BASE
};

fn flushconfig(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    tell(ctx, |sentinel| sentinel.core.flush())?;
    answer_when_saved(ctx, args)
}

pub(super) const SET: Command = Command {
    name: "set",
    arity: Arity::AtLeast(5),
    args: &[
        NAME,
        arg::block("data", &[arg::string("option"), arg::string("value")]).multiple(),
    ],
    docs: Docs {
        summary: "Changes the configuration of a monitored Redis master.",
        ..DOCS
    },
    run: set,
    ..BASE
};

/// Changes options of a group, one by one: those before one that is refused stay changed, and are saved.
fn set(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let request = args;
    let name = text(args.bytes()?).map_err(|_| NO_SUCH_GROUP)?;
    for (at, word) in args.enumerate() {
        if word.eq_ignore_ascii_case(b"auth-pass") {
            ctx.redact(at + 4);
        }
    }
    let words = args.map(text).collect::<Result<Vec<&str>>>()?;
    let dir = ctx.state.config.dir.clone();
    let runs = |path: &str| is_executable(&dir.join(path));
    tell(ctx, |sentinel| sentinel.set(name, &words, &runs))?.map_err(refused)?;
    answer_when_saved(ctx, request)
}

pub(super) const CONFIG: Command = Command {
    name: "config",
    arity: Arity::AtLeast(4),
    args: &[arg::one_of(
        "action",
        &[
            arg::block(
                "set",
                &[
                    arg::word("set", "SET"),
                    arg::string("parameter"),
                    arg::string("value"),
                ],
            ),
            arg::block("get", &[arg::word("get", "GET"), arg::string("parameter")]),
        ],
    )],
    docs: Docs {
        since: "6.2.0",
        complexity: "O(N) when N is the number of configuration parameters provided",
        summary: "Configures Redis Sentinel.",
        ..DOCS
    },
    run: configure,
    ..BASE
};

fn configure(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let request = args;
    if args.word("SET") && args.len() >= 2 {
        return config_set(ctx, request, args);
    }
    let mut args = request;
    if args.word("GET") {
        return config_get(ctx, args);
    }
    Err(Error::once(
        "Only SENTINEL CONFIG GET <param> [<param> <param> ...] / SET <param> <value> [<param> <value> ...] are supported.",
    ))
}

/// Sets options of the sentinel: all of them, or none.
#[doc(alias = "sentinelConfigSetCommand")]
fn config_set(ctx: &mut Ctx<'_>, request: Args<'_>, mut args: Args<'_>) -> Result {
    let quoted = |before: &str, word: &[u8], after: &str| {
        Error::quoting(&format!("ERR {before} '"), word, &format!("'{after}"))
    };
    let mut pairs: Vec<(String, &str)> = Vec::new();
    while let Some(option) = args.next() {
        let name = String::from_utf8_lossy(option).to_ascii_lowercase();
        let to = " to SENTINEL CONFIG SET";
        if !OPTIONS.contains(&name.as_str()) {
            return Err(quoted("Invalid argument", option, to));
        }
        if pairs.iter().any(|(known, _)| *known == name) {
            return Err(quoted("Duplicate argument", option, to));
        }
        let Some(value) = args.next() else {
            return Err(quoted("Missing argument", option, " value"));
        };
        if name == "sentinel-pass" {
            ctx.redact(args.position() - 1);
        }
        let bad = || {
            let after = format!("' to SENTINEL CONFIG SET '{name}'");
            Error::quoting("ERR Invalid value '", value, &after)
        };
        let value = text(value).map_err(|_| bad())?;
        let takes = match name.as_str() {
            "loglevel" => loglevel(&mut config::Config::default(), value),
            _ => Sentinel::option_takes(&name, value),
        };
        if !takes {
            return Err(bad());
        }
        pairs.push((name, value));
    }
    let mut drops = false;
    for (name, value) in &pairs {
        if name == "loglevel" {
            loglevel(&mut ctx.state.config, value);
            ctx.state.config.tune_log(&ctx.state.log);
            tell(ctx, |sentinel| sentinel.core.flush())?;
        } else {
            tell(ctx, |sentinel| sentinel.set_config(name, value))?;
            drops |= matches!(name.as_str(), "sentinel-user" | "sentinel-pass");
        }
    }
    if drops {
        tell(ctx, |sentinel| sentinel.drop_peer_links())?;
    }
    answer_when_saved(ctx, request)
}

/// Sets the log level of a configuration; false if there is no such level.
fn loglevel(config: &mut config::Config, value: &str) -> bool {
    let option = config::find(b"loglevel");
    option.is_some_and(|option| option.set(config, &[value.as_bytes()]).is_ok())
}

#[doc(alias = "sentinelConfigGetCommand")]
fn config_get(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let mut found: Vec<&str> = Vec::new();
    for pattern in args {
        for name in OPTIONS {
            let matches = glob::matches(pattern, name.as_bytes(), Case::Ignored);
            if matches && !found.contains(&name) {
                found.push(name);
            }
        }
    }
    ctx.reply.map(found.len());
    for name in found {
        let value = tell(ctx, |sentinel| sentinel.option(name))?;
        let shown = config::find(name.as_bytes()).map(|option| option.show(&ctx.state.config));
        let value = value.map(String::into_bytes).or(shown).unwrap_or_default();
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.bulk(&value);
    }
    Ok(())
}

pub(super) const DEBUG: Command = Command {
    name: "debug",
    arity: Arity::AtLeast(2),
    args: &[
        arg::block("data", &[arg::string("parameter"), arg::string("value")])
            .optional()
            .multiple(),
    ],
    docs: Docs {
        since: "7.0.0",
        complexity: "O(N) where N is the number of configurable parameters",
        summary: "Lists or updates the current configurable parameters of Redis Sentinel.",
        ..DOCS
    },
    run: debug,
    ..BASE
};

#[doc(alias = "sentinelSetDebugConfigParameters")]
fn debug(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    if args.is_empty() {
        let named = tell(ctx, |sentinel| {
            let named = sentinel.core.periods.named();
            named.map(|(name, ms)| (name, *ms))
        })?;
        ctx.reply.map(named.len());
        for (name, ms) in named {
            ctx.reply.bulk(name.as_bytes());
            ctx.reply.bulk_integer(ms);
        }
        return Ok(());
    }
    while let Some(name) = args.next() {
        let name = String::from_utf8_lossy(name);
        let Some(value) = args.next() else {
            let text = "Unknown option or number of arguments for SENTINEL DEBUG";
            return Err(Error::once(format!("{text} '{name}'")));
        };
        let value = String::from_utf8_lossy(value);
        tell(ctx, |sentinel| sentinel.set_period(&name, &value))?.map_err(refused)?;
    }
    ctx.reply.ok();
    Ok(())
}

pub(super) const SIMULATE_FAILURE: Command = Command {
    name: "simulate-failure",
    arity: Arity::AtLeast(2),
    args: &[arg::one_of(
        "mode",
        &[
            arg::word("crash-after-election", "CRASH-AFTER-ELECTION"),
            arg::word("crash-after-promotion", "CRASH-AFTER-PROMOTION"),
            arg::word("help", "HELP"),
        ],
    )
    .optional()
    .multiple()],
    docs: Docs {
        since: "3.2.0",
        summary: "Simulates failover scenarios.",
        ..DOCS
    },
    run: simulate_failure,
    ..BASE
};

/// Has the sentinel end itself at a stage of the next failover that it leads; without a stage, no more.
fn simulate_failure(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (mut election, mut promotion) = (false, false);
    while !args.is_empty() {
        if args.word("CRASH-AFTER-ELECTION") {
            election = true;
        } else if args.word("CRASH-AFTER-PROMOTION") {
            promotion = true;
        } else if args.word("HELP") {
            ctx.reply.array(2);
            ctx.reply.bulk(b"crash-after-election");
            ctx.reply.bulk(b"crash-after-promotion");
            return Ok(());
        } else {
            return Err(Error::once("Unknown failure simulation specified"));
        }
    }
    tell(ctx, |sentinel| {
        sentinel.simulate_failure(election, promotion)
    })?;
    ctx.reply.ok();
    Ok(())
}
