//! Metadata of keys: classes that modules make, and a number of 64 bits for each class at each key that has it.
//!
//! ```text
//!   key -> Meta -> Arc -> Attached { values: [NOTE 0x7f12…, RANK 3], frozen: no }
//!   snapshot -------^                        or, after a change under a snapshot: { values: [], frozen: bytes }
//! ```
//!
//! The number is a pointer of the module's, or whatever the module takes it for; one number of each class (the reset value)
//! stands for nothing, and no function is called for it. A snapshot shares the holder. As with values of modules'
//! types (`types.rs`), what a number points to is changed in place. So a holder that is shared is serialised before its
//! numbers change or leave: the snapshot keeps the bytes, the live key gets a holder of its own.
//!
//! Invariant: a number belongs to one holder, whose drop frees it. All functions of a class run on the thread that owns the
//! state, but for `free`, which Redis too calls on others. A class's functions are called no more once its module is
//! unloaded: [`forget`] frees what is attached, and bars the class.
//!
//! Mirrors: keymeta.c; RM_CreateKeyMetaClass(), RM_ReleaseKeyMetaClass(), RM_SetKeyMeta(), RM_GetKeyMeta() of module.c.
//! Differs: a name in use is refused, where Redis ends; `mem_usage` is called.

use std::any::Any;
use std::ffi::{c_char, c_int};
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, ThreadId};

use super::codes::{ERR, OK};
use super::context::{self, Occasion, with};
use super::io::Io;
use super::keys::{Key, using};
use super::strings::c_bytes;
use super::types::{KeyContext, ask_owner, has_state};
use crate::keyspace::DbId;
use crate::modules::classes::KeyClass;
use crate::modules::{Module, ModuleId, Opaque};
use crate::persistence::rdb::Encoder;
use crate::state::{MadeMeta, State};
use crate::types::foreign::Place;
use crate::types::meta::{Going, KeyMeta, Meta, RawMeta, encode_spec};

type Carry = unsafe extern "C" fn(*mut KeyContext, *mut u64) -> c_int;
type Unlink = unsafe extern "C" fn(*mut KeyContext, *mut u64);
type Free = unsafe extern "C" fn(*const c_char, u64);
type Load = unsafe extern "C" fn(*mut Io, *mut u64, c_int) -> c_int;
type Save = unsafe extern "C" fn(*mut Io, Opaque, *mut u64);
type Rewrite = unsafe extern "C" fn(*mut Io, Opaque, u64);
type Usage = unsafe extern "C" fn(*mut KeyContext, usize, u64) -> usize;

/// The functions of a class, as the module gives them: version 1 of the structure.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Config {
    version: u64,
    flags: u64,
    reset: u64,
    copy: Option<Carry>,
    rename: Option<Carry>,
    mv: Option<Carry>,
    unlink: Option<Unlink>,
    free: Option<Free>,
    load: Option<Load>,
    save: Option<Save>,
    rewrite: Option<Rewrite>,
    /// Taken and never called: nothing is moved in memory.
    defrag: Opaque,
    usage: Option<Usage>,
    /// Taken and never called, as in Redis.
    effort: Opaque,
}

const _: () = assert!(size_of::<Config>() == 112);
const VERSION: u64 = 1;

/// A class. Never freed: metadata of it may outlive it.
#[derive(Debug)]
struct Class {
    number: usize,
    owner: ThreadId,
    now: RwLock<Option<Registered>>,
}

/// The present description of a class: another module may take a released name over, and describe it otherwise.
#[derive(Clone, Debug)]
struct Registered {
    module: Arc<Module>,
    config: Config,
    spec: u32,
    in_use: bool,
}

// SAFETY: pointers in it are to functions, or unused; they are called as the invariant at the top says.
unsafe impl Send for Registered {}
// SAFETY: as above.
unsafe impl Sync for Registered {}

