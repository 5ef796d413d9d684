//! The append-only file of a Redis before version 7, a single file, becomes a base in a directory with a manifest.
//!
//! Mirrors: aofUpgradePrepare() of aof.c.
//! Differs: the old file is linked under its new name before the old name goes, so that a power cut loses neither.

use std::io;
use std::path::Path;

use crate::config::disk;
use crate::persistence::aof::manifest::Names;
use crate::persistence::aof::order::{NotInForce, Order};
use crate::persistence::loading::Fatal;
use crate::state::State;

/// Moves the single file of a Redis before version 7 into the directory, as the base. An interruption at any step is
/// harmless: the next start does it again.
#[doc(alias = "aofUpgradePrepare")]
pub(in crate::persistence) fn upgrade_old_aof(state: &mut State) -> Result<(), Fatal> {
    let names = state.config.aof_names();
    let old = state.config.dir.join(&names.stem);
    let manifest = &state.persistence.aof.manifest;
    let half_way = manifest.increments.is_empty()
        && manifest
            .base
            .as_ref()
            .is_some_and(|base| base.name == names.stem)
        && !state.disk.exists(&names.path(&names.stem));
    let is_there = state.disk.metadata(&old).is_ok_and(|old| old.is_file);
    if !is_there || !(manifest.is_empty() || half_way) {
        return Ok(());
    }
    let mut manifest = manifest.clone();
    manifest.adopt(&names.stem);
    let directory = &state.config.appenddirname;
    let order = Order {
        disk: &state.disk,
        names: &names,
    };
    let moved = order
        .make_directory()
        .and_then(|()| link_old_aof(state, &old, &names))
        .and_then(|()| order.persist(&manifest).map_err(NotInForce::line))
        .and_then(|()| match state.disk.remove_file(&old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let (stem, reason) = (&names.stem, disk::reason(&error));
                Err(format!(
                    "Error trying to move the old AOF file {stem} into dir {directory}: {reason}"
                ))
            }
            _ => Ok(()),
        });
    match moved {
        Ok(()) => {
            state.log.notice(format_args!(
                "Successfully migrated an old-style AOF file ({}) into the AOF directory ({directory}).",
                names.stem
            ));
            state.persistence.aof.manifest = manifest;
            Ok(())
        }
        Err(line) => {
            state.log.warning(line);
            Err(Fatal)
        }
    }
}

/// Gives the old file its second name, under which the manifest is going to know it. Only then may the first one go:
/// after a power cut a rename can have taken the one away and not brought the other.
fn link_old_aof(state: &State, old: &Path, names: &Names) -> Result<(), String> {
    let new = names.path(&names.stem);
    // No manifest names it: it is of an attempt that was interrupted.
    let _ = state.disk.remove_file(&new);
    // Where there are no links it is renamed.
    let linked = state.disk.hard_link(old, &new);
    let linked = linked.or_else(|_| state.disk.rename(old, &new));
    linked.map_err(|error| {
        let (stem, reason) = (&names.stem, disk::reason(&error));
        let directory = &state.config.appenddirname;
        format!("Error trying to move the old AOF file {stem} into dir {directory}: {reason}")
    })
}
