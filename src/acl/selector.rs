//! One set of permissions: commands, keys, channels, and the rules that made it.
//!
//! ```text
//!   +@all -@hash +hget     rules, in order, each name once: what is shown and saved
//!   1111011110…1 | future  one bit per command, and one for those that do not exist yet
//!   select -> [0]          first arguments for which a command is allowed though its bit is not set
//! ```
//!
//! Invariant: applying the shown rules to an empty selector gives this one.
//!
//! Mirrors: `aclSelector` of acl.c, `ACLSetSelector` and `ACLDescribeSelector`.
//! Differs: rules are kept as a list and compared one by one; Redis keeps one string and parses it again to change
//! it.

use super::rules::{RuleError, Vocabulary, has_spaces};
use crate::command::table::{CommandId, CommandTable};
use crate::util::args;

/// Reading what a key holds (`%R~`).
pub(super) const READ: u8 = 1;
/// Changing it (`%W~`).
pub(super) const WRITE: u8 = 2;

/// Commands a set of bits has room for; a command beyond has no bit and is refused.
const COMMANDS_MAX: usize = 1024;

/// Keys that may be used, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyPattern {
    pub(super) glob: Box<[u8]>,
    /// [`READ`], [`WRITE`] or both.
    pub(super) access: u8,
}

/// A rule about commands, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    allow: bool,
    /// `get`, `config|get`, `select|0` or `@hash`, in lower case.
    what: Box<[u8]>,
}

/// A set of permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    commands: [u64; COMMANDS_MAX / 64],
    /// Commands that do not exist yet are allowed.
    future: bool,
    rules: Vec<Rule>,
    pub(super) first_args: Vec<(CommandId, Box<[u8]>)>,
    pub(super) all_keys: bool,
    pub(super) keys: Vec<KeyPattern>,
    pub(super) all_channels: bool,
    pub(super) channels: Vec<Box<[u8]>>,
}

impl Selector {
    /// A selector that allows no command and no key, and channels only where `all_channels` is the default.
    #[doc(alias = "ACLCreateSelector")]
    pub(super) fn new(all_channels: bool) -> Selector {
        Selector {
            commands: [0; COMMANDS_MAX / 64],
            future: false,
            rules: Vec::new(),
            first_args: Vec::new(),
            all_keys: false,
            keys: Vec::new(),
            all_channels,
            channels: Vec::new(),
        }
    }

    /// Everything is allowed.
    pub(super) fn everything() -> Selector {
        Selector {
            commands: [u64::MAX; COMMANDS_MAX / 64],
            future: true,
            all_keys: true,
            ..Selector::new(true)
        }
    }

    /// Whether nothing whatever is refused.
    pub(super) fn allows_everything(&self) -> bool {
        let all_commands = self.future && self.commands.iter().all(|word| *word == u64::MAX);
        all_commands && self.all_keys && self.all_channels
    }

    /// Parses the rules between the parentheses of `(rule rule …)`, quoted where they must be.
    #[doc(alias = "aclCreateSelectorFromOpSet")]
    pub(super) fn parse(inside: &[u8], vocabulary: Vocabulary<'_>) -> Result<Selector, RuleError> {
        let mut selector = Selector::new(vocabulary.all_channels);
        for rule in args::split(inside).map_err(|_| RuleError::Syntax)? {
            // In a file this would end the selector.
            if rule.ends_with(b")") {
                return Err(RuleError::Syntax);
            }
            selector.apply(&rule, vocabulary)?;
        }
        Ok(selector)
    }

    /// Whether the command's bit is set.
    #[inline]
    pub(super) fn has_command(&self, id: CommandId) -> bool {
        let word = self.commands.get(usize::from(id.0) / 64);
        word.is_some_and(|word| word >> (id.0 % 64) & 1 != 0)
    }

