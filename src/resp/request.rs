//! Requests out of bytes: multibulk and inline, in place, resumable after any byte.
//!
//! ```text
//!   query buffer   *2\r\n $3\r\n GET\r\n $3\r\n key\r\n *1\r\n $4\r\n PI        <- more to come
//!   spans                      ^-^            ^-^                ^ request 2 begins here
//! ```
//!
//! Arguments are ranges of the query buffer: parsing copies and allocates nothing per argument.
//! The exception pays for itself: an argument of [`BIG`] bytes or more whose end has not arrived is
//! read straight into the allocation that will be the stored value.
//!
//! Invariant: all positions are relative to the first byte of the request being parsed, so the
//! caller may move the unparsed rest of a buffer anywhere as long as it begins at that byte.
//!
//! Mirrors: `processMultibulkBuffer` and `processInlineBuffer` of networking.c. Differs: Redis makes
//! an object per argument here; we make one when a value is stored.

use std::fmt;
use std::io;

use crate::collections::shared::BigStr;
use crate::resp::argv::{Argv, Span};
use crate::util::args;
use crate::util::num::parse_i64;

/// Arguments from this size on get an allocation of their own when they arrive in pieces.
pub const BIG: usize = 32 * 1024;
/// Bytes of a big argument read at a time.
pub const ARRIVING_READ: usize = 256 * 1024;
/// The buffer every client's bytes are read into.
pub const READ_BUFFER: usize = 64 * 1024;
/// Arguments whose spans a request keeps room for when the next one is parsed into it.
const SPANS_KEPT: usize = 1024;
/// The longest inline request, and the longest line that holds a count.
const INLINE_MAX: usize = 64 * 1024;
/// Bounds for clients that have not authenticated.
const UNAUTHENTICATED_MULTIBULK: i64 = 10;
const UNAUTHENTICATED_BULK: i64 = 16 * 1024;

/// The limits on a peer's requests.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `proto-max-bulk-len`, in bytes.
    pub max_bulk: u64,
    /// Whether authentication is still owed, which narrows all limits.
    pub unauthenticated: bool,
    /// Requests must lie whole in the buffer, because their bytes are propagated as they came.
    pub in_place: bool,
}

/// A violation of the protocol, in Redis's words (`ERR Protocol error: …`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// An inline request without end.
    InlineTooBig,
    /// A count of arguments without end.
    MultibulkCountTooBig,
    /// A length of an argument without end.
    BulkCountTooBig,
    /// Not a number of arguments.
    InvalidMultibulk,
    /// Too many arguments before authentication.
    UnauthenticatedMultibulk,
    /// Something other than `$`.
    ExpectedDollar(u8),
    /// Not a length, or above `proto-max-bulk-len`.
    InvalidBulk,
    /// Too long an argument before authentication.
    UnauthenticatedBulk,
    /// Inline quotes that do not close.
    UnbalancedQuotes,
    /// Other bytes in the place of a `\r\n`. A parser that reads on at a place the peer did not mean may take a value
    /// for a request.
    InvalidLineBreak,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProtocolError::InlineTooBig => "too big inline request",
            ProtocolError::MultibulkCountTooBig => "too big mbulk count string",
            ProtocolError::BulkCountTooBig => "too big bulk count string",
            ProtocolError::InvalidMultibulk => "invalid multibulk length",
            ProtocolError::UnauthenticatedMultibulk => "unauthenticated multibulk length",
            ProtocolError::InvalidBulk => "invalid bulk length",
            ProtocolError::UnauthenticatedBulk => "unauthenticated bulk length",
            ProtocolError::UnbalancedQuotes => "unbalanced quotes in request",
            ProtocolError::InvalidLineBreak => "invalid CRLF in request",
            ProtocolError::ExpectedDollar(got) => {
                let got = if (0x20..0x7f).contains(got) {
                    *got as char
                } else {
                    '?'
                };
                return write!(f, "expected '$', got '{got}'");
            }
        })
    }
}

