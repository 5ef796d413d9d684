//! Commands on keys, whatever they hold: deleting, renaming, walking, their deadlines, their insides.
//!
//! Mirrors: the command halves of db.c, expire.c and object.c.

mod delete;
mod expire;
mod flush;
mod object;
mod rename;
mod scan;

pub(super) use expire::DEADLINE_CONDITION;

use super::prelude::*;

pub const COMMANDS: &[&Command] = &[
    &rename::COPY,
    &delete::DEL,
    &delete::EXISTS,
    &expire::EXPIRE,
    &expire::EXPIREAT,
    &expire::EXPIRETIME,
    &scan::KEYS,
    &rename::MOVE,
    &object::OBJECT,
    &expire::PERSIST,
    &expire::PEXPIRE,
    &expire::PEXPIREAT,
    &expire::PEXPIRETIME,
    &expire::PTTL,
    &scan::RANDOMKEY,
    &rename::RENAME,
    &rename::RENAMENX,
    &scan::SCAN,
    &delete::TOUCH,
    &expire::TTL,
    &object::TYPE,
    &delete::UNLINK,
    &scan::DBSIZE,
    &flush::FLUSHALL,
    &flush::FLUSHDB,
    &flush::SWAPDB,
];
