//! Data types of modules: a value is a pointer that only the module understands.
//!
//! ```text
//!   key -> Foreign -> Arc -> Held { type, content }        content: the module's pointer, or, after a change under a
//!   snapshot ---------^                                    snapshot, the bytes of what it was ("hollow")
//! ```
//!
//! A snapshot shares the `Arc`. The module changes in place what its pointer points to, so sharing freezes nothing by
//! itself. Therefore a value that is opened for writing while it is shared is serialised first: the snapshot keeps the
//! bytes, and the live key gets a holder of its own for the same pointer. A value that nobody opens for writing is
//! serialised when the thread that saves comes to it: that thread asks the owner of the state, and waits.
//!
//! Invariant: a module's functions for values run on the thread that owns the state alone, but for `free` of a type that
//! tells the effort of freeing, which Redis too calls on another thread. `pointer` of a content belongs to one holder;
//! the last owner of that holder frees it.
//!
//! Mirrors: moduleType, moduleValue, RM_CreateDataType() and their kin of module.c; rdbSaveObject() of rdb.c.
//! Differs: Redis saves in a forked child. `docs/DIFFERENCES.md` tells what a module that changes values without opening
//! their keys for writing sees.

use std::any::Any;
use std::ffi::{c_char, c_int};
use std::ptr;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use super::codes::{ERR, OK};
use super::context::{self, Occasion, with};
use super::gate;
use super::io::{Digest, Io};
use super::keys::{Key, using};
use super::strings::{self, RString, bytes, c_bytes};
use crate::keyspace::act::keys;
use crate::keyspace::{DbId, Deadline, NewValue};
use crate::modules::{Module, Opaque, TypeEntry};
use crate::state::State;
use crate::types::foreign::{ForeignValue, Place, Raw, encode_id};
use crate::types::{Foreign, Held as _};

type Load = unsafe extern "C" fn(*mut Io, c_int) -> Opaque;
type Save = unsafe extern "C" fn(*mut Io, Opaque);
type Rewrite = unsafe extern "C" fn(*mut Io, *mut RString, Opaque);
type Usage = unsafe extern "C" fn(Opaque) -> usize;
type DigestFn = unsafe extern "C" fn(*mut Digest, Opaque);
type Free = unsafe extern "C" fn(Opaque);
type AuxLoad = unsafe extern "C" fn(*mut Io, c_int, c_int) -> c_int;
type AuxSave = unsafe extern "C" fn(*mut Io, c_int);
type Effort = unsafe extern "C" fn(*mut RString, Opaque) -> usize;
type Unlink = unsafe extern "C" fn(*mut RString, Opaque);
type Copy = unsafe extern "C" fn(*mut RString, *mut RString, Opaque) -> Opaque;
type Usage2 = unsafe extern "C" fn(*mut KeyContext, Opaque, usize) -> usize;
type Effort2 = unsafe extern "C" fn(*mut KeyContext, Opaque) -> usize;
type Unlink2 = unsafe extern "C" fn(*mut KeyContext, Opaque);
type Copy2 = unsafe extern "C" fn(*mut KeyContext, Opaque) -> Opaque;

/// The functions of a type, as the module gives them: version 5 of the structure.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Methods {
    version: u64,
    load: Option<Load>,
    save: Option<Save>,
    rewrite: Option<Rewrite>,
    usage: Option<Usage>,
    digest: Option<DigestFn>,
    free: Option<Free>,
    // Version 2.
    aux_load: Option<AuxLoad>,
    aux_save: Option<AuxSave>,
    aux_triggers: c_int,
    // Version 3.
    effort: Option<Effort>,
    unlink: Option<Unlink>,
    copy: Option<Copy>,
    defrag: Opaque,
    // Version 4.
    usage2: Option<Usage2>,
    effort2: Option<Effort2>,
    unlink2: Option<Unlink2>,
    copy2: Option<Copy2>,
    // Version 5.
    aux_save2: Option<AuxSave>,
}

const _: () = assert!(size_of::<Methods>() == 152);

