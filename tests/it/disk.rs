//! Disks that fail: full, or gone. The log says so, writes are refused as documented, reads are not, and all is well
//! again when the disk is. And disks that do not: files nobody reads again are not kept in memory.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::server::until;
use crate::support::{Client, Reply, Server};

/// A save of nothing, or a retry that comes every second.
const PATIENCE: Duration = Duration::from_secs(30);

/// No file of the server may be longer than this. False where that cannot be had.
fn limit_files(server: &Server, bytes: &str) -> bool {
    let limited = Command::new("prlimit")
        .args(["--pid", &server.pid().to_string()])
        .arg(format!("--fsize={bytes}:unlimited"))
        .status();
    limited.is_ok_and(|status| status.success())
}

#[track_caller]
fn wait_for(client: &mut Client, section: &str, field: &str) {
    let found = until(PATIENCE, || {
        let info = client.cmd(&format!("INFO {section}")).text();
        info.lines().any(|line| line == field).then_some(())
    });
    found.unwrap_or_else(|| panic!("never {field}"));
}

fn temporary_files(server: &Server) -> Vec<String> {
    let names = fs::read_dir(server.dir()).expect("its directory").flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("temp-")).collect()
}

#[test]
fn an_append_only_file_that_cannot_grow_stops_writes_until_it_can() {
    let mut server = Server::oxidis()
        .args(["--appendonly", "yes", "--appendfsync", "everysec"])
        .start();
    let mut client = server.client();
    let value = vec![b'v'; 100_000];
    for i in 0..5 {
        client
            .call(&[b"SET", format!("before:{i}").as_bytes(), &value])
            .ok();
    }
    if !limit_files(&server, "1000000") {
        eprintln!("skipped: no prlimit here");
        return;
    }
    let mut written = 0;
    let refused = until(PATIENCE, || {
        let reply = client.call(&[b"SET", format!("full:{written}").as_bytes(), &value]);
        if reply.is_error() {
            return Some(reply.text());
        }
        written += 1;
        None
    });
    let refused = refused.expect("the file is full by now");
    assert!(
        refused.starts_with("MISCONF Errors writing to the AOF file"),
        "{refused}"
    );
    client.cmd("STRLEN before:0").is(100_000);
    assert!(
        client
            .cmd("INFO persistence")
            .text()
            .contains("aof_last_write_status:err")
    );
    let log = server.log();
    assert!(
        log.contains("Error writing to the AOF file")
            || log.contains("Short write while writing to the AOF file"),
        "{log}"
    );

    assert!(limit_files(&server, "unlimited"));
    let healed = until(PATIENCE, || {
        (client.cmd("SET after 1") == Reply::Status(b"OK".to_vec())).then_some(())
    });
    healed.expect("the disk is well again");
    client
        .send(b"SHUTDOWN NOSAVE NOW FORCE\r\n")
        .expect("it listens");
    server.wait();
    server.restart();
    let mut client = server.client();
    wait_for(&mut client, "persistence", "loading:0");
    client.cmd("DBSIZE").is(5 + written + 1);
}

/// Fills the append-only file until a write is refused; how many were not.
fn fill(client: &mut Client, value: &[u8]) -> u64 {
    let mut written = 0;
    let refused = until(PATIENCE, || {
        let reply = client.call(&[b"SET", format!("full:{written}").as_bytes(), value]);
        written += u64::from(!reply.is_error());
        reply.is_error().then_some(())
    });
    refused.expect("the file is full by now");
    written
}

fn heal(server: &Server, client: &mut Client) {
    assert!(limit_files(server, "unlimited"));
    let healed = until(PATIENCE, || {
        (client.cmd("SET after 1") == Reply::Status(b"OK".to_vec())).then_some(())
    });
    healed.expect("the disk is well again");
}

/// Ends it with everything written: a write may wait for an fsync under way otherwise.
fn end(server: &mut Server, client: &mut Client) {
    client
        .send(b"SHUTDOWN NOSAVE NOW FORCE\r\n")
        .expect("it listens");
    server.wait();
}

/// An increment that a rewrite had made was not opened to append: after a write that failed, the next one left a hole of
/// zeros, and the server never started again.
#[test]
fn an_increment_of_a_rewrite_has_no_hole_after_a_write_that_failed() {
    let mut server = Server::oxidis()
        .args(["--appendonly", "yes", "--appendfsync", "everysec"])
        .start();
    let mut client = server.client();
    client.cmd("BGREWRITEAOF");
    wait_for(&mut client, "persistence", "aof_rewrite_in_progress:0");
    if !limit_files(&server, "1000000") {
        eprintln!("skipped: no prlimit here");
        return;
    }
    let written = fill(&mut client, &[b'v'; 70_001]);
    heal(&server, &mut client);
    end(&mut server, &mut client);
    server.restart();
    let mut client = server.client();
    wait_for(&mut client, "persistence", "loading:0");
    client.cmd("DBSIZE").is(written as i64 + 1);
}

