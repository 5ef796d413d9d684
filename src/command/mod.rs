//! The declaration of a command: one constant beside its handler says all the server knows of it.
//!
//! Arity checks, COMMAND INFO and DOCS, ACL categories, key positions for cluster routing,
//! tracking and GETKEYS are computed from these declarations and stand nowhere else.
//!
//! ```text
//!   const GET: Command = Command { name, arity, flags, acl, keys, args, docs, run, ..Command::BASE }
//!   COMMANDS (per file)  ->  command::table (by name, per server)  ->  gate  ->  call  ->  run
//! ```
//!
//! Mirrors: `struct redisCommand` (server.h) and `commands.def`, which Redis generates from JSON files that stand
//! apart from the code.
//! Differs: the declaration is Rust, above the handler, so that neither can be changed without seeing the other.

pub mod act;
pub mod args;
pub mod effects;
pub mod keys;
pub mod table;

pub use args::Redacted;
pub use effects::{Effects, Said, Targets};

use crate::command::args::Args;
use crate::dispatch::Ctx;
use crate::resp::Error;
use crate::resp::argv::Argv;

/// The result of a handler; the reply itself is written through [`Ctx::reply`].
pub type Result<T = ()> = std::result::Result<T, Error>;

/// A handler: reads its arguments, looks, changes, answers.
pub type Handler = fn(&mut Ctx<'_>, Args<'_>) -> Result;

/// Finds the keys of commands whose key specs cannot say where they are.
pub type KeyFinder = fn(Argv<'_>, &mut Vec<KeyRef>) -> Result;

/// One argument that names a key, and what the command does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRef {
    /// Index into the request, the command's name being 0.
    pub position: usize,
    /// The use that the command makes of the key.
    pub flags: &'static [KeyFlag],
}

/// The parts of a declaration that only foreign code knows: of a command that a module added.
pub trait Foreign: std::fmt::Debug + Sync {
    /// The name of the module.
    fn module(&self) -> &str;

    /// Whether the module tells keys that no spec can.
    fn finds_keys(&self) -> bool {
        false
    }

    /// Adds the keys of a request.
    fn find_keys(&self, argv: Argv<'_>, found: &mut Vec<KeyRef>) {
        let _ = (argv, found);
    }

    /// The words of a request that are channels, and whether each is a pattern.
    fn channels(&self, argv: Argv<'_>) -> Vec<(usize, bool)> {
        let _ = argv;
        Vec::new()
    }
}

/// How many words a request has, the command's name (and its container's) counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// Just this many.
    Exactly(u8),
    /// This many or more.
    AtLeast(u8),
}

/// A property of a command: a change it may make, a place where it may run. `COMMAND INFO` shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Flag {
    /// May change the data set.
    Write = 1 << 0,
    /// Only reads the data set.
    ReadOnly = 1 << 1,
    /// Refused when memory is over the limit and nothing can be evicted.
    DenyOom = 1 << 2,
    /// An administrator's command.
    Admin = 1 << 3,
    /// Belongs to pub/sub.
    PubSub = 1 << 4,
    /// Not callable from scripts.
    NoScript = 1 << 5,
    /// May block its client.
    Blocking = 1 << 6,
    /// Allowed while the data set is being loaded.
    Loading = 1 << 7,
    /// Allowed on a replica that lost its primary.
    Stale = 1 << 8,
    /// Not shown to MONITOR.
    SkipMonitor = 1 << 9,
    /// Not entered in the slow log.
    SkipSlowlog = 1 << 10,
    /// Implies ASKING for its keys.
    Asking = 1 << 11,
    /// Constant or logarithmic time.
    Fast = 1 << 12,
    /// Allowed before authentication.
    NoAuth = 1 << 13,
    /// May come without any key though it has key specs.
    NoMandatoryKeys = 1 << 14,
    /// Allowed while a script is over its time.
    AllowBusy = 1 << 15,
    /// Not allowed inside MULTI.
    NoMulti = 1 << 16,
    /// Refused while loading asynchronously as well.
    NoAsyncLoading = 1 << 17,
    /// Key positions depend on the arguments.
    MovableKeys = 1 << 18,
    /// Runs a script or function, whose own flags then matter.
    ScriptRunner = 1 << 19,
    /// May propagate its effects to replicas though it changes nothing here (PUBLISH, scripts).
    MayReplicate = 1 << 20,
    /// For internal connections alone: of the nodes of a cluster, and of a primary. Others do not find the command.
    OnlyInternal = 1 << 21,
    /// Runs at once inside MULTI instead of being queued: it ends or inspects the transaction.
    InsideMulti = 1 << 22,
    /// Refused unless `enable-debug-command` allows it: DEBUG.
    NeedsDebugCommand = 1 << 23,
    /// Runs the commands queued by MULTI, whose flags then matter.
    QueueRunner = 1 << 24,
    /// Touches keys that its arguments do not name, so the deletions of expired keys it causes are not wrapped in a
    /// transaction.
    ArbitraryKeys = 1 << 25,
    /// Allowed for a subscribed client that speaks RESP2.
    WhileSubscribed = 1 << 26,
    /// Refused unless `enable-module-command` allows it: MODULE LOAD and its like.
    NeedsModuleCommand = 1 << 27,
    /// Updates the access clock of its keys even for a client that said CLIENT NO-TOUCH: TOUCH.
    TouchesKeys = 1 << 28,
    /// Refused like a write while the data set cannot be saved, so that a health check sees it: PING.
    NeedsWorkingDisk = 1 << 29,
    /// CLIENT CACHING holds beyond this command, or beyond the subcommands of this container: CLIENT.
    KeepsCaching = 1 << 30,
    /// A module's in Redis, and shown as such.
    Module = 1 << 31,
}

