//! The bytes of the bus: connections come, go and bring messages.
//!
//! Mirrors: clusterAcceptHandler(), clusterReadHandler(), handleLinkIOError() and
//! clusterSendBufferLimitReached... of cluster_legacy.c.
//! Differs: a message that came whole is read where it lies; only a part of one is kept. A message that a client
//! publishes waits beside a connection's queue as soon as that is long, so that PONG, FAIL and votes go ahead of it (redis
//! 7216, 12196): in Redis they wait behind megabytes of PUBLISH, and the node is taken for dead.

use std::net::IpAddr;
use std::sync::Arc;

use super::carry;
use crate::cluster::bus::{self, Kind};
use crate::cluster::machine::Input;
use crate::cluster::node::LinkId;
use crate::state::State;
use crate::wires::{Then, WireKey};

/// Bytes of a PUBLISH beside its channel and its message, generously.
const AROUND_A_MESSAGE: usize = 1 << 20;

/// Bytes that wait on a connection before messages of clients are put off.
const AHEAD_BYTES: usize = 64 * 1024;

/// Sends a message. One of a client is put off while much waits on the connection; all others are not.
pub(super) fn send(state: &mut State, link: LinkId, bytes: Arc<[u8]>) {
    let Some(wire) = state.cluster.links.wire(link) else {
        return;
    };
    let kind = bus::peek(&bytes).ok().and_then(Kind::of);
    if kind.is_some_and(Kind::is_freight) {
        let long = state.wires.unsent(wire) >= AHEAD_BYTES;
        if long || state.cluster.links.puts_off(wire) {
            return state.cluster.links.put_off(wire, bytes);
        }
    }
    if let Some(out) = state.wires.out(wire) {
        out.extend_from_slice(&bytes);
    }
}

/// Sends messages of clients that were put off, on connections that have room again.
pub(super) fn send_put_off(state: &mut State) {
    if !state.cluster.links.any_put_off() {
        return;
    }
    let wires: Vec<WireKey> = state.cluster.links.iter().map(|(_, wire)| wire).collect();
    for wire in wires {
        while state.wires.unsent(wire) < AHEAD_BYTES {
            let Some(bytes) = state.cluster.links.take_put_off(wire) else {
                break;
            };
            if let Some(out) = state.wires.out(wire) {
                out.extend_from_slice(&bytes);
            }
        }
    }
}

/// Whether [`send_put_off`] would send something now.
pub(super) fn can_send(state: &State) -> bool {
    let links = &state.cluster.links;
    let ready = |wire| links.puts_off(wire) && state.wires.unsent(wire) < AHEAD_BYTES;
    links.any_put_off() && links.iter().any(|(_, wire)| ready(wire))
}

/// Bytes that wait to be sent on a connection.
pub fn unsent(state: &State, wire: WireKey) -> usize {
    state.wires.unsent(wire) + state.cluster.links.put_off_bytes(wire)
}

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
    let used = |wire| unsent(state, wire) as u64;
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

/// Bytes of memory that a connection's queue takes.
pub fn memory_of(state: &State, wire: WireKey) -> usize {
    state.wires.memory(wire) + state.cluster.links.put_off_bytes(wire)
}

/// Bytes of memory that the connections take: what waits to be sent, and messages that came in part.
pub fn memory(state: &State) -> usize {
    let queues: usize = state
        .cluster
        .links
        .iter()
        .map(|(_, wire)| memory_of(state, wire))
        .sum();
    queues + state.cluster.links.inbox_memory()
}
