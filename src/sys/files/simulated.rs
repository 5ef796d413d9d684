//! A disk in memory that fails when a test wants it to, and forgets bytes that were not forced to it.
//!
//! Each file and each directory is there twice: as every caller sees it, and as it is safe on the disk. The changes in
//! between are kept one by one, because a power cut may leave any part of them.
//!
//! ```text
//!   file       seen  "SET a 1 SET b 2"      safe "SET a 1"     since then: wrote " SET b 2" at 7
//!   directory  seen  base.2, manifest→9     safe base.1, manifest→5      since then: base.1 gone, base.2 came, manifest→9
//!
//!   after_kill()       what is seen
//!   after_power_cut()  each name of a directory as it was at any moment since the last fsync of the directory, whatever
//!                      the other names do; of a file that is appended to, the first bytes, behind which there may be
//!                      zeros where its length was ahead of its bytes; of another file any of the writes, whole or torn
//! ```
//!
//! A file that is appended to keeps its order because file systems extend a file only over bytes that they wrote (the
//! `ordered` mode of ext4; XFS and btrfs by their design). Without that no log could be read again that has no checksum.
//!
//! Choices are made by [`Choices`]: by a seed, or all there are, one after the other.
//!
//! Mirrors: no file of Redis, whose tests kill a process but cannot cut the power.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, SeekFrom};
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Metadata, Mode};
use crate::util::rng::Rng;

/// A system call that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Open,
    Create,
    Read,
    Write,
    Cut,
    Sync,
    SyncDir,
    Rename,
    Link,
    Remove,
    MakeDir,
    List,
}

impl Call {
    /// All of them.
    pub const ALL: [Call; 12] = [
        Call::Open,
        Call::Create,
        Call::Read,
        Call::Write,
        Call::Cut,
        Call::Sync,
        Call::SyncDir,
        Call::Rename,
        Call::Link,
        Call::Remove,
        Call::MakeDir,
        Call::List,
    ];
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// EIO.
    Broken,
    /// ENOSPC; of a write that takes more than one byte, half fits before.
    Full,
    /// EINTR, where a program sees it.
    Interrupted,
    /// Half of the bytes are read or written.
    Short,
    /// The power goes while the call is under way: it may have done its work, and nothing works after it.
    PowerCut,
}

/// Which calls fail, and how.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// Of this kind; `None`: of any.
    pub call: Option<Call>,
    /// The first that fails: 1 is the next one.
    pub nth: u64,
    pub failure: Failure,
    /// All that follow fail, too, until [`SimulatedDisk::heal`].
    pub lasts: bool,
}

/// The disk; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimulatedDisk(Arc<Mutex<Inner>>);

#[derive(Debug, Clone)]
struct Inner {
    files: Vec<Content>,
    /// The first is the root.
    directories: Vec<Directory>,
    fault: Option<Fault>,
    /// Matching calls since the fault was set.
    met: u64,
    calls: u64,
    strikes: u64,
    dead: bool,
}

impl Default for Inner {
    fn default() -> Inner {
        Inner {
            files: Vec::new(),
            directories: vec![Directory::default()],
            fault: None,
            met: 0,
            calls: 0,
            strikes: 0,
            dead: false,
        }
    }
}

/// A file's bytes.
#[derive(Debug, Clone, Default)]
struct Content {
    seen: Vec<u8>,
    safe: Vec<u8>,
    since: Vec<Change>,
    /// It is only ever appended to, and cut.
    appended: bool,
}

#[derive(Debug, Clone)]
enum Change {
    Wrote { at: usize, bytes: Vec<u8> },
    Cut(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Wrote { at, bytes } => write_at(content, *at, bytes),
            Change::Cut(len) => content.resize(*len, 0),
        }
    }
}

fn write_at(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(bytes);
}

/// A directory's names.
#[derive(Debug, Clone, Default)]
struct Directory {
    seen: BTreeMap<OsString, Node>,
    safe: BTreeMap<OsString, Node>,
    /// Changes of names since the last fsync: the name, and the file or directory it came to lead to.
    since: Vec<(OsString, Option<Node>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    File(usize),
    Directory(usize),
}

/// The fate that the fault set by a test gives to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Whole,
    Half,
    /// It does its work, as far as anybody can see, and then the power is gone.
    Last,
}

