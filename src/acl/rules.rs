//! The words that ACL rules are made of: the names they may use, the errors they can have, and how the words of one
//! selector are joined again.
//!
//! ```text
//!   ACL SETUSER alice on (+get ~a:*) +ping      four words after the name
//!                     on  (+get ~a:*)  +ping    three rules: `(+get` and `~a:*)` are one
//! ```
//!
//! Mirrors: ACLMergeSelectorArguments(), ACLSetUserStringError() and ACLAppendUserForLoading() of acl.c.
//! Differs: errors are an enum; Redis passes them as values of `errno`.

use std::fmt;

use super::User;
use crate::command::table::{CommandId, CommandTable};

/// The names that rules may use, and their meaning on this server.
#[derive(Clone, Copy, Debug)]
pub struct Vocabulary<'a> {
    /// Commands, by the names of their declarations: renaming one changes no rule.
    pub commands: &'a CommandTable,
    /// Whether a new user may use all channels (`acl-pubsub-default`).
    pub all_channels: bool,
}

impl Vocabulary<'_> {
    /// The command of this declared name, `container|sub` for a subcommand, in any case. O(commands).
    #[doc(alias = "ACLLookupCommand")]
    pub(super) fn command(&self, name: &[u8]) -> Option<CommandId> {
        let mut parts = name.split(|b| *b == b'|');
        let top = parts.next()?;
        let same = |known: &str| known.as_bytes().eq_ignore_ascii_case(top);
        let mut entries = self.commands.iter().filter(|e| e.parent.is_none());
        let id = entries.find(|e| same(e.decl.name))?.id;
        match (parts.next(), parts.next()) {
            (None, _) => Some(id),
            (Some(sub), None) => self.commands.subcommand(id, sub),
            _ => None,
        }
    }
}

/// The error in a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// No such command or category.
    Unknown,
    /// Not a rule, or a pattern with spaces in it.
    Syntax,
    /// A key pattern where all keys are allowed already.
    AllKeys,
    /// A channel pattern where all channels are allowed already.
    AllChannels,
    /// A password to be removed that the user does not have.
    NoSuchPassword,
    /// Not the hash of a password.
    BadHash,
    /// A user said twice.
    Duplicate,
    /// A first argument of a subcommand.
    FirstArgOfSubcommand,
}

impl fmt::Display for RuleError {
    #[doc(alias = "ACLSetUserStringError")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RuleError::Unknown => "Unknown command or category name in ACL",
            RuleError::Syntax => "Syntax error",
            RuleError::AllKeys => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does \
                 not have any effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            RuleError::AllChannels => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and \
                 does not have any effect. Try 'resetchannels' to start with an empty list of channels"
            }
            RuleError::NoSuchPassword => {
                "The password you are trying to remove from the user does not exist"
            }
            RuleError::BadHash => {
                "The password hash must be exactly 64 characters and contain only lowercase \
                 hexadecimal characters"
            }
            RuleError::Duplicate => {
                "Duplicate user found. A user can only be defined once in config files"
            }
            RuleError::FirstArgOfSubcommand => {
                "Allowing first-arg of a subcommand is not supported"
            }
        })
    }
}

/// Whether a name or pattern holds what would end it in a file.
#[doc(alias = "ACLStringHasSpaces")]
pub fn has_spaces(text: &[u8]) -> bool {
    text.iter().any(|b| matches!(b, b'\t'..=b'\r' | b' ' | 0))
}

/// Puts the words between an opening and a closing parenthesis into one rule.
///
/// # Errors
/// The word with the parenthesis that is never closed.
#[doc(alias = "ACLMergeSelectorArguments")]
pub fn merge_selectors<'a>(words: &[&'a [u8]]) -> Result<Vec<Vec<u8>>, &'a [u8]> {
    let mut merged: Vec<Vec<u8>> = Vec::with_capacity(words.len());
    let mut open: Option<(&'a [u8], Vec<u8>)> = None;
    for word in words {
        match &mut open {
            Some((_, selector)) => {
                selector.push(b' ');
                selector.extend_from_slice(word);
                if word.ends_with(b")") {
                    merged.extend(open.take().map(|(_, selector)| selector));
                }
            }
            None if word.starts_with(b"(") && !word.ends_with(b")") => {
                open = Some((word, word.to_vec()));
            }
            None => merged.push(word.to_vec()),
        }
    }
    match open {
        Some((start, _)) => Err(start),
        None => Ok(merged),
    }
}

/// Looks whether the rules of a `user` line in a configuration file make sense. Names of commands are not
/// judged: modules may still bring them.
///
/// # Errors
/// The rule at fault, and its error.
#[doc(alias = "ACLAppendUserForLoading")]
pub fn check_declaration(
    rules: &[&[u8]],
    vocabulary: Vocabulary<'_>,
) -> Result<(), (Vec<u8>, RuleError)> {
    let rules = merge_selectors(rules).map_err(|start| (start.to_vec(), RuleError::Syntax))?;
    let mut user = User::new(b"", vocabulary);
    for rule in rules {
        match user.apply(&rule, vocabulary) {
            Ok(()) | Err(RuleError::Unknown) => {}
            Err(error) => return Err((rule, error)),
        }
    }
    Ok(())
}
