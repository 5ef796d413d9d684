//! BACKUP, and starting from one with `preload-file`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::server::until;
use crate::support::{Client, Folder, Server};

const PATIENCE: Duration = Duration::from_secs(30);

fn status(client: &mut Client, field: &str) -> String {
    let reply = client.cmd("BACKUP STATUS");
    let fields = reply.items();
    let at = fields
        .iter()
        .position(|name| name.bytes() == field.as_bytes());
    fields[at.expect(field) + 1].text()
}

#[track_caller]
fn wait_for_phase(client: &mut Client, phase: &str) {
    let found = until(PATIENCE, || {
        (status(client, "state") == phase).then_some(())
    });
    found.unwrap_or_else(|| panic!("never {phase}: {:?}", client.cmd("BACKUP STATUS")));
}

fn info(client: &mut Client, field: &str) -> String {
    let text = client.cmd("INFO persistence").text();
    let prefix = format!("{field}:");
    let found = text.lines().find_map(|line| line.strip_prefix(&prefix));
    found.expect(field).to_owned()
}

#[track_caller]
fn wait_for_info(client: &mut Client, field: &str, value: &str) {
    let found = until(PATIENCE, || (info(client, field) == value).then_some(()));
    found.unwrap_or_else(|| panic!("{field} never {value}"));
}

