//! The folders of runs.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// Makes `runs/RECIPE-DATA-N` with the first N that is free.
pub fn create(recipe: &str, data: &str) -> anyhow::Result<PathBuf> {
    let clean = |text: &str| -> String {
        text.chars().map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect()
    };
    let stem = Path::new(data).file_name().map_or_else(|| data.into(), |name| name.to_string_lossy());
    let stem = stem.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or("data");
    let runs = Path::new("runs");
    std::fs::create_dir_all(runs).context("runs: cannot make the folder")?;
    for number in 1.. {
        let folder = runs.join(format!("{}-{}-{number}", clean(recipe), clean(stem)));
        match std::fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| format!("{}: cannot make the folder", folder.display()));
            }
        }
    }
    unreachable!("numbers do not run out")
}

/// Removes a run's folder where it is empty, and that of all runs: nothing that was written is lost.
pub fn remove_empty(folder: &Path) {
    let _ = std::fs::remove_dir(folder);
    let _ = folder.parent().map(std::fs::remove_dir);
}
