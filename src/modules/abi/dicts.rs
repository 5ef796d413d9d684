//! Ordered dictionaries of modules: private to them, from bytes to pointers.
//!
//! Invariant: an iterator holds the key it has come to, never a place in the map, so that the map may change under it.
//! The dictionary outlives its iterators, by contract.
//!
//! Mirrors: the RM_Dict functions of module.c, over rax.c.

use std::collections::BTreeMap;
use std::ffi::{c_char, c_int, c_void};
use std::ops::Bound;
use std::ptr;

use super::codes::{ERR, OK};
use super::context::{self, Auto};
use super::strings::{self, RString, buffer, bytes, c_bytes};
use crate::modules::Opaque;

/// A dictionary.
#[derive(Debug, Default)]
pub struct Dict(BTreeMap<Box<[u8]>, Opaque>);

/// A walk over a dictionary.
#[derive(Debug)]
pub struct DictIter {
    dict: *const Dict,
    /// The key that it stands at, and whether a step forwards (backwards) begins with that very key.
    at: Place,
    /// The key last told, which lives until the next step.
    current: Box<[u8]>,
}

#[derive(Debug, Clone)]
enum Place {
    /// Before the first and behind the last: nothing was found.
    End,
    /// The key was sought, and is told by the first step.
    Sought(Box<[u8]>),
    /// The key was told.
    Told(Box<[u8]>),
}

/// Frees a dictionary.
///
/// # Safety
/// The dictionary is alive and not used any more.
pub unsafe fn free(dict: *mut Dict) {
    // SAFETY: as promised by the caller.
    drop(unsafe { Box::from_raw(dict) });
}

pub unsafe extern "C" fn create(ctx: Opaque) -> *mut Dict {
    let dict = Box::into_raw(Box::<Dict>::default());
    if let Some(context) = unsafe { context::of(ctx) } {
        context.keep(Auto::Dict(dict));
    }
    dict
}

pub unsafe extern "C" fn free_dict(ctx: Opaque, dict: *mut Dict) {
    if dict.is_null() {
        return;
    }
    unsafe {
        if let Some(context) = context::of(ctx) {
            context.no_longer_keep(Auto::Dict(dict));
        }
        free(dict);
    }
}

pub unsafe extern "C" fn size(dict: *const Dict) -> u64 {
    unsafe { dict.as_ref() }.map_or(0, |dict| dict.0.len() as u64)
}

/// Bytes that a dictionary takes, about.
pub unsafe extern "C" fn malloc_size(dict: *const Dict) -> usize {
    let Some(dict) = (unsafe { dict.as_ref() }) else {
        return 0;
    };
    let keys: usize = dict.0.keys().map(|key| key.len() + 32).sum();
    size_of::<Dict>() + keys
}

unsafe fn put(dict: *mut Dict, key: &[u8], data: Opaque, replace: bool) -> c_int {
    let map = unsafe { &mut (*dict).0 };
    if let Some(known) = map.get_mut(key) {
        if replace {
            *known = data;
        }
        return if replace { OK } else { ERR };
    }
    map.insert(key.into(), data);
    OK
}

pub unsafe extern "C" fn set_c(
    dict: *mut Dict,
    key: *const c_char,
    len: usize,
    data: Opaque,
) -> c_int {
    unsafe { put(dict, buffer(key, len), data, false) }
}

pub unsafe extern "C" fn replace_c(
    dict: *mut Dict,
    key: *const c_char,
    len: usize,
    data: Opaque,
) -> c_int {
    unsafe { put(dict, buffer(key, len), data, true) }
}

pub unsafe extern "C" fn set(dict: *mut Dict, key: *const RString, data: Opaque) -> c_int {
    unsafe { put(dict, bytes(key), data, false) }
}

pub unsafe extern "C" fn replace(dict: *mut Dict, key: *const RString, data: Opaque) -> c_int {
    unsafe { put(dict, bytes(key), data, true) }
}

