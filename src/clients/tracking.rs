//! Client-side caching: which client may hold which key, and the invalidation message when that key changes.
//!
//! ```text
//!   default   a read remembers    keys      "user:1" -> [client, client]     told once, then forgotten
//!   BCAST     nothing remembered  prefixes  "user:"  -> clients, keys changed in this loop turn
//! ```
//!
//! A client that leaves stays in the table until its keys change: the table holds client keys that are never mistaken
//! for a later client's, so nothing needs to be searched.
//!
//! Messages go out with the reply that follows the change, never inside one: a message to the client whose command
//! runs gathers behind its reply (`clients/list.rs`).
//!
//! In BCAST mode, keys gather per prefix until the loop sleeps:
//!
//! ```text
//!   c7 (RESP3)   CLIENT TRACKING ON BCAST PREFIX user: NOLOOP
//!   c9 (RESP3)   CLIENT TRACKING ON BCAST PREFIX user:
//!
//!   one turn of the loop                        changed of prefix "user:"
//!     c8   SET user:1 a                         { user:1 by c8 }
//!     c8   SET item:9 b                         no prefix matches
//!     c7   SET user:2 c                         { user:1 by c8, user:2 by c7 }
//!     c8   DEL user:1                           the same: a key is named once
//!   before the loop sleeps
//!     c7   ◄─ invalidate [user:1]               NOLOOP leaves out keys that c7 itself changed last
//!     c9   ◄─ invalidate [user:1, user:2]       encoded once for all clients that get every key
//! ```
//!
//! In the default mode c9 would have to GET user:1 first, would be told once, and then not again before its next GET.
//!
//! Mirrors: tracking.c.
//! Differs: the table is bounded by forgetting a key picked by chance from a list of all, where Redis walks a radix
//! tree at random.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use super::{Client, ClientFlags, ClientId, ClientKey, Clients};
use crate::collections::byte_map::Seed;
use crate::resp::{Error, Protocol, Reply};
use crate::util::num::IntBuf;
use crate::util::rng::Rng;

/// The channel on which RESP2 clients hear of changes.
const CHANNEL: &[u8] = b"__redis__:invalidate";
/// Keys forgotten at once when the table is over its bound, per time this did not suffice.
const EFFORT: usize = 100;

/// The modes of CLIENT TRACKING: which changes a client is told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    /// BCAST: changes of every key with its prefixes, read or not.
    pub bcast: bool,
    /// OPTIN: only changes of keys read after CLIENT CACHING YES.
    pub optin: bool,
    /// OPTOUT: no changes of keys read after CLIENT CACHING NO.
    pub optout: bool,
    /// NOLOOP: no changes that it made itself.
    pub noloop: bool,
}

/// A client's part in tracking. Present while tracking is on.
#[derive(Debug, Default)]
pub struct Tracked {
    /// Its modes.
    pub modes: Modes,
    /// The client that receives its messages (REDIRECT).
    pub redirect: Option<(ClientId, ClientKey)>,
    /// CLIENT CACHING was sent; holds for the next command.
    pub caching: bool,
    /// The client that should receive its messages is gone.
    pub broken_redirect: bool,
    prefixes: BTreeSet<Box<[u8]>>,
}

impl Tracked {
    /// The number of the client that receives its messages (REDIRECT); 0 for itself.
    pub fn redirect_id(&self) -> u64 {
        self.redirect.map_or(0, |(id, _)| id.0)
    }

    /// Whether the keys it reads now are to be remembered.
    pub fn remembers(&self) -> bool {
        let Modes {
            bcast,
            optin,
            optout,
            ..
        } = self.modes;
        let said = if self.caching { !optout } else { !optin };
        said && !bcast
    }

    /// Bytes held, roughly: names are not looked at, so that it is O(1).
    pub fn memory(&self) -> usize {
        const PER_PREFIX: usize = 2 * size_of::<Box<[u8]>>() + size_of::<Prefix>();
        size_of::<Tracked>() + self.prefixes.len() * PER_PREFIX
    }

    /// Its prefixes, in order.
    pub fn prefixes(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.prefixes.iter().map(|p| &**p)
    }
}

