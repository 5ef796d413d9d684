//! Transactions: the commands a client queued since MULTI, and the keys it watches.
//!
//! ```text
//!   Client.transaction   queue [SET a 1][INCR b]      watched [(db 0, "k"), (db 3, "x")]
//!                                                          |
//!   Watches              db 0: "k" -> [client, client …]   |  one lookup per change of any key,
//!                        db 3: "x" -> [client]           <-+  none while nobody watches
//! ```
//!
//! WATCH is optimistic locking without versions: a change of a key flags all clients that watch it (`DIRTY_CAS`), and
//! a flagged client's EXEC runs no command. A flagged client has its watches dropped at once, since only the end of
//! its transaction unflags it.
//!
//! ```text
//!   c1   WATCH stock              db 0: "stock" -> [c1]
//!   c1   GET stock                "5"
//!   c2   DECR stock               c1 gets DIRTY_CAS; no key of c1 is watched any more
//!   c1   MULTI, SET stock 4       +OK, +QUEUED
//!   c1   EXEC                     nil: SET did not run. The flag is cleared, and c1 begins again at WATCH
//!
//!   fails EXEC as well: SET stock 5 (the same value), EXPIRE stock 100, the end of stock's time to live, FLUSHALL
//!   does not fail it:   a DEL of an absent key, a read, any change of a key in another database
//! ```
//!
//! Invariant: a client is listed under a key exactly if the key is in the client's own list.
//!
//! A key's watchers lie in the order of their clients, so that a client is found among them by halving: the time of WATCH,
//! UNWATCH, EXEC and of a change does not grow with the square of a client's keys or of a key's clients.
//!
//! A key that was already past its deadline when WATCH saw it counts as absent: its deletion by expiry is no change,
//! anything else is.
//!
//! Mirrors: multi.c.
//! Differs: watchers are sorted vectors; Redis has a linked list per key and one per client.

use super::{ClientFlags, ClientKey, Clients};
use crate::collections::byte_map::{ByteMap, Seed};
use crate::command::table::{CommandId, Flags};
use crate::keyspace::{DbId, Keyspace};
use crate::resp::argv::{Argv, OwnedArgv};

/// A command waiting for EXEC.
#[derive(Debug)]
pub struct Queued {
    /// Which command.
    pub id: CommandId,
    /// Its words.
    pub argv: OwnedArgv,
}

/// A client's part in transactions. Present while it queues or watches.
#[derive(Debug)]
pub struct Transaction {
    queue: Vec<Queued>,
    memory: usize,
    /// Flags that at least one queued command has.
    some: u32,
    /// Flags that all queued commands have.
    all: u32,
    watched: Vec<(DbId, Box<[u8]>)>,
}

impl Default for Transaction {
    fn default() -> Self {
        Transaction {
            queue: Vec::new(),
            memory: 0,
            some: 0,
            all: u32::MAX,
            watched: Vec::new(),
        }
    }
}

impl Transaction {
    /// Queues a command.
    pub fn push(&mut self, id: CommandId, flags: Flags, argv: Argv<'_>) {
        let argv = argv.to_owned();
        self.memory += argv.memory();
        self.some |= flags.0;
        self.all &= flags.0;
        self.queue.push(Queued { id, argv });
    }

    /// How many commands are queued.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes of the queue and of the list of watched keys (`multi-mem`).
    #[doc(alias = "multiStateMemOverhead")]
    pub fn memory(&self) -> usize {
        // Each watched key is listed here and in the table of all.
        let watched = 2 * self.watched.len() * size_of::<(DbId, Box<[u8]>)>();
        self.memory + self.queue.capacity() * size_of::<Queued>() + watched
    }

    /// How many keys are watched.
    pub fn watched(&self) -> usize {
        self.watched.len()
    }

    /// The queued commands, in order.
    pub fn queued(&self) -> impl Iterator<Item = (CommandId, Argv<'_>)> {
        self.queue.iter().map(|one| (one.id, one.argv.as_argv()))
    }

