//! SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE: the data set to its file; DUMP and RESTORE: one value to the client and back.
//!
//! Mirrors: `saveCommand()`, `bgsaveCommand()` of rdb.c, `dumpCommand()`, `restoreCommand()` of cluster.c.
//! Differs: a save in the background is a thread that reads a snapshot; BGSAVE CANCEL ends it.

use super::prelude::*;
use crate::command::Arg;
use crate::dispatch::CallOrigin;
use crate::keyspace::{self, Deadline, NewValue};
use crate::persistence;
use crate::persistence::act::loading;
use crate::persistence::rdb::dump::{self, Restored};
use crate::persistence::rdb::write_value::Unwritten;
use crate::persistence::saving::Purpose;
use crate::replication;
use crate::types::foreign::Raw;
use crate::types::{Foreign, Held};

pub const COMMANDS: &[&Command] = &[
    &BGREWRITEAOF,
    &BGSAVE,
    &DUMP,
    &LASTSAVE,
    &RESTORE,
    &RESTORE_ASKING,
    &SAVE,
];

const SAVE: Command = Command {
    name: "save",
    arity: Arity::Exactly(1),
    flags: &[Admin, NoScript, NoAsyncLoading, NoMulti],
    docs: Docs {
        group: Group::Server,
        since: "1.0.0",
        complexity: "O(N) where N is the number of keys in all databases.",
        summary: "Writes the data set to disk and serves nobody meanwhile.",
        ..Docs::BASE
    },
    run: save,
    ..Command::BASE
};

/// Writes the RDB file before it answers; the server serves nobody else meanwhile. Fails while a save in the background
/// runs.
#[doc(alias = "saveCommand")]
fn save(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    let running = ctx.state.persistence.running.as_ref();
    if running.is_some_and(|running| running.is_save()) {
        return Err(Error::once("Background save already in progress"));
    }
    if !persistence::act::saving::save_now(ctx.state) {
        return Err(Error::coded("ERR"));
    }
    ctx.reply.ok();
    Ok(())
}

const BGSAVE: Command = Command {
    name: "bgsave",
    arity: Arity::AtLeast(1),
    flags: &[Admin, NoScript, NoAsyncLoading],
    args: &[arg::one_of(
        "operation",
        &[
            arg::word("schedule", "SCHEDULE").since("3.2.2"),
            arg::word("cancel", "CANCEL"),
        ],
    )
    .optional()],
    docs: Docs {
        group: Group::Server,
        since: "1.0.0",
        complexity: "O(1); another thread takes O(N), N the number of keys in all databases.",
        summary: "Has another thread write the data set to disk, or stops the one that does.",
        ..Docs::BASE
    },
    run: bgsave,
    ..Command::BASE
};

/// Takes a snapshot and lets a thread write the RDB file; answers at once.
///
/// Fails if such a save runs already. While an AOF rewrite runs it fails, too, or with SCHEDULE saves afterwards.
/// Inside of a transaction the save is scheduled for its end. CANCEL ends the save that runs or is scheduled.
#[doc(alias = "bgsaveCommand")]
fn bgsave(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let schedule = args.word("SCHEDULE");
    let cancel = !schedule && args.word("CANCEL");
    args.end()?;
    let persistence = &mut ctx.state.persistence;
    if cancel {
        if std::mem::take(&mut persistence.save_scheduled) {
            ctx.reply.simple("Scheduled background saving cancelled");
        } else if replication::act::full_sync::cancel_save(ctx.state) {
            ctx.reply.simple("Background saving cancelled");
        } else {
            return Err(Error::once(
                "Background saving is currently not in progress or scheduled",
            ));
        }
        return Ok(());
    }
    match &persistence.running {
        Some(running) if running.purpose == Purpose::Save => {
            Err(Error::once("Background save already in progress"))
        }
        Some(_) if schedule => {
            persistence.save_scheduled = true;
            ctx.reply.simple("Background saving scheduled");
            Ok(())
        }
        Some(_) => Err(Error::once(
            "Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in \
             order to schedule a BGSAVE whenever possible.",
        )),
        None if ctx.origin == CallOrigin::Exec => {
            // The save begins after the transaction, so that it holds all of it.
            persistence.save_scheduled = true;
            ctx.reply.simple("Background saving scheduled");
            Ok(())
        }
        None => {
            let after_save = replication::act::full_sync::after_save;
            if !persistence::act::saving::save_in_background(ctx.state, after_save) {
                return Err(Error::coded("ERR"));
            }
            ctx.reply.simple("Background saving started");
            Ok(())
        }
    }
}

