//! `narrows recipes`

use std::process::ExitCode;

use narrows::Recipe;
use narrows::recipe::RecipeFile;
use serde::Serialize;

use crate::arguments::RecipesArguments;
use crate::print::table;
use crate::shared::recipes;

/// Lists the built-in recipes.
pub fn run(arguments: &RecipesArguments) -> anyhow::Result<ExitCode> {
    #[derive(Serialize)]
    struct Line<'a> {
        event: &'static str,
        name: &'a str,
        about: &'a str,
        #[serde(serialize_with = "recipes::as_json")]
        recipe: &'a Recipe,
    }
    let mut rows = Vec::new();
    for name in RecipeFile::names() {
        let recipe = Recipe::open(name)?;
        let about = recipe.about().unwrap_or_default();
        if arguments.output.json {
            table::json(&Line { event: "recipe", name, about, recipe: &recipe })?;
        }
        rows.push((name.to_owned(), about.to_owned()));
    }
    if !arguments.output.json {
        table::pairs(&rows)?;
        table::line(
            "\nThe layers of one: narrows show NAME. Your own: a TOML file in its place (see README).",
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
