//! CONFIG SET: several options at once, all of them or none.
//!
//! ```text
//!   look up, judge ──► set on a copy ──► swap the copy in ──► Apply ──► done
//!        │                  │                                   │
//!        ▼                  ▼                                   ▼
//!      error              error, the copy is dropped          error, the old Config is put back
//!                                                             and applied again
//! ```
//!
//! Mirrors: configSetCommand() of config.c. There, old values are kept as text and set again one
//! by one; here the whole `Config` is cloned, which cannot fail half-way.

use std::borrow::Cow;
use std::fmt;

use super::load::remarks_on;
use super::{Config, ConfigOption, Flag, Reason, Remark, checks, find};

/// The consequences of a changed configuration: sockets, limits, threads.
pub trait Apply {
    /// The configuration the server works from.
    fn config(&mut self) -> &mut Config;

    /// Makes the server follow `config()`, whose options `changed` were just set, in the order
    /// they were asked for. Called again with the same names, and the old configuration back in
    /// place, when it fails: it must then undo what it did before it failed.
    ///
    /// # Errors
    /// The option to blame, and why in the words the client reads.
    fn apply(&mut self, changed: &[&'static str]) -> Result<(), ApplyError>;

    /// Hears of an option that the server could not follow, before the old configuration is put back.
    fn could_not_follow(&mut self, option: &str) {
        let _ = option;
    }
}

/// The server cannot follow an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplyError {
    pub option: &'static str,
    pub reason: Reason,
}

impl ApplyError {
    pub fn new(option: &'static str, reason: impl Into<Reason>) -> Self {
        let reason = reason.into();
        ApplyError { option, reason }
    }
}

/// The kinds of options that the client, and the state of the server, allow to be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Options marked [`Flag::Protected`].
    pub protected: bool,
    /// The data set is being loaded.
    pub loading: bool,
}

/// Why CONFIG SET did nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetError {
    /// An option that waits for the data set; the client reads the usual LOADING error.
    Loading,
    /// No option has this name.
    Unknown(Vec<u8>),
    /// A value was refused, or the server could not follow it.
    Failed { option: Vec<u8>, reason: Reason },
}

impl fmt::Display for SetError {
    /// The sentence after the error code.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetError::Loading => f.write_str("the data set is being loaded"),
            SetError::Unknown(name) => write!(
                f,
                "Unknown option or number of arguments for CONFIG SET - '{}'",
                lossy(name)
            ),
            SetError::Failed { option, reason } => write!(
                f,
                "CONFIG SET failed (possibly related to argument '{}') - {reason}",
                lossy(option)
            ),
        }
    }
}

fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Sets `pairs` of names and values on `server`, all or none.
///
/// Returns the remarks for the log.
///
/// # Errors
/// The first pair that is wrong, or the first the server could not follow; nothing has changed.
#[doc(alias = "configSetCommand")]
pub fn set(
    server: &mut impl Apply,
    pairs: &[(&[u8], &[u8])],
    permissions: Permissions,
) -> Result<Vec<Remark>, SetError> {
    let (config, changed) = server.config().with(pairs, permissions)?;
    if changed.is_empty() {
        return Ok(Vec::new());
    }
    let options = changed.iter().filter_map(|name| find(name.as_bytes()));
    let remarks = options.filter_map(|option| remarks_on(option, &config));
    let remarks = remarks.collect();
    let old = std::mem::replace(server.config(), config);
    if let Err(error) = server.apply(&changed) {
        server.could_not_follow(error.option);
        *server.config() = old;
        // The server followed the old configuration a moment ago, so it can follow it again; if not, the log has it.
        let _ = server.apply(&changed);
        return Err(SetError::Failed {
            option: error.option.into(),
            reason: error.reason,
        });
    }
    Ok(remarks)
}

impl Config {
    /// Sets one option by name, before there is a server that would have to follow.
    pub fn assign(&mut self, name: &[u8], value: &[u8]) -> Result<(), Reason> {
        let option = find(name).ok_or("Bad directive or wrong number of arguments")?;
        option.set(self, &arguments(option, value)).map(|_| ())
    }

    /// A copy with `pairs` set, and the names of the options to act on.
    pub fn with(
        &self,
        pairs: &[(&[u8], &[u8])],
        permissions: Permissions,
    ) -> Result<(Config, Vec<&'static str>), SetError> {
        let options = judge(pairs, permissions)?;
        let mut config = self.clone();
        let mut changed = Vec::new();
        for (option, (name, value)) in options.iter().zip(pairs) {
            let set = option.set(&mut config, &arguments(option, value));
            match set {
                Ok(true) => changed.push(option.name),
                Ok(false) => {}
                Err(reason) => return Err(failed(name, reason)),
            }
        }
        if let Some((name, reason)) = checks::at_start_only(self, &config) {
            return Err(failed(name.as_bytes(), reason));
        }
        Ok((config, changed))
    }
}

/// The options of all pairs, when each of them may be set now.
fn judge(
    pairs: &[(&[u8], &[u8])],
    permissions: Permissions,
) -> Result<Vec<&'static ConfigOption>, SetError> {
    let mut options: Vec<&'static ConfigOption> = Vec::with_capacity(pairs.len());
    for (name, _) in pairs {
        let option = find(name).ok_or_else(|| SetError::Unknown(name.to_vec()))?;
        if option.has(Flag::Immutable) {
            return Err(failed(name, "can't set immutable config"));
        }
        if option.has(Flag::Protected) && !permissions.protected {
            return Err(failed(name, "can't set protected config"));
        }
        if option.has(Flag::DenyLoading) && permissions.loading {
            return Err(SetError::Loading);
        }
        if options.iter().any(|known| std::ptr::eq(*known, option)) {
            return Err(failed(name, "duplicate parameter"));
        }
        options.push(option);
    }
    Ok(options)
}

fn failed(option: &[u8], reason: impl Into<Reason>) -> SetError {
    SetError::Failed {
        option: option.to_ascii_lowercase(),
        reason: reason.into(),
    }
}

/// The words of a value: an option of several words takes them in one argument, separated by
/// single spaces.
fn arguments<'a>(option: &ConfigOption, value: &'a [u8]) -> Vec<&'a [u8]> {
    match option.has(Flag::MultiArg) {
        // An empty value is a list without words, not a list with one empty word.
        true if value.is_empty() => Vec::new(),
        true => value.split(|b| *b == b' ').collect(),
        false => vec![value],
    }
}
