//! A server in a process and a directory of its own, gone when dropped.
//!
//! A port cannot be reserved for another process, so: ask the kernel for a free one, start, and see whether the server
//! that answers there works in our directory; if not, another process was quicker, so try the next.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{Client, Reply};

/// Long, for a debug build on a busy machine; nobody waits longer than the server takes.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// Longer than the memory test of a crash takes.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// How to start a server: `Server::oxidis().args(["--maxmemory", "10mb"]).start()`.
#[derive(Clone, Debug)]
pub struct Builder {
    program: PathBuf,
    args: Vec<OsString>,
    config: Option<String>,
}

#[derive(Debug)]
pub struct Server {
    child: Child,
    builder: Builder,
    port: u16,
    dir: PathBuf,
}

impl Server {
    /// The server of this package; `OXIDIS_TEST_BINARY` names another build of it.
    pub fn oxidis() -> Builder {
        let built = env!("CARGO_BIN_EXE_oxidis-server");
        Server::program(std::env::var_os("OXIDIS_TEST_BINARY").unwrap_or_else(|| built.into()))
    }

    /// Real Redis, when it is installed; `OXIDIS_TEST_REDIS` names another than the one in PATH.
    pub fn redis() -> Option<Builder> {
        let program = match std::env::var_os("OXIDIS_TEST_REDIS") {
            Some(program) => PathBuf::from(program),
            None => std::env::split_paths(&std::env::var_os("PATH")?)
                .map(|dir| dir.join("redis-server"))
                .find(|program| program.is_file())?,
        };
        Some(Server::program(program))
    }

    pub fn program(program: impl Into<PathBuf>) -> Builder {
        Builder {
            program: program.into(),
            args: Vec::new(),
            config: None,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it works: its files, its log, its socket.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    #[track_caller]
    pub fn client(&self) -> Client {
        Client::tcp(self.port)
            .unwrap_or_else(|error| panic!("cannot connect: {error}\n{}", self.log()))
    }

    /// Through the Unix socket; the server was started with `.unix()`.
    #[track_caller]
    pub fn unix_client(&self) -> Client {
        let path = self.dir.join("socket");
        Client::unix(&path)
            .unwrap_or_else(|error| panic!("{}: {error}\n{}", path.display(), self.log()))
    }

    /// All it has said so far, on standard output and standard error.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.join("log")).unwrap_or_default()).into_owned()
    }

    /// Still running?
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Awaits the end of the process, which somebody else has caused.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let ended = until(STOP_PATIENCE, || {
            self.child.try_wait().expect("our own child")
        });
        ended.unwrap_or_else(|| panic!("does not end\n{}", self.log()))
    }

    /// As `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts again what was ended, in the same directory, with the same arguments; on another port.
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        (self.child, self.port) = self.builder.launch(&self.dir);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!(
                "--- log of {} ---\n{}",
                self.builder.program.display(),
                self.log()
            );
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Builder {
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Builder {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Lines of a configuration file, read before the arguments.
    pub fn config(mut self, lines: &str) -> Builder {
        self.config = Some(lines.to_owned());
        self
    }

    /// A Unix socket as well.
    pub fn unix(self) -> Builder {
        self.args(["--unixsocket", "socket"])
    }

    /// Starts it and waits until it answers. Panics, with its log, when it does not.
    #[track_caller]
    pub fn start(self) -> Server {
        // As the server sees it, links resolved.
        let dir = new_dir("oxidis").canonicalize();
        let dir = dir.expect("it was just made");
        if let Some(config) = &self.config {
            fs::write(dir.join("server.conf"), config).expect("a configuration file");
        }
        let (child, port) = self.launch(&dir);
        Server {
            child,
            builder: self,
            port,
            dir,
        }
    }

    #[track_caller]
    fn launch(&self, dir: &Path) -> (Child, u16) {
        let log = || fs::read_to_string(dir.join("log")).unwrap_or_default();
        for _ in 0..20 {
            let port = free_port().expect("a free port");
            let mut child = self.spawn(dir, port).unwrap_or_else(|error| {
                panic!("cannot start {}: {error}", self.program.display());
            });
            let answered = until(START_PATIENCE, || match child.try_wait() {
                Ok(None) => answers(port, dir).then_some(true),
                _ => Some(false),
            });
            match answered {
                Some(true) => return (child, port),
                Some(false) if log().contains("already in use") => continue,
                Some(false) => panic!("{} ended:\n{}", self.program.display(), log()),
                None => {
                    let _ = child.kill();
                    let _ = child.wait();
                    panic!("{} does not answer:\n{}", self.program.display(), log());
                }
            }
        }
        panic!("no port stayed free");
    }

    fn spawn(&self, dir: &Path, port: u16) -> io::Result<Child> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(dir.join("log"))?;
        let mut command = Command::new(&self.program);
        if self.config.is_some() {
            command.arg("server.conf");
        }
        command
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .args(&self.args)
            .args(self.bus_port()?)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
    }
}

impl Builder {
    /// A node of a cluster gets a free port for its bus: the usual one, 10000 above that of clients, may be taken or not
    /// exist.
    fn bus_port(&self) -> io::Result<Vec<String>> {
        let config = self.config.as_deref().unwrap_or_default();
        let on = |words: &[OsString]| words[0] == "--cluster-enabled" && words[1] == "yes";
        let of_cluster = config.contains("cluster-enabled yes") || self.args.windows(2).any(on);
        if !of_cluster || self.args.iter().any(|word| word == "--cluster-port") {
            return Ok(Vec::new());
        }
        Ok(vec!["--cluster-port".into(), free_port()?.to_string()])
    }
}

/// Makes a directory that nobody else uses. A process that was killed leaves its own, and another process may have the
/// same number later.
pub fn new_dir(name: &str) -> PathBuf {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let dir = std::env::temp_dir().join(format!("{name}-{process}-{number}"));
        match fs::create_dir(&dir) {
            Ok(()) => return dir,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => panic!("a directory, {}: {error}", dir.display()),
        }
    }
}

pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Whether it is ours: a server at `port` that works in `dir`, or one that tells that to nobody unauthenticated.
fn answers(port: u16, dir: &Path) -> bool {
    let Ok(mut client) = Client::tcp(port) else {
        return false;
    };
    let asked = client
        .send(b"CONFIG GET dir\r\n")
        .and_then(|()| client.read());
    match asked {
        Ok(Reply::Array(pair)) => pair.last().is_some_and(|at| Path::new(&at.text()) == dir),
        Ok(Reply::Error(text)) => text.starts_with(b"NOAUTH"),
        _ => false,
    }
}

/// Asks until there is an answer, more and more slowly, no longer than `patience`.
pub fn until<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if started.elapsed() > patience {
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
