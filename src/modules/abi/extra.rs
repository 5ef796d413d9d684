//! Functions that few modules call: the whole data set, the cluster, defragmentation, yielding.
//!
//! Memory is not defragmented here: the allocator gives pages back by itself. So callbacks for that are kept and never
//! called, and a function that asks to move a block answers that it stays where it is, which the interface allows.
//!
//! Mirrors: RM_ResetDataset(), RM_ClusterCanonicalKeyNameInSlot(), RM_Yield(), the RM_Defrag functions of module.c.

use std::ffi::{c_char, c_int, c_uint, c_ulong, c_void};
use std::ptr;

use super::codes::{ERR, OK};
use super::context::{self, with};
use super::gate;
use super::memory;
use super::strings::{self, RString, c_bytes};
use crate::clients::{ClientFlags, ClientId};
use crate::modules::Opaque;
use crate::persistence;
use crate::state::State;
use crate::util::crc16::key_hash_slot;

type OneShotFn = unsafe extern "C" fn(Opaque);

/// Empties all databases. Functions stay. The AOF, if it is on and the module wants that, is begun anew.
pub extern "C" fn reset_dataset(restart_aof: c_int, lazily: c_int) {
    with(|state| {
        let restart = restart_aof != 0 && state.config.appendonly;
        let gone = crate::keyspace::act::keys::empty(state, None);
        let keys: usize = gone.iter().map(|table| table.len()).sum();
        match lazily != 0 && keys > 0 {
            true => state.lazyfree.free(gone, keys),
            false => drop(gone),
        }
        persistence::act::saving::reset_rdb(state);
        if restart {
            persistence::act::rewrite::rewrite_aof(state);
        }
    });
}

/// Slots, each with the shortest name whose hash is in it.
const SLOTS: usize = 1 << 14;

pub unsafe extern "C" fn canonical_name(slot: c_uint) -> *const c_char {
    static NAMES: std::sync::OnceLock<Vec<[u8; 5]>> = std::sync::OnceLock::new();
    let names = NAMES.get_or_init(|| {
        const LETTERS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let mut names = vec![[0u8; 5]; SLOTS];
        let mut missing = SLOTS;
        for len in 1..=4 {
            let mut digits = [0usize; 4];
            while missing > 0 {
                let mut name = [0u8; 5];
                for at in 0..len {
                    name[at] = LETTERS[digits[at]];
                }
                let place = &mut names[usize::from(key_hash_slot(&name[..len]))];
                if place[0] == 0 {
                    *place = name;
                    missing -= 1;
                }
                let next = (0..len).rev().find(|at| {
                    digits[*at] = (digits[*at] + 1) % LETTERS.len();
                    digits[*at] != 0
                });
                if next.is_none() {
                    break;
                }
            }
        }
        names
    });
    match names.get(slot as usize) {
        Some(name) => name.as_ptr().cast(),
        None => ptr::null(),
    }
}

pub unsafe extern "C" fn my_cluster_id() -> *const c_char {
    static ID: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let id = with(|state| {
        let machine = state.cluster.machine()?;
        Some(machine.myself().id.as_bytes().to_vec())
    });
    match id.flatten() {
        Some(id) => {
            let text = ID.get_or_init(|| {
                let mut text = id;
                text.push(0);
                text
            });
            text.as_ptr().cast()
        }
        None => ptr::null(),
    }
}

/// Runs a function on the thread that owns the state, from whatever thread this is called.
pub unsafe extern "C" fn one_shot(run: Option<OneShotFn>, data: Opaque) -> c_int {
    let Some(run) = run else {
        context::set_errno(libc::EINVAL);
        return ERR;
    };
    let address = data.expose_provenance();
    let sent = gate::post(Box::new(move |state| {
        context::unit(state, |state| {
            context::lend(state, || {
                // SAFETY: the module's function for the module's pointer.
                unsafe { run(ptr::with_exposed_provenance_mut(address)) }
            });
        });
    }));
    if sent { OK } else { ERR }
}

const YIELD_CLIENTS: c_int = 1 << 1;

