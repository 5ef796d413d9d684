//! Streams: entries in the order of their IDs, and the groups that read them.
//!
//! ```text
//!   Stream   length, last ID, first ID, greatest deleted ID, entries ever added
//!            blocks   { ID: listpack }     a hundred entries each, by default       blocks.rs, block.rs
//!            groups   { name: group }      consumers and what is pending            group.rs
//!            idmp                          messages of producers, to drop repeats    idmp.rs
//! ```
//!
//! An entry is appended to the last block until that is full. Deleting flags it; the block goes with its last live
//! entry. Blocks are never split or joined, so that they are, byte for byte, those Redis would have.
//!
//! Invariants: `length` is the number of entries that are not flagged; IDs ascend; `last_id` is no smaller than any.
//! Of bytes from outside only the frame may have been checked, and then none of this is certain: walks end early,
//! counts saturate, nothing panics.
//!
//! Mirrors: the upper half of t_stream.c. Differs: the radix tree is a counted B+tree with the last block outside
//! (`blocks.rs`), and everything is copied in pieces: under a snapshot an XADD copies one block, the first time.

mod block;
mod blocks;
mod group;
mod id;
mod idmp;
mod life;
#[cfg(test)]
mod tests;
mod trim;
mod walk;

use block::DELETED;
use blocks::Blocks;
pub use group::{Consumer, Group, Name, OwnPel, Pel, Pending, UNKNOWN};
pub use id::{IdBuf, StreamId};
pub use idmp::{Idmp, IdmpLimits, Producer};
pub use life::{Counters, Life};
pub use trim::{References, Trim, TrimTo, Trimmed};
pub use walk::{Entries, Entry};

use super::value::tag;
use crate::collections::btree::OrderedMap;
use crate::collections::listpack::{Listpack, LpPos};
use crate::collections::shared::Shared;

/// The configured limits of a stream's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// `stream-node-max-bytes`; 0 is no bound.
    pub block_bytes: usize,
    /// `stream-node-max-entries`; 0 is no bound.
    pub block_entries: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        StreamLimits {
            block_bytes: 4096,
            block_entries: 100,
        }
    }
}

/// Most bytes of a block, and of the words of an entry.
#[doc(alias = "STREAM_LISTPACK_MAX_SIZE")]
const BLOCK_MAX: usize = 1 << 30;

/// A stream.
#[derive(Debug, Clone, Default)]
#[repr(C)]
pub struct Stream {
    tag: Tag,
    log: Shared<Log>,
}

/// The tag that tells a stream from other values.
#[derive(Debug, Clone, Copy, Default)]
#[repr(u8)]
enum Tag {
    #[default]
    Stream = tag::STREAM,
}

#[derive(Debug, Clone, Default)]
struct Log {
    blocks: Blocks,
    length: u64,
    counters: Counters,
    groups: OrderedMap<Name, Shared<Group>, 8, 8>,
    idmp: Option<Shared<Idmp>>,
}

/// Where an entry is: its block, the position of its flags, and these.
struct Place {
    block: u64,
    at: LpPos,
    flags: i64,
}

/// The entry's words are too many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryTooLarge;

impl Stream {
    /// An empty stream.
    pub fn new() -> Stream {
        Stream::default()
    }

    /// A stream of blocks, as they are in an RDB; in ascending order. The counters are the caller's.
    pub fn of_blocks(
        blocks: impl IntoIterator<Item = (StreamId, Listpack)>,
        length: u64,
        counters: Counters,
    ) -> Stream {
        let mut log = Log {
            length,
            counters,
            ..Log::default()
        };
        for (id, block) in blocks {
            log.blocks.push(id, block);
        }
        Stream {
            tag: Tag::Stream,
            log: Shared::new(log),
        }
    }

