//! The acting half of [`crate::keyspace`]: changes of keys, made known to all who must know.
//!
//! Each function takes the whole [`State`](crate::state::State) as its first argument and is called by its path.
//!
//! Mirrors: the halves of db.c, expire.c, evict.c and notify.c that propagate and notify.

pub mod evict;
pub mod expire;
pub mod fields;
pub mod keys;
pub mod metas;
pub mod notify;
