//! Unblocks clients without running their commands: by timeout, by CLIENT UNBLOCK, or because the server's role
//! changed.
//!
//! Running a blocked command again when its key has changed is the work of `dispatch/unblock.rs`.
//!
//! Mirrors: unblockClientOnTimeout(), replyToBlockedClientTimedOut() of blocked.c, handleBlockedClientsTimeout() of
//! timeout.c.
//! Differs: deadlines are an ordered map in `clients/blocked.rs`, where Redis has a radix tree.

use std::time::Duration;

use crate::clients::{ClientFlags, ClientKey, WaitKind};
use crate::resp::argv::Argv;
use crate::resp::{Error, Reply};
use crate::shutdown::SHUTDOWN_FAILED;
use crate::state::State;
use crate::{observe, replication};

/// Unblocks a client: as if its timeout were over, or with an error (CLIENT UNBLOCK). Returns false if it is not
/// blocked.
#[doc(alias = "unblockClientOnTimeout")]
#[doc(alias = "unblockClientOnError")]
pub fn end_wait(state: &mut State, client: ClientKey, with_error: bool) -> bool {
    let waiting = state
        .clients
        .get(client)
        .and_then(|who| who.waiting.as_ref());
    let stays = |kind: WaitKind| match (kind, state.module_doors) {
        (WaitKind::Module(handle), Some(doors)) => !(doors.may_time_out)(handle),
        _ => kind.ends_by_itself(),
    };
    if waiting.is_some_and(|waiting| stays(waiting.kind)) {
        return false;
    }
    let error = "UNBLOCKED client unblocked via CLIENT UNBLOCK";
    end_wait_with(state, client, with_error.then(|| Error::coded(error)))
}

/// As [`end_wait`], with the error to answer.
pub fn end_wait_with(state: &mut State, client: ClientKey, error: Option<Error>) -> bool {
    let Some(waiting) = state.blocked.unblock(&mut state.clients, client) else {
        return false;
    };
    answer(state, client, waiting.silent, |state, reply| {
        let ok = error.is_none();
        let mut elapsed_ns = 0;
        match error {
            Some(error) => {
                state.stats.count_error(&error);
                reply.error(&error);
            }
            None => match (waiting.kind, state.module_doors) {
                (WaitKind::Module(handle), Some(doors)) => {
                    elapsed_ns = (doors.timed_out)(state, handle, &waiting.argv, reply);
                }
                (kind, _) => timed_out(state, kind, reply),
            },
        }
        if let (true, WaitKind::Module(handle), Some(doors)) =
            (!ok, waiting.kind, state.module_doors)
        {
            (doors.gone)(state, handle);
        }
        let argv: Argv<'_> = waiting.argv.as_argv();
        let ran = observe::Ran {
            client,
            id: waiting.id,
            argv,
            redacted: crate::command::Redacted::default(),
            elapsed_ns,
            ok,
            outermost: true,
            replayed: false,
        };
        observe::act::calls::after_call(state, ran);
    });
    if state.clients.get(client).is_some() {
        state.clients.resume(client);
    }
    true
}

/// Unblocks a client that is blocked on just this, with the reply that `write` makes; `write` returns whether the
/// command has succeeded.
pub fn end_wait_saying(
    state: &mut State,
    client: ClientKey,
    kind: WaitKind,
    write: impl FnOnce(&mut Reply) -> bool,
) {
    let who = state.clients.get(client);
    let waiting = who.and_then(|who| who.waiting.as_ref());
    if waiting.is_none_or(|waiting| waiting.kind != kind) {
        return;
    }
    let Some(waiting) = state.blocked.unblock(&mut state.clients, client) else {
        return;
    };
    answer(state, client, waiting.silent, |state, reply| {
        let ran = observe::Ran {
            client,
            id: waiting.id,
            argv: waiting.argv.as_argv(),
            redacted: crate::command::Redacted::default(),
            elapsed_ns: 0,
            ok: write(reply),
            outermost: true,
            replayed: false,
        };
        observe::act::calls::after_call(state, ran);
    });
    state.clients.resume(client);
}

