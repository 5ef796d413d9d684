//! INFO and modules: the sections that modules write, and the figures that they read.
//!
//! Mirrors: RM_RegisterInfoFunc(), RM_InfoAddSection() and their kin, RM_GetServerInfo() of module.c.

use std::collections::BTreeMap;
use std::ffi::{CString, c_char, c_int};
use std::fmt::Write;
use std::ptr;

use super::codes::{ERR, OK};
use super::context::{self, Auto, lend};
use super::strings::{self, RString, bytes, c_bytes};
use crate::modules::{InfoFn, InfoSource, Opaque};
use crate::state::{InfoAsked, State};
use crate::util::num::{parse_f64, parse_i64, parse_u64};

/// The text that a module writes sections into.
#[derive(Debug)]
pub struct InfoContext {
    module: String,
    /// Names of the sections that are asked for, in lower case; all when there are none.
    asked: Option<Vec<Vec<u8>>>,
    text: String,
    sections: usize,
    in_section: bool,
    in_dict: bool,
}

/// The sections of all modules.
#[doc(alias = "modulesCollectInfo")]
pub fn sections(state: &mut State, asked: &InfoAsked<'_>) -> String {
    let mut text = String::new();
    let mut count = 0;
    for source in state.modules.info.clone() {
        let asked_names = asked.names.map(|names| {
            let lower = names.iter().map(|name| name.to_ascii_lowercase());
            lower.collect()
        });
        let mut context = InfoContext {
            module: source.module.name.clone(),
            asked: asked_names,
            text: std::mem::take(&mut text),
            sections: count,
            in_section: false,
            in_dict: false,
        };
        let address: *mut InfoContext = &mut context;
        lend(state, || {
            // SAFETY: the module is loaded; the context outlives the call.
            unsafe { (source.run)(address.cast(), c_int::from(asked.crash)) }
        });
        context.end_dict();
        (text, count) = (context.text, context.sections);
    }
    text
}

/// Characters that would break a line of INFO become `_`.
fn safe(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.replace(['#', ':', '\n', '\r'], "_")
}

impl InfoContext {
    fn end_dict(&mut self) {
        if self.in_dict {
            self.in_dict = false;
            if self.text.ends_with(',') {
                self.text.pop();
            }
            self.text.push_str("\r\n");
        }
    }

    fn field(&mut self, name: &[u8], value: std::fmt::Arguments<'_>) -> c_int {
        if !self.in_section {
            return ERR;
        }
        let name = safe(name);
        // Writing to a string cannot fail.
        let _ = match self.in_dict {
            true => write!(self.text, "{name}={value},"),
            false => write!(self.text, "{}_{name}:{value}\r\n", self.module),
        };
        OK
    }
}

pub unsafe extern "C" fn register(ctx: Opaque, run: InfoFn) -> c_int {
    let Some(module) = (unsafe { context::of(ctx) }).and_then(|c| c.module.clone()) else {
        return ERR;
    };
    let done = context::with(|state| {
        let sources = &mut state.modules.info;
        sources.retain(|source| source.module.id != module.id);
        sources.push(InfoSource { module, run });
    });
    if done.is_some() { OK } else { ERR }
}

pub unsafe extern "C" fn add_section(ctx: *mut InfoContext, name: *const c_char) -> c_int {
    let (context, name) = unsafe { (&mut *ctx, c_bytes(name)) };
    context.end_dict();
    let full = match name.is_empty() {
        true => context.module.clone(),
        false => format!("{}_{}", context.module, safe(name)),
    };
    if let Some(asked) = &context.asked {
        let wanted = |wanted: &str| {
            let wanted = wanted.to_ascii_lowercase().into_bytes();
            asked.contains(&wanted)
        };
        if !wanted(&full) && !wanted(&context.module) {
            context.in_section = false;
            return ERR;
        }
    }
    if context.sections > 0 {
        context.text.push_str("\r\n");
    }
    context.sections += 1;
    let _ = write!(context.text, "# {full}\r\n");
    context.in_section = true;
    OK
}

pub unsafe extern "C" fn begin_dict(ctx: *mut InfoContext, name: *const c_char) -> c_int {
    let (context, name) = unsafe { (&mut *ctx, c_bytes(name)) };
    context.end_dict();
    if !context.in_section {
        return ERR;
    }
    let _ = write!(context.text, "{}_{}:", context.module, safe(name));
    context.in_dict = true;
    OK
}

pub unsafe extern "C" fn end_dict(ctx: *mut InfoContext) -> c_int {
    let context = unsafe { &mut *ctx };
    if !context.in_dict {
        return ERR;
    }
    context.end_dict();
    OK
}

