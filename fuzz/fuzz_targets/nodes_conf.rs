//! Bytes for a nodes.conf: see `bodies/nodes_conf.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../bodies/nodes_conf.rs"]
mod body;

fuzz_target!(|bytes: &[u8]| {
    body::stands(bytes);
});
