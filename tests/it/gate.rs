//! Access: what strangers may cost, and what users may learn and do. Each test names the report of its kind of hole;
//! `docs/SECURITY.md` lists them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::client::{encode, split};
use crate::support::random::Random;
use crate::support::server::until;
use crate::support::{Client, Folder, Reply, Server};

/// How long the server may take to notice.
const PATIENCE: Duration = Duration::from_secs(30);

fn info(client: &mut Client, field: &str) -> String {
    let text = client.cmd("INFO everything").text();
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(name, _)| *name == field);
    found
        .unwrap_or_else(|| panic!("INFO has no {field}"))
        .1
        .trim()
        .to_owned()
}

/// A client that logged in as a user.
fn login(server: &Server, name: &str) -> Client {
    let mut c = server.client();
    c.cmd(&format!("AUTH {name} pw")).ok();
    c
}

/// All that comes before the server closes the connection.
fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time is set");
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("it was not closed: {error}"),
    }
    all
}

fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(("127.0.0.1", server.port())).expect("it listens")
}

// ------------------------------------------------------------------------------------------- strangers

/// CVE-2025-21605: replies to a client that has not logged in and does not read grew to hundreds of megabytes.
#[test]
fn output_before_auth_is_limited() {
    let server = Server::oxidis().config("requirepass pw\n").start();
    let mut admin = server.client();
    admin.cmd("AUTH pw").ok();
    let mut stranger = connect(&server);
    stranger
        .set_write_timeout(Some(PATIENCE))
        .expect("a time is set");
    let requests = encode(&["SET", "x", "5"]).repeat(1000);
    // Of each, some megabytes fit into the sockets.
    let closed = (0..4000).any(|_| stranger.write_all(&requests).is_err());
    assert!(closed, "it took 100 MB of requests");
    let ended = |admin: &mut Client| info(admin, "client_output_buffer_limit_disconnections");
    let noted = until(PATIENCE, || (ended(&mut admin) == "1").then_some(()));
    assert!(noted.is_some(), "{}", server.log());

    // A client that logs in has the usual limits again, from the next reply on.
    let mut c = server.client();
    let big = "v".repeat(300_000);
    c.cmd("GET x").error("NOAUTH");
    c.send(&[encode(&["AUTH", "pw"]), encode(&["SET", "big", &big])].concat())
        .expect("sent");
    c.read().expect("a reply").ok();
    c.read().expect("a reply").ok();
    c.cmd("GET big").is(big.as_str());
}

#[test]
fn requests_before_auth_are_limited() {
    let server = Server::oxidis().config("requirepass pw\n").start();
    for (request, error) in [
        ("*11\r\n", "unauthenticated multibulk length"),
        ("*2\r\n$16385\r\n", "unauthenticated bulk length"),
    ] {
        let mut c = server.client();
        c.send(request.as_bytes()).expect("sent");
        c.read()
            .expect("a reply")
            .error(&format!("ERR Protocol error: {error}"));
        assert_eq!(c.finish().expect("it is closed"), b"");
    }
}

/// CVE-2016-10517: a page in a browser sends a POST whose body is commands.
#[test]
fn http_is_cut_off() {
    let server = Server::oxidis().start();
    let mut admin = server.client();
    let requests: [&[u8]; 5] = [
        b"POST / HTTP/1.1\r\nSET pwned 1\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1:6379\r\n\r\nSET pwned 1\r\n",
        b"pOsT\r\nSET pwned 1\r\n",
        b"*2\r\n$5\r\nhost:\r\n$1\r\nx\r\n*3\r\n$3\r\nSET\r\n$5\r\npwned\r\n$1\r\n1\r\n",
        b"MULTI\r\nSET pwned 1\r\nHost: x\r\nEXEC\r\n",
    ];
    for request in requests {
        let mut stream = connect(&server);
        stream.write_all(request).expect("sent");
        until_closed(&mut stream);
        admin.cmd("EXISTS pwned").is(0);
    }
    let log = server.log();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host:"))
        .collect();
    assert_eq!(lines.len(), 1, "once a minute: {log}");
    assert!(lines[0].contains("Connection from 127.0.0.1:"), "{log}");
    admin.cmd("GET POST").nil();
    admin
        .cmd("EVAL \"return redis.pcall('post')\" 0")
        .error("ERR");
    admin.cmd("PING").status("PONG");
}

