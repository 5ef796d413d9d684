//! Any bytes are commands, annotations or an error, whatever the pieces they come in; and the check tool ends.
#![no_main]

use std::io::{Cursor, Read};

use libfuzzer_sys::fuzz_target;
use oxidis::persistence::aof::manifest::Manifest;
use oxidis::persistence::aof::reader::{CommandReader, Line};

/// The lines there are, as text, and where the last whole one ends.
fn read(input: Box<dyn Read>, head: Vec<u8>) -> (Vec<String>, u64) {
    let mut reader = CommandReader::new(input, head, 0);
    let (mut lines, mut end) = (Vec::new(), 0);
    while let Ok(line) = reader.next() {
        if matches!(line, Line::End) {
            break;
        }
        lines.push(format!("{line:?}"));
        end = reader.position();
    }
    (lines, end)
}

fuzz_target!(|bytes: &[u8]| {
    let whole = read(Box::new(Cursor::new(bytes.to_vec())), Vec::new());
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    let parts = read(Box::new(Cursor::new(tail.to_vec())), head.to_vec());
    assert_eq!(whole, parts);
    assert!(whole.1 <= bytes.len() as u64);
    if let Ok(manifest) = Manifest::parse(bytes) {
        let again = Manifest::parse(manifest.text().as_bytes());
        assert!(manifest.is_empty() || again.is_ok_and(|again| again.text() == manifest.text()));
    }
});
