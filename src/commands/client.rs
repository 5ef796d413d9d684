//! CLIENT: who is connected, and what may be done to them. CLIENT TRACKING and its kin are in `tracking.rs`.
//!
//! Mirrors: `clientCommand` of networking.c.
//! Differs: one handler per subcommand, declared beside it. CLIENT REPLY is refused in a transaction.

use super::connection::{client_name, printable};
use super::prelude::*;
use super::tracking::{CLIENT_CACHING, CLIENT_GETREDIR, CLIENT_TRACKING, CLIENT_TRACKINGINFO};
use crate::clients;
use crate::clients::{Client, ClientFlags, ClientId, ClientKind, PauseMode, PausePurpose};
use crate::keyspace::Ms;
use crate::observe;
use crate::observe::Running;

pub const COMMANDS: &[&Command] = &[&CLIENT];

const CLIENT: Command = Command {
    name: "client",
    arity: Arity::AtLeast(2),
    flags: &[KeepsCaching],
    docs: Docs {
        group: Group::Connection,
        since: "2.4.0",
        complexity: "Depends on the subcommand",
        summary: "What concerns connections of clients.",
        ..Docs::BASE
    },
    subcommands: &[
        &CLIENT_CACHING,
        &CLIENT_GETNAME,
        &CLIENT_GETREDIR,
        &CLIENT_HELP,
        &CLIENT_ID,
        &CLIENT_INFO,
        &CLIENT_KILL,
        &CLIENT_LIST,
        &CLIENT_NO_EVICT,
        &CLIENT_NO_TOUCH,
        &CLIENT_PAUSE,
        &CLIENT_REPLY,
        &CLIENT_SETINFO,
        &CLIENT_SETNAME,
        &CLIENT_TRACKING,
        &CLIENT_TRACKINGINFO,
        &CLIENT_UNBLOCK,
        &CLIENT_UNPAUSE,
    ],
    ..Command::BASE
};

const CLIENT_GETNAME: Command = Command {
    name: "getname",
    arity: Arity::Exactly(2),
    flags: &[NoScript, Loading, Stale],
    acl: &[Category::Connection],
    docs: Docs {
        group: Group::Connection,
        since: "2.6.9",
        complexity: "O(1)",
        summary: "Returns the connection's name.",
        ..Docs::BASE
    },
    run: client_getname,
    ..Command::BASE
};

fn client_getname(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let client = &ctx.state.clients[ctx.client];
    match client.name.as_slice() {
        [] => ctx.reply.null(),
        name => ctx.reply.bulk(name),
    }
    Ok(())
}

const CLIENT_HELP: Command = Command {
    name: "help",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    acl: &[Category::Connection],
    docs: Docs {
        group: Group::Connection,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Tells what the subcommands do.",
        ..Docs::BASE
    },
    run: client_help,
    ..Command::BASE
};

/// Lists the subcommands, a line of syntax and a line of explanation each.
fn client_help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.reply.help(
        "CLIENT",
        &[
            "CACHING (YES|NO)",
            "    Whether the keys of the next command are tracked, in OPTIN or OPTOUT mode.",
            "GETREDIR",
            "    The id of the client that gets the invalidation messages of this one.",
            "GETNAME",
            "    The name of this connection.",
            "ID",
            "    The id of this connection.",
            "INFO",
            "    The line CLIENT LIST has for this connection.",
            "KILL <ip:port>",
            "    Close the connection made from that address.",
            "KILL <filter> <value> [<filter> <value> ...]",
            "    Close the connections that all filters match. Filters are:",
            "    * ADDR (<ip:port>|<unixsocket>:0), where the client is",
            "    * LADDR (<ip:port>|<unixsocket>:0), where the client connected to",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "    * USER <username>",
            "    * ID <client-id>",
            "    * MAXAGE <seconds>, connected at least that long",
            "    * SKIPME (YES|NO), spare this connection (default: yes)",
            "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID <client-id> [<client-id> ...]]",
            "    A line for each connection.",
            "NO-EVICT (ON|OFF)",
            "    Do not close this connection to save memory.",
            "NO-TOUCH (ON|OFF)",
            "    Do not count the commands of this connection as uses of their keys.",
            "PAUSE <milliseconds> [WRITE|ALL]",
            "    Hold back the commands of all clients, or only those that write.",
            "REPLY (ON|OFF|SKIP)",
            "    Whether commands of this connection are answered.",
            "SETINFO (LIB-NAME|LIB-VER) <value>",
            "    Tell which client library speaks here.",
            "SETNAME <name>",
            "    Name this connection.",
            "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
            "         [OPTIN] [OPTOUT] [NOLOOP]",
            "    Client-side caching: tell this connection when keys it read change.",
            "TRACKINGINFO",
            "    How this connection tracks keys.",
            "UNBLOCK <client-id> [TIMEOUT|ERROR]",
            "    End the wait of a blocked client, as if it timed out or with an error.",
            "UNPAUSE",
            "    Let go on what PAUSE held back.",
        ],
    );
    Ok(())
}

