//! The replica's half of a full synchronisation carried out: a file or the connection is loaded, the link goes on.
//!
//! Mirrors: readSyncBulkPayload() of replication.c.
//! Differs: the file is forced to disk on a helper thread, and loaded in slices between turns of the loop.

use std::io::Write;
use std::path::Path;

use super::{channel, full_sync, link, primary, stream};
use crate::background::LazyFree;
use crate::config::{ReplDisklessLoad, disk};
use crate::keyspace::{DbId, RemovedTable};
use crate::persistence;
use crate::persistence::aof::Mode;
use crate::persistence::loading::{Flags, Loaded, Opened};
use crate::replication::link::Step;
use crate::replication::transfer::{Length, MARK, Secured, Target, Transfer};
use crate::state::State;
use crate::sys::files::{Disk, File};
use crate::sys::threads;
use crate::util::num::parse_u64;
use crate::wires::Then;

/// A data set will come.
pub(in crate::replication) fn begin_transfer(state: &mut State) {
    let target = match loads_from_socket(state) {
        true => Target::Memory { begun: false },
        false => match create_transfer_file(state) {
            Some(target) => target,
            None => return link::handshake_failed(state),
        },
    };
    state.replication.link.step = Step::Transfer;
    state.replication.link.transfer = Some(Transfer {
        length: None,
        read: 0,
        target,
        tail: Vec::new(),
        whole: false,
    });
}

#[doc(alias = "useDisklessLoad")]
fn loads_from_socket(state: &State) -> bool {
    match state.config.repl_diskless_load {
        ReplDisklessLoad::Disabled => false,
        ReplDisklessLoad::OnEmptyDb => state.keyspace.keys() == 0,
        ReplDisklessLoad::FlushBeforeLoad => true,
        ReplDisklessLoad::Swapdb => {
            let aware = state.modules.know_async_load();
            if !aware {
                state.log.notice(
                    "Skipping diskless-load because there are modules that are not aware of async replication.",
                );
            }
            aware
        }
    }
}

fn create_transfer_file(state: &State) -> Option<Target> {
    let name = format!(
        "temp-{}.{}.rdb",
        state.clock.unix_seconds(),
        std::process::id()
    );
    let path = state.config.dir.join(name);
    match state.disk.create(&path) {
        Ok(file) => Some(Target::File {
            file: Some(file),
            path,
        }),
        Err(error) => {
            state.log.warning(format_args!(
                "Opening the temp file needed for MASTER <-> REPLICA synchronization: {}",
                disk::reason(&error)
            ));
            None
        }
    }
}

/// Gives up what came so far.
pub(in crate::replication) fn abandon_transfer(state: &mut State) {
    let link = &mut state.replication.link;
    if let Some(transfer) = link.transfer.take()
        && let Target::File { path, .. } = transfer.target
    {
        // If it stays, it is a stray file and no harm.
        let _ = state.closer.remove_file(&path);
    }
    persistence::act::receiving::abandon_receiving(state);
}

