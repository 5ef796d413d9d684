//! How a command replies: one method per reply type; RESP2 and RESP3 differ here alone.
//!
//! A [`Reply`] writes bytes into a client's [`Output`], or builds a [`Value`] for callers inside
//! the process (scripts, embedding), or drops everything (CLIENT REPLY OFF, AOF loading).
//!
//! ```text
//!   method of Reply      RESP2                                 RESP3
//!   integer(5)           :5\r\n                                the same
//!   bulk(b"hi")          $2\r\nhi\r\n                          the same
//!   null                 $-1\r\n                               _\r\n
//!   a map of f to v      *2\r\n $1\r\nf\r\n $1\r\nv\r\n        %1\r\n $1\r\nf\r\n $1\r\nv\r\n
//!   a double 1.5         $3\r\n1.5\r\n                         ,1.5\r\n
//! ```
//!
//! Mirrors: the `addReply*` family of networking.c.

use super::Error;
use super::output::{Output, Position};
use super::value::{Shape, Tree, Value};
use crate::collections::shared::BigStr;
use crate::keyspace::StrRef;
use crate::util::num::{FloatBuf, IntBuf};

/// The format of a verbatim string as RESP3 wants it, three letters: cut, or filled up with spaces. A byte that is not
/// ASCII becomes `?`.
pub fn three_letters(format: &[u8]) -> String {
    let letters = format.iter().chain(b"   ").take(3);
    letters
        .map(|b| if b.is_ascii() { char::from(*b) } else { '?' })
        .collect()
}

/// Strings from this size on are sent from where they lie.
const SHARE_FROM: usize = 16 * 1024;

/// The protocol version a client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Redis 1.2 and on.
    #[default]
    Resp2,
    /// Redis 6 and on, after `HELLO 3`.
    Resp3,
}

#[derive(Debug)]
enum Sink {
    Wire(Output),
    Tree(Tree),
    Nowhere,
}

/// Where a handler writes its answer.
#[derive(Debug)]
pub struct Reply {
    sink: Sink,
    protocol: Protocol,
    /// Errors written so far; lets the caller see that a command failed.
    errors: u32,
}

/// A place taken in the reply: for a length that is known only later, or to take back what follows.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Mark(Place);

/// The place of a [`Mark`], in the terms of the sink that it was taken in.
#[derive(Clone, Copy, Debug)]
enum Place {
    Wire(Position),
    /// Collections open around it, and values in the innermost.
    Tree(usize, usize),
    Nowhere,
}

/// Where the reply of one command begins; see [`Reply::begin_command`].
#[derive(Debug)]
#[must_use]
pub struct Begun(Place);

impl Default for Reply {
    fn default() -> Self {
        Reply::discard()
    }
}

impl Reply {
    /// Writes bytes behind those already queued.
    #[inline]
    pub fn to_wire(output: Output, protocol: Protocol) -> Self {
        Reply {
            sink: Sink::Wire(output),
            protocol,
            errors: 0,
        }
    }

    /// Builds values.
    pub fn to_value(protocol: Protocol) -> Self {
        Reply {
            sink: Sink::Tree(Tree::default()),
            protocol,
            errors: 0,
        }
    }

    /// Drops everything.
    pub fn discard() -> Self {
        Reply {
            sink: Sink::Nowhere,
            protocol: Protocol::Resp2,
            errors: 0,
        }
    }

    /// The bytes, when this wrote bytes.
    #[inline]
    pub fn into_output(self) -> Option<Output> {
        match self.sink {
            Sink::Wire(output) => Some(output),
            _ => None,
        }
    }

    /// The values built so far.
    pub fn take_values(&mut self) -> Vec<Value> {
        match &mut self.sink {
            Sink::Tree(tree) => tree.take(),
            _ => Vec::new(),
        }
    }

    /// The first value built since the last time it was asked for. This can be used again: its room is kept.
    pub fn take_value(&mut self) -> Option<Value> {
        match &mut self.sink {
            Sink::Tree(tree) => tree.take_first(),
            _ => None,
        }
    }