const CLIENT_ID: Command = Command {
    name: "id",
    arity: Arity::Exactly(2),
    flags: &[NoScript, Loading, Stale],
    acl: &[Category::Connection],
    docs: Docs {
        group: Group::Connection,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Returns the connection's id, unique for the life of the server.",
        ..Docs::BASE
    },
    run: client_id,
    ..Command::BASE
};

fn client_id(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let id = ctx.client().id.0;
    ctx.reply.integer(id as i64);
    Ok(())
}

const CLIENT_INFO: Command = Command {
    name: "info",
    arity: Arity::Exactly(2),
    flags: &[NoScript, Loading, Stale],
    acl: &[Category::Connection],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Connection,
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Describes the connection in one line.",
        ..Docs::BASE
    },
    run: client_info,
    ..Command::BASE
};

fn client_info(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let line = describe(ctx, &args, &ctx.state.clients[ctx.client]) + "\n";
    ctx.reply.verbatim("txt", line);
    Ok(())
}

fn describe(ctx: &Ctx<'_>, args: &Args<'_>, client: &Client) -> String {
    let running = Running {
        client: ctx.client,
        output: ctx.reply.output(),
        argv_bytes: args.argv().bytes(),
    };
    observe::act::clients::describe_client(ctx.state, client, Some(running))
}

const CLIENT_KILL: Command = Command {
    name: "kill",
    arity: Arity::AtLeast(3),
    flags: &[Admin, NoScript, Loading, Stale],
    acl: &[Category::Connection],
    args: &[arg::one_of(
        "filter",
        &[
            arg::string("old-format")
                .shown_as("ip:port")
                .deprecated("2.8.12"),
            arg::one_of(
                "new-format",
                &[
                    arg::integer("client-id")
                        .token("ID")
                        .optional()
                        .since("2.8.12"),
                    arg::one_of(
                        "client-type",
                        &[
                            arg::word("normal", "NORMAL"),
                            arg::word("master", "MASTER").since("3.2.0"),
                            arg::word("slave", "SLAVE"),
                            arg::word("replica", "REPLICA").since("5.0.0"),
                            arg::word("pubsub", "PUBSUB"),
                        ],
                    )
                    .token("TYPE")
                    .optional()
                    .since("2.8.12"),
                    arg::string("username").token("USER").optional(),
                    arg::string("addr")
                        .shown_as("ip:port")
                        .token("ADDR")
                        .optional(),
                    arg::string("laddr")
                        .shown_as("ip:port")
                        .token("LADDR")
                        .optional()
                        .since("6.2.0"),
                    arg::one_of("skipme", &[arg::word("yes", "YES"), arg::word("no", "NO")])
                        .token("SKIPME")
                        .optional(),
                    arg::integer("maxage")
                        .token("MAXAGE")
                        .optional()
                        .since("7.4.0"),
                ],
            )
            .multiple(),
        ],
    )],
    docs: Docs {
        group: Group::Connection,
        since: "2.4.0",
        complexity: "O(N) where N is the number of connections",
        summary: "Closes connections.",
        ..Docs::BASE
    },
    run: client_kill,
    ..Command::BASE
};

