//! ACL: users and their rights, seen and changed.
//!
//! Names and rules of requests are hidden from MONITOR and the slow log. Users are not propagated to replicas: each
//! server has its own.
//!
//! Mirrors: `aclCommand` of acl.c; rules are parsed and checked in `acl/`.

use super::prelude::*;
use crate::acl::act::denied_words;
use crate::acl::{self, Selector};
use crate::resp::Reply;

pub const COMMANDS: &[&Command] = &[&ACL];

/// The documentation that all subcommands share.
const DOCS: Docs = Docs {
    group: Group::Server,
    since: "6.0.0",
    ..Docs::BASE
};

const ACL: Command = Command {
    name: "acl",
    arity: Arity::AtLeast(2),
    docs: Docs {
        complexity: "Depends on subcommand.",
        summary: "Shows and changes users and what they may do.",
        ..DOCS
    },
    subcommands: &[
        &ACL_CAT,
        &ACL_DELUSER,
        &ACL_DRYRUN,
        &ACL_GENPASS,
        &ACL_GETUSER,
        &ACL_HELP,
        &ACL_LIST,
        &ACL_LOAD,
        &ACL_LOG,
        &ACL_SAVE,
        &ACL_SETUSER,
        &ACL_USERS,
        &ACL_WHOAMI,
    ],
    ..Command::BASE
};

const ACL_CAT: Command = Command {
    name: "cat",
    arity: Arity::AtLeast(2),
    flags: &[NoScript, Loading, Stale],
    args: &[arg::string("category").optional()],
    docs: Docs {
        complexity: "O(N) where N is the number of commands",
        summary: "Lists the categories of commands, or the commands of one.",
        ..DOCS
    },
    run: acl_cat,
    ..Command::BASE
};

/// Answers the names of all categories, or of the commands in one.
fn acl_cat(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let Some(asked) = args.next() else {
        let names = ctx.state.commands.category_names();
        ctx.reply.array(names.count());
        for (_, name) in ctx.state.commands.category_names() {
            ctx.reply.bulk(name.as_bytes());
        }
        return Ok(());
    };
    args.at_most(0)?;
    let Some(bit) = ctx.state.commands.category(asked) else {
        let asked = &asked[..asked.len().min(128)];
        return Err(Error::quoting("ERR Unknown category '", asked, "'"));
    };
    let commands = &ctx.state.commands;
    let open = ctx.reply.open();
    let mut count = 0;
    for entry in commands.iter().filter(|e| e.categories.0 & bit != 0) {
        ctx.reply.bulk(commands.declared_name(entry.id).as_bytes());
        count += 1;
    }
    ctx.reply.close_array(open, count);
    Ok(())
}

const ACL_DELUSER: Command = Command {
    name: "deluser",
    arity: Arity::AtLeast(3),
    flags: &[Admin, NoScript, Loading, Stale],
    args: &[arg::string("username").multiple()],
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    docs: Docs {
        complexity: "O(N) where N is the number of connections, for each user",
        summary: "Deletes users and closes their connections.",
        ..DOCS
    },
    run: acl_deluser,
    ..Command::BASE
};

/// Deletes users, closes their connections, and answers how many there were. The user `default` cannot be deleted.
fn acl_deluser(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    redact_all(ctx, args);
    if args.into_iter().any(|name| name == acl::DEFAULT) {
        return Err(Error::once("The 'default' user cannot be removed"));
    }
    let deleted = args
        .filter(|name| acl::act::delete_user(ctx.state, name))
        .count();
    ctx.reply.count(deleted);
    Ok(())
}

/// Hides all arguments, which are users and rules, from MONITOR and the slow log.
fn redact_all(ctx: &mut Ctx<'_>, args: Args<'_>) {
    for position in args.position()..args.argv().len() {
        ctx.redact(position);
    }
}

