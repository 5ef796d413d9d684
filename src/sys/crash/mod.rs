//! The report a crash leaves: what happened, where, and what the server was doing.
//!
//! ```text
//!   fatal signal ─┐                       ┌ which signal, which address, registers, who sent it
//!   panic ────────┴─► report, once ─► log ┤ the stacks of all threads
//!                        │                └ request, client, INFO: asked of the one who attends
//!                        │   a fault of the report itself ─► the few lines of `plain.rs`
//!                        ├─► memory tested, if that is wanted
//!                        └─► end as if there had been no handler: core dump, exit code of the signal
//!   SIGALRM ────────► stacks ─► log, and on           (the watchdog, or a curious operator)
//! ```
//!
//! A process that crashed is not to be trusted with much. The report is begun with what is known without looking at
//! the data; the server that [`attend`]s is asked last. A fault in the middle of it, or half a minute, makes `plain.rs`
//! write the short report, which needs no heap, and end the process. See `stacks.rs` for the stacks, `machine.rs` for
//! the facts a signal brings, `memtest.rs` for the test of memory. A call of `exit()` that is not the server's own
//! leaves a line, too.
//!
//! Invariant: what is attended is read by the report only on the thread that lent it, which never runs on.
//!
//! Mirrors: sigsegvHandler(), printCrashReport(), logStackTrace(), watchdogSignalHandler() of debug.c.
//! Differs: one handler per process, not per server, and only for the process that is a server.
//!
//! Unsafe: signal handlers, and reading what the interrupted thread holds a `&mut` to.
#![allow(unsafe_code)]

mod machine;
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod memtest;
#[cfg(unix)]
mod plain;
#[cfg(unix)]
mod stacks;

use std::backtrace::Backtrace;
use std::cell::Cell;
use std::panic::PanicHookInfo;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering::SeqCst};
use std::thread::ThreadId;

use super::log::{Level, Logger};

/// Handlers belong to the process, so what they need is static.
static LOG: OnceLock<Logger> = OnceLock::new();
static REPORTING: AtomicBool = AtomicBool::new(false);
/// The thread that reports.
static REPORTING_THREAD: AtomicI32 = AtomicI32::new(0);
/// The server ends the process itself.
static LEAVING: AtomicBool = AtomicBool::new(false);
static EXIT_ON_PANIC: AtomicBool = AtomicBool::new(false);
static TEST_MEMORY: AtomicBool = AtomicBool::new(false);
static HIDE_USER_DATA: AtomicBool = AtomicBool::new(false);
static WITNESS: AtomicPtr<Witness> = AtomicPtr::new(ptr::null_mut());

/// Room for a handler when the stack itself is what ran out.
const STACK: usize = 256 * 1024;
/// A report that takes longer, in seconds, is ended with the process.
const PATIENCE: u32 = 30;
/// The last lines of every report.
const END: &str = "\n=== REDIS BUG REPORT END. Make sure to include from START to END. ===\n\n       \
                   Please report the crash by opening an issue at the repository of Oxidis.\n\n";

/// A server that can tell a crash report what it was doing.
struct Witness {
    thread: ThreadId,
    subject: *const (),
    tell: unsafe fn(*const (), usize, &mut String),
    with: usize,
}