/// Closes the connections that all filters match, and answers how many; in the old form `CLIENT KILL ip:port` answers
/// OK, or an error if there is none. Its own connection is spared unless SKIPME is no, and then closed after the reply.
fn client_kill(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let old_form = args.len() == 1;
    let filters = if old_form {
        Filters {
            address: Some(args.bytes()?),
            skip_me: false,
            ..Filters::default()
        }
    } else {
        Filters::parse(ctx, &mut args)?
    };
    let now = ctx.state.clock.unix_ms();
    let matching = |client: &&Client| {
        let me = client.key == ctx.client;
        !(me && filters.skip_me) && filters.matches(client, now)
    };
    let doomed: Vec<_> = connected(ctx).filter(matching).map(|c| c.key).collect();
    for key in &doomed {
        if *key != ctx.client {
            ctx.state.clients.close_asap(*key);
            if let Some(host) = &mut ctx.state.host {
                host.hang_up(*key);
            }
        }
    }
    match (old_form, doomed.len()) {
        (true, 0) => return Err(Error::once("No such client")),
        (true, _) => ctx.reply.ok(),
        (false, n) => ctx.reply.count(n),
    }
    if doomed.contains(&ctx.client) {
        ctx.client().flags.set(ClientFlags::CLOSE_AFTER_REPLY);
    }
    Ok(())
}

/// The clients that have a socket and are not about to be closed, in no order.
fn connected<'c>(ctx: &'c Ctx<'_>) -> impl Iterator<Item = &'c Client> {
    let there = |c: &&Client| !c.flags.any(ClientFlags::FAKE | ClientFlags::CLOSE_ASAP);
    ctx.state.clients.iter().filter(there)
}

struct Filters<'a> {
    id: Option<u64>,
    kind: Option<ClientKind>,
    user: Option<&'a [u8]>,
    address: Option<&'a [u8]>,
    local_address: Option<&'a [u8]>,
    max_age: Option<Ms>,
    skip_me: bool,
}

impl Default for Filters<'_> {
    fn default() -> Self {
        Filters {
            id: None,
            kind: None,
            user: None,
            address: None,
            local_address: None,
            max_age: None,
            skip_me: true,
        }
    }
}

impl<'a> Filters<'a> {
    fn parse(ctx: &Ctx<'_>, args: &mut Args<'a>) -> Result<Filters<'a>> {
        let mut filters = Filters::default();
        while !args.is_empty() {
            if args.word_with("ID", 1) {
                let wrong = Error::once("client-id should be greater than 0");
                let id = args.integer_or(wrong.clone())?;
                if id < 1 {
                    return Err(wrong);
                }
                filters.id = Some(id as u64);
            } else if args.word_with("MAXAGE", 1) {
                let seconds =
                    args.integer_or(Error::once("maxage is not an integer or out of range"))?;
                if seconds <= 0 {
                    return Err(Error::once("maxage should be greater than 0"));
                }
                filters.max_age = Some(seconds);
            } else if args.word_with("TYPE", 1) {
                filters.kind = Some(client_kind(args.bytes()?)?);
            } else if args.word_with("ADDR", 1) {
                filters.address = Some(args.bytes()?);
            } else if args.word_with("LADDR", 1) {
                filters.local_address = Some(args.bytes()?);
            } else if args.word_with("USER", 1) {
                let name = args.bytes()?;
                if ctx.state.acl.user(name).is_none() {
                    return Err(Error::quoting("ERR No such user '", name, "'"));
                }
                filters.user = Some(name);
            } else if args.word_with("SKIPME", 1) {
                filters.skip_me = args.word("YES");
                if !filters.skip_me && !args.word("NO") {
                    return Err(Error::Syntax);
                }
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(filters)
    }

    fn matches(&self, client: &Client, now: Ms) -> bool {
        self.address.is_none_or(|a| client.address.as_bytes() == a)
            && self
                .local_address
                .is_none_or(|a| client.local_address.as_bytes() == a)
            && self.kind.is_none_or(|kind| client.kind() == kind)
            && self.id.is_none_or(|id| client.id == ClientId(id))
            && self
                .user
                .is_none_or(|name| client.user.as_ref().is_some_and(|u| u.name() == name))
            && self
                .max_age
                .is_none_or(|age| now / 1000 - client.created_ms / 1000 >= age)
    }
}

#[doc(alias = "getClientTypeByName")]
fn client_kind(name: &[u8]) -> Result<ClientKind> {
    let kinds = [
        ("normal", ClientKind::Normal),
        ("slave", ClientKind::Replica),
        ("replica", ClientKind::Replica),
        ("pubsub", ClientKind::PubSub),
        ("master", ClientKind::Primary),
    ];
    let same = |(known, _): &&(&str, ClientKind)| name.eq_ignore_ascii_case(known.as_bytes());
    kinds
        .iter()
        .find(same)
        .map(|(_, kind)| *kind)
        .ok_or_else(|| Error::quoting("ERR Unknown client type '", name, "'"))
}

const CLIENT_LIST: Command = Command {
    name: "list",
    arity: Arity::AtLeast(2),
    flags: &[Admin, NoScript, Loading, Stale],
    acl: &[Category::Connection],
    args: &[
        arg::one_of(
            "client-type",
            &[
                arg::word("normal", "NORMAL"),
                arg::word("master", "MASTER"),
                arg::word("replica", "REPLICA"),
                arg::word("pubsub", "PUBSUB"),
            ],
        )
        .token("TYPE")
        .optional()
        .since("5.0.0"),
        arg::integer("client-id")
            .token("ID")
            .optional()
            .multiple()
            .since("6.2.0"),
    ],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Connection,
        since: "2.4.0",
        complexity: "O(N) where N is the number of connections",
        summary: "Describes the connections, a line each.",
        ..Docs::BASE
    },
    run: client_list,
    ..Command::BASE
};