fn system(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

impl Inner {
    /// Counts a call, and has it fail if it is its turn. `bytes`: how many it moves.
    fn begin(&mut self, call: Call, bytes: usize) -> io::Result<Way> {
        if self.dead {
            return Err(system(libc::EIO));
        }
        self.calls += 1;
        let Some(fault) = self
            .fault
            .filter(|fault| fault.call.is_none_or(|wanted| wanted == call))
        else {
            return Ok(Way::Whole);
        };
        self.met += 1;
        let first = self.met == fault.nth;
        if !(first || fault.lasts && self.met > fault.nth) {
            return Ok(Way::Whole);
        }
        let moves = matches!(call, Call::Read | Call::Write);
        let way = match fault.failure {
            Failure::Broken => Err(system(libc::EIO)),
            Failure::Full if call == Call::Write && first && fault.lasts && bytes > 1 => {
                Ok(Way::Half)
            }
            Failure::Full if call == Call::Read => Ok(Way::Whole),
            Failure::Full => Err(system(libc::ENOSPC)),
            // The others are called again by the standard library.
            Failure::Interrupted if moves && first => Err(system(libc::EINTR)),
            Failure::Short if moves && bytes > 1 => Ok(Way::Half),
            Failure::Interrupted | Failure::Short => Ok(Way::Whole),
            Failure::PowerCut => {
                self.dead = true;
                Ok(Way::Last)
            }
        };
        self.strikes += u64::from(!matches!(way, Ok(Way::Whole)));
        way
    }

    /// The directory that a path is in, and its name there.
    fn place<'p>(&self, path: &'p Path) -> io::Result<(usize, &'p OsStr)> {
        let name = path.file_name().ok_or_else(|| system(libc::EISDIR))?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        match self.find(parent)? {
            Node::Directory(directory) => Ok((directory, name)),
            Node::File(_) => Err(system(libc::ENOTDIR)),
        }
    }

    fn find(&self, path: &Path) -> io::Result<Node> {
        let mut node = Node::Directory(0);
        for part in path.components() {
            let Component::Normal(name) = part else {
                continue;
            };
            let Node::Directory(directory) = node else {
                return Err(system(libc::ENOTDIR));
            };
            let found = self.directories[directory].seen.get(name);
            node = *found.ok_or_else(|| system(libc::ENOENT))?;
        }
        Ok(node)
    }

    fn name(&mut self, directory: usize, name: &OsStr, node: Option<Node>) {
        let directory = &mut self.directories[directory];
        match node {
            Some(node) => directory.seen.insert(name.to_owned(), node),
            None => directory.seen.remove(name),
        };
        directory.since.push((name.to_owned(), node));
    }

    fn change(&mut self, file: usize, change: Change) {
        let content = &mut self.files[file];
        change.apply(&mut content.seen);
        content.since.push(change);
    }
}

/// The result of a call that did its work. Under [`Way::Last`] even such a call reports an error.
fn done<T>(way: Way, value: T) -> io::Result<T> {
    match way {
        Way::Last => Err(system(libc::EIO)),
        Way::Whole | Way::Half => Ok(value),
    }
}

