//! Strings that hold numbers: INCR and its kin, INCRBYFLOAT, INCREX.
//!
//! An integer is kept as a number inside the key's entry, not as text, so INCR writes no string. Floating-point results
//! are stored as text, and propagated as text: a replica never adds, it only stores the sum.
//!
//! Mirrors: `incrDecrCommand()`, `incrbyfloatCommand()` and `increxCommand()` of t_string.c.
//! Differs: INCREX is propagated as the SET or the deletion that it comes to.

use super::super::prelude::*;
use super::options::Expiry;
use crate::keyspace;
use crate::keyspace::{Deadline, Ms, NewValue};
use crate::util::long_double::LongDouble;
use crate::util::num::{self, IntBuf};

const INCRBY_EVENT: Event = Event::string("incrby");
const INCRBYFLOAT_EVENT: Event = Event::string("incrbyfloat");

pub(super) const INCR: Command = Command {
    name: "incr",
    arity: Arity::Exactly(2),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Rw, Access, Update])],
    args: &[arg::key("key")],
    docs: Docs {
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Adds one to the integer a key holds; a missing key counts as 0.",
        ..Docs::BASE
    },
    run: incr,
    ..Command::BASE
};

#[doc(alias = "incrCommand")]
fn incr(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    increment(ctx, key, 1)
}

pub(super) const INCRBY: Command = Command {
    name: "incrby",
    arity: Arity::Exactly(3),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Rw, Access, Update])],
    args: &[arg::key("key"), arg::integer("increment")],
    docs: Docs {
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Adds an integer to the one a key holds; a missing key counts as 0.",
        ..Docs::BASE
    },
    run: incrby,
    ..Command::BASE
};

#[doc(alias = "incrbyCommand")]
fn incrby(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let by = args.integer()?;
    increment(ctx, key, by)
}

pub(super) const DECR: Command = Command {
    name: "decr",
    arity: Arity::Exactly(2),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Rw, Access, Update])],
    args: &[arg::key("key")],
    docs: Docs {
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Takes one from the integer a key holds; a missing key counts as 0.",
        ..Docs::BASE
    },
    run: decr,
    ..Command::BASE
};

#[doc(alias = "decrCommand")]
fn decr(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    increment(ctx, key, -1)
}

pub(super) const DECRBY: Command = Command {
    name: "decrby",
    arity: Arity::Exactly(3),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Rw, Access, Update])],
    args: &[arg::key("key"), arg::integer("decrement")],
    docs: Docs {
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Takes an integer from the one a key holds; a missing key counts as 0.",
        ..Docs::BASE
    },
    run: decrby,
    ..Command::BASE
};

#[doc(alias = "decrbyCommand")]
fn decrby(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let by = args.integer()?;
    let by = by
        .checked_neg()
        .ok_or_else(|| Error::once("decrement would overflow"))?;
    increment(ctx, key, by)
}

/// Adds to the integer of a key; a missing key counts as 0. Fails, and changes nothing, if the string is no integer or
/// the sum leaves the range of 64 bits. The deadline stays. Propagated as it came.
#[doc(alias = "incrDecrCommand")]
fn increment(ctx: &mut Ctx<'_>, key: &[u8], by: i64) -> Result {
    let new = match ctx.state.keyspace[ctx.db].string_mut(key)? {
        Some(mut string) => {
            let old = string.as_integer().ok_or(Error::NotInteger)?;
            let new = old.checked_add(by).ok_or(Error::IncrementOverflow)?;
            string.set_integer(new);
            new
        }
        None => {
            ctx.store(key, NewValue::Int(by), Deadline::Set(None));
            by
        }
    };
    ctx.modified(key, INCRBY_EVENT);
    ctx.reply.integer(new);
    Ok(())
}

pub(super) const INCRBYFLOAT: Command = Command {
    name: "incrbyfloat",
    arity: Arity::Exactly(3),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Rw, Access, Update])],
    args: &[arg::key("key"), arg::double("increment")],
    docs: Docs {
        group: Group::String,
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Adds a floating-point number to the one a key holds; a missing key counts as 0.",
        ..Docs::BASE
    },
    run: incrbyfloat,
    ..Command::BASE
};

