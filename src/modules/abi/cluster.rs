//! Modules in a cluster: messages to modules of other nodes, and the nodes.
//!
//! Mirrors: RM_SendClusterMessage(), RM_GetClusterNodesList() and their kin of module.c.

use std::ffi::{c_char, c_int};
use std::ptr;

use super::codes::{ERR, OK};
use super::context::{self, Context, Occasion, enter, unit, with};
use super::memory;
use super::strings::{buffer, c_bytes};
use crate::cluster;
use crate::cluster::id::{ID_LEN, NodeId};
use crate::cluster::machine::{Input, Machine};
use crate::cluster::node::{Flags, Node};
use crate::cluster::slots::SlotSet;
use crate::modules::{Module, Opaque, Receiver, ReceiverFn};
use crate::state::State;
use crate::types::foreign::encode_id;
use crate::util::crc16::{SLOTS, key_hash_slot};

/// The number that stands for a module in messages: that of a type of its name. All modules whose names cannot be that
/// of a type share number 0.
fn number_of(module: &Module) -> [u8; 8] {
    let id = encode_id(module.name.as_bytes(), 0).unwrap_or(0);
    id.to_ne_bytes()
}

pub unsafe extern "C" fn register_receiver(ctx: Opaque, kind: u8, run: Option<ReceiverFn>) {
    let Some(module) = (unsafe { context::of(ctx) }).and_then(|c| c.module.clone()) else {
        return;
    };
    with(|state| {
        if !state.config.cluster_enabled {
            return;
        }
        let receivers = &mut state.modules.receivers;
        receivers.retain(|known| !(known.module.id == module.id && known.kind == kind));
        if let Some(run) = run {
            receivers.push(Receiver { module, kind, run });
        }
    });
}

/// A message came for a module.
#[doc(alias = "moduleCallClusterReceivers")]
pub fn receive(state: &mut State, from: &NodeId, module: [u8; 8], kind: u8, payload: &[u8]) {
    let mut receivers = state.modules.receivers.iter();
    let found = receivers.find(|known| known.kind == kind && number_of(&known.module) == module);
    let Some(receiver) = found.cloned() else {
        return;
    };
    let mut context = Context::new(Some(receiver.module), Occasion::Callback);
    let mut name = from.as_bytes().to_vec();
    name.push(0);
    unit(state, |state| {
        enter(state, &mut context, |address| {
            // SAFETY: the module is loaded; context, name and payload outlive the call.
            unsafe {
                (receiver.run)(
                    address,
                    name.as_ptr().cast(),
                    kind,
                    payload.as_ptr(),
                    payload.len() as u32,
                )
            };
        });
    });
}

pub unsafe extern "C" fn send(
    ctx: Opaque,
    target: *const c_char,
    kind: u8,
    message: *const c_char,
    len: u32,
) -> c_int {
    let Some(module) = (unsafe { context::of(ctx) }).and_then(|c| c.module.clone()) else {
        return ERR;
    };
    let to = match target.is_null() {
        true => None,
        false => match NodeId::parse(unsafe { buffer(target, ID_LEN) }) {
            Some(id) => Some(id),
            None => return ERR,
        },
    };
    let payload = unsafe { buffer(message, len as usize) };
    let sent = with(|state| {
        let machine = state.cluster.machine()?;
        if let Some(id) = &to {
            machine.nodes().find(id)?;
        }
        let input = Input::Module {
            to,
            module: number_of(&module),
            kind,
            payload,
        };
        cluster::act::carry::step(state, input);
        Some(())
    });
    if sent.flatten().is_some() { OK } else { ERR }
}

/// Nodes that have a name and an address.
fn listed(machine: &Machine) -> impl Iterator<Item = &Node> {
    let nodes = machine.nodes().by_id().map(|(_, node)| node);
    nodes.filter(|node| !node.flags.any(Flags::HANDSHAKE) && !node.flags.any(Flags::NO_ADDRESS))
}

/// Names of nodes: an array of pointers to forty bytes each, with NULL behind the last.
pub unsafe extern "C" fn nodes(_ctx: Opaque, count: *mut usize) -> *mut *mut c_char {
    let names = with(|state| {
        let machine = state.cluster.machine()?;
        let names = listed(machine).map(|node| *node.id.as_bytes());
        Some(names.collect::<Vec<[u8; ID_LEN]>>())
    });
    let Some(names) = names.flatten() else {
        return ptr::null_mut();
    };
    let bytes = (names.len() + 1) * size_of::<*mut c_char>();
    let list: *mut *mut c_char = memory::module_alloc(bytes).cast();
    for (at, name) in names.iter().enumerate() {
        // SAFETY: the block has room for all pointers and the NULL.
        unsafe { list.add(at).write(memory::copied(name, false)) };
    }
    unsafe {
        list.add(names.len()).write(ptr::null_mut());
        if !count.is_null() {
            *count = names.len();
        }
    }
    list
}

