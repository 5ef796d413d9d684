//! Our own primary: the state of the link to it, without its socket.
//!
//! ```text
//!   Off ─ REPLICAOF ─► Connect ─► Connecting ─► Ping ─► Auth ─► Port ─► Ip ─► Capa ─► Psync
//!                        ▲                                                              │ +FULLRESYNC
//!                        │ anything goes wrong                        +CONTINUE         ▼
//!                        └──────────────────────── Connected ◄───────────┴────────── Transfer (transfer.rs)
//! ```
//!
//! The connection is a wire ([`crate::wires`]): the loop owns its socket, sends what is appended to it, and tells what
//! came and what became of the connection. Each attempt has a number, so that an answer of a helper thread to an
//! attempt given up is dropped.
//! Once connected, the primary is a client like others ([`ClientFlags::PRIMARY`]) whose requests are run without
//! being judged, and whose replies go nowhere.
//!
//! Invariant: [`super::Replication::offset`] counts the bytes of requests that were run, transactions as a whole; the
//! same bytes were appended to our own stream. So whatever happens to the link, name and offset tell where to go on.
//!
//! Mirrors: syncWithMaster(), slaveTryPartialResynchronization(), replicationSetMaster(), replicationUnsetMaster() and
//! the replica's half of replicationCron() in replication.c.
//! Differs: no reply is waited for; the lines of the handshake are read as they come.

use std::net::{SocketAddr, ToSocketAddrs};

use super::failover::Stage;
use super::transfer::{Secured, Transfer};
use crate::clients::{ClientFlags, ClientKey};
use crate::command::{Said, Targets};
use crate::config::{Primary, disk};
use crate::keyspace::{DbId, Ms};
use crate::resp::argv::OwnedArgv;
use crate::state::State;
use crate::sys::log::Role;
use crate::wires::{Dial, Owner, Then, WireKey};

/// No line of the handshake is longer.
const LONGEST_LINE: usize = 1024;

/// How far the link is.
#[doc(alias = "repl_state")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Step {
    /// We are no replica.
    #[default]
    Off,
    /// To be connected.
    Connect,
    Connecting,
    /// Answers outstanding: to PING,
    Ping,
    /// to AUTH,
    Auth,
    /// to REPLCONF listening-port,
    Port,
    /// to REPLCONF ip-address,
    Ip,
    /// to REPLCONF capa,
    Capa,
    /// to PSYNC.
    Psync,
    /// The data set comes, or is being loaded.
    Transfer,
    /// The stream comes.
    Connected,
}

impl Step {
    /// The word in ROLE.
    pub fn name(self) -> &'static str {
        match self {
            Step::Off => "none",
            Step::Connect => "connect",
            Step::Connecting => "connecting",
            Step::Transfer => "sync",
            Step::Connected => "connected",
            _ => "handshake",
        }
    }

    /// Whether an answer of the handshake is outstanding.
    fn is_handshake(self) -> bool {
        self.name() == "handshake"
    }
}

/// The link to our primary.
#[derive(Debug, Default)]
pub struct Link {
    pub step: Step,
    /// Grows with every connection that is begun or given up.
    pub attempt: u64,
    /// The connection, until the primary is a client.
    pub wire: Option<WireKey>,
    /// The beginning of a line.
    line: Vec<u8>,
    /// The primary, once connected.
    pub client: Option<ClientKey>,
    /// When something last came from it, unix time.
    pub last_io_ms: Ms,
    /// Since when there is no connection, unix time; none if there never was.
    pub down_since_s: Option<i64>,
    pub(super) transfer: Option<Transfer>,
    /// The database selected where the stream stopped: it may go on from there.
    cached: Option<DbId>,
    /// The stream's name and position as +FULLRESYNC says.
    pub(super) announced: Option<(String, u64)>,
    /// The data set is on disk, or not: to be looked at between two commands.
    pub(super) secured: Option<Secured>,
    /// What came behind the data set, or behind +CONTINUE: the stream's first bytes.
    pub rest: Vec<u8>,
    /// Bytes of a transaction that is not whole yet: applied, and passed on, when it is.
    held: Vec<u8>,
    said_auth: bool,
    said_ip: bool,
}

