//! Replication between servers, ours and real Redis above and below each other where that is installed.

use std::time::Duration;

use crate::support::server::{Builder, until};
use crate::support::{Client, Server};

/// How long servers may take to agree.
const PATIENCE: Duration = Duration::from_secs(20);

/// Options of a primary, Redis or ours, so that any replica understands it soon.
fn primary_of(builder: Builder, ours: bool) -> Server {
    let version = if ours { "rdb-version 10\n" } else { "" };
    let quick = "repl-diskless-sync-delay 0\nsave \"\"\n";
    builder.config(&format!("{quick}{version}")).start()
}

fn follow(replica: &mut Client, primary: &Server) {
    replica
        .cmd(&format!("REPLICAOF 127.0.0.1 {}", primary.port()))
        .ok();
}

/// A field of INFO replication.
fn info(client: &mut Client, field: &str) -> String {
    let text = client.cmd("INFO replication").text();
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let mut found = lines.filter(|(name, _)| *name == field);
    found
        .next()
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default()
}

/// Waits until the link is up and everything the primary said has arrived.
fn in_sync(primary: &mut Client, replica: &mut Client) {
    let synced = until(PATIENCE, || {
        let up = info(replica, "master_link_status") == "up";
        let same = info(primary, "master_repl_offset") == info(replica, "slave_repl_offset");
        (up && same).then_some(())
    });
    assert!(synced.is_some(), "the replica never caught up");
}

/// Values of all types, deadlines, a transaction, a script, things that are rewritten.
fn fill(primary: &mut Client) {
    for line in [
        "SET before 1",
        "SET soon 1 PX 100000",
        "RPUSH list a b c",
        "SADD set 1 2 3 x",
        "SPOP set",
        "HSET hash f v g w",
        "ZADD zset 1.5 a 2.5 b",
        "XADD stream * f v",
        "INCRBYFLOAT float 10.5",
        "SELECT 3",
        "SET elsewhere 1",
        "MULTI",
        "INCR counted",
        "INCR counted",
        "EXEC",
        "EVAL \"redis.call('set', KEYS[1], ARGV[1]); return redis.call('incr', KEYS[2])\" 2 s t v",
        "SELECT 0",
        "GETEX before EX 1000",
    ] {
        assert!(!primary.cmd(line).is_error(), "{line}");
    }
}

fn compare(one: &mut Client, other: &mut Client) {
    for db in [0, 3] {
        let select = format!("SELECT {db}");
        one.cmd(&select).ok();
        other.cmd(&select).ok();
        for line in [
            "DBSIZE",
            "GET before",
            "PEXPIRETIME before",
            "PEXPIRETIME soon",
            "LRANGE list 0 -1",
            "SCARD set",
            "SORT_RO set ALPHA",
            "HGET hash g",
            "ZRANGE zset 0 -1 WITHSCORES",
            "XRANGE stream - +",
            "GET float",
            "GET counted",
            "MGET s t after",
        ] {
            assert_eq!(one.cmd(line), other.cmd(line), "db {db}: {line}");
        }
    }
    one.cmd("SELECT 0").ok();
    other.cmd("SELECT 0").ok();
}

fn a_pair(primary: Server, replica: Server) {
    let (mut p, mut r) = (primary.client(), replica.client());
    fill(&mut p);
    r.cmd("SET gone 1").ok();
    follow(&mut r, &primary);
    in_sync(&mut p, &mut r);
    fill(&mut p);
    p.cmd("SET after 1").ok();
    in_sync(&mut p, &mut r);
    compare(&mut p, &mut r);
    r.cmd("EXISTS gone").is(0);
    r.cmd("SET x 1").error("READONLY");

    // The connection breaks: the replica goes on where it was.
    let full = info_of(&mut p, "stats", "sync_full");
    assert!(!p.cmd("CLIENT KILL TYPE replica").is_error());
    p.cmd("SET after 2").ok();
    in_sync(&mut p, &mut r);
    compare(&mut p, &mut r);
    assert_eq!(info_of(&mut p, "stats", "sync_full"), full);

    // They change places without a full synchronisation.
    r.cmd("REPLICAOF NO ONE").ok();
    r.cmd("SET after 3").ok();
    follow(&mut p, &replica);
    in_sync(&mut r, &mut p);
    compare(&mut r, &mut p);
    assert_eq!(info_of(&mut r, "stats", "sync_full"), "0");
}

