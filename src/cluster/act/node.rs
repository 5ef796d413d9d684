//! This node's address for clients, and the file that remembers the node.
//!
//! Mirrors: clusterLoadConfig() and clusterSaveConfig() of cluster_legacy.c.
//! Differs: a failure to write is returned; clusterSaveConfigOrDie() of Redis ends the process.

use std::io::ErrorKind;

use crate::cluster::BUS_PORT_OFFSET;
use crate::config::disk;
use crate::state::State;

/// Largest file of a cluster that is read, in bytes.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// `ip:port@bus port` of this node, and its host name if it announces one.
pub fn cluster_address(state: &State) -> String {
    let config = &state.config;
    let (ip, port, bus_port) = cluster_endpoint(state);
    let mut address = format!("{ip}:{port}@{bus_port}");
    if let Some(name) = config.cluster_announce_hostname.as_ref() {
        address.push(',');
        address.push_str(name);
    }
    address
}

/// The address, the port and the bus port this node tells others of. An address it was not told is empty.
pub fn cluster_endpoint(state: &State) -> (&str, u32, u32) {
    let config = &state.config;
    let ip = config.cluster_announce_ip.as_deref().unwrap_or("");
    let own = match config.tls_cluster {
        true => config.tls_port,
        false => config.port,
    };
    let port = match config.cluster_announce_port {
        0 => u32::from(own),
        announced => u32::from(announced),
    };
    let bus_port = match (config.cluster_announce_bus_port, config.cluster_port) {
        (0, 0) => u32::from(own) + BUS_PORT_OFFSET,
        (0, given) => u32::from(given),
        (announced, _) => u32::from(announced),
    };
    (ip, port, bus_port)
}

/// Becomes the node that `cluster-config-file` describes, or writes the file if there is none. Returns false, with a
/// line in the log, when that fails. Outside of a cluster it does nothing.
#[doc(alias = "clusterLoadConfig")]
pub fn load_cluster_file(state: &mut State) -> bool {
    if !state.config.cluster_enabled {
        return true;
    }
    let path = state.config.dir.join(&state.config.cluster_config_file);
    let read = state.disk.read(&path, MAX_FILE_BYTES);
    let text = match read.map(|text| String::from_utf8_lossy(&text).into_owned()) {
        Ok(text) if !text.is_empty() => text,
        Err(error) if error.kind() != ErrorKind::NotFound => {
            state.log.warning(format_args!(
                "Loading the cluster node config from {}: {}",
                path.display(),
                disk::reason(&error)
            ));
            return false;
        }
        _ => {
            state.log.notice(format_args!(
                "No cluster configuration found, I'm {}",
                state.cluster.id()
            ));
            return save_cluster_file(state);
        }
    };
    match state.cluster.read_file(&text) {
        Ok(()) => {
            state.log.notice(format_args!(
                "Node configuration loaded, I'm {}",
                state.cluster.id()
            ));
            true
        }
        Err(line) => {
            state.log.warning(format_args!(
                "Unrecoverable error: corrupted cluster config file {} at line {line}.",
                path.display()
            ));
            false
        }
    }
}

/// Writes `cluster-config-file`; false, and a line in the log, when that fails.
#[doc(alias = "clusterSaveConfig")]
pub fn save_cluster_file(state: &mut State) -> bool {
    let path = state.config.dir.join(&state.config.cluster_config_file);
    let text = state.cluster.file_text(&cluster_address(state));
    let written = disk::replace(&state.disk, &path, text.as_bytes());
    if let Err(error) = &written {
        let reason = disk::reason(error);
        state.log.warning(format_args!(
            "Could not write the cluster config file {}: {reason}",
            path.display()
        ));
    }
    written.is_ok()
}
