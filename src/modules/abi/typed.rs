//! Lists, sorted sets and hashes under a key that a module opened.
//!
//! Invariant: a value is never left empty under its key: [`Key::change`] deletes it.
//!
//! Mirrors: the RM_List, RM_Zset and RM_Hash functions of module.c.

use std::ffi::{c_char, c_int, c_long};
use std::ops::Range;

use super::codes::{ERR, OK};
use super::context::set_errno;
use super::keys::{Key, using};
use super::strings::{self, RString, bytes, c_bytes};
use crate::collections::listpack::LpEntry;
use crate::keyspace::DbId;
use crate::state::State;
use crate::types::hash::is_past;
use crate::types::list::{End, ListLimits};
use crate::types::zset::{Added, Conditions, Direction, LexBound, ScoreBound};
use crate::types::{Hash, List, Zset, hash, zset};
use crate::util::num::{IntBuf, parse_i64};

/// An iteration over a key's value.
#[derive(Debug, Default)]
pub enum Cursor {
    /// None is under way.
    #[default]
    None,
    /// Members of a sorted set by rank.
    Zset {
        ranks: Range<u64>,
        at: u64,
        ended: bool,
    },
    /// Entries of a stream.
    Stream(super::streams::StreamCursor),
}

/// An element's bytes.
pub fn entry_bytes(entry: LpEntry<'_>) -> Vec<u8> {
    match entry {
        LpEntry::Int(n) => IntBuf::new().format(n).to_vec(),
        LpEntry::Str(text) => text.to_vec(),
    }
}

fn list_limits(state: &State) -> ListLimits {
    ListLimits {
        fill: state.config.list_max_listpack_size,
        compress_depth: state.config.list_compress_depth,
        plain_from: state.list_plain_from,
    }
}

pub unsafe extern "C" fn list_push(key: *mut Key, at: c_int, element: *const RString) -> c_int {
    let pushed = unsafe {
        using(key, |key, state| {
            if !key.writes() || element.is_null() {
                set_errno(if element.is_null() {
                    libc::EINVAL
                } else {
                    libc::EBADF
                });
                return false;
            }
            let limits = list_limits(state);
            let end = if at == 0 { End::Head } else { End::Tail };
            let element = bytes(element);
            let pushed = key.change(
                state,
                || Some(List::new()),
                |list: &mut List| {
                    list.grow_for(element.len(), 1, limits);
                    list.push(end, element, limits);
                },
            );
            if pushed.is_none() {
                set_errno(libc::ENOTSUP);
            }
            pushed.is_some()
        })
    };
    if pushed == Some(true) { OK } else { ERR }
}

pub unsafe extern "C" fn list_pop(key: *mut Key, at: c_int) -> *mut RString {
    let popped = unsafe {
        using(key, |key, state| {
            if key.entry(state).is_none() {
                set_errno(libc::EINVAL);
                return None;
            }
            if key.value::<List>(state).is_none() {
                set_errno(libc::ENOTSUP);
                return None;
            }
            if !key.writes() {
                set_errno(libc::EBADF);
                return None;
            }
            let limits = list_limits(state);
            let end = if at == 0 { End::Head } else { End::Tail };
            key.change(
                state,
                || None,
                |list: &mut List| list.pop(end, limits, entry_bytes),
            )
            .flatten()
        })
    };
    popped
        .flatten()
        .map_or(strings::none(), |text| strings::new(&text))
}

/// The position that an index means; `None` outside of the list.
fn position(index: c_long, len: usize) -> Option<usize> {
    let at = if index < 0 {
        index + len as c_long
    } else {
        index
    };
    usize::try_from(at).ok().filter(|at| *at < len)
}

/// Why a list cannot be used; None when it can.
fn list_trouble(key: &Key, state: &State, writes: bool) -> Option<c_int> {
    if key.entry(state).is_some() && key.value::<List>(state).is_none() {
        return Some(libc::ENOTSUP);
    }
    if writes && !key.writes() {
        return Some(libc::EBADF);
    }
    if key.entry(state).is_none() {
        return Some(libc::ENOTSUP);
    }
    None
}

