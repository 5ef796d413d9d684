//! Any bytes are a message of the cluster bus or none; what is one comes back as the same header, and a node that gets
//! it stays a node, whether its sender is a stranger, its primary or its replica. The fuzz target `bus` and the
//! simulation `hostile` share this.

use oxidis::cluster::bus::{decode, frame};
use oxidis::cluster::file::File;
use oxidis::cluster::machine::{Facts, Input, Machine, Options};
use oxidis::cluster::node::LinkId;

/// Whether the bytes are a message. Panics where a node does not stand them.
pub fn stands(bytes: &[u8]) -> bool {
    let _ = frame(bytes, usize::MAX);
    let facts = Facts {
        now_ms: 1_000_000,
        wall_ms: 1_700_000_000_000,
        ..Facts::default()
    };
    hears(Machine::new(Options::default(), 1, &facts), facts, bytes);
    let Ok(message) = decode(bytes) else {
        return false;
    };
    let again = message.encode();
    if let Ok(read) = decode(&again) {
        assert!(read.header == message.header);
    }
    let (me, sender) = ("f".repeat(40), message.header.sender.to_string());
    if me != sender {
        for (my_role, its_role) in [
            (format!("slave {sender}"), "master -".to_owned()),
            ("master -".to_owned(), format!("slave {me}")),
            ("master -".to_owned(), "master -".to_owned()),
        ] {
            let mine = format!("{me} 10.0.0.9:7000@17000 myself,{my_role} 0 0 1 connected");
            let its =
                format!("{sender} 10.0.0.1:7000@17000 {its_role} 0 1699999999000 2 connected");
            let slots = |role: &str, slots| match role {
                "master -" => slots,
                _ => "",
            };
            let text = format!(
                "{mine}{}\n{its}{}\nvars currentEpoch 2 lastVoteEpoch 0\n",
                slots(&my_role, " 5461-16383"),
                slots(&its_role, " 0-5460"),
            );
            let file = File::read(text.as_bytes(), false).expect("a file as nodes write it");
            let machine = Machine::load(&file, Options::default(), 1, &facts);
            hears(machine.expect("a file with all in it"), facts, bytes);
        }
    }
    true
}

/// Has a node get the bytes twice, some seconds apart, and looks at the file it writes.
fn hears(mut machine: Machine, mut facts: Facts, bytes: &[u8]) {
    let address = [10, 0, 0, 1].into();
    let link = LinkId::In(1);
    let (peer, local) = (address, address);
    machine.step(&facts, Input::Tick);
    machine.step(&facts, Input::Accepted { link, peer, local });
    for _ in 0..2 {
        machine.step(&facts, Input::Received { link, bytes });
        for _ in 0..3 {
            facts.now_ms += 1_000;
            facts.wall_ms += 1_000;
            machine.step(&facts, Input::Tick);
        }
        let written = machine.file().write();
        let read = File::read(written.as_bytes(), false);
        assert!(read.is_ok(), "{read:?} of {written}");
    }
}
