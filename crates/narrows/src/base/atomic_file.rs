//! Writing of output files.

use std::io::Write;
use std::path::Path;

use crate::error::{Error, Result};

/// Writes a file atomically: a reader finds the old or the new content, also after a crash. The content is written to a temporary
/// file in the same folder and flushed to disk, the file is renamed, and the folder is flushed. Missing folders are made.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io) where a folder cannot be made or the file cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, "make the folder", error))?;
    let failed = |error| Error::io(path, "write", error);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".narrows-").suffix(".tmp");
    #[cfg(unix)]
    {
        // The permissions of an ordinary file (less the umask) instead of the private ones of a temporary file.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    #[cfg(unix)]
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(())
}

/// Checks that [`write()`] can write to a path, before the work whose result it will write. Leaves nothing behind.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io) where it cannot.
pub fn probe(path: &Path) -> Result<()> {
    let failed = |error| Error::io(path, "write", error);
    if path.is_dir() {
        return Err(failed(std::io::ErrorKind::IsADirectory.into()));
    }
    // Missing folders are made by `write`; the nearest existing one must be writable.
    let mut folder = path.parent();
    while let Some(missing) = folder.filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        folder = missing.parent();
    }
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    tempfile::Builder::new().prefix(".narrows-").suffix(".tmp").tempfile_in(folder).map_err(failed)?;
    Ok(())
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

    #[test]
    fn a_probe_tells_beforehand_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        write(&file, b"a file, not a folder").unwrap();
        probe(&folder.path().join("deep").join("deeper").join("new")).unwrap();
        probe(&file).unwrap();
        for refused in [file.join("inside"), file.join("deep").join("inside"), folder.path().to_owned()] {
            let error = probe(&refused).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{}: cannot write", refused.display())), "{error}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(std::fs::read(&file).unwrap(), b"a file, not a folder");
    }
}
