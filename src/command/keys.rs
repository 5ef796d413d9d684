//! The words of a request that are keys, found by the command's declaration.
//!
//! ```text
//!   MSET k v k v       spec  at(1).to(-1, 2)         range  first 1, last 3, step 2
//!   ZUNION 2 a b       spec  at(1).counted(0, 1, 1)  range  first 2, last 3, step 1
//!   SET k v NX         spec with variable flags      find_keys of the declaration is asked
//! ```
//!
//! Specs are turned into ranges of positions on the stack; nothing is allocated unless a finder of the
//! command's own is asked. COMMAND GETKEYS, the ACL, cluster routing and tracking all ask here.
//!
//! Invariant: every position told is a word of the request.
//!
//! Mirrors: `getKeysFromCommandWithSpecs`, `getKeysUsingKeySpecs` (db.c) and
//! `populateCommandLegacyRangeSpec` (server.c).
//! Differs: positions are ranges on the stack; Redis fills an array per request.

use crate::command::{Command, KeyFlag, KeyRef, KeySpec};
use crate::resp::argv::Argv;
use crate::util::num;

/// More specs than any command has.
const SPECS_MAX: usize = 8;

#[derive(Clone, Copy, Debug, Default)]
struct Range {
    first: usize,
    last: usize,
    step: usize,
    flags: &'static [KeyFlag],
}

/// The keys of one request.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    ranges: [Range; SPECS_MAX],
    len: usize,
    found: Vec<KeyRef>,
}

/// The options of a search for keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct Search {
    /// Also words that are routed like keys but are none (shard channels).
    pub not_keys: bool,
    /// Keep what the specs tell even if one of them cannot be followed.
    pub partial: bool,
}

impl Keys {
    /// The keys of a request. `None` when they cannot be found, because the arguments do not fit the command.
    /// O(keys).
    #[doc(alias = "getKeysFromCommandWithSpecs")]
    pub fn of(decl: &Command, argv: Argv<'_>, search: Search) -> Option<Keys> {
        let usable = decl
            .keys
            .iter()
            .any(|spec| !spec.has(crate::command::KeyFlag::NotKey))
            || search.not_keys;
        let variable = decl
            .keys
            .iter()
            .any(|spec| spec.has(crate::command::KeyFlag::VariableFlags));
        let foreign = decl.foreign.filter(|foreign| foreign.finds_keys());
        let finder = decl.find_keys.is_some() || foreign.is_some();
        if usable && (!variable || !finder) {
            let told = Keys::by_specs(decl.keys, argv, search);
            if told.is_some() || !finder {
                return told;
            }
        }
        let mut keys = Keys::default();
        match (foreign, decl.find_keys) {
            (Some(foreign), _) => foreign.find_keys(argv, &mut keys.found),
            (None, Some(find)) => find(argv, &mut keys.found).ok()?,
            (None, None) => return None,
        }
        keys.found.retain(|key| key.position < argv.len());
        Some(keys)
    }

    /// The keys that the ACL checks: all of them, or, where not all can be found, those that can. O(keys).
    pub fn judged(decl: &Command, argv: Argv<'_>) -> Keys {
        let told = Search {
            partial: true,
            ..Search::default()
        };
        Keys::of(decl, argv, Search::default())
            .or_else(|| Keys::by_specs(decl.keys, argv, told))
            .unwrap_or_default()
    }

    /// The keys that key specs tell. `None` when one cannot be followed, unless the search is partial.
    #[doc(alias = "getKeysUsingKeySpecs")]
    pub fn by_specs(specs: &[KeySpec], argv: Argv<'_>, search: Search) -> Option<Keys> {
        let mut keys = Keys::default();
        for spec in specs.iter().take(SPECS_MAX) {
            if spec.has(crate::command::KeyFlag::NotKey) && !search.not_keys {
                continue;
            }
            match range_of(spec, argv) {
                Found::Range(range) => {
                    keys.ranges[keys.len] = range;
                    keys.len += 1;
                    let uncertain = spec.has(crate::command::KeyFlag::Incomplete)
                        || spec.has(crate::command::KeyFlag::Doubtful);
                    if uncertain && !search.partial {
                        return None;
                    }
                }
                Found::Absent => {}
                Found::Invalid if search.partial => {}
                Found::Invalid => return None,
            }
        }
        Some(keys)
    }

