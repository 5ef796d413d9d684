//! Groups of consumers: XGROUP.
//!
//! Mirrors: `xgroupCommand()` of t_stream.c.

use super::super::prelude::*;
use super::{consumer_created, no_group, strict_id};
use crate::clients::ClientFlags;
use crate::keyspace;
use crate::types::Stream;
use crate::types::stream::{Group as ConsumerGroup, StreamId, UNKNOWN};

pub(super) const XGROUP: Command = Command {
    name: "xgroup",
    arity: Arity::AtLeast(2),
    docs: Docs {
        group: Group::Stream,
        since: "5.0.0",
        complexity: "Depends on subcommand.",
        summary: "Manages the groups that read a stream.",
        ..Docs::BASE
    },
    subcommands: &[
        &XGROUP_CREATE,
        &XGROUP_CREATECONSUMER,
        &XGROUP_DELCONSUMER,
        &XGROUP_DESTROY,
        &XGROUP_HELP,
        &XGROUP_SETID,
    ],
    ..Command::BASE
};

/// The options of CREATE and SETID.
#[derive(Default)]
struct Options {
    make_stream: bool,
    entries_read: Option<i64>,
}

impl Options {
    fn take(args: &mut Args<'_>, create: bool) -> Result<Options> {
        let mut options = Options::default();
        while !args.is_empty() {
            if create && args.word("MKSTREAM") {
                options.make_stream = true;
            } else if args.word_with("ENTRIESREAD", 1) {
                let read = args.integer()?;
                if read < 0 && read != UNKNOWN {
                    return Err(Error::once("value for ENTRIESREAD must be positive or -1"));
                }
                options.entries_read = Some(read);
            } else {
                return Err(wrong_subcommand(args));
            }
        }
        Ok(options)
    }

    /// The number of entries that the group has read, as ENTRIESREAD gives it, at most the number ever added; otherwise
    /// unknown. A primary or a file (`exact`) is believed: its group may have counted past the stream.
    fn entries_read(&self, stream: &Stream, exact: bool) -> i64 {
        if exact {
            return self.entries_read.unwrap_or(UNKNOWN);
        }
        let added = stream.counters().entries_added;
        let added = i64::try_from(added).unwrap_or(i64::MAX);
        self.entries_read.map_or(UNKNOWN, |read| read.min(added))
    }
}

#[doc(alias = "addReplySubcommandSyntaxError")]
fn wrong_subcommand(args: &Args<'_>) -> Error {
    let before = "ERR unknown subcommand or wrong number of arguments for '";
    Error::quoting(before, args.argv().get(1), "'. Try XGROUP HELP.")
}

const NO_KEY: Error = Error::Once(std::borrow::Cow::Borrowed(
    "The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the \
     MKSTREAM option to create an empty stream automatically.",
));

fn no_such(key: &[u8], group: &[u8]) -> Error {
    no_group(
        "No such consumer group '",
        group,
        "' for key name '",
        key,
        "'",
    )
}

/// Looks up the stream of a subcommand; a missing key is an error.
fn stream<'a>(ctx: &'a mut Ctx<'_>, key: &[u8]) -> Result<&'a mut Stream> {
    let db = ctx.db;
    let stream = ctx.state.keyspace[db].get_mut_as::<Stream>(key)?;
    stream.ok_or(NO_KEY)
}

const XGROUP_CREATE: Command = Command {
    name: "create",
    arity: Arity::AtLeast(5),
    flags: &[Write, DenyOom],
    acl: &[Category::Stream],
    keys: &[KeySpec::at(2, &[Rw, Insert])],
    args: &[
        arg::key("key"),
        arg::string("group"),
        arg::one_of(
            "id-selector",
            &[arg::string("id"), arg::word("new-id", "$")],
        ),
        arg::word("mkstream", "MKSTREAM").optional(),
        arg::integer("entriesread")
            .shown_as("entries-read")
            .token("ENTRIESREAD")
            .optional(),
    ],
    docs: Docs {
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Creates a group that reads a stream from an ID on.",
        ..Docs::BASE
    },
    run: xgroup_create,
    ..Command::BASE
};

