//! Deadlines of fields: HEXPIRE and its kin set them, HTTL and its kin answer them, HPERSIST removes them.
//!
//! The four setters are propagated as HPEXPIREAT with the fields that were changed; a moment in the past is propagated
//! as HDEL.
//!
//! Mirrors: `hexpireGenericCommand()`, `httlGenericCommand()` and `hpersistCommand()` of t_hash.c.

use super::super::prelude::*;
use super::{HDEL_EVENT, change, field_time, remove_if_empty};
use crate::command::Arg;
use crate::commands::keys::DEADLINE_CONDITION as CONDITION;
use crate::keyspace::Ms;
use crate::resp::Reply;
use crate::types::Hash;
use crate::types::hash::is_past;
use crate::util::num;

/// The latest deadline of a field, in unix milliseconds.
#[doc(alias = "HFE_MAX_ABS_TIME_MSEC")]
const LAST_MOMENT: Ms = (1 << 46) - 1;

pub(super) const HEXPIRE_EVENT: Event = Event::hash("hexpire");
pub(super) const HPERSIST_EVENT: Event = Event::hash("hpersist");

/// The unit of a time in a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
}

/// The origin of a time in a request: the present moment (EX, PX) or the start of unix time (EXAT, PXAT).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Now,
    Epoch,
}

/// A moment in a request, in unix milliseconds.
#[doc(alias = "parseExpireTime")]
pub(super) fn moment(ctx: &Ctx<'_>, text: &[u8], unit: Unit, from: From) -> Result<Ms> {
    let time = num::parse_i64(text).ok_or(Error::NotInteger)?;
    if time < 0 {
        return Err(Error::once("invalid expire time, must be >= 0"));
    }
    let base = match from {
        From::Now => ctx.now_ms(),
        From::Epoch => 0,
    };
    let factor = match unit {
        Unit::Seconds => 1000,
        Unit::Milliseconds => 1,
    };
    time.checked_mul(factor)
        .filter(|ms| *ms <= LAST_MOMENT - base)
        .map(|ms| ms + base)
        .ok_or_else(|| Error::InvalidExpire(ctx.name()))
}

/// Takes `FIELDS numfields field [field ...]`, which must end the request.
pub(super) fn fields<'a>(args: &mut Args<'a>) -> Result<Args<'a>> {
    if !args.word("FIELDS") {
        return Err(Error::once(
            "Mandatory argument FIELDS is missing or not at the right position",
        ));
    }
    let bad = || Error::once("Number of fields must be a positive integer");
    let n = args.integer_or(bad())?;
    if n < 1 {
        return Err(bad());
    }
    if n as u64 != args.len() as u64 {
        return Err(Error::once(
            "The `numfields` parameter must match the number of arguments",
        ));
    }
    Ok(*args)
}

/// The condition on which a deadline is set, compared with the field's present one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Always,
    /// NX: the field has none.
    Nx,
    /// XX: the field has one.
    Xx,
    /// GT: the field has an earlier one.
    Gt,
    /// LT: the field has a later one, or none.
    Lt,
}

impl Condition {
    fn allows(self, old: Option<Ms>, new: Ms) -> bool {
        match (self, old) {
            (Condition::Always, _) | (Condition::Nx | Condition::Lt, None) => true,
            (Condition::Xx | Condition::Gt, None) | (Condition::Nx, Some(_)) => false,
            (Condition::Xx, Some(_)) => true,
            (Condition::Gt, Some(old)) => new > old,
            (Condition::Lt, Some(old)) => new < old,
        }
    }
}

const FIELDS: Arg = arg::block(
    "fields",
    &[arg::integer("numfields"), arg::string("field").multiple()],
)
.token("FIELDS");

/// The declaration that HEXPIRE, HPEXPIRE, HEXPIREAT and HPEXPIREAT share.
const SETTER: Command = Command {
    arity: Arity::AtLeast(6),
    flags: &[Write, Fast],
    acl: &[Category::Hash],
    keys: &[KeySpec::at(1, &[Rw, Update])],
    docs: Docs {
        group: Group::Hash,
        since: "7.4.0",
        complexity: "O(N) where N is the number of fields named.",
        ..Docs::BASE
    },
    ..Command::BASE
};

pub(super) const HEXPIRE: Command = Command {
    name: "hexpire",
    args: &[arg::key("key"), arg::integer("seconds"), CONDITION, FIELDS],
    docs: Docs {
        summary: "Gives fields of a hash so many seconds to live.",
        ..SETTER.docs
    },
    run: hexpire,
    ..SETTER
};

#[doc(alias = "hexpireCommand")]
fn hexpire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    set_deadlines(ctx, args, Unit::Seconds, From::Now)
}

