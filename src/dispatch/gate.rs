//! The gate: every check that can keep a request from running, in Redis's order, and where a request goes instead:
//! refused, queued by MULTI, held back by CLIENT PAUSE.
//!
//! ```text
//!   known? arity? ─► logged in? ACL? ─► slot? ─► memory? ─► disk, replicas, role? ─► loading? busy? ─► paused? ─► call
//! ```
//!
//! When nothing is special (no password, no limit, no pause, nothing loading) all this is a handful of tests of
//! flags.
//!
//! Mirrors: processCommand() and rejectCommand() of server.c.
//! Differs: the checks are one function that returns an error for the caller to write; in Redis each check rejects
//! the client by itself.

use super::call::{CallOrigin, call};
use super::unblock;
use crate::acl;
use crate::clients;
use crate::clients::{Client, ClientFlags, ClientKey, PauseMode};
use crate::cluster;
use crate::command::table::{CommandId, Flags, Missing};
use crate::command::{Arg, Command};
use crate::config::ProtectedAction;
use crate::keyspace;
use crate::persistence;
use crate::replication;
use crate::resp::argv::Argv;
use crate::scripting;

use crate::resp::{Error, Reply, up_to_zero};
use crate::state::State;
use crate::sys::crash;

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran, was queued, or was refused: its bytes are used up.
    Done,
    /// It must be tried again later, from the same bytes.
    Postponed,
}

/// Runs a client's request, or refuses it.
#[inline]
pub fn process(state: &mut State, client: ClientKey, argv: Argv<'_>, reply: &mut Reply) -> Outcome {
    if argv.is_empty() {
        return Outcome::Done;
    }
    state.current_client = Some(client);
    if clients::act::evict::evict_clients(state)
        && state.clients[client].flags.has(ClientFlags::CLOSE_ASAP)
    {
        // The client itself was the largest, and is closed.
        state.current_client = None;
        return Outcome::Done;
    }
    // A primary propagates a DEL for each key that expired there, so its commands still see keys that have expired
    // here.
    let standing = state.clients[client].flags;
    let from_primary = standing.has(ClientFlags::PRIMARY);
    if from_primary {
        state.keyspace.env().set_see_expired(true);
    }
    let asked = standing.has(ClientFlags::ASKING);
    let outcome = match state.modules.filters.is_empty() {
        true => judge_and_run(state, client, argv, reply),
        false => filter_and_run(state, client, argv, reply),
    };
    if asked && outcome == Outcome::Done {
        asking_served(state, client);
    }
    state.current_client = None;
    if from_primary {
        state.keyspace.env().set_see_expired(false);
    }
    if outcome == Outcome::Done {
        unblock::serve_ready(state);
    }
    outcome
}

/// As [`judge_and_run`], with the words that the modules' command filters make of the request.
#[cold]
fn filter_and_run(
    state: &mut State,
    client: ClientKey,
    argv: Argv<'_>,
    reply: &mut Reply,
) -> Outcome {
    let filtered = state
        .module_doors
        .and_then(|doors| (doors.filter)(state, Some(client), argv));
    let argv = filtered.as_ref().map_or(argv, |changed| changed.as_argv());
    match argv.is_empty() {
        true => Outcome::Done,
        false => judge_and_run(state, client, argv, reply),
    }
}

#[inline]
fn judge_and_run(
    state: &mut State,
    client: ClientKey,
    argv: Argv<'_>,
    reply: &mut Reply,
) -> Outcome {
    let before = state.clients[client].last_command;
    match identify(state, before, argv) {
        Ok(id) => {
            state.clients[client].last_command = Some(id);
            match admit_and_tell(state, client, id, argv, reply) {
                Ok(()) => {
                    if state.pauses.mode() != PauseMode::None && held_back(state, client, id, argv)
                    {
                        return Outcome::Postponed;
                    }
                    if state.config.cluster_compatibility_sample_ratio > 0
                        || state.scripts.request_slot.is_some()
                    {
                        cluster::act::compatible::note_request(state, client, id, argv);
                    }
                    if (state.cluster.channels.pauses.is_some() || state.cluster.taken.is_some())
                        && slot_moves(state, client, id, argv)
                    {
                        return Outcome::Postponed;
                    }
                    run_or_queue(state, client, id, argv, reply);
                }
                Err(error) => reject(state, client, Some(id), reply, &error),
            }
        }
        Err((None, _))
            if speaks_http(argv) && !state.clients[client].flags.has(ClientFlags::FAKE) =>
        {
            abort_http(state, client);
        }
        Err((id, error)) => reject(state, client, id, reply, &error),
    }
    Outcome::Done
}

