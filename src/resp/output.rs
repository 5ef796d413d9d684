//! The bytes a client still has to be sent: its output buffer.
//!
//! Small replies are appended to one growing tail; a large string is queued by reference and
//! sent from where it lies, so that a GET of a megabyte copies none of it.
//!
//! ```text
//!   sent ->|  [ bytes ][ shared string ][ bytes ]   tail: bytes being appended
//! ```
//!
//! A queue may have a limit. Once a reply goes beyond it the whole queue is dropped: its client will be closed, and a
//! command that builds an endless reply should not find memory for it ([`Output::overflowed`]).
//!
//! Mirrors: the reply buffer and reply list of networking.c (`_addReplyToBufferOrList`).
//! Differs: one list of segments instead of a fixed buffer plus a list; shared values are segments
//! too, where Redis copies them.

use std::collections::VecDeque;
use std::io::IoSlice;

use crate::collections::shared::BigStr;

/// A tail larger than this is closed and a new one begun, so that no append ever has to move more.
const SEGMENT: usize = 16 * 1024;
/// Room kept at a tail's end for the small writes that do not look for it.
const HEADROOM: usize = 64;
/// A tail is given room for at least this much.
#[doc(alias = "PROTO_REPLY_MIN_BYTES")]
pub const TAIL_MIN: usize = 1024;
/// No more than this is given to a tail in advance.
#[doc(alias = "PROTO_REPLY_CHUNK_BYTES")]
pub const TAIL_MAX: usize = SEGMENT;
/// Slices handed to one `writev`.
const MAX_SLICES: usize = 64;

#[derive(Debug)]
enum Segment {
    Bytes(Vec<u8>),
    Shared(BigStr),
}

impl Segment {
    fn as_slice(&self) -> &[u8] {
        match self {
            Segment::Bytes(bytes) => bytes,
            Segment::Shared(string) => string.as_slice(),
        }
    }

    fn memory(&self) -> usize {
        let bytes = match self {
            Segment::Bytes(bytes) => bytes.capacity(),
            Segment::Shared(string) => string.as_slice().len(),
        };
        bytes + size_of::<Segment>()
    }
}

/// A queue of bytes with a growing end.
#[derive(Debug, Default)]
pub struct Output {
    closed: VecDeque<Segment>,
    tail: Vec<u8>,
    /// Room the tail keeps when everything is sent, if more than the least.
    kept: usize,
    /// Bytes of the first segment that are already sent.
    sent: usize,
    /// Bytes queued in `closed`, those sent not subtracted.
    closed_bytes: usize,
    /// Memory held by `closed`.
    closed_memory: usize,
    /// Memory that `closed` may hold; 0 for no limit.
    limit: usize,
    overflowed: bool,
    /// Segments ever closed and removed from the front: makes positions absolute.
    removed: u64,
}

/// A place in an [`Output`] where bytes can still be inserted later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    segment: u64,
    offset: usize,
}

impl Output {
    /// An empty queue.
    pub fn new() -> Self {
        Output::default()
    }

    /// Bytes not yet sent.
    pub fn len(&self) -> usize {
        self.closed_bytes + self.tail.len() - self.sent
    }

    /// Whether everything is sent.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Segments in the list, the tail not counted (`oll` in CLIENT LIST).
    pub fn segments(&self) -> usize {
        self.closed.len()
    }

    /// Bytes in the tail (`obl` in CLIENT LIST).
    pub fn tail_len(&self) -> usize {
        self.tail.len()
    }

    /// Room of the tail (`rbs` in CLIENT LIST).
    pub fn tail_capacity(&self) -> usize {
        self.tail.capacity()
    }

    /// Memory held by the list of closed segments (`omem` in CLIENT LIST). O(1).
    pub fn list_memory(&self) -> usize {
        self.closed_memory
    }

    /// All memory held. O(1).
    pub fn memory(&self) -> usize {
        self.closed_memory + self.tail.capacity()
    }

    /// Limits the memory of the list; 0 for no limit.
    #[inline]
    pub fn set_limit(&mut self, bytes: usize) {
        self.limit = bytes;
    }

    /// Whether the limit was passed: bytes are lost, and the client must be closed.
    #[inline]
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// The tail to append to.
    #[inline]
    pub fn tail(&mut self) -> &mut Vec<u8> {
        if self.tail.len() > SEGMENT - HEADROOM {
            self.close_tail(SEGMENT);
        } else if self.tail.capacity() == 0 {
            self.tail.reserve_exact(self.kept.max(TAIL_MIN));
        }
        &mut self.tail
    }

