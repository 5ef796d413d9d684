//! SENTINEL, and the commands of a process that is a sentinel.
//!
//! A sentinel holds no data, so most commands do not exist there: not for COMMAND, not for the ACL, and a request for
//! one is answered as unknown. [`table`] makes its table: the commands named in `SHARED` as they are everywhere, and
//! those of `COMMANDS`, some of which have the declaration of a server's command and a handler of their own.
//!
//! | file | subcommands |
//! |---|---|
//! | `ask` | what is known: MASTERS, REPLICAS, GET-MASTER-ADDR-BY-NAME, CKQUORUM, IS-MASTER-DOWN-BY-ADDR … |
//! | `change` | what an operator changes: MONITOR, SET, FAILOVER, RESET, CONFIG, DEBUG … |
//!
//! Mirrors: sentinelCommand() and its subcommands, sentinelInfoCommand(), sentinelRoleCommand(),
//! sentinelPublishCommand() of sentinel.c.

mod ask;
mod change;

use std::fmt::Write;

use super::prelude::*;
use super::{GROUPS, info, pubsub, replication};
use crate::command::table::CommandTable;
use crate::sentinel;
use crate::sentinel::Sentinel;
use crate::sentinel::act::Asker;
use crate::sentinel::hello::CHANNEL;
use crate::state::State;

const COMMANDS: &[&Command] = &[&INFO, &PUBLISH, &ROLE, &SENTINEL];

/// Commands that are as in a server.
const SHARED: &[&str] = &[
    "acl",
    "auth",
    "client",
    "command",
    "hello",
    "ping",
    "psubscribe",
    "punsubscribe",
    "shutdown",
    "subscribe",
    "unsubscribe",
];

/// Subcommands of these that a sentinel lacks.
const LACKED: &[&str] = &["client|no-touch"];

/// The commands of a sentinel.
pub fn table() -> CommandTable {
    let all = GROUPS.iter().copied().flatten().copied();
    let shared: Vec<&Command> = all
        .filter(|command| SHARED.contains(&command.name))
        .collect();
    CommandTable::without(&[&shared, COMMANDS], LACKED)
}

const DOCS: Docs = Docs {
    group: Group::Sentinel,
    since: "2.8.4",
    complexity: "O(1)",
    ..Docs::BASE
};

const SENTINEL: Command = Command {
    name: "sentinel",
    arity: Arity::AtLeast(2),
    docs: Docs {
        complexity: "Depends on subcommand",
        summary: "Asks and instructs a sentinel.",
        ..DOCS
    },
    subcommands: &[
        &ask::CKQUORUM,
        &change::CONFIG,
        &change::DEBUG,
        &change::FAILOVER,
        &change::FLUSHCONFIG,
        &ask::GET_MASTER_ADDR_BY_NAME,
        &ask::GET_PRIMARY_ADDR_BY_NAME,
        &HELP,
        &ask::INFO_CACHE,
        &ask::IS_MASTER_DOWN_BY_ADDR,
        &ask::IS_PRIMARY_DOWN_BY_ADDR,
        &ask::MASTER,
        &ask::MASTERS,
        &change::MONITOR,
        &ask::MYID,
        &ask::PENDING_SCRIPTS,
        &ask::PRIMARIES,
        &ask::PRIMARY,
        &change::REMOVE,
        &ask::REPLICAS,
        &change::RESET,
        &ask::SENTINELS,
        &change::SET,
        &change::SIMULATE_FAILURE,
        &ask::SLAVES,
    ],
    ..Command::BASE
};

const HELP: Command = Command {
    name: "help",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    docs: Docs {
        since: "6.2.0",
        summary: "Explains the subcommands.",
        ..DOCS
    },
    run: help,
    ..Command::BASE
};

