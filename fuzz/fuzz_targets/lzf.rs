//! Anything decompresses to the length promised or not at all; what was compressed comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oxidis::util::lzf;

fuzz_target!(|bytes: &[u8]| {
    let length = bytes.first().map_or(0, |&first| usize::from(first) * 64);
    if let Some(out) = lzf::decompress(bytes, length) {
        assert_eq!(out.len(), length);
    }
    let mut packed = vec![0; bytes.len()];
    if let Some(len) = lzf::Compressor::new().compress(bytes, &mut packed) {
        let unpacked = lzf::decompress(&packed[..len], bytes.len());
        assert_eq!(unpacked.as_deref(), Some(bytes));
    }
});
