//! Blocked clients of modules, and contexts for threads.
//!
//! ```text
//!   BlockClient(ctx, …) -> handle        the client waits; the command returns
//!   a thread, or a timer                 replies into a context made for the handle
//!   UnblockClient(handle, data)          from any thread: a letter to the loop
//!   the loop                             reply callback -> free callback -> replies glued -> client goes on
//! ```
//!
//! Invariant: a handle is freed by the thread that owns the state alone, when its `UnblockClient` was taken up. Until
//! then a thread may hold its address. `client` is none once the client is gone, or if it was never blocked.
//!
//! Mirrors: RM_BlockClient(), moduleHandleBlockedClients(), moduleTryServeClientBlockedOnKey() of module.c.

use std::ffi::c_int;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::auth::AuthFn;
use super::codes::{ERR, OK};
use super::commands::Words;
use super::context::{self, Context, Occasion, enter, unit, with};
use super::gate;
use super::strings::{self, RString, bytes};
use crate::clients::act::waits::answer;
use crate::clients::{ClientFlags, ClientKey, WaitKind, Waiting};
use crate::command::Redacted;
use crate::keyspace::DbId;
use crate::modules::{CommandFn, FreeFn, Module, Opaque};
use crate::observe;
use crate::resp::argv::OwnedArgv;
use crate::resp::{Output, Protocol, Reply};
use crate::state::State;
use crate::sys::clock;

/// Called when the client is gone: context, handle.
pub type DisconnectFn = unsafe extern "C" fn(Opaque, Opaque);

const UNBLOCK_WHEN_DELETED: c_int = 1;

/// A blocked client.
#[derive(Debug)]
pub struct Blocked {
    module: Arc<Module>,
    client: Option<ClientKey>,
    reply: Option<CommandFn>,
    timeout: Option<CommandFn>,
    free: Option<FreeFn>,
    disconnect: Option<DisconnectFn>,
    auth: Option<Auth>,
    private: AtomicPtr<std::ffi::c_void>,
    db: DbId,
    protocol: Protocol,
    on_keys: bool,
    /// `UnblockClient` was called.
    unblocked: AtomicBool,
    /// Replies that threads wrote.
    pub(super) replies: Mutex<Reply>,
    errors: Mutex<Vec<String>>,
    clock: Mutex<(Option<Instant>, Duration)>,
}

/// The client was blocked in the middle of a login; `run` decides it, unless that was given up.
#[derive(Clone, Copy, Debug)]
struct Auth {
    run: Option<AuthFn>,
}

fn guard<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Blocked {
    /// The function that decides a login which blocked; none for other commands.
    pub(super) fn auth(&self) -> Option<AuthFn> {
        self.auth.and_then(|auth| auth.run)
    }

    /// Time that the module measured in the background.
    pub(super) fn background(&self) -> Duration {
        guard(&self.clock).1
    }

    /// The client, while it is blocked.
    pub fn client(&self) -> Option<ClientKey> {
        self.client
    }

    /// Notes an error that a thread replied, to be counted when the client is unblocked.
    pub fn note_error(&self, text: String) {
        guard(&self.errors).push(text);
    }

    /// Uses the replies of threads in the place of a context's own.
    pub fn swap_replies(&self, reply: &mut Reply, f: impl FnOnce(&mut Reply)) {
        let mut shared = guard(&self.replies);
        std::mem::swap(reply, &mut shared);
        f(reply);
        std::mem::swap(reply, &mut shared);
    }
}

/// The handle behind a pointer.
unsafe fn of<'a>(handle: Opaque) -> Option<&'a mut Blocked> {
    // SAFETY: NULL, or a handle that this server gave out and that is alive by the invariant at the top.
    unsafe { handle.cast::<Blocked>().as_mut() }
}

/// The blocked client that a context is about.
pub unsafe fn of_context<'a>(context: &Context) -> Option<&'a mut Blocked> {
    unsafe { of(context.blocked) }
}

