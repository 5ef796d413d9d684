//! A reader of append-only files, command by command. It believes no length: nothing is allocated far ahead of the
//! bytes that really come.
//!
//! Mirrors: the reading half of loadSingleAppendOnlyFile() in aof.c.
//! Differs: a line or word without its line break is an error of the format, unless the file ends there.

use std::io::{self, Read};

use super::order::parse_follows;
use crate::collections::shared::BigStr;
use crate::resp::argv::OwnedArgv;

const BUFFER: usize = 128 * 1024;
/// Longest line: of an annotation, a count, a length.
#[doc(alias = "AOF_ANNOTATION_LINE_MAX_LEN")]
pub const MAX_LINE: usize = 1024;
/// Words from this length on get an allocation of their own.
const BIG: usize = 32 * 1024;
/// Allocated at once for a word whose length is only claimed.
const TRUSTED: usize = 1024 * 1024;

/// Why there is no further command.
#[derive(Debug)]
pub enum Trouble {
    /// The file ends in the middle of a command.
    Truncated,
    /// The bytes at this place are not a command.
    Format,
    Io(io::Error),
}

/// One item of a file.
#[derive(Debug)]
pub enum Line {
    Command(OwnedArgv),
    /// `#TS:` and unix seconds.
    Timestamp(i64),
    /// The increment before this one has so many bytes.
    Follows(u64),
    /// Another annotation.
    Remark,
    End,
}

/// Reads commands.
pub struct CommandReader {
    input: Box<dyn Read>,
    buf: Vec<u8>,
    at: usize,
    /// Bytes before the buffer.
    before: u64,
}

impl std::fmt::Debug for CommandReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CommandReader (at {})", self.position())
    }
}

impl CommandReader {
    /// Reads `input`, of which `read` was read already, behind `position` bytes of something else.
    pub fn new(input: Box<dyn Read>, read: Vec<u8>, position: u64) -> CommandReader {
        CommandReader {
            input,
            buf: read,
            at: 0,
            before: position,
        }
    }

    /// Bytes used up.
    pub fn position(&self) -> u64 {
        self.before + self.at as u64
    }

