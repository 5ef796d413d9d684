//! Modules: commands, data types and callbacks that foreign code adds to a server.
//!
//! This half holds what is known of each module: its name, its commands, and the functions it wants called. It calls
//! none of them, and it has never seen a raw handle. The acting half does that:
//!
//! ```text
//!   modules/        tables: which module has which command, filter, timer, option      data alone
//!   modules/act/    load, unload, and the callbacks of modules at the right moment     safe
//!   modules/abi/    the functions that a compiled module calls, one file per family    unsafe, and nothing else
//!   modules/native  the names that an embedder's own commands need                     safe
//! ```
//!
//! A compiled module finds the functions of the server through the first word of the context that each of its
//! functions is given: the address of `GetApi`, which turns a name into an address. So the server exports no symbol,
//! and a function that is not built is simply not found, which a module can test for.
//!
//! Invariant: an entry of any table here belongs to a module in [`Modules::loaded`], or to the one being loaded; unloading
//! a module removes its entries from all tables before its code leaves the process.
//!
//! Mirrors: the structures of module.c.
//! Differs: tables by kind, each with the module as a column; Redis has a structure per module that holds lists.

#[cfg(feature = "c-modules")]
pub mod abi;
#[cfg(feature = "c-modules")]
pub mod act;
#[cfg(not(feature = "c-modules"))]
#[path = "act/without.rs"]
pub mod act;
pub mod classes;
pub mod kinds;
pub mod native;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::{c_char, c_int, c_void};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::clients::ClientKey;
use crate::command::table::CommandId;
use crate::resp::argv::OwnedArgv;
use crate::sys::log::Logger;
use crate::types::Foreign;
use crate::types::foreign::Raw;

/// A pointer of a module, which the server keeps and hands back.
pub type Opaque = *mut c_void;

/// A command's function: context, words, number of words.
pub type CommandFn = unsafe extern "C" fn(Opaque, *mut Opaque, c_int) -> c_int;
/// Called with a context and the module's own pointer.
pub type FreeFn = unsafe extern "C" fn(Opaque, Opaque);
/// A timer's function.
pub type TimerFn = unsafe extern "C" fn(Opaque, Opaque);
/// Hears of a keyspace event: context, class, name, key.
pub type NotifyFn = unsafe extern "C" fn(Opaque, c_int, *const c_char, Opaque) -> c_int;
/// Runs after the unit of execution in which it was asked for.
pub type PostJobFn = unsafe extern "C" fn(Opaque, Opaque);
/// Frees the private data of such a job.
pub type FreeDataFn = unsafe extern "C" fn(Opaque);
/// Looks at a request before it is looked up.
pub type FilterFn = unsafe extern "C" fn(Opaque);
/// Writes sections of INFO: info context, whether for a crash report.
pub type InfoFn = unsafe extern "C" fn(Opaque, c_int);

/// A watched descriptor is ready: descriptor, the module's pointer, for reading (1) or writing (2).
pub type WatchFn = unsafe extern "C" fn(c_int, Opaque, c_int);
/// A module's child has ended: exit code, signal, the module's pointer.
pub type ForkDoneFn = unsafe extern "C" fn(c_int, c_int, Opaque);
/// A message of another node came: context, sender, kind, payload, its length.
pub type ReceiverFn = unsafe extern "C" fn(Opaque, *const c_char, u8, *const u8, u32);

/// Hears that a client acts as another user: the client's number, the module's pointer.
pub type UserChangedFn = unsafe extern "C" fn(u64, Opaque);

/// The number of a module, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleId(pub u32);

/// A module, as every context of its callbacks names it. Shared between threads.
#[derive(Debug)]
pub struct Module {
    /// Its number.
    pub id: ModuleId,
    /// Its name.
    pub name: String,
    /// Its version, as it says.
    pub version: i32,
    /// The version of the interface it was built for.
    pub api: i32,
    /// Its options, as bits (`SetModuleOptions`).
    pub options: AtomicI32,
    /// The log, for threads that do not own the state.
    pub log: Logger,
}

