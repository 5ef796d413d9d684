//! The node's file is written on a thread: beside the old one, forced to disk, and renamed.
//!
//! ```text
//!   machine ── Save 7 ──▶ thread: nodes.conf.<pid>-0, fsync, rename, fsync of the directory ──▶ Saved 7 ──▶ machine
//!                                   └─ it failed: a line in the log, and once more in a second
//! ```
//!
//! A disk that fails holds back the promises of this node (votes, claims of slots), which the machine keeps until they
//! are saved; clients are served meanwhile.
//!
//! Mirrors: clusterSaveConfig() of cluster_legacy.c.
//! Differs: the one thread of Redis waits for the disk, and ends the process when the file cannot be written.

use super::carry;
use crate::clients::{ClientKey, WaitKind};
use crate::cluster::machine::{Input, Reply};
use crate::cluster::{RefusedSave, Unsaved};
use crate::config::disk;
use crate::resp::{self, Error};
use crate::state::State;
use crate::{clients, cluster};

/// How long a save that failed is left alone, in milliseconds.
const AGAIN_MS: u64 = 1000;

/// Has a text written on the thread.
pub(super) fn begin(state: &mut State, token: u64, text: String) {
    let path = state.config.dir.join(&state.config.cluster_config_file);
    let (disk, mailbox) = (state.disk.clone(), state.mailbox.clone());
    state.keeper.submit(move || {
        let written = disk::replace(&disk, &path, text.as_bytes());
        let written = written.map_err(|error| disk::reason(&error));
        // The server may have ended.
        mailbox.send(move |state: &mut State| ended(state, token, text, written));
    });
}

/// A save has ended.
fn ended(state: &mut State, token: u64, text: String, written: Result<(), String>) {
    match written {
        Ok(()) => {
            carry::step(state, Input::Saved { token });
            answer(state, token, None);
        }
        Err(reason) => {
            let file = &state.config.cluster_config_file;
            state.log.warning(format_args!(
                "Could not write the cluster config file {file}: {reason}. Votes and claims of this node wait until \
                 it can be written."
            ));
            let again_ms = super::node::now_ms(state) + AGAIN_MS;
            state.cluster.refused_save = Some(RefusedSave {
                token,
                text,
                again_ms,
            });
            answer(state, token, Some(&reason));
        }
    }
}

/// Tries a save again that failed.
pub(super) fn retry(state: &mut State, now_ms: u64) {
    let due = |save: &mut RefusedSave| save.again_ms <= now_ms;
    if let Some(RefusedSave { token, text, .. }) = state.cluster.refused_save.take_if(due) {
        begin(state, token, text);
    }
}

/// Notes that a client gets its reply when a save has ended. The client is blocked.
pub fn reply_when_saved(state: &mut State, token: u64, client: ClientKey, reply: Reply) {
    state.cluster.unsaved.push(Unsaved {
        token,
        client,
        reply,
    });
}

/// Sends the replies that waited for a save.
fn answer(state: &mut State, saved: u64, failed: Option<&str>) {
    let due = |one: &mut Unsaved| one.token <= saved;
    let due: Vec<Unsaved> = state.cluster.unsaved.extract_if(.., due).collect();
    for Unsaved {
        token,
        client,
        reply,
    } in due
    {
        let kind = WaitKind::Saved(token);
        clients::act::waits::end_wait_saying(state, client, kind, |to| match failed {
            None => {
                write(to, reply);
                true
            }
            Some(reason) => {
                let text = format!("error saving the cluster node config: {reason}");
                to.error(&Error::once(text));
                false
            }
        });
    }
}

/// Writes the reply to an order.
pub fn write(to: &mut resp::Reply, reply: Reply) {
    match reply {
        Reply::Ok => to.ok(),
        Reply::Number(number) => to.count(number),
        Reply::Bumped(epoch) => to.simple(&format!("BUMPED {epoch}")),
        Reply::Still(epoch) => to.simple(&format!("STILL {epoch}")),
    }
}

/// Writes the file once more, in the end of the server: the thread may not come to it.
pub fn save_at_end(state: &mut State) {
    let Some(machine) = state.cluster.machine() else {
        return;
    };
    let text = machine.file().write();
    let path = state.config.dir.join(&state.config.cluster_config_file);
    state.keeper.close();
    if let Err(error) = disk::replace(&state.disk, &path, text.as_bytes()) {
        let reason = disk::reason(&error);
        state.log.warning(format_args!(
            "Could not write the cluster config file {}: {reason}",
            path.display()
        ));
    }
    state.cluster = cluster::Cluster::default();
}
