//! The ACL log: refusals, with the user, the client and the word at fault, the newest first.
//!
//! Refusals that are alike and close in time are one entry with a count, so that a client that tries again
//! and again does not push all others out.
//!
//! Mirrors: `addACLLogEntry` of acl.c. Differs: what a client sent is kept up to [`TEXT_MAX`] bytes.

use std::collections::VecDeque;

use super::Reason;
use crate::keyspace::Ms;

/// Bytes kept of a key, channel or user name. Anybody who can connect can fill the log.
const TEXT_MAX: usize = 4096;
/// Entries looked through for one that is alike.
const LOOKED_THROUGH: usize = 10;
/// Refusals further apart are not the same.
const TOGETHER_MS: Ms = 60_000;

/// Where something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// A client's request.
    TopLevel,
    /// Queued or executed in a transaction.
    Multi,
    /// A script or function.
    Lua,
    /// A call of a module.
    Module,
}

impl Context {
    /// Its name in ACL LOG.
    pub fn name(self) -> &'static str {
        match self {
            Context::TopLevel => "toplevel",
            Context::Multi => "multi",
            Context::Lua => "lua",
            Context::Module => "module",
        }
    }
}

/// Something that was refused.
#[derive(Debug)]
pub struct Incident<'a> {
    /// Why.
    pub reason: Reason,
    /// Where.
    pub context: Context,
    /// The command, key or channel; what the client said to log in.
    pub object: &'a [u8],
    /// Whose rights were not enough.
    pub username: &'a [u8],
    /// The client, as CLIENT LIST describes it.
    pub client: String,
}

/// An entry of the log.
#[derive(Debug)]
pub struct LogEntry {
    /// How often it happened.
    pub count: u64,
    /// Why.
    pub reason: Reason,
    /// Where.
    pub context: Context,
    /// The command, key or channel.
    pub object: Box<[u8]>,
    /// Whose rights were not enough.
    pub username: Box<[u8]>,
    /// The client, the last time.
    pub client: String,
    /// Its number; never used again while the server runs.
    pub id: u64,
    /// The first time, unix time.
    pub created_ms: Ms,
    /// The last time.
    pub updated_ms: Ms,
}

/// The log.
#[derive(Debug, Default)]
pub struct AclLog {
    entries: VecDeque<LogEntry>,
    next_id: u64,
}

impl AclLog {
    /// Notes a refusal; no more than `max_len` entries are kept. O(1).
    #[doc(alias = "addACLLogEntry")]
    pub fn note(&mut self, incident: Incident<'_>, now: Ms, max_len: usize) {
        if max_len == 0 {
            return self.entries.clear();
        }
        let kept = |text: &[u8]| -> Box<[u8]> { text[..text.len().min(TEXT_MAX)].into() };
        let (object, username) = (kept(incident.object), kept(incident.username));
        let alike = |entry: &LogEntry| {
            entry.reason == incident.reason
                && entry.context == incident.context
                && (now - entry.updated_ms).abs() <= TOGETHER_MS
                && entry.object == object
                && entry.username == username
        };
        let mut newest = self.entries.iter().take(LOOKED_THROUGH);
        let entry = match newest.position(alike) {
            Some(at) => {
                let mut entry = self.entries.remove(at).expect("it was just found there");
                entry.count += 1;
                entry.updated_ms = now;
                entry.client = incident.client;
                entry
            }
            None => {
                let id = self.next_id;
                self.next_id += 1;
                LogEntry {
                    count: 1,
                    reason: incident.reason,
                    context: incident.context,
                    object,
                    username,
                    client: incident.client,
                    id,
                    created_ms: now,
                    updated_ms: now,
                }
            }
        };
        self.entries.push_front(entry);
        self.entries.truncate(max_len);
    }

    /// The entries, the newest first.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &LogEntry> {
        self.entries.iter()
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}
