//! The server towards its operator: failed starts, its version, options and requests that it does not follow.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::{Folder, Server};

fn program() -> PathBuf {
    let built = env!("CARGO_BIN_EXE_oxidis-server");
    std::env::var_os("OXIDIS_TEST_BINARY").map_or_else(|| built.into(), PathBuf::from)
}

/// Runs the server with arguments that it ends by itself for; what it wrote to both streams, and its exit code.
fn told(arguments: &[&str]) -> (String, i32) {
    let output: Output = Command::new(program())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("it starts");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (text, output.status.code().unwrap_or(-1))
}

fn find_in_path(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
}

/// A module that is asked for and not there would be missed only when its first command is: Redis does not start.
#[test]
fn a_module_that_cannot_be_loaded_ends_the_start() {
    let folder = Folder::new("loadmodule");
    let file = folder.write(
        "redis.conf",
        "port 0\nunixsocket s\nsave \"\"\nloadmodule /m.so a b\n",
    );
    let words = [
        "Module /m.so failed to load: ",
        "Can't load module from /m.so: server aborting",
    ];
    for arguments in [
        &[&*file, "--dir", &folder.to_string_lossy()][..],
        &[
            "--port",
            "0",
            "--unixsocket",
            "s",
            "--dir",
            &folder.to_string_lossy(),
            "--loadmodule",
            "/m.so",
        ],
    ] {
        let (text, code) = told(arguments);
        assert_eq!(code, 1, "{text}");
        for line in words {
            assert!(text.contains(line), "no {line} in\n{text}");
        }
        assert!(!text.contains("Ready to accept"), "{text}");
    }
    let file = folder.write("redis.conf", "port 0\nunixsocket s\nsearch.timeout 5\n");
    let (text, code) = told(&[&file, "--dir", &folder.to_string_lossy()]);
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("Module Configuration detected without loadmodule"),
        "{text}"
    );
}

/// pytest-redis takes the first thing that looks like a version, 0.1.0 in our own words, and refuses it as too old;
/// Puppet's fact looks for `v=`.
#[test]
fn the_version_line_is_the_one_that_tools_read() {
    for flag in ["-v", "--version"] {
        let (text, code) = told(&[flag]);
        assert_eq!((code, text.lines().count()), (0, 1), "{text}");
        let rest = text
            .strip_prefix("Redis server v=")
            .expect("Redis's first words");
        let (version, rest) = rest
            .split_once(" sha=00000000:0 malloc=")
            .expect("Redis's next words");
        assert_eq!(version.split('.').count(), 3, "{text}");
        assert!(
            version.split('.').all(|n| n.parse::<u32>().is_ok()),
            "{text}"
        );
        let mut words = rest.split_ascii_whitespace().skip(1);
        assert!(
            words.next().is_some_and(|word| word.starts_with("bits=")),
            "{text}"
        );
        let build = words.next().and_then(|word| word.strip_prefix("build="));
        assert!(
            build.is_some_and(|hex| u64::from_str_radix(hex, 16).is_ok()),
            "{text}"
        );
        let own = format!("oxidis={}", env!("CARGO_PKG_VERSION"));
        assert_eq!(words.next(), Some(&*own));
    }
}

#[test]
fn a_socket_that_cannot_be_opened_is_one_line() {
    let (text, code) = told(&[
        "--port",
        "0",
        "--unixsocket",
        "/nonexistent/dir/s",
        "--save",
        "",
    ]);
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("Failed opening Unix socket: bind: No such file or directory"),
        "{text}"
    );
    assert!(!text.contains("Failed listening on port"), "{text}");
}

