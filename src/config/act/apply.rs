//! The consequences of a change of the configuration, for options that are not just read wherever they are used.
//!
//! Mirrors: the update…() functions of config.c.

use crate::acl;
use crate::clients;
use crate::cluster;
use crate::config::{self, Apply, ApplyError, Config};
use crate::keyspace;
use crate::observe;
use crate::persistence;
use crate::state::State;
use crate::sys::{alloc, crash, limits, locale};

/// The consequences of a change. An option without an arm here has none: it is read wherever it is used.
impl Apply for State {
    fn config(&mut self) -> &mut Config {
        &mut self.config
    }

    fn apply(&mut self, changed: &[&'static str]) -> Result<(), ApplyError> {
        let mut listened = false;
        // TLS settings are applied before ports are opened, so that the first connection meets the new ones.
        if let Some(name) = changed.iter().find(|name| name.starts_with("tls-")) {
            follow_tls(self, name)?;
        }
        for &name in changed {
            match name {
                "bind" | "port" | "tls-port" if !listened => {
                    listened = true;
                    listen_again(self, name)?;
                }
                "requirepass" => acl::act::follow_requirepass(self),
                "loglevel" | "log-format" => self.config.tune_log(&self.log),
                "maxclients" => grant_clients(self)?,
                "maxmemory-policy" => keyspace::act::evict::maxmemory_policy_changed(self),
                "lfu-log-factor" | "lfu-decay-time" => keyspace::act::keys::tune_access_clock(self),
                "maxmemory" => {
                    check_maxmemory(self);
                    clients::act::evict::maxmemory_clients_changed(self);
                }
                "maxmemory-clients" => clients::act::evict::maxmemory_clients_changed(self),
                "appendonly" if !persistence::act::rewrite::follow_appendonly(self) => {
                    let reason = "Failed to enable the AOF. Check the server logs.";
                    return Err(ApplyError::new(name, reason));
                }
                "aof-disable-auto-gc" => persistence::act::rewrite::delete_history(self),
                "rdb-key-save-delay" => persistence::act::saving::save_delay_changed(self),
                "oom-score-adj" | "oom-score-adj-values" => config::act::set_oom_score(self, name)?,
                "proc-title-template" => observe::act::title::show_title(self),
                "watchdog-period" => observe::act::watchdog::wind_watchdog(self),
                "crash-log-enabled" => crash::report_signals(self.config.crash_log_enabled),
                "crash-memcheck-enabled" => {
                    crash::test_memory(self.config.crash_memcheck_enabled);
                }
                "hide-user-data-from-log" => {
                    crash::hide_user_data(self.config.hide_user_data_from_log);
                }
                "locale-collate" if !locale::exists(&self.config.locale_collate) => {
                    return Err(ApplyError::new(name, "Invalid locale name"));
                }
                "use-exit-on-panic" => crash::exit_on_panic(self.config.use_exit_on_panic),
                _ => {}
            }
        }
        cluster::act::carry::configure(self);
        Ok(())
    }

    fn could_not_follow(&mut self, option: &str) {
        self.log.warning(format_args!(
            "Failed applying new configuration. Possibly related to new {option} setting. Restoring \
             previous settings."
        ));
    }
}

fn listen_again(state: &mut State, name: &'static str) -> Result<(), ApplyError> {
    let Some(host) = state.host.as_mut() else {
        return Ok(());
    };
    match host.listen(&state.config) {
        Ok(port) => {
            state.tcp_port = port;
            Ok(())
        }
        Err(line) => {
            state.log.warning(line);
            let reason = match name {
                "bind" => {
                    state.log.warning("Failed to bind");
                    "Failed to bind to specified addresses."
                }
                _ => "Unable to listen on this port. Check server logs.",
            };
            Err(ApplyError::new(name, reason))
        }
    }
}

#[doc(alias = "updateMaxclients")]
fn grant_clients(state: &mut State) -> Result<(), ApplyError> {
    let wanted = state.config.maxclients;
    let granted = limits::clients(wanted);
    if granted == wanted {
        return Ok(());
    }
    let reason = format!(
        "The operating system is not able to handle the specified number of clients, try with \
         {granted}"
    );
    Err(ApplyError::new("maxclients", reason))
}

#[doc(alias = "updateMaxmemory")]
fn check_maxmemory(state: &mut State) {
    let (limit, used) = (state.config.maxmemory, alloc::used());
    if limit != 0 && limit < used as u64 {
        state.log.warning(format_args!(
            "WARNING: the new maxmemory value set via CONFIG SET ({limit}) is smaller than the \
             current memory usage ({used}). This will result in key eviction and/or the inability \
             to accept new write commands depending on the maxmemory-policy."
        ));
        state.eviction.running = true;
    }
}

#[doc(alias = "applyTlsCfg")]
fn follow_tls(state: &mut State, name: &'static str) -> Result<(), ApplyError> {
    let Some(host) = state.host.as_mut() else {
        return Ok(());
    };
    host.follow_tls(&state.config).map_err(|line| {
        state.log.warning(line);
        let reason = "Unable to update TLS configuration. Check server logs.";
        ApplyError::new(name, reason)
    })
}
