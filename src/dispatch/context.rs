//! The context of a running command: all that a handler may touch.
//!
//! Invariant: a handler that changed the data set said so through [`Ctx::modified`] or one of its kin, so that WATCH,
//! tracking, keyspace events, blocked clients and propagation learn of it.
//!
//! Mirrors: no file of Redis. There, a handler gets `client *c` and reaches the global `server` for the rest.
//! Differs: everything comes in by one reference, so several servers can live in one process.

use crate::clients::{Client, ClientKey};
use crate::command::Redacted;
use crate::command::Targets;
use crate::command::table::{CommandId, Entry};
use crate::keyspace;
use crate::keyspace::events::Event;
use crate::keyspace::{Db, DbId, Deadline, Ms, NewValue};
use crate::resp::Reply;
use crate::resp::argv::{Argv, OwnedArgv};
use crate::state::State;

/// The form in which the running command is propagated to the AOF and the replicas.
#[derive(Debug, Default)]
pub enum Effect {
    /// The request as it came, if the command changed anything.
    #[default]
    AsReceived,
    /// Another request instead.
    Rewritten(OwnedArgv),
    /// The command itself is not propagated: the handler propagated all its effects with [`Ctx::also`].
    Suppressed,
}

/// A command being run: its surroundings. The fields are separate so that a handler can read the
/// keyspace while it writes the reply.
#[derive(Debug)]
pub struct Ctx<'a> {
    /// Everything but sockets.
    pub state: &'a mut State,
    /// The client whose command this is.
    pub client: ClientKey,
    /// The database selected when the command began.
    pub db: DbId,
    /// Where the answer goes.
    pub reply: &'a mut Reply,
    /// Which command this is.
    pub command: CommandId,
    /// The effect that is propagated.
    pub effect: Effect,
    /// Propagated to these even if nothing changed.
    pub forced: Targets,
    /// How it was called.
    pub origin: super::CallOrigin,
    /// Arguments that hold secrets.
    pub redacted: Redacted,
}

