//! Every effect reaches the append-only file and the replicas: random commands of all groups to a server, and then its
//! data set, told in full, against that of its replica and that of its own file replayed.
//!
//! ```text
//!   random commands ─→ primary ─┬─→ replica          told(primary) == told(replica)
//!    alone, in MULTI,           └─→ appendonly.aof   told(primary) == told(primary after DEBUG LOADAOF)
//!    in scripts
//! ```
//!
//! Told are: keys of all databases, types, values and deadlines; fields' deadlines; of streams the counters, the groups,
//! the consumers, what is pending for them and since when, and producers; libraries of functions.
//!
//! Not propagated, and so not told, as in Redis: when and how often keys were used; when a consumer was seen; how often
//! producers sent a message again. A consumer that reads its own pending entries once more (XREADGROUP with an ID)
//! changes their time and their count of deliveries, and that is not propagated either: no such command is sent here.
//!
//! - `OXIDIS_EFFECTS_COMMANDS`: commands (default 6,000)
//! - `OXIDIS_EFFECTS_SEED`: repeat a run

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::differential::groups::{
    BITMAP, GENERIC, GEO, Group, HASH, HYPERLOGLOG, LIST, SET, SORT, STREAM, STRING, ZSET,
};
use crate::differential::shape::{Maker, Shape, exact};
use crate::differential::show;
use crate::support::random::Random;
use crate::support::server::until;
use crate::support::{Client, Reply, Server};

/// Commands and options that Redis 7.0 does not know.
const NEWER: &[Group] = &[
    Group {
        name: "newer strings",
        letter: 's',
        rows: &[
            exact("MSETEX (1 key value|2 key value key value) [NX|XX] [EX seconds|PX milliseconds|EXAT unix-seconds|PXAT unix-milliseconds|KEEPTTL]").weight(20),
            exact("SET key value (IFEQ|IFNE) value [GET] [EX seconds|PXAT unix-milliseconds|KEEPTTL]").weight(20),
            exact("DELEX key [(IFEQ|IFNE) value]"),
            exact("INCREX key [BYINT integer|BYFLOAT float] [SATURATE] [LBOUND integer] [UBOUND integer] [EX seconds|PXAT unix-milliseconds|PERSIST] [ENX]").weight(20),
            exact("SETRANGE key offset value"),
        ],
    },
    Group {
        name: "newer lists",
        letter: 'l',
        rows: &[
            exact("LMOVEM key key (LEFT|RIGHT) (LEFT|RIGHT) [(COUNT|EXACTLY) count (OBO|BULK)]").weight(20),
            exact("LMPOP 2 key key (LEFT|RIGHT) [COUNT count]"),
        ],
    },
    Group {
        name: "newer sorted sets",
        letter: 'z',
        rows: &[
            exact("(ZUNIONSTORE|ZINTERSTORE) key 2 key key [WEIGHTS float float] AGGREGATE COUNT").weight(5),
        ],
    },
    Group {
        name: "newer sets",
        letter: 'e',
        rows: &[exact("SPOP key [count]").weight(20)],
    },
    Group {
        name: "newer hashes",
        letter: 'h',
        rows: &[
            exact("(HEXPIRE|HPEXPIRE) key seconds [NX|XX|GT|LT] FIELDS (1 name|2 name name)").weight(20),
            exact("HEXPIREAT key unix-seconds [NX|XX|GT|LT] FIELDS (1 name|2 name name)"),
            exact("HPEXPIREAT key unix-milliseconds [NX|XX|GT|LT] FIELDS (1 name|2 name name)").weight(20),
            exact("HPERSIST key FIELDS (1 name|2 name name)"),
            exact("HGETEX key [EX seconds|PX milliseconds|EXAT unix-seconds|PXAT unix-milliseconds|PERSIST] FIELDS (1 name|2 name name)").weight(20),
            exact("HGETDEL key FIELDS (1 name|2 name name)"),
            exact("HSETEX key [FNX|FXX] [EX seconds|PX milliseconds|EXAT unix-seconds|PXAT unix-milliseconds|KEEPTTL] FIELDS (1 name value|2 name value name value)").weight(30),
            exact("HINCRBYFLOAT key name float").weight(20),
        ],
    },
    Group {
        name: "newer bitmaps",
        letter: 'b',
        rows: &[exact("BITOP (DIFF|DIFF1|ANDOR|ONE) key key key+")],
    },
    Group {
        name: "newer hyperloglogs",
        letter: 'p',
        rows: &[exact("PFDEBUG (TODENSE|GETREG) key").weight(2)],
    },
    Group {
        name: "newer streams",
        letter: 't',
        rows: &[
            exact("XREADGROUP GROUP group consumer [COUNT count] [NOACK] [CLAIM idle] STREAMS (key >|key key > >)").weight(40),
            exact("XREADGROUP GROUP group consumer BLOCK 1 STREAMS key >").always_whole().weight(2),
            exact("XADD key [NOMKSTREAM] [KEEPREF|DELREF|ACKED] [MAXLEN [=|~] count|MINID [=|~] id] new-id (name value)+").weight(30),
            exact("XTRIM key (MAXLEN [=|~] count|MINID [=|~] id) [KEEPREF|DELREF|ACKED]").weight(10),
            exact("XDELEX key [KEEPREF|DELREF|ACKED] IDS (1 id|2 id id)").weight(10),
            exact("XACKDEL key group [KEEPREF|DELREF|ACKED] IDS (1 id|2 id id)").weight(10),
            exact("XNACK key group (SILENT|FAIL|FATAL) IDS (1 id|2 id id) [RETRYCOUNT count] [FORCE]").weight(10),
            exact("XADD key (IDMP name name|IDMPAUTO name) * name value").weight(2),
            exact("XCFGSET key [IDMP-DURATION count] [IDMP-MAXSIZE count]").weight(5),
            exact("XIDMPRECORD key name name id").weight(5),
            exact("XSETID key id [ENTRIESADDED count] [MAXDELETEDID id]").weight(2),
        ],
    },
    Group {
        name: "arrays",
        letter: 'a',
        rows: &[
            exact("ARSET key count value+").weight(20),
            exact("ARMSET key (count value)+"),
            exact("ARDEL key count+"),
            exact("ARDELRANGE key count count"),
            exact("ARINSERT key value+"),
            exact("ARRING key count value+"),
            exact("ARSEEK key count"),
        ],
    },
];