/// One whole request: its arguments, and where the next one begins.
#[derive(Debug, Default)]
pub struct Request {
    spans: Vec<Span>,
    bigs: Vec<BigStr>,
    /// The unescaped words of an inline request; empty for multibulk ones.
    inline: Option<Vec<u8>>,
    /// Bytes from its first to the next request's first.
    pub len: usize,
}

impl Request {
    /// The arguments, given the buffer that begins with the request's first byte.
    #[inline]
    pub fn argv<'a>(&'a self, buf: &'a [u8]) -> Argv<'a> {
        crate::resp::argv::Argv::new(
            self.inline.as_deref().unwrap_or(buf),
            &self.spans,
            &self.bigs,
        )
    }

    /// Whether it was an inline request.
    pub fn is_inline(&self) -> bool {
        self.inline.is_some()
    }

    /// Bytes of its big arguments, which are in no query buffer.
    pub fn big_bytes(&self) -> usize {
        self.bigs.iter().map(BigStr::len).sum()
    }

    /// After it ran: lets go of its big arguments, which may be stored values now, and of room that
    /// few requests need.
    #[inline]
    pub fn release(&mut self) {
        if !self.bigs.is_empty() || self.spans.capacity() > SPANS_KEPT {
            *self = Request::default();
        }
    }

    fn clear(&mut self) {
        self.spans.clear();
        self.bigs.clear();
        self.inline = None;
        self.len = 0;
    }
}

#[derive(Debug)]
struct Arriving {
    string: BigStr,
    len: usize,
}

/// The result of parsing.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The request is whole.
    Request,
    /// More bytes are needed.
    Incomplete,
    /// The peer does not speak the protocol; nothing after this point can be understood.
    Error(ProtocolError),
}

/// The parser of one connection; remembers where it stopped.
#[derive(Debug, Default)]
pub struct Parser {
    /// Next byte to look at.
    pos: usize,
    /// Arguments still to come; -1 when the request has not begun.
    missing: Option<i64>,
    /// Length of the argument being read.
    bulk: Option<usize>,
    arriving: Option<Arriving>,
}

/// The number of a header line, if it is one, and where the next line begins.
type Header = (Option<i64>, usize);

impl Parser {
    /// Whether part of a request was parsed already.
    pub fn in_request(&self) -> bool {
        self.missing.is_some()
    }

    /// Bytes of finished arguments of the request being parsed (`argv-mem`).
    pub fn parsed_bytes(&self, request: &Request) -> usize {
        let spans: usize = request
            .spans
            .iter()
            .filter(|s| !s.is_big())
            .map(|s| s.len())
            .sum();
        let bigs: usize = request.bigs.iter().map(BigStr::len).sum();
        spans + bigs + self.arriving.as_ref().map_or(0, |a| a.string.len())
    }

    /// Bytes of the buffer this parser has finished with but keeps for its arguments.
    pub fn position(&self) -> usize {
        self.pos
    }

    /// The big argument under way: how many bytes it still lacks.
    pub fn arriving(&self) -> Option<usize> {
        self.arriving.as_ref().map(|a| a.len - a.string.len())
    }

    /// Bytes of the big argument under way, and room for more of it.
    pub fn arriving_bytes(&self) -> (usize, usize) {
        self.arriving.as_ref().map_or((0, 0), |a| {
            let len = a.string.len();
            (len, a.string.capacity() - len)
        })
    }

    /// Gives up room reserved for the rest of a big argument; it is reserved anew as the rest arrives.
    pub fn shrink_arriving(&mut self) {
        if let Some(arriving) = &mut self.arriving {
            arriving.string.make_mut().shrink_to_fit();
        }
    }

    /// Reads from a peer straight into the big argument; returns the bytes read.
    pub fn read_arriving(&mut self, source: &mut impl io::Read) -> io::Result<usize> {
        match &mut self.arriving {
            Some(arriving) => {
                let missing = arriving.len - arriving.string.len();
                let mut string = arriving.string.make_mut();
                // There is room from the start, unless the cron took it.
                let reserved = string.reserve_exact(missing);
                reserved.map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
                string.read_from(source, missing.min(ARRIVING_READ))
            }
            None => Ok(0),
        }
    }

