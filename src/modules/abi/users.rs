//! Users of modules: made, judged, and logged in as.
//!
//! A user here is a value that is replaced when it changes, so a module's handle holds either a name of the server's
//! users, looked up at each use, or a user of its own.
//!
//! Invariant: `own` is the user that clients which were logged in by this handle act as, so that they can be found when
//! it goes.
//!
//! Mirrors: RM_CreateModuleUser() and the RM_ACL functions of module.c.

use std::ffi::{c_char, c_int};
use std::ptr;
use std::rc::Rc;

use super::codes::{ERR, OK};
use super::context::{self, Occasion, set_errno, with};
use super::strings::{self, RString, bytes, c_bytes};
use crate::acl::act as acl_act;
use crate::acl::{Context as AclContext, Reason, User};
use crate::clients::ClientKey;
use crate::modules::{AuthWatch, Opaque, UserChangedFn};
use crate::resp::argv::OwnedArgv;
use crate::state::State;
use crate::util::args;

/// A user, as a module has it.
#[derive(Debug)]
pub enum ModuleUser {
    /// One of the server's.
    Named(Vec<u8>),
    /// The module's own.
    Own(Rc<User>),
}

impl ModuleUser {
    fn get(&self, state: &State) -> Option<Rc<User>> {
        match self {
            ModuleUser::Named(name) => state.acl.user(name).cloned(),
            ModuleUser::Own(user) => Some(user.clone()),
        }
    }
}

unsafe fn of<'a>(user: *mut ModuleUser) -> Option<&'a mut ModuleUser> {
    // SAFETY: NULL, or a handle that this server made and the module did not free.
    unsafe { user.as_mut() }
}

pub unsafe extern "C" fn create(name: *const c_char) -> *mut ModuleUser {
    let name = unsafe { c_bytes(name) };
    let user = with(|state| Rc::new(User::new(name, acl_act::acl_vocabulary(state))));
    match user {
        Some(user) => Box::into_raw(Box::new(ModuleUser::Own(user))),
        None => ptr::null_mut(),
    }
}

pub unsafe extern "C" fn free(user: *mut ModuleUser) -> c_int {
    if user.is_null() {
        return OK;
    }
    let user = unsafe { Box::from_raw(user) };
    if let ModuleUser::Own(own) = &*user {
        with(|state| acl_act::expel_all(state, own));
    }
    OK
}

pub unsafe extern "C" fn by_name(name: *const RString) -> *mut ModuleUser {
    let name = unsafe { bytes(name) };
    let there = with(|state| state.acl.user(name).is_some());
    match there {
        Some(true) => Box::into_raw(Box::new(ModuleUser::Named(name.to_vec()))),
        _ => ptr::null_mut(),
    }
}

/// Changes a user by rules, all of them or none.
fn change(state: &mut State, user: &mut ModuleUser, rules: &[Vec<u8>]) -> Result<(), Vec<u8>> {
    let words: Vec<&[u8]> = rules.iter().map(Vec::as_slice).collect();
    match user {
        ModuleUser::Named(name) => {
            let changed = acl_act::set_user(state, name, &words);
            changed.map_err(|error| error.to_string().into_bytes())
        }
        ModuleUser::Own(own) => {
            let merged = crate::acl::merge_selectors(&words).map_err(|start| {
                [
                    b"Unmatched parenthesis in acl selector starting at '",
                    start,
                    b"'.",
                ]
                .concat()
            })?;
            let mut new = User::clone(own);
            for rule in merged {
                if let Err(error) = new.apply(&rule, acl_act::acl_vocabulary(state)) {
                    let rule = String::from_utf8_lossy(&rule);
                    let line = format!("Error in ACL SETUSER modifier '{rule}': {error}");
                    return Err(line.into_bytes());
                }
            }
            let new = Rc::new(new);
            acl_act::replace_everywhere(state, own, &new);
            *own = new;
            Ok(())
        }
    }
}

pub unsafe extern "C" fn set_rule(user: *mut ModuleUser, rule: *const c_char) -> c_int {
    let (Some(user), rule) = (unsafe { (of(user), c_bytes(rule)) }) else {
        return ERR;
    };
    let done = with(|state| change(state, user, &[rule.to_vec()]).is_ok());
    if done == Some(true) { OK } else { ERR }
}

pub unsafe extern "C" fn set_rules(
    ctx: Opaque,
    user: *mut ModuleUser,
    rules: *const c_char,
    error: *mut *mut RString,
) -> c_int {
    let (Some(user), rules) = (unsafe { (of(user), c_bytes(rules)) }) else {
        return ERR;
    };
    let rules = args::split(rules).unwrap_or_default();
    let done = with(|state| change(state, user, &rules));
    match done {
        Some(Ok(())) => OK,
        Some(Err(line)) => {
            unsafe {
                if !error.is_null() {
                    *error = match context::of(ctx) {
                        Some(context) => context.string(&line),
                        None => strings::new(&line),
                    };
                }
            }
            ERR
        }
        None => ERR,
    }
}

