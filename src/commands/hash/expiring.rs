//! Commands that work on values and deadlines of fields at once: HSETEX, HGETEX, HGETDEL.
//!
//! Mirrors: `hsetexCommand()`, `hgetexCommand()` and `hgetdelCommand()` of t_hash.c.

use super::super::prelude::*;
use super::expire::{From, HEXPIRE_EVENT, HPERSIST_EVENT, Unit, fields, moment};
use super::{HDEL_EVENT, HSET_EVENT, change, field_time, limits, remove_if_empty, value_at};
use crate::keyspace;
use crate::keyspace::Ms;
use crate::types::Hash;
use crate::types::hash::is_past;

/// The change that a request makes to the deadlines of its fields.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ttl {
    /// The request has no such option: HSETEX removes the deadlines, HGETEX keeps them.
    Unsaid,
    Keep,
    Persist,
    At {
        ms: Ms,
        /// The position of the moment in the request; its word (EX, PX …) stands before it.
        position: usize,
        is_pxat: bool,
    },
}

/// The condition of HSETEX on the fields: FNX, FXX, or none.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Exist {
    Whatever,
    None,
    All,
}

struct Options<'a> {
    ttl: Ttl,
    exist: Exist,
    /// HSETEX: fields and values.
    fields: Args<'a>,
}

/// Takes the options and the fields, in any order.
#[doc(alias = "parseHashFieldExpireArgs")]
fn options<'a>(ctx: &Ctx<'_>, args: &mut Args<'a>, setting: bool) -> Result<Options<'a>> {
    const TIMES: [(&str, Unit, From); 4] = [
        ("EX", Unit::Seconds, From::Now),
        ("PX", Unit::Milliseconds, From::Now),
        ("EXAT", Unit::Seconds, From::Epoch),
        ("PXAT", Unit::Milliseconds, From::Epoch),
    ];
    let (last, others) = match setting {
        true => ("KEEPTTL", "PERSIST"),
        false => ("PERSIST", "KEEPTTL"),
    };
    let one_ttl = || {
        Error::once(format!(
            "Only one of EX, PX, EXAT, PXAT or {last} arguments can be specified"
        ))
    };
    let (mut ttl, mut exist, mut fields) = (Ttl::Unsaid, Exist::Whatever, None);
    // Words of the other command are refused at the end, after all that is wrong with the rest.
    let mut foreign = false;
    while !args.is_empty() {
        if args.word("FIELDS") {
            if fields.is_some() {
                return Err(Error::once("FIELDS keyword specified multiple times"));
            }
            if args.is_empty() {
                return Err(Error::WrongArity(ctx.name()));
            }
            let bad = || Error::once("invalid number of fields");
            let n = args.integer_or(bad())?;
            if !(1..=i64::from(i32::MAX)).contains(&n) {
                return Err(bad());
            }
            let words = n as usize * if setting { 2 } else { 1 };
            let few = |_| Error::once("wrong number of arguments");
            fields = Some(args.take(words).map_err(few)?);
        } else if let Some((name, unit, from)) = TIMES.iter().find(|(word, ..)| args.word(word)) {
            if ttl != Ttl::Unsaid || foreign {
                return Err(one_ttl());
            }
            let position = Args::position(args);
            let time = args
                .next()
                .ok_or_else(|| Error::once("missing expire time"))?;
            ttl = Ttl::At {
                ms: moment(ctx, time, *unit, *from)?,
                position,
                is_pxat: *name == "PXAT",
            };
        } else if args.word(last) {
            if ttl != Ttl::Unsaid {
                return Err(one_ttl());
            }
            ttl = if setting { Ttl::Keep } else { Ttl::Persist };
        } else if args.word(others) {
            if matches!(ttl, Ttl::At { .. }) || foreign {
                return Err(one_ttl());
            }
            foreign = true;
        } else if let Some((_, wanted)) = [("FNX", Exist::None), ("FXX", Exist::All)]
            .iter()
            .find(|(word, _)| args.word(word))
        {
            if exist != Exist::Whatever {
                return Err(Error::once(
                    "Only one of FXX or FNX arguments can be specified",
                ));
            }
            exist = *wanted;
        } else {
            let word = args.bytes()?;
            return Err(Error::quoting("ERR unknown argument: ", word, ""));
        }
    }
    let fields = fields.ok_or_else(|| Error::once("missing FIELDS argument"))?;
    if foreign || (!setting && exist != Exist::Whatever) {
        return Err(Error::once("unknown argument"));
    }
    Ok(Options { ttl, exist, fields })
}

