//! Sentinels as processes: over our servers and over real ones, among themselves and among real sentinels.
//!
//! The machine is tried on thousands of seeds in `tests/sim/sentinel.rs`; here it has sockets, files and processes, and
//! other programs judge it. Where real Redis is not installed, the tests that want it say so and end.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::support::fleet::{Fleet, Node, PATIENCE, field, free_port, oxidis, wait_for};
use crate::support::{Client, Folder, Reply};

/// Real Redis; a line on standard error where there is none.
fn redis() -> Option<std::path::PathBuf> {
    let found = crate::support::fleet::redis();
    if found.is_none() {
        eprintln!("left out: there is no redis-server in PATH");
    }
    found
}

#[test]
fn three_sentinels_fail_over_and_heal() {
    let program = oxidis();
    let mut fleet = Fleet::start(&program, &[&program, &program, &program]);
    let mut events = fleet.sentinels[0].client();
    events.cmd("PSUBSCRIBE *");
    let (old, name) = (fleet.servers[0].port, fleet.sentinels[0].port);
    let new = fleet.fail_over();
    let port = fleet.servers[new].port;
    let switch = format!("m 127.0.0.1 {old} 127.0.0.1 {port}");
    let mut seen = Vec::new();
    while !seen
        .iter()
        .any(|(channel, _): &(String, String)| channel == "+switch-master")
    {
        let message = events.read().expect("an event");
        seen.push((message.items()[2].text(), message.items()[3].text()));
    }
    let text_of = |wanted: &str| {
        let found = seen.iter().find(|(channel, _)| channel == wanted);
        found.map(|(_, text)| text.clone())
    };
    assert_eq!(text_of("+switch-master"), Some(switch));
    assert_eq!(text_of("+new-epoch").as_deref(), Some("1"));
    let down = format!("master m 127.0.0.1 {old}");
    assert_eq!(text_of("+sdown"), Some(down));

    // A sentinel that is killed knows afterwards what it knew before, and does not vote twice.
    let file = fleet.sentinels[0].file();
    assert!(file.contains("sentinel leader-epoch m 1\n"), "{file}");
    let id = fleet.sentinels[0].cmd("SENTINEL MYID");
    // The switch is told at once and saved on a thread, so the file has it a moment later.
    wait_for("the file names the new primary", || {
        let line = format!("sentinel monitor m 127.0.0.1 {port} ");
        fleet.sentinels[0].file().contains(&line)
    });
    fleet.sentinels[0].restart();
    assert_eq!(fleet.sentinels[0].cmd("SENTINEL MYID"), id);
    assert_eq!(fleet.sentinels[0].told(), Some(port));
    let words = format!(
        "SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 {port} 1 {}",
        "f".repeat(40)
    );
    let vote = fleet.sentinels[0].cmd(&words);
    assert_ne!(vote.items()[1].text(), "f".repeat(40), "at {name}");

    fleet.converges(0);
}

/// INFO of a replica is asked for every ten seconds, and may be older than the five that a choice allows when sentinels
/// agree within milliseconds: it is asked for again, instead of giving the failover up for minutes.
#[test]
fn replicas_are_asked_for_info_before_the_choice() {
    let program = oxidis();
    let mut fleet = Fleet::start(&program, &[&program, &program, &program]);
    for sentinel in &fleet.sentinels {
        sentinel
            .cmd("SENTINEL SET m down-after-milliseconds 6000")
            .ok();
    }
    fleet.fail_over();
    for sentinel in &fleet.sentinels {
        let log = sentinel.log();
        assert!(!log.contains("-failover-abort-no-good-slave"), "{log}");
    }
}

/// Fleets of both kinds, each the majority once: they elect, fail over and converge.
#[test]
fn mixed_fleets_fail_over() {
    let Some(redis) = redis() else {
        return;
    };
    let ours = oxidis();
    let fleets: [(&Path, [&Path; 3]); 3] = [
        (&redis, [&ours, &redis, &redis]),
        (&redis, [&ours, &ours, &redis]),
        (&ours, [&redis, &redis, &redis]),
    ];
    for (server, sentinels) in fleets {
        let mut fleet = Fleet::start(server, &sentinels);
        fleet.fail_over();
        fleet.converges(0);
    }
}