/// The unwritten part of the AOF was written to the increment of a rewrite that began meanwhile, behind a base that had
/// it already: INCR counted twice, and a SET of database 5 came back in database 0.
#[test]
fn what_a_full_disk_left_over_is_applied_once_and_where_it_belongs() {
    let mut server = Server::oxidis()
        .args(["--appendonly", "yes", "--appendfsync", "everysec"])
        .start();
    let mut client = server.client();
    client.cmd("SET n 10").ok();
    client.cmd("SELECT 5").ok();
    if !limit_files(&server, "1000000") {
        eprintln!("skipped: no prlimit here");
        return;
    }
    let value = vec![b'v'; 1_000_000];
    client.send(b"MULTI\r\n").expect("it listens");
    client.read().expect("an answer").ok();
    for words in [
        &[&b"SET"[..], b"five", &value][..],
        &[b"SELECT", b"0"],
        &[b"INCR", b"n"],
    ] {
        client.call(words);
    }
    client.cmd("EXEC");
    wait_for(&mut client, "persistence", "aof_last_write_status:err");
    client.cmd("BGREWRITEAOF");
    wait_for(&mut client, "persistence", "aof_rewrite_in_progress:0");
    heal(&server, &mut client);
    end(&mut server, &mut client);
    server.restart();
    let mut client = server.client();
    wait_for(&mut client, "persistence", "loading:0");
    client.cmd("GET n").is("11");
    client.cmd("EXISTS five").is(0);
    client.cmd("SELECT 5").ok();
    client.cmd("STRLEN five").is(1_000_000);
}

/// Under `always` a buffer that could not be written was written once more while the server ended.
#[test]
fn a_server_that_gives_up_writes_nothing_more() {
    let mut server = Server::oxidis()
        .args(["--appendonly", "yes", "--appendfsync", "always"])
        .start();
    let mut client = server.client();
    client.cmd("BGREWRITEAOF");
    wait_for(&mut client, "persistence", "aof_rewrite_in_progress:0");
    client.cmd("SET a 1").ok();
    if !limit_files(&server, "100000") {
        eprintln!("skipped: no prlimit here");
        return;
    }
    let value = vec![b'v'; 200_000];
    let request = [
        &b"*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$200000\r\n"[..],
        &value,
        b"\r\n",
    ]
    .concat();
    let _ = client.send(&request);
    assert!(client.read().is_err(), "nobody is told what is not safe");
    server.wait();
    server.restart();
    let mut client = server.client();
    wait_for(&mut client, "persistence", "loading:0");
    client.cmd("GET a").is("1");
    client.cmd("DBSIZE").is(1);
}

/// Garbage without a line break was cut off as half of a command.
#[test]
fn garbage_at_the_end_of_the_append_only_file_is_refused() {
    let mut server = Server::oxidis()
        .args([
            "--appendonly",
            "yes",
            "--aof-load-corrupt-tail-max-size",
            "0",
        ])
        .start();
    let mut client = server.client();
    client.cmd("SET a 1").ok();
    server.kill();
    let increment = server.dir().join("appendonlydir/appendonly.aof.1.incr.aof");
    let good = fs::read(&increment).expect("its increment");
    let start = |tail: &[u8]| {
        fs::write(&increment, [&good, tail].concat()).expect("a file of ours");
        let log = server.dir().join("refused");
        let mut child = Command::new(env!("CARGO_BIN_EXE_oxidis-server"))
            .args([
                "--port",
                "0",
                "--unixsocket",
                "socket",
                "--appendonly",
                "yes",
            ])
            .args(["--logfile", "refused", "--dir"])
            .arg(server.dir())
            .spawn()
            .expect("it is there");
        let ended = until(PATIENCE, || child.try_wait().expect("our own child"));
        let _ = child.kill();
        let _ = child.wait();
        assert!(ended.is_some(), "it started");
        fs::read_to_string(log).expect("a log")
    };
    let log = start(b"garbage");
    assert!(
        log.contains("Bad file format reading the append only file"),
        "{log}"
    );
    assert!(
        fs::read(&increment)
            .expect("untouched")
            .ends_with(b"garbage")
    );
    // Half of a command, and zeros where its end was not on disk yet, are no garbage.
    for tail in [
        &b"*2\r\n$4\r\nIN"[..],
        b"*2\r\n$4\r\nIN\0\0\0\0\0\0\0\0",
        &[0; 5000],
    ] {
        fs::write(&increment, [&good, tail].concat()).expect("a file of ours");
        server.restart();
        let mut client = server.client();
        wait_for(&mut client, "persistence", "loading:0");
        client.cmd("GET a").is("1");
        server.kill();
        assert_eq!(fs::read(&increment).expect("its increment"), good);
    }
}

