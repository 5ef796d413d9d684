//! One key, its value and its deadline in one allocation.
//!
//! ```text
//!   0      4      8    9    10
//!   [count][meta ][kl ][vl ][deadline 8?][long key length 8?] key ... inline value ...
//!                           [..............................][pad][BigStr or V] key ...
//! ```
//!
//! `meta` holds eight flag bits (the value's form, which optional fields exist) under a 24-bit access clock. `kl` is
//! the key's length (255: see the long length), `vl` that of an inline value. A string up to [`INLINE_MAX`] bytes and
//! every integer lives inline, integers in 1, 2, 4 or 8 bytes; longer strings are a [`BigStr`]; anything else is a
//! `V`, stored as it is and aligned to 8, so that a `&mut V` into the entry can be handed out.
//! The ten bytes before the key put a 16-byte key with a value of up to 6 bytes in the allocator's 32-byte class,
//! with up to 38 bytes in the 64-byte class.
//!
//! Invariants: (1) the allocation is `good_size` of what the fields add up to; a change in place keeps the class.
//! (2) While the count is above one nothing is written but the access clock, which is atomic and which readers on
//! other threads treat as a hint. (3) [`Raw`] is a pointer with a promise: whoever makes one keeps the entry alive.
//!
//! Mirrors: robj and kvobj (object.h), sds key and dictEntry (dict.c), redisDb.expires (db.c).
//! Differs: one allocation for what takes Redis four, and no second table for deadlines.
#![allow(unsafe_code)]

use std::alloc::{self, Layout, handle_alloc_error};
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

use super::Payload;
use super::word::Word;
use crate::collections::shared::{BigStr, Count, TooLarge, good_size};
use crate::util::num::{IntBuf, int_len, parse_i64};

/// Strings up to this many bytes live inside their entry.
pub const INLINE_MAX: usize = 192;

/// A value on its way in.
#[derive(Debug)]
pub enum NewValue<'a, V> {
    /// An integer, stored in as few bytes as it needs.
    Int(i64),
    /// Inline up to [`INLINE_MAX`] bytes, else copied to a [`BigStr`].
    Bytes(&'a [u8]),
    /// As `Bytes`, with the mark of a string that was edited (shown as `raw`).
    RawBytes(&'a [u8]),
    /// Kept as it is, whatever its length.
    Big(BigStr),
    /// Anything that is not a string.
    Object(V),
}

/// A string as it is stored.
#[derive(Debug, Clone, Copy)]
pub enum StrRef<'a> {
    Int(i64),
    /// Inline.
    Embedded(&'a [u8]),
    /// Inline, but edited since it was stored.
    Raw(&'a [u8]),
    Big(&'a BigStr),
}

impl<'a> StrRef<'a> {
    /// The bytes; an integer is printed into `scratch`.
    #[inline]
    pub fn as_bytes<'b>(&self, scratch: &'b mut IntBuf) -> &'b [u8]
    where
        'a: 'b,
    {
        match *self {
            StrRef::Int(n) => scratch.format(n),
            StrRef::Embedded(b) | StrRef::Raw(b) => b,
            StrRef::Big(s) => s.as_slice(),
        }
    }

    /// The bytes, unless it is an integer.
    pub fn stored_bytes(&self) -> Option<&'a [u8]> {
        match *self {
            StrRef::Int(_) => None,
            StrRef::Embedded(b) | StrRef::Raw(b) => Some(b),
            StrRef::Big(s) => Some(s.as_slice()),
        }
    }

    pub fn to_vec(&self) -> Vec<u8> {
        self.as_bytes(&mut IntBuf::new()).to_vec()
    }

    /// Length in bytes, of the decimal digits for an integer.
    pub fn len(&self) -> usize {
        match *self {
            StrRef::Int(n) => int_len(n),
            StrRef::Embedded(b) | StrRef::Raw(b) => b.len(),
            StrRef::Big(s) => s.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The integer it is stored as, or that its bytes spell.
    pub fn parse_int(&self) -> Option<i64> {
        match *self {
            StrRef::Int(n) => Some(n),
            StrRef::Embedded(b) | StrRef::Raw(b) => parse_i64(b),
            StrRef::Big(s) => parse_i64(s),
        }
    }

    /// The integer, when it is stored as one.
    pub fn as_int(&self) -> Option<i64> {
        match *self {
            StrRef::Int(n) => Some(n),
            _ => None,
        }
    }

    /// The counted string, for callers that keep it beyond the borrow without copying.
    pub fn big(&self) -> Option<&'a BigStr> {
        match *self {
            StrRef::Big(s) => Some(s),
            _ => None,
        }
    }

    /// The name clients are shown: "int", "embstr" or "raw".
    pub fn encoding(&self) -> &'static str {
        match *self {
            StrRef::Int(_) => "int",
            // Redis embeds up to 44 bytes and calls the rest raw.
            StrRef::Embedded(b) if b.len() <= 44 => "embstr",
            _ => "raw",
        }
    }
}

/// A value as it is stored.
#[derive(Debug)]
pub enum ValueRef<'a, V> {
    String(StrRef<'a>),
    Object(&'a V),
}

impl<V> Clone for ValueRef<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for ValueRef<'_, V> {}

impl<'a, V> ValueRef<'a, V> {
    pub fn as_string(self) -> Option<StrRef<'a>> {
        match self {
            ValueRef::String(s) => Some(s),
            ValueRef::Object(_) => None,
        }
    }

    pub fn as_object(self) -> Option<&'a V> {
        match self {
            ValueRef::String(_) => None,
            ValueRef::Object(v) => Some(v),
        }
    }
}

