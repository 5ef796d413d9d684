//! The refusal of a request whose keys are not served here.
//!
//! Mirrors: `getNodeByQuery` of cluster.c and `scriptVerifyClusterState` of script.c.
//! Differs: a node knows only its own slots, so no request is redirected.

use crate::resp::Error;

/// The reason why a request is not served here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its keys are of several slots.
    CrossSlot,
    /// Its slot has no owner.
    Unbound,
    /// The cluster is down.
    Down,
    /// The cluster is down and answers reads only.
    ReadOnly,
}

impl Refusal {
    /// The error for a client.
    #[doc(alias = "clusterRedirectClient")]
    pub fn error(self) -> Error {
        Error::coded(match self {
            Refusal::CrossSlot => return Error::CrossSlot,
            Refusal::Unbound => "CLUSTERDOWN Hash slot not served",
            Refusal::Down => "CLUSTERDOWN The cluster is down",
            Refusal::ReadOnly => "CLUSTERDOWN The cluster is down and only accepts read commands",
        })
    }

    /// The error for a script.
    pub fn script_words(self) -> &'static str {
        match self {
            Refusal::CrossSlot => {
                "Script attempted to access keys that do not hash to the same slot"
            }
            Refusal::Unbound => "Script attempted to access a slot not served",
            Refusal::Down => "Script attempted to execute a command while the cluster is down",
            Refusal::ReadOnly => {
                "Script attempted to execute a write command while the cluster is down and readonly"
            }
        }
    }
}
