//! Data types in Rust: a trait for the value, and the door from it to the keyspace.
//!
//! ```text
//!   key -> Foreign -> Arc -> Own(T)          one owner: changed in place
//!   snapshot ----------^                     two owners: cloned before the first change, and the snapshot keeps the old one
//! ```
//!
//! Invariant: a value that a snapshot shares is never changed; so it is saved by the thread that saves, without the
//! server's thread, unlike a value that only C code understands.

use std::any::Any;
use std::fmt;
use std::io::Cursor;

use crate::command::Result;
use crate::dispatch::Ctx;
use crate::keyspace::{Deadline, NewValue};
use crate::modules::NativeType;
use crate::persistence::rdb::{Decoder, Encoder};
use crate::resp::Error;
use crate::types::foreign::{ForeignValue, Place, Raw, encode_id};
use crate::types::{Foreign, Held as _};

/// A value of your own under a key.
///
/// `Clone` is what a snapshot costs: a value is cloned when it changes for the first time after a save in the background
/// or a full synchronisation began. A large value is best built of shared parts (`Arc`), so that a clone is cheap.
pub trait DataType: Clone + fmt::Debug + Send + Sync + 'static {
    /// The name of the type, as TYPE shows it: nine characters out of letters, digits, `-` and `_`. RDB files name it so.
    const NAME: &'static str;

    /// The version of what [`DataType::save`] writes, 0 to 1023.
    const VERSION: u16 = 0;

    /// Writes the value.
    fn save(&self, to: &mut Saver);

    /// Reads what [`DataType::save`] wrote in some version.
    ///
    /// # Errors
    /// The bytes are not of this type: they came out of a damaged file, or from a client (RESTORE).
    fn load(from: &mut Loader<'_>, version: u16) -> std::result::Result<Self, BadValue>;

    /// The bytes that the value takes, for MEMORY USAGE and for eviction.
    fn memory(&self) -> usize {
        size_of::<Self>()
    }

    /// The steps that freeing the value takes; one with many is freed by another thread.
    fn free_effort(&self) -> usize {
        1
    }
}

const SIGNED: u64 = 1;
const UNSIGNED: u64 = 2;
const DOUBLE: u64 = 4;
const BYTES: u64 = 5;
const END: u64 = 0;

/// The bytes of a value, being written. Each part says what it is, so that tools can read past a value that they do not
/// know.
pub struct Saver(Encoder<'static>);

impl fmt::Debug for Saver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Saver")
    }
}

impl Saver {
    /// A number with a sign.
    pub fn signed(&mut self, n: i64) {
        self.0.length(SIGNED);
        self.0.length(n as u64);
    }

    /// A number without a sign.
    pub fn unsigned(&mut self, n: u64) {
        self.0.length(UNSIGNED);
        self.0.length(n);
    }

    /// A floating-point number, to the bit.
    pub fn double(&mut self, n: f64) {
        self.0.length(DOUBLE);
        self.0.double(n);
    }

    /// Bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.length(BYTES);
        self.0.string(bytes);
    }
}

/// The bytes of a value are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadValue;

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value is damaged, or of another type")
    }
}

impl std::error::Error for BadValue {}

/// The bytes of a value, being read.
pub struct Loader<'a>(Decoder<'a>);

impl fmt::Debug for Loader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Loader")
    }
}

impl Loader<'_> {
    fn part(&mut self, kind: u64) -> std::result::Result<(), BadValue> {
        match self.0.length() {
            Ok(found) if found == kind => Ok(()),
            _ => Err(BadValue),
        }
    }

    /// A number with a sign. Errors if none comes next.
    pub fn signed(&mut self) -> std::result::Result<i64, BadValue> {
        self.part(SIGNED)?;
        self.0.length().map(|n| n as i64).map_err(|_| BadValue)
    }

    /// A number without a sign. Errors if none comes next.
    pub fn unsigned(&mut self) -> std::result::Result<u64, BadValue> {
        self.part(UNSIGNED)?;
        self.0.length().map_err(|_| BadValue)
    }

    /// A floating-point number. Errors if none comes next.
    pub fn double(&mut self) -> std::result::Result<f64, BadValue> {
        self.part(DOUBLE)?;
        self.0.double().map_err(|_| BadValue)
    }

    /// Bytes, as many as the value itself has at most. Errors if none come next.
    pub fn bytes(&mut self) -> std::result::Result<Vec<u8>, BadValue> {
        self.part(BYTES)?;
        self.0.string().map_err(|_| BadValue)
    }
}

