//! Other sentinels: how their hellos make them known, move them, and carry the primary's address.
//!
//! ```text
//!   run id unknown                          ──► +sentinel
//!   run id known at another address         ──► +sentinel-address-switch; moved in all groups
//!   address known under another run id      ──► +sentinel-invalid-addr; that run id is forgotten in all groups
//!   epoch above ours                        ──► adopted
//!   config epoch above the group's          ──► adopted, and the address with it: +switch-master
//! ```
//!
//! Mirrors: sentinelProcessHelloMessage(), sentinelTryConnectionSharing(), sentinelUpdateSentinelAddressInAllMasters().
//! Differs: a hello with the group's own config epoch and another address is logged: two sentinels were configured
//! with different primaries, which nothing would heal (redis 12271).

use super::hello::Hello;
use super::instance::Kind;
use super::{Address, Channel, Core, Group, Instance, Level, Sentinel};

/// Sentinels of a group at most. Strangers could otherwise fill the memory with hellos.
const MOST_PEERS: usize = 512;

impl Sentinel {
    /// A hello came, by the channel or as a PUBLISH; false if it is none.
    #[doc(alias = "sentinelProcessHelloMessage")]
    pub fn hear(&mut self, message: &[u8]) -> bool {
        // Most hellos are our own: a server sends each to all who listen.
        let speaker = message.split(|byte| *byte == b',').nth(2);
        if speaker == Some(self.core.my_id.as_bytes()) {
            return true;
        }
        let Some(hello) = Hello::parse(message) else {
            return false;
        };
        if !self.groups.contains_key(&hello.group) {
            return true;
        }
        self.meet(&hello);
        let now = self.core.now.ms;
        if let Some(group) = self.groups.get_mut(&hello.group) {
            self.core.adopt_epoch(hello.epoch, Some(group));
            self.core.adopt_config(group, &hello);
            if let Some(peer) = group.peers.get_mut(&hello.run_id) {
                peer.last_hello = now;
            }
        }
        true
    }

    /// Makes the speaker known where it says it is.
    fn meet(&mut self, hello: &Hello) {
        let address = Address::new(&hello.ip, hello.port);
        let Some(group) = self.groups.get_mut(&hello.group) else {
            return;
        };
        let known = group.peers.get(&hello.run_id);
        if known.is_some_and(|peer| peer.address.is(&address)) {
            return;
        }
        let moved = known.is_some();
        if moved {
            let more = format!("ip {} port {} for {}", hello.ip, hello.port, hello.run_id);
            self.core
                .event_of_group(Level::Notice, "+sentinel-address-switch", group, &more);
        } else {
            let same_place = group.peers.values().find(|peer| peer.address.is(&address));
            if let Some(other) = same_place.cloned() {
                self.core
                    .event_of(Level::Notice, "+sentinel-invalid-addr", group, &other, "");
                self.forget_peer(&other.name);
            }
        }
        if moved {
            self.move_peer(&hello.run_id, &address, &hello.group);
        } else if self.add_peer(&hello.group, &hello.run_id, address)
            && let Some(group) = self.groups.get(&hello.group)
            && let Some(peer) = group.peers.get(&hello.run_id)
        {
            self.core
                .event_of(Level::Notice, "+sentinel", group, peer, "");
        }
        self.core.changed();
    }

    /// Adds a sentinel to a group; one that is known in other groups shares its link.
    pub(super) fn add_peer(&mut self, name: &str, run_id: &str, address: Address) -> bool {
        let shared = self
            .groups
            .values()
            .find_map(|group| group.peers.get(run_id));
        let shared = shared.map(|peer| peer.link);
        let Some(group) = self.groups.get_mut(name) else {
            return false;
        };
        let usable = address.ip.is_some() || self.core.settings.resolve_hostnames;
        if group.peers.len() >= MOST_PEERS || !usable || group.peers.contains_key(run_id) {
            return false;
        }
        let mut peer = Instance::new(&mut self.core, Kind::Peer, run_id.to_owned(), address);
        peer.run_id = Some(run_id.to_owned());
        peer.down_after = group.primary.down_after;
        if let Some(shared) = shared {
            self.core.release_link(peer.link);
            self.core.links[shared].users += 1;
            peer.link = shared;
        }
        group.peers.insert(run_id.to_owned(), peer);
        true
    }

    /// Forgets a sentinel in all groups.
    fn forget_peer(&mut self, run_id: &str) {
        for group in self.groups.values_mut() {
            if let Some(peer) = group.peers.remove(run_id) {
                self.core.release_link(peer.link);
            }
        }
    }

    /// A sentinel is elsewhere now, in all groups.
    #[doc(alias = "sentinelUpdateSentinelAddressInAllMasters")]
    fn move_peer(&mut self, run_id: &str, to: &Address, of: &str) {
        let mut others = 0;
        for group in self.groups.values_mut() {
            if let Some(peer) = group.peers.get_mut(run_id) {
                peer.address = to.clone();
                let link = peer.link;
                self.core.close_channel(link, Channel::Commands);
                self.core.links[link].tried_at = None;
                others += usize::from(group.name != of);
            }
        }
        if others > 0
            && let Some(group) = self.groups.get(of)
            && let Some(peer) = group.peers.get(run_id)
        {
            let more = format!("{others} additional matching instances");
            self.core.event_of(
                Level::Notice,
                "+sentinel-address-update",
                group,
                peer,
                &more,
            );
        }
    }
}

impl Core {
    /// Takes over the primary's address from who knows a newer one.
    fn adopt_config(&mut self, group: &mut Group, hello: &Hello) {
        let to = Address::new(&hello.primary_host, hello.primary_port);
        let same = group.primary.address.is(&to);
        if hello.config_epoch == group.config_epoch && !same && !group.failover.is_running() {
            let told = self
                .told_conflict
                .replace((group.name.clone(), hello.run_id.clone()));
            if told != self.told_conflict {
                let line = format!(
                    "Sentinel {} has {} {} as the primary of {}, at our config epoch {}: one of us was configured wrongly",
                    hello.run_id,
                    hello.primary_host,
                    hello.primary_port,
                    group.name,
                    group.config_epoch
                );
                self.log(Level::Warning, line);
            }
        }
        if hello.config_epoch <= group.config_epoch {
            return;
        }
        group.config_epoch = hello.config_epoch;
        self.changed();
        if same {
            return;
        }
        if to.ip.is_none() && !self.settings.resolve_hostnames {
            return;
        }
        if let Some(peer) = group.peers.get(&hello.run_id) {
            self.event_of(Level::Warning, "+config-update-from", group, peer, "");
        }
        self.announce_switch(group, &to);
        self.call_reconfig_script(group, "observer", &to);
        self.change_address(group, &to);
    }
}
