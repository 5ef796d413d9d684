//! The state of a server without its sockets: one field per subsystem.
//!
//! `Server` (in `server/`) owns a `State` and hands it down by reference; there are no globals, so
//! several servers live in one process. The same requests, clock and seed give the same bytes.
//!
//! Mirrors: `struct redisServer` of server.h.
//! Differs: a value, not a global; it holds data alone, and functions that act on it stand in the `act` half of each
//! subsystem.

use std::rc::Rc;

use crate::acl::Acl;
use crate::background::{Closer, Helpers, Keeper, LazyFree, Searchers};
use crate::clients::tracking::Tracking;
use crate::clients::transaction::Watches;
use crate::clients::usage;
use crate::clients::{Blocked, ClientKey, Clients, Pauses};
use crate::cluster::Cluster;
use crate::cluster::id::NodeId;
use crate::command::Command;
use crate::command::Effects;
use crate::command::table::CommandTable;
use crate::config::Config;
use crate::keyspace::eviction::Eviction;
use crate::keyspace::{DbId, ExpireCycle, Keyspace, Ms};
use crate::modules::{EventData, EventId, Modules, ServerEvent};
use crate::observe::hotkeys::Session;
use crate::observe::title::ProcessTitle;
use crate::observe::{Latency, Slowlog, Stats};
use crate::persistence::Persistence;
use crate::pubsub::PubSub;
use crate::replication::Replication;
use crate::resp::Reply;
use crate::resp::argv::{Argv, OwnedArgv};
use crate::scripting::{Apart, Scripts};
use crate::sentinel::Watch;
use crate::shutdown::Shutdown;
use crate::sys::clock::Clock;
use crate::sys::entropy::Entropy;
use crate::sys::files::Disk;
use crate::sys::limits::OomScore;
use crate::sys::log::{Logger, Target};
use crate::sys::peer::Peers;
use crate::types::Foreign;
use crate::types::meta::{Meta, RawMeta};
use crate::util::rng::Rng;
use crate::wires::Wires;

/// How other threads reach the thread that owns a state.
pub type Mailbox = crate::background::Mailbox<State>;

/// Work that another thread leaves for the owner of a state.
pub type Letter = crate::background::Letter<State>;

/// A request to the loop that owns the sockets, taken up before it sleeps.
#[derive(Debug)]
pub enum ServerRequest {
    /// End the loop; the exit code.
    Exit(i32),
}

/// Work on sockets that a command needs at once. Only the owner of the sockets can do it.
pub trait Host: std::fmt::Debug {
    /// Listens where the configuration says and returns the TCP port. The error is the line for the log;
    /// there may then be no TCP socket left until the next call.
    fn listen(&mut self, config: &Config) -> Result<u16, String>;

    /// Takes up what the configuration says about TLS, for connections to come. The error is the line for the log.
    fn follow_tls(&mut self, config: &Config) -> Result<(), String> {
        let _ = config;
        Ok(())
    }

    /// Serves clients while a command runs for long: a script beyond its time.
    fn serve(&mut self, state: &mut State) {
        let _ = state;
    }

    /// Has the system collect small packets to a client before it sends them (`repl-disable-tcp-nodelay`).
    fn collect_packets(&mut self, client: ClientKey) {
        let _ = client;
    }

    /// Shuts a client's connection down, so that its peer learns of it before anybody else is answered. The client itself
    /// is closed at the end of the turn.
    fn hang_up(&mut self, client: ClientKey) {
        let _ = client;
    }

    /// Sends bytes to a client ahead of its queued output, and blocks until they are sent; false when that fails. For
    /// the script debugger, which blocks the server.
    fn send_now(&mut self, client: ClientKey, bytes: &[u8]) -> bool {
        let _ = (client, bytes);
        false
    }

    /// Hands a client's socket, and what is needed to debug its script on a copy of the data set, to a thread of its
    /// own. From here on only that thread sends to the client.
    ///
    /// # Errors
    /// Why that cannot be, in words for the client.
    fn debug_apart(&mut self, client: ClientKey, session: Apart) -> Result<(), String> {
        let _ = (client, session);
        Err("there is no connection to debug over".into())
    }

