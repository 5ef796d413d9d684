//! The sockets of wires: connections that this server opens to others, and those of the cluster bus in both directions.
//!
//! The owners and their bytes are in [`crate::wires`]. Before each sleep [`Turn::tend_wires`] carries the owners' orders
//! out and sends what they have to say; what the poll tells of a socket goes to the wire's owner, by one `match` each
//! for the four things that can happen to a wire:
//!
//! ```text
//!   refused   the connection could not even be begun             (no address of that family, no descriptors left)
//!   up        the connection is made, and under TLS if it should be
//!   received  bytes came; the owner says whether to go on reading
//!   down      the connection ended, or was never made            (nothing more is told of this wire)
//! ```
//!
//! Invariant: an owner is told of a wire only while that wire exists; a socket whose wire was given up is closed before
//! the next sleep and never read again.
//!
//! Mirrors: the connection handlers of replication.c and anetTcpGenericConnect() of anet.c; those of
//! cluster_legacy.c and sentinel.c do the same.
//! Differs: both directions are registered once, edge-triggered, so that a full socket costs no system call.

use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Token};
use rustls::pki_types::ServerName;
use socket2::{Domain, Protocol, Socket, Type};

use super::connection::{Connection, Stream};
use super::event_loop::{FIRST_CLIENT, Turn};
use super::listener;
use super::tls::TlsStream;
use crate::clients::ClientKey;
use crate::cluster;
use crate::cluster::act::migration;
use crate::cluster::migration::Channel;
use crate::config::disk;
use crate::replication;
use crate::replication::link::Step;
use crate::sentinel;
use crate::state::State;
use crate::tls;
use crate::wires::{Dial, Order, Owner, Then, WireKey};

/// Tokens from here on are wires: a place in the table of wires, plus this. No client's slot gets so far.
pub(super) const FIRST_WIRE: usize = usize::MAX / 2;
/// Reads before others get their turn.
const READS: usize = 16;

/// Connections taken from a listener of the bus in one turn.
#[doc(alias = "MAX_CLUSTER_ACCEPTS_PER_CALL")]
const ACCEPTS: usize = 1000;

/// The socket of a wire.
#[derive(Debug)]
pub(super) struct WireSocket {
    key: WireKey,
    stream: Stream,
    /// The connection is made; before, it is neither read nor written.
    up: bool,
    /// Put it under TLS when it is made.
    tls: bool,
    /// The socket may hold more than was read.
    readable: bool,
    /// The last write was cut short: the poll will tell of room.
    awaits_room: bool,
}

/// The sockets of all wires, by the slots of their keys.
#[derive(Debug, Default)]
pub(super) struct WireSockets {
    sockets: Vec<Option<WireSocket>>,
    /// Wires whose socket may hold more than was read.
    more: Vec<WireKey>,
}

impl WireSockets {
    fn get_mut(&mut self, key: WireKey) -> Option<&mut WireSocket> {
        let socket = self.sockets.get_mut(key.slot())?.as_mut();
        socket.filter(|socket| socket.key == key)
    }

    fn take(&mut self, key: WireKey) -> Option<WireSocket> {
        let place = self.sockets.get_mut(key.slot())?;
        place.take_if(|socket| socket.key == key)
    }

    fn put(&mut self, socket: WireSocket) {
        let slot = socket.key.slot();
        if self.sockets.len() <= slot {
            self.sockets.resize_with(slot + 1, || None);
        }
        self.sockets[slot] = Some(socket);
    }

    /// The wire whose socket is at this place.
    pub(super) fn key(&self, slot: usize) -> Option<WireKey> {
        let socket = self.sockets.get(slot)?.as_ref();
        socket.map(|socket| socket.key)
    }
}

/// Whether the owner of a wire takes bytes now.
fn takes_bytes(state: &State, owner: Owner) -> bool {
    match owner {
        // The data set of a primary, or its stream, may replace the data under a running script; and once the stream
        // comes, it is for the client to read.
        Owner::Primary if replication::act::channel::is_open(state) => {
            replication::act::channel::keeps_stream(state)
        }
        Owner::Primary => {
            let streams = state.replication.link.step == Step::Connected;
            !state.scripts.is_busy() && !streams && !replication::act::transfer::link_waits(state)
        }
        Owner::Sentinel(_) | Owner::Bus => true,
        Owner::SlotStream => migration::wire_takes_bytes(state, Channel::Main),
        Owner::SlotKeys => migration::wire_takes_bytes(state, Channel::Rdb),
        Owner::PrimaryData => {
            !state.scripts.is_busy() && !replication::act::transfer::link_waits(state)
        }
    }
}

