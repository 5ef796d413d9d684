//! The connections of the bus: which link of the machine is which wire, and the bytes that are no whole message yet.
//!
//! ```text
//!   Out(7)  ◀─▶ wire 3    inbox [ first half of a PONG ]
//!   In(12)  ◀─▶ wire 5    inbox [ ]
//! ```
//!
//! Invariant: both directions of the table agree.
//!
//! Mirrors: `clusterLink` of cluster_legacy.h.

use std::collections::BTreeMap;

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
    /// Links that were given up because too much waited to be sent.
    pub over_limit: u64,
}

#[derive(Debug)]
struct Open {
    link: LinkId,
    wire: WireKey,
    inbox: Vec<u8>,
}

impl Links {
    /// Notes that a link of the machine is this wire.
    pub fn insert(&mut self, link: LinkId, wire: WireKey) {
        self.wires.insert(link, wire);
        let inbox = Vec::new();
        let open = Open { link, wire, inbox };
        self.links.insert(wire.slot(), open);
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
        self.links.remove(&wire.slot());
        Some(wire)
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
        if let Some(open) = self.links.get_mut(&wire.slot())
            && open.wire == wire
        {
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