#[test]
fn every_effect_is_propagated() {
    let seed = Random::seed_from_env("OXIDIS_EFFECTS_SEED");
    eprintln!("OXIDIS_EFFECTS_SEED={seed}");
    let commands: usize = std::env::var("OXIDIS_EFFECTS_COMMANDS")
        .map_or(6_000, |n| n.parse().expect("a number of commands"));
    let quick = "repl-diskless-sync-delay 0\nsave \"\"\nenable-debug-command yes\n";
    // Small nodes, so that approximate trimming finds whole ones.
    let small = "stream-node-max-entries 5\n";
    let primary = Server::oxidis()
        .config(&format!("{quick}{small}appendfsync no\n"))
        .args(["--appendonly", "yes"])
        .start();
    let replica = Server::oxidis()
        .config(&format!("{quick}stream-node-max-entries 7\n"))
        .start();
    let (mut asker, mut below) = (primary.client(), replica.client());
    below
        .cmd(&format!("REPLICAOF 127.0.0.1 {}", primary.port()))
        .ok();
    in_step(&mut asker, &mut below);

    let mut run = Run::new(seed, primary.client());
    let (mut sent, mut round) = (0, 0);
    while sent < commands {
        round += 1;
        let until = (commands * round / 8).max(sent + 1);
        while sent < until {
            sent += run.some();
        }
        in_step(&mut asker, &mut below);
        let ours = told(&mut asker);
        run.compare("its replica", &ours, &told(&mut below));
        // Replaying all of it again and again would take long.
        if round % 4 == 0 {
            asker.cmd("DEBUG LOADAOF").ok();
            run.compare("its own file", &ours, &told(&mut asker));
        }
    }
}

