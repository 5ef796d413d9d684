//! `oxidis-check-rdb` and `oxidis-check-aof`: what they say of good and bad files, by themselves and, where it is
//! installed, beside real Redis's.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::client::encode;
use crate::support::random::Random;
use crate::support::{Client, Folder, Reply, Server};

const CHECK_RDB: &str = env!("CARGO_BIN_EXE_oxidis-check-rdb");
const CHECK_AOF: &str = env!("CARGO_BIN_EXE_oxidis-check-aof");

/// The output and exit code of a tool; every question of the tool is answered with `y`.
fn run(tool: &Path, directory: &Path, arguments: &[&str]) -> (String, Option<i32>) {
    let mut child = Command::new(tool)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it was just built");
    let mut answers = child.stdin.take().expect("piped");
    // A tool that asks nothing does not read the answers.
    let _ = answers.write_all(b"y\n");
    drop(answers);
    let Output { stdout, status, .. } = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&stdout).into_owned();
    (text, status.code())
}

/// Real Redis's tool of this name, where it is installed.
fn real(tool: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|dir| dir.join(tool))
        .find(|path| path.is_file())
}

/// A file with a key of each type; `more` adds what the server at hand has besides.
fn saved(client: &mut Client) {
    for line in [
        "SET text value",
        "SET number 12345 PX 100000000",
        "SET long-gone x PXAT 99999999999999",
        "RPUSH list a b 3",
        "SADD set a b c",
        "SADD integers 1 2 3",
        "HSET hash field value",
        "ZADD zset 1 a 2 b",
        "FUNCTION LOAD '#!lua name=lib\nredis.register_function(\"f\", function() return 1 end)'",
        "SELECT 9",
        "SET text value",
        "SAVE",
    ] {
        let reply = client.cmd(line);
        assert!(!matches!(reply, Reply::Error(_)), "{line}: {reply}");
    }
}