const BGREWRITEAOF: Command = Command {
    name: "bgrewriteaof",
    arity: Arity::Exactly(1),
    flags: &[Admin, NoScript, NoAsyncLoading],
    docs: Docs {
        group: Group::Server,
        since: "1.0.0",
        complexity: "O(1); another thread takes O(N), N the number of keys in all databases.",
        summary: "Has another thread write the append-only file anew, as short as it can be.",
        ..Docs::BASE
    },
    run: bgrewriteaof,
    ..Command::BASE
};

/// Takes a snapshot and lets a thread write a new base file of the AOF; answers at once. While a save or a backup runs,
/// or inside of a transaction, the rewrite is scheduled. Fails if a rewrite runs already.
#[doc(alias = "bgrewriteaofCommand")]
fn bgrewriteaof(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    let persistence = &mut ctx.state.persistence;
    let purpose = persistence.running.as_ref().map(|running| running.purpose);
    if purpose == Some(Purpose::Rewrite) {
        return Err(Error::once(
            "Background append only file rewriting already in progress",
        ));
    }
    if purpose.is_some()
        || ctx.origin == CallOrigin::Exec
        || persistence.backup.postpones_rewrites()
    {
        persistence.aof.rewrite_scheduled = true;
        // A rewrite that is asked for is not held back by earlier failures.
        persistence.aof.consecutive_failures = 0;
        ctx.reply
            .simple("Background append only file rewriting scheduled");
        return Ok(());
    }
    if !persistence::act::rewrite::rewrite_aof(ctx.state) {
        return Err(Error::once(
            "Can't execute an AOF background rewriting. Please check the server logs for more \
             information.",
        ));
    }
    ctx.reply
        .simple("Background append only file rewriting started");
    Ok(())
}

const LASTSAVE: Command = Command {
    name: "lastsave",
    arity: Arity::Exactly(1),
    flags: &[Loading, Stale, Fast],
    acl: &[Category::Admin, Category::Dangerous],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Server,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Tells when the data set was last saved, in unix time.",
        ..Docs::BASE
    },
    run: lastsave,
    ..Command::BASE
};

#[doc(alias = "lastsaveCommand")]
fn lastsave(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    ctx.reply.integer(ctx.state.persistence.stats.last_save_s);
    Ok(())
}

const DUMP: Command = Command {
    name: "dump",
    arity: Arity::Exactly(2),
    flags: &[ReadOnly],
    acl: &[Category::Keyspace],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key")],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Generic,
        since: "2.6.0",
        complexity: "O(N) where N is the size of the value.",
        summary: "Returns the value of a key in the form RESTORE takes.",
        ..Docs::BASE
    },
    run: dump,
    ..Command::BASE
};

/// Answers a value as RESTORE reads it: its RDB type and bytes, the RDB version, a CRC-64 of it all. Null for a missing
/// key; the deadline is not part of it. Fails if the configured older RDB version cannot hold the value.
#[doc(alias = "dumpCommand")]
fn dump(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let options = persistence::act::saving::dump_options(ctx.state);
    let Some(entry) = ctx.state.keyspace[ctx.db].get_untouched(key) else {
        ctx.missed(key);
        ctx.reply.null();
        return Ok(());
    };
    // A class that is asked for its bytes reads nothing of the keyspace.
    let meta = keyspace::act::metas::saved(ctx.state, (ctx.db, key)).unwrap_or_default();
    match dump::dump_with(entry.value(), &meta, options.0, options.1) {
        Ok(payload) => {
            ctx.reply.bulk(&payload);
            Ok(())
        }
        Err(Unwritten::NotInVersion(what)) => Err(Error::once(format!(
            "RDB version {} cannot hold {what}",
            options.0
        ))),
        Err(Unwritten::Io(error)) => Err(Error::once(error.to_string())),
    }
}