/// Whether a request is the first or the second line of an HTTP request: a page in a user's browser may send one with
/// commands in the body (CVE-2016-10517).
fn speaks_http(argv: Argv<'_>) -> bool {
    let name = argv.get(0);
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

/// Closes the connection of a client that speaks HTTP, without an answer. The log tells of it once a minute at most.
#[cold]
#[doc(alias = "securityWarningCommand")]
fn abort_http(state: &mut State, client: ClientKey) {
    const QUIET_MS: i64 = 60_000;
    let now = state.clock.unix_ms();
    let told = state.attack_logged_ms;
    if told.is_none_or(|told| (now - told).abs() > QUIET_MS) {
        state.attack_logged_ms = Some(now);
        let address = &state.clients[client].address;
        state.log.warning(format_args!(
            "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands to Redis. \
             This is likely due to an attacker attempting to use Cross Protocol Scripting to compromise your Redis \
             instance. Connection from {address} aborted."
        ));
    }
    state.clients.close_asap(client);
}

/// As [`admit`]. Messages that it caused for this client (an evicted key) precede the command's reply, because the
/// key was gone before the command ran.
fn admit_and_tell(
    state: &mut State,
    client: ClientKey,
    id: CommandId,
    argv: Argv<'_>,
    reply: &mut Reply,
) -> Result<(), Error> {
    if state.tracking.clients() == 0 {
        return admit(state, client, id, argv);
    }
    clients::act::tracking::limit_tracking(state);
    let admitted = admit(state, client, id, argv);
    let out = &mut state.clients[client].out;
    if !out.is_empty() && reply.output().is_some() {
        reply.append(std::mem::take(out));
    }
    admitted
}

/// Runs the command of a client that waited, or refuses it: what was allowed once may not be any more.
pub(super) fn run_again(
    state: &mut State,
    client: ClientKey,
    id: CommandId,
    argv: Argv<'_>,
    reply: &mut Reply,
) {
    match admit(state, client, id, argv) {
        Ok(()) => {
            call(state, client, id, argv, reply, CallOrigin::Unblocked);
        }
        Err(error) => reject(state, client, Some(id), reply, &error),
    }
}

fn run_or_queue(
    state: &mut State,
    client: ClientKey,
    id: CommandId,
    argv: Argv<'_>,
    reply: &mut Reply,
) {
    let entry = &state.commands[id];
    let (flags, command) = (entry.flags, entry.decl);
    let who = &mut state.clients[client];
    if who.flags.has(ClientFlags::MULTI) && !flags.has(crate::command::Flag::InsideMulti) {
        // A transaction that will fail anyway only looks as if it were filled.
        if !who
            .flags
            .any(ClientFlags::DIRTY_CAS | ClientFlags::DIRTY_EXEC)
        {
            let flags = effective_flags(state, client, id, argv);
            let who = &mut state.clients[client];
            let transaction = who.transaction.get_or_insert_default();
            transaction.push(id, flags, argv);
        }
        reply.simple("QUEUED");
        return;
    }
    let running = Running { argv, command };
    crash::during(&running, || {
        call(state, client, id, argv, reply, CallOrigin::Client);
    });
    if state.tracking.clients() > 0 {
        caching_served(state, client, id);
    }
}

/// The request that a client's command runs, for a crash report about it.
struct Running<'a> {
    argv: Argv<'a>,
    command: &'static Command,
}

impl crash::Request for Running<'_> {
    /// The words. Commands that carry secrets are shown without their arguments. `hide` (option
    /// `hide-user-data-from-log`) leaves the words that the command's declaration has: its tokens and the name of a
    /// subcommand.
    #[doc(alias = "logCurrentClient")]
    fn describe(&self, sign: &str, hide: bool, out: &mut String) {
        const SECRETIVE: [&[u8]; 5] = [b"auth", b"hello", b"acl", b"config", b"migrate"];
        let name = self.argv.get(0);
        let secretive = SECRETIVE.iter().any(|own| name.eq_ignore_ascii_case(own));
        let own = self.command.name.as_bytes();
        let is_subcommand = !name.eq_ignore_ascii_case(own);
        let declared = |i: usize, word: &[u8]| {
            i == 1 && is_subcommand && word.eq_ignore_ascii_case(own)
                || is_token(self.command.args, word)
        };
        let shows = |i: usize, word: &[u8]| !secretive && (!hide || declared(i, word));
        self.argv.describe(sign, shows, out);
    }
}