/// Lets others be served in the middle of a long command: they learn that the server is busy, once that is so for
/// `busy-reply-threshold`. While the data set is loaded they learn of that, and sooner.
#[doc(alias = "RM_Yield")]
pub unsafe extern "C" fn give_way(ctx: Opaque, flags: c_int, text: *const c_char) {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return;
    };
    let due = with(|state| {
        let now = state.clock.monotonic_ns();
        let turn = 1_000_000_000 / u64::from(state.hz.max(1));
        let first = match state.persistence.is_loading() {
            true => turn,
            false => state.config.busy_reply_threshold.saturating_mul(1_000_000),
        };
        let next = context
            .next_yield_ns
            .get_or_insert(now.saturating_add(first));
        let due = now >= *next;
        if due {
            *next = now + turn;
        }
        due
    });
    if due != Some(true) || flags & YIELD_CLIENTS == 0 {
        return;
    }
    let text = match text.is_null() {
        true => String::new(),
        false => String::from_utf8_lossy(unsafe { c_bytes(text) }).into_owned(),
    };
    if context::is_guest() {
        // The loop serves clients in a turn of its own.
        with(|state| state.modules.busy_reply = Some(text));
        gate::let_loop_run();
        return;
    }
    with(|state| {
        if state.persistence.is_loading() {
            state.serve_meanwhile();
            return;
        }
        // The request that led here has been read, and those behind it wait for its reply.
        let served = state.current_client;
        let mark = |state: &mut State, busy: bool| {
            if let Some(client) = served.and_then(|key| state.clients.get_mut(key)) {
                client.flags.put(ClientFlags::BUSY, busy);
            }
        };
        let nested = served
            .and_then(|key| state.clients.get(key))
            .is_some_and(|client| client.flags.has(ClientFlags::BUSY));
        let before = state.modules.busy_reply.replace(text);
        mark(state, true);
        state.serve_meanwhile();
        mark(state, nested);
        state.modules.yielded = served;
        state.modules.busy_reply = before;
    });
}

/// The certificate that a client showed, as PEM; NULL without one, or without such a client.
pub unsafe extern "C" fn certificate(ctx: Opaque, id: u64) -> *mut RString {
    let found = with(|state| {
        let client = state.clients.by_id(ClientId(id))?;
        client.certificate.clone()
    });
    match (found.flatten(), unsafe { context::of(ctx) }) {
        (Some(pem), Some(context)) => context.string(pem.as_bytes()),
        (Some(pem), None) => strings::new(pem.as_bytes()),
        (None, _) => strings::none(),
    }
}

pub unsafe extern "C" fn register_defrag(_ctx: Opaque, _run: *const c_void) -> c_int {
    OK
}

pub unsafe extern "C" fn register_defrag_callbacks(
    _ctx: Opaque,
    _start: *const c_void,
    _end: *const c_void,
) -> c_int {
    OK
}

/// A dictionary stays where it is, as every block does.
pub unsafe extern "C" fn defrag_dict(
    _ctx: Opaque,
    _dict: *mut c_void,
    _value: *const c_void,
    seek: *mut *mut RString,
) -> *mut c_void {
    if !seek.is_null() {
        // SAFETY: the module has room for the place to go on from; there is none, since all is done.
        unsafe { *seek = ptr::null_mut() };
    }
    ptr::null_mut()
}

pub unsafe extern "C" fn defrag_alloc(_ctx: Opaque, _data: *mut c_void) -> *mut c_void {
    ptr::null_mut()
}

pub unsafe extern "C" fn defrag_alloc_raw(_ctx: Opaque, size: usize) -> *mut c_void {
    memory::module_alloc(size)
}

pub unsafe extern "C" fn defrag_free_raw(_ctx: Opaque, data: *mut c_void) {
    unsafe { memory::free(data) }
}

pub unsafe extern "C" fn defrag_should_stop(_ctx: Opaque) -> c_int {
    1
}

pub unsafe extern "C" fn defrag_cursor_set(_ctx: Opaque, _cursor: c_ulong) -> c_int {
    ERR
}

pub unsafe extern "C" fn defrag_cursor_get(_ctx: Opaque, _cursor: *mut c_ulong) -> c_int {
    ERR
}

pub unsafe extern "C" fn defrag_db(_ctx: Opaque) -> c_int {
    -1
}

pub unsafe extern "C" fn defrag_key(_ctx: Opaque) -> *const RString {
    ptr::null()
}
