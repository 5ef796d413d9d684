//! Oxidis and real Redis side by side: what a request costs, and what a key takes.
//!
//! ```text
//!   cargo bench --bench compare -- [--only GET,SET] [--depths 1,16,64] [--rounds 5] [--redis PATH] …
//!
//!   core 0   oxidis-server, redis-server       both run; only one is asked at a time: A B A B …
//!   core 1   this program, 50 connections      so that neighbours' noise meets both alike
//! ```
//!
//! The measure is **CPU time of the server process per request**: it repeats well on a busy machine and is what an
//! operator pays; requests per second also show what the kernel and this client can do. Both are medians over the
//! rounds. The memory part gives each server a million keys in a fresh process, per shape. A process's figures come
//! from /proc, so this is for Linux.
//!
//! Further workloads are one line each in `WORKLOADS` and `SHAPES` of `compare/workloads.rs`.

// A benchmark measures real time on the real machine.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "../tests/it/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use more of it")]
mod support;
#[path = "compare/workloads.rs"]
mod workloads;

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{env, fs, process};

use getopts::{Matches, Options};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use support::random::Random;
use support::{Client, Server};
use workloads::{SHAPES, WORKLOADS};

/// More than what `--connections`, `--idle` and the listeners of a workload need.
const MAX_CONNECTIONS: &str = "30000";

/// A depth at which the load sends enough that its own pauses do not show.
const FILL_DEPTH: usize = 64;

fn main() {
    let plan = Plan::from_args();
    let redis_version = version(&plan.redis);
    println!(
        "Oxidis {} and Redis {redis_version}: {} connections, {} keys, {} rounds of {} requests\n",
        version(&plan.oxidis),
        plan.connections,
        plan.keys,
        plan.rounds,
        plan.requests,
    );
    if !plan.depths.is_empty() {
        measure_speed(&plan);
    }
    if plan.memory_keys > 0 {
        measure_memory(&plan);
    }
    if plan.idle > 0 {
        measure_idle(&plan);
    }
}

struct Plan {
    oxidis: PathBuf,
    redis: PathBuf,
    rounds: usize,
    requests: usize,
    keys: u64,
    memory_keys: u64,
    depths: Vec<usize>,
    connections: usize,
    idle: usize,
    /// How many files this process may open.
    files: u64,
    only: Vec<String>,
    /// The server's core and the load's. `None` if there is one core only, or none could be had.
    cores: Option<(usize, usize)>,
}

