//! The server's log: one line per event, to standard output, a file, syslog.
//!
//! ```text
//!   4711:M 21 Nov 2026 05:54:54.123 * Ready to accept connections tcp
//!   pid  │ day and time of the zone │ what happened
//!        role: M primary, S replica, C child, X Sentinel
//!                                   level: . debug  - verbose  * notice  # warning
//! ```
//!
//! A [`Logger`] is a handle to be cloned and handed to threads; a server has its own, so that several servers in one
//! process keep several logs. A line below the log's level costs no formatting.
//!
//! Invariant: logging never fails, never blocks on syslog, and a line is written in one piece.
//!
//! Mirrors: serverLogRaw() of server.c. Like there, a file is opened anew for each line, so that it can
//! be moved away under the server. Differs: no global; JSON lines on request; syslog is spoken to over
//! its socket instead of libc's `openlog`, which knows only one name per process.
#![allow(unsafe_code)] // localtime_r, the one way to learn the time zone.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;
use std::os::fd::{IntoRawFd, RawFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::util::time::Civil;

/// The level of a line or of the log; ordered, `Nothing` being the quietest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    Debug,
    Verbose,
    Notice,
    Warning,
    /// As a threshold: no line at all.
    Nothing,
}

impl Level {
    fn from_index(index: u8) -> Level {
        match index {
            0 => Level::Debug,
            1 => Level::Verbose,
            2 => Level::Notice,
            3 => Level::Warning,
            _ => Level::Nothing,
        }
    }

    /// The mark in a line, the word in JSON, the severity of syslog.
    fn signs(self) -> (char, &'static str, u8) {
        match self {
            Level::Debug => ('.', "debug", 7),
            Level::Verbose => ('-', "verbose", 6),
            Level::Notice => ('*', "notice", 5),
            Level::Warning | Level::Nothing => ('#', "warning", 4),
        }
    }
}

/// The shape of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Format {
    /// As Redis writes it.
    Redis,
    /// One JSON object.
    Json,
}

/// The role of the server, shown as one letter in each line: `M` primary, `S` replica, `C` child, `X` sentinel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    Primary = b'M',
    Replica = b'S',
    /// Before the server is one, and in background jobs.
    Child = b'C',
    Sentinel = b'X',
}

/// The syslog facility.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Facility {
    User = 1,
    Local0 = 16,
    Local1,
    Local2,
    Local3,
    Local4,
    Local5,
    Local6,
    Local7,
}

/// Where the lines go.
pub enum Target {
    Nowhere,
    Stdout,
    /// A file, opened to append for each line.
    File(PathBuf),
    /// Any writer that an embedder or a test provides.
    Writer(Box<dyn Write + Send>),
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Nowhere => f.write_str("Nowhere"),
            Target::Stdout => f.write_str("Stdout"),
            Target::File(path) => f.debug_tuple("File").field(path).finish(),
            Target::Writer(_) => f.write_str("Writer"),
        }
    }
}

/// A handle to a server's log. Clones share it.
#[derive(Clone, Debug)]
pub struct Logger {
    log: Arc<Log>,
    /// A role of this handle's own, instead of the server's.
    role: Option<Role>,
}

#[derive(Debug)]
struct Log {
    level: AtomicU8,
    format: AtomicU8,
    role: AtomicU8,
    target: Mutex<Target>,
    syslog: Mutex<Option<Syslog>>,
    now: fn() -> Duration,
}

impl Logger {
    /// A log of notices and warnings in Redis's format.
    pub fn new(target: Target) -> Logger {
        Logger::with_clock(target, machine_clock)
    }

    /// The same with a clock of one's own: time since 1970.
    pub fn with_clock(target: Target, now: fn() -> Duration) -> Logger {
        let log = Log {
            level: AtomicU8::new(Level::Notice as u8),
            format: AtomicU8::new(Format::Redis as u8),
            role: AtomicU8::new(Role::Child as u8),
            target: Mutex::new(target),
            syslog: Mutex::new(None),
            now,
        };
        Logger {
            log: Arc::new(log),
            role: None,
        }
    }

    /// The least level that is written.
    pub fn set_level(&self, level: Level) {
        self.log.level.store(level as u8, Relaxed);
    }

    pub fn level(&self) -> Level {
        Level::from_index(self.log.level.load(Relaxed))
    }

    pub fn set_format(&self, format: Format) {
        self.log.format.store(format as u8, Relaxed);
    }

    /// Sets the role that lines show from now on.
    pub fn set_role(&self, role: Role) {
        self.log.role.store(role as u8, Relaxed);
    }

