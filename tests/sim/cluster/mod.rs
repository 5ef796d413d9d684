//! Clusters of 3 to 300 nodes in one process, on one seed.
//!
//! A random story builds a cluster, lets clients write, breaks things for a while, mends them, and waits until the cluster
//! has come to rest. Rules are checked at every event and at the end (see `checks`). A story that fails prints its seed;
//! `OXIDIS_SIM_SEED=n` plays it again, exactly, and `OXIDIS_SIM_TRACE=1` prints the nodes' logs. `OXIDIS_SIM_SEEDS=10000` plays so many.

mod bugs;
mod checks;
mod data;
mod scenarios;
pub mod story;
pub mod world;
