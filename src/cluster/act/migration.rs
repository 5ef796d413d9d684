//! Slot migration carried out: connections, keys, the pause and the claim. [`crate::cluster::migration`] decides.
//!
//! All acts are done before the loop sleeps, so that none of them changes data or closes a client in the middle of a
//! command. A write between a decision and its act still goes to the stream: [`Channels::streams`] ends with the act.
//!
//! [`Channels::streams`]: crate::cluster::migration::channels::Channels::streams
//!
//! Mirrors: cluster_asm.c.
//! Differs: whole tables go to a thread, and TRIMSLOTS is propagated, only if every replica has said that it understands
//! this command. Real Redis says it of no replica, and one before 8.4 would keep the keys; then keys are deleted a few at
//! a time between other requests, and propagated as DEL.

use std::sync::mpsc::{TryRecvError, sync_channel};

use super::handover::{taken, taking};
use super::moving::{await_claim, due_trims, export_step, import_step, keys_in, next_trim, now};
use super::{arriving, carry, hooks, slots};
use crate::background::Job;
use crate::clients::{ClientFlags, ClientKey};
use crate::cluster::machine::Command;
use crate::cluster::migration::channels::Keys;
use crate::cluster::migration::{
    Act, Channel, Form, Operation, Task, TaskId, export, import, refuse_import,
};
use crate::cluster::slots::SlotSet;
use crate::config::disk;
use crate::keyspace::DbId;
use crate::persistence::aof::commands;
use crate::persistence::rdb;
use crate::replication::act::full_sync::PipeSink;
use crate::resp::argv::OwnedArgv;
use crate::scripting;
use crate::state::State;
use crate::wires::{Dial, Owner, Then, WireKey};

/// Pieces of the snapshot written ahead.
const AHEAD: usize = 8;
/// Bytes of such a piece.
const PIECE: usize = 256 * 1024;
/// The next piece is taken when fewer bytes wait for the destination's socket.
const WAITING: usize = 1 << 20;
/// Keys deleted at a time.
const TRIMMED: usize = 200;
/// No reply of the dialogue is longer.
const LONGEST_LINE: usize = 4096;

/// CLUSTER MIGRATION IMPORT: begins to take slots over from their owner.
///
/// # Errors
/// The words of the refusal, without `ERR`.
pub fn begin_import(state: &mut State, slots: SlotSet) -> Result<TaskId, String> {
    let Some(machine) = state.cluster.machine() else {
        return Err("This instance has cluster support disabled".to_owned());
    };
    let myself = machine.myself();
    if myself.is_replica() {
        return Err("slot migration not allowed on replica.".to_owned());
    }
    let owners = machine.owners();
    if !owners.migrating.is_empty() || !owners.importing.is_empty() {
        return Err("all slot states must be STABLE to start a slot migration task.".to_owned());
    }
    if let Some(running) = &state.cluster.migrations.import {
        let both: SlotSet = slots
            .iter()
            .filter(|slot| running.slots().has(*slot))
            .collect();
        if let Some(range) = both.ranges().first() {
            let (start, end) = (range.start(), range.end());
            return Err(format!(
                "overlapping import exists for slot range: {start}-{end}"
            ));
        }
    }
    let name = |key| machine.nodes().get(key).map(|node| node.id);
    let source = refuse_import(&slots, myself.id, |slot| owners.of(slot).and_then(name))?;
    if state.cluster.migrations.is_busy() {
        return Err("another ASM task is already in progress".to_owned());
    }
    let me = myself.id;
    let id = TaskId::random(&mut state.rng);
    let task = Task::new(id, slots, source, me, Operation::Import);
    let (now, wall) = now(state);
    state.cluster.migrations.options.reads_rdb = arriving::reads_rdb(state);
    state.cluster.migrations.begin_import(now, wall, task);
    Ok(id)
}

