//! Connections to other servers, without their sockets: to our primary, on the cluster bus, between sentinels.
//!
//! A subsystem that talks to another server owns a *wire*. It asks for one with [`Wires::dial`], appends what it has to
//! say to [`Wires::out`] and gives the wire up with [`Wires::close`]. It never sees a socket: the loop
//! (`server/wires.rs`) carries the orders out before it sleeps, and tells the owner what became of them.
//!
//! ```text
//!   owner                        here                        the loop
//!   dial(Primary, 10.0.0.7:6379) ─► order: dial wire 3 ─────► connect()
//!                                                     ◄────── up(3), or down(3, "Connection refused")
//!   out(3) += "PING\r\n"         ─► wire 3 has bytes  ─────► write()
//!                                                     ◄────── received(3, "+PONG\r\n")
//!   close(3)                     ─► order: close 3    ─────► close(); nothing more is told of wire 3
//! ```
//!
//! Invariant: a key names one connection for ever. The slot of a wire is used again, its generation is not, so bytes and
//! events of a connection that was given up never reach its successor.
//!
//! Mirrors: the connection of `server.repl_transfer_s`, `clusterLink` (cluster_legacy.c) and `instanceLink`
//! (sentinel.c). Differs: one kind of wire for all three, and the owner holds a key in the place of a socket.
//! Cost: everything here is O(1), but for the bytes.

use std::net::{IpAddr, SocketAddr};

use slab::Slab;

use crate::clients::ClientKey;

/// An empty queue keeps a buffer of up to so many bytes.
const KEPT_BYTES: usize = 64 * 1024;

/// Which subsystem a wire belongs to, and so who is told what happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The link to our primary (`replication/link.rs`).
    Primary,
    /// A connection of the sentinel (`sentinel/act`), by the name the sentinel gave it.
    Sentinel(u64),
    /// The second connection to our primary, for the data set (`replication/channel.rs`).
    PrimaryData,
    /// The dialogue of a slot migration and its stream (`cluster/act/migration.rs`).
    SlotStream,
    /// The keys of slots that come.
    SlotKeys,
    /// A link of the cluster bus, in either direction (`cluster/links.rs`).
    Bus,
}

/// The name of a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WireKey {
    slot: u32,
    generation: u32,
}

impl WireKey {
    /// The wire's place in a table: unique among the wires that exist at one time.
    #[inline]
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

/// Where to connect to, from where, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// The address of the other server.
    pub to: SocketAddr,
    /// Our own address on the connection (`bind-source-addr`); none: the system's choice.
    pub from: Option<IpAddr>,
    /// Whether the connection is put under TLS once it is made.
    pub tls: bool,
}

/// The answer of an owner to bytes that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The loop goes on reading.
    Read,
    /// The loop leaves the socket alone until the owner may be read for again.
    Wait,
}

/// An order to the loop.
#[derive(Debug, PartialEq, Eq)]
pub enum Order {
    /// Connect.
    Dial(WireKey, Dial),
    /// Close, without another word to the owner.
    Close(WireKey),
    /// Make the socket that of a client; the bytes were read from it but not used by the owner.
    HandOver(WireKey, ClientKey, Vec<u8>),
}

/// The wires of a server.
#[derive(Debug, Default)]
pub struct Wires {
    wires: Slab<Wire>,
    generation: u32,
    orders: Vec<Order>,
    /// Wires with bytes to send that the loop has not looked at yet.
    speaking: Vec<WireKey>,
}

#[derive(Debug)]
struct Wire {
    owner: Owner,
    generation: u32,
    out: Vec<u8>,
    /// Bytes at the beginning of `out` that were sent already.
    sent: usize,
    /// The list of speaking wires has it.
    speaks: bool,
}

impl Wires {
    /// Opens a wire; the owner is told when it is up, or that it never will be.
    pub fn dial(&mut self, owner: Owner, dial: Dial) -> WireKey {
        let key = self.adopt(owner);
        self.orders.push(Order::Dial(key, dial));
        key
    }

    /// A wire for a connection that another server made. For the loop, which has its socket.
    pub fn adopt(&mut self, owner: Owner) -> WireKey {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let wire = Wire {
            owner,
            generation,
            out: Vec::new(),
            sent: 0,
            speaks: false,
        };
        let slot = self.wires.insert(wire) as u32;
        WireKey { slot, generation }
    }

    /// Gives a wire up. Bytes that were not sent are lost, and no more of its events are reported.
    pub fn close(&mut self, key: WireKey) {
        if self.forget(key) {
            self.orders.push(Order::Close(key));
        }
    }

    /// Ends a wire by giving its socket to a client, with the bytes that came and belong to the client.
    pub fn hand_over(&mut self, key: WireKey, client: ClientKey, rest: Vec<u8>) {
        if self.forget(key) {
            self.orders.push(Order::HandOver(key, client, rest));
        }
    }

    /// The bytes to be sent, to be appended to; none once the wire is gone. What was sent already may stand in front.
    pub fn out(&mut self, key: WireKey) -> Option<&mut Vec<u8>> {
        let wire = self.wires.get_mut(key.slot())?;
        if wire.generation != key.generation {
            return None;
        }
        if !wire.speaks {
            wire.speaks = true;
            self.speaking.push(key);
        }
        Some(&mut wire.out)
    }

