//! The manifest of the append-only file: the names of its files, in the order in which they are loaded.
//!
//! ```text
//!   file appendonly.aof.2.base.rdb seq 2 type b      what the last rewrite wrote
//!   file appendonly.aof.1.incr.aof seq 1 type h      no longer needed, to be deleted
//!   file appendonly.aof.4.incr.aof seq 4 type i      commands since, in this order; the last is written to
//! ```
//!
//! A rewrite changes it three times. `appendonly.aof` is shortened to `a` here:
//!
//! ```text
//!   before             file a.1.base.rdb seq 1 type b      keys as of the last rewrite
//!                      file a.1.incr.aof seq 1 type i      SET x 1, INCR n, …
//!
//!   BGREWRITEAOF       file a.1.base.rdb seq 1 type b
//!   begins:            file a.1.incr.aof seq 1 type i      complete: everything before the snapshot
//!   snapshot taken     file a.2.incr.aof seq 2 type i      commands from now on
//!
//!   the new base       file a.2.base.rdb seq 2 type b      = a.1.base.rdb + a.1.incr.aof
//!   is on disk         file a.1.incr.aof seq 1 type h
//!                      file a.1.base.rdb seq 1 type h
//!                      file a.2.incr.aof seq 2 type i
//!
//!   the old files      file a.2.base.rdb seq 2 type b
//!   are deleted        file a.2.incr.aof seq 2 type i
//! ```
//!
//! Each of the four loads to the same data set, whichever of them a crash leaves. If the rewrite fails, the second
//! stays, with two increments, and the next rewrite opens a.3.incr.aof.
//!
//! A number is used once: neither a file of history nor a file that merely lies in the directory gives its name to a
//! new one, since a manifest that a power cut brings back may still name it.
//!
//! Mirrors: aofManifest of server.h, aofLoadManifestFromFile() and its neighbours in aof.c.
//! Differs: Redis starts again at number 1 where its manifest has no increment, whatever is history.

use std::io;
use std::path::{Path, PathBuf};

use crate::sys::files::Disk;
use crate::util::args::{needs_repr, repr, split};

/// Longest line read.
const MAX_LINE: usize = 1024;
/// Largest manifest read, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// One file of the manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileInfo {
    pub name: String,
    pub sequence: i64,
    /// Of an increment: the position of the stream of effects (`master_repl_offset`) where it begins. Files that Redis
    /// before 8.0 began have none.
    pub start: Option<u64>,
    /// The position where it ends, of a file that was closed in good order and has not been appended to since.
    pub end: Option<u64>,
}

/// The manifest: base, history and increments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    pub base: Option<FileInfo>,
    pub history: Vec<FileInfo>,
    pub increments: Vec<FileInfo>,
    base_sequence: i64,
    increment_sequence: i64,
}

/// The fault of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadManifest {
    pub reason: &'static str,
    /// The number of the line at fault, from 1, and its text.
    pub line: Option<(usize, String)>,
}

/// The directory and the names of the files.
#[derive(Debug, Clone)]
pub struct Names {
    pub directory: PathBuf,
    /// `appendfilename`.
    pub stem: String,
}

impl Names {
    pub fn manifest(&self) -> PathBuf {
        self.directory.join(format!("{}.manifest", self.stem))
    }