impl Ctx<'_> {
    /// The selected database.
    #[inline]
    pub fn db(&mut self) -> &mut Db {
        &mut self.state.keyspace[self.db]
    }

    /// The asking client.
    #[inline]
    pub fn client(&mut self) -> &mut Client {
        &mut self.state.clients[self.client]
    }

    /// The command's entry: its name, flags and counters.
    pub fn entry(&self) -> &Entry {
        &self.state.commands[self.command]
    }

    /// The command's full name, as error texts quote it.
    pub fn name(&self) -> String {
        self.entry().name.to_string()
    }

    /// A key was changed: counts the change, fails WATCH, invalidates tracking, publishes the event.
    /// The one call after a write.
    #[inline]
    pub fn modified(&mut self, key: &[u8], event: Event) {
        self.state.dirty += 1;
        keyspace::act::notify::modified(self.state, self.db, key, event);
    }

    /// As [`Ctx::modified`], without an event: vector sets publish none.
    pub fn changed(&mut self, key: &[u8]) {
        self.state.dirty += 1;
        keyspace::act::expire::reap_expired(self.state);
        keyspace::act::notify::touched(self.state, self.db, key);
    }

    /// As [`Ctx::modified`], counting `n` changes (elements removed, fields set).
    pub fn modified_n(&mut self, key: &[u8], event: Event, n: usize) {
        self.state.dirty += n as u64;
        keyspace::act::notify::modified(self.state, self.db, key, event);
    }

    /// The time deadlines are judged by; stands still while a transaction or a script runs.
    #[doc(alias = "commandTimeSnapshot")]
    #[inline]
    pub fn now_ms(&self) -> Ms {
        self.state.keyspace.env().now_ms()
    }

    /// Gives a key a value, whatever it held; to be followed by [`Ctx::modified`].
    #[inline]
    pub fn store(&mut self, key: &[u8], value: NewValue<'_>, deadline: Deadline) {
        keyspace::act::keys::store(self.state, self.db, key, value, deadline);
    }

    /// As [`Ctx::store`], but bytes stay bytes although they may spell an integer: what arithmetic with floats leaves.
    pub fn store_as_is(&mut self, key: &[u8], value: NewValue<'_>, deadline: Deadline) {
        keyspace::act::keys::store_as_is(self.state, self.db, key, value, deadline);
    }

    /// Deletes a key, its value on another thread if `lazy` and worth it; whether there was one. To be followed by
    /// [`Ctx::modified`].
    pub fn delete(&mut self, key: &[u8], lazy: bool) -> bool {
        keyspace::act::keys::delete(self.state, self.db, key, lazy)
    }

    /// Deletes a key whose value has lost its last element, and frees the value at once.
    #[inline]
    pub fn delete_emptied(&mut self, key: &[u8]) {
        keyspace::act::keys::delete_emptied(self.state, self.db, key);
    }

    /// A reading lookup found nothing under the key.
    #[inline]
    pub fn missed(&mut self, key: &[u8]) {
        keyspace::act::expire::reap_expired(self.state);
        keyspace::act::notify::notify(self.state, Event::MISS, self.db, key);
    }

    /// Whether a deadline set now means that the key is gone at once. Not while a file or a primary's stream is
    /// replayed: there the deletion will be said, or has been.
    #[doc(alias = "checkAlreadyExpired")]
    pub fn is_past(&self, deadline: Ms) -> bool {
        deadline <= self.now_ms()
            && self.origin != super::CallOrigin::Replay
            && !self.state.keyspace.env().is_hide_only()
    }

    /// The longest string that a command may make. A replayed command is not bounded, since it was allowed once.
    #[doc(alias = "checkStringLength")]
    pub fn max_string_len(&self) -> usize {
        if self.origin == super::CallOrigin::Replay {
            return usize::MAX;
        }
        self.state.config.proto_max_bulk_len
    }

    /// Publishes a further event of a key, when one command causes several.
    pub fn notify(&mut self, key: &[u8], event: Event) {
        keyspace::act::notify::notify(self.state, event, self.db, key);
    }

    /// Publishes which fields of a key an event is about; to be called after the event itself was.
    #[inline]
    pub fn notify_fields<'f>(
        &mut self,
        key: &[u8],
        event: Event,
        fields: impl Iterator<Item = &'f [u8]> + Clone,
    ) {
        keyspace::act::fields::notify_fields(self.state, event, self.db, key, fields);
    }

    /// The readers of the effects get this request instead of the one received.
    pub fn rewrite<W: AsRef<[u8]>>(&mut self, words: impl IntoIterator<Item = W>) {
        if self.state.effects.listening != crate::command::Targets::NONE {
            self.effect = Effect::Rewritten(crate::resp::argv::OwnedArgv::from_words(words));
        }
    }

    /// As [`Ctx::rewrite`], for words at hand.
    pub fn rewrite_as(&mut self, words: &[&[u8]]) {
        self.rewrite(words);
    }

    /// As [`Ctx::rewrite`], word by word.
    pub fn rewrite_with(&mut self, build: impl FnOnce(&mut OwnedArgv)) {
        if self.state.effects.listening != crate::command::Targets::NONE {
            let mut argv = crate::resp::argv::OwnedArgv::default();
            build(&mut argv);
            self.effect = Effect::Rewritten(argv);
        }
    }

    /// The readers of the effects get nothing for this command but what [`Ctx::also`] says.
    pub fn suppress(&mut self) {
        self.effect = Effect::Suppressed;
    }

    /// The readers of the effects get this request, before the command's own.
    pub fn also<W: AsRef<[u8]>>(&mut self, words: impl IntoIterator<Item = W>) {
        if self.state.effects.listening != crate::command::Targets::NONE {
            let argv = crate::resp::argv::OwnedArgv::from_words(words);
            self.state
                .effects
                .say(self.db, argv.as_argv(), crate::command::Targets::ALL);
        }
    }

    /// The argument at a position (the command's name is 0) is a secret: MONITOR and the slow log show
    /// `(redacted)` instead.
    #[doc(alias = "redactClientCommandArgument")]
    pub fn redact(&mut self, position: usize) {
        self.redacted.add(position);
    }

    /// As [`Ctx::also`], for a request at hand.
    pub fn also_argv(&mut self, db: DbId, argv: Argv<'_>) {
        self.state
            .effects
            .say(db, argv, crate::command::Targets::ALL);
    }
}
