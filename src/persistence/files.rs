//! Files that are whole or not there: written aside, forced to disk, renamed, and the directory forced, too.
//!
//! Mirrors: rdbSaveInternal() of rdb.c, rioFile of rio.c.
//! Differs: temporary files of processes that died are found by the number in their names and removed at start.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::rdb::encoder::Sink;
use super::rdb::save::Options;
use super::rdb::{self, Reason};
use crate::background::Job;
use crate::config::disk::reason;
use crate::keyspace::Snapshot;
use crate::sys::files::{Disk, File};

/// Bytes written between two forced flushes, so that the last flush is short.
#[doc(alias = "REDIS_AUTOSYNC_BYTES")]
const SYNC_EVERY: u64 = 4 * 1024 * 1024;

/// A file being written.
#[derive(Debug)]
pub struct FileSink<'a> {
    file: File,
    incremental: bool,
    /// The file is read again at once, so it should stay in the page cache.
    keeps_cache: bool,
    written: u64,
    /// Bytes that are on disk.
    synced: u64,
    job: &'a Job,
}

impl<'a> FileSink<'a> {
    /// `incremental`: force it to disk every few megabytes.
    pub fn new(file: File, incremental: bool, job: &'a Job) -> FileSink<'a> {
        FileSink {
            file,
            incremental,
            keeps_cache: false,
            written: 0,
            synced: 0,
            job,
        }
    }

    /// Forces it to disk and closes it.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        self.is_synced();
        Ok(())
    }

    /// All that was written is on disk.
    fn is_synced(&mut self) {
        if !self.keeps_cache {
            self.file.forget_cache(self.synced, self.written);
        }
        self.synced = self.written;
    }
}

impl Sink for FileSink<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.job.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.file.write_all(bytes)?;
        self.job.wrote(bytes.len() as u64);
        self.written += bytes.len() as u64;
        if self.incremental && self.written - self.synced >= SYNC_EVERY {
            self.file.sync_data()?;
            self.is_synced();
        }
        Ok(())
    }
}

/// Why there is no file, as a line for the log.
#[derive(Debug, Clone)]
pub struct SaveError {
    pub line: String,
    pub cancelled: bool,
}

impl SaveError {
    fn cancelled() -> SaveError {
        SaveError {
            line: "Background saving was cancelled".to_owned(),
            cancelled: true,
        }
    }
}

/// Where an RDB is to go.
#[derive(Debug, Clone)]
pub struct Place {
    pub directory: PathBuf,
    /// Its name while it is not whole.
    pub temporary: String,
    pub name: String,
    pub incremental_sync: bool,
    /// It is read again at once.
    pub keeps_cache: bool,
}

/// Writes a snapshot to a file. Either the whole file is there afterwards, safe from a crash, or the old one is.
#[doc(alias = "rdbSave")]
pub fn write_rdb(
    disk: &Disk,
    place: &Place,
    snapshot: Snapshot,
    options: &Options,
    job: &Job,
) -> Result<u64, SaveError> {
    let temporary = place.directory.join(&place.temporary);
    let written =
        write_temporary(disk, place, &temporary, snapshot, options, job).and_then(|bytes| {
            let target = place.directory.join(&place.name);
            // After a cancelled save the operator may write the file by hand, so a late rename must not replace that.
            let renamed = job.conclude(|| disk.rename(&temporary, &target));
            renamed
            .ok_or_else(SaveError::cancelled)?
            .map_err(|error| SaveError {
                line: format!(
                    "Error moving temp DB file {} on the final destination {} (in server root dir \
                     {}): {}",
                    place.temporary,
                    place.name,
                    place.directory.display(),
                    reason(&error)
                ),
                cancelled: false,
            })
            .map(|()| bytes)
        });
    match written {
        Ok(bytes) => match disk.sync_dir(&place.directory) {
            Ok(()) => Ok(bytes),
            Err(error) => Err(write_error("fsync of the directory", &error)),
        },
        Err(error) => {
            // The error that counts is the first one.
            let _ = disk.remove_file(&temporary);
            Err(error)
        }
    }
}

