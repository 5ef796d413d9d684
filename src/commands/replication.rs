//! Commands of replication, from clients and from replicas: REPLICAOF, FAILOVER, ROLE, WAIT, SYNC, PSYNC, REPLCONF.
//!
//! ```text
//!   replica -> primary   PING, AUTH, REPLCONF listening-port 6380, REPLCONF capa eof capa psync2
//!   replica -> primary   PSYNC <id of the stream> <next offset>     ? -1 if it has nothing
//!   primary -> replica   +CONTINUE, then the stream from that offset: a partial resynchronisation
//!                        +FULLRESYNC <id> <offset>, a snapshot, then the stream
//!   replica -> primary   REPLCONF ACK <offset>                      once a second, never answered
//! ```
//!
//! Mirrors: `replicaofCommand()`, `roleCommand()`, `waitCommand()`, `syncCommand()` and `replconfCommand()` of
//! replication.c; the machinery is in `replication/act`.

use super::prelude::*;
use crate::clients::Acks;
use crate::clients::Announced;
use crate::clients::{ClientFlags, WaitKind};
use crate::command::Arg;
use crate::config::Primary;
use crate::keyspace::Ms;
use crate::observe;
use crate::replication;
use crate::replication::Replica;
use crate::replication::failover::Stage;
use crate::replication::link::Step;
use crate::replication::primary::{Answer, Asked};
use crate::replication::waiting::NEEDS_AOF;
use crate::util::args;
use crate::util::num::{parse_i64, parse_u64};

pub const COMMANDS: &[&Command] = &[
    &FAILOVER, &PSYNC, &REPLCONF, &REPLICAOF, &ROLE, &SLAVEOF, &SYNC, &WAIT, &WAITAOF,
];

/// The longest address that a replica may announce, in bytes.
#[doc(alias = "NET_HOST_STR_LEN")]
const LONGEST_HOST: usize = 256;

const FAILOVER: Command = Command {
    name: "failover",
    arity: Arity::AtLeast(1),
    flags: &[Admin, NoScript, Stale],
    args: &[
        arg::block(
            "target",
            &[
                arg::string("host"),
                arg::integer("port"),
                arg::word("force", "FORCE").optional(),
            ],
        )
        .token("TO")
        .optional(),
        arg::word("abort", "ABORT").optional(),
        arg::integer("milliseconds").token("TIMEOUT").optional(),
    ],
    docs: Docs {
        group: Group::Server,
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Changes places with a replica once that has every write.",
        ..Docs::BASE
    },
    run: failover,
    ..Command::BASE
};

/// Begins to hand the role of the primary over to a replica, the one named by TO or the first that has caught up, and
/// answers at once; ABORT gives it up.
///
/// Writes are paused until that replica has the whole stream; then it takes over and this server follows it. A TIMEOUT
/// gives up, or with FORCE switches over nevertheless. Fails on a replica, without replicas, and in cluster mode.
#[doc(alias = "failoverCommand")]
fn failover(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    if ctx.state.config.cluster_enabled {
        return Err(Error::once(
            "FAILOVER not allowed in cluster mode. Use CLUSTER FAILOVER command instead.",
        ));
    }
    let stage = ctx.state.replication.failover.stage;
    if args.len() == 1 && args.word("ABORT") {
        if stage == Stage::No {
            return Err(Error::once("No failover in progress."));
        }
        replication::act::failover::abort_failover(ctx.state, "Failover manually aborted");
        ctx.reply.ok();
        return Ok(());
    }
    let (mut timeout_ms, mut target, mut force) = (None, None, false);
    while !args.is_empty() {
        if timeout_ms.is_none() && args.word_with("TIMEOUT", 1) {
            let ms = args.integer()?;
            if ms <= 0 {
                return Err(Error::once("FAILOVER timeout must be greater than 0"));
            }
            timeout_ms = Some(ms);
        } else if target.is_none() && args.word_with("TO", 2) {
            let host = String::from_utf8_lossy(args.bytes()?).into_owned();
            target = Some((host, args.integer()?));
        } else if !force && args.word("FORCE") {
            force = true;
        } else {
            return Err(Error::Syntax);
        }
    }
    let refused = if stage != Stage::No {
        "FAILOVER already in progress."
    } else if ctx.state.config.is_replica() {
        "FAILOVER is not valid when server is a replica."
    } else if ctx.state.replication.replicas.is_empty() {
        "FAILOVER requires connected replicas."
    } else if force && (timeout_ms.is_none() || target.is_none()) {
        "FAILOVER with force option requires both a timeout and target HOST and IP."
    } else {
        ""
    };
    if !refused.is_empty() {
        return Err(Error::once(refused));
    }
    let target = match target {
        None => None,
        Some((host, port)) => {
            let Some(replica) = replication::act::failover::find_replica(ctx.state, &host, port)
            else {
                return Err(Error::once(
                    "FAILOVER target HOST and PORT is not a replica.",
                ));
            };
            if !replica.phase.is_online() {
                return Err(Error::once("FAILOVER target replica is not online."));
            }
            let port = u16::try_from(port).unwrap_or(0);
            Some(Primary { host, port })
        }
    };
    replication::act::failover::begin_failover(ctx.state, target, timeout_ms, force);
    ctx.reply.ok();
    Ok(())
}

