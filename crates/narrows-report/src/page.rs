//! A rendered page, and how it is written to disk.

use std::path::{Path, PathBuf};

use narrows::Result;
use narrows::base::atomic_file;

/// A rendered page, and the files beside it.
///
/// The HTML contains its charts and pictures; the files are the same ones, for use elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The page.
    pub html: String,
    /// Charts as SVG and PNG, pictures as PNG, tables as CSV.
    pub files: Vec<File>,
}

/// A file beside a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name: `loss.svg`.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl Page {
    /// Writes the page as `report.html`, and its files, into a folder, which is created where it is missing. Returns the
    /// paths written, the page first. No other run should write a report into the folder at the same time: see
    /// [`OutputFile`](narrows::base::output::OutputFile).
    ///
    /// # Errors
    /// Where a file cannot be written; the message names it.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let page = folder.join("report.html");
        let mut written = vec![page.clone()];
        for File { name, bytes } in &self.files {
            let path = folder.join(name);
            atomic_file::remove_temporary(&path);
            atomic_file::write(&path, bytes)?;
            written.push(path);
        }
        // The page comes last: where there is one, its files are there.
        atomic_file::write(&page, self.html.as_bytes())?;
        Ok(written)
    }
}
