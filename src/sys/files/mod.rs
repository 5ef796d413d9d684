//! The door to the file system: every file that holds data is opened, written, renamed and removed through a [`Disk`].
//!
//! ```text
//!   Disk ── open, create, append ──► File ── read, write, set_len, sync
//!    │                                 │
//!    ├─ the machine's                  └─ std::fs::File: one branch, then the same system call as without the door
//!    └─ simulated (simulated.rs)          bytes in memory that fail, tear and forget as a test wishes
//! ```
//!
//! A [`Disk`] is cheap to clone and may be used from any thread, so a helper thread takes its own. A `State` owns one and
//! hands it down; there is no global one.
//!
//! Mirrors: no file of Redis, which calls `open`, `write` and `rename` where it needs them.
//! Differs: a test can put a disk in that fails the n-th call, or cuts the power between two of them.

mod simulated;

pub use self::simulated::{Call, Choices, Failure, Fault, SimulatedDisk};

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use self::simulated::SimulatedFile;
use super::cache;

/// The file system, as a server sees it.
#[derive(Debug, Clone, Default)]
pub struct Disk(Kind);

#[derive(Debug, Clone, Default)]
enum Kind {
    #[default]
    Machine,
    Simulated(SimulatedDisk),
}

/// Size, kind and last change of the file or directory that a name leads to.
#[derive(Debug, Clone, Copy)]
pub struct Metadata {
    /// Bytes.
    pub len: u64,
    /// A regular file, not a directory or a pipe.
    pub is_file: bool,
    /// Permissions, where the system has them as bits; unknown on a simulated disk.
    pub mode: Option<u32>,
    /// When it was last written to; unknown on a simulated disk.
    pub modified: Option<SystemTime>,
}

impl Metadata {
    /// The time since the last change; unknown on a simulated disk, and for a change in the future.
    pub fn age(&self) -> Option<Duration> {
        self.modified?.elapsed().ok()
    }
}

impl From<fs::Metadata> for Metadata {
    fn from(metadata: fs::Metadata) -> Metadata {
        Metadata {
            len: metadata.len(),
            is_file: metadata.is_file(),
            #[cfg(unix)]
            mode: Some(std::os::unix::fs::PermissionsExt::mode(
                &metadata.permissions(),
            )),
            #[cfg(not(unix))]
            mode: None,
            modified: metadata.modified().ok(),
        }
    }
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Read,
    /// To write from the start: emptied, or made.
    Create,
    /// To write from the start; an error if the name is taken.
    CreateNew,
    /// Every write goes to the end, wherever that is by then; made if it is missing.
    Append,
    /// As `Append`; an error if the name is taken.
    AppendNew,
    /// To be changed where it is.
    Change,
}

impl Mode {
    fn makes(self) -> bool {
        !matches!(self, Mode::Read | Mode::Change)
    }
}

impl Disk {
    /// The file system of the machine.
    pub fn machine() -> Disk {
        Disk(Kind::Machine)
    }

    /// One in memory.
    pub fn simulated(disk: SimulatedDisk) -> Disk {
        Disk(Kind::Simulated(disk))
    }

