//! The port that figures for Prometheus are fetched from: HTTP on `metrics-port`, at every `bind` address.
//!
//! ```text
//!   connection ─► request ─► letter ─► data thread: may this one see it? INFO ── verdicts, text ─► reply
//! ```
//!
//! A thread of its own serves all connections at once and owns nothing of the data. It asks for INFO through the mailbox,
//! once for all who wait and not more often than [`BETWEEN_ASKS`], so that scrapes cost the data thread little however
//! many there are. A stranger costs less: a connection ends [`PATIENCE`] after it began, whatever it sends meanwhile,
//! and when there are [`CONNECTIONS_MAX`] the one that has dawdled longest makes room for the next.
//!
//! As long as INFO needs no password, the figures need none either. If the default user has one (`requirepass`), the
//! request brings the name and password of a user that may run INFO, in HTTP's own words:
//! `Authorization: Basic base64(name:password)`, where no name is the default user. In protected mode no client from
//! another machine is served, as on the port of Redis.
//!
//! Mirrors: nothing in Redis.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use super::listener::{self, Listener};
use crate::acl;
use crate::commands::info;
use crate::config::{Config, disk};
use crate::observe::exporter;
use crate::state::Mailbox;
use crate::state::State;
use crate::sys::{clock, threads};

/// A request that is longer is none of ours.
const REQUEST_MAX: usize = 8 * 1024;
/// From a connection's first moment to its last.
const PATIENCE: Duration = Duration::from_secs(5);
/// For the answer of the data thread; what is left of [`PATIENCE`] is for saying that there was none.
const ANSWER_PATIENCE: Duration = Duration::from_secs(4);
/// Connections at once.
const CONNECTIONS_MAX: usize = 32;
/// Between two questions to the data thread.
const BETWEEN_ASKS: Duration = Duration::from_millis(20);
/// Until a listener is tried again that had no descriptor left for a connection.
const RETRY: Duration = Duration::from_millis(100);

const WAKER: Token = Token(0);
/// Tokens from here on are listeners, and behind them connections.
const FIRST_LISTENER: usize = 1;

/// Begins to serve, if the configuration says so. The error is the line for the log.
pub(super) fn serve(config: &Config, mailbox: &Mailbox) -> Result<(), String> {
    if config.metrics_port == 0 {
        return Ok(());
    }
    let port = config.metrics_port;
    let failed = |error: io::Error| {
        let reason = disk::reason(&error);
        format!("Can't serve metrics on port {port}: {reason}")
    };
    let server = MetricsPort::open(config, mailbox.clone()).map_err(failed)?;
    let thread = threads::spawn("metrics", move || server.run());
    thread.map(drop).map_err(failed)
}

/// The listeners and their connections.
struct MetricsPort {
    poll: Poll,
    waker: Arc<Waker>,
    mailbox: Mailbox,
    listeners: Vec<TcpListener>,
    /// Connections by number, so that the oldest comes first.
    connections: BTreeMap<usize, Connection>,
    next: usize,
    /// Some listener had no descriptor left for a connection.
    retries: bool,
    last_ask: Option<Instant>,
    /// The data thread has been asked and has not answered.
    asking: bool,
    answers: (Sender<Answer>, Receiver<Answer>),
}

struct Connection {
    stream: TcpStream,
    /// The peer is on this machine.
    local: bool,
    began: Instant,
    phase: Phase,
}

enum Phase {
    /// The request is being read.
    Reads(Vec<u8>),
    /// It waits for the next question to the data thread.
    Waits(Option<Login>),
    /// The data thread was asked.
    Asked,
    /// Its reply goes, from a position on.
    Writes(Vec<u8>, usize),
}

#[derive(Debug, PartialEq, Eq)]
struct Login {
    name: Vec<u8>,
    password: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Served,
    /// The request lacks a valid login.
    Unknown,
    /// It may not see the figures.
    Refused,
}

/// The data thread's answer: for each connection whether it is served, and the text of INFO if any of them is.
struct Answer {
    verdicts: Vec<(usize, Verdict)>,
    info: Option<String>,
}

