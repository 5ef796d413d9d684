//! Listening sockets: TCP on every `bind` address, bare and under TLS, one Unix socket, accepted fairly.
//!
//! Mirrors: `listenToPort`, `acceptTcpHandler` and `acceptCommonHandler` (networking.c), anet.c.

use crate::sys::files::{self, Disk};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use super::connection::Stream;
use super::tls::TlsStream;

/// A listening socket.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Tls(TcpListener),
    Unix(UnixListener),
    /// The bus of a cluster.
    Bus(TcpListener),
}

/// A connection that was just accepted, with the address at its other end.
pub(super) struct Peer {
    pub(super) stream: Stream,
    pub(super) address: String,
    pub(super) local: String,
    /// The address is a loopback one, or the socket a Unix one.
    pub(super) is_local: bool,
}

impl Listener {
    /// One TCP socket, whose connections are under TLS or not. Errors are the system's.
    pub(super) fn tcp(address: SocketAddr, backlog: u32, tls: bool) -> io::Result<Listener> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            // So that the same port can serve both families through two sockets.
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(backlog.min(i32::MAX as u32) as i32)?;
        let listener = TcpListener::from_std(socket.into());
        Ok(match tls {
            false => Listener::Tcp(listener),
            true => Listener::Tls(listener),
        })
    }

    /// A socket of the bus, with the port it got.
    pub(super) fn bus(address: SocketAddr, backlog: u32) -> io::Result<(Listener, u16)> {
        match Listener::tcp(address, backlog, false)? {
            Listener::Tcp(listener) => {
                let port = listener.local_addr()?.port();
                Ok((Listener::Bus(listener), port))
            }
            other => Ok((other, address.port())),
        }
    }

    /// Marks what it sends for the rules of the machine's network (`socket-mark-id`); 0 for no mark. Only the privileged
    /// may, and only Linux knows marks; elsewhere nothing happens, as in Redis.
    #[doc(alias = "anetSetSockMarkId")]
    pub(super) fn set_mark(&self, mark: u32) {
        #[cfg(target_os = "linux")]
        if let (Listener::Tcp(listener) | Listener::Tls(listener) | Listener::Bus(listener), 1..) =
            (self, mark)
        {
            let _ = socket2::SockRef::from(listener).set_mark(mark);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = mark;
    }

    /// Listens on a Unix socket; a stale one of the same name is replaced. No client can connect before the file has
    /// the mode that is asked for (CVE-2023-45145): it is bound with no more rights than that, and listens last.
    pub(super) fn unix(path: &Path, mode: u32, backlog: u32) -> io::Result<Listener> {
        if path.symlink_metadata().is_ok() {
            Disk::machine().remove_file(path)?;
        }
        let socket = bound(path, mode)?;
        if mode != 0 {
            // The umask may have removed permissions at bind, so they are set again.
            Disk::machine().set_mode(path, mode)?;
        }
        socket.listen(backlog.min(i32::MAX as u32) as i32)?;
        Ok(Listener::Unix(UnixListener::from_std(socket.into())))
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Listener::Tcp(listener) | Listener::Tls(listener) | Listener::Bus(listener) => {
                registry.register(listener, token, Interest::READABLE)
            }
            Listener::Unix(listener) => registry.register(listener, token, Interest::READABLE),
        }
    }

    pub(super) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Listener::Tcp(listener) | Listener::Tls(listener) | Listener::Bus(listener) => {
                registry.deregister(listener)
            }
            Listener::Unix(listener) => registry.deregister(listener),
        }
    }

    /// The address listened on, when it is a TCP one.
    pub(super) fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Tls(_) | Listener::Unix(_) | Listener::Bus(_) => None,
        }
    }

    /// Takes one waiting connection; `WouldBlock` when there is none.
    pub(super) fn accept(
        &self,
        unix_path: Option<&str>,
        tls: Option<&Arc<rustls::ServerConfig>>,
    ) -> io::Result<Peer> {
        match self {
            Listener::Tcp(listener) | Listener::Tls(listener) | Listener::Bus(listener) => {
                let (stream, address) = listener.accept()?;
                stream.set_nodelay(true)?;
                let local = stream
                    .local_addr()
                    .map(|a| a.to_string())
                    .unwrap_or_default();
                let is_local = address.ip().is_loopback();
                let address = address.to_string();
                let stream = match (self, tls) {
                    (Listener::Tls(_) | Listener::Bus(_), Some(settings)) => {
                        let stream = TlsStream::accept(stream, settings.clone())?;
                        Stream::Tls(Box::new(stream))
                    }
                    _ => Stream::Tcp(stream),
                };
                Ok(Peer {
                    stream,
                    address,
                    local,
                    is_local,
                })
            }
            Listener::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                let address = format!("{}:0", unix_path.unwrap_or_default());
                let stream = Stream::Unix(stream);
                Ok(Peer {
                    stream,
                    local: address.clone(),
                    address,
                    is_local: true,
                })
            }
        }
    }
}

