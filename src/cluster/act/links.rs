//! The bytes of the bus: connections come, go and bring messages.
//!
//! Mirrors: clusterAcceptHandler(), clusterReadHandler(), handleLinkIOError() and
//! clusterSendBufferLimitReached... of cluster_legacy.c.
//! Differs: a message that came whole is read where it lies; only a part of one is kept.

use std::net::IpAddr;

use super::carry;
use crate::cluster::bus;
use crate::cluster::machine::Input;
use crate::cluster::node::LinkId;
use crate::state::State;
use crate::wires::{Then, WireKey};

/// Bytes of a PUBLISH beside its channel and its message, generously.
const AROUND_A_MESSAGE: usize = 1 << 20;

/// Whether connections to the bus are taken now.
pub fn accepts(state: &State) -> bool {
    let machine = state.cluster.machine();
    machine.is_some_and(|machine| !carry::is_silent(state, machine))
}

/// Another node has connected.
pub fn accepted(state: &mut State, wire: WireKey, peer: IpAddr, local: IpAddr) {
    let link = state.cluster.links.number();
    state.cluster.links.insert(link, wire);
    let (peer, local) = (peer.to_canonical(), local.to_canonical());
    carry::step(state, Input::Accepted { link, peer, local });
}

/// A connection that the machine asked for stands.
pub fn connected(state: &mut State, wire: WireKey) {
    if let Some(link) = state.cluster.links.link(wire) {
        carry::step(state, Input::Connected { link });
    }
}

/// A connection has ended, or could not be made.
pub fn closed(state: &mut State, wire: WireKey, reason: &str) {
    if let Some(link) = state.cluster.links.link(wire) {
        state.log.debug(format_args!(
            "I/O error on a link of the cluster bus: {reason}"
        ));
        state.cluster.links.remove(link);
        carry::step(state, Input::Closed { link });
    }
}

/// Ends a connection by order of an operator, or because too much waits to be sent on it.
pub fn drop_link(state: &mut State, link: LinkId) {
    if let Some(wire) = state.cluster.links.remove(link) {
        state.wires.close(wire);
        carry::step(state, Input::Closed { link });
    }
}

/// Bytes have come.
#[doc(alias = "clusterReadHandler")]
pub fn received(state: &mut State, wire: WireKey, bytes: &[u8]) -> Then {
    let Some(link) = state.cluster.links.link(wire) else {
        return Then::Read;
    };
    let mut inbox = state.cluster.links.take_inbox(wire);
    if inbox.is_empty() {
        let used = read(state, link, wire, bytes);
        inbox.extend_from_slice(bytes.get(used..).unwrap_or_default());
    } else {
        inbox.extend_from_slice(bytes);
        let used = read(state, link, wire, &inbox);
        inbox.drain(..used.min(inbox.len()));
    }
    state.cluster.links.keep(wire, inbox);
    Then::Read
}

/// Reads the whole messages that bytes begin with. Returns how many bytes they have; all, if the link is gone.
fn read(state: &mut State, link: LinkId, wire: WireKey, bytes: &[u8]) -> usize {
    let mut used = 0;
    while used < bytes.len() {
        let Some(machine) = state.cluster.machine() else {
            return bytes.len();
        };
        let longest = state.config.proto_max_bulk_len.saturating_mul(2);
        let limit = machine.receive_limit(link);
        let limit = limit.min(longest.saturating_add(AROUND_A_MESSAGE));
        let rest = &bytes[used..];
        match bus::frame(rest, limit) {
            Ok(Some(len)) if len <= rest.len() => {
                used += len;
                let message = &rest[..len];
                carry::step(
                    state,
                    Input::Received {
                        link,
                        bytes: message,
                    },
                );
                if state.cluster.links.link(wire) != Some(link) {
                    return bytes.len();
                }
            }
            Ok(_) => break,
            Err(refused) => {
                state.log.warning(refused);
                drop_link(state, link);
                return bytes.len();
            }
        }
    }
    used
}

/// Ends the connections on which more waits to be sent than `cluster-link-sendbuf-limit` allows. The machine opens
/// others.
#[doc(alias = "freeClusterLinkOnBufferLimitReached")]
pub fn free_overfull(state: &mut State) {
    let limit = state.config.cluster_link_sendbuf_limit;
    if limit == 0 {
        return;
    }
    let used = |wire| state.wires.unsent(wire) as u64;
    let links = state.cluster.links.iter();
    let over: Vec<(LinkId, u64)> = links
        .map(|(link, wire)| (link, used(wire)))
        .filter(|(_, used)| *used > limit)
        .collect();
    for (link, used) in over {
        let way = match link {
            LinkId::Out(_) => "to",
            LinkId::In(_) => "from",
        };
        let machine = state.cluster.machine();
        let views = machine.map(|machine| machine.links_view());
        let view = views.into_iter().flatten().find(|view| view.link == link);
        let name = view.map_or_else(|| "unknown".to_owned(), |view| view.node.to_string());
        state.log.warning(format_args!(
            "Freeing cluster link({way} node {name}, used memory: {used}) due to exceeding send buffer memory limit."
        ));
        state.cluster.links.over_limit += 1;
        drop_link(state, link);
    }
}

/// Bytes of memory that the connections take: what waits to be sent, and messages that came in part.
pub fn memory(state: &State) -> usize {
    let queues: usize = state
        .cluster
        .links
        .iter()
        .map(|(_, wire)| state.wires.memory(wire))
        .sum();
    queues + state.cluster.links.inbox_memory()
}