/// Whether a word is a token of these arguments, or of their parts.
#[doc(alias = "cmdTokenCheck")]
fn is_token(args: &[Arg], word: &[u8]) -> bool {
    args.iter().any(|arg| {
        let token = arg
            .token
            .is_some_and(|token| word.eq_ignore_ascii_case(token.as_bytes()));
        token || is_token(arg.args, word)
    })
}

/// CLIENT CACHING holds for the next command that is not a CLIENT one, or for a whole transaction.
fn caching_served(state: &mut State, client: ClientKey, id: CommandId) {
    let container = state.commands[id].parent;
    let holds_on = [Some(id), container].into_iter().flatten();
    let holds_on = holds_on
        .map(|id| state.commands[id].flags)
        .any(|flags| flags.has(crate::command::Flag::KeepsCaching));
    let Some(who) = state.clients.get_mut(client) else {
        return;
    };
    if let Some(own) = &mut who.tracking
        && !holds_on
        && !who.flags.has(ClientFlags::MULTI)
    {
        own.caching = false;
    }
}

/// ASKING holds for one command, or for a whole transaction. A blocked command keeps it.
#[cold]
fn asking_served(state: &mut State, client: ClientKey) {
    if let Some(who) = state.clients.get_mut(client)
        && !who.flags.any(ClientFlags::MULTI | ClientFlags::BLOCKED)
    {
        who.flags.clear(ClientFlags::ASKING);
    }
}

/// The command a request names, with its arity checked; otherwise the error in Redis's words, and
/// the command where one was found. A request that names the command of the one `before` costs less.
#[inline]
pub(crate) fn identify(
    state: &State,
    before: Option<CommandId>,
    argv: Argv<'_>,
) -> Result<CommandId, (Option<CommandId>, Error)> {
    match state.commands.lookup_after(before, argv) {
        Ok(id) => {
            let entry = &state.commands[id];
            if entry.accepts(argv.len()) {
                Ok(id)
            } else {
                Err((Some(id), Error::WrongArity(entry.name.to_string())))
            }
        }
        Err(missing) => Err((None, unknown(state, argv, missing))),
    }
}

/// The error for a command that this client does not find.
pub(crate) fn unknown_command(state: &State, argv: Argv<'_>) -> Error {
    unknown(state, argv, Missing::Command)
}

/// Bytes of what the client sent that an error about an unknown command quotes: of the name, and of the arguments.
const MAX_QUOTED: usize = 128;

fn unknown(state: &State, argv: Argv<'_>, missing: Missing) -> Error {
    let cut = |bytes: &'_ [u8], room: usize| up_to_zero(&bytes[..bytes.len().min(room)]).to_vec();
    match missing {
        crate::command::table::Missing::Subcommand(container) => {
            let name = state.commands[container].name.to_ascii_uppercase();
            let asked = cut(argv.get(1), MAX_QUOTED);
            Error::quoting(
                "ERR unknown subcommand '",
                &asked,
                &format!("'. Try {name} HELP."),
            )
        }
        crate::command::table::Missing::Command => {
            let mut line = b"ERR unknown command '".to_vec();
            line.extend(cut(argv.get(0), MAX_QUOTED));
            line.extend_from_slice(match argv.len() {
                1 => &b"'"[..],
                _ => b"', with args beginning with: ",
            });
            let mut quoted = Vec::new();
            for arg in argv.iter().skip(1) {
                if quoted.len() >= MAX_QUOTED {
                    break;
                }
                let arg = cut(arg, MAX_QUOTED - quoted.len());
                quoted.extend([b"'", arg.as_slice(), b"' "].concat());
            }
            line.extend(quoted);
            Error::Quoting(line)
        }
    }
}

