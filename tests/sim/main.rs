//! Simulations: whole systems in one process, on one seed, with a clock, a wire and disks that the test holds in hand.

mod cluster;
