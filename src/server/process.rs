//! The stand-alone server: from the arguments of the process to its exit code.
//!
//! ```text
//!   arguments, file ─► Config ─► log ─► background ─► limits, pid file ─► sockets ─► the loop ─► exit code
//! ```
//!
//! The first lines of the log are read by programs: tools wait for `Ready to accept connections`.
//!
//! Mirrors: main() of server.c.

use std::collections::HashSet;
use std::io::{self, Write};

use super::listeners::UNIX_FAILED;
use super::turn;
use super::{Server, metrics, report, sentinel};
use crate::acl::{self, RuleError, Vocabulary};
use crate::cluster;
use crate::command::table::CommandTable;
use crate::commands::GROUPS;
use crate::config;
use crate::config::disk;
use crate::config::{CommandLine, Config, Reason, Referee, Supervised};
use crate::modules;
use crate::observe;
use crate::observe::title::ProcessTitle;
use crate::persistence;
use crate::persistence::loading::Opened;
use crate::persistence::{aof, rdb};
use crate::replication;
use crate::sentinel::act::file::check;
use crate::sentinel::{Sentinel, Watch};
use crate::sys::files::Disk;
use crate::sys::log::{Level, Logger, Role};
use crate::sys::notify::Supervisor;
use crate::sys::title::Title;
use crate::sys::{affinity, crash, daemon, limits, locale, memtest, signal, syscheck};
use crate::{version, version_line};

/// How the names of helper threads begin.
const BIO_PREFIX: &str = "bio_";

const USAGE: &str = "\
Usage: oxidis-server [/path/to/redis.conf] [options] [-]
       oxidis-server /path/to/sentinel.conf --sentinel
       oxidis-server - (read the configuration from standard input)
       oxidis-server -v or --version
       oxidis-server -h or --help
       oxidis-server --test-memory <megabytes> [<passes>]
       oxidis-server --check-system

Examples:
       oxidis-server (with the default configuration)
       oxidis-server /etc/redis/6379.conf
       oxidis-server --port 7777
       oxidis-server --port 7777 --replicaof 127.0.0.1 8888
       oxidis-server /etc/redis.conf --loglevel verbose -
       oxidis-server /etc/sentinel.conf --sentinel
";

/// Runs the server these arguments describe, the program's name being the first, until it ends; returns the code to
/// exit with. Errors before there is a log go to standard error. Under the name of one of the tools that check files
/// (`redis-check-rdb`, `oxidis-check-aof`, …) it is that tool.
#[doc(alias = "main")]
pub fn run_process(arguments: &[Vec<u8>]) -> i32 {
    if let Some(name) = arguments.first() {
        let called = |tool: &[u8]| name.ends_with(tool);
        if called(b"-check-rdb") {
            return rdb::check::run(arguments, &mut io::stdout().lock());
        }
        if called(b"-check-aof") {
            return aof::check::run(arguments, &mut io::stdin().lock(), &mut io::stdout().lock());
        }
    }
    match arguments.get(1).map(Vec::as_slice) {
        Some(b"-v" | b"--version") => {
            println!("{}", version_line());
            return 0;
        }
        Some(b"--check-system") => return syscheck::run(&mut io::stdout().lock()),
        Some(b"--test-memory") => {
            return memtest::run(&arguments[2..], &mut io::stdout().lock());
        }
        Some(b"-h" | b"--help") => {
            print!("{USAGE}");
            return 0;
        }
        _ => {}
    }
    let command_line = CommandLine::parse(arguments);
    let mut judge = Judge {
        commands: match command_line.sentinel {
            true => crate::commands::sentinel::table(),
            false => crate::command::table::CommandTable::new(GROUPS),
        },
        users: HashSet::new(),
    };
    let (config, remarks) = match Config::load(&command_line, &mut judge) {
        Ok(loaded) => loaded,
        Err(fatal) => {
            eprint!("{fatal}");
            return 1;
        }
    };
    let machine = match config.sentinel.then(|| sentinel::from_file(&config)) {
        None => None,
        Some(Ok(machine)) => Some(machine),
        Some(Err(fatal)) => {
            eprint!("{fatal}");
            return 1;
        }
    };
    let log = config.open_log();
    for remark in &remarks {
        log.write(remark.level, &remark.text);
    }
    if config.daemonize
        && let Err(error) = daemon::detach()
    {
        let reason = disk::reason(&error);
        log.warning(format_args!("Can't go into the background: {reason}"));
        return 1;
    }
    if !locale::exists(&config.locale_collate) {
        log.warning("Failed to configure LOCALE for invalid locale name.");
        return 1;
    }
    // While there is one thread, and after the last fork.
    let title = config.set_proc_title.then(Title::take).flatten();
    let title = title.map(|room| ProcessTitle {
        room,
        program: String::from_utf8_lossy(&arguments[0]).into_owned(),
    });
    serve(config, machine, log, title, arguments.len() == 1)
}

