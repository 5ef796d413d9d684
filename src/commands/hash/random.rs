//! HRANDFIELD: fields drawn at random.
//!
//! Mirrors: `hrandfieldWithCountCommand()` of t_hash.c.

use super::super::prelude::*;
use crate::keyspace;
use crate::resp::Reply;
use crate::types::Hash;
use crate::types::hash::Field;

pub(super) const HRANDFIELD: Command = Command {
    name: "hrandfield",
    arity: Arity::AtLeast(2),
    flags: &[ReadOnly],
    acl: &[Category::Hash],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::block(
            "options",
            &[
                arg::integer("count"),
                arg::word("withvalues", "WITHVALUES").optional(),
            ],
        )
        .optional(),
    ],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Hash,
        since: "6.2.0",
        complexity: "O(N) where N is the number of fields returned.",
        summary: "Returns one or more random fields of a hash.",
        ..Docs::BASE
    },
    run: hrandfield,
    ..Command::BASE
};

/// The number of fields drawn between two checks of the client's output limit.
const DRAWN_AT_ONCE: usize = 1000;

/// Answers one field, or with a count several: a positive count draws distinct fields, at most all of them; a negative
/// count draws exactly so many, and a field may come more than once.
///
/// Expired fields are deleted first, all of them in one call, and their deletion is propagated; otherwise nothing is
/// changed. With values the reply is flat under RESP2 and an array of pairs under RESP3.
#[doc(alias = "hrandfieldCommand")]
fn hrandfield(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let count = match args.is_empty() {
        true => None,
        false => Some(count_and_values(&mut args)?),
    };
    if ctx.state.keyspace[ctx.db].get_as::<Hash>(key)?.is_some() {
        keyspace::act::fields::expire_fields_of(ctx.state, ctx.db, key);
    } else {
        ctx.missed(key);
    }
    let state = &mut *ctx.state;
    let (db, rng) = (&state.keyspace[ctx.db], &mut state.rng);
    let mut rng = || rng.next_u64();
    let hash = db.peek_as::<Hash>(key)?;
    let Some((count, values)) = count else {
        match hash.and_then(|hash| hash.random(&mut rng)) {
            Some(field) => ctx.reply.string(field.name),
            None => ctx.reply.null(),
        }
        return Ok(());
    };
    let Some(hash) = hash.filter(|_| count != 0) else {
        ctx.reply.array(0);
        return Ok(());
    };
    let pairs = values && ctx.reply.resp3();
    let per_field = if values && !pairs { 2 } else { 1 };
    let n = count.unsigned_abs() as usize;
    let reply = &mut *ctx.reply;
    let say = |reply: &mut Reply, field: Field<'_>| {
        if pairs {
            reply.array(2);
        }
        reply.string(field.name);
        if values {
            reply.string(field.value);
        }
    };
    // Fields are counted as they come, because a damaged listpack may have fewer than its header says.
    let mark = reply.open();
    let mut shown = 0;
    if count < 0 {
        // Drawn in parts, so that the work ends when the client exceeds its output limit.
        let mut left = n;
        while left > 0 && !reply.overflowed() {
            let part = left.min(DRAWN_AT_ONCE);
            hash.draw(part, &mut rng, &mut |field| {
                shown += per_field;
                say(reply, field);
            });
            left -= part;
        }
    } else {
        hash.choose(n, &mut rng, &mut |field| {
            shown += per_field;
            say(reply, field);
        });
    }
    reply.close_array(mark, shown);
    Ok(())
}

fn count_and_values(args: &mut Args<'_>) -> Result<(i64, bool)> {
    let count = args.integer()?;
    if count == i64::MIN {
        let text = "value is out of range, value must between";
        return Err(Error::once(format!(
            "{text} {} and {}",
            -i64::MAX,
            i64::MAX
        )));
    }
    if args.is_empty() {
        return Ok((count, false));
    }
    if args.len() > 1 || !args.word("WITHVALUES") {
        return Err(Error::Syntax);
    }
    if count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(Error::OutOfRange);
    }
    Ok((count, true))
}
