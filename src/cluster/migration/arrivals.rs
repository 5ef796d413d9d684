//! Slots that come as an RDB, on their way from the connection to the keyspace.
//!
//! ```text
//!   wire ─► bytes ─► thread: reads, makes a table of each slot ─► parts ─► attached, one slot at a time
//!                                                                      └─► first told to replicas and the AOF, if
//!                                                                          there are any: thread: keys ─► commands
//! ```
//!
//! A slot whose keys are told as commands is attached in the moment of its last command, and not before. So every
//! snapshot that is taken, for a replica or as the base of an AOF, has either all of the slot's keys, and the stream behind
//! it no command of them; or none of the keys, and then the slot is told again from its beginning (`since`). Telling
//! twice does no harm: each command replaces what a key held.
//!
//! Mirrors: no file of Redis, where a destination runs a command for each key.

use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, OnceLock};

use crate::background::Job;
use crate::keyspace::SlotTable;

/// Bytes that wait for the thread; with more of them the connection is not read.
pub const QUEUED: usize = 8 << 20;

/// A part of what came.
#[derive(Debug)]
pub enum News {
    /// The code of all function libraries.
    Libraries(Vec<Vec<u8>>),
    /// All keys of one slot.
    Slot(SlotTable),
    /// A value is broken and was taken as far as it could be read: its key, and what is wrong.
    Broken(Vec<u8>, &'static str),
    /// Everything was read, or that failed.
    End(Result<(), String>),
}

/// The import's keys.
#[derive(Debug)]
pub struct Arrivals {
    /// The way to the thread that reads.
    pub bytes: Sender<Vec<u8>>,
    /// Bytes on that way.
    pub queued: Arc<AtomicUsize>,
    /// The parts that it read.
    pub news: Receiver<News>,
    /// The slot that is told before it is attached.
    pub telling: Option<Telling>,
}

/// A slot whose keys are told as commands.
#[derive(Debug)]
pub struct Telling {
    /// Its keys; `None` when they were taken out.
    pub table: Option<SlotTable>,
    /// The commands, in pieces that end with a command.
    pub pieces: Receiver<Vec<u8>>,
    /// The thread's result, once it has written the last piece.
    pub result: Arc<OnceLock<Result<(), String>>>,
    /// Stops the thread.
    pub job: Job,
    /// Snapshots for files and replicas that had been taken when this began.
    pub since: u64,
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.job.cancel();
    }
}

/// The thread's end of the way of bytes.
pub struct Source<F: Fn()> {
    pieces: Receiver<Vec<u8>>,
    piece: Vec<u8>,
    used: usize,
    queued: Arc<AtomicUsize>,
    /// Called when there is room for more bytes again.
    hungry: F,
}

impl<F: Fn()> std::fmt::Debug for Source<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Source")
    }
}

impl<F: Fn()> Source<F> {
    /// Reads the pieces of a queue whose bytes are counted in `queued`.
    pub fn new(pieces: Receiver<Vec<u8>>, queued: Arc<AtomicUsize>, hungry: F) -> Source<F> {
        Source {
            pieces,
            piece: Vec::new(),
            used: 0,
            queued,
            hungry,
        }
    }
}

impl<F: Fn()> Read for Source<F> {
    /// Waits for bytes; the end has come when the sender is gone.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.used == self.piece.len() {
            let Ok(piece) = self.pieces.recv() else {
                return Ok(0);
            };
            let before = self.queued.fetch_sub(piece.len(), Ordering::Relaxed);
            if before >= QUEUED && before - piece.len() < QUEUED {
                (self.hungry)();
            }
            (self.piece, self.used) = (piece, 0);
        }
        let n = out.len().min(self.piece.len() - self.used);
        out[..n].copy_from_slice(&self.piece[self.used..self.used + n]);
        self.used += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::sync::mpsc::channel;

    #[test]
    fn bytes_come_in_order_and_more_are_asked_for_once() {
        let (sender, pieces) = channel();
        let queued = Arc::new(AtomicUsize::new(0));
        let asked = Cell::new(0);
        let hungry = || asked.set(asked.get() + 1);
        let mut source = Source::new(pieces, queued.clone(), hungry);
        for n in 0..4 {
            let piece = vec![n; QUEUED / 2];
            queued.fetch_add(piece.len(), Ordering::Relaxed);
            sender.send(piece).expect("the source lives");
        }
        let mut first = vec![0; 3 * (QUEUED / 2)];
        source.read_exact(&mut first).expect("they are there");
        assert_eq!((first[0], first[QUEUED / 2], first[QUEUED]), (0, 1, 2));
        assert_eq!(asked.get(), 1);
        drop(sender);
        let mut rest = Vec::new();
        source.read_to_end(&mut rest).expect("to the end");
        assert_eq!((rest.len(), rest[0]), (QUEUED / 2, 3));
        assert_eq!(queued.load(Ordering::Relaxed), 0);
    }
}