/// Either kind leads: the other one is told to be patient.
#[test]
fn either_kind_leads() {
    let Some(redis) = redis() else {
        return;
    };
    let ours = oxidis();
    for leader in [0, 1] {
        let mut fleet = Fleet::start(
            &redis,
            &[&ours, &redis, if leader == 0 { &redis } else { &ours }],
        );
        let leads = |node: &Node| (node.program == ours) == (leader == 0);
        for sentinel in fleet.sentinels.iter().filter(|one| !leads(one)) {
            sentinel
                .cmd("SENTINEL SET m down-after-milliseconds 2500")
                .ok();
        }
        fleet.sentinels.iter().for_each(|one| {
            one.cmd("SENTINEL SET m quorum 1").ok();
        });
        fleet.fail_over();
        let led = fleet
            .sentinels
            .iter()
            .filter(|one| one.log().contains("+elected-leader"));
        assert!(led.into_iter().all(leads));
    }
}

/// The names that clients of other languages read are those of Redis, in its order.
#[test]
fn replies_have_redis_shapes() {
    let server = Node::server(&oxidis());
    let monitor = format!("sentinel monitor m 127.0.0.1 {} 1\n", server.port);
    let sentinel = Node::sentinel(&oxidis(), &monitor);
    wait_for("INFO came", || sentinel.field("info-refresh") != "0");
    let mut c = sentinel.client();
    let master = c.cmd("SENTINEL MASTER m");
    let names: Vec<String> = master.items().iter().step_by(2).map(Reply::text).collect();
    let expected = "name ip port runid flags link-pending-commands link-refcount last-ping-sent \
        last-ok-ping-reply last-ping-reply down-after-milliseconds info-refresh role-reported \
        role-reported-time config-epoch num-slaves num-other-sentinels quorum failover-timeout \
        parallel-syncs";
    assert_eq!(names.join(" "), expected);
    assert!(
        master
            .items()
            .iter()
            .all(|item| matches!(item, Reply::Bulk(_)))
    );
    c.cmd("SENTINEL GET-MASTER-ADDR-BY-NAME nobody")
        .is(Reply::NilArray);
    c.cmd("SENTINEL MASTER nobody")
        .error("ERR No such master with that name");
    c.cmd("SENTINEL FAILOVER nobody")
        .error("ERR No such master with that name");
    c.cmd("SENTINEL FAILOVER m")
        .error("NOGOODSLAVE No suitable replica to promote");
    c.cmd("SENTINEL NONSENSE")
        .error("ERR unknown subcommand 'NONSENSE'. Try SENTINEL HELP.");
    c.cmd("SENTINEL SET m quorum")
        .error("ERR wrong number of arguments for 'sentinel|set' command");
    c.cmd("SENTINEL CKQUORUM m")
        .status("OK 1 usable Sentinels. Quorum and failover authorization can be reached");
    c.cmd("SENTINEL SET m quorum 2").ok();
    c.cmd("SENTINEL CKQUORUM m").error(
        "NOQUORUM 1 usable Sentinels. Not enough available Sentinels to reach the specified quorum for this master",
    );
    c.cmd("PUBLISH news x")
        .error("ERR Only HELLO messages are accepted by Sentinel instances.");
    c.cmd("GET key").error("ERR unknown command 'GET'");
    c.cmd("CLIENT NO-TOUCH ON").error("ERR unknown subcommand");
    let role = c.cmd("ROLE");
    assert_eq!(
        role,
        Reply::Array(vec![bulk("sentinel"), Reply::Array(vec![bulk("m")])])
    );
    let info = c.cmd("INFO sentinel").text();
    let line = format!(
        "master0:name=m,status=ok,address=127.0.0.1:{},slaves=0,sentinels=1",
        server.port
    );
    assert!(info.contains(&line), "{info}");
    let info = c.cmd("INFO").text();
    let sections: Vec<&str> = info
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .collect();
    assert_eq!(sections, ["Server", "Clients", "Stats", "CPU", "Sentinel"]);
    let hello = c.cmd("HELLO 3");
    assert_eq!(field(&hello, "mode"), "sentinel");
    assert!(matches!(c.cmd("SENTINEL MASTER m"), Reply::Map(_)));
    assert!(matches!(c.cmd("SENTINEL DEBUG"), Reply::Map(items) if items.len() == 26));
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

#[test]
fn options_are_set_all_or_none_and_kept() {
    let mut sentinel = Node::sentinel(&oxidis(), "");
    let mut c = sentinel.client();
    c.cmd("SENTINEL CONFIG SET announce-port 1234 resolve-hostnames perhaps")
        .error("ERR Invalid value 'perhaps' to SENTINEL CONFIG SET 'resolve-hostnames'");
    c.cmd("SENTINEL CONFIG SET announce-port 1234 announce-port 1")
        .error("ERR Duplicate argument 'announce-port' to SENTINEL CONFIG SET");
    c.cmd("SENTINEL CONFIG SET announce-port 1234 announce-ip")
        .error("ERR Missing argument 'announce-ip' value");
    c.cmd("SENTINEL CONFIG SET nonsense 1")
        .error("ERR Invalid argument 'nonsense' to SENTINEL CONFIG SET");
    let none = c.cmd("SENTINEL CONFIG GET announce-port");
    assert_eq!(none, Reply::Array(vec![bulk("announce-port"), bulk("0")]));
    c.cmd("SENTINEL CONFIG SET announce-port 1234 loglevel warning sentinel-pass \"a b\"")
        .ok();
    c.cmd("SENTINEL MONITOR m 127.0.0.1 1 2").ok();
    c.cmd("SENTINEL MONITOR m 127.0.0.1 1 2")
        .error("ERR Duplicate master name.");
    c.cmd("SENTINEL MONITOR n nowhere 1 2")
        .error("ERR Invalid IP address or hostname specified");
    c.cmd("SENTINEL MONITOR n 127.0.0.1 1 0")
        .error("ERR Quorum must be 1 or greater.");
    c.cmd("SENTINEL MONITOR n 127.0.0.1 x 1")
        .error("ERR Invalid port");
    c.cmd(
        "SENTINEL SET m down-after-milliseconds 777 auth-pass \"x\\ny\" rename-command ping pong",
    )
    .ok();
    sentinel.restart();
    let mut c = sentinel.client();
    let kept = c.cmd("SENTINEL CONFIG GET announce-p* loglevel *pass");
    let text: Vec<String> = kept.items().iter().map(Reply::text).collect();
    let expected = [
        "announce-port",
        "1234",
        "loglevel",
        "warning",
        "sentinel-pass",
        "a b",
    ];
    assert_eq!(text, expected);
    assert_eq!(sentinel.field("down-after-milliseconds"), "777");
    let file = sentinel.file();
    assert!(file.contains("sentinel auth-pass m \"x\\ny\"\n"), "{file}");
    assert!(
        file.contains("sentinel rename-command m ping pong\n"),
        "{file}"
    );
    c.cmd("SENTINEL RESET *").is(1);
    c.cmd("SENTINEL REMOVE m").ok();
    c.cmd("SENTINEL REMOVE m")
        .error("ERR No such master with that name");
    wait_for("the group is gone from the file", || {
        !sentinel.file().contains(" m ")
    });
}

/// redis 8958 and its like: lines that Redis refuses are refused, with their number; so is a start without a file.
#[test]
fn a_start_that_cannot_be_is_refused() {
    let run = |arguments: &[&str]| {
        let output = Command::new(oxidis())
            .args(arguments)
            .output()
            .expect("it starts");
        let text = [output.stdout, output.stderr].concat();
        (
            String::from_utf8_lossy(&text).into_owned(),
            output.status.code(),
        )
    };
    let (text, code) = run(&["--sentinel", "--port", "0"]);
    let expected = "Sentinel needs config file on disk to save state. Exiting...";
    assert!(text.contains(expected) && code == Some(1), "{text}");
    let dir = Folder::new("sentinel-file");
    let path = dir.join("file.conf");
    let bad = [
        (
            "sentinel monitor m 127.0.0.1 6379 0",
            "Quorum must be 1 or greater.",
        ),
        (
            "sentinel monitor m nowhere 6379 1",
            "Can't resolve instance hostname.",
        ),
        (
            "sentinel monitor m 127.0.0.1 99999 1",
            "Invalid port number.",
        ),
        (
            "sentinel quorum m 1",
            "Unrecognized sentinel configuration statement.",
        ),
        (
            "sentinel failover-timeout m 1",
            "No such master with specified name.",
        ),
        ("sentinel myid 1", "Malformed Sentinel id in myid option."),
    ];
    for (line, reason) in bad {
        fs::write(&path, format!("port 0\n\n{line}\n")).expect("a file");
        let (text, code) = run(&[&path.to_string_lossy(), "--sentinel"]);
        let told = text.contains("at line 3") && text.contains(&format!(">>> '{line}'"));
        assert!(told && text.contains(reason) && code == Some(1), "{text}");
    }
    let link = dir.join("redis-sentinel");
    std::os::unix::fs::symlink(oxidis(), &link).expect("a link");
    let output = Command::new(&link)
        .arg("--port")
        .arg("0")
        .output()
        .expect("it starts");
    assert!(String::from_utf8_lossy(&output.stdout).contains(expected));
}

/// A vote is in the file before it is answered; one that cannot be saved is not given, and is given later.
#[test]
fn a_vote_that_cannot_be_saved_is_not_given() {
    let sentinel = Node::sentinel(&oxidis(), "sentinel monitor m 127.0.0.1 1 2\n");
    let (file, aside) = (sentinel.dir.join("file.conf"), sentinel.dir.join("aside"));
    let candidate = "c".repeat(40);
    let ask = format!("SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 1 7 {candidate}");
    fs::rename(&file, &aside).expect("moved");
    fs::create_dir(&file).expect("a directory in its place");
    let answer = sentinel.cmd(&ask);
    assert_eq!(answer.items()[1..], [bulk("*"), Reply::Integer(0)]);
    sentinel
        .cmd("SENTINEL SET m quorum 3")
        .error("ERR Failed to save config file. Check server logs.");
    fs::remove_dir(&file).expect("it is empty");
    fs::rename(&aside, &file).expect("moved back");
    wait_for("the vote", || {
        sentinel.cmd(&ask).items()[1..] == [bulk(&candidate), Reply::Integer(7)]
    });
    let text = sentinel.file();
    assert!(text.contains("sentinel leader-epoch m 7\n"), "{text}");
    assert!(text.contains("sentinel current-epoch 7\n"), "{text}");
    // Whoever asks next in that epoch hears the vote that was given.
    let other = ask.replace('c', "d").replace(
        "SENTINEL IS-MASTER-DOWN-BY-ADDR",
        "sentinel is-master-down-by-addr",
    );
    assert_eq!(sentinel.cmd(&other).items()[1], bulk(&candidate));
}

fn script(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
    path.display().to_string()
}

#[test]
fn scripts_are_run_and_run_again() {
    let sentinel = Node::sentinel(
        &oxidis(),
        "sentinel deny-scripts-reconfig no\nsentinel monitor m 127.0.0.1 1 2\n",
    );
    let told = sentinel.dir.join("told");
    // Fails once, then writes what it was told.
    let text =
        "[ -e once ] || { touch once; exit 1; }\nls -l /proc/self/fd >fds\necho \"$@\" >>told";
    let path = script(&sentinel.dir, "notify", text);
    let mut c = sentinel.client();
    c.cmd("SENTINEL DEBUG SCRIPT-RETRY-DELAY 50").ok();
    c.cmd("SENTINEL SET m notification-script /no/such/script")
        .error("ERR Notification script seems non existing or non executable");
    c.cmd(&format!("SENTINEL SET m notification-script {path}"))
        .ok();
    c.cmd("SENTINEL SET m down-after-milliseconds 300").ok();
    let down = "+sdown master m 127.0.0.1 1\n";
    wait_for("the script has run", || {
        fs::read_to_string(&told).unwrap_or_default().contains(down)
    });
    let set = format!("+set master m 127.0.0.1 1 notification-script {path}\n");
    assert!(fs::read_to_string(&told).unwrap_or_default().contains(&set));
    // Nothing of ours is open in a script.
    let open = fs::read_to_string(sentinel.dir.join("fds")).unwrap_or_default();
    let ours = ["socket:", "[event", "file.conf"];
    assert!(
        !open.is_empty() && !ours.iter().any(|one| open.contains(one)),
        "{open}"
    );
    wait_for("nothing waits", || {
        sentinel.cmd("SENTINEL PENDING-SCRIPTS").items().is_empty()
    });
    c.cmd("SENTINEL CONFIG SET loglevel debug").ok();
    let endless = script(&sentinel.dir, "endless", "exec sleep 1000");
    c.cmd("SENTINEL DEBUG SCRIPT-MAX-RUNTIME 100 SCRIPT-RETRY-DELAY 100000")
        .ok();
    c.cmd(&format!("SENTINEL SET m notification-script {endless}"))
        .ok();
    wait_for("it is killed", || {
        let pending = sentinel.cmd("SENTINEL PENDING-SCRIPTS");
        pending
            .items()
            .first()
            .is_some_and(|one| field(one, "retry-num") == "1" && field(one, "flags") == "scheduled")
    });
}

/// redis 3737, 8012, 8691: a watched server that answers nonsense, or without end, ends no sentinel.
#[test]
fn a_server_that_answers_nonsense_does_no_harm() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        let answers: [&[u8]; 6] = [
            b"*1000000000\r\n",
            b"$99999999999\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"+NO\r\n+OK\r\n*3\r\n$7\r\nmessage\r\n$-1\r\n:5\r\n",
            b"$30\r\nrole:slave\nslave0:ip=,port=x\nab\r\n",
            b"\x00\xff\r\n\r\n",
        ];
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let mut stream = stream;
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).is_ok_and(|n| n > 0) {
                    let _ = stream.write_all(answers[number % answers.len()]);
                }
            });
        }
    });
    let sentinel = Node::sentinel(
        &oxidis(),
        &format!(
            "sentinel monitor m 127.0.0.1 {port} 1\nsentinel down-after-milliseconds m 1500\n"
        ),
    );
    let mut c = sentinel.client();
    c.cmd("SENTINEL DEBUG PING-PERIOD 50").ok();
    wait_for("it is down", || sentinel.field("flags").contains("s_down"));
    for message in [
        "",
        ",,,,,,,",
        "a,1,b,1,m,c,1,1",
        "127.0.0.1,1,x,9,m,127.0.0.1,1,9",
    ] {
        c.call(&["PUBLISH", "__sentinel__:hello", message]).is(1);
    }
    assert_eq!(sentinel.field("num-other-sentinels"), "0");
    c.cmd("PING").status("PONG");
}

