//! Deadlines of keys: EXPIRE and its kin, TTL and its kin, PERSIST.
//!
//! A deadline is kept in milliseconds of unix time, and propagated so, whatever unit it came in: a replica's clock and
//! the time of a replay do not matter.
//!
//! ```text
//!   1700000000.000   EXPIRE k 10             propagated: PEXPIREAT k 1700000010000
//!   1700000003.000   a replica applies it    k still expires at 1700000010.000
//! ```
//!
//! Mirrors: the command half of expire.c.

use super::super::prelude::*;
use crate::command::Arg;
use crate::keyspace;
use crate::keyspace::Ms;
use crate::util::num;

/// The unit in which a command gives its time.
#[derive(Clone, Copy)]
enum Unit {
    Seconds,
    Milliseconds,
}

/// The conditions on which a deadline may be replaced: NX (there is none), XX (there is one), GT (the new one is
/// later), LT (it is earlier). XX may be combined with GT or LT.
#[derive(Clone, Copy, Default)]
struct Conditions {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Conditions {
    #[doc(alias = "parseExtendedExpireArgumentsOrReply")]
    fn read(args: &mut Args<'_>) -> Result<Self> {
        let mut only = Conditions::default();
        while !args.is_empty() {
            if args.word("NX") {
                only.nx = true;
            } else if args.word("XX") {
                only.xx = true;
            } else if args.word("GT") {
                only.gt = true;
            } else if args.word("LT") {
                only.lt = true;
            } else {
                return Err(Error::quoting("ERR Unsupported option ", args.bytes()?, ""));
            }
        }
        if only.nx && (only.xx || only.gt || only.lt) {
            return Err(Error::once(
                "NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if only.gt && only.lt {
            return Err(Error::once(
                "GT and LT options at the same time are not compatible",
            ));
        }
        Ok(only)
    }

    /// Whether a new deadline may replace the old one. A key without a deadline counts as one that never expires, so GT
    /// refuses it and LT accepts it.
    fn allow(self, new: Ms, old: Option<Ms>) -> bool {
        let Some(old) = old else {
            return !self.xx && !self.gt;
        };
        !self.nx && (!self.gt || new > old) && (!self.lt || new < old)
    }
}

/// NX, XX, GT or LT: the deadline that a key or a field must have for a new one to be set.
pub(in crate::commands) const DEADLINE_CONDITION: Arg = arg::one_of(
    "condition",
    &[
        arg::word("nx", "NX"),
        arg::word("xx", "XX"),
        arg::word("gt", "GT"),
        arg::word("lt", "LT"),
    ],
)
.optional();
const CONDITION: Arg = DEADLINE_CONDITION.since("7.0.0");

/// The declaration that EXPIRE, PEXPIRE, EXPIREAT and PEXPIREAT share.
const SETTER: Command = Command {
    arity: Arity::AtLeast(3),
    flags: &[Write, Fast],
    acl: &[Category::Keyspace],
    keys: &[KeySpec::at(1, &[Rw, Update])],
    docs: Docs {
        group: Group::Generic,
        complexity: "O(1)",
        ..Docs::BASE
    },
    ..Command::BASE
};

pub(super) const EXPIRE: Command = Command {
    name: "expire",
    args: &[arg::key("key"), arg::integer("seconds"), CONDITION],
    docs: Docs {
        since: "1.0.0",
        summary: "Gives a key so many seconds to live.",
        ..SETTER.docs
    },
    run: expire,
    ..SETTER
};

#[doc(alias = "expireCommand")]
fn expire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let now = ctx.now_ms();
    set_deadline(ctx, args, Unit::Seconds, now)
}

pub(super) const PEXPIRE: Command = Command {
    name: "pexpire",
    args: &[arg::key("key"), arg::integer("milliseconds"), CONDITION],
    docs: Docs {
        since: "2.6.0",
        summary: "Gives a key so many milliseconds to live.",
        ..SETTER.docs
    },
    run: pexpire,
    ..SETTER
};

#[doc(alias = "pexpireCommand")]
fn pexpire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let now = ctx.now_ms();
    set_deadline(ctx, args, Unit::Milliseconds, now)
}

pub(super) const EXPIREAT: Command = Command {
    name: "expireat",
    args: &[
        arg::key("key"),
        arg::unix_time("unix-time-seconds"),
        CONDITION,
    ],
    docs: Docs {
        since: "1.2.0",
        summary: "Lets a key live until a moment, in seconds of unix time.",
        ..SETTER.docs
    },
    run: expireat,
    ..SETTER
};

#[doc(alias = "expireatCommand")]
fn expireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    set_deadline(ctx, args, Unit::Seconds, 0)
}

pub(super) const PEXPIREAT: Command = Command {
    name: "pexpireat",
    args: &[
        arg::key("key"),
        arg::unix_time("unix-time-milliseconds"),
        CONDITION,
    ],
    docs: Docs {
        since: "2.6.0",
        summary: "Lets a key live until a moment, in milliseconds of unix time.",
        ..SETTER.docs
    },
    run: pexpireat,
    ..SETTER
};

#[doc(alias = "pexpireatCommand")]
fn pexpireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    set_deadline(ctx, args, Unit::Milliseconds, 0)
}

