//! `oxidis-check-aof`: reads append-only files without running them, and cuts a broken tail off if asked to.
//!
//! ```text
//!   a manifest         every file it lists, in order; only the last may be cut
//!   an RDB and more    the RDB as `oxidis-check-rdb` does, then the commands behind it
//!   anything else      commands
//!
//!   ok_up_to  ──►  the end of the last whole command outside MULTI … EXEC: where `--fix` cuts
//! ```
//!
//! Invariant: a file is changed only by `--fix`, after a `y`, and by `--truncate-to-timestamp`; memory is bounded
//! whatever lengths a file claims.
//!
//! Mirrors: redis-check-aof.c, its output and exit codes.
//! Differs: a file is opened for writing only to be cut, so a read-only one can be checked.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::manifest::{FileInfo, Manifest};
use super::reader::MAX_LINE;
use crate::config::disk::reason;
use crate::persistence::rdb::check::{self as rdb, path_of};
use crate::sys::files::{Disk, File};

/// Longest line of a count or a length.
const MAX_NUMBER: usize = 127;
/// A command's name is kept as far as it could be MULTI or EXEC.
const NAME: usize = 8;

/// The tool: its arguments, its own name being the first, to the code to exit with.
#[doc(alias = "redis_check_aof_main")]
pub fn run(arguments: &[Vec<u8>], input: &mut dyn BufRead, out: &mut dyn Write) -> i32 {
    let words: Vec<&[u8]> = arguments.iter().skip(1).map(Vec::as_slice).collect();
    let (file, fix, until) = match words[..] {
        [b"-v" | b"--version"] => {
            let written = writeln!(out, "oxidis-check-aof {}", crate::version());
            return i32::from(written.is_err());
        }
        [file] => (file, false, None),
        [b"--fix", file] => (file, true, None),
        [b"--truncate-to-timestamp", until, file] => {
            let Some(until) = crate::util::num::parse_i64(until) else {
                let _ = writeln!(out, "Invalid timestamp, aborting...");
                return 1;
            };
            (file, false, Some(until).filter(|until| *until != 0))
        }
        _ => {
            let name = arguments
                .first()
                .map_or(&b"oxidis-check-aof"[..], |name| name);
            let _ = writeln!(
                out,
                "Usage: {} [--fix|--truncate-to-timestamp $timestamp] <file.manifest|file.aof>",
                String::from_utf8_lossy(name)
            );
            return 1;
        }
    };
    let path = path_of(file);
    let mut checker = Checker {
        out,
        input,
        fix,
        until,
        lines: 1,
    };
    let sound = checker.check(&path).is_ok();
    // If the report cannot be written, the exit code is all that is left to tell.
    i32::from(checker.out.flush().is_err() || !sound)
}

/// The check is over and its reason printed: the exit code is 1.
#[derive(Debug)]
struct Stop;

type Result<T> = std::result::Result<T, Stop>;

/// The result of the check of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    Sound,
    Empty,
    Cut,
    CutToTimestamp,
}

struct Checker<'a> {
    out: &'a mut dyn Write,
    /// Where the answer to "Continue?" comes from.
    input: &'a mut dyn BufRead,
    fix: bool,
    /// Unix seconds: commands written later are cut off.
    until: Option<i64>,
    /// See [`Scan::lines`].
    lines: u64,
}

