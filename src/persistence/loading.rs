//! Files into the keyspace, slice by slice: the loop serves clients in between, most of whom read -LOADING.
//!
//! ```text
//!   parts    dump.rdb        or    base.rdb, incr.aof, incr.aof …
//!   source   an RDB          or    commands          or    an RDB and commands behind it (Redis before 7)
//! ```
//!
//! Mirrors: rdbLoad(), startLoading() of rdb.c, loadAppendOnlyFiles() of aof.c, loadDataFromDisk() of server.c.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::aof::manifest::{Manifest, Names};
use super::aof::reader::{CommandReader, Line, Trouble};
use super::aof::replay::Replayer;
use super::files;
use super::rdb::check::circumstances;
use super::rdb::load::{Item, Key, Loader};
use super::rdb::read_value::{Limits, Reading};
use super::rdb::{Decoder, Error, Reason};
use super::receiving::Beside;
use crate::clients::{Client, ClientFlags};
use crate::command::Targets;
use crate::config::{SanitizeDumpPayload, disk};
use crate::keyspace::{DbId, Deadline, Inserted, Keyspace};
use crate::state::State;
use crate::sys::process;

/// Commands replayed in one slice, at most.
const COMMANDS: usize = 1024;

const LOADING_ALREADY: &str = "The data set is being loaded already";

/// A load in progress.
#[derive(Debug)]
pub struct Loading {
    pub(super) parts: VecDeque<Part>,
    current: Option<(Part, Source)>,
    /// Commands run for this client.
    replayer: Option<Replayer>,
    aof: bool,
    started: Instant,
    part_started: Instant,
    /// Bytes of the parts that are done.
    done_bytes: u64,
    used_memory: u64,
    keys_loaded: u64,
    keys_expired: u64,
    empty_keys: u64,
    flags: Flags,
    /// Bytes of the increment before the current one.
    pub(super) before: Option<u64>,
    /// What must happen before it goes on.
    pub(super) hold: Hold,
    /// Where it goes, if not where the old data set is.
    pub(super) beside: Option<Beside>,
    /// Where the stream of effects stood when the file was written: database, name, position.
    stream: Stream,
    /// Who listened to the stream of effects before; nobody hears of what is replayed.
    listening: Targets,
}

/// What a load waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    Nothing,
    /// Bytes that its connection did not bring yet.
    Bytes,
    /// The memory of the old data set, which another thread frees.
    Room,
}

/// One file.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) what: What,
    pub(super) size: u64,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Rdb,
    /// An RDB that comes through a connection.
    Stream,
    Base,
    /// A base that a Redis before version 7 left: an RDB, perhaps, and commands.
    OldStyle,
    Increment,
}

#[derive(Debug)]
enum Source {
    Rdb(Box<Loader<'static>>),
    Commands {
        reader: CommandReader,
        /// The end of the last whole command, and of the last before MULTI.
        valid: u64,
        valid_before_multi: u64,
    },
}

impl Source {
    fn position(&self) -> u64 {
        match self {
            Source::Rdb(loader) => loader.position(),
            Source::Commands { reader, .. } => reader.position(),
        }
    }
}

/// Why a load came to nothing. The log has the reason.
#[derive(Debug)]
pub(super) struct Fatal;

/// How a file differs from a plain `dump.rdb`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flags {
    /// What has expired is loaded all the same: the commands behind the file count on it.
    pub keep_expired: bool,
    /// A key that is there is written over (DEBUG RELOAD NOFLUSH MERGE).
    pub allow_duplicates: bool,
    /// The server starts with it: its stream goes on where the file was written.
    pub at_start: bool,
    /// Our primary sent it.
    pub from_primary: bool,
    /// It sent it with a mark at the end: it waits for an answer.
    pub marked: bool,
    /// It comes through the connection, not from a file.
    pub received: bool,
    /// Clients are served from the old data set meanwhile.
    pub serves_old: bool,
}

/// What came of loading our primary's data set.
#[derive(Debug)]
pub struct Loaded {
    pub ok: bool,
    pub flags: Flags,
    /// The database its stream has selected.
    pub stream_db: Option<DbId>,
    /// Where it was loaded to, if not in the old one's place.
    pub beside: Option<Beside>,
}