impl State {
    /// Follows another primary, or none: REPLICAOF.
    #[doc(alias = "replicationSetMaster")]
    pub fn follow(&mut self, primary: Primary) {
        let was_primary = self.config.replicaof.take().is_none();
        self.drop_primary_client();
        self.config.replicaof = Some(primary);
        self.end_all_waits();
        self.abandon_handshake();
        if was_primary {
            // Our own stream is the only thing we know; perhaps the new primary knows it as well.
            self.log.notice(
                "Before turning into a replica, using my own master parameters to synthesize a cached master: \
                 I may be able to synchronize with the new master with just a partial transfer.",
            );
            let db = self.replication.stream_db.unwrap_or(DbId(0));
            self.replication.link.cached = Some(db);
        }
        self.role_changed();
        self.replication.link.step = Step::Connect;
        if let Some(primary) = &self.config.replicaof {
            self.log.notice(format_args!(
                "Connecting to MASTER {}:{}",
                primary.host, primary.port
            ));
        }
        self.connect_to_primary();
    }

    /// Becomes a primary: REPLICAOF NO ONE.
    #[doc(alias = "replicationUnsetMaster")]
    pub fn follow_nobody(&mut self) {
        if self.config.replicaof.take().is_none() {
            return;
        }
        self.drop_primary_client();
        self.abandon_handshake();
        self.shift_id();
        // They must learn the stream's new name; going on costs them nothing.
        self.disconnect_replicas();
        let now = self.clock.unix_ms();
        let replication = &mut self.replication;
        replication.link.step = Step::Off;
        replication.link.cached = None;
        replication.link.down_since_s = None;
        replication.stream_db = None;
        replication.no_replicas_since_ms = now;
        self.role_changed();
        self.restart_aof("Restarting AOF after becoming master");
    }

    /// The name of our stream becomes its former name.
    #[doc(alias = "shiftReplicationId")]
    fn shift_id(&mut self) {
        let replication = &mut self.replication;
        replication.id2 = replication.id.clone();
        // The byte after the last one may be asked for as well.
        replication.second_offset = Some(replication.offset + 1);
        replication.change_id(&mut self.entropy);
        self.log.notice(format_args!(
            "Setting secondary replication ID to {}, valid up to offset: {}. New replication ID is {}",
            replication.id2,
            replication.offset + 1,
            replication.id
        ));
    }

    /// What depends on whether we are a replica follows.
    fn role_changed(&mut self) {
        self.log.set_role(match self.is_replica() {
            true => Role::Replica,
            false => Role::Primary,
        });
        self.listen_for_replicas();
        self.hide_or_expire();
        // A score that cannot be set was logged.
        let _ = self.set_oom_score("oom-score-adj");
    }

    /// The data set a server starts with tells where the stream of effects stood: a replica goes on from there, and
    /// replicas of a primary may.
    #[doc(alias = "loadDataFromDisk")]
    pub fn resume_stream(&mut self, id: &str, offset: u64, db: DbId) {
        if !is_id(id) || offset > i64::MAX as u64 {
            return;
        }
        let replica = self.is_replica();
        let replication = &mut self.replication;
        replication.offset = offset;
        if replica {
            replication.id = id.to_owned();
            let known = (db.0 as usize) < self.keyspace.len_dbs();
            replication.link.cached = Some(if known { db } else { DbId(0) });
            return;
        }
        replication.id2 = id.to_owned();
        replication.second_offset = Some(offset + 1);
        self.create_backlog();
    }

    /// A key of a file that is loaded has expired since it was written: who goes on from the stream must delete it.
    pub(crate) fn say_expired_in_file(&mut self, db: DbId, key: &[u8]) {
        if self.replication.backlog.is_some() {
            let word = self.expire_word();
            self.feed_replicas(&[Said {
                db: Some(db),
                argv: crate::resp::argv::OwnedArgv::from_words([word.as_bytes(), key]),
                targets: crate::command::Targets::REPLICAS,
            }]);
        }
    }

