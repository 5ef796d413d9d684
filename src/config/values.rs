//! The values an option can have: the named choices, the flag sets, the small structures.
//!
//! A choice knows its spellings, so that reading, showing and the error that lists what is
//! allowed come from one table ([`Choice::NAMES`]). A spelling that appears twice for one value
//! is read either way and shown as the first.
//!
//! Mirrors: the `configEnum` tables at the top of config.c, and the presets beside them.

use std::fmt;

use crate::config::events::Class;
pub use crate::sys::log::{Facility as SyslogFacility, Format as LogFormat, Level as LogLevel};

/// An option that takes one word out of a fixed list.
pub trait Choice: Copy + PartialEq + 'static {
    /// Every accepted word with its value; the first word of a value is the one shown.
    const NAMES: &'static [(&'static str, Self)];

    /// The word for this value.
    fn name(self) -> &'static str {
        let named = Self::NAMES.iter().find(|(_, value)| *value == self);
        named.expect("every value of a choice is in its table").0
    }

    /// The value of a word, whatever its case.
    fn from_name(word: &[u8]) -> Option<Self> {
        let named = Self::NAMES
            .iter()
            .find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word));
        named.map(|(_, value)| *value)
    }
}

/// An option that takes several words at once, each setting bits.
pub trait FlagSet: Copy + PartialEq + 'static {
    /// Every accepted word with its bits. The word for no bits is how the empty set is shown.
    const NAMES: &'static [(&'static str, u32)];

    fn from_bits(bits: u32) -> Self;
    fn bits(self) -> u32;

    /// Combinations that make no sense, with the sentence that says so.
    fn check(self) -> Result<(), &'static str> {
        Ok(())
    }
}

/// Spells an enum of another room.
macro_rules! spell {
    ($( $name:ident { $( $variant:ident = $word:literal $(| $other:literal)* ),+ $(,)? } )+) => { $(
        impl Choice for $name {
            const NAMES: &'static [(&'static str, Self)] =
                &[ $( ($word, $name::$variant), $( ($other, $name::$variant), )* )+ ];
        }
    )+ };
}

/// Declares an enum and its spellings together.
macro_rules! choices {
    ($( $(#[$doc:meta])* $name:ident { $( $variant:ident = $word:literal $(| $other:literal)* ),+ $(,)? } )+) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $( $variant ),+ }

        spell! { $name { $( $variant = $word $(| $other)* ),+ } }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    )+ };
}

spell! {
    LogLevel {
        Debug = "debug",
        Verbose = "verbose",
        Notice = "notice",
        Warning = "warning",
        Nothing = "nothing",
    }

    LogFormat { Redis = "redis", Json = "json" }

    SyslogFacility {
        User = "user",
        Local0 = "local0",
        Local1 = "local1",
        Local2 = "local2",
        Local3 = "local3",
        Local4 = "local4",
        Local5 = "local5",
        Local6 = "local6",
        Local7 = "local7",
    }
}

choices! {
    /// The choice of the key to evict when `maxmemory` is reached.
    #[doc(alias = "maxmemory_policy_enum")]
    MaxmemoryPolicy {
        VolatileLru = "volatile-lru",
        VolatileLfu = "volatile-lfu",
        VolatileLrm = "volatile-lrm",
        VolatileRandom = "volatile-random",
        VolatileTtl = "volatile-ttl",
        AllkeysLru = "allkeys-lru",
        AllkeysLfu = "allkeys-lfu",
        AllkeysLrm = "allkeys-lrm",
        AllkeysRandom = "allkeys-random",
        NoEviction = "noeviction",
    }

    /// The process supervisor to report to.
    Supervised { Upstart = "upstart", Systemd = "systemd", Auto = "auto", No = "no" }

    /// When the append-only file is forced to disk.
    AppendFsync { Everysec = "everysec", Always = "always", No = "no" }

    /// Whether a replica loads a full sync from the socket instead of from a file.
    ReplDisklessLoad {
        Disabled = "disabled",
        OnEmptyDb = "on-empty-db",
        Swapdb = "swapdb",
        FlushBeforeLoad = "flushdb" | "flush-before-load",
    }

    /// Whether a TLS client has to show a certificate.
    TlsAuthClients { No = "no", Yes = "yes", Optional = "optional" }

    /// The field of a client certificate that names its ACL user.
    TlsAuthClientsUser { Off = "off", CommonName = "CN" }

    /// How `oom-score-adj-values` are meant.
    OomScoreAdj { No = "no", Relative = "yes" | "relative", Absolute = "absolute" }

    /// The channel permissions a new ACL user starts with.
    AclPubsubDefault { AllChannels = "allchannels", ResetChannels = "resetchannels" }

    /// Whose payloads are checked all the way through before they are loaded.
    SanitizeDumpPayload { No = "no", Yes = "yes", Clients = "clients" }

    /// Permission for a dangerous action: refused, granted, or granted to connections from this machine.
    ProtectedAction { No = "no", Yes = "yes", Local = "local" }

    /// The kind of address that CLUSTER SLOTS and redirections give for a node.
    ClusterPreferredEndpointType {
        Ip = "ip",
        Hostname = "hostname",
        UnknownEndpoint = "unknown-endpoint",
    }

    /// Reaction to a replicated command, or one from the AOF, that fails.
    PropagationErrorBehavior {
        Ignore = "ignore",
        Panic = "panic",
        PanicOnReplicas = "panic-on-replicas",
    }
}

impl MaxmemoryPolicy {
    /// Only keys with a deadline may be evicted.
    pub fn volatile_only(self) -> bool {
        use MaxmemoryPolicy::*;
        matches!(
            self,
            VolatileLru | VolatileLfu | VolatileLrm | VolatileRandom | VolatileTtl
        )
    }

    /// The 24 bits of an object hold a frequency, not a clock.
    pub fn is_lfu(self) -> bool {
        matches!(
            self,
            MaxmemoryPolicy::VolatileLfu | MaxmemoryPolicy::AllkeysLfu
        )
    }

    /// The clock of an object is set by writes alone.
    pub fn is_lrm(self) -> bool {
        matches!(
            self,
            MaxmemoryPolicy::VolatileLrm | MaxmemoryPolicy::AllkeysLrm
        )
    }
}

impl ProtectedAction {
    /// May a connection do it? `local`: it comes from this machine.
    #[doc(alias = "allowProtectedAction")]
    pub fn allows(self, local: bool) -> bool {
        match self {
            ProtectedAction::No => false,
            ProtectedAction::Yes => true,
            ProtectedAction::Local => local,
        }
    }
}

/// How to shut down on a signal. Empty means the default: save if there are save points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownFlags {
    pub save: bool,
    pub nosave: bool,
    pub now: bool,
    pub force: bool,
}