    /// Gives the tail another capacity; its bytes stay (reply buffer resizing). Room the tail takes beyond it is given
    /// back when everything is sent: one long reply must not cost its room for ever.
    pub fn resize_tail(&mut self, capacity: usize) {
        self.kept = capacity;
        if capacity < self.tail.capacity() {
            self.tail.shrink_to(capacity);
        } else {
            self.tail.reserve_exact(capacity - self.tail.len());
        }
    }

    /// Appends bytes.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        let tail = self.tail();
        let len = tail.len() + bytes.len();
        if len > tail.capacity() && len > SEGMENT && !tail.is_empty() {
            // Bytes that do not fit begin a segment of their own rather than doubling the tail.
            self.close_tail(bytes.len().max(SEGMENT));
        }
        self.tail.extend_from_slice(bytes);
    }

    /// Queues a large string by reference.
    pub fn push_shared(&mut self, string: BigStr) {
        self.close_before_whole();
        self.close(Segment::Shared(string));
    }

    /// Queues a text made for this reply: a long one as it is, so that the tail need not grow for it.
    pub fn push_owned(&mut self, text: Vec<u8>) {
        if text.len() < TAIL_MIN {
            return self.push(&text);
        }
        self.close_before_whole();
        self.close(Segment::Bytes(text));
    }

    /// Closes the tail because a whole segment comes behind it.
    fn close_before_whole(&mut self) {
        if self.tail.len() < TAIL_MIN {
            // A few bytes, such as the string's length, are not worth the whole buffer.
            if !self.tail.is_empty() {
                let bytes = self.tail.as_slice().to_vec();
                self.tail.clear();
                self.close(Segment::Bytes(bytes));
            }
        } else {
            self.close_tail(0);
        }
    }

    fn close(&mut self, segment: Segment) {
        if self.overflowed {
            return;
        }
        self.closed_bytes += segment.as_slice().len();
        self.closed_memory += segment.memory();
        self.closed.push_back(segment);
        self.check_limit(0);
    }

    /// `room`: of a tail begun behind the list; it counts, for it will be filled.
    fn check_limit(&mut self, room: usize) {
        if self.limit != 0 && self.closed_memory + room >= self.limit {
            self.closed.clear();
            self.closed_bytes = 0;
            self.closed_memory = 0;
            self.sent = 0;
            self.overflowed = true;
        }
    }

    /// Appends all of another queue.
    pub fn append(&mut self, mut other: Output) {
        other.drop_sent();
        self.overflowed |= other.overflowed;
        if other.closed.is_empty() {
            self.push(&other.tail);
            return;
        }
        self.close_tail(0);
        for segment in other.closed {
            self.close(segment);
        }
        self.tail = other.tail;
    }

    fn close_tail(&mut self, next_capacity: usize) {
        if !self.tail.is_empty() {
            let tail = std::mem::replace(&mut self.tail, Vec::with_capacity(next_capacity));
            self.close(Segment::Bytes(tail));
            self.check_limit(next_capacity);
        }
    }

    /// The end of what is queued, for [`Output::truncate`]. O(1), and makes no room.
    #[inline]
    pub(super) fn end(&self) -> Position {
        Position {
            segment: self.removed + self.closed.len() as u64,
            offset: self.tail.len(),
        }
    }

    /// Where the next byte will go.
    pub(super) fn position(&mut self) -> Position {
        let offset = self.tail().len();
        Position {
            segment: self.removed + self.closed.len() as u64,
            offset,
        }
    }

    /// Inserts bytes at a place taken before; what was appended since moves behind them.
    pub(super) fn insert(&mut self, at: Position, bytes: &[u8]) {
        if self.overflowed {
            return;
        }
        let index = (at.segment - self.removed) as usize;
        let splice = |segment: &mut Vec<u8>| {
            segment.splice(at.offset..at.offset, bytes.iter().copied());
        };
        if index == self.closed.len() {
            return splice(&mut self.tail);
        }
        self.closed_bytes += bytes.len();
        let segment = &mut self.closed[index];
        self.closed_memory -= segment.memory();
        match segment {
            Segment::Bytes(segment) => splice(segment),
            Segment::Shared(_) => {
                // The tail was empty when the place was taken, so a shared string sits there.
                self.closed_memory += segment.memory();
                self.closed.insert(index, Segment::Bytes(bytes.to_vec()));
            }
        }
        self.closed_memory += self.closed[index].memory();
    }

    /// Takes back everything appended since a place was taken.
    pub(super) fn truncate(&mut self, at: Position) {
        if self.overflowed {
            return;
        }
        let index = (at.segment - self.removed) as usize;
        while self.closed.len() > index {
            if let Some(segment) = self.closed.pop_back() {
                self.closed_bytes -= segment.as_slice().len();
                self.closed_memory -= segment.memory();
                if self.closed.len() == index
                    && let Segment::Bytes(bytes) = segment
                {
                    self.tail = bytes;
                }
            }
        }
        self.tail.truncate(at.offset);
    }

    /// Slices for one `writev`, from the first unsent byte on.
    pub fn slices<'a>(&'a self, out: &mut Vec<IoSlice<'a>>) {
        let mut skip = self.sent;
        let all = self
            .closed
            .iter()
            .map(Segment::as_slice)
            .chain([self.tail.as_slice()]);
        for bytes in all.take(MAX_SLICES) {
            if bytes.len() > skip {
                out.push(IoSlice::new(&bytes[skip..]));
            }
            skip = 0;
        }
    }

    /// The only slice, when there is but one: spares the caller a `writev`.
    #[inline]
    pub fn single(&self) -> Option<&[u8]> {
        self.closed.is_empty().then(|| &self.tail[self.sent..])
    }

    /// Notes that `n` bytes were sent and frees what is fully gone.
    pub fn advance(&mut self, n: usize) {
        self.sent += n;
        while let Some(first) = self.closed.front() {
            let len = first.as_slice().len();
            if self.sent < len {
                return;
            }
            self.sent -= len;
            self.closed_bytes -= len;
            self.closed_memory -= first.memory();
            self.removed += 1;
            self.closed.pop_front();
        }
        if self.sent == self.tail.len() {
            self.sent = 0;
            self.tail.clear();
            self.tail.shrink_to(self.kept.max(TAIL_MIN));
        }
    }

    fn drop_sent(&mut self) {
        if self.sent == 0 {
            return;
        }
        let sent = std::mem::take(&mut self.sent);
        match self.closed.pop_front() {
            None => {
                self.tail.drain(..sent);
            }
            Some(first) => {
                self.closed_bytes -= sent;
                self.closed_memory -= first.memory();
                let rest = Segment::Bytes(first.as_slice()[sent..].to_vec());
                self.closed_memory += rest.memory();
                self.closed.push_front(rest);
            }
        }
    }

    /// Everything unsent, copied into one vector (tests, in-process commands).
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.len());
        for segment in &self.closed {
            all.extend_from_slice(segment.as_slice());
        }
        all.extend_from_slice(&self.tail);
        all.drain(..self.sent);
        all
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Output {
            removed: self.removed,
            ..Output::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn insertion_lands_where_the_place_was_taken() {
        let mut out = Output::new();
        out.push(b"before ");
        let place = out.position();
        for _ in 0..3000 {
            out.push(b"0123456789");
        }
        out.insert(place, b"*3000 ");
        let all = out.to_vec();
        assert_eq!(out.len(), all.len());
        assert!(all.starts_with(b"before *3000 0123456789"));
        out.truncate(place);
        assert_eq!(out.to_vec(), b"before ");
        assert_eq!(out.len(), 7);
    }

    #[test]
    fn memory_is_counted_and_beyond_the_limit_all_is_dropped() {
        let string = BigStr::from_slice(&[b'x'; 50_000]);
        let fill = |out: &mut Output| {
            out.push(b"$50000\r\n");
            out.push_shared(string.clone());
            (0..9000).for_each(|_| out.push(b"0123456789"));
        };
        let mut out = Output::new();
        fill(&mut out);
        assert!((130_000..150_000).contains(&out.list_memory()));
        let place = out.position();
        out.push_shared(string.clone());
        out.insert(place, b"12");
        let all = out.len();
        out.advance(all);
        assert_eq!((out.list_memory(), out.len()), (0, 0));

        let mut out = Output::new();
        out.set_limit(100_000);
        let place = out.position();
        fill(&mut out);
        assert!(out.overflowed() && out.len() < 2 * SEGMENT);
        out.insert(place, b"*1\r\n");
        out.truncate(place);
        let mut first = Output::new();
        first.append(out);
        assert!(first.overflowed());
    }

    #[test]
    fn advancing_over_segments_sends_every_byte_once() {
        let mut out = Output::new();
        let mut expected = Vec::new();
        for i in 0..10_000u32 {
            let piece = format!("{i},");
            out.push(piece.as_bytes());
            expected.extend_from_slice(piece.as_bytes());
        }
        let mut sent = Vec::new();
        while !out.is_empty() {
            let mut slices = Vec::new();
            out.slices(&mut slices);
            let first = slices[0][..slices[0].len().min(777)].to_vec();
            drop(slices);
            out.advance(first.len());
            sent.extend(first);
        }
        assert_eq!(sent, expected);
    }
}
