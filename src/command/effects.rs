//! The one stream of effects: every change, propagated once, as the command that repeats it.
//!
//! The AOF, the replicas and the backlog are readers of this stream and of nothing else. A handler leaves its effect
//! as it was received, or rewrites it ([`super::Ctx::rewrite`]) so that replaying it gives the same data whenever and
//! wherever it is replayed: relative deadlines become absolute, and a random choice becomes the elements that were
//! chosen.
//!
//! ```text
//!   call -> pending (one unit: a command, a transaction, a script)
//!        -> unit of one: as it is; unit of several: MULTI … EXEC
//!        -> readers
//! ```
//!
//! SPOP picks members by chance, so a replica that ran SPOP would pick others. It is propagated as its result. With s
//! = {a b c d e f}:
//!
//! ```text
//!   received                             propagated
//!   SPOP s             takes c           SREM s c
//!   SPOP s 2           takes a, f        SREM s a f               (one SREM for each 1024 members)
//!   SPOP s 100         takes the rest    DEL s                    (UNLINK s with lazyfree-lazy-server-del)
//!   SPOP s             nothing left      –                        a command that changes nothing is not propagated
//!
//!   SET k v EX 10                        SET k v PXAT 1700000010000
//!   MULTI, SPOP t, INCR n, EXEC          MULTI, SREM t x, INCR n, EXEC
//!   GET old            old has expired   DEL old                  the deletion that the lookup caused
//!   BLPOP q 0          blocked, then     –, then LPOP q           when q gets an element
//! ```
//!
//! Invariant: the effects of a unit are in the order in which they happened, and are handed to the readers as a
//! whole.
//!
//! Mirrors: alsoPropagate(), propagatePendingCommands() and propagateNow() of server.c.
//! Differs: one list for every command; Redis propagates the command itself and its additional effects in two ways.
//! Cost: nothing while there is neither AOF nor replica; else one copy of the words of each effect.

use crate::keyspace::DbId;
use crate::resp::argv::{Argv, OwnedArgv};

/// Which readers an effect is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Targets(u8);

impl Targets {
    /// No reader.
    pub const NONE: Targets = Targets(0);
    /// The append-only file.
    pub const AOF: Targets = Targets(1);
    /// Replicas and the backlog.
    pub const REPLICAS: Targets = Targets(2);
    /// All readers.
    pub const ALL: Targets = Targets(3);

    /// Whether any of `other` is in it.
    #[inline]
    pub fn any(self, other: Targets) -> bool {
        self.0 & other.0 != 0
    }

    /// The readers in both sets.
    pub fn and(self, other: Targets) -> Targets {
        Targets(self.0 & other.0)
    }

    /// The readers in either set.
    pub fn or(self, other: Targets) -> Targets {
        Targets(self.0 | other.0)
    }

    /// The readers in this set and not in the other.
    pub fn without(self, other: Targets) -> Targets {
        Targets(self.0 & !other.0)
    }
}

/// One effect: a command to be propagated.
#[derive(Debug)]
pub struct Said {
    /// The database it happened in; none for MULTI and EXEC, which need no SELECT before them.
    pub db: Option<DbId>,
    /// The command that repeats it.
    pub argv: OwnedArgv,
    /// The readers it is for.
    pub targets: Targets,
}

/// The effects of the unit being executed, and the readers of the stream.
#[derive(Debug, Default)]
pub struct Effects {
    /// The readers of the stream; there is none on a server without AOF and replicas, which is the common case.
    pub listening: Targets,
    /// Writes of some slots go to another node: the stream has a reader even without replicas.
    pub slots_listen: bool,
    pending: Vec<Said>,
    /// The unit is not wrapped even if it has several effects.
    loose: bool,
    /// Readers a script keeps its effects from.
    withheld: Targets,
    /// How deep calls are nested: EXEC and scripts call commands.
    depth: u32,
}

impl Effects {
    /// A command begins.
    #[inline]
    pub fn enter(&mut self) {
        self.depth += 1;
    }

    /// A command ended; true when it was the outermost one.
    #[inline]
    pub fn leave(&mut self) -> bool {
        self.depth -= 1;
        self.depth == 0
    }

    /// How deep calls are nested.
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// Propagates a command: adds it to the unit, if the stream has readers.
    pub fn say(&mut self, db: DbId, argv: Argv<'_>, targets: Targets) {
        let targets = targets.and(self.listening).without(self.withheld);
        if targets != Targets::NONE {
            self.pending.push(Said {
                db: Some(db),
                argv: argv.to_owned(),
                targets,
            });
        }
    }

    /// Restricts propagation to these readers from now on; returns the readers so far (`redis.set_repl`).
    pub fn allow_only(&mut self, targets: Targets) -> Targets {
        let before = Targets::ALL.without(self.withheld);
        self.withheld = Targets::ALL.without(targets);
        before
    }

    /// The running command touches keys that its arguments do not name (SCAN, RANDOMKEY): the deletions of keys it
    /// finds expired are propagated one by one, not as a transaction.
    pub fn do_not_wrap(&mut self) {
        self.loose = true;
    }

    /// Takes the unit's effects; several are put between MULTI and EXEC, so that they are replayed
    /// together or not at all.
    #[doc(alias = "propagatePendingCommands")]
    pub fn take_unit(&mut self) -> Vec<Said> {
        let mut unit = std::mem::take(&mut self.pending);
        let loose = std::mem::take(&mut self.loose);
        if unit.len() > 1 && !loose {
            let bound = |word: &str| Said {
                db: None,
                argv: crate::resp::argv::OwnedArgv::from_words([word]),
                targets: Targets::ALL.and(self.listening),
            };
            unit.insert(0, bound("MULTI"));
            unit.push(bound("EXEC"));
        }
        unit
    }

    /// Whether the stream has a reader. A handler asks first if its effect is costly to build.
    #[inline]
    pub fn is_listened_to(&self) -> bool {
        self.listening != Targets::NONE
    }

    /// Whether the unit has effects.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}