pub(super) const HPEXPIRE: Command = Command {
    name: "hpexpire",
    args: &[
        arg::key("key"),
        arg::integer("milliseconds"),
        CONDITION,
        FIELDS,
    ],
    docs: Docs {
        summary: "Gives fields of a hash so many milliseconds to live.",
        ..SETTER.docs
    },
    run: hpexpire,
    ..SETTER
};

#[doc(alias = "hpexpireCommand")]
fn hpexpire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    set_deadlines(ctx, args, Unit::Milliseconds, From::Now)
}

pub(super) const HEXPIREAT: Command = Command {
    name: "hexpireat",
    args: &[
        arg::key("key"),
        arg::unix_time("unix-time-seconds"),
        CONDITION,
        FIELDS,
    ],
    docs: Docs {
        summary: "Has fields of a hash live until a unix time in seconds.",
        ..SETTER.docs
    },
    run: hexpireat,
    ..SETTER
};

#[doc(alias = "hexpireatCommand")]
fn hexpireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    set_deadlines(ctx, args, Unit::Seconds, From::Epoch)
}

pub(super) const HPEXPIREAT: Command = Command {
    name: "hpexpireat",
    args: &[
        arg::key("key"),
        arg::unix_time("unix-time-milliseconds"),
        CONDITION,
        FIELDS,
    ],
    docs: Docs {
        summary: "Has fields of a hash live until a unix time in milliseconds.",
        ..SETTER.docs
    },
    run: hpexpireat,
    ..SETTER
};

#[doc(alias = "hpexpireatCommand")]
fn hpexpireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    set_deadlines(ctx, args, Unit::Milliseconds, From::Epoch)
}

const NO_FIELD: i64 = -2;

/// The effect of a setter on one field; the number is the answer to the client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    NoField = NO_FIELD as isize,
    NotAllowed = 0,
    Set = 1,
    /// The moment has passed, so the field was deleted.
    Deleted = 2,
}

/// Takes the condition and the fields, in either order.
#[doc(alias = "parseHashCommandArgs")]
fn condition_and_fields<'a>(args: &mut Args<'a>) -> Result<(Condition, Args<'a>)> {
    const CONDITIONS: [(&str, Condition); 4] = [
        ("NX", Condition::Nx),
        ("XX", Condition::Xx),
        ("GT", Condition::Gt),
        ("LT", Condition::Lt),
    ];
    let (mut condition, mut names) = (Condition::Always, None);
    let mut several = false;
    while !args.is_empty() {
        if let Some((_, found)) = CONDITIONS.iter().find(|(word, _)| args.word(word)) {
            several |= condition != Condition::Always && condition != *found;
            condition = *found;
        } else if args.word("FIELDS") {
            if names.is_some() {
                return Err(Error::once("FIELDS keyword specified multiple times"));
            }
            if args.len() < 2 {
                return Err(Error::once(
                    "FIELDS requires at least numfields and one field argument",
                ));
            }
            let bad = || Error::once("Parameter `numFields` should be greater than 0");
            let n = args.integer_or(bad())?;
            if !(1..=i64::from(i32::MAX)).contains(&n) {
                return Err(bad());
            }
            let few = |_| Error::once("wrong number of arguments");
            names = Some(args.take(n as usize).map_err(few)?);
        } else {
            let word = args.bytes()?;
            return Err(Error::quoting("ERR unknown argument: ", word, ""));
        }
    }
    let names = names.ok_or_else(|| Error::once("missing FIELDS argument"))?;
    if several {
        return Err(Error::once("Multiple condition flags specified"));
    }
    Ok((condition, names))
}

