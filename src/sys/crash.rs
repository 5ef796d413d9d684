//! The report a crash leaves: what happened, where, and what the server was doing.
//!
//! ```text
//!   fatal signal ─┐                       ┌ which signal, which address, registers, who sent it
//!   panic ────────┴─► report, once ─► log ┤ stack, threads
//!                        │                └ request, client, INFO: asked of the one who attends
//!                        └─► end as if there had been no handler: core dump, exit code of the signal
//!   SIGALRM ────────► stack ─► log, and on            (the watchdog, or a curious operator)
//! ```
//!
//! A process that crashed is not to be trusted with much. The report is begun with what is known without looking at
//! the data; whoever [`attend`]s is asked last; a fault in the middle of it, or half a minute, ends the process.
//!
//! Invariant: what is attended is read by the report only on the thread that lent it, which never runs on.
//!
//! Mirrors: sigsegvHandler(), printCrashReport(), logStackTrace(), watchdogSignalHandler() of debug.c.
//! Differs: one handler per process, not per server, and only for the process that is a server; the stacks of other
//! threads are not walked, they are named; memory is not tested.
//!
//! Unsafe: signal handlers, and reading what the interrupted thread holds a `&mut` to.
#![allow(unsafe_code)]

use std::backtrace::Backtrace;
use std::cell::Cell;
use std::ffi::CString;
use std::fmt::Write as _;
use std::panic::PanicHookInfo;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering::SeqCst};
use std::thread::ThreadId;

use super::log::{Level, Logger};

/// Handlers belong to the process, so what they need is static.
static LOG: OnceLock<Logger> = OnceLock::new();
/// The file of the log, for a handler that cannot ask for it; a C string, never freed. Null: standard output.
static LOG_FILE: AtomicPtr<libc::c_char> = AtomicPtr::new(ptr::null_mut());
static REPORTING: AtomicBool = AtomicBool::new(false);
static EXIT_ON_PANIC: AtomicBool = AtomicBool::new(false);
static WITNESS: AtomicPtr<Witness> = AtomicPtr::new(ptr::null_mut());

/// Room for a handler when the stack itself is what ran out.
const STACK: usize = 256 * 1024;
/// A report that takes longer, in seconds, is ended with the process.
const PATIENCE: u32 = 30;
/// Frames of a stack written without symbols.
const FRAMES: usize = 100;

/// Who can tell what the server was doing.
struct Witness {
    thread: ThreadId,
    subject: *const (),
    tell: unsafe fn(*const (), usize, &mut String),
    with: usize,
}

/// A request being run, for a report about it.
pub trait Request {
    /// Appends what it is. `hide`: nothing that users sent but the command's name.
    fn describe(&self, hide: bool, out: &mut String);
}

thread_local! {
    static REQUEST: Cell<Option<NonNull<dyn Request>>> = const { Cell::new(None) };
}

/// Runs `f`; a report meanwhile describes the request.
#[inline]
pub fn during<R>(request: &dyn Request, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<NonNull<dyn Request>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            REQUEST.set(self.0);
        }
    }
    let request: NonNull<dyn Request + '_> = NonNull::from(request);
    // SAFETY: only the lifetime is forgotten, and the pointer is gone from the cell before the borrow ends.
    let request: NonNull<dyn Request> = unsafe { std::mem::transmute(request) };
    let _restore = Restore(REQUEST.replace(Some(request)));
    f()
}

/// Appends a description of the request that this thread runs, if it runs one.
pub fn describe_request(hide: bool, out: &mut String) {
    if let Some(request) = REQUEST.get() {
        // SAFETY: put there by `during`, further up this thread's stack, which holds the borrow.
        unsafe { request.as_ref() }.describe(hide, out);
    }
}

/// Runs `f` on the subject; a report meanwhile asks it, if this very thread crashes.
pub fn attend<T, R>(subject: &mut T, tell: fn(&T, &mut String), f: impl FnOnce(&mut T) -> R) -> R {
    unsafe fn ask<T>(subject: *const (), tell: usize, out: &mut String) {
        // SAFETY: `attend` stored a pointer to a T and a function of this very type.
        let (subject, tell) = unsafe {
            let tell: fn(&T, &mut String) = std::mem::transmute(tell);
            (&*subject.cast::<T>(), tell)
        };
        tell(subject, out);
    }
    struct Leave(*mut Witness);
    impl Drop for Leave {
        fn drop(&mut self) {
            WITNESS.store(self.0, SeqCst);
        }
    }
    let mut witness = Witness {
        thread: std::thread::current().id(),
        subject: ptr::from_mut(subject).cast(),
        tell: ask::<T>,
        with: tell as usize,
    };
    let _leave = Leave(WITNESS.swap(&raw mut witness, SeqCst));
    f(subject)
}

