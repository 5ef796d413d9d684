//! The beginning of a node: its file is locked and read, or written for the first time.
//!
//! Mirrors: clusterInit(), clusterLockConfig(), clusterLoadConfig() and verifyClusterConfigWithData()
//! (cluster_legacy.c).
//! Differs: the lock is on a file of its own that is never replaced. Redis locks the file that its first save renames
//! away, so a second process is not kept out after that.

use std::io::ErrorKind;

use super::{carry, node, slots, stats};
use crate::cluster::file::File;
use crate::cluster::machine::{Command, Machine};
use crate::cluster::migration::Operation;
use crate::cluster::slots::SlotSet;
use crate::config::{Primary, disk};
use crate::keyspace::DbId;
use crate::replication;
use crate::state::State;
use crate::util::crc16::SLOTS;

/// Largest file of a cluster that is read, in bytes.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Becomes the node that `cluster-config-file` describes, or a new one. The bus listens already; its port is in
/// `state.cluster.bus_port`. Returns false, with a line in the log, if the server cannot start. Outside of a cluster it
/// does nothing.
#[doc(alias = "clusterInit")]
pub fn start(state: &mut State) -> bool {
    if !state.config.cluster_enabled {
        return true;
    }
    let file = state.config.cluster_config_file.clone();
    let path = state.config.dir.join(&file);
    if !lock(state, &file) {
        return false;
    }
    let read = match state.disk.read(&path, MAX_FILE_BYTES) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    };
    let text = match read {
        Ok(text) => text,
        Err(error) => {
            let reason = disk::reason(&error);
            state.log.warning(format_args!(
                "Loading the cluster node config from {}: {reason}",
                path.display()
            ));
            return false;
        }
    };
    stats::configure(state);
    let (options, facts) = (node::options(state), node::facts(state));
    let seed = state.entropy.seed();
    let new = text.is_empty();
    let machine = match new {
        true => Ok(Machine::new(options, seed, &facts)),
        false => load(state, &text, options, seed, &facts),
    };
    let machine = match machine {
        Ok(machine) => machine,
        Err(damage) => {
            state
                .log
                .warning(format_args!("Unrecoverable error: {damage}"));
            return false;
        }
    };
    let id = machine.myself().id;
    state.log.notice(match new {
        true => format!("No cluster configuration found, I'm {id}"),
        false => format!("Node configuration loaded, I'm {id}"),
    });
    // A file that cannot be written is better known now than at the first vote.
    if let Err(error) = disk::replace(&state.disk, &path, machine.file().write().as_bytes()) {
        let reason = disk::reason(&error);
        state.log.warning(format_args!(
            "Can't write the cluster config file {}: {reason}",
            path.display()
        ));
        return false;
    }
    if !state.config.tls_cluster {
        state.log.warning(
            "WARNING: the cluster bus port is not authenticated: whoever can connect to it can join the cluster or \
             change it. Keep it away from other networks, or use tls-cluster.",
        );
    }
    // The data set that is loaded next goes on as that of a replica.
    let primary = machine.myself().primary;
    let primary = primary.and_then(|key| machine.nodes().get(key));
    if let Some(primary) = primary.filter(|primary| primary.has_address())
        && let Some(ip) = primary.ip
    {
        let port = match state.config.tls_replication {
            true => primary.tls_port,
            false => primary.port,
        };
        let host = ip.to_string();
        state.config.replicaof = Some(Primary { host, port });
        replication::act::link::follow_at_start(state);
    }
    state.cluster.machine = Some(Box::new(machine));
    true
}

fn load(
    state: &State,
    text: &[u8],
    options: crate::cluster::machine::Options,
    seed: u64,
    facts: &crate::cluster::machine::Facts,
) -> Result<Machine, String> {
    let file = File::read(text, state.config.tls_cluster).map_err(|damage| damage.to_string())?;
    for name in &file.skipped {
        state.log.notice(format_args!(
            "Skipping unknown cluster config variable '{name}'"
        ));
    }
    Machine::load(&file, options, seed, facts).map_err(str::to_owned)
}

/// Keeps other processes from the file, as long as this one lives.
#[doc(alias = "clusterLockConfig")]
fn lock(state: &mut State, file: &str) -> bool {
    let path = state.config.dir.join(format!("{file}.lock"));
    match state.disk.lock(&path) {
        Ok(Some(lock)) => {
            state.cluster.lock = Some(lock);
            true
        }
        Ok(None) => {
            state.log.warning(format_args!(
                "Sorry, the cluster configuration file {file} is already used by a different Redis Cluster node. \
                 Please make sure that different nodes use different cluster configuration files."
            ));
            false
        }
        Err(error) => {
            let reason = disk::reason(&error);
            state.log.warning(format_args!(
                "Can't open {} in order to acquire a lock: {reason}",
                path.display()
            ));
            false
        }
    }
}

/// The data set is loaded: slots with keys that nobody has become this node's, and slots of others are opened.
#[doc(alias = "verifyClusterConfigWithData")]
pub fn data_loaded(state: &mut State) {
    state.cluster.data_checked = true;
    if state.cluster.machine.is_none() || state.config.is_replica() {
        return;
    }
    end_cut_off_import(state);
    let mut found = SlotSet::new();
    let db = &state.keyspace[DbId(0)];
    for slot in (0..SLOTS).filter(|slot| db.slot_len(*slot) > 0) {
        found.insert(slot);
    }
    if !found.is_empty() {
        // It is never refused.
        let _ = carry::order(state, Command::KeysFound(&found));
    }
}

/// This primary has started, with a file that was saved in the middle of an import. The keys that had come are deleted,
/// unless their slots are this node's or nobody's.
fn end_cut_off_import(state: &mut State) {
    let wall = state.clock.unix_ms().max(0) as u64;
    let Some(task) = state.cluster.migrations.end_heard(wall) else {
        return;
    };
    let Some(machine) = state.cluster.machine() else {
        return;
    };
    if task.operation != Operation::Import {
        return;
    }
    let owners = machine.owners();
    let of_others = |slot: &u16| {
        owners
            .of(*slot)
            .is_some_and(|owner| owner != machine.my_key())
    };
    let slots: SlotSet = task.slots.iter().filter(of_others).collect();
    state.log.warning(format_args!(
        "Import task {} was under way when this data set was saved: slots={}",
        task.id,
        task.slots_text()
    ));
    slots::delete_keys(state, &slots);
}