const RESTORE_ARGS: &[Arg] = &[
    arg::key("key"),
    arg::integer("ttl"),
    arg::string("serialized-value"),
    arg::word("replace", "REPLACE").optional().since("3.0.0"),
    arg::word("absttl", "ABSTTL").optional().since("5.0.0"),
    arg::integer("seconds")
        .token("IDLETIME")
        .optional()
        .since("5.0.0"),
    arg::integer("frequency")
        .token("FREQ")
        .optional()
        .since("5.0.0"),
];

const RESTORE: Command = Command {
    name: "restore",
    arity: Arity::AtLeast(4),
    flags: &[Write, DenyOom],
    acl: &[Category::Keyspace, Category::Dangerous],
    keys: &[KeySpec::at(1, &[Ow, Update])],
    args: RESTORE_ARGS,
    docs: Docs {
        group: Group::Generic,
        since: "2.6.0",
        complexity: "O(N) where N is the size of the value.",
        summary: "Makes a key of what DUMP returned.",
        ..Docs::BASE
    },
    run: restore,
    ..Command::BASE
};

const RESTORE_ASKING: Command = Command {
    name: "restore-asking",
    flags: &[Write, DenyOom, Asking],
    docs: Docs {
        group: Group::Server,
        since: "3.0.0",
        complexity: "O(N) where N is the size of the value.",
        summary: "RESTORE for keys on their way to another node of a cluster.",
        syscmd: true,
        ..Docs::BASE
    },
    ..RESTORE
};

/// Makes a key hold the value of a DUMP payload, with a time to live in milliseconds (0: none; with ABSTTL it is a
/// moment in unix time).
///
/// Fails with BUSYKEY if the key exists and REPLACE is not given. A payload is checked before it is believed: its
/// checksum, its version, its form, and each element as far as `sanitize-dump-payload` asks for it. A bad one changes
/// nothing. A moment in the past stores nothing, but deletes a key that is to be replaced.
///
/// Propagated with ABSTTL, so that the key expires everywhere at the same moment: `RESTORE k 5000 <payload>` becomes
/// `RESTORE k 1700000005000 <payload> ABSTTL`.
#[doc(alias = "restoreCommand")]
fn restore(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let request = args.argv();
    let key = args.key()?;
    let (ttl, payload) = (args.bytes()?, args.bytes()?);
    let RestoreOptions {
        replace,
        absolute,
        idle_s,
        frequency,
    } = RestoreOptions::take(&mut args)?;
    if !replace && ctx.db().contains(key) {
        return Err(Error::coded("BUSYKEY Target key name already exists."));
    }
    let ttl = crate::util::num::parse_i64(ttl).ok_or(Error::NotInteger)?;
    if ttl < 0 {
        return Err(Error::once("Invalid TTL value, must be >= 0"));
    }
    if !dump::is_intact(payload, ctx.state.persistence.skip_checksum) {
        return Err(Error::once("DUMP payload version or checksum are wrong"));
    }
    let mut scratch = Vec::new();
    let Restored { value, metas } = read_payload(ctx, key, payload, &mut scratch)?;
    let value = realised(ctx, key, value)?;
    let meta = match metas.is_empty() {
        true => None,
        false => loading::metadata::realise(ctx.state, metas, ctx.db, key, &mut 0)
            .map_err(|_| Error::once("Bad data format"))?,
    };

    let deadline = match ttl {
        0 => None,
        ttl if absolute => Some(ttl),
        ttl => Some(ttl.saturating_add(ctx.now_ms())),
    };
    if deadline.is_some_and(|deadline| ctx.is_past(deadline)) {
        ctx.state.stats.expired_keys += 1;
        if replace {
            let lazy = ctx.state.config.lazyfree_lazy_server_del;
            if ctx.delete(key, lazy) {
                let word: &[u8] = if lazy { b"UNLINK" } else { b"DEL" };
                ctx.rewrite([word, key]);
                ctx.modified(key, Event::DEL);
            }
        }
        ctx.reply.ok();
        return Ok(());
    }
    put(ctx, key, value, deadline);
    keyspace::act::metas::attach(ctx.state, (ctx.db, key), meta);
    let env = ctx.state.keyspace.env();
    let clock = match (frequency, idle_s) {
        (Some(count), _) if env.is_lfu() => Some(env.clock_for_frequency(count)),
        (_, Some(idle)) if !env.is_lfu() => Some(env.clock_for_idle(idle.saturating_mul(1000))),
        _ => None,
    };
    if let Some(clock) = clock
        && let Some(entry) = ctx.state.keyspace[ctx.db].peek_raw(key)
    {
        entry.set_clock(clock);
    }
    if let Some(deadline) = deadline
        && !absolute
    {
        ctx.rewrite_with(|words| {
            for i in 0..request.len() {
                match i {
                    2 => words.push_integer(deadline),
                    _ => words.push_word(request, i),
                }
            }
            words.push(b"ABSTTL");
        });
    }
    ctx.modified(key, Event::RESTORE);
    ctx.reply.ok();
    Ok(())
}