fn files(client: &mut Client) -> Vec<PathBuf> {
    let reply = client.cmd("BACKUP LIST");
    reply
        .items()
        .iter()
        .map(|file| file.text().into())
        .collect()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn backup_dir(server: &Server) -> PathBuf {
    server.dir().join("backupdir")
}

fn start(client: &mut Client) {
    client.cmd("BACKUP START").ok();
    wait_for_phase(client, "incrementing");
}

/// A server with `a` in its base, `b` in its increment, and `c` written when all was sealed.
fn sealed(appendonly: &str) -> Server {
    let server = Server::oxidis()
        .args(["--appendonly", appendonly, "--rdb-version", "10"])
        .start();
    let mut client = server.client();
    client.cmd("SET a 1").ok();
    start(&mut client);
    client.cmd("SET b 2").ok();
    client.cmd("BACKUP SEAL").ok();
    client.cmd("SET c 3").ok();
    server
}

fn preloaded(appendonly: &str, file: &str) -> Server {
    Server::oxidis()
        .args(["--appendonly", appendonly, "--preload-file", file])
        .start()
}

#[track_caller]
fn assert_holds_a_and_b(server: &Server) {
    let mut client = server.client();
    wait_for_info(&mut client, "loading", "0");
    client.cmd("DBSIZE").is(2);
    client.cmd("GET a").is("1");
    client.cmd("GET b").is("2");
}

#[test]
fn a_sealed_backup_is_the_data_set_as_of_its_seal() {
    for appendonly in ["no", "yes"] {
        let server = sealed(appendonly);
        let mut client = server.client();
        assert_eq!(status(&mut client, "state"), "sealed");
        assert_eq!(status(&mut client, "error"), "");
        let time = |client: &mut Client, field| status(client, field).parse::<u64>().expect(field);
        let (start, end) = (
            time(&mut client, "start_time"),
            time(&mut client, "end_time"),
        );
        assert!(start > 0 && end >= start, "{start} {end}");
        assert_eq!(info(&mut client, "backup_in_progress"), "0");
        let aof = if appendonly == "yes" { "1" } else { "0" };
        assert_eq!(info(&mut client, "aof_enabled"), aof);
        let appendonlydir = server.dir().join("appendonlydir");
        assert_eq!(appendonlydir.exists(), appendonly == "yes");

        let files = files(&mut client);
        let ends = [".base.rdb", ".incr.aof", "appendonly.aof.manifest"];
        assert_eq!(files.len(), ends.len());
        for (file, end) in files.iter().zip(ends) {
            assert!(file.is_absolute() && file.exists(), "{file:?}");
            assert!(file.to_string_lossy().ends_with(end), "{file:?}");
        }
        let manifest = format!("aof:{}", files[2].display());
        for appendonly in ["no", "yes"] {
            assert_holds_a_and_b(&preloaded(appendonly, &manifest));
        }
        client
            .cmd("BACKUP START")
            .error("ERR The last backup is sealed");
        client.cmd("BACKUP CLEANUP").ok();
        assert_eq!(status(&mut client, "state"), "idle");
        assert!(names(&backup_dir(&server)).is_empty());
    }
}

#[test]
fn real_redis_starts_from_a_backup() {
    let Some(redis) = Server::redis() else {
        eprintln!("skipped: no redis-server in PATH");
        return;
    };
    let server = sealed("no");
    let mut redis = redis.args(["--appendonly", "yes"]).start();
    redis.kill();
    let directory = redis.dir().join("appendonlydir");
    for name in names(&directory) {
        fs::remove_file(directory.join(name)).expect("its own");
    }
    for file in files(&mut server.client()) {
        let name = file.file_name().expect("a file");
        fs::copy(&file, directory.join(name)).expect("room");
    }
    redis.restart();
    assert_holds_a_and_b(&redis);
}

#[test]
fn each_step_is_refused_out_of_turn() {
    let server = Server::oxidis().start();
    let mut client = server.client();
    assert_eq!(status(&mut client, "state"), "idle");
    assert_eq!(status(&mut client, "start_time"), "0");
    client.cmd("BACKUP").error("ERR wrong number of arguments");
    client
        .cmd("BACKUP ABORT")
        .error("ERR No backup in progress");
    client
        .cmd("BACKUP SEAL")
        .error("ERR No backup ready to seal");
    client.cmd("BACKUP CLEANUP").ok();
    fs::create_dir(backup_dir(&server)).expect("room");
    let strange = backup_dir(&server).join("strange");
    fs::write(&strange, "x").expect("room");
    client
        .cmd("BACKUP START")
        .error("ERR Backup directory is not empty");
    fs::remove_file(&strange).expect("just made");

    start(&mut client);
    assert_eq!(info(&mut client, "backup_in_progress"), "1");
    assert_eq!(files(&mut client).len(), 1);
    client
        .cmd("BACKUP START")
        .error("ERR Backup already in progress");
    client
        .cmd("BACKUP CLEANUP")
        .error("ERR Backup is in progress");
    client.cmd("BACKUP ABORT").ok();
    assert_eq!(status(&mut client, "state"), "failed");
    assert_eq!(status(&mut client, "error"), "aborted by user");
    assert!(names(&backup_dir(&server)).is_empty());
    assert!(!server.dir().join("appendonlydir").exists());
    // The next one may follow at once.
    start(&mut client);
    client.cmd("BACKUP ABORT").ok();
}

#[test]
fn a_backup_waits_for_the_save_under_way_and_for_the_end_of_a_transaction() {
    let server = Server::oxidis().start();
    let mut client = server.client();
    client.cmd("SET a 1").ok();
    client.cmd("SET b 1").ok();
    client.cmd("CONFIG SET rdb-key-save-delay 10000000").ok();
    client.cmd("BGSAVE");
    client.cmd("BACKUP START").ok();
    assert_eq!(status(&mut client, "state"), "pending");
    assert!(files(&mut client).is_empty());
    client.cmd("CONFIG SET rdb-key-save-delay 0").ok();
    wait_for_phase(&mut client, "incrementing");
    client.cmd("BACKUP ABORT").ok();

    for line in ["MULTI", "SET a 2", "BACKUP START", "SET b 2", "EXEC"] {
        client.cmd(line);
    }
    wait_for_phase(&mut client, "incrementing");
    let base = format!("rdb:{}", files(&mut client)[0].display());
    let copy = preloaded("no", &base);
    let mut other = copy.client();
    wait_for_info(&mut other, "loading", "0");
    other.cmd("MGET a b").is(["2", "2"]);
}

#[test]
fn a_backup_takes_the_rewrite_that_runs_and_keeps_others_waiting() {
    let server = Server::oxidis().args(["--appendonly", "yes"]).start();
    let mut client = server.client();
    client.cmd("SET a 1").ok();
    client.cmd("SET b 1").ok();
    client.cmd("CONFIG SET rdb-key-save-delay 10000000").ok();
    client.cmd("BGREWRITEAOF");
    client.cmd("BACKUP START").ok();
    assert_eq!(status(&mut client, "state"), "snapshotting");
    client.cmd("CONFIG SET rdb-key-save-delay 0").ok();
    wait_for_phase(&mut client, "incrementing");
    assert_eq!(info(&mut client, "aof_rewrites"), "1");
    client
        .cmd("BGREWRITEAOF")
        .status("Background append only file rewriting scheduled");
    assert_eq!(info(&mut client, "aof_rewrite_scheduled"), "1");
    client.cmd("BACKUP SEAL").ok();
    wait_for_info(&mut client, "aof_rewrites", "2");
    wait_for_info(&mut client, "aof_rewrite_in_progress", "0");
    // The rewrite took the names away in one directory, not the files in the other.
    assert!(files(&mut client).iter().all(|file| file.exists()));
}

#[test]
fn appendonly_may_change_while_a_backup_runs() {
    let server = Server::oxidis().start();
    let mut client = server.client();
    client.cmd("SET a 1").ok();
    start(&mut client);
    client.cmd("CONFIG SET appendonly no").ok();
    assert_eq!(status(&mut client, "state"), "incrementing");
    client.cmd("CONFIG SET appendonly yes").ok();
    client.cmd("BACKUP SEAL").ok();
    client.cmd("BACKUP CLEANUP").ok();
    assert_eq!(info(&mut client, "aof_enabled"), "1");
    let manifest = server.dir().join("appendonlydir/appendonly.aof.manifest");
    assert!(manifest.exists());
    start(&mut client);
    client.cmd("CONFIG SET appendonly no").ok();
    assert_eq!(status(&mut client, "state"), "failed");
    assert_eq!(status(&mut client, "error"), "appendonly is stopped");
    assert!(names(&backup_dir(&server)).is_empty());
    assert!(manifest.exists());
}

#[test]
fn a_sealed_backup_goes_when_its_time_is_up() {
    let server = sealed("no");
    let mut client = server.client();
    client.cmd("CONFIG SET backup-sealed-ttl 1").ok();
    wait_for_phase(&mut client, "idle");
    assert!(names(&backup_dir(&server)).is_empty());
}

#[test]
fn a_server_that_ends_leaves_no_half_of_a_backup() {
    let mut server = Server::oxidis().start();
    for phase in ["incrementing", "snapshotting"] {
        let mut client = server.client();
        client.cmd("SET a 1").ok();
        if phase == "snapshotting" {
            client.cmd("CONFIG SET rdb-key-save-delay 10000000").ok();
        }
        client.cmd("BACKUP START").ok();
        wait_for_phase(&mut client, phase);
        client.send(b"SHUTDOWN NOSAVE\r\n").expect("it listens");
        server.wait();
        assert!(names(&backup_dir(&server)).is_empty());
        let left = names(server.dir());
        let odd = left
            .iter()
            .any(|name| name.contains("temp-") || name.contains("appendonly"));
        assert!(!odd, "{left:?}");
        server.restart();
    }
}

#[test]
fn what_is_preloaded_takes_the_place_of_what_was_there() {
    let backup = sealed("yes");
    let folder = Folder::new("preload");
    let preload = folder.join("preload");
    std::os::unix::fs::symlink(backup_dir(&backup), &preload).expect("a name of one's own");
    let manifest = preload.join("appendonly.aof.manifest");
    let mut server = preloaded("yes", &format!("aof:{}", manifest.display()));
    assert_holds_a_and_b(&server);
    server.client().cmd("SET local 1").ok();

    server.restart();
    assert_holds_a_and_b(&server);
    let mut client = server.client();
    assert_eq!(info(&mut client, "aof_rewrites"), "1");
    client.cmd("SET after 1").ok();

    // Its own manifest is loaded as ever.
    server.kill();
    fs::remove_file(&preload).expect("just made");
    let own = server.dir().join("appendonlydir");
    std::os::unix::fs::symlink(&own, &preload).expect("a name of one's own");
    server.restart();
    let mut client = server.client();
    wait_for_info(&mut client, "loading", "0");
    client.cmd("DBSIZE").is(3);
    client.cmd("MGET a b after").is(["1", "2", "1"]);
    assert_eq!(info(&mut client, "aof_rewrites"), "0");
}

#[test]
fn a_preload_file_that_is_wrong_or_not_there_is_the_end() {
    let folder = Folder::new("preload");
    let socket = folder.join("socket");
    for (file, reason) in [
        ("rdb:/nowhere/dump.rdb", "is not there"),
        ("aof:/nowhere/appendonly.aof.manifest", "is not there"),
        ("aof:/tmp/foo", "preload-file must end with an extension"),
        ("other:/tmp/foo.rdb", "argument must be in the format"),
    ] {
        let ended = Command::new(env!("CARGO_BIN_EXE_oxidis-server"))
            .args(["--port", "0", "--unixsocket"])
            .arg(&socket)
            .args(["--preload-file", file])
            .output()
            .expect("it runs");
        assert_eq!(ended.status.code(), Some(1), "{file}");
        let said = [ended.stdout, ended.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains(reason), "{file}: {said}");
    }
}

#[test]
fn a_seal_that_cannot_be_written_leaves_nothing() {
    let server = Server::oxidis().start();
    let mut client = server.client();
    start(&mut client);
    let limited = Command::new("prlimit")
        .args(["--pid", &server.pid().to_string(), "--fsize=0:unlimited"])
        .status();
    if !limited.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no prlimit here");
        return;
    }
    client.cmd("BACKUP SEAL").error("ERR Can't seal the backup");
    assert_eq!(status(&mut client, "state"), "failed");
    let left = names(&backup_dir(&server));
    assert!(left.is_empty(), "{left:?}");
}

