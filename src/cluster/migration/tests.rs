//! Both ends of a migration, wired to each other without sockets or keys.

use super::*;
use crate::util::rng::Rng;

fn id(seed: u64) -> NodeId {
    NodeId::random(&mut Rng::new(seed))
}

fn task(operation: Operation) -> Task {
    let slots = SlotSet::from_iter([5, 6, 7, 9]);
    Task::new(id(1), slots, id(2), id(3), operation)
}

/// A destination and a source, and the lines between them.
struct Pair {
    now: u64,
    dest: Migrations,
    source: Migrations,
    sent: u64,
    applied: u64,
    paused: bool,
    stream_ended: bool,
    snapshot: bool,
    claimed: bool,
    trimmed_at_dest: u32,
    trimmed_at_source: u32,
    form: Form,
    loads: bool,
    logs: Vec<String>,
}

impl Pair {
    fn new() -> Pair {
        Pair::whose_destination_reads(None)
    }

    fn whose_destination_reads(reads_rdb: Option<u32>) -> Pair {
        let mut pair = Pair {
            now: 1000,
            dest: Migrations::default(),
            source: Migrations::default(),
            sent: 0,
            applied: 0,
            paused: false,
            stream_ended: false,
            snapshot: false,
            claimed: false,
            trimmed_at_dest: 0,
            trimmed_at_source: 0,
            form: Form::Commands,
            loads: false,
            logs: Vec::new(),
        };
        pair.dest.options.reads_rdb = reads_rdb;
        pair.dest.begin_import(1000, 1000, task(Operation::Import));
        pair
    }

    fn tell_dest(&mut self, input: import::Input<'_>) {
        self.dest.import_step(self.now, self.now, input);
    }

    fn tell_source(&mut self, input: export::Input<'_>) {
        self.source.export_step(self.now, self.now, input);
    }

    /// Carries acts between the two until neither has one.
    fn settle(&mut self) {
        loop {
            let mut acts = self.dest.take_acts();
            let from_dest = acts.len();
            acts.extend(self.source.take_acts());
            if acts.is_empty() {
                return;
            }
            for (at, act) in acts.into_iter().enumerate() {
                match at < from_dest {
                    true => self.dest_act(act),
                    false => self.source_act(act),
                }
            }
        }
    }

    fn dest_act(&mut self, act: Act) {
        match act {
            Act::Dial(channel) => self.tell_dest(import::Input::Up(channel)),
            Act::Auth(channel) => self.tell_dest(import::Input::Line(channel, b"+OK")),
            Act::Send(_, words) => self.request(&words),
            Act::Load => self.loads = true,
            Act::Apply(_) | Act::Close(_) | Act::Tell(_) => {}
            Act::Claim(slots) => {
                assert_eq!(self.applied, self.sent, "all writes are here");
                assert!(self.paused);
                assert_eq!(slots.len(), 4);
                self.claimed = true;
                self.tell_dest(import::Input::Claimed(Ok(3)));
                self.tell_source(export::Input::Claimed(3));
            }
            Act::Trim(_) => self.trimmed_at_dest += 1,
            Act::Log(_, text) => self.logs.push(text),
            other => panic!("{other:?} is no act of a destination"),
        }
    }

    fn request(&mut self, words: &[Vec<u8>]) {
        match words[0].as_slice() {
            b"CONF" => {
                let reads = |word: &Vec<u8>| word.starts_with(import::READS_RDB.as_bytes());
                if words.iter().any(reads) {
                    self.form = Form::Rdb;
                }
                self.tell_dest(import::Input::Line(Channel::Main, b"+OK"));
            }
            b"SYNC" => {
                assert_eq!(words[2..], [b"5", b"7", b"9", b"9"].map(|w| w.to_vec()));
                if self.source.may_export(id(1)) {
                    self.tell_source(export::Input::Replaced);
                    self.source.begin_export(
                        self.now,
                        self.now,
                        task(Operation::Migrate),
                        self.form,
                    );
                } else {
                    self.tell_dest(import::Input::Line(Channel::Main, b"-NOTREADY busy"));
                }
            }
            b"RDBCHANNEL" => self.tell_source(export::Input::RdbChannel),
            b"ACK" => {
                let applied: u64 = std::str::from_utf8(&words[2]).unwrap().parse().unwrap();
                let sent = self.sent;
                self.tell_source(export::Input::Ack {
                    state: &words[1],
                    applied,
                    sent,
                });
            }
            other => panic!("{other:?}"),
        }
    }

