//! Every option of the server, declared once.
//!
//! A declaration reads
//!
//! ```text
//! /// What it does, in one line.
//! field("name", "older name"): type = default, kind, [flags];
//! ```
//!
//! and becomes the field of [`Config`], its default, and the row of [`OPTIONS`] that CONFIG GET,
//! SET and REWRITE, the file loader and the tests work from. The kind knows the bounds
//! ([`kinds`](super::kinds)), the flags say when it may be set ([`Flag`]).
//!
//! Mirrors: static_configs in config.c, in groups that follow redis.conf.
//! Differs: options without meaning here are accepted, and flagged with the reason ([`Flag::NoEffect`]).

use std::path::PathBuf;

use super::checks::*;
use super::kinds::*;
use super::values::*;
use super::{ConfigOption, Directives, Flag, Flag::*, disk};

// Options of Redis 8 whose feature is missing here are also hidden when they are immutable: clients
// and tests of Redis 7 take every option a pattern shows for one they know.

const INT: i64 = i32::MAX as i64;
const LONG: i64 = i64::MAX;
const MB: u64 = 1 << 20;
const GB: u64 = 1 << 30;

const NO_REHASH: Flag =
    NoEffect("the keyspace grows by one segment at a time, nothing is left to rehash");
const NO_DEFRAG: Flag = NoEffect("there is no active defragmentation");
const NO_JEMALLOC: Flag = NoEffect("the allocator is not jemalloc");
const NO_CHILD: Flag = NoEffect("snapshots are written by a thread, no child process exists");
const NO_FEATURE: Flag = NoEffect("the feature it tunes does not exist yet");
const NO_FORK: Flag =
    NoEffect("the fault it keeps silent about is one of fork(), which is never called");
const NO_DH: Flag = NoEffect("finite-field Diffie-Hellman is not offered");

