//! A file into the keyspace, slice by slice: the loop serves clients in between, most of whom read -LOADING.
//!
//! Mirrors: rdbLoad(), rdbLoadProgressCallback(), startLoading() of rdb.c, loadDataFromDisk() of server.c.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::rdb::load::{Item, Key, Loader};
use super::rdb::read_value::{Limits, Reading};
use super::rdb::{Decoder, Error, Reason};
use crate::config::{SanitizeDumpPayload, disk};
use crate::keyspace::{Deadline, Inserted};
use crate::state::State;

/// A load in progress.
#[derive(Debug)]
pub struct Loading {
    loader: Loader<'static>,
    name: String,
    started: Instant,
    started_s: i64,
    total_bytes: u64,
    loaded_bytes: u64,
    used_memory: u64,
    keys_loaded: u64,
    keys_expired: u64,
    empty_keys: u64,
    flags: Flags,
}

/// How a file differs from a plain `dump.rdb`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flags {
    /// What has expired is loaded all the same: the commands behind the file count on it.
    pub keep_expired: bool,
    /// A key that is there is written over (DEBUG RELOAD NOFLUSH MERGE).
    pub allow_duplicates: bool,
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

impl Loading {
    /// INFO's fields about it.
    pub fn info(&self, now_s: i64, info: &mut Vec<(&'static str, String)>) {
        let percent = match self.total_bytes {
            0 => 0.0,
            total => self.loaded_bytes as f64 / total as f64 * 100.0,
        };
        let left = self.total_bytes.saturating_sub(self.loaded_bytes);
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
    /// How values of a client's payload (`of_client`), or of a file, are to be checked.
    pub fn reading(&self, of_client: bool) -> Reading {
        Reading {
            deep: match self.config.sanitize_dump_payload {
                SanitizeDumpPayload::No => false,
                SanitizeDumpPayload::Yes => true,
                SanitizeDumpPayload::Clients => of_client,
            },
            limits: Limits::of(&self.config, self.member_seed)
                .with_plain_from(self.list_plain_from),
        }
    }

    /// Begins to load the data set as the configuration says. Slices do the rest ([`State::load_slice`]).
    #[doc(alias = "loadDataFromDisk")]
    pub fn begin_loading(&mut self) -> Opened {
        let path = self.config.dir.join(&self.config.dbfilename);
        let opened = self.begin_loading_rdb(&path, Flags::default());
        if opened == Opened::Failed {
            self.log
                .warning("Fatal error loading the DB, check server logs. Exiting.");
        }
        opened
    }

    /// Begins to load an RDB.
    #[doc(alias = "rdbLoad")]
    pub fn begin_loading_rdb(&mut self, path: &Path, flags: Flags) -> Opened {
        let name = path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Opened::Missing,
            Err(error) => {
                self.log.warning(format_args!(
                    "Fatal error: can't open the RDB file {name} for reading: {}",
                    disk::reason(&error)
                ));
                return Opened::Failed;
            }
        };
        let metadata = file.metadata().ok();
        let total = metadata.filter(std::fs::Metadata::is_file).map(|m| m.len());
        let checksum = self.config.rdbchecksum && !self.persistence.skip_checksum;
        let dec = Decoder::new(file, total, checksum);
        match Loader::new(dec, self.reading(false)) {
            Ok(loader) => {
                self.persistence.loading = Some(Box::new(Loading {
                    loader,
                    name,
                    started: Instant::now(),
                    started_s: self.clock.unix_seconds(),
                    total_bytes: total.unwrap_or(0),
                    loaded_bytes: 0,
                    used_memory: 0,
                    keys_loaded: 0,
                    keys_expired: 0,
                    empty_keys: 0,
                    flags,
                }));
                Opened::Yes
            }
            Err(error) => {
                self.explain(&error, &name);
                Opened::Failed
            }
        }
    }

    /// Loads until enough bytes were read for a look at the clients, or to the end.
    pub fn load_slice(&mut self) -> Slice {
        let Some(mut loading) = self.persistence.loading.take() else {
            return Slice::Done;
        };
        let interval = self.config.loading_process_events_interval_bytes.max(1);
        let turn = loading.loader.position() / interval;
        let result = loop {
            match self.load_item(&mut loading) {
                Ok(true) if loading.loader.position() / interval == turn => {}
                Ok(more) => break Ok(more),
                Err(error) => break Err(error),
            }
        };
        loading.loaded_bytes = loading.loader.position();
        match result {
            Ok(true) => {
                self.persistence.loading = Some(loading);
                Slice::More
            }
            Ok(false) => {
                self.loading_done(&loading);
                Slice::Done
            }
            Err(error) => {
                self.explain(&error, &loading.name);
                Slice::Failed
            }
        }
    }

    /// Loads all there is. Whether it worked.
    pub fn load_all(&mut self) -> bool {
        loop {
            match self.load_slice() {
                Slice::More => {}
                Slice::Done => return true,
                Slice::Failed => return false,
            }
        }
    }

    fn loading_done(&mut self, loading: &Loading) {
        let stats = &mut self.persistence.stats;
        stats.load_keys_loaded = loading.keys_loaded;
        stats.load_keys_expired = loading.keys_expired;
        let (loaded, expired) = (loading.keys_loaded, loading.keys_expired);
        let empty = match loading.empty_keys {
            0 => String::new(),
            n => format!(", empty keys skipped: {n}"),
        };
        self.log.notice(format_args!(
            "Done loading RDB, keys loaded: {loaded}, keys expired: {expired}{empty}."
        ));
        let seconds = loading.started.elapsed().as_secs_f64();
        self.log
            .notice(format_args!("DB loaded from disk: {seconds:.3} seconds"));
    }

    /// One item. Whether there are more.
    fn load_item(&mut self, loading: &mut Loading) -> Result<bool, Error> {
        match loading.loader.next()? {
            Item::End => return Ok(false),
            Item::Aux(name, value) => {
                if name == b"used-mem" {
                    let number = crate::util::num::parse_u64(&value);
                    loading.used_memory = number.unwrap_or(0);
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
                    let at = loading.loader.position();
                    return Err(Error::new(at, Reason::TooManyDatabases));
                }
            }
            Item::Function(code) => self.persistence.functions.push(code),
            Item::ModuleAux => {}
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
                let now = self.keyspace.env().now_ms();
                let is_primary = self.config.replicaof.is_none();
                if is_primary
                    && !loading.flags.keep_expired
                    && key.deadline.is_some_and(|deadline| deadline < now)
                {
                    loading.keys_expired += 1;
                } else {
                    loading.keys_loaded += 1;
                    let flags = loading.flags;
                    let (db, name) = (key.db, key.key.to_vec());
                    if !self.store_loaded(key) && !flags.allow_duplicates {
                        self.log.warning(format_args!(
                            "RDB has duplicated key '{}' in DB {}",
                            String::from_utf8_lossy(&name),
                            db.0
                        ));
                        let at = loading.loader.position();
                        return Err(Error::new(at, Reason::DuplicateKey));
                    }
                }
                self.delay_loading(loading.keys_loaded + loading.keys_expired);
            }
        }
        Ok(true)
    }