/// The flags that `COMMAND INFO` names, in the order Redis lists them.
pub const FLAG_NAMES: &[(Flag, &str)] = &[
    (Flag::Write, "write"),
    (Flag::ReadOnly, "readonly"),
    (Flag::DenyOom, "denyoom"),
    (Flag::Module, "module"),
    (Flag::Admin, "admin"),
    (Flag::PubSub, "pubsub"),
    (Flag::NoScript, "noscript"),
    (Flag::Blocking, "blocking"),
    (Flag::Loading, "loading"),
    (Flag::Stale, "stale"),
    (Flag::SkipMonitor, "skip_monitor"),
    (Flag::SkipSlowlog, "skip_slowlog"),
    (Flag::Asking, "asking"),
    (Flag::Fast, "fast"),
    (Flag::NoAuth, "no_auth"),
    (Flag::NoMandatoryKeys, "no_mandatory_keys"),
    (Flag::NoAsyncLoading, "no_async_loading"),
    (Flag::NoMulti, "no_multi"),
    (Flag::MovableKeys, "movablekeys"),
    (Flag::AllowBusy, "allow_busy"),
];

/// ACL categories, in the order `ACL CAT` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum Category {
    Keyspace = 1 << 0,
    Read = 1 << 1,
    Write = 1 << 2,
    Set = 1 << 3,
    SortedSet = 1 << 4,
    List = 1 << 5,
    Hash = 1 << 6,
    String = 1 << 7,
    Bitmap = 1 << 8,
    HyperLogLog = 1 << 9,
    Geo = 1 << 10,
    Stream = 1 << 11,
    PubSub = 1 << 12,
    Admin = 1 << 13,
    Fast = 1 << 14,
    Slow = 1 << 15,
    Blocking = 1 << 16,
    Dangerous = 1 << 17,
    Connection = 1 << 18,
    Transaction = 1 << 19,
    Scripting = 1 << 20,
    Array = 1 << 21,
}

/// Every category with the name users write after `@`.
pub const CATEGORY_NAMES: &[(Category, &str)] = &[
    (Category::Keyspace, "keyspace"),
    (Category::Read, "read"),
    (Category::Write, "write"),
    (Category::Set, "set"),
    (Category::SortedSet, "sortedset"),
    (Category::List, "list"),
    (Category::Hash, "hash"),
    (Category::String, "string"),
    (Category::Bitmap, "bitmap"),
    (Category::HyperLogLog, "hyperloglog"),
    (Category::Geo, "geo"),
    (Category::Stream, "stream"),
    (Category::PubSub, "pubsub"),
    (Category::Admin, "admin"),
    (Category::Fast, "fast"),
    (Category::Slow, "slow"),
    (Category::Blocking, "blocking"),
    (Category::Dangerous, "dangerous"),
    (Category::Connection, "connection"),
    (Category::Transaction, "transaction"),
    (Category::Scripting, "scripting"),
    (Category::Array, "array"),
];

