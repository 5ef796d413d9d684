//! Every error a client can read, and its words, in one place.
//!
//! Mirrors: the `shared.*err` objects of server.c and the texts scattered over Redis's commands.

use std::borrow::Cow;
use std::fmt;

/// An error reply. [`fmt::Display`] gives the line a client reads, code first, without the `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The key holds another type.
    WrongType,
    /// Unknown or misplaced option.
    Syntax,
    /// Not a 64-bit integer.
    NotInteger,
    /// Not a floating-point number.
    NotFloat,
    /// An integer outside what the command allows.
    OutOfRange,
    /// A number or its sum left the 64-bit range.
    IncrementOverflow,
    /// A float became NaN or infinite.
    NanOrInfinity,
    /// An index outside the value.
    IndexOutOfRange,
    /// No such key.
    NoSuchKey,
    /// A value that would be larger than `proto-max-bulk-len`.
    StringTooLong,
    /// A database number that does not exist.
    DbIndexOutOfRange,
    /// Wrong number of arguments; the command's full name.
    WrongArity(String),
    /// A whole line that quotes what the client sent, in the client's own bytes; see [`Error::quoting`].
    Quoting(Vec<u8>),
    /// The `EXPIRE` family's complaint; the command's full name.
    InvalidExpire(String),
    /// A negative timeout.
    NegativeTimeout,
    /// A timeout that is no number.
    TimeoutNotFloat,
    /// Authentication is needed first.
    NoAuth,
    /// Not over `maxmemory`'s bound.
    OutOfMemory,
    /// The data set is being loaded.
    Loading,
    /// A script is over its time.
    Busy,
    /// The last save failed and writes are refused.
    MisConf,
    /// A write was sent to a read-only replica.
    ReadOnly,
    /// A replica without its primary.
    MasterDown,
    /// Too few good replicas.
    NoReplicas,
    /// EXEC after an error while queueing.
    ExecAbort,
    /// The slot is served elsewhere.
    Moved(u16, String),
    /// The slot is moving; ask there, once.
    Ask(u16, String),
    /// Keys of several slots in one request.
    CrossSlot,
    /// Some keys are here, some on their way to another node.
    TryAgain,
    /// The cluster serves the slot nowhere, or serves nothing; the sentence.
    ClusterDown(&'static str),
    /// A sentence that starts with its own code, such as `NOSCRIPT No matching script.`
    Coded(Cow<'static, str>),
    /// A sentence of one command alone; `ERR` is put before it. Used twice, it earns a variant.
    Once(Cow<'static, str>),
    /// Several lines of errors were already written by the handler: this one is counted and not written.
    AlreadySaid,
}

impl Error {
    /// A sentence of one command's own, `ERR` put before it.
    pub fn once(text: impl Into<Cow<'static, str>>) -> Self {
        Error::Once(text.into())
    }

    /// A sentence with its own code before it.
    pub fn coded(text: impl Into<Cow<'static, str>>) -> Self {
        Error::Coded(text.into())
    }

    /// A line, code first, with words of the client in it. The client's words may be any bytes and are given back as
    /// they came, up to a zero byte, where a C string ends.
    pub fn quoting(before: &str, words: &[u8], after: &str) -> Self {
        Error::Quoting([before.as_bytes(), up_to_zero(words), after.as_bytes()].concat())
    }

    /// Whether the request is one for another node of the cluster, or for another time.
    pub fn redirects(&self) -> bool {
        use Error::{Ask, ClusterDown, CrossSlot, Moved, TryAgain};
        matches!(
            self,
            Moved(..) | Ask(..) | CrossSlot | TryAgain | ClusterDown(_)
        )
    }

    /// The first word: what `errorstat_` counts under.
    pub fn code(&self) -> String {
        let text = self.to_string();
        text.split(' ').next().unwrap_or("ERR").to_owned()
    }
}

impl From<crate::keyspace::WrongType> for Error {
    fn from(_: crate::keyspace::WrongType) -> Error {
        Error::WrongType
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Error::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value",
            Error::Syntax => "ERR syntax error",
            Error::NotInteger => "ERR value is not an integer or out of range",
            Error::NotFloat => "ERR value is not a valid float",
            Error::OutOfRange => "ERR value is out of range",
            Error::IncrementOverflow => "ERR increment or decrement would overflow",
            Error::NanOrInfinity => "ERR increment would produce NaN or Infinity",
            Error::IndexOutOfRange => "ERR index out of range",
            Error::NoSuchKey => "ERR no such key",
            Error::StringTooLong => "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            Error::DbIndexOutOfRange => "ERR DB index is out of range",
            Error::NegativeTimeout => "ERR timeout is negative",
            Error::TimeoutNotFloat => "ERR timeout is not a float or out of range",
            Error::NoAuth => "NOAUTH Authentication required.",
            Error::OutOfMemory => "OOM command not allowed when used memory > 'maxmemory'.",
            Error::Loading => "LOADING Redis is loading the dataset in memory",
            Error::Busy => {
                "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
            }
            Error::MisConf => {
                "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to \
                 persist to disk. Commands that may modify the data set are disabled, because this \
                 instance is configured to report errors during writes if RDB snapshotting fails \
                 (stop-writes-on-bgsave-error option). Please check the Redis logs for details \
                 about the RDB error."
            }
            Error::ReadOnly => "READONLY You can't write against a read only replica.",
            Error::MasterDown => {
                "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
            }
            Error::NoReplicas => "NOREPLICAS Not enough good replicas to write.",
            Error::ExecAbort => "EXECABORT Transaction discarded because of previous errors.",
            Error::TryAgain => "TRYAGAIN Multiple keys request during rehashing of slot",
            Error::ClusterDown(text) => return write!(f, "CLUSTERDOWN {text}"),
            Error::CrossSlot => "CROSSSLOT Keys in request don't hash to the same slot",
            Error::WrongArity(name) => {
                return write!(f, "ERR wrong number of arguments for '{name}' command");
            }
            Error::Quoting(line) => return f.write_str(&String::from_utf8_lossy(line)),
            Error::InvalidExpire(name) => {
                return write!(f, "ERR invalid expire time in '{name}' command");
            }
            Error::Moved(slot, address) => return write!(f, "MOVED {slot} {address}"),
            Error::Ask(slot, address) => return write!(f, "ASK {slot} {address}"),
            Error::Coded(text) => text,
            Error::Once(text) => return write!(f, "ERR {text}"),
            Error::AlreadySaid => "ERR",
        };
        f.write_str(text)
    }
}

impl std::error::Error for Error {}

/// The bytes up to the first zero, as a C program would print them.
pub fn up_to_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or(bytes)
}
