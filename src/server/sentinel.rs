//! The stand-alone sentinel: from its file to its loop.
//!
//! ```text
//!   file ─► three passes over its `sentinel` lines ─► machine ─► log ─► users, sockets ─► the file is saved ─► the loop
//! ```
//!
//! Mirrors: loadSentinelConfigFromQueue(), sentinelIsRunning() of sentinel.c, and main() of server.c.

use super::process::{listen, own_process, serve_clients};
use super::{Server, metrics};
use crate::acl;
use crate::config::{Config, Fatal, disk};
use crate::sentinel::act::{self, address_of, file};
use crate::sentinel::directives::pass;
use crate::sentinel::{Now, Sentinel, Settings};
use crate::sys::clock::Clock;
use crate::sys::entropy::Entropy;
use crate::sys::log::Logger;
use crate::sys::process::is_executable;
use crate::util::args;

/// The sentinel that the lines of a file describe.
///
/// # Errors
/// The first line that cannot be.
#[doc(alias = "loadSentinelConfigFromQueue")]
pub(super) fn from_file(config: &Config) -> Result<Sentinel, Fatal> {
    let (mut entropy, clock) = (Entropy::System, Clock::machine());
    let now = Now {
        ms: (clock.monotonic_ns() / 1_000_000) as i64,
        unix_ms: clock.unix_ms(),
    };
    let password = config.requirepass.as_deref();
    let settings = Settings {
        port: match config.tls_replication {
            true => config.tls_port,
            false => config.port,
        },
        requirepass: password.map(|text| String::from_utf8_lossy(text).into_owned()),
        ..Settings::default()
    };
    let (id, seed) = (entropy.name_text(), entropy.seed());
    let mut sentinel = Sentinel::new(id, settings, seed, now);
    let mut lines: Vec<_> = config.directives.sentinel.iter().collect();
    lines.sort_by_key(|(_, words)| pass(words));
    let resolve = |host: &str| address_of(host).ok();
    let runs = |path: &str| is_executable(&config.dir.join(path));
    for (number, words) in lines {
        let applied = sentinel.apply(words, &runs, &resolve);
        applied.map_err(|reason| Fatal::Line {
            number: *number,
            line: line_of(words),
            reason: reason.into(),
        })?;
    }
    Ok(sentinel)
}

/// A line as the file has it, but for its blanks.
fn line_of(words: &[Vec<u8>]) -> Vec<u8> {
    let mut line = b"sentinel".to_vec();
    for word in words {
        line.push(b' ');
        match args::needs_repr(word) {
            true => args::repr(&mut line, word),
            false => line.extend_from_slice(word),
        }
    }
    line
}

/// Runs the process as a sentinel; the code to exit with.
#[doc(alias = "sentinelIsRunning")]
pub(super) fn run(server: &mut Server, log: &Logger) -> i32 {
    own_process(server, log);
    if !acl::act::load_users(&mut server.state) {
        return 1;
    }
    if listen(server, log).is_none() {
        return 1;
    }
    let config = &server.state.config;
    if let Err(line) = metrics::serve(config, &server.state.mailbox) {
        log.warning(line);
        return 1;
    }
    let lines = &config.directives.sentinel;
    let has_id = lines.iter().any(|(_, words)| {
        let name = words.first();
        name.is_some_and(|name| name.eq_ignore_ascii_case(b"myid"))
    });
    if !has_id && let Err(error) = file::save_now(&mut server.state) {
        let reason = disk::reason(&error);
        log.warning(format_args!(
            "WARNING: Sentinel was not able to save the new configuration on disk!!!: {reason}"
        ));
    }
    act::tell(&mut server.state, |sentinel| {
        log.notice(format_args!("Sentinel ID is {}", sentinel.core.my_id));
        sentinel.announce_groups();
    });
    server.announce();
    let code = serve_clients(server, log);
    file::finish(&mut server.state);
    code
}
