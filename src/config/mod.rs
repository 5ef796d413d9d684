//! The configuration: every option declared once, read from files, arguments and CONFIG SET.
//!
//! ```text
//!   command line ─┐                    ┌─ CONFIG GET   show
//!   redis.conf   ─┼─► Config (typed) ──┼─ CONFIG SET   set, then Apply, or all of it undone
//!   CONFIG SET   ─┘        ▲           └─ CONFIG REWRITE   lines
//!                          │
//!                OPTIONS (options.rs): name, aliases, flags, kind, default, summary
//! ```
//!
//! Hot code reads fields: `config.maxmemory`, `config.lazyfree_lazy_expire`. Everything that
//! treats options alike walks [`OPTIONS`].
//!
//! Invariant: a field never holds a value its kind would refuse. [`ConfigOption::set`] checks the values of users. Code
//! that changes a field by itself keeps to the same values: REPLICAOF and FAILOVER (`replicaof`), CONFIG SET when a
//! field follows another, programs that embed a server, and tests.
//!
//! Mirrors: config.c. Differs: no globals; a side effect (another port, another limit) is asked
//! of the owner through [`Apply`] so that the configuration knows no sockets; a failed CONFIG SET
//! puts back the old `Config` as a whole instead of replaying old values.

pub mod act;
mod checks;
pub mod disk;
pub mod events;
pub mod kinds;
mod load;
mod logging;
mod options;
mod rewrite;
mod set;
mod valkey;
pub mod values;
pub mod words;

use std::fmt;

use crate::util::glob::{self, Case};

pub use checks::expand_title;
pub use kinds::{Line, Reason, Shape};
pub use load::{CommandLine, Fatal, Referee, Remark};
pub use options::{Config, OPTIONS};
pub use rewrite::Rewrite;
pub use set::{Apply, ApplyError, Permissions, SetError, set};
pub use values::*;

/// A property of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// Set at start, never after.
    Immutable,
    /// Left out of CONFIG GET with a pattern; asked for by name it answers.
    Hidden,
    /// CONFIG SET needs `enable-protected-configs`.
    Protected,
    /// Its value is kept out of the slow log, MONITOR and the ACL log.
    Sensitive,
    /// Refused while the data set is being loaded.
    DenyLoading,
    /// Takes several words.
    MultiArg,
    /// Setting the same value again is a change (the file behind the name may be another).
    Volatile,
    /// Worth a line in a crash report.
    Debug,
    /// Taken and remembered, but it changes nothing, for this reason.
    NoEffect(&'static str),
}

/// One option: all that is known of it besides its value.
#[derive(Debug)]
pub struct ConfigOption {
    pub name: &'static str,
    /// Older names; they work everywhere the name does.
    pub aliases: &'static [&'static str],
    summary: &'static str,
    pub flags: &'static [Flag],
    /// The form of its values.
    pub shape: Shape,
    show: fn(&Config) -> Vec<u8>,
    set: fn(&mut Config, &[&[u8]]) -> Result<bool, Reason>,
    lines: fn(&Config, &Config) -> Vec<Line>,
}

impl ConfigOption {
    pub fn has(&self, flag: Flag) -> bool {
        self.flags.contains(&flag)
    }

    /// The purpose of the option, in one line.
    pub fn summary(&self) -> &'static str {
        self.summary.trim_start()
    }

    /// Why setting it changes nothing, when it does not.
    pub fn no_effect(&self) -> Option<&'static str> {
        self.flags.iter().find_map(|flag| match flag {
            Flag::NoEffect(reason) => Some(*reason),
            _ => None,
        })
    }

    /// The value as CONFIG GET prints it.
    pub fn show(&self, config: &Config) -> Vec<u8> {
        (self.show)(config)
    }

    /// Reads the arguments into its field. `true` when this is to be acted on: the value is
    /// another than before, or may mean another thing.
    pub fn set(&self, config: &mut Config, args: &[&[u8]]) -> Result<bool, Reason> {
        let changed = (self.set)(config, args)?;
        Ok(changed || self.has(Flag::Volatile))
    }

    /// The lines that say its value in a file.
    pub fn lines(&self, config: &Config, default: &Config) -> Vec<Line> {
        (self.lines)(config, default)
    }

    /// Its name and its aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// The option of that name or alias, whatever the case.
#[doc(alias = "lookupConfig")]
pub fn find(name: &[u8]) -> Option<&'static ConfigOption> {
    let same = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
    OPTIONS.iter().find(|option| option.names().any(same))
}

/// Lines of a configuration file that are no options, split into words, in the order they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `user <name> <rule>…`, without the first word.
    pub users: Vec<Vec<Vec<u8>>>,
    /// `rename-command <from> <to>`; an empty `to` removes the command.
    pub renamed_commands: Vec<(Vec<u8>, Vec<u8>)>,
    /// `loadmodule <path> <argument>…`, without the first word.
    pub modules: Vec<Vec<Vec<u8>>>,
    /// `<module>.<option> <value>…`: the name, the words.
    pub module_options: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
    /// `sentinel …` with its line number, without the first word.
    pub sentinel: Vec<(usize, Vec<Vec<u8>>)>,
}

impl Config {
    /// The answer to CONFIG GET: the names that match with their values, each name once, in the order of the table. A
    /// name without wildcards is answered as it was spelled, hidden or not.
    #[doc(alias = "configGetCommand")]
    pub fn get(&self, patterns: &[&[u8]]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut add = |name: &[u8], option: &ConfigOption| {
            if !found
                .iter()
                .any(|(known, _)| known.eq_ignore_ascii_case(name))
            {
                found.push((name.to_vec(), option.show(self)));
            }
        };
        for pattern in patterns {
            if !pattern.iter().any(|b| b"[*?".contains(b)) {
                if let Some(option) = find(pattern) {
                    add(pattern, option);
                }
                continue;
            }
            for option in OPTIONS.iter().filter(|o| !o.has(Flag::Hidden)) {
                for name in option.names() {
                    if glob::matches(pattern, name.as_bytes(), Case::Ignored) {
                        add(name.as_bytes(), option);
                    }
                }
            }
        }
        found
    }

    /// The configuration that an empty file gives a sentinel: another port, clients from anywhere, and nothing that is
    /// saved.
    #[doc(alias = "initSentinelConfig")]
    pub fn of_sentinel() -> Config {
        Config {
            sentinel: true,
            port: 26379,
            protected_mode: false,
            save: Vec::new(),
            ..Config::default()
        }
    }

    /// Whether we follow a primary.
    #[inline]
    pub fn is_replica(&self) -> bool {
        self.replicaof.is_some()
    }

    /// The server's mode: `standalone`, `cluster` or `sentinel`.
    pub fn mode(&self) -> &'static str {
        if self.cluster_enabled {
            "cluster"
        } else if self.sentinel {
            "sentinel"
        } else {
            "standalone"
        }
    }
}

impl fmt::Debug for Config {
    /// Only where it came from: the values include passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