pub unsafe extern "C" fn list_get(key: *mut Key, index: c_long) -> *mut RString {
    let Some(found) = (unsafe {
        using(key, |key, state| {
            if let Some(errno) = list_trouble(key, state, false) {
                return Err(errno);
            }
            if key.mode & super::keys::READ == 0 {
                return Err(libc::EBADF);
            }
            let list = key.value::<List>(state).ok_or(libc::ENOTSUP)?;
            let at = position(index, list.len()).ok_or(libc::EDOM)?;
            list.with(at, entry_bytes).ok_or(libc::EDOM)
        })
    }) else {
        set_errno(libc::EINVAL);
        return strings::none();
    };
    match found {
        Ok(text) => strings::new(&text),
        Err(errno) => {
            set_errno(errno);
            strings::none()
        }
    }
}

/// Changes a list at an index.
unsafe fn at_index(
    key: *mut Key,
    f: impl FnOnce(&mut Key, &mut State) -> Result<(), c_int>,
) -> c_int {
    match unsafe { using(key, f) } {
        Some(Ok(())) => OK,
        Some(Err(errno)) => {
            set_errno(errno);
            ERR
        }
        None => {
            set_errno(libc::EINVAL);
            ERR
        }
    }
}

pub unsafe extern "C" fn list_set(key: *mut Key, index: c_long, value: *const RString) -> c_int {
    unsafe {
        at_index(key, |key, state| {
            if value.is_null() {
                return Err(libc::EINVAL);
            }
            if let Some(errno) = list_trouble(key, state, true) {
                return Err(errno);
            }
            let limits = list_limits(state);
            let value = bytes(value);
            let done = key.change(
                state,
                || None,
                |list: &mut List| {
                    let Some(at) = position(index, list.len()) else {
                        return false;
                    };
                    list.grow_for(value.len(), 1, limits);
                    list.replace(at, value, limits)
                },
            );
            if done == Some(true) {
                Ok(())
            } else {
                Err(libc::EDOM)
            }
        })
    }
}

pub unsafe extern "C" fn list_insert(key: *mut Key, index: c_long, value: *const RString) -> c_int {
    unsafe {
        at_index(key, |key, state| {
            if value.is_null() {
                return Err(libc::EINVAL);
            }
            let missing = key.entry(state).is_none();
            if missing && key.writes() && (index == 0 || index == -1) {
                let limits = list_limits(state);
                let value = bytes(value);
                key.change(
                    state,
                    || Some(List::new()),
                    |list: &mut List| {
                        list.grow_for(value.len(), 1, limits);
                        list.push(End::Tail, value, limits);
                    },
                );
                return Ok(());
            }
            if let Some(errno) = list_trouble(key, state, true) {
                return Err(errno);
            }
            let limits = list_limits(state);
            let value = bytes(value);
            let done = key.change(
                state,
                || None,
                |list: &mut List| {
                    let len = list.len();
                    // Before the element at the index; counted from the end, behind it.
                    let at = match index < 0 {
                        true => index + len as c_long + 1,
                        false => index,
                    };
                    let at = usize::try_from(at).ok().filter(|at| *at <= len);
                    let Some(at) = at else { return false };
                    list.grow_for(value.len(), 1, limits);
                    match at == list.len() {
                        true => list.push(End::Tail, value, limits),
                        false => list.insert(at, value, limits),
                    }
                    true
                },
            );
            if done == Some(true) {
                Ok(())
            } else {
                Err(libc::EDOM)
            }
        })
    }
}

pub unsafe extern "C" fn list_delete(key: *mut Key, index: c_long) -> c_int {
    unsafe {
        at_index(key, |key, state| {
            if let Some(errno) = list_trouble(key, state, true) {
                return Err(errno);
            }
            let limits = list_limits(state);
            let done = key.change(
                state,
                || None,
                |list: &mut List| {
                    let Some(at) = position(index, list.len()) else {
                        return false;
                    };
                    list.remove_range(at, at + 1, limits);
                    true
                },
            );
            if done == Some(true) {
                Ok(())
            } else {
                Err(libc::EDOM)
            }
        })
    }
}

// ---- Sorted sets -------------------------------------------------------------------------------------

const XX: c_int = 1;
const NX: c_int = 1 << 1;
const ADDED: c_int = 1 << 2;
const UPDATED: c_int = 1 << 3;
const NOP: c_int = 1 << 4;
const GT: c_int = 1 << 5;
const LT: c_int = 1 << 6;