    /// All keys, spec by spec.
    pub fn iter(&self) -> impl Iterator<Item = KeyRef> {
        let ranges = self.ranges[..self.len].iter();
        let of_specs = ranges.flat_map(|range| {
            let positions = (range.first..=range.last).step_by(range.step);
            positions.map(|position| KeyRef {
                position,
                flags: range.flags,
            })
        });
        of_specs.chain(self.found.iter().copied())
    }

    /// Whether the request names no key.
    pub fn is_empty(&self) -> bool {
        self.len == 0 && self.found.is_empty()
    }

    /// How many keys the request names.
    pub fn len(&self) -> usize {
        self.iter().count()
    }
}

impl KeySpec {
    /// Whether the flag is declared.
    pub fn has(&self, flag: KeyFlag) -> bool {
        self.flags.contains(&flag)
    }
}

enum Found {
    Range(Range),
    /// The word that would announce keys is not there.
    Absent,
    Invalid,
}

fn range_of(spec: &KeySpec, argv: Argv<'_>) -> Found {
    let words = argv.len() as i64;
    let mut first = match spec.begin {
        crate::command::BeginSearch::Index(index) => i64::from(index),
        crate::command::BeginSearch::Keyword(word, from) => {
            match after_keyword(word, i64::from(from), argv) {
                Some(position) => position,
                None => return Found::Absent,
            }
        }
        crate::command::BeginSearch::Unknown => return Found::Invalid,
    };
    if let crate::command::FindKeys::Range {
        last: -1, limit, ..
    } = spec.find
        && limit <= 1
        && first == words
    {
        // All words from here on, and there are none: `PFMERGE destination`.
        return Found::Absent;
    }
    let (last, step) = match spec.find {
        crate::command::FindKeys::Range { last, step, .. } if last >= 0 => {
            (first + i64::from(last), step)
        }
        crate::command::FindKeys::Range { last, step, limit } if limit > 1 => {
            let part = (words - first) / i64::from(limit);
            (first + part + i64::from(last), step)
        }
        crate::command::FindKeys::Range { last, step, .. } => (words + i64::from(last), step),
        crate::command::FindKeys::KeyNum {
            number,
            first: offset,
            step,
        } => {
            let at = first + i64::from(number);
            let told = usize::try_from(at)
                .ok()
                .and_then(|at| num::parse_i64(argv.get(at)));
            let Some(count) = told.filter(|n| *n >= 0) else {
                return Found::Invalid;
            };
            first += i64::from(offset);
            let others = (count - 1).saturating_mul(i64::from(step));
            (first.saturating_add(others), step)
        }
        crate::command::FindKeys::Unknown => return Found::Invalid,
    };
    if first < 1 || last >= words || last < first || step < 1 {
        return Found::Invalid;
    }
    Found::Range(Range {
        first: first as usize,
        last: last as usize,
        step: step as usize,
        flags: spec.flags,
    })
}

/// The position behind a word, looked for forwards from an argument, or backwards from the end.
fn after_keyword(word: &str, from: i64, argv: Argv<'_>) -> Option<i64> {
    let words = argv.len() as i64;
    let is = |i: &i64| argv.get(*i as usize).eq_ignore_ascii_case(word.as_bytes());
    let found = if from > 0 {
        // The last word cannot announce anything.
        (from..words - 1).find(is)
    } else {
        (2..=words + from).rev().find(is)
    };
    found.map(|at| at + 1)
}

/// First key, last key and step as `COMMAND INFO` has told them since before there were key specs, and
/// whether they leave keys out ("movable").
#[doc(alias = "populateCommandLegacyRangeSpec")]
pub fn legacy_range(specs: &[KeySpec]) -> (Option<(i32, i32, i32)>, bool) {
    let range = |spec: &KeySpec| match (spec.begin, spec.find) {
        (
            crate::command::BeginSearch::Index(index),
            crate::command::FindKeys::Range { last, step, .. },
        ) => Some((index, last, step)),
        _ => None,
    };
    let absolute = |first: i32, last: i32| if last >= 0 { first + last } else { last };
    if let [spec] = specs
        && let Some((first, last, step)) = range(spec)
    {
        let movable = spec.has(crate::command::KeyFlag::Incomplete);
        return (Some((first, absolute(first, last), step)), movable);
    }
    let mut movable = false;
    let mut total: Option<(i32, i32)> = None;
    for spec in specs {
        let plain = range(spec).filter(|(first, _, step)| {
            *step == 1 && total.is_none_or(|(_, last)| last == first - 1)
        });
        let Some((first, last, _)) = plain else {
            movable = true;
            continue;
        };
        movable |= spec.has(crate::command::KeyFlag::Incomplete);
        let last = absolute(first, last);
        total = Some(match total {
            // Counted from the end is behind all that is counted from the start.
            Some((begin, end)) if (end as u32) > last as u32 => (begin.min(first), end),
            Some((begin, _)) => (begin.min(first), last),
            None => (first, last),
        });
    }
    (total.map(|(first, last)| (first, last, 1)), movable)
}

