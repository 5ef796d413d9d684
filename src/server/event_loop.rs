//! Wait, read, run, before-sleep, in that order, for ever.
//!
//! Mirrors: `aeMain`, `aeProcessEvents` (ae.c), `beforeSleep` and `afterSleep` (server.c).

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use mio::event::Source as _;
use mio::{Events, Interest, Poll, Token, Waker};

use super::connection::Connection;
use super::io::BATCH;
use super::listener::{self, Peer};
use super::listeners::SharedListeners;
use super::turn;
use super::watched::{FIRST_WATCHED, WatchedFds};
use super::wires::{FIRST_WIRE, WireSockets};
use crate::acl;
use crate::clients;
use crate::clients::{ClientFlags, ClientKey};
use crate::cluster;
use crate::config::Config;
use crate::keyspace;
use crate::modules::{self, EventData, EventId};
use crate::persistence;
use crate::persistence::loading::Slice;
use crate::replication;
use crate::resp::request::{READ_BUFFER, Request};
use crate::shutdown;
use crate::state::Letter;
use crate::state::{ServerRequest, State};
use crate::sys::clock::{self, Clock};
use crate::sys::entropy::Entropy;
use crate::sys::notify::Supervisor;
use crate::wires::WireKey;

/// Tokens below this are listeners and the waker.
pub(super) const FIRST_CLIENT: usize = 64;
const WAKER: Token = Token(FIRST_CLIENT - 1);
/// Turns of the loop at one look at a script beyond its time.
const TURNS_WHILE_BUSY: usize = 4;
/// Events taken from the kernel at once.
const EVENTS: usize = 1024;

/// A server: its sockets and its state.
#[derive(Debug)]
pub struct Server {
    /// Everything but sockets.
    pub state: State,
    pub(super) sockets: Sockets,
}

/// The poll and all that hangs on it.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) poll: Poll,
    pub(super) connections: Vec<Option<Connection>>,
    pub(super) listeners: SharedListeners,
    /// Connections to other servers.
    pub(super) wires: WireSockets,
    /// Descriptors that modules watch.
    pub(super) watched: WatchedFds,
    /// Clients whose socket may hold more than the last read took.
    pub(super) more: Vec<ClientKey>,
    /// Work left in this turn. While a script runs beyond its time, the busy loop takes over this list, for the kernel
    /// tells of each event once.
    due: VecDeque<Due>,
    pub(super) read_buffer: Vec<u8>,
    pub(super) batch: Vec<Request>,
    pub(super) inbox: Receiver<Letter>,
    pub(super) next_cron: Instant,
    pub(super) cron_runs: u64,
    /// Listeners that may have more connections waiting.
    pub(super) accepting: Vec<usize>,
    /// Set by a signal or a command: the code to leave with.
    exit: Option<i32>,
    /// Lines for the log once the data set is loaded.
    pub(super) announcements: Vec<String>,
    /// The supervisor to tell that clients are served.
    pub(super) supervisor: Option<Supervisor>,
    /// This server is the process: it answers to signals.
    pub(super) owns_process: bool,
}

/// Something for one turn of the loop.
#[derive(Clone, Copy, Debug)]
enum Due {
    /// A connection became readable, writable, or both.
    Ready {
        slot: usize,
        reads: bool,
        writes: bool,
    },
    /// A client may have more to read.
    More(ClientKey),
    /// A listener may have connections.
    Accept(usize),
    /// A wire is connected, or became readable, writable, or both.
    Wire {
        key: WireKey,
        reads: bool,
        writes: bool,
    },
}

/// One turn of the loop at work: the state and the sockets side by side. While a command runs, the
/// sockets are lent to [`Host`](crate::state::Host), so that a script beyond its time can have others served.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    pub(super) state: &'a mut State,
    pub(super) sockets: &'a mut Sockets,
}