impl MetricsPort {
    fn open(config: &Config, mailbox: Mailbox) -> io::Result<MetricsPort> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let mut listeners = Vec::new();
        for word in &config.bind {
            let (addresses, optional) = listener::resolve(word, config.metrics_port)?;
            for address in addresses {
                match Listener::tcp(address, CONNECTIONS_MAX as u32, false) {
                    Ok(Listener::Tcp(listener)) => listeners.push(listener),
                    Ok(_) => {}
                    Err(error) if optional && listener::is_absent(&error) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        if listeners.is_empty() {
            return Err(ErrorKind::AddrNotAvailable.into());
        }
        for (place, listener) in listeners.iter_mut().enumerate() {
            let token = Token(FIRST_LISTENER + place);
            poll.registry()
                .register(listener, token, Interest::READABLE)?;
        }
        Ok(MetricsPort {
            poll,
            waker,
            mailbox,
            next: FIRST_LISTENER + listeners.len(),
            listeners,
            connections: BTreeMap::new(),
            retries: false,
            last_ask: None,
            asking: false,
            answers: channel(),
        })
    }

    /// Serves until the server has ended.
    fn run(mut self) {
        let mut events = Events::with_capacity(64);
        loop {
            match self.poll.poll(&mut events, self.sleep_time()) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return,
            }
            let connections = FIRST_LISTENER + self.listeners.len();
            for event in &events {
                match event.token() {
                    WAKER => {}
                    Token(number) if number < connections => self.accept(number - FIRST_LISTENER),
                    Token(number) => self.go_on(number),
                }
            }
            if std::mem::take(&mut self.retries) {
                (0..self.listeners.len()).for_each(|place| self.accept(place));
            }
            while let Ok(answer) = self.answers.1.try_recv() {
                self.answered(answer);
            }
            self.end_overdue();
            if !self.ask() {
                return;
            }
        }
    }

    fn sleep_time(&self) -> Option<Duration> {
        let now = clock::instant();
        let ends = self.connections.values().map(Connection::end);
        let waits = |c: &Connection| matches!(c.phase, Phase::Waits(_));
        let ask = !self.asking && self.connections.values().any(waits);
        let ask = ask.then(|| self.last_ask.map_or(now, |last| last + BETWEEN_ASKS));
        let retry = self.retries.then(|| now + RETRY);
        let next = ends.chain(ask).chain(retry).min();
        next.map(|next| next.saturating_duration_since(now) + Duration::from_millis(1))
    }

    fn accept(&mut self, place: usize) {
        loop {
            match self.listeners[place].accept() {
                Ok((stream, address)) => self.welcome(stream, address.ip().is_loopback()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.retries = true;
                    return;
                }
            }
        }
    }

    fn welcome(&mut self, mut stream: TcpStream, local: bool) {
        if self.connections.len() >= CONNECTIONS_MAX {
            let reads = |c: &Connection| matches!(c.phase, Phase::Reads(_) | Phase::Writes(..));
            let slow = self.connections.iter().find(|(_, c)| reads(c));
            let oldest = slow.or_else(|| self.connections.iter().next());
            if let Some(number) = oldest.map(|(number, _)| *number) {
                self.connections.remove(&number);
            }
        }
        let number = self.next;
        self.next += 1;
        let what = Interest::READABLE | Interest::WRITABLE;
        if self
            .poll
            .registry()
            .register(&mut stream, Token(number), what)
            .is_ok()
        {
            let connection = Connection {
                stream,
                local,
                began: clock::instant(),
                phase: Phase::Reads(Vec::new()),
            };
            self.connections.insert(number, connection);
            self.go_on(number);
        }
    }

    /// Reads or writes what the socket allows.
    fn go_on(&mut self, number: usize) {
        if let Some(connection) = self.connections.get_mut(&number)
            && connection.go_on().is_err()
        {
            self.connections.remove(&number);
        }
    }

    /// Asks the data thread for all who wait; false when it has ended.
    fn ask(&mut self) -> bool {
        let soon = |last: Instant| clock::since(last) < BETWEEN_ASKS;
        if self.asking || self.last_ask.is_some_and(soon) {
            return true;
        }
        let mut asks = Vec::new();
        for (number, connection) in &mut self.connections {
            if let Phase::Waits(login) = &mut connection.phase {
                asks.push((*number, connection.local, login.take()));
                connection.phase = Phase::Asked;
            }
        }
        if asks.is_empty() {
            return true;
        }
        self.last_ask = Some(clock::instant());
        self.asking = true;
        let (tell, waker) = (self.answers.0.clone(), self.waker.clone());
        self.mailbox.send(move |state| {
            let judged = asks
                .into_iter()
                .map(|(number, local, login)| (number, judge(state, local, login)));
            let verdicts: Vec<_> = judged.collect();
            let served = verdicts
                .iter()
                .any(|(_, verdict)| *verdict == Verdict::Served);
            let info = served.then(|| info::figures(state));
            if tell.send(Answer { verdicts, info }).is_ok() {
                let _ = waker.wake();
            }
        })
    }

    fn answered(&mut self, answer: Answer) {
        self.asking = false;
        let figures = answer
            .info
            .map(|info| exporter::translate(&info))
            .unwrap_or_default();
        for (number, verdict) in answer.verdicts {
            let Some(connection) = self.connections.get_mut(&number) else {
                continue;
            };
            connection.reply(&match verdict {
                Verdict::Served => response("200 OK", &figures),
                Verdict::Unknown => response(
                    "401 Unauthorized",
                    "A user that may run INFO, please: Authorization: Basic base64(name:password)\n",
                ),
                Verdict::Refused => response("403 Forbidden", "Not from here, or not for you.\n"),
            });
            self.go_on(number);
        }
    }

    fn end_overdue(&mut self) {
        let now = clock::instant();
        let overdue = self.connections.iter().filter(|(_, c)| c.end() <= now);
        let overdue: Vec<usize> = overdue.map(|(number, _)| *number).collect();
        for number in overdue {
            let Some(connection) = self.connections.get_mut(&number) else {
                continue;
            };
            match connection.phase {
                Phase::Waits(_) | Phase::Asked => {
                    let text = response("503 Service Unavailable", "The server is busy.\n");
                    connection.reply(&text);
                    self.go_on(number);
                }
                Phase::Reads(_) | Phase::Writes(..) => {
                    self.connections.remove(&number);
                }
            }
        }
    }
}

impl Connection {
    /// When its present phase ends at the latest.
    fn end(&self) -> Instant {
        match self.phase {
            Phase::Waits(_) | Phase::Asked => self.began + ANSWER_PATIENCE,
            Phase::Reads(_) | Phase::Writes(..) => self.began + PATIENCE,
        }
    }

