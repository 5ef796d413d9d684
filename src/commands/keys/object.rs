//! The type of a key and its representation: TYPE, OBJECT.
//!
//! These commands do not move a key's access clock, or OBJECT IDLETIME would always answer 0.
//!
//! Mirrors: `typeCommand()` of db.c and `objectCommand()` of object.c.
//! Differs: integers are not shared between keys; OBJECT REFCOUNT answers as if they were.

use super::super::prelude::*;
use crate::config::MaxmemoryPolicy;
use crate::keyspace::{Entry, StrRef};

pub(super) const TYPE: Command = Command {
    name: "type",
    arity: Arity::Exactly(2),
    flags: &[ReadOnly, Fast],
    acl: &[Category::Keyspace],
    keys: &[KeySpec::at(1, &[Ro])],
    args: &[arg::key("key")],
    docs: Docs {
        group: Group::Generic,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Returns the type of the value a key holds.",
        ..Docs::BASE
    },
    run: type_of,
    ..Command::BASE
};

#[doc(alias = "typeCommand")]
fn type_of(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let kind = ctx.db().get_untouched(key).map(|entry| entry.type_name());
    match kind {
        Some(kind) => ctx.reply.simple(kind),
        None => {
            ctx.missed(key);
            ctx.reply.simple("none");
        }
    }
    Ok(())
}

pub(super) const OBJECT: Command = Command {
    name: "object",
    arity: Arity::AtLeast(2),
    docs: Docs {
        group: Group::Generic,
        since: "2.2.3",
        complexity: "Depends on subcommand.",
        summary: "Tells of the inside of values.",
        ..Docs::BASE
    },
    subcommands: &[
        &OBJECT_ENCODING,
        &OBJECT_FREQ,
        &OBJECT_HELP,
        &OBJECT_IDLETIME,
        &OBJECT_REFCOUNT,
    ],
    ..Command::BASE
};

/// The entry a subcommand asks about, or a null reply.
#[doc(alias = "objectCommandLookupOrReply")]
fn look<'a>(ctx: &'a mut Ctx<'_>, args: &mut Args<'_>) -> Result<Option<Entry<'a>>> {
    let key = args.key()?;
    let entry = ctx.state.keyspace[ctx.db].get_untouched(key);
    if entry.is_none() {
        ctx.reply.null();
    }
    Ok(entry)
}

pub(super) const OBJECT_ENCODING: Command = Command {
    name: "encoding",
    arity: Arity::Exactly(3),
    flags: &[ReadOnly],
    acl: &[Category::Keyspace],
    keys: &[KeySpec::at(2, &[Ro])],
    args: &[arg::key("key")],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Generic,
        since: "2.2.3",
        complexity: "O(1)",
        summary: "Returns the name of the way a value is kept in memory.",
        ..Docs::BASE
    },
    run: object_encoding,
    ..Command::BASE
};

#[doc(alias = "objectCommand")]
fn object_encoding(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    if let Some(encoding) = look(ctx, &mut args)?.map(|entry| entry.encoding()) {
        ctx.reply.bulk(encoding.as_bytes());
    }
    Ok(())
}

pub(super) const OBJECT_REFCOUNT: Command = Command {
    name: "refcount",
    arity: Arity::Exactly(3),
    flags: &[ReadOnly],
    acl: &[Category::Keyspace],
    keys: &[KeySpec::at(2, &[Ro])],
    args: &[arg::key("key")],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Generic,
        since: "2.2.3",
        complexity: "O(1)",
        summary: "Returns how many owners a value has.",
        ..Docs::BASE
    },
    run: object_refcount,
    ..Command::BASE
};

/// Redis keeps one object for each integer below this, and reports a reference count of [`COUNTLESS`] for it. Oxidis
/// stores integers in their keys and reports the same.
const SHARED_INTEGERS: i64 = 10_000;
const COUNTLESS: i64 = i32::MAX as i64;