pub(super) const HSETEX: Command = Command {
    name: "hsetex",
    arity: Arity::AtLeast(6),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::Hash],
    keys: &[KeySpec::at(1, &[Rw, Update])],
    args: &[
        arg::key("key"),
        arg::one_of(
            "condition",
            &[arg::word("fnx", "FNX"), arg::word("fxx", "FXX")],
        )
        .optional(),
        arg::one_of(
            "expiration",
            &[
                arg::integer("seconds").token("EX"),
                arg::integer("milliseconds").token("PX"),
                arg::unix_time("unix-time-seconds").token("EXAT"),
                arg::unix_time("unix-time-milliseconds").token("PXAT"),
                arg::word("keepttl", "KEEPTTL"),
            ],
        )
        .optional(),
        arg::block(
            "fields",
            &[
                arg::integer("numfields"),
                arg::block("data", &[arg::string("field"), arg::string("value")]).multiple(),
            ],
        )
        .token("FIELDS"),
    ],
    docs: Docs {
        group: Group::Hash,
        since: "8.0.0",
        complexity: "O(N) where N is the number of fields being set.",
        summary: "Sets fields of a hash together with how long they live.",
        ..Docs::BASE
    },
    run: hsetex,
    ..Command::BASE
};

/// Sets fields and their deadline in one step. With FNX none of the fields may exist, with FXX all of them must;
/// otherwise it answers 0 and changes nothing. Without an option for the deadline, fields lose theirs, as with HSET.
///
/// | request | what is propagated |
/// |---|---|
/// | `HSETEX h EX 10 FIELDS 1 f v` | `HSETEX h PXAT <ms> FIELDS 1 f v` |
/// | `HSETEX h KEEPTTL FIELDS 1 f v` | as it came |
/// | `HSETEX h PXAT 1 FIELDS 1 f v` (the past) | `HDEL h f` for each field |
///
/// Fields that have expired count as missing for the condition and for KEEPTTL; they are deleted, and their deletion is
/// propagated first. Differs: Redis gives the new value the deadline that has passed.
#[doc(alias = "hsetexCommand")]
fn hsetex(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let Options { ttl, exist, fields } = options(ctx, &mut args, true)?;
    let now = field_time(ctx);
    let hash = ctx.db().get_mut_as::<Hash>(key)?;
    if exist != Exist::Whatever || ttl == Ttl::Keep {
        let mut over = Vec::new();
        let allowed = fields.step_by(2).all(|name| {
            let found = hash.as_deref().and_then(|hash| hash.get(name));
            let live = found.is_some_and(|found| !is_past(found.deadline, now));
            if found.is_some() && !live {
                over.push(name);
            }
            exist == Exist::Whatever || live == (exist == Exist::All)
        });
        if !allowed {
            keyspace::act::fields::bury_fields(ctx.state, ctx.db, key, &over);
            ctx.reply.integer(0);
            return Ok(());
        }
        // The fields come back at once, so the key is not deleted in between, and no event tells that it was.
        keyspace::act::fields::replace_fields(ctx.state, ctx.db, key, &over);
    }

    let limits = limits(ctx);
    let at = match ttl {
        Ttl::At { ms, .. } => Some(ms),
        _ => None,
    };
    let past = at.is_some_and(|ms| ctx.is_past(ms));
    let existed = ctx.db().contains(key);
    change(ctx, key, |hash| {
        hash.prepare(fields.len() / 2, fields, &limits);
        if at.is_some() {
            hash.allow_deadlines();
        }
        let mut pairs = fields;
        while let Some(name) = pairs.next() {
            let value = value_at(&pairs, pairs.position());
            pairs.next();
            if past {
                hash.remove(name);
                continue;
            }
            hash.set(name, value, ttl != Ttl::Unsaid, &limits);
            if at.is_some() {
                hash.set_deadline(name, at);
            }
        }
    })?;
    ctx.modified_n(key, HSET_EVENT, fields.len() / 2);
    let names = fields.step_by(2);
    ctx.notify_fields(key, HSET_EVENT, names.clone());
    if past {
        // A deadline in the past deletes the fields at once, so the deletion is propagated instead of the values.
        ctx.state.stats.expired_subkeys += fields.len() as u64 / 2;
        ctx.notify(key, HDEL_EVENT);
        ctx.notify_fields(key, HDEL_EVENT, names.clone());
        names.for_each(|name| ctx.also([b"HDEL", key, name]));
        ctx.suppress();
        if existed {
            remove_if_empty(ctx, key);
        } else {
            // The hash was over before it was there; events tell of both.
            ctx.notify(key, Event::DEL);
        }
    } else if let Ttl::At {
        ms,
        position,
        is_pxat,
    } = ttl
    {
        ctx.notify(key, HEXPIRE_EVENT);
        ctx.notify_fields(key, HEXPIRE_EVENT, names);
        if !is_pxat {
            let argv = args.argv();
            ctx.rewrite_with(|words| {
                for i in 0..argv.len() {
                    match i {
                        i if i + 1 == position => words.push(b"PXAT"),
                        i if i == position => words.push_integer(ms),
                        i => words.push_word(argv, i),
                    }
                }
            });
        }
    }
    ctx.reply.integer(1);
    Ok(())
}

