//! Options of modules: registered here, kept by `modules/act/config.rs`, valued by the module's own functions.
//!
//! Mirrors: RM_RegisterBoolConfig() and its kin, RM_LoadConfigs() of module.c.

use std::ffi::{CString, c_char, c_int, c_uint};
use std::ptr;

use super::codes::{ERR, OK};
use super::context::{self, Context, Occasion, enter, set_errno, with};
use super::strings::{self, RString, bytes, c_bytes};
use crate::config;
use crate::modules::act::commands::is_name;
use crate::modules::act::config as act;
use crate::modules::{ModuleOption, Opaque, OptionKind, OptionValue};
use crate::state::State;

type GetBool = unsafe extern "C" fn(*const c_char, Opaque) -> c_int;
type SetBool = unsafe extern "C" fn(*const c_char, c_int, Opaque, *mut *mut RString) -> c_int;
type GetNumeric = unsafe extern "C" fn(*const c_char, Opaque) -> i64;
type SetNumeric = unsafe extern "C" fn(*const c_char, i64, Opaque, *mut *mut RString) -> c_int;
type GetString = unsafe extern "C" fn(*const c_char, Opaque) -> *mut RString;
type SetString =
    unsafe extern "C" fn(*const c_char, *mut RString, Opaque, *mut *mut RString) -> c_int;
type Apply = unsafe extern "C" fn(Opaque, Opaque, *mut *mut RString) -> c_int;

/// The functions of an option.
#[derive(Clone, Copy, Debug)]
pub struct Functions {
    get: usize,
    set: usize,
    /// Called once for each pair of function and data, after all values of a CONFIG SET are set.
    pub apply: Option<usize>,
    pub private: Opaque,
}

#[allow(clippy::too_many_arguments)]
unsafe fn register(
    ctx: Opaque,
    name: *const c_char,
    flags: c_uint,
    kind: OptionKind,
    default: OptionValue,
    functions: Functions,
) -> c_int {
    const KNOWN: c_uint = 1 | 2 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 9;
    const UNPREFIXED: c_uint = 1 << 9;
    const MEMORY: c_uint = 1 << 7;
    const BIT_FLAGS: c_uint = 1 << 8;
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return ERR;
    };
    let (Some(module), Occasion::Load) = (context.module.clone(), context.occasion) else {
        set_errno(libc::EBUSY);
        return ERR;
    };
    let name = unsafe { c_bytes(name) };
    let memory = flags & MEMORY != 0 && !matches!(kind, OptionKind::Number { .. });
    let bits = flags & BIT_FLAGS != 0 && !matches!(kind, OptionKind::Words { .. });
    let names = match flags & UNPREFIXED != 0 {
        true => bare_names(name),
        false => is_name(name).then(|| {
            let own = String::from_utf8_lossy(name);
            (format!("{}.{own}", module.name), None)
        }),
    };
    let Some((full, alias)) = names.filter(|_| flags & !KNOWN == 0 && !memory && !bits) else {
        set_errno(libc::EINVAL);
        return ERR;
    };
    let c_name = match flags & UNPREFIXED != 0 {
        true => CString::new(full.as_str()),
        false => CString::new(name),
    };
    let c_name = c_name.unwrap_or_default();
    let done = with(|state| {
        let is_taken = |name: &str| {
            act::find(state, name.as_bytes()).is_some() || config::find(name.as_bytes()).is_some()
        };
        let mut names = std::iter::once(full.as_str()).chain(alias.as_deref());
        if names.any(is_taken) || alias.as_ref().is_some_and(|alias| *alias == full) {
            let name = String::from_utf8_lossy(name);
            state.log.warning(format_args!(
                "Configuration by the name: {name} already registered"
            ));
            return false;
        }
        state.modules.options.push(ModuleOption {
            module,
            name: full,
            alias,
            own_name: c_name,
            flags,
            kind,
            default,
            get: functions.get,
            set: functions.set,
            apply: functions.apply,
            private: functions.private,
        });
        true
    });
    match done {
        Some(true) => OK,
        _ => {
            set_errno(libc::EALREADY);
            ERR
        }
    }
}