    /// Whether the key is new.
    fn store_loaded(&mut self, key: Key<'_>) -> bool {
        let env = self.keyspace.env();
        let clock = match (key.frequency, key.idle_s) {
            (Some(frequency), _) if env.is_lfu() => Some(env.clock_for_frequency(frequency)),
            (_, Some(idle)) if !env.is_lfu() => Some(env.clock_for_idle(idle.saturating_mul(1000))),
            _ => None,
        };
        let Some(db) = self.keyspace.get_mut(key.db) else {
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

    /// Says in the log why a file is not loaded.
    #[doc(alias = "rdbReportError")]
    fn explain(&self, error: &Error, name: &str) {
        match &error.reason {
            Reason::Signature | Reason::Version(_) => self.log.warning(&error.reason),
            Reason::Checksum { stored, computed } => {
                self.log.warning(format_args!(
                    "Wrong RDB checksum expected: ({computed:x}) but got ({stored:x}). Aborting now."
                ));
                self.report(error, name);
            }
            Reason::ShortRead | Reason::Io(_) => {
                self.log
                    .warning("Short read or OOM loading DB. Unrecoverable error, aborting now.");
                self.report(error, name);
            }
            _ => self.report(error, name),
        }
    }

    fn report(&self, error: &Error, name: &str) {
        let Error { offset, reason } = error;
        self.log.warning(format_args!(
            "Internal error in RDB reading offset {offset} of {name} -> {reason}"
        ));
        self.log
            .warning("Terminating server after rdb file reading failure.");
    }
}