impl Class {
    /// The class as it is now; `None` when its module is gone.
    fn registered(&self) -> Option<Registered> {
        let now = self.now.read();
        now.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The class, if it has not been released.
    fn in_use(&self) -> Option<Registered> {
        self.registered().filter(|now| now.in_use)
    }

    fn set(&self, registered: Option<Registered>) {
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        *now = registered;
    }

    /// Frees a number. On another thread than the owner's, the module cannot be unloaded meanwhile.
    fn free(&self, key: &[u8], number: u64) {
        let call = |now: &Registered| {
            if let Some(free) = now.config.free
                && number != now.config.reset
            {
                // SAFETY: the module's function; the name ends with a zero byte.
                unsafe { free(key.as_ptr().cast(), number) };
            }
        };
        if thread::current().id() == self.owner {
            if let Some(now) = self.registered() {
                call(&now);
            }
        } else if let Some(now) = &*self.now.read().unwrap_or_else(PoisonError::into_inner) {
            call(now);
        }
    }
}

type Values = Vec<(&'static Class, u64)>;

/// The metadata of one key.
#[derive(Debug)]
struct Attached {
    /// The name of the key, with a zero byte behind it: `free` is given it.
    key: Box<[u8]>,
    owner: ThreadId,
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    /// By number of the class.
    values: Values,
    /// The bytes that were saved of numbers before they went to another holder.
    frozen: Option<Frozen>,
}

#[derive(Clone, Debug, Default)]
struct Frozen {
    saved: Vec<u8>,
    commands: Vec<u8>,
}

impl Attached {
    fn new(key: &[u8], values: Values) -> Attached {
        let mut name = Vec::with_capacity(key.len() + 1);
        name.extend_from_slice(key);
        name.push(0);
        Attached {
            key: name.into(),
            owner: thread::current().id(),
            content: Mutex::new(Content {
                values,
                frozen: None,
            }),
        }
    }

    fn meta(key: &[u8], values: Values) -> Option<Meta> {
        (!values.is_empty()).then(|| Meta::new(Attached::new(key, values)))
    }

    fn content(&self) -> std::sync::MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_here(&self) -> bool {
        has_state(self.owner)
    }

    /// Takes the numbers away; if it is shared, what is saved of them stays.
    fn take(&self, place: Place<'_>, shared: bool) -> Values {
        let values = self.content().values.clone();
        let frozen = shared.then(|| Frozen {
            saved: saved(&values, place),
            commands: commands(&values, place),
        });
        let mut content = self.content();
        if content.frozen.is_none() {
            content.frozen = frozen;
        }
        std::mem::take(&mut content.values)
    }

    /// The answer for a thread that saves: it comes from the frozen bytes, or the owner of the state makes it.
    fn ask<R: Send + 'static>(
        &self,
        place: Place<'_>,
        of_frozen: fn(&Frozen) -> R,
        make: fn(&Values, Place<'_>) -> R,
    ) -> Option<R> {
        let answer = move |own: &Attached, place: Place<'_>| {
            let values = {
                let content = own.content();
                if let Some(frozen) = &content.frozen {
                    return of_frozen(frozen);
                }
                content.values.clone()
            };
            make(&values, place)
        };
        if self.is_here() {
            return Some(answer(self, place));
        }
        if let Some(frozen) = &self.content().frozen {
            return Some(of_frozen(frozen));
        }
        ask_owner(self, place, answer)
    }

    fn put(&self, class: &'static Class, number: u64) {
        let values = &mut self.content().values;
        match values.binary_search_by_key(&class.number, |(own, _)| own.number) {
            Ok(at) => values[at].1 = number,
            Err(at) => values.insert(at, (class, number)),
        }
    }

    fn number_of(&self, class: &Class) -> Option<u64> {
        let content = self.content();
        let mut values = content.values.iter();
        values
            .find(|(own, _)| own.number == class.number)
            .map(|(_, number)| *number)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.content().values);
        for (class, number) in values {
            class.free(&self.key, number);
        }
    }
}

