//! The connection itself: PING, SELECT, HELLO, AUTH and their kin.
//!
//! Mirrors: the connection commands of networking.c, server.c and acl.c.
//! Differs: words of HELLO and AUTH that may be secrets are hidden from MONITOR and the slow log also where they fail.

use super::prelude::*;
use crate::acl;
use crate::clients;
use crate::clients::ClientFlags;
use crate::keyspace::DbId;
use crate::resp::argv::Argv;
use crate::resp::{Protocol, Reply};

pub const COMMANDS: &[&Command] = &[&AUTH, &ECHO, &HELLO, &PING, &QUIT, &RESET, &SELECT];

const AUTH: Command = Command {
    name: "auth",
    arity: Arity::AtLeast(2),
    flags: &[NoScript, Loading, Stale, Fast, NoAuth, AllowBusy],
    acl: &[Category::Connection],
    args: &[
        arg::string("username").optional().since("6.0.0"),
        arg::string("password"),
    ],
    docs: Docs {
        group: Group::Connection,
        since: "1.0.0",
        complexity: "O(N) where N is the number of passwords of the user",
        summary: "Proves who the client is.",
        ..Docs::BASE
    },
    run: auth,
    ..Command::BASE
};

/// Lets the connection act as a user. Fails with WRONGPASS if name or password are wrong.
#[doc(alias = "authCommand")]
fn auth(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let argv = args.argv();
    (1..argv.len()).for_each(|position| ctx.redact(position));
    if argv.len() > 3 {
        return Err(Error::Syntax);
    }
    let (user, password) = if argv.len() == 2 {
        if ctx.state.acl.default_user().nopass() {
            return Err(Error::once(
                "AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?",
            ));
        }
        (acl::DEFAULT, argv.get(1))
    } else {
        (argv.get(1), argv.get(2))
    };
    if argv.len() == 3 && user == INTERNAL_USER {
        return auth_internal(ctx, password);
    }
    if acl::act::authenticate(ctx.state, ctx.client, argv, user, password)? {
        ctx.reply.ok();
    }
    Ok(())
}

/// The name under which nodes of a cluster log in with each other. No user can be called so: a name has no blank.
const INTERNAL_USER: &[u8] = b"internal connection";

/// AUTH with the secret of the cluster: the connection may do everything, internal commands included.
#[doc(alias = "authInternal")]
fn auth_internal(ctx: &mut Ctx<'_>, secret: &[u8]) -> Result {
    let Some(machine) = ctx.state.cluster.machine() else {
        return Err(Error::once(
            "Cannot authenticate as an internal connection on non-cluster instances",
        ));
    };
    let own = machine.secret();
    // Every byte is looked at, so that the time tells nothing of the secret.
    let differs = own.iter().zip(secret).fold(0, |all, (a, b)| all | (a ^ b));
    if secret.len() != own.len() || differs != 0 {
        return Err(Error::coded("WRONGPASS invalid internal password"));
    }
    let flags = &mut ctx.client().flags;
    flags.set(ClientFlags::INTERNAL | ClientFlags::AUTHENTICATED);
    flags.clear(ClientFlags::RESTRICTED);
    ctx.reply.ok();
    Ok(())
}

const ECHO: Command = Command {
    name: "echo",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale, Fast],
    acl: &[Category::Connection],
    args: &[arg::string("message")],
    docs: Docs {
        group: Group::Connection,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Returns what it is given.",
        ..Docs::BASE
    },
    run: echo,
    ..Command::BASE
};

#[doc(alias = "echoCommand")]
fn echo(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    ctx.reply.bulk(args.bytes()?);
    Ok(())
}

const HELLO: Command = Command {
    name: "hello",
    arity: Arity::AtLeast(1),
    flags: &[NoScript, Loading, Stale, Fast, NoAuth, AllowBusy],
    acl: &[Category::Connection],
    args: &[arg::block(
        "arguments",
        &[
            arg::integer("protover"),
            arg::block("auth", &[arg::string("username"), arg::string("password")])
                .token("AUTH")
                .optional(),
            arg::string("clientname").token("SETNAME").optional(),
        ],
    )
    .optional()],
    docs: Docs {
        group: Group::Connection,
        since: "6.0.0",
        complexity: "O(1)",
        summary: "Agrees on a protocol, and may authenticate and name the client.",
        ..Docs::BASE
    },
    run: hello,
    ..Command::BASE
};