/// Bytes of the structure up to each version.
const SIZES: [usize; 5] = [56, 80, 112, 144, 152];
const VERSION: u64 = 5;

/// A data type.
#[derive(Debug)]
pub struct Type {
    module: Arc<Module>,
    name: &'static str,
    id: u64,
    methods: Methods,
    owner: ThreadId,
}

// SAFETY: what a type holds is never changed; its functions are called as the invariant at the top says.
unsafe impl Send for Type {}
// SAFETY: as above.
unsafe impl Sync for Type {}

/// Source and target of what is done to a value.
#[derive(Debug)]
pub struct KeyContext {
    from: *mut RString,
    to: *mut RString,
    from_db: i32,
    to_db: i32,
}

impl KeyContext {
    /// Both of them; a place without a key has no name.
    pub fn new(from: Place<'_>, to: Place<'_>) -> KeyContext {
        KeyContext {
            from: from.key.map_or(strings::none(), strings::new),
            to: to.key.map_or(strings::none(), strings::new),
            from_db: from.db,
            to_db: to.db,
        }
    }
}

impl Drop for KeyContext {
    fn drop(&mut self) {
        for name in [self.from, self.to] {
            if !name.is_null() {
                // SAFETY: the references made by `new`.
                unsafe { strings::release(name) };
            }
        }
    }
}

/// The value in a holder.
#[derive(Debug)]
struct Content {
    pointer: Opaque,
    /// The bytes of a value whose pointer went to another holder.
    hollow: Option<Vec<u8>>,
}

// SAFETY: the pointer is used as the invariant at the top says.
unsafe impl Send for Content {}

/// A value of a module's type.
#[derive(Debug)]
struct Held {
    kind: &'static Type,
    content: Mutex<Content>,
}

impl Held {
    fn new(kind: &'static Type, pointer: Opaque) -> Held {
        Held {
            kind,
            content: Mutex::new(Content {
                pointer,
                hollow: None,
            }),
        }
    }

    fn content(&self) -> std::sync::MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value as bytes, on the thread that owns the state.
    fn saved_here(&self, pointer: Opaque, place: Place<'_>) -> Option<Vec<u8>> {
        let save = self.kind.methods.save?;
        let mut io = Io::saving(&self.kind.module, place, true);
        // SAFETY: the module's function for the module's pointer.
        unsafe { save(&mut io, pointer) };
        Some(io.finish(true))
    }

    fn is_here(&self) -> bool {
        has_state(self.kind.owner)
    }
}

/// Whether this thread has the state to itself: as its owner, as a thread of a module that holds the lock, or as the one
/// thread of a copy of the process.
pub(super) fn has_state(owner: ThreadId) -> bool {
    thread::current().id() == owner || context::is_guest() || crate::sys::fork::is_child()
}

