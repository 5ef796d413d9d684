//! The source of a migration: it sends the keys of slots and their writes, and lets go when another node claims them.
//!
//! ```text
//!   wait-rdbchannel ─► send-bulk-and-stream ─► send-stream ─► stream-eof ─► completed
//!          │  the destination's  │  all keys are     │ few bytes   │ the claim is seen:
//!          │  second connection  │  on their way     │ are left:   │ writes go on with MOVED,
//!          │                     │                   │ writes are  │ the keys are deleted
//!          ▼                     ▼                   ▼ paused      ▼
//!        failed ◄──────────────────────────────────────────────────   the slots stay here, writes go on
//! ```
//!
//! Invariants: writes are paused in `stream-eof` only; after the stream's end no byte is added to it.
//!
//! Mirrors: the migrate half of cluster_asm.c.
//! Differs: writes of the slots that move are paused, no others; and since one thread pauses, ends the stream and
//! writes it, `handoff-prep` and `handoff` are passed within one step.

use super::{Act, Channel, Form, Options, Task};
use crate::cluster::machine::Level;
use crate::cluster::slots::SlotSet;

/// The destination has so few bytes to apply that the pause for them is not felt: some thousand commands, milliseconds.
const NEAR: u64 = 64 * 1024;
/// A destination that does not come that near, because writes are many, is waited for so long, in milliseconds.
const PATIENCE_MS: u64 = 500;

/// An event that the source learns of.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Time has passed.
    Tick,
    /// The destination's second connection asks for the snapshot.
    RdbChannel,
    /// All keys are written to the second connection, or that failed.
    SnapshotWritten(Result<(), &'a str>),
    /// The destination tells its state, and how many bytes of the stream it has applied; `sent` were appended.
    Ack {
        /// The destination's state.
        state: &'a [u8],
        /// Bytes it has applied.
        applied: u64,
        /// Bytes of the stream so far.
        sent: u64,
    },
    /// A connection is gone.
    Lost(Channel, &'a str),
    /// A node of the destination's name owns all of the slots now; so many keys are here.
    Claimed(u64),
    /// An operator, or a change of the cluster, ends it.
    Cancel(&'a str),
    /// The destination asks anew.
    Replaced,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    WaitRdb,
    Bulk,
    Stream,
    StreamEof,
    Completed,
    Failed,
    Canceled,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::WaitRdb => "wait-rdbchannel",
            State::Bulk => "send-bulk-and-stream",
            State::Stream => "send-stream",
            State::StreamEof => "stream-eof",
            State::Completed => "completed",
            State::Failed => "failed",
            State::Canceled => "canceled",
        }
    }
}

/// The source's side of a task.
#[derive(Debug)]
pub struct Export {
    task: Task,
    state: State,
    /// How the keys travel.
    form: Form,
    /// When the destination last said something.
    heard: u64,
    /// The last acknowledgement: whether the destination has all keys, and how many bytes it had not applied.
    ready: bool,
    lag: u64,
    /// Since when the lag is small enough for a pause.
    near_since: Option<u64>,
    /// When all keys were on their way, and how long that took since the beginning.
    streams_since: u64,
    bulk_ms: u64,
    began: u64,
    paused_at: u64,
    acts: Vec<Act>,
}

impl Export {
    /// Begins: the destination is told to open its second connection.
    pub(super) fn begin(now: u64, wall: u64, task: Task, form: Form) -> (Export, Vec<Act>) {
        let mut export = Export {
            task,
            state: State::WaitRdb,
            form,
            heard: now,
            ready: false,
            lag: u64::MAX,
            near_since: None,
            streams_since: 0,
            bulk_ms: 0,
            began: now,
            paused_at: 0,
            acts: Vec::new(),
        };
        export.task.created = wall;
        export.task.started = Some(wall);
        export.task.state = State::WaitRdb.name();
        export
            .acts
            .push(Act::Reply(Channel::Main, "RDBCHANNELSYNCSLOTS"));
        export.log(
            Level::Notice,
            format!(
                "Migrate task {} started for slots: {}",
                export.task.id,
                export.task.slots_text()
            ),
        );
        let acts = std::mem::take(&mut export.acts);
        (export, acts)
    }

    /// The task as people see it.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// The slots that leave.
    pub fn slots(&self) -> &SlotSet {
        &self.task.slots
    }

    /// Whether the destination's second connection is awaited.
    pub fn waits_for_channel(&self) -> bool {
        self.state == State::WaitRdb
    }

    /// Whether it is under way.
    pub fn is_live(&self) -> bool {
        !self.is_over() && !self.has_failed()
    }

    /// Whether the slots' writes are paused, and until when at the latest.
    fn pauses(&self) -> bool {
        self.state == State::StreamEof
    }

