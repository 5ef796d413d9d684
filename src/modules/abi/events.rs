//! Server events: what happens to the server, told to modules that subscribed.
//!
//! Invariant: the layouts of the data are the interface's; each begins with its version, which is 1.
//!
//! Mirrors: RM_SubscribeToServerEvent() and moduleFireServerEvent() of module.c.

use std::ffi::{CString, c_char, c_int};
use std::ptr;

use super::cluster::{Ranges, ranges_of};
use super::codes::{ERR, OK};
use super::context::{self, Context, Occasion, enter, unit, with};
use super::misc::describe;
use super::{keys, memory};
use crate::cluster::id::{ID_LEN, NodeId};
use crate::keyspace::DbId;
use crate::modules::{EventData, EventId, Hook, Opaque, ServerEvent};
use crate::state::State;

/// An event as C names it: its number, and the version of its data.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EventC {
    id: u64,
    version: u64,
}

type HookFn = unsafe extern "C" fn(Opaque, EventC, u64, Opaque);

/// The sub-events of each event, how many there are; 0 for an event that does not exist (any more).
const SUB_EVENTS: [u64; 20] = [2, 6, 2, 5, 2, 0, 2, 2, 1, 2, 2, 1, 0, 2, 3, 2, 1, 4, 7, 3];

pub unsafe extern "C" fn subscribe(ctx: Opaque, event: EventC, run: Option<HookFn>) -> c_int {
    let Some(module) = (unsafe { context::of(ctx) }).and_then(|c| c.module.clone()) else {
        return ERR;
    };
    // Of an event that does not exist any more (12) a module never hears; it may ask for it all the same.
    if event.id >= SUB_EVENTS.len() as u64 || event.version > 1 {
        return ERR;
    }
    let done = with(|state| {
        let modules = &mut state.modules;
        modules
            .hooks
            .retain(|hook| !(hook.module.id == module.id && hook.event == event.id));
        if let Some(run) = run {
            modules.hooks.push(Hook {
                module,
                event: event.id,
                run: run as *const () as usize,
                active: false,
            });
        }
        modules.count_hooks();
    });
    if done.is_some() { OK } else { ERR }
}

pub extern "C" fn is_supported(event: EventC, sub: u64) -> c_int {
    let subs = SUB_EVENTS.get(event.id as usize).copied().unwrap_or(0);
    c_int::from(sub < subs)
}

#[repr(C)]
struct RoleData {
    version: u64,
    primary: c_int,
    host: *const c_char,
    port: c_int,
    first_id: *const c_char,
    second_id: *const c_char,
    first_offset: u64,
    second_offset: u64,
}

const _: () = assert!(size_of::<RoleData>() == 64);

#[repr(C)]
struct Pair {
    version: u64,
    first: i32,
    second: i32,
}

#[repr(C)]
struct Named {
    version: u64,
    name: *const c_char,
    number: i32,
}

#[repr(C)]
struct Names {
    version: u64,
    count: u32,
    names: *const *const c_char,
}

#[repr(C)]
struct MovingData {
    version: u64,
    source: [u8; ID_LEN + 1],
    dest: [u8; ID_LEN + 1],
    task: *const c_char,
    slots: *mut Ranges,
}

const _: () = assert!(size_of::<MovingData>() == 112);

#[repr(C)]
struct SlotsData {
    version: u64,
    slots: *mut Ranges,
}

/// A node's name with a zero behind it.
fn named(id: &NodeId) -> [u8; ID_LEN + 1] {
    let mut name = [0; ID_LEN + 1];
    name[..ID_LEN].copy_from_slice(id.as_bytes());
    name
}

#[repr(C)]
struct KeyData {
    version: u64,
    key: *mut keys::Key,
}

/// Tells all modules that subscribed.
#[doc(alias = "moduleFireServerEvent")]
pub fn fire(state: &mut State, event: &ServerEvent<'_>) {
    let id = event.id as u64;
    for at in 0..state.modules.hooks.len() {
        let Some(hook) = state.modules.hooks.get(at) else {
            return;
        };
        if hook.event != id || hook.active {
            continue;
        }
        // A module does not hear of itself being loaded or unloaded.
        if let EventData::Module { id, .. } = event.data
            && hook.module.id == id
        {
            continue;
        }
        let hook = hook.clone();
        state.modules.hooks[at].active = true;
        call(state, &hook, event);
        if let Some(own) = state.modules.hooks.get_mut(at) {
            own.active = false;
        }
    }
}

