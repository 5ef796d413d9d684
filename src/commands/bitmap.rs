//! Bitmaps: strings, bit by bit.
//!
//! Bit 0 is the highest bit of the first byte, so `SETBIT k 7 1` makes a missing key the string `\x01`.
//!
//! Mirrors: the command half of bitops.c; the pure half is `types/bitmap.rs`.
//! Differs: BITOP DIFF, DIFF1, ANDOR and ONE are propagated as SET or DEL of the result.

use super::prelude::*;
use crate::collections::table::Deadline;
use crate::command::{KeyFlag, KeyRef};
use crate::keyspace::NewValue;
use crate::resp::argv::Argv;
use crate::types::bitmap::{self, Field, Operation, Overflow, Unit};
use crate::util::num::IntBuf;

pub const COMMANDS: &[&Command] = &[
    &BITCOUNT,
    &BITFIELD,
    &BITFIELD_RO,
    &BITOP,
    &BITPOS,
    &GETBIT,
    &SETBIT,
];

const BITCOUNT: Command = Command {
    name: "bitcount",
    arity: Arity::AtLeast(2),
    flags: &[ReadOnly],
    acl: &[Category::Bitmap],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::block(
            "range",
            &[
                arg::integer("start"),
                arg::integer("end"),
                arg::one_of(
                    "unit",
                    &[arg::word("byte", "BYTE"), arg::word("bit", "BIT")],
                )
                .optional()
                .since("7.0.0"),
            ],
        )
        .optional(),
    ],
    docs: Docs {
        group: Group::Bitmap,
        since: "2.6.0",
        complexity: "O(N) where N is the length of the string",
        summary: "Counts the bits that are set in a string, or in a part of it.",
        ..Docs::BASE
    },
    run: bitcount,
    ..Command::BASE
};

/// Answers how many bits are set, in all of a string or in a range of bytes or bits; negative positions count from the
/// end.
#[doc(alias = "bitcountCommand")]
fn bitcount(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let range = match args.len() {
        0 => None,
        2 | 3 => Some((args.integer()?, args.integer()?, unit(&mut args)?)),
        _ => return Err(Error::Syntax),
    };

    let count = match ctx.state.keyspace[ctx.db].get_string(key)? {
        None => {
            ctx.missed(key);
            0
        }
        Some(string) => {
            let mut digits = IntBuf::new();
            let bytes = string.as_bytes(&mut digits);
            match range {
                None => bitmap::count(bytes),
                Some((start, end, unit)) => bitmap::count_range(bytes, start, end, unit),
            }
        }
    };
    ctx.reply.integer(count as i64);
    Ok(())
}

/// `BYTE`, `BIT` or nothing at the end of a range.
fn unit(args: &mut Args<'_>) -> Result<Unit> {
    let unit = if args.word("BIT") {
        Unit::Bit
    } else {
        args.word("BYTE");
        Unit::Byte
    };
    args.end()?;
    Ok(unit)
}

const BITFIELD: Command = Command {
    name: "bitfield",
    arity: Arity::AtLeast(2),
    flags: &[Write, DenyOom],
    acl: &[Category::Bitmap],
    keys: &[KeySpec::at(1, &[Rw, Access, Update, VariableFlags])],
    find_keys: Some(bitfield_keys),
    args: &[
        arg::key("key"),
        arg::one_of(
            "operation",
            &[
                arg::block(
                    "get-block",
                    &[arg::string("encoding"), arg::integer("offset")],
                )
                .token("GET"),
                arg::block(
                    "write",
                    &[
                        arg::one_of(
                            "overflow-block",
                            &[
                                arg::word("wrap", "WRAP"),
                                arg::word("sat", "SAT"),
                                arg::word("fail", "FAIL"),
                            ],
                        )
                        .token("OVERFLOW")
                        .optional(),
                        arg::one_of(
                            "write-operation",
                            &[
                                arg::block(
                                    "set-block",
                                    &[
                                        arg::string("encoding"),
                                        arg::integer("offset"),
                                        arg::integer("value"),
                                    ],
                                )
                                .token("SET"),
                                arg::block(
                                    "incrby-block",
                                    &[
                                        arg::string("encoding"),
                                        arg::integer("offset"),
                                        arg::integer("increment"),
                                    ],
                                )
                                .token("INCRBY"),
                            ],
                        ),
                    ],
                ),
            ],
        )
        .optional()
        .multiple(),
    ],
    docs: Docs {
        group: Group::Bitmap,
        since: "3.2.0",
        complexity: "O(1) for each operation",
        summary: "Reads, sets and adds to integers of any width inside a string.",
        ..Docs::BASE
    },
    run: bitfield,
    ..Command::BASE
};