    pub fn set_target(&self, target: Target) {
        *unpoisoned(&self.log.target) = target;
    }

    /// The file it goes to, if it goes to one.
    pub fn file(&self) -> Option<PathBuf> {
        match &*unpoisoned(&self.log.target) {
            Target::File(path) => Some(path.clone()),
            _ => None,
        }
    }

    /// Also send each line to syslog, under this name; `None` stops it. Lines are lost while no
    /// syslog listens, as they are with libc.
    pub fn set_syslog(&self, to: Option<(&str, Facility)>) {
        let syslog = to.map(|(name, facility)| Syslog::new(name, facility));
        *unpoisoned(&self.log.syslog) = syslog;
    }

    /// A handle to the same log whose lines carry a role of their own.
    pub fn as_role(&self, role: Role) -> Logger {
        Logger {
            log: Arc::clone(&self.log),
            role: Some(role),
        }
    }

    /// Is a line of this level written? For callers whose message is expensive to make.
    #[inline]
    pub fn enabled(&self, level: Level) -> bool {
        level >= self.level() && level != Level::Nothing
    }

    pub fn debug(&self, message: impl fmt::Display) {
        self.write(Level::Debug, &message);
    }

    pub fn verbose(&self, message: impl fmt::Display) {
        self.write(Level::Verbose, &message);
    }

    pub fn notice(&self, message: impl fmt::Display) {
        self.write(Level::Notice, &message);
    }

    pub fn warning(&self, message: impl fmt::Display) {
        self.write(Level::Warning, &message);
    }

    /// One line, if its level is wanted. `format_args!` makes a message that costs nothing otherwise. Control characters
    /// are written as in a quoted string of Rust (`\n`), so that nobody whose words are in the message writes a line
    /// of his own, or to the terminal it is read on.
    #[doc(alias = "serverLog")]
    pub fn write(&self, level: Level, message: &dyn fmt::Display) {
        if !self.enabled(level) {
            return;
        }
        let message = message.to_string();
        let line = self.line(level, &message);
        self.put(line.as_bytes());
        if let Some(syslog) = unpoisoned(&self.log.syslog).as_ref() {
            syslog.send((self.log.now)(), level, &one_line(&message));
        }
    }

    /// Text as it stands, control characters included, without time, role or line end: the banner, a crash report.
    #[doc(alias = "serverLogRaw")]
    pub fn raw(&self, level: Level, text: &str) {
        if self.enabled(level) {
            self.put(text.as_bytes());
        }
    }

    /// Keeps other threads from writing lines until it is dropped: a copy of the process made meanwhile can write.
    pub fn hold(&self) -> impl Sized {
        (unpoisoned(&self.log.target), std::io::stdout().lock())
    }

    /// A descriptor that lines may be appended to without a lock, for the handler of a signal; `None` where the lines go
    /// to neither a file nor standard output. It stays open.
    pub fn descriptor(&self) -> Option<RawFd> {
        match &*unpoisoned(&self.log.target) {
            Target::Stdout => Some(libc::STDOUT_FILENO),
            Target::File(path) => {
                let file = std::fs::OpenOptions::new().append(true).open(path);
                file.ok().map(IntoRawFd::into_raw_fd)
            }
            Target::Nowhere | Target::Writer(_) => None,
        }
    }

    fn role(&self) -> char {
        let role = self.role.map_or(self.log.role.load(Relaxed), |r| r as u8);
        char::from(role)
    }

    fn line(&self, level: Level, message: &str) -> String {
        let now = (self.log.now)();
        let civil = local(now);
        let pid = std::process::id();
        let role = self.role();
        let (mark, word, _) = level.signs();
        if self.log.format.load(Relaxed) == Format::Redis as u8 {
            let time = civil.log_line(now.subsec_millis());
            let message = one_line(message);
            return format!("{pid}:{role} {time} {mark} {message}\n");
        }
        let whole = civil.iso8601().to_string();
        // `T05:54:54` is nine long; what follows is the zone.
        let (seconds, zone) = whole.split_at(whole.find('T').map_or(0, |t| t + 9));
        let milliseconds = now.subsec_millis();
        let message = Json(message.to_string());
        format!(
            "{{\"time\":\"{seconds}.{milliseconds:03}{zone}\",\"level\":\"{word}\",\
             \"pid\":{pid},\"role\":\"{role}\",\"message\":{message}}}\n"
        )
    }

