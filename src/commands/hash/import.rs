//! HIMPORT: many hashes with the same fields, whose names a client sends once.
//!
//! ```text
//!   HIMPORT PREPARE user name mail      the connection remembers "user" = [name, mail]
//!   HIMPORT SET user:1 user ann a@x     user:1 = { name: ann, mail: a@x }, whatever hash was there
//! ```
//!
//! Mirrors: the fieldsets of t_hash.c (8.10).
//! Differs: Redis also stores such hashes in an encoding of their own, which shares the names between keys; here they
//! are ordinary hashes, and `hash-min-template-entries` is fixed at 0. They are propagated as DEL and HSET, in Redis as
//! RESTORE.

use super::super::prelude::*;
use super::{HSET_EVENT, limits, value_at};
use crate::keyspace;
use crate::keyspace::{Deadline, NewValue};
use crate::types::Hash;

pub(super) const HIMPORT: Command = Command {
    name: "himport",
    arity: Arity::AtLeast(2),
    acl: &[Category::Hash],
    docs: Docs {
        group: Group::Hash,
        since: "8.10.0",
        complexity: "That of the subcommand.",
        summary: "Makes hashes with the same fields, whose names are said once per connection.",
        ..Docs::BASE
    },
    subcommands: &[
        &HIMPORT_DISCARD,
        &HIMPORT_DISCARDALL,
        &HIMPORT_PREPARE,
        &HIMPORT_SET,
    ],
    ..Command::BASE
};

const HIMPORT_PREPARE: Command = Command {
    name: "prepare",
    arity: Arity::AtLeast(4),
    flags: &[DenyOom],
    acl: &[Category::Hash],
    args: &[
        arg::string("fieldset-name"),
        arg::string("field").multiple(),
    ],
    tips: &["request_policy:all_shards"],
    docs: Docs {
        group: Group::Hash,
        since: "8.10.0",
        complexity: "O(N*log(N)) where N is the number of fields.",
        summary: "Remembers a set of field names under a name, for this connection.",
        ..Docs::BASE
    },
    run: himport_prepare,
    ..Command::BASE
};

/// Keeps a list of field names for this connection, under a name; an earlier list of that name is replaced. Fails if a
/// field comes twice. The list belongs to the connection, so the command is not propagated.
#[doc(alias = "himportPrepareCommand")]
fn himport_prepare(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let name = args.bytes()?;
    let fields: Box<[Box<[u8]>]> = args.map(Box::from).collect();
    let mut sorted: Vec<&[u8]> = fields.iter().map(|field| &**field).collect();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Error::once("duplicate field name in fieldset"));
    }
    let sets = ctx.client().fieldsets.get_or_insert_default();
    sets.insert(name, fields);
    ctx.reply.ok();
    Ok(())
}

const HIMPORT_SET: Command = Command {
    name: "set",
    arity: Arity::AtLeast(5),
    flags: &[Write, DenyOom],
    acl: &[Category::Hash],
    keys: &[KeySpec::at(2, &[Ow, Update])],
    args: &[
        arg::key("key"),
        arg::string("fieldset-name"),
        arg::string("value").multiple(),
    ],
    docs: Docs {
        group: Group::Hash,
        since: "8.10.0",
        complexity: "O(N) where N is the number of fields.",
        summary: "Makes a hash of a remembered set of field names and the values given, in the same order.",
        ..Docs::BASE
    },
    run: himport_set,
    ..Command::BASE
};

/// Makes a key hold a new hash of the prepared fields and the given values; a hash that was there is replaced, a value
/// of another type is an error. Propagated as HSET, with DEL before it if the key existed.
#[doc(alias = "himportSetCommand")]
fn himport_set(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, name) = (args.key()?, args.bytes()?);
    let there = ctx.db().get_mut_as::<Hash>(key)?.is_some();
    let limits = limits(ctx);
    let client = &ctx.state.clients[ctx.client];
    let sets = client.fieldsets.as_ref();
    let fields = sets
        .and_then(|sets| sets.get(name))
        .ok_or_else(|| Error::once("no such fieldset"))?;
    if fields.len() != args.len() {
        return Err(Error::once(
            "value count does not match fieldset field count",
        ));
    }
    let mut hash = Hash::new();
    let names = fields.iter().map(|field| &**field);
    hash.prepare(fields.len(), names.chain(args), &limits);
    let mut words: Vec<Box<[u8]>> = Vec::new();
    let listening = ctx.state.effects.listening != crate::command::Targets::NONE
        || keyspace::act::fields::hears_fields(ctx.state, HSET_EVENT);
    for field in fields {
        let value = value_at(&args, args.position());
        let text = args.bytes()?;
        hash.set(field, value, false, &limits);
        if listening {
            words.extend([field.clone(), text.into()]);
        }
    }
    if there {
        ctx.also([b"DEL", key]);
    }
    let value = NewValue::Object(hash.into());
    ctx.store(key, value, Deadline::Set(None));
    ctx.modified(key, HSET_EVENT);
    ctx.notify_fields(key, HSET_EVENT, words.iter().step_by(2).map(|name| &**name));
    ctx.rewrite_with(|argv| {
        argv.push(b"HSET");
        argv.push(key);
        words.iter().for_each(|word| argv.push(word));
    });
    ctx.reply.ok();
    Ok(())
}

const HIMPORT_DISCARD: Command = Command {
    name: "discard",
    arity: Arity::Exactly(3),
    acl: &[Category::Hash],
    args: &[arg::string("fieldset-name")],
    tips: &["request_policy:all_shards"],
    docs: Docs {
        group: Group::Hash,
        since: "8.10.0",
        complexity: "O(1)",
        summary: "Forgets one set of field names of this connection.",
        ..Docs::BASE
    },
    run: himport_discard,
    ..Command::BASE
};

/// Forgets a list of field names of this connection, and answers whether there was one.
#[doc(alias = "himportDiscardCommand")]
fn himport_discard(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let name = args.bytes()?;
    let client = ctx.client();
    let removed = client
        .fieldsets
        .as_mut()
        .is_some_and(|sets| sets.remove(name));
    client.fieldsets.take_if(|sets| sets.is_empty());
    ctx.reply.integer(i64::from(removed));
    Ok(())
}

const HIMPORT_DISCARDALL: Command = Command {
    name: "discardall",
    arity: Arity::Exactly(2),
    acl: &[Category::Hash],
    tips: &["request_policy:all_shards"],
    docs: Docs {
        group: Group::Hash,
        since: "8.10.0",
        complexity: "O(N) where N is the number of sets.",
        summary: "Forgets all sets of field names of this connection.",
        ..Docs::BASE
    },
    run: himport_discardall,
    ..Command::BASE
};

#[doc(alias = "himportDiscardallCommand")]
fn himport_discardall(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    let sets = ctx.client().fieldsets.take();
    ctx.reply.count(sets.map_or(0, |sets| sets.len()));
    Ok(())
}
