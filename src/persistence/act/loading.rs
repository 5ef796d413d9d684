//! Loading carried out, slice by slice between turns of the loop: keys into the keyspace, commands through the
//! dispatcher. [`crate::persistence::loading`] has the parts of a load and how far it is.
//!
//! Mirrors: loadDataFromDisk() of server.c, loadAppendOnlyFiles() of aof.c, rdbLoadRioWithLoadingCtx() of rdb.c.

use std::collections::VecDeque;
use std::io;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{append, rewrite, saving, tails, upgrade};
use crate::clients::{Client, ClientFlags};
use crate::config::{SanitizeDumpPayload, disk};
use crate::keyspace::act::notify;
use crate::keyspace::events::Class;
use crate::keyspace::{DbId, Deadline, Inserted, Keyspace, NewValue};
use crate::persistence::aof::manifest::{Manifest, Names};
use crate::persistence::aof::reader::{CommandReader, Line, Trouble};
use crate::persistence::aof::replay::Replayer;
use crate::persistence::files;
use crate::persistence::loading::{
    Fatal, Flags, Hold, Loading, Opened, Part, Progress, Slice, Source, Stream, What,
};
use crate::persistence::rdb::check::circumstances;
use crate::persistence::rdb::load::{Item, Key, Loader};
use crate::persistence::rdb::read_value::{Limits, Reading};
use crate::persistence::rdb::{Decoder, Error, Reason, module_name};
use crate::persistence::receiving::Beside;
use crate::state::State;
use crate::sys::process;
use crate::types::Typed;
use crate::{keyspace, replication, scripting};

/// Commands replayed in one slice, at most.
const COMMANDS: usize = 1024;

const LOADING_ALREADY: &str = "The data set is being loaded already";

/// How values of a client's payload are to be checked, or of a file (`None`).
pub fn reading(state: &State, client: Option<&Client>) -> Reading {
    let trusted = |client: &Client| {
        client.flags.has(ClientFlags::PRIMARY)
            || client.user.as_ref().is_some_and(|u| u.skips_sanitizing())
    };
    Reading {
        deep: match state.config.sanitize_dump_payload {
            SanitizeDumpPayload::No => false,
            SanitizeDumpPayload::Yes => true,
            SanitizeDumpPayload::Clients => client.is_some_and(|client| !trusted(client)),
        },
        limits: Limits::of(&state.config, state.member_seed).with_plain_from(state.list_plain_from),
        foreign: !state.modules.types.is_empty(),
    }
}

/// Begins to load the data set as the configuration says. Slices do the rest ([`load_slice`]).
#[doc(alias = "loadDataFromDisk")]
pub fn begin_loading(state: &mut State) -> Opened {
    if load_manifest(state).is_err() {
        return Opened::Failed;
    }
    for (name, pid) in files::remove_abandoned(&state.disk, &state.config.dir, process::is_alive) {
        state.log.notice(format_args!(
            "Removed {name}, which process {pid} left unfinished"
        ));
    }
    let opened = if let Some(file) = wanted_preload(state) {
        state.persistence.preloaded = true;
        begin_preloading(state, &file)
    } else if state.config.appendonly {
        begin_loading_aof(state)
    } else {
        let path = state.config.dir.join(&state.config.dbfilename);
        let at_start = Flags {
            at_start: true,
            ..Flags::default()
        };
        let opened = begin_loading_rdb(state, &path, at_start);
        if opened == Opened::Failed {
            state
                .log
                .warning("Fatal error loading the DB, check server logs. Exiting.");
        }
        opened
    };
    if opened == Opened::Missing && !rewrite::open_aof_at_start(state) {
        return Opened::Failed;
    }
    opened
}

/// Begins to load an RDB.
#[doc(alias = "rdbLoad")]
pub fn begin_loading_rdb(state: &mut State, path: &Path, flags: Flags) -> Opened {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.into_owned();
    let size = match state.disk.metadata(path) {
        Ok(metadata) if metadata.is_file => metadata.len,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Opened::Missing,
        _ => 0,
    };
    let part = Part {
        path: path.to_owned(),
        name,
        what: What::Rdb,
        size,
    };
    begin_parts(state, VecDeque::from([part]), false, flags)
}

