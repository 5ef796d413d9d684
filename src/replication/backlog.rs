//! The replication backlog: the last part of the stream of effects, kept once for all replicas.
//!
//! ```text
//!   start                                              end
//!     [ block ........ ][ block ........ ][ block ... ]     bytes of the stream, in order, without a gap
//!            ^ replica A            ^ replica B       ^ replica C (has it all)
//! ```
//!
//! A position is the number of bytes of the stream before it. A replica is no more than a position: the bytes it has
//! yet to be sent lie here, whatever the number of replicas. A replica that comes back goes on from the position it
//! names if that is still here; `act/primary.rs` has an example.
//!
//! Invariant: the blocks hold the bytes from `start` to `end`, and no block is empty but perhaps the last.
//!
//! Mirrors: `replBacklog` and `replBufBlock` of server.h, feedReplicationBuffer() and
//! incrementalTrimReplicationBacklog() of replication.c.
//! Differs: blocks have no counts of their users; the caller of [`Backlog::trim`] names the first position that some
//! replica still needs. Finding a position is a binary search, so there is no index to keep.
//! Cost: O(bytes) to append, O(log blocks) to find a position.

use std::collections::VecDeque;

/// A block is no smaller, so that small effects share one.
const BLOCK: usize = 16 * 1024;
/// Blocks freed at one go: a backlog that shrank much goes away over many effects.
#[doc(alias = "REPL_BACKLOG_TRIM_BLOCKS_PER_CALL")]
const TRIM_AT_ONCE: usize = 128;

/// See the head of the file.
#[derive(Debug)]
pub struct Backlog {
    blocks: VecDeque<Block>,
    start: u64,
    end: u64,
    /// Bytes the blocks take in memory.
    memory: usize,
}

#[derive(Debug)]
struct Block {
    at: u64,
    bytes: Vec<u8>,
}

impl Backlog {
    /// An empty backlog; the next byte of the stream is the one after `position`.
    #[doc(alias = "createReplicationBacklog")]
    pub fn new(position: u64) -> Backlog {
        Backlog {
            blocks: VecDeque::new(),
            start: position,
            end: position,
            memory: 0,
        }
    }

    /// The position of the first byte that is still here.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The position behind the last byte.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Bytes of the stream that it holds.
    pub fn bytes(&self) -> u64 {
        self.end - self.start
    }

    /// Bytes it takes in memory.
    pub fn memory(&self) -> usize {
        self.memory + self.blocks.capacity() * size_of::<Block>()
    }

    /// Whether a replica can continue from a position.
    pub fn covers(&self, position: u64) -> bool {
        (self.start..=self.end).contains(&position)
    }

    /// Appends to the stream. No block is larger than a sixteenth of `limit`, so that trimming is not coarse.
    #[doc(alias = "feedReplicationBuffer")]
    pub fn push(&mut self, mut bytes: &[u8], limit: u64) {
        if let Some(last) = self.blocks.back_mut() {
            let room = last.bytes.capacity() - last.bytes.len();
            let (here, rest) = bytes.split_at(room.min(bytes.len()));
            last.bytes.extend_from_slice(here);
            self.end += here.len() as u64;
            bytes = rest;
        }
        let share = usize::try_from(limit / 16).unwrap_or(usize::MAX).max(BLOCK);
        while !bytes.is_empty() {
            let (here, rest) = bytes.split_at(share.min(bytes.len()));
            let mut block = Vec::with_capacity(here.len().max(BLOCK));
            block.extend_from_slice(here);
            self.memory += block.capacity();
            self.blocks.push_back(Block {
                at: self.end,
                bytes: block,
            });
            self.end += here.len() as u64;
            bytes = rest;
        }
    }

    /// Frees blocks from the start that are not needed: at least `limit` bytes stay, and what lies behind `needed`.
    #[doc(alias = "incrementalTrimReplicationBacklog")]
    pub fn trim(&mut self, limit: u64, needed: u64) {
        for _ in 0..TRIM_AT_ONCE {
            let Some(first) = self.blocks.front() else {
                return;
            };
            let behind = first.at + first.bytes.len() as u64;
            if self.end - behind < limit || behind > needed || self.blocks.len() == 1 {
                return;
            }
            if let Some(gone) = self.blocks.pop_front() {
                self.memory -= gone.bytes.capacity();
            }
            self.start = behind;
        }
    }

    /// Copies up to `most` bytes from a position on to the end of `out`; returns how many. O(log blocks + bytes).
    pub fn read(&self, position: u64, most: usize, out: &mut Vec<u8>) -> usize {
        let first = self
            .blocks
            .partition_point(|block| block.at + block.bytes.len() as u64 <= position);
        let before = out.len();
        for block in self.blocks.range(first..) {
            let copied = out.len() - before;
            let skip = (position + copied as u64).saturating_sub(block.at) as usize;
            let bytes = block.bytes.get(skip..).unwrap_or_default();
            let part = bytes.len().min(most - copied);
            out.extend_from_slice(&bytes[..part]);
            if copied + part == most {
                break;
            }
        }
        out.len() - before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::rng::Rng;

    #[test]
    fn what_is_read_is_what_was_said_from_any_position() {
        let mut rng = Rng::new(7);
        let (mut backlog, mut model) = (Backlog::new(100), Vec::new());
        for _ in 0..400 {
            let bytes: Vec<u8> = (0..rng.below(9000)).map(|i| i as u8).collect();
            backlog.push(&bytes, 64 * 1024);
            model.extend_from_slice(&bytes);
            let needed = backlog.start() + rng.below(backlog.bytes() + 1);
            backlog.trim(100_000, needed);
            assert_eq!(backlog.end(), 100 + model.len() as u64);
            assert!(backlog.start() <= needed);
            let at = backlog.start() + rng.below(backlog.bytes() + 1);
            let most = rng.below(60_000) as usize;
            let mut out = Vec::new();
            let read = backlog.read(at, most, &mut out);
            let from = (at - 100) as usize;
            let expected = &model[from..(from + most).min(model.len())];
            assert_eq!((read, &*out), (expected.len(), expected));
        }
        assert!(backlog.bytes() >= 100_000);
    }

    #[test]
    fn a_position_is_covered_up_to_the_end() {
        let mut backlog = Backlog::new(10);
        assert!(backlog.covers(10) && !backlog.covers(9) && !backlog.covers(11));
        backlog.push(b"abc", 1);
        assert!(backlog.covers(13) && !backlog.covers(14));
        let mut out = Vec::new();
        assert_eq!(backlog.read(13, 5, &mut out), 0);
    }
}
