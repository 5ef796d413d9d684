//! A module calls a command: the checks that it asks for, a client without a socket to run as, the reply as a tree.
//!
//! ```text
//!   Call(ctx, "INCR", "s!", key)    look up -> arity -> what the letters ask for (S M W C) -> cluster -> call
//! ```
//!
//! A command so called is propagated only if the letter `!` says so, and if no caller further out forbids it: only the
//! outermost module decides what the AOF and the replicas get.
//!
//! Mirrors: RM_Call() of module.c.
//! Differs: the reply is a tree that the command built; Redis parses the bytes that the command wrote.

use std::rc::Rc;

use crate::acl::{self, Context, User};
use crate::clients::{ClientFlags, ClientKey};
use crate::command::Flag;
use crate::command::Targets;
use crate::dispatch::{CallOrigin, call, identify, unknown_command};
use crate::keyspace::{self, DbId};
use crate::modules::ModuleId;
use crate::resp::argv::{Argv, OwnedArgv};
use crate::resp::{Error, Protocol, Reply, Value};
use crate::state::State;
use crate::{cluster, persistence, replication};

/// The letters of a call's format that are not arguments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// `!`: the command is propagated,
    pub replicate: bool,
    /// `A`: but not to the AOF,
    pub not_to_aof: bool,
    /// `R`: but not to replicas.
    pub not_to_replicas: bool,
    /// `3`: the reply is RESP3.
    pub resp3: bool,
    /// `0`: the reply is in the protocol of the context's client.
    pub resp_auto: bool,
    /// `C`: as the user of the context.
    pub as_user: bool,
    /// `S`: the rules for scripts hold.
    pub script_mode: bool,
    /// `W`: no writing command.
    pub no_writes: bool,
    /// `M`: the limit of memory holds.
    pub deny_oom: bool,
    /// `E`: errors before the call come as replies.
    pub errors_as_replies: bool,
    /// `D`: all but the call itself.
    pub dry_run: bool,
    /// `K`: the command may block.
    pub may_block: bool,
}

impl Options {
    /// Notes a letter; false if there is no such letter.
    pub fn note(&mut self, letter: u8) -> bool {
        match letter {
            b'!' => self.replicate = true,
            b'A' => self.not_to_aof = true,
            b'R' => self.not_to_replicas = true,
            b'3' => self.resp3 = true,
            b'0' => self.resp_auto = true,
            b'C' => self.as_user = true,
            b'S' => self.script_mode = true,
            b'W' => self.no_writes = true,
            b'M' => self.deny_oom = true,
            b'E' => self.errors_as_replies = true,
            b'D' => (self.dry_run, self.errors_as_replies) = (true, true),
            b'K' => self.may_block = true,
            _ => return false,
        }
        true
    }

    /// The readers of the effects that the command is for.
    pub fn targets(&self) -> Targets {
        let mut targets = Targets::NONE;
        if self.replicate && !self.not_to_aof {
            targets = targets.or(Targets::AOF);
        }
        if self.replicate && !self.not_to_replicas {
            targets = targets.or(Targets::REPLICAS);
        }
        targets
    }
}

/// The caller.
#[derive(Debug)]
pub struct Caller {
    /// The module.
    pub module: Option<ModuleId>,
    /// The client whose command runs.
    pub client: Option<ClientKey>,
    /// The database.
    pub db: DbId,
    /// The user that was set for the context.
    pub user: Option<Rc<User>>,
    /// On a thread of the module's own.
    pub on_thread: bool,
}

/// Why a command was not called: `errno` and the line a client would read.
#[derive(Debug)]
pub struct Refused {
    pub errno: i32,
    pub error: Error,
}

/// The outcome of a call.
#[derive(Debug)]
pub enum Called {
    /// It ran.
    Replied(Value, Protocol),
    /// It would have run.
    Allowed,
    /// It blocked: the client that it runs as.
    Blocked(ClientKey, Protocol),
}

fn refuse<T>(errno: i32, error: Error) -> Result<T, Refused> {
    Err(Refused { errno, error })
}