/// Bytes of it came; returns how many of them belong to it.
#[doc(alias = "readSyncBulkPayload")]
pub(in crate::replication) fn transfer_received(state: &mut State, bytes: &[u8]) -> (usize, Then) {
    let Some(transfer) = &state.replication.link.transfer else {
        return (bytes.len(), Then::Read);
    };
    let Some(length) = transfer.length else {
        let mut rest = bytes;
        if let Some(line) = link::take_line(state, &mut rest) {
            transfer_header(state, &line);
        }
        let then = match link_waits(state) {
            true => Then::Wait,
            false => Then::Read,
        };
        return (bytes.len() - rest.len(), then);
    };
    let Some(transfer) = &mut state.replication.link.transfer else {
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
    state.stats.net_repl_input_bytes += part.len() as u64;
    let (whole, first, then) = match length {
        Length::Bytes(total) => (transfer.read == total, Vec::new(), part),
        Length::Mark(mark) => {
            let (first, then) = transfer.before_mark(part);
            (transfer.tail == mark, first, then)
        }
    };
    transfer.whole = whole;
    if let Err(error) = pass_on(state, [&first, then]) {
        state.log.warning(format_args!(
            "Write error or short write writing to the DB dump file needed for MASTER <-> REPLICA \
             synchronization: {}",
            disk::reason(&error)
        ));
        link::transfer_failed(state);
        return (bytes.len(), Then::Read);
    }
    if !whole {
        return (part.len(), Then::Read);
    }
    persistence::act::receiving::feed_no_more(state);
    secure_transfer(state, matches!(length, Length::Mark(_)));
    (part.len(), Then::Wait)
}

/// To the file, or into memory.
fn pass_on(state: &mut State, pieces: [&[u8]; 2]) -> std::io::Result<()> {
    let transfer = state.replication.link.transfer.as_mut();
    match transfer.map(|transfer| &mut transfer.target) {
        Some(Target::File {
            file: Some(file), ..
        }) => pieces.iter().try_for_each(|piece| file.write_all(piece)),
        Some(Target::Memory { .. }) => {
            pieces
                .iter()
                .for_each(|piece| persistence::act::receiving::feed_load(state, piece));
            Ok(())
        }
        _ => Ok(()),
    }
}

fn transfer_header(state: &mut State, line: &str) {
    // Empty lines only say that the primary is there.
    if line.is_empty() {
        return;
    }
    if let Some(error) = line.strip_prefix('-') {
        state.log.warning(format_args!(
            "MASTER aborted replication with an error: {error}"
        ));
        return link::transfer_failed(state);
    }
    let mark = line.strip_prefix("$EOF:").and_then(|mark| {
        let mark: [u8; MARK] = mark.as_bytes().get(..MARK)?.try_into().ok()?;
        Some(mark)
    });
    let bytes = line.strip_prefix('$').and_then(|n| parse_u64(n.as_bytes()));
    let Some(transfer) = &mut state.replication.link.transfer else {
        return;
    };
    let to = match transfer.target {
        Target::File { .. } => "to disk",
        Target::Memory { .. } => "to parser",
    };
    if let Some(mark) = mark {
        transfer.length = Some(Length::Mark(mark));
        state.log.notice(format_args!(
            "MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF {to}"
        ));
    } else if let Some(bytes) = bytes.filter(|bytes| *bytes > 0) {
        transfer.length = Some(Length::Bytes(bytes));
        state.log.notice(format_args!(
            "MASTER <-> REPLICA sync: receiving {bytes} bytes from master {to}"
        ));
    } else {
        state.log.warning(format_args!(
            "Bad protocol from MASTER, the first byte is not '$' (we received '{line}'), are you sure the \
             host and port are right?"
        ));
        link::transfer_failed(state);
    }
}

/// All came: a thread forces the file, if it is one, to disk and gives it its name.
fn secure_transfer(state: &mut State, has_mark: bool) {
    let attempt = state.replication.link.attempt;
    let Some(transfer) = &mut state.replication.link.transfer else {
        return;
    };
    let Target::File { file, path } = &mut transfer.target else {
        return;
    };
    let (Some(file), temporary) = (file.take(), path.clone()) else {
        return;
    };
    let target = state.config.dir.join(&state.config.dbfilename);
    let mailbox = state.mailbox.clone();
    let disk = state.disk.clone();
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
    if let Err(error) = threads::spawn("transfer", secure) {
        let reason = disk::reason(&error);
        state.replication.link.secured = Some(Secured {
            attempt,
            has_mark,
            result: Err(("sync", reason)),
        });
    }
}

/// Begins to load a data set that is on disk, or the one that comes into memory. No save and no load may be running.
pub fn tend_transfer(state: &mut State) {
    tend_receiving(state);
    let link = &mut state.replication.link;
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
        state.log.warning(format_args!(
            "Failed trying to {what} the temp DB in MASTER <-> REPLICA synchronization: {reason}"
        ));
        return link::transfer_failed(state);
    }
    make_way(state);
    begin_history(state);
    state
        .log
        .notice("MASTER <-> REPLICA sync: Loading DB in memory");
    let gone = flush_old_data(state);
    let path = state.config.dir.join(&state.config.dbfilename);
    let flags = Flags {
        from_primary: true,
        marked: has_mark,
        ..Flags::default()
    };
    if persistence::act::loading::begin_loading_rdb(state, &path, flags) == Opened::Yes {
        return free_old_data(state, gone);
    }
    primary_loaded(
        state,
        Loaded {
            ok: false,
            flags,
            stream_db: None,
            beside: None,
        },
    );
}

/// Begins to load what comes into memory, once it was announced.
fn tend_receiving(state: &mut State) {
    let loading = state.persistence.is_loading();
    let link = &mut state.replication.link;
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
    let keep_old = state.config.repl_diskless_load == ReplDisklessLoad::Swapdb;
    // Two states of one stream: the old one is behind, but right.
    let announced = state.replication.link.announced.as_ref();
    let same_stream = announced.is_some_and(|(id, _)| *id == state.replication.id);
    let flags = Flags {
        from_primary: true,
        marked: matches!(length, Length::Mark(_)),
        serves_old: keep_old && same_stream,
        ..Flags::default()
    };
    make_way(state);
    if !keep_old {
        begin_history(state);
    }
    state
        .log
        .notice("MASTER <-> REPLICA sync: Loading DB in memory");
    if keep_old {
        persistence::act::receiving::begin_receiving(state, total, flags, true);
    } else {
        let gone = flush_old_data(state);
        persistence::act::receiving::begin_receiving(state, total, flags, false);
        free_old_data(state, gone);
    }
    // The announcement of the data set can arrive together with its first bytes.
    let rest = std::mem::take(&mut state.replication.link.rest);
    match state.replication.link.channel {
        Some(_) => channel::channel_received(state, &rest),
        None => link::link_received(state, &rest),
    };
}

