//! Metadata of a key: numbers of 64 bits that foreign code attaches to it, one for each of its classes, beside the value.
//!
//! ```text
//!   "page:7"  ->  a hash                      the value
//!             ->  Meta { NOTE: 0x7f12…, RANK: 3 }   metadata: class NOTE keeps a pointer, class RANK the number itself
//! ```
//!
//! The server knows of it only what [`KeyMeta`] answers. Metadata follows its key: it is renamed, moved, copied, saved and
//! deleted with it, each time after its class was asked. Like a value it is cheap to clone: a snapshot shares it.
//!
//! In files and payloads each class is named by a *spec* of 32 bits in front of its bytes: four characters of six bits, a
//! version of five bits, three bits of flags.
//!
//! Mirrors: keymeta.h of Redis 8.6.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::foreign::Place;

/// Classes that there can be at one time.
#[doc(alias = "KEY_META_MAX_NUM_MODULES")]
pub const CLASSES_MAX: usize = 7;

/// A key that leaves its name or its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Going {
    /// RENAME.
    Renamed,
    /// MOVE.
    Moved,
}

/// The questions that the server asks the metadata of a key. All of them are asked on the thread that owns the key, except
/// [`KeyMeta::save`] and [`KeyMeta::rewrite`], which a thread that saves a snapshot asks too.
pub trait KeyMeta: fmt::Debug + Send + Sync + Any {
    /// The number of classes that have something to save, and their specs and bytes; empty when no class has. `None` when
    /// it cannot be had any more.
    fn save(&self, place: Place<'_>) -> Option<Vec<u8>>;

    /// The commands that attach it anew, as RESP. `None` when they cannot be had any more.
    fn rewrite(&self, place: Place<'_>) -> Option<Vec<u8>>;

    /// Bytes that it takes.
    fn memory(&self, place: Place<'_>, samples: usize) -> usize;

    /// The key is about to be deleted or replaced. `shared`: a snapshot has this metadata too, and keeps it as it is.
    fn leave(&self, place: Place<'_>, shared: bool);

    /// The key is about to go elsewhere: the part that goes with it. The rest leaves.
    fn go(&self, how: Going, from: Place<'_>, to: Place<'_>, shared: bool) -> Option<Meta>;

    /// The part that a copy of the key gets.
    fn copied(&self, from: Place<'_>, to: Place<'_>) -> Option<Meta>;

    /// The metadata as what it is.
    fn as_any(&self) -> &dyn Any;
}

/// The metadata of one key.
#[derive(Clone, Debug)]
pub struct Meta(Arc<dyn KeyMeta>);

impl Meta {
    /// Metadata that nobody else has.
    pub fn new(meta: impl KeyMeta) -> Meta {
        Meta(Arc::new(meta))
    }

    /// The metadata.
    pub fn get(&self) -> &dyn KeyMeta {
        &*self.0
    }

    /// As a type of its own.
    pub fn downcast<T: Any>(&self) -> Option<&T> {
        self.get().as_any().downcast_ref()
    }

    /// Whether somebody else has it. It tells the truth of metadata that was taken out of its database; inside, the
    /// nodes that hold it may be shared.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

/// The metadata of one class as a file or a payload has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawMeta {
    /// The class: see [`encode_spec`].
    pub spec: u32,
    /// The bytes that the class wrote, with the end mark.
    pub bytes: Vec<u8>,
}

const CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
const FLAG_BITS: u32 = 3;
const VERSION_BITS: u32 = 5;
const CHAR_BITS: u32 = 6;
/// A flag: a reader without the class may do without its metadata.
#[doc(alias = "KEY_META_FLAG_ALLOW_IGNORE")]
pub const MAY_BE_IGNORED: u32 = 1;

/// The spec of a class: a name of four characters, a version from 0 to 31, flags. `None` for a name or a version that is
/// none.
#[doc(alias = "keyMetaClassEncode")]
pub fn encode_spec(name: &[u8], version: i32, flags: u32) -> Option<u32> {
    let name: &[u8; 4] = name.try_into().ok()?;
    let version = u32::try_from(version).ok()?;
    if version >> VERSION_BITS != 0 {
        return None;
    }
    let mut spec = 0;
    for byte in name {
        let at = CHARS.iter().position(|known| known == byte)?;
        spec = spec << CHAR_BITS | at as u32;
    }
    Some((spec << VERSION_BITS | version) << FLAG_BITS | flags & ((1 << FLAG_BITS) - 1))
}

impl RawMeta {
    /// The name of the class.
    #[doc(alias = "keyMetaClassDecode")]
    pub fn name(&self) -> [u8; 4] {
        let chars = self.spec >> (FLAG_BITS + VERSION_BITS);
        [3, 2, 1, 0].map(|place| CHARS[(chars >> (CHAR_BITS * place)) as usize % CHARS.len()])
    }

    /// The version of the class that wrote it.
    pub fn version(&self) -> i32 {
        (self.spec >> FLAG_BITS & ((1 << VERSION_BITS) - 1)) as i32
    }

    /// Whether a reader without the class may do without it.
    pub fn may_be_ignored(&self) -> bool {
        self.spec & MAY_BE_IGNORED != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_tells_name_version_and_flags() {
        let spec = encode_spec(b"KMT1", 1, 1).expect("a good name");
        // As Redis 8.6 writes it.
        assert_eq!(spec.to_le_bytes(), [0o011, 0o365, 0o304, 0o050]);
        let raw = RawMeta {
            spec,
            bytes: Vec::new(),
        };
        assert_eq!((raw.name(), raw.version()), (*b"KMT1", 1));
        assert!(raw.may_be_ignored());
        let raw = RawMeta {
            spec: encode_spec(b"a_-9", 31, 0).expect("a good name"),
            bytes: Vec::new(),
        };
        assert_eq!((raw.name(), raw.version()), (*b"a_-9", 31));
        assert!(!raw.may_be_ignored());
        for (name, version) in [
            (&b"KMT"[..], 1),
            (b"KMT12", 1),
            (b"KM 1", 1),
            (b"KMT1", 32),
            (b"KMT1", -1),
        ] {
            assert_eq!(encode_spec(name, version, 0), None);
        }
    }
}
