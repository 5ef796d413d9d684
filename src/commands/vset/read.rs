//! Commands that read a vector set: VCARD VDIM VEMB VGETATTR VINFO VISMEMBER VLINKS VRANDMEMBER VRANGE.
//!
//! Mirrors: the reading commands of vset.c.

use super::super::prelude::*;
use super::{KEYS, set_or_miss};
use crate::collections::btree::LexBound;
use crate::types::vset::Quant;
use crate::util::num::parse_i64;

const fn docs(since: &'static str, summary: &'static str) -> Docs {
    Docs {
        group: Group::Module,
        since,
        summary,
        ..Docs::BASE
    }
}

pub(super) const VCARD: Command = Command {
    name: "VCARD",
    arity: Arity::Exactly(2),
    flags: &[ReadOnly, Module, Fast],
    keys: KEYS,
    args: &[arg::key("key")],
    docs: docs("8.0.0", "Counts the elements of a vector set."),
    run: vcard,
    ..Command::BASE
};

/// The number of elements, 0 for a missing key. O(1)
#[doc(alias = "VCARD_RedisCommand")]
fn vcard(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let set = set_or_miss(ctx, args.key()?)?;
    ctx.reply.count(set.map_or(0, |set| set.len()));
    Ok(())
}

pub(super) const VDIM: Command = Command {
    name: "VDIM",
    arity: Arity::Exactly(2),
    flags: &[ReadOnly, Module, Fast],
    keys: KEYS,
    args: &[arg::key("key")],
    docs: docs(
        "8.0.0",
        "Tells how many components the vectors of a set have.",
    ),
    run: vdim,
    ..Command::BASE
};

/// The dimension of stored vectors: after REDUCE the smaller one. O(1)
#[doc(alias = "VDIM_RedisCommand")]
fn vdim(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let Some(set) = set_or_miss(ctx, args.key()?)? else {
        return Err(Error::once("key does not exist"));
    };
    ctx.reply.unsigned(set.shape().dim.into());
    Ok(())
}

pub(super) const VEMB: Command = Command {
    name: "VEMB",
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly, Module, Fast],
    keys: KEYS,
    args: &[
        arg::key("key"),
        arg::string("element"),
        arg::word("raw", "RAW").optional(),
    ],
    docs: docs(
        "8.0.0",
        "Returns the vector of an element, as numbers or as it is stored.",
    ),
    run: vemb,
    ..Command::BASE
};

/// The vector of an element, about as it was given: normalising and quantising lose digits. O(d)
#[doc(alias = "VEMB_RedisCommand")]
fn vemb(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, element) = (args.key()?, args.bytes()?);
    let mut raw = false;
    for option in args {
        if !option.eq_ignore_ascii_case(b"RAW") {
            return Err(Error::once("invalid option"));
        }
        raw = true;
    }
    let set = set_or_miss(ctx, key)?;
    let Some((set, stored)) = set
        .as_ref()
        .and_then(|set| Some((set, set.stored(element)?)))
    else {
        ctx.reply.null();
        return Ok(());
    };
    let shape = set.shape();
    if !raw {
        let components = stored.components(shape.quant, shape.dim as usize);
        ctx.reply.array(components.len());
        for component in components {
            ctx.reply.double(component.into());
        }
        return Ok(());
    }
    let has_range = shape.quant == Quant::Q8;
    ctx.reply.array(3 + usize::from(has_range));
    ctx.reply.simple(shape.quant.name());
    ctx.reply.bulk(stored.bytes);
    ctx.reply.double(stored.l2.into());
    if has_range {
        ctx.reply.double(stored.range.into());
    }
    Ok(())
}

pub(super) const VGETATTR: Command = Command {
    name: "VGETATTR",
    arity: Arity::Exactly(3),
    flags: &[ReadOnly, Module, Fast],
    keys: KEYS,
    args: &[arg::key("key"), arg::string("element")],
    docs: docs(
        "8.0.0",
        "Returns the attributes of an element of a vector set.",
    ),
    run: vgetattr,
    ..Command::BASE
};

/// The attributes of an element, null if it is missing or has none. O(1)
#[doc(alias = "VGETATTR_RedisCommand")]
fn vgetattr(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, element) = (args.key()?, args.bytes()?);
    let set = set_or_miss(ctx, key)?;
    let attribute = set
        .as_ref()
        .and_then(|set| set.attribute(element))
        .flatten();
    ctx.reply.bulk_or_null(attribute);
    Ok(())
}

