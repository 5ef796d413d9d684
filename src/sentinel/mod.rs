//! Sentinel: watches primaries and their replicas, agrees with others of its kind that one is down, and promotes a replica.
//!
//! ```text
//!   Sentinel
//!    ├─ Group "mymaster"          what is watched together
//!    │   ├─ primary               an Instance
//!    │   ├─ replicas by address   Instances, found in the primary's INFO
//!    │   ├─ peers by run id       Instances: other sentinels, found by their hellos
//!    │   └─ Failover              how far a failover is
//!    └─ Core                      our own name and epoch, links, the clock, what is to be done
//! ```
//!
//! The sentinel is a machine: [`Sentinel::step`] takes one [`Input`] at a time (a tick, a reply, a lost connection) and
//! appends what is to be done to a list of [`Output`]s (dial, send, save, run a script, publish an event). It has no
//! socket, clock, file, process or random source of its own, so a test can run whole fleets on one seed.
//!
//! One failover on one line, of three sentinels A, B, C and quorum 2:
//!
//! ```text
//!   A: no PONG for down-after ──► +sdown   A asks B, C: "is it down?" ──► B says yes ──► +odown
//!   A: epoch 7, +try-failover, asks for votes ──► B votes for A ──► +elected-leader
//!   A: chooses a replica, sends it SLAVEOF NO ONE, reads "role:master" ──► +promoted-slave, config epoch 7
//!   A: tells the other replicas; its hellos carry the new address with epoch 7 ──► B, C: +switch-master
//! ```
//!
//! Invariants: the current epoch, a group's leader epoch and its config epoch never fall. A vote, and a hello or a request
//! that carries a new epoch, leaves only after the file that remembers it is saved ([`Output::Save`], [`Input::Saved`]):
//! so no restart makes a sentinel vote twice.
//!
//! Mirrors: sentinel.c.
//! Differs: a value instead of callbacks; elapsed times by the monotonic clock, so that a clock that is set is no TILT; INFO
//! is asked for right behind a promotion, so that all sentinels announce the new primary about a second sooner; votes wait
//! for the disk without blocking the loop, and a vote that cannot be saved is not given.
//! Cost: a tick is O(instances).

pub mod act;
pub mod admin;
pub mod core;
pub mod directives;
mod discovery;
mod down;
mod failover;
mod heal;
pub mod hello;
pub mod instance;
mod links;
pub mod queries;
pub mod report;
mod scripts;
mod settings;
mod tick;
mod vote;
mod watch;

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::resp::Value;

pub use self::admin::Refusal;
pub use self::core::Core;
pub use self::down::Verdict;
pub use self::failover::{Failover, Stage};
pub use self::instance::{Address, Group, Instance, Who};
pub use self::settings::{Periods, Settings};
pub use self::watch::{Held, Watch};

/// Milliseconds on the monotonic clock.
pub type Ms = i64;

/// The name of a connection, never used twice.
pub type WireId = u64;

/// The moment of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds on a clock that nobody sets; every elapsed time is by this one.
    pub ms: Ms,
    /// Milliseconds since 1970, for texts only.
    pub unix_ms: i64,
}

/// An event that happens to a sentinel.
#[derive(Debug)]
pub enum Input<'a> {
    /// Time passes. The next tick is due after [`Core::tick_ms`].
    Tick,
    /// A connection is made; `local` is our own address on it.
    Up { wire: WireId, local: Option<IpAddr> },
    /// A connection ended, or could not be made.
    Down { wire: WireId, reason: &'a str },
    /// A reply came, or a message on a connection that subscribed.
    Reply { wire: WireId, reply: &'a Value },
    /// A name was looked up.
    Resolved {
        host: &'a str,
        found: Result<IpAddr, &'a str>,
    },
    /// The file was written, or could not be; what the generation means stands at [`Output::Save`].
    Saved {
        generation: u64,
        result: Result<(), &'a str>,
    },
    /// A script runs, as a process with this number.
    Started { script: u64, pid: u32 },
    /// A script ended, or could not be started.
    Ended { script: u64, exit: Exit },
}

/// How a script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
    /// It could not be started.
    NotStarted,
}

/// How loud an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Logged only.
    Debug,
    Verbose,
    Notice,
    /// Told to the notification script, too.
    Warning,
}

/// Whether a connection is for commands or for the messages of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    Commands,
    Pubsub,
}

/// Something to be done for a sentinel.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Connect. The answer is [`Input::Up`] or [`Input::Down`]; bytes may be sent before it.
    Dial {
        wire: WireId,
        ip: IpAddr,
        port: u16,
        channel: Channel,
    },
    /// Close a connection, without another word about it.
    Close(WireId),
    /// Send a command.
    Send { wire: WireId, argv: Vec<Vec<u8>> },
    /// Look a name up.
    Resolve(String),
    /// Write the file as [`Sentinel::lines`] has it now. The answer, with the same generation, is [`Input::Saved`]; one
    /// save may answer for all generations up to its own.
    Save { generation: u64 },
    /// Log an event and, from [`Level::Verbose`] on, publish it to the channel that has its name.
    Event {
        level: Level,
        name: &'static str,
        text: String,
    },
    /// Log a line that is no event.
    Log { level: Level, line: String },
    /// Run a script. The answer is [`Input::Started`], and later, or at once, [`Input::Ended`].
    Run {
        script: u64,
        path: String,
        argv: Vec<String>,
    },
    /// Kill a script.
    Kill { script: u64 },
    /// End the process (SENTINEL SIMULATE-FAILURE).
    Exit(i32),
}

/// A sentinel.
#[derive(Debug)]
pub struct Sentinel {
    pub core: Core,
    /// Groups by name.
    pub groups: BTreeMap<String, Group>,
}

impl Sentinel {
    /// A sentinel without groups; `run_id` is its name for ever, `seed` the beginning of its dice.
    pub fn new(run_id: String, settings: Settings, seed: u64, now: Now) -> Sentinel {
        Sentinel {
            core: Core::new(run_id, settings, seed, now),
            groups: BTreeMap::new(),
        }
    }

    /// One event happens; what is to be done about it is appended to `out`.
    pub fn step(&mut self, now: Now, input: Input<'_>, out: &mut Vec<Output>) {
        self.core.now = now;
        match input {
            Input::Tick => self.tick(),
            Input::Up { wire, local } => self.core.wire_up(wire, local),
            Input::Down { wire, reason } => self.wire_down(wire, reason),
            Input::Reply { wire, reply } => self.reply(wire, reply),
            Input::Resolved { host, found } => self.resolved(host, found),
            Input::Saved { generation, result } => self.saved(generation, result),
            Input::Started { script, pid } => self.core.script_started(script, pid),
            Input::Ended { script, exit } => self.core.script_ended(script, exit),
        }
        self.core.finish_step();
        out.append(&mut self.core.out);
    }

    /// As the end of a step, for a command that called a method of the sentinel.
    pub fn take_outputs(&mut self, out: &mut Vec<Output>) {
        self.core.finish_step();
        out.append(&mut self.core.out);
    }
}
