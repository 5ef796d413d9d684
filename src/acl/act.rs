//! Users as the rest of the server meets them: logging in, being refused, losing one's rights.
//!
//! Invariant: a client has `RESTRICTED` exactly if it acts as a user that may not do everything.
//!
//! Mirrors: the parts of acl.c that touch clients and files.
//! Differs: a user is replaced, never changed, so each client that acted as the old one is moved to the new one here.

use std::rc::Rc;

use crate::acl::{
    Acl, Asked, Context, Denied, Incident, Reason, User, Vocabulary, merge_selectors,
};
use crate::clients::{Client, ClientFlags, ClientKey, ClientKind};
use crate::command::table::CommandId;
use crate::config::{AclPubsubDefault, disk};
use crate::pubsub::{Kind, Subscriptions};
use crate::resp::Error;
use crate::resp::argv::Argv;
use crate::state::{ModuleLogin, State};
use crate::{acl, observe};

/// Largest ACL file that is read.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// The vocabulary of ACL rules on this server: its commands, and the default for channels.
pub fn acl_vocabulary(state: &State) -> Vocabulary<'_> {
    Vocabulary {
        commands: &state.commands,
        all_channels: state.config.acl_pubsub_default == AclPubsubDefault::AllChannels,
    }
}

/// Lets a client act as a user.
pub fn act_as(state: &mut State, client: ClientKey, user: Rc<User>) {
    if !state.modules.auth_watches.is_empty()
        && let Some(doors) = state.module_doors
    {
        (doors.user_changed)(state, Some(client));
    }
    let restricted = user.is_restricted();
    if let Some(client) = state.clients.get_mut(client) {
        client.flags.put(ClientFlags::RESTRICTED, restricted);
        client.user = Some(user);
    }
}

/// Lets a client act as the default user. Returns whether that takes no password.
pub fn act_as_default(state: &mut State, client: ClientKey) -> bool {
    let user = state.acl.default_user().clone();
    let open = user.is_open();
    if let Some(client) = state.clients.get_mut(client) {
        client.flags.put(ClientFlags::AUTHENTICATED, open);
    }
    act_as(state, client, user);
    open
}

/// Lets a client act as a user, if a module or the password says so. The one place where passwords are checked;
/// `request` is the client's. False: a module blocked the client, and its request runs again when that is over.
///
/// # Errors
/// WRONGPASS, or the error of a module.
#[doc(alias = "ACLAuthenticateUser")]
pub fn authenticate(
    state: &mut State,
    client: ClientKey,
    request: Argv<'_>,
    name: &[u8],
    password: &[u8],
) -> Result<bool, Error> {
    const WRONG: &str = "WRONGPASS invalid username-password pair or user is disabled.";
    if !state.modules.auth_callbacks.is_empty()
        && let Some(doors) = state.module_doors
    {
        match (doors.log_in)(state, client, request, name, password) {
            ModuleLogin::NotHandled => {}
            ModuleLogin::Accepted => return Ok(true),
            ModuleLogin::Denied(error) => return Err(error.unwrap_or(Error::coded(WRONG))),
            ModuleLogin::Blocked => return Ok(false),
        }
    }
    let user = state.acl.user(name).filter(|user| user.accepts(password));
    let Some(user) = user.cloned() else {
        let context = acl_context(state, client);
        let said = request.get(0);
        note_denied(state, client, Reason::Auth, context, said, name);
        return Err(Error::coded(WRONG));
    };
    act_as(state, client, user);
    state.clients[client].flags.set(ClientFlags::AUTHENTICATED);
    Ok(true)
}

/// Whether a client has yet to log in: it has not, and the default user needs a password.
#[doc(alias = "authRequired")]
#[inline]
pub fn owes_auth(state: &State, client: &Client) -> bool {
    !client.flags.has(ClientFlags::AUTHENTICATED) && !state.acl.default_user().is_open()
}

/// Whether protected mode refuses clients of other hosts: it is on, and the default user needs no password.
pub fn protects_itself(state: &State) -> bool {
    state.config.protected_mode && state.acl.default_user().nopass()
}

/// Lets a client act as the user that its certificate names, if there is such a user and it is on.
pub fn act_as_certified(state: &mut State, client: ClientKey, name: &[u8]) {
    let user = state.acl.user(name).filter(|user| user.enabled());
    if let Some(user) = user.cloned() {
        act_as(state, client, user);
        state.clients[client].flags.set(ClientFlags::AUTHENTICATED);
    } else {
        state.stats.acl_denied_tls_cert += 1;
    }
}