// ---------------------------------------------------------------------------------------------- layout

const META: usize = 4;
const KEY_LEN: usize = 8;
const VALUE_LEN: usize = 9;
const FIXED: usize = 10;

/// Low three bits of the flags: where the value is.
const FORM: u8 = 7;
const INLINE: u8 = 0;
const INLINE_RAW: u8 = 1;
const INT: u8 = 2;
/// Forms from here on keep an aligned payload before the key.
const BIG: u8 = 3;
const OBJECT: u8 = 4;
const HAS_DEADLINE: u8 = 8;
const LONG_KEY: u8 = 16;
const LONG_KEY_MARK: u8 = u8::MAX;

pub(super) const CLOCK_MAX: u32 = (1 << 24) - 1;

/// An entry by address, alive by promise of the code that made this from a word (invariant 3). No count of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Raw(NonNull<u8>);

/// Where the parts of an entry are, from its flags.
struct Shape {
    flags: u8,
    key_len: usize,
    inline_len: usize,
}

impl Shape {
    fn payload_at(&self) -> usize {
        (prefix(self.flags) + 7) & !7
    }

    fn key_at<V>(&self) -> usize {
        key_at::<V>(self.flags)
    }

    fn size<V>(&self) -> usize {
        self.key_at::<V>() + self.key_len + self.inline_len
    }

    fn layout<V>(&self) -> Layout {
        const { assert!(align_of::<V>() <= 8, "payloads are aligned to 8 bytes") };
        let size = good_size(self.size::<V>());
        Layout::from_size_align(size, 8).expect("keys are shorter than the address space")
    }
}

#[inline]
fn prefix(flags: u8) -> usize {
    FIXED + usize::from(flags & HAS_DEADLINE) + usize::from(flags & LONG_KEY) / 2
}

#[inline]
fn key_at<V>(flags: u8) -> usize {
    match flags & FORM {
        BIG => ((prefix(flags) + 7) & !7) + size_of::<BigStr>(),
        OBJECT => ((prefix(flags) + 7) & !7) + size_of::<V>(),
        _ => prefix(flags),
    }
}

fn int_bytes(n: i64) -> ([u8; 8], usize) {
    let len = if i8::try_from(n).is_ok() {
        1
    } else if i16::try_from(n).is_ok() {
        2
    } else if i32::try_from(n).is_ok() {
        4
    } else {
        8
    };
    (n.to_le_bytes(), len)
}

