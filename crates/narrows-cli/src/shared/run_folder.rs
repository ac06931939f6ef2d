//! The folders of runs.

use std::path::Path;

use anyhow::Context;
use narrows::base::leftovers::NewFolder;

/// A folder of a run. It is removed where nothing was written into it.
pub struct RunFolder {
    folder: NewFolder,
    _runs: Option<NewFolder>,
}

impl RunFolder {
    /// Makes `runs/RECIPE-DATA-N` with the first N that is free.
    pub fn make(recipe: &str, data: &str) -> anyhow::Result<Self> {
        let clean = |text: &str| -> String {
            text.chars().map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect()
        };
        let stem = Path::new(data).file_name().map_or_else(|| data.into(), |name| name.to_string_lossy());
        let stem = stem.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or("data");
        let runs = Path::new("runs");
        let made = |folder: &Path| {
            let failed = || format!("{}: cannot make the folder", folder.display());
            NewFolder::make(folder).with_context(failed)
        };
        let new_runs = made(runs)?;
        for number in 1.. {
            if let Some(folder) = made(&runs.join(format!("{}-{}-{number}", clean(recipe), clean(stem))))? {
                return Ok(Self { folder, _runs: new_runs });
            }
        }
        unreachable!("numbers do not run out")
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}
