//! One server on a simulated disk, and what is known of its data set.
//!
//! After each command the data set has a fingerprint: what `DEBUG DIGEST` says of all databases, the functions, the
//! consumer groups. The commands cannot be repeated (INCR, APPEND, XADD, SWAPDB …), so what comes back after a crash is
//! as it was at one moment, or something was lost in the middle, done twice, or done in another database.
//!
//! ```text
//!   moments     0 ── 1 ── 2 ── 3 ── 4 ── 5 ── 6        each with its fingerprint
//!   safe                       ^ the server counts on this much: WAITAOF would say so
//!   after the power cut        3, 4, 5 or 6, and nothing else
//! ```

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};

use oxidis::Value;
use oxidis::background::Helpers;
use oxidis::clients::ClientKey;
use oxidis::config::Config;
use oxidis::dispatch;
use oxidis::persistence::aof::Mode;
use oxidis::persistence::loading::{Opened, Slice};
use oxidis::resp::argv::OwnedArgv;
use oxidis::resp::{Protocol, Reply};
use oxidis::state::State;
use oxidis::state::{Letter, Mailbox};
use oxidis::sys::clock::Clock;
use oxidis::sys::files::{Disk, SimulatedDisk};
use oxidis::sys::log::{Logger, Target};
use oxidis::util::rng::Rng;

const START_US: i64 = 1_700_000_000_000_000;
/// Databases that commands use.
const DATABASES: usize = 3;
pub const DIR: &str = "/home/data";
pub const CONFIG_FILE: &str = "/home/redis.conf";
pub const ACL_FILE: &str = "/home/data/users.acl";

/// The options an operator would have written into the configuration.
#[derive(Debug, Clone)]
pub struct Options {
    pub appendonly: bool,
    pub fsync: &'static str,
    pub preamble: bool,
    pub auto_gc: bool,
    pub timestamps: bool,
}

/// The log, in memory.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .expect("no test panicked in here")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A moment of the data set.
#[derive(Debug, Clone)]
struct Moment {
    fingerprint: String,
    /// How far the append-only file was fed.
    fed: u64,
    after: String,
}

pub struct Machine {
    pub state: State,
    pub disk: SimulatedDisk,
    helpers: Helpers,
    inbox: Receiver<Letter>,
    client: ClientKey,
    onlooker: ClientKey,
    pub options: Options,
    log: Lines,
    moments: Vec<Moment>,
    /// The moment that a finished save has.
    saved: usize,
    runs: u64,
    /// Numbers that make each command another.
    counter: u64,
    /// CONFIG REWRITE and ACL SAVE: the number that was written last for sure, and the last that may have been.
    pub rewritten: (u64, u64),
    pub users: (u64, u64),
}

/// The files that a server is given by its operator.
pub fn formatted() -> SimulatedDisk {
    let simulated = SimulatedDisk::new();
    let disk = Disk::simulated(simulated.clone());
    disk.make_dir(Path::new("/home")).expect("an empty disk");
    disk.make_dir(Path::new(DIR)).expect("an empty disk");
    for (path, text) in [
        (CONFIG_FILE, "# begin\nmaxmemory-samples 5\n# end\n"),
        (ACL_FILE, "user default on nopass ~* &* +@all\n"),
    ] {
        let mut file = disk.create(Path::new(path)).expect("an empty disk");
        file.write_all(text.as_bytes()).expect("room");
        file.sync_all().expect("a disk that works");
        let parent = Path::new(path).parent().expect("a directory");
        disk.sync_dir(parent).expect("a disk that works");
    }
    simulated
}

