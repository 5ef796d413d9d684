//! Everything a server is, but its sockets: one field per subsystem.
//!
//! `Server` (in `server/`) owns a `State` and hands it down by reference; there are no globals, so
//! several servers live in one process. The same requests, clock and seed give the same bytes.
//!
//! Mirrors: `struct redisServer` of server.h.

mod acl;
mod evict;
mod expire;
mod fields;
mod keys;
pub mod shutdown;
mod title;

pub use acl::denied_words;

use self::shutdown::Shutdown;
use crate::acl::Acl;
use crate::background::{Closer, Helpers, LazyFree, Mailbox, Searchers, Syncer};
use crate::clients::tracking::Tracking;
use crate::clients::transaction::Watches;
use crate::clients::{Blocked, ClientFlags, ClientKey, Clients, PauseMode, PausePurpose, Pauses};
use crate::cluster::Cluster;
use crate::command::table::CommandTable;
use crate::command::{Effects, Said};
use crate::config::Config;
use crate::keyspace::events::{Class, Event};
use crate::keyspace::{DbId, ExpireCycle, Keyspace, Ms, Pace};
use crate::observe::hotkeys::Session;
use crate::observe::{Latency, Slowlog, Stats};
use crate::persistence::Persistence;
use crate::pubsub::{Kind, PubSub};
use crate::replication::Replication;
use crate::replication::failover::Stage;
use crate::scripting::{Apart, Scripts};
use crate::sys::clock::Clock;
use crate::sys::crash;
use crate::sys::entropy::Entropy;
use crate::sys::files::Disk;
use crate::sys::limits::OomScore;
use crate::sys::log::{Logger, Target};
use crate::sys::peer::Peers;
use crate::util::rng::Rng;
use crate::wires::Wires;

pub use self::evict::{Eviction, Memory};
pub use self::title::ProcessTitle;

/// What the state asks of the loop that owns the sockets.
#[derive(Debug)]
pub enum ServerRequest {
    /// End the loop; the exit code.
    Exit(i32),
}

/// What only the owner of the sockets can do, at once, for a command.
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

    /// Sends bytes to a client ahead of whatever is queued for it, and waits until they are sent; false when
    /// that fails. For the script debugger, which keeps everybody waiting.
    fn send_now(&mut self, client: ClientKey, bytes: &[u8]) -> bool {
        let _ = (client, bytes);
        false
    }

    /// Hands a client's socket, and what is needed to debug its script on a copy of the data set, to a thread of its own.
    /// Nothing is sent to the client from here any more.
    ///
    /// # Errors
    /// Why that cannot be, in words for the client.
    fn debug_apart(&mut self, client: ClientKey, session: Apart) -> Result<(), String> {
        let _ = (client, session);
        Err("there is no connection to debug over".into())
    }

    /// Waits until a client sends bytes, and takes them; 0 when none will come.
    fn wait_for(&mut self, client: ClientKey, buf: &mut [u8]) -> usize {
        let _ = (client, buf);
        0
    }
}

/// What DEBUG switches, for tests.
#[derive(Clone, Copy, Debug)]
pub struct DebugSwitches {
    /// The cron does nothing.
    pub pause_cron: bool,
    /// Reply buffers are fitted to what clients need.
    pub reply_buffer_resizing: bool,
    /// Milliseconds after which a reply buffer's peak is forgotten; `None`: never.
    pub reply_buffer_peak_reset: Option<Ms>,
    /// Scripts may call what they otherwise may not.
    pub disable_deny_scripts: bool,
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
        }
    }
}

