//! Bytes that reach a sentinel from others: a hello, an INFO reply, a reply in pieces, and the lines of its file.
//!
//! The first byte chooses. None may end the process, and what is written back is read as it was written. The fuzz target
//! `sentinel` and the simulation `hostile` share this.

use oxidis::resp::incoming::{Incoming, Limits};
use oxidis::sentinel::hello::Hello;
use oxidis::sentinel::report::Report;
use oxidis::sentinel::{Input, Now, Sentinel, Settings, directives};
use oxidis::util::args;

/// Panics where a sentinel does not stand the bytes.
pub fn stands(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    match choice % 4 {
        0 => {
            if let Some(hello) = Hello::parse(bytes) {
                assert_eq!(Hello::parse(hello.to_string().as_bytes()), Some(hello));
            }
            let mut sentinel = watching();
            sentinel.hear(bytes);
            tick(&mut sentinel);
        }
        1 => {
            let report = Report::parse(bytes);
            assert!(report.link_down_ms >= 0);
        }
        2 => {
            let limits = Limits {
                bytes: 1 << 16,
                depth: 8,
            };
            let piece = 1 + bytes.len() / 7;
            let mut incoming = Incoming::new(limits);
            for part in bytes.chunks(piece) {
                incoming.feed(part);
                while let Ok(Some(_)) = incoming.reply() {}
            }
        }
        _ => {
            let mut sentinel = watching();
            for line in bytes.split(|byte| *byte == b'\n') {
                if let Ok(words) = args::split(line) {
                    let _ = sentinel.apply(&words, &|_| true, &|_| None);
                }
            }
            tick(&mut sentinel);
            read_back(&sentinel);
        }
    }
}

fn watching() -> Sentinel {
    let mut sentinel = Sentinel::new("a".repeat(40), Settings::default(), 1, Now::default());
    let words = ["monitor", "m", "10.0.0.1", "6379", "2"];
    let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    sentinel
        .apply(&words, &|_| true, &|_| None)
        .expect("a good line");
    sentinel
}

fn tick(sentinel: &mut Sentinel) {
    sentinel.step(Now::default(), Input::Tick, &mut Vec::new());
}

/// The lines that a sentinel writes make the same sentinel.
fn read_back(sentinel: &Sentinel) {
    let lines = sentinel.lines();
    let mut words: Vec<Vec<Vec<u8>>> = lines
        .iter()
        .map(|(_, line)| args::split(line).expect("a line that can be split")[1..].to_vec())
        .collect();
    words.sort_by_key(|words| directives::pass(words));
    let mut again = Sentinel::new("b".repeat(40), Settings::default(), 1, Now::default());
    for words in &words {
        again
            .apply(words, &|_| true, &|_| None)
            .unwrap_or_else(|reason| panic!("{reason}: {words:?}"));
    }
    assert_eq!(again.lines(), lines);
}
