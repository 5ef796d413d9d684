//! The server as a process: how it ends when it crashes, whom it tells that it is ready, who may watch.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::support::server::until;
use crate::support::{Folder, Server};

/// The log after a command that ends the server, which must exit as failed.
fn crash(command: &str, args: &[&str]) -> String {
    let mut server = Server::oxidis()
        .args(["--enable-debug-command", "yes"])
        .args(args)
        .start();
    let mut c = server.client();
    c.cmd("CLIENT SETNAME tester").ok();
    let _ = c.send(format!("{command}\r\n").as_bytes());
    let status = server.wait();
    assert!(!status.success(), "{command} ended with {status}");
    server.log()
}

/// The stacks that a reader of Redis looks for: DEBUG on the server's thread, three helpers that wait.
fn assert_stacks(log: &str) {
    assert_eq!(log.matches("STACK TRACE -").count(), 1, "{log}");
    if !cfg!(target_os = "linux") {
        return;
    }
    let (_, stacks) = log.split_once("STACK TRACE -").expect("just counted");
    let (stacks, _) = stacks.split_once("STACK TRACE DONE").expect("its end");
    let threads: Vec<&str> = stacks.trim().split("\n\n").collect();
    let of = |part: &str| {
        threads
            .iter()
            .filter(|thread| thread.contains(part))
            .count()
    };
    assert_eq!(of("debugCommand"), 1, "{stacks}");
    assert_eq!(of("bioProcessBackgroundJobs"), 3, "{stacks}");
    for name in ["bio_close_file\n", "bio_aof\n", "bio_lazy_free\n"] {
        assert_eq!(of(name), 1, "{stacks}");
    }
}

#[test]
fn a_crash_leaves_a_report_and_a_failure() {
    for (command, what) in [
        ("DEBUG SEGFAULT", "crashed by signal: 11"),
        ("DEBUG ASSERT", "=== ASSERTION FAILED ==="),
        ("DEBUG PANIC", "called by Unittest"),
    ] {
        let log = crash(command, &[]);
        for line in [
            what,
            "argv[0]: \"DEBUG\"",
            "name=tester",
            "redis_version:",
            "REDIS BUG REPORT END",
        ] {
            assert!(log.contains(line), "after {command} no {line} in\n{log}");
        }
        assert_eq!(log.matches("BUG REPORT START").count(), 1);
        assert_stacks(&log);
        if cfg!(target_os = "linux") {
            assert!(log.contains("Fast memory test PASSED"), "{log}");
        }
    }
}

#[test]
fn a_report_can_do_without_what_users_said() {
    let hidden = ["--hide-user-data-from-log", "yes"];
    let failed = crash(
        "DEBUG ASSERT",
        &[&hidden[..], &["--use-exit-on-panic", "yes"]].concat(),
    );
    let crashed = crash("DEBUG SEGFAULT", &hidden);
    for log in [&failed, &crashed] {
        assert!(
            log.contains("argv[1]: *redacted*") && !log.contains("tester"),
            "{log}"
        );
    }
    // An assertion tells of the request at once.
    assert!(failed.contains("argv[1] = *redacted*"), "{failed}");
    assert!(crashed.contains("skip logging stack content"), "{crashed}");
}

#[test]
fn memory_is_tested_on_request_only() {
    let log = crash("DEBUG SEGFAULT", &["--crash-memcheck-enabled", "no"]);
    assert!(
        log.contains("REPORT END") && !log.contains("MEMORY TEST"),
        "{log}"
    );
}

#[test]
fn no_report_when_none_is_wanted() {
    let log = crash("DEBUG SEGFAULT", &["--crash-log-enabled", "no"]);
    assert!(!log.contains("BUG REPORT"), "{log}");
}

/// The log when it holds so many whole reports of stacks.
fn reported(server: &Server, count: usize) -> String {
    let log = until(Duration::from_secs(60), || {
        let log = server.log();
        (log.matches("STACK TRACE DONE").count() >= count).then_some(log)
    });
    log.unwrap_or_else(|| panic!("no {count} reports in\n{}", server.log()))
}

#[test]
fn the_watchdog_barks_at_a_long_command_and_nothing_ends() {
    let server = Server::oxidis()
        .args(["--enable-debug-command", "yes"])
        .start();
    let mut c = server.client();
    c.cmd("CONFIG SET watchdog-period 200").ok();
    c.cmd("DEBUG SLEEP 0.6").ok();
    c.cmd("PING").status("PONG");
    let log = reported(&server, 1);
    assert!(log.contains("WATCHDOG TIMER EXPIRED"), "{log}");
    assert_stacks(&log);
}

#[cfg(target_os = "linux")]
#[test]
fn whoever_asks_is_shown_the_stacks_of_all_threads() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    let signal = |name: &str| {
        let sent = std::process::Command::new("kill")
            .args([name, &server.pid().to_string()])
            .status();
        assert!(sent.expect("kill runs").success());
    };
    // The signal by which threads are asked is nobody's end when it comes from outside.
    signal("-USR2");
    // An alarm during a report is not answered, so there may have to be more of them than reports.
    let log = until(Duration::from_secs(60), || {
        signal("-ALRM");
        let log = server.log();
        (log.matches("4 of 4 stacks").count() >= 3).then_some(log)
    });
    let log = log.unwrap_or_else(|| panic!("no three reports in\n{}", server.log()));
    assert!(log.contains("Received SIGALRM"), "{log}");
    c.cmd("PING").status("PONG");
}

#[test]
fn figures_for_prometheus() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let server = Server::oxidis()
        .args(["--metrics-port".to_owned(), port.to_string()])
        .start();
    server.client().cmd("SET k v").ok();
    let ask = |request: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("it answers");
        reply
    };
    let figures = ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(figures.starts_with("HTTP/1.1 200 OK\r\n"), "{figures}");
    assert!(
        figures.contains("\nredis_db_keys{db=\"db0\"} 1\n"),
        "{figures}"
    );
    assert!(
        figures.contains("\nredis_commands_total{cmd=\"set\"} 1\n"),
        "{figures}"
    );
    assert!(ask("GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(ask("POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
}

#[cfg(target_os = "linux")]
#[test]
fn the_title_follows_its_template() {
    let server = Server::oxidis().start();
    let title = || {
        let bytes = std::fs::read(format!("/proc/{}/cmdline", server.pid())).expect("it runs");
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
    };
    let port = server.port();
    assert!(
        title().ends_with(&format!("oxidis-server 127.0.0.1:{port}")),
        "{}",
        title()
    );
    let mut c = server.client();
    c.cmd("CONFIG SET proc-title-template 'cache {port}'").ok();
    assert_eq!(title(), format!("cache {port}"));
}

#[test]
fn systemd_learns_that_it_is_ready_and_that_it_stops() {
    let dir = Folder::new("supervised");
    let path = dir.join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a deadline");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_oxidis-server"))
        .args([
            "--supervised",
            "systemd",
            "--port",
            "0",
            "--save",
            "",
            "--unixsocket",
        ])
        .arg(dir.join("server"))
        .env("NOTIFY_SOCKET", &path)
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    let heard = |part: &str| {
        let mut buffer = [0; 200];
        let n = socket.recv(&mut buffer).expect("it speaks");
        assert!(String::from_utf8_lossy(&buffer[..n]).contains(part));
    };
    heard("READY=1\n");
    let killed = std::process::Command::new("kill")
        .arg(child.id().to_string())
        .status();
    assert!(killed.expect("kill runs").success());
    heard("STOPPING=1\n");
    assert!(child.wait().expect("it ends").success());
}
