//! A server inside a program: built, started on a thread of its own, spoken to, stopped.
//!
//! Mirrors: no file of Redis, which is a process and not a library.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

use super::event_loop::Server;
use crate::acl;
use crate::clients;
use crate::cluster;
use crate::command::Command;
use crate::config::Config;
use crate::dispatch;
use crate::modules::NativeType;
use crate::modules::native::{self, DataType};
use crate::persistence;
use crate::persistence::loading::Opened;
use crate::resp::{Protocol, Reply, Value};
use crate::state::Mailbox;
use crate::state::ServerRequest;

/// Settings of a server to be started; see [`Server::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    config: Config,
    tcp: bool,
    /// A directory was named: what is in it is the data set.
    loads: bool,
    error: Option<String>,
    /// Commands besides our own.
    commands: Vec<&'static Command>,
    /// Data types besides our own.
    types: Vec<NativeType>,
}

/// Why a server did not start.
#[derive(Debug)]
pub struct StartError(String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

impl Server {
    /// Starts describing a server to embed. Unlike the stand-alone server it listens on the loopback
    /// address only, on a port the system picks, saves nothing and logs nothing.
    ///
    /// ```
    /// let server = oxidis::Server::builder().start()?;
    /// assert_eq!(server.execute(["SET", "greeting", "hello"]).as_bytes(), Some(&b"OK"[..]));
    /// println!("redis://{}", server.address().expect("it listens on TCP"));
    /// server.shutdown();
    /// # Ok::<(), oxidis::StartError>(())
    /// ```
    pub fn builder() -> Builder {
        let config = Config {
            bind: vec!["127.0.0.1".into()],
            port: 0,
            save: Vec::new(),
            ..Config::default()
        };
        Builder {
            config,
            tcp: true,
            loads: false,
            error: None,
            commands: Vec::new(),
            types: Vec::new(),
        }
    }
}

impl Builder {
    /// The TCP port; 0 (the default) lets the system pick one.
    pub fn port(mut self, port: u16) -> Self {
        self.config.port = port;
        self
    }

    /// The address to listen on, 127.0.0.1 unless told.
    pub fn bind(mut self, address: impl Into<String>) -> Self {
        self.config.bind = vec![address.into()];
        self
    }

    /// Listens on no TCP port at all.
    pub fn no_tcp(mut self) -> Self {
        self.tcp = false;
        self
    }

    /// A Unix socket to listen on as well.
    pub fn unix_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.unixsocket = Some(path.into().to_string_lossy().into_owned());
        self
    }

    /// Any directive of `redis.conf`. A bad one makes [`Builder::start`] fail with Redis's words. With a
    /// `dir` the server loads at start what is saved there.
    pub fn directive(mut self, name: &str, value: &str) -> Self {
        self.loads |= name.eq_ignore_ascii_case("dir");
        let set = self.config.assign(name.as_bytes(), value.as_bytes());
        if let Err(reason) = set {
            self.error.get_or_insert(format!("{name}: {reason}"));
        }
        self
    }

    /// A command of your own, declared as the server's commands are; see [`crate::modules::native`]. It is described by
    /// COMMAND, judged by the ACL, routed by its keys and counted like any other. A name that is taken makes
    /// [`Builder::start`] fail.
    ///
    /// ```
    /// use oxidis::modules::native::*;
    ///
    /// const HELLO: Command = Command {
    ///     name: "hello.to",
    ///     arity: Arity::Exactly(2),
    ///     flags: &[Flag::Fast],
    ///     run: hello,
    ///     ..Command::BASE
    /// };
    ///
    /// fn hello(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    ///     let name = args.bytes()?;
    ///     ctx.reply.bulk(&[b"hello, ", name].concat());
    ///     Ok(())
    /// }
    ///
    /// let server = oxidis::Server::builder().command(&HELLO).start()?;
    /// assert_eq!(server.execute(["HELLO.TO", "you"]).as_bytes(), Some(&b"hello, you"[..]));
    /// # Ok::<(), oxidis::StartError>(())
    /// ```
    pub fn command(mut self, command: &'static Command) -> Self {
        self.commands.push(command);
        self
    }

    /// A data type of your own; see [`crate::modules::native`]. Files that hold values of it can be loaded from then on,
    /// and RESTORE makes values of it. A name that is taken, or is none, makes [`Builder::start`] fail.
    pub fn data_type<T: DataType>(mut self) -> Self {
        self.types.push(native::entry_of::<T>());
        self
    }

    /// Starts it on a thread of its own and returns once it accepts connections.
    pub fn start(self) -> Result<Handle, StartError> {
        if let Some(error) = self.error {
            return Err(StartError(error));
        }
        let (tell, told) = channel();
        let Builder {
            config,
            tcp,
            loads,
            commands,
            types,
            ..
        } = self;
        let unix_socket = config.unixsocket.clone().map(PathBuf::from);
        let run = move || {
            let started = Server::new(config)
                .map_err(|error| error.to_string())
                .and_then(|mut server| {
                    let state = &mut server.state;
                    for command in commands {
                        if !state.commands.extend(command) {
                            return Err(format!("the command '{}' is there already", command.name));
                        }
                    }
                    for kind in types {
                        if !state.modules.add_native(kind) {
                            return Err(format!(
                                "the data type '{}' is there already, or its name is not nine letters, digits, '-' or '_'",
                                kind.name
                            ));
                        }
                    }
                    if !acl::act::load_users(state) {
                        return Err("the users cannot be loaded".to_owned());
                    }
                    server.follow_tls()?;
                    server.listen(tcp)?;
                    server.listen_bus(tcp)?;
                    let state = &mut server.state;
                    if !cluster::act::start::start(state) {
                        return Err("the cluster's file cannot be loaded".to_owned());
                    }
                    if loads
                        && (persistence::act::loading::begin_loading(state) == Opened::Failed
                            || !persistence::act::loading::load_all(state))
                    {
                        return Err("the data set cannot be loaded".to_owned());
                    }
                    cluster::act::start::data_loaded(state);
                    Ok(server)
                });
            match started {
                Ok(mut server) => {
                    let mailbox = server.state.mailbox.clone();
                    let address = server.addresses().first().copied();
                    if tell.send(Ok((mailbox, address))).is_ok() {
                        server.run();
                    }
                }
                Err(reason) => {
                    let _ = tell.send(Err(reason));
                }
            }
        };
        let thread = crate::sys::threads::spawn("oxidis", run)
            .map_err(|error| StartError(error.to_string()))?;
        match told.recv() {
            Ok(Ok((mailbox, address))) => Ok(Handle {
                mailbox,
                address,
                unix_socket,
                thread: Some(thread),
            }),
            Ok(Err(reason)) => Err(StartError(reason)),
            Err(_) => Err(StartError("the server thread ended at once".into())),
        }
    }
}