    /// Writes in one piece. There is nobody to tell when that fails.
    fn put(&self, bytes: &[u8]) {
        let mut target = unpoisoned(&self.log.target);
        let _ = match &mut *target {
            Target::Nowhere => Ok(()),
            Target::Stdout => {
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(bytes).and_then(|()| stdout.flush())
            }
            Target::File(path) => {
                let file = std::fs::OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(path);
                file.and_then(|mut file| file.write_all(bytes))
            }
            Target::Writer(writer) => writer.write_all(bytes).and_then(|()| writer.flush()),
        };
    }
}

/// Lines of the `log` crate, for libraries and for code that has no handle: errors and warnings are
/// warnings, information is a notice, debugging is verbose.
impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        Logger::enabled(self, level_of(metadata.level()))
    }

    fn log(&self, record: &log::Record<'_>) {
        self.write(level_of(record.level()), record.args());
    }

    fn flush(&self) {}
}

fn level_of(level: log::Level) -> Level {
    match level {
        log::Level::Error | log::Level::Warn => Level::Warning,
        log::Level::Info => Level::Notice,
        log::Level::Debug => Level::Verbose,
        log::Level::Trace => Level::Debug,
    }
}

/// The text without control characters.
fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let mut line = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\t' => line.push(c),
            _ if c.is_control() => line.extend(c.escape_default()),
            _ => line.push(c),
        }
    }
    line.into()
}

/// A writer that panicked in the middle of a line has lost that line; the log goes on.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn machine_clock() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}

/// The moment as clocks on the wall show it.
fn local(now: Duration) -> Civil {
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    Civil::from_unix(seconds, offset(seconds))
}

/// Seconds east of Greenwich at that moment.
#[cfg(unix)]
fn offset(seconds: i64) -> i32 {
    let seconds = seconds as libc::time_t;
    let mut parts = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to live values of the right type. localtime_r may write `parts` only;
    // zeroed, it is a valid `tm` even if it does not (all fields are integers and a nullable pointer).
    let parts = unsafe {
        libc::localtime_r(&seconds, parts.as_mut_ptr());
        parts.assume_init()
    };
    i32::try_from(parts.tm_gmtoff).unwrap_or(0)
}

/// Seconds east of Greenwich at that moment.
#[cfg(not(unix))]
fn offset(_seconds: i64) -> i32 {
    0
}

/// A JSON string.
struct Json(String);

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if c < ' ' => write!(f, "\\u{:04x}", c as u32)?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// The local syslog, over its datagram socket (RFC 3164).
#[derive(Debug)]
struct Syslog {
    name: String,
    facility: Facility,
    #[cfg(unix)]
    socket: Option<std::os::unix::net::UnixDatagram>,
}

impl Syslog {
    fn new(name: &str, facility: Facility) -> Syslog {
        Syslog {
            name: name.to_owned(),
            facility,
            #[cfg(unix)]
            socket: std::os::unix::net::UnixDatagram::unbound()
                .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
                .ok(),
        }
    }

    fn message(&self, now: Duration, level: Level, message: &dyn fmt::Display) -> String {
        let (_, _, severity) = level.signs();
        let priority = self.facility as u8 * 8 + severity;
        let time = local(now).log_line(0).to_string();
        // `21 Nov 2026 05:54:54.000` has all that `Nov 21 05:54:54` needs.
        let mut parts = time.split([' ', '.']);
        let mut part = || parts.next().unwrap_or_default();
        let (day, month, _year, time) = (part(), part(), part(), part());
        let (name, pid) = (&self.name, std::process::id());
        format!("<{priority}>{month} {day} {time} {name}[{pid}]: {message}")
    }

    #[cfg(unix)]
    fn send(&self, now: Duration, level: Level, message: &dyn fmt::Display) {
        let message = self.message(now, level, message);
        if let Some(socket) = &self.socket {
            // Linux, macOS, the BSDs: one of them is there, or nobody listens.
            for path in ["/dev/log", "/var/run/syslog", "/var/run/log"] {
                if socket.send_to(message.as_bytes(), path).is_ok() {
                    return;
                }
            }
        }
    }

