//! Calls of the libraries that scripts have, in Oxidis and in real Redis: the time of each, and the ratio.
//!
//! ```text
//!   cargo bench --bench libraries -- [--redis PATH] [--only struct,find] [--rounds 3]
//!
//!   call                        Redis     Oxidis    ratio
//!   struct.unpack('>I2', ab)       68         55     0.81
//! ```
//!
//! A row is a script that makes one call in a loop, long enough for about 80 ms of Redis's time. The servers are asked in
//! turn, and each row has the least of its rounds. The measure is the CPU time of the thread that runs scripts, in
//! nanoseconds per call, without the time of an empty loop. For Linux: the times come from /proc.

// A benchmark measures real time on the real machine.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "../tests/it/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use more of it")]
mod support;

use std::path::PathBuf;
use std::{env, fs, process};

use getopts::Options;

use support::{Client, Server};

/// The variables that the calls use.
const BEFORE: &str = "
    local n, ab, packed = 0, 'ab', struct.pack('>HBd', 7, 3, 1.5)
    local long = string.rep('a', 300) .. 'zz'
    local t, five, nine, object = {}, {1, 2, 3, 4, 5}, {5, 3, 9, 1, 7, 2, 8, 4, 6}, {a = 1, b = 'x'}
    local function up() return 'L' end
    local function same(x) return x end
    local number, table_of_four = cmsgpack.pack(100000), cmsgpack.pack({1, 2, 3, 'x'})
    redis.call('set', 'k', 'v') redis.call('set', 'c', 1) redis.call('hset', 'h', 'f', 'v')
";

/// Each is a value; those that begin with `do` are statements.
const CALLS: &[&str] = &[
    "struct.pack('>I2', i % 65536)",
    "struct.pack('>HBd', 7, 3, 1.5)",
    "struct.pack('<I4s', i, 'abc')",
    "struct.unpack('>I2', ab)",
    "struct.unpack('>HBd', packed)",
    "struct.size('>I2I4d')",
    "string.find('hello world', 'wor')",
    "string.find('a.b.c.d', '.', 1, true)",
    "string.find(long, 'zz')",
    "string.find('key=value', '(%w+)=(%w+)')",
    "('hello world'):find('o', 1, true)",
    "string.match('user:1234:name', '%d+')",
    "string.match('key=value', '(%w+)=(%w+)')",
    "do for w in string.gmatch('one two three four', '%a+') do n = n + 1 end end",
    "string.gsub('a.b.c.d', '%.', ':')",
    "string.gsub('hello world', '(%w+)', '<%1>')",
    "string.gsub('hello', 'l', up)",
    "string.gsub('hello world', 'x', 'y')",
    "string.sub('hello world', 2, 5)",
    "string.format('%s:%d', 'user', i)",
    "string.rep('ab', 10)",
    "string.byte('hello', 2)",
    "string.char(104, 101, 108)",
    "string.lower('Hello World')",
    "string.len('hello')",
    "string.reverse('hello world')",
    "do table.insert(t, i) table.remove(t) end",
    "do table.insert(five, 2, i) table.remove(five, 2) end",
    "table.concat(five, ',')",
    "table.sort(nine)",
    "table.getn(five)",
    "unpack(five)",
    "select('#', 1, 2, 3)",
    "pcall(same, 1)",
    "pcall(error, 'x')",
    "tonumber('1234')",
    "tostring(i)",
    "type(five)",
    "next(five)",
    "rawget(five, 1)",
    "rawset(five, 1, 2)",
    "setmetatable({}, five)",
    "do for k, v in pairs(five) do n = n + 1 end end",
    "do for k, v in ipairs(five) do n = n + 1 end end",
    "coroutine.wrap(same)(1)",
    "math.floor(i / 3)",
    "math.random(100)",
    "bit.band(i, 255)",
    "bit.lshift(i, 3)",
    "bit.tohex(i)",
    "cjson.encode(five)",
    "cjson.encode(object)",
    "cjson.decode('[1,2,3]')",
    "cjson.decode('{\"a\":1,\"b\":\"x\"}')",
    "cmsgpack.pack(i)",
    "cmsgpack.pack('hello')",
    "cmsgpack.pack(five)",
    "cmsgpack.unpack(number)",
    "cmsgpack.unpack('\\1')",
    "cmsgpack.unpack(table_of_four)",
    "redis.call('get', 'k')",
    "redis.call('set', 'k', 'v')",
    "redis.call('incr', 'c')",
    "redis.call('hget', 'h', 'f')",
    "redis.pcall('get', 'k')",
    "redis.pcall('incr', 'k')",
    "redis.sha1hex('hello')",
    "redis.status_reply('OK')",
    "redis.error_reply('OK')",
];