    /// Takes the queue to execute it.
    pub fn take_queue(&mut self) -> Vec<Queued> {
        self.memory = 0;
        std::mem::take(&mut self.queue)
    }

    /// The flags EXEC is judged by: it may change data if a queued command may, it is allowed
    /// while loading only if all of them are.
    pub fn effective_flags(&self, exec: Flags) -> Flags {
        const ANY: u32 = crate::command::Flag::Write as u32
            | crate::command::Flag::ReadOnly as u32
            | crate::command::Flag::DenyOom as u32
            | crate::command::Flag::MayReplicate as u32
            | crate::command::Flag::NoAsyncLoading as u32;
        const ALL: u32 = crate::command::Flag::Loading as u32 | crate::command::Flag::Stale as u32;
        Flags((exec.0 | self.some & ANY) & (self.all | !ALL))
    }
}

#[derive(Debug)]
struct Watcher {
    client: ClientKey,
    /// The key was past its deadline when the watch began.
    expired: bool,
}

/// The clients that watch a key, in the order of their client keys, each once.
#[derive(Debug, Default)]
struct Watchers(Vec<Watcher>);

impl Watchers {
    /// Where a client is, or would be. O(log watchers).
    fn find(&self, client: ClientKey) -> Result<usize, usize> {
        self.0.binary_search_by_key(&client, |w| w.client)
    }

    fn get(&self, client: ClientKey) -> Option<&Watcher> {
        Some(&self.0[self.find(client).ok()?])
    }

    fn remove(&mut self, client: ClientKey) {
        if let Ok(at) = self.find(client) {
            self.0.remove(at);
        }
    }
}

/// All watched keys of a server.
#[derive(Debug)]
pub struct Watches {
    dbs: Vec<ByteMap<Watchers>>,
    seed: Seed,
    keys: usize,
    clients: usize,
}

impl Watches {
    /// No key is watched yet.
    pub fn new(seed: u64) -> Self {
        Watches {
            dbs: Vec::new(),
            seed: Seed(seed),
            keys: 0,
            clients: 0,
        }
    }

