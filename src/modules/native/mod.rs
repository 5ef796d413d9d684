//! Commands and data types in Rust, for programs that embed the server: the names that they need.
//!
//! A command of your own is declared as the server's own are: a constant that says its name, its arity, its flags and
//! where its keys are, with the handler below. [`Server::builder`](crate::Server::builder) takes it with
//! [`Builder::command`](crate::Builder::command). There is no foreign function and nothing unsafe in it: the borrow
//! checker keeps what a C module has to keep by contract.
//!
//! A handler reads its arguments, looks, changes, answers. After a change it calls
//! [`Ctx::modified`](crate::dispatch::Ctx::modified) once: that counts the change, fails WATCH, invalidates caches,
//! publishes the event, and lets the command be propagated to the append-only file and the replicas, as it came.
//! A command that has to wait for a key blocks its client with [`Ctx::wait_for_keys`], and is run again whenever one
//! of the keys changes.
//!
//! A value of your own is a type that implements [`DataType`]: it says how it is saved and loaded. A key holds it like any
//! other value ([`Ctx::value`], [`Ctx::value_mut`], [`Ctx::put_value`]), and a save in the background writes it as it
//! was when the save began: the server clones it before the first change that comes after.
//!
//! ```
//! use oxidis::modules::native::*;
//!
//! /// The last sentence somebody said, and how many there were.
//! #[derive(Clone, Debug, Default)]
//! struct Diary {
//!     entries: u64,
//!     last: Vec<u8>,
//! }
//!
//! impl DataType for Diary {
//!     const NAME: &'static str = "diary-rs1";
//!
//!     fn save(&self, to: &mut Saver) {
//!         to.unsigned(self.entries);
//!         to.bytes(&self.last);
//!     }
//!
//!     fn load(from: &mut Loader<'_>, _version: u16) -> std::result::Result<Diary, BadValue> {
//!         Ok(Diary { entries: from.unsigned()?, last: from.bytes()? })
//!     }
//! }
//!
//! const WRITE: Command = Command {
//!     name: "diary.write",
//!     arity: Arity::Exactly(3),
//!     flags: &[Flag::Write, Flag::DenyOom],
//!     keys: &[KeySpec::at(1, &[KeyFlag::Rw, KeyFlag::Update])],
//!     run: write,
//!     ..Command::BASE
//! };
//!
//! fn write(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
//!     let (key, sentence) = (args.key()?, args.bytes()?);
//!     let diary: &mut Diary = ctx.value_or_default(key)?;
//!     diary.entries += 1;
//!     diary.last = sentence.to_vec();
//!     let entries = diary.entries;
//!     ctx.modified(key, Event::module("diary.write"));
//!     ctx.reply.unsigned(entries);
//!     Ok(())
//! }
//!
//! let server = oxidis::Server::builder()
//!     .command(&WRITE)
//!     .data_type::<Diary>()
//!     .start()?;
//! server.execute(["DIARY.WRITE", "me", "It rains."]);
//! assert_eq!(server.execute(["DIARY.WRITE", "me", "Still."]), oxidis::Value::Integer(2));
//! assert_eq!(server.execute(["TYPE", "me"]).as_bytes(), Some(&b"diary-rs1"[..]));
//! // A dump of it brings it back, under another key or in another server.
//! let dump = server.execute(["DUMP", "me"]);
//! server.execute([&b"RESTORE"[..], b"copy", b"0", dump.as_bytes().unwrap()]);
//! assert_eq!(server.execute(["DIARY.WRITE", "copy", "Sun!"]), oxidis::Value::Integer(3));
//! # Ok::<(), oxidis::StartError>(())
//! ```
//!
//! `examples/ratelimit.rs` is a whole small module of this kind.
//!
//! Mirrors: no file of Redis, whose modules are compiled C.

mod data;

pub use crate::command::args::Args;
pub use crate::command::{
    Arity, Category, Command, Docs, Flag, Group, KeyFlag, KeySpec, Result, arg,
};
pub use crate::dispatch::Ctx;
pub use crate::keyspace::events::Event;
pub use crate::keyspace::{Deadline, NewValue};
pub use crate::resp::{Error, Reply, Value};
pub(crate) use data::entry_of;
pub use data::{BadValue, DataType, Loader, Saver};
