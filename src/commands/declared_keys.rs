//! A test: commands touch the keys that they declare and no others.
//!
//! The ACL, cluster routing and tracking judge a request by the keys that its declaration finds in it. A key that the
//! handler finds elsewhere escapes all three, as every second key of MSETEX did (redis 14659). So requests of every
//! command are made up from the grammar of its declaration, some of them spoiled, and run against a small data set; the
//! keyspace notes every key that is looked up.
//!
//! Mirrors: no file of Redis.

use std::collections::BTreeSet;

use crate::clients;
use crate::command::Arg;
use crate::command::table::CommandId;
use crate::config::Config;
use crate::dispatch::{self, Outcome};
use crate::resp::argv::Argv;
use crate::resp::{Protocol, Reply, Value};
use crate::state::State;
use crate::sys::clock::Clock;
use crate::util::rng::Rng;

/// Requests per command; more where none of them has run.
const REQUESTS: usize = 100;

/// A data set with a key or two of each type, by the names below.
const DATA: &[&str] = &[
    "SET string:1 5",
    "SET string:2 text",
    "SETBIT string:3 7 1",
    "RPUSH list:1 a b m1",
    "RPUSH list:2 c v",
    "SADD set:1 1 2 m1",
    "SADD set:2 2 m1 3",
    "ZADD zset:1 1 m1 2 b",
    "ZADD zset:2 1 m1 3 c",
    "HSET hash:1 f1 1 f2 v",
    "HSET hash:2 f1 v f3 w",
    "XADD stream:1 1-1 f1 v",
    "XADD stream:2 1-1 f1 v",
    "VADD module:1 VALUES 2 1 2 m1",
    "VADD module:2 VALUES 2 2 1 b",
    "XGROUP CREATE stream:1 g 0",
    "XGROUP CREATE stream:2 g 0",
    "GEOADD geo:1 13 38 m1 15 37 b",
    "PFADD hll:1 a b",
    "PFADD hll:2 c",
    "ARSET array:1 0 a b",
];
const KEYS: &[&str] = &[
    "string:1", "module:1", "module:2", "string:2", "string:3", "list:1", "list:2", "set:1",
    "set:2", "zset:1", "zset:2", "hash:1", "hash:2", "stream:1", "stream:2", "geo:1", "hll:1",
    "hll:2", "array:1", "none:1", "none:2",
];
const WORDS: &[&str] = &[
    "v", "m1", "f1", "1", "0", "2", "-", "+", "1-1", "g", "c", "[a", "(1", "*", "2.5", "-1",
    "KEYS", "STORE", "STREAMS", "GET", "AUTH", "LEFT", "list:1", "none:1", "=", "",
];

/// Commands that reach for keys that no request names, or that would end or hold up the test.
fn is_exempt(name: &str) -> bool {
    const NAMES: &[&str] = &[
        // Any key.
        "keys",
        "scan",
        "randomkey",
        "flushall",
        "flushdb",
        "swapdb",
        "pfselftest",
        // The commands that these run are checked when they run.
        "eval",
        "evalsha",
        "eval_ro",
        "evalsha_ro",
        "fcall",
        "fcall_ro",
        "exec",
        // The outside.
        "migrate",
        "sync",
        "psync",
        "wait",
        "waitaof",
        "quit",
    ];
    NAMES.contains(&name)
}

struct Maker {
    rng: Rng,
    /// The type whose keys the command wants.
    kind: String,
    words: Vec<String>,
    /// The position of the number that says how often the next argument comes.
    count_at: Option<usize>,
}

