//! Keys that go elsewhere: RENAME, MOVE, COPY.
//!
//! A key that is moved keeps its value as it is, whatever its size; a copy shares the value's nodes with the original
//! until one of them changes.
//!
//! Mirrors: `renameGenericCommand()`, `moveCommand()` and `copyCommand()` of db.c.
//! Differs: COPY does not copy the elements of a large value.

use super::super::prelude::*;
use crate::keyspace;
use crate::keyspace::act::keys::KeyLeft;
use crate::keyspace::{DbId, Deadline, INLINE_MAX, NewValue, StrRef, ValueRef};
use crate::types::foreign::Place;
use crate::types::meta::Going;
use crate::types::{Foreign, Held};

pub(super) const RENAME: Command = Command {
    name: "rename",
    arity: Arity::Exactly(3),
    flags: &[Write],
    acl: &[Category::Keyspace],
    keys: &[
        KeySpec::at(1, &[Rw, Access, Delete]),
        KeySpec::at(2, &[Ow, Update]),
    ],
    args: &[arg::key("key"), arg::key("newkey").spec(1)],
    docs: Docs {
        group: Group::Generic,
        since: "1.0.0",
        complexity: "O(1); deleting what the new name held may take longer.",
        summary: "Gives a key another name; a key of that name is lost.",
        ..Docs::BASE
    },
    run: rename,
    ..Command::BASE
};

#[doc(alias = "renameCommand")]
fn rename(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    rename_to(ctx, args, false)
}

pub(super) const RENAMENX: Command = Command {
    name: "renamenx",
    arity: Arity::Exactly(3),
    flags: &[Write, Fast],
    acl: &[Category::Keyspace],
    keys: &[
        KeySpec::at(1, &[Rw, Access, Delete]),
        KeySpec::at(2, &[Ow, Insert]),
    ],
    args: &[arg::key("key"), arg::key("newkey").spec(1)],
    docs: Docs {
        group: Group::Generic,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Gives a key another name if no key has that name.",
        ..Docs::BASE
    },
    run: renamenx,
    ..Command::BASE
};

#[doc(alias = "renamenxCommand")]
fn renamenx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    rename_to(ctx, args, true)
}

/// RENAME and RENAMENX: moves a value with its deadline to another name. Fails if the key is missing. RENAME replaces a
/// value under the new name; RENAMENX answers 0 and changes nothing if there is one. Clients blocked on the new name
/// are served.
#[doc(alias = "renameGenericCommand")]
fn rename_to(ctx: &mut Ctx<'_>, mut args: Args<'_>, if_absent: bool) -> Result {
    let from = args.key()?;
    let to = args.key()?;

    let db = ctx.db();
    let kind = db.peek(from).ok_or(Error::NoSuchKey)?.kind();
    let replaced = db.peek(to).map(|entry| entry.kind());
    if from == to || if_absent && replaced.is_some() {
        if if_absent {
            ctx.reply.integer(0);
        } else {
            ctx.reply.ok();
        }
        return Ok(());
    }
    // If the new name belongs to an expired key, that key is deleted first.
    keyspace::act::expire::reap_expired(ctx.state);
    let at = ctx.db;
    keyspace::act::keys::leaving(ctx.state, KeyLeft::Deleted, at, to);
    let meta = keyspace::act::metas::go(ctx.state, Going::Renamed, (at, from), (at, to));
    keyspace::act::keys::leaving(ctx.state, KeyLeft::Deleted, at, from);
    let db = ctx.db();
    let Some(removed) = db.take(from) else {
        return Err(Error::NoSuchKey);
    };
    if let Some(old) = db.put(to, removed) {
        keyspace::act::keys::discard(ctx.state, old, ctx.state.config.lazyfree_lazy_server_del);
    }
    keyspace::act::metas::attach(ctx.state, (at, to), meta);
    keyspace::act::notify::appeared(ctx.state, ctx.db, to);
    ctx.modified(from, Event::generic("rename_from"));
    keyspace::act::notify::modified(ctx.state, ctx.db, to, Event::generic("rename_to"));
    if let Some(old_kind) = replaced {
        keyspace::act::keys::say_overwritten(ctx.state, ctx.db, to, kind != old_kind);
    }
    if if_absent {
        ctx.reply.integer(1);
    } else {
        ctx.reply.ok();
    }
    Ok(())
}

/// Takes the number of a database that exists.
fn database(ctx: &Ctx<'_>, args: &mut Args<'_>) -> Result<DbId> {
    let number = args.integer_within(i32::MIN.into(), i32::MAX.into())?;
    let known = 0..ctx.state.keyspace.len_dbs() as i64;
    if !known.contains(&number) {
        return Err(Error::DbIndexOutOfRange);
    }
    Ok(DbId(number as u32))
}

fn same_object() -> Error {
    Error::once("source and destination objects are the same")
}

pub(super) const MOVE: Command = Command {
    name: "move",
    arity: Arity::Exactly(3),
    flags: &[Write, Fast],
    acl: &[Category::Keyspace],
    keys: &[KeySpec::at(1, &[Rw, Access, Update])],
    args: &[arg::key("key"), arg::integer("db")],
    docs: Docs {
        group: Group::Generic,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Moves a key to another database, unless there is one of its name.",
        ..Docs::BASE
    },
    run: move_key,
    ..Command::BASE
};

