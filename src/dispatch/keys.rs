//! Which words of a request are keys, told by the command's key specs or its own finder.
//!
//! Mirrors: `getKeysFromCommandWithSpecs` and `getKeysUsingKeySpecs` of db.c.

use super::args::Argv;
use super::command::{BeginSearch, Command, FindKeys, KeyFlag, KeyRef, KeySpec};
use crate::util::num;

/// The keys of a request, in the order the specs find them; `None` when they cannot be told (a
/// number of keys that is none, an unknown place). O(words).
pub fn find(command: &Command, argv: Argv<'_>) -> Option<Vec<KeyRef>> {
    find_with(command, argv, false)
}

/// As [`find`], with the channels that are routed like keys.
pub fn find_routed(command: &Command, argv: Argv<'_>) -> Option<Vec<KeyRef>> {
    find_with(command, argv, true)
}

fn find_with(command: &Command, argv: Argv<'_>, routed: bool) -> Option<Vec<KeyRef>> {
    let wanted = |spec: &&KeySpec| routed || !spec.flags.contains(&KeyFlag::NotKey);
    let varies = |spec: &KeySpec| spec.flags.contains(&KeyFlag::VariableFlags);
    let mut found = Vec::new();
    let reliable = command.find_keys.is_none() || !command.keys.iter().any(varies);
    if reliable {
        let mut specs = command.keys.iter().filter(wanted);
        if specs.all(|spec| apply(spec, argv, &mut found).is_some()) {
            return Some(found);
        }
        found.clear();
    }
    let finder = command.find_keys?;
    finder(argv, &mut found).ok()?;
    Some(found)
}

/// Adds the keys of one spec; `None` when the request is not as the spec expects.
pub fn apply(spec: &KeySpec, argv: Argv<'_>, found: &mut Vec<KeyRef>) -> Option<()> {
    let argc = argv.len() as i64;
    let first = match spec.begin {
        BeginSearch::Index(at) => i64::from(at),
        BeginSearch::Keyword(word, from) => match keyword(argv, word, i64::from(from)) {
            Some(at) => at + 1,
            // An optional part that was left out.
            None => return Some(()),
        },
        BeginSearch::Unknown => return None,
    };
    let (first, last, step) = match spec.find {
        FindKeys::Range { last, step, limit } => {
            let (last, limit) = (i64::from(last), i64::from(limit));
            let last = match (last, limit) {
                (0.., _) => first + last,
                (_, 0) => argc + last,
                _ => first + (argc - first) / limit + last,
            };
            (first, last, step)
        }
        FindKeys::KeyNum {
            number,
            first: skip,
            step,
        } => {
            let word = argv.get(usize::try_from(first + i64::from(number)).ok()?);
            let count = num::parse_i64(word).filter(|n| (0..=argc).contains(n))?;
            let first = first + i64::from(skip);
            (first, first + count - 1, step)
        }
        FindKeys::Unknown => return None,
    };
    if last >= argc || last < first || first >= argc {
        return None;
    }
    let positions = (first..=last).step_by(step.max(1) as usize);
    found.extend(positions.map(|at| KeyRef {
        position: at as usize,
        flags: spec.flags,
    }));
    (!spec.flags.contains(&KeyFlag::Incomplete)).then_some(())
}

/// Where a word is, looked for forwards from a position, or backwards from one counted from the end.
fn keyword(argv: Argv<'_>, word: &str, from: i64) -> Option<i64> {
    let argc = argv.len() as i64;
    let is_it = |at: &i64| argv.get(*at as usize).eq_ignore_ascii_case(word.as_bytes());
    if from > 0 {
        (from..argc - 1).find(is_it)
    } else {
        (2..=argc + from).rev().find(is_it)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::args::OwnedArgv;

    fn positions(spec: KeySpec, request: &str) -> Option<Vec<usize>> {
        let argv = OwnedArgv::from_words(request.split(' '));
        let mut found = Vec::new();
        apply(&spec, argv.as_argv(), &mut found)?;
        Some(found.into_iter().map(|k| k.position).collect())
    }

    #[test]
    fn ranges_counts_and_words_find_their_keys() {
        let ro = &[KeyFlag::Ro];
        assert_eq!(positions(KeySpec::at(1, ro), "GET k"), Some(vec![1]));
        let all = KeySpec::at(1, ro).to(-1, 1);
        assert_eq!(positions(all, "DEL a b c"), Some(vec![1, 2, 3]));
        let pairs = KeySpec::at(1, ro).to(-1, 2);
        assert_eq!(positions(pairs, "MSET a 1 b 2"), Some(vec![1, 3]));
        let counted = KeySpec::at(2, ro).counted(0, 1, 1);
        assert_eq!(positions(counted, "EVAL s 2 a b x"), Some(vec![3, 4]));
        assert_eq!(positions(counted, "EVAL s 9 a b x"), None);
        assert_eq!(positions(counted, "EVAL s -1 a"), None);
        let streams = KeySpec::after("STREAMS", 1, ro).part(-1, 1, 2);
        assert_eq!(
            positions(streams, "XREAD COUNT 1 STREAMS a b 0 0"),
            Some(vec![4, 5])
        );
        let backwards = KeySpec::after("KEYS", -2, ro).to(-1, 1);
        assert_eq!(
            positions(backwards, "MIGRATE h p KEYS a b"),
            Some(vec![4, 5])
        );
        assert_eq!(positions(backwards, "MIGRATE h p a b c"), Some(vec![]));
    }
}