    fn source_act(&mut self, act: Act) {
        match act {
            Act::Reply(channel, line) => {
                let line = format!("+{line}");
                self.tell_dest(import::Input::Line(channel, line.as_bytes()));
            }
            Act::Snapshot(_, form) => {
                assert_eq!(form, self.form);
                self.snapshot = true;
                self.sent = 0;
                self.applied = 0;
            }
            Act::Stop => self.snapshot = false,
            Act::Pause(..) => self.paused = true,
            Act::Resume => self.paused = false,
            Act::EndStream => self.stream_ended = true,
            Act::Trim(_) => self.trimmed_at_source += 1,
            Act::Close(_) | Act::Tell(_) => {}
            Act::Log(_, text) => self.logs.push(text),
            other => panic!("{other:?} is no act of a source"),
        }
    }

    fn tick(&mut self, ms: u64) {
        self.now += ms;
        self.tell_dest(import::Input::Tick);
        self.tell_source(export::Input::Tick);
        self.settle();
    }

    fn write(&mut self, bytes: u64) {
        assert!(!self.paused);
        self.sent += bytes;
    }

    /// All keys and all bytes of the stream reach the destination.
    fn deliver(&mut self) {
        self.tell_source(export::Input::SnapshotWritten(Ok(())));
        self.tell_dest(import::Input::SnapshotEnd);
        self.settle();
        self.apply();
    }

    fn apply(&mut self) {
        self.applied = self.sent;
        self.tell_dest(import::Input::Applied(self.sent, false));
        self.settle();
    }

    fn end(&mut self) {
        assert!(self.stream_ended);
        self.tell_dest(import::Input::StreamEnd);
        self.settle();
    }

    fn states(&self) -> (&'static str, &'static str) {
        let state = |side: &Migrations| side.tasks().next().map_or("-", |task| task.state);
        (state(&self.dest), state(&self.source))
    }
}

#[test]
fn slots_change_hands_when_every_write_is_there() {
    let mut pair = Pair::new();
    pair.settle();
    assert_eq!(pair.states(), ("accumulate-buffer", "send-bulk-and-stream"));
    pair.write(300);
    pair.deliver();
    assert_eq!(pair.states(), ("wait-stream-eof", "stream-eof"));
    assert!(pair.paused && !pair.claimed);
    pair.end();
    assert!(pair.claimed && !pair.paused);
    assert_eq!(pair.states(), ("completed", "completed"));
    assert_eq!((pair.trimmed_at_dest, pair.trimmed_at_source), (0, 1));
    assert!(!pair.dest.is_busy() && !pair.source.is_busy());
    let task = pair.source.tasks().next().expect("it is remembered");
    assert_eq!(task.slots_text(), "5-7 9-9");
    assert!(task.ended.is_some() && task.last_error.is_empty());
}

#[test]
fn keys_travel_as_tables_where_the_destination_says_that_it_takes_them() {
    let mut pair = Pair::whose_destination_reads(Some(15));
    pair.settle();
    assert_eq!(pair.states(), ("accumulate-buffer", "send-bulk-and-stream"));
    assert!(pair.loads && pair.snapshot);
    pair.write(300);
    pair.deliver();
    pair.end();
    assert_eq!(pair.states(), ("completed", "completed"));
    let mut pair = Pair::new();
    pair.settle();
    assert!(pair.snapshot && !pair.loads);
    assert_eq!(Form::for_reader_of(None, 15), Form::Commands);
    assert_eq!(Form::for_reader_of(Some(14), 15), Form::Commands);
    assert_eq!(Form::for_reader_of(Some(15), 15), Form::Rdb);
}

