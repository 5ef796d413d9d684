//! No option is taken in silence: each is read by the code that acts on it, or says that it has no effect and why.
//!
//! `loadmodule` was read, kept and ignored, where Redis ends; the same could happen to an option that is declared and never
//! looked at. So each has a line here that names who reads it. A new one without a line fails, and so does a line whose
//! file does not read it any more.

use std::collections::BTreeMap;
use std::path::Path;

use oxidis::config::OPTIONS;

/// The option, and the file below `src/` that acts on it; where several do, one of them.
const READERS: &str = "\
bind                                  server/listeners.rs
cluster-slot-migration-handoff-max-lag-bytes  cluster/act/migration.rs
cluster-slot-migration-write-pause-timeout  cluster/act/migration.rs
cluster-slot-migration-sync-buffer-drain-timeout  cluster/act/migration.rs
cluster-slot-migration-max-archived-tasks  cluster/act/migration.rs
bind-source-addr                      replication/act/link.rs
protected-mode                        acl/act.rs
port                                  server/listeners.rs
tcp-backlog                           server/listeners.rs
unixsocket                            server/listeners.rs
unixsocketperm                        server/listeners.rs
timeout                               clients/act/cron.rs
tcp-keepalive                         server/event_loop.rs
socket-mark-id                        server/listeners.rs
max-new-connections-per-cycle         server/event_loop.rs
max-new-tls-connections-per-cycle     server/event_loop.rs
metrics-port                          server/metrics.rs
tls-port                              server/listeners.rs
tls-cert-file                         tls/settings.rs
tls-key-file                          tls/settings.rs
tls-key-file-pass                     tls/settings.rs
tls-client-cert-file                  tls/settings.rs
tls-client-key-file                   tls/settings.rs
tls-client-key-file-pass              tls/settings.rs
tls-ca-cert-file                      tls/settings.rs
tls-ca-cert-dir                       tls/settings.rs
tls-auth-clients                      tls/settings.rs
tls-auth-clients-user                 server/io.rs
tls-replication                       replication/act/link.rs
tls-cluster                           cluster/act/node.rs
tls-expected-peer-name                tls/settings.rs
tls-protocols                         tls/settings.rs
tls-ciphers                           tls/settings.rs
tls-ciphersuites                      tls/settings.rs
tls-prefer-server-ciphers             tls/settings.rs
tls-session-caching                   tls/settings.rs
tls-session-cache-size                tls/settings.rs
tls-session-cache-timeout             tls/settings.rs
daemonize                             server/process.rs
supervised                            server/process.rs
pidfile                               server/process.rs
loglevel                              config/logging.rs
logfile                               server/process.rs
log-format                            config/logging.rs
syslog-enabled                        config/logging.rs
syslog-ident                          config/logging.rs
syslog-facility                       config/logging.rs
hide-user-data-from-log               server/process.rs
crash-log-enabled                     server/process.rs
crash-memcheck-enabled                server/process.rs
use-exit-on-panic                     server/process.rs
watchdog-period                       observe/act/watchdog.rs
databases                             commands/connection.rs
always-show-logo                      server/process.rs
set-proc-title                        server/process.rs
proc-title-template                   observe/act/title.rs
enable-protected-configs              commands/config.rs
enable-debug-command                  dispatch/gate.rs
enable-module-command                 dispatch/gate.rs
dir                                   persistence/aof/mod.rs
shutdown-timeout                      shutdown/act.rs
shutdown-on-sigint                    server/event_loop.rs
shutdown-on-sigterm                   server/event_loop.rs
save                                  persistence/act/saving.rs
stop-writes-on-bgsave-error           persistence/act/standing.rs
rdbcompression                        persistence/act/saving.rs
rdbchecksum                           persistence/act/loading/begin.rs
rdb-version                           persistence/act/saving.rs
sanitize-dump-payload                 persistence/act/loading/begin.rs
dbfilename                            persistence/act/loading/begin.rs
rdb-del-sync-files                    replication/act/transfer.rs
rdb-save-incremental-fsync            persistence/act/saving.rs
rdb-key-save-delay                    persistence/act/saving.rs
key-load-delay                        persistence/act/loading/mod.rs
loading-process-events-interval-bytes persistence/act/loading/mod.rs
preload-file                          persistence/act/loading/begin.rs
vset-force-single-threaded-execution  commands/vset/search.rs
appendonly                            commands/replication.rs
appendfilename                        persistence/act/backup.rs
appenddirname                         persistence/aof/mod.rs
appendfsync                           persistence/act/append.rs
no-appendfsync-on-rewrite             persistence/act/append.rs
auto-aof-rewrite-percentage           persistence/act/rewrite.rs
auto-aof-rewrite-min-size             persistence/act/rewrite.rs
aof-load-truncated                    persistence/act/loading/mod.rs
aof-load-corrupt-tail-max-size        persistence/act/loading/mod.rs
aof-use-rdb-preamble                  persistence/act/rewrite.rs
aof-timestamp-enabled                 persistence/act/append.rs
aof-rewrite-incremental-fsync         persistence/act/rewrite.rs
aof-disable-auto-gc                   persistence/act/rewrite.rs
backupdirname                         persistence/act/backup.rs
backup-sealed-ttl                     persistence/act/backup.rs
replicaof                             commands/connection.rs
masterauth                            replication/act/link.rs
masteruser                            replication/act/link.rs
replica-serve-stale-data              replication/act/standing.rs
replica-read-only                     replication/act/standing.rs
replica-ignore-maxmemory              keyspace/act/evict.rs
replica-lazy-flush                    replication/act/transfer.rs
replica-priority                      replication/act/info.rs
replica-announced                     replication/act/info.rs
replica-announce-ip                   replication/act/link.rs
replica-announce-port                 replication/act/link.rs
repl-diskless-sync                    replication/act/full_sync.rs
repl-diskless-sync-delay              replication/act/full_sync.rs
repl-diskless-sync-max-replicas       replication/act/full_sync.rs
repl-diskless-load                    replication/act/transfer.rs
repl-ping-replica-period              replication/act/primary.rs
repl-timeout                          replication/act/link.rs
repl-disable-tcp-nodelay              replication/act/primary.rs
repl-backlog-size                     clients/cron.rs
repl-backlog-ttl                      replication/act/primary.rs
min-replicas-to-write                 replication/act/standing.rs
min-replicas-max-lag                  replication/act/standing.rs
propagation-error-behavior            replication/act/trouble.rs
requirepass                           acl/act.rs
aclfile                               commands/acl.rs
acllog-max-len                        acl/act.rs
acl-pubsub-default                    acl/act.rs
maxclients                            server/event_loop.rs
maxmemory-clients                     clients/usage.rs
client-output-buffer-limit            clients/cron.rs
client-query-buffer-limit             server/io.rs
proto-max-bulk-len                    commands/string/compare.rs
tracking-table-max-keys               clients/act/tracking.rs
lookahead                             server/io.rs
replica-full-sync-buffer-limit        replication/act/channel.rs
repl-rdb-channel                      replication/act/link.rs
cluster-compatibility-sample-ratio    cluster/act/compatible.rs
prefetch-batch-max-size               server/io.rs
maxmemory                             clients/usage.rs
maxmemory-policy                      commands/keys/object.rs
maxmemory-samples                     keyspace/act/evict.rs
maxmemory-eviction-tenacity           keyspace/act/evict.rs
lfu-log-factor                        keyspace/env.rs
lfu-decay-time                        keyspace/env.rs
active-expire-effort                  keyspace/act/expire.rs
lazyfree-lazy-eviction                keyspace/act/evict.rs
lazyfree-lazy-expire                  commands/keys/expire.rs
lazyexpire-nested-arbitrary-keys      commands/keys/scan.rs
lazyfree-lazy-server-del              commands/bitmap.rs
lazyfree-lazy-user-del                commands/keys/delete.rs
lazyfree-lazy-user-flush              commands/function.rs
oom-score-adj                         config/act.rs
oom-score-adj-values                  config/act.rs
disable-thp                           server/process.rs
server-cpulist                        server/process.rs
bio-cpulist                           server/process.rs
busy-reply-threshold                  scripting/act/api.rs
cluster-enabled                       cluster/act/start.rs
cluster-config-file                   cluster/act/start.rs
cluster-bus-port-protected-mode       config/checks.rs
cluster-node-timeout                  cluster/act/node.rs
cluster-ping-interval                 cluster/act/node.rs
cluster-replica-validity-factor       cluster/act/node.rs
cluster-migration-barrier             cluster/act/node.rs
cluster-allow-replica-migration       cluster/act/node.rs
cluster-replica-no-failover           cluster/act/node.rs
cluster-link-sendbuf-limit            cluster/act/links.rs
cluster-slot-stats-enabled            cluster/act/stats.rs
cluster-announce-tls-port             cluster/act/node.rs
cluster-announce-human-nodename       cluster/act/node.rs
lua-enable-deprecated-api             state.rs
cluster-port                          cluster/act/node.rs
cluster-require-full-coverage         cluster/act/node.rs
cluster-allow-reads-when-down         cluster/act/route.rs
cluster-allow-pubsubshard-when-down   cluster/act/route.rs
cluster-announce-ip                   cluster/act/node.rs
cluster-announce-port                 cluster/act/node.rs
cluster-announce-bus-port             cluster/act/node.rs
cluster-announce-hostname             cluster/act/node.rs
cluster-preferred-endpoint-type       cluster/act/node.rs
slowlog-log-slower-than               observe/act/calls.rs
slowlog-max-len                       observe/act/calls.rs
slowlog-entry-max-argc                observe/act/calls.rs
slowlog-entry-max-string-len          observe/act/calls.rs
latency-monitor-threshold             keyspace/act/evict.rs
latency-tracking                      observe/act/calls.rs
latency-tracking-info-percentiles     commands/info.rs
notify-keyspace-events                keyspace/act/fields.rs
hash-max-listpack-entries             commands/hash/mod.rs
hash-max-listpack-value               commands/hash/mod.rs
list-max-listpack-size                commands/list/mod.rs
list-compress-depth                   commands/list/mod.rs
set-max-intset-entries                commands/set/mod.rs
set-max-listpack-entries              commands/set/mod.rs
set-max-listpack-value                commands/set/mod.rs
zset-max-listpack-entries             commands/zset/mod.rs
zset-max-listpack-value               commands/zset/mod.rs
hll-sparse-max-bytes                  commands/hyperloglog.rs
stream-node-max-bytes                 commands/stream/mod.rs
stream-node-max-entries               commands/stream/add.rs
stream-idmp-duration                  commands/stream/mod.rs
stream-idmp-maxsize                   commands/stream/mod.rs
hz                                    server/cron.rs
dynamic-hz                            server/cron.rs
";

