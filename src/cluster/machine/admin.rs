//! Orders of an operator: the subcommands of CLUSTER that change something.
//!
//! An order is carried out or refused as a whole. Facts that only the keyspace knows (keys in a slot, an empty data
//! set) come with the order.
//!
//! Mirrors: `clusterCommandSpecial` (cluster_legacy.c), whose words of refusal are kept.
//! Differs: slots that an operator assigns are on disk before another node hears of them; Redis syncs the file for
//! epochs only.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::join::FORGET_S;
use super::out::Keep;
use super::{Level, Machine};
use crate::cluster::id::NodeId;
use crate::cluster::node::NodeKey;
use crate::cluster::slots::SlotSet;
use crate::util::crc16::SLOTS;

/// The way in which a replica takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailoverKind {
    /// With the primary's help: nothing is lost.
    Agreed,
    /// FORCE: without the primary, with votes.
    Force,
    /// TAKEOVER: without the primary and without votes.
    Takeover,
}

/// A change of a slot (CLUSTER SETSLOT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotOrder<'a> {
    /// MIGRATING: its keys go to a node.
    Migrating(&'a [u8]),
    /// IMPORTING: its keys come from a node.
    Importing(&'a [u8]),
    /// STABLE: it is open no more.
    Stable,
    /// NODE: it belongs to a node.
    Node(&'a [u8]),
}

/// An order. Names of nodes are what the operator typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// CLUSTER MEET.
    Meet {
        /// Where the node is.
        ip: IpAddr,
        /// Its client port.
        port: u16,
        /// Its bus port.
        bus_port: u16,
    },
    /// CLUSTER FORGET.
    Forget(&'a [u8]),
    /// CLUSTER REPLICATE.
    Replicate {
        /// The primary.
        id: &'a [u8],
        /// Whether this node has no keys.
        empty: bool,
    },
    /// CLUSTER ADDSLOTS and ADDSLOTSRANGE.
    AddSlots(&'a [RangeInclusive<u16>]),
    /// CLUSTER DELSLOTS and DELSLOTSRANGE.
    DelSlots(&'a [RangeInclusive<u16>]),
    /// CLUSTER FLUSHSLOTS.
    FlushSlots {
        /// Whether this node has no keys.
        empty: bool,
    },
    /// CLUSTER SETSLOT.
    SetSlot {
        /// The slot.
        slot: u16,
        /// The change.
        order: SlotOrder<'a>,
        /// Keys of the slot here.
        keys: usize,
    },
    /// CLUSTER BUMPEPOCH.
    BumpEpoch,
    /// CLUSTER SET-CONFIG-EPOCH.
    SetConfigEpoch(i64),
    /// CLUSTER RESET.
    Reset {
        /// HARD.
        hard: bool,
        /// Whether this node has no keys.
        empty: bool,
    },
    /// CLUSTER FAILOVER.
    Failover(FailoverKind),
    /// CLUSTER COUNT-FAILURE-REPORTS.
    CountFailureReports(&'a [u8]),
    /// CLUSTER SAVECONFIG. Its reply waits for [`Machine::barrier`].
    SaveConfig,
    /// Slots were imported with all their keys: they are this node's now, under an epoch of its own.
    Claim(&'a SlotSet),
    /// Keys of slots that other nodes took are here: they are deleted once enough nodes know the new owners.
    HandOver(&'a SlotSet),
    /// Keys of such slots are to come from elsewhere: the old ones are deleted at once.
    EndHandOver(&'a SlotSet),
    /// Keys were found at the start: slots without an owner become this node's, slots of other nodes are opened here.
    KeysFound(&'a SlotSet),
}

/// The reply to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// OK.
    Ok,
    /// A number.
    Number(usize),
    /// `BUMPED`, the new epoch.
    Bumped(u64),
    /// `STILL`, the epoch as it was.
    Still(u64),
}

type Answer = Result<Reply, String>;

fn unknown(id: &[u8]) -> String {
    format!("Unknown node {}", String::from_utf8_lossy(id))
}

fn refuse(text: &str) -> Answer {
    Err(text.to_owned())
}

impl Machine {
    pub(super) fn order(&mut self, command: Command<'_>) -> Answer {
        match command {
            Command::Meet { ip, port, bus_port } => {
                let ports = self.ports(port, 0);
                self.greet(ip, ports, bus_port, true);
                Ok(Reply::Ok)
            }
            Command::Forget(id) => self.order_forget(id),
            Command::Replicate { id, empty } => self.order_replicate(id, empty),
            Command::AddSlots(ranges) => self.order_slots(ranges, true),
            Command::DelSlots(ranges) => self.order_slots(ranges, false),
            Command::FlushSlots { empty: false } => {
                refuse("DB must be empty to perform CLUSTER FLUSHSLOTS.")
            }
            Command::FlushSlots { empty: true } => {
                self.unbind_all(self.me);
                self.slots_changed();
                Ok(Reply::Ok)
            }
            Command::SetSlot { slot, order, keys } => self.order_set_slot(slot, order, keys),
            Command::BumpEpoch => Ok(match self.bump_epoch() {
                true => Reply::Bumped(self.myself().epoch),
                false => Reply::Still(self.myself().epoch),
            }),
            Command::SetConfigEpoch(epoch) => self.order_epoch(epoch),
            Command::Reset { hard, empty } => {
                if self.myself().is_primary() && !empty {
                    return refuse(
                        "CLUSTER RESET can't be called with master nodes containing keys",
                    );
                }
                self.reset(hard);
                Ok(Reply::Ok)
            }
            Command::Failover(kind) => self.order_failover(kind),
            Command::CountFailureReports(id) => {
                let key = self.named(id).ok_or_else(|| unknown(id))?;
                Ok(Reply::Number(self.failure_reports(key)))
            }
            Command::SaveConfig => {
                self.keep(Keep::Claimed);
                Ok(Reply::Ok)
            }
            Command::Claim(slots) => self.order_claim(slots),
            Command::HandOver(slots) => {
                self.hand_over(slots);
                Ok(Reply::Ok)
            }
            Command::EndHandOver(slots) => {
                self.end_handover(slots);
                Ok(Reply::Ok)
            }
            Command::KeysFound(slots) => {
                self.take_found(slots);
                Ok(Reply::Ok)
            }
        }
    }

    /// The node an operator means.
    pub fn named(&self, id: &[u8]) -> Option<NodeKey> {
        self.nodes.find(&NodeId::parse(id)?)
    }

    fn slots_changed(&mut self) {
        self.keep(Keep::Claimed);
        self.todo.state = true;
    }

    fn order_forget(&mut self, id: &[u8]) -> Answer {
        let name = NodeId::parse(id).ok_or_else(|| unknown(id))?;
        let Some(key) = self.nodes.find(&name) else {
            // Another node's FORGET was first.
            return match self.is_forgotten(&name) {
                Some(_) => Ok(Reply::Ok),
                None => Err(unknown(id)),
            };
        };
        if key == self.me {
            return refuse("I tried hard but I can't forget myself...");
        }
        if self.myself().primary == Some(key) {
            return refuse("Can't forget my master!");
        }
        self.forget(name, FORGET_S);
        self.doom(key);
        Ok(Reply::Ok)
    }

    fn order_replicate(&mut self, id: &[u8], empty: bool) -> Answer {
        let key = self.named(id).ok_or_else(|| unknown(id))?;
        if key == self.me {
            return refuse("Can't replicate myself");
        }
        if self.nodes[key].is_replica() {
            return refuse("I can only replicate a master, not a replica.");
        }
        let me = self.myself();
        if me.is_primary() && !(empty && me.slots.is_empty()) {
            return refuse("To set a master the node must be empty and without assigned slots.");
        }
        self.replicate(key);
        self.keep(Keep::Claimed);
        Ok(Reply::Ok)
    }

    /// The slots of ranges that ADDSLOTS may take (`add`), or DELSLOTS give up.
    ///
    /// # Errors
    /// The words of the refusal: a slot is somebody's, nobody's, or named twice.
    pub fn changeable(&self, ranges: &[RangeInclusive<u16>], add: bool) -> Result<SlotSet, String> {
        let mut named = SlotSet::new();
        for range in ranges {
            let (start, end) = (range.start(), range.end());
            if *start >= SLOTS || *end >= SLOTS {
                return Err("Invalid or out of range slot".to_owned());
            }
            if start > end {
                return Err(format!(
                    "start slot number {start} is greater than end slot number {end}"
                ));
            }
            for slot in range.clone() {
                match (add, self.owners.of(slot)) {
                    (true, Some(_)) => return Err(format!("Slot {slot} is already busy")),
                    (false, None) => return Err(format!("Slot {slot} is already unassigned")),
                    _ => {}
                }
                if !named.insert(slot) {
                    return Err(format!("Slot {slot} specified multiple times"));
                }
            }
        }
        Ok(named)
    }

    fn order_slots(&mut self, ranges: &[RangeInclusive<u16>], add: bool) -> Answer {
        for slot in self.changeable(ranges, add)?.iter() {
            match add {
                true => {
                    self.owners.importing.remove(&slot);
                    self.bind(slot, self.me);
                }
                false => self.unbind(slot),
            }
        }
        self.slots_changed();
        Ok(Reply::Ok)
    }

    fn order_set_slot(&mut self, slot: u16, order: SlotOrder<'_>, keys: usize) -> Answer {
        if self.myself().is_replica() {
            return refuse("Please use SETSLOT only with masters.");
        }
        if slot >= SLOTS {
            return refuse("Invalid or out of range slot");
        }
        let mine = self.owners.of(slot) == Some(self.me);
        // An open slot is no promise to other nodes, and neither is a slot that this node has no part in or gives away:
        // the receiver's claim has the later epoch.
        let mut keep = Keep::Now;
        match order {
            SlotOrder::Migrating(id) => {
                if !mine {
                    return Err(format!("I'm not the owner of hash slot {slot}"));
                }
                let key = self.partner(id)?;
                self.owners.migrating.insert(slot, key);
            }
            SlotOrder::Importing(id) => {
                if mine {
                    return Err(format!("I'm already the owner of hash slot {slot}"));
                }
                let key = self.partner(id)?;
                self.end_handover(&[slot].into_iter().collect());
                self.owners.importing.insert(slot, key);
            }
            SlotOrder::Stable => {
                self.owners.migrating.remove(&slot);
                self.owners.importing.remove(&slot);
            }
            SlotOrder::Node(id) => {
                let key = self.named(id).ok_or_else(|| unknown(id))?;
                if self.nodes[key].is_replica() {
                    return refuse("Target node is not a master");
                }
                if mine && key != self.me && keys > 0 {
                    return Err(format!(
                        "Can't assign hashslot {slot} to a different node while I still hold keys for this hash slot."
                    ));
                }
                self.give(slot, key, keys);
                if key == self.me {
                    keep = Keep::Claimed;
                }
            }
        }
        self.keep(keep);
        self.todo.state = true;
        Ok(Reply::Ok)
    }

    fn partner(&self, id: &[u8]) -> Result<NodeKey, String> {
        let key = self
            .named(id)
            .ok_or_else(|| format!("I don't know about node {}", String::from_utf8_lossy(id)))?;
        match self.nodes[key].is_replica() {
            true => Err("Target node is not a master".to_owned()),
            false => Ok(key),
        }
    }

    /// SETSLOT NODE: in the order that upstream's tools count on.
    fn give(&mut self, slot: u16, key: NodeKey, keys: usize) {
        let mine = self.owners.of(slot) == Some(self.me);
        if keys == 0 {
            self.owners.migrating.remove(&slot);
        }
        self.bind(slot, key);
        let emptied = mine && key != self.me && self.myself().slots.is_empty();
        if emptied && self.options.allow_replica_migration {
            self.yield_to(key);
        }
        if key == self.me && self.owners.importing.remove(&slot).is_some() {
            if self.bump_epoch() {
                self.log(
                    Level::Notice,
                    format!("configEpoch updated after importing slot {slot}"),
                );
            }
            self.todo.announce = true;
        }
    }

    /// Takes slots over from their owner. The new epoch beats the owner's claim; no message leaves before it is on disk.
    #[doc(alias = "asmTakeover")]
    fn order_claim(&mut self, slots: &SlotSet) -> Answer {
        if self.myself().is_replica() {
            return refuse("this node is a replica now");
        }
        for slot in slots.iter() {
            self.owners.importing.remove(&slot);
            self.bind(slot, self.me);
        }
        self.bump_epoch();
        self.todo.announce = true;
        self.slots_changed();
        self.begin_handover(self.me, slots.clone());
        Ok(Reply::Ok)
    }

    fn order_epoch(&mut self, epoch: i64) -> Answer {
        let Ok(number) = u64::try_from(epoch) else {
            return Err(format!("Invalid config epoch specified: {epoch}"));
        };
        if self.nodes.len() > 1 {
            return refuse(
                "The user can assign a config epoch only when the node does not know any other node.",
            );
        }
        if self.myself().epoch != 0 {
            return refuse("Node config epoch is already non-zero");
        }
        self.nodes[self.me].epoch = number;
        self.hear_epoch(number);
        self.log(
            Level::Notice,
            format!("configEpoch set to {number} via CLUSTER SET-CONFIG-EPOCH"),
        );
        self.slots_changed();
        Ok(Reply::Ok)
    }

    fn order_failover(&mut self, kind: FailoverKind) -> Answer {
        let me = self.myself();
        if me.is_primary() {
            return refuse("You should send CLUSTER FAILOVER to a replica");
        }
        let Some(primary) = me.primary else {
            return refuse("I'm a replica but my master is unknown to me");
        };
        let reachable = !self.nodes[primary].failed() && self.connected_to(primary);
        if kind == FailoverKind::Agreed && !reachable {
            return refuse("Master is down or failed, please use CLUSTER FAILOVER FORCE");
        }
        let text = match kind {
            FailoverKind::Agreed => "Manual failover user request accepted.",
            FailoverKind::Force => "Forced failover user request accepted.",
            FailoverKind::Takeover => "Taking over the master (user request).",
        };
        self.log(Level::Notice, text.to_owned());
        match kind {
            FailoverKind::Takeover => {
                self.bump_epoch();
                self.replace_primary();
            }
            kind => self.start_manual(kind == FailoverKind::Force),
        }
        Ok(Reply::Ok)
    }

    /// Keys in slots that this node has no right to, found in the data set at the start.
    #[doc(alias = "verifyClusterConfigWithData")]
    fn take_found(&mut self, slots: &SlotSet) {
        if self.myself().is_replica() {
            return;
        }
        for slot in slots.iter() {
            let owner = self.owners.of(slot);
            if owner == Some(self.me) || self.owners.importing.contains_key(&slot) {
                continue;
            }
            let text = match owner {
                None => {
                    self.bind(slot, self.me);
                    format!("I have keys for unassigned slot {slot}. Taking responsibility for it.")
                }
                Some(owner) => {
                    self.owners.importing.insert(slot, owner);
                    format!(
                        "I have keys for slot {slot}, but the slot is assigned to another node. Setting it to importing state."
                    )
                }
            };
            self.log(Level::Notice, text);
            self.slots_changed();
        }
    }
}
