//! Strings compared: IFEQ and its kin, DIGEST, DELEX, LCS.
//!
//! A digest is the XXH3 hash of a string, 16 hex digits. A client that keeps the digest can make a write depend on "the
//! string I know" without sending the string again:
//!
//! ```text
//!   SET doc "first draft"                 +OK
//!   DIGEST doc                            the 16 digits the client remembers
//!   SET doc "second draft" IFDEQ <them>   +OK if nobody wrote in between, else null
//! ```
//!
//! Mirrors: `digestCommand()`, `delexCommand()` and `lcsCommand()` of t_string.c; the algorithm of LCS is in
//! `types/string/lcs.rs`. Cost: LCS takes time and memory in proportion to the product of both lengths.

use super::super::prelude::*;
use crate::command::{KeyFlag, KeyRef};
use crate::keyspace::StrRef;
use crate::resp::Reply;
use crate::resp::argv::Argv;
use crate::types::string::lcs::{self, Lcs};
use crate::util::num::IntBuf;
use crate::util::xxh3::xxh3_64_hex;

/// A condition on the string a key holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comparison<'a> {
    with: &'a [u8],
    digest: bool,
    negated: bool,
}

impl<'a> Comparison<'a> {
    fn named(word: &[u8], with: &'a [u8]) -> Option<Self> {
        let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
        let (digest, negated) = if is(b"IFEQ") {
            (false, false)
        } else if is(b"IFNE") {
            (false, true)
        } else if is(b"IFDEQ") {
            (true, false)
        } else if is(b"IFDNE") {
            (true, true)
        } else {
            return None;
        };
        Some(Comparison {
            with,
            digest,
            negated,
        })
    }

    /// Takes a condition with its argument, if one comes next.
    pub fn read(args: &mut Args<'a>) -> Option<Self> {
        let mut ahead = *args;
        let (word, with) = (ahead.next()?, ahead.next()?);
        let comparison = Comparison::named(word, with)?;
        *args = ahead;
        Some(comparison)
    }

    pub fn is_same_kind(&self, other: &Self) -> bool {
        (self.digest, self.negated) == (other.digest, other.negated)
    }

    /// Whether a string meets the condition.
    pub fn holds(&self, string: StrRef<'_>) -> Result<bool> {
        let mut scratch = IntBuf::new();
        let bytes = string.as_bytes(&mut scratch);
        let equal = if self.digest {
            if self.with.len() != 16 {
                return Err(Error::once("must be exactly 16 hexadecimal characters"));
            }
            xxh3_64_hex(bytes).eq_ignore_ascii_case(self.with)
        } else {
            bytes == self.with
        };
        Ok(equal != self.negated)
    }

    /// Whether a missing key meets the condition.
    pub fn holds_for_absent(&self) -> bool {
        self.negated
    }
}

pub(super) const DIGEST: Command = Command {
    name: "digest",
    arity: Arity::Exactly(2),
    flags: &[ReadOnly, Fast],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key")],
    docs: Docs {
        group: Group::String,
        since: "8.4.0",
        complexity: "O(N) where N is the length of the string.",
        summary: "Returns the XXH3 hash of the string a key holds, as 16 hex digits.",
        ..Docs::BASE
    },
    run: digest,
    ..Command::BASE
};

/// Answers the digest of a string, null for a missing key. O(N).
#[doc(alias = "digestCommand")]
fn digest(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    match ctx.state.keyspace[ctx.db].get_string(key)? {
        Some(string) => {
            let digest = xxh3_64_hex(string.as_bytes(&mut IntBuf::new()));
            ctx.reply.bulk(&digest);
        }
        None => {
            ctx.missed(key);
            ctx.reply.null();
        }
    }
    Ok(())
}

