//! A sentinel at work: the machine, and what carries out its orders.
//!
//! ```text
//!   Sentinel (machine)  ──Output──►  sentinel/act  ──►  wires, helper threads, processes, pub/sub, log
//!          ▲                                                   │
//!          └──────────────────────Input────────────────────────┘
//! ```
//!
//! Mirrors: the parts of `struct sentinelState` that hold sockets and processes.
//! Differs: answers to clients are held here until the file that they depend on is saved.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Child;
use std::sync::mpsc::Receiver;

use super::{Sentinel, Verdict, WireId};
use crate::clients::ClientKey;
use crate::resp::incoming::{Incoming, Limits};
use crate::wires::WireKey;

/// Bounds of what a watched server may answer: INFO is the longest.
const LIMITS: Limits = Limits {
    bytes: 4 << 20,
    depth: 8,
};

/// A connection of the machine.
#[derive(Debug)]
pub(super) struct Wire {
    pub key: WireKey,
    pub replies: Incoming,
}

impl Wire {
    pub fn new(key: WireKey) -> Wire {
        Wire {
            key,
            replies: Incoming::new(LIMITS),
        }
    }
}

/// An answer that leaves when a generation of the file is saved.
#[derive(Clone, Debug)]
pub enum Held {
    /// OK, or the error that the file could not be saved.
    Ok,
    /// The answer to SENTINEL IS-MASTER-DOWN-BY-ADDR: without the vote, if the file could not be saved.
    Verdict(Verdict),
}

/// A client whose answer is held.
#[derive(Debug)]
pub(super) struct Waiter {
    pub ticket: u64,
    pub client: ClientKey,
    pub generation: u64,
    pub held: Held,
}

/// A sentinel with its connections, its scripts and its file.
#[derive(Debug)]
pub struct Watch {
    pub machine: Sentinel,
    pub(super) wires: BTreeMap<WireId, Wire>,
    /// Names that are being looked up.
    pub(super) lookups: BTreeSet<String>,
    pub(super) children: BTreeMap<u64, Child>,
    /// The end of the save that a helper thread is at, if one is.
    pub(super) saving: Option<Receiver<()>>,
    /// The generation that is to be written next.
    pub(super) to_save: Option<u64>,
    pub(super) waiters: Vec<Waiter>,
    pub(super) next_ticket: u64,
}

impl Watch {
    /// A machine that nothing was done for yet.
    pub fn new(machine: Sentinel) -> Watch {
        Watch {
            machine,
            wires: BTreeMap::new(),
            lookups: BTreeSet::new(),
            children: BTreeMap::new(),
            saving: None,
            to_save: None,
            waiters: Vec::new(),
            next_ticket: 0,
        }
    }
}