impl Server {
    /// A server that does not listen yet. Errors are the system's.
    pub fn new(config: Config) -> io::Result<Server> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (mailbox, inbox) = crate::state::Mailbox::new(Some(waker));
        let clock = Clock::machine();
        let mut state = State::new(
            config,
            clock,
            Entropy::System,
            mailbox,
            crate::commands::GROUPS,
        );
        if state.config.sentinel {
            state.commands = crate::commands::sentinel::table();
        }
        let listeners = SharedListeners::new(poll.registry().try_clone()?);
        state.host = Some(Box::new(listeners.clone()));
        modules::act::install(&mut state);
        let mut batch = Vec::new();
        batch.resize_with(BATCH, Request::default);
        let sockets = Sockets {
            poll,
            connections: Vec::new(),
            listeners,
            wires: WireSockets::default(),
            watched: WatchedFds::default(),
            more: Vec::new(),
            due: VecDeque::new(),
            read_buffer: vec![0; READ_BUFFER],
            batch,
            inbox,
            next_cron: clock::instant(),
            cron_runs: 0,
            accepting: Vec::new(),
            exit: None,
            announcements: Vec::new(),
            supervisor: None,
            owns_process: false,
        };
        Ok(Server { state, sockets })
    }

    /// Lets signals end this server.
    pub fn own_process(&mut self) {
        self.sockets.owns_process = true;
    }

    /// Follows the TLS options of the configuration. The error is the line for the log.
    pub fn follow_tls(&mut self) -> Result<(), String> {
        let mut listeners = self.sockets.listeners.list.borrow_mut();
        listeners.follow_tls(&self.state.config)
    }

    /// Whether TCP is listened on without TLS, and with it.
    pub(super) fn families(&self) -> (bool, bool) {
        self.sockets.listeners.list.borrow().families()
    }

    /// Listens where the configuration says; `any_port` lets the system pick the TCP port. The error is
    /// the line for the log.
    pub fn listen(&mut self, any_port: bool) -> Result<(), String> {
        let mut listeners = self.sockets.listeners.list.borrow_mut();
        self.state.tcp_port = listeners.follow(&self.state.config, any_port)?;
        Ok(())
    }

    /// Opens the bus of a cluster; `any_port` lets the system pick its port where none is configured. The error is the
    /// line for the log.
    #[doc(alias = "clusterInitLast")]
    pub fn listen_bus(&mut self, any_port: bool) -> Result<(), String> {
        let config = &self.state.config;
        if !config.cluster_enabled {
            return Ok(());
        }
        if config.bind.is_empty() {
            return Err(
                "No bind address is configured, but it is required for the Cluster bus.".into(),
            );
        }
        let of_clients = cluster::act::node::client_port(config);
        let port = match any_port && of_clients == 0 && config.cluster_port == 0 {
            true => 0,
            false => cluster::act::node::bus_port(config)
                .ok_or("Redis port number too high for cluster mode.")?,
        };
        let mut listeners = self.sockets.listeners.list.borrow_mut();
        let opened = listeners.open_bus(config, port).map_err(|line| {
            self.state.log.warning(line);
            format!("Failed listening on port {port} (cluster), aborting.")
        });
        self.state.cluster.bus_port = opened?;
        Ok(())
    }

    /// The TCP addresses listened on.
    pub fn addresses(&self) -> Vec<std::net::SocketAddr> {
        self.sockets.listeners.list.borrow().addresses()
    }

    /// Serves until asked to end; returns the exit code.
    pub fn run(&mut self) -> i32 {
        self.turn().run()
    }

    /// Says in the log that clients are served.
    pub(super) fn announce(&mut self) {
        self.turn().announce();
    }

    fn turn(&mut self) -> Turn<'_> {
        Turn {
            state: &mut self.state,
            sockets: &mut self.sockets,
        }
    }
}

