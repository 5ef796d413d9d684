//! BACKUP carried out: the files of a moment are pinned, sealed, let go. [`crate::persistence::backup`] explains
//! them.
//!
//! Mirrors: backup.c (of Redis 8.10; by its documentation and tests).
//! Differs: see [`crate::persistence::backup`].

use std::path::PathBuf;

use super::rewrite;
use crate::config::disk;
use crate::persistence::aof::Mode;
use crate::persistence::aof::manifest::Names;
use crate::persistence::aof::order::{NotInForce, Order};
use crate::persistence::backup::{Backup, Phase};
use crate::persistence::saving::Purpose;
use crate::resp::Error;
use crate::state::State;

/// BACKUP START. In a transaction it begins behind it: a snapshot does not cut one in two.
pub fn start_backup(state: &mut State) -> Result<(), Error> {
    let backup = &state.persistence.backup;
    if backup.is_in_progress() {
        return Err(Error::once("Backup already in progress"));
    }
    if backup.phase == Phase::Sealed {
        return Err(Error::once(
            "The last backup is sealed. Use BACKUP CLEANUP before the next one",
        ));
    }
    let directory = state.config.dir.join(&state.config.backupdirname);
    let made = state.disk.make_dir(&directory);
    let names = made.and_then(|()| state.disk.list(&directory));
    match names.map(|names| !names.is_empty()) {
        Ok(false) => {}
        Ok(true) => return Err(Error::once("Backup directory is not empty")),
        Err(error) => {
            let why = disk::reason(&error);
            return Err(Error::once(format!(
                "Can't use the backup directory: {why}"
            )));
        }
    }
    state.persistence.backup = Backup {
        phase: Phase::Pending,
        started_s: state.clock.unix_seconds(),
        directory,
        ..Backup::default()
    };
    if !rewrite::in_transaction(state) {
        advance_backup(state);
    }
    match state.persistence.backup.phase {
        Phase::Failed => Err(Error::once(
            "Can't start the backup. Please check the server logs for more information.",
        )),
        _ => Ok(()),
    }
}

/// Moves a backup from pending to snapshotting, if that is possible now.
fn advance_backup(state: &mut State) {
    if state.persistence.backup.phase != Phase::Pending {
        return;
    }
    let purpose = state.persistence.running.as_ref().map(|job| job.purpose);
    let began = match (state.persistence.aof.mode, purpose) {
        // The running rewrite has an increment from its beginning on, so it serves as well as one of our own.
        (Mode::On | Mode::AwaitsRewrite, Some(Purpose::Rewrite)) => true,
        (_, Some(_)) => return,
        (Mode::On | Mode::AwaitsRewrite, None) => rewrite::rewrite_aof(state),
        (Mode::Off, None) => {
            let directory = state.config.aof_names().directory;
            let backup = &mut state.persistence.backup;
            backup.own_stream = true;
            backup.own_directory = !state.disk.exists(&directory);
            rewrite::start_aof(state)
        }
    };
    match began {
        true => state.persistence.backup.phase = Phase::Snapshotting,
        false => fail_backup(state, "the rewrite of the AOF can't start"),
    }
}

/// Follows the end of a rewrite: its base is pinned, or the backup fails.
pub(in crate::persistence) fn backup_rewritten(state: &mut State, ok: bool) {
    if state.persistence.backup.phase != Phase::Snapshotting {
        return;
    }
    if !ok {
        fail_backup(state, "the rewrite of the AOF failed");
        return;
    }
    let base = state.persistence.aof.manifest.base.as_ref();
    let name = base.map(|base| base.name.clone());
    match name.map_or(Err("no base".to_owned()), |name| pin(state, &name)) {
        Ok(()) => {
            state.persistence.backup.phase = Phase::Incrementing;
            state.log.notice("Backup: the base is pinned");
        }
        Err(why) => fail_backup(state, &why),
    }
}

/// Links a file of the append-only directory into the backup's.
fn pin(state: &mut State, name: &str) -> Result<(), String> {
    let from = state.config.aof_names().path(name);
    let to = state.persistence.backup.directory.join(name);
    state
        .disk
        .hard_link(&from, &to)
        .map_err(|error| format!("Can't link {name}: {}", disk::reason(&error)))?;
    state.persistence.backup.files.push(to);
    Ok(())
}

/// BACKUP SEAL.
pub fn seal_backup(state: &mut State) -> Result<(), Error> {
    if state.persistence.backup.phase != Phase::Incrementing {
        return Err(Error::once("No backup ready to seal"));
    }
    if let Err(why) = try_seal(state) {
        fail_backup(state, &why);
        return Err(Error::once(format!("Can't seal the backup: {why}")));
    }
    let now = state.clock.unix_seconds();
    let backup = &mut state.persistence.backup;
    backup.phase = Phase::Sealed;
    backup.sealed_s = now;
    state.log.notice("Backup: sealed");
    end_own_stream(state);
    Ok(())
}