#[derive(Debug)]
struct Cached {
    /// Where the key is in `order`.
    at: usize,
    /// The clients that may hold the key, sorted.
    clients: Vec<ClientKey>,
}

#[derive(Debug, Default)]
struct Prefix {
    clients: BTreeSet<ClientKey>,
    /// Keys changed in this turn of the loop, and by whom last.
    changed: BTreeMap<Box<[u8]>, Option<ClientKey>>,
}

/// The state of client-side caching of a server.
#[derive(Debug)]
pub struct Tracking {
    keys: HashMap<Rc<[u8]>, Cached, Seed>,
    /// All keys of the table, so that one can be picked by chance.
    order: Vec<Rc<[u8]>>,
    items: usize,
    prefixes: BTreeMap<Box<[u8]>, Prefix>,
    clients: usize,
    /// How often in a row the table stayed over its bound.
    over: usize,
}

impl Tracking {
    /// No client tracks any key yet.
    pub fn new(seed: u64) -> Self {
        Tracking {
            keys: HashMap::with_hasher(Seed(seed)),
            order: Vec::new(),
            items: 0,
            prefixes: BTreeMap::new(),
            clients: 0,
            over: 0,
        }
    }

    /// Clients with tracking on (`tracking_clients`).
    #[inline]
    pub fn clients(&self) -> usize {
        self.clients
    }

    /// Keys in the table (`tracking_total_keys`).
    pub fn total_keys(&self) -> usize {
        self.keys.len()
    }

    /// Pairs of key and client in the table (`tracking_total_items`).
    pub fn total_items(&self) -> usize {
        self.items
    }

    /// Prefixes of BCAST clients (`tracking_total_prefixes`).
    pub fn total_prefixes(&self) -> usize {
        self.prefixes.len()
    }

