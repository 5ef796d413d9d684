//! Commands that change a vector set: VADD VREM VSETATTR.
//!
//! Mirrors: `VADD_RedisCommand()`, `VREM_RedisCommand()` and `VSETATTR_RedisCommand()` of vset.c.
//! Differs: see `vadd`.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::super::prelude::*;
use super::search::LONG_NS;
use super::{Given, KEYS, project, vector, wrong_dimension};
use crate::clients::{WaitKind, Waiting};
use crate::dispatch;
use crate::resp::argv::Argv;
use crate::types::Vset;
use crate::types::vset::{DEFAULT_ADD_EF, DEFAULT_M, M_RANGE, Projection, Quant, Shape};

/// The numbers of candidates that EF may ask for.
pub(super) const EF_RANGE: std::ops::RangeInclusive<i64> = 1..=1_000_000;

pub(super) const VADD: Command = Command {
    name: "VADD",
    arity: Arity::AtLeast(5),
    flags: &[Write, DenyOom, Module],
    keys: KEYS,
    args: &[
        arg::key("key"),
        arg::block("reduce", &[arg::integer("dim")])
            .token("REDUCE")
            .optional(),
        arg::one_of(
            "format",
            &[arg::word("fp32", "FP32"), arg::word("values", "VALUES")],
        ),
        arg::string("vector"),
        arg::string("element"),
        arg::word("cas", "CAS").optional(),
        arg::one_of(
            "quant_type",
            &[
                arg::word("noquant", "NOQUANT"),
                arg::word("bin", "BIN"),
                arg::word("q8", "Q8"),
            ],
        )
        .optional(),
        arg::integer("build-exploration-factor")
            .token("EF")
            .optional(),
        arg::string("attributes").token("SETATTR").optional(),
        arg::integer("numlinks").token("M").optional(),
    ],
    docs: Docs {
        group: Group::Module,
        since: "8.0.0",
        summary: "Adds an element with its vector to a vector set, or gives it another vector.",
        ..Docs::BASE
    },
    run: vadd,
    ..Command::BASE
};

/// The options that follow the element.
struct Options<'a> {
    quant: Quant,
    ef: usize,
    m: u16,
    attribute: Option<&'a [u8]>,
    /// Where CAS stands: with it the neighbours may be looked for on a thread.
    cas: Vec<usize>,
}

fn options<'a>(args: &mut Args<'a>) -> Result<Options<'a>> {
    let mut options = Options {
        quant: Quant::Q8,
        ef: DEFAULT_ADD_EF,
        m: DEFAULT_M,
        attribute: None,
        cas: vec![],
    };
    while !args.is_empty() {
        let at = Args::position(args);
        if args.word("CAS") {
            options.cas.push(at);
        } else if args.word_with("EF", 1) {
            let ef = args.integer().ok().filter(|ef| EF_RANGE.contains(ef));
            options.ef = ef.ok_or_else(|| Error::once("invalid EF"))? as usize;
        } else if args.word_with("M", 1) {
            let m = args.integer().ok().and_then(|m| u16::try_from(m).ok());
            let m = m.filter(|m| M_RANGE.contains(m));
            options.m = m.ok_or_else(|| Error::once("invalid M"))?;
        } else if args.word_with("SETATTR", 1) {
            options.attribute = Some(args.bytes()?);
        } else if args.word("NOQUANT") {
            options.quant = Quant::F32;
        } else if args.word("BIN") {
            options.quant = Quant::Bin;
        } else if args.word("Q8") {
            options.quant = Quant::Q8;
        } else {
            return Err(Error::once("invalid option after element"));
        }
    }
    Ok(options)
}

/// Adds an element, or replaces its vector, and with SETATTR its attribute; answers whether it is new. The first VADD
/// of a key decides on quantisation, M and projection, and all later ones must say the same. O(log N · EF · M)
/// distances.
///
/// The command is propagated also if the element existed, and without CAS, because Redis ends when it meets CAS in an
/// append-only file. With CAS the neighbours of a new element are looked for on a thread over a snapshot, if that may take
/// long, and the client is blocked until they are found. The command then runs again with them, and looks for others if
/// elements left the set meanwhile.
#[doc(alias = "VADD_RedisCommand")]
fn vadd(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let request = args.argv();
    let prepared = ctx.state.searchers.prepared.take();
    let key = args.key()?;
    let given = vector(&mut args, true)?;
    let Some(element) = args.next() else {
        return Err(Error::WrongArity(ctx.name()));
    };
    let Options {
        quant,
        ef,
        m,
        attribute,
        cas,
    } = options(&mut args)?;
    let elsewhere = !cas.is_empty()
        && prepared.is_none()
        && ctx.may_block()
        && !ctx.state.config.vset_force_single_threaded_execution;

    let added = match ctx.db().get_mut_as::<Vset>(key)? {
        Some(set) => {
            let vector = fit(set, given, quant, m)?;
            if elsewhere && !set.contains(element) && set.insert_cost_ns(ef) >= LONG_NS {
                let set = set.clone();
                prepare(ctx, request, set, vector, ef);
                return Ok(());
            }
            match prepared {
                Some(prepared) => set.add_prepared(element, vector, &prepared, ef, attribute),
                None => set.add(element, vector, ef, attribute),
            }
        }
        None => {
            let Given { mut vector, reduce } = given;
            let dim = reduce.map_or(vector.len(), |dim| dim as usize) as u32;
            let mut projection = None;
            if reduce.is_some() {
                let fixed = Projection::new(vector.len() as u32);
                vector = project(&fixed, &vector, dim)?;
                projection = Some(fixed);
            }
            let shape = Shape { quant, dim, m };
            let mut set = Vset::new(shape, projection, ctx.state.rng.next_u64());
            set.add(element, vector, ef, attribute);
            ctx.create(key, set);
            true
        }
    };
    if !cas.is_empty() {
        let mut left_out = cas.into_iter().peekable();
        let words = request.iter().enumerate();
        ctx.rewrite(
            words.filter_map(|(at, word)| match left_out.next_if_eq(&at) {
                Some(_) => None,
                None => Some(word),
            }),
        );
    }
    ctx.changed(key);
    ctx.reply.boolean(added);
    Ok(())
}

