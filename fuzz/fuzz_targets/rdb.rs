//! Any bytes are an RDB or an error: deeply checked or not, with a known length or without; and the check tool says the
//! same as the loader.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oxidis::config::Config;
use oxidis::persistence::rdb::load::{Item, Loader};
use oxidis::persistence::rdb::read_value::{Limits, Reading};
use oxidis::persistence::rdb::{Decoder, check};

fn load(bytes: &[u8], deep: bool, total: Option<u64>) -> bool {
    let reading = Reading {
        deep,
        limits: Limits::of(&Config::default(), 1),
    };
    let Ok(mut loader) = Loader::new(Decoder::new(bytes, total, true), reading) else {
        return false;
    };
    loader.skip_modules = true;
    loop {
        match loader.next() {
            Ok(Item::End(_)) => return true,
            Ok(Item::EmptyKey(_)) => return false,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    load(bytes, false, None);
    let whole = load(bytes, true, Some(bytes.len() as u64));
    let mut report = Vec::new();
    let end = check::check(b"fuzzed", bytes, bytes.len() as u64, &mut report);
    assert_eq!(end.expect("memory can be written").is_some(), whole);
});
