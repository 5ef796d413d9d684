//! The orders of a sentinel carried out: connections, the file, scripts, names, events.
//!
//! All events of the sentinel come in by `step` or [`tell`]; what it wants done in return is done at once, but
//! for what takes long: the file is written, and names are looked up, by helper threads that answer through the mailbox.
//!
//! Mirrors: the callbacks of sentinel.c, sentinelFlushConfig(), sentinelRunPendingScripts(), sentinelEvent().
//! Differs: nothing blocks the loop: neither a slow disk nor a slow name server can cause a TILT.

pub mod file;
mod scripts;

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clients;
use crate::clients::{ClientKey, WaitKind, Waiting};
use crate::command::table::CommandId;
use crate::config::disk;
use crate::pubsub::Kind;
use crate::resp::Reply;
use crate::resp::argv::{Argv, OwnedArgv};
use crate::sentinel::watch::{Waiter, Wire};
use crate::sentinel::{Address, Held, Input, Level, Now, Output, Refusal, Sentinel, WireId};
use crate::state::{ServerRequest, State};
use crate::sys::log;
use crate::wires::{Dial, Owner, Then};

/// Names looked up at the same time.
const MOST_LOOKUPS: usize = 64;

/// The moment, on both clocks.
pub fn now(state: &State) -> Now {
    Now {
        ms: (state.clock.monotonic_ns() / 1_000_000) as i64,
        unix_ms: state.clock.unix_ms(),
    }
}

/// Asks the sentinel something, or has it change something, and carries out what follows. None where there is no
/// sentinel.
pub fn tell<T>(state: &mut State, ask: impl FnOnce(&mut Sentinel) -> T) -> Option<T> {
    let now = now(state);
    let machine = &mut state.sentinel.as_mut()?.machine;
    machine.core.now = now;
    let answer = ask(machine);
    let mut out = Vec::new();
    machine.take_outputs(&mut out);
    carry_out(state, out);
    Some(answer)
}

/// Something happened.
fn step(state: &mut State, input: Input<'_>) {
    let now = now(state);
    let Some(watch) = &mut state.sentinel else {
        return;
    };
    let mut out = Vec::new();
    watch.machine.step(now, input, &mut out);
    carry_out(state, out);
}

/// A tick. Returns the time until the next one; none where there is no sentinel.
#[doc(alias = "sentinelTimer")]
pub fn tick(state: &mut State) -> Option<Duration> {
    state.sentinel.as_ref()?;
    scripts::collect(state);
    step(state, Input::Tick);
    let ms = state.sentinel.as_mut()?.machine.core.tick_ms();
    Some(Duration::from_millis(ms.unsigned_abs()))
}

fn carry_out(state: &mut State, outputs: Vec<Output>) {
    for output in outputs {
        match output {
            Output::Dial { wire, ip, port, .. } => dial(state, wire, SocketAddr::new(ip, port)),
            Output::Close(wire) => close(state, wire),
            Output::Send { wire, argv } => send(state, wire, argv),
            Output::Resolve(host) => resolve(state, host),
            Output::Save { generation } => file::save(state, generation),
            Output::Event { level, name, text } => {
                write_log(state, level, &format!("{name} {text}"));
                if level != Level::Debug {
                    let (name, text) = (name.as_bytes(), text.as_bytes());
                    state
                        .pubsub
                        .publish(&mut state.clients, Kind::Channel, name, text);
                }
            }
            Output::Log { level, line } => write_log(state, level, &line),
            Output::Run { script, path, argv } => scripts::run(state, script, &path, &argv),
            Output::Kill { script } => scripts::kill(state, script),
            Output::Exit(code) => {
                // As if it had crashed: what was to be done after this is not done.
                state.requests.push(ServerRequest::Exit(code));
                return;
            }
        }
    }
}

fn write_log(state: &State, level: Level, line: &str) {
    let level = match level {
        Level::Debug => log::Level::Debug,
        Level::Verbose => log::Level::Verbose,
        Level::Notice => log::Level::Notice,
        Level::Warning => log::Level::Warning,
    };
    state.log.write(level, &line);
}

fn dial(state: &mut State, wire: WireId, to: SocketAddr) {
    let from = state.config.bind_source_addr.as_deref();
    let from = from.and_then(|address| address.parse().ok());
    let tls = state.config.tls_replication;
    let Some(watch) = &mut state.sentinel else {
        return;
    };
    let key = state
        .wires
        .dial(Owner::Sentinel(wire), Dial { to, from, tls });
    watch.wires.insert(wire, Wire::new(key));
}

fn close(state: &mut State, wire: WireId) {
    let wires = state.sentinel.as_mut().map(|watch| &mut watch.wires);
    if let Some(wire) = wires.and_then(|wires| wires.remove(&wire)) {
        state.wires.close(wire.key);
    }
}

fn send(state: &mut State, wire: WireId, argv: Vec<Vec<u8>>) {
    let wires = state.sentinel.as_ref().map(|watch| &watch.wires);
    let key = wires
        .and_then(|wires| wires.get(&wire))
        .map(|wire| wire.key);
    if let Some(out) = key.and_then(|key| state.wires.out(key)) {
        OwnedArgv::from_words(argv).as_argv().encode(out);
    }
}

/// The loop made a connection; `local` is our address on it.
pub fn wire_up(state: &mut State, wire: WireId, local: Option<IpAddr>) {
    step(state, Input::Up { wire, local });
}

/// A connection ended, or could not be made.
pub fn wire_down(state: &mut State, wire: WireId, reason: &str) {
    if let Some(watch) = &mut state.sentinel {
        watch.wires.remove(&wire);
    }
    step(state, Input::Down { wire, reason });
}