impl Raw {
    /// # Safety
    /// The word points to an entry, and the caller keeps it alive while the result is in use.
    #[inline]
    pub(super) unsafe fn of(word: Word) -> Raw {
        Raw(word.to())
    }

    pub(super) fn word(self, tag: u16) -> Word {
        Word::new(self.0, tag)
    }

    pub(super) fn address(self) -> usize {
        self.0.addr().get()
    }

    #[inline]
    fn at(self, offset: usize) -> *mut u8 {
        // SAFETY: callers pass offsets within the entry.
        unsafe { self.0.as_ptr().add(offset) }
    }

    #[inline]
    pub(super) fn count<'a>(self) -> &'a Count {
        // SAFETY: a live entry begins with its count, which is only ever accessed as one.
        unsafe { self.0.cast::<Count>().as_ref() }
    }

    #[inline]
    fn meta<'a>(self) -> &'a AtomicU32 {
        // SAFETY: within a live entry, aligned to 4, only ever accessed as an atomic.
        unsafe { &*self.at(META).cast::<AtomicU32>() }
    }

    #[inline]
    fn flags(self) -> u8 {
        self.meta().load(Ordering::Relaxed) as u8
    }

    #[inline]
    pub(super) fn clock(self) -> u32 {
        self.meta().load(Ordering::Relaxed) >> 8
    }

    /// Plain load and store: only the owning thread writes, readers elsewhere take what they find.
    #[inline]
    pub(super) fn set_clock(self, clock: u32) {
        let old = self.meta().load(Ordering::Relaxed);
        let new = (clock & CLOCK_MAX) << 8 | old & 0xFF;
        if old != new {
            self.meta().store(new, Ordering::Relaxed);
        }
    }

    fn set_flags(self, flags: u8) {
        let old = self.meta().load(Ordering::Relaxed);
        self.meta()
            .store(old & !0xFF | u32::from(flags), Ordering::Relaxed);
    }

    #[inline]
    fn shape(self) -> Shape {
        let flags = self.flags();
        // SAFETY: within a live entry.
        let inline_len = usize::from(unsafe { *self.at(VALUE_LEN) });
        Shape {
            flags,
            key_len: self.key_len(flags),
            inline_len,
        }
    }

    #[inline]
    fn key_len(self, flags: u8) -> usize {
        if flags & LONG_KEY == 0 {
            // SAFETY: within a live entry.
            usize::from(unsafe { *self.at(KEY_LEN) })
        } else {
            let at = FIXED + usize::from(flags & HAS_DEADLINE);
            // SAFETY: the flag says that the length is there.
            unsafe { self.at(at).cast::<usize>().read_unaligned() }
        }
    }

    #[inline]
    pub(super) fn key<'a, V>(self) -> &'a [u8] {
        let flags = self.flags();
        // SAFETY: `key_len` initialised bytes at the place the flags give; unwritten while borrowed (invariant 2, or
        // the &mut of the table for a sole owner).
        unsafe { std::slice::from_raw_parts(self.at(key_at::<V>(flags)), self.key_len(flags)) }
    }

    #[inline]
    pub(super) fn deadline(self) -> Option<i64> {
        if self.flags() & HAS_DEADLINE == 0 {
            return None;
        }
        // SAFETY: the flag says that the deadline is there.
        Some(unsafe { self.at(FIXED).cast::<i64>().read_unaligned() })
    }

    /// Bytes the entry itself occupies in the allocator, without what its payload points to.
    pub(super) fn bytes<V>(self) -> usize {
        good_size(self.shape().size::<V>())
    }

    fn inline<'a, V>(self, s: &Shape) -> &'a [u8] {
        // SAFETY: `inline_len` initialised bytes after the key.
        unsafe { std::slice::from_raw_parts(self.at(s.key_at::<V>() + s.key_len), s.inline_len) }
    }