/// Blocks the client; a thread looks for neighbours, and the command runs again with them.
fn prepare(ctx: &mut Ctx<'_>, request: Argv<'_>, set: Vset, vector: Vec<f32>, ef: usize) {
    let (client, cancelled) = (ctx.client, Arc::new(AtomicBool::new(false)));
    let kind = WaitKind::Search(ctx.state.searchers.next_number());
    let mut waiting = Waiting::new(kind, ctx.command, request.to_owned(), None);
    waiting.search = Some(Arc::clone(&cancelled).into());
    ctx.block(waiting, []);
    let (mailbox, seed) = (ctx.state.mailbox.clone(), ctx.state.rng.next_u64());
    ctx.state.searchers.submit(move || {
        let prepared = set.prepare(vector, ef, seed, &cancelled);
        // The snapshot is freed on this thread, and with it the whole set if the key was deleted meanwhile.
        drop(set);
        mailbox.send(move |state| {
            let who = state.clients.get(client);
            let waiting = who.and_then(|who| who.waiting.as_ref());
            if waiting.is_some_and(|waiting| waiting.kind == kind) {
                state.searchers.prepared = Some(prepared);
                dispatch::run_again(state, client);
                // A command that was refused this time has not taken it.
                state.searchers.prepared = None;
            }
        });
    });
}

/// Turns a vector of the request into one of the set's dimension; an error if quantisation, M or dimension do not fit
/// the set.
fn fit(set: &Vset, given: Given, quant: Quant, m: u16) -> Result<Vec<f32>> {
    let (shape, Given { vector, reduce }) = (set.shape(), given);
    if shape.quant != quant {
        return Err(Error::once(
            "asked quantization mismatch with existing vector set",
        ));
    }
    if shape.m != m {
        return Err(Error::once(
            "asked M value mismatch with existing vector set",
        ));
    }
    match set.projection() {
        Some(projection) if reduce == Some(shape.dim.into()) => {
            project(projection, &vector, shape.dim)
        }
        None if vector.len() == shape.dim as usize => match reduce {
            Some(_) => Err(Error::once(
                "cannot add projection to existing set without projection",
            )),
            None => Ok(vector),
        },
        _ => Err(wrong_dimension(vector.len(), shape.dim)),
    }
}

pub(super) const VREM: Command = Command {
    name: "VREM",
    arity: Arity::Exactly(3),
    flags: &[Write, Module],
    keys: KEYS,
    args: &[arg::key("key"), arg::string("element")],
    docs: Docs {
        group: Group::Module,
        since: "8.0.0",
        summary: "Removes an element from a vector set; a set without elements is deleted.",
        ..Docs::BASE
    },
    run: vrem,
    ..Command::BASE
};

/// Removes an element, whose neighbours are linked among themselves. O(M²) distances.
#[doc(alias = "VREM_RedisCommand")]
fn vrem(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, element) = (args.key()?, args.bytes()?);
    let Some(set) = ctx.db().get_mut_as::<Vset>(key)? else {
        ctx.reply.boolean(false);
        return Ok(());
    };
    let removed = set.remove(element);
    let emptied = set.is_empty();
    if removed {
        if emptied {
            ctx.delete_emptied(key);
        }
        ctx.changed(key);
    }
    ctx.reply.boolean(removed);
    Ok(())
}

pub(super) const VSETATTR: Command = Command {
    name: "VSETATTR",
    arity: Arity::Exactly(4),
    flags: &[Write, Module, Fast],
    keys: KEYS,
    args: &[arg::key("key"), arg::string("element"), arg::string("json")],
    docs: Docs {
        group: Group::Module,
        since: "8.0.0",
        summary: "Gives an element of a vector set attributes; an empty text takes them away.",
        ..Docs::BASE
    },
    run: vsetattr,
    ..Command::BASE
};

/// Sets the attributes of an element, which are not checked to be JSON. O(1)
#[doc(alias = "VSETATTR_RedisCommand")]
fn vsetattr(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, element, text) = (args.key()?, args.bytes()?, args.bytes()?);
    let attribute = Some(text).filter(|text| !text.is_empty());
    let set = match ctx.db().get_mut_as::<Vset>(key)? {
        Some(set) => set.set_attribute(element, attribute),
        None => false,
    };
    if set {
        ctx.changed(key);
    }
    ctx.reply.boolean(set);
    Ok(())
}
