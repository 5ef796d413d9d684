//! A broken tail of an append-only file is cut off or refused. `persistence/tails.rs` says which, with
//! examples.
//!
//! Mirrors: the end of loadSingleAppendOnlyFile() in aof.c.
//! Differs: see `persistence/tails.rs`.

use std::io;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::config::disk;
use crate::persistence::aof::order::{begins_follows, parse_follows};
use crate::persistence::aof::reader::{CommandReader, Line, Trouble};
use crate::persistence::loading::{Fatal, Loading, Part, What};
use crate::state::State;

/// Bytes of the longest annotation that names the length of the increment before.
const LONGEST_FOLLOWS: u64 = 40;

/// Bytes that are looked at behind the last good command, at most: more than any command may have.
const LONGEST_TORN: u64 = 1 << 30;

/// Cuts off the tail of a file that ends in the middle of a command or a transaction, if that is allowed. With
/// `is_last`, files after this one are treated as if they had never been written.
pub(in crate::persistence) fn cut_off(
    state: &mut State,
    part: &Part,
    valid: u64,
    is_last: bool,
    loading: &mut Loading,
) -> Result<bool, Fatal> {
    let name = &part.name;
    if state.config.aof_load_truncated {
        state.log.warning(format_args!(
            "!!! Warning: short read while loading the AOF file {name}!!!"
        ));
        if !is_last {
            state
                .log
                .warning("Fatal error: the truncated file is not the last file");
            return Err(Fatal);
        }
        drop_rest(state, loading)?;
        state.log.warning(format_args!(
            "!!! Truncating the AOF {name} at offset {valid} !!!"
        ));
        match cut(state, &part.path, valid) {
            Ok(()) => {
                state.log.warning(format_args!(
                    "AOF {name} loaded anyway because aof-load-truncated is enabled"
                ));
                return Ok(false);
            }
            Err(error) => state.log.warning(format_args!(
                "Error truncating the AOF file {name}: {}",
                disk::reason(&error)
            )),
        }
    }
    state.log.warning(format_args!(
        "Unexpected end of file reading the append only file {name}. You can: 1) Make a backup of \
         your AOF file, then use ./redis-check-aof --fix <filename.manifest>. 2) Alternatively you \
         can set the 'aof-load-truncated' configuration option to yes and restart the server."
    ));
    Err(Fatal)
}

/// Ends a file at `len` bytes and forces that to disk: commands appended next must not come behind the bytes that
/// were cut off.
fn cut(state: &State, path: &Path, len: u64) -> io::Result<()> {
    let file = state.disk.change(path)?;
    file.set_len(len)?;
    file.sync_all()
}

/// The length that the next increment names for the one before it, if it names any. A next increment without even a
/// first line on disk has no whole command, so any length is possible.
pub(in crate::persistence) fn follower(state: &State, loading: &Loading) -> Option<u64> {
    let next = loading.parts.iter().find(|part| part.size > 0)?;
    let mut start = Vec::new();
    let file = state.disk.open(&next.path).ok()?;
    file.take(LONGEST_FOLLOWS).read_to_end(&mut start).ok()?;
    if let Some(end) = start.iter().position(|byte| *byte == b'\n') {
        return parse_follows(start[..end].trim_ascii_end().strip_prefix(b"#")?);
    }
    let written = start.iter().rposition(|byte| *byte != 0);
    start.truncate(written.map_or(0, |last| last + 1));
    begins_follows(&start).then_some(u64::MAX)
}

/// Whether the next increment was begun when this one had more bytes: then a power cut took bytes that were not on
/// disk yet.
pub(in crate::persistence) fn is_cut_by_power(
    state: &State,
    part: &Part,
    valid: u64,
    loading: &Loading,
) -> bool {
    let had = match part.what {
        What::Increment => follower(state, loading),
        _ => None,
    };
    had.is_some_and(|had| had > part.size || is_torn(state, part, valid))
}

/// Drops `part` and the increments after it, because the increment before `part` lost bytes: neither can be replayed.
pub(in crate::persistence) fn drop_from(
    state: &mut State,
    part: &Part,
    loading: &mut Loading,
) -> Result<bool, Fatal> {
    if !state.config.aof_load_truncated {
        state.log.warning(format_args!(
            "Unexpected end of the append only file before {}: its last commands were lost in a power \
             failure, and those in this one follow them. You can set the 'aof-load-truncated' \
             configuration option to yes and restart the server, which then starts without both.",
            part.name
        ));
        return Err(Fatal);
    }
    drop_rest(state, loading)?;
    drop_file(state, part)?;
    Ok(false)
}

/// Empties the files after the current one, the last first: whenever the power goes, the next start sees a gap, too.
fn drop_rest(state: &mut State, loading: &mut Loading) -> Result<(), Fatal> {
    for part in std::mem::take(&mut loading.parts).iter().rev() {
        if part.size > 0 {
            drop_file(state, part)?;
        }
    }
    Ok(())
}

fn drop_file(state: &mut State, part: &Part) -> Result<(), Fatal> {
    let (name, size) = (&part.name, part.size);
    state.log.warning(format_args!(
        "!!! Dropping {size} bytes of the AOF {name}: what comes before them was lost in a power failure !!!"
    ));
    cut(state, &part.path, 0).map_err(|error| {
        state.log.warning(format_args!(
            "Error truncating the AOF file {name}: {}",
            disk::reason(&error)
        ));
        Fatal
    })
}

/// Whether a file that makes no sense from `valid` on would just be too short, were it not for zeros at its end: the
/// power went when its length was on disk and its last bytes were not.
pub(in crate::persistence) fn is_torn(state: &State, part: &Part, valid: u64) -> bool {
    let tail = || -> io::Result<Vec<u8>> {
        let mut file = state.disk.open(&part.path)?;
        file.seek(SeekFrom::Start(valid))?;
        let mut tail = Vec::new();
        file.take(LONGEST_TORN).read_to_end(&mut tail)?;
        Ok(tail)
    };
    let Ok(mut tail) = tail() else {
        return false;
    };
    let len = tail.len();
    let written = tail.iter().rposition(|byte| *byte != 0);
    tail.truncate(written.map_or(0, |last| last + 1));
    if tail.len() == len || len as u64 == LONGEST_TORN {
        return false;
    }
    let mut reader = CommandReader::new(Box::new(io::Cursor::new(tail)), Vec::new(), 0);
    loop {
        match reader.next() {
            Ok(Line::End) | Err(Trouble::Truncated) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}
