//! A client in one line, for CLIENT LIST, CLIENT INFO and the log.
//!
//! Mirrors: catClientInfoString() of networking.c.
//! Names and order of the fields are Redis's, because tools parse them.

use std::fmt::Write;

use crate::clients::{Client, ClientFlags};
use crate::observe::clients::Running;
use crate::pubsub::Kind;
use crate::resp::Protocol;
use crate::resp::request::READ_BUFFER;
use crate::state::State;

/// The line, without its end.
#[doc(alias = "catClientInfoString")]
pub fn describe_client(state: &State, client: &Client, running: Option<Running<'_>>) -> String {
    let running = running.filter(|running| running.client == client.key);
    let output = running.and_then(|running| running.output);
    let out = output.unwrap_or(&client.out);
    let (argv_bytes, besides_query) = match running {
        Some(running) => (running.argv_bytes, running.argv_bytes),
        None => {
            let parsed = client.parser.parsed_bytes(&client.request);
            (parsed, client.request.big_bytes())
        }
    };
    let mut memory = client.memory(output, besides_query);
    if client.flags.has(ClientFlags::REPLICA) {
        let unsent = state.replication.unsent(&state.clients, client.key) as usize;
        memory.output += unsent;
        memory.total += unsent;
    }
    let now = state.clock.unix_ms();
    let (mut query, mut query_free) = client.query_bytes();
    // The parsed part of the query buffer is counted as arguments (`argv-mem`), not as `qbuf`.
    query -= client.parser.position().min(client.query.len());
    if client.shared_query > 0 {
        query += client.shared_query;
        query_free += READ_BUFFER - client.shared_query;
    }
    let subscriptions = client.subscriptions.as_deref();
    let subscribed = |kind| subscriptions.map_or(0, |s| s.len(kind));
    let tracked = client.tracking.as_deref();
    let transaction = client.transaction.as_deref();
    let queued = transaction.map_or(0, |t| t.len());
    let command = client.last_command.map(|id| &*state.commands[id].name);
    let lossy = String::from_utf8_lossy;
    let user = client.user.as_ref();
    let user = user.map_or("(superuser)".into(), |user| lossy(user.name()));
    let mut line = String::with_capacity(400);
    // Writing to a string cannot fail.
    let _ = write!(
        line,
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub={} psub={} ssub={} \
         multi={} watch={} qbuf={} qbuf-free={} argv-mem={} multi-mem={} rbs={} rbp={} obl={} oll={} \
         omem={} tot-mem={} events={} cmd={} user={} redir={} resp={} lib-name={} lib-ver={} io-thread=0 \
         tot-net-in={} tot-net-out={} tot-cmds={}",
        client.id,
        client.address,
        client.local_address,
        client.fd,
        lossy(&client.name),
        now / 1000 - client.created_ms / 1000,
        now / 1000 - client.active_ms / 1000,
        letters(client),
        client.db.0,
        subscribed(Kind::Channel),
        subscribed(Kind::Pattern),
        subscribed(Kind::Shard),
        if client.flags.has(ClientFlags::MULTI) {
            queued as i64
        } else {
            -1
        },
        transaction.map_or(0, |t| t.watched()),
        query,
        query_free,
        argv_bytes,
        transaction.map_or(0, |t| t.memory()),
        out.tail_capacity(),
        client.reply_peak.0.min(out.tail_capacity()),
        if running.is_some() { 0 } else { out.tail_len() },
        out.segments(),
        memory.output,
        memory.total,
        if client.flags.has(ClientFlags::AWAITS_ROOM) {
            "rw"
        } else {
            "r"
        },
        command.unwrap_or("NULL"),
        user,
        tracked.map_or(-1, |t| t.redirect_id() as i64),
        if client.protocol == Protocol::Resp3 {
            3
        } else {
            2
        },
        lossy(&client.library.0),
        lossy(&client.library.1),
        client.bytes_in,
        client.bytes_out,
        client.commands,
    );
    line
}

/// The letters of `flags=`; `N` when there are none.
fn letters(client: &Client) -> String {
    let flags = client.flags;
    const LETTERS: &[(ClientFlags, char)] = &[
        (ClientFlags::PRIMARY, 'M'),
        (ClientFlags::PUBSUB, 'P'),
        (ClientFlags::MULTI, 'x'),
        (ClientFlags::BLOCKED, 'b'),
        (ClientFlags::PAUSED, 'b'),
        (ClientFlags::TRACKING, 't'),
        (ClientFlags::DIRTY_CAS, 'd'),
        (ClientFlags::CLOSE_AFTER_REPLY, 'c'),
        (ClientFlags::UNBLOCKED, 'u'),
        (ClientFlags::CLOSE_ASAP, 'A'),
        (ClientFlags::UNIX_SOCKET, 'U'),
        (ClientFlags::READONLY, 'r'),
        (ClientFlags::NO_EVICT, 'e'),
        (ClientFlags::NO_TOUCH, 'T'),
        (ClientFlags::IMPORTS, 'o'),
        (ClientFlags::EXPORTS, 'g'),
        (ClientFlags::INTERNAL, 'I'),
    ];
    let mut text = String::new();
    if flags.has(ClientFlags::MONITOR) {
        text.push('O');
    } else if flags.has(ClientFlags::REPLICA) {
        text.push('S');
        if client.announced.as_ref().is_some_and(|a| a.rdb_channel) {
            text.push('C');
        }
    }
    text.extend(
        LETTERS
            .iter()
            .filter(|(flag, _)| flags.has(*flag))
            .map(|(_, letter)| letter),
    );
    if let Some(tracked) = &client.tracking {
        text.extend(tracked.broken_redirect.then_some('R'));
        text.extend(tracked.modes.bcast.then_some('B'));
    }
    if text.is_empty() {
        text.push('N');
    }
    text
}