    /// The name OBJECT ENCODING answers with.
    pub fn encoding(&self) -> &'static str {
        "stream"
    }

    /// Number of entries.
    #[doc(alias = "streamLength")]
    pub fn len(&self) -> u64 {
        self.log.length
    }

    /// No entries; the key stays nevertheless.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The counters it keeps over its life.
    pub fn counters(&self) -> Counters {
        self.log.counters
    }

    /// The greatest ID it ever had.
    pub fn last_id(&self) -> StreamId {
        self.log.counters.last_id
    }

    /// The blocks in order, for saving.
    pub fn blocks(&self) -> impl Iterator<Item = (StreamId, &Listpack)> {
        self.log.blocks.iter()
    }

    /// Number of blocks.
    pub fn blocks_len(&self) -> u64 {
        self.log.blocks.len()
    }

    /// Nodes of the tree that holds the blocks.
    pub fn tree_nodes(&self) -> usize {
        self.log.blocks.nodes()
    }

    // ---- Entries -------------------------------------------------------------------------------------

    /// The entries between two IDs, both included; `back` begins with the greatest.
    #[doc(alias = "streamIteratorStart")]
    pub fn entries(&self, from: StreamId, to: StreamId, back: bool) -> Entries<'_> {
        Entries::new(&self.log.blocks, from, to, back)
    }

    /// Whether the stream has an entry with this ID.
    #[doc(alias = "streamEntryExists")]
    pub fn contains(&self, id: StreamId) -> bool {
        self.entries(id, id, false).next().is_some()
    }

    /// The ID of the last entry that is there.
    #[doc(alias = "streamLastValidID")]
    pub fn last_valid_id(&self) -> Option<StreamId> {
        let last = self.entries(StreamId::MIN, StreamId::MAX, true).next();
        Some(last?.id)
    }

    /// The ID a new entry gets: of this millisecond, or the one behind the last. `None` if that was the greatest.
    #[doc(alias = "streamNextID")]
    pub fn next_id(&self, now_ms: u64) -> Option<StreamId> {
        let last = self.last_id();
        if now_ms > last.ms {
            return Some(StreamId::new(now_ms, 0));
        }
        last.next()
    }

    /// Adds an entry behind all others: `id` must be above [`Stream::last_id`]. `words` are fields and values in turn,
    /// `pairs` of them. O(log n), O(1) while the last block has room.
    #[doc(alias = "streamAppendItem")]
    pub fn append<'f>(
        &mut self,
        id: StreamId,
        words: impl Iterator<Item = &'f [u8]> + Clone,
        pairs: usize,
        limits: StreamLimits,
    ) -> Result<(), EntryTooLarge> {
        debug_assert!(id > self.last_id());
        let bytes = words.clone().map(<[u8]>::len).sum::<usize>();
        if bytes > BLOCK_MAX {
            return Err(EntryTooLarge);
        }
        let log = self.log.make_mut();
        let full = log.blocks.tail().is_none_or(|(_, block)| {
            let most = match limits.block_bytes {
                0 => BLOCK_MAX,
                most => most.min(BLOCK_MAX),
            };
            let entries = || {
                let master = block::master(block);
                master.map_or(i64::MAX, |master| {
                    master.live.saturating_add(master.deleted)
                })
            };
            block.byte_len() + bytes >= most
                || limits.block_entries > 0 && entries() >= limits.block_entries as i64
        });
        if full {
            log.blocks.push(id, block::create(words.clone(), pairs));
        }
        let base = log.blocks.tail().map_or(id, |(base, _)| base);
        if let Some(block) = log.blocks.tail_mut() {
            block::append(block, base, id, words, pairs);
        }
        log.length = log.length.saturating_add(1);
        log.counters.entries_added = log.counters.entries_added.wrapping_add(1);
        log.counters.last_id = id;
        if log.length == 1 {
            log.counters.first_id = id;
        }
        Ok(())
    }

    /// Deletes an entry; whether there was one. O(log n + bytes of a block).
    #[doc(alias = "streamDeleteItem")]
    pub fn delete(&mut self, id: StreamId) -> bool {
        let Some(place) = self.log.find(id) else {
            return false;
        };
        let log = self.log.make_mut();
        if log
            .blocks
            .nth(place.block)
            .is_some_and(|(_, b)| block::live(b) == 1)
        {
            log.remove_block(place.block);
        } else if let Some(block) = log.blocks.nth_mut(place.block) {
            block::delete(block, &[(place.at, place.flags)]);
        }
        log.length = log.length.saturating_sub(1);
        log.counters.max_deleted_id = log.counters.max_deleted_id.max(id);
        if log.length == 0 {
            log.counters.first_id = StreamId::MIN;
        } else if id == log.counters.first_id {
            log.find_first();
        }
        true
    }

    /// Sets what it remembers of its life, but for the first ID, which is as it is.
    #[doc(alias = "xsetidCommand")]
    pub fn set_counters(&mut self, counters: Counters) {
        let log = self.log.make_mut();
        let first_id = log.counters.first_id;
        log.counters = Counters {
            first_id,
            ..counters
        };
    }

    /// The ID of the first entry, deleted ones included; the greatest there is if there is none.
    pub fn first_flagged_id(&self) -> StreamId {
        let first = self.log.blocks.nth(0);
        let mut walk = first.and_then(|(base, block)| block::Walk::new(block, base, false));
        let first = walk.as_mut().and_then(|walk| walk.next());
        first.map_or(StreamId::MAX, |found| found.id)
    }

    /// Works out the first ID anew, which RDB files of old do not tell.
    pub fn find_first(&mut self) {
        self.log.make_mut().find_first();
    }

    // ---- Groups --------------------------------------------------------------------------------------

    /// Number of groups.
    pub fn groups_len(&self) -> usize {
        self.log.groups.len() as usize
    }

    /// The groups in the order of their names.
    pub fn groups(&self) -> impl Iterator<Item = (&Name, &Group)> {
        self.log.groups.iter().map(|pair| (&pair.key, &*pair.value))
    }

    /// A group.
    #[doc(alias = "streamLookupCG")]
    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        let pair = self.log.groups.find(|key| key[..].cmp(name))?;
        Some(&pair.value)
    }

    /// A group, to be written to.
    pub fn group_mut(&mut self, name: &[u8]) -> Option<&mut Group> {
        self.group(name)?;
        let groups = &mut self.log.make_mut().groups;
        Some(groups.find_mut(|key| key[..].cmp(name))?.make_mut())
    }

    /// Adds a group; false if there is one of that name.
    #[doc(alias = "streamCreateCG")]
    pub fn create_group(&mut self, name: &[u8], group: Group) -> bool {
        if self.group(name).is_some() {
            return false;
        }
        let groups = &mut self.log.make_mut().groups;
        groups.insert(Name::new(name), Shared::new(group));
        true
    }

    /// Removes a group; whether there was one.
    pub fn remove_group(&mut self, name: &[u8]) -> bool {
        let Some(pair) = self.log.groups.find(|key| key[..].cmp(name)) else {
            return false;
        };
        let name = pair.key.clone();
        self.log.make_mut().groups.remove(&name).is_some()
    }

    /// Whether a group has yet to read or to acknowledge an entry.
    #[doc(alias = "streamEntryIsReferenced")]
    pub fn is_referenced(&self, id: StreamId) -> bool {
        self.log.is_referenced(id)
    }

    /// Has all groups forget that they delivered an entry; returns those that had.
    #[doc(alias = "streamCleanupEntryCGroupRefs")]
    pub fn drop_references(&mut self, id: StreamId) -> Vec<Name> {
        let held = self.groups().any(|(_, group)| group.pel().contains(&id));
        match held {
            true => self.log.make_mut().drop_references(id),
            false => Vec::new(),
        }
    }

    /// Length and counters, from which a group's count of entries read follows.
    pub fn life(&self) -> Life {
        Life {
            length: self.len(),
            counters: self.log.counters,
        }
    }

    /// Number of entries between a group and the end of the stream, if that is known.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        self.life().lag(group.last_id, group.entries_read)
    }

    /// See [`Life::estimate_read`].
    pub fn estimate_read(&self, id: StreamId) -> Option<i64> {
        self.life().estimate_read(id)
    }

    // ---- Producers -----------------------------------------------------------------------------------

    /// Producers and their limits; `None` if no producer named itself and no limit was set.
    pub fn idmp(&self) -> Option<&Idmp> {
        self.log.idmp.as_deref()
    }

    /// The same, to be written to; made with these limits if it is not there.
    pub fn idmp_mut(&mut self, limits: IdmpLimits) -> &mut Idmp {
        let idmp = &mut self.log.make_mut().idmp;
        idmp.get_or_insert_with(|| Shared::new(Idmp::new(limits)))
            .make_mut()
    }

    // ---- Costs ---------------------------------------------------------------------------------------

    /// Bytes in the allocator; at most `samples` blocks are looked at (0: all).
    pub fn allocated_bytes(&self, samples: usize) -> usize {
        let log = &*self.log;
        let most = if samples == 0 { usize::MAX } else { samples };
        let (mut bytes, mut seen) = (0, 0);
        for (_, block) in log.blocks.iter().take(most) {
            bytes += block.blob().allocated_bytes();
            seen += 1;
        }
        // The last one is often not full.
        let all = log.blocks.len() as usize;
        if seen > 0 && all > seen {
            let last = log
                .blocks
                .tail()
                .map_or(0, |(_, b)| b.blob().allocated_bytes());
            bytes = bytes / seen * (all - 1) + last;
        }
        let groups: usize = self
            .groups()
            .map(|(name, group)| {
                name.allocated_bytes() + size_of::<Group>() + group.allocated_bytes()
            })
            .sum();
        size_of::<Log>()
            + bytes
            + log.blocks.tree_bytes()
            + log.groups.allocated_bytes()
            + groups
            + log.idmp.as_ref().map_or(0, |idmp| idmp.allocated_bytes())
    }

    /// How many steps freeing it takes: blocks, nodes, and what the first group has pending for all of them.
    pub fn free_effort(&self) -> usize {
        let first = self.groups().next();
        let pending = first.map_or(0, |(_, group)| group.pel().len() as usize);
        let nodes = self.log.blocks.len() as usize + 1;
        nodes + self.groups_len() * (1 + pending)
    }
}

