//! All clients of a server, found by a key that is never mistaken for a later client's.
//!
//! ```text
//!   slab     slot 0    slot 1    slot 2       a ClientKey is a slot and the low bits of the client's id:
//!            id 7      (free)    id 12        (slot 1, 9) finds no client any more, even once slot 1 is in use again
//! ```
//!
//! Invariant: a client is in each of the lists (to be sent to, to be closed, to be resumed) at most once.
//!
//! Mirrors: `clients`, `clients_index`, `clients_pending_write`, `clients_to_close` of server.h, and
//! lookupClientByID() of networking.c.
//! Differs: one table and copyable keys; Redis has linked lists of pointers, and removes a client from each of them.
//! Cost: O(1) to add, find and remove by key; O(n) to find by number.

use std::collections::VecDeque;
use std::ops::{Index, IndexMut};

use slab::Slab;

use super::Usage;
use super::client::{Client, ClientFlags, ClientId};
use crate::collections::shared::BigStr;
use crate::keyspace::Ms;
use crate::resp::{Protocol, Reply};

/// The place of a client in the slab. Slots are reused; the id tells whether the client is still the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientKey {
    /// The slab's slot: the poll's token.
    pub slot: u32,
    /// The low bits of the client's id.
    stamp: u32,
}

/// The clients of a server.
#[derive(Debug, Default)]
pub struct Clients {
    /// Each in an allocation of its own: when the slab grows, a pointer per client moves, so that the ten thousandth
    /// connection waits for no copy of megabytes, and nothing of that size is left behind.
    slab: Slab<Box<Client>>,
    next_id: u64,
    /// Clients that have something to send, each once.
    pending_write: Vec<ClientKey>,
    /// Clients to be closed at the end of the loop turn.
    to_close: Vec<ClientKey>,
    /// Clients with more queued than they may, not yet dealt with.
    over_limit: Vec<ClientKey>,
    /// The slot at which the cron goes on.
    cron_slot: usize,
    /// Clients that may go on with requests they already sent.
    resumed: VecDeque<ClientKey>,
    /// The number of clients without a socket.
    fake: usize,
    /// The memory of all clients, while that is limited.
    pub usage: Usage,
}

impl Clients {
    /// A list without clients.
    pub fn new() -> Self {
        Clients {
            next_id: 1,
            ..Clients::default()
        }
    }

    /// A new client. O(1).
    pub fn insert(&mut self, now: Ms, flags: ClientFlags) -> &mut Client {
        let id = ClientId(self.next_id);
        self.next_id += 1;
        let entry = self.slab.vacant_entry();
        let key = ClientKey {
            slot: entry.key() as u32,
            stamp: id.0 as u32,
        };
        self.fake += usize::from(flags.has(ClientFlags::FAKE));
        let client = entry.insert(Box::new(Client::new(id, key, now)));
        client.flags = flags;
        client
    }

    /// Takes a client out. The caller has removed it from other subsystems before ([`crate::clients::act::forget`]).
    pub fn remove(&mut self, key: ClientKey) -> Option<Client> {
        self.get(key)?;
        self.weigh_no_more(key);
        let client = self.slab.try_remove(key.slot as usize)?;
        self.fake -= usize::from(client.flags.has(ClientFlags::FAKE));
        Some(*client)
    }

    /// The client, if it is still there.
    #[inline]
    pub fn get(&self, key: ClientKey) -> Option<&Client> {
        self.at_slot(key.slot as usize).filter(|c| c.key == key)
    }

    /// The client, if it is still there.
    #[inline]
    pub fn get_mut(&mut self, key: ClientKey) -> Option<&mut Client> {
        self.slab
            .get_mut(key.slot as usize)
            .map(|client| &mut **client)
            .filter(|c| c.key == key)
    }

    /// The client in a slot.
    pub fn at_slot(&self, slot: usize) -> Option<&Client> {
        self.slab.get(slot).map(|client| &**client)
    }

    /// The client with this number. O(n).
    pub fn by_id(&self, id: ClientId) -> Option<&Client> {
        self.iter().find(|c| c.id == id)
    }