fn write_temporary(
    disk: &Disk,
    place: &Place,
    temporary: &Path,
    snapshot: Snapshot,
    options: &Options,
    job: &Job,
) -> Result<u64, SaveError> {
    let file = disk.create(temporary).map_err(|error| SaveError {
        line: format!(
            "Failed opening the temp RDB file {} (in server root dir {}) for saving: {}",
            place.temporary,
            place.directory.display(),
            reason(&error)
        ),
        cancelled: false,
    })?;
    let mut sink = FileSink::new(file, place.incremental_sync, job);
    sink.keeps_cache = place.keeps_cache;
    let bytes = rdb::save::save(snapshot, options, &mut sink, job).map_err(|error| match &error
        .reason
    {
        Reason::Cancelled => SaveError::cancelled(),
        Reason::Io(error) => write_error("write", error),
        other => SaveError {
            line: format!("Error saving DB: {other}"),
            cancelled: false,
        },
    })?;
    sink.finish()
        .map_err(|error| write_error("fsync", &error))?;
    Ok(bytes)
}

fn write_error(operation: &str, error: &io::Error) -> SaveError {
    SaveError {
        line: format!(
            "Write error while saving DB to the disk({operation}): {}",
            reason(error)
        ),
        cancelled: false,
    }
}

/// A temporary file with our own process id in its name is left alone unless it is so old: another server of this
/// process, or one in another container with the same id, may be writing to it.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);

/// Removes the half files of servers that were killed, ours and Redis's; returns their names, and whose they were.
///
/// Only what has the number of a process in its name, and only when there is no such process.
pub fn remove_abandoned(
    disk: &Disk,
    directory: &Path,
    is_alive: impl Fn(u32) -> bool,
) -> Vec<(String, u32)> {
    let names = disk.list(directory).into_iter().flatten();
    let abandoned = names.filter_map(|name| {
        let name = name.into_string().ok()?;
        let pid = writer(&name)?;
        let path = directory.join(&name);
        let metadata = disk.link_metadata(&path).ok().filter(|it| it.is_file)?;
        let gone = match pid == std::process::id() {
            true => metadata.age()? >= ABANDONED_AFTER,
            false => !is_alive(pid),
        };
        (gone && disk.remove_file(&path).is_ok()).then_some((name, pid))
    });
    abandoned.collect()
}

/// The process that writes a file of such a name.
fn writer(name: &str) -> Option<u32> {
    let name = name.strip_prefix("temp-")?;
    let pid = match name.strip_suffix(".rdb") {
        // A data set from a primary begins with the time.
        Some(rdb) => match rdb.split_once('.') {
            Some((time, pid)) => time.parse::<u64>().ok().map(|_| pid)?,
            None => numbered(rdb)?,
        },
        None => {
            let name = name.strip_suffix(".aof")?.strip_prefix("rewriteaof-")?;
            numbered(name.strip_prefix("bg-").unwrap_or(name))?
        }
    };
    pid.parse().ok().filter(|pid| *pid > 0)
}

/// The process in `<pid>` or `<pid>-<number>`.
fn numbered(text: &str) -> Option<&str> {
    let (pid, number) = text.split_once('-').unwrap_or((text, "0"));
    number.parse::<u64>().ok().map(|_| pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_tell_their_writer_have_one() {
        for (name, pid) in [
            ("temp-12.rdb", Some(12)),
            ("temp-12-3.rdb", Some(12)),
            ("temp-1700000000.12.rdb", Some(12)),
            ("temp-rewriteaof-12.aof", Some(12)),
            ("temp-rewriteaof-bg-12.aof", Some(12)),
            ("temp-rewriteaof-bg-12-3.aof", Some(12)),
            ("temp-0.rdb", None),
            ("temp-.rdb", None),
            ("temp-12x.rdb", None),
            ("temp-12-x.rdb", None),
            ("temp-x.12.rdb", None),
            ("temp--12.rdb", None),
            ("temp-99999999999.rdb", None),
            ("temp-appendonly.aof.incr", None),
            ("temp-appendonly.aof.manifest", None),
            ("temp-12.aof", None),
            ("dump.rdb", None),
            ("12.rdb", None),
        ] {
            assert_eq!(writer(name), pid, "{name}");
        }
    }
}
