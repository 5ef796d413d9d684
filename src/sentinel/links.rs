//! Links: the two connections to a watched server, or the one to another sentinel, and what was asked on them.
//!
//! A server's link carries commands on one connection and hellos on another. The link to a sentinel carries commands
//! only, and is shared by all groups in which the same sentinel is known: `users` counts them.
//!
//! Replies come in the order of the commands, so a link keeps a queue of [`Tag`]s that say what each reply answers. A tag
//! names its instance; if that is gone when the reply comes, the reply is dropped.
//!
//! Mirrors: `instanceLink`, sentinelReconnectInstance(), instanceLinkCloseConnection(), sentinelSendAuthIfNeeded() of
//! sentinel.c. Differs: no callback holds a pointer to an instance.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::instance::Kind;
use super::{Channel, Core, Group, Ms, Output, Sentinel, Who, WireId, hello};

/// Commands that may be unanswered on a link, for each group that shares it.
#[doc(alias = "SENTINEL_MAX_PENDING_COMMANDS")]
const MOST_PENDING: usize = 100;

/// The request a reply answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// A command whose effect is seen elsewhere, in INFO.
    Ignored,
    Ping {
        group: String,
    },
    Info {
        group: String,
        who: Who,
    },
    Hello {
        group: String,
        who: Who,
    },
    /// "Is this primary down?", to a sentinel.
    Ask {
        group: String,
        peer: String,
    },
}

/// A connection of a link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wire {
    pub id: WireId,
    /// When it was dialled.
    pub since: Ms,
}

/// A connection to an instance, with the commands whose replies are on their way.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub users: usize,
    pub commands: Option<Wire>,
    pub pubsub: Option<Wire>,
    /// Replies on `pubsub` that come before the one to SUBSCRIBE.
    pub before_subscribed: usize,
    /// When something last came on `pubsub`.
    pub heard_at: Ms,
    /// The oldest PING without an answer. Set from the start, so that an instance never reached is down one day, too.
    pub unanswered_since: Option<Ms>,
    /// When a valid answer to PING last came.
    pub available_at: Ms,
    /// When any answer to PING last came.
    pub ponged_at: Ms,
    pub pinged_at: Ms,
    pub tried_at: Option<Ms>,
    /// Our address on the command connection.
    pub local: Option<IpAddr>,
    pending: VecDeque<Tag>,
}

impl Link {
    /// Whether a connection that belongs to it is missing.
    pub fn is_disconnected(&self, kind: Kind) -> bool {
        self.commands.is_none() || (kind != Kind::Peer && self.pubsub.is_none())
    }

    pub fn pending(&self) -> usize {
        self.pending.len()
    }
}

impl Core {
    pub(super) fn new_link(&mut self) -> usize {
        let now = self.now.ms;
        self.links.insert(Link {
            users: 1,
            commands: None,
            pubsub: None,
            before_subscribed: 0,
            heard_at: now,
            unanswered_since: Some(now),
            available_at: now,
            ponged_at: now,
            pinged_at: 0,
            tried_at: None,
            local: None,
            pending: VecDeque::new(),
        })
    }

    /// One user less; the last one closes the connections.
    pub(super) fn release_link(&mut self, key: usize) {
        let link = &mut self.links[key];
        link.users -= 1;
        if link.users == 0 {
            self.close_channel(key, Channel::Commands);
            self.close_channel(key, Channel::Pubsub);
            self.links.remove(key);
        }
    }

    /// Closes a connection of our own accord.
    pub(super) fn close_channel(&mut self, key: usize, channel: Channel) {
        if let Some(id) = self.forget_channel(key, channel) {
            self.out.push(Output::Close(id));
        }
    }

    fn forget_channel(&mut self, key: usize, channel: Channel) -> Option<WireId> {
        let link = &mut self.links[key];
        let wire = match channel {
            Channel::Commands => {
                link.pending.clear();
                link.local = None;
                link.commands.take()
            }
            Channel::Pubsub => link.pubsub.take(),
        }?;
        self.wires.remove(&wire.id);
        Some(wire.id)
    }

    /// Makes the connections that an instance lacks, once per ping period.
    #[doc(alias = "sentinelReconnectInstance")]
    pub(super) fn reconnect(&mut self, group: &Group, who: &Who) {
        let Some(one) = group.get(who) else {
            return;
        };
        let (kind, key, port) = (one.kind, one.link, one.address.port);
        let now = self.now.ms;
        let link = &mut self.links[key];
        let recently = link.tried_at.is_some_and(|at| now - at < self.periods.ping);
        if port == 0 || recently || !link.is_disconnected(kind) {
            return;
        }
        link.tried_at = Some(now);
        let by_name = one.address.host.parse::<IpAddr>().is_err();
        if by_name && link.commands.is_none() {
            // The name may lead elsewhere by now; what it led to is used until the answer comes.
            self.out.push(Output::Resolve(one.address.host.clone()));
        }
        let Some(ip) = one.address.ip else {
            return;
        };
        if self.links[key].commands.is_none() {
            let wire = self.dial(key, ip, port, Channel::Commands);
            self.links[key].commands = Some(wire);
            self.introduce(group, kind, key, wire.id, "cmd");
            self.ping(group, key);
        }
        if kind != Kind::Peer && self.links[key].pubsub.is_none() {
            let wire = self.dial(key, ip, port, Channel::Pubsub);
            let link = &mut self.links[key];
            link.pubsub = Some(wire);
            link.before_subscribed = 0;
            link.heard_at = now;
            self.introduce(group, kind, key, wire.id, "pubsub");
            let argv = vec![group.command("SUBSCRIBE"), hello::CHANNEL.into()];
            self.out.push(Output::Send {
                wire: wire.id,
                argv,
            });
        }
    }

