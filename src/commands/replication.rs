//! Replication, as replicas ask for it: SYNC, PSYNC, REPLCONF.
//!
//! Mirrors: syncCommand() and replconfCommand() of replication.c.

use super::prelude::*;
use crate::clients::ClientFlags;
use crate::replication::{Phase, Replica};
use crate::state::State;
use crate::util::num::parse_u64;

pub const COMMANDS: &[&Command] = &[&PSYNC, &REPLCONF, &ROLE, &SYNC];

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

#[doc(alias = "syncCommand")]
fn psync(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    start(ctx, true)
}

fn start(ctx: &mut Ctx<'_>, says_where: bool) -> Result {
    // A replica that asks again is a replica already.
    if ctx.client().flags.has(ClientFlags::REPLICA) {
        return Ok(());
    }
    if !ctx.reply.is_empty() {
        return Err(Error::once(
            "SYNC and PSYNC are invalid with pending output",
        ));
    }
    if says_where {
        let replication = &ctx.state.replication;
        ctx.reply.simple(&format!(
            "FULLRESYNC {} {}",
            replication.id, replication.offset
        ));
    }
    ctx.state.begin_full_sync(ctx.client);
    Ok(())
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

#[doc(alias = "replconfCommand")]
fn replconf(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    if !args.len().is_multiple_of(2) {
        return Err(Error::Syntax);
    }
    while let (Some(option), Some(value)) = (args.next(), args.next()) {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        if is("ack") {
            // An acknowledgement is never answered: the answer would be part of the stream.
            let now = ctx.state.clock.unix_ms();
            if let (Some(replica), Some(offset)) =
                (ctx.state.replication.replica(ctx.client), parse_u64(value))
            {
                replica.acked = replica.acked.max(offset);
                replica.acked_ms = now;
            }
            return Ok(());
        }
        if is("getack") {
            return Ok(());
        }
        const KNOWN: [&str; 7] = [
            "listening-port",
            "ip-address",
            "capa",
            "version",
            "rdb-only",
            "rdb-filter-only",
            "main-ch-client-id",
        ];
        if !KNOWN.iter().any(|name| is(name)) {
            let option = String::from_utf8_lossy(option);
            return Err(Error::once(format!(
                "Unrecognized REPLCONF option: {option}"
            )));
        }
    }
    ctx.reply.ok();
    Ok(())
}

const ROLE: Command = Command {
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

#[doc(alias = "roleCommand")]
fn role(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let State {
        replication,
        clients,
        ..
    } = &mut *ctx.state;
    ctx.reply.array(3);
    ctx.reply.bulk(b"master");
    ctx.reply.integer(replication.offset as i64);
    let online = |replica: &&Replica| matches!(replica.phase, Phase::Online);
    ctx.reply
        .array(replication.replicas.iter().filter(online).count());
    for replica in replication.replicas.iter().filter(online) {
        let address = clients
            .get(replica.client)
            .map_or("", |client| &client.address);
        let (ip, port) = address.rsplit_once(':').unwrap_or_default();
        ctx.reply.array(3);
        ctx.reply.bulk(ip.as_bytes());
        ctx.reply.bulk(port.as_bytes());
        ctx.reply.bulk(replica.acked.to_string().as_bytes());
    }
    Ok(())
}

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

#[doc(alias = "syncCommand")]
fn sync(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    start(ctx, false)
}