impl Log {
    fn find(&self, id: StreamId) -> Option<Place> {
        let index = self.blocks.floor(id)?;
        let (base, block) = self.blocks.nth(index)?;
        let mut walk = block::Walk::new(block, base, false)?;
        while let Some(found) = walk.next() {
            if found.id == id && found.flags & DELETED == 0 {
                return Some(Place {
                    block: index,
                    at: found.at,
                    flags: found.flags,
                });
            }
            if found.id > id {
                break;
            }
        }
        None
    }

    /// The first ID, or if nothing is found, although there should be, the greatest there is.
    #[doc(alias = "streamGetEdgeID")]
    fn find_first(&mut self) {
        let mut entries = Entries::new(&self.blocks, StreamId::MIN, StreamId::MAX, false);
        self.counters.first_id = entries.next().map_or(StreamId::MAX, |entry| entry.id);
    }

    fn is_referenced(&self, id: StreamId) -> bool {
        let mut groups = self.groups.iter().map(|pair| &pair.value);
        groups.any(|group| group.last_id < id || group.pel().contains(&id))
    }

    fn drop_references(&mut self, id: StreamId) -> Vec<Name> {
        let groups = self.groups.iter().filter(|p| p.value.pel().contains(&id));
        let holding: Vec<Name> = groups.map(|pair| pair.key.clone()).collect();
        for name in &holding {
            if let Some(group) = self.groups.get_mut(name) {
                group.make_mut().ack(id);
            }
        }
        holding
    }
}
