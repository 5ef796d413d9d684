//! Serving those who wait: their commands are run again when a key they wait for has changed, or they are told
//! that their time is over.
//!
//! ```text
//!   LPUSH a … ends -> "a" is ready -> for each who waits for "a", oldest first, while "a" can help it:
//!       stop waiting -> gate -> call (BLPOP a again) -> answered, or waiting anew
//!   what such a command makes ready (BLMOVE pushes) is served by the same loop, after the keys before it
//! ```
//!
//! Every command run again is a unit of execution of its own: its effects reach their readers before the next
//! one runs.
//!
//! Mirrors: `handleClientsBlockedOnKeys`, `unblockClientOnKey`, `replyToBlockedClientTimedOut` of blocked.c and
//! `handleBlockedClientsTimeout` of timeout.c.

use super::args::{Args, Argv, OwnedArgv};
use super::call::CallOrigin;
use super::command::Result;
use super::context::{Ctx, Redacted};
use super::gate;
use crate::clients::{ClientFlags, ClientKey, PauseMode, WaitKind, Waiting};
use crate::keyspace::{DbId, Ms};
use crate::observe;
use crate::resp::{Error, Reply};
use crate::state::State;
use crate::util::num;

impl Ctx<'_> {
    /// Whether the client may be made to wait. Inside transactions and scripts, and for whatever is replayed, a
    /// command that would wait answers as if its time were over.
    #[doc(alias = "CLIENT_DENY_BLOCKING")]
    pub fn may_block(&self) -> bool {
        const NEVER: [ClientFlags; 4] = [
            ClientFlags::IN_EXEC,
            ClientFlags::FAKE,
            ClientFlags::SCRIPT,
            ClientFlags::PRIMARY,
        ];
        let flags = self.state.clients[self.client].flags;
        matches!(self.origin, CallOrigin::Client | CallOrigin::Unblocked)
            && !NEVER.iter().any(|never| flags.has(*never))
    }

    /// Lets the client wait until one of `keys` holds what it waits for; the command, in the words given, is run
    /// again then. Answer nothing after this. Ask [`Ctx::may_block`] before.
    #[doc(alias = "blockForKeys")]
    pub fn block_on_keys<'a>(
        &mut self,
        kind: WaitKind,
        argv: OwnedArgv,
        deadline: Option<Ms>,
        keys: impl IntoIterator<Item = &'a [u8]>,
    ) {
        let waiting = Waiting::new(kind, self.command, argv, deadline);
        self.block(waiting, keys);
    }

    /// As [`Ctx::block_on_keys`], with all there is to tell about the wait.
    pub fn block<'a>(&mut self, waiting: Waiting, keys: impl IntoIterator<Item = &'a [u8]>) {
        let (client, state) = (self.client, &mut *self.state);
        state
            .blocked
            .block(&mut state.clients, client, waiting, keys);
    }

    /// Takes a timeout in seconds, fractions allowed: the moment when it is over, none for 0.
    #[doc(alias = "getTimeoutFromObjectOrReply")]
    pub fn timeout_seconds(&self, args: &mut Args<'_>) -> Result<Option<Ms>> {
        let seconds = num::parse_f64(args.bytes()?).ok_or(Error::TimeoutNotFloat)?;
        let ms = (seconds * 1000.0).ceil();
        if ms > i64::MAX as f64 {
            return Err(TIMEOUT_OUT_OF_RANGE);
        }
        self.timeout_at(ms as i64)
    }

    /// Takes a timeout in milliseconds.
    pub fn timeout_ms(&self, args: &mut Args<'_>) -> Result<Option<Ms>> {
        let ms = num::parse_i64(args.bytes()?)
            .ok_or(Error::once("timeout is not an integer or out of range"))?;
        self.timeout_at(ms)
    }

    fn timeout_at(&self, ms: Ms) -> Result<Option<Ms>> {
        match ms {
            0 => Ok(None),
            ..0 => Err(Error::NegativeTimeout),
            _ => match self.state.clock.unix_ms().checked_add(ms) {
                Some(deadline) => Ok(Some(deadline)),
                None => Err(TIMEOUT_OUT_OF_RANGE),
            },
        }
    }
}

const TIMEOUT_OUT_OF_RANGE: Error =
    Error::Once(std::borrow::Cow::Borrowed("timeout is out of range"));

/// Runs the commands of those who wait for keys that became ready. Nothing may be running.
#[doc(alias = "handleClientsBlockedOnKeys")]
#[inline]
pub fn serve_ready(state: &mut State) {
    // Nothing changes while clients are held back; those who wait are served when that is over.
    if state.blocked.has_ready() && !state.blocked.serving && state.pauses.mode() == PauseMode::None
    {
        serve(state);
    }
}

#[cold]
fn serve(state: &mut State) {
    debug_assert_eq!(state.effects.depth(), 0, "a command is running");
    state.blocked.serving = true;
    while state.blocked.has_ready() {
        for (db, key) in state.blocked.take_ready() {
            serve_key(state, db, &key);
        }
    }
    state.blocked.serving = false;
}