/// Sets the deadline of a key and answers 1; 0 if the key is missing or a condition does not hold. `base` is the unix
/// time in milliseconds that the given time is added to: now, or 0.
///
/// A moment in the past deletes the key, which is propagated as DEL or UNLINK. Otherwise the command is propagated as
/// PEXPIREAT, with its conditions.
#[doc(alias = "expireGenericCommand")]
fn set_deadline(ctx: &mut Ctx<'_>, mut args: Args<'_>, unit: Unit, base: Ms) -> Result {
    let key = args.key()?;
    let time = args.bytes()?;
    let first_option = args.position();
    let only = Conditions::read(&mut args)?;
    let time = num::parse_i64(time).ok_or(Error::NotInteger)?;
    let ms = match unit {
        Unit::Seconds => time.checked_mul(1000),
        Unit::Milliseconds => Some(time),
    };
    let at = ms
        .and_then(|ms| ms.checked_add(base))
        .ok_or_else(|| Error::InvalidExpire(ctx.name()))?;

    let past = ctx.is_past(at);
    let entry = ctx.state.keyspace[ctx.db].get_mut(key);
    let Some(mut entry) = entry.filter(|entry| only.allow(at, entry.deadline())) else {
        ctx.reply.integer(0);
        return Ok(());
    };
    if past {
        ctx.delete(key, ctx.state.config.lazyfree_lazy_expire);
        ctx.rewrite_as(&[
            keyspace::act::expire::expire_word(ctx.state).as_bytes(),
            key,
        ]);
        ctx.modified(key, Event::DEL);
    } else {
        entry.set_deadline(Some(at));
        if base != 0 || matches!(unit, Unit::Seconds) {
            let argv = args.argv();
            ctx.rewrite_with(|words| {
                words.push(b"PEXPIREAT");
                words.push_word(argv, 1);
                words.push_integer(at);
                (first_option..argv.len()).for_each(|i| words.push_word(argv, i));
            });
        }
        ctx.modified(key, Event::EXPIRE);
    }
    ctx.reply.integer(1);
    Ok(())
}

/// The declaration that TTL, PTTL, EXPIRETIME and PEXPIRETIME share.
const GETTER: Command = Command {
    arity: Arity::Exactly(2),
    flags: &[ReadOnly, Fast],
    acl: &[Category::Keyspace],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key")],
    docs: Docs {
        group: Group::Generic,
        complexity: "O(1)",
        ..Docs::BASE
    },
    ..Command::BASE
};

pub(super) const TTL: Command = Command {
    name: "ttl",
    tips: &["nondeterministic_output"],
    docs: Docs {
        since: "1.0.0",
        summary: "Returns how many seconds a key has to live; -1 if it has no deadline, -2 if there is no such key.",
        ..GETTER.docs
    },
    run: ttl,
    ..GETTER
};

#[doc(alias = "ttlCommand")]
fn ttl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let now = ctx.now_ms();
    tell_deadline(ctx, args, Unit::Seconds, now)
}

pub(super) const PTTL: Command = Command {
    name: "pttl",
    tips: &["nondeterministic_output"],
    docs: Docs {
        since: "2.6.0",
        summary: "Returns how many milliseconds a key has to live; -1 if it has no deadline, -2 if there is no such key.",
        ..GETTER.docs
    },
    run: pttl,
    ..GETTER
};

#[doc(alias = "pttlCommand")]
fn pttl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let now = ctx.now_ms();
    tell_deadline(ctx, args, Unit::Milliseconds, now)
}

pub(super) const EXPIRETIME: Command = Command {
    name: "expiretime",
    docs: Docs {
        since: "7.0.0",
        summary: "Returns a key's deadline in seconds of unix time; -1 if it has none, -2 if there is no such key.",
        ..GETTER.docs
    },
    run: expiretime,
    ..GETTER
};

#[doc(alias = "expiretimeCommand")]
fn expiretime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    tell_deadline(ctx, args, Unit::Seconds, 0)
}

pub(super) const PEXPIRETIME: Command = Command {
    name: "pexpiretime",
    docs: Docs {
        since: "7.0.0",
        summary: "Returns a key's deadline in milliseconds of unix time; -1 if it has none, -2 if there is no such key.",
        ..GETTER.docs
    },
    run: pexpiretime,
    ..GETTER
};

#[doc(alias = "pexpiretimeCommand")]
fn pexpiretime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    tell_deadline(ctx, args, Unit::Milliseconds, 0)
}

/// TTL, PTTL, EXPIRETIME and PEXPIRETIME: answers how long a key has left or when it expires; -1 without a deadline, -2
/// for a missing key. Seconds are rounded to the nearest.
#[doc(alias = "ttlGenericCommand")]
fn tell_deadline(ctx: &mut Ctx<'_>, mut args: Args<'_>, unit: Unit, base: Ms) -> Result {
    let key = args.key()?;
    let Some(entry) = ctx.db().get_untouched(key) else {
        ctx.missed(key);
        ctx.reply.integer(-2);
        return Ok(());
    };
    let answer = match entry.deadline() {
        None => -1,
        Some(at) => {
            let ms = at.saturating_sub(base).max(0);
            match unit {
                Unit::Seconds => ms.saturating_add(500) / 1000,
                Unit::Milliseconds => ms,
            }
        }
    };
    ctx.reply.integer(answer);
    Ok(())
}

pub(super) const PERSIST: Command = Command {
    name: "persist",
    arity: Arity::Exactly(2),
    flags: &[Write, Fast],
    acl: &[Category::Keyspace],
    keys: &[KeySpec::at(1, &[Rw, Update])],
    args: &[arg::key("key")],
    docs: Docs {
        group: Group::Generic,
        since: "2.2.0",
        complexity: "O(1)",
        summary: "Takes a key's deadline away.",
        ..Docs::BASE
    },
    run: persist,
    ..Command::BASE
};

/// Removes the deadline of a key and answers 1; 0 if it is missing or has none, and nothing is propagated then.
#[doc(alias = "persistCommand")]
fn persist(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let entry = ctx.db().get_mut(key);
    let changed = entry.is_some_and(|mut entry| entry.set_deadline(None));
    if changed {
        ctx.modified(key, Event::PERSIST);
    }
    ctx.reply.integer(changed.into());
    Ok(())
}