    /// Blocks until a client sends bytes, and takes them; 0 when none will come.
    fn wait_for(&mut self, client: ClientKey, buf: &mut [u8]) -> usize {
        let _ = (client, buf);
        0
    }
}

/// A module to be loaded.
#[derive(Clone, Debug, Default)]
pub struct LoadRequest {
    /// Its file.
    pub path: Vec<u8>,
    /// Its arguments.
    pub args: Vec<Vec<u8>>,
    /// Values for its options (MODULE LOADEX); otherwise what the configuration file says.
    pub options: Option<Vec<(Vec<u8>, Vec<u8>)>>,
}

/// Writes the reply of a command that a module called.
pub type Answering<'a> = &'a mut dyn FnMut(&mut State, &mut Reply);
/// The name and the value of an option.
pub type NamedValue = (Vec<u8>, Vec<u8>);
/// The name of an option and the value to set.
pub type Given<'a> = (&'a [u8], &'a [u8]);
/// The option that was refused, and why.
pub type Refusal = (Vec<u8>, String);
/// A line for the configuration file: whether the option is at its default, its name, its value.
pub type OptionLine = (bool, Vec<u8>, Vec<u8>);
/// The metadata that classes made for a key of its form in a file. The inner `None`: there is none. The outer: a class
/// cannot read its part.
pub type MadeMeta = Option<Option<Meta>>;
/// Data that a foreign type saves beside keys: the type's number, the data.
pub type Aux = (u64, Vec<u8>);

