//! `narrows recipes`

use std::process::ExitCode;

use narrows::recipe::RecipeFile;

use crate::output;

/// Lists the built-in recipes.
pub fn run() -> anyhow::Result<ExitCode> {
    let mut rows = Vec::new();
    for name in RecipeFile::names() {
        let spec = RecipeFile::open(name)?.recipe()?;
        rows.push((name.to_owned(), spec.about().unwrap_or_default().to_owned()));
    }
    output::pairs(&rows)?;
    output::line("\nThe layers of one: narrows show NAME. Your own: a TOML file in its place (see README).")?;
    Ok(ExitCode::SUCCESS)
}
