//! The words of a request: ranges of one buffer, and the same owned.
//!
//! ```text
//!   Argv       buf + spans     [SET][key][value]            Copy: three references
//!   OwnedArgv                  the same, owning its bytes   queued, blocked, propagated commands
//! ```
//!
//! Mirrors: `c->argv` of server.h.

use crate::collections::shared::BigStr;
use crate::keyspace::NewValue;
use crate::util::num;

const BIG: u32 = u32::MAX;

/// Where an argument is.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// A range of the buffer; both below 4 GiB.
    #[inline]
    pub fn new(start: usize, len: usize) -> Self {
        debug_assert!(start < u32::MAX as usize && len < u32::MAX as usize);
        Span {
            start: start as u32,
            len: len as u32,
        }
    }

    /// The `n`th big argument.
    pub fn big(n: usize) -> Self {
        Span {
            start: n as u32,
            len: BIG,
        }
    }

    /// Whether it has an allocation of its own.
    pub fn is_big(self) -> bool {
        self.len == BIG
    }

    /// The argument's length in the buffer.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(self) -> usize {
        self.len as usize
    }
}

/// All words of a request; word 0 is the command's name.
#[derive(Clone, Copy, Debug)]
pub struct Argv<'a> {
    pub(crate) buf: &'a [u8],
    pub(crate) spans: &'a [Span],
    pub(crate) bigs: &'a [BigStr],
}

impl<'a> Argv<'a> {
    /// Over a buffer, ranges of it and big arguments.
    #[inline]
    pub fn new(buf: &'a [u8], spans: &'a [Span], bigs: &'a [BigStr]) -> Self {
        Argv { buf, spans, bigs }
    }

    /// Number of words.
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is not even a name.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// A word; empty when there is none, so that no caller can go out of bounds.
    #[inline]
    pub fn get(&self, i: usize) -> &'a [u8] {
        match self.spans.get(i) {
            Some(span) if !span.is_big() => {
                let start = span.start as usize;
                &self.buf[start..start + span.len as usize]
            }
            Some(span) => self.bigs[span.start as usize].as_slice(),
            None => &[],
        }
    }

    /// A word as a value to store: a big one is shared, not copied.
    #[inline]
    pub fn value(&self, i: usize) -> NewValue<'a> {
        match self.spans.get(i) {
            Some(span) if span.is_big() => NewValue::Big(self.bigs[span.start as usize].clone()),
            _ => NewValue::Bytes(self.get(i)),
        }
    }

    /// All words in order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = &'a [u8]> + DoubleEndedIterator {
        (0..self.len()).map(move |i| self.get(i))
    }

    /// The same words without the first `n`.
    pub fn skip(self, n: usize) -> Argv<'a> {
        Argv {
            spans: &self.spans[n.min(self.spans.len())..],
            ..self
        }
    }

    /// Bytes of all words together.
    pub fn bytes(&self) -> usize {
        self.iter().map(<[u8]>::len).sum()
    }

    /// A copy that owns its bytes; big arguments stay shared.
    pub fn to_owned(&self) -> OwnedArgv {
        let mut owned = OwnedArgv::default();
        for (i, span) in self.spans.iter().enumerate() {
            if span.is_big() {
                owned.push_big(self.bigs[span.start as usize].clone());
            } else {
                owned.push(self.get(i));
            }
        }
        owned
    }

    /// Appends the request as RESP (the AOF's and the replicas' form).
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut digits = num::IntBuf::new();
        out.push(b'*');
        out.extend_from_slice(digits.format(self.len() as i64));
        out.extend_from_slice(b"\r\n");
        for word in self.iter() {
            out.push(b'$');
            out.extend_from_slice(digits.format(word.len() as i64));
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(word);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// A request that owns its bytes.
#[derive(Clone, Debug, Default)]
pub struct OwnedArgv {
    pub(crate) buf: Vec<u8>,
    pub(crate) spans: Vec<Span>,
    pub(crate) bigs: Vec<BigStr>,
}

/// Bytes of an argument that a crash report shows.
const SHOWN: usize = 1024;
/// Arguments that it shows.
const SHOWN_ARGS: usize = 32;

impl Argv<'_> {
    /// Appends the words for a crash report, cut: those that `shows` names by number and word, and the first.
    pub fn describe(&self, sign: &str, shows: impl Fn(usize, &[u8]) -> bool, out: &mut String) {
        out.push_str(&format!("argc{sign} {}\n", self.len()));
        for (i, word) in self.iter().enumerate().take(SHOWN_ARGS) {
            let shown = word[..word.len().min(SHOWN)].escape_ascii();
            match i == 0 || shows(i, word) {
                true => out.push_str(&format!("argv[{i}]{sign} \"{shown}\"\n")),
                false => out.push_str(&format!("argv[{i}]{sign} *redacted*\n")),
            }
        }
    }
}

impl OwnedArgv {
    /// From words.
    pub fn from_words<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Self {
        let mut owned = OwnedArgv::default();
        for word in words {
            owned.push(word.as_ref());
        }
        owned
    }

    /// Appends a word.
    pub fn push(&mut self, word: &[u8]) {
        if self.buf.len() + word.len() >= u32::MAX as usize / 2 {
            return self.push_big(BigStr::from_slice(word));
        }
        self.spans.push(Span::new(self.buf.len(), word.len()));
        self.buf.extend_from_slice(word);
    }

    /// Appends a number.
    pub fn push_integer(&mut self, n: i64) {
        self.push(num::IntBuf::new().format(n));
    }

    /// Appends a big word without copying it.
    pub fn push_big(&mut self, word: BigStr) {
        self.spans.push(Span::big(self.bigs.len()));
        self.bigs.push(word);
    }

    /// Appends a word of a request; a big one is shared.
    pub fn push_word(&mut self, argv: Argv<'_>, i: usize) {
        match argv.value(i) {
            NewValue::Big(word) => self.push_big(word),
            _ => self.push(argv.get(i)),
        }
    }

    /// The words.
    pub fn as_argv(&self) -> Argv<'_> {
        Argv::new(&self.buf, &self.spans, &self.bigs)
    }

    /// Forgets the words and keeps the room.
    pub fn clear(&mut self) {
        self.buf.clear();
        self.spans.clear();
        self.bigs.clear();
    }

    /// Memory of the words, in bytes (`argv-mem`, `multi-mem`).
    pub fn memory(&self) -> usize {
        let bigs: usize = self.bigs.iter().map(BigStr::allocated_bytes).sum();
        self.buf.capacity() + self.spans.capacity() * size_of::<Span>() + bigs
    }
}
