//! Simulations: machines of this crate in worlds of one seed each, with a clock, wires and disks that only the test moves.
//!
//! A failure names its seed. `OXIDIS_SIM_SEED=7 cargo test --test sim` plays that seed again, `OXIDIS_SIM_SEEDS=10000` as
//! many as one likes.

mod sentinel;