pub(super) const HGETEX: Command = Command {
    name: "hgetex",
    arity: Arity::AtLeast(5),
    flags: &[Write, Fast],
    acl: &[Category::Hash],
    keys: &[KeySpec::at(1, &[Rw, Access, Update])],
    args: &[
        arg::key("key"),
        arg::one_of(
            "expiration",
            &[
                arg::integer("seconds").token("EX"),
                arg::integer("milliseconds").token("PX"),
                arg::unix_time("unix-time-seconds").token("EXAT"),
                arg::unix_time("unix-time-milliseconds").token("PXAT"),
                arg::word("persist", "PERSIST"),
            ],
        )
        .optional(),
        arg::block(
            "fields",
            &[arg::integer("numfields"), arg::string("field").multiple()],
        )
        .token("FIELDS"),
    ],
    docs: Docs {
        group: Group::Hash,
        since: "8.0.0",
        complexity: "O(N) where N is the number of fields named.",
        summary: "Returns the values of fields of a hash and sets or clears how long they live.",
        ..Docs::BASE
    },
    run: hgetex,
    ..Command::BASE
};

/// Answers the values of fields, null for missing ones, and may change when they expire. Without an option it changes
/// nothing.
///
/// Propagated as `HPEXPIREAT` or `HPERSIST` with the fields that were changed, or as HDEL if the moment has passed.
/// Expired fields answer null and are deleted; if the last field goes, so does the key.
#[doc(alias = "hgetexCommand")]
fn hgetex(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let there = ctx.db().get_mut_as::<Hash>(key)?.is_some();
    let Options { ttl, fields, .. } = options(ctx, &mut args, false)?;
    if !there {
        ctx.reply.array(fields.len());
        fields.for_each(|_| ctx.reply.null());
        return Ok(());
    }
    let found = say_live(ctx, key, fields)?;
    let at = match ttl {
        Ttl::At { ms, .. } => Some(ms),
        Ttl::Persist => None,
        _ => return Ok(()),
    };

    let past = at.is_some_and(|ms| ctx.is_past(ms));
    if ctx.db().get_mut_as::<Hash>(key)?.is_none() {
        return Ok(());
    }
    let changed = change(ctx, key, |hash| {
        hash.allow_deadlines();
        let mut changed = Vec::new();
        for name in found {
            let did = match at {
                Some(_) if past => hash.remove(name),
                Some(_) => hash.set_deadline(name, at),
                None => {
                    hash.get(name).is_some_and(|found| found.deadline.is_some())
                        && hash.set_deadline(name, None)
                }
            };
            if did {
                changed.push(name);
            }
        }
        changed
    })?;
    if changed.is_empty() {
        return Ok(());
    }
    let event = match at {
        Some(_) if past => HDEL_EVENT,
        Some(_) => HEXPIRE_EVENT,
        None => HPERSIST_EVENT,
    };
    ctx.modified_n(key, event, changed.len());
    ctx.notify_fields(key, event, changed.iter().copied());
    if past {
        ctx.state.stats.expired_subkeys += changed.len() as u64;
        changed
            .iter()
            .for_each(|name| ctx.also([b"HDEL", key, name]));
        ctx.suppress();
        remove_if_empty(ctx, key);
        return Ok(());
    }
    ctx.rewrite_with(|words| {
        match at {
            Some(ms) => {
                words.push(b"HPEXPIREAT");
                words.push(key);
                words.push_integer(ms);
            }
            None => {
                words.push(b"HPERSIST");
                words.push(key);
            }
        }
        words.push(b"FIELDS");
        words.push_integer(changed.len() as i64);
        changed.iter().for_each(|name| words.push(name));
    });
    Ok(())
}