/// The two bytes behind an argument were stepped over unseen: `PINGxx` was `PING`.
#[test]
fn line_breaks_of_the_protocol_are_looked_at() {
    let server = Server::oxidis().start();
    for request in [
        &b"*1\r\n$4\r\nPINGxx"[..],
        b"*1\rx$4\r\nPING\r\n",
        b"*1\r\n$4\rxPING\r\n",
        b"*2\r\n$3\r\nGET\r\n$1\r\nk\n\r",
    ] {
        let mut c = server.client();
        c.send(request).expect("sent");
        c.read()
            .expect("a reply")
            .error("ERR Protocol error: invalid CRLF in request");
        assert_eq!(c.finish().expect("it is closed"), b"");
    }
}

// --------------------------------------------------------------------------------------- what users may

/// redis 14659: of the keys of MSETEX every second one was taken for a value.
#[test]
fn msetex_does_not_get_around_key_permissions() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("ACL SETUSER u on >pw ~own* +@all").ok();
    let mut u = login(&server, "u");
    u.cmd("MSETEX 2 own1 v secret v").error("NOPERM");
    u.cmd("MSETEX 2 own1 v own2 v").is(1);
    c.cmd("EXISTS secret").is(0);
    c.cmd("COMMAND GETKEYS MSETEX 2 a 1 b 2 EX 10")
        .is(["a", "b"]);
    c.cmd("COMMAND GETKEYS PFMERGE d").is(["d"]);
    c.cmd("COMMAND GETKEYS PFMERGE d a b").is(["d", "a", "b"]);
}

/// redis 15673: EXEC asked again whether the user may run each command, but not whether it may touch its keys.
#[test]
fn exec_asks_again_for_everything() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("MSET taken v left v").ok();
    c.cmd("ACL SETUSER u on >pw ~taken ~left &* +@all").ok();
    let mut u = login(&server, "u");
    u.cmd("MULTI").ok();
    for command in [
        "GET taken",
        "SET taken w",
        "GET left",
        "PUBLISH ch m",
        "STRLEN left",
    ] {
        u.cmd(command).status("QUEUED");
    }
    c.cmd("ACL SETUSER u resetkeys ~left resetchannels -strlen")
        .ok();
    let replies = u.cmd("EXEC");
    let refused: Vec<bool> = replies.items().iter().map(Reply::is_error).collect();
    assert_eq!(refused, [true, true, false, true, true], "{replies}");
    c.cmd("GET taken").is("v");
}

/// redis 15371: CLIENT TRACKING ON BCAST told the names of all keys that change.
#[test]
fn broadcasts_name_no_key_that_the_user_may_not_read() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    for (name, rules) in [
        ("own", "~own* +@all"),
        ("reader", "%R~own* %W~other* +@all"),
        ("selector", "+@all (%R~own* +get)"),
        ("all", "~* +@all"),
        ("none", "+@all"),
    ] {
        c.cmd(&format!("ACL SETUSER {name} on >pw {rules}")).ok();
    }
    let mut clients: Vec<(&str, Client)> = Vec::new();
    for name in ["own", "reader", "selector", "all", "none"] {
        let mut client = server.client();
        client.cmd(&format!("HELLO 3 AUTH {name} pw"));
        client.cmd("CLIENT TRACKING ON BCAST").ok();
        clients.push((name, client));
    }
    // One turn of the loop each, so one message.
    c.send(
        &[
            encode(&["SET", "own1", "v"]),
            encode(&["SET", "other1", "v"]),
        ]
        .concat(),
    )
    .expect("sent");
    c.read().expect("a reply").ok();
    c.read().expect("a reply").ok();
    c.cmd("FLUSHALL").ok();
    for (name, client) in &mut clients {
        // All that was sent to it before the reply.
        client.send(&encode(&["ECHO", "end"])).expect("sent");
        let mut told = String::new();
        loop {
            let reply = client.read().expect("a reply or a push");
            if reply == Reply::from("end") {
                break;
            }
            told.push_str(&reply.to_string());
        }
        let (own, other) = (told.contains("own1"), told.contains("other1"));
        let wanted = match *name {
            "all" => (true, true),
            "none" => (false, false),
            _ => (true, false),
        };
        assert_eq!((own, other), wanted, "{name}: {told}");
        // Of FLUSHALL all learn who may have a copy of something, and no name.
        assert_eq!(told.is_empty(), *name == "none", "{name}: {told}");
    }
}

