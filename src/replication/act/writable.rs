//! Keys that a writable replica made with a deadline of its own are expired by itself.
//!
//! Mirrors: rememberSlaveKeyWithExpire() and expireSlaveKeys() of expire.c.
//! Differs: the cron goes round the keys in order, so many per turn; Redis samples them at random.

use crate::clients::{ClientFlags, ClientKey};
use crate::command::table::CommandId;
use crate::keyspace;
use crate::keyspace::DbId;
use crate::resp::argv::Argv;
use crate::state::State;

/// A command changed something on this replica.
#[doc(alias = "rememberSlaveKeyWithExpire")]
pub(crate) fn remember_own_keys(
    state: &mut State,
    client: ClientKey,
    db: DbId,
    id: CommandId,
    argv: Argv<'_>,
) {
    let asker = state.current_client.unwrap_or(client);
    let asker = state.clients.get(asker);
    let primary = asker.is_some_and(|asker| asker.flags.has(ClientFlags::PRIMARY));
    if state.config.replica_read_only || primary {
        return;
    }
    let keys = crate::command::keys::Keys::of(
        state.commands[id].decl,
        argv,
        crate::command::keys::Search::default(),
    )
    .unwrap_or_default();
    for key in keys.iter() {
        let key = argv.get(key.position);
        let entry = state.keyspace[db].peek_raw(key);
        if entry.is_some_and(|entry| entry.deadline().is_some()) {
            state.replication.own_keys.keys.insert((db, key.into()));
        }
    }
}

/// Deletes the keys of our own that are over.
#[doc(alias = "expireSlaveKeys")]
pub(crate) fn expire_own_keys(state: &mut State) {
    if state.replication.own_keys.keys.is_empty() {
        return;
    }
    let now = state.clock.unix_ms();
    for (db, key) in state.replication.own_keys.batch() {
        let entry = state.keyspace[db].peek_raw(&key);
        let deadline = entry.and_then(|entry| entry.deadline());
        let over = deadline.is_some_and(|deadline| now > deadline);
        if over {
            keyspace::act::expire::expire_own_key(state, db, &key);
        }
        if over || deadline.is_none() {
            state.replication.own_keys.keys.remove(&(db, key));
        }
    }
}