/// Has the owner of the state do something with a value, and waits for the answer; `None` when there is none within a
/// minute, or no owner any more.
pub(super) fn ask_owner<T: Sync + 'static, R: Send + 'static>(
    value: &T,
    place: Place<'_>,
    f: impl FnOnce(&T, Place<'_>) -> R + Send + 'static,
) -> Option<R> {
    const PATIENCE: Duration = Duration::from_secs(60);
    let (send, receive) = sync_channel(1);
    let address: *const T = value;
    let address = Arc::new(Mutex::new(Some(address.expose_provenance())));
    let (key, db) = (place.key.map(<[u8]>::to_vec), place.db);
    let asked = address.clone();
    let posted = gate::post(Box::new(move |state| {
        let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = *asked {
            // SAFETY: whoever asks waits, and so keeps the value alive, until it has the answer or takes the address back;
            // the lock is held meanwhile.
            let value = unsafe { &*ptr::with_exposed_provenance::<T>(address) };
            let place = Place {
                db,
                key: key.as_deref(),
            };
            let answer = context::lend(state, || f(value, place));
            let _ = send.send(answer);
        }
    }));
    let answer = match posted {
        true => receive.recv_timeout(PATIENCE).ok(),
        false => None,
    };
    *address.lock().unwrap_or_else(PoisonError::into_inner) = None;
    answer
}

impl Drop for Held {
    fn drop(&mut self) {
        let kind = self.kind;
        let pointer = std::mem::replace(&mut self.content().pointer, ptr::null_mut());
        let Some(free) = kind.methods.free.filter(|_| !pointer.is_null()) else {
            return;
        };
        let anywhere = kind.methods.effort.is_some() || kind.methods.effort2.is_some();
        if thread::current().id() == kind.owner || anywhere {
            // SAFETY: the last owner of the value, on a thread where the module may be asked to free it.
            unsafe { free(pointer) };
            return;
        }
        let address = pointer.expose_provenance();
        // Without an owner of the state the process ends; then the memory goes with it.
        let _ = gate::post(Box::new(move |_| {
            // SAFETY: as above; the pointer was handed over to the owner of the state.
            unsafe { free(ptr::with_exposed_provenance_mut(address)) };
        }));
    }
}

impl ForeignValue for Held {
    fn type_name(&self) -> &'static str {
        self.kind.name
    }

    fn rdb_id(&self) -> u64 {
        self.kind.id
    }

    fn save(&self, place: Place<'_>) -> Option<Vec<u8>> {
        {
            let content = self.content();
            if let Some(bytes) = &content.hollow {
                return Some(bytes.clone());
            }
            if self.is_here() {
                let pointer = content.pointer;
                drop(content);
                return self.saved_here(pointer, place);
            }
        }
        ask_owner(self, place, |held: &Held, place| {
            let content = held.content();
            match &content.hollow {
                Some(bytes) => Some(bytes.clone()),
                None => {
                    let pointer = content.pointer;
                    drop(content);
                    held.saved_here(pointer, place)
                }
            }
        })
        .flatten()
    }

    fn rewrite(&self, place: Place<'_>) -> Option<Vec<u8>> {
        let function = self.kind.methods.rewrite?;
        let rewrite = move |held: &Held, place: Place<'_>| {
            let content = held.content();
            if content.hollow.is_some() {
                return None; // Only its bytes are left: they are restored.
            }
            let pointer = content.pointer;
            drop(content);
            let mut io = Io::rewriting(&held.kind.module, place);
            let key = strings::new(place.key.unwrap_or_default());
            // SAFETY: the module's function for the module's pointer.
            unsafe {
                function(&mut io, key, pointer);
                strings::release(key);
            }
            Some(io.finish(false))
        };
        match self.is_here() {
            true => rewrite(self, place),
            false => ask_owner(self, place, rewrite).flatten(),
        }
    }

    fn memory(&self, place: Place<'_>, samples: usize) -> usize {
        let content = self.content();
        if let Some(bytes) = &content.hollow {
            return bytes.len();
        }
        if !self.is_here() {
            return 0;
        }
        let pointer = content.pointer;
        drop(content);
        let methods = &self.kind.methods;
        // SAFETY: the module's functions for the module's pointer.
        unsafe {
            if let Some(usage) = methods.usage2 {
                return usage(
                    &mut KeyContext::new(place, Place::NOWHERE),
                    pointer,
                    samples,
                );
            }
            methods.usage.map_or(0, |usage| usage(pointer))
        }
    }

    fn free_effort(&self, place: Place<'_>) -> usize {
        if !self.is_here() {
            return 1;
        }
        let content = self.content();
        if content.hollow.is_some() {
            return 1;
        }
        let pointer = content.pointer;
        drop(content);
        let methods = &self.kind.methods;
        // SAFETY: the module's functions for the module's pointer.
        let effort = unsafe {
            if let Some(effort) = methods.effort2 {
                effort(&mut KeyContext::new(place, Place::NOWHERE), pointer)
            } else if let Some(effort) = methods.effort {
                let key = strings::new(place.key.unwrap_or_default());
                let told = effort(key, pointer);
                strings::release(key);
                told
            } else {
                1
            }
        };
        // 0 asks for freeing elsewhere in any case.
        match effort {
            0 => usize::MAX,
            effort => effort,
        }
    }

    fn unlinked(&self, place: Place<'_>) {
        if !self.is_here() {
            return;
        }
        let pointer = self.content().pointer;
        if pointer.is_null() {
            return;
        }
        let methods = &self.kind.methods;
        // SAFETY: the module's functions for the module's pointer.
        unsafe {
            if let Some(unlink) = methods.unlink2 {
                unlink(&mut KeyContext::new(place, Place::NOWHERE), pointer);
            } else if let Some(unlink) = methods.unlink {
                let key = strings::new(place.key.unwrap_or_default());
                unlink(key, pointer);
                strings::release(key);
            }
        }
    }

    fn copy(&self, from: Place<'_>, to: Place<'_>) -> Option<Foreign> {
        let pointer = self.content().pointer;
        let methods = &self.kind.methods;
        // SAFETY: the module's functions for the module's pointer.
        let copied = unsafe {
            if let Some(copy) = methods.copy2 {
                copy(&mut KeyContext::new(from, to), pointer)
            } else if let Some(copy) = methods.copy {
                let (from, to) = (
                    strings::new(from.key.unwrap_or_default()),
                    strings::new(to.key.unwrap_or_default()),
                );
                let copied = copy(from, to, pointer);
                strings::release(from);
                strings::release(to);
                copied
            } else {
                ptr::null_mut()
            }
        };
        (!copied.is_null()).then(|| Foreign::new(Held::new(self.kind, copied)))
    }

    fn digest(&self, place: Place<'_>) -> Option<[u8; 20]> {
        let function = self.kind.methods.digest?;
        let pointer = self.content().pointer;
        let mut digest = Digest::new(place);
        // SAFETY: the module's function for the module's pointer.
        unsafe { function(&mut digest, pointer) };
        Some(digest.total())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

unsafe fn type_of<'a>(kind: *const Type) -> Option<&'a Type> {
    // SAFETY: NULL, or a type that this server made; types are never freed.
    unsafe { kind.as_ref() }
}

pub unsafe extern "C" fn create(
    ctx: Opaque,
    name: *const c_char,
    version: c_int,
    methods: *const u8,
) -> *const Type {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return ptr::null();
    };
    let (Some(module), Occasion::Load) = (context.module.clone(), context.occasion) else {
        return ptr::null();
    };
    let name = unsafe { c_bytes(name) };
    let Some(id) = encode_id(name, version) else {
        return ptr::null();
    };
    if methods.is_null() {
        return ptr::null();
    }
    // SAFETY: the structure begins with its version, which tells how much of it there is.
    let own = unsafe {
        let version = methods.cast::<u64>().read();
        if version == 0 || version > VERSION {
            return ptr::null();
        }
        let mut own = std::mem::MaybeUninit::<Methods>::zeroed();
        let size = SIZES[version as usize - 1];
        ptr::copy_nonoverlapping(methods, own.as_mut_ptr().cast::<u8>(), size);
        own.assume_init()
    };
    let name = String::from_utf8_lossy(name).into_owned();
    let made = with(|state| {
        if state.modules.has_type(&name) {
            return None;
        }
        let name: &'static str = Box::leak(name.into_boxed_str());
        let kind: &'static Type = Box::leak(Box::new(Type {
            module: module.clone(),
            name,
            id,
            methods: own,
            owner: thread::current().id(),
        }));
        let address: *const Type = kind;
        state.modules.types.push(TypeEntry {
            module: module.id,
            name,
            id,
            handle: address.cast_mut().cast(),
        });
        Some(address)
    });
    made.flatten().unwrap_or(ptr::null())
}

