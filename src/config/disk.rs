//! All that the configuration asks of the file system, in a few small functions.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

/// The directory in its absolute form, links resolved; an error when it is none.
pub fn directory(path: &Path) -> io::Result<PathBuf> {
    let path = std::fs::canonicalize(path)?;
    // Listing it asks the kernel the same questions as changing to it: is it a directory, may we?
    std::fs::read_dir(&path)?;
    Ok(path)
}

/// What the operating system says of an error, without Rust's error number behind it.
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
