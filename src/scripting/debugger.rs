//! The debugger's place in a run. No session can be opened yet, so scripts find it absent, as they do
//! in Redis outside a session: `redis.breakpoint` says no, `redis.debug` says nothing.
//!
//! Mirrors: the part of ldb in eval.c that scripts see.

use mlua::MultiValue;

use crate::dispatch::args::Argv;
use crate::resp::Value;

/// A debugging session, if there is one.
#[derive(Debug, Default)]
pub struct Debugger {}

impl Debugger {
    /// `redis.breakpoint()`: stops here when somebody debugs; whether somebody does.
    pub(super) fn break_here(&mut self) -> bool {
        false
    }

    /// `redis.debug(…)`: shows values to whoever debugs.
    pub(super) fn say(&mut self, _values: &MultiValue) {}

    /// A command that a script is about to call.
    pub(super) fn note_command(&mut self, _argv: Argv<'_>) {}

    /// Its reply.
    pub(super) fn note_reply(&mut self, _reply: &Value) {}
}