const ACL_DRYRUN: Command = Command {
    name: "dryrun",
    arity: Arity::AtLeast(4),
    flags: &[Admin, NoScript, Loading, Stale],
    args: &[
        arg::string("username"),
        arg::string("command"),
        arg::string("arg").optional().multiple(),
    ],
    docs: Docs {
        since: "7.0.0",
        complexity: "O(N) where N is the number of the user's patterns",
        summary: "Tells whether a user may run a command, without running it.",
        ..DOCS
    },
    run: acl_dryrun,
    ..Command::BASE
};

/// Checks whether a user may run a command, without running it. Answers OK, or the reason why not as a string.
fn acl_dryrun(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let name = args.bytes()?;
    let Some(user) = ctx.state.acl.user(name) else {
        return Err(Error::quoting("ERR User '", name, "' not found"));
    };
    let argv = args.argv().skip(args.position());
    let Ok(id) = ctx.state.commands.lookup(argv) else {
        let name = argv.get(0);
        return Err(Error::quoting("ERR Command '", name, "' not found"));
    };
    if !ctx.state.commands[id].accepts(argv.len()) {
        return Err(Error::WrongArity(ctx.state.commands.declared_name(id)));
    }
    match user.check(acl::act::asked(ctx.state, id, argv)) {
        Ok(()) => ctx.reply.ok(),
        Err(denied) => {
            let command = ctx.state.commands.declared_name(id);
            let object = match denied.position {
                0 => command.as_bytes(),
                position => argv.get(position),
            };
            let text = denied_words(name, denied.reason, object);
            ctx.reply.bulk(&text);
        }
    }
    Ok(())
}

const ACL_GENPASS: Command = Command {
    name: "genpass",
    arity: Arity::AtLeast(2),
    flags: &[NoScript, Loading, Stale],
    args: &[arg::integer("bits").optional()],
    docs: Docs {
        complexity: "O(1)",
        summary: "Makes up a password that cannot be guessed, in hexadecimal.",
        ..DOCS
    },
    run: acl_genpass,
    ..Command::BASE
};

/// The largest number of bits of a generated password.
const GENPASS_MAX_BITS: i64 = 4096;

/// Answers a random password in hexadecimal digits, of 256 bits or as many as asked for, rounded up to 4.
fn acl_genpass(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.at_most(1)?;
    let bits = if args.is_empty() {
        256
    } else {
        args.integer()?
    };
    if !(1..=GENPASS_MAX_BITS).contains(&bits) {
        return Err(Error::once(format!(
            "ACL GENPASS argument must be the number of bits for the output password, a positive number \
             up to {GENPASS_MAX_BITS}"
        )));
    }
    let digits = (bits as usize).div_ceil(4);
    let mut bytes = vec![0; digits.div_ceil(2)];
    // Passwords come from the operating system: they must not repeat with the server's seed.
    crate::sys::random_bytes(&mut bytes)
        .map_err(|_| Error::once("the system has no random bytes to give"))?;
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let hex = nibbles.map(|nibble| b"0123456789abcdef"[usize::from(nibble)]);
    let password: Vec<u8> = hex.take(digits).collect();
    ctx.reply.bulk(&password);
    Ok(())
}

const ACL_GETUSER: Command = Command {
    name: "getuser",
    arity: Arity::Exactly(3),
    flags: &[Admin, NoScript, Loading, Stale],
    args: &[arg::string("username")],
    docs: Docs {
        complexity: "O(N) where N is the number of the user's rules",
        summary: "Describes a user: switches, password hashes, permissions.",
        ..DOCS
    },
    run: acl_getuser,
    ..Command::BASE
};

/// Answers the flags, hashed passwords, rules and selectors of a user, null if there is none.
fn acl_getuser(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    redact_all(ctx, args);
    let Some(user) = ctx.state.acl.user(args.bytes()?) else {
        ctx.reply.null();
        return Ok(());
    };
    let reply = &mut *ctx.reply;
    reply.map(6);
    reply.bulk(b"flags");
    reply.set(user.flags().count());
    for flag in user.flags() {
        reply.bulk(flag.as_bytes());
    }
    reply.bulk(b"passwords");
    reply.array(user.passwords().len());
    for hash in user.passwords() {
        reply.bulk(&hash);
    }
    describe(reply, user.root());
    reply.bulk(b"selectors");
    reply.array(user.selectors().len());
    for selector in user.selectors() {
        reply.map(3);
        describe(reply, selector);
    }
    Ok(())
}

