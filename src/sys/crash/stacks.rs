//! The stacks of all threads, with names: where a process is that hangs, or was when it crashed.
//!
//! ```text
//!   the thread that asks ── its own frames ──► [ FIRST ] ── a byte through a pipe ──► reporter: names, log
//!                                                                                      │        ▲
//!   each other thread  ◄── SIGUSR2 ────────────────────────────────────────────────────┘        │
//!        └─ its own frames ──► [ SLOTS ] ───────────────────────────────────────────────────────┘
//! ```
//!
//! The stacks are asked for by a signal handler: the watchdog's, on a thread that goes on afterwards and may have been
//! interrupted in the middle of an allocation, or a crash's, on a thread whose heap may be broken and whose spare stack
//! is small. A handler therefore writes nothing but addresses, into memory that is there already. Names are found by a
//! thread that does nothing else: it was not interrupted, so it may allocate and lock, and it has a heap and a stack of
//! its own. The alternative, dladdr() within the handler, knows only exported symbols: no Rust name, no line, nothing
//! inlined.
//!
//! Invariant: a slot is written by the one thread that took it from `ASKED` (`FIRST`: from `FREE`) to `FILLING`, and
//! read when it is `FULL`. A slot still `FILLING` when patience ended is left alone until it is `FULL`.
//!
//! Mirrors: writeStacktraces() and collect_stacktrace_data() of debug.c, threads_mngr.c.
//! Differs: a thread writes the report, so that the one the watchdog interrupts does not wait for it.
//! Limits: the unwinder reads tables under a lock of the loader where glibc is older than 2.35; a thread interrupted
//! inside dlopen() could wait for itself there, as in Redis. Other systems than Linux show the asking thread only.
//!
//! Unsafe: signal handlers, system calls.

use std::fmt::Write as _;
use std::io::{self, PipeReader, Read};
use std::os::fd::IntoRawFd;
use std::path::Path;
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicU8, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
};
use std::thread;
use std::time::{Duration, Instant};

use super::machine;
use crate::sys::log::{Level, Logger};

/// Frames of a stack, from the innermost on.
const FRAMES: usize = 100;
/// Letters of a function's name.
const NAME: usize = 120;
/// Threads whose stacks are shown.
const THREADS: usize = 64;
/// How long the reporter waits for other threads.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a crash waits for the reporter.
const LONG: Duration = Duration::from_secs(10);

const FREE: u8 = 0;
const ASKED: u8 = 1;
const FILLING: u8 = 2;
const FULL: u8 = 3;

/// Room for the stack of one thread.
struct Slot {
    state: AtomicU8,
    thread: AtomicI32,
    len: AtomicUsize,
    frames: [AtomicUsize; FRAMES],
}

impl Slot {
    const fn new() -> Slot {
        Slot {
            state: AtomicU8::new(FREE),
            thread: AtomicI32::new(0),
            len: AtomicUsize::new(0),
            frames: [const { AtomicUsize::new(0) }; FRAMES],
        }
    }

    fn step(&self, from: u8, to: u8) -> bool {
        self.state
            .compare_exchange(from, to, SeqCst, SeqCst)
            .is_ok()
    }

    /// Notes where this thread is, from the instruction on at which a signal interrupted it. Async-signal-safe.
    fn fill(&self, interrupted: Option<usize>) {
        let mut len = 0;
        let mut inside = interrupted.is_some();
        // SAFETY: what is not synchronised is the search for names, and none is searched for here.
        unsafe {
            backtrace::trace_unsynchronized(|frame| {
                let instruction = frame.ip() as usize;
                if inside && Some(instruction) == interrupted {
                    // So far it was the handler's own.
                    (inside, len) = (false, 0);
                }
                self.frames[len].store(instruction, Relaxed);
                len += 1;
                len < FRAMES
            });
        }
        self.len.store(len, Relaxed);
        self.state.store(FULL, Release);
    }

    fn frames(&self) -> Vec<usize> {
        let frames = &self.frames[..self.len.load(Relaxed).min(FRAMES)];
        frames.iter().map(|frame| frame.load(Relaxed)).collect()
    }
}