const PSYNC: Command = Command {
    name: "psync",
    arity: Arity::AtLeast(3),
    flags: &[Admin, NoScript, NoAsyncLoading, NoMulti],
    args: &[arg::string("replicationid"), arg::integer("offset")],
    docs: Docs {
        group: Group::Server,
        since: "2.8.0",
        complexity: "",
        summary: "Makes the connection a replica that goes on where it stopped, if that is possible.",
        ..Docs::BASE
    },
    run: psync,
    ..Command::BASE
};

/// A replica asks for the stream from an offset on. Answers CONTINUE if the backlog still has that offset under that
/// ID, otherwise begins a full synchronisation. A replica that asks again, while it is one, is ignored. With FAILOVER
/// the asker is our primary, which hands its role over.
#[doc(alias = "syncCommand")]
fn psync(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (id, wanted) = (args.bytes()?, args.bytes()?);
    if args.word("FAILOVER") && !ctx.client().flags.has(ClientFlags::REPLICA) {
        take_over(ctx, id)?;
    }
    if !may_sync(ctx)? {
        return Ok(());
    }
    let id = String::from_utf8_lossy(id);
    let Some(wanted) = parse_i64(wanted) else {
        let address = ctx.client().address.clone();
        ctx.state.log.warning(format_args!(
            "Replica {address} asks for synchronization but with a wrong offset"
        ));
        return Err(Error::NotInteger);
    };
    let asked = Asked::Psync { id: &id, wanted };
    match replication::act::primary::replica_asks(ctx.state, ctx.client, asked) {
        Answer::Continue(line) => ctx.reply.simple(&line),
        Answer::OverChannel(id) => ctx.reply.simple(&format!("RDBCHANNELSYNC {id}")),
        Answer::Full => {}
    }
    Ok(())
}

/// Makes this replica the primary, because its own primary asks for that (PSYNC FAILOVER).
fn take_over(ctx: &mut Ctx<'_>, id: &[u8]) -> Result {
    let state = &mut *ctx.state;
    state.log.notice(format_args!(
        "Failover request received for replid {}.",
        String::from_utf8_lossy(id)
    ));
    if !state.config.is_replica() {
        return Err(Error::once("PSYNC FAILOVER can't be sent to a master."));
    }
    if !id.eq_ignore_ascii_case(state.replication.id.as_bytes()) {
        return Err(Error::once("PSYNC FAILOVER replid must match my replid."));
    }
    let asker = observe::act::clients::describe_client(state, &state.clients[ctx.client], None);
    replication::act::link::follow_nobody(state);
    state.log.notice(format_args!(
        "MASTER MODE enabled (failover request from '{asker}')"
    ));
    Ok(())
}

/// Checks that the client may become a replica now; false if it is one already.
fn may_sync(ctx: &mut Ctx<'_>) -> Result<bool> {
    // A replica that asks again is ignored, as in Redis.
    if ctx.client().flags.has(ClientFlags::REPLICA) {
        return Ok(false);
    }
    if ctx.state.replication.failover.stage != Stage::No {
        return Err(Error::coded("NOMASTERLINK Can't SYNC while failing over"));
    }
    if ctx.state.config.is_replica() && ctx.state.replication.link.step != Step::Connected {
        return Err(Error::coded(
            "NOMASTERLINK Can't SYNC while not connected with my master",
        ));
    }
    if !ctx.reply.is_empty() {
        return Err(Error::once(
            "SYNC and PSYNC are invalid with pending output",
        ));
    }
    let filtered = |a: &Announced| (a.without_keys || a.without_functions) && !a.eof;
    if ctx.client().announced.as_deref().is_some_and(filtered) {
        return Err(Error::once("Filtered replica requires EOF capability"));
    }
    Ok(true)
}

