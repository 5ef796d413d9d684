//! Servers and sentinels as processes that keep their ports: to be killed, and started again from their files.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::server::{new_dir, until};
use super::{Client, Reply};

/// Long, for a debug build on a busy machine; nobody waits longer than it takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The server of this package; `OXIDIS_TEST_BINARY` names another build of it.
pub fn oxidis() -> PathBuf {
    let built = env!("CARGO_BIN_EXE_oxidis-server");
    std::env::var_os("OXIDIS_TEST_BINARY").map_or_else(|| built.into(), PathBuf::from)
}

/// Real Redis, when it is installed; `OXIDIS_TEST_REDIS` names another than the one in PATH.
pub fn redis() -> Option<PathBuf> {
    let named = std::env::var_os("OXIDIS_TEST_REDIS").map(PathBuf::from);
    named.or_else(|| {
        std::env::split_paths(&std::env::var_os("PATH")?)
            .map(|dir| dir.join("redis-server"))
            .find(|path| path.is_file())
    })
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// A server or a sentinel that can be killed and started again on its port, from its file.
#[derive(Debug)]
pub struct Node {
    pub program: PathBuf,
    sentinel: bool,
    pub dir: PathBuf,
    pub port: u16,
    child: Option<Child>,
}

impl Node {
    pub fn start(program: &Path, sentinel: bool, lines: &str) -> Node {
        let dir = new_dir("oxidis-sentinel");
        let port = free_port();
        let mut text = format!("port {port}\nbind 127.0.0.1\ndir {}\n", dir.display());
        if !sentinel {
            text += "save \"\"\nrepl-diskless-sync-delay 0\n";
        }
        fs::write(dir.join("file.conf"), text + lines).expect("a file");
        let mut node = Node {
            program: program.to_owned(),
            sentinel,
            dir,
            port,
            child: None,
        };
        node.restart();
        node
    }

    pub fn server(program: &Path) -> Node {
        Node::start(program, false, "")
    }

    pub fn sentinel(program: &Path, lines: &str) -> Node {
        Node::start(program, true, lines)
    }

    #[allow(dead_code, reason = "a benchmark uses it")]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        let mut options = fs::File::options();
        let log = options.create(true).append(true).open(self.dir.join("log"));
        let log = log.expect("a log");
        let mut command = Command::new(&self.program);
        command.arg(self.dir.join("file.conf"));
        if self.sentinel {
            command.arg("--sentinel");
        }
        let streams = (log.try_clone().expect("a log"), log);
        command
            .stdin(Stdio::null())
            .stdout(streams.0)
            .stderr(streams.1);
        self.child = Some(command.spawn().expect("it starts"));
        let answers = || {
            let mut client = Client::tcp(self.port).ok()?;
            client.send(b"PING\r\n").ok()?;
            client.read().ok()
        };
        let answered = until(PATIENCE, answers);
        assert!(answered.is_some(), "does not answer:\n{}", self.log());
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The code it exits with by itself.
    #[track_caller]
    pub fn exit_code(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("it was started");
        let status = until(PATIENCE, || child.try_wait().expect("our own child"));
        status.expect("it ends").code()
    }

    #[track_caller]
    pub fn client(&self) -> Client {
        Client::tcp(self.port).unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    #[track_caller]
    pub fn cmd(&self, line: &str) -> Reply {
        self.client().cmd(line)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    pub fn file(&self) -> String {
        fs::read_to_string(self.dir.join("file.conf")).unwrap_or_default()
    }

    /// A field of a group's primary.
    pub fn field(&self, name: &str) -> String {
        field(&self.cmd("SENTINEL MASTER m"), name)
    }

    /// The port of the primary, as it tells clients.
    pub fn told(&self) -> Option<u16> {
        let address = self.cmd("SENTINEL GET-MASTER-ADDR-BY-NAME m");
        let Reply::Array(pair) = &address else {
            return None;
        };
        pair[1].text().parse().ok()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- log of {} ---\n{}", self.port, self.log());
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The value of a name in a flat array of names and values.
pub fn field(reply: &Reply, name: &str) -> String {
    let items = reply.items();
    let at = items.iter().step_by(2).position(|item| item.text() == name);
    at.map_or_else(String::new, |at| items[2 * at + 1].text())
}

#[track_caller]
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let held = until(PATIENCE, || holds().then_some(()));
    assert!(held.is_some(), "never: {what}");
}

/// A group of servers and its sentinels.
#[derive(Debug)]
pub struct Fleet {
    pub servers: Vec<Node>,
    pub sentinels: Vec<Node>,
}

impl Fleet {
    /// A primary with two replicas of this program, and these programs as its sentinels, all of which know all.
    #[track_caller]
    pub fn start(server: &Path, sentinels: &[&Path]) -> Fleet {
        let servers: Vec<Node> = (0..3).map(|_| Node::server(server)).collect();
        let primary = servers[0].port;
        for replica in &servers[1..] {
            replica.cmd(&format!("REPLICAOF 127.0.0.1 {primary}")).ok();
        }
        let quorum = sentinels.len() / 2 + 1;
        let lines = format!(
            "sentinel monitor m 127.0.0.1 {primary} {quorum}\n\
             sentinel down-after-milliseconds m 1000\nsentinel failover-timeout m 10000\n"
        );
        let start = |program: &&Path| Node::start(program, true, &lines);
        let sentinels: Vec<Node> = sentinels.iter().map(start).collect();
        for sentinel in &sentinels {
            // A busy machine is no reason to mistrust oneself for half a minute.
            sentinel.cmd("SENTINEL DEBUG TILT-PERIOD 500").ok();
        }
        let fleet = Fleet { servers, sentinels };
        wait_for("all know all", || fleet.is_settled());
        fleet
    }

    pub fn is_settled(&self) -> bool {
        let others = (self.sentinels.len() - 1).to_string();
        let replicas = (self.servers.len() - 1).to_string();
        self.sentinels.iter().all(|sentinel| {
            let master = sentinel.cmd("SENTINEL MASTER m");
            let linked = |replica: &Reply| {
                field(replica, "flags") == "slave" && field(replica, "master-link-status") == "ok"
            };
            field(&master, "num-other-sentinels") == others
                && field(&master, "num-slaves") == replicas
                && field(&master, "flags") == "master"
                && sentinel
                    .cmd("SENTINEL REPLICAS m")
                    .items()
                    .iter()
                    .all(linked)
        })
    }

    /// Kills the primary; the number of the server that all sentinels then name, and that is one.
    #[track_caller]
    pub fn fail_over(&mut self) -> usize {
        let old = self.sentinels[0].told().expect("the group is watched");
        let dead = self.number_of(old);
        self.servers[dead].kill();
        wait_for("all sentinels name the same new primary", || {
            let told: Vec<_> = self.sentinels.iter().map(Node::told).collect();
            told[0] != Some(old) && told[0].is_some() && told.iter().all(|one| *one == told[0])
        });
        let new = self.number_of(self.sentinels[0].told().expect("just asked"));
        let role = self.servers[new].cmd("ROLE");
        assert_eq!(role.items()[0].text(), "master");
        new
    }

    pub fn number_of(&self, port: u16) -> usize {
        let found = self.servers.iter().position(|server| server.port == port);
        found.expect("one of ours")
    }

    /// Everybody comes to follow the primary that all sentinels name, also the old one once it is back. Real sentinels
    /// may fail over once more on a busy machine; what counts is that one primary is left.
    #[track_caller]
    pub fn converges(&mut self, dead: usize) {
        self.servers[dead].restart();
        wait_for("all sentinels and servers have one primary", || {
            let told: Vec<_> = self.sentinels.iter().map(Node::told).collect();
            let epochs: Vec<_> = self
                .sentinels
                .iter()
                .map(|one| one.field("config-epoch"))
                .collect();
            let follows = |server: &Node| {
                let role = server.cmd("ROLE");
                match role.items()[0].text() == "master" {
                    true => Some(server.port) == told[0],
                    false => {
                        told[0].is_some_and(|port| role.items()[2] == Reply::Integer(port.into()))
                    }
                }
            };
            let agree = told.iter().all(|one| *one == told[0]);
            agree && epochs.iter().all(|one| *one == epochs[0]) && self.servers.iter().all(follows)
        });
    }
}