pub(super) const VISMEMBER: Command = Command {
    name: "VISMEMBER",
    arity: Arity::Exactly(3),
    flags: &[ReadOnly, Module],
    keys: KEYS,
    args: &[arg::key("key"), arg::string("element")],
    docs: docs("8.2.0", "Tells whether an element is in a vector set."),
    run: vismember,
    ..Command::BASE
};

/// Whether an element is in the set. O(1)
#[doc(alias = "VISMEMBER_RedisCommand")]
fn vismember(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, element) = (args.key()?, args.bytes()?);
    let set = set_or_miss(ctx, key)?;
    ctx.reply
        .boolean(set.is_some_and(|set| set.contains(element)));
    Ok(())
}

pub(super) const VINFO: Command = Command {
    name: "VINFO",
    arity: Arity::Exactly(2),
    flags: &[ReadOnly, Module, Fast],
    keys: KEYS,
    args: &[arg::key("key")],
    docs: docs(
        "8.0.0",
        "Tells how a vector set is made: quantisation, links, levels, counts.",
    ),
    run: vinfo,
    ..Command::BASE
};

/// Figures about a set and its graph, null for a missing key. O(1)
#[doc(alias = "VINFO_RedisCommand")]
fn vinfo(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let Some(set) = set_or_miss(ctx, args.key()?)? else {
        ctx.reply.null_array();
        return Ok(());
    };
    let (shape, reply) = (set.shape(), &mut *ctx.reply);
    let figures: [(&str, u64); 8] = [
        ("hnsw-m", shape.m.into()),
        ("vector-dim", shape.dim.into()),
        (
            "projection-input-dim",
            set.projection()
                .map_or(0, |projection| projection.input().into()),
        ),
        ("size", set.len() as u64),
        ("max-level", set.max_level().into()),
        ("attributes-count", set.attributes()),
        ("vset-uid", set.uid()),
        ("hnsw-max-node-uid", set.last_id()),
    ];
    reply.map(1 + figures.len());
    reply.simple("quant-type");
    reply.simple(shape.quant.name());
    for (name, figure) in figures {
        reply.simple(name);
        reply.unsigned(figure);
    }
    Ok(())
}

pub(super) const VLINKS: Command = Command {
    name: "VLINKS",
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly, Module, Fast],
    keys: KEYS,
    args: &[
        arg::key("key"),
        arg::string("element"),
        arg::word("withscores", "WITHSCORES").optional(),
    ],
    docs: docs(
        "8.0.0",
        "Returns the neighbours of an element in the graph, level by level.",
    ),
    run: vlinks,
    ..Command::BASE
};

/// The neighbours of an element on each of its levels, the highest first. O(levels · M)
#[doc(alias = "VLINKS_RedisCommand")]
fn vlinks(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, element) = (args.key()?, args.bytes()?);
    let with_scores = args.word("WITHSCORES");
    if !args.is_empty() {
        return Err(Error::WrongArity(ctx.name()));
    }
    let set = set_or_miss(ctx, key)?;
    let Some((set, levels)) = set
        .as_ref()
        .and_then(|set| Some((set, set.links(element)?)))
    else {
        ctx.reply.null();
        return Ok(());
    };
    ctx.reply.array(levels.len());
    for links in levels {
        match with_scores {
            true => ctx.reply.map(links.len()),
            false => ctx.reply.array(links.len()),
        }
        for near in links {
            ctx.reply.bulk(set.name(near.slot));
            if with_scores {
                // In single precision, unlike the score of VSIM.
                let score = (1.0 - f64::from(near.distance) / 2.0) as f32;
                ctx.reply.double(score.into());
            }
        }
    }
    Ok(())
}

pub(super) const VRANDMEMBER: Command = Command {
    name: "VRANDMEMBER",
    arity: Arity::AtLeast(2),
    flags: &[ReadOnly, Module],
    keys: KEYS,
    args: &[arg::key("key"), arg::integer("count").optional()],
    docs: docs("8.0.0", "Returns elements of a vector set by chance."),
    run: vrandmember,
    ..Command::BASE
};

