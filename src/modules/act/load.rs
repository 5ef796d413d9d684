//! A module is loaded and unloaded.
//!
//! ```text
//!   MODULE LOAD path    may it be executed? -> dlopen -> OnLoad(ctx, argv) -> options applied -> registered
//!                              |                 |            |                  |
//!                              +-----------------+------------+------------------+-> undone, and a line in the log
//! ```
//!
//! Mirrors: moduleLoad(), moduleUnload(), moduleLoadFromQueue() of module.c.

use std::path::Path;

use crate::acl;
use crate::modules::{EventData, EventId, Loaded, ModuleId, abi};
use crate::state::{LoadRequest, State};
use crate::sys::files::Disk;

/// Loads a module. Why it failed is in the log.
#[doc(alias = "moduleLoad")]
pub fn load(state: &mut State, request: &LoadRequest) -> bool {
    let path = String::from_utf8_lossy(&request.path).into_owned();
    if !may_execute(&path) {
        state.log.warning(format_args!(
            "Module {path} failed to load: It does not have execute permissions."
        ));
        return false;
    }
    if !abi::gate::own(state) {
        state.log.warning(format_args!(
            "Module {path} failed to load: another server of this process has modules"
        ));
        return false;
    }
    if let Some(options) = &request.options {
        for (name, value) in options {
            queue_option(state, name, value);
        }
    }
    let ex = request.options.is_some();
    match abi::library::load(state, &path, &request.args) {
        Ok(Loading { module, library }) => {
            state.modules.loaded.push(Loaded {
                module: module.clone(),
                path: path.clone(),
                args: request.args.clone(),
                library,
            });
            acl::act::recompute_users(state);
            let name = &module.name;
            state
                .log
                .notice(format_args!("Module '{name}' loaded from {path}"));
            if ex && !state.modules.queued_options.is_empty() {
                state.log.warning(
                    "Loadex configurations were not applied, likely due to invalid arguments. Unloading the module.",
                );
                state.modules.queued_options.clear();
                let _ = unload_with(state, name.as_bytes(), true);
                return false;
            }
            if super::config::forgot_to_load(state, &module) {
                state.log.warning(
                    "Module Configurations were not set, missing LoadConfigs call. Unloading the module.",
                );
                let _ = unload_with(state, name.as_bytes(), true);
                return false;
            }
            tell(state, 0, &module);
            true
        }
        Err(line) => {
            state.log.warning(line);
            if ex {
                state.modules.queued_options.clear();
            }
            acl::act::recompute_users(state);
            false
        }
    }
}

/// A module that has registered itself.
#[derive(Debug)]
pub struct Loading {
    pub module: std::sync::Arc<crate::modules::Module>,
    pub library: crate::modules::Opaque,
}

/// Notes a value for an option of a module to come; the last value of a name counts.
pub fn queue_option(state: &mut State, name: &[u8], value: &[u8]) {
    let queue = &mut state.modules.queued_options;
    queue.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    queue.push((name.to_vec(), value.to_vec()));
}

/// Whether a file, if it is there at all, may be executed by somebody. A missing one fails later, in words of the
/// system.
fn may_execute(path: &str) -> bool {
    let found = Disk::machine().metadata(Path::new(path));
    found.map_or(true, |found| {
        found.mode.is_none_or(|mode| mode & 0o111 != 0)
    })
}

/// Unloads a module.
///
/// # Errors
/// The sentence for the client.
#[doc(alias = "moduleUnload")]
pub fn unload(state: &mut State, name: &[u8]) -> Result<(), String> {
    unload_with(state, name, false)
}

/// As [`unload`]. A module that has just been loaded and cannot stay goes whatever it has registered (`forced`).
fn unload_with(state: &mut State, name: &[u8], forced: bool) -> Result<(), String> {
    let Some(loaded) = state.modules.find(name) else {
        return Err("no such module with that name".into());
    };
    let (module, library) = (loaded.module.clone(), loaded.library);
    let id = module.id;
    if let Some(reason) = kept_by(state, id).filter(|_| !forced) {
        return Err(reason.into());
    }
    if !abi::library::ask_to_unload(state, &module, library) && !forced {
        return Err("operation not possible.".into());
    }
    forget(state, id);
    abi::library::forget_functions(state, library);
    tell(state, 1, &module);
    let name = &module.name;
    if let Err(reason) = abi::library::close(library) {
        state.log.warning(format_args!(
            "Error when trying to close the {name} module: {reason}"
        ));
    }
    state.log.notice(format_args!("Module {name} unloaded"));
    acl::act::recompute_users(state);
    Ok(())
}

/// Tells other modules that one was loaded (0) or unloaded (1).
fn tell(state: &mut State, sub: u64, module: &crate::modules::Module) {
    let data = EventData::Module {
        id: module.id,
        name: &module.name,
        version: module.version,
    };
    state.tell_modules(EventId::Module, sub, data);
}

/// Removes whatever a module added.
pub fn forget(state: &mut State, id: ModuleId) {
    super::commands::remove_all(state, id);
    abi::keymeta::forget(state, id);
    state.commands.remove_categories(id.0);
    state.modules.forget(id);
}

/// Why a module cannot be unloaded now.
fn kept_by(state: &State, id: ModuleId) -> Option<&'static str> {
    let modules = &state.modules;
    if modules.types.iter().any(|known| known.module == id) {
        return Some("the module exports one or more module-side data types, can't unload");
    }
    if !modules.users_of(id).is_empty() {
        return Some(
            "the module exports APIs used by other modules. Please unload them first and try again",
        );
    }
    let queued = |client: &crate::clients::Client| {
        let transaction = client.transaction.as_ref();
        transaction.is_some_and(|transaction| {
            transaction.queued().any(|(command, _)| {
                let own = modules.commands.get(&command);
                own.is_some_and(|own| own.module.id == id)
            })
        })
    };
    if state.clients.iter().any(queued) {
        return Some(
            "the module has commands queued in transactions. Please finish those first and try again",
        );
    }
    if modules.blocked_by(id) > 0 {
        return Some(
            "the module has blocked clients. Please wait for them to be unblocked and try again",
        );
    }
    if modules.timers.values().any(|timer| timer.module.id == id) {
        return Some(
            "the module holds timer that is not fired. Please stop the timer or wait until it fires.",
        );
    }
    None
}

/// Loads the modules that the configuration names. False, and lines in the log, when one cannot be loaded: the server
/// ends then, because it would answer "unknown command" to those who rely on it.
#[doc(alias = "moduleLoadFromQueue")]
pub fn load_configured(state: &mut State) -> bool {
    for (name, values) in state.config.directives.module_options.clone() {
        queue_option(state, &name, &values.join(&b' '));
    }
    for words in state.config.directives.modules.clone() {
        let Some((path, args)) = words.split_first() else {
            continue;
        };
        let request = LoadRequest {
            path: path.clone(),
            args: args.to_vec(),
            options: None,
        };
        if !load(state, &request) {
            let path = String::from_utf8_lossy(path);
            state.log.warning(format_args!(
                "Can't load module from {path}: server aborting"
            ));
            return false;
        }
    }
    if !state.modules.queued_options.is_empty() {
        state.log.warning(
            "Module Configuration detected without loadmodule directive or no ApplyConfig call: aborting",
        );
        return false;
    }
    true
}