/// A Unix socket with a file, which does not listen yet: a client that connects is refused. The file has no right that
/// is not in `mode`, where one is asked for. On Linux the file takes its mode from the socket, less the umask; the
/// umask itself belongs to the whole process, with all its servers, and is left alone.
fn bound(path: &Path, mode: u32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let socket = match mode {
        0 => socket,
        // Elsewhere sockets have no mode of their own; there the order alone protects.
        _ => Socket::from(files::with_mode(OwnedFd::from(socket), mode)),
    };
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    Ok(socket)
}

/// The addresses a `bind` word means, and whether they may be missing on this machine (a leading `-`).
pub(super) fn resolve(word: &str, port: u16) -> io::Result<(Vec<SocketAddr>, bool)> {
    let (name, optional) = match word.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (word, false),
    };
    let addresses = match name {
        "*" => vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)],
        "::*" => vec![SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)],
        _ => (name, port).to_socket_addrs()?.take(1).collect(),
    };
    Ok((addresses, optional))
}

/// Whether an error on an optional address means that the family or address is not there, which is
/// what "optional" forgives.
pub(super) fn is_absent(error: &io::Error) -> bool {
    let absent = [
        libc::EADDRNOTAVAIL,
        libc::EAFNOSUPPORT,
        libc::EPFNOSUPPORT,
        libc::EPROTONOSUPPORT,
        libc::ESOCKTNOSUPPORT,
        libc::ENOPROTOOPT,
    ];
    error
        .raw_os_error()
        .is_some_and(|code| absent.contains(&code))
}

/// Keepalive as `tcp-keepalive` asks: first probe after so many seconds, then every third of it.
pub(super) fn set_keepalive(stream: &Stream, seconds: u32) {
    if let (Some(stream), true) = (stream.tcp(), seconds > 0) {
        let idle = std::time::Duration::from_secs(seconds.into());
        let step = std::time::Duration::from_secs((seconds / 3).max(1).into());
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(idle)
            .with_interval(step);
        // Keepalive is a courtesy; a socket without it serves as well.
        let _ = socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use std::os::unix::net::UnixStream;

    /// CVE-2023-45145: between `bind` and `chmod` the socket was open to every user that the umask lets in.
    #[test]
    fn a_unix_socket_is_never_open_wider_than_asked_for() {
        let dir = std::env::temp_dir().join(format!("oxidis-socket-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let path = dir.join("s");
        let mode = || path.metadata().expect("it is bound").permissions().mode() & 0o777;
        for wanted in [0o600, 0o660, 0o777, 0o200] {
            let _ = std::fs::remove_file(&path);
            let socket = bound(&path, wanted).expect("bound");
            if cfg!(target_os = "linux") {
                assert_eq!(mode() & !wanted, 0, "{:o} for {wanted:o}", mode());
            }
            // A connection is refused as long as the socket does not listen.
            assert!(UnixStream::connect(&path).is_err());
            drop(socket);

            let listener = Listener::unix(&path, wanted, 5).expect("it listens");
            assert_eq!(mode(), wanted);
            assert!(UnixStream::connect(&path).is_ok());
            drop(listener);
        }
        std::fs::remove_dir_all(&dir).expect("removed");
    }
}
