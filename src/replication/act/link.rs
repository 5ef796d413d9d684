//! The replica's half carried out: connect, handshake, PSYNC, apply, acknowledge. [`crate::replication::link`] has
//! the steps.
//!
//! Mirrors: syncWithMaster() and replicationCron() of replication.c.
//! Differs: no step blocks on a reply; each line of the primary moves the link one step further when it arrives.

use std::net::{SocketAddr, ToSocketAddrs};

use super::{acks, channel, failover, primary, stream, transfer};
use crate::clients::{ClientFlags, ClientKey};
use crate::config::{Primary, disk};
use crate::keyspace::{DbId, Ms};
use crate::modules::{EventData, EventId, kinds};
use crate::replication::failover::Stage;
use crate::replication::is_id;
use crate::replication::link::{CAPA_TRIMSLOTS, Step};
use crate::state::State;
use crate::sys::log::Role;
use crate::sys::threads;
use crate::wires::{Dial, Owner, Then, WireKey};
use crate::{clients, config};

/// No line of the handshake is longer.
const LONGEST_LINE: usize = 1024;

/// Follows another primary, or none: REPLICAOF.
#[doc(alias = "replicationSetMaster")]
pub fn follow(state: &mut State, primary: Primary) {
    let was_primary = state.config.replicaof.take().is_none();
    drop_primary_client(state);
    state.config.replicaof = Some(primary);
    clients::act::waits::end_all_waits(state);
    abandon_handshake(state);
    if was_primary {
        // Our own stream is the only thing we know; perhaps the new primary knows it as well.
        state.log.notice(
            "Before turning into a replica, using my own master parameters to synthesize a cached master: \
             I may be able to synchronize with the new master with just a partial transfer.",
        );
        let db = state.replication.stream_db.unwrap_or(DbId(0));
        state.replication.link.cached = Some(db);
    }
    role_changed(state);
    state.tell_modules(
        EventId::ReplicationRole,
        kinds::role::REPLICA,
        EventData::Role,
    );
    state.replication.link.step = Step::Connect;
    if let Some(primary) = &state.config.replicaof {
        state.log.notice(format_args!(
            "Connecting to MASTER {}:{}",
            primary.host, primary.port
        ));
    }
    connect_to_primary(state);
}

/// Becomes a primary: REPLICAOF NO ONE.
#[doc(alias = "replicationUnsetMaster")]
pub fn follow_nobody(state: &mut State) {
    if state.config.replicaof.take().is_none() {
        return;
    }
    drop_primary_client(state);
    abandon_handshake(state);
    shift_id(state);
    // Replicas must learn the stream's new name. They reconnect and continue, which costs them no full
    // synchronisation.
    primary::disconnect_replicas(state);
    let now = state.clock.unix_ms();
    let replication = &mut state.replication;
    replication.link.step = Step::Off;
    replication.link.cached = None;
    replication.link.down_since_s = None;
    replication.stream_db = None;
    replication.no_replicas_since_ms = now;
    role_changed(state);
    state.tell_modules(
        EventId::ReplicationRole,
        kinds::role::PRIMARY,
        EventData::Role,
    );
    transfer::restart_aof(state, "Restarting AOF after becoming master");
}

/// The name of our stream becomes its former name.
#[doc(alias = "shiftReplicationId")]
fn shift_id(state: &mut State) {
    let replication = &mut state.replication;
    replication.id2 = replication.id.clone();
    // The byte after the last one may be asked for as well.
    replication.second_offset = Some(replication.offset + 1);
    replication.change_id(&mut state.entropy);
    state.log.notice(format_args!(
        "Setting secondary replication ID to {}, valid up to offset: {}. New replication ID is {}",
        replication.id2,
        replication.offset + 1,
        replication.id
    ));
}

/// Adjusts all that depends on the role of this server: the role in the log, whether effects are recorded for
/// replicas, whether expired keys are hidden or deleted, the OOM score.
fn role_changed(state: &mut State) {
    state.log.set_role(match state.config.is_replica() {
        true => Role::Replica,
        false => Role::Primary,
    });
    stream::listen_for_replicas(state);
    clients::act::pause::hide_or_expire(state);
    // A score that cannot be set was logged.
    let _ = config::act::set_oom_score(state, "oom-score-adj");
}

/// The server starts as a replica.
pub fn follow_at_start(state: &mut State) {
    if state.config.is_replica() {
        state.replication.link.step = Step::Connect;
        role_changed(state);
    }
}