fn try_seal(state: &mut State) -> Result<(), String> {
    rewrite::settle_aof(state)?;
    let sealed = state.persistence.aof.manifest.without_history();
    // From here on no command is appended to the files being sealed.
    if !state.persistence.backup.own_stream {
        rewrite::open_next_increment(state, "on backup")?;
    }
    for increment in &sealed.increments {
        pin(state, &increment.name)?;
    }
    let names = Names {
        directory: state.persistence.backup.directory.clone(),
        stem: state.config.appendfilename.clone(),
    };
    state.persistence.backup.files.push(names.manifest());
    let order = Order {
        disk: &state.disk,
        names: &names,
    };
    order.persist(&sealed).map_err(NotInForce::line)
}

/// BACKUP ABORT.
pub fn abort_backup(state: &mut State) -> Result<(), Error> {
    if !state.persistence.backup.is_in_progress() {
        return Err(Error::once("No backup in progress"));
    }
    fail_backup(state, "aborted by user");
    Ok(())
}

/// BACKUP CLEANUP.
pub fn clean_up_backup(state: &mut State) -> Result<(), Error> {
    if state.persistence.backup.is_in_progress() {
        return Err(Error::once(
            "Backup is in progress. Use BACKUP ABORT to cancel it",
        ));
    }
    unpin(state);
    state.persistence.backup = Backup::default();
    Ok(())
}

/// Ends a backup that is under way; nothing is left of it.
pub(in crate::persistence) fn fail_backup(state: &mut State, why: &str) {
    if !state.persistence.backup.is_in_progress() {
        return;
    }
    state.log.warning(format_args!("Backup failed: {why}"));
    unpin(state);
    let backup = &mut state.persistence.backup;
    backup.phase = Phase::Failed;
    backup.error = why.to_owned();
    end_own_stream(state);
}

fn unpin(state: &mut State) {
    // The manifest goes first, so that it never names a file that is gone.
    let files = std::mem::take(&mut state.persistence.backup.files);
    remove_in_order(state, files.into_iter().rev());
}

/// Removes files, the first, which names the others, for good before them.
fn remove_in_order(state: &mut State, files: impl Iterator<Item = PathBuf>) {
    for (at, file) in files.enumerate() {
        // A user who has copied the backup may have removed this file already.
        let removed = state.closer.remove_file(&file).is_ok();
        if at == 0
            && removed
            && let Some(directory) = file.parent()
        {
            // The manifest is gone, so no reader counts on the remaining files even if this fsync fails.
            let _ = state.disk.sync_dir(directory);
        }
    }
}

/// Stops the append-only file that ran for the backup alone, and removes the files that it made.
fn end_own_stream(state: &mut State) {
    let backup = &mut state.persistence.backup;
    let own_directory = std::mem::take(&mut backup.own_directory);
    if !std::mem::take(&mut backup.own_stream) {
        return;
    }
    // A client may have asked for a rewrite while the backup stood in the way: that request stays.
    let scheduled = state.persistence.aof.rewrite_scheduled;
    rewrite::abandon_aof(state);
    state.persistence.aof.rewrite_scheduled = scheduled;
    let names = state.config.aof_names();
    let mut files = Vec::new();
    if own_directory {
        files.push(names.manifest());
        let manifest = std::mem::take(&mut state.persistence.aof.manifest);
        let named = manifest.in_order().chain(&manifest.history);
        files.extend(named.map(|file| names.path(&file.name)));
    }
    remove_in_order(state, files.into_iter());
    let _ = state
        .closer
        .remove_file(&names.path(&names.temporary_increment()));
    if own_directory {
        // The directory stays if it holds files of others.
        let _ = state.disk.remove_dir(&names.directory);
    }
}

/// The part of the cron for BACKUP: moves a pending backup on, and lets a sealed one go when its time to live is
/// over.
pub(in crate::persistence) fn cron(state: &mut State) {
    advance_backup(state);
    let (ttl, backup) = (state.config.backup_sealed_ttl, &state.persistence.backup);
    let age = state.clock.unix_seconds() - backup.sealed_s;
    if backup.phase == Phase::Sealed && ttl > 0 && age >= ttl.cast_signed() {
        state.log.notice("Backup: the sealed files are let go");
        // Only a backup under way cannot be cleaned up, and this one is sealed.
        let _ = clean_up_backup(state);
    }
}