#[test]
fn passwords_and_names_lead_to_the_primary() {
    let server = Node::start(&oxidis(), false, "requirepass secret\n");
    let sentinel = Node::sentinel(
        &oxidis(),
        &format!(
            "requirepass ours\nsentinel resolve-hostnames yes\nsentinel announce-hostnames yes\n\
         sentinel monitor m localhost {} 1\nsentinel down-after-milliseconds m 500\n",
            server.port
        ),
    );
    let mut c = sentinel.client();
    c.cmd("SENTINEL MYID").error("NOAUTH");
    c.cmd("AUTH ours").ok();
    let flags = |c: &mut Client| field(&c.cmd("SENTINEL MASTER m"), "flags");
    wait_for("it is down", || flags(&mut c).contains("s_down"));
    c.cmd("SENTINEL SET m auth-pass secret").ok();
    wait_for("it is up", || flags(&mut c) == "master");
    let told = c.cmd("SENTINEL GET-MASTER-ADDR-BY-NAME m");
    assert_eq!(told.items()[0], bulk("localhost"));
    c.cmd("SENTINEL MONITOR n no.such.name.invalid 1 1")
        .error("ERR Invalid IP address or hostname specified");
    c.cmd("SENTINEL MONITOR n localhost 1 1").ok();
    c.cmd("SENTINEL REMOVE n").ok();
}