    fn reply(&mut self, text: &str) {
        self.phase = Phase::Writes(text.as_bytes().to_vec(), 0);
    }

    /// # Errors
    /// The connection has ended, well or not.
    fn go_on(&mut self) -> io::Result<()> {
        if let Phase::Reads(request) = &mut self.phase {
            let mut piece = [0; 1024];
            while !is_whole(request) && request.len() < REQUEST_MAX {
                match self.stream.read(&mut piece) {
                    Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                    Ok(n) => request.extend_from_slice(&piece[..n]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            match understand(request) {
                Ok(login) => self.phase = Phase::Waits(login),
                Err(text) => self.reply(&text),
            }
        }
        if let Phase::Writes(text, sent) = &mut self.phase {
            while *sent < text.len() {
                match self.stream.write(&text[*sent..]) {
                    Ok(n) => *sent += n,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            self.stream.shutdown(Shutdown::Write)?;
            return Err(ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

fn is_whole(request: &[u8]) -> bool {
    request.windows(4).any(|end| end == b"\r\n\r\n")
}

/// The login of a request for the figures, if it brings one. The error is the reply to another request.
fn understand(request: &[u8]) -> Result<Option<Login>, String> {
    if !is_whole(request) {
        let status = "431 Request Header Fields Too Large";
        return Err(response(status, "8 KB will do.\n"));
    }
    let mut lines = request.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let line = lines.next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (method, path) = (words.next(), words.next().unwrap_or_default());
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    match (method, path) {
        (Some(b"GET"), b"/metrics") => {}
        (Some(b"GET"), _) => return Err(response("404 Not Found", "There is /metrics.\n")),
        _ => return Err(response("405 Method Not Allowed", "GET, please.\n")),
    }
    let login = lines.find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let basic = value
            .get(..6)
            .is_some_and(|w| w.eq_ignore_ascii_case(b"basic "));
        let is_login = name.eq_ignore_ascii_case(b"authorization") && basic;
        is_login.then(|| login_of(&value[6..]))?
    });
    Ok(login)
}

/// `base64(name:password)`.
fn login_of(text: &[u8]) -> Option<Login> {
    let text = from_base64(text.trim_ascii())?;
    let colon = text.iter().position(|byte| *byte == b':')?;
    let name = match &text[..colon] {
        b"" => acl::DEFAULT,
        name => name,
    };
    Some(Login {
        name: name.to_vec(),
        password: text[colon + 1..].to_vec(),
    })
}

/// RFC 4648, with or without the padding.
fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0);
    let padded = text.iter().rposition(|byte| *byte != b'=');
    for byte in text[..padded.map_or(0, |last| last + 1)].iter() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    Some(out)
}

/// Whether the sender of a request may see the figures.
fn judge(state: &mut State, local: bool, login: Option<Login>) -> Verdict {
    if acl::act::protects_itself(state) && !local {
        return Verdict::Refused;
    }
    let user = match &login {
        Some(login) => {
            let user = state.acl.user(&login.name);
            user.filter(|user| user.accepts(&login.password))
        }
        None => Some(state.acl.default_user()).filter(|user| user.is_open()),
    };
    let Some(user) = user else {
        state.stats.acl_denied[3] += u64::from(login.is_some());
        return Verdict::Unknown;
    };
    let argv = crate::resp::argv::OwnedArgv::from_words(["INFO"]);
    let info = state.commands.find(b"info");
    match info.map(|id| user.check(acl::act::asked(state, id, argv.as_argv()))) {
        Some(Ok(())) => Verdict::Served,
        _ => Verdict::Refused,
    }
}

fn response(status: &str, text: &str) -> String {
    let login = match status.starts_with("401") {
        true => "WWW-Authenticate: Basic realm=\"metrics\"\r\n",
        false => "",
    };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         {login}Connection: close\r\n\r\n{text}",
        text.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_read_as_http_writes_them() {
        let login = |name: &str, password: &str| {
            Some(Login {
                name: name.into(),
                password: password.into(),
            })
        };
        let of = |header: &str| {
            understand(format!("GET /metrics?x HTTP/1.1\r\n{header}\r\n\r\n").as_bytes())
        };
        assert_eq!(of("Host: x"), Ok(None));
        assert_eq!(of("authorization: basic Ym9iOnB3"), Ok(login("bob", "pw")));
        assert_eq!(
            of("Host: x\r\nAuthorization: Basic OmE6Yg=="),
            Ok(login("default", "a:b"))
        );
        for none in [
            "Basic",
            "Basic ",
            "Basic Ym9i",
            "Basic Ym9i*",
            "Bearer Ym9iOnB3",
        ] {
            assert_eq!(of(&format!("Authorization: {none}")), Ok(None), "{none}");
        }
        let status = |request: &str| understand(request.as_bytes()).unwrap_err();
        assert!(status("GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        assert!(status("PUT /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
        assert!(status("GET /metrics HTTP/1.1\r\n").starts_with("HTTP/1.1 431 "));
        assert_eq!(from_base64(b"AAECA/8="), Some(vec![0, 1, 2, 3, 255]));
    }
}
