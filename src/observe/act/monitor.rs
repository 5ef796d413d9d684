//! MONITOR: every command that runs is sent to the clients that asked for it.
//!
//! ```text
//!   +1700000000.000000 [0 127.0.0.1:51234] "SET" "a" "1"
//!                       │ └ the client      └ the words, quoted; secrets as "(redacted)"
//!                       └ the database
//! ```
//!
//! Mirrors: replicationFeedMonitors() of replication.c.
//! Differs: arguments that may hold secrets are hidden also where the command fails.

use crate::clients::{ClientFlags, ClientKey};
use crate::command::Redacted;
use crate::keyspace::DbId;
use crate::observe::slowlog::REDACTED;
use crate::resp::argv::Argv;
use crate::state::State;
use crate::util::args;

/// Shows a command to the monitors. EXEC and EVAL, which run other commands, are fed by their handlers, so that
/// MONITOR shows the commands they run on the right side of them.
#[inline]
pub fn feed(state: &mut State, client: ClientKey, db: DbId, argv: Argv<'_>, redacted: Redacted) {
    if !state.monitors.is_empty() {
        show(state, client, db, argv, redacted, false);
    }
}

/// As [`feed`], for a command of internal connections: other monitors do not see it.
#[cold]
pub fn feed_internal(
    state: &mut State,
    client: ClientKey,
    db: DbId,
    argv: Argv<'_>,
    redacted: Redacted,
) {
    show(state, client, db, argv, redacted, true);
}

#[cold]
fn show(
    state: &mut State,
    client: ClientKey,
    db: DbId,
    argv: Argv<'_>,
    redacted: Redacted,
    internal: bool,
) {
    let us = state.clock.unix_us();
    let (seconds, micros) = (us / 1_000_000, us % 1_000_000);
    let who = match state.clients.get(client) {
        Some(c) if c.flags.has(ClientFlags::SCRIPT) => "lua",
        Some(c) if c.flags.has(ClientFlags::UNIX_SOCKET) => {
            // The address of such a client is its socket's path with a port of 0.
            &format!("unix:{}", c.address.trim_end_matches(":0"))
        }
        Some(c) => &c.address,
        None => "",
    };
    let mut line = format!("+{seconds}.{micros:06} [{} {who}]", db.0).into_bytes();
    for (i, word) in argv.iter().enumerate() {
        line.push(b' ');
        args::repr(&mut line, if redacted.has(i) { REDACTED } else { word });
    }
    line.extend_from_slice(b"\r\n");
    for monitor in state.monitors.clone() {
        let who = state.clients.get(monitor);
        if internal && !who.is_some_and(|who| who.flags.has(ClientFlags::INTERNAL)) {
            continue;
        }
        state.clients.send(monitor, |reply| reply.raw(&line));
    }
}