fn refused(state: &mut State, owner: Owner, key: WireKey, reason: &str) {
    match owner {
        Owner::Sentinel(wire) => sentinel::act::wire_down(state, wire, reason),
        Owner::Primary | Owner::PrimaryData => {
            replication::act::link::link_refused(state, reason);
        }
        Owner::SlotStream => migration::wire_down(state, Channel::Main, key, reason),
        Owner::SlotKeys => migration::wire_down(state, Channel::Rdb, key, reason),
        Owner::Bus => cluster::act::links::closed(state, key, reason),
    }
}

/// `local` is our own address on the connection.
fn up(state: &mut State, owner: Owner, key: WireKey, local: Option<IpAddr>) {
    match owner {
        Owner::Primary => replication::act::link::link_connected(state),
        Owner::Sentinel(wire) => sentinel::act::wire_up(state, wire, local),
        Owner::PrimaryData => replication::act::channel::channel_connected(state),
        Owner::SlotStream => migration::wire_up(state, Channel::Main),
        Owner::SlotKeys => migration::wire_up(state, Channel::Rdb),
        Owner::Bus => cluster::act::links::connected(state, key),
    }
}

fn received(state: &mut State, owner: Owner, key: WireKey, bytes: &[u8]) -> Then {
    match owner {
        Owner::Primary => replication::act::link::link_received(state, bytes),
        Owner::Sentinel(wire) => sentinel::act::wire_received(state, wire, bytes),
        Owner::PrimaryData => replication::act::channel::channel_received(state, bytes),
        Owner::SlotStream => migration::wire_received(state, Channel::Main, bytes),
        Owner::SlotKeys => migration::wire_received(state, Channel::Rdb, bytes),
        Owner::Bus => cluster::act::links::received(state, key, bytes),
    }
}

fn down(state: &mut State, owner: Owner, key: WireKey, reason: &str) {
    match owner {
        Owner::Primary => replication::act::link::link_closed(state, reason),
        Owner::Sentinel(wire) => sentinel::act::wire_down(state, wire, reason),
        Owner::PrimaryData => replication::act::channel::channel_closed(state, reason),
        Owner::SlotStream => migration::wire_down(state, Channel::Main, key, reason),
        Owner::SlotKeys => migration::wire_down(state, Channel::Rdb, key, reason),
        Owner::Bus => cluster::act::links::closed(state, key, reason),
    }
}

