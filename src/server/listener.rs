//! Listening sockets: TCP on every `bind` address, bare and under TLS, one Unix socket, accepted fairly.
//!
//! Mirrors: `listenToPort`, `acceptTcpHandler` and `acceptCommonHandler` (networking.c), anet.c.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
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
}

/// Who is at the other end.
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

    /// Marks what it sends for the rules of the machine's network (`socket-mark-id`); 0 for no mark. Only the privileged
    /// may, and only Linux knows marks; elsewhere nothing happens, as in Redis.
    #[doc(alias = "anetSetSockMarkId")]
    pub(super) fn set_mark(&self, mark: u32) {
        #[cfg(target_os = "linux")]
        if let (Listener::Tcp(listener) | Listener::Tls(listener), 1..) = (self, mark) {
            let _ = socket2::SockRef::from(listener).set_mark(mark);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = mark;
    }

    /// The Unix socket; a stale one of the same name is replaced.
    pub(super) fn unix(path: &Path, mode: u32, backlog: u32) -> io::Result<Listener> {
        if path.exists() {
            std::fs::remove_file(path)?;
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&socket2::SockAddr::unix(path)?)?;
        socket.listen(backlog.min(i32::MAX as u32) as i32)?;
        if mode != 0 {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        }
        Ok(Listener::Unix(UnixListener::from_std(socket.into())))
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Listener::Tcp(listener) | Listener::Tls(listener) => {
                registry.register(listener, token, Interest::READABLE)
            }
            Listener::Unix(listener) => registry.register(listener, token, Interest::READABLE),
        }
    }

    pub(super) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Listener::Tcp(listener) | Listener::Tls(listener) => registry.deregister(listener),
            Listener::Unix(listener) => registry.deregister(listener),
        }
    }

    /// The address listened on, when it is a TCP one.
    pub(super) fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Tls(_) | Listener::Unix(_) => None,
        }
    }

    /// Takes one waiting connection; `WouldBlock` when there is none.
    pub(super) fn accept(
        &self,
        unix_path: Option<&str>,
        tls: Option<&Arc<rustls::ServerConfig>>,
    ) -> io::Result<Peer> {
        match self {
            Listener::Tcp(listener) | Listener::Tls(listener) => {
                let (stream, address) = listener.accept()?;
                stream.set_nodelay(true)?;
                let local = stream
                    .local_addr()
                    .map(|a| a.to_string())
                    .unwrap_or_default();
                let is_local = address.ip().is_loopback();
                let address = address.to_string();
                let stream = match (self, tls) {
                    (Listener::Tls(_), Some(settings)) => {
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

/// What a `bind` word means: addresses, and whether it may fail to be there (a leading `-`).
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