    /// Whether it failed; it is kept for a destination that asks again.
    pub(super) fn has_failed(&self) -> bool {
        self.state == State::Failed
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Completed | State::Canceled)
    }

    pub(super) fn into_task(mut self, wall: u64) -> Task {
        self.task.ended.get_or_insert(wall);
        self.task
    }

    /// An event. O(1).
    pub(super) fn step(
        &mut self,
        options: &Options,
        now: u64,
        wall: u64,
        input: Input<'_>,
    ) -> Vec<Act> {
        let live = self.is_live();
        match input {
            Input::Tick if live => self.tick(options, now, wall),
            Input::RdbChannel if self.state == State::WaitRdb => {
                self.heard = now;
                let line = match self.form {
                    Form::Commands => "SLOTSSNAPSHOT",
                    Form::Rdb => "SLOTSRDB",
                };
                self.acts.push(Act::Reply(Channel::Rdb, line));
                let slots = self.task.slots.clone();
                self.acts.push(Act::Snapshot(slots, self.form));
                self.enter(State::Bulk);
            }
            Input::SnapshotWritten(Ok(())) if self.state == State::Bulk => {
                self.log(
                    Level::Notice,
                    "Streamed slots snapshot transfer succeeded".to_owned(),
                );
                self.heard = now;
                self.streams_since = now;
                self.bulk_ms = now - self.began;
                self.enter(State::Stream);
                self.hand_over(options, now);
            }
            Input::SnapshotWritten(Err(why)) if self.state == State::Bulk => {
                self.fail(why, now, wall);
            }
            Input::Ack {
                state,
                applied,
                sent,
            } if live => {
                self.heard = now;
                self.ready = matches!(state, b"streaming-buffer" | b"wait-stream-eof");
                self.lag = sent.saturating_sub(applied);
                self.hand_over(options, now);
            }
            Input::Lost(channel, why) if live => {
                // The destination closes its second connection once it has all keys, and both behind its claim.
                let expected = channel == Channel::Rdb
                    && self.state != State::Bulk
                    && self.state != State::WaitRdb;
                if !expected && self.state != State::StreamEof {
                    let why = format!("{} channel - {why}", channel.name());
                    self.fail(&why, now, wall);
                }
            }
            Input::Claimed(keys) if live => self.complete(keys, now, wall),
            Input::Cancel(why) => {
                self.end(State::Canceled, now, wall);
                self.task.last_error = why.to_owned();
                self.log(
                    Level::Notice,
                    format!(
                        "Migrate task {} canceled: slots={}, err={why}",
                        self.task.id,
                        self.task.slots_text()
                    ),
                );
            }
            Input::Replaced if live => self.fail("the destination asks anew", now, wall),
            _ => {}
        }
        std::mem::take(&mut self.acts)
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.task.state = state.name();
    }

    fn log(&mut self, level: Level, text: String) {
        self.acts.push(Act::Log(level, text));
    }

    /// Pauses writes and ends the stream, if the destination has nearly all of it. The pause lasts as long as it takes to
    /// apply the rest; so a lag that is allowed is given some time to become smaller.
    fn hand_over(&mut self, options: &Options, now: u64) {
        if self.state != State::Stream || !self.ready || self.lag > options.max_lag {
            self.near_since = None;
            return;
        }
        let since = *self.near_since.get_or_insert(now);
        if self.lag > NEAR && now < since + PATIENCE_MS {
            return;
        }
        self.log(
            Level::Notice,
            format!(
                "The applied offset lag {} is less than the threshold {}, pausing writes for slot handoff",
                self.lag, options.max_lag
            ),
        );
        self.log(
            Level::Notice,
            format!(
                "Migrate task {} preparing to handoff for slots: {}",
                self.task.id,
                self.task.slots_text()
            ),
        );
        self.acts.push(Act::Pause(self.task.slots.clone()));
        self.acts.push(Act::EndStream);
        self.log(
            Level::Notice,
            "Slot migration command stream drained, sending STREAM-EOF to the destination"
                .to_owned(),
        );
        self.paused_at = now;
        self.enter(State::StreamEof);
    }

    fn tick(&mut self, options: &Options, now: u64, wall: u64) {
        let drain = options.drain_ms.max(self.bulk_ms.saturating_mul(2));
        if self.state == State::StreamEof {
            if now >= self.paused_at.saturating_add(options.pause_ms) {
                self.fail("Server paused timeout", now, wall);
            }
        } else if self
            .near_since
            .is_some_and(|since| now >= since + PATIENCE_MS)
        {
            self.hand_over(options, now);
        } else if self.state == State::Stream && now > self.streams_since.saturating_add(drain) {
            self.fail("Sync buffer drain timeout", now, wall);
        } else if now > self.heard.saturating_add(options.silence_ms) {
            self.fail("timeout while waiting for the destination node", now, wall);
        }
    }

    /// Ends it in a state; whatever was begun is stopped.
    fn end(&mut self, state: State, now: u64, wall: u64) {
        self.acts.push(Act::Stop);
        if self.pauses() {
            self.task.write_pause_ms = now - self.paused_at;
            self.acts.push(Act::Resume);
        }
        self.acts.push(Act::Close(Channel::Main));
        self.acts.push(Act::Close(Channel::Rdb));
        self.task.ended = Some(wall);
        self.enter(state);
    }

    fn complete(&mut self, keys: u64, now: u64, wall: u64) {
        if self.state != State::StreamEof {
            return self.fail("slots configuration updated", now, wall);
        }
        self.end(State::Completed, now, wall);
        self.log(
            Level::Notice,
            format!(
                "Migrate task {} completed for slots: {} (migrated {keys} keys)",
                self.task.id,
                self.task.slots_text()
            ),
        );
        self.acts.push(Act::Trim(self.task.slots.clone()));
    }

    fn fail(&mut self, why: &str, now: u64, wall: u64) {
        self.end(State::Failed, now, wall);
        self.task.last_error = why.to_owned();
        self.log(
            Level::Warning,
            format!(
                "Migrate task {} failed: slots={}, err={why}",
                self.task.id,
                self.task.slots_text()
            ),
        );
    }
}