/// The type of a number in an RDB file, whatever its version.
fn known(state: &State, id: u64) -> Option<&'static Type> {
    let entry = state
        .modules
        .types
        .iter()
        .find(|known| known.id >> 10 == id >> 10)?;
    // SAFETY: types are never freed.
    Some(unsafe { &*entry.handle.cast::<Type>() })
}

/// Makes the value that an RDB file has, of the type that its number names. `None` when there is no such type, or its
/// module cannot read the bytes.
pub fn realise(state: &mut State, raw: &Foreign, db: DbId, key: &[u8]) -> Option<Foreign> {
    let Some(raw) = raw.downcast::<Raw>() else {
        return Some(raw.clone());
    };
    let kind = known(state, raw.id)?;
    let place = Place {
        db: db.0 as i32,
        key: Some(key),
    };
    let io = Io::loading(&kind.module, place, raw.bytes.clone());
    context::lend(state, || load(kind, io, (raw.id & 1023) as c_int, true))
}

fn load(kind: &'static Type, mut io: Io, version: c_int, ends: bool) -> Option<Foreign> {
    let function = kind.methods.load?;
    // SAFETY: the module's function; the io outlives the call.
    let pointer = unsafe { function(&mut io, version) };
    if pointer.is_null() {
        return None;
    }
    // A value that was not read to its end is freed with its holder.
    let value = Foreign::new(Held::new(kind, pointer));
    (!io.failed() && (!ends || io.is_at_end())).then_some(value)
}