impl Maker {
    fn one_in(&mut self, n: u64) -> bool {
        self.rng.below(n) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.rng.below(from.len() as u64) as usize]
    }

    fn key(&mut self) -> String {
        let own = format!("{}:", self.kind);
        let own: Vec<&str> = KEYS
            .iter()
            .copied()
            .filter(|k| k.starts_with(&own))
            .collect();
        match own.is_empty() || self.one_in(4) {
            true => self.pick(KEYS).to_owned(),
            false => self.pick(&own).to_owned(),
        }
    }

    fn arguments(&mut self, args: &[Arg]) {
        for arg in args {
            self.argument(arg);
        }
    }

    fn argument(&mut self, arg: &Arg) {
        if arg.optional && self.one_in(2) {
            return;
        }
        let times = match arg.multiple {
            true => 1 + self.rng.below(3),
            false => 1,
        };
        if arg.multiple
            && let Some(at) = self.count_at.take()
        {
            let wrong = [
                "0",
                "-1",
                "x",
                "9223372036854775807",
                "1",
                "2",
                "3",
                "4",
                "+2",
                " 2",
                "02",
            ];
            self.words[at] = match self.one_in(6) {
                true => self.pick(&wrong).to_owned(),
                false => times.to_string(),
            };
        }
        for turn in 0..times {
            if let Some(token) = arg.token
                && (turn == 0 || arg.multiple_token)
            {
                self.words.push(token.to_owned());
            }
            self.value(arg);
        }
    }

    fn value(&mut self, arg: &Arg) {
        let word = match arg.kind {
            crate::command::ArgKind::PureToken => return,
            crate::command::ArgKind::OneOf => {
                let chosen = self.rng.below(arg.args.len() as u64) as usize;
                return self.argument(&arg.args[chosen]);
            }
            crate::command::ArgKind::Block => return self.arguments(arg.args),
            crate::command::ArgKind::Key => self.key(),
            crate::command::ArgKind::Integer if arg.name.starts_with("num") => {
                self.count_at = Some(self.words.len());
                "1".to_owned()
            }
            crate::command::ArgKind::Integer => {
                self.pick(&["0", "1", "2", "3", "10", "-1"]).to_owned()
            }
            crate::command::ArgKind::Double => self.pick(&["1.5", "2", "0"]).to_owned(),
            crate::command::ArgKind::UnixTime => "1800000000000".to_owned(),
            crate::command::ArgKind::Pattern => self.pick(&["*", "none:*", "#"]).to_owned(),
            crate::command::ArgKind::String => match arg.name {
                "id" | "start" | "min-id" | "lastid" => {
                    self.pick(&["0", "1-1", "0-0", "1"]).to_owned()
                }
                "group" => "g".to_owned(),
                "field" => self.pick(&["f1", "f2", "f9"]).to_owned(),
                _ => self.pick(WORDS).to_owned(),
            },
        };
        self.words.push(word);
    }

    /// Spoils a request a little: a word goes, comes twice, or is another.
    fn spoil(&mut self, from: usize) {
        if self.words.len() <= from {
            return;
        }
        let at = from + self.rng.below((self.words.len() - from) as u64) as usize;
        match self.rng.below(4) {
            0 => drop(self.words.remove(at)),
            1 => {
                let word = self.words[at].clone();
                self.words.insert(at, word);
            }
            2 => self.words[at] = self.key(),
            _ => self.words[at] = self.pick(WORDS).to_owned(),
        }
    }
}

fn run(state: &mut State, argv: Argv<'_>) -> Option<Value> {
    let client = state.clients.insert_fake(0, Protocol::Resp3);
    let mut reply = Reply::to_value(Protocol::Resp3);
    let outcome = dispatch::process(state, client, argv, &mut reply);
    clients::act::leave::forget_client(state, client);
    assert_eq!(outcome, Outcome::Done);
    reply.take_values().pop()
}

fn fill(state: &mut State) {
    for line in std::iter::once(&"FLUSHALL").chain(DATA) {
        let argv = crate::resp::argv::OwnedArgv::from_words(line.split(' '));
        let answer = run(state, argv.as_argv());
        assert!(
            !matches!(answer, Some(Value::Error(_))),
            "{line}: {answer:?}"
        );
    }
}