/// Turns of the loop of a row's first, short run.
const FEW: u64 = 2000;
/// Turns at most.
const MANY: u64 = 3_000_000;
/// Nanoseconds of Redis's time that a run takes, if that many turns do.
const RUN_NS: f64 = 80e6;

fn main() {
    let mut options = Options::new();
    options
        .optopt("", "redis", "the redis-server to compare with", "PATH")
        .optopt("", "only", "rows that have one of these texts", "TEXTS")
        .optopt("", "rounds", "rounds of each row (3)", "N")
        .optflag("", "bench", "given by cargo");
    let given = options.parse(env::args().skip(1)).unwrap_or_else(|error| {
        eprintln!("{error}\n{}", options.usage("libraries"));
        process::exit(2);
    });
    let redis = match given.opt_str("redis") {
        Some(path) => Some(Server::program(PathBuf::from(path))),
        None => Server::redis(),
    };
    let Some(redis) = redis else {
        println!("skipped: no redis-server in PATH, and none named by --redis");
        return;
    };
    let only = given.opt_str("only").unwrap_or_default();
    let rounds = given.opt_str("rounds").and_then(|n| n.parse().ok());
    // Neither looks for slow scripts while it is measured.
    let start = |builder: support::server::Builder| {
        let server = builder.args(["--lua-time-limit", "60000"]).start();
        let client = server.client();
        Side { server, client }
    };
    let mut sides = [start(redis), start(Server::oxidis())];
    let empty = sides.each_mut().map(|side| {
        let runs = (0..3).map(|_| side.run("0", MANY));
        runs.fold(f64::INFINITY, f64::min)
    });
    println!(
        "{:60} {:>8} {:>8} {:>6}",
        "call, ns", "Redis", "Oxidis", "ratio"
    );
    for call in CALLS {
        if !only.split(',').any(|text| call.contains(text)) {
            continue;
        }
        let turns = RUN_NS / sides[0].run(call, FEW).max(1.0);
        let turns = (turns as u64).clamp(FEW, MANY);
        let mut least = [f64::INFINITY; 2];
        for _ in 0..rounds.unwrap_or(3) {
            for (i, side) in sides.iter_mut().enumerate() {
                least[i] = least[i].min(side.run(call, turns) - empty[i]);
            }
        }
        let ratio = least[1] / least[0];
        println!("{call:60} {:8.0} {:8.0} {ratio:6.2}", least[0], least[1]);
    }
}

struct Side {
    server: Server,
    client: Client,
}

impl Side {
    /// Nanoseconds of CPU time per turn of a loop that makes a call.
    fn run(&mut self, call: &str, turns: u64) -> f64 {
        let turn = match call.starts_with("do ") {
            true => call.to_owned(),
            false => format!("local _ = {call}"),
        };
        let script = format!("{BEFORE} for i = 1, {turns} do {turn} end");
        let before = self.cpu_ns();
        let reply = self.client.call(&["EVAL", &script, "0"]);
        assert!(!reply.is_error(), "{call}: {reply}");
        (self.cpu_ns() - before) as f64 / turns as f64
    }

    /// CPU time of the server's first thread so far.
    fn cpu_ns(&self) -> u64 {
        let pid = self.server.pid();
        let stat = fs::read_to_string(format!("/proc/{pid}/task/{pid}/schedstat"));
        let stat = stat.expect("/proc of Linux");
        let first = stat.split(' ').next().and_then(|ns| ns.parse().ok());
        first.expect("a number")
    }
}