/// Calls a command. The state's owner runs it, so that no other command runs meanwhile.
///
/// # Errors
/// Why it was not called.
#[doc(alias = "RM_Call")]
pub fn call_command(
    state: &mut State,
    caller: &Caller,
    argv: OwnedArgv,
    options: Options,
) -> Result<Called, Refused> {
    let mut protocol = Protocol::Resp2;
    if options.resp3 {
        protocol = Protocol::Resp3;
    } else if options.resp_auto
        && let Some(client) = caller.client.and_then(|key| state.clients.get(key))
    {
        protocol = client.protocol;
    }
    let from = caller.client.and_then(|key| state.clients.get(key));
    let internal = from.is_some_and(|client| client.is_internal());
    if options.as_user && !internal {
        let id = state.commands.lookup(argv.as_argv()).ok();
        if id.is_some_and(|id| state.commands[id].flags.has(Flag::OnlyInternal)) {
            return refuse(libc::ENOENT, unknown_command(state, argv.as_argv()));
        }
    }
    let user = match options.as_user {
        true => match acting_user(state, caller) {
            Some(user) => user,
            None => {
                return refuse(
                    libc::ENOTSUP,
                    Error::once(
                        "cannot run as user, no user directly attached to context or context's client",
                    ),
                );
            }
        },
        false => None,
    };
    let argv = match super::filters::filtered(state, None, argv.as_argv(), caller.module) {
        Some(changed) => changed,
        None => argv,
    };
    let argv = argv.as_argv();
    let id = match identify(state, None, argv) {
        Ok(id) => id,
        Err((None, Error::Quoting(mut line))) if argv.len() == 1 => {
            // A client that names a command alone is not told of arguments; a module always is.
            line.extend_from_slice(b", with args beginning with: ");
            return refuse(libc::ENOENT, Error::Quoting(line));
        }
        Err((None, error)) => return refuse(libc::ENOENT, error),
        Err((Some(_), error)) => return refuse(libc::EINVAL, error),
    };
    judge(state, caller, id, argv, options)?;

    let client = borrow_client(state, caller.db, protocol);
    if options.may_block {
        state.clients[client].flags.set(ClientFlags::MAY_BLOCK);
    }
    state.clients[client]
        .flags
        .put(ClientFlags::ALLOW_OOM, !options.deny_oom);
    if let Some(user) = user {
        let checked = user.check(acl::act::asked(state, id, argv));
        acl::act::act_as(state, client, user);
        if let Err(denied) = checked
            && !internal
        {
            let text = acl::act::deny(state, client, id, argv, denied, Context::Module);
            return_client(state, client);
            return refuse(libc::EACCES, Error::quoting("NOPERM ", &text, ""));
        }
    }
    if state.config.cluster_enabled
        && let Err(refused) = judge_slots(state, caller, client, id, argv)
    {
        return_client(state, client);
        return Err(refused);
    }
    if options.dry_run {
        return_client(state, client);
        return Ok(Called::Allowed);
    }
    let mut reply = Reply::to_value(protocol);
    let before = state.effects.allow_only(Targets::ALL);
    state.effects.allow_only(options.targets().and(before));
    call(state, client, id, argv, &mut reply, CallOrigin::Module);
    state.effects.allow_only(before);
    if state.clients.get(client).is_some_and(|who| who.blocked()) {
        return Ok(Called::Blocked(client, protocol));
    }
    return_client(state, client);
    let value = reply.take_value().unwrap_or(Value::Null);
    Ok(Called::Replied(value, protocol))
}

/// The user to run as: the one set for the context, or the client's. `Some(None)` may do everything.
fn acting_user(state: &State, caller: &Caller) -> Option<Option<Rc<User>>> {
    if let Some(user) = &caller.user {
        return Some(Some(user.clone()));
    }
    let client = caller.client.and_then(|key| state.clients.get(key))?;
    Some(client.user.clone())
}

