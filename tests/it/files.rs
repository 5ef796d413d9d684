//! Files both ways: what Oxidis writes real Redis loads, what real Redis writes Oxidis loads, and nobody could tell the
//! one data set from the other. Every type, in every encoding that Redis 7.0 has.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::random::Random;
use crate::support::server::{Builder, until};
use crate::support::{Client, Reply, Server};

const PATIENCE: Duration = Duration::from_secs(30);

/// How a data set goes to disk.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Rdb,
    /// An append-only file whose base is an RDB, and one of commands only; more commands behind either.
    Aof {
        preamble: bool,
    },
}

const FORMS: [Form; 3] = [
    Form::Rdb,
    Form::Aof { preamble: true },
    Form::Aof { preamble: false },
];

#[test]
fn what_oxidis_writes_real_redis_reads() {
    let Some(redis) = Server::redis() else {
        eprintln!("skipped: no redis-server in PATH");
        return;
    };
    for form in FORMS {
        // Redis 7.0 reads the tenth version at most.
        let ours = Server::oxidis().args(["--rdb-version", "10"]);
        hand_over(form, ours, redis.clone());
    }
}

#[test]
fn what_real_redis_writes_oxidis_reads() {
    let Some(redis) = Server::redis() else {
        eprintln!("skipped: no redis-server in PATH");
        return;
    };
    for form in FORMS {
        hand_over(form, redis.clone(), Server::oxidis());
    }
}

#[test]
fn oxidis_reads_what_it_writes() {
    for form in FORMS {
        hand_over(form, Server::oxidis(), Server::oxidis());
    }
}