pub unsafe extern "C" fn describe(user: *mut ModuleUser) -> *mut RString {
    let Some(user) = (unsafe { of(user) }) else {
        return strings::none();
    };
    let line = with(|state| user.get(state).map(|user| user.line()));
    let Some(line) = line.flatten() else {
        return strings::none();
    };
    // Without `user <name> `.
    let mut words = line.splitn(3, |b| *b == b' ');
    strings::new(words.nth(2).unwrap_or_default())
}

pub unsafe extern "C" fn set_context_user(ctx: Opaque, user: *mut ModuleUser) {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return;
    };
    context.user_handle = user;
    let user = unsafe { of(user) };
    context.user = match user {
        Some(user) => with(|state| user.get(state)).flatten(),
        None => None,
    };
}

/// The handle that `set_context_user` was given.
pub unsafe extern "C" fn context_user(ctx: Opaque) -> *const ModuleUser {
    match unsafe { context::of(ctx) } {
        Some(context) => context.user_handle,
        None => ptr::null(),
    }
}

pub unsafe extern "C" fn name_of(user: *const ModuleUser) -> *mut RString {
    // SAFETY: NULL, or a handle that this server made and the module did not free.
    match unsafe { user.as_ref() } {
        Some(ModuleUser::Named(name)) => strings::new(name),
        Some(ModuleUser::Own(user)) => strings::new(user.name()),
        None => strings::none(),
    }
}

pub unsafe extern "C" fn current_name(ctx: Opaque) -> *mut RString {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return strings::none();
    };
    let name = with(|state| {
        let client = context.client.and_then(|key| state.clients.get(key))?;
        Some(client.user.as_ref()?.name().to_vec())
    });
    match name.flatten() {
        Some(name) => context.string(&name),
        None => context.string(b"default"),
    }
}

pub unsafe extern "C" fn check_command(
    user: *mut ModuleUser,
    argv: *const *mut RString,
    argc: c_int,
) -> c_int {
    let words = unsafe { strings::list(argv, usize::try_from(argc).unwrap_or(0)) };
    let Some(user) = (unsafe { of(user) }) else {
        return ERR;
    };
    // SAFETY: the module's strings are alive.
    let request = OwnedArgv::from_words(words.iter().map(|word| unsafe { bytes(*word) }));
    let argv = request.as_argv();
    let checked = with(|state| {
        if argv.is_empty() {
            return Err(libc::ENOENT);
        }
        let id = state.commands.lookup(argv).map_err(|_| libc::ENOENT)?;
        let user = user.get(state).ok_or(libc::EACCES)?;
        user.check(acl_act::asked(state, id, argv))
            .map_err(|_| libc::EACCES)
    });
    answer(checked)
}

fn answer(checked: Option<Result<(), c_int>>) -> c_int {
    match checked {
        Some(Ok(())) => OK,
        Some(Err(errno)) => {
            set_errno(errno);
            ERR
        }
        None => ERR,
    }
}

pub unsafe extern "C" fn check_key(
    user: *mut ModuleUser,
    key: *const RString,
    flags: c_int,
) -> c_int {
    unsafe { check_keys(user, key, flags, User::may_use_key) }
}

/// Whether a user may use all keys with a prefix.
pub unsafe extern "C" fn check_prefix(
    user: *mut ModuleUser,
    prefix: *const RString,
    flags: c_int,
) -> c_int {
    unsafe { check_keys(user, prefix, flags, User::may_use_prefix) }
}

unsafe fn check_keys(
    user: *mut ModuleUser,
    word: *const RString,
    flags: c_int,
    may: fn(&User, &[u8], &[crate::command::KeyFlag]) -> bool,
) -> c_int {
    // Access, update, insert, delete; none of them asks whether there is any right at all.
    const KNOWN: c_int = 16 | 32 | 64 | 128;
    if flags & !KNOWN != 0 {
        set_errno(libc::EINVAL);
        return ERR;
    }
    let (Some(user), word) = (unsafe { (of(user), bytes(word)) }) else {
        return ERR;
    };
    let flags = super::commands::key_flags(flags as u64);
    let checked = with(|state| {
        let user = user.get(state).ok_or(libc::EACCES)?;
        may(&user, word, flags).then_some(()).ok_or(libc::EACCES)
    });
    answer(checked)
}

pub unsafe extern "C" fn check_channel(
    user: *mut ModuleUser,
    channel: *const RString,
    flags: c_int,
) -> c_int {
    const PATTERN: c_int = 1;
    const UNSUBSCRIBE: c_int = 8;
    if flags & UNSUBSCRIBE != 0 {
        return OK;
    }
    let (Some(user), channel) = (unsafe { (of(user), bytes(channel)) }) else {
        return ERR;
    };
    let checked = with(|state| {
        let user = user.get(state).ok_or(libc::EACCES)?;
        let allowed = user.may_use_channel(channel, flags & PATTERN != 0);
        allowed.then_some(()).ok_or(libc::EACCES)
    });
    answer(checked)
}

