//! HyperLogLog: how many distinct elements, roughly, in 12 kilobytes.
//!
//! The value is a string with the header `HYLL`, so GET and SET carry it from server to server. The standard error of a
//! count is 0.81 %.
//!
//! Mirrors: the command half of hyperloglog.c; the pure half is `types/hyperloglog.rs`.

use super::prelude::*;
use crate::collections::table::Deadline;
use crate::keyspace;
use crate::keyspace::{NewValue, StrRef};
use crate::types::hyperloglog::{self, Corrupted, Encoding, NotHyperLogLog, Registers};
use crate::util::num::IntBuf;

pub const COMMANDS: &[&Command] = &[&PFADD, &PFCOUNT, &PFDEBUG, &PFMERGE, &PFSELFTEST];

const PFADD: Command = Command {
    name: "pfadd",
    arity: Arity::AtLeast(2),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::HyperLogLog],
    keys: &[KeySpec::at(1, &[Rw, Insert])],
    args: &[
        arg::key("key"),
        arg::string("element").optional().multiple(),
    ],
    docs: Docs {
        group: Group::HyperLogLog,
        since: "2.8.9",
        complexity: "O(1) for each element",
        summary: "Adds elements to a HyperLogLog, which is made if the key is missing.",
        ..Docs::BASE
    },
    run: pfadd,
    ..Command::BASE
};

/// Adds elements and answers 1 if the estimate may have changed or the key is new, else 0. Propagated as it came in the
/// first case.
#[doc(alias = "pfaddCommand")]
fn pfadd(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;

    let sparse_max = ctx.state.config.hll_sparse_max_bytes;
    let (mut hll, mut changes) = match look(ctx, key)? {
        Some(hll) => (hll, 0),
        None => (hyperloglog::create(), 1),
    };
    for element in args {
        changes += usize::from(hyperloglog::add(&mut hll, element, sparse_max)?);
    }
    if changes > 0 {
        hyperloglog::invalidate_cache(&mut hll);
        write(ctx, key, &hll);
        ctx.modified_n(key, Event::string("pfadd"), changes);
    }
    ctx.reply.integer((changes > 0).into());
    Ok(())
}

/// A copy of the HyperLogLog a key holds, for a reading command: counts a hit or a miss, and publishes the miss.
fn read(ctx: &mut Ctx<'_>, key: &[u8]) -> Result<Option<Vec<u8>>> {
    let Some(string) = ctx.state.keyspace[ctx.db].get_string(key)? else {
        ctx.missed(key);
        return Ok(None);
    };
    copy(string)
}

/// As [`read`], for a writing command: counts no hit or miss.
fn look(ctx: &mut Ctx<'_>, key: &[u8]) -> Result<Option<Vec<u8>>> {
    match ctx.db().string_mut(key)? {
        Some(string) => copy(string.get()),
        None => Ok(None),
    }
}

#[doc(alias = "isHLLObjectOrReply")]
fn copy(string: StrRef<'_>) -> Result<Option<Vec<u8>>> {
    let bytes = string.to_vec();
    hyperloglog::validate(&bytes)?;
    Ok(Some(bytes))
}

/// Stores a HyperLogLog. An existing one counts as changed, not as overwritten, so its deadline stays and no event
/// `overwritten` is published.
fn write(ctx: &mut Ctx<'_>, key: &[u8], hll: &[u8]) {
    let value = NewValue::RawBytes(hll);
    let Some(mut entry) = ctx.db().get_mut(key) else {
        return ctx.store(key, value, Deadline::Set(None));
    };
    if let Some(old) = entry.set(value) {
        keyspace::act::keys::discard(ctx.state, old, false);
    }
}

impl From<NotHyperLogLog> for Error {
    fn from(_: NotHyperLogLog) -> Error {
        Error::coded("WRONGTYPE Key is not a valid HyperLogLog string value.")
    }
}

impl From<Corrupted> for Error {
    fn from(_: Corrupted) -> Error {
        Error::coded("INVALIDOBJ Corrupted HLL object detected")
    }
}

const PFCOUNT: Command = Command {
    name: "pfcount",
    arity: Arity::AtLeast(2),
    flags: &[ReadOnly, MayReplicate],
    acl: &[Category::HyperLogLog],
    keys: &[KeySpec::at(1, &[Rw, Access]).to(-1, 1)],
    args: &[arg::key("key").multiple()],
    docs: Docs {
        group: Group::HyperLogLog,
        since: "2.8.9",
        complexity: "O(1) for one key, on average; O(N) where N is the number of keys for several",
        summary: "Estimates how many distinct elements one or several HyperLogLogs have seen together.",
        ..Docs::BASE
    },
    run: pfcount,
    ..Command::BASE
};

/// Answers the estimated number of distinct elements of one key, or of the union of several.
///
/// The count of one key is cached in its value. So this reading command may change the value; it is propagated then,
/// and replicas cache the same count.
#[doc(alias = "pfcountCommand")]
fn pfcount(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    if args.len() > 1 {
        let union = union(ctx, args)?.0;
        ctx.reply.integer(union.count() as i64);
        return Ok(());
    }

    let key = args.key()?;
    let Some(mut hll) = read(ctx, key)? else {
        ctx.reply.integer(0);
        return Ok(());
    };
    if let Some(count) = hyperloglog::cached_count(&hll) {
        ctx.reply.integer(count as i64);
        return Ok(());
    }
    let count = hyperloglog::count(&hll)?;
    // The cached count is part of the value, so a reading command changes it, and the command is propagated.
    hyperloglog::cache_count(&mut hll, count);
    write(ctx, key, &hll);
    ctx.state.dirty += 1;
    keyspace::act::notify::touched(ctx.state, ctx.db, key);
    ctx.reply.integer(count as i64);
    Ok(())
}

