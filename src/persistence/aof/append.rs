//! The buffer, the write, the fsync.
//!
//! A byte belongs to one increment. Files are appended to (`O_APPEND`), so what is written after a cut leaves no hole. If
//! a rewrite begins while the disk takes nothing, the bytes that are left over stay with the increment they were meant for
//! ([`Unfinished`]):
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

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use super::{Aof, Mode, Unfinished, order};
use crate::command::{Said, Targets};
use crate::config::{AppendFsync, disk};
use crate::state::{ServerRequest, State};
use crate::sys::files::File;

/// A buffer that grew beyond this is given back.
const KEPT: usize = 64 * 1024;
/// A write waits so long for an fsync under way.
const PATIENCE_MS: i64 = 2000;
#[doc(alias = "AOF_WRITE_LOG_ERROR_RATE")]
const LOG_ERRORS_EVERY_S: i64 = 30;

impl State {
    /// Appends the effects of a unit to the buffer.
    #[doc(alias = "feedAppendOnlyFile")]
    pub(crate) fn feed_aof(&mut self, unit: &[Said]) {
        let aof = &mut self.persistence.aof;
        let rewriting = self.persistence.running.as_ref();
        let wanted = match aof.mode {
            Mode::Off => false,
            Mode::On => true,
            // Without a rewrite under way there is no file these would belong to.
            Mode::AwaitsRewrite => rewriting.is_some_and(|running| !running.is_save()),
        };
        if !wanted {
            return;
        }
        let before = aof.buf.len();
        for said in unit {
            if !said.targets.any(crate::command::Targets::AOF) {
                continue;
            }
            if self.config.aof_timestamp_enabled {
                let now = self.clock.unix_seconds();
                if aof.timestamp_s < now {
                    aof.timestamp_s = now;
                    let _ = write!(aof.buf, "#TS:{now}\r\n");
                }
            }
            if let Some(db) = said.db
                && aof.selected != Some(db)
            {
                aof.selected = Some(db);
                let number = db.0.to_string();
                let digits = number.len();
                let _ = write!(aof.buf, "*2\r\n$6\r\nSELECT\r\n${digits}\r\n{number}\r\n");
            }
            said.argv.as_argv().encode(&mut aof.buf);
        }
        aof.fed += (aof.buf.len() - before) as u64;
    }

    /// Writes the buffer, before anybody is told what is in it. With `force` no fsync under way is waited for.
    #[doc(alias = "flushAppendOnlyFile")]
    pub fn flush_aof(&mut self, force: bool) {
        // Once the server gave up, nobody was told of what is in the buffer, and nobody will be.
        if self.persistence.aof.mode == Mode::Off || self.persistence.failed {
            return;
        }
        if self.persistence.aof.unfinished.is_some() && !self.finish_older() {
            return;
        }
        let now = self.clock.unix_ms();
        let policy = self.config.appendfsync;
        let aof = &mut self.persistence.aof;
        let Some(file) = aof.file.clone() else {
            return;
        };
        if aof.buf.is_empty() {
            let unsynced = aof.sync_asked_size != aof.increment_size;
            let due = match policy {
                AppendFsync::Always => unsynced,
                AppendFsync::Everysec => {
                    let wanted = unsynced || aof.syncer.has_failed();
                    wanted && now - aof.last_sync_ms >= 1000 && aof.syncer.pending() == 0
                }
                AppendFsync::No => false,
            };
            if due {
                self.sync_aof(&file);
            }
            return;
        }
        if policy == AppendFsync::Everysec && !force && aof.syncer.pending() > 0 {
            match aof.postponed_since {
                None => {
                    aof.postponed_since = Some(now);
                    return;
                }
                Some(since) if now - since < PATIENCE_MS => return,
                Some(_) => {
                    aof.delayed_fsyncs += 1;
                    self.log.notice(
                        "Asynchronous AOF fsync is taking too long (disk is busy?). Writing the AOF \
                         buffer without waiting for fsync to complete, this may slow down Redis.",
                    );
                }
            }
        }
        if aof.flush_sleep_us > 0 {
            std::thread::sleep(Duration::from_micros(aof.flush_sleep_us));
        }
        aof.postponed_since = None;
        if let Some(bytes) = aof.follows.take() {
            aof.buf.splice(0..0, order::follows(bytes).into_bytes());
        }
        let mut size = aof.increment_size;
        let result = append(&file, &mut size, &mut aof.buf);
        aof.current_size += size - aof.increment_size;
        aof.increment_size = size;
        if let Err(failure) = result {
            self.write_failed(failure);
            return;
        }
        self.write_succeeded();
        let aof = &mut self.persistence.aof;
        if aof.buf.capacity() > KEPT {
            aof.buf = Vec::new();
        }
        self.sync_aof(&file);
    }

