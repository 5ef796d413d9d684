//! Builds the interpreter of scripts: LuaJIT, without what a server must not run.
//!
//! `luajit-src` has the sources and knows how to build them, but not how to leave parts out. LuaJIT's makefile
//! takes options from the environment, and a makefile that is read before it calls this program again to
//! change one line of the parser, in the copy that is built. `docs/decisions/interpreter.md` says why.

use std::path::PathBuf;
use std::{env, fs};

/// No machine code is made at run time, so that the hook that ends a script is never passed by; no foreign
/// functions, whose literals (`1LL`) the parser would otherwise know; no buffers; errors leave C as by `longjmp`,
/// without asking the unwinder. Strings are numbered as they are made, not from random numbers on: the order of
/// a table's fields is the same in every process that runs the same scripts.
const OPTIONS: &str = "-O2 -fomit-frame-pointer -w -DLUAJIT_DISABLE_JIT -DLUAJIT_DISABLE_FFI \
                       -DLUAJIT_DISABLE_BUFFER -DLUAJIT_DISABLE_PROFILE -DLUAJIT_NO_UNWIND \
                       -DLUAJIT_SECURITY_STRID=0";

/// Where the parser decides whether `return f(x)` is a tail call.
const DECISION: &str = "if (bc_op(*ip) == BC_VARG) goto notailcall;";
const DECIDED: &str = "if (bc_op(*ip) == BC_VARG || keeps_frame(fs, e.u.s.info)) goto notailcall;";

/// The function that contains it.
const FUNCTION: &str = "static void parse_return(LexState *ls, int eflags)\n{";

/// A call of a function of the library keeps the caller's frame, as it does in Lua 5.1: errors are placed by
/// it. Such a function is a global, or a field of one: what scripts define is neither. The frame of the whole
/// chunk is kept always.
const KEEPS_FRAME: &str = "
static int keeps_frame(FuncState *fs, BCPos pc)
{
  BCReg callee = bc_a(fs->bcbase[pc].ins);
  if (fs->prev == NULL) return 1;
  while (pc-- > 1) {
    BCIns ins = fs->bcbase[pc].ins;
    BCMode mode = bcmode_a(bc_op(ins));
    if (bc_a(ins) != callee || (mode != BCMdst && mode != BCMbase)) continue;
    if (bc_op(ins) == BC_TGETS && bc_b(ins) == callee) continue;
    return bc_op(ins) == BC_GGET;
  }
  return 0;
}

";

fn main() {
    if let Some(parser) = env::args().nth(1) {
        return change(&parser);
    }
    println!("cargo:rerun-if-changed=build.rs");
    let itself = env::current_exe().expect("the program that runs");
    let makefile = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo")).join("before.mk");
    let text = format!(
        "ifneq (changed,$(shell '{}' lj_parse.c))\n$(error the parser of LuaJIT is not the one that build.rs knows)\nendif\n",
        itself.display()
    );
    fs::write(&makefile, text).expect("the directory of the build can be written to");
    // SAFETY: this program has one thread.
    unsafe {
        env::set_var("CCOPT", OPTIONS);
        env::set_var("MAKEFILES", &makefile);
    }
    let built = luajit_src::Build::new().build();
    println!(
        "cargo:rustc-link-search=native={}",
        built.lib_dir().display()
    );
    for library in built.libs() {
        // Whole, because the crate that uses it, mlua-sys, comes after this one when the linker looks for names.
        println!("cargo:rustc-link-lib=static:+whole-archive={library}");
    }
}

/// Changes the parser, once, and says so.
fn change(parser: &str) {
    let text = fs::read_to_string(parser).expect("make runs where the parser is");
    if !text.contains(DECIDED) {
        let counts = [
            text.matches(DECISION).count(),
            text.matches(FUNCTION).count(),
        ];
        assert_eq!(counts, [1, 1], "{parser}");
        let text = text.replace(DECISION, DECIDED);
        let text = text.replace(FUNCTION, &format!("{}{FUNCTION}", KEEPS_FRAME.trim_start()));
        fs::write(parser, text).expect("a copy of the sources");
    }
    println!("changed");
}