    /// Where commands go while the first rewrite runs.
    #[doc(alias = "getTempIncrAofName")]
    pub fn temporary_increment(&self) -> String {
        format!("temp-{}.incr", self.stem)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl FileInfo {
    /// The line that names it.
    fn line(&self, kind: char) -> String {
        let mut quoted = Vec::new();
        let name = if needs_repr(self.name.as_bytes()) {
            repr(&mut quoted, self.name.as_bytes());
            String::from_utf8_lossy(&quoted)
        } else {
            self.name.as_str().into()
        };
        let mut line = format!("file {name} seq {} type {kind}", self.sequence);
        if let Some(start) = self.start {
            line += &format!(" startoffset {start}");
            if let Some(end) = self.end {
                line += &format!(" endoffset {end}");
            }
        }
        line.push('\n');
        line
    }
}

impl Manifest {
    /// Reads the manifest of a directory; an empty one if there is none.
    #[doc(alias = "aofLoadManifestFromDisk")]
    pub fn load(disk: &Disk, path: &Path) -> Result<Manifest, Result<BadManifest, io::Error>> {
        match disk.read(path, MAX_FILE) {
            Ok(text) => Manifest::parse(&text).map_err(Ok),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Manifest::default()),
            Err(error) => Err(Err(error)),
        }
    }

    /// Reads the text of a manifest.
    #[doc(alias = "aofLoadManifestFromFile")]
    pub fn parse(text: &[u8]) -> Result<Manifest, BadManifest> {
        let bad = |reason| BadManifest { reason, line: None };
        if text.is_empty() {
            return Err(bad("Found an empty AOF manifest"));
        }
        let mut manifest = Manifest::default();
        for (number, line) in text.split_inclusive(|b| *b == b'\n').enumerate() {
            if line.starts_with(b"#") {
                continue;
            }
            if line.len() > MAX_LINE || !line.ends_with(b"\n") {
                return Err(bad("The AOF manifest file contains too long line"));
            }
            let line = line.trim_ascii();
            manifest.add_line(line).map_err(|reason| BadManifest {
                reason,
                line: Some((number + 1, String::from_utf8_lossy(line).into_owned())),
            })?;
        }
        Ok(manifest)
    }

    fn add_line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        const FORMAT: &str = "Invalid AOF manifest file format";
        let words = split(line).map_err(|_| FORMAT)?;
        if words.len() < 6 || !words.len().is_multiple_of(2) {
            return Err(FORMAT);
        }
        let (mut name, mut sequence, mut kind) = (None, 0, 0);
        let (mut start, mut end) = (None, None);
        for pair in words.chunks_exact(2) {
            let (key, value) = (&pair[0], &pair[1]);
            if key.eq_ignore_ascii_case(b"file") {
                let text = String::from_utf8(value.clone()).map_err(|_| FORMAT)?;
                if text.contains('/') || text.contains('\\') {
                    return Err("File can't be a path, just a filename");
                }
                name = Some(text);
            } else if key.eq_ignore_ascii_case(b"seq") {
                sequence = crate::util::num::parse_i64(value).unwrap_or(0);
            } else if key.eq_ignore_ascii_case(b"type") {
                kind = value.first().copied().unwrap_or(0);
            } else if key.eq_ignore_ascii_case(b"startoffset") {
                start = position(value);
            } else if key.eq_ignore_ascii_case(b"endoffset") {
                end = position(value);
            }
        }
        let Some(name) = name.filter(|_| sequence != 0 && kind != 0) else {
            return Err(FORMAT);
        };
        let file = FileInfo {
            name,
            sequence,
            start,
            end,
        };
        // Every line is written again, and what is quoted becomes longer: it must still be one that is read.
        if file.line('b').len() > MAX_LINE {
            return Err(FORMAT);
        }
        match kind {
            b'b' if self.base.is_some() => Err("Found duplicate base file information"),
            b'b' => {
                self.base_sequence = self.base_sequence.max(sequence);
                self.base = Some(file);
                Ok(())
            }
            b'h' => {
                self.count_history(&file);
                self.history.push(file);
                Ok(())
            }
            b'i' => {
                let last = self.increments.last().map_or(0, |file| file.sequence);
                if sequence <= last {
                    return Err("Found a non-monotonic sequence number");
                }
                self.increment_sequence = self.increment_sequence.max(sequence);
                self.increments.push(file);
                Ok(())
            }
            _ => Err("Unknown AOF file type"),
        }
    }

    /// The text of the file.
    #[doc(alias = "getAofManifestAsString")]
    pub fn text(&self) -> String {
        let base = self.base.iter().map(|file| file.line('b'));
        let history = self.history.iter().map(|file| file.line('h'));
        let increments = self.increments.iter().map(|file| file.line('i'));
        base.chain(history).chain(increments).collect()
    }