const REPLCONF: Command = Command {
    name: "replconf",
    arity: Arity::AtLeast(1),
    flags: &[Admin, NoScript, Loading, Stale, AllowBusy],
    docs: Docs {
        group: Group::Server,
        since: "3.0.0",
        complexity: "O(1)",
        summary: "A replica tells of itself: its port, its abilities, how far it has read.",
        syscmd: true,
        ..Docs::BASE
    },
    run: replconf,
    ..Command::BASE
};

/// A replica announces facts about itself before PSYNC (its port and address, what it understands, what it wants of the
/// data set) and later acknowledges offsets of the stream. Answers OK; ACK and GETACK are never answered, since the
/// answer would be part of the stream.
#[doc(alias = "replconfCommand")]
fn replconf(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    if !args.len().is_multiple_of(2) {
        return Err(Error::Syntax);
    }
    while let (Some(option), Some(value)) = (args.next(), args.next()) {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        if is("ack") {
            // An acknowledgement is never answered: the answer would be part of the stream.
            let fack = args.word_with("fack", 1).then(|| args.next()).flatten();
            let aof = fack.and_then(parse_u64);
            if let Some(offset) = parse_u64(value) {
                replication::act::primary::replica_acks(ctx.state, ctx.client, offset, aof);
            }
            return Ok(());
        }
        if is("getack") {
            replication::act::link::send_ack(ctx.state);
            return Ok(());
        }
        if is("main-ch-client-id") {
            let id = parse_i64(value).ok_or(Error::NotInteger)?;
            let main = replication::act::primary::awaiting_channel(ctx.state, id);
            let main =
                main.ok_or_else(|| Error::once(format!("Unrecognized RDB client id: {id}")))?;
            ctx.client().announced.get_or_insert_default().main_channel = Some(main);
            continue;
        }
        let takes_channel =
            ctx.state.config.repl_rdb_channel && ctx.state.config.repl_diskless_sync;
        let announced = ctx.client().announced.get_or_insert_default();
        if is("listening-port") {
            let port = parse_i64(value).ok_or(Error::NotInteger)?;
            announced.port = u16::try_from(port).unwrap_or(0);
        } else if is("ip-address") {
            if value.len() >= LONGEST_HOST {
                return Err(Error::once(format!(
                    "REPLCONF ip-address provided by replica instance is too long: {} bytes",
                    value.len()
                )));
            }
            // The address is shown in lines of text, so control characters are removed.
            let text = String::from_utf8_lossy(value).replace(char::is_control, "");
            announced.ip = Some(text).filter(|text| !text.is_empty());
        } else if is("capa") {
            announced.eof |= value.eq_ignore_ascii_case(b"eof");
            announced.psync2 |= value.eq_ignore_ascii_case(b"psync2");
            announced.trims |= value == replication::link::CAPA_TRIMSLOTS.as_bytes();
            announced.rdb_channel_repl |=
                takes_channel && value.eq_ignore_ascii_case(b"rdb-channel-repl");
        } else if is("rdb-only") {
            announced.rdb_only = flag(value)?;
        } else if is("rdb-channel") {
            announced.rdb_channel = flag(value)?;
        } else if is("rdb-filter-only") {
            filter(announced, value)?;
        } else if !is("version") {
            let option = String::from_utf8_lossy(option);
            return Err(Error::once(format!(
                "Unrecognized REPLCONF option: {option}"
            )));
        }
    }
    ctx.reply.ok();
    Ok(())
}

/// Reads 0 or 1.
fn flag(value: &[u8]) -> Result<bool> {
    match parse_i64(value) {
        Some(n @ 0..=1) => Ok(n == 1),
        Some(_) => Err(Error::OutOfRange),
        None => Err(Error::NotInteger),
    }
}

/// Notes the parts of the data set that a replica wants; it gets no others.
fn filter(announced: &mut Announced, wanted: &[u8]) -> Result {
    let wanted = args::split(wanted).map_err(|_| Error::once("Missing rdb-filter-only values"))?;
    announced.without_keys = true;
    announced.without_functions = true;
    for word in wanted {
        if !word.eq_ignore_ascii_case(b"functions") {
            return Err(Error::quoting(
                "ERR Unsupported rdb-filter-only option: ",
                &word,
                "",
            ));
        }
        announced.without_functions = false;
    }
    Ok(())
}

