//! Lua scripts and function libraries.
//!
//! ```text
//!   EVAL ──> cache: SHA-1 -> compiled script ─┐
//!   FCALL ─> libraries: name -> function ─────┤ Run: who called, may it write, since when
//!                                             v
//!                     Lua <── engine ──> redis.call ──> dispatch::call, as a client without a socket
//! ```
//!
//! The state is lent to Lua for the duration of a script (`sys/loan.rs`), so that `redis.call` works on the state
//! itself: a command's reply becomes Lua values without ever being bytes. Everything a script changes is one unit of
//! effects:
//!
//! ```text
//!   EVAL "redis.call('INCR', KEYS[1]) redis.call('EXPIRE', KEYS[1], 60)" 1 hits
//!
//!   AOF and replicas get    MULTI, INCR hits, PEXPIREAT hits 1700000060000, EXEC      never the EVAL itself
//! ```
//!
//! Mirrors: script.c, script_lua.c, eval.c, functions.c and function_lua.c.
//! Differs: a script that allocates without end gets Lua's "not enough memory" instead of taking the server down.

pub mod act;
mod cjson;
mod cmsgpack;
mod debugger;
mod engine;
mod error;
mod functions;
mod pack;
mod random;
mod reply;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::background::LazyFree;
use crate::clients::ClientKey;
use crate::collections::byte_map::{ByteMap, Seed};
use crate::command::Targets;
use crate::resp::argv::OwnedArgv;
use crate::resp::{Error, Protocol, Reply};
use crate::sys::lua::Chunk;
use crate::util::args;
use crate::util::sha1::sha1_hex;

pub use debugger::{Apart, Debugger};
pub use engine::{Engine, EngineKind, describe};
pub use functions::{Libraries, Library, LibraryFunction, Registering, RestorePolicy};
pub(crate) use random::Drand48;

/// Scripts that came by EVAL and are kept; those loaded on purpose are kept all.
const EVAL_KEPT: usize = 500;
/// Room that is kept from one use to the next, in bytes at most.
const SPARE_MAX: usize = 64 * 1024;

/// A text that one of the libraries makes, in room that it shares with the texts before and after it.
#[derive(Debug)]
struct Roomy {
    text: Vec<u8>,
    room: Rc<RefCell<Vec<u8>>>,
}

impl Roomy {
    /// An empty text, in the room if no other text is in it.
    fn of(room: &Rc<RefCell<Vec<u8>>>) -> Roomy {
        let mut text = room.take();
        text.clear();
        let room = room.clone();
        Roomy { text, room }
    }
}

impl Drop for Roomy {
    fn drop(&mut self) {
        if self.text.capacity() <= SPARE_MAX {
            self.room.replace(std::mem::take(&mut self.text));
        }
    }
}

/// The flags of a script, from its first line (`#!lua flags=no-writes`), or of a function, from its registration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScriptFlags(u8);

impl ScriptFlags {
    /// It writes nothing.
    pub const NO_WRITES: ScriptFlags = ScriptFlags(1);
    /// It may run when memory is over the limit.
    pub const ALLOW_OOM: ScriptFlags = ScriptFlags(2);
    /// It may run on a replica that lost its primary.
    pub const ALLOW_STALE: ScriptFlags = ScriptFlags(4);
    /// It may not run in a cluster.
    pub const NO_CLUSTER: ScriptFlags = ScriptFlags(8);
    /// It said nothing: an old script, judged by each command it calls.
    pub const COMPAT: ScriptFlags = ScriptFlags(16);
    /// It may use keys of several slots.
    pub const ALLOW_CROSS_SLOT: ScriptFlags = ScriptFlags(32);

