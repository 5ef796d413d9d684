//! Commands of modules: registering them, describing them, and running them.
//!
//! ```text
//!   CreateCommand(ctx, "rank.add", f, "write fast", 1, 1, 1)
//!       a declaration like those of our own commands, with `run` as its handler
//!   RANK.ADD board 5        gate -> call -> run -> f(ctx, argv, argc)
//! ```
//!
//! A declaration lives as long as the process, because the table holds `&'static Command` for all others: registering
//! a command again after its module was unloaded takes some hundred bytes anew.
//!
//! Mirrors: RM_CreateCommand(), RM_SetCommandInfo(), RedisModuleCommandDispatcher() of module.c.

use std::ffi::{c_char, c_int};
use std::ptr;

use super::codes::{ERR, OK};
use super::context::{self, Context, Occasion, enter};
use super::strings::{self, RString, bytes, c_bytes};
use crate::command::args::Args;
use crate::command::table::CommandId;
use crate::command::{
    Arg, ArgKind, Arity, BeginSearch, Command, Docs, FindKeys, Flag, Foreign, Group, KeyFlag,
    KeyRef, KeySpec, Result,
};
use crate::dispatch::Ctx;
use crate::modules::act::commands::{self as act, CommandFlags};
use crate::modules::{CommandFn, Module, ModuleCommand, Opaque};
use crate::resp::Error;
use crate::resp::argv::{Argv, OwnedArgv};
use std::sync::Arc;

/// A command's handle is its number and one, so that none is NULL.
fn handle(id: CommandId) -> Opaque {
    ptr::without_provenance_mut(usize::from(id.0) + 1)
}

fn id_of(handle: Opaque) -> Option<CommandId> {
    let number = handle.addr().checked_sub(1)?;
    u16::try_from(number).ok().map(CommandId)
}

/// The words of a request as strings of the interface; freed when this goes.
#[derive(Debug)]
pub struct Words(pub Vec<*mut RString>);

impl Words {
    /// Copies of the words.
    pub fn new(argv: Argv<'_>) -> Words {
        Words(argv.iter().map(strings::new).collect())
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        for word in &self.0 {
            // SAFETY: each was made by `new`, and this is its reference.
            unsafe { strings::release(*word) };
        }
    }
}

/// The handler of all commands of modules.
#[doc(alias = "RedisModuleCommandDispatcher")]
pub fn run(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let Some(command) = ctx.state.modules.commands.get(&ctx.command) else {
        return Err(Error::once("the module of this command is gone"));
    };
    let Some(function) = command.run else {
        return Err(Error::WrongArity(ctx.name()));
    };
    let mut context = Context::new(Some(command.module.clone()), Occasion::Command);
    context.client = Some(ctx.client);
    context.db = ctx.db;
    context.command = Some(ctx.command);
    context.reply = std::mem::take(ctx.reply);
    let mut words = Words::new(args.argv());
    context.words = std::mem::take(&mut words.0);
    let mut argv = context.words.clone();
    enter(ctx.state, &mut context, |address| {
        // SAFETY: the function was registered by a module that is loaded; the context and the words outlive the call.
        unsafe { function(address, argv.as_mut_ptr().cast(), argv.len() as c_int) }
    });
    if let Some(client) = ctx.state.modules.yielded.take() {
        ctx.state.clients.resume(client);
    }
    words.0 = std::mem::take(&mut context.words);
    *ctx.reply = std::mem::take(&mut context.reply);
    for position in &context.redacted {
        ctx.redact(*position);
    }
    // The module names its effects by itself (RM_Replicate), so the command is not propagated as it came.
    ctx.suppress();
    Ok(())
}

/// Asks a module's command for the keys or channels of a request.
#[derive(Debug)]
struct Positions {
    module: Arc<Module>,
    function: CommandFn,
    keys: bool,
    channels: bool,
}

impl Positions {
    fn ask(&self, argv: Argv<'_>, occasion: Occasion) -> Vec<(usize, i32)> {
        let mut context = Context::new(Some(self.module.clone()), occasion);
        let words = Words::new(argv);
        let mut list = words.0.clone();
        let address: *mut Context = &mut context;
        // SAFETY: the module is loaded while its command is in the table; the state is not lent, so that functions
        // that need it fail.
        unsafe {
            (self.function)(
                address.cast(),
                list.as_mut_ptr().cast(),
                list.len() as c_int,
            )
        };
        context
            .positions
            .retain(|(position, _)| *position < argv.len());
        context.positions
    }
}

