//! Commands in Rust, for programs that embed the server: the names that a declaration and its handler need.
//!
//! A command of your own is declared as the server's own are: a constant that says its name, its arity, its flags and
//! where its keys are, with the handler below. [`Server::builder`](crate::Server::builder) takes it with
//! [`Builder::command`](crate::Builder::command). There is no foreign function and nothing unsafe in it: the borrow
//! checker keeps what a C module has to keep by contract.
//!
//! A handler reads its arguments, looks, changes, answers. After a change it calls
//! [`Ctx::modified`](crate::dispatch::Ctx::modified) once: that counts the change, fails WATCH, invalidates caches,
//! publishes the event, and lets the command be propagated to the append-only file and the replicas, as it came.
//!
//! `examples/ratelimit.rs` is a whole small module of this kind.
//!
//! Mirrors: no file of Redis, whose modules are compiled C.

pub use crate::command::args::Args;
pub use crate::command::{
    Arity, Category, Command, Docs, Flag, Group, KeyFlag, KeySpec, Result, arg,
};
pub use crate::dispatch::Ctx;
pub use crate::keyspace::events::Event;
pub use crate::keyspace::{Deadline, NewValue};
pub use crate::resp::{Error, Reply, Value};