    /// The server starts as a replica.
    pub fn follow_at_start(&mut self) {
        if self.is_replica() {
            self.replication.link.step = Step::Connect;
            self.role_changed();
        }
    }

    fn drop_primary_client(&mut self) {
        if let Some(client) = self.replication.link.client {
            self.clients.close_asap(client);
            self.primary_lost(client);
        }
    }

    /// Gives a connection up that is being made, or the data set that comes through it.
    #[doc(alias = "cancelReplicationHandshake")]
    fn abandon_handshake(&mut self) {
        let link = &mut self.replication.link;
        link.attempt += 1;
        let wire = link.wire.take();
        link.line.clear();
        link.rest.clear();
        link.announced = None;
        link.secured = None;
        if link.step != Step::Off {
            link.step = Step::Connect;
        }
        if let Some(wire) = wire {
            self.wires.close(wire);
        }
        self.abandon_transfer();
    }

    /// Something went wrong before the link was up; the cron tries again.
    pub(super) fn handshake_failed(&mut self) {
        self.abandon_handshake();
    }

    /// As [`State::handshake_failed`], and tries again at once.
    pub(super) fn transfer_failed(&mut self) {
        self.abandon_handshake();
        if let Some(primary) = &self.config.replicaof {
            self.log.notice(format_args!(
                "Reconnecting to MASTER {}:{} after failure",
                primary.host, primary.port
            ));
        }
        self.connect_to_primary();
    }

    /// Begins to connect.
    #[doc(alias = "connectWithMaster")]
    fn connect_to_primary(&mut self) {
        let Some(Primary { host, port }) = self.config.replicaof.clone() else {
            return;
        };
        let now = self.clock.unix_ms();
        let link = &mut self.replication.link;
        link.attempt += 1;
        link.step = Step::Connecting;
        link.last_io_ms = now;
        let attempt = link.attempt;
        self.log.notice("MASTER <-> REPLICA sync started");
        if let Ok(ip) = host.parse() {
            self.dial(attempt, Ok(SocketAddr::new(ip, port)));
            return;
        }
        // Looking a name up may take seconds.
        let mailbox = self.mailbox.clone();
        let lookup = move || {
            let found = (host.as_str(), port).to_socket_addrs();
            let found = found
                .map_err(|error| disk::reason(&error))
                .and_then(|mut all| {
                    all.next()
                        .ok_or_else(|| "the name has no address".to_owned())
                });
            mailbox.send(move |state| state.dial(attempt, found));
        };
        let thread = std::thread::Builder::new().name("resolve".into());
        if let Err(error) = thread.spawn(lookup) {
            self.dial(attempt, Err(disk::reason(&error)));
        }
    }

    fn dial(&mut self, attempt: u64, found: Result<SocketAddr, String>) {
        let link = &mut self.replication.link;
        if link.attempt != attempt || link.step != Step::Connecting {
            return;
        }
        match found {
            Ok(to) => {
                let from = self.config.bind_source_addr.as_deref();
                let from = from.and_then(|address| address.parse().ok());
                let tls = self.config.tls_replication;
                let wire = self.wires.dial(Owner::Primary, Dial { to, from, tls });
                self.replication.link.wire = Some(wire);
            }
            Err(reason) => self.link_refused(&reason),
        }
    }

    /// The loop could not even begin to connect.
    pub fn link_refused(&mut self, reason: &str) {
        self.log
            .warning(format_args!("Unable to connect to MASTER: {reason}"));
        self.handshake_failed();
    }

    /// The loop connected.
    pub fn link_connected(&mut self) {
        if self.replication.link.step != Step::Connecting {
            return;
        }
        self.log
            .notice("Non blocking connect for SYNC fired the event.");
        self.replication.link.step = Step::Ping;
        self.say_to_primary(["PING"]);
    }

