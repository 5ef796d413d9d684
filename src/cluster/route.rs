//! The refusal of a request whose keys are not served here.
//!
//! Mirrors: `clusterRedirectClient` of cluster.c and `scriptVerifyClusterState` of script.c.
//! Differs: a refusal is a value; its words for clients and for scripts stand side by side.

use crate::resp::Error;

/// The reason why a request is not served here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its keys are of several slots.
    CrossSlot,
    /// Its slot has no owner.
    Unbound,
    /// The cluster is down.
    Down,
    /// The cluster is down and answers reads only.
    ReadOnly,
    /// Some of its keys are here, some on their way to another node.
    TryAgain,
    /// Another node serves its slot.
    Moved {
        /// The slot.
        slot: u16,
        /// Where that node is found: `endpoint:port`.
        to: String,
    },
    /// Another node is getting its slot, and has its keys.
    Ask {
        /// The slot.
        slot: u16,
        /// Where that node is found: `endpoint:port`.
        to: String,
    },
}

impl Refusal {
    /// The error for a client.
    #[doc(alias = "clusterRedirectClient")]
    pub fn error(self) -> Error {
        match self {
            Refusal::CrossSlot => Error::CrossSlot,
            Refusal::Unbound => Error::ClusterDown("Hash slot not served"),
            Refusal::Down => Error::ClusterDown("The cluster is down"),
            Refusal::ReadOnly => {
                Error::ClusterDown("The cluster is down and only accepts read commands")
            }
            Refusal::TryAgain => Error::TryAgain,
            Refusal::Moved { slot, to } => Error::Moved(slot, to),
            Refusal::Ask { slot, to } => Error::Ask(slot, to),
        }
    }

    /// The error for a script that calls `command`.
    pub fn script_words(&self, command: &str) -> String {
        let text = match self {
            Refusal::CrossSlot => {
                return format!(
                    "Command '{command}' in script attempted to access keys that don't hash to the same slot"
                );
            }
            Refusal::TryAgain => {
                return format!(
                    "Unable to execute command '{command}' in script because undeclared keys were accessed during rehashing of the slot"
                );
            }
            Refusal::Unbound => "Script attempted to access a slot not served",
            Refusal::Down => "Script attempted to execute a command while the cluster is down",
            Refusal::ReadOnly => {
                "Script attempted to execute a write command while the cluster is down and readonly"
            }
            Refusal::Moved { .. } | Refusal::Ask { .. } => {
                "Script attempted to access a non local key in a cluster node"
            }
        };
        text.to_owned()
    }
}
