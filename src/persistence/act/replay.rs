//! Runs the commands of a file for a client without a socket.
//!
//! Mirrors: the running half of loadSingleAppendOnlyFile() of aof.c.
//! Differs: commands run in slices, between turns of the loop; see `loading`.

use crate::clients;
use crate::clients::ClientFlags;
use crate::dispatch::{CallOrigin, call, gate};
use crate::persistence::aof::replay::Replayer;
use crate::resp::argv::OwnedArgv;
use crate::resp::{Protocol, Reply};
use crate::state::State;

/// The name of a command that does not exist here: the file comes from another server, or is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown(pub String);

impl Replayer {
    pub fn new(state: &mut State) -> Replayer {
        let now = state.clock.unix_ms();
        let client = state.clients.insert_fake(now, Protocol::Resp2);
        let who = &mut state.clients[client];
        who.flags
            .set(ClientFlags::MUST_OBEY | ClientFlags::AUTHENTICATED);
        Replayer { client }
    }

    /// Runs a command. Its reply is dropped, even an error.
    pub fn run(&self, state: &mut State, argv: &OwnedArgv) -> Result<(), Unknown> {
        let argv = argv.as_argv();
        let Ok(id) = gate::identify(state, None, argv) else {
            return Err(Unknown(String::from_utf8_lossy(argv.get(0)).into_owned()));
        };
        let flags = state.commands[id].flags;
        let who = &mut state.clients[self.client];
        if who.flags.has(ClientFlags::MULTI) && !flags.has(crate::command::Flag::InsideMulti) {
            let transaction = who.transaction.get_or_insert_default();
            transaction.push(id, flags, argv);
            return Ok(());
        }
        let mut reply = Reply::discard();
        call(state, self.client, id, argv, &mut reply, CallOrigin::Replay);
        Ok(())
    }

    /// Whether a transaction was begun and not ended.
    pub fn in_transaction(&self, state: &State) -> bool {
        let who = state.clients.get(self.client);
        who.is_some_and(|who| who.flags.has(ClientFlags::MULTI))
    }

    /// How far a file is good when it cannot be read beyond `valid`: a transaction that is not whole never happened.
    pub fn whole(&self, state: &State, valid: &u64, valid_before_multi: &u64) -> u64 {
        match self.in_transaction(state) {
            true => *valid_before_multi,
            false => *valid,
        }
    }

    pub fn end(&self, state: &mut State) {
        clients::act::forget::forget(state, self.client);
    }
}
