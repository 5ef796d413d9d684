//! The two connections of a task, as the node that takes part in it sees them.
//!
//! ```text
//!   destination  wire, whose lines are replies ─► bytes that are kept ─► client, which applies them
//!   source       client, which sent SYNC or RDBCHANNEL ◄─ the stream, the keys
//! ```
//!
//! Mirrors: main_channel_conn, rdb_channel_conn and their clients in asmTask of cluster_asm.c.

use std::sync::mpsc::Receiver;

use super::arrivals::Arrivals;
use super::{Channel, Form, TaskId};
use crate::background::Job;
use crate::clients::ClientKey;
use crate::cluster::slots::SlotSet;
use crate::wires::WireKey;

/// The destination keeps so many bytes of the stream while the keys come; then it stops reading, and the source keeps
/// the rest.
pub const KEPT: usize = 64 << 20;

/// One connection.
#[derive(Debug, Default)]
pub struct End {
    /// Destination: the connection, until a client has it.
    pub wire: Option<WireKey>,
    /// Destination: the client that applies what comes. Source: the destination's client.
    pub client: Option<ClientKey>,
    /// Destination: the beginning of a line; once replies are over, bytes for the client.
    pub kept: Vec<u8>,
    /// Destination: what comes are commands, no replies.
    pub carries_commands: bool,
}

/// The snapshot of the keys on its way from the thread that reads it.
#[derive(Debug)]
pub struct Keys {
    /// Stops the thread.
    pub job: Job,
    /// How they are written.
    pub form: Form,
    /// The pieces that it wrote.
    pub pieces: Receiver<Vec<u8>>,
    /// The thread's result, once it ended.
    pub result: Option<Result<(), String>>,
}

/// Both connections, and how far each is.
#[derive(Debug, Default)]
pub struct Channels {
    main: End,
    rdb: End,
    /// Destination: bytes of the stream that were kept, then handed to the client; and those applied that the task knows.
    pub handed: u64,
    /// See `handed`.
    pub applied: u64,
    /// Source: writes of these slots go to the main channel.
    pub streams: Option<SlotSet>,
    /// Source: bytes of the stream so far.
    pub sent: u64,
    /// Source: writes of these slots are held back.
    pub pauses: Option<SlotSet>,
    /// Source: the keys.
    pub keys: Option<Keys>,
    /// Destination: keys that come as an RDB.
    pub arrivals: Option<Arrivals>,
    /// Destination: more of them may be attached or told right away.
    pub arrivals_wait: bool,
    /// Destination: bytes of the snapshot's commands at the last look.
    pub keys_came: u64,
    /// Slots whose keys are being deleted, bit by bit.
    pub trims: SlotSet,
    /// The slots of the present deletion, those that are done included.
    pub trimmed: SlotSet,
    /// The task that modules were last told of, and how far it was.
    pub modules_told: Option<(TaskId, u64)>,
    /// How far that is, and how often it was done.
    pub trim: Trim,
    /// Full synchronisations of replicas when they were last told of the task.
    pub syncs_told: u64,
    /// Destination: the most bytes of the stream that were ever kept.
    pub kept_peak: usize,
}

/// The deletion of keys whose slots have left.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trim {
    /// Keys that the present deletion found, and those of them that it has deleted.
    pub keys: u64,
    /// See `keys`.
    pub trimmed: u64,
    /// Deletions since the start.
    pub started: u64,
    /// Deletions that came to their end.
    pub completed: u64,
}

impl Channels {
    /// One of the connections.
    pub fn end(&mut self, channel: Channel) -> &mut End {
        match channel {
            Channel::Main => &mut self.main,
            Channel::Rdb => &mut self.rdb,
        }
    }

    /// The channel of a client, if it has one.
    pub fn of_client(&self, client: ClientKey) -> Option<Channel> {
        if self.main.client == Some(client) {
            return Some(Channel::Main);
        }
        (self.rdb.client == Some(client)).then_some(Channel::Rdb)
    }

    fn at(&self, channel: Channel) -> &End {
        match channel {
            Channel::Main => &self.main,
            Channel::Rdb => &self.rdb,
        }
    }

    /// Bytes of the stream that the destination keeps until the keys are there.
    pub fn kept_bytes(&self) -> usize {
        self.main.kept.len()
    }

    /// The client of a channel, if it has one.
    pub fn client(&self, channel: Channel) -> Option<ClientKey> {
        self.at(channel).client
    }

    /// Whether the destination takes more bytes of a channel.
    pub fn takes_bytes(&self, channel: Channel) -> bool {
        self.at(channel).kept.len() < KEPT
    }
}
