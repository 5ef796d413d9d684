//! Oxidis: Redis to be read. A Redis-compatible server that never forks.
#![deny(unsafe_code)]
#![warn(missing_debug_implementations)]

pub mod collections;
pub mod config;
pub mod keyspace;
pub mod types;
pub mod util;

/// The Redis release whose core commands we implement; what INFO and error blocks call us.
pub const REDIS_VERSION: &str = "7.4.0";
