//! The list of who does what when: before the loop sleeps, and in each turn of the cron.
//!
//! Each line calls the acting half of one room by its path, in Redis's order. Steps that need the sockets (reading,
//! writing, closing, TLS) stand around these calls in `event_loop.rs` and `cron.rs`.
//!
//! Mirrors: beforeSleep() and serverCron() of server.c.

use crate::background::{Closer, Helpers, Keeper, Syncer};
use crate::clients::PauseMode;
use crate::keyspace::{Ms, Pace};
use crate::modules::{EventData, EventId};
use crate::replication::failover::Stage;
use crate::state::State;
use crate::sys::files::Disk;
use crate::{
    clients, cluster, keyspace, modules, observe, persistence, replication, scripting, shutdown,
};

/// Puts another disk in, and lets others do what helper threads do: before anything was opened.
pub fn use_disk(state: &mut State, disk: Disk, helpers: Helpers) {
    state.closer = Closer::new(disk.clone(), helpers.clone());
    state
        .persistence
        .aof
        .use_syncer(Syncer::new(helpers.clone()));
    state.keeper = Keeper::new(helpers.clone());
    state.disk = disk;
    state.helpers = helpers;
}

/// Work between the commands of one turn of the loop and its sleep, in Redis's order.
pub fn before_sleep(state: &mut State) {
    clients::act::waits::end_overdue_waits(state);
    if state.pauses.mode() != PauseMode::None {
        clients::act::pause::update_pauses(state);
    }
    keyspace::act::expire::reap_expired(state);
    if !state.persistence.is_loading() {
        keyspace::act::expire::expire_some(state, Pace::Fast);
    }
    state.stats.lazyfreed_objects += state.lazyfree.take_freed();
    if !state.tracking.is_idle() {
        state.tracking.broadcast(&mut state.clients);
    }
    replication::act::failover::update_failover(state);
    replication::act::primary::serve_replicas(state);
    observe::act::calls::report_dropped_errors(state);
    clients::act::cron::close_over_limit(state);
    cluster::act::carry::before_sleep(state);
}

/// Periodic work; `runs` counts the calls, `hz` is how often they come.
pub fn cron(state: &mut State, runs: u64, hz: u32) {
    state.hz = hz;
    if state.config.watchdog_period > 0 {
        observe::act::watchdog::wind_watchdog(state);
    }
    clients::act::cron::cron(state, hz);
    if every(100, runs, hz) {
        observe::act::calls::sample_metrics(state);
        state.searchers.relieve();
        state.resident_bytes = state.resident_meter.read();
    }
    let used = crate::sys::alloc::used();
    if used > state.stats.peak_memory {
        state.stats.peak_memory = used;
        state.stats.peak_memory_s = state.clock.unix_seconds();
    }
    shutdown::act::cron(state);
    modules::act::fork::cron(state);
    if every(100, runs, hz) {
        cluster::act::carry::cron(state);
    }
    if state.persistence.is_loading() {
        if every(1000, runs, hz) {
            replication::act::link::care_for_link_while_loading(state);
        }
        return;
    }
    keyspace::act::fields::expire_due_fields(state, hz);
    keyspace::act::expire::expire_some(state, Pace::Slow { hz });
    if every(100, runs, hz) {
        cluster::act::migration::cron(state);
    }
    replication::act::writable::expire_own_keys(state);
    if every(1000, runs, hz) {
        state.peers.close_idle();
    }
    let urgent = state.replication.failover.stage != Stage::No;
    if every(if urgent { 100 } else { 1000 }, runs, hz) {
        replication::act::link::cron(state);
    }
    // Before each command as well; here for a bound that CONFIG SET lowered while no client sends a command.
    clients::act::tracking::limit_tracking(state);
    persistence::act::saving::cron(state, replication::act::full_sync::after_save);
    state.tell_modules(EventId::Cron, 0, EventData::Pair(hz as i32, 0));
    scripting::act::clients::free_scripts(state);
    if every(100, runs, hz) {
        scripting::act::clients::collect_garbage(state);
    }
}

/// Starts the helper threads that otherwise start when there is something to do: a process that is a server shows
/// them in every stack trace, and no command is the one that waits for a thread to be made.
#[doc(alias = "bioInit")]
pub fn start_helpers(state: &mut State) {
    state.closer.start();
    state.persistence.aof.start_syncer();
    state.lazyfree.start();
}

/// When the loop must wake up even if nothing happens, besides the cron: right after this moment.
pub fn next_deadline(state: &State) -> Option<Ms> {
    let (wait, pause) = (state.blocked.next_deadline(), state.pauses.next_end());
    let timer = modules::act::timers::next_deadline(state);
    wait.into_iter().chain(pause).chain(timer).min()
}

/// Whether something done every so many milliseconds is due in this turn of the cron.
#[doc(alias = "run_with_period")]
fn every(ms: u64, runs: u64, hz: u32) -> bool {
    let turn_ms = u64::from(1000 / hz.max(1));
    ms <= turn_ms || runs.is_multiple_of(ms / turn_ms.max(1))
}