#[test]
fn a_save_that_finds_no_room_leaves_the_old_file_and_no_half_of_a_new_one() {
    let server = Server::oxidis()
        .args(["--save", "3600 1000000", "--rdbcompression", "no"])
        .start();
    let mut client = server.client();
    client.cmd("SET a 1").ok();
    client.cmd("SAVE").ok();
    let old = fs::read(server.dir().join("dump.rdb")).expect("saved");
    client.call(&[&b"SET"[..], b"b", &vec![b'v'; 300_000]]).ok();
    if !limit_files(&server, "200000") {
        eprintln!("skipped: no prlimit here");
        return;
    }
    client.cmd("BGSAVE");
    wait_for(&mut client, "persistence", "rdb_bgsave_in_progress:0");
    wait_for(&mut client, "persistence", "rdb_last_bgsave_status:err");
    assert!(
        server
            .log()
            .contains("Write error while saving DB to the disk"),
        "{}",
        server.log()
    );
    client.cmd("SET c 1").error("MISCONF");
    client.cmd("GET a").is("1");
    // Scripts write as little: those that say that they may are refused as a whole, others where they begin to.
    let mut eval = |script: &str| client.call(&["EVAL", script, "0"]);
    eval("#!lua\nreturn redis.call('get', 'a')").error("MISCONF");
    eval("return redis.call('set', 'c', 1)").error("MISCONF");
    eval("#!lua flags=no-writes\nreturn redis.call('get', 'a')").is("1");
    eval("return redis.call('get', 'a')").is("1");
    assert_eq!(
        fs::read(server.dir().join("dump.rdb")).expect("still there"),
        old
    );
    assert_eq!(temporary_files(&server), Vec::<String>::new());

    assert!(limit_files(&server, "unlimited"));
    client.cmd("BGSAVE");
    wait_for(&mut client, "persistence", "rdb_last_bgsave_status:ok");
    client.cmd("SET c 1").ok();
}

#[test]
fn a_directory_that_is_gone_fails_saves_until_it_is_back() {
    let server = Server::oxidis()
        .args(["--save", "3600 1000000"])
        .args(["--enable-protected-configs", "yes"])
        .start();
    let mut client = server.client();
    let dir = server.dir().join("data");
    fs::create_dir(&dir).expect("a directory");
    client
        .call(&["CONFIG", "SET", "dir", dir.to_str().expect("a plain name")])
        .ok();
    client.cmd("SET a 1").ok();
    fs::remove_dir(&dir).expect("it is empty");
    client.cmd("BGSAVE");
    wait_for(&mut client, "persistence", "rdb_last_bgsave_status:err");
    assert!(
        server.log().contains("Failed opening the temp RDB file"),
        "{}",
        server.log()
    );
    client.cmd("SET a 2").error("MISCONF");
    fs::create_dir(&dir).expect("a directory");
    client.cmd("BGSAVE");
    wait_for(&mut client, "persistence", "rdb_last_bgsave_status:ok");
    client.cmd("SET a 2").ok();
}

/// FLUSHALL cancels a save and writes the empty file itself: the cancelled one must not come after it.
#[test]
fn a_cancelled_save_never_replaces_what_was_written_after_it() {
    let server = Server::oxidis().args(["--save", "3600 1000000"]).start();
    let mut client = server.client();
    for round in 0..100 {
        client.cmd("SET a 1").ok();
        client.cmd("BGSAVE");
        client.cmd("FLUSHALL").ok();
        let file = fs::read(server.dir().join("dump.rdb")).expect("FLUSHALL wrote it");
        assert!(
            !file.windows(4).any(|part| part == b"\x01a\xc0\x01"),
            "round {round}"
        );
    }
    wait_for(&mut client, "persistence", "rdb_bgsave_in_progress:0");
    let gone = until(PATIENCE, || {
        temporary_files(&server).is_empty().then_some(())
    });
    gone.expect("what was cancelled is removed");
    let file = fs::read(server.dir().join("dump.rdb")).expect("still there");
    assert!(!file.windows(4).any(|part| part == b"\x01a\xc0\x01"));
}

