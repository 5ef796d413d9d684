//! The order of writes: every step that changes which files are the append-only file, in the one place where they are.
//!
//! ```text
//!   a new increment     make it, empty ──► [manifest]                          then it is written to
//!   a new base          temp file, fsync ──► rename ──► [manifest]             then old files are deleted
//!   [manifest]          fsync directory ──► temp file, fsync ──► rename ──► fsync directory
//!                       (what it names is there)              (from here on it may be in force)  (it is)
//! ```
//!
//! Four rules, which `docs/decisions/order-of-writes.md` explains with an example each:
//!
//! 1. A manifest is put in its place when all that it names is on disk, under those names.
//! 2. A name is used once, so a file that some manifest names is never emptied or replaced.
//! 3. A file is deleted when a manifest that does not name it is certainly in force: its directory was forced to disk.
//!    Where that failed, both the old and the new manifest must do, and nothing is deleted ([`NotInForce::Maybe`]).
//! 4. A byte belongs to one increment. The next one begins when the one before is complete, and says how long that one
//!    is ([`follows`]), so that a power cut that took the end of the one takes the other with it.
//!
//! Mirrors: persistAofManifest(), openNewIncrAofForAppend(), backgroundRewriteDoneHandler() of aof.c.
//! Differs: Redis forces the directory to disk once, after the rename; deletes the base when that fails; and begins the
//! next increment while the one before may still be lost.

use std::io::{self, Write};
use std::path::Path;

use super::manifest::{Manifest, Names};
use crate::config::disk::reason;
use crate::sys::files::{Disk, File};

/// Why a manifest may not be in force. Each has the line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::persistence) enum NotInForce {
    /// The old one is.
    No(String),
    /// The new one is seen, but after a power cut it may be the old one again.
    Maybe(String),
}

impl NotInForce {
    pub(in crate::persistence) fn line(self) -> String {
        match self {
            NotInForce::No(line) | NotInForce::Maybe(line) => line,
        }
    }
}

/// The append-only files of a directory.
#[derive(Debug, Clone, Copy)]
pub(in crate::persistence) struct Order<'a> {
    pub disk: &'a Disk,
    pub names: &'a Names,
}