    #[cfg(not(unix))]
    fn send(&self, now: Duration, level: Level, message: &dyn fmt::Display) {
        let _ = self.message(now, level, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// A log whose lines come out at the other end.
    fn logger() -> (Logger, mpsc::Receiver<String>) {
        struct Lines(mpsc::Sender<String>);
        impl Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                let _ = self.0.send(String::from_utf8_lossy(bytes).into_owned());
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let (sender, receiver) = mpsc::channel();
        let clock = || Duration::from_millis(1_795_240_494_007);
        let target = Target::Writer(Box::new(Lines(sender)));
        (Logger::with_clock(target, clock), receiver)
    }

    /// The line without its process id and time, which differ from place to place.
    fn sketch(line: &str) -> String {
        let line = line.strip_prefix(&std::process::id().to_string()).unwrap();
        let (role, rest) = line.split_at(3);
        let (time, rest) = rest.split_at("21 Nov 2026 05:54:54.007".len());
        assert!(time.ends_with(".007"), "{time}");
        format!("{role}T{rest}")
    }

    #[test]
    fn a_line_looks_like_redis_wrote_it() {
        let (log, lines) = logger();
        log.notice("starting");
        assert_eq!(sketch(&lines.recv().unwrap()), ":C T * starting\n");
        log.set_role(Role::Primary);
        log.warning(format_args!("{} of {}", 1, 2));
        assert_eq!(sketch(&lines.recv().unwrap()), ":M T # 1 of 2\n");
        log.as_role(Role::Sentinel).notice("x");
        assert_eq!(sketch(&lines.recv().unwrap()), ":X T * x\n");
        log.set_role(Role::Replica);
        log.set_level(Level::Debug);
        log.verbose("v");
        log.debug("d");
        assert_eq!(sketch(&lines.recv().unwrap()), ":S T - v\n");
        assert_eq!(sketch(&lines.recv().unwrap()), ":S T . d\n");
        log.raw(Level::Notice, "as it stands");
        assert_eq!(lines.recv().unwrap(), "as it stands");
    }

    /// `redis.log(redis.LOG_WARNING, "x\n1:M 01 Jan …")` wrote a second line that the server never wrote.
    #[test]
    fn nobody_writes_a_line_of_his_own() {
        let (log, lines) = logger();
        log.notice("a\r\n1:M b\x1b[2J\tc\u{85}");
        assert_eq!(
            sketch(&lines.recv().unwrap()),
            ":C T * a\\r\\n1:M b\\u{1b}[2J\tc\\u{85}\n"
        );
    }

    #[test]
    fn a_level_silences_those_below_it() {
        struct Dear;
        impl fmt::Display for Dear {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                panic!("formatted for nobody")
            }
        }
        let (log, lines) = logger();
        log.verbose(Dear);
        log.set_level(Level::Warning);
        log.notice(Dear);
        log.warning("w");
        log.set_level(Level::Nothing);
        log.warning(Dear);
        log.raw(Level::Warning, "r");
        drop(log);
        assert_eq!(lines.iter().count(), 1);
    }

    #[test]
    fn json_lines_hold_any_text() {
        let (log, lines) = logger();
        log.set_format(Format::Json);
        log.notice("a \"b\"\\\n\u{1}é");
        let line = lines.recv().unwrap();
        let pid = std::process::id();
        let end = format!(
            "\"level\":\"notice\",\"pid\":{pid},\"role\":\"C\",\
             \"message\":\"a \\\"b\\\"\\\\\\n\\u0001é\"}}\n"
        );
        assert!(line.ends_with(&end), "{line}");
        assert!(line.starts_with("{\"time\":\"2026-11-2") && line.contains(".007"));
    }

    #[test]
    fn a_file_may_be_moved_away() {
        let path = std::env::temp_dir().join(format!("oxidis-log-{}", std::process::id()));
        let log = Logger::new(Target::File(path.clone()));
        log.notice("one");
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("* one\n"));
        std::fs::remove_file(&path).unwrap();
        log.notice("two");
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
        std::fs::remove_file(&path).unwrap();
        log.set_target(Target::File("/does/not/exist/x".into()));
        log.notice("lost, without a word");
    }

    #[test]
    fn syslog_messages_carry_priority_and_name() {
        let syslog = Syslog::new("oxidis", Facility::Local0);
        let message = syslog.message(Duration::from_secs(1_795_240_494), Level::Warning, &"hi");
        let pid = std::process::id();
        assert!(message.starts_with("<132>Nov 2"), "{message}");
        assert!(message.ends_with(&format!(" oxidis[{pid}]: hi")));
        syslog.send(Duration::ZERO, Level::Debug, &"nobody may listen");
    }

    #[test]
    fn the_facade_reaches_the_log() {
        let (log, lines) = logger();
        let record = log::Record::builder()
            .level(log::Level::Error)
            .args(format_args!("bad"))
            .build();
        log::Log::log(&log, &record);
        assert_eq!(sketch(&lines.recv().unwrap()), ":C T # bad\n");
    }
}
