//! Large files are removed without blocking the loop.
//!
//! A file lives as long as a name or a handle leads to it, and the last of them to go pays for its blocks, which takes
//! a while for gigabytes. So it is opened first, its name removed at once, and the handle closed on a thread.
//!
//! The same thread has the system forget files that were read for the last time.
//!
//! Mirrors: bg_unlink() of server.c and BIO_CLOSE_FILE of bio.c.
//! Differs: the same thread also drops files from the page cache.

use std::io;
use std::path::Path;

use super::Helpers;
use super::worker::Worker;
use crate::sys::files::Disk;

/// The way to the thread.
#[derive(Debug)]
pub struct Closer {
    disk: Disk,
    worker: Worker,
}

impl Closer {
    /// One that closes files of a disk.
    pub fn new(disk: Disk, helpers: Helpers) -> Closer {
        Closer {
            disk,
            worker: Worker::new("bio_close_file", helpers),
        }
    }

    /// Starts the thread, which the first file would start otherwise.
    pub fn start(&mut self) {
        self.worker.start();
    }

    /// Drops a file from the page cache, on the thread.
    pub fn forget_cache(&mut self, path: &Path) {
        // The path may lead to a pipe, which could block.
        if self.disk.metadata(path).is_ok_and(|file| file.is_file)
            && let Ok(file) = self.disk.open(path)
            && let Ok(len) = file.len()
        {
            self.worker.submit(move || file.forget_cache(0, len));
        }
    }

    /// Removes a file's name now; its blocks on disk are freed on the thread.
    #[doc(alias = "bg_unlink")]
    pub fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        // A file that cannot be opened can still be removed. The path may lead to a pipe, which could block, so only
        // files are opened.
        let is_file = self.disk.link_metadata(path).is_ok_and(|it| it.is_file);
        let handle = is_file.then(|| self.disk.open(path).ok()).flatten();
        self.disk.remove_file(path)?;
        if let Some(handle) = handle {
            self.worker.submit(move || drop(handle));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_gone_at_once() {
        let path = std::env::temp_dir().join(format!("oxidis-closer-{}", std::process::id()));
        std::fs::write(&path, b"x").expect("a file of one's own");
        let mut closer = Closer::new(Disk::machine(), Helpers::threads());
        closer.remove_file(&path).expect("it is there");
        assert!(!path.exists());
        let again = closer.remove_file(&path).map_err(|error| error.kind());
        assert_eq!(again, Err(io::ErrorKind::NotFound));
    }
}
