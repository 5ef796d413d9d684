//! Simulations: machines of this crate in worlds of one seed each, with a clock, wires and disks that only the test moves.
//! The same seed gives the same run, so a run that fails once can be looked at as often as one likes.
//!
//! | theme | world |
//! |---|---|
//! | `machine` | one server on a disk in memory: its commands, its helper threads, its end |
//! | `disk` | calls that fail and power that goes, at every step of that server |
//! | `cluster` | nodes of a cluster and their bus |
//! | `hostile` | one node, one sentinel, and bytes changed at random |
//! | `sentinel` | sentinels that watch a primary and its replicas |

// Real threads, files and clocks: the tests stand outside of the servers that they run.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod cluster;
mod disk;
mod hostile;
mod machine;
mod sentinel;

/// The seeds to play: the one that `OXIDIS_SIM_SEED` names, or as many as `OXIDIS_SIM_SEEDS` says, from 0 on.
fn seeds(default: u64) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok()?.parse().ok();
    match number("OXIDIS_SIM_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("OXIDIS_SIM_SEEDS").unwrap_or(default)).collect(),
    }
}