/// Makes the process a server and runs it.
fn serve(
    mut config: Config,
    machine: Option<Sentinel>,
    log: Logger,
    title: Option<ProcessTitle>,
    no_arguments: bool,
) -> i32 {
    log.notice("oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo");
    log.notice(format_args!(
        "{}, pid={}, just started",
        version(),
        std::process::id()
    ));
    match no_arguments {
        true => log.warning(
            "Warning: no config file specified, using the default config. In order to specify a \
             config file use oxidis-server /path/to/redis.conf",
        ),
        false => log.notice("Configuration loaded"),
    }
    if config.sentinel
        && let Err(line) = check(&config)
    {
        log.warning(line);
        return 1;
    }
    let granted = limits::clients(config.maxclients);
    if granted < config.maxclients {
        let asked = std::mem::replace(&mut config.maxclients, granted);
        log.warning(format_args!(
            "The system does not grant enough open files for {asked} clients: maxclients has been \
             reduced to {granted}. Raise 'ulimit -n' for more."
        ));
    }
    let pid_file = write_pid_file(&config, &log);
    let code = match Server::new(config) {
        Ok(mut server) => {
            server.state.log = log.clone();
            server.state.title = title;
            server.state.sentinel = machine.map(|machine| Box::new(Watch::new(machine)));
            observe::act::title::show_title(&server.state);
            crash::install(&log, server.state.config.crash_log_enabled);
            crash::exit_on_panic(server.state.config.use_exit_on_panic);
            crash::test_memory(server.state.config.crash_memcheck_enabled);
            crash::hide_user_data(server.state.config.hide_user_data_from_log);
            server.sockets.supervisor = supervisor(&server.state.config, &log);
            let runs = match server.state.config.sentinel {
                true => sentinel::run,
                false => run,
            };
            let code = crash::attend(&mut server, report::tell, |server| runs(server, &log));
            crash::leave();
            code
        }
        Err(error) => {
            let reason = disk::reason(&error);
            log.warning(format_args!("Can't start: {reason}"));
            1
        }
    };
    if let Some(file) = pid_file {
        log.notice("Removing the pid file.");
        // The next server overwrites one that stays.
        let _ = Disk::machine().remove_file(&file);
    }
    code
}

