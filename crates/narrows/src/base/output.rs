//! Output files: looked at and locked before the work whose result they will hold.
//!
//! Hours may lie between the start of a run and its result. [`OutputFile::claim`] refuses beforehand what could not be written
//! in the end, or would be overwritten against the user's will: an input of the same run, a device, the output of another
//! run. It holds a lock file beside the output until it is dropped.

use std::fs::{File, Metadata, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::atomic_file;
use super::leftovers::{Leftover, NewFolder};
use crate::error::{Error, ErrorKind, Result};

/// A file that this run is going to write, and no other run.
///
/// ```
/// use narrows::base::output::OutputFile;
///
/// # let path = std::env::temp_dir().join(format!("narrows-doc-{}.csv", std::process::id()));
/// let output = OutputFile::claim(&path, &[])?;
/// assert!(OutputFile::claim(&path, &[]).is_err()); // it is claimed already
/// output.write(b"code_1\n0.5\n")?;
/// drop(output);
/// assert!(OutputFile::claim(&path, &[&path]).is_err()); // it would overwrite its input
/// # let _ = std::fs::remove_file(path);
/// # Ok::<(), narrows::Error>(())
/// ```
pub struct OutputFile {
    path: PathBuf,
    /// Holds the lock of the operating system, which ends with the process.
    _lock: Option<File>,
    lock_path: Leftover,
    /// Folders that were made for the output, the innermost first.
    _folders: Vec<NewFolder>,
}

impl OutputFile {
    /// Claims a path for this run. A symbolic link is followed. Missing folders are made, and removed again where they stay
    /// empty. Temporary files that killed runs left beside the output are removed. `inputs` are the files that the run reads.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where the path is a folder, a device or another special file, is one of `inputs`, is written by another
    /// run, or cannot be written.
    pub fn claim(path: &Path, inputs: &[&Path]) -> Result<Self> {
        // First the folders: a path that leads through one of them may be that of an input.
        let folders = make_folders(path)?;
        let (path, existing) = atomic_file::target(path)?;
        if let Some(existing) = &existing
            && let Some(input) = inputs.iter().find(|input| is_same_file(&path, existing, input))
        {
            return Err(refused(&path, format!("is an input of this run (`{}`)", input.display()))
                .hint("write to another file"));
        }
        let (lock, lock_path) = lock(&path)?;
        let output = Self { path, _lock: lock, lock_path, _folders: folders };
        atomic_file::remove_temporary(&output.path);
        atomic_file::probe(&output.path)?;
        Ok(output)
    }

    /// The path, behind a symbolic link if there was one.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the file: see [`atomic_file::write`].
    ///
    /// # Errors
    /// As [`atomic_file::write`].
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        atomic_file::write(&self.path, bytes)
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        // While the lock is held: nobody else can have made the file anew.
        let _ = std::fs::remove_file(self.lock_path.path());
    }
}

/// The path of a file beside another, its name with an ending added.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn refused(path: &Path, why: String) -> Error {
    Error::new(ErrorKind::Io, format!("{}: {why}", path.display()))
}

/// Whether an input is the existing file at `path`, by whatever name.
fn is_same_file(path: &Path, existing: &Metadata, input: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let _ = path;
        std::fs::metadata(input)
            .is_ok_and(|input| (input.dev(), input.ino()) == (existing.dev(), existing.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = existing;
        matches!((path.canonicalize(), input.canonicalize()), (Ok(path), Ok(input)) if path == input)
    }
}

/// Makes the missing folders of a path; the innermost first.
fn make_folders(path: &Path) -> Result<Vec<NewFolder>> {
    let folders = atomic_file::folder_of(path).ancestors();
    let missing: Vec<&Path> =
        folders.take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).collect();
    let mut made = Vec::new();
    for folder in missing.into_iter().rev() {
        let folder = NewFolder::make(folder).map_err(|error| Error::io(path, "write", error))?;
        made.splice(0..0, folder);
    }
    Ok(made)
}

