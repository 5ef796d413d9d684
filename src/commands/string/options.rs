//! The options that the string commands share: the deadline of a key, and the condition on which it is written.
//!
//! A deadline is given in one of four units and becomes unix time in milliseconds here. At 1,700,000,000,000 ms these
//! are the same deadline: `EX 10`, `PX 10000`, `EXAT 1700000010`, `PXAT 1700000010000`.
//!
//! Mirrors: `parseExtendedStringArgumentsOrReply()` and `getExpireMillisecondsOrReply()` of t_string.c.

use super::super::prelude::*;
use super::compare::Comparison;
use crate::keyspace::Ms;
use crate::util::num;

/// The unit in which a deadline is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Seconds from now.
    Ex,
    /// Milliseconds from now.
    Px,
    /// Unix time in seconds.
    ExAt,
    /// Unix time in milliseconds.
    PxAt,
}

impl Unit {
    /// Whether the unit gives a moment, not a span of time.
    pub fn is_absolute(self) -> bool {
        matches!(self, Unit::ExAt | Unit::PxAt)
    }
}

/// The change that a request makes to a key's deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Expiry<'a> {
    /// The request has no such option.
    #[default]
    Unsaid,
    /// KEEPTTL
    Keep,
    /// PERSIST
    Persist,
    /// A new deadline: its unit and its amount, not parsed yet, because some errors come first.
    At(Unit, &'a [u8]),
}

/// The command whose options are read; each knows others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Set,
    GetEx,
    MSetEx,
}

/// The options that follow the key and the value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options<'a> {
    pub expiry: Expiry<'a>,
    /// NX
    pub if_absent: bool,
    /// XX
    pub if_present: bool,
    /// IFEQ and its kin.
    pub comparison: Option<Comparison<'a>>,
    /// GET
    pub get: bool,
}

impl<'a> Expiry<'a> {
    /// Takes an expiry option if one comes next and is allowed. The last of several equal options counts.
    pub fn read(&mut self, args: &mut Args<'a>) -> bool {
        let known = [
            ("EX", Unit::Ex),
            ("PX", Unit::Px),
            ("EXAT", Unit::ExAt),
            ("PXAT", Unit::PxAt),
        ];
        for (word, unit) in known {
            let allowed = match *self {
                Expiry::Unsaid => true,
                Expiry::At(said, _) => said == unit,
                _ => false,
            };
            if allowed
                && args.word_with(word, 1)
                && let Some(amount) = args.next()
            {
                *self = Expiry::At(unit, amount);
                return true;
            }
        }
        false
    }

    fn read_word(&mut self, args: &mut Args<'a>, word: &str, meaning: Expiry<'a>) -> bool {
        if (*self == Expiry::Unsaid || *self == meaning) && args.word(word) {
            *self = meaning;
            return true;
        }
        false
    }

    /// PERSIST
    pub fn read_persist(&mut self, args: &mut Args<'a>) -> bool {
        self.read_word(args, "PERSIST", Expiry::Persist)
    }

    /// The new deadline, if one was given.
    pub fn deadline(&self, ctx: &Ctx<'_>) -> Result<Option<Ms>> {
        match *self {
            Expiry::At(unit, amount) => deadline(ctx, unit, amount).map(Some),
            _ => Ok(None),
        }
    }
}

impl<'a> Options<'a> {
    /// Reads all remaining arguments as options.
    pub fn read(args: &mut Args<'a>, dialect: Dialect) -> Result<Self> {
        let mut options = Options::default();
        while !args.is_empty() {
            if !options.read_one(args, dialect) {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }

    fn read_one(&mut self, args: &mut Args<'a>, dialect: Dialect) -> bool {
        if self.expiry.read(args) {
            return true;
        }
        if dialect == Dialect::GetEx {
            return self.expiry.read_persist(args);
        }
        if self.expiry.read_word(args, "KEEPTTL", Expiry::Keep) {
            return true;
        }
        if !self.if_present && args.word("NX") {
            self.if_absent = true;
            return true;
        }
        if !self.if_absent && args.word("XX") {
            self.if_present = true;
            return true;
        }
        if dialect == Dialect::MSetEx {
            return false;
        }
        if args.word("GET") {
            self.get = true;
            return true;
        }
        // As in Redis, NX and XX may stand behind a comparison but not before it.
        if !self.if_absent
            && !self.if_present
            && let Some(comparison) = Comparison::read(args)
            && self
                .comparison
                .is_none_or(|said| said.is_same_kind(&comparison))
        {
            self.comparison = Some(comparison);
            return true;
        }
        false
    }
}

/// A deadline as unix time in milliseconds.
pub(super) fn deadline(ctx: &Ctx<'_>, unit: Unit, amount: &[u8]) -> Result<Ms> {
    let amount = num::parse_i64(amount).ok_or(Error::NotInteger)?;
    let scaled = match unit {
        Unit::Ex | Unit::ExAt => amount.checked_mul(1000),
        Unit::Px | Unit::PxAt => Some(amount),
    };
    let at = match unit {
        Unit::Ex | Unit::Px => scaled.and_then(|ms| ms.checked_add(ctx.now_ms())),
        Unit::ExAt | Unit::PxAt => scaled,
    };
    at.filter(|_| amount > 0)
        .ok_or_else(|| Error::InvalidExpire(ctx.name()))
}
