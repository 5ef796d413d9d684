//! Commands that write one string: SET and its predecessors SETNX, SETEX, PSETEX and GETSET; APPEND, SETRANGE.
//!
//! A deadline is always propagated as a moment: a SET with EX becomes `SET key value PXAT <ms>`, so that the key
//! expires at the same time everywhere, however late a replica or a restart applies it.
//!
//! Mirrors: `setGenericCommand()`, `getsetCommand()`, `setrangeCommand()` and `appendCommand()` of t_string.c.
//! Differs: a SET with IFEQ or its kin is propagated without the condition.

use super::super::prelude::*;
use super::options::{self, Dialect, Expiry, Options, Unit};
use crate::collections::shared::BigStr;
use crate::command::{KeyFlag, KeyRef};
use crate::keyspace::{self, Deadline, INLINE_MAX, Ms, NewValue};
use crate::resp::argv::Argv;

pub(super) const SET: Command = Command {
    name: "set",
    arity: Arity::AtLeast(3),
    flags: &[Write, DenyOom],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Rw, Access, Update, VariableFlags])],
    find_keys: Some(set_keys),
    args: &[
        arg::key("key"),
        arg::string("value"),
        arg::one_of(
            "condition",
            &[
                arg::word("nx", "NX"),
                arg::word("xx", "XX"),
                arg::string("ifeq-value").token("IFEQ").since("8.4.0"),
                arg::string("ifne-value").token("IFNE").since("8.4.0"),
                arg::integer("ifdeq-digest").token("IFDEQ").since("8.4.0"),
                arg::integer("ifdne-digest").token("IFDNE").since("8.4.0"),
            ],
        )
        .optional()
        .since("2.6.12"),
        arg::word("get", "GET").optional().since("6.2.0"),
        arg::one_of(
            "expiration",
            &[
                arg::integer("seconds").token("EX").since("2.6.12"),
                arg::integer("milliseconds").token("PX").since("2.6.12"),
                arg::unix_time("unix-time-seconds")
                    .token("EXAT")
                    .since("6.2.0"),
                arg::unix_time("unix-time-milliseconds")
                    .token("PXAT")
                    .since("6.2.0"),
                arg::word("keepttl", "KEEPTTL").since("6.0.0"),
            ],
        )
        .optional(),
    ],
    docs: Docs {
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Makes a key hold a string, whatever it held before; on conditions and with a deadline if wanted.",
        ..Docs::BASE
    },
    run: set,
    ..Command::BASE
};

/// Makes a key hold a string, whatever it held before. The plain form is the fast path; options go to [`set_with`].
#[doc(alias = "setCommand")]
fn set(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let value = args.value()?;
    if !args.is_empty() {
        return set_with(ctx, key, value, args);
    }
    ctx.store(key, value, Deadline::Set(None));
    ctx.modified(key, Event::SET);
    ctx.reply.ok();
    Ok(())
}