/// HEXPIRE, HPEXPIRE, HEXPIREAT and HPEXPIREAT: sets the deadline of each field that meets the condition. Answers an
/// array with one number for each field:
///
/// | number | meaning |
/// |---|---|
/// | -2 | no such field (it may have expired), or no such key |
/// | 0 | the condition does not hold |
/// | 1 | the deadline is set |
/// | 2 | the moment has passed: the field is deleted |
///
/// A field without a deadline counts as one that never expires, so GT refuses it and LT accepts it. With `h` holding
/// `a` without a deadline and `b` that expires in 20 seconds:
///
/// ```text
///   HEXPIRE h 10 NX FIELDS 3 a b x    1 0 -2    a: 10 s, b: 20 s
///   HEXPIRE h 15 GT FIELDS 2 a b      1 0       a: 15 s, b: 20 s
///   HEXPIRE h 5 LT FIELDS 2 a b       1 1       a: 5 s,  b: 5 s
///   HEXPIRE h 0 FIELDS 1 a            2         a is deleted
/// ```
///
/// The first line is propagated as `HPEXPIREAT h <ms> NX FIELDS 1 a`, the last as `HDEL h a`. The key is deleted with
/// its last field.
///
/// Differs: Redis takes a field that has expired for one that is there, as long as it is stored.
#[doc(alias = "hexpireGenericCommand")]
fn set_deadlines(ctx: &mut Ctx<'_>, mut args: Args<'_>, unit: Unit, from: From) -> Result {
    let key = args.key()?;
    let there = ctx.db().get_mut_as::<Hash>(key)?.is_some();
    let at = moment(ctx, args.bytes()?, unit, from)?;
    let rest = args;
    let (condition, names) = condition_and_fields(&mut args)?;
    ctx.reply.array(names.len());
    if !there {
        names.for_each(|_| ctx.reply.integer(NO_FIELD));
        return Ok(());
    }

    let past = ctx.is_past(at);
    let now = field_time(ctx);
    let outcomes = change(ctx, key, |hash| {
        hash.allow_deadlines();
        let set = |name| match hash.get(name) {
            None => Outcome::NoField,
            // No deadline brings a field back.
            Some(found) if is_past(found.deadline, now) => Outcome::NoField,
            Some(found) if !condition.allows(found.deadline, at) => Outcome::NotAllowed,
            Some(_) if past => {
                hash.remove(name);
                Outcome::Deleted
            }
            Some(_) => {
                hash.set_deadline(name, Some(at));
                Outcome::Set
            }
        };
        names.map(set).collect::<Vec<Outcome>>()
    })?;
    let named = |wanted| {
        let pairs = names.zip(&outcomes);
        pairs
            .filter(move |(_, outcome)| **outcome == wanted)
            .map(|(name, _)| name)
    };
    let (set, deleted) = (named(Outcome::Set).count(), named(Outcome::Deleted).count());
    outcomes
        .iter()
        .for_each(|outcome| ctx.reply.integer(*outcome as i64));
    ctx.state.stats.expired_subkeys += deleted as u64;
    if set + deleted > 0 {
        let event = if deleted > 0 {
            HDEL_EVENT
        } else {
            HEXPIRE_EVENT
        };
        ctx.modified_n(key, event, set + deleted);
        let wanted = if deleted > 0 {
            Outcome::Deleted
        } else {
            Outcome::Set
        };
        ctx.notify_fields(key, event, named(wanted));
        remove_if_empty(ctx, key);
    }
    named(Outcome::Deleted).for_each(|name| ctx.also([b"HDEL", key, name]));

    if set == 0 {
        ctx.suppress();
        return Ok(());
    }
    // The propagated request has the words that were received, with an absolute moment and without the fields that were
    // left alone.
    ctx.rewrite_with(|words| {
        words.push(b"HPEXPIREAT");
        words.push(key);
        words.push_integer(at);
        let (first, last) = (names.position(), names.position() + names.len());
        for i in rest.position()..rest.argv().len() {
            match i {
                i if i + 1 == first => words.push_integer(set as i64),
                i if (first..last).contains(&i) => {
                    if outcomes[i - first] == Outcome::Set {
                        words.push_word(rest.argv(), i);
                    }
                }
                i => words.push_word(rest.argv(), i),
            }
        }
    });
    Ok(())
}

/// The declaration that HTTL, HPTTL, HEXPIRETIME and HPEXPIRETIME share.
const GETTER: Command = Command {
    arity: Arity::AtLeast(5),
    flags: &[ReadOnly, Fast],
    acl: &[Category::Hash],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key"), FIELDS],
    docs: Docs {
        group: Group::Hash,
        since: "7.4.0",
        complexity: "O(N) where N is the number of fields named.",
        ..Docs::BASE
    },
    ..Command::BASE
};

pub(super) const HTTL: Command = Command {
    name: "httl",
    tips: &["nondeterministic_output"],
    docs: Docs {
        summary: "Returns how many seconds fields of a hash have to live.",
        ..GETTER.docs
    },
    run: httl,
    ..GETTER
};

#[doc(alias = "httlCommand")]
fn httl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    tell_deadlines(ctx, args, Unit::Seconds, From::Now)
}

pub(super) const HPTTL: Command = Command {
    name: "hpttl",
    tips: &["nondeterministic_output"],
    docs: Docs {
        summary: "Returns how many milliseconds fields of a hash have to live.",
        ..GETTER.docs
    },
    run: hpttl,
    ..GETTER
};

#[doc(alias = "hpttlCommand")]
fn hpttl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    tell_deadlines(ctx, args, Unit::Milliseconds, From::Now)
}