/// The functions of `modules/act`, for rooms below it. Without them (tests of commands) no module can be loaded.
#[derive(Clone, Copy, Debug)]
pub struct ModuleDoors {
    /// Loads a module; whether that succeeded. The log says why not.
    pub load: fn(&mut State, &LoadRequest) -> bool,
    /// Unloads a module; the error is the sentence for the client.
    pub unload: fn(&mut State, &[u8]) -> Result<(), String>,
    /// Tells listeners of a keyspace event: class, name, database, key.
    pub notify: fn(&mut State, u32, &[u8], DbId, &[u8]),
    /// Shows a request to filters; the changed request, if one changed it.
    pub filter: fn(&mut State, Option<ClientKey>, Argv<'_>) -> Option<OwnedArgv>,
    /// The sections of INFO that modules write.
    pub info: fn(&mut State, &InfoAsked<'_>) -> String,
    /// Offers a key that became ready to a client that a module blocked on it.
    pub serve: fn(&mut State, ClientKey, &[u8]),
    /// Has a module reply to a client whose time is over: the handle's number, the blocked command's words. Nanoseconds
    /// that the module spent in the background.
    pub timed_out: fn(&mut State, u64, &OwnedArgv, &mut Reply) -> u64,
    /// Tells a module that a client it blocked is gone.
    pub gone: fn(&mut State, u64),
    /// Whether a wait may end before its time.
    pub may_time_out: fn(u64) -> bool,
    /// Whether the module of this handle has unblocked its client, which is about to be answered.
    pub is_unblocked: fn(u64) -> bool,
    /// Tells modules of a server event.
    pub event: fn(&mut State, &ServerEvent<'_>),
    /// Tells modules of a key whose value is about to go: kind, database, key.
    pub key_event: fn(&mut State, u64, DbId, &[u8]),
    /// Serves the command of a module's call that blocked: the client that it runs as, and what writes the reply.
    pub serve_call: fn(&mut State, ClientKey, Answering<'_>),
    /// Tells a module that a client it logged in acts as another user, or is gone.
    pub user_changed: fn(&mut State, Option<ClientKey>),
    /// Asks modules about a login: the client, its request, the user's name, the password.
    pub log_in: fn(&mut State, ClientKey, Argv<'_>, &[u8], &[u8]) -> ModuleLogin,
    /// Gives a message of another node to a module: sender, the module's number, kind, payload.
    pub cluster_message: fn(&mut State, &NodeId, [u8; 8], u8, &[u8]),
    /// The options of modules that patterns name, with their values.
    pub get_options: fn(&mut State, &[&[u8]]) -> Vec<NamedValue>,
    /// Sets options of modules; on a failure the option at fault, and why.
    pub set_options: fn(&mut State, &[Given<'_>]) -> Result<(), Refusal>,
    /// The lines of options for the configuration file: at its default?, name, value.
    pub option_lines: fn(&mut State) -> Vec<OptionLine>,
    /// Makes a value of a foreign type of its bytes.
    pub realise: fn(&mut State, &Foreign, DbId, &[u8]) -> Option<Foreign>,
    /// Has classes make metadata of what a file has for a key.
    pub realise_meta: fn(&mut State, &[RawMeta], DbId, &[u8]) -> MadeMeta,
    /// Hands a foreign type the data that it saved beside keys: number, when, bytes.
    pub load_aux: fn(&mut State, u64, i32, Vec<u8>) -> bool,
    /// The data that foreign types save beside keys: before them (1), behind them (2).
    pub save_aux: fn(&mut State, i32) -> Vec<Aux>,
    /// Runs what callbacks left for the end of a unit of execution.
    pub post_jobs: fn(&mut State),
}

/// The decision of modules about a login.
#[derive(Debug)]
pub enum ModuleLogin {
    /// No module decides about the login, so the password does.
    NotHandled,
    /// A module logged the client in.
    Accepted,
    /// A module refused; its error, if it has one.
    Denied(Option<crate::resp::Error>),
    /// A module blocked the client; the command runs again when that is over.
    Blocked,
}

/// The part of INFO that is asked of modules.
#[derive(Clone, Copy, Debug)]
pub struct InfoAsked<'a> {
    /// Names of sections; none, and all are asked for.
    pub names: Option<&'a [&'a [u8]]>,
    /// For a crash report.
    pub crash: bool,
}

/// The switches of DEBUG, for tests.
#[derive(Clone, Copy, Debug)]
pub struct DebugSwitches {
    /// The cron does nothing.
    pub pause_cron: bool,
    /// Reply buffers are fitted to what clients need.
    pub reply_buffer_resizing: bool,
    /// Milliseconds after which a reply buffer's peak is forgotten; `None`: never.
    pub reply_buffer_peak_reset: Option<Ms>,
    /// Scripts may call commands that are otherwise denied to them.
    pub disable_deny_scripts: bool,
    /// Modules may make classes of key metadata at any time, not only while they are loaded.
    pub key_classes_anytime: bool,
    /// Where the process stops during a full synchronisation.
    pub replication_pauses: ReplicationPauses,
}

/// Moments of a full synchronisation at which DEBUG REPL-PAUSE stops the process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReplicationPauses {
    /// On a primary: a save for replicas has begun.
    pub after_fork: bool,
    /// On a replica: the second connection is about to ask for the data set.
    pub before_rdb_channel: bool,
    /// On a replica: a piece of the stream that came meanwhile has been run.
    pub on_streaming_buffer: bool,
}

/// Milliseconds after which a reply buffer's peak is forgotten.
#[doc(alias = "REPLY_BUFFER_DEFAULT_PEAK_RESET_TIME")]
pub const REPLY_BUFFER_PEAK_RESET: Ms = 5000;

impl Default for DebugSwitches {
    fn default() -> Self {
        DebugSwitches {
            pause_cron: false,
            reply_buffer_resizing: true,
            reply_buffer_peak_reset: Some(REPLY_BUFFER_PEAK_RESET),
            disable_deny_scripts: false,
            key_classes_anytime: false,
            replication_pauses: ReplicationPauses::default(),
        }
    }
}

/// Everything but sockets.
#[derive(Debug)]
pub struct State {
    /// The configuration.
    pub config: Config,
    /// Databases.
    pub keyspace: Keyspace,
    /// Clients.
    pub clients: Clients,
    /// Keys that transactions watch.
    pub watches: Watches,
    /// Modules: what foreign code added.
    pub modules: Modules,
    /// The functions that act on modules.
    pub module_doors: Option<ModuleDoors>,
    /// Scripts and functions.
    pub scripts: Scripts,
    /// Which clients may hold copies of which keys.
    pub tracking: Tracking,
    /// Users and their rights.
    pub acl: Acl,
    /// The part of this node in its cluster.
    pub cluster: Cluster,
    /// Channels and their subscribers.
    pub pubsub: PubSub,
    /// Blocked clients.
    pub blocked: Blocked,
    /// The client whose request is being served, while one is.
    pub current_client: Option<ClientKey>,
    /// Commands and their counters.
    pub commands: CommandTable,
    /// While a batch of requests runs: when the last command ended, on the monotonic clock.
    pub lap_ns: Option<u64>,
    /// Counters.
    pub stats: Stats,
    /// Commands that took long.
    pub slowlog: Slowlog,
    /// HOTKEYS: the session under way, or the last one.
    pub hotkeys: Option<Box<Session>>,
    /// Delays.
    pub latency: Latency,
    /// Turns of the cron per second, as it is now.
    pub hz: u32,
    /// Bytes in use when the state was new.
    pub initial_memory: usize,
    /// Bytes of the process in physical memory, as the cron last saw them.
    pub resident_bytes: usize,
    /// The meter that tells them.
    pub resident_meter: crate::sys::process::ResidentMeter,
    /// DEBUG's switches.
    pub debug: DebugSwitches,
    /// Time.
    pub clock: Clock,
    /// Files.
    pub disk: Disk,
    /// The helper threads: files, freeing, other slow work.
    pub helpers: Helpers,
    /// Chance, as clients see it.
    pub rng: Rng,
    /// The source of seeds and names.
    pub entropy: Entropy,
    /// The stream of effects.
    pub effects: Effects,
    /// Replicas, and the stream as they read it.
    pub replication: Replication,
    /// The end of the server, once it is asked for.
    pub shutdown: Shutdown,
    /// Changes since the last save; grows with every effective write.
    pub dirty: u64,
    /// Pauses in force, and the clients whose requests they hold back.
    pub pauses: Pauses,
    /// Clients that see every command.
    pub monitors: Vec<ClientKey>,
    /// Requests to the loop, taken up before it sleeps.
    pub requests: Vec<ServerRequest>,
    /// The title of the process in `ps`, if the server owns the process.
    pub title: Option<ProcessTitle>,
    /// The owner of the sockets; none where there are no sockets.
    pub host: Option<Box<dyn Host>>,
    /// The log.
    pub log: Logger,
    /// The OOM score of the process: how likely the kernel kills it when memory runs out.
    pub oom_score: OomScore,
    /// Files: what is saved, loaded, appended.
    pub persistence: Persistence,
    /// Where other threads leave work for this one.
    pub mailbox: Mailbox,
    /// 40 hex digits, new at every start.
    pub run_id: String,
    /// Started, unix time in milliseconds.
    pub started_ms: i64,
    /// When the log last told of a client that speaks HTTP, unix time.
    pub attack_logged_ms: Option<Ms>,
    /// The port really listened on (the configured one may be 0 when embedded).
    pub tcp_port: u16,
    /// Whether background expiry runs (DEBUG SET-ACTIVE-EXPIRE).
    pub active_expire: bool,
    /// The active expiry, between its turns.
    pub expire_cycle: ExpireCycle,
    /// Keys that die of memory.
    pub eviction: Eviction,
    /// Garbage on its way to the thread that frees it.
    pub lazyfree: LazyFree,
    /// Files on their way to the thread that closes them.
    pub closer: Closer,
    /// Small files on their way to the thread that writes them.
    pub keeper: Keeper,
    /// Long searches on their way to the threads that search.
    pub searchers: Searchers,
    /// Servers that keys went to.
    pub peers: Peers,
    /// Connections to other servers that the loop carries.
    pub wires: Wires,
    /// The sentinel, where this process is one.
    pub sentinel: Option<Box<Watch>>,
    /// Keys the hash of all sets.
    pub member_seed: u64,
    /// List elements of so many bytes are kept apart (DEBUG QUICKLIST-PACKED-THRESHOLD); 0: as configured.
    pub list_plain_from: usize,
}

impl State {
    /// A state with empty databases that knows the commands of these groups.
    pub fn new(
        config: Config,
        clock: Clock,
        entropy: impl Into<Entropy>,
        mailbox: Mailbox,
        groups: &[&[&'static Command]],
    ) -> Self {
        let mut entropy = entropy.into();
        let config_hz = config.hz;
        let databases = config.databases as usize;
        let (seed, dice) = (entropy.seed(), entropy.seed());
        let keyspace = Keyspace::new(databases, config.cluster_enabled, seed, dice);
        let watches = Watches::new(entropy.seed());
        let scripts = Scripts::new(entropy.seed(), config.lua_enable_deprecated_api);
        let tracking = Tracking::new(entropy.seed());
        let pubsub = PubSub::new(entropy.seed());
        let blocked = Blocked::new(entropy.seed());
        let member_seed = entropy.seed();
        let run_id = entropy.name_text();
        let replication = Replication::new(&mut entropy);
        let rng = entropy.dice();
        let started_ms = clock.unix_ms();
        let mut state = State {
            config,
            keyspace,
            clients: Clients::new(),
            watches,
            modules: Modules::default(),
            module_doors: None,
            scripts,
            tracking,
            acl: Acl::default(),
            cluster: Cluster::default(),
            pubsub,
            blocked,
            current_client: None,
            commands: crate::command::table::CommandTable::new(groups),
            lap_ns: None,
            stats: Stats::default(),
            slowlog: Slowlog::default(),
            hotkeys: None,
            latency: Latency::default(),
            hz: config_hz,
            initial_memory: crate::sys::alloc::used(),
            resident_bytes: 0,
            resident_meter: Default::default(),
            debug: DebugSwitches::default(),
            clock,
            disk: Disk::machine(),
            helpers: Helpers::threads(),
            rng,
            entropy,
            effects: crate::command::Effects::default(),
            replication,
            shutdown: crate::shutdown::Shutdown::default(),
            dirty: 0,
            pauses: Pauses::default(),
            monitors: Vec::new(),
            requests: Vec::new(),
            title: None,
            host: None,
            log: Logger::new(Target::Nowhere),
            oom_score: OomScore::default(),
            persistence: Persistence::new(started_ms / 1000),
            mailbox,
            run_id,
            started_ms,
            attack_logged_ms: None,
            tcp_port: 0,
            active_expire: true,
            expire_cycle: ExpireCycle::default(),
            eviction: crate::keyspace::eviction::Eviction::default(),
            lazyfree: LazyFree::default(),
            closer: Closer::new(Disk::machine(), Helpers::threads()),
            keeper: Keeper::new(Helpers::threads()),
            searchers: Searchers::default(),
            peers: Peers::default(),
            wires: Wires::default(),
            sentinel: None,
            member_seed,
            list_plain_from: 0,
        };
        state.keyspace.env().tune(&state.config);
        let user = state
            .acl
            .default_user_with(state.config.requirepass.as_deref());
        state.acl.put(Rc::new(user));
        let limited = usage::eviction_limit(&state.config).is_some();
        state.clients.weigh(limited);
        state
    }

    /// Reads the clock; the keyspace judges deadlines by this moment until the next call.
    pub fn refresh_clock(&mut self) {
        self.clock.refresh();
        self.keyspace.env().set_now(self.clock.unix_ms());
    }
}

impl State {
    /// Tells modules of a server event, if any of them wants to hear of it.
    #[doc(alias = "moduleFireServerEvent")]
    #[inline]
    pub fn tell_modules(&mut self, id: EventId, sub: u64, data: EventData<'_>) {
        if self.modules.hears(id)
            && let Some(doors) = self.module_doors
        {
            (doors.event)(self, &ServerEvent { id, sub, data });
        }
    }

    /// Serves other clients in the middle of a command that takes long. False: the server is to end.
    #[doc(alias = "processEventsWhileBlocked")]
    pub fn serve_meanwhile(&mut self) -> bool {
        let caller = self.current_client;
        if let Some(mut host) = self.host.take() {
            host.serve(self);
            self.host = Some(host);
        }
        self.current_client = caller;
        let leaves = |request: &ServerRequest| matches!(request, ServerRequest::Exit(_));
        !self.requests.iter().any(leaves)
    }
}