#[allow(clippy::too_many_arguments)]
unsafe fn block(
    ctx: Opaque,
    reply: Option<CommandFn>,
    timeout: Option<CommandFn>,
    free: Option<FreeFn>,
    timeout_ms: i64,
    keys: Option<&[*mut RString]>,
    private: Opaque,
    flags: c_int,
) -> Opaque {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return ptr::null_mut();
    };
    let (Some(module), Some(client)) = (context.module.clone(), context.client) else {
        return ptr::null_mut();
    };
    let mut argv = OwnedArgv::default();
    for word in &context.words {
        argv.push(unsafe { bytes(*word) });
    }
    let blocked = with(|state| {
        let own = &state.clients[client];
        let refusal = if state.scripts.run.is_some() || own.flags.has(ClientFlags::SCRIPT) {
            Some("ERR Blocking module command called from Lua script")
        } else if own.flags.has(ClientFlags::IN_EXEC) {
            Some("ERR Blocking module command called from transaction")
        } else if context.occasion == Occasion::BlockedReply {
            Some("ERR Blocking module command called from a Reply callback context")
        } else if own.flags.has(ClientFlags::FAKE) && !own.flags.has(ClientFlags::MAY_BLOCK) {
            Some("ERR Blocking module command called from a call that may not block")
        } else {
            None
        };
        let protocol = own.protocol;
        let of_call = own.flags.has(ClientFlags::MAY_BLOCK);
        *state.modules.blocked.entry(module.id).or_default() += 1;
        let own = &state.clients[client];
        let handle = Box::into_raw(Box::new(Blocked {
            module,
            client: refusal.is_none().then_some(client),
            reply,
            timeout,
            free,
            disconnect: None,
            auth: None,
            private: AtomicPtr::new(private),
            db: own.db,
            protocol,
            on_keys: keys.is_some(),
            unblocked: AtomicBool::new(false),
            // A module's call that may block takes its reply as values.
            replies: Mutex::new(match of_call {
                true => Reply::to_value(protocol),
                false => Reply::to_wire(Output::new(), protocol),
            }),
            errors: Mutex::default(),
            clock: Mutex::new((None, Duration::ZERO)),
        }));
        if let Some(text) = refusal {
            return (handle, Some(text));
        }
        let deadline = match timeout_ms {
            ..=0 => None,
            ms => state.clock.unix_ms().checked_add(ms),
        };
        let kind = WaitKind::Module(handle.expose_provenance() as u64);
        let command = context
            .command
            .unwrap_or(crate::command::table::CommandId(0));
        let mut waiting = Waiting::new(kind, command, argv, deadline);
        waiting.even_without_key = flags & UNBLOCK_WHEN_DELETED != 0;
        let names = keys.unwrap_or_default().iter();
        // SAFETY: the module's strings are alive.
        let names = names.map(|name| unsafe { bytes(*name) });
        state
            .blocked
            .block(&mut state.clients, client, waiting, names);
        (handle, None)
    });
    let Some((handle, refusal)) = blocked else {
        return ptr::null_mut();
    };
    if let Some(text) = refusal {
        context.error(text.as_bytes());
    }
    handle.cast()
}

/// Blocks a client in the middle of a login: `run` decides it once the handle is unblocked.
pub(super) unsafe fn block_on_login(
    ctx: Opaque,
    run: Option<AuthFn>,
    free: Option<FreeFn>,
) -> Opaque {
    unsafe {
        let handle = block(ctx, None, None, free, 0, None, ptr::null_mut(), 0);
        if let Some(blocked) = of(handle) {
            blocked.auth = Some(Auth { run });
        }
        handle
    }
}

pub unsafe extern "C" fn block_client(
    ctx: Opaque,
    reply: Option<CommandFn>,
    timeout: Option<CommandFn>,
    free: Option<FreeFn>,
    timeout_ms: i64,
) -> Opaque {
    unsafe {
        block(
            ctx,
            reply,
            timeout,
            free,
            timeout_ms,
            None,
            ptr::null_mut(),
            0,
        )
    }
}

