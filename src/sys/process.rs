//! Facts the system knows about the process and about itself: memory, processor time, names.
//!
//! Mirrors: zmalloc_get_rss(), zmalloc_get_memory_size() (zmalloc.c) and the getrusage() calls of
//! INFO in server.c.
#![allow(unsafe_code)] // sysconf, getrusage and uname are system calls.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Processor time in the kernel and outside of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTime {
    /// In the kernel.
    pub system: Duration,
    /// Outside of it.
    pub user: Duration,
}

/// Whose processor time is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// All threads of the process.
    Process,
    /// Processes it started that have ended.
    Children,
    /// The thread that asks.
    Thread,
}

/// Processor time used so far. `None` where the system does not tell.
pub fn cpu_time(whose: Whose) -> Option<CpuTime> {
    let who = match whose {
        Whose::Process => libc::RUSAGE_SELF,
        Whose::Children => libc::RUSAGE_CHILDREN,
        #[cfg(any(target_os = "linux", target_os = "freebsd"))]
        Whose::Thread => libc::RUSAGE_THREAD,
        #[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
        Whose::Thread => return None,
    };
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to a value of the right type, which the call fills.
    if unsafe { libc::getrusage(who, usage.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: all zeroes are a valid `rusage`, and the call succeeded.
    let usage = unsafe { usage.assume_init() };
    let duration = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
    };
    Some(CpuTime {
        system: duration(usage.ru_stime),
        user: duration(usage.ru_utime),
    })
}

/// Has the calling thread stand back where there are fewer processors than threads that want one. Where the system
/// gives threads no priority of their own, nothing happens.
pub fn stand_back() {
    // A third of the weight of a thread that does not: a save goes on, and whoever serves clients goes first.
    #[cfg(target_os = "linux")]
    const NICE: libc::c_int = 5;
    #[cfg(target_os = "linux")]
    // SAFETY: numbers only. On Linux 0 is the calling thread, not the process.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, NICE);
    }
}

/// A meter of the memory of this process. It keeps the system's file open, so that a reading is one system call.
#[derive(Debug, Default)]
pub struct ResidentMeter {
    /// `/proc/self/statm`, once it was asked for.
    file: Option<std::fs::File>,
}

impl ResidentMeter {
    /// Bytes of the process that are in physical memory; 0 where the system does not tell.
    #[doc(alias = "zmalloc_get_rss")]
    pub fn read(&mut self) -> usize {
        #[cfg(target_os = "linux")]
        {
            use std::os::unix::fs::FileExt;
            if self.file.is_none() {
                self.file = std::fs::File::open("/proc/self/statm").ok();
            }
            let mut text = [0; 128];
            let file = self.file.as_ref();
            let len = file.and_then(|file| file.read_at(&mut text, 0).ok());
            let text = std::str::from_utf8(&text[..len.unwrap_or(0)]).unwrap_or_default();
            let pages = text.split(' ').nth(1);
            pages
                .and_then(|pages| pages.parse::<usize>().ok())
                .unwrap_or(0)
                * page_bytes()
        }
        #[cfg(not(target_os = "linux"))]
        0
    }
}

/// One reading of a [`ResidentMeter`].
pub fn resident_bytes() -> usize {
    ResidentMeter::default().read()
}

fn system_figure(name: libc::c_int) -> usize {
    // SAFETY: takes a number, returns a number.
    let figure = unsafe { libc::sysconf(name) };
    usize::try_from(figure).unwrap_or(0)
}

/// Stops this process until it gets SIGCONT.
pub fn stop_until_continued() {
    // SAFETY: no preconditions.
    unsafe { libc::raise(libc::SIGSTOP) };
}

/// Whether there is a process of this number, of whomever.
pub fn is_alive(pid: u32) -> bool {
    let Ok(pid) = libc::pid_t::try_from(pid) else {
        return false;
    };
    // SAFETY: signal 0 is sent to nobody; the call only looks.
    let found = unsafe { libc::kill(pid, 0) } == 0;
    found || std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

/// How a process that we started ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

/// Starts a program with these arguments, in our environment and in a directory, to which its path is relative. Nothing
/// that we have open is open there but the standard streams. Errors are the system's: there is no such program, or it
/// may not be run.
pub fn start(directory: &Path, path: &str, arguments: &[String]) -> io::Result<Child> {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(directory.join(path));
    command.arg0(path).args(arguments).current_dir(directory);
    command.stdin(Stdio::null()).spawn()
}

/// How a process that [`start`] started ended; none while it runs. Does not block.
pub fn ended(child: &mut Child) -> Option<Ended> {
    use std::os::unix::process::ExitStatusExt;
    match child.try_wait() {
        Ok(None) => None,
        Ok(Some(status)) => Some(match (status.code(), status.signal()) {
            (Some(code), _) => Ended::Code(code),
            (None, signal) => Ended::Signal(signal.unwrap_or(0)),
        }),
        // It cannot be waited for: somebody else has.
        Err(_) => Some(Ended::Code(0)),
    }
}

/// Whether we may run the file at this path.
pub fn is_executable(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_encoded_bytes()) else {
        return false;
    };
    // SAFETY: the pointer is to a string that ends with a zero byte and outlives the call.
    unsafe { libc::access(path.as_ptr(), libc::X_OK) == 0 }
}

/// Bytes of a page of memory.
pub fn page_bytes() -> usize {
    system_figure(libc::_SC_PAGESIZE)
}

/// Bytes of physical memory of the machine.
#[doc(alias = "zmalloc_get_memory_size")]
pub fn machine_bytes() -> usize {
    system_figure(libc::_SC_PHYS_PAGES) * page_bytes()
}

/// Name, release and hardware of the system, separated by spaces.
pub fn system_name() -> String {
    let mut names = MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: the pointer is to a value of the right type, which the call fills.
    if unsafe { libc::uname(names.as_mut_ptr()) } != 0 {
        return std::env::consts::OS.to_owned();
    }
    // SAFETY: all zeroes are a valid `utsname`, and the call succeeded.
    let names = unsafe { names.assume_init() };
    let text = |field: &[libc::c_char]| {
        let bytes = field.iter().map(|c| *c as u8).take_while(|b| *b != 0);
        String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
    };
    format!(
        "{} {} {}",
        text(&names.sysname),
        text(&names.release),
        text(&names.machine)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells() {
        assert!(machine_bytes() > 1 << 20);
        assert!(system_name().split(' ').count() >= 3);
        assert!(cpu_time(Whose::Process).is_some());
        #[cfg(target_os = "linux")]
        assert!((1 << 16..machine_bytes()).contains(&resident_bytes()));
    }
}