/// The use that a command makes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFlag {
    /// Reads the value, changes nothing.
    Ro,
    /// Changes it, depending on what it was.
    Rw,
    /// Replaces it whatever it was.
    Ow,
    /// Deletes it.
    Rm,
    /// Data of the value is returned or copied.
    Access,
    /// Data of the value may be changed.
    Update,
    /// Data may be added, none changed or deleted.
    Insert,
    /// Data of the value may be deleted.
    Delete,
    /// Routed like a key, but none.
    NotKey,
    /// The spec does not find all keys.
    Incomplete,
    /// The flags depend on the arguments.
    VariableFlags,
    /// The spec may take the wrong word for the one that announces keys, so the command's finder is asked. Redis
    /// trusts its specs there, so COMMAND INFO does not show this flag.
    Doubtful,
}

impl KeyFlag {
    /// The name in `COMMAND INFO` and `GETKEYSANDFLAGS`; `None` for what is our own.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            KeyFlag::Ro => "RO",
            KeyFlag::Rw => "RW",
            KeyFlag::Ow => "OW",
            KeyFlag::Rm => "RM",
            KeyFlag::Access => "access",
            KeyFlag::Update => "update",
            KeyFlag::Insert => "insert",
            KeyFlag::Delete => "delete",
            KeyFlag::NotKey => "not_key",
            KeyFlag::Incomplete => "incomplete",
            KeyFlag::VariableFlags => "variable_flags",
            KeyFlag::Doubtful => return None,
        })
    }
}

/// Where a search for keys begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeginSearch {
    /// At this argument (the command's name is 0).
    Index(i32),
    /// After this word, looked for from the given argument on (negative: backwards from the end).
    Keyword(&'static str, i32),
    /// No spec can tell; the command's own finder must.
    Unknown,
}

/// Which arguments from there on are keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindKeys {
    /// `last` relative to the begin (negative: from the end), every `step`th; with `limit` n > 1,
    /// only the first n-th part of what remains.
    Range { last: i32, step: i32, limit: i32 },
    /// A number says how many keys follow; all relative to the begin.
    KeyNum { number: i32, first: i32, step: i32 },
    /// No spec can tell; the command's own finder must.
    Unknown,
}

/// Tells where a command's keys are and what it does with them.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// Where to begin.
    pub begin: BeginSearch,
    /// The words that are keys, from there on.
    pub find: FindKeys,
    /// The use that the command makes of them.
    pub flags: &'static [KeyFlag],
    /// A remark for `COMMAND DOCS`.
    pub notes: Option<&'static str>,
}

impl KeySpec {
    /// One key at a position.
    pub const fn at(index: i32, flags: &'static [KeyFlag]) -> Self {
        let find = FindKeys::Range {
            last: 0,
            step: 1,
            limit: 0,
        };
        KeySpec {
            begin: BeginSearch::Index(index),
            find,
            flags,
            notes: None,
        }
    }

    /// Keys follow a word.
    pub const fn after(word: &'static str, from: i32, flags: &'static [KeyFlag]) -> Self {
        let find = FindKeys::Range {
            last: 0,
            step: 1,
            limit: 0,
        };
        KeySpec {
            begin: BeginSearch::Keyword(word, from),
            find,
            flags,
            notes: None,
        }
    }

    /// There are keys, but no rule finds them.
    pub const fn unknown(flags: &'static [KeyFlag]) -> Self {
        KeySpec {
            begin: BeginSearch::Unknown,
            find: FindKeys::Unknown,
            flags,
            notes: None,
        }
    }

    /// Several keys: up to `last` (relative, negative from the end), every `step`th.
    pub const fn to(mut self, last: i32, step: i32) -> Self {
        self.find = FindKeys::Range {
            last,
            step,
            limit: 0,
        };
        self
    }

    /// As [`KeySpec::to`], but only the first `1/limit` of what remains.
    pub const fn part(mut self, last: i32, step: i32, limit: i32) -> Self {
        self.find = FindKeys::Range { last, step, limit };
        self
    }

    /// A count at `number`, keys from `first` on, both relative to the begin.
    pub const fn counted(mut self, number: i32, first: i32, step: i32) -> Self {
        self.find = FindKeys::KeyNum {
            number,
            first,
            step,
        };
        self
    }

    /// With a remark.
    pub const fn notes(mut self, notes: &'static str) -> Self {
        self.notes = Some(notes);
        self
    }
}