/// SET with options: a condition (NX, XX, IFEQ and its kin), a deadline, GET.
///
/// Answers OK, or null if the condition does not hold; with GET the old string, or null if there was none, and an error
/// if the key holds another type. A condition that does not hold changes nothing and propagates nothing.
///
/// | request | what is propagated |
/// |---|---|
/// | `SET k v NX`, `SET k v KEEPTTL` | as it came |
/// | `SET k v EX 10` | `SET k v PXAT <ms>` |
/// | `SET k v NX GET` | `SET k v NX` |
/// | `SET k v IFEQ old` | `SET k v` |
/// | `SET k v IFEQ old KEEPTTL` | `SET k v KEEPTTL` |
/// | `SET k v EXAT 1` (a moment in the past) | DEL or UNLINK, if there was such a key |
#[doc(alias = "setGenericCommand")]
fn set_with(ctx: &mut Ctx<'_>, key: &[u8], value: NewValue<'_>, mut args: Args<'_>) -> Result {
    let first_option = args.position();
    let options = Options::read(&mut args, Dialect::Set)?;
    let deadline = options.expiry.deadline(ctx)?;

    let mut wanted = true;
    if options.get || options.if_absent || options.if_present || options.comparison.is_some() {
        let db = &ctx.state.keyspace[ctx.db];
        // GET is a reading lookup, which counts and publishes a miss; a condition is not.
        let entry = if options.get {
            db.get(key)
        } else {
            db.peek(key)
        };
        let found = entry.is_some();
        wanted = !(options.if_absent && found || options.if_present && !found);
        if let Some(comparison) = options.comparison.as_ref().filter(|_| wanted) {
            wanted = match &entry {
                Some(entry) => comparison.holds(entry.string().ok_or(Error::WrongType)?)?,
                None => comparison.holds_for_absent(),
            };
        }
        if options.get {
            match &entry {
                Some(entry) => ctx.reply.string(entry.string().ok_or(Error::WrongType)?),
                None => ctx.reply.null(),
            }
            if !found {
                ctx.missed(key);
            }
        }
    }
    if !wanted {
        if !options.get {
            ctx.reply.null();
        }
        return Ok(());
    }

    match (options.expiry, deadline) {
        (Expiry::At(..), Some(at)) if ctx.is_past(at) => write_over(ctx, key),
        (Expiry::At(unit, _), Some(at)) => {
            write_until(ctx, key, value, at);
            if unit != Unit::PxAt || options.comparison.is_some() {
                rewrite_until(ctx, args.argv(), 2, at);
            }
        }
        (expiry, _) => {
            let deadline = match expiry {
                Expiry::Keep => Deadline::Keep,
                _ => Deadline::Set(None),
            };
            ctx.store(key, value, deadline);
            ctx.modified(key, Event::SET);
            if options.comparison.is_some() {
                rewrite_unconditional(ctx, args.argv(), deadline);
            } else if options.get {
                rewrite_without_get(ctx, args.argv(), first_option);
            }
        }
    }
    if !options.get {
        ctx.reply.ok();
    }
    Ok(())
}

/// Stores a value with a deadline.
fn write_until(ctx: &mut Ctx<'_>, key: &[u8], value: NewValue<'_>, at: Ms) {
    ctx.store(key, value, Deadline::Set(Some(at)));
    ctx.modified(key, Event::SET);
    ctx.notify(key, Event::EXPIRE);
}

/// Stores nothing, because the deadline has passed: what the key held is gone as if the new value had come and expired.
fn write_over(ctx: &mut Ctx<'_>, key: &[u8]) {
    ctx.state.stats.expired_keys += 1;
    if ctx.delete(key, ctx.state.config.lazyfree_lazy_expire) {
        ctx.rewrite_as(&[
            keyspace::act::expire::expire_word(ctx.state).as_bytes(),
            key,
        ]);
        ctx.modified(key, Event::DEL);
    }
}

/// Propagates the write as `SET key value PXAT ms`; `value_at` is the position of the value in the request.
fn rewrite_until(ctx: &mut Ctx<'_>, argv: Argv<'_>, value_at: usize, at: Ms) {
    ctx.rewrite_with(|words| {
        words.push(b"SET");
        words.push_word(argv, 1);
        words.push_word(argv, value_at);
        words.push(b"PXAT");
        words.push_integer(at);
    });
}

/// Propagates a SET whose comparison held without it: older replicas do not know IFEQ and its like.
fn rewrite_unconditional(ctx: &mut Ctx<'_>, argv: Argv<'_>, deadline: Deadline) {
    ctx.rewrite_with(|words| {
        words.push(b"SET");
        words.push_word(argv, 1);
        words.push_word(argv, 2);
        if matches!(deadline, Deadline::Keep) {
            words.push(b"KEEPTTL");
        }
    });
}

/// Propagates a SET as it came, but for the GET in it, which may stand there more than once.
fn rewrite_without_get(ctx: &mut Ctx<'_>, argv: Argv<'_>, first_option: usize) {
    ctx.rewrite_with(|words| {
        let mut takes_argument = false;
        for i in 0..argv.len() {
            let word = argv.get(i);
            let is_option = i >= first_option && !std::mem::take(&mut takes_argument);
            if is_option {
                if word.eq_ignore_ascii_case(b"GET") {
                    continue;
                }
                takes_argument = word.len() > 2 && word[..2].eq_ignore_ascii_case(b"IF");
            }
            words.push_word(argv, i);
        }
    });
}