/// Whether something done every so many milliseconds is due in this turn of the cron.
#[doc(alias = "run_with_period")]
fn every(ms: u64, runs: u64, hz: u32) -> bool {
    let turn_ms = u64::from(1000 / hz.max(1));
    ms <= turn_ms || runs.is_multiple_of(ms / turn_ms.max(1))
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
    /// Scripts and functions.
    pub scripts: Scripts,
    /// Which clients may hold copies of which keys.
    pub tracking: Tracking,
    /// Users and their rights.
    pub acl: Acl,
    /// What this node is in its cluster.
    pub cluster: Cluster,
    /// Channels and who listens to them.
    pub pubsub: PubSub,
    /// Clients that wait for something.
    pub blocked: Blocked,
    /// Whose request is being served, while one is.
    pub current_client: Option<ClientKey>,
    /// Commands and their counters.
    pub commands: CommandTable,
    /// While a batch of requests runs: when the last command ended, on the monotonic clock.
    pub lap_ns: Option<u64>,
    /// Counters.
    pub stats: Stats,
    /// Commands that took long.
    pub slowlog: Slowlog,
    /// The search for hot keys, while there is one, and what the last one found.
    pub hotkeys: Option<Box<Session>>,
    /// Delays.
    pub latency: Latency,
    /// Turns of the cron per second, as it is now.
    pub hz: u32,
    /// Bytes in use when the state was new.
    pub initial_memory: usize,
    /// Bytes of the process in physical memory, as the cron last saw them.
    pub resident_bytes: usize,
    /// DEBUG's switches.
    pub debug: DebugSwitches,
    /// Time.
    pub clock: Clock,
    /// Files.
    pub disk: Disk,
    /// Who does what is left to helper threads.
    pub helpers: Helpers,
    /// Chance, as clients see it.
    pub rng: Rng,
    /// Where seeds and names come from.
    pub entropy: Entropy,
    /// The stream of effects.
    pub effects: Effects,
    /// Replicas, and the stream as they read it.
    pub replication: Replication,
    /// The end of the server, once it is asked for.
    pub shutdown: Shutdown,
    /// Changes since the last save; grows with every effective write.
    pub dirty: u64,
    /// Which clients are held back.
    pub pauses: Pauses,
    /// Clients that see every command.
    pub monitors: Vec<ClientKey>,
    /// What the loop should do before it sleeps.
    pub requests: Vec<ServerRequest>,
    /// What `ps` shows, where the server is the process.
    pub title: Option<ProcessTitle>,
    /// The owner of the sockets; none where there are no sockets.
    pub host: Option<Box<dyn Host>>,
    /// The log.
    pub log: Logger,
    /// What the system counts against the process when memory runs out.
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
    /// Long searches on their way to the threads that search.
    pub searchers: Searchers,
    /// Servers that keys went to.
    pub peers: Peers,
    /// Connections to other servers that the loop carries.
    pub wires: Wires,
    /// Keys the hash of all sets.
    pub member_seed: u64,
    /// List elements of so many bytes are kept apart (DEBUG QUICKLIST-PACKED-THRESHOLD); 0: as configured.
    pub list_plain_from: usize,
}

impl State {
    /// A state with empty databases.
    pub fn new(
        config: Config,
        clock: Clock,
        entropy: impl Into<Entropy>,
        mailbox: Mailbox,
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
        let cluster = Cluster::new(&mut entropy);
        let rng = entropy.dice();
        let started_ms = clock.unix_ms();
        let mut state = State {
            config,
            keyspace,
            clients: Clients::new(),
            watches,
            scripts,
            tracking,
            acl: Acl::default(),
            cluster,
            pubsub,
            blocked,
            current_client: None,
            commands: crate::command::table::CommandTable::new(crate::commands::GROUPS),
            lap_ns: None,
            stats: Stats::default(),
            slowlog: Slowlog::default(),
            hotkeys: None,
            latency: Latency::default(),
            hz: config_hz,
            initial_memory: crate::sys::alloc::used(),
            resident_bytes: 0,
            debug: DebugSwitches::default(),
            clock,
            disk: Disk::machine(),
            helpers: Helpers::threads(),
            rng,
            entropy,
            effects: crate::command::Effects::default(),
            replication,
            shutdown: Shutdown::default(),
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
            eviction: Eviction::default(),
            lazyfree: LazyFree::default(),
            closer: Closer::new(Disk::machine(), Helpers::threads()),
            searchers: Searchers::default(),
            peers: Peers::default(),
            wires: Wires::default(),
            member_seed,
            list_plain_from: 0,
        };
        state.tune_access_clock();
        state.follow_requirepass();
        state.maxmemory_clients_changed();
        state
    }

    /// Puts another disk in, and lets others do what helper threads do: before anything was opened.
    pub fn use_disk(&mut self, disk: Disk, helpers: Helpers) {
        self.closer = Closer::new(disk.clone(), helpers.clone());
        self.persistence
            .aof
            .use_syncer(Syncer::new(helpers.clone()));
        self.disk = disk;
        self.helpers = helpers;
    }

    /// Reads the clock; the keyspace judges deadlines by this moment until the next call.
    pub fn refresh_clock(&mut self) {
        self.clock.refresh();
        self.keyspace.env().set_now(self.clock.unix_ms());
    }

    /// A key was changed: whoever watches, tracks, waits for or listens to it learns of it.
    #[inline]
    pub fn modified(&mut self, db: DbId, key: &[u8], event: Event) {
        self.reap_expired();
        self.touched(db, key);
        self.notify(event, db, key);
    }

    /// A key changed for those who watch or cache it; no event.
    #[inline]
    pub fn touched(&mut self, db: DbId, key: &[u8]) {
        if !self.watches.is_empty() {
            self.watches
                .touch(&mut self.clients, &self.keyspace, db, key);
        }
        if !self.tracking.is_idle() {
            let changer = self.current_client;
            self.tracking.invalidate(&mut self.clients, changer, key);
        }
        self.blocked.touch(db, key);
    }

