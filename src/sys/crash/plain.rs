//! The report of last resort: the few lines that can be written when the heap is broken or a lock is never given back.
//!
//! ```text
//!   the crash ──► facts into statics ──► the full report: log, names, INFO ──► END
//!                                            │ a fault of its own, or no end in sight
//!                                            ▼
//!                                        this file: signal, address, stack as numbers ──► END
//! ```
//!
//! C code that writes past its memory may have written over the log's own fields, the names of threads and the
//! allocator's lists. The full report needs all of them. This one reads variables of the program image only, formats
//! into a buffer on the stack and writes with `open` and `write`.
//!
//! Invariant: nothing here allocates, locks or calls into the log. All of it is async-signal-safe.
//!
//! Mirrors: nothing of debug.c; there, a fault of the report itself ends the process without a word.
//!
//! Unsafe: system calls.

use std::io::{Cursor, Write};
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicU8, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};

use super::stacks;

/// The longest path of a log file that is kept, its end included.
const PATH_MAX: usize = 4096;

/// Where lines go.
const NOWHERE: u8 = 0;
const STDOUT: u8 = 1;
const FILE: u8 = 2;

static TARGET: AtomicU8 = AtomicU8::new(NOWHERE);
static PATH: [AtomicU8; PATH_MAX] = [const { AtomicU8::new(0) }; PATH_MAX];
static SIGNAL: AtomicI32 = AtomicI32::new(0);
static CODE: AtomicI32 = AtomicI32::new(0);
static ADDRESS: AtomicUsize = AtomicUsize::new(0);
static INSTRUCTION: AtomicUsize = AtomicUsize::new(0);
/// This report began; it has no other to fall back on.
static USED: AtomicBool = AtomicBool::new(false);

/// Remembers where the log goes: a file, or the standard output when there is none.
pub(super) fn remember_target(file: Option<&std::path::Path>) {
    let Some(file) = file else {
        return TARGET.store(STDOUT, SeqCst);
    };
    let bytes = file.as_os_str().as_encoded_bytes();
    if bytes.len() < PATH_MAX {
        for (kept, byte) in PATH.iter().zip(bytes) {
            kept.store(*byte, Relaxed);
        }
        TARGET.store(FILE, SeqCst);
    }
}

/// Remembers the facts of a signal, before anything that may fault.
pub(super) fn note_signal(signal: i32, code: i32, address: usize, instruction: usize) {
    SIGNAL.store(signal, SeqCst);
    CODE.store(code, SeqCst);
    ADDRESS.store(address, SeqCst);
    INSTRUCTION.store(instruction, SeqCst);
}

/// The signal noted; SIGABRT when there was none, after a panic.
pub(super) fn signal() -> i32 {
    match SIGNAL.load(SeqCst) {
        0 => libc::SIGABRT,
        signal => signal,
    }
}

/// Writes the report that can always be written, once. `why`: what kept the full one from its end. It begins anew: a log
/// whose fields were written over may have lost the beginning of the full one.
pub(super) fn report(why: &str) {
    if USED.swap(true, SeqCst) {
        return;
    }
    let Some(out) = Output::open() else {
        return;
    };
    out.say(format_args!(
        "\n\n=== REDIS BUG REPORT START: Cut & paste starting from here ===\n"
    ));
    let version = crate::REDIS_VERSION;
    match SIGNAL.load(SeqCst) {
        0 => out.say(format_args!(
            "Redis {version} ended by a failed assertion\n"
        )),
        signal => {
            let code = CODE.load(SeqCst);
            out.say(format_args!(
                "Redis {version} crashed by signal: {signal}, si_code: {code}\n"
            ));
            if matches!(signal, libc::SIGSEGV | libc::SIGBUS) {
                let address = ADDRESS.load(SeqCst);
                out.say(format_args!("Accessing address: {address:#x}\n"));
            }
            let instruction = INSTRUCTION.load(SeqCst);
            out.say(format_args!(
                "Crashed running the instruction at: {instruction:#x}\n"
            ));
        }
    }
    out.say(format_args!(
        "The full report could not be written: {why}.\n"
    ));
    out.say(format_args!("\n------ STACK TRACE ------\n"));
    stacks::each_crashed_frame(|frame| out.frame(frame));
    out.say(format_args!("------ STACK TRACE DONE ------\n"));
    out.say(format_args!("{}", super::END));
}

/// One line about an end that no signal tells of.
pub(super) fn remark(text: &str) {
    if let Some(out) = Output::open() {
        let pid = std::process::id();
        out.say(format_args!("{pid}:M # {text}\n"));
    }
}

/// A descriptor to write to; closed when dropped if it was opened here.
struct Output {
    descriptor: i32,
    opened: bool,
}

impl Output {
    fn open() -> Option<Output> {
        match TARGET.load(SeqCst) {
            NOWHERE => None,
            STDOUT => Some(Output {
                descriptor: libc::STDOUT_FILENO,
                opened: false,
            }),
            _ => {
                let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_CLOEXEC;
                // SAFETY: the path ends with a zero: `remember_target` leaves room for one. AtomicU8 is laid out as u8.
                let descriptor = unsafe { libc::open(PATH.as_ptr().cast(), flags, 0o644) };
                (descriptor >= 0).then_some(Output {
                    descriptor,
                    opened: true,
                })
            }
        }
    }

    /// A line that is longer than the buffer is cut.
    fn say(&self, text: std::fmt::Arguments<'_>) {
        let mut line = Cursor::new([0u8; 512]);
        let _ = line.write_fmt(text);
        self.write(&line.get_ref()[..line.position() as usize]);
    }

    fn write(&self, bytes: &[u8]) {
        // SAFETY: bytes of a live slice. There is nobody to tell when it fails.
        unsafe { libc::write(self.descriptor, bytes.as_ptr().cast(), bytes.len()) };
    }

    /// The file of the program or library, the place in it, and the address: what `addr2line -e file +0x…` reads.
    fn frame(&self, address: usize) {
        let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
        // SAFETY: the structure is filled when the answer is not 0; all zeroes are valid, too.
        let (found, info) = unsafe {
            let found = libc::dladdr(std::ptr::without_provenance(address), info.as_mut_ptr());
            (found, info.assume_init())
        };
        if found != 0 && !info.dli_fname.is_null() {
            // SAFETY: the loader's own text, which ends with a zero.
            let name = unsafe { std::ffi::CStr::from_ptr(info.dli_fname) };
            self.write(name.to_bytes());
            let offset = address.wrapping_sub(info.dli_fbase as usize);
            self.say(format_args!("(+{offset:#x}) "));
        }
        self.say(format_args!("[{address:#x}]\n"));
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.opened {
            // SAFETY: opened here, and used by nobody else.
            unsafe { libc::close(self.descriptor) };
        }
    }
}