/// SYNCSLOTS SYNC: a destination asks for slots, over the client that becomes the task's main channel. It takes the keys in
/// this form.
///
/// # Errors
/// The words of the refusal, code first.
pub fn begin_export(
    state: &mut State,
    client: ClientKey,
    id: TaskId,
    dest: TaskId,
    slots: SlotSet,
    form: Form,
) -> Result<(), String> {
    let Some(machine) = state.cluster.machine() else {
        return Err("ERR This instance has cluster support disabled".to_owned());
    };
    let (me, owners) = (machine.myself(), machine.owners());
    if me.is_replica() {
        return Err("ERR slot migration not allowed on replica.".to_owned());
    }
    if slots
        .iter()
        .any(|slot| owners.of(slot) != Some(machine.my_key()))
    {
        return Err("ERR slots are not owned by this node".to_owned());
    }
    if machine.nodes().find(&dest).is_none() {
        return Err("NOTREADY the destination is not known yet".to_owned());
    }
    if !state.cluster.channels.trims.is_empty() || !owners.migrating.is_empty() {
        return Err("NOTREADY slots are being moved or deleted".to_owned());
    }
    // Modules may send commands ahead of the keys.
    let form = match state.modules.is_empty() {
        true => form,
        false => Form::Commands,
    };
    if !state.cluster.migrations.may_export(id) {
        return Err("NOTREADY Another slot migration task is in progress".to_owned());
    }
    let task = Task::new(id, slots, me.id, dest, Operation::Migrate);
    // An earlier try is closed before the new connection takes its place.
    export_step(state, export::Input::Replaced);
    carry_out(state);
    let (now, wall) = now(state);
    state.cluster.migrations.begin_export(now, wall, task, form);
    attach(state, Channel::Main, client);
    Ok(())
}

/// SYNCSLOTS RDBCHANNEL: the client becomes the task's second channel. False if there is no such task.
pub fn open_rdb_channel(state: &mut State, client: ClientKey, id: &[u8]) -> bool {
    let export = state.cluster.migrations.export.as_ref();
    if !export.is_some_and(|export| export.task().id.as_bytes() == id && export.waits_for_channel())
    {
        return false;
    }
    attach(state, Channel::Rdb, client);
    export_step(state, export::Input::RdbChannel);
    true
}

/// Makes a client of the destination's a channel of the task.
fn attach(state: &mut State, channel: Channel, client: ClientKey) {
    state.cluster.channels.end(channel).client = Some(client);
    if let Some(client) = state.clients.get_mut(client) {
        client.flags.set(ClientFlags::EXPORTS);
    }
}

/// SYNCSLOTS ACK of the destination.
pub fn acknowledged(state: &mut State, dest_state: &[u8], applied: u64) {
    let sent = state.cluster.channels.sent;
    export_step(
        state,
        export::Input::Ack {
            state: dest_state,
            applied,
            sent,
        },
    );
}

/// Does what is due before the loop sleeps.
pub fn before_sleep(state: &mut State) {
    if !state.cluster.migrations.wakes() && state.cluster.channels.trims.is_empty() {
        return carry_out(state);
    }
    look_at_owners(state);
    note_applied(state);
    note_keys(state);
    arriving::step(state);
    send_keys(state);
    carry_out(state);
    if next_trim(state).is_some() {
        trim_some(state);
    }
}

/// Whether the loop may not sleep: keys are to be deleted, or tables to be attached.
pub fn is_busy(state: &State) -> bool {
    next_trim(state).is_some() || state.cluster.channels.arrivals_wait
}

/// The part of the cron: time passes for tasks.
pub fn cron(state: &mut State) {
    let reads_rdb = arriving::reads_rdb(state);
    let config = &state.config;
    let options = &mut state.cluster.migrations.options;
    options.max_lag = config.cluster_slot_migration_handoff_max_lag_bytes;
    options.pause_ms = config.cluster_slot_migration_write_pause_timeout;
    options.drain_ms = config.cluster_slot_migration_sync_buffer_drain_timeout;
    options.archived = config.cluster_slot_migration_max_archived_tasks as usize;
    options.reads_rdb = reads_rdb;
    options.silence_ms = u64::from(config.repl_timeout) * 1000;
    complete_heard(state);
    if state.cluster.migrations.wakes() {
        // A replica that has begun to follow has not heard of the task.
        let syncs = state.stats.sync_full;
        if std::mem::replace(&mut state.cluster.channels.syncs_told, syncs) != syncs {
            state.cluster.migrations.tell_again();
        }
        if state.config.is_replica() {
            let (now, wall) = now(state);
            state
                .cluster
                .migrations
                .cancel(now, wall, None, "this node is a replica now");
        }
        import_step(state, import::Input::Tick);
        export_step(state, export::Input::Tick);
    }
}

