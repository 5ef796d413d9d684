//! The end of the server carried out; [`super`] has its stages.
//!
//! Mirrors: prepareForShutdown(), finishShutdown() and abortShutdown() of server.c.
//! Differs: in nothing that an operator sees.

use crate::clients::{ClientKey, PauseMode, PausePurpose, WaitKind};
use crate::config::ShutdownFlags;
use crate::keyspace::Ms;
use crate::modules::{EventData, EventId};
use crate::shutdown::{Ending, SHUTDOWN_FAILED};
use crate::state::{ServerRequest, State};
use crate::{clients, persistence, replication};

/// A signal asks the server to end.
pub fn end_by_signal(state: &mut State, how: ShutdownFlags) {
    state.shutdown.signalled = Some(how);
}

/// Begins to end the server.
#[doc(alias = "prepareForShutdown")]
pub fn begin(state: &mut State, how: ShutdownFlags) -> Ending {
    if state.shutdown.waits.is_some() {
        return crate::shutdown::Ending::Waits;
    }
    state.log.warning("User requested shutdown...");
    let timeout_s = state.config.shutdown_timeout;
    if !how.now && timeout_s != 0 && !replication::act::primary::replicas_caught_up(state) {
        let end = state.clock.unix_ms() + Ms::from(timeout_s) * 1000;
        state.shutdown.waits = Some((how, end));
        if state.pauses.mode() == PauseMode::None {
            replication::act::waiting::want_acks(state);
        }
        replication::act::waiting::ask_for_acks(state);
        clients::act::pause::pause_clients(
            state,
            PausePurpose::Shutdown,
            PauseMode::Write,
            Ms::MAX,
        );
        state
            .log
            .notice("Waiting for replicas before shutting down.");
        return crate::shutdown::Ending::Waits;
    }
    finish(state, how)
}

#[doc(alias = "finishShutdown")]
fn finish(state: &mut State, how: ShutdownFlags) -> Ending {
    replication::act::primary::log_lagging_replicas(state);
    state.tell_modules(EventId::Shutdown, 0, EventData::None);
    let cancel_save = replication::act::full_sync::cancel_save;
    if !persistence::act::saving::save_before_end(state, how, cancel_save) {
        state
            .log
            .warning("Errors trying to shut down the server. Check the logs for more information.");
        call_shutdown_off(state);
        return crate::shutdown::Ending::Failed;
    }
    state.requests.push(ServerRequest::Exit(0));
    crate::shutdown::Ending::Over
}

/// Calls a shutdown off: its clients get an error, and writes go on.
#[doc(alias = "cancelShutdown")]
fn call_shutdown_off(state: &mut State) {
    state.shutdown = crate::shutdown::Shutdown::default();
    let waiting: Vec<ClientKey> = state
        .blocked
        .others()
        .filter(|client| {
            let client = state.clients.get(*client);
            let waiting = client.and_then(|client| client.waiting.as_ref());
            waiting.is_some_and(|waiting| waiting.kind == WaitKind::Shutdown)
        })
        .collect();
    for client in waiting {
        clients::act::waits::end_wait_with(
            state,
            client,
            Some(crate::resp::Error::coded(SHUTDOWN_FAILED)),
        );
    }
    clients::act::pause::pause_clients(state, PausePurpose::Shutdown, PauseMode::None, 0);
}

/// SHUTDOWN ABORT. Returns false when there is no shutdown to call off.
#[doc(alias = "abortShutdown")]
pub fn abort(state: &mut State) -> bool {
    if state.shutdown.waits.is_none() && state.shutdown.signalled.is_none() {
        return false;
    }
    call_shutdown_off(state);
    state.log.notice("Shutdown manually aborted.");
    true
}

/// Begins a shutdown that a signal asked for, and goes on with one that waits for replicas.
pub(crate) fn cron(state: &mut State) {
    if let Some(how) = state
        .shutdown
        .signalled
        .take_if(|_| state.shutdown.waits.is_none())
    {
        begin(state, how);
    } else if let Some((how, end)) = state.shutdown.waits
        && (state.clock.unix_ms() >= end || replication::act::primary::replicas_caught_up(state))
    {
        finish(state, how);
    }
}

/// Milliseconds until a waiting shutdown stops waiting for replicas.
pub fn in_ms(state: &State) -> Option<Ms> {
    let (_, end) = state.shutdown.waits?;
    Some(end - state.clock.unix_ms())
}