/// Whether a panic ends with an exit code instead of an abort (`use-exit-on-panic`).
pub fn exit_on_panic(yes: bool) {
    EXIT_ON_PANIC.store(yes, SeqCst);
}

/// From now on a panic of any thread is reported and ends the process, and so is a fatal signal when `signals`. To be
/// called once, by the thread that will own the data.
#[doc(alias = "setupSigSegvHandler")]
pub fn install(log: &Logger, signals: bool) {
    if LOG.set(log.clone()).is_err() {
        return;
    }
    if let Some(file) = log.file()
        && let Ok(file) = CString::new(file.into_os_string().into_encoded_bytes())
    {
        LOG_FILE.store(file.into_raw(), SeqCst);
    }
    std::panic::set_hook(Box::new(panicked));
    #[cfg(unix)]
    {
        // The first call loads what later ones need.
        let _ = frames(&mut [ptr::null_mut(); FRAMES]);
        give_stack();
        handle(libc::SIGALRM);
        if signals {
            report_signals(true);
        }
    }
}

/// Fatal signals are reported, or not (`crash-log-enabled`).
pub fn report_signals(yes: bool) {
    #[cfg(unix)]
    for signal in FATAL {
        if LOG.get().is_some() {
            match yes {
                true => handle(signal),
                false => default_action(signal),
            }
        }
    }
}

/// Has SIGALRM come after so many milliseconds, unless called again before; 0: not at all.
#[doc(alias = "watchdogScheduleSignal")]
pub fn wind_watchdog(ms: u32) {
    #[cfg(unix)]
    if LOG.get().is_some() {
        let timer = libc::itimerval {
            it_interval: libc::timeval {
                tv_sec: 0,
                tv_usec: 0,
            },
            it_value: libc::timeval {
                tv_sec: (ms / 1000) as libc::time_t,
                tv_usec: ((ms % 1000) * 1000) as libc::suseconds_t,
            },
        };
        // SAFETY: a valid structure, and nobody asks for the old one.
        unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) };
    }
    #[cfg(not(unix))]
    let _ = ms;
}

/// Writes where nothing may be written (DEBUG SEGFAULT).
pub fn segfault() {
    // SAFETY: none; that is what it is for. Page 0 is never mapped, so nothing but this process is harmed.
    unsafe { ptr::write_volatile(ptr::without_provenance_mut::<u8>(0x10), 1) };
}

fn panicked(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or_default();
    let place = info
        .location()
        .map_or_else(String::new, ToString::to_string);
    if REPORTING.swap(true, SeqCst) {
        // A fault of the report itself, or of another thread meanwhile: the first one matters.
        die(libc::SIGABRT);
    }
    set_patience();
    let mut report = Report::begin();
    report.line("=== ASSERTION FAILED ===");
    report.line(&format!("==> {place} '{text}'"));
    report.stack(None);
    report.end();
    if EXIT_ON_PANIC.load(SeqCst) {
        std::process::exit(1);
    }
    die(libc::SIGABRT);
}

fn set_patience() {
    #[cfg(unix)]
    {
        default_action(libc::SIGALRM);
        // SAFETY: no preconditions.
        unsafe { libc::alarm(PATIENCE) };
    }
}

/// Ends the process as the signal would without a handler.
fn die(signal: i32) -> ! {
    #[cfg(unix)]
    {
        default_action(signal);
        // SAFETY: no preconditions; within the signal's own handler it is blocked, and comes when that returns.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, signal);
            libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, ptr::null_mut());
            libc::raise(signal);
        }
    }
    #[cfg(not(unix))]
    let _ = signal;
    std::process::abort()
}

/// A report being written, line by line, so that what comes before a fault of its own is not lost.
struct Report {
    log: Option<&'static Logger>,
}

impl Report {
    fn begin() -> Report {
        let report = Report { log: LOG.get() };
        report.raw("\n\n=== REDIS BUG REPORT START: Cut & paste starting from here ===\n");
        report
    }

    fn raw(&self, text: &str) {
        match self.log {
            Some(log) => log.raw(Level::Warning, text),
            None => eprint!("{text}"),
        }
    }

    fn line(&mut self, text: &str) {
        match self.log {
            Some(log) => log.warning(text),
            None => eprintln!("{text}"),
        }
    }

    /// This thread's stack with names as far as they are known, and what other threads there are.
    fn stack(&mut self, instruction: Option<usize>) {
        self.raw("\n------ STACK TRACE ------\n");
        if let Some(instruction) = instruction {
            self.raw(&format!("EIP: {instruction:#x}\n"));
        }
        let thread = std::thread::current();
        self.raw(&format!("thread {}\n", thread.name().unwrap_or("main")));
        self.raw(&format!("{}\n", Backtrace::force_capture()));
        self.raw("------ STACK TRACE DONE ------\n");
        let names = thread_names();
        if !names.is_empty() {
            self.raw(&format!("\n------ THREADS ------\n{names}"));
        }
    }