    /// Bytes that wait to be sent.
    pub fn unsent(&self, key: WireKey) -> usize {
        self.get(key).map_or(0, |wire| wire.out.len() - wire.sent)
    }

    /// Bytes of memory that the queue of a wire takes.
    pub fn memory(&self, key: WireKey) -> usize {
        self.get(key).map_or(0, |wire| wire.out.capacity())
    }

    /// The subsystem a wire belongs to; none once the wire is gone.
    #[inline]
    pub fn owner(&self, key: WireKey) -> Option<Owner> {
        self.get(key).map(|wire| wire.owner)
    }

    /// Whether the loop has orders to carry out.
    #[inline]
    pub fn has_orders(&self) -> bool {
        !self.orders.is_empty()
    }

    /// The orders since the last call, in the order given. For the loop.
    pub fn take_orders(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.orders)
    }

    /// The wires with something new to send since the last call. For the loop.
    pub fn take_speaking(&mut self) -> Vec<WireKey> {
        let speaking = std::mem::take(&mut self.speaking);
        for key in &speaking {
            if let Some(wire) = self.get_mut(*key) {
                wire.speaks = false;
            }
        }
        speaking
    }

    /// The bytes to send; none once the wire is gone. For the loop.
    pub fn to_send(&self, key: WireKey) -> Option<&[u8]> {
        self.get(key).map(|wire| &wire.out[wire.sent..])
    }

    /// Notes that the first bytes of [`Wires::to_send`] were sent. They are moved out once they are the larger part, so
    /// that a long queue costs O(1) per byte however slowly it is read; an empty queue gives a large buffer back.
    pub fn sent(&mut self, key: WireKey, bytes: usize) {
        let Some(wire) = self.get_mut(key) else {
            return;
        };
        wire.sent = (wire.sent + bytes).min(wire.out.len());
        if wire.sent == wire.out.len() {
            wire.sent = 0;
            wire.out.clear();
            if wire.out.capacity() > KEPT_BYTES {
                wire.out = Vec::new();
            }
        } else if wire.sent > wire.out.len() / 2 {
            wire.out.drain(..wire.sent);
            wire.sent = 0;
        }
    }

    /// Forgets a wire whose connection ended by itself; false if it was gone already. For the loop.
    pub fn forget(&mut self, key: WireKey) -> bool {
        let known = self.get(key).is_some();
        if known {
            self.wires.remove(key.slot());
        }
        known
    }

    fn get(&self, key: WireKey) -> Option<&Wire> {
        let wire = self.wires.get(key.slot())?;
        (wire.generation == key.generation).then_some(wire)
    }

    fn get_mut(&mut self, key: WireKey) -> Option<&mut Wire> {
        let wire = self.wires.get_mut(key.slot())?;
        (wire.generation == key.generation).then_some(wire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn somewhere() -> Dial {
        Dial {
            to: SocketAddr::from(([127, 0, 0, 1], 1)),
            from: None,
            tls: false,
        }
    }

    #[test]
    fn a_wire_given_up_does_not_meet_its_successor() {
        let mut wires = Wires::default();
        let first = wires.dial(Owner::Primary, somewhere());
        wires.out(first).expect("it is there").extend(b"PING");
        assert_eq!(wires.unsent(first), 4);
        wires.close(first);
        wires.close(first);
        let second = wires.dial(Owner::Primary, somewhere());
        assert_eq!(first.slot(), second.slot());
        assert!(wires.out(first).is_none() && wires.owner(first).is_none());
        assert_eq!(wires.unsent(second), 0);
        let dial = |key| Order::Dial(key, somewhere());
        let orders = [dial(first), Order::Close(first), dial(second)];
        assert_eq!(wires.take_orders(), orders);
        assert!(!wires.has_orders());
    }

    #[test]
    fn a_wire_speaks_once_however_often_it_is_written_to() {
        let mut wires = Wires::default();
        let key = wires.dial(Owner::Primary, somewhere());
        wires.out(key).expect("it is there").push(1);
        wires.out(key).expect("it is there").push(2);
        assert_eq!(wires.take_speaking(), [key]);
        assert_eq!(wires.to_send(key).map(<[u8]>::len), Some(2));
        assert!(wires.take_speaking().is_empty());
    }

    #[test]
    fn a_queue_goes_on_where_the_socket_stopped() {
        let mut wires = Wires::default();
        let key = wires.adopt(Owner::Bus);
        assert!(!wires.has_orders());
        wires.out(key).expect("it is there").extend(0..10);
        wires.sent(key, 4);
        wires.out(key).expect("it is there").push(10);
        assert_eq!(wires.to_send(key), Some(&[4, 5, 6, 7, 8, 9, 10][..]));
        wires.sent(key, 3);
        assert_eq!(
            (wires.to_send(key), wires.unsent(key)),
            (Some(&[7, 8, 9, 10][..]), 4)
        );
        wires.sent(key, 4);
        assert_eq!(wires.unsent(key), 0);
    }
}