/// The names in `name` or `name|alias` of an option without its module's name. Each may hold one dot.
#[doc(alias = "moduleVerifyUnprefixedName")]
fn bare_names(text: &[u8]) -> Option<(String, Option<String>)> {
    let mut parts = text.splitn(2, |b| *b == b'|').map(|part| {
        let dots = part.iter().filter(|b| **b == b'.').count();
        let plain: Vec<u8> = part.iter().copied().filter(|b| *b != b'.').collect();
        let fine = dots <= 1 && is_name(&plain);
        fine.then(|| String::from_utf8_lossy(part).into_owned())
    });
    let name = parts.next()??;
    match parts.next() {
        Some(alias) => Some((name, Some(alias?))),
        None => Some((name, None)),
    }
}

fn functions(get: usize, set: usize, apply: Option<Apply>, private: Opaque) -> Functions {
    Functions {
        get,
        set,
        apply: apply.map(|apply| apply as *const () as usize),
        private,
    }
}

#[allow(clippy::too_many_arguments)]
pub unsafe extern "C" fn register_bool(
    ctx: Opaque,
    name: *const c_char,
    default: c_int,
    flags: c_uint,
    get: GetBool,
    set: SetBool,
    apply: Option<Apply>,
    private: Opaque,
) -> c_int {
    let functions = functions(
        get as *const () as usize,
        set as *const () as usize,
        apply,
        private,
    );
    let default = OptionValue::Number(i64::from(default != 0));
    unsafe { register(ctx, name, flags, OptionKind::Bool, default, functions) }
}

#[allow(clippy::too_many_arguments)]
pub unsafe extern "C" fn register_numeric(
    ctx: Opaque,
    name: *const c_char,
    default: i64,
    flags: c_uint,
    min: i64,
    max: i64,
    get: GetNumeric,
    set: SetNumeric,
    apply: Option<Apply>,
    private: Opaque,
) -> c_int {
    let functions = functions(
        get as *const () as usize,
        set as *const () as usize,
        apply,
        private,
    );
    let kind = OptionKind::Number { min, max };
    unsafe {
        register(
            ctx,
            name,
            flags,
            kind,
            OptionValue::Number(default),
            functions,
        )
    }
}

#[allow(clippy::too_many_arguments)]
pub unsafe extern "C" fn register_string(
    ctx: Opaque,
    name: *const c_char,
    default: *const c_char,
    flags: c_uint,
    get: GetString,
    set: SetString,
    apply: Option<Apply>,
    private: Opaque,
) -> c_int {
    let functions = functions(
        get as *const () as usize,
        set as *const () as usize,
        apply,
        private,
    );
    let default = match default.is_null() {
        true => OptionValue::Text(None),
        false => OptionValue::Text(Some(unsafe { c_bytes(default) }.to_vec())),
    };
    unsafe { register(ctx, name, flags, OptionKind::Text, default, functions) }
}

#[allow(clippy::too_many_arguments)]
pub unsafe extern "C" fn register_enum(
    ctx: Opaque,
    name: *const c_char,
    default: c_int,
    flags: c_uint,
    words: *const *const c_char,
    values: *const c_int,
    count: c_int,
    get: GetBool,
    set: SetBool,
    apply: Option<Apply>,
    private: Opaque,
) -> c_int {
    let functions = functions(
        get as *const () as usize,
        set as *const () as usize,
        apply,
        private,
    );
    let mut known = Vec::new();
    for at in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: the arrays have `count` elements.
        let (word, value) = unsafe { (c_bytes(*words.add(at)), *values.add(at)) };
        known.push((String::from_utf8_lossy(word).into_owned(), i64::from(value)));
    }
    let kind = OptionKind::Words { known };
    let default = OptionValue::Number(i64::from(default));
    unsafe { register(ctx, name, flags, kind, default, functions) }
}

pub unsafe extern "C" fn load(ctx: Opaque) -> c_int {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return ERR;
    };
    let (Some(module), Occasion::Load) = (context.module.clone(), context.occasion) else {
        return ERR;
    };
    let loaded = with(|state| act::load_values(state, &module));
    match loaded {
        Some(Ok(())) => OK,
        Some(Err(line)) => {
            module.log.warning(line);
            ERR
        }
        None => ERR,
    }
}