/// The rights that SET needs to its key depend on its options: with GET or a comparison it reads as well.
#[doc(alias = "setGetKeys")]
fn set_keys(argv: Argv<'_>, keys: &mut Vec<KeyRef>) -> Result {
    const READS: &[&str] = &["GET", "IFEQ", "IFNE", "IFDEQ", "IFDNE"];
    let reads = argv.iter().skip(3).any(|word| {
        READS
            .iter()
            .any(|read| word.eq_ignore_ascii_case(read.as_bytes()))
    });
    let flags: &[KeyFlag] = if reads {
        &[Rw, Access, Update]
    } else {
        &[Ow, Update]
    };
    keys.push(KeyRef { position: 1, flags });
    Ok(())
}

pub(super) const SETNX: Command = Command {
    name: "setnx",
    arity: Arity::Exactly(3),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Ow, Insert])],
    args: &[arg::key("key"), arg::string("value")],
    docs: Docs {
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Makes a key hold a string if there is no such key yet.",
        deprecated: Some(("2.6.12", "`SET` with the `NX` argument")),
        ..Docs::BASE
    },
    run: setnx,
    ..Command::BASE
};

/// Stores a string if the key is missing and answers 1; otherwise answers 0 and propagates nothing.
#[doc(alias = "setnxCommand")]
fn setnx(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let value = args.value()?;
    if ctx.db().contains(key) {
        ctx.reply.integer(0);
        return Ok(());
    }
    ctx.store(key, value, Deadline::Set(None));
    ctx.modified(key, Event::SET);
    ctx.reply.integer(1);
    Ok(())
}

pub(super) const SETEX: Command = Command {
    name: "setex",
    arity: Arity::Exactly(4),
    flags: &[Write, DenyOom],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Ow, Update])],
    args: &[
        arg::key("key"),
        arg::integer("seconds"),
        arg::string("value"),
    ],
    docs: Docs {
        group: Group::String,
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Makes a key hold a string for so many seconds.",
        deprecated: Some(("2.6.12", "`SET` with the `EX` argument")),
        ..Docs::BASE
    },
    run: setex,
    ..Command::BASE
};

#[doc(alias = "setexCommand")]
fn setex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    set_for(ctx, args, Unit::Ex)
}

pub(super) const PSETEX: Command = Command {
    name: "psetex",
    arity: Arity::Exactly(4),
    flags: &[Write, DenyOom],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Ow, Update])],
    args: &[
        arg::key("key"),
        arg::integer("milliseconds"),
        arg::string("value"),
    ],
    docs: Docs {
        group: Group::String,
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Makes a key hold a string for so many milliseconds.",
        deprecated: Some(("2.6.12", "`SET` with the `PX` argument")),
        ..Docs::BASE
    },
    run: psetex,
    ..Command::BASE
};

#[doc(alias = "psetexCommand")]
fn psetex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    set_for(ctx, args, Unit::Px)
}

/// SETEX and PSETEX: stores a string with a deadline. Propagated as `SET key value PXAT <ms>`.
fn set_for(ctx: &mut Ctx<'_>, mut args: Args<'_>, unit: Unit) -> Result {
    let key = args.key()?;
    let at = options::deadline(ctx, unit, args.bytes()?)?;
    let value = args.value()?;
    write_until(ctx, key, value, at);
    rewrite_until(ctx, args.argv(), 3, at);
    ctx.reply.ok();
    Ok(())
}

pub(super) const GETSET: Command = Command {
    name: "getset",
    arity: Arity::Exactly(3),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Rw, Access, Update])],
    args: &[arg::key("key"), arg::string("value")],
    docs: Docs {
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Makes a key hold a string and returns the one it held.",
        deprecated: Some(("6.2.0", "`SET` with the `GET` argument")),
        ..Docs::BASE
    },
    run: getset,
    ..Command::BASE
};

/// Stores a string and answers the one before. Fails if the key holds another type. Propagated as SET; the deadline
/// goes.
#[doc(alias = "getsetCommand")]
fn getset(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let value = args.value()?;
    match ctx.state.keyspace[ctx.db].get_string(key)? {
        Some(string) => ctx.reply.string(string),
        None => {
            ctx.reply.null();
            ctx.missed(key);
        }
    }
    ctx.store(key, value, Deadline::Set(None));
    let argv = args.argv();
    ctx.rewrite_with(|words| {
        words.push(b"SET");
        words.push_word(argv, 1);
        words.push_word(argv, 2);
    });
    ctx.modified(key, Event::SET);
    Ok(())
}