/// Where a stream of effects stood, as a file says.
#[derive(Debug, Clone, Default)]
struct Stream {
    db: Option<u32>,
    id: Option<String>,
    offset: Option<u64>,
}

/// What a slice came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slice {
    /// There is more.
    More,
    /// All is loaded.
    Done,
    /// The file is bad, the log says how; the keyspace holds a part of it.
    Failed,
}

/// What came of looking for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    Yes,
    /// No file is no error.
    Missing,
    /// The log says why.
    Failed,
}

/// How far a load is, for INFO.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    started_s: i64,
    total_bytes: u64,
    loaded_bytes: u64,
    /// What the server that wrote the file used.
    used_memory: u64,
    serves_old: bool,
}

impl Loading {
    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// The RDB being read, unless it is commands.
    pub(super) fn rdb(&mut self) -> Option<&mut Loader<'static>> {
        match &mut self.current {
            Some((_, Source::Rdb(loader))) => Some(loader),
            _ => None,
        }
    }
}

impl Progress {
    /// Whether clients are served from the old data set.
    pub fn serves_old(&self) -> bool {
        self.serves_old
    }

    /// INFO's fields about it.
    pub fn info(&self, now_s: i64, info: &mut Vec<(&'static str, String)>) {
        // Where nobody said how long it is, the memory it took in the other server is a guess.
        let total = match self.total_bytes {
            0 => self.used_memory,
            total => total,
        };
        let percent = match total {
            0 => 0.0,
            total => self.loaded_bytes as f64 / total as f64 * 100.0,
        };
        let left = total.saturating_sub(self.loaded_bytes);
        let eta = match now_s - self.started_s {
            0 => 1,
            elapsed => elapsed.max(0) as u64 * left / (self.loaded_bytes + 1),
        };
        info.extend([
            ("loading_start_time", self.started_s.to_string()),
            ("loading_total_bytes", self.total_bytes.to_string()),
            ("loading_rdb_used_mem", self.used_memory.to_string()),
            ("loading_loaded_bytes", self.loaded_bytes.to_string()),
            ("loading_loaded_perc", format!("{percent:.2}")),
            ("loading_eta_seconds", eta.to_string()),
        ]);
    }
}

impl State {
    /// How values of a client's payload are to be checked, or of a file (`None`).
    pub fn reading(&self, client: Option<&Client>) -> Reading {
        let trusted = |client: &Client| {
            client.flags.has(ClientFlags::PRIMARY)
                || client.user.as_ref().is_some_and(|u| u.skips_sanitizing())
        };
        Reading {
            deep: match self.config.sanitize_dump_payload {
                SanitizeDumpPayload::No => false,
                SanitizeDumpPayload::Yes => true,
                SanitizeDumpPayload::Clients => client.is_some_and(|client| !trusted(client)),
            },
            limits: Limits::of(&self.config, self.member_seed)
                .with_plain_from(self.list_plain_from),
        }
    }

    /// Begins to load the data set as the configuration says. Slices do the rest ([`State::load_slice`]).
    #[doc(alias = "loadDataFromDisk")]
    pub fn begin_loading(&mut self) -> Opened {
        if self.load_manifest().is_err() {
            return Opened::Failed;
        }
        for (name, pid) in files::remove_abandoned(&self.disk, &self.config.dir, process::is_alive)
        {
            self.log.notice(format_args!(
                "Removed {name}, which process {pid} left unfinished"
            ));
        }
        let opened = if let Some(file) = self.wanted_preload() {
            self.persistence.preloaded = true;
            self.begin_preloading(&file)
        } else if self.config.appendonly {
            self.begin_loading_aof()
        } else {
            let path = self.config.dir.join(&self.config.dbfilename);
            let at_start = Flags {
                at_start: true,
                ..Flags::default()
            };
            let opened = self.begin_loading_rdb(&path, at_start);
            if opened == Opened::Failed {
                self.log
                    .warning("Fatal error loading the DB, check server logs. Exiting.");
            }
            opened
        };
        if opened == Opened::Missing && !self.open_aof_at_start() {
            return Opened::Failed;
        }
        opened
    }