/// Adds to the number of a key in extended precision and answers the sum as text. Fails if either text is no number or
/// the sum is not finite. Propagated as `SET key <sum> KEEPTTL`.
#[doc(alias = "incrbyfloatCommand")]
fn incrbyfloat(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let by = args.bytes()?;

    let old = match ctx.db().string_mut(key)? {
        Some(string) => {
            let text = string.get();
            LongDouble::parse(text.as_bytes(&mut IntBuf::new())).ok_or(Error::NotFloat)?
        }
        None => LongDouble::from(0),
    };
    let by = LongDouble::parse(by).ok_or(Error::NotFloat)?;
    let new = old
        .checked_add(by)
        .filter(LongDouble::is_finite)
        .ok_or(Error::NanOrInfinity)?;

    let text = new.format();
    write_text(ctx, key, text.as_bytes());
    // Replicas receive the result, so that the arithmetic of another machine cannot change it.
    ctx.rewrite_as(&[b"SET", key, text.as_bytes(), b"KEEPTTL"]);
    ctx.modified(key, INCRBYFLOAT_EVENT);
    ctx.reply.bulk(text.as_bytes());
    Ok(())
}

/// Writes a number as text; the deadline stays. The event `overwritten` is not published: the value changes, it is not
/// replaced.
fn write_text(ctx: &mut Ctx<'_>, key: &[u8], text: &[u8]) {
    match ctx.state.keyspace[ctx.db].get_mut(key) {
        Some(mut entry) => {
            entry.set(NewValue::Bytes(text));
        }
        None => ctx.store_as_is(key, NewValue::Bytes(text), Deadline::Set(None)),
    }
}

pub(super) const INCREX: Command = Command {
    name: "increx",
    arity: Arity::AtLeast(2),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Rw, Access, Update])],
    args: &[
        arg::key("key"),
        arg::one_of(
            "increment",
            &[
                arg::double("float").token("BYFLOAT"),
                arg::integer("integer").token("BYINT"),
            ],
        )
        .optional(),
        arg::word("saturate", "SATURATE").optional(),
        arg::string("lowerbound").token("LBOUND").optional(),
        arg::string("upperbound").token("UBOUND").optional(),
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
        arg::word("enx", "ENX").optional(),
    ],
    docs: Docs {
        group: Group::String,
        since: "8.8.0",
        complexity: "O(1)",
        summary: "Adds to the number a key holds, within bounds if wanted, and sets or removes the key's deadline.",
        ..Docs::BASE
    },
    run: increx,
    ..Command::BASE
};

/// The options of one INCREX.
#[derive(Default)]
struct IncrEx<'a> {
    /// BYFLOAT
    float: bool,
    by: Option<&'a [u8]>,
    lower: Option<&'a [u8]>,
    upper: Option<&'a [u8]>,
    saturate: bool,
    expiry: Expiry<'a>,
    /// ENX: the deadline is only set where there is none.
    if_none: bool,
}

impl<'a> IncrEx<'a> {
    /// Reads the options, each at most once and in any order.
    fn read(args: &mut Args<'a>) -> Result<Self> {
        let mut asked = IncrEx::default();
        while !args.is_empty() {
            if !asked.read_one(args) {
                return Err(Error::Syntax);
            }
        }
        if asked.if_none && !matches!(asked.expiry, Expiry::At(..)) {
            return Err(Error::once("ENX flag requires an expiration"));
        }
        Ok(asked)
    }

    fn read_one(&mut self, args: &mut Args<'a>) -> bool {
        if self.by.is_none() {
            for (word, float) in [("BYINT", false), ("BYFLOAT", true)] {
                if args.word_with(word, 1) {
                    self.by = args.next();
                    self.float = float;
                    return true;
                }
            }
        }
        for (word, bound) in [("LBOUND", &mut self.lower), ("UBOUND", &mut self.upper)] {
            if bound.is_none() && args.word_with(word, 1) {
                *bound = args.next();
                return true;
            }
        }
        if !self.saturate && args.word("SATURATE") {
            self.saturate = true;
            return true;
        }
        if !self.if_none && self.expiry != Expiry::Persist && args.word("ENX") {
            self.if_none = true;
            return true;
        }
        self.expiry == Expiry::Unsaid
            && (self.expiry.read(args) || !self.if_none && self.expiry.read_persist(args))
    }
}

/// A number as INCREX counts: its new value and what was really added; `None` if it stays as it is.
type Counted<T> = Option<(T, T)>;

