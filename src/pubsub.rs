//! Channels, patterns and shard channels: their subscribers, and the sending of messages.
//!
//! ```text
//!   channels   "news"   -> [client, client …]      PUBLISH news: one lookup, plus one glob
//!   patterns   "new*"   -> [client …]              match per pattern
//!   shard      "{a}.x"  -> [client …]              SPUBLISH: one lookup, no patterns
//! ```
//!
//! A message is encoded once per protocol, whatever the number of its receivers; a large payload is not even copied,
//! the clients' output queues share it.
//!
//! Invariant: a client is in a list exactly if the list's name is among its [`Subscriptions`], and
//! has `ClientFlags::PUBSUB` exactly if it has any.
//!
//! Mirrors: pubsub.c.
//! Differs: lists of subscribers are sorted vectors, a walk over memory in order, where Redis walks the chains of a
//! hash table; and Redis encodes a message anew for each client.

pub use crate::clients::subscriptions::{Kind, Subscriptions};
use crate::clients::{ClientFlags, ClientKey, Clients};
use crate::collections::byte_map::{ByteMap, Seed};
use crate::collections::shared::BigStr;
use crate::resp::{Protocol, Reply};
use crate::util::glob;
use crate::util::num::IntBuf;

/// Payloads from this size on are shared by the output queues.
const SHARE_FROM: usize = 16 * 1024;

impl Kind {
    fn joined(self) -> &'static [u8] {
        match self {
            Kind::Channel => b"subscribe",
            Kind::Pattern => b"psubscribe",
            Kind::Shard => b"ssubscribe",
        }
    }

    fn left(self) -> &'static [u8] {
        match self {
            Kind::Channel => b"unsubscribe",
            Kind::Pattern => b"punsubscribe",
            Kind::Shard => b"sunsubscribe",
        }
    }
}

/// All subscriptions of a server.
#[derive(Debug)]
pub struct PubSub {
    lists: [ByteMap<Vec<ClientKey>>; 3],
    clients: usize,
    /// Room for encoded messages, kept between two.
    scratch: Encoded,
}

impl PubSub {
    /// No subscriptions.
    pub fn new(seed: u64) -> Self {
        PubSub {
            lists: std::array::from_fn(|_| ByteMap::with_hasher(Seed(seed))),
            clients: 0,
            scratch: Encoded::default(),
        }
    }

    /// Clients subscribed to anything (`pubsub_clients`).
    pub fn clients(&self) -> usize {
        self.clients
    }

    /// How many names of a kind have subscribers.
    pub fn len(&self, kind: Kind) -> usize {
        self.lists[kind as usize].len()
    }

    /// Whether no client is subscribed.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.clients == 0
    }

    /// The names of a kind that have subscribers, in no particular order.
    pub fn names(&self, kind: Kind) -> impl Iterator<Item = &[u8]> {
        self.lists[kind as usize].keys().map(|name| &**name)
    }

    /// How many are subscribed to just this name.
    pub fn subscribers(&self, kind: Kind, name: &[u8]) -> usize {
        self.lists[kind as usize].get(name).map_or(0, Vec::len)
    }

    /// Subscribes a client and confirms it; subscribing twice is confirmed twice and counted once.
    /// O(subscribers) in moved memory, O(log) in comparisons.
    #[doc(alias = "pubsubSubscribeChannel")]
    pub fn subscribe(
        &mut self,
        clients: &mut Clients,
        client: ClientKey,
        kind: Kind,
        name: &[u8],
        reply: &mut Reply,
    ) {
        let who = &mut clients[client];
        let own = who.subscriptions.get_or_insert_default();
        if own.insert(kind, name) {
            let list = self.lists[kind as usize].entry(name.into()).or_default();
            if let Err(at) = list.binary_search(&client) {
                list.insert(at, client);
            }
        }
        let told = own.told(kind);
        if !who.flags.has(ClientFlags::PUBSUB) {
            who.flags.set(ClientFlags::PUBSUB);
            self.clients += 1;
        }
        tell(clients, client, reply, |reply| {
            confirm(reply, kind.joined(), Some(name), told);
        });
    }

    /// Ends one subscription and confirms that, whether or not there was one.
    #[doc(alias = "pubsubUnsubscribeChannel")]
    pub fn unsubscribe(
        &mut self,
        clients: &mut Clients,
        client: ClientKey,
        kind: Kind,
        name: &[u8],
        reply: Option<&mut Reply>,
    ) {
        let who = &mut clients[client];
        let mut left = 0;
        if let Some(own) = &mut who.subscriptions {
            if own.remove(kind, name) {
                remove(&mut self.lists[kind as usize], name, client);
            }
            left = own.told(kind);
            if own.is_empty() {
                who.subscriptions = None;
            }
        }
        if who.subscriptions.is_none() && who.flags.has(ClientFlags::PUBSUB) {
            who.flags.clear(ClientFlags::PUBSUB);
            self.clients -= 1;
        }
        if let Some(reply) = reply {
            tell(clients, client, reply, |reply| {
                confirm(reply, kind.left(), Some(name), left);
            });
        }
    }

    /// Ends all subscriptions of a kind; with a reply, each is confirmed, and so is their absence.
    #[doc(alias = "pubsubUnsubscribeAllChannels")]
    pub fn unsubscribe_all(
        &mut self,
        clients: &mut Clients,
        client: ClientKey,
        kind: Kind,
        mut reply: Option<&mut Reply>,
    ) {
        let own = clients[client].subscriptions.as_ref();
        let names: Vec<Box<[u8]>> = own
            .map(|own| own.names(kind).map(Box::from).collect())
            .unwrap_or_default();
        if let (true, Some(reply)) = (names.is_empty(), &mut reply) {
            let told = own.map_or(0, |own| own.told(kind));
            tell(clients, client, reply, |reply| {
                confirm(reply, kind.left(), None, told);
            });
        }
        for name in names {
            self.unsubscribe(clients, client, kind, &name, reply.as_deref_mut());
        }
    }

    /// Ends all subscriptions of a name; the subscribers are told. O(subscribers).
    #[doc(alias = "pubsubUnsubscribeShardAllChannelsInSlot")]
    pub fn end_channel(&mut self, clients: &mut Clients, kind: Kind, name: &[u8]) {
        let Some(list) = self.lists[kind as usize].get(name).cloned() else {
            return;
        };
        for client in list {
            self.unsubscribe(clients, client, kind, name, None);
            let own = clients
                .get(client)
                .and_then(|who| who.subscriptions.as_ref());
            let left = own.map_or(0, |own| own.told(kind));
            clients.send(client, |reply| {
                confirm(reply, kind.left(), Some(name), left)
            });
        }
    }

    /// Ends everything a client is subscribed to, silently (it leaves, or is reset).
    pub fn forget(&mut self, clients: &mut Clients, client: ClientKey) {
        let subscribed = clients
            .get(client)
            .is_some_and(|c| c.subscriptions.is_some());
        if subscribed {
            for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
                self.unsubscribe_all(clients, client, kind, None);
            }
        }
    }

    /// Sends a message to all who listen; returns how many got it.
    /// O(subscribers + patterns); the bytes are written once per protocol.
    #[doc(alias = "pubsubPublishMessage")]
    pub fn publish(
        &mut self,
        clients: &mut Clients,
        kind: Kind,
        channel: &[u8],
        payload: &[u8],
    ) -> usize {
        if self.is_empty() {
            return 0;
        }
        let word: &[u8] = match kind {
            Kind::Shard => b"smessage",
            _ => b"message",
        };
        let mut receivers = 0;
        let encoded = &mut self.scratch;
        encoded.payload = None;
        if let Some(list) = self.lists[kind as usize].get(channel) {
            encoded.clear();
            for client in list {
                encoded.deliver(clients, *client, &[word, channel], payload);
            }
            receivers += list.len();
        }
        if kind != Kind::Shard {
            for (pattern, list) in &self.lists[Kind::Pattern as usize] {
                if !glob::matches(pattern, channel, glob::Case::Sensitive) {
                    continue;
                }
                encoded.clear();
                for client in list {
                    let words: [&[u8]; 3] = [b"pmessage", pattern, channel];
                    encoded.deliver(clients, *client, &words, payload);
                }
                receivers += list.len();
            }
        }
        encoded.payload = None;
        receivers
    }
}

