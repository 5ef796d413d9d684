//! Any bytes are a message of the cluster bus or none; what is one comes back as the same header, and a node that gets
//! it stays a node.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oxidis::cluster::bus::{decode, frame};
use oxidis::cluster::machine::{Facts, Input, Machine, Options};
use oxidis::cluster::node::LinkId;

fuzz_target!(|bytes: &[u8]| {
    let _ = frame(bytes, usize::MAX);
    if let Ok(message) = decode(bytes) {
        let again = message.encode();
        if let Ok(read) = decode(&again) {
            assert!(read.header == message.header);
        }
    }
    let facts = Facts {
        now_ms: 1_000_000,
        wall_ms: 1_700_000_000_000,
        ..Facts::default()
    };
    let mut machine = Machine::new(Options::default(), 1, &facts);
    let address = [10, 0, 0, 1].into();
    let link = LinkId::In(1);
    let (peer, local) = (address, address);
    machine.step(&facts, Input::Accepted { link, peer, local });
    machine.step(&facts, Input::Received { link, bytes });
    machine.step(&facts, Input::Tick);
    machine.file().write();
});
