//! Those who read our stream: how they come to read it, and the periodic care of them.
//!
//! ```text
//!   PSYNC id position ─► in the backlog? ─► +CONTINUE, Online from there
//!                                      └──► Waits ─► Writing ─► Sending ─► Online        (full_sync.rs)
//! ```
//!
//! A replica's connection is never given more than a piece of the stream at a time: what it has not taken lies in the
//! backlog, where it costs nothing as long as the backlog is no longer than configured.
//!
//! Mirrors: replicationFeedSlaves(), syncCommand(), masterTryPartialResync() and the primary's half of
//! replicationCron() in replication.c.

use super::backlog::Backlog;
use super::{Phase, Replica};
use crate::clients::Announced;
use crate::clients::{ClientFlags, ClientKey};
use crate::command::{Said, Targets};
use crate::keyspace::{DbId, Ms};
use crate::resp::Error;
use crate::resp::argv::OwnedArgv;
use crate::state::State;

/// How much of the stream or of a file is handed to a connection at a time.
pub(super) const PIECE: usize = 256 * 1024;

/// Goes at the backlog in one turn of the cron.
const TRIMS: usize = 10;

/// A request to read the stream.
#[derive(Debug, Clone, Copy)]
pub enum Asked<'a> {
    /// SYNC: a replica of another age.
    Sync,
    /// PSYNC: the name of the stream it knows, and the number of the byte it wants next.
    Psync { id: &'a str, wanted: i64 },
}

/// What is answered to it.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// It goes on; the line says how.
    Continue(String),
    /// It is sent the data set; what there is to say is said when that begins.
    Full,
}

impl State {
    /// Whether we follow a primary.
    #[inline]
    pub fn is_replica(&self) -> bool {
        self.config.replicaof.is_some()
    }

    /// Tells a unit of effects to the replicas. Encoded once, whatever their number. A replica's own stream is its
    /// primary's, so what it changes by itself is told to nobody.
    #[doc(alias = "replicationFeedSlaves")]
    pub(crate) fn feed_replicas(&mut self, unit: &[Said]) {
        if self.is_replica() {
            return;
        }
        if self.replication.backlog.is_none() {
            // Nobody reads, but WAITAOF tells one write from the next.
            self.replication.offset += 1;
            return;
        }
        let mut bytes = Vec::new();
        for said in unit
            .iter()
            .filter(|said| said.targets.any(crate::command::Targets::REPLICAS))
        {
            if let Some(db) = said.db
                && self.replication.stream_db != Some(db)
            {
                self.replication.stream_db = Some(db);
                let select =
                    crate::resp::argv::OwnedArgv::from_words(["SELECT", &db.0.to_string()]);
                select.as_argv().encode(&mut bytes);
            }
            said.argv.as_argv().encode(&mut bytes);
        }
        if !bytes.is_empty() {
            self.append_to_stream(&bytes);
        }
    }

    /// Appends bytes to the stream; a replica that falls behind too far is given up.
    pub(super) fn append_to_stream(&mut self, bytes: &[u8]) {
        let size = self.config.repl_backlog_size;
        self.replication.append(bytes, size);
        let limit = self.config.client_output_buffer_limit.replica.hard_bytes;
        if limit == 0 {
            return;
        }
        let (limit, offset) = (limit.max(size), self.replication.offset);
        let behind = |replica: &&Replica| {
            !matches!(replica.phase, Phase::Waits { .. } | Phase::Done)
                && offset.saturating_sub(replica.next) > limit
        };
        for replica in self.replication.replicas.iter().filter(behind) {
            self.clients.note_over_limit(replica.client);
        }
    }

    /// Tells the replicas a command that nobody ran.
    pub fn say_to_replicas(&mut self, words: &[&[u8]]) {
        self.feed_replicas(&[Said {
            db: None,
            argv: crate::resp::argv::OwnedArgv::from_words(words),
            targets: crate::command::Targets::REPLICAS,
        }]);
    }

    /// The stream gets another name, and nobody can go on from the old one.
    pub fn change_stream(&mut self) {
        self.log
            .notice("Changing replication IDs after receiving change-repl-id");
        self.replication.change_id(&mut self.entropy);
        self.replication.clear_id2();
    }