impl FlagSet for ShutdownFlags {
    const NAMES: &'static [(&'static str, u32)] = &[
        ("default", 0),
        ("save", 1),
        ("nosave", 2),
        ("now", 4),
        ("force", 8),
    ];

    fn from_bits(bits: u32) -> Self {
        ShutdownFlags {
            save: bits & 1 != 0,
            nosave: bits & 2 != 0,
            now: bits & 4 != 0,
            force: bits & 8 != 0,
        }
    }

    fn bits(self) -> u32 {
        u32::from(self.save)
            | u32::from(self.nosave) << 1
            | u32::from(self.now) << 2
            | u32::from(self.force) << 3
    }

    fn check(self) -> Result<(), &'static str> {
        match self.save && self.nosave {
            true => Err("shutdown options SAVE and NOSAVE can't be used simultaneously"),
            false => Ok(()),
        }
    }
}

/// The figures that CLUSTER SLOT-STATS collects per slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotStats {
    pub cpu: bool,
    pub network: bool,
    pub memory: bool,
}

impl FlagSet for SlotStats {
    const NAMES: &'static [(&'static str, u32)] =
        &[("no", 0), ("yes", 7), ("cpu", 1), ("net", 2), ("mem", 4)];

    fn from_bits(bits: u32) -> Self {
        SlotStats {
            cpu: bits & 1 != 0,
            network: bits & 2 != 0,
            memory: bits & 4 != 0,
        }
    }

    fn bits(self) -> u32 {
        u32::from(self.cpu) | u32::from(self.network) << 1 | u32::from(self.memory) << 2
    }
}

/// `save <seconds> <changes>`: save when that many changes are that old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    pub seconds: u64,
    pub changes: u64,
}

/// How much may wait in a client's output buffer; a 0 switches that limit off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// The client is closed at once above this.
    pub hard_bytes: u64,
    /// The client is closed when it stays above this for `soft_seconds`.
    pub soft_bytes: u64,
    pub soft_seconds: u64,
}

/// One [`OutputLimit`] per class of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimits {
    pub normal: OutputLimit,
    pub replica: OutputLimit,
    pub pubsub: OutputLimit,
}

impl Default for OutputLimits {
    fn default() -> Self {
        const MB: u64 = 1 << 20;
        OutputLimits {
            normal: OutputLimit::default(),
            replica: OutputLimit {
                hard_bytes: 256 * MB,
                soft_bytes: 64 * MB,
                soft_seconds: 60,
            },
            pubsub: OutputLimit {
                hard_bytes: 32 * MB,
                soft_bytes: 8 * MB,
                soft_seconds: 60,
            },
        }
    }
}

/// `oom-score-adj-values`: one score per role of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OomScores {
    pub primary: i32,
    pub replica: i32,
    /// For a child process. We have none, the value is kept for the configuration's sake.
    pub child: i32,
}

/// `maxmemory-clients`: bytes, or a share of `maxmemory`. `Bytes(0)` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientMemory {
    Bytes(u64),
    Percent(u8),
}

