//! Values of modules on their way into RDB files, AOFs and digests, and back.
//!
//! A value is written as numbers, floats and strings, each behind a word that tells which; a zero ends it. What a module
//! reads was taken out of the file before, whole: so a module reads from memory, and a damaged value cannot lead it
//! beyond its own bytes.
//!
//! Mirrors: RM_SaveUnsigned(), RM_LoadUnsigned() and their kin, RM_EmitAOF(), RM_DigestAddStringBuffer() of module.c.
//! Differs: an error while reading never ends the server. A module that does not handle such errors gets zeros and empty
//! strings, and its value is dropped.

use std::ffi::{c_char, c_int};
use std::io::Cursor;
use std::ptr;
use std::sync::Arc;

use super::context::{Context, Occasion};
use super::memory;
use super::strings::{self, RString, buffer, bytes, c_bytes};
use crate::keyspace::DbId;
use crate::modules::{Module, Opaque};
use crate::persistence::rdb::{Decoder, Encoder};
use crate::sys::log::Level;
use crate::types::foreign::Place;
use crate::util::num::IntBuf;
use sha1::Digest as _;

/// Signed numbers, in files of this server's first versions alone: Redis writes them as unsigned ones.
const SIGNED: u64 = 1;
const UNSIGNED: u64 = 2;
const FLOAT: u64 = 3;
const DOUBLE: u64 = 4;
const STRING: u64 = 5;