/// The keys that the ACL judges a request by.
fn declared(state: &State, id: CommandId, argv: Argv<'_>) -> BTreeSet<Vec<u8>> {
    let keys = crate::command::keys::Keys::judged(state.commands[id].decl, argv);
    keys.iter()
        .map(|key| argv.get(key.position).to_vec())
        .collect()
}

#[test]
fn commands_touch_the_keys_they_declare_and_no_others() {
    let mut state = State::new(
        Config::default(),
        Clock::manual(1_700_000_000_000_000),
        1,
        crate::state::Mailbox::new(None).0,
        crate::commands::GROUPS,
    );
    state.refresh_clock();
    let all: Vec<CommandId> = state.commands.iter().map(|entry| entry.id).collect();
    let (mut never_ran, mut runs) = (Vec::new(), 0);
    for id in all {
        let entry = &state.commands[id];
        let (decl, words, name) = (entry.decl, entry.words(), entry.name.to_string());
        let container = entry.parent.map(|parent| state.commands[parent].decl.name);
        let top = container.unwrap_or(decl.name);
        let harmful = [
            crate::command::Flag::Admin,
            crate::command::Flag::NeedsDebugCommand,
            crate::command::Flag::NeedsModuleCommand,
            crate::command::Flag::NoMulti,
            crate::command::Flag::OnlyInternal,
        ];
        if is_exempt(top) || entry.flags.any(&harmful) || !decl.subcommands.is_empty() {
            continue;
        }
        let group = decl.docs.group.name();
        let kind = match group {
            "sorted-set" => "zset",
            "hyperloglog" => "hll",
            "bitmap" => "string",
            group => group,
        };
        fill(&mut state);
        let mut succeeded = false;
        for request in 0..16 * REQUESTS {
            if request >= REQUESTS && succeeded {
                break;
            }
            let mut maker = Maker {
                rng: Rng::new((u64::from(id.0) << 32) + request as u64),
                kind: kind.to_owned(),
                words: name.split('|').map(str::to_owned).collect(),
                count_at: None,
            };
            maker.arguments(decl.args);
            if maker.one_in(3) {
                maker.spoil(words);
            }
            let owned = crate::resp::argv::OwnedArgv::from_words(&maker.words);
            let argv = owned.as_argv();
            let named = declared(&state, id, argv);
            state
                .keyspace
                .env()
                .looked_up
                .replace(Some(BTreeSet::new()));
            let answer = run(&mut state, argv);
            let touched = state.keyspace.env().looked_up.take().unwrap_or_default();
            // SORT needs the right to read every key there is for its patterns.
            let by_pattern = |word: &String| ["BY", "GET"].contains(&word.to_uppercase().as_str());
            if top.starts_with("sort") && maker.words.iter().any(by_pattern) {
                continue;
            }
            runs += 1;
            succeeded |= !matches!(answer, Some(Value::Error(_)) | None);
            let shown = |keys: Vec<&Vec<u8>>| -> Vec<String> {
                let text = |key: &&Vec<u8>| String::from_utf8_lossy(key).into_owned();
                keys.iter().map(text).collect()
            };
            let secret = shown(touched.difference(&named).collect());
            assert!(
                secret.is_empty(),
                "{:?} touched {secret:?}, and declares {:?}; it answered {answer:?}",
                maker.words,
                shown(named.iter().collect()),
            );
            if request % 20 == 19 {
                fill(&mut state);
            }
        }
        let has_keys = decl
            .keys
            .iter()
            .any(|spec| !spec.has(crate::command::KeyFlag::NotKey));
        if !succeeded && has_keys {
            never_ran.push(name);
        }
    }
    assert!(runs > 10_000, "{runs} requests");
    // Of a command that refused all its requests nothing is known. These want a payload, or to be prepared.
    assert_eq!(never_ran, ["himport|set", "restore", "restore-asking"]);
}
