//! The manual: a guided tour of how Redis works, told with this server.
//!
//! Each chapter takes about ten minutes and has the same parts: what Redis does and in which file, what Oxidis does and
//! where (the links lead to the code, and cannot rot: the documentation does not build with a dead one; where an item
//! is private its file is named, and a test looks for it there), what the difference buys, and something to try in
//! `redis-cli`. Chapters 1 and 2 come first; the others can be read in any order.
//!
//! | | chapter | the question it answers |
//! |---|---|---|
//! | 1 | [A request](ch01_request) | What happens between the bytes of `GET k` and the bytes of its reply? |
//! | 2 | [A write](ch02_write) | How does `INCR n` reach the append-only file and the replicas? |
//! | 3 | [The table](ch03_table) | Where do keys live, how does the table grow, and why does SCAN miss nothing? |
//! | 4 | [A snapshot](ch04_snapshot) | How is a consistent file written while writes go on, without `fork()`? |
//! | 5 | [Small encodings](ch05_encodings) | Why is a small hash a string of bytes, and when does it become a table? |
//! | 6 | [Expiry and eviction](ch06_expiry) | How do keys die of time, and of a lack of memory? |
//! | 7 | [Blocked clients](ch07_blocked) | Who waits in `BLPOP`, and who is served first? |
//! | 8 | [Transactions](ch08_transactions) | What does EXEC promise, and how does WATCH make it fail? |
//! | 9 | [Scripts](ch09_scripts) | How does Lua call a command, and how is a script stopped? |
//! | 10 | [Resynchronisation](ch10_resync) | How does a replica get the data, and when does it need only the end of the stream? |
//! | 11 | [Start and shutdown](ch11_start) | What happens before the first request and after SIGTERM? |
//! | 12 | [Adding a command](ch12_command) | What must be written so that a new command exists? |
//! | 13 | [Sentinels](ch13_sentinel) | How do watchers agree that a primary is down, and on one that replaces it? |
//! | 14 | [A cluster](ch14_cluster) | Who serves a slot, how do nodes agree on that, and what if one dies? |
//!
//! # Chapters still to be written
//!
//! - **Modules.** [`crate::modules`] has the tables, `docs/MODULES.md` is for operators, and
//!   [`crate::modules::native`] for programs that add commands and types.
//! - **Vector sets.** The type is [`crate::types::vset`] and `docs/decisions/vector-sets.md` says why it is so.
//!
//! # Before you try something
//!
//! The examples need a server that may lose its data. DEBUG is refused unless the configuration allows it:
//!
//! ```text
//! cargo run --release -- --port 7777 --save '' --dir "$(mktemp -d)" --enable-debug-command local
//! redis-cli -p 7777
//! ```
//!
//! # Where is …?
//!
//! | question | first look | then |
//! |---|---|---|
//! | Where is a request parsed? | [`Parser::parse`](crate::resp::request::Parser::parse) | chapter [1](ch01_request) |
//! | How does INCR reach the AOF? | [`feed_unit`](crate::command::act::feed_unit) | chapter [2](ch02_write) |
//! | What is the budget of the expire cycle? | [`ExpireCycle::begin`](crate::keyspace::ExpireCycle::begin) | chapter [6](ch06_expiry) |
//! | How does a snapshot start in microseconds? | [`Keyspace::snapshot`](crate::keyspace::Keyspace::snapshot) | chapter [4](ch04_snapshot) |
//! | When does a listpack become a quicklist? | [`List::grow_for`](crate::types::List::grow_for) | chapter [5](ch05_encodings) |
//! | Where is the eviction pool? | [`Chooser`](crate::keyspace::evict::Chooser) | chapter [6](ch06_expiry) |
//! | When is a resynchronisation partial? | `can_continue` in `replication/act/primary.rs` | chapter [10](ch10_resync) |
//! | Who serves blocked clients? | [`serve_ready`](crate::dispatch::serve_ready) | chapter [7](ch07_blocked) |
//! | How does WATCH make EXEC fail? | [`Watches::touch`](crate::clients::transaction::Watches::touch) | chapter [8](ch08_transactions) |
//! | How are Lua values converted? | the table at the top of `scripting/reply.rs`; `push` in `scripting/reply.rs` | chapter [9](ch09_scripts) |
//! | What happens at SIGTERM? | `note_signal` in `server/event_loop.rs` | chapter [11](ch11_start) |
//! | Where does SCAN's guarantee come from? | [`Table::scan`](crate::collections::table::Table::scan) | chapter [3](ch03_table) |
//!
//! # Words
//!
//! A *room* is a folder of `src/`. A command *propagates* its *effect* to the append-only file and to the replicas. A
//! *unit* is a command, a transaction or a script: its effects are propagated together. A client that waits in `BLPOP`
//! is *blocked*. A key's *deadline* is the time at which it expires. Each subsystem has two halves: *data* is what it
//! knows, and the functions in its folder `act` change a whole [`State`](crate::state::State)
//! (`docs/decisions/house.md`).

// Most of what the tour visits is private; the documentation is built with `--document-private-items`.
#![allow(rustdoc::private_intra_doc_links)]

pub mod ch01_request;
pub mod ch02_write;
pub mod ch03_table;
pub mod ch04_snapshot;
pub mod ch05_encodings;
pub mod ch06_expiry;
pub mod ch07_blocked;
pub mod ch08_transactions;
pub mod ch09_scripts;
pub mod ch10_resync;
pub mod ch11_start;
pub mod ch12_command;
pub mod ch13_sentinel;
pub mod ch14_cluster;
