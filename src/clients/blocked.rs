//! Blocked clients: clients whose command found nothing yet, and the keys they are blocked on.
//!
//! ```text
//!   Client.waiting   BLPOP a b 5, to be run again     keys [a, b]   ticket 41   deadline
//!                                                            |
//!   Blocked          db 0: "a" -> { 17: client, 41: client } |  tickets ascend: first come, first served
//!                          "b" -> { 41: client }           <-+
//!                    ready     [(db 0, "a")]                    keys changed since, in order of the change
//!                    deadlines { (ms, ticket): client }
//! ```
//!
//! A command that must block leaves its words and the keys that could help it here
//! ([`crate::dispatch::Ctx::block_on_keys`]) and replies nothing. A change of a key that clients are blocked on makes
//! that key ready. When the command, transaction or script that changed it is over, `dispatch/unblock.rs` runs the
//! commands blocked on ready keys again, oldest first; its header has an example. A command run again may find
//! nothing once more: then it takes a new ticket and keeps its deadline.
//!
//! Invariant: a client is in a key's queue under ticket `t` exactly if its [`Waiting`] has that ticket and lists the
//! key.
//!
//! To block on something else than keys: add a variant of [`WaitKind`], call [`Blocked::block`] with no keys, and
//! find the clients with [`Blocked::others`]. Their reply at a timeout is in `clients/act/waits.rs`.
//!
//! Mirrors: blocked.c, timeout.c.
//! Differs: any change makes a key ready, since a command that is run again judges for itself; queues are ordered
//! maps, so that leaving one costs O(log n) and needs no links.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{ClientFlags, ClientKey, Clients};
use crate::collections::byte_map::{ByteMap, Seed};
use crate::command::table::CommandId;
use crate::keyspace::{DbId, Kind, Ms};
use crate::resp::argv::OwnedArgv;

/// The event that a client is blocked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitKind {
    /// An element of a list.
    List,
    /// A member of a sorted set.
    Zset,
    /// An entry of a stream.
    Stream,
    /// The end of the server.
    Shutdown,
    /// Replicas, or a disk, to have what was written.
    Acks(Acks),
    /// The search of this number, which a thread is at.
    Search(u64),
    /// The file of the sentinel to be saved, or a name to be looked up for it; the number is that of the answer.
    Sentinel(u64),
    /// The save of the cluster's file of this number.
    Saved(u64),
    /// A module: the number stands for its handle.
    Module(u64),
    /// A change of whatever kind, for a command of an embedder.
    Change,
}

impl WaitKind {
    /// Whether it always ends soon, so that CLIENT UNBLOCK leaves it alone.
    pub fn ends_by_itself(self) -> bool {
        matches!(
            self,
            WaitKind::Search(_) | WaitKind::Sentinel(_) | WaitKind::Saved(_)
        )
    }

    /// Whether a key that holds this can help.
    #[doc(alias = "getBlockedTypeByType")]
    pub fn is_helped_by(self, kind: Kind) -> bool {
        matches!(
            (self, kind),
            (WaitKind::List, Kind::List)
                | (WaitKind::Zset, Kind::Zset)
                | (WaitKind::Stream, Kind::Stream)
                | (WaitKind::Module(_) | WaitKind::Change, _)
        )
    }
}

/// Sets a flag when it goes.
#[derive(Debug)]
pub struct CancelOnDrop(Arc<AtomicBool>);