#[doc(alias = "handleClientsBlockedOnKey")]
fn serve_key(state: &mut State, db: DbId, key: &[u8]) {
    let end = state.blocked.begin(db, key);
    let mut next = 0;
    while let Some((ticket, client)) = state.blocked.waiter(db, key, next..end) {
        next = ticket + 1;
        let kind = state.keyspace[db].peek(key).map(|entry| entry.kind());
        if kind.is_none() && !state.blocked.wanted_even_without(db, key) {
            break;
        }
        let helped = state.clients[client].waiting.as_ref().is_some_and(|w| {
            w.even_without_key || kind.is_some_and(|kind| w.kind.is_helped_by(kind))
        });
        if helped {
            run_again(state, client);
        }
    }
    state.reap_expired();
}

#[doc(alias = "unblockClientOnKey")]
fn run_again(state: &mut State, client: ClientKey) {
    let Some(waiting) = state.blocked.unblock(&mut state.clients, client) else {
        return;
    };
    let asker = state.current_client.replace(client);
    state.blocked.kept_deadline = Some(waiting.deadline);
    state.clients[client].flags.set(ClientFlags::REEXECUTING);
    let argv = waiting.argv.as_argv();
    answer(state, client, waiting.silent, |state, reply| {
        gate::run_again(state, client, waiting.id, argv, reply);
    });
    state.blocked.kept_deadline = None;
    state.current_client = asker;
    if let Some(who) = state.clients.get_mut(client) {
        who.flags.clear(ClientFlags::REEXECUTING);
        match &mut who.waiting {
            Some(again) => again.silent = waiting.silent,
            None => state.clients.resume(client),
        }
    }
}

/// Writes an answer to a client whose request is not the one being served.
fn answer(
    state: &mut State,
    client: ClientKey,
    silent: bool,
    write: impl FnOnce(&mut State, &mut Reply),
) {
    let who = &mut state.clients[client];
    if silent || who.silent() {
        return write(state, &mut Reply::discard());
    }
    let mut reply = Reply::to_wire(std::mem::take(&mut who.out), who.protocol);
    write(state, &mut reply);
    let Some(who) = state.clients.get_mut(client) else {
        return;
    };
    // Messages sent to the client meanwhile follow its reply.
    reply.append(std::mem::take(&mut who.out));
    if let Some(out) = reply.into_output() {
        who.out = out;
        if !who.out.is_empty() {
            state.clients.wants_write(client);
        }
    }
}

impl State {
    /// Ends a client's wait: as if its time were over, or with an error (CLIENT UNBLOCK). False when it does not
    /// wait.
    #[doc(alias = "unblockClientOnTimeout")]
    #[doc(alias = "unblockClientOnError")]
    pub fn end_wait(&mut self, client: ClientKey, with_error: bool) -> bool {
        let error = with_error.then_some("UNBLOCKED client unblocked via CLIENT UNBLOCK");
        self.end_wait_with(client, error)
    }

    /// As [`State::end_wait`], with the error to answer.
    pub fn end_wait_with(&mut self, client: ClientKey, error: Option<&'static str>) -> bool {
        let Some(waiting) = self.blocked.unblock(&mut self.clients, client) else {
            return false;
        };
        answer(self, client, waiting.silent, |state, reply| {
            let ok = error.is_none();
            match error {
                Some(text) => {
                    let error = Error::coded(text);
                    state.stats.count_error(&error);
                    reply.error(&error);
                }
                None => timed_out(waiting.kind, reply),
            }
            let argv: Argv<'_> = waiting.argv.as_argv();
            let ran = observe::Ran {
                client,
                id: waiting.id,
                argv,
                redacted: Redacted::default(),
                elapsed_ns: 0,
                ok,
                outermost: true,
                replayed: false,
            };
            observe::after_call(state, ran);
        });
        self.clients.resume(client);
        true
    }

    /// Ends the waits whose time is over.
    #[doc(alias = "handleBlockedClientsTimeout")]
    pub(crate) fn end_overdue_waits(&mut self) {
        if self.blocked.next_deadline().is_none() {
            return;
        }
        self.refresh_clock();
        while let Some(client) = self.blocked.overdue(self.clock.unix_ms()) {
            self.end_wait_with(client, None);
        }
    }

    /// Ends everybody's wait with an error and closes their connections: what they wait for will not come here
    /// (the server became a replica).
    #[doc(alias = "disconnectAllBlockedClients")]
    pub fn end_all_waits(&mut self) {
        let waiting: Vec<ClientKey> = self
            .clients
            .iter()
            .filter(|c| c.blocked())
            .map(|c| c.key)
            .collect();
        for client in waiting {
            let text = "UNBLOCKED force unblock from blocking operation, instance state changed \
                        (master -> replica?)";
            if self.end_wait_with(client, Some(text)) {
                let flags = &mut self.clients[client].flags;
                flags.set(ClientFlags::CLOSE_AFTER_REPLY);
            }
        }
    }
}

/// What somebody is told whose time is over.
#[doc(alias = "replyToBlockedClientTimedOut")]
fn timed_out(kind: WaitKind, reply: &mut Reply) {
    match kind {
        WaitKind::List | WaitKind::Zset | WaitKind::Stream => reply.null_array(),
    }
}