/// Looks whether the slots of a task are still whose they were.
fn look_at_owners(state: &mut State) {
    let Some(machine) = state.cluster.machine() else {
        return;
    };
    let key_of = |node: &TaskId| machine.nodes().find(node);
    let (owners, migrations) = (machine.owners(), &state.cluster.migrations);
    let moved = "slots configuration updated";
    let cancels_import = migrations.import.as_ref().is_some_and(|import| {
        let source = key_of(&import.task().source);
        let mut slots = import.slots().iter();
        let changed = source.is_none() || slots.any(|slot| owners.of(slot) != source);
        changed && !import.claims()
    });
    let export = migrations.export.as_ref().filter(|export| export.is_live());
    let (mut claimed, mut cancels_export) = (false, false);
    if let Some(export) = export {
        let (me, dest) = (machine.my_key(), key_of(&export.task().dest));
        let mut slots = export.slots().iter();
        claimed = dest.is_some() && slots.all(|slot| owners.of(slot) == dest);
        let mut slots = export.slots().iter();
        cancels_export = !claimed && slots.any(|slot| owners.of(slot) != Some(me));
    }
    if cancels_import {
        import_step(state, import::Input::Cancel(moved));
    }
    if claimed {
        let slots = state
            .cluster
            .migrations
            .export
            .as_ref()
            .map(|export| export.slots().clone());
        let keys = slots.as_ref().map_or(0, |slots| keys_in(state, slots));
        if let Some(slots) = slots {
            // Their keys stay until enough nodes know the new owner.
            let _ = carry::order(state, Command::HandOver(&slots));
        }
        export_step(state, export::Input::Claimed(keys));
    } else if cancels_export {
        export_step(state, export::Input::Cancel(moved));
    }
}

/// Tells the import how many bytes of the stream its client has applied.
fn note_applied(state: &mut State) {
    let channels = &mut state.cluster.channels;
    let end = channels.end(Channel::Main);
    if !end.carries_commands || state.cluster.migrations.import.is_none() {
        return;
    }
    let Some(client) = end.client.and_then(|client| state.clients.get(client)) else {
        return;
    };
    let came = channels.handed + client.bytes_in;
    let applied = came.saturating_sub(client.query.len() as u64);
    if applied > channels.applied || applied == channels.handed {
        channels.applied = applied;
        let more = applied < channels.handed;
        import_step(state, import::Input::Applied(applied, more));
    }
}

/// Tells the import that commands of the snapshot came, if any did.
fn note_keys(state: &mut State) {
    let channels = &mut state.cluster.channels;
    let client = channels.end(Channel::Rdb).client;
    let came = client.and_then(|client| state.clients.get(client));
    let came = came.map_or(0, |client| client.bytes_in);
    if std::mem::replace(&mut channels.keys_came, came) != came {
        import_step(state, import::Input::Alive);
    }
}

/// Sends the next piece of the snapshot, when the destination's socket has taken the last.
fn send_keys(state: &mut State) {
    loop {
        let channels = &mut state.cluster.channels;
        let client = channels.end(Channel::Rdb).client;
        let (Some(client), Some(keys)) = (client, &mut channels.keys) else {
            return;
        };
        let waiting = state
            .clients
            .get(client)
            .map_or(0, |client| client.out.len());
        if waiting >= WAITING {
            return;
        }
        match keys.pieces.try_recv() {
            Ok(piece) => state.clients.send(client, |reply| reply.raw_owned(piece)),
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => {
                let Some(result) = keys.result.take() else {
                    return;
                };
                let form = keys.form;
                channels.keys = None;
                if result.is_ok() && form == Form::Commands {
                    let mut bytes = Vec::new();
                    encode(&[b"CLUSTER", b"SYNCSLOTS", b"SNAPSHOT-EOF"], &mut bytes);
                    state.clients.send(client, |reply| reply.raw(&bytes));
                }
                let result = result.as_ref().copied().map_err(String::as_str);
                export_step(state, export::Input::SnapshotWritten(result));
                return;
            }
        }
    }
}

fn encode(words: &[&[u8]], bytes: &mut Vec<u8>) {
    OwnedArgv::from_words(words).as_argv().encode(bytes);
}