#[allow(clippy::too_many_arguments)]
pub unsafe extern "C" fn block_on_keys(
    ctx: Opaque,
    reply: Option<CommandFn>,
    timeout: Option<CommandFn>,
    free: Option<FreeFn>,
    timeout_ms: i64,
    keys: *const *mut RString,
    count: c_int,
    private: Opaque,
) -> Opaque {
    unsafe {
        block_on_keys_with_flags(
            ctx, reply, timeout, free, timeout_ms, keys, count, private, 0,
        )
    }
}

#[allow(clippy::too_many_arguments)]
pub unsafe extern "C" fn block_on_keys_with_flags(
    ctx: Opaque,
    reply: Option<CommandFn>,
    timeout: Option<CommandFn>,
    free: Option<FreeFn>,
    timeout_ms: i64,
    keys: *const *mut RString,
    count: c_int,
    private: Opaque,
    flags: c_int,
) -> Opaque {
    unsafe {
        let keys = strings::list(keys, usize::try_from(count).unwrap_or(0));
        block(
            ctx,
            reply,
            timeout,
            free,
            timeout_ms,
            Some(keys),
            private,
            flags,
        )
    }
}

pub unsafe extern "C" fn signal_key(ctx: Opaque, key: *const RString) {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return;
    };
    let key = unsafe { bytes(key) };
    with(|state| {
        let db = context.database(state);
        state.blocked.offer(db, key);
    });
}

pub unsafe extern "C" fn unblock(handle: Opaque, private: Opaque) -> c_int {
    let Some(blocked) = (unsafe { of(handle) }) else {
        return ERR;
    };
    if blocked.on_keys {
        if blocked.timeout.is_none() {
            return ERR;
        }
    } else {
        blocked.private.store(private, Ordering::Release);
    }
    if blocked.unblocked.swap(true, Ordering::AcqRel) {
        return OK;
    }
    let address = handle.expose_provenance();
    let sent = gate::post(Box::new(move |state| finish(state, address, true)));
    if sent { OK } else { ERR }
}

pub unsafe extern "C" fn abort(handle: Opaque) -> c_int {
    let Some(blocked) = (unsafe { of(handle) }) else {
        return ERR;
    };
    blocked.reply = None;
    blocked.disconnect = None;
    if !blocked.on_keys {
        // The private data stays the module's.
        blocked.private.store(ptr::null_mut(), Ordering::Release);
    }
    if let Some(auth) = &mut blocked.auth {
        auth.run = None;
    }
    if blocked.unblocked.swap(true, Ordering::AcqRel) {
        return OK;
    }
    let address = handle.expose_provenance();
    let sent = gate::post(Box::new(move |state| finish(state, address, false)));
    if sent { OK } else { ERR }
}

/// A context for a callback about a blocked client.
pub(super) fn context_for(blocked: &Blocked, address: usize, occasion: Occasion) -> Context {
    let mut context = Context::new(Some(blocked.module.clone()), occasion);
    context.client = blocked.client;
    context.db = blocked.db;
    context.blocked = ptr::with_exposed_provenance_mut(address);
    context.private = blocked.private.load(Ordering::Acquire);
    context
}

/// Calls a function of a command's form with the words of the blocked command.
fn run(
    state: &mut State,
    context: &mut Context,
    function: CommandFn,
    argv: &OwnedArgv,
    reply: &mut Reply,
) -> c_int {
    let mut words = Words::new(argv.as_argv());
    context.words = std::mem::take(&mut words.0);
    let mut list = context.words.clone();
    context.reply = std::mem::take(reply);
    let result = enter(state, context, |address| {
        // SAFETY: the module is loaded while clients of it are blocked; context and words outlive the call.
        unsafe { function(address, list.as_mut_ptr().cast(), list.len() as c_int) }
    });
    *reply = std::mem::take(&mut context.reply);
    words.0 = std::mem::take(&mut context.words);
    result
}

/// Calls the module's function for its private data.
pub(super) fn free_private(state: &mut State, blocked: &Blocked, address: usize) {
    let private = blocked.private.load(Ordering::Acquire);
    let (Some(free), false) = (blocked.free, private.is_null()) else {
        return;
    };
    let mut context = context_for(blocked, address, Occasion::Callback);
    context.disconnected = blocked.client.is_none();
    enter(state, &mut context, |ctx| {
        // SAFETY: the module's function for the module's pointer.
        unsafe { free(ctx, private) }
    });
}