    /// Bytes queued, sent ones not counted; 0 when this writes none.
    pub fn len(&self) -> usize {
        match &self.sink {
            Sink::Wire(output) => output.len(),
            _ => 0,
        }
    }

    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether further output is lost: more was written than the client may have queued, so that it will
    /// be closed; or than a caller inside the process can hold, which gets an error; or the reply is discarded. A
    /// command with a long reply should check this now and then, and stop.
    pub fn overflowed(&self) -> bool {
        match &self.sink {
            Sink::Wire(output) => output.overflowed(),
            Sink::Tree(tree) => tree.overflowed(),
            Sink::Nowhere => true,
        }
    }

    /// The queue itself, for figures such as `omem`.
    pub fn output(&self) -> Option<&Output> {
        match &self.sink {
            Sink::Wire(output) => Some(output),
            _ => None,
        }
    }

    /// The protocol in use.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Changes the protocol for what follows (HELLO, scripts' `setresp`).
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// Whether the client speaks RESP3.
    #[inline]
    pub fn resp3(&self) -> bool {
        self.protocol == Protocol::Resp3
    }

    /// Errors written so far.
    pub fn errors(&self) -> u32 {
        self.errors
    }

    /// `+OK`
    #[inline]
    pub fn ok(&mut self) {
        match &mut self.sink {
            Sink::Wire(out) => out.push(b"+OK\r\n"),
            Sink::Tree(tree) => tree.value(Value::Simple("OK".into())),
            Sink::Nowhere => {}
        }
    }

    /// A status line; must hold no line break.
    pub fn simple(&mut self, text: &str) {
        match &mut self.sink {
            Sink::Wire(out) => {
                let tail = out.tail();
                tail.push(b'+');
                tail.extend_from_slice(text.as_bytes());
                tail.extend_from_slice(b"\r\n");
            }
            Sink::Tree(tree) => tree.value(Value::Simple(text.to_owned().into())),
            Sink::Nowhere => {}
        }
    }

    /// An error line, in its final words. Line breaks become spaces.
    pub fn error(&mut self, error: &Error) {
        self.errors += 1;
        match error {
            Error::AlreadySaid => {}
            Error::Quoting(line) => self.error_line(line),
            other => self.error_line(other.to_string().as_bytes()),
        }
    }

    /// An error line given as text, its code first.
    pub fn error_text(&mut self, text: &str) {
        self.errors += 1;
        self.error_line(text.as_bytes());
    }

    fn error_line(&mut self, mut line: &[u8]) {
        while let [rest @ .., b'\r' | b'\n'] = line {
            line = rest;
        }
        let clean = |&c: &u8| if c == b'\r' || c == b'\n' { b' ' } else { c };
        let line = line.iter().map(clean);
        match &mut self.sink {
            Sink::Wire(out) => {
                let tail = out.tail();
                tail.push(b'-');
                tail.extend(line);
                tail.extend_from_slice(b"\r\n");
            }
            Sink::Tree(tree) => {
                let line: Vec<u8> = line.collect();
                tree.value(Value::Error(String::from_utf8_lossy(&line).into_owned()));
            }
            Sink::Nowhere => {}
        }
    }

    /// A whole number.
    #[inline]
    pub fn integer(&mut self, n: i64) {
        match &mut self.sink {
            Sink::Wire(out) => header(out, b':', n),
            Sink::Tree(tree) => tree.value(Value::Integer(n)),
            Sink::Nowhere => {}
        }
    }

    /// A number that may be larger than a signed one can: then a big number.
    #[doc(alias = "addReplyUnsignedLongLong")]
    pub fn unsigned(&mut self, n: u64) {
        match i64::try_from(n) {
            Ok(n) => self.integer(n),
            Err(_) => self.big_number(&n.to_string()),
        }
    }

    /// A count.
    #[inline]
    pub fn count(&mut self, n: usize) {
        self.integer(n as i64);
    }