/// Secrets in commands that fail: a fourth word of AUTH, a HELLO with a wrong version, names and values out of step.
#[test]
fn the_slow_log_and_monitors_see_no_secret() {
    let server = Server::oxidis()
        .config("slowlog-log-slower-than 0\nslowlog-max-len 1000\n")
        .start();
    let mut monitor = server.client();
    monitor.cmd("MONITOR").ok();
    let mut c = server.client();
    for line in [
        "AUTH SECRET",
        "AUTH SECRET SECRET",
        "AUTH SECRET SECRET SECRET SECRET",
        "HELLO 3 AUTH SECRET SECRET",
        "HELLO 4 AUTH SECRET SECRET",
        "HELLO AUTH SECRET SECRET",
        "HELLO 3 AUTH SECRET",
        "HELLO 3 SETNAME \"a b\" AUTH SECRET SECRET",
        "HELLO 3 SETNAME n AUTH SECRET SECRET SECRET",
        "HELLO x AUTH SECRET SECRET",
        "CONFIG SET requirepass SECRET nonsense x",
        "CONFIG SET maxmemory requirepass SECRET 1",
        "CONFIG SET masterauth SECRET tls-key-file-pass SECRET port x",
        "ACL SETUSER u >SECRET nonsense",
        "ACL SETUSER u (>SECRET",
        "MIGRATE 127.0.0.1 1 k 0 10 NONSENSE AUTH SECRET",
        "MIGRATE 127.0.0.1 1 k x 10 AUTH2 SECRET SECRET",
        "MIGRATE 127.0.0.1 1 k 0 10 AUTH2 SECRET",
    ] {
        c.cmd(line);
    }
    c.cmd("MULTI").ok();
    c.cmd("CONFIG SET masterauth SECRET nonsense x");
    c.cmd("EXEC");
    let log = c.cmd("SLOWLOG GET -1").to_string();
    assert!(log.contains("(redacted)"), "{log}");
    assert!(!log.contains("SECRET"), "{log}");
    c.cmd("SET end monitor").ok();
    loop {
        let line = monitor.read().expect("a line").text();
        assert!(!line.contains("SECRET"), "{line}");
        if line.contains("\"end\"") {
            break;
        }
    }
}

// ------------------------------------------------------------------------ clients that are not connections

/// A user that had called a script was deleted: the client of all scripts was closed with it, and the next script
/// ended the server ("the client is still connected").
#[test]
fn scripts_survive_their_callers() {
    let users = "user default on nopass ~* &* +@all\n";
    let folder = Folder::new("acl");
    let file = folder.write("users.acl", users);
    let mut server = Server::oxidis()
        .config(&format!("aclfile {file}\n"))
        .start();
    let mut c = server.client();
    c.cmd("FUNCTION LOAD \"#!lua name=lib\\nredis.register_function('f', function() return redis.call('ping') end)\"");
    let uses: [fn(&mut Client); 3] = [
        |c| drop(c.cmd("ACL DELUSER u").is(1)),
        |c| drop(c.cmd("ACL LOAD").ok()),
        |c| drop(c.cmd("ACL SETUSER u off nopass resetchannels -@all").ok()),
    ];
    for (round, change) in uses.into_iter().enumerate() {
        c.cmd("ACL SETUSER u on >pw ~* &* +@all").ok();
        let mut u = login(&server, "u");
        u.cmd("EVAL \"return redis.call('incr', KEYS[1])\" 1 n")
            .is(2 * round as i64 + 1);
        u.cmd("FCALL f 0").status("PONG");
        change(&mut c);
        c.cmd("EVAL \"return redis.call('incr', KEYS[1])\" 1 n")
            .is(2 * round as i64 + 2);
        c.cmd("FCALL f 0").status("PONG");
        c.cmd("CLIENT KILL USER default SKIPME yes");
        c.cmd("EVAL \"return 1\" 0").is(1);
        c.cmd("SCRIPT FLUSH").ok();
        c.cmd("EVAL \"return 1\" 0").is(1);
    }
    assert!(server.is_alive());
}