/// With `tls-replication` a sentinel speaks TLS to the servers and to other sentinels.
#[test]
fn connections_are_made_over_tls() {
    let file = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls");
        path.join(name).display().to_string()
    };
    let files = format!(
        "tls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\n",
        file("server.crt"),
        file("server.key"),
        file("ca.crt")
    );
    let (port, first) = (free_port(), free_port());
    let server = Node::start(&oxidis(), false, &format!("tls-port {port}\n{files}"));
    let watches = |port_of: u16| {
        format!(
            "tls-port {port_of}\n{files}tls-replication yes\nsentinel monitor m 127.0.0.1 {port} 1\n"
        )
    };
    let sentinels = [first, free_port()].map(|tls| Node::sentinel(&oxidis(), &watches(tls)));
    for sentinel in &sentinels {
        wait_for("all are known and up", || {
            let peers = sentinel.cmd("SENTINEL SENTINELS m");
            let up = |peer: &Reply| field(peer, "flags") == "sentinel";
            sentinel.field("info-refresh") != "0"
                && sentinel.field("flags") == "master"
                && peers.items().len() == 1
                && peers.items().iter().all(up)
        });
    }
    let peer = sentinels[1].cmd("SENTINEL SENTINELS m");
    assert_eq!(field(&peer.items()[0], "port"), first.to_string());
    assert_ne!(server.port, port);
}

