//! Inputs go to the machine, and its acts are done in their order.
//!
//! ```text
//!   socket, timer, disk, PUBLISH ──▶ step ──▶ machine ──▶ [ Send, Save, Follow, … ] ──▶ carry
//!   CLUSTER …                    ──▶ order ─▶
//! ```
//!
//! No act calls the machine again: what becomes of a connection or of a save is a later input. While a script runs
//! beyond its time the bus goes on, but acts that change data wait for the script's end, so that it sees one data set.
//!
//! Mirrors: clusterCron(), clusterBeforeSleep() and the calls that cluster_legacy.c makes where it stands.

use super::{handover, links, migration, moving, node, save, slots, stats};
use crate::clients::{PauseMode, PausePurpose};
use crate::cluster::machine::{Act, Command, Facts, Input, Level, Machine, Reply};
use crate::config::Primary;
use crate::keyspace::{DbId, Ms};
use crate::pubsub::Kind;
use crate::state::State;
use crate::sys::log;
use crate::wires::{Dial, Owner};
use crate::{clients, command, keyspace, replication};

/// A tick may come so much earlier than the machine asked for it, in milliseconds.
const EARLY_MS: u64 = 2;

/// A tick may come so much earlier with the server's own cron. Both come ten times a second: once one tick was early or
/// late, the process wakes up for both at the same time.
const EARLY_WITH_CRON_MS: u64 = 60;

/// A tick may come so much later with the server's own cron. Together with [`EARLY_WITH_CRON_MS`] that is the interval.
const LATE_WITH_CRON_MS: u64 = 40;

/// The facts of this moment, by a clock that does not go back behind a tick that came early.
fn facts(state: &mut State) -> Facts {
    let mut facts = node::facts(state);
    facts.now_ms = facts.now_ms.max(state.cluster.told_ms);
    state.cluster.told_ms = facts.now_ms;
    facts
}

/// Hands the machine an input and does what follows from it. Outside of a cluster it does nothing.
pub fn step(state: &mut State, input: Input<'_>) {
    if state.cluster.machine.is_none() {
        return;
    }
    let facts = facts(state);
    if let Some(machine) = &mut state.cluster.machine {
        let acts = machine.step(&facts, input);
        carry(state, acts);
    }
}

/// Carries out an order of CLUSTER: its reply, and the save that the reply waits for, if it does.
///
/// # Errors
/// The words of the refusal, without `ERR`.
pub fn order(state: &mut State, command: Command<'_>) -> Result<(Reply, Option<u64>), String> {
    let facts = facts(state);
    let Some(machine) = &mut state.cluster.machine else {
        return Err("This instance has cluster support disabled".to_owned());
    };
    let epoch = machine.myself().epoch;
    let (answer, acts) = machine.command(&facts, command);
    // A tool moves thousands of slots one by one. Other nodes hear of each when it is on disk; the tool waits where this
    // node takes a new epoch, which is once.
    let of_slot = matches!(command, Command::SetSlot { .. });
    let waits = !of_slot || machine.myself().epoch != epoch;
    let barrier = machine.barrier().filter(|_| waits);
    carry(state, acts);
    answer.map(|reply| (reply, barrier))
}

/// Tells the machine of changed options.
pub fn configure(state: &mut State) {
    stats::configure(state);
    if state.cluster.machine.is_some() {
        let options = node::options(state);
        step(state, Input::Configure(Box::new(options)));
    }
}

/// Whether time stands still for this node: a primary that loads its data set cannot serve its slots, so it keeps silent
/// and lets its replicas take over.
pub(super) fn is_silent(state: &State, machine: &Machine) -> bool {
    state.persistence.is_loading() && machine.myself().is_primary() && !state.config.is_replica()
}

/// Lets time pass, if the machine is due.
#[doc(alias = "clusterCron")]
pub fn tick(state: &mut State) {
    links::send_put_off(state);
    tick_within(state, EARLY_MS);
}

/// As [`tick`], when the process is awake for its cron.
pub fn cron(state: &mut State) {
    handover::release_overdue(state);
    tick_within(state, EARLY_WITH_CRON_MS);
}

fn tick_within(state: &mut State, early_ms: u64) {
    let Some(machine) = state.cluster.machine() else {
        return;
    };
    let now = node::now_ms(state);
    let early = machine.wake_ms().min(now + early_ms);
    let due = machine.wake_ms() == early || machine.in_manual_failover();
    if !due || is_silent(state, machine) {
        return;
    }
    state.cluster.told_ms = state.cluster.told_ms.max(early);
    links::free_overfull(state);
    save::retry(state, now);
    step(state, Input::Tick);
}

/// Does what is due before the loop sleeps.
#[doc(alias = "clusterBeforeSleep")]
pub fn before_sleep(state: &mut State) {
    while let Some(act) = state.cluster.postponed.pop_front() {
        perform(state, act);
    }
    tick(state);
    migration::before_sleep(state);
}

