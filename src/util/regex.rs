//! Regular expressions in time linear in the text, as ARGREP takes them: POSIX extended, plus a few classes.
//!
//! ```text
//!   a(b|c)*$      parsed to a tree, then to states:
//!
//!   0 byte a -> 1     1 split 2 4     2 byte [bc] -> 1     4 at end -> 5     5 match
//!                     ^ all states a text could be in are followed at once (Thompson, 1968)
//! ```
//!
//! Texts are bytes, matched anywhere; nothing is captured, so no state is ever tried twice at one place, and no
//! expression can make matching exponential. Counted repeats are written out, which `STATES_MAX` bounds.
//!
//! Known: `. [ ] [^ ] * + ? {n,m} | ( ) ^ $`, classes such as `[:alpha:]`, and behind a backslash
//! `w W s S d D b B < > t n r f a e xHH x{H…}`. A lazy `?` behind a repeat changes nothing, since nothing is captured.
//!
//! Mirrors: TRE, the library Redis takes. Differs: no approximate matching, no flags inside, no backreferences
//! (which ARGREP refuses in Redis as well); what is too large once written out is refused at once.

/// States at most; an expression of 2048 bytes without counted repeats has no more than about as many.
const STATES_MAX: usize = 10_000;
/// Times a part may be repeated by a count.
#[doc(alias = "RE_DUP_MAX")]
const REPEAT_MAX: u32 = 255;
/// Groups inside groups.
const DEPTH_MAX: usize = 250;

/// Why an expression is none. [`Invalid::text`] says it in TRE's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    Expression,
    CollatingElement,
    ClassName,
    TrailingBackslash,
    Backreference,
    Bracket,
    Parenthesis,
    Brace,
    BraceContents,
    Range,
    TooLarge,
    Repeat,
}

impl Invalid {
    /// The words a client reads.
    #[doc(alias = "tre_regerror")]
    pub fn text(self) -> &'static str {
        match self {
            Invalid::Expression => "Invalid regexp",
            Invalid::CollatingElement => "Unknown collating element",
            Invalid::ClassName => "Unknown character class name",
            Invalid::TrailingBackslash => "Trailing backslash",
            Invalid::Backreference => "Invalid back reference",
            Invalid::Bracket => "Missing ']'",
            Invalid::Parenthesis => "Missing ')'",
            Invalid::Brace => "Missing '}'",
            Invalid::BraceContents => "Invalid contents of {}",
            Invalid::Range => "Invalid character range",
            Invalid::TooLarge => "Out of memory",
            Invalid::Repeat => "Invalid use of repetition operators",
        }
    }
}

type Result<T> = std::result::Result<T, Invalid>;

/// A set of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bytes([u64; 4]);

impl Bytes {
    const ALL: Bytes = Bytes([u64::MAX; 4]);

    fn one(byte: u8) -> Bytes {
        Bytes::default().with(byte, byte)
    }

    fn with(mut self, first: u8, last: u8) -> Bytes {
        for byte in first..=last {
            self.0[usize::from(byte / 64)] |= 1 << (byte % 64);
        }
        self
    }

    fn of(keep: impl Fn(u8) -> bool) -> Bytes {
        let members = (0..=u8::MAX).filter(|&byte| keep(byte));
        members.fold(Bytes::default(), |set, byte| set.with(byte, byte))
    }

    fn and(self, other: Bytes) -> Bytes {
        let mut both = self;
        both.0.iter_mut().zip(other.0).for_each(|(a, b)| *a |= b);
        both
    }

    fn not(self) -> Bytes {
        Bytes(self.0.map(|word| !word))
    }

    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte / 64)] >> (byte % 64) & 1 != 0
    }

    /// With every letter in both cases.
    fn in_both_cases(self) -> Bytes {
        Bytes::of(|byte| self.has(byte.to_ascii_lowercase()) || self.has(byte.to_ascii_uppercase()))
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// A condition on the place between two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Start,
    End,
    WordEdge,
    NoWordEdge,
    WordStart,
    WordEnd,
}