impl Turn<'_> {
    /// Carries out what the owners of wires ordered, and sends what they have to say. Before each sleep.
    pub(super) fn tend_wires(&mut self) {
        replication::act::transfer::tend_transfer(self.state);
        replication::act::channel::stream_buffer(self.state);
        replication::act::link::hand_over_link(self.state);
        self.carry_wires();
    }

    /// As [`Turn::tend_wires`], while a script runs beyond its time: the bus lives on, the link to a primary waits.
    pub(super) fn carry_wires(&mut self) {
        // A dial that is refused at once may make its owner give further orders.
        while self.state.wires.has_orders() {
            for order in self.state.wires.take_orders() {
                match order {
                    Order::Dial(key, dial) => self.dial_wire(key, &dial),
                    Order::Close(key) => self.close_wire(key),
                    Order::HandOver(key, client, rest) => self.hand_over_wire(key, client, &rest),
                }
            }
        }
        for key in self.state.wires.take_speaking() {
            self.write_wire(key);
        }
    }

    /// Whether a wire has something to do that no event will tell of.
    pub(super) fn wires_are_busy(&self) -> bool {
        let wires = &self.state.wires;
        let takes = |key: &WireKey| {
            let owner = wires.owner(*key);
            owner.is_some_and(|owner| takes_bytes(self.state, owner))
        };
        wires.has_orders()
            || replication::act::channel::can_stream(self.state)
            || self.sockets.wires.more.iter().any(takes)
    }

    fn dial_wire(&mut self, key: WireKey, dial: &Dial) {
        // An order after this one may have taken it back.
        let Some(owner) = self.state.wires.owner(key) else {
            return;
        };
        match self.connect_wire(key, dial) {
            Ok(socket) => self.sockets.wires.put(socket),
            Err(error) => {
                self.state.wires.forget(key);
                refused(self.state, owner, key, &disk::reason(&error));
            }
        }
    }

    fn connect_wire(&self, key: WireKey, dial: &Dial) -> io::Result<WireSocket> {
        let domain = Domain::for_address(dial.to);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        if let Some(from) = dial.from {
            socket.set_reuse_address(true)?;
            socket.bind(&std::net::SocketAddr::new(from, 0).into())?;
        }
        match socket.connect(&dial.to.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        let mut stream = Stream::Tcp(TcpStream::from_std(socket.into()));
        let token = Token(FIRST_WIRE + key.slot());
        let both = Interest::READABLE | Interest::WRITABLE;
        stream.register(self.sockets.poll.registry(), token, both)?;
        Ok(WireSocket {
            key,
            stream,
            up: false,
            tls: dial.tls,
            readable: false,
            awaits_room: false,
        })
    }

    fn close_wire(&mut self, key: WireKey) {
        if let Some(mut socket) = self.sockets.wires.take(key) {
            socket.stream.farewell();
            let _ = socket.stream.deregister(self.sockets.poll.registry());
        }
    }

    /// The connection ended by itself.
    fn lose_wire(&mut self, key: WireKey, reason: &str) {
        let owner = self.state.wires.owner(key);
        self.close_wire(key);
        if let Some(owner) = owner {
            self.state.wires.forget(key);
            down(self.state, owner, key, reason);
        }
    }

    /// The poll told something of the socket at a place in the table of wires.
    pub(super) fn wire_event(&mut self, key: WireKey, readable: bool, writable: bool) {
        let Some(owner) = self.state.wires.owner(key) else {
            return;
        };
        let Some(socket) = self.sockets.wires.get_mut(key) else {
            return;
        };
        if !socket.up {
            match established(&socket.stream) {
                Ok(false) => return,
                Ok(true) => {}
                Err(error) => return self.lose_wire(key, &disk::reason(&error)),
            }
            let local = match &socket.stream {
                Stream::Tcp(stream) => stream.local_addr().ok().map(|address| address.ip()),
                _ => None,
            };
            if let Err(reason) = self.prepare_wire(key) {
                return self.lose_wire(key, &reason);
            }
            up(self.state, owner, key, local);
        }
        let sockets = &mut self.sockets.wires;
        let Some(socket) = sockets.get_mut(key) else {
            return;
        };
        let news = readable && !socket.readable;
        socket.readable |= readable;
        // Under TLS bytes that come may end a handshake that kept ours back.
        let room = writable || (readable && socket.stream.is_tls());
        socket.awaits_room &= !room;
        if news {
            sockets.more.push(key);
        }
        self.read_wire(key);
        if room {
            self.write_wire(key);
        }
    }

    /// Sets the options of a socket that is connected, and puts it under TLS if its dial said so.
    fn prepare_wire(&mut self, key: WireKey) -> Result<(), String> {
        let Some(mut socket) = self.sockets.wires.take(key) else {
            return Ok(());
        };
        if let Some(stream) = socket.stream.tcp() {
            let _ = stream.set_nodelay(true);
        }
        listener::set_keepalive(&socket.stream, self.state.config.repl_timeout);
        socket.up = true;
        socket.stream = match socket.stream {
            Stream::Tcp(stream) if socket.tls => {
                let settings = tls::client_settings(&self.state.config)?;
                let address = stream.peer_addr().map_err(|error| disk::reason(&error))?;
                let name = ServerName::IpAddress(address.ip().into());
                let stream = TlsStream::connect(stream, settings, name);
                Stream::Tls(Box::new(stream.map_err(|error| disk::reason(&error))?))
            }
            other => other,
        };
        self.sockets.wires.put(socket);
        Ok(())
    }

    /// Reads what the sockets still hold whose owners would not take it before, or had their share.
    pub(super) fn read_wires(&mut self) {
        for key in std::mem::take(&mut self.sockets.wires.more) {
            if let Some(socket) = self.sockets.wires.get_mut(key)
                && socket.readable
            {
                self.sockets.wires.more.push(key);
                self.read_wire(key);
            }
        }
    }

    /// Reads what came, a few times.
    fn read_wire(&mut self, key: WireKey) {
        for _ in 0..READS {
            let Some(owner) = self.state.wires.owner(key) else {
                return;
            };
            if !takes_bytes(self.state, owner) {
                return;
            }
            let Some(socket) = self.sockets.wires.get_mut(key) else {
                return;
            };
            if !socket.readable || !socket.up {
                return;
            }
            let mut buffer = std::mem::take(&mut self.sockets.read_buffer);
            let mut then = Then::Read;
            match socket.stream.read(&mut buffer) {
                Ok(0) => self.lose_wire(key, "connection lost"),
                Ok(n) => {
                    // A read that came back short has drained the socket; TLS may keep more in its own buffer.
                    socket.readable = n == buffer.len() || socket.stream.is_tls();
                    then = received(self.state, owner, key, &buffer[..n]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => socket.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => self.lose_wire(key, &disk::reason(&error)),
            }
            self.sockets.read_buffer = buffer;
            if then == Then::Wait {
                return;
            }
        }
    }

    fn write_wire(&mut self, key: WireKey) {
        let Some(socket) = self.sockets.wires.get_mut(key) else {
            return;
        };
        if !socket.up || socket.awaits_room {
            return;
        }
        let mut result = match socket.stream.unsent() {
            true => socket.stream.flush(),
            false => Ok(()),
        };
        while result.is_ok()
            && let Some(out) = self.state.wires.to_send(key).filter(|out| !out.is_empty())
        {
            match socket.stream.write(out) {
                Ok(n) => self.state.wires.sent(key, n),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => result = Err(error),
            }
        }
        match result {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => socket.awaits_room = true,
            Err(error) => self.lose_wire(key, &disk::reason(&error)),
        }
    }

    /// Takes the connections that wait at a listener of the bus. A primary that loads its data set takes none: it could
    /// not serve its slots, and its replicas may do so meanwhile.
    #[doc(alias = "clusterAcceptHandler")]
    pub(super) fn accept_links(&mut self, index: usize) {
        if !cluster::act::links::accepts(self.state) {
            return self.sockets.accepting.push(index);
        }
        for _ in 0..ACCEPTS {
            let accepted = self.sockets.listeners.list.borrow().accept(index, None);
            match accepted {
                Some(Ok(peer)) => self.welcome_link(peer.stream),
                Some(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                // No connection waits, or the next event tries again.
                Some(Err(_)) | None => return,
            }
        }
        self.sockets.accepting.push(index);
    }

    fn welcome_link(&mut self, mut stream: Stream) {
        let ends = stream.tcp().map(|tcp| (tcp.peer_addr(), tcp.local_addr()));
        // The connection may be over already.
        let Some((Ok(peer), Ok(local))) = ends else {
            return;
        };
        let key = self.state.wires.adopt(Owner::Bus);
        let token = Token(FIRST_WIRE + key.slot());
        let both = Interest::READABLE | Interest::WRITABLE;
        let registry = self.sockets.poll.registry();
        if stream.register(registry, token, both).is_err() {
            self.state.wires.forget(key);
            return;
        }
        let keepalive_s = self.state.config.cluster_node_timeout.saturating_mul(2) / 1000;
        listener::set_keepalive(&stream, keepalive_s.min(u64::from(u16::MAX)) as u32);
        self.sockets.wires.put(WireSocket {
            key,
            stream,
            up: true,
            tls: false,
            readable: false,
            awaits_room: false,
        });
        cluster::act::links::accepted(self.state, key, peer.ip(), local.ip());
    }

    /// Makes the socket of a wire that of a client; a client that is gone takes the socket with it.
    fn hand_over_wire(&mut self, key: WireKey, client: ClientKey, rest: &[u8]) {
        let Some(mut socket) = self.sockets.wires.take(key) else {
            return;
        };
        let registry = self.sockets.poll.registry();
        let _ = socket.stream.deregister(registry);
        let slot = client.slot as usize;
        let token = Token(slot + FIRST_CLIENT);
        if let Err(error) = socket.stream.register(registry, token, Interest::READABLE) {
            let reason = disk::reason(&error);
            self.state.log.warning(format_args!(
                "Can't create readable event for SYNC: {reason}"
            ));
            return self.state.clients.close_asap(client);
        }
        let Some(who) = self.state.clients.get_mut(client) else {
            return;
        };
        who.fd = socket.stream.descriptor();
        if let Some(stream) = socket.stream.tcp() {
            let text = |address: io::Result<std::net::SocketAddr>| {
                address.map(|a| a.to_string()).unwrap_or_default()
            };
            who.address = text(stream.peer_addr());
            who.local_address = text(stream.local_addr());
        }
        who.query.extend_from_slice(rest);
        if self.sockets.connections.len() <= slot {
            self.sockets.connections.resize_with(slot + 1, || None);
        }
        self.sockets.connections[slot] = Some(Connection {
            key: client,
            stream: socket.stream,
            // Under TLS there may be something left that the poll does not know of.
            readable: socket.readable,
            peer_closed: false,
            awaits_room: false,
        });
        self.state.clients.resume(client);
        // The client may have been answered before it had a socket.
        self.state.clients.wants_write(client);
    }
}

/// Whether a connection that was begun is made; `false`: not yet.
fn established(stream: &Stream) -> io::Result<bool> {
    let Stream::Tcp(stream) = stream else {
        return Ok(true);
    };
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}