/// Answers the subcommands, each with what it does.
fn help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.reply.help(
        "SENTINEL",
        &[
            "CKQUORUM <primary-name>",
            "    Tell whether enough sentinels are reachable to agree on a failover and to authorise it.",
            "CONFIG SET <param> <value> [<param> <value> ...]",
            "    Set options of the sentinel.",
            "CONFIG GET <param> [<param> ...]",
            "    Show options of the sentinel; patterns are allowed.",
            "DEBUG [<param> <value> ...]",
            "    Show or set periods and timeouts in milliseconds, for tests.",
            "FAILOVER <primary-name> [COORDINATED]",
            "    Fail over now, without asking the other sentinels. COORDINATED: ask them, and lose no write.",
            "FLUSHCONFIG",
            "    Write the configuration file.",
            "GET-MASTER-ADDR-BY-NAME <primary-name>",
            "    Return the address of the primary.",
            "INFO-CACHE <primary-name> [<primary-name> ...]",
            "    Return the last INFO replies of the primary and its replicas, and how old they are.",
            "IS-MASTER-DOWN-BY-ADDR <ip> <port> <current-epoch> <runid>",
            "    Tell whether the primary at this address looks down; vote for <runid> unless it is *.",
            "MASTER <primary-name>",
            "    Show what is known of a primary.",
            "MASTERS",
            "    Show what is known of all primaries.",
            "MONITOR <name> <ip> <port> <quorum>",
            "    Begin to watch a primary.",
            "MYID",
            "    Return the ID of this sentinel.",
            "PENDING-SCRIPTS",
            "    Show scripts that run or wait to run.",
            "REMOVE <primary-name>",
            "    Stop watching a primary.",
            "REPLICAS <primary-name>",
            "    Show what is known of the replicas of a primary.",
            "RESET <pattern>",
            "    Forget replicas and sentinels of the primaries whose names match.",
            "SENTINELS <primary-name>",
            "    Show what is known of the other sentinels of a primary.",
            "SET <primary-name> <option> <value> [<option> <value> ...]",
            "    Set options of a primary.",
            "SIMULATE-FAILURE [CRASH-AFTER-ELECTION] [CRASH-AFTER-PROMOTION] [HELP]",
            "    Have this sentinel end itself in the middle of a failover.",
        ],
    );
    Ok(())
}

const NO_SUCH_GROUP: Error =
    Error::Once(std::borrow::Cow::Borrowed("No such master with that name"));

/// Asks the sentinel, or has it change something. These commands are only in the table of a process that has a sentinel.
fn tell<T>(ctx: &mut Ctx<'_>, ask: impl FnOnce(&mut Sentinel) -> T) -> Result<T> {
    let told = sentinel::act::tell(ctx.state, ask);
    told.ok_or_else(|| Error::once("this server is no sentinel"))
}

/// A word as text; names that are no UTF-8 exist nowhere.
fn text(word: &[u8]) -> Result<&str> {
    std::str::from_utf8(word).map_err(|_| Error::Syntax)
}

fn asker<'a>(ctx: &Ctx<'_>, args: Args<'a>) -> Asker<'a> {
    Asker {
        client: ctx.client,
        command: ctx.command,
        argv: args.argv(),
    }
}

const PUBLISH: Command = Command {
    run: publish,
    ..pubsub::PUBLISH
};

/// Takes a hello of another sentinel, as if it had come by the channel of a server.
#[doc(alias = "sentinelPublishCommand")]
fn publish(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (channel, message) = (args.bytes()?, args.bytes()?);
    if channel != CHANNEL.as_bytes() {
        return Err(Error::once(
            "Only HELLO messages are accepted by Sentinel instances.",
        ));
    }
    tell(ctx, |sentinel| sentinel.hear(message))?;
    ctx.reply.integer(1);
    Ok(())
}

const ROLE: Command = Command {
    run: role,
    ..replication::ROLE
};

/// Answers `sentinel` and the names of the primaries that are watched.
#[doc(alias = "sentinelRoleCommand")]
fn role(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let names = tell(ctx, |sentinel| {
        sentinel.groups.keys().cloned().collect::<Vec<_>>()
    })?;
    ctx.reply.array(2);
    ctx.reply.bulk(b"sentinel");
    ctx.reply.array(names.len());
    names
        .iter()
        .for_each(|name| ctx.reply.bulk(name.as_bytes()));
    Ok(())
}

const INFO: Command = Command {
    run: info_of_sentinel,
    ..info::INFO
};

#[doc(alias = "sentinelInfoCommand")]
fn info_of_sentinel(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let names: Vec<&[u8]> = args.collect();
    tell(ctx, |_| ())?;
    let text = info::report_of_sentinel(ctx.state, &names);
    ctx.reply.verbatim("txt", text);
    Ok(())
}

/// The section of INFO about the sentinel itself.
pub(super) fn info_section(state: &State, out: &mut String) {
    let Some(watch) = &state.sentinel else {
        return;
    };
    let sentinel = &watch.machine;
    let core = &sentinel.core;
    let scripts = core.scripts();
    let tilt_s = core.tilt_since().map(|since| (core.now.ms - since) / 1000);
    let flags = u8::from(core.crash_after_election) | u8::from(core.crash_after_promotion) << 1;
    let _ = write!(
        out,
        "sentinel_masters:{}\r\nsentinel_tilt:{}\r\nsentinel_tilt_since_seconds:{}\r\n\
         sentinel_running_scripts:{}\r\nsentinel_scripts_queue_length:{}\r\n\
         sentinel_simulate_failure_flags:{flags}\r\n",
        sentinel.groups.len(),
        u8::from(tilt_s.is_some()),
        tilt_s.unwrap_or(-1),
        scripts.running(),
        scripts.iter().count(),
    );
    for (number, group) in sentinel.groups.values().enumerate() {
        let _ = write!(out, "master{number}:{}\r\n", core.info_line(group));
    }
}
