//! The broken end of an append-only file: bytes that a crash or a power cut left are cut off, so that the loaded data
//! set is that of one moment; any other fault is refused.
//!
//! ```text
//!   incr.3  … SET a 1 | SET b         the last file ends in the middle of a command: cut
//!   incr.3  … SET a 1 | 0000000       its length was on disk before its bytes: cut
//!   incr.3  … SET a 1 | 00 SET c 3    that is no work of a crash: refused
//!
//!   incr.3  … SET a 1 |               900 bytes
//!   incr.4  #FOLLOWS:960 SET c 3      begun when incr.3 had 960: the power took 60, so incr.4 is emptied
//! ```
//!
//! Mirrors: the end of loadSingleAppendOnlyFile() in aof.c.
//! Differs: Redis knows neither zeros nor the length of the file before. It refuses the one and replays the other,
//! with a gap in the middle.

use super::loading::{Loading, Part, What};

impl Loading {
    /// A file is done: the next one follows it.
    pub(super) fn note_before(&mut self, part: &Part) {
        self.before = (part.what == What::Increment).then_some(part.size);
    }

    /// Whether the increment before the current one has fewer bytes than it had.
    pub(super) fn lacks(&self, bytes: u64) -> bool {
        self.before.is_some_and(|before| before < bytes)
    }
}