fn drop_primary_client(state: &mut State) {
    if let Some(client) = state.replication.link.client {
        state.clients.close_asap(client);
        primary_lost(state, client);
    }
}

/// Gives a connection up that is being made, or the data set that comes through it.
#[doc(alias = "cancelReplicationHandshake")]
fn abandon_handshake(state: &mut State) {
    let link = &mut state.replication.link;
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
        state.wires.close(wire);
    }
    channel::abandon_channel(state);
    transfer::abandon_transfer(state);
}

/// Something went wrong before the link was up; the cron tries again.
pub(in crate::replication) fn handshake_failed(state: &mut State) {
    abandon_handshake(state);
}

/// As [`handshake_failed`], and tries again at once.
pub(in crate::replication) fn transfer_failed(state: &mut State) {
    abandon_handshake(state);
    if let Some(primary) = &state.config.replicaof {
        state.log.notice(format_args!(
            "Reconnecting to MASTER {}:{} after failure",
            primary.host, primary.port
        ));
    }
    connect_to_primary(state);
}

/// Begins to connect.
#[doc(alias = "connectWithMaster")]
fn connect_to_primary(state: &mut State) {
    let Some(Primary { host, port }) = state.config.replicaof.clone() else {
        return;
    };
    let now = state.clock.unix_ms();
    let link = &mut state.replication.link;
    link.attempt += 1;
    link.step = Step::Connecting;
    link.last_io_ms = now;
    state.log.notice("MASTER <-> REPLICA sync started");
    resolve(state, host, port, dial);
}

/// Opens the second connection of a full synchronisation.
pub(super) fn connect_channel(state: &mut State) {
    if let Some(Primary { host, port }) = state.config.replicaof.clone() {
        resolve(state, host, port, dial_channel);
    }
}

/// Calls `dial` with the address of a host, and with the number of the present attempt.
fn resolve(
    state: &mut State,
    host: String,
    port: u16,
    dial: fn(&mut State, u64, Result<SocketAddr, String>),
) {
    let attempt = state.replication.link.attempt;
    if let Ok(ip) = host.parse() {
        return dial(state, attempt, Ok(SocketAddr::new(ip, port)));
    }
    // Looking a name up may take seconds.
    let mailbox = state.mailbox.clone();
    let lookup = move || {
        let found = (host.as_str(), port).to_socket_addrs();
        let found = found
            .map_err(|error| disk::reason(&error))
            .and_then(|mut all| {
                all.next()
                    .ok_or_else(|| "the name has no address".to_owned())
            });
        mailbox.send(move |state| dial(state, attempt, found));
    };
    if let Err(error) = threads::spawn("resolve", lookup) {
        dial(state, attempt, Err(disk::reason(&error)));
    }
}

fn dial(state: &mut State, attempt: u64, found: Result<SocketAddr, String>) {
    let link = &mut state.replication.link;
    if link.attempt != attempt || link.step != Step::Connecting {
        return;
    }
    match found {
        Ok(to) => {
            let dial = dial_to(state, to);
            let wire = state.wires.dial(Owner::Primary, dial);
            state.replication.link.wire = Some(wire);
        }
        Err(reason) => link_refused(state, &reason),
    }
}

fn dial_channel(state: &mut State, attempt: u64, found: Result<SocketAddr, String>) {
    if state.replication.link.attempt != attempt {
        return;
    }
    match found {
        Ok(to) => {
            let dial = dial_to(state, to);
            if let Some(channel) = &mut state.replication.link.channel {
                channel.wire = Some(state.wires.dial(Owner::PrimaryData, dial));
            }
        }
        Err(reason) => link_refused(state, &reason),
    }
}

fn dial_to(state: &State, to: SocketAddr) -> Dial {
    let from = state.config.bind_source_addr.as_deref();
    let from = from.and_then(|address| address.parse().ok());
    let tls = state.config.tls_replication;
    Dial { to, from, tls }
}

/// The loop could not even begin to connect.
pub fn link_refused(state: &mut State, reason: &str) {
    state
        .log
        .warning(format_args!("Unable to connect to MASTER: {reason}"));
    handshake_failed(state);
}

/// The loop connected.
pub fn link_connected(state: &mut State) {
    if state.replication.link.step != Step::Connecting {
        return;
    }
    state
        .log
        .notice("Non blocking connect for SYNC fired the event.");
    state.replication.link.step = Step::Ping;
    say_to_primary(state, ["PING"]);
}

