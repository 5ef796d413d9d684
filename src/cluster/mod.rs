//! A node of a cluster: its name, its epoch, the slots it serves.
//!
//! ```text
//!   nodes.conf   <id> <ip>:<port>@<bus port> myself,master - 0 0 <epoch> connected 0-5460 5462
//!                vars currentEpoch 3 lastVoteEpoch 0
//! ```
//!
//! The node knows only itself: there is no cluster bus. A client's view of one node that serves all slots is here:
//! redirections and refusals, CLUSTER's figures, the file that survives a restart.
//!
//! Invariant: `assigned` counts the set bits of `owned`.
//!
//! Mirrors: cluster.c and cluster_legacy.c (`clusterState`, `clusterNode`, `clusterLoadConfig`, `clusterSaveConfig`,
//! `clusterUpdateState`).
//! Differs: whether the cluster is up is computed when it is asked for, not kept.

pub mod act;
pub mod bus;
pub mod decide;
pub mod file;
pub mod id;
pub mod machine;
pub mod migration;
pub mod node;
pub mod owners;
mod route;
pub mod slots;

pub use route::Refusal;

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use crate::sys::entropy::Entropy;
use crate::util::crc16::SLOTS;

const WORDS: usize = SLOTS as usize / 64;

/// The length of a node's name.
#[doc(alias = "CLUSTER_NAMELEN")]
const NAME_LEN: usize = 40;

/// Distance of the bus port from the port of clients, unless an option names the bus port.
#[doc(alias = "CLUSTER_PORT_INCR")]
pub const BUS_PORT_OFFSET: u32 = 10_000;

/// The part of this node in its cluster.
#[derive(Debug)]
pub struct Cluster {
    id: String,
    shard_id: String,
    /// Opens connections between nodes of one cluster; nobody else may learn it.
    secret: [u8; 40],
    owned: Box<[u64; WORDS]>,
    assigned: usize,
    epoch: u64,
    current_epoch: u64,
}

impl Cluster {
    /// A new node, unknown to every other one, without slots.
    pub fn new(names: &mut Entropy) -> Cluster {
        Cluster {
            id: names.name_text(),
            shard_id: names.name_text(),
            secret: names.name(),
            owned: Box::new([0; WORDS]),
            assigned: 0,
            epoch: 0,
            current_epoch: 0,
        }
    }

    /// The node's name: forty hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The secret that the nodes of a cluster share.
    #[doc(alias = "clusterGetSecret")]
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// The name it shares with its replicas.
    pub fn shard_id(&self) -> &str {
        &self.shard_id
    }

    /// Its configuration epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The highest epoch heard of.
    pub fn current_epoch(&self) -> u64 {
        self.current_epoch
    }

    /// Slots it serves.
    pub fn assigned(&self) -> usize {
        self.assigned
    }

    /// Whether it serves a slot. O(1).
    #[inline]
    pub fn owns(&self, slot: u16) -> bool {
        self.owned[usize::from(slot) / 64] >> (slot % 64) & 1 != 0
    }

    /// Takes a slot, or gives it up.
    pub fn assign(&mut self, slot: u16, owned: bool) {
        if self.owns(slot) != owned {
            self.owned[usize::from(slot) / 64] ^= 1 << (slot % 64);
            self.assigned = match owned {
                true => self.assigned + 1,
                false => self.assigned - 1,
            };
        }
    }

    /// The slots it serves, in order, neighbours together. O(slots).
    pub fn ranges(&self) -> Vec<RangeInclusive<u16>> {
        let mut ranges: Vec<RangeInclusive<u16>> = Vec::new();
        for slot in (0..SLOTS).filter(|slot| self.owns(*slot)) {
            match ranges.last_mut() {
                Some(last) if last.end() + 1 == slot => *last = *last.start()..=slot,
                _ => ranges.push(slot..=slot),
            }
        }
        ranges
    }

    /// Whether the cluster answers. `whole`: only with every slot served (`cluster-require-full-coverage`).
    #[doc(alias = "clusterUpdateState")]
    pub fn is_up(&self, whole: bool) -> bool {
        match whole {
            true => self.assigned == usize::from(SLOTS),
            false => self.assigned > 0,
        }
    }

    /// Moves on to an epoch of its own; `None` if it has one already.
    #[doc(alias = "clusterBumpConfigEpochWithoutConsensus")]
    pub fn bump_epoch(&mut self) -> Option<u64> {
        if self.epoch != 0 && self.epoch == self.current_epoch {
            return None;
        }
        self.current_epoch += 1;
        self.epoch = self.current_epoch;
        Some(self.epoch)
    }

