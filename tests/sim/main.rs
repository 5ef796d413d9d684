//! Simulations: machines of this crate in worlds of one seed each, with a clock, wires and disks that only the test moves.
//! The same seed gives the same run, so a run that fails once can be looked at as often as one likes.
//!
//! | theme | world |
//! |---|---|
//! | `machine` | one server on a disk in memory: its commands, its helper threads, its end |
//! | `disk` | calls that fail and power that goes, at every step of that server |
//! | `cluster` | nodes of a cluster and their bus |
//! | `sentinel` | sentinels that watch a primary and its replicas |

mod cluster;
mod disk;
mod machine;
mod sentinel;