impl From<Arc<AtomicBool>> for CancelOnDrop {
    fn from(flag: Arc<AtomicBool>) -> Self {
        CancelOnDrop(flag)
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The state of a blocked client. Present while it has [`ClientFlags::BLOCKED`].
#[derive(Debug)]
pub struct Waiting {
    /// The event that ends it.
    pub kind: WaitKind,
    /// The command to run again.
    pub id: CommandId,
    /// Its words.
    pub argv: OwnedArgv,
    /// Unix time in milliseconds of the timeout; none blocks for ever.
    pub deadline: Option<Ms>,
    /// The command is run again as well when the key is gone or of another type (XREADGROUP, whose group
    /// would be gone with it).
    pub even_without_key: bool,
    /// The command is run again at this time as well, whether a key has changed or not (XREADGROUP CLAIM: entries
    /// become old enough).
    pub again_at: Option<Ms>,
    /// Cancels the search for the client on its thread when the client is unblocked for any reason.
    pub search: Option<CancelOnDrop>,
    /// CLIENT REPLY SKIP preceded the command.
    pub silent: bool,
    db: DbId,
    keys: Vec<Box<[u8]>>,
    ticket: u64,
}

impl Waiting {
    /// A client blocked on any of `keys`, each counted once, in one database.
    pub fn new(kind: WaitKind, id: CommandId, argv: OwnedArgv, deadline: Option<Ms>) -> Self {
        Waiting {
            kind,
            id,
            argv,
            deadline,
            even_without_key: false,
            again_at: None,
            search: None,
            silent: false,
            db: DbId(0),
            keys: Vec::new(),
            ticket: 0,
        }
    }

    /// The keys that the client is blocked on, and their database.
    pub fn keys(&self) -> (DbId, impl Iterator<Item = &[u8]>) {
        (self.db, self.keys.iter().map(|key| &**key))
    }

    /// Bytes of its words and keys.
    pub fn memory(&self) -> usize {
        self.argv.memory() + self.keys.iter().map(|key| key.len()).sum::<usize>()
    }
}

/// The clients blocked on one key.
#[derive(Debug, Default)]
struct Queue {
    waiters: BTreeMap<u64, ClientKey>,
    /// How many of them want to know when the key is gone.
    even_without_key: usize,
    ready: bool,
    /// It became ready because it appeared, or because a module said so.
    offered: bool,
}

/// All blocked clients.
#[derive(Debug)]
pub struct Blocked {
    dbs: Vec<ByteMap<Queue>>,
    seed: Seed,
    ready: Vec<(DbId, Box<[u8]>)>,
    deadlines: BTreeMap<(Ms, u64), ClientKey>,
    /// See [`Waiting::again_at`].
    again: BTreeMap<(Ms, u64), ClientKey>,
    others: BTreeMap<u64, ClientKey>,
    next_ticket: u64,
    clients: usize,
    keys: usize,
    keys_even_without: usize,
    /// The deadline of the command being run again.
    pub(crate) kept_deadline: Option<Option<Ms>>,
    /// Ready keys are being served: what becomes ready meanwhile is served by the same loop.
    pub(crate) serving: bool,
}

impl Blocked {
    /// No client is blocked on any key yet.
    pub fn new(seed: u64) -> Self {
        Blocked {
            dbs: Vec::new(),
            seed: Seed(seed),
            ready: Vec::new(),
            deadlines: BTreeMap::new(),
            again: BTreeMap::new(),
            others: BTreeMap::new(),
            next_ticket: 0,
            clients: 0,
            keys: 0,
            keys_even_without: 0,
            kept_deadline: None,
            serving: false,
        }
    }

    /// Number of blocked clients (`blocked_clients`).
    pub fn clients(&self) -> usize {
        self.clients
    }

    /// Number of clients blocked with a timeout (`clients_in_timeout_table`).
    pub fn with_deadline(&self) -> usize {
        self.deadlines.len()
    }

    /// Number of keys that clients are blocked on (`total_blocking_keys`).
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// Number of such keys whose deletion unblocks a client as well (`total_blocking_keys_on_nokey`).
    pub fn keys_even_without(&self) -> usize {
        self.keys_even_without
    }

    /// Blocks a client. O(keys · log waiters).
    #[doc(alias = "blockForKeys")]
    pub fn block<'a>(
        &mut self,
        clients: &mut Clients,
        client: ClientKey,
        mut waiting: Waiting,
        keys: impl IntoIterator<Item = &'a [u8]>,
    ) {
        let who = &mut clients[client];
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        waiting.ticket = ticket;
        waiting.db = who.db;
        waiting.silent |= who.silent();
        if let Some(kept) = self.kept_deadline.take() {
            waiting.deadline = kept;
        }
        let index = waiting.db.0 as usize;
        if self.dbs.len() <= index {
            let seed = self.seed;
            self.dbs
                .resize_with(index + 1, || ByteMap::with_hasher(seed));
        }
        for key in keys {
            let queue = self.dbs[index].entry(key.into()).or_default();
            self.keys += usize::from(queue.waiters.is_empty());
            if queue.waiters.insert(ticket, client).is_some() {
                continue; // Named twice.
            }
            if waiting.even_without_key {
                self.keys_even_without += usize::from(queue.even_without_key == 0);
                queue.even_without_key += 1;
            }
            waiting.keys.push(key.into());
        }
        if waiting.keys.is_empty() {
            self.others.insert(ticket, client);
        }
        if let Some(deadline) = waiting.deadline {
            self.deadlines.insert((deadline, ticket), client);
        }
        if let Some(at) = waiting.again_at {
            self.again.insert((at, ticket), client);
        }
        self.clients += 1;
        who.flags.set(ClientFlags::BLOCKED);
        who.waiting = Some(Box::new(waiting));
    }

    /// Unblocks a client. The caller sends the reply. O(keys · log waiters).
    #[doc(alias = "unblockClient")]
    pub fn unblock(&mut self, clients: &mut Clients, client: ClientKey) -> Option<Box<Waiting>> {
        let who = clients.get_mut(client)?;
        let waiting = who.waiting.take()?;
        who.flags.clear(ClientFlags::BLOCKED);
        self.clients -= 1;
        if let Some(deadline) = waiting.deadline {
            self.deadlines.remove(&(deadline, waiting.ticket));
        }
        if let Some(at) = waiting.again_at {
            self.again.remove(&(at, waiting.ticket));
        }
        self.others.remove(&waiting.ticket);
        let queues = &mut self.dbs[waiting.db.0 as usize];
        for key in &waiting.keys {
            let Some(queue) = queues.get_mut(key) else {
                continue;
            };
            queue.waiters.remove(&waiting.ticket);
            if waiting.even_without_key {
                queue.even_without_key -= 1;
                self.keys_even_without -= usize::from(queue.even_without_key == 0);
            }
            if queue.waiters.is_empty() {
                queues.remove(key);
                self.keys -= 1;
            }
        }
        Some(waiting)
    }

    /// The clients blocked on something else than a key, longest blocked first.
    pub fn others(&self) -> impl Iterator<Item = ClientKey> {
        self.others.values().copied()
    }

    /// A key changed, appeared or went.
    #[doc(alias = "signalKeyAsReady")]
    #[inline]
    pub fn touch(&mut self, db: DbId, key: &[u8]) {
        if self.keys == 0 {
            return;
        }
        if let Some(queue) = self
            .dbs
            .get_mut(db.0 as usize)
            .and_then(|keys| keys.get_mut(key))
            && !queue.ready
        {
            queue.ready = true;
            self.ready.push((db, key.into()));
        }
    }

    /// A key appeared, or a module says that clients which it blocked on the key can be served. Such clients are not
    /// served by a mere change ([`Blocked::touch`]).
    #[doc(alias = "signalKeyAsReady")]
    #[inline]
    pub fn offer(&mut self, db: DbId, key: &[u8]) {
        if self.keys == 0 {
            return;
        }
        self.touch(db, key);
        let queues = self.dbs.get_mut(db.0 as usize);
        if let Some(queue) = queues.and_then(|keys| keys.get_mut(key)) {
            queue.offered = true;
        }
    }

    /// All keys of a database may have changed. O(keys waited for in it).
    #[doc(alias = "scanDatabaseForReadyKeys")]
    pub fn touch_db(&mut self, db: DbId) {
        let Some(queues) = self.dbs.get_mut(db.0 as usize) else {
            return;
        };
        for queue in queues.values_mut() {
            queue.offered = true;
        }
        for (key, queue) in queues.iter_mut().filter(|(_, queue)| !queue.ready) {
            queue.ready = true;
            self.ready.push((db, key.clone()));
        }
    }

    /// Whether a key is ready to be served.
    #[inline]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes the ready keys, in the order in which they became so.
    pub(crate) fn take_ready(&mut self) -> Vec<(DbId, Box<[u8]>)> {
        std::mem::take(&mut self.ready)
    }

    /// A key is about to be served: changes from here on make it ready anew. Returns the ticket at which to stop, so
    /// that a client that blocks again is not served twice; and whether the key was offered ([`Blocked::offer`]).
    pub(crate) fn begin(&mut self, db: DbId, key: &[u8]) -> (u64, bool) {
        let mut offered = false;
        if let Some(queue) = self
            .dbs
            .get_mut(db.0 as usize)
            .and_then(|keys| keys.get_mut(key))
        {
            queue.ready = false;
            offered = std::mem::take(&mut queue.offered);
        }
        (self.next_ticket, offered)
    }

    /// The client blocked longest on a key, among tickets in this range, with its ticket.
    pub(crate) fn waiter(
        &self,
        db: DbId,
        key: &[u8],
        tickets: std::ops::Range<u64>,
    ) -> Option<(u64, ClientKey)> {
        let queue = self.dbs.get(db.0 as usize)?.get(key)?;
        let (ticket, client) = queue.waiters.range(tickets).next()?;
        Some((*ticket, *client))
    }

    /// Whether the deletion of the key unblocks a client as well.
    pub(crate) fn wanted_even_without(&self, db: DbId, key: &[u8]) -> bool {
        self.dbs
            .get(db.0 as usize)
            .and_then(|keys| keys.get(key))
            .is_some_and(|queue| queue.even_without_key > 0)
    }

    /// The moment of the next timeout.
    pub fn next_deadline(&self) -> Option<Ms> {
        let deadline = self.deadlines.keys().next().map(|(deadline, _)| *deadline);
        // A timeout is over in the millisecond after its deadline; `again_at` counts from its own millisecond, hence
        // one less.
        let again = self.again.keys().next().map(|(at, _)| *at - 1);
        deadline.into_iter().chain(again).min()
    }

    /// Makes the keys ready of those whose command is to be run again by now.
    pub fn touch_again(&mut self, clients: &Clients, now: Ms) {
        while let Some(entry) = self.again.first_entry().filter(|e| e.key().0 <= now) {
            let client = entry.remove();
            let waiting = clients.get(client).and_then(|who| who.waiting.as_ref());
            let keys: Vec<_> = waiting.iter().flat_map(|w| w.keys.clone()).collect();
            let db = waiting.map_or(DbId(0), |waiting| waiting.db);
            keys.iter().for_each(|key| self.touch(db, key));
        }
    }

    /// The client that [`Blocked::overdue`] tells has no timeout any more.
    pub fn forget_first_deadline(&mut self) {
        self.deadlines.pop_first();
    }

    /// A client whose timeout is over.
    pub fn overdue(&self, now: Ms) -> Option<ClientKey> {
        let ((deadline, _), client) = self.deadlines.first_key_value()?;
        (*deadline < now).then_some(*client)
    }
}

/// The acknowledgements that WAIT or WAITAOF asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acks {
    /// The position that must be acknowledged.
    pub position: u64,
    /// The number of replicas that must acknowledge it.
    pub replicas: i64,
    /// WAITAOF: replicas must have it on disk, and if true, our own disk as well. Absent for WAIT.
    pub on_disk: Option<bool>,
}