/// Lets the default user log in with the password of `requirepass` alone.
#[doc(alias = "ACLUpdateDefaultUserPassword")]
pub fn follow_requirepass(state: &mut State) {
    let password = state.config.requirepass.as_deref();
    let user = state.acl.default_user_with(password);
    put_user(state, user);
}

/// Whether a client's user allows a request. O(1) for a user without restrictions.
#[doc(alias = "ACLCheckAllPerm")]
#[inline]
pub fn check_rights(
    state: &State,
    client: ClientKey,
    id: CommandId,
    argv: Argv<'_>,
) -> Result<(), Denied> {
    let client = &state.clients[client];
    match &client.user {
        Some(user) if client.flags.has(ClientFlags::RESTRICTED) => {
            user.check(asked(state, id, argv))
        }
        _ => Ok(()),
    }
}

/// Whether a client's user allows a request together with reading any key there is: SORT finds keys by
/// patterns in its arguments.
#[doc(alias = "ACLUserCheckCmdWithUnrestrictedKeyAccess")]
pub fn may_read_all_keys(state: &State, client: ClientKey, id: CommandId, argv: Argv<'_>) -> bool {
    let client = &state.clients[client];
    match &client.user {
        Some(user) if client.flags.has(ClientFlags::RESTRICTED) => {
            user.check_reading_all(asked(state, id, argv))
        }
        _ => true,
    }
}

/// A request, as the check asks for it.
pub fn asked<'a>(state: &'a State, id: CommandId, argv: Argv<'a>) -> Asked<'a> {
    Asked {
        commands: &state.commands,
        id,
        argv,
    }
}

/// Logs a refused request in ACL LOG, and returns the words of the error without a code.
pub fn deny(
    state: &mut State,
    client: ClientKey,
    id: CommandId,
    argv: Argv<'_>,
    denied: Denied,
    context: Context,
) -> Vec<u8> {
    let command = state.commands.declared_name(id);
    let object = match denied.reason {
        Reason::Command => command.as_bytes(),
        _ => argv.get(denied.position),
    };
    let user = state.clients[client].user.clone();
    let name = user.as_ref().map_or(&b""[..], |user| user.name());
    note_denied(state, client, denied.reason, context, object, name);
    match denied.reason {
        Reason::Key => b"No permissions to access a key".to_vec(),
        Reason::Channel => b"No permissions to access a channel".to_vec(),
        _ => denied_words(name, denied.reason, command.as_bytes()),
    }
}

/// As [`deny`], for a request that a client sent.
#[cold]
pub fn deny_request(
    state: &mut State,
    client: ClientKey,
    id: CommandId,
    argv: Argv<'_>,
    denied: Denied,
) -> Error {
    let context = acl_context(state, client);
    let text = deny(state, client, id, argv, denied, context);
    Error::quoting("NOPERM ", &text, "")
}

fn acl_context(state: &State, client: ClientKey) -> Context {
    match state.clients[client].flags.has(ClientFlags::MULTI) {
        true => Context::Multi,
        false => Context::TopLevel,
    }
}

fn note_denied(
    state: &mut State,
    client: ClientKey,
    reason: Reason,
    context: Context,
    object: &[u8],
    username: &[u8],
) {
    state.stats.acl_denied[match reason {
        Reason::Command => 0,
        Reason::Key => 1,
        Reason::Channel => 2,
        Reason::Auth => 3,
    }] += 1;
    // Of a script, the client that called it.
    let client = state.current_client.unwrap_or(client);
    let client = state.clients.get(client);
    let line = client.map(|client| observe::act::clients::describe_client(state, client, None));
    let incident = Incident {
        reason,
        context,
        object,
        username,
        client: line.unwrap_or_default(),
    };
    let now = state.keyspace.env().now_ms();
    state
        .acl
        .log
        .note(incident, now, state.config.acllog_max_len);
}

/// Changes a user by rules, or makes one; all of the rules or none.
///
/// # Errors
/// The line that says which rule is wrong.
#[doc(alias = "ACLStringSetUser")]
pub fn set_user(state: &mut State, name: &[u8], rules: &[&[u8]]) -> Result<(), Error> {
    let rules = merge_selectors(rules).map_err(|start| {
        let before = "ERR Unmatched parenthesis in acl selector starting at '";
        Error::quoting(before, start, "'.")
    })?;
    let vocabulary = acl_vocabulary(state);
    let mut user = match state.acl.user(name) {
        Some(user) => User::clone(user),
        None => User::new(name, vocabulary),
    };
    for rule in rules {
        if let Err(error) = user.apply(&rule, vocabulary) {
            let before = "ERR Error in ACL SETUSER modifier '";
            return Err(Error::quoting(before, &rule, &format!("': {error}")));
        }
    }
    put_user(state, user);
    Ok(())
}

