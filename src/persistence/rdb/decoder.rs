//! RDB in: lengths, strings, checksum. The decoder believes no length: it allocates at most a megabyte ahead of the
//! bytes that really come.
//!
//! ```text
//!   05                     a length of 5                   00LLLLLL
//!   42 BC                  a length of 700                 01LLLLLL LLLLLLLL
//!   80 00 01 11 70         a length of 70,000              10000000 and four bytes, the highest first
//!   05 "hello"             a string
//!   C0 7B                  the string "123", as an integer of one byte
//!   C3 08 14 01 61 …       a string compressed from 20 bytes to 8
//! ```
//!
//! Mirrors: rdbLoadLen(), rdbGenericLoadStringObject() of rdb.c, rio.c.
//! Differs: it can also be fed. Where bytes are missing it says so ([`Reason::Starved`]) and the reader comes back
//! later.

use std::io::{self, Read};

use super::{Error, Reason};
use crate::collections::shared::BigStr;
use crate::util::crc64::crc64;
use crate::util::lzf;
use crate::util::num::IntBuf;

const BUFFER: usize = 128 * 1024;
/// Allocated at once for a string whose length is only claimed.
const TRUSTED: usize = 1024 * 1024;
/// No string is longer than this (512 MB is Redis's bound for what a client may send; nodes of lists are shorter).
const LONGEST: u64 = 4 << 30;

type Result<T> = std::result::Result<T, Error>;

/// Reads RDB, from a source that it reads itself ([`Decoder::new`]), or from bytes that are fed as they come
/// ([`Decoder::fed`]). In the second case a reader may find that bytes are missing ([`Reason::Starved`]): it goes
/// back to where it began, and tries again when there are more.
pub struct Decoder<'a> {
    input: Box<dyn Read + 'a>,
    /// Whether all bytes have come, if they come through [`Decoder::feed`].
    fed: Option<bool>,
    buf: Vec<u8>,
    at: usize,
    end: usize,
    /// Bytes before the buffer.
    before: u64,
    checksum: Option<u64>,
    /// Bytes of the buffer that are in the checksum.
    summed: usize,
    /// Bytes there can be at all, where that is known.
    total: Option<u64>,
    scratch: Vec<u8>,
    remark: Option<&'static str>,
}

impl std::fmt::Debug for Decoder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Decoder (at {})", self.position())
    }
}

/// A place to go back to, good until more bytes are fed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place {
    at: usize,
    summed: usize,
    checksum: Option<u64>,
}

/// A length, or the way a string is written.
enum Length {
    Plain(u64),
    Special(u8),
}

/// A string as it is written.
#[derive(Debug)]
pub enum Text<'t> {
    Int(i64),
    Bytes(&'t [u8]),
    Big(BigStr),
}

impl<'a> Decoder<'a> {
    /// From a source of `total` bytes, if it is known how many.
    pub fn new(input: impl Read + 'a, total: Option<u64>, checksum: bool) -> Decoder<'a> {
        let room = total.map_or(BUFFER, |total| total.min(BUFFER as u64) as usize);
        Decoder {
            input: Box::new(input),
            fed: None,
            buf: vec![0; room.max(16)],
            at: 0,
            end: 0,
            before: 0,
            checksum: checksum.then_some(0),
            summed: 0,
            total,
            scratch: Vec::new(),
            remark: None,
        }
    }

    /// From memory.
    pub fn from_slice(bytes: &'a [u8]) -> Decoder<'a> {
        Decoder::new(bytes, Some(bytes.len() as u64), false)
    }

    /// The bytes that were read from the source and are not used up yet.
    pub fn ahead(&self) -> &[u8] {
        &self.buf[self.at..self.end]
    }

    /// A decoder for bytes that are fed. It takes no total, because the sender could claim any.
    pub fn fed(checksum: bool) -> Decoder<'a> {
        Decoder {
            fed: Some(false),
            ..Decoder::new(io::empty(), None, checksum)
        }
    }

    /// Takes further bytes, and forgets those that are used up.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.sum();
        self.buf.truncate(self.end);
        self.buf.drain(..self.at);
        self.before += self.at as u64;
        self.at = 0;
        self.summed = 0;
        // A value that took much room may have been the only one.
        if self.buf.capacity() > TRUSTED && self.buf.len() + bytes.len() < BUFFER {
            self.buf.shrink_to(BUFFER);
        }
        self.buf.extend_from_slice(bytes);
        self.end = self.buf.len();
    }

    /// No more bytes will be fed.
    pub fn feed_no_more(&mut self) {
        self.fed = Some(true);
    }

    /// Whether its bytes are fed.
    pub fn is_fed(&self) -> bool {
        self.fed.is_some()
    }

    /// Whether more bytes may be fed.
    pub fn awaits_more(&self) -> bool {
        self.fed == Some(false)
    }

    pub fn place(&self) -> Place {
        Place {
            at: self.at,
            summed: self.summed,
            checksum: self.checksum,
        }
    }