/// Hides words that may be a name or a password in a HELLO, before anything else in it is found wrong: all but the
/// version, the words AUTH and SETNAME, and the client's name. `HELLO 4 AUTH bob pw` shows
/// `HELLO 4 AUTH (redacted) (redacted)`.
fn redact_login(ctx: &mut Ctx<'_>, argv: Argv<'_>) {
    let is = |position: usize, word: &[u8]| argv.get(position).eq_ignore_ascii_case(word);
    let mut position = if argv.len() > 1 && is(1, b"auth") {
        1
    } else {
        2
    };
    while position < argv.len() {
        if is(position, b"setname") {
            position += 2;
        } else if is(position, b"auth") {
            ctx.redact(position + 1);
            ctx.redact(position + 2);
            position += 3;
        } else {
            ctx.redact(position);
            position += 1;
        }
    }
}

/// Chooses the version of the protocol, may log in (AUTH) and name the connection (SETNAME), and answers facts about
/// the server in the new protocol.
///
/// ```text
///   HELLO 3 AUTH ann secret SETNAME web-1   a map: server redis, version …, proto 3, id …, mode …, role …
/// ```
///
/// Fails with NOPROTO for a version other than 2 and 3, with NOAUTH if the connection is not logged in afterwards. A
/// HELLO that fails leaves protocol and name alone, but its AUTH may have been carried out.
#[doc(alias = "helloCommand")]
fn hello(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    redact_login(ctx, args.argv());
    let mut protocol = None;
    if !args.is_empty() {
        let version = args.integer_or(Error::once(
            "Protocol version is not an integer or out of range",
        ))?;
        protocol = Some(match version {
            2 => Protocol::Resp2,
            3 => Protocol::Resp3,
            _ => return Err(Error::coded("NOPROTO unsupported protocol version")),
        });
    }
    let (mut login, mut name) = (None, None);
    while !args.is_empty() {
        if args.word_with("AUTH", 2) {
            login = Some((args.bytes()?, args.bytes()?));
        } else if args.word_with("SETNAME", 1) {
            name = Some(client_name(args.bytes()?)?);
        } else {
            let before = "ERR Syntax error in HELLO option '";
            return Err(Error::quoting(before, args.bytes()?, "'"));
        }
    }
    if let Some((user, password)) = login {
        let request = args.argv();
        if !acl::act::authenticate(ctx.state, ctx.client, request, user, password)? {
            return Ok(());
        }
    }
    if !ctx.client().flags.has(ClientFlags::AUTHENTICATED) {
        return Err(Error::coded(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
             <proto> AUTH <user> <pass> option can be used to authenticate the client and select the \
             RESP protocol version at the same time",
        ));
    }
    if let Some(name) = name {
        ctx.client().name = name.to_vec();
    }
    if let Some(protocol) = protocol {
        ctx.client().protocol = protocol;
        ctx.reply.set_protocol(protocol);
    }
    let sentinel = ctx.state.config.sentinel;
    let mode = ctx.state.config.mode();
    let role = if ctx.state.config.replicaof.is_some() {
        "replica"
    } else {
        "master"
    };
    let id = ctx.client().id.0;
    let reply = &mut *ctx.reply;
    reply.map(6 + usize::from(!sentinel));
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(crate::REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.integer(if reply.resp3() { 3 } else { 2 });
    reply.bulk(b"id");
    reply.integer(id as i64);
    reply.bulk(b"mode");
    reply.bulk(mode.as_bytes());
    if !sentinel {
        reply.bulk(b"role");
        reply.bulk(role.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
    Ok(())
}

/// Checks a name for a client: printable ASCII without spaces, or empty.
#[doc(alias = "validateClientName")]
pub(super) fn client_name(name: &[u8]) -> Result<&[u8]> {
    if printable(name) {
        return Ok(name);
    }
    Err(Error::once(
        "Client names cannot contain spaces, newlines or special characters.",
    ))
}

/// Whether CLIENT LIST can show a text without breaking its format: printable ASCII without spaces.
#[doc(alias = "validateClientAttr")]
pub(super) fn printable(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_graphic)
}

const PING: Command = Command {
    name: "ping",
    arity: Arity::AtLeast(1),
    flags: &[WhileSubscribed, Fast, NeedsWorkingDisk],
    acl: &[Category::Connection],
    args: &[arg::string("message").optional()],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    docs: Docs {
        group: Group::Connection,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Answers PONG, or what it is given: the server is alive.",
        ..Docs::BASE
    },
    run: ping,
    ..Command::BASE
};

/// Answers PONG, or the message; to a subscriber under RESP2 an array that looks like a message.
#[doc(alias = "pingCommand")]
fn ping(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let message = args.next();
    if !args.is_empty() {
        return Err(Error::WrongArity(ctx.name()));
    }
    let subscribed = ctx.state.clients[ctx.client].flags.has(ClientFlags::PUBSUB);
    if subscribed && !ctx.reply.resp3() {
        // A subscriber under RESP2 reads nothing but arrays that look like messages.
        ctx.reply.array(2);
        ctx.reply.bulk(b"pong");
        ctx.reply.bulk(message.unwrap_or_default());
        return Ok(());
    }
    match message {
        None => ctx.reply.simple("PONG"),
        Some(message) => ctx.reply.bulk(message),
    }
    Ok(())
}

const QUIT: Command = Command {
    name: "quit",
    arity: Arity::AtLeast(1),
    flags: &[
        InsideMulti,
        WhileSubscribed,
        NoScript,
        Loading,
        Stale,
        Fast,
        NoAuth,
        AllowBusy,
    ],
    acl: &[Category::Connection],
    docs: Docs {
        group: Group::Connection,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Closes the connection once all replies are sent.",
        deprecated: Some(("7.2.0", "closing the socket")),
        ..Docs::BASE
    },
    run: quit,
    ..Command::BASE
};

#[doc(alias = "quitCommand")]
fn quit(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.reply.ok();
    ctx.client().flags.set(ClientFlags::CLOSE_AFTER_REPLY);
    Ok(())
}

const RESET: Command = Command {
    name: "reset",
    arity: Arity::Exactly(1),
    flags: &[
        InsideMulti,
        WhileSubscribed,
        NoScript,
        Loading,
        Stale,
        Fast,
        NoAuth,
        AllowBusy,
    ],
    acl: &[Category::Connection],
    docs: Docs {
        group: Group::Connection,
        since: "6.2.0",
        complexity: "O(N) where N is what the connection holds: watched keys, channels",
        summary: "Makes the connection as new: no transaction, no subscription, no name, database 0.",
        ..Docs::BASE
    },
    run: reset,
    ..Command::BASE
};

/// Makes the connection as new: no transaction, watches, subscriptions, name, tracking or login, database 0, RESP2.
/// Fails for replicas and primaries.
#[doc(alias = "resetCommand")]
fn reset(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let flags = ctx.client().flags;
    let replica = flags.has(ClientFlags::REPLICA) && !flags.has(ClientFlags::MONITOR);
    if replica || flags.has(ClientFlags::PRIMARY) {
        return Err(Error::once("can only reset normal client connections"));
    }
    let silent = ctx.client().silent();
    clients::act::leave::reset_client(ctx.state, ctx.client);
    ctx.reply.set_protocol(Protocol::Resp2);
    if silent {
        // Replies are on again, but the reply of this request was to be dropped, so RESET is sent as a message of its
        // own.
        let say = |reply: &mut Reply| reply.simple("RESET");
        ctx.state.clients.send(ctx.client, say);
    } else {
        ctx.reply.simple("RESET");
    }
    Ok(())
}

const SELECT: Command = Command {
    name: "select",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale, Fast],
    acl: &[Category::Connection],
    args: &[arg::integer("index")],
    docs: Docs {
        group: Group::Connection,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Selects the database the following commands work on.",
        ..Docs::BASE
    },
    run: select,
    ..Command::BASE
};

/// Chooses the database of this connection's next commands. In cluster mode there is only database 0.
#[doc(alias = "selectCommand")]
fn select(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let index = args.integer_within(i32::MIN.into(), i32::MAX.into())?;
    if ctx.state.config.cluster_enabled && index != 0 {
        return Err(Error::once("SELECT is not allowed in cluster mode"));
    }
    ctx.state.stats.cluster_incompatible_ops += u64::from(index != 0);
    if !(0..i64::from(ctx.state.config.databases)).contains(&index) {
        return Err(Error::DbIndexOutOfRange);
    }
    ctx.client().db = DbId(index as u32);
    ctx.reply.ok();
    Ok(())
}
