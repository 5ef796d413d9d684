//! Effects are written to the append-only file, and the file is forced to disk as `appendfsync` says.
//!
//! ```text
//!   SET a 1 with EX 10, appendfsync always           in the file, as RESP words
//!     call()            the unit of effects          SELECT 0 | SET a 1 PXAT 1700000010000
//!     append()          onto the buffer              deadlines are absolute, so that replay keeps them
//!     before the sleep  one write(2), one fsync
//!     only then         +OK leaves for the client
//! ```
//!
//! Mirrors: feedAppendOnlyFile() and flushAppendOnlyFile() of aof.c.
//! Differs: after a failed fsync the file is not trusted again: once the disk is well, a rewrite writes everything
//! anew. In Redis the next fsync that succeeds counts.

use std::io::Write;
use std::sync::Arc;

use super::backup;
use crate::command::Said;
use crate::config::{AppendFsync, disk};
use crate::keyspace::DbId;
use crate::persistence::aof::append::{Unwritten, append, wake};
use crate::persistence::aof::{Aof, Mode, order};
use crate::state::{ServerRequest, State};
use crate::sys::files::File;

/// A buffer that grew beyond this is given back.
const KEPT: usize = 64 * 1024;

/// A write waits so long for an fsync under way.
const PATIENCE_MS: i64 = 2000;

#[doc(alias = "AOF_WRITE_LOG_ERROR_RATE")]
const LOG_ERRORS_EVERY_S: i64 = 30;

/// Appends the effects of a unit to the buffer.
#[doc(alias = "feedAppendOnlyFile")]
pub(crate) fn feed(state: &mut State, unit: &[Said]) {
    if !wants(state) {
        return;
    }
    let aof = &mut state.persistence.aof;
    let before = aof.buf.len();
    for said in unit {
        if !said.targets.any(crate::command::Targets::AOF) {
            continue;
        }
        if state.config.aof_timestamp_enabled {
            note_time(aof, state.clock.unix_seconds());
        }
        if let Some(db) = said.db {
            select(aof, db);
        }
        said.argv.as_argv().encode(&mut aof.buf);
    }
    aof.fed += (aof.buf.len() - before) as u64;
}

/// Appends commands that were encoded elsewhere and happened in one database.
pub(crate) fn feed_commands(state: &mut State, db: DbId, commands: &[u8]) {
    if !wants(state) {
        return;
    }
    let aof = &mut state.persistence.aof;
    let before = aof.buf.len();
    if state.config.aof_timestamp_enabled {
        note_time(aof, state.clock.unix_seconds());
    }
    select(aof, db);
    aof.buf.extend_from_slice(commands);
    aof.fed += (aof.buf.len() - before) as u64;
}

/// Bytes that wait to be written.
pub(crate) fn waiting_bytes(state: &State) -> u64 {
    state.persistence.aof.buf.len() as u64
}

/// Whether there is a file that effects belong to.
fn wants(state: &State) -> bool {
    let rewriting = state.persistence.running.as_ref();
    match state.persistence.aof.mode {
        Mode::Off => false,
        Mode::On => true,
        // Without a rewrite under way there is no file these would belong to.
        Mode::AwaitsRewrite => rewriting.is_some_and(|running| !running.is_save()),
    }
}

fn note_time(aof: &mut Aof, now_s: i64) {
    if aof.timestamp_s < now_s {
        aof.timestamp_s = now_s;
        let _ = write!(aof.buf, "#TS:{now_s}\r\n");
    }
}

/// The commands that follow happened in this database.
fn select(aof: &mut Aof, db: DbId) {
    if aof.selected != Some(db) {
        aof.selected = Some(db);
        let number = db.0.to_string();
        let digits = number.len();
        let _ = write!(aof.buf, "*2\r\n$6\r\nSELECT\r\n${digits}\r\n{number}\r\n");
    }
}

/// Writes the buffer, before any reply about its commands leaves. With `force` the write does not wait for an fsync
/// under way.
#[doc(alias = "flushAppendOnlyFile")]
pub fn flush(state: &mut State, force: bool) {
    // Once the server gave up, no reply about the commands in the buffer was sent, and none will be.
    if state.persistence.aof.mode == Mode::Off || state.persistence.failed {
        return;
    }
    if state.persistence.aof.unfinished.is_some() && !finish_older(state) {
        return;
    }
    let now = state.clock.unix_ms();
    let policy = state.config.appendfsync;
    let aof = &mut state.persistence.aof;
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
            sync_aof(state, &file);
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
                state.log.notice(
                    "Asynchronous AOF fsync is taking too long (disk is busy?). Writing the AOF \
                     buffer without waiting for fsync to complete, this may slow down Redis.",
                );
            }
        }
    }
    if aof.flush_sleep_us > 0 {
        state.clock.sleep(aof.flush_sleep_us);
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
        write_failed(state, failure);
        return;
    }
    write_succeeded(state);
    let aof = &mut state.persistence.aof;
    if aof.buf.capacity() > KEPT {
        aof.buf = Vec::new();
    }
    sync_aof(state, &file);
}

fn write_succeeded(state: &mut State) {
    if state.persistence.aof.write_error.take().is_some() {
        state
            .log
            .notice("AOF write error looks solved, Redis can write again.");
    }
}

