//! `nodes.conf`: a cluster as text, between two runs of a node.
//!
//! ```text
//!   <id> <ip>:<port>@<bus port>,<host name>[,tls-port=…][,nodename=…][,shard-id=…] <flags> <primary or ->
//!        <ping sent> <pong received> <epoch> connected|disconnected [slot|first-last]… [[slot->-id]|[slot-<-id]]…
//!   vars currentEpoch 3 lastVoteEpoch 2
//! ```
//!
//! A file of any Redis since 3.0 is read: without `@bus port`, without the comma and what follows it, without shard
//! ids. A damaged file is refused with the number of the line and the reason. This module reads and writes text alone;
//! locking, writing aside and renaming are done by who owns the disk.
//!
//! Invariant: every byte sequence is either a [`File`] or a [`Damage`]; none panics.
//!
//! Mirrors: `clusterLoadConfig`, `clusterSaveConfig`, `auxFieldHandlers` (cluster_legacy.c).
//! Differs: Redis reads numbers as `atoi` does, so `12x` is 12, and ends by an assertion where an open slot has no dash
//! or `myself` stands twice (redis 3599, 3607, 13443). Here each of them is a reason.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::net::IpAddr;

use super::id::NodeId;
use super::node::Flags;
use super::slots::SlotSet;
use crate::util::crc16::SLOTS;

/// How far the bus port is from the port of clients where a file of old does not say.
const BUS_PORT_OFFSET: u16 = 10_000;

/// Bytes of the longest host name or node name.
pub const NAME_LIMIT: usize = 255;

/// A cluster as the file has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// The nodes, in the order of the file.
    pub nodes: Vec<Entry>,
    /// The highest epoch heard of.
    pub current_epoch: u64,
    /// The epoch of the last vote.
    pub last_vote_epoch: u64,
    /// Variables of the last line that mean nothing here.
    pub skipped: Vec<String>,
}

/// One node's line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub id: NodeId,
    /// Its address.
    pub ip: Option<IpAddr>,
    /// Its port for plain clients.
    pub port: u16,
    /// Its port for TLS clients.
    pub tls_port: u16,
    /// Its port for the bus.
    pub bus_port: u16,
    /// Its host name, or nothing.
    pub hostname: String,
    /// The name people gave it, or nothing.
    pub nodename: String,
    /// Its shard. Absent in files of Redis before 7.2.
    pub shard: Option<NodeId>,
    /// Its flags.
    pub flags: Flags,
    /// Its primary.
    pub primary: Option<NodeId>,
    /// Whether a PING was on its way, as milliseconds since 1970, or 0.
    pub ping_sent: u64,
    /// The time of its last answer, as milliseconds since 1970, or 0.
    pub pong_received: u64,
    /// The epoch of its claims, or of its primary's.
    pub epoch: u64,
    /// Whether there was a connection to it.
    pub connected: bool,
    /// Its slots.
    pub slots: SlotSet,
    /// Slots on their way to another node. Only on the line of `myself`.
    pub migrating: BTreeMap<u16, NodeId>,
    /// Slots on their way from another node. Only on the line of `myself`.
    pub importing: BTreeMap<u16, NodeId>,
}

/// The place and the reason of a file's damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The line, counted from 1. 0 if the file as a whole is at fault.
    pub line: usize,
    /// The reason, for people.
    pub reason: &'static str,
    /// The line's text, cut to what fits in a log.
    pub text: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "corrupted cluster config file: {}", self.reason),
            line => write!(
                f,
                "corrupted cluster config file \"{}\" (line {line}: {}).",
                self.text, self.reason
            ),
        }
    }
}