/// Does acts until there are no more.
fn carry_out(state: &mut State) {
    loop {
        let acts = state.cluster.migrations.take_acts();
        // Before what follows from it: keys of slots that left are deleted.
        hooks::tell_of_tasks(state);
        if acts.is_empty() {
            return;
        }
        for act in acts {
            perform(state, act);
        }
    }
}

fn perform(state: &mut State, act: Act) {
    match act {
        Act::Dial(channel) => dial(state, channel),
        Act::Auth(channel) => {
            if let Some(machine) = state.cluster.machine() {
                let secret = *machine.secret();
                say(state, channel, &[b"AUTH", b"internal connection", &secret]);
            }
        }
        Act::Send(channel, words) => {
            let mut all: Vec<&[u8]> = vec![b"CLUSTER", b"SYNCSLOTS"];
            all.extend(words.iter().map(Vec::as_slice));
            say(state, channel, &all);
        }
        Act::Apply(channel) => apply(state, channel),
        Act::Load => {
            let came = std::mem::take(&mut state.cluster.channels.end(Channel::Rdb).kept);
            arriving::begin(state, came);
        }
        Act::Close(channel) => close(state, channel),
        Act::Claim(slots) => claim(state, &slots),
        Act::Trim(slots) => begin_trim(state, &slots),
        Act::Reply(channel, line) => {
            if let Some(client) = state.cluster.channels.end(channel).client {
                state.clients.send(client, |reply| reply.simple(line));
            }
        }
        Act::Snapshot(slots, form) => begin_keys(state, slots, form),
        Act::Stop => {
            if let Some(keys) = state.cluster.channels.keys.take() {
                keys.job.cancel();
            }
            end_stream(state);
        }
        Act::Pause(slots) => {
            state.cluster.channels.pauses = Some(slots);
            await_claim(state, true);
        }
        Act::Resume => {
            await_claim(state, false);
            state.cluster.channels.pauses = None;
            crate::clients::act::pause::release(state);
        }
        Act::EndStream => {
            end_stream(state);
            if let Some(client) = state.cluster.channels.end(Channel::Main).client {
                let mut bytes = Vec::new();
                encode(&[b"CLUSTER", b"SYNCSLOTS", b"STREAM-EOF"], &mut bytes);
                state.clients.send(client, |reply| reply.raw(&bytes));
            }
        }
        Act::Tell(task) => tell_replicas(state, &task),
        Act::Log(level, text) => carry::write_log(state, level, &text),
    }
}

/// Puts a task into the stream, where replicas of this kind and of Redis 8.4 hear of it.
fn tell_replicas(state: &mut State, task: &str) {
    if !state.config.is_replica() {
        let words = [b"CLUSTER".as_slice(), b"SYNCSLOTS", b"CONF", b"ASM-TASK"];
        let words: Vec<&[u8]> = words.into_iter().chain([task.as_bytes()]).collect();
        crate::replication::act::stream::say_to_replicas(state, &words);
    }
}

/// Ends an import of the primary whose slots are the primary's by now. A primary that was restarted does not tell of the
/// tasks that it had, and keys of its own slots are not to be hidden.
fn complete_heard(state: &mut State) {
    let (migrations, machine) = (&state.cluster.migrations, state.cluster.machine());
    let import = migrations.heard_task();
    let import = import.filter(|task| task.operation == Operation::Import);
    let over = import.zip(machine).is_some_and(|(task, machine)| {
        let (primary, owners) = (machine.myself().primary, machine.owners());
        primary.is_some() && task.slots.iter().any(|slot| owners.of(slot) == primary)
    });
    if over {
        let (_, wall) = now(state);
        state.cluster.migrations.complete_heard(wall);
    }
}

/// This node does not follow its primary any more. The task that the primary had begun has failed; keys of slots that
/// came with it and are another node's are deleted if this node is a primary now.
pub(super) fn left_primary(state: &mut State) {
    let (_, wall) = now(state);
    let Some(task) = state.cluster.migrations.end_heard(wall) else {
        return;
    };
    let (word, id, slots) = (task.operation.name(), task.id, task.slots_text());
    let kind = match task.operation {
        Operation::Import => "Import",
        Operation::Migrate => "Migrate",
    };
    state.log.warning(format_args!(
        "{kind} task {id} from old master failed: slots={slots}, operation={word}"
    ));
    let machine = state.cluster.machine();
    let Some(machine) = machine.filter(|machine| machine.myself().is_primary()) else {
        return;
    };
    if task.operation == Operation::Import {
        let (me, owners) = (machine.my_key(), machine.owners());
        let foreign = |slot: &u16| owners.of(*slot).is_some_and(|owner| owner != me);
        let foreign: SlotSet = task.slots.iter().filter(foreign).collect();
        begin_trim(state, &foreign);
    }
}