/// Writes the bytes that the increment before still lacks. Returns whether it is complete, so that the present one
/// can be written to.
fn finish_older(state: &mut State) -> bool {
    let aof = &mut state.persistence.aof;
    let Some(mut older) = aof.unfinished.take() else {
        return true;
    };
    let before = older.size;
    let result = append(&older.file, &mut older.size, &mut older.rest);
    aof.current_size += older.size - before;
    match result {
        Ok(()) => {
            let mailbox = state.mailbox.clone();
            let upto = aof.fed - aof.buf.len() as u64;
            aof.follows = Some(older.size);
            aof.older.push(Arc::downgrade(&older.file));
            aof.syncer.sync_older(older.file, upto, || wake(mailbox));
            write_succeeded(state);
            true
        }
        Err(failure) => {
            aof.unfinished = Some(older);
            write_failed(state, failure);
            false
        }
    }
}

fn sync_aof(state: &mut State, file: &Arc<File>) {
    if state.config.no_appendfsync_on_rewrite && state.persistence.running.is_some() {
        return;
    }
    let now = state.clock.unix_ms();
    match state.config.appendfsync {
        AppendFsync::No => {}
        AppendFsync::Always => {
            if let Err(error) = state
                .persistence
                .aof
                .sync_older()
                .and_then(|()| file.sync_data())
            {
                if state.persistence.backup.has_own_stream() {
                    backup::fail_backup(state, &disk::reason(&error));
                    return;
                }
                state.log.warning(format_args!(
                    "Can't persist AOF for fsync error when the AOF fsync policy is 'always': {}. \
                     Exiting...",
                    disk::reason(&error)
                ));
                give_up(state);
                return;
            }
            let aof = &mut state.persistence.aof;
            aof.sync_asked_size = aof.increment_size;
            aof.last_sync_ms = now;
            aof.syncer.made_safe(aof.fed);
        }
        AppendFsync::Everysec => {
            let mailbox = state.mailbox.clone();
            let aof = &mut state.persistence.aof;
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

/// Some bytes of the buffer could not be written: logs the reason, and gives up under `appendfsync always`.
fn write_failed(state: &mut State, failure: Unwritten) {
    let reason = disk::reason(&failure.error);
    if state.persistence.backup.has_own_stream() {
        backup::fail_backup(state, &reason);
        return;
    }
    let now = state.clock.unix_seconds();
    let aof = &mut state.persistence.aof;
    let log = (now - aof.error_logged_s > LOG_ERRORS_EVERY_S).then_some(&state.log);
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
    if state.config.appendfsync == AppendFsync::Always {
        state.log.warning(
            "Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting...",
        );
        give_up(state);
        return;
    }
    aof.write_error = Some(reason);
}

/// Looks at the results of fsyncs on the thread. A failed fsync is tried again every second, but the kernel may have
/// dropped the bytes that it could not write. So once the disk is well, a rewrite writes everything anew.
pub(in crate::persistence) fn look_at_fsyncs(state: &mut State) {
    let aof = &mut state.persistence.aof;
    match (aof.syncer.error(), aof.sync_failed) {
        (Some(reason), false) if state.persistence.backup.has_own_stream() => {
            backup::fail_backup(state, &reason);
        }
        (Some(reason), false) => {
            aof.sync_failed = true;
            // No further fsync is asked of that file, since commands go to another one by now.
            aof.rewrite_scheduled |= aof.mode == Mode::On && aof.syncer.has_lost();
            state
                .log
                .warning(format_args!("Fail to fsync the AOF file: {reason}"));
        }
        (None, true) => {
            aof.sync_failed = false;
            aof.rewrite_scheduled = aof.mode == Mode::On;
            state
                .log
                .notice("AOF fsync error looks solved, rewriting the AOF to be safe.");
        }
        _ => {}
    }
}

/// Ends the server before it sends a single reply: `appendfsync always` promised that the replies' commands are on
/// disk, and they are not.
fn give_up(state: &mut State) {
    state.persistence.failed = true;
    state.requests.push(ServerRequest::Exit(1));
}

#[cfg(test)]
mod tests {
    use super::super::standing;
    use super::*;
    use crate::config::Config;
    use crate::state::Mailbox;
    use crate::sys::clock::Clock;

    /// A failed fsync stopped all writes for ever: only another write had it tried again.
    #[test]
    fn a_disk_that_fails_an_fsync_is_asked_again_and_forgiven() {
        let config = Config {
            appendfsync: AppendFsync::Everysec,
            ..Config::default()
        };
        let clock = Clock::manual(1_000_000);
        let mut state = State::new(
            config,
            clock,
            1,
            Mailbox::new(None).0,
            crate::commands::GROUPS,
        );
        let turn = |state: &mut State| {
            state.clock.advance(2_000_000);
            state.refresh_clock();
            flush(state, true);
            while state.persistence.aof.pending_fsyncs() > 0 {
                std::thread::yield_now();
            }
            look_at_fsyncs(state);
        };
        // This file takes every write, and cannot be forced to disk.
        let bottomless = std::fs::File::options().write(true).open("/dev/null");
        let aof = &mut state.persistence.aof;
        aof.mode = Mode::On;
        aof.file = Some(Arc::new(bottomless.expect("every system has it").into()));
        aof.buf = b"*1\r\n$4\r\nPING\r\n".to_vec();
        turn(&mut state);
        assert!(standing::cannot_persist(&state));
        turn(&mut state);
        assert!(standing::cannot_persist(&state) && !state.persistence.aof.rewrite_scheduled);

        let path = std::env::temp_dir().join(format!("oxidis-fsync-{}", std::process::id()));
        let file = std::fs::File::create(&path).expect("a place for temporary files");
        std::fs::remove_file(&path).expect("just created");
        state.persistence.aof.file = Some(Arc::new(file.into()));
        turn(&mut state);
        assert!(!standing::cannot_persist(&state));
        assert!(state.persistence.aof.rewrite_scheduled);
    }
}
