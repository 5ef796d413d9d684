//! The connections of the bus: which link of the machine is which wire, the bytes that are no whole message yet, and the
//! messages of clients that were put off because much waits on the wire already.
//!
//! ```text
//!   Out(7)  ◀─▶ wire 3    inbox [ first half of a PONG ]   put off [ PUBLISH, PUBLISH ]
//!   In(12)  ◀─▶ wire 5    inbox [ ]
//! ```
//!
//! Invariant: both directions of the table agree.
//!
//! Mirrors: `clusterLink` of cluster_legacy.h.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::node::LinkId;
use crate::wires::WireKey;

/// An inbox that was read empty keeps a buffer of up to so many bytes.
const KEPT_BYTES: usize = 64 * 1024;

/// The connections.
#[derive(Debug, Default)]
pub struct Links {
    wires: BTreeMap<LinkId, WireKey>,
    /// By the slot of the wire.
    links: BTreeMap<usize, Open>,
    accepted: u64,
    /// Messages that were put off, on all links.
    put_off: usize,
    /// Links that were given up because too much waited to be sent.
    pub over_limit: u64,
}

#[derive(Debug)]
struct Open {
    link: LinkId,
    wire: WireKey,
    inbox: Vec<u8>,
    put_off: VecDeque<Arc<[u8]>>,
    put_off_bytes: usize,
}

impl Links {
    /// Notes that a link of the machine is this wire.
    pub fn insert(&mut self, link: LinkId, wire: WireKey) {
        self.wires.insert(link, wire);
        let open = Open {
            link,
            wire,
            inbox: Vec::new(),
            put_off: VecDeque::new(),
            put_off_bytes: 0,
        };
        if let Some(old) = self.links.insert(wire.slot(), open) {
            self.put_off -= old.put_off.len();
        }
    }

    /// A number for a link that another node opened.
    pub fn number(&mut self) -> LinkId {
        self.accepted += 1;
        LinkId::In(self.accepted)
    }

    /// The wire of a link.
    pub fn wire(&self, link: LinkId) -> Option<WireKey> {
        self.wires.get(&link).copied()
    }

    /// The link of a wire.
    pub fn link(&self, wire: WireKey) -> Option<LinkId> {
        let open = self.links.get(&wire.slot())?;
        (open.wire == wire).then_some(open.link)
    }

    /// Forgets a link; its wire, if it was there.
    pub fn remove(&mut self, link: LinkId) -> Option<WireKey> {
        let wire = self.wires.remove(&link)?;
        if let Some(open) = self.links.remove(&wire.slot()) {
            self.put_off -= open.put_off.len();
        }
        Some(wire)
    }

    /// Keeps a message until there is room on the wire.
    pub fn put_off(&mut self, wire: WireKey, bytes: Arc<[u8]>) {
        if let Some(open) = self.open_mut(wire) {
            open.put_off_bytes += bytes.len();
            open.put_off.push_back(bytes);
            self.put_off += 1;
        }
    }

    /// The message that was put off first.
    pub fn take_put_off(&mut self, wire: WireKey) -> Option<Arc<[u8]>> {
        let open = self.open_mut(wire)?;
        let bytes = open.put_off.pop_front()?;
        open.put_off_bytes -= bytes.len();
        self.put_off -= 1;
        Some(bytes)
    }

    /// Whether messages wait that were put off.
    pub fn any_put_off(&self) -> bool {
        self.put_off > 0
    }

    /// Whether messages for this wire wait that were put off.
    pub fn puts_off(&self, wire: WireKey) -> bool {
        self.put_off_bytes(wire) > 0
    }

    /// The bytes of the messages that were put off.
    pub fn put_off_bytes(&self, wire: WireKey) -> usize {
        let open = self.links.get(&wire.slot());
        let open = open.filter(|open| open.wire == wire);
        open.map_or(0, |open| open.put_off_bytes)
    }

    fn open_mut(&mut self, wire: WireKey) -> Option<&mut Open> {
        let open = self.links.get_mut(&wire.slot());
        open.filter(|open| open.wire == wire)
    }

    /// All links with their wires.
    pub fn iter(&self) -> impl Iterator<Item = (LinkId, WireKey)> {
        self.wires.iter().map(|(link, wire)| (*link, *wire))
    }

    /// Takes the bytes that came before, to be put back with [`Links::keep`].
    pub fn take_inbox(&mut self, wire: WireKey) -> Vec<u8> {
        let open = self.links.get_mut(&wire.slot());
        open.map(|open| std::mem::take(&mut open.inbox))
            .unwrap_or_default()
    }

    /// Keeps bytes that are no whole message yet, if the link is still there.
    pub fn keep(&mut self, wire: WireKey, mut inbox: Vec<u8>) {
        if let Some(open) = self.open_mut(wire) {
            if inbox.is_empty() && inbox.capacity() > KEPT_BYTES {
                inbox = Vec::new();
            }
            open.inbox = inbox;
        }
    }

    /// Bytes of memory of all inboxes.
    pub fn inbox_memory(&self) -> usize {
        self.links.values().map(|open| open.inbox.capacity()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wires::{Owner, Wires};

    #[test]
    fn messages_that_were_put_off_keep_their_order_and_die_with_their_link() {
        let (mut links, mut wires) = (Links::default(), Wires::default());
        let (out, wire) = (LinkId::Out(1), wires.adopt(Owner::Bus));
        links.insert(out, wire);
        links.put_off(wire, Arc::from([1, 2].as_slice()));
        links.put_off(wire, Arc::from([3].as_slice()));
        assert!(links.any_put_off() && links.puts_off(wire));
        assert_eq!(links.put_off_bytes(wire), 3);
        assert_eq!(links.take_put_off(wire).as_deref(), Some(&[1, 2][..]));
        links.remove(out);
        assert!(!links.any_put_off() && !links.puts_off(wire));
        assert!(links.take_put_off(wire).is_none());
    }

    #[test]
    fn a_link_and_its_wire_find_each_other() {
        let (mut links, mut wires) = (Links::default(), Wires::default());
        let (out, wire) = (LinkId::Out(1), wires.adopt(Owner::Bus));
        links.insert(out, wire);
        assert_eq!((links.wire(out), links.link(wire)), (Some(wire), Some(out)));
        links.keep(wire, vec![1, 2]);
        assert_eq!(links.take_inbox(wire), [1, 2]);
        wires.close(wire);
        assert_eq!(links.remove(out), Some(wire));
        let next = wires.adopt(Owner::Bus);
        assert_eq!(next.slot(), wire.slot());
        let inbound = links.number();
        links.insert(inbound, next);
        links.keep(wire, vec![9]);
        assert!(links.take_inbox(next).is_empty() && links.link(wire).is_none());
    }
}
