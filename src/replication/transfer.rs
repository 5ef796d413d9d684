//! The data set on its way from our primary to us.
//!
//! ```text
//!   "$<length>" or "$EOF:<mark>" ─► temp file ─► thread: forced to disk, renamed ─► loaded, slice by slice
//!                               └─► straight into memory (`repl-diskless-load`; persistence/receiving.rs)
//! ```
//!
//! Mirrors: readSyncBulkPayload() of replication.c.
//! Differs: neither forcing the file to disk nor freeing the old data set holds the loop up. A file that cannot be
//! loaded does not end the server.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::link::Step;
use crate::background::LazyFree;
use crate::config::{ReplDisklessLoad, disk};
use crate::keyspace::{DbId, RemovedTable};
use crate::persistence::aof::Mode;
use crate::persistence::loading::{Flags, Loaded, Opened};
use crate::state::State;
use crate::sys::files::{Disk, File};
use crate::util::num::parse_u64;
use crate::wires::Then;

/// The bytes a mark has.
const MARK: usize = 40;

/// The data set on its way.
#[derive(Debug)]
pub struct Transfer {
    length: Option<Length>,
    /// Bytes that came.
    pub read: u64,
    target: Target,
    /// The last bytes that came: the mark, perhaps. They are not passed on before it is known that they are not.
    tail: Vec<u8>,
    /// All came.
    whole: bool,
}

/// Where it goes.
#[derive(Debug)]
enum Target {
    File {
        file: Option<File>,
        path: PathBuf,
    },
    /// Straight into memory; the load is begun between two commands.
    Memory {
        begun: bool,
    },
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

    /// What of the bytes that came is certainly no part of the mark: some of those kept back, and some of these.
    fn before_mark<'b>(&mut self, bytes: &'b [u8]) -> (Vec<u8>, &'b [u8]) {
        let (now, later) = bytes.split_at(bytes.len().saturating_sub(MARK));
        let old = (self.tail.len() + later.len()).saturating_sub(MARK);
        let first = self.tail.drain(..old).collect();
        self.tail.extend_from_slice(later);
        (first, now)
    }
}

impl State {
    /// A data set will come.
    pub(super) fn begin_transfer(&mut self) {
        let target = match self.loads_from_socket() {
            true => Target::Memory { begun: false },
            false => match self.create_transfer_file() {
                Some(target) => target,
                None => return self.handshake_failed(),
            },
        };
        self.replication.link.step = Step::Transfer;
        self.replication.link.transfer = Some(Transfer {
            length: None,
            read: 0,
            target,
            tail: Vec::new(),
            whole: false,
        });
    }

    #[doc(alias = "useDisklessLoad")]
    fn loads_from_socket(&self) -> bool {
        match self.config.repl_diskless_load {
            ReplDisklessLoad::Disabled => false,
            ReplDisklessLoad::OnEmptyDb => self.keyspace.keys() == 0,
            ReplDisklessLoad::Swapdb | ReplDisklessLoad::FlushBeforeLoad => true,
        }
    }

    fn create_transfer_file(&self) -> Option<Target> {
        let name = format!(
            "temp-{}.{}.rdb",
            self.clock.unix_seconds(),
            std::process::id()
        );
        let path = self.config.dir.join(name);
        match self.disk.create(&path) {
            Ok(file) => Some(Target::File {
                file: Some(file),
                path,
            }),
            Err(error) => {
                self.log.warning(format_args!(
                    "Opening the temp file needed for MASTER <-> REPLICA synchronization: {}",
                    disk::reason(&error)
                ));
                None
            }
        }
    }

    /// Gives up what came so far.
    pub(super) fn abandon_transfer(&mut self) {
        let link = &mut self.replication.link;
        if let Some(transfer) = link.transfer.take()
            && let Target::File { path, .. } = transfer.target
        {
            // If it stays, it is a stray file and no harm.
            let _ = self.closer.remove_file(&path);
        }
        self.abandon_receiving();
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
            let then = match self.link_waits() {
                true => Then::Wait,
                false => Then::Read,
            };
            return (bytes.len() - rest.len(), then);
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
        let (whole, first, then) = match length {
            Length::Bytes(total) => (transfer.read == total, Vec::new(), part),
            Length::Mark(mark) => {
                let (first, then) = transfer.before_mark(part);
                (transfer.tail == mark, first, then)
            }
        };
        transfer.whole = whole;
        if let Err(error) = self.pass_on([&first, then]) {
            self.log.warning(format_args!(
                "Write error or short write writing to the DB dump file needed for MASTER <-> REPLICA \
                 synchronization: {}",
                disk::reason(&error)
            ));
            self.transfer_failed();
            return (bytes.len(), Then::Read);
        }
        if !whole {
            return (part.len(), Then::Read);
        }
        self.feed_no_more();
        self.secure_transfer(matches!(length, Length::Mark(_)));
        (part.len(), Then::Wait)
    }