/// The options of RESTORE.
#[derive(Default)]
struct RestoreOptions {
    replace: bool,
    absolute: bool,
    idle_s: Option<u64>,
    frequency: Option<u8>,
}

impl RestoreOptions {
    fn take(args: &mut Args<'_>) -> Result<RestoreOptions> {
        let mut options = RestoreOptions::default();
        while !args.is_empty() {
            if args.word("REPLACE") {
                options.replace = true;
            } else if args.word("ABSTTL") {
                options.absolute = true;
            } else if args.len() >= 2 && options.frequency.is_none() && args.word("IDLETIME") {
                let seconds = args.integer()?;
                if seconds < 0 {
                    return Err(Error::once("Invalid IDLETIME value, must be >= 0"));
                }
                options.idle_s = Some(seconds as u64);
            } else if args.len() >= 2 && options.idle_s.is_none() && args.word("FREQ") {
                let count = args.integer()?;
                options.frequency = Some(
                    u8::try_from(count)
                        .map_err(|_| Error::once("Invalid FREQ value, must be >= 0 and <= 255"))?,
                );
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }
}

/// Reads the value of a payload. The log has the reason of a failure.
fn read_payload<'a>(
    ctx: &Ctx<'_>,
    key: &[u8],
    payload: &'a [u8],
    scratch: &'a mut Vec<u8>,
) -> Result<Restored<'a>> {
    let reading = persistence::act::loading::reading(ctx.state, ctx.state.clients.get(ctx.client));
    let (restored, remark) = dump::restore(payload, &reading, scratch);
    if let Some(remark) = remark {
        persistence::act::loading::log_broken_value(ctx.state, key, remark);
    }
    restored.map_err(|error| {
        ctx.state.log.verbose(format_args!(
            "Internal error in RDB reading offset {} of a payload -> {}",
            error.offset, error.reason
        ));
        Error::once("Bad data format")
    })
}

/// A value of a foreign type is made of its bytes by the type's owner.
fn realised<'a>(ctx: &mut Ctx<'_>, key: &[u8], value: NewValue<'a>) -> Result<NewValue<'a>> {
    let NewValue::Object(object) = &value else {
        return Ok(value);
    };
    let Some(raw) = Foreign::of(object).cloned() else {
        return Ok(value);
    };
    let id = raw.get().rdb_id();
    let made = match (raw.downcast::<Raw>(), ctx.state.modules.native(id)) {
        (Some(bytes), Some(kind)) => (kind.load)(bytes),
        _ => {
            let doors = ctx.state.module_doors;
            doors.and_then(|doors| (doors.realise)(ctx.state, &raw, ctx.db, key))
        }
    };
    let made = made.ok_or(Error::once("Bad data format"))?;
    Ok(NewValue::Object(made.into()))
}

/// Deletes the old key, if there is one, and stores the new value.
fn put(ctx: &mut Ctx<'_>, key: &[u8], value: NewValue<'_>, deadline: Option<i64>) {
    let lazy = ctx.state.config.lazyfree_lazy_server_del;
    ctx.delete(key, lazy);
    ctx.store(key, value, Deadline::Set(deadline));
}
