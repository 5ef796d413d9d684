//! Strings: SET, GET and their kin.
//!
//! [`options`] reads what SET, GETEX, MSETEX and INCREX have in common; [`get`] and [`set`] work on one key, [`many`]
//! on several; [`number`] adds to numbers; [`compare`] looks at values without returning them.
//!
//! Mirrors: the command half of t_string.c; the algorithms inside it are `types/string`.

mod compare;
mod get;
mod many;
mod number;
mod options;
mod set;

use super::prelude::*;

pub const COMMANDS: &[&Command] = &[
    &set::APPEND,
    &number::DECR,
    &number::DECRBY,
    &compare::DELEX,
    &compare::DIGEST,
    &get::GET,
    &get::GETDEL,
    &get::GETEX,
    &get::GETRANGE,
    &set::GETSET,
    &number::INCR,
    &number::INCRBY,
    &number::INCRBYFLOAT,
    &number::INCREX,
    &compare::LCS,
    &many::MGET,
    &many::MSET,
    &many::MSETEX,
    &many::MSETNX,
    &set::PSETEX,
    &set::SET,
    &set::SETEX,
    &set::SETNX,
    &set::SETRANGE,
    &get::STRLEN,
    &get::SUBSTR,
];
