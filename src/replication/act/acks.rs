//! Acknowledgements: how many replicas have a position of the stream, in memory or on disk.
//!
//! WAIT and WAITAOF (`waiting.rs`) compare these counts with what a client asked for.
//!
//! Mirrors: replicationCountAcksByOffset(), replicationCountAOFAcksByOffset() of replication.c.
//! Differs: one function counts both kinds of acknowledgement.
//! Cost: O(replicas).

use crate::clients::Acks;
use crate::persistence::aof::Mode;
use crate::resp::Reply;
use crate::state::State;

/// How many replicas acknowledged a position, as applied or as being on disk.
#[doc(alias = "replicationCountAcksByOffset")]
pub fn count_acks(state: &State, position: u64, on_disk: bool) -> i64 {
    let replicas = state.replication.replicas.iter();
    let acked = replicas.filter(|replica| {
        let acked = match on_disk {
            true => replica.acked_aof,
            false => replica.acked,
        };
        replica.phase.is_online() && acked >= position
    });
    acked.count() as i64
}

/// The state of the acknowledgements that a client waits for: whether its write is on our own disk, and the number of
/// replicas that have it.
pub fn acks(state: &State, wanted: Acks) -> (bool, i64) {
    let replicas = count_acks(state, wanted.position, wanted.on_disk.is_some());
    let safe = aof_safe_position(state);
    (safe.is_some_and(|safe| safe >= wanted.position), replicas)
}

/// Answers with what there is.
pub fn reply_acks(state: &State, wanted: Acks, reply: &mut Reply) {
    let (local, replicas) = acks(state, wanted);
    if wanted.on_disk.is_some() {
        reply.array(2);
        reply.integer(i64::from(local));
    }
    reply.integer(replicas);
}

/// Whether that is enough.
pub fn is_acked(state: &State, wanted: Acks) -> bool {
    let (local, replicas) = acks(state, wanted);
    replicas >= wanted.replicas && (local || wanted.on_disk != Some(true))
}

/// How far the stream is safe in our append-only file, if there is one.
pub fn aof_safe_position(state: &State) -> Option<u64> {
    match state.persistence.aof.mode {
        _ if !state.config.appendonly => None,
        Mode::On => Some(state.replication.safe_positions.safe),
        // No position counts as safe: the next rewrite replaces the file in which it was.
        Mode::Off | Mode::AwaitsRewrite => Some(0),
    }
}
