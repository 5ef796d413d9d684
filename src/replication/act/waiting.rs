//! WAIT and WAITAOF: replicas are asked for acknowledgements, clients are answered when there are enough.
//!
//! Mirrors: processClientsWaitingReplicas() of replication.c.
//! Differs: acknowledgements are counted anew for each blocked client; Redis reuses the last count where it can.

use super::{acks, stream};
use crate::clients;
use crate::clients::{Acks, ClientKey, PauseMode, WaitKind};
use crate::command::Said;
use crate::persistence::aof::Mode;
use crate::replication::waiting::{NEEDS_AOF, SafePositions};
use crate::state::State;

/// Notes kept at most; more of them are merged into the last.
const NOTES: usize = 64;

/// Replicas are asked how far they are, before the loop sleeps.
#[doc(alias = "replicationRequestAckFromSlaves")]
pub fn want_acks(state: &mut State) {
    state.replication.wants_acks = true;
}

pub(crate) fn ask_for_acks(state: &mut State) {
    let paused = state.pauses.mode() != PauseMode::None;
    if !paused && std::mem::take(&mut state.replication.wants_acks) {
        stream::feed_replicas(
            state,
            &[Said {
                db: None,
                argv: crate::resp::argv::OwnedArgv::from_words(["REPLCONF", "GETACK", "*"]),
                targets: crate::command::Targets::REPLICAS,
            }],
        );
    }
}

/// Unblocks the clients whose acknowledgements are there. Called when the append-only file was just written.
#[doc(alias = "processClientsWaitingReplicas")]
pub(crate) fn serve_ack_waits(state: &mut State) {
    note_aof_position(state);
    let waiting: Vec<(ClientKey, Acks)> = state
        .blocked
        .others()
        .filter_map(|client| {
            let waiting = state.clients.get(client)?.waiting.as_ref()?;
            match waiting.kind {
                WaitKind::Acks(wanted) => Some((client, wanted)),
                _ => None,
            }
        })
        .collect();
    for (client, wanted) in waiting {
        if wanted.on_disk == Some(true) && !state.config.appendonly {
            clients::act::waits::end_wait_with(
                state,
                client,
                Some(crate::resp::Error::coded(NEEDS_AOF)),
            );
        } else if acks::is_acked(state, wanted) {
            clients::act::waits::end_wait_with(state, client, None);
        }
    }
}

/// A new append-only file begins: notes the positions of stream and file.
pub(crate) fn note_aof_start(state: &mut State) {
    state.replication.safe_positions = SafePositions {
        begun: Some(state.replication.offset),
        fed_before: state.persistence.aof.fed,
        ..SafePositions::default()
    };
}

/// Notes the position of the stream together with the position of the file.
fn note_aof_position(state: &mut State) {
    let aof = &state.persistence.aof;
    let positions = &mut state.replication.safe_positions;
    if aof.mode == Mode::Off {
        if !positions.notes.is_empty() || positions.safe > 0 {
            *positions = SafePositions::default();
        }
        return;
    }
    if aof.mode == Mode::On
        && let Some(begun) = positions.begun.take()
    {
        positions.safe = positions.safe.max(begun);
    }
    let safe = match aof.mode {
        Mode::On => aof.safe_offset().max(positions.fed_before),
        _ => aof.safe_offset(),
    };
    let fed = aof.fed;
    while let Some((_, position)) = positions.notes.front().filter(|(fed, _)| *fed <= safe) {
        positions.safe = *position;
        positions.notes.pop_front();
    }
    if fed <= safe {
        // Every byte of the file is safe. Effects of the stream since then concern no file, so they are safe as well.
        positions.safe = state.replication.offset;
        return;
    }
    let note = (fed, state.replication.offset);
    let full = positions.notes.len() >= NOTES;
    match positions.notes.back_mut() {
        Some(last) if last.0 == fed => {}
        Some(last) if full => *last = note,
        _ => positions.notes.push_back(note),
    }
}
