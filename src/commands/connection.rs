//! The connection itself: PING, SELECT, HELLO and their kin.
//!
//! Mirrors: the connection commands of networking.c and server.c.

use super::prelude::*;
use crate::clients::ClientFlags;
use crate::keyspace::DbId;

pub const COMMANDS: &[&Command] = &[&ECHO, &PING, &SELECT];

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

const PING: Command = Command {
    name: "ping",
    arity: Arity::AtLeast(1),
    flags: &[Fast, WhileSubscribed],
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

#[doc(alias = "pingCommand")]
fn ping(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let message = args.next();
    if !args.is_empty() {
        return Err(Error::WrongArity(ctx.name()));
    }
    let subscribed = ctx.client().flags.has(ClientFlags::PUBSUB);
    if subscribed && !ctx.reply.resp3() {
        // Between messages the answer must look like one.
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

#[doc(alias = "selectCommand")]
fn select(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let index = args.integer_or(Error::once("invalid DB index"))?;
    if ctx.state.config.cluster_enabled && index != 0 {
        return Err(Error::once("SELECT is not allowed in cluster mode"));
    }
    if !(0..i64::from(ctx.state.config.databases)).contains(&index) {
        return Err(Error::DbIndexOutOfRange);
    }
    ctx.client().db = DbId(index as u32);
    ctx.reply.ok();
    Ok(())
}