fn zset_limits(state: &State) -> zset::Limits {
    zset::Limits {
        entries: state.config.zset_max_listpack_entries,
        value: state.config.zset_max_listpack_value,
        seed: state.keyspace[DbId(0)].seed(),
    }
}

unsafe fn add(
    key: *mut Key,
    score: f64,
    member: *const RString,
    flags: *mut c_int,
    increment: bool,
) -> Option<f64> {
    unsafe {
        let given = flags.as_ref().copied().unwrap_or(0);
        let conditions = Conditions {
            only_new: given & NX != 0,
            only_old: given & XX != 0,
            only_greater: given & GT != 0,
            only_less: given & LT != 0,
            increment,
        };
        let added = using(key, |key, state| {
            if !key.writes() || score.is_nan() {
                return None;
            }
            let limits = zset_limits(state);
            let member = bytes(member);
            let added = key.change(
                state,
                || Some(Zset::new(1, member.len(), limits)),
                |zset: &mut Zset| zset.add(member, score, conditions, limits),
            )?;
            added.ok()
        })??;
        let (told, new) = match added {
            Added::New(score) => (ADDED, score),
            Added::Moved(score) => (UPDATED, score),
            Added::Same(score) => (NOP, score),
            Added::Refused => (NOP, f64::NAN),
        };
        if let Some(flags) = flags.as_mut() {
            *flags = told;
        }
        Some(new)
    }
}

pub unsafe extern "C" fn zset_add(
    key: *mut Key,
    score: f64,
    member: *const RString,
    flags: *mut c_int,
) -> c_int {
    match unsafe { add(key, score, member, flags, false) } {
        Some(_) => OK,
        None => ERR,
    }
}

pub unsafe extern "C" fn zset_incrby(
    key: *mut Key,
    score: f64,
    member: *const RString,
    flags: *mut c_int,
    new: *mut f64,
) -> c_int {
    unsafe {
        let Some(score) = add(key, score, member, flags, true) else {
            return ERR;
        };
        let refused = score.is_nan();
        if !new.is_null() && !refused {
            *new = score;
        }
    }
    OK
}

pub unsafe extern "C" fn zset_score(
    key: *mut Key,
    member: *const RString,
    score: *mut f64,
) -> c_int {
    unsafe {
        let found = using(key, |key, state| {
            key.value::<Zset>(state)?.score(bytes(member))
        });
        match found.flatten() {
            Some(found) => {
                *score = found;
                OK
            }
            None => ERR,
        }
    }
}

pub unsafe extern "C" fn zset_rem(
    key: *mut Key,
    member: *const RString,
    deleted: *mut c_int,
) -> c_int {
    unsafe {
        let removed = using(key, |key, state| {
            if !key.writes() {
                return None;
            }
            if key.entry(state).is_none() {
                return Some(false);
            }
            key.change(state, || None, |zset: &mut Zset| zset.remove(bytes(member)))
        });
        let Some(removed) = removed.flatten() else {
            return ERR;
        };
        if !deleted.is_null() {
            *deleted = c_int::from(removed);
        }
        OK
    }
}

unsafe fn begin_range(
    key: *mut Key,
    find: impl FnOnce(&Zset) -> Option<Range<u64>>,
    last: bool,
) -> c_int {
    unsafe {
        let begun = using(key, |key, state| {
            let ranks = find(key.value::<Zset>(state)?)?;
            let ended = ranks.is_empty();
            let at = match last {
                true => ranks.end.saturating_sub(1),
                false => ranks.start,
            };
            key.cursor = Cursor::Zset { ranks, at, ended };
            Some(())
        });
        if begun.flatten().is_some() { OK } else { ERR }
    }
}

fn score_bounds(min: f64, max: f64, min_open: c_int, max_open: c_int) -> (ScoreBound, ScoreBound) {
    let bound = |score: f64, open: c_int| ScoreBound {
        score,
        exclusive: open != 0,
    };
    (bound(min, min_open), bound(max, max_open))
}

pub unsafe extern "C" fn zset_first_in_score(
    key: *mut Key,
    min: f64,
    max: f64,
    min_open: c_int,
    max_open: c_int,
) -> c_int {
    let (min, max) = score_bounds(min, max, min_open, max_open);
    unsafe { begin_range(key, |zset| Some(zset.score_range(min, max)), false) }
}

