//! The RDB channel carried out, the replica's half: a second connection is made, the stream is kept meanwhile, and run
//! when the data set is loaded. [`crate::replication::channel`] has a picture.
//!
//! Mirrors: the functions rdbChannel…() of replication.c.

use super::{link, transfer};
use crate::replication::channel::{Channel, ChannelStep};
use crate::state::State;
use crate::sys::process;
use crate::wires::Then;

/// Bytes of the buffer that are run at a time.
const PIECE: usize = 16 * 1024;

/// The primary answered +RDBCHANNELSYNC: opens the second connection.
pub(super) fn begin_channel(state: &mut State, main_id: &str) {
    if main_id.is_empty() || !main_id.bytes().all(|byte| byte.is_ascii_digit()) {
        state.log.warning(format_args!(
            "Master replied with wrong +RDBCHANNELSYNC syntax: {main_id}"
        ));
        return link::handshake_failed(state);
    }
    state
        .log
        .notice("PSYNC is not possible, initialize RDB channel.");
    state.replication.link.channel = Some(Channel::new(main_id));
    state.replication.link.buffer.clear();
    link::connect_channel(state);
}

/// The second connection is made, and introduces itself.
#[doc(alias = "rdbChannelSendHandshake")]
pub fn channel_connected(state: &mut State) {
    let Some(channel) = &state.replication.link.channel else {
        return;
    };
    let (wire, main_id) = (channel.wire, channel.main_id.clone());
    let has_password = link::say_login(state, wire);
    let port = link::announced_port(state).to_string();
    let words = [
        "REPLCONF",
        "capa",
        "eof",
        "rdb-only",
        "1",
        "rdb-channel",
        "1",
        "main-ch-client-id",
        &main_id,
        "listening-port",
        &port,
    ];
    link::say(state, wire, words);
    if let Some(channel) = &mut state.replication.link.channel {
        channel.step = match has_password {
            true => ChannelStep::Auth,
            false => ChannelStep::Replconf,
        };
    }
}

/// The second connection could not be made, or ended.
pub fn channel_closed(state: &mut State, reason: &str) {
    let Some(channel) = &mut state.replication.link.channel else {
        return;
    };
    channel.wire = None;
    let step = channel.step;
    match step {
        ChannelStep::Connecting => {
            state.log.warning(format_args!(
                "Error condition on socket for rdb channel replication: {reason}"
            ));
            link::handshake_failed(state);
        }
        ChannelStep::DataSet if transfer::is_whole(state) => {}
        ChannelStep::DataSet => {
            state.log.warning(format_args!(
                "I/O error trying to sync with MASTER: {reason}"
            ));
            link::transfer_failed(state);
        }
        ChannelStep::Streaming { .. } => {}
        ChannelStep::Auth | ChannelStep::Replconf | ChannelStep::Psync => {
            state
                .log
                .warning(format_args!("rdb channel sync failed with error: {reason}"));
            link::handshake_failed(state);
        }
    }
}

/// Bytes came over the second connection.
#[doc(alias = "rdbChannelFullSyncWithMaster")]
pub fn channel_received(state: &mut State, mut bytes: &[u8]) -> Then {
    state.replication.link.last_io_ms = state.clock.unix_ms();
    while !bytes.is_empty() {
        let Some(channel) = &state.replication.link.channel else {
            break;
        };
        match channel.step {
            ChannelStep::DataSet => {
                let (used, then) = transfer::transfer_received(state, bytes);
                bytes = &bytes[used..];
                if then == Then::Wait {
                    state.replication.link.rest.extend_from_slice(bytes);
                    return Then::Wait;
                }
            }
            ChannelStep::Connecting | ChannelStep::Streaming { .. } => break,
            step => {
                let Some(line) = link::take_line(state, &mut bytes) else {
                    break;
                };
                channel_line(state, step, &line);
            }
        }
    }
    Then::Read
}