/// Ends the wait of a client whose handle was unblocked, and frees the handle.
#[doc(alias = "moduleHandleBlockedClients")]
fn finish(state: &mut State, address: usize, with_reply: bool) {
    let handle: *mut Blocked = ptr::with_exposed_provenance_mut(address);
    // SAFETY: the handle is alive until this function frees it, and only the owner of the state comes here.
    let blocked = unsafe { &mut *handle };
    let client = blocked.client.filter(|key| {
        let waiting = state.clients.get(*key).and_then(|who| who.waiting.as_ref());
        waiting.is_some_and(|waiting| waiting.kind == WaitKind::Module(address as u64))
    });
    blocked.client = client;
    if let Some(key) = client.filter(|_| blocked.auth.is_some()) {
        return super::auth::go_on(state, key, address);
    }
    let waiting = client.and_then(|key| state.blocked.unblock(&mut state.clients, key));
    if let (Some(key), Some(waiting)) = (client, waiting) {
        let asker = state.current_client.replace(key);
        answer(state, key, waiting.silent, |state, reply| {
            let errors_before = reply.errors();
            let started = clock::instant();
            if with_reply
                && !blocked.on_keys
                && let Some(function) = blocked.reply
            {
                let mut context = context_for(blocked, address, Occasion::BlockedReply);
                context.command = Some(waiting.id);
                unit(state, |state| {
                    run(state, &mut context, function, &waiting.argv, reply)
                });
            }
            // A client blocked on keys that is unblocked by hand is answered as if its time were over.
            if with_reply
                && blocked.on_keys
                && let Some(function) = blocked.timeout
            {
                let mut context = context_for(blocked, address, Occasion::BlockedTimeout);
                context.command = Some(waiting.id);
                unit(state, |state| {
                    run(state, &mut context, function, &waiting.argv, reply)
                });
            }
            let replying = clock::since(started);
            free_private(state, blocked, address);
            let mut replies = std::mem::take(&mut *guard(&blocked.replies));
            for value in replies.take_values() {
                reply.value(&value);
            }
            if let Some(output) = replies.into_output() {
                reply.append(output);
            }
            let errors = std::mem::take(&mut *guard(&blocked.errors));
            for text in &errors {
                state.stats.count_error_text(text);
            }
            let ok = errors.is_empty() && reply.errors() == errors_before;
            account(state, blocked, key, &waiting, replying, ok);
        });
        state.current_client = asker;
        if let Some(who) = state.clients.get_mut(key) {
            who.written = state.replication.offset;
        }
        state.clients.resume(key);
    } else {
        free_private(state, blocked, address);
    }
    release(state, address);
}

/// Counts a command that ends now: what it took in the background, and its reply.
#[doc(alias = "updateStatsOnUnblock")]
fn account(
    state: &mut State,
    blocked: &Blocked,
    client: ClientKey,
    waiting: &Waiting,
    replying: Duration,
    ok: bool,
) {
    let ran = observe::Ran {
        client,
        id: waiting.id,
        argv: waiting.argv.as_argv(),
        redacted: Redacted::default(),
        elapsed_ns: (blocked.background() + replying).as_nanos() as u64,
        ok,
        outermost: true,
        replayed: false,
    };
    observe::act::calls::after_call(state, ran);
}

/// Frees a handle that its module gave up and that no client names any more.
pub(super) fn release(state: &mut State, address: usize) {
    let handle: *mut Blocked = ptr::with_exposed_provenance_mut(address);
    // SAFETY: as the caller says.
    let blocked = unsafe { Box::from_raw(handle) };
    if let Some(count) = state.modules.blocked.get_mut(&blocked.module.id) {
        *count = count.saturating_sub(1);
    }
}