    /// The words users write, in the order FUNCTION LIST shows them.
    pub const NAMES: &'static [(&'static str, ScriptFlags)] = &[
        ("no-writes", ScriptFlags::NO_WRITES),
        ("allow-oom", ScriptFlags::ALLOW_OOM),
        ("allow-stale", ScriptFlags::ALLOW_STALE),
        ("no-cluster", ScriptFlags::NO_CLUSTER),
        ("allow-cross-slot-keys", ScriptFlags::ALLOW_CROSS_SLOT),
    ];

    /// Whether it is set.
    pub fn has(self, other: ScriptFlags) -> bool {
        self.0 & other.0 != 0
    }

    /// With another one.
    #[must_use]
    pub fn with(self, other: ScriptFlags) -> ScriptFlags {
        ScriptFlags(self.0 | other.0)
    }

    /// The flag of a word.
    pub fn named(word: &[u8]) -> Option<ScriptFlags> {
        let known = Self::NAMES.iter().find(|(name, _)| name.as_bytes() == word);
        known.map(|(_, flag)| *flag)
    }
}

/// A script of the cache.
#[derive(Debug)]
pub struct Script {
    body: Box<[u8]>,
    chunk: Chunk,
    /// The flags of its first line.
    pub flags: ScriptFlags,
    /// When it was last used, for those that may be dropped.
    used: Option<u64>,
}

impl Script {
    /// Its text.
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

/// The script or function that runs now.
#[derive(Debug)]
pub struct Run {
    /// The client whose request it is.
    pub caller: ClientKey,
    /// Its SHA-1 or its name.
    pub name: String,
    /// The request, for FUNCTION STATS; empty for EVAL.
    pub request: OwnedArgv,
    /// EVAL rather than FCALL.
    pub is_eval: bool,
    /// It may not write.
    pub read_only: bool,
    /// All its keys must be of one slot.
    pub one_slot: bool,
    /// The slot of its keys, as far as it is known.
    pub slot: Option<u16>,
    /// It may use memory beyond the limit.
    pub allow_oom: bool,
    /// It called a writing command.
    pub wrote: bool,
    /// SCRIPT KILL or FUNCTION KILL asked for its end.
    pub killed: bool,
    /// It runs for longer than `busy-reply-threshold`.
    pub timed_out: bool,
    /// It is run in the debugger.
    pub debugged: bool,
    /// When it began.
    pub started_ns: u64,
    /// The protocol of the replies that its commands get (`redis.setresp`).
    pub protocol: Protocol,
    /// The readers that its changes are propagated to (`redis.set_repl`).
    pub targets: Targets,
}

impl Run {
    /// The command that ends it.
    pub fn kill_command(&self) -> &'static str {
        if self.is_eval {
            "SCRIPT KILL"
        } else {
            "FUNCTION KILL"
        }
    }
}

/// The decision of the hook that looks at a running script.
#[derive(Debug)]
pub(crate) enum Interrupt {
    /// On.
    Continue,
    /// It ends with this error.
    Stop(error::ScriptError),
}

/// An interpreter that was flushed, on its way out.
#[derive(Debug)]
struct Leaving {
    engine: Engine,
    /// How many objects count as freed when it is gone.
    objects: usize,
    /// Cycles of its garbage collector since.
    cycles: u32,
}

/// All of a server's scripting.
#[derive(Debug)]
pub struct Scripts {
    engine: Option<Engine>,
    /// Whether scripts have the functions of `lua-enable-deprecated-api`.
    deprecated: bool,
    cache: ByteMap<Script>,
    /// Scripts that may be dropped, oldest use first.
    oldest: BTreeMap<u64, [u8; 40]>,
    uses: u64,
    /// Bytes of all scripts' text.
    text_bytes: usize,
    /// The libraries.
    pub libraries: Libraries,
    /// A library being loaded.
    pub registering: Option<Registering>,
    /// The script that runs now.
    pub run: Option<Run>,
    /// The slot of the request that may run a script, while it is looked at for use in a cluster
    /// (`cluster/act/compatible.rs`).
    pub request_slot: Option<Option<u16>>,
    /// Interpreters that were flushed.
    leaving: Vec<Leaving>,
    /// The client without a socket that runs scripts' commands.
    client: Option<ClientKey>,
    /// The debugger.
    pub debugger: Debugger,
    /// Room for the words of the next command that a script calls.
    spare: OwnedArgv,
    /// Where its reply is built.
    spare_reply: Option<Box<Reply>>,
    /// Room for the next run's name and request.
    spare_run: (String, OwnedArgv),
}

