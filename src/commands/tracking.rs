//! CLIENT TRACKING and its kin: client-side caching; the container command is in `client.rs`.
//!
//! ```text
//!   client 1   CLIENT TRACKING ON       OK
//!   client 1   GET k                    "5"; the server remembers that client 1 may cache k
//!   client 2   SET k 6                  OK
//!   client 1                            push: invalidate [k]; k is forgotten until client 1 reads it again
//! ```
//!
//! Mirrors: the tracking part of `clientCommand` (networking.c); the tables are in `clients/tracking.rs`.

use super::prelude::*;
use crate::clients::ClientId;
use crate::clients::tracking::{Modes, Tracking};

pub(super) const CLIENT_TRACKING: Command = Command {
    name: "tracking",
    arity: Arity::AtLeast(3),
    flags: &[NoScript, Loading, Stale],
    acl: &[Category::Connection],
    args: &[
        arg::one_of("status", &[arg::word("on", "ON"), arg::word("off", "OFF")]),
        arg::integer("client-id").token("REDIRECT").optional(),
        arg::string("prefix")
            .token("PREFIX")
            .optional()
            .multiple_token(),
        arg::word("bcast", "BCAST").optional(),
        arg::word("optin", "OPTIN").optional(),
        arg::word("optout", "OPTOUT").optional(),
        arg::word("noloop", "NOLOOP").optional(),
    ],
    docs: Docs {
        group: Group::Connection,
        since: "6.0.0",
        complexity: "O(1); O(N) with N prefixes",
        summary: "Has the server tell the client when keys it may keep copies of change.",
        ..Docs::BASE
    },
    run: client_tracking,
    ..Command::BASE
};

/// Turns tracking on or off for this connection, and chooses how it works: BCAST invalidates every key with one of the
/// PREFIXes that changes, OPTIN and OPTOUT decide per command what is tracked (CLIENT CACHING), NOLOOP leaves out own
/// changes, REDIRECT sends messages to another connection (RESP2).
///
/// Fails for contradicting options, and for a change between BCAST and the others while tracking is on.
fn client_tracking(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let status = args.bytes()?;
    let mut modes = Modes::default();
    let mut redirect = None;
    let mut prefixes = Vec::new();
    while !args.is_empty() {
        if args.word_with("REDIRECT", 1) {
            if redirect.is_some() {
                return Err(Error::once(
                    "A client can only redirect to a single other client",
                ));
            }
            let id = args.integer()?;
            let target = ctx.state.clients.by_id(ClientId(id as u64));
            redirect = Some(target.map(|c| (c.id, c.key)).ok_or(NO_TARGET)?);
        } else if args.word("BCAST") {
            modes.bcast = true;
        } else if args.word("OPTIN") {
            modes.optin = true;
        } else if args.word("OPTOUT") {
            modes.optout = true;
        } else if args.word("NOLOOP") {
            modes.noloop = true;
        } else if args.word_with("PREFIX", 1) {
            prefixes.push(args.bytes()?);
        } else {
            return Err(Error::Syntax);
        }
    }

    let client = ctx.client;
    let state = &mut *ctx.state;
    if status.eq_ignore_ascii_case(b"on") {
        let own = state.clients[client].tracking.as_deref();
        if !modes.bcast && !prefixes.is_empty() {
            return Err(Error::once(
                "PREFIX option requires BCAST mode to be enabled",
            ));
        }
        if own.is_some_and(|own| own.modes.bcast != modes.bcast) {
            return Err(Error::once(
                "You can't switch BCAST mode on/off before disabling tracking for this client, \
                 and then re-enabling it with a different mode.",
            ));
        }
        if modes.bcast && (modes.optin || modes.optout) {
            return Err(Error::once(
                "OPTIN and OPTOUT are not compatible with BCAST",
            ));
        }
        if modes.optin && modes.optout {
            return Err(Error::once(
                "You can't specify both OPTIN mode and OPTOUT mode",
            ));
        }
        if own
            .map(|own| own.modes)
            .is_some_and(|old| modes.optin && old.optout || modes.optout && old.optin)
        {
            return Err(Error::once(
                "You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, \
                 and then re-enabling it with a different mode.",
            ));
        }
        if modes.bcast {
            Tracking::check_prefixes(own, &prefixes)?;
        }
        state
            .tracking
            .enable(&mut state.clients, client, modes, redirect, &prefixes);
    } else if status.eq_ignore_ascii_case(b"off") {
        state.tracking.disable(&mut state.clients, client);
    } else {
        return Err(Error::Syntax);
    }
    ctx.reply.ok();
    Ok(())
}

