//! The configuration file of a sentinel: checked at start, written by a helper thread whenever the state changes.
//!
//! Mirrors: sentinelCheckConfigFile(), sentinelFlushConfig() of sentinel.c.
//! Differs: the loop does not wait for the disk; what depends on the file waits instead.

use std::io;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::{answer, step, write_verdict};
use crate::config::{Config, Rewrite, disk};
use crate::resp::Error;
use crate::sentinel::{Held, Input, Verdict};
use crate::state::State;
use crate::sys::files::Disk;
use crate::util::args;

const NOT_SAVED: Error = Error::Once(std::borrow::Cow::Borrowed(
    "Failed to save config file. Check server logs.",
));

/// The end of the process waits so long for a save.
const LAST_SAVE: Duration = Duration::from_secs(10);

/// Whether there is a file to keep the state in; the error is the line for the log.
pub fn check(config: &Config) -> Result<(), String> {
    let Some(path) = &config.file else {
        return Err("Sentinel needs config file on disk to save state. Exiting...".into());
    };
    let opened = Disk::machine().change(path);
    opened.map(drop).map_err(|error| {
        let (path, reason) = (path.display(), disk::reason(&error));
        format!("Sentinel config file {path} is not writable: {reason}. Exiting...")
    })
}

/// The lines that the file is to hold besides the options of the server.
fn lines(state: &State) -> Rewrite {
    let users = state.acl.users().map(|user| args::repr_words(&user.line()));
    Rewrite {
        users: Some(match state.config.aclfile.is_empty() {
            true => users.collect(),
            false => Vec::new(),
        }),
        sentinel: state.sentinel.as_ref().map(|watch| watch.machine.lines()),
        ..Rewrite::default()
    }
}

/// Writes the file and waits for the disk: at start.
pub fn save_now(state: &mut State) -> io::Result<()> {
    state.config.rewrite_file(&state.disk, &lines(state))
}

/// Has a helper thread write the file as it is to be now. One save runs at a time; orders that come meanwhile are
/// carried out by one more.
#[doc(alias = "sentinelFlushConfig")]
pub(super) fn save(state: &mut State, generation: u64) {
    let Some(watch) = &mut state.sentinel else {
        return;
    };
    watch.to_save = Some(generation);
    if watch.saving.is_some() {
        return;
    }
    let (over, end) = channel();
    watch.saving = Some(end);
    watch.to_save = None;
    let (config, disk, told) = (state.config.clone(), state.disk.clone(), lines(state));
    let mailbox = state.mailbox.clone();
    let work = move || {
        let result = config.rewrite_file(&disk, &told);
        let result = result.map_err(|error| disk::reason(&error));
        mailbox.send(move |state| saved(state, generation, result));
        // Nobody but the end of the process looks at it.
        let _ = over.send(());
    };
    if let Err(error) = state.helpers.begin("sentinel_save", work) {
        let reason = disk::reason(&error);
        let failed = move |state: &mut State| saved(state, generation, Err(reason));
        state.mailbox.send(failed);
    }
}

/// The process ends: a save that is under way is waited for, so that no half of it stays beside the file.
pub fn finish(state: &mut State) {
    let saving = state
        .sentinel
        .as_mut()
        .and_then(|watch| watch.saving.take());
    if let Some(end) = saving {
        // An error means that the thread is gone.
        let _ = end.recv_timeout(LAST_SAVE);
    }
}

/// A save is over: answers that waited for it leave, without what it should have made safe if it failed.
fn saved(state: &mut State, generation: u64, result: Result<(), String>) {
    let result = result.as_ref().copied().map_err(String::as_str);
    if let Some(watch) = &mut state.sentinel {
        watch.saving = None;
    }
    step(state, Input::Saved { generation, result });
    let Some(watch) = &mut state.sentinel else {
        return;
    };
    let done = |one: &mut super::Waiter| one.generation <= generation;
    let waiters: Vec<_> = watch.waiters.extract_if(.., done).collect();
    let next = watch.to_save.take();
    for one in waiters {
        answer(state, one.client, one.ticket, |reply| match one.held {
            Held::Ok if result.is_ok() => reply.ok(),
            Held::Ok => reply.error(&NOT_SAVED),
            Held::Verdict(verdict) if result.is_ok() => write_verdict(reply, &verdict),
            // A vote that a restart would forget is not given.
            Held::Verdict(verdict) => write_verdict(
                reply,
                &Verdict {
                    leader: None,
                    ..verdict
                },
            ),
        });
    }
    if let Some(next) = next {
        save(state, next);
    }
}
