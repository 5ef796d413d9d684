//! The language of VSIM's FILTER: an expression over the attributes of an element.
//!
//! ```text
//!   .year >= 1980 and .genre in ["action", "drama"]
//!
//!   compiled once:   .year 1980 >=  .genre [..] in  and        values first, operators after their operands
//!   run per element: each value is pushed, each operator takes one or two and pushes one
//! ```
//!
//! | from tightest to loosest | |
//! |---|---|
//! | `( )`, `! not`, `**` (right to left), `* / %`, `+ -` | text in arithmetic is the number it spells, else 0 |
//! | `> >= < <= == != in` | `in`: an element of a tuple, or a part of a text |
//! | `and &&`, `or \|\|` | both sides are evaluated |
//!
//! `.name` is the value of a top-level key of the attributes, which are JSON: a number, a text, a boolean as 1 or 0, null,
//! or a tuple of those. If the key is missing, or holds anything else, the element does not match, whatever the rest of
//! the expression says.
//!
//! Mirrors: expr.c and fastjson.c. Differs: arrays in attributes may be nested 32 deep, not without a bound.

use std::borrow::Cow;

use crate::sys::bytes;
use crate::util::num;

/// How deep arrays in attributes may be nested.
const MAX_DEPTH: usize = 32;
/// The longest number in an expression or in attributes, in bytes; and the longest text that is tried as one.
const MAX_NUMBER: usize = 255;

