//! Filters of modules: the words of a request, handed to each filter to be changed.
//!
//! Mirrors: RM_RegisterCommandFilter() and the RM_CommandFilter functions of module.c.

use std::ffi::c_int;
use std::ptr;

use super::codes::{ERR, OK};
use super::commands::Words;
use super::context::{self, Occasion, lend};
use super::strings::{self, RString, bytes};
use crate::modules::{Filter, FilterFn, Opaque};
use crate::resp::argv::{Argv, OwnedArgv};
use crate::state::State;

/// The request that a filter sees.
#[derive(Debug)]
pub struct FilterContext {
    words: Vec<*mut RString>,
    client: u64,
    changed: bool,
}

const NOT_OWN: c_int = 1;

/// Shows a request to filters; the changed request, if one of them changed it.
pub fn run(
    state: &mut State,
    filters: impl Iterator<Item = Filter>,
    client: u64,
    argv: Argv<'_>,
) -> Option<OwnedArgv> {
    let mut words = Words::new(argv);
    let mut context = FilterContext {
        words: std::mem::take(&mut words.0),
        client,
        changed: false,
    };
    let address: *mut FilterContext = &mut context;
    lend(state, || {
        for filter in filters {
            // SAFETY: the filter's module is loaded; the context outlives the call.
            unsafe { (filter.run)(address.cast()) };
        }
    });
    words.0 = context.words;
    context.changed.then(|| {
        // SAFETY: the words are alive until `words` goes.
        let all = words.0.iter().map(|word| unsafe { bytes(*word) });
        OwnedArgv::from_words(all)
    })
}

/// A filter's handle is its number.
fn handle(id: usize) -> Opaque {
    ptr::without_provenance_mut(id)
}

pub unsafe extern "C" fn register(ctx: Opaque, run: FilterFn, flags: c_int) -> Opaque {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return ptr::null_mut();
    };
    let Some(module) = context.module.clone() else {
        return ptr::null_mut();
    };
    debug_assert!(context.occasion != Occasion::KeysPosition);
    let id = context::with(|state| {
        let id = state.modules.number() as usize;
        state.modules.filters.push(Filter {
            id,
            module,
            run,
            not_own: flags & NOT_OWN != 0,
        });
        id
    });
    id.map_or(ptr::null_mut(), handle)
}

pub unsafe extern "C" fn unregister(ctx: Opaque, filter: Opaque) -> c_int {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return ERR;
    };
    let own = context.module.as_ref().map(|module| module.id);
    let removed = context::with(|state| {
        let filters = &mut state.modules.filters;
        let before = filters.len();
        filters.retain(|known| !(known.id == filter.addr() && Some(known.module.id) == own));
        filters.len() < before
    });
    if removed == Some(true) { OK } else { ERR }
}

unsafe fn of<'a>(ctx: *mut FilterContext) -> &'a mut FilterContext {
    // SAFETY: the server gave the module this pointer for the time of the filter's call.
    unsafe { &mut *ctx }
}

pub unsafe extern "C" fn count(ctx: *mut FilterContext) -> c_int {
    unsafe { of(ctx) }.words.len() as c_int
}

pub unsafe extern "C" fn get(ctx: *mut FilterContext, position: c_int) -> *mut RString {
    let words = unsafe { &of(ctx).words };
    let position = usize::try_from(position).ok();
    let word = position.and_then(|position| words.get(position));
    word.copied().unwrap_or(strings::none())
}

pub unsafe extern "C" fn insert(
    ctx: *mut FilterContext,
    position: c_int,
    word: *mut RString,
) -> c_int {
    let context = unsafe { of(ctx) };
    match usize::try_from(position) {
        Ok(at) if at <= context.words.len() => {
            context.words.insert(at, word);
            context.changed = true;
            OK
        }
        _ => ERR,
    }
}

pub unsafe extern "C" fn replace(
    ctx: *mut FilterContext,
    position: c_int,
    word: *mut RString,
) -> c_int {
    let context = unsafe { of(ctx) };
    let at = usize::try_from(position).ok();
    match at.and_then(|at| context.words.get_mut(at)) {
        Some(place) => {
            let old = std::mem::replace(place, word);
            // SAFETY: the reference of this context.
            unsafe { strings::release(old) };
            context.changed = true;
            OK
        }
        None => ERR,
    }
}

pub unsafe extern "C" fn delete(ctx: *mut FilterContext, position: c_int) -> c_int {
    let context = unsafe { of(ctx) };
    match usize::try_from(position) {
        Ok(at) if at < context.words.len() => {
            let old = context.words.remove(at);
            // SAFETY: the reference of this context.
            unsafe { strings::release(old) };
            context.changed = true;
            OK
        }
        _ => ERR,
    }
}

pub unsafe extern "C" fn client_id(ctx: *mut FilterContext) -> u64 {
    unsafe { of(ctx) }.client
}
