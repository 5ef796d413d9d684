//! The server as a process: how it ends when it crashes, whom it tells that it is ready, who may watch.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::support::Server;

/// What the log holds after a command that ends the server, and whether the exit said that it failed.
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
            "STACK TRACE DONE",
            "argv[0]: \"DEBUG\"",
            "name=tester",
            "redis_version:",
            "REDIS BUG REPORT END",
        ] {
            assert!(log.contains(line), "after {command} no {line} in\n{log}");
        }
        assert_eq!(log.matches("BUG REPORT START").count(), 1);
    }
}

#[test]
fn a_report_can_do_without_what_users_said() {
    let log = crash(
        "DEBUG ASSERT",
        &[
            "--hide-user-data-from-log",
            "yes",
            "--use-exit-on-panic",
            "yes",
        ],
    );
    assert!(
        log.contains("argv[1]: *redacted*") && !log.contains("tester"),
        "{log}"
    );
}

#[test]
fn no_report_when_none_is_wanted() {
    let log = crash("DEBUG SEGFAULT", &["--crash-log-enabled", "no"]);
    assert!(!log.contains("BUG REPORT"), "{log}");
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
    let log = server.log();
    assert!(
        log.contains("WATCHDOG TIMER EXPIRED") && log.contains("STACK TRACE DONE"),
        "{log}"
    );
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
    let dir = std::env::temp_dir().join(format!("oxidis-supervised-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
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
    std::fs::remove_dir_all(&dir).expect("its own directory");
}
