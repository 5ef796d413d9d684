//! Vector sets of any bytes: the value of a payload behind its module's number, and, if the first byte is odd, a filter
//! over any attributes. An accepted set survives being searched, changed and taken apart.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use oxidis::types::vset::Filter;
use oxidis::{Server, Value};

thread_local! {
    static SERVER: RefCell<Option<oxidis::Handle>> = const { RefCell::new(None) };
}

/// The type of a module's value, and the number of vector sets.
const PREFIX: &[u8] = &[7, 0x81, 0xBD, 0xE7, 0x2D, 0xA2, 0xBB, 0x1E, 0xB4, 0];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, body)) = bytes.split_first() else {
        return;
    };
    if first & 1 == 1 {
        let middle = body.len() / 2;
        if let Ok(filter) = Filter::compile(&body[..middle]) {
            filter.matches(&body[middle..]);
        }
        return;
    }
    SERVER.with_borrow_mut(|server| {
        let server = server.get_or_insert_with(|| {
            let server = Server::builder()
                .directive("enable-debug-command", "yes")
                .no_tcp()
                .start();
            let server = server.expect("it starts");
            server.execute(["DEBUG", "SET-SKIP-CHECKSUM-VALIDATION", "1"]);
            server
        });
        let mut payload = PREFIX.to_vec();
        payload.extend_from_slice(body);
        payload.extend_from_slice(&[12, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let words: [&[u8]; 5] = [b"RESTORE", b"k", b"0", &payload, b"REPLACE"];
        if let Value::Error(_) = server.execute(words) {
            return;
        }
        let Value::Array(names) = server.execute(["VRANGE", "k", "-", "+"]) else {
            return;
        };
        server.execute(["VINFO", "k"]);
        server.execute(["DUMP", "k"]);
        for name in names.iter().filter_map(Value::as_bytes) {
            let search: [&[u8]; 5] = [b"VSIM", b"k", b"ELE", name, b"WITHSCORES"];
            server.execute(search);
            for command in ["VLINKS", "VEMB", "VGETATTR", "VREM"] {
                let words: [&[u8]; 3] = [command.as_bytes(), b"k", name];
                server.execute(words);
            }
        }
        assert_eq!(server.execute(["EXISTS", "k"]), Value::Integer(0));
    });
});
