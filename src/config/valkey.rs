//! Directives that only Valkey has, for an operator who starts this server with a `valkey.conf`.
//!
//! A server that stopped at the first of them with "Bad directive" would have its operator find them one by one, without
//! a hint of what they are. So all of a file are named together, each with what takes its place here.
//!
//! Mirrors: nothing in Redis. The names are those of Valkey 9.1 that neither Redis 8 nor we know.

use std::fmt::Write;

/// The advice given for a directive.
enum Instead {
    /// Another name with the same meaning and values.
    Use(&'static str),
    /// No replacement: Redis lacks the feature.
    Nothing,
}
use Instead::{Nothing, Use};

const DIRECTIVES: &[(&str, Instead)] = &[
    ("active-defrag-cycle-us", Nothing),
    ("availability-zone", Nothing),
    ("cluster-announce-client-ipv4", Use("cluster-announce-ip")),
    ("cluster-announce-client-ipv6", Use("cluster-announce-ip")),
    ("cluster-announce-client-port", Use("cluster-announce-port")),
    (
        "cluster-announce-client-tls-port",
        Use("cluster-announce-tls-port"),
    ),
    ("cluster-blacklist-ttl", Nothing),
    ("cluster-config-save-behavior", Nothing),
    ("cluster-databases", Nothing),
    ("cluster-manual-failover-timeout", Nothing),
    ("cluster-message-gossip-perc", Nothing),
    ("cluster-slot-migration-log-max-len", Nothing),
    (
        "commandlog-execution-slower-than",
        Use("slowlog-log-slower-than"),
    ),
    ("commandlog-large-reply-max-len", Nothing),
    ("commandlog-large-request-max-len", Nothing),
    ("commandlog-reply-larger-than", Nothing),
    ("commandlog-request-larger-than", Nothing),
    ("commandlog-slow-execution-max-len", Use("slowlog-max-len")),
    ("debug-context", Nothing),
    ("dual-channel-replication-enabled", Nothing),
    ("enable-debug-assert", Nothing),
    ("extended-redis-compatibility", Nothing),
    ("hash-seed", Nothing),
    ("import-mode", Nothing),
    ("io-threads-always-active", Nothing),
    ("log-timestamp-format", Nothing),
    ("lua-enable-insecure-api", Nothing),
    ("min-io-threads-avoid-copy-reply", Nothing),
    ("min-string-size-avoid-copy-reply", Nothing),
    ("min-string-size-avoid-copy-reply-threaded", Nothing),
    ("mptcp", Nothing),
    ("primaryauth", Use("masterauth")),
    ("primaryuser", Use("masteruser")),
    ("rdb-version-check", Nothing),
    ("rdma-bind", Nothing),
    ("rdma-completion-vector", Nothing),
    ("rdma-port", Nothing),
    ("rdma-rx-size", Nothing),
    ("repl-mptcp", Nothing),
    ("slot-migration-max-failover-repl-bytes", Nothing),
    ("tls-auto-reload-interval", Nothing),
    ("unixsocketgroup", Nothing),
];

fn find(name: &[u8]) -> Option<&'static (&'static str, Instead)> {
    DIRECTIVES
        .iter()
        .find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name))
}

/// Whether a directive is one of Valkey's alone.
pub(super) fn knows(name: &[u8]) -> bool {
    find(name).is_some()
}

/// Advice on a file's Valkey directives: one sentence, then a line of text for each of them.
pub(super) fn explain(lines: &[(usize, String)]) -> String {
    let mut text = String::from(
        "Directives of Valkey that Redis and this server do not have. Change these lines, the rest of a valkey.conf may \
         stay:",
    );
    for (number, name) in lines {
        let advice = match find(name.as_bytes()) {
            Some((_, Use(other))) => format!("use '{other}' instead"),
            _ => "remove it".to_owned(),
        };
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  line {number}: '{name}': {advice}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_advised_exists_and_what_is_listed_does_not() {
        for (name, instead) in DIRECTIVES {
            assert!(
                super::super::find(name.as_bytes()).is_none(),
                "{name} is ours"
            );
            if let Use(other) = instead {
                assert!(super::super::find(other.as_bytes()).is_some(), "{other}");
            }
        }
        assert!(DIRECTIVES.is_sorted_by_key(|(name, _)| *name));
    }
}