/// Signals belong to the process, so what their handlers write is static. The stack of who asks:
static FIRST: Slot = Slot::new();
/// The stack of a crash, for the report that needs no reporter.
static CRASHED: Slot = Slot::new();
/// The stacks of all others.
static SLOTS: [Slot; THREADS] = [const { Slot::new() }; THREADS];
/// The writing end of the pipe to the reporter.
static DOOR: AtomicI32 = AtomicI32::new(-1);
static REPORTER: AtomicI32 = AtomicI32::new(0);
/// Threads that get the signal stop for good; so many did.
static FREEZE: AtomicBool = AtomicBool::new(false);
static FROZEN: AtomicUsize = AtomicUsize::new(0);

/// Why stacks are wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Cause {
    Watchdog,
    Alarm,
    Crash,
}

/// Starts the reporter. To be called once.
#[doc(alias = "ThreadsManager_init")]
pub(super) fn start(log: &Logger) -> io::Result<()> {
    let (reader, writer) = io::pipe()?;
    let log = log.clone();
    // The unwinder finds its tables now rather than in a handler.
    Slot::new().fill(None);
    thread::Builder::new()
        .name("stack_reporter".into())
        .spawn(move || {
            REPORTER.store(this_thread(), SeqCst);
            let _spare = super::SpareStack::new();
            report(reader, &log);
        })?;
    #[cfg(target_os = "linux")]
    super::handle(libc::SIGUSR2);
    // A request that arrives before the reporter runs waits in the pipe.
    DOOR.store(writer.into_raw_fd(), SeqCst);
    Ok(())
}

/// Notes where this thread crashed. Async-signal-safe.
pub(super) fn note_crash(context: *mut libc::c_void) {
    CRASHED.fill(machine::place(context).map(|place| place.instruction));
}

/// Hands out the frames noted by [`note_crash`], the innermost first. Async-signal-safe.
pub(super) fn each_crashed_frame(mut f: impl FnMut(usize)) {
    if CRASHED.state.load(Acquire) == FULL {
        let len = CRASHED.len.load(Relaxed).min(FRAMES);
        CRASHED.frames[..len]
            .iter()
            .for_each(|frame| f(frame.load(Relaxed)));
    }
}

/// Whether this thread is at work on the report that `thread` began. Async-signal-safe.
pub(super) fn reports(thread: i32) -> bool {
    let me = this_thread();
    me == thread || me == REPORTER.load(SeqCst)
}

/// Has the stacks of all threads written to the log, this one's first. Does not wait for it: async-signal-safe. Asked
/// again meanwhile, nothing happens.
pub(super) fn ask(cause: Cause, context: *mut libc::c_void) -> bool {
    let door = DOOR.load(SeqCst);
    if door < 0 || this_thread() == REPORTER.load(SeqCst) || !FIRST.step(FREE, FILLING) {
        return false;
    }
    FIRST.thread.store(this_thread(), Relaxed);
    FIRST.fill(machine::place(context).map(|place| place.instruction));
    let byte = cause as u8;
    // SAFETY: one byte from a live variable; the pipe is never closed. Async-signal-safe.
    unsafe { libc::write(door, (&raw const byte).cast(), 1) == 1 }
}

/// The same for a thread that will not go on: waits until it is done. False if it could not be.
pub(super) fn ask_and_wait(context: *mut libc::c_void) -> bool {
    let start = Instant::now();
    let wait_until = |done: &dyn Fn() -> bool| {
        while !done() {
            if start.elapsed() > LONG {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        true
    };
    // The watchdog's report may be under way.
    let possible = DOOR.load(SeqCst) >= 0 && this_thread() != REPORTER.load(SeqCst);
    possible
        && wait_until(&|| ask(Cause::Crash, context))
        && wait_until(&|| FIRST.state.load(Acquire) == FREE)
}

/// The signal by which the reporter asks a thread: notes where it is, and the thread goes on.
#[cfg(target_os = "linux")]
pub(super) extern "C" fn asked(
    _: libc::c_int,
    _: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    if FREEZE.load(SeqCst) {
        stop();
    }
    super::keeping_errno(|| {
        let me = this_thread();
        let mine = SLOTS
            .iter()
            .find(|slot| slot.thread.load(Relaxed) == me && slot.step(ASKED, FILLING));
        // No slot is found if somebody else sent the signal, or if the reporter no longer waits for this thread.
        if let Some(slot) = mine {
            slot.fill(machine::place(context).map(|place| place.instruction));
        }
    });
}

/// Stops all other threads for good. False: one goes on.
#[doc(alias = "killThreads")]
#[cfg(target_os = "linux")]
pub(super) fn freeze() -> bool {
    FREEZE.store(true, SeqCst);
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        // Anew each time: who is not stopped yet may start others.
        let tasks = tasks();
        if tasks.len() == FROZEN.load(SeqCst) + 1 {
            return true;
        }
        let others = tasks.iter().filter(|task| task.thread != this_thread());
        others.for_each(|task| send(task.thread));
        thread::sleep(Duration::from_millis(1));
    }
    false
}

#[cfg(target_os = "linux")]
fn stop() -> ! {
    // SAFETY: a set of its own, filled before it is used; async-signal-safe, all of it.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
        FROZEN.fetch_add(1, SeqCst);
        loop {
            libc::pause();
        }
    }
}

