//! The data set on its way from our primary to us.
//!
//! ```text
//!   "$<length>" or "$EOF:<mark>" ─► temp file ─► thread: forced to disk, renamed ─► loaded, slice by slice
//!                               └─► straight into the loader (`repl-diskless-load`)
//! ```
//!
//! Mirrors: readSyncBulkPayload() of replication.c.
//! Differs: forcing the file to disk does not hold the loop up. A file that cannot be loaded does not end the server.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::link::{Step, Then};
use crate::config::disk;
use crate::keyspace::DbId;
use crate::persistence::aof::Mode;
use crate::persistence::files;
use crate::persistence::loading::{Flags, Opened};
use crate::state::State;
use crate::util::num::parse_u64;

/// The bytes a mark has.
const MARK: usize = 40;

/// The data set on its way.
#[derive(Debug)]
pub struct Transfer {
    length: Option<Length>,
    /// Bytes that came.
    pub read: u64,
    file: Option<File>,
    path: PathBuf,
    /// The last bytes that came: the mark, perhaps.
    tail: Vec<u8>,
}

/// What came of forcing it to disk.
#[derive(Debug)]
pub struct Secured {
    attempt: u64,
    has_mark: bool,
    /// What could not be done, and why.
    result: Result<(), (&'static str, String)>,
}

/// When it is whole.
#[derive(Debug, Clone, Copy)]
enum Length {
    Bytes(u64),
    Mark([u8; MARK]),
}

impl Transfer {
    /// How many bytes it has, if that was said.
    pub fn total(&self) -> Option<u64> {
        match self.length {
            Some(Length::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }
}

impl State {
    /// A data set will come.
    pub(super) fn begin_transfer(&mut self) {
        let name = format!(
            "temp-{}.{}.rdb",
            self.clock.unix_seconds(),
            std::process::id()
        );
        let path = self.config.dir.join(name);
        match files::create(&path) {
            Ok(file) => {
                self.replication.link.step = Step::Transfer;
                self.replication.link.transfer = Some(Transfer {
                    length: None,
                    read: 0,
                    file: Some(file),
                    path,
                    tail: Vec::new(),
                });
            }
            Err(error) => {
                self.log.warning(format_args!(
                    "Opening the temp file needed for MASTER <-> REPLICA synchronization: {}",
                    disk::reason(&error)
                ));
                self.handshake_failed();
            }
        }
    }

    /// Gives up what came so far.
    pub(super) fn abandon_transfer(&mut self) {
        let link = &mut self.replication.link;
        if let Some(transfer) = link.transfer.take() {
            // If it stays, it is a stray file and no harm.
            let _ = self.closer.remove_file(&transfer.path);
        }
    }

    /// Bytes of it came; returns how many of them belong to it.
    #[doc(alias = "readSyncBulkPayload")]
    pub(super) fn transfer_received(&mut self, bytes: &[u8]) -> (usize, Then) {
        let Some(transfer) = &self.replication.link.transfer else {
            return (bytes.len(), Then::Read);
        };
        let Some(length) = transfer.length else {
            let mut rest = bytes;
            if let Some(line) = self.take_line(&mut rest) {
                self.transfer_header(&line);
            }
            return (bytes.len() - rest.len(), Then::Read);
        };
        let Some(transfer) = &mut self.replication.link.transfer else {
            return (bytes.len(), Then::Read);
        };
        let part = match length {
            Length::Bytes(total) => {
                let left = usize::try_from(total - transfer.read).unwrap_or(usize::MAX);
                &bytes[..bytes.len().min(left)]
            }
            Length::Mark(_) => bytes,
        };
        transfer.read += part.len() as u64;
        self.stats.net_repl_input_bytes += part.len() as u64;
        let written = match &mut transfer.file {
            Some(file) => file.write_all(part),
            None => Ok(()),
        };
        if let Err(error) = written {
            self.log.warning(format_args!(
                "Write error or short write writing to the DB dump file needed for MASTER <-> REPLICA \
                 synchronization: {}",
                disk::reason(&error)
            ));
            self.transfer_failed();
            return (bytes.len(), Then::Read);
        }
        let whole = match length {
            Length::Bytes(total) => transfer.read == total,
            Length::Mark(mark) => {
                let keep = &part[part.len().saturating_sub(MARK)..];
                let old = (transfer.tail.len() + keep.len()).saturating_sub(MARK);
                transfer.tail.drain(..old);
                transfer.tail.extend_from_slice(keep);
                transfer.tail == mark
            }
        };
        if !whole {
            return (part.len(), Then::Read);
        }
        self.secure_transfer(matches!(length, Length::Mark(_)));
        (part.len(), Then::Wait)
    }

    fn transfer_header(&mut self, line: &str) {
        // Empty lines only say that the primary is there.
        if line.is_empty() {
            return;
        }
        if let Some(error) = line.strip_prefix('-') {
            self.log.warning(format_args!(
                "MASTER aborted replication with an error: {error}"
            ));
            return self.transfer_failed();
        }
        let mark = line.strip_prefix("$EOF:").and_then(|mark| {
            let mark: [u8; MARK] = mark.as_bytes().get(..MARK)?.try_into().ok()?;
            Some(mark)
        });
        let bytes = line.strip_prefix('$').and_then(|n| parse_u64(n.as_bytes()));
        let Some(transfer) = &mut self.replication.link.transfer else {
            return;
        };
        if let Some(mark) = mark {
            transfer.length = Some(Length::Mark(mark));
            self.log.notice(
                "MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF to disk",
            );
        } else if let Some(bytes) = bytes.filter(|bytes| *bytes > 0) {
            transfer.length = Some(Length::Bytes(bytes));
            self.log.notice(format_args!(
                "MASTER <-> REPLICA sync: receiving {bytes} bytes from master to disk"
            ));
        } else {
            self.log.warning(format_args!(
                "Bad protocol from MASTER, the first byte is not '$' (we received '{line}'), are you sure the \
                 host and port are right?"
            ));
            self.transfer_failed();
        }
    }

    /// All came: a thread forces it to disk and gives it its name.
    fn secure_transfer(&mut self, has_mark: bool) {
        let attempt = self.replication.link.attempt;
        let Some(transfer) = &mut self.replication.link.transfer else {
            return;
        };
        let (Some(file), temporary) = (transfer.file.take(), transfer.path.clone()) else {
            return;
        };
        let bytes = transfer.read - if has_mark { MARK as u64 } else { 0 };
        let target = self.config.dir.join(&self.config.dbfilename);
        let mailbox = self.mailbox.clone();
        let secure = move || {
            let result = secure(&file, bytes, &temporary, &target);
            mailbox.send(move |state| {
                state.replication.link.secured = Some(Secured {
                    attempt,
                    has_mark,
                    result,
                });
            });
        };
        let thread = std::thread::Builder::new().name("transfer".into());
        if let Err(error) = thread.spawn(secure) {
            let reason = disk::reason(&error);
            self.replication.link.secured = Some(Secured {
                attempt,
                has_mark,
                result: Err(("sync", reason)),
            });
        }
    }

    /// Begins to load a data set that is on disk. Nothing may be running.
    pub fn tend_transfer(&mut self) {
        let link = &mut self.replication.link;
        let Some(Secured {
            attempt,
            has_mark,
            result,
        }) = link.secured.take()
        else {
            return;
        };
        if link.attempt != attempt || link.step != Step::Transfer {
            return;
        }
        if let Err((what, reason)) = result {
            self.log.warning(format_args!(
                "Failed trying to {what} the temp DB in MASTER <-> REPLICA synchronization: {reason}"
            ));
            return self.transfer_failed();
        }
        if self.persistence.aof.mode != Mode::Off {
            self.stop_aof();
        }
        self.cancel_save();
        self.attach_to_new_primary();
        self.log
            .notice("MASTER <-> REPLICA sync: Loading DB in memory");
        self.log
            .notice("MASTER <-> REPLICA sync: Flushing old data");
        self.discard_data();
        let path = self.config.dir.join(&self.config.dbfilename);
        let flags = Flags {
            from_primary: true,
            marked: has_mark,
            ..Flags::default()
        };
        if self.begin_loading_rdb(&path, flags) != Opened::Yes {
            self.primary_loaded(false, has_mark, None);
        }
    }

    /// Empties all databases, and forgets all functions.
    fn discard_data(&mut self) {
        self.replication.own_keys = Default::default();
        let gone = self.empty(None);
        let keys: usize = gone.iter().map(|table| table.len()).sum();
        if self.config.replica_lazy_flush {
            if keys > 0 {
                self.lazyfree.free(gone, keys);
            }
        } else {
            drop(gone);
        }
        self.scripts.libraries = Default::default();
    }

    /// Our history ends: those who follow it must begin anew.
    #[doc(alias = "replicationAttachToNewMaster")]
    fn attach_to_new_primary(&mut self) {
        self.disconnect_replicas();
        self.replication.backlog = None;
        self.listen_for_replicas();
    }

    /// Whether the socket is to be left alone: the data set is whole and not loaded yet.
    pub fn link_waits(&self) -> bool {
        let link = &self.replication.link;
        let whole = |transfer: &Transfer| transfer.length.is_some() && transfer.file.is_none();
        link.step == Step::Transfer && link.transfer.as_ref().is_some_and(whole)
    }

    /// Whether what is being loaded came from our primary.
    pub fn is_loading_from_primary(&self) -> bool {
        let loading = self.persistence.loading.as_ref();
        loading.is_some_and(|loading| loading.flags().from_primary)
    }

    /// The data set of our primary is loaded, or cannot be.
    pub fn primary_loaded(&mut self, ok: bool, had_mark: bool, stream_db: Option<DbId>) {
        self.replication.link.transfer = None;
        let has_persistence = self.config.appendonly || !self.config.save.is_empty();
        if self.config.rdb_del_sync_files && !has_persistence {
            self.log.notice(
                "Removing the RDB file obtained from the master. This replica has persistence disabled",
            );
            let path = self.config.dir.join(&self.config.dbfilename);
            let _ = self.closer.remove_file(&path);
        }
        if !ok {
            self.log.warning(
                "Failed trying to load the MASTER synchronization DB from disk, check server logs.",
            );
            return self.transfer_failed();
        }
        let (id, offset) = match self.replication.link.announced.take() {
            Some(announced) => announced,
            // Without a name nobody, we included, can go on from here.
            None => (super::fresh_id(&mut self.rng), 0),
        };
        let replication = &mut self.replication;
        replication.id = id;
        replication.offset = offset;
        replication.clear_id2();
        self.primary_is_client(stream_db.unwrap_or(DbId(0)));
        self.create_backlog();
        self.log
            .notice("MASTER <-> REPLICA sync: Finished with success");
        if had_mark {
            self.send_ack();
        }
        self.restart_aof("MASTER <-> REPLICA sync: Starting AOF after a successful sync");
    }

    /// Switches the append-only file on again, if it is wanted.
    #[doc(alias = "startAppendOnlyWithRetry")]
    pub(super) fn restart_aof(&mut self, why: &str) {
        if self.config.appendonly && self.persistence.aof.mode == Mode::Off && !self.is_loading() {
            self.log.notice(why);
            self.follow_appendonly();
        }
    }
}

fn secure(
    file: &File,
    bytes: u64,
    temporary: &Path,
    target: &Path,
) -> Result<(), (&'static str, String)> {
    let reason = |what| move |error: std::io::Error| (what, disk::reason(&error));
    file.set_len(bytes).map_err(reason("cut"))?;
    file.sync_all().map_err(reason("sync"))?;
    std::fs::rename(temporary, target).map_err(reason("rename"))?;
    if let Some(directory) = target.parent() {
        files::sync_directory(directory).map_err(reason("sync the directory of"))?;
    }
    Ok(())
}
