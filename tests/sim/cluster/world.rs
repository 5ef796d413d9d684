//! A world of cluster nodes: a clock, a wire, disks, and what happens in which order.
//!
//! ```text
//!   heap of events ─▶ (time, number, event) ─▶ a host's machine ─▶ acts ─▶ more events
//! ```
//!
//! A connection is TCP: bytes arrive in order or the connection dies; the two connections of a pair of nodes are
//! independent. A cut stalls bytes until it heals. A host that dies either resets its connections or just falls silent.
//! A disk keeps what was written; a power cut may take back what was not synced.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use oxidis::cluster::bus;
use oxidis::cluster::file::File;
use oxidis::cluster::machine::{Act, Command, Facts, Input, Level, Machine, Options, Reply, Sync};
use oxidis::cluster::node::{Flags, LinkId};
use oxidis::cluster::slots::SlotSet;
use oxidis::util::rng::Rng;

use super::checks::Record;
use super::data::{Client, Data};

/// The world's clock starts here, so that "long ago" exists.
const START_MS: u64 = 1_000_000;

/// 1970 was so long before the clock's zero.
const WALL_MS: u64 = 1_700_000_000_000;

pub type HostId = usize;

/// An event.
#[derive(Debug)]
pub enum Event {
    Tick(HostId, u64),
    Dialed(u64),
    Connected(u64),
    Pump(u64, bool),
    Reset(u64, bool),
    Saved(HostId, u64, u64),
    Replicate,
    Client(usize),
    Wake(HostId),
    Power(HostId),
}

/// A node's computer.
pub struct Host {
    pub machine: Option<Machine>,
    pub options: Options,
    /// Counts starts: events of an earlier life are void.
    pub life: u64,
    pub ip: IpAddr,
    pub disk: Disk,
    pub data: Data,
    pub paused_until: u64,
    /// Slots that change hands: their writes wait until then.
    pub held: Option<(SlotSet, u64)>,
    /// Not scheduled by its operating system until then (SIGSTOP).
    pub stopped_until: u64,
    stopped_inputs: VecDeque<Delayed>,
    links: BTreeMap<LinkId, u64>,
    accepted: u64,
    /// How far its wall clock is off.
    pub skew_ms: i64,
    next_tick: u64,
}

enum Delayed {
    Bytes(u64, bool, Arc<[u8]>),
    Closed(LinkId),
    Accept(u64),
    Connected(u64),
    Saved(u64),
}

/// A disk with one file.
#[derive(Default)]
pub struct Disk {
    pub synced: Option<String>,
    pub file: Option<String>,
    saving: BTreeMap<u64, (String, bool)>,
    pub delay_ms: u64,
    /// The facts that are safe on its disk: the highest epoch, the last vote, and the node's own claim.
    pub epoch: u64,
    pub vote: u64,
    pub claim: u64,
    pub slots: Vec<u8>,
}

struct Conn {
    from: HostId,
    to: HostId,
    from_link: LinkId,
    to_link: Option<LinkId>,
    open: [bool; 2],
    queue: [VecDeque<(u64, Arc<[u8]>)>; 2],
    buffer: [Vec<u8>; 2],
    pumping: [bool; 2],
}

/// Messages that were sent, by their kind and length.
pub type Sent = BTreeMap<(u16, usize), Arc<[u8]>>;

