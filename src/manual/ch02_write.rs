//! Chapter 2. A write: `INCR n`, from the socket to the append-only file and the replica.
//!
//! ```text
//!   call(INCR n)                                  before the loop sleeps
//!     effects.enter                                 serve_replicas   backlog ─► the replicas' output
//!     handler: n = 42, ctx.modified                 flush            AOF buffer ─► file (─► fsync)
//!     effects.say(INCR n)                           serve_ack_waits  WAIT, WAITAOF
//!     effects.leave ─► after_unit                   write_client     reply ─► client, stream ─► replica
//!           ├─► append::feed    AOF buffer
//!           └─► feed_replicas   backlog
//! ```
//!
//! # What Redis does
//!
//! `incrCommand()` (t_string.c) changes the value and raises `server.dirty`. `call()` (server.c) compares `dirty`
//! before and after: if it rose, the command goes to `alsoPropagate()`. When the unit is over,
//! `propagatePendingCommands()` hands all that gathered to `propagateNow()`, which calls `feedAppendOnlyFile()` (aof.c)
//! and `replicationFeedSlaves()` (replication.c). Both only append to buffers in memory. `beforeSleep()` calls
//! `flushAppendOnlyFile()` before it sends a reply, so a client that reads the reply knows that the write has been
//! handed to the kernel (unless a slow fsync holds the write up, see below); with `appendfsync always` that it is on
//! the disk.
//!
//! # What Oxidis does
//!
//! **The handler** is `increment` in `commands/string/number.rs`. Its four beats are those of every handler:
//! read the arguments, look, change, answer. The change is one call,
//! [`StringMut::set_integer`](crate::keyspace::StringMut::set_integer), and after it comes
//! [`Ctx::modified`](crate::dispatch::Ctx::modified), the one call after a write:
//!
//! - `state.dirty` rises by one; save points count it;
//! - [`touched`](crate::keyspace::act::notify::touched) makes the EXEC of those who WATCH the key fail (chapter
//!   [8](super::ch08_transactions)), tells clients that cache it, and marks it for blocked clients (chapter
//!   [7](super::ch07_blocked));
//! - [`notify`](crate::keyspace::act::notify::notify) publishes the keyspace event, if somebody asked for its class.
//!
//! **The effect.** Back in [`call`](fn@crate::dispatch::call), `dirty` has risen, so the request is appended to
//! [`Effects`](crate::command::Effects), the one stream of what changed. A handler can leave another effect than the
//! request, with [`Ctx::rewrite`](crate::dispatch::Ctx::rewrite) or [`Ctx::also`](crate::dispatch::Ctx::also).
//! Replaying an effect must give the same data at any time and on any machine, so a relative deadline becomes an
//! absolute one and a random choice becomes what was chosen:
//!
//! | request | effect |
//! |---|---|
//! | `INCR n` | `INCR n` |
//! | `SET s v EX 100` | `SET s v PXAT 1796023945422` |
//! | `SPOP z`, which took `b` | `SREM z b` |
//! | `INCR n`, whose key had expired | `MULTI`, `DEL n`, `INCR n`, `EXEC` |
//!
//! If neither an append-only file nor a replica is there, nobody listens, and nothing is gathered at all.
//!
//! **The unit.** [`call`](fn@crate::dispatch::call) is entered again by EXEC and by scripts, and counts how deep it is.
//! When the outermost call leaves, [`after_unit`](crate::command::act::after_unit) takes what gathered; several effects
//! are put between MULTI and EXEC ([`take_unit`](crate::command::Effects::take_unit)), so that they are replayed
//! together or not at all. [`feed_unit`](crate::command::act::feed_unit) is the one place where effects reach their
//! readers. Two are always the same:
//!
//! - [`persistence::act::append::feed`](crate::persistence::act::append::feed) encodes them into the buffer of the AOF,
//!   with a SELECT before them when the database is another one than before;
//! - [`feed_replicas`](crate::replication::act::stream::feed_replicas) encodes them once into the
//!   [`Backlog`](crate::replication::backlog::Backlog), whatever the number of replicas. A replica is a position in it.
//!
//! In a cluster, a node that takes slots over is a third reader while the slots move, and the figures of
//! CLUSTER SLOT-STATS count the bytes.
//!
//! **The order before the sleep** is set by `before_sleep` in `server/event_loop.rs`, and by
//! [`turn::before_sleep`](crate::server::turn::before_sleep) for all that needs no socket:
//!
//! 1. [`serve_replicas`](crate::replication::act::primary::serve_replicas) moves bytes of the backlog into the output
//!    of each replica that has room for them.
//! 2. [`append::flush`](crate::persistence::act::append::flush) writes the buffer of the AOF to the file and sees to
//!    the fsync: at once on this thread with `always`, once a second on a helper thread with `everysec`, never with
//!    `no`.
//! 3. If the append-only file with `appendfsync always` could not be written, the server exits now. No reply leaves that
//!    would promise a write which is lost.
//! 4. Replies and the stream of the replicas are sent.
//!
//! So a reply leaves after the write to the file. There is one exception, and Redis has it, too: with `everysec`, while
//! an fsync is still under way, the write is postponed for at most two seconds, and replies do not wait for it.
//!
//! **On the replica** the bytes arrive like those of any client, whose flag is `PRIMARY`: its requests run without
//! being judged by most of the gate, and nobody reads its replies. When a request has run,
//! [`primary_applied`](crate::replication::act::link::primary_applied) counts its bytes and appends the same bytes to
//! the replica's own backlog, for replicas of its own.
//!
//! # What the difference buys
//!
//! There is one stream with one format, fed at one place, so that the file and the replicas cannot disagree; a test
//! sends random commands and compares the data set with that of a replica and of the file replayed
//! (`tests/it/effects.rs`). The CPU time per INCR as a ratio to Redis 7.0.15, from README, is 0.92 without pipelining,
//! 0.59 with sixteen requests in a pipeline, 0.51 with 64. The order of the steps that make a file safe, and what a
//! power cut leaves of each, is `docs/decisions/order-of-writes.md`.
//!
//! # Try it
//!
//! ```text
//! 127.0.0.1:7777> CONFIG SET appendonly yes
//! OK
//! 127.0.0.1:7777> SET n 41
//! OK
//! 127.0.0.1:7777> INCR n
//! (integer) 42
//! 127.0.0.1:7777> SET s v EX 100
//! OK
//! ```
//!
//! Then look at the increment in the server's directory:
//!
//! ```text
//! $ tr -d '\r' < appendonlydir/appendonly.aof.1.incr.aof | paste -sd' '
//! *2 $6 SELECT $1 0 *3 $3 SET $1 n $2 41 *2 $4 INCR $1 n *5 $3 SET $1 s $1 v $4 PXAT $13 1796023945422
//! ```
//!
//! The seconds became a moment. The number of seconds would begin to run anew whenever the file is loaded.