/// Puts a user in the place of the one with its name. Clients that acted as that one act as this one, but for
/// subscribers to what it may not use: they are sent away.
#[doc(alias = "ACLKillPubsubClientsIfNeeded")]
fn put_user(state: &mut State, user: User) {
    let user = Rc::new(user);
    let old = state.acl.user(user.name()).cloned();
    state.acl.put(user.clone());
    let Some(old) = old else {
        return;
    };
    let lost = old.channels_lost_to(&user);
    for client in acting_as(state, &old) {
        match &lost {
            Some(kept) if listens_beyond(state, client, kept) => expel(state, client),
            _ => act_as(state, client, user.clone()),
        }
    }
}

/// Follows the rules of all users anew: commands were added or removed.
#[doc(alias = "ACLRecomputeCommandBitsFromCommandRulesAllUsers")]
pub fn recompute_users(state: &mut State) {
    let users: Vec<Rc<User>> = state.acl.users().cloned().collect();
    for old in users {
        let mut user = User::clone(&old);
        user.recompute(acl_vocabulary(state));
        if user != *old {
            put_user(state, user);
        }
    }
}

/// Closes all clients that act as a user: one of a module's, which goes.
pub fn expel_all(state: &mut State, user: &Rc<User>) {
    for client in acting_as(state, user) {
        expel(state, client);
    }
}

/// Clients that acted as one user act as another: a module changed a user of its own.
pub fn replace_everywhere(state: &mut State, old: &Rc<User>, new: &Rc<User>) {
    for client in acting_as(state, old) {
        act_as(state, client, new.clone());
    }
}

/// Logs a refusal that a module decided on.
pub fn note_for_module(
    state: &mut State,
    client: Option<ClientKey>,
    reason: Reason,
    context: Context,
    object: &[u8],
    username: &[u8],
) {
    if let Some(client) = client.filter(|key| state.clients.get(*key).is_some()) {
        note_denied(state, client, reason, context, object, username);
    }
}

/// Removes a user and closes its clients. Returns whether there was one.
#[doc(alias = "ACLFreeUserAndKillClients")]
pub fn delete_user(state: &mut State, name: &[u8]) -> bool {
    let Some(user) = state.acl.remove(name) else {
        return false;
    };
    for client in acting_as(state, &user) {
        expel(state, client);
    }
    true
}

fn acting_as(state: &State, user: &Rc<User>) -> Vec<ClientKey> {
    let is = |known: &Option<Rc<User>>| known.as_ref().is_some_and(|u| Rc::ptr_eq(u, user));
    let clients = state.clients.iter().filter(|client| is(&client.user));
    clients.map(|client| client.key).collect()
}

/// Whether a client is subscribed to more than these patterns allow.
#[doc(alias = "ACLShouldKillPubsubClient")]
fn listens_beyond(state: &State, client: ClientKey, globs: &[&[u8]]) -> bool {
    let client = &state.clients[client];
    let beyond = |own: &Subscriptions, kind: Kind| {
        let mut names = own.names(kind);
        names.any(|name| !acl::allows_channel(globs.iter().copied(), name, kind == Kind::Pattern))
    };
    let own = client.subscriptions.as_deref();
    client.kind() == ClientKind::PubSub
        && own.is_some_and(|own| {
            let kinds = [Kind::Pattern, Kind::Channel, Kind::Shard];
            kinds.into_iter().any(|kind| beyond(own, kind))
        })
}

/// Takes a client's rights and closes its connection; its own command it may still finish. A client without a
/// socket has no connection to close: the one of scripts keeps the rights of its last caller, which end with the
/// script, and gets those of the next caller before it runs anything.
#[doc(alias = "deauthenticateAndCloseClient")]
pub fn expel(state: &mut State, key: ClientKey) {
    if state.clients[key].flags.has(ClientFlags::FAKE) {
        return;
    }
    act_as_default(state, key);
    state.clients[key].flags.clear(ClientFlags::AUTHENTICATED);
    if state.current_client == Some(key) {
        state.clients[key].flags.set(ClientFlags::CLOSE_AFTER_REPLY);
    } else {
        state.clients.close_asap(key);
    }
}