impl File {
    /// Reads a file. `tls_cluster`: what kind the one port is of in a file that has one port only.
    ///
    /// # Errors
    /// The first line that is none, or what the file as a whole lacks.
    #[doc(alias = "clusterLoadConfig")]
    pub fn read(text: &[u8], tls_cluster: bool) -> Result<File, Damage> {
        let mut file = File::default();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let damage = |reason| Damage {
                line: index + 1,
                reason,
                text: line[..line.len().min(200)].escape_ascii().to_string(),
            };
            let line = std::str::from_utf8(line).map_err(|_| damage("bytes that are no text"))?;
            file.read_line(line, tls_cluster).map_err(damage)?;
        }
        file.check().map_err(|reason| Damage {
            line: 0,
            reason,
            text: String::new(),
        })?;
        Ok(file)
    }

    fn read_line(&mut self, line: &str, tls_cluster: bool) -> Result<(), &'static str> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            [] => Ok(()),
            [vars, pairs @ ..] if vars.eq_ignore_ascii_case("vars") => {
                let pairs = pairs.chunks(2);
                for pair in pairs {
                    let [name, value] = pair else {
                        return Err("a variable without a value");
                    };
                    let number = || value.parse().map_err(|_| "an epoch that is no number");
                    match name.to_ascii_lowercase().as_str() {
                        "currentepoch" => self.current_epoch = number()?,
                        "lastvoteepoch" => self.last_vote_epoch = number()?,
                        _ => self.skipped.push((*name).to_owned()),
                    }
                }
                Ok(())
            }
            words => {
                let entry = Entry::read(words, tls_cluster)?;
                if self.nodes.iter().any(|node| node.id == entry.id) {
                    return Err("a node that is listed already");
                }
                // It would be written as a slave without a master, which is refused at the next start.
                if entry.primary == Some(entry.id) {
                    return Err("a node that is its own master");
                }
                let myself = Flags::MYSELF;
                if entry.flags.any(myself) && self.nodes.iter().any(|node| node.flags.any(myself)) {
                    return Err("a second node that claims to be this one");
                }
                self.nodes.push(entry);
                Ok(())
            }
        }
    }

    fn check(&mut self) -> Result<(), &'static str> {
        let myself = self.nodes.iter().find(|node| node.flags.any(Flags::MYSELF));
        let myself = myself.ok_or("no line says which node this is")?;
        if !myself.flags.any(Flags::PRIMARY.and(Flags::REPLICA)) {
            return Err("this node is neither a master nor a slave");
        }
        if myself.flags.any(Flags::REPLICA) && myself.primary.is_none() {
            return Err("this node is a slave without a master");
        }
        // A replica's epoch is its primary's and does not count.
        for node in &mut self.nodes {
            if node.flags.any(Flags::REPLICA) && node.primary.is_some() {
                node.epoch = 0;
            }
        }
        let epochs = self.nodes.iter().map(|node| node.epoch);
        self.current_epoch = self.current_epoch.max(epochs.max().unwrap_or(0));
        Ok(())
    }

    /// The file's text.
    #[doc(alias = "clusterGenNodesDescription")]
    pub fn write(&self) -> String {
        let mut out = String::with_capacity(self.nodes.len() * 200 + 64);
        for node in &self.nodes {
            node.write(&mut out);
        }
        let _ = writeln!(
            out,
            "vars currentEpoch {} lastVoteEpoch {}",
            self.current_epoch, self.last_vote_epoch
        );
        out
    }
}

impl Entry {
    /// A node nothing is known of but its name and flags.
    pub fn new(id: NodeId, flags: Flags) -> Entry {
        Entry {
            id,
            ip: None,
            port: 0,
            tls_port: 0,
            bus_port: 0,
            hostname: String::new(),
            nodename: String::new(),
            shard: None,
            flags,
            primary: None,
            ping_sent: 0,
            pong_received: 0,
            epoch: 0,
            connected: false,
            slots: SlotSet::new(),
            migrating: BTreeMap::new(),
            importing: BTreeMap::new(),
        }
    }