fn call(state: &mut State, hook: &Hook, event: &ServerEvent<'_>) {
    let mut context = Context::new(Some(hook.module.clone()), Occasion::Callback);
    // SAFETY: `subscribe` took the address of a function of this type.
    let run = unsafe { std::mem::transmute::<usize, HookFn>(hook.run) };
    let name = EventC {
        id: event.id as u64,
        version: 1,
    };
    let sub = event.sub;
    let tell = |state: &mut State, context: &mut Context, data: Opaque| {
        enter(state, context, |address| {
            // SAFETY: the module is loaded; context and data outlive the call.
            unsafe { run(address, name, sub, data) }
        });
    };
    match &event.data {
        EventData::None => unit(state, |state| tell(state, &mut context, ptr::null_mut())),
        EventData::Pair(first, second) => {
            let mut data = Pair {
                version: 1,
                first: *first,
                second: *second,
            };
            if event.id == EventId::FlushDb && *second >= 0 {
                context.db = DbId(*second as u32);
            }
            let data: *mut Pair = &mut data;
            unit(state, |state| tell(state, &mut context, data.cast()));
        }
        EventData::Client(client) => {
            let Some(who) = state.clients.get(*client) else {
                return;
            };
            let mut data = describe(who);
            context.client = Some(*client);
            let data: *mut super::misc::ClientInfo = &mut data;
            unit(state, |state| tell(state, &mut context, data.cast()));
        }
        EventData::Module { name, version, .. } => {
            let name = CString::new(*name).unwrap_or_default();
            let mut data = Named {
                version: 1,
                name: name.as_ptr(),
                number: *version,
            };
            let data: *mut Named = &mut data;
            unit(state, |state| tell(state, &mut context, data.cast()));
        }
        EventData::Names(names) => {
            let names: Vec<CString> = names
                .iter()
                .map(|name| CString::new(*name).unwrap_or_default())
                .collect();
            let list: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
            let mut data = Names {
                version: 1,
                count: list.len() as u32,
                names: list.as_ptr(),
            };
            let data: *mut Names = &mut data;
            unit(state, |state| tell(state, &mut context, data.cast()));
        }
        EventData::Moving(task) => {
            let id = named(&task.id);
            let mut data = MovingData {
                version: 1,
                source: named(&task.source),
                dest: named(&task.dest),
                task: id.as_ptr().cast(),
                slots: ranges_of(&task.slots),
            };
            let data: *mut MovingData = &mut data;
            unit(state, |state| tell(state, &mut context, data.cast()));
            // SAFETY: made above; by contract the module keeps no pointer to it.
            unsafe { memory::free((*data).slots.cast()) };
        }
        EventData::Slots(slots) => {
            let mut data = SlotsData {
                version: 1,
                slots: ranges_of(slots),
            };
            let data: *mut SlotsData = &mut data;
            unit(state, |state| tell(state, &mut context, data.cast()));
            // SAFETY: as above.
            unsafe { memory::free((*data).slots.cast()) };
        }
        EventData::Role => {
            let replication = &state.replication;
            let text = |text: &str| CString::new(text).unwrap_or_default();
            let primary = state.config.replicaof.as_ref();
            let host = primary.map_or_else(CString::default, |of| text(&of.host));
            let port = primary.map_or(0, |of| c_int::from(of.port));
            let (first, second) = (text(&replication.id), text(""));
            let mut data = RoleData {
                version: 1,
                primary: c_int::from(primary.is_none()),
                host: host.as_ptr(),
                port,
                first_id: first.as_ptr(),
                second_id: second.as_ptr(),
                first_offset: replication.offset,
                second_offset: 0,
            };
            let data: *mut RoleData = &mut data;
            unit(state, |state| tell(state, &mut context, data.cast()));
        }
    }
}

/// Tells of a key whose value is about to go, which modules may still read.
pub fn fire_key(state: &mut State, sub: u64, db: DbId, key: &[u8]) {
    for hook in state.modules.hooks.clone() {
        if hook.event != EventId::Key as u64 {
            continue;
        }
        let mut context = Context::new(Some(hook.module.clone()), Occasion::Callback);
        context.db = db;
        let address: *mut Context = &mut context;
        let handle = keys::make(address, db, key, keys::READ | keys::ACCESS_EXPIRED);
        let mut data = KeyData {
            version: 1,
            key: handle,
        };
        let data: *mut KeyData = &mut data;
        // SAFETY: `subscribe` took the address of a function of this type.
        let run = unsafe { std::mem::transmute::<usize, HookFn>(hook.run) };
        let name = EventC {
            id: hook.event,
            version: 1,
        };
        state.effects.enter();
        enter(state, &mut context, |address| {
            // SAFETY: the module is loaded; context, data and key outlive the call. By contract it does not close the
            // key.
            unsafe {
                run(address, name, sub, data.cast());
                keys::free(handle);
            }
        });
        if state.effects.leave() {
            crate::command::act::after_unit(state);
        }
    }
}