    /// To the file, or into memory.
    fn pass_on(&mut self, pieces: [&[u8]; 2]) -> std::io::Result<()> {
        let transfer = self.replication.link.transfer.as_mut();
        match transfer.map(|transfer| &mut transfer.target) {
            Some(Target::File {
                file: Some(file), ..
            }) => pieces.iter().try_for_each(|piece| file.write_all(piece)),
            Some(Target::Memory { .. }) => {
                pieces.iter().for_each(|piece| self.feed_load(piece));
                Ok(())
            }
            _ => Ok(()),
        }
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
        let to = match transfer.target {
            Target::File { .. } => "to disk",
            Target::Memory { .. } => "to parser",
        };
        if let Some(mark) = mark {
            transfer.length = Some(Length::Mark(mark));
            self.log.notice(format_args!(
                "MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF {to}"
            ));
        } else if let Some(bytes) = bytes.filter(|bytes| *bytes > 0) {
            transfer.length = Some(Length::Bytes(bytes));
            self.log.notice(format_args!(
                "MASTER <-> REPLICA sync: receiving {bytes} bytes from master {to}"
            ));
        } else {
            self.log.warning(format_args!(
                "Bad protocol from MASTER, the first byte is not '$' (we received '{line}'), are you sure the \
                 host and port are right?"
            ));
            self.transfer_failed();
        }
    }

