//! Chapter 14. A cluster.
//!
//! ```text
//!   SET foo 1 ──► node 0    slot 12182 is node 2's ──► -MOVED 12182 10.0.0.3:6379
//!
//!   node 0 ◀── bus, port + 10000 ──▶ node 1        PING: who I am, my slots, my epoch, three others I know
//!      ▲                                ▲          PONG: the same
//!      └───────────▶ node 2 ◀───────────┘          FAIL, votes, UPDATE, PUBLISH
//! ```
//!
//! # What Redis does
//!
//! A key belongs to one of 16384 slots (CRC16 of the key, or of the part in braces), a slot to one primary. `cluster.c`
//! routes requests (`getNodeByQuery()`); `cluster_legacy.c` has the bus. Each node tells all others of its slots, with
//! an *epoch*: of two claims of a slot the one with the higher epoch holds. A node that does not answer for
//! `cluster-node-timeout` is suspected (`PFAIL`), and failed (`FAIL`) when most primaries suspect it. Then its replica asks the
//! primaries for votes in a new epoch, and with a majority takes the slots.
//!
//! # What Oxidis does
//!
//! **Routing.** [`route_request`](crate::cluster::act::route::route_request) finds the slot of all keys of a request;
//! [`decide`](crate::cluster::decide::decide), a pure function, says whether it is served here or who serves it.
//!
//! **The machine.** [`Machine`](crate::cluster::machine::Machine) is what a node knows and decides: its
//! [`step`](crate::cluster::machine::Machine::step) takes a message, a tick or a saved file, and returns acts. It has no
//! socket, clock or file. [`carry`](crate::cluster::act::carry) does the acts. `tests/sim/cluster` runs three to three
//! hundred of them on one seed, breaks what can break, and checks at every event that no two nodes hold a slot in one epoch.
//!
//! **Bytes.** [`decode`](crate::cluster::bus::decode()) reads a message with every length checked once;
//! [`Message::encode`](crate::cluster::bus::Message::encode) writes it. They are Redis's bytes, and real nodes of Redis
//! are members of the same cluster.
//!
//! **Promises.** A vote, an epoch and a claim leave only after they are on disk: `send_when_kept` in
//! `cluster/machine/out.rs` keeps such a message until the save is done. The disk holds back the bus, not the clients.
//!
//! **Failover.** `suspect` in `cluster/machine/cron.rs` and `fail_if_agreed` in `cluster/machine/detect.rs` give the
//! verdict; `tend_election` in `cluster/machine/election.rs` asks for votes, at once where Redis waits 500 to 1000 ms, and
//! again in a fresh epoch when votes were split.
//!
//! **Newcomers.** The two nodes that met introduce each other to the rest (`introduce` in `cluster/machine/gossip.rs`),
//! so that thirty nodes know each other in a second.
//!
//! **Slots move.** Key by key, with MIGRATE and ASK, as `redis-cli --cluster reshard` does it; or as a whole with CLUSTER
//! MIGRATION ([`cluster::migration`](crate::cluster::migration)), from a snapshot and the writes since then.
//!
//! # What the difference buys
//!
//! With a timeout of 1000 ms a write is taken again 1.2 s after `kill -9` of a primary, in Redis after 2.5 s
//! (`cargo bench --bench cluster`). And a bug of an election is a seed that can be played again.
//!
//! # Try it
//!
//! `docs/CLUSTER.md` starts three nodes in three commands. Then:
//!
//! ```text
//! $ redis-cli -p 7000 CLUSTER KEYSLOT foo
//! (integer) 12182
//! $ redis-cli -p 7000 SET foo 1
//! (error) MOVED 12182 127.0.0.1:7002
//! $ redis-cli -c -p 7000 SET foo 1
//! OK
//! $ redis-cli -p 7000 CLUSTER NODES
//! ```