    /// Whether no change of any key needs a message.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.keys.is_empty() && self.prefixes.is_empty()
    }

    /// Turns tracking on, or changes how. The caller has checked that the modes agree.
    #[doc(alias = "enableTracking")]
    pub fn enable(
        &mut self,
        clients: &mut Clients,
        client: ClientKey,
        modes: Modes,
        redirect: Option<(ClientId, ClientKey)>,
        prefixes: &[&[u8]],
    ) {
        let who = &mut clients[client];
        self.clients += usize::from(!who.flags.has(ClientFlags::TRACKING));
        who.flags.set(ClientFlags::TRACKING);
        let own = who.tracking.get_or_insert_default();
        own.modes = modes;
        own.redirect = redirect;
        own.broken_redirect = false;
        if modes.bcast {
            let everything: &[&[u8]] = &[b""];
            let prefixes = if prefixes.is_empty() {
                everything
            } else {
                prefixes
            };
            for prefix in prefixes {
                let entry = self.prefixes.entry((*prefix).into()).or_default();
                entry.clients.insert(client);
                own.prefixes.insert((*prefix).into());
            }
        }
    }

    /// Turns tracking off. The table forgets the client key by key, as those keys change.
    #[doc(alias = "disableTracking")]
    pub fn disable(&mut self, clients: &mut Clients, client: ClientKey) {
        let Some(who) = clients.get_mut(client) else {
            return;
        };
        let Some(own) = who.tracking.take() else {
            return;
        };
        who.flags.clear(ClientFlags::TRACKING);
        self.clients -= 1;
        for prefix in own.prefixes {
            if let Some(entry) = self.prefixes.get_mut(&prefix) {
                entry.clients.remove(&client);
                if entry.clients.is_empty() {
                    self.prefixes.remove(&prefix);
                }
            }
        }
    }

    /// Prefixes of one client may not overlap, because it would get two messages for one change.
    #[doc(alias = "checkPrefixCollisionsOrReply")]
    pub fn check_prefixes(own: Option<&Tracked>, prefixes: &[&[u8]]) -> Result<(), Error> {
        let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
        let show = |p: &[u8]| String::from_utf8_lossy(p).into_owned();
        for (i, new) in prefixes.iter().enumerate() {
            let mut old = own.into_iter().flat_map(Tracked::prefixes);
            if let Some(old) = old.find(|old| overlap(old, new)) {
                return Err(Error::once(format!(
                    "Prefix '{}' overlaps with an existing prefix '{}'. \
                     Prefixes for a single client must not overlap.",
                    show(new),
                    show(old)
                )));
            }
            if let Some(other) = prefixes[i + 1..].iter().find(|other| overlap(other, new)) {
                return Err(Error::once(format!(
                    "Prefix '{}' overlaps with another provided prefix '{}'. \
                     Prefixes for a single client must not overlap.",
                    show(new),
                    show(other)
                )));
            }
        }
        Ok(())
    }

    /// A client read a key and may keep what it read.
    #[doc(alias = "trackingRememberKeys")]
    pub fn remember(&mut self, client: ClientKey, key: &[u8]) {
        let cached = match self.keys.get_mut(key) {
            Some(cached) => cached,
            None => {
                let key: Rc<[u8]> = key.into();
                self.order.push(key.clone());
                self.keys.entry(key).or_insert(Cached {
                    at: self.order.len() - 1,
                    clients: Vec::new(),
                })
            }
        };
        if let Err(at) = cached.clients.binary_search(&client) {
            cached.clients.insert(at, client);
            self.items += 1;
        }
    }

    fn forget(&mut self, key: &[u8]) -> Option<Vec<ClientKey>> {
        let Cached { at, clients } = self.keys.remove(key)?;
        self.order.swap_remove(at);
        if let Some(moved) = self.order.get(at)
            && let Some(cached) = self.keys.get_mut(moved)
        {
            cached.at = at;
        }
        self.items -= clients.len();
        Some(clients)
    }

    /// A key changed: sends an invalidation message to each client that may hold it. `changer` is the client whose
    /// request is served.
    #[doc(alias = "trackingInvalidateKey")]
    pub fn invalidate(&mut self, clients: &mut Clients, changer: Option<ClientKey>, key: &[u8]) {
        for (prefix, entry) in &mut self.prefixes {
            if key.starts_with(prefix) {
                entry.changed.insert(key.into(), changer);
            }
        }
        self.drop_key(clients, changer, key);
    }

    /// Sends the invalidation message for a key, and removes the key from the table.
    fn drop_key(&mut self, clients: &mut Clients, changer: Option<ClientKey>, key: &[u8]) {
        let Some(holders) = self.forget(key) else {
            return;
        };
        let mut keys = Vec::with_capacity(key.len() + 16);
        array_header(&mut keys, 1);
        bulk(&mut keys, key);
        for holder in holders {
            let told = clients
                .get(holder)
                .and_then(|c| c.tracking.as_ref())
                .is_some_and(|own| {
                    let own_change = own.modes.noloop && changer == Some(holder);
                    !own.modes.bcast && !own_change
                });
            if told {
                tell(clients, holder, &keys);
            }
        }
    }

    /// All keys are gone: every client that tracks is told to drop everything, unless its user may read no key. The
    /// message names no key.
    #[doc(alias = "trackingInvalidateKeysOnFlush")]
    pub fn invalidate_all(&mut self, clients: &mut Clients) {
        if self.clients > 0 {
            let tracking = |c: &&Client| {
                let user = c.user.as_ref();
                let reads = user.is_none_or(|user| user.may_read_any());
                c.flags.has(ClientFlags::TRACKING) && reads
            };
            let all: Vec<_> = clients.iter().filter(tracking).map(|c| c.key).collect();
            for client in all {
                let nothing: &[u8] = match clients[client].protocol {
                    Protocol::Resp2 => b"$-1\r\n",
                    Protocol::Resp3 => b"_\r\n",
                };
                tell(clients, client, nothing);
            }
        }
        self.keys.clear();
        self.order.clear();
        self.items = 0;
    }

    /// Keeps the table within its bound by forgetting keys, as if they had changed.
    #[doc(alias = "trackingLimitUsedSlots")]
    pub fn limit(&mut self, clients: &mut Clients, max_keys: usize, rng: &mut Rng) {
        if max_keys == 0 || self.keys.len() <= max_keys {
            self.over = 0;
            return;
        }
        for _ in 0..EFFORT * (self.over + 1) {
            let at = rng.below(self.order.len() as u64) as usize;
            let key = self.order[at].clone();
            self.drop_key(clients, None, &key);
            if self.keys.len() <= max_keys {
                self.over = 0;
                return;
            }
        }
        self.over += 1;
    }

    /// Sends invalidation messages to BCAST clients for all keys changed in this turn of the loop: one message per
    /// prefix. A client gets the names that its own user may read, even if the messages go to another client: `CLIENT
    /// TRACKING ON BCAST` asks for names without naming one.
    #[doc(alias = "trackingBroadcastInvalidationMessages")]
    pub fn broadcast(&mut self, clients: &mut Clients) {
        for prefix in self.prefixes.values_mut() {
            if prefix.changed.is_empty() {
                continue;
            }
            let changed = std::mem::take(&mut prefix.changed);
            let everything = encode(changed.keys());
            for client in &prefix.clients {
                let Some(who) = clients.get(*client) else {
                    continue;
                };
                let noloop = who.tracking.as_ref().is_some_and(|own| own.modes.noloop);
                if !noloop && reads_all(who) {
                    tell(clients, *client, &everything);
                    continue;
                }
                let own = |changer: &Option<ClientKey>| noloop && *changer == Some(*client);
                let others: Vec<_> = changed
                    .iter()
                    .filter(|(key, changer)| !own(changer) && may_read(who, key))
                    .map(|(key, _)| key)
                    .collect();
                if !others.is_empty() {
                    tell(clients, *client, &encode(others.into_iter()));
                }
            }
        }
    }
}

