//! Glob patterns: KEYS, SCAN MATCH, PSUBSCRIBE, ACL key patterns, CONFIG GET.
//!
//! ```text
//!   *        any bytes, none too         [abc]  one of these        \x  x itself
//!   ?        one byte, whichever         [a-z]  one of this range
//!                                        [^a]   one of the others
//! ```
//!
//! ```text
//!   h[ae]llo   hello, hallo, not hillo       news.*     news. and news.art, not news
//!   h[^a]llo   hello, hillo, not hallo       user:??    user:42, not user:7
//!   h[a-c]llo  hallo, hbllo, not hello       a\*        a* alone
//! ```
//!
//! Everything but `*` eats exactly one byte. So of all the ways to split a text among the stars only the
//! last star's need ever be tried again: if the rest fails after it wherever it begins, giving an earlier
//! star more only leaves less. One saved position replaces the recursion, and the time is bounded by
//! O(pattern × text), whatever the pattern.
//!
//! Mirrors: util.c `stringmatchlen`, with its corners: an unclosed class ends with the pattern (`[^` is any
//! byte, `[a` is `a`), `]` first in a class closes it, a range may be upside down, an escaped byte in a
//! class is compared with its case even when case does not matter, a lone `\` at the end is itself, and
//! an empty text matches only an empty pattern: not even `*`.
//! Differs: iteration instead of recursion; bytes above 127 are compared as unsigned on every platform.

/// A pattern that has to pass more stars than this matches nothing. Redis bounds its recursion so, and
/// its test suite counts on it.
const MAX_STARS: usize = 1000;

/// Whether letter case counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    Sensitive,
    Ignored,
}

/// Does the whole `text` match the whole `pattern`? Time O(pattern × text) at worst, O(text) for the
/// patterns people write; no memory.
#[doc(alias = "stringmatchlen")]
pub fn matches(pattern: &[u8], text: &[u8], case: Case) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut p, mut t) = (0, 0);
    // Where to go on after a mismatch: behind the last star, one byte further in the text each time.
    let mut retry: Option<(usize, usize)> = None;
    let mut stars = 0;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            p = skip_stars(pattern, p);
            if p == pattern.len() {
                return true;
            }
            stars += 1;
            if stars > MAX_STARS {
                return false;
            }
            retry = Some((p, t));
        } else if let Some(next) = match_one(pattern, p, text[t], case) {
            p = next;
            t += 1;
        } else {
            match &mut retry {
                None => return false,
                Some((after_star, start)) => {
                    *start += 1;
                    (p, t) = (*after_star, *start);
                }
            }
        }
    }
    skip_stars(pattern, p) == pattern.len()
}

fn skip_stars(pattern: &[u8], from: usize) -> usize {
    let rest = pattern.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|&&byte| byte == b'*').count()
}

/// The part of the pattern at `at`, not a star, against one byte: the position behind the part if it
/// matches. `None` also at the pattern's end.
#[inline]
fn match_one(pattern: &[u8], at: usize, byte: u8, case: Case) -> Option<usize> {
    match *pattern.get(at)? {
        b'?' => Some(at + 1),
        b'[' => match_class(pattern, at + 1, byte, case),
        b'\\' if at + 1 < pattern.len() => same(pattern[at + 1], byte, case).then_some(at + 2),
        literal => same(literal, byte, case).then_some(at + 1),
    }
}

#[inline]
fn same(a: u8, b: u8, case: Case) -> bool {
    a == b || (case == Case::Ignored && a.eq_ignore_ascii_case(&b))
}

