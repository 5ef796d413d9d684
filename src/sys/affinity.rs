//! The processors that threads may run on.
//!
//! Mirrors: setcpuaffinity() of setcpuaffinity.c. Differs: a list that cannot be followed is an error with words, not
//! silence. Linux only; elsewhere every list is refused.
#![allow(unsafe_code)] // sched_setaffinity is a system call.

/// The largest number of a processor that a list may name, plus one.
#[cfg(target_os = "linux")]
const PROCESSORS: usize = libc::CPU_SETSIZE as usize;
#[cfg(not(target_os = "linux"))]
const PROCESSORS: usize = 1024;

/// Binds the calling thread, and those that it starts later, to the processors of a list such as `0-3,8` or `1-7:2`
/// (every second one from 1 to 7).
///
/// # Errors
/// The list cannot be read, or names no processor that this process may use.
pub fn set(list: &str) -> Result<(), String> {
    apply(0, &parse(list)?)
}

/// Binds the threads of this process whose names begin with `prefix`.
///
/// # Errors
/// As for [`set`].
pub fn set_for_threads(prefix: &str, list: &str) -> Result<(), String> {
    let processors = parse(list)?;
    let tasks = std::fs::read_dir("/proc/self/task").map_err(|error| error.to_string())?;
    for task in tasks.flatten() {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let number = task.file_name().to_str().and_then(|name| name.parse().ok());
        if let (true, Some(thread)) = (name.starts_with(prefix), number) {
            apply(thread, &processors)?;
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn apply(thread: i32, processors: &[usize]) -> Result<(), String> {
    // SAFETY: a set of its own, emptied before it is used; `parse` keeps the numbers below its size.
    let done = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_ZERO(&mut set);
        for processor in processors {
            libc::CPU_SET(*processor, &mut set);
        }
        libc::sched_setaffinity(thread, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    match done {
        0 => Ok(()),
        _ => Err("the system has none of these processors for this process".into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn apply(_: i32, _: &[usize]) -> Result<(), String> {
    Err("threads cannot be bound to processors on this system".into())
}

/// The numbers of a list: single ones, ranges, ranges with a stride, separated by commas.
fn parse(list: &str) -> Result<Vec<usize>, String> {
    let wrong = || format!("'{}' is no list of processors", list.escape_debug());
    let number = |text: &str| text.trim().parse::<usize>().map_err(|_| wrong());
    let mut processors = Vec::new();
    for part in list.split(',') {
        let (range, stride) = match part.split_once(':') {
            Some((range, stride)) => (range, number(stride)?),
            None => (part, 1),
        };
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(range)?, number(range)?),
        };
        if stride == 0 || first > last || last >= PROCESSORS {
            return Err(wrong());
        }
        processors.extend((first..=last).step_by(stride));
    }
    Ok(processors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_as_in_redis_conf() {
        assert_eq!(parse("0"), Ok(vec![0]));
        assert_eq!(parse("0,2,3"), Ok(vec![0, 2, 3]));
        assert_eq!(parse("1-3"), Ok(vec![1, 2, 3]));
        assert_eq!(parse("0-7:2,1"), Ok(vec![0, 2, 4, 6, 1]));
        for wrong in ["", "a", "1,", "3-1", "0-3:0", "-1", "99999999"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[cfg(target_os = "linux")]
    #[cfg_attr(miri, ignore)]
    #[test]
    fn a_thread_is_bound() {
        let allowed = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").expect("it is there");
            let line = status.lines().find(|l| l.starts_with("Cpus_allowed_list:"));
            line.and_then(|l| l.split_whitespace().last())
                .unwrap_or_default()
                .to_owned()
        };
        let bound = std::thread::spawn(move || {
            let first = allowed();
            let first = first
                .split([',', '-'])
                .next()
                .unwrap_or_default()
                .to_owned();
            (set(&first), first, allowed())
        });
        let (set, first, now) = bound.join().expect("it does not panic");
        assert_eq!(set, Ok(()));
        assert_eq!(now, first);
    }
}