/// Whether a client's user may read every key there is.
fn reads_all(client: &Client) -> bool {
    let user = client.user.as_ref();
    !client.flags.has(ClientFlags::RESTRICTED) || user.is_none_or(|user| user.may_read_all())
}

/// Whether a client's user may read a key.
fn may_read(client: &Client, key: &[u8]) -> bool {
    let user = client.user.as_ref();
    !client.flags.has(ClientFlags::RESTRICTED) || user.is_none_or(|user| user.may_read(key))
}

/// Sends an invalidation message to a client or to its redirect. `keys` is an array of keys, or a null for all keys,
/// as RESP.
#[doc(alias = "sendTrackingMessage")]
fn tell(clients: &mut Clients, client: ClientKey, keys: &[u8]) {
    let Some(who) = clients.get_mut(client) else {
        return;
    };
    let protocol = who.protocol;
    let Some(own) = &mut who.tracking else { return };
    let Some((id, target)) = own.redirect else {
        // RESP2 knows no messages out of turn.
        if protocol == Protocol::Resp3 {
            clients.send(client, |reply| invalidate(reply, keys));
        }
        return;
    };
    let Some(target) = clients.get(target) else {
        if let Some(own) = &mut clients[client].tracking {
            own.broken_redirect = true;
        }
        if protocol == Protocol::Resp3 {
            clients.send(client, |reply| {
                reply.push(2);
                reply.bulk(b"tracking-redir-broken");
                reply.integer(id.0 as i64);
            });
        }
        return;
    };
    let (key, subscribed) = (target.key, target.flags.has(ClientFlags::PUBSUB));
    if target.protocol == Protocol::Resp3 {
        clients.send(key, |reply| invalidate(reply, keys));
    } else if subscribed {
        clients.send(key, |reply| {
            reply.push(3);
            reply.bulk(b"message");
            reply.bulk(CHANNEL);
            reply.raw(keys);
        });
    }
}

fn invalidate(reply: &mut Reply, keys: &[u8]) {
    reply.push(2);
    reply.bulk(b"invalidate");
    reply.raw(keys);
}

fn encode<'a>(keys: impl ExactSizeIterator<Item = &'a Box<[u8]>>) -> Vec<u8> {
    let mut out = Vec::new();
    array_header(&mut out, keys.len());
    for key in keys {
        bulk(&mut out, key);
    }
    out
}

fn array_header(out: &mut Vec<u8>, len: usize) {
    out.push(b'*');
    out.extend_from_slice(IntBuf::new().format(len as i64));
    out.extend_from_slice(b"\r\n");
}

fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'$');
    out.extend_from_slice(IntBuf::new().format(bytes.len() as i64));
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}
