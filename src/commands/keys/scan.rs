//! Walking the keys: SCAN, KEYS, RANDOMKEY, DBSIZE.
//!
//! SCAN keeps no state on the server. Its cursor is a position in the order of the keys' hashes, which never changes
//! for a key, so a full iteration (from cursor 0 until 0 comes back) guarantees:
//!
//! - a key that exists from the first call to the last is returned, and returned once;
//! - a key that never exists meanwhile is not returned;
//! - a key that comes or goes meanwhile may be returned or not.
//!
//! ```text
//!   SCAN 0 MATCH user:* COUNT 100      "1234", [user:7, user:31]    100 keys were looked at, two match
//!   SCAN 1234 MATCH user:* COUNT 100   "99", []                     no match among these 100: go on all the same
//!   SCAN 99 MATCH user:* COUNT 100     "0", [user:2]                the cursor 0 ends the iteration
//! ```
//!
//! Mirrors: `scanGenericCommand()`, `keysCommand()` and `randomkeyCommand()` of db.c.
//! Differs: cursors are other numbers; Redis, whose table may shrink between calls, may return a key twice.
//! Cost: a call of SCAN looks at about COUNT keys, and hashes the keys of one segment.

use super::super::prelude::*;
use crate::cluster;
use crate::keyspace;
use crate::keyspace::Kind;
use crate::state::State;
use crate::util::crc16::key_hash_slot;
use crate::util::glob::{self, Case};
use crate::util::num;

/// The number of keys a call of SCAN looks at, unless COUNT is given.
const DEFAULT_COUNT: usize = 10;
/// The number of expired keys that RANDOMKEY draws before it returns one all the same. Expired keys stay only on a
/// replica or while writes are paused.
const RANDOM_TRIES: usize = 100;

pub(super) const SCAN: Command = Command {
    name: "scan",
    arity: Arity::AtLeast(2),
    flags: &[ReadOnly, ArbitraryKeys],
    acl: &[Category::Keyspace],
    args: &[
        arg::integer("cursor"),
        arg::pattern("pattern").token("MATCH").optional(),
        arg::integer("count").token("COUNT").optional(),
        arg::string("type").token("TYPE").optional().since("6.0.0"),
    ],
    tips: &[
        "nondeterministic_output",
        "request_policy:special",
        "response_policy:special",
    ],
    docs: Docs {
        group: Group::Generic,
        since: "2.8.0",
        complexity: "O(1) for each call; O(N) for a whole walk through N keys.",
        summary: "Returns some keys, and the cursor to go on with; a key that is there all the while is returned exactly once.",
        ..Docs::BASE
    },
    run: scan,
    ..Command::BASE
};

/// Answers the next cursor and the keys found on this step. MATCH and TYPE filter after the keys were counted against
/// COUNT, so a reply may be empty before the iteration ends. Expired keys are left out; they are deleted, and their
/// deletion is propagated, unless [`spares_the_dead`].
#[doc(alias = "scanCommand")]
fn scan(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let cursor = args.cursor()?;
    let (mut pattern, mut count, mut only) = (None, DEFAULT_COUNT, None);
    while !args.is_empty() {
        if args.word_with("COUNT", 1) {
            let n = args.integer()?;
            count = usize::try_from(n).map_err(|_| Error::Syntax)?;
            if count == 0 {
                return Err(Error::Syntax);
            }
        } else if args.word_with("MATCH", 1) {
            pattern = args.next().filter(|pattern| *pattern != b"*");
        } else if args.word_with("TYPE", 1) {
            // A type that does not exist matches no key.
            let name = args.bytes()?;
            only = Some((kind_named(name), name));
        } else if args.word("NOVALUES") {
            return Err(Error::once("NOVALUES option can only be used in HSCAN"));
        } else {
            return Err(Error::Syntax);
        }
    }

    // The cursor comes first in the reply but is known last, so the keys are gathered before they are written.
    let mut names = Vec::new();
    let mut ends = Vec::new();
    let hides = cluster::act::moving::hides_any(ctx.state);
    let db = &ctx.state.keyspace[ctx.db];
    let next = db.scan(cursor, count, &mut |entry| {
        // The pattern is looked at first and the type last: an expired key of another type is deleted all the same.
        let wanted = pattern.is_none_or(|p| glob::matches(p, entry.key(), Case::Sensitive))
            && !(hides && is_hidden(ctx.state, entry.key()))
            && !db.is_dead(&entry)
            && only.is_none_or(|(kind, name)| match entry.kind() {
                Kind::Module => entry.type_name().as_bytes().eq_ignore_ascii_case(name),
                own => Some(own) == kind,
            });
        if wanted {
            names.extend_from_slice(entry.key());
            ends.push(names.len());
        }
    });
    ctx.reply.array(2);
    ctx.reply.bulk(num::IntBuf::new().format_u64(next));
    ctx.reply.array(ends.len());
    let mut start = 0;
    for end in ends {
        ctx.reply.bulk(&names[start..end]);
        start = end;
    }
    if spares_the_dead(ctx) {
        ctx.state.keyspace.env().take_expired();
    }
    Ok(())
}

