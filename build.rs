//! Builds the interpreter of scripts: LuaJIT, without what a server must not run.
//!
//! `luajit-src` has the sources and knows how to build them, but not how to leave parts out. LuaJIT's makefile
//! takes options from the environment, and a makefile that is read before it calls this program again to
//! change some lines, in the copy that is built. `docs/decisions/interpreter.md` says why.

// A build script is no part of the server.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::path::PathBuf;
use std::{env, fs};

/// No machine code is made at run time, so that the hook that ends a script is never passed by; no foreign
/// functions, whose literals (`1LL`) the parser would otherwise know; no buffers; errors leave C as by `longjmp`,
/// without asking the unwinder. Strings are numbered as they are made, not from random numbers on: the order of
/// a table's fields is the same in every process that runs the same scripts.
const OPTIONS: &str = "-O2 -fomit-frame-pointer -w -DLUAJIT_DISABLE_JIT -DLUAJIT_DISABLE_FFI \
                       -DLUAJIT_DISABLE_BUFFER -DLUAJIT_DISABLE_PROFILE -DLUAJIT_NO_UNWIND \
                       -DLUAJIT_SECURITY_STRID=0";

/// A call of a function of the library keeps the caller's frame, as it does in Lua 5.1: errors are placed by
/// it. Such a function is a global, or a field of one: what scripts define is neither. The frame of the whole
/// chunk is kept always.
///
/// A hook that counts is asked about each instruction, which costs as much as many an instruction does. Here it is
/// asked about calls, returns and the turns of loops: a function that makes none ends soon. One that wants lines is
/// asked about all; a bit of its own says so, as the table of instructions is made anew when the bits change.
///
/// A global variable is written to the table that the environment holds under a name no script uses, if there is one.
/// So the environment itself, which Lua lets a chunk overwrite, is read without a detour and never written.
///
/// A field of a library is a variable too: `string.find` is read from the environment in one step, under the name
/// `"\1string.find"`, where the environment has one. To write to it is to write to the protected table, which refuses.
/// Errors call such a variable a field, by the name behind the dot.
///
/// `math.floor()` and `math.ceil()` ask whether there is an argument. On x86-64 LuaJIT does not, and reads a number that
/// an earlier script left on the stack.
const CHANGES: [(&str, &str, &str); 10] = [
    (
        "lj_parse.c",
        "if (bc_op(*ip) == BC_VARG) goto notailcall;",
        "if (bc_op(*ip) == BC_VARG || keeps_frame(fs, e.u.s.info)) goto notailcall;",
    ),
    ("lj_parse.c", "/* Parse 'return' statement. */", KEEPS_FRAME),
    (
        "lj_parse.c",
        "    ins = BCINS_AD(BC_GSET, ra, const_str(fs, var));",
        WRITES_GLOBAL,
    ),
    (
        "lj_parse.c",
        "/* Parse index expression with named field. */",
        JOINED,
    ),
    (
        "lj_parse.c",
        "  ExpDesc key;\n  expr_toanyreg(fs, v);\n  expr_str(ls, &key);",
        READS_JOINED,
    ),
    ("lj_debug.c", "\treturn \"global\";", NAMES_JOINED),
    (
        "vm_x64.dasc",
        "|  .ffunc math_ .. func",
        "|  .ffunc_1 math_ .. func",
    ),
    (
        "lj_dispatch.c",
        "  mode |= (g->hookmask & LUA_MASKCALL) ? DISPMODE_CALL : 0;",
        "  mode |= (g->hookmask & LUA_MASKLINE) ? 0x80 : 0;\n  \
         mode |= (g->hookmask & LUA_MASKCALL) ? DISPMODE_CALL : 0;",
    ),
    (
        "lj_dispatch.c",
        "(DISPMODE_PROF|DISPMODE_REC|DISPMODE_INS)) {",
        "(0x80|DISPMODE_PROF|DISPMODE_REC|DISPMODE_INS)) {",
    ),
    (
        "lj_dispatch.c",
        "\t  disp[i] = f;",
        "\t  disp[i] = (mode & 0x80) || (i >= BC_CALLM && i < BC_JMP) ? f : disp[GG_LEN_DDISP+i];",
    ),
];

const KEEPS_FRAME: &str = "/* Parse 'return' statement. */
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

const WRITES_GLOBAL: &str = "    ExpDesc keeper;
    cTValue *kept;
    expr_init(&keeper, VKSTR, 0);
    keeper.u.sval = lj_parse_keepstr(fs->ls, \"\\1globals\", 8);
    kept = lj_tab_getstr(tabref(fs->L->env), keeper.u.sval);
    if (kept && tvistab(kept)) {
      BCReg to = fs->freereg;
      bcreg_reserve(fs, 2);
      bcemit_AD(fs, BC_GGET, to, const_str(fs, &keeper));
      bcemit_AD(fs, BC_KSTR, to+1, const_str(fs, var));
      fs->freereg = to;
      ins = BCINS_ABC(BC_TSETV, ra, to, to+1);
    } else
      ins = BCINS_AD(BC_GSET, ra, const_str(fs, var));";

/// The name under which the environment holds the field of a library, or none.
const JOINED: &str = "/* Parse index expression with named field. */
static GCstr *joined(LexState *ls, GCstr *library, GCstr *field)
{
  char name[64];
  cTValue *held;
  MSize len = library->len + field->len + 2;
  if (library->len > 30 || field->len > 30) return NULL;
  name[0] = '\\1';
  memcpy(name + 1, strdata(library), library->len);
  name[1 + library->len] = '.';
  memcpy(name + 2 + library->len, strdata(field), field->len);
  held = lj_tab_getstr(tabref(ls->L->env), lj_str_new(ls->L, name, len));
  return held && !tvisnil(held) ? lj_parse_keepstr(ls, name, len) : NULL;
}
";

const READS_JOINED: &str = "  ExpDesc key;
  if (v->k == VGLOBAL && lex_isname(ls->tok)) {
    GCstr *name = joined(ls, v->u.sval, strV(&ls->tokval));
    if (name) {
      v->u.sval = name;
      lj_lex_next(ls);
      return;
    }
  }
  expr_toanyreg(fs, v);
  expr_str(ls, &key);";

const NAMES_JOINED: &str = "\tif (**name == '\\1' && strchr(*name, '.')) {
\t  *name = strchr(*name, '.') + 1;
\t  return \"field\";
\t}
\treturn \"global\";";

fn main() {
    if env::args().nth(1).is_some() {
        return change();
    }
    println!("cargo:rerun-if-changed=build.rs");
    module_shim();
    let itself = env::current_exe().expect("the program that runs");
    let makefile = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo")).join("before.mk");
    let text = format!(
        "ifneq (changed,$(shell '{}' change))\n$(error this LuaJIT is not the one that build.rs knows)\nendif\n",
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

/// Builds the part of the module interface that stable Rust cannot define: functions with a variable number of
/// arguments, and `long double`.
#[cfg(feature = "c-modules")]
fn module_shim() {
    let file = "src/modules/abi/shim.c";
    println!("cargo:rerun-if-changed={file}");
    cc::Build::new().file(file).compile("oxidis_module_shim");
}

#[cfg(not(feature = "c-modules"))]
fn module_shim() {}

/// Changes the sources in this directory, each place once, and says so.
fn change() {
    for (file, from, to) in CHANGES {
        let text = fs::read_to_string(file).expect("make runs where the sources are");
        if text.contains(to) {
            continue;
        }
        assert_eq!(text.matches(from).count(), 1, "{file}: {from}");
        fs::write(file, text.replace(from, to)).expect("a copy of the sources");
    }
    println!("changed");
}