fn admit(state: &mut State, client: ClientKey, id: CommandId, argv: Argv<'_>) -> Result<(), Error> {
    let flags = effective_flags(state, client, id, argv);
    let who = &state.clients[client];
    let (standing, protocol) = (who.flags, who.protocol);

    admit_protected(state, who, flags, argv)?;
    if !flags.has(crate::command::Flag::NoAuth) && acl::act::owes_auth(state, who) {
        return Err(Error::NoAuth);
    }
    if standing.has(ClientFlags::MULTI) && flags.has(crate::command::Flag::NoMulti) {
        return Err(Error::once("Command not allowed inside a transaction"));
    }
    if standing.has(ClientFlags::RESTRICTED)
        && let Err(denied) = acl::act::check_rights(state, client, id, argv)
    {
        return Err(acl::act::deny_request(state, client, id, argv, denied));
    }
    if state.config.cluster_enabled && !standing.has(ClientFlags::MUST_OBEY) {
        let writes = flags.has(crate::command::Flag::Write);
        let routed = cluster::act::route::route_request(state, client, id, argv, writes);
        routed.map_err(|refusal| refusal.error())?;
    }
    if state.config.maxmemory != 0 && !state.scripts.is_busy() {
        let exhausted =
            keyspace::act::evict::evict_keys(state) == crate::keyspace::eviction::Memory::Exhausted;
        if exhausted && flags.has(crate::command::Flag::DenyOom) {
            return Err(Error::OutOfMemory);
        }
        state.eviction.out_of_memory = exhausted;
    }
    if persistence::act::standing::cannot_persist(state)
        && !standing.has(ClientFlags::MUST_OBEY)
        && flags.any(&[
            crate::command::Flag::Write,
            crate::command::Flag::NeedsWorkingDisk,
        ])
    {
        return Err(persistence::act::standing::persist_error(state));
    }
    if flags.has(crate::command::Flag::Write) {
        replication::act::standing::may_write(state, standing)?;
    }
    if standing.has(ClientFlags::PUBSUB) && protocol == crate::resp::Protocol::Resp2 {
        let allowed = flags.has(crate::command::Flag::WhileSubscribed);
        if !allowed {
            let name = state.commands[id].name.to_string();
            return Err(Error::once(format!(
                "Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
                 RESET are allowed in this context"
            )));
        }
    }
    if state.config.is_replica()
        && !flags.has(crate::command::Flag::Stale)
        && replication::act::standing::is_stale(state)
    {
        return Err(Error::MasterDown);
    }
    if state.persistence.is_loading() {
        let allowed = match state.persistence.is_loading_beside() {
            true => !flags.has(crate::command::Flag::NoAsyncLoading),
            false => flags.has(crate::command::Flag::Loading),
        };
        if !allowed {
            return Err(Error::Loading);
        }
    }
    if let Some(text) = &state.modules.busy_reply
        && !flags.has(crate::command::Flag::AllowBusy)
    {
        return Err(Error::coded(match text.is_empty() {
            true => "BUSY Redis is busy running a module command.".to_owned(),
            false => format!("BUSY {text}"),
        }));
    }
    if state.scripts.is_busy() && !flags.has(crate::command::Flag::AllowBusy) {
        return Err(state.scripts.busy_error());
    }
    let touches_keys = [
        crate::command::Flag::Write,
        crate::command::Flag::ReadOnly,
        crate::command::Flag::MayReplicate,
    ];
    if standing.has(ClientFlags::REPLICA) && flags.any(&touches_keys) {
        return Err(Error::once("Replica can't interact with the keyspace"));
    }
    Ok(())
}

/// Whether DEBUG and MODULE may run: `enable-debug-command` and `enable-module-command` say for whom.
#[inline]
fn admit_protected(state: &State, who: &Client, flags: Flags, argv: Argv<'_>) -> Result<(), Error> {
    if flags.any(&[
        crate::command::Flag::NeedsDebugCommand,
        crate::command::Flag::NeedsModuleCommand,
        crate::command::Flag::OnlyInternal,
    ]) {
        if flags.has(crate::command::Flag::OnlyInternal) {
            return match who.is_internal() {
                true => Ok(()),
                false => Err(unknown_command(state, argv)),
            };
        }
        let config = &state.config;
        let (name, option, action) = match flags.has(crate::command::Flag::NeedsDebugCommand) {
            true => ("DEBUG", "enable-debug-command", config.enable_debug_command),
            false => (
                "MODULE",
                "enable-module-command",
                config.enable_module_command,
            ),
        };
        if !allowed_protected(action, who) {
            return Err(Error::once(format!(
                "{name} command not allowed. If the {option} option is set to \"local\", you can run it \
                 from a local connection, otherwise you need to set this option in the configuration \
                 file, and then restart the server."
            )));
        }
    }
    Ok(())
}

