//! The destination of a migration: it asks for slots, applies what comes, and claims them.
//!
//! ```text
//!   connecting ─► auth-reply ─► handshake-reply ─► syncslots-reply ─► init-rdbchannel ─► accumulate-buffer
//!        ▲                                                                                     │ SNAPSHOT-EOF
//!        │ a second later                                                                      ▼
//!      failed ◄── whatever goes wrong, anywhere        completed ◄─ takeover ◄─ wait-stream-eof ◄─ streaming-buffer
//! ```
//!
//! Example: slot 7 with 3 keys. The snapshot brings `SET a 1`, `SET b 2`, `SET c 3`; in the meantime the main channel
//! brought 34 bytes, `INCR a`, which are kept. Behind SNAPSHOT-EOF they are applied (a = 2), the source is told
//! `ACK wait-stream-eof 34`, it pauses its writes and says STREAM-EOF, and the slot is claimed.
//!
//! Invariant: keys that came are deleted before a new try begins, so that no key outlives its deletion at the source.
//!
//! Mirrors: the import half of cluster_asm.c. Differs: in nothing that the source sees.

use super::{Act, Channel, Options, Task};
use crate::cluster::machine::Level;
use crate::cluster::slots::SlotSet;

/// A failed try is followed by the next after so many milliseconds.
const RETRY_MS: u64 = 1000;
/// An acknowledgement goes out at least so often, in milliseconds.
const ACK_MS: u64 = 1000;
/// While bytes that were kept are applied, each so many are acknowledged.
const ACK_BYTES: u64 = 512 * 1024;

/// The beginning of the word with which a destination says that keys may come as an RDB; the newest version that it reads
/// follows. Redis ignores words that it does not know.
pub const READS_RDB: &str = "oxidis-rdb:";