/// Answers a line of `field=value` pairs for each client, ordered by ID, or those of a type or with given IDs.
fn client_list(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let request = args;
    let mut kind = None;
    let mut ids: Option<Vec<u64>> = None;
    if args.len() == 2 && args.word("TYPE") {
        kind = Some(client_kind(args.bytes()?)?);
    } else if args.len() > 1 && args.word("ID") {
        let mut asked = Vec::new();
        while !args.is_empty() {
            asked.push(args.integer_or(Error::once("Invalid client ID"))? as u64);
        }
        ids = Some(asked);
    }
    args.end()?;

    let mut list: Vec<&Client> = connected(ctx).collect();
    list.sort_unstable_by_key(|client| client.id);
    if let Some(ids) = ids {
        // Clients are listed in the order, and as often, as their IDs are given.
        let at = |id: &u64| list.binary_search_by_key(id, |c| c.id.0).ok();
        list = ids.iter().filter_map(at).map(|i| list[i]).collect();
    }
    let mut text = String::new();
    for client in list {
        if kind.is_none_or(|kind| client.kind() == kind) {
            text += &describe(ctx, &request, client);
            text.push('\n');
        }
    }
    ctx.reply.verbatim("txt", text);
    Ok(())
}

const CLIENT_NO_EVICT: Command = Command {
    name: "no-evict",
    arity: Arity::Exactly(3),
    flags: &[Admin, NoScript, Loading, Stale],
    acl: &[Category::Connection],
    args: &[arg::one_of(
        "enabled",
        &[arg::word("on", "ON"), arg::word("off", "OFF")],
    )],
    docs: Docs {
        group: Group::Connection,
        since: "7.0.0",
        complexity: "O(1)",
        summary: "Protects the connection from being closed to save memory.",
        ..Docs::BASE
    },
    run: client_no_evict,
    ..Command::BASE
};

fn client_no_evict(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let on = on_or_off(&mut args)?;
    ctx.client().flags.put(ClientFlags::NO_EVICT, on);
    ctx.state.clients.changed(ctx.client);
    ctx.reply.ok();
    Ok(())
}

const CLIENT_NO_TOUCH: Command = Command {
    name: "no-touch",
    arity: Arity::Exactly(3),
    flags: &[NoScript, Loading, Stale],
    acl: &[Category::Connection],
    args: &[arg::one_of(
        "enabled",
        &[arg::word("on", "ON"), arg::word("off", "OFF")],
    )],
    docs: Docs {
        group: Group::Connection,
        since: "7.2.0",
        complexity: "O(1)",
        summary: "Commands of the connection do not count as uses of their keys.",
        ..Docs::BASE
    },
    run: client_no_touch,
    ..Command::BASE
};

