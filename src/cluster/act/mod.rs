//! The acting half of [`crate::cluster`]: the machine's acts are carried out, requests are routed.
//!
//! Each function takes the whole [`State`](crate::state::State) as its first argument and is called by its path.
//!
//! | file | |
//! |---|---|
//! | [`node`] | options and facts for the machine; where clients find a node |
//! | [`route`] | the answer to a request by its slot |
//! | [`start`] | the node's file is read, the bus begins |
//! | [`carry`] | inputs go to the machine, its acts are done |
//! | `handover` | slots that change hands: keys stay and writes wait, until enough nodes know |
//! | [`links`] | the bytes of the bus |
//! | [`migration`] | slots move as a whole, with their keys |
//! | [`moving`] | the same slots as other rooms meet them |
//! | `arriving` | slots that come as tables are attached |
//! | [`save`] | the node's file is written, on a thread |
//! | [`saved_task`] | a migration under way, in RDB files |
//! | [`slots`] | slots have left: their keys, channels and blocked clients |
//! | [`stats`] | what commands cost, slot by slot |
//!
//! Mirrors: cluster_legacy.c. Differs: decisions that need no state stand in the parent, [`crate::cluster`].

pub(super) mod arriving;
pub mod carry;
pub(crate) mod compatible;
mod handover;
mod hooks;
pub mod links;
pub mod migration;
pub mod moving;
pub mod node;
pub mod route;
pub mod save;
pub mod saved_task;
pub mod slots;
pub mod start;
pub mod stats;