    /// Hands replicas what they have room for.
    #[doc(alias = "writeToReplica")]
    pub(crate) fn serve_replicas(&mut self) {
        if self.replication.replicas.is_empty() {
            return;
        }
        self.ask_for_acks();
        self.pass_on_save();
        self.send_files();
        let (replication, clients) = (&mut self.replication, &mut self.clients);
        let Some(backlog) = &replication.backlog else {
            return;
        };
        let mut piece = Vec::new();
        for replica in &mut replication.replicas {
            if !matches!(replica.phase, Phase::Online { reads: true })
                || replica.next >= backlog.end()
            {
                continue;
            }
            let Some(client) = clients.get(replica.client) else {
                continue;
            };
            if client.out.len() >= PIECE {
                continue;
            }
            piece.clear();
            let read = backlog.read(replica.next, PIECE, &mut piece);
            replica.next += read as u64;
            self.stats.net_repl_output_bytes += read as u64;
            clients.send(replica.client, |reply| reply.raw(&piece));
        }
    }

    /// Whether some replica could be handed more at once: the loop must not sleep.
    pub(crate) fn replicas_wait_for_us(&self) -> bool {
        let end = self.replication.backlog.as_ref().map_or(0, Backlog::end);
        self.replication.replicas.iter().any(|replica| {
            let has_more = match replica.phase {
                Phase::Sending(_) => true,
                Phase::Online { reads } => reads && replica.next < end,
                _ => false,
            };
            has_more
                && self.clients.get(replica.client).is_some_and(|client| {
                    let stuck = ClientFlags::AWAITS_ROOM | ClientFlags::CLOSE_ASAP;
                    !client.flags.any(stuck)
                })
        }) || self.save_waits_for_us()
    }

    /// Where a replica listens: its address, and its port if it told.
    pub fn replica_listens(&self, client: ClientKey) -> (String, u16) {
        let Some(client) = self.clients.get(client) else {
            return Default::default();
        };
        let announced = client.announced.as_deref();
        let peer = client.address.rsplit_once(':').map_or("", |(ip, _)| ip);
        let ip = announced.and_then(|a| a.ip.as_deref()).unwrap_or(peer);
        (ip.to_owned(), announced.map_or(0, |a| a.port))
    }

    /// Whether all replicas have everything.
    #[doc(alias = "isReadyToShutdown")]
    pub fn replicas_caught_up(&self) -> bool {
        let offset = self.replication.offset;
        let mut replicas = self.replication.replicas.iter();
        replicas.all(|replica| replica.acked == offset)
    }

    /// Says which replicas lack something of the stream that ends now.
    pub fn log_lagging_replicas(&self) {
        let replication = &self.replication;
        let now = self.clock.unix_ms();
        let (all, mut in_sync) = (replication.replicas.len(), 0);
        for replica in &replication.replicas {
            if replica.acked == replication.offset {
                in_sync += 1;
                continue;
            }
            let lag = match replica.phase.is_online() {
                true => (now / 1000 - replica.acked_ms / 1000).max(0),
                false => 0,
            };
            self.log.notice(format_args!(
                "Lagging replica {} reported offset {} behind master, lag={lag}, state={}.",
                self.replica_name(replica.client),
                replication.offset.saturating_sub(replica.acked),
                replica.phase.name()
            ));
        }
        if all > 0 {
            self.log.notice(format_args!(
                "{in_sync} of {all} replicas are in sync when shutting down."
            ));
        }
    }

    /// What a replica is called in the log.
    #[doc(alias = "replicationGetSlaveName")]
    pub(super) fn replica_name(&self, client: ClientKey) -> String {
        match self.replica_listens(client) {
            (ip, 0) => format!("{ip}:<unknown-replica-port>"),
            (ip, port) => format!("{ip}:{port}"),
        }
    }

