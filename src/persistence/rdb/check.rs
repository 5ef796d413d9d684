//! `oxidis-check-rdb`: reads a file as a server would, keeps nothing, and reports its first fault and the place of it.
//!
//! ```text
//!   [offset 0] Checking RDB file dump.rdb
//!   [offset 27] AUX FIELD redis-ver = '7.4.0'              a line for each thing that is not a key
//!   --- RDB ERROR DETECTED ---                             or: \o/ RDB looks OK! \o/
//!   [offset 4711] Hash listpack integrity check failed.
//!   [additional info] While doing: read-object-value
//! ```
//!
//! Invariant: memory for one value at a time, and every entry of it is looked at (`sanitize-dump-payload yes`).
//!
//! Mirrors: redis-check-rdb.c, line by line of its output; scripts read it.
//! Differs: an error inside a value is named without a line of our source; a key without elements is called that (there
//! it is an early end of the file), and counts as an error as it does there.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use super::load::{Doing, Item, Loader, Sum};
use super::read_value::{Limits, Reading};
use super::{Decoder, Error, Reason, Type};
use crate::config::Config;
use crate::keyspace::NewValue;
use crate::sys::{clock, files::Disk};
use crate::types::{Hash, Held};

/// No text of a file makes a longer line.
const LONGEST_LINE: usize = 1024;

/// The tool: its arguments, its own name being the first, to the code to exit with.
#[doc(alias = "redis_check_rdb_main")]
pub fn run(arguments: &[Vec<u8>], out: &mut dyn Write) -> i32 {
    let [_, file] = arguments else {
        let name = arguments
            .first()
            .map_or(&b"oxidis-check-rdb"[..], |name| name);
        eprintln!("Usage: {} <rdb-file-name>", String::from_utf8_lossy(name));
        return 1;
    };
    if file == b"-v" || file == b"--version" {
        return match writeln!(out, "oxidis-check-rdb {}", crate::version()) {
            Ok(()) => 0,
            Err(_) => 1,
        };
    }
    // If the report cannot be written, the exit code is all that is left to tell.
    let sound = check_file(file, out).unwrap_or(false);
    i32::from(!sound || out.flush().is_err())
}

fn check_file(name: &[u8], out: &mut dyn Write) -> io::Result<bool> {
    let path = path_of(name);
    match Disk::machine()
        .open(&path)
        .and_then(|file| Ok((file.len()?, file)))
    {
        Ok((size, file)) => Ok(check(name, file, size, out)?.is_some()),
        Err(error) => {
            start(name, out)?;
            let reason = crate::config::disk::reason(&error);
            writeln!(out, "Cannot open file {}: {reason}", path.display())?;
            Ok(false)
        }
    }
}

/// An argument as a path.
pub fn path_of(name: &[u8]) -> PathBuf {
    #[cfg(unix)]
    let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(name);
    #[cfg(not(unix))]
    let name = String::from_utf8_lossy(name).into_owned();
    PathBuf::from(name)
}

fn start(name: &[u8], out: &mut dyn Write) -> io::Result<()> {
    info(out, 0, &[b"Checking RDB file ", name])
}

/// Checks an RDB of a file of `size` bytes; more may stand behind it. Where it ends, if there is nothing wrong with it.
#[doc(alias = "redis_check_rdb")]
pub fn check(
    name: &[u8],
    input: impl Read,
    size: u64,
    out: &mut dyn Write,
) -> io::Result<Option<u64>> {
    start(name, out)?;
    let reading = Reading {
        deep: true,
        limits: Limits::of(&Config::default(), 0),
        foreign: false,
    };
    let mut seen = Seen::default();
    // Where a file says nothing of its size (a pipe), no length is believed.
    let total = (size > 0).then_some(size);
    let mut loader = match Loader::new(Decoder::new(input, total, true), reading) {
        Ok(loader) => loader,
        Err(error) => {
            detected(out, &error, Doing::Start, (None, None))?;
            seen.show(out)?;
            return Ok(None);
        }
    };
    loader.skip_modules = true;
    let now = clock::unix_us() / 1000;
    loop {
        let error = match step(&mut loader, &mut seen, now, out)? {
            Ok(true) => continue,
            Ok(false) => break,
            Err(error) => error,
        };
        detected(out, &error, loader.doing(), loader.last_key())?;
        seen.show(out)?;
        return Ok(None);
    }
    info(out, loader.position(), &[b"\\o/ RDB looks OK! \\o/"])?;
    seen.show(out)?;
    Ok(Some(loader.position()))
}

