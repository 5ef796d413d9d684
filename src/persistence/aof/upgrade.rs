//! The append-only file of a Redis before version 7, a single file, becomes a base in a directory with a manifest.
//!
//! Mirrors: aofUpgradePrepare() of aof.c.

use std::io;
use std::path::Path;

use super::manifest::Names;
use super::order::{NotInForce, Order};
use crate::config::disk;
use crate::persistence::loading::Fatal;
use crate::state::State;

impl State {
    /// A single file of a Redis before version 7 moves into the directory and becomes the base. May be interrupted
    /// anywhere, and is then done again.
    #[doc(alias = "aofUpgradePrepare")]
    pub(in crate::persistence) fn upgrade_old_aof(&mut self) -> Result<(), Fatal> {
        let names = self.config.aof_names();
        let old = self.config.dir.join(&names.stem);
        let manifest = &self.persistence.aof.manifest;
        let half_way = manifest.increments.is_empty()
            && manifest
                .base
                .as_ref()
                .is_some_and(|base| base.name == names.stem)
            && !self.disk.exists(&names.path(&names.stem));
        let is_there = self.disk.metadata(&old).is_ok_and(|old| old.is_file);
        if !is_there || !(manifest.is_empty() || half_way) {
            return Ok(());
        }
        let mut manifest = manifest.clone();
        manifest.adopt(&names.stem);
        let directory = &self.config.appenddirname;
        let order = Order {
            disk: &self.disk,
            names: &names,
        };
        let moved = order
            .make_directory()
            .and_then(|()| self.link_old_aof(&old, &names))
            .and_then(|()| order.persist(&manifest).map_err(NotInForce::line))
            .and_then(|()| match self.disk.remove_file(&old) {
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
                self.log.notice(format_args!(
                    "Successfully migrated an old-style AOF file ({}) into the AOF directory ({directory}).",
                    names.stem
                ));
                self.persistence.aof.manifest = manifest;
                Ok(())
            }
            Err(line) => {
                self.log.warning(line);
                Err(Fatal)
            }
        }
    }

    /// Gives the old file its second name, under which the manifest is going to know it. Only then may the first one go:
    /// after a power cut a rename can have taken the one away and not brought the other.
    fn link_old_aof(&self, old: &Path, names: &Names) -> Result<(), String> {
        let new = names.path(&names.stem);
        // No manifest names it: it is of an attempt that was interrupted.
        let _ = self.disk.remove_file(&new);
        // Where there are no links it is renamed.
        let linked = self.disk.hard_link(old, &new);
        let linked = linked.or_else(|_| self.disk.rename(old, &new));
        linked.map_err(|error| {
            let (stem, reason) = (&names.stem, disk::reason(&error));
            let directory = &self.config.appenddirname;
            format!("Error trying to move the old AOF file {stem} into dir {directory}: {reason}")
        })
    }
}