    fn int<V>(self, s: &Shape) -> i64 {
        let bytes = self.inline::<V>(s);
        match *bytes {
            [a] => i64::from(a as i8),
            [a, b] => i64::from(i16::from_le_bytes([a, b])),
            [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
            _ => i64::from_le_bytes(bytes.try_into().expect("integers have 1, 2, 4 or 8 bytes")),
        }
    }

    #[inline]
    pub(super) fn value<'a, V>(self) -> ValueRef<'a, V> {
        let s = self.shape();
        match s.flags & FORM {
            INLINE => ValueRef::String(StrRef::Embedded(self.inline::<V>(&s))),
            INLINE_RAW => ValueRef::String(StrRef::Raw(self.inline::<V>(&s))),
            INT => ValueRef::String(StrRef::Int(self.int::<V>(&s))),
            // SAFETY: the form says that an initialised BigStr is there, aligned to 8.
            BIG => ValueRef::String(StrRef::Big(unsafe {
                &*self.at(s.payload_at()).cast::<BigStr>()
            })),
            // SAFETY: the form says that an initialised V is there, aligned to 8.
            _ => ValueRef::Object(unsafe { &*self.at(s.payload_at()).cast::<V>() }),
        }
    }

    /// The payload to write to.
    ///
    /// # Safety
    /// The caller is the only owner of the entry and holds a unique borrow of it for 'a.
    pub(super) unsafe fn object_mut<'a, V>(self) -> Option<&'a mut V> {
        let s = self.shape();
        // SAFETY: the form says that an initialised V is there; unique by the caller's promise.
        (s.flags & FORM == OBJECT).then(|| unsafe { &mut *self.at(s.payload_at()).cast::<V>() })
    }

    /// # Safety
    /// As for [`Raw::object_mut`].
    pub(super) unsafe fn big_mut<'a>(self) -> Option<&'a mut BigStr> {
        let s = self.shape();
        // SAFETY: the form says that an initialised BigStr is there; unique by the caller's promise.
        (s.flags & FORM == BIG).then(|| unsafe { &mut *self.at(s.payload_at()).cast::<BigStr>() })
    }

    /// The inline bytes to write to; marks them as edited.
    ///
    /// # Safety
    /// As for [`Raw::object_mut`].
    pub(super) unsafe fn inline_mut<'a, V>(self) -> Option<&'a mut [u8]> {
        let s = self.shape();
        if s.flags & FORM > INLINE_RAW {
            return None;
        }
        self.set_flags(s.flags & !FORM | INLINE_RAW);
        // SAFETY: `inline_len` initialised bytes after the key; unique by the caller's promise.
        Some(unsafe {
            std::slice::from_raw_parts_mut(self.at(s.key_at::<V>() + s.key_len), s.inline_len)
        })
    }

    /// A new entry with a count of one.
    pub(super) fn build<V>(
        key: &[u8],
        value: NewValue<'_, V>,
        deadline: Option<i64>,
        clock: u32,
    ) -> Raw {
        let stored = Stored::from(value);
        let shape = stored.shape(key.len(), deadline.is_some());
        let layout = shape.layout::<V>();
        // SAFETY: never of size zero.
        let raw = unsafe { alloc::alloc(layout) };
        let entry = Raw(NonNull::new(raw).unwrap_or_else(|| handle_alloc_error(layout)));
        // SAFETY: fresh memory of the size the shape adds up to; every field is written at its place.
        unsafe {
            entry.0.cast::<Count>().write(Count::one());
            let meta = (clock & CLOCK_MAX) << 8 | u32::from(shape.flags);
            entry
                .at(META)
                .cast::<AtomicU32>()
                .write(AtomicU32::new(meta));
            ptr::copy_nonoverlapping(key.as_ptr(), entry.at(shape.key_at::<V>()), key.len());
        }
        entry.write_fields(&shape, deadline);
        entry.write_value(&shape, stored);
        entry
    }

    fn write_fields(self, shape: &Shape, deadline: Option<i64>) {
        let mut at = FIXED;
        // SAFETY: places within an allocation made for this shape, not shared with anyone.
        unsafe {
            *self.at(KEY_LEN) = u8::try_from(shape.key_len).unwrap_or(LONG_KEY_MARK);
            *self.at(VALUE_LEN) = shape.inline_len as u8;
            if let Some(ms) = deadline {
                self.at(at).cast::<i64>().write_unaligned(ms);
                at += 8;
            }
            if shape.flags & LONG_KEY != 0 {
                self.at(at).cast::<usize>().write_unaligned(shape.key_len);
            }
        }
    }

    fn write_value<V>(self, shape: &Shape, stored: Stored<'_, V>) {
        let inline_at = shape.key_at::<V>() + shape.key_len;
        // SAFETY: places within an allocation made for this shape, not shared with anyone; an old payload, if any,
        // was moved out before.
        unsafe {
            match stored {
                Stored::Int(bytes, len) => {
                    ptr::copy_nonoverlapping(bytes.as_ptr(), self.at(inline_at), len)
                }
                Stored::Inline(bytes, _) => {
                    ptr::copy_nonoverlapping(bytes.as_ptr(), self.at(inline_at), bytes.len());
                }
                Stored::Big(s) => self.at(shape.payload_at()).cast::<BigStr>().write(s),
                Stored::Object(v) => self.at(shape.payload_at()).cast::<V>().write(v),
            }
        }
    }

    /// Writes a new value and deadline over an inline one, when the allocation fits; gives the value back otherwise.
    ///
    /// # Safety
    /// The caller is the only owner of the entry and holds a unique borrow of it; `value` does not point into it.
    pub(super) unsafe fn overwrite<'a, V>(
        self,
        value: NewValue<'a, V>,
        deadline: Option<i64>,
        clock: u32,
    ) -> Result<(), NewValue<'a, V>> {
        let old = self.shape();
        let fits_inline = match &value {
            NewValue::Int(_) => true,
            NewValue::Bytes(b) | NewValue::RawBytes(b) => b.len() <= INLINE_MAX,
            NewValue::Big(_) | NewValue::Object(_) => false,
        };
        if !fits_inline || old.flags & FORM >= BIG {
            return Err(value);
        }
        let len = match &value {
            NewValue::Int(n) => int_bytes(*n).1,
            NewValue::Bytes(b) | NewValue::RawBytes(b) => b.len(),
            _ => 0,
        };
        let flags = flags_of(INLINE, old.key_len, deadline.is_some());
        let new_size = prefix(flags) + old.key_len + len;
        if good_size(new_size) != good_size(old.size::<V>()) {
            return Err(value);
        }
        let stored = Stored::from(value);
        let new = stored.shape(old.key_len, deadline.is_some());
        // SAFETY: both places are within the allocation, whose class fits the old and the new shape.
        unsafe {
            ptr::copy(
                self.at(old.key_at::<V>()),
                self.at(new.key_at::<V>()),
                old.key_len,
            )
        };
        self.set_flags(new.flags);
        self.set_clock(clock);
        self.write_fields(&new, deadline);
        self.write_value(&new, stored);
        Ok(())
    }

    /// Changes a deadline that is there already.
    ///
    /// # Safety
    /// As for [`Raw::object_mut`].
    pub(super) unsafe fn rewrite_deadline(self, ms: i64) -> bool {
        let has = self.flags() & HAS_DEADLINE != 0;
        if has {
            // SAFETY: the flag says that the deadline is there; unique by the caller's promise.
            unsafe { self.at(FIXED).cast::<i64>().write_unaligned(ms) };
        }
        has
    }

    /// The same value under another key or deadline, in a new entry. Consumes the caller's count of this one: the
    /// payload moves when it was the last, else it is cloned (which raises a count).
    pub(super) fn remade<V: Payload>(self, key: Option<&[u8]>, deadline: Option<i64>) -> Raw {
        let s = self.shape();
        let sole = self.count().is_one();
        let value = match s.flags & FORM {
            INLINE => NewValue::Bytes(self.inline::<V>(&s)),
            INLINE_RAW => NewValue::RawBytes(self.inline::<V>(&s)),
            INT => NewValue::Int(self.int::<V>(&s)),
            BIG => {
                let at = self.at(s.payload_at()).cast::<BigStr>();
                // SAFETY: initialised by the form; read out only by its last owner, who then frees just the shell.
                NewValue::Big(unsafe { if sole { at.read() } else { (*at).clone() } })
            }
            _ => {
                let at = self.at(s.payload_at()).cast::<V>();
                // SAFETY: as above.
                NewValue::Object(unsafe { if sole { at.read() } else { (*at).clone() } })
            }
        };
        let key = key.unwrap_or_else(|| self.key::<V>());
        let new = Raw::build(key, value, deadline, self.clock());
        if sole {
            // SAFETY: sole owner; the payload was moved out, so only the memory is left.
            unsafe { self.free_shell::<V>(&s) };
        } else {
            // SAFETY: the caller's count is given up here.
            unsafe { self.release::<V>() };
        }
        new
    }

    /// The payload, moved out of an entry that ceases to exist; cloned if others hold the entry.
    fn into_parts<V: Payload>(self) -> Option<Moved<V>> {
        let s = self.shape();
        let sole = self.count().is_one();
        let moved = match s.flags & FORM {
            BIG => {
                let at = self.at(s.payload_at()).cast::<BigStr>();
                // SAFETY: as in `remade`.
                Some(Moved::Big(unsafe {
                    if sole { at.read() } else { (*at).clone() }
                }))
            }
            OBJECT => {
                let at = self.at(s.payload_at()).cast::<V>();
                // SAFETY: as in `remade`.
                Some(Moved::Object(unsafe {
                    if sole { at.read() } else { (*at).clone() }
                }))
            }
            _ => None,
        };
        // SAFETY: the caller's count is given up here; a payload that was read out is not dropped again.
        unsafe {
            if sole {
                self.free_shell::<V>(&s);
            } else {
                self.release::<V>();
            }
        }
        moved
    }

    /// A private copy with a count of one; the original's count is untouched.
    pub(super) fn copy<V: Payload>(self) -> Raw {
        let s = self.shape();
        let value = match self.value::<V>() {
            ValueRef::String(StrRef::Int(n)) => NewValue::Int(n),
            ValueRef::String(StrRef::Embedded(b)) => NewValue::Bytes(b),
            ValueRef::String(StrRef::Raw(b)) => NewValue::RawBytes(b),
            ValueRef::String(StrRef::Big(b)) => NewValue::Big(b.clone()),
            ValueRef::Object(v) => NewValue::Object(v.clone()),
        };
        debug_assert_eq!(s.key_len, self.key::<V>().len());
        Raw::build(self.key::<V>(), value, self.deadline(), self.clock())
    }

    /// Gives up one count, and frees the entry with the last.
    ///
    /// # Safety
    /// The caller owns the count it gives up and does not use the entry again.
    #[inline]
    pub(super) unsafe fn release<V>(self) {
        if self.count().release() {
            let s = self.shape();
            // SAFETY: last owner; the form says which payload is there; then only memory is left.
            unsafe {
                match s.flags & FORM {
                    BIG => ptr::drop_in_place(self.at(s.payload_at()).cast::<BigStr>()),
                    OBJECT => ptr::drop_in_place(self.at(s.payload_at()).cast::<V>()),
                    _ => {}
                }
                self.free_shell::<V>(&s);
            }
        }
    }

    /// # Safety
    /// Sole owner, payload moved out or dropped, `s` is the entry's shape.
    unsafe fn free_shell<V>(self, s: &Shape) {
        // SAFETY: allocated with this layout (invariant 1).
        unsafe { alloc::dealloc(self.0.as_ptr(), s.layout::<V>()) };
    }
}

