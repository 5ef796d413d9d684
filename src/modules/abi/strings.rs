//! Strings that modules hold: counted, with a NUL behind the bytes.
//!
//! A word of a command, a value handed out, a string that a module makes: each is an [`RString`] of its own, so that a
//! module may retain the very pointer it was given. Counts are atomic, because modules retain and free their own
//! strings in threads of their own.
//!
//! Invariant: the last byte of `bytes` is a NUL that is not part of the string. A string whose count is above one is
//! never changed.
//!
//! Mirrors: RedisModuleString (robj) and the `RM_String*` functions of module.c.
//! Differs: bytes behind a vector; Redis keeps short strings in the object.

use std::ffi::{CStr, c_char, c_int};
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering};

use super::codes::{ERR, OK};
use super::context::{self, Auto};
use crate::modules::Opaque;
use crate::types::stream::{IdBuf, StreamId};
use crate::util::num::{IntBuf, parse_f64, parse_i64, parse_u64};

/// A string of the module interface.
#[derive(Debug)]
pub struct RString {
    count: AtomicU32,
    bytes: Vec<u8>,
}

/// A new string with one reference.
pub fn new(bytes: &[u8]) -> *mut RString {
    let mut owned = Vec::with_capacity(bytes.len() + 1);
    owned.extend_from_slice(bytes);
    owned.push(0);
    Box::into_raw(Box::new(RString {
        count: AtomicU32::new(1),
        bytes: owned,
    }))
}

/// The bytes of a string.
///
/// # Safety
/// The string is alive, and is not changed while the result is in use.
pub unsafe fn bytes<'a>(string: *const RString) -> &'a [u8] {
    // SAFETY: as promised by the caller.
    let all = unsafe { &(*string).bytes };
    &all[..all.len() - 1]
}

/// One more reference.
///
/// # Safety
/// The string is alive.
pub unsafe fn retain(string: *mut RString) {
    // SAFETY: as promised by the caller.
    unsafe { (*string).count.fetch_add(1, Ordering::Relaxed) };
}

/// One reference less; frees the string with the last.
///
/// # Safety
/// The caller owns a reference, and gives it up.
pub unsafe fn release(string: *mut RString) {
    // SAFETY: as promised by the caller; the last one to give up a reference sees all that others did before.
    unsafe {
        if (*string).count.fetch_sub(1, Ordering::AcqRel) == 1 {
            drop(Box::from_raw(string));
        }
    }
}

/// The bytes of a C string; empty for NULL.
///
/// # Safety
/// NULL, or a C string that lives long enough.
pub unsafe fn c_bytes<'a>(text: *const c_char) -> &'a [u8] {
    match text.is_null() {
        true => b"",
        // SAFETY: as promised by the caller.
        false => unsafe { CStr::from_ptr(text) }.to_bytes(),
    }
}

/// The bytes of a buffer; empty for NULL.
///
/// # Safety
/// NULL, or `len` readable bytes that live long enough.
pub unsafe fn buffer<'a>(data: *const c_char, len: usize) -> &'a [u8] {
    match data.is_null() || len == 0 {
        true => b"",
        // SAFETY: as promised by the caller.
        false => unsafe { slice::from_raw_parts(data.cast(), len) },
    }
}

/// A fresh string for a context, which may be NULL.
unsafe fn make(ctx: Opaque, bytes: &[u8]) -> *mut RString {
    // SAFETY: the module passes its context or NULL.
    match unsafe { context::of(ctx) } {
        Some(context) => context.string(bytes),
        None => new(bytes),
    }
}

pub unsafe extern "C" fn create(ctx: Opaque, data: *const c_char, len: usize) -> *mut RString {
    unsafe {
        if data.is_null() {
            return make(ctx, &vec![0; len]);
        }
        make(ctx, buffer(data, len))
    }
}

pub unsafe extern "C" fn from_long_long(ctx: Opaque, n: i64) -> *mut RString {
    unsafe { make(ctx, IntBuf::new().format(n)) }
}

pub unsafe extern "C" fn from_unsigned(ctx: Opaque, n: u64) -> *mut RString {
    unsafe { make(ctx, IntBuf::new().format_u64(n)) }
}

pub unsafe extern "C" fn from_double(ctx: Opaque, n: f64) -> *mut RString {
    let mut text = Vec::new();
    crate::util::num::write_g(&mut text, n, 17);
    unsafe { make(ctx, &text) }
}

pub unsafe extern "C" fn from_string(ctx: Opaque, other: *const RString) -> *mut RString {
    unsafe { make(ctx, bytes(other)) }
}

pub unsafe extern "C" fn from_stream_id(ctx: Opaque, id: *const StreamIdC) -> *mut RString {
    unsafe { make(ctx, IdBuf::new().format((*id).into())) }
}