    /// Gives bytes that follow the part already parsed to the big argument; returns how many it took.
    pub fn feed_arriving(&mut self, bytes: &[u8]) -> usize {
        let Some(arriving) = &mut self.arriving else {
            return 0;
        };
        let taken = bytes.len().min(arriving.len - arriving.string.len());
        // Within the capacity reserved at the start, so it cannot fail.
        match arriving
            .string
            .make_mut()
            .extend_from_slice(&bytes[..taken])
        {
            Ok(()) => taken,
            Err(_) => 0,
        }
    }

    /// Parses on. `buf` begins with the request's first byte; a finished request is in `request`,
    /// whose `len` says how much of `buf` it took. O(new bytes).
    ///
    /// When a big argument begins, [`Parser::arriving`] answers and the caller moves what follows
    /// [`Parser::position`] into it with [`Parser::feed_arriving`].
    pub fn parse(&mut self, buf: &[u8], limits: Limits, request: &mut Request) -> Parsed {
        if self.missing.is_none() {
            request.clear();
            match buf.first() {
                None => return Parsed::Incomplete,
                Some(b'*') => {}
                Some(_) => return self.inline(buf, request),
            }
            let (count, next) = match self.header(buf, ProtocolError::MultibulkCountTooBig) {
                Ok(Some(header)) => header,
                Ok(None) => return Parsed::Incomplete,
                Err(error) => return Parsed::Error(error),
            };
            let count = match count {
                Some(n) if n <= i32::MAX as i64 => n,
                _ => return Parsed::Error(ProtocolError::InvalidMultibulk),
            };
            if count > UNAUTHENTICATED_MULTIBULK && limits.unauthenticated {
                return Parsed::Error(ProtocolError::UnauthenticatedMultibulk);
            }
            self.missing = Some(count.max(0));
            self.pos = next;
        }
        match self.arguments(buf, limits, request) {
            Ok(true) => {
                request.len = self.pos;
                self.pos = 0;
                self.missing = None;
                Parsed::Request
            }
            Ok(false) => Parsed::Incomplete,
            Err(error) => Parsed::Error(error),
        }
    }

    fn arguments(
        &mut self,
        buf: &[u8],
        limits: Limits,
        request: &mut Request,
    ) -> Result<bool, ProtocolError> {
        while self.missing.is_some_and(|n| n > 0) {
            if let Some(arriving) = &self.arriving {
                if arriving.string.len() < arriving.len || buf.len() < self.pos + 2 {
                    return Ok(false);
                }
                self.expect_line_break(buf, self.pos)?;
                if let Some(Arriving { string, .. }) = self.arriving.take() {
                    request
                        .spans
                        .push(crate::resp::argv::Span::big(request.bigs.len()));
                    request.bigs.push(string);
                }
                self.argument_done();
                continue;
            }
            let len = match self.bulk {
                Some(len) => len,
                None => {
                    let Some(&first) = buf.get(self.pos) else {
                        return Ok(false);
                    };
                    let header = self.header(buf, ProtocolError::BulkCountTooBig)?;
                    let Some((len, next)) = header else {
                        return Ok(false);
                    };
                    if first != b'$' {
                        return Err(ProtocolError::ExpectedDollar(first));
                    }
                    let len = match len {
                        Some(n) if n >= 0 && n as u64 <= limits.max_bulk => n,
                        _ => return Err(ProtocolError::InvalidBulk),
                    };
                    if len > UNAUTHENTICATED_BULK && limits.unauthenticated {
                        return Err(ProtocolError::UnauthenticatedBulk);
                    }
                    self.pos = next;
                    self.bulk = Some(len as usize);
                    len as usize
                }
            };
            if buf.len() - self.pos < len + 2 {
                // Spans hold 32-bit offsets, so whatever would leave them is kept apart as well.
                if self.pos > u32::MAX as usize / 2 && limits.in_place {
                    return Err(ProtocolError::InvalidBulk);
                }
                if !limits.in_place && len >= BIG && buf.len() - self.pos <= len
                    || self.pos > u32::MAX as usize / 2
                {
                    let string =
                        BigStr::try_with_capacity(len).map_err(|_| ProtocolError::InvalidBulk)?;
                    self.arriving = Some(Arriving { string, len });
                }
                return Ok(false);
            }
            self.expect_line_break(buf, self.pos + len)?;
            request
                .spans
                .push(crate::resp::argv::Span::new(self.pos, len));
            self.pos += len;
            self.argument_done();
        }
        Ok(true)
    }