/// Begins to load the append-only files of the manifest.
#[doc(alias = "loadAppendOnlyFiles")]
pub fn begin_loading_aof(state: &mut State) -> Opened {
    if upgrade::upgrade_old_aof(state).is_err() {
        return Opened::Failed;
    }
    let names = state.config.aof_names();
    let manifest = state.persistence.aof.manifest.clone();
    begin_loading_manifest(state, &manifest, &names)
}

fn begin_loading_manifest(state: &mut State, manifest: &Manifest, names: &Names) -> Opened {
    let mut parts = VecDeque::new();
    let mut total = 0;
    for file in manifest.in_order() {
        let path = names.path(&file.name);
        let size = match state.disk.metadata(&path) {
            Ok(metadata) => metadata.len,
            Err(error) => {
                state.log.warning(format_args!(
                    "Unable to obtain the AOF file {} length. stat: {}",
                    file.name,
                    disk::reason(&error)
                ));
                return Opened::Failed;
            }
        };
        total += size;
        let what = match &manifest.base {
            Some(base) if base == file && file.name == names.stem => What::OldStyle,
            Some(base) if base == file => What::Base,
            _ => What::Increment,
        };
        parts.push_back(Part {
            size,
            path,
            name: file.name.clone(),
            what,
        });
    }
    if total == 0 {
        return Opened::Missing;
    }
    let flags = Flags {
        keep_expired: true,
        ..Flags::default()
    };
    begin_parts(state, parts, true, flags)
}

/// The file to load instead of the usual ones, unless it is the usual one.
fn wanted_preload(state: &State) -> Option<String> {
    let file = state.config.preload_file.as_ref()?;
    if let Some(manifest) = file.strip_prefix("aof:")
        && state.config.appendonly
        && let Ok(wanted) = state.disk.canonical(Path::new(manifest))
        && let Ok(own) = state.disk.canonical(&state.config.aof_names().manifest())
        && own == wanted
    {
        return None;
    }
    Some(file.clone())
}

/// Begins to load `preload-file`: `rdb:` and a path, or `aof:` and the path of a manifest. It must be there.
fn begin_preloading(state: &mut State, file: &str) -> Opened {
    let opened = match file.split_once(':') {
        Some(("rdb", path)) => begin_loading_rdb(state, Path::new(path), Flags::default()),
        Some(("aof", path)) => begin_preloading_manifest(state, Path::new(path)),
        _ => Opened::Failed,
    };
    if opened == Opened::Missing && !file.starts_with("aof:") {
        state.log.warning(format_args!(
            "Fatal error: the preload-file {file} is not there"
        ));
        return Opened::Failed;
    }
    if opened == Opened::Failed {
        state.log.warning(format_args!(
            "Fatal error loading the preload-file {file}, check server logs. Exiting."
        ));
    }
    opened
}

/// Missing, here, is a data set without a byte.
fn begin_preloading_manifest(state: &mut State, path: &Path) -> Opened {
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    let names = Names {
        directory: path.parent().unwrap_or(Path::new("/")).to_owned(),
        stem: file_name
            .strip_suffix(".manifest")
            .unwrap_or(&file_name)
            .to_owned(),
    };
    match read_manifest(state, path) {
        Ok(manifest) if manifest.is_empty() => {
            state.log.warning(format_args!(
                "Fatal error: the AOF manifest file {} is not there",
                path.display()
            ));
            Opened::Failed
        }
        Ok(manifest) => begin_loading_manifest(state, &manifest, &names),
        Err(Fatal) => Opened::Failed,
    }
}

fn begin_parts(state: &mut State, parts: VecDeque<Part>, aof: bool, flags: Flags) -> Opened {
    let mut loading = new_loading(state, parts, aof, flags);
    if aof {
        loading.replayer = Some(Replayer::new(state));
        // Commands count on keys that were there when they ran.
        state.keyspace.env().set_see_expired(true);
    }
    if next_part(state, &mut loading).is_err() {
        end_loading(state, &loading);
        return Opened::Failed;
    }
    state.persistence.loading = Some(loading);
    Opened::Yes
}

/// Puts the server into the state of loading.
#[doc(alias = "startLoading")]
fn new_loading(state: &mut State, parts: VecDeque<Part>, aof: bool, flags: Flags) -> Box<Loading> {
    let now = Instant::now();
    state.persistence.progress = Some(Progress {
        started_s: state.clock.unix_seconds(),
        total_bytes: parts.iter().map(|part| part.size).sum(),
        loaded_bytes: 0,
        used_memory: 0,
        serves_old: flags.serves_old,
    });
    Box::new(Loading {
        parts,
        current: None,
        replayer: None,
        aof,
        started: now,
        part_started: now,
        done_bytes: 0,
        used_memory: 0,
        keys_loaded: 0,
        keys_expired: 0,
        empty_keys: 0,
        flags,
        before: None,
        hold: Hold::Nothing,
        beside: None,
        stream: Stream::default(),
        listening: std::mem::replace(&mut state.effects.listening, crate::command::Targets::NONE),
    })
}