/// The numbers as RDB files have them; empty when no class writes anything.
#[doc(alias = "rdbSaveKeyMetadata")]
fn saved(values: &Values, place: Place<'_>) -> Vec<u8> {
    let (mut body, mut count) = (Vec::new(), 0);
    for (class, number) in values {
        let Some(now) = class.in_use() else {
            continue;
        };
        let Some(save) = now.config.save.filter(|_| *number != now.config.reset) else {
            continue;
        };
        let mut io = Io::saving(&now.module, place, true);
        let mut number = *number;
        // SAFETY: the module's function; the io outlives the call.
        unsafe { save(&mut io, ptr::null_mut(), &mut number) };
        if io.has_written() {
            body.extend_from_slice(&now.spec.to_le_bytes());
            body.extend_from_slice(&io.finish(true));
            count += 1;
        }
    }
    if count == 0 {
        return Vec::new();
    }
    let mut enc = Encoder::to_memory(false);
    enc.length(count);
    enc.raw(&body);
    enc.into_bytes()
}

/// The commands that attach the numbers anew.
#[doc(alias = "keyMetaOnAof")]
fn commands(values: &Values, place: Place<'_>) -> Vec<u8> {
    let mut all = Vec::new();
    for (class, number) in values {
        let Some(now) = class.in_use() else {
            continue;
        };
        if let Some(rewrite) = now.config.rewrite
            && *number != now.config.reset
        {
            let mut io = Io::rewriting(&now.module, place);
            // SAFETY: the module's function; the io outlives the call.
            unsafe { rewrite(&mut io, ptr::null_mut(), *number) };
            all.extend_from_slice(&io.finish(false));
        }
    }
    all
}

/// The key of these numbers goes: classes hear of it, and free them.
fn leave(values: Values, key: &[u8], place: Place<'_>) {
    let mut left = Attached::new(key, values);
    let content = left.content.get_mut();
    let values = &mut content.unwrap_or_else(PoisonError::into_inner).values;
    for (class, number) in values {
        let Some(now) = class.registered() else {
            continue;
        };
        if let Some(unlink) = now.config.unlink
            && *number != now.config.reset
        {
            // SAFETY: the module's function; the pointers are good for the call. It may free what the number stands for,
            // and then makes it the reset value.
            unsafe { unlink(&mut KeyContext::new(place, Place::NOWHERE), number) };
        }
    }
}

impl KeyMeta for Attached {
    fn save(&self, place: Place<'_>) -> Option<Vec<u8>> {
        self.ask(place, |frozen| frozen.saved.clone(), saved)
    }

    fn rewrite(&self, place: Place<'_>) -> Option<Vec<u8>> {
        self.ask(place, |frozen| frozen.commands.clone(), commands)
    }

    fn memory(&self, place: Place<'_>, samples: usize) -> usize {
        let values = self.content().values.clone();
        let own = size_of::<Attached>() + self.key.len() + values.len() * size_of::<(usize, u64)>();
        let used = values.iter().map(|(class, number)| {
            let now = class.in_use();
            let now = now.filter(|now| *number != now.config.reset);
            let Some(usage) = now.and_then(|now| now.config.usage) else {
                return 0;
            };
            // SAFETY: the module's function; the context outlives the call.
            unsafe {
                let mut at = KeyContext::new(place, Place::NOWHERE);
                usage(&mut at, samples, *number)
            }
        });
        used.fold(own, usize::saturating_add)
    }

    fn leave(&self, place: Place<'_>, shared: bool) {
        let values = self.take(place, shared);
        leave(values, place.key.unwrap_or_default(), place);
    }

    fn go(&self, how: Going, from: Place<'_>, to: Place<'_>, shared: bool) -> Option<Meta> {
        let (mut kept, mut rest) = (Values::new(), Values::new());
        for (class, mut number) in self.take(from, shared) {
            let Some(now) = class.registered() else {
                continue;
            };
            if number == now.config.reset {
                continue;
            }
            let carry = match how {
                Going::Renamed => now.config.rename,
                Going::Moved => now.config.mv,
            };
            // A class without the function keeps its metadata.
            let keeps = carry.filter(|_| now.in_use).is_none_or(|carry| {
                // SAFETY: the module's function; the pointers are good for the call.
                unsafe { carry(&mut KeyContext::new(from, to), &mut number) != 0 }
            });
            match keeps {
                true => kept.push((class, number)),
                false => rest.push((class, number)),
            }
        }
        let key = from.key.unwrap_or_default();
        leave(rest, key, from);
        Attached::meta(to.key.unwrap_or(key), kept)
    }

