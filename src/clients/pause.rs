//! Holding clients back for a while: CLIENT PAUSE, a failover, a shutdown that waits for replicas.
//!
//! ```text
//!   request -> gate: is it of a kind that is paused? -> waits, its bytes kept, its client not read
//!   end of the pause -> all that wait are let go and judged anew
//! ```
//!
//! Each purpose has a pause of its own, and the strictest of them holds. While any holds, nothing may
//! change the data set: no key is expired or evicted either.
//!
//! Mirrors: `pauseActions`, `updatePausedActions` and `blockPostponeClient` of networking.c, blocked.c.
//! Differs: a request that is held back is parsed again from its bytes; Redis keeps the parsed command.

use super::ClientKey;
use crate::keyspace::Ms;

/// The requests that a pause holds back; a stricter mode is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PauseMode {
    /// No request is held back.
    #[default]
    None,
    /// Requests that may change data, here or on replicas.
    Write,
    /// All requests.
    All,
}

/// The purpose of a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PausePurpose {
    /// CLIENT PAUSE.
    Command,
    /// SHUTDOWN waits for replicas.
    Shutdown,
    /// FAILOVER waits for the replica to catch up.
    Failover,
}

const PURPOSES: usize = 3;

/// The pauses in force, and the clients whose requests they hold back.
#[derive(Debug, Default)]
pub struct Pauses {
    /// Mode and end per purpose.
    by: [(PauseMode, Ms); PURPOSES],
    /// The strictest of them.
    mode: PauseMode,
    waiting: Vec<ClientKey>,
}

impl Pauses {
    /// The requests that are held back now.
    #[inline]
    pub fn mode(&self) -> PauseMode {
        self.mode
    }

    /// Whether anything is held back.
    #[inline]
    pub fn are_on(&self) -> bool {
        self.mode != PauseMode::None
    }

    /// The requests that one purpose holds back.
    pub fn mode_of(&self, purpose: PausePurpose) -> PauseMode {
        self.by[purpose as usize].0
    }

    /// Begins or changes the pause of a purpose. Its end is never moved forward, unless it is lifted.
    pub fn set(&mut self, purpose: PausePurpose, mode: PauseMode, end: Ms) {
        let pause = &mut self.by[purpose as usize];
        let end = match mode {
            PauseMode::None => 0,
            _ => pause.1.max(end),
        };
        *pause = (mode, end);
    }

    /// Ends pauses whose time is over. When fewer requests are held back than before, returns the clients held back
    /// so far: their requests are to be judged anew.
    pub fn update(&mut self, now: Ms) -> Vec<ClientKey> {
        for pause in &mut self.by {
            if pause.1 <= now {
                *pause = (PauseMode::None, 0);
            }
        }
        let before = self.mode;
        self.mode = self
            .by
            .iter()
            .map(|pause| pause.0)
            .max()
            .unwrap_or_default();
        if self.mode < before {
            std::mem::take(&mut self.waiting)
        } else {
            Vec::new()
        }
    }

    /// When the next pause ends.
    pub fn next_end(&self) -> Option<Ms> {
        let held = self.by.iter().filter(|pause| pause.0 != PauseMode::None);
        held.map(|pause| pause.1).min()
    }

    /// Notes a client whose request was held back.
    pub fn wait(&mut self, client: ClientKey) {
        self.waiting.push(client);
    }

    /// Lets all clients go; those that a pause still holds come back.
    pub fn release(&mut self) -> Vec<ClientKey> {
        std::mem::take(&mut self.waiting)
    }

    /// Forgets a client that leaves.
    pub fn forget(&mut self, client: ClientKey) {
        self.waiting.retain(|key| *key != client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strictest_pause_holds_and_the_later_end_wins() {
        use PausePurpose::{Command, Failover};
        let mut pauses = Pauses::default();
        pauses.set(Command, PauseMode::All, 200);
        pauses.set(Failover, PauseMode::Write, 500);
        pauses.set(Command, PauseMode::All, 20);
        assert!(pauses.update(100).is_empty());
        assert_eq!(
            (pauses.mode(), pauses.next_end()),
            (PauseMode::All, Some(200))
        );
        pauses.update(200);
        assert_eq!(
            (pauses.mode(), pauses.next_end()),
            (PauseMode::Write, Some(500))
        );
        pauses.set(Failover, PauseMode::None, 0);
        pauses.update(201);
        assert_eq!((pauses.mode(), pauses.next_end()), (PauseMode::None, None));
    }
}
