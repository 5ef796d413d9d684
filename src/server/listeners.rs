//! All the sockets a server listens on, and how they follow the configuration.
//!
//! The loop accepts from them; CONFIG SET moves them, through the [`Host`] handle the state holds. Both
//! run on the one thread that owns the data, in turn, so one cell is all the sharing needs.
//!
//! Mirrors: `changeListener` and `listenToPort` of networking.c and server.c. Differs: on another port
//! the new sockets are open before the old ones close, so that there is no moment without any.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mio::{Registry, Token};

use super::connection::Stream;
use super::debug_session;
use super::event_loop::{Sockets, Turn};
use super::listener::{self, Listener, Peer};
use crate::clients::ClientKey;
use crate::config::Config;
use crate::config::disk::reason;
use crate::scripting::Apart;
use crate::state::{Host, State};
use crate::sys::loan::Loan;
use crate::tls;

/// How long the debugger waits for a client that does not read.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// How the line of a Unix socket that cannot be opened begins.
pub(super) const UNIX_FAILED: &str = "Failed opening Unix socket";

/// The listening sockets of a server; a token's number is a place in the list.
#[derive(Debug)]
pub(super) struct Listeners {
    registry: Registry,
    list: Vec<Listener>,
    port: u16,
    tls_port: u16,
    /// The settings of new connections under TLS; existing connections keep theirs.
    tls: Option<Arc<rustls::ServerConfig>>,
    /// The settings of new connections on the bus: a peer must show a certificate.
    bus_tls: Option<Arc<rustls::ServerConfig>>,
}

/// The same sockets, held by the loop and by the state.
#[derive(Clone, Debug)]
pub(super) struct SharedListeners {
    pub(super) list: Rc<RefCell<Listeners>>,
    /// All sockets, while a command runs.
    pub(super) lent: Rc<Loan<Sockets>>,
    /// Sessions of the debugger on threads of their own.
    sessions: debug_session::Count,
}

impl SharedListeners {
    pub(super) fn new(registry: Registry) -> Self {
        let listeners = Listeners {
            registry,
            list: Vec::new(),
            port: 0,
            tls_port: 0,
            tls: None,
            bus_tls: None,
        };
        SharedListeners {
            list: Rc::new(RefCell::new(listeners)),
            lent: Rc::default(),
            sessions: debug_session::Count::default(),
        }
    }
}

impl Host for SharedListeners {
    fn listen(&mut self, config: &Config) -> Result<u16, String> {
        self.list.borrow_mut().follow(config, false)
    }

    fn follow_tls(&mut self, config: &Config) -> Result<(), String> {
        self.list.borrow_mut().follow_tls(config)
    }

    fn serve(&mut self, state: &mut State) {
        self.lent
            .with(|sockets| Turn { state, sockets }.serve_others());
    }

    fn collect_packets(&mut self, client: ClientKey) {
        self.lent.with(|sockets| {
            let connection = sockets.connections.get(client.slot as usize);
            let connection = connection.and_then(Option::as_ref);
            let stream = connection.filter(|c| c.key == client)?.stream.tcp()?;
            // More packets than there could be are no harm.
            stream.set_nodelay(false).ok()
        });
    }

    fn hang_up(&mut self, client: ClientKey) {
        self.lent.with(|sockets| {
            let connection = sockets.connections.get(client.slot as usize);
            let connection = connection.and_then(Option::as_ref);
            let stream = connection.filter(|c| c.key == client)?.stream.tcp()?;
            // The peer may have done so before.
            stream.shutdown(std::net::Shutdown::Both).ok()
        });
    }

    fn send_now(&mut self, client: ClientKey, bytes: &[u8]) -> bool {
        let sent = self.waiting(client, |stream| stream.write_all(bytes));
        sent.is_some()
    }

    fn debug_apart(&mut self, client: ClientKey, session: Apart) -> Result<(), String> {
        let socket = self.lent.with(|sockets| {
            let connection = sockets.connections.get(client.slot as usize);
            let connection = connection.and_then(Option::as_ref);
            connection.filter(|c| c.key == client)?.stream.twin()
        });
        let socket = socket
            .flatten()
            .ok_or("this connection cannot be handed to a session of its own: it is under TLS")?;
        debug_session::start(session, socket, &self.sessions)
    }

    fn wait_for(&mut self, client: ClientKey, buf: &mut [u8]) -> usize {
        // A signal ends the wait too: the server may have to leave.
        self.waiting(client, |stream| stream.read(buf)).unwrap_or(0)
    }
}

impl SharedListeners {
    /// Uses a client's socket such that the process waits for it.
    fn waiting<R>(
        &self,
        client: ClientKey,
        f: impl FnOnce(&mut Stream) -> io::Result<R>,
    ) -> Option<R> {
        let talked = self.lent.with(|sockets| {
            let connection = sockets.connections.get_mut(client.slot as usize);
            let connection = connection.and_then(Option::as_mut);
            let stream = &mut connection.filter(|c| c.key == client)?.stream;
            stream.set_blocking(Some(SEND_TIMEOUT)).ok()?;
            let result = f(stream);
            stream.set_blocking(None).ok()?;
            result.ok()
        });
        talked.flatten()
    }
}