impl Checker<'_> {
    fn say(&mut self, line: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.out, "{line}");
    }

    fn stop(&mut self, line: std::fmt::Arguments<'_>) -> Stop {
        self.say(line);
        Stop
    }

    fn check(&mut self, path: &Path) -> Result<()> {
        if self.begins_like(path, is_manifest)? {
            return self.check_parts(path);
        }
        let preamble = self.begins_like(path, is_rdb)?;
        self.say(format_args!("Start checking Old-Style AOF"));
        let name = path.display().to_string();
        let finding = self.check_file(&name, path, true, preamble)?;
        self.tell(finding, "AOF", &name);
        Ok(())
    }

    fn begins_like(
        &mut self,
        path: &Path,
        what: fn(&mut dyn BufRead) -> io::Result<bool>,
    ) -> Result<bool> {
        let opened = Disk::machine().open(path);
        let opened = opened.and_then(|file| what(&mut BufReader::new(file)));
        opened.map_err(|error| {
            self.stop(format_args!(
                "Cannot open file {}: {}",
                path.display(),
                reason(&error)
            ))
        })
    }

    /// A manifest and the files it lists.
    #[doc(alias = "checkMultiPartAof")]
    fn check_parts(&mut self, path: &Path) -> Result<()> {
        self.say(format_args!("Start checking Multi Part AOF"));
        let manifest = match Manifest::load(&Disk::machine(), path) {
            Ok(manifest) => manifest,
            Err(Ok(bad)) => {
                self.say(format_args!("\n*** FATAL AOF MANIFEST FILE ERROR ***"));
                if let Some((number, line)) = bad.line {
                    self.say(format_args!("Reading the manifest file, at line {number}"));
                    self.say(format_args!(">>> '{line}'"));
                }
                return Err(self.stop(format_args!("{}", bad.reason)));
            }
            Err(Err(error)) => {
                let reason = reason(&error);
                return Err(self.stop(format_args!("Cannot read file: {reason}")));
            }
        };
        let directory = path.parent().unwrap_or(Path::new(""));
        let last = manifest.in_order().last().cloned();
        let is_last = |file: &FileInfo| last.as_ref() == Some(file);
        if let Some(base) = &manifest.base {
            let path = directory.join(&base.name);
            let preamble = self.begins_like(&path, is_rdb)?;
            let format = if preamble { "RDB" } else { "RESP" };
            self.say(format_args!("Start to check BASE AOF ({format} format)."));
            let finding = self.check_file(&base.name, &path, is_last(base), preamble)?;
            self.tell(finding, "BASE AOF", &base.name);
        }
        if !manifest.increments.is_empty() {
            self.say(format_args!("Start to check INCR files."));
        }
        for file in &manifest.increments {
            let path = directory.join(&file.name);
            let finding = self.check_file(&file.name, &path, is_last(file), false)?;
            self.tell(finding, "INCR AOF", &file.name);
        }
        self.say(format_args!("All AOF files and manifest are valid"));
        Ok(())
    }

    #[doc(alias = "printAofStyle")]
    fn tell(&mut self, finding: Finding, kind: &str, name: &str) {
        match finding {
            Finding::Sound => self.say(format_args!("{kind} {name} is valid")),
            Finding::Empty => self.say(format_args!("{kind} {name} is empty")),
            Finding::Cut => self.say(format_args!("Successfully truncated AOF {name}")),
            Finding::CutToTimestamp => {
                let until = self.until.unwrap_or(0);
                self.say(format_args!(
                    "Successfully truncated AOF {name} to timestamp {until}"
                ));
            }
        }
    }

    /// One file; `preamble`: it begins with an RDB.
    #[doc(alias = "checkSingleAof")]
    fn check_file(
        &mut self,
        name: &str,
        path: &Path,
        is_last: bool,
        preamble: bool,
    ) -> Result<Finding> {
        let opened = Disk::machine().open(path);
        let opened = opened.and_then(|file| Ok((file.len()?, file)));
        let (size, mut file) = opened.map_err(|error| {
            let (path, reason) = (path.display(), reason(&error));
            self.stop(format_args!(
                "Cannot open file {path}: {reason}, aborting..."
            ))
        })?;
        if size == 0 {
            return Ok(Finding::Empty);
        }
        let start = match preamble {
            true => self.check_preamble(name, &mut file, size)?,
            false => 0,
        };
        let mut scan = Scan::new(file, start, self.lines);
        let good = match self.scan(&mut scan, name, path, is_last) {
            Ok(Scanned::UpTo(good)) => good,
            Ok(Scanned::Later(at)) => {
                return match cut(path, at) {
                    Ok(()) => Ok(Finding::CutToTimestamp),
                    Err(_) => {
                        let until = self.until.unwrap_or(0);
                        Err(self.stop(format_args!(
                            "Failed to truncate AOF {} to timestamp {until}",
                            path.display()
                        )))
                    }
                };
            }
            Err(stop) => return Err(stop),
        };
        self.lines = scan.lines;
        if let Some(error) = &scan.error {
            self.say(format_args!("{error}"));
        }
        let rest = size.saturating_sub(good);
        if rest == 0
            && let Some(until) = self.until
        {
            self.say(format_args!(
                "Truncate nothing in AOF {name} to timestamp {until}"
            ));
            return Ok(Finding::Sound);
        }
        self.say(format_args!(
            "AOF analyzed: filename={name}, size={size}, ok_up_to={good}, ok_up_to_line={}, diff={rest}",
            scan.lines
        ));
        if rest == 0 {
            return Ok(Finding::Sound);
        }
        if !self.fix {
            return Err(self.stop(format_args!(
                "AOF {name} is not valid. Use the --fix option to try fixing it."
            )));
        }
        if !is_last {
            return Err(self.stop(format_args!(
                "Failed to truncate AOF {name} because it is not the last file"
            )));
        }
        self.say(format_args!(
            "This will shrink the AOF {name} from {size} bytes, with {rest} bytes, to {good} bytes"
        ));
        let _ = write!(self.out, "Continue? [y/N]: ");
        let _ = self.out.flush();
        let mut answer = [0];
        let answered = self.input.read_exact(&mut answer).is_ok();
        if !answered || !answer.eq_ignore_ascii_case(b"y") {
            return Err(self.stop(format_args!("Aborting...")));
        }
        match cut(path, good) {
            Ok(()) => Ok(Finding::Cut),
            Err(_) => Err(self.stop(format_args!("Failed to truncate AOF {name}"))),
        }
    }

    /// The RDB at the beginning. Where it ends.
    fn check_preamble(&mut self, name: &str, file: &mut File, size: u64) -> Result<u64> {
        match rdb::check(name.as_bytes(), &mut *file, size, self.out) {
            Ok(Some(end)) if file.seek(SeekFrom::Start(end)).is_ok() => {
                self.say(format_args!(
                    "RDB preamble is OK, proceeding with AOF tail..."
                ));
                Ok(end)
            }
            _ => Err(self.stop(format_args!(
                "RDB preamble of AOF file is not sane, aborting."
            ))),
        }
    }

    /// All commands and annotations of a file.
    fn scan(&mut self, scan: &mut Scan, name: &str, path: &Path, is_last: bool) -> Result<Scanned> {
        let mut good = scan.at;
        let mut transaction = false;
        loop {
            if !transaction {
                good = scan.at;
            }
            let next = scan.peek().map_err(|_| {
                self.stop(format_args!("Failed to read from AOF {name}, aborting..."))
            })?;
            match next {
                None => break,
                Some(b'#') => {
                    let at = scan.at;
                    let later = scan
                        .annotation(self.until)
                        .map_err(|line| self.stop(format_args!("{line}")))?;
                    if later {
                        self.may_cut(path, at, is_last)?;
                        return Ok(Scanned::Later(at));
                    }
                }
                Some(b'*') => {
                    if scan.command(&mut transaction, path).is_none() {
                        break;
                    }
                }
                Some(_) => {
                    self.say(format_args!("AOF {name} format error"));
                    break;
                }
            }
        }
        if transaction && scan.error.is_none() && matches!(scan.peek(), Ok(None)) {
            scan.fail("Reached EOF before reading EXEC for MULTI".to_owned());
        }
        Ok(Scanned::UpTo(good))
    }

    /// Whether the file may be cut at `at`, where the commands after the wanted timestamp begin. The error has been
    /// printed.
    fn may_cut(&mut self, path: &Path, at: u64, is_last: bool) -> Result<()> {
        let (path, until) = (path.display(), self.until.unwrap_or(0));
        if at == 0 {
            return Err(self.stop(format_args!(
                "AOF {path} has nothing before timestamp {until}, aborting..."
            )));
        }
        if !is_last {
            self.say(format_args!(
                "Failed to truncate AOF {path} to timestamp {until} to offset {at} because it is \
                 not the last file."
            ));
            return Err(self.stop(format_args!(
                "If you insist, delete the files that the manifest lists after this one, and their \
                 lines in it, by hand. Then run this again."
            )));
        }
        Ok(())
    }
}

