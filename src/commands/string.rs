//! Strings: SET, GET and their kin.
//!
//! Mirrors: the command half of t_string.c.

use super::prelude::*;

pub const COMMANDS: &[&Command] = &[&GET, &INCR, &INCRBY, &MSET, &SET];

const GET: Command = Command {
    name: "get",
    arity: Arity::Exactly(2),
    flags: &[ReadOnly, Fast],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key")],
    docs: Docs {
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Returns the string a key holds.",
        ..Docs::BASE
    },
    run: get,
    ..Command::BASE
};

#[doc(alias = "getCommand")]
fn get(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    match ctx.state.keyspace[ctx.db].get_string(key)? {
        Some(string) => ctx.reply.string(string),
        None => ctx.reply.null(),
    }
    Ok(())
}

const SET: Command = Command {
    name: "set",
    arity: Arity::AtLeast(3),
    flags: &[Write, DenyOom],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Rw, Access, Update, VariableFlags])],
    args: &[arg::key("key"), arg::string("value")],
    docs: Docs {
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Makes a key hold a string, whatever it held before.",
        ..Docs::BASE
    },
    run: set,
    ..Command::BASE
};

#[doc(alias = "setCommand")]
fn set(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let value = args.value()?;
    args.end()?;
    ctx.db().set(key, value, None);
    ctx.modified(key, Event::SET);
    ctx.reply.ok();
    Ok(())
}

const INCR: Command = Command {
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
        summary: "Adds one to the number a key holds; a missing key counts as 0.",
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

const INCRBY: Command = Command {
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
        summary: "Adds an integer to the number a key holds; a missing key counts as 0.",
        ..Docs::BASE
    },
    run: incrby,
    ..Command::BASE
};

#[doc(alias = "incrbyCommand")]
fn incrby(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let increment_by = args.integer()?;
    increment(ctx, key, increment_by)
}

#[doc(alias = "incrDecrCommand")]
fn increment(ctx: &mut Ctx<'_>, key: &[u8], by: i64) -> Result {
    let db = ctx.db();
    let new = match db.string_mut(key)? {
        Some(mut string) => {
            let old = string.as_integer().ok_or(Error::NotInteger)?;
            let new = old.checked_add(by).ok_or(Error::IncrementOverflow)?;
            string.set_integer(new);
            new
        }
        None => {
            db.set(key, crate::keyspace::NewValue::Int(by), None);
            by
        }
    };
    ctx.modified(key, Event::string("incrby"));
    ctx.reply.integer(new);
    Ok(())
}

const MSET: Command = Command {
    name: "mset",
    arity: Arity::AtLeast(3),
    flags: &[Write, DenyOom],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Ow, Update]).to(-1, 2)],
    args: &[arg::block("data", &[arg::key("key"), arg::string("value")]).multiple()],
    tips: &[
        "request_policy:multi_shard",
        "response_policy:all_succeeded",
    ],
    docs: Docs {
        group: Group::String,
        since: "1.0.1",
        complexity: "O(N) where N is the number of keys",
        summary: "Makes several keys hold strings, all at once.",
        ..Docs::BASE
    },
    run: mset,
    ..Command::BASE
};

#[doc(alias = "msetCommand")]
fn mset(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    if !args.len().is_multiple_of(2) {
        return Err(Error::WrongArity(ctx.name()));
    }
    while !args.is_empty() {
        let key = args.key()?;
        let value = args.value()?;
        ctx.db().set(key, value, None);
        ctx.modified(key, Event::SET);
    }
    ctx.reply.ok();
    Ok(())
}