    /// Whether no key is watched.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.clients == 0
    }

    /// Clients that watch something (`watching_clients`).
    pub fn clients(&self) -> usize {
        self.clients
    }

    /// Keys watched, each once per database (`total_watched_keys`).
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// Lets a client watch a key; watching it twice has no further effect. O(log watchers) for a client that came
    /// after
    /// the key's other watchers, else as many moves as there are of those that came later.
    #[doc(alias = "watchForKey")]
    pub fn watch(
        &mut self,
        clients: &mut Clients,
        keyspace: &Keyspace,
        client: ClientKey,
        db: DbId,
        key: &[u8],
    ) {
        let index = db.0 as usize;
        if self.dbs.len() <= index {
            let seed = self.seed;
            self.dbs
                .resize_with(index + 1, || ByteMap::with_hasher(seed));
        }
        let watchers = self.dbs[index].entry(key.into()).or_default();
        let Err(at) = watchers.find(client) else {
            return;
        };
        self.keys += usize::from(watchers.0.is_empty());
        let expired = Presence::of(keyspace, db, key) == Presence::Expired;
        watchers.0.insert(at, Watcher { client, expired });
        let who = clients[client].transaction.get_or_insert_default();
        self.clients += usize::from(who.watched.is_empty());
        who.watched.push((db, key.into()));
    }

    /// Ends all of a client's watches; its flags stay. O(keys it watches).
    #[doc(alias = "unwatchAllKeys")]
    pub fn unwatch_all(&mut self, clients: &mut Clients, client: ClientKey) {
        let Some(who) = clients.get_mut(client) else {
            return;
        };
        let Some(transaction) = &mut who.transaction else {
            return;
        };
        let watched = std::mem::take(&mut transaction.watched);
        if transaction.is_empty() && !who.flags.has(ClientFlags::MULTI) {
            who.transaction = None;
        }
        self.clients -= usize::from(!watched.is_empty());
        for (db, key) in watched {
            self.remove(db, &key, client);
        }
    }

    fn remove(&mut self, db: DbId, key: &[u8], client: ClientKey) {
        let Some(keys) = self.dbs.get_mut(db.0 as usize) else {
            return;
        };
        if let Some(watchers) = keys.get_mut(key) {
            watchers.remove(client);
            if watchers.0.is_empty() {
                keys.remove(key);
                self.keys -= 1;
            }
        }
    }

    /// Whether a key that a client watches has expired since WATCH; EXEC asks.
    #[doc(alias = "isWatchedKeyExpired")]
    pub fn expired_since(&self, clients: &Clients, keyspace: &Keyspace, client: ClientKey) -> bool {
        let Some(transaction) = &clients[client].transaction else {
            return false;
        };
        transaction.watched.iter().any(|(db, key)| {
            let watchers = self.dbs.get(db.0 as usize).and_then(|keys| keys.get(key));
            let was = watchers
                .and_then(|watchers| watchers.get(client))
                .is_some_and(|w| w.expired);
            !was && Presence::of(keyspace, *db, key) == Presence::Expired
        })
    }

    /// A key changed: the transactions that watch it will fail. O(watchers) when there are any.
    #[doc(alias = "touchWatchedKey")]
    pub fn touch(&mut self, clients: &mut Clients, keyspace: &Keyspace, db: DbId, key: &[u8]) {
        let Some(watchers) = self
            .dbs
            .get_mut(db.0 as usize)
            .and_then(|keys| keys.get_mut(key))
        else {
            return;
        };
        let gone = Presence::of(keyspace, db, key) == Presence::Absent;
        // A key that was past its deadline when the watch began, and is deleted now, did not change. All failing
        // watchers leave this list at once.
        let (mut spared, failed): (Vec<Watcher>, Vec<Watcher>) = std::mem::take(&mut watchers.0)
            .into_iter()
            .partition(|watcher| watcher.expired && gone);
        spared
            .iter_mut()
            .for_each(|watcher| watcher.expired = false);
        watchers.0 = spared;
        if watchers.0.is_empty() {
            self.keys -= 1;
            self.dbs[db.0 as usize].remove(key);
        }
        for watcher in failed {
            clients[watcher.client].flags.set(ClientFlags::DIRTY_CAS);
            self.unwatch_all(clients, watcher.client);
        }
    }

    /// A whole database is about to be emptied, or replaced by another's content.
    /// O(keys watched in it).
    #[doc(alias = "touchAllWatchedKeysInDb")]
    pub fn touch_db(
        &mut self,
        clients: &mut Clients,
        keyspace: &Keyspace,
        db: DbId,
        replaced_with: Option<DbId>,
    ) {
        let Some(keys) = self.dbs.get_mut(db.0 as usize) else {
            return;
        };
        for (key, watchers) in keys {
            let before = Presence::of(keyspace, db, key);
            let after = match replaced_with {
                Some(other) => Presence::of(keyspace, other, key),
                None => Presence::Absent,
            };
            if before == Presence::Absent && after == Presence::Absent {
                continue;
            }
            for watcher in &mut watchers.0 {
                match (watcher.expired, after) {
                    (true, Presence::Absent) => watcher.expired = false,
                    (true, Presence::Expired) => {}
                    (false, Presence::Expired) if before == Presence::Absent => {
                        watcher.expired = true;
                    }
                    _ => clients[watcher.client].flags.set(ClientFlags::DIRTY_CAS),
                }
            }
        }
    }
}

/// The state of a key, as WATCH sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Absent,
    /// There, but past its deadline.
    Expired,
    There,
}

impl Presence {
    fn of(keyspace: &Keyspace, db: DbId, key: &[u8]) -> Presence {
        match keyspace[db].peek_raw(key) {
            None => Presence::Absent,
            Some(entry) if entry.is_expired(keyspace.env().now_ms()) => Presence::Expired,
            Some(_) => Presence::There,
        }
    }
}
