//! The arguments of a request: a typed cursor over its words.
//!
//! ```text
//!   Argv    buf + spans     [SET][key][value]            Copy: three references
//!   Args    Argv + next              ^                   key()? integer()? word("NX") …
//!   OwnedArgv               the same, owning its bytes   queued, blocked, propagated commands
//! ```
//!
//! Mirrors: `c->argv` and the `get*FromObjectOrReply` family of object.c.
//! Differs: a cursor that is moved by reading, instead of an index into `c->argv` in every handler.

use crate::command::Result;
use crate::keyspace::NewValue;
use crate::resp::Error;
use crate::resp::argv::Argv;
use crate::util::num;

/// A cursor over the arguments behind the command's name.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    argv: Argv<'a>,
    next: usize,
}

impl<'a> Args<'a> {
    /// Starts behind the first `names` words.
    #[inline]
    pub fn new(argv: Argv<'a>, names: usize) -> Self {
        Args { argv, next: names }
    }

    /// The whole request.
    pub fn argv(&self) -> Argv<'a> {
        self.argv
    }

    /// Position of the next argument in the request.
    pub fn position(&self) -> usize {
        self.next
    }

    /// How many arguments are left.
    #[inline]
    pub fn len(&self) -> usize {
        self.argv.len().saturating_sub(self.next)
    }

    /// Whether none is left.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next argument, when there is one, without taking it.
    pub fn peek(&self) -> Option<&'a [u8]> {
        (!self.is_empty()).then(|| self.argv.get(self.next))
    }

    /// Takes the next argument: any bytes. A missing one is a syntax error.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        self.next().ok_or(Error::Syntax)
    }

    /// Takes a key.
    #[inline]
    pub fn key(&mut self) -> Result<&'a [u8]> {
        self.bytes()
    }

    /// Takes a value to store.
    #[inline]
    pub fn value(&mut self) -> Result<NewValue<'a>> {
        let at = self.next;
        self.bytes()?;
        Ok(self.argv.value(at))
    }

    /// Takes a 64-bit integer.
    pub fn integer(&mut self) -> Result<i64> {
        num::parse_i64(self.bytes()?).ok_or(Error::NotInteger)
    }

    /// Takes the cursor of SCAN and its kin, as `strtoull` reads a number: white space, a sign and zeros may stand before
    /// it.
    #[doc(alias = "parseScanCursorOrReply")]
    pub fn cursor(&mut self) -> Result<u64> {
        let word = self.bytes()?;
        let skipped = word
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace() || **byte == 0x0b);
        let number = &word[skipped.count()..];
        let cursor = match number.strip_prefix(b"-") {
            // A negative number stands for its complement, but is refused if it fits 64 bits with its sign.
            Some([b'0'..=b'9', ..]) => match num::parse_i64(number) {
                Some(..0) => None,
                _ => num::parse_u64(&number[1..]).map(u64::wrapping_neg),
            },
            _ => num::parse_u64(number),
        };
        cursor.ok_or_else(|| Error::once("invalid cursor"))
    }

    /// Takes an integer with an error of its own.
    pub fn integer_or(&mut self, error: Error) -> Result<i64> {
        num::parse_i64(self.bytes()?).ok_or(error)
    }

    /// Takes an integer within bounds; outside them the error names them.
    pub fn integer_within(&mut self, min: i64, max: i64) -> Result<i64> {
        let n = self.integer()?;
        if (min..=max).contains(&n) {
            return Ok(n);
        }
        Err(Error::once(format!(
            "value is out of range, value must between {min} and {max}"
        )))
    }

    /// Takes a count that may not be negative.
    pub fn positive(&mut self) -> Result<i64> {
        let n = self.integer().map_err(|_| POSITIVE)?;
        if n >= 0 { Ok(n) } else { Err(POSITIVE) }
    }

    /// Takes a floating-point number.
    pub fn float(&mut self) -> Result<f64> {
        num::parse_f64(self.bytes()?).ok_or(Error::NotFloat)
    }

    /// Takes the next argument if it is this word, in any case.
    #[inline]
    pub fn word(&mut self, word: &str) -> bool {
        let found = self
            .peek()
            .is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
        self.next += usize::from(found);
        found
    }

    /// Takes the next argument if it is this word and at least `more` arguments follow it.
    pub fn word_with(&mut self, word: &str, more: usize) -> bool {
        self.len() > more && self.word(word)
    }

    /// Takes `n` arguments at once; fewer are a syntax error.
    pub fn take(&mut self, n: usize) -> Result<Args<'a>> {
        if self.len() < n {
            return Err(Error::Syntax);
        }
        let spans = &self.argv.spans[..self.next + n];
        let taken = Args {
            argv: Argv { spans, ..self.argv },
            next: self.next,
        };
        self.next += n;
        Ok(taken)
    }

    /// Checks that no argument is left; otherwise a syntax error.
    pub fn end(&self) -> Result {
        if self.is_empty() {
            Ok(())
        } else {
            Err(Error::Syntax)
        }
    }

    /// Checks that at most this many arguments are left, for a subcommand whose declared arity has no upper end.
    pub fn at_most(&self, count: usize) -> Result {
        match self.len() > count {
            true => Err(self.wrong_subcommand()),
            false => Ok(()),
        }
    }

    /// The error for a subcommand that has a wrong number of arguments or words that it does not know:
    /// `unknown subcommand or wrong number of arguments for 'genpass'. Try ACL HELP.`
    #[doc(alias = "addReplySubcommandSyntaxError")]
    pub fn wrong_subcommand(&self) -> Error {
        let asked = self.argv.get(1);
        let container = String::from_utf8_lossy(self.argv.get(0)).to_uppercase();
        Error::quoting(
            "ERR unknown subcommand or wrong number of arguments for '",
            &asked[..asked.len().min(128)],
            &format!("'. Try {container} HELP."),
        )
    }
}

impl<'a> Iterator for Args<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let arg = self.peek()?;
        self.next += 1;
        Some(arg)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

const POSITIVE: Error = Error::Once(std::borrow::Cow::Borrowed(
    "value is out of range, must be positive",
));
/// Arguments that neither MONITOR nor the slow log may show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redacted(u64);

impl Redacted {
    /// Positions from this one on share one bit.
    const LAST: usize = 63;

    /// Whether the argument at a position (the command's name is 0) holds a secret.
    pub fn has(self, position: usize) -> bool {
        self.0 >> position.min(Self::LAST) & 1 != 0
    }

    /// Marks one.
    pub fn add(&mut self, position: usize) {
        self.0 |= 1 << position.min(Self::LAST);
    }
}
