//! SUBSCRIBE, PUBLISH and their kin.
//!
//! ```text
//!   client 1   SUBSCRIBE news        [subscribe, news, 1]
//!   client 1   PSUBSCRIBE n*         [psubscribe, n*, 2]
//!   client 2   PUBLISH news hello    2: once for the channel, once for the pattern
//!   client 1                         [message, news, hello]  [pmessage, n*, news, hello]
//! ```
//!
//! Mirrors: the commands of pubsub.c; the tables are in `pubsub.rs`.

use super::prelude::*;
use crate::clients::ClientFlags;
use crate::cluster;
use crate::cluster::machine::Input;
use crate::pubsub::Kind;
use crate::util::glob;

pub const COMMANDS: &[&Command] = &[
    &PSUBSCRIBE,
    &PUBLISH,
    &PUBSUB,
    &PUNSUBSCRIBE,
    &SPUBLISH,
    &SSUBSCRIBE,
    &SUBSCRIBE,
    &SUNSUBSCRIBE,
    &UNSUBSCRIBE,
];

const DOCS: Docs = Docs {
    group: Group::PubSub,
    ..Docs::BASE
};

const SUBSCRIBE: Command = Command {
    name: "subscribe",
    channels: crate::command::Channels::All,
    arity: Arity::AtLeast(2),
    flags: &[PubSub, DenyOom, NoScript, Loading, Stale, WhileSubscribed],
    args: &[arg::string("channel").multiple()],
    docs: Docs {
        since: "2.0.0",
        complexity: "O(N) where N is the number of channels",
        summary: "Listens for messages published to channels.",
        ..DOCS
    },
    run: subscribe,
    ..Command::BASE
};

#[doc(alias = "subscribeCommand")]
fn subscribe(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    join(ctx, args, Kind::Channel)
}

const PSUBSCRIBE: Command = Command {
    name: "psubscribe",
    channels: crate::command::Channels::AllPatterns,
    arity: Arity::AtLeast(2),
    flags: &[PubSub, DenyOom, NoScript, Loading, Stale, WhileSubscribed],
    args: &[arg::pattern("pattern").multiple()],
    docs: Docs {
        since: "2.0.0",
        complexity: "O(N) where N is the number of patterns",
        summary: "Listens for messages published to all channels that match glob patterns.",
        ..DOCS
    },
    run: psubscribe,
    ..Command::BASE
};

#[doc(alias = "psubscribeCommand")]
fn psubscribe(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    join(ctx, args, Kind::Pattern)
}

const SSUBSCRIBE: Command = Command {
    name: "ssubscribe",
    channels: crate::command::Channels::All,
    arity: Arity::AtLeast(2),
    flags: &[PubSub, DenyOom, NoScript, Loading, Stale, WhileSubscribed],
    keys: &[KeySpec::at(1, &[NotKey]).to(-1, 1)],
    args: &[arg::string("shardchannel").multiple()],
    docs: Docs {
        since: "7.0.0",
        complexity: "O(N) where N is the number of shard channels",
        summary: "Listens for messages published to shard channels.",
        ..DOCS
    },
    run: ssubscribe,
    ..Command::BASE
};

#[doc(alias = "ssubscribeCommand")]
fn ssubscribe(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    join(ctx, args, Kind::Shard)
}

/// Subscribes to each name, with a reply for each. Refused where a command must have one reply: in scripts and calls
/// from within the process, but not in EXEC.
fn join(ctx: &mut Ctx<'_>, args: Args<'_>, kind: Kind) -> Result {
    let flags = ctx.client().flags;
    let one_reply = flags.any(ClientFlags::FAKE | ClientFlags::SCRIPT);
    if one_reply && !flags.has(ClientFlags::MULTI) {
        let name = ctx.name().to_ascii_uppercase();
        return Err(Error::once(format!(
            "{name} isn't allowed for a DENY BLOCKING client"
        )));
    }
    let state = &mut *ctx.state;
    for name in args {
        state
            .pubsub
            .subscribe(&mut state.clients, ctx.client, kind, name, ctx.reply);
    }
    Ok(())
}

const UNSUBSCRIBE: Command = Command {
    name: "unsubscribe",
    arity: Arity::AtLeast(1),
    flags: &[PubSub, NoScript, Loading, Stale, WhileSubscribed],
    args: &[arg::string("channel").optional().multiple()],
    docs: Docs {
        since: "2.0.0",
        complexity: "O(N) where N is the number of channels",
        summary: "Stops listening to channels, or to all of them.",
        ..DOCS
    },
    run: unsubscribe,
    ..Command::BASE
};

#[doc(alias = "unsubscribeCommand")]
fn unsubscribe(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    leave(ctx, args, Kind::Channel)
}