/// Writes the three fields of a selector: commands, keys and channels.
#[doc(alias = "aclAddReplySelectorDescription")]
fn describe(reply: &mut Reply, selector: &Selector) {
    for (name, value) in [
        ("commands", selector.show_commands()),
        ("keys", selector.show_keys()),
        ("channels", selector.show_channels()),
    ] {
        reply.bulk(name.as_bytes());
        reply.bulk(&value);
    }
}

const ACL_LIST: Command = Command {
    name: "list",
    arity: Arity::Exactly(2),
    flags: &[Admin, NoScript, Loading, Stale],
    docs: Docs {
        complexity: "O(N) where N is the number of users",
        summary: "Lists the users as the lines that would make them.",
        ..DOCS
    },
    run: acl_list,
    ..Command::BASE
};

fn acl_list(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    ctx.reply.array(ctx.state.acl.users().len());
    for user in ctx.state.acl.users() {
        ctx.reply.bulk(&user.line());
    }
    Ok(())
}

const ACL_USERS: Command = Command {
    name: "users",
    arity: Arity::Exactly(2),
    flags: &[Admin, NoScript, Loading, Stale],
    docs: Docs {
        complexity: "O(N) where N is the number of users",
        summary: "Lists the names of the users.",
        ..DOCS
    },
    run: acl_users,
    ..Command::BASE
};

fn acl_users(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    ctx.reply.array(ctx.state.acl.users().len());
    for user in ctx.state.acl.users() {
        ctx.reply.bulk(user.name());
    }
    Ok(())
}

const ACL_WHOAMI: Command = Command {
    name: "whoami",
    arity: Arity::Exactly(2),
    flags: &[NoScript, Loading, Stale],
    docs: Docs {
        complexity: "O(1)",
        summary: "Returns the name of the user the client acts as.",
        ..DOCS
    },
    run: acl_whoami,
    ..Command::BASE
};

fn acl_whoami(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    let user = ctx.client().user.clone();
    ctx.reply
        .bulk_or_null(user.as_ref().map(|user| user.name()));
    Ok(())
}

const ACL_LOAD: Command = Command {
    name: "load",
    arity: Arity::Exactly(2),
    flags: &[Admin, NoScript, Loading, Stale],
    docs: Docs {
        complexity: "O(N) where N is the number of users and connections",
        summary: "Reads the users from the ACL file, all or none.",
        ..DOCS
    },
    run: acl_load,
    ..Command::BASE
};

/// Reads the users from the ACL file, all or none. Clients whose user is gone are closed. Fails without such a file.
fn acl_load(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    needs_file(ctx)?;
    let loaded = acl::act::load_acl_file(ctx.state);
    loaded.map_err(|errors| Error::quoting("ERR ", &errors, ""))?;
    ctx.reply.ok();
    Ok(())
}

fn needs_file(ctx: &Ctx<'_>) -> Result {
    if !ctx.state.config.aclfile.is_empty() {
        return Ok(());
    }
    Err(Error::once(
        "This Redis instance is not configured to use an ACL file. You may want to specify users via the \
         ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration \
         file set) in order to store users in the Redis configuration.",
    ))
}

const ACL_SAVE: Command = Command {
    name: "save",
    arity: Arity::Exactly(2),
    flags: &[Admin, NoScript, Loading, Stale],
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    docs: Docs {
        complexity: "O(N) where N is the number of users",
        summary: "Writes the users to the ACL file.",
        ..DOCS
    },
    run: acl_save,
    ..Command::BASE
};

fn acl_save(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    needs_file(ctx)?;
    if !acl::act::save_acl_file(ctx.state) {
        return Err(Error::once(
            "There was an error trying to save the ACLs. Please check the server logs for more information",
        ));
    }
    ctx.reply.ok();
    Ok(())
}

