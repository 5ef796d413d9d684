//! Whether the keys of a request are served here.
//!
//! Mirrors: `getNodeByQuery` of cluster.c and `scriptVerifyClusterState` of script.c.

use crate::clients::ClientKey;
use crate::command::keys::{Keys, Search};
use crate::command::table::CommandId;
use crate::command::{Flag, KeyFlag};
use crate::resp::Error;
use crate::resp::argv::Argv;
use crate::state::State;
use crate::util::crc16::key_hash_slot;

/// Why a request is not served here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its keys are of several slots.
    CrossSlot,
    /// Nobody serves its slot.
    Unbound,
    /// The cluster is down.
    Down,
    /// The cluster is down and answers reads only.
    ReadOnly,
}

impl Refusal {
    /// As a client is told.
    #[doc(alias = "clusterRedirectClient")]
    pub fn error(self) -> Error {
        Error::coded(match self {
            Refusal::CrossSlot => return Error::CrossSlot,
            Refusal::Unbound => "CLUSTERDOWN Hash slot not served",
            Refusal::Down => "CLUSTERDOWN The cluster is down",
            Refusal::ReadOnly => "CLUSTERDOWN The cluster is down and only accepts read commands",
        })
    }

    /// As a script is told.
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

impl State {
    /// Finds the slot of a client's request, those queued for EXEC included; the slot if it names keys.
    pub(crate) fn route_request(
        &self,
        client: ClientKey,
        id: CommandId,
        argv: Argv<'_>,
    ) -> Result<Option<u16>, Refusal> {
        let flags = self.commands[id].flags;
        let mut slot = None;
        let mut writes = flags.has(crate::command::Flag::Write);
        let mut shard_channels = true;
        let queued = self.clients[client].transaction.as_ref();
        match queued.filter(|_| flags.has(crate::command::Flag::QueueRunner)) {
            Some(transaction) => {
                for (id, argv) in transaction.queued() {
                    writes |= self.commands[id].flags.has(crate::command::Flag::Write);
                    shard_channels &= self.join_slots(id, argv, &mut slot)?;
                }
            }
            None => shard_channels = self.join_slots(id, argv, &mut slot)?,
        }
        if slot.is_some() {
            self.answers(writes, shard_channels)?;
        }
        Ok(slot)
    }

    /// As [`State::route_request`], for one command a script calls.
    pub(crate) fn route_call(&self, id: CommandId, argv: Argv<'_>) -> Result<Option<u16>, Refusal> {
        let mut slot = None;
        let shard_channels = self.join_slots(id, argv, &mut slot)?;
        if slot.is_some() {
            self.answers(
                self.commands[id].flags.has(crate::command::Flag::Write),
                shard_channels,
            )?;
        }
        Ok(slot)
    }

    /// Checks a command's keys against the slot found so far; whether they are all shard channels.
    fn join_slots(
        &self,
        id: CommandId,
        argv: Argv<'_>,
        slot: &mut Option<u16>,
    ) -> Result<bool, Refusal> {
        let search = Search {
            not_keys: true,
            ..crate::command::keys::Search::default()
        };
        let keys = crate::command::keys::Keys::of(self.commands[id].decl, argv, search)
            .unwrap_or_default();
        let mut channels = true;
        for key in keys.iter() {
            channels &= key.flags.contains(&crate::command::KeyFlag::NotKey);
            let found = key_hash_slot(argv.get(key.position));
            match *slot {
                Some(slot) if slot != found => return Err(Refusal::CrossSlot),
                Some(_) => {}
                None if self.cluster.owns(found) => *slot = Some(found),
                None => return Err(Refusal::Unbound),
            }
        }
        Ok(channels)
    }

    fn answers(&self, writes: bool, shard_channels: bool) -> Result<(), Refusal> {
        let config = &self.config;
        if self.cluster.is_up(config.cluster_require_full_coverage)
            || shard_channels && config.cluster_allow_pubsubshard_when_down
        {
            return Ok(());
        }
        match (config.cluster_allow_reads_when_down, writes) {
            (false, _) => Err(Refusal::Down),
            (true, true) => Err(Refusal::ReadOnly),
            (true, false) => Ok(()),
        }
    }
}