impl Foreign for Positions {
    fn module(&self) -> &str {
        &self.module.name
    }

    fn finds_keys(&self) -> bool {
        self.keys
    }

    fn find_keys(&self, argv: Argv<'_>, found: &mut Vec<KeyRef>) {
        if !self.keys {
            return;
        }
        for (position, flags) in self.ask(argv, Occasion::KeysPosition) {
            found.push(KeyRef {
                position,
                flags: key_flags(flags as u64),
            });
        }
    }

    fn channels(&self, argv: Argv<'_>) -> Vec<(usize, bool)> {
        const PATTERN: i32 = 1;
        const UNSUBSCRIBE: i32 = 8;
        if !self.channels {
            return Vec::new();
        }
        let told = self.ask(argv, Occasion::ChannelsPosition);
        let judged = told
            .into_iter()
            .filter(|(_, flags)| flags & UNSUBSCRIBE == 0);
        judged
            .map(|(position, flags)| (position, flags & PATTERN != 0))
            .collect()
    }
}

const FULL_ACCESS: u64 = 2 | 16 | 32;

type FlagSet = ([KeyFlag; 8], usize);

/// The flags behind a number: the kind of access in the two lowest bits, then access, update, insert, delete, not a
/// key.
const fn flag_set(bits: usize) -> FlagSet {
    let kind = match bits & 3 {
        0 => KeyFlag::Ro,
        1 => KeyFlag::Rw,
        2 => KeyFlag::Ow,
        _ => KeyFlag::Rm,
    };
    let more = [
        KeyFlag::Access,
        KeyFlag::Update,
        KeyFlag::Insert,
        KeyFlag::Delete,
        KeyFlag::NotKey,
    ];
    let mut set = [kind; 8];
    let mut len = 1;
    let mut at = 0;
    while at < more.len() {
        if bits >> (2 + at) & 1 != 0 {
            set[len] = more[at];
            len += 1;
        }
        at += 1;
    }
    (set, len)
}

const fn flag_sets() -> [FlagSet; 128] {
    let mut sets = [flag_set(0); 128];
    let mut bits = 0;
    while bits < 128 {
        sets[bits] = flag_set(bits);
        bits += 1;
    }
    sets
}

static FLAG_SETS: [FlagSet; 128] = flag_sets();

/// The flags of a key as the interface has them.
pub(super) fn key_flags(bits: u64) -> &'static [KeyFlag] {
    let kind = match bits & 15 {
        1 => 0,
        4 => 2,
        8 => 3,
        _ => 1,
    };
    let set = &FLAG_SETS[kind | ((bits >> 4 & 31) << 2) as usize];
    &set.0[..set.1]
}

pub unsafe extern "C" fn create_command(
    ctx: Opaque,
    name: *const c_char,
    function: Option<CommandFn>,
    flags: *const c_char,
    first: c_int,
    last: c_int,
    step: c_int,
) -> c_int {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return ERR;
    };
    let Some(module) = context.module.clone() else {
        return ERR;
    };
    if context.occasion != Occasion::Load {
        return ERR;
    }
    let (name, flags) = unsafe { (c_bytes(name), c_bytes(flags)) };
    let made = context::with(|state| {
        let flags = CommandFlags::parse(flags)?;
        if flags.no_cluster {
            if state.config.cluster_enabled {
                return None;
            }
            state.stats.cluster_incompatible_ops += 1;
        }
        let (name, decl) = declare(&module, name, function, &flags, (first, last, step))?;
        let id = act::add(state, Box::leak(Box::new(decl)), &name, None)?;
        let command = ModuleCommand {
            module: module.clone(),
            run: function,
        };
        state.modules.commands.insert(id, command);
        Some(())
    });
    if made.flatten().is_some() { OK } else { ERR }
}