pub unsafe extern "C" fn zset_last_in_score(
    key: *mut Key,
    min: f64,
    max: f64,
    min_open: c_int,
    max_open: c_int,
) -> c_int {
    let (min, max) = score_bounds(min, max, min_open, max_open);
    unsafe { begin_range(key, |zset| Some(zset.score_range(min, max)), true) }
}

fn lex_bound(text: &[u8]) -> Option<LexBound<'_>> {
    match text {
        b"-" => Some(LexBound::Min),
        b"+" => Some(LexBound::Max),
        [b'(', rest @ ..] => Some(LexBound::Exclusive(rest)),
        [b'[', rest @ ..] => Some(LexBound::Inclusive(rest)),
        _ => None,
    }
}

pub unsafe extern "C" fn zset_first_in_lex(
    key: *mut Key,
    min: *const RString,
    max: *const RString,
) -> c_int {
    unsafe {
        let (min, max) = (bytes(min), bytes(max));
        let find =
            |zset: &Zset| Some(zset.lex_range(lex_bound(min)?, lex_bound(max)?, Direction::Up));
        begin_range(key, find, false)
    }
}

pub unsafe extern "C" fn zset_last_in_lex(
    key: *mut Key,
    min: *const RString,
    max: *const RString,
) -> c_int {
    unsafe {
        let (min, max) = (bytes(min), bytes(max));
        let find =
            |zset: &Zset| Some(zset.lex_range(lex_bound(min)?, lex_bound(max)?, Direction::Down));
        begin_range(key, find, true)
    }
}

pub unsafe extern "C" fn zset_stop(key: *mut Key) {
    if let Some(key) = unsafe { key.as_mut() } {
        key.cursor = Cursor::None;
    }
}

pub unsafe extern "C" fn zset_current(key: *mut Key, score: *mut f64) -> *mut RString {
    unsafe {
        let found = using(key, |key, state| {
            let Cursor::Zset {
                at, ended: false, ..
            } = key.cursor
            else {
                return None;
            };
            let scored = key.value::<Zset>(state)?.get(at)?;
            Some((entry_bytes(scored.member), scored.score))
        });
        let Some((member, found)) = found.flatten() else {
            return strings::none();
        };
        if !score.is_null() {
            *score = found;
        }
        strings::new(&member)
    }
}

/// Moves the iteration; whether there is an element.
unsafe fn step(key: *mut Key, back: bool) -> c_int {
    let Some(key) = (unsafe { key.as_mut() }) else {
        return 0;
    };
    let Cursor::Zset { ranks, at, ended } = &mut key.cursor else {
        return 0;
    };
    if *ended {
        return 0;
    }
    let next = match back {
        true => at.checked_sub(1),
        false => at.checked_add(1),
    };
    match next.filter(|next| ranks.contains(next)) {
        Some(next) => *at = next,
        None => *ended = true,
    }
    c_int::from(!*ended)
}

pub unsafe extern "C" fn zset_next(key: *mut Key) -> c_int {
    unsafe { step(key, false) }
}

pub unsafe extern "C" fn zset_prev(key: *mut Key) -> c_int {
    unsafe { step(key, true) }
}

pub unsafe extern "C" fn zset_ended(key: *mut Key) -> c_int {
    let key = unsafe { key.as_ref() };
    match key.map(|key| &key.cursor) {
        Some(Cursor::Zset { ended, .. }) => c_int::from(*ended),
        _ => 1,
    }
}

// ---- Hashes ------------------------------------------------------------------------------------------

const HASH_NX: c_int = 1;
const HASH_XX: c_int = 1 << 1;
const HASH_C_FIELDS: c_int = 1 << 2;
/// The deadline of a field is asked for, unix time in milliseconds; -1 without one.
const HASH_EXPIRE_TIME: c_int = 1 << 5;
const HASH_EXISTS: c_int = 1 << 3;
const HASH_COUNT_ALL: c_int = 1 << 4;
/// The value that stands for deletion.
const DELETE: usize = 1;

/// The pairs of pointers that the shim collected.
unsafe fn pairs<'a>(words: *const *mut c_char, n: usize) -> &'a [[*mut c_char; 2]] {
    match n {
        0 => &[],
        n => unsafe { std::slice::from_raw_parts(words.cast(), n / 2) },
    }
}

