//! A full synchronisation over two connections: the replica's half, without its sockets.
//!
//! The data set comes over a connection of its own, the RDB channel, while the stream already comes over the first
//! one, the main channel. The replica keeps the stream until the data set is loaded, so that the primary need not.
//!
//! ```text
//!   main channel    REPLCONF capa … capa rdb-channel-repl, PSYNC ? -1 ─► +RDBCHANNELSYNC 17
//!                                                                           │
//!   RDB channel     connect ─► AUTH ─► REPLCONF … main-ch-client-id 17 ─► PSYNC ? -1 ─► +FULLRESYNC id 1040
//!                                                                           │
//!                   data set taken at position 1040 ─────────────────────► loaded ─► closed
//!   main channel    the stream from position 1040 on ─► [`StreamBuffer`] ────┴─► run, piece by piece ─► Connected
//! ```
//!
//! A main channel that is lost while a file is loaded is no failure: the data set and the stream so far are good, and
//! the replica continues from where they end.
//!
//! Mirrors: the functions rdbChannel…() of replication.c, `replDataBuf` of server.h.
//! Differs: the buffer is run between turns of the loop, which serves clients meanwhile as ever.

use std::collections::VecDeque;

use crate::resp::request::READ_BUFFER;
use crate::wires::WireKey;

/// Bytes that the buffer grows by at least.
const BLOCK: usize = 1 << 20;

/// How far the RDB channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelStep {
    Connecting,
    /// Answers outstanding: to AUTH,
    Auth,
    /// to REPLCONF,
    Replconf,
    /// to PSYNC.
    Psync,
    /// The data set comes, is whole, or is being loaded.
    DataSet,
    /// The data set is loaded, and the buffer is being run.
    Streaming {
        /// Bytes run so far.
        bytes: u64,
    },
}

/// The second connection of a full synchronisation.
#[derive(Debug)]
pub struct Channel {
    pub step: ChannelStep,
    /// Its connection, while there is one.
    pub wire: Option<WireKey>,
    /// The number by which the primary knows the main channel, as it sent it.
    pub main_id: String,
    /// The main channel is gone; the stream ends with the buffer.
    pub main_lost: bool,
    /// The log has been told that the buffer is full.
    pub full: bool,
}

impl Channel {
    /// A channel that is being connected.
    pub fn new(main_id: &str) -> Channel {
        Channel {
            step: ChannelStep::Connecting,
            wire: None,
            main_id: main_id.to_owned(),
            main_lost: false,
            full: false,
        }
    }

    /// Whether the buffer is being run.
    pub fn is_streaming(&self) -> bool {
        matches!(self.step, ChannelStep::Streaming { .. })
    }
}

/// The part of the stream that came before the data set was loaded, in blocks of a mebibyte.
#[derive(Debug, Default)]
pub struct StreamBuffer {
    blocks: VecDeque<Vec<u8>>,
    /// Bytes of the first block that were taken already.
    taken: usize,
    /// Bytes of memory that its blocks have.
    size: usize,
    /// The largest size there ever was, in any synchronisation.
    peak: usize,
    /// The number of blocks when the socket was last read while the buffer is run.
    last_blocks: usize,
}

impl StreamBuffer {
    /// Bytes of memory that it has.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The largest size there ever was.
    pub fn peak(&self) -> usize {
        self.peak
    }

    /// Bytes to be run.
    pub fn bytes(&self) -> usize {
        self.blocks.iter().map(Vec::len).sum::<usize>() - self.taken
    }