impl Machine {
    /// A server that has loaded what is on the disk; the log if it did not start.
    pub fn start(disk: SimulatedDisk, options: &Options, at_us: i64) -> Result<Machine, String> {
        let mut config = Config::default();
        let yes = |on: bool| if on { "yes" } else { "no" };
        for (name, value) in [
            ("appendonly", yes(options.appendonly)),
            ("appendfsync", options.fsync),
            ("aof-use-rdb-preamble", yes(options.preamble)),
            ("aof-disable-auto-gc", yes(!options.auto_gc)),
            ("aof-timestamp-enabled", yes(options.timestamps)),
            ("auto-aof-rewrite-percentage", "0"),
            ("enable-debug-command", "yes"),
            ("enable-protected-configs", "yes"),
            ("aclfile", "users.acl"),
            ("save", ""),
        ] {
            let set = config.assign(name.as_bytes(), value.as_bytes());
            set.unwrap_or_else(|reason| panic!("{name}: {reason}"));
        }
        config.dir = PathBuf::from(DIR);
        config.file = Some(PathBuf::from(CONFIG_FILE));
        let helpers = Helpers::by_hand();
        let (mailbox, inbox) = Mailbox::new(None);
        let mut state = State::new(
            config,
            Clock::manual(START_US + at_us),
            1,
            mailbox,
            oxidis::commands::GROUPS,
        );
        oxidis::server::turn::use_disk(&mut state, Disk::simulated(disk.clone()), helpers.clone());
        let log = Lines::default();
        state.log = Logger::new(Target::Writer(Box::new(log.clone())));
        state.refresh_clock();
        let mut machine = Machine {
            client: state.clients.insert_fake(0, Protocol::Resp2),
            onlooker: state.clients.insert_fake(0, Protocol::Resp2),
            state,
            disk,
            helpers,
            inbox,
            options: options.clone(),
            log,
            moments: Vec::new(),
            saved: 0,
            runs: 0,
            counter: 0,
            rewritten: (0, 0),
            users: (0, 0),
        };
        let state = &mut machine.state;
        let mut started = oxidis::acl::act::load_users(state);
        if started {
            started = match oxidis::persistence::act::loading::begin_loading(state) {
                Opened::Missing => true,
                Opened::Failed => false,
                Opened::Yes => loop {
                    match oxidis::persistence::act::loading::load_slice(state) {
                        Slice::More => {}
                        Slice::Done => break true,
                        Slice::Failed | Slice::OfPrimary(_) => break false,
                    }
                },
            };
        }
        if !started {
            return Err(machine.log());
        }
        machine.note("the start");
        Ok(machine)
    }