    fn write_succeeded(&mut self) {
        if self.persistence.aof.write_error.take().is_some() {
            self.log
                .notice("AOF write error looks solved, Redis can write again.");
        }
    }

    /// Writes what is left over for the increment before. Whether it is complete, so that the present one can be written
    /// to.
    fn finish_older(&mut self) -> bool {
        let aof = &mut self.persistence.aof;
        let Some(mut older) = aof.unfinished.take() else {
            return true;
        };
        let before = older.size;
        let result = append(&older.file, &mut older.size, &mut older.rest);
        aof.current_size += older.size - before;
        match result {
            Ok(()) => {
                let mailbox = self.mailbox.clone();
                let upto = aof.fed - aof.buf.len() as u64;
                aof.follows = Some(older.size);
                aof.older.push(Arc::downgrade(&older.file));
                aof.syncer.sync_older(older.file, upto, || wake(mailbox));
                self.write_succeeded();
                true
            }
            Err(failure) => {
                aof.unfinished = Some(older);
                self.write_failed(failure);
                false
            }
        }
    }

    fn sync_aof(&mut self, file: &Arc<File>) {
        if self.config.no_appendfsync_on_rewrite && self.persistence.running.is_some() {
            return;
        }
        let now = self.clock.unix_ms();
        match self.config.appendfsync {
            AppendFsync::No => {}
            AppendFsync::Always => {
                if let Err(error) = self
                    .persistence
                    .aof
                    .sync_older()
                    .and_then(|()| file.sync_data())
                {
                    if self.persistence.backup.has_own_stream() {
                        self.fail_backup(&disk::reason(&error));
                        return;
                    }
                    self.log.warning(format_args!(
                        "Can't persist AOF for fsync error when the AOF fsync policy is 'always': {}. \
                         Exiting...",
                        disk::reason(&error)
                    ));
                    self.give_up();
                    return;
                }
                let aof = &mut self.persistence.aof;
                aof.sync_asked_size = aof.increment_size;
                aof.last_sync_ms = now;
                aof.syncer.made_safe(aof.fed);
            }
            AppendFsync::Everysec => {
                let mailbox = self.mailbox.clone();
                let aof = &mut self.persistence.aof;
                if now - aof.last_sync_ms < 1000 {
                    return;
                }
                if aof.syncer.pending() == 0 {
                    aof.sync_asked_size = aof.increment_size;
                    let (file, upto) = (Arc::clone(file), aof.fed);
                    aof.syncer.sync(file, upto, || wake(mailbox));
                }
                aof.last_sync_ms = now;
            }
        }
    }

    /// Something is left unwritten.
    fn write_failed(&mut self, failure: Unwritten) {
        let reason = disk::reason(&failure.error);
        if self.persistence.backup.has_own_stream() {
            self.fail_backup(&reason);
            return;
        }
        let now = self.clock.unix_seconds();
        let aof = &mut self.persistence.aof;
        let log = (now - aof.error_logged_s > LOG_ERRORS_EVERY_S).then_some(&self.log);
        if let Some(log) = log {
            aof.error_logged_s = now;
            match failure.written {
                0 => log.warning(format_args!("Error writing to the AOF file: {reason}")),
                written => log.warning(format_args!(
                    "Short write while writing to the AOF file: (nwritten={written}, expected={})",
                    failure.expected
                )),
            }
            if let Some(error) = &failure.stays {
                log.warning(format_args!(
                    "Could not remove short write from the append-only file.  Redis may refuse to load \
                     the AOF the next time it starts.  ftruncate: {}",
                    disk::reason(error)
                ));
            }
        }
        if self.config.appendfsync == AppendFsync::Always {
            self.log.warning(
                "Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting...",
            );
            self.give_up();
            return;
        }
        aof.write_error = Some(reason);
    }

    /// Looks what became of fsyncs on the thread. A failed one is tried again every second, but the system may have
    /// forgotten by then what it could not write. So once the disk is well, everything is written anew.
    pub(super) fn look_at_fsyncs(&mut self) {
        let aof = &mut self.persistence.aof;
        match (aof.syncer.error(), aof.sync_failed) {
            (Some(reason), false) if self.persistence.backup.has_own_stream() => {
                self.fail_backup(&reason);
            }
            (Some(reason), false) => {
                aof.sync_failed = true;
                // The file will not be asked again: another is written to.
                aof.rewrite_scheduled |= aof.mode == Mode::On && aof.syncer.has_lost();
                self.log
                    .warning(format_args!("Fail to fsync the AOF file: {reason}"));
            }
            (None, true) => {
                aof.sync_failed = false;
                aof.rewrite_scheduled = aof.mode == Mode::On;
                self.log
                    .notice("AOF fsync error looks solved, rewriting the AOF to be safe.");
            }
            _ => {}
        }
    }

