//! Is the memory of the machine to blame? A look at what the process holds, between its crash and its end.
//!
//! ```text
//!   stop the other threads ─► each page that is in memory: keep ─► fill, flush, compare ─► put back
//! ```
//!
//! A page is filled three times, flushed out of the caches each time and read back, so that it is the memory that
//! answers. Its old content is put back, so that a core dump is not spoilt. Pages that are not in memory are left
//! alone, as testing them would make the process grow; so are files, the stack and the variables this test runs on,
//! and, when [`BUDGET`] is used up, the rest.
//!
//! Invariant: while a page is away nothing else runs. The other threads are stopped for good, signals wait, and in
//! between this thread uses its registers, its own stack and [`KEPT`] only.
//!
//! Mirrors: memtest_test_linux_anonymous_maps() of debug.c, memtest_preserving_test() of memtest.c, doFastMemoryTest().
//! Differs: a page at a time, past the caches, in bounded time. Linux on x86-64 and ARM64 only.
//!
//! Unsafe: it writes over memory of everybody.

use std::fs::File;
use std::io::{Cursor, Read, Write};
use std::ops::Range;
use std::os::fd::AsFd;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::stacks;
use crate::sys::log::{Level, Logger};

/// A test takes no longer; some gigabytes.
const BUDGET: Duration = Duration::from_secs(10);
/// The least page there is. A larger one is several of them.
const PAGE: usize = 4096;
const WORDS: usize = PAGE / size_of::<u64>();
/// Pages of which the system is asked at once whether they are in memory.
const ASKED: usize = 128;
/// Around a thread's control block lies what the kernel writes to by itself.
const THREAD_BYTES: usize = 64 << 10;
/// Bytes of the system's list of mappings that are read, and mappings tested.
const LIST: usize = 1 << 20;
const REGIONS: usize = 4096;

/// Each bit is set and cleared; with its address mixed in, a word read from the wrong place is noticed.
const PATTERNS: [u64; 3] = [0, u64::MAX, 0x5555_5555_5555_5555];

#[repr(align(4096))]
struct Kept([AtomicU64; WORDS]);

/// The old content of the page that is being tested.
static KEPT: Kept = Kept([const { AtomicU64::new(0) }; WORDS]);

/// Tests the memory and writes what came of it. The other threads never go on afterwards.
#[doc(alias = "doFastMemoryTest")]
pub(super) fn run(log: &Logger) {
    // A stopped thread may hold any lock, so everything that allocates or locks is done before threads are stopped.
    let (Some(out), Ok(maps)) = (Output::of(log), File::open("/proc/self/maps")) else {
        return;
    };
    let mut list = Vec::with_capacity(LIST);
    let mut regions = Vec::with_capacity(REGIONS);
    out.say(format_args!("\n------ FAST MEMORY TEST ------\n"));
    if !stacks::freeze() {
        out.say(format_args!("Not done: a thread could not be stopped.\n"));
        return;
    }
    hold_signals();
    // Within the room there is.
    let _ = maps.take(LIST as u64 - 1).read_to_end(&mut list);
    find_regions(&list, &mut regions);
    let start = Instant::now();
    let (mut tested, mut wrong, mut in_time) = (0, 0, true);
    for region in &regions {
        if !in_time {
            break;
        }
        let bytes = region.len();
        let from = region.start;
        out.say(format_args!(
            "Preparing to test memory region {from:x} ({bytes} bytes)\n"
        ));
        let mut at = region.start;
        while at < region.end && in_time {
            let upto = region.end.min(at + ASKED * PAGE);
            let (pages, words) = test(at..upto);
            (tested, wrong) = (tested + pages, wrong + words);
            at = upto;
            in_time = start.elapsed() < BUDGET;
        }
    }
    let bytes = tested * PAGE;
    if !in_time {
        let seconds = BUDGET.as_secs();
        out.say(format_args!(
            "The rest is left out after {seconds} seconds.\n"
        ));
    }
    match wrong {
        0 => out.say(format_args!(
            "Fast memory test PASSED: no error in {bytes} bytes. A test of hours may still find one.\n"
        )),
        _ => out.say(format_args!(
            "Fast memory test FAILED: {wrong} wrong words in {bytes} bytes. Do not trust this machine.\n"
        )),
    }
}

/// Where the log goes, without its lock.
struct Output(File);

