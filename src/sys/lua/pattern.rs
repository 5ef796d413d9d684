//! Lua's patterns: `%a+`, `(%w*)=(.-)`, `%b()`, `%f[%w]`.
//!
//! The matcher backtracks: `*`, `+`, `-` and `?` try one way and then the next, so a pattern may take time that is
//! exponential in its length. Each step is counted, and now and then the host is asked whether to go on. The matcher
//! neither allocates nor knows Lua, so that the caller may leave by `longjmp` between two calls.
//!
//! ```text
//!   pattern  (%a+)=(%d-);     text  size=12;
//!             ^^^^ capture 1: 1..5   ^^^ capture 2: 6..8
//! ```
//!
//! Mirrors: the matcher of lstrlib.c of Lua 5.1. Differs: the recursion is bounded, as since Lua 5.2; a zero
//! byte in a pattern is a character like others.

use crate::sys::bytes;

/// Captures of a pattern at most.
#[doc(alias = "LUA_MAXCAPTURES")]
const CAPTURES_MAX: usize = 32;
/// How deep choices may be nested. A level takes about 200 bytes of stack.
#[doc(alias = "MAXCCALLS")]
const DEPTH_MAX: u32 = 200;
/// Steps between two questions to the host.
const PERIOD: u32 = 1 << 16;

/// Why a pattern could not be matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The pattern is wrong, or too deep: Lua's words, ended by a zero byte.
    Pattern(&'static std::ffi::CStr),
    /// The host wants the script to end.
    Stopped,
}

/// A part of the text that the pattern captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Captured {
    /// Bytes of the text from one place to another.
    Text(usize, usize),
    /// A place in the text, from 1.
    Position(usize),
}

/// A capture: where it begins, and how many bytes it has. Lua's strings are shorter than 2^31 bytes, so two lengths are
/// free to say that it has no end yet, or that it is a place. All zeros at first: that costs least.
#[derive(Clone, Copy)]
struct Capture {
    at: u32,
    len: u32,
}

impl Capture {
    const OPEN: u32 = u32::MAX;
    const POSITION: u32 = u32::MAX - 1;
}

/// The first item of a pattern that is no `(`, if each match begins with a byte that fits it.
#[derive(Clone, Copy)]
enum Lead {
    /// This byte.
    Byte(u8),
    /// A byte of the class that the letter names.
    Class(u8),
    /// A byte of the set from its `[` to its `]`.
    Set(usize, usize),
    /// A match may begin anywhere.
    Any,
}

/// A text and a pattern.
pub struct Matcher<'a> {
    text: &'a [u8],
    pattern: &'a [u8],
    captures: [Capture; CAPTURES_MAX],
    lead: Lead,
    level: usize,
    depth: u32,
    steps: u32,
    stop: &'a dyn Fn() -> bool,
}

type Result<T> = std::result::Result<T, Fault>;

/// Whether a pattern has characters that stand for anything but themselves.
pub fn is_special(pattern: &[u8]) -> bool {
    pattern.iter().any(|byte| is_special_byte(*byte))
}

fn is_special_byte(byte: u8) -> bool {
    matches!(
        byte,
        b'^' | b'$' | b'*' | b'+' | b'?' | b'.' | b'(' | b'[' | b'%' | b'-'
    )
}

