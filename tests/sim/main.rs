//! Whole servers without a machine: a `State` with a clock that a test moves, a seed, and a disk in memory that fails,
//! tears and forgets. The same seed gives the same run, so what fails once can be looked at as often as one likes.
//!
//! | theme | |
//! |---|---|
//! | [`machine`] | one server on such a disk: its commands, its helper threads, its end |
//! | [`disk`] | calls that fail and power that goes, at every step |

mod disk;
mod machine;