/// The entry of a type among those of a server.
pub fn entry_of<T: DataType>() -> NativeType {
    NativeType {
        name: T::NAME,
        id: encode_id(T::NAME.as_bytes(), i32::from(T::VERSION)),
        load: load::<T>,
    }
}

fn load<T: DataType>(raw: &Raw) -> Option<Foreign> {
    const VERSION_BITS: u64 = 1023;
    let total = raw.bytes.len() as u64;
    let decoder = Decoder::new(Cursor::new(raw.bytes.clone()), Some(total), false);
    let mut loader = Loader(decoder);
    let value = T::load(&mut loader, (raw.id & VERSION_BITS) as u16).ok()?;
    loader.part(END).ok()?;
    Some(Foreign::new(Own(value)))
}

/// A value of an embedder's type.
#[derive(Debug)]
struct Own<T>(T);

impl<T: DataType> Own<T> {
    fn saved(&self) -> Vec<u8> {
        let mut to = Saver(Encoder::to_memory(true));
        self.0.save(&mut to);
        to.0.length(END);
        to.0.into_bytes()
    }
}

impl<T: DataType> ForeignValue for Own<T> {
    fn type_name(&self) -> &'static str {
        T::NAME
    }

    fn rdb_id(&self) -> u64 {
        // Checked when the type was added.
        encode_id(T::NAME.as_bytes(), i32::from(T::VERSION)).unwrap_or(0)
    }

    fn save(&self, _: Place<'_>) -> Option<Vec<u8>> {
        Some(self.saved())
    }

    fn memory(&self, _: Place<'_>, _: usize) -> usize {
        self.0.memory()
    }

    fn free_effort(&self, _: Place<'_>) -> usize {
        self.0.free_effort()
    }

    fn copy(&self, _: Place<'_>, _: Place<'_>) -> Option<Foreign> {
        Some(Foreign::new(Own(self.0.clone())))
    }

    fn digest(&self, _: Place<'_>) -> Option<[u8; 20]> {
        use sha1::Digest as _;
        Some(sha1::Sha1::digest(self.saved()).into())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl Ctx<'_> {
    /// The value of your own type under a key; `None` if the key is not there.
    ///
    /// # Errors
    /// WRONGTYPE if the key holds something else.
    pub fn value<T: DataType>(&mut self, key: &[u8]) -> Result<Option<&T>> {
        let Some(entry) = self.db().get(key) else {
            return Ok(None);
        };
        let own = entry.value().as_object().and_then(Foreign::of);
        let own = own.and_then(|foreign| foreign.downcast::<Own<T>>());
        own.map(|own| Some(&own.0)).ok_or(Error::WrongType)
    }

    /// The value of your own type under a key, to be changed; `None` if the key is not there. If a snapshot shares it, it
    /// is cloned before.
    ///
    /// # Errors
    /// WRONGTYPE if the key holds something else.
    pub fn value_mut<T: DataType>(&mut self, key: &[u8]) -> Result<Option<&mut T>> {
        let Some(foreign) = self.db().get_mut_as::<Foreign>(key)? else {
            return Ok(None);
        };
        let Some(own) = foreign.downcast::<Own<T>>() else {
            return Err(Error::WrongType);
        };
        if !foreign.is_unique() {
            *foreign = Foreign::new(Own(own.0.clone()));
        }
        let own = foreign.get_mut().map(|value| value.as_any_mut());
        let own = own.and_then(|value| value.downcast_mut::<Own<T>>());
        Ok(own.map(|own| &mut own.0))
    }

    /// As [`Ctx::value_mut`]; a key that is not there gets a fresh value.
    ///
    /// # Errors
    /// WRONGTYPE if the key holds something else.
    pub fn value_or_default<T: DataType + Default>(&mut self, key: &[u8]) -> Result<&mut T> {
        if self.value_mut::<T>(key)?.is_none() {
            self.put_value(key, T::default());
        }
        self.value_mut(key)?.ok_or(Error::WrongType)
    }

    /// Stores a value of your own type under a key, whatever the key held; a deadline goes. To be followed by
    /// [`Ctx::modified`].
    pub fn put_value<T: DataType>(&mut self, key: &[u8], value: T) {
        let value = NewValue::Object(Foreign::new(Own(value)).into());
        self.store(key, value, Deadline::Set(None));
    }
}
