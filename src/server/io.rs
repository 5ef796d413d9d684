//! Bytes in to requests, replies to bytes out.
//!
//! One `read` per readable client and turn, into one buffer shared by all: whole requests are parsed
//! and run from it in place, and only an unfinished rest is copied to the client. One `write` per
//! client and turn, from the reply where it lies.
//!
//! Edge-triggered polling: a read that came back short has drained the socket, so the loop does not ask the
//! kernel a second time for `EAGAIN`; one that filled the buffer leaves the client in line for the
//! next turn, behind all others that are ready.
//!
//! Pipelined requests are parsed a batch ahead so that the keys they name are on their way from
//! memory before the first of them runs. A pipeline that runs for longer than its share goes on in the next turn, after
//! others were served: neither the order of its replies nor a transaction depends on it.
//!
//! Mirrors: `readQueryFromClient`, `processInputBuffer` and `writeToClient` of networking.c.

use std::io::{self, ErrorKind, IoSlice, Read, Write};

use mio::{Interest, Token};

use super::connection::{Connection, Stream};
use super::event_loop::{DENIED, FIRST_CLIENT, Turn};
use crate::acl;
use crate::clients;
use crate::clients::cron::{UNAUTHENTICATED_OUTPUT, UNAUTHENTICATED_QUERY};
use crate::clients::{Client, ClientFlags, ClientKey, ClientKind};
use crate::config::{TlsAuthClientsUser, disk};
use crate::dispatch::{self, Outcome};
use crate::observe;
use crate::replication;
use crate::resp::request::{
    ARRIVING_READ, Limits, Parsed, Parser, ProtocolError, READ_BUFFER, Request,
};
use crate::resp::{Output, Reply};
use crate::sys::log::Level;
use crate::util::args;

/// Bytes that a client with an unfinished request reads at a time.
const PRIVATE_READ: usize = 16 * 1024;
/// Keys that the cache holds anyway, so that prefetching them would only cost.
const IN_CACHE: usize = 4096;
/// Requests parsed ahead of the one that runs.
pub(super) const BATCH: usize = 16;
/// Bytes written to one client before others get their turn.
const WRITE_SHARE: usize = 1 << 20;
/// Nanoseconds for which the requests of one client run before others get their turn.
const RUN_SHARE_NS: u64 = 1_000_000;

/// The place of the bytes that a read brought.
enum Source {
    /// The buffer shared by all clients, so many bytes of it.
    Shared(usize),
    /// The client's own buffer, behind the beginning of a request.
    Private,
    /// A big argument, read into the allocation that becomes the value.
    Arriving,
}

/// The end of a batch of requests.
enum Ended {
    /// All were run.
    All,
    /// The client may run no more for now, or has gone.
    Stopped,
}

/// The requests that were parsed ahead.
struct Parse {
    /// The number of whole requests.
    ready: usize,
    /// The offset behind the last whole request.
    end: usize,
    /// The parser's answer behind it.
    last: Parsed,
}