/// One item. Whether there may be more.
fn step(
    loader: &mut Loader<'_>,
    seen: &mut Seen,
    now: i64,
    out: &mut dyn Write,
) -> io::Result<Result<bool, Error>> {
    let item = match loader.next() {
        Ok(item) => item,
        Err(error) => {
            // The one that is broken was read, too.
            seen.keys += u64::from(loader.last_key().0.is_some());
            return Ok(Err(error));
        }
    };
    let mut lines: Vec<Vec<u8>> = Vec::new();
    match item {
        Item::Aux(name, value) => {
            lines = vec![
                b"AUX FIELD ".to_vec(),
                name,
                b" = '".to_vec(),
                value,
                b"'".to_vec(),
            ];
        }
        Item::Db(db) => lines.push(format!("Selecting DB ID {db}").into_bytes()),
        Item::ForeignAux { .. } => {}
        Item::ModuleAux(name) => lines.push(format!("MODULE AUX for: {name}").into_bytes()),
        Item::Function(_) | Item::Expect(..) => {}
        Item::EmptyKey(_) => {
            seen.keys += 1;
            return Ok(Err(Error::new(loader.position(), Reason::EmptyKey)));
        }
        Item::Key(key) => {
            seen.keys += 1;
            seen.expires += u64::from(key.deadline.is_some());
            seen.expired += u64::from(key.deadline.is_some_and(|deadline| deadline < now));
            if let NewValue::Object(value) = &key.value
                && let Some(hash) = Hash::of(value)
            {
                seen.subexpires += u64::from(hash.earliest_bound().is_some());
            }
        }
        Item::End(sum) => {
            let line: &[u8] = match sum {
                Sum::Right => b"Checksum OK",
                Sum::Absent => b"RDB file was saved with checksum disabled: no check performed.",
                Sum::Unread => return Ok(Ok(false)),
            };
            info(out, loader.position(), &[line])?;
            return Ok(Ok(false));
        }
    }
    if !lines.is_empty() {
        let parts: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        info(out, loader.position(), &parts)?;
    }
    Ok(Ok(true))
}

/// The counters of the report.
#[derive(Debug, Default)]
struct Seen {
    keys: u64,
    expires: u64,
    expired: u64,
    subexpires: u64,
}

impl Seen {
    #[doc(alias = "rdbShowGenericInfo")]
    fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "[info] {} keys read", self.keys)?;
        writeln!(out, "[info] {} expires", self.expires)?;
        writeln!(out, "[info] {} already expired", self.expired)?;
        writeln!(out, "[info] {} subexpires", self.subexpires)
    }
}

#[doc(alias = "rdbCheckInfo")]
fn info(out: &mut dyn Write, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
    let mut line = Vec::new();
    for part in parts {
        // As C prints it: to the first zero byte.
        let end = part.iter().position(|b| *b == 0).unwrap_or(part.len());
        line.extend_from_slice(&part[..end.min(LONGEST_LINE)]);
    }
    line.truncate(LONGEST_LINE - 1);
    write!(out, "[offset {offset}] ")?;
    out.write_all(&line)?;
    out.write_all(b"\n")
}

#[doc(alias = "rdbCheckError")]
fn detected(
    out: &mut dyn Write,
    error: &Error,
    doing: Doing,
    (key, ty): (Option<&[u8]>, Option<u8>),
) -> io::Result<()> {
    writeln!(out, "--- RDB ERROR DETECTED ---")?;
    let reason = match doing {
        Doing::Functions if !error.is_corruption() => {
            "Failed loading library, Failed loading library payload".to_owned()
        }
        _ => error.reason.to_string(),
    };
    info(out, error.offset, &[reason.as_bytes()])?;
    for line in circumstances(doing, key, ty) {
        writeln!(out, "[additional info] {line}")?;
    }
    Ok(())
}

/// The circumstances of an error, as lines for an operator who has to mend the file.
pub fn circumstances(doing: Doing, key: Option<&[u8]>, ty: Option<u8>) -> Vec<String> {
    let mut lines = vec![format!("While doing: {}", doing.name())];
    if let Some(key) = key {
        let key = String::from_utf8_lossy(&key[..key.len().min(LONGEST_LINE)]);
        lines.push(format!("Reading key '{key}'"));
    }
    if let Some(byte) = ty {
        let name = Type::from_byte(byte).map_or("unknown", Type::name);
        lines.push(format!("Reading type {byte} ({name})"));
    }
    lines
}

impl Doing {
    #[doc(alias = "rdb_check_doing_string")]
    fn name(self) -> &'static str {
        match self {
            Doing::Start => "start",
            Doing::Type => "read-type",
            Doing::Expire => "read-expire",
            Doing::Key => "read-key",
            Doing::Value => "read-object-value",
            Doing::Checksum => "check-sum",
            Doing::Length => "read-len",
            Doing::Aux => "read-aux",
            Doing::ModuleAux => "read-module-aux",
            Doing::Functions => "read-functions",
            Doing::Template => "read-hash-template",
        }
    }
}