/// Creates a group that begins after an ID, or after the last entry (`$`); with MKSTREAM also the stream. Fails with
/// BUSYGROUP if the group exists. Propagated as it came.
fn xgroup_create(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, name, word) = (args.key()?, args.bytes()?, args.bytes()?);
    let options = Options::take(&mut args, true)?;

    let exact = ctx.client().flags.has(ClientFlags::MUST_OBEY);
    let mut fresh = None;
    let stream = match ctx.state.keyspace[ctx.db].get_mut_as::<Stream>(key)? {
        Some(stream) => stream,
        None if options.make_stream => fresh.insert(Stream::new()),
        None => return Err(NO_KEY),
    };
    if args.argv().len() > 8 {
        return Err(wrong_subcommand(&args));
    }
    let last_id = match word {
        b"$" => stream.last_id(),
        _ => strict_id(word)?,
    };
    let read = options.entries_read(stream, exact);
    if !stream.create_group(name, ConsumerGroup::new(last_id, read)) {
        return Err(Error::coded("BUSYGROUP Consumer Group name already exists"));
    }
    if let Some(stream) = fresh {
        ctx.create(key, stream);
        keyspace::act::notify::touched(ctx.state, ctx.db, key);
    }
    ctx.state.dirty += 1;
    ctx.notify(key, Event::stream("xgroup-create"));
    propagate_count(ctx, &args, options.entries_read, read);
    ctx.reply.ok();
    Ok(())
}

/// Propagates the count of entries read that was taken, if it is not the one that was given: replicas believe it.
fn propagate_count(ctx: &mut Ctx<'_>, args: &Args<'_>, given: Option<i64>, taken: i64) {
    if given.is_none_or(|given| given == taken) {
        return;
    }
    let (argv, digits) = (args.argv(), taken.to_string());
    let word = |at: usize| {
        let is_count = at >= 6 && argv.get(at - 1).eq_ignore_ascii_case(b"ENTRIESREAD");
        match is_count {
            true => digits.as_bytes(),
            false => argv.get(at),
        }
    };
    let words: Vec<&[u8]> = (0..argv.len()).map(word).collect();
    ctx.rewrite_as(&words);
}

const XGROUP_SETID: Command = Command {
    name: "setid",
    arity: Arity::AtLeast(5),
    flags: &[Write],
    acl: &[Category::Stream],
    keys: &[KeySpec::at(2, &[Rw, Update])],
    args: &[
        arg::key("key"),
        arg::string("group"),
        arg::one_of(
            "id-selector",
            &[arg::string("id"), arg::word("new-id", "$")],
        ),
        arg::integer("entriesread")
            .shown_as("entries-read")
            .token("ENTRIESREAD")
            .optional(),
    ],
    docs: Docs {
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Sets the entry that a group was given last.",
        ..Docs::BASE
    },
    run: xgroup_setid,
    ..Command::BASE
};

/// Moves a group to another ID: entries after it count as not yet read. Pending entries stay. Propagated as it came.
fn xgroup_setid(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, name, word) = (args.key()?, args.bytes()?, args.bytes()?);
    let options = Options::take(&mut args, false)?;

    let exact = ctx.client().flags.has(ClientFlags::MUST_OBEY);
    let wrong = wrong_subcommand(&args);
    let stream = stream(ctx, key)?;
    if stream.group(name).is_none() {
        return Err(no_such(key, name));
    }
    if !matches!(args.argv().len(), 5 | 7) {
        return Err(wrong);
    }
    let id = match word {
        b"$" => stream.last_id(),
        _ => StreamId::parse_bound(word, 0).ok_or(super::INVALID_ID)?,
    };
    let read = options.entries_read(stream, exact);
    if let Some(group) = stream.group_mut(name) {
        group.last_id = id;
        group.entries_read = read;
    }
    ctx.state.dirty += 1;
    ctx.notify(key, Event::stream("xgroup-setid"));
    propagate_count(ctx, &args, options.entries_read, read);
    ctx.reply.ok();
    Ok(())
}

const XGROUP_DESTROY: Command = Command {
    name: "destroy",
    arity: Arity::Exactly(4),
    flags: &[Write],
    acl: &[Category::Stream],
    keys: &[KeySpec::at(2, &[Rw, Delete])],
    args: &[arg::key("key"), arg::string("group")],
    docs: Docs {
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(N) with N pending entries",
        summary: "Deletes a group.",
        ..Docs::BASE
    },
    run: xgroup_destroy,
    ..Command::BASE
};