/// The text that the shim printed.
#[unsafe(no_mangle)]
unsafe extern "C" fn oxidis_module_text(
    ctx: Opaque,
    text: *const c_char,
    len: usize,
) -> *mut RString {
    unsafe { make(ctx, buffer(text, len)) }
}

pub unsafe extern "C" fn free_string(ctx: Opaque, string: *mut RString) {
    if string.is_null() {
        return;
    }
    unsafe {
        if let Some(context) = context::of(ctx) {
            context.no_longer_keep(Auto::String(string));
        }
        release(string);
    }
}

pub unsafe extern "C" fn retain_string(ctx: Opaque, string: *mut RString) {
    unsafe {
        let noted = context::of(ctx).is_some_and(|c| c.no_longer_keep(Auto::String(string)));
        if !noted {
            retain(string);
        }
    }
}

pub unsafe extern "C" fn hold_string(_ctx: Opaque, string: *mut RString) -> *mut RString {
    unsafe { retain(string) };
    string
}

pub unsafe extern "C" fn ptr_len(string: *const RString, len: *mut usize) -> *const c_char {
    const MISSING: &CStr = c"(NULL string reply referenced in module)";
    unsafe {
        let (data, length) = match string.is_null() {
            true => (MISSING.as_ptr(), MISSING.count_bytes()),
            false => ((*string).bytes.as_ptr().cast(), bytes(string).len()),
        };
        if !len.is_null() {
            *len = length;
        }
        data
    }
}

/// The bytes of a string, for the shim.
#[unsafe(no_mangle)]
unsafe extern "C" fn oxidis_module_bytes(string: *const RString, len: *mut usize) -> *const c_char {
    unsafe { ptr_len(string, len) }
}

pub unsafe extern "C" fn append(
    _ctx: Opaque,
    string: *mut RString,
    data: *const c_char,
    len: usize,
) -> c_int {
    unsafe {
        if (*string).count.load(Ordering::Acquire) != 1 {
            return ERR;
        }
        let own = &mut (*string).bytes;
        own.pop();
        own.extend_from_slice(buffer(data, len));
        own.push(0);
    }
    OK
}

pub unsafe extern "C" fn trim(string: *mut RString) {
    unsafe {
        if !string.is_null() && (*string).count.load(Ordering::Acquire) == 1 {
            (*string).bytes.shrink_to_fit();
        }
    }
}

pub unsafe extern "C" fn compare(a: *const RString, b: *const RString) -> c_int {
    unsafe { bytes(a).cmp(bytes(b)) as c_int }
}

pub unsafe extern "C" fn to_long_long(string: *const RString, out: *mut i64) -> c_int {
    unsafe { store(parse_i64(bytes(string)), out) }
}

pub unsafe extern "C" fn to_unsigned(string: *const RString, out: *mut u64) -> c_int {
    unsafe { store(parse_u64(bytes(string)), out) }
}

pub unsafe extern "C" fn to_double(string: *const RString, out: *mut f64) -> c_int {
    unsafe { store(parse_f64(bytes(string)), out) }
}

unsafe fn store<T>(value: Option<T>, out: *mut T) -> c_int {
    match value {
        Some(value) => {
            unsafe { *out = value };
            OK
        }
        None => ERR,
    }
}

/// The ID of a stream's entry as C has it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct StreamIdC {
    pub ms: u64,
    pub seq: u64,
}

const _: () = assert!(size_of::<StreamIdC>() == 16);

impl From<StreamIdC> for StreamId {
    fn from(id: StreamIdC) -> StreamId {
        StreamId {
            ms: id.ms,
            seq: id.seq,
        }
    }
}

impl From<StreamId> for StreamIdC {
    fn from(id: StreamId) -> StreamIdC {
        StreamIdC {
            ms: id.ms,
            seq: id.seq,
        }
    }
}

pub unsafe extern "C" fn to_stream_id(string: *const RString, out: *mut StreamIdC) -> c_int {
    let text = unsafe { bytes(string) };
    let id = match text {
        b"-" => Some(StreamId { ms: 0, seq: 0 }),
        b"+" => Some(StreamId {
            ms: u64::MAX,
            seq: u64::MAX,
        }),
        text => StreamId::parse(text, 0),
    };
    unsafe { store(id.map(StreamIdC::from), out) }
}

/// Bytes that a string takes.
pub unsafe extern "C" fn malloc_size(string: *const RString) -> usize {
    match string.is_null() {
        true => 0,
        false => size_of::<RString>() + unsafe { (*string).bytes.capacity() },
    }
}

/// The strings behind a module's array.
///
/// # Safety
/// `count` strings that are alive, or a NULL array of none.
pub unsafe fn list<'a>(strings: *const *mut RString, count: usize) -> &'a [*mut RString] {
    match strings.is_null() || count == 0 {
        true => &[],
        // SAFETY: as promised by the caller.
        false => unsafe { slice::from_raw_parts(strings, count) },
    }
}

/// NULL, for functions that found nothing.
pub fn none() -> *mut RString {
    ptr::null_mut()
}
