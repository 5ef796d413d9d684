//! Chapter 6. Expiry and eviction: death by time, and death by a lack of memory.
//!
//! ```text
//!   expiry     a lookup meets a dead key ─► hidden, noted ─► reap_expired ─► deleted, counted, propagated as DEL
//!              the cycle walks the table ─► expire_some ─────────────────────► the same
//!
//!   eviction   memory over maxmemory ─► samples ─► pool of 16 ─► the best candidate is deleted, propagated as DEL
//! ```
//!
//! # Expiry
//!
//! ## What Redis does
//!
//! A lookup calls `expireIfNeeded()` (db.c), which deletes a key whose deadline has passed. Keys that nobody looks up
//! are found by `activeExpireCycle()` (expire.c), which samples twenty keys of the dict of deadlines at a time and goes
//! on while more than a tenth of them were dead. The slow cycle runs in `databasesCron()`, the fast one in
//! `beforeSleep()`. A replica deletes nothing by itself; it waits for the DEL of its primary.
//!
//! ## What Oxidis does
//!
//! A lookup only *hides* a dead key and notes its name in [`Env`](crate::keyspace::Env). The deletion has to be
//! propagated and published, and that is no business of a data structure. So
//! [`reap_expired`](crate::keyspace::act::expire::reap_expired) deletes what was noted as soon as the lookup's borrow
//! is over, and before the command's own effect is propagated: a replica reads `DEL k` before the `INCR k` that found
//! it dead.
//!
//! The cycle has two paces, and its budget is decided in one function,
//! [`ExpireCycle::begin`](crate::keyspace::ExpireCycle::begin), with Redis's constants:
//!
//! | | slow | fast |
//! |---|---|---|
//! | when | each turn of the cron, `hz` times a second | before the loop sleeps |
//! | time | 25 % of a turn (25 ms with `hz 10`), 2 % more for each step of `active-expire-effort` | 1 ms, 0.25 ms more for each step |
//! | condition | none | only if the last call ran out of time, or the mean share of dead keys among those looked at is 10 % or more; at most once in 2 ms |
//! | databases | 16 with deadlines, all of them after a call that ran out of time | the same |
//!
//! The share of 10 % falls by 1 for each step of effort. A visit to a database also ends after 10,000 keys (`ENOUGH` in
//! `keyspace/expire.rs`). The propagated word is UNLINK instead of DEL with `lazyfree-lazy-expire`.
//!
//! [`expire_some`](crate::keyspace::act::expire::expire_some) does the work, and `server/turn.rs` calls it at both
//! places. It does not sample. Segments and blocks of the table keep a lower bound of their deadlines, so
//! [`Db::expire_cycle`](crate::keyspace::Db::expire_cycle) passes over those in which nothing is due, unread. On a
//! replica, and while writes are paused, keys are hidden and stay
//! ([`may_expire`](crate::keyspace::act::expire::may_expire)).
//!
//! # Eviction
//!
//! ## What Redis does
//!
//! `performEvictions()` (evict.c) runs before each command while memory is over `maxmemory`. No order of all keys is
//! kept: `evictionPoolPopulate()` samples `maxmemory-samples` keys, and a pool of sixteen candidates remembers the best
//! seen so far. An access clock of 24 bits in each object tells the idle time or the frequency.
//!
//! ## What Oxidis does
//!
//! The gate asks [`evict_keys`](crate::keyspace::act::evict::evict_keys) before each command while `maxmemory` is set.
//! [`Chooser`](crate::keyspace::evict::Chooser) has the pool: five samples (`maxmemory-samples`) of each database
//! are scored and kept in ascending order, and the last one goes. A candidate that is gone by then is skipped. The
//! clocks are Redis's ([`keyspace::env`](crate::keyspace::env)):
//!
//! ```text
//!   LRU   [ unix time in seconds, lowest 24 bits ]
//!   LFU   [ 16 bits: unix time in minutes ][ 8 bits: logarithmic counter ]
//! ```
//!
//! Each deletion is a unit of its own for the file and the replicas. After every sixteen evictions the function looks
//! at the clock: with `maxmemory-eviction-tenacity 10` it stops after 0.5 ms and goes on in the next turns of the loop,
//! between requests ([`go_on_evicting`](crate::keyspace::act::evict::go_on_evicting)). If there is nothing left to
//! evict, commands with the flag `DenyOom` are refused.
//!
//! Not everything counts: [`not_counted_for_evict`](crate::keyspace::act::evict::not_counted_for_evict) leaves out what
//! an eviction makes longer (output for replicas, the buffer of the AOF) and what only a snapshot holds. Garbage that
//! the lazy-free thread has not dropped yet counts as freed.
//!
//! # What the difference buys
//!
//! The walk knows where deadlines are due: a small database is cleaned exactly, and a large one costs nothing while
//! nothing in it is due. A deadline costs eight bytes in the entry and no second table: README has 0.41 of Redis's
//! `used_memory` for 3-byte values with a deadline.
//!
//! # Try it
//!
//! ```text
//! 127.0.0.1:7777> DEBUG SET-ACTIVE-EXPIRE 0
//! OK
//! 127.0.0.1:7777> FLUSHALL
//! OK
//! 127.0.0.1:7777> SET t v PX 50
//! OK
//! 127.0.0.1:7777> DBSIZE
//! (integer) 1
//! 127.0.0.1:7777> GET t
//! (nil)
//! 127.0.0.1:7777> DBSIZE
//! (integer) 0
//! 127.0.0.1:7777> DEBUG SET-ACTIVE-EXPIRE 1
//! OK
//! ```
//!
//! The key was dead and still counted until somebody looked for it. With the cycle on, `DBSIZE` falls by itself, and
//! `INFO stats` counts the key under `expired_keys_active`. Now memory:
//!
//! ```text
//! 127.0.0.1:7777> CONFIG SET maxmemory 20mb maxmemory-policy noeviction
//! OK
//! 127.0.0.1:7777> DEBUG POPULATE 200000 e 100
//! OK
//! 127.0.0.1:7777> SET a b
//! (error) OOM command not allowed when used memory > 'maxmemory'.
//! 127.0.0.1:7777> CONFIG SET maxmemory-policy allkeys-lru
//! OK
//! 127.0.0.1:7777> SET a b
//! OK
//! ```
//!
//! `INFO stats` has `evicted_keys`. Set `maxmemory 0` afterwards.
