//! The context that the kernel hands to a signal handler: where the thread was, and the content of its registers.
//!
//! Mirrors: getAndSetMcontextEIP(), logRegisters() and logStackContent() of debug.c.
//!
//! Unsafe: the kernel's structure comes as a pointer.

use std::fmt::Write as _;

/// Where a thread was when a signal came.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub instruction: usize,
    pub stack: usize,
}

/// Words of the stack that a report shows.
const WORDS: usize = 16;

/// Async-signal-safe. `None`: no context, or an unknown machine.
pub(super) fn place(context: *mut libc::c_void) -> Option<Place> {
    // SAFETY: the kernel hands a context with SA_SIGINFO; others hand null.
    #[cfg(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ))]
    let machine = &unsafe { context.cast::<libc::ucontext_t>().as_ref()? }.uc_mcontext;
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    let place = Some(Place {
        instruction: machine.gregs[libc::REG_RIP as usize] as usize,
        stack: machine.gregs[libc::REG_RSP as usize] as usize,
    });
    #[cfg(all(target_os = "linux", target_arch = "aarch64"))]
    let place = Some(Place {
        instruction: machine.pc as usize,
        stack: machine.sp as usize,
    });
    #[cfg(not(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    )))]
    let place = {
        let _ = context;
        None
    };
    place
}

/// The innermost words of a stack, from its top on; as many as can be read. Read through the kernel, which says no
/// where the pointer is wild.
pub(super) fn stack_content(from: usize) -> String {
    let mut text = String::new();
    let mut words = [0; WORDS * size_of::<usize>()];
    #[cfg(target_os = "linux")]
    let len = {
        use std::os::unix::fs::FileExt;
        let memory = std::fs::File::open("/proc/self/mem");
        memory
            .and_then(|memory| memory.read_at(&mut words, from as u64))
            .unwrap_or(0)
    };
    #[cfg(not(target_os = "linux"))]
    let len = 0;
    let (words, _) = words[..len].as_chunks::<{ size_of::<usize>() }>();
    for (i, word) in words.iter().enumerate() {
        let address = from.wrapping_add(i * size_of::<usize>());
        let _ = writeln!(
            text,
            "({address:016x}) -> {:016x}",
            usize::from_ne_bytes(*word)
        );
    }
    text
}

/// The content of the registers, a line each.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(super) fn registers(context: *mut libc::c_void) -> String {
    // SAFETY: the kernel hands a context with SA_SIGINFO, or none.
    let Some(context) = (unsafe { context.cast::<libc::ucontext_t>().as_ref() }) else {
        return String::new();
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
    text
}

#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
pub(super) fn registers(context: *mut libc::c_void) -> String {
    // SAFETY: the kernel hands a context with SA_SIGINFO, or none.
    let Some(context) = (unsafe { context.cast::<libc::ucontext_t>().as_ref() }) else {
        return String::new();
    };
    let machine = &context.uc_mcontext;
    let mut text = String::new();
    for (i, value) in machine.regs.iter().enumerate() {
        let end = if i % 4 == 3 { '\n' } else { ' ' };
        let _ = write!(text, "X{i:02}:{value:016x}{end}");
    }
    let _ = writeln!(text, "SP:{:016x} PC:{:016x}", machine.sp, machine.pc);
    text
}

#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
pub(super) fn registers(_: *mut libc::c_void) -> String {
    "not known on this platform\n".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_wild_stack_pointer_is_no_fault() {
        let word = 0x0123_4567usize;
        let here = &raw const word as usize;
        assert!(stack_content(here).contains("01234567"));
        assert_eq!(stack_content(0x10), "");
        assert_eq!(stack_content(usize::MAX & !7), "");
    }
}
