//! Connections to other servers that the calling thread waits for, each wait bounded.
//!
//! ```text
//!   Peers   "10.0.0.7:6379" -> Peer    at most 64, closed after ten idle seconds
//!   Peer    connect(timeout)  send(bytes, timeout)  line(timeout)
//! ```
//!
//! Only MIGRATE talks like this: the keys it sends may not change until the other side has them, so its client, and
//! with it everybody, waits. A line, and each 64 KiB sent, has the whole timeout to itself, as in Redis; but a peer
//! that drips out one byte at a time does not begin it anew.
//!
//! Invariant: a peer that failed once is not asked again; its owner takes it out with [`Peers::close`].
//!
//! Mirrors: syncio.c and the socket cache of `migrateGetSocket()` (cluster.c).

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::util::rng::Rng;

/// Connections kept at most.
#[doc(alias = "MIGRATE_SOCKET_CACHE_ITEMS")]
const MOST: usize = 64;
/// Unused for longer than this, a connection is closed.
#[doc(alias = "MIGRATE_SOCKET_CACHE_TTL")]
const IDLE: Duration = Duration::from_secs(10);
/// So much is sent within one timeout.
const CHUNK: usize = 64 * 1024;
/// A longer line is an error.
const LONGEST_LINE: usize = 16 * 1024;

/// Bytes both ways, under TLS or not.
#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn new(socket: TcpStream, tls: Option<&Arc<ClientConfig>>) -> io::Result<Stream> {
        socket.set_nodelay(true)?;
        let Some(settings) = tls else {
            return Ok(Stream::Plain(socket));
        };
        let name = ServerName::IpAddress(socket.peer_addr()?.ip().into());
        let session = ClientConnection::new(settings.clone(), name).map_err(io::Error::other)?;
        Ok(Stream::Tls(Box::new(StreamOwned::new(session, socket))))
    }

    /// Lets nothing wait beyond this moment. A handshake reads and writes, whatever was asked for.
    fn wait_until(&self, end: Instant) -> io::Result<()> {
        let socket = match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => &stream.sock,
        };
        let left = left(end)?;
        socket.set_read_timeout(Some(left))?;
        socket.set_write_timeout(Some(left))
    }

    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(room),
            Stream::Tls(stream) => stream.read(room),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    /// Sends what TLS keeps back.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(_) => Ok(()),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub struct Peer {
    stream: Stream,
    /// Read but not taken yet.
    read: Vec<u8>,
    /// The database selected there, if that is known.
    pub db: Option<i64>,
    last_used: Instant,
}

impl Peer {
    /// Connects. A name may stand for several addresses; they share the time.
    fn connect(
        host: &str,
        port: u16,
        timeout: Duration,
        tls: Option<&Arc<ClientConfig>>,
    ) -> io::Result<Peer> {
        let end = Instant::now() + timeout;
        let mut last = io::Error::from(ErrorKind::AddrNotAvailable);
        for address in (host, port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, left(end)?) {
                Ok(stream) => {
                    return Ok(Peer {
                        stream: Stream::new(stream, tls)?,
                        read: Vec::new(),
                        db: None,
                        last_used: Instant::now(),
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Sends all of it.
    #[doc(alias = "syncWrite")]
    pub fn send(&mut self, bytes: &[u8], timeout: Duration) -> io::Result<()> {
        for chunk in bytes.chunks(CHUNK) {
            let end = Instant::now() + timeout;
            let mut rest = chunk;
            while !rest.is_empty() {
                self.stream.wait_until(end)?;
                match self.stream.write(rest) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(n) => rest = &rest[n..],
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            self.stream.flush()?;
        }
        Ok(())
    }

    /// The next line, without its end.
    #[doc(alias = "syncReadLine")]
    pub fn line(&mut self, timeout: Duration) -> io::Result<Vec<u8>> {
        let end = Instant::now() + timeout;
        let mut looked_at = 0;
        loop {
            if let Some(at) = self.read[looked_at..].iter().position(|&b| b == b'\n') {
                let mut line: Vec<u8> = self.read.drain(..=looked_at + at).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(line);
            }
            looked_at = self.read.len();
            if looked_at > LONGEST_LINE {
                return Err(ErrorKind::InvalidData.into());
            }
            self.stream.wait_until(end)?;
            let mut room = [0; 4096];
            match self.stream.read(&mut room) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.read.extend_from_slice(&room[..n]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The time until `end`; none left is an error.
fn left(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    Ok(left)
}

/// Whether an error says that time ran out.
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

/// Connections that may be used again.
#[derive(Debug, Default)]
pub struct Peers(BTreeMap<String, Peer>);

impl Peers {
    /// How many there are (`migrate_cached_sockets`).
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The connection to a server, a new one if there is none; that one is under TLS if there are settings for it.
    #[doc(alias = "migrateGetSocket")]
    pub fn get(
        &mut self,
        host: &str,
        port: u16,
        timeout: Duration,
        tls: Option<&Arc<ClientConfig>>,
        rng: &mut Rng,
    ) -> io::Result<&mut Peer> {
        let name = format!("{host}:{port}");
        if !self.0.contains_key(&name) {
            if self.0.len() >= MOST {
                let victim = rng.below(self.0.len() as u64) as usize;
                if let Some(victim) = self.0.keys().nth(victim).cloned() {
                    self.0.remove(&victim);
                }
            }
            let peer = Peer::connect(host, port, timeout, tls)?;
            self.0.insert(name.clone(), peer);
        }
        let peer = self.0.get_mut(&name).ok_or(ErrorKind::NotFound)?;
        peer.last_used = Instant::now();
        Ok(peer)
    }

    /// Closes the connection to a server.
    #[doc(alias = "migrateCloseSocket")]
    pub fn close(&mut self, host: &str, port: u16) {
        self.0.remove(&format!("{host}:{port}"));
    }

    /// Closes what was idle for too long. O(connections).
    #[doc(alias = "migrateCloseTimedoutSockets")]
    pub fn close_idle(&mut self) {
        self.0.retain(|_, peer| peer.last_used.elapsed() <= IDLE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn lines_come_and_time_runs_out() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (mut peers, mut rng) = (Peers::default(), Rng::new(1));
        let second = Duration::from_secs(1);
        let peer = peers
            .get("127.0.0.1", port, second, None, &mut rng)
            .expect("connects");
        let (mut other, _) = listener.accept().expect("a caller");
        other.write_all(b"+one\r\n-two\n+thr").expect("is read");
        assert_eq!(peer.line(second).expect("a line"), b"+one");
        assert_eq!(peer.line(second).expect("a line"), b"-two");
        let late = peer.line(Duration::from_millis(20)).expect_err("no end");
        assert!(is_timeout(&late));
        drop(other);
        assert!(!is_timeout(&peer.line(second).expect_err("closed")));
        assert_eq!(peers.len(), 1);
        peers.close("127.0.0.1", port);
        assert!(peers.is_empty());
    }
}