/// A new value, reduced to how it will lie in the entry.
enum Stored<'a, V> {
    Int([u8; 8], usize),
    Inline(&'a [u8], u8),
    Big(BigStr),
    Object(V),
}

fn flags_of(form: u8, key_len: usize, deadline: bool) -> u8 {
    // The two flags are worth 8 and 16, the bytes their fields take and twice that: see `prefix`.
    let long = if key_len >= usize::from(LONG_KEY_MARK) {
        LONG_KEY
    } else {
        0
    };
    form | long | if deadline { HAS_DEADLINE } else { 0 }
}

impl<'a, V> Stored<'a, V> {
    fn from(value: NewValue<'a, V>) -> Stored<'a, V> {
        match value {
            NewValue::Int(n) => {
                let (bytes, len) = int_bytes(n);
                Stored::Int(bytes, len)
            }
            NewValue::Bytes(b) if b.len() <= INLINE_MAX => Stored::Inline(b, INLINE),
            NewValue::RawBytes(b) if b.len() <= INLINE_MAX => Stored::Inline(b, INLINE_RAW),
            NewValue::Bytes(b) | NewValue::RawBytes(b) => Stored::Big(BigStr::from_slice(b)),
            NewValue::Big(s) => Stored::Big(s),
            NewValue::Object(v) => Stored::Object(v),
        }
    }

    fn shape(&self, key_len: usize, deadline: bool) -> Shape {
        let (form, inline_len) = match self {
            Stored::Int(_, len) => (INT, *len),
            Stored::Inline(b, form) => (*form, b.len()),
            Stored::Big(_) => (BIG, 0),
            Stored::Object(_) => (OBJECT, 0),
        };
        Shape {
            flags: flags_of(form, key_len, deadline),
            key_len,
            inline_len,
        }
    }
}

// ---------------------------------------------------------------------------------------------- safe handles

/// An entry for reading: key, value, deadline, access clock.
pub struct Entry<'a, V> {
    raw: Raw,
    table: PhantomData<&'a V>,
}

