//! Oxidis: Redis to be read. A Redis-compatible server that never forks.
#![deny(unsafe_code)]
#![warn(missing_debug_implementations)]

pub mod collections;
pub mod config;
pub mod keyspace;
pub mod types;
pub mod util;
