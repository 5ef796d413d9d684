//! May it run now? Everything that can keep a request from running, in Redis's order, and where a
//! request goes instead: refused, queued by MULTI, held back by CLIENT PAUSE.
//!
//! When nothing is special (no password, no limit, no pause, nothing loading) all this is a handful
//! of tests of flags.
//!
//! Mirrors: `processCommand` and `rejectCommand` of server.c.

use super::args::Argv;
use super::call::{CallOrigin, call};
use super::command::Flag;
use super::table::{CommandId, Missing};
use crate::clients::{ClientFlags, ClientKey};
use crate::resp::{Error, Reply};
use crate::state::State;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran, was queued, or was refused: its bytes are used up.
    Done,
    /// It must be tried again later, from the same bytes.
    Postponed,
}

/// Runs a client's request, or refuses it.
#[inline]
pub fn process(state: &mut State, client: ClientKey, argv: Argv<'_>, reply: &mut Reply) -> Outcome {
    if argv.is_empty() {
        return Outcome::Done;
    }
    let id = match identify(state, argv) {
        Ok(id) => id,
        Err(error) => {
            reject(state, client, None, reply, &error);
            return Outcome::Done;
        }
    };
    match admit(state, client, id) {
        Ok(()) => {
            state.clients[client].last_command = Some(id);
            call(state, client, id, argv, reply, CallOrigin::Client);
        }
        Err(error) => reject(state, client, Some(id), reply, &error),
    }
    Outcome::Done
}

/// The command a request names, with its arity checked; otherwise the error in Redis's words.
#[inline]
pub(super) fn identify(state: &State, argv: Argv<'_>) -> Result<CommandId, Error> {
    match state.commands.lookup(argv) {
        Ok(id) => {
            let entry = &state.commands[id];
            if entry.accepts(argv.len()) && (entry.subcommands.is_empty() || argv.len() >= 2) {
                Ok(id)
            } else {
                Err(Error::WrongArity(entry.name.to_string()))
            }
        }
        Err(missing) => Err(unknown(state, argv, missing)),
    }
}

fn unknown(state: &State, argv: Argv<'_>, missing: Missing) -> Error {
    let show = |bytes: &[u8]| {
        let cut = &bytes[..bytes.len().min(128)];
        String::from_utf8_lossy(cut).into_owned()
    };
    match missing {
        Missing::Subcommand(container) => {
            let name = state.commands[container].name.to_ascii_uppercase();
            Error::UnknownSubcommand(show(argv.get(1)), name)
        }
        Missing::Command => {
            let mut args = String::new();
            for arg in argv.iter().skip(1) {
                if args.len() >= 128 {
                    break;
                }
                let room = 128 - args.len();
                let cut = &arg[..arg.len().min(room)];
                args.push_str(&format!("'{}' ", String::from_utf8_lossy(cut)));
            }
            Error::UnknownCommand(format!(
                "ERR unknown command '{}', with args beginning with: {args}",
                show(argv.get(0))
            ))
        }
    }
}

fn admit(state: &mut State, client: ClientKey, id: CommandId) -> Result<(), Error> {
    let flags = state.commands[id].flags;
    let who = &state.clients[client];
    let standing = who.flags;

    if !standing.has(ClientFlags::AUTHENTICATED) && !flags.has(Flag::NoAuth) {
        return Err(Error::NoAuth);
    }
    if standing.has(ClientFlags::MULTI) && flags.has(Flag::NoMulti) {
        let name = state.commands[id].name.to_string();
        return Err(Error::once(format!(
            "Command '{name}' not allowed inside a transaction"
        )));
    }
    if standing.has(ClientFlags::PUBSUB) && who.protocol == crate::resp::Protocol::Resp2 {
        let allowed = flags.has(Flag::PubSub) && !flags.has(Flag::MayReplicate)
            || matches!(&*state.commands[id].name, "ping" | "quit" | "reset");
        if !allowed {
            let name = state.commands[id].name.to_string();
            return Err(Error::once(format!(
                "Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
                 RESET are allowed in this context"
            )));
        }
    }
    Ok(())
}

/// Answers with an error instead of running; inside MULTI the transaction is spoiled.
fn reject(
    state: &mut State,
    client: ClientKey,
    id: Option<CommandId>,
    reply: &mut Reply,
    error: &Error,
) {
    if let Some(id) = id {
        state.commands[id].stats.rejected += 1;
    }
    let who = &mut state.clients[client];
    if who.flags.has(ClientFlags::MULTI) {
        who.flags.set(ClientFlags::DIRTY_EXEC);
    }
    state.stats.count_error(error);
    reply.error(error);
}