/// One element, or up to `count` different ones, or with a negative count so many of which any may come again. Every
/// element is as likely as any other. O(count · log N)
#[doc(alias = "VRANDMEMBER_RedisCommand")]
fn vrandmember(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let count = args.next();
    if !args.is_empty() {
        return Err(Error::WrongArity(ctx.name()));
    }
    let count = match count {
        None => None,
        Some(word) => {
            Some(parse_i64(word).ok_or_else(|| Error::once("COUNT value is not an integer"))?)
        }
    };
    // Redis has not looked at the key by then.
    if count == Some(0) {
        ctx.reply.array(0);
        return Ok(());
    }
    let set = set_or_miss(ctx, key)?;
    let (Some(set), rng) = (set, &mut ctx.state.rng) else {
        match count {
            Some(_) => ctx.reply.array(0),
            None => ctx.reply.null(),
        }
        return Ok(());
    };
    // The magnitude of this number does not fit 64 bits.
    if count == Some(i64::MIN) {
        return Err(Error::once("COUNT value is out of range"));
    }
    let len = set.len() as u64;
    let Some(count) = count else {
        ctx.reply.bulk_or_null(set.nth(rng.below(len)));
        return Ok(());
    };
    if count < 0 {
        ctx.reply.array(count.unsigned_abs() as usize);
        for _ in 0..count.unsigned_abs() {
            if ctx.reply.overflowed() {
                break;
            }
            let name = set.nth(ctx.state.rng.below(len));
            ctx.reply.bulk(name.unwrap_or_default());
        }
        return Ok(());
    }
    let count = (count as u64).min(len);
    ctx.reply.array(count as usize);
    // Each element is chosen with the probability that leaves the right number at the end: of 3 wanted among 5 left,
    // 3/5.
    let mut wanted = count;
    if count > len / 8 {
        for (at, name) in set.names(0..len).enumerate() {
            if ctx.state.rng.below(len - at as u64) < wanted {
                ctx.reply.bulk(name);
                wanted -= 1;
            }
        }
        return Ok(());
    }
    let mut taken = std::collections::HashSet::new();
    while wanted > 0 {
        let rank = ctx.state.rng.below(len);
        if taken.insert(rank) {
            ctx.reply.bulk(set.nth(rank).unwrap_or_default());
            wanted -= 1;
        }
    }
    Ok(())
}

pub(super) const VRANGE: Command = Command {
    name: "VRANGE",
    arity: Arity::AtLeast(4),
    flags: &[ReadOnly, Module],
    keys: KEYS,
    args: &[
        arg::key("key"),
        arg::string("start"),
        arg::string("end"),
        arg::integer("count").optional(),
    ],
    docs: docs(
        "8.4.0",
        "Returns elements of a vector set between two names, in the order of their bytes.",
    ),
    run: vrange,
    ..Command::BASE
};

/// Elements by name. O(log N + elements)
#[doc(alias = "VRANGE_RedisCommand")]
fn vrange(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, start, end) = (args.key()?, args.bytes()?, args.bytes()?);
    let count = args.next();
    if !args.is_empty() {
        return Err(Error::WrongArity(ctx.name()));
    }
    let count = match count {
        None => -1,
        Some(word) => parse_i64(word).ok_or_else(|| Error::once("invalid COUNT value"))?,
    };
    let bound = |word, which| {
        bound(word).ok_or_else(|| Error::once(format!("invalid {which} range format")))
    };
    let (start, end) = (bound(start, "start")?, bound(end, "end")?);
    if start == LexBound::Max || end == LexBound::Min {
        return Err(Error::once(
            "'-' can only be used as first argument, '+' only as second",
        ));
    }
    let Some(set) = set_or_miss(ctx, key)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let mut ranks = set.lex_range(start, end);
    if let Ok(count) = u64::try_from(count) {
        ranks.end = ranks.end.min(ranks.start.saturating_add(count));
    }
    ctx.reply.array((ranks.end - ranks.start) as usize);
    for name in set.names(ranks) {
        ctx.reply.bulk(name);
    }
    Ok(())
}

fn bound(word: &[u8]) -> Option<LexBound<'_>> {
    match word {
        b"-" => Some(LexBound::Min),
        b"+" => Some(LexBound::Max),
        [b'[', name @ ..] if !name.is_empty() => Some(LexBound::Inclusive(name)),
        [b'(', name @ ..] if !name.is_empty() => Some(LexBound::Exclusive(name)),
        _ => None,
    }
}