/// Unblocks the clients whose timeout is over.
#[doc(alias = "handleBlockedClientsTimeout")]
pub(crate) fn end_overdue_waits(state: &mut State) {
    if state.blocked.next_deadline().is_none() {
        return;
    }
    state.refresh_clock();
    while let Some(client) = state.blocked.overdue(state.clock.unix_ms()) {
        let waiting = state
            .clients
            .get(client)
            .and_then(|who| who.waiting.as_ref());
        match (waiting.map(|waiting| waiting.kind), state.module_doors) {
            // Its module has unblocked it; the reply is on its way.
            (Some(WaitKind::Module(handle)), Some(doors)) if (doors.is_unblocked)(handle) => {
                state.blocked.forget_first_deadline();
            }
            _ => drop(end_wait_with(state, client, None)),
        }
    }
    let now = state.clock.unix_ms();
    state.blocked.touch_again(&state.clients, now);
}

/// Unblocks all clients with an error and closes their connections: the keys they are blocked on will not change here
/// any more (the server became a replica).
#[doc(alias = "disconnectAllBlockedClients")]
pub fn end_all_waits(state: &mut State) {
    let waiting: Vec<ClientKey> = state
        .clients
        .iter()
        .filter(|c| c.blocked())
        // A save goes on whatever the role.
        .filter(|c| !matches!(c.waiting.as_ref().map(|w| w.kind), Some(WaitKind::Saved(_))))
        .map(|c| c.key)
        .collect();
    for client in waiting {
        let text = "UNBLOCKED force unblock from blocking operation, instance state changed \
                    (master -> replica?)";
        let ended = end_wait_with(state, client, Some(Error::coded(text)));
        // The client of a module's call has no connection, and may be gone with its reply.
        let who = state.clients.get_mut(client).filter(|_| ended);
        if let Some(who) = who.filter(|who| !who.flags.has(ClientFlags::FAKE)) {
            who.flags.set(ClientFlags::CLOSE_AFTER_REPLY);
        }
    }
}

/// Unblocks a client with its answer, if it is still blocked on this very event. O(1) but for the reply.
pub fn answer_blocked(
    state: &mut State,
    client: ClientKey,
    kind: WaitKind,
    elapsed: Duration,
    write: impl FnOnce(&mut Reply),
) {
    let waiting = state
        .clients
        .get(client)
        .and_then(|who| who.waiting.as_ref());
    if waiting.is_none_or(|waiting| waiting.kind != kind) {
        return;
    }
    let Some(waiting) = state.blocked.unblock(&mut state.clients, client) else {
        return;
    };
    answer(state, client, waiting.silent, |state, reply| {
        write(reply);
        let ran = observe::Ran {
            client,
            id: waiting.id,
            argv: waiting.argv.as_argv(),
            redacted: crate::command::Redacted::default(),
            elapsed_ns: elapsed.as_nanos() as u64,
            ok: true,
            outermost: true,
            replayed: false,
        };
        observe::act::calls::after_call(state, ran);
    });
    state.clients.resume(client);
}

/// Writes an answer to a client whose request is not the one being served.
pub fn answer(
    state: &mut State,
    client: ClientKey,
    silent: bool,
    write: impl FnOnce(&mut State, &mut Reply),
) {
    let who = &mut state.clients[client];
    if who.flags.has(ClientFlags::MAY_BLOCK) {
        // A module's call that blocked: the reply goes to the module.
        let mut write = Some(write);
        if let Some(doors) = state.module_doors {
            (doors.serve_call)(state, client, &mut |state, reply| {
                if let Some(write) = write.take() {
                    write(state, reply);
                }
            });
        }
        return;
    }
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
        let (overflowed, empty) = (who.out.overflowed(), who.out.is_empty());
        if overflowed {
            state.clients.note_over_limit(client);
        }
        if !empty {
            state.clients.wants_write(client);
        }
    }
}

/// The reply to a client whose timeout is over.
#[doc(alias = "replyToBlockedClientTimedOut")]
fn timed_out(state: &State, kind: WaitKind, reply: &mut Reply) {
    match kind {
        WaitKind::List | WaitKind::Zset | WaitKind::Stream | WaitKind::Change => reply.null_array(),
        // These end by themselves, and CLIENT UNBLOCK does not touch them.
        WaitKind::Search(_) | WaitKind::Sentinel(_) | WaitKind::Saved(_) | WaitKind::Module(_) => {
            reply.null_array();
        }
        // SHUTDOWN blocks without a timeout, so only CLIENT UNBLOCK comes here.
        WaitKind::Shutdown => reply.error_text(SHUTDOWN_FAILED),
        // WAIT and WAITAOF reply with the acknowledgements there are, whether they suffice or not.
        WaitKind::Acks(wanted) => replication::act::acks::reply_acks(state, wanted, reply),
    }
}