const ACL_LOG: Command = Command {
    name: "log",
    arity: Arity::AtLeast(2),
    flags: &[Admin, NoScript, Loading, Stale],
    args: &[arg::one_of(
        "operation",
        &[arg::integer("count"), arg::word("reset", "RESET")],
    )
    .optional()],
    docs: Docs {
        complexity: "O(N) where N is the number of entries shown",
        summary: "Lists what was refused to whom, the latest first.",
        ..DOCS
    },
    run: acl_log,
    ..Command::BASE
};

/// Answers the latest entries about refused commands and logins (10, or as many as asked for); RESET empties the log.
fn acl_log(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.at_most(1)?;
    if args.word("RESET") {
        ctx.state.acl.log.clear();
        ctx.reply.ok();
        return Ok(());
    }
    let asked = if args.is_empty() { 10 } else { args.integer()? };
    let now = ctx.now_ms();
    let entries = ctx.state.acl.log.entries();
    let count = usize::try_from(asked).unwrap_or(0).min(entries.len());
    let reply = &mut *ctx.reply;
    reply.array(count);
    for entry in entries.take(count) {
        let texts = [
            ("reason", entry.reason.name().as_bytes()),
            ("context", entry.context.name().as_bytes()),
            ("object", &entry.object),
            ("username", &entry.username),
        ];
        let moments = [
            ("entry-id", entry.id as i64),
            ("timestamp-created", entry.created_ms),
            ("timestamp-last-updated", entry.updated_ms),
        ];
        reply.map(10);
        reply.bulk(b"count");
        reply.integer(entry.count as i64);
        for (name, text) in texts {
            reply.bulk(name.as_bytes());
            reply.bulk(text);
        }
        reply.bulk(b"age-seconds");
        reply.double((now - entry.updated_ms) as f64 / 1000.0);
        reply.bulk(b"client-info");
        reply.bulk(entry.client.as_bytes());
        for (name, number) in moments {
            reply.bulk(name.as_bytes());
            reply.integer(number);
        }
    }
    Ok(())
}

const ACL_SETUSER: Command = Command {
    name: "setuser",
    arity: Arity::AtLeast(3),
    flags: &[Admin, NoScript, Loading, Stale],
    args: &[
        arg::string("username"),
        arg::string("rule").optional().multiple(),
    ],
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    docs: Docs {
        complexity: "O(N) where N is the number of rules and connections",
        summary: "Makes a user, or changes one, by rules.",
        ..DOCS
    },
    run: acl_setuser,
    ..Command::BASE
};

/// Creates or changes a user by rules; one wrong rule and none is applied.
fn acl_setuser(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    redact_all(ctx, args);
    let name = args.bytes()?;
    if acl::has_spaces(name) {
        return Err(Error::once(
            "Usernames can't contain spaces or null characters",
        ));
    }
    let rules: Vec<&[u8]> = args.collect();
    acl::act::set_user(ctx.state, name, &rules)?;
    ctx.reply.ok();
    Ok(())
}

const ACL_HELP: Command = Command {
    name: "help",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    docs: Docs {
        complexity: "O(1)",
        summary: "Describes the subcommands of ACL.",
        ..DOCS
    },
    run: acl_help,
    ..Command::BASE
};

fn acl_help(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    ctx.reply.help(
        "ACL",
        &[
            "CAT [<category>]",
            "    List the categories of commands, or the commands of one.",
            "DELUSER <username> [<username> ...]",
            "    Delete users and close their connections.",
            "DRYRUN <username> <command> [<arg> ...]",
            "    Tell whether a user may run a command, without running it.",
            "GENPASS [<bits>]",
            "    Make up a password of 256 bits, or as many as told.",
            "GETUSER <username>",
            "    Describe a user.",
            "LIST",
            "    List the users as lines of a configuration file.",
            "LOAD",
            "    Read the users from the ACL file.",
            "LOG [<count> | RESET]",
            "    List what was refused to whom, or forget it.",
            "SAVE",
            "    Write the users to the ACL file.",
            "SETUSER <username> <rule> [<rule> ...]",
            "    Make or change a user.",
            "USERS",
            "    List the names of the users.",
            "WHOAMI",
            "    Return the name of the user this connection acts as.",
        ],
    );
    Ok(())
}
