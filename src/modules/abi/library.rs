//! Files of modules: opened, entered, closed.
//!
//! Invariant: a library is closed only when no table of the server holds one of its functions any more.
//!
//! Mirrors: the parts of moduleLoad() and moduleUnload() that call dlopen(), dlsym() and dlclose().

use std::ffi::{CStr, CString, c_char, c_int};
use std::sync::Arc;
use std::sync::atomic::AtomicI32;

use super::codes::{ERR, OK};
use super::commands::Words;
use super::context::{Context, Occasion, enter, of, with};
use super::strings::c_bytes;
use crate::modules::act::load::{Loading, forget};
use crate::modules::{Module, ModuleId, Opaque};
use crate::resp::argv::OwnedArgv;
use crate::state::State;

type OnLoad = unsafe extern "C" fn(Opaque, *mut Opaque, c_int) -> c_int;
type OnUnload = unsafe extern "C" fn(Opaque) -> c_int;

/// The names of the entry point, of modules for Redis and for Valkey.
const ON_LOAD: [&CStr; 2] = [c"RedisModule_OnLoad", c"ValkeyModule_OnLoad"];
const ON_UNLOAD: [&CStr; 2] = [c"RedisModule_OnUnload", c"ValkeyModule_OnUnload"];

fn last_error() -> String {
    // SAFETY: the text belongs to the linker, and is copied before the next call of it.
    unsafe {
        let text = libc::dlerror();
        match text.is_null() {
            true => "unknown error".to_owned(),
            false => CStr::from_ptr(text).to_string_lossy().into_owned(),
        }
    }
}

fn symbol(library: Opaque, names: &[&CStr]) -> Opaque {
    let found = names.iter().map(|name| {
        // SAFETY: the library is open.
        unsafe { libc::dlsym(library, name.as_ptr()) }
    });
    found
        .into_iter()
        .find(|address| !address.is_null())
        .unwrap_or(std::ptr::null_mut())
}

/// Opens a file and lets the module in it register itself.
///
/// # Errors
/// The line for the log; nothing of the module is left then.
pub fn load(state: &mut State, path: &str, args: &[Vec<u8>]) -> Result<Loading, String> {
    let Ok(file) = CString::new(path) else {
        return Err("Module path holds a zero byte. Module not loaded".into());
    };
    // SAFETY: the constructors of the library run; whoever may load modules may run any code.
    let library = unsafe { libc::dlopen(file.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if library.is_null() {
        return Err(format!("Module {path} failed to load: {}", last_error()));
    }
    let entry = symbol(library, &ON_LOAD);
    if entry.is_null() {
        let _ = close(library);
        return Err(format!(
            "Module {path} does not export RedisModule_OnLoad() symbol. Module not loaded."
        ));
    }
    // SAFETY: the symbol of this name is a function of this type, by the rules of the interface.
    let entry: OnLoad = unsafe { std::mem::transmute::<Opaque, OnLoad>(entry) };
    let mut context = Context::new(None, Occasion::Load);
    let words = Words::new(OwnedArgv::from_words(args).as_argv());
    let mut argv = words.0.clone();
    let result = enter(state, &mut context, |address| {
        // SAFETY: the context and the words outlive the call.
        unsafe { entry(address, argv.as_mut_ptr().cast(), argv.len() as c_int) }
    });
    let module = context.module.take();
    let failed = match (result, &module) {
        (OK, Some(_)) => None,
        _ => Some(format!(
            "Module {path} initialization failed. Module not loaded"
        )),
    };
    if let Some(line) = failed {
        if let Some(module) = module {
            forget(state, module.id);
        }
        let _ = close(library);
        return Err(line);
    }
    match module {
        Some(module) => Ok(Loading { module, library }),
        None => Err(format!("Module {path} has no name. Module not loaded")),
    }
}

/// Asks a module whether it may be unloaded.
pub fn ask_to_unload(state: &mut State, module: &Arc<Module>, library: Opaque) -> bool {
    if library.is_null() {
        return true;
    }
    let entry = symbol(library, &ON_UNLOAD);
    if entry.is_null() {
        return true;
    }
    // SAFETY: the symbol of this name is a function of this type, by the rules of the interface.
    let entry: OnUnload = unsafe { std::mem::transmute::<Opaque, OnUnload>(entry) };
    let mut context = Context::new(Some(module.clone()), Occasion::Callback);
    // SAFETY: the context outlives the call.
    let answer = enter(state, &mut context, |address| unsafe { entry(address) });
    answer != ERR
}

/// Where the library begins that holds an address; NULL for none.
fn base_of(address: *const ()) -> Opaque {
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: the structure has room for the answer; all zeroes are a valid one.
    let info = unsafe {
        libc::dladdr(address.cast(), info.as_mut_ptr());
        info.assume_init()
    };
    info.dli_fbase
}

/// Forgets the functions of a library that were registered without the name of their module: of watched descriptors, and
/// of the child.
pub fn forget_functions(state: &mut State, library: Opaque) {
    if library.is_null() {
        return;
    }
    let base = base_of(symbol(library, &ON_LOAD).cast_const().cast());
    let modules = &mut state.modules;
    for watched in modules.watched.values_mut() {
        watched.read = watched
            .read
            .filter(|run| base_of(*run as *const ()) != base);
        watched.write = watched
            .write
            .filter(|run| base_of(*run as *const ()) != base);
    }
    modules
        .watched
        .retain(|_, watched| watched.read.is_some() || watched.write.is_some());
    modules.watched_changed = true;
    if let Some(child) = &mut modules.child {
        child.done = child.done.filter(|run| base_of(*run as *const ()) != base);
    }
}

/// Closes a library.
///
/// # Errors
/// The reason, in words of the system.
pub fn close(library: Opaque) -> Result<(), String> {
    if library.is_null() {
        return Ok(());
    }
    // SAFETY: nothing of the server points into the library any more.
    match unsafe { libc::dlclose(library) } {
        0 => Ok(()),
        _ => Err(last_error()),
    }
}

pub unsafe extern "C" fn set_attributes(
    ctx: Opaque,
    name: *const c_char,
    version: c_int,
    api: c_int,
) {
    let Some(context) = (unsafe { of(ctx) }) else {
        return;
    };
    if context.module.is_some() {
        return;
    }
    let name = String::from_utf8_lossy(unsafe { c_bytes(name) }).into_owned();
    context.module = with(|state| {
        let id = ModuleId(state.modules.next_module);
        state.modules.next_module += 1;
        Arc::new(Module {
            id,
            name,
            version,
            api,
            options: AtomicI32::new(0),
            log: state.log.clone(),
        })
    });
}

pub unsafe extern "C" fn is_name_busy(name: *const c_char) -> c_int {
    let name = unsafe { c_bytes(name) };
    let busy = with(|state| state.modules.find(name).is_some());
    c_int::from(busy.unwrap_or(true))
}