impl<V> Clone for Entry<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Entry<'_, V> {}

impl<V> fmt::Debug for Entry<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry(\"{}\")", self.key().escape_ascii())
    }
}

impl<'a, V> Entry<'a, V> {
    /// # Safety
    /// The entry lives, and nothing but its clock is written, for 'a.
    #[inline]
    pub(super) unsafe fn new(raw: Raw) -> Entry<'a, V> {
        Entry {
            raw,
            table: PhantomData,
        }
    }

    #[inline]
    pub fn key(&self) -> &'a [u8] {
        self.raw.key::<V>()
    }

    #[inline]
    pub fn value(&self) -> ValueRef<'a, V> {
        self.raw.value::<V>()
    }

    /// Unix time in milliseconds.
    #[inline]
    pub fn deadline(&self) -> Option<i64> {
        self.raw.deadline()
    }

    /// 24 bits whose meaning is the caller's.
    #[inline]
    pub fn clock(&self) -> u32 {
        self.raw.clock()
    }

    /// Writes the access clock. Only the thread that owns the table does; others would race for a hint.
    #[inline]
    pub fn set_clock(&self, clock: u32) {
        self.raw.set_clock(clock);
    }

    pub fn address(&self) -> usize {
        self.raw.address()
    }

    /// A share in the entry, which outlives the borrow of the table.
    #[inline]
    pub fn handle(&self) -> Handle<V>
    where
        V: Payload,
    {
        self.raw.count().acquire();
        Handle {
            raw: self.raw,
            value: PhantomData,
        }
    }

    /// Bytes of the entry itself in the allocator; a payload adds its own.
    pub fn entry_bytes(&self) -> usize {
        self.raw.bytes::<V>()
    }
}