fn end_stream(state: &mut State) {
    state.cluster.channels.streams = None;
    state.effects.slots_listen = false;
    crate::replication::act::stream::listen_for_replicas(state);
}

/// Connects to the client port of the source.
fn dial(state: &mut State, channel: Channel) {
    // Keys of a failed try must be gone before those of the next come.
    let import = state.cluster.migrations.import.as_ref();
    if let (Channel::Main, Some(import)) = (channel, import) {
        let slots = import.slots().clone();
        let _ = carry::order(state, Command::EndHandOver(&slots));
        while next_trim(state).is_some() {
            trim_some(state);
        }
        if slots
            .iter()
            .any(|slot| state.cluster.channels.trims.has(slot))
        {
            let why = "a module holds back the deletion of keys";
            return import_step(state, import::Input::Down(channel, why));
        }
    }
    let source = state
        .cluster
        .migrations
        .import
        .as_ref()
        .map(|import| import.task().source);
    let machine = state.cluster.machine();
    let node = source.zip(machine).and_then(|(source, machine)| {
        let key = machine.nodes().find(&source)?;
        machine.nodes().get(key)
    });
    let tls = state.config.tls_replication;
    let address = node.and_then(|node| {
        let port = if tls { node.tls_port } else { node.port };
        node.ip.filter(|_| port != 0).map(|ip| (ip, port))
    });
    let Some(to) = address else {
        return import_step(
            state,
            import::Input::Down(channel, "the source's address is unknown"),
        );
    };
    let from = state.config.bind_source_addr.as_deref();
    let dial = Dial {
        to: to.into(),
        from: from.and_then(|address| address.parse().ok()),
        tls,
    };
    let owner = match channel {
        Channel::Main => Owner::SlotStream,
        Channel::Rdb => Owner::SlotKeys,
    };
    let wire = state.wires.dial(owner, dial);
    let channels = &mut state.cluster.channels;
    if channel == Channel::Main {
        (channels.handed, channels.applied) = (0, 0);
    }
    let end = channels.end(channel);
    *end = Default::default();
    end.wire = Some(wire);
}

fn say(state: &mut State, channel: Channel, words: &[&[u8]]) {
    let mut bytes = Vec::new();
    encode(words, &mut bytes);
    let end = state.cluster.channels.end(channel);
    match (end.wire, end.client) {
        (Some(wire), _) => {
            if let Some(out) = state.wires.out(wire) {
                out.extend_from_slice(&bytes);
            }
        }
        // The client that applies the stream has no voice of its own: what it is given are words to the source.
        (None, Some(client)) => state.clients.send(client, |reply| reply.raw(&bytes)),
        (None, None) => {}
    }
}

/// A wire of the destination stands.
pub fn wire_up(state: &mut State, channel: Channel) {
    import_step(state, import::Input::Up(channel));
}

/// A wire of the destination is gone, or was never made.
pub fn wire_down(state: &mut State, channel: Channel, key: WireKey, why: &str) {
    let end = state.cluster.channels.end(channel);
    if end.wire == Some(key) {
        end.wire = None;
        import_step(state, import::Input::Down(channel, why));
    }
}

