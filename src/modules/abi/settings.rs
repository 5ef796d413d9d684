//! Options of the server and of modules, listed, read and set by modules.
//!
//! Mirrors: RM_ConfigIteratorCreate(), RM_ConfigGet(), RM_ConfigSet() and their kin of module.c of Redis 8.2.
//! Differs: a name that no option has is an error in every function; some of Redis's end the server.

use std::ffi::{CString, c_char, c_int};

use super::codes::{ERR, OK};
use super::context::{self, with};
use super::strings::{self, RString, bytes, c_bytes};
use crate::config::{self, Flag, Permissions, Shape};
use crate::modules::act::config as act;
use crate::modules::{EventData, EventId, ModuleOption, Opaque, OptionKind, OptionValue, abi};
use crate::state::State;
use crate::util::glob::{self, Case};
use crate::util::num::parse_i64;

/// Names that are still to be told.
#[derive(Debug)]
pub struct Names {
    left: std::vec::IntoIter<CString>,
    /// The name told last, which lives until the next.
    told: CString,
}

/// The names that a pattern matches, without hidden ones, or the one that is spelled out.
fn names(state: &State, pattern: Option<&[u8]>) -> Vec<CString> {
    let exact = pattern.filter(|text| !text.iter().any(|b| b"*?[".contains(b)));
    let matches = |name: &str, hidden: bool| match (exact, pattern) {
        (Some(exact), _) => name.as_bytes().eq_ignore_ascii_case(exact),
        (None, Some(pattern)) => !hidden && glob::matches(pattern, name.as_bytes(), Case::Ignored),
        (None, None) => !hidden,
    };
    let own = config::OPTIONS.iter().flat_map(|option| {
        let hidden = option.has(Flag::Hidden);
        let names = option.names().filter(|name| matches(name, hidden));
        names.map(str::to_owned).collect::<Vec<String>>()
    });
    let of_modules = state.modules.options.iter().flat_map(|option| {
        let hidden = option.is_hidden();
        let names = option.names().filter(|name| matches(name, hidden));
        names.map(str::to_owned).collect::<Vec<String>>()
    });
    let all = own.chain(of_modules);
    all.filter_map(|name| CString::new(name).ok()).collect()
}

pub unsafe extern "C" fn iterate(_ctx: Opaque, pattern: *const c_char) -> *mut Names {
    let pattern = match pattern.is_null() {
        true => None,
        false => Some(unsafe { c_bytes(pattern) }),
    };
    let names = with(|state| names(state, pattern)).unwrap_or_default();
    Box::into_raw(Box::new(Names {
        left: names.into_iter(),
        told: CString::default(),
    }))
}

pub unsafe extern "C" fn next(names: *mut Names) -> *const c_char {
    // SAFETY: the module passes what `iterate` gave it, or NULL.
    let Some(names) = (unsafe { names.as_mut() }) else {
        return std::ptr::null();
    };
    match names.left.next() {
        Some(name) => {
            names.told = name;
            names.told.as_ptr()
        }
        None => std::ptr::null(),
    }
}

pub unsafe extern "C" fn release(_ctx: Opaque, names: *mut Names) {
    if !names.is_null() {
        // SAFETY: made by `iterate`, and not used after this.
        drop(unsafe { Box::from_raw(names) });
    }
}

/// An option: the server's, or a module's.
enum Found {
    Own(&'static config::ConfigOption),
    OfModule(ModuleOption),
}

impl Found {
    fn by_name(state: &State, name: &[u8]) -> Option<Found> {
        if let Some(option) = config::find(name) {
            return Some(Found::Own(option));
        }
        let at = act::find(state, name)?;
        Some(Found::OfModule(state.modules.options[at].clone()))
    }

    fn shape(&self) -> Shape {
        match self {
            Found::Own(option) => option.shape,
            Found::OfModule(option) => match option.kind {
                OptionKind::Bool => Shape::YesNo,
                OptionKind::Number { .. } => Shape::Number,
                OptionKind::Text => Shape::Text,
                OptionKind::Words { .. } => Shape::Words,
            },
        }
    }