    /// Notes that the number of a history file is taken.
    fn count_history(&mut self, file: &FileInfo) {
        let is_base = file.name.ends_with(".base.rdb") || file.name.ends_with(".base.aof");
        if !file.name.ends_with(".incr.aof") {
            self.base_sequence = self.base_sequence.max(file.sequence);
        }
        if !is_base {
            self.increment_sequence = self.increment_sequence.max(file.sequence);
        }
    }

    /// No file to load.
    pub fn is_empty(&self) -> bool {
        self.base.is_none() && self.increments.is_empty()
    }

    /// The base, then the increments.
    pub fn in_order(&self) -> impl Iterator<Item = &FileInfo> {
        self.base.iter().chain(&self.increments)
    }

    /// The same manifest without history: the files that a load of the data set reads.
    pub fn without_history(&self) -> Manifest {
        Manifest {
            history: Vec::new(),
            ..self.clone()
        }
    }

    /// Names the next base, which no file that `is_taken` knows is called; the one there was becomes history.
    #[doc(alias = "getNewBaseFileNameAndMarkPreAsHistory")]
    pub fn next_base(
        &mut self,
        stem: &str,
        rdb: bool,
        mut is_taken: impl FnMut(&str) -> bool,
    ) -> String {
        if let Some(old) = self.base.take() {
            self.history.insert(0, old);
        }
        let suffix = if rdb { "rdb" } else { "aof" };
        let name = loop {
            self.base_sequence += 1;
            let name = format!("{stem}.{}.base.{suffix}", self.base_sequence);
            if !is_taken(&name) {
                break name;
            }
        };
        self.base = Some(FileInfo {
            name: name.clone(),
            sequence: self.base_sequence,
            ..FileInfo::default()
        });
        name
    }

    /// A single file of a Redis before version 7 becomes the base.
    pub fn adopt(&mut self, name: &str) {
        self.base_sequence = 1;
        self.base = Some(FileInfo {
            name: name.to_owned(),
            sequence: 1,
            ..FileInfo::default()
        });
    }

    /// Names the next increment, which no file that `is_taken` knows is called. It begins at position `start` of the
    /// stream of effects.
    #[doc(alias = "getNewIncrAofName")]
    pub fn next_increment(
        &mut self,
        stem: &str,
        start: u64,
        mut is_taken: impl FnMut(&str) -> bool,
    ) -> String {
        let name = loop {
            self.increment_sequence += 1;
            let name = format!("{stem}.{}.incr.aof", self.increment_sequence);
            if !is_taken(&name) {
                break name;
            }
        };
        self.increments.push(FileInfo {
            name: name.clone(),
            sequence: self.increment_sequence,
            start: Some(start),
            end: None,
        });
        name
    }

    /// The last increment, which was never written to, becomes history.
    pub fn retire_last_increment(&mut self) {
        self.history.extend(self.increments.pop());
    }

    /// Takes the names of history that may be deleted: not those of files that are in use, which a manifest of a server
    /// that used a number twice can list.
    pub fn take_history(&mut self) -> Vec<FileInfo> {
        let mut history = std::mem::take(&mut self.history);
        history.retain(|old| self.in_order().all(|file| file.name != old.name));
        history
    }

    /// Turns the increments that a rewrite has replaced into history: all but the `kept` last ones.
    #[doc(alias = "markRewrittenIncrAofAsHistory")]
    pub fn retire_increments(&mut self, kept: usize) {
        let old = self.increments.len().saturating_sub(kept);
        for file in self.increments.drain(..old).rev() {
            self.history.insert(0, file);
        }
    }
}