/// One server writes, another starts on its files.
fn hand_over(form: Form, writer: Builder, reader: Builder) {
    let configured = |builder: Builder| match form {
        Form::Rdb => builder,
        Form::Aof { preamble } => {
            let preamble = if preamble { "yes" } else { "no" };
            builder.args(["--appendonly", "yes", "--aof-use-rdb-preamble", preamble])
        }
    };
    let mut writer = configured(writer).start();
    let mut client = writer.client();
    fill(&mut client);
    match form {
        Form::Rdb => drop(client.cmd("SAVE").ok()),
        Form::Aof { .. } => {
            client.cmd("BGREWRITEAOF");
            let rewritten = until(PATIENCE, || {
                let info = client.cmd("INFO persistence").text();
                let idle = info.contains("aof_rewrite_in_progress:0")
                    && info.contains("aof_rewrite_scheduled:0");
                idle.then_some(())
            });
            rewritten.expect("a rewrite of this little data ends");
            change(&mut client);
        }
    }
    let written = contents(&mut client);
    assert!(written.len() > 40, "{written:?}");
    if matches!(form, Form::Aof { .. }) {
        // The writer will be killed, and on a busy disk its last writes may still wait for an fsync.
        let handed_on = until(PATIENCE, || {
            let info = client.cmd("INFO persistence").text();
            info.contains("aof_buffer_length:0").then_some(())
        });
        handed_on.expect("an fsync ends");
    }
    drop(client);
    writer.kill();

    let mut reader = configured(reader).start();
    reader.kill();
    for name in ["dump.rdb", "appendonlydir"] {
        let (from, to) = (writer.dir().join(name), reader.dir().join(name));
        let _ = fs::remove_dir_all(&to);
        copy(&from, &to);
    }
    reader.restart();
    let mut client = reader.client();
    let loaded = until(PATIENCE, || {
        (client.cmd("PING") == Reply::Status(b"PONG".to_vec())).then_some(())
    });
    loaded.expect("these little files are loaded");
    let read = contents(&mut client);
    for (key, content) in &written {
        assert_eq!(read.get(key), Some(content), "{form:?}: {key:?}");
    }
    assert_eq!(read.len(), written.len(), "{form:?}");
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir(to).expect("a directory");
        for entry in fs::read_dir(from).expect("a directory") {
            let entry = entry.expect("its entry");
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else if from.is_file() {
        fs::copy(from, to).expect("a copy");
    }
}

#[track_caller]
fn done(client: &mut Client, words: &[&[u8]]) {
    let reply = client.call(words);
    assert!(!reply.is_error(), "{}: {reply}", words[0].escape_ascii());
}

/// A key for every encoding, and for every kind of entry an encoding has.
pub fn fill(client: &mut Client) {
    let mut random = Random::new(7);
    for line in [
        "SET int:zero 0",
        "SET int:8 -128",
        "SET int:16 32767",
        "SET int:32 -2147483648",
        "SET int:64 9223372036854775807",
        "SET str:like-int 0123",
        "SET str:empty ''",
        "SET str:short 'a short one'",
        "SETRANGE str:raw 0 raw",
        "SETBIT bits 100000 1",
        "PFADD hll:sparse a b c",
        "SET expires:late value PXAT 9999999999999",
        "RPUSH list:small a 1 -1 127 128 4095 4096 -32768 8388607 2147483647 -9223372036854775808 ''",
        "SADD set:int16 1 -2 3",
        "SADD set:int32 1 70000",
        "SADD set:int64 1 9223372036854775807",
        "SADD set:text a b c",
        "HSET hash:small field value number 12 empty ''",
        "ZADD zset:small 1 one 2.5 two -inf low +inf high 3 12 -0.1 minus",
        "GEOADD geo 13.361389 38.115556 Palermo 15.087269 37.502669 Catania",
        "PEXPIREAT zset:small 9999999999998",
        "XADD stream 1-1 a 1 b 2",
        "XADD stream 1-2 a 3 b 4",
        "XADD stream 2-1 other fields and more values here",
        "XADD stream 3-1 a 5 b 6",
        "XADD stream 4-1 a 7 b 8",
        "XDEL stream 1-2",
        "XGROUP CREATE stream group 0",
        "XGROUP CREATE stream waiting $",
        "XREADGROUP GROUP group alice COUNT 2 STREAMS stream >",
        "XREADGROUP GROUP group bob COUNT 1 STREAMS stream >",
        "XACK stream group 1-1",
        "XADD stream:empty 5-5 a b",
        "XDEL stream:empty 5-5",
        "FUNCTION LOAD '#!lua name=lib\nredis.register_function(\"f\", function() return 1 end)'",
        "SELECT 5",
        "SET elsewhere 5",
        "SELECT 0",
    ] {
        let reply = client.cmd(line);
        assert!(!reply.is_error(), "{line}: {reply}");
    }
    done(client, &[b"SET", b"str:same", &[b'a'; 20_000]]);
    let noise = random.bytes(100_000);
    done(client, &[b"SET", b"str:noise", &noise]);
    let all: Vec<u8> = (0..=255).collect();
    done(client, &[b"SET", &all, &all]);
    for len in [1, 63, 64, 4095, 4096, 9000] {
        let element = vec![b'e'; len];
        done(client, &[b"RPUSH", b"list:lengths", &element]);
        done(
            client,
            &[b"HSET", b"hash:lengths", &element[..len.min(64)], &element],
        );
    }
    for i in 0..1500 {
        let (name, number) = (format!("member:{i}"), i.to_string());
        let (name, number) = (name.as_bytes(), number.as_bytes());
        let score = format!("{}", f64::from(i) * 1.1 - 300.0);
        done(client, &[b"RPUSH", b"list:large", name, number]);
        done(client, &[b"SADD", b"set:large", name]);
        done(client, &[b"SADD", b"set:many-ints", number]);
        done(client, &[b"HSET", b"hash:large", name, number]);
        done(client, &[b"ZADD", b"zset:large", score.as_bytes(), name]);
        done(client, &[b"PFADD", b"hll:dense", name]);
        done(client, &[b"XADD", b"stream:large", b"*", b"n", number]);
    }
    for i in 0..200 {
        let key = format!("many:{i}");
        done(client, &[b"SET", key.as_bytes(), b"x"]);
    }
}

/// Commands that the file has behind the data set.
fn change(client: &mut Client) {
    for line in [
        "SET str:short another",
        "DEL many:7",
        "INCRBYFLOAT float 10.25",
        "MULTI",
        "LPOP list:small",
        "EXPIRE set:text 100000000",
        "EXEC",
        "SPOP set:large",
        "XADD stream * late entry",
        "XREADGROUP GROUP group carol STREAMS stream >",
        "EVAL 'redis.call(\"SET\", KEYS[1], \"by script\")' 1 scripted",
        "SELECT 5",
        "APPEND elsewhere x",
        "SELECT 0",
    ] {
        let reply = client.cmd(line);
        assert!(!reply.is_error(), "{line}: {reply}");
    }
}

/// All keys with all that can be asked of them, and the functions.
fn contents(client: &mut Client) -> BTreeMap<(usize, Vec<u8>), Vec<String>> {
    let mut all = BTreeMap::new();
    for db in [0, 5] {
        client.cmd(&format!("SELECT {db}")).ok();
        for key in client.cmd("KEYS *").items() {
            let key = key.bytes().to_vec();
            let about = describe(client, &key);
            all.insert((db, key), about);
        }
    }
    client.cmd("SELECT 0").ok();
    let functions = client.cmd("FUNCTION LIST WITHCODE").to_string();
    all.insert((99, b"functions".to_vec()), vec![functions]);
    all
}

fn describe(client: &mut Client, key: &[u8]) -> Vec<String> {
    let ask = |client: &mut Client, words: &[&[u8]]| client.call(words);
    let ty = ask(client, &[b"TYPE", key]).text();
    let mut encoding = ask(client, &[b"OBJECT", b"ENCODING", key]).text();
    // Sets and short lists got listpacks after 7.0; what is stored inline, and how, is each server's own business.
    match (&*ty, &*encoding) {
        ("set", "listpack") => encoding = "hashtable".to_owned(),
        ("list", _) | (_, "embstr" | "raw") => encoding.clear(),
        _ => {}
    }
    let mut about = vec![
        ty.clone(),
        encoding,
        ask(client, &[b"PEXPIRETIME", key]).to_string(),
    ];
    let sorted = |reply: Reply, width: usize| {
        let items: Vec<String> = reply.items().iter().map(Reply::to_string).collect();
        let mut items: Vec<String> = items.chunks(width).map(|pair| pair.concat()).collect();
        items.sort();
        items
    };
    match &*ty {
        "string" => about.push(ask(client, &[b"GET", key]).to_string()),
        "list" => about.push(ask(client, &[b"LRANGE", key, b"0", b"-1"]).to_string()),
        "set" => about.extend(sorted(ask(client, &[b"SMEMBERS", key]), 1)),
        "hash" => about.extend(sorted(ask(client, &[b"HGETALL", key]), 2)),
        "zset" => {
            let words = [b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"];
            for pair in ask(client, &words).items().chunks(2) {
                // The two spell a number with different digits.
                let score: f64 = pair[1].text().parse().expect("a score");
                about.push(format!("{} {score:?}", pair[0]));
            }
        }
        "stream" => {
            about.push(ask(client, &[b"XRANGE", key, b"-", b"+"]).to_string());
            let info = ask(client, &[b"XINFO", b"STREAM", key]);
            let told = info.items();
            for name in [
                "length",
                "last-generated-id",
                "max-deleted-entry-id",
                "entries-added",
            ] {
                let at = told.iter().position(|item| *item == Reply::from(name));
                about.push(at.map_or(String::new(), |at| told[at + 1].to_string()));
            }
            for group in ask(client, &[b"XINFO", b"GROUPS", key]).items() {
                let name = group.items()[1].bytes().to_vec();
                about.push(format!("{}", group.items()[7]));
                let words = [b"XPENDING", key, &name[..], b"-", b"+", b"100"];
                for pending in ask(client, &words).items() {
                    let told = pending.items();
                    about.push(format!("{} {} {}", told[0], told[1], told[3]));
                }
            }
        }
        other => panic!("a type unheard of: {other}"),
    }
    about
}

/// Redis 8 notes in the manifest where in the stream of effects an increment begins, and where one ends that was closed
/// in good order. `master_repl_offset` goes on from there after a restart.
#[test]
fn increments_say_where_in_the_stream_they_are() {
    let mut server = Server::oxidis().args(["--appendonly", "yes"]).start();
    let manifest = server.dir().join("appendonlydir/appendonly.aof.manifest");
    let last_line = || {
        let text = fs::read_to_string(&manifest).expect("a manifest");
        text.lines().last().expect("a line").to_owned()
    };
    let mut c = server.client();
    // Loading is answered as well, so the first reply tells that the file is open.
    let open = until(PATIENCE, || (!c.cmd("SET a 1").is_error()).then_some(()));
    assert!(open.is_some());
    assert!(last_line().ends_with("seq 1 type i startoffset 0"));
    c.cmd("SET b 1").ok();
    c.cmd("CONFIG SET appendonly no").ok();
    assert!(last_line().ends_with("seq 1 type i startoffset 0 endoffset 2"));
    c.cmd("CONFIG SET appendonly yes").ok();
    let begun = until(PATIENCE, || {
        last_line().contains("seq 2 type i").then_some(())
    });
    assert!(begun.is_some());
    c.cmd("SET c 1").ok();
    // The reply of SHUTDOWN is the end of the connection: the note is there by then.
    let _ = c.send(b"SHUTDOWN\r\n").and_then(|()| c.finish());
    assert!(
        last_line().ends_with("seq 2 type i startoffset 2 endoffset 3"),
        "{}",
        last_line()
    );
    server.wait();
    server.restart();
    let mut c = server.client();
    assert!(
        last_line().ends_with("seq 2 type i startoffset 2"),
        "{}",
        last_line()
    );
    let offset = |c: &mut Client| {
        let text = c.cmd("INFO replication").text();
        let field = text
            .lines()
            .find_map(|line| line.strip_prefix("master_repl_offset:"));
        field
            .and_then(|n| n.trim().parse::<u64>().ok())
            .expect("a number")
    };
    assert_eq!(offset(&mut c), 3);
    c.cmd("SET d 1").ok();
    drop(c);
    // Killed, it leaves no note: the position is estimated from the size of the file.
    server.kill();
    let increment = server.dir().join("appendonlydir/appendonly.aof.2.incr.aof");
    let bytes = fs::metadata(&increment).expect("an increment").len();
    server.restart();
    assert_eq!(offset(&mut server.client()), 2 + bytes);
}