/// Where the data goes, or comes from.
enum Way {
    Save(Encoder<'static>),
    Load(Decoder<'static>),
    Rewrite(Vec<u8>),
}

/// The input or output of one callback.
pub struct Io {
    way: Way,
    module: Arc<Module>,
    key: *mut RString,
    db: i32,
    /// Something could not be read.
    error: bool,
    /// Something was written.
    written: bool,
    context: Option<Box<Context>>,
}

impl Drop for Io {
    fn drop(&mut self) {
        if let Some(context) = &mut self.context {
            context.free_auto();
        }
        if !self.key.is_null() {
            // SAFETY: the reference made by `new`.
            unsafe { strings::release(self.key) };
        }
    }
}

impl Io {
    fn new(way: Way, module: &Arc<Module>, place: Place<'_>) -> Io {
        Io {
            way,
            module: module.clone(),
            key: place.key.map_or(strings::none(), strings::new),
            db: place.db,
            error: false,
            written: false,
            context: None,
        }
    }

    /// To be written to.
    pub fn saving(module: &Arc<Module>, place: Place<'_>, compress: bool) -> Io {
        Io::new(Way::Save(Encoder::to_memory(compress)), module, place)
    }

    /// To be read from.
    pub fn loading(module: &Arc<Module>, place: Place<'_>, bytes: Vec<u8>) -> Io {
        let total = bytes.len() as u64;
        let decoder = Decoder::new(Cursor::new(bytes), Some(total), false);
        Io::new(Way::Load(decoder), module, place)
    }

    /// To collect commands.
    pub fn rewriting(module: &Arc<Module>, place: Place<'_>) -> Io {
        Io::new(Way::Rewrite(Vec::new()), module, place)
    }

    /// The bytes that the module wrote, followed by the end mark of a module value if `end` is set.
    pub fn finish(mut self, end: bool) -> Vec<u8> {
        match std::mem::replace(&mut self.way, Way::Rewrite(Vec::new())) {
            Way::Save(mut encoder) => {
                if end {
                    encoder.length(0);
                }
                encoder.into_bytes()
            }
            Way::Rewrite(text) => text,
            Way::Load(_) => Vec::new(),
        }
    }

    /// Whether something was written.
    pub fn has_written(&self) -> bool {
        self.written
    }

    /// Whether reading failed.
    pub fn failed(&self) -> bool {
        self.error
    }

    /// Whether all was read, up to and with the end mark.
    pub fn is_at_end(&mut self) -> bool {
        match &mut self.way {
            Way::Load(decoder) => decoder.length().is_ok_and(|word| word == 0),
            _ => true,
        }
    }

    fn save(&mut self, kind: u64, f: impl FnOnce(&mut Encoder<'static>)) {
        if let Way::Save(encoder) = &mut self.way {
            self.written = true;
            encoder.length(kind);
            f(encoder);
        }
    }

    fn load<R>(
        &mut self,
        kind: u64,
        f: impl FnOnce(&mut Decoder<'static>) -> Option<R>,
    ) -> Option<R> {
        self.load_one_of(&[kind], f)
    }

    fn load_one_of<R>(
        &mut self,
        kinds: &[u64],
        f: impl FnOnce(&mut Decoder<'static>) -> Option<R>,
    ) -> Option<R> {
        if self.error {
            return None;
        }
        let Way::Load(decoder) = &mut self.way else {
            return None;
        };
        let found = match decoder.length() {
            Ok(word) if kinds.contains(&word) => f(decoder),
            _ => None,
        };
        if found.is_none() {
            self.error = true;
            if !self.module.has(Module::HANDLE_IO_ERRORS) {
                let name = &self.module.name;
                self.module.log.write(
                    Level::Warning,
                    &format_args!(
                        "Error loading data from RDB (short read or EOF). Read performed by module '{name}', which does not handle such errors: the value is dropped"
                    ),
                );
            }
        }
        found
    }

    fn load_bytes(&mut self) -> Option<Vec<u8>> {
        self.load(STRING, |decoder| decoder.string().ok())
    }
}

impl std::fmt::Debug for Io {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Io")
    }
}

unsafe fn of<'a>(io: *mut Io) -> &'a mut Io {
    // SAFETY: the server gave the module this pointer for the time of a callback.
    unsafe { &mut *io }
}

pub unsafe extern "C" fn is_error(io: *mut Io) -> c_int {
    c_int::from(unsafe { of(io) }.error)
}

pub unsafe extern "C" fn save_unsigned(io: *mut Io, n: u64) {
    unsafe { of(io) }.save(UNSIGNED, |encoder| encoder.length(n));
}

pub unsafe extern "C" fn load_unsigned(io: *mut Io) -> u64 {
    let found = unsafe { of(io) }.load(UNSIGNED, |decoder| decoder.length().ok());
    found.unwrap_or(0)
}

pub unsafe extern "C" fn save_signed(io: *mut Io, n: i64) {
    unsafe { save_unsigned(io, n as u64) }
}

pub unsafe extern "C" fn load_signed(io: *mut Io) -> i64 {
    let kinds = &[UNSIGNED, SIGNED];
    let found = unsafe { of(io) }.load_one_of(kinds, |decoder| decoder.length().ok());
    found.unwrap_or(0) as i64
}

pub unsafe extern "C" fn save_string(io: *mut Io, string: *const RString) {
    unsafe {
        let text = bytes(string);
        of(io).save(STRING, |encoder| encoder.string(text));
    }
}

pub unsafe extern "C" fn save_buffer(io: *mut Io, data: *const c_char, len: usize) {
    unsafe {
        let text = buffer(data, len);
        of(io).save(STRING, |encoder| encoder.string(text));
    }
}

pub unsafe extern "C" fn load_string(io: *mut Io) -> *mut RString {
    let io = unsafe { of(io) };
    match io.load_bytes() {
        Some(text) => strings::new(&text),
        None if io.module.has(Module::HANDLE_IO_ERRORS) => strings::none(),
        None => strings::new(b""),
    }
}

pub unsafe extern "C" fn load_buffer(io: *mut Io, len: *mut usize) -> *mut c_char {
    let io = unsafe { of(io) };
    let found = io.load_bytes();
    if !len.is_null() {
        unsafe { *len = found.as_ref().map_or(0, Vec::len) };
    }
    match found {
        Some(text) => memory::copied(&text, false),
        None if io.module.has(Module::HANDLE_IO_ERRORS) => ptr::null_mut(),
        None => memory::copied(b"", true),
    }
}

pub unsafe extern "C" fn save_double(io: *mut Io, n: f64) {
    unsafe { of(io) }.save(DOUBLE, |encoder| encoder.double(n));
}

pub unsafe extern "C" fn load_double(io: *mut Io) -> f64 {
    let found = unsafe { of(io) }.load(DOUBLE, |decoder| decoder.double().ok());
    found.unwrap_or(0.0)
}

pub unsafe extern "C" fn save_float(io: *mut Io, n: f32) {
    unsafe { of(io) }.save(FLOAT, |encoder| encoder.raw(&n.to_le_bytes()));
}

pub unsafe extern "C" fn load_float(io: *mut Io) -> f32 {
    let found = unsafe { of(io) }.load(FLOAT, |decoder| decoder.array::<4>().ok());
    found.map_or(0.0, f32::from_le_bytes)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn oxidis_module_save_text(io: *mut Io, text: *const c_char, len: usize) {
    unsafe { save_buffer(io, text, len) }
}

/// A string for the shim, with a zero behind it; NULL when there is none.
#[unsafe(no_mangle)]
unsafe extern "C" fn oxidis_module_load_text(io: *mut Io, len: *mut usize) -> *mut c_char {
    let Some(mut text) = unsafe { of(io) }.load_bytes() else {
        return ptr::null_mut();
    };
    unsafe { *len = text.len() };
    text.push(0);
    Box::into_raw(text.into_boxed_slice()).cast()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn oxidis_module_free_text(text: *mut c_char, len: usize) {
    // SAFETY: made by `oxidis_module_load_text`, with one byte more than it told.
    drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(text.cast::<u8>(), len + 1)) });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn oxidis_module_emit_aof(
    io: *mut Io,
    name: *const c_char,
    fmt: *const c_char,
    words: *const u64,
    _n: usize,
) {
    let (io, argv) = unsafe { (of(io), super::calls::plain_words(name, fmt, words)) };
    match (&mut io.way, argv) {
        (Way::Rewrite(text), Some(argv)) => argv.as_argv().encode(text),
        _ => io.error = true,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn oxidis_module_log_io(
    io: *mut Io,
    word: *const c_char,
    text: *const c_char,
    len: usize,
) {
    unsafe {
        let io = of(io);
        let text = String::from_utf8_lossy(buffer(text, len));
        let level = super::misc::level(c_bytes(word));
        io.module
            .log
            .write(level, &format_args!("<{}> {text}", io.module.name));
    }
}

pub unsafe extern "C" fn context_of(io: *mut Io) -> Opaque {
    let io = unsafe { of(io) };
    let (module, db) = (io.module.clone(), io.db);
    let context = io.context.get_or_insert_with(|| {
        let mut context = Context::new(Some(module), Occasion::Callback);
        context.db = DbId(u32::try_from(db).unwrap_or(0));
        Box::new(context)
    });
    let context: *mut Context = &mut **context;
    context.cast()
}

pub unsafe extern "C" fn key_of(io: *mut Io) -> *const RString {
    unsafe { of(io) }.key
}

pub unsafe extern "C" fn db_of(io: *mut Io) -> c_int {
    unsafe { of(io) }.db
}

// ---- Digests -----------------------------------------------------------------------------------------

/// The digest of a value: elements in order make a sequence, sequences in any order make the value.
#[derive(Debug)]
pub struct Digest {
    sequence: [u8; 20],
    total: [u8; 20],
    key: *mut RString,
    db: i32,
}

impl Digest {
    /// An empty one.
    pub fn new(place: Place<'_>) -> Digest {
        Digest {
            sequence: [0; 20],
            total: [0; 20],
            key: place.key.map_or(strings::none(), strings::new),
            db: place.db,
        }
    }

    /// The digest of all ended sequences.
    pub fn total(&self) -> [u8; 20] {
        self.total
    }

    fn mix(&mut self, element: &[u8]) {
        let of_element: [u8; 20] = sha1::Sha1::digest(element).into();
        for (own, byte) in self.sequence.iter_mut().zip(of_element) {
            *own ^= byte;
        }
        self.sequence = sha1::Sha1::digest(self.sequence).into();
    }
}

impl Drop for Digest {
    fn drop(&mut self) {
        if !self.key.is_null() {
            // SAFETY: the reference made by `new`.
            unsafe { strings::release(self.key) };
        }
    }
}

pub unsafe extern "C" fn digest_bytes(digest: *mut Digest, data: *const c_char, len: usize) {
    unsafe { (*digest).mix(buffer(data, len)) };
}

pub unsafe extern "C" fn digest_number(digest: *mut Digest, n: i64) {
    unsafe { (*digest).mix(IntBuf::new().format(n)) };
}

pub unsafe extern "C" fn digest_end(digest: *mut Digest) {
    let digest = unsafe { &mut *digest };
    let ended: [u8; 20] = sha1::Sha1::digest(digest.sequence).into();
    for (all, byte) in digest.total.iter_mut().zip(ended) {
        *all ^= byte;
    }
    digest.sequence = [0; 20];
}

pub unsafe extern "C" fn digest_key(digest: *const Digest) -> *const RString {
    unsafe { (*digest).key }
}

pub unsafe extern "C" fn digest_db(digest: *const Digest) -> c_int {
    unsafe { (*digest).db }
}