impl SimulatedDisk {
    /// An empty disk.
    pub fn new() -> SimulatedDisk {
        SimulatedDisk::default()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A test that panicked is over.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the fault by which calls fail from now on, in the place of the one before.
    pub fn set_fault(&self, fault: Fault) {
        let mut inner = self.inner();
        inner.fault = Some(fault);
        inner.met = 0;
        inner.strikes = 0;
    }

    /// Ends the fault: calls succeed again.
    pub fn heal(&self) {
        self.inner().fault = None;
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.inner().calls
    }

    /// Calls that failed since [`SimulatedDisk::set_fault`].
    pub fn strikes(&self) -> u64 {
        self.inner().strikes
    }

    /// Whether the power is gone.
    pub fn is_dead(&self) -> bool {
        self.inner().dead
    }

    /// The disk as the next process finds it after this one was killed: everything is there, and what was not forced to
    /// the disk still is not.
    pub fn after_kill(&self) -> SimulatedDisk {
        let inner = Inner {
            fault: None,
            dead: false,
            ..self.inner().clone()
        };
        SimulatedDisk(Arc::new(Mutex::new(inner)))
    }

    /// The disk after a power cut.
    pub fn after_power_cut(&self, choices: &mut Choices) -> SimulatedDisk {
        let mut inner = Inner {
            fault: None,
            dead: false,
            ..self.inner().clone()
        };
        for directory in &mut inner.directories {
            let mut left = directory.safe.clone();
            let changed: BTreeMap<&OsString, ()> =
                directory.since.iter().map(|(name, _)| (name, ())).collect();
            for name in changed.into_keys() {
                let of_it = directory.since.iter().filter(|(other, _)| other == name);
                let states: Vec<Option<Node>> = of_it.map(|(_, node)| *node).collect();
                if let Some(state) = choices.below(states.len() + 1).checked_sub(1) {
                    match states[state] {
                        Some(node) => left.insert(name.clone(), node),
                        None => left.remove(name),
                    };
                }
            }
            directory.safe = left.clone();
            directory.seen = left;
            directory.since.clear();
        }
        // Only files that still have a name can be looked at.
        let mut named = vec![false; inner.files.len()];
        for directory in &inner.directories {
            for node in directory.seen.values() {
                if let Node::File(file) = node {
                    named[*file] = true;
                }
            }
        }
        for (content, named) in inner.files.iter_mut().zip(named) {
            if named {
                content.forget(choices);
            }
        }
        SimulatedDisk(Arc::new(Mutex::new(inner)))
    }

    pub(super) fn open(&self, path: &Path, mode: Mode) -> io::Result<SimulatedFile> {
        let mut inner = self.inner();
        let call = match mode.makes() {
            true => Call::Create,
            false => Call::Open,
        };
        let way = inner.begin(call, 0)?;
        let (directory, name) = inner.place(path)?;
        let found = inner.directories[directory].seen.get(name).copied();
        let appends = matches!(mode, Mode::Append | Mode::AppendNew);
        let file = match (found, mode) {
            (Some(Node::Directory(_)), _) => return Err(system(libc::EISDIR)),
            (Some(_), Mode::CreateNew | Mode::AppendNew) => return Err(system(libc::EEXIST)),
            (Some(Node::File(file)), Mode::Create) => {
                inner.files[file].appended = false;
                inner.change(file, Change::Cut(0));
                file
            }
            (Some(Node::File(file)), _) => file,
            (None, Mode::Read | Mode::Change) => return Err(system(libc::ENOENT)),
            (None, _) => {
                inner.files.push(Content {
                    appended: appends,
                    ..Content::default()
                });
                let file = inner.files.len() - 1;
                inner.name(directory, name, Some(Node::File(file)));
                file
            }
        };
        drop(inner);
        let opened = SimulatedFile {
            disk: self.clone(),
            file,
            appends,
            position: Mutex::new(0),
        };
        done(way, opened)
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        let way = inner.begin(Call::Rename, 0)?;
        let node = inner.find(from)?;
        let (source, old) = inner.place(from)?;
        let (target, new) = inner.place(to)?;
        inner.name(target, new, Some(node));
        inner.name(source, old, None);
        done(way, ())
    }

    pub(super) fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        let way = inner.begin(Call::Link, 0)?;
        let node = inner.find(from)?;
        if inner.find(to).is_ok() {
            return Err(system(libc::EEXIST));
        }
        let (target, new) = inner.place(to)?;
        inner.name(target, new, Some(node));
        done(way, ())
    }

    pub(super) fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        let way = inner.begin(Call::Remove, 0)?;
        if let Node::Directory(_) = inner.find(path)? {
            return Err(system(libc::EISDIR));
        }
        let (directory, name) = inner.place(path)?;
        inner.name(directory, name, None);
        done(way, ())
    }

    pub(super) fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        let way = inner.begin(Call::Remove, 0)?;
        match inner.find(path)? {
            Node::Directory(directory) if inner.directories[directory].seen.is_empty() => {}
            Node::Directory(_) => return Err(system(libc::ENOTEMPTY)),
            Node::File(_) => return Err(system(libc::ENOTDIR)),
        }
        let (directory, name) = inner.place(path)?;
        inner.name(directory, name, None);
        done(way, ())
    }

    pub(super) fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        match inner.find(path) {
            Ok(Node::Directory(_)) => return Ok(()),
            Ok(Node::File(_)) => return Err(system(libc::EEXIST)),
            Err(_) => {}
        }
        let way = inner.begin(Call::MakeDir, 0)?;
        let mut at = 0;
        for part in path.components() {
            let Component::Normal(name) = part else {
                continue;
            };
            at = match inner.directories[at].seen.get(name) {
                Some(Node::Directory(directory)) => *directory,
                Some(Node::File(_)) => return Err(system(libc::ENOTDIR)),
                None => {
                    inner.directories.push(Directory::default());
                    let directory = inner.directories.len() - 1;
                    inner.name(at, name, Some(Node::Directory(directory)));
                    directory
                }
            };
        }
        done(way, ())
    }

    pub(super) fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.begin(Call::SyncDir, 0)? == Way::Last {
            return Err(system(libc::EIO));
        }
        let Node::Directory(directory) = inner.find(path)? else {
            return Err(system(libc::ENOTDIR));
        };
        let directory = &mut inner.directories[directory];
        directory.safe = directory.seen.clone();
        directory.since.clear();
        Ok(())
    }

    pub(super) fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let inner = self.inner();
        if inner.dead {
            return Err(system(libc::EIO));
        }
        let (len, is_file) = match inner.find(path)? {
            Node::File(file) => (inner.files[file].seen.len() as u64, true),
            Node::Directory(_) => (0, false),
        };
        Ok(Metadata {
            len,
            is_file,
            mode: None,
            modified: None,
        })
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let mut inner = self.inner();
        let way = inner.begin(Call::List, 0)?;
        match inner.find(path)? {
            Node::Directory(directory) => {
                let names = inner.directories[directory].seen.keys().cloned().collect();
                done(way, names)
            }
            Node::File(_) => Err(system(libc::ENOTDIR)),
        }
    }
}