/// The merged registers of several keys, and whether one of them is dense.
fn union(ctx: &mut Ctx<'_>, keys: Args<'_>) -> Result<(Registers, bool)> {
    let mut registers = Registers::new();
    let mut dense = false;
    for key in keys {
        let Some(string) = ctx.state.keyspace[ctx.db].get_string(key)? else {
            ctx.missed(key);
            continue;
        };
        let mut digits = IntBuf::new();
        let hll = string.as_bytes(&mut digits);
        dense |= hyperloglog::validate(hll)? == Encoding::Dense;
        registers.merge(hll)?;
    }
    Ok((registers, dense))
}

const PFDEBUG: Command = Command {
    name: "pfdebug",
    arity: Arity::Exactly(3),
    flags: &[Write, DenyOom, Admin],
    acl: &[Category::HyperLogLog],
    keys: &[KeySpec::at(2, &[Rw, Access])],
    args: &[arg::string("subcommand"), arg::key("key")],
    docs: Docs {
        group: Group::HyperLogLog,
        since: "2.8.9",
        complexity: "O(N) where N is the number of registers",
        summary: "Shows the inside of a HyperLogLog.",
        syscmd: true,
        ..Docs::BASE
    },
    run: pfdebug,
    ..Command::BASE
};

/// Shows the inside of a HyperLogLog: its registers, its encoding, the runs of a sparse one. GETREG and TODENSE make it
/// dense.
#[doc(alias = "pfdebugCommand")]
fn pfdebug(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let what = args.bytes()?;
    let is = |name: &str| what.eq_ignore_ascii_case(name.as_bytes());
    if is("simd") {
        if !args.word("ON") && !args.word("OFF") {
            return Err(Error::once("Argument must be ON or OFF"));
        }
        // Registers are merged by one loop, which the compiler makes as wide as it can: nothing is switched.
        ctx.reply.simple("disabled");
        return Ok(());
    }
    let key = args.key()?;

    let mut hll = look(ctx, key)?.ok_or(Error::once("The specified key does not exist"))?;
    if is("getreg") || is("todense") {
        let converted = hyperloglog::to_dense(&mut hll)?;
        if converted {
            write(ctx, key, &hll);
            ctx.state.dirty += 1;
        }
        if is("todense") {
            ctx.reply.integer(converted.into());
            return Ok(());
        }
        let mut registers = Registers::new();
        registers.merge(&hll)?;
        ctx.reply.array(registers.values().len());
        for value in registers.values() {
            ctx.reply.integer(i64::from(*value));
        }
    } else if is("decode") {
        let runs = hyperloglog::decode(&hll)?.ok_or(Error::once("HLL encoding is not sparse"))?;
        ctx.reply.bulk(runs.as_bytes());
    } else if is("encoding") {
        ctx.reply.simple(hyperloglog::validate(&hll)?.name());
    } else {
        let what = String::from_utf8_lossy(what);
        return Err(Error::once(format!("Unknown PFDEBUG subcommand '{what}'")));
    }
    Ok(())
}

const PFMERGE: Command = Command {
    name: "pfmerge",
    arity: Arity::AtLeast(2),
    flags: &[Write, DenyOom],
    acl: &[Category::HyperLogLog],
    keys: &[
        KeySpec::at(1, &[Rw, Access, Insert]),
        KeySpec::at(2, &[Ro, Access]).to(-1, 1),
    ],
    args: &[
        arg::key("destkey"),
        arg::key("sourcekey").spec(1).optional().multiple(),
    ],
    docs: Docs {
        group: Group::HyperLogLog,
        since: "2.8.9",
        complexity: "O(N) where N is the number of HyperLogLogs",
        summary: "Merges HyperLogLogs into one.",
        ..Docs::BASE
    },
    run: pfmerge,
    ..Command::BASE
};

/// Merges several HyperLogLogs into the target, which counts as a source too. Propagated as it came.
#[doc(alias = "pfmergeCommand")]
fn pfmerge(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    // The target is a source as well.
    let (registers, dense) = union(ctx, args)?;
    let target = args.key()?;

    let sparse_max = ctx.state.config.hll_sparse_max_bytes;
    let mut hll = look(ctx, target)?.unwrap_or_else(hyperloglog::create);
    if dense {
        hyperloglog::to_dense(&mut hll)?;
    }
    registers.store(&mut hll, sparse_max)?;
    hyperloglog::invalidate_cache(&mut hll);
    write(ctx, target, &hll);
    ctx.modified(target, Event::string("pfadd"));
    ctx.reply.ok();
    Ok(())
}

const PFSELFTEST: Command = Command {
    name: "pfselftest",
    arity: Arity::Exactly(1),
    flags: &[Admin],
    acl: &[Category::HyperLogLog],
    docs: Docs {
        group: Group::HyperLogLog,
        since: "2.8.9",
        complexity: "O(N) where N is some tens of thousands",
        summary: "Checks the estimates of HyperLogLog against known counts.",
        syscmd: true,
        ..Docs::BASE
    },
    run: pfselftest,
    ..Command::BASE
};

#[doc(alias = "pfselftestCommand")]
fn pfselftest(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let seed = ctx.state.rng.next_u64();
    hyperloglog::self_test(seed, ctx.state.config.hll_sparse_max_bytes)
        .map_err(|what| Error::coded(format!("TESTFAILED {what}")))?;
    ctx.reply.ok();
    Ok(())
}