    fn read(words: &[&str], tls_cluster: bool) -> Result<Entry, &'static str> {
        let [
            id,
            address,
            flags,
            primary,
            ping,
            pong,
            epoch,
            link,
            slots @ ..,
        ] = words
        else {
            return Err("fewer than eight fields");
        };
        let id = NodeId::parse(id.as_bytes()).ok_or("a node id that is none")?;
        let mut entry = Entry::new(id, read_flags(flags)?);
        entry.read_address(address, tls_cluster)?;
        entry.primary = match *primary {
            "-" => None,
            id => Some(NodeId::parse(id.as_bytes()).ok_or("a master's id that is none")?),
        };
        entry.ping_sent = ping.parse().map_err(|_| "a time that is no number")?;
        entry.pong_received = pong.parse().map_err(|_| "a time that is no number")?;
        entry.epoch = epoch.parse().map_err(|_| "an epoch that is no number")?;
        entry.connected = *link == "connected";
        for slot in slots {
            entry.read_slots(slot)?;
        }
        Ok(entry)
    }

    fn read_address(&mut self, text: &str, tls_cluster: bool) -> Result<(), &'static str> {
        let mut fields = text.split(',');
        let address = fields.next().unwrap_or_default();
        let hostname = fields.next().unwrap_or_default();
        if !hostname.is_empty() && !valid_hostname(hostname.as_bytes()) {
            return Err("a host name that is none");
        }
        self.hostname = hostname.to_owned();
        let (mut port, mut tls_port) = (None, None);
        for field in fields {
            let parts: Vec<&str> = field.split('=').collect();
            let [name, value] = parts.as_slice() else {
                return Err("an additional field without one '='");
            };
            if !valid_aux(name.as_bytes()) || !valid_aux(value.as_bytes()) {
                return Err("an additional field with forbidden characters");
            }
            let number = || value.parse().map_err(|_| "a port that is none");
            match *name {
                "shard-id" => {
                    let id = NodeId::parse(value.as_bytes());
                    self.shard = Some(id.ok_or("a shard id that is none")?);
                }
                "nodename" => self.nodename = (*value).to_owned(),
                "tcp-port" => port = Some(number()?),
                "tls-port" => tls_port = Some(number()?),
                _ => return Err("an additional field nobody knows"),
            }
        }
        let (ip, ports) = address.rsplit_once(':').ok_or("an address without ':'")?;
        let (client, bus) = match ports.split_once('@') {
            Some((client, bus)) => (client, Some(bus)),
            None => (ports, None),
        };
        let client: u16 = client.parse().map_err(|_| "a port that is none")?;
        let ip = ip.strip_prefix('[').unwrap_or(ip);
        self.ip = ip.strip_suffix(']').unwrap_or(ip).parse().ok();
        (self.port, self.tls_port) = match (port, tls_port) {
            (None, None) if tls_cluster => (0, client),
            (None, None) => (client, 0),
            (None, Some(tls)) => (client, tls),
            (Some(plain), None) => (plain, client),
            (Some(plain), Some(tls)) => (plain, tls),
        };
        self.bus_port = match bus {
            Some(bus) => bus.parse().map_err(|_| "a bus port that is none")?,
            None => client.saturating_add(BUS_PORT_OFFSET),
        };
        Ok(())
    }

    fn read_slots(&mut self, text: &str) -> Result<(), &'static str> {
        if let Some(open) = text.strip_prefix('[') {
            let bad = "an open slot that is none";
            let open = open.strip_suffix(']').ok_or(bad)?;
            let (slot, rest) = open.split_once('-').ok_or(bad)?;
            let slot = read_slot(slot)?;
            let (table, id) = match (rest.strip_prefix(">-"), rest.strip_prefix("<-")) {
                (Some(id), _) => (&mut self.migrating, id),
                (_, Some(id)) => (&mut self.importing, id),
                _ => return Err(bad),
            };
            table.insert(slot, NodeId::parse(id.as_bytes()).ok_or(bad)?);
            return Ok(());
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        for slot in read_slot(first)?..=read_slot(last)? {
            self.slots.insert(slot);
        }
        Ok(())
    }

    fn write(&self, out: &mut String) {
        let Entry { id, bus_port, .. } = self;
        // The port before '@' is the plain one; the TLS port is an additional field, written even if it is 0.
        let ip = self.ip.map(|ip| ip.to_string()).unwrap_or_default();
        let _ = write!(out, "{id} {ip}:{}@{bus_port},{}", self.port, self.hostname);
        let _ = write!(out, ",tls-port={}", self.tls_port);
        if !self.nodename.is_empty() {
            let _ = write!(out, ",nodename={}", self.nodename);
        }
        if let Some(shard) = &self.shard {
            let _ = write!(out, ",shard-id={shard}");
        }
        let _ = write!(out, " {} ", self.flags.words());
        match &self.primary {
            Some(id) => {
                let _ = write!(out, "{id}");
            }
            None => out.push('-'),
        }
        let link = if self.connected {
            "connected"
        } else {
            "disconnected"
        };
        let (ping, pong, epoch) = (self.ping_sent, self.pong_received, self.epoch);
        let _ = write!(out, " {ping} {pong} {epoch} {link}");
        write_slots(&self.slots, out);
        for (slot, id) in &self.migrating {
            let _ = write!(out, " [{slot}->-{id}]");
        }
        for (slot, id) in &self.importing {
            let _ = write!(out, " [{slot}-<-{id}]");
        }
        out.push('\n');
    }
}