impl Scripts {
    /// An empty cache, without an interpreter yet.
    pub fn new(seed: u64, deprecated: bool) -> Self {
        Scripts {
            engine: None,
            deprecated,
            cache: ByteMap::with_hasher(Seed(seed)),
            oldest: BTreeMap::new(),
            uses: 0,
            text_bytes: 0,
            libraries: Libraries::new(deprecated),
            request_slot: None,
            registering: None,
            run: None,
            leaving: Vec::new(),
            client: None,
            debugger: Debugger::default(),
            spare: crate::resp::argv::OwnedArgv::default(),
            spare_reply: None,
            spare_run: Default::default(),
        }
    }

    /// Whether a script runs for too long, so that only some commands are allowed.
    #[inline]
    pub fn is_busy(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.timed_out)
    }

    /// The error for other clients while a script runs for too long.
    pub fn busy_error(&self) -> Error {
        match &self.run {
            Some(run) if !run.is_eval => Error::coded(
                "BUSY Redis is busy running a script. You can only call FUNCTION KILL or \
                 SHUTDOWN NOSAVE.",
            ),
            _ => Error::Busy,
        }
    }

    /// Scripts in the cache (`number_of_cached_scripts`).
    pub fn cached(&self) -> usize {
        self.cache.len()
    }

    /// A script of the cache.
    pub fn get(&self, sha: &[u8]) -> Option<&Script> {
        let mut sha = <[u8; 40]>::try_from(sha).ok()?;
        sha.make_ascii_lowercase();
        self.get_folded(&sha)
    }

    /// The same for a SHA-1 in lower case.
    fn get_folded(&self, sha: &[u8; 40]) -> Option<&Script> {
        self.cache.get(&sha[..])
    }

    /// Bytes of the interpreter of scripts (`used_memory_vm_eval`).
    pub fn eval_memory(&self) -> usize {
        self.engine.as_ref().map_or(0, Engine::memory)
    }

    /// Bytes of the cache besides the interpreter (`used_memory_scripts_eval`).
    pub fn cache_memory(&self) -> usize {
        self.text_bytes + self.cache.capacity() * size_of::<(Box<[u8]>, Script)>()
    }

    fn engine(&mut self) -> Result<&mut Engine, Error> {
        if self.engine.is_none() {
            let engine = Engine::new(EngineKind::Scripts, self.deprecated)
                .map_err(|error| Error::once(format!("Failed creating the lua VM: {error}")))?;
            self.engine = Some(engine);
        }
        self.engine.as_mut().ok_or(Error::AlreadySaid)
    }

    /// Compiles a script, unless it is cached, and returns its SHA-1. Scripts that come by EVAL (`keep` is false)
    /// push out the oldest of their kind; the second number says how many.
    #[doc(alias = "luaCreateFunction")]
    pub fn load(&mut self, body: &[u8], keep: bool) -> Result<([u8; 40], usize), Error> {
        let sha = sha1_hex(body);
        if let Some(script) = self.cache.get_mut(&sha[..]) {
            if keep && let Some(used) = script.used.take() {
                self.oldest.remove(&used);
            }
            return Ok((sha, 0));
        }
        let (flags, shebang) = shebang(body).map_err(Error::once)?;
        let engine = self.engine()?;
        let chunk = engine
            .compile(&body[shebang..], "@user_script")
            .map_err(|text| {
                Error::once(format!("Error compiling script (new function): {text}"))
            })?;
        engine.collect();
        let mut evicted = 0;
        let used = if keep {
            None
        } else {
            while self.oldest.len() >= EVAL_KEPT
                && let Some((_, oldest)) = self.oldest.pop_first()
            {
                self.forget(&oldest);
                evicted += 1;
            }
            self.uses += 1;
            self.oldest.insert(self.uses, sha);
            Some(self.uses)
        };
        self.text_bytes += body.len() + sha.len();
        let script = Script {
            body: body.into(),
            chunk,
            flags,
            used,
        };
        self.cache.insert(sha[..].into(), script);
        Ok((sha, evicted))
    }

    fn forget(&mut self, sha: &[u8]) {
        if let Some(script) = self.cache.remove(sha) {
            self.text_bytes -= script.body.len() + sha.len();
        }
    }

    /// Notes that a script was used.
    fn touch(&mut self, sha: &[u8; 40]) {
        if let Some(script) = self.cache.get_mut(&sha[..])
            && let Some(used) = &mut script.used
        {
            self.oldest.remove(used);
            self.uses += 1;
            *used = self.uses;
            self.oldest.insert(self.uses, *sha);
        }
    }

    /// Forgets all scripts and the interpreter with them. If `lazily`, a large one is freed bit by bit:
    /// returned is how many objects that leaves to be freed.
    #[doc(alias = "scriptingReset")]
    #[doc(alias = "freeLuaScriptsAsync")]
    pub fn flush(&mut self, lazily: bool) -> usize {
        let objects = self.cache.len();
        self.cache.clear();
        self.oldest.clear();
        self.text_bytes = 0;
        let engine = self.engine.take();
        self.see_off(engine, objects, lazily)
    }

    /// Forgets all libraries and their interpreter, as [`Scripts::flush`] the scripts.
    #[doc(alias = "freeFunctionsAsync")]
    pub fn flush_libraries(&mut self, lazily: bool) -> usize {
        let objects = self.libraries.functions();
        let engine = self.libraries.flush();
        // The interpreter counts, as it does in Redis.
        self.see_off(engine, objects + 1, lazily)
    }

    fn see_off(&mut self, engine: Option<Engine>, objects: usize, lazily: bool) -> usize {
        let Some(engine) = engine.filter(|_| lazily && LazyFree::is_worth_it(objects)) else {
            return 0;
        };
        self.leaving.push(Leaving {
            engine,
            objects,
            cycles: 0,
        });
        objects
    }

    /// Frees parts of the interpreters on their way out, until `enough` returns true. Returns the number of objects
    /// freed.
    fn free_some(&mut self, mut enough: impl FnMut() -> bool) -> usize {
        let mut freed = 0;
        while let Some(last) = self.leaving.last_mut() {
            if enough() {
                break;
            }
            if !last.engine.dismantle() {
                last.cycles += 1;
            }
            // Objects that one cycle of the collector marked are freed by the next one.
            if last.cycles == 2
                && let Some(gone) = self.leaving.pop()
            {
                freed += gone.objects;
            }
        }
        freed
    }
}