#[derive(Debug, Clone, PartialEq)]
enum Value<'a> {
    Number(f64),
    Text(Cow<'a, [u8]>),
    Tuple(Vec<Value<'a>>),
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Open,
    Close,
    Not,
    Pow,
    Mul,
    Div,
    Mod,
    Add,
    Sub,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    Equal,
    NotEqual,
    In,
    And,
    Or,
}

/// Words and what they mean.
const OPERATORS: &[(&str, Op)] = &[
    ("(", Op::Open),
    (")", Op::Close),
    ("!", Op::Not),
    ("not", Op::Not),
    ("**", Op::Pow),
    ("*", Op::Mul),
    ("/", Op::Div),
    ("%", Op::Mod),
    ("+", Op::Add),
    ("-", Op::Sub),
    (">", Op::Greater),
    (">=", Op::GreaterEqual),
    ("<", Op::Less),
    ("<=", Op::LessEqual),
    ("==", Op::Equal),
    ("!=", Op::NotEqual),
    ("in", Op::In),
    ("and", Op::And),
    ("&&", Op::And),
    ("or", Op::Or),
    ("||", Op::Or),
];

impl Op {
    fn precedence(self) -> u8 {
        match self {
            Op::Open | Op::Close => 7,
            Op::Not => 6,
            Op::Pow => 5,
            Op::Mul | Op::Div | Op::Mod => 4,
            Op::Add | Op::Sub => 3,
            Op::Greater | Op::GreaterEqual | Op::Less | Op::LessEqual => 2,
            Op::Equal | Op::NotEqual | Op::In => 2,
            Op::And => 1,
            Op::Or => 0,
        }
    }

    fn operands(self) -> usize {
        match self {
            Op::Open | Op::Close => 0,
            Op::Not => 1,
            _ => 2,
        }
    }
}

#[derive(Debug, Clone)]
enum Token {
    Value(Value<'static>),
    Selector(Vec<u8>),
    Op(Op),
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Filter {
    program: Vec<Token>,
    /// Bytes of the expression, and how many of its words name a key of the attributes.
    length: u64,
    selectors: u64,
}

impl Filter {
    /// Compiles an expression; the error is the position of the fault, 0 if it lies in no word. O(length).
    #[doc(alias = "exprCompile")]
    pub fn compile(text: &[u8]) -> Result<Filter, usize> {
        // Redis sees no further than the first zero byte.
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        let tokens = Tokens { text, at: 0 }.all()?;
        // Redis tells only where words end, not which operator lacks an operand.
        let program = Parser::default().program(tokens).ok_or(0usize)?;
        let selectors = program
            .iter()
            .filter(|token| matches!(token, Token::Selector(_)));
        Ok(Filter {
            length: text.len() as u64,
            selectors: selectors.count() as u64,
            program,
        })
    }

    /// The bytes that [`Filter::matches`] looks at, at most, for attributes of a length: a measure of its cost.
    pub fn effort(&self, attributes: usize) -> u64 {
        let scans = self.selectors.saturating_mul(attributes as u64);
        self.length.saturating_add(scans)
    }

    /// Whether an element with these attributes matches. O(expression + attributes · selectors).
    #[doc(alias = "exprRun")]
    pub fn matches(&self, attributes: &[u8]) -> bool {
        let mut stack: Vec<Cow<'_, Value<'_>>> = Vec::with_capacity(8);
        for token in &self.program {
            match token {
                Token::Value(value) => stack.push(Cow::Borrowed(value)),
                Token::Selector(name) => match Json::field(attributes, name) {
                    Some(value) => stack.push(Cow::Owned(value)),
                    None => return false,
                },
                Token::Op(op) => {
                    // Compiling saw to it that there are enough.
                    let Some(right) = stack.pop() else {
                        return false;
                    };
                    let left = match op.operands() {
                        2 => stack.pop(),
                        _ => Some(Cow::Owned(Value::Null)),
                    };
                    let Some(left) = left else {
                        return false;
                    };
                    stack.push(Cow::Owned(Value::Number(run(*op, &left, &right))));
                }
            }
        }
        stack.pop().is_some_and(|value| value.truth())
    }
}

fn run(op: Op, left: &Value<'_>, right: &Value<'_>) -> f64 {
    let (a, b) = (|| left.number(), || right.number());
    let yes = |yes: bool| f64::from(u8::from(yes));
    match op {
        Op::Open | Op::Close => 0.0,
        Op::Not => yes(!right.truth()),
        Op::Pow => a().powf(b()),
        Op::Mul => a() * b(),
        Op::Div => a() / b(),
        Op::Mod => a() % b(),
        Op::Add => a() + b(),
        Op::Sub => a() - b(),
        Op::Greater => yes(a() > b()),
        Op::GreaterEqual => yes(a() >= b()),
        Op::Less => yes(a() < b()),
        Op::LessEqual => yes(a() <= b()),
        Op::Equal => yes(left.equals(right)),
        Op::NotEqual => yes(!left.equals(right)),
        Op::In => yes(match (left, right) {
            (_, Value::Tuple(items)) => {
                let number = left.number();
                items.iter().any(|item| left.equals_as(number, item))
            }
            (Value::Text(part), Value::Text(whole)) => bytes::position(whole, part).is_some(),
            _ => false,
        }),
        Op::And => yes(left.truth() && right.truth()),
        Op::Or => yes(left.truth() || right.truth()),
    }
}

impl Value<'_> {
    #[doc(alias = "exprTokenToNum")]
    fn number(&self) -> f64 {
        match self {
            Value::Number(number) => *number,
            Value::Text(text) if text.len() <= MAX_NUMBER => {
                num::parse_f64(text.trim_ascii_start()).unwrap_or(0.0)
            }
            _ => 0.0,
        }
    }

    #[doc(alias = "exprTokenToBool")]
    fn truth(&self) -> bool {
        match self {
            Value::Number(number) => *number != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::Tuple(_) => true,
            Value::Null => false,
        }
    }

    #[doc(alias = "exprTokensEqual")]
    fn equals(&self, other: &Value<'_>) -> bool {
        self.equals_as(self.number(), other)
    }

    /// As [`Value::equals`], with the value's own number read already: a tuple may hold many to compare with.
    fn equals_as(&self, number: f64, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::Null, Value::Null) => true,
            (Value::Null, _) | (_, Value::Null) => false,
            (_, other) => number == other.number(),
        }
    }
}

/// Operators on their way behind their operands.
#[derive(Debug, Default)]
struct Parser {
    program: Vec<Token>,
    operators: Vec<Op>,
    /// Values there would be on the stack by now.
    items: usize,
}

impl Parser {
    /// The program of an expression, unless an operator lacks an operand or a parenthesis its other half.
    fn program(mut self, tokens: Vec<Token>) -> Option<Vec<Token>> {
        for token in tokens {
            match token {
                Token::Op(op) => self.operator(op)?,
                value => {
                    self.items += 1;
                    self.program.push(value);
                }
            }
        }
        while let Some(op) = self.operators.pop() {
            if op == Op::Open {
                return None;
            }
            self.emit(op)?;
        }
        (self.items == 1).then_some(self.program)
    }

    fn emit(&mut self, op: Op) -> Option<()> {
        self.items = (self.items + 1).checked_sub(op.operands())?;
        // The items that were there before must have been operands.
        (self.items > 0).then(|| self.program.push(Token::Op(op)))
    }

