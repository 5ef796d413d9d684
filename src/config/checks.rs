//! The form that some text options must have, and the error sentences for values that lack it.
//!
//! Mirrors: the isValid…() functions of config.c.

use super::Config;
use super::kinds::{Kind, Line, Number, Reason};

fn require(holds: bool, reason: &'static str) -> Result<(), Reason> {
    if holds { Ok(()) } else { Err(reason.into()) }
}

/// A name without a path before it.
fn is_base_name(name: &str) -> bool {
    !name.contains(['/', '\\'])
}

#[doc(alias = "isValidDBfilename")]
pub fn rdb_name(name: &str) -> Result<(), Reason> {
    require(
        is_base_name(name),
        "dbfilename can't be a path, just a filename",
    )
}

#[doc(alias = "isValidAOFfilename")]
pub fn aof_name(name: &str) -> Result<(), Reason> {
    require(!name.is_empty(), "appendfilename can't be empty")?;
    require(
        is_base_name(name),
        "appendfilename can't be a path, just a filename",
    )
}

#[doc(alias = "isValidAOFdirname")]
pub fn aof_dir_name(name: &str) -> Result<(), Reason> {
    require(!name.is_empty(), "appenddirname can't be empty")?;
    require(
        is_base_name(name),
        "appenddirname can't be a path, just a dirname",
    )
}

pub fn backup_dir_name(name: &str) -> Result<(), Reason> {
    require(!name.is_empty(), "backupdirname can't be empty")?;
    require(
        is_base_name(name),
        "backupdirname can't be a path, just a dirname",
    )
}

/// `aof:` or `rdb:` and an absolute path without detours; empty for none.
pub fn preload(file: &str) -> Result<(), Reason> {
    if file.is_empty() {
        return Ok(());
    }
    let path = file.strip_prefix("aof:/").or(file.strip_prefix("rdb:/"));
    let path = path.ok_or("argument must be in the format '[aof|rdb]:[filename]'")?;
    let detour = path.split('/').any(|part| matches!(part, "" | "." | ".."));
    require(
        !detour,
        "preload-file path must be a normalized absolute file path",
    )?;
    let ends_well = path
        .rsplit_once('.')
        .is_some_and(|(_, end)| !end.is_empty());
    require(ends_well, "preload-file must end with an extension")
}

/// A DNS name and its terminating zero fit into this many bytes.
const HOST_NAME_LEN: usize = 256;

#[doc(alias = "isValidAnnouncedHostname")]
pub fn host_name(name: &str) -> Result<(), Reason> {
    require(
        name.len() < HOST_NAME_LEN,
        "Hostnames must be less than 256 characters",
    )?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    require(
        name.bytes().all(allowed),
        "Hostnames may only contain alphanumeric characters, hyphens or dots",
    )
}

/// A node's name must not contain what separates the fields of nodes.conf.
#[doc(alias = "isValidAnnouncedNodename")]
pub fn node_name(name: &str) -> Result<(), Reason> {
    let allowed = |c: char| !c.is_control() && !"!#$%&()*+:;<>?@[]^{|}~".contains(c);
    require(
        name.chars().all(allowed),
        "Announced human node name contained invalid character",
    )
}

/// Names separated by spaces; empty for none.
pub fn peer_names(names: &str) -> Result<(), Reason> {
    let other_space = names.contains(|c: char| c.is_ascii_whitespace() && c != ' ');
    require(
        !other_space && !names.contains('\x0b'),
        "tls-expected-peer-name must not contain whitespace other than spaces",
    )?;
    let usable = names.is_empty() || !names.trim().is_empty();
    require(usable, "tls-expected-peer-name contains no usable name")
}

/// The variables that a title template may name.
pub const TITLE_VARIABLES: [&str; 7] = [
    "title",
    "listen-addr",
    "server-mode",
    "config-file",
    "port",
    "tls-port",
    "unixsocket",
];

/// Fills in a template: `{name}` is a variable, `{{` a brace. `None` when it names an unknown one
/// or ends inside a name.
#[doc(alias = "sdstemplate")]
pub fn expand_title(template: &str, value: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut expanded = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        expanded.push_str(before);
        if let Some(after) = after.strip_prefix('{') {
            expanded.push('{');
            rest = after;
            continue;
        }
        let (name, after) = after.split_once('}')?;
        expanded.push_str(&value(name)?);
        rest = after;
    }
    expanded.push_str(rest);
    Some(expanded.trim_matches(' ').to_owned())
}

#[doc(alias = "validateProcTitleTemplate")]
pub fn title_template(template: &str) -> Result<(), Reason> {
    // The empty title shows what is left of it when nothing is known.
    let known = |name: &str| match name {
        "listen-addr" | "config-file" | "port" | "tls-port" => Some("-".to_owned()),
        name => TITLE_VARIABLES.contains(&name).then(String::new),
    };
    let expanded = expand_title(template, known);
    require(
        expanded.is_some_and(|title| !title.is_empty()),
        "template format is invalid or contains unknown variables",
    )
}

/// The option that cannot be set so while the server runs, if one is, and why: what keys weigh is counted from the first
/// one on or not at all, and a protected bus stays under TLS.
pub fn at_start_only(old: &Config, new: &Config) -> Option<(&'static str, &'static str)> {
    const REASON: &str = "memory tracking cannot be enabled at runtime";
    let of_keys = new.key_memory_histograms && !old.key_memory_histograms;
    let of_slots = |config: &Config| config.cluster_slot_stats_enabled.memory;
    let of_slots = new.cluster_enabled && of_slots(new) && !of_slots(old);
    match (of_keys, of_slots, bus_is_open(new)) {
        (true, ..) => Some(("key-memory-histograms", REASON)),
        (_, true, _) => Some(("cluster-slot-stats-enabled", REASON)),
        (.., true) if old.cluster_bus_port_protected_mode => Some((
            "tls-cluster",
            "can't disable tls-cluster while cluster-bus-port-protected-mode is enabled",
        )),
        (.., true) => Some((
            "cluster-bus-port-protected-mode",
            "can't enable cluster-bus-port-protected-mode while tls-cluster is disabled",
        )),
        _ => None,
    }
}

/// Whether the bus of a cluster would be open to everybody although that is forbidden.
pub fn bus_is_open(config: &Config) -> bool {
    config.cluster_bus_port_protected_mode && config.cluster_enabled && !config.tls_cluster
}

/// A power of two.
#[derive(Debug)]
pub struct PowerOfTwo;

impl Kind<u32> for PowerOfTwo {
    fn parse(&self, args: &[&[u8]], old: &u32) -> Result<u32, Reason> {
        let value = super::kinds::Int(1, u32::MAX.wide() as i64).parse(args, old)?;
        require(
            u32::is_power_of_two(value),
            "array-slice-size must be a power of two",
        )?;
        Ok(value)
    }

    fn show(&self, value: &u32) -> Vec<u8> {
        value.to_string().into_bytes()
    }

    fn lines(&self, name: &str, value: &u32, default: &u32) -> Vec<Line> {
        super::kinds::Int(1, 1).lines(name, value, default)
    }
}