    /// A string of bytes.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        match &mut self.sink {
            Sink::Wire(out) => {
                header(out, b'$', bytes.len() as i64);
                out.push(bytes);
                out.tail().extend_from_slice(b"\r\n");
            }
            Sink::Tree(tree) => tree.value(Value::Bulk(bytes.to_vec())),
            Sink::Nowhere => {}
        }
    }

    /// A string, or null.
    pub fn bulk_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    /// A string that is not copied when it is long.
    pub fn shared(&mut self, string: &BigStr) {
        match &mut self.sink {
            Sink::Wire(out) if string.as_slice().len() >= SHARE_FROM => {
                header(out, b'$', string.as_slice().len() as i64);
                out.push_shared(string.clone());
                out.push(b"\r\n");
            }
            _ => self.bulk(string.as_slice()),
        }
    }

    /// The value of a string key.
    #[inline]
    pub fn string(&mut self, string: StrRef<'_>) {
        match string.big() {
            Some(big) => self.shared(big),
            None => self.bulk(string.as_bytes(&mut IntBuf::new())),
        }
    }

    /// A number as a string (`$1 5`), as RESP2 clients get counts inside arrays of strings.
    pub fn bulk_integer(&mut self, n: i64) {
        self.bulk(IntBuf::new().format(n));
    }

    /// No value: `_`, or `$-1` under RESP2.
    #[inline]
    pub fn null(&mut self) {
        let resp3 = self.resp3();
        match &mut self.sink {
            Sink::Wire(out) => out.push(if resp3 { b"_\r\n" } else { b"$-1\r\n" }),
            Sink::Tree(tree) => tree.value(Value::Null),
            Sink::Nowhere => {}
        }
    }

    /// No collection: `_`, or `*-1` under RESP2.
    pub fn null_array(&mut self) {
        let resp3 = self.resp3();
        match &mut self.sink {
            Sink::Wire(out) => out.push(if resp3 { b"_\r\n" } else { b"*-1\r\n" }),
            Sink::Tree(tree) => tree.value(Value::Null),
            Sink::Nowhere => {}
        }
    }

    /// `len` values follow.
    #[inline]
    pub fn array(&mut self, len: usize) {
        match &mut self.sink {
            Sink::Wire(out) => header(out, b'*', len as i64),
            Sink::Tree(tree) => tree.open(Shape::Array, Some(len)),
            Sink::Nowhere => {}
        }
    }

    /// `len` pairs of key and value follow; a flat array under RESP2.
    pub fn map(&mut self, len: usize) {
        self.collection(Shape::Map, len);
    }

    /// `len` distinct values follow; an array under RESP2.
    pub fn set(&mut self, len: usize) {
        self.collection(Shape::Set, len);
    }

    /// A message out of turn of `len` values follows; an array under RESP2.
    pub fn push(&mut self, len: usize) {
        self.collection(Shape::Push, len);
    }

    /// `len` pairs that describe the next reply follow; RESP3 only.
    pub fn attribute(&mut self, len: usize) {
        debug_assert!(self.resp3());
        self.collection(Shape::Attribute, len);
    }

    fn collection(&mut self, shape: Shape, len: usize) {
        let (kind, n) = collection_header(shape, len, self.resp3());
        match &mut self.sink {
            Sink::Wire(out) => header(out, kind, n),
            Sink::Tree(tree) => {
                let flat = if matches!(shape, Shape::Map | Shape::Attribute) {
                    2 * len
                } else {
                    len
                };
                let shape = if self.protocol == Protocol::Resp3 {
                    shape
                } else {
                    Shape::Array
                };
                tree.open(shape, Some(flat));
            }
            Sink::Nowhere => {}
        }
    }

    /// A floating-point number; a string under RESP2.
    pub fn double(&mut self, number: f64) {
        let mut digits = FloatBuf::new();
        let text = digits.format(number);
        let resp3 = self.resp3();
        match &mut self.sink {
            Sink::Wire(out) if resp3 => {
                let tail = out.tail();
                tail.push(b',');
                tail.extend_from_slice(text);
                tail.extend_from_slice(b"\r\n");
            }
            Sink::Tree(tree) if resp3 => tree.value(Value::Double(number)),
            _ => self.bulk(text),
        }
    }

    /// A floating-point number given as text, for those an `f64` cannot hold; a string under RESP2.
    pub fn long_double(&mut self, text: &str) {
        let resp3 = self.resp3();
        match &mut self.sink {
            Sink::Wire(out) if resp3 => {
                let tail = out.tail();
                tail.push(b',');
                tail.extend_from_slice(text.as_bytes());
                tail.extend_from_slice(b"\r\n");
            }
            Sink::Tree(tree) if resp3 => {
                tree.value(Value::Double(text.parse().unwrap_or(f64::NAN)));
            }
            _ => self.bulk(text.as_bytes()),
        }
    }

    /// True or false; 1 or 0 under RESP2.
    pub fn boolean(&mut self, yes: bool) {
        let resp3 = self.resp3();
        match &mut self.sink {
            Sink::Wire(out) if resp3 => out.push(if yes { b"#t\r\n" } else { b"#f\r\n" }),
            Sink::Tree(tree) if resp3 => tree.value(Value::Boolean(yes)),
            _ => self.integer(yes.into()),
        }
    }

    /// A number of any size, given in decimal; a string under RESP2.
    pub fn big_number(&mut self, digits: &str) {
        let resp3 = self.resp3();
        match &mut self.sink {
            Sink::Wire(out) if resp3 => {
                let tail = out.tail();
                tail.push(b'(');
                tail.extend_from_slice(digits.as_bytes());
                tail.extend_from_slice(b"\r\n");
            }
            Sink::Tree(tree) if resp3 => tree.value(Value::BigNumber(digits.into())),
            _ => self.bulk(digits.as_bytes()),
        }
    }

    /// Text with a three-letter format such as `txt`; a plain string under RESP2. A format from outside goes through
    /// [`three_letters`] first.
    pub fn verbatim(&mut self, format: &str, text: impl Into<Vec<u8>>) {
        let text = text.into();
        let resp3 = self.resp3();
        match &mut self.sink {
            Sink::Wire(out) if resp3 => {
                header(out, b'=', (format.len() + 1 + text.len()) as i64);
                let tail = out.tail();
                tail.extend_from_slice(format.as_bytes());
                tail.push(b':');
                out.push_owned(text);
                out.tail().extend_from_slice(b"\r\n");
            }
            Sink::Wire(out) => {
                header(out, b'$', text.len() as i64);
                out.push_owned(text);
                out.tail().extend_from_slice(b"\r\n");
            }
            Sink::Tree(tree) if resp3 => tree.value(Value::Verbatim(format.into(), text)),
            _ => self.bulk(&text),
        }
    }

    /// A help text: one status line each, between the usual first and last ones.
    pub fn help(&mut self, container: &str, lines: &[&str]) {
        self.array(lines.len() + 3);
        self.simple(&format!(
            "{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
        ));
        for line in lines {
            self.simple(line);
        }
        self.simple("HELP");
        self.simple("    Print this help.");
    }

    /// A tree of values, as when a script's or another server's answer is passed on.
    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Simple(text) => self.simple(text),
            Value::Error(text) => self.error_text(text),
            Value::Integer(n) => self.integer(*n),
            Value::Bulk(bytes) => self.bulk(bytes),
            Value::Null => self.null(),
            Value::Double(number) => self.double(*number),
            Value::Boolean(yes) => self.boolean(*yes),
            Value::BigNumber(digits) => self.big_number(digits),
            Value::Verbatim(format, text) => self.verbatim(format, text.as_slice()),
            Value::Attributed(pairs, value) => {
                if self.resp3() {
                    self.attribute(pairs.len());
                    for (key, value) in pairs {
                        self.value(key);
                        self.value(value);
                    }
                }
                self.value(value);
            }
            Value::Array(values) => {
                self.array(values.len());
                values.iter().for_each(|v| self.value(v));
            }
            Value::Set(values) => {
                self.set(values.len());
                values.iter().for_each(|v| self.value(v));
            }
            Value::Push(values) => {
                self.push(values.len());
                values.iter().for_each(|v| self.value(v));
            }
            Value::Map(pairs) => {
                self.map(pairs.len());
                for (key, value) in pairs {
                    self.value(key);
                    self.value(value);
                }
            }
        }
    }

    /// Bytes that are already RESP, encoded once for many clients. Wire replies only.
    pub fn raw(&mut self, bytes: &[u8]) {
        if let Sink::Wire(out) = &mut self.sink {
            out.push(bytes);
        }
    }

    /// As [`Reply::raw`], for bytes that nobody else needs: many are not copied.
    pub fn raw_owned(&mut self, bytes: Vec<u8>) {
        if let Sink::Wire(out) = &mut self.sink {
            out.push_owned(bytes);
        }
    }

    /// Queues what was written elsewhere behind this. Wire replies only.
    pub fn append(&mut self, other: Output) {
        if let Sink::Wire(out) = &mut self.sink {
            out.append(other);
        }
    }

    /// Begins the reply of one command. Until [`Reply::end_command`] it can be taken back whole with
    /// [`Reply::take_back`]: a handler that fails after its first bytes must leave an error and nothing else, or the
    /// client reads every later reply as the answer to another request. O(1).
    #[inline]
    pub fn begin_command(&mut self) -> Begun {
        match &mut self.sink {
            Sink::Wire(out) => Begun(Place::Wire(out.end())),
            Sink::Tree(tree) => {
                let (depth, _) = tree.depth();
                tree.begin_reply();
                let (_, len) = tree.depth();
                Begun(Place::Tree(depth, len))
            }
            Sink::Nowhere => Begun(Place::Nowhere),
        }
    }

    /// Takes back all that the command wrote; its error comes instead.
    pub fn take_back(&mut self, begun: &Begun) {
        match (&mut self.sink, begun.0) {
            (Sink::Wire(out), Place::Wire(at)) => out.truncate(at),
            (Sink::Tree(values), Place::Tree(depth, len)) => {
                // In a collection the command has a level of its own.
                values.truncate((depth + usize::from(depth > 0), len));
            }
            _ => {}
        }
    }

    /// The command's reply is whole.
    #[inline]
    pub fn end_command(&mut self, begun: Begun) {
        if let (Sink::Tree(tree), Place::Tree(depth, _)) = (&mut self.sink, begun.0) {
            tree.end_reply(depth);
        }
    }

    /// Takes a place to come back to with [`Reply::rewind`].
    pub fn mark(&mut self) -> Mark {
        Mark(match &mut self.sink {
            Sink::Wire(out) => Place::Wire(out.position()),
            Sink::Tree(tree) => {
                let (depth, len) = tree.depth();
                Place::Tree(depth, len)
            }
            Sink::Nowhere => Place::Nowhere,
        })
    }

    /// Takes back everything written since the mark.
    pub fn rewind(&mut self, mark: Mark) {
        match (&mut self.sink, mark.0) {
            (Sink::Wire(out), Place::Wire(at)) => out.truncate(at),
            (Sink::Tree(tree), Place::Tree(depth, len)) => tree.truncate((depth, len)),
            _ => {}
        }
    }

    /// Begins a collection whose length is given at its end by one of the `close_*` calls.
    pub fn open(&mut self) -> Mark {
        let mark = self.mark();
        if let Sink::Tree(tree) = &mut self.sink {
            tree.open(Shape::Array, None);
        }
        mark
    }

    /// It was an array of `len` values.
    pub fn close_array(&mut self, mark: Mark, len: usize) {
        self.close(mark, Shape::Array, len);
    }

    /// It was a map of `len` pairs.
    pub fn close_map(&mut self, mark: Mark, len: usize) {
        self.close(mark, Shape::Map, len);
    }

    /// It was a set of `len` values.
    pub fn close_set(&mut self, mark: Mark, len: usize) {
        self.close(mark, Shape::Set, len);
    }

    /// It was `len` pairs that describe the next reply; RESP3 only.
    pub fn close_attribute(&mut self, mark: Mark, len: usize) {
        self.close(mark, Shape::Attribute, len);
    }

    /// It was a push message of `len` values.
    pub fn close_push(&mut self, mark: Mark, len: usize) {
        self.close(mark, Shape::Push, len);
    }

    fn close(&mut self, mark: Mark, shape: Shape, len: usize) {
        let resp3 = self.resp3();
        match (&mut self.sink, mark.0) {
            (Sink::Wire(out), Place::Wire(at)) => {
                let (kind, n) = collection_header(shape, len, resp3);
                let mut line = Vec::with_capacity(24);
                push_header(&mut line, kind, n);
                out.insert(at, &line);
            }
            (Sink::Tree(tree), Place::Tree(..)) => {
                let shape = if resp3 { shape } else { Shape::Array };
                tree.close_deferred(shape);
            }
            _ => {}
        }
    }
}