fn reason(number: c_int) -> Option<Reason> {
    Some(match number {
        0 => Reason::Auth,
        1 => Reason::Command,
        2 => Reason::Key,
        3 => Reason::Channel,
        _ => return None,
    })
}

fn add_entry(context: &context::Context, name: &[u8], object: &[u8], number: c_int) -> c_int {
    let Some(reason) = reason(number) else {
        return ERR;
    };
    let done = with(|state| {
        let client = context.client.or(state.current_client);
        acl_act::note_for_module(state, client, reason, AclContext::Module, object, name);
    });
    if done.is_some() { OK } else { ERR }
}

pub unsafe extern "C" fn add_log_entry(
    ctx: Opaque,
    user: *mut ModuleUser,
    object: *const RString,
    number: c_int,
) -> c_int {
    unsafe {
        let (Some(context), Some(user)) = (context::of(ctx), of(user)) else {
            return ERR;
        };
        let name = with(|state| user.get(state).map(|user| user.name().to_vec()));
        add_entry(
            context,
            &name.flatten().unwrap_or_default(),
            bytes(object),
            number,
        )
    }
}

pub unsafe extern "C" fn add_log_entry_by_name(
    ctx: Opaque,
    user: *const RString,
    object: *const RString,
    number: c_int,
) -> c_int {
    unsafe {
        let Some(context) = context::of(ctx) else {
            return ERR;
        };
        add_entry(context, bytes(user), bytes(object), number)
    }
}

/// Logs the context's client in as a user.
fn log_in(
    context: &context::Context,
    state: &mut State,
    user: Rc<User>,
    changed: Option<UserChangedFn>,
    private: Opaque,
) -> Option<u64> {
    if !user.enabled() || context.occasion == Occasion::Thread && context.blocked.is_null() {
        return None;
    }
    let client: ClientKey = match context.client {
        Some(client) => client,
        // SAFETY: a thread's context is about a handle that is alive.
        None => unsafe { super::blocked::of_context(context) }?.client()?,
    };
    let who = state.clients.get(client)?;
    if who.flags.has(crate::clients::ClientFlags::FAKE) {
        return None;
    }
    let id = who.id.0;
    acl_act::act_as(state, client, user);
    state.clients[client]
        .flags
        .set(crate::clients::ClientFlags::AUTHENTICATED);
    if let Some(login) = state.modules.login(client) {
        login.accepted = true;
    }
    if let (Some(run), Some(module)) = (changed, context.module.clone()) {
        state.modules.auth_watches.push(AuthWatch {
            module,
            client,
            run,
            private,
        });
    }
    Some(id)
}

pub unsafe extern "C" fn log_in_as_name(
    ctx: Opaque,
    name: *const c_char,
    len: usize,
    changed: Option<UserChangedFn>,
    private: Opaque,
    id: *mut u64,
) -> c_int {
    unsafe {
        let Some(context) = context::of(ctx) else {
            return ERR;
        };
        let name = strings::buffer(name, len);
        let done = with(|state| {
            let user = state.acl.user(name).cloned()?;
            tell_changed(state, context.client);
            log_in(context, state, user, changed, private)
        });
        told(done.flatten(), id)
    }
}

pub unsafe extern "C" fn log_in_as(
    ctx: Opaque,
    user: *mut ModuleUser,
    changed: Option<UserChangedFn>,
    private: Opaque,
    id: *mut u64,
) -> c_int {
    unsafe {
        let (Some(context), Some(user)) = (context::of(ctx), of(user)) else {
            return ERR;
        };
        let done = with(|state| {
            let user = user.get(state)?;
            tell_changed(state, context.client);
            log_in(context, state, user, changed, private)
        });
        told(done.flatten(), id)
    }
}

unsafe fn told(done: Option<u64>, id: *mut u64) -> c_int {
    match done {
        Some(number) => {
            if !id.is_null() {
                unsafe { *id = number };
            }
            OK
        }
        None => ERR,
    }
}

/// A client that a module logged in acts as somebody else from now on, or is gone.
#[doc(alias = "moduleNotifyUserChanged")]
pub fn tell_changed(state: &mut State, client: Option<ClientKey>) {
    let Some(client) = client else { return };
    let watches = &mut state.modules.auth_watches;
    let Some(at) = watches.iter().position(|watch| watch.client == client) else {
        return;
    };
    let watch = watches.swap_remove(at);
    let id = state.clients.get(client).map_or(0, |who| who.id.0);
    context::lend(state, || {
        // SAFETY: the module is loaded while it watches.
        unsafe { (watch.run)(id, watch.private) }
    });
}

pub unsafe extern "C" fn log_out(ctx: Opaque, id: u64) -> c_int {
    let _ = ctx;
    let done = with(|state| {
        let id = crate::clients::ClientId(id);
        let client = state.clients.by_id(id).map(|client| client.key)?;
        acl_act::expel(state, client);
        Some(())
    });
    if done.flatten().is_some() { OK } else { ERR }
}