/// Whether a key is here that clients are not to see: its slot is on the way to or from another node.
fn is_hidden(state: &State, key: &[u8]) -> bool {
    cluster::act::moving::hides(state, key_hash_slot(key))
}

/// Whether expired keys that the command came across stay for the expire cycle to delete: inside of a transaction or a
/// script their deletions would be propagated with it, though it never named them.
fn spares_the_dead(ctx: &Ctx<'_>) -> bool {
    !ctx.state.config.lazyexpire_nested_arbitrary_keys && ctx.state.effects.depth() > 1
}

fn kind_named(name: &[u8]) -> Option<Kind> {
    use Kind::*;
    let kinds = [String, List, Set, Zset, Hash, Stream, Array, Vset];
    kinds
        .into_iter()
        .find(|kind| name.eq_ignore_ascii_case(kind.name().as_bytes()))
}

pub(super) const KEYS: Command = Command {
    name: "keys",
    arity: Arity::Exactly(2),
    flags: &[ReadOnly],
    acl: &[Category::Keyspace, Category::Dangerous],
    args: &[arg::pattern("pattern")],
    tips: &["request_policy:all_shards", "nondeterministic_output_order"],
    docs: Docs {
        group: Group::Generic,
        since: "1.0.0",
        complexity: "O(N) where N is the number of keys in the database.",
        summary: "Returns all keys that match a pattern.",
        ..Docs::BASE
    },
    run: keys,
    ..Command::BASE
};

/// Answers all keys that match a pattern, in no promised order. O(N): the server serves nobody else meanwhile. Ends
/// early if the client exceeds its output limit.
#[doc(alias = "keysCommand")]
fn keys(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let pattern = args.bytes()?;
    let all = pattern == b"*";
    let now = ctx.now_ms();
    let hides = cluster::act::moving::hides_any(ctx.state);
    let mark = ctx.reply.open();
    let mut n = 0;
    for entry in ctx.state.keyspace[ctx.db].iter() {
        let key = entry.key();
        let matches = all || glob::matches(pattern, key, Case::Sensitive);
        if matches && !entry.is_expired(now) && !(hides && is_hidden(ctx.state, key)) {
            ctx.reply.bulk(key);
            n += 1;
            if ctx.reply.overflowed() {
                break;
            }
        }
    }
    ctx.reply.close_array(mark, n);
    Ok(())
}

pub(super) const RANDOMKEY: Command = Command {
    name: "randomkey",
    arity: Arity::Exactly(1),
    flags: &[ReadOnly, ArbitraryKeys],
    acl: &[Category::Keyspace],
    tips: &[
        "request_policy:all_shards",
        "response_policy:special",
        "nondeterministic_output",
    ],
    docs: Docs {
        group: Group::Generic,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Returns some key, each with the same probability.",
        ..Docs::BASE
    },
    run: randomkey,
    ..Command::BASE
};

/// Answers a key at random, null if the database is empty. Expired keys that are drawn are deleted, and another is
/// drawn.
#[doc(alias = "randomkeyCommand")]
fn randomkey(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    let spares = spares_the_dead(ctx);
    let hides = cluster::act::moving::hides_any(ctx.state);
    for attempt in 1.. {
        let state = &mut *ctx.state;
        let (db, rng) = (&state.keyspace[ctx.db], &mut state.rng);
        let Some(entry) = db.random(&mut || rng.next_u64()) else {
            break;
        };
        let hidden = hides && cluster::act::moving::hides(state, key_hash_slot(entry.key()));
        if hidden && attempt == RANDOM_TRIES {
            break;
        }
        let found = !hidden && (!db.is_dead(&entry) || attempt == RANDOM_TRIES);
        if found {
            ctx.reply.bulk(entry.key());
        }
        match spares {
            true => drop(state.keyspace.env().take_expired()),
            false if found => {}
            false => keyspace::act::expire::reap_expired(state),
        }
        if found {
            return Ok(());
        }
    }
    ctx.reply.null();
    Ok(())
}

pub(super) const DBSIZE: Command = Command {
    name: "dbsize",
    arity: Arity::Exactly(1),
    flags: &[ReadOnly, Fast],
    acl: &[Category::Keyspace],
    tips: &["request_policy:all_shards", "response_policy:agg_sum"],
    docs: Docs {
        group: Group::Server,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Counts the keys of the database.",
        ..Docs::BASE
    },
    run: dbsize,
    ..Command::BASE
};

#[doc(alias = "dbsizeCommand")]
fn dbsize(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    let len = ctx.db().len() - cluster::act::moving::hidden_keys(ctx.state);
    ctx.reply.count(len);
    Ok(())
}