/// A request being run, for a report about it.
pub trait Request {
    /// Appends what it is, a line per word: name, `sign`, word. `hide`: nothing that users sent but the command's name.
    fn describe(&self, sign: &str, hide: bool, out: &mut String);
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
pub fn describe_request(sign: &str, hide: bool, out: &mut String) {
    if let Some(request) = REQUEST.get() {
        // SAFETY: put there by `during`, further up this thread's stack, which holds the borrow.
        unsafe { request.as_ref() }.describe(sign, hide, out);
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

/// Whether memory is tested after a crash (`crash-memcheck-enabled`).
pub fn test_memory(yes: bool) {
    TEST_MEMORY.store(yes, SeqCst);
}

/// Whether a report keeps silent about what users sent (`hide-user-data-from-log`).
pub fn hide_user_data(yes: bool) {
    HIDE_USER_DATA.store(yes, SeqCst);
}

/// From now on a panic of any thread is reported and ends the process, and so is a fatal signal when `signals`. To be
/// called once, by the thread that will own the data.
#[doc(alias = "setupSigSegvHandler")]
pub fn install(log: &Logger, signals: bool) {
    if LOG.set(log.clone()).is_err() {
        return;
    }
    std::panic::set_hook(Box::new(panicked));
    #[cfg(unix)]
    {
        plain::remember_target(log.file().as_deref());
        if let Err(error) = stacks::start(log) {
            log.warning(format_args!("No thread to report stacks: {error}"));
        }
        // The thread that owns the data keeps it until the process ends.
        std::mem::forget(SpareStack::new());
        handle(libc::SIGALRM);
        // SAFETY: a function that may be called at any time.
        unsafe { libc::atexit(left) };
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

/// The server ends the process from here on: `exit()` is expected.
pub fn leave() {
    LEAVING.store(true, SeqCst);
}

/// Called by `exit()`. Foreign code that ends the process leaves no other trace.
#[cfg(unix)]
extern "C" fn left() {
    if !LEAVING.swap(true, SeqCst) && !REPORTING.load(SeqCst) {
        plain::remark("The process is ended by a call of exit() that is not the server's own");
    }
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
        interrupted("it failed an assertion itself");
    }
    begin_patience();
    let mut report = Report::begin();
    report.line("=== ASSERTION FAILED ===");
    report.line(&format!("==> {place} '{text}'"));
    report.request();
    report.stack(ptr::null_mut());
    report.end();
    if EXIT_ON_PANIC.load(SeqCst) {
        // Not exit(): what runs then may wait for a thread that the memory test has stopped.
        // SAFETY: no preconditions.
        unsafe { libc::_exit(1) };
    }
    die(libc::SIGABRT);
}

/// This thread reports from now on, for so long.
fn begin_patience() {
    #[cfg(unix)]
    REPORTING_THREAD.store(stacks::this_thread(), SeqCst);
    set_patience();
}

fn set_patience() {
    #[cfg(unix)]
    {
        handle_with(libc::SIGALRM, gave_up);
        // SAFETY: no preconditions.
        unsafe { libc::alarm(PATIENCE) };
    }
}

/// The report does not come to its end: something it waits for is never given back.
#[cfg(unix)]
extern "C" fn gave_up(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    plain::report("it did not come to its end in time");
    die(plain::signal());
}

/// A fault while a report is being written. Of the report itself: what can still be written is, and the process ends.
/// Of a bystander: the first one matters, so this thread waits until the process ends.
fn interrupted(why: &str) -> ! {
    #[cfg(unix)]
    {
        if stacks::reports(REPORTING_THREAD.load(SeqCst)) {
            plain::report(why);
            die(plain::signal());
        }
        loop {
            // SAFETY: no preconditions.
            unsafe { libc::pause() };
        }
    }
    #[cfg(not(unix))]
    {
        let _ = why;
        die(libc::SIGABRT)
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

    /// The request that this thread runs, before anything else can fail.
    #[doc(alias = "_serverAssertPrintClientInfo")]
    fn request(&self) {
        let mut text = String::new();
        describe_request(" =", HIDE_USER_DATA.load(SeqCst), &mut text);
        if !text.is_empty() {
            self.raw(&format!("\n------ REQUEST ------\n{text}"));
        }
    }

    /// The stacks of all threads; of this one alone, if nobody is there to ask the others.
    #[doc(alias = "logStackTrace")]
    fn stack(&self, context: *mut libc::c_void) {
        #[cfg(unix)]
        if stacks::ask_and_wait(context) {
            return;
        }
        let _ = context;
        self.raw(&format!(
            "\n------ STACK TRACE ------\n{}\n------ STACK TRACE DONE ------\n",
            Backtrace::force_capture()
        ));
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
        #[cfg(all(
            target_os = "linux",
            any(target_arch = "x86_64", target_arch = "aarch64")
        ))]
        if let Some(log) = self.log
            && TEST_MEMORY.load(SeqCst)
        {
            set_patience();
            memtest::run(log);
        }
        self.raw(END);
    }
}

#[cfg(unix)]
const FATAL: [libc::c_int; 7] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGABRT,
    libc::SIGTRAP,
    // A system call that a sandbox (SystemCallFilter of systemd) does not allow.
    libc::SIGSYS,
];

/// Room on which this thread's handler of fatal signals runs, until it is dropped: the thread's own stack may be what ran
/// out. The standard library gives a thread some room of that kind, too little for a report. Memory of its own with a page
/// before it that cannot be written, so that nothing runs into it.
#[derive(Debug)]
pub struct SpareStack {
    #[cfg(unix)]
    mapping: Option<NonNull<libc::c_void>>,
    /// The room belongs to one thread.
    _thread: std::marker::PhantomData<*const ()>,
}

/// More than the largest page there is.
#[cfg(unix)]
const GUARD: usize = 64 * 1024;

impl SpareStack {
    /// Maps the stack. Where crashes are not reported the value is empty, for no handler will need it. O(1).
    pub fn new() -> SpareStack {
        #[cfg(unix)]
        let mapping = LOG.get().and_then(|_| map_stack());
        SpareStack {
            #[cfg(unix)]
            mapping,
            _thread: std::marker::PhantomData,
        }
    }
}

impl Default for SpareStack {
    fn default() -> Self {
        SpareStack::new()
    }
}

#[cfg(unix)]
fn map_stack() -> Option<NonNull<libc::c_void>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: asks for fresh memory, then takes the rights from its first part; nobody has seen it yet.
    let mapping = unsafe {
        let mapping = libc::mmap(ptr::null_mut(), GUARD + STACK, protection, flags, -1, 0);
        if mapping == libc::MAP_FAILED {
            return None;
        }
        libc::mprotect(mapping, GUARD, libc::PROT_NONE);
        mapping
    };
    let stack = libc::stack_t {
        ss_sp: mapping.wrapping_byte_add(GUARD),
        ss_flags: 0,
        ss_size: STACK,
    };
    // SAFETY: memory that lives until `SpareStack` is dropped, which takes it back first, and is used for nothing else.
    unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) };
    NonNull::new(mapping)
}

