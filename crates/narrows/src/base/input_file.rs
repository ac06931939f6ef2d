//! The opening of input files: models, recipes, data, labels, checkpoints. The type of a file is looked at before it is opened: a
//! FIFO that nobody writes to would keep the program waiting, and a device may never end.

use std::fs::{File, FileType, Metadata};
use std::io::Read;
use std::path::Path;

use super::memory::{self, Bytes};
use crate::error::{Error, ErrorKind, Result};

/// An ordinary file that is open for reading.
#[derive(Debug)]
pub struct InputFile {
    /// The file, at its first byte.
    pub file: File,
    /// Its length in bytes.
    pub length: u64,
}

/// Opens a file. `place` is its name in messages.
///
/// # Errors
/// Where it is no ordinary file, or the system cannot open it.
pub fn open(place: &str, path: &Path) -> Result<InputFile> {
    let failed = |error| Error::io(Path::new(place), "read", error);
    check(place, path, &std::fs::metadata(path).map_err(failed)?)?;
    let file = File::open(path).map_err(failed)?;
    // Another file may have this name by now.
    let metadata = file.metadata().map_err(failed)?;
    check(place, path, &metadata)?;
    Ok(InputFile { file, length: metadata.len() })
}

/// The bytes of a file of at most `most` bytes. `name` says what kind of file is expected: `a recipe`.
///
/// # Errors
/// As [`open`], and where the file is longer, or there is no memory for it.
pub(crate) fn read(path: &Path, name: &str, most: usize) -> Result<Vec<u8>> {
    let place = path.display().to_string();
    let InputFile { file, length } = open(&place, path)?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > most {
        let message = format!("{place}: {} long; {name} has at most {}", Bytes(length), Bytes(most));
        return Err(Error::new(ErrorKind::Io, message).hint("is it the right file?"));
    }
    memory::require(length, 1, format_args!("{place}: reading the file"))?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| {
        Error::new(ErrorKind::Resources, format!("{place}: no memory for its {}", Bytes(length)))
    })?;
    // A file that grows while it is read is read up to the length that it had.
    file.take(length as u64).read_to_end(&mut bytes).map_err(|error| Error::io(path, "read", error))?;
    Ok(bytes)
}

/// Refuses what is no ordinary file.
fn check(place: &str, path: &Path, metadata: &Metadata) -> Result<()> {
    let kind = match special(metadata.file_type()) {
        None if metadata.is_file() && !is_of_the_system(path) => return Ok(()),
        None if metadata.is_dir() => "a folder",
        None if metadata.is_file() => "a file of the system",
        None => "something else",
        Some(kind) => kind,
    };
    Err(Error::new(ErrorKind::Io, format!("{place}: {kind}, not an ordinary file")))
}

/// The name of a type that only some systems have.
#[cfg(unix)]
fn special(kind: FileType) -> Option<&'static str> {
    use std::os::unix::fs::FileTypeExt;
    if kind.is_fifo() {
        Some("a FIFO")
    } else if kind.is_char_device() || kind.is_block_device() {
        Some("a device")
    } else if kind.is_socket() {
        Some("a socket")
    } else {
        None
    }
}

/// The name of a type that only some systems have.
#[cfg(not(unix))]
fn special(_: FileType) -> Option<&'static str> {
    None
}

/// Whether the kernel makes the content up when it is read: such files have no length, and some never end or wait.
fn is_of_the_system(path: &Path) -> bool {
    let real = path.canonicalize();
    cfg!(target_os = "linux") && real.is_ok_and(|path| path.starts_with("/proc") || path.starts_with("/sys"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_files_are_read_up_to_their_cap() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        crate::base::atomic_file::write(&path, b"content").unwrap();
        assert_eq!(read(&path, "a test", 7).unwrap(), b"content");
        let message = read(&path, "a test", 6).unwrap_err().to_string();
        assert!(message.contains("a test has at most") && message.contains("right file"), "{message}");
        // A file of 30 GB, without taking as much of the disk.
        File::options().write(true).open(&path).unwrap().set_len(30 << 30).unwrap();
        let message = read(&path, "a test", 1 << 20).unwrap_err().to_string();
        assert!(message.contains("30.0 GiB long; a test has at most 1.0 MiB"), "{message}");
    }

    #[test]
    fn a_folder_and_no_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = |path: &Path| read(path, "a test", 10).unwrap_err().to_string();
        assert!(refusal(folder.path()).ends_with(": a folder, not an ordinary file"));
        assert!(refusal(&folder.path().join("absent")).contains("cannot read"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn special_files_are_refused_by_their_types_without_being_opened() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = |path: &Path| read(path, "a test", 10).unwrap_err().to_string();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(refusal(&socket).ends_with(": a socket, not an ordinary file"));
        assert_eq!(refusal(Path::new("/dev/zero")), "/dev/zero: a device, not an ordinary file");
        assert!(refusal(Path::new("/proc/self/environ")).contains("a file of the system"));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        assert!(refusal(&link).ends_with(": a device, not an ordinary file"));
    }
}
