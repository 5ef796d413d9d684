//! The socket of the link to our primary, until the primary is a client like others.
//!
//! The state of the link is in [`crate::replication::link`]; before each sleep the loop makes the socket follow it:
//! one that belongs to an attempt given up is closed, one that is wanted is opened, what there is to say is sent, and
//! once the stream comes the socket is given to the client.
//!
//! Mirrors: the connection handlers of replication.c, anetTcpGenericConnect() of anet.c.

use std::io::{self, ErrorKind, Read, Write};

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Token};
use rustls::pki_types::ServerName;
use socket2::{Domain, Protocol, Socket, Type};

use super::connection::{Connection, Stream};
use super::event_loop::{FIRST_CLIENT, Turn};
use super::listener;
use super::tls::TlsStream;
use crate::config::disk;
use crate::replication::link::{Dial, Step, Then};
use crate::tls;

/// What the poll calls it.
pub(super) const LINK: Token = Token(FIRST_CLIENT - 2);
/// Reads before others get their turn.
const READS: usize = 16;

/// The socket.
#[derive(Debug)]
pub(super) struct LinkSocket {
    attempt: u64,
    stream: Stream,
    connected: bool,
    /// It may hold more than was read.
    readable: bool,
}

impl Turn<'_> {
    /// Makes the socket follow the state of the link.
    pub(super) fn tend_link(&mut self) {
        if self.state.replication.link.step == Step::Off && self.sockets.link.is_none() {
            return;
        }
        self.state.tend_transfer();
        let link = &mut self.state.replication.link;
        let stale = |socket: &mut LinkSocket| socket.attempt != link.attempt;
        if let Some(mut old) = self.sockets.link.take_if(stale) {
            let _ = old.stream.deregister(self.sockets.poll.registry());
        }
        if let Some(dial) = link.dial.take() {
            let attempt = link.attempt;
            match self.dial(&dial, attempt) {
                Ok(socket) => self.sockets.link = Some(socket),
                Err(error) => self.state.link_refused(&disk::reason(&error)),
            }
        }
        if self.state.replication.link.step == Step::Connected {
            self.hand_over_link();
        } else {
            self.write_link();
        }
    }

    /// Whether the link has something to do that no event will tell of.
    pub(super) fn link_is_busy(&self) -> bool {
        let link = &self.state.replication.link;
        let waits = link.dial.is_some();
        waits || self.sockets.link.as_ref().is_some_and(|s| s.readable) && !self.state.link_waits()
    }

    fn dial(&self, dial: &Dial, attempt: u64) -> io::Result<LinkSocket> {
        let socket = Socket::new(
            Domain::for_address(dial.to),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
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
        let what = Interest::READABLE | Interest::WRITABLE;
        stream.register(self.sockets.poll.registry(), LINK, what)?;
        Ok(LinkSocket {
            attempt,
            stream,
            connected: false,
            readable: false,
        })
    }

    /// The poll told something of the socket.
    pub(super) fn link_event(&mut self, readable: bool) {
        let Some(socket) = &mut self.sockets.link else {
            return;
        };
        if socket.attempt != self.state.replication.link.attempt {
            return;
        }
        if !socket.connected {
            let Stream::Tcp(stream) = &socket.stream else {
                return;
            };
            let error = match stream.take_error() {
                Ok(None) => match stream.peer_addr() {
                    Ok(_) => None,
                    Err(error) if error.kind() == ErrorKind::NotConnected => return,
                    Err(error) => Some(error),
                },
                Ok(Some(error)) | Err(error) => Some(error),
            };
            if let Some(error) = error {
                return self.state.link_closed(&disk::reason(&error));
            }
            socket.connected = true;
            let _ = stream.set_nodelay(true);
            listener::set_keepalive(&socket.stream, self.state.config.repl_timeout);
            if self.state.config.tls_replication
                && let Err(reason) = self.secure_link()
            {
                return self.state.link_closed(&reason);
            }
            self.state.link_connected();
        }
        if readable && let Some(socket) = &mut self.sockets.link {
            socket.readable = true;
        }
        self.read_link();
    }

    /// Puts the connection, which is there, under TLS.
    fn secure_link(&mut self) -> Result<(), String> {
        let Some(mut socket) = self.sockets.link.take() else {
            return Ok(());
        };
        socket.stream = match socket.stream {
            Stream::Tcp(stream) => {
                let settings = tls::client_settings(&self.state.config)?;
                let address = stream.peer_addr().map_err(|error| disk::reason(&error))?;
                let name = ServerName::IpAddress(address.ip().into());
                let stream = TlsStream::connect(stream, settings, name);
                Stream::Tls(Box::new(stream.map_err(|error| disk::reason(&error))?))
            }
            other => other,
        };
        self.sockets.link = Some(socket);
        Ok(())
    }

    /// Reads what came, a few times.
    pub(super) fn read_link(&mut self) {
        // What comes may end a script's world under its feet.
        if self.state.scripts.is_busy() {
            return;
        }
        for _ in 0..READS {
            if self.state.link_waits() {
                return;
            }
            let attempt = self.state.replication.link.attempt;
            let Some(socket) = &mut self.sockets.link else {
                return;
            };
            if socket.attempt != attempt || !socket.readable || !socket.connected {
                return;
            }
            let mut buffer = std::mem::take(&mut self.sockets.read_buffer);
            let read = socket.stream.read(&mut buffer);
            let mut then = Then::Read;
            match read {
                Ok(0) => {
                    socket.readable = false;
                    self.state.link_closed("connection lost");
                }
                Ok(n) => then = self.state.link_received(&buffer[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => socket.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    socket.readable = false;
                    self.state.link_closed(&disk::reason(&error));
                }
            }
            self.sockets.read_buffer = buffer;
            if then == Then::Wait || self.state.replication.link.step == Step::Connected {
                return;
            }
        }
    }

    fn write_link(&mut self) {
        let Some(socket) = self.sockets.link.as_mut().filter(|s| s.connected) else {
            return;
        };
        if socket.stream.unsent() {
            // What is wrong, the next write or read says.
            let _ = socket.stream.flush();
        }
        let out = &mut self.state.replication.link.out;
        while !out.is_empty() {
            match socket.stream.write(out) {
                Ok(n) => drop(out.drain(..n)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => return self.state.link_closed(&disk::reason(&error)),
            }
        }
    }

    /// The stream comes: the socket is the client's.
    fn hand_over_link(&mut self) {
        let link = &mut self.state.replication.link;
        let (Some(key), Some(mut socket)) = (link.client, self.sockets.link.take()) else {
            return;
        };
        let rest = std::mem::take(&mut link.rest);
        let registry = self.sockets.poll.registry();
        let slot = key.slot as usize;
        let token = Token(slot + FIRST_CLIENT);
        let _ = socket.stream.deregister(registry);
        if let Err(error) = socket.stream.register(registry, token, Interest::READABLE) {
            self.state.log.warning(format_args!(
                "Can't create readable event for SYNC: {}",
                disk::reason(&error)
            ));
            return self.state.clients.close_asap(key);
        }
        let Some(client) = self.state.clients.get_mut(key) else {
            return;
        };
        client.fd = socket.stream.descriptor();
        if let Some(stream) = socket.stream.tcp() {
            let text = |address: io::Result<std::net::SocketAddr>| {
                address.map(|a| a.to_string()).unwrap_or_default()
            };
            client.address = text(stream.peer_addr());
            client.local_address = text(stream.local_addr());
        }
        client.query.extend_from_slice(&rest);
        if self.sockets.connections.len() <= slot {
            self.sockets.connections.resize_with(slot + 1, || None);
        }
        self.sockets.connections[slot] = Some(Connection {
            key,
            stream: socket.stream,
            // Under TLS there may be something left that the poll does not know of.
            readable: socket.readable,
            peer_closed: false,
            awaits_room: false,
        });
        self.state.clients.resume(key);
        // What was said to it before it had a socket.
        self.state.clients.wants_write(key);
    }
}