/// The arguments that name channels to subscribe or publish to; the ACL checks them.
#[doc(alias = "commands_with_channels")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// No argument is a channel.
    None,
    /// The first argument.
    First,
    /// All arguments.
    All,
    /// All arguments, and they are patterns.
    AllPatterns,
}

/// The type of an argument, as `COMMAND DOCS` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgKind {
    /// Any bytes.
    String,
    /// A whole number.
    Integer,
    /// A floating-point number.
    Double,
    /// The name of a key.
    Key,
    /// A glob pattern.
    Pattern,
    /// Seconds or milliseconds since 1970.
    UnixTime,
    /// A word that stands for itself.
    PureToken,
    /// One of its arguments.
    OneOf,
    /// All of its arguments, in order.
    Block,
}

/// One argument of a command, for `COMMAND DOCS` and the hints of `redis-cli`.
#[derive(Clone, Copy, Debug)]
pub struct Arg {
    /// Its name.
    pub name: &'static str,
    /// The name that a client shows to people, where it is another.
    pub shown_as: Option<&'static str>,
    /// Its type.
    pub kind: ArgKind,
    /// The word before it.
    pub token: Option<&'static str>,
    /// The key spec that finds it.
    pub key_spec: Option<u8>,
    /// A sentence about it; modules alone say one.
    pub summary: Option<&'static str>,
    /// Redis version that brought it.
    pub since: Option<&'static str>,
    /// Redis version that advised against it.
    pub deprecated_since: Option<&'static str>,
    /// May be left out.
    pub optional: bool,
    /// May be repeated.
    pub multiple: bool,
    /// Its token is repeated with it.
    pub multiple_token: bool,
    /// Parts of a block or a choice.
    pub args: &'static [Arg],
}

impl Arg {
    const fn new(name: &'static str, kind: ArgKind) -> Self {
        Arg {
            name,
            shown_as: None,
            kind,
            token: None,
            key_spec: None,
            summary: None,
            since: None,
            deprecated_since: None,
            optional: false,
            multiple: false,
            multiple_token: false,
            args: &[],
        }
    }

    /// Shown to people by another name (`display_text`).
    pub const fn shown_as(mut self, name: &'static str) -> Self {
        self.shown_as = Some(name);
        self
    }

    /// Preceded by a word.
    pub const fn token(mut self, token: &'static str) -> Self {
        self.token = Some(token);
        self
    }

    /// A key found by the `n`th key spec (0 unless told).
    pub const fn spec(mut self, n: u8) -> Self {
        self.key_spec = Some(n);
        self
    }

    /// New in a Redis version.
    pub const fn since(mut self, version: &'static str) -> Self {
        self.since = Some(version);
        self
    }

    /// Advised against since a Redis version.
    pub const fn deprecated(mut self, version: &'static str) -> Self {
        self.deprecated_since = Some(version);
        self
    }

    /// May be left out.
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// May be repeated.
    pub const fn multiple(mut self) -> Self {
        self.multiple = true;
        self
    }

    /// May be repeated together with its token.
    pub const fn multiple_token(mut self) -> Self {
        self.multiple = true;
        self.multiple_token = true;
        self
    }
}

/// Constructors for [`Arg`], one per [`ArgKind`].
pub mod arg {
    use crate::command::{Arg, ArgKind};

    /// A key, found by key spec 0.
    pub const fn key(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::Key).spec(0)
    }
    /// Any bytes.
    pub const fn string(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::String)
    }
    /// A whole number.
    pub const fn integer(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::Integer)
    }
    /// A floating-point number.
    pub const fn double(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::Double)
    }
    /// A glob pattern.
    pub const fn pattern(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::Pattern)
    }
    /// A moment.
    pub const fn unix_time(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::UnixTime)
    }
    /// A word that stands for itself.
    pub const fn word(name: &'static str, token: &'static str) -> Arg {
        Arg::new(name, ArgKind::PureToken).token(token)
    }
    /// One of several.
    pub const fn one_of(name: &'static str, args: &'static [Arg]) -> Arg {
        let mut arg = Arg::new(name, ArgKind::OneOf);
        arg.args = args;
        arg
    }
    /// Several in order.
    pub const fn block(name: &'static str, args: &'static [Arg]) -> Arg {
        let mut arg = Arg::new(name, ArgKind::Block);
        arg.args = args;
        arg
    }
}

/// Where the first argument of a command that runs a script leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptFrom {
    /// It is the script: EVAL.
    Text,
    /// It is the SHA1 of a script that the server keeps: EVALSHA.
    Digest,
    /// It is the name of a function of a library: FCALL.
    Library,
}