impl Output {
    fn of(log: &Logger) -> Option<Output> {
        if !log.enabled(Level::Warning) {
            return None;
        }
        let file = match log.file() {
            Some(path) => File::options().append(true).open(path).ok()?,
            None => std::io::stdout().as_fd().try_clone_to_owned().ok()?.into(),
        };
        Some(Output(file))
    }

    fn say(&self, text: std::fmt::Arguments<'_>) {
        let mut line = Cursor::new([0; 160]);
        // A line that is longer is cut.
        let _ = line.write_fmt(text);
        let len = line.position() as usize;
        let _ = (&self.0).write_all(&line.get_ref()[..len]);
    }
}

/// Blocks every signal except SIGALRM, which ends the process when the report takes too long.
fn hold_signals() {
    // SAFETY: a set of its own, filled before it is used.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        libc::sigdelset(&raw mut set, libc::SIGALRM);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut());
    }
}

/// The writable memory that belongs to this process alone, from the system's list, without what the test needs.
fn find_regions(list: &[u8], regions: &mut Vec<Range<usize>>) {
    let here = 0u8;
    let here = &raw const here as usize;
    let kept = &raw const KEPT as usize;
    // SAFETY: no preconditions.
    let thread = unsafe { libc::pthread_self() } as usize;
    let spare = spare_stack();
    let without = [
        kept..kept + PAGE,
        thread.saturating_sub(THREAD_BYTES)..thread + THREAD_BYTES,
        spare.clone(),
    ];
    for line in list.split(|byte| *byte == b'\n') {
        if let Some(region) = anonymous(line)
            // This very stack.
            && (spare.contains(&here) || !region.contains(&here))
        {
            leave_out(region, &without, regions);
        }
    }
}

/// The range of a line, if it is written to, private, and no file nor anything of the system's own.
fn anonymous(line: &[u8]) -> Option<Range<usize>> {
    let line = str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    let (from, upto) = words.next()?.split_once('-')?;
    let private = words.next()? == "rw-p";
    let name = words.nth(3).unwrap_or("[heap]");
    if !private || !(name == "[heap]" || name.starts_with("[anon")) {
        return None;
    }
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some(number(from)?..number(upto)?)
}

/// Adds what is left of a region, in whole pages, as far as there is room.
fn leave_out(region: Range<usize>, without: &[Range<usize>], regions: &mut Vec<Range<usize>>) {
    let mut add = |part: Range<usize>| {
        if !part.is_empty() && regions.len() < regions.capacity() {
            regions.push(part);
        }
    };
    let mut from = region.start;
    while from < region.end {
        // The next range in the way.
        let next = without
            .iter()
            .filter(|range| !range.is_empty() && range.end > from && range.start < region.end)
            .min_by_key(|range| range.start);
        let Some(next) = next else {
            return add(from..region.end);
        };
        add(from..next.start / PAGE * PAGE);
        from = next.end.next_multiple_of(PAGE);
    }
}

/// Where signals are handled on this thread.
fn spare_stack() -> Range<usize> {
    // SAFETY: the structure is only written to.
    let stack = unsafe {
        let mut stack: libc::stack_t = std::mem::zeroed();
        libc::sigaltstack(ptr::null(), &raw mut stack);
        stack
    };
    let from = stack.ss_sp as usize;
    from..from + stack.ss_size
}

/// Tests what is in memory of at most [`ASKED`] pages; returns how many pages that were, and how many wrong words.
fn test(range: Range<usize>) -> (usize, usize) {
    let mut resident = [0u8; ASKED];
    let from: *mut u64 = ptr::with_exposed_provenance_mut(range.start);
    // SAFETY: room for as many pages as a range has. A range that is not mapped is an error, and so is one that
    // does not begin with a page of the system's.
    let known = unsafe { libc::mincore(from.cast(), range.len(), resident.as_mut_ptr()) } == 0;
    let (mut pages, mut wrong) = (0, 0);
    // The system counts in its own pages, which may be larger.
    let system_page = crate::sys::process::page_bytes().max(PAGE);
    for page in range.step_by(PAGE) {
        let index = (page - from.addr()) / system_page;
        if known && resident[index] & 1 != 0 {
            // SAFETY: mapped and writable, in memory, and by the invariant nobody else's meanwhile.
            wrong += unsafe { test_page(ptr::with_exposed_provenance_mut(page)) };
            pages += 1;
        }
    }
    (pages, wrong)
}

