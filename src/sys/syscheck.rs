//! `--check-system`: is the machine set up as a server wants it?
//!
//! Mirrors: syscheck.c, with its names and shape. Differs: what only `fork()` suffers from is no fault here, so a machine
//! that does not overcommit memory is well unless it forbids the address space that an allocator reserves.

use std::io::Write;

/// Clocks that are read without a system call.
const FAST_CLOCKS: &[&str] = &[
    "tsc",
    "kvm-clock",
    "hyperv_clocksource_tsc_page",
    "arch_sys_counter",
];

type Check = (
    &'static str,
    fn(&dyn Fn(&str) -> Option<String>) -> Option<String>,
);

const CHECKS: &[Check] = &[
    ("slow-clocksource", slow_clock),
    ("xen-clocksource", xen_clock),
    ("overcommit", overcommit),
    ("THP", huge_pages),
];

/// Looks and tells; the code to exit with: 1 when something should be changed.
#[doc(alias = "syscheckMain")]
pub fn run(out: &mut impl Write) -> i32 {
    judge(out, &|path| std::fs::read_to_string(path).ok())
}

fn judge(out: &mut impl Write, read: &dyn Fn(&str) -> Option<String>) -> i32 {
    let mut code = 0;
    for (name, check) in CHECKS {
        // There is nobody to tell when the terminal is gone.
        let _ = match check(read) {
            None => writeln!(out, "[{name}]...OK"),
            Some(advice) => {
                code = 1;
                writeln!(out, "[{name}]...WARNING:\n{advice}")
            }
        };
    }
    code
}

fn clock(read: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let text = read("/sys/devices/system/clocksource/clocksource0/current_clocksource")?;
    Some(text.trim().to_owned())
}

fn slow_clock(read: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let clock = clock(read)?;
    let slow = !FAST_CLOCKS.contains(&&*clock) && clock != "xen";
    slow.then(|| {
        format!(
            "The clock of this machine is '{clock}', which takes a system call to read; a server reads it for every \
             command. Where the processor has a stable time stamp counter, 'tsc' is better: write it to \
             /sys/devices/system/clocksource/clocksource0/current_clocksource."
        )
    })
}

fn xen_clock(read: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    (clock(read)? == "xen").then(|| {
        "The clock of this machine is 'xen', which is slow to read. To use the processor's own, write 'tsc' to \
         /sys/devices/system/clocksource/clocksource0/current_clocksource."
            .to_owned()
    })
}

fn overcommit(read: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let strict = read("/proc/sys/vm/overcommit_memory")?.trim() == "2";
    strict.then(|| {
        "vm.overcommit_memory is 2: the system counts address space that is reserved and not used, so the server may be \
         refused memory while much is free. Set 'vm.overcommit_memory = 0' (or 1) in /etc/sysctl.conf, or run 'sysctl \
         vm.overcommit_memory=0'."
            .to_owned()
    })
}

fn huge_pages(read: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let text = read("/sys/kernel/mm/transparent_hugepage/enabled")?;
    text.contains("[always]").then(|| {
        "Transparent huge pages are on for every process. With 'disable-thp yes', the default, the server refuses them for \
         itself; to turn them off for all who do not ask, run 'echo madvise > \
         /sys/kernel/mm/transparent_hugepage/enabled'."
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_judged_by_what_it_tells() {
        let judged = |clock: &'static str, commit: &'static str, pages: &'static str| {
            let mut out = Vec::new();
            let code = judge(&mut out, &move |path| {
                let text = match path {
                    _ if path.contains("clocksource") => clock,
                    _ if path.contains("overcommit") => commit,
                    _ => pages,
                };
                (!text.is_empty()).then(|| text.to_owned())
            });
            (code, String::from_utf8(out).expect("it is text"))
        };
        let well =
            "[slow-clocksource]...OK\n[xen-clocksource]...OK\n[overcommit]...OK\n[THP]...OK\n";
        assert_eq!(
            judged("tsc\n", "0\n", "always [madvise] never\n"),
            (0, well.into())
        );
        assert_eq!(
            judged("", "", ""),
            (0, well.into()),
            "what is not told is no fault"
        );
        for (at, (clock, commit, pages)) in [
            ("hpet", "0", "[never]"),
            ("xen", "0", "[never]"),
            ("tsc", "2", "[never]"),
            ("tsc", "1", "[always] madvise never"),
        ]
        .into_iter()
        .enumerate()
        {
            let (code, text) = judged(clock, commit, pages);
            assert_eq!(code, 1, "{text}");
            let warned = format!("[{}]...WARNING:\n", CHECKS[at].0);
            assert!(text.contains(&warned), "{text}");
            assert_eq!(text.matches("WARNING").count(), 1, "{text}");
        }
    }
}