/// A running embedded server. Dropping it shuts the server down and waits for its thread.
#[derive(Debug)]
pub struct Handle {
    mailbox: Mailbox,
    address: Option<SocketAddr>,
    unix_socket: Option<PathBuf>,
    thread: Option<JoinHandle<()>>,
}

impl Handle {
    /// The TCP address, unless it listens on none.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The port, 0 if it listens on none.
    pub fn port(&self) -> u16 {
        self.address.map_or(0, |address| address.port())
    }

    /// The Unix socket, if one was asked for.
    pub fn unix_socket(&self) -> Option<&std::path::Path> {
        self.unix_socket.as_deref()
    }

    /// Runs one command without a socket, in database 0, and waits for its reply. Each call is a
    /// client of its own: what belongs to a connection (SELECT, MULTI, WATCH, subscriptions) does not
    /// outlive it, and commands that would wait answer at once as they do inside MULTI.
    pub fn execute<W: AsRef<[u8]>>(&self, words: impl IntoIterator<Item = W>) -> Value {
        let argv = crate::resp::argv::OwnedArgv::from_words(words);
        let (tell, told) = channel();
        self.mailbox.send(move |state| {
            let now = state.clock.unix_ms();
            let client = state.clients.insert_fake(now, Protocol::Resp3);
            let mut reply = Reply::to_value(Protocol::Resp3);
            dispatch::process(state, client, argv.as_argv(), &mut reply);
            clients::act::leave::forget_client(state, client);
            let _ = tell.send(reply.take_values().into_iter().next());
        });
        match told.recv() {
            Ok(Some(value)) => value,
            Ok(None) => Value::Null,
            Err(_) => Value::Error("ERR the server has ended".into()),
        }
    }

    /// Ends the server and waits until its sockets are closed and its thread is gone.
    pub fn shutdown(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.mailbox
                .send(|state| state.requests.push(ServerRequest::Exit(0)));
            // A panic of the server's thread was reported by the panic hook already.
            let _ = thread.join();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}