/// A line of the handshake of the second connection.
fn channel_line(state: &mut State, step: ChannelStep, line: &str) {
    // Empty lines only say that the primary is there.
    if line.is_empty() {
        return;
    }
    let Some(channel) = &mut state.replication.link.channel else {
        return;
    };
    match step {
        ChannelStep::Auth if line.starts_with('-') => {
            state
                .log
                .warning(format_args!("Unable to AUTH to master: {line}"));
            link::handshake_failed(state);
        }
        ChannelStep::Auth => channel.step = ChannelStep::Replconf,
        ChannelStep::Replconf if line.starts_with('-') => {
            state
                .log
                .warning(format_args!("Master replied error to replconf: {line}"));
            link::handshake_failed(state);
        }
        ChannelStep::Replconf => {
            channel.step = ChannelStep::Psync;
            let wire = channel.wire;
            if state.debug.replication_pauses.before_rdb_channel {
                pause_process(state);
            }
            link::say(state, wire, ["PSYNC", "?", "-1"]);
        }
        ChannelStep::Psync => match link::parse_full_resync(line) {
            Some(announced) => {
                channel.step = ChannelStep::DataSet;
                state.replication.link.announced = Some(announced);
                state
                    .log
                    .notice("Starting to receive RDB and replication stream in parallel.");
                transfer::begin_transfer(state);
            }
            None => {
                state
                    .log
                    .warning(format_args!("Received unexpected psync reply: {line}"));
                link::handshake_failed(state);
            }
        },
        ChannelStep::Connecting | ChannelStep::DataSet | ChannelStep::Streaming { .. } => {}
    }
}

/// Bytes of the stream came over the main channel before the data set is loaded, or before the buffer is run.
#[doc(alias = "rdbChannelBufferReplData")]
pub(super) fn keep_stream(state: &mut State, bytes: &[u8]) {
    state.stats.net_repl_input_bytes += bytes.len() as u64;
    state.stats.reads_processed += 1;
    state.replication.link.buffer.push(bytes);
    let now = state.clock.unix_ms();
    let client = state.replication.link.client;
    if let Some(client) = client.and_then(|client| state.clients.get_mut(client)) {
        client.active_ms = now;
    }
    let limit = buffer_limit(state);
    let link = &mut state.replication.link;
    if link.channel.as_ref().is_some_and(Channel::is_streaming) {
        return link.buffer.begin_to_run();
    }
    let full = !link.buffer.has_room(limit);
    if let Some(channel) = &mut link.channel
        && full
        && !std::mem::replace(&mut channel.full, true)
    {
        state.log.notice(format_args!(
            "Replication buffer limit has been reached ({limit} bytes), stopped buffering replication stream. Further \
             accumulation may occur on master side. "
        ));
    }
}

/// The most bytes that the buffer may have; 0: no limit.
fn buffer_limit(state: &State) -> u64 {
    match state.config.replica_full_sync_buffer_limit {
        0 => state.config.client_output_buffer_limit.replica.hard_bytes,
        limit => limit,
    }
}

/// Whether the main channel is read: the buffer has room, or is being run and shrinks.
pub fn keeps_stream(state: &State) -> bool {
    let link = &state.replication.link;
    match &link.channel {
        Some(channel) if channel.main_lost => false,
        Some(channel) if channel.is_streaming() => link.buffer.drains(),
        Some(channel) => !channel.full,
        None => false,
    }
}

/// The main channel was lost. Returns whether that is taken care of: a load of a file, and a buffer that is being run,
/// go on to their end.
#[doc(alias = "rdbChannelAbort")]
pub(super) fn main_channel_lost(state: &mut State, reason: &str) -> bool {
    let Some(channel) = &state.replication.link.channel else {
        return false;
    };
    let streaming = channel.is_streaming();
    state.log.warning(format_args!(
        "Main channel error while reading from master: {reason}"
    ));
    let loading = transfer::is_loading_from_primary(state);
    if loading {
        state
            .log
            .notice("Aborting rdb channel sync while loading the RDB.");
        if transfer::loads_file(state) {
            state
                .log
                .notice("After loading RDB, replica will try psync with master.");
        } else {
            state.log.warning(
                "Failed trying to load the MASTER synchronization DB from socket, check server logs.",
            );
            return false;
        }
    }
    let link = &mut state.replication.link;
    link.wire = None;
    if let Some(channel) = &mut link.channel {
        channel.main_lost = true;
    }
    streaming || loading
}