/// Answers 1, or for an integer that Redis would share [`COUNTLESS`]; null for a missing key.
fn object_refcount(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let config = &ctx.state.config;
    // Redis shares no integers where each key needs an access clock of its own.
    let shares = config.maxmemory == 0 || !has_clock(config.maxmemory_policy);
    let Some(entry) = look(ctx, &mut args)? else {
        return Ok(());
    };
    let shared = match entry.string() {
        Some(StrRef::Int(n)) => shares && (0..SHARED_INTEGERS).contains(&n),
        _ => false,
    };
    ctx.reply.integer(if shared { COUNTLESS } else { 1 });
    Ok(())
}

/// Whether an eviction policy uses the access clock of keys.
fn has_clock(policy: MaxmemoryPolicy) -> bool {
    use MaxmemoryPolicy::*;
    !matches!(
        policy,
        NoEviction | AllkeysRandom | VolatileRandom | VolatileTtl
    )
}

pub(super) const OBJECT_IDLETIME: Command = Command {
    name: "idletime",
    arity: Arity::Exactly(3),
    flags: &[ReadOnly],
    acl: &[Category::Keyspace],
    keys: &[KeySpec::at(2, &[Ro])],
    args: &[arg::key("key")],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Generic,
        since: "2.2.3",
        complexity: "O(1)",
        summary: "Returns for how many seconds nobody has used a key, as far as eviction knows.",
        ..Docs::BASE
    },
    run: object_idletime,
    ..Command::BASE
};

/// Answers the seconds since a key was used last. Fails with an LFU policy, which keeps a counter instead of a time.
fn object_idletime(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let lfu = ctx.state.config.maxmemory_policy.is_lfu();
    let Some(clock) = look(ctx, &mut args)?.map(|entry| entry.clock()) else {
        return Ok(());
    };
    if lfu {
        return Err(Error::once(
            "An LFU maxmemory policy is selected, idle time not tracked. Please note that when \
             switching between policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    let idle_ms = ctx.state.keyspace.env().idle_ms(clock);
    ctx.reply.integer((idle_ms / 1000) as i64);
    Ok(())
}

pub(super) const OBJECT_FREQ: Command = Command {
    name: "freq",
    arity: Arity::Exactly(3),
    flags: &[ReadOnly],
    acl: &[Category::Keyspace],
    keys: &[KeySpec::at(2, &[Ro])],
    args: &[arg::key("key")],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Generic,
        since: "4.0.0",
        complexity: "O(1)",
        summary: "Returns how often a key is used, on the logarithmic scale of eviction.",
        ..Docs::BASE
    },
    run: object_freq,
    ..Command::BASE
};

/// Answers the access counter of a key, on a logarithmic scale from 0 to 255. Fails unless the policy is an LFU one.
fn object_freq(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let lfu = ctx.state.config.maxmemory_policy.is_lfu();
    let Some(clock) = look(ctx, &mut args)?.map(|entry| entry.clock()) else {
        return Ok(());
    };
    if !lfu {
        return Err(Error::once(
            "An LFU maxmemory policy is not selected, access frequency not tracked. Please note \
             that when switching between policies at runtime LRU and LFU data will take some time \
             to adjust.",
        ));
    }
    let frequency = ctx.state.keyspace.env().frequency(clock);
    ctx.reply.integer(frequency.into());
    Ok(())
}

pub(super) const OBJECT_HELP: Command = Command {
    name: "help",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    acl: &[Category::Keyspace],
    docs: Docs {
        group: Group::Generic,
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Explains the subcommands.",
        ..Docs::BASE
    },
    run: object_help,
    ..Command::BASE
};

fn object_help(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    ctx.reply.help(
        "OBJECT",
        &[
            "ENCODING <key>",
            "    Tell how the value of <key> is kept in memory.",
            "FREQ <key>",
            "    Tell how often <key> is used, on a logarithmic scale; with an LFU policy only.",
            "IDLETIME <key>",
            "    Tell for how many seconds <key> has not been used.",
            "REFCOUNT <key>",
            "    Tell how many owners the value of <key> has.",
        ],
    );
    Ok(())
}