/// The checks that the letters of the format ask for.
fn judge(
    state: &mut State,
    caller: &Caller,
    id: crate::command::table::CommandId,
    argv: Argv<'_>,
    options: Options,
) -> Result<(), Refused> {
    let mut flags = state.commands[id].flags;
    if flags.has(Flag::ScriptRunner) {
        flags = crate::scripting::act::flags::script_flags(state, id, flags, argv);
    }
    if options.script_mode && flags.has(Flag::NoScript) {
        let name = &state.commands[id].name;
        let text = format!("command '{name}' is not allowed on script mode");
        return refuse(libc::ESPIPE, Error::once(text));
    }
    if options.deny_oom && state.config.maxmemory != 0 && flags.has(Flag::DenyOom) {
        let exhausted = match caller.on_thread {
            true => keyspace::act::evict::bytes_over_maxmemory(state) > 0,
            false => state.eviction.out_of_memory,
        };
        if exhausted {
            return refuse(libc::ENOSPC, Error::OutOfMemory);
        }
    }
    if options.no_writes && flags.has(Flag::Write) {
        let name = &state.commands[id].name;
        let text = format!("Write command '{name}' was called while write is not allowed.");
        return refuse(libc::ENOSPC, Error::once(text));
    }
    if options.script_mode {
        let standing = state
            .current_client
            .and_then(|key| state.clients.get(key))
            .map_or(ClientFlags::NONE, |client| client.flags);
        if flags.has(Flag::Write) {
            let obeyed = standing.has(ClientFlags::MUST_OBEY);
            if persistence::act::standing::cannot_persist(state) && !obeyed {
                let error = persistence::act::standing::persist_error(state);
                return refuse(libc::ESPIPE, error);
            }
            if let Err(error) = replication::act::standing::may_write(state, standing) {
                return refuse(libc::ESPIPE, error);
            }
        }
        if state.config.is_replica()
            && !flags.has(Flag::Stale)
            && replication::act::standing::is_stale(state)
        {
            return refuse(libc::ESPIPE, Error::MasterDown);
        }
    }
    Ok(())
}

/// In a cluster: keys must be this node's, and the cluster must be up, unless a primary's stream is followed.
fn judge_slots(
    state: &mut State,
    caller: &Caller,
    client: ClientKey,
    id: crate::command::table::CommandId,
    argv: Argv<'_>,
) -> Result<(), Refused> {
    let flags = caller
        .client
        .and_then(|key| state.clients.get(key))
        .map_or(ClientFlags::NONE, |client| client.flags);
    if flags.has(ClientFlags::MUST_OBEY) {
        return Ok(());
    }
    for flag in [ClientFlags::READONLY, ClientFlags::ASKING] {
        state.clients[client].flags.put(flag, flags.has(flag));
    }
    let writes = state.commands[id].flags.has(crate::command::Flag::Write);
    let Err(refusal) = cluster::act::route::route_request(state, client, id, argv, writes) else {
        return Ok(());
    };
    let name = &state.commands[id].name;
    let (errno, text) = match refusal {
        cluster::Refusal::ReadOnly => (
            libc::EROFS,
            format!(
                "Can not execute a write command '{name}' while the cluster is down and readonly"
            ),
        ),
        cluster::Refusal::Down => (
            libc::ENETDOWN,
            format!("Can not execute a command '{name}' while the cluster is down"),
        ),
        _ => (
            libc::EPERM,
            "Attempted to access a non local key in a cluster node".to_owned(),
        ),
    };
    refuse(errno, Error::once(text))
}

/// A client without a socket, for one call.
#[doc(alias = "moduleAllocTempClient")]
pub fn borrow_client(state: &mut State, db: DbId, protocol: Protocol) -> ClientKey {
    let key = match state.modules.spare_clients.pop() {
        Some(key) => key,
        None => {
            let now = state.clock.unix_ms();
            let flags = ClientFlags::FAKE | ClientFlags::AUTHENTICATED;
            state.clients.insert(now, flags).key
        }
    };
    let client = &mut state.clients[key];
    client.db = db;
    client.protocol = protocol;
    key
}

/// Spare clients that are kept.
const SPARE: usize = 8;

/// Takes a client back after its call.
#[doc(alias = "moduleReleaseTempClient")]
pub fn return_client(state: &mut State, key: ClientKey) {
    let Some(client) = state.clients.get_mut(key) else {
        return;
    };
    let plain = ClientFlags::FAKE | ClientFlags::AUTHENTICATED;
    let reusable = client.transaction.is_none()
        && client.tracking.is_none()
        && client.subscriptions.is_none()
        && client.waiting.is_none()
        && !client.flags.has(ClientFlags::MONITOR);
    if !reusable || state.modules.spare_clients.len() >= SPARE {
        crate::clients::act::leave::forget_client(state, key);
        return;
    }
    client.flags = plain;
    client.user = None;
    client.name.clear();
    client.out.clear();
    state.modules.spare_clients.push(key);
}

/// Propagates a command that a module names, whatever it changed itself.
#[doc(alias = "RM_Replicate")]
pub fn replicate(state: &mut State, db: DbId, argv: &OwnedArgv, options: Options) {
    let mut targets = Targets::ALL;
    if options.not_to_aof {
        targets = targets.without(Targets::AOF);
    }
    if options.not_to_replicas {
        targets = targets.without(Targets::REPLICAS);
    }
    state.effects.say(db, argv.as_argv(), targets);
    state.dirty += 1;
}