pub unsafe extern "C" fn create_subcommand(
    parent: Opaque,
    name: *const c_char,
    function: Option<CommandFn>,
    flags: *const c_char,
    first: c_int,
    last: c_int,
    step: c_int,
) -> c_int {
    let (name, flags) = unsafe { (c_bytes(name), c_bytes(flags)) };
    let made = context::with(|state| {
        let parent = id_of(parent)?;
        let module = state.modules.commands.get(&parent)?.module.clone();
        // Only while the module is being loaded, below a container that runs nothing itself.
        let loading = state.modules.find(module.name.as_bytes()).is_none();
        let contains = state.modules.commands.get(&parent)?.run.is_none();
        if !loading || !contains || state.commands[parent].parent.is_some() {
            return None;
        }
        let flags = CommandFlags::parse(flags)?;
        if flags.no_cluster {
            if state.config.cluster_enabled {
                return None;
            }
            state.stats.cluster_incompatible_ops += 1;
        }
        let (name, mut decl) = declare(&module, name, function, &flags, (first, last, step))?;
        // The container's name and its own.
        decl.arity = Arity::AtLeast(2);
        let id = act::add(state, Box::leak(Box::new(decl)), &name, Some(parent))?;
        let command = ModuleCommand {
            module,
            run: function,
        };
        state.modules.commands.insert(id, command);
        Some(())
    });
    if made.flatten().is_some() { OK } else { ERR }
}

/// A declaration from what `CreateCommand` is told; `None` for a name that cannot be one.
fn declare(
    module: &Arc<Module>,
    name: &[u8],
    function: Option<CommandFn>,
    flags: &CommandFlags,
    (first, last, step): (c_int, c_int, c_int),
) -> Option<(String, Command)> {
    const NOT_IN_NAMES: &[u8] = b" \r\n|@=,";
    let name = std::str::from_utf8(name).ok()?;
    if name.is_empty() || name.bytes().any(|b| NOT_IN_NAMES.contains(&b)) {
        return None;
    }
    let mut keys = Vec::new();
    if first != 0 {
        const MOVABLE: &[KeyFlag] = &[
            KeyFlag::Rw,
            KeyFlag::Access,
            KeyFlag::Update,
            KeyFlag::VariableFlags,
        ];
        let last = if last < 0 { last } else { last - first };
        let spec = KeySpec::at(first, key_flags(FULL_ACCESS)).to(last, step);
        keys.push(match flags.getkeys {
            true => KeySpec {
                flags: MOVABLE,
                ..spec
            },
            false => spec,
        });
    }
    let foreign: Option<&'static dyn Foreign> = function.map(|function| {
        let positions = Positions {
            module: module.clone(),
            function,
            keys: flags.getkeys,
            channels: flags.getchannels,
        };
        let leaked: &'static dyn Foreign = Box::leak(Box::new(positions));
        leaked
    });
    let mut own = flags.flags.clone();
    own.push(Flag::Module);
    if flags.getkeys {
        own.push(Flag::MovableKeys);
    }
    let decl = Command {
        name: leak(name),
        arity: match function {
            Some(_) => Arity::AtLeast(1),
            None => Arity::AtLeast(2),
        },
        flags: Vec::leak(own),
        keys: Vec::leak(keys),
        docs: Docs {
            group: Group::Module,
            since: "",
            ..Docs::BASE
        },
        foreign: Some(foreign.unwrap_or_else(|| {
            let named: &'static dyn Foreign = Box::leak(Box::new(Container(module.clone())));
            named
        })),
        run,
        ..Command::BASE
    };
    Some((name.to_owned(), decl))
}

/// A container of subcommands: it only has the name of its module.
#[derive(Debug)]
struct Container(Arc<Module>);

impl Foreign for Container {
    fn module(&self) -> &str {
        &self.0.name
    }
}

fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

/// A text of a module that is kept for good; `None` for NULL.
unsafe fn leaked(text: *const c_char) -> Option<&'static str> {
    match text.is_null() {
        true => None,
        false => Some(leak(&String::from_utf8_lossy(unsafe { c_bytes(text) }))),
    }
}

pub unsafe extern "C" fn get_command(ctx: Opaque, name: *const c_char) -> Opaque {
    let (Some(context), name) = (unsafe { (context::of(ctx), c_bytes(name)) }) else {
        return ptr::null_mut();
    };
    let Some(module) = context.module.as_ref().map(|module| module.id) else {
        return ptr::null_mut();
    };
    let found = context::with(|state| {
        let id = state.commands.find(name)?;
        let command = state.modules.commands.get(&id)?;
        (command.module.id == module).then_some(id)
    });
    found.flatten().map_or(ptr::null_mut(), handle)
}