impl Plan {
    fn from_args() -> Plan {
        let mut options = Options::new();
        options.optopt(
            "",
            "oxidis",
            "our server (default: the one just built)",
            "PATH",
        );
        options.optopt(
            "",
            "redis",
            "Redis's server (default: redis-server in PATH)",
            "PATH",
        );
        options.optopt(
            "",
            "rounds",
            "rounds per server; medians count (default: 5)",
            "N",
        );
        options.optopt(
            "",
            "requests",
            "requests per round, four times as many when pipelined (default: 200000)",
            "N",
        );
        options.optopt("", "keys", "different keys (default: 100000)", "N");
        options.optopt(
            "",
            "memory-keys",
            "keys for the memory part; 0: leave it out (default: 1000000)",
            "N",
        );
        options.optopt(
            "",
            "depths",
            "pipeline depths; '': memory only (default: 1,16,64)",
            "LIST",
        );
        options.optopt(
            "",
            "connections",
            "connections that send requests (default: 50)",
            "N",
        );
        options.optopt(
            "",
            "idle",
            "connections that do nothing meanwhile; what one takes is measured last (default: 0)",
            "N",
        );
        options.optopt(
            "",
            "only",
            "names of tests, or their beginnings (default: all)",
            "LIST",
        );
        options.optopt(
            "",
            "cores",
            "core of the servers, core of the load (default: 0,1)",
            "LIST",
        );
        options.optflag("", "bench", "given by cargo, means nothing");
        options.optflag("h", "help", "this");
        let given = options
            .parse(env::args().skip(1))
            .unwrap_or_else(|error| stop(&error.to_string()));
        if given.opt_present("help") {
            stop(
                options
                    .usage("cargo bench --bench compare -- [options]")
                    .trim_end(),
            );
        }

        let oxidis = given
            .opt_str("oxidis")
            .map_or_else(|| env!("CARGO_BIN_EXE_oxidis-server").into(), PathBuf::from);
        let redis = given.opt_str("redis").map(PathBuf::from);
        let in_path = || {
            let path = env::var_os("PATH")?;
            env::split_paths(&path)
                .map(|dir| dir.join("redis-server"))
                .find(|program| program.is_file())
        };
        let cores: Vec<usize> = list(&given, "cores", "0,1");
        let files = allow_open_files();
        let available = std::thread::available_parallelism().map_or(1, usize::from);
        let pinned = cores.len() == 2 && available >= 2 && pin(cores[0]);
        if !pinned {
            eprintln!("note: not pinned to cores, the figures will scatter");
        }
        Plan {
            oxidis,
            redis: redis
                .or_else(in_path)
                .unwrap_or_else(|| stop("no redis-server in PATH: --redis PATH")),
            rounds: number(&given, "rounds", 5).max(1) as usize,
            requests: number(&given, "requests", 200_000).max(1_000) as usize,
            keys: number(&given, "keys", 100_000).max(1),
            memory_keys: number(&given, "memory-keys", 1_000_000),
            depths: list(&given, "depths", "1,16,64"),
            connections: number(&given, "connections", 50).max(1) as usize,
            idle: number(&given, "idle", 0) as usize,
            files,
            only: list(&given, "only", ""),
            cores: pinned.then(|| (cores[0], cores[1])),
        }
    }

    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| name.starts_with(only.as_str()))
    }

    /// The child inherits our core, then we go back to ours.
    fn start(&self, program: &PathBuf) -> Server {
        if let Some((servers, _)) = self.cores {
            pin(servers);
        }
        let server = Server::program(program)
            .args(["--loglevel", "warning"])
            .args(["--maxclients", MAX_CONNECTIONS])
            .start();
        if let Some((_, load)) = self.cores {
            pin(load);
        }
        server
    }
}

fn number(given: &Matches, name: &str, default: u64) -> u64 {
    let text = given.opt_str(name).unwrap_or_else(|| default.to_string());
    text.parse()
        .unwrap_or_else(|_| stop(&format!("--{name} takes a number")))
}

fn list<T: std::str::FromStr>(given: &Matches, name: &str, default: &str) -> Vec<T> {
    let text = given.opt_str(name).unwrap_or_else(|| default.to_owned());
    let items = text.split(',').filter(|item| !item.is_empty());
    items
        .map(|item| {
            item.parse()
                .unwrap_or_else(|_| stop(&format!("--{name}: not {item}")))
        })
        .collect()
}

fn stop(message: &str) -> ! {
    eprintln!("{message}");
    process::exit(2)
}