/// A class whose `[` lies before `at`.
fn match_class(pattern: &[u8], mut at: usize, byte: u8, case: Case) -> Option<usize> {
    let negated = pattern.get(at) == Some(&b'^');
    at += usize::from(negated);
    let mut found = false;
    loop {
        match pattern.get(at..).unwrap_or_default() {
            [] => break,
            [b'\\', escaped, ..] => {
                found |= *escaped == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            &[a, b'-', b, ..] => {
                found |= in_range(a, b, byte, case);
                at += 3;
            }
            [literal, ..] => {
                found |= same(*literal, byte, case);
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

/// Upside-down ranges are turned before case is folded, as Redis does: `[Z-a]` is empty without case.
fn in_range(a: u8, b: u8, byte: u8, case: Case) -> bool {
    let (low, high) = (a.min(b), a.max(b));
    match case {
        Case::Sensitive => (low..=high).contains(&byte),
        Case::Ignored => (low.to_ascii_lowercase()..=high.to_ascii_lowercase())
            .contains(&byte.to_ascii_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yes(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes(), Case::Sensitive)
    }

    fn yes_nocase(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes(), Case::Ignored)
    }

    #[test]
    fn plain_patterns() {
        for (pattern, text) in [
            ("", ""),
            ("abc", "abc"),
            ("a?c", "abc"),
            ("*", "abc"),
            ("a*", "a"),
            ("a**", "a"),
            ("*c", "abc"),
            ("**b**", "abc"),
            ("a*b*c", "aXbbXc"),
            ("h[ae]llo", "hello"),
            ("h[^e]llo", "hallo"),
            ("h[a-c]llo", "hbllo"),
            ("h[c-a]llo", "hbllo"),
            ("[a-cx-z]", "y"),
            (r"\*", "*"),
            (r"a\?b", "a?b"),
            (r"[\]]", "]"),
            (r"[\-a]", "-"),
            ("news.*.uk", "news.sport.uk"),
        ] {
            assert!(yes(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("abc", "ab"),
            ("ab", "abc"),
            ("a?", "a"),
            ("?", ""),
            ("h[^e]llo", "hello"),
            ("h[a-c]llo", "hdllo"),
            ("a*b", "ac"),
            ("*ab", "aba"),
            (r"\*", "a"),
            ("ABC", "abc"),
        ] {
            assert!(!yes(pattern, text), "{pattern} {text}");
        }
    }

    /// Each was tried on a real server.
    #[test]
    fn corners() {
        assert!(!yes("*", ""), "an empty text matches only an empty pattern");
        assert!(yes("[^", "a") && yes("[^]", "a"));
        assert!(!yes("[", "[") && !yes("[]", "a") && !yes("[]a]", "a]"));
        assert!(yes("[a", "a") && !yes("[a", "b"));
        assert!(yes("[a-", "a") && yes("[a-", "-"));
        assert!(yes("[a-]", "a") && yes("[a-]", "]") && yes("[a-]", "^") && !yes("[a-]", "-"));
        assert!(yes("\\", "\\") && yes("a\\", "a\\"));
        assert!(yes("[\\", "\\"));
    }

    #[test]
    fn without_case() {
        assert!(yes_nocase("MaxMem*", "maxmemory"));
        assert!(yes_nocase("[A-C]x", "bX"));
        assert!(yes_nocase("[xyz]", "Y"));
        assert!(yes_nocase(r"\A", "a"));
        assert!(
            !yes_nocase(r"[\A]", "a"),
            "an escaped byte in a class keeps its case"
        );
        assert!(!yes_nocase("[Z-a]", "b"));
    }

    /// Redis had to learn to answer the first in time, and to survive the second.
    #[test]
    fn hostile_patterns_end_soon() {
        let text = "a".repeat(50_000);
        assert!(!yes(&"a*".repeat(30), &"a".repeat(29)));
        assert!(!yes(&format!("{}b", "a*".repeat(40)), &text));
        assert!(!yes(&"*?".repeat(50_000), &text));
        assert!(yes(&"*?".repeat(1000), &text));
        assert!(!yes(&"*?".repeat(1001), &text));
        assert!(yes(&"?".repeat(50_000), &text));
    }

    /// The definition, by recursion, for patterns whose corners do not matter.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
            ([b'?', rest @ ..], [_, tail @ ..]) => naive(rest, tail),
            ([a, rest @ ..], [b, tail @ ..]) => a == b && naive(rest, tail),
            _ => false,
        }
    }

    #[test]
    fn agrees_with_the_definition() {
        let mut rng = crate::util::rng::Rng::new(1);
        for _ in 0..100_000 {
            let mut pick = |alphabet: &[u8], max: u64| -> Vec<u8> {
                let len = rng.below(max);
                (0..len)
                    .map(|_| alphabet[rng.below(alphabet.len() as u64) as usize])
                    .collect()
            };
            let (pattern, text) = (pick(b"ab*?", 9), pick(b"ab", 9));
            if !text.is_empty() {
                let expected = naive(&pattern, &text);
                let (p, t) = (pattern.escape_ascii(), text.escape_ascii());
                assert_eq!(
                    matches(&pattern, &text, Case::Sensitive),
                    expected,
                    "{p} {t}"
                );
            }
            let (pattern, text) = (pick(b"ab[]^-\\*?\xff\0", 16), pick(b"ab[]^-\\\xff\0", 16));
            let _ = matches(&pattern, &text, Case::Ignored);
        }
    }
}