/// Reads a field at an offset of a structure of the module's.
///
/// # Safety
/// The structure has a field of this type there.
unsafe fn field<T: Copy>(start: *const u8, offset: usize) -> T {
    // SAFETY: as promised by the caller.
    unsafe { start.add(offset).cast::<T>().read() }
}

const VERSION_SIZE: usize = 32;
const KEYSPEC_SIZE: usize = 56;
const ARG_SIZE: usize = 72;

/// Describes a command. The layout of the structures is told by the version that comes with them: sizes of an element
/// of each array, so that later fields can be added.
pub unsafe extern "C" fn set_command_info(command: Opaque, info: *const u8) -> c_int {
    const { assert!(VERSION_SIZE == 4 * size_of::<usize>()) };
    if info.is_null() {
        return ERR;
    }
    let Some(id) = id_of(command) else { return ERR };
    unsafe {
        let version: *const u8 = field(info, 0);
        if version.is_null() || field::<c_int>(version, 0) < 1 {
            return ERR;
        }
        let (keyspec, arg): (usize, usize) = (field(version, 16), field(version, 24));
        if keyspec < KEYSPEC_SIZE || arg < ARG_SIZE {
            return ERR;
        }
        let described = context::with(|state| {
            if !state.modules.commands.contains_key(&id) {
                return None;
            }
            let mut decl = *state.commands[id].decl;
            if decl.described {
                return None; // Once only.
            }
            decl.described = true;
            let arity: c_int = field(info, 48);
            if arity != 0 {
                let words = u8::try_from(arity.unsigned_abs()).ok()?;
                decl.arity = match arity < 0 {
                    true => Arity::AtLeast(words),
                    false => Arity::Exactly(words),
                };
            }
            decl.docs.summary = leaked(field(info, 8)).unwrap_or("");
            decl.docs.complexity = leaked(field(info, 16)).unwrap_or("");
            decl.docs.since = leaked(field(info, 24)).unwrap_or("");
            decl.history = history(field(info, 32), field(version, 8))?;
            if let Some(tips) = leaked(field(info, 40)) {
                decl.tips = Vec::leak(tips.split_whitespace().collect());
            }
            let specs: *const u8 = field(info, 56);
            if !specs.is_null() {
                decl.keys = key_specs(specs, keyspec)?;
            }
            let args: *const u8 = field(info, 64);
            if !args.is_null() {
                decl.args = arguments(args, arg, decl.keys.len())?;
            }
            act::redeclare(state, id, Box::leak(Box::new(decl)));
            Some(())
        });
        if described.flatten().is_some() {
            OK
        } else {
            ERR
        }
    }
}

unsafe fn history(
    entries: *const u8,
    step: usize,
) -> Option<&'static [(&'static str, &'static str)]> {
    let mut list = Vec::new();
    let mut at = entries;
    unsafe {
        while !at.is_null() && !field::<*const c_char>(at, 0).is_null() {
            list.push((leaked(field(at, 0))?, leaked(field(at, 8)).unwrap_or("")));
            at = at.add(step.max(16));
        }
    }
    Some(Vec::leak(list))
}

