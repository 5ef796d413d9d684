//! A socket of either family, and what the loop must remember about it.
//!
//! Mirrors: connection.c, `connSocket` and `connUnix`.

use std::io::{self, IoSlice, Read, Write};
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::SockRef;

use crate::clients::ClientKey;

/// A stream of bytes.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A client's socket.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) key: ClientKey,
    pub(super) stream: Stream,
    /// The poll told of readability and the socket was not drained since: edge-triggered polling
    /// will not tell again.
    pub(super) readable: bool,
    /// The poll told that the peer sends no more. What it sent before is still read; without this mark a
    /// short read would be taken for a drained socket, and the end behind it never be seen.
    pub(super) peer_closed: bool,
    /// The last write was cut short, and the poll is asked to tell when there is room.
    pub(super) awaits_room: bool,
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buf),
            Stream::Unix(stream) => stream.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(buf),
            Stream::Unix(stream) => stream.write(buf),
        }
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write_vectored(bufs),
            Stream::Unix(stream) => stream.write_vectored(bufs),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Stream {
    fn register(&mut self, registry: &Registry, token: Token, what: Interest) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.register(registry, token, what),
            Stream::Unix(stream) => stream.register(registry, token, what),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, what: Interest) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.reregister(registry, token, what),
            Stream::Unix(stream) => stream.reregister(registry, token, what),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.deregister(registry),
            Stream::Unix(stream) => stream.deregister(registry),
        }
    }
}

impl Stream {
    /// Lets reads wait for bytes, and writes for room but not for longer than this; or none of them wait.
    pub(super) fn set_blocking(&self, send_timeout: Option<Duration>) -> io::Result<()> {
        let socket = match self {
            Stream::Tcp(stream) => SockRef::from(stream),
            Stream::Unix(stream) => SockRef::from(stream),
        };
        socket.set_write_timeout(send_timeout)?;
        socket.set_nonblocking(send_timeout.is_none())
    }

    /// The descriptor, as CLIENT LIST shows it.
    pub(super) fn descriptor(&self) -> i32 {
        use std::os::fd::AsRawFd;
        match self {
            Stream::Tcp(stream) => stream.as_raw_fd(),
            Stream::Unix(stream) => stream.as_raw_fd(),
        }
    }
}