impl Listeners {
    /// Listens where the configuration says and returns the TCP port; `any_port` lets the system pick
    /// one in the place of 0. The error is the line for the log; there may then be no TCP socket left.
    pub(super) fn follow(&mut self, config: &Config, any_port: bool) -> Result<u16, String> {
        // On the same port an old socket may stand in the way of a new one.
        let old = [self.port, self.tls_port];
        let reused = |port: u16| port != 0 && old.contains(&port);
        if config.port == self.port || reused(config.port) || reused(config.tls_port) {
            self.close_tcp();
        }
        let (mut fresh, port) = open_tcp(config, config.port, any_port, false)?;
        let (secured, tls_port) = open_tcp(config, config.tls_port, false, true)?;
        fresh.extend(secured);
        if let (Some(path), false) = (&config.unixsocket, self.has_unix()) {
            let opened = Listener::unix(
                &config.dir.join(path),
                config.unixsocketperm,
                config.tcp_backlog,
            );
            let failed = |e| format!("{UNIX_FAILED}: bind: {}", reason(&e));
            fresh.push(opened.map_err(failed)?);
        }
        self.close_tcp();
        self.list.extend(fresh);
        for (place, listener) in self.list.iter_mut().enumerate() {
            let token = Token(place);
            // One that stays was registered under another place.
            let _ = listener.deregister(&self.registry);
            let registered = listener.register(&self.registry, token);
            registered.map_err(|e| format!("Failed listening: {}", reason(&e)))?;
        }
        (self.port, self.tls_port) = (port, tls_port);
        Ok(port)
    }

    /// Makes the settings for connections under TLS to come, if there can be any. The error is the line for the log.
    pub(super) fn follow_tls(&mut self, config: &Config) -> Result<(), String> {
        let wanted = config.tls_port != 0 || config.tls_replication || config.tls_cluster;
        self.tls = match wanted {
            true => Some(tls::server_settings(config)?),
            false => None,
        };
        self.bus_tls = match config.tls_cluster {
            true => Some(tls::bus_settings(config)?),
            false => None,
        };
        Ok(())
    }

    /// Opens the bus on the addresses of `bind`, at a port or at one that the system picks (0). Returns the port. The
    /// error is the line for the log.
    #[doc(alias = "clusterInitLast")]
    pub(super) fn open_bus(&mut self, config: &Config, mut port: u16) -> Result<u16, String> {
        for word in &config.bind {
            let (addresses, optional) =
                listener::resolve(word, port).map_err(|error| could_not(word, port, &error))?;
            for mut address in addresses {
                address.set_port(port);
                match Listener::bus(address, config.tcp_backlog) {
                    Ok((mut listener, opened)) => {
                        listener.set_mark(config.socket_mark_id);
                        port = opened;
                        let token = Token(self.list.len());
                        let registered = listener.register(&self.registry, token);
                        registered.map_err(|e| format!("Failed listening: {}", reason(&e)))?;
                        self.list.push(listener);
                    }
                    Err(error) if optional && listener::is_absent(&error) => {}
                    Err(error) => return Err(could_not(word, port, &error)),
                }
            }
        }
        Ok(port)
    }

    /// Whether a place is a listener of the bus.
    pub(super) fn is_bus(&self, place: usize) -> bool {
        matches!(self.list.get(place), Some(Listener::Bus(_)))
    }

    /// Whether connections that come to a place are under TLS.
    pub(super) fn is_tls(&self, place: usize) -> bool {
        matches!(self.list.get(place), Some(Listener::Tls(_)))
    }

    /// Whether TCP is listened on without TLS, and with it.
    pub(super) fn families(&self) -> (bool, bool) {
        let has = |wanted: fn(&Listener) -> bool| self.list.iter().any(wanted);
        let tcp = has(|listener| matches!(listener, Listener::Tcp(_)));
        (tcp, has(|listener| matches!(listener, Listener::Tls(_))))
    }

    fn has_unix(&self) -> bool {
        self.list.iter().any(|l| matches!(l, Listener::Unix(_)))
    }

    fn close_tcp(&mut self) {
        let registry = &self.registry;
        self.list.retain_mut(|listener| match listener {
            Listener::Unix(_) | Listener::Bus(_) => true,
            Listener::Tcp(_) | Listener::Tls(_) => {
                let _ = listener.deregister(registry);
                false
            }
        });
    }

    /// The TCP addresses listened on.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.list.iter().filter_map(Listener::tcp_address).collect()
    }

    /// Takes a connection waiting at a place; `None` when nothing listens there any more.
    pub(super) fn accept(&self, place: usize, unix_path: Option<&str>) -> Option<io::Result<Peer>> {
        self.list.get(place).map(|listener| match listener {
            // The kind of new connections follows `tls-cluster`; those that stand keep theirs.
            Listener::Bus(_) => listener.accept(unix_path, self.bus_tls.as_ref()),
            listener => listener.accept(unix_path, self.tls.as_ref()),
        })
    }

    pub(super) fn close_all(&mut self) {
        self.list.clear();
    }
}

/// Opens a socket per address of `bind`; an address with a dash may be absent.
fn open_tcp(
    config: &Config,
    mut port: u16,
    any_port: bool,
    tls: bool,
) -> Result<(Vec<Listener>, u16), String> {
    let mut fresh = Vec::new();
    if port == 0 && !any_port {
        return Ok((fresh, port));
    }
    for word in &config.bind {
        let (addresses, optional) =
            listener::resolve(word, port).map_err(|error| could_not(word, port, &error))?;
        for address in addresses {
            match Listener::tcp(address, config.tcp_backlog, tls) {
                Ok(listener) => {
                    listener.set_mark(config.socket_mark_id);
                    if port == 0 {
                        port = listener.tcp_address().map_or(0, |a| a.port());
                    }
                    fresh.push(listener);
                }
                Err(error) if optional && listener::is_absent(&error) => {}
                Err(error) => return Err(could_not(word, port, &error)),
            }
        }
    }
    Ok((fresh, port))
}

fn could_not(word: &str, port: u16, error: &io::Error) -> String {
    let word = word.trim_start_matches('-');
    format!(
        "Warning: Could not create server TCP listening socket {word}:{port}: bind: {}",
        reason(error)
    )
}
