//! Libraries of functions are loaded and restored.
//!
//! Mirrors: functionsCreateWithLibraryCtx() of functions.c.
//! Differs: a library is built aside and takes its place in one step, so a failure needs no undoing.

use std::collections::BTreeMap;

use mlua::Value;

use crate::persistence;
use crate::scripting::describe;
use crate::scripting::functions::{
    BAD_NAME, Library, LibrarySet, Registering, RestorePolicy, valid_name,
};
use crate::state::State;
use crate::util::args;
use crate::util::crc64::crc64;

/// How long a library may take to register its functions.
const LOAD_MAX_NS: u64 = 500 * 1_000_000;

/// The first line of a library: `#!lua name=mylib`.
struct Metadata<'a> {
    name: String,
    engine: Vec<u8>,
    /// The code without the first line, its line break kept.
    body: &'a [u8],
}

/// Loads a library and returns its name. With `limited` it has half a second to register its
/// functions. The error is Redis's sentence.
#[doc(alias = "functionsCreateWithLibraryCtx")]
pub fn load_library(
    state: &mut State,
    code: &[u8],
    replace: bool,
    limited: bool,
) -> Result<String, String> {
    let library = {
        let Metadata { name, engine, .. } = metadata(code)?;
        known_engine(&engine)?;
        if !replace && state.scripts.libraries.set.libraries.contains_key(&name) {
            return Err(format!("Library '{name}' already exists"));
        }
        build_library(state, code, limited)?
    };
    let name = library.name.clone();
    let set = &mut state.scripts.libraries.set;
    let old = set.unlink(&name);
    let added = set.add(library);
    if let (Err(_), Some(old)) = (&added, old) {
        set.link(old);
    }
    added.map(|()| name)
}

/// Runs the code of a library and collects the functions that it registers.
#[doc(alias = "luaEngineCreate")]
fn build_library(state: &mut State, code: &[u8], limited: bool) -> Result<Library, String> {
    let metadata = metadata(code)?;
    known_engine(&metadata.engine)?;
    let engine = state
        .scripts
        .libraries
        .engine()
        .map_err(|e| e.to_string())?;
    let register = engine
        .register(metadata.body, "@user_function")
        .map_err(|text| format!("Error compiling function: {text}"))?;
    let now = state.clock.monotonic_ns();
    state.scripts.registering = Some(Registering {
        functions: BTreeMap::new(),
        deadline_ns: limited.then_some(now + LOAD_MAX_NS),
    });
    let ran = register(state);
    let registered = state.scripts.registering.take();
    if let Ok(engine) = state.scripts.libraries.engine() {
        engine.collect();
    }
    if let Err(raised) = ran {
        if let Value::Table(table) = &raised {
            // Without its place, as Redis tells it.
            let _ = table.raw_set("source", Value::Nil);
        }
        let (text, _) = describe(&raised, "");
        return Err(format!("Error registering functions: {text}"));
    }
    let functions = registered.map(|r| r.functions).unwrap_or_default();
    if functions.is_empty() {
        return Err("No functions registered".into());
    }
    Ok(Library {
        name: metadata.name,
        code: code.to_vec(),
        functions,
    })
}

/// Loads several libraries and joins them with those that are there, or leaves all as it was.
pub fn restore_libraries(
    state: &mut State,
    codes: &[Vec<u8>],
    policy: RestorePolicy,
) -> Result<(), String> {
    let mut set = LibrarySet::default();
    for code in codes {
        let library = build_library(state, code, true)?;
        if set.libraries.contains_key(&library.name) {
            return Err(format!("Library '{}' already exists", library.name));
        }
        set.add(library)?;
    }
    let libraries = &mut state.scripts.libraries;
    match policy {
        RestorePolicy::Flush => {
            libraries.set = set;
            Ok(())
        }
        policy => libraries.set.join(set, policy == RestorePolicy::Replace),
    }
}

#[doc(alias = "functionExtractLibMetaData")]
fn metadata(code: &[u8]) -> Result<Metadata<'_>, String> {
    if !code.starts_with(b"#!") {
        return Err("Missing library metadata".into());
    }
    let end = code.iter().position(|b| *b == b'\n');
    let end = end.ok_or("Invalid library metadata")?;
    let words = args::split(&code[..end]).unwrap_or_default();
    let mut words = words.iter();
    let engine = words.next().ok_or("Invalid library metadata")?;
    let engine = engine[2..].to_vec();
    let mut name: Option<&[u8]> = None;
    for word in words {
        let head = word.get(..5).unwrap_or_default();
        if !head.eq_ignore_ascii_case(b"name=") {
            let word = String::from_utf8_lossy(word);
            return Err(format!("Invalid metadata value given: {word}"));
        }
        if name.is_some() {
            return Err("Invalid metadata value, name argument was given multiple times".into());
        }
        name = Some(&word[5..]);
    }
    let name = name.ok_or("Library name was not given")?;
    Ok(Metadata {
        name: valid_name(name).ok_or(BAD_NAME)?,
        engine,
        body: &code[end..],
    })
}

fn known_engine(engine: &[u8]) -> Result<(), String> {
    if engine.eq_ignore_ascii_case(b"lua") {
        return Ok(());
    }
    let engine = String::from_utf8_lossy(engine);
    Err(format!("Engine '{engine}' not found"))
}

/// `RDB_OPCODE_FUNCTION2`: a library follows.
pub(crate) const OPCODE_FUNCTION: u8 = 245;

/// All libraries as one payload for FUNCTION RESTORE: each as in an RDB, the version, a checksum. O(bytes).
pub(crate) fn dump(state: &State) -> Vec<u8> {
    let mut out = Vec::new();
    for library in state.scripts.libraries.iter() {
        out.push(OPCODE_FUNCTION);
        put_string(&library.code, &mut out);
    }
    let (version, _) = persistence::act::saving::dump_options(state);
    out.extend_from_slice(&(version as u16).to_le_bytes());
    let checksum = crc64(0, &out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

fn put_string(bytes: &[u8], out: &mut Vec<u8>) {
    match bytes.len() {
        len @ 0..64 => out.push(len as u8),
        len @ 64..0x4000 => out.extend_from_slice(&(len as u16 | 0x4000).to_be_bytes()),
        len => {
            out.push(0x81);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(bytes);
}
