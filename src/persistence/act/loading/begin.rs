//! The beginning of a load: the files that make the data set, in the order in which they are read.
//!
//! ```text
//!   preload-file                one RDB, or the files of another manifest
//!   appendonly yes              the manifest's base (an RDB or commands), then its increments in order
//!   otherwise                   dbfilename
//! ```
//!
//! Mirrors: `loadDataFromDisk()` of server.c, `aofLoadManifestFromDisk()` and `loadAppendOnlyFiles()` of aof.c.

use std::collections::VecDeque;
use std::io;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::super::{rewrite, upgrade};
use super::{end_loading, explain};
use crate::clients::{Client, ClientFlags};
use crate::config::{SanitizeDumpPayload, disk};
use crate::modules::{EventData, EventId, kinds};
use crate::persistence::aof::manifest::{Manifest, Names};
use crate::persistence::aof::reader::CommandReader;
use crate::persistence::aof::replay::Replayer;
use crate::persistence::files;
use crate::persistence::loading::{
    Fatal, Flags, Hold, Loading, Opened, Part, Progress, Source, Stream, What,
};
use crate::persistence::rdb::Decoder;
use crate::persistence::rdb::load::Loader;
use crate::persistence::rdb::read_value::{Limits, Reading};
use crate::persistence::receiving::Beside;
use crate::state::State;
use crate::sys::process;

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
        foreign: !state.modules.types.is_empty() || !state.modules.native_types.is_empty(),
    }
}

/// Begins to load the data set as the configuration says. Slices do the rest ([`load_slice`](super::load_slice)).
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
    let kind = match (aof, flags.from_primary) {
        (true, _) => kinds::loading::AOF_START,
        (false, true) => kinds::loading::REPLICATION_START,
        (false, false) => kinds::loading::RDB_START,
    };
    state.tell_modules(EventId::Loading, kind, EventData::None);
    if aof {
        loading.replayer = Some(Replayer::new(state));
        // Commands count on keys that were there when they ran.
        state.keyspace.env().set_see_expired(true);
    }
    if next_part(state, &mut loading).is_err() {
        end_loading(state, &loading, false);
        return Opened::Failed;
    }
    state.persistence.loading = Some(loading);
    Opened::Yes
}

/// Puts the server into the state of loading.
#[doc(alias = "startLoading")]
fn new_loading(state: &mut State, parts: VecDeque<Part>, aof: bool, flags: Flags) -> Box<Loading> {
    let now_ns = state.clock.monotonic_ns();
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
        started_ns: now_ns,
        part_started_ns: now_ns,
        done_bytes: 0,
        used_memory: 0,
        keys_loaded: 0,
        keys_expired: 0,
        empty_keys: 0,
        metas_told: 0,
        flags,
        before: None,
        hold: Hold::Nothing,
        beside: None,
        stream: Stream::default(),
        slot_task: None,
        progress_due_ns: 0,
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
    if beside.is_none() {
        let kind = kinds::loading::REPLICATION_START;
        state.tell_modules(EventId::Loading, kind, EventData::None);
    }
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
pub(super) fn next_part(state: &mut State, loading: &mut Loading) -> Result<(), Fatal> {
    loading.part_started_ns = state.clock.monotonic_ns();
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
