//! Any bytes are a nodes.conf or damage; what is one is written and read again the same, and starts a node. The fuzz
//! target `nodes_conf` and the simulation `hostile` share this.

use oxidis::cluster::file::File;
use oxidis::cluster::machine::{Facts, Input, Machine, Options};

/// Whether the bytes are such a file. Panics where a node does not stand it.
pub fn stands(bytes: &[u8]) -> bool {
    let Ok(file) = File::read(bytes, false) else {
        return false;
    };
    let text = file.write();
    let again = File::read(text.as_bytes(), false).expect("its own text");
    assert_eq!(again.write(), text);
    let facts = Facts {
        now_ms: 1_000_000,
        wall_ms: 1_700_000_000_000,
        ..Facts::default()
    };
    if let Ok(mut machine) = Machine::load(&file, Options::default(), 1, &facts) {
        machine.step(&facts, Input::Tick);
        let written = machine.file().write();
        File::read(written.as_bytes(), false).expect("a machine's own text");
    }
    true
}