const REPLICAOF: Command = Command {
    name: "replicaof",
    arity: Arity::Exactly(3),
    flags: &[Admin, NoScript, Stale, NoAsyncLoading],
    args: WHOM,
    docs: Docs {
        group: Group::Server,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Makes the server follow a primary, or be one itself.",
        ..Docs::BASE
    },
    run: replicaof,
    ..Command::BASE
};

const WHOM: &[Arg] = &[arg::one_of(
    "args",
    &[
        arg::block("host-port", &[arg::string("host"), arg::integer("port")]),
        arg::block("no-one", &[arg::word("no", "NO"), arg::word("one", "ONE")]),
    ],
)];

/// Makes this server a replica of another, or with NO ONE a primary. Answers at once and then connects; the data stays
/// until a full synchronisation replaces it, which a former primary may not need. Clients that are blocked are
/// unblocked. Not propagated; refused in cluster mode and during a failover.
#[doc(alias = "replicaofCommand")]
fn replicaof(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (host, port) = (args.bytes()?, args.bytes()?);
    if ctx.state.config.cluster_enabled {
        return Err(Error::once("REPLICAOF not allowed in cluster mode."));
    }
    if ctx.state.replication.failover.stage != Stage::No {
        return Err(Error::once("REPLICAOF not allowed while failing over."));
    }
    let state = &mut *ctx.state;
    let asker = observe::act::clients::describe_client(state, &state.clients[ctx.client], None);
    if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
        if state.config.is_replica() {
            replication::act::link::follow_nobody(state);
            state.log.notice(format_args!(
                "MASTER MODE enabled (user request from '{asker}')"
            ));
        }
        ctx.reply.ok();
        return Ok(());
    }
    if state.clients[ctx.client].flags.has(ClientFlags::REPLICA) {
        return Err(Error::once(
            "Command is not valid when client is a replica.",
        ));
    }
    let port = parse_i64(port).and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or_else(|| Error::once("Invalid master port"))?;
    let host = String::from_utf8_lossy(host).into_owned();
    if !Primary::is_host(&host) {
        return Err(Error::once("Invalid master host"));
    }
    let now = state.config.replicaof.as_ref();
    if now.is_some_and(|now| now.host.eq_ignore_ascii_case(&host) && now.port == port) {
        state.log.notice(
            "REPLICAOF would result into synchronization with the master we are already connected with. No \
             operation performed.",
        );
        ctx.reply.simple("OK Already connected to specified master");
        return Ok(());
    }
    let line = format!("REPLICAOF {host}:{port} enabled (user request from '{asker}')");
    replication::act::link::follow(state, Primary { host, port });
    state.log.notice(line);
    ctx.reply.ok();
    Ok(())
}

pub(super) const ROLE: Command = Command {
    name: "role",
    arity: Arity::Exactly(1),
    flags: &[NoScript, Loading, Stale, Fast],
    acl: &[Category::Admin, Category::Dangerous],
    docs: Docs {
        group: Group::Server,
        since: "2.8.12",
        complexity: "O(1)",
        summary: "Tells whether the server is a primary or a replica, and of whom.",
        ..Docs::BASE
    },
    run: role,
    ..Command::BASE
};

/// Answers the role: for a primary its offset and its replicas with the offsets that they acknowledged, for a replica
/// its primary, the state of the link and its offset.
#[doc(alias = "roleCommand")]
fn role(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let (state, reply) = (&*ctx.state, &mut *ctx.reply);
    let replication = &state.replication;
    if let Some(Primary { host, port }) = &state.config.replicaof {
        let link = &replication.link;
        let offset = match link.client {
            Some(_) => replication.offset as i64,
            None => -1,
        };
        reply.array(5);
        reply.bulk(b"slave");
        reply.bulk(host.as_bytes());
        reply.integer(i64::from(*port));
        reply.bulk(link.step.name().as_bytes());
        reply.integer(offset);
        return Ok(());
    }
    reply.array(3);
    reply.bulk(b"master");
    reply.integer(replication.offset as i64);
    let online = |replica: &&Replica| replica.phase.is_online();
    reply.array(replication.replicas.iter().filter(online).count());
    for replica in replication.replicas.iter().filter(online) {
        let (ip, port) = replication::act::stream::replica_listens(state, replica.client);
        reply.array(3);
        reply.bulk(ip.as_bytes());
        reply.bulk(port.to_string().as_bytes());
        reply.bulk(replica.acked.to_string().as_bytes());
    }
    Ok(())
}