/// The connection ended, or was never made.
pub fn link_closed(state: &mut State, reason: &str) {
    if state.replication.link.channel.is_some() {
        if !channel::main_channel_lost(state, reason) {
            transfer_failed(state);
        }
        return;
    }
    match state.replication.link.step {
        Step::Connecting => {
            state
                .log
                .warning(format_args!("Error condition on socket for SYNC: {reason}"));
            handshake_failed(state);
        }
        Step::Transfer => {
            state.log.warning(format_args!(
                "I/O error trying to sync with MASTER: {reason}"
            ));
            transfer_failed(state);
        }
        step if step.is_handshake() => {
            state.log.warning(format_args!(
                "Failed to read response from the server: {reason}"
            ));
            state
                .log
                .warning("Master did not respond to command during SYNC handshake");
            handshake_failed(state);
        }
        _ => {}
    }
}

fn say_to_primary<W: AsRef<[u8]>>(state: &mut State, words: impl IntoIterator<Item = W>) {
    say(state, state.replication.link.wire, words);
}

/// Sends a command over one of the connections to the primary, if that is still there.
pub(super) fn say<W: AsRef<[u8]>>(
    state: &mut State,
    wire: Option<WireKey>,
    words: impl IntoIterator<Item = W>,
) {
    let argv = crate::resp::argv::OwnedArgv::from_words(words);
    if let Some(out) = wire.and_then(|wire| state.wires.out(wire)) {
        argv.as_argv().encode(out);
    }
}

/// The bytes to be sent to the primary before it is a client; none without a connection.
fn link_out(state: &mut State) -> Option<&mut Vec<u8>> {
    state.wires.out(state.replication.link.wire?)
}

/// Gives the socket to the client that the primary has become, with the bytes that came behind the handshake. For
/// the loop, before it sleeps.
pub(crate) fn hand_over_link(state: &mut State) {
    let link = &mut state.replication.link;
    if link.step == Step::Connected
        && link.channel.is_none()
        && let Some(wire) = link.wire.take()
        && let Some(client) = link.client
    {
        let rest = std::mem::take(&mut link.rest);
        state.wires.hand_over(wire, client, rest);
    }
}

/// Bytes came through the link, before the primary is a client.
pub fn link_received(state: &mut State, mut bytes: &[u8]) -> Then {
    if state.replication.link.channel.is_some() {
        channel::keep_stream(state, bytes);
        return Then::Read;
    }
    state.replication.link.last_io_ms = state.clock.unix_ms();
    while !bytes.is_empty() {
        if state.replication.link.channel.is_some() {
            channel::keep_stream(state, bytes);
            break;
        }
        match state.replication.link.step {
            Step::Transfer => {
                let (used, then) = transfer::transfer_received(state, bytes);
                bytes = &bytes[used..];
                if then == Then::Wait {
                    // The bytes behind a data set of known length belong to the stream; they are kept until the data
                    // set is loaded.
                    state.replication.link.rest.extend_from_slice(bytes);
                    return Then::Wait;
                }
            }
            Step::Connected => {
                state.replication.link.rest.extend_from_slice(bytes);
                return Then::Wait;
            }
            step if step.is_handshake() => {
                let Some(line) = take_line(state, &mut bytes) else {
                    break;
                };
                handshake_line(state, step, &line);
            }
            // The link was given up: its remaining bytes are dropped.
            _ => break,
        }
    }
    Then::Read
}