/// Reads, sets and adds to integers of 1 to 64 bits at any bit of a string. All steps are parsed before the first runs,
/// so a syntax error changes nothing; the steps then run in order, and each answers one integer or null.
///
/// OVERFLOW decides what a sum outside of its field's range becomes; it holds for the steps that follow it. With `u8`
/// at 0 holding 250, each of these alone:
///
/// ```text
///   BITFIELD k INCRBY u8 0 10                  4      WRAP, the default: 260 modulo 256
///   BITFIELD k OVERFLOW SAT INCRBY u8 0 10     255    SAT: the nearest number that fits
///   BITFIELD k OVERFLOW FAIL INCRBY u8 0 10    null   FAIL: this step changes nothing, the others run
/// ```
#[doc(alias = "bitfieldCommand")]
fn bitfield(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let steps = steps(ctx, &mut args)?;
    run_steps(ctx, key, &steps)
}

/// One operation of BITFIELD.
struct Step {
    field: Field,
    offset: u64,
    what: StepKind,
}

enum StepKind {
    Get,
    Set(i64, Overflow),
    Add(i64, Overflow),
}

fn steps(ctx: &Ctx<'_>, args: &mut Args<'_>) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut overflow = Overflow::Wrap;
    while let Some(word) = args.next() {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        if is("OVERFLOW") && !args.is_empty() {
            overflow = Overflow::parse(args.bytes()?)
                .ok_or(Error::once("Invalid OVERFLOW type specified"))?;
            continue;
        }
        let wanted = if is("GET") {
            2
        } else if is("SET") || is("INCRBY") {
            3
        } else {
            return Err(Error::Syntax);
        };
        if args.len() < wanted {
            return Err(Error::Syntax);
        }
        let field = Field::parse(args.bytes()?).ok_or(Error::once(
            "Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        ))?;
        let end = |offset: u64| offset.checked_add(u64::from(field.bits()));
        let offset = field
            .parse_offset(args.bytes()?)
            .filter(|offset| end(*offset).is_some() && offset >> 3 < ctx.max_string_len() as u64)
            .ok_or(BAD_OFFSET)?;
        let what = if is("GET") {
            StepKind::Get
        } else if is("SET") {
            StepKind::Set(args.integer()?, overflow)
        } else {
            StepKind::Add(args.integer()?, overflow)
        };
        steps.push(Step {
            field,
            offset,
            what,
        });
    }
    Ok(steps)
}

/// Runs the steps of BITFIELD. Steps that only read leave the key alone; otherwise the string is first made long enough
/// for every step that writes. Propagated as it came if a bit changed or the string grew.
fn run_steps(ctx: &mut Ctx<'_>, key: &[u8], steps: &[Step]) -> Result {
    let last_written = steps
        .iter()
        .filter(|step| !matches!(step.what, StepKind::Get));
    let last_bit = last_written
        .map(|step| step.offset + u64::from(step.field.bits()) - 1)
        .max();

    let Some(last_bit) = last_bit else {
        let string = ctx.state.keyspace[ctx.db].get_string(key)?;
        let mut digits = IntBuf::new();
        let bytes = string
            .as_ref()
            .map_or(&[][..], |string| string.as_bytes(&mut digits));
        ctx.reply.array(steps.len());
        for step in steps {
            ctx.reply.integer(step.field.read(bytes, step.offset));
        }
        if string.is_none() {
            ctx.missed(key);
        }
        return Ok(());
    };

    let grown = make_room(ctx, key, last_bit)?;
    let mut changes = 0;
    let (db, reply) = (&mut ctx.state.keyspace[ctx.db], &mut *ctx.reply);
    if let Some(mut string) = db.string_mut(key)? {
        let bytes = string.bytes_mut(0).map_err(|_| Error::StringTooLong)?;
        reply.array(steps.len());
        for step in steps {
            let old = step.field.read(bytes, step.offset);
            let (new, answer) = match step.what {
                StepKind::Get => {
                    reply.integer(old);
                    continue;
                }
                StepKind::Set(value, overflow) => (step.field.fit(value, overflow), Some(old)),
                StepKind::Add(by, overflow) => {
                    let new = step.field.add(old, by, overflow);
                    (new, new)
                }
            };
            match (new, answer) {
                (Some(new), Some(answer)) => {
                    step.field.write(bytes, step.offset, new);
                    changes += usize::from(grown || new != old);
                    reply.integer(answer);
                }
                _ => reply.null(),
            }
        }
    }
    // All steps may have failed (OVERFLOW FAIL): the key is longer nevertheless, or new, so the command must be
    // propagated.
    if changes > 0 || grown {
        ctx.modified_n(key, Event::string("setbit"), changes.max(1));
    }
    Ok(())
}

const BAD_OFFSET: Error = Error::Once(std::borrow::Cow::Borrowed(
    "bit offset is not an integer or out of range",
));

/// Makes the key hold a string of raw bytes that reaches up to a bit; whether it had to grow for it.
#[doc(alias = "lookupStringForBitCommand")]
fn make_room(ctx: &mut Ctx<'_>, key: &[u8], last_bit: u64) -> Result<bool> {
    let len = (last_bit >> 3) as usize + 1;
    if len > ctx.max_string_len() {
        return Err(Error::StringTooLong);
    }
    if let Some(mut string) = ctx.db().string_mut(key)? {
        let old_len = string.get().len();
        string.bytes_mut(len).map_err(|_| Error::StringTooLong)?;
        return Ok(old_len < len);
    }
    ctx.store(key, NewValue::RawBytes(b""), Deadline::Set(None));
    if let Some(mut string) = ctx.db().string_mut(key)? {
        string.bytes_mut(len).map_err(|_| Error::StringTooLong)?;
    }
    Ok(true)
}

/// The rights that BITFIELD needs to its key: a request of GETs alone only reads.
#[doc(alias = "bitfieldGetKeys")]
fn bitfield_keys(argv: Argv<'_>, keys: &mut Vec<KeyRef>) -> Result {
    let mut words = argv.iter().skip(2);
    let mut reads = true;
    while let Some(word) = words.next() {
        let is = |known: &str| word.eq_ignore_ascii_case(known.as_bytes());
        let skipped = match () {
            () if is("GET") => 2,
            () if is("OVERFLOW") => 1,
            () => {
                reads = false;
                break;
            }
        };
        reads &= words.nth(skipped - 1).is_some();
    }
    let flags: &[KeyFlag] = if reads {
        &[Ro, Access]
    } else {
        &[Rw, Access, Update]
    };
    keys.push(KeyRef { position: 1, flags });
    Ok(())
}

const BITFIELD_RO: Command = Command {
    name: "bitfield_ro",
    arity: Arity::AtLeast(2),
    flags: &[ReadOnly, Fast],
    acl: &[Category::Bitmap],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::block(
            "get-block",
            &[arg::string("encoding"), arg::integer("offset")],
        )
        .token("GET")
        .optional()
        .multiple_token(),
    ],
    docs: Docs {
        group: Group::Bitmap,
        since: "6.0.0",
        complexity: "O(1) for each operation",
        summary: "Reads integers of any width inside a string.",
        ..Docs::BASE
    },
    run: bitfield_ro,
    ..Command::BASE
};