const SLAVEOF: Command = Command {
    name: "slaveof",
    arity: Arity::Exactly(3),
    flags: &[Admin, NoScript, Stale, NoAsyncLoading],
    args: WHOM,
    docs: Docs {
        group: Group::Server,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "The former name of REPLICAOF.",
        deprecated: Some(("5.0.0", "`REPLICAOF`")),
        ..Docs::BASE
    },
    run: replicaof,
    ..Command::BASE
};

const SYNC: Command = Command {
    name: "sync",
    arity: Arity::Exactly(1),
    flags: &[Admin, NoScript, NoAsyncLoading, NoMulti],
    docs: Docs {
        group: Group::Server,
        since: "1.0.0",
        complexity: "",
        summary: "Makes the connection a replica: the data set follows, then every change.",
        ..Docs::BASE
    },
    run: sync,
    ..Command::BASE
};

/// The predecessor of PSYNC: begins a full synchronisation.
#[doc(alias = "syncCommand")]
fn sync(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    if may_sync(ctx)? {
        replication::act::primary::replica_asks(ctx.state, ctx.client, Asked::Sync);
    }
    Ok(())
}

const WAIT: Command = Command {
    name: "wait",
    arity: Arity::Exactly(3),
    flags: &[Blocking],
    acl: &[Category::Connection],
    args: &[arg::integer("numreplicas"), arg::integer("timeout")],
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    docs: Docs {
        group: Group::Generic,
        since: "3.0.0",
        complexity: "O(1)",
        summary: "Waits until so many replicas have what this connection wrote.",
        ..Docs::BASE
    },
    run: wait,
    ..Command::BASE
};

/// Blocks until enough replicas have acknowledged all that this client wrote, or until the timeout; answers how many
/// have. Fails on a replica.
#[doc(alias = "waitCommand")]
fn wait(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    if ctx.state.config.is_replica() {
        return Err(Error::once(
            "WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is \
             configured to be writable (which is not the default) writes to replicas are just local and are not \
             propagated.",
        ));
    }
    let replicas = args.integer()?;
    let deadline = ctx.timeout_ms(&mut args)?;
    wait_for(ctx, args, replicas, None, deadline)
}

/// Answers if enough servers have what the client wrote, otherwise blocks the client until they have.
fn wait_for(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    replicas: i64,
    on_disk: Option<bool>,
    deadline: Option<Ms>,
) -> Result {
    let wanted = Acks {
        position: ctx.client().written,
        replicas,
        on_disk,
    };
    if replication::act::acks::is_acked(ctx.state, wanted) || !ctx.may_block() {
        replication::act::acks::reply_acks(ctx.state, wanted, ctx.reply);
        return Ok(());
    }
    let words = args.argv().to_owned();
    ctx.block_on_keys(WaitKind::Acks(wanted), words, deadline, []);
    replication::act::waiting::want_acks(ctx.state);
    Ok(())
}

const WAITAOF: Command = Command {
    name: "waitaof",
    arity: Arity::Exactly(4),
    flags: &[Blocking],
    acl: &[Category::Connection],
    args: &[
        arg::integer("numlocal"),
        arg::integer("numreplicas"),
        arg::integer("timeout"),
    ],
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    docs: Docs {
        group: Group::Generic,
        since: "7.2.0",
        complexity: "O(1)",
        summary: "Waits until what this connection wrote is safe on disk, here and on so many replicas.",
        ..Docs::BASE
    },
    run: waitaof,
    ..Command::BASE
};

/// Blocks until all that this client wrote is fsynced, in this server's AOF if `numlocal` is 1, and in the AOF of
/// enough replicas, or until the timeout. Answers both numbers. Fails on a replica, and for the local AOF if it is off.
#[doc(alias = "waitaofCommand")]
fn waitaof(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let local = args.integer_within(0, 1)? == 1;
    let replicas = args.positive()?;
    let deadline = ctx.timeout_ms(&mut args)?;
    if ctx.state.config.is_replica() {
        return Err(Error::once(
            "WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just \
             local and are not propagated.",
        ));
    }
    if local && !ctx.state.config.appendonly {
        return Err(Error::coded(NEEDS_AOF));
    }
    wait_for(ctx, args, replicas, Some(local), deadline)
}
