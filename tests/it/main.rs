//! Tests of the server from outside, one file per theme; see `support` for what they stand on.

// Real threads, files and clocks: the tests stand outside of the servers that they run.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod architecture;
mod backup;
mod check;
mod clients;
mod cluster;
mod compatible;
mod crash;
mod cves;
mod differential;
mod disk;
mod effects;
mod eviction;
mod expire;
mod files;
mod garbage;
mod gate;
mod hotkeys;
mod in_step;
mod introspect;
mod keys;
mod manual;
mod modules;
mod native;
mod operator;
mod options;
mod paths;
mod payloads;
mod process;
mod propagation;
mod prose;
mod rdb_channel;
mod replication;
mod script_attacks;
mod scripts;
mod sentinel;
mod smoke;
mod snapshots;
mod streams;
mod strings;
mod support;
mod tls;
mod vset;
mod zset;