    /// A client asks to read the stream. The caller saw to it that it may.
    #[doc(alias = "syncCommand")]
    pub fn replica_asks(&mut self, client: ClientKey, asked: Asked<'_>) -> Answer {
        let name = self.replica_name(client);
        self.log
            .notice(format_args!("Replica {name} asks for synchronization"));
        if let Asked::Psync { id, wanted } = asked {
            if let Some(position) = self.can_continue(&name, id, wanted) {
                return Answer::Continue(self.continue_replica(client, position));
            }
            if id != "?" {
                self.stats.sync_partial_err += 1;
            }
        }
        self.stats.sync_full += 1;
        let announced = self.announced(client);
        let now = self.clock.unix_ms();
        self.enter_replica(Replica {
            client,
            phase: Phase::Waits { since_ms: now },
            next: self.replication.offset,
            acked: 0,
            acked_aof: 0,
            acked_ms: now,
            silent: matches!(asked, Asked::Sync),
            rdb_only: announced.rdb_only,
        });
        if self.replication.replicas.len() == 1 && self.replication.backlog.is_none() {
            self.replication.change_id(&mut self.entropy);
            self.replication.clear_id2();
            self.create_backlog();
            let replication = &self.replication;
            self.log.notice(format_args!(
                "Replication backlog created, my new replication IDs are '{}' and '{}'",
                replication.id, replication.id2
            ));
        }
        self.arrange_full_sync(client);
        Answer::Full
    }

    /// What a client said of itself.
    pub(super) fn announced(&self, client: ClientKey) -> Announced {
        let client = self.clients.get(client);
        let announced = client.and_then(|client| client.announced.as_deref());
        announced.cloned().unwrap_or_default()
    }

    fn enter_replica(&mut self, replica: Replica) {
        let client = &mut self.clients[replica.client];
        client.flags.set(ClientFlags::REPLICA);
        if self.config.repl_disable_tcp_nodelay
            && let Some(host) = &mut self.host
        {
            host.collect_packets(replica.client);
        }
        if self.replication.replicas.is_empty() {
            self.replication.last_ping_ms = replica.acked_ms;
        }
        self.replication.replicas.push(replica);
    }

    /// Keeps the stream from here on.
    #[doc(alias = "createReplicationBacklog")]
    pub(super) fn create_backlog(&mut self) {
        self.replication.backlog = Some(Backlog::new(self.replication.offset));
        self.replication.no_replicas_since_ms = self.clock.unix_ms();
        self.listen_for_replicas();
    }

    /// The stream of effects learns whether replicas may want to hear it. On a replica they hear its primary.
    pub(crate) fn listen_for_replicas(&mut self) {
        let wanted = self.replication.backlog.is_some() && !self.is_replica();
        let listening = self.effects.listening;
        self.effects.listening = match wanted {
            true => listening.or(crate::command::Targets::REPLICAS),
            false => listening.without(crate::command::Targets::REPLICAS),
        };
    }

    /// The position from which a replica can go on that knows a stream up to before byte `wanted`.
    #[doc(alias = "masterTryPartialResync")]
    fn can_continue(&self, name: &str, id: &str, wanted: i64) -> Option<u64> {
        let replication = &self.replication;
        let same = id.eq_ignore_ascii_case(&replication.id);
        let known_before = id.eq_ignore_ascii_case(&replication.id2)
            && replication.id2 != super::NO_ID
            && replication
                .second_offset
                .is_some_and(|valid| wanted >= 0 && wanted as u64 <= valid);
        if !same && !known_before {
            if id == "?" {
                self.log
                    .notice(format_args!("Full resync requested by replica {name}"));
            } else if id.eq_ignore_ascii_case(&replication.id2) {
                self.log.notice(format_args!(
                    "Partial resynchronization not accepted: Requested offset for second ID was {wanted}, \
                     but I can reply up to {}",
                    replication.second_offset.unwrap_or(0)
                ));
            } else {
                self.log.notice(format_args!(
                    "Partial resynchronization not accepted: Replication ID mismatch (Replica asked for \
                     '{id}', my replication IDs are '{}' and '{}')",
                    replication.id, replication.id2
                ));
            }
            return None;
        }
        let position = u64::try_from(wanted).ok().and_then(|n| n.checked_sub(1));
        let covered = position.filter(|position| {
            let backlog = replication.backlog.as_ref();
            backlog.is_some_and(|backlog| backlog.covers(*position))
        });
        if covered.is_none() {
            self.log.notice(format_args!(
                "Unable to partial resync with replica {name} for lack of backlog (Replica request was: \
                 {wanted})."
            ));
            if wanted > replication.offset as i64 {
                self.log.warning(format_args!(
                    "Warning: replica {name} tried to PSYNC with an offset that is greater than the master \
                     replication offset."
                ));
            }
        }
        covered
    }

