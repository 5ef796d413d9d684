//! A reply as it stood on the wire, RESP2 or RESP3, every kind kept apart from every other.

use std::fmt;
use std::io::{self, BufRead, Read};

#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `+`
    Status(Vec<u8>),
    /// `-`
    Error(Vec<u8>),
    /// `:`
    Integer(i64),
    /// `$`
    Bulk(Vec<u8>),
    /// `$-1`
    NilBulk,
    /// `*`
    Array(Vec<Reply>),
    /// `*-1`
    NilArray,
    /// `_`
    Null,
    /// `#`
    Bool(bool),
    /// `,` as it was written
    Double(Vec<u8>),
    /// `(` as it was written
    BigNumber(Vec<u8>),
    /// `!`
    BulkError(Vec<u8>),
    /// `=` with its format and colon
    Verbatim(Vec<u8>),
    /// `%`, flat: key, value, key, value
    Map(Vec<Reply>),
    /// `~`
    Set(Vec<Reply>),
    /// `>`
    Push(Vec<Reply>),
    /// `|`, flat, and the reply it speaks of
    Attribute(Vec<Reply>, Box<Reply>),
}

/// Deeper than any reply of Redis nests.
const MAX_DEPTH: usize = 2000;

impl Reply {
    /// Reads one reply. `InvalidData` when the bytes are not RESP.
    pub fn read(input: &mut impl BufRead) -> io::Result<Reply> {
        Self::read_nested(input, 0)
    }

    fn read_nested(input: &mut impl BufRead, depth: usize) -> io::Result<Reply> {
        if depth > MAX_DEPTH {
            return Err(malformed("nested too deep", b""));
        }
        let line = read_line(input)?;
        let (kind, rest) = line
            .split_first()
            .ok_or_else(|| malformed("empty line", &line))?;
        let mut items = |count: usize| -> io::Result<Vec<Reply>> {
            (0..count)
                .map(|_| Self::read_nested(input, depth + 1))
                .collect()
        };
        Ok(match kind {
            b'+' => Reply::Status(rest.to_vec()),
            b'-' => Reply::Error(rest.to_vec()),
            b':' => Reply::Integer(integer(rest)?),
            b'$' if rest == b"-1" => Reply::NilBulk,
            b'$' => Reply::Bulk(read_bulk(input, length(rest)?)?),
            b'*' if rest == b"-1" => Reply::NilArray,
            b'*' => Reply::Array(items(length(rest)?)?),
            b'_' if rest.is_empty() => Reply::Null,
            b'#' if rest == b"t" => Reply::Bool(true),
            b'#' if rest == b"f" => Reply::Bool(false),
            b',' => Reply::Double(rest.to_vec()),
            b'(' => Reply::BigNumber(rest.to_vec()),
            b'!' => Reply::BulkError(read_bulk(input, length(rest)?)?),
            b'=' => Reply::Verbatim(read_bulk(input, length(rest)?)?),
            b'%' => Reply::Map(items(2 * length(rest)?)?),
            b'~' => Reply::Set(items(length(rest)?)?),
            b'>' => Reply::Push(items(length(rest)?)?),
            b'|' => {
                let attributes = items(2 * length(rest)?)?;
                Reply::Attribute(attributes, Box::new(Self::read_nested(input, depth + 1)?))
            }
            _ => return Err(malformed("no such kind of reply", &line)),
        })
    }

    /// The elements of an array, set or map.
    pub fn items(&self) -> &[Reply] {
        match self {
            Reply::Array(items) | Reply::Set(items) | Reply::Map(items) | Reply::Push(items) => {
                items
            }
            other => panic!("not a collection: {other}"),
        }
    }

