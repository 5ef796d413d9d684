//! Bytes for the cluster bus: see `bodies/bus.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../bodies/bus.rs"]
mod body;

fuzz_target!(|bytes: &[u8]| {
    body::stands(bytes);
});