/// The next line, without its end, if it is whole.
pub(in crate::replication) fn take_line(state: &mut State, bytes: &mut &[u8]) -> Option<String> {
    let line = &mut state.replication.link.line;
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (part, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
    *bytes = rest;
    if line.len() + part.len() > LONGEST_LINE {
        state.log.warning(
            "Failed to read response from the server: a line of the handshake is too long",
        );
        *bytes = &[];
        handshake_failed(state);
        return None;
    }
    line.extend_from_slice(part);
    end?;
    let text = String::from_utf8_lossy(line).trim_end().to_owned();
    line.clear();
    Some(text)
}

#[doc(alias = "syncWithMaster")]
fn handshake_line(state: &mut State, step: Step, line: &str) {
    let refused = line.starts_with('-');
    match step {
        Step::Ping => {
            let owes_auth = ["-NOAUTH", "-NOPERM", "-ERR operation not permitted"]
                .iter()
                .any(|code| line.starts_with(code));
            if !line.starts_with('+') && !owes_auth {
                state
                    .log
                    .warning(format_args!("Error reply to PING from master: '{line}'"));
                return handshake_failed(state);
            }
            state
                .log
                .notice("Master replied to PING, replication can continue...");
            introduce(state);
        }
        Step::Auth => {
            if refused {
                state
                    .log
                    .warning(format_args!("Unable to AUTH to MASTER: {line}"));
                return handshake_failed(state);
            }
            state.replication.link.step = Step::Port;
        }
        Step::Port => {
            not_understood(state, refused, "listening-port", line);
            state.replication.link.step = match state.replication.link.said_ip {
                true => Step::Ip,
                false => Step::Capa,
            };
        }
        Step::Ip => {
            not_understood(state, refused, "ip-address", line);
            state.replication.link.step = Step::Capa;
        }
        Step::Capa => {
            not_understood(state, refused, "capa", line);
            ask_for_stream(state);
        }
        Step::Psync => psync_line(state, line),
        _ => {}
    }
}

fn not_understood(state: &State, refused: bool, what: &str, line: &str) {
    if refused {
        state.log.notice(format_args!(
            "(Non critical) Master does not understand REPLCONF {what}: {line}"
        ));
    }
}

/// Sends the password, if there is one. Returns whether there is.
pub(super) fn say_login(state: &mut State, wire: Option<WireKey>) -> bool {
    let Some(secret) = state.config.masterauth.clone() else {
        return false;
    };
    let user = state.config.masteruser.clone();
    let mut words = vec![b"AUTH".to_vec()];
    words.extend(user.map(String::into_bytes));
    words.push(secret);
    say(state, wire, words);
    true
}

/// The port that the primary shows to others for this replica.
#[doc(alias = "slaveGetPortStr")]
pub(super) fn announced_port(state: &State) -> u16 {
    match state.config.replica_announce_port {
        0 if state.config.tls_replication && state.config.tls_port != 0 => state.config.tls_port,
        0 => state.tcp_port,
        port => port,
    }
}

/// Sends the handshake: password, port, address, abilities.
fn introduce(state: &mut State) {
    let said_auth = say_login(state, state.replication.link.wire);
    let ip = state.config.replica_announce_ip.clone();
    let port = announced_port(state);
    say_to_primary(state, ["REPLCONF", "listening-port", &port.to_string()]);
    if let Some(ip) = &ip {
        say_to_primary(state, ["REPLCONF", "ip-address", ip]);
    }
    let mut words = vec!["REPLCONF", "capa", "eof", "capa", "psync2"];
    if state.config.repl_rdb_channel {
        words.extend(["capa", "rdb-channel-repl"]);
    }
    if state.config.cluster_enabled {
        words.extend(["capa", CAPA_TRIMSLOTS]);
    }
    say_to_primary(state, words);
    let link = &mut state.replication.link;
    link.said_auth = said_auth;
    link.said_ip = ip.is_some();
    link.step = match link.said_auth {
        true => Step::Auth,
        false => Step::Port,
    };
}

#[doc(alias = "slaveTryPartialResynchronization")]
fn ask_for_stream(state: &mut State) {
    let replication = &mut state.replication;
    replication.link.step = Step::Psync;
    let (id, next) = match replication.link.cached {
        Some(_) => (replication.id.clone(), (replication.offset + 1).to_string()),
        None => ("?".to_owned(), "-1".to_owned()),
    };
    if id == "?" {
        state
            .log
            .notice("Partial resynchronization not possible (no cached master)");
    } else {
        state.log.notice(format_args!(
            "Trying a partial resynchronization (request {id}:{next})."
        ));
    }
    let mut words = vec!["PSYNC", &id, &next];
    if state.replication.failover.stage == Stage::InProgress {
        words.push("FAILOVER");
    }
    say_to_primary(state, words);
}

fn psync_line(state: &mut State, line: &str) {
    // Empty lines only say that the primary is there.
    if line.is_empty() {
        return;
    }
    if state.replication.failover.stage == Stage::InProgress {
        let answers = ["+FULLRESYNC", "+CONTINUE", "+RDBCHANNELSYNC"];
        if answers.iter().any(|answer| line.starts_with(answer)) {
            failover::clear_failover(state);
        } else {
            state.log.notice(format_args!("Reply to PSYNC: {line}"));
            return failover::abort_failover(state, "Failover target rejected psync request");
        }
    }
    if let Some(main_id) = line.strip_prefix("+RDBCHANNELSYNC") {
        return channel::begin_channel(state, main_id.trim());
    }
    if line.starts_with("+FULLRESYNC") {
        if let Some((id, offset)) = parse_full_resync(line) {
            state
                .log
                .notice(format_args!("Full resync from master: {id}:{offset}"));
            state.replication.link.announced = Some((id, offset));
        } else {
            state
                .log
                .warning("Master replied with wrong +FULLRESYNC syntax.");
        }
        return transfer::begin_transfer(state);
    }
    if let Some(rest) = line.strip_prefix("+CONTINUE")
        && let Some(db) = state.replication.link.cached.take()
    {
        return go_on(state, db, rest.trim());
    }
    if line.starts_with("-NOMASTERLINK") || line.starts_with("-LOADING") {
        state.log.notice(format_args!(
            "Master is currently unable to PSYNC but should be in the future: {line}"
        ));
        return handshake_failed(state);
    }
    if line.starts_with("-ERR") {
        state.log.notice(format_args!(
            "Master does not support PSYNC or is in error state (reply: {line})"
        ));
    } else {
        state.log.warning(format_args!(
            "Unexpected reply to PSYNC from master: {line}"
        ));
    }
    state.log.notice("Retrying with SYNC...");
    if let Some(out) = link_out(state) {
        out.extend_from_slice(b"SYNC\r\n");
    }
    transfer::begin_transfer(state);
}

/// The name and the position of the stream in a line `+FULLRESYNC <name> <position>`.
pub(super) fn parse_full_resync(line: &str) -> Option<(String, u64)> {
    let mut words = line.strip_prefix("+FULLRESYNC")?.split_ascii_whitespace();
    let id = words.next().filter(|id| is_id(id))?;
    let offset = words.next()?.parse().ok()?;
    Some((id.to_owned(), offset))
}

/// The primary sends the stream from where we stopped.
fn go_on(state: &mut State, db: DbId, id: &str) {
    state
        .log
        .notice("Successful partial resynchronization with master.");
    if is_id(id) && id != state.replication.id {
        state
            .log
            .notice(format_args!("Master replication ID changed to {id}"));
        let replication = &mut state.replication;
        replication.second_offset = Some(replication.offset + 1);
        replication.id2 = std::mem::replace(&mut replication.id, id.to_owned());
        // Replicas must learn the stream's new name.
        primary::disconnect_replicas(state);
    }
    primary_is_client(state, db);
    if state.replication.backlog.is_none() {
        stream::create_backlog(state);
    }
    state
        .log
        .notice("MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.");
}

/// From here on the primary is a client; the loop gives it its socket.
#[doc(alias = "replicationCreateMasterClient")]
pub(in crate::replication) fn primary_is_client(state: &mut State, db: DbId) {
    let now = state.clock.unix_ms();
    let client = state.clients.insert(
        now,
        ClientFlags::PRIMARY | ClientFlags::MUST_OBEY | ClientFlags::AUTHENTICATED,
    );
    client.db = db;
    if let Some(primary) = &state.config.replicaof {
        client.address = format!("{}:{}", primary.host, primary.port);
    }
    let link = &mut state.replication.link;
    link.client = Some(client.key);
    link.step = Step::Connected;
    link.down_since_s = None;
    link.cached = None;
    link.held.clear();
    link.last_io_ms = now;
    state.tell_modules(
        EventId::PrimaryLink,
        kinds::primary_link::UP,
        EventData::None,
    );
}

/// A client is gone; if it was our primary, the link is down, and the cron connects again.
#[doc(alias = "replicationCacheMaster")]
pub fn primary_lost(state: &mut State, client: ClientKey) {
    if state.replication.link.client != Some(client) {
        return;
    }
    let who = state.clients.get(client);
    let spoke_nonsense = who.is_some_and(|who| who.flags.has(ClientFlags::PROTOCOL_ERROR));
    let db = who.map_or(DbId(0), |who| who.db);
    let seconds = state.clock.unix_seconds();
    state.log.notice("Connection with master lost.");
    state.tell_modules(
        EventId::PrimaryLink,
        kinds::primary_link::DOWN,
        EventData::None,
    );
    channel::streaming_ended(state);
    let link = &mut state.replication.link;
    link.client = None;
    link.held.clear();
    link.attempt += 1;
    if let Some(wire) = link.wire.take() {
        state.wires.close(wire);
    }
    link.down_since_s = Some(seconds);
    if link.step != Step::Off {
        link.step = Step::Connect;
    }
    // After nonsense nothing tells where the stream is.
    link.cached = (!spoke_nonsense).then_some(db);
    if !spoke_nonsense {
        state.log.notice("Caching the disconnected master state.");
    }
    if let Some(Primary { host, port }) = &state.config.replicaof {
        state
            .log
            .notice(format_args!("Reconnecting to MASTER {host}:{port}"));
        connect_to_primary(state);
    }
}

/// A request of the primary was run, or queued by its transaction: its bytes are part of our own stream, once
/// the transaction is whole.
#[doc(alias = "replicationFeedStreamFromMasterStream")]
pub fn primary_applied(state: &mut State, client: ClientKey, bytes: &[u8]) {
    let in_transaction = state
        .clients
        .get(client)
        .is_some_and(|client| client.flags.has(ClientFlags::MULTI));
    if state.replication.link.client != Some(client) {
        return;
    }
    let held = &mut state.replication.link.held;
    if in_transaction {
        held.extend_from_slice(bytes);
        return;
    }
    if held.is_empty() {
        return stream::append_to_stream(state, bytes);
    }
    let mut whole = std::mem::take(held);
    whole.extend_from_slice(bytes);
    stream::append_to_stream(state, &whole);
}

/// Tells the primary how far we are.
#[doc(alias = "replicationSendAck")]
pub fn send_ack(state: &mut State) {
    let Some(client) = state.replication.link.client else {
        return;
    };
    let mut words = vec![
        "REPLCONF".to_owned(),
        "ACK".to_owned(),
        state.replication.offset.to_string(),
    ];
    if let Some(safe) = acks::aof_safe_position(state) {
        words.extend(["FACK".to_owned(), safe.to_string()]);
    }
    let mut bytes = Vec::new();
    crate::resp::argv::OwnedArgv::from_words(words)
        .as_argv()
        .encode(&mut bytes);
    if !channel::is_streaming(state) {
        return state.clients.send(client, |reply| reply.raw(&bytes));
    }
    // The client has no connection yet.
    if let Some(out) = link_out(state) {
        out.extend_from_slice(&bytes);
    }
}

/// The care for the link, once a second: a silent link is given up, a link that is down is opened again, and over a
/// link that is up the primary gets an acknowledgement.
#[doc(alias = "replicationCron")]
pub(in crate::replication) fn care_for_link(state: &mut State) {
    let now = state.clock.unix_ms();
    let timeout_ms = Ms::from(state.config.repl_timeout) * 1000;
    let step = state.replication.link.step;
    let late = now - state.replication.link.last_io_ms > timeout_ms;
    match step {
        Step::Off => {}
        Step::Connect => {
            if let Some(Primary { host, port }) = &state.config.replicaof {
                state
                    .log
                    .notice(format_args!("Connecting to MASTER {host}:{port}"));
            }
            connect_to_primary(state);
        }
        Step::Transfer if late && !transfer::link_waits(state) => {
            state.log.warning(
                "Timeout receiving bulk data from MASTER... If the problem persists try to set the \
                 'repl-timeout' parameter in redis.conf to a larger value.",
            );
            transfer_failed(state);
        }
        Step::Connected => {
            let client = state.replication.link.client;
            let silent_ms = client
                .and_then(|client| state.clients.get(client))
                .map_or(0, |client| now - client.active_ms);
            if silent_ms > timeout_ms
                && let Some(client) = client
            {
                state
                    .log
                    .warning("MASTER timeout: no data nor PING received...");
                state.clients.close_asap(client);
            } else {
                send_ack(state);
            }
        }
        Step::Transfer => {}
        _ if late => {
            state.log.warning("Timeout connecting to the MASTER...");
            transfer_failed(state);
        }
        _ => {}
    }
}

/// As [`care_for_link`], while a data set is loaded: that of our primary, which must not take us for dead.
#[doc(alias = "replicationSendNewlineToMaster")]
pub(crate) fn care_for_link_while_loading(state: &mut State) {
    if state.replication.link.step != Step::Transfer || !transfer::is_loading_from_primary(state) {
        return;
    }
    if transfer::link_waits(state) {
        // This side does not read during a load, so the primary's silence does not count.
        state.replication.link.last_io_ms = state.clock.unix_ms();
    }
    care_for_link(state);
    let link = &state.replication.link;
    if let Some(wire) = link.wire.filter(|_| link.step == Step::Transfer)
        && state.wires.unsent(wire) == 0
        && let Some(out) = state.wires.out(wire)
    {
        out.push(b'\n');
    }
}

/// Once a second, or more often.
#[doc(alias = "replicationCron")]
pub fn cron(state: &mut State) {
    failover::update_failover(state);
    care_for_link(state);
    primary::care_for_replicas(state);
}