impl Module {
    /// It handles errors of RDB input and output itself.
    pub const HANDLE_IO_ERRORS: i32 = 1;
    /// Closing a key does not signal that it was modified.
    pub const NO_IMPLICIT_SIGNAL: i32 = 2;
    /// It can follow a data set that is loaded beside the old one.
    pub const HANDLE_ASYNC_LOAD: i32 = 4;
    /// It wants events caused by its own callbacks of events.
    pub const NESTED_NOTIFICATIONS: i32 = 8;

    /// Whether it set an option.
    pub fn has(&self, option: i32) -> bool {
        self.options.load(Ordering::Relaxed) & option != 0
    }
}

/// A module that is loaded.
#[derive(Debug)]
pub struct Loaded {
    /// The module.
    pub module: Arc<Module>,
    /// The file it came from.
    pub path: String,
    /// The arguments it was loaded with.
    pub args: Vec<Vec<u8>>,
    /// The handle of the loaded file; null for a module without one.
    pub library: Opaque,
}

/// A command of a module.
#[derive(Clone, Debug)]
pub struct ModuleCommand {
    /// The module.
    pub module: Arc<Module>,
    /// Its function; a container has none.
    pub run: Option<CommandFn>,
}

/// A function that sees requests before they are looked up.
#[derive(Clone, Debug)]
pub struct Filter {
    /// The number that stands for it.
    pub id: usize,
    /// The module.
    pub module: Arc<Module>,
    /// The function.
    pub run: FilterFn,
    /// Requests that the module itself makes are not shown to it.
    pub not_own: bool,
}

/// A function that hears of keyspace events.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The module.
    pub module: Arc<Module>,
    /// The classes it wants, as bits of [`crate::keyspace::events::Class`].
    pub classes: u32,
    /// The function.
    pub run: NotifyFn,
    /// It is running: what it causes itself is not told to it.
    pub active: bool,
}

/// A timer, to fire once.
#[derive(Clone, Debug)]
pub struct Timer {
    /// The module.
    pub module: Arc<Module>,
    /// The function.
    pub run: TimerFn,
    /// The module's pointer.
    pub data: Opaque,
    /// The database of the context it was made in.
    pub db: crate::keyspace::DbId,
}

/// Work for the end of the current unit of execution.
#[derive(Clone, Debug)]
pub struct PostJob {
    /// The module.
    pub module: Arc<Module>,
    /// The function.
    pub run: PostJobFn,
    /// The module's pointer.
    pub data: Opaque,
    /// Frees it.
    pub free: Option<FreeDataFn>,
    /// The database of the context it was asked for in.
    pub db: crate::keyspace::DbId,
}

/// The function that a module wants called when INFO is asked for.
#[derive(Clone, Debug)]
pub struct InfoSource {
    /// The module.
    pub module: Arc<Module>,
    /// The function.
    pub run: InfoFn,
}

/// A pointer that a module offers to others.
#[derive(Clone, Debug)]
pub struct SharedApi {
    /// The module that offers it.
    pub owner: ModuleId,
    /// The pointer.
    pub function: Opaque,
}

/// A module wants to hear when a client that it logged in becomes somebody else.
#[derive(Clone, Debug)]
pub struct AuthWatch {
    /// The module.
    pub module: Arc<Module>,
    /// The client.
    pub client: ClientKey,
    /// The function.
    pub run: UserChangedFn,
    /// The module's pointer.
    pub private: Opaque,
}

/// A function that decides logins.
#[derive(Clone, Debug)]
pub struct AuthCallback {
    /// The module.
    pub module: Arc<Module>,
    /// The number that stands for it.
    pub id: u64,
    /// The address of the function.
    pub run: usize,
}