    /// Whether nothing is to be run.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Appends bytes. O(bytes).
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let has_room = |block: &&mut Vec<u8>| block.len() < block.capacity();
            let block = match self.blocks.back_mut().filter(has_room) {
                Some(block) => block,
                None => {
                    let block = Vec::with_capacity(BLOCK);
                    self.size += block.capacity();
                    self.peak = self.peak.max(self.size);
                    self.blocks.push_back(block);
                    continue;
                }
            };
            let room = block.capacity() - block.len();
            let (here, rest) = bytes.split_at(room.min(bytes.len()));
            block.extend_from_slice(here);
            bytes = rest;
        }
    }

    /// Whether one more read of the socket fits in: into the memory that it has, or into what a limit allows (0: no
    /// limit).
    pub fn has_room(&self, limit: u64) -> bool {
        let within = limit == 0 || self.size as u64 <= limit;
        let free = |block: &Vec<u8>| block.capacity() - block.len();
        within || self.blocks.back().map_or(0, free) >= READ_BUFFER
    }

    /// Moves up to `most` bytes from its start to the end of `out`; returns how many. Blocks that are used up are freed.
    pub fn take(&mut self, most: usize, out: &mut Vec<u8>) -> usize {
        let Some(first) = self.blocks.front() else {
            return 0;
        };
        let part = &first[self.taken..];
        let n = part.len().min(most);
        out.extend_from_slice(&part[..n]);
        self.taken += n;
        if self.taken == first.len() {
            self.size -= first.capacity();
            self.blocks.pop_front();
            self.taken = 0;
        }
        n
    }

    /// The buffer begins to be run, or was appended to while it is run.
    pub fn begin_to_run(&mut self) {
        self.last_blocks = self.blocks.len();
    }

    /// Whether the socket may be read while the buffer is run: at most one block for two that were run since
    /// [`StreamBuffer::begin_to_run`] was called last, so that the buffer becomes empty.
    pub fn drains(&self) -> bool {
        self.blocks.len() + 1 < self.last_blocks
    }

    /// Frees everything; the peak is remembered.
    pub fn clear(&mut self) {
        *self = StreamBuffer {
            peak: self.peak,
            ..StreamBuffer::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::rng::Rng;

    #[test]
    fn bytes_leave_in_the_order_they_came() {
        let mut rng = Rng::new(11);
        let (mut buffer, mut came, mut left) = (StreamBuffer::default(), Vec::new(), Vec::new());
        for _ in 0..300 {
            let bytes: Vec<u8> = (0..rng.below(60_000))
                .map(|_| rng.below(256) as u8)
                .collect();
            buffer.push(&bytes);
            came.extend_from_slice(&bytes);
            let most = rng.below(50_000) as usize;
            let before = left.len();
            assert_eq!(buffer.take(most, &mut left), left.len() - before);
            assert_eq!(buffer.bytes(), came.len() - left.len());
            assert!(buffer.size() >= buffer.bytes() && buffer.peak() >= buffer.size());
        }
        while buffer.take(usize::MAX, &mut left) > 0 {}
        assert!(came == left && buffer.is_empty() && buffer.size() == 0);
    }

    #[test]
    fn a_limit_stops_it_at_the_end_of_a_block() {
        let mut buffer = StreamBuffer::default();
        assert!(buffer.has_room(1024));
        buffer.push(b"x");
        assert!(buffer.has_room(1024), "the block is there, so it is filled");
        // Reads of 65535 bytes do not end where a block ends.
        while buffer.has_room(1024) {
            buffer.push(&vec![0; READ_BUFFER - 1]);
        }
        assert!(buffer.has_room(0));
        buffer.clear();
        assert_eq!((buffer.size(), buffer.peak()), (0, BLOCK));
    }

    #[test]
    fn while_it_is_run_it_shrinks() {
        let mut buffer = StreamBuffer::default();
        buffer.push(&vec![0; 4 * BLOCK]);
        buffer.begin_to_run();
        let mut out = Vec::new();
        assert!(!buffer.drains());
        buffer.take(BLOCK, &mut out);
        assert!(!buffer.drains());
        buffer.take(BLOCK, &mut out);
        assert!(buffer.drains());
        buffer.push(b"more");
        buffer.begin_to_run();
        assert!(!buffer.drains());
    }
}