#[test]
fn a_port_that_cannot_be_had_is_told_with_what_was_done_about_it() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port();
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd(&format!("CONFIG SET port {port}"))
        .error("ERR CONFIG SET failed (possibly related to argument 'port')");
    c.cmd("CONFIG SET bind 256.256.256.256")
        .error("ERR CONFIG SET failed (possibly related to argument 'bind')");
    c.cmd("CONFIG SET locale-collate nosuch").error(
        "ERR CONFIG SET failed (possibly related to argument 'locale-collate') - Invalid locale name",
    );
    let log = server.log();
    for option in ["port", "bind", "locale-collate"] {
        let line = format!(
            "Failed applying new configuration. Possibly related to new {option} setting. Restoring previous settings."
        );
        assert_eq!(log.matches(&line).count(), 1, "{log}");
    }
    assert!(log.contains("Failed to bind"), "{log}");
    c.cmd("CONFIG GET locale-collate")
        .is(["locale-collate", ""]);
}

#[test]
fn options_of_8_6_are_taken_and_refused_as_there() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("CONFIG SET repl-diskless-load flushdb").ok();
    c.cmd("CONFIG GET repl-diskless-load")
        .is(["repl-diskless-load", "flushdb"]);
    c.cmd("CONFIG SET prefetch-batch-max-size 128").ok();
    c.cmd("CONFIG SET prefetch-batch-max-size 129")
        .error("ERR CONFIG SET failed (possibly related to argument 'prefetch-batch-max-size') - argument must be between 0 and 128 inclusive");
    c.cmd("CONFIG SET key-memory-histograms yes")
        .error("ERR CONFIG SET failed (possibly related to argument 'key-memory-histograms') - memory tracking cannot be enabled at runtime");
    c.cmd("CONFIG SET key-memory-histograms no").ok();
    c.cmd("CONFIG SET aof-load-corrupt-tail-max-size ''")
        .error("ERR CONFIG SET failed (possibly related to argument 'aof-load-corrupt-tail-max-size') - argument couldn't be parsed into an integer");
    c.cmd("CONFIG SET cluster-slot-stats-enabled yes").ok();
    let cluster = Server::oxidis().args(["--cluster-enabled", "yes"]).start();
    let mut of_cluster = cluster.client();
    of_cluster
        .cmd("CONFIG SET cluster-slot-stats-enabled 'cpu net'")
        .ok();
    of_cluster.cmd("CONFIG SET cluster-slot-stats-enabled yes")
        .error("ERR CONFIG SET failed (possibly related to argument 'cluster-slot-stats-enabled') - memory tracking cannot be enabled at runtime");
    let (text, code) = told(&["--port", "0", "--locale-collate", "nosuch"]);
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("Failed to configure LOCALE for invalid locale name."),
        "{text}"
    );
}

/// A key that SCAN or RANDOMKEY comes across is not part of the transaction it is in.
#[test]
fn expired_keys_nobody_named_stay_out_of_a_transaction_on_request() {
    let server = Server::oxidis()
        .args(["--enable-debug-command", "yes"])
        .start();
    let mut c = server.client();
    c.cmd("DEBUG SET-ACTIVE-EXPIRE 0").ok();
    let expired = |c: &mut crate::support::Client| {
        let info = c.cmd("INFO stats").text();
        let line = info
            .lines()
            .find(|l| l.contains("expired_keys:"))
            .expect("the field");
        line.trim_end()
            .split_once(':')
            .expect("a value")
            .1
            .parse::<u64>()
            .expect("a number")
    };
    for (setting, gone) in [("no", 0), ("yes", 1)] {
        c.cmd(&format!(
            "CONFIG SET lazyexpire-nested-arbitrary-keys {setting}"
        ))
        .ok();
        c.cmd("CONFIG RESETSTAT").ok();
        c.cmd("SET k v PX 1").ok();
        // KEYS leaves out what is over, and deletes nothing.
        let over = crate::support::server::until(std::time::Duration::from_secs(10), || {
            c.cmd("KEYS *").items().is_empty().then_some(())
        });
        assert!(over.is_some());
        c.cmd("MULTI").ok();
        c.cmd("SCAN 0 COUNT 1000").status("QUEUED");
        c.cmd("RANDOMKEY").status("QUEUED");
        c.cmd("EXEC");
        assert_eq!(expired(&mut c), gone, "{setting}");
        c.cmd("GET k").nil();
    }
}

