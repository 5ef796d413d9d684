//! The slow log: the last commands that took long, with their arguments.
//!
//! Mirrors: slowlog.c.
//! Differs: `slowlog-entry-max-argc` and `slowlog-entry-max-string-len` configure how much of a command is kept.

use std::collections::VecDeque;

use crate::command::Redacted;
use crate::resp::argv::{Argv, OwnedArgv};

/// The word shown in the place of a secret.
pub const REDACTED: &[u8] = b"(redacted)";

/// A slow command.
#[derive(Debug)]
pub struct SlowCommand {
    /// Counted from the start of the server.
    pub id: u64,
    /// When it ended, unix time in seconds.
    pub time: i64,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// Its words, shortened.
    pub argv: OwnedArgv,
    /// Address of the client.
    pub address: String,
    /// Name of the client.
    pub name: Vec<u8>,
}

/// Bounds on the entries that are kept.
#[derive(Clone, Copy, Debug)]
pub struct SlowlogLimits {
    /// Entries.
    pub len: usize,
    /// Words of an entry.
    pub argc: usize,
    /// Bytes of a word.
    pub word: usize,
}

/// The slow commands, latest first.
#[derive(Debug, Default)]
pub struct Slowlog {
    entries: VecDeque<SlowCommand>,
    next_id: u64,
}

impl Slowlog {
    /// Notes a command. O(words kept).
    #[doc(alias = "slowlogPushEntryIfNeeded")]
    pub fn push(
        &mut self,
        argv: Argv<'_>,
        redacted: Redacted,
        duration_us: u64,
        now: i64,
        client: (&str, &[u8]),
        limits: SlowlogLimits,
    ) {
        self.entries.push_front(SlowCommand {
            id: self.next_id,
            time: now,
            duration_us,
            argv: shortened(argv, redacted, limits),
            address: client.0.to_owned(),
            name: client.1.to_vec(),
        });
        self.next_id += 1;
        self.entries.truncate(limits.len);
    }

    /// The entries, latest first.
    pub fn iter(&self) -> impl Iterator<Item = &SlowCommand> {
        self.entries.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets them; numbers go on.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

/// The words an entry keeps; the last tells how many are left out, a long one how much of it.
fn shortened(argv: Argv<'_>, redacted: Redacted, limits: SlowlogLimits) -> OwnedArgv {
    let kept = argv.len().min(limits.argc);
    let mut words = crate::resp::argv::OwnedArgv::default();
    for i in 0..kept {
        let word = argv.get(i);
        if kept < argv.len() && i == kept - 1 {
            words.push(format!("... ({} more arguments)", argv.len() - kept + 1).as_bytes());
        } else if redacted.has(i) {
            words.push(REDACTED);
        } else if word.len() > limits.word {
            let mut short = word[..limits.word].to_vec();
            let more = word.len() - limits.word;
            short.extend_from_slice(format!("... ({more} more bytes)").as_bytes());
            words.push(&short);
        } else {
            words.push(word);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_shortened_and_secrets_left_out() {
        let limits = SlowlogLimits {
            len: 2,
            argc: 4,
            word: 3,
        };
        let mut log = Slowlog::default();
        let mut redacted = crate::command::Redacted::default();
        redacted.add(2);
        for request in ["a b c", "auth bob secret", "set long long long long"] {
            let argv = crate::resp::argv::OwnedArgv::from_words(request.split(' '));
            log.push(argv.as_argv(), redacted, 7, 1, ("", b""), limits);
        }
        let shown = |entry: &SlowCommand| {
            let words: Vec<&[u8]> = entry.argv.as_argv().iter().collect();
            (entry.id, String::from_utf8(words.join(&b' ')).unwrap())
        };
        let entries: Vec<_> = log.iter().map(shown).collect();
        let last = "set lon... (1 more bytes) (redacted) ... (2 more arguments)".to_owned();
        let before = "aut... (1 more bytes) bob (redacted)".to_owned();
        assert_eq!(entries, [(2, last), (1, before)]);
    }
}