    pub fn log(&self) -> String {
        let log = self.log.0.lock().expect("no test panicked in here");
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Runs a command as another client, and gives its reply.
    fn look(&mut self, words: &[&str]) -> Value {
        self.run(self.onlooker, words)
    }

    fn run(&mut self, client: ClientKey, words: &[&str]) -> Value {
        let argv = OwnedArgv::from_words(words);
        let mut reply = Reply::to_value(Protocol::Resp2);
        dispatch::process(&mut self.state, client, argv.as_argv(), &mut reply);
        let reply = reply.take_values().into_iter().next();
        reply.unwrap_or(Value::Null)
    }

    fn fingerprint(&mut self) -> String {
        let mut parts = vec![self.look(&["DEBUG", "DIGEST"])];
        parts.push(self.look(&["FUNCTION", "LIST", "WITHCODE"]));
        for db in 0..DATABASES {
            self.look(&["SELECT", &db.to_string()]);
            parts.push(self.look(&["XPENDING", "stream", "group"]));
        }
        format!("{parts:?}")
    }

    /// Notes the data set as it is now, if it is another than before.
    fn note(&mut self, after: &str) {
        let fingerprint = self.fingerprint();
        let fed = self.state.persistence.aof.fed;
        if let Some(last) = self.moments.last_mut()
            && last.fingerprint == fingerprint
        {
            return;
        }
        self.moments.push(Moment {
            fingerprint,
            fed,
            after: after.to_owned(),
        });
    }

    /// Runs a command for the client, and notes what it changed.
    pub fn cmd(&mut self, line: &str) -> Value {
        let words: Vec<&str> = line.split(' ').collect();
        self.call(&words)
    }

    pub fn call(&mut self, words: &[&str]) -> Value {
        let dirty = self.state.dirty;
        let reply = self.run(self.client, words);
        if self.state.dirty != dirty {
            self.note(&words.join(" "));
        }
        reply
    }

    /// A command that changes the data set and cannot be repeated.
    pub fn change(&mut self, rng: &mut Rng) {
        self.counter += 1;
        let n = self.counter;
        match rng.below(22) {
            0..=4 => self.cmd("INCR n"),
            5 | 6 => self.cmd(&format!("APPEND s {n},")),
            7 => self.cmd(&format!("SELECT {}", rng.below(DATABASES as u64))),
            8 => self.cmd(&format!("XADD stream * n {n}")),
            9 => self.cmd("XGROUP CREATE stream group 0 MKSTREAM"),
            10 => self.cmd("XREADGROUP GROUP group one COUNT 1 STREAMS stream >"),
            11 => self.cmd("SWAPDB 0 1"),
            12 => self.cmd("MOVE n 2"),
            13 => self.cmd(&format!("RPUSH list {n}")),
            14 => self.cmd("LMOVE list list LEFT RIGHT"),
            15 => self.cmd(&format!("HINCRBY hash {} {n}", n % 5)),
            16 => self.cmd(&format!("ZINCRBY sorted 1 {}", n % 5)),
            17 => {
                let code = format!(
                    "#!lua name=lib\nredis.register_function('f', function() return {n} end)"
                );
                self.call(&["FUNCTION", "LOAD", "REPLACE", &code])
            }
            18 => {
                for line in ["MULTI", "INCR n", "APPEND s x", "SELECT 1", "INCR n"] {
                    self.cmd(line);
                }
                self.cmd("EXEC")
            }
            19 => {
                let script = "redis.call('incr', 'n') return redis.call('rpush', 'list', 'x')";
                self.call(&["EVAL", script, "0"])
            }
            20 => self.cmd(&format!("SETRANGE big {} {n}", 3000 * rng.below(4))),
            _ => self.cmd("RENAME n m"),
        };
    }

    /// The end of a turn of the loop: what was fed is written before anybody is told. False: the server gave up.
    pub fn turn(&mut self) -> bool {
        self.read_letters();
        oxidis::server::turn::before_sleep(&mut self.state);
        oxidis::persistence::act::append::flush(&mut self.state, false);
        !self.state.persistence.failed
    }

    pub fn pass(&mut self, ms: u64) {
        self.state.clock.advance(ms * 1000);
        self.state.refresh_clock();
    }

    pub fn cron(&mut self) {
        self.runs += 1;
        oxidis::server::turn::cron(&mut self.state, self.runs, 10);
    }

    fn read_letters(&mut self) {
        while let Ok(letter) = self.inbox.try_recv() {
            letter(&mut self.state);
        }
    }

    /// One task of a helper thread. Whether there was one.
    pub fn help(&mut self, rng: &mut Rng) -> bool {
        let ran = self
            .helpers
            .run_one(|count| rng.below(count as u64) as usize);
        self.read_letters();
        ran
    }

    /// All that helper threads have to do, and the turns between.
    pub fn settle(&mut self, rng: &mut Rng) {
        while self.help(rng) {
            self.turn();
        }
    }

    /// SAVE, which holds everything so far if it says so.
    pub fn save(&mut self) {
        let now = self.moments.len() - 1;
        if self.look(&["SAVE"]) == Value::Simple("OK".into()) {
            self.saved = self.saved.max(now);
        }
    }

    /// CONFIG REWRITE with a number that tells one text from another.
    pub fn rewrite_config(&mut self) {
        self.rewritten.1 += 1;
        let number = self.rewritten.1.to_string();
        self.look(&["CONFIG", "SET", "slowlog-max-len", &number]);
        if self.look(&["CONFIG", "REWRITE"]) == Value::Simple("OK".into()) {
            self.rewritten.0 = self.rewritten.1;
        }
    }

    /// ACL SAVE with one user more.
    pub fn save_users(&mut self) {
        self.users.1 += 1;
        let name = format!("user{}", self.users.1);
        self.look(&["ACL", "SETUSER", &name, "on", "nopass"]);
        if self.look(&["ACL", "SAVE"]) == Value::Simple("OK".into()) {
            self.users.0 = self.users.1;
        }
    }

    /// The first moment that a start may lead to: what is before is safe, whatever happens.
    fn promised(&self, killed: bool) -> usize {
        let aof = &self.state.persistence.aof;
        if !self.state.config.appendonly {
            return self.saved;
        }
        if aof.mode != Mode::On {
            return 0;
        }
        let safe = match killed {
            // Bytes that the kernel has are not lost.
            true => aof.fed - aof.buffered() as u64,
            false => aof.safe_offset(),
        };
        let at = self.moments.iter().rposition(|moment| moment.fed <= safe);
        at.unwrap_or(0)
    }

    /// The options with which an operator would start it again.
    pub fn options_now(&self) -> Options {
        Options {
            appendonly: self.state.config.appendonly,
            ..self.options.clone()
        }
    }

    /// Starts on what a crash left, and checks that it is what it must be. The new server goes on from there.
    pub fn reborn(&self, disk: SimulatedDisk, killed: bool) -> Result<Machine, String> {
        let at_us = self.state.clock.unix_us() - START_US + 60_000_000;
        let options = self.options_now();
        let mut next = Machine::start(disk, &options, at_us)
            .map_err(|log| format!("does not start\n{log}\nthe log before:\n{}", self.log()))?;
        let there = next.fingerprint();
        let found = self.moments.iter().rposition(|it| it.fingerprint == there);
        let promised = self.promised(killed);
        let last = self.moments.len() - 1;
        let next_log = next.log();
        let story = || {
            let after: Vec<&str> = self.moments.iter().map(|it| it.after.as_str()).collect();
            format!(
                "{options:?}, mode {:?}\n{after:#?}\n{}\n--- and then\n{}",
                self.state.persistence.aof.mode,
                self.log(),
                next_log
            )
        };
        match found {
            None => Err(format!(
                "it never was like this: {there}\nbut {:#?}\n{}",
                self.moments,
                story()
            )),
            Some(found) if found < promised => Err(format!(
                "moment {promised} of {last} was promised, {found} is there\n{}",
                story()
            )),
            Some(_) => {
                self.check_texts(&mut next)
                    .map_err(|what| format!("{what}\n{}", story()))?;
                next.counter = self.counter + 1000;
                // A file of an earlier life may be what a later one starts from.
                let mut moments = self.moments.clone();
                for moment in &mut moments {
                    moment.fed = 0;
                }
                moments.append(&mut next.moments);
                next.moments = moments;
                next.saved = self.saved;
                Ok(next)
            }
        }
    }

    /// The names in the directory of the append-only file.
    pub fn aof_files(&self) -> Vec<String> {
        let disk = Disk::simulated(self.disk.clone());
        let names = disk.list(&Path::new(DIR).join("appendonlydir"));
        let names = names.into_iter().flatten();
        names
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }

    /// The configuration file and the ACL file are whole, and as new as was promised.
    fn check_texts(&self, next: &mut Machine) -> Result<(), String> {
        let disk = Disk::simulated(next.disk.clone());
        let text = disk.read(Path::new(CONFIG_FILE), 1 << 20);
        let text = String::from_utf8(text.map_err(|error| error.to_string())?);
        let text = text.map_err(|error| error.to_string())?;
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix("slowlog-max-len "));
        let number: u64 = line.map_or(0, |n| n.parse().unwrap_or(u64::MAX));
        let whole =
            text.starts_with("# begin\n") && text.contains("# end\n") && text.ends_with('\n');
        if !whole || number < self.rewritten.0 || number > self.rewritten.1 {
            return Err(format!(
                "{:?} was rewritten, there is {text}",
                self.rewritten
            ));
        }
        next.rewritten = (number, self.rewritten.1);
        let Value::Array(users) = next.look(&["ACL", "USERS"]) else {
            return Err("no users".into());
        };
        let users = users.len() as u64 - 1;
        if users < self.users.0 || users > self.users.1 {
            return Err(format!(
                "{:?} users were saved, there are {users}",
                self.users
            ));
        }
        next.users = (users, users);
        Ok(())
    }
}
