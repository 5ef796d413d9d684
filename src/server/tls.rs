//! A TCP connection under TLS, which reads and writes like one without.
//!
//! ```text
//!   read   socket ─► session: records ─► plain bytes ─► buf     until buf is full or the socket is empty
//!   write  buf ─► session: records ─► socket                    what the socket does not take stays here
//! ```
//!
//! The poll is edge-triggered, and the loop takes a short read for a drained socket. So one read here goes on until the
//! socket is really empty: records that were read but not decrypted would never be reported again. Bytes that must be
//! sent to go on (the handshake, an alert) are sent from inside a read; the loop asks [`TlsStream::unsent`] whether the
//! socket took all of them, and waits for room if not.
//!
//! The settings belong to the connection: CONFIG SET makes new ones for those who come later.
//!
//! Mirrors: the connections of tls.c; what they are made with is in [`crate::tls`]. Differs: rustls instead of OpenSSL, a state machine that never touches the socket by itself; there
//! is no list of connections with bytes the poll does not know of.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, Error, ServerConfig, ServerConnection};

/// A connection.
#[derive(Debug)]
pub(super) struct TlsStream {
    socket: TcpStream,
    session: Connection,
    /// The other end will send no more, or nothing more that can be understood.
    ended: bool,
    /// The loop has seen that the handshake is over.
    told: bool,
    /// The socket waits for bytes.
    waiting: bool,
}

impl TlsStream {
    /// The server's end of a new connection.
    pub(super) fn accept(socket: TcpStream, settings: Arc<ServerConfig>) -> io::Result<TlsStream> {
        let session = ServerConnection::new(settings).map_err(io::Error::other)?;
        Ok(TlsStream::new(socket, session.into()))
    }

    /// The client's end of a connection that is established; `name` is what the server is asked for by.
    pub(super) fn connect(
        socket: TcpStream,
        settings: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<TlsStream> {
        let session = ClientConnection::new(settings, name).map_err(io::Error::other)?;
        Ok(TlsStream::new(socket, session.into()))
    }

    fn new(socket: TcpStream, session: Connection) -> TlsStream {
        TlsStream {
            socket,
            session,
            ended: false,
            told: false,
            waiting: false,
        }
    }

    /// The socket below.
    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The socket below.
    pub(super) fn socket_mut(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Whether there is something that the socket has not taken yet.
    pub(super) fn unsent(&self) -> bool {
        self.session.wants_write()
    }

    /// Whether the next read has something to tell, although the socket is empty: the end.
    pub(super) fn pending(&self) -> bool {
        self.ended
    }

    /// Whether the two are still coming to terms.
    pub(super) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// Whether reads are to wait for bytes, as the socket does; then they end with the first that come.
    pub(super) fn set_waiting(&mut self, waiting: bool) {
        self.waiting = waiting;
    }

    /// True once, when the handshake is over.
    pub(super) fn just_established(&mut self) -> bool {
        let now = !self.told && !self.session.is_handshaking();
        self.told |= now;
        now
    }

    /// The common name in the certificate of the other end, which was verified.
    pub(super) fn peer_name(&self) -> Option<Vec<u8>> {
        let certificate = self.session.peer_certificates()?.first()?;
        crate::tls::common_name(certificate)
    }

    /// The certificate of the other end, as PEM.
    pub(super) fn peer_certificate(&self) -> Option<String> {
        let certificate = self.session.peer_certificates()?.first()?;
        crate::tls::pem(certificate)
    }

    /// Tells the other end that nothing more will come.
    pub(super) fn farewell(&mut self) {
        if self.is_handshaking() {
            return; // An alert has said it, or it is nobody who would understand.
        }
        self.session.send_close_notify();
        // As much as the socket takes; the server does not wait to send the rest.
        let _ = self.send();
    }

    /// Gives the socket the session's bytes; `WouldBlock` when it does not take all.
    fn send(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends what was left, then lets `write` hand over plain bytes and sends those.
    fn write_with(
        &mut self,
        write: impl FnOnce(&mut Connection) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.send()?;
        let taken = write(&mut self.session)?;
        if taken == 0 {
            // The handshake goes on, and there is no more room for what waits for its end.
            return Err(ErrorKind::WouldBlock.into());
        }
        match self.send() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// Decrypts what the session holds.
    fn process(&mut self) -> io::Result<()> {
        let Err(error) = self.session.process_new_packets() else {
            return Ok(());
        };
        self.ended = true;
        // A peer that does not speak TLS would not understand the alert either.
        let no_tls = self.session.is_handshaking() && matches!(error, Error::InvalidMessage(_));
        if !no_tls {
            let _ = self.send();
        }
        Err(io::Error::new(ErrorKind::InvalidData, error))
    }
}

impl Read for TlsStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.session.reader().read(&mut buf[filled..]) {
                // The other end announced that it has ended (close_notify).
                Ok(0) => self.ended = true,
                Ok(n) => {
                    filled += n;
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // Its socket was closed without a word.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => self.ended = true,
                Err(error) => return Err(error),
            }
            if self.ended || self.waiting && filled > 0 {
                break;
            }
            match self.session.read_tls(&mut self.socket) {
                Ok(0) => self.ended = true,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock && filled > 0 => break,
                Err(error) => return Err(error),
            }
            self.process()?;
            match self.send() {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
        Ok(filled)
    }
}

impl Write for TlsStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_with(|session| session.writer().write(buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_with(|session| session.writer().write_vectored(bufs))
    }

    /// Gives the socket what it did not take before.
    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}