/// A login that modules are asked about.
#[derive(Clone, Debug)]
pub struct Login {
    /// The client.
    pub client: ClientKey,
    /// The callback that was asked last.
    pub last: Option<u64>,
    /// A module logged the client in.
    pub accepted: bool,
    /// The address of a handle that the client was blocked under, and that was unblocked.
    pub answered: Option<usize>,
}

/// A descriptor that a module watches.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Called when it can be read.
    pub read: Option<WatchFn>,
    /// Called when it can be written.
    pub write: Option<WatchFn>,
    /// The module's pointer.
    pub data: Opaque,
}

/// A copy of the process that a module asked for.
#[derive(Clone, Debug)]
pub struct Child {
    /// The number of the process.
    pub pid: i32,
    /// Called when it has ended.
    pub done: Option<ForkDoneFn>,
    /// The module's pointer.
    pub data: Opaque,
}

/// A function that gets messages of other nodes.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// The module.
    pub module: Arc<Module>,
    /// The kind of message.
    pub kind: u8,
    /// The function.
    pub run: ReceiverFn,
}

/// The numbers of server events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
#[repr(u64)]
pub enum EventId {
    ReplicationRole = 0,
    Persistence = 1,
    FlushDb = 2,
    Loading = 3,
    Client = 4,
    Shutdown = 5,
    Replica = 6,
    PrimaryLink = 7,
    Cron = 8,
    Module = 9,
    LoadingProgress = 10,
    SwapDb = 11,
    ForkChild = 13,
    AsyncLoad = 14,
    EventLoop = 15,
    Config = 16,
    Key = 17,
    SlotMigration = 18,
    SlotTrim = 19,
}

/// The subject of an event.
#[derive(Clone, Debug)]
pub enum EventData<'a> {
    /// The event has no subject but itself.
    None,
    /// Two numbers: what they are depends on the event.
    Pair(i32, i32),
    /// A client.
    Client(ClientKey),
    /// A module.
    Module {
        /// Its number here.
        id: ModuleId,
        /// Its name.
        name: &'a str,
        /// Its version.
        version: i32,
    },
    /// Names of options.
    Names(Vec<&'a [u8]>),
    /// The server's part in replication, as it is now.
    Role,
    /// Slots that move to another node.
    Moving(&'a crate::cluster::migration::Task),
    /// Slots whose keys are deleted, because they left.
    Slots(&'a crate::cluster::slots::SlotSet),
}

/// Something that happened to the server.
#[derive(Clone, Debug)]
pub struct ServerEvent<'a> {
    /// Which event.
    pub id: EventId,
    /// Which of its kinds.
    pub sub: u64,
    /// Its subject.
    pub data: EventData<'a>,
}

/// A function that hears of a server event.
#[derive(Clone, Debug)]
pub struct Hook {
    /// The module.
    pub module: Arc<Module>,
    /// The number of the event.
    pub event: u64,
    /// The address of the function.
    pub run: usize,
    /// It is running.
    pub active: bool,
}

/// The value of an option of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionValue {
    /// Of yes or no, a number, words.
    Number(i64),
    /// Of a text, which may be missing.
    Text(Option<Vec<u8>>),
}

/// The kind of an option of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum OptionKind {
    Bool,
    Number {
        min: i64,
        max: i64,
    },
    Text,
    /// One of some words, or several of them, each with its value.
    Words {
        known: Vec<(String, i64)>,
    },
}

/// An option that a module registered.
#[derive(Clone, Debug)]
pub struct ModuleOption {
    /// The module.
    pub module: Arc<Module>,
    /// The name for users: the module's, a dot, its own; or its own alone.
    pub name: String,
    /// Another name for users.
    pub alias: Option<String>,
    /// The name that the module's functions get.
    pub own_name: std::ffi::CString,
    /// Its properties, as bits of the interface.
    pub flags: u32,
    /// Its kind.
    pub kind: OptionKind,
    /// Its default.
    pub default: OptionValue,
    /// The addresses of the module's functions; the kind tells their types.
    pub get: usize,
    /// See `get`.
    pub set: usize,
    /// See `get`.
    pub apply: Option<usize>,
    /// The module's pointer.
    pub private: Opaque,
}