fn client_no_touch(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let on = on_or_off(&mut args)?;
    ctx.client().flags.put(ClientFlags::NO_TOUCH, on);
    ctx.reply.ok();
    Ok(())
}

fn on_or_off(args: &mut Args<'_>) -> Result<bool> {
    let on = args.word("ON");
    if on || args.word("OFF") {
        args.end().map(|()| on)
    } else {
        Err(Error::Syntax)
    }
}

const CLIENT_PAUSE: Command = Command {
    name: "pause",
    arity: Arity::AtLeast(3),
    flags: &[Admin, NoScript, Loading, Stale],
    acl: &[Category::Connection],
    args: &[
        arg::integer("timeout"),
        arg::one_of(
            "mode",
            &[arg::word("write", "WRITE"), arg::word("all", "ALL")],
        )
        .optional()
        .since("6.2.0"),
    ],
    docs: Docs {
        group: Group::Connection,
        since: "3.0.0",
        complexity: "O(1)",
        summary: "Holds back commands for some time.",
        ..Docs::BASE
    },
    run: client_pause,
    ..Command::BASE
};

/// Holds back commands of all clients for the given milliseconds: all commands (ALL, the default), or those that may
/// write (WRITE). A pause of all commands that is under way is not weakened to one of writes.
fn client_pause(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.at_most(2)?;
    let milliseconds = args.bytes()?;
    let mut mode = PauseMode::All;
    if let Some(word) = args.next() {
        if word.eq_ignore_ascii_case(b"WRITE") {
            mode = PauseMode::Write;
        } else if !word.eq_ignore_ascii_case(b"ALL") {
            return Err(Error::once("CLIENT PAUSE mode must be WRITE or ALL"));
        }
    }
    let milliseconds = crate::util::num::parse_i64(milliseconds)
        .ok_or(Error::once("timeout is not an integer or out of range"))?;
    if milliseconds < 0 {
        return Err(Error::NegativeTimeout);
    }
    let end = ctx
        .state
        .clock
        .unix_ms()
        .checked_add(milliseconds)
        .ok_or(Error::once("timeout is out of range"))?;
    // An earlier pause of all commands stays one, also if a later pause asks for writes alone.
    let mode = mode.max(ctx.state.pauses.mode_of(PausePurpose::Command));
    clients::act::pause::pause_clients(ctx.state, PausePurpose::Command, mode, end);
    ctx.reply.ok();
    Ok(())
}

const CLIENT_REPLY: Command = Command {
    name: "reply",
    arity: Arity::Exactly(3),
    flags: &[NoScript, NoMulti, Loading, Stale],
    acl: &[Category::Connection],
    args: &[arg::one_of(
        "action",
        &[
            arg::word("on", "ON"),
            arg::word("off", "OFF"),
            arg::word("skip", "SKIP"),
        ],
    )],
    docs: Docs {
        group: Group::Connection,
        since: "3.2.0",
        complexity: "O(1)",
        summary: "Whether commands of the connection are answered.",
        ..Docs::BASE
    },
    run: client_reply,
    ..Command::BASE
};

/// CLIENT REPLY: answers OK when replies are on, and nothing otherwise. Refused inside of a transaction: EXEC's reply
/// begins with the number of replies, and all of them must follow (valkey 1268).
fn client_reply(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let flags = ctx.client().flags;
    if args.word("ON") {
        let silent = ctx.client().silent();
        ctx.client()
            .flags
            .clear(ClientFlags::REPLY_OFF | ClientFlags::REPLY_SKIP);
        if silent {
            // The reply of this request was to be dropped, so OK is sent as a message of its own.
            ctx.state.clients.send(ctx.client, |reply| reply.ok());
        } else {
            ctx.reply.ok();
        }
    } else if args.word("OFF") {
        ctx.client().flags.set(ClientFlags::REPLY_OFF);
    } else if args.word("SKIP") {
        if !flags.has(ClientFlags::REPLY_OFF) {
            ctx.client().flags.set(ClientFlags::REPLY_SKIP_NEXT);
        }
    } else {
        return Err(Error::Syntax);
    }
    Ok(())
}