impl<'a> Matcher<'a> {
    /// `stop` is asked every 65,536 steps or so.
    #[inline]
    pub fn new(text: &'a [u8], pattern: &'a [u8], stop: &'a dyn Fn() -> bool) -> Matcher<'a> {
        let mut matcher = Matcher {
            text,
            pattern,
            captures: [Capture { at: 0, len: 0 }; CAPTURES_MAX],
            lead: Lead::Any,
            level: 0,
            depth: 0,
            steps: 0,
            stop,
        };
        matcher.lead = matcher.lead();
        matcher
    }

    /// The item that each match begins with. A wrong pattern has none: the match itself says what is wrong with it.
    fn lead(&self) -> Lead {
        let mut p = 0;
        while self.pattern[p..].starts_with(b"(") && p < CAPTURES_MAX {
            p += 1;
        }
        let lead = match self.pattern[p..] {
            [b'%', b'b' | b'f' | b'0'..=b'9', ..] => return Lead::Any,
            [b'%', class, ..] => Lead::Class(class),
            [b'[', ..] => match self.item_end(p) {
                Ok(end) => Lead::Set(p, end - 1),
                Err(_) => return Lead::Any,
            },
            [b']' | b'*' | b'+' | b'?' | b'-', ..] | [] => return Lead::Any,
            [byte, ..] if is_special_byte(byte) || byte == b')' => return Lead::Any,
            [byte, ..] => Lead::Byte(byte),
        };
        let after = match lead {
            Lead::Set(_, end) => end + 1,
            Lead::Class(_) => p + 2,
            _ => p + 1,
        };
        match self.pattern.get(after) {
            Some(b'*' | b'?' | b'-') => Lead::Any,
            _ => lead,
        }
    }

    /// The first place from `start` on where a match may begin; none when there is no match. Not for anchored patterns.
    #[inline]
    pub fn candidate(&self, start: usize) -> Option<usize> {
        let rest = self.text.get(start..)?;
        let skipped = match self.lead {
            Lead::Any => Some(0),
            Lead::Byte(byte) => bytes::byte_position(rest, byte),
            Lead::Class(class) => rest.iter().position(|byte| in_class(*byte, class)),
            Lead::Set(p, end) => rest.iter().position(|byte| self.in_set(*byte, p, end)),
        };
        skipped.map(|skipped| start + skipped)
    }

    /// Where a match that begins at `start` ends, if there is one. `from` is where the pattern begins: after
    /// its anchor, when it has one.
    #[inline]
    pub fn at(&mut self, start: usize, from: usize) -> Result<Option<usize>> {
        self.level = 0;
        self.depth = 0;
        self.go(start, from)
    }

    /// How many captures the last match has.
    pub fn captures(&self) -> usize {
        self.level
    }

    /// A capture of the last match, which was from `start` to `end`. Without any, the first is the match.
    pub fn capture(&self, i: usize, start: usize, end: usize) -> Result<Captured> {
        match self.captures[..self.level].get(i) {
            None if i == 0 => Ok(Captured::Text(start, end)),
            None => Err(Fault::Pattern(c"invalid capture index")),
            Some(Capture { at, len }) => match *len {
                Capture::OPEN => Err(Fault::Pattern(c"unfinished capture")),
                Capture::POSITION => Ok(Captured::Position(*at as usize + 1)),
                len => Ok(Captured::Text(*at as usize, (at + len) as usize)),
            },
        }
    }

    #[inline]
    fn step(&mut self) -> Result<()> {
        self.steps(1)
    }

    #[inline]
    fn steps(&mut self, n: usize) -> Result<()> {
        self.steps += n as u32;
        if self.steps < PERIOD {
            return Ok(());
        }
        self.steps = 0;
        match (self.stop)() {
            true => Err(Fault::Stopped),
            false => Ok(()),
        }
    }

    fn go(&mut self, at: usize, from: usize) -> Result<Option<usize>> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Fault::Pattern(c"pattern too complex"));
        }
        let end = self.walk(at, from);
        self.depth -= 1;
        end
    }

    #[doc(alias = "match")]
    fn walk(&mut self, mut at: usize, mut p: usize) -> Result<Option<usize>> {
        loop {
            self.step()?;
            let Some(&byte) = self.pattern.get(p) else {
                return Ok(Some(at));
            };
            let next = self.pattern.get(p + 1).copied();
            match (byte, next) {
                (b'(', Some(b')')) => return self.open(at, p + 2, Capture::POSITION),
                (b'(', _) => return self.open(at, p + 1, Capture::OPEN),
                (b')', _) => return self.close(at, p + 1),
                (b'$', None) => return Ok((at == self.text.len()).then_some(at)),
                (b'%', Some(b'b')) => match self.balanced(at, p + 2)? {
                    Some(end) => (at, p) = (end, p + 4),
                    None => return Ok(None),
                },
                (b'%', Some(b'f')) => {
                    p += 2;
                    if self.pattern.get(p) != Some(&b'[') {
                        return Err(Fault::Pattern(c"missing '[' after '%f' in pattern"));
                    }
                    let end = self.item_end(p)?;
                    let before = at.checked_sub(1).map_or(0, |i| self.text[i]);
                    let here = self.text.get(at).copied().unwrap_or(0);
                    if self.in_set(before, p, end - 1) || !self.in_set(here, p, end - 1) {
                        return Ok(None);
                    }
                    p = end;
                }
                (b'%', Some(digit @ b'0'..=b'9')) => match self.repeated(at, digit)? {
                    Some(end) => (at, p) = (end, p + 2),
                    None => return Ok(None),
                },
                _ => {
                    let end = self.item_end(p)?;
                    match self.pattern.get(end) {
                        Some(b'?') => {
                            if self.fits(at, p, end)
                                && let Some(found) = self.go(at + 1, end + 1)?
                            {
                                return Ok(Some(found));
                            }
                            p = end + 1;
                        }
                        Some(b'*') => return self.most(at, at, p, end),
                        Some(b'+') => {
                            return match self.fits(at, p, end) {
                                true => self.most(at + 1, at + 1, p, end),
                                false => Ok(None),
                            };
                        }
                        Some(b'-') => return self.fewest(at, p, end),
                        _ => {
                            if !self.fits(at, p, end) {
                                return Ok(None);
                            }
                            (at, p) = (at + 1, end);
                        }
                    }
                }
            }
        }
    }

    /// As many of an item as there are, then fewer and fewer, until the rest matches.
    #[doc(alias = "max_expand")]
    fn most(&mut self, least: usize, mut at: usize, p: usize, end: usize) -> Result<Option<usize>> {
        let run = self.run(at, p, end);
        self.steps(run.min(PERIOD as usize))?;
        at += run;
        loop {
            if let Some(found) = self.go(at, end + 1)? {
                return Ok(Some(found));
            }
            if at == least {
                return Ok(None);
            }
            at -= 1;
        }
    }

    /// How many bytes from a place on the item from `p` to `end` fits.
    fn run(&self, at: usize, p: usize, end: usize) -> usize {
        let Some(text) = self.text.get(at..) else {
            return 0;
        };
        let fits = |fits: &dyn Fn(u8) -> bool| text.iter().take_while(|byte| fits(**byte)).count();
        match self.pattern[p] {
            b'.' => text.len(),
            b'%' => {
                let class = self.pattern[p + 1];
                text.iter()
                    .take_while(|byte| in_class(**byte, class))
                    .count()
            }
            b'[' => fits(&|byte| self.in_set(byte, p, end - 1)),
            own => fits(&|byte| byte == own),
        }
    }

    #[doc(alias = "min_expand")]
    fn fewest(&mut self, mut at: usize, p: usize, end: usize) -> Result<Option<usize>> {
        loop {
            if let Some(found) = self.go(at, end + 1)? {
                return Ok(Some(found));
            }
            if !self.fits(at, p, end) {
                return Ok(None);
            }
            at += 1;
        }
    }

    fn open(&mut self, at: usize, p: usize, len: u32) -> Result<Option<usize>> {
        let slot = self.captures.get_mut(self.level);
        let capture = Capture { at: at as u32, len };
        *slot.ok_or(Fault::Pattern(c"too many captures"))? = capture;
        self.level += 1;
        let found = self.go(at, p)?;
        if found.is_none() {
            self.level -= 1;
        }
        Ok(found)
    }

    fn close(&mut self, at: usize, p: usize) -> Result<Option<usize>> {
        let open = |capture: &Capture| capture.len == Capture::OPEN;
        let last = self.captures[..self.level].iter().rposition(open);
        let i = last.ok_or(Fault::Pattern(c"invalid pattern capture"))?;
        self.captures[i].len = at as u32 - self.captures[i].at;
        let found = self.go(at, p)?;
        if found.is_none() {
            self.captures[i].len = Capture::OPEN;
        }
        Ok(found)
    }

    /// `%bxy`: from an `x` to the `y` that belongs to it.
    fn balanced(&mut self, at: usize, p: usize) -> Result<Option<usize>> {
        let pair = self.pattern.get(p..p + 2);
        let [open, close] = *pair.ok_or(Fault::Pattern(c"unbalanced pattern"))? else {
            return Ok(None);
        };
        if self.text.get(at) != Some(&open) {
            return Ok(None);
        }
        let mut nested = 1;
        for i in at + 1..self.text.len() {
            self.step()?;
            let byte = self.text[i];
            if byte == close {
                nested -= 1;
                if nested == 0 {
                    return Ok(Some(i + 1));
                }
            } else if byte == open {
                nested += 1;
            }
        }
        Ok(None)
    }

    /// `%1`: what capture 1 is.
    fn repeated(&mut self, at: usize, digit: u8) -> Result<Option<usize>> {
        let i = usize::from(digit).wrapping_sub(usize::from(b'1'));
        let (start, len) = match self.captures[..self.level].get(i) {
            Some(capture) if capture.len == Capture::POSITION => return Ok(None),
            Some(capture) if capture.len != Capture::OPEN => {
                (capture.at as usize, capture.len as usize)
            }
            _ => return Err(Fault::Pattern(c"invalid capture index")),
        };
        let rest = &self.text[at..];
        Ok(rest
            .starts_with(&self.text[start..start + len])
            .then_some(at + len))
    }

    /// Where the item that begins at `p` ends: a character, a class, a set.
    #[doc(alias = "classend")]
    fn item_end(&self, p: usize) -> Result<usize> {
        let pattern = self.pattern;
        match pattern.get(p) {
            Some(b'%') if p + 1 == pattern.len() => {
                Err(Fault::Pattern(c"malformed pattern (ends with '%')"))
            }
            Some(b'%') => Ok(p + 2),
            Some(b'[') => {
                let mut i = p + 1;
                if pattern.get(i) == Some(&b'^') {
                    i += 1;
                }
                // A `]` that comes first is a character of the set.
                loop {
                    match pattern.get(i) {
                        None => {
                            let words = c"malformed pattern (missing ']')";
                            return Err(Fault::Pattern(words));
                        }
                        Some(b'%') if i + 1 < pattern.len() => i += 2,
                        Some(_) => i += 1,
                    }
                    if pattern.get(i) == Some(&b']') {
                        return Ok(i + 1);
                    }
                }
            }
            _ => Ok(p + 1),
        }
    }

    /// Whether the item from `p` to `end` fits the byte at a place.
    #[doc(alias = "singlematch")]
    fn fits(&self, at: usize, p: usize, end: usize) -> bool {
        let Some(&byte) = self.text.get(at) else {
            return false;
        };
        match self.pattern[p] {
            b'.' => true,
            b'%' => in_class(byte, self.pattern[p + 1]),
            b'[' => self.in_set(byte, p, end - 1),
            own => own == byte,
        }
    }

    /// Whether a byte is in the set whose `[` is at `p` and whose `]` is at `end`.
    #[doc(alias = "matchbracketclass")]
    fn in_set(&self, byte: u8, p: usize, end: usize) -> bool {
        let set = &self.pattern[p + 1..end];
        let (set, negated) = match set.strip_prefix(b"^") {
            Some(set) => (set, true),
            None => (set, false),
        };
        let mut i = 0;
        while i < set.len() {
            let (found, len) = match set[i..] {
                [b'%', class, ..] => (in_class(byte, class), 2),
                [low, b'-', high, ..] => ((low..=high).contains(&byte), 3),
                [own, ..] => (own == byte, 1),
                [] => (false, 1),
            };
            if found {
                return !negated;
            }
            i += len;
        }
        negated
    }
}