    fn dial(&mut self, key: usize, ip: IpAddr, port: u16, channel: Channel) -> Wire {
        self.next_wire += 1;
        let id = self.next_wire;
        self.wires.insert(id, key);
        self.out.push(Output::Dial {
            wire: id,
            ip,
            port,
            channel,
        });
        Wire {
            id,
            since: self.now.ms,
        }
    }

    /// The first words on a connection: password, name. Their replies are not looked at; a refused password shows as an
    /// instance that is down.
    #[doc(alias = "sentinelSendAuthIfNeeded")]
    fn introduce(&mut self, group: &Group, kind: Kind, key: usize, wire: WireId, what: &str) {
        let settings = &self.settings;
        let (user, pass) = match kind {
            Kind::Peer if settings.pass.is_some() => (&settings.user, &settings.pass),
            Kind::Peer => (&None, &settings.requirepass),
            _ => (&group.auth_user, &group.auth_pass),
        };
        let auth = pass.as_ref().map(|pass| {
            let mut argv = vec![group.command("AUTH")];
            argv.extend(user.as_ref().map(|user| user.clone().into_bytes()));
            argv.push(pass.clone().into_bytes());
            argv
        });
        let name = format!("sentinel-{}-{what}", &self.my_id[..8.min(self.my_id.len())]);
        let setname = vec![group.command("CLIENT"), b"SETNAME".to_vec(), name.into()];
        for argv in auth.into_iter().chain([setname]) {
            let link = &mut self.links[key];
            match what {
                "cmd" => link.pending.push_back(Tag::Ignored),
                _ => link.before_subscribed += 1,
            }
            self.out.push(Output::Send { wire, argv });
        }
    }

    #[doc(alias = "sentinelSendPing")]
    pub(super) fn ping(&mut self, group: &Group, key: usize) {
        let tag = Tag::Ping {
            group: group.name.clone(),
        };
        if self.send(key, vec![group.command("PING")], tag) {
            let now = self.now.ms;
            let link = &mut self.links[key];
            link.pinged_at = now;
            link.unanswered_since.get_or_insert(now);
        }
    }

    /// Sends a command on a link; false if there is no connection, or too much is unanswered on it.
    pub(super) fn send(&mut self, key: usize, argv: Vec<Vec<u8>>, tag: Tag) -> bool {
        let Some(wire) = self.note(key, tag) else {
            return false;
        };
        self.out.push(Output::Send { wire, argv });
        true
    }

    /// Whether so many commands more may be sent on a link.
    pub(super) fn has_room(&self, key: usize, more: usize) -> bool {
        let link = &self.links[key];
        link.commands.is_some() && link.pending.len() + more <= MOST_PENDING * link.users
    }

    fn note(&mut self, key: usize, tag: Tag) -> Option<WireId> {
        let link = &mut self.links[key];
        let wire = link.commands?;
        if link.pending.len() >= MOST_PENDING * link.users {
            return None;
        }
        link.pending.push_back(tag);
        Some(wire.id)
    }

    /// The tag of the reply that comes next on a command connection.
    pub(super) fn next_tag(&mut self, key: usize) -> Option<Tag> {
        self.links[key].pending.pop_front()
    }

    pub(super) fn wire_up(&mut self, wire: WireId, local: Option<IpAddr>) {
        if let Some(key) = self.wires.get(&wire) {
            let link = &mut self.links[*key];
            if link.commands.is_some_and(|commands| commands.id == wire) {
                link.local = local;
            }
        }
    }
}

impl Sentinel {
    pub(super) fn wire_down(&mut self, wire: WireId, reason: &str) {
        let core = &mut self.core;
        let Some(key) = core.wires.get(&wire).copied() else {
            return;
        };
        let commands = core.links[key].commands.is_some_and(|one| one.id == wire);
        let (channel, name) = match commands {
            true => (Channel::Commands, "-cmd-link-reconnection"),
            false => (Channel::Pubsub, "-pubsub-link-reconnection"),
        };
        core.forget_channel(key, channel);
        for group in self.groups.values() {
            for one in group.instances().filter(|one| one.link == key) {
                let more = format!("#{reason}");
                self.core
                    .event_of(super::Level::Debug, name, group, one, &more);
            }
        }
    }

    pub(super) fn resolved(&mut self, host: &str, found: Result<IpAddr, &str>) {
        let ip = match found {
            Ok(ip) => ip,
            Err(_) => {
                let line = format!("Failed to resolve hostname '{host}'");
                return self.core.log(super::Level::Warning, line);
            }
        };
        for group in self.groups.values_mut() {
            for who in group.everybody() {
                if let Some(one) = group.get_mut(&who)
                    && one.address.host.eq_ignore_ascii_case(host)
                {
                    let news = one.address.ip.is_none();
                    one.address.ip = Some(ip);
                    if news {
                        // The link waited for this address, so it may dial at once.
                        self.core.links[one.link].tried_at = None;
                    }
                }
            }
        }
    }
}