/// The group a command belongs to in the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Group {
    Generic,
    String,
    List,
    Set,
    SortedSet,
    Hash,
    PubSub,
    Transactions,
    Connection,
    Server,
    Scripting,
    HyperLogLog,
    Cluster,
    Sentinel,
    Geo,
    Stream,
    Bitmap,
    Array,
    Module,
}

impl Group {
    /// The name in `COMMAND DOCS`.
    pub fn name(self) -> &'static str {
        match self {
            Group::Generic => "generic",
            Group::String => "string",
            Group::List => "list",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::Hash => "hash",
            Group::PubSub => "pubsub",
            Group::Transactions => "transactions",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::Scripting => "scripting",
            Group::HyperLogLog => "hyperloglog",
            Group::Cluster => "cluster",
            Group::Sentinel => "sentinel",
            Group::Geo => "geo",
            Group::Stream => "stream",
            Group::Bitmap => "bitmap",
            Group::Array => "array",
            Group::Module => "module",
        }
    }
}

/// The documentation of a command, for COMMAND DOCS.
#[derive(Clone, Copy, Debug)]
pub struct Docs {
    /// Its group.
    pub group: Group,
    /// The Redis version that brought it.
    pub since: &'static str,
    /// Its cost.
    pub complexity: &'static str,
    /// One sentence about what it does.
    pub summary: &'static str,
    /// Set when users are advised against it: since when, and what to use instead.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// An internal command (`syscmd`).
    pub syscmd: bool,
}

impl Docs {
    /// The part most commands leave as it is.
    pub const BASE: Docs = Docs {
        group: Group::Generic,
        since: "1.0.0",
        complexity: "",
        summary: "",
        deprecated: None,
        syscmd: false,
    };
}

/// A command, or a container of subcommands.
#[derive(Clone, Copy)]
pub struct Command {
    /// Lower case; a subcommand's own name without its container's.
    pub name: &'static str,
    /// Number of arguments.
    pub arity: Arity,
    /// Its properties.
    pub flags: &'static [Flag],
    /// Its categories beyond those its flags and its group imply.
    pub acl: &'static [Category],
    /// Where its keys are.
    pub keys: &'static [KeySpec],
    /// Which arguments are channels of pub/sub that it uses.
    pub channels: Channels,
    /// Finds the keys the specs cannot; tried first where given.
    pub find_keys: Option<KeyFinder>,
    /// Its arguments, for the docs.
    pub args: &'static [Arg],
    /// Hints for clients and proxies, such as `nondeterministic_output`.
    pub tips: &'static [&'static str],
    /// Its documentation.
    pub docs: Docs,
    /// Changes since it came: version and change; modules alone tell them.
    pub history: &'static [(&'static str, &'static str)],
    /// The module that it belongs to.
    pub foreign: Option<&'static dyn Foreign>,
    /// The module has described it.
    pub described: bool,
    /// Subcommands; empty for a plain command.
    pub subcommands: &'static [&'static Command],
    /// In a cluster, served in a slot that migrates whatever keys are here: MIGRATE.
    pub serves_open_slots: bool,
    /// Where the script is that it runs, if it is a [`Flag::ScriptRunner`].
    pub script: ScriptFrom,
    /// The handler.
    pub run: Handler,
}

impl Command {
    /// The part most commands leave as it is; used as `..Command::BASE`.
    pub const BASE: Command = Command {
        name: "",
        arity: Arity::AtLeast(0),
        flags: &[],
        acl: &[],
        keys: &[],
        channels: Channels::None,
        find_keys: None,
        args: &[],
        tips: &[],
        docs: Docs::BASE,
        history: &[],
        foreign: None,
        described: false,
        subcommands: &[],
        serves_open_slots: false,
        script: ScriptFrom::Text,
        run: container,
    };

    /// The arity as Redis writes it: negative means "or more".
    pub const fn redis_arity(&self) -> i32 {
        match self.arity {
            Arity::Exactly(n) => n as i32,
            Arity::AtLeast(n) => -(n as i32),
        }
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Command")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The handler of a container: the table resolves a subcommand before anything runs, so only a
/// container called without one gets here, and its arity has already refused that.
fn container(_: &mut Ctx<'_>, _: Args<'_>) -> Result {
    Err(Error::Syntax)
}