/// A share in an entry, one pointer wide: its key can be read as long as this lives, in the table or not.
///
/// While there is one, the entry is not written: a table that changes the value puts another entry in its place.
pub struct Handle<V: Payload> {
    raw: Raw,
    value: PhantomData<V>,
}

// SAFETY: an owned count of an entry; what is in it may be read (Sync) and dropped (Send) anywhere.
unsafe impl<V: Payload> Send for Handle<V> {}
// SAFETY: shared access only reads, and raises a count, which is atomic.
unsafe impl<V: Payload> Sync for Handle<V> {}

impl<V: Payload> Handle<V> {
    #[inline]
    pub fn key(&self) -> &[u8] {
        self.raw.key::<V>()
    }

    /// Bytes of the entry in the allocator.
    pub fn entry_bytes(&self) -> usize {
        self.raw.bytes::<V>()
    }
}

impl<V: Payload> AsRef<[u8]> for Handle<V> {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self.key()
    }
}

impl<V: Payload> Clone for Handle<V> {
    #[inline]
    fn clone(&self) -> Self {
        self.raw.count().acquire();
        Handle {
            raw: self.raw,
            value: PhantomData,
        }
    }
}

impl<V: Payload> Drop for Handle<V> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: we own the count, and this is the end of us.
        unsafe { self.raw.release::<V>() };
    }
}