#[cfg(unix)]
impl Drop for SpareStack {
    fn drop(&mut self) {
        let Some(mapping) = self.mapping else {
            return;
        };
        let none = libc::stack_t {
            ss_sp: ptr::null_mut(),
            ss_flags: libc::SS_DISABLE,
            ss_size: STACK,
        };
        // SAFETY: this thread's own room (the type does not leave its thread), no longer in use once it is disabled.
        unsafe {
            libc::sigaltstack(&raw const none, ptr::null_mut());
            libc::munmap(mapping.as_ptr(), GUARD + STACK);
        }
    }
}

#[cfg(unix)]
type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);

#[cfg(unix)]
fn handle(signal: libc::c_int) {
    let handler: Handler = match signal {
        libc::SIGALRM => alarmed,
        #[cfg(target_os = "linux")]
        libc::SIGUSR2 => stacks::asked,
        _ => crashed,
    };
    handle_with(signal, handler);
}

#[cfg(unix)]
fn handle_with(signal: libc::c_int, handler: Handler) {
    // SAFETY: the structure is zeroed, which is a valid empty one. Each handler says itself what it may do.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        libc::sigemptyset(&raw mut action.sa_mask);
        if !FATAL.contains(&signal) {
            // After these the thread goes on. Its own stack has more room than the spare ones of most threads.
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        }
        libc::sigaction(signal, &raw const action, ptr::null_mut());
    }
}