pub(super) const DELEX: Command = Command {
    name: "delex",
    arity: Arity::AtLeast(2),
    flags: &[Write, Fast],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Rw, Delete, VariableFlags])],
    find_keys: Some(delex_keys),
    args: &[
        arg::key("key"),
        arg::one_of(
            "condition",
            &[
                arg::string("ifeq-value").token("IFEQ"),
                arg::string("ifne-value").token("IFNE"),
                arg::integer("ifdeq-digest").token("IFDEQ"),
                arg::integer("ifdne-digest").token("IFDNE"),
            ],
        )
        .optional(),
    ],
    docs: Docs {
        group: Group::String,
        since: "8.4.0",
        complexity: "O(1) for IFEQ and IFNE, O(N) for IFDEQ and IFDNE where N is the length of the string.",
        summary: "Deletes a key if the string it holds, or that string's digest, is or is not what is given.",
        ..Docs::BASE
    },
    run: delex,
    ..Command::BASE
};

/// Deletes a key; with a condition, only if the key holds a string that meets it.
///
/// A condition on a key of another type is an error, a condition on a missing key answers 0. Without a condition, DELEX
/// deletes a key of any type. Replicas and the AOF receive DEL, because the condition has been decided.
#[doc(alias = "delexCommand")]
fn delex(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let condition = match args.len() {
        0 => None,
        2 => Some((args.bytes()?, args.bytes()?)),
        _ => return Err(Error::WrongArity(ctx.name())),
    };
    if let Some((word, with)) = condition {
        let Some(entry) = ctx.state.keyspace[ctx.db].get(key) else {
            ctx.missed(key);
            ctx.reply.integer(0);
            return Ok(());
        };
        let string = entry.string().ok_or_else(|| {
            Error::once("Key should be of string type if conditions are specified")
        })?;
        let comparison = Comparison::named(word, with)
            .ok_or_else(|| Error::once("Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE"))?;
        if !comparison.holds(string)? {
            ctx.reply.integer(0);
            return Ok(());
        }
    }
    let deleted = ctx.delete(key, ctx.state.config.lazyfree_lazy_user_del);
    if deleted {
        ctx.rewrite_as(&[b"DEL", key]);
        ctx.modified(key, Event::DEL);
    }
    ctx.reply.integer(deleted.into());
    Ok(())
}

/// The rights that DELEX needs to its key: without a condition it only deletes.
#[doc(alias = "delexGetKeys")]
fn delex_keys(argv: Argv<'_>, keys: &mut Vec<KeyRef>) -> Result {
    let flags: &[KeyFlag] = if argv.len() > 2 {
        &[Rw, Access, Delete]
    } else {
        &[Rm, Delete]
    };
    keys.push(KeyRef { position: 1, flags });
    Ok(())
}

pub(super) const LCS: Command = Command {
    name: "lcs",
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Ro, Access]).to(1, 1)],
    args: &[
        arg::key("key1"),
        arg::key("key2"),
        arg::word("len", "LEN").optional(),
        arg::word("idx", "IDX").optional(),
        arg::integer("min-match-len")
            .token("MINMATCHLEN")
            .optional(),
        arg::word("withmatchlen", "WITHMATCHLEN").optional(),
    ],
    docs: Docs {
        group: Group::String,
        since: "7.0.0",
        complexity: "O(N*M) where N and M are the lengths of the strings.",
        summary: "Finds the longest common subsequence of two strings.",
        ..Docs::BASE
    },
    run: lcs_command,
    ..Command::BASE
};

