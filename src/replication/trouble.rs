//! What must not happen between a primary and its replicas, and is said in the log when it does.
//!
//! A command that a primary sends ran there, so an error here means that the two differ. A replica sends nothing that
//! is answered, so an answer would be taken for the stream.
//!
//! Mirrors: afterErrorReply() and logInvalidUseAndFreeClientAsync() of networking.c.

use crate::clients::{ClientFlags, ClientKey};
use crate::config::PropagationErrorBehavior;
use crate::state::{ServerRequest, State};

impl State {
    /// A request of our primary, or of a replica, was answered with an error.
    #[doc(alias = "afterErrorReply")]
    #[cold]
    pub(crate) fn peer_was_refused(&mut self, client: ClientKey, command: &str, error: &str) {
        let Some(who) = self.clients.get(client) else {
            return;
        };
        let primary = who.flags.has(ClientFlags::PRIMARY);
        let (we, they) = match primary {
            true => ("replica", "master"),
            false => ("master", "replica"),
        };
        self.log.warning(format_args!(
            "== CRITICAL == This {we} is sending an error to its {they}: '{error}' after processing the command \
             '{command}'"
        ));
        self.stats.unexpected_error_replies += 1;
        let panics = matches!(
            self.config.propagation_error_behavior,
            PropagationErrorBehavior::Panic | PropagationErrorBehavior::PanicOnReplicas
        );
        if primary && self.config.replica_read_only && panics {
            self.log.warning(format_args!(
                "This {we} panicked sending an error to its {they} after processing the command '{command}'"
            ));
            self.requests.push(ServerRequest::Exit(1));
        }
    }

    /// A replica sent something that is answered.
    #[doc(alias = "logInvalidUseAndFreeClientAsync")]
    #[cold]
    pub(crate) fn replica_was_answered(&mut self, client: ClientKey) {
        let Some(who) = self.clients.get(client) else {
            return;
        };
        let command = who.last_command.map(|id| &*self.commands[id].name);
        let command = command.unwrap_or("<unknown>").to_owned();
        let line = self.describe_client(who, None);
        self.log.warning(format_args!(
            "Replica generated a reply to command '{command}', disconnecting it: {line}"
        ));
        self.clients.close_asap(client);
    }
}