const CLIENT_SETINFO: Command = Command {
    name: "setinfo",
    arity: Arity::Exactly(4),
    flags: &[NoScript, Loading, Stale],
    acl: &[Category::Connection],
    args: &[arg::one_of(
        "attr",
        &[
            arg::string("libname").token("LIB-NAME"),
            arg::string("libver").token("LIB-VER"),
        ],
    )],
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    docs: Docs {
        group: Group::Connection,
        since: "7.2.0",
        complexity: "O(1)",
        summary: "Tells the server which client library speaks.",
        ..Docs::BASE
    },
    run: client_setinfo,
    ..Command::BASE
};

/// Notes the name or version of the client's library, shown in CLIENT LIST.
fn client_setinfo(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let option = args.bytes()?;
    let value = args.bytes()?;
    let name = option.eq_ignore_ascii_case(b"lib-name");
    if !name && !option.eq_ignore_ascii_case(b"lib-ver") {
        return Err(Error::quoting("ERR Unrecognized option '", option, "'"));
    }
    if !printable(value) {
        let option = String::from_utf8_lossy(option);
        return Err(Error::once(format!(
            "{option} cannot contain spaces, newlines or special characters."
        )));
    }
    let library = &mut ctx.client().library;
    *(if name { &mut library.0 } else { &mut library.1 }) = value.to_vec();
    ctx.reply.ok();
    Ok(())
}

const CLIENT_SETNAME: Command = Command {
    name: "setname",
    arity: Arity::Exactly(3),
    flags: &[NoScript, Loading, Stale],
    acl: &[Category::Connection],
    args: &[arg::string("connection-name")],
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    docs: Docs {
        group: Group::Connection,
        since: "2.6.9",
        complexity: "O(1)",
        summary: "Names the connection.",
        ..Docs::BASE
    },
    run: client_setname,
    ..Command::BASE
};

fn client_setname(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    ctx.client().name = client_name(args.bytes()?)?.to_vec();
    ctx.reply.ok();
    Ok(())
}

const CLIENT_UNBLOCK: Command = Command {
    name: "unblock",
    arity: Arity::AtLeast(3),
    flags: &[Admin, NoScript, Loading, Stale],
    acl: &[Category::Connection],
    args: &[
        arg::integer("client-id"),
        arg::one_of(
            "unblock-type",
            &[arg::word("timeout", "TIMEOUT"), arg::word("error", "ERROR")],
        )
        .optional(),
    ],
    docs: Docs {
        group: Group::Connection,
        since: "5.0.0",
        complexity: "O(log N) where N is the number of blocked clients",
        summary: "Ends the wait of a blocked client.",
        ..Docs::BASE
    },
    run: client_unblock,
    ..Command::BASE
};

/// Ends the blocking command of another client, as after a timeout or with the error UNBLOCKED. Answers 1, or 0 if that
/// client is not blocked.
fn client_unblock(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.at_most(2)?;
    let id = args.bytes()?;
    let with_error = match args.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case(b"TIMEOUT") => false,
        Some(word) if word.eq_ignore_ascii_case(b"ERROR") => true,
        Some(_) => {
            return Err(Error::once(
                "CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
            ));
        }
    };
    let id = crate::util::num::parse_i64(id).ok_or(Error::NotInteger)?;
    let key = ctx
        .state
        .clients
        .by_id(ClientId(id as u64))
        .map(|client| client.key);
    let unblocked =
        key.is_some_and(|key| clients::act::waits::end_wait(ctx.state, key, with_error));
    ctx.reply.integer(unblocked.into());
    Ok(())
}

const CLIENT_UNPAUSE: Command = Command {
    name: "unpause",
    arity: Arity::Exactly(2),
    flags: &[Admin, NoScript, Loading, Stale],
    acl: &[Category::Connection],
    docs: Docs {
        group: Group::Connection,
        since: "6.2.0",
        complexity: "O(N) where N is the number of clients held back",
        summary: "Lets go on what CLIENT PAUSE held back.",
        ..Docs::BASE
    },
    run: client_unpause,
    ..Command::BASE
};

fn client_unpause(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    clients::act::pause::pause_clients(ctx.state, PausePurpose::Command, PauseMode::None, 0);
    ctx.reply.ok();
    Ok(())
}