/// This thread, and what it starts from now on, runs on this core only.
#[cfg(target_os = "linux")]
fn pin(core: usize) -> bool {
    let mut set = [0u64; 16];
    if core >= 64 * set.len() {
        return false;
    }
    set[core / 64] |= 1 << (core % 64);
    // SAFETY: `set` is a whole number of words, alive for the call, of the size told; the kernel only reads it.
    unsafe { libc::sched_setaffinity(0, size_of_val(&set), set.as_ptr().cast()) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn pin(_core: usize) -> bool {
    false
}

/// As many files as the system lets us open, which is told: both ends of thousands of connections are here and in
/// the servers.
fn allow_open_files() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` and its like are alive for the calls, which only read or write them.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        let above = limit.rlim_max.max(65_536);
        for wanted in [above, limit.rlim_max] {
            let raised = libc::rlimit {
                rlim_cur: wanted,
                rlim_max: wanted,
            };
            if libc::setrlimit(libc::RLIMIT_NOFILE, &raised) == 0 {
                return wanted;
            }
        }
    }
    limit.rlim_cur
}

fn version(program: &PathBuf) -> String {
    let output = process::Command::new(program).arg("--version").output();
    let text = output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    let version = text
        .split_whitespace()
        .find_map(|word| word.strip_prefix("v=").or(word.strip_prefix("version=")));
    version
        .map_or("of unknown version", |version| {
            version.trim_end_matches(',')
        })
        .to_owned()
}

// --- Speed ---

/// The figures of one round.
struct Round {
    requests_per_second: f64,
    cpu_nanos_per_request: f64,
}

fn measure_speed(plan: &Plan) {
    println!(
        "{:24}{:^36}{:^36}",
        "", "requests per second", "CPU per request, ns"
    );
    let header = format!("{:>12}{:>12}{:>10}  ", "Oxidis", "Redis", "ratio");
    println!("{:<14}{:>10}{header}{header}", "test", "pipeline");
    let servers = [plan.start(&plan.oxidis), plan.start(&plan.redis)];
    let _idle = servers
        .each_ref()
        .map(|server| connect_idle(server, plan.idle));
    for workload in WORKLOADS
        .iter()
        .filter(|workload| plan.wants(workload.name))
    {
        let needed = (workload.listeners + 2 * (plan.connections + plan.idle)) as u64 + 100;
        if needed > plan.files {
            println!(
                "{:<14} left out: it needs {needed} open files",
                workload.name
            );
            continue;
        }
        for server in &servers {
            server.client().cmd("FLUSHALL");
            for request in workload.prepare {
                let each = request.contains("{key}") || request.contains("{number}");
                fill(
                    server,
                    request,
                    workload.value_len,
                    if each { plan.keys } else { 1 },
                );
            }
        }
        for &depth in &plan.depths {
            let requests = plan.requests * if depth > 1 { 4 } else { 1 };
            let requests = requests / workload.listeners.clamp(1, 100);
            let mut rounds: [Vec<Round>; 2] = Default::default();
            let mut loads = servers.each_ref().map(|server| {
                let template = Template::new(
                    workload.request,
                    workload.value_len,
                    Counting::Random(plan.keys),
                );
                let mut load = Load::connect(server.port(), template, plan.connections, depth);
                load.run(requests / 10);
                load
            });
            for _ in 0..plan.rounds {
                for (which, load) in loads.iter_mut().enumerate() {
                    let (port, count) = (servers[which].port(), workload.listeners);
                    let _listening = (count > 0).then(|| Listeners::start(port, count));
                    rounds[which].push(round(servers[which].pid(), load, requests));
                }
            }
            let per_second = rounds
                .each_ref()
                .map(|rounds| median(rounds, |round| round.requests_per_second));
            let nanos = rounds
                .each_ref()
                .map(|rounds| median(rounds, |round| round.cpu_nanos_per_request));
            println!(
                "{:<14}{depth:>10}{:>12.0}{:>12.0}{:>10.2}  {:>12.0}{:>12.0}{:>10.2}",
                workload.name,
                per_second[0],
                per_second[1],
                per_second[0] / per_second[1],
                nanos[0],
                nanos[1],
                nanos[0] / nanos[1],
            );
        }
    }
    println!();
}

fn round(pid: u32, load: &mut Load, requests: usize) -> Round {
    let (cpu, clock) = (cpu_time(pid), Instant::now());
    let done = load.run(requests) as f64;
    let (elapsed, used) = (clock.elapsed(), cpu_time(pid) - cpu);
    Round {
        requests_per_second: done / elapsed.as_secs_f64(),
        cpu_nanos_per_request: used.as_nanos() as f64 / done,
    }
}

/// CPU time of all threads of a process. The scheduler's own figure, to the nanosecond; where it is not kept, user
/// plus system time in hundredths of a second.
fn cpu_time(pid: u32) -> Duration {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        nanos += text
            .split_whitespace()
            .next()
            .and_then(|field| field.parse::<u64>().ok())
            .unwrap_or(0);
    }
    if nanos > 0 {
        return Duration::from_nanos(nanos);
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

fn median<T>(items: &[T], figure: impl Fn(&T) -> f64) -> f64 {
    let mut figures: Vec<f64> = items.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len() % 2 == 1 {
        figures[middle]
    } else {
        (figures[middle - 1] + figures[middle]) / 2.0
    }
}

// --- Memory ---

fn measure_memory(plan: &Plan) {
    println!(
        "{:20}{:^34}{:^34}",
        "", "used_memory, bytes per key", "resident, bytes per key"
    );
    let header = format!("{:>10}{:>10}{:>10}    ", "Oxidis", "Redis", "ratio");
    println!("{:<20}{header}{header}", "value, 16-byte key");
    for shape in SHAPES.iter().filter(|shape| plan.wants(shape.name)) {
        let [ours, theirs] = [&plan.oxidis, &plan.redis].map(|program| {
            let server = plan.start(program);
            let before = memory(&server);
            fill(&server, shape.request, shape.value_len, plan.memory_keys);
            let after = memory(&server);
            [0, 1].map(|i| (after[i] - before[i]) / plan.memory_keys as f64)
        });
        let row = |i: usize| {
            format!(
                "{:>10.1}{:>10.1}{:>10.2}    ",
                ours[i],
                theirs[i],
                ours[i] / theirs[i]
            )
        };
        println!("{:<20}{}{}", shape.name, row(0), row(1));
    }
}

/// Connections that said PING once, as one taken out of a client library's pool did, and nothing since.
fn connect_idle(server: &Server, count: usize) -> Vec<std::net::TcpStream> {
    let connect = |_| {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.port())).expect("room");
        stream.write_all(b"PING\r\n").expect("a live server");
        stream.read_exact(&mut [0; 7]).expect("an answer");
        stream
    };
    (0..count).map(connect).collect()
}

fn measure_idle(plan: &Plan) {
    let [ours, theirs] = [&plan.oxidis, &plan.redis].map(|program| {
        let server = plan.start(program);
        let before = memory(&server);
        let _idle = connect_idle(&server, plan.idle);
        // Buffers that were needed once are given back after a while.
        std::thread::sleep(Duration::from_secs(5));
        let after = memory(&server);
        [0, 1].map(|i| (after[i] - before[i]) / plan.idle as f64)
    });
    for (i, what) in ["used_memory", "resident"].into_iter().enumerate() {
        println!(
            "{what}, bytes per idle connection: {:.0}, Redis {:.0}, ratio {:.2}",
            ours[i],
            theirs[i],
            ours[i] / theirs[i]
        );
    }
}

/// `used_memory` and resident bytes, once nothing moves any more: a table may still be on its way to a new size.
fn memory(server: &Server) -> [f64; 2] {
    let mut client = server.client();
    let mut last = sample(&mut client, server.pid());
    for _ in 0..50 {
        std::thread::sleep(Duration::from_millis(200));
        let now = sample(&mut client, server.pid());
        if (now[0] - last[0]).abs() < 65_536.0 && (now[1] - last[1]).abs() < 65_536.0 {
            break;
        }
        last = now;
    }
    last
}

fn sample(client: &mut Client, pid: u32) -> [f64; 2] {
    let info = client.cmd("INFO memory").text();
    let used = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:")?.parse().ok());
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
    let resident_kb: Option<f64> = resident.and_then(|kb| kb.parse().ok());
    [
        used.expect("INFO tells used_memory"),
        resident_kb.expect("/proc tells VmRSS") * 1024.0,
    ]
}

// --- Load ---

fn fill(server: &Server, request: &'static str, value_len: usize, times: u64) {
    let template = Template::new(request, value_len, Counting::Up(0));
    let depth = FILL_DEPTH.min(times as usize);
    Load::connect(server.port(), template, 1, depth).run(times as usize);
}

/// How the next key or number is found.
enum Counting {
    Random(u64),
    Up(u64),
}

/// A request as bytes, with the places where keys and numbers go.
struct Template {
    bytes: Vec<u8>,
    /// Offsets of 12 digits each. The places of one request share the number when they count up.
    digits_at: Vec<usize>,
    commands: usize,
    counting: Counting,
    random: Random,
}

const DIGITS: usize = 12;

impl Template {
    fn new(request: &str, value_len: usize, counting: Counting) -> Template {
        // 16 bytes, the last 12 of them digits.
        let (key, number, value) = (
            format!("key:{}", "#".repeat(DIGITS)),
            "#".repeat(DIGITS),
            "x".repeat(value_len),
        );
        let filled = request
            .replace("{key}", &key)
            .replace("{number}", &number)
            .replace("{value}", &value);
        let commands: Vec<&str> = filled.split(" ; ").collect();
        let bytes: Vec<u8> = commands
            .iter()
            .flat_map(|command| support::client::encode(&support::client::split(command)))
            .collect();
        let mut digits_at = Vec::new();
        while let Some(at) = find(
            &bytes,
            number.as_bytes(),
            digits_at.last().map_or(0, |at| at + DIGITS),
        ) {
            digits_at.push(at);
        }
        Template {
            bytes,
            digits_at,
            commands: commands.len(),
            counting,
            random: Random::new(1),
        }
    }

    /// Appends the next request.
    fn write_next(&mut self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        for at in &self.digits_at {
            let mut number = match self.counting {
                Counting::Random(bound) => self.random.next() % bound,
                Counting::Up(next) => next,
            };
            for digit in out[start + at..start + at + DIGITS].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        if let Counting::Up(next) = &mut self.counting {
            *next += 1;
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    Some(
        from + bytes[from..]
            .windows(wanted.len())
            .position(|window| window == wanted)?,
    )
}

/// Connections that each send `depth` requests at once, wait for all their replies, and begin again.
struct Load {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    template: Template,
    depth: usize,
}

struct Connection {
    stream: TcpStream,
    out: Vec<u8>,
    written: usize,
    replies: ReplyCounter,
    awaited: usize,
}

impl Load {
    fn connect(port: u16, template: Template, connections: usize, depth: usize) -> Load {
        let poll = Poll::new().expect("epoll");
        let address = ([127, 0, 0, 1], port).into();
        let connections = (0..connections).map(|number| {
            let mut stream = TcpStream::connect(address).expect("the server listens");
            stream.set_nodelay(true).expect("a TCP socket");
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry()
                .register(&mut stream, Token(number), interest)
                .expect("a fresh socket");
            Connection {
                stream,
                out: Vec::new(),
                written: 0,
                replies: ReplyCounter::default(),
                awaited: 0,
            }
        });
        let connections = connections.collect();
        Load {
            poll,
            events: Events::with_capacity(256),
            connections,
            template,
            depth,
        }
    }

    /// Sends `total` requests, or a few more to fill the last pipelines, and awaits their replies; tells how many.
    fn run(&mut self, total: usize) -> usize {
        let mut sent = 0;
        let mut busy = 0;
        let mut chunk = vec![0; 64 << 10];
        for number in 0..self.connections.len() {
            if sent < total {
                sent += self.send_batch(number, total - sent);
                busy += 1;
            }
        }
        while busy > 0 {
            self.poll
                .poll(&mut self.events, Some(Duration::from_secs(30)))
                .expect("epoll");
            let ready: Vec<usize> = self.events.iter().map(|event| event.token().0).collect();
            assert!(!ready.is_empty(), "the server does not answer");
            for number in ready {
                let connection = &mut self.connections[number];
                connection.write();
                if !connection.read(&mut chunk) {
                    continue;
                }
                if sent < total {
                    sent += self.send_batch(number, total - sent);
                } else {
                    busy -= 1;
                }
            }
        }
        sent
    }

    fn send_batch(&mut self, number: usize, left: usize) -> usize {
        // While counting up, exactly what is left: a key too many would count as memory.
        let exact = matches!(self.template.counting, Counting::Up(_));
        let requests = if exact {
            self.depth.min(left)
        } else {
            self.depth
        };
        let connection = &mut self.connections[number];
        connection.out.clear();
        connection.written = 0;
        for _ in 0..requests {
            self.template.write_next(&mut connection.out);
        }
        connection.awaited = requests * self.template.commands;
        connection.write();
        requests
    }
}

/// Connections that subscribed to `channel`, read by a thread until this is dropped.
struct Listeners {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listeners {
    fn start(port: u16, count: usize) -> Listeners {
        let mut poll = Poll::new().expect("epoll");
        let mut streams: Vec<TcpStream> = Vec::new();
        for number in 0..count {
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("room");
            stream
                .write_all(&support::client::encode(&["SUBSCRIBE", "channel"]))
                .expect("a live server");
            let mut confirmed = [0; 36];
            stream.read_exact(&mut confirmed).expect("a confirmation");
            stream.set_nonblocking(true).expect("a socket");
            let mut stream = TcpStream::from_std(stream);
            poll.registry()
                .register(&mut stream, Token(number), Interest::READABLE)
                .expect("a fresh socket");
            streams.push(stream);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let listen = move || {
            let mut events = Events::with_capacity(1024);
            let mut chunk = vec![0; 64 << 10];
            while !stopped.load(Ordering::Relaxed) {
                let patience = Duration::from_millis(100);
                if poll.poll(&mut events, Some(patience)).is_err() {
                    continue;
                }
                for event in &events {
                    let stream = &mut streams[event.token().0];
                    while matches!(stream.read(&mut chunk), Ok(n) if n == chunk.len()) {}
                }
            }
        };
        Listeners {
            stop,
            thread: Some(std::thread::spawn(listen)),
        }
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it only reads");
        }
    }
}

impl Connection {
    fn write(&mut self) {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if would_wait(&error) => return,
                Err(error) => panic!("the server went away: {error}"),
            }
        }
    }

    /// True when the last awaited reply has come.
    fn read(&mut self, chunk: &mut [u8]) -> bool {
        while self.awaited > 0 {
            let read = match self.stream.read(chunk) {
                Ok(0) => panic!("the server closed the connection"),
                Ok(read) => read,
                Err(error) if would_wait(&error) => return false,
                Err(error) => panic!("the server went away: {error}"),
            };
            self.awaited -= self.replies.feed(&chunk[..read]);
            if self.awaited == 0 {
                return true;
            }
            if read < chunk.len() {
                return false; // drained: the next bytes are a new event
            }
        }
        false
    }
}

fn would_wait(error: &io::Error) -> bool {
    // Not connected: the socket's first event, before the handshake is over.
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::NotConnected
    )
}

/// Counts whole replies in a stream of RESP2 without keeping any.
#[derive(Default)]
struct ReplyCounter {
    /// The line so far, when a read ended within it.
    line: Vec<u8>,
    /// Bytes of a bulk, with its line end, still to come.
    bulk_left: usize,
    /// Elements still to come of each array that we are in.
    open: Vec<usize>,
}

impl ReplyCounter {
    /// How many replies were completed by these bytes. Panics on an error reply: a benchmark of errors is none.
    fn feed(&mut self, mut bytes: &[u8]) -> usize {
        let mut complete = 0;
        while !bytes.is_empty() {
            if self.bulk_left > 0 {
                let taken = self.bulk_left.min(bytes.len());
                bytes = &bytes[taken..];
                self.bulk_left -= taken;
                if self.bulk_left == 0 {
                    complete += self.element_done();
                }
                continue;
            }
            let Some(end) = bytes.iter().position(|&c| c == b'\n') else {
                self.line.extend_from_slice(bytes);
                return complete;
            };
            let (line, rest) = bytes.split_at(end + 1);
            bytes = rest;
            if self.line.is_empty() {
                complete += self.line_done(line);
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                complete += self.line_done(&whole);
                whole.clear();
                self.line = whole;
            }
        }
        complete
    }

    fn line_done(&mut self, line: &[u8]) -> usize {
        let count = || {
            let text = std::str::from_utf8(&line[1..line.len() - 2]).unwrap_or_default();
            text.parse::<i64>()
                .unwrap_or_else(|_| panic!("not RESP: {}", line.escape_ascii()))
        };
        match line[0] {
            b'-' => panic!("the server answers {}", line.escape_ascii()),
            b'$' if line[1] != b'-' => {
                self.bulk_left = count() as usize + 2;
                0
            }
            b'*' => match count() {
                0 | -1 => self.element_done(),
                elements => {
                    self.open.push(elements as usize);
                    0
                }
            },
            _ => self.element_done(),
        }
    }

    /// 1 if that closed the outermost reply.
    fn element_done(&mut self) -> usize {
        while let Some(left) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return 0;
            }
            self.open.pop();
        }
        1
    }
}
