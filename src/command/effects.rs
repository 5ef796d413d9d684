//! The one stream of effects: what commands changed, said once, as commands.
//!
//! The AOF, the replicas and the backlog are readers of this stream and of nothing else. A handler
//! leaves its effect as it was received, or rewrites it ([`super::Ctx::rewrite`]) so that replaying
//! it gives the same data whenever and wherever it is replayed: relative deadlines become absolute,
//! random choices become what was chosen.
//!
//! ```text
//!   call -> pending (one unit: a command, a transaction, a script)
//!        -> unit of one: as it is; unit of several: MULTI … EXEC
//!        -> readers
//! ```
//!
//! Mirrors: `alsoPropagate`, `propagatePendingCommands` and `propagateNow` of server.c.

use crate::keyspace::DbId;
use crate::resp::argv::{Argv, OwnedArgv};

/// Which readers an effect is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Targets(u8);

impl Targets {
    /// Nobody.
    pub const NONE: Targets = Targets(0);
    /// The append-only file.
    pub const AOF: Targets = Targets(1);
    /// Replicas and the backlog.
    pub const REPLICAS: Targets = Targets(2);
    /// Everybody.
    pub const ALL: Targets = Targets(3);

    /// Whether any of `other` is in it.
    #[inline]
    pub fn any(self, other: Targets) -> bool {
        self.0 & other.0 != 0
    }

    /// Those in both.
    pub fn and(self, other: Targets) -> Targets {
        Targets(self.0 & other.0)
    }

    /// Those in either.
    pub fn or(self, other: Targets) -> Targets {
        Targets(self.0 | other.0)
    }

    /// These without those.
    pub fn without(self, other: Targets) -> Targets {
        Targets(self.0 & !other.0)
    }
}

/// One effect.
#[derive(Debug)]
pub struct Said {
    /// The database it happened in; none for MULTI and EXEC, which need no SELECT before them.
    pub db: Option<DbId>,
    /// The command that repeats it.
    pub argv: OwnedArgv,
    /// Whom to tell.
    pub targets: Targets,
}

/// The effects of the unit being executed, and who listens.
#[derive(Debug, Default)]
pub struct Effects {
    /// Who reads the stream; nobody is the common case of a server without AOF and replicas.
    pub listening: Targets,
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

    /// Adds an effect to the unit, if somebody listens.
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

    /// From now on only these are told; returns those who were (`redis.set_repl`).
    pub fn allow_only(&mut self, targets: Targets) -> Targets {
        let before = Targets::ALL.without(self.withheld);
        self.withheld = Targets::ALL.without(targets);
        before
    }

    /// The command being run touches keys nobody named (SCAN, RANDOMKEY): what it finds expired is
    /// said as single deletions, not as a transaction.
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

    /// Whether anybody reads the stream: who would build an effect at some cost asks first.
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
