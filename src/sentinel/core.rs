//! The state of a sentinel apart from its groups: name and epoch, clock, outputs, messages that wait for the disk.
//!
//! ```text
//!   change of an epoch or a vote ──► dirty ──► end of the step: Save { generation: 5 }
//!   a message that tells of it   ──► not said yet ──► Saved { 5, Ok }  ──► said at once
//!                                                     Saved { 5, Err } ──► not said; saved again a second later
//! ```
//!
//! Mirrors: `struct sentinelState`, sentinelEvent(), sentinelFlushConfig() of sentinel.c.
//! Differs: Redis writes the file on the spot, and speaks whether that worked or not.

use std::collections::BTreeMap;

use slab::Slab;

use super::links::Link;
use super::scripts::Scripts;
use super::{Group, Instance, Level, Ms, Now, Output, Periods, Settings, WireId};
use crate::util::rng::Rng;

/// Milliseconds until a file that could not be saved is tried again.
const SAVE_AGAIN: Ms = 1000;

/// The parts of a sentinel that all its groups share.
#[derive(Debug)]
pub struct Core {
    /// Our run id.
    pub my_id: String,
    pub settings: Settings,
    pub periods: Periods,
    /// The current epoch.
    pub epoch: u64,
    pub now: Now,
    pub(super) rng: Rng,
    pub(super) out: Vec<Output>,
    pub(super) links: Slab<Link>,
    /// Which link a wire belongs to.
    pub(super) wires: BTreeMap<WireId, usize>,
    pub(super) next_wire: WireId,
    pub(super) scripts: Scripts,
    /// The last tick; none before the first.
    pub(super) ticked_at: Option<Ms>,
    pub(super) tilt_since: Option<Ms>,
    /// SENTINEL SIMULATE-FAILURE.
    pub crash_after_election: bool,
    pub crash_after_promotion: bool,
    /// The last conflict of addresses that was logged: group, and who sees it otherwise.
    pub(super) told_conflict: Option<(String, String)>,
    dirty: bool,
    generation: u64,
    saved: u64,
    save_failed_at: Option<Ms>,
}

impl Core {
    pub(super) fn new(my_id: String, settings: Settings, seed: u64, now: Now) -> Core {
        Core {
            my_id,
            settings,
            periods: Periods::default(),
            epoch: 0,
            now,
            rng: Rng::new(seed),
            out: Vec::new(),
            links: Slab::new(),
            wires: BTreeMap::new(),
            next_wire: 0,
            scripts: Scripts::default(),
            ticked_at: None,
            tilt_since: None,
            crash_after_election: false,
            crash_after_promotion: false,
            told_conflict: None,
            dirty: false,
            generation: 0,
            saved: 0,
            save_failed_at: None,
        }
    }

    /// Milliseconds until the next tick: 10 to 19 ticks a second, another number each time, so that sentinels that were
    /// started together do not ask for votes together.
    pub fn tick_ms(&mut self) -> Ms {
        1000 / (10 + self.rng.below(10) as Ms)
    }

    /// Since when it is in TILT, on the monotonic clock.
    pub fn tilt_since(&self) -> Option<Ms> {
        self.tilt_since
    }

    /// The state that the file remembers has changed. The generation that a save must reach for the change to be safe.
    pub(super) fn changed(&mut self) -> u64 {
        if !self.dirty {
            self.dirty = true;
            self.generation += 1;
        }
        self.generation
    }

    /// The generation that a save must reach for everything up to now to be safe.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether everything up to a generation is on disk.
    pub fn is_saved(&self, generation: u64) -> bool {
        self.saved >= generation
    }

    /// Asks for the file to be written whether or not anything changed (SENTINEL FLUSHCONFIG).
    pub fn flush(&mut self) {
        self.changed();
    }

    pub(super) fn finish_step(&mut self) {
        let again = |at: Ms| self.now.ms - at >= SAVE_AGAIN;
        let retry = self.save_failed_at.is_some_and(again);
        if self.dirty || retry {
            self.dirty = false;
            self.save_failed_at = None;
            let generation = self.generation;
            self.out.push(Output::Save { generation });
        }
    }

    pub(super) fn saved(&mut self, generation: u64, result: Result<(), &str>) {
        match result {
            Ok(()) => {
                self.saved = self.saved.max(generation);
                self.log(Level::Notice, "Sentinel new configuration saved on disk");
            }
            Err(reason) => {
                self.save_failed_at = Some(self.now.ms);
                let line = format!(
                    "WARNING: Sentinel was not able to save the new configuration on disk!!!: {reason}"
                );
                self.log(Level::Warning, line);
            }
        }
    }

    pub(super) fn log(&mut self, level: Level, line: impl Into<String>) {
        let line = line.into();
        self.out.push(Output::Log { level, line });
    }

    /// An event with its own text. An event of level warning runs the notification script of `group`.
    #[doc(alias = "sentinelEvent")]
    pub(super) fn event(
        &mut self,
        level: Level,
        name: &'static str,
        group: Option<&Group>,
        text: String,
    ) {
        let script = group.and_then(|group| group.notification_script.clone());
        if level == Level::Warning
            && let Some(path) = script
        {
            self.queue_script(path, vec![name.to_owned(), text.clone()]);
        }
        self.out.push(Output::Event { level, name, text });
    }

    /// An event about an instance, with what its name does not say.
    pub(super) fn event_of(
        &mut self,
        level: Level,
        name: &'static str,
        group: &Group,
        one: &Instance,
        more: &str,
    ) {
        let mut text = group.describe(self, one);
        if !more.is_empty() {
            text.push(' ');
            text.push_str(more);
        }
        self.event(level, name, Some(group), text);
    }

    /// As [`Core::event_of`], of the primary.
    pub(super) fn event_of_group(
        &mut self,
        level: Level,
        name: &'static str,
        group: &Group,
        more: &str,
    ) {
        self.event_of(level, name, group, &group.primary, more);
    }

    /// Adopts an epoch that is higher than ours; it is to be saved before we speak of it.
    pub(super) fn adopt_epoch(&mut self, epoch: u64, group: Option<&Group>) {
        if epoch > self.epoch {
            self.epoch = epoch;
            self.changed();
            self.event(Level::Warning, "+new-epoch", group, epoch.to_string());
        }
    }
}