/// Each letter that names a class has a bit, which is set for the bytes that are of the class.
const CLASSES: &[u8; 10] = b"acdlpsuwxz";

/// Of each byte, the classes that it is of.
static OF: [u16; 256] = {
    let mut of = [0; 256];
    let mut i = 0;
    while i < 256 {
        let byte = i as u8;
        let is = [
            byte.is_ascii_alphabetic(),
            byte.is_ascii_control(),
            byte.is_ascii_digit(),
            byte.is_ascii_lowercase(),
            byte.is_ascii_punctuation(),
            matches!(byte, b' ' | 9..=13),
            byte.is_ascii_uppercase(),
            byte.is_ascii_alphanumeric(),
            byte.is_ascii_hexdigit(),
            byte == 0,
        ];
        let mut bit = 0;
        while bit < is.len() {
            of[i] |= (is[bit] as u16) << bit;
            bit += 1;
        }
        i += 1;
    }
    of
};

/// Of each letter, small or capital, the class that it names.
static NAMED: [u16; 256] = {
    let mut named = [0; 256];
    let mut bit = 0;
    while bit < CLASSES.len() {
        named[CLASSES[bit] as usize] = 1 << bit;
        named[CLASSES[bit].to_ascii_uppercase() as usize] = 1 << bit;
        bit += 1;
    }
    named
};

