//! The ACL file: a `user` line per user, and no other lines.
//!
//! All errors of a file are reported at once, and a file with an error changes no user.
//!
//! Mirrors: ACLLoadFromFile() of acl.c.
//! Differs: the list of errors is bounded (`ERRORS_MAX`).

use std::rc::Rc;

use super::rules::{RuleError, Vocabulary, has_spaces, merge_selectors};
use super::{User, Users};

/// Errors said of one file, in bytes; the rest of them are left out.
const ERRORS_MAX: usize = 64 << 10;

/// The users of a file; or a line about each thing that is wrong, `name` being what the file is called.
pub(super) fn parse(text: &[u8], name: &str, vocabulary: Vocabulary<'_>) -> Result<Users, Vec<u8>> {
    let mut users = Users::new();
    let mut errors = Vec::new();
    for (at, line) in text.split(|b| *b == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || errors.len() > ERRORS_MAX {
            continue;
        }
        let place = format!("{name}:{}", at + 1);
        let words: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
        let [b"user", username, rules @ ..] = &words[..] else {
            let text = " should start with user keyword followed by the username. ";
            errors.extend([place.as_bytes(), text.as_bytes()].concat());
            continue;
        };
        if has_spaces(username) {
            let (before, after) = (": username '", "' contains invalid characters. ");
            let parts = [place.as_bytes(), before.as_bytes(), username];
            errors.extend([&parts.concat(), after.as_bytes()].concat());
            continue;
        }
        if users.contains_key(*username) {
            errors.extend_from_slice(b"WARNING: Duplicate user '");
            errors.extend_from_slice(username);
            errors.extend(format!("' found on line {}. ", at + 1).into_bytes());
            continue;
        }
        let mut user = User::new(username, vocabulary);
        match merge_selectors(rules) {
            Ok(rules) => apply(&mut user, &rules, &place, vocabulary, &mut errors),
            Err(_) => {
                let text = ": Unmatched parenthesis in selector definition.";
                errors.extend([place.as_bytes(), text.as_bytes()].concat());
            }
        }
        users.insert((*username).into(), Rc::new(user));
    }
    if errors.is_empty() {
        return Ok(users);
    }
    errors.extend_from_slice(
        b"WARNING: ACL errors detected, no change to the previously active ACL rules was performed",
    );
    Err(errors)
}

fn apply(
    user: &mut User,
    rules: &[Vec<u8>],
    place: &str,
    vocabulary: Vocabulary<'_>,
    errors: &mut Vec<u8>,
) {
    let mut misled = false;
    for rule in rules {
        let rule = rule.trim_ascii();
        match user.apply(rule, vocabulary) {
            Ok(()) => {}
            // A name that does not exist is no secret, and following errors make sense without it.
            Err(RuleError::Unknown) => {
                let before = format!("{place}: Error in applying operation '");
                let after = format!("': {}. ", RuleError::Unknown);
                errors.extend([before.as_bytes(), rule, after.as_bytes()].concat());
            }
            Err(error) if !misled => {
                errors.extend(format!("{place}: {error}. ").into_bytes());
                misled = true;
            }
            Err(_) => {}
        }
    }
}