/// The flags a command is judged by: EXEC's depend on what is queued, those of EVAL and FCALL on what
/// the script says of itself.
fn effective_flags(state: &State, client: ClientKey, id: CommandId, argv: Argv<'_>) -> Flags {
    let flags = state.commands[id].flags;
    if flags.has(crate::command::Flag::ScriptRunner) {
        return scripting::act::flags::script_flags(state, id, flags, argv);
    }
    match &state.clients[client].transaction {
        Some(transaction) if flags.has(crate::command::Flag::QueueRunner) => {
            transaction.effective_flags(flags)
        }
        _ => flags,
    }
}

/// Whether a pause holds the request back; if so, its client is postponed.
#[doc(alias = "blockPostponeClient")]
fn held_back(state: &mut State, key: ClientKey, id: CommandId, argv: Argv<'_>) -> bool {
    let flags = effective_flags(state, key, id, argv);
    let client = &mut state.clients[key];
    // Replicas and fake clients are never held back. A primary is: its stream waits.
    if client.flags.any(ClientFlags::REPLICA | ClientFlags::FAKE) {
        return false;
    }
    let writes =
        flags.has(crate::command::Flag::Write) || flags.has(crate::command::Flag::MayReplicate);
    if state.pauses.mode() == PauseMode::Write && !writes {
        return false;
    }
    client.flags.set(ClientFlags::PAUSED);
    state.pauses.wait(key);
    true
}

/// Whether the request may change a slot that changes hands right now; if so, its client is postponed.
#[cold]
fn slot_moves(state: &mut State, key: ClientKey, id: CommandId, argv: Argv<'_>) -> bool {
    let flags = effective_flags(state, key, id, argv);
    let exempt = ClientFlags::REPLICA | ClientFlags::FAKE | ClientFlags::MUST_OBEY;
    let writes = flags.any(&[
        crate::command::Flag::Write,
        crate::command::Flag::MayReplicate,
    ]);
    if !writes || state.clients[key].flags.any(exempt) {
        return false;
    }
    let slot = cluster::act::route::route_request(state, key, id, argv, true).unwrap_or(None);
    if !cluster::act::moving::holds_back(state, slot) {
        return false;
    }
    state.clients[key].flags.set(ClientFlags::PAUSED);
    state.pauses.wait(key);
    true
}

/// Whether a client may use a command that reaches into the server's insides.
#[doc(alias = "allowProtectedAction")]
fn allowed_protected(action: ProtectedAction, client: &Client) -> bool {
    match action {
        ProtectedAction::Yes => true,
        ProtectedAction::No => false,
        ProtectedAction::Local => client.is_local(),
    }
}

/// Answers with an error instead of running. Inside MULTI the transaction is spoiled; an EXEC that
/// is refused ends it.
#[doc(alias = "rejectCommand")]
fn reject(
    state: &mut State,
    client: ClientKey,
    id: Option<CommandId>,
    reply: &mut Reply,
    error: &Error,
) {
    if state.clients[client].is_peer() {
        let id = id.or(state.clients[client].last_command);
        let name = id.map_or("<unknown>".to_owned(), |id| {
            state.commands[id].name.to_string()
        });
        replication::act::trouble::peer_was_refused(state, client, &name, &error.to_string());
    }
    if state.clients[client].flags.has(ClientFlags::IMPORTS) {
        cluster::act::moving::command_refused(state, client, &error.to_string());
    }
    let who = &mut state.clients[client];
    if who.flags.has(ClientFlags::MULTI) {
        who.flags.set(ClientFlags::DIRTY_EXEC);
    }
    if let Some(id) = id {
        let entry = &mut state.commands[id];
        entry.stats.rejected += 1;
        if entry.flags.has(crate::command::Flag::QueueRunner) {
            clients::act::transaction::end_transaction(state, client);
            if error.redirects() {
                state.stats.count_error(error);
                return reply.error(error);
            }
            let reason = error.to_string();
            let reason = reason.strip_prefix("ERR ").unwrap_or(&reason);
            let text = format!("EXECABORT Transaction discarded because of: {reason}");
            let error = Error::coded(text);
            state.stats.count_error(&error);
            return reply.error(&error);
        }
    }
    state.stats.count_error(error);
    reply.error(error);
}