/// Adds to a number within bounds and may set or remove the deadline; answers the new value and what was added.
///
/// With `counter` holding 10:
///
/// ```text
///   INCREX counter BYINT 5                       15 5
///   INCREX counter BYINT 5 UBOUND 17             15 0   outside of the bounds: unchanged, nothing is propagated
///   INCREX counter BYINT 5 UBOUND 17 SATURATE    17 2   as far as the bound
///   INCREX counter BYINT 1 EX 60 ENX             18 1   a deadline is set only if there is none yet
/// ```
///
/// A rate limiter is one such command: count a request, refuse above a bound, forget after a minute. The whole command
/// is propagated by [`finish`] as one SET with its result.
#[doc(alias = "increxCommand")]
fn increx(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let asked = IncrEx::read(&mut args)?;
    if asked.float {
        increx_float(ctx, key, &asked)
    } else {
        increx_int(ctx, key, &asked)
    }
}

/// INCREX of an integer. Fails if the stored string, the increment or a bound is no integer.
fn increx_int(ctx: &mut Ctx<'_>, key: &[u8], asked: &IncrEx<'_>) -> Result {
    let number = |name: &str, text: Option<&[u8]>, default: i64| match text {
        Some(text) => num::parse_i64(text)
            .ok_or_else(|| Error::once(format!("{name} is not an integer or out of range"))),
        None => Ok(default),
    };
    let by = number("Increment", asked.by, 1)?;
    let lower = number("LBOUND", asked.lower, i64::MIN)?;
    let upper = number("UBOUND", asked.upper, i64::MAX)?;
    if lower > upper {
        return Err(bounds_crossed());
    }
    let deadline = asked.expiry.deadline(ctx)?;

    let old = match ctx.db().string_mut(key)? {
        Some(string) => string.as_integer().ok_or(Error::NotInteger)?,
        None => 0,
    };
    let Some((new, added)) = count_int(old, by, lower, upper, asked.saturate)? else {
        ctx.reply.array(2);
        ctx.reply.integer(old);
        ctx.reply.integer(0);
        return Ok(());
    };
    let mut text = IntBuf::new();
    finish(ctx, key, asked, deadline, text.format(new), INCRBY_EVENT);
    ctx.reply.array(2);
    ctx.reply.integer(new);
    ctx.reply.integer(added);
    Ok(())
}

fn count_int(old: i64, by: i64, lower: i64, upper: i64, saturate: bool) -> Result<Counted<i64>> {
    let sum = i128::from(old) + i128::from(by);
    let kept = sum.clamp(lower.into(), upper.into());
    if kept != sum && !saturate {
        return Ok(None);
    }
    let added = i64::try_from(kept - i128::from(old))
        .map_err(|_| Error::once("applied increment would overflow"))?;
    Ok(Some((kept as i64, added)))
}

/// INCREX with BYFLOAT. Fails on infinite numbers wherever they come from: increment, stored value or result.
fn increx_float(ctx: &mut Ctx<'_>, key: &[u8], asked: &IncrEx<'_>) -> Result {
    let number = |name: &str, text: Option<&[u8]>, default: LongDouble| match text {
        Some(text) => LongDouble::parse(text)
            .ok_or_else(|| Error::once(format!("{name} is not a valid float"))),
        None => Ok(default),
    };
    let by = number("Increment", asked.by, LongDouble::from(1))?;
    if !by.is_finite() {
        return Err(Error::once("BYFLOAT increment cannot be Infinity"));
    }
    let lower = number("LBOUND", asked.lower, LongDouble::MIN)?;
    let upper = number("UBOUND", asked.upper, LongDouble::MAX)?;
    if upper.is_below(&lower) {
        return Err(bounds_crossed());
    }
    let deadline = asked.expiry.deadline(ctx)?;

    let old = match ctx.db().string_mut(key)? {
        Some(string) => {
            let text = string.get();
            LongDouble::parse(text.as_bytes(&mut IntBuf::new())).ok_or(Error::NotFloat)?
        }
        None => LongDouble::from(0),
    };
    if !old.is_finite() {
        return Err(Error::once("value cannot be Infinity"));
    }
    let Some((new, added)) = count_float(old, by, lower, upper, asked.saturate)? else {
        ctx.reply.array(2);
        ctx.reply.long_double(&old.format());
        ctx.reply.long_double("0");
        return Ok(());
    };
    let text = new.format();
    finish(
        ctx,
        key,
        asked,
        deadline,
        text.as_bytes(),
        INCRBYFLOAT_EVENT,
    );
    ctx.reply.array(2);
    ctx.reply.long_double(&text);
    ctx.reply.long_double(&added.format());
    Ok(())
}

