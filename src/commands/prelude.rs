//! The names that every file of commands uses.
//!
//! Mirrors: no file of Redis; server.h comes nearest.

pub use crate::command::Flag::*;
pub use crate::command::KeyFlag::*;
pub use crate::command::args::Args;
pub use crate::command::{Arity, Category, Command, Docs, Group, KeySpec, Result, arg};
pub use crate::dispatch::Ctx;
pub use crate::keyspace::events::Event;
pub use crate::resp::Error;