    /// The connection ended, or was never made.
    pub fn link_closed(&mut self, reason: &str) {
        match self.replication.link.step {
            Step::Connecting => {
                self.log
                    .warning(format_args!("Error condition on socket for SYNC: {reason}"));
                self.handshake_failed();
            }
            Step::Transfer => {
                self.log.warning(format_args!(
                    "I/O error trying to sync with MASTER: {reason}"
                ));
                self.transfer_failed();
            }
            step if step.is_handshake() => {
                self.log.warning(format_args!(
                    "Failed to read response from the server: {reason}"
                ));
                self.log
                    .warning("Master did not respond to command during SYNC handshake");
                self.handshake_failed();
            }
            _ => {}
        }
    }

    fn say_to_primary<W: AsRef<[u8]>>(&mut self, words: impl IntoIterator<Item = W>) {
        let argv = crate::resp::argv::OwnedArgv::from_words(words);
        if let Some(out) = self.link_out() {
            argv.as_argv().encode(out);
        }
    }

    /// The bytes to be sent to the primary before it is a client; none without a connection.
    fn link_out(&mut self) -> Option<&mut Vec<u8>> {
        self.wires.out(self.replication.link.wire?)
    }

    /// Gives the socket to the client that the primary has become, with the bytes that came behind the handshake. For
    /// the loop, before it sleeps.
    pub(crate) fn hand_over_link(&mut self) {
        let link = &mut self.replication.link;
        if link.step == Step::Connected
            && let Some(wire) = link.wire.take()
            && let Some(client) = link.client
        {
            let rest = std::mem::take(&mut link.rest);
            self.wires.hand_over(wire, client, rest);
        }
    }

    /// Bytes came through the link, before the primary is a client.
    pub fn link_received(&mut self, mut bytes: &[u8]) -> Then {
        self.replication.link.last_io_ms = self.clock.unix_ms();
        while !bytes.is_empty() {
            match self.replication.link.step {
                Step::Transfer => {
                    let (used, then) = self.transfer_received(bytes);
                    bytes = &bytes[used..];
                    if then == Then::Wait {
                        // What is behind a data set of known length is the stream.
                        self.replication.link.rest.extend_from_slice(bytes);
                        return Then::Wait;
                    }
                }
                Step::Connected => {
                    self.replication.link.rest.extend_from_slice(bytes);
                    return Then::Wait;
                }
                step if step.is_handshake() => {
                    let Some(line) = self.take_line(&mut bytes) else {
                        break;
                    };
                    self.handshake_line(step, &line);
                }
                // Given up: what is left of it is of no interest.
                _ => break,
            }
        }
        Then::Read
    }

