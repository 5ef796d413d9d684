//! The buffer of the append-only file, its write and its fsync.
//!
//! A byte belongs to one increment. Files are appended to (`O_APPEND`), so what is written after a cut leaves no hole.
//! If a rewrite begins while the disk takes nothing, the bytes that are left over stay with the increment they were
//! meant for (`Unfinished`):
//!
//! ```text
//!   disk full      incr.1  … INCR n          left over: INCR n       buffer: –
//!   BGREWRITEAOF   incr.1  … INCR n          left over: INCR n       buffer: what comes after the snapshot
//!                  incr.2  empty, until     a) INCR n is written to incr.1: there is room again
//!                                        or b) the new base, which has it, is in force: it is dropped
//! ```
//!
//! Mirrors: feedAppendOnlyFile(), flushAppendOnlyFile() of aof.c.
//! Differs: Redis writes what is left over to the next increment, behind a base that has it already.

use std::io;
use std::io::Write;
use std::sync::Arc;

use super::{Aof, Unfinished};
use crate::sys::files::File;

/// Wakes the loop when an fsync ended: WAITAOF may be waiting.
pub(in crate::persistence) fn wake<S: 'static>(
    mailbox: crate::background::Mailbox<S>,
) -> Box<dyn Fn() + Send> {
    Box::new(move || {
        mailbox.send(|_| {});
    })
}

/// Why a buffer was not written.
pub(in crate::persistence) struct Unwritten {
    pub(in crate::persistence) error: io::Error,
    /// Bytes that were, out of how many.
    pub(in crate::persistence) written: usize,
    pub(in crate::persistence) expected: usize,
    /// Why they could not be cut off again.
    pub(in crate::persistence) stays: Option<io::Error>,
}

/// Appends all of `bytes` to a file of `size` bytes, or nothing, so that the file ends with a command. If a part was
/// written and cannot be cut off again, that part stays in the file and is taken off `bytes`: the rest belongs behind
/// it.
pub(in crate::persistence) fn append(
    file: &File,
    size: &mut u64,
    bytes: &mut Vec<u8>,
) -> Result<(), Unwritten> {
    let (written, error) = write_all(file, bytes);
    let Some(error) = error else {
        *size += written as u64;
        bytes.clear();
        return Ok(());
    };
    let expected = bytes.len();
    let mut stays = None;
    if written > 0
        && let Err(error) = file.set_len(*size)
    {
        stays = Some(error);
        *size += written as u64;
        bytes.drain(..written);
    }
    Err(Unwritten {
        error,
        written,
        expected,
        stays,
    })
}

/// How much was written, and why not all.
fn write_all(mut file: &File, bytes: &[u8]) -> (usize, Option<io::Error>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Some(error)),
        }
    }
    (written, None)
}

impl Aof {
    /// Takes another file to write to, of `size` bytes. The old one is forced to disk on the thread and closed there,
    /// once what is in the buffer is written to it.
    pub(in crate::persistence) fn switch_to<S: 'static>(
        &mut self,
        file: File,
        size: u64,
        mailbox: crate::background::Mailbox<S>,
    ) {
        self.syncer.switched();
        self.follows = None;
        if let Some(old) = self.file.replace(Arc::new(file)) {
            let rest = std::mem::take(&mut self.buf);
            let upto = self.fed - rest.len() as u64;
            self.older.retain(|file| file.strong_count() > 0);
            self.older.push(Arc::downgrade(&old));
            self.syncer
                .sync_older(Arc::clone(&old), upto, || wake(mailbox));
            if rest.is_empty() {
                self.follows = Some(self.increment_size);
            } else {
                self.unfinished = Some(Unfinished {
                    file: old,
                    size: self.increment_size,
                    rest,
                });
            }
        }
        self.increment_size = size;
        self.sync_asked_size = size;
        self.selected = None;
    }

    /// Everything up to here belongs before the snapshot that is about to be taken, and no other file is needed:
    /// nothing was written to this one yet, since the one before it is not complete.
    pub(in crate::persistence) fn keep_increment(&mut self) {
        if let Some(older) = &mut self.unfinished {
            older.rest.append(&mut self.buf);
            self.selected = None;
        }
    }

    /// Forces to disk what the thread has not come to yet, of files that are not written to any more.
    pub(in crate::persistence) fn sync_older(&mut self) -> io::Result<()> {
        for file in &self.older {
            // The thread lets it go when it is done.
            if let Some(file) = file.upgrade() {
                file.sync_data()?;
            }
        }
        self.older.clear();
        Ok(())
    }

    /// Closes the files and drops the buffer: bytes that are not written yet are not wanted any more.
    pub(in crate::persistence) fn let_go(&mut self) {
        self.buf = Vec::new();
        self.file = None;
        self.unfinished = None;
        self.older.clear();
        self.follows = None;
        self.selected = None;
    }

    /// Whether everything fed was written.
    pub(in crate::persistence) fn is_written(&self) -> bool {
        self.buf.is_empty() && self.unfinished.is_none()
    }
}
