//! RDB out: lengths, strings, checksum, and a buffer that goes to a sink when it is full.
//!
//! Without a sink everything stays in the buffer: that is how DUMP makes its payload. With a sink, the writer of a
//! long value calls [`Encoder::spill`] between its elements, so that the buffer stays small whatever the value.
//!
//! Mirrors: rdbSaveLen(), rdbSaveRawString() of rdb.c, rio.c.
//! Differs: a sink is a trait with one method; Redis's rio is a table of functions for each kind of target.

use std::io;

use super::VERSION;
use crate::util::crc64::crc64;
use crate::util::lzf::Compressor;
use crate::util::num::{MAX_INT_LEN, parse_i64};

/// The buffer goes out when it is this full.
const FULL: usize = 256 * 1024;
/// Shorter strings are not worth compressing.
const MIN_COMPRESSED: usize = 21;

/// Where bytes go: a file, a socket, a pipe.
pub trait Sink {
    /// Takes all the bytes.
    fn put(&mut self, bytes: &[u8]) -> io::Result<()>;
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// Writes RDB.
pub struct Encoder<'a> {
    buf: Vec<u8>,
    sink: Option<&'a mut dyn Sink>,
    compressor: Option<Box<Compressor>>,
    scratch: Vec<u8>,
    /// The version written; values choose layouts it has.
    pub version: u32,
    checksum: Option<u64>,
    /// Bytes of the buffer that are in the checksum.
    summed: usize,
    flushed: u64,
}

impl std::fmt::Debug for Encoder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Encoder ({} bytes)", self.written())
    }
}

impl<'a> Encoder<'a> {
    /// Into memory.
    pub fn to_memory(compress: bool) -> Encoder<'static> {
        Encoder {
            buf: Vec::new(),
            sink: None,
            compressor: compress.then(Box::default),
            scratch: Vec::new(),
            version: VERSION,
            checksum: Some(0),
            summed: 0,
            flushed: 0,
        }
    }

    /// Into a sink.
    pub fn to_sink(sink: &'a mut dyn Sink, compress: bool, checksum: bool) -> Encoder<'a> {
        Encoder {
            buf: Vec::with_capacity(FULL + FULL / 4),
            sink: Some(sink),
            compressor: compress.then(Box::default),
            scratch: Vec::new(),
            version: VERSION,
            checksum: checksum.then_some(0),
            summed: 0,
            flushed: 0,
        }
    }

    /// Bytes so far.
    pub fn written(&self) -> u64 {
        self.flushed + self.buf.len() as u64
    }

    /// Hands the buffer to the sink if it is full.
    #[inline]
    pub fn spill(&mut self) -> io::Result<()> {
        if self.buf.len() >= FULL {
            return self.flush();
        }
        Ok(())
    }

    /// Hands all that was written to the sink.
    pub fn flush(&mut self) -> io::Result<()> {
        self.sum();
        if let Some(sink) = &mut self.sink {
            sink.put(&self.buf)?;
            self.flushed += self.buf.len() as u64;
            self.buf.clear();
            self.summed = 0;
        }
        Ok(())
    }

    fn sum(&mut self) {
        if let Some(sum) = &mut self.checksum {
            *sum = crc64(*sum, &self.buf[self.summed..]);
            self.summed = self.buf.len();
        }
    }

    /// The checksum of all that was written; 0 if none is wanted.
    pub fn checksum(&mut self) -> u64 {
        self.sum();
        self.checksum.unwrap_or(0)
    }

    /// Ends the encoder; the bytes written to memory.
    pub fn into_bytes(self) -> Vec<u8> {
        self.buf
    }

    #[inline]
    pub fn byte(&mut self, byte: u8) {
        self.buf.push(byte);
    }

    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// Eight bytes, the lowest first.
    pub fn millis(&mut self, ms: i64) {
        self.raw(&ms.to_le_bytes());
    }

    /// A score.
    pub fn double(&mut self, value: f64) {
        self.raw(&value.to_le_bytes());
    }

    #[doc(alias = "rdbSaveLen")]
    #[inline]
    pub fn length(&mut self, len: u64) {
        match len {
            0..0x40 => self.byte(len as u8),
            0x40..0x4000 => self.raw(&[0x40 | (len >> 8) as u8, len as u8]),
            0x4000..=0xFFFF_FFFF => {
                let [a, b, c, d] = (len as u32).to_be_bytes();
                self.raw(&[0x80, a, b, c, d]);
            }
            _ => {
                self.byte(0x81);
                self.raw(&len.to_be_bytes());
            }
        }
    }

    /// A number, as the string that spells it, in as few bytes as it needs.
    #[doc(alias = "rdbSaveLongLongAsStringObject")]
    pub fn integer(&mut self, n: i64) {
        if !self.small_integer(n) {
            let mut digits = crate::util::num::IntBuf::new();
            let digits = digits.format(n);
            self.length(digits.len() as u64);
            self.raw(digits);
        }
    }

    #[doc(alias = "rdbEncodeInteger")]
    fn small_integer(&mut self, n: i64) -> bool {
        if let Ok(n) = i8::try_from(n) {
            self.raw(&[0xC0, n as u8]);
        } else if let Ok(n) = i16::try_from(n) {
            let [a, b] = n.to_le_bytes();
            self.raw(&[0xC1, a, b]);
        } else if let Ok(n) = i32::try_from(n) {
            let [a, b, c, d] = n.to_le_bytes();
            self.raw(&[0xC2, a, b, c, d]);
        } else {
            return false;
        }
        true
    }

    /// A string: as an integer if it spells one, compressed if that is allowed and shorter, else as it is.
    #[doc(alias = "rdbSaveRawString")]
    pub fn string(&mut self, bytes: &[u8]) {
        // The longest integer that has a short form is -2147483648.
        if bytes.len() <= 11
            && bytes.len() <= MAX_INT_LEN
            && let Some(n) = parse_i64(bytes)
            && self.small_integer(n)
        {
            return;
        }
        if bytes.len() >= MIN_COMPRESSED && self.compressed(bytes) {
            return;
        }
        self.length(bytes.len() as u64);
        self.raw(bytes);
    }

    /// A string that is compressed already.
    #[doc(alias = "rdbSaveLzfBlob")]
    pub fn squeezed(&mut self, lzf: &[u8], raw_len: usize) {
        self.byte(0xC3);
        self.length(lzf.len() as u64);
        self.length(raw_len as u64);
        self.raw(lzf);
    }

    /// At least five bytes shorter, or not at all.
    #[doc(alias = "rdbSaveLzfStringObject")]
    fn compressed(&mut self, bytes: &[u8]) -> bool {
        let Some(compressor) = &mut self.compressor else {
            return false;
        };
        self.scratch.resize(bytes.len() - 4, 0);
        let Some(len) = compressor.compress(bytes, &mut self.scratch) else {
            return false;
        };
        let scratch = std::mem::take(&mut self.scratch);
        self.squeezed(&scratch[..len], bytes.len());
        self.scratch = scratch;
        if self.scratch.capacity() > FULL {
            self.scratch = Vec::new();
        }
        true
    }
}