/// Everything.
pub struct World {
    pub now: u64,
    pub rng: Rng,
    pub hosts: Vec<Host>,
    pub clients: Vec<Client>,
    pub record: Record,
    heap: BinaryHeap<Reverse<(u64, u64, usize)>>,
    events: BTreeMap<usize, Event>,
    numbers: u64,
    conns: BTreeMap<u64, Conn>,
    /// `(a, b)`: nothing gets from a to b.
    pub cuts: BTreeMap<(HostId, HostId), u64>,
    pub latency_ms: u64,
    pub steps: u64,
    /// Lines of the nodes' logs, if somebody wants to read them.
    pub trace: Option<Vec<String>>,
    /// A message of each kind and length that was sent, if somebody wants them.
    pub sent: Option<Sent>,
    /// Bytes a hostile or damaged wire puts in place of a message's, by chance of one in so many.
    pub split_one_in: u64,
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut world = World {
            now: START_MS,
            rng: Rng::new(seed),
            hosts: Vec::new(),
            clients: Vec::new(),
            record: Record::default(),
            heap: BinaryHeap::new(),
            events: BTreeMap::new(),
            numbers: 0,
            conns: BTreeMap::new(),
            cuts: BTreeMap::new(),
            latency_ms: 2,
            steps: 0,
            sent: None,
            trace: std::env::var_os("OXIDIS_SIM_TRACE").map(|_| Vec::new()),
            split_one_in: 24,
        };
        world.after(10, Event::Replicate);
        world
    }

    /// Plugs in a new host and starts it.
    pub fn add_host(&mut self, timeout_ms: u64) -> HostId {
        let id = self.hosts.len();
        let ip = Ipv4Addr::new(10, 0, (id / 250) as u8, (id % 250 + 1) as u8);
        let options = Options {
            node_timeout_ms: timeout_ms,
            port: 7000,
            bus_port: 17000,
            nodename: format!("n{id}"),
            ..Options::default()
        };
        self.hosts.push(Host {
            machine: None,
            options,
            life: 0,
            ip: ip.into(),
            disk: Disk {
                slots: vec![0; 2048],
                ..Disk::default()
            },
            data: Data::default(),
            paused_until: 0,
            held: None,
            stopped_until: 0,
            stopped_inputs: VecDeque::new(),
            links: BTreeMap::new(),
            accepted: 0,
            skew_ms: 0,
            next_tick: 0,
        });
        self.hosts[id].data.reset(&mut self.rng);
        self.start(id);
        id
    }

    pub fn after(&mut self, ms: u64, event: Event) {
        self.numbers += 1;
        let key = self.numbers as usize;
        self.heap.push(Reverse((self.now + ms, self.numbers, key)));
        self.events.insert(key, event);
    }

    fn latency(&mut self) -> u64 {
        let spike = self.rng.below(200) == 0;
        let most = if spike {
            self.latency_ms * 20
        } else {
            self.latency_ms
        };
        self.rng.below(most + 1)
    }

    /// Lets time pass.
    pub fn run(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(Reverse((at, _, _))) = self.heap.peek() {
            if *at > end {
                break;
            }
            let Reverse((at, _, key)) = self.heap.pop().expect("just seen");
            self.now = self.now.max(at);
            let event = self.events.remove(&key).expect("every key has an event");
            self.happen(event);
        }
        self.now = end;
    }

    /// Lets time pass until something is true; how long it took, or `None` if it was not within `ms`.
    pub fn until(&mut self, ms: u64, mut done: impl FnMut(&World) -> bool) -> Option<u64> {
        let start = self.now;
        while self.now < start + ms {
            if done(self) {
                return Some(self.now - start);
            }
            self.run(50);
        }
        done(self).then_some(ms)
    }

    pub fn facts(&self, id: HostId) -> Facts {
        let host = &self.hosts[id];
        let sync = match host.data.following {
            None => Sync::Nobody,
            Some(_) => match host.data.down_since {
                None => Sync::Up {
                    silent_ms: self.now.saturating_sub(host.data.heard_ms),
                },
                Some(since) => Sync::Down {
                    for_ms: self.now.saturating_sub(since),
                },
            },
        };
        Facts {
            now_ms: self.now,
            wall_ms: (WALL_MS + self.now).saturating_add_signed(host.skew_ms),
            offset: host.data.offset,
            sync,
        }
    }

    pub fn is_running(&self, id: HostId) -> bool {
        self.hosts[id].machine.is_some() && self.now >= self.hosts[id].stopped_until
    }

    /// The machine of a host that is on.
    pub fn machine(&self, id: HostId) -> &Machine {
        self.hosts[id].machine.as_ref().expect("a host that is on")
    }

    pub fn live(&self) -> Vec<HostId> {
        (0..self.hosts.len())
            .filter(|id| self.hosts[*id].machine.is_some())
            .collect()
    }

    pub fn host_at(&self, ip: IpAddr) -> Option<HostId> {
        self.hosts.iter().position(|host| host.ip == ip)
    }

    pub fn is_cut(&self, from: HostId, to: HostId) -> bool {
        self.cuts.contains_key(&(from, to))
    }

    /// Gives an order to a node.
    pub fn order(&mut self, id: HostId, command: Command<'_>) -> Result<Reply, String> {
        let facts = self.facts(id);
        let Some(machine) = &mut self.hosts[id].machine else {
            return Err("host is off".to_owned());
        };
        let (answer, acts) = machine.command(&facts, command);
        self.carry_out(id, acts);
        answer
    }

    /// Tells a node something.
    pub fn tell(&mut self, id: HostId, input: Input<'_>) {
        let facts = self.facts(id);
        let Some(machine) = &mut self.hosts[id].machine else {
            return;
        };
        self.steps += 1;
        let acts = machine.step(&facts, input);
        self.carry_out(id, acts);
    }

    fn carry_out(&mut self, id: HostId, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Send { link, bytes } => {
                    if let (Some(sent), Ok(kind)) = (&mut self.sent, bus::peek(&bytes)) {
                        sent.insert((kind, bytes.len()), bytes.clone());
                    }
                    self.put(id, link, bytes);
                }
                Act::Dial { link, ip, port } => self.dial(id, link, ip, port),
                Act::Close { link } => self.drop_link(id, link),
                Act::Save { token, text, sync } => {
                    let host = &mut self.hosts[id];
                    host.disk.saving.insert(token, (text, sync));
                    let base = if sync { 1 + host.disk.delay_ms } else { 1 };
                    let delay = self.rng.below(base * 2 + 1);
                    let life = self.hosts[id].life;
                    self.after(delay, Event::Saved(id, life, token));
                }
                Act::Follow { ip, .. } => {
                    let primary = self.host_at(ip);
                    self.hosts[id].data.follow(primary);
                }
                Act::FollowNobody => {
                    self.hosts[id].data.promote(&mut self.rng);
                    self.record.promoted(id, self.now);
                }
                Act::Empty => self.hosts[id].data.reset(&mut self.rng),
                Act::SlotsLost(slots) => {
                    let machine = self.hosts[id].machine.as_mut().expect("it acts");
                    machine.await_claim(false);
                    if self.hosts[id].data.has_any(&slots) {
                        self.order(id, Command::HandOver(&slots))
                            .expect("no refusal");
                    }
                }
                Act::SlotsTaken => self.hosts[id].held = None,
                Act::DeleteKeys(slots) => self.hosts[id].data.drop_slots(&slots),
                Act::Pause { until_ms } => self.hosts[id].paused_until = until_ms,
                Act::Unpause => self.hosts[id].paused_until = 0,
                Act::Log { level, text } => self.logged(id, level, text),
                Act::StateChanged { .. } | Act::SlotsLeft(_) => {}
                Act::Publish { text, .. } => self.record.published(id, text),
                Act::Module { .. } => {}
            }
        }
        self.schedule_tick(id);
        self.check_host(id);
    }

    fn logged(&mut self, id: HostId, level: Level, text: String) {
        if text.starts_with("Failover election won") {
            self.check_win(id);
        }
        self.record.logged(id, &text);
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{} n{id} {level:?} {text}", self.now));
        }
    }

    /// A line of a test's own in the trace.
    pub fn note(&mut self, text: String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{} --- {text}", self.now));
        }
    }

    fn schedule_tick(&mut self, id: HostId) {
        let host = &self.hosts[id];
        let Some(machine) = &host.machine else {
            return;
        };
        let wake = machine.wake_ms().max(self.now + 1);
        if host.next_tick <= self.now || wake < host.next_tick {
            let life = host.life;
            self.hosts[id].next_tick = wake;
            let wait = wake - self.now;
            self.after(wait, Event::Tick(id, life));
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Tick(id, life) => {
                let host = &mut self.hosts[id];
                if host.life != life || host.machine.is_none() || host.next_tick > self.now {
                    return;
                }
                host.next_tick = 0;
                if self.is_running(id) {
                    self.tell(id, Input::Tick);
                } else {
                    let wait = self.hosts[id].stopped_until.saturating_sub(self.now).max(1);
                    self.hosts[id].next_tick = self.now + wait;
                    self.after(wait, Event::Tick(id, life));
                }
            }
            Event::Dialed(conn) => self.dialed(conn),
            Event::Connected(conn) => {
                if let Some(from) = self.conns.get(&conn).map(|conn| conn.from) {
                    self.deliver(from, Delayed::Connected(conn));
                }
            }
            Event::Pump(conn, to) => self.pump(conn, to),
            Event::Reset(conn, to) => self.reset(conn, to),
            Event::Saved(id, life, token) => {
                if self.hosts[id].life == life {
                    self.deliver(id, Delayed::Saved(token));
                }
            }
            Event::Replicate => {
                self.replicate();
                self.after(10, Event::Replicate);
            }
            Event::Client(index) => self.client_acts(index),
            Event::Wake(id) => self.woken(id),
            Event::Power(id) => self.start(id),
        }
    }

    fn deliver(&mut self, id: HostId, what: Delayed) {
        if self.hosts[id].machine.is_none() {
            return;
        }
        if !self.is_running(id) {
            self.hosts[id].stopped_inputs.push_back(what);
            return;
        }
        match what {
            Delayed::Bytes(conn, to, bytes) => self.arrived(conn, to, &bytes),
            Delayed::Closed(link) => self.tell(id, Input::Closed { link }),
            Delayed::Accept(conn) => self.accept(conn),
            Delayed::Connected(conn) => {
                if let Some(link) = self.conns.get(&conn).map(|conn| conn.from_link)
                    && self.hosts[id].links.contains_key(&link)
                {
                    self.tell(id, Input::Connected { link });
                }
            }
            Delayed::Saved(token) => {
                let disk = &mut self.hosts[id].disk;
                if let Some((text, sync)) = disk.saving.remove(&token) {
                    disk.put(text, sync);
                    self.tell(id, Input::Saved { token });
                }
            }
        }
    }

    /// A stopped process goes on: all that came in meanwhile is read at once.
    fn woken(&mut self, id: HostId) {
        if !self.is_running(id) {
            return;
        }
        while let Some(what) = self.hosts[id].stopped_inputs.pop_front() {
            self.deliver(id, what);
        }
    }

    fn dial(&mut self, from: HostId, link: LinkId, ip: IpAddr, port: u16) {
        let target = self.host_at(ip).filter(|_| port == 17000);
        self.numbers += 1;
        let number = self.numbers;
        self.hosts[from].links.insert(link, number);
        self.conns.insert(
            number,
            Conn {
                from,
                to: target.unwrap_or(from),
                from_link: link,
                to_link: None,
                open: [true, target.is_some()],
                queue: Default::default(),
                buffer: Default::default(),
                pumping: [false; 2],
            },
        );
        let wait = self.latency();
        self.after(wait, Event::Dialed(number));
    }

    fn dialed(&mut self, number: u64) {
        let Some(conn) = self.conns.get(&number) else {
            return;
        };
        let (from, to, aimed) = (conn.from, conn.to, conn.open[1]);
        if !conn.open[0] {
            return;
        }
        if aimed && (self.is_cut(from, to) || self.is_cut(to, from)) {
            // The first packet is lost and sent again.
            return self.after(200, Event::Dialed(number));
        }
        let refused = !aimed || self.hosts[to].machine.is_none();
        let wait = self.latency();
        if refused {
            if self.hosts[to].machine.is_none() && aimed && self.record.silent.contains(&to) {
                return self.after(200, Event::Dialed(number));
            }
            return self.after(wait, Event::Reset(number, false));
        }
        self.deliver(to, Delayed::Accept(number));
        self.after(wait, Event::Connected(number));
    }

    fn accept(&mut self, number: u64) {
        let Some(conn) = self.conns.get_mut(&number) else {
            return;
        };
        let (from, to) = (conn.from, conn.to);
        self.hosts[to].accepted += 1;
        let link = LinkId::In(self.hosts[to].accepted);
        conn.to_link = Some(link);
        self.hosts[to].links.insert(link, number);
        let (peer, local) = (self.hosts[from].ip, self.hosts[to].ip);
        self.tell(to, Input::Accepted { link, peer, local });
        self.pump(number, true);
    }

    fn put(&mut self, id: HostId, link: LinkId, bytes: Arc<[u8]>) {
        self.check_sent(id, link, &bytes);
        let Some(number) = self.hosts[id].links.get(&link).copied() else {
            return;
        };
        let ready = self.now + self.latency();
        let Some(conn) = self.conns.get_mut(&number) else {
            return;
        };
        let to = matches!(link, LinkId::Out(_));
        let way = usize::from(to);
        if !conn.open[way] {
            // The receiver is gone: a computer that was started anew says so, one that is off says nothing.
            let target = if to { conn.to } else { conn.from };
            if self.hosts[target].machine.is_some() {
                self.after(1, Event::Reset(number, !to));
            }
            return;
        }
        // Order within a connection holds, whatever the latency.
        let ready = conn.queue[way]
            .back()
            .map_or(ready, |(last, _)| ready.max(*last));
        conn.queue[way].push_back((ready, bytes));
        if !conn.pumping[way] {
            conn.pumping[way] = true;
            let wait = ready - self.now;
            self.after(wait, Event::Pump(number, to));
        }
    }

    fn pump(&mut self, number: u64, to: bool) {
        loop {
            let Some(conn) = self.conns.get_mut(&number) else {
                return;
            };
            let way = usize::from(to);
            conn.pumping[way] = false;
            let (source, target) = match to {
                true => (conn.from, conn.to),
                false => (conn.to, conn.from),
            };
            if !conn.open[way] || to && conn.to_link.is_none() {
                return;
            }
            let Some((ready, _)) = conn.queue[way].front() else {
                return;
            };
            let wait = ready.saturating_sub(self.now);
            let cut = self.cuts.contains_key(&(source, target));
            if wait > 0 || cut {
                conn.pumping[way] = true;
                let wait = if cut { wait.max(100) } else { wait };
                return self.after(wait, Event::Pump(number, to));
            }
            let (_, bytes) = conn.queue[way].pop_front().expect("just seen");
            self.deliver(target, Delayed::Bytes(number, to, bytes));
        }
    }

    fn arrived(&mut self, number: u64, to: bool, bytes: &[u8]) {
        let split = match self.rng.below(self.split_one_in) {
            0 => self.rng.below(bytes.len() as u64 + 1) as usize,
            _ => bytes.len(),
        };
        for part in [&bytes[..split], &bytes[split..]] {
            let way = usize::from(to);
            let Some(conn) = self.conns.get_mut(&number) else {
                return;
            };
            let (host, link) = match to {
                true => (conn.to, conn.to_link),
                false => (conn.from, Some(conn.from_link)),
            };
            let Some(link) = link else {
                return;
            };
            conn.buffer[way].extend_from_slice(part);
            loop {
                let Some(machine) = &self.hosts[host].machine else {
                    return;
                };
                let Some(conn) = self.conns.get_mut(&number) else {
                    return;
                };
                let limit = machine.receive_limit(link);
                match bus::frame(&conn.buffer[way], limit) {
                    Ok(Some(length)) if conn.buffer[way].len() >= length => {
                        let rest = conn.buffer[way].split_off(length);
                        let message = std::mem::replace(&mut conn.buffer[way], rest);
                        let bytes = &message;
                        self.tell(host, Input::Received { link, bytes });
                    }
                    Ok(_) => break,
                    Err(_) => {
                        self.record.bad_frames += 1;
                        self.drop_link(host, link);
                        return self.tell(host, Input::Closed { link });
                    }
                }
            }
        }
    }

    /// One end closes; the other learns it, unless the wire is cut for good.
    fn drop_link(&mut self, id: HostId, link: LinkId) {
        let Some(number) = self.hosts[id].links.remove(&link) else {
            return;
        };
        let Some(conn) = self.conns.get_mut(&number) else {
            return;
        };
        let to = matches!(link, LinkId::Out(_));
        conn.open[usize::from(!to)] = false;
        let wait = self.latency();
        self.after(wait, Event::Reset(number, to));
    }

    fn reset(&mut self, number: u64, to: bool) {
        let Some(conn) = self.conns.get(&number) else {
            return;
        };
        let (source, target, link) = match to {
            true => (conn.from, conn.to, conn.to_link),
            false => (conn.to, conn.from, Some(conn.from_link)),
        };
        if source != target && self.is_cut(source, target) {
            return self.after(200, Event::Reset(number, to));
        }
        self.conns.remove(&number);
        if let Some(link) = link
            && self.hosts[target].links.remove(&link).is_some()
        {
            self.deliver(target, Delayed::Closed(link));
        }
    }

    /// A host's process dies. `silent`: so does its computer, and nobody is told; `forgets`: its disk loses what was not
    /// synced.
    pub fn crash(&mut self, id: HostId, silent: bool, forgets: bool) {
        if self.hosts[id].machine.is_none() {
            return;
        }
        self.note(format!(
            "crash of n{id}, silent {silent}, disk forgets {forgets}"
        ));
        self.record.fault(id, self.now, 0);
        let half = self.rng.below(2) == 0;
        let host = &mut self.hosts[id];
        host.machine = None;
        host.life += 1;
        host.stopped_inputs.clear();
        host.stopped_until = 0;
        host.paused_until = 0;
        host.held = None;
        let disk = &mut host.disk;
        // A save under way may or may not have replaced the file.
        for (_, (text, _)) in std::mem::take(&mut disk.saving) {
            if half {
                disk.file = Some(text);
            }
        }
        if forgets {
            disk.file.clone_from(&disk.synced);
        }
        let links: Vec<LinkId> = host.links.keys().copied().collect();
        if silent {
            self.record.silent.insert(id);
            for number in std::mem::take(&mut self.hosts[id].links).into_values() {
                if let Some(conn) = self.conns.get_mut(&number) {
                    conn.open[usize::from(conn.from != id)] = false;
                }
            }
        } else {
            for link in links {
                self.drop_link(id, link);
            }
        }
    }

    /// Starts a host from what its disk has.
    pub fn start(&mut self, id: HostId) {
        if self.hosts[id].machine.is_some() {
            return;
        }
        self.record.silent.remove(&id);
        let seed = self.rng.next_u64();
        let facts = self.facts(id);
        let host = &mut self.hosts[id];
        host.life += 1;
        host.next_tick = 0;
        let options = host.options.clone();
        let machine = match &host.disk.file {
            None => Machine::new(options, seed, &facts),
            Some(text) => {
                let file = File::read(text.as_bytes(), false).expect("its own file");
                Machine::load(&file, options, seed, &facts).expect("its own file")
            }
        };
        let replica = machine.myself().is_replica();
        self.hosts[id].machine = Some(machine);
        self.hosts[id].data.restarted(replica, &mut self.rng);
        self.note(format!("n{id} starts"));
        self.tell(id, Input::Tick);
    }

    /// Stops a host's process for a while, as SIGSTOP does.
    pub fn stop(&mut self, id: HostId, ms: u64) {
        self.note(format!("n{id} stopped for {ms} ms"));
        self.record.fault(id, self.now, ms);
        self.hosts[id].stopped_until = self.now + ms;
        self.after(ms, Event::Wake(id));
    }

    /// Kills a connection, both ends are told.
    pub fn break_link(&mut self, id: HostId) {
        let links: Vec<LinkId> = self.hosts[id].links.keys().copied().collect();
        if links.is_empty() {
            return;
        }
        let link = links[self.rng.below(links.len() as u64) as usize];
        self.drop_link(id, link);
        self.deliver(id, Delayed::Closed(link));
    }

    /// Cuts one direction between two hosts.
    pub fn cut(&mut self, from: HostId, to: HostId) {
        self.cuts.insert((from, to), self.now);
        self.record.cut(from, self.now);
        self.record.cut(to, self.now);
    }

    /// Mends all cuts.
    pub fn heal(&mut self) {
        self.record.healed(self.now);
        self.cuts.clear();
        self.note("healed".to_owned());
    }
}

impl Disk {
    fn put(&mut self, text: String, sync: bool) {
        if sync {
            let file = File::read(text.as_bytes(), false).expect("a machine's file");
            (self.epoch, self.vote) = (file.current_epoch, file.last_vote_epoch);
            let me = file.nodes.iter().find(|node| node.flags.any(Flags::MYSELF));
            let me = me.expect("a machine's file");
            self.claim = me.epoch;
            self.slots = me.slots.bitmap().to_vec();
            self.synced = Some(text.clone());
        }
        self.file = Some(text);
    }
}

/// A test that fails shows what was traced.
impl Drop for World {
    fn drop(&mut self) {
        if let Some(trace) = self.trace.take().filter(|_| std::thread::panicking()) {
            for line in trace {
                println!("{line}");
            }
        }
    }
}
