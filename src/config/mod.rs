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
//! Invariant: a field never holds a value its kind would refuse; only [`ConfigOption::set`] and
//! code that builds a `Config` for a test write to it.
//!
//! Mirrors: config.c. Differs: no globals; a side effect (another port, another limit) is asked
//! of the owner through [`Apply`] so that the configuration knows no sockets; a failed CONFIG SET
//! puts back the old `Config` as a whole instead of replaying old values.

mod checks;
pub mod disk;
pub mod kinds;
mod options;
mod set;
pub mod values;
pub mod words;

use std::fmt;

pub use checks::expand_title;
pub use kinds::{Line, Reason};
pub use options::{Config, OPTIONS};
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
    show: fn(&Config) -> Vec<u8>,
    set: fn(&mut Config, &[&[u8]]) -> Result<bool, Reason>,
    lines: fn(&Config, &Config) -> Vec<Line>,
}

impl ConfigOption {
    pub fn has(&self, flag: Flag) -> bool {
        self.flags.contains(&flag)
    }

    /// What it does, in one line.
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

impl fmt::Debug for Config {
    /// Only where it came from: the values include passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lower_case() {
        let mut names: Vec<&str> = OPTIONS.iter().flat_map(ConfigOption::names).collect();
        for name in &names {
            assert_eq!(*name, name.to_ascii_lowercase());
            assert!(find(name.to_ascii_uppercase().as_bytes()).is_some());
        }
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn every_option_has_a_summary_of_one_line() {
        for option in OPTIONS {
            assert!(option.summary().ends_with('.'), "{}", option.name);
            assert!(!option.summary().contains('\n'), "{}", option.name);
        }
    }

    #[test]
    fn what_is_shown_can_be_set_again() {
        let default = Config::default();
        for option in OPTIONS {
            if matches!(option.name, "replicaof" | "preload-file") {
                continue; // What they show when unset is no value.
            }
            let shown = option.show(&default);
            let mut config = default.clone();
            let words: Vec<&[u8]> = match option.has(Flag::MultiArg) && !shown.is_empty() {
                true => shown.split(|b| *b == b' ').collect(),
                false => vec![&shown],
            };
            option
                .set(&mut config, &words)
                .unwrap_or_else(|reason| panic!("{}: {reason}", option.name));
            assert!(config == default, "{}", option.name);
        }
    }
}