/// The rights of the last caller of a script are not those of the next.
#[test]
fn a_script_has_the_rights_of_its_caller_after_any_change() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("ACL SETUSER u on >pw ~own* +@all").ok();
    let mut u = login(&server, "u");
    c.cmd("EVAL \"return redis.call('set', 'secret', 'x')\" 0")
        .ok();
    u.cmd("EVAL \"return redis.call('get', 'secret')\" 0")
        .error("ERR ACL failure in script: No permissions to access a key");
    c.cmd("ACL SETUSER u ~*").ok();
    u.cmd("EVAL \"return redis.call('get', 'secret')\" 0")
        .is("x");
    c.cmd("ACL SETUSER u resetkeys ~own*").ok();
    u.cmd("EVAL \"return redis.call('get', 'secret')\" 0")
        .error("ERR ACL failure in script: No permissions to access a key");
    c.cmd("EVAL \"return redis.call('get', 'secret')\" 0")
        .is("x");
}

/// Every command there is, and every change of users and connections, between calls of those who have no connection:
/// calls in the process, scripts, functions.
#[test]
fn clients_without_a_connection_survive_whatever_happens() {
    let server = oxidis::Server::builder().start().expect("it starts");
    let port = server.port();
    let mut random = Random::new(12);
    let acts = [
        "ACL SETUSER u1 on nopass ~* &* +@all",
        "ACL SETUSER u2 on nopass ~own* +@all -flushall",
        "ACL DELUSER u1",
        "ACL DELUSER u1 u2",
        "ACL SETUSER u1 off resetchannels",
        "ACL SETUSER default resetchannels &x",
        "ACL SETUSER default allchannels",
        "ACL LOAD",
        "ACL LOG",
        "CLIENT KILL TYPE normal SKIPME no",
        "CLIENT KILL TYPE pubsub",
        "CLIENT KILL USER u1",
        "CLIENT KILL USER default SKIPME no",
        "CLIENT KILL ID 1",
        "CLIENT KILL ID 2",
        "CLIENT KILL ID 3",
        "CLIENT LIST",
        "CLIENT NO-EVICT ON",
        "CLIENT UNBLOCK 1",
        "CLIENT REPLY OFF",
        "CLIENT TRACKING ON BCAST",
        "CLIENT TRACKING OFF",
        "CLIENT PAUSE 1 ALL",
        "CLIENT UNPAUSE",
        "CONFIG SET maxmemory-clients 1",
        "CONFIG SET maxmemory-clients 0",
        "CONFIG SET timeout 1",
        "CONFIG SET client-output-buffer-limit 'normal 1 1 1'",
        "CONFIG SET client-output-buffer-limit 'normal 0 0 0'",
        "FLUSHALL",
        "FLUSHALL ASYNC",
        "SCRIPT FLUSH",
        "SCRIPT FLUSH ASYNC",
        "FUNCTION FLUSH",
        "SWAPDB 0 1",
        "RESET",
        "QUIT",
        "MONITOR",
        "SUBSCRIBE x",
        "SYNC",
        "REPLCONF listening-port 1",
        "MULTI",
        "EXEC",
        "DISCARD",
        "WATCH k",
        "BLPOP k 0",
        "XREAD BLOCK 0 STREAMS s $",
        "WAIT 1 0",
        "HELLO 2",
        "AUTH u1 x",
        "POST /",
        "Host: x",
        "SELECT 3",
        "SCRIPT KILL",
        "FUNCTION KILL",
        "SCRIPT DEBUG YES",
        "EVAL 'return redis.call(\"incr\", KEYS[1])' 1 own",
        "EVAL 'return redis.call(\"acl\", \"whoami\")' 0",
        "EVAL 'redis.call(\"client\", \"kill\", \"type\", \"normal\")' 0",
        "FUNCTION LOAD REPLACE '#!lua name=l\nredis.register_function(\"f\", function() return redis.call(\"incr\", \"own\") end)'",
        "FCALL f 0",
    ];
    for step in 0..3000 {
        let act = random.pick(&acts);
        let words = split(act);
        match random.below(3) {
            0 => drop(server.execute(&words)),
            1 => {
                // A connection of a user that may be gone soon; whatever becomes of it.
                let mut c = Client::tcp(port).expect("it listens");
                let user = *random.pick(&["u1", "u2", "default"]);
                let script = "return redis.pcall('incr', 'own')";
                let requests = [
                    encode(&["AUTH", user, "x"]),
                    encode(&["EVAL", script, "0"]),
                    encode(&words),
                    encode(&["FCALL", "f", "0"]),
                ];
                let _ = c.send(&requests.concat());
                if random.below(4) == 0 {
                    let _ = c.finish();
                }
            }
            _ => drop(server.execute(["EVAL", "return redis.pcall('incr', 'own')", "0"])),
        }
        let answer = server.execute(["EVAL", "return 7", "0"]);
        assert!(
            format!("{answer:?}").contains('7'),
            "step {step}, {act}: {answer:?}"
        );
    }
    let answer = server.execute(["PING"]);
    assert!(format!("{answer:?}").contains("PONG"), "{answer:?}");
}