impl ModuleOption {
    const IMMUTABLE: u32 = 1;
    const SENSITIVE: u32 = 1 << 1;
    const HIDDEN: u32 = 1 << 4;
    const PROTECTED: u32 = 1 << 5;
    const DENY_LOADING: u32 = 1 << 6;

    /// Whether a user means it by a name, in any case.
    pub fn is_named(&self, name: &[u8]) -> bool {
        let mut names = self.names();
        names.any(|known| known.as_bytes().eq_ignore_ascii_case(name))
    }

    /// Its name and its other name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name.as_str()).chain(self.alias.as_deref())
    }

    /// Whether its value is a secret.
    pub fn is_secret(&self) -> bool {
        self.flags & Self::SENSITIVE != 0
    }

    /// Whether patterns do not match it.
    pub fn is_hidden(&self) -> bool {
        self.flags & Self::HIDDEN != 0
    }

    /// Why it cannot be set now, in the words for a client; empty while the data set is being loaded.
    pub fn refuses(&self, protected: bool, loading: bool) -> Option<&'static str> {
        let has = |flag: u32| self.flags & flag != 0;
        if has(Self::IMMUTABLE) {
            Some("can't set immutable config")
        } else if has(Self::PROTECTED) && !protected {
            Some("can't set protected config")
        } else if has(Self::DENY_LOADING) && loading {
            Some("")
        } else {
            None
        }
    }
}

/// A data type of a module.
#[derive(Clone, Debug)]
pub struct TypeEntry {
    /// The module.
    pub module: ModuleId,
    /// Its name: nine characters.
    pub name: &'static str,
    /// Its number in RDB files: the name and a version.
    pub id: u64,
    /// The module's own description of the type.
    pub handle: Opaque,
}

/// A data type that an embedder added, without its Rust type.
#[derive(Clone, Copy, Debug)]
pub struct NativeType {
    /// Its name.
    pub name: &'static str,
    /// Its number in RDB files: the name and a version. `None` for a name that is none.
    pub id: Option<u64>,
    /// Makes a value of the bytes that a file has; `None` if they are damaged.
    pub load: fn(&Raw) -> Option<Foreign>,
}