/// Bytes came on a wire of the destination: replies, and once those are over, commands that are kept for the client.
pub fn wire_received(state: &mut State, channel: Channel, mut bytes: &[u8]) -> Then {
    if channel == Channel::Rdb && state.cluster.channels.arrivals.is_some() {
        arriving::received(state, bytes);
        return Then::Read;
    }
    while !bytes.is_empty() {
        let end = state.cluster.channels.end(channel);
        if end.carries_commands {
            end.kept.extend_from_slice(bytes);
            let kept = end.kept.len();
            let peak = &mut state.cluster.channels.kept_peak;
            *peak = kept.max(*peak);
            return Then::Read;
        }
        let Some(at) = bytes.iter().position(|byte| *byte == b'\n') else {
            end.kept.extend_from_slice(bytes);
            if end.kept.len() > LONGEST_LINE {
                import_step(
                    state,
                    import::Input::Down(channel, "a reply without an end"),
                );
            }
            return Then::Read;
        };
        let mut line = std::mem::take(&mut end.kept);
        line.extend_from_slice(&bytes[..at]);
        bytes = &bytes[at + 1..];
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        end.carries_commands = matches!(
            line.as_slice(),
            b"+RDBCHANNELSYNCSLOTS" | b"+SLOTSSNAPSHOT" | b"+SLOTSRDB"
        );
        import_step(state, import::Input::Line(channel, &line));
    }
    Then::Read
}

/// Whether the destination takes bytes of a channel.
pub fn wire_takes_bytes(state: &State, channel: Channel) -> bool {
    let channels = &state.cluster.channels;
    match (channel, &channels.arrivals) {
        // The thread changes no data that a script could see.
        (Channel::Rdb, Some(arrivals)) => arriving::takes_bytes(arrivals),
        _ => channels.takes_bytes(channel) && !state.scripts.is_busy(),
    }
}

/// Gives a channel of the destination to a client, which runs the commands that come.
fn apply(state: &mut State, channel: Channel) {
    let end = state.cluster.channels.end(channel);
    let (Some(wire), rest) = (end.wire.take(), std::mem::take(&mut end.kept)) else {
        return import_step(state, import::Input::Down(channel, "connection lost"));
    };
    let now = state.clock.unix_ms();
    let flags = ClientFlags::MUST_OBEY
        | ClientFlags::AUTHENTICATED
        | ClientFlags::INTERNAL
        | ClientFlags::IMPORTS;
    let client = state.clients.insert(now, flags);
    client.db = DbId(0);
    let key = client.key;
    let channels = &mut state.cluster.channels;
    if channel == Channel::Main {
        (channels.handed, channels.applied) = (rest.len() as u64, 0);
    }
    channels.end(channel).client = Some(key);
    state.wires.hand_over(wire, key, rest);
}

fn close(state: &mut State, channel: Channel) {
    if channel == Channel::Rdb {
        arriving::end(state);
    }
    let end = std::mem::take(state.cluster.channels.end(channel));
    if let Some(wire) = end.wire {
        state.wires.close(wire);
    }
    if let Some(client) = end.client {
        // An answer that waits, the last of the dialogue, is sent first.
        match state.clients.get_mut(client) {
            Some(who) if !who.out.is_empty() => who.flags.set(ClientFlags::CLOSE_AFTER_REPLY),
            _ => state.clients.close_asap(client),
        }
    }
}

/// The slots become this node's, under a new epoch.
fn claim(state: &mut State, slots: &SlotSet) {
    let keys = keys_in(state, slots);
    taking(state, slots);
    let claimed = carry::order(state, Command::Claim(slots));
    if claimed.is_err() {
        taken(state);
    }
    let result = claimed.as_ref().map(|_| keys).map_err(String::as_str);
    import_step(state, import::Input::Claimed(result));
}

/// Takes a snapshot of the slots, and has a thread write it; from this moment on their writes go to the stream.
fn begin_keys(state: &mut State, slots: SlotSet, form: Form) {
    hooks::send_commands(state, &slots);
    let numbers: Vec<u16> = slots.iter().collect();
    let snapshot = state.keyspace.snapshot_of_slots(&numbers);
    let libraries = scripting::act::functions::dump(state);
    let options = rdb_options(state);
    let (sender, pieces) = sync_channel(AHEAD);
    let job = Job::default();
    job.set_delay(state.config.rdb_key_save_delay);
    let mailbox = state.mailbox.clone();
    let id = state
        .cluster
        .migrations
        .export
        .as_ref()
        .map(|export| export.task().id);
    let of_thread = job.clone();
    // It does not stand back for clients: the migration waits for it, and the socket slows it down.
    let started = Job::begin_equal("slotsave", move || {
        let mut sink = PipeSink {
            pieces: sender,
            mailbox: mailbox.clone(),
            job: of_thread.clone(),
            piece_bytes: PIECE,
        };
        let result = match form {
            Form::Commands => {
                let written = commands::write_slots(snapshot, &libraries, &mut sink, &of_thread);
                written.map_err(|error| disk::reason(&error))
            }
            Form::Rdb => {
                let written = rdb::save::save(snapshot, &options, &mut sink, &of_thread);
                written.map(drop).map_err(|error| error.reason.to_string())
            }
        };
        drop(sink);
        mailbox.send(move |state| keys_written(state, id, result));
    });
    let channels = &mut state.cluster.channels;
    channels.sent = 0;
    channels.streams = Some(slots);
    let result = started.err().map(|error| Err(disk::reason(&error)));
    channels.keys = Some(Keys {
        job,
        form,
        pieces,
        result,
    });
    state.effects.slots_listen = true;
    crate::replication::act::stream::listen_for_replicas(state);
}