    /// The bytes of a bulk, status, error or verbatim reply.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Reply::Status(bytes)
            | Reply::Error(bytes)
            | Reply::Bulk(bytes)
            | Reply::Double(bytes)
            | Reply::BigNumber(bytes)
            | Reply::BulkError(bytes)
            | Reply::Verbatim(bytes) => bytes,
            other => panic!("not a string: {other}"),
        }
    }

    /// As [`Reply::bytes`], for people.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_) | Reply::BulkError(_))
    }

    // The checks that a line of a transcript makes on its reply. Each gives the reply back, so that they chain.

    /// An integer, a bulk string, or an array of such.
    #[track_caller]
    pub fn is(self, expected: impl Into<Reply>) -> Reply {
        let expected = expected.into();
        assert!(self == expected, "\nexpected: {expected}\n     got: {self}");
        self
    }

    #[track_caller]
    pub fn ok(self) -> Reply {
        self.status("OK")
    }

    #[track_caller]
    pub fn status(self, text: &str) -> Reply {
        self.is(Reply::Status(text.into()))
    }

    /// The null of the protocol spoken, whichever of the three it is.
    #[track_caller]
    pub fn nil(self) -> Reply {
        assert!(
            matches!(self, Reply::NilBulk | Reply::NilArray | Reply::Null),
            "\nexpected: nil\n     got: {self}"
        );
        self
    }

    /// An error that begins with `start`: its code, or all of it.
    #[track_caller]
    pub fn error(self, start: &str) -> Reply {
        match &self {
            Reply::Error(text) if text.starts_with(start.as_bytes()) => self,
            _ => panic!("\nexpected: -{start}…\n     got: {self}"),
        }
    }
}

fn read_line(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    input.read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    match line.strip_suffix(b"\r\n") {
        Some(text) => Ok(text.to_vec()),
        None => Err(malformed("line without CRLF", &line)),
    }
}

fn read_bulk(input: &mut impl BufRead, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(len as u64 + 2).read_to_end(&mut bytes)?;
    if bytes.len() < len + 2 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if !bytes.ends_with(b"\r\n") {
        return Err(malformed("bulk without CRLF", &bytes[len..]));
    }
    bytes.truncate(len);
    Ok(bytes)
}

/// Canonical digits only: `:+5` or `$05` is a server's mistake that a lenient client would hide.
fn integer(text: &[u8]) -> io::Result<i64> {
    let number = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse::<i64>().ok());
    number
        .filter(|number| number.to_string().as_bytes() == text)
        .ok_or_else(|| malformed("not an integer", text))
}

fn length(text: &[u8]) -> io::Result<usize> {
    usize::try_from(integer(text)?).map_err(|_| malformed("not a length", text))
}

fn malformed(what: &str, bytes: &[u8]) -> io::Error {
    let shown = bytes[..bytes.len().min(80)].escape_ascii();
    io::Error::new(io::ErrorKind::InvalidData, format!("{what}: {shown}"))
}

impl fmt::Display for Reply {
    /// One line, close to the wire: `+OK`, `:5`, `"bytes"`, `[…]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, open: &str, items: &[Reply], close: &str| {
            f.write_str(open)?;
            for (i, item) in items.iter().enumerate() {
                write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
            }
            f.write_str(close)
        };
        match self {
            Reply::Status(text) => write!(f, "+{}", text.escape_ascii()),
            Reply::Error(text) => write!(f, "-{}", text.escape_ascii()),
            Reply::Integer(number) => write!(f, ":{number}"),
            Reply::Bulk(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Reply::NilBulk => f.write_str("$-1"),
            Reply::Array(items) => list(f, "[", items, "]"),
            Reply::NilArray => f.write_str("*-1"),
            Reply::Null => f.write_str("_"),
            Reply::Bool(value) => write!(f, "#{value}"),
            Reply::Double(text) => write!(f, ",{}", text.escape_ascii()),
            Reply::BigNumber(text) => write!(f, "({}", text.escape_ascii()),
            Reply::BulkError(text) => write!(f, "!\"{}\"", text.escape_ascii()),
            Reply::Verbatim(text) => write!(f, "=\"{}\"", text.escape_ascii()),
            Reply::Map(items) => list(f, "%{", items, "}"),
            Reply::Set(items) => list(f, "~[", items, "]"),
            Reply::Push(items) => list(f, ">[", items, "]"),
            Reply::Attribute(items, reply) => {
                list(f, "|{", items, "}")?;
                write!(f, "{reply}")
            }
        }
    }
}

impl From<i64> for Reply {
    fn from(number: i64) -> Reply {
        Reply::Integer(number)
    }
}

impl From<&str> for Reply {
    fn from(text: &str) -> Reply {
        Reply::Bulk(text.into())
    }
}

impl From<&[u8]> for Reply {
    fn from(bytes: &[u8]) -> Reply {
        Reply::Bulk(bytes.into())
    }
}

impl<T: Into<Reply>, const N: usize> From<[T; N]> for Reply {
    fn from(items: [T; N]) -> Reply {
        Reply::Array(items.into_iter().map(Into::into).collect())
    }
}
