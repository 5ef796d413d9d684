//! Sets: SADD, SPOP, SINTER and their kin.
//!
//! ```text
//!   members.rs   one set: members come, go and are read    SADD SREM SMOVE SISMEMBER SCARD SMEMBERS SSCAN
//!   random.rs    members drawn at random                   SPOP SRANDMEMBER
//!   combine.rs   several sets at once                      SUNION SINTER SDIFF, their STORE and CARD forms
//! ```
//!
//! Invariant: a set without members never stays under its key. A command whose outcome depends on chance is propagated
//! as the outcome: SPOP becomes SREM of the members that were taken.
//!
//! Mirrors: the command half of t_set.c; the type itself is `types/set`.

mod combine;
mod members;
mod random;

use super::prelude::*;
use crate::state::State;
use crate::types::set::SetLimits;

pub const COMMANDS: &[&Command] = &[
    &members::SADD,
    &members::SCARD,
    &combine::SDIFF,
    &combine::SDIFFCARD,
    &combine::SDIFFSTORE,
    &combine::SINTER,
    &combine::SINTERCARD,
    &combine::SINTERSTORE,
    &members::SISMEMBER,
    &members::SMEMBERS,
    &members::SMISMEMBER,
    &members::SMOVE,
    &random::SPOP,
    &random::SRANDMEMBER,
    &members::SREM,
    &members::SSCAN,
    &combine::SUNION,
    &combine::SUNIONCARD,
    &combine::SUNIONSTORE,
];

/// The configured limits up to which a set is stored as an intset or a listpack.
#[inline]
pub fn set_limits(state: &State) -> SetLimits {
    SetLimits {
        intset_entries: state.config.set_max_intset_entries,
        listpack_entries: state.config.set_max_listpack_entries,
        listpack_value: state.config.set_max_listpack_value,
        seed: state.member_seed,
    }
}
