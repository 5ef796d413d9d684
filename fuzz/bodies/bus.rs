//! Any bytes are a message of the cluster bus or none; what is one comes back as the same header, and a node that gets
//! it stays a node. The fuzz target `bus` and the simulation `hostile` share this.

use oxidis::cluster::bus::{decode, frame};
use oxidis::cluster::file::File;
use oxidis::cluster::machine::{Facts, Input, Machine, Options};
use oxidis::cluster::node::LinkId;

/// Whether the bytes are a message. Panics where a node does not stand them.
pub fn stands(bytes: &[u8]) -> bool {
    let _ = frame(bytes, usize::MAX);
    let message = decode(bytes);
    if let Ok(message) = &message {
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
    let written = machine.file().write();
    File::read(written.as_bytes(), false).expect("a machine's own text");
    message.is_ok()
}