/// Moves a key to another database and answers 1; 0 if it is missing here or exists there. Refused in cluster mode.
#[doc(alias = "moveCommand")]
fn move_key(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    if ctx.state.config.cluster_enabled {
        return Err(Error::once("MOVE is not allowed in cluster mode"));
    }
    let to = database(ctx, &mut args)?;
    if to == ctx.db {
        return Err(same_object());
    }
    ctx.state.stats.cluster_incompatible_ops += 1;

    let keyspace = &mut ctx.state.keyspace;
    if !keyspace[ctx.db].contains(key) || keyspace[to].contains(key) {
        ctx.reply.integer(0);
        return Ok(());
    }
    keyspace::act::expire::reap_expired(ctx.state);
    let meta = keyspace::act::metas::go(ctx.state, Going::Moved, (ctx.db, key), (to, key));
    keyspace::act::keys::leaving(ctx.state, KeyLeft::Deleted, ctx.db, key);
    let keyspace = &mut ctx.state.keyspace;
    if let Some(removed) = keyspace[ctx.db].take(key) {
        keyspace[to].put(key, removed);
    }
    keyspace::act::metas::attach(ctx.state, (to, key), meta);
    keyspace::act::notify::appeared(ctx.state, to, key);
    ctx.modified(key, Event::generic("move_from"));
    keyspace::act::notify::modified(ctx.state, to, key, Event::generic("move_to"));
    ctx.reply.integer(1);
    Ok(())
}

pub(super) const COPY: Command = Command {
    name: "copy",
    arity: Arity::AtLeast(3),
    flags: &[Write, DenyOom],
    acl: &[Category::Keyspace],
    keys: &[KeySpec::at(1, &[Ro, Access]), KeySpec::at(2, &[Ow, Update])],
    args: &[
        arg::key("source"),
        arg::key("destination").spec(1),
        arg::integer("destination-db").token("DB").optional(),
        arg::word("replace", "REPLACE").optional(),
    ],
    docs: Docs {
        group: Group::Generic,
        since: "6.2.0",
        complexity: "O(1); large values share their memory until one of them changes.",
        summary: "Gives a key's value, and its deadline, to another key too.",
        ..Docs::BASE
    },
    run: copy,
    ..Command::BASE
};

/// Copies a value with its deadline to another name or database and answers 1; 0 if the source is missing, or the
/// target exists and REPLACE is not given. Propagated as it came.
#[doc(alias = "copyCommand")]
fn copy(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let from = args.key()?;
    let to = args.key()?;
    let (mut db, mut replace) = (ctx.db, false);
    while !args.is_empty() {
        if args.word("REPLACE") {
            replace = true;
        } else if args.word_with("DB", 1) {
            db = database(ctx, &mut args)?;
        } else {
            return Err(Error::Syntax);
        }
    }
    if ctx.state.config.cluster_enabled && (ctx.db, db) != (DbId(0), DbId(0)) {
        return Err(Error::once(
            "Copying to another database is not allowed in cluster mode",
        ));
    }
    if (ctx.db, from) == (db, to) {
        return Err(same_object());
    }
    ctx.state.stats.cluster_incompatible_ops += u64::from((ctx.db, db) != (DbId(0), DbId(0)));

    let keyspace = &ctx.state.keyspace;
    let Some(entry) = keyspace[ctx.db].get(from) else {
        ctx.missed(from);
        ctx.reply.integer(0);
        return Ok(());
    };
    let replaced = keyspace[db].peek(to).map(|entry| entry.kind());
    if replaced.is_some() && !replace {
        ctx.reply.integer(0);
        return Ok(());
    }
    let (kind, deadline) = (entry.kind(), entry.deadline());
    let mut inline = [0; INLINE_MAX];
    let foreign = match entry.value() {
        ValueRef::Object(value) => Foreign::of(value).cloned(),
        ValueRef::String(_) => None,
    };
    let value = match foreign {
        // Only its owner can copy a value of a foreign type.
        Some(value) => {
            let place = |db: DbId, key| Place {
                db: db.0 as i32,
                key: Some(key),
            };
            let copy = value.get().copy(place(ctx.db, from), place(db, to));
            NewValue::Object(copy.ok_or(Error::once("module key failed to copy"))?.into())
        }
        None => copied(entry.value(), &mut inline),
    };
    let meta = keyspace::act::metas::copied(ctx.state, (ctx.db, from), (db, to));
    // A value under the new name is removed first: an expired key publishes its own events, a live one makes room.
    keyspace::act::expire::reap_expired(ctx.state);
    if replaced.is_some() {
        keyspace::act::keys::delete(ctx.state, db, to, ctx.state.config.lazyfree_lazy_server_del);
    }
    ctx.state.keyspace[db].insert_as_is(to, value, Deadline::Set(deadline));
    keyspace::act::metas::attach(ctx.state, (db, to), meta);
    keyspace::act::notify::appeared(ctx.state, db, to);
    ctx.state.dirty += 1;
    keyspace::act::notify::modified(ctx.state, db, to, Event::generic("copy_to"));
    if let Some(old_kind) = replaced {
        keyspace::act::keys::say_overwritten(ctx.state, db, to, kind != old_kind);
    }
    ctx.reply.integer(1);
    Ok(())
}

/// Makes a value that equals another. Bytes of a short string lie inside its entry, so they are copied to `inline`.
fn copied<'a>(value: ValueRef<'_>, inline: &'a mut [u8; INLINE_MAX]) -> NewValue<'a> {
    let mut keep = |bytes: &[u8]| inline[..bytes.len()].copy_from_slice(bytes);
    match value {
        ValueRef::String(StrRef::Int(n)) => NewValue::Int(n),
        ValueRef::String(StrRef::Embedded(bytes)) => {
            keep(bytes);
            NewValue::Bytes(&inline[..bytes.len()])
        }
        ValueRef::String(StrRef::Raw(bytes)) => {
            keep(bytes);
            NewValue::RawBytes(&inline[..bytes.len()])
        }
        ValueRef::String(StrRef::Big(string)) => NewValue::Big(string.clone()),
        ValueRef::Object(value) => NewValue::Object(value.clone()),
    }
}