pub unsafe extern "C" fn load_defaults(ctx: Opaque) -> c_int {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return ERR;
    };
    let (Some(module), Occasion::Load) = (context.module.clone(), context.occasion) else {
        return ERR;
    };
    let loaded = with(|state| {
        let modules = &state.modules;
        let before = modules.defaulted.contains(&module.id);
        match before || modules.configured.contains(&module.id) {
            true => Err(String::new()),
            false => act::load_defaults(state, &module),
        }
    });
    match loaded {
        Some(Ok(())) => OK,
        Some(Err(line)) => {
            if !line.is_empty() {
                module.log.warning(line);
            }
            ERR
        }
        None => ERR,
    }
}

/// The value of an option, as the module has it.
pub fn get(state: &mut State, option: &ModuleOption) -> OptionValue {
    let name = option.own_name.as_ptr();
    context::lend(state, || {
        // SAFETY: the kind tells which functions the module registered; the module is loaded.
        unsafe {
            match option.kind {
                OptionKind::Bool | OptionKind::Words { .. } => {
                    let get = std::mem::transmute::<usize, GetBool>(option.get);
                    OptionValue::Number(i64::from(get(name, option.private)))
                }
                OptionKind::Number { .. } => {
                    let get = std::mem::transmute::<usize, GetNumeric>(option.get);
                    OptionValue::Number(get(name, option.private))
                }
                OptionKind::Text => {
                    let get = std::mem::transmute::<usize, GetString>(option.get);
                    let string = get(name, option.private);
                    let text = (!string.is_null()).then(|| bytes(string).to_vec());
                    OptionValue::Text(text)
                }
            }
        }
    })
}

/// The text of an error that a module gave.
unsafe fn taken(error: *mut RString) -> Option<String> {
    if error.is_null() {
        return None;
    }
    unsafe {
        let text = String::from_utf8_lossy(bytes(error)).into_owned();
        strings::release(error);
        Some(text)
    }
}

/// Sets the value of an option.
///
/// # Errors
/// Why the module refuses it.
pub fn set(state: &mut State, option: &ModuleOption, value: &OptionValue) -> Result<(), String> {
    let name = option.own_name.as_ptr();
    let mut error: *mut RString = ptr::null_mut();
    let out: *mut *mut RString = &mut error;
    let result = context::lend(state, || {
        // SAFETY: the kind tells which functions the module registered; the module is loaded.
        unsafe {
            match (&option.kind, value) {
                (OptionKind::Number { .. }, OptionValue::Number(n)) => {
                    let set = std::mem::transmute::<usize, SetNumeric>(option.set);
                    set(name, *n, option.private, out)
                }
                (_, OptionValue::Number(n)) => {
                    let set = std::mem::transmute::<usize, SetBool>(option.set);
                    set(name, *n as c_int, option.private, out)
                }
                (_, OptionValue::Text(text)) => {
                    let set = std::mem::transmute::<usize, SetString>(option.set);
                    let string = text
                        .as_ref()
                        .map_or(strings::none(), |text| strings::new(text));
                    let result = set(name, string, option.private, out);
                    if !string.is_null() {
                        strings::release(string);
                    }
                    result
                }
            }
        }
    });
    // SAFETY: what the module put there, or NULL.
    let text = unsafe { taken(error) };
    match result {
        OK => Ok(()),
        _ => Err(text.unwrap_or_else(|| "the module refuses it".to_owned())),
    }
}

/// Lets a module follow the options that were set.
///
/// # Errors
/// Why the module cannot.
pub fn apply(state: &mut State, option: &ModuleOption) -> Result<(), String> {
    let Some(function) = option.apply else {
        return Ok(());
    };
    let mut context = Context::new(Some(option.module.clone()), Occasion::Callback);
    let mut error: *mut RString = ptr::null_mut();
    let out: *mut *mut RString = &mut error;
    let result = enter(state, &mut context, |address| {
        // SAFETY: `register` took the address of a function of this type.
        unsafe {
            let apply = std::mem::transmute::<usize, Apply>(function);
            apply(address, option.private, out)
        }
    });
    // SAFETY: what the module put there, or NULL.
    let text = unsafe { taken(error) };
    match result {
        OK => Ok(()),
        _ => Err(text.unwrap_or_else(|| "the module cannot follow it".to_owned())),
    }
}
