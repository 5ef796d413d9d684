//! Commands of modules in the table of commands: added, described, removed.
//!
//! Mirrors: RM_CreateCommand(), RM_SetCommandACLCategories(), moduleUnregisterCommands() of module.c.

use crate::command::keys::{Keys, Search};
use crate::command::table::CommandId;
use crate::command::{Command, Flag, KeyRef};
use crate::modules::ModuleId;
use crate::resp::argv::Argv;
use crate::state::State;

/// The properties that a module gives to a command, as words.
#[derive(Clone, Debug, Default)]
pub struct CommandFlags {
    /// The flags that our own commands have as well.
    pub flags: Vec<Flag>,
    /// The command tells its keys itself.
    pub getkeys: bool,
    /// The command tells its channels itself.
    pub getchannels: bool,
    /// Not to be registered in a cluster.
    pub no_cluster: bool,
}

impl CommandFlags {
    /// Reads the words; `None` when one of them is unknown.
    #[doc(alias = "commandFlagsFromString")]
    pub fn parse(words: &[u8]) -> Option<CommandFlags> {
        let mut flags = CommandFlags::default();
        let words = words.split(|b| *b == b' ').filter(|word| !word.is_empty());
        for word in words {
            let flag = match word {
                b"write" => Flag::Write,
                b"readonly" => Flag::ReadOnly,
                b"admin" => Flag::Admin,
                b"deny-oom" => Flag::DenyOom,
                b"deny-script" => Flag::NoScript,
                b"allow-loading" => Flag::Loading,
                b"pubsub" => Flag::PubSub,
                b"blocking" => Flag::Blocking,
                b"allow-stale" => Flag::Stale,
                b"no-monitor" => Flag::SkipMonitor,
                b"no-slowlog" => Flag::SkipSlowlog,
                b"fast" => Flag::Fast,
                b"no-auth" => Flag::NoAuth,
                b"may-replicate" => Flag::MayReplicate,
                b"no-mandatory-keys" => Flag::NoMandatoryKeys,
                b"allow-busy" => Flag::AllowBusy,
                b"touches-arbitrary-keys" => Flag::ArbitraryKeys,
                b"internal" => {
                    flags.flags.push(Flag::NoScript);
                    Flag::OnlyInternal
                }
                b"random" => continue, // Deprecated, and without a meaning.
                b"getkeys-api" => {
                    flags.getkeys = true;
                    continue;
                }
                b"getchannels-api" => {
                    flags.getchannels = true;
                    continue;
                }
                b"no-cluster" => {
                    flags.no_cluster = true;
                    continue;
                }
                _ => return None,
            };
            flags.flags.push(flag);
        }
        Some(flags)
    }
}

/// Adds a command, or a subcommand of a container; `None` if the name is taken, or there is no room.
pub fn add(
    state: &mut State,
    decl: &'static Command,
    name: &str,
    parent: Option<CommandId>,
) -> Option<CommandId> {
    let full = match parent {
        Some(parent) => format!("{}|{name}", state.commands[parent].name),
        None => name.to_owned(),
    };
    if state.commands.find(full.as_bytes()).is_some() {
        return None;
    }
    state.commands.insert(decl, parent)
}

/// Gives a command another declaration.
pub fn redeclare(state: &mut State, id: CommandId, decl: &'static Command) {
    state.commands.redeclare(id, decl);
}

/// Takes a module's commands out of the table.
pub fn remove_all(state: &mut State, module: ModuleId) {
    let commands = state.modules.commands.iter();
    let own = commands.filter(|(_, command)| command.module.id == module);
    let mut ids: Vec<CommandId> = own.map(|(id, _)| *id).collect();
    // Subcommands, which have higher numbers, before their containers.
    ids.sort_unstable();
    for id in ids.into_iter().rev() {
        state.modules.commands.remove(&id);
        state.commands.remove(id);
        for client in state.clients.iter_mut() {
            if client.last_command == Some(id) {
                client.last_command = None;
            }
        }
    }
}

/// Puts a command into ACL categories, named in words. False if there is no such category; then nothing changed.
pub fn set_categories(state: &mut State, id: CommandId, names: &[u8]) -> bool {
    let mut bits = 0;
    for name in names.split(|b| *b == b' ').filter(|name| !name.is_empty()) {
        match state.commands.category(name) {
            Some(bit) => bits |= bit,
            None => return false,
        }
    }
    state.commands.set_categories(id, bits);
    true
}

/// Adds an ACL category.
///
/// # Errors
/// `errno`: the name is no name, is taken, or there are too many.
pub fn add_category(state: &mut State, module: ModuleId, name: &[u8]) -> Result<(), i32> {
    if !is_name(name) {
        return Err(libc::EINVAL);
    }
    if state.commands.category(name).is_some() {
        return Err(libc::EBUSY);
    }
    let name = String::from_utf8_lossy(name).into_owned();
    match state.commands.add_category(name, module.0) {
        true => Ok(()),
        false => Err(libc::ENOMEM),
    }
}

/// Whether this can be the name of a category or an option: letters, digits, `_` and `-`.
pub fn is_name(name: &[u8]) -> bool {
    let fits = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    !name.is_empty() && name.iter().all(fits)
}

/// The keys of a request, for `GetCommandKeys`.
///
/// # Errors
/// `errno`: no such command, or a wrong number of arguments.
pub fn keys_of(state: &crate::state::State, argv: Argv<'_>) -> Result<Vec<KeyRef>, i32> {
    if argv.is_empty() {
        return Err(libc::ENOENT);
    }
    let id = state.commands.lookup(argv).map_err(|_| libc::ENOENT)?;
    let entry = &state.commands[id];
    if !entry.has_keys {
        return Ok(Vec::new());
    }
    if !entry.accepts(argv.len()) {
        return Err(libc::EINVAL);
    }
    let keys = Keys::of(entry.decl, argv, Search::default()).unwrap_or_default();
    Ok(keys.iter().collect())
}