/// # Safety
/// [`WORDS`] words that may be written, which nobody uses meanwhile.
#[doc(alias = "memtest_preserving_test")]
unsafe fn test_page(page: *mut u64) -> usize {
    let mut wrong = 0;
    // SAFETY: within the page; see above.
    unsafe {
        for (i, kept) in KEPT.0.iter().enumerate() {
            kept.store(page.add(i).read_volatile(), Relaxed);
        }
        for pattern in PATTERNS {
            let word = |i: usize| pattern ^ page.add(i).addr() as u64;
            for i in 0..WORDS {
                page.add(i).write_volatile(word(i));
            }
            flush(page);
            for i in 0..WORDS {
                wrong += usize::from(page.add(i).read_volatile() != word(i));
            }
        }
        for (i, kept) in KEPT.0.iter().enumerate() {
            page.add(i).write_volatile(kept.load(Relaxed));
        }
        flush(page);
        for (i, kept) in KEPT.0.iter().enumerate() {
            wrong += usize::from(page.add(i).read_volatile() != kept.load(Relaxed));
        }
    }
    wrong
}

/// Has the caches give the page back to the memory.
///
/// # Safety
/// [`WORDS`] words that may be read.
unsafe fn flush(page: *mut u64) {
    // Lines of a cache have 64 bytes; where they are longer, one is flushed twice.
    for i in (0..WORDS).step_by(8) {
        // SAFETY: an address within the page; nothing is changed.
        unsafe {
            let line = page.add(i);
            #[cfg(target_arch = "x86_64")]
            core::arch::x86_64::_mm_clflush(line.cast());
            #[cfg(target_arch = "aarch64")]
            core::arch::asm!("dc civac, {}", in(reg) line, options(nostack, preserves_flags));
        }
    }
    // SAFETY: no preconditions.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::x86_64::_mm_mfence();
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!("dsb sy", options(nostack, preserves_flags));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_as_it_was() {
        let mut pages = vec![0u64; 2 * WORDS];
        for (i, word) in pages.iter_mut().enumerate() {
            *word = i as u64;
        }
        // SAFETY: the first half of a vector of our own; any alignment of a word will do.
        assert_eq!(unsafe { test_page(pages.as_mut_ptr()) }, 0);
        assert!(pages.iter().enumerate().all(|(i, word)| *word == i as u64));
    }

    #[test]
    fn only_memory_of_its_own_is_tested() {
        for (line, range) in [
            ("1000-3000 rw-p 00000000 00:00 0 ", Some(0x1000..0x3000)),
            (
                "1000-3000 rw-p 00000000 00:00 0   [heap]",
                Some(0x1000..0x3000),
            ),
            ("1000-3000 rw-p 00000000 00:00 0   [stack]", None),
            ("1000-3000 r--p 00000000 00:00 0 ", None),
            ("1000-3000 rw-s 00000000 00:00 0 ", None),
            ("1000-3000 rw-p 00000000 08:01 77  /lib/libc.so.6", None),
            ("", None),
        ] {
            assert_eq!(anonymous(line.as_bytes()), range, "{line}");
        }
    }

    #[test]
    fn ranges_are_left_out() {
        let check = |without: &[(usize, usize)], left: &[(usize, usize)]| {
            let without: Vec<_> = without.iter().map(|(from, upto)| *from..*upto).collect();
            let mut regions = Vec::with_capacity(10);
            leave_out(0x10000..0x20000, &without, &mut regions);
            let regions: Vec<_> = regions.iter().map(|r| (r.start, r.end)).collect();
            assert_eq!(regions, left, "without {without:x?}");
        };
        check(&[], &[(0x10000, 0x20000)]);
        check(&[(0, 0)], &[(0x10000, 0x20000)]);
        check(
            &[(0x18010, 0x18020), (0x12000, 0x13000)],
            &[(0x10000, 0x12000), (0x13000, 0x18000), (0x19000, 0x20000)],
        );
        check(&[(0, 0x11001)], &[(0x12000, 0x20000)]);
        check(&[(0, usize::MAX / 2)], &[]);
        check(&[(0x1f001, 0x30000)], &[(0x10000, 0x1f000)]);
    }
}