/// As `mkfifo`, if there is one.
fn pipe(path: &Path) -> bool {
    let made = Command::new("mkfifo").arg(path).status();
    made.is_ok_and(|status| status.success())
}

#[test]
fn a_pipe_can_be_preloaded() {
    let source = Server::oxidis().start();
    source.client().cmd("SET a 1").ok();
    source.client().cmd("SAVE").ok();
    let fifo = source.dir().join("pipe.rdb");
    if !pipe(&fifo) {
        eprintln!("skipped: no mkfifo here");
        return;
    }
    let dump = fs::read(source.dir().join("dump.rdb")).expect("saved");
    let (into, preload) = (fifo.clone(), format!("rdb:{}", fifo.display()));
    let writer = std::thread::spawn(move || fs::write(into, dump));
    let copy = preloaded("no", &preload);
    let mut client = copy.client();
    wait_for_info(&mut client, "loading", "0");
    client.cmd("GET a").is("1");
    writer.join().expect("no panic").expect("somebody read");
}

#[test]
fn a_full_disk_is_the_backups_trouble_alone() {
    let server = Server::oxidis().args(["--appendfsync", "always"]).start();
    let mut client = server.client();
    start(&mut client);
    let limited = Command::new("prlimit")
        .args([
            "--pid",
            &server.pid().to_string(),
            "--fsize=100000:unlimited",
        ])
        .status();
    if !limited.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no prlimit here");
        return;
    }
    let value = vec![b'v'; 30_000];
    for i in 0..10 {
        client
            .call(&[b"SET", format!("key:{i}").as_bytes(), &value])
            .ok();
    }
    wait_for_phase(&mut client, "failed");
    assert!(names(&backup_dir(&server)).is_empty());
    assert!(!server.dir().join("appendonlydir").exists());
    client.cmd("SET after 1").ok();
}