/// Answers the longest common subsequence of two strings: its text, its length (LEN), or the places of its parts in
/// both strings (IDX). A missing key counts as an empty string.
///
/// LCS of `ohmytext` and `mynewtext` is `mytext`. IDX lists its runs from the last to the first, each as the first and
/// last index (from 0) in either string; WITHMATCHLEN adds the number of bytes, MINMATCHLEN leaves out shorter runs:
///
/// ```text
///   ohmytext    "text" is 4 to 7, "my" is 2 to 3        LCS a b IDX WITHMATCHLEN
///   mynewtext   "text" is 5 to 8, "my" is 0 to 1        matches: [[4,7],[5,8],4], [[2,3],[0,1],2]; len: 6
/// ```
///
/// Costs time and, for the moment of the call, memory in proportion to the product of both lengths; with LEN the memory
/// of one row. Fails before it allocates if the whole table would be larger than `proto-max-bulk-len`.
#[doc(alias = "lcsCommand")]
fn lcs_command(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let keys = [args.key()?, args.key()?];
    let mut scratch = [IntBuf::new(), IntBuf::new()];
    let mut strings: [&[u8]; 2] = [b"", b""];
    let mut missing = [false; 2];
    let mut wrong = false;
    let db = &ctx.state.keyspace[ctx.db];
    for (i, scratch) in scratch.iter_mut().enumerate() {
        match db.get(keys[i]) {
            Some(entry) => match entry.string() {
                Some(string) => strings[i] = string.as_bytes(scratch),
                None => wrong = true,
            },
            None => missing[i] = true,
        }
    }
    if wrong {
        for (key, missing) in keys.into_iter().zip(missing) {
            if missing {
                ctx.missed(key);
            }
        }
        return Err(Error::once("The specified keys must contain string values"));
    }

    let options = LcsOptions::take(&mut args)?;
    let [a, b] = strings;
    if a.len().max(b.len()) >= u32::MAX as usize - 1 {
        return Err(Error::once("String too long for LCS"));
    }
    let too_much = lcs::table_bytes(a.len(), b.len());
    if too_much.is_none_or(|bytes| bytes > ctx.state.config.proto_max_bulk_len as u64) {
        return Err(Error::once(
            "Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ));
    }
    let no_memory =
        |_| Error::once("Insufficient memory, failed allocating transient memory for LCS");

    if options.only_len {
        let len = lcs::length(a, b).map_err(no_memory)?;
        ctx.reply.integer(len.into());
    } else {
        let lcs = Lcs::new(a, b).map_err(no_memory)?;
        if options.ranges {
            reply_ranges(ctx.reply, &lcs, &options);
        } else {
            ctx.reply.bulk(&lcs.text());
        }
    }
    for (key, missing) in keys.into_iter().zip(missing) {
        if missing {
            ctx.missed(key);
        }
    }
    Ok(())
}

/// The options of LCS.
#[derive(Default)]
struct LcsOptions {
    only_len: bool,
    /// IDX: the places of the parts instead of the text.
    ranges: bool,
    with_len: bool,
    min_len: u64,
}

impl LcsOptions {
    fn take(args: &mut Args<'_>) -> Result<LcsOptions> {
        let mut options = LcsOptions::default();
        while !args.is_empty() {
            if args.word("IDX") {
                options.ranges = true;
            } else if args.word("LEN") {
                options.only_len = true;
            } else if args.word("WITHMATCHLEN") {
                options.with_len = true;
            } else if args.word_with("MINMATCHLEN", 1) {
                options.min_len = args.integer()?.max(0) as u64;
            } else {
                return Err(Error::Syntax);
            }
        }
        if options.only_len && options.ranges {
            return Err(Error::once(
                "If you want both the length and indexes, please just use IDX.",
            ));
        }
        Ok(options)
    }
}

/// Writes the places of the common parts, and the length of the whole.
fn reply_ranges(reply: &mut Reply, lcs: &Lcs, options: &LcsOptions) {
    reply.map(2);
    reply.bulk(b"matches");
    let mark = reply.open();
    let mut n = 0;
    for (in_a, in_b) in lcs.ranges() {
        let len = u64::from(in_a.1 - in_a.0 + 1);
        if len < options.min_len {
            continue;
        }
        n += 1;
        reply.array(2 + usize::from(options.with_len));
        for (first, last) in [in_a, in_b] {
            reply.array(2);
            reply.integer(first.into());
            reply.integer(last.into());
        }
        if options.with_len {
            reply.integer(len as i64);
        }
    }
    reply.close_array(mark, n);
    reply.bulk(b"len");
    reply.integer(lcs.len().into());
}
