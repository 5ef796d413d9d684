//! All that the configuration asks of the file system, in a few small functions.
//!
//! Mirrors: the calls of fopen(), rename() and glob() that are spread over config.c.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::sys::files::{Disk, File};
use crate::util::glob::{self, Case};

/// The directory in its absolute form, links resolved; an error when it is none.
pub fn directory(path: &Path) -> io::Result<PathBuf> {
    let disk = Disk::machine();
    let path = disk.canonical(path)?;
    // Listing it asks the kernel the same questions as changing to it: is it a directory, may we?
    disk.list(&path)?;
    Ok(path)
}

/// The operating system's words for an error, without Rust's error number behind them.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// The bytes of a path.
pub fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

/// A path from bytes of a file or a client.
#[cfg(unix)]
pub fn path(bytes: &[u8]) -> Cow<'_, Path> {
    use std::os::unix::ffi::OsStrExt;
    Cow::Borrowed(Path::new(std::ffi::OsStr::from_bytes(bytes)))
}

/// A path from bytes of a file or a client.
#[cfg(not(unix))]
pub fn path(bytes: &[u8]) -> Cow<'_, Path> {
    Cow::Owned(PathBuf::from(String::from_utf8_lossy(bytes).into_owned()))
}

/// Where the process is; the root when even that is gone.
pub fn current_dir() -> PathBuf {
    std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"))
}

/// A whole file of the machine, which no server has yet; an error when it is longer than `limit` bytes.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    Disk::machine().read(path, limit)
}

/// Can lines be appended to this file? It exists afterwards.
pub fn can_append(path: &Path) -> io::Result<()> {
    Disk::machine().append(path).map(drop)
}

/// Paths found for one pattern: this many and no more.
const MAX_MATCHES: usize = 10_000;

/// The existing paths a pattern names, sorted. Wildcards stand for no slash, and for no leading dot.
pub fn glob(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let wanted = part.as_os_str().as_encoded_bytes();
        if !wanted.iter().any(|b| b"*?[".contains(b)) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let inside = |directory: &PathBuf| {
            let names = Disk::machine().list(directory).into_iter().flatten();
            let matching = names.filter(|name| {
                let name = name.as_encoded_bytes();
                let hidden = name.starts_with(b".") && !wanted.starts_with(b".");
                !hidden && glob::matches(wanted, name, Case::Sensitive)
            });
            let paths = matching.map(|name| directory.join(name));
            paths.collect::<Vec<_>>()
        };
        found = found.iter().flat_map(inside).take(MAX_MATCHES).collect();
    }
    found.retain(|path| path.exists());
    found.sort();
    found
}

/// Puts `content` in the place of the file at `path`: a reader sees the old or the new one, and after a power cut,
/// too. An error means that the old one is there, or, if only the directory could not be forced to disk, that it may be
/// there again after a power cut.
pub fn replace(disk: &Disk, path: &Path, content: &[u8]) -> io::Result<()> {
    let (temporary, mut file) = temporary_beside(disk, path)?;
    let written = file
        .write_all(content)
        .and_then(|()| file.sync_all())
        .and_then(|()| disk.rename(&temporary, path));
    if let Err(error) = written {
        // The error that counts is the first one.
        let _ = disk.remove_file(&temporary);
        return Err(error);
    }
    match path.parent().filter(|it| !it.as_os_str().is_empty()) {
        Some(directory) => disk.sync_dir(directory),
        None => Ok(()),
    }
}

/// A new file in the directory of `path`, named after it.
fn temporary_beside(disk: &Disk, path: &Path) -> io::Result<(PathBuf, File)> {
    for attempt in 0.. {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}-{attempt}", std::process::id()));
        let temporary = PathBuf::from(name);
        match disk.create_new(&temporary) {
            Ok(file) => return Ok((temporary, file)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && attempt < 100 => {}
            Err(e) => return Err(e),
        }
    }
    unreachable!("the loop ends by returning")
}