    /// All came: a thread forces the file, if it is one, to disk and gives it its name.
    fn secure_transfer(&mut self, has_mark: bool) {
        let attempt = self.replication.link.attempt;
        let Some(transfer) = &mut self.replication.link.transfer else {
            return;
        };
        let Target::File { file, path } = &mut transfer.target else {
            return;
        };
        let (Some(file), temporary) = (file.take(), path.clone()) else {
            return;
        };
        let target = self.config.dir.join(&self.config.dbfilename);
        let mailbox = self.mailbox.clone();
        let disk = self.disk.clone();
        let secure = move || {
            let result = secure(&disk, &file, &temporary, &target);
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

    /// Begins to load a data set that is on disk, or the one that comes into memory. Nothing may be running.
    pub fn tend_transfer(&mut self) {
        self.tend_receiving();
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
        self.make_way();
        self.attach_to_new_primary();
        self.log
            .notice("MASTER <-> REPLICA sync: Loading DB in memory");
        let gone = self.flush_old_data();
        let path = self.config.dir.join(&self.config.dbfilename);
        let flags = Flags {
            from_primary: true,
            marked: has_mark,
            ..Flags::default()
        };
        if self.begin_loading_rdb(&path, flags) == Opened::Yes {
            return self.free_old_data(gone);
        }
        self.primary_loaded(Loaded {
            ok: false,
            flags,
            stream_db: None,
            beside: None,
        });
    }

    /// Begins to load what comes into memory, once it was announced.
    fn tend_receiving(&mut self) {
        let loading = self.is_loading();
        let link = &mut self.replication.link;
        let Some(transfer) = &mut link.transfer else {
            return;
        };
        let (
            Some(length),
            Target::Memory {
                begun: begun @ false,
            },
        ) = (transfer.length, &mut transfer.target)
        else {
            return;
        };
        if loading {
            return;
        }
        *begun = true;
        let total = transfer.total();
        let keep_old = self.config.repl_diskless_load == ReplDisklessLoad::Swapdb;
        // Two states of one stream: the old one is behind, but right.
        let announced = self.replication.link.announced.as_ref();
        let same_stream = announced.is_some_and(|(id, _)| *id == self.replication.id);
        let flags = Flags {
            from_primary: true,
            marked: matches!(length, Length::Mark(_)),
            serves_old: keep_old && same_stream,
            ..Flags::default()
        };
        self.make_way();
        if !keep_old {
            self.attach_to_new_primary();
        }
        self.log
            .notice("MASTER <-> REPLICA sync: Loading DB in memory");
        if keep_old {
            self.begin_receiving(total, flags, true);
        } else {
            let gone = self.flush_old_data();
            self.begin_receiving(total, flags, false);
            self.free_old_data(gone);
        }
        // What came together with the announcement.
        let rest = std::mem::take(&mut self.replication.link.rest);
        self.link_received(&rest);
    }

    /// What is written to files is of the data set that goes.
    fn make_way(&mut self) {
        if self.persistence.aof.mode != Mode::Off {
            self.stop_aof();
        }
        self.cancel_save();
    }

    fn flush_old_data(&mut self) -> Vec<RemovedTable> {
        self.log
            .notice("MASTER <-> REPLICA sync: Flushing old data");
        self.forget_data()
    }

    /// Frees it on the thread that does so. The load, which was begun, waits for it unless it may take the memory of
    /// both.
    fn free_old_data(&mut self, gone: Vec<RemovedTable>) {
        let keys: usize = gone.iter().map(|table| table.len()).sum();
        if self.config.replica_lazy_flush {
            if keys > 0 {
                self.lazyfree.free(gone, keys);
            }
        } else if LazyFree::is_worth_it(keys) {
            self.load_when_freed(gone);
        }
    }

    /// Our history ends: those who follow it must begin anew.
    #[doc(alias = "replicationAttachToNewMaster")]
    fn attach_to_new_primary(&mut self) {
        self.disconnect_replicas();
        self.replication.backlog = None;
        self.listen_for_replicas();
    }

    /// Whether the socket is to be left alone: the data set is whole and not loaded yet, or comes faster than it is
    /// loaded.
    pub fn link_waits(&self) -> bool {
        let link = &self.replication.link;
        let Some(transfer) = link
            .transfer
            .as_ref()
            .filter(|_| link.step == Step::Transfer)
        else {
            return false;
        };
        let has_enough = match transfer.target {
            Target::File { .. } => false,
            Target::Memory { .. } => transfer.length.is_some() && !self.load_is_hungry(),
        };
        transfer.whole || has_enough
    }

    /// Whether what is being loaded came from our primary.
    pub fn is_loading_from_primary(&self) -> bool {
        let loading = self.persistence.loading.as_ref();
        loading.is_some_and(|loading| loading.flags().from_primary)
    }

    /// The data set of our primary is loaded, or cannot be.
    pub fn primary_loaded(&mut self, loaded: Loaded) {
        self.replication.link.transfer = None;
        let received = loaded.flags.received;
        let has_persistence = self.config.appendonly || !self.config.save.is_empty();
        if !received && self.config.rdb_del_sync_files && !has_persistence {
            self.log.notice(
                "Removing the RDB file obtained from the master. This replica has persistence disabled",
            );
            let path = self.config.dir.join(&self.config.dbfilename);
            let _ = self.closer.remove_file(&path);
        }
        if !loaded.ok {
            let from = if received { "socket" } else { "disk" };
            self.log.warning(format_args!(
                "Failed trying to load the MASTER synchronization DB from {from}, check server logs."
            ));
            self.drop_received(loaded.beside);
            return self.transfer_failed();
        }
        if let Some(beside) = loaded.beside {
            self.attach_to_new_primary();
            self.take_over(beside);
        }
        if received {
            // It is in no file of ours: a save point is to see a change.
            self.dirty += 1;
        }
        let stream_db = loaded.stream_db;
        let known = stream_db.filter(|db| (db.0 as usize) < self.keyspace.len_dbs());
        let (id, offset) = match self.replication.link.announced.take() {
            Some(announced) => announced,
            // Without a name nobody, we included, can go on from here.
            None => (self.entropy.name_text(), 0),
        };
        let replication = &mut self.replication;
        replication.id = id;
        replication.offset = offset;
        replication.clear_id2();
        self.primary_is_client(known.unwrap_or(DbId(0)));
        self.create_backlog();
        self.log
            .notice("MASTER <-> REPLICA sync: Finished with success");
        if loaded.flags.marked {
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
    disk: &Disk,
    file: &File,
    temporary: &Path,
    target: &Path,
) -> Result<(), (&'static str, String)> {
    let reason = |what| move |error: std::io::Error| (what, disk::reason(&error));
    file.sync_all().map_err(reason("sync"))?;
    disk.rename(temporary, target).map_err(reason("rename"))?;
    if let Some(directory) = target.parent() {
        disk.sync_dir(directory)
            .map_err(reason("sync the directory of"))?;
    }
    Ok(())
}