unsafe fn get_of(dict: *const Dict, key: &[u8], missing: *mut c_int) -> Opaque {
    unsafe {
        let found = (*dict).0.get(key).copied();
        if !missing.is_null() {
            *missing = c_int::from(found.is_none());
        }
        found.unwrap_or(ptr::null_mut())
    }
}

pub unsafe extern "C" fn get_c(
    dict: *const Dict,
    key: *const c_char,
    len: usize,
    missing: *mut c_int,
) -> Opaque {
    unsafe { get_of(dict, buffer(key, len), missing) }
}

pub unsafe extern "C" fn get(
    dict: *const Dict,
    key: *const RString,
    missing: *mut c_int,
) -> Opaque {
    unsafe { get_of(dict, bytes(key), missing) }
}

unsafe fn del_of(dict: *mut Dict, key: &[u8], old: *mut Opaque) -> c_int {
    unsafe {
        match (*dict).0.remove(key) {
            Some(data) => {
                if !old.is_null() {
                    *old = data;
                }
                OK
            }
            None => ERR,
        }
    }
}

pub unsafe extern "C" fn del_c(
    dict: *mut Dict,
    key: *const c_char,
    len: usize,
    old: *mut Opaque,
) -> c_int {
    unsafe { del_of(dict, buffer(key, len), old) }
}

pub unsafe extern "C" fn del(dict: *mut Dict, key: *const RString, old: *mut Opaque) -> c_int {
    unsafe { del_of(dict, bytes(key), old) }
}

/// The key that an operator and a key mean: `^` the first, `$` the last, or the nearest in a relation.
fn seek(map: &BTreeMap<Box<[u8]>, Opaque>, op: &[u8], key: &[u8]) -> Option<Box<[u8]>> {
    let above = |bound: Bound<&[u8]>| {
        let mut range = map.range::<[u8], _>((bound, Bound::Unbounded));
        range.next().map(|(key, _)| key.clone())
    };
    let below = |bound: Bound<&[u8]>| {
        let mut range = map.range::<[u8], _>((Bound::Unbounded, bound));
        range.next_back().map(|(key, _)| key.clone())
    };
    match op {
        b"^" => map.keys().next().cloned(),
        b"$" => map.keys().next_back().cloned(),
        b">" => above(Bound::Excluded(key)),
        b">=" => above(Bound::Included(key)),
        b"<" => below(Bound::Excluded(key)),
        b"<=" => below(Bound::Included(key)),
        b"=" | b"==" => map.get_key_value(key).map(|(key, _)| key.clone()),
        _ => None,
    }
}

unsafe fn begin(dict: *const Dict, op: *const c_char, key: &[u8]) -> *mut DictIter {
    let found = unsafe { seek(&(*dict).0, c_bytes(op), key) };
    Box::into_raw(Box::new(DictIter {
        dict,
        at: found.map_or(Place::End, Place::Sought),
        current: Box::default(),
    }))
}

pub unsafe extern "C" fn start_c(
    dict: *const Dict,
    op: *const c_char,
    key: *const c_char,
    len: usize,
) -> *mut DictIter {
    unsafe { begin(dict, op, buffer(key, len)) }
}

pub unsafe extern "C" fn start(
    dict: *const Dict,
    op: *const c_char,
    key: *const RString,
) -> *mut DictIter {
    unsafe {
        let key = if key.is_null() { b"" } else { bytes(key) };
        begin(dict, op, key)
    }
}

pub unsafe extern "C" fn stop(iter: *mut DictIter) {
    if !iter.is_null() {
        drop(unsafe { Box::from_raw(iter) });
    }
}

unsafe fn reseek_to(iter: *mut DictIter, op: *const c_char, key: &[u8]) -> c_int {
    unsafe {
        let dict: &Dict = &*(*iter).dict;
        let map = &dict.0;
        let found = seek(map, c_bytes(op), key);
        let there = found.is_some();
        (*iter).at = found.map_or(Place::End, Place::Sought);
        if there { OK } else { ERR }
    }
}