#[doc(alias = "bitfieldroCommand")]
fn bitfield_ro(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let steps = steps(ctx, &mut args)?;
    if steps.iter().any(|step| !matches!(step.what, StepKind::Get)) {
        return Err(Error::once("BITFIELD_RO only supports the GET subcommand"));
    }
    run_steps(ctx, key, &steps)
}

const BITOP: Command = Command {
    name: "bitop",
    arity: Arity::AtLeast(4),
    flags: &[Write, DenyOom],
    acl: &[Category::Bitmap],
    keys: &[
        KeySpec::at(2, &[Ow, Update]),
        KeySpec::at(3, &[Ro, Access]).to(-1, 1),
    ],
    args: &[
        arg::one_of(
            "operation",
            &[
                arg::word("and", "AND"),
                arg::word("or", "OR"),
                arg::word("xor", "XOR"),
                arg::word("not", "NOT"),
                arg::word("diff", "DIFF"),
                arg::word("diff1", "DIFF1"),
                arg::word("andor", "ANDOR"),
                arg::word("one", "ONE"),
            ],
        ),
        arg::key("destkey"),
        arg::key("key").spec(1).multiple(),
    ],
    docs: Docs {
        group: Group::Bitmap,
        since: "2.6.0",
        complexity: "O(N) where N is the length of the longest string",
        summary: "Combines strings bit by bit and stores the outcome.",
        ..Docs::BASE
    },
    run: bitop,
    ..Command::BASE
};