#[test]
fn options_without_effect_are_told_at_the_default_level() {
    let server = Server::oxidis()
        .args([
            "--io-threads",
            "4",
            "--activerehashing",
            "no",
            "--server-cpulist",
            "nonsense",
        ])
        .start();
    let log = server.log();
    assert!(
        log.contains("* The option 'io-threads' has no effect: "),
        "{log}"
    );
    assert!(
        log.contains("* The option 'activerehashing' has no effect: "),
        "{log}"
    );
    assert!(log.contains("# server-cpulist \"nonsense\": "), "{log}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_keeps_to_its_processors_and_to_small_pages() {
    let first = std::fs::read_to_string("/proc/self/status").expect("it is there");
    let field = |status: &str, name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().last())
            .unwrap_or_default()
            .to_owned()
    };
    let one = field(&first, "Cpus_allowed_list:");
    let one = one.split(['-', ',']).next().unwrap_or_default().to_owned();
    let server = Server::oxidis()
        .args(["--server-cpulist", &*one, "--bio-cpulist", &*one])
        .start();
    let status = format!("/proc/{}/status", server.pid());
    let status = std::fs::read_to_string(status).expect("it runs");
    assert_eq!(field(&status, "Cpus_allowed_list:"), one);
    let huge = field(&status, "THP_enabled:");
    assert!(huge == "0" || huge.is_empty(), "{status}");
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("it runs");
    let of_helper = tasks.flatten().find(|task| {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        name.starts_with("bio_aof")
    });
    let of_helper = of_helper.expect("a helper").path().join("status");
    let of_helper = std::fs::read_to_string(of_helper).expect("it runs");
    assert_eq!(field(&of_helper, "Cpus_allowed_list:"), one);
    let loose = Server::oxidis().args(["--disable-thp", "no"]).start();
    let status = std::fs::read_to_string(format!("/proc/{}/status", loose.pid())).expect("it runs");
    let huge = field(&status, "THP_enabled:");
    assert!(huge == "1" || huge.is_empty(), "{status}");
}

#[test]
fn the_machine_can_be_looked_at() {
    let (text, code) = told(&["--check-system"]);
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix('[')?.split_once("]..."))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        names,
        ["slow-clocksource", "xen-clocksource", "overcommit", "THP"],
        "{text}"
    );
    assert_eq!(code, i32::from(text.contains("WARNING:")), "{text}");
    let (text, code) = told(&["--test-memory", "2", "1"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("Your memory passed this test."), "{text}");
    let (text, code) = told(&["--test-memory"]);
    assert_eq!(code, 1);
    assert!(
        text.contains("Please specify the amount of memory to test in megabytes."),
        "{text}"
    );
}