    fn open_as(&self, path: &Path, mode: Mode) -> io::Result<File> {
        let disk = match &self.0 {
            Kind::Machine => {
                let mut options = fs::OpenOptions::new();
                match mode {
                    Mode::Read => options.read(true),
                    Mode::Create => options.write(true).create(true).truncate(true),
                    Mode::CreateNew => options.write(true).create_new(true),
                    Mode::Append => options.append(true).create(true),
                    Mode::AppendNew => options.append(true).create_new(true),
                    Mode::Change => options.write(true),
                };
                #[cfg(unix)]
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o644);
                return options.open(path).map(File::from);
            }
            Kind::Simulated(disk) => disk,
        };
        let file = disk.open(path, mode)?;
        Ok(File(Handle::Simulated(file)))
    }

    /// Opens a file to read it.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        self.open_as(path, Mode::Read)
    }

    /// An empty file that everybody may read, in the place of whatever had the name.
    pub fn create(&self, path: &Path) -> io::Result<File> {
        self.open_as(path, Mode::Create)
    }

    /// As [`Disk::create`]; an error if the name is taken.
    pub fn create_new(&self, path: &Path) -> io::Result<File> {
        self.open_as(path, Mode::CreateNew)
    }

    /// A file whose every write goes to its end, also after it was cut; made if it is missing.
    pub fn append(&self, path: &Path) -> io::Result<File> {
        self.open_as(path, Mode::Append)
    }

    /// As [`Disk::append`]; an error if the name is taken.
    pub fn append_new(&self, path: &Path) -> io::Result<File> {
        self.open_as(path, Mode::AppendNew)
    }

    /// A file that is there, to be cut or forced to disk.
    pub fn change(&self, path: &Path) -> io::Result<File> {
        self.open_as(path, Mode::Change)
    }

    /// A whole file; an error when it is longer than `limit` bytes.
    pub fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        let mut file = self.open(path)?.take(limit.saturating_add(1));
        file.read_to_end(&mut content)?;
        if content.len() as u64 > limit {
            return Err(io::Error::other("the file is too large"));
        }
        Ok(content)
    }

    /// Gives a file another name, in the place of whatever had that name.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match &self.0 {
            Kind::Machine => fs::rename(from, to),
            Kind::Simulated(disk) => disk.rename(from, to),
        }
    }

    /// Gives a file one name more; an error if the name is taken.
    pub fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        match &self.0 {
            Kind::Machine => fs::hard_link(from, to),
            Kind::Simulated(disk) => disk.hard_link(from, to),
        }
    }

    /// Gives a file permissions, as the low nine bits of `mode`; a simulated disk has none.
    #[cfg(unix)]
    pub fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        match &self.0 {
            Kind::Machine => fs::set_permissions(path, fs::Permissions::from_mode(mode)),
            Kind::Simulated(_) => Ok(()),
        }
    }

    /// Takes a name away.
    pub fn remove_file(&self, path: &Path) -> io::Result<()> {
        match &self.0 {
            Kind::Machine => fs::remove_file(path),
            Kind::Simulated(disk) => disk.remove_file(path),
        }
    }

    /// Removes an empty directory.
    pub fn remove_dir(&self, path: &Path) -> io::Result<()> {
        match &self.0 {
            Kind::Machine => fs::remove_dir(path),
            Kind::Simulated(disk) => disk.remove_dir(path),
        }
    }

    /// Makes a directory that survives a power cut: its entry is forced to disk, too. Does not fail if the directory
    /// exists.
    pub fn make_dir(&self, path: &Path) -> io::Result<()> {
        match &self.0 {
            Kind::Machine => fs::create_dir_all(path)?,
            Kind::Simulated(disk) => disk.create_dir_all(path)?,
        }
        // An existing directory is synced as well: its maker may have been interrupted before the entry was safe.
        match path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            Some(parent) => self.sync_dir(parent),
            None => Ok(()),
        }
    }

    /// Makes the names in a directory durable, those that came and those that went.
    #[doc(alias = "fsyncFileDir")]
    pub fn sync_dir(&self, path: &Path) -> io::Result<()> {
        match &self.0 {
            Kind::Machine if cfg!(unix) => match fs::File::open(path)?.sync_all() {
                // Some file systems know no such thing.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
                synced => synced,
            },
            Kind::Machine => Ok(()),
            Kind::Simulated(disk) => disk.sync_dir(path),
        }
    }

    /// Locks a file, which is made if it is missing, as long as the returned value lives; `None` if another process has
    /// it locked. The lock ends with the process, however that ends. A simulated disk has one user.
    pub fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        let Kind::Machine = &self.0 else {
            return Ok(Some(Lock(None)));
        };
        let mut options = fs::OpenOptions::new();
        let file = options.append(true).create(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(Some(file)))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// Metadata of the file or directory behind a name; symbolic links are followed.
    pub fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        match &self.0 {
            Kind::Machine => fs::metadata(path).map(Metadata::from),
            Kind::Simulated(disk) => disk.metadata(path),
        }
    }

    /// Metadata of the file behind a name; a symbolic link is not followed but described itself.
    pub fn link_metadata(&self, path: &Path) -> io::Result<Metadata> {
        match &self.0 {
            Kind::Machine => fs::symlink_metadata(path).map(Metadata::from),
            Kind::Simulated(disk) => disk.metadata(path),
        }
    }

    /// Whether there is anything of this name.
    pub fn exists(&self, path: &Path) -> bool {
        self.metadata(path).is_ok()
    }

    /// The names in a directory, in no order.
    pub fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        match &self.0 {
            Kind::Machine => fs::read_dir(path)?
                .map(|entry| entry.map(|entry| entry.file_name()))
                .collect(),
            Kind::Simulated(disk) => disk.list(path),
        }
    }

    /// The path in its absolute form, links resolved; an error when nothing is there.
    pub fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        match &self.0 {
            Kind::Machine => fs::canonicalize(path),
            Kind::Simulated(disk) => disk.metadata(path).map(|_| path.to_owned()),
        }
    }
}

/// Gives the file or socket behind a descriptor permissions, if it can have any, and hands the descriptor back.
#[cfg(unix)]
pub fn with_mode(descriptor: std::os::fd::OwnedFd, mode: u32) -> std::os::fd::OwnedFd {
    use std::os::unix::fs::PermissionsExt;
    let file = fs::File::from(descriptor);
    let _ = file.set_permissions(fs::Permissions::from_mode(mode));
    file.into()
}