/// Combines strings bit by bit, stores the result under the target key and answers its length in bytes; an empty result
/// deletes the target.
///
/// Shorter strings count as followed by zero bytes. Fails with WRONGTYPE if a source is no string. The target is
/// overwritten whatever it held, and loses its deadline.
#[doc(alias = "bitopCommand")]
fn bitop(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let name = args.bytes()?;
    let operation = Operation::parse(name).ok_or(Error::Syntax)?;
    let target = args.key()?;
    if !operation.accepts(args.len()) {
        let name = String::from_utf8_lossy(name).to_ascii_uppercase();
        let how_many = if operation == Operation::Not {
            "a single source key"
        } else {
            "at least two source keys"
        };
        return Err(Error::once(format!(
            "BITOP {name} must be called with {how_many}."
        )));
    }

    let db = &ctx.state.keyspace[ctx.db];
    let mut strings = Vec::with_capacity(args.len());
    let mut wrong = false;
    for key in args {
        match db.get_string(key) {
            Ok(string) => strings.push(string),
            Err(_) => {
                wrong = true;
                break;
            }
        }
    }
    let missing: Vec<&[u8]> = args
        .zip(&strings)
        .filter(|(_, string)| string.is_none())
        .map(|(key, _)| key)
        .collect();
    if wrong {
        missing.into_iter().for_each(|key| ctx.missed(key));
        return Err(Error::WrongType);
    }
    let mut digits = vec![IntBuf::new(); strings.len()];
    let sources: Vec<&[u8]> = strings
        .iter()
        .zip(&mut digits)
        .map(|(string, digits)| {
            string
                .as_ref()
                .map_or(&[][..], |string| string.as_bytes(digits))
        })
        .collect();
    let outcome = bitmap::combine(operation, &sources);
    missing.into_iter().for_each(|key| ctx.missed(key));

    // Redis 7.0 knows four operations only, so the others are propagated as their result.
    use Operation::{AndOr, Diff, Diff1, One};
    if matches!(operation, AndOr | Diff | Diff1 | One) {
        match outcome.as_slice() {
            [] => ctx.rewrite_as(&[b"DEL", target]),
            bytes => ctx.rewrite_as(&[b"SET", target, bytes]),
        }
    }
    if outcome.is_empty() {
        if ctx.delete(target, ctx.state.config.lazyfree_lazy_server_del) {
            ctx.modified(target, Event::DEL);
        }
    } else {
        ctx.store(target, NewValue::RawBytes(&outcome), Deadline::Set(None));
        ctx.modified(target, Event::SET);
    }
    ctx.reply.count(outcome.len());
    Ok(())
}

const BITPOS: Command = Command {
    name: "bitpos",
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly],
    acl: &[Category::Bitmap],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::integer("bit"),
        arg::block(
            "range",
            &[
                arg::integer("start"),
                arg::block(
                    "end-unit-block",
                    &[
                        arg::integer("end"),
                        arg::one_of(
                            "unit",
                            &[arg::word("byte", "BYTE"), arg::word("bit", "BIT")],
                        )
                        .optional()
                        .since("7.0.0"),
                    ],
                )
                .optional(),
            ],
        )
        .optional(),
    ],
    docs: Docs {
        group: Group::Bitmap,
        since: "2.8.7",
        complexity: "O(N) where N is the length of the string",
        summary: "Finds the first bit that is set, or clear, in a string or in a part of it.",
        ..Docs::BASE
    },
    run: bitpos,
    ..Command::BASE
};