    /// Steps over the line break behind an argument.
    fn argument_done(&mut self) {
        self.pos += 2;
        self.bulk = None;
        self.missing = self.missing.map(|n| n - 1);
    }

    #[inline]
    fn expect_line_break(&self, buf: &[u8], at: usize) -> Result<(), ProtocolError> {
        match buf.get(at..at + 2) {
            Some(b"\r\n") => Ok(()),
            _ => Err(ProtocolError::InvalidLineBreak),
        }
    }

    /// The number in the line that begins at `self.pos`, `None` if it is none, and where the next line begins. Answers
    /// `Ok(None)` until the line is whole. Nearly all lines are `*3\r\n` or `$16\r\n`: one or two digits.
    #[inline(always)]
    fn header(&self, buf: &[u8], too_big: ProtocolError) -> Result<Option<Header>, ProtocolError> {
        let digit = |byte: u8| i64::from(byte - b'0');
        match buf[self.pos..] {
            [_, d @ b'0'..=b'9', b'\r', b'\n', ..] => Ok(Some((Some(digit(d)), self.pos + 4))),
            [_, t @ b'1'..=b'9', d @ b'0'..=b'9', b'\r', b'\n', ..] => {
                Ok(Some((Some(10 * digit(t) + digit(d)), self.pos + 5)))
            }
            _ => self.long_header(buf, too_big),
        }
    }

    /// As [`Parser::header`], for a line of any length.
    #[inline(never)]
    fn long_header(
        &self,
        buf: &[u8],
        too_big: ProtocolError,
    ) -> Result<Option<Header>, ProtocolError> {
        let line = self.line(buf, too_big)?;
        // A line may be empty, and then has no number.
        Ok(line.map(|line| {
            let number = buf.get(self.pos + 1..line).and_then(parse_i64);
            (number, line + 2)
        }))
    }

    /// Where the line that begins at `self.pos` ends: the position of its `\r\n`.
    fn line(&self, buf: &[u8], too_big: ProtocolError) -> Result<Option<usize>, ProtocolError> {
        let rest = &buf[self.pos..];
        match rest.iter().take(INLINE_MAX + 1).position(|&b| b == b'\r') {
            Some(at) if at + 1 < rest.len() => {
                self.expect_line_break(rest, at)?;
                Ok(Some(self.pos + at))
            }
            Some(_) => Ok(None),
            None if rest.len() > INLINE_MAX => Err(too_big),
            None => Ok(None),
        }
    }

    fn inline(&mut self, buf: &[u8], request: &mut Request) -> Parsed {
        let Some(end) = buf.iter().take(INLINE_MAX + 1).position(|&b| b == b'\n') else {
            return if buf.len() > INLINE_MAX {
                Parsed::Error(ProtocolError::InlineTooBig)
            } else {
                Parsed::Incomplete
            };
        };
        let line = buf[..end].strip_suffix(b"\r").unwrap_or(&buf[..end]);
        let Ok(words) = args::split(line) else {
            return Parsed::Error(ProtocolError::UnbalancedQuotes);
        };
        let mut bytes = Vec::with_capacity(line.len());
        for word in &words {
            request
                .spans
                .push(crate::resp::argv::Span::new(bytes.len(), word.len()));
            bytes.extend_from_slice(word);
        }
        request.inline = Some(bytes);
        request.len = end + 1;
        Parsed::Request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        max_bulk: 512 << 20,
        unauthenticated: false,
        in_place: false,
    };