/// An event that the destination learns of.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Time has passed.
    Tick,
    /// A connection stands.
    Up(Channel),
    /// A reply of the source, without the end of its line.
    Line(Channel, &'a [u8]),
    /// A connection is gone, or could not be made.
    Down(Channel, &'a str),
    /// The source is alive, or this node is at work: keys came, or were attached.
    Alive,
    /// SNAPSHOT-EOF came, or all tables are attached: all keys are here.
    SnapshotEnd,
    /// Bytes of the stream that are applied since its beginning, and whether more are here already.
    Applied(u64, bool),
    /// STREAM-EOF came, and all bytes before it are applied.
    StreamEnd,
    /// A command of the snapshot or the stream could not be applied.
    Refused(&'a str),
    /// The claim of the slots is made, or not.
    Claimed(Result<u64, &'a str>),
    /// An operator, or a change of the cluster, ends it.
    Cancel(&'a str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting,
    AuthReply,
    HandshakeReply,
    SyncslotsReply,
    /// The source was not ready; it is asked again at this moment.
    AskAgain(u64),
    InitRdb,
    RdbAuthReply,
    RdbReply,
    Accumulate,
    Streaming,
    WaitStreamEof,
    Takeover,
    Completed,
    /// The next try begins at this moment.
    Failed(u64),
    Canceled,
}

impl State {
    #[doc(alias = "asmTaskStateToString")]
    fn name(self) -> &'static str {
        match self {
            State::Connecting => "connecting",
            State::AuthReply => "auth-reply",
            State::HandshakeReply => "handshake-reply",
            State::SyncslotsReply => "syncslots-reply",
            State::AskAgain(_) => "send-syncslots",
            State::InitRdb | State::RdbAuthReply | State::RdbReply => "init-rdbchannel",
            State::Accumulate => "accumulate-buffer",
            State::Streaming => "streaming-buffer",
            State::WaitStreamEof => "wait-stream-eof",
            State::Takeover => "takeover",
            State::Completed => "completed",
            State::Failed(_) => "failed",
            State::Canceled => "canceled",
        }
    }
}

/// The destination's side of a task.
#[derive(Debug)]
pub struct Import {
    task: Task,
    state: State,
    /// When the source last said something, in the machine's milliseconds.
    heard: u64,
    /// Bytes of the stream that are applied, those of them that the source was told of, and when it was told.
    applied: u64,
    told: u64,
    told_at: u64,
    /// The source was told that keys may come as an RDB.
    offered_rdb: bool,
    acts: Vec<Act>,
}

impl Import {
    /// Begins: the source is dialled.
    pub(super) fn begin(now: u64, wall: u64, task: Task) -> (Import, Vec<Act>) {
        let mut import = Import {
            task,
            state: State::Connecting,
            heard: now,
            applied: 0,
            told: 0,
            told_at: now,
            offered_rdb: false,
            acts: Vec::new(),
        };
        import.task.created = wall;
        import.log(
            Level::Notice,
            format!(
                "Import task {} created: src={}, dest={}, slots={}",
                import.task.id,
                import.task.source,
                import.task.dest,
                import.task.slots_text()
            ),
        );
        import.start(now, wall);
        let acts = std::mem::take(&mut import.acts);
        (import, acts)
    }

    /// The task as people see it.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// The slots that come.
    pub fn slots(&self) -> &SlotSet {
        &self.task.slots
    }

    /// Whether the slots are being claimed.
    pub fn claims(&self) -> bool {
        self.state == State::Takeover
    }

    /// Whether nothing more will happen.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Completed | State::Canceled)
    }

    pub(super) fn into_task(self) -> Task {
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
        match input {
            Input::Tick => self.tick(options, now, wall),
            Input::Up(channel) => {
                self.heard = now;
                let next = match (channel, self.state) {
                    (Channel::Main, State::Connecting) => State::AuthReply,
                    (Channel::Rdb, State::InitRdb) => State::RdbAuthReply,
                    _ => return self.take_acts(),
                };
                self.acts.push(Act::Auth(channel));
                self.enter(next);
            }
            Input::Line(channel, line) => {
                self.heard = now;
                self.line(options, channel, line, now, wall);
            }
            Input::Alive => self.heard = now,
            Input::Down(channel, why) => self.lost(channel, why, now, wall),
            Input::SnapshotEnd => {
                if self.state == State::Accumulate {
                    self.heard = now;
                    self.log(
                        Level::Notice,
                        "RDB channel snapshot transfer completed for the import task.".to_owned(),
                    );
                    self.acts.push(Act::Close(Channel::Rdb));
                    self.enter(State::Streaming);
                    self.acts.push(Act::Apply(Channel::Main));
                }
            }
            Input::Applied(bytes, more) => self.progress(bytes, more, now),
            Input::StreamEnd => {
                if matches!(self.state, State::Streaming | State::WaitStreamEof) {
                    self.log(
                        Level::Notice,
                        format!(
                            "Import task {} is ready to takeover slots: {}",
                            self.task.id,
                            self.task.slots_text()
                        ),
                    );
                    self.enter(State::Takeover);
                    self.acts.push(Act::Claim(self.task.slots.clone()));
                }
            }
            Input::Refused(why) => self.fail(why, now, wall),
            Input::Claimed(result) => self.claimed(result, now, wall),
            Input::Cancel(why) => self.cancel(why, wall),
        }
        self.take_acts()
    }

    fn take_acts(&mut self) -> Vec<Act> {
        std::mem::take(&mut self.acts)
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.task.state = state.name();
    }

    fn log(&mut self, level: Level, text: String) {
        self.acts.push(Act::Log(level, text));
    }

    fn start(&mut self, now: u64, wall: u64) {
        self.heard = now;
        self.applied = 0;
        self.told = 0;
        self.told_at = now;
        self.task.started = Some(wall);
        self.task.ended = None;
        self.enter(State::Connecting);
        self.acts.push(Act::Dial(Channel::Main));
        self.log(
            Level::Notice,
            format!(
                "Import task {} started for slots: {}",
                self.task.id,
                self.task.slots_text()
            ),
        );
    }

    fn tick(&mut self, options: &Options, now: u64, wall: u64) {
        match self.state {
            State::Failed(at) if now >= at => {
                self.task.retries += 1;
                self.start(now, wall);
            }
            State::Failed(_) | State::Takeover => {}
            State::AskAgain(at) if now >= at => self.ask(),
            State::Accumulate | State::Streaming | State::WaitStreamEof
                if now >= self.told_at + ACK_MS =>
            {
                self.acknowledge(now);
            }
            _ if now > self.heard + options.silence_ms => {
                self.fail("timeout while waiting for the source node", now, wall);
            }
            _ => {}
        }
    }

    fn ask(&mut self) {
        let mut words = vec![b"SYNC".to_vec(), self.task.id.as_bytes().to_vec()];
        for range in self.task.slots.ranges() {
            words.push(range.start().to_string().into_bytes());
            words.push(range.end().to_string().into_bytes());
        }
        self.acts.push(Act::Send(Channel::Main, words));
        self.enter(State::SyncslotsReply);
    }

    fn line(&mut self, options: &Options, channel: Channel, line: &[u8], now: u64, wall: u64) {
        // The source keeps the connection alive with empty lines while it prepares the snapshot.
        if line.is_empty() {
            return;
        }
        match (channel, self.state, line) {
            (Channel::Main, State::AuthReply, b"+OK") => {
                self.log(
                    Level::Notice,
                    "Source node replied to AUTH command, syncslots can continue...".to_owned(),
                );
                let me = self.task.dest.as_bytes().to_vec();
                let mut words = vec![b"CONF".to_vec(), b"NODE-ID".to_vec(), me];
                self.offered_rdb = options.reads_rdb.is_some();
                if let Some(version) = options.reads_rdb {
                    words.push(b"CAPA".to_vec());
                    words.push(format!("{READS_RDB}{version}").into_bytes());
                }
                self.acts.push(Act::Send(Channel::Main, words));
                self.enter(State::HandshakeReply);
            }
            (Channel::Main, State::HandshakeReply, b"+OK") => {
                self.log(
                    Level::Notice,
                    "Source node replied to SYNCSLOTS CONF command, syncslots can continue..."
                        .to_owned(),
                );
                self.ask();
            }
            (Channel::Main, State::SyncslotsReply, b"+RDBCHANNELSYNCSLOTS") => {
                self.log(
                    Level::Notice,
                    "Source node replied to SYNCSLOTS SYNC, syncslots can continue...".to_owned(),
                );
                self.enter(State::InitRdb);
                self.acts.push(Act::Dial(Channel::Rdb));
            }
            (Channel::Main, State::SyncslotsReply, line) if line.starts_with(b"-NOTREADY") => {
                self.enter(State::AskAgain(now + RETRY_MS));
            }
            (Channel::Rdb, State::RdbAuthReply, b"+OK") => {
                let id = self.task.id.as_bytes().to_vec();
                let words = vec![b"RDBCHANNEL".to_vec(), id];
                self.acts.push(Act::Send(Channel::Rdb, words));
                self.enter(State::RdbReply);
            }
            (Channel::Rdb, State::RdbReply, b"+SLOTSSNAPSHOT") => {
                self.log(
                    Level::Notice,
                    "Source node replied to SLOTSSNAPSHOT, syncing slots snapshot can continue..."
                        .to_owned(),
                );
                self.enter(State::Accumulate);
                self.acts.push(Act::Apply(Channel::Rdb));
            }
            (Channel::Rdb, State::RdbReply, b"+SLOTSRDB") if self.offered_rdb => {
                self.log(
                    Level::Notice,
                    "Source node sends the slots as tables, loading them can begin...".to_owned(),
                );
                self.enter(State::Accumulate);
                self.acts.push(Act::Load);
            }
            (channel, _, line) => {
                let text = String::from_utf8_lossy(line);
                let why = format!("unexpected reply on the {} channel: {text}", channel.name());
                self.fail(&why, now, wall);
            }
        }
    }

    fn lost(&mut self, channel: Channel, why: &str, now: u64, wall: u64) {
        let expected = match (channel, self.state) {
            (_, State::Failed(_) | State::Completed | State::Canceled) => true,
            // The main channel has done its duty, the snapshot's is closed by whoever is first.
            (_, State::Takeover) => true,
            (Channel::Rdb, State::Streaming | State::WaitStreamEof) => true,
            _ => false,
        };
        if !expected {
            let why = format!("{} channel - {why}", channel.name());
            self.fail(&why, now, wall);
        }
    }

    /// Bytes of the stream were applied.
    fn progress(&mut self, bytes: u64, more: bool, now: u64) {
        self.heard = now;
        self.applied = bytes;
        match self.state {
            State::Streaming if !more => {
                self.log(
                    Level::Notice,
                    format!(
                        "Successfully streamed accumulated buffer for the import task, applied offset: {bytes}"
                    ),
                );
                self.enter(State::WaitStreamEof);
                self.acknowledge(now);
            }
            State::Streaming if bytes >= self.told + ACK_BYTES => self.acknowledge(now),
            State::WaitStreamEof if bytes > self.told && !more => self.acknowledge(now),
            _ => {}
        }
    }

    fn acknowledge(&mut self, now: u64) {
        self.told = self.applied;
        self.told_at = now;
        let applied = self.applied.to_string().into_bytes();
        let words = vec![
            b"ACK".to_vec(),
            self.task.state.as_bytes().to_vec(),
            applied,
        ];
        self.acts.push(Act::Send(Channel::Main, words));
    }

    fn claimed(&mut self, result: Result<u64, &str>, now: u64, wall: u64) {
        if self.state != State::Takeover {
            return;
        }
        match result {
            Err(why) => self.fail(why, now, wall),
            Ok(keys) => {
                self.acts.push(Act::Close(Channel::Main));
                self.enter(State::Completed);
                self.task.ended = Some(wall);
                self.log(
                    Level::Notice,
                    format!(
                        "Import task {} completed for slots: {} (imported {keys} keys)",
                        self.task.id,
                        self.task.slots_text()
                    ),
                );
            }
        }
    }

    fn close(&mut self) {
        self.acts.push(Act::Close(Channel::Main));
        self.acts.push(Act::Close(Channel::Rdb));
        self.acts.push(Act::Trim(self.task.slots.clone()));
    }

    fn fail(&mut self, why: &str, now: u64, wall: u64) {
        if matches!(
            self.state,
            State::Failed(_) | State::Completed | State::Canceled
        ) {
            return;
        }
        self.close();
        self.enter(State::Failed(now + RETRY_MS));
        self.task.ended = Some(wall);
        self.task.last_error = why.to_owned();
        self.log(
            Level::Warning,
            format!(
                "Import task {} failed: slots={}, err={why}",
                self.task.id,
                self.task.slots_text()
            ),
        );
    }

    fn cancel(&mut self, why: &str, wall: u64) {
        self.close();
        self.enter(State::Canceled);
        self.task.ended = Some(wall);
        self.task.last_error = why.to_owned();
        self.log(
            Level::Notice,
            format!(
                "Import task {} canceled: slots={}, err={why}",
                self.task.id,
                self.task.slots_text()
            ),
        );
    }
}