/// How long the loop may sleep, in milliseconds; `None`: until the server's own cron, which comes in so many.
pub fn sleep_ms(state: &State, until_cron_ms: u64) -> Option<u64> {
    let machine = state.cluster.machine()?;
    if migration::is_busy(state) || links::can_send(state) {
        return Some(0);
    }
    if is_silent(state, machine) {
        return None;
    }
    let wait = machine.wake_ms().saturating_sub(node::now_ms(state));
    let with_cron = machine.wakes_for_cron() && until_cron_ms <= wait + LATE_WITH_CRON_MS;
    (!with_cron).then_some(wait)
}

/// Does acts in their order.
fn carry(state: &mut State, acts: Vec<Act>) {
    for act in acts {
        let changes_data = matches!(
            act,
            Act::Follow { .. }
                | Act::FollowNobody
                | Act::Empty
                | Act::DeleteKeys(_)
                | Act::SlotsLeft(_)
                | Act::StateChanged { .. }
        );
        if changes_data && (state.scripts.is_busy() || !state.cluster.postponed.is_empty()) {
            state.cluster.postponed.push_back(act);
        } else {
            perform(state, act);
        }
    }
}

fn perform(state: &mut State, act: Act) {
    match act {
        Act::Dial { link, ip, port } => {
            let from = state.config.bind_source_addr.as_deref();
            let dial = Dial {
                to: (ip, port).into(),
                from: from.and_then(|address| address.parse().ok()),
                tls: state.config.tls_cluster,
            };
            let wire = state.wires.dial(Owner::Bus, dial);
            state.cluster.links.insert(link, wire);
        }
        Act::Send { link, bytes } => links::send(state, link, bytes),
        Act::Close { link } => {
            if let Some(wire) = state.cluster.links.remove(link) {
                state.wires.close(wire);
            }
        }
        // Forced to disk in any case: a file that was renamed without that may be empty after a power cut.
        Act::Save { token, text, .. } => save::begin(state, token, text),
        Act::Follow { ip, port, tls_port } => {
            let port = match state.config.tls_replication {
                true => tls_port,
                false => port,
            };
            follow(state, ip.to_string(), port);
        }
        Act::FollowNobody => {
            replication::act::link::follow_nobody(state);
            migration::left_primary(state);
        }
        Act::Empty => empty(state),
        Act::SlotsLost(left) => handover::lost(state, left),
        Act::SlotsTaken => handover::taken(state),
        Act::DeleteKeys(left) => slots::delete_keys(state, &moving::not_moving(state, left)),
        Act::SlotsLeft(left) => {
            state.cluster.stats.forget(&left);
            slots::leave_channels(state, &left);
            slots::redirect_blocked(state);
        }
        Act::Pause { until_ms } => {
            moving::cancel(state, None, "manual failover");
            let for_ms = until_ms.saturating_sub(node::now_ms(state));
            let end = state.clock.unix_ms().saturating_add(for_ms as Ms);
            let purpose = PausePurpose::Failover;
            clients::act::pause::pause_clients(state, purpose, PauseMode::Write, end);
        }
        Act::Unpause => {
            let purpose = PausePurpose::Failover;
            clients::act::pause::pause_clients(state, purpose, PauseMode::None, 0);
        }
        Act::StateChanged { .. } => slots::redirect_blocked(state),
        Act::Publish {
            shard,
            channel,
            text,
        } => {
            let kind = if shard { Kind::Shard } else { Kind::Channel };
            let receivers = state
                .pubsub
                .publish(&mut state.clients, kind, &channel, &text);
            if shard {
                stats::published(state, &channel, &text, receivers);
            }
        }
        Act::Module {
            from,
            module,
            kind,
            payload,
        } => {
            if let Some(doors) = state.module_doors {
                (doors.cluster_message)(state, &from, module, kind, &payload);
            }
        }
        Act::Log { level, text } => write_log(state, level, &text),
    }
}

/// Writes a line of a machine into the log.
pub(super) fn write_log(state: &State, level: Level, text: &str) {
    let level = match level {
        Level::Debug => log::Level::Debug,
        Level::Verbose => log::Level::Verbose,
        Level::Notice => log::Level::Notice,
        Level::Warning => log::Level::Warning,
    };
    state.log.write(level, &text);
}

/// Replicates a primary, unless that is done already: after a start the data set that was loaded goes on where it was.
fn follow(state: &mut State, host: String, port: u16) {
    let primary = Primary { host, port };
    if state.config.replicaof.as_ref() != Some(&primary) {
        replication::act::link::follow(state, primary);
        migration::left_primary(state);
    }
}

/// Drops the whole data set: a replica was reset.
#[doc(alias = "emptyData")]
fn empty(state: &mut State) {
    let gone = keyspace::act::keys::empty(state, None);
    let keys: usize = gone.iter().map(|table| table.len()).sum();
    if keys == 0 {
        return;
    }
    state.dirty += keys as u64;
    state.lazyfree.free(gone, keys);
    // The append-only file would bring the keys back.
    if state.effects.listening != command::Targets::NONE {
        state.effects.enter();
        let argv = crate::resp::argv::OwnedArgv::from_words(["FLUSHALL"]);
        let targets = command::Targets::ALL;
        state.effects.say(DbId(0), argv.as_argv(), targets);
        if state.effects.leave() {
            command::act::after_unit(state);
        }
    }
}