fn collection_header(shape: Shape, len: usize, resp3: bool) -> (u8, i64) {
    let len = len as i64;
    match (shape, resp3) {
        (Shape::Map, true) => (b'%', len),
        (Shape::Attribute, true) => (b'|', len),
        (Shape::Set, true) => (b'~', len),
        (Shape::Push, true) => (b'>', len),
        (Shape::Map | Shape::Attribute, false) => (b'*', 2 * len),
        _ => (b'*', len),
    }
}

#[inline]
fn header(out: &mut Output, kind: u8, n: i64) {
    push_header(out.tail(), kind, n);
}

#[inline]
fn push_header(tail: &mut Vec<u8>, kind: u8, n: i64) {
    if (0..10).contains(&n) {
        tail.extend_from_slice(&[kind, b'0' + n as u8, b'\r', b'\n']);
        return;
    }
    tail.push(kind);
    tail.extend_from_slice(IntBuf::new().format(n));
    tail.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(protocol: Protocol, write: impl FnOnce(&mut Reply)) -> String {
        let mut reply = Reply::to_wire(Output::new(), protocol);
        write(&mut reply);
        let bytes = reply.into_output().map(|o| o.to_vec()).unwrap_or_default();
        String::from_utf8(bytes).unwrap_or_default()
    }

    #[test]
    fn both_protocols_write_their_own_types() {
        let write = |r: &mut Reply| {
            r.map(1);
            r.bulk(b"k");
            r.double(1.5);
            r.null();
            r.boolean(true);
            r.set(0);
        };
        assert_eq!(
            wire(Protocol::Resp2, write),
            "*2\r\n$1\r\nk\r\n$3\r\n1.5\r\n$-1\r\n:1\r\n*0\r\n"
        );
        assert_eq!(
            wire(Protocol::Resp3, write),
            "%1\r\n$1\r\nk\r\n,1.5\r\n_\r\n#t\r\n~0\r\n"
        );
    }

    /// A handler that failed after its first bytes left an array open: `XDELEX s1 IDS 3 1-1 1-2 1-3` of a string.
    #[test]
    fn what_a_command_began_to_say_is_taken_back() {
        let fail = |r: &mut Reply| {
            let begun = r.begin_command();
            r.array(3);
            r.integer(1);
            let _never_closed = r.open();
            r.bulk(&[b'x'; 40_000]);
            r.take_back(&begun);
            r.error(&Error::WrongType);
            r.end_command(begun);
        };
        let pass = |r: &mut Reply| {
            let begun = r.begin_command();
            r.integer(7);
            r.end_command(begun);
        };
        // EXEC, the last of whose commands fails once all of its reply is there.
        let late = |r: &mut Reply| {
            let begun = r.begin_command();
            r.integer(1);
            r.take_back(&begun);
            r.error(&Error::Syntax);
            r.end_command(begun);
        };
        let all = |r: &mut Reply| {
            let begun = r.begin_command();
            r.array(3);
            fail(r);
            pass(r);
            late(r);
            r.end_command(begun);
            fail(r);
        };
        let (wrong, syntax) = (Error::WrongType.to_string(), Error::Syntax.to_string());
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            let expected = format!("*3\r\n-{wrong}\r\n:7\r\n-{syntax}\r\n-{wrong}\r\n");
            assert_eq!(wire(protocol, all), expected);
            let mut reply = Reply::to_value(protocol);
            all(&mut reply);
            let (wrong, syntax) = (Value::Error(wrong.clone()), Value::Error(syntax.clone()));
            let inside = vec![wrong.clone(), Value::Integer(7), syntax];
            assert_eq!(reply.take_values(), [Value::Array(inside), wrong]);
        }
    }

    #[test]
    fn a_deferred_length_is_written_where_the_collection_began() {
        let write = |r: &mut Reply| {
            r.integer(12);
            let outer = r.open();
            let inner = r.open();
            r.bulk(b"a");
            r.close_array(inner, 1);
            r.close_map(outer, 1);
        };
        assert_eq!(
            wire(Protocol::Resp3, write),
            ":12\r\n%1\r\n*1\r\n$1\r\na\r\n"
        );
        let mut reply = Reply::to_value(Protocol::Resp2);
        write(&mut reply);
        let inner = Value::Array(vec![Value::Bulk(b"a".to_vec())]);
        assert_eq!(
            reply.take_values(),
            [Value::Integer(12), Value::Array(vec![inner])]
        );
    }
}