/// Reads the users of `aclfile` in the place of those there are, all or none. Clients whose user is gone, or
/// that listen to what it may no longer use, are sent away.
///
/// # Errors
/// All that is wrong, in one line.
#[doc(alias = "ACLLoadFromFile")]
pub fn load_acl_file(state: &mut State) -> Result<(), Vec<u8>> {
    let name = &state.config.aclfile;
    let path = state.config.dir.join(name);
    let text = state.disk.read(&path, MAX_FILE_BYTES).map_err(|error| {
        let reason = disk::reason(&error);
        format!("Error loading ACLs, opening file '{name}': {reason}").into_bytes()
    })?;
    let users = Acl::parse_file(&text, name, acl_vocabulary(state))?;
    state.acl.replace(users);
    let clients = state.clients.iter();
    let clients: Vec<_> = clients.map(|c| (c.key, c.user.clone())).collect();
    for (client, old) in clients {
        let Some(old) = old else {
            continue; // A client without a user may do everything.
        };
        let Some(new) = state.acl.user(old.name()).cloned() else {
            expel(state, client);
            continue;
        };
        match old.channels_lost_to(&new) {
            Some(kept) if listens_beyond(state, client, &kept) => expel(state, client),
            _ => act_as(state, client, new),
        }
    }
    Ok(())
}

/// Writes all users to `aclfile`; false, and a line in the log, when that fails.
#[doc(alias = "ACLSaveToFile")]
pub fn save_acl_file(state: &mut State) -> bool {
    let path = state.config.dir.join(&state.config.aclfile);
    match disk::replace(&state.disk, &path, &state.acl.file_text()) {
        Ok(()) => true,
        Err(error) => {
            let reason = disk::reason(&error);
            state
                .log
                .warning(format_args!("Writing ACL file for ACL SAVE: {reason}"));
            false
        }
    }
}

/// Makes the users the configuration names, in its own lines or in `aclfile`; false, and lines in the log, when
/// they cannot be.
#[doc(alias = "ACLLoadUsersAtStartup")]
pub fn load_users(state: &mut State) -> bool {
    let declared = state.config.directives.users.clone();
    let file = !state.config.aclfile.is_empty();
    if file && !declared.is_empty() {
        state.log.warning(
            "Configuring Redis with users defined in redis.conf and at the same setting an ACL file \
             path is invalid. This setup is very likely to lead to configuration errors and security \
             holes, please define either an ACL file or declare users directly in your redis.conf, \
             but not both.",
        );
        return false;
    }
    for words in &declared {
        if let Err(line) = load_user(state, words) {
            state.log.warning(line);
            state
                .log
                .warning("Critical error while loading ACLs. Exiting.");
            return false;
        }
    }
    if file && let Err(errors) = load_acl_file(state) {
        let errors = String::from_utf8_lossy(&errors);
        state.log.warning(format_args!(
            "Aborting Redis startup because of ACL errors: {errors}"
        ));
        return false;
    }
    true
}

/// A `user` line of the configuration, without its first word.
#[doc(alias = "ACLLoadConfiguredUsers")]
fn load_user(state: &mut State, words: &[Vec<u8>]) -> Result<(), String> {
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let Some((name, rules)) = words.split_first() else {
        return Ok(());
    };
    if acl::has_spaces(name) {
        return Err("Spaces not allowed in ACL usernames".into());
    }
    let shown = String::from_utf8_lossy(name);
    let wrong = |rule: &[u8], what: &dyn std::fmt::Display| {
        let rule = String::from_utf8_lossy(rule);
        format!("Error loading ACL rule '{rule}' for the user named '{shown}': {what}")
    };
    let rules = merge_selectors(rules).map_err(|start| wrong(start, &"Syntax error"))?;
    let vocabulary = acl_vocabulary(state);
    let mut user = User::new(name, vocabulary);
    for rule in rules {
        user.apply(&rule, vocabulary)
            .map_err(|error| wrong(&rule, &error))?;
    }
    if !user.enabled() {
        state.log.notice(format_args!(
            "The user '{shown}' is disabled (there is no 'on' modifier in the user description). Make \
             sure this is not a configuration error."
        ));
    }
    put_user(state, user);
    Ok(())
}

/// The sentence that says what was refused to whom.
#[doc(alias = "getAclErrorMessage")]
pub fn denied_words(user: &[u8], reason: Reason, object: &[u8]) -> Vec<u8> {
    let (may_not, kind) = match reason {
        Reason::Key => ("access", "key"),
        Reason::Channel => ("access", "channel"),
        Reason::Command | Reason::Auth => ("run", "command"),
    };
    let before = format!(" has no permissions to {may_not} the '");
    let after = format!("' {kind}");
    [b"User ", user, before.as_bytes(), object, after.as_bytes()].concat()
}