    #[test]
    fn an_empty_line_in_the_place_of_a_length_is_an_error() {
        assert_eq!(
            all(b"*1\r\n\r\n", 7),
            Err(ProtocolError::ExpectedDollar(b'\r'))
        );
        assert!(all(b"*\r\n", 3).is_err());
    }

    fn all(bytes: &[u8], step: usize) -> Result<Vec<Vec<Vec<u8>>>, ProtocolError> {
        let mut parser = Parser::default();
        let mut request = Request::default();
        let mut buf = Vec::new();
        let mut found = Vec::new();
        for chunk in bytes.chunks(step) {
            let mut chunk = chunk;
            let fed = parser.feed_arriving(chunk);
            chunk = &chunk[fed..];
            buf.extend_from_slice(chunk);
            loop {
                match parser.parse(&buf, LIMITS, &mut request) {
                    Parsed::Request => {
                        let argv = request.argv(&buf);
                        found.push((0..argv.len()).map(|i| argv.get(i).to_vec()).collect());
                        buf.drain(..request.len);
                    }
                    Parsed::Incomplete => {
                        if parser.arriving().is_some_and(|n| n > 0) {
                            let rest = buf.split_off(parser.position());
                            let fed = parser.feed_arriving(&rest);
                            buf.extend_from_slice(&rest[fed..]);
                            if fed > 0 && parser.arriving() == Some(0) {
                                continue;
                            }
                        }
                        break;
                    }
                    Parsed::Error(error) => return Err(error),
                }
            }
        }
        Ok(found)
    }

    #[test]
    fn any_split_of_the_bytes_gives_the_same_requests() {
        let mut bytes =
            b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\nPING \"a b\"\r\n\r\n*0\r\n*-1\r\n".to_vec();
        bytes.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$40000\r\n");
        bytes.extend_from_slice(&vec![b'v'; 40000]);
        bytes.extend_from_slice(b"\r\n*1\r\n$4\r\nPING\r\n");
        let whole = all(&bytes, bytes.len()).unwrap();
        assert_eq!(whole.len(), 7);
        assert_eq!(whole[1], [b"PING".to_vec(), b"a b".to_vec()]);
        assert_eq!(whole[5][2].len(), 40000);
        for step in [1, 2, 3, 7, 1000, 33000, 40010] {
            assert_eq!(all(&bytes, step).unwrap(), whole, "step {step}");
        }
    }

    #[test]
    fn violations_are_named_as_redis_names_them() {
        let error = |bytes: &[u8]| all(bytes, bytes.len()).unwrap_err().to_string();
        assert_eq!(
            error(b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n"),
            "expected '$', got 'f'"
        );
        assert_eq!(
            error(b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$-10\r\n"),
            "invalid bulk length"
        );
        assert_eq!(
            error(b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$2000000000\r\n"),
            "invalid bulk length"
        );
        assert_eq!(error(b"*20000000000\r\n"), "invalid multibulk length");
        for broken in [
            &b"*1\r\n$4\r\nPINGxx"[..],
            b"*1\r\n$4\r\nPING\n\r",
            b"*1\rx$4\r\nPING\r\n",
            b"*1\r\n$4\rxPING\r\n",
        ] {
            assert_eq!(error(broken), "invalid CRLF in request", "{broken:?}");
        }
        let mut big = b"*1\r\n$40000\r\n".to_vec();
        big.extend_from_slice(&vec![b'v'; 40000]);
        big.extend_from_slice(b"xx*1\r\n$4\r\nPING\r\n");
        for step in [100, big.len()] {
            let error = all(&big, step).unwrap_err();
            assert_eq!(error, ProtocolError::InvalidLineBreak, "step {step}");
        }
        assert_eq!(error(b"set \"foo\r\n"), "unbalanced quotes in request");
        assert_eq!(error(&vec![b'x'; 70000]), "too big inline request");
        let mut long = b"*".to_vec();
        long.extend(vec![b'1'; 70000]);
        assert_eq!(error(&long), "too big mbulk count string");
    }
}