impl Turn<'_> {
    /// Reads once from a client and runs what arrived.
    pub(super) fn read_client(&mut self, key: ClientKey) {
        let Some(source) = self.read_once(key) else {
            return;
        };
        let client = self.state.clients.get_mut(key);
        let Some(client) = client.filter(|client| client.runnable()) else {
            return;
        };
        match source {
            Source::Shared(n) => {
                client.shared_query = n;
                let buffer = std::mem::take(&mut self.sockets.read_buffer);
                let used = self.run_requests(key, &buffer[..n]);
                if let Some(client) = self.state.clients.get_mut(key) {
                    client.shared_query = 0;
                    if used < n {
                        // The rest of the request will be read into the same buffer.
                        client.query.reserve_exact(n - used + PRIVATE_READ);
                        client.query.extend_from_slice(&buffer[used..n]);
                    }
                }
                self.sockets.read_buffer = buffer;
            }
            Source::Private | Source::Arriving => {
                // A big argument counts with the line break behind it, before it becomes a value.
                let (arriving, _) = client.parser.arriving_bytes();
                if arriving + 2 > self.state.config.client_query_buffer_limit {
                    return self.close_over_query_limit(key);
                }
                self.run_private(key);
            }
        }
        self.check_query_limit(key);
        self.state.clients.changed(key);
    }

    /// Reads once from a client that may run commands, and counts the bytes. Returns where they are, or `None` if none
    /// came: the client then waits for the poll, stays in line, or is closed.
    fn read_once(&mut self, key: ClientKey) -> Option<Source> {
        let client = self.state.clients.get_mut(key)?;
        let connection = self.sockets.connections.get_mut(key.slot as usize)?;
        let connection = connection.as_mut()?;
        connection.readable = true;
        if client.flags.has(ClientFlags::PRIMARY) && self.state.scripts.is_busy() {
            // A command from the primary cannot be refused with BUSY, so it stays unread until the script ends.
            self.sockets.more.push(key);
            return None;
        }
        if client.flags.has(ClientFlags::UNBLOCKED) {
            // It goes on with what it sent before more is read.
            return None;
        }
        if !client.runnable() {
            // The peer of a blocked or paused client has gone: no one is left to read the reply.
            let waits = ClientFlags::BLOCKED | ClientFlags::PAUSED;
            if connection.peer_closed && client.flags.any(waits) {
                self.state.clients.close_asap(key);
            }
            return None;
        }
        let stream = &mut connection.stream;
        let (room, result) = read_into(client, stream, &mut self.sockets.read_buffer);
        let (n, source) = match result {
            Ok((0, _)) => {
                let is_primary = client.flags.has(ClientFlags::PRIMARY);
                self.state.clients.close_asap(key);
                if is_primary {
                    // Clients that are answered in this turn learn that the link is down.
                    self.close(key);
                }
                return None;
            }
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                connection.readable = false;
                // Room made for nothing; it would count as the client's.
                client.query.shrink_to_fit();
                self.tls_progress(key);
                return None;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                self.sockets.more.push(key);
                return None;
            }
            Err(error) => {
                self.close_failed(key, &error);
                return None;
            }
        };
        if n < room && !connection.peer_closed && !connection.stream.pending() {
            connection.readable = false;
        } else {
            self.sockets.more.push(key);
        }
        client.active_ms = self.state.clock.unix_ms();
        client.bytes_in += n as u64;
        client.query_peak = client.query_peak.max(client.query.len());
        match client.kind() {
            ClientKind::Primary => self.state.stats.net_repl_input_bytes += n as u64,
            _ => self.state.stats.net_input_bytes += n as u64,
        }
        self.state.stats.reads_processed += 1;
        if connection.stream.is_tls() {
            self.tls_progress(key);
        }
        Some(source)
    }

    /// Handles results of a read under TLS other than requests: the end of the handshake, bytes to send.
    #[doc(alias = "tlsHandleEvent")]
    fn tls_progress(&mut self, key: ClientKey) {
        let Some(Some(connection)) = self.sockets.connections.get_mut(key.slot as usize) else {
            return;
        };
        let Stream::Tls(stream) = &mut connection.stream else {
            return;
        };
        if stream.just_established() {
            if let Some(client) = self.state.clients.get_mut(key) {
                client.flags.clear(ClientFlags::HANDSHAKE);
                client.certificate = stream.peer_certificate().map(Into::into);
            }
            let by_name = self.state.config.tls_auth_clients_user == TlsAuthClientsUser::CommonName;
            if let Some(name) = by_name.then(|| stream.peer_name()).flatten() {
                acl::act::act_as_certified(self.state, key, &name);
            }
            let client = self.state.clients.get(key);
            let is_local = client.is_some_and(Client::is_local);
            if acl::act::protects_itself(self.state) && !is_local {
                self.state.stats.connections_rejected += 1;
                self.state.clients.send(key, |reply| reply.raw(DENIED));
                if let Some(client) = self.state.clients.get_mut(key) {
                    client.flags.set(ClientFlags::CLOSE_AFTER_REPLY);
                }
            }
            // Replies queued during the handshake could not be sent until now.
            self.state.clients.wants_write(key);
        }
        if connection.stream.unsent()
            && let Some(client) = self.state.clients.get_mut(key)
        {
            await_room(&self.sockets.poll, connection, client);
        }
    }

    /// Closes a connection that cannot be read from; the log tells why it never was one.
    #[cold]
    fn close_failed(&mut self, key: ClientKey, error: &io::Error) {
        let connection = self.sockets.connections.get(key.slot as usize);
        if let Some(Some(connection)) = connection
            && let Stream::Tls(stream) = &connection.stream
            && stream.is_handshaking()
            && let Some(client) = self.state.clients.get(key)
        {
            let (reason, address) = (disk::reason(error), &client.address);
            let local = &client.local_address;
            self.state.log.verbose(format_args!(
                "Error accepting a client connection: {reason} (addr={address} laddr={local})"
            ));
        }
        self.state.clients.close_asap(key);
    }

    /// Runs what a client already sent, when it may go on.
    pub(super) fn resume_client(&mut self, key: ClientKey) {
        let Some(client) = self.state.clients.get_mut(key) else {
            return;
        };
        client.flags.clear(ClientFlags::UNBLOCKED);
        if !client.runnable() {
            return;
        }
        self.run_private(key);
        let waiting = self
            .sockets
            .connections
            .get(key.slot as usize)
            .and_then(Option::as_ref);
        if waiting.is_some_and(|c| c.readable) {
            self.sockets.more.push(key);
        }
    }

    fn run_private(&mut self, key: ClientKey) {
        let Some(client) = self.state.clients.get_mut(key) else {
            return;
        };
        let mut query = std::mem::take(&mut client.query);
        let used = self.run_requests(key, &query);
        if let Some(client) = self.state.clients.get_mut(key) {
            query.drain(..used);
            // While a big argument arrives, the client already holds the part of its request that came
            // before it. The cron takes the buffer from a client that does not use it.
            if client.query.is_empty() {
                client.query = query;
            }
        }
    }

    /// Parses and runs the requests in `buf`, which begins with a request's first byte. Returns how
    /// many bytes are used up; the rest belongs to a request that is not whole or not runnable yet.
    fn run_requests(&mut self, key: ClientKey, buf: &[u8]) -> usize {
        let mut batch = std::mem::take(&mut self.sockets.batch);
        let used = self.run_batches(key, buf, &mut batch);
        self.sockets.batch = batch;
        used
    }

    fn run_batches(&mut self, key: ClientKey, buf: &[u8], batch: &mut [Request]) -> usize {
        let mut used = 0;
        let mut until = None;
        loop {
            let Some(parsed) = self.parse_ahead(key, buf, used, batch) else {
                return used;
            };
            let Parse { ready, end, last } = parsed;
            if ready > 0 {
                let ended = self.run_batch(key, buf, &mut used, &batch[..ready], &mut until);
                batch[..ready].iter_mut().for_each(Request::release);
                let Some(client) = self.state.clients.get_mut(key) else {
                    return used;
                };
                if let Ended::Stopped = ended {
                    // Requests parsed beyond this one are parsed again when the client may go on.
                    client.parser = Parser::default();
                    client.request = Request::default();
                    return used;
                }
            }
            match last {
                Parsed::Request => continue,
                Parsed::Error(error) => {
                    self.refuse_protocol(key, &error, &buf[end..]);
                    return buf.len();
                }
                Parsed::Incomplete => {
                    let Some(client) = self.state.clients.get_mut(key) else {
                        return used;
                    };
                    if client.parser.arriving().is_none_or(|missing| missing == 0) {
                        return used;
                    }
                    // A big argument begins: what arrived of it moves out of the buffer.
                    let begin = used + client.parser.position();
                    let fed = client.parser.feed_arriving(&buf[begin..]);
                    client.query.clear();
                    client.query.extend_from_slice(&buf[used..begin]);
                    client.query.extend_from_slice(&buf[begin + fed..]);
                    return buf.len();
                }
            }
        }
    }

    /// Parses requests from `used` on, as many as `lookahead` says and one before authentication, and has the cache fetch
    /// the keys that they name. `None` if the client has gone.
    #[inline]
    fn parse_ahead(
        &mut self,
        key: ClientKey,
        buf: &[u8],
        used: usize,
        batch: &mut [Request],
    ) -> Option<Parse> {
        let who = self.state.clients.get(key);
        let unauthenticated = who.is_some_and(|client| acl::act::owes_auth(self.state, client));
        let client = self.state.clients.get_mut(key)?;
        // Requests from a primary were accepted there, and are propagated unchanged.
        let verbatim = client.flags.has(ClientFlags::PRIMARY);
        let limits = Limits {
            max_bulk: match verbatim {
                true => i64::MAX as u64,
                false => self.state.config.proto_max_bulk_len as u64,
            },
            unauthenticated,
            in_place: verbatim,
        };
        // Before authentication the limits may change with each request.
        let ahead = match limits.unauthenticated {
            true => 1,
            false => (self.state.config.lookahead as usize).min(BATCH),
        };
        let mut ready = 0;
        let mut end = used;
        let mut last = Parsed::Incomplete;
        while ready < ahead {
            std::mem::swap(&mut batch[ready], &mut client.request);
            last = client.parser.parse(&buf[end..], limits, &mut batch[ready]);
            if last != Parsed::Request {
                std::mem::swap(&mut batch[ready], &mut client.request);
                break;
            }
            end += batch[ready].len;
            ready += 1;
        }
        let prefetched = ready.min(self.state.config.prefetch_batch_max_size);
        if prefetched > 1 {
            self.prefetch(key, &buf[used..], &batch[..prefetched]);
        }
        Some(Parse { ready, end, last })
    }

    /// Answers bytes that are no request, and closes the client once it has the answer.
    #[cold]
    fn refuse_protocol(&mut self, key: ClientKey, error: &ProtocolError, rest: &[u8]) {
        self.log_protocol_error(key, error, rest);
        let text = format!("ERR Protocol error: {error}");
        self.state.stats.count_error_code("ERR");
        self.state
            .clients
            .send(key, |reply| reply.error_text(&text));
        if let Some(client) = self.state.clients.get_mut(key) {
            client
                .flags
                .set(ClientFlags::CLOSE_AFTER_REPLY | ClientFlags::PROTOCOL_ERROR);
        }
    }

    /// Runs parsed requests and adds their bytes to `used`, until one stops the client or its share is used up. The share
    /// ends at `until`, which the first batch sets.
    fn run_batch(
        &mut self,
        key: ClientKey,
        buf: &[u8],
        used: &mut usize,
        batch: &[Request],
        until: &mut Option<u64>,
    ) -> Ended {
        // The first batch of a connection obeys the limit, too. A client that has yet to authenticate may do so within
        // the batch.
        let limit = self.class_limit(key);
        let client = &mut self.state.clients[key];
        let mut out = std::mem::take(&mut client.out);
        out.set_limit(limit);
        let mut reply = Reply::to_wire(out, client.protocol);
        let mut ended = Ended::All;
        let lent = self.sockets.listeners.lent.clone();
        let now = self.state.clock.monotonic_ns();
        let until = *until.get_or_insert(now + RUN_SHARE_NS);
        self.state.lap_ns = Some(now);
        for request in batch {
            let argv = request.argv(&buf[*used..]);
            self.state.cluster.stats.request_bytes = request.len as u64;
            let outcome = lent.lend(self.sockets, || {
                let who = &self.state.clients[key];
                if who.flags.has(ClientFlags::REPLICA) {
                    // Its connection carries the stream and nothing else.
                    let mut own = Reply::to_wire(Output::new(), who.protocol);
                    let outcome = dispatch::process(self.state, key, argv, &mut own);
                    if !own.is_empty() {
                        replication::act::trouble::replica_was_answered(self.state, key);
                    }
                    outcome
                } else if who.silent() {
                    let mut nowhere = Reply::discard();
                    dispatch::process(self.state, key, argv, &mut nowhere)
                } else {
                    dispatch::process(self.state, key, argv, &mut reply)
                }
            });
            if outcome == Outcome::Postponed {
                ended = Ended::Stopped;
                break;
            }
            let bytes = *used..*used + request.len;
            *used = bytes.end;
            let mut client = &mut self.state.clients[key];
            if client.is_peer() {
                self.heard_from_peer(key, request, &buf[bytes]);
                client = &mut self.state.clients[key];
            }
            after_request(client, &mut reply);
            if !client.runnable() {
                ended = Ended::Stopped;
                break;
            }
            let overdue = self.state.lap_ns.is_some_and(|now| now > until);
            if overdue && *used < buf.len() && !client.is_peer() {
                self.state.clients.resume(key);
                ended = Ended::Stopped;
                break;
            }
        }
        self.state.lap_ns = None;
        if let Some(out) = reply.into_output() {
            self.put_back(key, out);
        }
        ended
    }

    /// Bytes that a client of this class may have waiting; 0 for no limit.
    #[inline]
    fn class_limit(&self, key: ClientKey) -> usize {
        match self.state.clients[key].kind() {
            // Of a replica's stream only a piece is here at a time; its limit is about all it was not sent.
            ClientKind::Replica => 0,
            kind => self.state.config.output_limit(kind).hard_bytes as usize,
        }
    }

    /// Gives a client the output of its batch, within the limit of its class, and has it written.
    #[inline]
    fn put_back(&mut self, key: ClientKey, out: Output) {
        let client = &mut self.state.clients[key];
        client.out = out;
        let ends = client.flags.has(ClientFlags::CLOSE_AFTER_REPLY);
        // The client's class may have changed during the command, and its limit with it.
        let limit = match acl::act::owes_auth(self.state, &self.state.clients[key]) {
            true => UNAUTHENTICATED_OUTPUT,
            false => self.class_limit(key),
        };
        let client = &mut self.state.clients[key];
        client.out.set_limit(limit);
        if client.out.overflowed() {
            self.state.clients.note_over_limit(key);
            return;
        }
        self.state.clients.changed(key);
        let client = &self.state.clients[key];
        if !client.out.is_empty() || ends {
            self.state.clients.wants_write(key);
        }
    }

    /// A primary's request ran, or a replica sent one.
    fn heard_from_peer(&mut self, key: ClientKey, request: &Request, bytes: &[u8]) {
        let empty = request.argv(bytes).is_empty();
        if self.state.clients[key].flags.has(ClientFlags::REPLICA) {
            if empty {
                replication::act::primary::replica_is_alive(self.state, key);
            }
        } else if request.is_inline() && !empty {
            self.state.log.warning(
                "WARNING: Receiving inline protocol from master, master stream corruption? Closing the master \
                 connection and discarding the cached master.",
            );
            let flags = &mut self.state.clients[key].flags;
            flags.set(ClientFlags::PROTOCOL_ERROR);
            self.state.clients.close_asap(key);
        } else {
            replication::act::link::primary_applied(self.state, key, bytes);
        }
    }

    /// Starts bringing the first keys of parsed requests into the cache.
    fn prefetch(&mut self, key: ClientKey, buf: &[u8], batch: &[Request]) {
        let client = &self.state.clients[key];
        let db = &self.state.keyspace[client.db];
        if db.len() < IN_CACHE {
            return;
        }
        // A pipeline mostly repeats one command. A wrong guess costs the prefetch of a line that nobody reads.
        let repeated = client.last_command.map(|id| &self.state.commands[id]);
        let first_key = repeated.map_or(1, |entry| entry.first_key);
        let mut known = [db.hash(b""); BATCH];
        let mut count = 0;
        let mut start = 0;
        for request in batch {
            let argv = request.argv(&buf[start..]);
            if argv.len() > first_key {
                known[count] = db.hash(argv.get(first_key));
                count += 1;
            }
            start += request.len;
        }
        db.prefetch(&known[..count]);
    }

    fn check_query_limit(&mut self, key: ClientKey) {
        let Some(client) = self.state.clients.get(key) else {
            return;
        };
        let held = client.query.len() + client.parser.parsed_bytes(&client.request);
        let limit = self.state.config.client_query_buffer_limit;
        let limit = match acl::act::owes_auth(self.state, client) {
            true => limit.min(UNAUTHENTICATED_QUERY),
            false => limit,
        };
        if held > limit && client.kind() != ClientKind::Primary {
            self.close_over_query_limit(key);
        }
    }

    fn close_over_query_limit(&mut self, key: ClientKey) {
        let Some(client) = self.state.clients.get(key) else {
            return;
        };
        let line = observe::act::clients::describe_client(self.state, client, None);
        let mut begin = Vec::new();
        args::repr(&mut begin, &client.query[..client.query.len().min(64)]);
        let begin = String::from_utf8_lossy(&begin);
        self.state.log.warning(format_args!(
            "Closing client that reached max query buffer length: {line} (qbuf initial bytes: {begin})"
        ));
        self.state.stats.query_buffer_disconnections += 1;
        self.state.clients.close_asap(key);
    }

    /// Tells the log what a client sent that is no request.
    #[cold]
    fn log_protocol_error(&self, key: ClientKey, error: &ProtocolError, rest: &[u8]) {
        const SHOWN: usize = 128;
        let Some(client) = self.state.clients.get(key) else {
            return;
        };
        if !self.state.log.enabled(Level::Verbose) {
            return;
        }
        let shown = |bytes: &[u8]| -> String {
            let printable = |b: &u8| {
                if (b' '..=b'~').contains(b) {
                    *b as char
                } else {
                    '.'
                }
            };
            bytes.iter().map(printable).collect()
        };
        let sample = if rest.len() <= SHOWN {
            format!("'{}'", shown(rest))
        } else {
            let (begin, end) = (&rest[..SHOWN / 2], &rest[rest.len() - SHOWN / 2..]);
            let more = rest.len() - SHOWN;
            format!(
                "'{}' (... more {more} bytes ...) '{}'",
                shown(begin),
                shown(end)
            )
        };
        let line = observe::act::clients::describe_client(self.state, client, None);
        self.state.log.verbose(format_args!(
            "Protocol error ({error}) from client: {line}. Query buffer during protocol error: {sample}"
        ));
    }

    /// Sends a client's queued replies. Bytes that the socket does not take now are sent when it has room again.
    pub(super) fn write_client(&mut self, key: ClientKey) {
        let Some(client) = self.state.clients.get_mut(key) else {
            return;
        };
        let Some(Some(connection)) = self.sockets.connections.get_mut(key.slot as usize) else {
            return;
        };
        client.flags.clear(ClientFlags::PENDING_WRITE);
        if client.flags.has(ClientFlags::CLOSE_ASAP) {
            return;
        }
        client.reply_peak.0 = client.reply_peak.0.max(client.out.len());
        let mut written = 0;
        let (mut held, mut full) = (connection.stream.unsent(), false);
        while (!client.out.is_empty() || held) && written < WRITE_SHARE {
            let result = match client.out.single() {
                _ if held => connection.stream.flush().map(|()| 0),
                Some(bytes) => connection.stream.write(bytes),
                None => {
                    let mut slices: Vec<IoSlice<'_>> = Vec::new();
                    client.out.slices(&mut slices);
                    connection.stream.write_vectored(&slices)
                }
            };
            match result {
                Ok(n) => {
                    written += n;
                    client.out.advance(n);
                    held = connection.stream.unsent();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    await_room(&self.sockets.poll, connection, client);
                    full = true;
                    break;
                }
                Err(_) => {
                    self.state.clients.close_asap(key);
                    return;
                }
            }
        }
        client.bytes_out += written as u64;
        self.state.stats.net_output_bytes += written as u64;
        self.state.stats.writes_processed += u64::from(written > 0);
        if written > 0 {
            client.active_ms = self.state.clock.unix_ms();
        }
        if client.out.is_empty() && !held {
            if connection.awaits_room {
                connection.awaits_room = false;
                client.flags.clear(ClientFlags::AWAITS_ROOM);
                let _ = interest(&self.sockets.poll, connection, key, false);
            }
            if client.flags.has(ClientFlags::CLOSE_AFTER_REPLY) {
                self.state.clients.close_asap(key);
            }
        } else {
            // If it only had its share, the rest goes out in the next turn: the poll tells of room only after there
            // was none.
            if !full {
                self.state.clients.wants_write(key);
            }
            clients::act::cron::check_output_limit(self.state, key);
        }
        self.state.clients.changed(key);
    }
}

