//! Replies of other servers, read as their bytes come in.
//!
//! A server that asks another one something gets the answer in pieces of any size. [`Incoming`] keeps what is not whole
//! yet, and hands out each reply once its last byte is there:
//!
//! ```text
//!   feed("*2\r\n+PO")      reply() -> None
//!   feed("NG\r\n:7\r\n+")  reply() -> [PONG, 7]     reply() -> None; the "+" waits
//! ```
//!
//! Both protocols are understood. The other server is not trusted: a reply of more bytes or of deeper nesting than
//! [`Limits`] allows is an error, and nothing is allocated because a length was announced.
//!
//! Mirrors: processLineItem(), processBulkItem() and processAggregateItem() of hiredis (read.c).
//! Differs: lengths are bounded. Cost: O(bytes), each byte being looked at once.

use super::Value;
use crate::util::num::parse_i64;

/// Bytes of a line at most: a simple string, an error, a number, the length of something.
const LONGEST_LINE: usize = 64 << 10;

/// Bytes of room that a connection keeps between replies.
const KEPT: usize = 512;

/// Bounds of a reply.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one reply, all its parts included.
    pub bytes: usize,
    /// Arrays within arrays.
    pub depth: usize,
}

/// Bytes that are no reply, or one beyond the bounds. Nothing more can be read of that connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// The replies of one connection.
#[derive(Debug)]
pub struct Incoming {
    limits: Limits,
    bytes: Vec<u8>,
    /// Bytes of `bytes` that were taken up.
    used: usize,
    /// Bytes behind `used` in which there is no end of a line.
    searched: usize,
    /// Bytes of the reply that is being read.
    size: usize,
    open: Vec<Open>,
}

/// An array, or its like, that lacks some of its elements.
#[derive(Debug)]
struct Open {
    kind: u8,
    missing: usize,
    values: Vec<Value>,
}

impl Incoming {
    /// A connection on which nothing has come yet.
    pub fn new(limits: Limits) -> Incoming {
        Incoming {
            limits,
            bytes: Vec::new(),
            used: 0,
            searched: 0,
            size: 0,
            open: Vec::new(),
        }
    }

    /// Takes bytes that came.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.used);
        self.used = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole reply, if there is one.
    pub fn reply(&mut self) -> Result<Option<Value>, Malformed> {
        while let Some(value) = self.item()? {
            if let Some(whole) = self.put(value) {
                self.size = 0;
                if self.used == self.bytes.len() {
                    self.used = 0;
                    self.bytes.clear();
                    // A long reply is not paid for until the connection ends.
                    self.bytes.shrink_to(KEPT);
                }
                return Ok(Some(whole));
            }
        }
        Ok(None)
    }

    /// Takes up the next item: a value, or the head of an array without its elements (`None` within).
    fn item(&mut self) -> Result<Option<Option<Value>>, Malformed> {
        let Some(end) = self.line_end()? else {
            return Ok(None);
        };
        let line = &self.bytes[self.used..end];
        let after = end + 2;
        let Some((kind, rest)) = line.split_first() else {
            return Err(Malformed("an empty line"));
        };
        let text = || String::from_utf8_lossy(rest).into_owned();
        let value = match kind {
            b'+' => Value::Simple(text().into()),
            b'-' => Value::Error(text()),
            b':' => Value::Integer(parse_i64(rest).ok_or(Malformed("no number"))?),
            b'_' => Value::Null,
            b'#' => Value::Boolean(rest == b"t"),
            b',' => Value::Double(text().parse().map_err(|_| Malformed("no number"))?),
            b'(' => Value::BigNumber(text()),
            b'$' | b'=' | b'!' => {
                let Some(len) = length(rest)? else {
                    self.take(after)?;
                    return Ok(Some(Some(Value::Null)));
                };
                if len > self.limits.bytes {
                    return Err(Malformed("a reply that is too long"));
                }
                if self.bytes.len() < after + len + 2 {
                    return Ok(None);
                }
                let (kind, body) = (*kind, self.bytes[after..after + len].to_vec());
                if &self.bytes[after + len..after + len + 2] != b"\r\n" {
                    return Err(Malformed("a string without its end"));
                }
                self.take(after + len + 2)?;
                return Ok(Some(Some(match kind {
                    b'$' => Value::Bulk(body),
                    b'!' => Value::Error(String::from_utf8_lossy(&body).into_owned()),
                    _ => Value::Verbatim(
                        String::from_utf8_lossy(&body[..3.min(len)]).into_owned(),
                        body.get(4..).unwrap_or_default().to_vec(),
                    ),
                })));
            }
            b'*' | b'%' | b'~' | b'>' | b'|' => {
                let kind = *kind;
                let Some(len) = length(rest)? else {
                    self.take(after)?;
                    return Ok(Some(Some(Value::Null)));
                };
                let each = if matches!(kind, b'%' | b'|') { 2 } else { 1 };
                // Each element has three bytes at least.
                if len > self.limits.bytes / 3 || self.open.len() >= self.limits.depth {
                    return Err(Malformed("a reply that is too long"));
                }
                self.take(after)?;
                self.open.push(Open {
                    kind,
                    missing: len * each,
                    values: Vec::new(),
                });
                return Ok(Some(None));
            }
            _ => return Err(Malformed("an unknown type of reply")),
        };
        self.take(after)?;
        Ok(Some(Some(value)))
    }