/// Answers the position of the first bit that is 1 or 0, or -1. A search for 0 without an end looks beyond the string:
/// of `\xff` it answers 8, where `BITPOS k 0 0 -1` answers -1.
#[doc(alias = "bitposCommand")]
fn bitpos(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let on = match args.integer()? {
        0 => false,
        1 => true,
        _ => return Err(Error::once("The bit argument must be 1 or 0.")),
    };
    let (mut start, mut end, mut within) = (0, None, Unit::Byte);
    if args.len() > 3 {
        return Err(Error::Syntax);
    }
    if !args.is_empty() {
        start = args.integer()?;
        if !args.is_empty() {
            let mut last = Args::take(&mut args, 1)?;
            // As in Redis, a wrong unit is reported before a wrong end.
            within = unit(&mut args)?;
            end = Some(last.integer()?);
        }
    }

    let found = match ctx.state.keyspace[ctx.db].get_string(key)? {
        // A missing key is an endless row of clear bits.
        None => {
            ctx.missed(key);
            (!on).then_some(0)
        }
        Some(string) => {
            let mut digits = IntBuf::new();
            bitmap::position(string.as_bytes(&mut digits), on, start, end, within)
        }
    };
    ctx.reply
        .integer(found.map_or(-1, |position| position as i64));
    Ok(())
}

const GETBIT: Command = Command {
    name: "getbit",
    arity: Arity::Exactly(3),
    flags: &[ReadOnly, Fast],
    acl: &[Category::Bitmap],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key"), arg::integer("offset")],
    docs: Docs {
        group: Group::Bitmap,
        since: "2.2.0",
        complexity: "O(1)",
        summary: "Returns one bit of a string; beyond its end all bits are clear.",
        ..Docs::BASE
    },
    run: getbit,
    ..Command::BASE
};

#[doc(alias = "getbitCommand")]
fn getbit(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let offset = bit_offset(ctx, &mut args)?;
    let on = match ctx.state.keyspace[ctx.db].get_string(key)? {
        None => {
            ctx.missed(key);
            false
        }
        Some(string) => bitmap::get_bit(string.as_bytes(&mut IntBuf::new()), offset),
    };
    ctx.reply.integer(on.into());
    Ok(())
}

#[doc(alias = "getBitOffsetFromArgument")]
fn bit_offset(ctx: &Ctx<'_>, args: &mut Args<'_>) -> Result<u64> {
    let offset = args.integer_or(BAD_OFFSET)?;
    let offset = u64::try_from(offset).map_err(|_| BAD_OFFSET)?;
    if offset >> 3 >= ctx.max_string_len() as u64 {
        return Err(BAD_OFFSET);
    }
    Ok(offset)
}

const SETBIT: Command = Command {
    name: "setbit",
    arity: Arity::Exactly(4),
    flags: &[Write, DenyOom],
    acl: &[Category::Bitmap],
    keys: &[KeySpec::at(1, &[Rw, Access, Update])],
    args: &[
        arg::key("key"),
        arg::integer("offset"),
        arg::integer("value"),
    ],
    docs: Docs {
        group: Group::Bitmap,
        since: "2.2.0",
        complexity: "O(1)",
        summary: "Sets or clears one bit of a string, which grows as needed, and returns what the bit was.",
        ..Docs::BASE
    },
    run: setbit,
    ..Command::BASE
};

/// Sets or clears one bit and answers the bit it was. The string grows with zero bytes as far as needed, up to
/// `proto-max-bulk-len`. A bit that stays as it is in a string that need not grow propagates nothing.
#[doc(alias = "setbitCommand")]
fn setbit(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let offset = bit_offset(ctx, &mut args)?;
    let bad_bit = Error::once("bit is not an integer or out of range");
    let on = match args.integer_or(bad_bit.clone())? {
        0 => false,
        1 => true,
        _ => return Err(bad_bit),
    };

    let grown = make_room(ctx, key, offset)?;
    let mut was = false;
    if let Some(mut string) = ctx.db().string_mut(key)? {
        let bytes = string.bytes_mut(0).map_err(|_| Error::StringTooLong)?;
        was = bitmap::set_bit(bytes, offset, on);
    }
    if grown || was != on {
        ctx.modified(key, Event::string("setbit"));
    }
    ctx.reply.integer(was.into());
    Ok(())
}