/// Begins to load an RDB that is read by `loader` as its bytes come.
pub(in crate::persistence) fn begin_loading_stream(
    state: &mut State,
    loader: Loader<'static>,
    size: u64,
    flags: Flags,
    beside: Option<Beside>,
) {
    let part = Part {
        path: PathBuf::new(),
        name: "the data set received".to_owned(),
        what: What::Stream,
        size,
    };
    let mut loading = new_loading(state, VecDeque::new(), false, flags);
    if let Some(progress) = &mut state.persistence.progress {
        progress.total_bytes = size;
    }
    loading.current = Some((part, Source::Rdb(Box::new(loader))));
    loading.hold = Hold::Bytes;
    loading.beside = beside;
    state.persistence.loading = Some(loading);
}

/// Reads the manifest at every start, so that the numbers of new files follow those of the old ones.
#[doc(alias = "aofLoadManifestFromDisk")]
fn load_manifest(state: &mut State) -> Result<(), Fatal> {
    let path = state.config.aof_names().manifest();
    state.persistence.aof.manifest = read_manifest(state, &path)?;
    Ok(())
}

/// A manifest; an empty one if there is none. The log has the reason of a failure.
fn read_manifest(state: &State, path: &Path) -> Result<Manifest, Fatal> {
    match Manifest::load(&state.disk, path) {
        Ok(manifest) => Ok(manifest),
        Err(Ok(bad)) => {
            state.log.warning("*** FATAL AOF MANIFEST FILE ERROR ***");
            if let Some((number, line)) = bad.line {
                state
                    .log
                    .warning(format_args!("Reading the manifest file, at line {number}"));
                state.log.warning(format_args!(">>> '{line}'"));
            }
            state.log.warning(bad.reason);
            Err(Fatal)
        }
        Err(Err(error)) => {
            state.log.warning(format_args!(
                "Fatal error: can't open the AOF manifest file {} for reading: {}",
                path.display(),
                disk::reason(&error)
            ));
            Err(Fatal)
        }
    }
}

/// Opens the next file that has anything in it. `current` is empty afterwards if there is none.
fn next_part(state: &mut State, loading: &mut Loading) -> Result<(), Fatal> {
    loading.part_started = Instant::now();
    while let Some(part) = loading.parts.pop_front() {
        if part.size == 0 && part.what != What::Rdb {
            loading.note_before(&part);
            continue;
        }
        let source = open_part(state, &part, loading.flags)?;
        loading.current = Some((part, source));
        return Ok(());
    }
    Ok(())
}

fn open_part(state: &mut State, part: &Part, flags: Flags) -> Result<Source, Fatal> {
    let mut file = match state.disk.open(&part.path) {
        Ok(file) => file,
        Err(error) => {
            let what = match part.what {
                What::Rdb => "RDB file",
                _ => "append log file",
            };
            state.log.warning(format_args!(
                "Fatal error: can't open the {what} {} for reading: {}",
                part.name,
                disk::reason(&error)
            ));
            return Err(Fatal);
        }
    };
    let mut magic = Vec::new();
    if part.what != What::Rdb {
        let start = Read::by_ref(&mut file).take(5).read_to_end(&mut magic);
        if start.is_err() || magic != b"REDIS" {
            let reader = CommandReader::new(Box::new(file), magic, 0);
            return Ok(Source::Commands {
                reader,
                valid: 0,
                valid_before_multi: 0,
            });
        }
        state.log.notice(match part.what {
            What::OldStyle => "Reading RDB preamble from AOF file...",
            _ => "Reading RDB base file on AOF loading...",
        });
    }
    let total = (part.size > 0).then_some(part.size);
    let checksum = state.config.rdbchecksum && !state.persistence.skip_checksum;
    let dec = Decoder::new(io::Cursor::new(magic).chain(file), total, checksum);
    match Loader::new(dec, reading(state, None)) {
        Ok(loader) => Ok(Source::Rdb(Box::new(loader))),
        Err(error) => {
            explain(state, &error, &part.name, flags, None);
            Err(Fatal)
        }
    }
}