unsafe fn field_name<'a>(flags: c_int, field: *const c_char) -> &'a [u8] {
    unsafe {
        match flags & HASH_C_FIELDS != 0 {
            true => c_bytes(field),
            false => bytes(field.cast()),
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn oxidis_module_hash_set(
    key: *mut Key,
    flags: c_int,
    words: *const *mut c_char,
    n: usize,
) -> c_int {
    let known = HASH_NX | HASH_XX | HASH_C_FIELDS | HASH_COUNT_ALL;
    if key.is_null() || flags & !known != 0 {
        set_errno(libc::EINVAL);
        return 0;
    }
    let count = unsafe {
        using(key, |key, state| {
            if key.entry(state).is_some() && key.value::<Hash>(state).is_none() {
                return Err(libc::ENOTSUP);
            }
            if !key.writes() {
                return Err(libc::EBADF);
            }
            let now = state.keyspace.env().field_time();
            let limits = hash::Limits {
                entries: state.config.hash_max_listpack_entries,
                value: state.config.hash_max_listpack_value,
                seed: state.keyspace[key.db].seed(),
            };
            let changed = key.change(
                state,
                || Some(Hash::new()),
                |hash: &mut Hash| {
                    let mut count = 0;
                    for [field, value] in pairs(words, n) {
                        let name = field_name(flags, *field);
                        let live = hash
                            .get(name)
                            .is_some_and(|found| !is_past(found.deadline, now));
                        if flags & HASH_XX != 0 && !live || flags & HASH_NX != 0 && live {
                            continue;
                        }
                        if !live {
                            // Over, if it is there at all: what comes now is new.
                            hash.remove(name);
                        }
                        if value.addr() == DELETE {
                            count += c_int::from(hash.remove(name));
                            continue;
                        }
                        let value = bytes(value.cast::<RString>());
                        let number = value.len() <= crate::util::num::MAX_INT_LEN;
                        let new = match parse_i64(value).filter(|_| number) {
                            Some(n) => hash::NewValue::Int(n),
                            None => hash::NewValue::Bytes(value),
                        };
                        let added = hash.set(name, new, false, &limits);
                        count += c_int::from(!added || flags & HASH_COUNT_ALL != 0);
                    }
                    (count, hash.earliest_bound())
                },
            );
            let (count, earliest) = changed.ok_or(libc::ENOTSUP)?;
            state.keyspace[key.db].track_fields(key.bytes(), earliest);
            Ok(count)
        })
    };
    match count {
        Some(Ok(0)) => {
            set_errno(libc::ENOENT);
            0
        }
        Some(Ok(count)) => count,
        Some(Err(errno)) => {
            set_errno(errno);
            0
        }
        None => 0,
    }
}

/// The earliest deadline of a hash's fields, unix time in milliseconds; -1 without one.
pub unsafe extern "C" fn hash_earliest(key: *mut Key) -> i64 {
    if key.is_null() {
        return -1;
    }
    let earliest = unsafe {
        using(key, |key, state| {
            let hash = key.value::<Hash>(state)?;
            hash.earliest()
        })
    };
    earliest.flatten().unwrap_or(-1)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn oxidis_module_hash_get(
    key: *mut Key,
    flags: c_int,
    words: *const *mut c_char,
    n: usize,
) -> c_int {
    let got = unsafe {
        using(key, |key, state| {
            let there = key.entry(state).is_some();
            let hash = key.value::<Hash>(state);
            if there && hash.is_none() {
                return false;
            }
            if flags & HASH_EXISTS != 0 && flags & HASH_EXPIRE_TIME != 0 {
                return false;
            }
            let now = state.keyspace.env().field_time();
            for pair in pairs(words, n) {
                let [field, out] = *pair;
                let name = field_name(flags, field);
                let found = hash.and_then(|hash| hash.get(name));
                let found =
                    found.filter(|found| key.sees_expired() || !is_past(found.deadline, now));
                if flags & HASH_EXISTS != 0 {
                    *out.cast::<c_int>() = c_int::from(found.is_some());
                    continue;
                }
                if flags & HASH_EXPIRE_TIME != 0 {
                    let deadline = found.and_then(|found| found.deadline);
                    *out.cast::<i64>() = deadline.unwrap_or(-1);
                    continue;
                }
                *out.cast::<*mut RString>() = match found {
                    Some(found) => strings::new(found.value.as_bytes(&mut IntBuf::new())),
                    None => strings::none(),
                };
            }
            true
        })
    };
    if got == Some(true) { OK } else { ERR }
}