impl Place {
    fn is_here(self, text: &[u8], at: usize) -> bool {
        let before = at > 0 && is_word(text[at - 1]);
        let after = text.get(at).is_some_and(|&byte| is_word(byte));
        match self {
            Place::Start => at == 0,
            Place::End => at == text.len(),
            Place::WordEdge => before != after,
            Place::NoWordEdge => before == after,
            Place::WordStart => !before && after,
            Place::WordEnd => before && !after,
        }
    }
}

/// An expression, taken apart.
#[derive(Clone, Debug)]
enum Tree {
    Nothing,
    One(Bytes),
    At(Place),
    Sequence(Vec<Tree>),
    Choice(Vec<Tree>),
    Repeat(Box<Tree>, u32, Option<u32>),
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
    any_case: bool,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn one(&self, set: Bytes) -> Tree {
        Tree::One(if self.any_case {
            set.in_both_cases()
        } else {
            set
        })
    }

    fn choice(&mut self) -> Result<Tree> {
        let mut branches = vec![self.sequence()?];
        while self.take(b'|') {
            branches.push(self.sequence()?);
        }
        Ok(match branches.pop() {
            Some(only) if branches.is_empty() => only,
            Some(last) => {
                branches.push(last);
                Tree::Choice(branches)
            }
            None => Tree::Nothing,
        })
    }

    fn sequence(&mut self) -> Result<Tree> {
        let mut parts = Vec::new();
        loop {
            match self.peek() {
                None | Some(b'|') => break,
                Some(b')') if self.depth > 0 => break,
                Some(b'*' | b'+' | b'?') => return Err(Invalid::Repeat),
                Some(_) => {}
            }
            let atom = self.atom()?;
            parts.push(self.repeated(atom)?);
        }
        Ok(Tree::Sequence(parts))
    }

    fn repeated(&mut self, mut part: Tree) -> Result<Tree> {
        // Repeats of repeats mean what the last of them says or more; a few are plenty.
        for _ in 0..DEPTH_MAX {
            let (least, most) = match self.peek() {
                Some(b'*') => (0, None),
                Some(b'+') => (1, None),
                Some(b'?') => (0, Some(1)),
                Some(b'{') => {
                    self.at += 1;
                    let bounds = self.bounds()?;
                    self.take(b'?');
                    part = Tree::Repeat(Box::new(part), bounds.0, bounds.1);
                    continue;
                }
                _ => return Ok(part),
            };
            self.at += 1;
            self.take(b'?');
            part = Tree::Repeat(Box::new(part), least, most);
        }
        Err(Invalid::TooLarge)
    }

    /// The bounds between braces, `{2}` or `{2,5}` or `{2,}`; the first brace is taken already.
    fn bounds(&mut self) -> Result<(u32, Option<u32>)> {
        let least = self.number()?;
        let most = if self.take(b',') {
            self.number()?
        } else {
            least
        };
        if self.peek().is_none() {
            return Err(Invalid::Brace);
        }
        if !self.take(b'}') || (least, most) == (None, None) {
            return Err(Invalid::BraceContents);
        }
        let least = least.unwrap_or(0);
        if most.is_some_and(|most| most < least) {
            return Err(Invalid::BraceContents);
        }
        Ok((least, most))
    }