impl ClientMemory {
    /// The limit in bytes; `None` when there is none (a share of no `maxmemory` is no limit).
    #[doc(alias = "getClientEvictionLimit")]
    pub fn limit_bytes(self, maxmemory: u64) -> Option<u64> {
        let bytes = match self {
            ClientMemory::Bytes(bytes) => bytes,
            ClientMemory::Percent(share) => {
                (u128::from(maxmemory) * u128::from(share) / 100) as u64
            }
        };
        (bytes > 0).then_some(bytes)
    }
}

/// The primary a replica follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Primary {
    pub host: String,
    pub port: u16,
}

impl Primary {
    /// Whether a text can be a host: a name or an address, one word that no line of a file or of INFO is cut by.
    pub fn is_host(text: &str) -> bool {
        !text.contains(|c: char| c.is_control() || c.is_whitespace() || "\"'#".contains(c))
    }
}

/// Which keyspace events are published, and on which channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotifyFlags(u32);

impl NotifyFlags {
    pub const KEYSPACE: Self = Self(Class::Keyspace as u32);
    pub const KEYEVENT: Self = Self(Class::Keyevent as u32);
    pub const GENERIC: Self = Self(Class::Generic as u32);
    pub const STRING: Self = Self(Class::String as u32);
    pub const LIST: Self = Self(Class::List as u32);
    pub const SET: Self = Self(Class::Set as u32);
    pub const HASH: Self = Self(Class::Hash as u32);
    pub const ZSET: Self = Self(Class::Zset as u32);
    pub const EXPIRED: Self = Self(Class::Expired as u32);
    pub const EVICTED: Self = Self(Class::Evicted as u32);
    pub const STREAM: Self = Self(Class::Stream as u32);
    pub const KEY_MISS: Self = Self(Class::KeyMiss as u32);
    pub const MODULE: Self = Self(Class::Module as u32);
    pub const NEW: Self = Self(Class::New as u32);
    pub const OVERWRITTEN: Self = Self(Class::Overwritten as u32);
    pub const TYPE_CHANGED: Self = Self(Class::TypeChanged as u32);
    pub const SUBKEYSPACE: Self = Self(Class::Subkeyspace as u32);
    pub const SUBKEYEVENT: Self = Self(Class::Subkeyevent as u32);
    pub const SUBKEYSPACE_ITEM: Self = Self(Class::SubkeyspaceItem as u32);
    pub const SUBKEYSPACE_EVENT: Self = Self(Class::SubkeyspaceEvent as u32);
    pub const ARRAY: Self = Self(Class::Array as u32);

    /// The classes that the letter `A` stands for.
    pub const ALL: Self = Self(
        Self::GENERIC.0
            | Self::STRING.0
            | Self::LIST.0
            | Self::SET.0
            | Self::HASH.0
            | Self::ZSET.0
            | Self::EXPIRED.0
            | Self::EVICTED.0
            | Self::STREAM.0
            | Self::MODULE.0
            | Self::ARRAY.0,
    );

    /// The letters in the order they are shown: first those `A` hides, then the rest.
    const LETTERS: &'static [(u8, Self)] = &[
        (b'g', Self::GENERIC),
        (b'$', Self::STRING),
        (b'l', Self::LIST),
        (b's', Self::SET),
        (b'h', Self::HASH),
        (b'z', Self::ZSET),
        (b'x', Self::EXPIRED),
        (b'e', Self::EVICTED),
        (b't', Self::STREAM),
        (b'd', Self::MODULE),
        (b'a', Self::ARRAY),
        (b'n', Self::NEW),
        (b'o', Self::OVERWRITTEN),
        (b'c', Self::TYPE_CHANGED),
        (b'K', Self::KEYSPACE),
        (b'E', Self::KEYEVENT),
        (b'S', Self::SUBKEYSPACE),
        (b'T', Self::SUBKEYEVENT),
        (b'I', Self::SUBKEYSPACE_ITEM),
        (b'V', Self::SUBKEYSPACE_EVENT),
        (b'm', Self::KEY_MISS),
    ];

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The `NOTIFY_*` bits of server.h.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Is any of `other` in it?
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Reads the letters; `None` when one of them means nothing.
    #[doc(alias = "keyspaceEventsStringToFlags")]
    pub fn parse(letters: &[u8]) -> Option<Self> {
        letters.iter().try_fold(Self::default(), |flags, letter| {
            if *letter == b'A' {
                return Some(flags.with(Self::ALL));
            }
            let (_, flag) = Self::LETTERS.iter().find(|(known, _)| known == letter)?;
            Some(flags.with(*flag))
        })
    }
}

impl fmt::Display for NotifyFlags {
    #[doc(alias = "keyspaceEventsFlagsToString")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        let all = self.contains(Self::ALL);
        if all {
            f.write_char('A')?;
        }
        for (letter, flag) in Self::LETTERS {
            let hidden = all && Self::ALL.contains(*flag);
            if self.contains(*flag) && !hidden {
                f.write_char(char::from(*letter))?;
            }
        }
        Ok(())
    }
}