/// The key specs of an array that ends with one whose search has no type.
unsafe fn key_specs(specs: *const u8, step: usize) -> Option<&'static [KeySpec]> {
    let mut list = Vec::new();
    let mut at = specs;
    unsafe {
        loop {
            let begin: c_int = field(at, 16);
            if begin == 0 {
                break;
            }
            let bits: u64 = field(at, 8);
            if (bits & 15).count_ones() > 1 {
                return None;
            }
            let begin = match begin {
                1 => BeginSearch::Unknown,
                2 => BeginSearch::Index(field(at, 24)),
                3 => BeginSearch::Keyword(leaked(field(at, 24))?, field(at, 32)),
                _ => return None,
            };
            let find = match field::<c_int>(at, 40) {
                0 => FindKeys::Range {
                    last: 0,
                    step: 1,
                    limit: 0,
                },
                1 => FindKeys::Unknown,
                2 => FindKeys::Range {
                    last: field(at, 44),
                    step: field(at, 48),
                    limit: field(at, 52),
                },
                3 => FindKeys::KeyNum {
                    number: field(at, 44),
                    first: field(at, 48),
                    step: field(at, 52),
                },
                _ => return None,
            };
            let mut flags = match bits & 15 {
                0 => key_flags(bits)[1..].to_vec(),
                _ => key_flags(bits).to_vec(),
            };
            for (bit, flag) in [
                (256, KeyFlag::NotKey),
                (512, KeyFlag::Incomplete),
                (1024, KeyFlag::VariableFlags),
            ] {
                if bits & bit != 0 && !flags.contains(&flag) {
                    flags.push(flag);
                }
            }
            list.push(KeySpec {
                begin,
                find,
                flags: Vec::leak(flags),
                notes: leaked(field(at, 0)),
            });
            at = at.add(step);
        }
    }
    Some(Vec::leak(list))
}

/// The arguments of an array that ends with one without a name.
unsafe fn arguments(args: *const u8, step: usize, specs: usize) -> Option<&'static [Arg]> {
    let mut list = Vec::new();
    let mut at = args;
    unsafe {
        while let Some(name) = leaked(field(at, 0)) {
            let kind = match field::<c_int>(at, 8) {
                0 => ArgKind::String,
                1 => ArgKind::Integer,
                2 => ArgKind::Double,
                3 => ArgKind::Key,
                4 => ArgKind::Pattern,
                5 => ArgKind::UnixTime,
                6 => ArgKind::PureToken,
                7 => ArgKind::OneOf,
                8 => ArgKind::Block,
                _ => return None,
            };
            let spec: c_int = field(at, 12);
            let key_spec = match kind {
                ArgKind::Key => u8::try_from(spec).ok().filter(|s| usize::from(*s) < specs),
                _ => None,
            };
            let flags: c_int = field(at, 40);
            let inner: *const u8 = field(at, 56);
            let composed = matches!(kind, ArgKind::OneOf | ArgKind::Block);
            if composed && inner.is_null() {
                return None;
            }
            list.push(Arg {
                name,
                kind,
                token: leaked(field(at, 16)),
                key_spec,
                summary: leaked(field(at, 24)),
                since: leaked(field(at, 32)),
                deprecated_since: leaked(field(at, 48)),
                shown_as: leaked(field(at, 64)),
                optional: flags & 1 != 0,
                multiple: flags & 2 != 0,
                multiple_token: flags & 4 != 0,
                args: match composed {
                    true => arguments(inner, step, specs)?,
                    false => &[],
                },
            });
            at = at.add(step);
        }
    }
    Some(Vec::leak(list))
}

pub unsafe extern "C" fn set_acl_categories(command: Opaque, names: *const c_char) -> c_int {
    let Some(id) = id_of(command) else { return ERR };
    let names = unsafe { c_bytes(names) };
    let done = context::with(|state| {
        let Some(own) = state.modules.commands.get(&id) else {
            return false;
        };
        // Only while the module is being loaded.
        if state.modules.find(own.module.name.as_bytes()).is_some() {
            return false;
        }
        act::set_categories(state, id, names)
    });
    if done == Some(true) { OK } else { ERR }
}

pub unsafe extern "C" fn add_acl_category(ctx: Opaque, name: *const c_char) -> c_int {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return ERR;
    };
    let (Some(module), Occasion::Load) = (&context.module, context.occasion) else {
        super::context::set_errno(libc::EINVAL);
        return ERR;
    };
    let (module, name) = (module.id, unsafe { c_bytes(name) });
    let added = context::with(|state| act::add_category(state, module, name));
    match added {
        Some(Ok(())) => OK,
        Some(Err(errno)) => {
            super::context::set_errno(errno);
            ERR
        }
        None => ERR,
    }
}

pub unsafe extern "C" fn wrong_arity(ctx: Opaque) -> c_int {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return OK;
    };
    let id = context.command;
    let name = context::with(|state| id.map(|id| state.commands[id].name.to_string()));
    let name = name.flatten().unwrap_or_default();
    context.error(Error::WrongArity(name).to_string().as_bytes());
    OK
}