#[cfg(test)]
mod tests {
    use crate::command::keys::*;
    use crate::resp::argv::OwnedArgv;

    fn keys(specs: &'static [KeySpec], request: &str) -> Option<Vec<usize>> {
        let argv = OwnedArgv::from_words(request.split(' '));
        let keys = Keys::by_specs(specs, argv.as_argv(), Search::default())?;
        Some(keys.iter().map(|key| key.position).collect())
    }

    const RO: &[KeyFlag] = &[crate::command::KeyFlag::Ro];

    #[test]
    fn specs_tell_positions() {
        const MSET: &[KeySpec] = &[crate::command::KeySpec::at(1, RO).to(-1, 2)];
        assert_eq!(keys(MSET, "mset a 1 b 2"), Some(vec![1, 3]));
        const ZUNIONSTORE: &[KeySpec] = &[
            crate::command::KeySpec::at(1, RO),
            crate::command::KeySpec::at(2, RO).counted(0, 1, 1),
        ];
        assert_eq!(
            keys(ZUNIONSTORE, "zunionstore d 2 a b"),
            Some(vec![1, 3, 4])
        );
        assert_eq!(keys(ZUNIONSTORE, "zunionstore d 3 a b"), None);
        assert_eq!(
            keys(ZUNIONSTORE, "zunionstore d 9223372036854775807 a"),
            None
        );
        assert_eq!(keys(ZUNIONSTORE, "zunionstore d x a"), None);
        // redis 14659: every second key was taken for a value.
        const MSETEX: &[KeySpec] = &[crate::command::KeySpec::at(1, RO).counted(0, 1, 2)];
        assert_eq!(keys(MSETEX, "msetex 2 a 1 b 2 ex 9"), Some(vec![2, 4]));
        assert_eq!(keys(MSETEX, "msetex 2 a 1 b"), Some(vec![2, 4]));
        assert_eq!(keys(MSETEX, "msetex 3 a 1 b 2"), None);
        assert_eq!(keys(MSETEX, "msetex 9223372036854775807 a 1"), None);
        const PFMERGE: &[KeySpec] = &[
            crate::command::KeySpec::at(1, RO),
            crate::command::KeySpec::at(2, RO).to(-1, 1),
        ];
        assert_eq!(keys(PFMERGE, "pfmerge d"), Some(vec![1]));
        assert_eq!(keys(PFMERGE, "pfmerge d a b"), Some(vec![1, 2, 3]));
        const XREAD: &[KeySpec] =
            &[crate::command::KeySpec::after("STREAMS", 1, RO).part(-1, 1, 2)];
        assert_eq!(
            keys(XREAD, "xread count 2 streams a b 0 0"),
            Some(vec![4, 5])
        );
        assert_eq!(keys(XREAD, "xread count 2"), Some(vec![]));
        const MIGRATE: &[KeySpec] = &[crate::command::KeySpec::after("KEYS", -2, RO).to(-1, 1)];
        assert_eq!(
            keys(MIGRATE, "migrate h p x 0 9 keys a b"),
            Some(vec![7, 8])
        );
        assert_eq!(keys(MIGRATE, "migrate"), Some(vec![]));
    }

    #[test]
    fn ranges_of_old() {
        let one = [crate::command::KeySpec::at(1, RO)];
        assert_eq!(legacy_range(&one), (Some((1, 1, 1)), false));
        let mset = [crate::command::KeySpec::at(1, RO).to(-1, 2)];
        assert_eq!(legacy_range(&mset), (Some((1, -1, 2)), false));
        let rename = [
            crate::command::KeySpec::at(1, RO),
            crate::command::KeySpec::at(2, RO),
        ];
        assert_eq!(legacy_range(&rename), (Some((1, 2, 1)), false));
        let zunionstore = [
            crate::command::KeySpec::at(1, RO),
            crate::command::KeySpec::at(2, RO).counted(0, 1, 1),
        ];
        assert_eq!(legacy_range(&zunionstore), (Some((1, 1, 1)), true));
        assert_eq!(
            legacy_range(&[crate::command::KeySpec::at(2, RO).counted(0, 1, 1)]),
            (None, true)
        );
        assert_eq!(legacy_range(&[]), (None, false));
    }
}