/// Appends slots as CLUSTER NODES shows them: ` 0-5460 5462`.
#[doc(alias = "representSlotInfo")]
pub fn write_slots(slots: &SlotSet, out: &mut String) {
    for range in slots.ranges() {
        let _ = match range.start() == range.end() {
            true => write!(out, " {}", range.start()),
            false => write!(out, " {}-{}", range.start(), range.end()),
        };
    }
}

fn read_slot(text: &str) -> Result<u16, &'static str> {
    let slot: u16 = text.parse().map_err(|_| "a slot that is none")?;
    match slot < SLOTS {
        true => Ok(slot),
        false => Err("a slot out of range"),
    }
}

fn read_flags(text: &str) -> Result<Flags, &'static str> {
    let mut flags = Flags::default();
    for word in text.split(',') {
        let known = Flags::WORDS
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(word));
        match known {
            Some((flag, _)) => flags.set(*flag),
            None if word.eq_ignore_ascii_case("noflags") => {}
            None => return Err("a flag nobody knows"),
        }
    }
    Ok(flags)
}

/// Whether these bytes may be a host name: letters, digits, dots and dashes.
#[doc(alias = "isValidAnnouncedHostname")]
pub fn valid_hostname(name: &[u8]) -> bool {
    let fine = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'.';
    name.len() <= NAME_LIMIT && name.iter().all(fine)
}

