//! Commands that look at all values in a range: ARGREP finds values by their text, AROP makes one number of them.
//!
//! ```text
//!   ARSET a 0 apple 3 4.5 pear               values at indexes 0 to 3
//!   ARGREP a - + MATCH P NOCASE              0 3       indexes of values that contain a p
//!   ARGREP a - + GLOB a* RE ^[0-9] WITHVALUES          apple, 3 and 4.5: one predicate is enough, unless AND is given
//!   AROP a 0 9 SUM                           "7.5"     values that are no numbers are passed over
//! ```
//!
//! Mirrors: `argrepCommand()` and `aropCommand()` of t_array.c.
//! Differs: regular expressions are matched in linear time (`util/regex.rs`).

use std::ops::ControlFlow;

use super::super::prelude::*;
use super::{array_or_miss, index, pair, positive_limit};
use crate::collections::listpack::LpEntry;
use crate::sys::bytes;
use crate::util::glob::{self, Case};
use crate::util::long_double::LongDouble;
use crate::util::num::{IntBuf, parse_i64};
use crate::util::regex::{Invalid, Regex};

pub(super) const ARGREP: Command = Command {
    name: "argrep",
    arity: Arity::AtLeast(6),
    flags: &[ReadOnly],
    acl: &[Category::Array],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::string("start"),
        arg::string("end"),
        arg::one_of(
            "predicate",
            &[
                arg::block(
                    "exact",
                    &[arg::word("exact", "EXACT"), arg::string("string")],
                ),
                arg::block(
                    "match",
                    &[arg::word("match", "MATCH"), arg::string("string")],
                ),
                arg::block("glob", &[arg::word("glob", "GLOB"), arg::string("pattern")]),
                arg::block("re", &[arg::word("re", "RE"), arg::string("pattern")]),
            ],
        )
        .multiple(),
        arg::one_of(
            "options",
            &[
                arg::word("and", "AND"),
                arg::word("or", "OR"),
                arg::integer("limit").token("LIMIT"),
                arg::word("withvalues", "WITHVALUES"),
                arg::word("nocase", "NOCASE"),
            ],
        )
        .optional()
        .multiple(),
    ],
    docs: Docs {
        group: Group::Array,
        since: "8.8.0",
        complexity: "O(N*C) where N is the number of values in the range and C the cost of the predicates.",
        summary: "Finds the values of an array whose text satisfies predicates.",
        ..Docs::BASE
    },
    run: argrep,
    ..Command::BASE
};

/// The largest number of predicates in one call.
#[doc(alias = "ARGREP_MAX_PREDICATES")]
const PREDICATES_MAX: usize = 250;
#[doc(alias = "ARGREP_MAX_RE_LEN")]
const REGEX_MAX: usize = 2048;