    /// Follows one rule.
    ///
    /// # Errors
    /// What is wrong with it; nothing has changed then.
    #[doc(alias = "ACLSetSelector")]
    pub(super) fn apply(
        &mut self,
        rule: &[u8],
        vocabulary: Vocabulary<'_>,
    ) -> Result<(), RuleError> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        if is("allkeys") || is("~*") {
            (self.all_keys, self.keys) = (true, Vec::new());
        } else if is("resetkeys") {
            (self.all_keys, self.keys) = (false, Vec::new());
        } else if is("allchannels") || is("&*") {
            (self.all_channels, self.channels) = (true, Vec::new());
        } else if is("resetchannels") {
            (self.all_channels, self.channels) = (false, Vec::new());
        } else if is("allcommands") || is("+@all") {
            self.set_all(true);
        } else if is("nocommands") || is("-@all") {
            self.set_all(false);
        } else {
            match rule {
                [b'~' | b'%', ..] if self.all_keys => return Err(RuleError::AllKeys),
                [b'~', glob @ ..] => self.add_keys(glob, READ | WRITE)?,
                [b'%', rest @ ..] => {
                    let (glob, access) = split_access(rest).ok_or(RuleError::Syntax)?;
                    self.add_keys(glob, access)?;
                }
                [b'&', glob @ ..] => self.add_channels(glob)?,
                [sign @ (b'+' | b'-'), b'@', name @ ..] => {
                    self.set_category(name, *sign == b'+', vocabulary)?;
                }
                [b'+', name @ ..] => self.allow(name, vocabulary)?,
                [b'-', name @ ..] => {
                    let id = vocabulary.command(name).ok_or(RuleError::Unknown)?;
                    self.set_command(id, false, vocabulary.commands);
                    self.note(name, false);
                }
                _ => return Err(RuleError::Syntax),
            }
        }
        Ok(())
    }

    /// Follows its rules about commands anew, after commands were added or removed. Rules that name what is not there
    /// any more have no effect, and stay.
    #[doc(alias = "ACLRecomputeCommandBitsFromCommandRulesAllUsers")]
    pub(super) fn recompute(&mut self, vocabulary: Vocabulary<'_>) {
        let rules = std::mem::take(&mut self.rules);
        self.set_all(self.future);
        for rule in &rules {
            let sign: &[u8] = if rule.allow { b"+" } else { b"-" };
            // An unknown name changes nothing.
            let _ = self.apply(&[sign, &rule.what].concat(), vocabulary);
        }
        self.rules = rules;
    }

    fn add_keys(&mut self, glob: &[u8], access: u8) -> Result<(), RuleError> {
        if has_spaces(glob) {
            return Err(RuleError::Syntax);
        }
        match self.keys.iter_mut().find(|known| *known.glob == *glob) {
            Some(known) => known.access |= access,
            None => self.keys.push(KeyPattern {
                glob: glob.into(),
                access,
            }),
        }
        Ok(())
    }

    fn add_channels(&mut self, glob: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::AllChannels);
        }
        if has_spaces(glob) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.iter().any(|known| **known == *glob) {
            self.channels.push(glob.into());
        }
        Ok(())
    }

    fn set_all(&mut self, allow: bool) {
        self.commands.fill(if allow { u64::MAX } else { 0 });
        self.future = allow;
        self.rules.clear();
        self.first_args.clear();
    }

    #[doc(alias = "ACLSetSelectorCategory")]
    fn set_category(
        &mut self,
        name: &[u8],
        allow: bool,
        vocabulary: Vocabulary<'_>,
    ) -> Result<(), RuleError> {
        let bit = vocabulary.commands.category(name);
        let bit = bit.ok_or(RuleError::Unknown)?;
        let entries = vocabulary.commands.iter();
        for entry in entries.filter(|entry| entry.categories.0 & bit != 0) {
            self.set_command(entry.id, allow, vocabulary.commands);
        }
        self.note(&[b"@", name].concat(), allow);
        Ok(())
    }

    /// `+command`, `+container|subcommand` or `+command|first-argument`.
    fn allow(&mut self, name: &[u8], vocabulary: Vocabulary<'_>) -> Result<(), RuleError> {
        let bar = name.iter().rposition(|b| *b == b'|');
        let Some(bar) = bar else {
            let id = vocabulary.command(name).ok_or(RuleError::Unknown)?;
            self.set_command(id, true, vocabulary.commands);
            self.note(name, true);
            return Ok(());
        };
        let (container, sub) = (&name[..bar], &name[bar + 1..]);
        let id = vocabulary.command(container).ok_or(RuleError::Unknown)?;
        let entry = &vocabulary.commands[id];
        if entry.parent.is_some() {
            return Err(RuleError::FirstArgOfSubcommand);
        }
        if sub.is_empty() || has_spaces(sub) {
            return Err(RuleError::Syntax);
        }
        if entry.subcommands.is_empty() {
            let known =
                |(of, arg): &(CommandId, Box<[u8]>)| *of == id && arg.eq_ignore_ascii_case(sub);
            if !self.first_args.iter().any(known) {
                self.first_args.push((id, sub.into()));
            }
        } else {
            let id = vocabulary.command(name).ok_or(RuleError::Unknown)?;
            self.set_command(id, true, vocabulary.commands);
        }
        self.note(name, true);
        Ok(())
    }

    /// A command, with all its subcommands.
    #[doc(alias = "ACLChangeSelectorPerm")]
    fn set_command(&mut self, id: CommandId, allow: bool, commands: &CommandTable) {
        self.set_bit(id, allow);
        self.first_args.retain(|(of, _)| *of != id);
        for sub in &commands[id].subcommands {
            self.set_bit(*sub, allow);
        }
    }

    fn set_bit(&mut self, id: CommandId, allow: bool) {
        if let Some(word) = self.commands.get_mut(usize::from(id.0) / 64) {
            let bit = 1 << (id.0 % 64);
            *word = if allow { *word | bit } else { *word & !bit };
        }
    }

    /// Appends a rule, and removes earlier rules for the same name or its subcommands.
    #[doc(alias = "ACLUpdateCommandRules")]
    fn note(&mut self, what: &[u8], allow: bool) {
        let what = what.to_ascii_lowercase();
        self.rules.retain(|rule| {
            let rest = rule.what.strip_prefix(what.as_slice());
            !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"|"))
        });
        self.rules.push(Rule {
            allow,
            what: what.into(),
        });
    }

    /// The rules about commands: `+@all` or `-@all`, and what follows.
    #[doc(alias = "ACLDescribeSelectorCommandRules")]
    pub fn show_commands(&self) -> Vec<u8> {
        let mut text = if self.future { b"+@all" } else { b"-@all" }.to_vec();
        for rule in &self.rules {
            text.extend_from_slice(if rule.allow { b" +" } else { b" -" });
            text.extend_from_slice(&rule.what);
        }
        text
    }

    /// The key patterns.
    pub fn show_keys(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let shown = self.keys.iter().map(|pattern| {
            let sign: &[u8] = match pattern.access {
                READ => b"%R~",
                WRITE => b"%W~",
                _ => b"~",
            };
            [sign, &pattern.glob].concat()
        });
        shown.collect::<Vec<_>>().join(&b' ')
    }

    /// The channel patterns.
    pub fn show_channels(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        let shown = self.channels.iter().map(|glob| [b"&", &**glob].concat());
        shown.collect::<Vec<_>>().join(&b' ')
    }

    /// All rules in one line; as [`Selector::parse`] reads them.
    pub(super) fn show_quoted(&self) -> Vec<u8> {
        let line = self.show();
        args::repr_words(&line)
    }

    /// All rules in one line.
    #[doc(alias = "ACLDescribeSelector")]
    pub(super) fn show(&self) -> Vec<u8> {
        let mut words = vec![self.show_keys()];
        if !self.all_channels {
            words.push(b"resetchannels".to_vec());
        }
        words.push(self.show_channels());
        words.push(self.show_commands());
        words.retain(|word| !word.is_empty());
        words.join(&b' ')
    }
}

/// `R~glob`, `W~glob`, `RW~glob`. Without a tilde the pattern is empty, as in Redis, and matches the empty key alone.
fn split_access(rest: &[u8]) -> Option<(&[u8], u8)> {
    let end = rest.iter().position(|b| *b == b'~');
    let tilde = end.unwrap_or(rest.len());
    let mut access = 0;
    for letter in &rest[..tilde] {
        let bit = match letter.to_ascii_uppercase() {
            b'R' => READ,
            b'W' => WRITE,
            _ => return None,
        };
        if access & bit != 0 {
            return None;
        }
        access |= bit;
    }
    let glob = rest.get(tilde + 1..).unwrap_or_default();
    (access != 0).then_some((glob, access))
}