/// Whether these bytes may stand in an additional field: letters, digits, `-._/\` and what is not ASCII. Redis lets
/// commas, spaces and `=` through as well, and then cannot read its own file.
#[doc(alias = "isValidAuxString")]
pub fn valid_aux(text: &[u8]) -> bool {
    let fine =
        |byte: &u8| byte.is_ascii_alphanumeric() || !byte.is_ascii() || b"-._/\\".contains(byte);
    text.len() <= NAME_LIMIT && text.iter().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "07c37dfeb235213a872192d90877d0cd55635b91";
    const B: &str = "67ed2db8d677e59ec4a4cefb06858cf2a1a89fa1";
    const S: &str = "292f8b365bb7edb5e285caf0b7e6ddc7265d2f4f";

    fn text() -> String {
        format!(
            "{B} 127.0.0.1:7001@17001,,tls-port=0,shard-id={S} slave {A} 0 1700000000001 0 connected\n\
             {A} 127.0.0.1:7000@17000,host.example,tls-port=0,nodename=one,shard-id={S} myself,master - 0 0 7 connected 0-5 7 100-16383 [5->-{B}] [6-<-{B}]\n\
             vars currentEpoch 9 lastVoteEpoch 8\n"
        )
    }

    #[test]
    fn what_is_written_is_read() {
        let file = File::read(text().as_bytes(), false).expect("a file of Redis");
        assert_eq!(file.write(), text());
        let me = &file.nodes[1];
        assert_eq!(
            (me.hostname.as_str(), me.nodename.as_str()),
            ("host.example", "one")
        );
        assert_eq!(
            (me.slots.len(), me.epoch, file.current_epoch),
            (16_291, 7, 9)
        );
        assert_eq!(me.migrating[&5].as_str(), B);
        assert_eq!(me.importing[&6].as_str(), B);
        assert_eq!(file.nodes[0].primary.expect("a replica").as_str(), A);
    }

    #[test]
    fn files_of_old_are_read() {
        let old = format!("{A} 10.0.0.1:7000 myself,master - 0 0 3 connected 0-16383\n\n");
        let file = File::read(old.as_bytes(), false).expect("a file of Redis 3");
        let me = &file.nodes[0];
        assert_eq!(
            (me.port, me.tls_port, me.bus_port, me.shard),
            (7000, 0, 17000, None)
        );
        assert_eq!(file.current_epoch, 3, "raised to the highest of the nodes");
        let tls = File::read(old.as_bytes(), true).expect("a file of Redis 6");
        assert_eq!((tls.nodes[0].port, tls.nodes[0].tls_port), (0, 7000));
        let blank = format!("{A} :0@0 Myself,MASTER,noaddr - 0 0 0 disconnected\nvars\n");
        let file = File::read(blank.as_bytes(), false).expect("no address yet");
        assert_eq!(file.nodes[0].ip, None);
        let six = format!(
            "{A} ::1:7000@17000,,tcp-port=7000,tls-port=8000 myself,master - 0 0 0 connected\nvars x 1\n"
        );
        let file = File::read(six.as_bytes(), false).expect("IPv6");
        assert_eq!(file.nodes[0].ip, "::1".parse().ok());
        assert_eq!(
            (file.nodes[0].tls_port, file.skipped),
            (8000, vec!["x".to_owned()])
        );
    }

    /// redis 3599, 3607, 13443: each of these ended a server by an assertion or was half read.
    #[test]
    fn a_damaged_file_names_line_and_reason() {
        let good = text();
        let damage = |bad: &str| File::read(format!("{good}{bad}\n").as_bytes(), false);
        let me = good.lines().nth(1).expect("its own line").to_owned();
        let other = me.replace(A, S).replace("myself,", "");
        for (bad, reason) in [
            ("x", "fewer than eight fields"),
            (
                "zz 1:1@1 master - 0 0 0 connected",
                "a node id that is none",
            ),
            (&me, "a node that is listed already"),
            (
                &me.replace(A, S),
                "a second node that claims to be this one",
            ),
            (&other.replace("127.0.0.1:", ""), "an address without ':'"),
            (
                &other.replace("@17000", "@170000"),
                "a bus port that is none",
            ),
            (&other.replace(":7000", ":x"), "a port that is none"),
            (
                &other.replace("tls-port=0", "tls-port"),
                "an additional field without one '='",
            ),
            (
                &other.replace("nodename=one", "nodename=o;e"),
                "an additional field with forbidden characters",
            ),
            (
                &other.replace("nodename", "nickname"),
                "an additional field nobody knows",
            ),
            (
                &other.replace("host.example", "ho st"),
                "a flag nobody knows",
            ),
            (
                &other.replace("host.example", "h_t"),
                "a host name that is none",
            ),
            (&other.replace("master", "boss"), "a flag nobody knows"),
            (
                &other.replace(" - ", " nobody "),
                "a master's id that is none",
            ),
            (
                &other.replace(" - ", &format!(" {S} ")),
                "a node that is its own master",
            ),
            (
                &other.replace("100-16383", "100-16384"),
                "a slot out of range",
            ),
            (&other.replace("100-16383", "100-"), "a slot that is none"),
            (&other.replace("[5->-", "[5"), "an open slot that is none"),
            (&other.replace("[5->-", "[99999->-"), "a slot that is none"),
            (
                &other.replace(" 7 connected", " x connected"),
                "an epoch that is no number",
            ),
            ("vars currentEpoch", "a variable without a value"),
            ("vars lastVoteEpoch -1", "an epoch that is no number"),
        ] {
            let damage = damage(bad).expect_err(bad);
            assert_eq!((damage.line, damage.reason), (4, reason), "{bad}");
            assert!(
                damage
                    .to_string()
                    .starts_with("corrupted cluster config file \"")
            );
        }
        let whole = |text: &str| File::read(text.as_bytes(), false).expect_err(text);
        assert_eq!(whole("").line, 0);
        assert_eq!(whole(&other).reason, "no line says which node this is");
        let lost = me.replace("myself,master", "myself,slave");
        assert_eq!(whole(&lost).reason, "this node is a slave without a master");
        assert_eq!(
            whole(&me.replace(",master", "")).reason,
            "this node is neither a master nor a slave"
        );
        assert!(File::read(&[0xff, 0xfe, b'\n'], false).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut rng = crate::util::rng::Rng::new(3);
        for _ in 0..20_000 {
            let mut bytes = text().into_bytes();
            for _ in 0..=rng.below(4) {
                let at = rng.below(bytes.len() as u64) as usize;
                match rng.below(3) {
                    0 => bytes[at] = rng.next_u64() as u8,
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, b" -[]<>,=:@\n0"[rng.below(12) as usize]),
                }
            }
            if let Ok(file) = File::read(&bytes, false) {
                let again = File::read(file.write().as_bytes(), false).expect("its own text");
                assert_eq!(again.write(), file.write());
            }
        }
    }
}