/// Turns the declarations into [`Config`] and [`OPTIONS`].
macro_rules! options {
    ($( $(#[doc = $summary:literal])+ $field:ident($name:literal $(, $alias:literal)*):
        $type:ty = $default:expr, $kind:expr $(, [$($flag:expr),*])?; )*) => {
        /// The configuration of one server: a typed field per option.
        #[derive(Clone, PartialEq)]
        pub struct Config {
            $( $(#[doc = $summary])+ pub $field: $type, )*

            /// The configuration file, absolute; what CONFIG REWRITE writes to.
            pub file: Option<PathBuf>,
            /// Sentinel mode: decided by the command line before any option is read.
            pub sentinel: bool,
            /// Lines of the file that are no options.
            pub directives: Directives,
        }

        impl Default for Config {
            /// The configuration that an empty file gives; `dir` is the directory of the process.
            fn default() -> Self {
                Config {
                    $( $field: $default, )*
                    file: None,
                    sentinel: false,
                    directives: Directives::default(),
                }
            }
        }

        /// One row per option, in the order of their groups.
        pub static OPTIONS: &[ConfigOption] = &[ $( ConfigOption {
            name: $name,
            aliases: &[$($alias),*],
            summary: concat!($($summary),+),
            flags: &[$($($flag),*)?],
            shape: shape_of::<$type, _>(&$kind),
            show: |config| Kind::<$type>::show(&$kind, &config.$field),
            set: |config, args| {
                let value = Kind::<$type>::parse(&$kind, args, &config.$field)?;
                let changed = value != config.$field;
                config.$field = value;
                Ok(changed)
            },
            lines: |config, default| {
                Kind::<$type>::lines(&$kind, $name, &config.$field, &default.$field)
            },
        }, )* ];
    };
}

options! {
    // Network.

    /// Addresses to listen on; a leading minus makes one optional.
    bind("bind"): Vec<String> = vec!["*".into(), "-::*".into()], Addresses, [MultiArg];
    /// Address outgoing connections (replication, cluster) come from.
    bind_source_addr("bind-source-addr"): Option<String> = None, OptionalText(one_line);
    /// Refuse remote clients while there is no password.
    protected_mode("protected-mode"): bool = true, YesNo;
    /// TCP port for clients; 0 listens on none.
    port("port"): u16 = 6379, Int(0, 65535);
    /// Length of the queue of connections not yet accepted.
    tcp_backlog("tcp-backlog"): u32 = 511, Int(0, INT), [Immutable];
    /// Path of the unix socket; empty for none.
    unixsocket("unixsocket"): Option<String> = None, OptionalText(one_line), [Immutable];
    /// Mode of the unix socket in octal; 0 leaves it to the umask.
    unixsocketperm("unixsocketperm"): u32 = 0, Octal(0o777), [Immutable];
    /// Seconds after which an idle client is closed; 0 never.
    timeout("timeout"): u32 = 0, Int(0, INT);
    /// Seconds between TCP keepalive probes; 0 sends none.
    tcp_keepalive("tcp-keepalive"): u32 = 300, Int(0, INT);
    /// Mark the listening sockets carry for the packet filter.
    socket_mark_id("socket-mark-id"): u32 = 0, Int(0, u32::MAX as i64), [Immutable];
    /// Connections accepted per turn of the event loop.
    max_new_connections_per_cycle("max-new-connections-per-cycle"): u32 = 10, Int(1, 1000);
    /// TLS connections accepted per turn of the event loop.
    max_new_tls_connections_per_cycle("max-new-tls-connections-per-cycle"): u32 = 1, Int(1, 1000);
    /// Port that serves metrics over HTTP; 0 for none (Oxidis).
    metrics_port("metrics-port"): u16 = 0, Int(0, 65535), [Immutable, Hidden];

    // TLS.

    /// TLS port for clients; 0 listens on none.
    tls_port("tls-port"): u16 = 0, Int(0, 65535);
    /// Certificate shown to clients and peers.
    tls_cert_file("tls-cert-file"): Option<String> = None, OptionalText(one_line), [Volatile];
    /// Private key of that certificate.
    tls_key_file("tls-key-file"): Option<String> = None, OptionalText(one_line), [Volatile];
    /// Passphrase of that key.
    tls_key_file_pass("tls-key-file-pass"): Option<String> = None, OptionalText(one_line), [Sensitive];
    /// Certificate for outgoing connections.
    tls_client_cert_file("tls-client-cert-file"): Option<String> = None, OptionalText(one_line), [Volatile];
    /// Private key of that certificate.
    tls_client_key_file("tls-client-key-file"): Option<String> = None, OptionalText(one_line), [Volatile];
    /// Passphrase of that key.
    tls_client_key_file_pass("tls-client-key-file-pass"): Option<String> = None, OptionalText(one_line), [Sensitive];
    /// Diffie-Hellman parameters, for old TLS libraries.
    tls_dh_params_file("tls-dh-params-file"): Option<String> = None, OptionalText(one_line), [Volatile, NO_DH];
    /// Certificates of the trusted authorities, in one file.
    tls_ca_cert_file("tls-ca-cert-file"): Option<String> = None, OptionalText(one_line), [Volatile];
    /// Certificates of the trusted authorities, in a directory.
    tls_ca_cert_dir("tls-ca-cert-dir"): Option<String> = None, OptionalText(one_line), [Volatile];
    /// Whether clients must, may or need not show a certificate.
    tls_auth_clients("tls-auth-clients"): TlsAuthClients = TlsAuthClients::Yes, OneOf;
    /// Certificate field that logs a client in as an ACL user.
    tls_auth_clients_user("tls-auth-clients-user"): TlsAuthClientsUser = TlsAuthClientsUser::Off, OneOf;
    /// Use TLS towards the primary.
    tls_replication("tls-replication"): bool = false, YesNo;
    /// Use TLS on the cluster bus, and for MIGRATE.
    tls_cluster("tls-cluster"): bool = false, YesNo;
    /// Names a peer server's certificate must carry one of.
    tls_expected_peer_name("tls-expected-peer-name"): Option<String> = None, OptionalText(peer_names);
    /// Protocol versions to speak.
    tls_protocols("tls-protocols"): Option<String> = None, OptionalText(one_line);
    /// Ciphers for TLS up to 1.2.
    tls_ciphers("tls-ciphers"): Option<String> = None, OptionalText(one_line);
    /// Cipher suites for TLS 1.3.
    tls_ciphersuites("tls-ciphersuites"): Option<String> = None, OptionalText(one_line);
    /// Let the server's order of ciphers win.
    tls_prefer_server_ciphers("tls-prefer-server-ciphers"): bool = false, YesNo;
    /// Let clients resume sessions.
    tls_session_caching("tls-session-caching"): bool = true, YesNo;
    /// Sessions remembered; 0 for no bound.
    tls_session_cache_size("tls-session-cache-size"): u32 = 20 * 1024, Int(0, INT);
    /// Seconds a session is remembered.
    tls_session_cache_timeout("tls-session-cache-timeout"): u32 = 300, Int(0, INT);

    // General.

    /// Run in the background.
    daemonize("daemonize"): bool = false, YesNo, [Immutable];
    /// Supervisor to report readiness to.
    supervised("supervised"): Supervised = Supervised::No, OneOf, [Immutable];
    /// File to write the process id to.
    pidfile("pidfile"): Option<String> = None, OptionalText(one_line), [Immutable];
    /// How much goes to the log.
    loglevel("loglevel"): LogLevel = LogLevel::Notice, OneOf;
    /// File of the log; empty for standard output.
    logfile("logfile"): String = String::new(), Text(one_line), [Immutable];
    /// Shape of a log line: Redis's, or one JSON object (Oxidis).
    log_format("log-format"): LogFormat = LogFormat::Redis, OneOf;
    /// Also send the log to syslog.
    syslog_enabled("syslog-enabled"): bool = false, YesNo, [Immutable];
    /// Name of the server in syslog.
    syslog_ident("syslog-ident"): String = "redis".into(), Text(one_line), [Immutable];
    /// Facility of the server in syslog.
    syslog_facility("syslog-facility"): SyslogFacility = SyslogFacility::Local0, OneOf, [Immutable];
    /// Keep user data out of log lines.
    hide_user_data_from_log("hide-user-data-from-log"): bool = false, YesNo;
    /// Write a report when the process crashes.
    crash_log_enabled("crash-log-enabled"): bool = true, YesNo;
    /// Test the memory after a crash.
    crash_memcheck_enabled("crash-memcheck-enabled"): bool = true, YesNo;
    /// Leave by exit instead of abort after a panic.
    use_exit_on_panic("use-exit-on-panic"): bool = false, YesNo, [Hidden];
    /// Milliseconds after which a stuck event loop is reported; 0 never.
    watchdog_period("watchdog-period"): u32 = 0, Int(0, INT), [Hidden];
    /// Start-up warnings that shall not stop the server.
    ignore_warnings("ignore-warnings"): String = String::new(), Text(one_line), [NO_FORK];
    /// Number of databases.
    databases("databases"): u32 = 16, Int(1, INT), [Immutable];
    /// Show the banner also when the log is no terminal.
    always_show_logo("always-show-logo"): bool = false, YesNo, [Immutable];
    /// Change the title of the process.
    set_proc_title("set-proc-title"): bool = true, YesNo, [Immutable];
    /// Template of the title of the process.
    proc_title_template("proc-title-template"): String = "{title} {listen-addr} {server-mode}".into(), Text(title_template);
    /// Locale strings are compared in; empty for that of the environment.
    locale_collate("locale-collate"): String = String::new(), Text(one_line), [NoEffect("SORT compares bytes, as in the locale C")];
    /// Clients that may change options that reach outside the server.
    enable_protected_configs("enable-protected-configs"): ProtectedAction = ProtectedAction::No, OneOf, [Immutable];
    /// Clients that may use DEBUG.
    enable_debug_command("enable-debug-command"): ProtectedAction = ProtectedAction::No, OneOf, [Immutable];
    /// Clients that may use MODULE.
    enable_module_command("enable-module-command"): ProtectedAction = ProtectedAction::No, OneOf, [Immutable];
    /// Directory of the data files; relative paths start here.
    dir("dir"): PathBuf = disk::current_dir(), Directory, [Protected, DenyLoading];
    /// Seconds a shutdown waits for lagging replicas; 0 does not wait.
    shutdown_timeout("shutdown-timeout"): u32 = 10, Int(0, INT);
    /// How to shut down on SIGINT.
    shutdown_on_sigint("shutdown-on-sigint"): ShutdownFlags = ShutdownFlags::default(), AnyOf, [MultiArg];
    /// How to shut down on SIGTERM.
    shutdown_on_sigterm("shutdown-on-sigterm"): ShutdownFlags = ShutdownFlags::default(), AnyOf, [MultiArg];

    // Snapshots (RDB).

    /// When to take a snapshot: seconds and changes, in pairs.
    save("save"): Vec<SavePoint> = vec![
        SavePoint { seconds: 3600, changes: 1 },
        SavePoint { seconds: 300, changes: 100 },
        SavePoint { seconds: 60, changes: 10000 },
    ], SavePoints, [MultiArg];
    /// Refuse writes while the last background save failed.
    stop_writes_on_bgsave_error("stop-writes-on-bgsave-error"): bool = true, YesNo;
    /// Compress long strings in a snapshot.
    rdbcompression("rdbcompression"): bool = true, YesNo;
    /// End a snapshot with a checksum, and check it.
    rdbchecksum("rdbchecksum"): bool = true, YesNo, [Immutable];
    /// RDB version to write, for an older Redis to read; 0 for the newest (Oxidis).
    rdb_version("rdb-version"): u32 = 0, Int(0, 64);
    /// Whose payloads are checked all the way through.
    sanitize_dump_payload("sanitize-dump-payload"): SanitizeDumpPayload = SanitizeDumpPayload::No, OneOf, [Debug];
    /// Name of the snapshot file.
    dbfilename("dbfilename"): String = "dump.rdb".into(), Text(rdb_name), [Protected];
    /// Delete the files a full sync leaves when nothing is to be persisted.
    rdb_del_sync_files("rdb-del-sync-files"): bool = false, YesNo;
    /// Force a snapshot to disk little by little while it is written.
    rdb_save_incremental_fsync("rdb-save-incremental-fsync"): bool = true, YesNo;
    /// Microseconds to wait after each key saved, for tests.
    rdb_key_save_delay("rdb-key-save-delay"): i32 = 0, Int(i32::MIN as i64, INT), [Hidden];
    /// Microseconds to wait after each key loaded, for tests.
    key_load_delay("key-load-delay"): i32 = 0, Int(i32::MIN as i64, INT), [Hidden];
    /// Bytes loaded between two looks at the clients.
    loading_process_events_interval_bytes("loading-process-events-interval-bytes"): u64 = 2 * MB, Int(1024, INT), [Hidden];
    /// File to load at start instead of the usual ones, as aof:path or rdb:path.
    preload_file("preload-file"): Option<String> = None, OptionalText(preload), [Immutable, Hidden];

    // Append-only file.

    /// Log every write to the append-only file.
    appendonly("appendonly"): bool = false, YesNo;
    /// Base name of the append-only files.
    appendfilename("appendfilename"): String = "appendonly.aof".into(), Text(aof_name), [Immutable];
    /// Directory of the append-only files, inside `dir`.
    appenddirname("appenddirname"): String = "appendonlydir".into(), Text(aof_dir_name), [Immutable];
    /// When appended writes are forced to disk.
    appendfsync("appendfsync"): AppendFsync = AppendFsync::Everysec, OneOf;
    /// Do not force writes to disk while a snapshot or rewrite runs.
    no_appendfsync_on_rewrite("no-appendfsync-on-rewrite"): bool = false, YesNo;
    /// Growth in percent that starts a rewrite; 0 never.
    auto_aof_rewrite_percentage("auto-aof-rewrite-percentage"): u32 = 100, Int(0, INT);
    /// Size below which growth starts no rewrite.
    auto_aof_rewrite_min_size("auto-aof-rewrite-min-size"): u64 = 64 * MB, Bytes(0, LONG as u64);
    /// Load a file whose end is cut off.
    aof_load_truncated("aof-load-truncated"): bool = true, YesNo;
    /// Bytes of broken tail that may be cut off on load; 0 for none.
    aof_load_corrupt_tail_max_size("aof-load-corrupt-tail-max-size"): u64 = 0, Int(0, LONG);
    /// Begin a rewritten file with a snapshot.
    aof_use_rdb_preamble("aof-use-rdb-preamble"): bool = true, YesNo;
    /// Write time stamps into the file.
    aof_timestamp_enabled("aof-timestamp-enabled"): bool = false, YesNo;
    /// Force a rewrite to disk little by little.
    aof_rewrite_incremental_fsync("aof-rewrite-incremental-fsync"): bool = true, YesNo;
    /// Keep files the manifest no longer needs.
    aof_disable_auto_gc("aof-disable-auto-gc"): bool = false, YesNo, [Hidden];
    /// Directory of backups, inside `dir`.
    backupdirname("backupdirname"): String = "backupdir".into(), Text(backup_dir_name), [Immutable, Hidden];
    /// Seconds a finished backup is kept; 0 until it is cleaned up.
    backup_sealed_ttl("backup-sealed-ttl"): u64 = 0, Int(0, LONG);

    // Replication.

    /// The primary to follow.
    replicaof("replicaof", "slaveof"): Option<Primary> = None, PrimaryAddress, [Immutable, MultiArg];
    /// Password for the primary.
    masterauth("masterauth"): Option<Vec<u8>> = None, Secret, [Sensitive];
    /// User name at the primary.
    masteruser("masteruser"): Option<String> = None, OptionalText(one_line), [Sensitive];
    /// Answer reads while the primary is out of reach.
    replica_serve_stale_data("replica-serve-stale-data", "slave-serve-stale-data"): bool = true, YesNo;
    /// Refuse writes from clients on a replica.
    replica_read_only("replica-read-only", "slave-read-only"): bool = true, YesNo, [Debug];
    /// Leave eviction to the primary.
    replica_ignore_maxmemory("replica-ignore-maxmemory", "slave-ignore-maxmemory"): bool = true, YesNo;
    /// Empty the old data in the background before a full sync is loaded.
    replica_lazy_flush("replica-lazy-flush", "slave-lazy-flush"): bool = false, YesNo;
    /// Rank in a failover, lower is better; 0 never becomes primary.
    replica_priority("replica-priority", "slave-priority"): u32 = 100, Int(0, INT);
    /// Be listed by Sentinel.
    replica_announced("replica-announced"): bool = true, YesNo;
    /// Address this replica reports.
    replica_announce_ip("replica-announce-ip", "slave-announce-ip"): Option<String> = None, OptionalText(one_line);
    /// Port this replica reports; 0 for the real one.
    replica_announce_port("replica-announce-port", "slave-announce-port"): u16 = 0, Int(0, 65535);
    /// Go on when a replica cannot write its append-only file.
    replica_ignore_disk_write_errors("replica-ignore-disk-write-errors"): bool = false, YesNo, [NoEffect("a replica whose disk fails follows its primary all the same")];
    /// Bytes of the stream a replica gathers during a full sync; 0 for its output buffer limit.
    replica_full_sync_buffer_limit("replica-full-sync-buffer-limit"): u64 = 0, Bytes(0, LONG as u64);
    /// Send the snapshot of a full sync over a connection of its own.
    repl_rdb_channel("repl-rdb-channel"): bool = true, YesNo, [Hidden];
    /// Send the snapshot of a full sync straight to the socket.
    repl_diskless_sync("repl-diskless-sync"): bool = true, YesNo, [Debug];
    /// Seconds to wait for more replicas before that snapshot starts.
    repl_diskless_sync_delay("repl-diskless-sync-delay"): u32 = 5, Int(0, INT);
    /// Replicas that end the wait; 0 waits the whole time.
    repl_diskless_sync_max_replicas("repl-diskless-sync-max-replicas"): u32 = 0, Int(0, INT);
    /// Load a full sync straight from the socket.
    repl_diskless_load("repl-diskless-load"): ReplDisklessLoad = ReplDisklessLoad::Disabled, OneOf, [Debug, DenyLoading];
    /// Seconds between pings to replicas.
    repl_ping_replica_period("repl-ping-replica-period", "repl-ping-slave-period"): u32 = 10, Int(1, INT);
    /// Seconds of silence after which a link is dead.
    repl_timeout("repl-timeout"): u32 = 60, Int(1, INT);
    /// Save packets towards replicas at the price of delay.
    repl_disable_tcp_nodelay("repl-disable-tcp-nodelay"): bool = false, YesNo;
    /// Bytes of the stream kept for replicas that return.
    repl_backlog_size("repl-backlog-size"): u64 = MB, BytesAtLeast(16 << 10);
    /// Seconds without replicas after which it is freed; 0 never.
    repl_backlog_ttl("repl-backlog-ttl"): u64 = 3600, Int(0, LONG);
    /// Replicas in good state a write needs; 0 needs none.
    min_replicas_to_write("min-replicas-to-write", "min-slaves-to-write"): u32 = 0, Int(0, INT);
    /// Seconds of lag up to which a replica is in good state.
    min_replicas_max_lag("min-replicas-max-lag", "min-slaves-max-lag"): u32 = 10, Int(0, INT);
    /// Reaction to a failure of a command from the primary or the AOF.
    propagation_error_behavior("propagation-error-behavior"): PropagationErrorBehavior = PropagationErrorBehavior::Ignore, OneOf;

    // Security.

    /// Password of the default user.
    requirepass("requirepass"): Option<Vec<u8>> = None, Secret, [Sensitive];
    /// File of the ACL users.
    aclfile("aclfile"): String = String::new(), Text(one_line), [Immutable];
    /// Entries the ACL log keeps.
    acllog_max_len("acllog-max-len"): usize = 128, Int(0, LONG);
    /// Channel permissions of a new user.
    acl_pubsub_default("acl-pubsub-default"): AclPubsubDefault = AclPubsubDefault::ResetChannels, OneOf;

    // Clients.

    /// Clients at a time.
    maxclients("maxclients"): u32 = 10000, Int(1, u32::MAX as i64);
    /// Memory of all clients together: bytes, or percent of maxmemory; 0 for no bound.
    maxmemory_clients("maxmemory-clients"): ClientMemory = ClientMemory::Bytes(0), BytesOrPercent;
    /// Bytes that may wait in the output buffer of a class of clients.
    client_output_buffer_limit("client-output-buffer-limit"): OutputLimits = OutputLimits::default(), OutputLimitsPerClass, [MultiArg];
    /// Bytes a client may send without a complete request.
    client_query_buffer_limit("client-query-buffer-limit"): usize = GB as usize, Bytes(MB, LONG as u64), [Debug];
    /// Longest argument of a request.
    proto_max_bulk_len("proto-max-bulk-len"): usize = 512 * MB as usize, Bytes(MB, LONG as u64), [Debug];
    /// Keys remembered for client-side caching; 0 for no bound.
    tracking_table_max_keys("tracking-table-max-keys"): usize = 1_000_000, Int(0, LONG);
    /// Requests parsed ahead so that their keys can be fetched together.
    lookahead("lookahead"): u32 = 16, Int(1, INT);
    /// Requests whose keys are brought into the processor's cache together; 0 or 1 for none.
    prefetch_batch_max_size("prefetch-batch-max-size"): usize = 16, Int(0, 128), [Hidden];

    // Memory.

    /// Bytes the data may take; 0 for no bound.
    maxmemory("maxmemory"): u64 = 0, Bytes(0, u64::MAX);
    /// Which key goes when they are used up.
    maxmemory_policy("maxmemory-policy"): MaxmemoryPolicy = MaxmemoryPolicy::NoEviction, OneOf;
    /// Keys compared to find the one to evict.
    maxmemory_samples("maxmemory-samples"): u32 = 5, Int(1, 64);
    /// Time eviction may take: 0 the least, 100 as long as it needs.
    maxmemory_eviction_tenacity("maxmemory-eviction-tenacity"): u32 = 10, Int(0, 100);
    /// How slowly the frequency counter of a key grows.
    lfu_log_factor("lfu-log-factor"): u32 = 10, Int(0, INT);
    /// Minutes after which that counter shrinks; 0 never.
    lfu_decay_time("lfu-decay-time"): u32 = 1, Int(0, INT);
    /// Share of time spent on expired keys, 1 to 10.
    active_expire_effort("active-expire-effort"): u32 = 1, Int(1, 10);
    /// Free evicted values in the background.
    lazyfree_lazy_eviction("lazyfree-lazy-eviction"): bool = false, YesNo, [Debug];
    /// Free expired values in the background.
    lazyfree_lazy_expire("lazyfree-lazy-expire"): bool = false, YesNo, [Debug];
    /// Delete expired keys that commands of a script or a transaction come across without naming them.
    lazyexpire_nested_arbitrary_keys("lazyexpire-nested-arbitrary-keys"): bool = true, YesNo, [Hidden];
    /// Free values the server itself deletes in the background.
    lazyfree_lazy_server_del("lazyfree-lazy-server-del"): bool = false, YesNo, [Debug];
    /// Let DEL work like UNLINK.
    lazyfree_lazy_user_del("lazyfree-lazy-user-del"): bool = false, YesNo, [Debug];
    /// Let FLUSHALL and FLUSHDB work in the background.
    lazyfree_lazy_user_flush("lazyfree-lazy-user-flush"): bool = false, YesNo, [Debug];
    /// Collect distributions of key sizes.
    key_memory_histograms("key-memory-histograms"): bool = false, YesNo, [NO_FEATURE];

    // Kernel.

    /// Set the out-of-memory score of the process.
    oom_score_adj("oom-score-adj"): OomScoreAdj = OomScoreAdj::No, OneOf;
    /// That score as primary, as replica, in a child.
    oom_score_adj_values("oom-score-adj-values"): OomScores = OomScores { primary: 0, replica: 200, child: 800 }, OomScoresPerRole, [MultiArg];
    /// Switch transparent huge pages off for the process.
    disable_thp("disable-thp"): bool = true, YesNo, [Immutable];
    /// Processors of the main thread.
    server_cpulist("server-cpulist", "server_cpulist"): Option<String> = None, OptionalText(one_line), [Immutable];
    /// Processors of the background threads.
    bio_cpulist("bio-cpulist", "bio_cpulist"): Option<String> = None, OptionalText(one_line), [Immutable];
    /// Processors of an AOF rewrite.
    aof_rewrite_cpulist("aof-rewrite-cpulist", "aof_rewrite_cpulist"): Option<String> = None, OptionalText(one_line), [Immutable, NO_CHILD];
    /// Processors of a background save.
    bgsave_cpulist("bgsave-cpulist", "bgsave_cpulist"): Option<String> = None, OptionalText(one_line), [Immutable, NO_CHILD];

    // Threads.

    /// Threads that read and write sockets.
    io_threads("io-threads"): u32 = 1, Int(1, 128), [Immutable, Debug, NoEffect("one thread serves all sockets")];

    // Scripts.

    /// Milliseconds after which a script is called slow and others are answered BUSY.
    busy_reply_threshold("busy-reply-threshold", "lua-time-limit"): u64 = 5000, Int(0, LONG);
    /// Bring back the Lua functions that were taken out for safety.
    lua_enable_deprecated_api("lua-enable-deprecated-api"): bool = false, YesNo, [Immutable, Hidden];

    // Cluster.

    /// Run as a node of a cluster.
    cluster_enabled("cluster-enabled"): bool = false, YesNo, [Immutable];
    /// File the node keeps its view of the cluster in.
    cluster_config_file("cluster-config-file"): String = "nodes.conf".into(), Text(one_line), [Immutable];
    /// Milliseconds of silence after which a node is suspected.
    cluster_node_timeout("cluster-node-timeout"): u64 = 15000, Int(0, LONG);
    /// Milliseconds between pings; 0 for the usual pace.
    cluster_ping_interval("cluster-ping-interval"): u64 = 0, Int(0, LONG), [Hidden];
    /// Refuse to start while the bus lets everybody in: without TLS.
    cluster_bus_port_protected_mode("cluster-bus-port-protected-mode"): bool = false, YesNo;
    /// Port of the bus; 0 for the client port plus 10000.
    cluster_port("cluster-port"): u16 = 0, Int(0, 65535), [Immutable];
    /// Age of its data up to which a replica stands for election, in node timeouts; 0 any age.
    cluster_replica_validity_factor("cluster-replica-validity-factor", "cluster-slave-validity-factor"): u32 = 10, Int(0, INT);
    /// Replicas a primary keeps before one may move to a primary without.
    cluster_migration_barrier("cluster-migration-barrier"): u32 = 1, Int(0, INT);
    /// Let replicas move.
    cluster_allow_replica_migration("cluster-allow-replica-migration"): bool = true, YesNo;
    /// Serve nothing while a slot has no node.
    cluster_require_full_coverage("cluster-require-full-coverage"): bool = true, YesNo;
    /// Never fail over by itself.
    cluster_replica_no_failover("cluster-replica-no-failover", "cluster-slave-no-failover"): bool = false, YesNo;
    /// Answer reads while the cluster is down.
    cluster_allow_reads_when_down("cluster-allow-reads-when-down"): bool = false, YesNo;
    /// Pass on shard messages while the cluster is down.
    cluster_allow_pubsubshard_when_down("cluster-allow-pubsubshard-when-down"): bool = true, YesNo;
    /// Bytes that may wait for one peer; 0 for no bound.
    cluster_link_sendbuf_limit("cluster-link-sendbuf-limit"): u64 = 0, Bytes(0, u64::MAX);
    /// Address announced to the cluster.
    cluster_announce_ip("cluster-announce-ip"): Option<String> = None, OptionalText(one_line);
    /// Client port announced; 0 for the real one.
    cluster_announce_port("cluster-announce-port"): u16 = 0, Int(0, 65535);
    /// TLS port announced; 0 for the real one.
    cluster_announce_tls_port("cluster-announce-tls-port"): u16 = 0, Int(0, 65535);
    /// Bus port announced; 0 for the real one.
    cluster_announce_bus_port("cluster-announce-bus-port"): u16 = 0, Int(0, 65535);
    /// Host name announced.
    cluster_announce_hostname("cluster-announce-hostname"): Option<String> = None, OptionalText(host_name);
    /// Name of the node for people.
    cluster_announce_human_nodename("cluster-announce-human-nodename"): Option<String> = None, OptionalText(node_name);
    /// The kind of address that clients are told to connect to.
    cluster_preferred_endpoint_type("cluster-preferred-endpoint-type"): ClusterPreferredEndpointType = ClusterPreferredEndpointType::Ip, OneOf;
    /// Percent of commands checked for use in a cluster.
    cluster_compatibility_sample_ratio("cluster-compatibility-sample-ratio"): u32 = 0, Int(0, 100);
    /// The figures counted per slot.
    cluster_slot_stats_enabled("cluster-slot-stats-enabled"): SlotStats = SlotStats::default(), AnyOf, [MultiArg];
    /// Bytes of lag below which a migrating slot is handed over.
    cluster_slot_migration_handoff_max_lag_bytes("cluster-slot-migration-handoff-max-lag-bytes"): u64 = MB, Bytes(0, LONG as u64);
    /// Milliseconds writes wait for that handover.
    cluster_slot_migration_write_pause_timeout("cluster-slot-migration-write-pause-timeout"): u64 = 10000, Int(0, LONG);
    /// Milliseconds the buffered writes of a migration may take to drain.
    cluster_slot_migration_sync_buffer_drain_timeout("cluster-slot-migration-sync-buffer-drain-timeout"): u64 = 60000, Int(0, LONG), [Hidden];
    /// Finished migrations that stay listed.
    cluster_slot_migration_max_archived_tasks("cluster-slot-migration-max-archived-tasks"): u32 = 32, Int(1, INT), [Hidden];

    // Watching.

    /// Microseconds from which a command is slow; 0 logs all, -1 none.
    slowlog_log_slower_than("slowlog-log-slower-than"): i64 = 10000, Int(-1, LONG);
    /// Entries the slow log keeps.
    slowlog_max_len("slowlog-max-len"): usize = 128, Int(0, LONG);
    /// Arguments an entry keeps.
    slowlog_entry_max_argc("slowlog-entry-max-argc"): usize = 32, Int(2, INT);
    /// Bytes of an argument an entry keeps.
    slowlog_entry_max_string_len("slowlog-entry-max-string-len"): usize = 128, Int(0, LONG);
    /// Milliseconds from which a delay is recorded; 0 records none.
    latency_monitor_threshold("latency-monitor-threshold"): u64 = 0, Int(0, LONG);
    /// Measure the latency of every command.
    latency_tracking("latency-tracking"): bool = true, YesNo;
    /// Percentiles of it that INFO shows.
    latency_tracking_info_percentiles("latency-tracking-info-percentiles"): Vec<f64> = vec![50.0, 99.0, 99.9], Percentiles, [MultiArg];
    /// Keyspace events to publish.
    notify_keyspace_events("notify-keyspace-events"): NotifyFlags = NotifyFlags::default(), NotifyLetters;

    // Encodings.

    /// Fields up to which a hash is packed.
    hash_max_listpack_entries("hash-max-listpack-entries", "hash-max-ziplist-entries"): usize = 512, Int(0, LONG);
    /// Bytes of a field or value up to which a hash is packed.
    hash_max_listpack_value("hash-max-listpack-value", "hash-max-ziplist-value"): usize = 64, Bytes(0, LONG as u64);
    /// Fields from which a hash shares its field names with others; 0 never.
    hash_min_template_entries("hash-min-template-entries"): u64 = 0, Int(0, LONG), [NO_FEATURE];
    /// Fields above which it does not; 0 for no bound.
    hash_max_template_entries("hash-max-template-entries"): u64 = 0, Int(0, LONG), [NO_FEATURE];
    /// The same for hashes out of an older snapshot; 0 never.
    hash_rdb_load_min_template_entries("hash-rdb-load-min-template-entries"): u64 = 0, Int(0, LONG), [NO_FEATURE];
    /// The same for hashes out of an older snapshot; 0 for no bound.
    hash_rdb_load_max_template_entries("hash-rdb-load-max-template-entries"): u64 = 0, Int(0, LONG), [NO_FEATURE];
    /// Size of a node of a list: elements, or -1 to -5 for 4 to 64 kilobytes.
    list_max_listpack_size("list-max-listpack-size", "list-max-ziplist-size"): i32 = -2, Int(i32::MIN as i64, INT);
    /// Nodes at each end of a list that stay uncompressed; 0 compresses none.
    list_compress_depth("list-compress-depth"): u32 = 0, Int(0, INT), [Debug];
    /// Integers up to which a set is an intset.
    set_max_intset_entries("set-max-intset-entries"): usize = 512, Int(0, LONG);
    /// Members up to which a set is packed.
    set_max_listpack_entries("set-max-listpack-entries"): usize = 128, Int(0, LONG);
    /// Bytes of a member up to which a set is packed.
    set_max_listpack_value("set-max-listpack-value"): usize = 64, Int(0, LONG);
    /// Members up to which a sorted set is packed.
    zset_max_listpack_entries("zset-max-listpack-entries", "zset-max-ziplist-entries"): usize = 128, Int(0, LONG);
    /// Bytes of a member up to which a sorted set is packed.
    zset_max_listpack_value("zset-max-listpack-value", "zset-max-ziplist-value"): usize = 64, Bytes(0, LONG as u64);
    /// Bytes up to which a HyperLogLog is sparse.
    hll_sparse_max_bytes("hll-sparse-max-bytes"): usize = 3000, Bytes(0, LONG as u64);
    /// Bytes of a node of a stream; 0 for no bound.
    stream_node_max_bytes("stream-node-max-bytes"): usize = 4096, Bytes(0, LONG as u64);
    /// Entries of a node of a stream; 0 for no bound.
    stream_node_max_entries("stream-node-max-entries"): usize = 100, Int(0, LONG);
    /// Seconds a stream remembers the ids of idempotent messages.
    stream_idmp_duration("stream-idmp-duration"): u64 = 100, Int(1, 86400);
    /// Such ids remembered per producer.
    stream_idmp_maxsize("stream-idmp-maxsize"): u64 = 100, Int(1, 10000);
    /// Elements of a slice of an array, a power of two.
    array_slice_size("array-slice-size"): u32 = 4096, PowerOfTwo, [NO_FEATURE];
    /// Elements above which a sparse slice becomes dense; 0 for never sparse.
    array_sparse_kmax("array-sparse-kmax"): u32 = 10, Int(0, u32::MAX as i64), [NO_FEATURE];
    /// Elements below which a dense slice becomes sparse; 0 never.
    array_sparse_kmin("array-sparse-kmin"): u32 = 5, Int(0, u32::MAX as i64), [NO_FEATURE];
    /// Run vector searches on the main thread.
    vset_force_single_threaded_execution("vset-force-single-threaded-execution"): bool = false, YesNo, [];

    // Background work.

    /// Turns of the cron per second, 1 to 500.
    hz("hz"): u32 = 10, Clamped(1, 500);
    /// Turn faster with many clients.
    dynamic_hz("dynamic-hz"): bool = true, YesNo;
    /// Rehash the keyspace in idle moments.
    activerehashing("activerehashing"): bool = true, YesNo, [NO_REHASH];
    /// Purge freed memory in a thread of the allocator.
    jemalloc_bg_thread("jemalloc-bg-thread"): bool = true, YesNo, [NO_JEMALLOC];
    /// Move values together to give memory back.
    activedefrag("activedefrag"): bool = false, Refused("Active defragmentation cannot be enabled: this server allocates without jemalloc"), [Debug, NO_DEFRAG];
    /// Wasted bytes that start it.
    active_defrag_ignore_bytes("active-defrag-ignore-bytes"): u64 = 100 * MB, Bytes(1, LONG as u64), [NO_DEFRAG];
    /// Percent of waste that starts it.
    active_defrag_threshold_lower("active-defrag-threshold-lower"): u32 = 10, Int(0, 1000), [NO_DEFRAG];
    /// Percent of waste that drives it hardest.
    active_defrag_threshold_upper("active-defrag-threshold-upper"): u32 = 100, Int(0, 1000), [NO_DEFRAG];
    /// Least percent of time for it.
    active_defrag_cycle_min("active-defrag-cycle-min"): u32 = 1, Int(1, 99), [NO_DEFRAG];
    /// Most percent of time for it.
    active_defrag_cycle_max("active-defrag-cycle-max"): u32 = 25, Int(1, 99), [NO_DEFRAG];
    /// Fields of a collection looked at in one go.
    active_defrag_max_scan_fields("active-defrag-max-scan-fields"): u64 = 1000, Int(1, LONG), [NO_DEFRAG];
}