/// A position of the stream in the words of a manifest.
fn position(text: &[u8]) -> Option<u64> {
    crate::util::num::parse_u64(text).filter(|n| *n <= i64::MAX as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> &'static str {
        Manifest::parse(text.as_bytes()).expect_err("bad").reason
    }

    fn free(_: &str) -> bool {
        false
    }

    #[test]
    fn what_is_written_is_read() {
        let mut manifest = Manifest::default();
        assert_eq!(manifest.next_base("a.aof", true, free), "a.aof.1.base.rdb");
        assert_eq!(
            manifest.next_increment("a.aof", 5, free),
            "a.aof.1.incr.aof"
        );
        assert_eq!(
            manifest.next_increment("a.aof", 5, free),
            "a.aof.2.incr.aof"
        );
        assert_eq!(manifest.next_base("a.aof", false, free), "a.aof.2.base.aof");
        manifest.retire_increments(1);
        assert_eq!(
            manifest.text(),
            "file a.aof.2.base.aof seq 2 type b\n\
             file a.aof.1.incr.aof seq 1 type h startoffset 5\n\
             file a.aof.1.base.rdb seq 1 type h\n\
             file a.aof.2.incr.aof seq 2 type i startoffset 5\n"
        );
        let read = Manifest::parse(manifest.text().as_bytes()).expect("our own");
        assert_eq!(read, manifest);
        let mut spaced = Manifest::default();
        spaced.next_increment("a b", 0, free);
        let read = Manifest::parse(spaced.text().as_bytes()).expect("quoted");
        assert_eq!(read, spaced);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(reason(""), "Found an empty AOF manifest");
        assert_eq!(reason("\n"), "Invalid AOF manifest file format");
        assert_eq!(
            reason("file x seq 1 typo b\n"),
            "Invalid AOF manifest file format"
        );
        assert_eq!(
            reason("file x seq b type b\n"),
            "Invalid AOF manifest file format"
        );
        assert_eq!(reason("file x seq 1 type x\n"), "Unknown AOF file type");
        assert_eq!(
            reason("file a/b seq 1 type b\n"),
            "File can't be a path, just a filename"
        );
        let two = "file x seq 1 type b\nfile y seq 2 type b\n";
        assert_eq!(reason(two), "Found duplicate base file information");
        let back = "file x seq 2 type i\nfile y seq 1 type i\n";
        assert_eq!(reason(back), "Found a non-monotonic sequence number");
        let long = format!("file {} seq 1 type b\n", "x".repeat(2000));
        assert_eq!(
            reason(&long),
            "The AOF manifest file contains too long line"
        );
        // Bytes that are written as four characters each made a line of its own that it refused at the next start.
        let fits = format!("file {} seq 1 type b\n", "\x05".repeat(240));
        let read = Manifest::parse(fits.as_bytes()).expect("a name that files can have");
        assert_eq!(Manifest::parse(read.text().as_bytes()).as_ref(), Ok(&read));
        let grows = format!("file {} seq 1 type b\n", "\x05".repeat(300));
        assert_eq!(reason(&grows), "Invalid AOF manifest file format");
        let of_redis = "file x seq 1 type i startoffset 100 endoffset 200\n";
        let read = Manifest::parse(of_redis.as_bytes()).expect("a line of Redis 8");
        assert_eq!(
            (read.increments[0].start, read.increments[0].end),
            (Some(100), Some(200))
        );
        assert_eq!(read.text(), of_redis);
        let odd = b"file x seq 1 type i startoffset -1 endoffset 99999999999999999999\n";
        let read = Manifest::parse(odd).expect("a line");
        assert_eq!(read.text(), "file x seq 1 type i\n");
        let extra = b"# words\nfile x seq 1 type b extra word\n";
        assert!(Manifest::parse(extra).is_ok());
    }

    /// A rewrite while the AOF was off left a manifest without increments, and numbers began again at 1: the history
    /// that was deleted later was the file being written.
    #[test]
    fn a_number_is_used_once() {
        let text = "file a.2.base.rdb seq 2 type b\n\
                    file a.7.incr.aof seq 7 type h\n\
                    file a.9.base.aof seq 9 type h\n";
        let mut manifest = Manifest::parse(text.as_bytes()).expect("a manifest");
        let there = |name: &str| name == "a.8.incr.aof" || name == "a.10.base.rdb";
        assert_eq!(manifest.next_increment("a", 0, there), "a.9.incr.aof");
        assert_eq!(manifest.next_base("a", true, there), "a.11.base.rdb");
        // As such a server left it.
        let text = "file a.1.base.rdb seq 1 type b\n\
                    file a.1.incr.aof seq 1 type h\n\
                    file a.1.incr.aof seq 1 type i\n";
        let mut manifest = Manifest::parse(text.as_bytes()).expect("a manifest");
        assert_eq!(manifest.take_history(), []);
    }
}