fn readers() -> BTreeMap<&'static str, &'static str> {
    READERS
        .lines()
        .map(|line| {
            let mut words = line.split_ascii_whitespace();
            let option = words.next().expect("an option");
            (option, words.next().expect("its reader"))
        })
        .collect()
}

#[test]
fn every_option_acts_or_says_that_it_does_not() {
    let readers = readers();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for option in OPTIONS {
        let name = option.name;
        match (readers.get(name), option.no_effect()) {
            (None, None) => panic!("{name} is taken and nobody is said to read it"),
            (Some(file), Some(reason)) => {
                panic!("{name} is read by {file} and said to have no effect: {reason}")
            }
            (None, Some(reason)) => assert!(!reason.is_empty(), "{name}"),
            (Some(file), None) => {
                let source = std::fs::read_to_string(sources.join(file))
                    .unwrap_or_else(|error| panic!("{name}: {file}: {error}"));
                let field = name.replace('-', "_");
                assert!(reads(&source, &field), "{file} does not read {name}");
            }
        }
    }
    for name in readers.keys() {
        let known = OPTIONS.iter().any(|option| option.name == *name);
        assert!(known, "{name} is no option");
    }
}

/// Whether the text has `.field`, and not as the beginning of a longer name.
fn reads(source: &str, field: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    source.match_indices(field).any(|(at, _)| {
        let after = source[at + field.len()..].chars().next();
        source[..at].trim_end().ends_with('.') && !after.is_some_and(word)
    })
}