/// Whether there is a load that waits for nothing.
pub fn can_load(state: &State) -> bool {
    let loading = state.persistence.loading.as_ref();
    loading.is_some_and(|loading| loading.hold == Hold::Nothing)
}

/// Loads until enough was read for a look at the clients, or to the end.
pub fn load_slice(state: &mut State) -> Slice {
    let Some(mut loading) = state.persistence.loading.take() else {
        return Slice::Done;
    };
    let interval = state.config.loading_process_events_interval_bytes.max(1);
    let position = |loading: &Loading| {
        let current = loading.current.as_ref();
        loading.done_bytes + current.map_or(0, |(_, source)| source.position())
    };
    let turn = position(&loading) / interval;
    let mut commands = 0;
    let result = loop {
        match load_step(state, &mut loading, &mut commands) {
            Ok(true)
                if loading.hold == Hold::Nothing
                    && commands < COMMANDS
                    && position(&loading) / interval == turn => {}
            other => break other,
        }
    };
    if let Some(progress) = &mut state.persistence.progress {
        progress.loaded_bytes = position(&loading);
        progress.used_memory = loading.used_memory;
    }
    match result {
        Ok(true) => {
            state.persistence.loading = Some(loading);
            Slice::More
        }
        Ok(false) => {
            end_loading(state, &loading);
            loading_done(state, &loading);
            if loading.flags.from_primary {
                replication::act::transfer::primary_loaded(state, loading.come_to(true));
                return Slice::Done;
            }
            match rewrite::open_aof_at_start(state) {
                true => Slice::Done,
                false => Slice::Failed,
            }
        }
        Err(Fatal) => {
            end_loading(state, &loading);
            if loading.flags.from_primary {
                replication::act::transfer::primary_loaded(state, loading.come_to(false));
            }
            Slice::Failed
        }
    }
}

/// Loads one key or command. Returns whether there may be more.
fn load_step(
    state: &mut State,
    loading: &mut Loading,
    commands: &mut usize,
) -> Result<bool, Fatal> {
    let Some((part, mut source)) = loading.current.take() else {
        return Ok(false);
    };
    let more = match &mut source {
        Source::Rdb(loader) => match load_item(state, loading, loader) {
            Ok(more) => more,
            Err(error) if matches!(error.reason, Reason::Starved) => {
                loader.begin_item_again();
                loading.hold = Hold::Bytes;
                true
            }
            Err(error) => {
                explain(state, &error, &part.name, loading.flags, Some(loader));
                let name = &part.name;
                match part.what {
                    What::Rdb | What::Stream => {}
                    What::OldStyle => state.log.warning(format_args!(
                        "Error reading the RDB preamble of the AOF file {name}, AOF loading aborted"
                    )),
                    _ => state.log.warning(format_args!(
                        "Error reading the RDB base file {name}, AOF loading aborted"
                    )),
                }
                return Err(Fatal);
            }
        },
        Source::Commands {
            reader,
            valid,
            valid_before_multi,
        } => {
            *commands += 1;
            let marks = (valid, valid_before_multi);
            load_command(state, loading, &part, reader, marks)?
        }
    };
    if more {
        loading.current = Some((part, source));
        return Ok(true);
    }
    if let Source::Rdb(loader) = source
        && !matches!(part.what, What::Rdb | What::Stream)
    {
        if part.what == What::OldStyle {
            state.log.notice("Reading the remaining AOF tail...");
        }
        let end = loader.position();
        let (read, input) = loader.into_decoder().into_rest();
        let source = Source::Commands {
            reader: CommandReader::new(input, read, end),
            valid: end,
            valid_before_multi: end,
        };
        loading.current = Some((part, source));
        return Ok(true);
    }
    part_done(state, loading, &part);
    loading.note_before(&part);
    if part.what != What::Stream {
        state.closer.forget_cache(&part.path);
    }
    loading.done_bytes += part.size;
    next_part(state, loading)?;
    Ok(loading.current.is_some())
}

fn part_done(state: &mut State, loading: &Loading, part: &Part) {
    let seconds = loading.part_started.elapsed().as_secs_f64();
    let kind = match part.what {
        What::Rdb | What::Stream => return,
        What::Base | What::OldStyle => "base",
        What::Increment => "incr",
    };
    state.log.notice(format_args!(
        "DB loaded from {kind} file {}: {seconds:.3} seconds",
        part.name
    ));
}