impl Order<'_> {
    /// Makes the directory, and its entry safe. The error is the line for the log.
    pub(in crate::persistence) fn make_directory(&self) -> Result<(), String> {
        let directory = &self.names.directory;
        self.disk.make_dir(directory).map_err(|error| {
            let name = directory.file_name().unwrap_or_default().display();
            format!(
                "Can't open or create append-only dir {name}: {}",
                reason(&error)
            )
        })
    }

    /// Puts a manifest in the place of the one there is.
    #[doc(alias = "persistAofManifest")]
    pub(in crate::persistence) fn persist(&self, manifest: &Manifest) -> Result<(), NotInForce> {
        let names = self.names;
        let short = format!("temp-{}.manifest", names.stem);
        let temporary = names.path(&short);
        self.sync_directory().map_err(NotInForce::No)?;
        let renamed = self.write_manifest(manifest, &short).and_then(|()| {
            let renamed = self.disk.rename(&temporary, &names.manifest());
            renamed.map_err(|error| {
                format!(
                    "Error trying to rename the temporary AOF manifest file {short} into \
                     {}.manifest: {}",
                    names.stem,
                    reason(&error)
                )
            })
        });
        if let Err(line) = renamed {
            // The error that counts is the first one.
            let _ = self.disk.remove_file(&temporary);
            return Err(NotInForce::No(line));
        }
        self.sync_directory().map_err(NotInForce::Maybe)
    }

    fn write_manifest(&self, manifest: &Manifest, short: &str) -> Result<(), String> {
        let file = self.disk.create(&self.names.path(short));
        let mut file =
            file.map_err(|e| format!("Can't open the AOF manifest file {short}: {}", reason(&e)))?;
        file.write_all(manifest.text().as_bytes()).map_err(|e| {
            let why = reason(&e);
            format!("Error trying to write the temporary AOF manifest file {short}: {why}")
        })?;
        file.sync_all()
            .map_err(|e| format!("Fail to fsync the temp AOF file {short}: {}.", reason(&e)))
    }

    fn sync_directory(&self) -> Result<(), String> {
        let directory = &self.names.directory;
        self.disk.sync_dir(directory).map_err(|error| {
            let why = reason(&error);
            format!(
                "Fail to fsync AOF directory {}: {why}.",
                directory.display()
            )
        })
    }

    /// A new increment at the end of `manifest`, in a file that nothing was called before. The manifest on disk does
    /// not name it yet. `start`: the position of the stream where it begins. The error is the line for the log.
    #[doc(alias = "openNewIncrAofForAppend")]
    pub(in crate::persistence) fn new_increment(
        &self,
        manifest: &mut Manifest,
        start: u64,
    ) -> Result<(String, File), String> {
        let name = manifest.next_increment(&self.names.stem, start, |name| self.is_taken(name));
        let file = self.disk.append_new(&self.names.path(&name));
        match file {
            Ok(file) => Ok((name, file)),
            Err(error) => Err(cannot_open(&name, &error)),
        }
    }

    /// A finished file becomes the base of `manifest`; with `increment`, commands that were appended to a temporary
    /// file from a position of the stream on become its next increment. The manifest on disk does not name them yet. Their names, or the line for the
    /// log: then both are gone.
    pub(in crate::persistence) fn new_base(
        &self,
        manifest: &mut Manifest,
        temporary: &Path,
        as_rdb: bool,
        increment: Option<(&str, u64)>,
    ) -> Result<(String, Option<String>), String> {
        let stem = &self.names.stem;
        let base = manifest.next_base(stem, as_rdb, |name| self.is_taken(name));
        self.rename(temporary, &base, "base")?;
        let Some((from, start)) = increment else {
            return Ok((base, None));
        };
        let to = manifest.next_increment(stem, start, |name| self.is_taken(name));
        match self.rename(&self.names.path(from), &to, "incr") {
            Ok(()) => Ok((base, Some(to))),
            Err(line) => {
                // No manifest names it.
                let _ = self.disk.remove_file(&self.names.path(&base));
                Err(line)
            }
        }
    }

    fn rename(&self, from: &Path, to: &str, what: &str) -> Result<(), String> {
        let renamed = self.disk.rename(from, &self.names.path(to));
        renamed.map_err(|error| {
            format!(
                "Error trying to rename the temporary AOF {what} file {} into {to}: {}",
                from.display(),
                reason(&error)
            )
        })
    }

    fn is_taken(&self, name: &str) -> bool {
        self.disk.exists(&self.names.path(name))
    }

    /// Makes sure that everything in the files of `manifest` is on disk: the process that wrote it may have been killed
    /// before it came to that. The error is the line for the log.
    pub(in crate::persistence) fn sync_all(&self, manifest: &Manifest) -> Result<(), String> {
        for file in manifest.in_order() {
            // To force it to disk it need not be writable.
            let synced = self.disk.open(&self.names.path(&file.name));
            synced.and_then(|file| file.sync_all()).map_err(|error| {
                let why = reason(&error);
                format!("Fail to fsync the AOF file {}: {why}", file.name)
            })?;
        }
        Ok(())
    }
}

pub(in crate::persistence) fn cannot_open(name: &str, error: &io::Error) -> String {
    format!("Can't open the append-only file {name}: {}", reason(error))
}

const FOLLOWS: &str = "#FOLLOWS:";

/// The annotation that an increment begins with: how many bytes the increment before it has. Redis skips it.
pub(in crate::persistence) fn follows(bytes: u64) -> String {
    format!("{FOLLOWS}{bytes}\r\n")
}

/// How many bytes the increment before has, if a line says that; the line is without its end and its `#`.
pub(in crate::persistence) fn parse_follows(remark: &[u8]) -> Option<u64> {
    let bytes = remark.strip_prefix(&FOLLOWS.as_bytes()[1..])?;
    crate::util::num::parse_u64(bytes)
}

/// Whether a line that does not end could have become such an annotation.
pub(in crate::persistence) fn begins_follows(line: &[u8]) -> bool {
    match line.strip_prefix(FOLLOWS.as_bytes()) {
        Some(bytes) => bytes.trim_ascii_end().iter().all(u8::is_ascii_digit),
        None => FOLLOWS.as_bytes().starts_with(line),
    }
}