/// valkey.conf of 9.1 stopped with a bare "Bad directive" at the first of a dozen lines.
#[test]
fn a_file_of_valkey_is_told_what_to_change() {
    let folder = Folder::new("valkey");
    let lines = "\
        port 0\n\
        commandlog-execution-slower-than 10000\n\
        maxmemory 1mb\n\
        rdb-version-check strict\n\
        primaryauth secret\n";
    let (text, code) = told(&[&folder.write("valkey.conf", lines)]);
    assert_eq!(code, 1, "{text}");
    for line in [
        "FATAL CONFIG FILE ERROR",
        "Directives of Valkey",
        "line 2: 'commandlog-execution-slower-than': use 'slowlog-log-slower-than' instead",
        "line 4: 'rdb-version-check': remove it",
        "line 5: 'primaryauth': use 'masterauth' instead",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
    assert!(!text.contains("secret"), "{text}");
}

/// The files that come with Redis start the server as they are, but for what belongs to the machine.
#[test]
fn files_of_redis_start_as_they_are() {
    let Some(list) = std::env::var_os("OXIDIS_TEST_REDIS_CONFS") else {
        // One that a package may have put there.
        let file = Path::new("/etc/redis/redis.conf");
        match file.is_file() {
            true => starts_with(file),
            false => eprintln!("skipped: no redis.conf; OXIDIS_TEST_REDIS_CONFS may name some"),
        }
        return;
    };
    std::env::split_paths(&list).for_each(|file| starts_with(&file));
}

fn starts_with(file: &Path) {
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    // Options that name places of the machine, which a test may not write to.
    let of_machine = [
        "bind",
        "port",
        "daemonize",
        "pidfile",
        "logfile",
        "dir",
        "unixsocket",
        "supervised",
    ];
    let kept = text.lines().filter(|line| {
        let name = line.split_ascii_whitespace().next().unwrap_or_default();
        !of_machine.contains(&name)
    });
    let text: String = kept.map(|line| format!("{line}\n")).collect();
    let server = Server::oxidis().config(&text).start();
    server.client().cmd("PING").status("PONG");
    let log = server.log();
    assert!(!log.contains("has no effect"), "{}: {log}", file.display());
}

/// redis-cli debugs on a copy by default (`--ldb`): SCRIPT DEBUG YES was refused, which it does not show, and the script
/// ran and committed. Now there is the copy, and nobody waits for who debugs.
#[test]
fn a_script_is_debugged_on_a_copy_while_others_are_served() {
    let server = Server::oxidis()
        .args(["--save", "1 1", "--appendonly", "yes"])
        .start();
    let mut other = server.client();
    other.cmd("SELECT 3").ok();
    other.cmd("SET k before").ok();
    other.cmd("ACL SETUSER ann on nopass ~k +@all").ok();
    let mut c = server.client();
    c.cmd("AUTH ann x").ok();
    c.cmd("SELECT 3").ok();
    c.cmd("SCRIPT DEBUG YES").ok();
    let script = "local old = redis.call('get', KEYS[1])\nredis.call('set', KEYS[1], 'changed')\n\
                  local new = redis.call('get', KEYS[1])\nreturn {old, new, redis.pcall('get', 'secret')['err']}";
    let request = crate::support::client::encode(&["EVAL", script, "1", "k"]);
    c.send(&request).expect("it reads");
    let lines = |reply: crate::support::Reply| -> String {
        let lines = reply.items().iter().map(|line| line.text());
        lines.collect::<Vec<_>>().join("\n")
    };
    let stopped = lines(c.read().expect("the first stop"));
    assert!(stopped.contains("* Stopped at 1"), "{stopped}");

    // The debugger waits for orders, and nobody for the debugger.
    other.cmd("GET k").is("before");
    other.cmd("SET k meanwhile").ok();
    other.cmd("SET secret s").ok();
    let clients = other.cmd("CLIENT LIST").text();
    assert!(
        !clients.contains("user=ann"),
        "the session has left the server: {clients}"
    );

    let mut order = |words: &[&str]| {
        c.send(&crate::support::client::encode(words))
            .expect("it reads");
        lines(c.read().expect("an answer"))
    };
    let shown = order(&["step"]);
    assert!(
        shown.contains("\"before\"") && shown.contains("* Stopped at 2"),
        "{shown}"
    );
    let shown = order(&["redis", "DBSIZE"]);
    assert!(shown.contains("<reply> 1"), "{shown}");
    let shown = order(&["step"]);
    assert!(shown.contains("* Stopped at 3"), "{shown}");
    let shown = order(&["continue"]);
    assert!(shown.contains("<endsession>"), "{shown}");
    let reply = c.read().expect("the script's own reply");
    let items: Vec<String> = reply.items().iter().map(|item| item.text()).collect();
    assert_eq!(items[..2], ["before", "changed"], "{reply}");
    assert!(
        items[2].contains("No permissions"),
        "the user's rights hold in the session: {reply}"
    );
    assert!(
        c.read().is_err(),
        "the session is over, and so is the connection"
    );

    other.cmd("GET k").is("meanwhile");
    assert!(
        server
            .log()
            .contains("Redis asynchronous debugging eval session started")
    );
    let aof = server.dir().join("appendonlydir");
    let files = std::fs::read_dir(aof).expect("it is on").flatten();
    for file in files {
        let bytes = std::fs::read(file.path()).expect("it is there");
        assert!(!String::from_utf8_lossy(&bytes).contains("changed"));
    }
}

#[test]
fn a_session_on_a_copy_begins_where_it_can_and_says_where_it_cannot() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("SCRIPT DEBUG YES").ok();
    c.cmd("EVALSHA 0123456789012345678901234567890123456789 0")
        .error("NOSCRIPT");
    c.cmd("MULTI").ok();
    c.cmd("EVAL \"return redis.call('set','k','v')\" 0")
        .status("QUEUED");
    let refused = c.cmd("EXEC");
    assert!(refused.items()[0].is_error(), "{refused}");
    c.cmd("GET k").nil();
    c.cmd("SCRIPT DEBUG NO").ok();
    c.cmd("EVAL \"return redis.call('set','k','v')\" 0").ok();
    c.cmd("DEL k").is(1);
    // A client that leaves in the middle of a session changes nothing, either.
    let sha = c
        .cmd("SCRIPT LOAD \"redis.call('set','k','v') return 1\"")
        .text();
    let mut gone = server.client();
    gone.cmd("SCRIPT DEBUG YES").ok();
    gone.send(&crate::support::client::encode(&["EVALSHA", &sha, "0"]))
        .expect("it reads");
    gone.read().expect("the first stop");
    drop(gone);
    let ended = crate::support::server::until(std::time::Duration::from_secs(30), || {
        server
            .log()
            .contains("Redis asynchronous debugging eval session ended")
            .then_some(())
    });
    assert!(ended.is_some(), "{}", server.log());
    c.cmd("GET k").nil();

    let Some(cli) = find_in_path("redis-cli") else {
        eprintln!("skipped in part: no redis-cli");
        return;
    };
    let folder = Folder::new("ldb");
    let script = folder.write("s.lua", "redis.call('set','k','v')\nreturn 1\n");
    let mut child = Command::new(cli)
        .args(["-p", &server.port().to_string(), "--ldb", "--eval", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    let orders = child.stdin.take().expect("its input");
    (&orders)
        .write_all(b"step\nredis get k\ncontinue\n")
        .expect("it reads");
    drop(orders);
    let output = child.wait_with_output().expect("it ends");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(
        shown.contains("Stopped at 1") && shown.contains("<reply> \"v\""),
        "{shown}"
    );
    c.cmd("GET k").nil();
}

/// The names of redis_exporter, without those of other servers (Tile38, KeyDB), of single keys and of itself.
const EXPORTER: &str = "\
up gauge
instance_info gauge
uptime_in_seconds gauge
start_time_seconds gauge
process_id gauge
config_maxmemory gauge
config_maxclients gauge
connected_clients gauge
blocked_clients gauge
tracking_clients gauge
client_recent_max_output_buffer_bytes gauge
client_recent_max_input_buffer_bytes gauge
allocator_active_bytes gauge
allocator_allocated_bytes gauge
allocator_resident_bytes gauge
allocator_frag_ratio gauge
allocator_frag_bytes gauge
allocator_rss_ratio gauge
allocator_rss_bytes gauge
memory_used_bytes gauge
memory_used_rss_bytes gauge
memory_used_peak_bytes gauge
memory_used_lua_bytes gauge
memory_used_overhead_bytes gauge
memory_used_startup_bytes gauge
memory_used_dataset_bytes gauge
memory_used_scripts_bytes gauge
memory_max_bytes gauge
mem_fragmentation_ratio gauge
mem_fragmentation_bytes gauge
mem_clients_slaves gauge
mem_clients_normal gauge
mem_not_counted_for_eviction_bytes gauge
expired_stale_percentage gauge
lazyfree_pending_objects gauge
active_defrag_running gauge
migrate_cached_sockets_total gauge
defrag_hits gauge
defrag_misses gauge
defrag_key_hits gauge
defrag_key_misses gauge
total_system_memory_bytes gauge
loading_dump_file gauge
rdb_changes_since_last_save gauge
rdb_bgsave_in_progress gauge
rdb_last_save_timestamp_seconds gauge
rdb_last_bgsave_status gauge
rdb_last_bgsave_duration_sec gauge
rdb_current_bgsave_duration_sec gauge
rdb_last_cow_size_bytes gauge
aof_enabled gauge
aof_rewrite_in_progress gauge
aof_rewrite_scheduled gauge
aof_last_rewrite_duration_sec gauge
aof_current_rewrite_duration_sec gauge
aof_last_cow_size_bytes gauge
aof_current_size_bytes gauge
aof_base_size_bytes gauge
aof_pending_rewrite gauge
aof_buffer_length gauge
aof_pending_bio_fsync gauge
aof_delayed_fsync gauge
aof_last_bgrewrite_status gauge
aof_last_write_status gauge
module_fork_in_progress gauge
module_fork_last_cow_size gauge
pubsub_channels gauge
pubsub_patterns gauge
latest_fork_usec gauge
connected_slaves gauge
replication_backlog_bytes gauge
repl_backlog_is_active gauge
repl_backlog_first_byte_offset gauge
repl_backlog_history_bytes gauge
master_repl_offset gauge
second_repl_offset gauge
slave_expires_tracked_keys gauge
replica_resyncs_full gauge
replica_partial_resync_accepted gauge
replica_partial_resync_denied gauge
connections_received_total counter
commands_processed_total counter
rejected_connections_total counter
net_input_bytes_total counter
net_output_bytes_total counter
expired_keys_total counter
expired_time_cap_reached_total gauge counter
evicted_keys_total counter
keyspace_hits_total counter
keyspace_misses_total counter
cpu_sys_seconds_total counter
cpu_user_seconds_total counter
cpu_sys_children_seconds_total counter
cpu_user_children_seconds_total counter
commands_total counter
commands_duration_seconds_total counter
commands_failed_calls_total counter
commands_rejected_calls_total counter
errors_total counter
db_keys gauge
db_keys_expiring gauge
db_avg_ttl_seconds gauge
slowlog_length gauge
slowlog_last_id gauge
last_slow_execution_duration_seconds gauge
latency_spike_last gauge
latency_spike_duration_seconds gauge
exporter_last_scrape_error gauge
cluster_enabled gauge
";

/// Figures that only a replica has, or its primary.
const OF_REPLICAS: &str = "\
master_link_up gauge
master_last_io_seconds_ago gauge
master_sync_in_progress gauge
slave_repl_offset gauge
slave_info gauge
slave_priority gauge
";
const OF_PRIMARIES: &str = "\
connected_slave_offset_bytes gauge
connected_slave_lag_seconds gauge
";
const OF_CLUSTERS: &str = "\
cluster_state gauge
cluster_slots_assigned gauge
cluster_slots_ok gauge
cluster_slots_pfail gauge
cluster_slots_fail gauge
cluster_known_nodes gauge
cluster_size gauge
cluster_current_epoch gauge
cluster_my_epoch gauge
cluster_messages_sent_total gauge
cluster_messages_received_total gauge
";

/// A server with a port for figures, and what it tells there.
struct Watched {
    server: Server,
    port: u16,
}

impl Watched {
    fn start(arguments: &[&str]) -> Watched {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        drop(listener);
        let server = Server::oxidis()
            .args(["--metrics-port".to_owned(), port.to_string()])
            .args(arguments.iter().copied())
            .start();
        Watched { server, port }
    }

    fn figures(&self) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(request).expect("it reads");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("it answers");
        reply
    }

    #[track_caller]
    fn has(&self, names: &str) {
        let text = self.figures();
        for line in names.lines() {
            let mut words = line.split(' ');
            let name = words.next().expect("a name");
            let declared = words.any(|kind| {
                text.lines()
                    .any(|l| l == format!("# TYPE redis_{name} {kind}"))
            });
            assert!(declared, "no {line} in\n{text}");
            let sample = |l: &str| {
                let rest = l.strip_prefix("redis_")?.strip_prefix(name)?;
                let value = rest.rsplit_once(' ')?.1.parse::<f64>().ok();
                rest.starts_with(['{', ' ']).then_some(value?)
            };
            assert!(
                text.lines().any(|l| sample(l).is_some()),
                "no figure of {name} in\n{text}"
            );
        }
    }
}

#[test]
fn the_figures_that_people_alert_on_have_the_names_of_the_exporter() {
    let watched = Watched::start(&["--appendonly", "yes", "--latency-monitor-threshold", "1"]);
    let mut c = watched.server.client();
    c.cmd("CONFIG SET slowlog-log-slower-than 0").ok();
    c.cmd("SET k v EX 100").ok();
    c.cmd("NOSUCHCOMMAND").error("ERR");
    c.cmd("EVAL \"local n = 0; for i = 1, 3000000 do n = n + i end; return n\" 0");
    watched.has(EXPORTER);
    assert!(
        EXPORTER.lines().count() + OF_REPLICAS.lines().count() + OF_CLUSTERS.lines().count() > 120
    );
    let figures = watched.figures();
    for line in [
        "redis_aof_last_write_status 1",
        "redis_rdb_last_bgsave_status 1",
        "redis_config_maxclients ",
        "redis_db_keys{db=\"db0\"} 1",
    ] {
        assert!(figures.contains(line), "no {line} in\n{figures}");
    }

    let host = watched.server.port().to_string();
    let replica = Watched::start(&["--replicaof", "127.0.0.1", &host]);
    let online = crate::support::server::until(std::time::Duration::from_secs(30), || {
        let both = watched.figures().contains("slave_state=\"online\"")
            && replica.figures().contains(&format!(
                "redis_master_link_up{{master_host=\"127.0.0.1\",master_port=\"{host}\"}} 1"
            ));
        both.then_some(())
    });
    assert!(online.is_some(), "{}", replica.figures());
    replica.has(OF_REPLICAS);
    watched.has(OF_PRIMARIES);
    Watched::start(&["--cluster-enabled", "yes"]).has(OF_CLUSTERS);
}

/// CVE-2025-46817 as it was met: C code wrote past its memory, and the process went without a word in its log. There is
/// a report for a fatal signal on any thread, the thread that reports included.
#[cfg(target_os = "linux")]
#[test]
fn a_fatal_signal_to_any_thread_leaves_a_report() {
    for signal in [libc::SIGSEGV, libc::SIGABRT, libc::SIGSYS] {
        let mut met = 0;
        loop {
            let port = TcpListener::bind("127.0.0.1:0")
                .and_then(|l| l.local_addr())
                .expect("a port")
                .port();
            let mut server = Server::oxidis()
                .args(["--metrics-port".to_owned(), port.to_string()])
                .args(["--crash-memcheck-enabled", "no"])
                .start();
            let pid = server.pid();
            let mut threads: Vec<i32> = std::fs::read_dir(format!("/proc/{pid}/task"))
                .expect("it runs")
                .flatten()
                .filter_map(|task| task.file_name().to_str()?.parse().ok())
                .collect();
            threads.sort_unstable();
            let Some(thread) = threads.get(met) else {
                break;
            };
            met += 1;
            let name = std::fs::read_to_string(format!("/proc/{pid}/task/{thread}/comm"));
            let name = name.expect("it runs").trim().to_owned();
            // SAFETY: a signal to a thread of a process of our own.
            let sent = unsafe { libc::syscall(libc::SYS_tgkill, pid as i32, *thread, signal) };
            assert_eq!(sent, 0);
            assert!(!server.wait().success());
            let log = server.log();
            for part in [
                "BUG REPORT START",
                &format!("crashed by signal: {signal}"),
                "STACK TRACE",
                "BUG REPORT END",
            ] {
                assert!(log.contains(part), "{name}, {signal}: no {part} in\n{log}");
            }
        }
        assert!(met >= 6, "only {met} threads were met");
    }
}

/// Debian's unit for Redis scores 1.2; ours was at 5.7.
#[test]
fn the_unit_is_as_tight_as_the_one_of_debian() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/oxidis.service");
    let analyzed = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", "--threshold=12"])
        .arg(&unit)
        .output();
    let Ok(analyzed) = analyzed else {
        eprintln!("skipped: no systemd-analyze");
        return;
    };
    let text = String::from_utf8_lossy(&analyzed.stdout).into_owned();
    let score = text
        .split("Overall exposure level for oxidis.service: ")
        .nth(1);
    let Some(score) = score.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok())
    else {
        eprintln!("skipped: systemd-analyze does not know --offline");
        return;
    };
    assert!(score <= 1.2, "{score}\n{text}");
}

