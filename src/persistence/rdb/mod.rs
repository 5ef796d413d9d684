//! The RDB format: a snapshot of the data set as bytes, Redis's to the bit.
//!
//! ```text
//!   "REDIS0012"  AUX*  FUNCTION2*  HASH_TEMPLATE*  (SELECTDB RESIZEDB SLOT_INFO* key*)*  EOF  crc64
//!   key   = [EXPIRETIME_MS ms] [IDLE len | FREQ byte] [KEY_META metadata] type string value
//!   DUMP  = [KEY_META metadata] type value  version (2 bytes)  crc64
//! ```
//!
//! Lengths take one, two, five or nine bytes; a string may be an integer of one, two or four bytes, or compressed.
//! A value is written in the encoding it has in memory: a listpack is one string, a table its elements one by one.
//!
//! | file | |
//! |---|---|
//! | [`encoder`] | lengths, strings, checksums, out |
//! | [`decoder`] | the same, in; the only place that believes nothing |
//! | [`stream`] | the layout of streams, which is longer than all the others |
//! | [`metadata`] | what modules attach to keys |
//! | [`template`] | names of fields that hashes share; only read |
//! | [`write_value`], [`read_value`] | values, in each encoding ever used; `connect`: the types they are made of |
//! | [`save`], [`load`] | whole files |
//! | [`slots`] | slots that come from another node, into tables of their own |
//! | [`dump`] | the payload of DUMP and RESTORE |
//! | [`check`] | `oxidis-check-rdb` |
//!
//! Mirrors: rdb.c, rdb.h.
//! Differs: version 12 is written although some types are newer. Older servers then refuse such a value, not the
//! whole file.

mod array;
pub mod check;
mod connect;
pub mod decoder;
pub mod dump;
pub mod encoder;
pub mod load;
pub mod metadata;
pub mod read_value;
pub mod save;
pub mod slots;
pub mod stream;
pub mod template;
mod vset;
pub mod write_value;

use std::fmt;
use std::io;

pub use self::decoder::Decoder;
pub use self::encoder::Encoder;

/// The version we write unless told otherwise: Redis 7.4's. A value that needs a newer version is told by its type.
#[doc(alias = "RDB_VERSION")]
pub const VERSION: u32 = 12;

/// The newest version we read: Redis 8.10's.
pub const NEWEST_READ: u32 = 15;

/// The oldest version that can be written: Redis 7.0's.
pub const OLDEST_WRITTEN: u32 = 10;

/// How a value is laid out.
#[doc(alias = "RDB_TYPE_STRING")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Type {
    String = 0,
    List = 1,
    Set = 2,
    Zset = 3,
    Hash = 4,
    /// Scores as eight bytes.
    Zset2 = 5,
    ModulePreGa = 6,
    Module2 = 7,
    HashZipmap = 9,
    ListZiplist = 10,
    SetIntset = 11,
    ZsetZiplist = 12,
    HashZiplist = 13,
    ListQuicklist = 14,
    StreamListpacks = 15,
    HashListpack = 16,
    ZsetListpack = 17,
    ListQuicklist2 = 18,
    StreamListpacks2 = 19,
    SetListpack = 20,
    StreamListpacks3 = 21,
    HashMetadataPreGa = 22,
    HashListpackExPreGa = 23,
    /// Fields with deadlines, relative to the earliest.
    HashMetadata = 24,
    HashListpackEx = 25,
    /// With what producers sent: Redis 8.6's.
    StreamListpacks4 = 26,
    /// With pending entries that nobody owns: Redis 8.8's.
    StreamListpacks5 = 27,
    /// Redis 8.8's.
    Array = 28,
    /// The names of the fields, then their values: Redis 8.10's, as the next three. See `template`.
    HashTemplateListpack = 29,
    /// The number of a template of the file, and values.
    HashTemplateListpackRef = 30,
    HashTemplateArray = 31,
    HashTemplateArrayRef = 32,
}

impl Type {
    const ALL: [Type; 32] = [
        Type::String,
        Type::List,
        Type::Set,
        Type::Zset,
        Type::Hash,
        Type::Zset2,
        Type::ModulePreGa,
        Type::Module2,
        Type::HashZipmap,
        Type::ListZiplist,
        Type::SetIntset,
        Type::ZsetZiplist,
        Type::HashZiplist,
        Type::ListQuicklist,
        Type::StreamListpacks,
        Type::HashListpack,
        Type::ZsetListpack,
        Type::ListQuicklist2,
        Type::StreamListpacks2,
        Type::SetListpack,
        Type::StreamListpacks3,
        Type::HashMetadataPreGa,
        Type::HashListpackExPreGa,
        Type::HashMetadata,
        Type::HashListpackEx,
        Type::StreamListpacks4,
        Type::StreamListpacks5,
        Type::Array,
        Type::HashTemplateListpack,
        Type::HashTemplateListpackRef,
        Type::HashTemplateArray,
        Type::HashTemplateArrayRef,
    ];

    /// The type a byte stands for.
    #[doc(alias = "rdbIsObjectType")]
    pub fn from_byte(byte: u8) -> Option<Type> {
        let at = match byte {
            0..=7 => byte,
            9..=32 => byte - 1,
            _ => return None,
        };
        Type::ALL.get(usize::from(at)).copied()
    }