/// Runs one command of a file. Returns whether there may be more.
fn load_command(
    state: &mut State,
    loading: &mut Loading,
    part: &Part,
    reader: &mut CommandReader,
    (valid, valid_before_multi): (&mut u64, &mut u64),
) -> Result<bool, Fatal> {
    let Some(replayer) = &loading.replayer else {
        return Ok(false);
    };
    let is_last = loading.parts.iter().all(|part| part.size == 0);
    match reader.next() {
        Ok(Line::Timestamp(_) | Line::Remark) => Ok(true),
        Ok(Line::Follows(bytes)) if loading.lacks(bytes) && *valid == 0 => {
            tails::drop_from(state, part, loading)
        }
        Ok(Line::Follows(_)) => Ok(true),
        Ok(Line::Command(argv)) => {
            if argv.as_argv().get(0).eq_ignore_ascii_case(b"multi") {
                *valid_before_multi = *valid;
            }
            if let Err(unknown) = replayer.run(state, &argv) {
                state.log.warning(format_args!(
                    "Unknown command '{}' reading the append only file {}",
                    unknown.0, part.name
                ));
                return Err(Fatal);
            }
            *valid = reader.position();
            delay_loading(state, *valid);
            Ok(true)
        }
        Ok(Line::End) if replayer.in_transaction(state) => {
            state.log.warning(format_args!(
                "Revert incomplete MULTI/EXEC transaction in AOF file {}",
                part.name
            ));
            let is_last =
                is_last || tails::is_cut_by_power(state, part, *valid_before_multi, loading);
            tails::cut_off(state, part, *valid_before_multi, is_last, loading)
        }
        Ok(Line::End) => Ok(false),
        Err(Trouble::Truncated) => {
            let to = replayer.whole(state, valid, valid_before_multi);
            let is_last = is_last || tails::is_cut_by_power(state, part, to, loading);
            tails::cut_off(state, part, to, is_last, loading)
        }
        Err(Trouble::Io(error)) => {
            state.log.warning(format_args!(
                "Unrecoverable error reading the append only file {}: {}",
                part.name,
                disk::reason(&error)
            ));
            Err(Fatal)
        }
        Err(Trouble::Format) => {
            let to = replayer.whole(state, valid, valid_before_multi);
            let tail = part.size.saturating_sub(to);
            if tail <= state.config.aof_load_corrupt_tail_max_size && is_last {
                return tails::cut_off(state, part, to, is_last, loading);
            }
            let knows = is_last || tails::follower(state, loading).is_some();
            if knows && state.config.aof_load_truncated && tails::is_torn(state, part, to) {
                return tails::cut_off(state, part, to, true, loading);
            }
            state.log.warning(format_args!(
                "Bad file format reading the append only file {}: make a backup of your AOF file, \
                 then use ./redis-check-aof --fix <filename.manifest>",
                part.name
            ));
            Err(Fatal)
        }
    }
}

/// Ends the state of loading: the server's readers, clock and counters are as before.
#[doc(alias = "stopLoading")]
pub(in crate::persistence) fn end_loading(state: &mut State, loading: &Loading) {
    if let Some(replayer) = &loading.replayer {
        replayer.end(state);
        state.keyspace.env().set_see_expired(false);
    }
    state.effects.listening = loading.listening;
    state.persistence.progress = None;
    // The server's role may have changed meanwhile.
    replication::act::stream::listen_for_replicas(state);
    rewrite::listen_for_aof(state);
    // A data set received through a connection is in no file yet, so its changes keep counting towards the next save
    // point.
    if !loading.flags.received {
        state.dirty = 0;
    }
}

/// DEBUG RELOAD: saves if wanted, empties the databases if wanted, and loads the file again. The error is for the
/// client; the log has the reason.
#[doc(alias = "debugCommand")]
pub fn reload(
    state: &mut State,
    save: bool,
    flush: bool,
    flags: Flags,
) -> Result<(), &'static str> {
    if state.persistence.is_loading() {
        return Err(LOADING_ALREADY);
    }
    if save && !saving::save_now(state) {
        return Err("Error trying to save the DB, check server logs");
    }
    if flush {
        drop(keyspace::act::keys::empty(state, None));
        state.scripts.flush_libraries(false);
    }
    let path = state.config.dir.join(&state.config.dbfilename);
    let opened = begin_loading_rdb(state, &path, flags);
    if opened != Opened::Yes || !load_all(state) {
        return Err("Error trying to load the RDB dump, check server logs");
    }
    state.log.warning("DB reloaded by DEBUG RELOAD");
    Ok(())
}

