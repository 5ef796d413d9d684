//! Tests of the server from outside, one file per theme; see `support` for what they stand on.

mod differential;
mod garbage;
mod smoke;
mod support;
