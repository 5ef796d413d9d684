//! The functions that a compiled module calls, one file per family, and the table that finds them by name.
//!
//! This room alone calls into modules, and alone holds raw pointers of theirs. Each function checks the pointers that
//! it is given, borrows the state for the time it needs ([`context::with`]), and leaves the rest to safe code.
//!
//! Unsafe: a module is native code. The pointers that it passes (strings, keys, contexts) must be those that
//! this server gave to it; that cannot be checked, here as little as in Redis. An argument that *can* be wrong without the
//! module's being broken (NULL where that is allowed, a name that is no name, a number out of range) is checked and
//! answered with an error.
//!
//! No panic crosses into C: all functions here are `extern "C"`, out of which Rust lets no panic unwind. It ends the
//! process with the crash report instead.
//!
//! A name that is not in [`table`] is not there: a module that tests for it goes on without.
//!
//! Mirrors: moduleRegisterCoreAPI() and RM_GetApi() of module.c.
#![allow(unsafe_code)]
// Every function has the same safety contract, the interface's own; the header of this file tells it.
#![allow(clippy::missing_safety_doc)]
// In this room a block under `unsafe` is a function's whole body: it does nothing but follow the module's pointers.
#![allow(clippy::undocumented_unsafe_blocks)]
#![allow(clippy::not_unsafe_ptr_arg_deref)]

pub mod auth;
pub mod blocked;
pub mod callbacks;
pub mod calls;
pub mod cluster;
pub mod codes;
pub mod commands;
pub mod configs;
pub mod context;
pub mod dicts;
pub mod events;
pub mod extra;
pub mod filters;
pub mod fork;
pub mod gate;
pub mod info;
pub mod io;
pub mod keymeta;
pub mod keys;
pub mod library;
pub mod memory;
pub mod misc;
pub mod promises;
pub mod replies;
pub mod scan;
pub mod settings;
pub mod streams;
pub mod strings;
pub mod table;
pub mod typed;
pub mod types;
pub mod users;
pub mod watches;
