//! The stream of effects, taken up where a file left it.
//!
//! An RDB holds the name of the stream and the offset it stood at (`repl-id`, `repl-offset`). A server that starts with
//! the file takes both, so that a replica goes on with its primary, and its replicas with it, without a full sync.
//!
//! Mirrors: the part of `loadDataFromDisk()` of server.c about replication, and `rdbLoadRioWithLoadingCtx()` of rdb.c
//! where it propagates keys that have expired.

use super::stream;
use crate::command::{Said, Targets};
use crate::keyspace::{self, DbId};
use crate::replication::is_id;
use crate::resp::argv::OwnedArgv;
use crate::state::State;

/// The data set a server starts with tells where the stream of effects stood: a replica goes on from there, and
/// replicas of a primary may.
#[doc(alias = "loadDataFromDisk")]
pub fn resume_stream(state: &mut State, id: &str, offset: u64, db: DbId) {
    if !is_id(id) || offset > i64::MAX as u64 {
        return;
    }
    let replica = state.config.is_replica();
    let replication = &mut state.replication;
    replication.offset = offset;
    if replica {
        replication.id = id.to_owned();
        let known = (db.0 as usize) < state.keyspace.len_dbs();
        replication.link.cached = Some(if known { db } else { DbId(0) });
        return;
    }
    replication.id2 = id.to_owned();
    replication.second_offset = Some(offset + 1);
    stream::create_backlog(state);
}

/// A key of a file that is loaded has expired since the file was written. Replicas that continue from the file's
/// position have that key, so a deletion is propagated to them.
pub(crate) fn say_expired_in_file(state: &mut State, db: DbId, key: &[u8]) {
    if state.replication.backlog.is_some() {
        let word = keyspace::act::expire::expire_word(state);
        stream::feed_replicas(
            state,
            &[Said {
                db: Some(db),
                argv: OwnedArgv::from_words([word.as_bytes(), key]),
                targets: Targets::REPLICAS,
            }],
        );
    }
}
