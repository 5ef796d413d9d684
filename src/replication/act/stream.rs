//! The stream that replicas read: effects are encoded once and kept in the backlog.
//!
//! Mirrors: replicationFeedSlaves() of replication.c.
//! Differs: a unit of effects goes to the backlog and nowhere else; each replica is handed pieces from its own
//! position as fast as its socket takes them.

use crate::clients::{Announced, ClientKey};
use crate::command::Said;
use crate::keyspace::DbId;
use crate::replication::Replica;
use crate::replication::backlog::Backlog;
use crate::state::State;

/// The database selected in the stream of our primary, while the link is up or can continue.
pub(in crate::replication) fn link_db(state: &State) -> Option<DbId> {
    let link = &state.replication.link;
    let client = link.client.and_then(|client| state.clients.get(client));
    client.map(|client| client.db).or(link.cached)
}

/// Propagates a unit of effects to the replicas: encoded once, whatever their number. The stream of a replica is its
/// primary's, so a replica propagates no change of its own.
#[doc(alias = "replicationFeedSlaves")]
pub(crate) fn feed_replicas(state: &mut State, unit: &[Said]) {
    if state.config.is_replica() {
        return;
    }
    if state.replication.backlog.is_none() {
        // No replica reads the stream. The offset still grows by one, so that WAITAOF can tell one write from the
        // next.
        state.replication.offset += 1;
        return;
    }
    let mut bytes = Vec::new();
    for said in unit
        .iter()
        .filter(|said| said.targets.any(crate::command::Targets::REPLICAS))
    {
        if let Some(db) = said.db {
            select(state, db, &mut bytes);
        }
        said.argv.as_argv().encode(&mut bytes);
    }
    if !bytes.is_empty() {
        append_to_stream(state, &bytes);
    }
}

/// Propagates commands that were encoded elsewhere and happened in one database.
pub(crate) fn feed_commands(state: &mut State, db: DbId, commands: &[u8]) {
    if state.config.is_replica() {
        return;
    }
    if state.replication.backlog.is_none() {
        state.replication.offset += 1;
        return;
    }
    let mut bytes = Vec::with_capacity(commands.len() + 32);
    select(state, db, &mut bytes);
    bytes.extend_from_slice(commands);
    append_to_stream(state, &bytes);
}

/// The commands that follow happened in this database.
fn select(state: &mut State, db: DbId, bytes: &mut Vec<u8>) {
    if state.replication.stream_db != Some(db) {
        state.replication.stream_db = Some(db);
        let select = crate::resp::argv::OwnedArgv::from_words(["SELECT", &db.0.to_string()]);
        select.as_argv().encode(bytes);
    }
}

/// Bytes of the stream that the slowest replica has not been sent; 0 without replicas. O(replicas).
pub(crate) fn behind(state: &State) -> u64 {
    let replicas = state.replication.replicas.iter();
    let holding = replicas.filter(|replica| replica.holds_stream());
    let offset = state.replication.offset;
    let each = holding.map(|replica| offset.saturating_sub(replica.next));
    each.max().unwrap_or(0)
}

/// Appends bytes to the stream; a replica that falls behind too far is given up.
pub(in crate::replication) fn append_to_stream(state: &mut State, bytes: &[u8]) {
    let size = state.config.repl_backlog_size;
    state.replication.append(bytes, size);
    let limit = state.config.client_output_buffer_limit.replica.hard_bytes;
    if limit == 0 {
        return;
    }
    let (limit, offset) = (limit.max(size), state.replication.offset);
    let behind =
        |replica: &&Replica| replica.holds_stream() && offset.saturating_sub(replica.next) > limit;
    for replica in state.replication.replicas.iter().filter(behind) {
        state.clients.note_over_limit(replica.client);
    }
}

/// Propagates a command to the replicas without running it here (DEBUG REPLICATE).
pub fn say_to_replicas(state: &mut State, words: &[&[u8]]) {
    feed_replicas(
        state,
        &[Said {
            db: None,
            argv: crate::resp::argv::OwnedArgv::from_words(words),
            targets: crate::command::Targets::REPLICAS,
        }],
    );
}

/// Where a replica listens: its address, and its port if it told.
pub fn replica_listens(state: &State, client: ClientKey) -> (String, u16) {
    let Some(client) = state.clients.get(client) else {
        return Default::default();
    };
    let announced = client.announced.as_deref();
    let peer = client.address.rsplit_once(':').map_or("", |(ip, _)| ip);
    let ip = announced.and_then(|a| a.ip.as_deref()).unwrap_or(peer);
    (ip.to_owned(), announced.map_or(0, |a| a.port))
}

/// The name of a replica in the log: its address and the port that it listens on.
#[doc(alias = "replicationGetSlaveName")]
pub(in crate::replication) fn replica_name(state: &State, client: ClientKey) -> String {
    match replica_listens(state, client) {
        (ip, 0) => format!("{ip}:<unknown-replica-port>"),
        (ip, port) => format!("{ip}:{port}"),
    }
}

/// Whether a client is the second connection of a replica whose first one is there: both are one replica.
#[doc(alias = "replicationCheckHasMainChannel")]
pub(in crate::replication) fn has_main_channel(state: &State, client: ClientKey) -> bool {
    let announced = announced(state, client);
    let main = announced.main_channel.filter(|_| announced.rdb_channel);
    main.is_some_and(|id| state.clients.by_id(id).is_some())
}

/// The facts that a client announced about itself with REPLCONF.
pub(in crate::replication) fn announced(state: &State, client: ClientKey) -> Announced {
    let client = state.clients.get(client);
    let announced = client.and_then(|client| client.announced.as_deref());
    announced.cloned().unwrap_or_default()
}

/// How many replicas understand TRIMSLOTS; `None` if one of them does not.
pub(crate) fn replicas_trim(state: &State) -> Option<usize> {
    let mut replicas = state.replication.replicas.iter();
    let all = replicas.all(|replica| announced(state, replica.client).trims);
    all.then_some(state.replication.replicas.len())
}

/// Keeps the stream from here on.
#[doc(alias = "createReplicationBacklog")]
pub(in crate::replication) fn create_backlog(state: &mut State) {
    state.replication.backlog = Some(Backlog::new(state.replication.offset));
    state.replication.no_replicas_since_ms = state.clock.unix_ms();
    listen_for_replicas(state);
}

/// The stream of effects learns whether replicas may want to hear it. On a replica they hear its primary.
pub(crate) fn listen_for_replicas(state: &mut State) {
    let read = state.replication.backlog.is_some() || state.effects.slots_listen;
    let wanted = read && !state.config.is_replica();
    let listening = state.effects.listening;
    state.effects.listening = match wanted {
        true => listening.or(crate::command::Targets::REPLICAS),
        false => listening.without(crate::command::Targets::REPLICAS),
    };
}

/// The state of the stream, for a file of the data set: the database selected, the name, the position.
#[doc(alias = "rdbPopulateSaveInfo")]
pub fn stream_position(state: &State) -> Option<(i64, String, u64)> {
    let replication = &state.replication;
    let db = if state.config.is_replica() {
        link_db(state)?
    } else {
        replication.backlog.as_ref()?;
        replication.stream_db.unwrap_or(DbId(0))
    };
    Some((i64::from(db.0), replication.id.clone(), replication.offset))
}