/// DEBUG LOADAOF: empties the databases and replays the append-only file.
pub fn reload_aof(state: &mut State) -> Result<(), &'static str> {
    if state.persistence.is_loading() {
        return Err(LOADING_ALREADY);
    }
    append::flush(state, true);
    drop(keyspace::act::keys::empty(state, None));
    state.scripts.flush_libraries(false);
    match begin_loading_aof(state) {
        Opened::Missing => {}
        Opened::Yes if load_all(state) => {}
        _ => return Err("Error trying to load the AOF files, check server logs"),
    }
    state.dirty = 0;
    state
        .log
        .warning("Append Only File loaded by DEBUG LOADAOF");
    Ok(())
}

/// Loads a whole data set for the client whose command this is; other clients are served now and then. Returns
/// whether it worked.
pub fn load_all(state: &mut State) -> bool {
    let caller = state.current_client;
    let mark = |state: &mut State, busy: bool| {
        if let Some(client) = caller.and_then(|caller| state.clients.get_mut(caller)) {
            client.flags.put(ClientFlags::BUSY, busy);
        }
    };
    mark(state, true);
    let loaded = loop {
        match load_slice(state) {
            Slice::More if state.serve_meanwhile() => {}
            Slice::More => {
                abort_loading(state);
                break false;
            }
            Slice::Done => break true,
            Slice::Failed => break false,
        }
    };
    mark(state, false);
    loaded
}

/// Gives a load up because the server ends: the part loaded so far does not matter.
fn abort_loading(state: &mut State) {
    if let Some(loading) = state.persistence.loading.take() {
        end_loading(state, &loading);
    }
}

fn loading_done(state: &mut State, loading: &Loading) {
    let stats = &mut state.persistence.stats;
    stats.load_keys_loaded = loading.keys_loaded;
    stats.load_keys_expired = loading.keys_expired;
    let seconds = loading.started.elapsed().as_secs_f64();
    if loading.flags.received {
        state
            .log
            .notice(format_args!("DB loaded from socket: {seconds:.3} seconds"));
    } else if loading.aof {
        state.log.notice(format_args!(
            "DB loaded from append only file: {seconds:.3} seconds"
        ));
    } else {
        state
            .log
            .notice(format_args!("DB loaded from disk: {seconds:.3} seconds"));
    }
}

fn rdb_done(state: &State, loading: &Loading) {
    let (loaded, expired) = (loading.keys_loaded, loading.keys_expired);
    let empty = match loading.empty_keys {
        0 => String::new(),
        n => format!(", empty keys skipped: {n}"),
    };
    state.log.notice(format_args!(
        "Done loading RDB, keys loaded: {loaded}, keys expired: {expired}{empty}."
    ));
}

