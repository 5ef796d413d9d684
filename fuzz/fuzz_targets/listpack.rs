//! Bytes that pass the full check can be read from both ends, and say the same both ways.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oxidis::collections::listpack::{Check, Listpack};

fuzz_target!(|bytes: &[u8]| {
    let Ok(pack) = Listpack::from_bytes(bytes, Check::Deep) else {
        return;
    };
    assert_eq!(pack.as_bytes(), bytes);
    let forward: Vec<Vec<u8>> = pack.iter().map(|entry| entry.to_vec()).collect();
    assert_eq!(forward.len(), pack.len());
    let mut backward = Vec::new();
    let mut at = pack.last();
    while let Some(position) = at {
        let entry = pack.entry(position).expect("a position that it gave");
        backward.push(entry.to_vec());
        at = pack.prev(position);
    }
    backward.reverse();
    assert_eq!(forward, backward);
});