    fn end(&mut self) {
        let witness = WITNESS.load(SeqCst);
        // SAFETY: `attend` keeps it alive while the pointer is there; another thread's is only compared.
        let witness = unsafe { witness.as_ref() };
        if let Some(witness) = witness.filter(|w| w.thread == std::thread::current().id()) {
            let mut text = String::new();
            // SAFETY: this thread lent the subject, is stopped inside this call and never goes on, so nobody else
            // uses it. It may be in the middle of a change; a fault from that ends the process.
            unsafe { (witness.tell)(witness.subject, witness.with, &mut text) };
            self.raw(&text);
        }
        self.raw(
            "\n=== REDIS BUG REPORT END. Make sure to include from START to END. ===\n\n       \
             Please report the crash by opening an issue at the repository of Oxidis.\n\n",
        );
    }
}

/// The names of all threads of the process; empty where the system does not tell.
fn thread_names() -> String {
    let mut names = String::new();
    for task in std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
    {
        if let Ok(name) = std::fs::read_to_string(task.path().join("comm")) {
            let id = task.file_name();
            let _ = writeln!(names, "{} {}", id.to_string_lossy(), name.trim_end());
        }
    }
    names
}

#[cfg(unix)]
const FATAL: [libc::c_int; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGABRT,
];

#[cfg(unix)]
fn give_stack() {
    let stack = Box::leak(vec![0u8; STACK].into_boxed_slice());
    let stack = libc::stack_t {
        ss_sp: stack.as_mut_ptr().cast(),
        ss_flags: 0,
        ss_size: STACK,
    };
    // SAFETY: memory that lives for ever and is used for nothing else.
    unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) };
}

#[cfg(unix)]
fn handle(signal: libc::c_int) {
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = match signal
    {
        libc::SIGALRM => alarmed,
        _ => crashed,
    };
    // SAFETY: the structure is zeroed, which is a valid empty one. What the handlers may do is said there.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        if signal == libc::SIGALRM {
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        }
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(signal, &raw const action, ptr::null_mut());
    }
}