fn info_of(client: &mut Client, section: &str, field: &str) -> String {
    let text = client.cmd(&format!("INFO {section}")).text();
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(name, _)| *name == field);
    found
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default()
}

#[test]
fn ours_under_ours() {
    a_pair(
        primary_of(Server::oxidis(), true),
        primary_of(Server::oxidis(), true),
    );
}

#[test]
fn ours_under_redis() {
    if let Some(redis) = Server::redis() {
        a_pair(primary_of(redis, false), primary_of(Server::oxidis(), true));
    }
}

#[test]
fn redis_under_ours() {
    if let Some(redis) = Server::redis() {
        a_pair(primary_of(Server::oxidis(), true), primary_of(redis, false));
    }
}

/// A replica of a replica reads its primary's stream, byte for byte.
#[test]
fn a_chain_has_one_stream() {
    let servers = [0, 1, 2].map(|_| primary_of(Server::oxidis(), true));
    let [mut a, mut b, mut c] = [0, 1, 2].map(|i: usize| servers[i].client());
    follow(&mut b, &servers[0]);
    in_sync(&mut a, &mut b);
    follow(&mut c, &servers[1]);
    in_sync(&mut b, &mut c);
    fill(&mut a);
    a.cmd("WAIT 1 5000").is(1);
    in_sync(&mut a, &mut b);
    in_sync(&mut b, &mut c);
    compare(&mut a, &mut c);
    assert_eq!(info(&mut a, "master_replid"), info(&mut c, "master_replid"));
}

/// The data set goes straight into memory, whatever becomes of the old one.
#[test]
fn ours_loads_from_the_socket() {
    for way in ["on-empty-db", "swapdb", "flush-before-load"] {
        for redis in [false, true] {
            let primary = match redis {
                false => Some(Server::oxidis()),
                true => Server::redis(),
            };
            let Some(primary) = primary else { continue };
            let primary = primary_of(primary, !redis);
            let replica =
                Server::oxidis().config(&format!("save \"\"\nrepl-diskless-load {way}\n"));
            let replica = replica.start();
            let (mut p, mut r) = (primary.client(), replica.client());
            fill(&mut p);
            let library = "FUNCTION LOAD '#!lua name=lib\nredis.register_function(\"f\", function() return 7 end)'";
            assert!(!p.cmd(library).is_error());
            // More than one piece, and than any buffer on the way.
            let script =
                "for i = 1, 200 do redis.call('set', 'key' .. i, string.rep('x', i * 1000)) end";
            p.cmd(&format!("EVAL \"{script}\" 0"));
            if way != "on-empty-db" {
                r.cmd("SET gone 1").ok();
            }
            follow(&mut r, &primary);
            in_sync(&mut p, &mut r);
            compare(&mut p, &mut r);
            r.cmd("STRLEN key200").is(200_000);
            r.cmd("EXISTS gone").is(0);
            r.cmd("FCALL_RO f 0");
            let log = replica.log();
            assert!(log.contains("to parser"), "{way}: {log}");
            p.cmd("SET after 1").ok();
            in_sync(&mut p, &mut r);
            compare(&mut p, &mut r);
        }
    }
}

/// A primary whose every byte the test decides.
struct Script {
    listener: std::net::TcpListener,
    link: Option<std::net::TcpStream>,
}

const MARK: &str = "0123456789abcdef0123456789abcdef01234567";

impl Script {
    /// The data set of one of our servers after these commands, as an RDB.
    fn data_set(lines: &[&str]) -> Vec<u8> {
        let server = Server::oxidis().start();
        let mut client = server.client();
        for line in lines {
            assert!(!client.cmd(line).is_error(), "{line}");
        }
        client.cmd("SAVE").ok();
        std::fs::read(server.dir().join("dump.rdb")).expect("just saved")
    }

    fn followed_by(replica: &mut Client) -> Script {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        replica.cmd(&format!("REPLICAOF 127.0.0.1 {port}")).ok();
        Script {
            listener,
            link: None,
        }
    }