impl<V: Payload> fmt::Debug for Handle<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle(\"{}\")", self.key().escape_ascii())
    }
}

/// An entry taken out of its table. Dropping it frees the value, on whichever thread that happens.
pub struct Removed<V: Payload> {
    raw: Raw,
    value: PhantomData<V>,
}

// SAFETY: an owned count of an entry; what is in it may be read (Sync) and dropped (Send) anywhere.
unsafe impl<V: Payload> Send for Removed<V> {}
// SAFETY: shared access only reads.
unsafe impl<V: Payload> Sync for Removed<V> {}

impl<V: Payload> Removed<V> {
    /// # Safety
    /// The caller gives its count of the entry away.
    pub(super) unsafe fn new(raw: Raw) -> Removed<V> {
        Removed {
            raw,
            value: PhantomData,
        }
    }

    pub(super) fn into_raw(self) -> Raw {
        let raw = self.raw;
        mem::forget(self);
        raw
    }

    pub fn entry(&self) -> Entry<'_, V> {
        // SAFETY: we own a count, and the borrow keeps us from giving it up.
        unsafe { Entry::new(self.raw) }
    }

    pub fn key(&self) -> &[u8] {
        self.raw.key::<V>()
    }

    pub fn value(&self) -> ValueRef<'_, V> {
        self.raw.value::<V>()
    }

    pub fn deadline(&self) -> Option<i64> {
        self.raw.deadline()
    }

    /// Whether this is the only owner (a clone of the table may be another): dropping it frees the entry.
    pub fn is_unique(&self) -> bool {
        self.raw.count().is_one()
    }

    /// The payload the entry pointed to: a long string or an object; `None` for a value that lay inline.
    pub fn into_payload(self) -> Option<Moved<V>> {
        self.into_raw().into_parts()
    }
}

/// A payload on its way out of an entry.
#[derive(Debug)]
pub enum Moved<V> {
    Big(BigStr),
    Object(V),
}

impl<V: Payload> Drop for Removed<V> {
    fn drop(&mut self) {
        // SAFETY: we own the count, and this is the end of us.
        unsafe { self.raw.release::<V>() };
    }
}

impl<V: Payload> fmt::Debug for Removed<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Removed(\"{}\")", self.key().escape_ascii())
    }
}

/// Appends to, or lengthens, a string value: the inline form while it fits, a [`BigStr`] beyond.
pub(super) fn extended(old: &[u8], len: usize, tail: &[u8]) -> Result<BigStr, TooLarge> {
    let filled = old.len() + tail.len();
    if len > filled {
        let mut s = BigStr::try_zeros(len)?;
        let mut w = s.make_mut();
        w[..old.len()].copy_from_slice(old);
        w[old.len()..filled].copy_from_slice(tail);
        return Ok(s);
    }
    let mut s = BigStr::try_with_capacity(filled)?;
    let mut w = s.make_mut();
    w.extend_from_slice(old)?;
    w.extend_from_slice(tail)?;
    Ok(s)
}