pub unsafe extern "C" fn add_string(
    ctx: *mut InfoContext,
    name: *const c_char,
    value: *const RString,
) -> c_int {
    unsafe {
        let value = String::from_utf8_lossy(bytes(value));
        (*ctx).field(c_bytes(name), format_args!("{value}"))
    }
}

pub unsafe extern "C" fn add_c_string(
    ctx: *mut InfoContext,
    name: *const c_char,
    value: *const c_char,
) -> c_int {
    unsafe {
        let value = String::from_utf8_lossy(c_bytes(value));
        (*ctx).field(c_bytes(name), format_args!("{value}"))
    }
}

pub unsafe extern "C" fn add_double(
    ctx: *mut InfoContext,
    name: *const c_char,
    value: f64,
) -> c_int {
    let mut text = Vec::new();
    crate::util::num::write_g(&mut text, value, 17);
    let text = String::from_utf8_lossy(&text);
    unsafe { (*ctx).field(c_bytes(name), format_args!("{text}")) }
}

pub unsafe extern "C" fn add_signed(
    ctx: *mut InfoContext,
    name: *const c_char,
    value: i64,
) -> c_int {
    unsafe { (*ctx).field(c_bytes(name), format_args!("{value}")) }
}

pub unsafe extern "C" fn add_unsigned(
    ctx: *mut InfoContext,
    name: *const c_char,
    value: u64,
) -> c_int {
    unsafe { (*ctx).field(c_bytes(name), format_args!("{value}")) }
}

/// Figures of INFO by name.
#[derive(Debug)]
pub struct ServerInfo(BTreeMap<Vec<u8>, CString>);

pub unsafe extern "C" fn get_info(ctx: Opaque, section: *const c_char) -> *mut ServerInfo {
    let name = unsafe { c_bytes(section) };
    let text = context::with(|state| {
        let names: &[&[u8]] = &[name];
        let names = if name.is_empty() { &[][..] } else { names };
        crate::commands::info::full_report(state, names)
    });
    let mut fields = BTreeMap::new();
    for line in text.unwrap_or_default().split("\r\n") {
        if let Some((name, value)) = line.split_once(':')
            && !line.starts_with('#')
        {
            let value = CString::new(value).unwrap_or_default();
            fields.insert(name.as_bytes().to_vec(), value);
        }
    }
    let info = Box::into_raw(Box::new(ServerInfo(fields)));
    if let Some(context) = unsafe { context::of(ctx) } {
        context.keep(Auto::Info(info));
    }
    info
}

pub unsafe extern "C" fn free_info(ctx: Opaque, info: *mut ServerInfo) {
    if info.is_null() {
        return;
    }
    unsafe {
        if let Some(context) = context::of(ctx) {
            context.no_longer_keep(Auto::Info(info));
        }
        drop(Box::from_raw(info));
    }
}

unsafe fn field_of<'a>(info: *const ServerInfo, name: *const c_char) -> Option<&'a CString> {
    unsafe { (*info).0.get(c_bytes(name)) }
}

pub unsafe extern "C" fn field(
    ctx: Opaque,
    info: *const ServerInfo,
    name: *const c_char,
) -> *mut RString {
    let Some(value) = (unsafe { field_of(info, name) }) else {
        return strings::none();
    };
    match unsafe { context::of(ctx) } {
        Some(context) => context.string(value.to_bytes()),
        None => strings::new(value.to_bytes()),
    }
}

pub unsafe extern "C" fn field_c(info: *const ServerInfo, name: *const c_char) -> *const c_char {
    unsafe { field_of(info, name) }.map_or(ptr::null(), |value| value.as_ptr())
}

unsafe fn number<T: Default>(
    info: *const ServerInfo,
    name: *const c_char,
    error: *mut c_int,
    parse: impl FnOnce(&[u8]) -> Option<T>,
) -> T {
    let value = unsafe { field_of(info, name) }.and_then(|value| parse(value.to_bytes()));
    if !error.is_null() {
        unsafe { *error = if value.is_some() { OK } else { ERR } };
    }
    value.unwrap_or_default()
}

pub unsafe extern "C" fn field_signed(
    info: *const ServerInfo,
    name: *const c_char,
    error: *mut c_int,
) -> i64 {
    unsafe { number(info, name, error, parse_i64) }
}

pub unsafe extern "C" fn field_unsigned(
    info: *const ServerInfo,
    name: *const c_char,
    error: *mut c_int,
) -> u64 {
    unsafe { number(info, name, error, parse_u64) }
}

pub unsafe extern "C" fn field_double(
    info: *const ServerInfo,
    name: *const c_char,
    error: *mut c_int,
) -> f64 {
    unsafe { number(info, name, error, parse_f64) }
}