    fn continue_replica(&mut self, client: ClientKey, position: u64) -> String {
        self.stats.sync_partial_ok += 1;
        let announced = self.announced(client);
        let name = self.replica_name(client);
        let now = self.clock.unix_ms();
        self.enter_replica(Replica {
            client,
            phase: Phase::Online { reads: true },
            next: position,
            acked: 0,
            acked_aof: 0,
            acked_ms: now,
            silent: false,
            rdb_only: announced.rdb_only,
        });
        let bytes = self.replication.offset.saturating_sub(position);
        self.log.notice(format_args!(
            "Partial resynchronization request from {name} accepted. Sending {bytes} bytes of backlog \
             starting from offset {}.",
            position + 1
        ));
        match announced.psync2 {
            true => format!("CONTINUE {}", self.replication.id),
            false => "CONTINUE".to_owned(),
        }
    }

    /// A replica says how far it is.
    #[doc(alias = "replconfCommand")]
    pub fn replica_acks(&mut self, client: ClientKey, offset: u64, aof: Option<u64>) {
        let now = self.clock.unix_ms();
        let Some(replica) = self.replication.replica(client) else {
            return;
        };
        replica.acked = replica.acked.max(offset);
        replica.acked_aof = replica.acked_aof.max(aof.unwrap_or(0));
        replica.acked_ms = now;
        // The data set was sent without a length: only now is it sure that what follows is taken for the stream.
        if let Phase::Online {
            reads: reads @ false,
        } = &mut replica.phase
        {
            *reads = true;
            let name = self.replica_name(client);
            self.log.notice(format_args!(
                "Synchronization with replica {name} succeeded"
            ));
        }
    }

    /// A replica sent an empty line: it is busy with its data set, and there.
    pub fn replica_is_alive(&mut self, client: ClientKey) {
        let now = self.clock.unix_ms();
        if let Some(replica) = self.replication.replica(client) {
            replica.acked_ms = now;
        }
    }

    /// Whether replication allows a client to write: not on a read-only replica, not with too few replicas.
    #[inline]
    pub fn may_write(&self, client: ClientFlags) -> Result<(), Error> {
        if self.is_replica() {
            return match self.config.replica_read_only && !client.has(ClientFlags::MUST_OBEY) {
                true => Err(Error::ReadOnly),
                false => Ok(()),
            };
        }
        match self.config.min_replicas_to_write {
            0 => Ok(()),
            _ => self.has_good_replicas(),
        }
    }

    #[cold]
    fn has_good_replicas(&self) -> Result<(), Error> {
        let wanted = self.config.min_replicas_to_write as usize;
        match self.config.min_replicas_max_lag > 0 && self.good_replicas() < wanted {
            true => Err(Error::NoReplicas),
            false => Ok(()),
        }
    }

    /// Replicas that are online and answered lately: those `min-replicas-to-write` counts.
    #[doc(alias = "refreshGoodSlavesCount")]
    pub fn good_replicas(&self) -> usize {
        let now = self.clock.unix_ms();
        let max_lag = Ms::from(self.config.min_replicas_max_lag);
        let good = |replica: &&Replica| {
            replica.phase.is_online() && now / 1000 - replica.acked_ms / 1000 <= max_lag
        };
        self.replication.replicas.iter().filter(good).count()
    }