/// How slots are written for a node of this kind. Strings are not compressed: that takes longer than to send them.
fn rdb_options(state: &State) -> rdb::save::Options {
    let libraries = state.scripts.libraries.iter();
    rdb::save::Options {
        version: rdb::VERSION,
        checksum: state.config.rdbchecksum,
        redis_version: crate::REDIS_VERSION,
        created_s: state.clock.unix_seconds(),
        functions: libraries.map(|library| library.code.clone()).collect(),
        cluster: true,
        ..rdb::save::Options::default()
    }
}

/// The thread has written all keys, or could not.
fn keys_written(state: &mut State, id: Option<TaskId>, result: Result<(), String>) {
    let export = state.cluster.migrations.export.as_ref();
    if export.map(|export| export.task().id) == id
        && let Some(keys) = &mut state.cluster.channels.keys
    {
        keys.result = Some(result);
    }
}

/// Has the keys of slots deleted that are not this node's, a few at a time.
fn begin_trim(state: &mut State, slots: &SlotSet) {
    let keys = keys_in(state, slots);
    let channels = &mut state.cluster.channels;
    if channels.trims.is_empty() {
        channels.trim.started += 1;
        (channels.trim.keys, channels.trim.trimmed) = (0, 0);
    }
    channels.trim.keys += keys;
    for slot in slots.iter() {
        channels.trims.insert(slot);
    }
    let ranges = slots.ranges();
    let (first, last) = (ranges.first(), ranges.last());
    if let (Some(first), Some(last)) = (first, last) {
        state.log.notice(format_args!(
            "Active trim initiated for slots: {}-{} to trim {keys} keys.",
            first.start(),
            last.end()
        ));
    }
    hooks::trim_began(state, slots);
}

/// Deletes all keys of slots that left as whole tables, or some keys one by one.
fn trim_some(state: &mut State) {
    if slots::drops_tables(state) {
        return trim_tables(state);
    }
    let mut left = TRIMMED;
    while left > 0 {
        let Some(slot) = next_trim(state) else {
            return;
        };
        let done = match came_back(state, slot) {
            true => 0,
            false => slots::delete_some(state, slot, left),
        };
        left = left.saturating_sub(done);
        state.cluster.channels.trim.trimmed += done as u64;
        if done == 0 || state.keyspace[DbId(0)].slot_len(slot) == 0 {
            left = left.saturating_sub(1);
            trimmed(state, slot);
        }
    }
}

/// Whether a slot that left is this node's again: its keys are served, and stay.
fn came_back(state: &State, slot: u16) -> bool {
    let machine = state.cluster.machine();
    machine.is_some_and(|machine| machine.owns(slot))
}

/// Deletes all keys of slots that left, as whole tables.
fn trim_tables(state: &mut State) {
    let due: SlotSet = due_trims(state).collect();
    let gone = due.iter().filter(|slot| !came_back(state, *slot));
    let gone: SlotSet = gone.collect();
    let keys = slots::drop_tables(state, &gone);
    state.cluster.channels.trim.trimmed += keys as u64;
    due.iter().for_each(|slot| trimmed(state, slot));
}

/// Notes that a slot has no keys to be deleted any more.
fn trimmed(state: &mut State, slot: u16) {
    let channels = &mut state.cluster.channels;
    channels.trims.remove(slot);
    if channels.trims.is_empty() {
        channels.trim.completed += 1;
        state.log.notice("Active trim completed");
        hooks::trim_ended(state);
    }
}
