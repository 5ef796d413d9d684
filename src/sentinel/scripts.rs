//! Scripts of the operator: one is run at events, one at a primary's new address, to reconfigure clients.
//!
//! ```text
//!   queue, 256 at most ─► running, 16 at a time ─► exit 0: done
//!        ▲                                          exit 1, or a signal: again, after 30 s, 60 s, 120 s … ten times
//!        └──────────────────────────────────────────┘    exit 2 and above: done with
//!   running for more than 60 s: killed, which counts as a signal
//! ```
//!
//! Mirrors: sentinelScheduleScriptExecution(), sentinelRunPendingScripts(), sentinelCollectTerminatedScripts(),
//! sentinelKillTimedoutScripts() of sentinel.c.

use std::collections::VecDeque;

use super::{Core, Exit, Level, Ms, Output};

/// Scripts kept at most; the oldest that does not run gives way.
#[doc(alias = "SENTINEL_SCRIPT_MAX_QUEUE")]
const MOST: usize = 256;
/// Scripts that run at the same time.
#[doc(alias = "SENTINEL_SCRIPT_MAX_RUNNING")]
const MOST_RUNNING: usize = 16;
/// Runs of one script at most.
#[doc(alias = "SENTINEL_SCRIPT_MAX_RETRY")]
const MOST_TRIES: u32 = 10;

/// A script that is to be run, or runs.
#[derive(Clone, Debug)]
pub struct Script {
    pub(super) id: u64,
    pub path: String,
    pub argv: Vec<String>,
    /// The time since which it runs.
    pub running_since: Option<Ms>,
    /// The number of its process while it runs.
    pub pid: u32,
    /// The earliest time for its next run.
    pub not_before: Ms,
    /// Runs that were begun before this one.
    pub tries: u32,
    killed: bool,
}

/// The queue.
#[derive(Debug, Default)]
pub struct Scripts {
    pub(super) queue: VecDeque<Script>,
    next: u64,
}

impl Scripts {
    /// Scripts that wait or run, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Script> {
        self.queue.iter()
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.queue
            .iter()
            .filter(|one| one.running_since.is_some())
            .count()
    }
}

impl Core {
    /// Scripts that wait or run.
    pub fn scripts(&self) -> &Scripts {
        &self.scripts
    }

    #[doc(alias = "sentinelScheduleScriptExecution")]
    pub(super) fn queue_script(&mut self, path: String, argv: Vec<String>) {
        let scripts = &mut self.scripts;
        scripts.next += 1;
        scripts.queue.push_back(Script {
            id: scripts.next,
            path,
            argv,
            running_since: None,
            pid: 0,
            not_before: self.now.ms,
            tries: 0,
            killed: false,
        });
        if scripts.queue.len() > MOST {
            let waits = scripts
                .queue
                .iter()
                .position(|one| one.running_since.is_none());
            waits.and_then(|at| scripts.queue.remove(at));
        }
    }

    /// Starts scripts, and kills those that run for too long.
    pub(super) fn tend_scripts(&mut self) {
        let now = self.now.ms;
        let mut running = self.scripts.running();
        let (mut events, mut out) = (Vec::new(), Vec::new());
        for one in &mut self.scripts.queue {
            match one.running_since {
                Some(since) if now - since > self.periods.script_max_runtime && !one.killed => {
                    one.killed = true;
                    events.push((
                        Level::Warning,
                        "-script-timeout",
                        format!("{} {}", one.path, one.pid),
                    ));
                    out.push(Output::Kill { script: one.id });
                }
                None if running < MOST_RUNNING && one.not_before <= now => {
                    running += 1;
                    one.running_since = Some(now);
                    one.tries += 1;
                    out.push(Output::Run {
                        script: one.id,
                        path: one.path.clone(),
                        argv: one.argv.clone(),
                    });
                }
                _ => {}
            }
        }
        self.out.append(&mut out);
        for (level, name, text) in events {
            self.event(level, name, None, text);
        }
    }

    pub(super) fn script_started(&mut self, id: u64, pid: u32) {
        let mut queue = self.scripts.queue.iter_mut();
        if let Some(one) = queue.find(|one| one.id == id) {
            one.pid = pid;
            self.event(Level::Debug, "+script-child", None, pid.to_string());
        }
    }

    #[doc(alias = "sentinelCollectTerminatedScripts")]
    pub(super) fn script_ended(&mut self, id: u64, exit: Exit) {
        let now = self.now.ms;
        let queue = &mut self.scripts.queue;
        let Some(at) = queue.iter().position(|one| one.id == id) else {
            return;
        };
        let (code, signal) = match exit {
            Exit::Code(code) => (code, 0),
            Exit::Signal(signal) => (0, signal),
            Exit::NotStarted => (99, 0),
        };
        let one = &mut queue[at];
        let again = signal != 0 || code == 1;
        let failed = signal != 0 || code != 0;
        let text = format!("{} {signal} {code}", one.path);
        let child = format!("{} {code} {signal}", one.pid);
        let retry = again && one.tries < MOST_TRIES;
        if retry {
            one.running_since = None;
            one.killed = false;
            one.not_before = now + self.periods.script_retry_delay * (1 << (one.tries - 1).min(20));
        } else {
            queue.remove(at);
        }
        self.event(Level::Debug, "-script-child", None, child);
        if failed && !retry {
            self.event(Level::Warning, "-script-error", None, text);
        }
    }
}
