//! Chapter 12. Adding a command: a worked example.
//!
//! # What Redis does
//!
//! A command is declared in a JSON file in `src/commands/`; a script makes commands.def of all of them. The handler
//! is a C function elsewhere (t_string.c for strings). `populateCommandTable()` (server.c) fills the table of the
//! server at the start.
//!
//! # What Oxidis does
//!
//! The declaration stands above its handler, as a constant of type [`Command`](crate::command::Command), and it is the
//! only place that knows about the command:
//!
//! | field | what is made of it |
//! |---|---|
//! | `name`, `arity` | the lookup ([`CommandTable::lookup`](crate::command::table::CommandTable::lookup)), the error about the number of arguments |
//! | `flags` | the judgement of the gate ([`Flag`](crate::command::Flag)); `Write`, `Fast` and others imply an ACL category |
//! | `acl` | further categories |
//! | `keys` | COMMAND GETKEYS, ACL's key patterns, cluster slots, the keys that tracking remembers ([`KeySpec`](crate::command::KeySpec)) |
//! | `args`, `docs`, `tips` | COMMAND DOCS and COMMAND INFO |
//! | `run` | the handler |
//!
//! A file of commands ends up in a list, `COMMANDS`; the lists are gathered in [`GROUPS`](crate::commands::GROUPS);
//! [`CommandTable::new`](crate::command::table::CommandTable::new) makes the table of a server from the groups that it
//! is handed. A declaration that is in no list is reported by the compiler as unused.
//!
//! A handler gets a [`Ctx`](crate::dispatch::Ctx) (all that it may touch) and the [`Args`](crate::command::args::Args)
//! that are still to be read. It has four beats: read every argument, look, change, answer. Reading everything first
//! has a reason: a syntax error must not leave half a change behind.
//!
//! # The example
//!
//! `RAISE key value` sets the integer of a key to `value` if it is lower, and answers with the result. This
//! program compiles and runs as a test of this page. Inside the crate the imports are one line,
//! `use super::super::prelude::*;`.
//!
//! ```
//! use oxidis::clients::ClientKey;
//! use oxidis::command::Flag::{DenyOom, Fast, Write};
//! use oxidis::command::KeyFlag::{Access, Rw, Update};
//! use oxidis::command::args::Args;
//! use oxidis::command::{Arity, Category, Command, Docs, Group, KeySpec, Result, Targets, arg};
//! use oxidis::config::Config;
//! use oxidis::dispatch::{Ctx, process};
//! use oxidis::keyspace::events::Event;
//! use oxidis::keyspace::{Deadline, NewValue};
//! use oxidis::resp::argv::OwnedArgv;
//! use oxidis::resp::{Error, Protocol, Reply, Value};
//! use oxidis::state::{Mailbox, State};
//! use oxidis::sys::clock::Clock;
//!
//! const COMMANDS: &[&Command] = &[&RAISE];
//!
//! const RAISE_EVENT: Event = Event::string("raise");
//!
//! const RAISE: Command = Command {
//!     name: "raise",
//!     arity: Arity::Exactly(3),
//!     flags: &[Write, DenyOom, Fast],
//!     acl: &[Category::String],
//!     keys: &[KeySpec::at(1, &[Rw, Access, Update])],
//!     args: &[arg::key("key"), arg::integer("value")],
//!     docs: Docs {
//!         group: Group::String,
//!         since: "8.0.0",
//!         complexity: "O(1)",
//!         summary: "Sets the integer of a key to a value if it is lower; a missing key is set.",
//!         ..Docs::BASE
//!     },
//!     run: raise,
//!     ..Command::BASE
//! };
//!
//! fn raise(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
//!     // Read every argument.
//!     let key = args.key()?;
//!     let value = args.integer()?;
//!
//!     // Look. A key of another type is an error: the `?` answers with WRONGTYPE.
//!     let old = match ctx.db().string_mut(key)? {
//!         Some(string) => Some(string.as_integer().ok_or(Error::NotInteger)?),
//!         None => None,
//!     };
//!
//!     // Change; `modified` counts the change, fails WATCH, and publishes the event.
//!     let new = old.map_or(value, |old| old.max(value));
//!     if old != Some(new) {
//!         ctx.store(key, NewValue::Int(new), Deadline::Keep);
//!         ctx.modified(key, RAISE_EVENT);
//!     }
//!
//!     // Answer.
//!     ctx.reply.integer(new);
//!     Ok(())
//! }
//!
//! // A server without sockets: a state, a clock that stands still, and the groups of commands.
//! let mut groups = oxidis::commands::GROUPS.to_vec();
//! groups.push(COMMANDS);
//! let clock = Clock::manual(1_700_000_000_000_000);
//! let mut state = State::new(Config::default(), clock, 1, Mailbox::new(None).0, &groups);
//! state.refresh_clock();
//! let client = state.clients.insert_fake(1_700_000_000_000, Protocol::Resp2);
//!
//! fn ask(state: &mut State, client: ClientKey, words: &[&str]) -> Value {
//!     let argv = OwnedArgv::from_words(words);
//!     let mut reply = Reply::to_value(Protocol::Resp2);
//!     process(state, client, argv.as_argv(), &mut reply);
//!     reply.take_values().remove(0)
//! }
//!
//! assert_eq!(ask(&mut state, client, &["RAISE", "high", "5"]), Value::Integer(5));
//! assert_eq!(ask(&mut state, client, &["RAISE", "high", "3"]), Value::Integer(5));
//! assert_eq!(ask(&mut state, client, &["raise", "high", "9"]), Value::Integer(9));
//!
//! // The arity is checked by the gate, the integer by `args.integer()`, the type by `string_mut`.
//! for wrong in [&["RAISE", "high"][..], &["RAISE", "high", "up"]] {
//!     assert!(matches!(ask(&mut state, client, wrong), Value::Error(_)));
//! }
//! ask(&mut state, client, &["RPUSH", "list", "a"]);
//! assert!(matches!(ask(&mut state, client, &["RAISE", "list", "1"]), Value::Error(_)));
//!
//! // COMMAND GETKEYS knows where the key is, because the declaration says so.
//! let keys = ask(&mut state, client, &["COMMAND", "GETKEYS", "RAISE", "high", "1"]);
//! assert_eq!(keys, Value::Array(vec![Value::Bulk(b"high".to_vec())]));
//!
//! // A change is propagated; a request that changes nothing is not. One level deeper than the
//! // commands, their effects stay in the unit.
//! state.effects.listening = Targets::ALL;
//! state.effects.enter();
//! ask(&mut state, client, &["RAISE", "high", "20"]);
//! ask(&mut state, client, &["RAISE", "high", "10"]);
//! state.effects.leave();
//! assert_eq!(state.effects.take_unit().len(), 1);
//! ```
//!
//! # What is left to do for a real one
//!
//! - Put the declaration into the `COMMANDS` of its file (`src/commands/string/mod.rs` for this one).
//! - Replaying the effect must give the same data. RAISE may be propagated as it came; a command with a random choice
//!   or a relative time calls [`Ctx::rewrite`](crate::dispatch::Ctx::rewrite) (chapter [2](super::ch02_write)).
//! - A command that may wait declares the flag `Blocking` and asks [`Ctx::may_block`](crate::dispatch::Ctx::may_block)
//!   (chapter [7](super::ch07_blocked)).
//! - Tests run commands against a state without sockets, as above: `src/commands/tests.rs` has the helper.
//! - A difference from Redis that a client can see is a line in `docs/DIFFERENCES.md`.
//!
//! # What the difference buys
//!
//! No second file describes a command, so none can be forgotten or contradict it, and no build step stands between the
//! two. No figure goes with it.
//!
//! # Try it
//!
//! COMMAND tells what a declaration says, and the gate acts on it:
//!
//! ```text
//! 127.0.0.1:7777> COMMAND GETKEYS LMOVE a b LEFT RIGHT
//! 1) "a"
//! 2) "b"
//! 127.0.0.1:7777> COMMAND GETKEYS EVAL "return 1" 2 k1 k2 arg
//! 1) "k1"
//! 2) "k2"
//! 127.0.0.1:7777> GET
//! (error) ERR wrong number of arguments for 'get' command
//! ```
