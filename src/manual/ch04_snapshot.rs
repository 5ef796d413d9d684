//! Chapter 4. A snapshot: a consistent file while writes go on, without `fork()`.
//!
//! ```text
//!   BGSAVE     live ──┬─► block A ─► …          both roots name the same blocks; each block has two owners
//!              snap ──┘
//!
//!   SET k …    live ────► block A' ─► …         the writer copies the block, the segment and the entry on its way,
//!              snap ────► block A  ─► …         once; all other nodes stay shared
//! ```
//!
//! # What Redis does
//!
//! `rdbSaveBackground()` (rdb.c) calls `redisFork()` (server.c). The child has the memory of that moment, because the
//! kernel shares all pages between the two and copies one when either writes to it. The child writes the file with
//! `rdbSave()` and exits; `backgroundSaveDoneHandler()` notes the end. Two costs follow. `fork()` itself copies the
//! page tables, and the parent stands still meanwhile. And a write of three bytes copies a page of 4 KiB.
//!
//! # What Oxidis does
//!
//! Everything large is a tree of counted nodes ([`collections::shared`](crate::collections::shared)). A node with one
//! owner is written in place; a node with two owners is copied first. That one rule is
//! [`Shared::make_mut`](crate::collections::shared::Shared::make_mut), and it replaces `fork()`.
//!
//! **Taking it.** [`Keyspace::snapshot`](crate::keyspace::Keyspace::snapshot) clones the table of each database. A
//! clone of a table copies the words of its top and raises the counts of the blocks that they name; nothing below is
//! touched. So it takes microseconds, with ten keys or with ten million.
//!
//! **Writing the file.** [`run_save`](crate::persistence::act::saving::run_save) takes the snapshot and hands it to a
//! thread named `bgsave`. The thread calls [`write_rdb`](crate::persistence::files::write_rdb): a temporary file,
//! fsync, rename, fsync of the directory. [`rdb::save::save`](crate::persistence::rdb::save::save) walks the snapshot
//! with [`consume_db`](crate::keyspace::Snapshot::consume_db), which gives each block of a database up as soon as it is
//! written, if the database has changed since: from then on the live side need not copy that block any more.
//!
//! **Meanwhile.** A table and its snapshots hold one counted token, the *family*. The live table asks one question on its
//! way down to a write: is the token shared? While no snapshot is out, the answer is no, and it looks at no counts. While one is out, it copies the block (2 KiB at most),
//! the segment and the entry that it is about to write, if they are shared, and each of them once. Large values are
//! made of such nodes, too (the B+trees of lists, sorted sets and streams, the tables of sets and hashes): one HSET
//! into a hash of a million fields copies one path, not the hash.
//!
//! Reads must leave nodes clean. While a snapshot is out, lookups move no access clock
//! ([`Env::live_snapshots`](crate::keyspace::Env::live_snapshots)).
//!
//! **The end.** The thread leaves its result in the [`Mailbox`](crate::background::Mailbox), as a closure that the loop
//! runs between two commands: `save_done` in `persistence/act/saving.rs`. The thread also drops what is left of the
//! snapshot, so that freeing it costs the loop nothing. Cancelling a save is a flag,
//! [`Job::cancel`](crate::background::Job::cancel).
//!
//! **Three writers, one snapshot.** BGSAVE, the rewrite of the append-only file
//! ([`persistence::act::rewrite`](crate::persistence::act::rewrite)) and the full synchronisation of replicas
//! ([`replication::act::full_sync`](crate::replication::act::full_sync), chapter [10](super::ch10_resync)) differ only
//! in what is made of it: `dump.rdb`; a base for the append-only file, as RDB or as commands; bytes for a file or for
//! sockets.
//!
//! # What the difference buys
//!
//! From README: saving 5 million keys of 100 bytes, under 20,000 random writes a second.
//!
//! | | Oxidis | Redis |
//! |---|---|---|
//! | the pause that begins it | under 1 µs | 56 ms |
//! | the slowest GET meanwhile | 9.0 ms | 45.6 ms |
//! | further memory | 5.2 % | 75.0 % |
//! | duration | 3.1 s | 10.6 s |
//!
//! The price is paid by writes: while a snapshot is out, a write takes 0.2 µs more in the median and 2.5 µs in all at
//! the 99th percentile (header of [`collections::table`](crate::collections::table)). And there is a price for
//! `maxmemory`: deleting a key frees nothing while a snapshot holds it, so such memory is not counted
//! (`docs/decisions/eviction-under-a-snapshot.md`).
//!
//! # Try it
//!
//! ```text
//! 127.0.0.1:7777> DEBUG POPULATE 1000000 key 100
//! OK
//! 127.0.0.1:7777> BGSAVE
//! Background saving started
//! 127.0.0.1:7777> SET during 1
//! OK
//! ```
//!
//! Ask for the figures while it runs and once it is over:
//!
//! ```text
//! $ redis-cli -p 7777 INFO | egrep 'latest_fork_usec|current_cow_size:|rdb_bgsave_in_progress|rdb_last_bgsave_status'
//! ```
//!
//! `latest_fork_usec` keeps Redis's name and tells how long taking the snapshot took: usually a figure of one or two
//! digits. `current_cow_size` tells how many bytes were copied because of it, some kilobytes for one write; the cron
//! measures it, and it is 0 again when the save is over. `ps` shows no second process.
//!
//! # Read on
//!
//! [`crate::keyspace::snapshot`], then the top of [`crate::collections::table`], invariants 1 and 2.
