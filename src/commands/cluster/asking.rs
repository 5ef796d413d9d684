//! READONLY, READWRITE and ASKING: how this connection is routed.
//!
//! Mirrors: `readonlyCommand`, `readwriteCommand`, `askingCommand` of cluster.c.

use super::super::prelude::*;
use super::needs_cluster;
use crate::clients::ClientFlags;

pub(super) const READONLY: Command = Command {
    name: "readonly",
    arity: Arity::Exactly(1),
    flags: &[Loading, Stale, Fast],
    acl: &[Category::Connection],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(1)",
        summary: "Lets the connection read from a replica's slots.",
        ..Docs::BASE
    },
    run: readonly,
    ..Command::BASE
};

fn readonly(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    ctx.state.clients[ctx.client]
        .flags
        .set(ClientFlags::READONLY);
    ctx.reply.ok();
    Ok(())
}

pub(super) const READWRITE: Command = Command {
    name: "readwrite",
    arity: Arity::Exactly(1),
    flags: &[Loading, Stale, Fast],
    acl: &[Category::Connection],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(1)",
        summary: "Ends READONLY.",
        ..Docs::BASE
    },
    run: readwrite,
    ..Command::BASE
};

fn readwrite(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    ctx.state.clients[ctx.client]
        .flags
        .clear(ClientFlags::READONLY);
    ctx.reply.ok();
    Ok(())
}

pub(super) const ASKING: Command = Command {
    name: "asking",
    arity: Arity::Exactly(1),
    flags: &[Fast],
    acl: &[Category::Connection],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(1)",
        summary: "Announces that the next request was redirected here.",
        ..Docs::BASE
    },
    run: asking,
    ..Command::BASE
};

/// Lets the next command, or the next transaction, reach keys of a slot that this node is importing.
fn asking(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    ctx.client().flags.set(ClientFlags::ASKING);
    ctx.reply.ok();
    Ok(())
}
