//! Chapter 10. Full and partial resynchronisation.
//!
//! ```text
//!   replica                                   primary
//!   PSYNC ? -1             ──────────────►    unknown: full
//!                          ◄──────────────    +FULLRESYNC bed30eb9… 80      snapshot taken at position 80
//!                          ◄══════════════    the data set, then the stream from byte 81 on
//!   (the connection breaks at 192)
//!   PSYNC bed30eb9… 193    ──────────────►    same name, byte 193 still in the backlog: partial
//!                          ◄──────────────    +CONTINUE, then the stream from byte 193 on
//! ```
//!
//! # What Redis does
//!
//! The stream of effects has a name, the *replication ID* of 40 hex digits, and a position, the *offset*, its number of
//! bytes. `syncCommand()` (replication.c) answers PSYNC. `masterTryPartialResynchronization()` decides whether the
//! replica can go on from the backlog. If not, `startBgsaveForReplication()` forks a child that writes a file, or
//! writes to the replicas through a pipe. The replica's half is `syncWithMaster()`, a state machine on a socket, and
//! `readSyncBulkPayload()`.
//!
//! # What Oxidis does
//!
//! **Asking.** The replica's link is a value that holds no socket: its steps are
//! [`Step`](crate::replication::link::Step) (connect, PING, AUTH, REPLCONF, PSYNC, transfer, connected), and the
//! functions that move it are in [`replication::act::link`](crate::replication::act::link). The loop owns the socket
//! and tells it what came ([`link_received`](crate::replication::act::link::link_received)). `ask_for_stream` in
//! `replication/act/link.rs` sends the name and the number of the next byte, if the replica has followed this stream
//! before; otherwise `PSYNC ? -1`.
//!
//! **Deciding.** [`replica_asks`](crate::replication::act::primary::replica_asks) receives the request.
//! `can_continue` in `replication/act/primary.rs` says yes if both hold:
//!
//! 1. *The name fits.* It is our present name; or it is our former one, and the byte asked for is no later than where
//!    the two streams part (`second_offset`).
//! 2. *The bytes are there.* The [`Backlog`](crate::replication::backlog::Backlog) still covers the position
//!    ([`covers`](crate::replication::backlog::Backlog::covers)); it keeps `repl-backlog-size` bytes, and more while a
//!    replica still needs them.
//!
//! Then the replica is a position in the backlog and nothing else; `+CONTINUE` carries our name, for replicas that
//! understand it.
//!
//! **Full.** Otherwise `arrange_full_sync` in `replication/act/full_sync.rs` lets the replica join a save that is being
//! written to a file for others, or begins one, or waits (`repl-diskless-sync-delay`) so that several share one. The
//! position is read and the snapshot is taken in one turn by one thread, so between the two lies nothing: that is the
//! invariant of [`replication`](crate::replication). `start_full_sync` in `replication/act/full_sync.rs` sends the
//! bytes to sockets (from the thread through a channel of pieces, at the pace of the slowest replica) or to a file
//! first. Writes that come meanwhile gather in the backlog, and are sent when the replica has loaded the data.
//!
//! **Two connections.** A replica that says `capa rdb-channel-repl` (`repl-rdb-channel yes`, the default) is answered
//! `+RDBCHANNELSYNC` if the save goes to sockets. It opens a second connection for the data set, and the first one carries
//! the stream meanwhile, which the replica keeps until the data set is loaded
//! ([`replication::channel`](crate::replication::channel)). So the primary's backlog need not grow.
//!
//! **Receiving.** [`Transfer`](crate::replication::transfer::Transfer) is the data set on its way: to a temporary file
//! that a thread forces to disk, or straight into memory (`repl-diskless-load`). It is loaded slice by slice between
//! turns of the loop, while clients are served or told `LOADING`. With `repl-diskless-load` no reader waits for bytes:
//! an item that is not whole yet is tried again from its beginning (`docs/decisions/data-sets-in-pieces.md`).
//!
//! **Following.** From then on the primary is a client. Its bytes are appended to the replica's own stream as they came
//! ([`primary_applied`](crate::replication::act::link::primary_applied)), so that a replica of the replica, and whoever
//! follows it after a failover, has the same positions. Once a second the replica tells how far it is
//! ([`send_ack`](crate::replication::act::link::send_ack)).
//!
//! **Promotion.** REPLICAOF NO ONE gives the stream a new name and keeps the old one with the position up to which both
//! are the same (`shift_id` in `replication/act/link.rs`). So the former siblings of the new primary go on with a
//! partial resynchronisation. A restart does not lose them: name and position stand in the RDB file; a replica goes on
//! with them, and for a primary the name becomes the former one
//! ([`resume_stream`](crate::replication::act::resume::resume_stream)).
//!
//! # What the difference buys
//!
//! There is no child and no pipe of the system: the pause at the beginning of a full synchronisation is that of a
//! snapshot, under 1 µs instead of 56 ms (README, 5 million keys). Loading 5 million keys takes 3.9 s instead of 5.7 s.
//! A replica's CPU time for a million keys of 100 bytes is 1.6 to 1.9 s straight from the connection, and 1.75 to 1.85
//! s through a file (`docs/decisions/data-sets-in-pieces.md`).
//!
//! # Try it
//!
//! A second server, in a directory of its own:
//!
//! ```text
//! $ redis-cli -p 7777 CONFIG SET repl-diskless-sync-delay 0
//! OK
//! $ mkdir -p /tmp/replica; cargo run --release -- --port 7778 --save '' --dir /tmp/replica --replicaof 127.0.0.1 7777
//! ```
//!
//! Then break the connection, and see the replica come back:
//!
//! ```text
//! $ redis-cli -p 7777 INFO stats | grep sync_
//! sync_full:1
//! sync_partial_ok:0
//! sync_partial_err:0
//! $ redis-cli -p 7777 CLIENT KILL TYPE replica
//! (integer) 1
//! $ sleep 3; redis-cli -p 7777 INFO stats | grep sync_
//! sync_full:1
//! sync_partial_ok:1
//! sync_partial_err:0
//! ```
//!
//! Promote it, and look at both names: `master_replid2` is the name that port 7777 still has, and
//! `second_repl_offset` is one more than `master_repl_offset`:
//!
//! ```text
//! $ redis-cli -p 7778 REPLICAOF NO ONE
//! OK
//! $ redis-cli -p 7778 INFO replication | egrep 'replid|offset'
//! ```
