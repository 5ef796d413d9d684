//! Any text is an ACL file, or has errors; users that were read are read again from what they are shown as.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use oxidis::acl::{Acl, Vocabulary};
use oxidis::commands::GROUPS;
use oxidis::command::table::CommandTable;

static COMMANDS: LazyLock<CommandTable> = LazyLock::new(|| CommandTable::new(GROUPS));

fuzz_target!(|text: &[u8]| {
    let vocabulary = Vocabulary {
        commands: &COMMANDS,
        all_channels: false,
    };
    let Ok(users) = Acl::parse_file(text, "f", vocabulary) else {
        return;
    };
    for user in users.values() {
        let again = Acl::parse_file(&user.line(), "f", vocabulary).expect("it was shown so");
        assert_eq!(again.values().next().map(|u| u.line()), Some(user.line()));
    }
});