    /// A database is about to be emptied, or all of them: those who watch or cache its keys learn of it.
    #[doc(alias = "signalFlushedDb")]
    pub fn flushing(&mut self, which: Option<DbId>) {
        let all = 0..self.config.databases;
        for db in which.map_or(all, |db| db.0..db.0 + 1) {
            self.watches
                .touch_db(&mut self.clients, &self.keyspace, DbId(db), None);
            self.blocked.touch_db(DbId(db));
        }
        self.tracking.invalidate_all(&mut self.clients);
    }

    /// Two databases are about to exchange their content.
    pub fn swapping(&mut self, a: DbId, b: DbId) {
        let (clients, keyspace) = (&mut self.clients, &self.keyspace);
        self.watches.touch_db(clients, keyspace, a, Some(b));
        self.watches.touch_db(clients, keyspace, b, Some(a));
        self.blocked.touch_db(a);
        self.blocked.touch_db(b);
    }

    /// Publishes a keyspace event if its class is asked for.
    #[inline]
    pub fn notify(&mut self, event: Event, db: DbId, key: &[u8]) {
        let wanted = self.config.notify_keyspace_events.bits();
        if wanted & event.class as u32 != 0
            && wanted & (Class::Keyspace as u32 | Class::Keyevent as u32) != 0
        {
            self.publish_event(event, db, key);
        }
    }

    #[cold]
    fn publish_event(&mut self, event: Event, db: DbId, key: &[u8]) {
        if self.pubsub.is_empty() {
            return;
        }
        let wanted = self.config.notify_keyspace_events.bits();
        let (pubsub, clients) = (&mut self.pubsub, &mut self.clients);
        let mut channel = Vec::with_capacity(32 + key.len());
        if wanted & Class::Keyspace as u32 != 0 {
            channel.extend_from_slice(format!("__keyspace@{}__:", db.0).as_bytes());
            channel.extend_from_slice(key);
            pubsub.publish(clients, Kind::Channel, &channel, event.name.as_bytes());
        }
        if wanted & Class::Keyevent as u32 != 0 {
            channel.clear();
            channel.extend_from_slice(format!("__keyevent@{}__:", db.0).as_bytes());
            channel.extend_from_slice(event.name.as_bytes());
            pubsub.publish(clients, Kind::Channel, &channel, key);
        }
    }

    /// A unit of execution (a command, a transaction, a script) is complete: its effects go to
    /// their readers.
    #[inline]
    pub fn after_unit(&mut self) {
        if !self.effects.is_empty() {
            let unit = self.effects.take_unit();
            self.feed_unit(&unit);
        }
    }

    /// The one place where effects reach their readers. A unit of several is already wrapped in
    /// MULTI and EXEC.
    #[doc(alias = "propagateNow")]
    fn feed_unit(&mut self, unit: &[Said]) {
        self.feed_aof(unit);
        self.feed_replicas(unit);
        if let Some(client) = self
            .current_client
            .and_then(|key| self.clients.get_mut(key))
        {
            client.written = self.replication.offset;
        }
    }
}