impl Content {
    /// Leaves what a power cut leaves.
    fn forget(&mut self, choices: &mut Choices) {
        if self.since.is_empty() {
            return;
        }
        let mut left = self.safe.clone();
        if self.appended {
            let whole = choices.below(self.since.len() + 1);
            for change in &self.since[..whole] {
                change.apply(&mut left);
            }
            if let Some(Change::Wrote { at, bytes }) = self.since.get(whole) {
                match choices.below(3) {
                    0 => {}
                    torn => {
                        let half = choices.below(bytes.len().max(1));
                        write_at(&mut left, *at, &bytes[..half]);
                        if torn == 2 {
                            left.resize(at + bytes.len(), 0);
                        }
                    }
                }
            }
        } else {
            for change in &self.since {
                match (choices.below(3), change) {
                    (0, _) => {}
                    (1, Change::Wrote { at, bytes }) => {
                        write_at(&mut left, *at, &bytes[..bytes.len() / 2]);
                    }
                    _ => change.apply(&mut left),
                }
            }
        }
        self.safe = left.clone();
        self.seen = left;
        self.since.clear();
    }
}

/// An open file of a simulated disk.
#[derive(Debug)]
pub(super) struct SimulatedFile {
    disk: SimulatedDisk,
    file: usize,
    appends: bool,
    position: Mutex<usize>,
}

impl SimulatedFile {
    pub(super) fn len(&self) -> u64 {
        self.disk.inner().files[self.file].seen.len() as u64
    }

    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.disk.inner();
        let way = inner.begin(Call::Write, bytes.len())?;
        let count = match way {
            Way::Half => bytes.len() / 2,
            Way::Whole | Way::Last => bytes.len(),
        };
        let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        if self.appends {
            *position = inner.files[self.file].seen.len();
        }
        let change = Change::Wrote {
            at: *position,
            bytes: bytes[..count].to_vec(),
        };
        inner.change(self.file, change);
        *position += count;
        done(way, count)
    }

    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut inner = self.disk.inner();
        let way = inner.begin(Call::Read, buffer.len())?;
        let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = inner.files[self.file].seen.get(*position..);
        let rest = rest.unwrap_or_default();
        let mut count = rest.len().min(buffer.len());
        if way == Way::Half && count > 1 {
            count /= 2;
        }
        buffer[..count].copy_from_slice(&rest[..count]);
        *position += count;
        done(way, count)
    }

    pub(super) fn set_len(&self, len: u64) -> io::Result<()> {
        let mut inner = self.disk.inner();
        let way = inner.begin(Call::Cut, 0)?;
        inner.change(self.file, Change::Cut(len as usize));
        done(way, ())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        let mut inner = self.disk.inner();
        if inner.begin(Call::Sync, 0)? == Way::Last {
            return Err(system(libc::EIO));
        }
        let content = &mut inner.files[self.file];
        content.safe = content.seen.clone();
        content.since.clear();
        Ok(())
    }

    pub(super) fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let len = self.len() as i64;
        let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = match to {
            SeekFrom::Start(at) => at as i64,
            SeekFrom::End(back) => len + back,
            SeekFrom::Current(further) => *position as i64 + further,
        };
        *position = usize::try_from(wanted).map_err(|_| system(libc::EINVAL))?;
        Ok(*position as u64)
    }
}

/// A source of choices: drawn from a seed, or going through every combination there is.
#[derive(Debug)]
pub struct Choices(Source);

#[derive(Debug)]
enum Source {
    Seeded(Rng),
    /// Each choice made so far, and out of how many.
    All {
        made: Vec<(usize, usize)>,
        next: usize,
    },
}

impl Choices {
    /// The same seed chooses the same.
    pub fn seeded(seed: u64) -> Choices {
        Choices(Source::Seeded(Rng::new(seed)))
    }