const PUNSUBSCRIBE: Command = Command {
    name: "punsubscribe",
    arity: Arity::AtLeast(1),
    flags: &[PubSub, NoScript, Loading, Stale, WhileSubscribed],
    args: &[arg::pattern("pattern").optional().multiple()],
    docs: Docs {
        since: "2.0.0",
        complexity: "O(N) where N is the number of patterns",
        summary: "Stops listening to patterns, or to all of them.",
        ..DOCS
    },
    run: punsubscribe,
    ..Command::BASE
};

#[doc(alias = "punsubscribeCommand")]
fn punsubscribe(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    leave(ctx, args, Kind::Pattern)
}

const SUNSUBSCRIBE: Command = Command {
    name: "sunsubscribe",
    arity: Arity::AtLeast(1),
    flags: &[PubSub, NoScript, Loading, Stale, WhileSubscribed],
    keys: &[KeySpec::at(1, &[NotKey]).to(-1, 1)],
    args: &[arg::string("shardchannel").optional().multiple()],
    docs: Docs {
        since: "7.0.0",
        complexity: "O(N) where N is the number of shard channels",
        summary: "Stops listening to shard channels, or to all of them.",
        ..DOCS
    },
    run: sunsubscribe,
    ..Command::BASE
};

#[doc(alias = "sunsubscribeCommand")]
fn sunsubscribe(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    leave(ctx, args, Kind::Shard)
}

/// UNSUBSCRIBE and its kin: ends the named subscriptions, or all of the kind, with a reply for each.
fn leave(ctx: &mut Ctx<'_>, args: Args<'_>, kind: Kind) -> Result {
    let state = &mut *ctx.state;
    let (pubsub, clients) = (&mut state.pubsub, &mut state.clients);
    if args.is_empty() {
        pubsub.unsubscribe_all(clients, ctx.client, kind, Some(ctx.reply));
    }
    for name in args {
        pubsub.unsubscribe(clients, ctx.client, kind, name, Some(ctx.reply));
    }
    Ok(())
}

pub(super) const PUBLISH: Command = Command {
    name: "publish",
    channels: crate::command::Channels::First,
    arity: Arity::Exactly(3),
    flags: &[PubSub, Loading, Stale, Fast, MayReplicate],
    args: &[arg::string("channel"), arg::string("message")],
    docs: Docs {
        since: "2.0.0",
        complexity: "O(N+M) where N is the number of the channel's subscribers and M that of all patterns",
        summary: "Sends a message to all who listen to a channel.",
        ..DOCS
    },
    run: publish,
    ..Command::BASE
};

#[doc(alias = "publishCommand")]
fn publish(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    send(ctx, args, Kind::Channel)
}

const SPUBLISH: Command = Command {
    name: "spublish",
    channels: crate::command::Channels::First,
    arity: Arity::Exactly(3),
    flags: &[PubSub, Loading, Stale, Fast, MayReplicate],
    keys: &[KeySpec::at(1, &[NotKey])],
    args: &[arg::string("shardchannel"), arg::string("message")],
    docs: Docs {
        since: "7.0.0",
        complexity: "O(N) where N is the number of the shard channel's subscribers",
        summary: "Sends a message to all who listen to a shard channel.",
        ..DOCS
    },
    run: spublish,
    ..Command::BASE
};

#[doc(alias = "spublishCommand")]
fn spublish(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    send(ctx, args, Kind::Shard)
}

/// PUBLISH and SPUBLISH: sends a message to all subscribers and answers how many there were on this server. Propagated
/// to replicas, unless in cluster mode, and never to the AOF: a message has no effect on data.
fn send(ctx: &mut Ctx<'_>, mut args: Args<'_>, kind: Kind) -> Result {
    let (channel, payload) = (args.bytes()?, args.bytes()?);
    let state = &mut *ctx.state;
    let receivers = state
        .pubsub
        .publish(&mut state.clients, kind, channel, payload);
    // The cluster bus carries messages to other nodes; without it, replicas get them as effects.
    if state.config.cluster_enabled {
        if kind == Kind::Shard {
            cluster::act::stats::published(state, channel, payload, receivers);
        }
        let input = Input::Publish {
            shard: kind == Kind::Shard,
            channel,
            text: payload,
        };
        cluster::act::carry::step(state, input);
    } else {
        ctx.forced = ctx.forced.or(crate::command::Targets::REPLICAS);
    }
    ctx.reply.count(receivers);
    Ok(())
}

const PUBSUB: Command = Command {
    name: "pubsub",
    arity: Arity::AtLeast(2),
    docs: Docs {
        since: "2.8.0",
        complexity: "Depends on subcommand",
        summary: "Tells about subscriptions.",
        ..DOCS
    },
    subcommands: &[
        &PUBSUB_CHANNELS,
        &PUBSUB_HELP,
        &PUBSUB_NUMPAT,
        &PUBSUB_NUMSUB,
        &PUBSUB_SHARDCHANNELS,
        &PUBSUB_SHARDNUMSUB,
    ],
    ..Command::BASE
};