#[cfg(target_os = "linux")]
pub(super) fn this_thread() -> i32 {
    // SAFETY: no preconditions; async-signal-safe.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn this_thread() -> i32 {
    1
}

/// The reporter.
fn report(mut door: PipeReader, log: &Logger) {
    let mut cause = [0];
    while door.read_exact(&mut cause).is_ok() {
        if cause[0] == Cause::Watchdog as u8 {
            log.warning("--- WATCHDOG TIMER EXPIRED ---");
        } else if cause[0] == Cause::Alarm as u8 {
            log.warning("Received SIGALRM");
        }
        write(log);
        FIRST.state.store(FREE, SeqCst);
        // The symbols read for the names would stay in the memory of a server that goes on.
        backtrace::clear_symbol_cache();
    }
}

/// The stack of who asked, then all others'; thread by thread, so that what is written stays if a crash ends it.
#[doc(alias = "writeStacktraces")]
fn write(log: &Logger) {
    let say = |text: &str| log.raw(Level::Warning, text);
    say("\n------ STACK TRACE ------\n");
    let first = FIRST.thread.load(Relaxed);
    let mut others = tasks();
    let name = match others.iter().position(|task| task.thread == first) {
        Some(at) => others.remove(at).name,
        None => String::new(),
    };
    say(&format!(
        "\n{first} {name} *\n{}",
        with_names(&FIRST.frames())
    ));
    others.retain(|task| task.thread != this_thread());
    let total = others.len() + 1;
    let mut shown = 1;
    for (task, frames) in gather(others) {
        let text = match frames {
            Some(frames) => with_names(&frames),
            None => "   no answer\n".to_owned(),
        };
        shown += usize::from(!text.starts_with("   no"));
        say(&format!("\n{} {}\n{text}", task.thread, task.name));
    }
    say(&format!(
        "\n{shown} of {total} stacks.\n------ STACK TRACE DONE ------\n"
    ));
}

/// A thread as the system describes it.
struct Task {
    thread: i32,
    name: String,
    /// It does not take the signal.
    deaf: bool,
}

/// All threads of the process, by number; none where the system does not tell.
#[doc(alias = "get_ready_to_signal_threads_tids")]
fn tasks() -> Vec<Task> {
    let list = std::fs::read_dir("/proc/self/task");
    let mut tasks: Vec<Task> = list
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let thread = entry.file_name().to_str()?.parse().ok()?;
            let status = std::fs::read(entry.path().join("status")).ok()?;
            let status = String::from_utf8_lossy(&status);
            let field = |name| {
                status
                    .lines()
                    .find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"))
            };
            let blocked = u64::from_str_radix(field("SigBlk")?, 16).ok()?;
            Some(Task {
                thread,
                name: field("Name")?.to_owned(),
                deaf: blocked & 1 << (libc::SIGUSR2 - 1) != 0,
            })
        })
        .collect();
    tasks.sort_by_key(|task| task.thread);
    tasks
}

