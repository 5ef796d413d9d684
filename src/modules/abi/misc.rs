//! The rest of the interface: log, time, chance, clients, the state of the server, events and timers.
//!
//! Mirrors: the functions of these names of module.c.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use super::codes::{ERR, OK};
use super::context::{self, Context, Occasion, set_errno, with};
use super::strings::{self, RString, buffer, bytes, c_bytes};
use crate::clients::{Client, ClientFlags, ClientId};
use crate::modules::act::call::{Called, Caller, Options, call_command};
use crate::modules::{
    FreeDataFn, Listener, Module, NotifyFn, Opaque, PostJob, PostJobFn, SharedApi, Timer, TimerFn,
};
use crate::replication::link::Step;
use crate::resp::argv::OwnedArgv;
use crate::resp::{Protocol, Value};
use crate::state::State;
use crate::sys::clock::{Clock, unix_us};
use crate::sys::log::Level;
use crate::util::crc16::key_hash_slot;

// ---- The log -----------------------------------------------------------------------------------------

pub(super) fn level(word: &[u8]) -> Level {
    match word.to_ascii_lowercase().as_slice() {
        b"debug" => Level::Debug,
        b"notice" => Level::Notice,
        b"warning" => Level::Warning,
        _ => Level::Verbose,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn oxidis_module_log(
    ctx: Opaque,
    word: *const c_char,
    text: *const c_char,
    len: usize,
) {
    let (word, text) = unsafe { (level(c_bytes(word)), buffer(text, len)) };
    let text = String::from_utf8_lossy(text);
    match unsafe { context::of(ctx) }.and_then(|c| c.module.as_ref()) {
        Some(module) => module
            .log
            .write(word, &format_args!("<{}> {text}", module.name)),
        None => {
            with(|state| state.log.write(word, &format_args!("<module> {text}")));
        }
    }
}

pub unsafe extern "C" fn assertion(text: *const c_char, file: *const c_char, line: c_int) {
    let (text, file) = unsafe { (c_bytes(text), c_bytes(file)) };
    panic!(
        "a module's assertion failed: {} at {}:{line}",
        String::from_utf8_lossy(text),
        String::from_utf8_lossy(file)
    );
}

// ---- Time and chance ---------------------------------------------------------------------------------

pub extern "C" fn milliseconds() -> i64 {
    unix_us() / 1000
}

pub extern "C" fn microseconds() -> i64 {
    unix_us()
}

pub extern "C" fn cached_microseconds() -> i64 {
    with(|state| state.clock.unix_us()).unwrap_or_else(unix_us)
}

pub extern "C" fn monotonic_microseconds() -> u64 {
    with(|state| state.clock.monotonic_ns()).unwrap_or_else(|| Clock::machine().monotonic_ns())
        / 1000
}

/// Random bytes of the system.
fn random(len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 40);
    let mut entropy = crate::sys::entropy::Entropy::System;
    while bytes.len() < len {
        bytes.extend_from_slice(&entropy.seed().to_ne_bytes());
    }
    bytes.truncate(len);
    bytes
}

pub unsafe extern "C" fn random_bytes(out: *mut u8, len: usize) {
    let random = random(len);
    unsafe { ptr::copy_nonoverlapping(random.as_ptr(), out, len) };
}

pub unsafe extern "C" fn random_hex(out: *mut c_char, len: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let random: Vec<u8> = random(len)
        .into_iter()
        .map(|byte| DIGITS[usize::from(byte & 15)])
        .collect();
    unsafe { ptr::copy_nonoverlapping(random.as_ptr(), out.cast(), len) };
}

// ---- The module and the server -----------------------------------------------------------------------

pub unsafe extern "C" fn set_options(ctx: Opaque, options: c_int) {
    if let Some(module) = unsafe { context::of(ctx) }.and_then(|c| c.module.as_ref()) {
        module
            .options
            .store(options, std::sync::atomic::Ordering::Relaxed);
    }
}

pub extern "C" fn options_all() -> c_int {
    Module::HANDLE_IO_ERRORS
        | Module::NO_IMPLICIT_SIGNAL
        | Module::HANDLE_ASYNC_LOAD
        | Module::NESTED_NOTIFICATIONS
}

pub extern "C" fn server_version() -> c_int {
    let parts = crate::REDIS_VERSION.split('.');
    parts.fold(0, |n, part| n << 8 | part.parse().unwrap_or(0))
}

const FLAG_LUA: c_int = 1;
const FLAG_MULTI: c_int = 1 << 1;
const FLAG_PRIMARY: c_int = 1 << 2;
const FLAG_REPLICA: c_int = 1 << 3;
const FLAG_READ_ONLY: c_int = 1 << 4;
const FLAG_CLUSTER: c_int = 1 << 5;
const FLAG_AOF: c_int = 1 << 6;
const FLAG_RDB: c_int = 1 << 7;
const FLAG_MAXMEMORY: c_int = 1 << 8;
const FLAG_EVICT: c_int = 1 << 9;
const FLAG_OOM: c_int = 1 << 10;
const FLAG_OOM_WARNING: c_int = 1 << 11;
const FLAG_REPLICATED: c_int = 1 << 12;
const FLAG_LOADING: c_int = 1 << 13;
const FLAG_STALE: c_int = 1 << 14;
const FLAG_CONNECTING: c_int = 1 << 15;
const FLAG_TRANSFERRING: c_int = 1 << 16;
const FLAG_ONLINE: c_int = 1 << 17;
const FLAG_ACTIVE_CHILD: c_int = 1 << 18;
const FLAG_MULTI_DIRTY: c_int = 1 << 19;
const FLAG_CHILD: c_int = 1 << 20;
const FLAG_DENY_BLOCKING: c_int = 1 << 21;
const FLAG_RESP3: c_int = 1 << 22;
const FLAG_ASYNC_LOADING: c_int = 1 << 23;
const FLAG_STARTUP: c_int = 1 << 24;
const FLAG_DEBUG: c_int = 1 << 25;
const FLAG_TRIM: c_int = 1 << 26;
/// All flags up to the last one of the 8.8 header.
const FLAGS_ALL: c_int = (1 << 27) - 1;

pub extern "C" fn context_flags_all() -> c_int {
    FLAGS_ALL
}

pub unsafe extern "C" fn context_flags(ctx: Opaque) -> c_int {
    let context = unsafe { context::of(ctx) };
    let client = context.as_ref().and_then(|context| context.client);
    let loads = context.is_some_and(|context| context.occasion == Occasion::Load);
    with(|state| flags_of(state, client, loads)).unwrap_or(0)
}

fn flags_of(state: &State, client: Option<crate::clients::ClientKey>, loads: bool) -> c_int {
    let mut flags = 0;
    let mut put = |flag: c_int, on: bool| {
        if on {
            flags |= flag;
        }
    };
    let config = &state.config;
    if let Some(client) = client.and_then(|key| state.clients.get(key)) {
        let own = client.flags;
        let denies = ClientFlags::IN_EXEC | ClientFlags::FAKE | ClientFlags::SCRIPT;
        put(
            FLAG_DENY_BLOCKING,
            own.any(denies) && !own.has(ClientFlags::MAY_BLOCK),
        );
        put(FLAG_RESP3, client.protocol == Protocol::Resp3);
        put(FLAG_REPLICATED, own.has(ClientFlags::PRIMARY));
        put(
            FLAG_MULTI,
            own.any(ClientFlags::MULTI | ClientFlags::IN_EXEC),
        );
        put(FLAG_MULTI_DIRTY, own.has(ClientFlags::DIRTY_CAS));
        let debug = config.enable_debug_command.allows(client.is_local());
        put(FLAG_DEBUG, debug);
    }
    let served = state.current_client.and_then(|key| state.clients.get(key));
    put(
        FLAG_MULTI,
        served.is_some_and(|client| client.flags.has(ClientFlags::IN_EXEC)),
    );
    put(FLAG_LUA, state.scripts.run.is_some());
    put(FLAG_CLUSTER, config.cluster_enabled);
    put(FLAG_STARTUP, loads && state.tcp_port == 0);
    let loading = state.persistence.is_loading();
    put(
        FLAG_ASYNC_LOADING,
        loading && state.persistence.is_loading_beside(),
    );
    put(
        FLAG_LOADING,
        loading && !state.persistence.is_loading_beside(),
    );
    if config.maxmemory > 0 {
        put(FLAG_MAXMEMORY, true);
        let evicts = config.maxmemory_policy != crate::config::MaxmemoryPolicy::NoEviction;
        put(FLAG_EVICT, evicts);
        let used = crate::sys::alloc::used()
            .saturating_sub(crate::keyspace::act::evict::not_counted_for_evict(state));
        put(FLAG_OOM, used as u64 > config.maxmemory);
        put(
            FLAG_OOM_WARNING,
            used as f64 / config.maxmemory as f64 > 0.75,
        );
    }
    put(FLAG_AOF, config.appendonly);
    put(FLAG_RDB, !config.save.is_empty());
    if config.is_replica() {
        put(FLAG_REPLICA, true);
        put(FLAG_READ_ONLY, config.replica_read_only);
        let step = state.replication.link.step;
        put(
            FLAG_CONNECTING,
            matches!(step, Step::Connect | Step::Connecting),
        );
        put(FLAG_TRANSFERRING, step == Step::Transfer);
        put(FLAG_ONLINE, step == Step::Connected);
        put(FLAG_STALE, step != Step::Connected);
    } else {
        put(FLAG_PRIMARY, true);
    }
    let busy = state.persistence.running.is_some() || state.modules.child.is_some();
    put(FLAG_ACTIVE_CHILD, busy);
    put(FLAG_CHILD, crate::sys::fork::is_child());
    // To anybody, and so without a client.
    put(FLAG_DEBUG, config.enable_debug_command.allows(false));
    put(FLAG_TRIM, !state.cluster.channels.trims.is_empty());
    flags
}

pub extern "C" fn avoid_replica_traffic() -> c_int {
    let avoid = with(|state| {
        let failing_over =
            state.replication.failover.stage != crate::replication::failover::Stage::No;
        failing_over || state.pauses.mode() != crate::clients::PauseMode::None
    });
    c_int::from(avoid == Some(true))
}

pub extern "C" fn notify_classes() -> c_int {
    with(|state| state.config.notify_keyspace_events.bits() as c_int).unwrap_or(0)
}

/// All classes of keyspace events that modules may ask for.
pub extern "C" fn notify_flags_all() -> c_int {
    (1 << 18) - 1
}

pub extern "C" fn type_method_version() -> c_int {
    5
}

pub unsafe extern "C" fn key_slot(key: *const RString) -> u32 {
    u32::from(key_hash_slot(unsafe { bytes(key) }))
}

pub unsafe extern "C" fn key_slot_of_bytes(key: *const c_char, len: usize) -> u32 {
    u32::from(key_hash_slot(unsafe { buffer(key, len) }))
}

// ---- Clients -----------------------------------------------------------------------------------------

pub unsafe extern "C" fn client_id(ctx: Opaque) -> u64 {
    let client = unsafe { context::of(ctx) }.and_then(|c| c.client);
    let id = with(|state| {
        let client = client.and_then(|key| state.clients.get(key));
        client.map_or(0, |client| client.id.0)
    });
    id.unwrap_or(0)
}

/// Uses the client of this number; `None` and `errno` when there is none.
fn by_id<R>(id: u64, f: impl FnOnce(&mut State, crate::clients::ClientKey) -> R) -> Option<R> {
    let done = with(|state| {
        let key = state
            .clients
            .by_id(ClientId(id))
            .filter(|client| !client.flags.has(ClientFlags::FAKE))
            .map(|client| client.key)?;
        Some(f(state, key))
    });
    let done = done.flatten();
    if done.is_none() {
        set_errno(libc::ENOENT);
    }
    done
}

fn made(ctx: Opaque, text: Option<Vec<u8>>) -> *mut RString {
    let Some(text) = text else {
        return strings::none();
    };
    // SAFETY: the module passes its context or NULL.
    match unsafe { context::of(ctx) } {
        Some(context) => context.string(&text),
        None => strings::new(&text),
    }
}

pub unsafe extern "C" fn client_user_name(ctx: Opaque, id: u64) -> *mut RString {
    let name = by_id(id, |state, key| {
        let user = state.clients[key].user.as_ref();
        user.map(|user| user.name().to_vec())
    });
    made(ctx, name.flatten())
}

pub unsafe extern "C" fn client_name(ctx: Opaque, id: u64) -> *mut RString {
    let name = by_id(id, |state, key| state.clients[key].name.clone());
    made(ctx, name.filter(|name| !name.is_empty()))
}

pub unsafe extern "C" fn set_client_name(id: u64, name: *const RString) -> c_int {
    let name = match name.is_null() {
        true => b"".to_vec(),
        false => unsafe { bytes(name) }.to_vec(),
    };
    let printable = name.iter().all(|b| (b'!'..=b'~').contains(b));
    let done = by_id(id, |state, key| {
        if printable {
            state.clients[key].name = name;
        }
        printable
    });
    match done {
        Some(true) => OK,
        Some(false) => {
            set_errno(libc::EINVAL);
            ERR
        }
        None => ERR,
    }
}

/// Facts about a client, in version 1 of their layout.
#[repr(C)]
#[derive(Debug)]
pub struct ClientInfo {
    version: u64,
    flags: u64,
    id: u64,
    address: [c_char; 46],
    port: u16,
    db: u16,
}

const _: () = assert!(size_of::<ClientInfo>() == 80 && std::mem::offset_of!(ClientInfo, db) == 72);

/// The facts of a client.
pub fn describe(client: &Client) -> ClientInfo {
    let mut info = ClientInfo {
        version: 1,
        flags: 0,
        id: client.id.0,
        address: [0; 46],
        port: 0,
        db: client.db.0 as u16,
    };
    let mut put = |bit: u64, on: bool| {
        if on {
            info.flags |= bit;
        }
    };
    put(1 << 1, client.flags.has(ClientFlags::PUBSUB));
    put(1 << 2, client.flags.has(ClientFlags::BLOCKED));
    put(1 << 3, client.flags.has(ClientFlags::TRACKING));
    put(1 << 4, client.flags.has(ClientFlags::UNIX_SOCKET));
    put(
        1 << 5,
        client.flags.any(ClientFlags::MULTI | ClientFlags::IN_EXEC),
    );
    if let Ok(address) = client.address.parse::<std::net::SocketAddr>() {
        info.port = address.port();
        let text = address.ip().to_string();
        for (place, byte) in info.address.iter_mut().zip(text.bytes().take(45)) {
            *place = byte as c_char;
        }
    }
    info
}

pub unsafe extern "C" fn client_info(out: *mut ClientInfo, id: u64) -> c_int {
    let info = by_id(id, |state, key| describe(&state.clients[key]));
    let Some(info) = info else { return ERR };
    unsafe {
        if let Some(out) = out.as_mut() {
            if out.version != 1 {
                set_errno(libc::EINVAL);
                return ERR;
            }
            *out = info;
        }
    }
    OK
}

// ---- Messages ----------------------------------------------------------------------------------------

unsafe fn publish_with(command: &[u8], channel: *const RString, message: *const RString) -> c_int {
    let words = unsafe { [command, bytes(channel), bytes(message)] };
    let receivers = with(|state| {
        let caller = Caller {
            module: None,
            client: None,
            db: crate::keyspace::DbId(0),
            user: None,
            on_thread: false,
        };
        let argv = OwnedArgv::from_words(words);
        match call_command(state, &caller, argv, Options::default()) {
            Ok(Called::Replied(Value::Integer(n), _)) => n as c_int,
            _ => 0,
        }
    });
    receivers.unwrap_or(0)
}

pub unsafe extern "C" fn publish(
    _ctx: Opaque,
    channel: *const RString,
    message: *const RString,
) -> c_int {
    unsafe { publish_with(b"PUBLISH", channel, message) }
}

pub unsafe extern "C" fn publish_shard(
    _ctx: Opaque,
    channel: *const RString,
    message: *const RString,
) -> c_int {
    unsafe { publish_with(b"SPUBLISH", channel, message) }
}

// ---- Modules among themselves ------------------------------------------------------------------------

pub unsafe extern "C" fn export_api(
    ctx: Opaque,
    name: *const c_char,
    function: *mut c_void,
) -> c_int {
    let Some(owner) = (unsafe { context::of(ctx) })
        .and_then(|c| c.module.as_ref())
        .map(|module| module.id)
    else {
        return ERR;
    };
    let name = String::from_utf8_lossy(unsafe { c_bytes(name) }).into_owned();
    let done = with(|state| match state.modules.shared.contains_key(&name) {
        true => false,
        false => {
            let shared = SharedApi { owner, function };
            state.modules.shared.insert(name, shared);
            true
        }
    });
    if done == Some(true) { OK } else { ERR }
}

pub unsafe extern "C" fn shared_api(ctx: Opaque, name: *const c_char) -> *mut c_void {
    let user = unsafe { context::of(ctx) }
        .and_then(|c| c.module.as_ref())
        .map(|module| module.id);
    let name = String::from_utf8_lossy(unsafe { c_bytes(name) }).into_owned();
    let found = with(|state| {
        let shared = state.modules.shared.get(&name)?.clone();
        if let Some(user) = user {
            let pair = (user, shared.owner);
            if !state.modules.uses.contains(&pair) {
                state.modules.uses.push(pair);
            }
        }
        Some(shared.function)
    });
    found.flatten().unwrap_or(ptr::null_mut())
}

// ---- Keyspace events ---------------------------------------------------------------------------------

pub unsafe extern "C" fn subscribe(ctx: Opaque, classes: c_int, run: NotifyFn) -> c_int {
    let Some(module) = (unsafe { context::of(ctx) }).and_then(|c| c.module.clone()) else {
        return ERR;
    };
    let done = with(|state| {
        state.modules.listen(Listener {
            module,
            classes: classes as u32,
            run,
            active: false,
        });
    });
    if done.is_some() { OK } else { ERR }
}

/// Takes back what one call of `subscribe` with the same classes and function did.
pub unsafe extern "C" fn unsubscribe(ctx: Opaque, classes: c_int, run: NotifyFn) -> c_int {
    let Some(module) = (unsafe { context::of(ctx) }).and_then(|c| c.module.clone()) else {
        return ERR;
    };
    let address = run as *const () as usize;
    let removed = with(|state| {
        state.modules.stop_listening(|listener| {
            listener.module.id == module.id
                && listener.classes == classes as u32
                && listener.run as *const () as usize == address
        })
    });
    if removed == Some(true) { OK } else { ERR }
}

pub unsafe extern "C" fn notify_event(
    ctx: Opaque,
    class: c_int,
    name: *const c_char,
    key: *const RString,
) -> c_int {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return ERR;
    };
    let (name, key) = unsafe { (c_bytes(name), bytes(key)) };
    let done = with(|state| {
        let db = context.database(state);
        crate::keyspace::act::notify::notify_named(state, class as u32, name, db, key);
    });
    if done.is_some() { OK } else { ERR }
}