    /// Nobody may be told what could not be made safe: the server ends before a single reply is sent.
    fn give_up(&mut self) {
        self.persistence.failed = true;
        self.requests.push(ServerRequest::Exit(1));
    }
}

/// Wakes the loop when an fsync ended: WAITAOF may be waiting.
pub(super) fn wake(mailbox: crate::background::Mailbox) -> Box<dyn Fn() + Send> {
    Box::new(move || {
        mailbox.send(|_| {});
    })
}

/// Why a buffer was not written.
struct Unwritten {
    error: io::Error,
    /// Bytes that were, out of how many.
    written: usize,
    expected: usize,
    /// Why they could not be cut off again.
    stays: Option<io::Error>,
}

/// Appends all of `bytes` to a file of `size` bytes, or nothing, so that the file ends with a command. What can neither be
/// written whole nor be cut off again stays, and is taken off `bytes`: the rest belongs behind it.
fn append(file: &File, size: &mut u64, bytes: &mut Vec<u8>) -> Result<(), Unwritten> {
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
    /// Takes another file to write to, of `size` bytes. The old one is forced to disk on the thread and closed there, once
    /// what is in the buffer is written to it.
    pub(super) fn switch_to(&mut self, file: File, size: u64, mailbox: crate::background::Mailbox) {
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

    /// Everything up to here belongs before the snapshot that is about to be taken, and no other file is needed: nothing
    /// was written to this one yet, since the one before it is not complete.
    pub(super) fn keep_increment(&mut self) {
        if let Some(older) = &mut self.unfinished {
            older.rest.append(&mut self.buf);
            self.selected = None;
        }
    }

    /// Forces to disk what the thread has not come to yet, of files that are not written to any more.
    fn sync_older(&mut self) -> io::Result<()> {
        for file in &self.older {
            // The thread lets it go when it is done.
            if let Some(file) = file.upgrade() {
                file.sync_data()?;
            }
        }
        self.older.clear();
        Ok(())
    }

    /// Nothing is written any more, and nothing that was not is wanted.
    pub(super) fn let_go(&mut self) {
        self.buf = Vec::new();
        self.file = None;
        self.unfinished = None;
        self.older.clear();
        self.follows = None;
        self.selected = None;
    }

    /// Whether everything fed was written.
    pub(super) fn is_written(&self) -> bool {
        self.buf.is_empty() && self.unfinished.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::background::Mailbox;
    use crate::config::Config;
    use crate::sys::clock::Clock;

    /// A failed fsync stopped all writes for ever: only another write had it tried again.
    #[test]
    fn a_disk_that_fails_an_fsync_is_asked_again_and_forgiven() {
        let config = Config {
            appendfsync: AppendFsync::Everysec,
            ..Config::default()
        };
        let clock = Clock::manual(1_000_000);
        let mut state = State::new(config, clock, 1, Mailbox::new(None).0);
        let turn = |state: &mut State| {
            state.clock.advance(2_000_000);
            state.refresh_clock();
            state.flush_aof(true);
            while state.persistence.aof.pending_fsyncs() > 0 {
                std::thread::yield_now();
            }
            state.look_at_fsyncs();
        };
        // It takes every write, and cannot be forced to disk.
        let bottomless = std::fs::File::options().write(true).open("/dev/null");
        let aof = &mut state.persistence.aof;
        aof.mode = Mode::On;
        aof.file = Some(Arc::new(bottomless.expect("every system has it").into()));
        aof.buf = b"*1\r\n$4\r\nPING\r\n".to_vec();
        turn(&mut state);
        assert!(state.cannot_persist());
        turn(&mut state);
        assert!(state.cannot_persist() && !state.persistence.aof.rewrite_scheduled);

        let path = std::env::temp_dir().join(format!("oxidis-fsync-{}", std::process::id()));
        let file = std::fs::File::create(&path).expect("a place for temporary files");
        std::fs::remove_file(&path).expect("just created");
        state.persistence.aof.file = Some(Arc::new(file.into()));
        turn(&mut state);
        assert!(!state.cannot_persist());
        assert!(state.persistence.aof.rewrite_scheduled);
    }
}