#[test]
fn a_sound_rdb_is_called_that_and_a_broken_one_is_described() {
    let server = Server::oxidis().start();
    let mut client = server.client();
    client.cmd("SELECT 1").ok();
    client.cmd("HSET hash a 1 b 2").is(2);
    client.cmd("HPEXPIRE hash 100000000 FIELDS 1 a");
    client.cmd("SELECT 0").ok();
    saved(&mut client);
    let dir = server.dir();
    let (text, code) = run(CHECK_RDB.as_ref(), dir, &["dump.rdb"]);
    assert_eq!(code, Some(0), "{text}");
    for line in [
        "[offset 0] Checking RDB file dump.rdb\n",
        "] AUX FIELD redis-bits = '64'\n",
        "] Selecting DB ID 9\n",
        "] Checksum OK\n",
        "] \\o/ RDB looks OK! \\o/\n",
        "[info] 10 keys read\n[info] 2 expires\n[info] 0 already expired\n[info] 1 subexpires\n",
    ] {
        assert!(text.contains(line), "no {line:?} in\n{text}");
    }

    let whole = fs::read(dir.join("dump.rdb")).expect("saved");
    let mut changed = whole.clone();
    let at = changed.len() - 12;
    changed[at] ^= 1;
    fs::write(dir.join("changed.rdb"), &changed).expect("writable");
    let (text, code) = run(CHECK_RDB.as_ref(), dir, &["changed.rdb"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("--- RDB ERROR DETECTED ---\n"), "{text}");

    fs::write(dir.join("short.rdb"), &whole[..whole.len() - 40]).expect("writable");
    let (text, code) = run(CHECK_RDB.as_ref(), dir, &["short.rdb"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("Unexpected EOF reading RDB file\n[additional info] While doing: "));
    assert_eq!(run(CHECK_RDB.as_ref(), dir, &["none.rdb"]).1, Some(1));
    assert_eq!(run(CHECK_RDB.as_ref(), dir, &[]).1, Some(1));
    assert_eq!(run(CHECK_RDB.as_ref(), dir, &["--version"]).1, Some(0));
}

#[test]
fn the_server_answers_to_the_names_of_the_tools() {
    let server = Server::oxidis().start();
    let dir = server.dir();
    fs::write(dir.join("x.aof"), encode(&["SET", "a", "b"])).expect("writable");
    fs::write(dir.join("x.rdb"), b"REDIS0012").expect("writable");
    let cases = [
        ("redis-check-aof", "x.aof", 0, "AOF x.aof is valid\n"),
        ("oxidis-check-rdb", "x.rdb", 1, "Unexpected EOF reading"),
    ];
    for (name, file, code, said) in cases {
        let link = dir.join(name);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_oxidis-server"), &link).expect("a link");
        let (text, ended) = run(&link, dir, &[file]);
        assert_eq!(ended, Some(code), "{text}");
        assert!(text.contains(said), "{text}");
    }
}

/// The lines of two tools that have to be alike.
fn comparable(text: &str) -> Vec<&str> {
    let lines = text.lines().filter(|line| !line.is_empty());
    let lines = lines.filter(|line| !line.ends_with(" subexpires"));
    // Real Redis's tool begins with that type, before there is a key.
    let lines = lines.filter(|line| !line.ends_with("Reading type 0 (string)"));
    // Real Redis writes some lines as those of a log.
    lines
        .map(|line| match line.split_once(" # ") {
            Some((head, rest)) if head.contains(":C ") => rest,
            _ => line,
        })
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn an_rdb_of_real_redis_is_described_as_its_own_tool_does() {
    let (Some(redis), Some(tool)) = (Server::redis(), real("redis-check-rdb")) else {
        eprintln!("skipped: no redis-server and redis-check-rdb in PATH");
        return;
    };
    let server = redis.start();
    saved(&mut server.client());
    let dir = server.dir();
    let whole = fs::read(dir.join("dump.rdb")).expect("saved");
    // Shortened everywhere; what a byte changed at random comes to differs in words, not in the verdict.
    for len in (0..whole.len()).step_by(7).chain([whole.len()]) {
        fs::write(dir.join("x.rdb"), &whole[..len]).expect("writable");
        let (theirs, their_code) = run(&tool, dir, &["x.rdb"]);
        let (ours, our_code) = run(CHECK_RDB.as_ref(), dir, &["x.rdb"]);
        assert_eq!(our_code, their_code, "{len} bytes\n{ours}\n{theirs}");
        assert_eq!(comparable(&ours), comparable(&theirs), "{len} bytes");
    }
}

/// The files that a rewrite leaves, in the directory they are in: whole, and with a broken base or tail.
#[test]
fn a_manifest_elsewhere_is_described_as_real_redis_does() {
    let Some(tool) = real("redis-check-aof") else {
        eprintln!("skipped: no redis-check-aof in PATH");
        return;
    };
    let server = Server::oxidis()
        .args(["--appendonly", "yes", "--rdb-version", "10"])
        .start();
    let mut client = server.client();
    client.cmd("SET a 1").ok();
    let dir = server.dir();
    let files = dir.join("appendonlydir");
    let break_base = |name: &str| fs::write(files.join(name), b"REDIS0010\xFA").expect("writable");
    let manifest = "appendonlydir/appendonly.aof.manifest";
    let (base, increment) = ("appendonly.aof.1.base.rdb", "appendonly.aof.1.incr.aof");
    for (tail, breaks) in [("", false), ("*1\r\n$-4\r\n", false), ("*2\r\n", true)] {
        let mut file = fs::read(files.join(increment)).expect("it is written to");
        file.extend_from_slice(tail.as_bytes());
        fs::write(files.join(increment), &file).expect("writable");
        if breaks {
            break_base(base);
        }
        for arguments in [
            vec![manifest],
            vec!["--truncate-to-timestamp", "7", manifest],
        ] {
            let (theirs, their_code) = run(&tool, dir, &arguments);
            let (ours, our_code) = run(CHECK_AOF.as_ref(), dir, &arguments);
            assert_eq!(our_code, their_code, "{ours}\n{theirs}");
            assert_eq!(comparable(&ours), comparable(&theirs), "{arguments:?}");
        }
    }
}

/// Commands, transactions and timestamps, as bytes.
fn random_aof(random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    let mut second = 1000;
    for _ in 0..1 + random.below(7) {
        match random.below(6) {
            0 => {
                out.extend_from_slice(format!("#TS:{second}\r\n").as_bytes());
                second += random.below(3);
            }
            1 => {
                out.extend_from_slice(&encode(&["MULTI"]));
                out.extend_from_slice(&encode(&["SET", "a", "b"]));
                out.extend_from_slice(&encode(&["EXEC"]));
            }
            _ => {
                let len = random.below(20);
                let value = random.bytes(len);
                out.extend_from_slice(&encode(&[&b"SET"[..], b"key", &value]));
            }
        }
    }
    match random.below(5) {
        0 => {}
        1 | 2 => out.truncate(1 + random.below(out.len())),
        _ => {
            let at = random.below(out.len());
            out[at] = *random.pick(b"\n\r$*#-0129!x");
        }
    }
    out
}

#[test]
fn append_only_files_are_judged_and_cut_as_real_redis_does() {
    let Some(tool) = real("redis-check-aof") else {
        eprintln!("skipped: no redis-check-aof in PATH");
        return;
    };
    let seed = Random::seed_from_env("OXIDIS_CHECK_SEED");
    let mut random = Random::new(seed);
    let dir = Folder::new("check");
    for round in 0..150 {
        let base = encode(&["SET", "1", "2"]);
        let increment = random_aof(&mut random);
        let manifest = *random.pick(&[
            "file base.aof seq 1 type b\nfile incr.aof seq 1 type i\n",
            "file incr.aof seq 1 type b\nfile base.aof seq 2 type i\n",
            "# a remark\nfile incr.aof seq 1 type i\n",
            "file incr.aof seq 1 typo i\n",
        ]);
        let file = *random.pick(&["manifest", "incr.aof"]);
        let until = (1000 + random.below(4)).to_string();
        let arguments = match random.below(3) {
            0 => vec![file],
            1 => vec!["--fix", file],
            _ => vec!["--truncate-to-timestamp", &until, file],
        };
        let verdicts = [&tool, Path::new(CHECK_AOF)].map(|tool| {
            fs::write(dir.join("base.aof"), &base).expect("writable");
            fs::write(dir.join("incr.aof"), &increment).expect("writable");
            fs::write(dir.join("manifest"), manifest).expect("writable");
            let (text, code) = run(tool, &dir, &arguments);
            (
                text,
                code,
                fs::read(dir.join("incr.aof")).expect("still there"),
            )
        });
        let [(theirs, their_code, their_file), (ours, our_code, our_file)] = verdicts;
        let shown = increment.escape_ascii();
        let about = format!(
            "OXIDIS_CHECK_SEED={seed}, round {round}, {arguments:?}, {manifest:?}\n{shown}"
        );
        assert_eq!(our_code, their_code, "{about}\n{ours}\n{theirs}");
        assert!(our_file == their_file, "{about}\n{ours}\n{theirs}");
        // Bytes that are no text, and where it refuses to cut, are worded differently.
        let differs = |line: &&str| {
            !line.starts_with("If you insist")
                && !line.contains("xpected")
                && !line.contains("to offset")
        };
        let alike = |text: &str| -> Vec<String> {
            let lines = comparable(text).into_iter().filter(differs);
            lines.map(str::to_owned).collect()
        };
        assert_eq!(alike(&ours), alike(&theirs), "{about}");
    }
}