pub unsafe extern "C" fn add_post_job(
    ctx: Opaque,
    run: PostJobFn,
    data: Opaque,
    free: Option<FreeDataFn>,
) -> c_int {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return ERR;
    };
    let Some(module) = context.module.clone() else {
        return ERR;
    };
    let done = with(|state| {
        let read_only = state.config.is_replica() && state.config.replica_read_only;
        if state.persistence.is_loading() || read_only {
            return false;
        }
        let db = context.database(state);
        state.modules.post_jobs.push_back(PostJob {
            module,
            run,
            data,
            free,
            db,
        });
        true
    });
    if done == Some(true) { OK } else { ERR }
}

// ---- Timers ------------------------------------------------------------------------------------------

pub unsafe extern "C" fn create_timer(ctx: Opaque, ms: i64, run: TimerFn, data: Opaque) -> u64 {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return 0;
    };
    let Some(module) = context.module.clone() else {
        return 0;
    };
    let id = with(|state| {
        let id = state.modules.number();
        let now_us = state.clock.monotonic_ns() / 1000;
        let due = now_us.saturating_add(ms.max(0).unsigned_abs().saturating_mul(1000));
        let db = context.database(state);
        state.modules.timers.insert(
            (due, id),
            Timer {
                module,
                run,
                data,
                db,
            },
        );
        id
    });
    id.unwrap_or(0)
}

