//! Tests of the server from outside, one file per theme; see `support` for what they stand on.

mod architecture;
mod backup;
mod check;
mod clients;
mod crash;
mod differential;
mod disk;
mod eviction;
mod expire;
mod files;
mod garbage;
mod hotkeys;
mod introspect;
mod keys;
mod payloads;
mod process;
mod replication;
mod scripts;
mod smoke;
mod snapshots;
mod streams;
mod strings;
mod support;
mod tls;
mod vset;