fn run(server: &mut Server, log: &Logger) -> i32 {
    own_process(server, log);
    turn::start_helpers(&mut server.state);
    if let Some(list) = &server.state.config.bio_cpulist
        && let Err(reason) = affinity::set_for_threads(BIO_PREFIX, list)
    {
        log.warning(format_args!("bio-cpulist \"{list}\": {reason}"));
    }
    for (from, to) in server.state.config.directives.renamed_commands.clone() {
        let (from, to) = (String::from_utf8_lossy(&from), String::from_utf8_lossy(&to));
        if let Err(reason) = server.state.commands.rename(&from, &to) {
            log.warning(reason);
            return 1;
        }
    }
    // Before users are made, whose rules may name commands of modules.
    if !modules::act::load::load_configured(&mut server.state) {
        return 1;
    }
    if !acl::act::load_users(&mut server.state) {
        return 1;
    }
    // A score that cannot be set was logged; Redis goes on, too.
    let _ = config::act::set_oom_score(&mut server.state, "oom-score-adj");
    let Some((tcp, tls)) = listen(server, log) else {
        return 1;
    };
    let config = &server.state.config;
    let unix = config.unixsocket.is_some();
    if let Err(line) = server.listen_bus(false) {
        log.warning(line);
        return 1;
    }
    if !cluster::act::start::start(&mut server.state) {
        return 1;
    }
    let config = &server.state.config;
    log.set_role(match config.replicaof {
        Some(_) => Role::Replica,
        None => Role::Primary,
    });
    if let Err(line) = metrics::serve(config, &server.state.mailbox) {
        log.warning(line);
        return 1;
    }
    log.notice("Server initialized");
    for (listens, kind) in [(tcp, "tcp"), (unix, "unix"), (tls, "tls")] {
        if listens {
            let line = format!("Ready to accept connections {kind}");
            server.sockets.announcements.push(line);
        }
    }
    replication::act::link::follow_at_start(&mut server.state);
    match persistence::act::loading::begin_loading(&mut server.state) {
        Opened::Yes => {}
        Opened::Missing => server.announce(),
        Opened::Failed => return 1,
    }
    serve_clients(server, log)
}

/// Takes signals, processors and memory pages of the process as the configuration says. Before any thread is started.
pub(super) fn own_process(server: &mut Server, log: &Logger) {
    signal::install();
    server.own_process();
    // Before any thread is started: it inherits both.
    use_processors(&server.state.config, log);
    if server.state.config.disable_thp
        && let Err(error) = limits::refuse_huge_pages()
    {
        let reason = disk::reason(&error);
        log.warning(format_args!(
            "Can't keep the system from backing this process with huge pages: {reason}"
        ));
    }
}

/// Shows the banner and listens; whether on TCP without TLS, and with it. None if it cannot: the log says why.
pub(super) fn listen(server: &mut Server, log: &Logger) -> Option<(bool, bool)> {
    show_banner(&server.state.config, log);
    if let Err(line) = server.follow_tls() {
        log.warning(line);
        log.warning("Failed to configure TLS. Check logs for more info.");
        return None;
    }
    let config = &server.state.config;
    let port = config.port;
    if let Err(line) = server.listen(false) {
        let of_unix_socket = line.starts_with(UNIX_FAILED);
        log.warning(line);
        if !of_unix_socket {
            log.warning(format_args!(
                "Failed listening on port {port} (tcp), aborting."
            ));
        }
        return None;
    }
    let unix = server.state.config.unixsocket.is_some();
    let (tcp, tls) = server.families();
    if !tcp && !tls && !unix {
        log.warning("Configured to not listen anywhere, exiting.");
        return None;
    }
    Some((tcp, tls))
}

/// Serves clients until the end; the exit code.
pub(super) fn serve_clients(server: &mut Server, log: &Logger) -> i32 {
    let code = server.run();
    if let Some(supervisor) = &server.sockets.supervisor {
        // An error is ignored: the supervisor notices the end of the process anyway.
        let _ = supervisor.say("STOPPING=1\n");
    }
    if code == 0 {
        let who = match server.state.config.sentinel {
            true => "Sentinel",
            false => "Redis",
        };
        log.warning(format_args!("{who} is now ready to exit, bye bye..."));
    }
    code
}

/// Binds the process to the processors of `server-cpulist`; a list that cannot be followed is reported in the log.
#[doc(alias = "redisSetCpuAffinity")]
fn use_processors(config: &Config, log: &Logger) {
    if let Some(list) = &config.server_cpulist
        && let Err(reason) = affinity::set(list)
    {
        log.warning(format_args!("server-cpulist \"{list}\": {reason}"));
    }
}