    /// Reads more. Whether there was more.
    fn more(&mut self) -> Result<bool, Trouble> {
        if self.at > 0 {
            self.buf.drain(..self.at);
            self.before += self.at as u64;
            self.at = 0;
        }
        let len = self.buf.len();
        self.buf.resize(len + BUFFER, 0);
        let result = loop {
            match self.input.read(&mut self.buf[len..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buf.truncate(len + *result.as_ref().unwrap_or(&0));
        result.map(|n| n > 0).map_err(Trouble::Io)
    }

    /// A line without its end; `None` at the end of the file. A line that does not end is [`Trouble::Truncated`], if it
    /// could have become one that begins with one of `marks`.
    fn line(&mut self, marks: &[u8]) -> Result<Option<&[u8]>, Trouble> {
        let mut looked = 0;
        loop {
            let rest = &self.buf[self.at..];
            if let Some(end) = rest[looked..].iter().position(|b| *b == b'\n') {
                let start = self.at;
                let end = looked + end;
                if end > MAX_LINE {
                    return Err(Trouble::Format);
                }
                self.at += end + 1;
                return Ok(Some(self.buf[start..start + end].trim_ascii_end()));
            }
            looked = rest.len();
            if looked > MAX_LINE {
                return Err(Trouble::Format);
            }
            if !self.more()? {
                return match self.buf[self.at..] {
                    [] => Ok(None),
                    [b'#', ..] if marks.contains(&b'#') => Err(Trouble::Truncated),
                    [first] | [first, b'0'..=b'9', ..] if marks.contains(&first) => {
                        Err(Trouble::Truncated)
                    }
                    _ => Err(Trouble::Format),
                };
            }
        }
    }

    fn number(line: Option<&[u8]>, mark: u8) -> Result<u64, Trouble> {
        let line = line.ok_or(Trouble::Truncated)?;
        match line.split_first() {
            Some((first, digits)) if *first == mark => {
                crate::util::num::parse_u64(digits).ok_or(Trouble::Format)
            }
            _ => Err(Trouble::Format),
        }
    }

    /// The next command or annotation.
    #[allow(clippy::should_implement_trait)] // An error is the end only if the caller says so.
    pub fn next(&mut self) -> Result<Line, Trouble> {
        let Some(line) = self.line(b"*#")? else {
            return Ok(Line::End);
        };
        if let Some(remark) = line.strip_prefix(b"#") {
            if let Some(bytes) = parse_follows(remark) {
                return Ok(Line::Follows(bytes));
            }
            let seconds = remark
                .strip_prefix(b"TS:")
                .and_then(crate::util::num::parse_i64);
            return Ok(seconds.map_or(Line::Remark, Line::Timestamp));
        }
        let words = Self::number(Some(line), b'*')?;
        if words == 0 {
            return Err(Trouble::Format);
        }
        let mut argv = crate::resp::argv::OwnedArgv::default();
        for _ in 0..words {
            let len = Self::number(self.line(b"$")?, b'$')?;
            self.word(len, &mut argv)?;
        }
        Ok(Line::Command(argv))
    }

    fn word(&mut self, len: u64, argv: &mut OwnedArgv) -> Result<(), Trouble> {
        let len = usize::try_from(len)
            .ok()
            .filter(|len| *len < u32::MAX as usize)
            .ok_or(Trouble::Format)?;
        if len < BIG {
            while self.buf.len() - self.at < len + 2 {
                if !self.more()? {
                    return Err(Trouble::Truncated);
                }
            }
            let end = self.at + len;
            argv.push(&self.buf[self.at..end]);
            self.at = end;
            return self.end_of_word();
        }
        let mut word = BigStr::try_with_capacity(len.min(TRUSTED)).map_err(|_| Trouble::Format)?;
        let mut left = len;
        while left > 0 {
            if self.at == self.buf.len() && !self.more()? {
                return Err(Trouble::Truncated);
            }
            let part = left.min(self.buf.len() - self.at);
            let piece = &self.buf[self.at..self.at + part];
            if word.make_mut().extend_from_slice(piece).is_err() {
                return Err(Trouble::Format);
            }
            self.at += part;
            left -= part;
        }
        argv.push_big(word);
        while self.buf.len() - self.at < 2 {
            if !self.more()? {
                return Err(Trouble::Truncated);
            }
        }
        self.end_of_word()
    }

    /// The line break behind a word, which is in the buffer. Where it is not, the word is not what was written: its
    /// last bytes may be zeros that a power cut left.
    fn end_of_word(&mut self) -> Result<(), Trouble> {
        if !self.buf[self.at..].starts_with(b"\r\n") {
            return Err(Trouble::Format);
        }
        self.at += 2;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::rng::Rng;

    fn reader(text: &[u8]) -> CommandReader {
        CommandReader::new(Box::new(io::Cursor::new(text.to_vec())), Vec::new(), 0)
    }

    fn words(argv: &OwnedArgv) -> Vec<Vec<u8>> {
        argv.as_argv().iter().map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn commands_and_annotations_are_read() {
        let mut text = b"#TS:17\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n# x\n*1\r\n$40000\r\n".to_vec();
        text.extend(vec![b'v'; 40_000]);
        text.extend(b"\r\n");
        let mut reader = reader(&text);
        assert!(matches!(reader.next(), Ok(Line::Timestamp(17))));
        match reader.next() {
            Ok(Line::Command(argv)) => assert_eq!(words(&argv), [&b"GET"[..], b"k"]),
            other => panic!("{other:?}"),
        }
        assert!(matches!(reader.next(), Ok(Line::Remark)));
        match reader.next() {
            Ok(Line::Command(argv)) => assert_eq!(words(&argv)[0].len(), 40_000),
            other => panic!("{other:?}"),
        }
        assert_eq!(reader.position(), text.len() as u64);
        assert!(matches!(reader.next(), Ok(Line::End)));
    }

    #[test]
    fn every_cut_is_told_from_nonsense() {
        let text = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\nvv\r\n";
        for end in 1..text.len() {
            let cut = reader(&text[..end]).next();
            assert!(
                matches!(cut, Err(Trouble::Truncated)),
                "cut at {end}: {cut:?}"
            );
        }
        for bad in [
            // Garbage at the end was cut off as if it were half of a command: real Redis refuses it.
            &b"garbage"[..],
            b"\0\0",
            b"*x",
            b"*1\r\ng",
            b"*1\r\n$4\r\nPI\0\0\0\0",
            b"!\r\n",
            b"*0\r\n",
            b"*x\r\n",
            b"*1\r\n!3\r\n",
            b"*-1\r\n",
        ] {
            assert!(
                matches!(reader(bad).next(), Err(Trouble::Format)),
                "{bad:?}"
            );
        }
        // Found by fuzzing: a line too long was refused when it came in pieces, and taken when it came at once.
        let long = [
            &b"#"[..],
            &[b'x'; MAX_LINE - 1],
            b"\n#",
            &[b'x'; MAX_LINE],
            b"\n",
        ]
        .concat();
        for cut in [0, 1, MAX_LINE, 2 * MAX_LINE, long.len()] {
            let (head, tail) = long.split_at(cut);
            let tail = Box::new(io::Cursor::new(tail.to_vec()));
            let mut reader = CommandReader::new(tail, head.to_vec(), 0);
            assert!(matches!(reader.next(), Ok(Line::Remark)), "cut at {cut}");
            assert!(
                matches!(reader.next(), Err(Trouble::Format)),
                "cut at {cut}"
            );
        }
        let mut rng = Rng::new(5);
        for _ in 0..20_000 {
            let mut text = text.to_vec();
            for _ in 0..3 {
                let at = rng.below(text.len() as u64) as usize;
                text[at] = rng.next_u64() as u8;
            }
            let mut reader = reader(&text);
            while let Ok(line) = reader.next() {
                if matches!(line, Line::End) {
                    break;
                }
            }
        }
    }
}