    /// Once a second: a PING now and then tells replicas that the link lives, an empty line tells those that wait
    /// for their data set; those that said nothing for too long are given up.
    #[doc(alias = "replicationCron")]
    pub(super) fn care_for_replicas(&mut self) {
        let now = self.clock.unix_ms();
        let period_ms = Ms::from(self.config.repl_ping_replica_period) * 1000;
        if !self.replication.replicas.is_empty()
            && now - self.replication.last_ping_ms >= period_ms
            && !self.is_replica()
            && !self.failover_holds_stream()
        {
            self.replication.last_ping_ms = now;
            self.feed_replicas(&[Said {
                db: None,
                argv: crate::resp::argv::OwnedArgv::from_words(["PING"]),
                targets: crate::command::Targets::REPLICAS,
            }]);
        }
        let to_disk = self
            .replication
            .save
            .as_ref()
            .is_none_or(super::full_sync::SyncSave::is_file);
        let timeout_ms = Ms::from(self.config.repl_timeout) * 1000;
        let mut late = Vec::new();
        for replica in &self.replication.replicas {
            let client = replica.client;
            match replica.phase {
                Phase::Waits { .. } => self.clients.send(client, |reply| reply.raw(b"\n")),
                Phase::Writing if to_disk => self.clients.send(client, |reply| reply.raw(b"\n")),
                Phase::Writing => {
                    let stuck = self.clients.get(client).is_some_and(|client| {
                        client.flags.has(ClientFlags::AWAITS_ROOM)
                            && now - client.active_ms > timeout_ms
                    });
                    if stuck {
                        late.push((client, "full sync"));
                    }
                }
                Phase::Online { .. } if !replica.silent && now - replica.acked_ms > timeout_ms => {
                    late.push((client, "streaming sync"));
                }
                _ => {}
            }
        }
        for (client, what) in late {
            let name = self.replica_name(client);
            self.log.warning(format_args!(
                "Disconnecting timedout replica ({what}): {name}"
            ));
            self.clients.close_asap(client);
        }
        for _ in 0..TRIMS {
            self.trim_backlog();
        }
        self.expire_backlog(now);
        self.start_due_full_sync();
    }

    /// A backlog that nobody came back for is freed.
    fn expire_backlog(&mut self, now: Ms) {
        let ttl_s = self.config.repl_backlog_ttl;
        let idle_s = (now - self.replication.no_replicas_since_ms).max(0) as u64 / 1000;
        if !self.replication.replicas.is_empty()
            || ttl_s == 0
            || idle_s <= ttl_s
            || self.replication.backlog.is_none()
            || self.is_replica()
        {
            return;
        }
        // What happens from here on is not in the backlog: no two streams may have one name.
        self.replication.change_id(&mut self.entropy);
        self.replication.clear_id2();
        self.replication.backlog = None;
        self.listen_for_replicas();
        self.log.notice(format_args!(
            "Replication backlog freed after {ttl_s} seconds without connected replicas."
        ));
    }

    /// Ends the connections of all replicas; they come back and ask where they stand.
    #[doc(alias = "disconnectSlaves")]
    pub fn disconnect_replicas(&mut self) {
        for replica in &self.replication.replicas {
            self.clients.close_asap(replica.client);
        }
    }

    /// A client is gone; if it was a replica, nobody writes or keeps anything for it any more.
    pub fn forget_replica(&mut self, client: ClientKey) {
        let replicas = &mut self.replication.replicas;
        let Some(index) = replicas.iter().position(|replica| replica.client == client) else {
            return;
        };
        let name = self.replica_name(client);
        let replica = self.replication.replicas.remove(index);
        self.log
            .notice(format_args!("Connection with replica {name} lost."));
        if self.replication.replicas.is_empty() {
            self.replication.no_replicas_since_ms = self.clock.unix_ms();
        }
        if matches!(replica.phase, Phase::Writing) {
            self.sync_save_lost_one();
        }
        self.trim_backlog();
    }

    /// Frees what nobody needs of the backlog.
    fn trim_backlog(&mut self) {
        let needed = super::needed(&self.replication.replicas);
        let size = self.config.repl_backlog_size;
        if let Some(backlog) = &mut self.replication.backlog {
            backlog.trim(size, needed);
        }
    }

    /// Where the stream stands, for who writes the data set to a file: the database selected, the name, the position.
    #[doc(alias = "rdbPopulateSaveInfo")]
    pub fn stream_position(&self) -> Option<(i64, String, u64)> {
        let replication = &self.replication;
        let db = if self.is_replica() {
            self.link_db()?
        } else {
            replication.backlog.as_ref()?;
            replication.stream_db.unwrap_or(DbId(0))
        };
        Some((i64::from(db.0), replication.id.clone(), replication.offset))
    }
}