/// The supervisor to tell that the server is ready, by `supervised` and the environment.
#[doc(alias = "redisIsSupervised")]
fn supervisor(config: &Config, log: &Logger) -> Option<Supervisor> {
    let missing = |who: &str, variable: &str| {
        log.warning(format_args!(
            "{who} supervision requested but {variable} not found"
        ));
    };
    match config.supervised {
        Supervised::No => None,
        Supervised::Systemd => Supervisor::systemd().or_else(|| {
            missing("systemd", "NOTIFY_SOCKET");
            None
        }),
        Supervised::Upstart => Supervisor::upstart().or_else(|| {
            missing("upstart", "UPSTART_JOB");
            None
        }),
        Supervised::Auto => Supervisor::upstart().or_else(Supervisor::systemd),
    }
}

/// Writes the process id where the configuration says; where daemons do if it says nothing.
#[doc(alias = "createPidFile")]
fn write_pid_file(config: &Config, log: &Logger) -> Option<std::path::PathBuf> {
    let file = match (&config.pidfile, config.daemonize) {
        (Some(file), _) => file.as_str(),
        (None, true) => "/var/run/redis.pid",
        (None, false) => return None,
    };
    let file = config.dir.join(file);
    let written = Disk::machine().create(&file);
    match written.and_then(|mut file| writeln!(file, "{}", std::process::id())) {
        Ok(()) => Some(file),
        Err(error) => {
            let reason = disk::reason(&error);
            log.warning(format_args!("Failed to write PID file: {reason}"));
            None
        }
    }
}

/// The banner where a person may look, one line of the same elsewhere.
#[doc(alias = "redisAsciiArt")]
fn show_banner(config: &Config, log: &Logger) {
    use std::io::IsTerminal;
    let mode = config.mode();
    let port = match config.port {
        0 => config.tls_port,
        port => port,
    };
    let watched = config.logfile.is_empty() && std::io::stdout().is_terminal();
    if !config.always_show_logo && !watched {
        log.notice(format_args!("Running mode={mode}, port={port}."));
        return;
    }
    let (own, redis) = (env!("CARGO_PKG_VERSION"), crate::REDIS_VERSION);
    let pid = std::process::id();
    let lines = [
        String::new(),
        format!("    ██████╗ ██╗  ██╗    Oxidis {own}"),
        format!("   ██╔═══██╗╚██╗██╔╝    speaks Redis {redis}"),
        "   ██║   ██║ ╚███╔╝".to_owned(),
        format!("   ██║   ██║ ██╔██╗     Running in {mode} mode"),
        format!("   ╚██████╔╝██╔╝ ██╗    Port: {port}"),
        format!("    ╚═════╝ ╚═╝  ╚═╝    PID: {pid}"),
        String::new(),
    ];
    log.raw(Level::Notice, &(lines.join("\n") + "\n"));
}

/// Judges the lines of a configuration file that name commands.
struct Judge {
    commands: CommandTable,
    /// Users declared so far.
    users: HashSet<Vec<u8>>,
}

impl Referee for Judge {
    fn rename_command(&mut self, from: &[u8], to: &[u8]) -> Result<(), Reason> {
        let (from, to) = (String::from_utf8_lossy(from), String::from_utf8_lossy(to));
        self.commands.rename(&from, &to).map_err(Reason::from)
    }

    fn user(&mut self, words: &[Vec<u8>]) -> Result<(), Reason> {
        let wrong = |what: &[u8], error: RuleError| {
            let what = String::from_utf8_lossy(what);
            Reason::from(format!("Error in user declaration '{what}': {error}"))
        };
        let Some((name, rules)) = words.split_first() else {
            return Ok(());
        };
        if !self.users.insert(name.clone()) {
            return Err(wrong(name, RuleError::Duplicate));
        }
        let rules: Vec<&[u8]> = rules.iter().map(Vec::as_slice).collect();
        let vocabulary = Vocabulary {
            commands: &self.commands,
            all_channels: false,
        };
        acl::check_declaration(&rules, vocabulary).map_err(|(rule, error)| wrong(&rule, error))
    }
}