/// CVE-2026-23479: a blocked client that is evicted while its command runs again.
#[test]
fn who_is_evicted_while_its_command_runs_again() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("XGROUP CREATE s g $ MKSTREAM").ok();
    let long = "x".repeat(20_000);
    for round in 0..5 {
        c.cmd("XGROUP SETID s g $").ok();
        let mut blocked: Vec<Client> = (0..20).map(|_| server.client()).collect();
        for (i, client) in blocked.iter_mut().enumerate() {
            let words = match i % 3 {
                0 => vec!["BLPOP", &long, "l", "0"],
                1 => vec![
                    "XREADGROUP",
                    "GROUP",
                    "g",
                    &long,
                    "BLOCK",
                    "0",
                    "STREAMS",
                    "s",
                    ">",
                ],
                _ => vec!["BZPOPMIN", &long, "z", "0"],
            };
            client.send(&encode(&words)).expect("sent");
        }
        let all = || info(&mut server.client(), "blocked_clients") == "20";
        assert!(
            until(PATIENCE, || all().then_some(())).is_some(),
            "round {round}"
        );
        let mut requests = encode(&["CONFIG", "SET", "maxmemory-clients", "200000"]);
        for i in 0..20 {
            requests.extend(encode(&["LPUSH", "l", "a"]));
            requests.extend(encode(&["XADD", "s", "*", "f", "v"]));
            requests.extend(encode(&["ZADD", "z", "1", &i.to_string()]));
        }
        c.cmd("CLIENT NO-EVICT ON").ok();
        c.send(&requests).expect("sent");
        (0..61).for_each(|_| drop(c.read().expect("a reply")));
        c.cmd("CONFIG SET maxmemory-clients 0").ok();
        c.cmd("DEL l z");
    }
    assert_ne!(info(&mut c, "evicted_clients"), "0");
    c.cmd("PING").status("PONG");
}

