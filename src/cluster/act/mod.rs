//! The acting half of [`crate::cluster`]: requests are routed, the node is remembered.
//!
//! Each function takes the whole [`State`](crate::state::State) as its first argument and is called by its path.
//!
//! Mirrors: cluster.c. Differs: decisions that need no state stand in the parent, [`crate::cluster`].

pub(crate) mod compatible;
pub mod node;
pub mod route;