/// Spreads the numbers of commands, which nobody chooses to make them collide.
#[derive(Debug, Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u16(u16::from(*byte));
        }
    }

    fn write_u16(&mut self, n: u16) {
        self.0 = (self.0 ^ u64::from(n)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// The modules of a server, and what they added.
#[derive(Debug, Default)]
pub struct Modules {
    /// Modules, in the order in which they were loaded.
    pub loaded: Vec<Loaded>,
    /// Commands by number.
    pub commands: HashMap<CommandId, ModuleCommand, BuildHasherDefault<IdHasher>>,
    /// Filters of requests, in order.
    pub filters: Vec<Filter>,
    /// Listeners of keyspace events, in order.
    pub listeners: Vec<Listener>,
    /// The classes that any listener wants; the keyspace looks at this alone.
    pub listened: u32,
    /// Timers by the time they are due (microseconds, monotonic) and their number.
    pub timers: BTreeMap<(u64, u64), Timer>,
    /// Work for the end of the unit of execution.
    pub post_jobs: VecDeque<PostJob>,
    /// Hooks for server events, in order.
    pub hooks: Vec<Hook>,
    /// The events that any hook is for, as bits.
    pub hooked: u32,
    /// Clients that modules logged in and watch.
    pub auth_watches: Vec<AuthWatch>,
    /// Functions that decide logins, in the order in which they are asked: the newest first.
    pub auth_callbacks: Vec<AuthCallback>,
    /// Logins that modules are being asked about.
    pub logins: Vec<Login>,
    /// Descriptors that modules watch.
    pub watched: BTreeMap<i32, Watched>,
    /// They are others than before the loop last slept.
    pub watched_changed: bool,
    /// The copy of the process that a module asked for.
    pub child: Option<Child>,
    /// Functions that get messages of other nodes.
    pub receivers: Vec<Receiver>,
    /// A module wants no replica to take over by itself.
    pub no_failover: bool,
    /// A module wants clients of a cluster to be served whatever their keys.
    pub no_redirection: bool,
    /// Names of latency events that modules gave.
    pub latency_names: Vec<&'static str>,
    /// Options, in order.
    pub options: Vec<ModuleOption>,
    /// Modules that asked for the values of their options.
    pub configured: Vec<ModuleId>,
    /// Modules whose options have their defaults, and may get other values yet.
    pub defaulted: Vec<ModuleId>,
    /// Modules that hold back the deletion of keys whose slots left, each as often as it asked.
    pub trim_holds: Vec<ModuleId>,
    /// Commands that modules add to the keys of slots that are about to be sent, and the slots; `None` at other times.
    pub slot_commands: Option<(crate::cluster::slots::SlotSet, Vec<OwnedArgv>)>,
    /// The secret that nodes of a cluster share, for modules, which keep a pointer to it.
    pub secret: Option<Box<[u8; 40]>>,
    /// Calls that blocked, with the client that each runs as.
    pub promises: Vec<(ClientKey, std::rc::Rc<dyn std::any::Any>)>,
    /// Data types, in order.
    pub types: Vec<TypeEntry>,
    /// Classes of key metadata; the first is number 1.
    pub key_classes: Vec<classes::KeyClass>,
    /// Data types of embedders.
    pub native_types: Vec<NativeType>,
    /// Sources of INFO sections, in order.
    pub info: Vec<InfoSource>,
    /// Pointers that modules offer to each other.
    pub shared: BTreeMap<String, SharedApi>,
    /// The modules that use pointers of others: user, owner.
    pub uses: Vec<(ModuleId, ModuleId)>,
    /// Clients without a socket that modules' calls run as, for the next call.
    pub spare_clients: Vec<ClientKey>,
    /// Values of modules' options that no module has taken yet: name, value.
    pub queued_options: Vec<(Vec<u8>, Vec<u8>)>,
    /// Clients blocked by each module, those included that are gone and whose module has yet to say so.
    pub blocked: BTreeMap<ModuleId, usize>,
    /// The client whose command let others be served: what it sent meanwhile is still to be read.
    pub yielded: Option<ClientKey>,
    /// While others are served in the middle of a module's long command: the words of their error.
    pub busy_reply: Option<String>,
    /// The door through which threads of modules reach this server.
    pub owner: Option<Arc<dyn std::any::Any + Send + Sync>>,
    /// The next number of a filter or timer.
    pub next_id: u64,
    /// The next number of a module.
    pub next_module: u32,
}

impl Modules {
    /// Whether no module is loaded.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.loaded.is_empty()
    }

    /// A client's login, while modules are asked about it.
    pub fn login(&mut self, client: ClientKey) -> Option<&mut Login> {
        self.logins.iter_mut().find(|login| login.client == client)
    }

    /// A module by its name.
    pub fn find(&self, name: &[u8]) -> Option<&Loaded> {
        let mut loaded = self.loaded.iter();
        loaded.find(|loaded| loaded.module.name.as_bytes() == name)
    }

    /// Notes which events any hook is for.
    pub fn count_hooks(&mut self) {
        self.hooked = self.hooks.iter().fold(0, |all, hook| all | 1 << hook.event);
    }

    /// Whether any hook is for an event.
    #[inline]
    pub fn hears(&self, event: EventId) -> bool {
        self.hooked & 1 << event as u64 != 0
    }

    /// Whether some module wants to see keys before they go: for an event, or because it has values of its own.
    pub fn hears_of_keys(&self) -> bool {
        self.hears(EventId::Key) || !self.types.is_empty() || !self.key_classes.is_empty()
    }

    /// Whether all modules can follow a data set that is loaded beside the old one.
    #[doc(alias = "moduleAllModulesHandleReplAsyncLoad")]
    pub fn know_async_load(&self) -> bool {
        let mut loaded = self.loaded.iter();
        loaded.all(|loaded| loaded.module.has(Module::HANDLE_ASYNC_LOAD))
    }

    /// Whether there is a type of this number in RDB files, of whatever version.
    pub fn knows_type(&self, id: u64) -> bool {
        self.native(id).is_some() || self.types.iter().any(|known| known.id >> 10 == id >> 10)
    }

    /// The embedder's type of a number in RDB files, of whatever version.
    pub fn native(&self, id: u64) -> Option<NativeType> {
        let mut types = self.native_types.iter();
        let found = types.find(|known| known.id.is_some_and(|own| own >> 10 == id >> 10));
        found.copied()
    }

    /// Whether a type of this name is there.
    pub fn has_type(&self, name: &str) -> bool {
        self.types.iter().any(|known| known.name == name)
            || self.native_types.iter().any(|known| known.name == name)
    }

    /// Adds a data type of an embedder. False if its name is taken, or cannot be one.
    pub fn add_native(&mut self, kind: NativeType) -> bool {
        let fine = kind.id.is_some() && !self.has_type(kind.name);
        if fine {
            self.native_types.push(kind);
        }
        fine
    }

    /// How many clients a module has blocked.
    pub fn blocked_by(&self, module: ModuleId) -> usize {
        self.blocked.get(&module).copied().unwrap_or(0)
    }

    /// A number for something new.
    pub fn number(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Adds a listener of keyspace events.
    pub fn listen(&mut self, listener: Listener) {
        self.listened |= listener.classes;
        self.listeners.push(listener);
    }

    /// Removes the first listener that `is_it` names; false if there is none.
    pub fn stop_listening(&mut self, is_it: impl Fn(&Listener) -> bool) -> bool {
        let at = self.listeners.iter().position(is_it);
        let removed = at.map(|at| self.listeners.remove(at));
        self.listened = self.listeners.iter().fold(0, |all, l| all | l.classes);
        removed.is_some()
    }

    /// Removes whatever belongs to a module, its commands left out.
    pub fn forget(&mut self, module: ModuleId) {
        self.filters.retain(|filter| filter.module.id != module);
        self.auth_callbacks.retain(|own| own.module.id != module);
        self.receivers.retain(|own| own.module.id != module);
        self.listeners.retain(|l| l.module.id != module);
        self.listened = self.listeners.iter().fold(0, |all, l| all | l.classes);
        self.timers.retain(|_, timer| timer.module.id != module);
        self.info.retain(|source| source.module.id != module);
        self.types.retain(|known| known.module != module);
        self.release_classes(module);
        self.hooks.retain(|hook| hook.module.id != module);
        self.count_hooks();
        self.options.retain(|option| option.module.id != module);
        self.auth_watches.retain(|watch| watch.module.id != module);
        self.configured.retain(|known| *known != module);
        self.defaulted.retain(|known| *known != module);
        self.trim_holds.retain(|known| *known != module);
        self.shared.retain(|_, shared| shared.owner != module);
        self.uses.retain(|(user, _)| *user != module);
        self.commands
            .retain(|_, command| command.module.id != module);
        self.loaded.retain(|loaded| loaded.module.id != module);
    }

    /// The modules that use pointers of this one.
    pub fn users_of(&self, owner: ModuleId) -> Vec<&str> {
        let users = self.uses.iter().filter(|(_, of)| *of == owner);
        let name = |id: ModuleId| self.loaded.iter().find(|l| l.module.id == id);
        users
            .filter_map(|(user, _)| name(*user))
            .map(|loaded| loaded.module.name.as_str())
            .collect()
    }
}