/// The data set is loaded and the primary is a client: its buffer begins to be run.
#[doc(alias = "rdbChannelStreamReplDataToDb")]
pub(super) fn begin_streaming(state: &mut State) {
    let link = &mut state.replication.link;
    let Some(channel) = &mut link.channel else {
        return;
    };
    // Bytes behind the data set on its own connection belong to nothing.
    link.rest.clear();
    channel.step = ChannelStep::Streaming { bytes: 0 };
    let wire = channel.wire.take();
    link.buffer.begin_to_run();
    let bytes = link.buffer.bytes();
    if let Some(wire) = wire {
        state.wires.close(wire);
    }
    state.log.notice(format_args!(
        "MASTER <-> REPLICA sync: Starting to stream replication buffer into the db ({bytes} bytes)."
    ));
}

/// Whether there is a second connection, or a buffer that is not run yet.
pub fn is_open(state: &State) -> bool {
    state.replication.link.channel.is_some()
}

/// Whether the buffer is being run.
pub fn is_streaming(state: &State) -> bool {
    let channel = state.replication.link.channel.as_ref();
    channel.is_some_and(Channel::is_streaming)
}

/// Whether the next piece of the buffer can be run now.
pub fn can_stream(state: &State) -> bool {
    let client = state.replication.link.client;
    let client = client.and_then(|client| state.clients.get(client));
    is_streaming(state)
        && !state.scripts.is_busy()
        && client.is_some_and(|client| client.runnable())
}

/// Gives the primary's client the next piece of the buffer. Behind the last one the client gets its connection. Before
/// each sleep.
#[doc(alias = "rdbChannelStreamReplDataToDb")]
pub fn stream_buffer(state: &mut State) {
    if !can_stream(state) {
        return;
    }
    let link = &mut state.replication.link;
    let (Some(channel), Some(client)) = (&mut link.channel, link.client) else {
        return;
    };
    let ChannelStep::Streaming { bytes } = &mut channel.step else {
        return;
    };
    let streamed = *bytes;
    if streamed > 0 && state.debug.replication_pauses.on_streaming_buffer {
        pause_process(state);
    }
    let now = state.clock.unix_ms();
    let link = &mut state.replication.link;
    let Some(who) = state.clients.get_mut(client) else {
        return;
    };
    who.active_ms = now;
    let n = link.buffer.take(PIECE, &mut who.query);
    if n > 0 {
        if let Some(channel) = &mut link.channel {
            channel.step = ChannelStep::Streaming {
                bytes: streamed + n as u64,
            };
        }
        return state.clients.resume(client);
    }
    let lost = link.channel.take().is_some_and(|channel| channel.main_lost);
    link.buffer.clear();
    state.log.notice(format_args!(
        "MASTER <-> REPLICA sync: Successfully streamed replication buffer into the db ({streamed} bytes in total)"
    ));
    if lost {
        // What was streamed counts, and the link goes on from there.
        state.clients.close_asap(client);
    }
}

/// The primary's client is gone while the buffer is run.
pub(super) fn streaming_ended(state: &mut State) {
    let link = &mut state.replication.link;
    if link.channel.take().is_some() {
        link.buffer.clear();
        state
            .log
            .warning("Master client was freed while streaming accumulated replication data to db.");
    }
}

/// Gives the second connection and the buffer up.
pub(super) fn abandon_channel(state: &mut State) {
    let link = &mut state.replication.link;
    let Some(channel) = link.channel.take() else {
        return;
    };
    link.buffer.clear();
    if let Some(wire) = channel.wire {
        state.wires.close(wire);
    }
    state.log.notice("Aborting rdb channel sync");
}

/// Stops the process until somebody continues it (DEBUG REPL-PAUSE).
#[doc(alias = "debugPauseProcess")]
pub(super) fn pause_process(state: &State) {
    state.log.notice("Process is about to stop.");
    process::stop_until_continued();
    state.log.notice("Process has been continued.");
}
