//! Chapter 13. A failover by sentinels.
//!
//! ```text
//!   A: no PONG for down-after ──► +sdown        A alone believes that the primary is down
//!   A asks B and C, B says so too ──► +odown    a quorum believes it
//!   A: epoch 7, asks for votes ──► B votes      A is the leader of epoch 7, and of no other
//!   A: SLAVEOF NO ONE to the best replica, INFO says role:master
//!   A: hellos with the new address and epoch 7 ──► B, C: +switch-master
//! ```
//!
//! # What Redis does
//!
//! `sentinel.c` is one file and one timer. Ten times a second `sentinelHandleRedisInstance()` visits each primary, replica
//! and sentinel: it reconnects, sends PING, INFO and hellos, judges who is down, and takes a failover one stage on.
//! Replies come by callbacks of hiredis. Sentinels find each other by messages on the channel `__sentinel__:hello` of the
//! servers they watch. The configuration file is the memory: it is rewritten and forced to disk by the same thread, also
//! before each vote.
//!
//! # What Oxidis does
//!
//! **A machine.** [`Sentinel`](crate::sentinel::Sentinel) is a value. [`step`](crate::sentinel::Sentinel::step) takes one
//! event (a tick, a reply, a connection that came or went, a file that was saved) and appends what is to be done (dial,
//! send, save, publish, run a script). [`sentinel::act`](crate::sentinel::act) does it with the sockets and threads that
//! the cluster uses, too. So hundreds of fleets run in one test (`tests/sim/sentinel.rs`), with wires that stall and disks
//! that forget.
//!
//! **Down.** `looks_down` in `sentinel/down.rs` judges one instance by its PONGs; `ask_others` in `sentinel/down.rs` asks
//! the other sentinels, and `check_o_down` in `sentinel/down.rs` counts them.
//!
//! **Votes.** `vote` in `sentinel/vote.rs` gives one vote per epoch, to the first that asks. The answer waits until the
//! file that remembers the vote is on disk; a vote that cannot be saved is not given. A leader needs more than half of
//! all sentinels it knows, whatever the quorum is: two leaders of one epoch cannot be.
//!
//! **The failover.** [`Stage`](crate::sentinel::Stage) names its stages, `go_on` in `sentinel/failover.rs` goes
//! through them. `best_replica` in `sentinel/failover.rs` chooses: priority, then position in the stream, then the smaller
//! name; why each other was not chosen is in the log. Behind the promotion INFO is asked for at once, where Redis waits
//! for its next turn of ten seconds, shortened to one.
//!
//! **The news.** [`Hello`](crate::sentinel::hello::Hello) is the message. A hello with a higher config epoch makes a sentinel
//! switch (`adopt_config` in `sentinel/discovery.rs`). `good_moment` in `sentinel/failover.rs` tells the story of real
//! sentinels that fail over twice when they hear of a promotion too soon.
//!
//! **Mending.** Whoever follows the wrong primary, or is a second one, is told otherwise (`sentinel/heal.rs`), after a
//! while, in case the news are only late.
//!
//! # What the difference buys
//!
//! All three sentinels tell the new address 1.4 s after `kill -9` with `down-after-milliseconds 1000`; those of Redis after
//! 2.3 s (`cargo bench --bench sentinel`). A disk that takes a second, or a name server that does not answer, delays a vote
//! and not the PINGs.
//!
//! # Try it
//!
//! `docs/SENTINEL.md` starts three sentinels in three commands. Then, in two windows:
//!
//! ```text
//! $ redis-cli -p 26379 PSUBSCRIBE '*'
//! $ redis-cli -p 26380 SENTINEL FAILOVER mymaster
//! OK
//! ```
//!
//! The first window shows the stages as they pass: `+failover-state-select-slave`, `+selected-slave`, `+promoted-slave`,
//! `+switch-master`. The file of each sentinel has the new primary by then:
//!
//! ```text
//! $ grep -E 'monitor|epoch' sentinel-26379.conf
//! ```