/// Answers with the values of fields, null for those that are missing or expired. Deletes the expired ones and returns
/// the names of the live ones.
fn say_live<'a>(ctx: &mut Ctx<'_>, key: &[u8], names: Args<'a>) -> Result<Vec<&'a [u8]>> {
    let now = field_time(ctx);
    let (mut live, mut over) = (Vec::new(), Vec::new());
    let hash = ctx.state.keyspace[ctx.db].peek_as::<Hash>(key)?;
    ctx.reply.array(names.len());
    for name in names {
        match hash.and_then(|hash| hash.get(name)) {
            Some(found) if is_past(found.deadline, now) => {
                over.push(name);
                ctx.reply.null();
            }
            Some(found) => {
                live.push(name);
                ctx.reply.string(found.value);
            }
            None => ctx.reply.null(),
        }
    }
    keyspace::act::fields::bury_fields(ctx.state, ctx.db, key, &over);
    Ok(live)
}

pub(super) const HGETDEL: Command = Command {
    name: "hgetdel",
    arity: Arity::AtLeast(5),
    flags: &[Write, Fast],
    acl: &[Category::Hash],
    keys: &[KeySpec::at(1, &[Rw, Access, Delete])],
    args: &[
        arg::key("key"),
        arg::block(
            "fields",
            &[arg::integer("numfields"), arg::string("field").multiple()],
        )
        .token("FIELDS"),
    ],
    docs: Docs {
        group: Group::Hash,
        since: "8.0.0",
        complexity: "O(N) where N is the number of fields named.",
        summary: "Returns the values of fields of a hash and deletes them.",
        ..Docs::BASE
    },
    run: hgetdel,
    ..Command::BASE
};

/// Answers the values of fields and deletes them. Propagated as one HDEL that names all fields of the request; if none
/// of them existed, nothing is propagated. The key is deleted with its last field.
#[doc(alias = "hgetdelCommand")]
fn hgetdel(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let there = ctx.db().get_mut_as::<Hash>(key)?.is_some();
    let names = fields(&mut args)?;
    ctx.reply.array(names.len());
    if !there {
        names.for_each(|_| ctx.reply.null());
        return Ok(());
    }
    let now = field_time(ctx);
    let told = keyspace::act::fields::hears_fields(ctx.state, HDEL_EVENT);
    // Fields past their deadline go first: `hexpired` comes before `hdel`, and `del` after both.
    let hash = ctx.db().get_mut_as::<Hash>(key)?;
    let is_over = |name: &&[u8]| {
        let found = hash.as_deref().and_then(|hash| hash.get(name));
        found.is_some_and(|found| is_past(found.deadline, now))
    };
    let over: Vec<&[u8]> = names.filter(is_over).collect();
    keyspace::act::fields::bury_fields(ctx.state, ctx.db, key, &over);
    let (mut deleted, mut gone) = (0, Vec::new());
    // A field that is named twice exists only the first time, so each is deleted as soon as it is answered.
    let db = &mut ctx.state.keyspace[ctx.db];
    let mut earliest = None;
    if let Some(hash) = db.get_mut_as::<Hash>(key)? {
        for name in names {
            match hash.get(name) {
                Some(found) => {
                    ctx.reply.string(found.value);
                    deleted += usize::from(hash.remove(name));
                    if told {
                        gone.push(name);
                    }
                }
                None => ctx.reply.null(),
            }
        }
        earliest = hash.earliest_bound();
    } else {
        names.for_each(|_| ctx.reply.null());
    }
    if deleted > 0 {
        db.track_fields(key, earliest);
        ctx.modified_n(key, HDEL_EVENT, deleted);
        ctx.notify_fields(key, HDEL_EVENT, gone.iter().copied());
        remove_if_empty(ctx, key);
        let names: Vec<&[u8]> = names.collect();
        ctx.rewrite([&[b"HDEL" as &[u8], key], &names[..]].concat());
    }
    Ok(())
}