pub unsafe extern "C" fn free_nodes(list: *mut *mut c_char) {
    if list.is_null() {
        return;
    }
    let mut at = list;
    // SAFETY: an array that `nodes` made, with NULL behind the last.
    unsafe {
        while !(*at).is_null() {
            memory::free((*at).cast());
            at = at.add(1);
        }
        memory::free(list.cast());
    }
}

pub extern "C" fn size() -> usize {
    let count = with(|state| state.cluster.machine().map(|machine| machine.nodes().len()));
    count.flatten().unwrap_or(0)
}

/// Room for an address at the module's.
const ADDRESS: usize = 46;

pub unsafe extern "C" fn node_info(
    _ctx: Opaque,
    id: *const c_char,
    ip: *mut c_char,
    primary: *mut c_char,
    port: *mut c_int,
    flags: *mut c_int,
) -> c_int {
    // A name may come without a zero behind it: as `nodes` gave it.
    let Some(id) = NodeId::parse(unsafe { buffer(id, ID_LEN) }) else {
        return ERR;
    };
    let found = with(|state| {
        let machine = state.cluster.machine()?;
        let node = machine.nodes().get(machine.nodes().find(&id)?)?;
        if node.in_handshake() {
            return None;
        }
        let address = node.ip.map(|ip| ip.to_string()).unwrap_or_default();
        let of = node.primary.and_then(|key| machine.nodes().get(key));
        let of = of.filter(|_| node.is_replica()).map(|of| *of.id.as_bytes());
        let tls = state.config.tls_cluster;
        let port = if tls { node.tls_port } else { node.port };
        Some((address, of, port, node.flags))
    });
    let Some((address, of, its_port, its_flags)) = found.flatten() else {
        return ERR;
    };
    // SAFETY: the module gives NULL, or rooms of the sizes that the interface asks for.
    unsafe {
        if !ip.is_null() {
            let len = address.len().min(ADDRESS - 1);
            ptr::copy_nonoverlapping(address.as_ptr(), ip.cast(), len);
            ip.add(len).write(0);
        }
        if !primary.is_null() {
            let name = of.unwrap_or([0; ID_LEN]);
            ptr::copy_nonoverlapping(name.as_ptr(), primary.cast(), ID_LEN);
        }
        if !port.is_null() {
            *port = c_int::from(its_port);
        }
        if !flags.is_null() {
            let known = [
                Flags::MYSELF,
                Flags::PRIMARY,
                Flags::REPLICA,
                Flags::MAYBE_FAIL,
                Flags::FAIL,
                Flags::NO_FAILOVER,
            ];
            let bits = known.iter().enumerate().map(|(bit, flag)| {
                let on = its_flags.any(*flag);
                c_int::from(on) << bit
            });
            *flags = bits.fold(0, |all, bit| all | bit);
        }
    }
    OK
}

/// Ranges of slots: their number, then pairs of numbers of 16 bits.
#[repr(C)]
#[derive(Debug)]
pub struct Ranges {
    count: i32,
    // Pairs follow.
}

/// Ranges in memory of the module's.
pub(super) fn ranges_of(slots: &SlotSet) -> *mut Ranges {
    let ranges = slots.ranges();
    let bytes = size_of::<Ranges>() + ranges.len() * 2 * size_of::<u16>();
    let list: *mut Ranges = memory::module_alloc(bytes).cast();
    // SAFETY: the block has room for the number and all pairs.
    unsafe {
        (*list).count = ranges.len() as i32;
        let pairs: *mut u16 = list.add(1).cast();
        for (at, range) in ranges.iter().enumerate() {
            pairs.add(2 * at).write(*range.start());
            pairs.add(2 * at + 1).write(*range.end());
        }
    }
    list
}

/// The slots of this node, or of its primary; all slots of a server that is not in a cluster.
pub extern "C" fn local_ranges(_ctx: Opaque) -> *mut Ranges {
    let slots = with(|state| {
        let Some(machine) = state.cluster.machine() else {
            return (0..SLOTS).collect::<SlotSet>();
        };
        let owners = machine.owners();
        let owner = machine.myself().primary.unwrap_or(machine.my_key());
        let mine = |slot: &u16| owners.of(*slot) == Some(owner);
        (0..SLOTS).filter(mine).collect()
    });
    slots.map_or(ptr::null_mut(), |slots| ranges_of(&slots))
}

pub unsafe extern "C" fn free_ranges(_ctx: Opaque, ranges: *mut Ranges) {
    // SAFETY: made by `local_ranges`, or NULL.
    unsafe { memory::free(ranges.cast()) };
}

