//! The section `[table]` of a recipe file.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::data::Kind;
use crate::error::{Error, Result};

/// The section `[table]` of a recipe: choices about the columns of tables, by name or by number from 1.
///
/// ```
/// use narrows::data::Kind;
/// use narrows::recipe::RecipeFile;
///
/// let text = "method = \"pca\"\n[table]\ndrop = [\"notes\"]\nkinds = { zip = \"category\" }";
/// let section = RecipeFile::parse("customers", "customers.toml", text)?.table_options()?;
/// assert_eq!((&section.drop[..], section.kinds["zip"]), (&["notes".to_owned()][..], Kind::Category));
/// # Ok::<(), narrows::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct TableSection {
    /// The columns to use; empty for all.
    pub columns: Vec<String>,
    /// Columns to leave out.
    pub drop: Vec<String>,
    /// Columns that name the rows.
    pub id: Vec<String>,
    /// The column of labels.
    pub label_column: Option<String>,
    /// Columns with a kind of choice.
    pub kinds: BTreeMap<String, Kind>,
}

impl TableSection {
    /// Reads the section; without one nothing is chosen.
    pub(super) fn read(section: Option<&toml::Value>) -> Result<Self> {
        let section = section.cloned().unwrap_or_else(|| toml::Table::new().into());
        serde_path_to_error::deserialize(section).map_err(|error| {
            let (path, error) = (error.path().to_string(), error.into_inner());
            let field = if path == "." { "table".to_owned() } else { format!("table.{path}") };
            Error::recipe(format!("{field}: {}", error.message().replace('\n', " ")))
        })
    }
}