/// A file that no other process may lock. Dropping it unlocks the file.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code)] Option<fs::File>);

/// An open file.
#[derive(Debug)]
pub struct File(Handle);

#[derive(Debug)]
enum Handle {
    Machine(fs::File),
    Simulated(SimulatedFile),
}

impl From<fs::File> for File {
    fn from(file: fs::File) -> File {
        File(Handle::Machine(file))
    }
}

impl File {
    /// Bytes it has.
    #[allow(clippy::len_without_is_empty)] // Nobody asks.
    pub fn len(&self) -> io::Result<u64> {
        match &self.0 {
            Handle::Machine(file) => Ok(file.metadata()?.len()),
            Handle::Simulated(file) => Ok(file.len()),
        }
    }

    /// Cuts it, or makes it longer with zeros.
    pub fn set_len(&self, len: u64) -> io::Result<()> {
        match &self.0 {
            Handle::Machine(file) => file.set_len(len),
            Handle::Simulated(file) => file.set_len(len),
        }
    }

    /// Returns once its bytes are on disk.
    pub fn sync_data(&self) -> io::Result<()> {
        match &self.0 {
            Handle::Machine(file) => file.sync_data(),
            Handle::Simulated(file) => file.sync(),
        }
    }

    /// Returns once its bytes, and what the system knows about it, are on disk.
    pub fn sync_all(&self) -> io::Result<()> {
        match &self.0 {
            Handle::Machine(file) => file.sync_all(),
            Handle::Simulated(file) => file.sync(),
        }
    }

    /// Lets the system forget the pages between two offsets in bytes, as far as they are on disk.
    pub fn forget_cache(&self, from: u64, to: u64) {
        if let Handle::Machine(file) = &self.0 {
            cache::forget(file, from, to);
        }
    }
}

impl Write for &File {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Handle::Machine(file) => (&*file).write(bytes),
            Handle::Simulated(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for &File {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Handle::Machine(file) => (&*file).read(buffer),
            Handle::Simulated(file) => file.read(buffer),
        }
    }
}

impl Read for File {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.0 {
            Handle::Machine(file) => file.seek(to),
            Handle::Simulated(file) => file.seek(to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both disks answer alike: what a test learns on one holds on the other.
    #[test]
    fn both_disks_behave_alike() {
        let scratch = std::env::temp_dir().join(format!("oxidis-files-{}", std::process::id()));
        let simulated = SimulatedDisk::new();
        for (disk, root) in [
            (Disk::machine(), scratch.as_path()),
            (Disk::simulated(simulated), Path::new("/sim")),
        ] {
            disk.make_dir(root).expect("a place of one's own");
            let at = |name: &str| root.join(name);
            let missing = |error: io::Error| error.kind();
            let kind = disk.open(&at("a")).map_err(missing).err();
            assert_eq!(kind, Some(io::ErrorKind::NotFound));
            let mut file = disk.append(&at("a")).expect("made");
            file.write_all(b"hello world").expect("room");
            file.set_len(5).expect("cut");
            // Behind a cut an appended byte leaves no hole.
            file.write_all(b"!").expect("room");
            assert_eq!(disk.read(&at("a"), 100).expect("read"), b"hello!");
            let kind = disk.append_new(&at("a")).map_err(missing).err();
            assert_eq!(kind, Some(io::ErrorKind::AlreadyExists));
            let mut file = disk.create(&at("b")).expect("made");
            file.write_all(b"12345").expect("room");
            file.set_len(2).expect("cut");
            // A file that is not appended to goes on where it was.
            file.write_all(b"!").expect("room");
            assert_eq!(disk.read(&at("b"), 100).expect("read"), b"12\0\0\0!");
            disk.hard_link(&at("a"), &at("c")).expect("linked");
            disk.rename(&at("b"), &at("a")).expect("renamed");
            assert_eq!(disk.read(&at("c"), 100).expect("read"), b"hello!");
            assert_eq!(disk.metadata(&at("a")).expect("there").len, 6);
            let mut names = disk.list(root).expect("listed");
            names.sort();
            assert_eq!(names, ["a", "c"]);
            assert!(disk.read(&at("a"), 5).is_err());
            assert!(disk.remove_dir(root).is_err());
            disk.remove_file(&at("a")).expect("removed");
            disk.remove_file(&at("c")).expect("removed");
            disk.sync_dir(root).expect("forced to disk");
            disk.remove_dir(root).expect("removed");
            assert!(!disk.exists(root));
        }
    }
}
