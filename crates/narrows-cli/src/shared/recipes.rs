//! Recipes with the changes that options make.

use std::ffi::OsStr;

use narrows::recipe::RecipeFile;
use narrows::{Recipe, Shape};

use crate::arguments::RecipeOptions;

/// Opens a recipe, built in or a file, and sets its fields.
pub fn open(name: &OsStr, options: &RecipeOptions) -> anyhow::Result<RecipeFile> {
    let mut recipe = RecipeFile::open(name)?;
    for assignment in &options.set {
        recipe.set(assignment)?;
    }
    if options.pretrain.as_deref().is_some_and(|kinds| kinds.split(',').any(|kind| kind.trim() == "none")) {
        // A field that goes is not checked against the others.
        recipe.unset("pretrain");
    }
    Ok(recipe)
}

/// Applies the short forms to a recipe for rows of a shape, of so many classes.
pub fn apply(
    recipe: &mut Recipe,
    options: &RecipeOptions,
    shape: Shape,
    classes: Option<usize>,
) -> anyhow::Result<()> {
    if let Some(layers) = &options.layers {
        recipe.set_layers(layers, shape.len(), classes)?;
    }
    if let Some(size) = options.code_size {
        recipe.set_code_size(size)?;
    }
    if let Some(kinds) = &options.pretrain {
        recipe.set_pretrain(kinds)?;
    }
    Ok(recipe.validate()?)
}

/// The recipe in a line of JSON, with the names that recipe files have.
pub fn as_json<S: serde::Serializer>(recipe: &&Recipe, serializer: S) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&narrows::recipe::to_json(recipe), serializer)
}