#[test]
fn tables_that_nobody_offered_to_take_are_refused() {
    let mut pair = Pair::new();
    pair.form = Form::Rdb;
    pair.settle();
    assert_eq!(pair.states().0, "failed");
    let task = pair.dest.tasks().next().expect("it is remembered");
    assert!(task.last_error.contains("SLOTSRDB"), "{}", task.last_error);
}

/// A snapshot that took longer than `repl-timeout` failed, because only replies counted as signs of life.
#[test]
fn keys_that_come_for_long_are_signs_of_life() {
    let mut pair = Pair::new();
    pair.settle();
    for _ in 0..300 {
        pair.now += 1000;
        pair.tell_dest(import::Input::Alive);
        pair.tick(100);
    }
    assert_eq!(pair.states(), ("accumulate-buffer", "send-bulk-and-stream"));
}

#[test]
fn writes_are_paused_only_when_the_destination_is_close_behind() {
    let mut pair = Pair::new();
    pair.settle();
    pair.write(5 << 20);
    pair.tell_source(export::Input::SnapshotWritten(Ok(())));
    pair.tell_dest(import::Input::SnapshotEnd);
    pair.settle();
    pair.tell_dest(import::Input::Applied(1 << 20, true));
    pair.settle();
    assert_eq!(pair.states(), ("streaming-buffer", "send-stream"));
    assert!(!pair.paused);
    // One megabyte may be left, but a part of a second is worth a shorter pause.
    pair.tell_dest(import::Input::Applied((4 << 20) + 5, true));
    pair.settle();
    assert!(!pair.paused);
    pair.tell_dest(import::Input::Applied((5 << 20) - 7, true));
    pair.settle();
    assert!(pair.paused);
}

#[test]
fn a_destination_that_stays_a_little_behind_is_not_waited_for_long() {
    let mut pair = Pair::new();
    pair.settle();
    pair.write(5 << 20);
    pair.tell_source(export::Input::SnapshotWritten(Ok(())));
    pair.tell_dest(import::Input::SnapshotEnd);
    pair.tell_dest(import::Input::Applied((4 << 20) + 5, true));
    pair.settle();
    pair.tick(499);
    assert!(!pair.paused);
    pair.tick(1);
    assert!(pair.paused);
}

#[test]
fn a_lost_connection_is_no_lost_key() {
    for channel in [Channel::Main, Channel::Rdb] {
        let mut pair = Pair::new();
        pair.settle();
        pair.write(10);
        pair.tell_dest(import::Input::Down(channel, "reset by peer"));
        pair.tell_source(export::Input::Lost(channel, "reset by peer"));
        pair.settle();
        assert_eq!(pair.states(), ("failed", "failed"));
        assert_eq!((pair.trimmed_at_dest, pair.trimmed_at_source), (1, 0));
        assert!(!pair.snapshot);
        // A second later it begins anew, under its old name, and succeeds.
        pair.tick(1000);
        assert_eq!(pair.states(), ("accumulate-buffer", "send-bulk-and-stream"));
        assert_eq!(pair.dest.tasks().next().map(|task| task.retries), Some(1));
        pair.deliver();
        pair.end();
        assert_eq!(pair.states(), ("completed", "completed"));
        assert_eq!(pair.source.tasks().count(), 1);
    }
}

#[test]
fn a_claim_that_does_not_come_lets_writes_go_on() {
    let mut pair = Pair::new();
    pair.settle();
    pair.deliver();
    assert!(pair.paused);
    pair.now += 10_000;
    pair.tell_source(export::Input::Tick);
    let acts = pair.source.take_acts();
    assert!(acts.contains(&Act::Resume) && acts.contains(&Act::Close(Channel::Main)));
    assert!(!acts.iter().any(|act| matches!(act, Act::Trim(_))));
    let task = pair.source.tasks().next().expect("kept");
    assert_eq!((task.state, task.write_pause_ms), ("failed", 10_000));
}