/// Reads once: a big argument into its value, the rest of a request behind its beginning, all else into the buffer that
/// all clients share. Returns the room there was, and how much came where.
#[inline]
fn read_into(
    client: &mut Client,
    stream: &mut Stream,
    shared: &mut [u8],
) -> (usize, io::Result<(usize, Source)>) {
    if let Some(missing) = client.parser.arriving().filter(|missing| *missing > 0) {
        let read = client.parser.read_arriving(stream);
        let room = missing.min(ARRIVING_READ);
        (room, read.map(|n| (n, Source::Arriving)))
    } else if client.query.is_empty() {
        let read = stream.read(shared);
        (READ_BUFFER, read.map(|n| (n, Source::Shared(n))))
    } else {
        let len = client.query.len();
        // Another server sends without an end: a small read would be a turn of the loop for each few commands.
        let feeds = ClientFlags::PRIMARY | ClientFlags::IMPORTS;
        let room = match client.flags.any(feeds) {
            true => READ_BUFFER,
            false => PRIVATE_READ,
        };
        client.query.resize(len + room, 0);
        let read = stream.read(&mut client.query[len..]);
        client.query.truncate(len + *read.as_ref().unwrap_or(&0));
        (room, read.map(|n| (n, Source::Private)))
    }
}

/// After a request: CLIENT REPLY SKIP wears off, HELLO may have changed the protocol, and messages to the client itself
/// follow the reply that they were sent during.
#[inline]
fn after_request(client: &mut Client, reply: &mut Reply) {
    client.commands += 1;
    if client
        .flags
        .any(ClientFlags::REPLY_SKIP | ClientFlags::REPLY_SKIP_NEXT)
    {
        let next = client.flags.has(ClientFlags::REPLY_SKIP_NEXT);
        client
            .flags
            .clear(ClientFlags::REPLY_SKIP | ClientFlags::REPLY_SKIP_NEXT);
        client.flags.put(ClientFlags::REPLY_SKIP, next);
    }
    if client.protocol != reply.protocol() {
        reply.set_protocol(client.protocol);
    }
    if !client.out.is_empty() {
        let messages = std::mem::take(&mut client.out);
        reply.append(messages);
    }
}

/// Has the poll tell when the socket has room.
fn await_room(poll: &mio::Poll, connection: &mut Connection, client: &mut Client) {
    if !connection.awaits_room {
        connection.awaits_room = true;
        client.flags.set(ClientFlags::AWAITS_ROOM);
        let _ = interest(poll, connection, client.key, true);
    }
}

fn interest(
    poll: &mio::Poll,
    connection: &mut Connection,
    key: ClientKey,
    writable: bool,
) -> io::Result<()> {
    let token = Token(key.slot as usize + FIRST_CLIENT);
    let what = if writable {
        Interest::READABLE | Interest::WRITABLE
    } else {
        Interest::READABLE
    };
    poll.registry()
        .reregister(&mut connection.stream, token, what)
}