    fn copied(&self, from: Place<'_>, to: Place<'_>) -> Option<Meta> {
        let values = self.content().values.clone();
        let mut copies = Values::new();
        for (class, mut number) in values {
            let now = class.in_use();
            let now = now.filter(|now| number != now.config.reset);
            // A class without the function gives copies no metadata.
            let Some(copy) = now.and_then(|now| now.config.copy) else {
                continue;
            };
            // SAFETY: the module's function; the pointers are good for the call.
            if unsafe { copy(&mut KeyContext::new(from, to), &mut number) != 0 } {
                copies.push((class, number));
            }
        }
        Attached::meta(to.key.unwrap_or_default(), copies)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

// ---- Classes -----------------------------------------------------------------------------------------

/// Makes a class; its number, or -1.
pub unsafe extern "C" fn create(
    ctx: Opaque,
    name: *const c_char,
    version: c_int,
    config: *const Config,
) -> c_int {
    const REFUSED: c_int = -1;
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return REFUSED;
    };
    let Some(module) = context.module.clone() else {
        return REFUSED;
    };
    let at_load = context.occasion == Occasion::Load;
    // SAFETY: the structure begins with its version; there is one.
    let Some(config) = (unsafe { config.as_ref() }).filter(|config| config.version == VERSION)
    else {
        return REFUSED;
    };
    let name = unsafe { c_bytes(name) };
    let spec = encode_spec(name, version, config.flags as u32);
    let (Some(spec), Ok(name)) = (spec, <[u8; 4]>::try_from(name)) else {
        return REFUSED;
    };
    let registered = Registered {
        module: module.clone(),
        config: *config,
        spec,
        in_use: true,
    };
    let made = with(|state| {
        if !at_load && !state.debug.key_classes_anytime {
            return None;
        }
        let number = state.modules.class_number(name)?;
        let classes = &mut state.modules.key_classes;
        let handle = match classes.get(number - 1) {
            Some(released) => released.handle,
            None => {
                let class: &'static Class = Box::leak(Box::new(Class {
                    number,
                    owner: thread::current().id(),
                    now: RwLock::new(None),
                }));
                ptr::from_ref(class).cast_mut().cast()
            }
        };
        let class = KeyClass {
            name,
            module: module.id,
            in_use: true,
            loads: registered.config.load.is_some(),
            handle,
        };
        described(&class).set(Some(registered));
        match classes.get_mut(number - 1) {
            Some(released) => *released = class,
            None => classes.push(class),
        }
        Some(number)
    });
    made.flatten().map_or(REFUSED, |number| number as c_int)
}

fn described(class: &KeyClass) -> &'static Class {
    // SAFETY: made by `create`; classes are never freed.
    unsafe { &*class.handle.cast_const().cast::<Class>() }
}

fn class_of(state: &mut State, number: c_int) -> Option<&'static Class> {
    state.modules.class(number).map(|class| described(class))
}

/// Gives a class up. Its metadata stays where it is until its keys go, or a class of the same name takes it over.
pub unsafe extern "C" fn release(number: c_int) -> c_int {
    let released = with(|state| {
        let class = state.modules.class(number)?;
        class.in_use = false;
        let own = described(class);
        own.set(own.registered().map(|now| Registered {
            in_use: false,
            ..now
        }));
        Some(())
    });
    if released.flatten().is_some() {
        OK
    } else {
        ERR
    }
}