    fn text(&self, state: &mut State) -> Vec<u8> {
        match self {
            Found::Own(option) => option.show(&state.config),
            Found::OfModule(option) => {
                let value = abi::configs::get(state, option);
                act::show(option, &value)
            }
        }
    }

    /// A number, or 0 and 1 for no and yes.
    fn number(&self, state: &mut State) -> Option<i64> {
        if let Found::OfModule(option) = self {
            return match abi::configs::get(state, option) {
                OptionValue::Number(n) => Some(n),
                OptionValue::Text(_) => None,
            };
        }
        let text = self.text(state);
        match self.shape() {
            Shape::YesNo => Some(i64::from(text == b"yes")),
            Shape::Octal => {
                let digits = std::str::from_utf8(&text).ok()?;
                i64::from_str_radix(digits, 8).ok()
            }
            // A share of `maxmemory` is a negative number.
            _ => match text.strip_suffix(b"%") {
                Some(percent) => parse_i64(percent).map(|n| -n),
                // Beyond i64 the bits are the same.
                None => parse_i64(&text)
                    .or_else(|| crate::util::num::parse_u64(&text).map(|n| n as i64)),
            },
        }
    }
}

/// Looks an option up and takes something of it.
unsafe fn read<R>(
    name: *const c_char,
    f: impl FnOnce(&mut State, &Found) -> Option<R>,
) -> Option<R> {
    let name = unsafe { c_bytes(name) };
    with(|state| {
        let found = Found::by_name(state, name)?;
        f(state, &found)
    })
    .flatten()
}

pub unsafe extern "C" fn kind(name: *const c_char, out: *mut c_int) -> c_int {
    let shape = unsafe { read(name, |_, found| Some(found.shape())) };
    let Some(shape) = shape else { return ERR };
    let number = match shape {
        Shape::Text => 0,
        Shape::Words => 1,
        Shape::Number | Shape::Octal | Shape::Share => 2,
        Shape::YesNo => 3,
    };
    // SAFETY: the module has room for the answer.
    unsafe { *out = number };
    OK
}

/// A string for the module, which automatic memory knows of.
unsafe fn give(ctx: Opaque, text: &[u8], out: *mut *mut RString) {
    if out.is_null() {
        return;
    }
    let made = match unsafe { context::of(ctx) } {
        Some(context) => context.string(text),
        None => strings::new(text),
    };
    // SAFETY: the module has room for the answer.
    unsafe { *out = made };
}

pub unsafe extern "C" fn get(ctx: Opaque, name: *const c_char, out: *mut *mut RString) -> c_int {
    let text = unsafe { read(name, |state, found| Some(found.text(state))) };
    let Some(text) = text else { return ERR };
    unsafe { give(ctx, &text, out) };
    OK
}

pub unsafe extern "C" fn get_words(
    ctx: Opaque,
    name: *const c_char,
    out: *mut *mut RString,
) -> c_int {
    let text = unsafe {
        read(name, |state, found| {
            (found.shape() == Shape::Words).then(|| found.text(state))
        })
    };
    let Some(text) = text else { return ERR };
    unsafe { give(ctx, &text, out) };
    OK
}

pub unsafe extern "C" fn get_bool(_ctx: Opaque, name: *const c_char, out: *mut c_int) -> c_int {
    let value = unsafe {
        read(name, |state, found| match found.shape() {
            Shape::YesNo => found.number(state),
            _ => None,
        })
    };
    let Some(value) = value else { return ERR };
    // SAFETY: the module has room for the answer.
    unsafe { *out = c_int::from(value != 0) };
    OK
}

pub unsafe extern "C" fn get_number(_ctx: Opaque, name: *const c_char, out: *mut i64) -> c_int {
    let value = unsafe {
        read(name, |state, found| match found.shape().is_number() {
            true => found.number(state),
            false => None,
        })
    };
    let Some(value) = value else { return ERR };
    // SAFETY: the module has room for the answer.
    unsafe { *out = value };
    OK
}

/// Sets an option, as CONFIG SET does for a client that has no special rights.
fn set_to(state: &mut State, name: &[u8], value: &[u8]) -> Result<(), String> {
    const IMMUTABLE: &str = "Config is immutable";
    const PROTECTED: &str = "Config is protected";
    let loading = state.persistence.is_loading();
    match Found::by_name(state, name) {
        None => return Err("Config name not found".to_owned()),
        Some(Found::Own(option)) => {
            if option.has(Flag::Immutable) {
                return Err(IMMUTABLE.to_owned());
            }
            let open = state.config.enable_protected_configs.allows(false);
            if option.has(Flag::Protected) && !open {
                return Err(PROTECTED.to_owned());
            }
            let permissions = Permissions {
                protected: true,
                loading,
            };
            let set = config::set(state, &[(name, value)], permissions);
            set.map_err(|error| match error {
                config::SetError::Failed { reason, .. } => reason.to_string(),
                error => error.to_string(),
            })?;
        }
        Some(Found::OfModule(option)) => {
            let open = state.config.enable_protected_configs.allows(false);
            match option.refuses(open, loading) {
                Some("") => return Err("the data set is being loaded".to_owned()),
                Some(reason) if reason.contains("immutable") => return Err(IMMUTABLE.to_owned()),
                Some(_) => return Err(PROTECTED.to_owned()),
                None => {}
            }
            act::set(state, &[(name, value)]).map_err(|(_, reason)| reason)?;
        }
    }
    state.tell_modules(EventId::Config, 0, EventData::Names(vec![name]));
    Ok(())
}

/// Sets an option of some shape. An option of another shape is refused without a word.
unsafe fn write(
    ctx: Opaque,
    name: *const c_char,
    shape: Option<fn(Shape) -> bool>,
    value: &[u8],
    error: *mut *mut RString,
) -> c_int {
    let name = unsafe { c_bytes(name) };
    let done = with(|state| {
        let found = Found::by_name(state, name);
        let fits = |found: Found| shape.is_none_or(|shape| shape(found.shape()));
        match found.is_none_or(fits) {
            true => set_to(state, name, value).map_err(Some),
            false => Err(None),
        }
    });
    match done {
        Some(Ok(())) => OK,
        Some(Err(Some(reason))) => {
            unsafe { give(ctx, reason.as_bytes(), error) };
            ERR
        }
        Some(Err(None)) | None => ERR,
    }
}

pub unsafe extern "C" fn set(
    ctx: Opaque,
    name: *const c_char,
    value: *const RString,
    error: *mut *mut RString,
) -> c_int {
    unsafe { write(ctx, name, None, bytes(value), error) }
}

pub unsafe extern "C" fn set_words(
    ctx: Opaque,
    name: *const c_char,
    value: *const RString,
    error: *mut *mut RString,
) -> c_int {
    let words: fn(Shape) -> bool = |shape| shape == Shape::Words;
    unsafe { write(ctx, name, Some(words), bytes(value), error) }
}

pub unsafe extern "C" fn set_bool(
    ctx: Opaque,
    name: *const c_char,
    value: c_int,
    error: *mut *mut RString,
) -> c_int {
    let bool: fn(Shape) -> bool = |shape| shape == Shape::YesNo;
    let text: &[u8] = match value {
        0 => b"no",
        1 => b"yes",
        // Neither; the option says so.
        _ => b"",
    };
    unsafe { write(ctx, name, Some(bool), text, error) }
}

pub unsafe extern "C" fn set_number(
    ctx: Opaque,
    name: *const c_char,
    value: i64,
    error: *mut *mut RString,
) -> c_int {
    let shape = unsafe { read(name, |_, found| Some(found.shape())) };
    let text = match shape {
        Some(Shape::Octal) => format!("{value:o}"),
        Some(Shape::Share) if value < 0 => format!("{}%", value.unsigned_abs()),
        _ => value.to_string(),
    };
    unsafe { write(ctx, name, Some(Shape::is_number), text.as_bytes(), error) }
}