/// Where a scan came to.
enum Scanned {
    /// Everything up to here is whole; that may be the end of the file.
    UpTo(u64),
    /// The commands behind this position were written after the wanted timestamp.
    Later(u64),
}

/// A file being read.
struct Scan {
    input: BufReader<File>,
    /// Bytes read.
    at: u64,
    /// The number of the line being read, from 1, in all files of a manifest; annotations do not count.
    lines: u64,
    /// The position at which the current piece began, and the fault in it.
    piece: u64,
    error: Option<String>,
}

impl Scan {
    fn new(file: File, at: u64, lines: u64) -> Scan {
        Scan {
            input: BufReader::with_capacity(128 * 1024, file),
            at,
            lines,
            piece: at,
            error: None,
        }
    }

    fn fail(&mut self, what: String) {
        self.error = Some(format!("0x{:>16x}: {what}", self.piece));
    }

    /// The next byte; `None` at the end.
    fn peek(&mut self) -> io::Result<Option<u8>> {
        loop {
            match self.input.fill_buf() {
                Ok(bytes) => return Ok(bytes.first().copied()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A line with its end; what comes first of the end of the file and `max` bytes ends it, too.
    fn line(&mut self, max: usize) -> Vec<u8> {
        self.piece = self.at;
        let mut line = Vec::new();
        // A file that cannot be read any further ends there.
        let _ = Read::by_ref(&mut self.input)
            .take(max as u64)
            .read_until(b'\n', &mut line);
        self.at += line.len() as u64;
        line
    }

    /// An annotation. Whether it says that what follows was written after `until`.
    #[doc(alias = "processAnnotations")]
    fn annotation(&mut self, until: Option<i64>) -> std::result::Result<bool, &'static str> {
        let line = self.line(MAX_LINE - 1);
        let (Some(until), Some(seconds)) = (until, line.strip_prefix(b"#TS:")) else {
            return Ok(false);
        };
        let end = seconds.iter().position(|b| *b == b'\r').unwrap_or(0);
        match crate::util::num::parse_i64(&seconds[..end]) {
            Some(seconds) => Ok(seconds > until),
            None => Err("Invalid timestamp annotation"),
        }
    }

    /// A command. `None`: it is none; `error` has the reason, unless the file just ends.
    #[doc(alias = "processRESP")]
    fn command(&mut self, transaction: &mut bool, path: &Path) -> Option<()> {
        let words = self.number(b'*')?;
        for word in 0..words {
            let mut name = [0; NAME];
            let name = self.word(&mut name)?;
            if word > 0 {
                continue;
            }
            let unexpected = if name.eq_ignore_ascii_case(b"multi") {
                std::mem::replace(transaction, true).then_some("MULTI")
            } else if name.eq_ignore_ascii_case(b"exec") {
                (!std::mem::replace(transaction, false)).then_some("EXEC")
            } else {
                None
            };
            if let Some(what) = unexpected {
                self.fail(format!("Unexpected {what} in AOF {}", path.display()));
                return None;
            }
        }
        Some(())
    }

    /// A count or a length.
    #[doc(alias = "readLong")]
    fn number(&mut self, mark: u8) -> Option<i64> {
        let line = self.line(MAX_NUMBER);
        let (first, text) = line.split_first()?;
        if *first != mark {
            let (mark, first) = (char::from(mark), char::from(*first));
            self.fail(format!("Expected prefix '{mark}', got: '{first}'"));
            return None;
        }
        let (number, end) = leading_number(text);
        self.end_of_line(end)?;
        Some(number)
    }

    #[doc(alias = "consumeNewline")]
    fn end_of_line(&mut self, end: &[u8]) -> Option<()> {
        let byte = |at: usize| end.get(at).copied().unwrap_or(0);
        let (first, second) = (byte(0), byte(1));
        if [first, second] != *b"\r\n" {
            self.fail(format!("Expected \\r\\n, got: {first:02x}{second:02x}"));
            return None;
        }
        self.lines += 1;
        Some(())
    }

    /// A word; its first bytes.
    #[doc(alias = "readString")]
    fn word<'n>(&mut self, start: &'n mut [u8; NAME]) -> Option<&'n [u8]> {
        let len = self.number(b'$')?;
        let Some(whole) = u64::try_from(len).ok().filter(|_| len <= i64::MAX - 2) else {
            self.fail(format!(
                "Expected to read string of {len} bytes, which is not in the suitable range"
            ));
            return None;
        };
        self.piece = self.at;
        let whole = whole + 2;
        let (mut read, mut end) = (0, [0; 2]);
        while read < whole {
            let bytes = self.input.fill_buf().unwrap_or(&[]);
            let part = (bytes.len() as u64).min(whole - read) as usize;
            if part == 0 {
                self.fail(format!("Expected to read {whole} bytes, got {read} bytes"));
                return None;
            }
            for (i, byte) in bytes[..part].iter().enumerate() {
                let at = read + i as u64;
                if at < NAME as u64 {
                    start[at as usize] = *byte;
                }
                if at + 2 >= whole {
                    end[(at + 2 - whole) as usize] = *byte;
                }
            }
            self.input.consume(part);
            self.at += part as u64;
            read += part as u64;
        }
        self.end_of_line(&end)?;
        Some(&start[..(len as usize).min(NAME)])
    }
}

/// Ends a file at `len` bytes, and forces that to disk.
fn cut(path: &Path, len: u64) -> io::Result<()> {
    let file = Disk::machine().change(path)?;
    file.set_len(len)?;
    file.sync_all()
}

/// Whether it is a manifest: a line that begins with `file`, perhaps behind remarks.
#[doc(alias = "fileIsManifest")]
fn is_manifest(input: &mut dyn BufRead) -> io::Result<bool> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let limited = &mut input.take(MAX_LINE as u64);
        limited.read_until(b'\n', &mut line)?;
        if line.is_empty() || !line.starts_with(b"#") {
            return Ok(line.starts_with(b"file"));
        }
    }
}