/// The place of a timer of this module.
fn timer_at(state: &State, context: &Context, id: u64) -> Option<(u64, u64)> {
    let own = context.module.as_ref()?.id;
    let mut timers = state.modules.timers.iter();
    let (at, _) = timers.find(|((_, known), timer)| *known == id && timer.module.id == own)?;
    Some(*at)
}

pub unsafe extern "C" fn stop_timer(ctx: Opaque, id: u64, data: *mut Opaque) -> c_int {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return ERR;
    };
    let stopped = with(|state| {
        let at = timer_at(state, context, id)?;
        state.modules.timers.remove(&at)
    });
    match stopped.flatten() {
        Some(timer) => {
            if !data.is_null() {
                unsafe { *data = timer.data };
            }
            OK
        }
        None => ERR,
    }
}

pub unsafe extern "C" fn timer_info(
    ctx: Opaque,
    id: u64,
    remaining: *mut u64,
    data: *mut Opaque,
) -> c_int {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return ERR;
    };
    let found = with(|state| {
        let at = timer_at(state, context, id)?;
        let now_us = state.clock.monotonic_ns() / 1000;
        let left = at.0.saturating_sub(now_us) / 1000;
        Some((left, state.modules.timers[&at].data))
    });
    let Some((left, own)) = found.flatten() else {
        return ERR;
    };
    unsafe {
        if !remaining.is_null() {
            *remaining = left;
        }
        if !data.is_null() {
            *data = own;
        }
    }
    OK
}