/// Bytes came through a connection.
pub fn wire_received(state: &mut State, wire: WireId, bytes: &[u8]) -> Then {
    let mut bytes = Some(bytes);
    loop {
        let wires = state.sentinel.as_mut().map(|watch| &mut watch.wires);
        // A reply may have had the connection closed.
        let Some(at) = wires.and_then(|wires| wires.get_mut(&wire)) else {
            return Then::Read;
        };
        if let Some(bytes) = bytes.take() {
            at.replies.feed(bytes);
        }
        match at.replies.reply() {
            Ok(Some(reply)) => step(
                state,
                Input::Reply {
                    wire,
                    reply: &reply,
                },
            ),
            Ok(None) => return Then::Read,
            Err(malformed) => {
                close(state, wire);
                let reason = malformed.0;
                step(state, Input::Down { wire, reason });
            }
        }
    }
}

/// Looks a name up, on a thread of its own.
fn resolve(state: &mut State, host: String) {
    let Some(watch) = &mut state.sentinel else {
        return;
    };
    if watch.lookups.len() >= MOST_LOOKUPS || !watch.lookups.insert(host.clone()) {
        return;
    }
    let name = host.clone();
    look_up(state, host, move |state, found| {
        if let Some(watch) = &mut state.sentinel {
            watch.lookups.remove(&name);
        }
        let found = found.as_ref().map(|ip| *ip).map_err(String::as_str);
        step(state, Input::Resolved { host: &name, found });
    });
}

/// The first address of a name; the error is the reason that there is none. Blocks, for seconds perhaps.
pub fn address_of(host: &str) -> Result<IpAddr, String> {
    let found = (host, 0).to_socket_addrs();
    let mut found = found.map_err(|error| disk::reason(&error))?;
    let first = found.next().map(|address| address.ip());
    first.ok_or_else(|| "the name has no address".to_owned())
}

fn look_up(
    state: &State,
    host: String,
    then: impl FnOnce(&mut State, Result<IpAddr, String>) + Send + 'static,
) {
    let mailbox = state.mailbox.clone();
    // The thread tells the result, or we do if there can be no thread.
    let then = Arc::new(Mutex::new(Some(then)));
    let tell = move |found: Result<IpAddr, String>| {
        let then = then.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(then) = then {
            mailbox.send(move |state| then(state, found));
        }
    };
    let told = tell.clone();
    let work = move || told(address_of(&host));
    if let Err(error) = state.helpers.begin("resolve", work) {
        tell(Err(disk::reason(&error)));
    }
}

/// A client whose command is to be answered later, and that command.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    pub client: ClientKey,
    pub command: CommandId,
    pub argv: Argv<'a>,
}

/// Blocks a client until a generation of the file is saved, or could not be.
pub fn hold(state: &mut State, asker: Asker<'_>, generation: u64, held: Held) {
    let Some(ticket) = block(state, asker) else {
        return;
    };
    if let Some(watch) = &mut state.sentinel {
        watch.waiters.push(Waiter {
            ticket,
            client: asker.client,
            generation,
            held,
        });
    }
}

fn block(state: &mut State, asker: Asker<'_>) -> Option<u64> {
    let watch = state.sentinel.as_mut()?;
    watch.next_ticket += 1;
    let ticket = watch.next_ticket;
    let kind = WaitKind::Sentinel(ticket);
    let waiting = Waiting::new(kind, asker.command, asker.argv.to_owned(), None);
    let clients = &mut state.clients;
    state.blocked.block(clients, asker.client, waiting, []);
    Some(ticket)
}

/// Answers a client that [`block`] blocked.
fn answer(state: &mut State, client: ClientKey, ticket: u64, write: impl FnOnce(&mut Reply)) {
    let kind = WaitKind::Sentinel(ticket);
    clients::act::waits::answer_blocked(state, client, kind, Duration::ZERO, write);
}

/// SENTINEL MONITOR with a host name: looked up first, then watched, then saved, then answered.
pub fn monitor_by_name(
    state: &mut State,
    asker: Asker<'_>,
    name: String,
    to: Address,
    quorum: u32,
) {
    let Some(ticket) = block(state, asker) else {
        return;
    };
    let (client, host) = (asker.client, to.host.clone());
    look_up(state, host, move |state, found| {
        let monitored = match found {
            Ok(ip) => {
                let to = Address { ip: Some(ip), ..to };
                let told = tell(state, |sentinel| {
                    sentinel.monitor_now(&name, to, quorum)?;
                    Ok(sentinel.core.generation())
                });
                told.unwrap_or_else(|| Err("".into()))
            }
            Err(_) => Err("Invalid IP address or hostname specified".into()),
        };
        match monitored {
            Ok(generation) => {
                if let Some(watch) = &mut state.sentinel {
                    watch.waiters.push(Waiter {
                        ticket,
                        client,
                        generation,
                        held: Held::Ok,
                    });
                }
            }
            Err(Refusal(text)) => answer(state, client, ticket, |reply| {
                reply.error(&crate::resp::Error::once(text));
            }),
        }
    });
}

/// Writes the answer to SENTINEL IS-MASTER-DOWN-BY-ADDR.
pub fn write_verdict(reply: &mut Reply, verdict: &crate::sentinel::Verdict) {
    let (leader, epoch) = match &verdict.leader {
        Some((leader, epoch)) => (leader.as_str(), *epoch),
        None => ("*", 0),
    };
    reply.array(3);
    reply.integer(i64::from(verdict.is_down));
    reply.bulk(leader.as_bytes());
    reply.unsigned(epoch);
}