/// Deletes a group with its consumers and pending entries, and answers 1, or 0 if there was none. Clients blocked in
/// the group run their command again, which then fails with NOGROUP.
fn xgroup_destroy(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, name) = (args.key()?, args.bytes()?);
    let destroyed = stream(ctx, key)?.remove_group(name);
    if destroyed {
        ctx.state.dirty += 1;
        ctx.notify(key, Event::stream("xgroup-destroy"));
        // Clients that are blocked in the group are woken, to learn that it is gone.
        ctx.state.blocked.touch(ctx.db, key);
    }
    ctx.reply.integer(destroyed.into());
    Ok(())
}

const XGROUP_CREATECONSUMER: Command = Command {
    name: "createconsumer",
    arity: Arity::Exactly(5),
    flags: &[Write, DenyOom],
    acl: &[Category::Stream],
    keys: &[KeySpec::at(2, &[Rw, Insert])],
    args: &[
        arg::key("key"),
        arg::string("group"),
        arg::string("consumer"),
    ],
    docs: Docs {
        group: Group::Stream,
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Creates a consumer of a group.",
        ..Docs::BASE
    },
    run: xgroup_createconsumer,
    ..Command::BASE
};

/// Creates a consumer and answers 1, or 0 if it exists. Fails if the key or the group is missing. Propagated as it
/// came.
fn xgroup_createconsumer(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, name, consumer) = (args.key()?, args.bytes()?, args.bytes()?);
    let now_ms = ctx.now_ms();
    let stream = stream(ctx, key)?;
    let group = stream.group_mut(name).ok_or_else(|| no_such(key, name))?;
    let created = group.create_consumer(consumer, now_ms, -1);
    if created {
        consumer_created(ctx, key);
    }
    ctx.reply.integer(created.into());
    Ok(())
}

const XGROUP_DELCONSUMER: Command = Command {
    name: "delconsumer",
    arity: Arity::Exactly(5),
    flags: &[Write],
    acl: &[Category::Stream],
    keys: &[KeySpec::at(2, &[Rw, Delete])],
    args: &[
        arg::key("key"),
        arg::string("group"),
        arg::string("consumer"),
    ],
    docs: Docs {
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(N) with N entries pending for it",
        summary: "Deletes a consumer of a group, and forgets what is pending for it.",
        ..Docs::BASE
    },
    run: xgroup_delconsumer,
    ..Command::BASE
};

/// Deletes a consumer and answers how many entries were pending for it. They are pending no more, and nobody gets them
/// again.
fn xgroup_delconsumer(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, name, consumer) = (args.key()?, args.bytes()?, args.bytes()?);
    let stream = stream(ctx, key)?;
    let group = stream.group_mut(name).ok_or_else(|| no_such(key, name))?;
    let pending = group.remove_consumer(consumer);
    if pending.is_some() {
        ctx.state.dirty += 1;
        ctx.notify(key, Event::stream("xgroup-delconsumer"));
    }
    ctx.reply.count(pending.unwrap_or(0) as usize);
    Ok(())
}

const XGROUP_HELP: Command = Command {
    name: "help",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    acl: &[Category::Stream],
    docs: Docs {
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Explains the subcommands.",
        ..Docs::BASE
    },
    run: xgroup_help,
    ..Command::BASE
};

fn xgroup_help(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    ctx.reply.help(
        "XGROUP",
        &[
            "CREATE <key> <groupname> <id|$> [option]",
            "    Create a group. Options are:",
            "    * MKSTREAM",
            "      Create an empty stream where there is none.",
            "    * ENTRIESREAD entries_read",
            "      Say how many entries the group has read (internal use).",
            "CREATECONSUMER <key> <groupname> <consumer>",
            "    Create a consumer of a group.",
            "DELCONSUMER <key> <groupname> <consumer>",
            "    Delete a consumer and forget what is pending for it.",
            "DESTROY <key> <groupname>",
            "    Delete a group.",
            "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
            "    Say which entry the group was given last.",
        ],
    );
    Ok(())
}