const NO_TARGET: Error = Error::Once(std::borrow::Cow::Borrowed(
    "The client ID you want redirect to does not exist",
));

pub(super) const CLIENT_CACHING: Command = Command {
    name: "caching",
    arity: Arity::Exactly(3),
    flags: &[NoScript, Loading, Stale],
    acl: &[Category::Connection],
    args: &[arg::one_of(
        "mode",
        &[arg::word("yes", "YES"), arg::word("no", "NO")],
    )],
    docs: Docs {
        group: Group::Connection,
        since: "6.0.0",
        complexity: "O(1)",
        summary: "Decides whether the keys of the next command are tracked.",
        ..Docs::BASE
    },
    run: client_caching,
    ..Command::BASE
};

/// Tracks (YES, in OPTIN mode) or does not track (NO, in OPTOUT mode) the keys of the next command.
fn client_caching(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let Some(own) = &mut ctx.client().tracking else {
        return Err(Error::once(
            "CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or \
             OPTOUT mode enabled",
        ));
    };
    if args.word("YES") {
        if !own.modes.optin {
            return Err(Error::once(
                "CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
            ));
        }
    } else if args.word("NO") {
        if !own.modes.optout {
            return Err(Error::once(
                "CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
            ));
        }
    } else {
        return Err(Error::Syntax);
    }
    own.caching = true;
    ctx.reply.ok();
    Ok(())
}

pub(super) const CLIENT_GETREDIR: Command = Command {
    name: "getredir",
    arity: Arity::Exactly(2),
    flags: &[NoScript, Loading, Stale],
    acl: &[Category::Connection],
    docs: Docs {
        group: Group::Connection,
        since: "6.0.0",
        complexity: "O(1)",
        summary: "Tells who gets the invalidation messages of this client: 0 for itself, -1 without tracking.",
        ..Docs::BASE
    },
    run: client_getredir,
    ..Command::BASE
};

fn client_getredir(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    let redirect = ctx.client().tracking.as_ref().map(|own| own.redirect_id());
    ctx.reply.integer(redirect.map_or(-1, |id| id as i64));
    Ok(())
}

pub(super) const CLIENT_TRACKINGINFO: Command = Command {
    name: "trackinginfo",
    arity: Arity::Exactly(2),
    flags: &[NoScript, Loading, Stale],
    acl: &[Category::Connection],
    docs: Docs {
        group: Group::Connection,
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Tells how this client uses tracking.",
        ..Docs::BASE
    },
    run: client_trackinginfo,
    ..Command::BASE
};

/// Answers the modes of tracking of this connection, the ID it redirects to (-1 without tracking), and its prefixes.
fn client_trackinginfo(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    let own = ctx.state.clients[ctx.client].tracking.as_deref();
    let reply = &mut *ctx.reply;
    reply.map(3);
    reply.bulk(b"flags");
    match own {
        None => {
            reply.set(1);
            reply.bulk(b"off");
        }
        Some(own) => {
            let Modes {
                bcast,
                optin,
                optout,
                noloop,
            } = own.modes;
            let words = [
                (true, "on"),
                (bcast, "bcast"),
                (optin, "optin"),
                (optin && own.caching, "caching-yes"),
                (optout, "optout"),
                (optout && own.caching, "caching-no"),
                (noloop, "noloop"),
                (own.broken_redirect, "broken_redirect"),
            ];
            reply.set(words.iter().filter(|(on, _)| *on).count());
            for (_, word) in words.iter().filter(|(on, _)| *on) {
                reply.bulk(word.as_bytes());
            }
        }
    }
    reply.bulk(b"redirect");
    reply.integer(own.map_or(-1, |own| own.redirect_id() as i64));
    reply.bulk(b"prefixes");
    reply.array(own.map_or(0, |own| own.prefixes().len()));
    for prefix in own.into_iter().flat_map(|own| own.prefixes()) {
        reply.bulk(prefix);
    }
    Ok(())
}