pub unsafe extern "C" fn reseek_c(
    iter: *mut DictIter,
    op: *const c_char,
    key: *const c_char,
    len: usize,
) -> c_int {
    unsafe { reseek_to(iter, op, buffer(key, len)) }
}

pub unsafe extern "C" fn reseek(
    iter: *mut DictIter,
    op: *const c_char,
    key: *const RString,
) -> c_int {
    unsafe { reseek_to(iter, op, bytes(key)) }
}

/// Steps, and tells the key and its pointer.
unsafe fn step(iter: *mut DictIter, back: bool) -> Option<Opaque> {
    unsafe {
        let dict: &Dict = &*(*iter).dict;
        let map = &dict.0;
        let found = match &(*iter).at {
            Place::End => None,
            Place::Sought(key) => seek(map, if back { b"<=" } else { b">=" }, key),
            Place::Told(key) => seek(map, if back { b"<" } else { b">" }, key),
        };
        match found {
            Some(key) => {
                let data = map.get(&key).copied();
                (*iter).current = key.clone();
                (*iter).at = Place::Told(key);
                data
            }
            None => {
                (*iter).at = Place::End;
                None
            }
        }
    }
}

unsafe fn told_c(
    iter: *mut DictIter,
    back: bool,
    len: *mut usize,
    data: *mut Opaque,
) -> *const c_void {
    unsafe {
        let Some(found) = step(iter, back) else {
            return ptr::null();
        };
        let current: &[u8] = &(*iter).current;
        if !len.is_null() {
            *len = current.len();
        }
        if !data.is_null() {
            *data = found;
        }
        // An empty key has an address as well.
        current.as_ptr().cast()
    }
}

pub unsafe extern "C" fn next_c(
    iter: *mut DictIter,
    len: *mut usize,
    data: *mut Opaque,
) -> *const c_void {
    unsafe { told_c(iter, false, len, data) }
}

pub unsafe extern "C" fn prev_c(
    iter: *mut DictIter,
    len: *mut usize,
    data: *mut Opaque,
) -> *const c_void {
    unsafe { told_c(iter, true, len, data) }
}

unsafe fn told(ctx: Opaque, iter: *mut DictIter, back: bool, data: *mut Opaque) -> *mut RString {
    unsafe {
        let Some(found) = step(iter, back) else {
            return strings::none();
        };
        if !data.is_null() {
            *data = found;
        }
        let key = &(*iter).current;
        match context::of(ctx) {
            Some(context) => context.string(key),
            None => strings::new(key),
        }
    }
}

pub unsafe extern "C" fn next(ctx: Opaque, iter: *mut DictIter, data: *mut Opaque) -> *mut RString {
    unsafe { told(ctx, iter, false, data) }
}

pub unsafe extern "C" fn prev(ctx: Opaque, iter: *mut DictIter, data: *mut Opaque) -> *mut RString {
    unsafe { told(ctx, iter, true, data) }
}

unsafe fn compare_with(iter: *const DictIter, op: *const c_char, key: &[u8]) -> c_int {
    unsafe {
        let iter = &*iter;
        let own = match &iter.at {
            Place::End => return ERR,
            Place::Sought(own) | Place::Told(own) => &**own,
        };
        let holds = match c_bytes(op) {
            b"=" | b"==" => own == key,
            b">" => own > key,
            b">=" => own >= key,
            b"<" => own < key,
            b"<=" => own <= key,
            _ => false,
        };
        if holds { OK } else { ERR }
    }
}

pub unsafe extern "C" fn compare_c(
    iter: *const DictIter,
    op: *const c_char,
    key: *const c_char,
    len: usize,
) -> c_int {
    unsafe { compare_with(iter, op, buffer(key, len)) }
}

pub unsafe extern "C" fn compare(
    iter: *const DictIter,
    op: *const c_char,
    key: *const RString,
) -> c_int {
    unsafe { compare_with(iter, op, bytes(key)) }
}