#[test]
fn info_has_the_fields_of_8_6() {
    let server = Server::oxidis()
        .args(["--enable-debug-command", "yes"])
        .start();
    let mut c = server.client();
    let info = c.cmd("INFO").text();
    for field in [
        "\r\nused_memory_peak_time:",
        "\r\nmem_replica_full_sync_buffer:0\r\n",
        "\r\nmem_cluster_slot_migration_output_buffer:0\r\n",
        "\r\nmem_cluster_slot_migration_input_buffer:0\r\n",
        "\r\nmem_cluster_slot_migration_input_buffer_peak:0\r\n",
        "\r\nrdb_saves_consecutive_failures:0\r\n",
        "\r\n# Threads\r\nio_thread_0:clients=",
        "\r\nexpired_subkeys_active:0\r\n",
        "\r\nexpired_keys_active:0\r\n",
        "\r\nio_threaded_total_prefetch_batches:0\r\n",
        "\r\nio_threaded_total_prefetch_entries:0\r\n",
        "\r\nacl_access_denied_tls_cert:0\r\n",
        "\r\n# Hotkeys\r\n",
    ] {
        assert!(info.contains(field), "no {field:?} in\n{info}");
    }
    let clients = c.cmd("CLIENT LIST").text();
    assert!(
        clients.contains(" lib-ver= io-thread=0 tot-net-in="),
        "{clients}"
    );
    let stats = c.cmd("MEMORY STATS");
    let names: Vec<String> = stats
        .items()
        .iter()
        .step_by(2)
        .map(|name| name.text())
        .collect();
    for name in ["replica.fullsync.buffer", "script.VMs"] {
        assert!(
            names.iter().any(|known| known == name),
            "no {name} in {names:?}"
        );
    }
    let figure = |c: &mut crate::support::Client, name: &str| {
        let info = c.cmd("INFO everything").text();
        let line = info
            .lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix(':').map(str::to_owned));
        line.expect("the field")
            .trim_end()
            .parse::<i64>()
            .expect("a number")
    };
    c.cmd("SET k v PX 1").ok();
    c.cmd("HSET h f v").is(1);
    c.cmd("HPEXPIRE h 1 FIELDS 1 f");
    let found = crate::support::server::until(std::time::Duration::from_secs(30), || {
        let both = figure(&mut c, "expired_keys_active") + figure(&mut c, "expired_subkeys_active");
        (both == 2).then_some(())
    });
    assert!(found.is_some(), "{}", c.cmd("INFO stats").text());
    let made = std::fs::create_dir(server.dir().join("dump.rdb"));
    made.expect("in the way of a save");
    c.cmd("BGSAVE");
    let failed = crate::support::server::until(std::time::Duration::from_secs(30), || {
        (figure(&mut c, "rdb_saves_consecutive_failures") == 1).then_some(())
    });
    assert!(failed.is_some());
}