    /// Begins to load an RDB.
    #[doc(alias = "rdbLoad")]
    pub fn begin_loading_rdb(&mut self, path: &Path, flags: Flags) -> Opened {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.into_owned();
        let size = match self.disk.metadata(path) {
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
        self.begin_parts(VecDeque::from([part]), false, flags)
    }

    /// Begins to load the append-only files of the manifest.
    #[doc(alias = "loadAppendOnlyFiles")]
    pub fn begin_loading_aof(&mut self) -> Opened {
        if self.upgrade_old_aof().is_err() {
            return Opened::Failed;
        }
        let names = self.config.aof_names();
        let manifest = self.persistence.aof.manifest.clone();
        self.begin_loading_manifest(&manifest, &names)
    }

    fn begin_loading_manifest(&mut self, manifest: &Manifest, names: &Names) -> Opened {
        let mut parts = VecDeque::new();
        let mut total = 0;
        for file in manifest.in_order() {
            let path = names.path(&file.name);
            let size = match self.disk.metadata(&path) {
                Ok(metadata) => metadata.len,
                Err(error) => {
                    self.log.warning(format_args!(
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
        self.begin_parts(parts, true, flags)
    }

    /// The file to load instead of the usual ones, unless it is the usual one.
    fn wanted_preload(&self) -> Option<String> {
        let file = self.config.preload_file.as_ref()?;
        if let Some(manifest) = file.strip_prefix("aof:")
            && self.config.appendonly
            && let Ok(wanted) = self.disk.canonical(Path::new(manifest))
            && let Ok(own) = self.disk.canonical(&self.config.aof_names().manifest())
            && own == wanted
        {
            return None;
        }
        Some(file.clone())
    }

    /// Begins to load `preload-file`: `rdb:` and a path, or `aof:` and the path of a manifest. It must be there.
    fn begin_preloading(&mut self, file: &str) -> Opened {
        let opened = match file.split_once(':') {
            Some(("rdb", path)) => self.begin_loading_rdb(Path::new(path), Flags::default()),
            Some(("aof", path)) => self.begin_preloading_manifest(Path::new(path)),
            _ => Opened::Failed,
        };
        if opened == Opened::Missing && !file.starts_with("aof:") {
            self.log.warning(format_args!(
                "Fatal error: the preload-file {file} is not there"
            ));
            return Opened::Failed;
        }
        if opened == Opened::Failed {
            self.log.warning(format_args!(
                "Fatal error loading the preload-file {file}, check server logs. Exiting."
            ));
        }
        opened
    }

    /// Missing, here, is a data set without a byte.
    fn begin_preloading_manifest(&mut self, path: &Path) -> Opened {
        let file_name = path.file_name().unwrap_or_default().to_string_lossy();
        let names = Names {
            directory: path.parent().unwrap_or(Path::new("/")).to_owned(),
            stem: file_name
                .strip_suffix(".manifest")
                .unwrap_or(&file_name)
                .to_owned(),
        };
        match self.read_manifest(path) {
            Ok(manifest) if manifest.is_empty() => {
                self.log.warning(format_args!(
                    "Fatal error: the AOF manifest file {} is not there",
                    path.display()
                ));
                Opened::Failed
            }
            Ok(manifest) => self.begin_loading_manifest(&manifest, &names),
            Err(Fatal) => Opened::Failed,
        }
    }

    fn begin_parts(&mut self, parts: VecDeque<Part>, aof: bool, flags: Flags) -> Opened {
        let mut loading = self.new_loading(parts, aof, flags);
        if aof {
            loading.replayer = Some(Replayer::new(self));
            // Commands count on keys that were there when they ran.
            self.keyspace.env().set_see_expired(true);
        }
        if self.next_part(&mut loading).is_err() {
            self.end_loading(&loading);
            return Opened::Failed;
        }
        self.persistence.loading = Some(loading);
        Opened::Yes
    }

    /// From here on the server is loading.
    #[doc(alias = "startLoading")]
    fn new_loading(&mut self, parts: VecDeque<Part>, aof: bool, flags: Flags) -> Box<Loading> {
        let now = Instant::now();
        self.persistence.progress = Some(Progress {
            started_s: self.clock.unix_seconds(),
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
            listening: std::mem::replace(
                &mut self.effects.listening,
                crate::command::Targets::NONE,
            ),
        })
    }

    /// Begins to load an RDB that is read by `loader` as its bytes come.
    pub(super) fn begin_loading_stream(
        &mut self,
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
        let mut loading = self.new_loading(VecDeque::new(), false, flags);
        if let Some(progress) = &mut self.persistence.progress {
            progress.total_bytes = size;
        }
        loading.current = Some((part, Source::Rdb(Box::new(loader))));
        loading.hold = Hold::Bytes;
        loading.beside = beside;
        self.persistence.loading = Some(loading);
    }

    /// The manifest is read at every start, so that files go on being numbered where they stopped.
    #[doc(alias = "aofLoadManifestFromDisk")]
    fn load_manifest(&mut self) -> Result<(), Fatal> {
        let path = self.config.aof_names().manifest();
        self.persistence.aof.manifest = self.read_manifest(&path)?;
        Ok(())
    }

    /// A manifest; an empty one if there is none. The log has the reason of a failure.
    fn read_manifest(&self, path: &Path) -> Result<Manifest, Fatal> {
        match Manifest::load(&self.disk, path) {
            Ok(manifest) => Ok(manifest),
            Err(Ok(bad)) => {
                self.log.warning("*** FATAL AOF MANIFEST FILE ERROR ***");
                if let Some((number, line)) = bad.line {
                    self.log
                        .warning(format_args!("Reading the manifest file, at line {number}"));
                    self.log.warning(format_args!(">>> '{line}'"));
                }
                self.log.warning(bad.reason);
                Err(Fatal)
            }
            Err(Err(error)) => {
                self.log.warning(format_args!(
                    "Fatal error: can't open the AOF manifest file {} for reading: {}",
                    path.display(),
                    disk::reason(&error)
                ));
                Err(Fatal)
            }
        }
    }

    /// Opens the next file that has anything in it. `current` is empty afterwards if there is none.
    fn next_part(&mut self, loading: &mut Loading) -> Result<(), Fatal> {
        loading.part_started = Instant::now();
        while let Some(part) = loading.parts.pop_front() {
            if part.size == 0 && part.what != What::Rdb {
                loading.note_before(&part);
                continue;
            }
            let source = self.open_part(&part, loading.flags)?;
            loading.current = Some((part, source));
            return Ok(());
        }
        Ok(())
    }

    fn open_part(&mut self, part: &Part, flags: Flags) -> Result<Source, Fatal> {
        let mut file = match self.disk.open(&part.path) {
            Ok(file) => file,
            Err(error) => {
                let what = match part.what {
                    What::Rdb => "RDB file",
                    _ => "append log file",
                };
                self.log.warning(format_args!(
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
            self.log.notice(match part.what {
                What::OldStyle => "Reading RDB preamble from AOF file...",
                _ => "Reading RDB base file on AOF loading...",
            });
        }
        let total = (part.size > 0).then_some(part.size);
        let checksum = self.config.rdbchecksum && !self.persistence.skip_checksum;
        let dec = Decoder::new(io::Cursor::new(magic).chain(file), total, checksum);
        match Loader::new(dec, self.reading(None)) {
            Ok(loader) => Ok(Source::Rdb(Box::new(loader))),
            Err(error) => {
                self.explain(&error, &part.name, flags, None);
                Err(Fatal)
            }
        }
    }

    /// Whether there is a load that waits for nothing.
    pub fn can_load(&self) -> bool {
        let loading = self.persistence.loading.as_ref();
        loading.is_some_and(|loading| loading.hold == Hold::Nothing)
    }

    /// Loads until enough was read for a look at the clients, or to the end.
    pub fn load_slice(&mut self) -> Slice {
        let Some(mut loading) = self.persistence.loading.take() else {
            return Slice::Done;
        };
        let interval = self.config.loading_process_events_interval_bytes.max(1);
        let position = |loading: &Loading| {
            let current = loading.current.as_ref();
            loading.done_bytes + current.map_or(0, |(_, source)| source.position())
        };
        let turn = position(&loading) / interval;
        let mut commands = 0;
        let result = loop {
            match self.load_step(&mut loading, &mut commands) {
                Ok(true)
                    if loading.hold == Hold::Nothing
                        && commands < COMMANDS
                        && position(&loading) / interval == turn => {}
                other => break other,
            }
        };
        if let Some(progress) = &mut self.persistence.progress {
            progress.loaded_bytes = position(&loading);
            progress.used_memory = loading.used_memory;
        }
        match result {
            Ok(true) => {
                self.persistence.loading = Some(loading);
                Slice::More
            }
            Ok(false) => {
                self.end_loading(&loading);
                self.loading_done(&loading);
                if loading.flags.from_primary {
                    self.primary_loaded(loading.come_to(true));
                    return Slice::Done;
                }
                match self.open_aof_at_start() {
                    true => Slice::Done,
                    false => Slice::Failed,
                }
            }
            Err(Fatal) => {
                self.end_loading(&loading);
                if loading.flags.from_primary {
                    self.primary_loaded(loading.come_to(false));
                }
                Slice::Failed
            }
        }
    }

    /// One key or command. Whether there may be more.
    fn load_step(&mut self, loading: &mut Loading, commands: &mut usize) -> Result<bool, Fatal> {
        let Some((part, mut source)) = loading.current.take() else {
            return Ok(false);
        };
        let more = match &mut source {
            Source::Rdb(loader) => match self.load_item(loading, loader) {
                Ok(more) => more,
                Err(error) if matches!(error.reason, Reason::Starved) => {
                    loader.begin_item_again();
                    loading.hold = Hold::Bytes;
                    true
                }
                Err(error) => {
                    self.explain(&error, &part.name, loading.flags, Some(loader));
                    let name = &part.name;
                    match part.what {
                        What::Rdb | What::Stream => {}
                        What::OldStyle => self.log.warning(format_args!(
                            "Error reading the RDB preamble of the AOF file {name}, AOF loading aborted"
                        )),
                        _ => self.log.warning(format_args!(
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
                self.load_command(loading, &part, reader, marks)?
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
                self.log.notice("Reading the remaining AOF tail...");
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
        self.part_done(loading, &part);
        loading.note_before(&part);
        if part.what != What::Stream {
            self.closer.forget_cache(&part.path);
        }
        loading.done_bytes += part.size;
        self.next_part(loading)?;
        Ok(loading.current.is_some())
    }

    fn part_done(&mut self, loading: &Loading, part: &Part) {
        let seconds = loading.part_started.elapsed().as_secs_f64();
        let kind = match part.what {
            What::Rdb | What::Stream => return,
            What::Base | What::OldStyle => "base",
            What::Increment => "incr",
        };
        self.log.notice(format_args!(
            "DB loaded from {kind} file {}: {seconds:.3} seconds",
            part.name
        ));
    }

    /// One command. Whether there may be more.
    fn load_command(
        &mut self,
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
                self.drop_from(part, loading)
            }
            Ok(Line::Follows(_)) => Ok(true),
            Ok(Line::Command(argv)) => {
                if argv.as_argv().get(0).eq_ignore_ascii_case(b"multi") {
                    *valid_before_multi = *valid;
                }
                if let Err(unknown) = replayer.run(self, &argv) {
                    self.log.warning(format_args!(
                        "Unknown command '{}' reading the append only file {}",
                        unknown.0, part.name
                    ));
                    return Err(Fatal);
                }
                *valid = reader.position();
                self.delay_loading(*valid);
                Ok(true)
            }
            Ok(Line::End) if replayer.in_transaction(self) => {
                self.log.warning(format_args!(
                    "Revert incomplete MULTI/EXEC transaction in AOF file {}",
                    part.name
                ));
                let is_last = is_last || self.is_cut_by_power(part, *valid_before_multi, loading);
                self.cut_off(part, *valid_before_multi, is_last, loading)
            }
            Ok(Line::End) => Ok(false),
            Err(Trouble::Truncated) => {
                let to = replayer.whole(self, valid, valid_before_multi);
                let is_last = is_last || self.is_cut_by_power(part, to, loading);
                self.cut_off(part, to, is_last, loading)
            }
            Err(Trouble::Io(error)) => {
                self.log.warning(format_args!(
                    "Unrecoverable error reading the append only file {}: {}",
                    part.name,
                    disk::reason(&error)
                ));
                Err(Fatal)
            }
            Err(Trouble::Format) => {
                let to = replayer.whole(self, valid, valid_before_multi);
                let tail = part.size.saturating_sub(to);
                if tail <= self.config.aof_load_corrupt_tail_max_size && is_last {
                    return self.cut_off(part, to, is_last, loading);
                }
                let knows = is_last || self.follower(loading).is_some();
                if knows && self.config.aof_load_truncated && self.is_torn(part, to) {
                    return self.cut_off(part, to, true, loading);
                }
                self.log.warning(format_args!(
                    "Bad file format reading the append only file {}: make a backup of your AOF file, \
                     then use ./redis-check-aof --fix <filename.manifest>",
                    part.name
                ));
                Err(Fatal)
            }
        }
    }

    /// Undoes what a load changed in its surroundings.
    #[doc(alias = "stopLoading")]
    pub(super) fn end_loading(&mut self, loading: &Loading) {
        if let Some(replayer) = &loading.replayer {
            replayer.end(self);
            self.keyspace.env().set_see_expired(false);
        }
        self.effects.listening = loading.listening;
        self.persistence.progress = None;
        // The server's role may have changed meanwhile.
        self.listen_for_replicas();
        self.listen_for_aof();
        // What comes through a connection is in no file yet.
        if !loading.flags.received {
            self.dirty = 0;
        }
    }

    /// DEBUG RELOAD: saves if wanted, empties the databases if wanted, and loads the file again. The error is for the
    /// client; the log has the reason.
    #[doc(alias = "debugCommand")]
    pub fn reload(&mut self, save: bool, flush: bool, flags: Flags) -> Result<(), &'static str> {
        if self.is_loading() {
            return Err(LOADING_ALREADY);
        }
        if save && !self.save_now() {
            return Err("Error trying to save the DB, check server logs");
        }
        if flush {
            drop(self.empty(None));
            self.scripts.flush_libraries(false);
        }
        let path = self.config.dir.join(&self.config.dbfilename);
        let opened = self.begin_loading_rdb(&path, flags);
        if opened != Opened::Yes || !self.load_all() {
            return Err("Error trying to load the RDB dump, check server logs");
        }
        self.log.warning("DB reloaded by DEBUG RELOAD");
        Ok(())
    }

    /// DEBUG LOADAOF: empties the databases and replays the append-only file.
    pub fn reload_aof(&mut self) -> Result<(), &'static str> {
        if self.is_loading() {
            return Err(LOADING_ALREADY);
        }
        self.flush_aof(true);
        drop(self.empty(None));
        self.scripts.flush_libraries(false);
        match self.begin_loading_aof() {
            Opened::Missing => {}
            Opened::Yes if self.load_all() => {}
            _ => return Err("Error trying to load the AOF files, check server logs"),
        }
        self.dirty = 0;
        self.log.warning("Append Only File loaded by DEBUG LOADAOF");
        Ok(())
    }

    /// Loads all there is, for the client whose command this is; others are served now and then. Whether it worked.
    pub fn load_all(&mut self) -> bool {
        let caller = self.current_client;
        let mark = |state: &mut State, busy: bool| {
            if let Some(client) = caller.and_then(|caller| state.clients.get_mut(caller)) {
                client.flags.put(ClientFlags::BUSY, busy);
            }
        };
        mark(self, true);
        let loaded = loop {
            match self.load_slice() {
                Slice::More if self.serve_meanwhile() => {}
                Slice::More => {
                    self.abort_loading();
                    break false;
                }
                Slice::Done => break true,
                Slice::Failed => break false,
            }
        };
        mark(self, false);
        loaded
    }

    /// The server is to end: what is loaded so far does not matter.
    fn abort_loading(&mut self) {
        if let Some(loading) = self.persistence.loading.take() {
            self.end_loading(&loading);
        }
    }

    fn loading_done(&mut self, loading: &Loading) {
        let stats = &mut self.persistence.stats;
        stats.load_keys_loaded = loading.keys_loaded;
        stats.load_keys_expired = loading.keys_expired;
        let seconds = loading.started.elapsed().as_secs_f64();
        if loading.flags.received {
            self.log
                .notice(format_args!("DB loaded from socket: {seconds:.3} seconds"));
        } else if loading.aof {
            self.log.notice(format_args!(
                "DB loaded from append only file: {seconds:.3} seconds"
            ));
        } else {
            self.log
                .notice(format_args!("DB loaded from disk: {seconds:.3} seconds"));
        }
    }

    fn rdb_done(&self, loading: &Loading) {
        let (loaded, expired) = (loading.keys_loaded, loading.keys_expired);
        let empty = match loading.empty_keys {
            0 => String::new(),
            n => format!(", empty keys skipped: {n}"),
        };
        self.log.notice(format_args!(
            "Done loading RDB, keys loaded: {loaded}, keys expired: {expired}{empty}."
        ));
    }

    /// One item. Whether there are more.
    fn load_item(
        &mut self,
        loading: &mut Loading,
        loader: &mut Loader<'static>,
    ) -> Result<bool, Error> {
        match loader.next()? {
            Item::End(_) => {
                self.rdb_done(loading);
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
                    self.resume_stream(id, offset, db);
                    loading.flags.at_start = false;
                }
                self.log_aux(&name, &value);
            }
            Item::Db(db) => {
                if db >= self.keyspace.len_dbs() as u64 {
                    self.log.warning(format_args!(
                        "FATAL: Data file was created with a Redis server configured to handle more \
                         than {} databases. Exiting",
                        self.keyspace.len_dbs()
                    ));
                    let at = loader.position();
                    return Err(Error::new(at, Reason::TooManyDatabases));
                }
            }
            Item::Expect(db, keys) => {
                if let Some(db) = loading.target(&mut self.keyspace).get_mut(db) {
                    db.expect(keys);
                }
            }
            Item::Function(code) => {
                let replace = loading.flags.allow_duplicates;
                if let Err(reason) = self.load_library_of(loading, &code, replace) {
                    self.log
                        .warning(format_args!("Failed creating function, {reason}"));
                    let reason = Reason::Corrupt("Failed loading library");
                    return Err(Error::new(loader.position(), reason));
                }
            }
            Item::ModuleAux(_) => {}
            Item::EmptyKey(key) => {
                loading.empty_keys += 1;
                if loading.empty_keys <= 10 {
                    self.log.notice(format_args!(
                        "rdbLoadObject skipping empty key: {}",
                        String::from_utf8_lossy(&key)
                    ));
                }
            }
            Item::Key(key) => {
                let db = key.db;
                if let Some(remark) = key.remark {
                    self.log_broken_value(key.key, remark);
                }
                let now = self.keyspace.env().now_ms();
                let is_primary = self.config.replicaof.is_none();
                if is_primary
                    && !loading.flags.keep_expired
                    && key.deadline.is_some_and(|deadline| deadline < now)
                {
                    loading.keys_expired += 1;
                    if is_primary {
                        self.say_expired_in_file(key.db, key.key);
                    }
                } else {
                    loading.keys_loaded += 1;
                    let flags = loading.flags;
                    let name = key.key;
                    if !store(loading.target(&mut self.keyspace), key) && !flags.allow_duplicates {
                        self.log.warning(format_args!(
                            "RDB has duplicated key '{}' in DB {}",
                            String::from_utf8_lossy(name),
                            db.0
                        ));
                        let at = loader.position();
                        return Err(Error::new(at, Reason::DuplicateKey));
                    }
                }
                self.delay_loading(loading.keys_loaded + loading.keys_expired);
                // While its value is being read, its place comes into the cache.
                if let Some(upcoming) = loader.upcoming_key()
                    && let Some(db) = loading.target(&mut self.keyspace).get(db)
                {
                    db.prefetch_place(upcoming);
                }
            }
        }
        Ok(true)
    }

    /// Loads a library to where the load goes.
    fn load_library_of(
        &mut self,
        loading: &mut Loading,
        code: &[u8],
        replace: bool,
    ) -> Result<String, String> {
        let Some(beside) = &mut loading.beside else {
            return self.load_library(code, replace, false);
        };
        std::mem::swap(&mut self.scripts.libraries, &mut beside.libraries);
        let result = self.load_library(code, replace, false);
        std::mem::swap(&mut self.scripts.libraries, &mut beside.libraries);
        result
    }

    /// A value is broken, but `sanitize-dump-payload` says that it is to be taken. In the words that Redis dies with,
    /// because those are what logs are watched for.
    pub fn log_broken_value(&self, key: &[u8], what: &str) {
        self.log.warning(format_args!(
            "=== ASSERTION FAILED === Guru Meditation: the value of key '{}' is broken, and taken as far as it can be read: {what} \
             (sanitize-dump-payload yes would refuse it)",
            String::from_utf8_lossy(&key[..key.len().min(128)])
        ));
    }

    /// `key-load-delay`, for tests.
    fn delay_loading(&self, keys: u64) {
        match self.config.key_load_delay {
            0 => {}
            delay @ 1.. => std::thread::sleep(Duration::from_micros(delay as u64)),
            delay => {
                if keys.is_multiple_of(u64::from(delay.unsigned_abs())) {
                    std::thread::sleep(Duration::from_micros(1));
                }
            }
        }
    }

    fn log_aux(&self, name: &[u8], value: &[u8]) {
        let (name, value) = (
            String::from_utf8_lossy(name),
            String::from_utf8_lossy(value),
        );
        let log = &self.log;
        match &*name {
            "redis-ver" => log.notice(format_args!("Loading RDB produced by version {value}")),
            "ctime" => {
                let created: i64 = value.parse().unwrap_or(0);
                let age = self.clock.unix_seconds().saturating_sub(created).max(0);
                log.notice(format_args!("RDB age {age} seconds"));
            }
            "used-mem" => {
                let bytes: f64 = value.parse().unwrap_or(0.0);
                let mb = bytes / (1024.0 * 1024.0);
                log.notice(format_args!("RDB memory usage when created {mb:.2} Mb"));
            }
            "aof-preamble" if value != "0" => log.notice("RDB has an AOF tail"),
            "aof-base" if value != "0" => log.notice("RDB is base AOF"),
            "repl-stream-db" | "repl-id" | "repl-offset" | "lua" | "redis-bits"
            | "aof-preamble" | "aof-base" => {}
            _ if name.starts_with('%') => log.notice(format_args!("RDB '{name}': {value}")),
            _ => log.debug(format_args!("Unrecognized RDB AUX field: '{name}'")),
        }
    }

    /// Says in the log why a file is not loaded; `loader` knows what it was reading.
    #[doc(alias = "rdbReportError")]
    pub(super) fn explain(
        &self,
        error: &Error,
        name: &str,
        flags: Flags,
        loader: Option<&Loader<'_>>,
    ) {
        match &error.reason {
            Reason::Signature | Reason::Version(_) => {
                self.log.warning(&error.reason);
                return;
            }
            Reason::Checksum { stored, computed } => self.log.warning(format_args!(
                "Wrong RDB checksum expected: ({computed:x}) but got ({stored:x}). Aborting now."
            )),
            Reason::ShortRead | Reason::Io(_) => self
                .log
                .warning("Short read or OOM loading DB. Unrecoverable error, aborting now."),
            _ => {}
        }
        let Error { offset, reason } = error;
        self.log.warning(format_args!(
            "Internal error in RDB reading offset {offset} of {name} -> {reason}"
        ));
        if flags.received {
            self.log.warning(
                "Failure loading rdb format from socket, assuming connection error, resuming operation.",
            );
        } else if !flags.from_primary {
            self.log
                .warning("Terminating server after rdb file reading failure.");
        }
        let Some(loader) = loader else {
            return;
        };
        self.log.warning("--- RDB ERROR DETECTED ---");
        self.log.warning(format_args!("[offset {offset}] {reason}"));
        let (key, ty) = loader.last_key();
        for line in circumstances(loader.doing(), key, ty) {
            self.log.warning(format_args!("[additional info] {line}"));
        }
    }
}

impl Loading {
    /// Where keys go: `serving` is the keyspace that clients are served from.
    fn target<'k>(&'k mut self, serving: &'k mut Keyspace) -> &'k mut Keyspace {
        match &mut self.beside {
            Some(beside) => &mut beside.keyspace,
            None => serving,
        }
    }

    fn come_to(self: Box<Self>, ok: bool) -> Loaded {
        Loaded {
            ok,
            flags: self.flags,
            stream_db: self.stream.db.map(DbId),
            beside: self.beside,
        }
    }
}

/// Puts a key where it belongs. Whether it is new.
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
