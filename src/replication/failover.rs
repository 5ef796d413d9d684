//! FAILOVER: a primary and one of its replicas change places, without losing a write.
//!
//! ```text
//!   No ─ FAILOVER ─► WaitForSync: writes are paused until a replica has everything
//!                         ├─ it has, or FORCE and the time is over ─► InProgress: REPLICAOF it, PSYNC … FAILOVER
//!                         │                                               ├─ +CONTINUE ─► No, as its replica
//!                         └─ the time is over, ABORT ─► No                └─ refused, ABORT ─► No, as a primary
//! ```
//!
//! Mirrors: failoverCommand(), updateFailoverStatus(), abortFailover() of replication.c.
//! Differs: the stages are a value of their own, [`Failover`], instead of fields of the server.

use crate::config::Primary;
use crate::keyspace::Ms;

/// The stage of a failover.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stage {
    #[default]
    No,
    WaitForSync,
    InProgress,
}

/// A failover.
#[derive(Debug, Default)]
pub struct Failover {
    pub stage: Stage,
    /// The moment at which it times out, unix time.
    pub(super) end_ms: Option<Ms>,
    /// FORCE: at the timeout it takes place although the replica lags behind.
    pub(super) force: bool,
    /// The replica that takes over; none until the first one has everything.
    pub(super) target: Option<Primary>,
}

impl Stage {
    /// The words in INFO.
    #[doc(alias = "getFailoverStateString")]
    pub fn name(self) -> &'static str {
        match self {
            Stage::No => "no-failover",
            Stage::WaitForSync => "waiting-for-sync",
            Stage::InProgress => "failover-in-progress",
        }
    }
}