/// Whether a byte is of the class that a letter after `%` names; capitals name what is not.
#[doc(alias = "match_class")]
#[inline]
fn in_class(byte: u8, class: u8) -> bool {
    match NAMED[usize::from(class)] {
        0 => class == byte,
        named => (OF[usize::from(byte)] & named != 0) != class.is_ascii_uppercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str, pattern: &str) -> std::result::Result<Option<Vec<String>>, String> {
        let stop = || false;
        let mut matcher = Matcher::new(text.as_bytes(), pattern.as_bytes(), &stop);
        let anchored = pattern.starts_with('^');
        for start in 0..=text.len() {
            let end = matcher.at(start, anchored.into());
            let end = end.map_err(|fault| match fault {
                Fault::Pattern(words) => words.to_string_lossy().into_owned(),
                Fault::Stopped => "stopped".to_owned(),
            })?;
            if let Some(end) = end {
                let shown = |i| match matcher.capture(i, start, end) {
                    Ok(Captured::Text(from, to)) => text[from..to].to_owned(),
                    other => format!("{other:?}"),
                };
                return Ok(Some((0..matcher.captures().max(1)).map(shown).collect()));
            }
            if anchored {
                break;
            }
        }
        Ok(None)
    }

    #[test]
    fn patterns_match_as_lua_says() {
        for (text, pattern, found) in [
            ("hello world", "o w", Some("o w")),
            ("hello world", "^h(.-)o", Some("ell")),
            ("hello", "^e", None),
            ("key = value", "(%w+)%s*=%s*(%w+)", Some("key,value")),
            ("f(a(b)c)d", "%b()", Some("(a(b)c)")),
            ("THE (quick) fox", "%f[%a]%a+%f[%A]", Some("THE")),
            ("aXb", "%u", Some("X")),
            ("a.b", "[.]", Some(".")),
            ("a]b", "[]]", Some("]")),
            ("a^b", "[b^]", Some("^")),
            ("a-b", "[a%-]*", Some("a-")),
            ("x1y", "[^%a]", Some("1")),
            ("abcabc", "(abc)%1", Some("abc")),
            ("say 'it'", "(['\"])(.-)%1", Some("',it")),
            ("aaa", "a-$", Some("aaa")),
            ("aaab", "a?a?a?a?b", Some("aaab")),
            ("$", "$$", Some("$")),
            ("", "", Some("")),
            ("\0x", "%z", Some("\0")),
        ] {
            let found = found.map(|found| found.split(',').map(str::to_owned).collect());
            assert_eq!(find(text, pattern), Ok(found), "{text} {pattern}");
        }
        assert_eq!(
            find("abc", "b()"),
            Ok(Some(vec!["Ok(Position(3))".to_owned()]))
        );
    }

    #[test]
    fn wrong_patterns_say_so() {
        let deep = "a?".repeat(9999);
        for (pattern, words) in [
            ("%", "ends with '%'"),
            ("[a", "missing ']'"),
            ("[]", "missing ']'"),
            ("[^]", "missing ']'"),
            ("[a%", "missing ']'"),
            ("%f", "missing '['"),
            ("%b", "unbalanced"),
            ("%bx", "unbalanced"),
            ("%1", "invalid capture index"),
            ("(%1", "invalid capture index"),
            ("%0", "invalid capture index"),
            (")", "invalid pattern capture"),
            (&"(".repeat(33), "too many captures"),
            (&deep, "too complex"),
        ] {
            let fault = find(&"a".repeat(9999), pattern);
            let text = fault.expect_err(pattern);
            assert!(text.contains(words), "{pattern}: {text}");
        }
        // Only when it is asked for.
        let stop = || false;
        let mut matcher = Matcher::new(b"a", b"(a", &stop);
        assert_eq!(matcher.at(0, 0), Ok(Some(1)));
        let unfinished = Err(Fault::Pattern(c"unfinished capture"));
        assert_eq!(matcher.capture(0, 0, 1), unfinished);
    }

    #[test]
    fn a_match_without_end_is_stopped() {
        let text = b"a".repeat(300);
        let pattern = [b".-".repeat(20), b"b".to_vec()].concat();
        let mut matcher = Matcher::new(&text, &pattern, &|| true);
        assert_eq!(matcher.at(0, 0), Err(Fault::Stopped));
    }

    #[test]
    fn garbage_ends_in_a_match_or_a_fault() {
        let alphabet = b"ab.%bf[]^$()*+-?1dw\0";
        let mut seed = 7_u64;
        let mut next = |n: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as usize % n
        };
        for _ in 0..if cfg!(miri) { 300 } else { 100_000 } {
            let bytes: Vec<u8> = (0..next(12))
                .map(|_| alphabet[next(alphabet.len())])
                .collect();
            let text: Vec<u8> = (0..next(12)).map(|_| b"ab1("[next(4)]).collect();
            let mut matcher = Matcher::new(&text, &bytes, &|| true);
            for start in 0..=text.len() {
                let next = matcher.candidate(start);
                if let Ok(Some(end)) = matcher.at(start, 0) {
                    assert_eq!(next, Some(start), "{bytes:?} {text:?}");
                    assert!(end <= text.len());
                    for i in 0..=matcher.captures() {
                        let _ = matcher.capture(i, start, end);
                    }
                }
            }
        }
    }
}