/// The flags in a script's first line, and how many bytes to leave out when it is compiled. The line
/// break stays, so that lines keep their numbers. The error is Redis's sentence.
#[doc(alias = "evalExtractShebangFlags")]
pub fn shebang(body: &[u8]) -> Result<(ScriptFlags, usize), String> {
    if !body.starts_with(b"#!") {
        return Ok((ScriptFlags::COMPAT, 0));
    }
    let end = body.iter().position(|b| *b == b'\n');
    let end = end.ok_or("Invalid script shebang")?;
    let words = args::split(&body[..end]).unwrap_or_default();
    let mut words = words.iter();
    let show = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    let engine = words.next().ok_or("Invalid engine in script shebang")?;
    if **engine != *b"#!lua" {
        let engine = show(engine);
        return Err(format!("Unexpected engine in script shebang: {engine}"));
    }
    let mut flags = ScriptFlags::default();
    for word in words {
        let Some(list) = word.strip_prefix(b"flags=") else {
            let word = show(word);
            return Err(format!("Unknown lua shebang option: {word}"));
        };
        for name in list.split(|b| *b == b',').filter(|name| !name.is_empty()) {
            let flag = ScriptFlags::named(name)
                .ok_or_else(|| format!("Unexpected flag in script shebang: {}", show(name)))?;
            flags = flags.with(flag);
        }
    }
    Ok((flags, end))
}
