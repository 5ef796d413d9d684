//! DEL, UNLINK, EXISTS, TOUCH.
//!
//! UNLINK and, with `lazyfree-lazy-user-del`, DEL remove keys at once and free large values on the lazy-free thread.
//!
//! Mirrors: `delGenericCommand()` and `existsCommand()` of db.c, `touchCommand()` of server.c.

use super::super::prelude::*;

pub(super) const DEL: Command = Command {
    name: "del",
    arity: Arity::AtLeast(2),
    flags: &[Write],
    acl: &[Category::Keyspace],
    keys: &[KeySpec::at(1, &[Rm, Delete]).to(-1, 1)],
    args: &[arg::key("key").multiple()],
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    docs: Docs {
        group: Group::Generic,
        since: "1.0.0",
        complexity: "O(N) where N is the number of keys, and for each that holds no string, of its elements.",
        summary: "Deletes keys.",
        ..Docs::BASE
    },
    run: del,
    ..Command::BASE
};

#[doc(alias = "delCommand")]
fn del(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let lazy = ctx.state.config.lazyfree_lazy_user_del;
    delete_all(ctx, args, lazy)
}

pub(super) const UNLINK: Command = Command {
    name: "unlink",
    arity: Arity::AtLeast(2),
    flags: &[Write, Fast],
    acl: &[Category::Keyspace],
    keys: &[KeySpec::at(1, &[Rm, Delete]).to(-1, 1)],
    args: &[arg::key("key").multiple()],
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    docs: Docs {
        group: Group::Generic,
        since: "4.0.0",
        complexity: "O(1) for each key; the memory is given back by another thread.",
        summary: "Deletes keys, and frees large values in the background.",
        ..Docs::BASE
    },
    run: unlink,
    ..Command::BASE
};

#[doc(alias = "unlinkCommand")]
fn unlink(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    delete_all(ctx, args, true)
}

/// Deletes keys of any type and answers how many existed. Propagated as it came, if one of them did.
#[doc(alias = "delGenericCommand")]
fn delete_all(ctx: &mut Ctx<'_>, args: Args<'_>, lazy: bool) -> Result {
    let mut deleted = 0;
    for key in args {
        if ctx.delete(key, lazy) {
            ctx.modified(key, Event::DEL);
            deleted += 1;
        }
    }
    ctx.reply.integer(deleted);
    Ok(())
}

pub(super) const EXISTS: Command = Command {
    name: "exists",
    arity: Arity::AtLeast(2),
    flags: &[ReadOnly, Fast],
    acl: &[Category::Keyspace],
    keys: &[KeySpec::at(1, &[Ro]).to(-1, 1)],
    args: &[arg::key("key").multiple()],
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    docs: Docs {
        group: Group::Generic,
        since: "1.0.0",
        complexity: "O(N) where N is the number of keys.",
        summary: "Counts the keys that are there; one named twice counts twice.",
        ..Docs::BASE
    },
    run: exists,
    ..Command::BASE
};

/// Answers how many of the keys exist; a key that is named twice counts twice. The access clock stays.
#[doc(alias = "existsCommand")]
fn exists(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let mut found = 0;
    for key in args {
        if ctx.db().get_untouched(key).is_some() {
            found += 1;
        } else {
            ctx.missed(key);
        }
    }
    ctx.reply.integer(found);
    Ok(())
}

pub(super) const TOUCH: Command = Command {
    name: "touch",
    arity: Arity::AtLeast(2),
    flags: &[ReadOnly, Fast, TouchesKeys],
    acl: &[Category::Keyspace],
    keys: &[KeySpec::at(1, &[Ro]).to(-1, 1)],
    args: &[arg::key("key").multiple()],
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    docs: Docs {
        group: Group::Generic,
        since: "3.2.1",
        complexity: "O(N) where N is the number of keys.",
        summary: "Counts the keys that are there, and marks them as used now.",
        ..Docs::BASE
    },
    run: touch,
    ..Command::BASE
};

/// Sets the access clock of keys and answers how many exist.
#[doc(alias = "touchCommand")]
fn touch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    // The command asks for it by name, so CLIENT NO-TOUCH does not apply.
    let env = ctx.state.keyspace.env();
    let no_touch = env.is_no_touch();
    env.set_no_touch(false);
    let mut found = 0;
    for key in args {
        if ctx.db().get(key).is_some() {
            found += 1;
        } else {
            ctx.missed(key);
        }
    }
    ctx.state.keyspace.env().set_no_touch(no_touch);
    ctx.reply.integer(found);
    Ok(())
}