impl State {
    /// What must be done between the commands of one turn of the loop and its sleep, in Redis's order.
    pub fn before_sleep(&mut self) {
        self.end_overdue_waits();
        if self.pauses.mode() != PauseMode::None {
            self.update_pauses();
        }
        self.reap_expired();
        if !self.is_loading() {
            self.expire_some(Pace::Fast);
        }
        self.stats.lazyfreed_objects += self.lazyfree.take_freed();
        if !self.tracking.is_idle() {
            self.tracking.broadcast(&mut self.clients);
        }
        self.update_failover();
        self.serve_replicas();
        self.report_dropped_errors();
        self.close_over_limit();
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

    /// Periodic work; `runs` counts the calls, `hz` is how often they come.
    pub fn cron(&mut self, runs: u64, hz: u32) {
        self.hz = hz;
        if self.config.watchdog_period > 0 {
            self.wind_watchdog();
        }
        self.clients_cron(hz);
        if every(100, runs, hz) {
            self.sample_metrics();
            self.resident_bytes = crate::sys::process::resident_bytes();
        }
        let used = crate::sys::alloc::used();
        if used > self.stats.peak_memory {
            self.stats.peak_memory = used;
            self.stats.peak_memory_s = self.clock.unix_seconds();
        }
        self.shutdown_cron();
        if self.is_loading() {
            if every(1000, runs, hz) {
                self.care_for_link_while_loading();
            }
            return;
        }
        self.expire_due_fields(hz);
        self.expire_some(Pace::Slow { hz });
        self.expire_own_keys();
        if every(1000, runs, hz) {
            self.peers.close_idle();
        }
        let urgent = self.replication.failover.stage != Stage::No;
        if every(if urgent { 100 } else { 1000 }, runs, hz) {
            self.replication_cron();
        }
        // Before each command as well; here for a bound that CONFIG SET lowered while nobody asks anything.
        self.limit_tracking();
        self.persistence_cron();
        self.free_scripts();
    }

    /// Keeps the table of who caches what within its bound.
    #[doc(alias = "trackingLimitUsedSlots")]
    pub fn limit_tracking(&mut self) {
        if self.tracking.clients() > 0 {
            let max_keys = self.config.tracking_table_max_keys;
            self.tracking
                .limit(&mut self.clients, max_keys, &mut self.rng);
        }
    }

    /// The watchdog barks unless it is wound again in time. A period shorter than two turns of the cron would have
    /// it bark at an idle server.
    #[doc(alias = "applyWatchdogPeriod")]
    pub fn wind_watchdog(&self) {
        let shortest = 2 * 1000 / self.config.hz.max(1);
        crash::wind_watchdog(match self.config.watchdog_period {
            0 => 0,
            period => period.max(shortest),
        });
    }

    /// Ends a client's transaction: its queue, its watches and its flags.
    #[doc(alias = "discardTransaction")]
    pub fn end_transaction(&mut self, key: ClientKey) {
        self.watches.unwatch_all(&mut self.clients, key);
        if let Some(client) = self.clients.get_mut(key) {
            client.transaction = None;
            let flags = ClientFlags::MULTI | ClientFlags::DIRTY_CAS | ClientFlags::DIRTY_EXEC;
            client.flags.clear(flags);
        }
    }

    /// Starts the helper threads that otherwise start when there is something to do: a process that is a server shows
    /// them in every stack trace, and no command is the one that waits for a thread to be made.
    #[doc(alias = "bioInit")]
    pub fn start_helpers(&mut self) {
        self.closer.start();
        self.persistence.aof.start_syncer();
        self.lazyfree.start();
    }

    /// Undoes all a client left behind, and the client itself.
    pub fn forget_client(&mut self, key: ClientKey) {
        self.forget_replica(key);
        self.primary_lost(key);
        self.monitors.retain(|k| *k != key);
        self.pubsub.forget(&mut self.clients, key);
        self.tracking.disable(&mut self.clients, key);
        self.watches.unwatch_all(&mut self.clients, key);
        self.pauses.forget(key);
        self.blocked.unblock(&mut self.clients, key);
        self.scripts.debugger.disarm(key);
        self.clients.remove(key);
    }
}

impl State {
    /// What the server is: `standalone`, `cluster` or `sentinel`.
    pub fn mode(&self) -> &'static str {
        if self.config.cluster_enabled {
            "cluster"
        } else if self.config.sentinel {
            "sentinel"
        } else {
            "standalone"
        }
    }

    /// Holds clients back until a moment, or lets them go ([`PauseMode::None`]).
    #[doc(alias = "pauseActions")]
    pub fn pause_clients(&mut self, purpose: PausePurpose, mode: PauseMode, end: Ms) {
        self.pauses.set(purpose, mode, end);
        self.update_pauses();
    }

    #[doc(alias = "updatePausedActions")]
    fn update_pauses(&mut self) {
        let released = self.pauses.update(self.clock.unix_ms());
        self.hide_or_expire();
        for key in released {
            if let Some(client) = self.clients.get_mut(key) {
                client.flags.clear(ClientFlags::PAUSED);
                self.clients.resume(key);
            }
        }
    }

    /// While writes are held back, keys that are over are hidden but stay: their deletion is a write. So they are on a
    /// replica, whose primary deletes them.
    pub(crate) fn hide_or_expire(&self) {
        let paused = self.pauses.mode() != PauseMode::None;
        self.keyspace
            .env()
            .set_hide_only(paused || self.is_replica());
    }

    /// When the loop must wake up even if nothing happens, besides the cron: right after this moment.
    pub fn next_deadline(&self) -> Option<Ms> {
        let (wait, pause) = (self.blocked.next_deadline(), self.pauses.next_end());
        wait.into_iter().chain(pause).min()
    }

    /// RESET: the connection is as new, but for its library's name.
    #[doc(alias = "clearClientConnectionState")]
    pub fn reset_client(&mut self, key: ClientKey) {
        self.monitors.retain(|monitor| *monitor != key);
        self.end_transaction(key);
        self.pubsub.forget(&mut self.clients, key);
        self.tracking.disable(&mut self.clients, key);
        self.act_as_default(key);
        let client = &mut self.clients[key];
        client.flags.clear(
            ClientFlags::MONITOR
                | ClientFlags::ASKING
                | ClientFlags::READONLY
                | ClientFlags::REPLY_OFF
                | ClientFlags::REPLY_SKIP_NEXT
                | ClientFlags::NO_TOUCH
                | ClientFlags::NO_EVICT,
        );
        client.db = DbId(0);
        client.protocol = crate::resp::Protocol::Resp2;
        client.name.clear();
        client.fieldsets = None;
    }
}