/// A server that is killed in the middle of a save cannot clean up, and its half files stayed for ever: each crash of
/// a large server cost its disk a data set. The next one that starts there removes them, but not those of who lives.
#[test]
fn half_files_of_who_was_killed_are_removed_at_the_next_start() {
    let mut dead = Command::new("true").spawn().expect("a process");
    dead.wait().expect("it ends");
    let (dead, alive) = (dead.id(), std::process::id());
    let mut server = Server::oxidis().start();
    let left = [
        format!("temp-{dead}.rdb"),
        format!("temp-{dead}-7.rdb"),
        format!("temp-1700000000.{dead}.rdb"),
        format!("temp-rewriteaof-{dead}.aof"),
        format!("temp-rewriteaof-bg-{dead}-2.aof"),
    ];
    let kept = [format!("temp-{alive}-1.rdb"), "temp-notes.rdb".to_owned()];
    for name in left.iter().chain(&kept) {
        fs::write(server.dir().join(name), "half").expect("its directory");
    }
    server.kill();
    server.restart();
    server.client().cmd("PING").status("PONG");
    let mut files = temporary_files(&server);
    files.sort();
    assert_eq!(files, kept);
    assert!(server.log().contains(&format!("Removed temp-{dead}-7.rdb")));
}

/// A disk that lost what was written last. With a broken tail inside of a transaction, the file was cut behind the
/// transaction's beginning: what was appended next became part of it, and was gone at the start after that.
#[test]
fn a_broken_tail_takes_the_whole_transaction_with_it() {
    let mut server = Server::oxidis()
        .args(["--appendonly", "yes"])
        .args(["--aof-load-corrupt-tail-max-size", "1000"])
        .start();
    server.client().cmd("SET a 1").ok();
    server.kill();
    let path = server.dir().join("appendonlydir/appendonly.aof.1.incr.aof");
    let mut file = fs::read(&path).expect("it was written to");
    for words in [&["MULTI"][..], &["SET", "a", "2"]] {
        file.extend_from_slice(&crate::support::client::encode(words));
    }
    file.extend_from_slice(b"*no command");
    file.extend_from_slice(&[0; 50]);
    fs::write(&path, file).expect("its file");
    server.restart();
    let mut client = server.client();
    client.cmd("GET a").is("1");
    client.cmd("SET b 1").ok();
    server.restart();
    let mut client = server.client();
    client.cmd("GET a").is("1");
    client.cmd("GET b").is("1");
}

/// Bytes of a file that are in the page cache, if there is a tool that tells.
fn cached_bytes(path: &Path) -> Option<u64> {
    let told = Command::new("fincore")
        .args(["-b", "-n", "-o", "RES"])
        .arg(path)
        .output()
        .ok()?;
    String::from_utf8(told.stdout).ok()?.trim().parse().ok()
}

/// Whether files here can be out of the page cache at all: not where they live in memory.
fn cache_can_be_left(directory: &Path) -> bool {
    let path = directory.join("control");
    fs::write(&path, [0; 100_000]).expect("room");
    let left = Command::new("dd")
        .arg(format!("of={}", path.display()))
        .args(["oflag=nocache", "conv=notrunc,fdatasync", "count=0"])
        .output();
    let cached = cached_bytes(&path);
    fs::remove_file(&path).expect("just made");
    left.is_ok() && cached == Some(0)
}

#[test]
fn what_was_saved_or_loaded_leaves_the_page_cache() {
    let mut server = Server::oxidis().args(["--rdbcompression", "no"]).start();
    if !cache_can_be_left(server.dir()) {
        eprintln!("skipped: the page cache cannot be looked into here");
        return;
    }
    let mut client = server.client();
    client
        .call(&[&b"SET"[..], b"k", &vec![b'v'; 10_000_000]])
        .ok();
    client.cmd("BGSAVE");
    wait_for(&mut client, "persistence", "rdb_bgsave_in_progress:0");
    let file = server.dir().join("dump.rdb");
    let left = || cached_bytes(&file).is_some_and(|bytes| bytes < 100_000);
    assert!(left(), "{:?}", cached_bytes(&file));
    server.restart();
    let mut client = server.client();
    wait_for(&mut client, "persistence", "loading:0");
    client.cmd("STRLEN k").is(10_000_000);
    let forgotten = until(PATIENCE, || left().then_some(()));
    forgotten.expect("a thread has it forgotten");
}