/// Loads one item of an RDB. Returns whether there are more.
fn load_item(
    state: &mut State,
    loading: &mut Loading,
    loader: &mut Loader<'static>,
) -> Result<bool, Error> {
    match loader.next()? {
        Item::End(_) => {
            rdb_done(state, loading);
            return Ok(false);
        }
        Item::Aux(name, value) => {
            if name == b"used-mem" {
                let number = crate::util::num::parse_u64(&value);
                loading.used_memory = number.unwrap_or(0);
            }
            let number = || crate::util::num::parse_u64(&value);
            match &*name {
                b"repl-stream-db" => {
                    loading.stream.db = number().and_then(|n| n.try_into().ok());
                }
                b"repl-id" => loading.stream.id = String::from_utf8(value.clone()).ok(),
                b"repl-offset" => loading.stream.offset = number(),
                _ => {}
            }
            if let (Some(id), Some(offset), true) = (
                &loading.stream.id,
                loading.stream.offset,
                loading.flags.at_start,
            ) {
                let db = DbId(loading.stream.db.unwrap_or(0));
                replication::act::link::resume_stream(state, id, offset, db);
                loading.flags.at_start = false;
            }
            log_aux(state, &name, &value);
        }
        Item::Db(db) => {
            if db >= state.keyspace.len_dbs() as u64 {
                state.log.warning(format_args!(
                    "FATAL: Data file was created with a Redis server configured to handle more \
                     than {} databases. Exiting",
                    state.keyspace.len_dbs()
                ));
                let at = loader.position();
                return Err(Error::new(at, Reason::TooManyDatabases));
            }
        }
        Item::Expect(db, keys) => {
            if let Some(db) = loading.target(&mut state.keyspace).get_mut(db) {
                db.expect(keys);
            }
        }
        Item::Function(code) => {
            let replace = loading.flags.allow_duplicates;
            if let Err(reason) = load_library_of(state, loading, &code, replace) {
                state
                    .log
                    .warning(format_args!("Failed creating function, {reason}"));
                let reason = Reason::Corrupt("Failed loading library");
                return Err(Error::new(loader.position(), reason));
            }
        }
        Item::ModuleAux(_) => {}
        Item::ForeignAux { id, when, bytes } => {
            let loaded = match state.module_doors {
                Some(doors) => (doors.load_aux)(state, id, when, bytes),
                None => false,
            };
            if !loaded {
                let reason = Reason::Module(module_name(id));
                return Err(Error::new(loader.position(), reason));
            }
        }
        Item::EmptyKey(key) => {
            loading.empty_keys += 1;
            if loading.empty_keys <= 10 {
                state.log.notice(format_args!(
                    "rdbLoadObject skipping empty key: {}",
                    String::from_utf8_lossy(&key)
                ));
            }
        }
        Item::Key(mut key) => {
            let db = key.db;
            if let NewValue::Object(value) = &key.value
                && let Typed::Foreign(raw) = value.typed()
            {
                let raw = raw.clone();
                let id = raw.get().rdb_id();
                let made = state
                    .module_doors
                    .and_then(|doors| (doors.realise)(state, &raw, key.db, key.key));
                let Some(made) = made else {
                    let reason = match state.modules.knows_type(id) {
                        true => Reason::Corrupt("The value of a module could not be read"),
                        false => Reason::Module(module_name(id)),
                    };
                    return Err(Error::new(loader.position(), reason));
                };
                key.value = NewValue::Object(made.into());
            }
            if let Some(remark) = key.remark {
                log_broken_value(state, key.key, remark);
            }
            let now = state.keyspace.env().now_ms();
            let mut told_of = None;
            let is_primary = state.config.replicaof.is_none();
            if is_primary
                && !loading.flags.keep_expired
                && key.deadline.is_some_and(|deadline| deadline < now)
            {
                loading.keys_expired += 1;
                if is_primary {
                    replication::act::link::say_expired_in_file(state, key.db, key.key);
                }
            } else {
                loading.keys_loaded += 1;
                let flags = loading.flags;
                let name = key.key;
                told_of = (state.modules.listened & Class::Loaded as u32 != 0).then(|| name.to_vec());
                if !store(loading.target(&mut state.keyspace), key) && !flags.allow_duplicates {
                    state.log.warning(format_args!(
                        "RDB has duplicated key '{}' in DB {}",
                        String::from_utf8_lossy(name),
                        db.0
                    ));
                    let at = loader.position();
                    return Err(Error::new(at, Reason::DuplicateKey));
                }
            }
            if let Some(name) = told_of.filter(|_| loading.beside.is_none()) {
                notify::notify_named(state, Class::Loaded as u32, b"loaded", db, &name);
            }
            delay_loading(state, loading.keys_loaded + loading.keys_expired);
            // While its value is being read, its place comes into the cache.
            if let Some(upcoming) = loader.upcoming_key()
                && let Some(db) = loading.target(&mut state.keyspace).get(db)
            {
                db.prefetch_place(upcoming);
            }
        }
    }
    Ok(true)
}

/// Loads a library to where the load goes.
fn load_library_of(
    state: &mut State,
    loading: &mut Loading,
    code: &[u8],
    replace: bool,
) -> Result<String, String> {
    let Some(beside) = &mut loading.beside else {
        return scripting::act::functions::load_library(state, code, replace, false);
    };
    std::mem::swap(&mut state.scripts.libraries, &mut beside.libraries);
    let result = scripting::act::functions::load_library(state, code, replace, false);
    std::mem::swap(&mut state.scripts.libraries, &mut beside.libraries);
    result
}