#[cfg(unix)]
fn default_action(signal: libc::c_int) {
    // SAFETY: no preconditions.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// A fatal signal. This thread never goes on, so it may do what a handler otherwise must not (allocate, lock); where
/// that fails, a second fault or [`PATIENCE`] ends it.
#[cfg(unix)]
extern "C" fn crashed(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    if REPORTING.swap(true, SeqCst) {
        die(signal);
    }
    set_patience();
    let mut report = Report::begin();
    // SAFETY: the kernel hands a valid structure, or none.
    let info = unsafe { info.as_ref() };
    let code = info.map_or(0, |info| info.si_code);
    let version = crate::REDIS_VERSION;
    report.line(&format!(
        "Redis {version} crashed by signal: {signal}, si_code: {code}"
    ));
    if let Some(info) = info {
        if matches!(signal, libc::SIGSEGV | libc::SIGBUS) {
            // SAFETY: these signals come with an address.
            let address = unsafe { info.si_addr() } as usize;
            report.line(&format!("Accessing address: {address:#x}"));
        }
        if code <= 0 {
            // SAFETY: a signal sent by a process comes with its sender.
            let (pid, uid) = unsafe { (info.si_pid(), info.si_uid()) };
            report.line(&format!("Killed by PID: {pid}, UID: {uid}"));
        }
    }
    let (instruction, registers) = registers(context);
    if let Some(instruction) = instruction {
        report.line(&format!(
            "Crashed running the instruction at: {instruction:#x}"
        ));
    }
    report.stack(instruction);
    report.raw(&format!("\n------ REGISTERS ------\n{registers}"));
    report.end();
    die(signal);
}

/// The watchdog's alarm, or one from outside. This thread goes on: what is written here is written without
/// allocating, and the stack without symbols.
#[cfg(unix)]
extern "C" fn alarmed(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel hands a valid structure, or none; the field is 0 for a timer's alarm.
    let sender = unsafe { info.as_ref().map_or(0, |info| info.si_pid()) };
    let file = LOG_FILE.load(SeqCst);
    let fd = match file.is_null() {
        true => libc::STDOUT_FILENO,
        // SAFETY: a C string that lives for ever; async-signal-safe.
        false => unsafe {
            libc::open(file, libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT, 0o644)
        },
    };
    let say = |text: &str| {
        // SAFETY: as many bytes as are said; a bad descriptor is an error. Async-signal-safe.
        unsafe { libc::write(fd, text.as_ptr().cast(), text.len()) };
    };
    match sender {
        0 => say("\n--- WATCHDOG TIMER EXPIRED ---\n"),
        _ => say("\nReceived SIGALRM\n"),
    }
    say("------ STACK TRACE ------\n");
    let mut found = [ptr::null_mut(); FRAMES];
    let n = frames(&mut found);
    write_frames(&found[..n], fd);
    say("------ STACK TRACE DONE ------\n--------\n");
    if !file.is_null() {
        // SAFETY: opened above.
        unsafe { libc::close(fd) };
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn frames(found: &mut [*mut libc::c_void; FRAMES]) -> usize {
    // SAFETY: room for as many as are said.
    let n = unsafe { libc::backtrace(found.as_mut_ptr(), FRAMES as libc::c_int) };
    usize::try_from(n).unwrap_or(0)
}

#[cfg(all(unix, not(all(target_os = "linux", target_env = "gnu"))))]
fn frames(_: &mut [*mut libc::c_void; FRAMES]) -> usize {
    0
}

/// Module, offset, address: what `addr2line` turns into names.
#[cfg(unix)]
fn write_frames(found: &[*mut libc::c_void], fd: libc::c_int) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: as many frames as are said, an open descriptor; this one does not allocate.
    unsafe {
        libc::backtrace_symbols_fd(found.as_ptr(), found.len() as libc::c_int, fd);
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = (found, fd);
}

/// Where it was, and what was in the registers.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn registers(context: *mut libc::c_void) -> (Option<usize>, String) {
    // SAFETY: the kernel hands a context with SA_SIGINFO, or none.
    let Some(context) = (unsafe { context.cast::<libc::ucontext_t>().as_ref() }) else {
        return (None, String::new());
    };
    let all = &context.uc_mcontext.gregs;
    const NAMES: [(&str, libc::c_int); 18] = [
        ("RAX", libc::REG_RAX),
        ("RBX", libc::REG_RBX),
        ("RCX", libc::REG_RCX),
        ("RDX", libc::REG_RDX),
        ("RDI", libc::REG_RDI),
        ("RSI", libc::REG_RSI),
        ("RBP", libc::REG_RBP),
        ("RSP", libc::REG_RSP),
        ("R8 ", libc::REG_R8),
        ("R9 ", libc::REG_R9),
        ("R10", libc::REG_R10),
        ("R11", libc::REG_R11),
        ("R12", libc::REG_R12),
        ("R13", libc::REG_R13),
        ("R14", libc::REG_R14),
        ("R15", libc::REG_R15),
        ("RIP", libc::REG_RIP),
        ("EFL", libc::REG_EFL),
    ];
    let mut text = String::new();
    for row in NAMES.chunks(4) {
        for (name, index) in row {
            let _ = write!(text, "{name}:{:016x} ", all[*index as usize]);
        }
        text.push('\n');
    }
    (Some(all[libc::REG_RIP as usize] as usize), text)
}

#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
fn registers(context: *mut libc::c_void) -> (Option<usize>, String) {
    // SAFETY: the kernel hands a context with SA_SIGINFO, or none.
    let Some(context) = (unsafe { context.cast::<libc::ucontext_t>().as_ref() }) else {
        return (None, String::new());
    };
    let machine = &context.uc_mcontext;
    let mut text = String::new();
    for (i, value) in machine.regs.iter().enumerate() {
        let _ = write!(
            text,
            "X{i:02}:{value:016x}{}",
            if i % 4 == 3 { '\n' } else { ' ' }
        );
    }
    let _ = writeln!(text, "SP:{:016x} PC:{:016x}", machine.sp, machine.pc);
    (Some(machine.pc as usize), text)
}

#[cfg(all(
    unix,
    not(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ))
))]
fn registers(_: *mut libc::c_void) -> (Option<usize>, String) {
    (None, "not known on this platform\n".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Words(&'static str);

    impl Request for Words {
        fn describe(&self, hide: bool, out: &mut String) {
            out.push_str(if hide { "*" } else { self.0 });
        }
    }

    #[test]
    fn a_request_is_known_while_it_runs_and_the_outer_one_after() {
        let described = |hide| {
            let mut text = String::new();
            describe_request(hide, &mut text);
            text
        };
        assert_eq!(described(false), "");
        during(&Words("outer"), || {
            during(&Words("inner"), || assert_eq!(described(false), "inner"));
            assert_eq!(
                (described(false), described(true)),
                ("outer".into(), "*".into())
            );
        });
        assert_eq!(described(false), "");
    }

    #[test]
    fn threads_have_names() {
        #[cfg(target_os = "linux")]
        assert!(thread_names().lines().count() >= 1);
    }
}
