//! Logins that modules decide: AUTH and HELLO ask the modules before they look at a password.
//!
//! ```text
//!   AUTH bob secret ─► callbacks, newest first ─► handled: logged in, or the module's error
//!                          │                  └─► not handled by any: the password decides
//!                          └─► BlockClientOnAuth: the client is blocked
//!                                UnblockClient ─► AUTH runs again ─► the reply callback, then the callbacks after it
//! ```
//!
//! Invariant: a client is in [`Modules::logins`](crate::modules::Modules::logins) from the first callback of a login to
//! its decision, and no longer than it lives.
//!
//! Mirrors: checkModuleAuthentication(), attemptNextAuthCb(), attemptBlockedAuthReplyCallback() of module.c.

use std::ffi::c_int;
use std::ptr;

use super::blocked::{self, Blocked};
use super::commands;
use super::context::{self, Auto, Context, Occasion, enter, unit, with};
use super::strings::{self, RString, bytes};
use crate::clients::{ClientFlags, ClientKey};
use crate::modules::{AuthCallback, FreeFn, Login, Opaque};
use crate::resp::argv::Argv;
use crate::resp::{Error, Reply, Value};
use crate::state::{ModuleLogin, State};

/// Decides a login: context, user name, password, where to put the words of an error.
pub type AuthFn =
    unsafe extern "C" fn(Opaque, *mut RString, *mut RString, *mut *mut RString) -> c_int;

/// A callback's answer: it decided the login, or blocked the client.
const HANDLED: c_int = 0;

pub unsafe extern "C" fn register(ctx: Opaque, run: AuthFn) {
    let Some(module) = (unsafe { context::of(ctx) }).and_then(|c| c.module.clone()) else {
        return;
    };
    with(|state| {
        let id = state.modules.number();
        let run = run as *const () as usize;
        state
            .modules
            .auth_callbacks
            .insert(0, AuthCallback { module, id, run });
    });
}

pub unsafe extern "C" fn block_on_login(
    ctx: Opaque,
    run: Option<AuthFn>,
    free: Option<FreeFn>,
) -> Opaque {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return ptr::null_mut();
    };
    let client = context.client;
    let logs_in = with(|state| client.is_some_and(|key| state.modules.login(key).is_some()));
    if logs_in != Some(true) {
        context.error(
            b"ERR Module blocking client on auth when not currently undergoing module authentication",
        );
        return ptr::null_mut();
    }
    unsafe { blocked::block_on_login(ctx, run, free) }
}

/// A client's login is over, or the client is.
pub fn forget(state: &mut State, client: ClientKey) {
    state.modules.logins.retain(|login| login.client != client);
}

/// A blocked login was unblocked: its command runs again, and comes to [`log_in`].
pub fn go_on(state: &mut State, client: ClientKey, address: usize) {
    if let Some(login) = state.modules.login(client) {
        login.answered = Some(address);
    }
    crate::dispatch::run_again(state, client);
    // The command may have been refused before it came there.
    let left = state
        .modules
        .login(client)
        .and_then(|login| login.answered.take());
    if left == Some(address) {
        forget(state, client);
        let handle: *const Blocked = ptr::with_exposed_provenance(address);
        // SAFETY: the handle is alive, because it is freed here alone.
        blocked::free_private(state, unsafe { &*handle }, address);
        blocked::release(state, address);
    }
}

/// Asks the modules about a login.
#[doc(alias = "checkModuleAuthentication")]
pub fn log_in(
    state: &mut State,
    client: ClientKey,
    request: Argv<'_>,
    name: &[u8],
    password: &[u8],
) -> ModuleLogin {
    if state.modules.auth_callbacks.is_empty() && state.modules.login(client).is_none() {
        return ModuleLogin::NotHandled;
    }
    if state.modules.login(client).is_none() {
        state.modules.logins.push(Login {
            client,
            last: None,
            accepted: false,
            answered: None,
        });
    }
    let words = Words::new(request, name, password);
    let mut said = answered(state, client, &words);
    while said.is_none() {
        let Some(next) = next_callback(state, client) else {
            break;
        };
        // SAFETY: `register` took the address of a function of this type, and its module is loaded.
        let run = unsafe { std::mem::transmute::<usize, AuthFn>(next.run) };
        let mut context = Context::new(Some(next.module), Occasion::Callback);
        said = ask(state, client, &mut context, run, &words);
    }
    let who = &state.clients[client];
    if who.flags.has(ClientFlags::BLOCKED) {
        return ModuleLogin::Blocked;
    }
    let authenticated = who.flags.has(ClientFlags::AUTHENTICATED);
    let accepted = state
        .modules
        .login(client)
        .is_some_and(|login| login.accepted);
    forget(state, client);
    match said {
        None => ModuleLogin::NotHandled,
        Some(None) if accepted && authenticated => ModuleLogin::Accepted,
        Some(error) => ModuleLogin::Denied(error),
    }
}