    fn number(&mut self) -> Result<Option<u32>> {
        let start = self.at;
        let mut number = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            self.at += 1;
            number = number * 10 + u32::from(digit - b'0');
            if number > REPEAT_MAX {
                return Err(Invalid::BraceContents);
            }
        }
        Ok((self.at > start).then_some(number))
    }

    fn atom(&mut self) -> Result<Tree> {
        let Some(byte) = self.peek() else {
            return Ok(Tree::Nothing);
        };
        self.at += 1;
        match byte {
            b'(' => {
                if self.text[self.at..].starts_with(b"?:") {
                    self.at += 2;
                } else if self.peek() == Some(b'?') {
                    return Err(Invalid::Expression);
                }
                self.depth += 1;
                if self.depth > DEPTH_MAX {
                    return Err(Invalid::TooLarge);
                }
                let inner = self.choice()?;
                self.depth -= 1;
                if !self.take(b')') {
                    return Err(Invalid::Parenthesis);
                }
                Ok(inner)
            }
            b'[' => {
                let set = self.bracket()?;
                Ok(Tree::One(set))
            }
            b'.' => Ok(Tree::One(Bytes::ALL)),
            b'^' => Ok(Tree::At(Place::Start)),
            b'$' => Ok(Tree::At(Place::End)),
            b'\\' => self.escaped(),
            byte => Ok(self.one(Bytes::one(byte))),
        }
    }

    fn escaped(&mut self) -> Result<Tree> {
        let byte = self.peek().ok_or(Invalid::TrailingBackslash)?;
        self.at += 1;
        let set = match byte {
            b'w' => Bytes::of(is_word),
            b'W' => Bytes::of(is_word).not(),
            b's' => class(b"space").unwrap_or_default(),
            b'S' => class(b"space").unwrap_or_default().not(),
            b'd' => Bytes::default().with(b'0', b'9'),
            b'D' => Bytes::default().with(b'0', b'9').not(),
            b'b' => return Ok(Tree::At(Place::WordEdge)),
            b'B' => return Ok(Tree::At(Place::NoWordEdge)),
            b'<' => return Ok(Tree::At(Place::WordStart)),
            b'>' => return Ok(Tree::At(Place::WordEnd)),
            b't' => Bytes::one(b'\t'),
            b'n' => Bytes::one(b'\n'),
            b'r' => Bytes::one(b'\r'),
            b'f' => Bytes::one(0x0c),
            b'a' => Bytes::one(0x07),
            b'e' => Bytes::one(0x1b),
            b'x' => Bytes::one(self.hexadecimal()?),
            b'1'..=b'9' => return Err(Invalid::Backreference),
            byte => Bytes::one(byte),
        };
        Ok(self.one(set))
    }

    /// `HH` or `{H…}`; fewer digits are 0.
    fn hexadecimal(&mut self) -> Result<u8> {
        let braced = self.take(b'{');
        let most = if braced { 8 } else { 2 };
        let mut code = 0u64;
        let mut digits = 0;
        while digits < most
            && let Some(digit) = self.peek().and_then(|b| char::from(b).to_digit(16))
        {
            code = code * 16 + u64::from(digit);
            digits += 1;
            self.at += 1;
        }
        if braced && !self.take(b'}') {
            return Err(Invalid::Brace);
        }
        u8::try_from(code).map_err(|_| Invalid::Expression)
    }

    /// A bracket expression, of which `[` is taken already.
    fn bracket(&mut self) -> Result<Bytes> {
        let negated = self.take(b'^');
        let mut set = Bytes::default();
        let mut first = true;
        loop {
            let byte = self.peek().ok_or(Invalid::Bracket)?;
            if byte == b']' && !first {
                self.at += 1;
                break;
            }
            first = false;
            let rest = &self.text[self.at..];
            match rest {
                [b'[', b':', name @ ..] => {
                    let len = name.windows(2).position(|two| two == b":]");
                    let len = len.ok_or(Invalid::ClassName)?;
                    set = set.and(class(&name[..len]).ok_or(Invalid::ClassName)?);
                    self.at += len + 4;
                }
                [b'[', b'.' | b'=', ..] => return Err(Invalid::CollatingElement),
                [low, b'-', high, ..] if *high != b']' => {
                    if low > high {
                        return Err(Invalid::Range);
                    }
                    set = set.with(*low, *high);
                    self.at += 3;
                }
                _ => {
                    set = set.with(byte, byte);
                    self.at += 1;
                }
            }
        }
        // In any case first, so that what is left out is left out in both.
        if self.any_case {
            set = set.in_both_cases();
        }
        Ok(if negated { set.not() } else { set })
    }
}