    /// Sets the epoch of a new node.
    pub fn set_epoch(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.current_epoch = self.current_epoch.max(epoch);
    }

    /// Gives up all slots. With a source of names, becomes a new node, unknown to every other one.
    #[doc(alias = "clusterReset")]
    pub fn reset(&mut self, names: Option<&mut Entropy>) {
        match names {
            Some(names) => *self = Cluster::new(names),
            None => {
                self.owned.fill(0);
                self.assigned = 0;
            }
        }
    }

    /// The node's line of CLUSTER NODES, without line break. `address`: `ip:port@bus port`, and a host name if it has
    /// one.
    #[doc(alias = "clusterGenNodeDescription")]
    pub fn describe(&self, address: &str) -> String {
        let mut line = format!(
            "{} {address} myself,master - 0 0 {} connected",
            self.id, self.epoch
        );
        for range in self.ranges() {
            let _ = match range.start() == range.end() {
                true => write!(line, " {}", range.start()),
                false => write!(line, " {}-{}", range.start(), range.end()),
            };
        }
        line
    }

    /// The text of `cluster-config-file`.
    pub fn file_text(&self, address: &str) -> String {
        format!(
            "{}\nvars currentEpoch {} lastVoteEpoch 0\n",
            self.describe(address),
            self.current_epoch
        )
    }

    /// Becomes the node a file describes. The error is the number of the line that is none.
    pub fn read_file(&mut self, text: &str) -> Result<(), usize> {
        for (number, line) in text.lines().enumerate() {
            if !line.is_empty() {
                self.read_line(line).ok_or(number + 1)?;
            }
        }
        Ok(())
    }

    fn read_line(&mut self, line: &str) -> Option<()> {
        let words: Vec<&str> = line.split(' ').collect();
        if let ["vars", vars @ ..] = words.as_slice() {
            for pair in vars.chunks_exact(2) {
                if pair[0] == "currentEpoch" {
                    self.current_epoch = pair[1].parse().ok()?;
                }
            }
            return Some(());
        }
        let [id, _, flags, _, _, _, epoch, _, slots @ ..] = words.as_slice() else {
            return None;
        };
        if !flags.split(',').any(|flag| flag == "myself") {
            return Some(());
        }
        if id.len() != NAME_LEN || !id.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        self.id = (*id).to_owned();
        self.epoch = epoch.parse().ok()?;
        for range in slots {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
            if last >= SLOTS {
                return None;
            }
            (first..=last).for_each(|slot| self.assign(slot, true));
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let mut one = Cluster::new(&mut Entropy::from(1));
        for slot in (0..=5).chain([7]).chain(100..=16_383) {
            one.assign(slot, true);
        }
        one.bump_epoch();
        let text = one.file_text("127.0.0.1:7000@17000");
        assert!(text.contains(" myself,master - 0 0 1 connected 0-5 7 100-16383\n"));
        let mut two = Cluster::new(&mut Entropy::from(2));
        assert_eq!(two.read_file(&text), Ok(()));
        assert_eq!(
            (two.id(), two.ranges(), two.epoch(), two.assigned()),
            (one.id(), one.ranges(), 1, one.assigned())
        );
        assert_eq!(two.bump_epoch(), None);
    }

    #[test]
    fn a_damaged_file_names_its_line() {
        let mut node = Cluster::new(&mut Entropy::from(1));
        let good = node.describe(":1@2");
        for bad in ["x", &format!("{good} 1-99999"), &format!("{good} 5-x")] {
            assert_eq!(node.read_file(&format!("{good}\n{bad}\n")), Err(2), "{bad}");
        }
        assert_eq!(node.read_file("vars currentEpoch x"), Err(1));
    }

    #[test]
    fn slots_are_counted() {
        let mut node = Cluster::new(&mut Entropy::from(1));
        assert!(!node.is_up(false));
        for slot in 0..SLOTS {
            assert!(!node.is_up(true));
            node.assign(slot, true);
            node.assign(slot, true);
        }
        assert!(node.is_up(true) && node.ranges() == [0..=SLOTS - 1]);
        node.assign(5, false);
        node.assign(5, false);
        assert_eq!(node.ranges(), [0..=4, 6..=SLOTS - 1]);
    }
}