/// A condition on the text of a value.
#[derive(Debug)]
enum Predicate<'a> {
    Exact(&'a [u8]),
    Contains(&'a [u8]),
    Glob(&'a [u8]),
    Regex(Regex),
}

/// The arguments of ARGREP.
#[derive(Debug)]
struct Search<'a> {
    predicates: Vec<Predicate<'a>>,
    all: bool,
    any_case: bool,
    with_values: bool,
    limit: u64,
}

impl<'a> Search<'a> {
    #[doc(alias = "arGrepParsePlanOrReply")]
    fn take(mut args: Args<'a>) -> Result<Self> {
        const WORDS: [&str; 4] = ["EXACT", "MATCH", "GLOB", "RE"];
        let mut texts: Vec<(&str, &[u8])> = Vec::new();
        let (mut all, mut any_case, mut with_values) = (false, false, false);
        let mut limit = u64::MAX;
        while !args.is_empty() {
            if let Some(word) = WORDS.iter().find(|word| args.word(word)) {
                let text = args.bytes()?;
                if texts.len() >= PREDICATES_MAX {
                    return Err(Error::once(format!(
                        "too many predicates, maximum is {PREDICATES_MAX}"
                    )));
                }
                if *word == "RE" && text.len() > REGEX_MAX {
                    return Err(Error::once(format!(
                        "regular expression is too long, maximum is {REGEX_MAX} bytes"
                    )));
                }
                texts.push((word, text));
            } else if args.word("LIMIT") {
                limit = positive_limit(&mut args)?;
            } else if args.word("WITHVALUES") {
                with_values = true;
            } else if args.word("NOCASE") {
                any_case = true;
            } else if args.word("AND") {
                all = true;
            } else if args.word("OR") {
                all = false;
            } else {
                return Err(Error::Syntax);
            }
        }
        if texts.is_empty() {
            return Err(Error::Syntax);
        }
        let predicate = |(word, text)| match word {
            "EXACT" => Ok(Predicate::Exact(text)),
            "MATCH" => Ok(Predicate::Contains(text)),
            "GLOB" => Ok(Predicate::Glob(text)),
            _ => regex(text, any_case).map(Predicate::Regex),
        };
        Ok(Search {
            predicates: texts.into_iter().map(predicate).collect::<Result<_>>()?,
            all,
            any_case,
            with_values,
            limit,
        })
    }

    fn accepts(&self, text: &[u8]) -> bool {
        let equal = |a: &[u8], b: &[u8]| {
            if self.any_case {
                a.eq_ignore_ascii_case(b)
            } else {
                a == b
            }
        };
        let case = if self.any_case {
            Case::Ignored
        } else {
            Case::Sensitive
        };
        let mut holds = self.predicates.iter().map(|predicate| match predicate {
            Predicate::Exact(wanted) => equal(text, wanted),
            Predicate::Contains(part) if self.any_case => contains_any_case(text, part),
            Predicate::Contains(part) => bytes::position(text, part).is_some(),
            Predicate::Glob(pattern) => glob::matches(pattern, text, case),
            Predicate::Regex(regex) => regex.is_match(text),
        });
        if self.all {
            holds.all(|holds| holds)
        } else {
            holds.any(|holds| holds)
        }
    }
}

/// Whether a text contains another, whatever the case of their letters. O(both lengths): long ones are copied first.
fn contains_any_case(text: &[u8], part: &[u8]) -> bool {
    const SHORT: usize = 4096;
    if !part.is_empty() && text.len().saturating_mul(part.len()) <= SHORT {
        let mut windows = text.windows(part.len());
        return windows.any(|here| here.eq_ignore_ascii_case(part));
    }
    bytes::position(&text.to_ascii_lowercase(), &part.to_ascii_lowercase()).is_some()
}

fn regex(text: &[u8], any_case: bool) -> Result<Regex> {
    if text.is_empty() {
        return Err(Error::once("regular expression is empty"));
    }
    Regex::new(text, any_case).map_err(|error| match error {
        Invalid::Backreference => {
            Error::once("regular expression backreferences are not supported")
        }
        error => Error::once(format!("invalid regular expression: {}", error.text())),
    })
}

/// One end of a range: an index, or `-` and `+` for the array's own ends.
enum Bound {
    First,
    Last,
    At(u64),
}

impl Bound {
    #[doc(alias = "arGrepParseBoundOrReply")]
    fn take(args: &mut Args<'_>) -> Result<Self> {
        if args.word("-") {
            return Ok(Bound::First);
        }
        if args.word("+") {
            return Ok(Bound::Last);
        }
        index(args).map(Bound::At)
    }

    fn index(&self, last: u64) -> u64 {
        match self {
            Bound::First => 0,
            Bound::Last => last,
            Bound::At(index) => *index,
        }
    }
}

/// Answers the indexes, with WITHVALUES also the values, of all values in a range that meet one predicate, or all of
/// them with AND. `-` and `+` stand for the first and the last index. Ends early at LIMIT, and when the client exceeds
/// its output limit.
#[doc(alias = "argrepCommand")]
fn argrep(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let (start, end) = (Bound::take(&mut args)?, Bound::take(&mut args)?);
    let search = Search::take(args)?;
    let Some(array) = array_or_miss(ctx, key)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let last = array.len().saturating_sub(1);
    let (mut count, mark) = (0, ctx.reply.open());
    let mut digits = IntBuf::new();
    let _ = array.visit(start.index(last), end.index(last), &mut |index, found| {
        if !search.accepts(found.as_bytes(&mut digits)) {
            return ControlFlow::Continue(());
        }
        if search.with_values {
            pair(ctx.reply, index, found);
        } else {
            ctx.reply.unsigned(index);
        }
        count += 1;
        if count as u64 >= search.limit || ctx.reply.overflowed() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    ctx.reply.close_array(mark, count);
    Ok(())
}

pub(super) const AROP: Command = Command {
    name: "arop",
    arity: Arity::AtLeast(5),
    flags: &[ReadOnly],
    acl: &[Category::Array],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::integer("start"),
        arg::integer("end"),
        arg::one_of(
            "operation",
            &[
                arg::word("sum", "SUM"),
                arg::word("min", "MIN"),
                arg::word("max", "MAX"),
                arg::word("and", "AND"),
                arg::word("or", "OR"),
                arg::word("xor", "XOR"),
                arg::block(
                    "match",
                    &[arg::word("match", "MATCH"), arg::string("value")],
                ),
                arg::word("used", "USED"),
            ],
        ),
    ],
    docs: Docs {
        group: Group::Array,
        since: "8.8.0",
        complexity: "O(N) where N is the number of values in the range.",
        summary: "Adds up, compares or counts the values of an array in a range.",
        ..Docs::BASE
    },
    run: arop,
    ..Command::BASE
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Sum,
    Min,
    Max,
    And,
    Or,
    Xor,
    Match,
    Used,
}

const OPERATIONS: [(&str, Operation); 8] = [
    ("SUM", Operation::Sum),
    ("MIN", Operation::Min),
    ("MAX", Operation::Max),
    ("AND", Operation::And),
    ("OR", Operation::Or),
    ("XOR", Operation::Xor),
    ("MATCH", Operation::Match),
    ("USED", Operation::Used),
];

/// A value as a number, if it is one.
enum Number {
    Whole(i64),
    Float(LongDouble),
}

impl Number {
    fn of(entry: LpEntry<'_>) -> Option<Number> {
        match entry {
            LpEntry::Int(n) => Some(Number::Whole(n)),
            LpEntry::Str(text) => match parse_i64(text) {
                Some(n) => Some(Number::Whole(n)),
                None => LongDouble::parse(text).map(Number::Float),
            },
        }
    }

    fn float(&self) -> LongDouble {
        match self {
            Number::Whole(n) => LongDouble::from(*n),
            Number::Float(number) => *number,
        }
    }

    /// The number cut to an integer, towards zero; `None` if it does not fit 64 bits.
    fn whole(&self) -> Option<i64> {
        match self {
            Number::Whole(n) => Some(*n),
            Number::Float(number) => number.truncated(),
        }
    }
}

/// Makes one number of the values in a range: SUM, MIN or MAX in extended precision; AND, OR or XOR of integers; the
/// number of values (USED) or of values equal to a text (MATCH).
///
/// Values that are no numbers are passed over; if there are no others, the answer is null. Floating-point numbers are
/// cut to integers for the bitwise operations. Changes nothing. O(values in the range).
#[doc(alias = "aropCommand")]
fn arop(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let (start, end) = (index(&mut args)?, index(&mut args)?);
    let found = OPERATIONS.iter().find(|(word, _)| args.word(word));
    let Some((_, operation)) = found.copied() else {
        return Err(Error::once("unknown operation"));
    };
    let wanted = match (operation, args.len()) {
        (Operation::Match, 1) => args.bytes()?,
        (Operation::Match, _) => return Err(Error::once("MATCH requires a value argument")),
        (_, 0) => b"",
        _ => return Err(Error::WrongArity(ctx.name())),
    };
    let Some(array) = array_or_miss(ctx, key)? else {
        match operation {
            Operation::Match | Operation::Used => ctx.reply.integer(0),
            _ => ctx.reply.null(),
        }
        return Ok(());
    };
    let values = |f: &mut dyn FnMut(LpEntry<'_>)| {
        let _ = array.visit(start, end, &mut |_, value| {
            f(value);
            ControlFlow::<()>::Continue(())
        });
    };
    match operation {
        Operation::Match | Operation::Used => {
            let (mut count, mut digits) = (0, IntBuf::new());
            values(&mut |value| {
                let counts = operation == Operation::Used || value.as_bytes(&mut digits) == wanted;
                count += usize::from(counts);
            });
            ctx.reply.count(count);
        }
        Operation::And | Operation::Or | Operation::Xor => {
            let mut result = None;
            values(&mut |value| {
                let Some(bits) = Number::of(value).and_then(|number| number.whole()) else {
                    return;
                };
                result = Some(match (result, operation) {
                    (None, _) => bits,
                    (Some(all), Operation::And) => all & bits,
                    (Some(all), Operation::Or) => all | bits,
                    (Some(all), _) => all ^ bits,
                });
            });
            match result {
                Some(bits) => ctx.reply.integer(bits),
                None => ctx.reply.null(),
            }
        }
        Operation::Sum | Operation::Min | Operation::Max => {
            // The outer `None` means no number yet; the inner one, that a sum of both infinities is no number and stays
            // so.
            let mut result: Option<Option<LongDouble>> = None;
            values(&mut |value| {
                let Some(number) = Number::of(value).map(|number| number.float()) else {
                    return;
                };
                result = Some(match (result, operation) {
                    (None, _) => Some(number),
                    (Some(sum), Operation::Sum) => sum.and_then(|sum| sum.checked_add(number)),
                    (Some(Some(best)), Operation::Min) if best.is_below(&number) => Some(best),
                    (Some(Some(best)), Operation::Max) if number.is_below(&best) => Some(best),
                    (Some(_), _) => Some(number),
                });
            });
            match result {
                Some(Some(number)) => ctx.reply.bulk(number.format_general().as_bytes()),
                Some(None) => ctx.reply.bulk(b"-nan"),
                None => ctx.reply.null(),
            }
        }
    }
    Ok(())
}
