//! Files and folders that a run removes when it ends, also where a signal ends it: temporary files, locks, empty folders.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Paths in the order in which they were made.
static LEFTOVERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn leftovers() -> MutexGuard<'static, Vec<PathBuf>> {
    LEFTOVERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file or an empty folder that must not outlive the run. Dropping it removes nothing: it says that the path was removed,
/// or is meant to stay from now on.
pub(super) struct Leftover(PathBuf);

impl Leftover {
    pub fn new(path: &Path) -> Self {
        leftovers().push(path.to_owned());
        Self(path.to_owned())
    }

    /// As [`Leftover::new`], of a file that `make` makes: none can be made any more once all are removed.
    pub fn made<T>(
        make: impl FnOnce() -> std::io::Result<T>,
        path: impl FnOnce(&T) -> &Path,
    ) -> std::io::Result<(T, Self)> {
        let mut paths = leftovers();
        let made = make()?;
        let path = path(&made).to_owned();
        paths.push(path.clone());
        Ok((made, Self(path)))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        let mut paths = leftovers();
        if let Some(place) = paths.iter().rposition(|path| *path == self.0) {
            paths.remove(place);
        }
    }
}

/// A folder that was made for files. It is removed where it is still empty when this is dropped.
pub struct NewFolder(Leftover);

impl NewFolder {
    /// Makes a folder; None where it exists.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn make(path: &Path) -> std::io::Result<Option<Self>> {
        match std::fs::create_dir(path) {
            Ok(()) => Ok(Some(Self(Leftover::new(path)))),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        // Fails where the folder has content, as it should.
        let _ = std::fs::remove_dir(self.0.path());
    }
}

/// Files that are being written.
static WRITTEN: AtomicUsize = AtomicUsize::new(0);

/// Counts a file that is being written while it lives.
pub(super) struct Writing(());

impl Writing {
    pub fn new() -> Self {
        WRITTEN.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        WRITTEN.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether a file is being written.
pub fn is_file_being_written() -> bool {
    WRITTEN.load(Ordering::SeqCst) > 0
}

/// Removes all temporary files, locks and empty folders of this process, for a handler of signals that ends the process next.
/// No other thread can write a file after this call: it would wait for ever.
pub fn remove_all() {
    let paths = leftovers();
    for path in paths.iter().rev() {
        // A path that is gone, or a folder that has content by now, is left as it is.
        let _ = std::fs::remove_file(path).or_else(|_| std::fs::remove_dir(path));
    }
    std::mem::forget(paths);
}