    #[doc(alias = "exprProcessOperator")]
    fn operator(&mut self, op: Op) -> Option<()> {
        match op {
            Op::Open => self.operators.push(op),
            Op::Close => loop {
                match self.operators.pop()? {
                    Op::Open => break,
                    inner => self.emit(inner)?,
                }
            },
            _ => {
                // An operator on the stack that binds at least as tightly is emitted first; operators that group from
                // the right (`**`, `not`) wait for one another.
                let waits = matches!(op, Op::Pow | Op::Not);
                while let Some(&before) = self.operators.last() {
                    let (mine, other) = (op.precedence(), before.precedence());
                    if before == Op::Open || other < mine || (waits && other == mine) {
                        break;
                    }
                    self.operators.pop();
                    self.emit(before)?;
                }
                self.operators.push(op);
            }
        }
        Some(())
    }
}

/// The words of an expression.
struct Tokens<'t> {
    text: &'t [u8],
    at: usize,
}

impl Tokens<'_> {
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn skip_spaces(&mut self) {
        while is_space(self.peek()) {
            self.at += 1;
        }
    }

    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &[u8] {
        let start = self.at;
        while self.at < self.text.len() && wanted(self.peek()) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    /// All tokens, or the position of the fault.
    #[doc(alias = "exprTokenize")]
    fn all(mut self) -> Result<Vec<Token>, usize> {
        let mut tokens: Vec<Token> = vec![];
        loop {
            self.skip_spaces();
            if self.at == self.text.len() {
                return Ok(tokens);
            }
            // Behind a value, a minus is an operator.
            let may_be_sign = match tokens.last() {
                None => true,
                Some(Token::Op(op)) => *op != Op::Close,
                Some(_) => false,
            };
            let next = self.text.get(self.at + 1).copied().unwrap_or(0);
            let token = match self.peek() {
                b'0'..=b'9' => self.number().map(Token::Value),
                b'-' if may_be_sign && next.is_ascii_digit() => self.number().map(Token::Value),
                b'"' | b'\'' => self.string().map(Token::Value),
                b'.' if is_selector(next) => {
                    self.at += 1;
                    Some(Token::Selector(self.take_while(is_selector).to_vec()))
                }
                b'[' => self.tuple().map(Token::Value),
                byte if is_operator(byte) => self.operator(),
                _ => None,
            };
            match token {
                Some(token) => tokens.push(token),
                None => return Err(self.at),
            }
        }
    }

    #[doc(alias = "exprParseNumber")]
    fn number(&mut self) -> Option<Value<'static>> {
        let start = self.at;
        self.at += usize::from(self.peek() == b'-');
        self.take_while(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E'));
        let text = &self.text[start..self.at];
        if text.len() > MAX_NUMBER {
            return None;
        }
        num::parse_f64(text).map(Value::Number)
    }

    #[doc(alias = "exprParseString")]
    fn string(&mut self) -> Option<Value<'static>> {
        let quote = self.peek();
        self.at += 1;
        let mut text = vec![];
        while self.at < self.text.len() {
            match self.peek() {
                b'\\' if self.at + 1 < self.text.len() => {
                    self.at += 1;
                    text.push(unescaped(self.peek()));
                }
                byte if byte == quote => {
                    self.at += 1;
                    return Some(Value::Text(Cow::Owned(text)));
                }
                byte => text.push(byte),
            }
            self.at += 1;
        }
        None
    }

    #[doc(alias = "exprParseTuple")]
    fn tuple(&mut self) -> Option<Value<'static>> {
        self.at += 1;
        let mut items = vec![];
        loop {
            self.skip_spaces();
            match self.peek() {
                b']' => break,
                b'0'..=b'9' | b'-' => items.push(self.number()?),
                b'"' | b'\'' => items.push(self.string()?),
                _ => return None,
            }
            self.skip_spaces();
            match self.peek() {
                b']' => break,
                b',' => self.at += 1,
                _ => return None,
            }
        }
        self.at += 1;
        Some(Value::Tuple(items))
    }

    /// The longest operator that the text begins with, or the word `null`.
    #[doc(alias = "exprParseOperatorOrLiteral")]
    fn operator(&mut self) -> Option<Token> {
        let start = self.at;
        // No word is longer than four bytes. Looking at all that could be part of one would take the square of the
        // length of `((((…`.
        let rest = &self.text[start..self.text.len().min(start + 5)];
        let len = rest.iter().take_while(|byte| is_operator(**byte)).count();
        let word = &rest[..len];
        if word == b"null" {
            self.at += len;
            return Some(Token::Value(Value::Null));
        }
        let fitting = OPERATORS
            .iter()
            .filter(|(name, _)| word.starts_with(name.as_bytes()));
        let Some((name, op)) = fitting.max_by_key(|(name, _)| name.len()) else {
            // The fault is where the word ends.
            self.take_while(is_operator);
            return None;
        };
        self.at = start + name.len();
        Some(Token::Op(*op))
    }
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0B
}