pub unsafe extern "C" fn is_keys_request(ctx: Opaque) -> c_int {
    let context = unsafe { context::of(ctx) };
    c_int::from(context.is_some_and(|c| c.occasion == Occasion::KeysPosition))
}

pub unsafe extern "C" fn is_channels_request(ctx: Opaque) -> c_int {
    let context = unsafe { context::of(ctx) };
    c_int::from(context.is_some_and(|c| c.occasion == Occasion::ChannelsPosition))
}

pub unsafe extern "C" fn key_at(ctx: Opaque, position: c_int) {
    unsafe { key_at_with_flags(ctx, position, FULL_ACCESS as c_int) }
}

pub unsafe extern "C" fn key_at_with_flags(ctx: Opaque, position: c_int, flags: c_int) {
    if let Some(context) = unsafe { context::of(ctx) }
        && context.occasion == Occasion::KeysPosition
        && let Ok(position) = usize::try_from(position)
        && position > 0
    {
        context.positions.push((position, flags));
    }
}

pub unsafe extern "C" fn channel_at(ctx: Opaque, position: c_int, flags: c_int) {
    if let Some(context) = unsafe { context::of(ctx) }
        && context.occasion == Occasion::ChannelsPosition
        && let Ok(position) = usize::try_from(position)
        && position > 0
    {
        context.positions.push((position, flags));
    }
}

pub unsafe extern "C" fn command_keys(
    ctx: Opaque,
    argv: *const *mut RString,
    argc: c_int,
    count: *mut c_int,
) -> *mut c_int {
    unsafe { command_keys_with_flags(ctx, argv, argc, count, ptr::null_mut()) }
}

pub unsafe extern "C" fn command_keys_with_flags(
    _ctx: Opaque,
    argv: *const *mut RString,
    argc: c_int,
    count: *mut c_int,
    flags: *mut *mut c_int,
) -> *mut c_int {
    unsafe {
        let words = strings::list(argv, usize::try_from(argc).unwrap_or(0));
        let request = OwnedArgv::from_words(words.iter().map(|word| bytes(*word)));
        let found = context::with(|state| act::keys_of(state, request.as_argv()));
        let found = match found {
            Some(Ok(found)) => found,
            Some(Err(errno)) => {
                super::context::set_errno(errno);
                return ptr::null_mut();
            }
            None => return ptr::null_mut(),
        };
        if !count.is_null() {
            *count = found.len() as c_int;
        }
        if found.is_empty() {
            super::context::set_errno(0);
            return ptr::null_mut();
        }
        if !flags.is_null() {
            *flags = super::memory::numbers(found.iter().map(|key| flag_bits(key.flags)));
        }
        super::memory::numbers(found.iter().map(|key| key.position as c_int))
    }
}

/// The flags of a key as bits of the interface.
fn flag_bits(flags: &[KeyFlag]) -> c_int {
    flags.iter().fold(0, |bits, flag| {
        bits | match flag {
            KeyFlag::Ro => 1,
            KeyFlag::Rw => 2,
            KeyFlag::Ow => 4,
            KeyFlag::Rm => 8,
            KeyFlag::Access => 16,
            KeyFlag::Update => 32,
            KeyFlag::Insert => 64,
            KeyFlag::Delete => 128,
            KeyFlag::NotKey => 256,
            KeyFlag::Incomplete => 512,
            KeyFlag::VariableFlags => 1024,
            KeyFlag::Doubtful => 0,
        }
    })
}

pub unsafe extern "C" fn current_name(ctx: Opaque) -> *const c_char {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return ptr::null();
    };
    let id = context.command;
    let name = context::with(|state| id.map(|id| state.commands[id].name.to_string()));
    let Some(name) = name.flatten() else {
        return ptr::null();
    };
    let mut text = name.into_bytes();
    text.push(0);
    context.name.insert(text.into()).as_ptr().cast()
}

pub unsafe extern "C" fn redact(ctx: Opaque, position: c_int) -> c_int {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return ERR;
    };
    let position = usize::try_from(position).unwrap_or(0);
    if context.occasion != Occasion::Command || position == 0 || position >= context.words.len() {
        return ERR;
    }
    context.redacted.push(position);
    OK
}
