//! However the bytes arrive, the same requests and the same error come out of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oxidis::resp::request::{Limits, Parsed, Parser, ProtocolError, Request};

type Outcome = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

fuzz_target!(|input: (u16, bool, bool, &[u8])| {
    let (step, unauthenticated, in_place, bytes) = input;
    let limits = Limits {
        max_bulk: 1 << 20,
        unauthenticated,
        in_place,
    };
    let whole = parse(bytes, bytes.len().max(1), limits);
    assert_eq!(parse(bytes, 1, limits), whole);
    assert_eq!(parse(bytes, usize::from(step).max(1), limits), whole);
});

fn parse(bytes: &[u8], step: usize, limits: Limits) -> Outcome {
    let mut parser = Parser::default();
    let mut request = Request::default();
    let mut buf = Vec::new();
    let mut found = Vec::new();
    for chunk in bytes.chunks(step) {
        let fed = parser.feed_arriving(chunk);
        buf.extend_from_slice(&chunk[fed..]);
        loop {
            match parser.parse(&buf, limits, &mut request) {
                Parsed::Request => {
                    let argv = request.argv(&buf);
                    found.push((0..argv.len()).map(|i| argv.get(i).to_vec()).collect());
                    buf.drain(..request.len);
                }
                Parsed::Incomplete => {
                    let rest = match parser.arriving() {
                        Some(lacking) if lacking > 0 => buf.split_off(parser.position()),
                        _ => break,
                    };
                    let fed = parser.feed_arriving(&rest);
                    buf.extend_from_slice(&rest[fed..]);
                    if fed == 0 || parser.arriving() != Some(0) {
                        break;
                    }
                }
                Parsed::Error(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}