// ---- Values under keys -------------------------------------------------------------------------------

pub unsafe extern "C" fn set_value(key: *mut Key, kind: *const Type, value: Opaque) -> c_int {
    let Some(kind) = (unsafe { type_of(kind) }) else {
        return ERR;
    };
    // SAFETY: types are never freed.
    let kind: &'static Type = unsafe { &*ptr::from_ref(kind) };
    let stored = unsafe {
        using(key, |key, state| {
            if !key.writes() {
                return false;
            }
            let value = Foreign::new(Held::new(kind, value));
            let value = NewValue::Object(value.into());
            keys::store(state, key.db, key.bytes(), value, Deadline::Set(None));
            state.blocked.touch(key.db, key.bytes());
            true
        })
    };
    if stored == Some(true) { OK } else { ERR }
}

pub unsafe extern "C" fn replace_value(
    key: *mut Key,
    kind: *const Type,
    value: Opaque,
    old: *mut Opaque,
) -> c_int {
    let replaced = unsafe {
        using(key, |key, state| {
            if !key.writes() {
                return None;
            }
            let mut entry = state.keyspace[key.db].get_mut(key.bytes())?;
            let held = Foreign::of_mut(entry.value_mut()?)?;
            let own = held.downcast::<Held>()?;
            if !ptr::eq(own.kind, kind) {
                return None;
            }
            unshare(held);
            let own = held.downcast::<Held>()?;
            let mut content = own.content();
            Some(std::mem::replace(&mut content.pointer, value))
        })
    };
    match replaced.flatten() {
        Some(before) => {
            if !old.is_null() {
                unsafe { *old = before };
            }
            OK
        }
        None => ERR,
    }
}

/// Gives a live key a holder of its own, if a snapshot shares the one it has: the snapshot keeps the bytes.
fn unshare(value: &mut Foreign) {
    if value.is_unique() {
        return;
    }
    let Some(held) = value.downcast::<Held>() else {
        return;
    };
    let pointer = {
        let pointer = held.content().pointer;
        let bytes = held.saved_here(pointer, Place::NOWHERE);
        let mut content = held.content();
        content.hollow = Some(bytes.unwrap_or_default());
        std::mem::replace(&mut content.pointer, ptr::null_mut())
    };
    let kind = held.kind;
    *value = Foreign::new(Held::new(kind, pointer));
}

pub unsafe extern "C" fn get_type(key: *mut Key) -> *const Type {
    let kind = unsafe {
        using(key, |key, state| {
            let held = key.value::<Foreign>(state)?.downcast::<Held>()?;
            Some(ptr::from_ref(held.kind))
        })
    };
    kind.flatten().unwrap_or(ptr::null())
}

pub unsafe extern "C" fn get_value(key: *mut Key) -> Opaque {
    let pointer = unsafe {
        using(key, |key, state| {
            if key.writes() {
                let mut entry = state.keyspace[key.db].get_mut(key.bytes())?;
                let held = Foreign::of_mut(entry.value_mut()?)?;
                unshare(held);
                return Some(held.downcast::<Held>()?.content().pointer);
            }
            let held = key.value::<Foreign>(state)?.downcast::<Held>()?;
            Some(held.content().pointer)
        })
    };
    pointer.flatten().unwrap_or(ptr::null_mut())
}