/// The bytes of a named class, as in the C locale.
fn class(name: &[u8]) -> Option<Bytes> {
    let test: fn(u8) -> bool = match name {
        b"alpha" => |b| b.is_ascii_alphabetic(),
        b"digit" => |b| b.is_ascii_digit(),
        b"alnum" => |b| b.is_ascii_alphanumeric(),
        b"upper" => |b| b.is_ascii_uppercase(),
        b"lower" => |b| b.is_ascii_lowercase(),
        b"space" => |b| matches!(b, b' ' | 0x09..=0x0d),
        b"blank" => |b| matches!(b, b' ' | b'\t'),
        b"punct" => |b| b.is_ascii_punctuation(),
        b"print" => |b| matches!(b, b' '..=b'~'),
        b"graph" => |b| b.is_ascii_graphic(),
        b"cntrl" => |b| b.is_ascii_control(),
        b"xdigit" => |b| b.is_ascii_hexdigit(),
        _ => return None,
    };
    Some(Bytes::of(test))
}

#[derive(Clone, Copy, Debug)]
enum State {
    Byte(Bytes, u32),
    Split(u32, u32),
    At(Place, u32),
    Match,
}

/// A compiled expression.
#[derive(Debug)]
pub struct Regex {
    states: Vec<State>,
    start: u32,
}

impl Regex {
    /// Compiles an expression; `any_case` takes ASCII letters for the same in both cases. O(states).
    #[doc(alias = "tre_regncompb")]
    pub fn new(text: &[u8], any_case: bool) -> Result<Regex> {
        let mut parser = Parser {
            text,
            at: 0,
            depth: 0,
            any_case,
        };
        let tree = parser.choice()?;
        let mut regex = Regex {
            states: vec![State::Match],
            start: 0,
        };
        regex.start = regex.compile(&tree, 0)?;
        Ok(regex)
    }

    fn push(&mut self, state: State) -> Result<u32> {
        if self.states.len() >= STATES_MAX {
            return Err(Invalid::TooLarge);
        }
        self.states.push(state);
        Ok(self.states.len() as u32 - 1)
    }

    /// States that match the tree and go on to `next`; returns the first. Built from the end.
    fn compile(&mut self, tree: &Tree, next: u32) -> Result<u32> {
        match tree {
            Tree::Nothing => Ok(next),
            Tree::One(set) => self.push(State::Byte(*set, next)),
            Tree::At(place) => self.push(State::At(*place, next)),
            Tree::Sequence(parts) => parts
                .iter()
                .rev()
                .try_fold(next, |next, part| self.compile(part, next)),
            Tree::Choice(branches) => {
                let mut first = None;
                for branch in branches.iter().rev() {
                    let start = self.compile(branch, next)?;
                    first = Some(match first {
                        None => start,
                        Some(other) => self.push(State::Split(start, other))?,
                    });
                }
                Ok(first.unwrap_or(next))
            }
            Tree::Repeat(part, least, most) => {
                let mut next = next;
                match most {
                    None => {
                        // A loop, entered at its split.
                        let split = self.push(State::Split(next, next))?;
                        let body = self.compile(part, split)?;
                        self.states[split as usize] = State::Split(body, next);
                        next = split;
                    }
                    Some(most) => {
                        let end = next;
                        for _ in *least..*most {
                            let body = self.compile(part, next)?;
                            if body == next {
                                break; // Nothing, however often.
                            }
                            next = self.push(State::Split(body, end))?;
                        }
                    }
                }
                for _ in 0..*least {
                    let body = self.compile(part, next)?;
                    if body == next {
                        break;
                    }
                    next = body;
                }
                Ok(next)
            }
        }
    }

    /// Whether it matches somewhere in the text. O(text · states).
    #[doc(alias = "tre_regnexecb")]
    pub fn is_match(&self, text: &[u8]) -> bool {
        let mut now = Set::new(self.states.len());
        let mut then = Set::new(self.states.len());
        let mut stack = Vec::new();
        for at in 0..=text.len() {
            if self.enter(self.start, text, at, &mut now, &mut stack) {
                return true;
            }
            let Some(&byte) = text.get(at) else {
                return false;
            };
            then.clear();
            for &state in &now.members {
                if let State::Byte(set, next) = &self.states[state as usize]
                    && set.has(byte)
                    && self.enter(*next, text, at + 1, &mut then, &mut stack)
                {
                    return true;
                }
            }
            std::mem::swap(&mut now, &mut then);
        }
        false
    }

