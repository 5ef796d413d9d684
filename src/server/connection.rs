//! A socket of either family, bare or under TLS, and what the loop must remember about it.
//!
//! Mirrors: connection.c, `connSocket` and `connUnix`, and the choice among them and tls.c.

use std::io::{self, IoSlice, Read, Write};
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::{SockRef, Socket};

use super::tls::TlsStream;
use crate::clients::ClientKey;

/// A stream of bytes.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream>),
}

/// A client's socket.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) key: ClientKey,
    pub(super) stream: Stream,
    /// The poll reported readability and the socket was not drained since: edge-triggered polling
    /// will not tell again.
    pub(super) readable: bool,
    /// The poll reported that the peer sends no more. Bytes sent before that are still read; without this mark a short
    /// read would be taken for a drained socket, and the end behind it never be seen.
    pub(super) peer_closed: bool,
    /// The last write was cut short, and the poll is asked to tell when there is room.
    pub(super) awaits_room: bool,
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buf),
            Stream::Unix(stream) => stream.read(buf),
            Stream::Tls(stream) => stream.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(buf),
            Stream::Unix(stream) => stream.write(buf),
            Stream::Tls(stream) => stream.write(buf),
        }
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write_vectored(bufs),
            Stream::Unix(stream) => stream.write_vectored(bufs),
            Stream::Tls(stream) => stream.write_vectored(bufs),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Tcp(_) | Stream::Unix(_) => Ok(()),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

impl Source for Stream {
    fn register(&mut self, registry: &Registry, token: Token, what: Interest) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.register(registry, token, what),
            Stream::Unix(stream) => stream.register(registry, token, what),
            Stream::Tls(stream) => stream.socket_mut().register(registry, token, what),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, what: Interest) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.reregister(registry, token, what),
            Stream::Unix(stream) => stream.reregister(registry, token, what),
            Stream::Tls(stream) => stream.socket_mut().reregister(registry, token, what),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.deregister(registry),
            Stream::Unix(stream) => stream.deregister(registry),
            Stream::Tls(stream) => stream.socket_mut().deregister(registry),
        }
    }
}

impl Stream {
    /// The TCP socket, if it is one.
    pub(super) fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Stream::Tcp(stream) => Some(stream),
            Stream::Tls(stream) => Some(stream.socket()),
            Stream::Unix(_) => None,
        }
    }

    /// The same socket once more, to be kept when this one is closed. `None` under TLS, whose state is not the
    /// socket's.
    pub(super) fn twin(&self) -> Option<Socket> {
        match self {
            Stream::Tcp(stream) => SockRef::from(stream).try_clone().ok(),
            Stream::Unix(stream) => SockRef::from(stream).try_clone().ok(),
            Stream::Tls(_) => None,
        }
    }

    /// Whether it is under TLS.
    #[inline]
    pub(super) fn is_tls(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }

    /// Whether bytes that were written wait here for room in the socket.
    #[inline]
    pub(super) fn unsent(&self) -> bool {
        match self {
            Stream::Tcp(_) | Stream::Unix(_) => false,
            Stream::Tls(stream) => stream.unsent(),
        }
    }

    /// Whether there is something to read that the socket does not tell of.
    #[inline]
    pub(super) fn pending(&self) -> bool {
        match self {
            Stream::Tcp(_) | Stream::Unix(_) => false,
            Stream::Tls(stream) => stream.pending(),
        }
    }

    /// Says why a connection is not wanted: as much as fits into the socket's buffer. Under TLS nothing can be said
    /// before the handshake.
    pub(super) fn refuse(&mut self, text: &[u8]) {
        if !matches!(self, Stream::Tls(_)) {
            let _ = self.write(text);
        }
    }

    /// Says goodbye, where that is done.
    pub(super) fn farewell(&mut self) {
        if let Stream::Tls(stream) = self {
            stream.farewell();
        }
    }

    /// Lets reads wait for bytes, and writes for room but not for longer than this; or none of them wait.
    pub(super) fn set_blocking(&mut self, send_timeout: Option<Duration>) -> io::Result<()> {
        let socket = match self {
            Stream::Tcp(stream) => SockRef::from(&*stream),
            Stream::Unix(stream) => SockRef::from(&*stream),
            Stream::Tls(stream) => {
                stream.set_waiting(send_timeout.is_some());
                SockRef::from(stream.socket())
            }
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
            Stream::Tls(stream) => stream.socket().as_raw_fd(),
        }
    }
}