pub unsafe extern "C" fn load_from_string(string: *const RString, kind: *const Type) -> Opaque {
    unsafe { load_from_string_version(string, kind, 0) }
}

pub unsafe extern "C" fn load_from_string_version(
    string: *const RString,
    kind: *const Type,
    version: c_int,
) -> Opaque {
    unsafe {
        let Some(kind) = type_of(kind) else {
            return ptr::null_mut();
        };
        let Some(load) = kind.methods.load else {
            return ptr::null_mut();
        };
        let mut io = Io::loading(&kind.module, Place::NOWHERE, bytes(string).to_vec());
        let value = load(&mut io, version);
        if io.failed() && !value.is_null() {
            if let Some(free) = kind.methods.free {
                free(value);
            }
            return ptr::null_mut();
        }
        value
    }
}

pub unsafe extern "C" fn save_to_string(
    ctx: Opaque,
    value: Opaque,
    kind: *const Type,
) -> *mut RString {
    unsafe {
        let Some(kind) = type_of(kind) else {
            return strings::none();
        };
        let Some(save) = kind.methods.save else {
            return strings::none();
        };
        let mut io = Io::saving(&kind.module, Place::NOWHERE, true);
        save(&mut io, value);
        let bytes = io.finish(false);
        match context::of(ctx) {
            Some(context) => context.string(&bytes),
            None => strings::new(&bytes),
        }
    }
}

pub unsafe extern "C" fn option_db(context: *const KeyContext) -> c_int {
    unsafe { (*context).from_db }
}

pub unsafe extern "C" fn option_to_db(context: *const KeyContext) -> c_int {
    unsafe { (*context).to_db }
}

pub unsafe extern "C" fn option_key(context: *const KeyContext) -> *const RString {
    unsafe { (*context).from }
}

pub unsafe extern "C" fn option_to_key(context: *const KeyContext) -> *const RString {
    unsafe { (*context).to }
}

// ---- Data beside keys --------------------------------------------------------------------------------

/// The parts that types save beside keys: before them (1), or behind (2): the number of the type, and its bytes.
#[doc(alias = "rdbSaveModulesAux")]
pub fn aux_data(state: &mut State, when: c_int) -> Vec<(u64, Vec<u8>)> {
    let handles: Vec<Opaque> = state
        .modules
        .types
        .iter()
        .map(|known| known.handle)
        .collect();
    let mut all = Vec::new();
    for handle in handles {
        // SAFETY: types are never freed.
        let kind = unsafe { &*handle.cast::<Type>() };
        if kind.methods.aux_triggers & when == 0 {
            continue;
        }
        let (Some(save), only_if_written) = (match kind.methods.aux_save2 {
            Some(save) => (Some(save), true),
            None => (kind.methods.aux_save, false),
        }) else {
            continue;
        };
        let mut io = Io::saving(&kind.module, Place::NOWHERE, true);
        context::lend(state, || {
            // SAFETY: the module's function; the io outlives the call.
            unsafe { save(&mut io, when) }
        });
        if !only_if_written || io.has_written() {
            all.push((kind.id, io.finish(true)));
        }
    }
    all
}

/// Hands a type what it saved beside keys. False when it is unknown, or its module cannot read the bytes.
pub fn load_aux(state: &mut State, id: u64, when: c_int, bytes: Vec<u8>) -> bool {
    let Some(kind) = known(state, id) else {
        return false;
    };
    let Some(load) = kind.methods.aux_load else {
        return false;
    };
    let mut io = Io::loading(&kind.module, Place::NOWHERE, bytes);
    let result = context::lend(state, || {
        // SAFETY: the module's function; the io outlives the call.
        unsafe { load(&mut io, (id & 1023) as c_int, when) }
    });
    result == OK && !io.failed()
}