impl Turn<'_> {
    fn run(&mut self) -> i32 {
        let mut events = Events::with_capacity(EVENTS);
        let mut awake = None;
        loop {
            self.before_sleep();
            if let Some((since, commands)) = awake {
                let stats = &mut self.state.stats;
                let now = self.state.clock.monotonic_ns();
                stats.eventloop.add(now.saturating_sub(since));
                let ran = stats.commands_processed.saturating_sub(commands);
                stats.commands_per_cycle_max = stats.commands_per_cycle_max.max(ran);
            }
            if let Some(code) = self.sockets.exit {
                self.leave();
                return code;
            }
            self.state
                .tell_modules(EventId::EventLoop, 0, EventData::None);
            let (registry, watched) = (self.sockets.poll.registry(), &mut self.sockets.watched);
            watched.follow(registry, self.state);
            let timeout = self.sleep_time();
            let poll = &mut self.sockets.poll;
            let polled = modules::act::wait(self.state, || poll.poll(&mut events, Some(timeout)));
            match polled {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => events.clear(),
                Err(error) => panic!("the poll failed: {error}"),
            }
            self.state.refresh_clock();
            self.state
                .tell_modules(EventId::EventLoop, 1, EventData::None);
            awake = Some((
                self.state.clock.monotonic_ns(),
                self.state.stats.commands_processed,
            ));
            // Before a SHUTDOWN ABORT that was sent later is read.
            self.note_signal();
            // Work that takes its share of every turn comes first: clients served after it are answered right away.
            keyspace::act::evict::go_on_evicting(self.state);
            self.load();
            self.serve(&events);
            self.sockets.watched.serve(self.state);
            if !self.state.modules.timers.is_empty() {
                let lent = self.sockets.listeners.lent.clone();
                lent.lend(self.sockets, || modules::act::timers::fire(self.state));
            }
            if clock::instant() >= self.sockets.next_cron {
                self.cron();
            }
        }
    }

    fn serve(&mut self, events: &Events) {
        while let Ok(letter) = self.sockets.inbox.try_recv() {
            let lent = self.sockets.listeners.lent.clone();
            lent.lend(self.sockets, || letter(self.state));
        }
        let due = &mut self.sockets.due;
        for event in events {
            match event.token() {
                WAKER => {}
                Token(i) if i >= FIRST_WATCHED => self.sockets.watched.ready = true,
                Token(i) if i >= FIRST_WIRE => {
                    if let Some(key) = self.sockets.wires.key(i - FIRST_WIRE) {
                        due.push_back(Due::Wire {
                            key,
                            reads: event.is_readable() || event.is_read_closed(),
                            writes: event.is_writable(),
                        });
                    }
                }
                Token(i) if i < FIRST_CLIENT => due.push_back(Due::Accept(i)),
                Token(i) => {
                    let slot = i - FIRST_CLIENT;
                    let closed = event.is_read_closed() || event.is_error();
                    // Noted at once: an event in line may be overtaken by the slot's next client.
                    if let Some(Some(connection)) = self.sockets.connections.get_mut(slot) {
                        connection.peer_closed |= closed;
                        due.push_back(Due::Ready {
                            slot,
                            reads: closed || event.is_readable(),
                            writes: event.is_writable(),
                        });
                    }
                }
            }
        }
        // Clients and listeners with more to read had their share in an earlier turn; they queue with the others.
        due.extend(self.sockets.accepting.drain(..).map(Due::Accept));
        due.extend(self.sockets.more.drain(..).map(Due::More));
        while let Some(next) = self.sockets.due.pop_front() {
            match next {
                Due::Accept(i) => self.accept(i),
                Due::More(key) => self.read_client(key),
                Due::Ready {
                    slot,
                    reads,
                    writes,
                } => self.serve_connection(slot, reads, writes),
                Due::Wire { key, reads, writes } => self.wire_event(key, reads, writes),
            }
        }
        self.read_wires();
    }

    fn serve_connection(&mut self, slot: usize, reads: bool, writes: bool) {
        let Some(Some(connection)) = self.sockets.connections.get(slot) else {
            return;
        };
        let key = connection.key;
        if writes && connection.awaits_room {
            self.write_client(key);
        }
        if reads {
            self.read_client(key);
        }
    }

    /// A slice of the data set, if it is being loaded.
    fn load(&mut self) {
        if !persistence::act::loading::can_load(self.state) {
            return;
        }
        // A module that reads a large value may let others be served meanwhile.
        let lent = self.sockets.listeners.lent.clone();
        let slice = lent.lend(self.sockets, || {
            persistence::act::loading::load_slice(self.state)
        });
        match slice {
            Slice::More => {}
            Slice::Done => {
                cluster::act::start::data_loaded(self.state);
                self.announce();
            }
            Slice::Failed => self.sockets.exit = Some(1),
            Slice::OfPrimary(loaded) => {
                // If it failed to load, the primary may send another.
                let ok = loaded.ok;
                replication::act::transfer::primary_loaded(self.state, *loaded);
                if ok {
                    cluster::act::start::data_loaded(self.state);
                    self.announce();
                }
            }
        }
    }

    fn announce(&mut self) {
        for line in self.sockets.announcements.drain(..) {
            self.state.log.notice(line);
        }
        if let Some(supervisor) = &self.sockets.supervisor
            && let Err(error) = supervisor.ready()
        {
            let reason = crate::config::disk::reason(&error);
            self.state
                .log
                .warning(format_args!("Can't tell the supervisor: {reason}"));
        }
    }

    /// Serves others while a command of a client runs for long. That client itself is not read from, and
    /// keeps its place whatever happens to its connection.
    #[doc(alias = "processEventsWhileBlocked")]
    pub(super) fn serve_others(&mut self) {
        // The turn that waits has its buffers in use.
        if self.sockets.read_buffer.is_empty() {
            self.sockets.read_buffer = vec![0; READ_BUFFER];
        }
        if self.sockets.batch.is_empty() {
            self.sockets.batch.resize_with(BATCH, Request::default);
        }
        let mut events = Events::with_capacity(EVENTS);
        for _ in 0..TURNS_WHILE_BUSY {
            match self.sockets.poll.poll(&mut events, Some(Duration::ZERO)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => panic!("the poll failed: {error}"),
            }
            let sockets = &*self.sockets;
            let idle = events.is_empty() && sockets.more.is_empty() && sockets.due.is_empty();
            self.serve(&events);
            cluster::act::carry::tick(self.state);
            self.carry_wires();
            self.resume_clients();
            if self.stop_listening() {
                break;
            }
            for key in self.state.clients.take_pending_write() {
                self.write_client(key);
            }
            let mut kept = None;
            for key in self.state.clients.take_to_close() {
                let who = self.state.clients.get(key);
                if who.is_some_and(|client| client.flags.has(ClientFlags::BUSY)) {
                    kept = Some(key);
                } else {
                    self.close(key);
                }
            }
            if let Some(key) = kept {
                let client = &mut self.state.clients[key];
                client.flags.clear(ClientFlags::CLOSE_ASAP);
                self.state.clients.close_asap(key);
            }
            if idle {
                break;
            }
        }
    }

    fn sleep_time(&self) -> Duration {
        let idle = !persistence::act::loading::can_load(self.state)
            && !self.state.eviction.running
            && !self.sockets.watched.ready
            && self.sockets.more.is_empty()
            && self.sockets.accepting.is_empty()
            && self.state.clients.resumed() == 0
            && !self.state.clients.has_pending_write()
            && !self.wires_are_busy()
            && !replication::act::primary::replicas_wait_for_us(self.state);
        if !idle {
            return Duration::ZERO;
        }
        let until_cron = self
            .sockets
            .next_cron
            .saturating_duration_since(clock::instant());
        let until_cron_ms = until_cron.as_millis() as u64;
        let until_cron = match cluster::act::carry::sleep_ms(self.state, until_cron_ms) {
            Some(ms) => until_cron.min(Duration::from_millis(ms)),
            None => until_cron,
        };
        match turn::next_deadline(self.state) {
            // A wait is over once its deadline has passed. The clock was read a moment ago.
            Some(end) => {
                let us = end.saturating_add(1).saturating_mul(1000) - self.state.clock.unix_us();
                until_cron.min(Duration::from_micros(us.max(0) as u64))
            }
            None => until_cron,
        }
    }

    /// Looks whether a signal asks for the end; [`Turn::before_sleep`] acts on it.
    fn note_signal(&mut self) {
        if self.sockets.owns_process
            && let Some(signal) = crate::sys::signal::take()
        {
            let interrupted = signal == libc::SIGINT;
            self.state.log.warning(format_args!(
                "Received {} scheduling shutdown...",
                if interrupted { "SIGINT" } else { "SIGTERM" }
            ));
            let config = &self.state.config;
            shutdown::act::end_by_signal(
                self.state,
                match interrupted {
                    true => config.shutdown_on_sigint,
                    false => config.shutdown_on_sigterm,
                },
            );
        }
    }

    fn before_sleep(&mut self) {
        self.note_signal();
        if !self.state.debug.pause_cron && self.state.shutdown.is_signalled() {
            shutdown::act::cron(self.state);
        }
        turn::before_sleep(self.state);
        self.tend_wires();
        crate::dispatch::serve_ready(self.state);
        self.resume_clients();
        persistence::act::append::flush(self.state, false);
        replication::act::waiting::serve_ack_waits(self.state);
        if self.state.persistence.failed {
            // The write to the AOF failed under `appendfsync always`, so no reply that would acknowledge it is sent.
            self.sockets.exit = Some(1);
            return;
        }
        if self.stop_listening() {
            // Before the client that asked for the end learns of it, so that it finds the files complete.
            persistence::act::saving::end_persistence(self.state);
        }
        let pending = self.state.clients.take_pending_write();
        for key in &pending {
            self.write_client(*key);
        }
        self.state.clients.reuse_pending_write(pending);
        self.state.eviction.told_bytes = 0;
        for key in self.state.clients.take_to_close() {
            self.close(key);
        }
        clients::act::evict::evict_clients(self.state);
        for key in self.state.clients.take_to_close() {
            self.close(key);
        }
        for request in std::mem::take(&mut self.state.requests) {
            match request {
                ServerRequest::Exit(code) => self.sockets.exit = Some(code),
            }
        }
    }

    /// Whether the server is about to end. If so its listeners are closed: the client that asked for the end
    /// learns of it by its closed connection, and may count on that.
    fn stop_listening(&mut self) -> bool {
        let leaves = |request: &ServerRequest| matches!(request, ServerRequest::Exit(_));
        let leaving = self.state.requests.iter().any(leaves);
        if leaving {
            self.sockets.listeners.list.borrow_mut().close_all();
        }
        leaving
    }

    /// Lets those go on who may; one that must wait again is not met twice.
    fn resume_clients(&mut self) {
        for _ in 0..self.state.clients.resumed() {
            if let Some(key) = self.state.clients.next_resumed() {
                self.resume_client(key);
            }
        }
    }

    fn accept(&mut self, index: usize) {
        if self.sockets.listeners.list.borrow().is_bus(index) {
            return self.accept_links(index);
        }
        let config = &self.state.config;
        let tls = self.sockets.listeners.list.borrow().is_tls(index);
        let budget = match tls {
            false => config.max_new_connections_per_cycle,
            true => config.max_new_tls_connections_per_cycle,
        };
        for _ in 0..budget {
            let unix_path = self.state.config.unixsocket.as_deref();
            let accepted = self
                .sockets
                .listeners
                .list
                .borrow()
                .accept(index, unix_path);
            let Some(accepted) = accepted else {
                return;
            };
            match accepted {
                Ok(peer) => self.welcome(peer),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A connection that died in the queue, or no descriptors left: the next event or the
                // next connection tries again.
                Err(_) => return,
            }
        }
        self.sockets.accepting.push(index);
    }

    fn welcome(&mut self, peer: Peer) {
        let Peer {
            mut stream,
            address,
            local,
            is_local,
        } = peer;
        let config = &self.state.config;
        if self.state.clients.connected() >= config.maxclients as usize {
            // As much as fits into the socket's buffer; the server does not wait to send the rest.
            stream.refuse(b"-ERR max number of clients reached\r\n");
            self.state.stats.connections_rejected += 1;
            return;
        }
        // Under TLS the refusal can be sent only after the handshake.
        if acl::act::protects_itself(self.state) && !is_local && !stream.is_tls() {
            stream.refuse(DENIED);
            self.state.stats.connections_rejected += 1;
            return;
        }
        listener::set_keepalive(&stream, config.tcp_keepalive);
        let mut flags = ClientFlags::NONE;
        flags.put(
            ClientFlags::UNIX_SOCKET,
            matches!(stream, super::connection::Stream::Unix(_)),
        );
        flags.put(ClientFlags::HANDSHAKE, stream.is_tls());
        flags.put(ClientFlags::TLS, stream.is_tls());
        let now = self.state.clock.unix_ms();
        let client = self.state.clients.insert(now, flags);
        let key = client.key;
        client.fd = stream.descriptor();
        client.address = address;
        client.local_address = local;
        acl::act::act_as_default(self.state, key);
        let slot = key.slot as usize;
        let token = Token(slot + FIRST_CLIENT);
        if stream
            .register(self.sockets.poll.registry(), token, Interest::READABLE)
            .is_err()
        {
            clients::act::leave::forget_client(self.state, key);
            return;
        }
        if self.sockets.connections.len() <= slot {
            self.sockets.connections.resize_with(slot + 1, || None);
        }
        self.sockets.connections[slot] = Some(Connection {
            key,
            stream,
            readable: false,
            peer_closed: false,
            awaits_room: false,
        });
        self.state.stats.connections_received += 1;
        self.state
            .tell_modules(EventId::Client, 0, EventData::Client(key));
    }

    pub(super) fn close(&mut self, key: ClientKey) {
        clients::act::leave::forget_client(self.state, key);
        if let Some(place) = self.sockets.connections.get_mut(key.slot as usize)
            && place.as_ref().is_some_and(|c| c.key == key)
            && let Some(mut connection) = place.take()
        {
            connection.stream.farewell();
            let _ = connection.stream.deregister(self.sockets.poll.registry());
        }
    }

    /// Sends what can be sent at once and removes the Unix socket.
    fn leave(&mut self) {
        cluster::act::save::save_at_end(self.state);
        modules::act::fork::end(self.state);
        persistence::act::saving::end_persistence(self.state);
        if self.state.persistence.failed {
            return;
        }
        for key in self.state.clients.connected_keys() {
            self.write_client(key);
        }
        self.sockets.listeners.list.borrow_mut().close_all();
        let config = &self.state.config;
        if let Some(path) = &config.unixsocket {
            // A socket that stays is replaced by the next server.
            let _ = self.state.disk.remove_file(&config.dir.join(path));
        }
    }
}

pub(super) const DENIED: &[u8] = b"-DENIED Redis is running in protected mode because protected mode is enabled and \
no password is set for the default user. In this mode connections are only accepted from the loopback \
interface. If you want to connect from external computers to Redis you may adopt one of the following \
solutions: 1) Just disable protected mode sending the command 'CONFIG SET protected-mode no' from the \
loopback interface by connecting to Redis from the same host the server is running, however MAKE SURE \
Redis is not publicly accessible from internet if you do so. Use CONFIG REWRITE to make this change \
permanent. 2) Alternatively you can just disable the protected mode by editing the Redis configuration \
file, and setting the protected mode option to 'no', and then restarting the server. 3) If you started \
the server manually just for testing, restart it with the '--protected-mode no' option. 4) Set up an \
authentication password for the default user. NOTE: You only need to do one of the above things in order \
for the server to start accepting connections from the outside.\r\n";
