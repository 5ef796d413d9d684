//! Chapter 8. Transactions and WATCH.
//!
//! ```text
//!   client A   WATCH w ─ GET w ─ MULTI ─ SET w 2 (queued) ──────────────── EXEC ─► nil: somebody was faster
//!   client B                                        SET w 9 ─► touch ─► A is flagged DIRTY_CAS
//! ```
//!
//! # What Redis does
//!
//! MULTI sets a flag; `processCommand()` (server.c) then queues commands with `queueMultiCommand()` (multi.c) instead
//! of running them. `execCommand()` runs the queue. WATCH puts the client into a list under each key in
//! `db->watched_keys`. A command that changes a key calls `touchWatchedKey()`, which sets `CLIENT_DIRTY_CAS` on the
//! clients of that list; EXEC of a client with the flag answers null. A command that is refused while it is queued sets
//! `CLIENT_DIRTY_EXEC`, and EXEC answers `EXECABORT`.
//!
//! # What Oxidis does
//!
//! **Queueing.** `run_or_queue` in `dispatch/gate.rs` looks at the client's flag `MULTI`. The gate judges a command
//! when it is queued, so errors of name, arity and permission are told at once and spoil the transaction (`reject` in
//! `dispatch/gate.rs` sets `DIRTY_EXEC`). Commands with the flag `InsideMulti` (EXEC, DISCARD, MULTI, WATCH, QUIT,
//! RESET) run at once; MULTI and WATCH answer with an error then. The queue lies in
//! [`Transaction`](crate::clients::transaction::Transaction), with the flags of its commands summed up: EXEC itself is
//! judged by them ([`effective_flags`](crate::clients::transaction::Transaction::effective_flags)). A transaction with
//! one write is a write: if the server has become a read-only replica since, EXEC is refused.
//!
//! **EXEC** is a handler like others, `exec` in `commands/transaction.rs`:
//!
//! 1. A spoiled transaction (`DIRTY_EXEC`) answers `EXECABORT`.
//! 2. One whose watched keys changed (`DIRTY_CAS`), or died of time since, answers null.
//! 3. Otherwise each queued command is run by [`call`](fn@crate::dispatch::call), which is entered a second time, under
//!    EXEC. Permissions are asked for again; the user may have lost them.
//!
//! EXEC rolls back no command: a command that fails answers with its error, and the next one runs. This is Redis's promise:
//! all commands run, with nothing between them.
//!
//! No other client comes between them because there is one thread, and `call` returns only when all is done. Even blocked
//! clients that a queued LPUSH could serve wait for the end (chapter [7](super::ch07_blocked)), and the clock by which
//! deadlines are judged stands still ([`Ctx::now_ms`](crate::dispatch::Ctx::now_ms)).
//!
//! **Effects.** The outermost `call` is EXEC's. When it leaves, the effects of all its commands are one unit, put
//! between MULTI and EXEC for the file and the replicas (chapter [2](super::ch02_write)). EXEC itself is not
//! propagated. A transaction of reads propagates nothing, one with a single effect needs no frame.
//!
//! **WATCH.** [`Watches`](crate::clients::transaction::Watches) has for each watched key the clients that watch it.
//! After each change of any key, [`touched`](crate::keyspace::act::notify::touched) asks whether anybody watches
//! anything; if so [`Watches::touch`](crate::clients::transaction::Watches::touch) looks the key up and sets
//! `DIRTY_CAS` on its watchers. A flagged client's watches are dropped at once: its next EXEC fails, unless UNWATCH or
//! DISCARD comes before.
//!
//! There are no versions and no copies of values. SET of the same value is a change; a client's own write between
//! WATCH and MULTI is a change, too.
//!
//! Time is the difficult part. A key that was *already* past its deadline when WATCH saw it counts as absent, and its
//! deletion is no change. A key that dies of time *after* WATCH is one, even if nobody has deleted it yet: EXEC asks
//! [`expired_since`](crate::clients::transaction::Watches::expired_since). FLUSHALL and SWAPDB touch the keys of whole
//! databases ([`touch_db`](crate::clients::transaction::Watches::touch_db)).
//!
//! # What the difference buys
//!
//! The lists are ordered by client, so that a client is found in one by halving: the time of WATCH, UNWATCH,
//! EXEC and of a change grows with the number of keys that a client watches, or of clients that watch a key, and not
//! with the square of that number. No figure of its
//! own is measured for transactions.
//!
//! # Try it
//!
//! One connection is enough, because its own write counts:
//!
//! ```text
//! 127.0.0.1:7777> SET w 1
//! OK
//! 127.0.0.1:7777> WATCH w
//! OK
//! 127.0.0.1:7777> SET w 2
//! OK
//! 127.0.0.1:7777> MULTI
//! OK
//! 127.0.0.1:7777(TX)> GET w
//! QUEUED
//! 127.0.0.1:7777(TX)> EXEC
//! (nil)
//! ```
//!
//! An error while queueing spoils everything; an error while running spoils nothing but itself:
//!
//! ```text
//! 127.0.0.1:7777> MULTI
//! OK
//! 127.0.0.1:7777(TX)> INCR
//! (error) ERR wrong number of arguments for 'incr' command
//! 127.0.0.1:7777(TX)> SET x 1
//! QUEUED
//! 127.0.0.1:7777(TX)> EXEC
//! (error) EXECABORT Transaction discarded because of previous errors.
//! 127.0.0.1:7777> SET str a
//! OK
//! 127.0.0.1:7777> MULTI
//! OK
//! 127.0.0.1:7777(TX)> INCR str
//! QUEUED
//! 127.0.0.1:7777(TX)> SET y 1
//! QUEUED
//! 127.0.0.1:7777(TX)> EXEC
//! 1) (error) ERR value is not an integer or out of range
//! 2) OK
//! ```