    /// The next line, without its end, if it is whole.
    pub(super) fn take_line(&mut self, bytes: &mut &[u8]) -> Option<String> {
        let line = &mut self.replication.link.line;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (part, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        *bytes = rest;
        if line.len() + part.len() > LONGEST_LINE {
            self.log.warning(
                "Failed to read response from the server: a line of the handshake is too long",
            );
            *bytes = &[];
            self.handshake_failed();
            return None;
        }
        line.extend_from_slice(part);
        end?;
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        line.clear();
        Some(text)
    }

    #[doc(alias = "syncWithMaster")]
    fn handshake_line(&mut self, step: Step, line: &str) {
        let refused = line.starts_with('-');
        match step {
            Step::Ping => {
                let owes_auth = ["-NOAUTH", "-NOPERM", "-ERR operation not permitted"]
                    .iter()
                    .any(|code| line.starts_with(code));
                if !line.starts_with('+') && !owes_auth {
                    self.log
                        .warning(format_args!("Error reply to PING from master: '{line}'"));
                    return self.handshake_failed();
                }
                self.log
                    .notice("Master replied to PING, replication can continue...");
                self.introduce();
            }
            Step::Auth => {
                if refused {
                    self.log
                        .warning(format_args!("Unable to AUTH to MASTER: {line}"));
                    return self.handshake_failed();
                }
                self.replication.link.step = Step::Port;
            }
            Step::Port => {
                self.not_understood(refused, "listening-port", line);
                self.replication.link.step = match self.replication.link.said_ip {
                    true => Step::Ip,
                    false => Step::Capa,
                };
            }
            Step::Ip => {
                self.not_understood(refused, "ip-address", line);
                self.replication.link.step = Step::Capa;
            }
            Step::Capa => {
                self.not_understood(refused, "capa", line);
                self.ask_for_stream();
            }
            Step::Psync => self.psync_line(line),
            _ => {}
        }
    }

    fn not_understood(&self, refused: bool, what: &str, line: &str) {
        if refused {
            self.log.notice(format_args!(
                "(Non critical) Master does not understand REPLCONF {what}: {line}"
            ));
        }
    }

    /// Says who we are: password, port, address, abilities.
    fn introduce(&mut self) {
        let config = &self.config;
        let secret = config.masterauth.clone();
        let user = config.masteruser.clone();
        let ip = config.replica_announce_ip.clone();
        let port = match config.replica_announce_port {
            0 if self.config.tls_replication && self.config.tls_port != 0 => self.config.tls_port,
            0 => self.tcp_port,
            port => port,
        };
        if let Some(secret) = &secret {
            let mut words = vec![b"AUTH".to_vec()];
            words.extend(user.map(String::into_bytes));
            words.push(secret.clone());
            self.say_to_primary(words);
        }
        self.say_to_primary(["REPLCONF", "listening-port", &port.to_string()]);
        if let Some(ip) = &ip {
            self.say_to_primary(["REPLCONF", "ip-address", ip]);
        }
        self.say_to_primary(["REPLCONF", "capa", "eof", "capa", "psync2"]);
        let link = &mut self.replication.link;
        link.said_auth = secret.is_some();
        link.said_ip = ip.is_some();
        link.step = match link.said_auth {
            true => Step::Auth,
            false => Step::Port,
        };
    }

    #[doc(alias = "slaveTryPartialResynchronization")]
    fn ask_for_stream(&mut self) {
        let replication = &mut self.replication;
        replication.link.step = Step::Psync;
        let (id, next) = match replication.link.cached {
            Some(_) => (replication.id.clone(), (replication.offset + 1).to_string()),
            None => ("?".to_owned(), "-1".to_owned()),
        };
        if id == "?" {
            self.log
                .notice("Partial resynchronization not possible (no cached master)");
        } else {
            self.log.notice(format_args!(
                "Trying a partial resynchronization (request {id}:{next})."
            ));
        }
        let mut words = vec!["PSYNC", &id, &next];
        if self.replication.failover.stage == Stage::InProgress {
            words.push("FAILOVER");
        }
        self.say_to_primary(words);
    }

    fn psync_line(&mut self, line: &str) {
        // Empty lines only say that the primary is there.
        if line.is_empty() {
            return;
        }
        if self.replication.failover.stage == Stage::InProgress {
            if line.starts_with("+FULLRESYNC") || line.starts_with("+CONTINUE") {
                self.clear_failover();
            } else {
                self.log.notice(format_args!("Reply to PSYNC: {line}"));
                return self.abort_failover("Failover target rejected psync request");
            }
        }
        if let Some(rest) = line.strip_prefix("+FULLRESYNC") {
            let mut words = rest.split_ascii_whitespace();
            let id = words.next().filter(|id| is_id(id));
            let offset = words.next().and_then(|offset| offset.parse().ok());
            if let (Some(id), Some(offset)) = (id, offset) {
                self.log
                    .notice(format_args!("Full resync from master: {id}:{offset}"));
                self.replication.link.announced = Some((id.to_owned(), offset));
            } else {
                self.log
                    .warning("Master replied with wrong +FULLRESYNC syntax.");
            }
            return self.begin_transfer();
        }
        if let Some(rest) = line.strip_prefix("+CONTINUE")
            && let Some(db) = self.replication.link.cached.take()
        {
            return self.go_on(db, rest.trim());
        }
        if line.starts_with("-NOMASTERLINK") || line.starts_with("-LOADING") {
            self.log.notice(format_args!(
                "Master is currently unable to PSYNC but should be in the future: {line}"
            ));
            return self.handshake_failed();
        }
        if line.starts_with("-ERR") {
            self.log.notice(format_args!(
                "Master does not support PSYNC or is in error state (reply: {line})"
            ));
        } else {
            self.log.warning(format_args!(
                "Unexpected reply to PSYNC from master: {line}"
            ));
        }
        self.log.notice("Retrying with SYNC...");
        if let Some(out) = self.link_out() {
            out.extend_from_slice(b"SYNC\r\n");
        }
        self.begin_transfer();
    }

    /// The primary sends the stream from where we stopped.
    fn go_on(&mut self, db: DbId, id: &str) {
        self.log
            .notice("Successful partial resynchronization with master.");
        if is_id(id) && id != self.replication.id {
            self.log
                .notice(format_args!("Master replication ID changed to {id}"));
            let replication = &mut self.replication;
            replication.second_offset = Some(replication.offset + 1);
            replication.id2 = std::mem::replace(&mut replication.id, id.to_owned());
            // They must learn of the new name.
            self.disconnect_replicas();
        }
        self.primary_is_client(db);
        if self.replication.backlog.is_none() {
            self.create_backlog();
        }
        self.log
            .notice("MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.");
    }

    /// From here on the primary is a client; the loop gives it its socket.
    #[doc(alias = "replicationCreateMasterClient")]
    pub(super) fn primary_is_client(&mut self, db: DbId) {
        let now = self.clock.unix_ms();
        let client = self.clients.insert(
            now,
            ClientFlags::PRIMARY | ClientFlags::MUST_OBEY | ClientFlags::AUTHENTICATED,
        );
        client.db = db;
        if let Some(primary) = &self.config.replicaof {
            client.address = format!("{}:{}", primary.host, primary.port);
        }
        let link = &mut self.replication.link;
        link.client = Some(client.key);
        link.step = Step::Connected;
        link.down_since_s = None;
        link.cached = None;
        link.held.clear();
        link.last_io_ms = now;
    }

    /// The database the stream has selected, when it comes or can go on.
    pub(super) fn link_db(&self) -> Option<DbId> {
        let link = &self.replication.link;
        let client = link.client.and_then(|client| self.clients.get(client));
        client.map(|client| client.db).or(link.cached)
    }

    /// A client is gone; if it was our primary, the link is down, and the cron connects again.
    #[doc(alias = "replicationCacheMaster")]
    pub fn primary_lost(&mut self, client: ClientKey) {
        if self.replication.link.client != Some(client) {
            return;
        }
        let who = self.clients.get(client);
        let spoke_nonsense = who.is_some_and(|who| who.flags.has(ClientFlags::PROTOCOL_ERROR));
        let db = who.map_or(DbId(0), |who| who.db);
        let seconds = self.clock.unix_seconds();
        self.log.notice("Connection with master lost.");
        let link = &mut self.replication.link;
        link.client = None;
        link.held.clear();
        link.attempt += 1;
        if let Some(wire) = link.wire.take() {
            self.wires.close(wire);
        }
        link.down_since_s = Some(seconds);
        if link.step != Step::Off {
            link.step = Step::Connect;
        }
        // After nonsense nothing tells where the stream is.
        link.cached = (!spoke_nonsense).then_some(db);
        if !spoke_nonsense {
            self.log.notice("Caching the disconnected master state.");
        }
        if let Some(Primary { host, port }) = &self.config.replicaof {
            self.log
                .notice(format_args!("Reconnecting to MASTER {host}:{port}"));
            self.connect_to_primary();
        }
    }

    /// A request of the primary was run, or queued by its transaction: its bytes are part of our own stream, once
    /// the transaction is whole.
    #[doc(alias = "replicationFeedStreamFromMasterStream")]
    pub fn primary_applied(&mut self, client: ClientKey, bytes: &[u8]) {
        let in_transaction = self
            .clients
            .get(client)
            .is_some_and(|client| client.flags.has(ClientFlags::MULTI));
        if self.replication.link.client != Some(client) {
            return;
        }
        let held = &mut self.replication.link.held;
        if in_transaction {
            held.extend_from_slice(bytes);
            return;
        }
        if held.is_empty() {
            return self.append_to_stream(bytes);
        }
        let mut whole = std::mem::take(held);
        whole.extend_from_slice(bytes);
        self.append_to_stream(&whole);
    }

    /// Whether what we have may be old, and nobody is to see it then.
    pub fn is_stale(&self) -> bool {
        self.replication.link.step != Step::Connected && !self.config.replica_serve_stale_data
    }

    /// Bytes of the stream that arrived, applied or not.
    pub fn received_offset(&self) -> u64 {
        let link = &self.replication.link;
        let client = link.client.and_then(|client| self.clients.get(client));
        let unread = client.map_or(0, |client| client.query_bytes().0);
        self.replication.offset + (link.held.len() + unread) as u64
    }

    /// Tells the primary how far we are.
    #[doc(alias = "replicationSendAck")]
    pub fn send_ack(&mut self) {
        let Some(client) = self.replication.link.client else {
            return;
        };
        let mut words = vec![
            "REPLCONF".to_owned(),
            "ACK".to_owned(),
            self.replication.offset.to_string(),
        ];
        if let Some(safe) = self.aof_safe_position() {
            words.extend(["FACK".to_owned(), safe.to_string()]);
        }
        let mut bytes = Vec::new();
        crate::resp::argv::OwnedArgv::from_words(words)
            .as_argv()
            .encode(&mut bytes);
        self.clients.send(client, |reply| reply.raw(&bytes));
    }

    /// Once a second: a link that is silent for too long is given up, one that is down is made again, one that is
    /// up is told how far we are.
    #[doc(alias = "replicationCron")]
    pub(super) fn care_for_link(&mut self) {
        let now = self.clock.unix_ms();
        let timeout_ms = Ms::from(self.config.repl_timeout) * 1000;
        let step = self.replication.link.step;
        let late = now - self.replication.link.last_io_ms > timeout_ms;
        match step {
            Step::Off => {}
            Step::Connect => {
                if let Some(Primary { host, port }) = &self.config.replicaof {
                    self.log
                        .notice(format_args!("Connecting to MASTER {host}:{port}"));
                }
                self.connect_to_primary();
            }
            Step::Transfer if late && !self.link_waits() => {
                self.log.warning(
                    "Timeout receiving bulk data from MASTER... If the problem persists try to set the \
                     'repl-timeout' parameter in redis.conf to a larger value.",
                );
                self.transfer_failed();
            }
            Step::Connected => {
                let client = self.replication.link.client;
                let silent_ms = client
                    .and_then(|client| self.clients.get(client))
                    .map_or(0, |client| now - client.active_ms);
                if silent_ms > timeout_ms
                    && let Some(client) = client
                {
                    self.log
                        .warning("MASTER timeout: no data nor PING received...");
                    self.clients.close_asap(client);
                } else {
                    self.send_ack();
                }
            }
            Step::Transfer => {}
            _ if late => {
                self.log.warning("Timeout connecting to the MASTER...");
                self.transfer_failed();
            }
            _ => {}
        }
    }

    /// As [`State::care_for_link`], while a data set is loaded: that of our primary, which must not take us for dead.
    #[doc(alias = "replicationSendNewlineToMaster")]
    pub(crate) fn care_for_link_while_loading(&mut self) {
        if self.replication.link.step != Step::Transfer || !self.is_loading_from_primary() {
            return;
        }
        if self.link_waits() {
            // It may speak; it is we who do not listen.
            self.replication.link.last_io_ms = self.clock.unix_ms();
        }
        self.care_for_link();
        let link = &self.replication.link;
        if let Some(wire) = link.wire.filter(|_| link.step == Step::Transfer)
            && self.wires.unsent(wire) == 0
            && let Some(out) = self.wires.out(wire)
        {
            out.push(b'\n');
        }
    }

    /// Once a second, or more often.
    #[doc(alias = "replicationCron")]
    pub fn replication_cron(&mut self) {
        self.update_failover();
        self.care_for_link();
        self.care_for_replicas();
    }
}

/// Whether a word can be the name of a stream.
fn is_id(word: &str) -> bool {
    word.len() == 40 && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