fn is_selector(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn is_operator(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || b"+-*%/!()<>=|&".contains(&byte)
}

/// The byte that stands behind a backslash.
fn unescaped(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        other => other,
    }
}

/// A walk through attributes.
struct Json<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Json<'a> {
    /// The value of a key of the outermost object.
    #[doc(alias = "jsonExtractField")]
    fn field(text: &'a [u8], name: &[u8]) -> Option<Value<'a>> {
        let mut json = Json { text, at: 0 };
        json.expect(b'{')?;
        loop {
            json.skip_spaces();
            let start = json.at + 1;
            json.skip_string()?;
            let is_it = text.get(start..json.at - 1) == Some(name);
            json.expect(b':')?;
            json.skip_spaces();
            if is_it {
                return json.value(0);
            }
            json.skip_value()?;
            json.expect(b',')?;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
    }

    /// Takes this byte, white space before it.
    fn expect(&mut self, byte: u8) -> Option<()> {
        self.skip_spaces();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn skip_string(&mut self) -> Option<()> {
        if self.peek()? != b'"' {
            return None;
        }
        self.at += 1;
        loop {
            match self.peek()? {
                b'\\' => self.at += 2,
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                _ => self.at += 1,
            }
        }
    }

    fn skip_word(&mut self, word: &[u8]) -> Option<()> {
        let found = self.text[self.at..].starts_with(word);
        found.then(|| self.at += word.len())
    }

    fn skip_number(&mut self) -> &'a [u8] {
        let start = self.at;
        while self.peek().is_some_and(|byte| {
            byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')
        }) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    #[doc(alias = "jsonSkipValue")]
    fn skip_value(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.skip_string(),
            b'{' => self.skip_brackets(b'{', b'}'),
            b'[' => self.skip_brackets(b'[', b']'),
            b't' => self.skip_word(b"true"),
            b'f' => self.skip_word(b"false"),
            b'n' => self.skip_word(b"null"),
            _ => (!self.skip_number().is_empty()).then_some(()),
        }
    }

    /// Skips an object or array by counting brackets of its own kind.
    fn skip_brackets(&mut self, open: u8, close: u8) -> Option<()> {
        let mut depth = 0u64;
        loop {
            match self.peek()? {
                b'"' => {
                    self.skip_string()?;
                    continue;
                }
                byte if byte == open => depth += 1,
                byte if byte == close => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }

    #[doc(alias = "jsonParseValueToken")]
    fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        self.skip_spaces();
        match self.peek()? {
            b'"' => self.string(),
            b'[' if depth < MAX_DEPTH => self.array(depth + 1),
            b't' => self.literal(b"true", Value::Number(1.0)),
            b'f' => self.literal(b"false", Value::Number(0.0)),
            b'n' => self.literal(b"null", Value::Null),
            b'0'..=b'9' | b'-' | b'+' => {
                let text = self.skip_number();
                let number = (text.len() <= MAX_NUMBER).then(|| num::parse_f64(text));
                number.flatten().map(Value::Number)
            }
            _ => None,
        }
    }

    fn literal(&mut self, word: &[u8], value: Value<'a>) -> Option<Value<'a>> {
        self.skip_word(word)?;
        let ends = self
            .peek()
            .is_none_or(|byte| is_space(byte) || matches!(byte, b',' | b']' | b'}'));
        ends.then_some(value)
    }

    fn string(&mut self) -> Option<Value<'a>> {
        let start = self.at + 1;
        self.skip_string()?;
        let raw = self.text.get(start..self.at - 1)?;
        if !raw.contains(&b'\\') {
            return Some(Value::Text(Cow::Borrowed(raw)));
        }
        let (mut text, mut bytes) = (Vec::with_capacity(raw.len()), raw.iter());
        while let Some(byte) = bytes.next() {
            text.push(match byte {
                b'\\' => unescaped(*bytes.next()?),
                other => *other,
            });
        }
        Some(Value::Text(Cow::Owned(text)))
    }

    fn array(&mut self, depth: usize) -> Option<Value<'a>> {
        self.at += 1;
        let mut items = vec![];
        self.skip_spaces();
        if self.peek()? == b']' {
            self.at += 1;
            return Some(Value::Tuple(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.skip_spaces();
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b',' => {}
                b']' => return Some(Value::Tuple(items)),
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(expression: &str, attributes: &str) -> bool {
        let filter = Filter::compile(expression.as_bytes());
        let filter = filter.unwrap_or_else(|at| panic!("{expression}: fault at {at}"));
        filter.matches(attributes.as_bytes())
    }

    #[test]
    fn expressions_say_what_they_mean() {
        let film = r#"{"year": 1984, "rating": 7.5, "title": "The \"Best\"", "tags": ["a", "b", 3],
            "seen": true, "bad": false, "none": null, "deep": {"year": 1}, "num": "12"}"#;
        let yes = [
            ".year == 1984",
            ".year > 1980 and .rating >= 7.5",
            ".year - 1 == 1983",
            ".year -1 == 1983",
            "2 ** 3 ** 2 == 512",
            "-3 + 5 == 2",
            "(1 + 2) * 3 == 9",
            "10 % 4 == 2",
            r#".title == "The \"Best\"""#,
            r#""Best" in .title"#,
            r#""a" in .tags and 3 in .tags and not ("x" in .tags)"#,
            ".seen and !.bad",
            "!!.seen",
            "not not .seen",
            ".none == null",
            ".none != 0",
            ".year in [1983, 1984]",
            "'x' in ['x', \"y\"]",
            ".num == 12",
            ".num * 2 == 24",
            "1 / 0 > 1000",
            ".seen || .bad && .bad",
            "1",
            "'x'",
            ".tags",
            "'' in 'abc'",
        ];
        for expression in yes {
            assert!(matches(expression, film), "{expression}");
        }
        let no = [
            ".year != 1984",
            "0",
            "''",
            "null",
            ".missing",
            // A key that is missing makes all of it false.
            ".missing == 1 or .year == 1984",
            "!.missing",
            ".deep",
            ".deep == 1",
            ".none == 0",
            ".tags == .year",
            "5 in 5",
        ];
        for expression in no {
            assert!(!matches(expression, film), "{expression}");
        }
    }

    #[test]
    fn faults_are_found_when_compiling() {
        let faults = [
            "", "(", ")", "1 +", "+ 1", "1 2", "(1", "1)", ".", "\"x", "[1", "[1 2]", "[x]",
            "1.2.3", "1e", "@", "true", ".a b", "!", "()", "a", "== 1",
        ];
        for expression in faults {
            assert!(
                Filter::compile(expression.as_bytes()).is_err(),
                "{expression}"
            );
        }
        assert_eq!(Filter::compile(b".a > @").map(drop), Err(5));
        assert_eq!(Filter::compile(b".a > (1").map(drop), Err(0));
    }

    /// Texts that a client sends cost no more than their length.
    #[test]
    fn long_expressions_are_no_more_than_long() {
        let many = 1 << 20;
        let deep = format!("{}1{}", "(".repeat(many), ")".repeat(many));
        assert!(matches(&deep, "{}"));
        assert!(matches(&format!("{}1", "!".repeat(many)), "{}"));
        let (part, whole) = ("a".repeat(many / 2), "a".repeat(many));
        assert!(!matches(&format!("'{part}b' in '{whole}'"), "{}"));
        assert!(matches(&format!("'{part}b' in '{whole}b'"), "{}"));
        let filter = Filter::compile(b".a + .b > 1 and 'x' in .a");
        assert_eq!(filter.map(|filter| filter.effort(100)), Ok(25 + 300));
        assert!(matches("null == null", "{}"));
        assert_eq!(Filter::compile(b"nullx + 1").map(drop), Err(5));
        assert_eq!(Filter::compile(b"(((xyz) + 1").map(drop), Err(7));
    }

    /// Attributes are never trusted to be JSON.
    #[test]
    fn attributes_that_are_no_json_match_nothing() {
        let broken = [
            "",
            "{",
            "[]",
            "{\"a\"",
            "{\"a\":",
            "{\"a\": ",
            "{\"a\": \"x",
            "{\"a\": [1,",
            "{\"a\": [1 2]}",
            "{\"a\": tru}",
            "{\"a\": truex}",
            "{\"a\": 1.2.3}",
            "{\"a\\",
            "{\"b\" 1, \"a\": 1}",
            "{a: 1}",
            "{\"b\": {\"x\": 1, \"a\": 1}",
            "{\"b\": \"\\",
            "\0",
        ];
        for attributes in broken {
            assert!(!matches(".a", attributes), "{attributes}");
        }
        let deep = format!("{{\"a\": {}", "[".repeat(100_000));
        assert!(!matches(".a", &deep));
        assert!(matches(".a == 1", "{\"b\": {\"a\": [2]}, \"a\" : 1 , junk"));
    }
}
