//! What several tests need.

use std::path::{Path, PathBuf};

use narrows::Source;
use narrows::data::{Content, Frame};

/// A folder of the data for development, which is beside the project. None where it is absent: the test then passes, saying so.
pub fn shared(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    if root.is_dir() {
        return Some(root);
    }
    eprintln!("{} is absent: not tested", root.display());
    None
}

/// The files of a folder, in order.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    paths.sort();
    paths
}

/// Writes a file of a temporary folder.
pub fn file(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    narrows::base::atomic_file::write(&path, bytes).unwrap();
    path
}

pub fn cells(source: &dyn Source) -> Vec<f64> {
    let mut out = vec![0.0; source.rows() * source.shape().len()];
    source.read_f64(0, &mut out).unwrap();
    out
}

/// The cells as text, row after row: numbers, texts in quotes, days as `d1.5`, missing values as `-`.
pub fn shown(frame: &Frame<'_>) -> Vec<String> {
    let width = frame.columns.len();
    let row = |row: &[f64]| {
        let shown = row.iter().zip(&frame.columns).map(|(&cell, column)| match &column.content {
            _ if cell.is_nan() => "-".to_owned(),
            Content::Texts(texts) => format!("'{}'", texts[cell as usize]),
            Content::Days => format!("d{cell}"),
            _ => cell.to_string(),
        });
        shown.collect::<Vec<_>>().join(" ")
    };
    cells(&*frame.cells).chunks(width).map(row).collect()
}

pub fn names<'a>(frame: &'a Frame<'_>) -> Vec<&'a str> {
    frame.columns.iter().map(|column| column.name.as_deref().unwrap_or("")).collect()
}

/// Equal numbers; missing values are equal.
#[track_caller]
pub fn assert_same(found: &[f64], wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len());
    let odd =
        found.iter().zip(wanted).position(|(a, b)| a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan()));
    if let Some(at) = odd {
        panic!("number {at}: {} and {}", found[at], wanted[at]);
    }
}