/// A module goes: what its classes attached is freed while its functions are still there.
pub fn forget(state: &mut State, module: ModuleId) {
    let own = state.modules.key_classes.iter();
    let own: Vec<&'static Class> = own
        .filter(|class| class.module == module)
        .map(described)
        .collect();
    if own.is_empty() {
        return;
    }
    let is_own = |class: &Class| own.iter().any(|known| known.number == class.number);
    for db in (0..state.keyspace.len_dbs() as u32).map(DbId) {
        for key in state.keyspace[db].keys_with_metas() {
            let Some(meta) = state.keyspace[db].take_meta(&key) else {
                continue;
            };
            let place = Place {
                db: db.0 as i32,
                key: Some(&key),
            };
            let values = meta.downcast::<Attached>().map(|attached| {
                let shared = meta.is_shared();
                attached.take(place, shared)
            });
            let (gone, kept) = values
                .unwrap_or_default()
                .into_iter()
                .partition::<Values, _>(|(class, _)| is_own(class));
            drop(Attached::new(&key, gone));
            if let Some(meta) = Attached::meta(&key, kept) {
                state.keyspace[db].set_meta(&key, meta);
            }
        }
    }
    for class in own {
        class.set(None);
    }
}

// ---- Metadata of open keys ---------------------------------------------------------------------------

/// Attaches a number to a key that is open for writing. The number that was there is the caller's to free.
pub unsafe extern "C" fn set(class: c_int, key: *mut Key, number: u64) -> c_int {
    let done = unsafe {
        using(key, |key, state| {
            let class = class_of(state, class)?;
            if !key.writes() || key.entry(state).is_none() {
                return None;
            }
            let meta = own(key, state)
                .unwrap_or_else(|| Meta::new(Attached::new(key.bytes(), Values::new())));
            meta.downcast::<Attached>()?.put(class, number);
            state.keyspace[key.db].set_meta(key.bytes(), meta);
            Some(())
        })
    };
    if done.flatten().is_some() { OK } else { ERR }
}

/// Takes the metadata of a key out to be changed: a holder that no snapshot has.
fn own(key: &Key, state: &mut State) -> Option<Meta> {
    let meta = state.keyspace[key.db].take_meta(key.bytes())?;
    if !meta.is_shared() {
        return Some(meta);
    }
    let place = Place {
        db: key.db.0 as i32,
        key: Some(key.bytes()),
    };
    let values = meta.downcast::<Attached>()?.take(place, true);
    Some(Meta::new(Attached::new(key.bytes(), values)))
}

/// The number that a class attached to an open key. Of a key that is open for writing, what it points to may be changed.
pub unsafe extern "C" fn get(class: c_int, key: *mut Key, number: *mut u64) -> c_int {
    let found = unsafe {
        using(key, |key, state| {
            let class = class_of(state, class)?;
            key.entry(state)?;
            if key.writes()
                && state.keyspace.env().live_snapshots() > 0
                && let Some(meta) = own(key, state)
            {
                state.keyspace[key.db].set_meta(key.bytes(), meta);
            }
            let meta = state.keyspace[key.db].meta(key.bytes())?;
            meta.downcast::<Attached>()?.number_of(class)
        })
    };
    match found.flatten() {
        Some(found) => {
            if let Some(number) = unsafe { number.as_mut() } {
                *number = found;
            }
            OK
        }
        None => ERR,
    }
}

/// Makes the metadata that a file has for a key. `None` when a class cannot read its part.
#[doc(alias = "rdbLoadKeyMetadata")]
pub fn realise(state: &mut State, raw: &[RawMeta], db: DbId, key: &[u8]) -> MadeMeta {
    let attached = Attached::new(key, Values::new());
    // The key is not there yet, and has no name for the module.
    let place = Place {
        db: db.0 as i32,
        key: None,
    };
    for part in raw {
        let class = described(state.modules.class_named(part.name())?);
        let now = class.in_use()?;
        let load = now.config.load?;
        if attached.number_of(class).is_some() {
            return None;
        }
        let mut io = Io::loading(&now.module, place, part.bytes.clone());
        let mut number = 0;
        let answer = context::lend(state, || {
            // SAFETY: the module's function; the pointers outlive the call.
            unsafe { load(&mut io, &mut number, part.version()) }
        });
        let whole = !io.failed() && io.is_at_end();
        match answer {
            1 => attached.put(class, number),
            0 => {}
            _ => return None,
        }
        if !whole {
            return None;
        }
    }
    let any = !attached.content().values.is_empty();
    Some(any.then(|| Meta::new(attached)))
}