/// A value is broken, but `sanitize-dump-payload` says that it is to be taken. In the words that Redis dies with,
/// because those are what logs are watched for.
pub fn log_broken_value(state: &State, key: &[u8], what: &str) {
    state.log.warning(format_args!(
        "=== ASSERTION FAILED === Guru Meditation: the value of key '{}' is broken, and taken as far as it can be read: {what} \
         (sanitize-dump-payload yes would refuse it)",
        String::from_utf8_lossy(&key[..key.len().min(128)])
    ));
}

/// `key-load-delay`, for tests.
fn delay_loading(state: &State, keys: u64) {
    match state.config.key_load_delay {
        0 => {}
        delay @ 1.. => std::thread::sleep(Duration::from_micros(delay as u64)),
        delay => {
            if keys.is_multiple_of(u64::from(delay.unsigned_abs())) {
                std::thread::sleep(Duration::from_micros(1));
            }
        }
    }
}

fn log_aux(state: &State, name: &[u8], value: &[u8]) {
    let (name, value) = (
        String::from_utf8_lossy(name),
        String::from_utf8_lossy(value),
    );
    let log = &state.log;
    match &*name {
        "redis-ver" => log.notice(format_args!("Loading RDB produced by version {value}")),
        "ctime" => {
            let created: i64 = value.parse().unwrap_or(0);
            let age = state.clock.unix_seconds().saturating_sub(created).max(0);
            log.notice(format_args!("RDB age {age} seconds"));
        }
        "used-mem" => {
            let bytes: f64 = value.parse().unwrap_or(0.0);
            let mb = bytes / (1024.0 * 1024.0);
            log.notice(format_args!("RDB memory usage when created {mb:.2} Mb"));
        }
        "aof-preamble" if value != "0" => log.notice("RDB has an AOF tail"),
        "aof-base" if value != "0" => log.notice("RDB is base AOF"),
        "repl-stream-db" | "repl-id" | "repl-offset" | "lua" | "redis-bits" | "aof-preamble"
        | "aof-base" => {}
        _ if name.starts_with('%') => log.notice(format_args!("RDB '{name}': {value}")),
        _ => log.debug(format_args!("Unrecognized RDB AUX field: '{name}'")),
    }
}

/// Logs why a file is not loaded; `loader` knows where it stopped.
#[doc(alias = "rdbReportError")]
pub(in crate::persistence) fn explain(
    state: &State,
    error: &Error,
    name: &str,
    flags: Flags,
    loader: Option<&Loader<'_>>,
) {
    match &error.reason {
        Reason::Signature | Reason::Version(_) => {
            state.log.warning(&error.reason);
            return;
        }
        Reason::Checksum { stored, computed } => state.log.warning(format_args!(
            "Wrong RDB checksum expected: ({computed:x}) but got ({stored:x}). Aborting now."
        )),
        Reason::ShortRead | Reason::Io(_) => state
            .log
            .warning("Short read or OOM loading DB. Unrecoverable error, aborting now."),
        _ => {}
    }
    let Error { offset, reason } = error;
    state.log.warning(format_args!(
        "Internal error in RDB reading offset {offset} of {name} -> {reason}"
    ));
    if flags.received {
        state.log.warning(
            "Failure loading rdb format from socket, assuming connection error, resuming operation.",
        );
    } else if !flags.from_primary {
        state
            .log
            .warning("Terminating server after rdb file reading failure.");
    }
    let Some(loader) = loader else {
        return;
    };
    state.log.warning("--- RDB ERROR DETECTED ---");
    state
        .log
        .warning(format_args!("[offset {offset}] {reason}"));
    let (key, ty) = loader.last_key();
    for line in circumstances(loader.doing(), key, ty) {
        state.log.warning(format_args!("[additional info] {line}"));
    }
}

/// Stores a key in its database. Returns whether the key is new.
fn store(keyspace: &mut Keyspace, key: Key<'_>) -> bool {
    let env = keyspace.env();
    let clock = match (key.frequency, key.idle_s) {
        (Some(frequency), _) if env.is_lfu() => Some(env.clock_for_frequency(frequency)),
        (_, Some(idle)) if !env.is_lfu() => Some(env.clock_for_idle(idle.saturating_mul(1000))),
        _ => None,
    };
    let Some(db) = keyspace.get_mut(key.db) else {
        return true;
    };
    let inserted = db.insert(key.key, key.value, Deadline::Set(key.deadline));
    if let Some(clock) = clock
        && let Some(entry) = db.peek_raw(key.key)
    {
        entry.set_clock(clock);
    }
    matches!(inserted, Inserted::New)
}
