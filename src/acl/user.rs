//! A user: passwords, switches, permissions.
//!
//! Mirrors: `user` of server.h and `ACLSetUser`, `ACLDescribeUser`, `ACLCheckUserCredentials` of acl.c.
//! Differs: the first selector, made by rules without parentheses, is a field of its own, so it cannot be missing.

use std::fmt;

use super::rules::{RuleError, Vocabulary};
use super::selector::Selector;
use crate::util::sha256::{hex, sha256};

/// A user.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    name: Box<[u8]>,
    enabled: bool,
    /// Any password will do.
    nopass: bool,
    skip_sanitize: bool,
    /// SHA-256 of each password.
    passwords: Vec<[u8; 32]>,
    /// The root selector: permissions given by rules without parentheses.
    root: Selector,
    /// Further sets of permissions, each of them enough for a request.
    selectors: Vec<Selector>,
}

impl fmt::Debug for User {
    /// Shows its name alone, so that no log gets its passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({})", String::from_utf8_lossy(&self.name))
    }
}

impl User {
    /// A user that is off and may do nothing.
    #[doc(alias = "ACLCreateUser")]
    pub fn new(name: &[u8], vocabulary: Vocabulary<'_>) -> User {
        User {
            name: name.into(),
            enabled: false,
            nopass: false,
            skip_sanitize: false,
            passwords: Vec::new(),
            root: Selector::new(vocabulary.all_channels),
            selectors: Vec::new(),
        }
    }

    /// A user that may do everything without a password.
    #[doc(alias = "ACLCreateDefaultUser")]
    pub fn all_powerful(name: &[u8]) -> User {
        User {
            name: name.into(),
            enabled: true,
            nopass: true,
            skip_sanitize: false,
            passwords: Vec::new(),
            root: Selector::everything(),
            selectors: Vec::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Whether one can log in as it.
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// Whether any password will do.
    pub fn nopass(&self) -> bool {
        self.nopass
    }

    /// Whether its RESTORE payloads are trusted (`sanitize-dump-payload clients`).
    pub fn skips_sanitizing(&self) -> bool {
        self.skip_sanitize
    }

    /// Whether one is logged in as it without having said anything.
    pub fn is_open(&self) -> bool {
        self.nopass && self.enabled
    }

    /// Whether any restriction applies to it.
    pub fn is_restricted(&self) -> bool {
        !self.all_selectors().any(Selector::allows_everything)
    }

    /// Its own permissions.
    pub fn root(&self) -> &Selector {
        &self.root
    }

    /// Its further permissions.
    pub fn selectors(&self) -> &[Selector] {
        &self.selectors
    }

    /// Its own permissions, then the further ones.
    pub(super) fn all_selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.selectors)
    }

    /// The switches that are on, as they are shown.
    pub fn flags(&self) -> impl Iterator<Item = &'static str> {
        let enabled = if self.enabled { "on" } else { "off" };
        let sanitize = if self.skip_sanitize {
            "skip-sanitize-payload"
        } else {
            "sanitize-payload"
        };
        let nopass = self.nopass.then_some("nopass");
        [Some(enabled), nopass, Some(sanitize)]
            .into_iter()
            .flatten()
    }

    /// The hashes of its passwords in hex.
    pub fn passwords(&self) -> impl ExactSizeIterator<Item = [u8; 64]> {
        self.passwords.iter().map(hex)
    }

    /// Whether one may log in as it with a password. Takes the same time for every wrong one.
    #[doc(alias = "ACLCheckUserCredentials")]
    pub fn accepts(&self, password: &[u8]) -> bool {
        if !self.enabled || self.nopass {
            return self.enabled;
        }
        let asked = sha256(password);
        // No early end: the time tells neither which one it was nor how much of it was right.
        let same = |known: &[u8; 32]| {
            let differ = known.iter().zip(asked).fold(0, |sum, (x, y)| sum | (x ^ y));
            std::hint::black_box(differ) == 0
        };
        self.passwords
            .iter()
            .fold(false, |any, known| any | same(known))
    }

    /// Lets one log in with this password alone; `None`: with any.
    #[doc(alias = "ACLUpdateDefaultUserPassword")]
    pub fn set_only_password(&mut self, password: Option<&[u8]>) {
        self.nopass = password.is_none();
        self.passwords = password.map(sha256).into_iter().collect();
    }

    /// Follows one rule.
    ///
    /// # Errors
    /// What is wrong with it; nothing has changed then.
    #[doc(alias = "ACLSetUser")]
    pub fn apply(&mut self, rule: &[u8], vocabulary: Vocabulary<'_>) -> Result<(), RuleError> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        if is("on") || is("off") {
            self.enabled = is("on");
        } else if is("skip-sanitize-payload") || is("sanitize-payload") {
            self.skip_sanitize = is("skip-sanitize-payload");
        } else if is("nopass") || is("resetpass") {
            self.nopass = is("nopass");
            self.passwords.clear();
        } else if is("clearselectors") {
            self.selectors.clear();
        } else if is("reset") {
            *self = User::new(&self.name, vocabulary);
        } else {
            match rule {
                [] => {}
                [b'>', password @ ..] => self.add_password(sha256(password)),
                [b'#', hash @ ..] => self.add_password(parse_hash(hash)?),
                [b'<', password @ ..] => self.remove_password(sha256(password))?,
                [b'!', hash @ ..] => self.remove_password(parse_hash(hash)?)?,
                [b'(', inside @ .., b')'] => {
                    self.selectors.push(Selector::parse(inside, vocabulary)?);
                }
                _ => self.root.apply(rule, vocabulary)?,
            }
        }
        Ok(())
    }

    /// Follows its rules about commands anew, after commands were added or removed.
    pub(super) fn recompute(&mut self, vocabulary: Vocabulary<'_>) {
        self.root.recompute(vocabulary);
        for selector in &mut self.selectors {
            selector.recompute(vocabulary);
        }
    }

    fn add_password(&mut self, hash: [u8; 32]) {
        if !self.passwords.contains(&hash) {
            self.passwords.push(hash);
        }
        self.nopass = false;
    }

    fn remove_password(&mut self, hash: [u8; 32]) -> Result<(), RuleError> {
        let known = self.passwords.iter().position(|known| *known == hash);
        self.passwords
            .remove(known.ok_or(RuleError::NoSuchPassword)?);
        Ok(())
    }

    /// `user <name> <rule> …`: the line that makes this user.
    #[doc(alias = "ACLDescribeUser")]
    pub fn line(&self) -> Vec<u8> {
        let mut line = [b"user ", &*self.name].concat();
        for flag in self.flags() {
            line.push(b' ');
            line.extend_from_slice(flag.as_bytes());
        }
        for hash in self.passwords() {
            line.extend_from_slice(b" #");
            line.extend_from_slice(&hash);
        }
        line.push(b' ');
        line.extend(self.root.show());
        for selector in &self.selectors {
            line.extend_from_slice(b" (");
            line.extend(selector.show_quoted());
            line.push(b')');
        }
        line
    }
}

/// 64 lower-case hex digits.
#[doc(alias = "ACLCheckPasswordHash")]
fn parse_hash(text: &[u8]) -> Result<[u8; 32], RuleError> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Ok(b - b'0'),
        b'a'..=b'f' => Ok(b - b'a' + 10),
        _ => Err(RuleError::BadHash),
    };
    let text: &[u8; 64] = text.try_into().map_err(|_| RuleError::BadHash)?;
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(hash)
}
