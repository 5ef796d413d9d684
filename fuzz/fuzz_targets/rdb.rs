//! Any bytes are an RDB or an error: deeply checked or not, with a known length or without; and the check tool says the
//! same as the loader.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oxidis::config::Config;
use oxidis::persistence::rdb::load::{Item, Loader};
use oxidis::persistence::rdb::read_value::{Limits, Reading};
use oxidis::persistence::rdb::{Decoder, Reason, check};

fn load(bytes: &[u8], deep: bool, total: Option<u64>) -> bool {
    let reading = Reading {
        deep,
        foreign: false,
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

/// The same in pieces, as they come from a connection.
fn load_pieces(bytes: &[u8], size: usize) -> bool {
    let reading = Reading {
        deep: true,
        foreign: false,
        limits: Limits::of(&Config::default(), 1),
    };
    let mut loader = Loader::fed(Decoder::fed(true), reading);
    loader.skip_modules = true;
    let mut pieces = bytes.chunks(size).map(Some).chain([None]);
    loop {
        match loader.next() {
            Ok(Item::End(_)) => return true,
            Ok(Item::EmptyKey(_)) => return false,
            Ok(_) => continue,
            Err(error) if matches!(error.reason, Reason::Starved) => {}
            Err(_) => return false,
        }
        loader.begin_item_again();
        let worth_it = pieces.by_ref().any(|piece| loader.feed(piece));
        assert!(worth_it, "the end is always worth a try");
    }
}

fuzz_target!(|bytes: &[u8]| {
    load(bytes, false, None);
    let whole = load(bytes, true, Some(bytes.len() as u64));
    let mut report = Vec::new();
    let end = check::check(b"fuzzed", bytes, bytes.len() as u64, &mut report);
    let end = end.expect("memory can be written");
    assert_eq!(end.is_some(), whole);
    let size = 1 + bytes.last().map_or(0, |byte| usize::from(byte % 64));
    let alone = end == Some(bytes.len() as u64);
    assert_eq!(load_pieces(bytes, size), alone);
});