/// Stops the append-only file and the running save: both are of the data set that is about to be replaced.
fn make_way(state: &mut State) {
    persistence::act::rewrite::stop_aof_if_on(state);
    full_sync::cancel_save(state);
}

fn flush_old_data(state: &mut State) -> Vec<RemovedTable> {
    state
        .log
        .notice("MASTER <-> REPLICA sync: Flushing old data");
    persistence::act::receiving::forget_data(state)
}

/// Frees the old data set on the thread for that. The load, which has begun, waits for it unless the memory of both
/// may be used at once.
fn free_old_data(state: &mut State, gone: Vec<RemovedTable>) {
    let keys: usize = gone.iter().map(|table| table.len()).sum();
    if state.config.replica_lazy_flush {
        if keys > 0 {
            state.lazyfree.free(gone, keys);
        }
    } else if LazyFree::is_worth_it(keys) {
        persistence::act::receiving::load_when_freed(state, gone);
    }
}

/// The history of this server ends: its own replicas must begin anew with a full synchronisation.
#[doc(alias = "replicationAttachToNewMaster")]
pub fn begin_history(state: &mut State) {
    primary::disconnect_replicas(state);
    state.replication.backlog = None;
    stream::listen_for_replicas(state);
}

/// Whether the socket is to be left alone: the data set is whole and not loaded yet, or comes faster than it is
/// loaded.
pub fn link_waits(state: &State) -> bool {
    let link = &state.replication.link;
    let Some(transfer) = link
        .transfer
        .as_ref()
        .filter(|_| link.step == Step::Transfer)
    else {
        return false;
    };
    let has_enough = match transfer.target {
        Target::File { .. } => false,
        Target::Memory { .. } => {
            transfer.length.is_some() && !persistence::act::receiving::load_is_hungry(state)
        }
    };
    transfer.whole || has_enough
}

/// Whether all of the data set came.
pub(super) fn is_whole(state: &State) -> bool {
    let transfer = state.replication.link.transfer.as_ref();
    transfer.is_none_or(|transfer| transfer.whole)
}

/// Whether the data set is loaded from a file, not from its connection.
pub(super) fn loads_file(state: &State) -> bool {
    let transfer = state.replication.link.transfer.as_ref();
    transfer.is_some_and(|transfer| matches!(transfer.target, Target::File { .. }))
}

/// Whether what is being loaded came from our primary.
pub fn is_loading_from_primary(state: &State) -> bool {
    let loading = state.persistence.loading.as_ref();
    loading.is_some_and(|loading| loading.flags().from_primary)
}

/// The data set of our primary is loaded, or cannot be.
pub fn primary_loaded(state: &mut State, loaded: Loaded) {
    state.replication.link.transfer = None;
    let received = loaded.flags.received;
    let has_persistence = state.config.appendonly || !state.config.save.is_empty();
    if !received && state.config.rdb_del_sync_files && !has_persistence {
        state.log.notice(
            "Removing the RDB file obtained from the master. This replica has persistence disabled",
        );
        let path = state.config.dir.join(&state.config.dbfilename);
        let _ = state.closer.remove_file(&path);
    }
    if !loaded.ok {
        let from = if received { "socket" } else { "disk" };
        state.log.warning(format_args!(
            "Failed trying to load the MASTER synchronization DB from {from}, check server logs."
        ));
        persistence::act::receiving::drop_received(state, loaded.beside);
        return link::transfer_failed(state);
    }
    if let Some(beside) = loaded.beside {
        begin_history(state);
        persistence::act::receiving::take_over(state, beside);
    }
    if received {
        // The data set is in no file of ours, so it counts as a change for the save points.
        state.dirty += 1;
    }
    let stream_db = loaded.stream_db;
    let known = stream_db.filter(|db| (db.0 as usize) < state.keyspace.len_dbs());
    let (id, offset) = match state.replication.link.announced.take() {
        Some(announced) => announced,
        // The primary named no stream (SYNC), so neither this server nor its replicas can continue from here.
        None => (state.entropy.name_text(), 0),
    };
    let replication = &mut state.replication;
    replication.id = id;
    replication.offset = offset;
    replication.clear_id2();
    link::primary_is_client(state, known.unwrap_or(DbId(0)));
    stream::create_backlog(state);
    state
        .log
        .notice("MASTER <-> REPLICA sync: Finished with success");
    channel::begin_streaming(state);
    if loaded.flags.marked {
        link::send_ack(state);
    }
    restart_aof(
        state,
        "MASTER <-> REPLICA sync: Starting AOF after a successful sync",
    );
}

/// Switches the append-only file on again, if it is wanted.
#[doc(alias = "startAppendOnlyWithRetry")]
pub(in crate::replication) fn restart_aof(state: &mut State, why: &str) {
    if state.config.appendonly
        && state.persistence.aof.mode == Mode::Off
        && !state.persistence.is_loading()
    {
        state.log.notice(why);
        persistence::act::rewrite::follow_appendonly(state);
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
