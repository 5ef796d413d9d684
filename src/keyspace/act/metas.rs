//! Metadata of keys follows them: deleted, renamed, moved, copied.
//!
//! Mirrors: keyMetaOnUnlink(), keyMetaOnRename(), keyMetaOnMove(), keyMetaOnCopy() of keymeta.c.

use crate::keyspace::DbId;
use crate::state::State;
use crate::types::foreign::Place;
use crate::types::meta::{Going, Meta};

/// A key of a database.
pub type At<'a> = (DbId, &'a [u8]);

fn place(at: At<'_>) -> Place<'_> {
    Place {
        db: at.0.0 as i32,
        key: Some(at.1),
    }
}

/// A key is deleted or replaced: its metadata goes, and its classes learn of it.
pub(super) fn leave(state: &mut State, db: DbId, key: &[u8]) {
    if let Some(meta) = state.keyspace[db].take_meta(key) {
        meta.get().leave(place((db, key)), meta.is_shared());
    }
}

/// A key goes elsewhere: the metadata that goes with it, to be attached by [`attach`] when the key is there.
pub fn go(state: &mut State, how: Going, from: At<'_>, to: At<'_>) -> Option<Meta> {
    let meta = state.keyspace[from.0].take_meta(from.1)?;
    let to = match how {
        Going::Renamed => place(to),
        Going::Moved => Place {
            key: None,
            ..place(to)
        },
    };
    meta.get().go(how, place(from), to, meta.is_shared())
}

/// The metadata that a copy of a key gets.
pub fn copied(state: &State, from: At<'_>, to: At<'_>) -> Option<Meta> {
    let meta = state.keyspace[from.0].meta(from.1)?;
    meta.get().copied(place(from), place(to))
}

/// Attaches metadata, if there is any.
pub fn attach(state: &mut State, at: At<'_>, meta: Option<Meta>) {
    if let Some(meta) = meta {
        state.keyspace[at.0].set_meta(at.1, meta);
    }
}

/// The metadata of a key as RDB files have it; empty when there is none that is saved.
pub fn saved(state: &State, at: At<'_>) -> Option<Vec<u8>> {
    match state.keyspace[at.0].meta(at.1) {
        Some(meta) => meta.get().save(place(at)),
        None => Some(Vec::new()),
    }
}