pub(super) const HEXPIRETIME: Command = Command {
    name: "hexpiretime",
    docs: Docs {
        summary: "Returns until when fields of a hash live, as unix times in seconds.",
        ..GETTER.docs
    },
    run: hexpiretime,
    ..GETTER
};

#[doc(alias = "hexpiretimeCommand")]
fn hexpiretime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    tell_deadlines(ctx, args, Unit::Seconds, From::Epoch)
}

pub(super) const HPEXPIRETIME: Command = Command {
    name: "hpexpiretime",
    docs: Docs {
        summary: "Returns until when fields of a hash live, as unix times in milliseconds.",
        ..GETTER.docs
    },
    run: hpexpiretime,
    ..GETTER
};

#[doc(alias = "hpexpiretimeCommand")]
fn hpexpiretime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    tell_deadlines(ctx, args, Unit::Milliseconds, From::Epoch)
}

const NO_DEADLINE: i64 = -1;

/// HTTL, HPTTL, HEXPIRETIME and HPEXPIRETIME: answers for each field how long it has left, or the moment at which it
/// expires; -1 for a field without a deadline, -2 for a missing or expired one. Seconds are rounded up.
#[doc(alias = "httlGenericCommand")]
fn tell_deadlines(ctx: &mut Ctx<'_>, mut args: Args<'_>, unit: Unit, from: From) -> Result {
    let key = args.key()?;
    let now = field_time(ctx);
    let base = match from {
        From::Now => ctx.now_ms(),
        From::Epoch => 0,
    };
    let hash = ctx.state.keyspace[ctx.db].get_as::<Hash>(key)?;
    let names = fields(&mut args)?;
    ctx.reply.array(names.len());
    for name in names {
        let answer = match hash.and_then(|hash| hash.get(name)) {
            None => NO_FIELD,
            Some(found) => match found.deadline {
                None => NO_DEADLINE,
                Some(_) if is_past(found.deadline, now) => NO_FIELD,
                Some(ms) if unit == Unit::Seconds => (ms + 999 - base) / 1000,
                Some(ms) => ms - base,
            },
        };
        ctx.reply.integer(answer);
    }
    if hash.is_none() {
        ctx.missed(key);
    }
    Ok(())
}

pub(super) const HPERSIST: Command = Command {
    name: "hpersist",
    arity: Arity::AtLeast(5),
    flags: &[Write, Fast],
    acl: &[Category::Hash],
    keys: &[KeySpec::at(1, &[Rw, Update])],
    args: &[arg::key("key"), FIELDS],
    docs: Docs {
        group: Group::Hash,
        since: "7.4.0",
        complexity: "O(N) where N is the number of fields named.",
        summary: "Has fields of a hash live as long as the hash.",
        ..Docs::BASE
    },
    run: hpersist,
    ..Command::BASE
};

/// Removes the deadlines of fields. Answers for each field 1, or -1 if it had no deadline, or -2 if it is missing.
/// Propagated as it came if at least one deadline was removed, but without fields that have expired: a replica still has
/// them, and would keep them for ever.
#[doc(alias = "hpersistCommand")]
fn hpersist(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let there = ctx.db().get_mut_as::<Hash>(key)?.is_some();
    let names = fields(&mut args)?;
    ctx.reply.array(names.len());
    if !there {
        names.for_each(|_| ctx.reply.integer(NO_FIELD));
        return Ok(());
    }
    let now = field_time(ctx);
    let mut over = false;
    let answers = change(ctx, key, |hash| {
        let persist = |name| match hash.get(name) {
            None => NO_FIELD,
            Some(found) if found.deadline.is_none() => NO_DEADLINE,
            Some(found) if is_past(found.deadline, now) => {
                over = true;
                NO_FIELD
            }
            Some(_) => i64::from(hash.set_deadline(name, None)),
        };
        names.map(persist).collect::<Vec<i64>>()
    })?;
    let reply: &mut Reply = ctx.reply;
    answers.iter().for_each(|answer| reply.integer(*answer));
    if answers.contains(&1) {
        ctx.modified(key, HPERSIST_EVENT);
        let persisted = names.zip(&answers).filter(|(_, answer)| **answer == 1);
        let persisted: Vec<&[u8]> = persisted.map(|(name, _)| name).collect();
        ctx.notify_fields(key, HPERSIST_EVENT, persisted.iter().copied());
        if over {
            let mut count = num::IntBuf::new();
            let count = count.format(persisted.len() as i64);
            let start: [&[u8]; 4] = [b"HPERSIST", key, b"FIELDS", count];
            ctx.rewrite([&start[..], &persisted[..]].concat());
        }
    }
    Ok(())
}