    /// The first of all ways; [`Choices::advance`] goes on to the next.
    pub fn all() -> Choices {
        Choices(Source::All {
            made: Vec::new(),
            next: 0,
        })
    }

    /// A number below `count`, which is not 0.
    pub fn below(&mut self, count: usize) -> usize {
        match &mut self.0 {
            Source::Seeded(rng) => rng.below(count as u64) as usize,
            Source::All { made, next } => {
                if *next == made.len() {
                    made.push((0, count));
                }
                *next += 1;
                made[*next - 1].0
            }
        }
    }

    /// Goes on to the next way. False: that was the last one.
    pub fn advance(&mut self) -> bool {
        let Source::All { made, next } = &mut self.0 else {
            return true;
        };
        *next = 0;
        while let Some((choice, count)) = made.last_mut() {
            if *choice + 1 < *count {
                *choice += 1;
                return true;
            }
            made.pop();
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::Disk;
    use super::*;
    use std::collections::BTreeSet;
    use std::io::Write;

    /// Every disk that a power cut can leave.
    fn images(disk: &SimulatedDisk, look: impl Fn(&Disk) -> String) -> BTreeSet<String> {
        let mut choices = Choices::all();
        let mut found = BTreeSet::new();
        loop {
            found.insert(look(&Disk::simulated(disk.after_power_cut(&mut choices))));
            if !choices.advance() {
                return found;
            }
        }
    }

    fn text(disk: &Disk, path: &str) -> String {
        match disk.read(Path::new(path), 1000) {
            Ok(content) => String::from_utf8_lossy(&content).replace('\0', "0"),
            Err(_) => "-".to_owned(),
        }
    }

    #[test]
    fn what_was_not_forced_to_disk_may_be_gone_in_any_part() {
        let simulated = SimulatedDisk::new();
        let disk = Disk::simulated(simulated.clone());
        let path = Path::new("/log");
        let mut log = disk.append(path).expect("made");
        log.write_all(b"ab").expect("room");
        log.sync_all().expect("forced");
        assert_eq!(
            images(&simulated, |disk| text(disk, "/log")),
            BTreeSet::from(["-".to_owned(), "ab".to_owned()]),
            "its name is not safe yet"
        );
        disk.sync_dir(Path::new("/")).expect("forced");
        log.write_all(b"cd").expect("room");
        log.write_all(b"e").expect("room");
        let expected = ["ab", "abc", "abc0", "ab00", "abcd", "abcd0", "abcde"];
        assert_eq!(
            images(&simulated, |disk| text(disk, "/log")),
            expected.map(str::to_owned).into()
        );
        assert_eq!(
            text(&Disk::simulated(simulated.after_kill()), "/log"),
            "abcde"
        );
    }

    #[test]
    fn names_reach_the_disk_in_any_order() {
        let simulated = SimulatedDisk::new();
        let disk = Disk::simulated(simulated.clone());
        for (name, content) in [("/old", b"1"), ("/new", b"2")] {
            let mut file = disk.create(Path::new(name)).expect("made");
            file.write_all(content).expect("room");
            file.sync_all().expect("forced");
        }
        disk.sync_dir(Path::new("/")).expect("forced");
        disk.rename(Path::new("/new"), Path::new("/old"))
            .expect("renamed");
        let both = |disk: &Disk| format!("{}{}", text(disk, "/old"), text(disk, "/new"));
        let expected = ["12", "1-", "22", "2-"];
        assert_eq!(images(&simulated, both), expected.map(str::to_owned).into());
    }

    #[test]
    fn calls_fail_when_it_is_their_turn() {
        let simulated = SimulatedDisk::new();
        let disk = Disk::simulated(simulated.clone());
        let mut file = disk.append(Path::new("/a")).expect("made");
        simulated.set_fault(Fault {
            call: Some(Call::Write),
            nth: 2,
            failure: Failure::Full,
            lasts: true,
        });
        assert_eq!(file.write(b"1234").ok(), Some(4));
        assert_eq!(file.write(b"5678").ok(), Some(2));
        let kind = |result: io::Result<usize>| result.map_err(|error| error.raw_os_error()).err();
        assert_eq!(kind(file.write(b"78")), Some(Some(libc::ENOSPC)));
        simulated.heal();
        assert_eq!(file.write(b"78").ok(), Some(2));
        assert_eq!(text(&disk, "/a"), "12345678");
        simulated.set_fault(Fault {
            call: None,
            nth: 1,
            failure: Failure::PowerCut,
            lasts: false,
        });
        assert!(file.sync_data().is_err() && simulated.is_dead());
        assert!(disk.open(Path::new("/a")).is_err());
    }
}
