//! Writing of output files.

use std::fs::Metadata;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::hash;
use super::leftovers::{Leftover, Writing};
use crate::error::{Error, ErrorKind, Result};

/// Writes a file atomically: a reader finds the old or the new content, also after a crash. The content is written to a temporary
/// file in the same folder and flushed to disk, the file is renamed, and the folder is flushed. Missing folders are made. A
/// symbolic link is followed, and an existing file keeps its permissions and its owner.
///
/// # Errors
/// [`ErrorKind::Io`] where a folder cannot be made, the file cannot be written, or the path is a folder, a device or another
/// special file.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let (path, existing) = target(path)?;
    let folder = folder_of(&path);
    std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, "make the folder", error))?;
    let failed = |error| Error::io(&path, "write", error);
    let _writing = Writing::new();
    let (mut file, leftover) = Leftover::made(|| temporary(&path), |file| file.path()).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    if let Some(existing) = existing {
        keep_permissions(file.as_file(), &existing).map_err(failed)?;
    }
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    drop(leftover);
    sync_folder(folder).map_err(failed)
}

/// Checks that [`write()`] can write to a path whose folder exists. Leaves nothing behind.
pub(super) fn probe(path: &Path) -> Result<()> {
    temporary(path).map(drop).map_err(|error| Error::io(path, "write", error))
}

/// The file behind a path, symbolic links followed, and what is there now.
///
/// # Errors
/// Where something is there that is not an ordinary file, or a symbolic link leads nowhere.
pub(super) fn target(path: &Path) -> Result<(PathBuf, Option<Metadata>)> {
    let failed = |error| Error::io(path, "write", error);
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((path.to_owned(), None)),
        Err(error) => return Err(failed(error)),
    };
    let (path, found) = if found.is_symlink() {
        let path = path.canonicalize().map_err(|error| Error::io(path, "follow the symbolic link", error))?;
        let found = path.metadata().map_err(failed)?;
        (path, found)
    } else {
        (path.to_owned(), found)
    };
    if found.is_file() {
        return Ok((path, Some(found)));
    }
    Err(Error::new(
        ErrorKind::Io,
        format!("{}: cannot write: it is {}, not an ordinary file", path.display(), special_file(&found)),
    ))
}

/// What a file is that is not an ordinary one.
fn special_file(found: &Metadata) -> &'static str {
    if found.is_dir() {
        return "a folder";
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = found.file_type();
        if kind.is_fifo() {
            return "a FIFO";
        } else if kind.is_socket() {
            return "a socket";
        } else if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    "a special file"
}

/// The folder of a path.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Free bytes of the disk that a path is on, where the system tells.
pub(crate) fn free_space(path: &Path) -> Option<u64> {
    // The nearest folder that exists.
    let folder = path
        .ancestors()
        .skip(1)
        .map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let folder = folder.into_iter().find(|folder| folder.is_dir())?;
    #[cfg(unix)]
    return rustix::fs::statvfs(folder).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    #[cfg(not(unix))]
    return None;
}

/// Flushes a folder, so that a file that was renamed or removed in it is so after a crash, too.
pub(crate) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    std::fs::File::open(folder).and_then(|folder| folder.sync_all())?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// A temporary file in the folder of a path.
fn temporary(path: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let prefix = temporary_prefix(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(TEMPORARY_ENDING);
    #[cfg(unix)]
    {
        // The permissions of an ordinary file (less the umask) instead of the private ones of a temporary file.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder_of(path))
}

const TEMPORARY_START: &str = ".narrows-";
const TEMPORARY_ENDING: &str = ".tmp";

/// The first characters of the temporary files of a path. A hash stands for its name, which may be as long as names can be.
fn temporary_prefix(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    format!("{TEMPORARY_START}{}-", hash::short(name.as_encoded_bytes()))
}

/// Removes the temporary files that killed runs left when they wrote to a path. For the only run that writes to it.
pub fn remove_temporary(path: &Path) {
    remove_matching(folder_of(path), &temporary_prefix(path));
}

/// Removes all temporary files of a folder that belongs to one run.
pub(crate) fn remove_all_temporary(folder: &Path) {
    remove_matching(folder, TEMPORARY_START);
}

fn remove_matching(folder: &Path, prefix: &str) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(prefix) && name.ends_with(TEMPORARY_ENDING) {
            // One that stays does no harm.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Gives a new file the permissions of the one that it replaces, and its owner where this process may.
fn keep_permissions(file: &std::fs::File, existing: &Metadata) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let new = file.metadata()?;
        if (new.uid(), new.gid()) != (existing.uid(), existing.gid()) {
            let _ = std::os::unix::fs::fchown(file, Some(existing.uid()), Some(existing.gid()));
        }
    }
    file.set_permissions(existing.permissions())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_a_file_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep").join("file.bin");
        write(&path, b"old").unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn names_the_path_that_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        write(&file, b"a file, not a folder").unwrap();
        let error = write(&file.join("inside"), b"").unwrap_err().to_string();
        assert!(error.contains("file"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_replaced_file_keeps_its_permissions_and_a_symbolic_link_stays_one() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let [path, link] = ["file", "link"].map(|name| folder.path().join(name));
        write(&path, b"old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&path, &link).unwrap();
        write(&link, b"new").unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    }
}