    /// The name of the type in the report of the check tool.
    #[doc(alias = "rdb_type_string")]
    pub fn name(self) -> &'static str {
        match self {
            Type::String => "string",
            Type::List => "list-linked",
            Type::Set => "set-hashtable",
            Type::Zset => "zset-v1",
            Type::Hash => "hash-hashtable",
            Type::Zset2 => "zset-v2",
            Type::ModulePreGa => "module-pre-release",
            Type::Module2 => "module-value",
            Type::HashZipmap => "hash-zipmap",
            Type::ListZiplist => "list-ziplist",
            Type::SetIntset => "set-intset",
            Type::ZsetZiplist => "zset-ziplist",
            Type::HashZiplist => "hash-ziplist",
            Type::ListQuicklist => "quicklist",
            Type::StreamListpacks => "stream",
            Type::HashListpack => "hash-listpack",
            Type::ZsetListpack => "zset-listpack",
            Type::ListQuicklist2 => "quicklist-v2",
            Type::StreamListpacks2 => "stream-v2",
            Type::SetListpack => "set-listpack",
            Type::StreamListpacks3 => "stream-v3",
            Type::HashMetadataPreGa => "hash-hashtable-md-pre-release",
            Type::HashListpackExPreGa => "hash-listpack-md-pre-release",
            Type::HashMetadata => "hash-hashtable-md",
            Type::HashListpackEx => "hash-listpack-md",
            Type::StreamListpacks4 => "stream-v4",
            Type::StreamListpacks5 => "stream-v5",
            Type::Array => "array",
            Type::HashTemplateListpack => "hash-template-listpack",
            Type::HashTemplateListpackRef => "hash-template-listpack-ref",
            Type::HashTemplateArray => "hash-template-array",
            Type::HashTemplateArrayRef => "hash-template-array-ref",
        }
    }
}

/// Opcodes: bytes that may stand where a type could.
pub mod opcode {
    pub const HASH_TEMPLATE: u8 = 242;
    pub const KEY_META: u8 = 243;
    pub const SLOT_INFO: u8 = 244;
    pub const FUNCTION2: u8 = 245;
    pub const FUNCTION_PRE_GA: u8 = 246;
    pub const MODULE_AUX: u8 = 247;
    pub const IDLE: u8 = 248;
    pub const FREQ: u8 = 249;
    pub const AUX: u8 = 250;
    pub const RESIZEDB: u8 = 251;
    pub const EXPIRETIME_MS: u8 = 252;
    pub const EXPIRETIME: u8 = 253;
    pub const SELECTDB: u8 = 254;
    pub const EOF: u8 = 255;
}

/// Why bytes are not an RDB, and where they stopped being one.
#[derive(Debug)]
pub struct Error {
    /// Bytes from the start.
    pub offset: u64,
    pub reason: Reason,
}

/// See [`Error`].
#[derive(Debug)]
pub enum Reason {
    /// The input ends too early.
    ShortRead,
    /// The bytes that follow have not come yet ([`Decoder::fed`]).
    Starved,
    /// The source cannot be read.
    Io(io::Error),
    /// The reader of this file gave up (a shutdown, a cancelled save).
    Cancelled,
    /// The input does not begin like an RDB.
    Signature,
    /// The file is of a version that does not exist yet.
    Version(i64),
    /// The checksum at the end (`stored`) differs from that of the bytes (`computed`).
    Checksum { stored: u64, computed: u64 },
    /// A value without elements; Redis had bugs that left such keys, so a file may hold them.
    EmptyKey,
    /// Two keys of one name.
    DuplicateKey,
    /// More databases than are configured.
    TooManyDatabases,
    /// A module's data, and no such module.
    Module(String),
    /// Any other contradiction in the bytes.
    Corrupt(&'static str),
    /// The value needs a newer version than the one asked for.
    NotInVersion(&'static str, u32),
}

impl Error {
    pub fn new(offset: u64, reason: Reason) -> Error {
        Error { offset, reason }
    }

    /// Whether the bytes are wrong, rather than missing.
    pub fn is_corruption(&self) -> bool {
        !matches!(
            self.reason,
            Reason::ShortRead | Reason::Starved | Reason::Io(_) | Reason::Cancelled
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::ShortRead | Reason::Starved => f.write_str("Unexpected EOF reading RDB file"),
            Reason::Io(error) => write!(f, "{error}"),
            Reason::Cancelled => f.write_str("Cancelled"),
            Reason::Signature => f.write_str("Wrong signature trying to load DB from file"),
            Reason::Version(version) => write!(f, "Can't handle RDB format version {version}"),
            Reason::Checksum { .. } => f.write_str("RDB CRC error"),
            Reason::EmptyKey => f.write_str("Empty key"),
            Reason::DuplicateKey => f.write_str("Duplicated key found in RDB file"),
            Reason::TooManyDatabases => f.write_str(
                "Data file was created with a Redis server configured to handle more databases",
            ),
            Reason::Module(name) => write!(
                f,
                "The RDB file contains module data I can't load: no matching module type '{name}'"
            ),
            Reason::Corrupt(what) => f.write_str(what),
            Reason::NotInVersion(what, version) => {
                write!(f, "RDB version {version} cannot hold {what}")
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at offset {}: {}", self.offset, self.reason)
    }
}

impl std::error::Error for Error {}

/// The name of a module from its 64-bit number: nine characters of six bits, and ten bits of version.
#[doc(alias = "moduleTypeNameByID")]
pub fn module_name(id: u64) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..9)
        .map(|i| char::from(ALPHABET[(id >> (58 - 6 * i) & 63) as usize]))
        .collect()
}

#[cfg(test)]
mod tests;