    /// Where the next line ends, before its CR LF.
    fn line_end(&mut self) -> Result<Option<usize>, Malformed> {
        let rest = &self.bytes[self.used..];
        let from = self.searched.saturating_sub(1).min(rest.len());
        match rest[from..].windows(2).position(|two| two == b"\r\n") {
            Some(at) if from + at <= LONGEST_LINE => Ok(Some(self.used + from + at)),
            None if rest.len() <= LONGEST_LINE => {
                self.searched = rest.len();
                Ok(None)
            }
            _ => Err(Malformed("a line that is too long")),
        }
    }

    fn take(&mut self, to: usize) -> Result<(), Malformed> {
        self.size += to - self.used;
        self.used = to;
        self.searched = 0;
        match self.size > self.limits.bytes {
            true => Err(Malformed("a reply that is too long")),
            false => Ok(()),
        }
    }

    /// Puts a value in its place; the whole reply, if it was the last one missing.
    fn put(&mut self, mut value: Option<Value>) -> Option<Value> {
        loop {
            let Some(open) = self.open.last_mut() else {
                return value;
            };
            if let Some(value) = value.take() {
                open.values.push(value);
                open.missing -= 1;
            }
            if open.missing > 0 {
                return None;
            }
            let Open { kind, values, .. } = self.open.pop()?;
            value = match kind {
                b'*' => Some(Value::Array(values)),
                b'~' => Some(Value::Set(values)),
                b'>' => Some(Value::Push(values)),
                // Attributes precede the value they are about, and are not kept.
                b'|' => return None,
                _ => Some(Value::Map(pairs(values))),
            };
        }
    }
}

/// The length in the head of a string or an array; none for the null of RESP2.
fn length(text: &[u8]) -> Result<Option<usize>, Malformed> {
    match parse_i64(text) {
        Some(-1) => Ok(None),
        Some(n) if n >= 0 => Ok(usize::try_from(n).ok()),
        _ => Err(Malformed("no length")),
    }
}

fn pairs(values: Vec<Value>) -> Vec<(Value, Value)> {
    let mut values = values.into_iter();
    let mut next = || Some((values.next()?, values.next()?));
    std::iter::from_fn(&mut next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        bytes: 1000,
        depth: 4,
    };

    fn all(text: &[u8], piece: usize) -> Result<Vec<Value>, Malformed> {
        let mut incoming = Incoming::new(LIMITS);
        let mut values = Vec::new();
        for bytes in text.chunks(piece) {
            incoming.feed(bytes);
            while let Some(value) = incoming.reply()? {
                values.push(value);
            }
        }
        Ok(values)
    }

    #[test]
    fn replies_come_in_pieces_of_any_size() {
        let text = b"+OK\r\n-ERR no\r\n:7\r\n$4\r\na\r\nb\r\n$-1\r\n*-1\r\n*0\r\n\
            *2\r\n*2\r\n:1\r\n$0\r\n\r\n%1\r\n+a\r\n:2\r\n>1\r\n,1.5\r\n|1\r\n+x\r\n+y\r\n#t\r\n=5\r\ntxt:a\r\n";
        let whole = all(text, text.len()).expect("it is well formed");
        for piece in 1..text.len() {
            assert_eq!(all(text, piece).expect("it is well formed"), whole);
        }
        let bulk = |text: &[u8]| Value::Bulk(text.to_vec());
        let nested = Value::Array(vec![Value::Integer(1), bulk(b"")]);
        let map = Value::Map(vec![(Value::Simple("a".into()), Value::Integer(2))]);
        let expected = [
            Value::Simple("OK".into()),
            Value::Error("ERR no".into()),
            Value::Integer(7),
            bulk(b"a\r\nb"),
        ];
        assert_eq!(whole[..4], expected);
        assert_eq!(
            whole[4..7],
            [Value::Null, Value::Null, Value::Array(vec![])]
        );
        assert_eq!(whole[7], Value::Array(vec![nested, map]));
        assert_eq!(whole[8], Value::Push(vec![Value::Double(1.5)]));
        assert_eq!(whole[9], Value::Boolean(true));
        assert_eq!(whole[10], Value::Verbatim("txt".into(), b"a".to_vec()));
    }

    #[test]
    fn a_reply_beyond_the_bounds_is_refused() {
        let deep = b"*1\r\n".repeat(5);
        let many = [b"*300\r\n".to_vec(), b":10000\r\n".repeat(200)].concat();
        let bad: [&[u8]; 9] = [
            b"$1001\r\n",
            b"*1000000000\r\n",
            b"$-2\r\n",
            b"$x\r\n",
            b":x\r\n",
            b"\r\n",
            b"?\r\n",
            &deep,
            &many,
        ];
        for text in bad {
            assert!(all(text, 7).is_err(), "{}", String::from_utf8_lossy(text));
        }
        let endless = vec![b'+'; LONGEST_LINE + 2];
        assert!(all(&endless, 1 << 10).is_err());
    }
}