#[cfg(unix)]
fn default_action(signal: libc::c_int) {
    // SAFETY: no preconditions.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// A fatal signal. This thread never goes on, so it may do what a handler otherwise must not (allocate, lock); where
/// that fails, a second fault or the end of [`PATIENCE`] has the short report written.
#[cfg(unix)]
extern "C" fn crashed(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    if REPORTING.swap(true, SeqCst) {
        interrupted("it crashed itself, so the memory it reads is broken");
    }
    // SAFETY: the kernel hands a valid structure, or none.
    let info = unsafe { info.as_ref() };
    let code = info.map_or(0, |info| info.si_code);
    let place = machine::place(context);
    // The facts of the short report are noted first, before anything that may fault.
    // SAFETY: the field of a signal without an address holds something else, which nobody reads then.
    let address = info.map_or(0, |info| unsafe { info.si_addr() } as usize);
    plain::note_signal(signal, code, address, place.map_or(0, |p| p.instruction));
    begin_patience();
    stacks::note_crash(context);
    let mut report = Report::begin();
    let version = crate::REDIS_VERSION;
    report.line(&format!(
        "Redis {version} crashed by signal: {signal}, si_code: {code}"
    ));
    if let Some(info) = info {
        if matches!(signal, libc::SIGSEGV | libc::SIGBUS) {
            report.line(&format!("Accessing address: {address:#x}"));
        }
        if code <= 0 {
            // SAFETY: a signal sent by a process comes with its sender.
            let (pid, uid) = unsafe { (info.si_pid(), info.si_uid()) };
            report.line(&format!("Killed by PID: {pid}, UID: {uid}"));
        }
    }
    if let Some(place) = place {
        report.line(&format!(
            "Crashed running the instruction at: {:#x}",
            place.instruction
        ));
    }
    report.stack(context);
    let registers = machine::registers(context);
    report.raw(&format!("\n------ REGISTERS ------\n{registers}"));
    match HIDE_USER_DATA.load(SeqCst) {
        true => report.line(
            "hide-user-data-from-log is on, skip logging stack content to avoid spilling PII",
        ),
        false => report.raw(&place.map_or_else(String::new, |p| machine::stack_content(p.stack))),
    }
    report.end();
    die(signal);
}

/// The watchdog's alarm, or one from outside. This thread goes on.
#[cfg(unix)]
#[doc(alias = "watchdogSignalHandler")]
extern "C" fn alarmed(_: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel hands a valid structure, or none; the field is 0 for a timer's alarm.
    let sender = unsafe { info.as_ref().map_or(0, |info| info.si_pid()) };
    let cause = match sender {
        0 => stacks::Cause::Watchdog,
        _ => stacks::Cause::Alarm,
    };
    keeping_errno(|| stacks::ask(cause, context));
}

/// Runs `f` and restores `errno` afterwards: the interrupted code may be about to look at its own error.
#[cfg(unix)]
fn keeping_errno<T>(f: impl FnOnce() -> T) -> T {
    #[cfg(target_os = "linux")]
    // SAFETY: the address of this thread's own variable, which lives as long as the thread.
    let errno = unsafe { libc::__errno_location() };
    #[cfg(not(target_os = "linux"))]
    let errno = &raw mut { 0 };
    // SAFETY: see above.
    let before = unsafe { errno.read() };
    let result = f();
    // SAFETY: see above.
    unsafe { errno.write(before) };
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Words(&'static str);

    impl Request for Words {
        fn describe(&self, sign: &str, hide: bool, out: &mut String) {
            out.push_str(sign);
            out.push_str(if hide { "*" } else { self.0 });
        }
    }

    /// How the process of [`child`] ends.
    const KIND: &str = "OXIDIS_TEST_CRASH";
    const LOG_FILE: &str = "OXIDIS_TEST_CRASH_LOG";

    /// Not a test of its own: the process that crashes for [`a_report_whatever_ends_the_process`].
    #[test]
    fn child() {
        let (Ok(kind), Ok(file)) = (std::env::var(KIND), std::env::var(LOG_FILE)) else {
            return;
        };
        // Before the log's own memory, so that what writes past it meets the log.
        let block = Box::new([0u8; 64]);
        let log = Logger::new(crate::sys::log::Target::File(file.into()));
        install(&log, true);
        match &*kind {
            // SAFETY: none; C code that ends the process is what is tried.
            "abort" => unsafe { libc::abort() },
            // SAFETY: none: the allocator gave no block at this place, and notices.
            "free" => unsafe { libc::free(block.as_ptr().wrapping_add(8).cast_mut().cast()) },
            // SAFETY: none: everything behind a block is written over, as by the stack of Lua in CVE-2025-46817.
            "heap" => unsafe {
                libc::memset(block.as_ptr().cast_mut().cast(), 0x5a, 1 << 40);
            },
            // SAFETY: none: C code reads nothing.
            "fault" => unsafe {
                libc::strlen(ptr::without_provenance(8));
            },
            "exit" => std::process::exit(3),
            "overflow" => assert_eq!(overflow(1), 0),
            "overflow of a thread" => {
                let run = || {
                    let _spare = SpareStack::new();
                    overflow(1)
                };
                let _ = std::thread::spawn(run).join();
            }
            "panic of a thread" => {
                let _ = std::thread::spawn(|| panic!("nobody expects it")).join();
            }
            kind => unreachable!("{kind}"),
        }
    }

    #[expect(unconditional_recursion)]
    fn overflow(n: u64) -> u64 {
        let room = std::hint::black_box([n; 512]);
        overflow(room[7] + 1) + room[9]
    }

    /// CVE-2025-46817: C code wrote past its memory, and the process went without a word in the log.
    #[cfg(target_os = "linux")]
    #[cfg_attr(miri, ignore)]
    #[test]
    fn a_report_whatever_ends_the_process() {
        use std::os::unix::process::ExitStatusExt;
        let cases = [
            ("abort", libc::SIGABRT, "crashed by signal: 6"),
            ("free", libc::SIGABRT, "crashed by signal: 6"),
            ("heap", libc::SIGSEGV, "crashed by signal: 11"),
            ("fault", libc::SIGSEGV, "Accessing address: 0x8"),
            ("overflow", libc::SIGSEGV, "crashed by signal: 11"),
            (
                "overflow of a thread",
                libc::SIGSEGV,
                "crashed by signal: 11",
            ),
            ("panic of a thread", libc::SIGABRT, "nobody expects it"),
            ("exit", 0, "exit()"),
        ];
        let ended = |kind: &str| {
            let file = std::env::temp_dir().join(format!(
                "oxidis-crash-{}-{}",
                std::process::id(),
                kind.replace(' ', "-")
            ));
            let _ = std::fs::remove_file(&file);
            let status = std::process::Command::new(std::env::current_exe().expect("a path"))
                .args(["--exact", "sys::crash::tests::child", "--nocapture"])
                .env(KIND, kind)
                .env(LOG_FILE, &file)
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .status()
                .expect("it starts");
            let log = std::fs::read_to_string(&file).unwrap_or_default();
            let _ = std::fs::remove_file(&file);
            (status, log)
        };
        for (kind, signal, words) in cases {
            let (mut status, mut log) = ended(kind);
            // The system decides what lies behind the block. In one run of six the handler itself is written over, and
            // nobody could write a report.
            for _ in 0..4 {
                if kind != "heap" || !log.is_empty() {
                    break;
                }
                (status, log) = ended(kind);
            }
            assert_eq!(status.signal().unwrap_or(0), signal, "{kind}: {log}");
            assert!(log.contains(words), "{kind}: no {words} in\n{log}");
            if signal != 0 {
                let count = |part: &str| log.matches(part).count();
                assert!(count("BUG REPORT START") >= 1, "{kind}: {log}");
                assert_eq!(count("BUG REPORT END"), 1, "{kind}: {log}");
            }
        }
    }

    #[test]
    fn a_request_is_known_while_it_runs_and_the_outer_one_after() {
        let described = |hide| {
            let mut text = String::new();
            describe_request("", hide, &mut text);
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
}