/// Offers a key that became ready to a client blocked on it.
#[doc(alias = "moduleTryServeClientBlockedOnKey")]
pub fn serve(state: &mut State, client: ClientKey, key: &[u8]) {
    let Some(waiting) = state
        .clients
        .get(client)
        .and_then(|who| who.waiting.as_ref())
    else {
        return;
    };
    let WaitKind::Module(number) = waiting.kind else {
        return;
    };
    let (argv, id, silent) = (waiting.argv.clone(), waiting.id, waiting.silent);
    let address = number as usize;
    let handle: *mut Blocked = ptr::with_exposed_provenance_mut(address);
    // SAFETY: a client that waits under this handle keeps it alive.
    let blocked = unsafe { &mut *handle };
    if blocked.unblocked.load(Ordering::Acquire) {
        return;
    }
    let Some(function) = blocked.reply else {
        return;
    };
    let asker = state.current_client.replace(client);
    let mut served = false;
    answer(state, client, silent, |state, reply| {
        let errors_before = reply.errors();
        let started = clock::instant();
        let mut context = context_for(blocked, address, Occasion::BlockedReply);
        context.command = Some(id);
        context.ready_key = strings::new(key);
        let mark = reply.begin_command();
        let result = unit(state, |state| {
            run(state, &mut context, function, &argv, reply)
        });
        // SAFETY: made above.
        unsafe { strings::release(context.ready_key) };
        // The callback may have unblocked the client by other means.
        served = result == OK && !blocked.unblocked.swap(true, Ordering::AcqRel);
        if result != OK {
            reply.take_back(&mark);
        }
        reply.end_command(mark);
        if served {
            // Before the reply is handed over: to a module whose call this is, it then counts as complete.
            let waiting = state.blocked.unblock(&mut state.clients, client);
            let ok = reply.errors() == errors_before;
            if let Some(waiting) = waiting {
                account(state, blocked, client, &waiting, clock::since(started), ok);
            }
        }
    });
    state.current_client = asker;
    if !served {
        return;
    }
    free_private(state, blocked, address);
    if let Some(who) = state.clients.get_mut(client) {
        who.written = state.replication.offset;
        state.clients.resume(client);
    }
    release(state, address);
}

/// A blocked client's time is over, or somebody unblocks it: the module replies.
#[doc(alias = "moduleBlockedClientTimedOut")]
pub fn timed_out(state: &mut State, number: u64, argv: &OwnedArgv, reply: &mut Reply) -> u64 {
    let address = number as usize;
    let handle: *mut Blocked = ptr::with_exposed_provenance_mut(address);
    // SAFETY: the client waited under this handle, which its module has not given up.
    let blocked = unsafe { &mut *handle };
    blocked.disconnect = None;
    if let Some(function) = blocked.timeout {
        let mut context = context_for(blocked, address, Occasion::BlockedTimeout);
        unit(state, |state| {
            run(state, &mut context, function, argv, reply)
        });
    }
    blocked.client = None;
    let background = blocked.background().as_nanos() as u64;
    if blocked.on_keys && !blocked.unblocked.swap(true, Ordering::AcqRel) {
        finish(state, address, false);
    }
    background
}

/// A blocked client is gone: the module hears of it, and still has to give the handle up.
#[doc(alias = "unblockClientFromModule")]
pub fn gone(state: &mut State, number: u64) {
    let address = number as usize;
    let handle: *mut Blocked = ptr::with_exposed_provenance_mut(address);
    // SAFETY: the client waited under this handle, which its module has not given up.
    let blocked = unsafe { &mut *handle };
    if let Some(function) = blocked.disconnect.take() {
        let mut context = context_for(blocked, address, Occasion::Callback);
        context.disconnected = true;
        enter(state, &mut context, |ctx| {
            // SAFETY: the module is loaded while clients of it are blocked.
            unsafe { function(ctx, ptr::with_exposed_provenance_mut(address)) }
        });
    }
    if let Some(client) = blocked.client.take() {
        super::auth::forget(state, client);
    }
    if blocked.on_keys && !blocked.unblocked.swap(true, Ordering::AcqRel) {
        finish(state, address, false);
    }
}

/// Whether the module has unblocked the client, which is about to be answered.
pub fn is_unblocked(number: u64) -> bool {
    let handle: *const Blocked = ptr::with_exposed_provenance(number as usize);
    // SAFETY: the client waits under this handle, which its module has not given up.
    unsafe { (*handle).unblocked.load(Ordering::Acquire) }
}