fn count_float(
    old: LongDouble,
    by: LongDouble,
    lower: LongDouble,
    upper: LongDouble,
    saturate: bool,
) -> Result<Counted<LongDouble>> {
    let sum = old.checked_add(by).ok_or(Error::NanOrInfinity)?;
    let kept = if sum.is_below(&lower) {
        lower
    } else if upper.is_below(&sum) {
        upper
    } else {
        sum
    };
    if kept != sum && !saturate {
        return Ok(None);
    }
    let added = if kept == sum && sum.is_finite() {
        by
    } else {
        kept.checked_add(old.negated())
            .ok_or(Error::NanOrInfinity)?
    };
    if !added.is_finite() {
        return Err(Error::once("applied increment would be Infinity"));
    }
    if !kept.is_finite() {
        return Err(Error::NanOrInfinity);
    }
    Ok(Some((kept, added)))
}

fn bounds_crossed() -> Error {
    Error::once("LBOUND can't be greater than UBOUND")
}

/// Stores the result, sets or removes the deadline, and propagates one command for both: SET, or the deletion of the
/// key if the deadline has passed already.
fn finish(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    asked: &IncrEx<'_>,
    deadline: Option<Ms>,
    text: &[u8],
    event: Event,
) {
    let existing = ctx.db().get_mut(key).map(|entry| entry.deadline());
    let has_deadline = existing.is_some_and(|deadline| deadline.is_some());
    // With ENX an existing deadline stays.
    let deadline = deadline.filter(|_| !(asked.if_none && has_deadline));

    if let Some(at) = deadline
        && ctx.is_past(at)
    {
        if ctx.delete(key, ctx.state.config.lazyfree_lazy_expire) {
            ctx.rewrite_as(&[
                keyspace::act::expire::expire_word(ctx.state).as_bytes(),
                key,
            ]);
            ctx.modified(key, Event::DEL);
        }
        return;
    }
    let value = match num::parse_i64(text) {
        Some(n) if !asked.float => NewValue::Int(n),
        _ => NewValue::Bytes(text),
    };
    match ctx.state.keyspace[ctx.db].get_mut(key) {
        Some(mut entry) => {
            entry.set(value);
            if deadline.is_some() || asked.expiry == Expiry::Persist {
                entry.set_deadline(deadline);
            }
        }
        None => ctx.store_as_is(key, value, Deadline::Set(deadline)),
    }
    match deadline {
        Some(at) => ctx.rewrite_as(&[b"SET", key, text, b"PXAT", IntBuf::new().format(at)]),
        None if asked.expiry == Expiry::Persist => ctx.rewrite_as(&[b"SET", key, text]),
        None => ctx.rewrite_as(&[b"SET", key, text, b"KEEPTTL"]),
    }
    ctx.modified(key, event);
    if deadline.is_some() {
        ctx.notify(key, Event::EXPIRE);
    } else if asked.expiry == Expiry::Persist && has_deadline {
        ctx.notify(key, Event::PERSIST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_stay_within_their_bounds() {
        let free = (i64::MIN, i64::MAX);
        let count = |old, by, (lower, upper), saturate| count_int(old, by, lower, upper, saturate);
        assert_eq!(count(10, 5, free, false), Ok(Some((15, 5))));
        assert_eq!(count(10, 5, (0, 12), false), Ok(None));
        assert_eq!(count(10, 5, (0, 12), true), Ok(Some((12, 2))));
        assert_eq!(count(50, 5, (0, 30), true), Ok(Some((30, -20))));
        assert_eq!(count(i64::MAX, 1, free, false), Ok(None));
        assert_eq!(count(i64::MAX, 1, free, true), Ok(Some((i64::MAX, 0))));
        assert!(count(i64::MAX, 1, (i64::MIN, i64::MIN), true).is_err());
    }

    #[test]
    fn floats_stay_within_their_bounds() {
        let float = |text: &str| LongDouble::parse(text.as_bytes()).expect("a number");
        let free = (LongDouble::MIN, LongDouble::MAX);
        let count = |old: &str, by: &str, (lower, upper), saturate| {
            let counted = count_float(float(old), float(by), lower, upper, saturate);
            counted.map(|c| c.map(|(new, added)| (new.format(), added.format())))
        };
        let some = |new: &str, added: &str| Ok(Some((new.to_owned(), added.to_owned())));
        assert_eq!(count("1.5", "0.25", free, false), some("1.75", "0.25"));
        let bounds = (float("-5.5"), float("42.5"));
        assert_eq!(count("10", "100", bounds, true), some("42.5", "32.5"));
        assert_eq!(count("0", "-100", bounds, true), some("-5.5", "-5.5"));
        assert_eq!(count("10", "100", bounds, false), Ok(None));
        let open = (float("-inf"), float("inf"));
        assert_eq!(count("1", "1", open, false), some("2", "1"));
    }
}