#[test]
fn a_failure_is_simulated() {
    let program = oxidis();
    let mut fleet = Fleet::start(&program, &[&program]);
    fleet.sentinels[0]
        .cmd("SENTINEL SIMULATE-FAILURE nonsense")
        .error("ERR Unknown failure simulation specified");
    fleet.sentinels[0]
        .cmd("SENTINEL SIMULATE-FAILURE crash-after-promotion")
        .ok();
    fleet.sentinels[0].cmd("SENTINEL FAILOVER m").ok();
    assert_eq!(fleet.sentinels[0].exit_code(), Some(99));
    let log = fleet.sentinels[0].log();
    assert!(
        log.contains("Sentinel CRASH because of SENTINEL simulate-failure"),
        "{log}"
    );
    // It carries on from its file.
    fleet.sentinels[0].restart();
    wait_for("all is well", || fleet.is_settled());
}

/// redis 6062, 13118: a planned failover loses no write when the primary hands its role over.
#[test]
fn a_coordinated_failover_loses_no_write() {
    let program = oxidis();
    let fleet = Fleet::start(&program, &[&program, &program, &program]);
    let (mut c, mut written) = (fleet.servers[0].client(), 0);
    fleet.sentinels[0]
        .cmd("SENTINEL FAILOVER m COORDINATED")
        .ok();
    fleet.sentinels[0]
        .cmd("SENTINEL FAILOVER m COORDINATED")
        .error("INPROG");
    // Until the connection is closed, or the server is a replica.
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        let sent = c.send(b"INCR written\r\n").and_then(|()| c.read());
        match sent {
            Ok(Reply::Integer(n)) => written = n,
            _ => break,
        }
    }
    let old = fleet.servers[0].port;
    wait_for("all sentinels name the new primary", || {
        fleet
            .sentinels
            .iter()
            .all(|one| one.told().is_some_and(|port| port != old))
    });
    let new = fleet.number_of(fleet.sentinels[0].told().expect("just asked"));
    fleet.servers[new]
        .cmd("GET written")
        .is(bulk(&written.to_string()));
    wait_for("the old primary follows", || {
        fleet.servers[0].cmd("ROLE").items()[0].text() == "slave"
    });
    assert!(fleet.sentinels[0].log().contains("+elected-leader"));
}