#[test]
fn a_source_that_is_busy_is_asked_again() {
    let mut pair = Pair::new();
    let other = Task::new(
        id(9),
        SlotSet::from_iter([1]),
        id(2),
        id(8),
        Operation::Migrate,
    );
    let form = Form::Commands;
    pair.source.begin_export(1000, 1000, other, form);
    pair.source.take_acts();
    pair.settle();
    assert_eq!(pair.states(), ("send-syncslots", "wait-rdbchannel"));
    pair.source.cancel(1000, 1000, None, "user request");
    pair.tick(1000);
    assert_eq!(pair.states(), ("accumulate-buffer", "send-bulk-and-stream"));
}

#[test]
fn cancelling_at_the_destination_ends_it() {
    let mut pair = Pair::new();
    pair.settle();
    assert_eq!(pair.dest.cancel(1000, 1000, Some(b"x"), "user request"), 0);
    let name = id(1);
    assert_eq!(
        pair.dest
            .cancel(1000, 1000, Some(name.as_bytes()), "user request"),
        1
    );
    pair.tell_source(export::Input::Lost(Channel::Main, "connection lost"));
    pair.settle();
    assert_eq!(pair.states(), ("canceled", "failed"));
    assert_eq!((pair.trimmed_at_dest, pair.trimmed_at_source), (1, 0));
    pair.tick(5000);
    assert_eq!(pair.states(), ("canceled", "failed"));
}

#[test]
fn an_unexpected_word_fails_the_try() {
    for line in [b"-ERR no".as_slice(), b"+FULLRESYNC", b"$5", b"\xff\0"] {
        let mut pair = Pair::new();
        pair.tell_dest(import::Input::Up(Channel::Main));
        pair.tell_dest(import::Input::Line(Channel::Main, line));
        assert_eq!(pair.states().0, "failed");
    }
}

#[test]
fn a_silent_other_end_is_given_up() {
    let mut pair = Pair::new();
    pair.settle();
    pair.now += 60_001;
    pair.tell_source(export::Input::Tick);
    assert_eq!(pair.states().1, "failed");
    let mut pair = Pair::new();
    pair.dest.take_acts();
    pair.now += 60_001;
    pair.tell_dest(import::Input::Tick);
    assert_eq!(pair.states().0, "failed");
}

#[test]
fn ended_tasks_are_few() {
    let mut migrations = Migrations::default();
    for seed in 10..60 {
        let task = Task::new(
            id(seed),
            SlotSet::from_iter([1]),
            id(2),
            id(3),
            Operation::Import,
        );
        migrations.begin_import(1, 1, task);
        migrations.cancel(1, 1, None, "user request");
    }
    assert_eq!(migrations.tasks().count(), ARCHIVED);
    assert_eq!(migrations.tasks().next().map(|task| task.id), Some(id(59)));
}

#[test]
fn refusals_of_an_import_come_in_order() {
    let of = |owners: [u64; 3]| {
        move |slot: u16| {
            let owner = owners[usize::from(slot)];
            (owner > 0).then(|| id(owner))
        }
    };
    let slots = SlotSet::from_iter([0, 1, 2]);
    let refuse = |owners| refuse_import(&slots, id(1), of(owners));
    assert_eq!(refuse([2, 2, 2]), Ok(id(2)));
    assert_eq!(refuse([2, 0, 3]), Err("slot has no owner: 1".to_owned()));
    assert_eq!(
        refuse([2, 3, 0]),
        Err("slots belong to different source nodes".to_owned())
    );
    assert!(refuse([1, 1, 1]).unwrap_err().contains("already the owner"));
}
