//! A debugging session apart: its data is gathered here, and settled on its own thread. `scripting/debugger/apart.rs`
//! says what it carries.
//!
//! Mirrors: ldbStartSession() and ldbEndSession() of eval.c. Differs: a snapshot on a thread, where Redis forks.

use crate::acl;
use crate::clients::{ClientFlags, ClientKey};
use crate::config::Config;
use crate::dispatch::{CallOrigin, Ctx};
use crate::resp::Error;
use crate::scripting::act::run::Invocation;
use crate::scripting::debugger::apart::Apart;
use crate::state::State;
use crate::util::args;

impl Apart {
    /// Turns a new state into the session's: data, renamed commands, users, and a client without a socket of its own.
    /// Returns the client's key; none if its user cannot be found, since a client without a user may do everything.
    pub fn settle(&self, state: &mut State) -> Option<ClientKey> {
        state.refresh_clock();
        state.keyspace.adopt(&self.snapshot);
        // Before the users, whose rules name commands as they are called now.
        for (from, to) in &self.config.directives.renamed_commands {
            let (from, to) = (String::from_utf8_lossy(from), String::from_utf8_lossy(to));
            // The server that they come from has done the same.
            let _ = state.commands.rename(&from, &to);
        }
        if !acl::act::load_users(state) {
            return None;
        }
        if let Some(script) = &self.cached {
            let _ = state.scripts.load(script, true);
        }
        let now = state.clock.unix_ms();
        let client = state.clients.insert_fake(now, self.protocol);
        state.clients[client].db = self.db;
        state.clients[client].flags.set(ClientFlags::AUTHENTICATED);
        if let Some(name) = &self.user {
            let user = state.acl.user(name).cloned()?;
            acl::act::act_as(state, client, user);
        }
        state.scripts.debugger.arm(client);
        state.scripts.debugger.on_a_copy = true;
        Some(client)
    }
}

/// EVAL or EVALSHA of a client that said SCRIPT DEBUG YES: its socket goes to a session of its own.
///
/// # Errors
/// The script is part of a transaction or a pipeline, is not in the cache, or the session cannot be begun.
#[doc(alias = "evalGenericCommandWithDebugging")]
pub(in crate::scripting) fn debugged_apart(
    ctx: &mut Ctx<'_>,
    what: Invocation<'_>,
    by_sha: bool,
) -> Result<(), Error> {
    // Replies that wait to be sent would come in the middle of the session's.
    let queued = ctx.reply.output().is_some_and(|queued| !queued.is_empty());
    if ctx.origin != CallOrigin::Client || queued {
        return Err(Error::once(
            "a script to be debugged must be called outside a transaction or pipeline",
        ));
    }
    let cached = ctx.state.scripts.get(what.argv.get(1));
    let cached = cached.map(|script| script.body.to_vec());
    if by_sha && cached.is_none() {
        // The error that it always is.
        return crate::scripting::act::run::eval_now(ctx, what, by_sha);
    }
    let session = gather(ctx, what, cached.filter(|_| by_sha));
    let state = &mut *ctx.state;
    let Some(mut host) = state.host.take() else {
        return Err(Error::once("there is no connection to debug over"));
    };
    let begun = host.debug_apart(ctx.client, session);
    state.host = Some(host);
    begun.map_err(Error::once)?;
    state.scripts.debugger.disarm(ctx.client);
    state.clients.close_asap(ctx.client);
    Ok(())
}

fn gather(ctx: &mut Ctx<'_>, what: Invocation<'_>, cached: Option<Vec<u8>>) -> Apart {
    let state = &mut *ctx.state;
    let client = &state.clients[ctx.client];
    let (protocol, user) = (client.protocol, client.user.as_ref());
    let user = user.map(|user| user.name().to_vec());
    Apart {
        config: confined(state),
        words: what.argv.iter().map(<[u8]>::to_vec).collect(),
        cached,
        db: ctx.db,
        protocol,
        user,
        log: state.log.clone(),
        client: client.key,
        mailbox: state.mailbox.clone(),
        snapshot: state.keyspace.snapshot(),
    }
}

/// The configuration of a server that listens nowhere, keeps nothing and serves one client.
fn confined(state: &State) -> Config {
    let mut config = state.config.clone();
    let users = state.acl.users().filter_map(|user| {
        let mut words = args::split(&user.line()).ok()?;
        // The first one is `user`.
        Some(words.split_off(1))
    });
    config.directives.users = users.collect();
    config.aclfile.clear();
    config.requirepass = None;
    config.save.clear();
    config.appendonly = false;
    // One table per slot or one for all: the snapshot has its own.
    config.cluster_enabled = false;
    // Memory is the server's to watch over.
    config.maxmemory = 0;
    config.min_replicas_to_write = 0;
    config.replica_serve_stale_data = true;
    config
}