/// Whether it begins like an RDB.
#[doc(alias = "fileIsRDB")]
fn is_rdb(input: &mut dyn BufRead) -> io::Result<bool> {
    let mut start = Vec::new();
    input.take(8).read_to_end(&mut start)?;
    Ok(start.len() == 8 && start.starts_with(b"REDIS"))
}

/// The number that a text begins with, as C's `strtol` reads it, and what follows; where there is none, 0 and the text.
fn leading_number(text: &[u8]) -> (i64, &[u8]) {
    let blank = text
        .iter()
        .take_while(|b| matches!(b, b' ' | b'\t'..=b'\r'));
    let from = blank.count();
    let sign = text.get(from).filter(|b| matches!(b, b'+' | b'-'));
    let (from, negative) = (from + usize::from(sign.is_some()), sign == Some(&b'-'));
    let digits = text[from..].iter().take_while(|b| b.is_ascii_digit());
    let upto = from + digits.count();
    if upto == from {
        return (0, text);
    }
    let number = text[from..upto].iter().fold(0i64, |number, digit| {
        let digit = i64::from(digit - b'0');
        let digit = if negative { -digit } else { digit };
        number.saturating_mul(10).saturating_add(digit)
    });
    (number, &text[upto..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_strtol_reads_them() {
        for (text, number, rest) in [
            ("12\r\n", 12, "\r\n"),
            ("\r1\r\n", 1, "\r\n"),
            (" +007x", 7, "x"),
            ("-3", -3, ""),
            ("-", 0, "-"),
            (" \r\n", 0, " \r\n"),
            ("", 0, ""),
            ("99999999999999999999", i64::MAX, ""),
            ("-99999999999999999999", i64::MIN, ""),
        ] {
            assert_eq!(
                leading_number(text.as_bytes()),
                (number, rest.as_bytes()),
                "{text:?}"
            );
        }
    }
}