/// Asks threads where they are. `None`: it did not answer.
#[doc(alias = "ThreadsManager_runOnThreads")]
fn gather(tasks: Vec<Task>) -> Vec<(Task, Option<Vec<usize>>)> {
    let mut room = SLOTS.iter();
    let asked: Vec<(Task, Option<&Slot>)> = tasks
        .into_iter()
        .map(|task| {
            let slot = if task.deaf { None } else { room.find_map(free) };
            if let Some(slot) = slot {
                slot.thread.store(task.thread, Relaxed);
                slot.state.store(ASKED, SeqCst);
                send(task.thread);
            }
            (task, slot)
        })
        .collect();
    let start = Instant::now();
    let full = |slot: &Slot| slot.state.load(Acquire) == FULL;
    while !asked.iter().all(|(_, slot)| slot.is_none_or(full)) && start.elapsed() < PATIENCE {
        thread::sleep(Duration::from_micros(200));
    }
    let collect = |(task, slot): (Task, Option<&'static Slot>)| {
        let frames = slot.and_then(|slot| match slot.step(FULL, FREE) {
            true => Some(slot.frames()),
            false => {
                slot.step(ASKED, FREE);
                None
            }
        });
        (task, frames)
    };
    asked.into_iter().map(collect).collect()
}

/// A slot nobody writes to.
fn free(slot: &'static Slot) -> Option<&'static Slot> {
    let state = slot.state.load(Acquire);
    (state == FREE || state == FULL).then_some(slot)
}

fn send(thread: i32) {
    #[cfg(target_os = "linux")]
    // SAFETY: numbers only; a thread that has ended meanwhile is an error, and then it does not answer.
    unsafe {
        libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, libc::SIGUSR2);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = thread;
}

/// A line per frame, and one per function that was inlined into it, with the place in the source where it is known.
fn with_names(frames: &[usize]) -> String {
    let mut text = String::new();
    let frames = frames.iter().filter(|frame| **frame != 0);
    for (i, &instruction) in frames.enumerate() {
        let mut known = false;
        let address = std::ptr::without_provenance_mut(instruction);
        backtrace::resolve(address, |symbol| {
            let Some(name) = symbol.name() else { return };
            // Names of closures in the standard library are endless.
            let name = format!("{name:#}");
            let _ = match known {
                false => write!(text, "{i:>4}: {instruction:#018x} {name:.NAME$}"),
                true => write!(text, "{:>24} {name:.NAME$}", ""),
            };
            known = true;
            if let (Some(file), Some(line)) = (symbol.filename(), symbol.lineno()) {
                let _ = write!(text, " at {}:{line}", short(file).display());
            }
            text.push('\n');
        });
        if !known {
            let _ = writeln!(text, "{i:>4}: {instruction:#018x}");
        }
    }
    text
}

/// A source file from where its sources begin on, wherever they were when the program was built.
fn short(file: &Path) -> &Path {
    if let Ok(ours) = file.strip_prefix(env!("CARGO_MANIFEST_DIR")) {
        return ours;
    }
    let mut above = file.ancestors();
    let root = above.find(|path| path.ends_with("registry/src") || *path == Path::new("/rustc"));
    let Some(Ok(rest)) = root.map(|root| file.strip_prefix(root)) else {
        return file;
    };
    // A commit, or the name of a registry.
    let mut parts = rest.components();
    parts.next();
    parts.as_path()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn a_name_to_be_found(slot: &Slot) -> usize {
        slot.fill(None);
        // Something to come back for, or there would be no frame.
        slot.len.load(Relaxed)
    }

    #[test]
    fn a_stack_has_names() {
        let slot = Slot::new();
        assert!(a_name_to_be_found(&slot) > 1);
        let text = with_names(&slot.frames());
        assert!(text.contains("a_name_to_be_found"), "{text}");
    }

    #[test]
    fn files_are_named_from_their_sources_on() {
        for (file, name) in [
            (
                concat!(env!("CARGO_MANIFEST_DIR"), "/src/lib.rs"),
                "src/lib.rs",
            ),
            (
                "/rustc/0123abc/library/std/src/rt.rs",
                "library/std/src/rt.rs",
            ),
            (
                "/x/registry/src/index-1/mio-1.2.4/src/lib.rs",
                "mio-1.2.4/src/lib.rs",
            ),
            ("./nptl/pthread_create.c", "./nptl/pthread_create.c"),
        ] {
            assert_eq!(short(Path::new(file)), Path::new(name));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn threads_are_known_by_number_and_name() {
        let me = this_thread();
        let mine = tasks().into_iter().find(|task| task.thread == me);
        let mine = mine.expect("this very thread");
        assert!(!mine.name.is_empty() && !mine.deaf);
    }
}
