//! Any text is a configuration, or an error that names its line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oxidis::config::Config;

fuzz_target!(
    init: {
        // Paths in a configuration are tried; let those that are relative be nobody's.
        let dir = std::env::temp_dir().join(format!("oxidis-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory to work in");
        std::env::set_current_dir(&dir).expect("a directory to work in");
    },
    |text: &[u8]| {
        if let Err(error) = Config::parse(text, &mut ()) {
            assert!(!error.to_string().is_empty());
        }
    }
);