    /// Adds a state and all that can be reached from it without a byte; whether the match is among them.
    fn enter(
        &self,
        state: u32,
        text: &[u8],
        at: usize,
        into: &mut Set,
        stack: &mut Vec<u32>,
    ) -> bool {
        stack.clear();
        stack.push(state);
        while let Some(state) = stack.pop() {
            if !into.insert(state) {
                continue;
            }
            match &self.states[state as usize] {
                State::Match => return true,
                State::Split(a, b) => stack.extend([*a, *b]),
                State::At(place, next) if place.is_here(text, at) => stack.push(*next),
                State::At(..) | State::Byte(..) => {}
            }
        }
        false
    }
}

/// States a text can be in: members in order of arrival, and where each stands among them.
struct Set {
    members: Vec<u32>,
    places: Vec<u32>,
}

impl Set {
    fn new(states: usize) -> Set {
        Set {
            members: Vec::with_capacity(states.min(64)),
            places: vec![0; states],
        }
    }

    fn clear(&mut self) {
        self.members.clear();
    }

    fn insert(&mut self, state: u32) -> bool {
        let place = self.places[state as usize] as usize;
        if self.members.get(place) == Some(&state) {
            return false;
        }
        self.places[state as usize] = self.members.len() as u32;
        self.members.push(state);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(expression: &str, texts: &str) -> String {
        let regex = Regex::new(expression.as_bytes(), false).expect(expression);
        let hit = |text: &&str| regex.is_match(text.as_bytes());
        texts.split(' ').filter(hit).collect::<Vec<_>>().join(" ")
    }

    fn refused(expression: &str) -> Invalid {
        Regex::new(expression.as_bytes(), false).expect_err(expression)
    }

    #[test]
    fn matches() {
        assert_eq!(
            hits("^.*[0-9]{3}$", "foo123 bar zoo999 1234x"),
            "foo123 zoo999"
        );
        assert_eq!(hits("foo|bar", "xfoo bary baz"), "xfoo bary");
        assert_eq!(hits("^(foo|bar)$", "foo bar foobar"), "foo bar");
        assert_eq!(
            hits("^a(bc)+d?$", "a abc abcbcd abcd abcdd"),
            "abc abcbcd abcd"
        );
        assert_eq!(hits("^a{2,3}$", "a aa aaa aaaa"), "aa aaa");
        assert_eq!(hits("^(ab){2}$", "ab abab ababab"), "abab");
        assert_eq!(hits("^a{,2}$", "a aa aaa"), "a aa");
        assert_eq!(hits("^a{2,}?$", "a aa aaa"), "aa aaa");
        assert_eq!(hits("^(|x)y$", "y xy xxy"), "y xy");
        assert_eq!(hits("^[^a-c]$", "a d - ]"), "d - ]");
        assert_eq!(hits("^[]a-]+$", "] a- b]"), "] a-");
        assert_eq!(hits("^[[:upper:][:digit:]]+$", "A1 a1 _"), "A1");
        assert_eq!(hits(r"^\w+\.\d$", "ab.1 ab.x a-b.1"), "ab.1");
        assert_eq!(hits(r"\bcat\b", "cat concat cat-o"), "cat cat-o");
        assert_eq!(hits(r"^\x41\x{42}$", "AB ab"), "AB");
        assert_eq!(hits("^a)b$", "a)b ab"), "a)b");
        assert_eq!(hits("(a*)*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaac b"), "b");
        assert_eq!(hits("", "x"), "x");
        let any_case = Regex::new(b"^foo[^x-z]$", true).expect("sound");
        assert!(any_case.is_match(b"FoOa") && !any_case.is_match(b"fooX"));
        assert!(
            Regex::new(b"a.c", false)
                .expect("sound")
                .is_match(b"-a\nc-")
        );
    }

    #[test]
    fn refuses() {
        assert_eq!(refused("("), Invalid::Parenthesis);
        assert_eq!(refused("[a"), Invalid::Bracket);
        assert_eq!(refused("[b-a]"), Invalid::Range);
        assert_eq!(refused("[[:nope:]]"), Invalid::ClassName);
        assert_eq!(refused("[[.a.]]"), Invalid::CollatingElement);
        assert_eq!(refused("*a"), Invalid::Repeat);
        assert_eq!(refused("a{1"), Invalid::Brace);
        assert_eq!(refused("a{}"), Invalid::BraceContents);
        assert_eq!(refused("a{3,2}"), Invalid::BraceContents);
        assert_eq!(refused("a{256}"), Invalid::BraceContents);
        assert_eq!(refused("a{x}"), Invalid::BraceContents);
        assert_eq!(refused(r"(a)\1"), Invalid::Backreference);
        assert_eq!(refused("\\"), Invalid::TrailingBackslash);
        assert_eq!(refused(r"\x{1"), Invalid::Brace);
        assert_eq!(refused("((a{255}){255}){255}"), Invalid::TooLarge);
        assert_eq!(refused(&"(".repeat(2000)), Invalid::TooLarge);
        assert!(Regex::new(b"(){255}{255}{255}{255}{255}", false).is_ok());
        assert!(Regex::new(&[b'a'; 2048], false).is_ok());
    }

    /// Random expressions of a few shapes, against a matcher that tries everything.
    #[test]
    fn agrees_with_backtracking() {
        fn ends(tree: &Tree, text: &[u8], at: usize, out: &mut Vec<usize>) {
            let mut found = Vec::new();
            match tree {
                Tree::Nothing => found.push(at),
                Tree::One(set) => {
                    found.extend(text.get(at).filter(|b| set.has(**b)).map(|_| at + 1))
                }
                Tree::At(place) => found.extend(place.is_here(text, at).then_some(at)),
                Tree::Sequence(parts) => {
                    found.push(at);
                    for part in parts {
                        let mut next = Vec::new();
                        found.iter().for_each(|at| ends(part, text, *at, &mut next));
                        found = next;
                    }
                }
                Tree::Choice(branches) => {
                    branches.iter().for_each(|b| ends(b, text, at, &mut found))
                }
                Tree::Repeat(part, least, most) => {
                    let mut reached = vec![at];
                    for round in 0..=most.unwrap_or(least + text.len() as u32 + 1) {
                        if round >= *least {
                            found.extend(&reached);
                        }
                        let mut next = Vec::new();
                        reached
                            .iter()
                            .for_each(|at| ends(part, text, *at, &mut next));
                        next.sort_unstable();
                        next.dedup();
                        reached = next;
                    }
                }
            }
            found.sort_unstable();
            found.dedup();
            out.extend(found);
        }
        let mut rng = crate::util::rng::Rng::new(7);
        const PARTS: [&str; 14] = [
            "a", "b", "[ab]", "(a|b)", "(ab)*", "a+", "b?", "^", "$", "|", "(a|)", "b{2}",
            "a{1,2}", ".",
        ];
        for round in 0..3000 {
            let expression: String = (0..1 + rng.below(5))
                .map(|_| PARTS[rng.below(PARTS.len() as u64) as usize])
                .collect();
            let mut parser = Parser {
                text: expression.as_bytes(),
                at: 0,
                depth: 0,
                any_case: false,
            };
            let Ok(tree) = parser.choice() else {
                continue;
            };
            let regex = Regex::new(expression.as_bytes(), false).expect("parsed");
            let text: Vec<u8> = (0..rng.below(7))
                .map(|_| b"abc"[rng.below(3) as usize])
                .collect();
            let naive = (0..=text.len()).any(|at| {
                let mut out = Vec::new();
                ends(&tree, &text, at, &mut out);
                !out.is_empty()
            });
            assert_eq!(
                regex.is_match(&text),
                naive,
                "round {round}: {expression} {text:?}"
            );
        }
    }
}
