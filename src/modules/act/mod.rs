//! The acting half of modules: loading and unloading, and their callbacks at the right moment.
//!
//! Everything here is safe code that takes a whole state. The calls into a module are made by `modules/abi`.

pub mod call;
pub mod commands;
pub mod config;
pub mod filters;
pub mod fork;
pub mod load;
pub mod notify;
pub mod timers;
pub mod watches;

use crate::state::{ModuleDoors, State};

/// Runs the wait of the loop: threads of modules may use the state meanwhile.
pub fn wait<R>(state: &mut State, wait: impl FnOnce() -> R) -> R {
    super::abi::gate::around(state, wait)
}

/// Lets a server load modules.
pub fn install(state: &mut State) {
    state.module_doors = Some(ModuleDoors {
        load: load::load,
        unload: load::unload,
        notify: notify::tell,
        filter: |state, client, argv| filters::filtered(state, client, argv, None),
        info: super::abi::info::sections,
        serve: super::abi::blocked::serve,
        timed_out: super::abi::blocked::timed_out,
        gone: super::abi::blocked::gone,
        may_time_out: super::abi::blocked::may_time_out,
        is_unblocked: super::abi::blocked::is_unblocked,
        event: super::abi::events::fire,
        key_event: super::abi::events::fire_key,
        serve_call: super::abi::promises::serve,
        user_changed: super::abi::users::tell_changed,
        log_in: super::abi::auth::log_in,
        cluster_message: super::abi::cluster::receive,
        get_options: config::get,
        set_options: config::set,
        option_lines: config::lines,
        realise: super::abi::types::realise,
        realise_meta: super::abi::keymeta::realise,
        load_aux: super::abi::types::load_aux,
        save_aux: super::abi::types::aux_data,
        post_jobs: notify::run_post_jobs,
    });
}
