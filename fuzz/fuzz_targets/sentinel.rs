//! Bytes for a sentinel: see `bodies/sentinel.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../bodies/sentinel.rs"]
mod body;

fuzz_target!(|bytes: &[u8]| {
    body::stands(bytes);
});