/// The `redis` crate's client for sentinels finds the primary before and after a failover.
#[test]
fn the_redis_crate_finds_the_primary() {
    use redis::sentinel::{SentinelClient, SentinelServerType};
    let program = oxidis();
    let mut fleet = Fleet::start(&program, &[&program, &program, &program]);
    let urls = fleet
        .sentinels
        .iter()
        .map(|one| format!("redis://127.0.0.1:{}", one.port));
    let kind = SentinelServerType::Master;
    let mut client =
        SentinelClient::build(urls.collect(), "m".into(), None, kind).expect("a client");
    let set = |client: &mut SentinelClient, value: i64| -> redis::RedisResult<i64> {
        let mut connection = client.get_connection()?;
        redis::cmd("SET")
            .arg("key")
            .arg(value)
            .query::<()>(&mut connection)?;
        redis::cmd("CONFIG")
            .arg("GET")
            .arg("port")
            .query::<Vec<String>>(&mut connection)
            .map(|pair| pair[1].parse().unwrap_or(0))
    };
    assert_eq!(
        set(&mut client, 1).expect("it is served"),
        i64::from(fleet.servers[0].port)
    );
    let new = fleet.fail_over();
    let port = i64::from(fleet.servers[new].port);
    wait_for("the new primary is found", || {
        set(&mut client, 2).is_ok_and(|at| at == port)
    });
}

/// As the test before, by redis-py, where Python has it.
#[test]
fn redis_py_finds_the_primary() {
    let python = std::env::var_os("OXIDIS_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let has = Command::new(&python)
        .args(["-c", "import redis.sentinel"])
        .stderr(Stdio::null())
        .status();
    if !has.is_ok_and(|status| status.success()) {
        eprintln!("left out: there is no Python with redis-py (pip install redis)");
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps/sentinel_clients.py");
    let output = Command::new(&python)
        .arg(script)
        .env("OXIDIS_SERVER", oxidis())
        .output()
        .expect("it starts");
    let text = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&text)
    );
}