fn remove(lists: &mut ByteMap<Vec<ClientKey>>, name: &[u8], client: ClientKey) {
    if let Some(list) = lists.get_mut(name) {
        if let Ok(at) = list.binary_search(&client) {
            list.remove(at);
        }
        if list.is_empty() {
            lists.remove(name);
        }
    }
}

/// Writes a confirmation where it is read: it is a message as much as a reply, so a client that turned its
/// replies off gets it all the same.
fn tell(
    clients: &mut Clients,
    client: ClientKey,
    reply: &mut Reply,
    write: impl FnOnce(&mut Reply),
) {
    if clients[client].silent() {
        clients.send(client, write);
    } else {
        write(reply);
    }
}

fn confirm(reply: &mut Reply, word: &[u8], name: Option<&[u8]>, count: usize) {
    reply.push(3);
    reply.bulk(word);
    reply.bulk_or_null(name);
    reply.count(count);
}

/// A message in the bytes of both protocols, made when the first client needs them.
#[derive(Debug, Default)]
struct Encoded {
    resp2: Vec<u8>,
    resp3: Vec<u8>,
    /// A payload too large to be copied to each client.
    payload: Option<BigStr>,
}

impl Encoded {
    fn clear(&mut self) {
        self.resp2.clear();
        self.resp3.clear();
    }

    fn deliver(&mut self, clients: &mut Clients, to: ClientKey, words: &[&[u8]], payload: &[u8]) {
        let Some(client) = clients.get(to) else {
            return;
        };
        let (bytes, kind) = match client.protocol {
            Protocol::Resp2 => (&mut self.resp2, b'*'),
            Protocol::Resp3 => (&mut self.resp3, b'>'),
        };
        let large = payload.len() >= SHARE_FROM;
        if bytes.is_empty() {
            bytes.extend_from_slice(&[kind, b'1' + words.len() as u8, b'\r', b'\n']);
            for word in words {
                bulk_header(bytes, word.len());
                bytes.extend_from_slice(word);
                bytes.extend_from_slice(b"\r\n");
            }
            bulk_header(bytes, payload.len());
            if !large {
                bytes.extend_from_slice(payload);
                bytes.extend_from_slice(b"\r\n");
            }
        }
        if large {
            let shared = self
                .payload
                .get_or_insert_with(|| BigStr::from_slice(payload));
            clients.deliver(to, bytes, Some(shared));
        } else {
            clients.deliver(to, bytes, None);
        }
    }
}

fn bulk_header(out: &mut Vec<u8>, len: usize) {
    out.push(b'$');
    out.extend_from_slice(IntBuf::new().format(len as i64));
    out.extend_from_slice(b"\r\n");
}