/// Makes and locks the lock file of an output. Without a file where the file system has no locks.
fn lock(path: &Path) -> Result<(Option<File>, Leftover)> {
    let lock_path = beside(path, ".lock");
    let failed = |error| Error::io(&lock_path, "make the lock file", error);
    loop {
        let mut options = File::options();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).open(&lock_path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(locked(path, &mut file)),
            Err(TryLockError::Error(_)) => return Ok((None, Leftover::new(&lock_path))),
        }
        // The run that held the lock may have removed the file between the two calls above: then this one locks nothing.
        let is_there = match (file.metadata(), std::fs::metadata(&lock_path)) {
            (Ok(own), Ok(there)) => is_same_file(&lock_path, &own, &lock_path) && there.is_file(),
            _ => false,
        };
        if !is_there {
            continue;
        }
        let leftover = Leftover::new(&lock_path);
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        if let Err(error) = written {
            let _ = std::fs::remove_file(&lock_path);
            return Err(failed(error));
        }
        return Ok((Some(file), leftover));
    }
}

/// The error for an output that another run has locked; its lock file names the process.
fn locked(path: &Path, lock: &mut File) -> Error {
    let mut process = String::new();
    let _ = lock.take(20).read_to_string(&mut process);
    match process.trim() {
        own if own == std::process::id().to_string() => {
            refused(path, "is another output of this run".into()).hint("write to another file")
        }
        process => {
            let who = if process.is_empty() { String::new() } else { format!(" (process {process})") };
            refused(path, format!("another run{who} is writing it"))
                .hint("wait for its end, or write to another file")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &Path, inputs: &[&Path]) -> String {
        OutputFile::claim(path, inputs).map(drop).unwrap_err().to_string()
    }

    #[test]
    fn a_claim_tells_beforehand_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        atomic_file::write(&file, b"a file, not a folder").unwrap();
        let deep = folder.path().join("deep").join("deeper").join("new");
        drop(OutputFile::claim(&deep, &[]).unwrap());
        drop(OutputFile::claim(&file, &[]).unwrap());
        for refused in [file.join("inside"), file.join("deep").join("inside"), folder.path().to_owned()] {
            let error = refusal(&refused, &[]);
            assert!(error.starts_with(&format!("{}: cannot write", refused.display())), "{error}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(std::fs::read(&file).unwrap(), b"a file, not a folder");
    }

    #[test]
    fn folders_that_were_made_stay_where_something_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep").join("new");
        OutputFile::claim(&path, &[]).unwrap().write(b"content").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"content");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn an_input_is_never_an_output_by_whatever_name() {
        let folder = tempfile::tempdir().unwrap();
        let [data, link] = ["data.csv", "link.csv"].map(|name| folder.path().join(name));
        atomic_file::write(&data, b"1,2\n").unwrap();
        std::fs::hard_link(&data, &link).unwrap();
        let roundabout = folder.path().join("missing").join("..").join("data.csv");
        for output in [&data, &link, &roundabout] {
            assert!(refusal(output, &[&data]).contains("an input of this run"));
        }
        assert!(!folder.path().join("missing").exists());
        drop(OutputFile::claim(&folder.path().join("other.csv"), &[&data]).unwrap());
    }

    #[test]
    fn one_run_writes_a_file_and_the_temporary_files_of_dead_runs_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        // A run that was killed leaves its lock file, which locks nothing, and a temporary file.
        atomic_file::write(&beside(&path, ".lock"), b"1").unwrap();
        let temporary = tempfile::Builder::new()
            .prefix(&format!(".narrows-{}-", crate::base::hash::short(b"model")))
            .suffix(".tmp")
            .tempfile_in(folder.path())
            .unwrap();
        let other = folder.path().join(".narrows-of-another-file.tmp");
        atomic_file::write(&other, b"").unwrap();

        let claimed = OutputFile::claim(&path, &[]).unwrap();
        assert!(!temporary.path().exists() && other.exists());
        assert!(refusal(&path, &[]).contains("another output of this run"));
        drop(claimed);
        assert!(!beside(&path, ".lock").exists());
        drop(OutputFile::claim(&path, &[]).unwrap());
    }

    #[cfg(unix)]
    #[test]
    fn special_files_are_no_outputs() {
        let folder = tempfile::tempdir().unwrap();
        assert!(refusal(Path::new("/dev/null"), &[]).contains("it is a device"));
        let dangling = folder.path().join("dangling");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &dangling).unwrap();
        assert!(refusal(&dangling, &[]).contains("symbolic link"));
    }
}