pub(super) const APPEND: Command = Command {
    name: "append",
    arity: Arity::Exactly(3),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Rw, Insert])],
    args: &[arg::key("key"), arg::string("value")],
    docs: Docs {
        group: Group::String,
        since: "2.0.0",
        complexity: "O(1), amortised: the string has room to grow.",
        summary: "Appends to the string a key holds; without one, as SET.",
        ..Docs::BASE
    },
    run: append,
    ..Command::BASE
};

/// Appends to a string and answers its new length in bytes. Fails above `proto-max-bulk-len`; the deadline stays.
#[doc(alias = "appendCommand")]
fn append(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let value = args.value()?;
    let tail = args.argv().get(2);

    let max = ctx.max_string_len();
    let len = match ctx.state.keyspace[ctx.db].string_mut(key)? {
        Some(mut string) => {
            if string.get().len().saturating_add(tail.len()) > max {
                return Err(Error::StringTooLong);
            }
            string.append(tail).map_err(|_| Error::StringTooLong)?
        }
        None => {
            ctx.store(key, value, Deadline::Set(None));
            tail.len()
        }
    };
    ctx.modified(key, Event::string("append"));
    ctx.reply.count(len);
    Ok(())
}

pub(super) const SETRANGE: Command = Command {
    name: "setrange",
    arity: Arity::Exactly(4),
    flags: &[Write, DenyOom],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Rw, Update])],
    args: &[
        arg::key("key"),
        arg::integer("offset"),
        arg::string("value"),
    ],
    docs: Docs {
        group: Group::String,
        since: "2.2.0",
        complexity: "O(1) for a short value; otherwise O(M) where M is the length of the value.",
        summary: "Writes into the string a key holds, from a position on; what lies between its end and there becomes zero bytes.",
        ..Docs::BASE
    },
    run: setrange,
    ..Command::BASE
};

/// Overwrites a string from an offset on and answers its new length in bytes. With `k` holding `ab`, `SETRANGE k 4 xy`
/// makes it `ab\0\0xy`.
///
/// An empty value changes and creates nothing. Fails above `proto-max-bulk-len`, before memory is allocated.
#[doc(alias = "setrangeCommand")]
fn setrange(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let offset = args.integer()?;
    let value = args.bytes()?;
    let offset = usize::try_from(offset).map_err(|_| Error::once("offset is out of range"))?;
    let end = offset.saturating_add(value.len());

    let max = ctx.max_string_len();
    let old = ctx.state.keyspace[ctx.db].string_mut(key)?;
    if value.is_empty() {
        let len = old.map_or(0, |string| string.get().len());
        ctx.reply.count(len);
        return Ok(());
    }
    if end > max {
        return Err(Error::StringTooLong);
    }
    let len = match old {
        Some(mut string) => {
            let bytes = string.bytes_mut(end).map_err(|_| Error::StringTooLong)?;
            bytes[offset..end].copy_from_slice(value);
            bytes.len()
        }
        None => {
            let zeros_then_value = padded(offset, value)?;
            let new = match &zeros_then_value {
                Padded::Short(bytes) => NewValue::RawBytes(&bytes[..end]),
                Padded::Long(string) => NewValue::Big(string.clone()),
            };
            ctx.store(key, new, Deadline::Set(None));
            end
        }
    };
    ctx.modified(key, Event::string("setrange"));
    ctx.reply.count(len);
    Ok(())
}

enum Padded {
    Short([u8; INLINE_MAX]),
    Long(BigStr),
}

/// A string of zero bytes up to `offset`, and the value from there on.
fn padded(offset: usize, value: &[u8]) -> Result<Padded> {
    let end = offset + value.len();
    if end <= INLINE_MAX {
        let mut bytes = [0; INLINE_MAX];
        bytes[offset..end].copy_from_slice(value);
        return Ok(Padded::Short(bytes));
    }
    let mut string = BigStr::try_zeros(end).map_err(|_| Error::StringTooLong)?;
    string.make_mut()[offset..].copy_from_slice(value);
    Ok(Padded::Long(string))
}