    pub fn go_back(&mut self, place: Place) {
        self.at = place.at;
        self.summed = place.summed;
        self.checksum = place.checksum;
        self.remark = None;
    }

    /// Bytes used up.
    pub fn position(&self) -> u64 {
        self.before + self.at as u64
    }

    /// Bytes left, where that is known.
    pub fn left(&self) -> Option<u64> {
        self.total
            .map(|total| total.saturating_sub(self.position()))
    }

    pub fn error(&self, reason: Reason) -> Error {
        Error::new(self.position(), reason)
    }

    pub fn corrupt(&self, what: &'static str) -> Error {
        self.error(Reason::Corrupt(what))
    }

    /// Something is wrong with a value that is taken all the same. The first remark counts.
    pub fn remark(&mut self, what: &'static str) {
        self.remark.get_or_insert(what);
    }

    /// Takes the remark of [`Decoder::remark`], if there is one since the last call.
    pub fn take_remark(&mut self) -> Option<&'static str> {
        self.remark.take()
    }

    /// The checksum of the bytes used up; `None` if none is computed.
    pub fn checksum(&mut self) -> Option<u64> {
        self.sum();
        self.checksum
    }

    fn sum(&mut self) {
        if let Some(sum) = &mut self.checksum {
            *sum = crc64(*sum, &self.buf[self.summed..self.at]);
            self.summed = self.at;
        }
    }

    /// Makes `n` bytes (no more than fit) available at `at`.
    fn fill(&mut self, n: usize) -> Result<()> {
        while self.end - self.at < n {
            if let Some(all_came) = self.fed {
                return Err(self.error(match all_came {
                    true => Reason::ShortRead,
                    false => Reason::Starved,
                }));
            }
            if self.at > 0 {
                self.sum();
                self.before += self.at as u64;
                self.buf.copy_within(self.at..self.end, 0);
                self.end -= self.at;
                self.at = 0;
                self.summed = 0;
            }
            match self.input.read(&mut self.buf[self.end..]) {
                Ok(0) => return Err(self.error(Reason::ShortRead)),
                Ok(got) => self.end += got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(self.error(Reason::ShortRead));
                }
                Err(error) => return Err(self.error(Reason::Io(error))),
            }
        }
        Ok(())
    }

    #[inline]
    pub fn byte(&mut self) -> Result<u8> {
        if self.at == self.end {
            self.fill(1)?;
        }
        let byte = self.buf[self.at];
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.fill(N)?;
        let mut out = [0; N];
        out.copy_from_slice(&self.buf[self.at..self.at + N]);
        self.at += N;
        Ok(out)
    }

    /// Reads `n` bytes onto the end of `out`.
    fn bytes_into(&mut self, n: u64, out: &mut Vec<u8>) -> Result<()> {
        if n > LONGEST || self.left().is_some_and(|left| n > left) {
            return Err(self.error(Reason::ShortRead));
        }
        let mut n = n as usize;
        out.try_reserve(n.min(TRUSTED))
            .map_err(|_| self.corrupt("OOM"))?;
        while n > 0 {
            if self.at == self.end {
                self.fill(1)?;
            }
            let part = n.min(self.end - self.at);
            out.try_reserve(part).map_err(|_| self.corrupt("OOM"))?;
            out.extend_from_slice(&self.buf[self.at..self.at + part]);
            self.at += part;
            n -= part;
        }
        Ok(())
    }

    /// Skips bytes.
    pub fn skip(&mut self, mut n: u64) -> Result<()> {
        while n > 0 {
            if self.at == self.end {
                self.fill(1)?;
            }
            let part = n.min((self.end - self.at) as u64);
            self.at += part as usize;
            n -= part;
        }
        Ok(())
    }

    /// Eight bytes, the lowest first. (Files before version 9 hold the writer's order: the same on all that matters.)
    pub fn millis(&mut self) -> Result<i64> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// Seconds in four bytes.
    pub fn seconds(&mut self) -> Result<i64> {
        Ok(i64::from(i32::from_le_bytes(self.array()?)))
    }

    pub fn double(&mut self) -> Result<f64> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    /// A score as text, with a length byte whose highest values stand for what is no number.
    #[doc(alias = "rdbLoadDoubleValue")]
    pub fn text_double(&mut self) -> Result<f64> {
        match self.byte()? {
            255 => Ok(f64::NEG_INFINITY),
            254 => Ok(f64::INFINITY),
            253 => Ok(f64::NAN),
            len => {
                let mut text = Vec::new();
                self.bytes_into(u64::from(len), &mut text)?;
                crate::util::num::parse_f64(&text)
                    .ok_or_else(|| self.corrupt("Invalid double value"))
            }
        }
    }

    fn any_length(&mut self) -> Result<Length> {
        let first = self.byte()?;
        Ok(match first >> 6 {
            0 => Length::Plain(u64::from(first)),
            1 => Length::Plain(u64::from(first & 0x3F) << 8 | u64::from(self.byte()?)),
            3 => Length::Special(first & 0x3F),
            _ => match first {
                0x80 => Length::Plain(u64::from(u32::from_be_bytes(self.array()?))),
                0x81 => Length::Plain(u64::from_be_bytes(self.array()?)),
                _ => return Err(self.corrupt("Unknown length encoding in rdbLoadLen()")),
            },
        })
    }

    /// A length or a number. (Where a string's special form stands instead, its number is taken, as Redis does.)
    #[doc(alias = "rdbLoadLen")]
    #[inline]
    pub fn length(&mut self) -> Result<u64> {
        // Most numbers of large files have four bytes or one, and lie in the buffer.
        if let Some(ahead) = self.buf[self.at..self.end].first_chunk::<5>() {
            let [first, word @ ..] = *ahead;
            if first == 0x80 {
                self.at += 5;
                return Ok(u64::from(u32::from_be_bytes(word)));
            }
            if first < 0x40 {
                self.at += 1;
                return Ok(u64::from(first));
            }
        }
        self.any_length_as_number()
    }

    fn any_length_as_number(&mut self) -> Result<u64> {
        Ok(match self.any_length()? {
            Length::Plain(n) => n,
            Length::Special(kind) => u64::from(kind),
        })
    }

    /// A string, into `out`, which is emptied before; integers are spelled.
    pub fn string_into(&mut self, out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        match self.any_length()? {
            Length::Plain(n) => self.bytes_into(n, out),
            Length::Special(3) => {
                *out = self.compressed()?;
                Ok(())
            }
            Length::Special(kind) => {
                let n = self.small_integer(kind)?;
                out.extend_from_slice(IntBuf::new().format(n));
                Ok(())
            }
        }
    }

    /// A string of its own.
    #[doc(alias = "rdbGenericLoadStringObject")]
    pub fn string(&mut self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.string_into(&mut out)?;
        Ok(out)
    }

    /// A string as a value: `scratch` holds a short one, a long one gets the allocation it will live in.
    #[doc(alias = "rdbLoadEncodedStringObject")]
    pub fn text<'t>(&mut self, scratch: &'t mut Vec<u8>, inline: usize) -> Result<Text<'t>> {
        scratch.clear();
        match self.any_length()? {
            Length::Plain(n) if n as usize <= inline => {
                self.bytes_into(n, scratch)?;
                Ok(Text::Bytes(scratch))
            }
            Length::Plain(n) => self.big(n).map(Text::Big),
            Length::Special(3) => {
                *scratch = self.compressed()?;
                Ok(Text::Bytes(scratch))
            }
            Length::Special(kind) => self.small_integer(kind).map(Text::Int),
        }
    }

    fn big(&mut self, n: u64) -> Result<BigStr> {
        if n > LONGEST || self.left().is_some_and(|left| n > left) {
            return Err(self.error(Reason::ShortRead));
        }
        let mut n = n as usize;
        // A known total bounds the claim; without one the string grows as the bytes come.
        let at_once = if self.total.is_some() {
            n
        } else {
            n.min(TRUSTED)
        };
        let mut big = BigStr::try_with_capacity(at_once).map_err(|_| self.corrupt("OOM"))?;
        while n > 0 {
            if self.at == self.end {
                self.fill(1)?;
            }
            let part = n.min(self.end - self.at);
            let mut writable = big.make_mut();
            let piece = &self.buf[self.at..self.at + part];
            if writable.extend_from_slice(piece).is_err() {
                return Err(self.corrupt("OOM"));
            }
            self.at += part;
            n -= part;
        }
        Ok(big)
    }

    #[doc(alias = "rdbLoadIntegerObject")]
    fn small_integer(&mut self, kind: u8) -> Result<i64> {
        match kind {
            0 => Ok(i64::from(self.byte()? as i8)),
            1 => Ok(i64::from(i16::from_le_bytes(self.array()?))),
            2 => Ok(i64::from(i32::from_le_bytes(self.array()?))),
            _ => Err(self.corrupt("Unknown RDB string encoding type")),
        }
    }

    #[doc(alias = "rdbLoadLzfStringObject")]
    fn compressed(&mut self) -> Result<Vec<u8>> {
        let packed = self.length()?;
        let len = self.length()?;
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        self.bytes_into(packed, &mut scratch)?;
        let out = usize::try_from(len)
            .ok()
            .filter(|_| len <= LONGEST)
            .and_then(|len| lzf::decompress(&scratch, len));
        if scratch.capacity() <= TRUSTED {
            self.scratch = scratch;
        }
        out.ok_or_else(|| self.corrupt("Invalid LZF compressed string"))
    }

    /// Whether there is nothing more to read.
    pub fn is_at_end(&mut self) -> bool {
        self.at == self.end && self.fill(1).is_err()
    }

    /// Gives back the bytes that were read ahead, and the source: an AOF begins with an RDB and goes on with
    /// commands.
    pub fn into_rest(self) -> (Vec<u8>, Box<dyn Read + 'a>) {
        (self.buf[self.at..self.end].to_vec(), self.input)
    }
}
