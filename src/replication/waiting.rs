//! Clients that wait until what they wrote is known elsewhere: WAIT, and WAITAOF for "safe on disk".
//!
//! ```text
//!   write ─► Client.written = position of the stream
//!   WAIT ─► REPLCONF GETACK to all replicas ─► ACK position [FACK position on disk] ─► enough? answered
//! ```
//!
//! Our own append-only file counts bytes of its own, so positions of the stream are noted beside them whenever the
//! file was written: a position is safe once the bytes noted with it are.
//!
//! Mirrors: waitCommand(), waitaofCommand(), processClientsWaitingReplicas() of replication.c, `fsynced_reploff`.

use crate::clients::Acks;
use std::collections::VecDeque;

use crate::clients::{ClientKey, PauseMode, WaitKind};
use crate::command::{Said, Targets};
use crate::persistence::aof::Mode;
use crate::resp::Reply;
use crate::resp::argv::OwnedArgv;
use crate::state::State;

/// Notes kept at most; more of them are merged into the last.
const NOTES: usize = 64;

/// Positions of the stream beside those of the append-only file.
#[derive(Debug, Default)]
pub struct SafePositions {
    /// Bytes fed to the file, and the stream's position then.
    notes: VecDeque<(u64, u64)>,
    /// The last position known to be safe.
    safe: u64,
    /// The position at which a file was begun: all before is in its base, once that is written.
    begun: Option<u64>,
    /// Bytes fed to the files before that one: its base has what they say.
    fed_before: u64,
}

impl State {
    /// How many replicas acknowledged a position, as applied or as being on disk.
    #[doc(alias = "replicationCountAcksByOffset")]
    fn count_acks(&self, position: u64, on_disk: bool) -> i64 {
        let replicas = self.replication.replicas.iter();
        let acked = replicas.filter(|replica| {
            let acked = match on_disk {
                true => replica.acked_aof,
                false => replica.acked,
            };
            replica.phase.is_online() && acked >= position
        });
        acked.count() as i64
    }

    /// What there is of what a client waits for: on our disk, on how many replicas.
    pub fn acks(&self, wanted: Acks) -> (bool, i64) {
        let replicas = self.count_acks(wanted.position, wanted.on_disk.is_some());
        let safe = self.aof_safe_position();
        (safe.is_some_and(|safe| safe >= wanted.position), replicas)
    }

    /// Answers with what there is.
    pub fn reply_acks(&self, wanted: Acks, reply: &mut Reply) {
        let (local, replicas) = self.acks(wanted);
        if wanted.on_disk.is_some() {
            reply.array(2);
            reply.integer(i64::from(local));
        }
        reply.integer(replicas);
    }

    /// Whether that is enough.
    pub fn is_acked(&self, wanted: Acks) -> bool {
        let (local, replicas) = self.acks(wanted);
        replicas >= wanted.replicas && (local || wanted.on_disk != Some(true))
    }

    /// Replicas are asked how far they are, before the loop sleeps.
    #[doc(alias = "replicationRequestAckFromSlaves")]
    pub fn want_acks(&mut self) {
        self.replication.wants_acks = true;
    }

    pub(crate) fn ask_for_acks(&mut self) {
        let paused = self.pauses.mode() != PauseMode::None;
        if !paused && std::mem::take(&mut self.replication.wants_acks) {
            self.feed_replicas(&[Said {
                db: None,
                argv: crate::resp::argv::OwnedArgv::from_words(["REPLCONF", "GETACK", "*"]),
                targets: crate::command::Targets::REPLICAS,
            }]);
        }
    }

    /// Answers those who waited long enough. The append-only file was just written.
    #[doc(alias = "processClientsWaitingReplicas")]
    pub(crate) fn serve_ack_waits(&mut self) {
        self.note_aof_position();
        let waiting: Vec<(ClientKey, Acks)> = self
            .blocked
            .others()
            .filter_map(|client| {
                let waiting = self.clients.get(client)?.waiting.as_ref()?;
                match waiting.kind {
                    WaitKind::Acks(wanted) => Some((client, wanted)),
                    _ => None,
                }
            })
            .collect();
        for (client, wanted) in waiting {
            if wanted.on_disk == Some(true) && !self.config.appendonly {
                self.end_wait_with(client, Some(NEEDS_AOF));
            } else if self.is_acked(wanted) {
                self.end_wait_with(client, None);
            }
        }
    }

    /// An append-only file is begun.
    pub(crate) fn note_aof_start(&mut self) {
        self.replication.safe_positions = SafePositions {
            begun: Some(self.replication.offset),
            fed_before: self.persistence.aof.fed,
            ..SafePositions::default()
        };
    }

    /// Notes how far the stream is beside how far the file is.
    fn note_aof_position(&mut self) {
        let aof = &self.persistence.aof;
        let positions = &mut self.replication.safe_positions;
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
            // All is safe, whatever was said since that concerns no file.
            positions.safe = self.replication.offset;
            return;
        }
        let note = (fed, self.replication.offset);
        let full = positions.notes.len() >= NOTES;
        match positions.notes.back_mut() {
            Some(last) if last.0 == fed => {}
            Some(last) if full => *last = note,
            _ => positions.notes.push_back(note),
        }
    }

    /// How far the stream is safe in our append-only file, if there is one.
    pub fn aof_safe_position(&self) -> Option<u64> {
        match self.persistence.aof.mode {
            _ if !self.config.appendonly => None,
            Mode::On => Some(self.replication.safe_positions.safe),
            // What was safe is in a file that will be replaced.
            Mode::Off | Mode::AwaitsRewrite => Some(0),
        }
    }
}

/// WAITAOF asks for a file that is not written.
pub const NEEDS_AOF: &str =
    "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