    /// All clients, fake ones included, in slab order.
    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        self.slab.iter().map(|(_, client)| &**client)
    }

    /// All clients, fake ones included, in slab order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Client> {
        self.slab.iter_mut().map(|(_, client)| &mut **client)
    }

    /// The keys of all that have a socket, oldest first.
    pub fn connected_keys(&self) -> Vec<ClientKey> {
        let mut all: Vec<&Client> = self
            .iter()
            .filter(|c| !c.flags.has(ClientFlags::FAKE))
            .collect();
        all.sort_unstable_by_key(|c| c.id);
        all.into_iter().map(|c| c.key).collect()
    }

    /// How many have a socket, those about to be closed not counted.
    pub fn connected(&self) -> usize {
        self.slab.len() - self.fake - self.to_close.len()
    }

    /// The highest number given so far.
    pub fn last_id(&self) -> u64 {
        self.next_id - 1
    }

    /// Writes a message to a client other than the one whose command runs, and queues the sending.
    /// To the client whose command runs it is delivered behind the command's reply.
    pub fn send(&mut self, key: ClientKey, write: impl FnOnce(&mut Reply)) {
        let Some(client) = self.get_mut(key) else {
            return;
        };
        if client
            .flags
            .any(ClientFlags::CLOSE_ASAP | ClientFlags::FAKE)
        {
            return;
        }
        let mut reply = Reply::to_wire(std::mem::take(&mut client.out), client.protocol);
        write(&mut reply);
        if let Some(out) = reply.into_output() {
            client.out = out;
        }
        if client.out.overflowed() {
            self.over_limit.push(key);
        }
        self.wants_write(key);
        self.changed(key);
    }

    /// As [`Clients::send`], for bytes that are already RESP, with a shared string between them and
    /// a line break where one is given.
    #[inline]
    pub fn deliver(&mut self, key: ClientKey, bytes: &[u8], string: Option<&BigStr>) {
        let Some(client) = self.get_mut(key) else {
            return;
        };
        if client.flags.has(ClientFlags::CLOSE_ASAP) {
            return;
        }
        client.out.push(bytes);
        if let Some(string) = string {
            client.out.push_shared(string.clone());
            client.out.push(b"\r\n");
        }
        let overflowed = client.out.overflowed();
        if !client.flags.has(ClientFlags::PENDING_WRITE) {
            client.flags.set(ClientFlags::PENDING_WRITE);
            self.pending_write.push(key);
        }
        if overflowed {
            self.over_limit.push(key);
        }
        self.changed(key);
    }

    /// Notes that the client has something to send.
    #[inline]
    pub fn wants_write(&mut self, key: ClientKey) {
        if let Some(client) = self.get_mut(key)
            && !client.flags.has(ClientFlags::PENDING_WRITE)
        {
            client.flags.set(ClientFlags::PENDING_WRITE);
            self.pending_write.push(key);
        }
    }

    /// Takes the list of those with something to send.
    pub fn take_pending_write(&mut self) -> Vec<ClientKey> {
        std::mem::take(&mut self.pending_write)
    }

    /// Gives an emptied list back, so that its memory is reused.
    pub fn reuse_pending_write(&mut self, mut list: Vec<ClientKey>) {
        if self.pending_write.is_empty() {
            list.clear();
            self.pending_write = list;
        }
    }

    /// Closes a client at the end of the loop turn, whatever it has yet to be sent. A client without a socket is not
    /// closed: its maker (scripts, the loading of a file, a call in the process) still holds its key.
    pub fn close_asap(&mut self, key: ClientKey) {
        if let Some(client) = self.get_mut(key)
            && !client
                .flags
                .any(ClientFlags::CLOSE_ASAP | ClientFlags::FAKE)
        {
            client.flags.set(ClientFlags::CLOSE_ASAP);
            self.to_close.push(key);
            self.weigh_no_more(key);
        }
    }

    /// Takes the list of those with more queued than they may.
    pub fn take_over_limit(&mut self) -> Vec<ClientKey> {
        std::mem::take(&mut self.over_limit)
    }

    /// Notes that a client has more queued than it may.
    pub fn note_over_limit(&mut self, key: ClientKey) {
        self.over_limit.push(key);
    }

    /// The next `n` clients with a socket, going round. O(slots) at worst.
    pub fn next_for_cron(&mut self, n: usize) -> Vec<ClientKey> {
        let slots = self.slab.capacity();
        let mut next = Vec::with_capacity(n.min(self.slab.len()));
        for _ in 0..slots {
            if next.len() == n {
                break;
            }
            let client = self.slab.get(self.cron_slot);
            self.cron_slot = (self.cron_slot + 1) % slots;
            next.extend(
                client
                    .filter(|c| !c.flags.has(ClientFlags::FAKE))
                    .map(|c| c.key),
            );
        }
        next
    }

    /// Takes the list of those to be closed.
    pub fn take_to_close(&mut self) -> Vec<ClientKey> {
        std::mem::take(&mut self.to_close)
    }

    /// Lets a client go on with what it already sent (it was blocked or paused, or its share of a turn was used up).
    pub fn resume(&mut self, key: ClientKey) {
        if let Some(client) = self.get_mut(key)
            && !client.flags.has(ClientFlags::UNBLOCKED)
        {
            client.flags.set(ClientFlags::UNBLOCKED);
            self.resumed.push_back(key);
        }
    }

    /// How many clients may go on without new bytes: unless none, the loop must not sleep.
    pub fn resumed(&self) -> usize {
        self.resumed.len()
    }

    /// Takes the first of those that may go on.
    pub fn next_resumed(&mut self) -> Option<ClientKey> {
        self.resumed.pop_front()
    }

    /// A client without a socket that speaks a protocol.
    pub fn insert_fake(&mut self, now: Ms, protocol: Protocol) -> ClientKey {
        let flags = ClientFlags::FAKE | ClientFlags::AUTHENTICATED;
        let client = self.insert(now, flags);
        client.protocol = protocol;
        client.key
    }
}

impl Index<ClientKey> for Clients {
    type Output = Client;

    /// For keys of clients known to be there; a stale key is a bug and panics.
    #[inline]
    fn index(&self, key: ClientKey) -> &Client {
        self.get(key).expect("the client is still connected")
    }
}

impl IndexMut<ClientKey> for Clients {
    #[inline]
    fn index_mut(&mut self, key: ClientKey) -> &mut Client {
        self.get_mut(key).expect("the client is still connected")
    }
}

impl Clients {
    /// Whether some client has something to send.
    pub fn has_pending_write(&self) -> bool {
        !self.pending_write.is_empty()
    }
}