const PUBSUB_CHANNELS: Command = Command {
    name: "channels",
    arity: Arity::AtLeast(2),
    flags: &[PubSub, Loading, Stale],
    args: &[arg::pattern("pattern").optional()],
    docs: Docs {
        since: "2.8.0",
        complexity: "O(N) where N is the number of channels",
        summary: "Lists the channels that have subscribers.",
        ..DOCS
    },
    run: pubsub_channels,
    ..Command::BASE
};

fn pubsub_channels(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    list_names(ctx, args, Kind::Channel)
}

const PUBSUB_SHARDCHANNELS: Command = Command {
    name: "shardchannels",
    arity: Arity::AtLeast(2),
    flags: &[PubSub, Loading, Stale],
    args: &[arg::pattern("pattern").optional()],
    docs: Docs {
        since: "7.0.0",
        complexity: "O(N) where N is the number of shard channels",
        summary: "Lists the shard channels that have subscribers.",
        ..DOCS
    },
    run: pubsub_shardchannels,
    ..Command::BASE
};

fn pubsub_shardchannels(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    list_names(ctx, args, Kind::Shard)
}

/// Answers the channels, or shard channels, that have subscribers and match a pattern.
fn list_names(ctx: &mut Ctx<'_>, mut args: Args<'_>, kind: Kind) -> Result {
    let pattern = args.next();
    args.at_most(0)?;
    let open = ctx.reply.open();
    let mut count = 0;
    for name in ctx.state.pubsub.names(kind) {
        if pattern.is_none_or(|p| glob::matches(p, name, glob::Case::Sensitive)) {
            ctx.reply.bulk(name);
            count += 1;
        }
    }
    ctx.reply.close_array(open, count);
    Ok(())
}

const PUBSUB_NUMSUB: Command = Command {
    name: "numsub",
    arity: Arity::AtLeast(2),
    flags: &[PubSub, Loading, Stale],
    args: &[arg::string("channel").optional().multiple()],
    docs: Docs {
        since: "2.8.0",
        complexity: "O(N) where N is the number of channels asked for",
        summary: "Counts the subscribers of channels.",
        ..DOCS
    },
    run: pubsub_numsub,
    ..Command::BASE
};

fn pubsub_numsub(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    count_subscribers(ctx, args, Kind::Channel)
}

const PUBSUB_SHARDNUMSUB: Command = Command {
    name: "shardnumsub",
    arity: Arity::AtLeast(2),
    flags: &[PubSub, Loading, Stale],
    args: &[arg::string("shardchannel").optional().multiple()],
    docs: Docs {
        since: "7.0.0",
        complexity: "O(N) where N is the number of shard channels asked for",
        summary: "Counts the subscribers of shard channels.",
        ..DOCS
    },
    run: pubsub_shardnumsub,
    ..Command::BASE
};

fn pubsub_shardnumsub(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    count_subscribers(ctx, args, Kind::Shard)
}

fn count_subscribers(ctx: &mut Ctx<'_>, args: Args<'_>, kind: Kind) -> Result {
    ctx.reply.array(2 * args.len());
    for name in args {
        ctx.reply.bulk(name);
        let count = ctx.state.pubsub.subscribers(kind, name);
        ctx.reply.count(count);
    }
    Ok(())
}

const PUBSUB_NUMPAT: Command = Command {
    name: "numpat",
    arity: Arity::Exactly(2),
    flags: &[PubSub, Loading, Stale],
    docs: Docs {
        since: "2.8.0",
        complexity: "O(1)",
        summary: "Counts the patterns that have subscribers.",
        ..DOCS
    },
    run: pubsub_numpat,
    ..Command::BASE
};

fn pubsub_numpat(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    ctx.reply.count(ctx.state.pubsub.len(Kind::Pattern));
    Ok(())
}

const PUBSUB_HELP: Command = Command {
    name: "help",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    docs: Docs {
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Explains the subcommands.",
        ..DOCS
    },
    run: pubsub_help,
    ..Command::BASE
};

fn pubsub_help(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    ctx.reply.help(
        "PUBSUB",
        &[
            "CHANNELS [<pattern>]",
            "    List the channels that have subscribers and match <pattern> (default: all).",
            "NUMPAT",
            "    Count the patterns that have subscribers.",
            "NUMSUB [<channel> ...]",
            "    Count the subscribers of each channel, those of patterns left out.",
            "SHARDCHANNELS [<pattern>]",
            "    List the shard channels that have subscribers and match <pattern> (default: all).",
            "SHARDNUMSUB [<shardchannel> ...]",
            "    Count the subscribers of each shard channel.",
        ],
    );
    Ok(())
}