/// The callback after the one that was asked last.
fn next_callback(state: &mut State, client: ClientKey) -> Option<AuthCallback> {
    let last = state.modules.login(client)?.last;
    let all = &state.modules.auth_callbacks;
    let at = match last {
        None => 0,
        Some(last) => all.iter().position(|known| known.id == last)? + 1,
    };
    let next = all.get(at)?.clone();
    state.modules.login(client)?.last = Some(next.id);
    Some(next)
}

/// Calls the reply callback of the handle that the client was blocked under, if it was just unblocked.
#[doc(alias = "attemptBlockedAuthReplyCallback")]
fn answered(state: &mut State, client: ClientKey, words: &Words) -> Option<Option<Error>> {
    let address = state.modules.login(client)?.answered.take()?;
    let handle: *mut Blocked = ptr::with_exposed_provenance_mut(address);
    // SAFETY: the handle was unblocked and is alive until it is freed below.
    let own = unsafe { &*handle };
    let mut said = None;
    if let Some(run) = own.auth() {
        let mut context = blocked::context_for(own, address, Occasion::BlockedReply);
        said = ask(state, client, &mut context, run, words);
    }
    if let Some(id) = state.clients[client].last_command {
        state.commands[id].stats.usec += own.background().as_micros() as u64;
    }
    blocked::free_private(state, own, address);
    blocked::release(state, address);
    said
}

/// Calls a callback. `None`: it does not decide. Otherwise its error, if it has one.
fn ask(
    state: &mut State,
    client: ClientKey,
    context: &mut Context,
    run: AuthFn,
    words: &Words,
) -> Option<Option<Error>> {
    context.client = Some(client);
    context.command = state.clients[client].last_command;
    context.reply = Reply::to_value(state.clients[client].protocol);
    context.words = words.request.0.clone();
    let mut error: *mut RString = ptr::null_mut();
    let address: *mut *mut RString = &mut error;
    let mut denied = None;
    let mut automatic = false;
    let said = unit(state, |state| {
        let own: *const Context = &*context;
        enter(state, context, |ctx| {
            // SAFETY: context, words and the place for the error outlive the call.
            let said = unsafe { run(ctx, words.name, words.password, address) };
            if !error.is_null() {
                // SAFETY: a string that the module made, and leaves to the server.
                denied = Some(Error::quoting("ERR ", unsafe { bytes(error) }, ""));
                // SAFETY: the context is alive, and its module has returned.
                automatic = unsafe { &*own }.keeps(Auto::String(error));
            }
            said
        })
    });
    if !error.is_null() && !automatic {
        // SAFETY: as above; nobody else frees it.
        unsafe { strings::release(error) };
    }
    context.words.clear();
    let replied = std::mem::take(&mut context.reply).take_value();
    if let (None, Some(Value::Error(line))) = (&denied, replied) {
        denied = Some(Error::coded(line));
    }
    (said == HANDLED).then_some(denied)
}

/// The words of a login as strings of the interface.
struct Words {
    request: commands::Words,
    name: *mut RString,
    password: *mut RString,
}

impl Words {
    fn new(request: Argv<'_>, name: &[u8], password: &[u8]) -> Words {
        Words {
            request: commands::Words::new(request),
            name: strings::new(name),
            password: strings::new(password),
        }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        for word in [self.name, self.password] {
            // SAFETY: made by `new`; this is its reference.
            unsafe { strings::release(word) };
        }
    }
}
