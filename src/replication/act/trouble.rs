//! Faults between a primary and its replicas that must never happen, and the log lines that report them.
//!
//! A command that a primary propagates succeeded there, so an error on the replica means that the two data sets
//! differ. A replica sends commands that have no reply, so any reply to it would be read as part of the stream.
//!
//! Mirrors: afterErrorReply() and logInvalidUseAndFreeClientAsync() of networking.c. The lines are Redis's, because
//! operators search the log for them.

use crate::clients::{ClientFlags, ClientKey};
use crate::config::PropagationErrorBehavior;
use crate::observe;
use crate::state::{ServerRequest, State};

/// A request of our primary, or of a replica, was answered with an error.
#[doc(alias = "afterErrorReply")]
#[cold]
pub(crate) fn peer_was_refused(state: &mut State, client: ClientKey, command: &str, error: &str) {
    let Some(who) = state.clients.get(client) else {
        return;
    };
    let primary = who.flags.has(ClientFlags::PRIMARY);
    let (we, they) = match primary {
        true => ("replica", "master"),
        false => ("master", "replica"),
    };
    state.log.warning(format_args!(
        "== CRITICAL == This {we} is sending an error to its {they}: '{error}' after processing the command \
         '{command}'"
    ));
    state.stats.unexpected_error_replies += 1;
    let panics = matches!(
        state.config.propagation_error_behavior,
        PropagationErrorBehavior::Panic | PropagationErrorBehavior::PanicOnReplicas
    );
    if primary && state.config.replica_read_only && panics {
        state.log.warning(format_args!(
            "This {we} panicked sending an error to its {they} after processing the command '{command}'"
        ));
        state.requests.push(ServerRequest::Exit(1));
    }
}

/// A replica sent something that is answered.
#[doc(alias = "logInvalidUseAndFreeClientAsync")]
#[cold]
pub(crate) fn replica_was_answered(state: &mut State, client: ClientKey) {
    let Some(who) = state.clients.get(client) else {
        return;
    };
    let command = who.last_command.map(|id| &*state.commands[id].name);
    let command = command.unwrap_or("<unknown>").to_owned();
    let line = observe::act::clients::describe_client(state, who, None);
    state.log.warning(format_args!(
        "Replica generated a reply to command '{command}', disconnecting it: {line}"
    ));
    state.clients.close_asap(client);
}