/// Whether keys of a slot are here to be read: the slot is this node's or its primary's, and is not on its way.
pub extern "C" fn can_access(slot: c_int) -> c_int {
    let Ok(slot) = u16::try_from(slot) else {
        return 0;
    };
    let access = with(|state| {
        let Some(machine) = state.cluster.machine() else {
            return slot < SLOTS;
        };
        let owner = machine.myself().primary.unwrap_or(machine.my_key());
        slot < SLOTS
            && machine.owners().of(slot) == Some(owner)
            && !cluster::act::moving::hides(state, slot)
    });
    c_int::from(access == Some(true))
}

/// Holds back the deletion of keys whose slots left, until `release_trim` was called as often.
pub unsafe extern "C" fn hold_trim(ctx: Opaque) -> c_int {
    let Some(module) = (unsafe { context::of(ctx) }).and_then(|c| c.module.clone()) else {
        return ERR;
    };
    let done = with(|state| state.modules.trim_holds.push(module.id));
    if done.is_some() { OK } else { ERR }
}

pub unsafe extern "C" fn release_trim(ctx: Opaque) -> c_int {
    let Some(module) = (unsafe { context::of(ctx) }).and_then(|c| c.module.clone()) else {
        return ERR;
    };
    let done = with(|state| {
        let holds = &mut state.modules.trim_holds;
        let at = holds.iter().position(|holder| *holder == module.id);
        at.map(|at| holds.swap_remove(at)).is_some()
    });
    if done == Some(true) { OK } else { ERR }
}

/// The secret that the nodes of the cluster share; NULL without a cluster.
pub unsafe extern "C" fn secret(_ctx: Opaque, len: *mut usize) -> *const c_char {
    let found = with(|state| {
        let secret = *state.cluster.machine()?.secret();
        let own = state
            .modules
            .secret
            .get_or_insert_with(|| Box::new([0; 40]));
        **own = secret;
        Some((own.as_ptr(), own.len()))
    });
    let (secret, bytes) = found.flatten().unwrap_or((ptr::null(), 0));
    if !len.is_null() {
        // SAFETY: the module has room for the length.
        unsafe { *len = bytes };
    }
    secret.cast()
}

/// Adds a command to what is sent to the new owner of slots, before their keys.
#[unsafe(no_mangle)]
unsafe extern "C" fn oxidis_module_slot_command(
    _ctx: Opaque,
    name: *const c_char,
    fmt: *const c_char,
    words: *const u64,
    _n: usize,
) -> c_int {
    let Some((argv, _)) = (unsafe { super::calls::words_of(name, fmt, words) }) else {
        context::set_errno(libc::EINVAL);
        return ERR;
    };
    let added = with(|state| {
        let Some((slots, _)) = &state.modules.slot_commands else {
            return Err(libc::EBADF);
        };
        let mut slot = None;
        for key in crate::modules::act::commands::keys_of(state, argv.as_argv())? {
            let of = key_hash_slot(argv.as_argv().get(key.position));
            if slot.is_some_and(|slot| slot != of) {
                return Err(libc::ENOTSUP);
            }
            slot = Some(of);
        }
        if slot.is_some_and(|slot| !slots.has(slot)) {
            return Err(libc::ERANGE);
        }
        if let Some((_, commands)) = &mut state.modules.slot_commands {
            commands.push(argv);
        }
        Ok(())
    });
    match added {
        Some(Ok(())) => OK,
        Some(Err(errno)) => {
            context::set_errno(errno);
            ERR
        }
        None => ERR,
    }
}

const NO_FAILOVER: u64 = 1 << 1;
const NO_REDIRECTION: u64 = 1 << 2;

pub unsafe extern "C" fn set_flags(_ctx: Opaque, flags: u64) {
    with(|state| {
        state.modules.no_failover |= flags & NO_FAILOVER != 0;
        state.modules.no_redirection |= flags & NO_REDIRECTION != 0;
        cluster::act::carry::configure(state);
    });
}

pub unsafe extern "C" fn add_latency(event: *const c_char, ms: i64) {
    let name = String::from_utf8_lossy(unsafe { c_bytes(event) }).into_owned();
    with(|state| {
        let names = &mut state.modules.latency_names;
        // A name lives as long as the process. A module has a handful of them.
        let name: &'static str = match names.iter().find(|known| **known == name) {
            Some(known) => known,
            None if names.len() < 1024 => {
                let name: &'static str = Box::leak(name.into_boxed_str());
                names.push(name);
                name
            }
            None => return,
        };
        crate::observe::act::calls::note_latency(state, name, ms.max(0) as u64);
    });
}