    /// Answers the handshake of the next connection, and announces a data set of the stream `id`.
    fn announce(&mut self, id: &str) {
        let (link, _) = self.listener.accept().expect("it connects");
        self.link = Some(link);
        self.send(
            format!("+PONG\r\n+OK\r\n+OK\r\n+FULLRESYNC {id} 0\r\n$EOF:{MARK}\r\n").as_bytes(),
        );
    }

    fn send(&mut self, bytes: &[u8]) {
        use std::io::Write;
        let link = self.link.as_mut().expect("announced");
        link.write_all(bytes).expect("it listens");
    }

    /// The connection breaks.
    fn hang_up(&mut self) {
        self.link = None;
    }
}

fn wait_for(client: &mut Client, section: &str, field: &str, value: &str) {
    let came = until(PATIENCE, || {
        (info_of(client, section, field) == value).then_some(())
    });
    assert!(came.is_some(), "{field} never became {value}");
}

/// While the next state of the same stream comes, the old one is read; when the connection breaks, it stays; when all
/// is there, it goes.
#[test]
fn the_old_data_set_serves_until_the_new_one_is_whole() {
    let library = |answer| {
        format!(
            "FUNCTION LOAD '#!lua name=lib\nredis.register_function{{function_name=\"f\", \
             callback=function() return {answer} end, flags={{\"no-writes\"}}}}'"
        )
    };
    let rdb = Script::data_set(&["SET key new", "RPUSH list a b", &library(2)]);
    let server = Server::oxidis()
        .config("save \"\"\nrepl-diskless-load swapdb\n")
        .start();
    let mut c = server.client();
    c.cmd("SET key old").ok();
    c.cmd("SET only-old 1").ok();
    assert!(!c.cmd(&library(1)).is_error());
    let id = info(&mut c, "master_replid");
    let mut primary = Script::followed_by(&mut c);
    let (first, second) = rdb.split_at(rdb.len() - 20);

    primary.announce(&id);
    primary.send(first);
    wait_for(&mut c, "persistence", "async_loading", "1");
    assert_eq!(info_of(&mut c, "persistence", "loading"), "0");
    c.cmd("GET key").is("old");
    c.cmd("FCALL_RO f 0").is(1);
    c.cmd("DBSIZE").is(2);
    c.cmd("REPLICAOF NO ONE").error("LOADING");
    c.cmd("BGSAVE").error("LOADING");
    primary.hang_up();
    wait_for(&mut c, "persistence", "async_loading", "0");
    c.cmd("GET key").is("old");
    c.cmd("FCALL_RO f 0").is(1);

    // A broken end is no better.
    primary.announce(&id);
    primary.send(first);
    let mut broken = second.to_vec();
    *broken.last_mut().expect("the checksum") ^= 1;
    primary.send(&broken);
    primary.send(MARK.as_bytes());
    let refused = until(PATIENCE, || {
        server.log().contains("Wrong RDB checksum").then_some(())
    });
    assert!(refused.is_some(), "the checksum was not looked at");
    c.cmd("GET key").is("old");

    primary.announce(&id);
    let mut watcher = server.client();
    watcher.cmd("WATCH list").ok();
    primary.send(first);
    wait_for(&mut c, "persistence", "async_loading", "1");
    primary.send(second);
    primary.send(MARK.as_bytes());
    wait_for(&mut c, "replication", "master_link_status", "up");
    c.cmd("GET key").is("new");
    c.cmd("EXISTS only-old").is(0);
    c.cmd("FCALL_RO f 0").is(2);
    watcher.cmd("MULTI").ok();
    watcher.cmd("PING").status("QUEUED");
    watcher.cmd("EXEC").nil();
    // The stream goes on behind it.
    primary.send(b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nnewer\r\n");
    let came = until(PATIENCE, || {
        (c.cmd("GET key").text() == "newer").then_some(())
    });
    assert!(came.is_some(), "the stream was not read");
}

/// Of another stream, the old data set is not shown while the new one comes; it is there again when that fails.
#[test]
fn the_old_data_set_of_another_stream_is_hidden_and_kept() {
    let rdb = Script::data_set(&["SET key new"]);
    let server = Server::oxidis()
        .config("save \"\"\nrepl-diskless-load swapdb\n")
        .start();
    let mut c = server.client();
    c.cmd("SET key old").ok();
    let mut primary = Script::followed_by(&mut c);
    primary.announce(MARK);
    primary.send(&rdb[..rdb.len() / 2]);
    wait_for(&mut c, "persistence", "loading", "1");
    c.cmd("GET key").error("LOADING");
    primary.hang_up();
    wait_for(&mut c, "persistence", "loading", "0");
    c.cmd("GET key").is("old");
}

/// A primary that falls silent in the middle is given up, as it would be at any other time.
#[test]
fn a_data_set_that_does_not_go_on_is_given_up() {
    let rdb = Script::data_set(&["SET key new"]);
    let server = Server::oxidis()
        .config("save \"\"\nrepl-diskless-load swapdb\nrepl-timeout 1\n")
        .start();
    let mut c = server.client();
    let mut primary = Script::followed_by(&mut c);
    primary.announce(MARK);
    primary.send(&rdb[..rdb.len() / 2]);
    wait_for(&mut c, "persistence", "loading", "1");
    wait_for(&mut c, "persistence", "loading", "0");
    let log = server.log();
    assert!(log.contains("Timeout receiving bulk data"), "{log}");
    // It comes back.
    primary.announce(MARK);
    primary.send(&rdb);
    primary.send(MARK.as_bytes());
    wait_for(&mut c, "replication", "master_link_status", "up");
    c.cmd("GET key").is("new");
}

/// Without the old one, half of a new data set is worse than none.
#[test]
fn half_of_a_data_set_is_not_shown() {
    let rdb = Script::data_set(&["SET key new", "SET key2 new"]);
    let server = Server::oxidis()
        .config("save \"\"\nrepl-diskless-load flush-before-load\n")
        .start();
    let mut c = server.client();
    c.cmd("SET key old").ok();
    let mut primary = Script::followed_by(&mut c);
    primary.announce(MARK);
    primary.send(&rdb[..rdb.len() - 9]);
    wait_for(&mut c, "persistence", "loading", "1");
    c.cmd("GET key").error("LOADING");
    primary.hang_up();
    wait_for(&mut c, "persistence", "loading", "0");
    c.cmd("DBSIZE").is(0);
    primary.announce(MARK);
    primary.send(&rdb);
    primary.send(MARK.as_bytes());
    wait_for(&mut c, "replication", "master_link_status", "up");
    c.cmd("DBSIZE").is(2);
}

/// A primary that speaks nonsense is left alone, whatever it says.
#[test]
fn nonsense_from_a_primary_does_no_harm() {
    use std::io::{Read, Write};
    let mut server = Server::oxidis().start();
    let mut c = server.client();
    c.cmd("SET k v").ok();
    let answers: &[&[u8]] = &[
        b"-ERR no\r\n",
        &[b'x'; 5000],
        b"+PONG\r\n+OK\r\n+OK\r\n+FULLRESYNC short 1\r\n$-5\r\n",
        b"+PONG\r\n+OK\r\n+OK\r\n+FULLRESYNC 0123456789012345678901234567890123456789 99\r\n$18446744073709551615\r\nREDIS",
        b"+PONG\r\n+OK\r\n+OK\r\n+FULLRESYNC 0123456789012345678901234567890123456789 -7\r\n$EOF:tooshort\r\n",
        b"+PONG\r\n+OK\r\n+OK\r\n+CONTINUE\r\n*1\r\n$4\r\nPING\r\n*1000000000\r\n$1\r\n",
        b"+PONG\r\n+OK\r\n+OK\r\n+FULLRESYNC 0123456789012345678901234567890123456789 0\r\n$9\r\nnonsense!SET k w\r\n",
    ];
    for answer in answers {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        c.cmd(&format!("REPLICAOF 127.0.0.1 {port}")).ok();
        let (mut link, _) = listener.accept().expect("it connects");
        let mut ping = [0; 14];
        link.read_exact(&mut ping).expect("it says PING");
        link.write_all(answer).expect("it listens");
        std::thread::sleep(Duration::from_millis(100));
        drop(link);
        c.cmd("REPLICAOF NO ONE").ok();
        c.cmd("PING").status("PONG");
    }
    assert!(server.is_alive());
}