/// Whether a wait can end before its time: only if the module has a function for that.
pub fn may_time_out(number: u64) -> bool {
    let handle: *const Blocked = ptr::with_exposed_provenance(number as usize);
    // SAFETY: a client that waits under this handle keeps it alive.
    unsafe { (*handle).timeout.is_some() }
}

pub unsafe extern "C" fn set_private(handle: Opaque, private: Opaque) {
    if let Some(blocked) = unsafe { of(handle) } {
        blocked.private.store(private, Ordering::Release);
    }
}

pub unsafe extern "C" fn get_private(handle: Opaque) -> Opaque {
    match unsafe { of(handle) } {
        Some(blocked) => blocked.private.load(Ordering::Acquire),
        None => ptr::null_mut(),
    }
}

pub unsafe extern "C" fn is_reply(ctx: Opaque) -> c_int {
    let context = unsafe { context::of(ctx) };
    c_int::from(context.is_some_and(|c| c.occasion == Occasion::BlockedReply))
}

pub unsafe extern "C" fn is_timeout(ctx: Opaque) -> c_int {
    let context = unsafe { context::of(ctx) };
    c_int::from(context.is_some_and(|c| c.occasion == Occasion::BlockedTimeout))
}

pub unsafe extern "C" fn private_of_context(ctx: Opaque) -> Opaque {
    unsafe { context::of(ctx) }.map_or(ptr::null_mut(), |c| c.private)
}

pub unsafe extern "C" fn handle_of_context(ctx: Opaque) -> Opaque {
    unsafe { context::of(ctx) }.map_or(ptr::null_mut(), |c| c.blocked)
}

pub unsafe extern "C" fn ready_key(ctx: Opaque) -> *mut RString {
    unsafe { context::of(ctx) }.map_or(ptr::null_mut(), |c| c.ready_key)
}

pub unsafe extern "C" fn is_disconnected(ctx: Opaque) -> c_int {
    let context = unsafe { context::of(ctx) };
    c_int::from(context.is_some_and(|c| c.disconnected))
}

pub unsafe extern "C" fn set_disconnect(handle: Opaque, function: Option<DisconnectFn>) {
    if let Some(blocked) = unsafe { of(handle) } {
        blocked.disconnect = function;
    }
}

pub unsafe extern "C" fn measure_start(handle: Opaque) -> c_int {
    let Some(blocked) = (unsafe { of(handle) }) else {
        return ERR;
    };
    guard(&blocked.clock).0 = Some(clock::instant());
    OK
}

pub unsafe extern "C" fn measure_end(handle: Opaque) -> c_int {
    let Some(blocked) = (unsafe { of(handle) }) else {
        return ERR;
    };
    let mut measured = guard(&blocked.clock);
    match measured.0.take() {
        Some(started) => {
            measured.1 += clock::since(started);
            OK
        }
        None => ERR,
    }
}

// ---- Contexts for threads ----------------------------------------------------------------------------

pub unsafe extern "C" fn thread_context(handle: Opaque) -> Opaque {
    let blocked = unsafe { of(handle) };
    let module = blocked.as_ref().map(|blocked| blocked.module.clone());
    let mut context = Context::new(module, Occasion::Thread);
    if let Some(blocked) = blocked {
        context.db = blocked.db;
        context.blocked = handle;
        context.reply = Reply::to_wire(Output::new(), blocked.protocol);
    }
    Box::into_raw(Box::new(context)).cast()
}

pub unsafe extern "C" fn detached_context(ctx: Opaque) -> Opaque {
    let module = unsafe { context::of(ctx) }.and_then(|c| c.module.clone());
    let context = Context::new(module, Occasion::Thread);
    Box::into_raw(Box::new(context)).cast()
}

pub unsafe extern "C" fn free_context(ctx: Opaque) {
    if ctx.is_null() {
        return;
    }
    let mut context = unsafe { Box::from_raw(ctx.cast::<Context>()) };
    context.free_auto();
}