/// A file may hold any command; what replays it has no connection either.
#[test]
fn an_append_only_file_ends_no_server_by_a_panic() {
    for line in [
        "QUIT",
        "RESET",
        "CLIENT KILL TYPE normal SKIPME no",
        "CLIENT KILL ID 1",
        "ACL DELUSER x",
        "ACL LOAD",
        "MULTI",
        "MONITOR",
        "SYNC",
        "SUBSCRIBE x",
        "BLPOP k 0",
        "POST /",
        "AUTH x",
        "HELLO 3",
        "SHUTDOWN NOSAVE",
        "CLIENT REPLY OFF",
        "SCRIPT FLUSH",
        "DEBUG RELOAD",
        "EVAL 'return 1' 0",
        "REPLICAOF h 1",
        "FAILOVER",
    ] {
        let dir = Folder::new("aof");
        std::fs::create_dir(dir.join("aof")).expect("a directory");
        let manifest = "file a.1.incr.aof seq 1 type i\n";
        std::fs::write(dir.join("aof/a.manifest"), manifest).expect("a file");
        let text = [
            encode(&["SET", "k", "1"]),
            encode(&split(line)),
            encode(&["INCR", "k"]),
        ];
        std::fs::write(dir.join("aof/a.1.incr.aof"), text.concat()).expect("a file");
        let port = free_port();
        let program = std::env::var_os("OXIDIS_TEST_BINARY")
            .unwrap_or_else(|| env!("CARGO_BIN_EXE_oxidis-server").into());
        let mut child = std::process::Command::new(program)
            .args([
                "--appendonly",
                "yes",
                "--appenddirname",
                "aof",
                "--appendfilename",
                "a",
            ])
            .args([
                "--port",
                &port.to_string(),
                "--logfile",
                "log",
                "--save",
                "",
                "--dir",
            ])
            .arg(&*dir)
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("it starts");
        let serves = |port| {
            let mut c = Client::tcp(port).ok()?;
            let _ = c.send(&encode(&["GET", "k"]));
            c.read()
                .ok()
                .filter(|reply| !reply.to_string().contains("LOADING"))
        };
        let end = until(PATIENCE, || {
            match child.try_wait().expect("it is our child") {
                Some(status) => Some(Err(status)),
                None => serves(port).map(Ok),
            }
        });
        let _ = child.kill();
        let _ = child.wait();
        let log = std::fs::read_to_string(dir.join("log")).unwrap_or_default();
        assert!(
            !log.contains("REDIS BUG REPORT") && !log.contains("panicked"),
            "{line}: {log}"
        );
        match end {
            Some(Ok(_)) => {}
            Some(Err(status)) => assert!(status.code().is_some(), "{line}: {status}: {log}"),
            None => panic!("{line}: neither serves nor ends: {log}"),
        }
    }
}

// --------------------------------------------------------------------------------------------- forged lines

#[test]
fn nobody_forges_a_line() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    for option in [
        "masteruser",
        "replica-announce-ip",
        "bind-source-addr",
        "cluster-announce-ip",
        "cluster-announce-hostname",
        "cluster-announce-human-nodename",
        "tls-ciphers",
    ] {
        for value in ["a\r\nb", "a\nb", "\x1b[2J"] {
            let reply = c.call(&["CONFIG", "SET", option, value]);
            assert!(reply.is_error(), "{option} takes {value:?}");
        }
    }
    c.call(&["REPLICAOF", "a\nrequirepass x", "1"])
        .error("ERR Invalid master host");
    c.call(&["REPLICAOF", "a b", "1"])
        .error("ERR Invalid master host");
    // Passwords may hold anything; they travel with their length, and files quote them.
    c.call(&["CONFIG", "SET", "masterauth", "a\r\nb"]).ok();
    c.cmd("CONFIG GET masterauth").is(["masterauth", "a\r\nb"]);

    c.call(&[
        "EVAL",
        "redis.log(redis.LOG_WARNING, 'x\\r\\n1:M 01 Jan 2000 00:00:00.000 # forged\\27[2J')",
        "0",
    ]);
    let log = server.log();
    assert!(log.contains("x\\r\\n1:M 01 Jan"), "{log}");
    assert!(!log.lines().any(|line| line.starts_with("1:M")), "{log}");
    assert!(!log.contains('\x1b'), "{log}");
}