/// Waits until the replica has applied all that the primary said.
fn in_step(primary: &mut Client, replica: &mut Client) {
    let field = |client: &mut Client, name: &str| {
        let text = client.cmd("INFO replication").text();
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(field, _)| *field == name);
        found.map(|(_, value)| value.trim().to_owned())
    };
    let synced = until(Duration::from_secs(60), || {
        let up = field(replica, "master_link_status").as_deref() == Some("up");
        let said = field(primary, "master_repl_offset");
        (up && said == field(replica, "slave_repl_offset")).then_some(())
    });
    assert!(synced.is_some(), "the replica never caught up");
}

struct Run {
    seed: u64,
    maker: Maker,
    rows: Vec<(Shape, char, bool)>,
    /// One index of `rows` for each unit of weight.
    drawn: Vec<usize>,
    client: Client,
    history: Vec<Vec<Vec<u8>>>,
}

impl Run {
    fn new(seed: u64, client: Client) -> Run {
        let (mut rows, mut drawn) = (Vec::new(), Vec::new());
        let groups = [
            &STRING,
            &LIST,
            &SET,
            &HASH,
            &ZSET,
            &BITMAP,
            &HYPERLOGLOG,
            &GEO,
            &STREAM,
            &SORT,
            &GENERIC,
        ];
        let newer = NEWER.iter();
        for group in groups.into_iter().chain(newer) {
            for row in group.rows {
                // Reading what is pending already is not propagated, see above.
                if row.shape.starts_with("XREADGROUP")
                    && !row
                        .shape
                        .contains("GROUP group consumer [COUNT count] [NOACK] [CLAIM")
                    && !row.shape.contains("BLOCK")
                {
                    continue;
                }
                drawn.extend(vec![rows.len(); row.weight as usize]);
                rows.push((Shape::parse(row.shape), group.letter, row.may_spoil));
            }
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Run {
            seed,
            maker: Maker {
                random: Random::new(seed),
                own: 's',
                letters: "slehzbpota".chars().collect(),
                now: now.expect("a clock after 1970").as_secs(),
                deadlines: 0,
                latest_id: 1,
            },
            rows,
            drawn,
            client,
            history: Vec::new(),
        }
    }

    fn command(&mut self) -> Vec<Vec<u8>> {
        let maker = &mut self.maker;
        let (shape, letter, may_spoil) = &self.rows[*maker.random.pick(&self.drawn)];
        maker.own = match *letter {
            letter if letter == GENERIC.letter => *maker.random.pick(&maker.letters),
            letter => letter,
        };
        shape.make(maker, *may_spoil)
    }

    /// One command, or several in a transaction, or one in a script, or a library of functions; how many.
    fn some(&mut self) -> usize {
        match self.maker.random.below(100) {
            0..10 => {
                let mut transaction = vec![vec![b"MULTI".to_vec()]];
                for _ in 0..self.maker.random.below(6) {
                    transaction.push(self.command());
                }
                transaction.push(vec![b"EXEC".to_vec()]);
                let sent = transaction.len();
                transaction
                    .into_iter()
                    .for_each(|command| self.send(command));
                sent
            }
            10..22 => {
                let mut script: Vec<Vec<u8>> = ["EVAL", "return redis.pcall(unpack(ARGV))", "0"]
                    .iter()
                    .map(|word| word.as_bytes().to_vec())
                    .collect();
                script.extend(self.command());
                self.send(script);
                1
            }
            22 => {
                let name = format!("lib{}", self.maker.random.below(3));
                let code = format!(
                    "#!lua name={name}\nredis.register_function('{name}', function() return {} end)",
                    self.maker.random.below(100)
                );
                let words: Vec<&str> = match self.maker.random.below(8) {
                    0 => vec!["FUNCTION", "FLUSH"],
                    1 | 2 => vec!["FUNCTION", "DELETE", &name],
                    _ => vec!["FUNCTION", "LOAD", "REPLACE", &code],
                };
                self.send(words.iter().map(|word| word.as_bytes().to_vec()).collect());
                1
            }
            _ => {
                let command = self.command();
                self.send(command);
                1
            }
        }
    }

    fn send(&mut self, command: Vec<Vec<u8>>) {
        self.client.call(&command);
        self.history.push(command);
    }

    /// Panics with what touched the keys that differ, if any do. One key may be wrong because another was.
    fn compare(&self, with: &str, ours: &Told, theirs: &Told) {
        let keys: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
        let mut report = String::new();
        for key in keys
            .into_iter()
            .filter(|key| ours.get(*key) != theirs.get(*key))
        {
            let whole = ["SELECT", "SWAPDB", "FLUSHALL", "FLUSHDB", "MOVE"];
            let touches = |past: &&Vec<Vec<u8>>| {
                past.contains(&key.1)
                    || whole.iter().any(|name| {
                        past.iter()
                            .any(|word| word.eq_ignore_ascii_case(name.as_bytes()))
                    })
            };
            let related: Vec<_> = self.history.iter().filter(touches).collect();
            let latest = related.iter().rev().take(40).rev();
            let shown: Vec<String> = latest.map(|command| show(command)).collect();
            report += &format!(
                "{}\ndatabase {}, key {}\n  primary: {:?}\n    other: {:?}\n",
                shown.join("\n"),
                key.0,
                key.1.escape_ascii(),
                ours.get(key),
                theirs.get(key),
            );
        }
        assert!(
            report.is_empty(),
            "OXIDIS_EFFECTS_SEED={}: not the same as {with}\n{report}",
            self.seed
        );
    }
}

/// Each key's content, by database and name; database 99 has the libraries.
type Told = BTreeMap<(usize, Vec<u8>), Vec<String>>;

fn told(client: &mut Client) -> Told {
    let mut all = Told::new();
    for db in 0..3 {
        client.call(&["SELECT", &db.to_string()]).ok();
        for key in client.cmd("KEYS *").items() {
            let key = key.bytes();
            let kind = client.call(&[b"TYPE", key]).text();
            let mut lines = vec![
                kind.clone(),
                client.call(&[&b"PEXPIRETIME"[..], key]).to_string(),
                client
                    .call(&[&b"DEBUG"[..], b"DIGEST-VALUE", key])
                    .to_string(),
            ];
            match kind.as_str() {
                "stream" => {
                    let full =
                        client.call(&[&b"XINFO"[..], b"STREAM", key, b"FULL", b"COUNT", b"0"]);
                    lines.push(without(&full).to_string());
                }
                "hash" => {
                    let names = client.call(&[&b"HKEYS"[..], key]);
                    let mut names: Vec<&[u8]> = names.items().iter().map(Reply::bytes).collect();
                    names.sort_unstable();
                    for name in names {
                        let words = [&b"HPEXPIRETIME"[..], key, b"FIELDS", b"1", name];
                        let deadline = client.call(&words);
                        lines.push(format!("{} {deadline}", name.escape_ascii()));
                    }
                }
                _ => {}
            }
            all.insert((db, key.to_vec()), lines);
        }
    }
    client.call(&["SELECT", "0"]).ok();
    let libraries = client.cmd("FUNCTION LIST WITHCODE");
    let mut libraries: Vec<String> = libraries.items().iter().map(Reply::to_string).collect();
    libraries.sort();
    all.insert((99, b"libraries".to_vec()), libraries);
    all
}

/// A stream's description without facts that are not propagated, and without the layout of its blocks.
fn without(reply: &Reply) -> Reply {
    const LEFT_OUT: [&[u8]; 5] = [
        b"seen-time",
        b"active-time",
        b"radix-tree-keys",
        b"radix-tree-nodes",
        b"iids-duplicates",
    ];
    let Reply::Array(items) = reply else {
        return reply.clone();
    };
    let mut kept = Vec::new();
    let mut skip = false;
    for item in items {
        if std::mem::take(&mut skip) {
            continue;
        }
        match item {
            Reply::Bulk(name) if LEFT_OUT.contains(&name.as_slice()) => skip = true,
            item => kept.push(without(item)),
        }
    }
    Reply::Array(kept)
}