/// A score that cannot be read was taken for 0, although `sanitize-dump-payload` is `yes`.
#[test]
fn restore_refuses_what_is_no_score() {
    let server = Server::oxidis()
        .config("enable-debug-command yes\nsanitize-dump-payload yes\n")
        .start();
    let mut c = server.client();
    c.cmd("ZADD z 1.5 member").is(1);
    let payload = c.cmd("DUMP z").bytes().to_vec();
    let at = payload
        .windows(3)
        .position(|w| w == b"1.5")
        .expect("a text");
    c.cmd("DEBUG SET-SKIP-CHECKSUM-VALIDATION 1").ok();
    for score in [b"abc", b"nan", b"1.x", b"   "] {
        let mut bad = payload.clone();
        bad[at..at + 3].copy_from_slice(score);
        c.call(&[&b"RESTORE"[..], b"y", b"0", &bad])
            .error("ERR Bad data format");
    }
    let mut good = payload.clone();
    good[at..at + 3].copy_from_slice(b"2.5");
    c.call(&[&b"RESTORE"[..], b"y", b"0", &good]).ok();
    c.cmd("ZSCORE y member").is("2.5");
}

// -------------------------------------------------------------------------------------------------- metrics

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

fn fetch(host: &str, port: u16, headers: &str) -> String {
    let mut stream = TcpStream::connect((host, port)).expect("it listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time is set");
    let request = format!("GET /metrics HTTP/1.1\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("it answers");
    reply
}

/// The figures were open while `requirepass` was set, and at the first `bind` address only.
#[test]
fn metrics_want_the_password_that_info_wants() {
    let port = free_port();
    let server = Server::oxidis()
        .config(&format!("metrics-port {port}\n"))
        .args(["--bind", "127.0.0.1", "127.0.0.2"])
        .start();
    let served = |headers: &str| fetch("127.0.0.1", port, headers);
    assert!(served("").starts_with("HTTP/1.1 200 "));
    assert!(fetch("127.0.0.2", port, "").starts_with("HTTP/1.1 200 "));
    let mut c = server.client();
    c.cmd("CONFIG SET requirepass pw").ok();
    c.cmd("ACL SETUSER scraper on >pw -@all +info").ok();
    c.cmd("ACL SETUSER other on >pw -@all +get ~*").ok();
    for (login, status) in [
        ("", "401"),
        // base64 of ":pw", "default:pw", "scraper:pw", "other:pw", "scraper:no", "nobody:pw"
        ("Authorization: Basic OnB3\r\n", "200"),
        ("Authorization: Basic ZGVmYXVsdDpwdw==\r\n", "200"),
        (
            "Host: x\r\nauthorization: basic c2NyYXBlcjpwdw==\r\n",
            "200",
        ),
        ("Authorization: Basic b3RoZXI6cHc=\r\n", "403"),
        ("Authorization: Basic c2NyYXBlcjpubw==\r\n", "401"),
        ("Authorization: Basic bm9ib2R5OnB3\r\n", "401"),
        ("Authorization: Bearer OnB3\r\n", "401"),
    ] {
        let reply = served(login);
        let begin = format!("HTTP/1.1 {status} ");
        assert!(reply.starts_with(&begin), "{login:?}: {reply}");
        assert_eq!(reply.contains("redis_up 1"), status == "200", "{login:?}");
    }
}

/// A client that sent a byte a second held the next scrape up for 17 seconds; every byte began the deadline anew.
#[test]
fn dawdlers_at_the_metrics_port_delay_nobody() {
    let port = free_port();
    let server = Server::oxidis()
        .config(&format!("metrics-port {port}\n"))
        .start();
    let begun = Instant::now();
    let mut dawdlers: Vec<TcpStream> = (0..100)
        .map(|_| TcpStream::connect(("127.0.0.1", port)).expect("it listens"))
        .collect();
    for dawdler in &mut dawdlers {
        let _ = dawdler.write_all(b"GET /metrics HTTP/1.1\r\n");
    }
    let reply = fetch("127.0.0.1", port, "");
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    // A byte now and then does not keep a connection.
    let mut last = dawdlers.pop().expect("there are many");
    last.set_nonblocking(true).expect("a mode is set");
    let closed = until(PATIENCE, || {
        let written = last.write_all(b"x");
        let gone = matches!(last.read(&mut [0; 16]), Ok(0))
            || matches!(last.read(&mut [0; 16]), Err(e) if e.kind() != std::io::ErrorKind::WouldBlock);
        (written.is_err() || gone).then_some(())
    });
    assert!(closed.is_some(), "after {:?}", begun.elapsed());
    drop(server);
}
